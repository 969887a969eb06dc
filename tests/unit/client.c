/* Requests, answers and their bodies, and the connections that are kept. */

#include "tests/unit/client_bench.h"

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

/* By address, so that they do not all share the frame of main(). */
static void (*const tests[])(void) = {
    test_read_sizes,
    test_fields,
    test_request_kinds,
    test_reuse,
    test_close_early,
    test_dead_kept,
    test_refused_options,
    test_log,
    test_check,
    test_stream,
    test_stream_fails,
    test_early_answer,
    test_answer_while_blocked,
    test_early_answer_spoils,
    test_unasked_continue,
    test_text_limit,
    test_threads,
    test_tls_end,
    test_tls_reuse,
    test_tls_early_answer,
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
