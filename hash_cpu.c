#include "hash_cpu.h"

#include "arm.h"

/* --- Rounds of SHA-256 without instructions for them. --- */

/*
 * The functions are those of FIPS 180-4, 4.1.2, where Maj(a, b, c) is computed
 * as b ^ ((a ^ b) & (b ^ c)): a ^ b is the b ^ c of the next round.
 *
 * The variables a to h of the standard are v[0] to v[7]. A round moves all of
 * them on by one; here they stay in place and round i finds a in v[-i % 8].
 * All indices are constants once the functions are inlined, so that an array
 * is a set of registers.
 */

#if defined(__x86_64__) || ARM_NEON

#define ROUND_INLINE static inline __attribute__((always_inline))

ROUND_INLINE uint32_t
ror(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

/* sum is that of message word and constant. */
ROUND_INLINE void
sha256_round(uint32_t v[8], uint32_t *bc, int i, uint32_t sum)
{
	uint32_t a = v[-i & 7], b = v[(1 - i) & 7], e = v[(4 - i) & 7];
	uint32_t f = v[(5 - i) & 7], g = v[(6 - i) & 7];
	uint32_t ab = a ^ b;
	uint32_t t = v[(7 - i) & 7] + sum + ((e & f) + (~e & g)) +
		     (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25));

	v[(3 - i) & 7] += t;
	v[(7 - i) & 7] =
	    t + (b ^ (ab & *bc)) + (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22));
	*bc = ab;
}

ROUND_INLINE void
sha256_rounds4(uint32_t v[8], uint32_t *bc, int i, const uint32_t *sum)
{
	sha256_round(v, bc, i, sum[0]);
	sha256_round(v, bc, i + 1, sum[1]);
	sha256_round(v, bc, i + 2, sum[2]);
	sha256_round(v, bc, i + 3, sum[3]);
}

#endif

/* --- SHA instructions of x86. --- */

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

/*
 * The SHA instructions of x86 want the eight words of the SHA-256 state in two
 * registers that are named after what they hold, from the highest word to the
 * lowest: ABEF and CDGH. sha256rnds2 makes two rounds: it takes the sums of
 * message word and constant from the low half of its third operand and returns
 * the new ABEF. The new CDGH is the old ABEF, since after two rounds A and B
 * have become C and D, and E and F have become G and H. So two calls that
 * change roles make four rounds and leave each register in its place.
 */
struct sha256_lane {
	__m128i abef, cdgh;
	__m128i w[4]; /* the last 16 message words, the oldest first */
};

#define SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))
#define SHA_INLINE \
	static inline __attribute__((always_inline, target("sha,sse4.1,ssse3")))

SHA_INLINE __m128i
load(const void *p)
{
	return _mm_loadu_si128(p);
}

/* DCBA and HGFE, as they lie in memory, to ABEF and CDGH. */
SHA_INLINE void
sha256_lane_open(struct sha256_lane *s, const uint32_t h[8])
{
	__m128i cdab = _mm_shuffle_epi32(load(h), 0xb1);
	__m128i efgh = _mm_shuffle_epi32(load(h + 4), 0x1b);

	s->abef = _mm_alignr_epi8(cdab, efgh, 8);
	s->cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
}

SHA_INLINE void
sha256_lane_close(const struct sha256_lane *s, uint32_t h[8])
{
	__m128i feba = _mm_shuffle_epi32(s->abef, 0x1b);
	__m128i dchg = _mm_shuffle_epi32(s->cdgh, 0xb1);

	_mm_storeu_si128((void *)h, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((void *)(h + 4), _mm_alignr_epi8(dchg, feba, 8));
}

SHA_INLINE void
sha256_lane_load(struct sha256_lane *s, const unsigned char *p)
{
	const __m128i swap =
	    _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		s->w[i] = _mm_shuffle_epi8(load(p + 16 * i), swap);
}

/* Four rounds with the words in w[i]. */
SHA_INLINE void
sha256_lane_rounds(struct sha256_lane *s, int i, const uint32_t k[4])
{
	__m128i x = _mm_add_epi32(s->w[i], load(k));

	s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, x);
	x = _mm_shuffle_epi32(x, 0x0e);
	s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, x);
}

/* Puts the next four message words in place of the oldest four, those in
 * w[i]. With t the number of the first of them, msg1 adds sigma0 of the words
 * from t - 15 on, alignr has those from t - 7 on, and msg2 adds sigma1. */
SHA_INLINE void
sha256_lane_schedule(struct sha256_lane *s, int i)
{
	__m128i w1 = s->w[(i + 1) & 3], w2 = s->w[(i + 2) & 3];
	__m128i w3 = s->w[(i + 3) & 3];
	__m128i x = _mm_sha256msg1_epu32(s->w[i], w1);

	x = _mm_add_epi32(x, _mm_alignr_epi8(w3, w2, 4));
	s->w[i] = _mm_sha256msg2_epu32(x, w3);
}

SHA_INLINE void
sha256_lane_step(struct sha256_lane *s, int i, const uint32_t *k)
{
	sha256_lane_rounds(s, i, k + 4 * i);
	sha256_lane_schedule(s, i);
	/* Nothing, but the compiler keeps the order of the steps, with which
	 * two lanes fit into sixteen registers. */
	__asm__ volatile("" : "+x"(s->abef), "+x"(s->cdgh), "+x"(s->w[i]));
}

static SHA_TARGET void
sha256_sha(uint32_t h[8], const unsigned char *p, size_t n)
{
	const uint32_t *end = hash_sha256_k + 48;
	struct sha256_lane s;

	sha256_lane_open(&s, h);
	for (; n > 0; n--, p += 64) {
		__m128i abef = s.abef, cdgh = s.cdgh;

		sha256_lane_load(&s, p);
		for (const uint32_t *k = hash_sha256_k; k < end; k += 16) {
			sha256_lane_step(&s, 0, k);
			sha256_lane_step(&s, 1, k);
			sha256_lane_step(&s, 2, k);
			sha256_lane_step(&s, 3, k);
		}
		sha256_lane_rounds(&s, 0, end);
		sha256_lane_rounds(&s, 1, end + 4);
		sha256_lane_rounds(&s, 2, end + 8);
		sha256_lane_rounds(&s, 3, end + 12);
		s.abef = _mm_add_epi32(s.abef, abef);
		s.cdgh = _mm_add_epi32(s.cdgh, cdgh);
	}
	sha256_lane_close(&s, h);
}

SHA_INLINE void
sha256_step_two(
    struct sha256_lane *s, struct sha256_lane *t, int i, const uint32_t *k)
{
	sha256_lane_step(s, i, k);
	sha256_lane_step(t, i, k);
}

/* Two streams: sha256rnds2 has a latency of some cycles but can start more
 * often, so the rounds of one stream fill the waits of the other. */
static SHA_TARGET void
sha256_sha_two(uint32_t *const h[], const unsigned char *const p[], size_t n)
{
	const uint32_t *end = hash_sha256_k + 48;
	struct sha256_lane s, t;

	sha256_lane_open(&s, h[0]);
	sha256_lane_open(&t, h[1]);
	for (size_t i = 0; i < n; i++) {
		__m128i abef0 = s.abef, cdgh0 = s.cdgh;
		__m128i abef1 = t.abef, cdgh1 = t.cdgh;

		sha256_lane_load(&s, p[0] + 64 * i);
		sha256_lane_load(&t, p[1] + 64 * i);
		for (const uint32_t *k = hash_sha256_k; k < end; k += 16) {
			sha256_step_two(&s, &t, 0, k);
			sha256_step_two(&s, &t, 1, k);
			sha256_step_two(&s, &t, 2, k);
			sha256_step_two(&s, &t, 3, k);
		}
#pragma GCC unroll 4
		for (int j = 0; j < 4; j++) {
			sha256_lane_rounds(&s, j, end + 4 * j);
			sha256_lane_rounds(&t, j, end + 4 * j);
		}
		s.abef = _mm_add_epi32(s.abef, abef0);
		s.cdgh = _mm_add_epi32(s.cdgh, cdgh0);
		t.abef = _mm_add_epi32(t.abef, abef1);
		t.cdgh = _mm_add_epi32(t.cdgh, cdgh1);
	}
	sha256_lane_close(&s, h[0]);
	sha256_lane_close(&t, h[1]);
}

/*
 * SHA-1 keeps A, B, C, D in one register, A highest, and E in the highest word
 * of another. sha1rnds4 makes four rounds of the given kind (0 to 3) with four
 * message words, the first of which has E added. After four rounds E is what A
 * was before them, rotated by 30: sha1nexte takes A from the old ABCD, rotates
 * it and adds it to the next words.
 */
struct sha1_lane {
	__m128i abcd, e;
	__m128i old;  /* what ABCD was four rounds ago */
	__m128i w[4]; /* the last 16 message words, the oldest first */
};

SHA_INLINE __m128i
sha1_words(struct sha1_lane *s, int i)
{
	__m128i x = _mm_sha1nexte_epu32(s->old, s->w[i]);

	s->old = s->abcd;
	return x;
}

SHA_INLINE void
sha1_schedule(struct sha1_lane *s, int i)
{
	__m128i x = _mm_sha1msg1_epu32(s->w[i], s->w[(i + 1) & 3]);

	x = _mm_xor_si128(x, s->w[(i + 2) & 3]);
	s->w[i] = _mm_sha1msg2_epu32(x, s->w[(i + 3) & 3]);
}

/* Macros, since the kind must be a constant to the compiler. */
#define SHA1_LAST(s, i, kind) \
	((s)->abcd = _mm_sha1rnds4_epu32((s)->abcd, sha1_words(s, i), kind))
#define SHA1_STEP(s, i, kind) (SHA1_LAST(s, i, kind), sha1_schedule(s, i))

SHA_INLINE void
sha1_block(struct sha1_lane *s)
{
	s->old = s->abcd;
	s->abcd = _mm_sha1rnds4_epu32(s->abcd, _mm_add_epi32(s->w[0], s->e), 0);
	sha1_schedule(s, 0);
	SHA1_STEP(s, 1, 0);
	SHA1_STEP(s, 2, 0);
	SHA1_STEP(s, 3, 0);
	SHA1_STEP(s, 0, 0);
	SHA1_STEP(s, 1, 1);
	SHA1_STEP(s, 2, 1);
	SHA1_STEP(s, 3, 1);
	SHA1_STEP(s, 0, 1);
	SHA1_STEP(s, 1, 1);
	SHA1_STEP(s, 2, 2);
	SHA1_STEP(s, 3, 2);
	SHA1_STEP(s, 0, 2);
	SHA1_STEP(s, 1, 2);
	SHA1_STEP(s, 2, 2);
	SHA1_STEP(s, 3, 3);
	SHA1_LAST(s, 0, 3);
	SHA1_LAST(s, 1, 3);
	SHA1_LAST(s, 2, 3);
	SHA1_LAST(s, 3, 3);
}

static SHA_TARGET void
sha1_sha(uint32_t h[8], const unsigned char *p, size_t n)
{
	const __m128i swap =
	    _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
	struct sha1_lane s;

	s.abcd = _mm_shuffle_epi32(load(h), 0x1b);
	s.e = _mm_set_epi32((int)h[4], 0, 0, 0);
	for (; n > 0; n--, p += 64) {
		__m128i abcd = s.abcd;

#pragma GCC unroll 4
		for (int i = 0; i < 4; i++)
			s.w[i] = _mm_shuffle_epi8(load(p + 16 * i), swap);
		sha1_block(&s);
		s.abcd = _mm_add_epi32(s.abcd, abcd);
		s.e = _mm_sha1nexte_epu32(s.old, s.e);
	}
	_mm_storeu_si128((void *)h, _mm_shuffle_epi32(s.abcd, 0x1b));
	h[4] = (uint32_t)_mm_extract_epi32(s.e, 3);
}

/* What CPU and kernel offer together, as bits. */
enum { HAS_SHA = 1, HAS_AVX2 = 2, HAS_AVX512 = 4 };

/* The kernel's part: whether it keeps these registers of a thread (XCR0). */
static __attribute__((target("xsave"))) bool
keeps_registers(unsigned bits)
{
	return (_xgetbv(0) & bits) == bits;
}

static unsigned
cpu_features(void)
{
	unsigned a, b, c, d, first, has = 0;
	const unsigned avx = bit_OSXSAVE | bit_AVX;
	const unsigned avx2 = bit_AVX2 | bit_BMI | bit_BMI2;
	const unsigned avx512 = bit_AVX512F | bit_AVX512BW;
	const unsigned sse = bit_SSSE3 | bit_SSE4_1;

	/* Three times and no more: in a virtual machine each costs some
	 * microseconds. */
	if (__get_cpuid_max(0, NULL) < 7)
		return 0;
	__cpuid(1, a, b, c, d);
	first = c;
	__cpuid_count(7, 0, a, b, c, d);
	if ((first & sse) == sse && (b & bit_SHA))
		has |= HAS_SHA;
	/* XCR0: 1 SSE, 2 AVX, 5 to 7 the parts of AVX-512. */
	if ((first & avx) != avx || !keeps_registers(0x06))
		return has;
	if ((b & avx2) == avx2)
		has |= HAS_AVX2;
	if ((b & avx512) == avx512 && keeps_registers(0xe6))
		has |= HAS_AVX512;
	return has;
}

bool
hash_cpu_has_avx2(void)
{
	return cpu_features() & HAS_AVX2;
}

size_t
hash_impls_x86(const struct hash_impl *out[])
{
	static const struct {
		unsigned needs;
		struct hash_impl impl;
	} all[] = {
	    {HAS_SHA, {"x86 SHA", sha256_sha, sha1_sha, sha256_sha_two, 2, 2}},
	    {HAS_AVX512, {"AVX-512", hash_sha256_avx2, hash_sha1_portable,
			     hash_sha256_avx512_many, 16, 3}},
	    {HAS_AVX2, {"AVX2", hash_sha256_avx2, hash_sha1_portable,
			   hash_sha256_avx2_many, 8, 3}},
	};
	/* Measured: with SHA instructions two streams at a time are as fast as
	 * sixteen lanes of AVX-512, and need only two files. */
	unsigned has = cpu_features();
	size_t n = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if ((has & all[i].needs) == all[i].needs)
			out[n++] = &all[i].impl;
	return n;
}

#else

bool
hash_cpu_has_avx2(void)
{
	return false;
}

size_t
hash_impls_x86(const struct hash_impl *out[])
{
	(void)out;
	return 0;
}

#endif

/* --- Vectors of x86. --- */

/*
 * SHA-256 with the vectors of x86, for CPUs without SHA instructions and for
 * many streams at once.
 */

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 target("avx2,bmi,bmi2")
#define AVX512 target("avx512f,avx512bw")
#define INLINE2 static inline __attribute__((always_inline, AVX2))
#define INLINE5 static inline __attribute__((always_inline, AVX512))

/*
 * One stream. The message schedule of two blocks is made in vectors, the first
 * block in the low half and the second in the high half, four words a step;
 * the rounds are made with ordinary registers. The rounds of the first block
 * go between the steps of the schedule, so that both kinds of execution units
 * have work; those of the second block find theirs done.
 */
INLINE2 __m256i
ror2(__m256i x, int n)
{
	return _mm256_or_si256(
	    _mm256_srli_epi32(x, n), _mm256_slli_epi32(x, 32 - n));
}

INLINE2 __m256i
xor2(__m256i a, __m256i b, __m256i c)
{
	return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}

/* sigma1 of words that stand twice in each 64 bits: there a shift of 64 bits
 * has in its low half what a rotation has. */
INLINE2 __m256i
twin_sigma1(__m256i x)
{
	return xor2(_mm256_srli_epi64(x, 17), _mm256_srli_epi64(x, 19),
	    _mm256_srli_epi32(x, 10));
}

/* The next four words in place of the oldest, w[i]. sigma1 is of the words two
 * before, so the first two of the four must be there before the others. */
INLINE2 void
pair_schedule(__m256i w[4], int i)
{
	const __m256i low =
	    _mm256_broadcastsi128_si256(_mm_set_epi64x(-1, 0x0b0a090803020100));
	const __m256i high =
	    _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0b0a090803020100, -1));
	__m256i w1 = w[(i + 1) & 3], w2 = w[(i + 2) & 3], w3 = w[(i + 3) & 3];
	__m256i x = _mm256_alignr_epi8(w1, w[i], 4);

	x = xor2(ror2(x, 7), ror2(x, 18), _mm256_srli_epi32(x, 3));
	x = _mm256_add_epi32(x, _mm256_alignr_epi8(w3, w2, 4));
	x = _mm256_add_epi32(x, w[i]);
	w3 = twin_sigma1(_mm256_shuffle_epi32(w3, 0xfa));
	x = _mm256_add_epi32(x, _mm256_shuffle_epi8(w3, low));
	w3 = twin_sigma1(_mm256_shuffle_epi32(x, 0x50));
	w[i] = _mm256_add_epi32(x, _mm256_shuffle_epi8(w3, high));
}

INLINE2 __m256i
pair_sum(__m256i w, const uint32_t *k)
{
	return _mm256_add_epi32(
	    w, _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)k)));
}

INLINE2 __m256i
pair_load(const unsigned char *p, const unsigned char *q)
{
	const __m256i swap = _mm256_broadcastsi128_si256(
	    _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
	__m256i x = _mm256_castsi128_si256(_mm_loadu_si128((const void *)p));

	x = _mm256_inserti128_si256(x, _mm_loadu_si128((const void *)q), 1);
	return _mm256_shuffle_epi8(x, swap);
}

INLINE2 void
pair_step(uint32_t v[8], uint32_t *bc, __m256i w[4], uint32_t *sum,
    const uint32_t *k, int i)
{
	pair_schedule(w, i);
	_mm256_store_si256(
	    (void *)(sum + 8 * (i + 4)), pair_sum(w[i], k + 4 * (i + 4)));
	sha256_rounds4(v, bc, 4 * i, sum + 8 * i);
}

/* The first block, and the schedule of both. */
INLINE2 void
pair_first(uint32_t h[8], const unsigned char *p, const unsigned char *q,
    uint32_t *sum)
{
	uint32_t v[8], bc = h[1] ^ h[2];
	const uint32_t *k = hash_sha256_k;
	__m256i w[4];

#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		w[i] = pair_load(p + 16 * i, q + 16 * i);
		_mm256_store_si256(
		    (void *)(sum + 8 * i), pair_sum(w[i], k + 4 * i));
	}
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		v[i] = h[i];
	for (int i = 0; i < 3; i++, k += 16, sum += 32) {
		pair_step(v, &bc, w, sum, k, 0);
		pair_step(v, &bc, w, sum, k, 1);
		pair_step(v, &bc, w, sum, k, 2);
		pair_step(v, &bc, w, sum, k, 3);
	}
	sha256_rounds4(v, &bc, 0, sum);
	sha256_rounds4(v, &bc, 4, sum + 8);
	sha256_rounds4(v, &bc, 8, sum + 16);
	sha256_rounds4(v, &bc, 12, sum + 24);
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		h[i] += v[i];
}

INLINE2 void
pair_second(uint32_t h[8], const uint32_t *sum)
{
	uint32_t v[8], bc = h[1] ^ h[2];

#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		v[i] = h[i];
	for (int i = 0; i < 8; i++, sum += 16) {
		sha256_rounds4(v, &bc, 0, sum);
		sha256_rounds4(v, &bc, 4, sum + 8);
	}
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		h[i] += v[i];
}

__attribute__((AVX2)) void
hash_sha256_avx2(uint32_t h[8], const unsigned char *p, size_t n)
{
	_Alignas(32) uint32_t sum[128];

	for (; n > 1; n -= 2, p += 128) {
		pair_first(h, p, p + 64, sum);
		pair_second(h, sum + 4);
	}
	if (n > 0)
		pair_first(h, p, p, sum);
}

/*
 * Eight streams, one in each of the 32-bit lanes of all registers. w has the
 * last 16 words, the oldest where the next will be.
 */
struct eight {
	__m256i v[8], bc, w[16];
};

INLINE2 __m256i
add2(__m256i a, __m256i b)
{
	return _mm256_add_epi32(a, b);
}

INLINE2 void
eight_round(struct eight *s, int i, __m256i sum)
{
	__m256i a = s->v[-i & 7], b = s->v[(1 - i) & 7], e = s->v[(4 - i) & 7];
	__m256i f = s->v[(5 - i) & 7], g = s->v[(6 - i) & 7];
	__m256i ab = _mm256_xor_si256(a, b);
	__m256i t = add2(s->v[(7 - i) & 7], sum);

	t = add2(t, _mm256_xor_si256(
			_mm256_and_si256(e, f), _mm256_andnot_si256(e, g)));
	t = add2(t, xor2(ror2(e, 6), ror2(e, 11), ror2(e, 25)));
	s->v[(3 - i) & 7] = add2(s->v[(3 - i) & 7], t);
	t = add2(t, _mm256_xor_si256(b, _mm256_and_si256(ab, s->bc)));
	t = add2(t, xor2(ror2(a, 2), ror2(a, 13), ror2(a, 22)));
	s->v[(7 - i) & 7] = t;
	s->bc = ab;
}

INLINE2 void
eight_schedule(__m256i w[16], int i)
{
	__m256i x = w[(i + 1) & 15], y = w[(i + 14) & 15];

	x = xor2(ror2(x, 7), ror2(x, 18), _mm256_srli_epi32(x, 3));
	y = xor2(ror2(y, 17), ror2(y, 19), _mm256_srli_epi32(y, 10));
	w[i] = add2(add2(w[i], x), add2(w[(i + 9) & 15], y));
}

/* Eight rounds from i, which is 0 or 8. */
INLINE2 void
eight_rounds(struct eight *s, int i, const uint32_t *k)
{
#pragma GCC unroll 8
	for (int j = i; j < i + 8; j++)
		eight_round(s, j, add2(s->w[j], _mm256_set1_epi32((int)k[j])));
}

INLINE2 void
eight_steps(struct eight *s, int i, const uint32_t *k)
{
#pragma GCC unroll 8
	for (int j = i; j < i + 8; j++) {
		eight_schedule(s->w, j);
		eight_round(s, j, add2(s->w[j], _mm256_set1_epi32((int)k[j])));
	}
}

/* Four rows of eight words become, in each half, four columns of four. */
INLINE2 void
eight_turn(__m256i r[4])
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

/* Eight words of each stream, those from byte at on, to w[0] to w[7]. */
INLINE2 void
eight_load(__m256i w[8], const unsigned char *const p[8], size_t at)
{
	const __m256i swap = _mm256_broadcastsi128_si256(
	    _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
	__m256i r[8];

#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		r[i] = _mm256_shuffle_epi8(
		    _mm256_loadu_si256((const void *)(p[i] + at)), swap);
	eight_turn(r);
	eight_turn(r + 4);
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		w[i] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x20);
		w[i + 4] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x31);
	}
}

INLINE2 void
eight_block(struct eight *s, const unsigned char *const p[8], size_t at)
{
	const uint32_t *k = hash_sha256_k;

	eight_load(s->w, p, at);
	eight_load(s->w + 8, p, at + 32);
	s->bc = _mm256_xor_si256(s->v[1], s->v[2]);
	eight_rounds(s, 0, k);
	eight_rounds(s, 8, k);
	for (int i = 0; i < 3; i++) {
		k += 16;
		eight_steps(s, 0, k);
		eight_steps(s, 8, k);
	}
}

__attribute__((AVX2)) void
hash_sha256_avx2_many(
    uint32_t *const h[], const unsigned char *const p[], size_t n)
{
	_Alignas(32) uint32_t word[8][8];
	struct eight s;

	for (int i = 0; i < 64; i++)
		word[i % 8][i / 8] = h[i / 8][i % 8];
	for (size_t at = 0; n > 0; n--, at += 64) {
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
			s.v[i] = _mm256_load_si256((const void *)word[i]);
		eight_block(&s, p, at);
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
			_mm256_store_si256((void *)word[i],
			    add2(s.v[i],
				_mm256_load_si256((const void *)word[i])));
	}
	for (int i = 0; i < 64; i++)
		h[i / 8][i % 8] = word[i % 8][i / 8];
}

/* Sixteen streams in the same way; AVX-512 has rotations, functions of three
 * arguments by their truth table, and 32 registers. */
struct sixteen {
	__m512i v[8], w[16];
};

enum { TABLE_XOR = 0x96, TABLE_CH = 0xca, TABLE_MAJ = 0xe8 };

INLINE5 __m512i
add5(__m512i a, __m512i b)
{
	return _mm512_add_epi32(a, b);
}

INLINE5 __m512i
xor5(__m512i a, __m512i b, __m512i c)
{
	return _mm512_ternarylogic_epi32(a, b, c, TABLE_XOR);
}

INLINE5 void
sixteen_round(struct sixteen *s, int i, __m512i sum)
{
	__m512i a = s->v[-i & 7], b = s->v[(1 - i) & 7], c = s->v[(2 - i) & 7];
	__m512i e = s->v[(4 - i) & 7], f = s->v[(5 - i) & 7];
	__m512i t = add5(s->v[(7 - i) & 7], sum);

	t = add5(
	    t, _mm512_ternarylogic_epi32(e, f, s->v[(6 - i) & 7], TABLE_CH));
	t = add5(t, xor5(_mm512_ror_epi32(e, 6), _mm512_ror_epi32(e, 11),
			_mm512_ror_epi32(e, 25)));
	s->v[(3 - i) & 7] = add5(s->v[(3 - i) & 7], t);
	t = add5(t, _mm512_ternarylogic_epi32(a, b, c, TABLE_MAJ));
	s->v[(7 - i) & 7] =
	    add5(t, xor5(_mm512_ror_epi32(a, 2), _mm512_ror_epi32(a, 13),
			_mm512_ror_epi32(a, 22)));
}

INLINE5 void
sixteen_schedule(__m512i w[16], int i)
{
	__m512i x = w[(i + 1) & 15], y = w[(i + 14) & 15];

	x = xor5(_mm512_ror_epi32(x, 7), _mm512_ror_epi32(x, 18),
	    _mm512_srli_epi32(x, 3));
	y = xor5(_mm512_ror_epi32(y, 17), _mm512_ror_epi32(y, 19),
	    _mm512_srli_epi32(y, 10));
	w[i] = add5(add5(w[i], x), add5(w[(i + 9) & 15], y));
}

INLINE5 void
sixteen_rounds(struct sixteen *s, const uint32_t *k)
{
#pragma GCC unroll 16
	for (int j = 0; j < 16; j++)
		sixteen_round(
		    s, j, add5(s->w[j], _mm512_set1_epi32((int)k[j])));
}

INLINE5 void
sixteen_steps(struct sixteen *s, const uint32_t *k)
{
#pragma GCC unroll 16
	for (int j = 0; j < 16; j++) {
		sixteen_schedule(s->w, j);
		sixteen_round(
		    s, j, add5(s->w[j], _mm512_set1_epi32((int)k[j])));
	}
}

INLINE5 void
sixteen_turn(__m512i r[4])
{
	__m512i a = _mm512_unpacklo_epi32(r[0], r[1]);
	__m512i b = _mm512_unpackhi_epi32(r[0], r[1]);
	__m512i c = _mm512_unpacklo_epi32(r[2], r[3]);
	__m512i d = _mm512_unpackhi_epi32(r[2], r[3]);

	r[0] = _mm512_unpacklo_epi64(a, c);
	r[1] = _mm512_unpackhi_epi64(a, c);
	r[2] = _mm512_unpacklo_epi64(b, d);
	r[3] = _mm512_unpackhi_epi64(b, d);
}

/* A block of each stream to w. After the turns quarter q of r[4 * g + i] has
 * word 4 * q + i of the streams 4 * g to 4 * g + 3. */
INLINE5 void
sixteen_load(__m512i w[16], const unsigned char *const p[16], size_t at)
{
	const __m512i swap = _mm512_broadcast_i32x4(
	    _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
	__m512i r[16];

#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		r[i] = _mm512_shuffle_epi8(
		    _mm512_loadu_si512((const void *)(p[i] + at)), swap);
	sixteen_turn(r);
	sixteen_turn(r + 4);
	sixteen_turn(r + 8);
	sixteen_turn(r + 12);
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		__m512i a = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x44);
		__m512i b = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xee);
		__m512i c = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x44);
		__m512i d = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xee);

		w[i] = _mm512_shuffle_i32x4(a, c, 0x88);
		w[i + 4] = _mm512_shuffle_i32x4(a, c, 0xdd);
		w[i + 8] = _mm512_shuffle_i32x4(b, d, 0x88);
		w[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
	}
}

__attribute__((AVX512)) void
hash_sha256_avx512_many(
    uint32_t *const h[], const unsigned char *const p[], size_t n)
{
	_Alignas(64) uint32_t word[8][16];
	struct sixteen s;

	for (int i = 0; i < 128; i++)
		word[i % 8][i / 8] = h[i / 8][i % 8];
	for (size_t at = 0; n > 0; n--, at += 64) {
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
			s.v[i] = _mm512_load_si512((const void *)word[i]);
		sixteen_load(s.w, p, at);
		sixteen_rounds(&s, hash_sha256_k);
		for (int i = 16; i < 64; i += 16)
			sixteen_steps(&s, hash_sha256_k + i);
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
			_mm512_store_si512((void *)word[i],
			    add5(s.v[i],
				_mm512_load_si512((const void *)word[i])));
	}
	for (int i = 0; i < 128; i++)
		h[i / 8][i % 8] = word[i % 8][i / 8];
}

#endif

/* --- Vectors of ARM. --- */

#if ARM_NEON

#include <arm_neon.h>
#include <sys/auxv.h>

/* Four message words of both hashes. */
NEON_INLINE uint32x4_t
words(const unsigned char *p)
{
	return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p)));
}

/*
 * SHA-256 where there are no instructions for it: as in pair_first() above the
 * message schedule is made in vectors, of one block here, and the rounds go
 * between its steps.
 */
NEON_INLINE uint32x4_t
neon_sigma0(uint32x4_t x)
{
	uint32x4_t a = vsriq_n_u32(vshlq_n_u32(x, 25), x, 7);
	uint32x4_t b = vsriq_n_u32(vshlq_n_u32(x, 14), x, 18);

	return veorq_u32(veorq_u32(a, b), vshrq_n_u32(x, 3));
}

NEON_INLINE uint32x2_t
neon_sigma1(uint32x2_t x)
{
	uint32x2_t a = vsri_n_u32(vshl_n_u32(x, 15), x, 17);
	uint32x2_t b = vsri_n_u32(vshl_n_u32(x, 13), x, 19);

	return veor_u32(veor_u32(a, b), vshr_n_u32(x, 10));
}

/* The next four words in place of the oldest, w[i]. sigma1 is of the words two
 * before, so the first two of the four must be there before the others. */
NEON_INLINE void
neon_schedule(uint32x4_t w[4], int i)
{
	uint32x4_t w1 = w[(i + 1) & 3], w2 = w[(i + 2) & 3],
		   w3 = w[(i + 3) & 3];
	uint32x4_t x = vaddq_u32(w[i], neon_sigma0(vextq_u32(w[i], w1, 1)));
	uint32x2_t low, high;

	x = vaddq_u32(x, vextq_u32(w2, w3, 1));
	low = vadd_u32(vget_low_u32(x), neon_sigma1(vget_high_u32(w3)));
	high = vadd_u32(vget_high_u32(x), neon_sigma1(low));
	w[i] = vcombine_u32(low, high);
}

/* Four rounds with what is in sum, and the sums for those 16 later. */
NEON_INLINE void
neon_step(uint32_t v[8], uint32_t *bc, uint32x4_t w[4], uint32_t *sum,
    const uint32_t *k, int i)
{
	neon_schedule(w, i);
	sha256_rounds4(v, bc, 4 * i, sum + 4 * i);
	vst1q_u32(sum + 4 * i, vaddq_u32(w[i], vld1q_u32(k + 4 * i)));
}

static NEON_TARGET void
sha256_neon(uint32_t h[8], const unsigned char *p, size_t n)
{
	uint32_t v[8], bc, sum[16];
	uint32x4_t w[4];

	for (; n > 0; n--, p += 64) {
		const uint32_t *k = hash_sha256_k;

#pragma GCC unroll 4
		for (int i = 0; i < 4; i++) {
			w[i] = words(p + 16 * i);
			vst1q_u32(
			    sum + 4 * i, vaddq_u32(w[i], vld1q_u32(k + 4 * i)));
		}
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
			v[i] = h[i];
		bc = h[1] ^ h[2];
		for (int i = 0; i < 3; i++) {
			k += 16;
			neon_step(v, &bc, w, sum, k, 0);
			neon_step(v, &bc, w, sum, k, 1);
			neon_step(v, &bc, w, sum, k, 2);
			neon_step(v, &bc, w, sum, k, 3);
		}
		sha256_rounds4(v, &bc, 0, sum);
		sha256_rounds4(v, &bc, 4, sum + 4);
		sha256_rounds4(v, &bc, 8, sum + 8);
		sha256_rounds4(v, &bc, 12, sum + 12);
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
			h[i] += v[i];
	}
}

#endif

/* --- SHA instructions of ARM. --- */

#if ARM_CRYPTO

/* A to D are in one register and E to H in another, A and E lowest. sha256h
 * makes four rounds and returns the new A to D, sha256h2 the new E to H of the
 * same rounds; both want the old values of the other. */
struct sha256_state {
	uint32x4_t abcd, efgh;
	uint32x4_t w[4]; /* the last 16 message words, the oldest first */
};

CRYPTO_INLINE void
sha256_rounds(struct sha256_state *s, int i, const uint32_t *k)
{
	uint32x4_t sum = vaddq_u32(s->w[i], vld1q_u32(k + 4 * i));
	uint32x4_t abcd = s->abcd;

	s->abcd = vsha256hq_u32(abcd, s->efgh, sum);
	s->efgh = vsha256h2q_u32(s->efgh, abcd, sum);
}

/* Four rounds, and the next four words in place of the oldest. */
CRYPTO_INLINE void
sha256_step(struct sha256_state *s, int i, const uint32_t *k)
{
	uint32x4_t w1 = s->w[(i + 1) & 3], w2 = s->w[(i + 2) & 3];

	sha256_rounds(s, i, k);
	s->w[i] = vsha256su1q_u32(
	    vsha256su0q_u32(s->w[i], w1), w2, s->w[(i + 3) & 3]);
}

CRYPTO_INLINE void
sha256_block(struct sha256_state *s)
{
	const uint32_t *k = hash_sha256_k;

	for (int i = 0; i < 3; i++, k += 16) {
		sha256_step(s, 0, k);
		sha256_step(s, 1, k);
		sha256_step(s, 2, k);
		sha256_step(s, 3, k);
	}
	sha256_rounds(s, 0, k);
	sha256_rounds(s, 1, k);
	sha256_rounds(s, 2, k);
	sha256_rounds(s, 3, k);
}

static CRYPTO_TARGET void
sha256_arm(uint32_t h[8], const unsigned char *p, size_t n)
{
	struct sha256_state s;

	s.abcd = vld1q_u32(h);
	s.efgh = vld1q_u32(h + 4);
	for (; n > 0; n--, p += 64) {
		uint32x4_t abcd = s.abcd, efgh = s.efgh;

		s.w[0] = words(p);
		s.w[1] = words(p + 16);
		s.w[2] = words(p + 32);
		s.w[3] = words(p + 48);
		sha256_block(&s);
		s.abcd = vaddq_u32(s.abcd, abcd);
		s.efgh = vaddq_u32(s.efgh, efgh);
	}
	vst1q_u32(h, s.abcd);
	vst1q_u32(h + 4, s.efgh);
}

/* A to D are in one register, E is a word by itself. sha1c, sha1p and sha1m
 * make four rounds with the functions Ch, Parity and Maj; sha1h rotates A to
 * what E is after them. */
struct sha1_state {
	uint32x4_t abcd;
	uint32_t e;
	uint32x4_t w[4]; /* as above */
};

/* Four rounds from number r on, a multiple of four, and the next four words in
 * place of the oldest. The last four steps compute unused words. */
CRYPTO_INLINE void
sha1_step(struct sha1_state *s, int r)
{
	static const uint32_t k[4] = {
	    0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
	int i = r / 4 & 3;
	uint32x4_t *w = s->w, sum = vaddq_u32(w[i], vdupq_n_u32(k[r / 20]));
	uint32_t e = vsha1h_u32(vgetq_lane_u32(s->abcd, 0));

	if (r < 20)
		s->abcd = vsha1cq_u32(s->abcd, s->e, sum);
	else if (r >= 40 && r < 60)
		s->abcd = vsha1mq_u32(s->abcd, s->e, sum);
	else
		s->abcd = vsha1pq_u32(s->abcd, s->e, sum);
	s->e = e;
	w[i] =
	    vsha1su1q_u32(vsha1su0q_u32(w[i], w[(i + 1) & 3], w[(i + 2) & 3]),
		w[(i + 3) & 3]);
}

static CRYPTO_TARGET void
sha1_arm(uint32_t h[8], const unsigned char *p, size_t n)
{
	struct sha1_state s;

	s.abcd = vld1q_u32(h);
	s.e = h[4];
	for (; n > 0; n--, p += 64) {
		uint32x4_t abcd = s.abcd;
		uint32_t e = s.e;

		s.w[0] = words(p);
		s.w[1] = words(p + 16);
		s.w[2] = words(p + 32);
		s.w[3] = words(p + 48);
#pragma GCC unroll 20
		for (int r = 0; r < 80; r += 4)
			sha1_step(&s, r);
		s.abcd = vaddq_u32(s.abcd, abcd);
		s.e += e;
	}
	vst1q_u32(h, s.abcd);
	h[4] = s.e;
}

#endif

#if ARM_NEON

size_t
hash_impls_arm(const struct hash_impl *out[])
{
	static const struct hash_impl neon = {
	    "NEON", sha256_neon, hash_sha1_portable, NULL, 1, 1};
	unsigned long has = getauxval(AT_HWCAP);
	size_t n = 0;

#if ARM_CRYPTO
	static const struct hash_impl sha = {
	    "ARMv8 SHA", sha256_arm, sha1_arm, NULL, 1, 1};

	if ((has & CAP_SHA1) && (has & CAP_SHA2))
		out[n++] = &sha;
#endif
	if (has & CAP_NEON)
		out[n++] = &neon;
	return n;
}

#else

size_t
hash_impls_arm(const struct hash_impl *out[])
{
	(void)out;
	return 0;
}

#endif
