#ifndef HUB_TEST_PEM_H
#define HUB_TEST_PEM_H

/* The certificates and the key of tests/unit/data/tls. All are thrown away: an
 * EC authority (ca), what it has signed (good, expired, future, noip; one key
 * for all, key), and authorities that nobody trusts (other, rsa, ed25519).
 *
 * In second another authority (ca) with what it has signed: leaves of 1024 bits
 * (short), with SHA-1 (sha1), of 2048 bits (rsa), and with an extended key
 * usage (client, any, server); intermediates of 1024 bits and with SHA-1
 * (shortca, sha1ca), a leaf below each (belowshort, belowsha1). And roots of
 * 1024 bits (shortroot), with SHA-1 (sha1root) and a leaf below
 * (belowsha1root), and a leaf that an RSA key has signed with SHA-1 (sha1rsa).
 * One has an Ed25519 key. */

#include <bearssl.h>
#include <stdio.h>
#include <stdlib.h>

#include "str.h"

static inline struct buf
pem_text(const char *name)
{
	struct buf text = buf_make(65536), path = buf_make(256);
	FILE *f;

	buf_printf(&path, "tests/unit/data/tls/%s.pem", name);
	f = fopen(buf_cstr(&path), "rb");
	if (!f) {
		perror(buf_cstr(&path));
		exit(1);
	}
	buf_added(&text, fread(buf_room(&text, 32768), 1, 32768, f));
	fclose(f);
	buf_release(&path);
	return text;
}

static inline void
pem_add(void *buf, const void *p, size_t n)
{
	buf_add(buf, p, n);
}

/* The first object of the file. */
static inline struct buf
pem_der(const char *name)
{
	struct buf text = pem_text(name), der = buf_make(65536);
	br_pem_decoder_context d;
	size_t at = 0;

	br_pem_decoder_init(&d);
	br_pem_decoder_setdest(&d, pem_add, &der);
	while (at < text.len && br_pem_decoder_event(&d) != BR_PEM_END_OBJ)
		at += br_pem_decoder_push(&d, text.s + at, text.len - at);
	buf_release(&text);
	return der;
}

#endif
