#include "hash_impl.h"

/* clang before 16 has these intrinsics only if the whole program may use
 * them; with an older one the portable code does the work. */
#if defined(__aarch64__) && defined(__AARCH64EL__) && \
    (!defined(__clang__) || __clang_major__ >= 16 || \
	defined(__ARM_FEATURE_SHA2))

#include <arm_neon.h>
#include <sys/auxv.h>

/* +crypto is AES and both hashes; gcc before 13 has no less. */
#if defined(__clang__) && __clang_major__ < 16
#define SHA_TARGET
#else
#define SHA_TARGET __attribute__((target("+crypto")))
#endif
#define SHA_INLINE static inline __attribute__((always_inline)) SHA_TARGET

/* From the kernel's interface: bits of AT_HWCAP. */
enum { CAP_SHA1 = 1 << 5, CAP_SHA2 = 1 << 6 };

/* Four message words of both hashes. */
SHA_INLINE uint32x4_t
words(const unsigned char *p)
{
	return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p)));
}

/* A to D are in one register and E to H in another, A and E lowest. sha256h
 * makes four rounds and returns the new A to D, sha256h2 the new E to H of the
 * same rounds; both want the old values of the other. */
struct sha256_state {
	uint32x4_t abcd, efgh;
	uint32x4_t w[4]; /* the last 16 message words, the oldest first */
};

SHA_INLINE void
sha256_rounds(struct sha256_state *s, int i, const uint32_t *k)
{
	uint32x4_t sum = vaddq_u32(s->w[i], vld1q_u32(k + 4 * i));
	uint32x4_t abcd = s->abcd;

	s->abcd = vsha256hq_u32(abcd, s->efgh, sum);
	s->efgh = vsha256h2q_u32(s->efgh, abcd, sum);
}

/* Four rounds, and the next four words in place of the oldest. */
SHA_INLINE void
sha256_step(struct sha256_state *s, int i, const uint32_t *k)
{
	uint32x4_t w1 = s->w[(i + 1) & 3], w2 = s->w[(i + 2) & 3];

	sha256_rounds(s, i, k);
	s->w[i] = vsha256su1q_u32(
	    vsha256su0q_u32(s->w[i], w1), w2, s->w[(i + 3) & 3]);
}

SHA_INLINE void
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

static SHA_TARGET void
sha256_sha(uint32_t h[8], const unsigned char *p, size_t n)
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
 * place of the oldest. The last four steps make words that nobody wants. */
SHA_INLINE void
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

static SHA_TARGET void
sha1_sha(uint32_t h[8], const unsigned char *p, size_t n)
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

size_t
hash_impls_arm(const struct hash_impl *out[])
{
	static const struct hash_impl sha = {
	    "ARMv8 SHA", sha256_sha, sha1_sha, NULL, 1, 1};
	unsigned long has = getauxval(AT_HWCAP);

	if (!(has & CAP_SHA1) || !(has & CAP_SHA2))
		return 0;
	out[0] = &sha;
	return 1;
}

#else

size_t
hash_impls_arm(const struct hash_impl *out[])
{
	(void)out;
	return 0;
}

#endif
