#ifndef HUB_BLAKE3_H
#define HUB_BLAKE3_H

/*
 * BLAKE3 with 32 bytes of output, plain or with a key: what names chunks,
 * xorbs and files in Xet (chunk.h). The content may come in pieces of any size.
 *
 * BLAKE3 hashes leaves of 1024 bytes, each by itself, and then pairs of what
 * came out, up to one root: so several leaves go side by side in the lanes of
 * vectors where the CPU has them (AVX2, else SSE2 or NEON).
 */

#include <stddef.h>
#include <stdint.h>

#define BLAKE3_SIZE 32

/* Subtrees wait for their right half, one of each size: 2^64 bytes are 2^54
 * leaves. One more while the last two are joined. */
#define BLAKE3_DEPTH 55

/* A hash under way, about 2 KB. Fields are the unit's; it may be copied as a
 * whole. There is nothing to release. */
struct blake3 {
	uint32_t key[8];
	uint32_t flags;  /* of every compression */
	uint64_t leaves; /* whole ones before the open one */
	uint32_t cv[8];  /* of the open leaf, after its first blocks */
	unsigned blocks; /* of the open leaf that are in cv */
	unsigned filled; /* bytes of block, which is the next */
	unsigned char block[64];
	unsigned depth; /* subtrees on the stack, the leftmost first */
	unsigned char stack[BLAKE3_DEPTH][BLAKE3_SIZE];
	const struct blake3_impl *impl; /* for this CPU; NULL: not asked yet */
};

/* Without a key if that is NULL. */
void blake3_init(struct blake3 *h, const unsigned char key[BLAKE3_SIZE]);
/* The same for one that was initialised before, or a copy of one, without
 * asking the CPU again, which costs microseconds in a virtual machine. */
void blake3_restart(struct blake3 *h, const unsigned char key[BLAKE3_SIZE]);
void blake3_update(struct blake3 *h, const void *data, size_t n);
/* h itself is not changed, so hashing may go on. */
void blake3_final(const struct blake3 *h, unsigned char out[BLAKE3_SIZE]);

/* What was chosen: "AVX2", "SSE2", "NEON", "portable". */
const char *blake3_implementation(void);

#endif
