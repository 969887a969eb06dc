#include "crew.h"

#include <assert.h>
#include <stdlib.h>

#include "mem.h"
#include "wait.h"

#define TICK_MS 100

void
crew_init(struct crew *c, size_t left, unsigned max)
{
	*c = (struct crew){.left = left, .max = max};
	c->thread = xcalloc(max, sizeof(c->thread[0]));
	pthread_mutex_init(&c->lock, NULL);
	wait_cond_init(&c->changed);
}

void
crew_release(struct crew *c)
{
	assert(!c->count);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c->thread);
	c->thread = NULL;
}

int
crew_start(
    struct crew *c, unsigned n, void *(*work)(void *), void *arg, struct err *e)
{
	assert(n <= c->max - c->count);
	while (
	    n-- && pthread_create(&c->thread[c->count], NULL, work, arg) == 0)
		c->count++;
	return c->count ? 0 : err_set(e, ERR_OTHER, "cannot start a thread");
}

void
crew_lock(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
}

void
crew_unlock(struct crew *c)
{
	pthread_mutex_unlock(&c->lock);
}

bool
crew_busy(const struct crew *c)
{
	return c->left && !c->over;
}

void
crew_changed(struct crew *c)
{
	pthread_cond_broadcast(&c->changed);
}

void
crew_wait(struct crew *c, unsigned ms)
{
	wait_cond(&c->changed, &c->lock, wait_now() + ms);
}

void
crew_end(struct crew *c, const struct err *why)
{
	if (!c->over)
		c->why = *why;
	c->over = true;
	crew_changed(c);
}

void
crew_watch(struct crew *c, int (*tick)(void *ctx, struct err *e), void *ctx)
{
	struct err e;
	int rv = 0;

	crew_lock(c);
	while (rv == 0 && crew_busy(c)) {
		crew_wait(c, TICK_MS);
		crew_unlock(c);
		rv = wait_check(&e);
		if (rv == 0)
			rv = tick(ctx, &e);
		crew_lock(c);
	}
	/* What came when all was done ends nothing. */
	if (rv < 0 && crew_busy(c))
		crew_end(c, &e);
	crew_unlock(c);
}

int
crew_join(struct crew *c, struct err *e)
{
	while (c->count)
		pthread_join(c->thread[--c->count], NULL);
	if (c->over)
		*e = c->why;
	return c->over ? -1 : 0;
}
