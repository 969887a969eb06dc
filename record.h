#ifndef HUB_RECORD_H
#define HUB_RECORD_H

/*
 * The journal of an upload as text, one record a line; no I/O. journal.h says
 * what it is for. A line is
 *
 *	CRC KIND FIELD...
 *
 * with one blank between: the CRC-32 of what follows it in 8 hexadecimal
 * digits, a letter, then decimal numbers, keys and hashes in hexadecimal, and,
 * last, a text without control characters:
 *
 *	J inode                                     first line: a journal, there
 *	H key size mtime ctime inode device time digest   a file's hash
 *	U upload key size chunk expires sha256 url  an upload; url completes it
 *	V upload url                                where to verify it
 *	P upload part url                           where a part goes (from 1)
 *	E upload part etag                          a part has arrived
 *	D upload                                    it is through, or lost
 *
 * An upload is a number, of use only within one file. A later line counts more
 * than an earlier one.
 */

#include <stdint.h>

#include "hash.h"
#include "str.h"
#include "url.h"

#define RECORD_KEY 16

/* The longest line, with its end. */
#define RECORD_MAX (URL_MAX + 512)

enum record_kind {
	RECORD_JOURNAL = 'J',
	RECORD_HASH = 'H',
	RECORD_UPLOAD = 'U',
	RECORD_VERIFY = 'V',
	RECORD_PART = 'P',
	RECORD_ETAG = 'E',
	RECORD_DONE = 'D',
};

/* Only what the kind has is set. */
struct record {
	enum record_kind kind;
	unsigned char key[RECORD_KEY]; /* of a path, or a repository */
	uint64_t size;
	uint64_t mtime, ctime; /* ns since 1970, two's complement */
	uint64_t inode, device;
	uint64_t time; /* Unix seconds when it was written */
	uint64_t upload, chunk, expires, part;
	struct digest digest;
	struct str text;
};

/* Reads a line, given without its end; text points into it. -1 if it is none of
 * ours, whole and with the right sum. */
int record_parse(struct str line, struct record *out);

/* Appends the line with its end. Nothing is added if the text cannot be in a
 * line, or is too long: then -1. */
int record_put(struct buf *b, const struct record *r);

#endif
