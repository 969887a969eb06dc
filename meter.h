#ifndef HUB_METER_H
#define HUB_METER_H

/*
 * Counts the bytes of content over all threads and keeps them to a rate.
 */

#include <stddef.h>
#include <stdint.h>

struct err;

/*
 * A token bucket that may run into debt: who transfers n bytes spends n, and
 * nobody transfers while level is not above 0. So the number of those who share
 * it does not matter, and none holds bytes back from the others. Times are of
 * wait_now(). A rate of 0 is no limit.
 */
struct bucket {
	uint64_t rate; /* bytes a second */
	int64_t level; /* thousandths of a byte */
	uint64_t at;   /* the time of level */
};

struct bucket bucket_make(uint64_t rate, uint64_t now);

/* Milliseconds until something may be transferred; 0: now. */
uint64_t bucket_delay(struct bucket *b, uint64_t now);
void bucket_spend(struct bucket *b, uint64_t n);

struct meter;

/* For all threads; rate in bytes a second. */
struct meter *meter_open(uint64_t rate);
void meter_close(struct meter *m); /* takes NULL */

/* Waits for the turn; *cap is made smaller if so much at once would make the
 * flow jerk. Then comes the transfer, then meter_spend() with what it moved.
 * Fails only with ERR_STOPPED. */
int meter_wait(struct meter *m, size_t *cap, struct err *e);
void meter_spend(struct meter *m, uint64_t n);

/* Bytes of content that were moved, and their sums. */
void meter_add(struct meter *m, uint64_t received, uint64_t sent);
uint64_t meter_received(struct meter *m);
uint64_t meter_sent(struct meter *m);

#endif
