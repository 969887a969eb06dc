#ifndef HUB_HASH_H
#define HUB_HASH_H

/*
 * The two hashes that name content on the Hub: SHA-256 of the bytes (LFS and
 * Xet files) and the git blob id (SHA-1 over "blob SIZE\0" and the bytes) for
 * the rest. The fastest code that this CPU has is chosen at run time: SHA
 * instructions of x86 and ARMv8, vectors (AVX2, AVX-512, NEON), else BearSSL.
 * Asking the CPU costs microseconds in a virtual machine: each hash_init()
 * does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

enum hash_kind { HASH_SHA256, HASH_GIT };

#define HASH_SIZE_MAX 32

/* Identifies a content: the kind of hash and its bytes. */
struct digest {
	enum hash_kind kind;
	unsigned char b[HASH_SIZE_MAX]; /* 32 bytes of SHA-256 or 20 of SHA-1 */
};

size_t digest_size(const struct digest *d); /* 32 or 20 */
bool digest_same(const struct digest *a, const struct digest *b);

/* 64 hex digits are a SHA-256, 40 a git blob id; all else is refused. */
int digest_parse(struct str hex, struct digest *out);

/* At most 64 digits and '\0'. */
void digest_hex(const struct digest *d, char out[2 * HASH_SIZE_MAX + 1]);

#define HASH_BLOCK 64

/* A hash under way. Fields are the unit's; it may be copied as a whole. */
struct hash {
	enum hash_kind kind;
	uint32_t h[8];
	uint64_t count;  /* bytes so far, the git header included */
	unsigned header; /* bytes of the git header, 0 for SHA-256 */
	unsigned char block[HASH_BLOCK];
	const struct hash_impl *impl; /* the code for this CPU, hash_cpu.h */
};

/* size is the length of the content that is to come; only HASH_GIT needs it. */
void hash_init(struct hash *h, enum hash_kind kind, uint64_t size);
/* The same for a hash that was initialised before, or a copy of one, without
 * asking the CPU again. If all zero, the first update asks it. */
void hash_restart(struct hash *h, enum hash_kind kind, uint64_t size);
void hash_update(struct hash *h, const void *data, size_t n);
/* h itself is not changed, so hashing may go on. */
void hash_final(const struct hash *h, struct digest *out);

/* Several hashes side by side, in vector lanes where that is faster than one
 * after the other: h[i] takes n[i] bytes from p[i]. No two h may be the
 * same. */
void hash_update_many(struct hash *const h[], const void *const p[],
    const size_t n[], size_t count);

/* The number of hashes for which hash_update_many() pays on this CPU (1:
 * none). */
unsigned hash_lanes(void);

/* Bytes of content hashed so far (without the git header). */
uint64_t hash_length(const struct hash *h);

/* What was chosen: "x86 SHA", "AVX-512", "AVX2", "ARMv8 SHA", "NEON",
 * "portable". */
const char *hash_implementation(void);

/* CRC-32 (IEEE 802.3), for state files. */
uint32_t crc32_of(const void *data, size_t n);

/*
 * A checksum of blocks: it costs less than half an instruction a byte and
 * detects accidental changes by a disk or another program, not deliberate ones.
 * hash_sum() adds n bytes at offset at of the block to sum, which starts as 0;
 * pieces may come in any size and order. hash_sum_final() returns the value to
 * store, never 0.
 */
uint64_t hash_sum(uint64_t sum, size_t at, const void *data, size_t n);
uint32_t hash_sum_final(uint64_t sum);

#endif
