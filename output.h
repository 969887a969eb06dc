#ifndef HUB_OUTPUT_H
#define HUB_OUTPUT_H

/*
 * What a command has to say on standard output. It is gathered, and goes out in
 * pieces: the report of a hundred thousand files would take more memory than
 * the rest of the run.
 */

#include <stdio.h>

#include "str.h"

struct err;

/* All is put into text, of which OUTPUT_PIECE bytes and one line more are kept
 * at the most if output_more() is called after each. */
struct output {
	struct buf text;
	FILE *to;
	int error; /* errno of what could not be written; 0: none so far */
};

#define OUTPUT_PIECE 16384

/* to is borrowed. */
struct output output_make(FILE *to);

/* Gives away what is there, if that is much. */
void output_more(struct output *o);

/* Gives away the rest and empties o. ERR_FILE if anything could not be written:
 * a full disk shows up only here. ERR_STOPPED if nobody reads it any more,
 * ERR_OTHER if a piece was larger than the memory that there is for it. */
int output_end(struct output *o, struct err *e);

#endif
