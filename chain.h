#ifndef HUB_CHAIN_H
#define HUB_CHAIN_H

/*
 * The server's certificates: BearSSL's X.509 engine decides, this one around it
 * adds what that lacks. It matches address literals (subject alternative names
 * of type iPAddress), refuses a certificate that is not for servers (extended
 * key usage), and remembers what a sentence about a refusal needs.
 *
 * Refused are signatures with SHA-1 and short RSA keys.
 */

#include <bearssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "str.h"

struct anchors;
struct err;

struct chain {
	const br_x509_class *vtable; /* first, so that BearSSL finds it */
	br_x509_minimal_context inner;
	const char *host;     /* borrowed */
	unsigned char ip[16]; /* host, if it is an address literal */
	size_t ip_len;        /* 0 for a name */
	bool ip_found;        /* the first certificate is for ip */
	bool for_servers;     /* it could be read, and is for servers */
	bool self_signed;     /* it is its own issuer */
	bool old_root;       /* a root that came with it is signed with SHA-1 */
	struct buf der;      /* the certificate that is arriving */
	size_t count;        /* of certificates that were read */
	int64_t clock, now;  /* what the machine says, what is used */
	int64_t from, until; /* of the first one out of date, else both 0 */
	char subject[96];    /* of the first certificate */
	char issuer[96];     /* of the last one */
	size_t short_bits;   /* of the first short RSA key, 0 for none, ... */
	char short_key[96];  /* ... and whose it is */
	char sha1[96];       /* the first that is signed with SHA-1 */
};

/* host must not be empty and stays valid; dates are checked with
 * cert_clock(clock, build). */
void chain_init(struct chain *c, const struct anchors *roots, const char *host,
    int64_t clock, int64_t build);
void chain_release(struct chain *c);

/* The name for SNI; NULL for an address, which has none (RFC 6066, 3). */
const char *chain_name(const struct chain *c);

/* Sets the sentence for an error of BR_ERR_X509_*; returns -1. */
int chain_explain(const struct chain *c, int code, struct err *e);

#endif
