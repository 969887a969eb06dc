#include "meter.h"

#include <pthread.h>
#include <stdlib.h>

#include "err.h"
#include "mem.h"
#include "wait.h"

/* Faster than any line; keeps the products below in range. */
#define RATE_MAX ((uint64_t)1 << 40)

/* More than that is never filled up at once: 17 minutes, in ms. */
#define FILL_MAX ((uint64_t)1 << 20)

/* More is never spent at once. */
#define SPEND_MAX ((uint64_t)1 << 50)

struct meter {
	pthread_mutex_t lock; /* guards all below */
	struct bucket bucket;
	uint64_t received, sent;
};

/* What may be moved at once after a pause: an eighth of a second. */
static uint64_t
bucket_top(const struct bucket *b)
{
	return b->rate < 8 ? 1 : b->rate / 8;
}

struct bucket
bucket_make(uint64_t rate, uint64_t now)
{
	struct bucket b = {.rate = rate < RATE_MAX ? rate : 0, .at = now};

	b.level = (int64_t)bucket_top(&b) * 1000;
	return b;
}

static void
bucket_fill(struct bucket *b, uint64_t now)
{
	int64_t top = (int64_t)bucket_top(b) * 1000;
	uint64_t ms = now > b->at ? now - b->at : 0;

	b->at += ms;
	if (ms > FILL_MAX)
		ms = FILL_MAX;
	/* A byte a second is a thousandth of a byte a millisecond. */
	b->level += (int64_t)(b->rate * ms);
	if (b->level > top)
		b->level = top;
}

uint64_t
bucket_delay(struct bucket *b, uint64_t now)
{
	if (!b->rate)
		return 0;
	bucket_fill(b, now);
	if (b->level > 0)
		return 0;
	/* Until it is above 0, rounded up. */
	return ((uint64_t)-b->level + b->rate) / b->rate;
}

void
bucket_spend(struct bucket *b, uint64_t n)
{
	if (b->rate)
		b->level -= (int64_t)(n < SPEND_MAX ? n : SPEND_MAX) * 1000;
}

struct meter *
meter_open(uint64_t rate)
{
	struct meter *m = xcalloc(1, sizeof(*m));

	pthread_mutex_init(&m->lock, NULL);
	m->bucket = bucket_make(rate, wait_now());
	return m;
}

void
meter_close(struct meter *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->lock);
	free(m);
}

int
meter_wait(struct meter *m, size_t *cap, struct err *e)
{
	for (;;) {
		uint64_t now = wait_now(), delay, top;

		pthread_mutex_lock(&m->lock);
		delay = bucket_delay(&m->bucket, now);
		top = m->bucket.rate ? bucket_top(&m->bucket) : UINT64_MAX;
		pthread_mutex_unlock(&m->lock);
		if (*cap > top)
			*cap = (size_t)top;
		if (!delay)
			return 0;
		if (wait_until(now + delay, e))
			return -1;
	}
}

void
meter_spend(struct meter *m, uint64_t n)
{
	pthread_mutex_lock(&m->lock);
	bucket_spend(&m->bucket, n);
	pthread_mutex_unlock(&m->lock);
}

void
meter_add(struct meter *m, uint64_t received, uint64_t sent)
{
	pthread_mutex_lock(&m->lock);
	m->received += received;
	m->sent += sent;
	pthread_mutex_unlock(&m->lock);
}

/* One of the counts, whole. */
static uint64_t
count(struct meter *m, const uint64_t *which)
{
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	n = *which;
	pthread_mutex_unlock(&m->lock);
	return n;
}

uint64_t
meter_received(struct meter *m)
{
	return count(m, &m->received);
}

uint64_t
meter_sent(struct meter *m)
{
	return count(m, &m->sent);
}
