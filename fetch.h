#ifndef HUB_FETCH_H
#define HUB_FETCH_H

/*
 * Requests a range of a content, accepts only an answer with that range, and
 * passes on its bytes as they arrive. The caller decides where they go and what
 * a failure means.
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
	bool direct;          /* url is the target of a redirect */
	uint64_t size;        /* of the whole content, not 0 */
	uint64_t first, last; /* asked for, both inclusive */
	uint64_t stall_ms;    /* response_pace() is judged over that time */
	void *ctx;
	/* Called for each answer, redirects too. */
	int (*check)(void *ctx, const struct http_head *h,
	    const struct url *url, struct err *e);
	/* Called before the bytes: those from first on, or (whole: the server
	 * ignores ranges) all of the content from 0 on. Request other ranges at
	 * that url. */
	void (*begin)(void *ctx, const struct url *url, bool whole);
	/* Returns a buffer for the next bytes, of *n bytes; *n is 0 to end
	 * early. */
	void *(*room)(void *ctx, size_t *n);
	/* Called after n bytes arrived in that buffer. */
	int (*take)(void *ctx, size_t n, struct err *e);
};

/* A try that received fewer bytes than this, and not the whole range, counts as
 * no progress: else a server that sends one byte a try would be retried
 * forever. An answer that is shorter, even by its own Content-Range, is a
 * failure. */
#define FETCH_PROGRESS 4096

enum fetch_end {
	FETCH_OK,       /* room() ended it, or the answer is complete: it may
			 * have been shorter than the range */
	FETCH_FAILED,   /* e says why */
	FETCH_REFUSED,  /* url, or the target of its redirect, is not or no
			 * longer accepted: a new address may be (ERR_NET) */
	FETCH_DOUBTFUL, /* the server ignores ranges, sent no length, and ended
			 * early (ERR_NET): the bytes may be anything, such as
			 * a login page */
};

/* Makes the request, once. e is set for all results but FETCH_OK; a failure of
 * check() or take() keeps its kind; ERR_NET may succeed on a retry. */
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

/* ERR_CONTENT if the written bytes are wrong; ERR_STOPPED if the reader has
 * closed fd (wait_no_reader); ERR_FILE if writing fails. */
int stream_to(const struct stream *s, int fd, struct err *e);

#endif
