#include "clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "mem.h"
#include "wait.h"

struct clock {
	pthread_mutex_t lock; /* guards what follows */
	int64_t seen;         /* 0: nothing so far */
	uint64_t seen_at;     /* by wait_now() */
};

struct clock_time
clock_judge(int64_t system, int64_t build, int64_t seen)
{
	struct clock_time t = {.system = system, .now = system};

	if (t.now < build)
		t.now = build;
	if (t.now < seen)
		t.now = seen;
	t.at_least = system < build && seen < build;
	return t;
}

bool
clock_believes(int64_t date, int64_t build, int64_t until)
{
	return date >= build && date <= until;
}

int64_t
clock_build(void)
{
	return HUB_BUILD_TIME;
}

struct clock *
clock_open(void)
{
	struct clock *c = xcalloc(1, sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void
clock_close(struct clock *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* Under the lock. A board's clock may be set, or lost, while it runs: only the
 * monotonic one goes on evenly. */
static int64_t
seen_now(const struct clock *c)
{
	if (!c->seen)
		return 0;
	return c->seen + (int64_t)((wait_now() - c->seen_at) / 1000);
}

struct clock_time
clock_read(struct clock *c)
{
	int64_t seen = 0;

	if (c) {
		pthread_mutex_lock(&c->lock);
		seen = seen_now(c);
		pthread_mutex_unlock(&c->lock);
	}
	return clock_judge((int64_t)time(NULL), HUB_BUILD_TIME, seen);
}

void
clock_tell(struct clock *c, int64_t date, int64_t until)
{
	if (!clock_believes(date, HUB_BUILD_TIME, until))
		return;
	pthread_mutex_lock(&c->lock);
	if (date > seen_now(c)) {
		c->seen = date;
		c->seen_at = wait_now();
	}
	pthread_mutex_unlock(&c->lock);
}
