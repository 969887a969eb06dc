#ifndef HUB_HASHER_H
#define HUB_HASHER_H

/*
 * Hashing beside the transfer: threads that hash files in order while their
 * bytes arrive. Bytes in order are hashed from the memory that received them;
 * bytes out of order, or of an earlier run, are read back when their turn
 * comes. A block that was read back whole is compared with its stored checksum
 * (partial_check), and taken out of the hash again if it differs. Several files
 * are hashed side by side in vector lanes where the CPU gains by that
 * (hash_lanes).
 *
 * The buffers that workers receive into belong to the hasher and are lent: a
 * worker that has written one offers it and continues with the returned one.
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
	/* The end of the bytes of that file that are written without a gap from
	 * offset on; offset itself if there is none. */
	uint64_t (*written)(void *file, uint64_t offset);
	/* A block of that many bytes differs from its checksum, and is missing
	 * now. old: an earlier run wrote it. */
	void (*differs)(void *file, uint64_t bytes, bool old);
	/* All of it is hashed, or (why is not NULL) reading back failed. */
	void (*complete)(
	    void *file, const struct digest *found, const struct err *why);
};

/* spare: buffers beyond those that workers hold; at least 1. NULL if no thread
 * can be started; fewer threads than asked for are enough. */
struct hasher *hasher_open(unsigned threads, unsigned spare,
    const struct hasher_ops *ops, struct err *e);
/* Every file must have been ended, every buffer given back. */
void hasher_close(struct hasher *h);

/* A buffer of HASHER_BUFFER bytes for a worker, and back. */
void *hasher_lend(struct hasher *h);
void hasher_return(struct hasher *h, void *buffer);

/* Begins a file; ops get user as file. The caller pokes it after its own
 * setup. */
struct hashing *hasher_begin(
    struct hasher *h, struct partial *p, enum hash_kind kind, void *user);

/* n bytes at offset were written from this buffer: takes the buffer if they are
 * the next in order, and returns another one; or the same. */
void *hasher_offer(struct hashing *s, void *buffer, size_t n, uint64_t offset);

/* Call after a write out of order: checks for more bytes to hash. */
void hasher_poke(struct hashing *s);

/* Starts over at the first byte. */
void hasher_restart(struct hashing *s);

/* Ends it, complete or not. */
void hasher_end(struct hashing *s);

#endif
