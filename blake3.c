#include "blake3.h"

#include <stdbool.h>
#include <string.h>

#include "hash_cpu.h"
#include "str.h"

/* The paper of BLAKE3, 2.1 to 2.5, has the names: leaves are its chunks. */

enum { LEAF = 1024, BLOCK = 64, LEAF_BLOCKS = LEAF / BLOCK };

enum { LEAF_START = 1, LEAF_END = 2, PARENT = 4, ROOT = 8, KEYED = 16 };

/* As many leaves as are hashed before their pairs are: 1, 2, 4 ... 64. */
enum { BATCH_LEVELS = 7, BATCH = 1 << (BATCH_LEVELS - 1) };

static const uint32_t iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* The words of the message in the order of each round. */
static const unsigned char order[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1},
    {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4},
    {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

/* Takes a block of n bytes, and zeros up to 64, into cv. */
typedef void compress_block(uint32_t cv[8], const unsigned char block[BLOCK],
    uint64_t counter, unsigned n, uint32_t flags);

/*
 * Inputs of equal length, n of them one behind the other at p: leaves of 16
 * blocks, the first with number counter, or pairs of one block. Each gives 32
 * bytes to out. Of pairs out may be p: their bytes are read before others are
 * written over them.
 */
struct job {
	compress_block *compress; /* for those that are hashed one by one */
	const uint32_t *key;
	uint64_t counter;
	uint32_t flags;
	bool leaves;
};

typedef void hash_inputs(const struct job *job, const unsigned char *p,
    size_t n, unsigned char *out);

struct blake3_impl {
	const char *name;
	hash_inputs *inputs;
	compress_block *compress;
};

/* The flags of block i of an input. */
static inline uint32_t
block_flags(const struct job *job, size_t i)
{
	if (!job->leaves)
		return job->flags | PARENT;
	return job->flags | (i == 0 ? LEAF_START : 0) |
	       (i == LEAF_BLOCKS - 1 ? LEAF_END : 0);
}

/* --- What every CPU can do. --- */

static inline uint32_t
ror(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static inline uint32_t
word(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static inline void
mix(uint32_t v[16], int a, int b, int c, int d, uint32_t x, uint32_t y)
{
	v[a] += v[b] + x;
	v[d] = ror(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = ror(v[b] ^ v[c], 12);
	v[a] += v[b] + y;
	v[d] = ror(v[d] ^ v[a], 8);
	v[c] += v[d];
	v[b] = ror(v[b] ^ v[c], 7);
}

static void
compress_portable(uint32_t cv[8], const unsigned char block[BLOCK],
    uint64_t counter, unsigned n, uint32_t flags)
{
	uint32_t m[16], v[16];

#pragma GCC unroll 16
	for (size_t i = 0; i < 16; i++)
		m[i] = word(block + 4 * i);
#pragma GCC unroll 8
	for (size_t i = 0; i < 8; i++)
		v[i] = cv[i];
#pragma GCC unroll 4
	for (size_t i = 0; i < 4; i++)
		v[8 + i] = iv[i];
	v[12] = (uint32_t)counter;
	v[13] = (uint32_t)(counter >> 32);
	v[14] = n;
	v[15] = flags;
#pragma GCC unroll 7
	for (size_t r = 0; r < 7; r++) {
		const unsigned char *s = order[r];

		mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
		mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
		mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
		mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
		mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
		mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
		mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
		mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
	}
#pragma GCC unroll 8
	for (size_t i = 0; i < 8; i++)
		cv[i] = v[i] ^ v[i + 8];
}

static void
put_words(const uint32_t cv[8], unsigned char out[BLAKE3_SIZE])
{
	for (size_t i = 0; i < 8; i++)
		bytes_put_le(out + 4 * i, cv[i], 4);
}

/* One after the other. */
static void
inputs_in_turn(
    const struct job *job, const unsigned char *p, size_t n, unsigned char *out)
{
	size_t blocks = job->leaves ? LEAF_BLOCKS : 1;
	uint64_t counter = job->counter;

	for (; n > 0; n--, out += BLAKE3_SIZE) {
		uint32_t cv[8];

		memcpy(cv, job->key, sizeof(cv));
		for (size_t i = 0; i < blocks; i++, p += BLOCK)
			job->compress(
			    cv, p, counter, BLOCK, block_flags(job, i));
		put_words(cv, out);
		counter += job->leaves;
	}
}

/* --- In the lanes of vectors. --- */

/* Every x86_64 has SSE2 and every AArch64 has NEON; the compiler must know how to
 * mix lanes. */
#if defined(__has_builtin) && (defined(__x86_64__) || defined(__AARCH64EL__))
#if __has_builtin(__builtin_shufflevector)
#define HAS_FOUR 1
#endif
#endif
#ifndef HAS_FOUR
#define HAS_FOUR 0
#endif

enum { LANES_MAX = 8 };

/* As many inputs as there are lanes, of which the first n count. */
typedef void side_by_side(const struct job *job, const unsigned char *const p[],
    size_t n, unsigned char *out);

#if defined(__x86_64__) || HAS_FOUR

/* All inputs by f; fewer than pays are faster one by one. */
static void
in_lanes(const struct job *job, const unsigned char *p, size_t n,
    unsigned char *out, size_t lanes, size_t pays, side_by_side *f)
{
	size_t length = job->leaves ? LEAF : BLOCK;
	struct job j = *job;

	while (n >= pays) {
		const unsigned char *at[LANES_MAX];
		size_t k = n < lanes ? n : lanes;

		for (size_t i = 0; i < lanes; i++)
			at[i] = p + length * (i < k ? i : 0);
		f(&j, at, k, out);
		j.counter += j.leaves ? k : 0;
		p += length * k;
		out += (size_t)BLAKE3_SIZE * k;
		n -= k;
	}
	inputs_in_turn(&j, p, n, out);
}

#endif

/*
 * Half of a round mixes the four columns of the state, with d 0, or its
 * diagonals, with d 1: each step of all four before the next one, since they do
 * not wait for each other. With AVX2 that was measured to be a fifth faster than
 * one after the other. A to D are the rows of the state.
 */
#define EACH _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++)
#define A v[i]
#define B v[4 + ((i + d) & 3)]
#define C v[8 + ((i + 2 * d) & 3)]
#define D v[12 + ((i + 3 * d) & 3)]

/* --- Eight inputs side by side, with AVX2. --- */

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define INLINE2 static inline __attribute__((always_inline, target("avx2")))

INLINE2 __m256i
add2(__m256i a, __m256i b)
{
	return _mm256_add_epi32(a, b);
}

/* a ^ b, rotated by n bits, which is 7 or 12. */
INLINE2 __m256i
xor_ror2(__m256i a, __m256i b, int n)
{
	__m256i x = _mm256_xor_si256(a, b);

	return _mm256_or_si256(
	    _mm256_srli_epi32(x, n), _mm256_slli_epi32(x, 32 - n));
}

/* The same by whole bytes: to where each comes from. */
INLINE2 __m256i
xor_turn2(__m256i a, __m256i b, __m256i from)
{
	return _mm256_shuffle_epi8(_mm256_xor_si256(a, b), from);
}

INLINE2 void
half_round2(__m256i v[16], const __m256i m[16], const unsigned char s[8], int d)
{
	const __m256i by16 = _mm256_broadcastsi128_si256(
	    _mm_set_epi64x(0x0d0c0f0e09080b0a, 0x0504070601000302));
	const __m256i by8 = _mm256_broadcastsi128_si256(
	    _mm_set_epi64x(0x0c0f0e0d080b0a09, 0x0407060500030201));

	EACH A = add2(A, m[s[2 * i]]);
	EACH A = add2(A, B);
	EACH D = xor_turn2(D, A, by16);
	EACH C = add2(C, D);
	EACH B = xor_ror2(B, C, 12);
	EACH A = add2(A, m[s[2 * i + 1]]);
	EACH A = add2(A, B);
	EACH D = xor_turn2(D, A, by8);
	EACH C = add2(C, D);
	EACH B = xor_ror2(B, C, 7);
}

/* Four rows of eight words become, in each half, four columns of four. */
INLINE2 void
turn_four2(__m256i r[4])
{
	__m256i a = _mm256_unpacklo_epi32(r[0], r[1]);
	__m256i b = _mm256_unpackhi_epi32(r[0], r[1]);
	__m256i c = _mm256_unpacklo_epi32(r[2], r[3]);
	__m256i d = _mm256_unpackhi_epi32(r[2], r[3]);

	r[0] = _mm256_unpacklo_epi64(a, c);
	r[1] = _mm256_unpackhi_epi64(a, c);
	r[2] = _mm256_unpacklo_epi64(b, d);
	r[3] = _mm256_unpackhi_epi64(b, d);
}

/* Eight rows become eight columns. */
INLINE2 void
turn2(__m256i r[8])
{
	turn_four2(r);
	turn_four2(r + 4);
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		__m256i a = r[i], b = r[i + 4];

		r[i] = _mm256_permute2x128_si256(a, b, 0x20);
		r[i + 4] = _mm256_permute2x128_si256(a, b, 0x31);
	}
}

INLINE2 void
block2(__m256i cv[8], const unsigned char *const p[8], size_t at, __m256i low,
    __m256i high, uint32_t flags)
{
	__m256i m[16], v[16];

#pragma GCC unroll 8
	for (int i = 0; i < 8; i++) {
		m[i] = _mm256_loadu_si256((const void *)(p[i] + at));
		m[i + 8] = _mm256_loadu_si256((const void *)(p[i] + at + 32));
	}
	turn2(m);
	turn2(m + 8);
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		v[i] = cv[i];
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		v[i + 8] = _mm256_set1_epi32((int)iv[i]);
	v[12] = low;
	v[13] = high;
	v[14] = _mm256_set1_epi32(BLOCK);
	v[15] = _mm256_set1_epi32((int)flags);
#pragma GCC unroll 7
	for (int r = 0; r < 7; r++) {
		half_round2(v, m, order[r], 0);
		half_round2(v, m, order[r] + 8, 1);
	}
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		cv[i] = _mm256_xor_si256(v[i], v[i + 8]);
}

/* Eight inputs, of which the first n count. */
static AVX2 void
eight(const struct job *job, const unsigned char *const p[], size_t n,
    unsigned char *out)
{
	uint64_t counter = job->counter;
	uint32_t low[8], high[8];
	__m256i cv[8];

	for (size_t i = 0; i < 8; i++) {
		low[i] = (uint32_t)counter;
		high[i] = (uint32_t)(counter >> 32);
		counter += job->leaves;
		cv[i] = _mm256_set1_epi32((int)job->key[i]);
	}
	for (size_t i = 0; i < (job->leaves ? LEAF_BLOCKS : 1); i++)
		block2(cv, p, BLOCK * i, _mm256_loadu_si256((const void *)low),
		    _mm256_loadu_si256((const void *)high),
		    block_flags(job, i));
	turn2(cv);
	for (size_t i = 0; i < n; i++)
		_mm256_storeu_si256((void *)(out + BLAKE3_SIZE * i), cv[i]);
}

/* --- One block, with AVX2: a row of the state in each register. --- */

INLINE2 __m128i
add1(__m128i a, __m128i b)
{
	return _mm_add_epi32(a, b);
}

/* a ^ b, rotated by n bits, which is 7 or 12. */
INLINE2 __m128i
xor_ror1(__m128i a, __m128i b, int n)
{
	__m128i x = _mm_xor_si128(a, b);

	return _mm_or_si128(_mm_srli_epi32(x, n), _mm_slli_epi32(x, 32 - n));
}

/* The same by whole bytes: to where each comes from. */
INLINE2 __m128i
xor_turn1(__m128i a, __m128i b, __m128i from)
{
	return _mm_shuffle_epi8(_mm_xor_si128(a, b), from);
}

/* Mixes the four columns of the state. */
INLINE2 void
columns1(__m128i v[4], __m128i x, __m128i y)
{
	const __m128i by16 =
	    _mm_set_epi64x(0x0d0c0f0e09080b0a, 0x0504070601000302);
	const __m128i by8 =
	    _mm_set_epi64x(0x0c0f0e0d080b0a09, 0x0407060500030201);

	v[0] = add1(add1(v[0], x), v[1]);
	v[3] = xor_turn1(v[3], v[0], by16);
	v[2] = add1(v[2], v[3]);
	v[1] = xor_ror1(v[1], v[2], 12);
	v[0] = add1(add1(v[0], y), v[1]);
	v[3] = xor_turn1(v[3], v[0], by8);
	v[2] = add1(v[2], v[3]);
	v[1] = xor_ror1(v[1], v[2], 7);
}

/* Words of the message for the lanes of a row. */
INLINE2 __m128i
words1(const uint32_t m[16], int a, int b, int c, int d)
{
	return _mm_set_epi32((int)m[d], (int)m[c], (int)m[b], (int)m[a]);
}

/* The rows are turned until the diagonals are columns. The second one stays where
 * it is, since it is the last to be known. */
static AVX2 void
compress_avx2(uint32_t cv[8], const unsigned char block[BLOCK],
    uint64_t counter, unsigned n, uint32_t flags)
{
	uint32_t m[16];
	__m128i v[4];

	memcpy(m, block, sizeof(m));
	v[0] = _mm_loadu_si128((const void *)cv);
	v[1] = _mm_loadu_si128((const void *)(cv + 4));
	v[2] = _mm_loadu_si128((const void *)iv);
	v[3] = _mm_set_epi32((int)flags, (int)n, (int)(uint32_t)(counter >> 32),
	    (int)(uint32_t)counter);
	for (size_t r = 0; r < 7; r++) {
		const unsigned char *s = order[r];

		columns1(v, words1(m, s[0], s[2], s[4], s[6]),
		    words1(m, s[1], s[3], s[5], s[7]));
		v[0] = _mm_shuffle_epi32(v[0], 0x93);
		v[3] = _mm_shuffle_epi32(v[3], 0x4e);
		v[2] = _mm_shuffle_epi32(v[2], 0x39);
		columns1(v, words1(m, s[14], s[8], s[10], s[12]),
		    words1(m, s[15], s[9], s[11], s[13]));
		v[0] = _mm_shuffle_epi32(v[0], 0x39);
		v[3] = _mm_shuffle_epi32(v[3], 0x4e);
		v[2] = _mm_shuffle_epi32(v[2], 0x93);
	}
	_mm_storeu_si128((void *)cv, _mm_xor_si128(v[0], v[2]));
	_mm_storeu_si128((void *)(cv + 4), _mm_xor_si128(v[1], v[3]));
}

static void
inputs_avx2(
    const struct job *job, const unsigned char *p, size_t n, unsigned char *out)
{
	in_lanes(job, p, n, out, 8, 3, eight);
}

#endif

/* --- Four inputs side by side, with SSE2 or NEON. --- */

#if HAS_FOUR

/* On x86_64 a loop is as fast as seven rounds one behind the other, and has 8 kB
 * less. */
#if defined(__x86_64__)
#define FOUR_NAME "SSE2"
#define EACH_ROUND
#else
#define FOUR_NAME "NEON"
#define EACH_ROUND _Pragma("GCC unroll 7")
#endif

typedef uint32_t vector4 __attribute__((vector_size(16)));

#define INLINE4 static inline __attribute__((always_inline))

/* a ^ b, rotated by n bits. */
INLINE4 vector4
xor_ror4(vector4 a, vector4 b, int n)
{
	vector4 x = a ^ b;

	return x >> n | x << (32 - n);
}

INLINE4 void
half_round4(vector4 v[16], const vector4 m[16], const unsigned char s[8], int d)
{
	EACH A += m[s[2 * i]];
	EACH A += B;
	EACH D = xor_ror4(D, A, 16);
	EACH C += D;
	EACH B = xor_ror4(B, C, 12);
	EACH A += m[s[2 * i + 1]];
	EACH A += B;
	EACH D = xor_ror4(D, A, 8);
	EACH C += D;
	EACH B = xor_ror4(B, C, 7);
}

/* Four rows become four columns. */
INLINE4 void
turn4(vector4 r[4])
{
	vector4 a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
	vector4 b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
	vector4 c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
	vector4 d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);

	r[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
	r[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
	r[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
	r[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

INLINE4 void
block4(vector4 cv[8], const unsigned char *const p[4], size_t at, vector4 low,
    vector4 high, uint32_t flags)
{
	vector4 m[16], v[16];

#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
#pragma GCC unroll 4
		for (int k = 0; k < 4; k++)
			memcpy(&m[4 * i + k], p[k] + at + 16 * i, 16);
		turn4(m + 4 * i);
	}
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		v[i] = cv[i];
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		v[i + 8] = (vector4){iv[i], iv[i], iv[i], iv[i]};
	v[12] = low;
	v[13] = high;
	v[14] = (vector4){BLOCK, BLOCK, BLOCK, BLOCK};
	v[15] = (vector4){flags, flags, flags, flags};
	EACH_ROUND
	for (int r = 0; r < 7; r++) {
		half_round4(v, m, order[r], 0);
		half_round4(v, m, order[r] + 8, 1);
	}
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		cv[i] = v[i] ^ v[i + 8];
}

/* Four inputs, of which the first n count. */
static void
four(const struct job *job, const unsigned char *const p[], size_t n,
    unsigned char *out)
{
	uint64_t counter = job->counter;
	vector4 low = {0}, high = {0}, cv[8];

	for (size_t i = 0; i < 4; i++) {
		low[i] = (uint32_t)counter;
		high[i] = (uint32_t)(counter >> 32);
		counter += job->leaves;
	}
	for (size_t i = 0; i < 8; i++) {
		uint32_t k = job->key[i];

		cv[i] = (vector4){k, k, k, k};
	}
	for (size_t i = 0; i < (job->leaves ? LEAF_BLOCKS : 1); i++)
		block4(cv, p, BLOCK * i, low, high, block_flags(job, i));
	turn4(cv);
	turn4(cv + 4);
	for (size_t i = 0; i < n; i++) {
		memcpy(out + BLAKE3_SIZE * i, &cv[i], 16);
		memcpy(out + BLAKE3_SIZE * i + 16, &cv[i + 4], 16);
	}
}

static void
inputs_four(
    const struct job *job, const unsigned char *p, size_t n, unsigned char *out)
{
	in_lanes(job, p, n, out, 4, 2, four);
}

#endif

/* --- The tree. --- */

/* Those that this CPU can run, the best first; the last is the portable one. */
static size_t
impls(const struct blake3_impl *out[])
{
#if defined(__x86_64__)
	static const struct blake3_impl avx2 = {
	    "AVX2", inputs_avx2, compress_avx2};
#endif
#if HAS_FOUR
	static const struct blake3_impl lanes4 = {
	    FOUR_NAME, inputs_four, compress_portable};
#endif
	static const struct blake3_impl portable = {
	    "portable", inputs_in_turn, compress_portable};
	size_t n = 0;

#if defined(__x86_64__)
	if (hash_cpu_has_avx2())
		out[n++] = &avx2;
#endif
#if HAS_FOUR
	out[n++] = &lanes4;
#endif
	out[n++] = &portable;
	return n;
}

enum { IMPLS_MAX = 3 };

static const struct blake3_impl *
best_impl(void)
{
	const struct blake3_impl *all[IMPLS_MAX];

	impls(all);
	return all[0];
}

const char *
blake3_implementation(void)
{
	return best_impl()->name;
}

void
blake3_init(struct blake3 *h, const unsigned char key[BLAKE3_SIZE])
{
	h->impl = NULL;
	blake3_restart(h, key);
}

void
blake3_restart(struct blake3 *h, const unsigned char key[BLAKE3_SIZE])
{
	/* Not all of it: the stack is large, and what counts of it is set. */
	h->flags = key ? KEYED : 0;
	for (size_t i = 0; i < 8; i++)
		h->key[i] = key ? word(key + 4 * i) : iv[i];
	memcpy(h->cv, h->key, sizeof(h->cv));
	h->leaves = 0;
	h->blocks = h->filled = h->depth = 0;
}

/* What compresses single blocks; before whole leaves were hashed side by side the
 * CPU is not asked. */
static compress_block *
compressor(const struct blake3 *h)
{
	return h->impl ? h->impl->compress : compress_portable;
}

/*
 * Adds a subtree with this number of leaves, then joins subtrees of the same size.
 * One subtree remains for each 1 bit in the total number of leaves. The root has
 * another flag; no subtree here is the root, since an open leaf always follows.
 */
static void
push(struct blake3 *h, const unsigned char cv[BLAKE3_SIZE], uint64_t leaves)
{
	const struct job pair = {
	    .compress = compressor(h), .key = h->key, .flags = h->flags};
	unsigned subtrees = 0;

	memcpy(h->stack[h->depth++], cv, BLAKE3_SIZE);
	h->leaves += leaves;
	for (uint64_t left = h->leaves; left > 0; left &= left - 1)
		subtrees++;
	while (h->depth > subtrees) {
		unsigned char *last = h->stack[--h->depth - 1];

		inputs_in_turn(&pair, last, 1, last);
	}
}

/*
 * Adds n leaves, at most BATCH, that begin where a subtree of n leaves may begin.
 * Their pairs are hashed side by side, level by level. A node without a partner is
 * the right edge of its level and waits in edge.
 */
static void
push_leaves(struct blake3 *h, const unsigned char *p, size_t n)
{
	const struct job leaves = {.compress = compressor(h),
	    .key = h->key,
	    .counter = h->leaves,
	    .flags = h->flags,
	    .leaves = true};
	const struct job pairs = {
	    .compress = compressor(h), .key = h->key, .flags = h->flags};
	unsigned char cv[BATCH][BLAKE3_SIZE], edge[BATCH_LEVELS][BLAKE3_SIZE];
	size_t all = n;
	unsigned level = 0;

	h->impl->inputs(&leaves, p, n, cv[0]);
	for (; n > 0; n /= 2, level++) {
		if (n % 2)
			memcpy(edge[level], cv[n - 1], BLAKE3_SIZE);
		h->impl->inputs(&pairs, cv[0], n / 2, cv[0]);
	}
	while (level-- > 0)
		if (all >> level & 1)
			push(h, edge[level], (uint64_t)1 << level);
}

/* Takes n bytes, at most to its end, into the open leaf. Its last block stays
 * open, too, since it may be that of the root. */
static void
fill_leaf(struct blake3 *h, const unsigned char *p, size_t n)
{
	while (n > 0) {
		size_t k = BLOCK - h->filled;

		if (k == 0) {
			compressor(h)(h->cv, h->block, h->leaves, BLOCK,
			    h->flags | (h->blocks == 0 ? LEAF_START : 0));
			h->blocks++;
			h->filled = 0;
			k = BLOCK;
		}
		if (k > n)
			k = n;
		memcpy(h->block + h->filled, p, k);
		h->filled += (unsigned)k;
		p += k;
		n -= k;
	}
}

static size_t
leaf_length(const struct blake3 *h)
{
	return (size_t)BLOCK * h->blocks + h->filled;
}

/* The flags of the last block of the open leaf. */
static uint32_t
last_flags(const struct blake3 *h)
{
	return h->flags | LEAF_END | (h->blocks == 0 ? LEAF_START : 0);
}

/* The open leaf is whole, and something follows. */
static void
end_leaf(struct blake3 *h)
{
	unsigned char out[BLAKE3_SIZE];

	compressor(h)(h->cv, h->block, h->leaves, BLOCK, last_flags(h));
	put_words(h->cv, out);
	push(h, out, 1);
	memcpy(h->cv, h->key, sizeof(h->cv));
	h->blocks = h->filled = 0;
}

/* How many of n leaves may go in one batch: a subtree begins at a multiple of
 * its own size. */
static size_t
batch(const struct blake3 *h, size_t n)
{
	uint64_t most = h->leaves ? h->leaves & (~h->leaves + 1) : BATCH;

	if (most > BATCH)
		most = BATCH;
	return n < most ? n : (size_t)most;
}

void
blake3_update(struct blake3 *h, const void *data, size_t n)
{
	const unsigned char *p = data;

	if (n == 0)
		return;
	if (leaf_length(h) > 0) {
		size_t k = LEAF - leaf_length(h);

		if (k > n)
			k = n;
		fill_leaf(h, p, k);
		p += k;
		n -= k;
		if (n == 0)
			return;
		end_leaf(h);
	}
	/* The last leaf stays open. */
	while (n > LEAF) {
		size_t k = batch(h, (n - 1) / LEAF);

		if (!h->impl)
			h->impl = best_impl();
		push_leaves(h, p, k);
		p += LEAF * k;
		n -= LEAF * k;
	}
	fill_leaf(h, p, n);
}

void
blake3_final(const struct blake3 *h, unsigned char out[BLAKE3_SIZE])
{
	unsigned char block[BLOCK] = {0};
	uint32_t cv[8];
	unsigned depth = h->depth;

	/* The open leaf is never empty but for no content at all. */
	memcpy(block, h->block, h->filled);
	memcpy(cv, h->cv, sizeof(cv));
	compressor(h)(cv, block, h->leaves, h->filled,
	    last_flags(h) | (depth == 0 ? ROOT : 0));
	put_words(cv, out);
	while (depth-- > 0) {
		memcpy(block, h->stack[depth], BLAKE3_SIZE);
		memcpy(block + BLAKE3_SIZE, out, BLAKE3_SIZE);
		memcpy(cv, h->key, sizeof(cv));
		compressor(h)(cv, block, 0, BLOCK,
		    h->flags | PARENT | (depth == 0 ? ROOT : 0));
		put_words(cv, out);
	}
}
