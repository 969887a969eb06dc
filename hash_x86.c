#include "hash_impl.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <stdbool.h>

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

size_t
hash_impls_x86(const struct hash_impl *out[])
{
	(void)out;
	return 0;
}

#endif
