#include "conn.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "str.h"
#include "tests/unit/script.h"
#include "tests/unit/test.h"
#include "tls.h"
#include "wait.h"

#define SOON (wait_now() + 5000)

static void
parse(struct url *u, const char *text)
{
	struct err e;

	if (url_parse(str_of(text), u, &e)) {
		printf("%s: %s\n", text, e.msg);
		exit(1);
	}
}

static struct conn *
open_to(const char *target, const char *proxy, unsigned ms, struct err *e)
{
	struct conn_how how = {
	    .user_agent = "hub/test", .deadline = wait_now() + ms};
	struct tls_resume resume = {0};
	struct url t, p;

	parse(&t, target);
	if (proxy) {
		parse(&p, proxy);
		how.proxy = &p;
	}
	return conn_open(&t, &how, t.secure ? &resume : NULL, e);
}

static void
test_login(void)
{
	static const struct {
		const char *proxy, *want; /* NULL: refused */
	} row[] = {
	    {"http://p:1", ""},
	    {"http://user:pass@p:1",
		"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"},
	    {"http://user@p:1", "Proxy-Authorization: Basic dXNlcjo=\r\n"},
	    {"http://user:@p:1", "Proxy-Authorization: Basic dXNlcjo=\r\n"},
	    {"http://u%40x:p%3Aw@p:1",
		"Proxy-Authorization: Basic dUB4OnA6dw==\r\n"},
	    {"http://a%0D%0Ab:c@p:1",
		"Proxy-Authorization: Basic YQ0KYjpj\r\n"},
	    {"http://a%zz:c@p:1", NULL},
	    {"http://a:c%@p:1", NULL},
	    {"http://a:c%4@p:1", NULL},
	    {"http://a%00:c@p:1", NULL},
	};

	for (size_t i = 0; i < countof(row); i++) {
		struct buf b = buf_make(1024);
		struct url proxy;
		struct err e = {0};
		int rc;

		parse(&proxy, row[i].proxy);
		rc = conn_login(&proxy, &b, &e);
		CHECK_ROW(i, !rc == !!row[i].want);
		if (row[i].want)
			CHECK_ROW(i, str_eq(buf_str(&b), row[i].want));
		else
			CHECK_ROW(i, e.kind == ERR_USAGE && !b.len);
		buf_release(&b);
	}
}

/* Bytes both ways, and what an idle connection may hide. */
static void
test_plain(void)
{
	static const struct turn turns[] = {
	    {.want = "first", .answer = "one"},
	    {.want = "second", .answer = "two", .after = SCRIPT_CLOSE},
	};
	struct script s;
	struct conn *c;
	struct err e;
	char text[8];
	size_t n;

	script_open(&s);
	script_start(&s, turns, 2);
	c = open_to(s.url, NULL, 5000, &e);
	CHECK(c && conn_idle_ok(c));
	CHECK(!conn_write(c, "first\r\n\r\n", 9, SOON, &e));
	CHECK(!conn_read(c, text, 2, &n, SOON, &e));
	CHECK(n == 2 && !memcmp(text, "on", 2));
	CHECK(!conn_idle_ok(c)); /* "e" is left */
	CHECK(!conn_read(c, text, 8, &n, SOON, &e) && n == 1);
	CHECK(conn_idle_ok(c));
	CHECK(conn_read(c, text, 8, &n, wait_now() + 20, &e) < 0);
	CHECK(e.kind == ERR_NET);
	CHECK(!conn_write(c, "second\r\n\r\n", 10, SOON, &e));
	CHECK(!conn_read(c, text, 8, &n, SOON, &e) && n == 3);
	CHECK(!conn_read(c, text, 8, &n, SOON, &e) && n == 0);
	CHECK(!conn_idle_ok(c)); /* it has ended */
	CHECK(!conn_cut(c));
	conn_close(c);
	conn_close(NULL);
	CHECK(script_end(&s));
}

/* Answers to CONNECT that are no tunnel. */
static const struct {
	const char *answer;
	enum err_kind kind;
	const char *says;
} refusal[] = {
    {"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\n\r\n", ERR_AUTH,
	"407 Login"},
    {"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", ERR_OTHER,
	"403 Forbidden"},
    {"HTTP/1.1 404 x\r\n\r\n", ERR_OTHER, "404"},
    {"HTTP/1.1 302 x\r\nLocation: https://evil.test/\r\n\r\n", ERR_OTHER,
	"302"},
    {"HTTP/1.1 500 x\r\n\r\n", ERR_NET, "500"},
    {"HTTP/1.1 502 Bad Gateway\r\n\r\n", ERR_NET, "502 Bad Gateway"},
    {"HTTP/1.1 503 x\r\n\r\n", ERR_NET, "503"},
    {"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 403 No\r\n\r\n", ERR_OTHER, "403 No"},
    {"HTTP/1.1 200 OK\r\n\r\nmore", ERR_NET, "more than"},
    {"HTTP/1.1 200 OK\r\n", ERR_NET, "closed"},
    {"HTTP/1.1 100 x\r\n\r\n", ERR_NET, "closed"},
    {"", ERR_NET, "closed"},
    {"SSH-2.0-OpenSSH_9.2\r\n\r\n", ERR_NET, "proxy"},
    {"\r\n\r\n\r\n\r\n", ERR_NET, "proxy"},
};

static void
test_refusals(size_t piece)
{
	for (size_t i = 0; i < countof(refusal); i++) {
		const struct turn turn = {
		    .want = "CONNECT hub.test:443 HTTP/1.1\r\n"
			    "Host: hub.test:443\r\nUser-Agent: hub/test\r\n",
		    .avoid = "Proxy-",
		    .answer = refusal[i].answer,
		    .piece = piece,
		    .after = SCRIPT_CLOSE};
		struct script s;
		struct err e = {0};

		/* In pieces, the head of 200 comes without what follows. */
		if (piece && strstr(refusal[i].says, "more"))
			continue;
		script_open(&s);
		script_start(&s, &turn, 1);
		CHECK_ROW(
		    i, !open_to("https://hub.test/x?sig", s.url, 5000, &e));
		CHECK_ROW(i, e.kind == refusal[i].kind);
		CHECK_ROW(i, strstr(e.msg, refusal[i].says));
		CHECK_ROW(i, strstr(e.msg, s.url) && !strstr(e.msg, "sig"));
		CHECK_ROW(i, (e.kind == ERR_AUTH) == !!*e.hint);
		CHECK_ROW(i, script_end(&s));
	}
}

static void
test_endless_refusals(void)
{
	static const char *const unit[] = {
	    "HTTP/1.1 100 Continue\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nX: 1\r\nX: 2",
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	};

	for (size_t i = 0; i < countof(unit); i++) {
		const struct turn turn = {
		    .answer = unit[i], .times = 6000, .after = SCRIPT_CLOSE};
		struct script s;
		struct err e = {0};

		script_open(&s);
		script_start(&s, &turn, 1);
		CHECK_ROW(i, !open_to("https://hub.test", s.url, 5000, &e));
		CHECK_ROW(i, e.kind == ERR_NET);
		CHECK_ROW(i, script_end(&s));
	}
}

static void
test_silent_proxy(void)
{
	static const struct turn turn = {.answer = "HTTP/1.1 200 OK\r\n"};
	uint64_t start = wait_now();
	struct script s;
	struct err e = {0};

	script_open(&s);
	script_start(&s, &turn, 1);
	CHECK(!open_to("https://hub.test", s.url, 200, &e));
	CHECK(e.kind == ERR_NET && strstr(e.msg, "timed out"));
	CHECK(wait_now() - start < 3000);
	CHECK(script_end(&s));
}

static void
test_connect_line(void)
{
	static const struct {
		const char *target, *user, *want;
	} row[] = {
	    {"https://hub.test", "", "CONNECT hub.test:443 HTTP/1.1\r\n"},
	    {"https://hub.test:8443/", "",
		"CONNECT hub.test:8443 HTTP/1.1\r\n"},
	    {"https://[fd00::1]/", "",
		"CONNECT [fd00::1]:443 HTTP/1.1\r\nHost: [fd00::1]:443\r\n"},
	    {"https://hub.test", "user:p%3Aw@",
		"\r\nProxy-Authorization: Basic dXNlcjpwOnc=\r\n\r\n"},
	};

	for (size_t i = 0; i < countof(row); i++) {
		const struct turn turn = {
		    .want = row[i].want, .answer = "HTTP/1.1 403 x\r\n\r\n"};
		struct script s;
		struct err e = {0};
		char proxy[128];

		script_open(&s);
		script_start(&s, &turn, 1);
		snprintf(proxy, sizeof(proxy), "http://%s127.0.0.1:%u",
		    row[i].user, s.port);
		CHECK_ROW(i, !open_to(row[i].target, proxy, 5000, &e));
		CHECK_ROW(i, !strstr(e.msg, "p%3Aw"));
		CHECK_ROW(i, script_end(&s));
	}
}

/* An http target through an http proxy is a connection to the proxy. */
static void
test_http_through_proxy(void)
{
	static const struct turn turn = {
	    .want = "GET http://hub.test/ ", .answer = "hi"};
	struct script s;
	struct conn *c;
	struct err e;
	char text[8];
	size_t n;

	script_open(&s);
	script_start(&s, &turn, 1);
	c = open_to("http://hub.test/", s.url, 5000, &e);
	CHECK(c);
	CHECK(!conn_write(c, "GET http://hub.test/ \r\n\r\n", 25, SOON, &e));
	CHECK(!conn_read(c, text, 8, &n, SOON, &e) && n == 2);
	conn_close(c);
	CHECK(script_end(&s));
}

static void
test_not_supported(void)
{
	struct err e = {0};

	/* Said before anything is asked of the network. */
	CHECK(!open_to("https://hub.test", "https://proxy.test:1", 5000, &e));
	CHECK(e.kind == ERR_USAGE && *e.hint);
	CHECK(strstr(e.msg, "https://proxy.test:1"));
	CHECK(
	    !open_to("https://hub.test", "http://a%:b@127.0.0.1:1", 5000, &e));
}

static void
test_unreachable(void)
{
	struct script s;
	struct err e = {0};

	script_open(&s);
	close(s.listener);
	s.listener = -1;
	script_start(&s, NULL, 0);
	CHECK(!open_to(s.url, NULL, 5000, &e));
	CHECK(e.kind == ERR_NET && strstr(e.msg, "127.0.0.1"));
	CHECK(!open_to("https://hub.test", s.url, 5000, &e));
	CHECK(e.kind == ERR_NET && strstr(e.msg, "proxy 'http://127.0.0.1"));
	CHECK(!open_to("http://hub.test", s.url, 5000, &e));
	CHECK(e.kind == ERR_NET && strstr(e.msg, "proxy 'http://127.0.0.1"));
	CHECK(script_end(&s));
}

static struct tls_trust *
test_trust(void)
{
	struct tls_trust *trust = tls_trust_open();
	struct buf pem = pem_text("ca");
	struct err e;

	CHECK(!tls_trust_add_pem(trust, buf_str(&pem), "ca", &e));
	buf_release(&pem);
	return trust;
}

/* TLS, direct and through a tunnel; a session is resumed; the end of the stream
 * is known for what it is. */
static void
test_tls(bool tunnel)
{
	const struct turn proxy = {.want = "CONNECT hub.test:443",
	    .answer = "HTTP/1.1 200 x\r\n\r\n",
	    .after = SCRIPT_TLS};
	const struct turn talk[] = {
	    {.want = "hello", .answer = "welcome", .after = SCRIPT_CLOSE},
	    {.want = "hello", .answer = "welcome", .after = SCRIPT_CUT},
	};
	const struct turn turns[] = {proxy, talk[0], proxy, talk[1]};
	struct tls_trust *trust = test_trust();
	struct conn_how how = {.trust = trust};
	struct tls_resume resume = {0};
	struct url target, via;
	struct script s;

	script_open(&s);
	if (!tunnel)
		script_secure(&s);
	script_start(&s, tunnel ? turns : talk, tunnel ? 4 : 2);
	parse(&target, tunnel ? "https://hub.test/" : s.url);
	parse(&via, s.url);
	how.proxy = tunnel ? &via : NULL;
	how.deadline = SOON;
	for (size_t i = 0; i < 2; i++) {
		struct err e;
		struct conn *c = conn_open(&target, &how, &resume, &e);
		struct buf all = buf_make(64);
		char text[8];
		size_t n;

		CHECK_ROW(i, c && conn_idle_ok(c) && conn_idle_ok(c));
		if (!c)
			break;
		CHECK_ROW(i, !conn_write(c, "hello\r\n\r\n", 9, SOON, &e));
		CHECK_ROW(i, !conn_read(c, text, 3, &n, SOON, &e) && n == 3);
		buf_add(&all, text, n);
		/* The rest is decrypted already; asking loses none of it. */
		CHECK_ROW(i, !conn_idle_ok(c) && !conn_idle_ok(c));
		while (n && !conn_read(c, text, 8, &n, SOON, &e))
			buf_add(&all, text, n);
		CHECK_ROW(i, str_eq(buf_str(&all), "welcome"));
		buf_release(&all);
		CHECK_ROW(i, n == 0 && conn_cut(c) == (i == 1));
		CHECK_ROW(i, !conn_idle_ok(c));
		conn_close(c);
	}
	CHECK(resume.id_len > 0);
	CHECK(script_end(&s));
	CHECK(s.resumed == 1);
	tls_trust_close(trust);
}

/* What TLS has decrypted though nobody has read it is no idleness, and asking
 * loses none of it. */
static void
test_tls_hidden(void)
{
	static const struct turn turn = {.want = "hello", .answer = "welcome"};
	struct tls_trust *trust = test_trust();
	struct conn_how how = {.trust = trust, .deadline = SOON};
	struct tls_resume resume = {0};
	struct buf all = buf_make(64);
	struct url target;
	struct script s;
	struct conn *c;
	struct err e;
	char text[8];
	size_t n = 1;

	script_open(&s);
	script_secure(&s);
	script_start(&s, &turn, 1);
	parse(&target, s.url);
	c = conn_open(&target, &how, &resume, &e);
	CHECK(c && conn_idle_ok(c) && conn_idle_ok(c));
	CHECK(!conn_write(c, "hello\r\n\r\n", 9, SOON, &e));
	while (all.len < 7 && !conn_read(c, text, 3, &n, SOON, &e) && n) {
		buf_add(&all, text, n);
		CHECK(conn_idle_ok(c) == (all.len == 7));
		CHECK(conn_idle_ok(c) == (all.len == 7));
	}
	CHECK(str_eq(buf_str(&all), "welcome"));
	buf_release(&all);
	conn_close(c);
	CHECK(script_end(&s));
	tls_trust_close(trust);
}

/* An http target through an https proxy. */
static void
test_https_proxy(void)
{
	static const struct turn turn = {.want = "GET", .answer = "hi"};
	struct conn_how how = {.deadline = SOON};
	struct tls_trust *trust = test_trust();
	struct url target, via;
	struct script s;
	struct conn *c;
	struct err e;
	char text[8];
	size_t n;

	script_open(&s);
	script_secure(&s);
	script_start(&s, &turn, 1);
	parse(&target, "http://hub.test/");
	parse(&via, s.url);
	how.proxy = &via;
	how.trust = trust;
	c = conn_open(&target, &how, NULL, &e);
	CHECK(c);
	CHECK(!conn_write(c, "GET\r\n\r\n", 7, SOON, &e));
	CHECK(!conn_read(c, text, 8, &n, SOON, &e) && n);
	conn_close(c);
	CHECK(script_end(&s));
	tls_trust_close(trust);
}

/* A certificate that nobody has signed, and one for another host. */
static void
test_bad_peer(void)
{
	struct tls_trust *trust[] = {tls_trust_open(), test_trust()};

	for (size_t i = 0; i < 2; i++) {
		struct conn_how how = {.deadline = SOON, .trust = trust[i]};
		struct tls_resume resume = {0};
		struct url target;
		struct script s;
		struct err e = {0};

		script_open(&s);
		script_secure(&s);
		script_start(&s, NULL, 0);
		if (i)
			snprintf(s.url, sizeof(s.url), "https://localhost:%u",
			    s.port);
		parse(&target, s.url);
		CHECK_ROW(i, !conn_open(&target, &how, &resume, &e));
		CHECK_ROW(i, e.kind == ERR_OTHER && !resume.id_len);
		CHECK_ROW(i, script_end(&s));
		tls_trust_close(trust[i]);
	}
}

int
main(void)
{
	test_login();
	test_plain();
	test_refusals(0);
	test_refusals(1);
	test_endless_refusals();
	test_silent_proxy();
	test_connect_line();
	test_http_through_proxy();
	test_not_supported();
	test_unreachable();
	test_tls(false);
	test_tls(true);
	test_tls_hidden();
	test_https_proxy();
	test_bad_peer();
	return test_end();
}
