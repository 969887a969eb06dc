#ifndef HUB_CERT_H
#define HUB_CERT_H

/*
 * What BearSSL does not tell of a certificate (RFC 5280): printable names, the
 * dates, and whether it is for an IP address. Nothing here decides on trust.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

/* Views into the certificate. Names and san are the inside of their DER
 * elements; san is empty if there is none. Dates are seconds since 1970. */
struct cert {
	struct str issuer, subject, san;
	int64_t from, until;
};

/* False if der is not one whole certificate. */
bool cert_parse(const void *der, size_t n, struct cert *c);

/* Writes the common name of a name, and the organisation if that differs:
 * "R11, Let's Encrypt". Cuts what does not fit; "(no name)" if both are missing.
 * Text of strangers: control characters come out as they are, but NUL as '?'. */
void cert_name(struct str dn, char *out, size_t size);

/* True if a subject alternative name is this address of 4 or 16 bytes. */
bool cert_has_ip(const struct cert *c, const unsigned char *ip, size_t n);

/* "2026-11-23". */
void cert_day(int64_t t, char out[32]);

/* The time to check dates with, from the clock and the day of the build: a
 * clock that is before the build is wrong. */
int64_t cert_clock(int64_t system, int64_t build);

#endif
