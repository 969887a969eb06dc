#ifndef HUB_ARM_H
#define HUB_ARM_H

/*
 * Private to hash_cpu.c, cipher_cpu.c and their bench: which instructions of
 * ARM this compiler can be asked for, function by function, and how the kernel
 * reports them. All of it is for little-endian only.
 *
 * ARM_NEON: vectors. ARM_CRYPTO: AES, PMULL, SHA-1 and SHA-256, in 64 bits.
 * clang wants the first in 32 bits, and before version 16 the second, for the
 * whole program or not at all; with an older one portable code does the work.
 */

#if defined(__aarch64__) && defined(__AARCH64EL__)
#define ARM_NEON 1
#elif defined(__ARMEL__) && defined(__ARM_FP) && __ARM_ARCH >= 7 && \
    (!defined(__clang__) || defined(__ARM_NEON))
#define ARM_NEON 1
#else
#define ARM_NEON 0
#endif

#if defined(__aarch64__) && ARM_NEON && \
    (!defined(__clang__) || __clang_major__ >= 16 || \
	(defined(__ARM_FEATURE_AES) && defined(__ARM_FEATURE_SHA2)))
#define ARM_CRYPTO 1
#else
#define ARM_CRYPTO 0
#endif

#if defined(__aarch64__) || defined(__clang__)
#define NEON_TARGET
#else
#define NEON_TARGET __attribute__((target("fpu=neon")))
#endif

/* gcc before 13 has no less than all of them. */
#if defined(__clang__) && __clang_major__ < 16
#define CRYPTO_TARGET
#else
#define CRYPTO_TARGET __attribute__((target("+crypto")))
#endif

#define NEON_INLINE static inline __attribute__((always_inline)) NEON_TARGET
#define CRYPTO_INLINE static inline __attribute__((always_inline)) CRYPTO_TARGET

/* From the kernel's interface: bits of AT_HWCAP. All but the first are
 * those of 64 bits. */
#if defined(__aarch64__)
enum { CAP_NEON = 1 << 1 };
#else
enum { CAP_NEON = 1 << 12 };
#endif
enum {
	CAP_AES = 1 << 3,
	CAP_PMULL = 1 << 4,
	CAP_SHA1 = 1 << 5,
	CAP_SHA2 = 1 << 6
};

#endif
