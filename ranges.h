#ifndef HUB_RANGES_H
#define HUB_RANGES_H

/*
 * The byte ranges of one file that are being fetched, or were begun and wait
 * for a connection. Pure; the caller locks.
 *
 * A range belongs to one holder, who alone writes the bytes from at on. When it
 * is rescued it goes over to another holder as it is, so no byte is written by
 * two; never while it is pinned, that is, while a write is in flight.
 *
 * Invariants: begin <= at <= end; ranges do not overlap; bytes from begin to at
 * were written in this run; a range without a holder has at < end.
 */

#include <stdbool.h>
#include <stdint.h>

struct range {
	uint64_t begin, at, end;
	uint64_t sum;   /* the caller's, about the bytes from begin to at */
	uint64_t moved; /* ms, when a byte last came; kept by the caller */
	void *holder;   /* NULL: it waits */
	bool pinned;
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

/* A range to fetch, which goes to holder: the lowest that waits at from or
 * later, or the first missing bytes there that no range covers, at most limit
 * of them; whichever is lower. NULL if there is none. It belongs to the set. */
struct range *ranges_take(struct ranges *s, uint64_t from, uint64_t limit,
    ranges_missing *missing, void *ctx, void *holder);

/* Takes over the second half of the held range that has most left, if that is
 * at least 2 * least bytes; cut at a multiple of least. The range it is taken
 * from ends earlier from then on. NULL if there is none. */
struct range *ranges_split(struct ranges *s, uint64_t least, void *holder);

/* A held range on which nothing has come since the time before; NULL if there is
 * none. The caller gives it another holder. */
struct range *ranges_stalled(struct ranges *s, uint64_t before);

/* n bytes were written at r->at. begin follows by whole blocks: what is before
 * it is here by other means. */
void ranges_advance(struct range *r, uint64_t n, uint64_t block);

/* Its holder is done with it: it is removed if complete, else it waits. */
void ranges_put(struct ranges *s, struct range *r);

/* The end of the bytes written without a gap from offset on, as far as one of
 * the ranges knows; offset if none does. */
uint64_t ranges_written(const struct ranges *s, uint64_t offset);

/* How many have a holder. */
unsigned ranges_held(const struct ranges *s);

/* Drops all; none may be held. */
void ranges_release(struct ranges *s);

#endif
