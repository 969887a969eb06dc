#ifndef HUB_FETCH_H
#define HUB_FETCH_H

/*
 * One request for a range of a content: asks, believes only an answer that is
 * that range, and hands on its bytes as they come. Whoever calls decides where
 * they go and what a failure means.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "repo.h"

struct client;
struct err;
struct http_head;
struct progress;
struct url;

/* --- One range. --- */

struct fetch {
	struct client *client;
	const char *url;
	bool direct;          /* url is one that another one led to */
	uint64_t size;        /* of the whole content, not 0 */
	uint64_t first, last; /* asked for, both inclusive */
	uint64_t stall_ms;    /* response_pace() is judged over that time */
	void *ctx;
	/* Each answer on the way, redirects too. */
	int (*check)(void *ctx, const struct http_head *h,
	    const struct url *url, struct err *e);
	/* Bytes follow: those from first on, or (whole: the server ignores
	 * ranges) all of the content from 0 on. Other ranges are to be asked
	 * for at that address. */
	void (*begin)(void *ctx, const struct url *url, bool whole);
	/* Where the next bytes go: at most *n of them; *n is 0 to end early. */
	void *(*room)(void *ctx, size_t *n);
	/* n bytes came there. */
	int (*take)(void *ctx, size_t n, struct err *e);
};

/* A try that brought fewer bytes, and not all that was asked for, has brought
 * nothing: else a server that gives one byte a try would be asked for ever. An
 * answer that is shorter, though its server says so, is a failure. */
#define FETCH_PROGRESS 4096

enum fetch_end {
	FETCH_OK,       /* room() ended it, or the answer is through: it may
			* have been shorter than what was asked for */
	FETCH_FAILED,   /* e says why */
	FETCH_REFUSED,  /* the address that url is, or led to, is not accepted,
			* or no longer: a new one may be (ERR_NET) */
	FETCH_DOUBTFUL, /* it ignores ranges, did not say how long its answer
			 * is, and ended early (ERR_NET): what came may be
			 * anything, a login page for one */
};

/* Makes the request, once. e is set for all ends but FETCH_OK; a failure of
 * check() or take() keeps its kind, and ERR_NET is what another try may
 * mend. */
enum fetch_end fetch(const struct fetch *f, struct err *e);

/* --- A whole file, in order. --- */

/*
 * One content, in order, to a descriptor that cannot seek (standard output).
 * Continues over dropped connections, also where the server then begins at 0
 * again; the hash is known at the end only, so a reader must look at the exit
 * status.
 */

struct stream {
	struct client *client;
	const struct repo *repo;
	const struct repo_file *file;
	const char *url;
	unsigned retries; /* in a row without a byte */
	uint64_t stall_ms;
	struct progress *progress;
};

/* ERR_CONTENT if what was written is not the content; ERR_STOPPED if nobody
 * reads any more (wait_no_reader); ERR_FILE if it cannot be written. */
int stream_to(const struct stream *s, int fd, struct err *e);

#endif
