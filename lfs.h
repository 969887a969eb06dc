#ifndef HUB_LFS_H
#define HUB_LFS_H

/*
 * Sends contents to the Hub's storage by Git LFS, or by Xet (xetup.h) where the
 * Hub wants that: asks in batches what is missing, sends files, parts of files
 * and xorbs over N connections from one queue (queue.h), completes and verifies.
 * Memory does not depend on the sizes. A stored content costs only its line in the batch request of each
 * run; equal contents are sent once.
 *
 * With the journal (may be NULL) a later run continues inside a file. Expired
 * addresses are requested again. A file that changed after it was hashed fails
 * with ERR_CONTENT; so does one that the storage reports to differ from its
 * hash.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "hash.h"

struct journal;
struct progress;
struct repo;
struct xetup;

/* --- Contents, each once. --- */

/* Hashed files to be sent, some with the same content. */

struct lfs_object {
	const char *name;     /* for messages and the display */
	uint64_t size;        /* not 0: the storage takes no empty content */
	struct digest digest; /* SHA-256 */
	bool in_doubt;        /* it may be wrong: what is sent is hashed, too */
};

#define LFS_NONE SIZE_MAX

/* The objects of a list that have the same content, in the list's order. */
struct lfs_copies {
	size_t *next; /* for each: the next one of its content, or LFS_NONE */
	bool *later;  /* for each: it is not the first of its content */
	size_t contents;
	uint64_t bytes; /* of these */
};

/* --- The threads. --- */

struct lfs_ops {
	/* Opens object i to read it; the caller of open() closes it.
	 * ERR_CONTENT if the file has changed since it was hashed. From any
	 * thread. */
	int (*open)(void *ctx, size_t i, struct err *e);
	/* Fails with ERR_CONTENT if the file has changed; fd is of open(). From
	 * any thread. */
	int (*check)(void *ctx, size_t i, int fd, struct err *e);
	/* Object i is stored (sent: this run sent it), or failed. One of them
	 * is called once for each object (unless the run ends early), from any
	 * thread, one call at a time. why does not name the object. */
	void (*stored)(void *ctx, size_t i, bool sent);
	void (*failed)(void *ctx, size_t i, const struct err *why);
};

struct lfs {
	const struct repo *repo;
	const char *revision; /* NULL with a new pull request */
	unsigned jobs;        /* connections at the most */
	unsigned packing;     /* xorbs that may be packed at the same time */
	unsigned retries;     /* tries in a row without a part arriving */
	struct progress *progress;
	struct journal *journal; /* or NULL */
	struct xetup *xet;       /* NULL: Xet is not to be used */
	const struct lfs_ops *ops;
	void *ctx;
};

/* Runs to the end: every object is stored or failed. A failed object does not
 * stop the others, but a failure that concerns all (not allowed, no connection,
 * a signal) does, and returns -1; else 0. The display shows it as the phase
 * "sending". */
int lfs_send(const struct lfs *l, const struct lfs_object *object, size_t n,
    struct err *e);

#endif
