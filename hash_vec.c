/*
 * SHA-256 with the vectors of x86, for CPUs without SHA instructions and for
 * many streams at once. The functions are those of FIPS 180-4, 4.1.2, where
 * Maj(a, b, c) is computed as b ^ ((a ^ b) & (b ^ c)): a ^ b is the b ^ c of
 * the next round.
 *
 * The variables a to h of the standard are v[0] to v[7]. A round moves all of
 * them on by one; here they stay in place and round i finds a in v[-i % 8].
 * All indices are constants once the functions are inlined, so that an array
 * is a set of registers.
 */

#include "hash_impl.h"

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
INLINE2 uint32_t
ror(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

INLINE2 void
pair_round(uint32_t v[8], uint32_t *bc, int i, uint32_t sum)
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

INLINE2 void
pair_rounds(uint32_t v[8], uint32_t *bc, int i, const uint32_t *sum)
{
	pair_round(v, bc, i, sum[0]);
	pair_round(v, bc, i + 1, sum[1]);
	pair_round(v, bc, i + 2, sum[2]);
	pair_round(v, bc, i + 3, sum[3]);
}

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
	pair_rounds(v, bc, 4 * i, sum + 8 * i);
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
	pair_rounds(v, &bc, 0, sum);
	pair_rounds(v, &bc, 4, sum + 8);
	pair_rounds(v, &bc, 8, sum + 16);
	pair_rounds(v, &bc, 12, sum + 24);
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
		pair_rounds(v, &bc, 0, sum);
		pair_rounds(v, &bc, 4, sum + 8);
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
