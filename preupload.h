#ifndef HUB_PREUPLOAD_H
#define HUB_PREUPLOAD_H

/*
 * The question how each file is to be sent, and the Hub's answer
 * (hub-protocol.md, 9.4). Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "str.h"

struct err;

/* So many files are asked for at once, and so much of each is shown. */
#define PREUPLOAD_MAX 256
#define PREUPLOAD_SAMPLE 512

/* The question, file by file: begin, add each, end. */
void preupload_begin(struct buf *b);
void preupload_add(struct buf *b, const char *path, uint64_t size,
    const void *sample, size_t n);
/* The contents of a .gitignore and a .gitattributes that are part of the
 * upload: they count before they are there. NULL: none. */
void preupload_end(struct buf *b, const char *ignore, const char *attributes);

struct preupload_mode {
	const char *path; /* borrowed for the call */
	bool lfs;
	bool ignored; /* the repository's .gitignore leaves it out */
	bool known;   /* the path is there now, with the content there */
	struct digest there;
};

/* Calls each() for each file of the answer, in the Hub's order. commit gets
 * the head at that time (40 digits and '\0'), "" if it was not said. ERR_NET if
 * the text is no JSON, ERR_CONTENT if it is no such answer. */
int preupload_parse(struct str text,
    void (*each)(void *ctx, const struct preupload_mode *m), void *ctx,
    char commit[41], struct err *e);

#endif
