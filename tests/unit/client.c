#include "client.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "str.h"
#include "tests/unit/script.h"
#include "tests/unit/test.h"
#include "tls.h"
#include "wait.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* What a test asks of a client, and what the hooks have seen. */
struct bench {
	struct script server;
	struct client_opts o;
	struct client *client;
	struct tls_trust *trust; /* NULL: plain */
	char endpoint[80];
	char log[1024];
	unsigned waits, checks;
	unsigned last_checked; /* status */
};

static void
on_log(void *ctx, const char *line)
{
	struct bench *b = ctx;
	size_t n = strlen(b->log);

	snprintf(b->log + n, sizeof(b->log) - n, "%s\n", line);
}

static void
on_waiting(void *ctx, const struct err *why, uint64_t until)
{
	struct bench *b = ctx;

	b->waits++;
	CHECK(why->kind == ERR_NET && *why->msg);
	CHECK(until <= wait_now() + 8000);
}

static int
on_check(
    void *ctx, const struct http_head *h, const struct url *url, struct err *e)
{
	struct bench *b = ctx;

	b->checks++;
	b->last_checked = h->status;
	CHECK(url->host.n > 0);
	if (h->status == 299)
		return err_set(e, ERR_CONTENT, "refused by the hook");
	return 0;
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

enum { PLAIN, TLS };

/* A server that plays, and a client whose endpoint it is. */
static void
bench_open_as(struct bench *b, int how, const struct turn *turn, size_t turns)
{
	struct err e;

	memset(b, 0, sizeof(*b));
	script_open(&b->server);
	if (how == TLS) {
		script_secure(&b->server);
		b->trust = test_trust();
	}
	memcpy(b->endpoint, b->server.url, sizeof(b->server.url));
	b->o = (struct client_opts){.endpoint = b->endpoint,
	    .token = "secret",
	    .user_agent = "hub/test",
	    .trust = b->trust,
	    .connect_ms = 5000,
	    .answer_ms = 5000,
	    .stall_ms = 5000,
	    .log = on_log,
	    .waiting = on_waiting,
	    .ctx = b};
	b->client = client_open(&b->o, &e);
	script_start(&b->server, turn, turns);
}

static void
bench_open(struct bench *b, const struct turn *turn, size_t turns)
{
	bench_open_as(b, PLAIN, turn, turns);
}

/* The same with other options. */
static void
bench_options(struct bench *b)
{
	struct err e;

	client_close(b->client);
	b->client = client_open(&b->o, &e);
}

static bool
bench_close(struct bench *b)
{
	client_close(b->client);
	tls_trust_close(b->trust);
	return script_end(&b->server);
}

static char *
join(const char *a, const char *b)
{
	struct buf t = buf_make(1 << 20);

	buf_puts(&t, a);
	buf_puts(&t, b);
	return buf_detach(&t);
}

/* Sends and reads all; the text is the caller's. NULL: failed. */
static char *
fetch(struct bench *b, const struct request *q, unsigned *status, struct err *e)
{
	struct buf text = buf_make(1 << 20);
	struct response *r = client_send(b->client, q, e);
	int rc = r ? response_text(r, &text, e) : -1;

	if (r && status)
		*status = response_head(r)->status;
	response_close(r);
	if (!rc)
		return buf_detach(&text);
	buf_release(&text);
	return NULL;
}

static char *
get(struct bench *b, const char *path, unsigned *status, struct err *e)
{
	char *url = join(b->server.url, path), *text;
	struct request q = {.method = "GET", .url = url, .ctx = b};

	text = fetch(b, &q, status, e);
	free(url);
	return text;
}

static bool
got(char *text, const char *want)
{
	bool same = text && !strcmp(text, want);

	free(text);
	return same;
}

/* Body text by each framing, and every way of cutting it short. text NULL:
 * an error of that kind. */
static const struct {
	const char *answer;
	const char *text;
	enum err_kind kind;
} framing[] = {
    {OK, "ok", 0},
    {"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "ok", 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 0},
    {"HTTP/1.1 204 No Content\r\n\r\n", "", 0},
    {"HTTP/1.1 200 OK\r\n\r\nto the end", "to the end", 0},
    {"HTTP/1.0 200 OK\r\n\r\nto the end", "to the end", 0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nokay", "ok", 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
     "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
	"abc0123456789", 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", 0},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n"
     "\r\n" OK,
	"ok", 0},
    {"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 2\r\n"
     "\r\nok",
	"ok", 0},
    {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
	NULL, ERR_OTHER},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", NULL, ERR_NET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", NULL, ERR_NET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", NULL,
	ERR_NET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", NULL,
	ERR_NET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", NULL,
	ERR_NET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", NULL,
	ERR_NET},
    {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok", NULL, ERR_NET},
    {"HTTP/1.1 101 Switching Protocols\r\n\r\n" OK, NULL, ERR_NET},
    {"HTTP/1.1 200 OK\r\nContent-Le", NULL, ERR_NET},
    {"HTTP/1.1 103 Early Hints\r\n\r\n", NULL, ERR_NET},
    {"SSH-2.0-OpenSSH_9.2\r\n\r\n", NULL, ERR_NET},
    {"", NULL, ERR_NET},
};

static void
test_framing(size_t piece)
{
	for (size_t i = 0; i < countof(framing); i++) {
		const struct turn turn = {.answer = framing[i].answer,
		    .piece = piece,
		    .after = SCRIPT_CLOSE};
		struct bench b;
		struct err e = {0};
		char *text;

		bench_open(&b, &turn, 1);
		text = get(&b, "/x", NULL, &e);
		CHECK_ROW(i, !text == !framing[i].text);
		CHECK_ROW(i, e.kind == framing[i].kind);
		if (text)
			CHECK_ROW(i, !strcmp(text, framing[i].text));
		else
			CHECK_ROW(i, strstr(e.msg, "127.0.0.1"));
		free(text);
		CHECK_ROW(i, bench_close(&b));
	}
}

/* Reads of every size give the same bytes, and never more than asked. */
static void
test_read_sizes(void)
{
	static const char *const answers[] = {
	    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789XY",
	    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "1\r\n0\r\n4\r\n1234\r\n5\r\n56789\r\n0\r\n\r\n"),
	    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789",
	};

	for (size_t i = 0; i < countof(answers) * 12; i++) {
		const struct turn turn = {
		    .answer = answers[i / 12], .after = SCRIPT_CLOSE};
		size_t cap = i % 12 + 1, n = 0;
		struct buf all = buf_make(64);
		struct bench b;
		struct request q = {.method = "GET"};
		struct response *r;
		struct err e;

		bench_open(&b, &turn, 1);
		q.url = b.server.url;
		r = client_send(b.client, &q, &e);
		CHECK_ROW(i, r);
		do {
			char *exact = malloc(cap);

			CHECK_ROW(i, !response_read(r, exact, cap, &n, &e));
			CHECK_ROW(i, n <= cap);
			buf_add(&all, exact, n);
			free(exact);
		} while (n);
		CHECK_ROW(i, str_eq(buf_str(&all), "0123456789"));
		CHECK_ROW(i, client_received(b.client) == 10);
		/* Complete stays complete. */
		CHECK_ROW(i, !response_read(r, &(char){0}, 1, &n, &e) && !n);
		response_close(r);
		buf_release(&all);
		CHECK_ROW(i, bench_close(&b));
	}
}

static void
test_fields(void)
{
	static const struct turn turns[] = {
	    {.want = "GET / HTTP/1.1\r\nHost: 127.0.0.1:",
		.avoid = "Range",
		.answer = OK},
	    {.want = "GET /?a=%20b HTTP/1.1\r\n",
		.avoid = "Content-Length",
		.answer = OK},
	    {.want = "\r\nUser-Agent: hub/test\r\n", .answer = OK},
	    {.want = "\r\nAccept-Encoding: identity\r\n", .answer = OK},
	    {.want = "\r\nAuthorization: Bearer secret\r\n", .answer = OK},
	    {.want = "GET /f HTTP/1.1\r\n", .avoid = "#", .answer = OK},
	};
	static const char *const path[] = {
	    "", "?a=%20b", "/", "/", "/", "/f#frag"};
	struct bench b;
	struct err e;

	bench_open(&b, turns, countof(turns));
	for (size_t i = 0; i < countof(turns); i++)
		CHECK_ROW(i, got(get(&b, path[i], NULL, &e), "ok"));
	CHECK(b.server.accepts == 1);
	CHECK(bench_close(&b));
}

static void
test_request_kinds(void)
{
	static const struct turn turns[] = {
	    {.want = "\r\nRange: bytes=5-9\r\n", .answer = OK},
	    {.want = "\r\nRange: bytes=0-18446744073709551615\r\n",
		.answer = OK},
	    {.want = "\r\nAccept: text/x\r\n", .avoid = "Auth", .answer = OK},
	    {.want = "HEAD /",
		.answer = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"},
	    {.want = "POST / HTTP/1.1\r\n", .body = "hello", .answer = OK},
	    {.want = "\r\nContent-Length: 5\r\n",
		.body = "hello",
		.answer = OK},
	    {.want = "\r\nContent-Type: a/b\r\n",
		.body = "hello",
		.answer = OK},
	    {.want = "\r\nContent-Length: 0\r\n", .answer = OK},
	    {.want = "\r\nContent-Length: 0\r\n", .answer = OK},
	    {.want = "DELETE /", .avoid = "Content-Length", .answer = OK},
	};
	static const struct request requests[] = {
	    {.method = "GET", .ranged = true, .first = 5, .last = 9},
	    {.method = "GET", .ranged = true, .last = UINT64_MAX},
	    {.method = "GET", .accept = "text/x", .no_token = true},
	    {.method = "HEAD"},
	    {.method = "POST", .body = "hello", .length = 5},
	    {.method = "PUT", .body = "hello", .length = 5},
	    {.method = "PUT",
		.body = "hello",
		.length = 5,
		.content_type = "a/b"},
	    {.method = "POST"},
	    {.method = "PUT"},
	    {.method = "DELETE"},
	};
	struct bench b;
	struct err e;

	bench_open(&b, turns, countof(turns));
	for (size_t i = 0; i < countof(turns); i++) {
		struct request q = requests[i];

		q.url = b.server.url;
		CHECK_ROW(i, got(fetch(&b, &q, NULL, &e), i == 3 ? "" : "ok"));
	}
	CHECK(b.server.accepts == 1);
	CHECK(client_sent(b.client) == 15);
	CHECK(bench_close(&b));
}

/* How many connections a second request makes. */
static void
test_reuse(void)
{
	static const struct {
		const char *first;
		enum script_after after;
		unsigned accepts;
	} row[] = {
	    {OK, SCRIPT_STAY, 1},
	    {OK, SCRIPT_CLOSE, 2},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
	     "ok",
		SCRIPT_STAY, 2},
	    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", SCRIPT_STAY, 2},
	    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2"
	     "\r\n\r\nok",
		SCRIPT_STAY, 1},
	    /* More than the answer: what follows is not to be believed. */
	    {OK OK, SCRIPT_STAY, 2},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
	     "0\r\n\r\n",
		SCRIPT_STAY, 1},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
	     "0\r\n\r\nHTTP/1.1",
		SCRIPT_STAY, 2},
	};

	for (size_t i = 0; i < countof(row); i++) {
		const struct turn turns[] = {
		    {.answer = row[i].first, .after = row[i].after},
		    {.answer = OK},
		};
		struct bench b;
		struct err e;

		bench_open(&b, turns, 2);
		CHECK_ROW(i, got(get(&b, "/", NULL, &e), "ok"));
		poll(NULL, 0, 20); /* the end comes after the answer */
		CHECK_ROW(i, got(get(&b, "/", NULL, &e), "ok"));
		CHECK_ROW(i, b.server.accepts == row[i].accepts);
		CHECK_ROW(i, bench_close(&b));
	}
}

/* A body that was not read: little of it, here already, is no reason to hang
 * up; much is. */
static void
test_close_early(void)
{
	static const struct {
		const char *head;
		size_t body;
		unsigned accepts;
	} row[] = {
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", 5000, 1},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n", 5000, 2},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", 4000, 2},
	};

	for (size_t i = 0; i < countof(row); i++) {
		char *body = malloc(row[i].body + 1), *answer;
		struct bench b;
		struct request q = {.method = "GET"};
		struct response *r;
		struct err e;

		memset(body, 'x', row[i].body);
		body[row[i].body] = '\0';
		answer = join(row[i].head, body);
		bench_open(
		    &b, (struct turn[]){{.answer = answer}, {.answer = OK}}, 2);
		q.url = b.server.url;
		r = client_send(b.client, &q, &e);
		CHECK_ROW(i, r);
		poll(NULL, 0, 20);
		response_close(r);
		CHECK_ROW(i, got(get(&b, "/", NULL, &e), "ok"));
		CHECK_ROW(i, b.server.accepts == row[i].accepts);
		CHECK_ROW(i, bench_close(&b));
		free(answer);
		free(body);
	}
}

/* A kept connection that ends when the request is on it: repeated for what is
 * safe, an error for the rest; but only once, and not within an answer. */
static void
test_dead_kept(void)
{
	static const struct {
		const char *method, *dead;
		bool ok;
	} row[] = {
	    {"GET", "", true},
	    {"HEAD", "", true},
	    {"PUT", "", true},
	    {"POST", "", false},
	    {"DELETE", "", false},
	    {"GET", "HTTP/1.1 2", false},
	};

	for (size_t i = 0; i < countof(row); i++) {
		const struct turn turns[] = {
		    {.answer = OK},
		    {.answer = row[i].dead, .after = SCRIPT_CLOSE},
		    {.answer = "HTTP/1.1 204 x\r\n\r\n"},
		};
		struct request q = {.method = row[i].method};
		struct bench b;
		struct err e = {0};

		bench_open(&b, turns, row[i].ok ? 3 : 2);
		CHECK_ROW(i, got(get(&b, "/", NULL, &e), "ok"));
		q.url = b.server.url;
		CHECK_ROW(i, got(fetch(&b, &q, NULL, &e), "") == row[i].ok);
		CHECK_ROW(i, row[i].ok || e.kind == ERR_NET);
		CHECK_ROW(i, bench_close(&b));
	}
}

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

static void
test_refused_options(void)
{
	static const struct client_opts row[] = {
	    {.endpoint = ""},
	    {.endpoint = "hub.test"},
	};

	for (size_t i = 0; i < countof(row); i++) {
		struct err e = {0};

		CHECK_ROW(i, !client_open(&row[i], &e) && e.kind);
	}
	client_close(NULL);
	response_close(NULL);
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

static void
test_log(void)
{
	static const struct turn turns[] = {{.answer = OK},
	    {.answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"}};
	struct bench b;
	struct err e;
	char want[256];

	bench_open(&b, turns, 2);
	CHECK(got(get(&b, "/a?sig=1#f", NULL, &e), "ok"));
	CHECK(got(get(&b, "/b", NULL, &e), ""));
	snprintf(want, sizeof(want), "GET %s/a 200\nGET %s/b 404\n",
	    b.server.url, b.server.url);
	CHECK(!strcmp(b.log, want));
	CHECK(bench_close(&b));
}

/* A hook that refuses an answer ends the request. */
static void
test_check(void)
{
	static const struct turn turn = {
	    .answer = "HTTP/1.1 299 x\r\nContent-Length: 0\r\n\r\n"};
	struct bench b;
	struct request q = {.method = "GET", .check = on_check, .ctx = &b};
	struct err e = {0};

	bench_open(&b, &turn, 1);
	q.url = b.server.url;
	CHECK(!client_send(b.client, &q, &e) && e.kind == ERR_CONTENT);
	CHECK(bench_close(&b));
}

struct stream {
	uint64_t length, at;
	size_t piece;
	unsigned starts;
	uint64_t fail_at; /* 0: never */
	bool dry;         /* ends at fail_at */
	int pause_ms;     /* before each piece but the first */
};

/* Byte i is 'a' + i % 26. */
static int
stream_read(
    void *ctx, uint64_t offset, void *p, size_t cap, size_t *n, struct err *e)
{
	struct stream *s = ctx;
	unsigned char *to = p;

	s->starts += offset == 0;
	if (offset)
		poll(NULL, 0, s->pause_ms);
	CHECK(offset == 0 || offset == s->at);
	if (s->fail_at && offset >= s->fail_at) {
		*n = 0;
		return s->dry ? 0 : err_set(e, ERR_FILE, "cannot read it");
	}
	*n = cap < s->piece ? cap : s->piece;
	for (size_t i = 0; i < *n; i++)
		to[i] = (unsigned char)('a' + (offset + i) % 26);
	s->at = offset + *n;
	return 0;
}

static char *
alphabet(size_t n)
{
	char *text = malloc(n + 1);

	for (size_t i = 0; i < n; i++)
		text[i] = (char)('a' + i % 26);
	text[n] = '\0';
	return text;
}

static void
test_stream(void)
{
	static const size_t piece[] = {1, 7, 16384, 16385, 1 << 20};

	for (size_t i = 0; i < countof(piece); i++) {
		size_t n = i < 2 ? 1000 : 200000;
		char *body = alphabet(n);
		struct stream s = {.length = n, .piece = piece[i]};
		struct request q = {.method = "PUT",
		    .length = n,
		    .body_read = stream_read,
		    .ctx = &s};
		struct turn turns[] = {
		    {.body = body,
			.answer = "HTTP/1.1 307 x\r\nLocation: /b\r\n"
				  "Content-Length: 0\r\n\r\n"},
		    {.want = "PUT /b", .body = body, .answer = OK},
		};
		struct bench b;
		struct err e;

		bench_open(&b, turns, 2);
		q.url = b.server.url;
		CHECK_ROW(i, got(fetch(&b, &q, NULL, &e), "ok"));
		CHECK_ROW(i, s.starts == 2 && client_sent(b.client) == 2 * n);
		CHECK_ROW(i, bench_close(&b));
		free(body);
	}
}

static void
test_stream_fails(void)
{
	for (int dry = 0; dry < 2; dry++) {
		struct stream s = {
		    .length = 1000, .piece = 100, .fail_at = 300, .dry = dry};
		struct request q = {.method = "PUT",
		    .length = 1000,
		    .body_read = stream_read,
		    .ctx = &s};
		struct bench b;
		struct err e = {0};

		bench_open(
		    &b, (struct turn[]){{.answer = "", .body = "abc"}}, 1);
		q.url = b.server.url;
		CHECK(!client_send(b.client, &q, &e));
		CHECK(e.kind == (dry ? ERR_OTHER : ERR_FILE));
		CHECK(bench_close(&b));
	}
}

/* An answer while the body is still on its way, and the end of the connection
 * after it. An interim answer is none. */
static void
test_early_answer(void)
{
	static const struct {
		const char *answer;
		unsigned status; /* 0: error */
	} row[] = {
	    {"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig", 413},
	    {"HTTP/1.1 401 Who\r\nConnection: close\r\nContent-Length: 3\r\n"
	     "\r\nbig",
		401},
	    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 x\r\n"
	     "Content-Length: 3\r\n\r\nbig",
		413},
	    {"HTTP/1.1 100 Continue\r\n\r\n", 0},
	    {"", 0},
	};

	for (size_t i = 0; i < countof(row); i++) {
		struct stream s = {.piece = 65536};
		struct request q = {.method = "PUT",
		    .length = (uint64_t)1 << 30,
		    .body_read = stream_read,
		    .ctx = &s};
		const struct turn turn = {
		    .answer = row[i].answer, .after = SCRIPT_CLOSE};
		struct bench b;
		struct err e = {0};
		unsigned status = 0;

		bench_open(&b, &turn, 1);
		q.url = b.server.url;
		CHECK_ROW(i,
		    got(fetch(&b, &q, &status, &e), "big") == !!row[i].status);
		CHECK_ROW(i, status == row[i].status);
		CHECK_ROW(i, status || e.kind == ERR_NET);
		CHECK_ROW(i, client_sent(b.client) < (uint64_t)1 << 28);
		CHECK_ROW(i, bench_close(&b));
	}
}

/* The server answers when the client already waits for it to take more: the
 * send fails, and the answer is found all the same. */
static void
test_answer_while_blocked(void)
{
	static const struct turn turn = {.pause_ms = 300,
	    .answer = "HTTP/1.1 413 x\r\nContent-Length: 3\r\n\r\nbig",
	    .after = SCRIPT_CLOSE};
	struct stream s = {.piece = 65536};
	struct request q = {.method = "PUT",
	    .length = (uint64_t)1 << 30,
	    .body_read = stream_read,
	    .ctx = &s};
	struct bench b;
	struct err e;
	unsigned status = 0;

	bench_open(&b, &turn, 1);
	q.url = b.server.url;
	CHECK(got(fetch(&b, &q, &status, &e), "big") && status == 413);
	CHECK(bench_close(&b));
}

/* A connection on which a body was left unfinished takes no other request. */
static void
test_early_answer_spoils(void)
{
	static const struct turn turns[] = {
	    {.answer = "HTTP/1.1 413 x\r\nContent-Length: 3\r\n\r\nbig"},
	    {.want = "GET /2", .answer = OK}};
	struct stream s = {.piece = 100, .pause_ms = 50};
	struct request q = {.method = "PUT",
	    .length = 1000,
	    .body_read = stream_read,
	    .ctx = &s};
	struct bench b;
	struct err e;

	bench_open(&b, turns, 2);
	q.url = b.server.url;
	CHECK(got(fetch(&b, &q, NULL, &e), "big"));
	CHECK(got(get(&b, "/2", NULL, &e), "ok"));
	CHECK(b.server.accepts == 2);
	CHECK(bench_close(&b));
}

/* A 100 that nobody asked for, in the middle of a body. */
static void
test_unasked_continue(void)
{
	char *body = alphabet(300000);
	struct stream s = {.piece = 65536};
	struct request q = {.method = "PUT",
	    .length = 300000,
	    .body_read = stream_read,
	    .ctx = &s};
	struct bench b;
	struct err e = {0};
	struct turn turn = {
	    .body = body, .answer = "HTTP/1.1 100 x\r\n\r\n" OK};

	bench_open(&b, &turn, 1);
	q.url = b.server.url;
	CHECK(got(fetch(&b, &q, NULL, &e), "ok"));
	CHECK(bench_close(&b));
	free(body);
}

/* Said in the answer: a POST that meets the end of a kept connection is one try. */
#define CLOSES "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

static void
test_retry(void)
{
	static const struct {
		const char *first;
		unsigned retries;
		unsigned status; /* of the last; 0: error */
		unsigned waits;
	} row[] = {
	    {"HTTP/1.1 503 Busy" CLOSES, 1, 200, 1},
	    {"HTTP/1.1 429 Slow" CLOSES, 1, 200, 1},
	    {"HTTP/1.1 502 x\r\nContent-Length: 9\r\n\r\ncut", 1, 200, 1},
	    {"", 1, 200, 1},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", 1, 200, 1},
	    {"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 0, 503, 0},
	    {"", 0, 0, 0},
	    {"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", 3, 404, 0},
	    {"HTTP/1.1 501 x" CLOSES, 1, 200, 1},
	    {"HTTP/1.1 525 x" CLOSES, 1, 200, 1},
	    {"HTTP/1.1 510 x\r\nContent-Length: 0\r\n\r\n", 3, 510, 0},
	    {"HTTP/1.1 404 x\r\nContent-Length: 9\r\n\r\ncut", 3, 404, 0},
	    {"HTTP/1.1 403 x\r\nContent-Encoding: br\r\n\r\n\1\2", 3, 403, 0},
	};

	for (size_t i = 0; i < countof(row); i++) {
		const struct turn turns[] = {
		    {.answer = row[i].first, .after = SCRIPT_CLOSE},
		    {.answer = OK},
		};
		struct buf text = buf_make(64);
		struct request q = {.method = "POST"};
		struct response *r;
		struct bench b;
		struct err e = {0};

		bench_open(&b, turns, row[i].waits ? 2 : 1);
		b.o.retries = row[i].retries;
		bench_options(&b);
		q.url = b.server.url;
		r = client_call(b.client, &q, &text, &e);
		CHECK_ROW(i, !r == !row[i].status);
		if (r)
			CHECK_ROW(i, response_head(r)->status == row[i].status);
		if (row[i].status == 200)
			CHECK_ROW(i, str_eq(buf_str(&text), "ok"));
		CHECK_ROW(i, r || e.kind == ERR_NET);
		CHECK_ROW(i, b.waits == row[i].waits);
		response_close(r);
		buf_release(&text);
		CHECK_ROW(i, bench_close(&b));
	}
}

/* What the server asks for is waited for. */
static void
test_retry_after(void)
{
	static const struct turn turns[] = {
	    {.answer = "HTTP/1.1 503 x\r\nRetry-After: 0\r\n"
		       "Content-Length: 0\r\n\r\n"},
	    {.answer = OK},
	};
	struct buf text = buf_make(64);
	struct request q = {.method = "GET"};
	struct bench b;
	struct err e;
	uint64_t start = wait_now();

	bench_open(&b, turns, 2);
	b.o.retries = 1;
	bench_options(&b);
	q.url = b.server.url;
	response_close(client_call(b.client, &q, &text, &e));
	CHECK(str_eq(buf_str(&text), "ok"));
	CHECK(wait_now() - start >= 1000);
	buf_release(&text);
	CHECK(bench_close(&b));
}

static void
test_text_limit(void)
{
	static const size_t max[] = {3, 4, 5, 6, 100};

	for (size_t i = 0; i < countof(max) * 2; i++) {
		const struct turn turn = {
		    .answer =
			i < countof(max)
			    ? "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
			    : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
			      "\r\n5\r\nhello\r\n0\r\n\r\n"};
		struct buf text = buf_make(max[i % countof(max)]);
		struct request q = {.method = "GET"};
		struct response *r;
		struct bench b;
		struct err e = {0};

		bench_open(&b, &turn, 1);
		q.url = b.server.url;
		r = client_call(b.client, &q, &text, &e);
		CHECK_ROW(i, !!r == (text.max >= 5));
		CHECK_ROW(i,
		    r ? str_eq(buf_str(&text), "hello") : e.kind == ERR_OTHER);
		response_close(r);
		buf_release(&text);
		CHECK_ROW(i, bench_close(&b));
	}
}

/* Answers too many interim, one way or the other. */
static void
test_endless(void)
{
	static const char *const unit[] = {
	    "HTTP/1.1 100 Continue\r\n\r\n",
	    "HTTP/1.1 103 x\r\nLink: y\r\n\r\n",
	    "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
	    "\r\n",
	    "HTTP/1.1 200 OK\r\nX: 1\r\nY: 2\r\nZ: 3",
	};
	static const char *const why[] = {"too many interim",
	    "too many interim", "larger than", "", "larger than"};

	for (size_t i = 0; i < countof(unit); i++) {
		const struct turn turn = {
		    .answer = unit[i], .times = 5000, .after = SCRIPT_CLOSE};
		struct bench b;
		struct err e = {0};

		bench_open(&b, &turn, 1);
		CHECK_ROW(i, !get(&b, "/", NULL, &e) && e.kind == ERR_NET);
		CHECK_ROW(i, strstr(e.msg, why[i]));
		CHECK_ROW(i, bench_close(&b));
	}
}

/* Silence before the answer, within its head, and within each body. */
static void
test_stall(void)
{
	static const char *const answer[] = {
	    "",
	    "HTTP/1.1 100 Continue\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nConte",
	    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
	    "HTTP/1.1 200 OK\r\n\r\nok",
	};

	for (size_t i = 0; i < countof(answer); i++) {
		const struct turn turn = {.answer = answer[i]};
		uint64_t start = wait_now();
		struct bench b;
		struct err e = {0};

		bench_open(&b, &turn, 1);
		b.o.answer_ms = b.o.stall_ms = 100;
		bench_options(&b);
		CHECK_ROW(i, !get(&b, "/", NULL, &e) && e.kind == ERR_NET);
		CHECK_ROW(i, strstr(e.msg, "for 1 s"));
		CHECK_ROW(i, wait_now() - start >= 100);
		CHECK_ROW(i, wait_now() - start < 3000);
		CHECK_ROW(i, bench_close(&b));
	}
}

/* A slow body that moves is none that stalls, but there are limits. */
static void
test_slow(void)
{
	static const struct {
		const char *head;
		size_t size, piece;
		const char *why; /* NULL: it comes through */
	} row[] = {
	    {"HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n\r\n", 16000, 40,
		NULL},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", 5000, 1,
		"too slow"},
	};

	for (size_t i = 0; i < countof(row); i++) {
		char *body = alphabet(row[i].size);
		char *answer = join(row[i].head, body);
		const struct turn turn = {
		    .answer = answer, .piece = row[i].piece};
		struct bench b;
		struct err e = {0};
		char *text;

		bench_open(&b, &turn, 1);
		b.o.stall_ms = 300;
		bench_options(&b);
		text = get(&b, "/", NULL, &e);
		CHECK_ROW(i, !text == !!row[i].why);
		CHECK_ROW(i, !text || strlen(text) == row[i].size);
		CHECK_ROW(i,
		    text || (e.kind == ERR_NET && strstr(e.msg, row[i].why)));
		free(text);
		CHECK_ROW(i, bench_close(&b));
		free(answer);
		free(body);
	}
}

/* A kept connection that has fallen silent: no second try in secret, which
 * would double the deadline. */
static void
test_silent_kept(void)
{
	static const struct turn turns[] = {{.answer = OK}, {.answer = ""}};
	struct bench b;
	struct err e = {0};

	bench_open(&b, turns, 2);
	b.o.answer_ms = 100;
	bench_options(&b);
	CHECK(got(get(&b, "/", NULL, &e), "ok"));
	CHECK(!get(&b, "/", NULL, &e) && e.kind == ERR_NET);
	CHECK(b.server.accepts == 1);
	CHECK(bench_close(&b));
}

/* Slow by the user's will is no slow server, and a slow server is one also
 * where the user has set a limit. */
static void
test_rate_below_floor(void)
{
	char *body = alphabet(400), *longer = alphabet(5000);
	char *answer =
	    join("HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n", body);
	char *chunks = join("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
			    "chunked\r\n\r\n190;some=long;ext=ension\r\n",
	    body);
	char *chunked = join(chunks, "\r\n0\r\nAn: answer\r\n\r\n");
	char *drips =
	    join("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", longer);
	const struct turn turns[] = {{.answer = answer}, {.answer = chunked},
	    {.answer = drips, .piece = 1}};
	struct bench b;
	struct err e;

	bench_open(&b, turns, 3);
	b.o.rate = 500;
	b.o.stall_ms = 100;
	bench_options(&b);
	CHECK(got(get(&b, "/", NULL, &e), body));
	CHECK(got(get(&b, "/", NULL, &e), body));
	b.o.rate = 1000000;
	b.o.stall_ms = 300;
	bench_options(&b);
	CHECK(!get(&b, "/", NULL, &e) && e.kind == ERR_NET);
	CHECK(strstr(e.msg, "too slow"));
	CHECK(bench_close(&b));
	free(answer);
	free(chunks);
	free(chunked);
	free(drips);
	free(longer);
	free(body);
}

static void
test_rate(void)
{
	char *body = alphabet(60000);
	char *answer =
	    join("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", body);
	struct turn turns[] = {
	    {.answer = answer}, {.body = body, .answer = OK}};
	struct request q = {.method = "PUT", .body = body, .length = 60000};
	uint64_t start;
	struct bench b;
	struct err e;

	bench_open(&b, turns, 2);
	b.o.rate = 200000;
	bench_options(&b);
	start = wait_now();
	CHECK(got(get(&b, "/", NULL, &e), body));
	q.url = b.server.url;
	CHECK(got(fetch(&b, &q, NULL, &e), "ok"));
	/* 120 kB, of which one eighth of a second is free. */
	CHECK(wait_now() - start >= 300);
	CHECK(bench_close(&b));
	free(answer);
	free(body);
}

/* The end of a body that only the end of the stream tells: over TLS it must
 * have been said. A length tells, too. */
static void
test_tls_end(void)
{
	static const struct {
		const char *answer;
		enum script_after after;
		bool ok;
	} row[] = {
	    {"HTTP/1.1 200 OK\r\n\r\nok", SCRIPT_CLOSE, true},
	    {"HTTP/1.1 200 OK\r\n\r\nok", SCRIPT_CUT, false},
	    {"HTTP/1.0 200 OK\r\n\r\nok", SCRIPT_CUT, false},
	    {OK, SCRIPT_CLOSE, true},
	    {OK, SCRIPT_CUT, true},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", SCRIPT_CLOSE,
		false},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", SCRIPT_CUT,
		false},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok"
	     "\r\n",
		SCRIPT_CLOSE, false},
	};

	for (size_t i = 0; i < countof(row); i++) {
		const struct turn turn = {
		    .answer = row[i].answer, .after = row[i].after};
		struct bench b;
		struct err e = {0};

		bench_open_as(&b, TLS, &turn, 1);
		CHECK_ROW(i, got(get(&b, "/", NULL, &e), "ok") == row[i].ok);
		CHECK_ROW(i, row[i].ok || e.kind == ERR_NET);
		CHECK_ROW(i, bench_close(&b));
	}
}

/* Kept connections and sessions of TLS; bytes behind an answer, which TLS has
 * read already, are never taken for the next answer. */
static void
test_tls_reuse(void)
{
	static const struct turn turns[] = {
	    {.want = "Authorization: Bearer secret", .answer = OK},
	    {.answer = OK OK},
	    {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		.after = SCRIPT_CLOSE},
	    {.answer = OK, .after = SCRIPT_CUT},
	    {.answer = OK},
	};
	struct bench b;
	struct err e;

	bench_open_as(&b, TLS, turns, countof(turns));
	for (size_t i = 0; i < countof(turns); i++) {
		CHECK_ROW(i, got(get(&b, "/", NULL, &e), "ok"));
		poll(NULL, 0, 20);
	}
	CHECK(b.server.accepts == 4);
	CHECK(b.server.resumed == 3);
	CHECK(bench_close(&b));
}

static void
test_tls_early_answer(void)
{
	static const struct turn turns[] = {
	    {.answer = "HTTP/1.1 413 x\r\nContent-Length: 3\r\n\r\nbig",
		.after = SCRIPT_CLOSE},
	    {.answer = "HTTP/1.1 413 x\r\nContent-Length: 3\r\n\r\nbig",
		.after = SCRIPT_CUT},
	};

	for (size_t i = 0; i < countof(turns); i++) {
		struct stream s = {.piece = 65536};
		struct request q = {.method = "PUT",
		    .length = (uint64_t)1 << 28,
		    .body_read = stream_read,
		    .ctx = &s};
		struct bench b;
		struct err e = {0};
		unsigned status = 0;

		bench_open_as(&b, TLS, &turns[i], 1);
		q.url = b.server.url;
		CHECK_ROW(i, got(fetch(&b, &q, &status, &e), "big"));
		CHECK_ROW(i, status == 413);
		CHECK_ROW(i, bench_close(&b));
	}
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

/* Who may say what time it is: the endpoint, over TLS, no later than its
 * certificate is good for. */
static void
test_date(void)
{
#define DATED(d) "HTTP/1.1 200 OK\r\nDate: " d "\r\nContent-Length: 2\r\n\r\nok"
	static const struct {
		int how;
		const char *endpoint, *answer;
		bool heard;
	} row[] = {
	    {TLS, NULL, DATED("Wed, 01 Jan 2110 00:00:00 GMT"), true},
	    {TLS, "https://hub.test", DATED("Wed, 01 Jan 2110 00:00:00 GMT"),
		false},
	    {PLAIN, NULL, DATED("Wed, 01 Jan 2110 00:00:00 GMT"), false},
	    {TLS, NULL, DATED("Mon, 01 Jan 2125 00:00:00 GMT"), false},
	    {TLS, NULL, DATED("tomorrow"), false},
	    {TLS, NULL, OK, false},
	};
	const uint64_t then = 4417977600, day = 86400; /* 2110-01-01 */

	for (size_t i = 0; i < countof(row); i++) {
		const struct turn turn = {.answer = row[i].answer};
		struct tls_trust *trust = NULL;
		struct bench b;
		struct err e;
		uint64_t t;

		bench_open_as(&b, row[i].how, &turn, 1);
		if (row[i].how == PLAIN)
			b.o.trust = trust = tls_trust_open();
		if (row[i].endpoint)
			b.o.endpoint = row[i].endpoint;
		bench_options(&b);
		CHECK_ROW(i, got(get(&b, "/", NULL, &e), "ok"));
		t = client_time(b.client);
		CHECK_ROW(i, (t >= then && t < then + day) == row[i].heard);
		CHECK_ROW(i, row[i].heard || t < then);
		CHECK_ROW(i, bench_close(&b));
		tls_trust_close(trust);
	}
#undef DATED
}

static void *
many_gets(void *arg)
{
	struct bench *b = arg;
	struct err e;
	size_t bad = 0;

	for (size_t i = 0; i < 20; i++)
		bad += !got(get(b, "/", NULL, &e), "ok");
	return bad ? arg : NULL;
}

/* Threads share a client. The server knows one connection at a time and takes
 * each new one for the end of the last, so each thread has its own. */
static void
test_threads(void)
{
	enum { THREADS = 4 };
	struct bench *b = calloc(THREADS, sizeof(*b));
	struct turn turns[20];
	struct client *own[THREADS];
	pthread_t id[THREADS];

	for (size_t i = 0; i < countof(turns); i++)
		turns[i] = (struct turn){.answer = OK};
	for (size_t i = 0; i < THREADS; i++) {
		bench_open(&b[i], turns, countof(turns));
		b[i].o.log = NULL; /* it is for one thread */
		bench_options(&b[i]);
		own[i] = b[i].client;
		b[i].client = own[0];
	}
	for (size_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&id[i], NULL, many_gets, &b[i]));
	for (size_t i = 0; i < THREADS; i++) {
		void *bad;

		pthread_join(id[i], &bad);
		CHECK_ROW(i, !bad && b[i].server.accepts == 1);
	}
	CHECK(client_received(own[0]) == THREADS * 40);
	for (size_t i = THREADS; i-- > 0;) {
		b[i].client = own[i];
		CHECK_ROW(i, bench_close(&b[i]));
	}
	free(b);
}

/* By address, so that they do not all share the frame of main(). */
static void (*const tests[])(void) = {
    test_read_sizes,
    test_fields,
    test_request_kinds,
    test_reuse,
    test_close_early,
    test_dead_kept,
    test_redirect_methods,
    test_redirect_loses,
    test_locations,
    test_redirect_limits,
    test_bearer,
    test_token,
    test_clear_text,
    test_refused_options,
    test_http_proxy,
    test_loopback_proxy,
    test_https_refused,
    test_log,
    test_check,
    test_stream,
    test_stream_fails,
    test_early_answer,
    test_answer_while_blocked,
    test_early_answer_spoils,
    test_unasked_continue,
    test_retry,
    test_retry_after,
    test_text_limit,
    test_endless,
    test_stall,
    test_slow,
    test_silent_kept,
    test_rate,
    test_rate_below_floor,
    test_threads,
    test_tls_end,
    test_tls_reuse,
    test_tls_early_answer,
    test_downgrade,
    test_tunnel,
    test_date,
};

int
main(void)
{
	test_framing(0);
	test_framing(1);
	for (size_t i = 0; i < countof(tests); i++)
		tests[i]();
	return test_end();
}
