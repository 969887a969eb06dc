#ifndef HUB_LFS_OBJECT_H
#define HUB_LFS_OBJECT_H

/* What is to be sent: files that were hashed, some with the same content. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"

struct lfs_object {
	const char *name;     /* for messages and the display */
	uint64_t size;        /* not 0: the storage takes no empty content */
	struct digest digest; /* SHA-256 */
};

#define LFS_NONE SIZE_MAX

/* The objects of a list that have the same content, in the list's order. */
struct lfs_copies {
	size_t *next; /* of each: the next one of its content, or LFS_NONE */
	bool *later;  /* of each: it is not the first of its content */
	size_t contents;
	uint64_t bytes; /* of these */
};

/* Finds them among n objects. */
void lfs_copies_init(
    struct lfs_copies *c, const struct lfs_object *object, size_t n);
void lfs_copies_release(struct lfs_copies *c);

#endif
