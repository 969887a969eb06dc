#ifndef HUB_RAMP_H
#define HUB_RAMP_H

/*
 * How many connections to use: starts with few, adds while the sum of their
 * rates grows by a tenth or more, halves when it collapses or when the server
 * says that it is too much. Pure: time and work are given.
 */

#include <stdbool.h>
#include <stdint.h>

#define RAMP_START 4
#define RAMP_PERIOD 500 /* ms between two looks */
#define RAMP_HOLD 5000  /* ms without growth after a look that found no gain */
#define RAMP_TRIAL 3000 /* ms in which growth must show a gain, if it must */

struct ramp {
	unsigned allowed, max;
	uint64_t looked, work; /* at the last look */
	uint64_t best;         /* work a second that justified allowed */
	uint64_t rate;         /* work a second between the last two looks */
	uint64_t hold;         /* no growth before: the server refused */
	uint64_t probe;        /* no growth without a gain before */
	/* Growth that brings no gain is taken back: each connection holds work
	 * that an interruption loses. */
	bool retreats;
	unsigned before; /* what was allowed before the last growth */
	uint64_t grown;  /* when that was */
};

struct ramp ramp_make(unsigned max, uint64_t now);

/* One that begins with a single connection, and retreats. */
struct ramp ramp_make_careful(unsigned max, uint64_t now);

/* work: units done so far (bytes, with something added for each file, since
 * small files cost round trips). Returns the connections to use from now on,
 * 1..max. */
unsigned ramp_step(struct ramp *r, uint64_t now, uint64_t work);

/* The server refused: too many. */
void ramp_back(struct ramp *r, uint64_t now);

#endif
