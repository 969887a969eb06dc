
#include "../../tls.c"

#include <bearssl.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "err.h"
#include "roots.h"
#include "str.h"
#include "tests/unit/pem.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"
#include "wait.h"

/* What the server does after the handshake. */
enum { ECHO, ECHO_GONE, ECHO_CUT, HANG, PLAIN, SILENT };

/* A server on a thread: it takes a line with a number, then as many bytes, and
 * sends those back. Its stream can be damaged. */
struct server {
	const char *cert; /* name in tests/unit/data/tls */
	int how;
	size_t chunk;      /* bytes of a send; 0: all */
	size_t stop_after; /* closes after so many bytes; 0: never */
	size_t change_at;  /* flips a bit of this byte; 0: none */
	unsigned version;  /* if not 0: the only one */
	uint16_t suite;    /* if not 0: the only one */
	br_ssl_session_cache_lru *cache;

	int fd;
	size_t sent;
	bool goodbye; /* the client said it (close_notify) */
	pthread_t thread;
};

static int
low_read(void *server, unsigned char *p, size_t n)
{
	struct server *s = server;
	ssize_t got = recv(s->fd, p, n, 0);

	return got > 0 ? (int)got : -1;
}

static int
low_write(void *server, const unsigned char *p, size_t n)
{
	struct server *s = server;
	unsigned char first = p[0];
	ssize_t done;

	if (s->stop_after && s->sent >= s->stop_after)
		return -1;
	if (s->chunk && n > s->chunk)
		n = s->chunk;
	if (s->stop_after && n > s->stop_after - s->sent)
		n = s->stop_after - s->sent;
	if (s->change_at && s->sent < s->change_at &&
	    n > s->change_at - s->sent)
		n = s->change_at - s->sent;
	if (s->change_at && s->sent == s->change_at) {
		first ^= 1;
		n = 1;
	}
	done = send(s->fd, n == 1 ? &first : p, n, MSG_NOSIGNAL);
	if (done <= 0)
		return -1;
	s->sent += (size_t)done;
	return (int)done;
}

static size_t
read_number(br_sslio_context *io)
{
	size_t n = 0;
	char c;

	while (br_sslio_read_all(io, &c, 1) == 0 && c != '\n')
		n = n * 10 + (size_t)(c - '0');
	return n;
}

/* Not br_sslio_close(): that waits for the answer, and turns for ever if the
 * client has gone. */
static void
send_goodbye(struct server *s, br_ssl_engine_context *eng)
{
	const unsigned char *p;
	size_t n;

	br_ssl_engine_close(eng);
	while ((p = br_ssl_engine_sendrec_buf(eng, &n))) {
		int done = low_write(s, p, n);

		if (done < 0)
			return;
		br_ssl_engine_sendrec_ack(eng, (size_t)done);
	}
}

static void
serve(struct server *s, br_sslio_context *io)
{
	size_t n = read_number(io);
	char *p = xmalloc(n);

	if (s->how == HANG)
		br_sslio_read_all(io, p, 1);
	else if (br_sslio_read_all(io, p, n) == 0 &&
		 br_sslio_write_all(io, p, n) == 0)
		br_sslio_flush(io);
	if (s->how == ECHO || s->how == ECHO_GONE)
		send_goodbye(s, io->engine);
	free(p);
}

struct context {
	br_ssl_server_context server;
	br_skey_decoder_context key;
	br_sslio_context io;
	unsigned char buffer[BR_SSL_BUFSIZE_BIDI];
};

static void
talk(struct server *s)
{
	struct context *c = xmalloc(sizeof(*c));
	struct buf cert = pem_der(s->cert), key = pem_der("key");
	br_x509_certificate chain = {(unsigned char *)cert.s, cert.len};
	br_ssl_engine_context *eng = &c->server.eng;

	br_skey_decoder_init(&c->key);
	br_skey_decoder_push(&c->key, key.s, key.len);
	br_ssl_server_init_full_ec(&c->server, &chain, 1, BR_KEYTYPE_EC,
	    br_skey_decoder_get_ec(&c->key));
	if (s->version)
		br_ssl_engine_set_versions(eng, s->version, s->version);
	if (s->suite)
		br_ssl_engine_set_suites(eng, &s->suite, 1);
	if (s->cache)
		br_ssl_server_set_cache(&c->server, &s->cache->vtable);
	br_ssl_engine_set_buffer(eng, c->buffer, sizeof(c->buffer), 1);
	br_ssl_server_reset(&c->server);
	br_sslio_init(&c->io, eng, low_read, s, low_write, s);
	serve(s, &c->io);
	s->goodbye = br_ssl_engine_current_state(eng) == BR_SSL_CLOSED &&
		     br_ssl_engine_last_error(eng) == BR_ERR_OK;
	buf_release(&cert);
	buf_release(&key);
	free(c);
}

static void *
server_main(void *server)
{
	static const char plain[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	struct server *s = server;
	unsigned char drain[4096];

	if (s->how == PLAIN)
		low_write(s, (const unsigned char *)plain, sizeof(plain) - 1);
	else if (s->how != SILENT)
		talk(s);
	if (s->how == ECHO_GONE) {
		shutdown(s->fd, SHUT_RDWR);
		return NULL;
	}
	if (s->how != SILENT)
		shutdown(s->fd, SHUT_WR);
	while (recv(s->fd, drain, sizeof(drain), 0) > 0)
		continue;
	return NULL;
}

/* Returns the client's end. */
static int
server_start(struct server *s)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
		abort();
	fcntl(fd[0], F_SETFL, fcntl(fd[0], F_GETFL) | O_NONBLOCK);
	s->fd = fd[1];
	s->sent = 0;
	if (pthread_create(&s->thread, NULL, server_main, s))
		abort();
	return fd[0];
}

static void
server_join(struct server *s)
{
	pthread_join(s->thread, NULL);
	close(s->fd);
}

static void
server_end(struct server *s, int client)
{
	close(client);
	server_join(s);
}

/* Long enough for a machine that stands still meanwhile: a test that waits for
 * this has failed. */
#define PATIENCE 120000

static uint64_t
soon(void)
{
	return wait_now() + PATIENCE;
}

static struct tls_trust *
trust(const char *name)
{
	struct tls_trust *t = tls_trust_open();
	struct buf pem = pem_text(name);
	struct err e = {0};

	CHECK(tls_trust_add_pem(t, buf_str(&pem), name, &e) == 0);
	buf_release(&pem);
	return t;
}

static unsigned char
pattern(size_t i)
{
	return (unsigned char)(i * 7 + i / 251);
}

/* Asks for n bytes back. */
static int
ask(struct tls *t, size_t n, struct err *e)
{
	unsigned char *p = xmalloc(n);
	char line[32];
	int r;

	for (size_t i = 0; i < n; i++)
		p[i] = pattern(i);
	snprintf(line, sizeof(line), "%zu\n", n);
	r = tls_write(t, line, strlen(line), soon(), e);
	if (r == 0)
		r = tls_write(t, p, n, soon(), e);
	free(p);
	return r;
}

/* Reads to the end in pieces of cap; counts what was right. */
static int
answer(struct tls *t, size_t cap, size_t *right, struct err *e)
{
	unsigned char *p = xmalloc(cap);
	size_t n = 0;
	int r;

	*right = 0;
	while ((r = tls_read(t, p, cap, &n, soon(), e)) == 0 && n)
		for (size_t i = 0; i < n; i++)
			*right += p[i] == pattern(*right);
	free(p);
	return r;
}

static void
test_echo(void)
{
	static const struct {
		size_t size, chunk, cap;
		uint16_t suite;
	} rows[] = {
	    {0, 0, 16384, 0},
	    {1, 0, 16384, 0},
	    {100, 1, 3, 0}, /* each byte comes alone */
	    {5000, 7, 1, 0},
	    {16384, 0, 16384, 0},
	    {16385, 1000, 7000, 0},
	    {400000, 0, 262144, 0},
	    {400000, 0, 1, 0},
	    {400000, 3001, 65536, 0},
	    {100000, 0, 65536, BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	    {100000, 0, 65536, BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
	    {100000, 0, 65536,
		BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
	};
	struct tls_trust *trusted = trust("ca");
	struct tls_resume none = {0}, got;

	for (size_t i = 0; i < countof(rows); i++) {
		struct server s = {.cert = "good",
		    .chunk = rows[i].chunk,
		    .suite = rows[i].suite};
		int fd = server_start(&s);
		struct err e = {0};
		size_t right = 0;
		struct tls *t =
		    tls_open(fd, "hub.test.", trusted, &none, soon(), &e);

		CHECK_ROW(i, t != NULL);
		CHECK_ROW(i, t && ask(t, rows[i].size, &e) == 0);
		CHECK_ROW(i, t && !tls_closed_well(t));
		CHECK_ROW(i, t && answer(t, rows[i].cap, &right, &e) == 0);
		CHECK_ROW(i, right == rows[i].size);
		CHECK_ROW(i, t && tls_closed_well(t));
		if (t) {
			tls_session(t, &got);
			CHECK_ROW(i, got.version == BR_TLS12);
			CHECK_ROW(
			    i, !rows[i].suite || got.suite == rows[i].suite);
			CHECK_ROW(i, ask(t, 1, &e) < 0 && e.kind == ERR_NET);
		}
		tls_close(t);
		server_end(&s, fd);
	}
	tls_trust_close(trusted);
}

static void
test_refusals(void)
{
	static const struct {
		struct server s;
		const char *trust, *host;
		enum err_kind kind;
		const char *says;
	} rows[] = {
	    {{.cert = "good"}, "ca", "other.test", ERR_OTHER,
		"is not for 'other.test' but for 'hub.test'"},
	    {{.cert = "good"}, "ca", "127.0.0.9", ERR_OTHER,
		"is not for '127.0.0.9'"},
	    {{.cert = "expired"}, "ca", "hub.test", ERR_OTHER,
		"has expired on 2002-01-01"},
	    {{.cert = "future"}, "ca", "hub.test", ERR_OTHER,
		"is valid only from 2100-01-01"},
	    {{.cert = "good"}, "other", "hub.test", ERR_OTHER,
		"issued by 'Throw-away CA, Test only', which is not trusted"},
	    {{.cert = "second/client"}, "second/ca", "hub.test", ERR_OTHER,
		"it is not meant for servers"},
	    {{.cert = "second/sha1"}, "second/ca", "hub.test", ERR_OTHER,
		"signed with SHA-1"},
	    {{.cert = "second/short"}, "second/ca", "hub.test", ERR_OTHER,
		"has 1024 bits"},
	    {{.cert = "good"}, "ca", "", ERR_USAGE, "invalid host name"},
	    {{.cert = "good"}, "ca", ".", ERR_USAGE, "invalid host name"},
	    {{.cert = "good", .version = BR_TLS11}, "ca", "hub.test", ERR_OTHER,
		"TLS with 'hub.test': "},
	    {{.cert = "good",
		 .suite = BR_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256},
		"ca", "hub.test", ERR_OTHER, "no cipher or version in common"},
	    {{.cert = "good", .how = PLAIN}, "ca", "hub.test", ERR_OTHER,
		"what the server sends is not TLS"},
	    {{.cert = "good", .how = SILENT}, "ca", "hub.test", ERR_NET,
		"timed out"},
	    {{.cert = "good", .change_at = 700}, "ca", "hub.test", ERR_NONE,
		""},
	};
	struct tls_resume none = {0};

	for (size_t i = 0; i < countof(rows); i++) {
		struct tls_trust *trusted = trust(rows[i].trust);
		struct server s = rows[i].s;
		int fd = server_start(&s);
		uint64_t wait = s.how == SILENT ? 50 : PATIENCE;
		struct err e = {0};
		struct tls *t = tls_open(
		    fd, rows[i].host, trusted, &none, wait_now() + wait, &e);

		CHECK_ROW(i, !t);
		CHECK_ROW(i, !rows[i].kind || e.kind == rows[i].kind);
		CHECK_ROW(i, strstr(e.msg, rows[i].says) != NULL);
		tls_close(t);
		server_end(&s, fd);
		tls_trust_close(trusted);
	}
}

/* For an address the certificate must name it, and no SNI is sent. */
static void
test_address(void)
{
	static const char *const hosts[] = {"127.0.0.1", "fd00::1"};
	struct tls_trust *trusted = trust("ca");
	struct tls_resume none = {0};

	for (size_t i = 0; i < countof(hosts); i++) {
		struct server s = {.cert = "good"};
		int fd = server_start(&s);
		struct err e = {0};
		struct tls *t =
		    tls_open(fd, hosts[i], trusted, &none, soon(), &e);

		CHECK_ROW(i, t != NULL);
		tls_close(t);
		server_end(&s, fd);
	}
	tls_trust_close(trusted);
}

/* The server's stream ends after each number of bytes. */
static void
test_cuts(void)
{
	struct tls_trust *trusted = trust("ca");
	struct tls_resume none = {0};
	bool done = false;

	for (size_t n = 1; !done && n < 3000; n += n < 20 ? 1 : 13) {
		struct server s = {.cert = "good", .stop_after = n};
		int fd = server_start(&s);
		struct err e = {0};
		size_t right = 0;
		struct tls *t =
		    tls_open(fd, "hub.test", trusted, &none, soon(), &e);

		CHECK_ROW(n, t || e.kind == ERR_NET);
		CHECK_ROW(n, t || strstr(e.msg, "closed the connection"));
		if (t && ask(t, 500, &e) == 0) {
			CHECK_ROW(n, answer(t, 64, &right, &e) == 0);
			CHECK_ROW(n, right == 0 || right == 500);
			done = tls_closed_well(t);
			CHECK_ROW(n, !done || right == 500);
		}
		tls_close(t);
		server_end(&s, fd);
	}
	CHECK(done);
	tls_trust_close(trusted);
}

static void
test_truncated(void)
{
	struct tls_trust *trusted = trust("ca");
	struct server s = {.cert = "good", .how = ECHO_CUT};
	int fd = server_start(&s);
	struct tls_resume none = {0};
	struct err e = {0};
	size_t right = 0;
	struct tls *t = tls_open(fd, "hub.test", trusted, &none, soon(), &e);

	CHECK(t && ask(t, 40000, &e) == 0);
	CHECK(t && answer(t, 9999, &right, &e) == 0 && right == 40000);
	CHECK(t && !tls_closed_well(t));
	tls_close(t);
	server_end(&s, fd);
	tls_trust_close(trusted);
}

/* The server has gone before the answer to its close_notify could be sent. */
static void
test_gone(void)
{
	struct tls_trust *trusted = trust("ca");
	struct server s = {.cert = "good", .how = ECHO_GONE};
	int fd = server_start(&s);
	struct tls_resume none = {0};
	struct err e = {0};
	size_t right = 0;
	struct tls *t = tls_open(fd, "hub.test", trusted, &none, soon(), &e);

	CHECK(t && ask(t, 300, &e) == 0);
	server_join(&s);
	CHECK(t && answer(t, 1000, &right, &e) == 0 && right == 300);
	CHECK(t && tls_closed_well(t));
	tls_close(t);
	close(fd);
	tls_trust_close(trusted);
}

static void
test_goodbye(void)
{
	struct tls_trust *trusted = trust("ca");
	struct server s = {.cert = "good"};
	int fd = server_start(&s);
	struct tls_resume none = {0};
	struct err e = {0};
	struct tls *t = tls_open(fd, "hub.test", trusted, &none, soon(), &e);

	CHECK(t != NULL);
	tls_close(t);
	shutdown(fd, SHUT_WR); /* not close(): the server answers */
	server_join(&s);
	close(fd);
	CHECK(s.goodbye);
	tls_trust_close(trusted);
}

/* A byte is changed in the application data. */
static void
test_changed(void)
{
	struct tls_trust *trusted = trust("ca");
	struct server s = {.cert = "good", .change_at = 30000};
	int fd = server_start(&s);
	struct tls_resume none = {0};
	struct err e = {0};
	size_t right = 0;
	struct tls *t = tls_open(fd, "hub.test", trusted, &none, soon(), &e);

	CHECK(t && ask(t, 60000, &e) == 0);
	CHECK(t && answer(t, 4096, &right, &e) < 0);
	CHECK(e.kind == ERR_NET && strstr(e.msg, "corrupted in transit"));
	CHECK(right < 30000);
	CHECK(t && answer(t, 4096, &right, &e) < 0); /* and stays so */
	CHECK(t && !tls_closed_well(t));
	tls_close(t);
	server_end(&s, fd);
	tls_trust_close(trusted);
}

static void
test_stall(void)
{
	struct tls_trust *trusted = trust("ca");
	struct server s = {.cert = "good", .how = HANG};
	int fd = server_start(&s);
	struct tls_resume none = {0};
	struct err e = {0};
	size_t n = 9, right = 0;
	char p[16];
	struct tls *t = tls_open(fd, "hub.test", trusted, &none, soon(), &e);

	CHECK(t && tls_write(t, "5\n", 2, soon(), &e) == 0);
	CHECK(t && tls_read(t, p, sizeof(p), &n, wait_now() + 30, &e) < 0);
	CHECK(e.kind == ERR_NET && !strcmp(e.msg, "timed out") && n == 0);
	CHECK(t && tls_write(t, "x", 1, soon(), &e) == 0); /* still good */
	CHECK(t && answer(t, 10, &right, &e) == 0 && right == 0);
	tls_close(t);
	server_end(&s, fd);
	tls_trust_close(trusted);
}

/* One connection that may resume; says whether it did. */
static bool
resumed(struct server *s, struct tls_trust *trusted, struct tls_resume *keep)
{
	int fd = server_start(s);
	struct tls_resume was = *keep;
	struct err e = {0};
	size_t right = 0;
	struct tls *t = tls_open(fd, "hub.test", trusted, keep, soon(), &e);

	CHECK(t && ask(t, 10, &e) == 0);
	CHECK(t && answer(t, 10, &right, &e) == 0 && right == 10);
	if (t)
		tls_session(t, keep);
	/* The certificate that it began with: to the end of 2119. */
	CHECK(t && tls_lapses(t) == 4733510400);
	tls_close(t);
	server_end(s, fd);
	return was.id_len && was.id_len == keep->id_len &&
	       !memcmp(was.id, keep->id, was.id_len) &&
	       !memcmp(was.master, keep->master, sizeof(was.master));
}

static void
test_resume(void)
{
	unsigned char *store = xmalloc(8192);
	br_ssl_session_cache_lru cache;
	struct server s = {.cert = "good", .cache = &cache};
	struct tls_trust *trusted = trust("ca");
	struct tls_resume keep = {0};
	size_t full, brief;

	br_ssl_session_cache_lru_init(&cache, store, 8192);
	CHECK(!resumed(&s, trusted, &keep));
	full = s.sent;
	CHECK(keep.id_len == 32);
	CHECK(resumed(&s, trusted, &keep));
	brief = s.sent;
	CHECK(resumed(&s, trusted, &keep));
	CHECK(brief + 400 < full); /* no certificate was sent */
	br_ssl_session_cache_lru_forget(&cache, keep.id);
	CHECK(!resumed(&s, trusted, &keep));
	CHECK(resumed(&s, trusted, &keep));
	keep.id_len = 33; /* too long: as if there were none */
	CHECK(!resumed(&s, trusted, &keep) && keep.id_len == 32);
	tls_trust_close(trusted);
	free(store);
}

/* The same six, ChaCha20 first or last. */
static void
test_suites(void)
{
	static const uint16_t chacha[] = {
	    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256};
	static const uint16_t aes[] = {
	    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384};
	const uint16_t *with = tls_suites(true), *without = tls_suites(false);

	CHECK(sizeof(chacha) + sizeof(aes) == TLS_SUITES * sizeof(*with));
	CHECK(!memcmp(without, chacha, sizeof(chacha)));
	CHECK(!memcmp(without + countof(chacha), aes, sizeof(aes)));
	CHECK(!memcmp(with, aes, sizeof(aes)));
	CHECK(!memcmp(with + countof(aes), chacha, sizeof(chacha)));
}

static void
test_trust(void)
{
	struct tls_trust *t = tls_trust_open();
	char dir[SCRATCH_PATH];
	struct err e = {0};

	CHECK(t->anchors.n == roots_count);
	CHECK(tls_trust_add_file(t, "tests/unit/data/tls/ca.pem", &e) == 0);
	CHECK(t->anchors.n == roots_count + 1);
	CHECK(tls_trust_add_pem(
		  t, str_of("-----BEGIN CERTIFICATE-----\nM\n"), "x", &e) < 0);
	CHECK(e.kind == ERR_USAGE && strstr(e.msg, "'x': line 1: "));
	CHECK(tls_trust_add_file(t, "tests/unit/data/tls/none", &e) < 0);
	CHECK(e.kind == ERR_USAGE && strstr(e.msg, "tests/unit/data/tls/none"));
	CHECK(tls_trust_add_file(t, "tests/unit/data/tls/key.pem", &e) < 0);
	CHECK(e.kind == ERR_USAGE && strstr(e.msg, "contains no usable"));
	CHECK(tls_trust_add_file(
		  t, "tests/unit/data/tls/second/short.pem", &e) < 0);
	CHECK(e.kind == ERR_USAGE && strstr(e.hint, "2048 bits"));
	CHECK(tls_trust_add_pem(t, str_of(""), "x", &e) < 0);
	CHECK(e.kind == ERR_USAGE);
	/* key.pem and the Ed25519 one are passed over, ca is there already */
	CHECK(tls_trust_add_dir(t, "tests/unit/data/tls", &e) == 0);
	CHECK(t->anchors.n > roots_count + 3);
	tls_trust_close(t);
	/* A folder in place of a file. */
	t = tls_trust_open();
	CHECK(tls_trust_add_file(t, "tests/unit/data/tls", &e) == 0);
	CHECK(t->anchors.n > roots_count + 3);
	CHECK(tls_trust_add_dir(t, "tests/unit/data/none", &e) < 0);
	CHECK(e.kind == ERR_USAGE);
	tls_trust_close(t);
	tls_trust_close(NULL);

	t = tls_trust_open();
	scratch_enter(dir);
	scratch_write("broken", "-----BEGIN CERTIFICATE-----\nM\n");
	CHECK(tls_trust_add_file(t, "broken", &e) < 0);
	CHECK(tls_trust_add_dir(t, dir, &e) == 1);
	CHECK(strstr(e.msg, "broken': line 1: ") != NULL);
	CHECK(unlink("broken") == 0 && symlink("gone", "dangling") == 0);
	CHECK(tls_trust_add_dir(t, dir, &e) == 0);
	CHECK(t->anchors.n == roots_count);
	scratch_leave(dir);
	tls_trust_close(t);
}

/* tests/unit/anchor.c looks at what they are. */
static void
test_built_in(void)
{
	struct tls_trust *t = tls_trust_open();

	CHECK(t->anchors.n == roots_count);
	tls_trust_close(t);
}

int
main(void)
{
	test_built_in();
	wait_signals();
	test_echo();
	test_refusals();
	test_address();
	test_cuts();
	test_truncated();
	test_gone();
	test_goodbye();
	test_changed();
	test_stall();
	test_resume();
	test_suites();
	test_trust();
	return test_end();
}
