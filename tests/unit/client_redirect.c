/* Where a request goes, through which proxy, and to whom the token goes. */

#include "tests/unit/client_bench.h"

/* From "/a" to where; what the second request must begin with. */
static void
test_redirect_methods(void)
{
	static const struct {
		const char *status, *method, *want;
		const char *body; /* of the second one */
	} row[] = {
	    {"301", "GET", "GET /b HTTP", NULL},
	    {"302", "GET", "GET /b HTTP", NULL},
	    {"303", "GET", "GET /b HTTP", NULL},
	    {"307", "GET", "GET /b HTTP", NULL},
	    {"308", "GET", "GET /b HTTP", NULL},
	    {"302", "HEAD", "HEAD /b HTTP", NULL},
	    {"303", "HEAD", "HEAD /b HTTP", NULL},
	    {"307", "POST", "POST /b HTTP", "data"},
	    {"308", "POST", "POST /b HTTP", "data"},
	    {"301", "PUT", "PUT /b HTTP", "data"},
	};

	for (size_t i = 0; i < countof(row); i++) {
		bool sends = *row[i].method == 'P';
		char answer[128];
		const struct turn turns[] = {
		    {.answer = answer, .body = sends ? "data" : NULL},
		    {.want = row[i].want,
			.avoid = row[i].body ? NULL : "Content-",
			.body = row[i].body,
			.answer = "HTTP/1.1 204 x\r\n\r\n"},
		};
		struct request q = {.method = row[i].method,
		    .content_type = "a/b",
		    .body = sends ? "data" : NULL,
		    .length = sends ? 4 : 0,
		    .check = on_check};
		struct bench b;
		struct err e;

		snprintf(answer, sizeof(answer),
		    "HTTP/1.1 %s x\r\nLocation: b\r\nContent-Length: %d\r\n"
		    "\r\n%s",
		    row[i].status, *q.method == 'H' ? 9 : 2,
		    *q.method == 'H' ? "" : "xx");
		bench_open(&b, turns, 2);
		q.ctx = &b;
		q.url = b.server.url;
		CHECK_ROW(i, got(fetch(&b, &q, NULL, &e), ""));
		CHECK_ROW(i, b.checks == 2 && b.last_checked == 204);
		CHECK_ROW(i, b.server.accepts == 1);
		CHECK_ROW(i, bench_close(&b));
	}
}

/* What would lose what was sent is no answer to it. */
static void
test_redirect_loses(void)
{
	static const char *const row[][2] = {{"301", "POST"}, {"302", "POST"},
	    {"303", "POST"}, {"303", "PUT"}, {"303", "DELETE"}};

	for (size_t i = 0; i < countof(row); i++) {
		bool sends = *row[i][1] == 'P';
		char answer[128];
		const struct turn turn = {
		    .answer = answer, .body = sends ? "data" : NULL};
		struct request q = {.method = row[i][1],
		    .body = sends ? "data" : NULL,
		    .length = sends ? 4 : 0};
		struct bench b;
		struct err e;

		snprintf(answer, sizeof(answer),
		    "HTTP/1.1 %s x\r\nLocation: b\r\nContent-Length: 2\r\n"
		    "\r\nxx",
		    row[i][0]);
		bench_open(&b, &turn, 1);
		q.url = b.server.url;
		CHECK_ROW(i, fetch(&b, &q, NULL, &e) == NULL);
		CHECK_ROW(i, e.kind == ERR_OTHER && strstr(e.msg, row[i][1]));
		CHECK_ROW(i, bench_close(&b));
	}
}

/* Locations that are followed and those that are not. */
static void
test_locations(void)
{
	static const struct {
		const char *location, *want; /* NULL: refused */
	} row[] = {
	    {"/b/c?d=e", "GET /b/c?d=e HTTP"},
	    {"c", "GET /a/c HTTP"},
	    {"?x", "GET /a/b?x HTTP"},
	    {"http://127.0.0.1:@/z", "GET /z HTTP"},
	    {"HTTP://127.0.0.1:@/z", "GET /z HTTP"},
	    {"//127.0.0.1:@/z", "GET /z HTTP"},
	    {"", NULL},
	    {"http://u:p@127.0.0.1:@/z", NULL},
	    {"ftp://127.0.0.1:@/z", NULL},
	    {"file:///etc/passwd", NULL},
	    {"http://", NULL},
	    {"http://127.0.0.1:99999/", NULL},
	};

	for (size_t i = 0; i < countof(row); i++) {
		struct buf answer = buf_make(1024);
		struct turn turns[2] = {
		    {0}, {.want = row[i].want, .answer = OK}};
		const char *s = strrchr(row[i].location, '@');
		struct bench b;
		struct err e = {0};

		bench_open(&b, turns, row[i].want ? 2 : 1);
		buf_puts(&answer,
		    "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ");
		if (s)
			buf_printf(&answer, "%.*s%u%s",
			    (int)(s - row[i].location), row[i].location,
			    b.server.port, s + 1);
		else
			buf_puts(&answer, row[i].location);
		buf_puts(&answer, "\r\n\r\n");
		turns[0].answer = buf_cstr(&answer);
		CHECK_ROW(
		    i, got(get(&b, "/a/b", NULL, &e), "ok") == !!row[i].want);
		if (!row[i].want)
			CHECK_ROW(
			    i, e.kind == ERR_OTHER && strstr(e.msg, "/a/b"));
		CHECK_ROW(i, bench_close(&b));
		buf_release(&answer);
	}
}

static void
test_redirect_limits(void)
{
	static const char loop[] =
	    "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n";
	static const char lost[] =
	    "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n";
	struct turn turns[12];
	struct bench b;
	struct err e = {0};
	struct request q = {.method = "GET", .no_follow = true};
	unsigned status = 0;

	for (size_t i = 0; i < countof(turns); i++)
		turns[i] = (struct turn){.answer = loop};
	bench_open(&b, turns, 11);
	CHECK(!get(&b, "/x", NULL, &e) && e.kind == ERR_OTHER);
	CHECK(strstr(e.msg, "10 redirects"));
	CHECK(bench_close(&b));

	turns[10].answer = OK;
	bench_open(&b, turns, 11);
	CHECK(got(get(&b, "/x", NULL, &e), "ok"));
	CHECK(bench_close(&b));

	turns[0].answer = lost;
	bench_open(&b, turns, 1);
	CHECK(!get(&b, "/x", NULL, &e) && e.kind == ERR_OTHER);
	CHECK(bench_close(&b));

	turns[0].answer = loop;
	bench_open(&b, turns, 1);
	q.url = b.server.url;
	CHECK(got(fetch(&b, &q, &status, &e), "") && status == 302);
	CHECK(bench_close(&b));
}

/* From https to http, whatever the host; no request is made. */
static void
test_downgrade(void)
{
	static const char *const location[] = {"http://127.0.0.1:1/",
	    "http://hub.test/", "http://localhost/", "HTTP://127.0.0.1/",
	    "http:/x", "http:x"};

	for (size_t i = 0; i < countof(location); i++) {
		char answer[256];
		const struct turn turn = {.answer = answer};
		struct bench b;
		struct err e = {0};

		snprintf(answer, sizeof(answer),
		    "HTTP/1.1 307 x\r\nContent-Length: 0\r\n"
		    "Location: %s\r\n\r\n",
		    location[i]);
		bench_open_as(&b, TLS, &turn, 1);
		CHECK_ROW(i, !get(&b, "/a?sig=1", NULL, &e));
		CHECK_ROW(i, e.kind == ERR_OTHER && strstr(e.msg, "/a"));
		CHECK_ROW(i, !strstr(e.msg, "sig"));
		CHECK_ROW(i, bench_close(&b));
	}
}

/* A request's own token goes to its address in the place of the client's, and
 * no redirect leads it elsewhere. */
static void
test_bearer(void)
{
	struct bench a, b;
	char to_a[128];
	struct turn at_a[] = {
	    {.want = "Authorization: Bearer own\r\n",
		.avoid = "secret",
		.answer = OK},
	};
	struct turn at_b[] = {
	    {.want = "Authorization: Bearer own\r\n", .answer = OK},
	    {.want = "Authorization: Bearer own\r\n", .answer = to_a},
	};
	struct request q = {.method = "GET", .bearer = "own"};
	unsigned status;
	struct err e;

	bench_open(&a, at_a, countof(at_a));
	bench_open(&b, at_b, countof(at_b));
	snprintf(to_a, sizeof(to_a),
	    "HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: %s/back\r\n\r\n",
	    a.server.url);
	q.url = a.server.url;
	CHECK(got(fetch(&a, &q, NULL, &e), "ok"));
	q.url = b.server.url;
	CHECK(got(fetch(&a, &q, NULL, &e), "ok"));
	CHECK(got(fetch(&a, &q, &status, &e), "") && status == 307);
	CHECK(bench_close(&a));
	CHECK(bench_close(&b));
}

/* The token goes to the endpoint only: not to another port, nor back to the
 * endpoint when another one says so. */
static void
test_token(void)
{
	struct bench a, b;
	char to_b[128], to_a[128];
	struct turn at_a[] = {
	    {.want = "Authorization: Bearer secret", .answer = to_b},
	    {.want = "GET /back", .avoid = "uthorization", .answer = OK},
	    {.want = "Authorization: Bearer secret", .answer = OK},
	    {.avoid = "uthorization", .answer = OK},
	};
	struct turn at_b[] = {
	    {.avoid = "uthorization", .answer = to_a},
	    {.avoid = "uthorization", .answer = OK},
	};
	struct request q = {.method = "GET"};
	struct err e;
	char *url;

	bench_open(&a, at_a, countof(at_a));
	bench_open(&b, at_b, countof(at_b));
	snprintf(to_b, sizeof(to_b),
	    "HTTP/1.1 302 x\r\nContent-Length: 0\r\nLocation: %s/b\r\n\r\n",
	    b.server.url);
	snprintf(to_a, sizeof(to_a),
	    "HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: %s/back\r\n\r\n",
	    a.server.url);
	CHECK(got(get(&a, "/", NULL, &e), "ok"));
	q.url = b.server.url;
	CHECK(got(fetch(&a, &q, NULL, &e), "ok"));
	q.url = a.server.url;
	CHECK(got(fetch(&a, &q, NULL, &e), "ok"));
	/* Another name for the same host is another origin. */
	url = join("http://localhost", strrchr(a.server.url, ':'));
	q.url = url;
	CHECK(got(fetch(&a, &q, NULL, &e), "ok"));
	free(url);
	CHECK(!strstr(a.log, "secret"));
	CHECK(bench_close(&a));
	CHECK(bench_close(&b));
}

static void
test_clear_text(void)
{
	static const struct {
		const char *endpoint, *url;
	} row[] = {
	    {"https://hub.test", "http://hub.test/"},
	    {"https://hub.test", "http://192.0.2.1/"},
	    {"https://hub.test", "http://127.0.0.1:1/"},
	    {"https://hub.test", "http://localhost:1/"},
	    {"https://hub.test", "ftp://127.0.0.1/"},
	    {"https://hub.test", "http://u:p@127.0.0.1:1/"},
	    {"https://hub.test", ""},
	    {"https://hub.test", "http://127.0.0.1:1/a b"},
	    {"http://hub.test", "http://u@hub.test/"},
	};

	for (size_t i = 0; i < countof(row); i++) {
		const struct client_opts o = {.endpoint = row[i].endpoint};
		struct err e = {0};
		struct client *c = client_open(&o, &e);
		struct request q = {.method = "GET", .url = row[i].url};

		CHECK_ROW(i, c && !client_send(c, &q, &e));
		CHECK_ROW(i, e.kind == ERR_OTHER);
		client_close(c);
	}
}

/* An http proxy, to which requests go in absolute form. */
static void
test_http_proxy(void)
{
	static const struct turn turns[] = {
	    {.want = "GET http://hub.test/a?b HTTP/1.1\r\nHost: hub.test\r\n",
		.avoid = "secret", /* it is in clear text */
		.answer = OK},
	    {.want = "\r\nProxy-Authorization: Basic dXNlcjpwOnc=\r\n",
		.answer = OK},
	    {.want = "GET http://[::1]:8080/ HTTP/1.1\r\nHost: [::1]:8080\r\n",
		.avoid = "secret",
		.answer = OK},
	};
	static const char *const url[] = {
	    "http://hub.test/a?b", "http://hub.test/", "http://[::1]:8080"};
	struct bench b;
	struct request q = {.method = "GET"};
	struct err e = {0};
	char *proxy;

	bench_open(&b, turns, countof(turns));
	proxy = join("http://user:p%3Aw@", strchr(b.server.url, '1'));
	b.o.proxy.http = proxy;
	b.o.endpoint = "http://hub.test";
	bench_options(&b);
	for (size_t i = 0; i < countof(url); i++) {
		q.url = url[i];
		CHECK_ROW(i, got(fetch(&b, &q, NULL, &e), "ok"));
	}
	/* One for each origin. */
	CHECK(b.server.accepts == 2);
	CHECK(!strstr(b.log, "p%3Aw"));
	CHECK(bench_close(&b));
	free(proxy);
}

/* A proxy is another machine, even on the way to this one. */
static void
test_loopback_proxy(void)
{
	static const struct turn turn = {
	    .want = "GET http://127.0.0.1:9/ HTTP/1.1\r\n",
	    .avoid = "secret",
	    .answer = OK};
	struct request q = {.method = "GET", .url = "http://127.0.0.1:9"};
	struct bench b;
	struct err e;

	bench_open(&b, &turn, 1);
	b.o.proxy.http = b.server.url;
	b.o.endpoint = q.url;
	bench_options(&b);
	CHECK(got(fetch(&b, &q, NULL, &e), "ok"));
	CHECK(bench_close(&b));
}

static void
test_https_refused(void)
{
	static const struct turn turn = {
	    .want = "CONNECT hub.test:443 HTTP/1.1\r\nHost: hub.test:443\r\n",
	    .avoid = "secret",
	    .answer = "HTTP/1.1 407 Login\r\nContent-Length: 0\r\n\r\n"};
	struct bench b;
	struct request q = {.method = "GET", .url = "https://hub.test/?sig=1"};
	struct err e = {0};

	bench_open(&b, &turn, 1);
	b.o.proxy.https = b.server.url;
	b.o.endpoint = "https://hub.test";
	bench_options(&b);
	CHECK(!client_send(b.client, &q, &e) && e.kind == ERR_AUTH);
	CHECK(!strstr(e.msg, "sig=1") && !strstr(b.log, "sig=1"));
	CHECK(strstr(b.log, "GET https://hub.test/: "));
	CHECK(bench_close(&b));
}

/* Through a tunnel the token goes to the origin and the login to the proxy. */
static void
test_tunnel(void)
{
	static const struct turn turns[] = {
	    {.want = "\r\nProxy-Authorization: Basic YTpi\r\n",
		.avoid = "secret",
		.answer = "HTTP/1.1 200 x\r\n\r\n",
		.after = SCRIPT_TLS},
	    {.want = "GET /x HTTP/1.1\r\nHost: hub.test\r\n", .answer = OK},
	    {.want = "Authorization: Bearer secret\r\n",
		.avoid = "Proxy-",
		.answer = OK},
	};
	struct request q = {.method = "GET", .url = "https://hub.test/x"};
	struct bench b;
	struct err e;
	char *proxy;

	bench_open(&b, turns, countof(turns));
	proxy = join("a:b@", strchr(b.server.url, '1'));
	b.trust = test_trust();
	b.o.trust = b.trust;
	b.o.proxy.all = proxy;
	b.o.endpoint = "https://hub.test";
	bench_options(&b);
	CHECK(got(fetch(&b, &q, NULL, &e), "ok"));
	CHECK(got(fetch(&b, &q, NULL, &e), "ok"));
	CHECK(b.server.accepts == 1);
	CHECK(bench_close(&b));
	free(proxy);
}

/* By address, so that they do not all share the frame of main(). */
static void (*const tests[])(void) = {
    test_redirect_methods,
    test_redirect_loses,
    test_locations,
    test_redirect_limits,
    test_downgrade,
    test_bearer,
    test_token,
    test_clear_text,
    test_http_proxy,
    test_loopback_proxy,
    test_https_refused,
    test_tunnel,
};

int
main(void)
{
	for (size_t i = 0; i < countof(tests); i++)
		tests[i]();
	return test_end();
}
