#ifndef HUB_TLS_H
#define HUB_TLS_H

/*
 * A TLS 1.2 client session with BearSSL, over a connected non-blocking socket.
 *
 * AES-GCM is offered first where BearSSL can use AES instructions of the CPU,
 * ChaCha20 elsewhere. Receives are large: a buffer of TLS_RECV bytes takes many
 * records in one system call. The host name is always checked; there is no
 * switch to turn that off. Renegotiation is refused. ALPN (RFC 7301) offers
 * "http/1.1".
 *
 * Not checked, since BearSSL does not: revocation, and more that SECURITY.md
 * lists.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

struct err;

#define TLS_RECV 65536

/* What is trusted: the built-in roots (roots.h) and those that were added,
 * filled before the first session and read-only from then on, so that threads
 * may share it; and a clock, for the dates of certificates. */
struct clock;
struct tls_trust;

struct tls_trust *tls_trust_open(void);
void tls_trust_close(struct tls_trust *t); /* takes NULL */

/* Adds all certificates of a PEM text; name is for messages. ERR_USAGE if there
 * is none. Returns 1, and e says the first with its line, if some are broken and
 * others were added. Those with a kind of key that BearSSL does not have, or a
 * short RSA key, are passed over, and each is kept once. */
int tls_trust_add_pem(
    struct tls_trust *t, struct str pem, const char *name, struct err *e);
/* The same for a file or a pipe (ERR_USAGE if it cannot be read, which takes 5 s
 * at most; 16 MiB), and for each file of a folder (those that cannot be read or
 * hold no certificate are passed over). */
int tls_trust_add_file(struct tls_trust *t, const char *path, struct err *e);
int tls_trust_add_dir(struct tls_trust *t, const char *path, struct err *e);

/* The cipher suites, best first, for BearSSL with or without AES instructions
 * of the CPU. */
#define TLS_SUITES 6
const uint16_t *tls_suites(bool aes);

struct clock *tls_trust_clock(const struct tls_trust *t);

/* How many roots there are in all. */
size_t tls_trust_count(const struct tls_trust *t);

/* What a later session to the same host can resume with (RFC 5246, 7.3). The
 * caller keeps one for each origin and locks it: a session is copied in and out
 * under lock by tls_open and tls_close. All zero is "none yet". */
struct tls_resume {
	unsigned char id[32], master[48];
	unsigned id_len;
	uint16_t version, suite;
	int64_t lapses; /* the certificate that it began with (tls_lapses) */
};

struct tls;

/*
 * The handshake. host is a name or an address literal; fd stays the caller's.
 * resume may be all zero; on success tls_session() gives what to keep.
 * An untrusted certificate is ERR_OTHER with the issuer's name in the sentence
 * and a hint that names --ca-file; a wrong clock is named as such; all that
 * another try may mend (reset, timeout, early close) is ERR_NET.
 */
struct tls *tls_open(int fd, const char *host, const struct tls_trust *trust,
    const struct tls_resume *resume, uint64_t deadline, struct err *e);
void tls_session(const struct tls *t, struct tls_resume *out);

/* When the certificate of the peer lapses, in seconds since 1970; also that of
 * a session which was resumed. */
int64_t tls_lapses(const struct tls *t);

/* Decrypted bytes, at most cap; waits for the first. *n is 0 at the end of the
 * stream; tls_closed_well() then says whether the peer had said so
 * (close_notify), or the stream was cut. */
int tls_read(struct tls *t, void *p, size_t cap, size_t *n, uint64_t deadline,
    struct err *e);
bool tls_closed_well(const struct tls *t);

/* Sends all n bytes, flushed. */
int tls_write(
    struct tls *t, const void *p, size_t n, uint64_t deadline, struct err *e);

/* Sends close_notify if that goes without waiting, wipes the keys, frees. */
void tls_close(struct tls *t);

#endif
