#include "cipher_cpu.h"

#include "arm.h"

#if ARM_NEON

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

static uint32_t
le32(const unsigned char *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof(x));
	return x;
}

/* --- ChaCha20 (RFC 8439, 2.3). --- */

/*
 * The state is four rows of four words. A quarter round works on a column, so
 * that one of rows makes four of them; those of the diagonals follow with three
 * rows rotated. Several blocks side by side fill the waits of each other: as
 * many as leave registers for what is between.
 */
#if defined(__aarch64__)
#define CHACHA_WIDE 5
#else
#define CHACHA_WIDE 3
#endif

NEON_INLINE uint32x4_t
rotate16(uint32x4_t x)
{
	return vreinterpretq_u32_u16(vrev32q_u16(vreinterpretq_u16_u32(x)));
}

NEON_INLINE uint32x4_t
rotate8(uint32x4_t x)
{
#if defined(__aarch64__)
	static const unsigned char order[16] = {
	    3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14};

	return vreinterpretq_u32_u8(
	    vqtbl1q_u8(vreinterpretq_u8_u32(x), vld1q_u8(order)));
#else
	return vsriq_n_u32(vshlq_n_u32(x, 8), x, 24);
#endif
}

NEON_INLINE uint32x4_t
rotate12(uint32x4_t x)
{
	return vsriq_n_u32(vshlq_n_u32(x, 12), x, 20);
}

NEON_INLINE uint32x4_t
rotate7(uint32x4_t x)
{
	return vsriq_n_u32(vshlq_n_u32(x, 7), x, 25);
}

/* One step of the quarter rounds of n blocks: x += y, z = (z ^ x) rotated. */
#define CHACHA_STEP(s, n, x, y, z, rotate) \
	_Pragma("GCC unroll 8") for (int k = 0; k < (n); k++) \
	{ \
		(s)[k][x] = vaddq_u32((s)[k][x], (s)[k][y]); \
		(s)[k][z] = veorq_u32((s)[k][z], (s)[k][x]); \
		(s)[k][z] = rotate((s)[k][z]); \
	}

NEON_INLINE void
chacha_quarters(uint32x4_t s[][4], int n){
    CHACHA_STEP(s, n, 0, 1, 3, rotate16) CHACHA_STEP(s, n, 2, 3, 1, rotate12)
	CHACHA_STEP(s, n, 0, 1, 3, rotate8) CHACHA_STEP(s, n, 2, 3, 1, rotate7)}

/* Encrypts n blocks at p; start is the state before the rounds. */
NEON_INLINE
    void chacha_blocks(const uint32x4_t start[4], unsigned char *p, int n)
{
	const uint32x4_t one = vsetq_lane_u32(1, vdupq_n_u32(0), 0);
	uint32x4_t s[CHACHA_WIDE][4], count = start[3];

#pragma GCC unroll 8
	for (int k = 0; k < n; k++) {
		s[k][0] = start[0];
		s[k][1] = start[1];
		s[k][2] = start[2];
		s[k][3] = count;
		count = vaddq_u32(count, one);
	}
	for (int i = 0; i < 10; i++) {
		chacha_quarters(s, n);
#pragma GCC unroll 8
		for (int k = 0; k < n; k++) {
			s[k][1] = vextq_u32(s[k][1], s[k][1], 1);
			s[k][2] = vextq_u32(s[k][2], s[k][2], 2);
			s[k][3] = vextq_u32(s[k][3], s[k][3], 3);
		}
		chacha_quarters(s, n);
#pragma GCC unroll 8
		for (int k = 0; k < n; k++) {
			s[k][1] = vextq_u32(s[k][1], s[k][1], 3);
			s[k][2] = vextq_u32(s[k][2], s[k][2], 2);
			s[k][3] = vextq_u32(s[k][3], s[k][3], 1);
		}
	}
	count = start[3];
#pragma GCC unroll 8
	for (int k = 0; k < n; k++) {
		s[k][3] = vaddq_u32(s[k][3], count);
		count = vaddq_u32(count, one);
#pragma GCC unroll 4
		for (int row = 0; row < 4; row++, p += 16) {
			uint32x4_t x = s[k][row];

			if (row < 3)
				x = vaddq_u32(x, start[row]);
			vst1q_u8(
			    p, veorq_u8(vld1q_u8(p), vreinterpretq_u8_u32(x)));
		}
	}
}

/* Of a block that is not whole the rest of the key stream is dropped. */
static NEON_TARGET uint32_t
chacha20_neon(
    const void *key, const void *iv, uint32_t cc, void *data, size_t len)
{
	static const unsigned char constant[] = "expand 32-byte k";
	const unsigned char *k = key, *nonce = iv;
	unsigned char *p = data, last[64];
	uint32_t count[4] = {cc, le32(nonce), le32(nonce + 4), le32(nonce + 8)};
	uint32x4_t s[4];

	s[0] = vreinterpretq_u32_u8(vld1q_u8(constant));
	s[1] = vreinterpretq_u32_u8(vld1q_u8(k));
	s[2] = vreinterpretq_u32_u8(vld1q_u8(k + 16));
	s[3] = vld1q_u32(count);
	while (len >= sizeof(last) * CHACHA_WIDE) {
		chacha_blocks(s, p, CHACHA_WIDE);
		p += sizeof(last) * CHACHA_WIDE;
		len -= sizeof(last) * CHACHA_WIDE;
		count[0] += CHACHA_WIDE;
		s[3] = vsetq_lane_u32(count[0], s[3], 0);
	}
	while (len > 0) {
		size_t n = len < sizeof(last) ? len : sizeof(last);

		memcpy(last, p, n);
		chacha_blocks(s, last, 1);
		memcpy(p, last, n);
		p += n;
		len -= n;
		count[0]++;
		s[3] = vsetq_lane_u32(count[0], s[3], 0);
	}
	return count[0];
}

/* --- Poly1305 (RFC 8439, 2.5). --- */

/* A number modulo 2^130 - 5 is five limbs of 26 bits, the lowest first. They
 * may be a little larger between two operations: products of a sum of two with
 * five times a limb, ten of them, fit into 64 bits with room to spare. */
enum { LIMBS = 5, LIMB_BITS = 26, LIMB_MASK = (1 << LIMB_BITS) - 1 };

struct poly {
	uint32_t h[LIMBS]; /* the sum so far; limbs below 2^28 */
	uint32_t r[LIMBS]; /* the first half of the key */
};

/* h *= r. Since 2^130 is 5 here, what is above comes in below times 5. */
static void
poly_mul(uint32_t h[LIMBS], const uint32_t r[LIMBS])
{
	uint64_t sum[LIMBS], carry = 0;

	for (int i = 0; i < LIMBS; i++) {
		sum[i] = 0;
		for (int j = 0; j < LIMBS; j++)
			sum[i] += (uint64_t)h[j] *
				  (j <= i ? r[i - j] : 5 * r[LIMBS + i - j]);
	}
	for (int i = 0; i < LIMBS; i++) {
		carry += sum[i];
		h[i] = carry & LIMB_MASK;
		carry >>= LIMB_BITS;
	}
	carry = h[0] + 5 * carry;
	h[0] = carry & LIMB_MASK;
	h[1] += (uint32_t)(carry >> LIMB_BITS);
}

/* The 16 bytes at p, as limbs. */
static void
poly_load(uint32_t out[LIMBS], const unsigned char *p)
{
	out[0] = le32(p) & LIMB_MASK;
	out[1] = le32(p + 3) >> 2 & LIMB_MASK;
	out[2] = le32(p + 6) >> 4 & LIMB_MASK;
	out[3] = le32(p + 9) >> 6;
	out[4] = le32(p + 12) >> 8;
}

static void
poly_block(struct poly *s, const unsigned char *p)
{
	uint32_t x[LIMBS];

	poly_load(x, p);
	x[4] |= 1 << 24;
	for (int i = 0; i < LIMBS; i++)
		s->h[i] += x[i];
	poly_mul(s->h, s->r);
}

/*
 * Four blocks a step, as two sums of two lanes: the next two blocks are added to
 * the sum, which is multiplied by r^4, and the two after them, multiplied by
 * r^2, are added to that. So lane 0 takes the even blocks and lane 1 the odd
 * ones. The last step multiplies each lane by what it still lacks.
 */
#define GROUP ((size_t)64)

/* What four blocks are multiplied by: the limbs, then five times those but the
 * first. */
struct multiplier {
	uint32_t limb[2 * LIMBS - 1][4];
};

static void
poly_multiplier(struct multiplier *m, const uint32_t *const powers[4])
{
	for (int lane = 0; lane < 4; lane++) {
		for (int i = 0; i < LIMBS; i++)
			m->limb[i][lane] = powers[lane][i];
		for (int i = 1; i < LIMBS; i++)
			m->limb[LIMBS - 1 + i][lane] = 5 * powers[lane][i];
	}
}

/* sum + the products of the lanes 2 and 3. */
NEON_INLINE uint64x2_t
mul_high(uint64x2_t sum, uint32x4_t a, uint32x4_t b)
{
#if defined(__aarch64__)
	return vmlal_high_u32(sum, a, b);
#else
	return vmlal_u32(sum, vget_high_u32(a), vget_high_u32(b));
#endif
}

/* Four blocks as limbs, a lane for each. */
NEON_INLINE void
poly_load4(uint32x4_t a[LIMBS], const unsigned char *p)
{
	const uint32x4_t mask = vdupq_n_u32(LIMB_MASK);
	uint32x4x4_t w = vld4q_u32((const void *)p);

	a[0] = vandq_u32(w.val[0], mask);
	a[1] = vandq_u32(
	    vsriq_n_u32(vshlq_n_u32(w.val[1], 6), w.val[0], 26), mask);
	a[2] = vandq_u32(
	    vsriq_n_u32(vshlq_n_u32(w.val[2], 12), w.val[1], 20), mask);
	a[3] = vandq_u32(
	    vsriq_n_u32(vshlq_n_u32(w.val[3], 18), w.val[2], 14), mask);
	a[4] = vorrq_u32(vshrq_n_u32(w.val[3], 8), vdupq_n_u32(1 << 24));
}

/* Moves what is above limb i of the sums to the next limb. */
NEON_INLINE void
poly_carry(uint64x2_t sum[LIMBS], int i)
{
	const uint64x2_t mask = vdupq_n_u64(LIMB_MASK);
	uint64x2_t above;

	if (i < LIMBS - 1) {
		sum[i + 1] = vsraq_n_u64(sum[i + 1], sum[i], LIMB_BITS);
	} else {
		above = vshrq_n_u64(sum[i], LIMB_BITS);
		sum[0] = vaddq_u64(sum[0], above);
		sum[0] = vaddq_u64(sum[0], vshlq_n_u64(above, 2));
	}
	sum[i] = vandq_u64(sum[i], mask);
}

/* One step; x holds both lanes, below two zeros. */
NEON_INLINE void
poly_step(
    uint32x4_t x[LIMBS], const unsigned char *p, const struct multiplier *m)
{
	uint32x4_t a[LIMBS], by[2 * LIMBS - 1];
	uint64x2_t sum[LIMBS];

	poly_load4(a, p);
#pragma GCC unroll 5
	for (int i = 0; i < LIMBS; i++)
		a[i] = vaddq_u32(a[i], x[i]);
#pragma GCC unroll 9
	for (int i = 0; i < 2 * LIMBS - 1; i++)
		by[i] = vld1q_u32(m->limb[i]);
#pragma GCC unroll 5
	for (int i = 0; i < LIMBS; i++) {
		sum[i] = vmull_u32(vget_low_u32(a[0]), vget_low_u32(by[i]));
		sum[i] = mul_high(sum[i], a[0], by[i]);
#pragma GCC unroll 4
		for (int j = 1; j < LIMBS; j++) {
			uint32x4_t b =
			    by[j <= i ? i - j : 2 * LIMBS - 1 + i - j];

			sum[i] = vmlal_u32(
			    sum[i], vget_low_u32(a[j]), vget_low_u32(b));
			sum[i] = mul_high(sum[i], a[j], b);
		}
	}
	poly_carry(sum, 0);
	poly_carry(sum, 3);
	poly_carry(sum, 1);
	poly_carry(sum, 4);
	poly_carry(sum, 2);
	poly_carry(sum, 0);
	poly_carry(sum, 3);
#pragma GCC unroll 5
	for (int i = 0; i < LIMBS; i++)
		x[i] = vcombine_u32(vmovn_u64(sum[i]), vdup_n_u32(0));
}

/* n groups, at least one. */
static NEON_TARGET void
poly_groups(struct poly *s, const unsigned char *p, size_t n)
{
	uint32_t r2[LIMBS], r3[LIMBS], r4[LIMBS];
	struct multiplier all, last;
	uint32x4_t x[LIMBS];

	memcpy(r2, s->r, sizeof(r2));
	poly_mul(r2, s->r);
	memcpy(r3, r2, sizeof(r3));
	poly_mul(r3, s->r);
	memcpy(r4, r2, sizeof(r4));
	poly_mul(r4, r2);
	poly_multiplier(&all, (const uint32_t *const[]){r4, r4, r2, r2});
	poly_multiplier(&last, (const uint32_t *const[]){r4, r3, r2, s->r});
#pragma GCC unroll 5
	for (int i = 0; i < LIMBS; i++)
		x[i] = vsetq_lane_u32(s->h[i], vdupq_n_u32(0), 0);
	for (; n > 0; n--, p += GROUP)
		poly_step(x, p, n > 1 ? &all : &last);
#pragma GCC unroll 5
	for (int i = 0; i < LIMBS; i++)
		s->h[i] = vgetq_lane_u32(x[i], 0) + vgetq_lane_u32(x[i], 1);
}

/* Takes n bytes, and zeros up to a whole block. */
static void
poly_update(struct poly *s, const void *data, size_t n)
{
	const unsigned char *p = data;
	unsigned char last[16] = {0};

	if (n >= GROUP) {
		poly_groups(s, p, n / GROUP);
		p += n / GROUP * GROUP;
		n %= GROUP;
	}
	for (; n >= sizeof(last); n -= sizeof(last), p += sizeof(last))
		poly_block(s, p);
	if (n > 0) {
		memcpy(last, p, n);
		poly_block(s, last);
	}
}

/* Reduces h to less than the modulus. After poly_mul() only the second limb may
 * be too large. What then comes out of the last one makes the first too large by
 * 5 at most, and leaves zeros above: nothing comes out a second time. */
static void
poly_reduce(uint32_t h[LIMBS])
{
	uint32_t less[LIMBS], carry = 0;

	for (int i = 0; i < 2 * LIMBS; i++) {
		h[i % LIMBS] += i == LIMBS ? 5 * carry : carry;
		carry = h[i % LIMBS] >> LIMB_BITS;
		h[i % LIMBS] &= LIMB_MASK;
	}
	/* h - (2^130 - 5) is h + 5 without the bit 2^130, if that is set. */
	carry = 5;
	for (int i = 0; i < LIMBS; i++) {
		less[i] = h[i] + carry;
		carry = less[i] >> LIMB_BITS;
		less[i] &= LIMB_MASK;
	}
	for (int i = 0; i < LIMBS; i++)
		h[i] ^= (h[i] ^ less[i]) & -carry;
}

/* The tag: h plus the second half of the key, modulo 2^128. */
static void
poly_final(struct poly *s, const unsigned char *half, unsigned char *tag)
{
	uint32_t *h = s->h;
	uint64_t sum = 0;

	poly_reduce(h);
	for (int i = 0; i < 4; i++) {
		uint32_t word;

		sum += (h[i] >> 6 * i | h[i + 1] << (LIMB_BITS - 6 * i));
		sum += le32(half + 4 * i);
		word = (uint32_t)sum;
		memcpy(tag + 4 * i, &word, sizeof(word));
		sum >>= 32;
	}
}

/* ChaCha20-Poly1305 as BearSSL calls it (RFC 8439, 2.8). */
static NEON_TARGET void
poly1305_neon(const void *key, const void *iv, void *data, size_t len,
    const void *aad, size_t aad_len, void *tag, br_chacha20_run chacha,
    int encrypt)
{
	static const uint32_t clamp[LIMBS] = {
	    0x3ffffff, 0x3ffff03, 0x3ffc0ff, 0x3f03fff, 0x00fffff};
	unsigned char pair[32] = {0};
	uint64_t lengths[2] = {aad_len, len};
	struct poly s = {0};

	chacha(key, iv, 0, pair, sizeof(pair));
	poly_load(s.r, pair);
	for (int i = 0; i < LIMBS; i++)
		s.r[i] &= clamp[i];
	if (encrypt)
		chacha(key, iv, 1, data, len);
	poly_update(&s, aad, aad_len);
	poly_update(&s, data, len);
	poly_update(&s, lengths, sizeof(lengths));
	poly_final(&s, pair + 16, tag);
	if (!encrypt)
		chacha(key, iv, 1, data, len);
}

static void
choose_chapol(br_ssl_engine_context *eng)
{
	if (!(getauxval(AT_HWCAP) & CAP_NEON))
		return;
	br_ssl_engine_set_chacha20(eng, chacha20_neon);
	br_ssl_engine_set_poly1305(eng, poly1305_neon);
}

#else

static void
choose_chapol(br_ssl_engine_context *eng)
{
	(void)eng;
}

#endif

#if ARM_CRYPTO

/* --- AES in counter mode (FIPS 197; NIST SP 800-38D, 6.5). --- */

#define AES_WIDE 8

struct aes_keys {
	const br_block_ctr_class *vtable; /* first, so that BearSSL finds it */
	unsigned rounds;
	unsigned char key[15][16];
};

_Static_assert(sizeof(struct aes_keys) <= sizeof(br_aes_gen_ctr_keys),
    "BearSSL has room for the keys");

static void aes_init(
    const br_block_ctr_class **ctx, const void *key, size_t len);
static uint32_t aes_run(const br_block_ctr_class *const *ctx, const void *iv,
    uint32_t cc, void *data, size_t len);

static const br_block_ctr_class aes_ctr = {
    sizeof(struct aes_keys), 16, 4, aes_init, aes_run};

/* SubWord() of the standard. aese also shifts rows, which changes nothing if
 * all four columns are the same. */
CRYPTO_INLINE uint32_t
sub_word(uint32_t x)
{
	uint8x16_t columns = vreinterpretq_u8_u32(vdupq_n_u32(x));

	columns = vaeseq_u8(columns, vdupq_n_u8(0));
	return vgetq_lane_u32(vreinterpretq_u32_u8(columns), 0);
}

/* KeyExpansion(); words are as they lie in memory, so that a rotation to the
 * left is one to the right. */
static CRYPTO_TARGET void
aes_init(const br_block_ctr_class **ctx, const void *key, size_t len)
{
	struct aes_keys *k = (void *)ctx;
	unsigned words = (unsigned)len / 4;
	uint32_t w[60], x, constant = 1;

	k->vtable = &aes_ctr;
	k->rounds = words + 6;
	memcpy(w, key, len);
	for (unsigned i = words; i < 4 * (k->rounds + 1); i++) {
		x = w[i - 1];
		if (i % words == 0) {
			x = sub_word(x >> 8 | x << 24) ^ constant;
			/* Times x in GF(2^8); the ninth is the first to wrap. */
			constant = constant << 1 ^ (constant >> 7) * 0x11b;
		} else if (words > 6 && i % words == 4) {
			x = sub_word(x);
		}
		w[i] = w[i - words] ^ x;
	}
	memcpy(k->key, w, 16 * (k->rounds + 1));
}

/* Encrypts n blocks at p; count is the first counter block, in words of this
 * CPU's order. */
CRYPTO_INLINE void
aes_blocks(const struct aes_keys *k, uint32x4_t count, unsigned char *p, int n)
{
	const uint32x4_t one = vsetq_lane_u32(1, vdupq_n_u32(0), 3);
	uint8x16_t x[AES_WIDE], key;
	unsigned i = 0;

#pragma GCC unroll 8
	for (int j = 0; j < n; j++) {
		x[j] = vrev32q_u8(vreinterpretq_u8_u32(count));
		count = vaddq_u32(count, one);
	}
	for (; i < k->rounds - 1; i++) {
		key = vld1q_u8(k->key[i]);
#pragma GCC unroll 8
		for (int j = 0; j < n; j++)
			x[j] = vaesmcq_u8(vaeseq_u8(x[j], key));
	}
	key = vld1q_u8(k->key[i]);
#pragma GCC unroll 8
	for (int j = 0; j < n; j++, p += 16) {
		x[j] = vaeseq_u8(x[j], key);
		x[j] = veorq_u8(x[j], vld1q_u8(k->key[i + 1]));
		vst1q_u8(p, veorq_u8(x[j], vld1q_u8(p)));
	}
}

static CRYPTO_TARGET uint32_t
aes_run(const br_block_ctr_class *const *ctx, const void *iv, uint32_t cc,
    void *data, size_t len)
{
	const struct aes_keys *k = (const void *)ctx;
	unsigned char first[16] = {0}, last[16], *p = data;
	uint32x4_t count;

	memcpy(first, iv, 12);
	count = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(first)));
	for (; len >= AES_WIDE * sizeof(last); len -= AES_WIDE * sizeof(last)) {
		aes_blocks(k, vsetq_lane_u32(cc, count, 3), p, AES_WIDE);
		p += AES_WIDE * sizeof(last);
		cc += AES_WIDE;
	}
	for (; len >= sizeof(last); len -= sizeof(last)) {
		aes_blocks(k, vsetq_lane_u32(cc++, count, 3), p, 1);
		p += sizeof(last);
	}
	if (len > 0) {
		memcpy(last, p, len);
		aes_blocks(k, vsetq_lane_u32(cc, count, 3), last, 1);
		memcpy(p, last, len);
	}
	return cc;
}

/* --- GHASH (NIST SP 800-38D, 6.4). --- */

/*
 * In the standard the first bit of a block, the highest of its first byte, is
 * the coefficient of x^0. With the bits of each byte reversed a block is a
 * polynomial in the usual order, lowest first, modulo x^128 + x^7 + x^2 + x + 1.
 */
#define GHASH_WIDE 4

/* A factor: both halves, and their sum in each half. */
struct factor {
	poly64x2_t halves, sum;
};

/* A product before the reduction: of the low halves, of the high halves, and of
 * the sums of both. */
struct product {
	uint64x2_t low, high, sums;
};

CRYPTO_INLINE uint64x2_t
mul_low64(poly64x2_t a, poly64x2_t b)
{
	return vreinterpretq_u64_p128(
	    vmull_p64(vgetq_lane_p64(a, 0), vgetq_lane_p64(b, 0)));
}

CRYPTO_INLINE uint64x2_t
mul_high64(poly64x2_t a, poly64x2_t b)
{
	return vreinterpretq_u64_p128(vmull_high_p64(a, b));
}

CRYPTO_INLINE struct factor
factor_of(uint64x2_t a)
{
	struct factor f;

	f.halves = vreinterpretq_p64_u64(a);
	f.sum = vreinterpretq_p64_u64(veorq_u64(a, vextq_u64(a, a, 1)));
	return f;
}

CRYPTO_INLINE void
add_product(struct product *s, uint64x2_t a, const struct factor *b)
{
	struct factor f = factor_of(a);

	s->low = veorq_u64(s->low, mul_low64(f.halves, b->halves));
	s->high = veorq_u64(s->high, mul_high64(f.halves, b->halves));
	s->sums = veorq_u64(s->sums, mul_low64(f.sum, b->sum));
}

CRYPTO_INLINE uint64x2_t
reduce(const struct product *s)
{
	/* x^128, reduced, in both halves. */
	const poly64x2_t fold = vreinterpretq_p64_u64(vdupq_n_u64(0x87));
	const uint64x2_t zero = vdupq_n_u64(0);
	uint64x2_t low = s->low, high = s->high, middle;

	middle = veorq_u64(s->sums, veorq_u64(low, high));
	/* First what is from x^192 on, which ends in the middle. */
	middle =
	    veorq_u64(middle, mul_high64(vreinterpretq_p64_u64(high), fold));
	low = veorq_u64(low, vextq_u64(zero, middle, 1));
	high = veorq_u64(high, vextq_u64(middle, zero, 1));
	return veorq_u64(low, mul_low64(vreinterpretq_p64_u64(high), fold));
}

CRYPTO_INLINE uint64x2_t
multiply(uint64x2_t a, const struct factor *b)
{
	struct product s = {vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};

	add_product(&s, a, b);
	return reduce(&s);
}

CRYPTO_INLINE uint64x2_t
ghash_load(const unsigned char *p)
{
	return vreinterpretq_u64_u8(vrbitq_u8(vld1q_u8(p)));
}

/* Takes n blocks at p into y; h has the powers from the first one on. */
CRYPTO_INLINE uint64x2_t
ghash_blocks(
    uint64x2_t y, const struct factor h[], const unsigned char *p, int n)
{
	struct product s = {vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};

#pragma GCC unroll 4
	for (int i = 0; i < n; i++, p += 16) {
		uint64x2_t block = ghash_load(p);

		if (i == 0)
			block = veorq_u64(block, y);
		add_product(&s, block, &h[n - 1 - i]);
	}
	return reduce(&s);
}

/* Takes len bytes, and zeros up to a whole block. */
static CRYPTO_TARGET void
ghash_arm(void *y, const void *h, const void *data, size_t len)
{
	const unsigned char *p = data;
	unsigned char last[16] = {0};
	struct factor powers[GHASH_WIDE];
	uint64x2_t sum = ghash_load(y), power = ghash_load(h);

	powers[0] = factor_of(power);
	if (len >= GHASH_WIDE * sizeof(last)) {
#pragma GCC unroll 4
		for (int i = 1; i < GHASH_WIDE; i++) {
			power = multiply(power, &powers[0]);
			powers[i] = factor_of(power);
		}
	}
	for (; len >= GHASH_WIDE * sizeof(last);
	     len -= GHASH_WIDE * sizeof(last)) {
		sum = ghash_blocks(sum, powers, p, GHASH_WIDE);
		p += GHASH_WIDE * sizeof(last);
	}
	for (; len >= sizeof(last); len -= sizeof(last), p += sizeof(last))
		sum = ghash_blocks(sum, powers, p, 1);
	if (len > 0) {
		memcpy(last, p, len);
		sum = ghash_blocks(sum, powers, last, 1);
	}
	vst1q_u8(y, vrbitq_u8(vreinterpretq_u8_u64(sum)));
}

static bool
choose_aes(br_ssl_engine_context *eng)
{
	unsigned long has = getauxval(AT_HWCAP);

	if (!(has & CAP_AES) || !(has & CAP_PMULL))
		return false;
	br_ssl_engine_set_aes_ctr(eng, &aes_ctr);
	br_ssl_engine_set_ghash(eng, ghash_arm);
	return true;
}

#else

static bool
choose_aes(br_ssl_engine_context *eng)
{
	(void)eng;
	return false;
}

#endif

bool
cipher_choose(br_ssl_engine_context *eng)
{
	/* BearSSL asks the CPU, too, and knows x86 and POWER8. */
	br_ssl_engine_set_default_aes_gcm(eng);
	br_ssl_engine_set_default_chapol(eng);
	choose_chapol(eng);
	return choose_aes(eng) || br_aes_x86ni_ctr_get_vtable() ||
	       br_aes_pwr8_ctr_get_vtable();
}
