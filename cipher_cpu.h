#ifndef HUB_CIPHER_CPU_H
#define HUB_CIPHER_CPU_H

/*
 * The ciphers of TLS for CPUs that BearSSL has no code for: AES-GCM with the
 * AES instructions of ARMv8, ChaCha20 and Poly1305 with the vectors of ARM
 * (NEON) in 64 and 32 bits. Like BearSSL's own, they take the same time for all
 * keys and data of one length.
 */

#include <bearssl.h>
#include <stdbool.h>

/* Sets the AES-GCM and the ChaCha20-Poly1305 of an engine: the fastest code in
 * constant time that this CPU can run. Returns true if AES-GCM uses AES
 * instructions, with which it is the faster one of the two. */
bool cipher_choose(br_ssl_engine_context *eng);

#endif
