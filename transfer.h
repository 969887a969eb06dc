#ifndef HUB_TRANSFER_H
#define HUB_TRANSFER_H

/*
 * Downloads contents from their addresses to partial files: one queue of byte
 * ranges over all files, on up to N connections, with retries and the rescue of
 * stalled connections. Knows nothing of the Hub: a content is "size bytes with
 * this digest, at this address".
 *
 * Every request carries a Range; a 206 must have the matching Content-Range. A
 * 200 has all of the content: bytes that are already here are dropped. Hashing
 * runs beside the transfer, in order; a file is read back only where bytes
 * arrived out of order or in an earlier run. Each byte is written once, by the
 * connection that has its range; a stalled connection loses its range and is
 * closed. All ranges of a file use the target of its redirect; it is requested
 * again before it expires, and after a 401, 403, 404 or 410 of another host.
 *
 * A large content with a Xet hash comes from the Xet storage instead (xet.h), in
 * the same ranges; when that fails, what is missing comes from its address.
 *
 * No file gets its name before its bytes are on the disk. Small files are
 * synced in groups, which is much cheaper than one sync for each.
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
struct xet;

struct transfer_ops {
	/* Describes content i. The name must last for the run. */
	void (*content)(void *ctx, size_t i, struct content *out);
	/* Called before content i is fetched: returns its partial file, and its
	 * URL in *url, which transfer_run() frees. */
	struct partial *(*begin)(
	    void *ctx, size_t i, char **url, struct err *e);
	/* Called for each answer to a request for content i, redirects too. */
	int (*check)(void *ctx, size_t i, const struct http_head *h,
	    const struct url *url, struct err *e);
	/* Publishes content i: its bytes are verified and on the disk, in the
	 * partial file p, with that name below the folder. */
	int (*done)(void *ctx, size_t i, const struct partial *p,
	    const char *name, struct err *e);
	/* Content i is given up. */
	void (*failed)(void *ctx, size_t i, const struct err *e);
};

struct transfer {
	struct client *client;
	size_t count;     /* contents */
	unsigned jobs;    /* connections at the most */
	unsigned retries; /* tries in a row without progress, per content */
	uint64_t
	    stall_ms;  /* time over which a connection's speed is measured */
	uint64_t rate; /* --limit-rate, in bytes a second; 0: none */
	struct progress *progress;
	const struct transfer_ops *ops;
	void *ctx;
	struct xet *xet; /* for contents with a Xet hash; NULL: none is used */
};

/* Fetches all contents. Returns 0 when each is done or failed: a failed content
 * does not stop the others. Returns -1 as soon as a failure concerns all of
 * them (disk full, a signal, access denied several times in a row). */
int transfer_run(const struct transfer *t, struct err *e);

#endif
