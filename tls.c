#include "tls.h"

#include <arpa/inet.h>
#include <bearssl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cert.h"
#include "cipher_cpu.h"
#include "err.h"
#include "file.h"
#include "lz4.h"
#include "roots.h"
#include "str.h"
#include "wait.h"

/* --- The time. --- */

struct clock {
	pthread_mutex_t lock; /* guards what follows */
	int64_t seen;         /* 0: nothing so far */
	uint64_t seen_at;     /* by wait_now() */
};

/* Computes the time. seen is the endpoint's time, advanced to now; 0 if it has
 * told none yet. Pure. */
static struct clock_time
clock_judge(int64_t system, int64_t build, int64_t seen)
{
	struct clock_time t = {.system = system, .now = system};

	if (t.now < build)
		t.now = build;
	if (t.now < seen)
		t.now = seen;
	t.at_least = system < build && seen < build;
	return t;
}

/* True if a time that came with a certificate which lapses at until may be
 * believed: it is not before the build, and the certificate was valid then.
 * Pure. */
static bool
clock_believes(int64_t date, int64_t build, int64_t until)
{
	return date >= build && date <= until;
}

static struct clock *
clock_open(void)
{
	struct clock *c = xcalloc(1, sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void
clock_close(struct clock *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* Returns the endpoint's time, advanced to now; 0 if none is known. The lock is
 * held. Only the monotonic clock is used: the system clock of a board may be
 * set, or lost, during the run. */
static int64_t
seen_now(const struct clock *c)
{
	if (!c->seen)
		return 0;
	return c->seen + (int64_t)((wait_now() - c->seen_at) / 1000);
}

struct clock_time
clock_read(struct clock *c)
{
	int64_t seen = 0;

	if (c) {
		pthread_mutex_lock(&c->lock);
		seen = seen_now(c);
		pthread_mutex_unlock(&c->lock);
	}
	return clock_judge((int64_t)time(NULL), HUB_BUILD_TIME, seen);
}

void
clock_tell(struct clock *c, int64_t date, int64_t until)
{
	if (!clock_believes(date, HUB_BUILD_TIME, until))
		return;
	pthread_mutex_lock(&c->lock);
	if (date > seen_now(c)) {
		c->seen = date;
		c->seen_at = wait_now();
	}
	pthread_mutex_unlock(&c->lock);
}

/* --- The server's certificates. --- */

/* The most bytes of a certificate: real ones are far smaller. */
#define CERT_MAX 32768

/* Days from the year 0, which BearSSL counts from, to 1970. */
#define DAYS_TO_1970 719528

static struct chain *
of(const br_x509_class **ctx)
{
	return (struct chain *)(void *)ctx;
}

static const char *chain_name(const struct chain *c);

static void
start_chain(const br_x509_class **ctx, const char *server_name)
{
	struct chain *c = of(ctx);

	(void)server_name; /* empty for an address */
	c->count = 0;
	c->ip_found = c->for_servers = c->self_signed = c->old_root = false;
	c->from = c->until = c->lapses = 0;
	c->short_bits = 0;
	c->subject[0] = c->hosts[0] = c->issuer[0] = c->sha1[0] = '\0';
	c->inner.vtable->start_chain(&c->inner.vtable, chain_name(c));
}

static void
start_cert(const br_x509_class **ctx, uint32_t length)
{
	struct chain *c = of(ctx);

	buf_release(&c->der);
	c->der = buf_make(CERT_MAX);
	c->inner.vtable->start_cert(&c->inner.vtable, length);
}

static void
append(const br_x509_class **ctx, const unsigned char *p, size_t n)
{
	struct chain *c = of(ctx);

	buf_add(&c->der, p, n);
}

static void
look_at_first(struct chain *c, const struct cert *cert)
{
	cert_name(cert->subject, c->subject, sizeof(c->subject));
	cert_hosts(cert, c->hosts, sizeof(c->hosts));
	c->lapses = cert->until;
	c->ip_found = cert_has_ip(cert, c->ip, c->ip_len);
	c->for_servers = cert_is_for_servers(cert);
	c->self_signed = cert_is_root(cert);
}

/* Looks for SHA-1 and short keys. A root's signature on itself proves nothing
 * and harms nobody; BearSSL fails on it before it can report that the root is
 * not trusted. */
static void
look_for_weakness(struct chain *c, const struct cert *cert)
{
	size_t bits = cert_rsa_bits(cert);

	if (bits && bits < CERT_RSA_MIN && !c->short_bits) {
		cert_name(cert->subject, c->short_key, sizeof(c->short_key));
		c->short_bits = bits;
	}
	if (!cert_is_sha1(cert) || c->sha1[0])
		return;
	if (c->count && cert_is_root(cert))
		c->old_root = true;
	else
		cert_name(cert->subject, c->sha1, sizeof(c->sha1));
}

static void
set_time(struct chain *c)
{
	uint64_t t = c->time.now > 0 ? (uint64_t)c->time.now : 0;

	br_x509_minimal_set_time(&c->inner,
	    (uint32_t)(t / 86400 + DAYS_TO_1970), (uint32_t)(t % 86400));
}

static void
look_at_dates(struct chain *c, const struct cert *cert)
{
	if (c->time.at_least && c->time.now < cert->from) {
		c->time.now = cert->from;
		set_time(c);
	}
	if (!c->from && !c->until &&
	    (c->time.now < cert->from || c->time.now > cert->until)) {
		c->from = cert->from;
		c->until = cert->until;
	}
}

static void
look(struct chain *c)
{
	struct cert cert;

	if (c->der.full || !cert_parse(buf_cstr(&c->der), c->der.len, &cert))
		return;
	if (!c->count)
		look_at_first(c, &cert);
	look_for_weakness(c, &cert);
	look_at_dates(c, &cert);
	cert_name(cert.issuer, c->issuer, sizeof(c->issuer));
}

static void
end_cert(const br_x509_class **ctx)
{
	struct chain *c = of(ctx);

	look(c);
	c->count++;
	/* Given to BearSSL only now, since its dates may set the time. A
	 * certificate that is too large is cut, and so cannot be decoded. */
	c->inner.vtable->append(&c->inner.vtable,
	    (const unsigned char *)buf_cstr(&c->der), c->der.len);
	c->inner.vtable->end_cert(&c->inner.vtable);
}

static unsigned
end_chain(const br_x509_class **ctx)
{
	struct chain *c = of(ctx);
	unsigned code = c->inner.vtable->end_chain(&c->inner.vtable);

	if (!code && ((c->ip_len && !c->ip_found) || c->host[0] == '.'))
		return BR_ERR_X509_BAD_SERVER_NAME;
	if (!code && !c->for_servers)
		return BR_ERR_X509_FORBIDDEN_KEY_USAGE;
	return code;
}

static const br_x509_pkey *
get_pkey(const br_x509_class *const *ctx, unsigned *usages)
{
	const struct chain *c = (const struct chain *)(const void *)ctx;

	return c->inner.vtable->get_pkey(&c->inner.vtable, usages);
}

static void
set_address(struct chain *c)
{
	if (inet_pton(AF_INET, c->host, c->ip) == 1)
		c->ip_len = 4;
	else if (inet_pton(AF_INET6, c->host, c->ip) == 1)
		c->ip_len = 16;
}

/*
 * Begins a chain for host, which must not be empty and must stay valid. Dates
 * are checked for time.now. If that is only a lower limit (the machine's clock
 * is wrong), it moves to the day from which a certificate is valid, if that is
 * later: its issuer knew the day. That time counts for this chain alone, which is
 * still refused if it is not trusted.
 */
static void
chain_init(struct chain *c, const struct anchors *anchors, const char *host,
    struct clock_time time)
{
	static const br_x509_class class = {sizeof(struct chain), start_chain,
	    start_cert, append, end_cert, end_chain, get_pkey};

	*c = (struct chain){.vtable = &class, .host = host, .time = time};
	set_address(c);
	br_x509_minimal_init(
	    &c->inner, &br_sha256_vtable, anchors->a, anchors->n);
	br_x509_minimal_set_rsa(&c->inner, br_rsa_pkcs1_vrfy_get_default());
	br_x509_minimal_set_ecdsa(
	    &c->inner, br_ec_get_default(), br_ecdsa_vrfy_asn1_get_default());
	/* Without SHA-1, which is forbidden for signatures. */
	br_x509_minimal_set_hash(&c->inner, br_sha256_ID, &br_sha256_vtable);
	br_x509_minimal_set_hash(&c->inner, br_sha384_ID, &br_sha384_vtable);
	br_x509_minimal_set_hash(&c->inner, br_sha512_ID, &br_sha512_vtable);
	br_x509_minimal_set_minrsa(&c->inner, CERT_RSA_MIN / 8);
	set_time(c);
}

static void
chain_release(struct chain *c)
{
	buf_release(&c->der);
}

/* Returns the name for SNI; NULL for an address, which has none (RFC 6066,
 * 3). */
static const char *
chain_name(const struct chain *c)
{
	return c->ip_len ? NULL : c->host;
}

static int
explain_dates(const struct chain *c, struct err *e)
{
	bool early = c->time.now < c->from;
	bool late = c->time.now > c->time.system;
	char day[32], clock[32], now[32];

	cert_day(early ? c->from : c->until, day);
	cert_day(c->time.system, clock);
	cert_day(c->time.now, now);
	err_set(e, ERR_OTHER,
	    "the certificate of '%s' %s %s, and this machine's clock says "
	    "%s%s%s%s",
	    c->host, early ? "is valid only from" : "has expired on", day,
	    clock, late ? ", but it is " : "", late ? now : "",
	    late ? " or later" : "");
	if (late || early)
		err_hint(e, "set this machine's clock");
	return -1;
}

static const char *
reason(int code)
{
	static const struct {
		int code;
		const char *text;
	} rows[] = {
	    {BR_ERR_X509_EMPTY_CHAIN, "the server sent none"},
	    {BR_ERR_X509_UNSUPPORTED, "it uses what hub does not know"},
	    {BR_ERR_X509_LIMIT_EXCEEDED, "it is too large"},
	    {BR_ERR_X509_WRONG_KEY_TYPE, "its kind of key is not usable"},
	    {BR_ERR_X509_BAD_SIGNATURE, "it has a wrong signature"},
	    {BR_ERR_X509_DN_MISMATCH,
		"the other certificates that the server sent are not its "
		"issuers"},
	    {BR_ERR_X509_CRITICAL_EXTENSION,
		"it has a critical extension that hub does not know"},
	    {BR_ERR_X509_NOT_CA,
		"its issuer is not allowed to sign certificates"},
	    {BR_ERR_X509_FORBIDDEN_KEY_USAGE, "it is not meant for servers"},
	    {BR_ERR_X509_WEAK_PUBLIC_KEY, "its key is too short"},
	};

	for (size_t i = 0; i < countof(rows); i++)
		if (rows[i].code == code)
			return rows[i].text;
	return "it cannot be decoded";
}

static int
explain_trust(const struct chain *c, struct err *e)
{
	bool alone = c->count == 1;

	if (alone && c->self_signed) {
		err_set(e, ERR_OTHER,
		    "the certificate of '%s' is signed by itself, '%s', and "
		    "not trusted",
		    c->host, c->subject);
		return err_hint(e, "trust it with --ca-file FILE");
	}
	err_set(e, ERR_OTHER,
	    "the certificate of '%s' is issued by '%s', which is not trusted%s",
	    c->host, c->issuer,
	    alone ? "; the server sends no other certificate" : "");
	return err_hint(
	    e, "use --ca-file FILE with the certificate of that issuer");
}

/* Sets the error if the chain was refused for a weak signature or key; returns
 * 0 if it was for another reason. */
static int
explain_weakness(const struct chain *c, int code, struct err *e)
{
	if (code == BR_ERR_X509_WEAK_PUBLIC_KEY && c->short_bits)
		err_set(e, ERR_OTHER,
		    "the certificate of '%s' is not safe: the RSA key of '%s' "
		    "has %zu bits, not %d",
		    c->host, c->short_key, c->short_bits, CERT_RSA_MIN);
	else if (code == BR_ERR_X509_UNSUPPORTED && c->sha1[0])
		err_set(e, ERR_OTHER,
		    "the certificate of '%s' is not safe: '%s' is signed with "
		    "SHA-1, which can be forged",
		    c->host, c->sha1);
	else
		return 0;
	return err_hint(e,
	    "ask the operator of the server (or of the proxy before it) to "
	    "renew it");
}

/* Sets the sentence for an error of BR_ERR_X509_*; returns -1. */
static int
chain_explain(const struct chain *c, int code, struct err *e)
{
	if (explain_weakness(c, code, e) < 0)
		return -1;
	if (code == BR_ERR_X509_NOT_TRUSTED ||
	    (code == BR_ERR_X509_UNSUPPORTED && c->old_root))
		return explain_trust(c, e);
	if (code == BR_ERR_X509_BAD_SERVER_NAME)
		return err_set(e, ERR_OTHER,
		    "the certificate is not for '%s' but for %s", c->host,
		    c->hosts);
	if (code == BR_ERR_X509_EXPIRED && (c->from || c->until))
		return explain_dates(c, e);
	return err_set(
	    e, ERR_OTHER, "bad certificate of '%s': %s", c->host, reason(code));
}

/* --- The session. --- */

#define TRUST_MAX 16777216 /* bytes of a file of certificates */
#define MEMBER_MAX 2097152 /* the same of one in a folder of them */
#define TRUST_WAIT 5000    /* ms, for what others write into a pipe */

struct tls_trust {
	struct anchors anchors;
	unsigned char *heads; /* of the built-in anchors, unpacked */
	struct clock *clock;
};

/* BearSSL's contexts contain pointers into themselves, so this is never
 * moved. */
struct tls {
	br_ssl_client_context client;
	struct chain chain;
	int fd;
	bool open;      /* the handshake is done */
	bool eof;       /* the peer's stream has ended */
	bool filled;    /* the last receive was full: there may be more */
	size_t at, end; /* in[at..end] was received and not given to BearSSL */
	char host[256];
	const char *protocols[1]; /* for ALPN; BearSSL keeps the address */
	unsigned char in[TLS_RECV];
	unsigned char ibuf[BR_SSL_BUFSIZE_INPUT];
	unsigned char obuf[BR_SSL_BUFSIZE_OUTPUT];
};

/* Adds the built-in anchors. That they are whole is shown by the unit test. */
static void
add_roots(struct tls_trust *t)
{
	struct lz4 z;
	struct err e;
	size_t used;

	t->heads = xmalloc(roots_heads_length);
	lz4_init(&z, t->heads, roots_heads_length);
	if (lz4_read(&z, roots_heads, roots_heads_size, &used, &e) == 0)
		anchors_add_packed(&t->anchors,
		    str_make((const char *)t->heads, roots_heads_length),
		    str_make((const char *)roots_keys, roots_keys_size));
}

struct tls_trust *
tls_trust_open(void)
{
	struct tls_trust *t = xcalloc(1, sizeof(*t));

	t->clock = clock_open();
	add_roots(t);
	return t;
}

void
tls_trust_close(struct tls_trust *t)
{
	if (!t)
		return;
	anchors_release(&t->anchors);
	free(t->heads);
	clock_close(t->clock);
	free(t);
}

struct clock *
tls_trust_clock(const struct tls_trust *t)
{
	return t->clock;
}

static int
no_certificate(const char *name, struct err *e)
{
	err_set(e, ERR_USAGE, "'%s' contains no usable PEM certificate", name);
	return err_hint(e, "one with an RSA key of at least 2048 bits, or an "
			   "EC key of the curve P-256, P-384 or P-521");
}

int
tls_trust_add_pem(
    struct tls_trust *t, struct str pem, const char *name, struct err *e)
{
	size_t added = 0;
	int r = anchors_add_pem(&t->anchors, pem, &added, e);

	if (r < 0) {
		err_in(e, "'%s'", name);
		return added ? 1 : -1;
	}
	return added ? 0 : no_certificate(name, e);
}

/* Reads to the end, but waits for at most ms in all: it may be a pipe to which
 * nobody writes, or a device. */
static int
read_open(int fd, struct buf *text, unsigned ms)
{
	uint64_t deadline = wait_now() + ms;
	ssize_t n = 1;
	char *room;
	struct err ignored;

	while (n && (room = buf_room(text, 16384))) {
		n = read(fd, room, 16384);
		if (n >= 0)
			buf_added(text, (size_t)n);
		else if (errno != EAGAIN && errno != EINTR)
			return -1;
		else if (wait_fd(fd, POLLIN, deadline, &ignored) < 0) {
			errno = ETIMEDOUT;
			return -1;
		}
	}
	if (!text->full)
		return 0;
	errno = EFBIG;
	return -1;
}

static int
read_file(const char *path, struct buf *text, unsigned ms)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rv, error;

	if (fd < 0)
		return -1;
	rv = read_open(fd, text, ms);
	error = errno;
	close(fd);
	errno = error;
	return rv;
}

int
tls_trust_add_file(struct tls_trust *t, const char *path, struct err *e)
{
	struct buf text = buf_make(TRUST_MAX);
	int r;

	if (read_file(path, &text, TRUST_WAIT) == 0)
		r = tls_trust_add_pem(t, buf_str(&text), path, e);
	else if (errno == EISDIR)
		r = tls_trust_add_dir(t, path, e);
	else if (errno == EFBIG)
		r = err_set(e, ERR_USAGE, "'%s' is larger than 16 MiB", path);
	else
		r = err_sys(e, ERR_USAGE, "cannot read '%s'", path);
	buf_release(&text);
	return r;
}

/* Like tls_trust_add_file(), but for a file in a folder of certificates: skips
 * a file without a certificate, one that cannot be read, and one that has no
 * end. */
static int
add_member(struct tls_trust *t, const char *path, struct err *e)
{
	struct buf text = buf_make(MEMBER_MAX);
	size_t added = 0;
	int r = 0;

	if (read_file(path, &text, 0) == 0 &&
	    anchors_add_pem(&t->anchors, buf_str(&text), &added, e) < 0)
		r = err_in(e, "'%s'", path);
	buf_release(&text);
	return r;
}

int
tls_trust_add_dir(struct tls_trust *t, const char *path, struct err *e)
{
	DIR *dir = opendir(path);
	const struct dirent *d;
	struct err why;
	int r = 0;

	if (!dir)
		return err_sys(e, ERR_USAGE, "cannot read '%s'", path);
	while ((d = readdir(dir))) {
		struct buf name = buf_make(8192);
		struct stat st;

		buf_printf(&name, "%s/%s", path, d->d_name);
		/* A dangling link of a removed package is not an error. */
		if (stat(buf_cstr(&name), &st) == 0 && S_ISREG(st.st_mode) &&
		    st.st_size <= MEMBER_MAX &&
		    add_member(t, buf_cstr(&name), &why) < 0 && r == 0) {
			*e = why;
			r = 1;
		}
		buf_release(&name);
	}
	closedir(dir);
	return r;
}

/* The suites in the order to offer: with AES instructions from the first on,
 * else from the third on. */
static const uint16_t *
tls_suites(bool aes)
{
	static const uint16_t suites[TLS_SUITES + 2] = {
	    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	};

	return aes ? suites + 2 : suites;
}

static void
set_engine(br_ssl_engine_context *eng)
{
	br_ssl_engine_set_versions(eng, BR_TLS12, BR_TLS12);
	/* Each of these checks the CPU and chooses the fastest code that runs
	 * in constant time. */
	br_ssl_engine_set_suites(
	    eng, tls_suites(cipher_choose(eng)), TLS_SUITES);
	br_ssl_engine_set_default_ec(eng);
	br_ssl_engine_set_default_rsavrfy(eng);
	br_ssl_engine_set_default_ecdsa(eng);
	br_ssl_engine_set_hash(eng, br_sha256_ID, &br_sha256_vtable);
	br_ssl_engine_set_hash(eng, br_sha384_ID, &br_sha384_vtable);
	br_ssl_engine_set_hash(eng, br_sha512_ID, &br_sha512_vtable);
	br_ssl_engine_set_prf_sha256(eng, br_tls12_sha256_prf);
	br_ssl_engine_set_prf_sha384(eng, br_tls12_sha384_prf);
	br_ssl_engine_add_flags(eng, BR_OPT_NO_RENEGOTIATION);
}

static int
seed(br_ssl_engine_context *eng, uint64_t deadline, struct err *e)
{
	unsigned char bytes[48];

	if (wait_entropy(bytes, sizeof(bytes), deadline, e) < 0)
		return -1;
	br_ssl_engine_inject_entropy(eng, bytes, sizeof(bytes));
	mem_wipe(bytes, sizeof(bytes));
	return 0;
}

static void
set_resume(br_ssl_engine_context *eng, const struct tls_resume *from)
{
	br_ssl_session_parameters p = {
	    .version = from->version, .cipher_suite = from->suite};

	if (!from->id_len || from->id_len > sizeof(p.session_id))
		return;
	p.session_id_len = (unsigned char)from->id_len;
	memcpy(p.session_id, from->id, from->id_len);
	memcpy(p.master_secret, from->master, sizeof(p.master_secret));
	br_ssl_engine_set_session_parameters(eng, &p);
	mem_wipe(&p, sizeof(p));
}

void
tls_session(const struct tls *t, struct tls_resume *out)
{
	br_ssl_session_parameters p;

	br_ssl_engine_get_session_parameters(&t->client.eng, &p);
	*out = (struct tls_resume){.id_len = p.session_id_len,
	    .version = p.version,
	    .suite = p.cipher_suite,
	    .lapses = t->chain.lapses};
	memcpy(out->id, p.session_id, p.session_id_len);
	memcpy(out->master, p.master_secret, sizeof(out->master));
	mem_wipe(&p, sizeof(p));
}

#define HANDSHAKE_FAILURE (256 + 40)
#define NO_RENEGOTIATION (256 + 100)

int64_t
tls_lapses(const struct tls *t)
{
	return t->chain.lapses;
}

/* The causes of errors. The code of an alert is its number +
 * BR_ERR_RECV_FATAL_ALERT. ERR_NET where another try may help: broken bytes on
 * the way, a server in trouble. */
static const struct cause {
	int code;
	enum err_kind kind;
	const char *text;
} causes[] = {
    {BR_ERR_UNSUPPORTED_VERSION, ERR_OTHER,
	"the server does not offer TLS 1.2"},
    {BR_ERR_BAD_VERSION, ERR_OTHER, "what the server sends is not TLS"},
    {BR_ERR_BAD_LENGTH, ERR_NET, "a record has a wrong length"},
    {BR_ERR_TOO_LARGE, ERR_OTHER, "a record of the server is too large"},
    {BR_ERR_BAD_MAC, ERR_NET, "bytes were corrupted in transit"},
    {BR_ERR_NO_RANDOM, ERR_OTHER, "the system provides no random numbers"},
    {BR_ERR_UNKNOWN_TYPE, ERR_OTHER, "what the server sends is not TLS"},
    {BR_ERR_UNEXPECTED, ERR_OTHER, "the server sent an unexpected message"},
    {BR_ERR_BAD_CIPHER_SUITE, ERR_OTHER, "no cipher in common"},
    {BR_ERR_BAD_SECRENEG, ERR_OTHER,
	"the server asked for an unsafe renegotiation"},
    {BR_ERR_BAD_SNI, ERR_OTHER, "the server answered with a bad server name"},
    {BR_ERR_BAD_FINISHED, ERR_NET, "the handshake was corrupted in transit"},
    {BR_ERR_RESUME_MISMATCH, ERR_NET, "the session was resumed wrongly"},
    {BR_ERR_INVALID_ALGORITHM, ERR_OTHER, "no signature algorithm in common"},
    {BR_ERR_BAD_SIGNATURE, ERR_NET, "the server's signature is wrong"},
    {BR_ERR_WRONG_KEY_USAGE, ERR_OTHER,
	"the certificate's key is not meant for this"},
    {BR_ERR_NO_CLIENT_AUTH, ERR_OTHER,
	"the server requires a client certificate"},
    {256 + 10, ERR_OTHER, "the server says: unexpected message"},
    {256 + 20, ERR_NET, "the server says: bytes were corrupted in transit"},
    {HANDSHAKE_FAILURE, ERR_OTHER,
	"the server refuses: no cipher or version in common (hub speaks TLS "
	"1.2 with ECDHE and AES-GCM or ChaCha20), or it requires a client "
	"certificate"},
    {256 + 42, ERR_OTHER, "the server refuses: bad certificate"},
    {256 + 47, ERR_OTHER, "the server refuses: illegal parameter"},
    {256 + 49, ERR_OTHER, "the server refuses: access denied"},
    {256 + 50, ERR_OTHER, "the server refuses: cannot decode"},
    {256 + 51, ERR_NET, "the server says: a signature or hash is wrong"},
    {256 + 70, ERR_OTHER,
	"the server refuses TLS 1.2, and hub speaks no other version"},
    {256 + 71, ERR_OTHER, "the server wants stronger ciphers"},
    {256 + 80, ERR_NET, "the server has an internal error"},
    {256 + 90, ERR_NET, "the server was stopped"},
    {NO_RENEGOTIATION, ERR_OTHER,
	"the server wants another handshake, which hub refuses (renegotiation, "
	"perhaps for a client certificate)"},
    {256 + 112, ERR_OTHER, "the server does not know the host name"},
    {256 + 116, ERR_OTHER, "the server requires a client certificate"},
    {256 + 120, ERR_OTHER, "the server does not offer HTTP/1.1"},
};

static int
explain(const struct tls *t, struct err *e)
{
	int code = br_ssl_engine_last_error(&t->client.eng);

	/* BearSSL reports this also for what is not a record at all. */
	if (code == BR_ERR_UNSUPPORTED_VERSION && t->ibuf[1] != 3)
		code = BR_ERR_BAD_VERSION;
	/* OpenSSL reports a refused renegotiation in this way. */
	if (code == HANDSHAKE_FAILURE && t->open)
		code = NO_RENEGOTIATION;
	if (code >= BR_ERR_X509_OK && code < 256)
		return chain_explain(&t->chain, code, e);
	for (size_t i = 0; i < countof(causes); i++)
		if (causes[i].code == code)
			return err_set(e, causes[i].kind, "TLS with '%s': %s",
			    t->host, causes[i].text);
	if (code >= BR_ERR_SEND_FATAL_ALERT)
		return err_set(e, ERR_OTHER, "TLS with '%s': ended by alert %d",
		    t->host, code - BR_ERR_SEND_FATAL_ALERT);
	if (code >= BR_ERR_RECV_FATAL_ALERT)
		return err_set(e, ERR_OTHER,
		    "TLS with '%s': the server ended it with alert %d", t->host,
		    code - BR_ERR_RECV_FATAL_ALERT);
	return err_set(e, ERR_OTHER,
	    "TLS with '%s': the server violates the protocol (%d)", t->host,
	    code);
}

static bool
peer_gone(void)
{
	return errno == EPIPE || errno == ECONNRESET;
}

/* Sends a part of the waiting record. While reading, a failure to send does not
 * matter: the record is an alert, and the receive that follows explains
 * more. */
static int
send_some(struct tls *t, bool reading, uint64_t deadline, struct err *e)
{
	size_t n;
	const unsigned char *p = br_ssl_engine_sendrec_buf(&t->client.eng, &n);
	ssize_t sent = send(t->fd, p, n, MSG_NOSIGNAL);

	if (sent < 0 && reading && peer_gone())
		sent = (ssize_t)n;
	if (sent >= 0) {
		br_ssl_engine_sendrec_ack(&t->client.eng, (size_t)sent);
		return 0;
	}
	if (errno == EINTR)
		return wait_check(e);
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return wait_fd(t->fd, POLLOUT, deadline, e);
	return err_sys(e, ERR_NET, "cannot send to '%s'", t->host);
}

/* Receives once into in, which is empty. -1 with errno. */
static int
receive_now(struct tls *t)
{
	ssize_t n = recv(t->fd, t->in, sizeof(t->in), 0);

	if (n < 0)
		return -1;
	t->at = 0;
	t->end = (size_t)n;
	t->eof = n == 0;
	t->filled = t->end == sizeof(t->in);
	return 0;
}

static int
receive(struct tls *t, uint64_t deadline, struct err *e)
{
	if (receive_now(t) == 0)
		return 0;
	if (errno == EINTR)
		return wait_check(e);
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return wait_fd(t->fd, POLLIN, deadline, e);
	return err_sys(e, ERR_NET, "cannot receive from '%s'", t->host);
}

/* Gives received bytes to BearSSL; false if there are none or it has no
 * room. */
static bool
feed(struct tls *t)
{
	size_t n = t->end - t->at, room;
	unsigned char *to;

	if (!n)
		return false;
	to = br_ssl_engine_recvrec_buf(&t->client.eng, &room);
	if (!to)
		return false;
	if (n > room)
		n = room;
	memcpy(to, t->in + t->at, n);
	t->at += n;
	br_ssl_engine_recvrec_ack(&t->client.eng, n);
	return true;
}

/* Does all I/O, until BearSSL is in the target state or can no longer get
 * there, since it is closed or the peer's stream has ended; both are successes.
 * Records are sent before anything else. */
static int
run_until(struct tls *t, unsigned target, uint64_t deadline, struct err *e)
{
	for (unsigned received = 0;;) {
		unsigned state = br_ssl_engine_current_state(&t->client.eng);

		if (state & BR_SSL_SENDREC) {
			if (send_some(
				t, target == BR_SSL_RECVAPP, deadline, e) < 0)
				return -1;
			continue;
		}
		if (state & (target | BR_SSL_CLOSED))
			return 0;
		if (feed(t))
			continue;
		if (t->eof)
			return 0;
		/* The peer sends without making progress. */
		if (received++ > 16 && wait_now() >= deadline)
			return err_set(e, ERR_NET, "timed out");
		if (receive(t, deadline, e) < 0)
			return -1;
	}
}

/* Sets the error for why BearSSL cannot do what was requested. */
static int
explain_end(const struct tls *t, const char *when, struct err *e)
{
	if (br_ssl_engine_last_error(&t->client.eng) != BR_ERR_OK)
		return explain(t, e);
	return err_set(
	    e, ERR_NET, "'%s' closed the connection %s", t->host, when);
}

static int
handshake(struct tls *t, uint64_t deadline, struct err *e)
{
	br_ssl_engine_context *eng = &t->client.eng;

	if (run_until(t, BR_SSL_SENDAPP, deadline, e) < 0)
		return err_in(e, "TLS handshake");
	if (!(br_ssl_engine_current_state(eng) & BR_SSL_SENDAPP))
		return explain_end(t, "in the TLS handshake", e);
	t->open = true;
	chain_release(&t->chain);
	return 0;
}

/* Copies the name without the dot that may end it; false if it is not a
 * name. */
static bool
set_host(struct tls *t, const char *host)
{
	size_t n = strlen(host);

	if (n && host[n - 1] == '.')
		n--;
	/* An empty name tells BearSSL to skip the check. */
	if (!n || n >= sizeof(t->host))
		return false;
	memcpy(t->host, host, n);
	return true;
}

static int
start(struct tls *t, const struct tls_trust *trust,
    const struct tls_resume *resume, uint64_t deadline, struct err *e)
{
	br_ssl_engine_context *eng = &t->client.eng;

	t->protocols[0] = "http/1.1";
	br_ssl_client_zero(&t->client);
	set_engine(eng);
	chain_init(
	    &t->chain, &trust->anchors, t->host, clock_read(trust->clock));
	br_ssl_engine_set_x509(eng, &t->chain.vtable);
	br_ssl_engine_set_buffers_bidi(
	    eng, t->ibuf, sizeof(t->ibuf), t->obuf, sizeof(t->obuf));
	br_ssl_engine_set_protocol_names(eng, t->protocols, 1);
	if (seed(eng, deadline, e) < 0)
		return -1;
	set_resume(eng, resume);
	/* A new session replaces this by the date of its certificates. */
	t->chain.lapses = resume->lapses;
	if (!br_ssl_client_reset(&t->client, chain_name(&t->chain), 1))
		return explain(t, e);
	return handshake(t, deadline, e);
}

struct tls *
tls_open(int fd, const char *host, const struct tls_trust *trust,
    const struct tls_resume *resume, uint64_t deadline, struct err *e)
{
	struct tls *t = xcalloc(1, sizeof(*t));

	t->fd = fd;
	if (!set_host(t, host))
		err_set(e, ERR_USAGE, "invalid host name '%s'", host);
	else if (start(t, trust, resume, deadline, e) == 0)
		return t;
	tls_close(t);
	return NULL;
}

/* Copies up to cap bytes that are decrypted, or can be from bytes that are
 * here. Returns their number. */
static size_t
take(struct tls *t, unsigned char *to, size_t cap)
{
	size_t got = 0;

	while (got < cap) {
		size_t n;
		const unsigned char *p;

		p = br_ssl_engine_recvapp_buf(&t->client.eng, &n);
		if (!p) {
			if (!feed(t))
				break;
			continue;
		}
		if (n > cap - got)
			n = cap - got;
		memcpy(to + got, p, n);
		got += n;
		br_ssl_engine_recvapp_ack(&t->client.eng, n);
	}
	return got;
}

int
tls_read(struct tls *t, void *p, size_t cap, size_t *n, uint64_t deadline,
    struct err *e)
{
	br_ssl_engine_context *eng = &t->client.eng;
	unsigned char *to = p;

	*n = 0;
	if (run_until(t, BR_SSL_RECVAPP, deadline, e) < 0)
		return -1;
	if (!(br_ssl_engine_current_state(eng) & BR_SSL_RECVAPP)) {
		if (br_ssl_engine_last_error(eng) != BR_ERR_OK)
			return explain(t, e);
		return 0;
	}
	*n = take(t, to, cap);
	/* After a full receive there is more, without waiting. Bytes for which
	 * BearSSL has no room yet must not be overwritten. */
	while (*n < cap && t->filled && t->at == t->end && receive_now(t) == 0)
		*n += take(t, to + *n, cap - *n);
	return 0;
}

bool
tls_closed_well(const struct tls *t)
{
	const br_ssl_engine_context *eng = &t->client.eng;

	return br_ssl_engine_current_state(eng) == BR_SSL_CLOSED &&
	       br_ssl_engine_last_error(eng) == BR_ERR_OK;
}

int
tls_write(
    struct tls *t, const void *p, size_t n, uint64_t deadline, struct err *e)
{
	br_ssl_engine_context *eng = &t->client.eng;
	const unsigned char *from = p;

	for (;;) {
		size_t room;
		unsigned char *to;

		if (run_until(t, BR_SSL_SENDAPP, deadline, e) < 0)
			return -1;
		to = br_ssl_engine_sendapp_buf(eng, &room);
		if (!to)
			return explain_end(t, "before all was sent", e);
		if (!n)
			return 0;
		if (room > n)
			room = n;
		memcpy(to, from, room);
		from += room;
		n -= room;
		br_ssl_engine_sendapp_ack(eng, room);
		if (!n)
			br_ssl_engine_flush(eng, 0);
	}
}

static void
say_goodbye(br_ssl_engine_context *eng, int fd)
{
	const unsigned char *p;
	size_t n;

	br_ssl_engine_close(eng);
	while ((p = br_ssl_engine_sendrec_buf(eng, &n))) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		br_ssl_engine_sendrec_ack(eng, (size_t)sent);
	}
}

void
tls_close(struct tls *t)
{
	if (!t)
		return;
	if (t->open && !t->eof)
		say_goodbye(&t->client.eng, t->fd);
	chain_release(&t->chain);
	mem_wipe(t, sizeof(*t));
	free(t);
}

/* --- The side of a server. --- */

#define CHAIN_MAX 16
#define KEY_FILE_MAX ((size_t)1 << 20)
#define DER_MAX ((size_t)64 << 10)
#define RSA_MAX 4096 /* bits; BearSSL has no room for more */

struct tls_key {
	br_x509_certificate chain[CHAIN_MAX];
	size_t n;
	br_skey_decoder_context key; /* has the numbers of the key in it */
};

struct tls_peer {
	br_ssl_server_context server;
	int fd;
	bool open; /* bytes were exchanged in both directions */
	const char *protocols[1];
	unsigned char ibuf[BR_SSL_BUFSIZE_INPUT];
	unsigned char obuf[BR_SSL_BUFSIZE_OUTPUT];
};

/* BearSSL's structures have no const, but it only reads through them. */
static int
add_to_chain(struct tls_key *k, const struct buf *der, struct err *e)
{
	unsigned char *copy;

	if (k->n == CHAIN_MAX)
		return err_set(e, ERR_USAGE, "too many certificates");
	copy = xmalloc(der->len);
	memcpy(copy, der->s, der->len);
	k->chain[k->n++] = (br_x509_certificate){copy, der->len};
	return 0;
}

static int
unusable(struct err *e, const char *what)
{
	return err_set(e, ERR_USAGE,
	    "the %s is broken, or of a kind that hub cannot use", what);
}

static int
take_key(struct tls_key *k, const struct buf *der, struct err *e)
{
	br_skey_decoder_init(&k->key);
	br_skey_decoder_push(&k->key, der->s, der->len);
	if (br_skey_decoder_last_error(&k->key))
		return unusable(e, "key");
	return 0;
}

/* Takes all certificates, or the first key, of a PEM text. */
static int
take_blocks(struct tls_key *k, struct str pem, bool key, struct err *e)
{
	struct buf der = buf_make(DER_MAX);
	struct str label;
	bool found = false;
	int more, rv = 0;

	(void)buf_room(&der, DER_MAX); /* it does not grow, either */
	while (rv == 0 && (more = pem_next(&pem, &label, &der)) != 0) {
		bool is_key = str_ends(label, "PRIVATE KEY");

		if (more < 0)
			rv = err_set(e, ERR_USAGE, "broken PEM text");
		else if (key && is_key && str_starts(label, "ENCRYPTED"))
			rv = err_set(e, ERR_USAGE, "the key is encrypted");
		else if (key && is_key && !found)
			rv = take_key(k, &der, e);
		else if (!key && str_eq(label, "CERTIFICATE"))
			rv = add_to_chain(k, &der, e);
		found = found || (key ? is_key : k->n > 0);
	}
	if (der.s)
		mem_wipe(der.s, der.cap);
	buf_release(&der);
	if (rv == 0 && !found)
		rv = err_set(e, ERR_USAGE, "there is no %s in it",
		    key ? "private key" : "certificate");
	return rv;
}

static int
take_file(struct tls_key *k, const char *path, bool key, struct err *e)
{
	struct buf text = buf_make(KEY_FILE_MAX);
	int rv;

	/* All at once: what grows leaves copies of a key behind. */
	if (!buf_room(&text, KEY_FILE_MAX) ||
	    read_file(path, &text, TRUST_WAIT) < 0)
		rv = err_sys(e, ERR_USAGE, "cannot read it");
	else
		rv = take_blocks(k, buf_str(&text), key, e);
	mem_wipe(text.s, text.cap);
	buf_release(&text);
	return rv < 0 ? err_in(e, "'%s'", path) : 0;
}

/* Signs something and checks that with the certificate. */
static bool
rsa_fits(const br_rsa_private_key *key, const br_rsa_public_key *public)
{
	unsigned char hash[br_sha256_SIZE] = {1}, found[br_sha256_SIZE];
	unsigned char sign[RSA_MAX / 8];
	size_t n = (key->n_bitlen + 7) / 8;

	return n <= sizeof(sign) && n == public->nlen &&
	       br_rsa_pkcs1_sign_get_default()(
		   BR_HASH_OID_SHA256, hash, sizeof(hash), key, sign) &&
	       br_rsa_pkcs1_vrfy_get_default()(
		   sign, n, BR_HASH_OID_SHA256, sizeof(hash), public, found) &&
	       memcmp(hash, found, sizeof(hash)) == 0;
}

static bool
ec_fits(const br_ec_private_key *key, const br_ec_public_key *public)
{
	unsigned char hash[br_sha256_SIZE] = {1}, sign[160];
	const br_ec_impl *ec = br_ec_get_default();
	size_t n;

	if (key->curve != public->curve)
		return false;
	n = br_ecdsa_sign_asn1_get_default()(
	    ec, &br_sha256_vtable, hash, key, sign);
	return n && br_ecdsa_vrfy_asn1_get_default()(
			ec, hash, sizeof(hash), public, sign, n);
}

static int
check_key(const struct tls_key *k, struct err *e)
{
	br_x509_decoder_context *d = xmalloc(sizeof(*d));
	int type = br_skey_decoder_key_type(&k->key);
	const br_x509_pkey *public;
	int rv = -1;

	br_x509_decoder_init(d, NULL, NULL);
	br_x509_decoder_push(d, k->chain[0].data, k->chain[0].data_len);
	public = br_x509_decoder_get_pkey(d);
	if (!public)
		(void)unusable(e, "certificate");
	else if (public->key_type != type ||
		 !(type == BR_KEYTYPE_RSA
			 ? rsa_fits(&k->key.key.rsa, &public->key.rsa)
			 : ec_fits(&k->key.key.ec, &public->key.ec)))
		err_set(e, ERR_USAGE,
		    "the key does not belong to the first certificate");
	else
		rv = 0;
	free(d);
	return rv;
}

struct tls_key *
tls_key_open(const char *cert_file, const char *key_file, struct err *e)
{
	struct tls_key *k = xcalloc(1, sizeof(*k));

	if (take_file(k, cert_file, false, e) == 0 &&
	    take_file(k, key_file, true, e) == 0 && check_key(k, e) == 0)
		return k;
	tls_key_close(k);
	return NULL;
}

void
tls_key_close(struct tls_key *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->n; i++)
		free(k->chain[i].data);
	mem_wipe(k, sizeof(*k));
	free(k);
}

struct tls_peer *
tls_peer_open(int fd, const struct tls_key *k, struct err *e)
{
	struct tls_peer *t = xcalloc(1, sizeof(*t));
	br_ssl_engine_context *eng = &t->server.eng;

	t->fd = fd;
	t->protocols[0] = "http/1.1";
	br_ssl_server_zero(&t->server);
	set_engine(eng);
	br_ssl_engine_add_flags(eng, BR_OPT_ENFORCE_SERVER_PREFERENCES);
	br_ssl_engine_set_protocol_names(eng, t->protocols, 1);
	br_ssl_engine_set_buffers_bidi(
	    eng, t->ibuf, sizeof(t->ibuf), t->obuf, sizeof(t->obuf));
	if (br_skey_decoder_key_type(&k->key) == BR_KEYTYPE_RSA)
		br_ssl_server_set_single_rsa(&t->server, k->chain, k->n,
		    &k->key.key.rsa, BR_KEYTYPE_SIGN,
		    br_rsa_private_get_default(),
		    br_rsa_pkcs1_sign_get_default());
	else
		br_ssl_server_set_single_ec(&t->server, k->chain, k->n,
		    &k->key.key.ec, BR_KEYTYPE_SIGN, BR_KEYTYPE_EC,
		    br_ec_get_default(), br_ecdsa_sign_asn1_get_default());
	if (seed(eng, wait_now(), e) == 0 && br_ssl_server_reset(&t->server))
		return t;
	tls_peer_close(t);
	err_set(e, ERR_OTHER, "TLS cannot begin: there are no random numbers");
	return NULL;
}

static enum tls_want
peer_blocked(enum tls_want want)
{
	return errno == EAGAIN || errno == EWOULDBLOCK ? want : TLS_ENDED;
}

/* Receives in one go, so that a client which keeps sending records without
 * data (alerts, empty ones) does not hold its thread. */
#define PEER_RECEIVES 32

/* Does what I/O it can until BearSSL is in the target state, or it is the turn
 * of others. */
static enum tls_want
peer_until(struct tls_peer *t, unsigned target)
{
	br_ssl_engine_context *eng = &t->server.eng;
	unsigned receives = 0;

	for (;;) {
		unsigned state = br_ssl_engine_current_state(eng);
		unsigned char *p;
		size_t n;
		ssize_t done;

		if (state & BR_SSL_CLOSED)
			return TLS_ENDED;
		if (state & BR_SSL_SENDREC) {
			p = br_ssl_engine_sendrec_buf(eng, &n);
			done = send(t->fd, p, n, MSG_NOSIGNAL);
			if (done < 0 && errno != EINTR)
				return peer_blocked(TLS_WRITES);
			if (done > 0)
				br_ssl_engine_sendrec_ack(eng, (size_t)done);
			continue;
		}
		if (state & target)
			return TLS_DONE;
		p = br_ssl_engine_recvrec_buf(eng, &n);
		if (!p)
			return TLS_ENDED;
		if (receives++ == PEER_RECEIVES)
			return TLS_READS;
		done = recv(t->fd, p, n, 0);
		if (done < 0 && errno != EINTR)
			return peer_blocked(TLS_READS);
		if (done == 0)
			return TLS_ENDED;
		if (done > 0)
			br_ssl_engine_recvrec_ack(eng, (size_t)done);
	}
}

enum tls_want
tls_peer_read(struct tls_peer *t, void *p, size_t cap, size_t *n)
{
	enum tls_want want = peer_until(t, BR_SSL_RECVAPP);
	unsigned char *from;
	size_t have;

	*n = 0;
	if (want != TLS_DONE)
		return want;
	t->open = true;
	from = br_ssl_engine_recvapp_buf(&t->server.eng, &have);
	*n = have < cap ? have : cap;
	memcpy(p, from, *n);
	br_ssl_engine_recvapp_ack(&t->server.eng, *n);
	return TLS_DONE;
}

/* Fills records with a text, or from a file, and sends them. */
static enum tls_want
peer_fill(struct tls_peer *t, const void *text, int file, uint64_t at, size_t n,
    size_t *taken)
{
	br_ssl_engine_context *eng = &t->server.eng;
	enum tls_want want = TLS_DONE;

	for (*taken = 0; *taken < n;) {
		size_t room;
		unsigned char *to;
		struct err ignored;

		want = peer_until(t, BR_SSL_SENDAPP);
		if (want != TLS_DONE)
			return want;
		to = br_ssl_engine_sendapp_buf(eng, &room);
		if (room > n - *taken)
			room = n - *taken;
		if (text)
			memcpy(to, (const char *)text + *taken, room);
		else if (file_pread(file, to, room, at + *taken, "", &ignored) <
			 0)
			return TLS_ENDED;
		br_ssl_engine_sendapp_ack(eng, room);
		br_ssl_engine_flush(eng, 0);
		*taken += room;
	}
	return want;
}

enum tls_want
tls_peer_write(struct tls_peer *t, const void *p, size_t n, size_t *taken)
{
	return peer_fill(t, p, -1, 0, n, taken);
}

enum tls_want
tls_peer_write_file(
    struct tls_peer *t, int file, uint64_t at, size_t n, size_t *taken)
{
	return peer_fill(t, NULL, file, at, n, taken);
}

enum tls_want
tls_peer_flush(struct tls_peer *t)
{
	return peer_until(t, BR_SSL_SENDAPP);
}

void
tls_peer_close(struct tls_peer *t)
{
	if (!t)
		return;
	if (t->open)
		say_goodbye(&t->server.eng, t->fd);
	mem_wipe(t, sizeof(*t));
	free(t);
}

/* --- What a BearSSL compiled for glibc calls. --- */

/*
 * Debian's libbearssl.a is compiled with _FORTIFY_SOURCE and calls glibc's
 * checking forms of three functions, which musl does not have. They check the
 * length against the known size of the destination, as glibc's do.
 */

#if !defined(__GLIBC__)

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room);
void *__memmove_chk(void *to, const void *from, size_t n, size_t room);
void *__memset_chk(void *to, int c, size_t n, size_t room);

void *
__memcpy_chk(void *to, const void *from, size_t n, size_t room)
{
	if (n > room)
		abort();
	return memcpy(to, from, n);
}

void *
__memmove_chk(void *to, const void *from, size_t n, size_t room)
{
	if (n > room)
		abort();
	return memmove(to, from, n);
}

void *
__memset_chk(void *to, int c, size_t n, size_t room)
{
	if (n > room)
		abort();
	return memset(to, c, n);
}

#endif
