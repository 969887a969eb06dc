#include "meter.h"

#include <pthread.h>
#include <stdlib.h>

#include "err.h"
#include "mem.h"
#include "wait.h"

/* Faster than any line; keeps the products below in range. */
#define RATE_MAX ((uint64_t)1 << 40)

/* At most that many ms are filled up at once. */
#define FILL_MAX 1000

struct meter {
	pthread_mutex_t lock; /* guards all below */
	struct bucket bucket;
	uint64_t received, sent;
};

static int64_t
bucket_top(const struct bucket *b)
{
	return b->rate < 8 ? 1 : (int64_t)(b->rate / 8);
}

struct bucket
bucket_make(uint64_t rate, uint64_t now)
{
	struct bucket b = {.rate = rate < RATE_MAX ? rate : 0, .at = now};

	b.level = bucket_top(&b);
	return b;
}

static void
bucket_fill(struct bucket *b, uint64_t now)
{
	uint64_t ms = now > b->at ? now - b->at : 0, add;

	if (ms > FILL_MAX) {
		ms = FILL_MAX;
		b->at = now - ms;
	}
	add = b->rate * ms / 1000;
	b->level += (int64_t)add;
	/* Only the time that gave whole bytes is used up. */
	b->at += add * 1000 / b->rate;
	if (b->level > bucket_top(b))
		b->level = bucket_top(b);
}

uint64_t
bucket_delay(struct bucket *b, uint64_t now)
{
	if (!b->rate)
		return 0;
	bucket_fill(b, now);
	if (b->level > 0)
		return 0;
	/* The debt and one byte, rounded up. */
	return ((uint64_t)(1 - b->level) * 1000 + b->rate - 1) / b->rate;
}

void
bucket_spend(struct bucket *b, uint64_t n)
{
	if (b->rate)
		b->level -= (int64_t)n;
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
		top = m->bucket.rate ? (uint64_t)bucket_top(&m->bucket)
				     : UINT64_MAX;
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

uint64_t
meter_received(struct meter *m)
{
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	n = m->received;
	pthread_mutex_unlock(&m->lock);
	return n;
}

uint64_t
meter_sent(struct meter *m)
{
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	n = m->sent;
	pthread_mutex_unlock(&m->lock);
	return n;
}
