#ifndef HUB_LFS_ASK_H
#define HUB_LFS_ASK_H

/*
 * What is to be done with which object: asked of the Hub in groups, in every
 * run, since only the Hub knows what it has. An upload that the journal knows
 * goes on. The addresses that come out are ready to be used.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lfs_batch.h"

struct err;
struct journal;
struct lfs_object;
struct repo;

struct lfs_ask_ops {
	/* The storage has object i already. */
	void (*kept)(void *ctx, size_t i);
	/* It is to be sent; *m is the callee's. known: the journal has it. */
	void (*send)(void *ctx, size_t i, struct multipart *m, bool known);
	void (*refused)(void *ctx, size_t i, const struct err *why);
};

/* Waits between tries, in ms: full jitter below these. */
#define LFS_BACKOFF_BASE 500
#define LFS_BACKOFF_CAP 30000

struct lfs_ask {
	const struct repo *repo;
	const char *revision; /* or NULL */
	unsigned retries; /* for objects that the Hub cannot answer for now */
	struct journal *journal; /* or NULL */
	const struct lfs_object *object;
	size_t n;
	const bool *later; /* objects that are passed over */
	const struct lfs_ask_ops *ops;
	void *ctx;
};

/* One group of objects, from *next on: each is told to ops, unless it fails.
 * *next becomes the first one behind them. */
int lfs_ask_group(const struct lfs_ask *a, size_t *next, struct err *e);

/* Object i alone: LFS_STORED, or LFS_SEND and *m, which is the caller's. Fails
 * for LFS_ERROR, too. *m is all zero but for LFS_SEND. */
int lfs_ask_one(const struct lfs_ask *a, size_t i, enum lfs_action *action,
    struct multipart *m, struct err *e);

#endif
