#ifndef HUB_CLOCK_H
#define HUB_CLOCK_H

/*
 * The time of day, for the dates of certificates and of signed addresses, on
 * machines whose own clock may be wrong: the latest of the system's clock, the
 * day of the build, and what the endpoint has said (Date, over verified TLS).
 *
 * A system clock that is before the build is known to be wrong. A clock that is
 * ahead is not noticed. What the endpoint says counts for this run only: the
 * next one hears it in its first answer, and an endpoint that was wrong once
 * must not spoil all runs to come.
 */

#include <stdbool.h>
#include <stdint.h>

/* Seconds since 1970. */
struct clock_time {
	int64_t system; /* what the machine says */
	int64_t now;    /* what is used */
	bool at_least;  /* it is then or later: nothing says more */
};

/* Pure. seen: what the endpoint has said, and the time since then; 0: nothing
 * so far. */
struct clock_time clock_judge(int64_t system, int64_t build, int64_t seen);

/* True if a time that came with a certificate which lapses at until may be
 * believed: it is not before the build, and the certificate was valid then.
 * Pure. */
bool clock_believes(int64_t date, int64_t build, int64_t until);

/* One for a run, for all threads. */
struct clock;

struct clock *clock_open(void);
void clock_close(struct clock *c); /* takes NULL */

/* Takes NULL: nobody has said anything. */
struct clock_time clock_read(struct clock *c);

/* The endpoint says that it is date, and its certificate lapses at until. */
void clock_tell(struct clock *c, int64_t date, int64_t until);

/* The day of the build. */
int64_t clock_build(void);

#endif
