#ifndef HUB_RANGES_H
#define HUB_RANGES_H

/*
 * The byte ranges of one file that are being fetched, or were begun and wait
 * for a connection. Pure; the caller locks.
 *
 * Invariants: begin <= at <= end; ranges do not overlap; bytes from begin to at
 * were written in this run; a range that is not busy has at < end.
 */

#include <stdbool.h>
#include <stdint.h>

struct range {
	uint64_t begin, at, end;
	uint64_t moved; /* ms, when a byte last came; kept by the caller */
	bool busy;
	struct range *next;
};

/* All zero is the empty set. */
struct ranges {
	struct range *first;
};

/* The first missing range at or after from, at most limit bytes long, as
 * partial_missing() gives it; false if there is none. */
typedef bool ranges_missing(
    void *ctx, uint64_t from, uint64_t limit, uint64_t *first, uint64_t *end);

/* A range to fetch, marked busy: one that waits, else the first missing bytes
 * that no range covers, at most limit of them. NULL if there is none. It
 * belongs to the set. */
struct range *ranges_take(
    struct ranges *s, uint64_t limit, ranges_missing *missing, void *ctx);

/* Takes over the second half of the busy range that has most left, if that is
 * at least 2 * least bytes; cut at a multiple of least. The range it is taken
 * from ends earlier from then on. NULL if there is none. */
struct range *ranges_split(struct ranges *s, uint64_t least);

/* Takes over all that is left of a busy range on which nothing has come since
 * the time before; it ends where it is. NULL if there is none. */
struct range *ranges_rescue(struct ranges *s, uint64_t before);

/* Makes r, which is the only busy one, the whole file of that size, from its
 * beginning; those that wait are dropped. */
void ranges_whole(struct ranges *s, struct range *r, uint64_t size);

/* Its connection is done with it: it is removed if complete, else it waits. */
void ranges_put(struct ranges *s, struct range *r);

/* The end of the bytes written without a gap from offset on, as far as one of
 * the ranges knows; offset if none does. */
uint64_t ranges_written(const struct ranges *s, uint64_t offset);

/* How many are busy. */
unsigned ranges_busy(const struct ranges *s);

/* Drops all; none may be busy. */
void ranges_release(struct ranges *s);

#endif
