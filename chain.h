#ifndef HUB_CHAIN_H
#define HUB_CHAIN_H

/*
 * The server's certificates: BearSSL's X.509 engine decides, this one around it
 * adds what that lacks. It matches address literals (subject alternative names
 * of type iPAddress), refuses a host that begins with a dot, which BearSSL lets
 * match a wildcard, refuses a certificate that is not for servers (extended
 * key usage), and remembers what a sentence about a refusal needs.
 *
 * Refused are signatures with SHA-1 and short RSA keys.
 */

#include <bearssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "cert.h"
#include "clock.h"
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
	bool old_root;  /* a root that came with it is signed with SHA-1 */
	struct buf der; /* the certificate that is arriving */
	size_t count;   /* of certificates that were read */
	struct clock_time time;
	int64_t lapses;      /* when the first one does; 0: none came */
	int64_t from, until; /* of the first one out of date, else both 0 */
	char subject[96];    /* of the first certificate */
	char hosts[CERT_HOSTS_MAX]; /* that it is for (cert_hosts) */
	char issuer[96];            /* of the last one */
	size_t short_bits;  /* of the first short RSA key, 0 for none, ... */
	char short_key[96]; /* ... and whose it is */
	char sha1[96];      /* the first that is signed with SHA-1 */
};

/*
 * host must not be empty and stays valid. Dates are checked for time.now. Where
 * that is only the earliest that it can be (the machine has no clock), it moves
 * to the day from which a certificate is valid, if that is later: who issued it
 * knew the day. This holds for the chain, which is refused if it is not
 * trusted.
 */
void chain_init(struct chain *c, const struct anchors *roots, const char *host,
    struct clock_time time);
void chain_release(struct chain *c);

/* The name for SNI; NULL for an address, which has none (RFC 6066, 3). */
const char *chain_name(const struct chain *c);

/* Sets the sentence for an error of BR_ERR_X509_*; returns -1. */
int chain_explain(const struct chain *c, int code, struct err *e);

#endif
