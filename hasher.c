#include "hasher.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "crew.h"
#include "err.h"
#include "mem.h"
#include "partial.h"

/* The state is kept every so many bytes: that much is hashed again at the most
 * after a kill. */
#define KEEP_EVERY ((uint64_t)8 << 20)
#define LANES_MAX 16

/* A buffer on its way; the bytes follow. */
struct chunk {
	struct chunk *next;
	uint64_t offset;
	size_t n;
	unsigned char bytes[HASHER_BUFFER];
};

/*
 * One file. Invariant: the bytes before claimed are hashed, being hashed, or in
 * the queue, which is in order and without gaps.
 */
struct hashing {
	struct hashing *next;
	struct hasher *owner;
	struct partial *partial;
	void *user;
	struct hash hash; /* only who set busy may touch it */
	uint64_t claimed;
	uint64_t kept; /* length at which the state was kept */
	struct chunk *first, **last;
	bool busy;  /* a thread is at it */
	bool poked; /* something may be there to read back */
	bool over;  /* complete was called */
};

/* The crew's lock guards all lists and the fields of each hashing (but its
 * hash). Its change is work for one thread; left is 1 until the end. */
struct hasher {
	struct crew crew;
	pthread_cond_t idle; /* a turn is over */
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

/* Under the lock: something for this file, if there is something to do. */
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

/* Claims and reads back the next bytes into a turn's empty chunk; n stays 0 if
 * there are none. */
static void
read_back(struct hasher *h, struct turn *t)
{
	struct hashing *s = t->file;
	struct chunk *c = t->chunk;
	uint64_t from = hash_length(&s->hash);
	uint64_t end = h->ops->written(s->user, from);

	crew_lock(&h->crew);
	if (s->claimed == from && end > from) {
		c->n = end - from < HASHER_BUFFER ? (size_t)(end - from)
						  : HASHER_BUFFER;
		c->offset = from;
		s->claimed += c->n;
	}
	/* Perhaps there is more; and what came into the queue meanwhile waits
	 * for its turn anyway. */
	s->poked = s->poked || c->n;
	crew_unlock(&h->crew);
	if (c->n &&
	    partial_read(s->partial, c->bytes, c->n, c->offset, &t->why) < 0)
		t->failed = true;
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

/* Keeps the state now and then, and tells when a file is through. */
static void
report(struct hasher *h, struct turn *t)
{
	struct hashing *s = t->file;
	uint64_t length = hash_length(&s->hash);
	struct digest found;

	t->over = t->failed || length == partial_size(s->partial);
	if (t->failed) {
		h->ops->complete(s->user, NULL, &t->why);
	} else if (t->over) {
		hash_final(&s->hash, &found);
		h->ops->complete(s->user, &found, NULL);
	} else if (length - s->kept >= KEEP_EVERY) {
		s->kept = length;
		partial_hashed(s->partial, &s->hash);
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
		for (unsigned i = 0; i < n; i++)
			if (!t[i].chunk->n)
				read_back(h, &t[i]);
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
hasher_begin(struct hasher *h, struct partial *p, void *user)
{
	struct hashing *s = xcalloc(1, sizeof(*s));

	s->owner = h;
	s->partial = p;
	s->user = user;
	s->last = &s->first;
	partial_hash(p, &s->hash);
	s->claimed = s->kept = hash_length(&s->hash);
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
	/* What lies ahead is of no use before what is missing has come, which
	 * is told then. */
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

/* Under the lock: waits until no thread is at it, and empties its queue. */
static void
quiet(struct hashing *s)
{
	struct hasher *h = s->owner;

	s->over = true;
	while (s->busy)
		pthread_cond_wait(&h->idle, &h->crew.lock);
	while (s->first) {
		struct chunk *c = s->first;

		s->first = c->next;
		put_spare(h, c);
	}
	s->last = &s->first;
}

void
hasher_restart(struct hashing *s)
{
	crew_lock(&s->owner->crew);
	quiet(s);
	partial_hash(s->partial, &s->hash);
	s->claimed = s->kept = hash_length(&s->hash);
	s->poked = s->over = false;
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
	/* Kept as far as it came: what was hashed need not be again. */
	if (hash_length(&s->hash) < partial_size(s->partial))
		partial_hashed(s->partial, &s->hash);
	free(s);
}
