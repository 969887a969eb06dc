#ifndef HUB_TRANSFER_H
#define HUB_TRANSFER_H

/*
 * Contents from addresses to partial files: one queue of byte ranges over all
 * files, on up to N connections; workers, retries, rates, stalls. Knows
 * nothing of the Hub: a content is "size bytes with this digest, at this
 * address".
 *
 * Every request for content carries a Range; a 206 must have the right
 * Content-Range. A 200 has all of the content: what of it is here already is
 * dropped. Hashing runs beside the transfer, in order; a file is read back only
 * for what came out of order or in an earlier run. Bytes are written once, by
 * the one connection that has their range; a connection that stands still loses
 * it and is left. The address that a redirect leads to is kept for all ranges
 * of a file, and asked for anew before it lapses and on 401, 403 and 404 of a
 * foreign host.
 *
 * No file gets its name before its bytes are on the disk. Small ones go there
 * some at a time, which costs a fraction of one sync for each.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "queue.h"

struct client;
struct err;
struct http_head;
struct partial;
struct progress;
struct transfer_file;
struct transfer_job;
struct transfer_queue;
struct url;

struct transfer_ops {
	/* What content i is. The name must last for the run. */
	void (*content)(void *ctx, size_t i, struct content *out);
	/* Content i is about to be fetched: gives where its bytes go, and the
	 * address to ask, which transfer_run() frees. */
	struct partial *(*begin)(
	    void *ctx, size_t i, char **url, struct err *e);
	/* Each answer on the way to content i, redirects too. */
	int (*check)(void *ctx, size_t i, const struct http_head *h,
	    const struct url *url, struct err *e);
	/* The bytes are verified and on the disk, in that partial, which has
	 * that name below the folder: publish. */
	int (*done)(void *ctx, size_t i, const struct partial *p,
	    const char *name, struct err *e);
	/* Content i is given up. */
	void (*failed)(void *ctx, size_t i, const struct err *e);
};

struct transfer {
	struct client *client;
	size_t count;  /* of contents */
	unsigned jobs; /* connections at the most */
	unsigned
	    retries; /* tries in a row without progress, for each content */
	uint64_t stall_ms; /* a connection is judged over that time */
	uint64_t rate;     /* --limit-rate, in bytes a second; 0: none */
	struct progress *progress;
	const struct transfer_ops *ops;
	void *ctx;
};

/* Runs to the end: every content is done or failed. One that fails does not
 * stop the others, but what concerns all (disk full, stopped by a signal, not
 * allowed) does. Returns -1 with that, else 0. */
int transfer_run(const struct transfer *t, struct err *e);

#endif
