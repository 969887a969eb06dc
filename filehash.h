#ifndef HUB_FILEHASH_H
#define HUB_FILEHASH_H

/* The hash of a local file, read in order. */

#include <stddef.h>
#include <stdint.h>

#include "hash.h"

struct err;

/* Hashes size bytes of fd from 0 on; name is for messages. moved (may be NULL)
 * is told of every piece. ERR_FILE if it cannot be read or is shorter;
 * ERR_STOPPED when a signal asks for the end. */
int filehash(int fd, uint64_t size, enum hash_kind kind, const char *name,
    void (*moved)(void *ctx, size_t n), void *ctx, struct digest *out,
    struct err *e);

#endif
