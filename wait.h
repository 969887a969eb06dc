#ifndef HUB_WAIT_H
#define HUB_WAIT_H

/*
 * Time, and all waits of the program: each has a deadline and ends after a
 * signal that stops the program.
 *
 * Times are milliseconds of the monotonic clock, so setting the system's clock
 * has no effect. WAIT_FOREVER is a deadline that never comes; it is for waits
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

/* Installs the signal handlers. The first SIGINT, SIGTERM or SIGHUP sets the
 * flag that every wait checks; the second ends the process at once, with status
 * 128 + its number. SIGPIPE and SIGXFSZ are ignored: the system call fails
 * instead. SIGUSR1 requests a status line; SIGCONT is recorded. */
void wait_signals(void);

/* From now on SIGHUP does not stop the program: wait_reload_asked() returns true
 * once after each. */
void wait_reload(void);
_Bool wait_reload_asked(void);

/* The signal that stopped the program; 0 if none did. */
int wait_stop(void);

/* Stops the program as SIGPIPE would: the reader closed standard output.
 * Returns -1 with ERR_STOPPED. */
int wait_no_reader(struct err *e);

/* 0, or -1: with ERR_STOPPED if a signal stopped the program, with ERR_NET if
 * the calling thread was cancelled (wait_cancel_by). */
int wait_check(struct err *e);

/* From now on the waits of the calling thread also end, with ERR_NET, soon
 * after *flag becomes true; NULL removes the flag. This ends a connection that
 * is no longer needed, wherever it waits. */
void wait_cancel_by(const atomic_bool *flag);

/* True once after each SIGUSR1. */
_Bool wait_status_asked(void);

/* True once after each SIGCONT: the process was suspended before it. */
_Bool wait_continued(void);

/*
 * The time of the next try after failed failures in a row (0 counts as 1). All
 * retries of the program use this rule ("full jitter"): a random wait of 0 to
 * 500 ms after the first failure; each further failure doubles the limit, up to
 * 30 s. If the server asked for a wait (asked, in seconds), it is at least that
 * long, plus up to one second of jitter.
 */
uint64_t wait_retry(unsigned failed, unsigned asked);

/* Fills p with n random bytes fit for keys, from getrandom(), or from
 * /dev/urandom on kernels before 3.17. Shortly after boot the kernel may have
 * none yet: waits, and fails with ERR_NET at the deadline; with ERR_OTHER if
 * there is no source. */
int wait_entropy(void *p, size_t n, uint64_t deadline, struct err *e);

/* 64 random bits for jitter and names, not for keys. Never fails: without a
 * source it mixes the clock and the process id. */
uint64_t wait_random(void);

/* --- Workers around one lock. --- */

/*
 * Threads that share one lock and work until nothing is left, or until the run
 * ends early; the crew keeps the first reason for that.
 *
 * The lock also guards what the workers share of their owner's data. It is held
 * briefly, never during I/O.
 */

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* something that the lock guards has changed */
	size_t left;            /* work that is neither done nor failed */
	bool over;              /* the run ends early, for the reason in why */
	struct err why;
	pthread_t
	    *thread; /* only the main thread uses these, without the lock */
	unsigned count, max;
};

/* The number of workers for that many things that keep a core busy: one a core,
 * at most max. */
unsigned crew_cores(size_t things, unsigned max);

/* Allocates room for max workers; starts none. */
void crew_init(struct crew *c, size_t left, unsigned max);
/* Call crew_join() first. */
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

/* Under the lock, which it releases while it waits: returns after a change, or
 * after ms at the latest, since some work becomes due by time. */
void crew_wait(struct crew *c, unsigned ms);

/* Under the lock: ends the run early. */
void crew_end(struct crew *c, const struct err *why);

/* For the main thread: calls tick, without the lock, after each change and at
 * least ten times a second, until the crew is no longer busy. A signal, or a
 * tick that fails, ends the run. */
void crew_watch(
    struct crew *c, int (*tick)(void *ctx, struct err *e), void *ctx);

/* Waits for all workers; fails with the reason if the run ended early. */
int crew_join(struct crew *c, struct err *e);

#endif
