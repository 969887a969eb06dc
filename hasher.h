#ifndef HUB_HASHER_H
#define HUB_HASHER_H

/*
 * Hashing beside the transfer: threads that hash files in order while their
 * bytes arrive. Bytes in order are hashed from the buffer that received them;
 * bytes that arrived out of order, or in an earlier run, are read back when the
 * hash reaches them. A block that was read back whole is compared with its
 * stored checksum (partial_check); if it differs, the hash goes back to its
 * beginning. Several files are hashed side by side in vector lanes where that
 * is faster (hash_lanes).
 *
 * The hasher lends the workers their receive buffers: a worker that has written
 * a buffer offers it, and continues with the returned one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"

struct err;
struct partial;
struct hasher;
struct hashing;

#define HASHER_BUFFER ((size_t)128 << 10)

/* Called by the hasher's threads, without its lock. */
struct hasher_ops {
	/* The end of the bytes that are written without a gap from offset on;
	 * offset itself if there are none. */
	uint64_t (*written)(void *file, uint64_t offset);
	/* A block, of bytes bytes, differed from its checksum and is missing
	 * now. old: an earlier run wrote it. */
	void (*differs)(void *file, uint64_t bytes, bool old);
	/* The file is hashed; or, if why is not NULL, reading back failed. */
	void (*complete)(
	    void *file, const struct digest *found, const struct err *why);
};

/* spare: buffers beyond those that workers hold; at least 1. NULL if no thread
 * can be started; fewer than requested are enough. */
struct hasher *hasher_open(unsigned threads, unsigned spare,
    const struct hasher_ops *ops, struct err *e);
/* Call hasher_end() for each file and hasher_return() for each buffer before. */
void hasher_close(struct hasher *h);

/* Lends a worker a buffer of HASHER_BUFFER bytes, and takes it back. */
void *hasher_lend(struct hasher *h);
void hasher_return(struct hasher *h, void *buffer);

/* Begins a file; ops get user as file. Call hasher_poke() when they may be
 * called. */
struct hashing *hasher_begin(
    struct hasher *h, struct partial *p, enum hash_kind kind, void *user);

/* Call after n bytes of this buffer were written at offset: if they are the
 * next in order, the hasher keeps the buffer and returns another one; else it
 * returns the same. */
void *hasher_offer(struct hashing *s, void *buffer, size_t n, uint64_t offset);

/* Call after a write out of order: checks for more bytes to hash. */
void hasher_poke(struct hashing *s);

/* Hashes the file again from its first byte. */
void hasher_restart(struct hashing *s);

/* Ends and frees it, complete or not. */
void hasher_end(struct hashing *s);

#endif
