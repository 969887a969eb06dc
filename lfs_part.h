#ifndef HUB_LFS_PART_H
#define HUB_LFS_PART_H

/*
 * One part of one content, from its file to the storage. A part of something
 * else than what was hashed never arrives.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lfs_batch.h"

struct err;
struct lfs_object;
struct progress;
struct repo;

struct lfs_part {
	const struct repo *repo;
	const struct lfs_object *object;
	int fd; /* of its file */
	const struct multipart *m;
	size_t i; /* which part of it */
	struct progress *progress;
	unsigned shown; /* the object's number there */
	/* Whether it makes sense to send on. */
	bool (*wanted)(void *ctx);
	/* Fails if the file is not what was hashed. */
	int (*check)(void *ctx, struct err *e);
	void *ctx;
};

/* One try. ARRIVED: *etag is the caller's, "" if the storage needs none. What
 * did not arrive is taken back from the display. */
enum lfs_verdict lfs_part_send(
    const struct lfs_part *p, char **etag, struct err *e);

#endif
