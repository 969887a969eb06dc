#include "http.h"
#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

/* A head in memory of exactly its size. */
static int
parse(const char *text, struct http_head *h, char **copy)
{
	struct err e;
	size_t n = strlen(text);

	*copy = test_exact(text, n);
	return http_head_parse(str_make(*copy, n), h, &e);
}

static void
test_head(void)
{
	static const struct {
		const char *text;
		int rv;
		unsigned status;
	} t[] = {
	    {"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", 0, 200},
	    {"HTTP/1.1 200\r\n\r\n", 0, 200},
	    {"HTTP/1.0 404 \r\nX:\r\n\r\n", 0, 404},
	    {"HTTP/1.1 206 P\nA:b\nC:d\n\n", 0, 206},
	    {"HTTP/1.9 599 x\xe4\r\n\r\n", 0, 599},
	    {"", -1, 0},
	    {"\r\n\r\n", -1, 0},
	    {"HTTP/1.1 200 OK", -1, 0},
	    {"HTTP/1.1 99 OK\r\n\r\n", -1, 0},
	    {"HTTP/1.1 099 OK\r\n\r\n", -1, 0},
	    {"HTTP/1.1 600 OK\r\n\r\n", -1, 0},
	    {"HTTP/1.1 2000 OK\r\n\r\n", -1, 0},
	    {"HTTP/1.1  200 OK\r\n\r\n", -1, 0},
	    {"HTTP/1.1 20x OK\r\n\r\n", -1, 0},
	    {"HTTP/2.0 200 OK\r\n\r\n", -1, 0},
	    {"HTTP/1.x 200 OK\r\n\r\n", -1, 0},
	    {"http/1.1 200 OK\r\n\r\n", -1, 0},
	    {"ICY 200 OK......\r\n\r\n", -1, 0},
	    {"HTTP/1.1 200 O\x01K\r\n\r\n", -1, 0},
	    {"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", -1, 0},
	    {"HTTP/1.1 200 OK\r\n A: b\r\n\r\n", -1, 0},
	    {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", -1, 0},
	    {"HTTP/1.1 200 OK\r\n: b\r\n\r\n", -1, 0},
	    {"HTTP/1.1 200 OK\r\nA\r\n\r\n", -1, 0},
	    {"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", -1, 0},
	    {"HTTP/1.1 200 OK\r\nA: \x7f\r\n\r\n", -1, 0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct http_head h;
		char *copy;

		CHECK_ROW(i, parse(t[i].text, &h, &copy) == t[i].rv);
		CHECK_ROW(i, t[i].rv < 0 || h.status == t[i].status);
		free(copy);
	}
}

/* The end of a head is found at every cut, and never earlier. */
static void
test_length(void)
{
	static const struct {
		const char *text;
		size_t head;
	} t[] = {{"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\r\n\r\n", 25},
	    {"a\n\nb\n\n", 3}, {"a\r\n\nb", 4}, {"a\n\r\nb", 4},
	    {"a\r\nb\r\nc", 0}, {"\r\r\n\r", 0}};

	for (size_t i = 0; i < countof(t); i++)
		for (size_t cut = 0; cut <= strlen(t[i].text); cut++) {
			struct str all = str_of(t[i].text);
			size_t n = http_head_length(str_make(all.s, cut), 0);

			CHECK_ROW(
			    i, n == (t[i].head && cut >= t[i].head ? t[i].head
								   : 0));
			CHECK_ROW(
			    i, n || http_head_length(all, cut) == t[i].head);
		}
}

static void
test_limits(void)
{
	struct buf b = buf_make(1 << 20);
	struct http_head h;
	struct err e;

	buf_puts(&b, "HTTP/1.1 200 OK\r\n");
	for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++)
		buf_printf(&b, "A%u: b\r\n", i);
	size_t n = b.len;

	buf_puts(&b, "\r\n");
	CHECK(http_head_parse(buf_str(&b), &h, &e) == 0);
	buf_drop(&b, 0);
	b.len = n;
	buf_puts(&b, "More: x\r\n\r\n");
	CHECK(http_head_parse(buf_str(&b), &h, &e) < 0);
	buf_clear(&b);
	buf_puts(&b, "HTTP/1.1 200 OK\r\nA: ");
	for (unsigned i = 0; i < HTTP_LINE_MAX; i++)
		buf_putc(&b, 'x');
	buf_puts(&b, "\r\n\r\n");
	CHECK(http_head_parse(buf_str(&b), &h, &e) < 0);
	CHECK(e.kind == ERR_NET);
	buf_clear(&b);
	buf_puts(&b, "HTTP/1.1 200 OK\r\n");
	while (b.len < HTTP_HEAD_MAX - 2) {
		buf_puts(&b, "A: ");
		while (b.len < HTTP_HEAD_MAX - 4 && b.len % 8000)
			buf_putc(&b, 'x');
		buf_puts(&b, "\r\n");
	}
	buf_puts(&b, "\r\n");
	CHECK(b.len == HTTP_HEAD_MAX);
	CHECK(http_head_parse(buf_str(&b), &h, &e) == 0);
	buf_puts(&b, "x");
	CHECK(http_head_parse(buf_str(&b), &h, &e) < 0);
	buf_release(&b);
}

static void
test_framing(void)
{
	static const struct {
		const char *text;
		bool head;
		int rv;
		enum http_framing framing;
		uint64_t length;
	} t[] = {
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 0, 0, HTTP_LENGTH,
		5},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 1, 0, HTTP_EMPTY,
		5},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: "
	     "5\r\n\r\n",
		0, 0, HTTP_LENGTH, 5},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", 0, 0,
		HTTP_LENGTH, 5},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", 0, 0,
		HTTP_CHUNKED, 0},
	    {"HTTP/1.1 200 OK\r\n\r\n", 0, 0, HTTP_TO_CLOSE, 0},
	    {"HTTP/1.1 204 No\r\n\r\n", 0, 0, HTTP_EMPTY, 0},
	    {"HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n", 0, 0, HTTP_EMPTY,
		7},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: "
	     "6\r\n\r\n",
		0, -1, 0, 0},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n", 0, -1, 0, 0},
	    {"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", 0, -1, 0, 0},
	    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 0, -1, 0, 0},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n", 0, -1, 0, 0},
	    {"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", 0, -1, 0, 0},
	    {"HTTP/1.1 200 OK\r\nContent-Length: "
	     "9223372036854775808\r\n\r\n",
		0, -1, 0, 0},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: "
	     "chunked\r\n\r\n",
		0, -1, 0, 0},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 0,
		-1, 0, 0},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n"
	     "transfer-encoding: gzip\r\n\r\n",
		0, -1, 0, 0},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	     "Transfer-Encoding: chunked\r\n\r\n",
		0, -1, 0, 0},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n", 0, -1, 0, 0},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n", 0, -1, 0,
		0},
	    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, -1, 0,
		0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		enum http_framing framing;
		uint64_t length;
		struct http_head h;
		struct err e;
		char *copy;

		CHECK_ROW(i, parse(t[i].text, &h, &copy) == 0);
		CHECK_ROW(i, http_framing(&h, t[i].head, &framing, &length,
				 &e) == t[i].rv);
		if (t[i].rv == 0)
			CHECK_ROW(i,
			    framing == t[i].framing && length == t[i].length);
		free(copy);
	}
}

static void
test_fields(void)
{
	struct http_head h;
	struct str v;
	char *copy;
	uint64_t r, s;

	CHECK(parse("HTTP/1.1 429 Too Many\r\n"
		    "X-Linked-ETag: \"ab\"\r\nx-linked-etag: 2\r\n"
		    "Content-Type: Application/JSON ; charset=utf-8\r\n"
		    "RateLimit: \"api\" ; r = 0 ; t=55\r\n"
		    "Retry-After: 120\r\nContent-Encoding: gzip\r\n"
		    "Link: <https://a/x>; rel=\"xet-auth\", "
		    "<https://a/y,z>; title=\"a,b;c\"; rel=\"prev next\"\r\n"
		    "Connection: x, Close\r\n\r\n",
		  &h, &copy) == 0);
	CHECK(http_get(&h, "X-LINKED-ETAG", &v) && str_eq(v, "\"ab\""));
	CHECK(!http_get(&h, "X-Linked", &v));
	CHECK(http_type_is(&h, "application/json"));
	CHECK(!http_type_is(&h, "text/html"));
	CHECK(http_is_encoded(&h));
	CHECK(http_ratelimit(&h, &r, &s) == 0 && r == 0 && s == 55);
	CHECK(http_asked_wait(&h) == 56);
	h.status = 503;
	CHECK(http_asked_wait(&h) == 121);
	CHECK(http_link(&h, "xet-auth", &v) && str_eq(v, "https://a/x"));
	CHECK(http_link(&h, "next", &v) && str_eq(v, "https://a/y,z"));
	CHECK(!http_link(&h, "last", &v));
	CHECK(!http_keeps_alive(&h));
	free(copy);
	CHECK(parse("HTTP/1.1 429 x\r\nRateLimit: \"api\";r=3;t=55\r\n"
		    "Link: https://a/x; rel=next\r\n\r\n",
		  &h, &copy) == 0);
	CHECK(http_asked_wait(&h) == 0);
	CHECK(!http_link(&h, "next", &v));
	CHECK(http_keeps_alive(&h) && !http_is_encoded(&h));
	free(copy);
	CHECK(parse("HTTP/1.0 503 x\r\nRetry-After: Fri, 31 Dec\r\n"
		    "RateLimit: r=0;t=5\r\nLink: <a>;rel=next,<b>\r\n\r\n",
		  &h, &copy) == 0);
	CHECK(http_asked_wait(&h) == 0);
	CHECK(http_link(&h, "next", &v) && str_eq(v, "a"));
	CHECK(!http_keeps_alive(&h));
	free(copy);
	CHECK(parse("HTTP/1.1 200 x\r\nContent-Encoding: identity\r\n"
		    "Content-Encoding: br\r\nConnection:\r\n"
		    "Content-Type: text\r\n\r\n",
		  &h, &copy) == 0);
	CHECK(http_is_encoded(&h) && http_keeps_alive(&h));
	CHECK(http_type_is(&h, "text") && !http_type_is(&h, "text/"));
	CHECK(http_asked_wait(&h) == 0);
	free(copy);
	CHECK(parse("HTTP/1.1 503 x\r\nRetry-After: 99999999\r\n\r\n", &h,
		  &copy) == 0);
	CHECK(http_asked_wait(&h) == 3599);
	CHECK(!http_type_is(&h, "") && !http_is_encoded(&h));
	free(copy);
	CHECK(parse("HTTP/1.1 503 x\r\nRetry-After: 3600\r\n\r\n", &h, &copy) ==
	      0);
	CHECK(http_asked_wait(&h) == 3599);
	free(copy);
	CHECK(parse("HTTP/1.1 503 x\r\nRetry-After: 3598\r\n\r\n", &h, &copy) ==
	      0);
	CHECK(http_asked_wait(&h) == 3599);
	free(copy);
}

static void
test_transient(void)
{
	static const struct {
		unsigned first, last;
	} t[] = {{408, 408}, {429, 429}, {500, 509}, {520, 530}, {598, 599}};

	for (unsigned status = 100; status < 600; status++) {
		bool wanted = false;

		for (size_t i = 0; i < countof(t); i++)
			wanted = wanted ||
				 (status >= t[i].first && status <= t[i].last);
		CHECK_ROW(status, http_status_transient(status) == wanted);
	}
}

#define DATED "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define AFTER "Retry-After: Sun, 06 Nov 1994 "

static void
test_retry_after(void)
{
	static const struct {
		const char *fields;
		uint64_t came;
		unsigned wait;
	} t[] = {
	    {"Retry-After: 7\r\n", 0, 8},
	    {AFTER "08:49:57 GMT\r\n" DATED, 0, 21},
	    {DATED AFTER "08:49:57 GMT\r\n", 1, 21},
	    {DATED AFTER "08:49:37 GMT\r\n", 0, 0},
	    {DATED AFTER "08:49:36 GMT\r\n", 0, 0},
	    {DATED AFTER "09:49:36 GMT\r\n", 0, 3599},
	    {DATED AFTER "23:49:36 GMT\r\n", 0, 3599},
	    {DATED "Retry-After: Sun, 06 Nov 9999 08:49:37 GMT\r\n", 0, 3599},
	    /* Without the server's clock, by ours. */
	    {AFTER "08:49:57 GMT\r\n", 784111777, 21},
	    {AFTER "08:49:57 GMT\r\n", 784111797, 0},
	    {AFTER "08:49:57 GMT\r\n", 0, 0},
	    {"Date: now\r\n" AFTER "08:49:57 GMT\r\n", 784111777, 21},
	    {DATED AFTER "08:49:57\r\n", 0, 0},
	    {DATED "Retry-After: -5\r\n", 0, 0},
	    {DATED "Retry-After:\r\n", 0, 0},
	    {DATED, 0, 0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf b = buf_make(1000);
		struct http_head h;
		char *copy;

		buf_printf(&b, "HTTP/1.1 503 x\r\n%s\r\n", t[i].fields);
		CHECK_ROW(i, parse(buf_cstr(&b), &h, &copy) == 0);
		h.came = t[i].came;
		CHECK_ROW(i, http_asked_wait(&h) == t[i].wait);
		free(copy);
		buf_release(&b);
	}
}

/* Every reader of fields, on a head that ends anywhere. */
static void
test_cut(void)
{
	static const char whole[] =
	    "HTTP/1.1 206 Partial Content\r\nLink: <https://a/b>; rel=\"next\""
	    "\r\nRateLimit: \"api\";r=0;t=55\r\nConnection: close, x\r\n"
	    "Content-Range: bytes 0-99/1234\r\nContent-Length: 100\r\n"
	    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

	for (size_t n = 0; n < sizeof(whole); n++) {
		char *copy = test_exact(whole, n);
		enum http_framing framing;
		struct http_head h;
		struct err e;
		struct str v;
		uint64_t a, b, c;

		CHECK_ROW(n, n >= sizeof(whole) - 1 ||
				 !http_head_length(str_make(copy, n), 0));
		if (http_head_parse(str_make(copy, n), &h, &e) == 0) {
			if (http_link(&h, "next", &v))
				CHECK_ROW(n, str_eq(v, "https://a/b"));
			if (http_ratelimit(&h, &a, &b) == 0)
				CHECK_ROW(n, a == 0 && b == 55);
			if (http_get(&h, "content-range", &v))
				CHECK_ROW(
				    n, http_content_range(v, &a, &b, &c) == 0);
			if (http_get(&h, "date", &v))
				CHECK_ROW(n, http_date(v, &a) == 0);
			CHECK_ROW(
			    n, http_framing(&h, false, &framing, &a, &e) == 0 &&
				   (framing == HTTP_TO_CLOSE || a == 100));
			http_keeps_alive(&h);
		}
		free(copy);
	}
}

/* Link and RateLimit fields that nobody should send. */
static void
test_broken_fields(void)
{
	static const char *const link[] = {"", "<", "<a", "<a>", "<a>;",
	    "<a>; rel", "<a>; rel=", "<a>; rel=\"next", "<a>; rel=nex",
	    "<a>; rel=nextx", "<a>; rel=xnext\"", "<a>; rel=\"",
	    "<a>; rel=\"\"", "<a>, rel=next", "a; rel=next", "<a> rel=next",
	    "<a>; title=\"; rel=next\"", "<a>; xrel=next", ">a<; rel=next"};
	static const char *const limit[] = {"", "r=0;t=5", "\"api\"",
	    "\"api\";r=0", "\"api\";t=5", "\"api\";r=;t=5", "\"api\";r=-1;t=5",
	    "\"api\";r=0;t=x", "\"api\";R=0;T=5", "\"api\",r=0;t=5",
	    "\"api\";r=0,t=5", "\"api\";r=99999999999999999999;t=5"};

	for (size_t i = 0; i < countof(link) + countof(limit); i++) {
		struct buf b = buf_make(256);
		struct http_head h;
		struct err e;
		struct str v;
		uint64_t r, t;

		if (i < countof(link))
			buf_printf(
			    &b, "HTTP/1.1 429 x\r\nLink: %s\r\n\r\n", link[i]);
		else
			buf_printf(&b,
			    "HTTP/1.1 429 x\r\nRateLimit: %s\r\n\r\n",
			    limit[i - countof(link)]);
		CHECK_ROW(i, http_head_parse(buf_str(&b), &h, &e) == 0);
		CHECK_ROW(i, !http_link(&h, "next", &v));
		CHECK_ROW(i, http_ratelimit(&h, &r, &t) < 0);
		CHECK_ROW(i, http_asked_wait(&h) == 0);
		buf_release(&b);
	}
}

static void
test_content_range(void)
{
	static const struct {
		const char *text;
		int rv;
		uint64_t first, last, total;
	} t[] = {
	    {"bytes 0-99/1234", 0, 0, 99, 1234},
	    {"Bytes 5-5/*", 0, 5, 5, UINT64_MAX},
	    {"bytes 0-0/1", 0, 0, 0, 1},
	    {"bytes 0-99/99", -1, 0, 0, 0},
	    {"bytes 9-5/99", -1, 0, 0, 0},
	    {"bytes */1234", -1, 0, 0, 0},
	    {"bytes=0-99/1234", -1, 0, 0, 0},
	    {"bytes 0-99", -1, 0, 0, 0},
	    {"bytes -99/100", -1, 0, 0, 0},
	    {"bytes 0-/100", -1, 0, 0, 0},
	    {"bytes 0-99/", -1, 0, 0, 0},
	    {"bytes 0-99/9223372036854775808", -1, 0, 0, 0},
	    {"items 0-99/1234", -1, 0, 0, 0},
	    {"", -1, 0, 0, 0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		uint64_t a, b, c;

		CHECK_ROW(i, http_content_range(
				 str_of(t[i].text), &a, &b, &c) == t[i].rv);
		if (t[i].rv == 0)
			CHECK_ROW(i, a == t[i].first && b == t[i].last &&
					 c == t[i].total);
	}
}

static void
test_date(void)
{
	static const struct {
		const char *text;
		int rv;
		uint64_t seconds;
	} t[] = {
	    {"Sun, 06 Nov 1994 08:49:37 GMT", 0, 784111777},
	    {"Thu, 01 Jan 1970 00:00:00 GMT", 0, 0},
	    {"Tue, 29 Feb 2028 23:59:59 GMT", 0, 1835481599},
	    {"Sun, 06 Nov 1994 08:49:37 UTC", -1, 0},
	    {"Sunday, 06-Nov-94 08:49:37 GMT", -1, 0},
	    {"Sun Nov  6 08:49:37 1994", -1, 0},
	    {"Sun; 06 Nov 1994 08:49:37 GMT", -1, 0},
	    {"Sun, 06-Nov 1994 08:49:37 GMT", -1, 0},
	    {"Sun, 06 Nov-1994 08:49:37 GMT", -1, 0},
	    {"Sun, 06 Nov 1994T08:49:37 GMT", -1, 0},
	    {"Sun, 06 Nov 1994 08.49:37 GMT", -1, 0},
	    {"Sun, 06 Nov 1994 08:49.37 GMT", -1, 0},
	    {"Sun, 06 nov 1994 08:49:37 GMT", -1, 0},
	    {"Sun, 00 Nov 1994 08:49:37 GMT", -1, 0},
	    {"Sun, 06 Nov 1969 08:49:37 GMT", -1, 0},
	    {"Sun, 06 Nov 1994 24:49:37 GMT", -1, 0},
	    {"Sun, 06 Nov 1994 08:49:37 GMT ", -1, 0},
	    {"", -1, 0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		uint64_t s = 0;

		CHECK_ROW(i, http_date(str_of(t[i].text), &s) == t[i].rv);
		CHECK_ROW(i, s == t[i].seconds);
	}
}

/* Feeds in, cut in two at cut, each piece in memory of exactly its size. */
static int
decode(const char *in, size_t n, size_t cut, struct buf *out, size_t *used_all)
{
	struct http_chunks c = {0};
	size_t part[2] = {cut, n - cut};
	int rv = 0;

	*used_all = 0;
	for (unsigned i = 0; i < 2 && rv == 0; i++) {
		char *copy = test_exact(in + (i ? cut : 0), part[i]);
		size_t at = 0;

		do {
			const char *data;
			size_t used, length;
			struct err e;

			rv = http_chunks_feed(&c, copy + at, part[i] - at,
			    &used, &data, &length, &e);
			buf_add(out, data, rv < 0 ? 0 : length);
			at += used;
		} while (rv == 0 && at < part[i]);
		*used_all += at;
		free(copy);
	}
	return rv;
}

static void
test_chunks(void)
{
	static const struct {
		const char *in, *out;
		int rv; /* 1: complete, 0: there is more to come, -1: bad */
		size_t rest; /* bytes that belong to what follows */
	} t[] = {
	    {"0\r\n\r\n", "", 1, 0},
	    {"3\r\nabc\r\n0\r\n\r\nHTTP", "abc", 1, 4},
	    {"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", "abc0123456789", 1,
		0},
	    {"1 \r\na\r\n00\r\nT: v\r\nU: w\r\n\r\n", "a", 1, 0},
	    {"1\na\n0\n\nx", "a", 1, 1},
	    {"fF\r\n", "", 0, 0},
	    {"3\r\nabc\r\n", "abc", 0, 0},
	    {"3\r\nab", "ab", 0, 0},
	    {"", "", 0, 0},
	    {"0\r\nT: v\r\n", "", 0, 0},
	    {"g\r\n", "", -1, 0},
	    {"\r\n", "", -1, 0},
	    {" 1\r\n", "", -1, 0},
	    {"-1\r\n", "", -1, 0},
	    {"3\r\nabcd\r\n", "abc", -1, 0},
	    {"3\r\nabc\rd", "abc", -1, 0},
	    {"1000000000000000\r\n", "", -1, 0},
	    {"0x1\r\n", "", -1, 0},
	    {"1\rx\na\r\n0\r\n\r\n", "", -1, 0},
	    {"1;x\r\r\na\r\n0\r\n\r\n", "", -1, 0},
	    {"0\r\n\rx", "", -1, 0},
	};

	for (size_t i = 0; i < countof(t); i++)
		for (size_t cut = 0; cut <= strlen(t[i].in); cut++) {
			struct buf out = buf_make(64);
			size_t n = strlen(t[i].in), used;
			int rv = decode(t[i].in, n, cut, &out, &used);

			CHECK_ROW(i, rv == t[i].rv);
			CHECK_ROW(i, str_eq(buf_str(&out), t[i].out));
			CHECK_ROW(i, rv < 1 || used == n - t[i].rest);
			buf_release(&out);
		}
}

/* The smallest chunks, without end: what belongs to each does not add up. */
static void
test_many_chunks(void)
{
	static const char chunk[] = "1\r\na\r\n";
	struct http_chunks c = {0};
	size_t bytes = 0;

	for (unsigned i = 0; i < 20000; i++)
		for (size_t at = 0, used; at < sizeof(chunk) - 1; at += used) {
			size_t length = 0;
			const char *data;
			struct err e;

			if (http_chunks_feed(&c, chunk + at,
				sizeof(chunk) - 1 - at, &used, &data, &length,
				&e) != 0)
				break;
			bytes += length;
		}
	CHECK(bytes == 20000);
}

static void
test_endless_chunks(void)
{
	static const char *const begin[] = {"1;", "0\r\n", "0\r\nA: "};

	for (size_t i = 0; i < countof(begin); i++) {
		struct http_chunks c = {0};
		size_t used, length, n = 0;
		const char *data;
		struct err e;
		int rv = http_chunks_feed(
		    &c, begin[i], strlen(begin[i]), &used, &data, &length, &e);

		for (; rv == 0 && n < 100000; n++)
			rv = http_chunks_feed(
			    &c, "x", 1, &used, &data, &length, &e);
		CHECK_ROW(i, rv < 0 && n < 20000);
	}
}

/* --- Requests. --- */

static unsigned
request(const char *text, size_t n, struct http_request *r, char **copy)
{
	*copy = test_exact(text, n);
	return http_request_parse(str_make(*copy, n), r);
}

static void
test_request(void)
{
	static const struct {
		const char *text;
		unsigned status;
		const char *target, *host;
	} t[] = {
	    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/", "a"},
	    {"GET /a?b=c HTTP/1.1\r\nhost: a:80\r\n\r\n", 0, "/a?b=c", "a:80"},
	    {"HEAD /x%2Fy HTTP/1.1\r\nHost: [::1]:9\r\n\r\n", 0, "/x%2Fy",
		"[::1]:9"},
	    {"GET / HTTP/1.0\r\n\r\n", 0, "/", ""},
	    {"GET /.. HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/..", "a"},
	    {"GET //a HTTP/1.1\r\nHost: a\r\n\r\n", 0, "//a", "a"},
	    /* The absolute form: its host counts. */
	    {"GET http://b:1/c HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/c", "b:1"},
	    {"GET HTTPS://b/c HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/c", "b"},
	    {"GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET http:/b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET file:///b HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {" / HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET /\r\n\r\n", 400, 0, 0},
	    {"GET / http/1.1\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET / HTTP/1.11\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, 0, 0},
	    {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, 0, 0},
	    /* One host. */
	    {"GET / HTTP/1.1\r\n\r\n", 400, 0, 0},
	    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, 0, 0},
	    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, 0, 0},
	    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, 0, 0},
	    {"GET / HTTP/1.1\r\nHost: a>b\r\n\r\n", 400, 0, 0},
	    /* Lines that another reader could cut elsewhere. */
	    {"GET / HTTP/1.1\nHost: a\n\n", 400, 0, 0},
	    {"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400, 0, 0},
	    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, 0, 0},
	    {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400, 0, 0},
	    {"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400, 0, 0},
	    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, 0, 0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct http_request r;
		size_t n = strlen(t[i].text);
		char *copy;

		CHECK_ROW(i, request(t[i].text, n, &r, &copy) == t[i].status);
		CHECK_ROW(i, t[i].status || str_eq(r.target, t[i].target));
		CHECK_ROW(i, t[i].status || str_eq(r.host, t[i].host));
		free(copy);
		/* A head that is cut is none, wherever. */
		for (size_t cut = 0; cut < n; cut++) {
			copy = test_exact(t[i].text, cut);
			CHECK_ROW(
			    i, !http_head_length(str_make(copy, cut), 0) ||
				   t[i].status);
			(void)http_request_parse(str_make(copy, cut), &r);
			free(copy);
		}
	}
}

static void
test_request_limits(void)
{
	struct buf b = buf_make(1 << 20);
	struct http_request r;

	buf_puts(&b, "GET /");
	while (b.len < HTTP_TARGET_MAX - strlen(" HTTP/1.1"))
		buf_putc(&b, 'x');
	buf_puts(&b, " HTTP/1.1\r\nHost: a\r\n\r\n");
	CHECK(http_request_parse(buf_str(&b), &r) == 0);
	buf_clear(&b);
	buf_puts(&b, "GET /");
	while (b.len < HTTP_TARGET_MAX)
		buf_putc(&b, 'x');
	buf_puts(&b, " HTTP/1.1\r\nHost: a\r\n\r\n");
	CHECK(http_request_parse(buf_str(&b), &r) == 414);
	buf_clear(&b);
	buf_puts(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (unsigned i = 0; b.len < HTTP_REQUEST_MAX; i++)
		buf_printf(&b, "A%u: %0100u\r\n", i, 0u);
	buf_puts(&b, "\r\n");
	CHECK(http_request_parse(buf_str(&b), &r) == 431);
	buf_release(&b);
}

static void
test_request_length(void)
{
	static const struct {
		const char *fields;
		unsigned status;
		uint64_t length;
	} t[] = {
	    {"", 0, 0},
	    {"Content-Length: 0\r\n", 0, 0},
	    {"Content-Length: 12\r\n", 0, 12},
	    {"Content-Length: 12\r\nContent-Length: 12\r\n", 0, 12},
	    {"Content-Length: 12, 12\r\n", 0, 12},
	    {"Content-Length: 12\r\nContent-Length: 13\r\n", 400, 0},
	    {"Content-Length: +12\r\n", 400, 0},
	    {"Content-Length: -1\r\n", 400, 0},
	    {"Content-Length: 0x1\r\n", 400, 0},
	    {"Content-Length: 99999999999999999999\r\n", 400, 0},
	    {"Transfer-Encoding: chunked\r\n", 411, 0},
	    {"Transfer-Encoding: gzip, chunked\r\n", 400, 0},
	    {"Transfer-Encoding: xchunked\r\n", 400, 0},
	    {"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400, 0},
	    {"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", 400, 0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf b = buf_make(1024);
		struct http_request r;
		uint64_t length = 0;

		buf_printf(
		    &b, "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", t[i].fields);
		CHECK_ROW(i, http_request_parse(buf_str(&b), &r) == 0);
		CHECK_ROW(i, http_request_length(&r, &length) == t[i].status);
		CHECK_ROW(i, t[i].status || length == t[i].length);
		buf_release(&b);
	}
}

static void
test_range(void)
{
	static const struct {
		const char *value;
		uint64_t size;
		int rv;
		uint64_t first, last;
	} t[] = {
	    {"bytes=0-0", 10, 1, 0, 0},
	    {"bytes=0-9", 10, 1, 0, 9},
	    {"bytes=0-10", 10, 1, 0, 9},
	    {"bytes=3-", 10, 1, 3, 9},
	    {"Bytes= 3-5 ", 10, 1, 3, 5},
	    {"bytes=-3", 10, 1, 7, 9},
	    {"bytes=-99", 10, 1, 0, 9},
	    {"bytes=9-99999999999999999999999", 10, 1, 9, 9},
	    {"bytes=-99999999999999999999999", 10, 1, 0, 9},
	    {"bytes=10-", 10, -1, 0, 0},
	    {"bytes=99999999999999999999-", 10, -1, 0, 0},
	    {"bytes=-0", 10, -1, 0, 0},
	    {"bytes=0-", 0, -1, 0, 0},
	    {"bytes=-1", 0, -1, 0, 0},
	    /* All of it is sent. */
	    {"bytes=0-1,3-4", 10, 0, 0, 0},
	    {"bytes=5-4", 10, 0, 0, 0},
	    {"bytes=-", 10, 0, 0, 0},
	    {"bytes=", 10, 0, 0, 0},
	    {"bytes", 10, 0, 0, 0},
	    {"", 10, 0, 0, 0},
	    {"bytes=a-b", 10, 0, 0, 0},
	    {"bytes=1-2x", 10, 0, 0, 0},
	    {"bytes=+1-2", 10, 0, 0, 0},
	    {"bytes=--1", 10, 0, 0, 0},
	    {"lines=0-1", 10, 0, 0, 0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		uint64_t first = 0, last = 0;
		int rv =
		    http_range(str_of(t[i].value), t[i].size, &first, &last);

		CHECK_ROW(i, rv == t[i].rv);
		CHECK_ROW(i, rv < 1 || first == t[i].first);
		CHECK_ROW(i, rv < 1 || last == t[i].last);
	}
}

static void
test_etag(void)
{
	static const struct {
		const char *list;
		bool listed;
	} t[] = {{"\"abc\"", true}, {"W/\"abc\"", true}, {"*", true},
	    {"\"x\", \"abc\"", true}, {"\"x\",W/\"abc\" ,\"y\"", true},
	    {"abc", false}, {"\"abcd\"", false}, {"\"ab\"", false}, {"", false},
	    {"\"\"", false}, {"\"abc", false}, {"w/\"abc\"", false}};

	for (size_t i = 0; i < countof(t); i++)
		CHECK_ROW(i,
		    http_etag_listed(str_of(t[i].list), "abc") == t[i].listed);
}

static void
test_put_date(void)
{
	static const char *const t[] = {"Thu, 01 Jan 1970 00:00:00 GMT",
	    "Sun, 06 Nov 1994 08:49:37 GMT", "Thu, 29 Feb 2024 23:59:59 GMT"};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf b = buf_make(64);
		uint64_t seconds = 1;

		CHECK_ROW(i, http_date(str_of(t[i]), &seconds) == 0);
		http_put_date(&b, (int64_t)seconds);
		CHECK_ROW(i, str_eq(buf_str(&b), t[i]));
		buf_release(&b);
	}
}

int
main(void)
{
	test_head();
	test_length();
	test_limits();
	test_framing();
	test_fields();
	test_cut();
	test_broken_fields();
	test_content_range();
	test_date();
	test_chunks();
	test_many_chunks();
	test_endless_chunks();
	test_transient();
	test_retry_after();
	test_request();
	test_request_limits();
	test_request_length();
	test_range();
	test_etag();
	test_put_date();
	return test_end();
}
