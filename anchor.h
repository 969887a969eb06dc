#ifndef HUB_ANCHOR_H
#define HUB_ANCHOR_H

/*
 * Certificates to trust anchors of BearSSL, and the packed form in which the
 * built-in ones lie in the program. No I/O.
 *
 * Packed, one after the other, lengths as 16 bits, big-endian:
 *   flags (1 byte), length and DN; then
 *   0, length and modulus, length and exponent of an RSA key, or
 *   the number of the curve (1 byte), length and point of an EC key
 */

#include <bearssl.h>
#include <stddef.h>

#include "str.h"

struct err;

/* The first lent anchors point into packed ones, the others own their bytes. */
struct anchors {
	br_x509_trust_anchor *a;
	size_t n, cap, lent;
};

/* Leaves it empty: all zero. */
void anchors_release(struct anchors *list);

/* Adds packed anchors, which must stay where they are. Comes before all other
 * additions. False, and nothing added from there on, where they are broken. */
bool anchors_add_packed(struct anchors *list, const void *p, size_t n);

/* Adds a certificate, once. One with a key that BearSSL cannot use, or an RSA
 * key of less than 2048 bits, is passed over (*added stays as it was); one that
 * is no certificate is ERR_USAGE. */
int anchors_add_der(struct anchors *list, const void *der, size_t n,
    size_t *added, struct err *e);

/* Adds all certificates of a PEM text (RFC 7468, or what copying and
 * concatenation make of it), passes over all that is between them, and counts
 * them in *added. ERR_USAGE, with the line of the first one, if some are broken;
 * the others are added nevertheless. */
int anchors_add_pem(
    struct anchors *list, struct str pem, size_t *added, struct err *e);

/* Appends it in packed form. */
void anchor_pack(const br_x509_trust_anchor *a, struct buf *out);

#endif
