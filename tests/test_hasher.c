#include "hasher.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "mem.h"
#include "partial.h"
#include "scratch.h"
#include "test.h"

#define PREFIX ".cache/x/"
#define BUF HASHER_BUFFER

struct place {
	char root[SCRATCH_PATH];
	struct folder f;
	struct partial_setup setup;
};

/* A file, as the transfer has it: what is written without a gap is known. */
struct file {
	struct partial *partial;
	struct hashing *hashing;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned char *bytes;
	size_t size;
	bool *there; /* for each BUF */
	struct digest want, found;
	unsigned complete, failed;
};

static size_t
pieces(const struct file *f)
{
	return (f->size + BUF - 1) / BUF;
}

static uint64_t
written(void *file, uint64_t offset)
{
	struct file *f = file;
	size_t i = (size_t)(offset / BUF);
	uint64_t end = offset;

	pthread_mutex_lock(&f->lock);
	for (; i < pieces(f) && f->there[i]; i++)
		end = (i + 1) * BUF;
	pthread_mutex_unlock(&f->lock);
	return end < f->size ? end : f->size;
}

static void
complete(void *file, const struct digest *found, const struct err *why)
{
	struct file *f = file;

	(void)why;
	pthread_mutex_lock(&f->lock);
	if (found)
		f->found = *found;
	else
		f->failed++;
	f->complete++;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static const struct hasher_ops ops = {written, complete};

static void
place_init(struct place *p)
{
	struct err e;

	scratch_make(p->root);
	CHECK(folder_open(&p->f, p->root, false, &e) == 0);
	CHECK(partial_setup(&p->f, &p->setup, &e) == 0);
}

static void
place_release(struct place *p)
{
	folder_close(&p->f);
	scratch_remove(p->root);
}

static void
file_bytes(struct file *f, size_t size, uint32_t seed)
{
	struct hash h;

	*f = (struct file){.size = size, .bytes = xmalloc(size)};
	for (size_t i = 0; i < size; i++) {
		seed = seed * 1664525 + 1013904223;
		f->bytes[i] = (unsigned char)(seed >> 24);
	}
	f->there = xcalloc(pieces(f), sizeof(bool));
	hash_init(&h, HASH_SHA256, size);
	hash_update(&h, f->bytes, size);
	hash_final(&h, &f->want);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
}

static void
file_open(struct file *f, struct place *p, struct hasher *h, uint64_t had)
{
	uint64_t here = 0;
	struct err e;

	f->partial = partial_open_on(
	    &p->setup, &p->f, PREFIX, &f->want, f->size, true, NULL, &here, &e);
	CHECK(f->partial != NULL && here == had);
	f->hashing = hasher_begin(h, f->partial, f);
	hasher_poke(f->hashing);
}

static void
file_close(struct file *f)
{
	hasher_end(f->hashing);
	partial_close(f->partial, false);
}

static void
file_release(struct file *f)
{
	free(f->bytes);
	free(f->there);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
}

/* Piece i arrives, as a worker would have it; xor damages it. */
static void
arrive(struct file *f, void **buffer, size_t i, unsigned char xor)
{
	size_t at = i * BUF;
	size_t n = f->size - at < BUF ? f->size - at : BUF;
	size_t block = at - at % PARTIAL_BLOCK;
	struct err e;
	int rv;

	/* What was written before in this block counts if all of it is. */
	for (size_t b = block / BUF; b < i; b++)
		if (!f->there[b])
			block = (b + 1) * BUF;
	memcpy(*buffer, f->bytes + at, n);
	*(unsigned char *)*buffer ^= xor;
	rv = partial_write(f->partial, *buffer, n, at, block, &e);
	pthread_mutex_lock(&f->lock);
	f->failed += rv < 0; /* CHECK is for one thread only */
	f->there[i] = true;
	pthread_mutex_unlock(&f->lock);
	*buffer = hasher_offer(f->hashing, *buffer, n, at);
}

static void
await(struct file *f, unsigned times)
{
	pthread_mutex_lock(&f->lock);
	while (f->complete < times)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static bool
right(const struct file *f)
{
	return f->complete == 1 && !f->failed &&
	       digest_same(&f->found, &f->want);
}

/* Orders in which 24 pieces and a bit arrive. */
static size_t
order(unsigned kind, size_t i, size_t n)
{
	switch (kind) {
	case 0: /* in order */
		return i;
	case 1: /* backwards */
		return n - 1 - i;
	case 2: /* two ranges in turns */
		return i % 2 ? (n + 1) / 2 + i / 2 : i / 2;
	case 3: /* the first one last */
		return (i + 1) % n;
	default: /* scattered; n is 25 */
		return i * 7 % n;
	}
}

static void
test_orders(struct place *p)
{
	struct err e;

	for (unsigned kind = 0; kind < 5; kind++)
		for (unsigned threads = 1; threads < 4; threads++) {
			struct hasher *h = hasher_open(threads, 1, &ops, &e);
			void *buffer = hasher_lend(h);
			struct file f;

			file_bytes(&f, 24 * BUF + 77, 10 * kind + threads);
			file_open(&f, p, h, 0);
			for (size_t i = 0; i < pieces(&f); i++)
				arrive(
				    &f, &buffer, order(kind, i, pieces(&f)), 0);
			/* As when a range is put back. */
			hasher_poke(f.hashing);
			await(&f, 1);
			CHECK_ROW(kind, right(&f));
			hasher_return(h, buffer);
			file_close(&f);
			hasher_close(h);
			file_release(&f);
		}
}

/* Many files in turns: in lanes where the CPU has them. */
static void
test_several(struct place *p)
{
	enum { FILES = 11, PIECES = 17 };
	struct file f[FILES];
	struct err e;
	struct hasher *h = hasher_open(2, 4, &ops, &e);
	void *buffer = hasher_lend(h);

	for (size_t i = 0; i < FILES; i++) {
		file_bytes(&f[i], (9 + i % 8) * BUF + i, (uint32_t)i + 99);
		file_open(&f[i], p, h, 0);
	}
	for (size_t at = 0; at < PIECES; at++)
		for (size_t i = 0; i < FILES; i++)
			if (at < pieces(&f[i]))
				arrive(&f[i], &buffer,
				    i % 2 ? at : pieces(&f[i]) - 1 - at, 0);
	for (size_t i = 0; i < FILES; i++) {
		hasher_poke(f[i].hashing);
		await(&f[i], 1);
		CHECK_ROW(i, right(&f[i]));
	}
	hasher_return(h, buffer);
	for (size_t i = 0; i < FILES; i++) {
		file_close(&f[i]);
		file_release(&f[i]);
	}
	hasher_close(h);
}

/* Wrong bytes, all forgotten, and right ones then. */
static void
test_restart(struct place *p)
{
	struct err e;
	struct hasher *h = hasher_open(2, 2, &ops, &e);
	void *buffer = hasher_lend(h);
	struct file f;

	file_bytes(&f, 16 * BUF, 5);
	file_open(&f, p, h, 0);
	for (size_t i = 0; i < pieces(&f); i++)
		arrive(&f, &buffer, i, i == 3);
	hasher_poke(f.hashing);
	await(&f, 1);
	CHECK(!digest_same(&f.found, &f.want));
	CHECK(partial_reset(f.partial, &e) == 0);
	memset(f.there, 0, pieces(&f) * sizeof(bool));
	hasher_restart(f.hashing);
	hasher_poke(f.hashing);
	for (size_t i = 0; i < pieces(&f); i++)
		arrive(&f, &buffer, pieces(&f) - 1 - i, 0);
	hasher_poke(f.hashing);
	await(&f, 2);
	CHECK(f.complete == 2 && digest_same(&f.found, &f.want));
	hasher_return(h, buffer);
	file_close(&f);
	hasher_close(h);
	file_release(&f);
}

/* Ended after so many pieces, whatever is in the queue; another run goes on
 * from what the state has, without the bytes before. */
static void
test_end_in_the_middle(struct place *p)
{
	static const size_t cut[] = {0, 1, 7, 8, 9, 23, 24, 71, 80};
	struct err e;

	for (size_t row = 0; row < sizeof(cut) / sizeof(*cut); row++) {
		struct hasher *h = hasher_open(1, 8, &ops, &e);
		void *buffer = hasher_lend(h);
		struct file f;
		struct hash kept;

		file_bytes(&f, 81 * BUF + 1, (uint32_t)row + 300);
		file_open(&f, p, h, 0);
		for (size_t i = 0; i < cut[row]; i++)
			arrive(&f, &buffer, i, 0);
		file_close(&f);
		CHECK_ROW(row, f.complete == 0);
		/* Whole blocks only count as here. */
		memset(f.there, 0, pieces(&f) * sizeof(bool));
		for (size_t i = 0; i < cut[row] - cut[row] % 8; i++)
			f.there[i] = true;
		file_open(&f, p, h, cut[row] / 8 * PARTIAL_BLOCK);
		partial_hash(f.partial, &kept);
		CHECK_ROW(row, hash_length(&kept) <= cut[row] * BUF);
		for (size_t i = cut[row] / 8 * 8; i < pieces(&f); i++)
			arrive(&f, &buffer, i, 0);
		hasher_poke(f.hashing);
		await(&f, 1);
		CHECK_ROW(row, right(&f));
		hasher_return(h, buffer);
		file_close(&f);
		hasher_close(h);
		file_release(&f);
	}
}

/* A poke alone is enough for what an earlier run left. */
static void
test_all_there(struct place *p)
{
	struct err e;
	struct hasher *h = hasher_open(1, 1, &ops, &e);
	void *buffer = hasher_lend(h);
	struct file f;

	file_bytes(&f, 20 * BUF, 8);
	file_open(&f, p, h, 0);
	for (size_t i = pieces(&f); i-- > 0;)
		if (i)
			arrive(&f, &buffer, i, 0);
	hasher_poke(f.hashing);
	CHECK(f.complete == 0);
	arrive(&f, &buffer, 0, 0);
	hasher_poke(f.hashing);
	await(&f, 1);
	CHECK(right(&f));
	hasher_return(h, buffer);
	file_close(&f);
	hasher_close(h);
	file_release(&f);
}

/* Each worker has a range of its own, and all go at once. */
struct hand {
	struct hasher *h;
	struct file *f;
	size_t from, to;
};

static void *
bring(void *arg)
{
	struct hand *a = arg;
	void *buffer = hasher_lend(a->h);

	for (size_t i = a->from; i < a->to; i++)
		arrive(a->f, &buffer, i, 0);
	hasher_poke(a->f->hashing);
	hasher_return(a->h, buffer);
	return NULL;
}

static void
test_at_once(struct place *p)
{
	enum { HANDS = 4, EACH = 64 };
	struct err e;

	for (uint32_t n = 0; n < 8; n++) {
		struct hasher *h = hasher_open(2, 1 + n, &ops, &e);
		pthread_t thread[HANDS];
		struct hand hand[HANDS];
		struct file f;

		file_bytes(&f, HANDS * EACH * BUF, n + 700);
		file_open(&f, p, h, 0);
		for (size_t i = 0; i < HANDS; i++) {
			hand[i] =
			    (struct hand){h, &f, i * EACH, (i + 1) * EACH};
			CHECK(pthread_create(
				  &thread[i], NULL, bring, &hand[i]) == 0);
		}
		for (size_t i = 0; i < HANDS; i++)
			pthread_join(thread[i], NULL);
		await(&f, 1);
		CHECK_ROW(n, right(&f));
		file_close(&f);
		hasher_close(h);
		file_release(&f);
	}
}

int
main(void)
{
	struct place p;

	place_init(&p);
	test_orders(&p);
	test_several(&p);
	test_restart(&p);
	test_end_in_the_middle(&p);
	test_all_there(&p);
	test_at_once(&p);
	place_release(&p);
	return test_end();
}
