#include "hasher.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "partial.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"

#define PREFIX ".cache/x/"
#define BUF HASHER_BUFFER
#define BLOCK ((size_t)PARTIAL_BLOCK)

struct place {
	char root[SCRATCH_PATH];
	struct folder f;
	struct partial_setup setup;
};

/* A file that keeps, as the transfer does, which bytes are written. */
struct file {
	struct partial *partial;
	struct hashing *hashing;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned char *bytes;
	size_t size;
	size_t *in;    /* for each incomplete block, the bytes that arrived */
	uint64_t *sum; /* and their checksum */
	struct digest want, found;
	unsigned complete, failed, old, lost; /* calls */
	uint64_t differing;                   /* bytes */
};

static size_t
blocks(const struct file *f)
{
	return (f->size + BLOCK - 1) / BLOCK;
}

static size_t
length(const struct file *f, size_t block)
{
	size_t begin = block * BLOCK;

	return f->size - begin < BLOCK ? f->size - begin : BLOCK;
}

static uint64_t
written(void *file, uint64_t offset)
{
	struct file *f = file;
	uint64_t end = partial_run_end(f->partial, offset);
	size_t block = (size_t)(end / BLOCK);

	pthread_mutex_lock(&f->lock);
	if (end < f->size && block * BLOCK + f->in[block] > end)
		end = block * BLOCK + f->in[block];
	pthread_mutex_unlock(&f->lock);
	return end;
}

static void
differs(void *file, uint64_t bytes, bool old)
{
	struct file *f = file;

	pthread_mutex_lock(&f->lock);
	f->old += old;
	f->lost += !old;
	f->differing += bytes;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static void
complete(void *file, const struct digest *found, const struct err *why)
{
	struct file *f = file;

	pthread_mutex_lock(&f->lock);
	if (found)
		f->found = *found;
	else
		f->failed += why->kind == ERR_FILE ? 1 : 100;
	f->complete++;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static const struct hasher_ops ops = {written, differs, complete};

static void
place_init(struct place *p)
{
	struct err e;

	scratch_make(p->root);
	CHECK(folder_open(&p->f, p->root, false, &e) == 0);
	CHECK(partial_setup(&p->f, &p->setup, &e) == 0);
	CHECK(partial_prepare(&p->f, &p->setup, &e) == 0);
}

static void
place_release(struct place *p)
{
	folder_close(&p->f);
	scratch_remove(p->root);
}

static void
file_bytes(struct file *f, enum hash_kind kind, size_t size, uint32_t seed)
{
	struct hash h;

	*f = (struct file){.size = size, .bytes = xmalloc(size)};
	for (size_t i = 0; i < size; i++) {
		seed = seed * 1664525 + 1013904223;
		f->bytes[i] = (unsigned char)(seed >> 24);
	}
	f->in = xcalloc(blocks(f), sizeof(*f->in));
	f->sum = xcalloc(blocks(f), sizeof(*f->sum));
	hash_init(&h, kind, size);
	hash_update(&h, f->bytes, size);
	hash_final(&h, &f->want);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
}

/* A file whose hashing has not begun. */
static void
file_open(struct file *f, struct place *p, uint64_t had)
{
	uint64_t here = 0;
	struct err e;

	f->partial = partial_open_on(
	    &p->setup, &p->f, PREFIX, &f->want, f->size, true, NULL, &here, &e);
	CHECK(f->partial != NULL && here == had);
	memset(f->in, 0, blocks(f) * sizeof(*f->in));
	memset(f->sum, 0, blocks(f) * sizeof(*f->sum));
}

static void
file_begin(struct file *f, struct hasher *h)
{
	f->hashing = hasher_begin(h, f->partial, f->want.kind, f);
	hasher_poke(f->hashing);
}

static void
file_end(struct file *f)
{
	hasher_end(f->hashing);
	partial_close(f->partial, false);
}

static void
file_release(struct file *f)
{
	free(f->bytes);
	free(f->in);
	free(f->sum);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
}

/* Writes the next piece of a block, as a worker does; xor damages its bytes. */
static void
arrive(struct file *f, void **buffer, size_t block, unsigned char xor)
{
	size_t in = f->in[block], at = block * BLOCK + in;
	size_t n = length(f, block) - in < BUF ? length(f, block) - in : BUF;
	struct err e;
	int rv;

	memcpy(*buffer, f->bytes + at, n);
	*(unsigned char *)*buffer ^= xor;
	rv = partial_write(f->partial, *buffer, n, at, &f->sum[block], &e);
	pthread_mutex_lock(&f->lock);
	f->failed += rv < 0; /* only one thread may use CHECK */
	/* The partial file knows whole blocks. */
	f->in[block] = in + n < length(f, block) ? in + n : 0;
	pthread_mutex_unlock(&f->lock);
	*buffer = hasher_offer(f->hashing, *buffer, n, at);
}

static void
bring(struct file *f, void **buffer, size_t block)
{
	do
		arrive(f, buffer, block, 0);
	while (f->in[block]);
}

static void
await(struct file *f, unsigned times)
{
	pthread_mutex_lock(&f->lock);
	while (f->complete < times)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

/* Writes missing blocks until the file is complete, also those that are dropped
 * meanwhile. */
static void
bring_rest(struct file *f, void **buffer)
{
	unsigned seen = 0;
	bool over = false;

	while (!over) {
		uint64_t first, end;

		while (partial_missing(f->partial, 0, 1, &first, &end))
			bring(f, buffer, (size_t)(first / BLOCK));
		hasher_poke(f->hashing);
		pthread_mutex_lock(&f->lock);
		while (!f->complete && f->old + f->lost == seen)
			pthread_cond_wait(&f->changed, &f->lock);
		seen = f->old + f->lost;
		over = f->complete > 0;
		pthread_mutex_unlock(&f->lock);
	}
}

static bool
right(const struct file *f)
{
	return f->complete == 1 && !f->failed &&
	       digest_same(&f->found, &f->want);
}

/* Orders in which pieces arrive; those of one block arrive in order. */
static void
bring_in_order(struct file *f, void **buffer, unsigned kind)
{
	size_t n = blocks(f);

	for (size_t i = 0; i < n; i++)
		switch (kind) {
		case 0: /* in order */
			bring(f, buffer, i);
			break;
		case 1: /* backwards */
			bring(f, buffer, n - 1 - i);
			break;
		case 2: /* the first one last */
			bring(f, buffer, (i + 1) % n);
			break;
		case 3: /* scattered; n is 7 */
			bring(f, buffer, i * 3 % n);
			break;
		default: /* pairs of ranges, in turns; n is odd */
			for (size_t k = 0; i % 2 && k < 2 * BLOCK / BUF; k++)
				if (k < 2 || f->in[i + k % 2])
					arrive(f, buffer, i + k % 2, 0);
			if (i == 0)
				bring(f, buffer, i);
			break;
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

			file_bytes(&f, kind % 2 ? HASH_GIT : HASH_SHA256,
			    6 * BLOCK + 77, 10 * kind + threads);
			file_open(&f, p, 0);
			file_begin(&f, h);
			bring_in_order(&f, &buffer, kind);
			/* A worker does so when it puts a range back. */
			hasher_poke(f.hashing);
			await(&f, 1);
			CHECK_ROW(kind, right(&f) && !f.old && !f.lost);
			hasher_return(h, buffer);
			file_end(&f);
			hasher_close(h);
			file_release(&f);
		}
}

/* Flips a bit on the disk. */
static void
rot(const struct place *p, const struct file *f, uint64_t at)
{
	char hex[2 * HASH_SIZE_MAX + 1], path[160];
	unsigned char c = 0;
	int fd;

	digest_hex(&f->want, hex);
	snprintf(path, sizeof(path), "%s/" PREFIX "%s.part", p->root, hex);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0 && pread(fd, &c, 1, (off_t)at) == 1);
	c ^= 0x40;
	CHECK(pwrite(fd, &c, 1, (off_t)at) == 1);
	close(fd);
}

static void
cut(const struct place *p, const struct file *f, uint64_t at)
{
	char hex[2 * HASH_SIZE_MAX + 1], path[160];

	digest_hex(&f->want, hex);
	snprintf(path, sizeof(path), "%s/" PREFIX "%s.part", p->root, hex);
	CHECK(truncate(path, (off_t)at) == 0);
}

/* Makes these blocks in an earlier run. */
static void
leave_blocks(struct file *f, struct place *p, unsigned map)
{
	struct err e;

	file_open(f, p, 0);
	for (size_t i = 0; i < blocks(f); i++)
		if (map >> i & 1)
			CHECK(
			    partial_write(f->partial, f->bytes + i * BLOCK,
				length(f, i), i * BLOCK, &f->sum[i], &e) == 0);
	partial_close(f->partial, false);
}

/* One hasher_poke() is enough for the blocks of an earlier run. */
static void
test_all_there(struct place *p)
{
	for (unsigned threads = 1; threads < 4; threads++) {
		struct err e;
		struct hasher *h = hasher_open(threads, 1, &ops, &e);
		struct file f;

		file_bytes(&f, HASH_SHA256, 5 * BLOCK + threads, 8);
		leave_blocks(&f, p, 0x3f);
		file_open(&f, p, f.size);
		file_begin(&f, h);
		await(&f, 1);
		CHECK(right(&f) && !f.old && !f.lost);
		file_end(&f);
		hasher_close(h);
		file_release(&f);
	}
}

/* Blocks of an earlier run have changed since: the first, one in the middle,
 * the last and shorter one, or many. These are fetched again, and no others. */
static void
test_rotten(struct place *p)
{
	static const struct {
		uint64_t at[3];
		unsigned there, bad;
	} t[] = {
	    {{0}, 0x3f, 1},
	    {{1}, 0x3f, 1},
	    {{700001}, 0x3f, 1},
	    {{BLOCK - 1}, 0x3f, 1},
	    {{2 * BLOCK + 1000000}, 0x3f, 1},
	    {{5 * BLOCK}, 0x3f, 1},
	    {{5 * BLOCK + 700001}, 0x3f, 1},
	    {{5 * BLOCK + 700006}, 0x3f, 1},
	    {{3 * BLOCK - 1, 3 * BLOCK}, 0x3f, 2},
	    {{0, BLOCK + 700001, 5 * BLOCK}, 0x3f, 3},
	    /* with blocks missing around it */
	    {{2 * BLOCK + 1}, 0x16, 1},
	    {{5 * BLOCK + 1}, 0x21, 1},
	};
	struct err e;

	for (size_t i = 0; i < 2 * countof(t); i++) {
		size_t row = i / 2;
		struct hasher *h =
		    hasher_open(1 + (unsigned)row % 3, 1, &ops, &e);
		void *buffer = hasher_lend(h);
		uint64_t had = 0, bad = 0;
		struct file f;

		file_bytes(&f, i % 2 ? HASH_GIT : HASH_SHA256,
		    5 * BLOCK + 700007, (uint32_t)i + 900);
		leave_blocks(&f, p, t[row].there);
		for (unsigned k = 0; k < t[row].bad; k++) {
			rot(p, &f, t[row].at[k]);
			bad += length(&f, (size_t)(t[row].at[k] / BLOCK));
		}
		for (size_t k = 0; k < blocks(&f); k++)
			had += t[row].there >> k & 1 ? length(&f, k) : 0;
		file_open(&f, p, had);
		file_begin(&f, h);
		bring_rest(&f, &buffer);
		CHECK_ROW(row, right(&f) && !f.lost && f.old == t[row].bad);
		CHECK_ROW(row, f.differing == bad);
		hasher_return(h, buffer);
		file_end(&f);
		hasher_close(h);
		file_release(&f);
	}
}

/* A block of this run is read back, since it arrived out of order, and has
 * changed. */
static void
test_lost(struct place *p)
{
	static const uint64_t at[] = {
	    BLOCK, BLOCK + 700001, 3 * BLOCK - 1, 4 * BLOCK, 4 * BLOCK + 2};
	struct err e;

	for (size_t i = 0; i < countof(at); i++) {
		struct hasher *h = hasher_open(2, 1, &ops, &e);
		void *buffer = hasher_lend(h);
		struct file f;

		file_bytes(&f, HASH_SHA256, 4 * BLOCK + 3, (uint32_t)i);
		file_open(&f, p, 0);
		file_begin(&f, h);
		for (size_t k = blocks(&f); --k > 0;)
			bring(&f, &buffer, k);
		rot(p, &f, at[i]);
		bring_rest(&f, &buffer);
		CHECK_ROW(i, right(&f) && !f.old && f.lost == 1);
		CHECK_ROW(
		    i, f.differing == length(&f, (size_t)(at[i] / BLOCK)));
		hasher_return(h, buffer);
		file_end(&f);
		hasher_close(h);
		file_release(&f);
	}
}

/* All blocks that cannot be read are fetched again. The file was cut; the new
 * writes make it long again. */
static void
test_unreadable(struct place *p)
{
	static const uint64_t at[] = {
	    0, 1, BLOCK, 2 * BLOCK + 700001, 5 * BLOCK - 1, 5 * BLOCK + 2};
	struct err e;

	for (size_t i = 0; i < countof(at); i++) {
		struct hasher *h =
		    hasher_open(1 + (unsigned)i % 2, 1, &ops, &e);
		void *buffer = hasher_lend(h);
		struct file f;

		file_bytes(&f, HASH_SHA256, 5 * BLOCK + 3, (uint32_t)i + 40);
		leave_blocks(&f, p, 0x3f);
		file_open(&f, p, f.size);
		cut(p, &f, at[i]);
		file_begin(&f, h);
		bring_rest(&f, &buffer);
		CHECK_ROW(i, right(&f) && !f.lost);
		CHECK_ROW(i, f.old == 6 - at[i] / BLOCK);
		hasher_return(h, buffer);
		file_end(&f);
		hasher_close(h);
		file_release(&f);
	}
}

/* The first part of a block cannot be read, and the rest has not arrived: the
 * block cannot be dropped, so the file fails. */
static void
test_unreadable_piece(struct place *p)
{
	struct err e;
	struct hasher *h = hasher_open(2, 1, &ops, &e);
	void *buffer = hasher_lend(h);
	struct file f;

	file_bytes(&f, HASH_SHA256, 3 * BLOCK, 41);
	file_open(&f, p, 0);
	file_begin(&f, h);
	arrive(&f, &buffer, 1, 0);
	arrive(&f, &buffer, 1, 0);
	cut(p, &f, BLOCK + BUF + 7);
	bring(&f, &buffer, 0);
	hasher_poke(f.hashing);
	await(&f, 1);
	CHECK(f.failed == 1 && !f.old && !f.lost);
	hasher_return(h, buffer);
	file_end(&f);
	hasher_close(h);
	file_release(&f);
}

/* Many files at a time, in lanes if the CPU has them. An earlier run left each
 * third one, and one block of that has changed. */
static void
test_several(struct place *p)
{
	enum { FILES = 11 };
	struct file f[FILES];
	struct err e;
	struct hasher *h = hasher_open(2, 4, &ops, &e);
	void *buffer = hasher_lend(h);

	for (size_t i = 0; i < FILES; i++) {
		bool there = i % 3 == 2;

		file_bytes(&f[i], i % 4 == 1 ? HASH_GIT : HASH_SHA256,
		    (2 + i % 3) * BLOCK + 7 * i + 1, (uint32_t)i + 99);
		if (there) {
			leave_blocks(&f[i], p, 0x1f);
			rot(p, &f[i], i % 2 ? 700001 : 2 * BLOCK + i);
		}
		file_open(&f[i], p, there ? f[i].size : 0);
		file_begin(&f[i], h);
	}
	for (size_t at = 0; at < 5; at++)
		for (size_t i = 0; i < FILES; i++)
			if (at < blocks(&f[i]) && i % 3 < 2)
				bring(&f[i], &buffer,
				    i % 2 ? at : blocks(&f[i]) - 1 - at);
	for (size_t i = 0; i < FILES; i++) {
		bring_rest(&f[i], &buffer);
		CHECK_ROW(i, right(&f[i]) && !f[i].lost);
		CHECK_ROW(i, f[i].old == (i % 3 == 2));
	}
	hasher_return(h, buffer);
	for (size_t i = 0; i < FILES; i++) {
		file_end(&f[i]);
		file_release(&f[i]);
	}
	hasher_close(h);
}

/* All bytes are wrong, are dropped, and arrive again, right. */
static void
test_restart(struct place *p)
{
	struct err e;
	struct hasher *h = hasher_open(2, 2, &ops, &e);
	void *buffer = hasher_lend(h);
	struct file f;

	file_bytes(&f, HASH_SHA256, 4 * BLOCK + 5, 5);
	leave_blocks(&f, p, 9);
	file_open(&f, p, 2 * BLOCK);
	file_begin(&f, h);
	for (size_t i = 0; i < blocks(&f); i++)
		if (i % 3)
			do
				arrive(&f, &buffer, i, i == 2);
			while (f.in[i]);
	hasher_poke(f.hashing);
	await(&f, 1);
	/* The checksums are those of the wrong bytes, so none differs. */
	CHECK(!digest_same(&f.found, &f.want) && !f.old && !f.lost);
	CHECK(partial_forget(f.partial) == 2 * BLOCK);
	f.complete = 0;
	hasher_restart(f.hashing);
	bring_rest(&f, &buffer);
	CHECK(!digest_same(&f.found, &f.want) && f.complete == 1);
	CHECK(partial_forget(f.partial) == 0);
	CHECK(partial_here(f.partial) == 0);
	f.complete = 0;
	hasher_restart(f.hashing);
	for (size_t i = blocks(&f); i-- > 0;)
		bring(&f, &buffer, i);
	hasher_poke(f.hashing);
	await(&f, 1);
	CHECK(right(&f) && !f.old && !f.lost);
	hasher_return(h, buffer);
	file_end(&f);
	hasher_close(h);
	file_release(&f);
}

/* hasher_restart() while the hasher reads back. */
static void
test_restart_in_the_middle(struct place *p)
{
	struct err e;

	for (uint32_t n = 0; n < 8; n++) {
		struct hasher *h = hasher_open(2, 1, &ops, &e);
		void *buffer = hasher_lend(h);
		struct file f;

		file_bytes(&f, HASH_SHA256, 6 * BLOCK + n, n + 500);
		leave_blocks(&f, p, 0x3e);
		rot(p, &f, 4 * BLOCK + 700001);
		file_open(&f, p, 5 * BLOCK);
		file_begin(&f, h);
		for (size_t i = 0; i < n; i++)
			arrive(&f, &buffer, 0, 0);
		hasher_restart(f.hashing);
		while (f.in[0])
			arrive(&f, &buffer, 0, 0);
		hasher_restart(f.hashing);
		bring_rest(&f, &buffer);
		CHECK_ROW(n, right(&f) && f.old == 1 && !f.lost);
		hasher_return(h, buffer);
		file_end(&f);
		hasher_close(h);
		file_release(&f);
	}
}

/* Ends the hashing after a number of pieces, with others in the queue; then
 * another run reads back the blocks in the state, and gets the rest. */
static void
test_end_in_the_middle(struct place *p)
{
	static const size_t pieces[] = {0, 1, 7, 8, 9, 23, 24, 41};
	struct err e;

	for (size_t row = 0; row < countof(pieces); row++) {
		struct hasher *h = hasher_open(1, 8, &ops, &e);
		void *buffer = hasher_lend(h);
		size_t whole = pieces[row] / (BLOCK / BUF);
		struct file f;

		file_bytes(&f, HASH_SHA256, 6 * BLOCK + 1, (uint32_t)row + 300);
		file_open(&f, p, 0);
		file_begin(&f, h);
		for (size_t i = 0; i < pieces[row]; i++)
			arrive(&f, &buffer, i / (BLOCK / BUF), 0);
		file_end(&f);
		CHECK_ROW(row, f.complete == 0);
		/* Only whole blocks are here. */
		file_open(&f, p, whole * BLOCK);
		file_begin(&f, h);
		for (size_t i = whole; i < blocks(&f); i++)
			bring(&f, &buffer, i);
		hasher_poke(f.hashing);
		await(&f, 1);
		CHECK_ROW(row, right(&f) && !f.old && !f.lost);
		hasher_return(h, buffer);
		file_end(&f);
		hasher_close(h);
		file_release(&f);
	}
}

/* Several workers write at the same time, each into a range of its own. */
struct hand {
	struct hasher *h;
	struct file *f;
	size_t from, to;
};

static void *
bring_blocks(void *arg)
{
	struct hand *a = arg;
	void *buffer = hasher_lend(a->h);

	for (size_t i = a->from; i < a->to; i++)
		bring(a->f, &buffer, i);
	hasher_poke(a->f->hashing);
	hasher_return(a->h, buffer);
	return NULL;
}

/* An earlier run left the second half of each range, and some of that has
 * changed. */
static void
test_at_once(struct place *p)
{
	enum { HANDS = 4, EACH = 6 };
	struct err e;

	for (uint32_t n = 0; n < 8; n++) {
		struct hasher *h = hasher_open(2, 1 + n, &ops, &e);
		void *buffer = hasher_lend(h);
		pthread_t thread[HANDS];
		struct hand hand[HANDS];
		struct file f;

		file_bytes(&f, HASH_SHA256, HANDS * EACH * BLOCK, n + 700);
		leave_blocks(&f, p, 0xe38e38);
		rot(p, &f, 3 * BLOCK + 1);
		rot(p, &f, 21 * BLOCK + 700001);
		file_open(&f, p, HANDS * EACH / 2 * BLOCK);
		file_begin(&f, h);
		for (size_t i = 0; i < HANDS; i++) {
			hand[i] =
			    (struct hand){h, &f, i * EACH, i * EACH + EACH / 2};
			CHECK(pthread_create(&thread[i], NULL, bring_blocks,
				  &hand[i]) == 0);
		}
		for (size_t i = 0; i < HANDS; i++)
			pthread_join(thread[i], NULL);
		bring_rest(&f, &buffer);
		CHECK_ROW(n, right(&f) && f.old == 2 && !f.lost);
		hasher_return(h, buffer);
		file_end(&f);
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
	test_all_there(&p);
	test_rotten(&p);
	test_lost(&p);
	test_unreadable(&p);
	test_unreadable_piece(&p);
	test_several(&p);
	test_restart(&p);
	test_restart_in_the_middle(&p);
	test_end_in_the_middle(&p);
	test_at_once(&p);
	place_release(&p);
	return test_end();
}
