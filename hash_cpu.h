#ifndef HUB_HASH_CPU_H
#define HUB_HASH_CPU_H

/*
 * Private to hash.c, hash_cpu.c, their test and their bench: the
 * implementations that hash.c chooses from. Each works on whole blocks and
 * leaves padding, open blocks and counting to hash.c. blake3.c asks the CPU
 * here, too.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_LANES_MAX 16
#define HASH_IMPLS_MAX 8

/* Takes n blocks of 64 bytes from p (of any alignment) into the state. */
typedef void hash_blocks(uint32_t h[8], const unsigned char *p, size_t n);

/* The same for several streams at once, n blocks each. No two h are the same,
 * but two p may be. */
typedef void hash_blocks_many(
    uint32_t *const h[], const unsigned char *const p[], size_t n);

struct hash_impl {
	const char *name;
	hash_blocks *sha256;
	hash_blocks *sha1;      /* of h, the first five words */
	hash_blocks_many *many; /* SHA-256; NULL: one after the other */
	unsigned lanes;         /* how many streams many takes; 1 without it */
	unsigned pays;          /* with this many it is faster than sha256 */
};

/* The constants K of FIPS 180-4, 4.2.2. */
extern const uint32_t hash_sha256_k[64];

/* What every CPU can do. */
hash_blocks hash_sha256_portable, hash_sha1_portable;

/* Those that this CPU can run, the best first; the last is the portable one. */
size_t hash_impls(const struct hash_impl *out[HASH_IMPLS_MAX]);

/* Those of one architecture: the best first, none if the program or the
 * CPU is of another. */
size_t hash_impls_x86(const struct hash_impl *out[]);
size_t hash_impls_arm(const struct hash_impl *out[]);

/* Whether CPU and kernel offer AVX2, BMI1 and BMI2; false on other CPUs. It costs
 * microseconds in a virtual machine. */
bool hash_cpu_has_avx2(void);

/* SHA-256 with the vectors of x86. avx2 wants BMI1 and BMI2, too,
 * avx512 F and BW. The first of many has 8 lanes, the second 16. */
hash_blocks hash_sha256_avx2;
hash_blocks_many hash_sha256_avx2_many, hash_sha256_avx512_many;

#endif
