#ifndef HUB_WAIT_H
#define HUB_WAIT_H

/*
 * Time, and all waits of the program: each has a deadline and ends after a
 * signal that stops the program.
 *
 * Times are milliseconds of the monotonic clock, so that a clock which jumps
 * changes nothing. WAIT_FOREVER is a deadline that never comes; it is for waits
 * that something else limits.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* --- Time and signals. --- */

#define WAIT_FOREVER UINT64_MAX

uint64_t wait_now(void);

/* Waits until fd is ready for events (POLLIN, POLLOUT). Fails with ERR_NET
 * ("timed out") at the deadline, with ERR_STOPPED soon after a signal. */
int wait_fd(int fd, short events, uint64_t deadline, struct err *e);

/* Sleeps until the deadline; fails only with ERR_STOPPED. */
int wait_until(uint64_t deadline, struct err *e);

/* SIGINT, SIGTERM and SIGHUP ask for the end from now on: the first one sets
 * the flag that every wait looks at, the second ends the process at once (with
 * 128 + its number). SIGPIPE and SIGXFSZ are ignored: the call fails instead.
 * SIGUSR1 asks for a status line, and SIGCONT is noticed. */
void wait_signals(void);

/* The signal that asked for the end; 0 if none did. */
int wait_stop(void);

/* Stops the program as SIGPIPE would: the reader closed standard output.
 * Returns -1 with ERR_STOPPED. */
int wait_no_reader(struct err *e);

/* 0, or -1 with ERR_STOPPED if a signal asked for the end, or with ERR_NET if
 * the thread was cancelled. */
int wait_check(struct err *e);

/* From now on the waits of the calling thread also end, with ERR_NET, soon
 * after *flag is true; NULL: not any more. This ends a connection that is no
 * longer needed, wherever it waits. */
void wait_cancel_by(const atomic_bool *flag);

/* True once after each SIGUSR1. */
_Bool wait_status_asked(void);

/* True once after each SIGCONT: the process was suspended before it. */
_Bool wait_continued(void);

/*
 * When to try again after failed failures in a row (0 counts as 1), as a
 * deadline: the one rule for everything that is tried again. Full jitter: an
 * even choice from 0 to 500 ms, twice that after each further failure, at most
 * 30 s; but never less than what the server asked for (asked, in seconds; up to
 * one second of jitter is added).
 */
uint64_t wait_retry(unsigned failed, unsigned asked);

/* Fills p with n bytes fit for keys, from getrandom(), or from /dev/urandom on
 * kernels before 3.17. A system that has just started may have to gather them
 * first: fails with ERR_NET at the deadline, ERR_OTHER if there is no
 * source. */
int wait_entropy(void *p, size_t n, uint64_t deadline, struct err *e);

/* 64 random bits for jitter and names, not for keys: they are always there, at
 * worst made of the clock and the process's number. */
uint64_t wait_random(void);

/* --- Workers around one lock. --- */

/*
 * A fixed set of workers around one lock: threads that work until no work is
 * left, or until the run ends early; it keeps the first reason for that.
 *
 * The lock guards also what the crew's owner lets the workers share. It is held
 * for moments only, never over I/O.
 */

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* something that the lock guards */
	size_t left;            /* work that is neither done nor failed */
	bool over;              /* ends early, for the reason in why */
	struct err why;
	pthread_t *thread; /* these are the main thread's, without the lock */
	unsigned count, max;
};

/* Allocates max workers; starts none. */
void crew_init(struct crew *c, size_t left, unsigned max);
/* No thread may be left. */
void crew_release(struct crew *c);

/* Starts n more workers, which call work(arg); fails only if no worker runs at
 * all. */
int crew_start(struct crew *c, unsigned n, void *(*work)(void *), void *arg,
    struct err *e);

void crew_lock(struct crew *c);
void crew_unlock(struct crew *c);

/* Under the lock: true if there is work and the run has not ended. */
bool crew_busy(const struct crew *c);

/* Under the lock: wakes all waiting threads. */
void crew_changed(struct crew *c);

/* Under the lock, which it releases while it waits: waits for a change, at most
 * ms, since some work becomes due by time. */
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
