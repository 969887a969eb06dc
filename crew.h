#ifndef HUB_CREW_H
#define HUB_CREW_H

/*
 * A fixed set of workers around one lock: threads that do what is left until
 * nothing is, or until the run ends early. The first reason for that counts.
 *
 * The lock guards also what the crew's owner lets the workers share. It is held
 * for moments only, never over I/O.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* something that the lock guards */
	size_t left;            /* work that is neither done nor failed */
	bool over;              /* ends early, for the reason in why */
	struct err why;
	pthread_t *thread; /* these are the main thread's, without the lock */
	unsigned count, max;
};

/* Room for max workers; none is started. */
void crew_init(struct crew *c, size_t left, unsigned max);
/* No thread may be left. */
void crew_release(struct crew *c);

/* Starts n workers more; fewer are enough, but it fails if there are none at
 * all. arg is what work gets. */
int crew_start(struct crew *c, unsigned n, void *(*work)(void *), void *arg,
    struct err *e);

void crew_lock(struct crew *c);
void crew_unlock(struct crew *c);

/* Under the lock: whether to go on. */
bool crew_busy(const struct crew *c);

/* Under the lock: wakes all who wait. */
void crew_changed(struct crew *c);

/* Under the lock, which is given up meanwhile: waits for a change, but not
 * longer than ms, since work comes by the clock, too. */
void crew_wait(struct crew *c, unsigned ms);

/* Under the lock: ends the run early. */
void crew_end(struct crew *c, const struct err *why);

/* For the main thread, until the crew is no longer busy: calls tick, without
 * the lock, after each change and ten times a second at the least. A signal, or
 * a tick that fails, ends the run. */
void crew_watch(
    struct crew *c, int (*tick)(void *ctx, struct err *e), void *ctx);

/* Waits for all workers; fails with the reason if the run ended early. */
int crew_join(struct crew *c, struct err *e);

#endif
