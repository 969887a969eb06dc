#ifndef HUB_STREAM_H
#define HUB_STREAM_H

/*
 * One content, in order, to a descriptor that cannot seek (standard output).
 * Continues over dropped connections, also where the server then begins at 0
 * again; the hash is known at the end only, so a reader must look at the exit
 * status.
 */

#include "repo.h"

struct err;
struct progress;

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
