#ifndef HUB_CERT_H
#define HUB_CERT_H

/*
 * Reads from a certificate (RFC 5280) what BearSSL does not report: names,
 * dates, IP addresses, usage, and weak signatures and keys. Does not decide on
 * trust.
 */

#include <bearssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

struct err;

/* --- One certificate. --- */

/* Views into the certificate, the inside of their DER elements. san
 * (alternative names) and usages (extended key usage) are NULL if there is
 * none; signature is the OID of its kind. Dates are seconds since 1970. */
struct cert {
	struct str issuer, subject, key, san, usages, signature;
	int64_t from, until;
};

/* False if der is not one whole certificate. */
bool cert_parse(const void *der, size_t n, struct cert *c);

/* Writes the common name of a name, and the organisation if that differs: "R11,
 * Let's Encrypt". Cuts what does not fit; "(no name)" if both are missing.
 * Untrusted text: control characters are kept, NUL becomes '?'. */
void cert_name(struct str dn, char *out, size_t size);

/* Writes the hosts that the certificate is for: its alternative names (names
 * and addresses of hosts), up to three and the number of others, or the common
 * name if it has none: "'a.test', '*.b.test', '127.0.0.1' and 2 more". size is
 * at least CERT_HOSTS_MAX. Untrusted text, as above. */
void cert_hosts(const struct cert *c, char *out, size_t size);

#define CERT_HOSTS_MAX 256

/* True if a subject alternative name is this address of 4 or 16 bytes. */
bool cert_has_ip(const struct cert *c, const unsigned char *ip, size_t n);

/* True if an extended key usage is for servers, or there is none at all (RFC
 * 5280, 4.2.1.12). */
bool cert_is_for_servers(const struct cert *c);

/* True if it is signed with SHA-1. */
bool cert_is_sha1(const struct cert *c);

/* True if it names itself as its issuer. */
bool cert_is_root(const struct cert *c);

#define CERT_RSA_MIN 2048 /* bits: shorter keys are not safe */

/* The length of the RSA key; 0 for a key of another kind. */
size_t cert_rsa_bits(const struct cert *c);

/* The day of a time in seconds since 1970: "2026-11-23". */
void cert_day(int64_t t, char out[32]);

/* --- Roots of trust. --- */

/*
 * Converts certificates to BearSSL's trust anchors, and to and from the packed
 * form of the built-in ones. No I/O.
 *
 * Packed, one after the other, lengths as 16 bits, big-endian:
 *   flags (1 byte), length and DN; then
 *   0, length and modulus, length and exponent of an RSA key, or
 *   the number of the curve (1 byte), length and point of an EC key
 */

/* The first lent anchors point into packed ones, the others own their bytes. */
struct anchors {
	br_x509_trust_anchor *a;
	size_t n, cap, lent;
};

/* Leaves it empty: all zero. */
void anchors_release(struct anchors *list);

/* Adds packed anchors. They are in two parts: heads repeat themselves and are worth
 * compressing, keys are not. Both must stay where they are. Call it before all
 * other additions. False if they are broken; those before the fault are added. */
bool anchors_add_packed(
    struct anchors *list, struct str heads, struct str keys);

/* Adds all certificates of a PEM text (RFC 7468, or what copying and
 * concatenation make of it), skips all text between them, and counts them in
 * *added. ERR_USAGE, with the line of the first one, if some are broken; the
 * others are added nevertheless. */
int anchors_add_pem(
    struct anchors *list, struct str pem, size_t *added, struct err *e);

/* Cuts the next block off a PEM text: its label ("CERTIFICATE"), a view, and its
 * bytes. 1; 0: there is none; -1: it is broken, or too large for der. */
int pem_next(struct str *rest, struct str *label, struct buf *der);

/* Appends it in packed form. */
void anchor_pack(
    const br_x509_trust_anchor *a, struct buf *heads, struct buf *keys);

#endif
