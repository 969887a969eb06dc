#include "hasher.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "err.h"
#include "partial.h"
#include "str.h"
#include "wait.h"

/* Reports to the partial file after this many hashed bytes: it drops their
 * pages from the page cache. */
#define REPORT_EVERY ((uint64_t)8 << 20)
#define LANES_MAX 16

/* A buffer with bytes to be hashed. */
struct chunk {
	struct chunk *next;
	uint64_t offset;
	size_t n;
	unsigned char bytes[HASHER_BUFFER];
};

/*
 * One file. Invariant: the bytes before claimed are hashed, are being hashed,
 * or are in the queue, which is in order and without gaps.
 */
struct hashing {
	struct hashing *next;
	struct hasher *owner;
	struct partial *partial;
	void *user;
	/* Only the thread that set busy uses these. */
	struct hash hash;
	struct hash before; /* the hash at the beginning of a block */
	uint64_t before_at; /* offset of that block; UINT64_MAX: none */
	uint64_t sum;       /* checksum of that block so far */
	uint64_t checked;   /* the block was read back up to here */
	uint64_t
	    reported; /* hashed bytes that were reported to the partial file */

	uint64_t claimed;
	struct chunk *first, **last;
	bool busy;  /* a thread uses it */
	bool poked; /* something may be there to read back */
	bool over;  /* complete was called */
};

/* The crew's lock guards all lists, and the fields of each hashing but those of
 * the thread that set busy. The crew's condition is signalled for each piece of
 * work, and wakes one thread; left is 1 until the end. */
struct hasher {
	struct crew crew;
	pthread_cond_t idle; /* a thread has ended a turn */
	const struct hasher_ops *ops;
	struct hashing *files;
	struct chunk *spare;
};

/* What one thread does in one turn for one file. */
struct turn {
	struct hashing *file;
	struct chunk *chunk; /* to hash, or (n is 0) to read back into */
	struct err why;
	bool failed, over;
	bool read; /* the bytes come from the disk */
};

static struct chunk *
chunk_of(void *buffer)
{
	return (struct chunk *)(void *)((unsigned char *)buffer -
					offsetof(struct chunk, bytes));
}

static struct chunk *
take_spare(struct hasher *h)
{
	struct chunk *c = h->spare;

	if (c)
		h->spare = c->next;
	return c;
}

static void
put_spare(struct hasher *h, struct chunk *c)
{
	c->next = h->spare;
	h->spare = c;
}

/* Under the lock: takes this file for a turn; false if there is nothing to do
 * for it. */
static bool
pick(struct hasher *h, struct hashing *s, struct turn *t)
{
	struct chunk *c = s->first;

	if (s->busy || s->over || (!c && !s->poked))
		return false;
	if (c) {
		s->first = c->next;
		if (!s->first)
			s->last = &s->first;
	} else {
		c = take_spare(h);
		if (!c)
			return false;
		c->n = 0;
		s->poked = false;
	}
	s->busy = true;
	*t = (struct turn){.file = s, .chunk = c};
	return true;
}

/* The end of the block that offset lies in. */
static uint64_t
block_end(const struct hashing *s, uint64_t offset)
{
	uint64_t end = offset - offset % PARTIAL_BLOCK + PARTIAL_BLOCK;

	return end < partial_size(s->partial) ? end : partial_size(s->partial);
}

/* Claims the next bytes, of one block, and reads them back into the turn's
 * empty chunk; its n stays 0 if there are none. */
static void
read_back(struct hasher *h, struct turn *t)
{
	struct hashing *s = t->file;
	struct chunk *c = t->chunk;
	uint64_t from = hash_length(&s->hash), stop = block_end(s, from);
	uint64_t end = h->ops->written(s->user, from);

	if (end > stop)
		end = stop;
	crew_lock(&h->crew);
	if (s->claimed == from && end > from) {
		c->n = end - from < HASHER_BUFFER ? (size_t)(end - from)
						  : HASHER_BUFFER;
		c->offset = from;
		s->claimed += c->n;
	}
	/* There may be more to read back. Chunks that were queued meanwhile are
	 * found without that. */
	s->poked = s->poked || c->n;
	crew_unlock(&h->crew);
	t->read = c->n > 0;
	if (c->n &&
	    partial_read(s->partial, c->bytes, c->n, c->offset, &t->why) < 0)
		t->failed = true;
}

/* Before bytes that were read back are hashed: updates the checksum of their
 * block, and keeps the hash where a block begins. */
static void
follow_block(struct turn *t)
{
	struct hashing *s = t->file;
	const struct chunk *c = t->chunk;
	uint64_t from = hash_length(&s->hash);

	if (!t->read)
		return;
	if (from % PARTIAL_BLOCK == 0) {
		s->before = s->hash;
		s->before_at = from;
		s->sum = 0;
		s->checked = from;
	}
	if (s->checked == from && !t->failed) {
		s->sum = hash_sum(
		    s->sum, (size_t)(from % PARTIAL_BLOCK), c->bytes, c->n);
		s->checked = from + c->n;
	}
}

/* Under the lock: empties the queue. */
static void
empty(struct hashing *s)
{
	while (s->first) {
		struct chunk *c = s->first;

		s->first = c->next;
		put_spare(s->owner, c);
	}
	s->last = &s->first;
}

/* Takes the hash back to the beginning of a block, which is missing now. */
static void
step_back(struct hashing *s, uint64_t begin)
{
	s->hash = s->before;
	/* Bytes from memory are not compared. */
	s->before_at = UINT64_MAX;
	crew_lock(&s->owner->crew);
	empty(s);
	s->claimed = begin;
	s->poked = true;
	crew_unlock(&s->owner->crew);
}

/* Compares a block that was read back whole, or that cannot be read, with its
 * stored checksum. True if it differs: then it is missing, and the hash is back
 * at its beginning. */
static bool
differs(struct hasher *h, struct turn *t)
{
	struct hashing *s = t->file;
	uint64_t begin, end;
	enum partial_check how;

	if (!t->read)
		return false;
	begin = t->chunk->offset - t->chunk->offset % PARTIAL_BLOCK;
	end = block_end(s, begin);
	if (s->before_at != begin)
		return false;
	if (!t->failed && s->checked != end)
		return false;
	how = partial_check(s->partial, (size_t)(begin / PARTIAL_BLOCK),
	    t->failed ? 0 : hash_sum_final(s->sum));
	if (how == PARTIAL_GOOD)
		return false;
	step_back(s, begin);
	h->ops->differs(s->user, end - begin, how == PARTIAL_ROTTEN);
	return true;
}

static void
hash_all(struct turn *t, unsigned n)
{
	struct hash *hash[LANES_MAX];
	const void *bytes[LANES_MAX];
	size_t length[LANES_MAX];
	unsigned used = 0;

	for (unsigned i = 0; i < n; i++) {
		if (t[i].failed || !t[i].chunk->n)
			continue;
		assert(t[i].chunk->offset == hash_length(&t[i].file->hash));
		hash[used] = &t[i].file->hash;
		bytes[used] = t[i].chunk->bytes;
		length[used++] = t[i].chunk->n;
	}
	hash_update_many(hash, bytes, length, used);
}

/* Compares blocks that were read back, and reports complete files. */
static void
report(struct hasher *h, struct turn *t)
{
	struct hashing *s = t->file;
	struct digest found;
	uint64_t length;

	if (differs(h, t))
		return;
	length = hash_length(&s->hash);
	t->over = t->failed || length == partial_size(s->partial);
	if (t->failed) {
		h->ops->complete(s->user, NULL, &t->why);
	} else if (t->over) {
		hash_final(&s->hash, &found);
		h->ops->complete(s->user, &found, NULL);
	} else if (length - s->reported >= REPORT_EVERY) {
		s->reported = length;
		partial_hashed(s->partial, length);
	}
}

/* Under the lock: up to max files that have something to hash. */
static unsigned
collect(struct hasher *h, struct turn *t, unsigned max)
{
	unsigned n = 0;

	for (struct hashing *s = h->files; s && n < max; s = s->next)
		n += pick(h, s, &t[n]);
	return n;
}

static void *
run(void *arg)
{
	struct hasher *h = arg;
	unsigned lanes = hash_lanes() < LANES_MAX ? hash_lanes() : LANES_MAX;
	struct turn *t = xcalloc(lanes, sizeof(*t));

	crew_lock(&h->crew);
	while (crew_busy(&h->crew)) {
		unsigned n = collect(h, t, lanes);

		if (!n) {
			pthread_cond_wait(&h->crew.changed, &h->crew.lock);
			continue;
		}
		crew_unlock(&h->crew);
		for (unsigned i = 0; i < n; i++) {
			if (!t[i].chunk->n)
				read_back(h, &t[i]);
			follow_block(&t[i]);
		}
		hash_all(t, n);
		for (unsigned i = 0; i < n; i++)
			report(h, &t[i]);
		crew_lock(&h->crew);
		for (unsigned i = 0; i < n; i++) {
			put_spare(h, t[i].chunk);
			t[i].file->busy = false;
			t[i].file->over = t[i].file->over || t[i].over;
		}
		pthread_cond_broadcast(&h->idle);
	}
	crew_unlock(&h->crew);
	free(t);
	return NULL;
}

struct hasher *
hasher_open(unsigned threads, unsigned spare, const struct hasher_ops *ops,
    struct err *e)
{
	struct hasher *h = xcalloc(1, sizeof(*h));

	h->ops = ops;
	crew_init(&h->crew, 1, threads);
	pthread_cond_init(&h->idle, NULL);
	while (spare--)
		put_spare(h, xmalloc(sizeof(struct chunk)));
	if (crew_start(&h->crew, threads, run, h, e) == 0)
		return h;
	hasher_close(h);
	return NULL;
}

void
hasher_close(struct hasher *h)
{
	struct chunk *c;
	struct err none;

	crew_lock(&h->crew);
	h->crew.left = 0;
	crew_changed(&h->crew);
	crew_unlock(&h->crew);
	crew_join(&h->crew, &none);
	assert(!h->files);
	while ((c = take_spare(h)))
		free(c);
	pthread_cond_destroy(&h->idle);
	crew_release(&h->crew);
	free(h);
}

void *
hasher_lend(struct hasher *h)
{
	(void)h;
	return ((struct chunk *)xmalloc(sizeof(struct chunk)))->bytes;
}

void
hasher_return(struct hasher *h, void *buffer)
{
	(void)h;
	free(chunk_of(buffer));
}

struct hashing *
hasher_begin(
    struct hasher *h, struct partial *p, enum hash_kind kind, void *user)
{
	struct hashing *s = xcalloc(1, sizeof(*s));

	s->owner = h;
	s->partial = p;
	s->user = user;
	s->last = &s->first;
	s->before_at = UINT64_MAX;
	hash_init(&s->hash, kind, partial_size(p));
	crew_lock(&h->crew);
	s->next = h->files;
	h->files = s;
	crew_unlock(&h->crew);
	return s;
}

void *
hasher_offer(struct hashing *s, void *buffer, size_t n, uint64_t offset)
{
	struct hasher *h = s->owner;
	struct chunk *c = chunk_of(buffer), *other = NULL;

	crew_lock(&h->crew);
	if (offset == s->claimed && !s->over)
		other = take_spare(h);
	if (other) {
		c->offset = offset;
		c->n = n;
		c->next = NULL;
		*s->last = c;
		s->last = &c->next;
		s->claimed += n;
	} else if (offset <= s->claimed) {
		s->poked = true;
	}
	/* Bytes further ahead cannot be hashed before the missing ones arrive,
	 * and these will wake a thread. */
	if (offset <= s->claimed)
		pthread_cond_signal(&h->crew.changed);
	crew_unlock(&h->crew);
	return other ? other->bytes : buffer;
}

void
hasher_poke(struct hashing *s)
{
	struct hasher *h = s->owner;

	crew_lock(&h->crew);
	s->poked = true;
	pthread_cond_signal(&h->crew.changed);
	crew_unlock(&h->crew);
}

/* Under the lock: waits until no thread uses the file, and empties its queue. */
static void
quiet(struct hashing *s)
{
	struct hasher *h = s->owner;

	s->over = true;
	while (s->busy)
		pthread_cond_wait(&h->idle, &h->crew.lock);
	empty(s);
}

void
hasher_restart(struct hashing *s)
{
	crew_lock(&s->owner->crew);
	quiet(s);
	hash_restart(&s->hash, s->hash.kind, partial_size(s->partial));
	s->claimed = s->reported = 0;
	s->before_at = UINT64_MAX;
	s->over = false;
	s->poked = true;
	pthread_cond_signal(&s->owner->crew.changed);
	crew_unlock(&s->owner->crew);
}

void
hasher_end(struct hashing *s)
{
	struct hasher *h = s->owner;

	crew_lock(&h->crew);
	quiet(s);
	for (struct hashing **p = &h->files; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	crew_unlock(&h->crew);
	free(s);
}
