/* How long a client waits, how often it tries, and how fast it may be. */

#include "tests/unit/client_bench.h"

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

/* By address, so that they do not all share the frame of main(). */
static void (*const tests[])(void) = {
    test_retry,
    test_retry_after,
    test_endless,
    test_stall,
    test_slow,
    test_silent_kept,
    test_rate,
    test_rate_below_floor,
};

int
main(void)
{
	for (size_t i = 0; i < countof(tests); i++)
		tests[i]();
	return test_end();
}
