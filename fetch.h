#ifndef HUB_FETCH_H
#define HUB_FETCH_H

/*
 * Requests a range of a content, accepts only an answer with that range, and
 * passes its bytes to the caller as they arrive.
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
	bool direct;          /* url is the kept target of a redirect */
	uint64_t size;        /* of the whole content, not 0 */
	uint64_t first, last; /* the requested range, both inclusive */
	uint64_t stall_ms;    /* for response_pace() */
	void *ctx;
	/* Called for each answer, redirects too. */
	int (*check)(void *ctx, const struct http_head *h,
	    const struct url *url, struct err *e);
	/* Called before the first byte. whole: the server ignores ranges, and
	 * sends the content from 0 on; else from first on. Other ranges can be
	 * requested at that url. */
	void (*begin)(void *ctx, const struct url *url, bool whole);
	/* Returns a buffer of *n bytes for the next bytes; *n is 0 to end the
	 * request early. */
	void *(*room)(void *ctx, size_t *n);
	/* Called when n bytes have arrived in that buffer. */
	int (*take)(void *ctx, size_t n, struct err *e);
};

/* A request that brings fewer bytes than this, and not the whole range, does
 * not count as progress: else a server that sends one byte per request would be
 * tried forever. A shorter answer is a failure, even if its Content-Range
 * announces that length. */
#define FETCH_PROGRESS 4096

enum fetch_end {
	/* room() ended it, or the answer is complete; that may be shorter than
	 * the range. */
	FETCH_OK,
	FETCH_FAILED, /* for the reason in *e */
	/* The server does not, or no longer, accept the signed address: request
	 * a new one. ERR_NET. */
	FETCH_REFUSED,
	/* The server ignored the range, sent no length, and ended early: the
	 * bytes may be anything, such as a login page. ERR_NET. */
	FETCH_DOUBTFUL,
	/* Only xet_fetch(): it cannot be had there. */
	FETCH_ELSEWHERE,
};

/* Makes one request. *e is set unless it returns FETCH_OK; a failure of check()
 * or take() keeps its kind. After ERR_NET a retry may succeed. */
enum fetch_end fetch(const struct fetch *f, struct err *e);

/* --- A whole file, in order. --- */

/*
 * Writes a content, in order, to a descriptor that cannot seek (standard
 * output). Continues after dropped connections, also if the server then begins
 * at 0 again. The hash is known only at the end, so a reader must check the
 * exit status.
 */

struct stream {
	struct client *client;
	const struct repo *repo;
	const struct repo_file *file;
	const char *url;
	unsigned retries; /* in a row without progress */
	uint64_t stall_ms;
	struct progress *progress;
};

/* Fails with ERR_CONTENT if the written bytes are wrong, with ERR_STOPPED if
 * the reader closed fd (wait_no_reader), with ERR_FILE if writing fails. */
int stream_to(const struct stream *s, int fd, struct err *e);

#endif
