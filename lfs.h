#ifndef HUB_LFS_H
#define HUB_LFS_H

/*
 * Contents to the Hub's storage by Git LFS (hub-protocol.md, 9.5 and 9.6): asks
 * in batches what is missing, sends files and parts of files from disk over N
 * connections from one queue, completes and verifies. Memory does not depend on
 * the sizes. A content that is there already costs nothing but its line in the
 * question, which is asked in every run; the same content twice is sent once.
 *
 * The journal (may be NULL) makes a later run go on inside a file. An address
 * that has lapsed is asked for anew. A file that is not what it was when it was
 * hashed, before or while it is sent, fails with ERR_CONTENT; so does one whose
 * bytes are others than its hash says, in the storage's words.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lfs_object.h"

struct err;
struct journal;
struct progress;
struct repo;

struct lfs_ops {
	/* A descriptor to read object i with, which is closed here; ERR_CONTENT
	 * if the file is not the one that was hashed. From any thread. */
	int (*open)(void *ctx, size_t i, struct err *e);
	/* Fails with ERR_CONTENT if it is that no more; fd is of open(). From
	 * any thread. */
	int (*check)(void *ctx, size_t i, int fd, struct err *e);
	/* Object i is stored (sent: it was not before); or given up. Once for
	 * each object (not for those that the end of the run leaves behind),
	 * from any thread, one call at a time. The reason does not name the
	 * object. */
	void (*stored)(void *ctx, size_t i, bool sent);
	void (*failed)(void *ctx, size_t i, const struct err *why);
};

struct lfs {
	const struct repo *repo;
	const char *revision; /* NULL with a new pull request */
	unsigned jobs;        /* connections at the most */
	unsigned retries;     /* tries in a row without a part arriving */
	struct progress *progress;
	struct journal *journal; /* or NULL */
	const struct lfs_ops *ops;
	void *ctx;
};

/* Runs to the end: every object is stored or failed. One that fails does not
 * stop the others, but what concerns all (not allowed, no connection, stopped
 * by a signal) does. Returns -1 with that, else 0. A phase "sending" of its own
 * in the display. */
int lfs_send(const struct lfs *l, const struct lfs_object *object, size_t n,
    struct err *e);

#endif
