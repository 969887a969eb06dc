#ifndef HUB_TLS_H
#define HUB_TLS_H

/*
 * TLS 1.2 sessions with BearSSL over a connected non-blocking socket: of a
 * client, and of a server.
 *
 * AES-GCM is offered first where the CPU has AES instructions (cipher_cpu.h),
 * ChaCha20 elsewhere. Receives are large: a buffer of TLS_RECV bytes takes many
 * records in one system call. The host name is always checked; there is no
 * switch to turn that off. Renegotiation is refused. ALPN (RFC 7301) offers
 * "http/1.1".
 *
 * Not checked, since BearSSL does not: revocation, and more that SECURITY.md
 * lists.
 */

#include <bearssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cert.h"
#include "str.h"

struct anchors;
struct err;

/* --- The session. --- */

#define TLS_RECV 65536

/* What is trusted: the built-in roots (roots.h) and those that were added,
 * filled before the first session and read-only from then on, so that threads
 * may share it; and a clock, for the dates of certificates. */
struct clock;
struct tls_trust;

struct tls_trust *tls_trust_open(void);
void tls_trust_close(struct tls_trust *t); /* takes NULL */

/* Adds all certificates of a PEM text; name is for messages. ERR_USAGE if there
 * is none. Returns 1, and e names the first broken one with its line, if some
 * are broken and others were added. Skips keys of a kind that BearSSL does not
 * support, short RSA keys, and duplicates. */
int tls_trust_add_pem(
    struct tls_trust *t, struct str pem, const char *name, struct err *e);
/* The same for a file or a pipe (ERR_USAGE if it cannot be read within 5 s or
 * exceeds 16 MiB), and for each file of a folder (skips those that are
 * unreadable or contain no certificate). */
int tls_trust_add_file(struct tls_trust *t, const char *path, struct err *e);
int tls_trust_add_dir(struct tls_trust *t, const char *path, struct err *e);

/* The number of cipher suites that are offered. */
#define TLS_SUITES 6

struct clock *tls_trust_clock(const struct tls_trust *t);

/* The data to resume a session with the same host (RFC 5246, 7.3). The caller
 * keeps and locks one for each origin. All zero: none yet. */
struct tls_resume {
	unsigned char id[32], master[48];
	unsigned id_len;
	uint16_t version, suite;
	int64_t lapses; /* the certificate that it began with (tls_lapses) */
};

struct tls;

/*
 * The handshake. host is a name or an address literal; fd stays the caller's.
 * resume may be all zero; on success tls_session() gives what to keep. An
 * untrusted certificate is ERR_OTHER with the issuer's name in the sentence and
 * a hint that names --ca-file; a wrong clock is named as such; everything that
 * a retry may fix (reset, timeout, early close) is ERR_NET.
 */
struct tls *tls_open(int fd, const char *host, const struct tls_trust *trust,
    const struct tls_resume *resume, uint64_t deadline, struct err *e);
void tls_session(const struct tls *t, struct tls_resume *out);

/* When the certificate of the peer lapses, in seconds since 1970; also that of
 * a session which was resumed. */
int64_t tls_lapses(const struct tls *t);

/* Decrypted bytes, at most cap; waits for the first. *n is 0 at the end of the
 * stream; tls_closed_well() then returns whether the peer sent close_notify, or
 * the stream was cut. */
int tls_read(struct tls *t, void *p, size_t cap, size_t *n, uint64_t deadline,
    struct err *e);
bool tls_closed_well(const struct tls *t);

/* Sends all n bytes, flushed. */
int tls_write(
    struct tls *t, const void *p, size_t n, uint64_t deadline, struct err *e);

/* Sends close_notify if that goes without waiting, wipes the keys, frees. */
void tls_close(struct tls *t);

/* --- The side of a server. --- */

/*
 * A TLS 1.2 session of a client that has connected. Nothing here waits: each
 * call does what it can with the socket, which is non-blocking, and says what to
 * wait for. Of the suites the server's order counts.
 */

/* A chain of certificates and the key of the first one. */
struct tls_key;

/* Reads PEM files: the certificate of the server first, then those that issued
 * it; and its RSA or EC key. ERR_USAGE if they cannot be used, or do not belong
 * together. */
struct tls_key *tls_key_open(
    const char *cert_file, const char *key_file, struct err *e);
void tls_key_close(struct tls_key *k); /* wipes the key; takes NULL */

/* Memory of a session: BearSSL's buffers and state, allocated at once. */
struct tls_peer;

enum tls_want {
	TLS_DONE,   /* the call did something, or all */
	TLS_READS,  /* it waits until the socket can be read */
	TLS_WRITES, /* until it can be written */
	TLS_ENDED,  /* the session is over */
};

/* fd stays the caller's; the key must outlive the session. NULL (ERR_OTHER): no
 * random numbers. */
struct tls_peer *tls_peer_open(int fd, const struct tls_key *k, struct err *e);

/* At most cap decrypted bytes; the handshake comes first. */
enum tls_want tls_peer_read(struct tls_peer *t, void *p, size_t cap, size_t *n);

/* Takes bytes, of a text or of a file from at on; *taken of n are encrypted,
 * which is not yet sent. A file that cannot be read ends the session. */
enum tls_want tls_peer_write(
    struct tls_peer *t, const void *p, size_t n, size_t *taken);
enum tls_want tls_peer_write_file(
    struct tls_peer *t, int file, uint64_t at, size_t n, size_t *taken);

/* TLS_DONE once all is sent. */
enum tls_want tls_peer_flush(struct tls_peer *t);

/* Sends close_notify if that goes without waiting, wipes the keys, frees. */
void tls_peer_close(struct tls_peer *t);

/* --- The time. --- */

/*
 * The time of day, for the dates of certificates and of signed addresses, on
 * machines whose own clock may be wrong: the latest of the system's clock, the
 * day of the build, and the endpoint's Date (over verified TLS).
 *
 * A system clock before the build is known to be wrong. A clock that is ahead
 * is not detected. The endpoint's time is used for this run only: the next one
 * gets it in its first answer, and one wrong answer must not affect later runs.
 */

/* Seconds since 1970. */
struct clock_time {
	int64_t system; /* the system's clock */
	int64_t now;    /* the time to use */
	bool at_least;  /* the real time may be later */
};

/* One for a run, for all threads. */
struct clock;

/* c may be NULL. */
struct clock_time clock_read(struct clock *c);

/* Sets the endpoint's time by its Date; its certificate expires at until. */
void clock_tell(struct clock *c, int64_t date, int64_t until);

/* --- The server's certificates. --- */

/*
 * Checks the server's certificates: wraps BearSSL's X.509 engine and adds
 * checks that it lacks. It matches address literals (subject alternative names
 * of type iPAddress), refuses a host that begins with a dot, which BearSSL lets
 * match a wildcard, refuses a certificate that is not for servers (extended key
 * usage), and records what the error message needs.
 *
 * Refused are signatures with SHA-1 and short RSA keys.
 */

struct chain {
	const br_x509_class *vtable; /* first, so that BearSSL finds it */
	br_x509_minimal_context inner;
	const char *host;     /* borrowed */
	unsigned char ip[16]; /* host, if it is an address literal */
	size_t ip_len;        /* 0 for a name */
	bool ip_found;        /* the first certificate is for ip */
	bool for_servers;     /* the first one is for servers */
	bool self_signed;     /* the first one is its own issuer */
	bool old_root;  /* a root that came with it is signed with SHA-1 */
	struct buf der; /* the certificate that is arriving */
	size_t count;   /* number of certificates that were read */
	struct clock_time time;
	int64_t lapses; /* when the first certificate expires; 0: none came */
	int64_t from, until; /* of the first one out of date, else both 0 */
	char subject[96];    /* of the first certificate */
	char hosts[CERT_HOSTS_MAX]; /* the hosts that it is for (cert_hosts) */
	char issuer[96];            /* of the last one */
	size_t short_bits;  /* of the first short RSA key, 0 for none, ... */
	char short_key[96]; /* ... and whose it is */
	char sha1[96];      /* the first that is signed with SHA-1 */
};

#endif
