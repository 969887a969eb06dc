#ifndef HUB_REPLY_H
#define HUB_REPLY_H

/*
 * The answers of `hub serve`: the Hub's read-only API over what a site offers.
 * It knows no sockets.
 *
 * A path in a request is only compared with the paths that were found when the
 * folders were looked at: it never reaches the file system.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "file.h"
#include "str.h"

struct site;

struct reply_request {
	bool post; /* else GET or HEAD */
	bool head;
	struct str target; /* path and query */
	struct str host;   /* of links; "": links have a path only */
	bool secure;       /* links begin with "https" */
	struct str range, if_range, none_match; /* fields; "": absent */
	struct str type, body;                  /* of a POST */
};

/* The largest body of a request. */
#define REPLY_BODY_MAX 262144

/* The most paths that a request can ask for. */
#define REPLY_PATHS_MAX 1000

/* Makes the rest of a long text, piece by piece. */
struct reply_rest;

struct reply {
	unsigned status;
	struct buf fields; /* "Name: value\r\n" each, without the length */
	struct buf body;
	struct reply_rest *rest; /* reply_more() makes more of the body, whose
				  * length is unknown; NULL: it is whole */
	int fd; /* the body is length bytes of this file from first on; the
		 * caller closes it. -1: the body is the text. */
	uint64_t first, length; /* of HEAD, length is what GET would send */
	struct stamp stamp; /* of fd. Send no bytes that are read while the file
			     * has another one: they are not proved. */
	bool prove;         /* call site_prove() soon */
};

/* Sets all of out; release it with reply_release(). Any thread may call it. */
void reply_make(
    struct site *s, const struct reply_request *q, struct reply *out);
void reply_release(struct reply *a);

/* Adds a piece of some 16 KiB to out. 1: there is more; 0: that was the last
 * one; -1: a file has changed, so that the text cannot be ended. */
int reply_more(struct reply_rest *rest, struct buf *out);
void reply_rest_release(struct reply_rest *rest); /* takes NULL */

/* Replaces out, which is released, by a refusal with that text. code is the
 * X-Error-Code; NULL: none. */
void reply_fail(
    struct reply *out, unsigned status, const char *code, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

#endif
