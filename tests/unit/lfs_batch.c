#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

/* Two objects that are asked for. */
static void
make_two(struct lfs_asked two[2])
{
	memset(two, 0, 2 * sizeof(two[0]));
	CHECK(!digest_parse(str_of(A), &two[0].digest));
	CHECK(!digest_parse(str_of(B), &two[1].digest));
	two[0].size = 25;
	two[1].size = 7;
}

static void
test_ask(void)
{
	struct buf b = buf_make(4096);
	struct lfs_asked two[2];

	make_two(two);
	two[1].size = UINT64_MAX;
	lfs_batch_put(&b, "a\"b", false, two, 2);
	CHECK(str_eq(buf_str(&b),
	    "{\"operation\":\"upload\",\"transfers\":[\"basic\",\"multipart\"],"
	    "\"hash_algo\":\"sha256\",\"ref\":{\"name\":\"a\\\"b\"},"
	    "\"objects\":[{\"oid\":\"" A "\",\"size\":25},"
	    "{\"oid\":\"" B "\",\"size\":18446744073709551615}]}"));
	buf_clear(&b);
	lfs_batch_put(&b, NULL, true, two, 0);
	CHECK(!strstr(b.s, "ref") && strstr(b.s, "\"objects\":[]}"));
	CHECK(strstr(b.s, "[\"basic\",\"multipart\",\"xet\"]"));
	buf_release(&b);
}

static void
note(struct buf *b, struct lfs_asked *a)
{
	buf_printf(b, "%x:", a->digest.b[0]);
	if (!a->answered)
		CHECK(a->action == LFS_ERROR && a->why.kind == ERR_CONTENT &&
		      strstr(a->why.msg, "not mention"));
	if (a->action == LFS_STORED)
		buf_puts(b, "stored");
	if (a->action == LFS_XET)
		buf_puts(b, "xet");
	if (a->action == LFS_ERROR)
		buf_printf(b, "error %d", (int)a->why.kind);
	for (size_t i = 0; i < a->m.count; i++)
		buf_printf(b, "%s%s", i ? "," : "", a->m.url[i]);
	if (a->m.complete)
		buf_printf(b, ">%s", a->m.complete);
	if (a->m.verify)
		buf_printf(b, "?%s", a->m.verify);
	buf_putc(b, ' ');
	multipart_release(&a->m);
}

/* What the objects that are in the answer became, in short. */
static int
parse(struct str text, struct buf *b, struct err *e)
{
	struct lfs_asked two[2];
	int rv;

	make_two(two);
	rv = lfs_batch_parse(text, true, two, 2, e);
	for (size_t i = 0; i < 2; i++) {
		bool there = two[i].answered;

		if (rv < 0)
			CHECK(!there && !two[i].m.count);
		if (there)
			note(b, &two[i]);
		else if (rv == 0)
			note(&(struct buf){.max = 0}, &two[i]);
	}
	return rv;
}

#define OBJECT(oid, rest) "{\"objects\":[{\"oid\":\"" oid "\"" rest "}]}"
#define UPLOAD(rest) \
	OBJECT(A, ",\"size\":25,\"actions\":{\"upload\":{" rest "}}")
#define PARTS(rest) UPLOAD("\"href\":\"c\",\"header\":{" rest "}")

static const struct {
	const char *text, *want; /* NULL: fails as a whole */
	enum err_kind kind;
} answers[] = {
    {"{\"objects\":[]}", "", 0},
    {OBJECT(A, ""), "aa:stored ", 0},
    {OBJECT(A, ",\"actions\":{}"), "aa:stored ", 0},
    {OBJECT(A, ",\"actions\":null,\"error\":null"), "aa:stored ", 0},
    {OBJECT(A, ",\"actions\":{\"upload\":null}"), "aa:stored ", 0},
    {OBJECT(A, ",\"actions\":{\"verify\":{\"href\":\"v\"}}"), "aa:stored ", 0},
    {UPLOAD("\"href\":\"u\""), "aa:u ", 0},
    {UPLOAD("\"href\":\"u\",\"header\":{\"1\":\"x\"}"), "aa:u ", 0},
    {OBJECT(B, ",\"actions\":{\"upload\":{\"href\":\"u\"},"
	       "\"verify\":{\"href\":\"v\"}}"),
	"bb:u?v ", 0},
    {PARTS("\"chunk_size\":10,\"1\":\"x\",\"2\":\"y\",\"3\":\"z\""),
	"aa:x,y,z>c ", 0},
    {PARTS("\"00003\":\"z\",\"chunk_size\":\"10\",\"00001\":\"x\","
	   "\"other\":\"!\",\"00002\":\"y\",\"0\":\"!\",\"-1\":\"!\""),
	"aa:x,y,z>c ", 0},
    {PARTS("\"chunk_size\":\"25\",\"1\":\"x\""), "aa:x>c ", 0},
    {PARTS("\"chunk_size\":\"1000\",\"1\":\"x\""), "aa:x>c ", 0},
    /* By its own oid, in any order, and only what was asked for. */
    {"{\"transfer\":\"multipart\",\"objects\":[{\"oid\":\"" B
     "\",\"actions\":{\"upload\":{\"href\":\"u\"}}},{\"oid\":\"" C
     "\",\"actions\":{\"upload\":{\"href\":\"!\"}}},{\"oid\":\"" A "\"}]}",
	"aa:stored bb:u ", 0},
    {"{\"transfer\":\"xet\",\"objects\":[{\"oid\":\"" B
     "\",\"actions\":{\"upload\":{}}},{\"oid\":\"" A "\"}]}",
	"aa:stored bb:xet ", 0},
    /* The first answer counts. */
    {"{\"objects\":[{\"oid\":\"" A "\"},{\"oid\":\"" A
     "\",\"actions\":{\"upload\":{\"href\":\"u\"}}}]}",
	"aa:stored ", 0},
    {"{\"objects\":[1,null,{},[],{\"oid\":1},{\"oid\":\"x\"},{\"oid\":"
     "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}]}",
	"", 0},
    /* Refusals of one object: 6 is ERR_CONTENT, 8 is ERR_REFUSED. */
    {OBJECT(A, ",\"error\":{\"code\":422,\"message\":\"Size mismatch\"}"),
	"aa:error 8 ", 0},
    {OBJECT(A, ",\"error\":{}"), "aa:error 8 ", 0},
    {OBJECT(A, ",\"error\":\"no\""), "aa:error 8 ", 0},
    {OBJECT(A, ",\"error\":{\"code\":403}"), "aa:error 4 ", 0},
    {OBJECT(A, ",\"error\":{\"code\":401}"), "aa:error 4 ", 0},
    {OBJECT(A, ",\"error\":{\"code\":503}"), "aa:error 5 ", 0},
    {UPLOAD(""), "aa:error 6 ", 0},
    {UPLOAD("\"href\":1"), "aa:error 6 ", 0},
    {UPLOAD("\"href\":\"a\\u0000b\""), "aa:error 6 ", 0},
    {UPLOAD("\"header\":{\"chunk_size\":25,\"1\":\"x\"}"), "aa:error 6 ", 0},
    {PARTS("\"chunk_size\":10"), "aa:error 6 ", 0},
    {PARTS("\"chunk_size\":10,\"1\":\"x\",\"2\":\"y\""), "aa:error 6 ", 0},
    {PARTS("\"chunk_size\":10,\"1\":\"x\",\"3\":\"z\""), "aa:error 6 ", 0},
    {PARTS("\"chunk_size\":10,\"1\":\"x\",\"2\":\"y\",\"3\":\"z\",\"4\":\"!\""),
	"aa:error 6 ", 0},
    {PARTS("\"chunk_size\":10,\"1\":\"x\",\"2\":\"y\",\"3\":\"z\","
	   "\"18446744073709551615\":\"!\""),
	"aa:error 6 ", 0},
    {PARTS("\"chunk_size\":10,\"1\":\"x\",\"01\":\"y\",\"3\":\"z\""),
	"aa:error 6 ", 0},
    {PARTS("\"chunk_size\":10,\"1\":\"x\",\"2\":2,\"3\":\"z\""), "aa:error 6 ",
	0},
    {PARTS("\"chunk_size\":0,\"1\":\"x\""), "aa:error 6 ", 0},
    {PARTS("\"chunk_size\":\"\",\"1\":\"x\""), "aa:error 6 ", 0},
    {PARTS("\"chunk_size\":\"25 \",\"1\":\"x\""), "aa:error 6 ", 0},
    {PARTS("\"chunk_size\":-25,\"1\":\"x\""), "aa:error 6 ", 0},
    {PARTS("\"chunk_size\":null,\"1\":\"x\""), "aa:error 6 ", 0},
    {PARTS("\"chunk_size\":\"99999999999999999999999\",\"1\":\"x\""),
	"aa:error 6 ", 0},
    /* Of the whole. */
    {"", NULL, ERR_NET},
    {"<html>", NULL, ERR_NET},
    {"{\"objects\":[", NULL, ERR_NET},
    {"{}", NULL, ERR_CONTENT},
    {"[]", NULL, ERR_CONTENT},
    {"null", NULL, ERR_CONTENT},
    {"{\"objects\":{}}", NULL, ERR_CONTENT},
    {"{\"objects\":null}", NULL, ERR_CONTENT},
};

static void
test_answers(void)
{
	for (size_t i = 0; i < countof(answers); i++) {
		struct buf b = buf_make(4096);
		struct err e;
		int rc = parse(str_of(answers[i].text), &b, &e);

		CHECK_ROW(i, (rc == 0) == (answers[i].want != NULL));
		if (rc < 0)
			CHECK_ROW(i, e.kind == answers[i].kind);
		else
			CHECK_ROW(i, str_eq(buf_str(&b), answers[i].want));
		buf_release(&b);
	}
}

/* No cut of a whole answer is one, and none reads too far. */
static void
test_cuts(void)
{
	const char *whole = answers[10].text;

	for (size_t n = 0; n < strlen(whole); n++) {
		struct buf b = buf_make(4096);
		char *piece = test_exact(whole, n);
		struct err e;

		CHECK_ROW(n, parse(str_make(piece, n), &b, &e) < 0 &&
				 e.kind == ERR_NET && !b.len);
		free(piece);
		buf_release(&b);
	}
}

static void
test_many_parts(void)
{
	struct buf text = buf_make(1 << 20), b = buf_make(4096);
	struct err e;

	buf_puts(&text, "{\"objects\":[{\"oid\":\"" A "\",\"actions\":{"
			"\"upload\":{\"href\":\"c\",\"header\":{"
			"\"chunk_size\":1");
	for (int i = 1; i <= 25; i++)
		buf_printf(&text, ",\"%05d\":\"%d\"", i, i);
	buf_puts(&text, "}}}}]}");
	CHECK(!parse(buf_str(&text), &b, &e));
	CHECK(str_starts(buf_str(&b), "aa:1,2,3,") &&
	      str_ends(buf_str(&b), ",24,25>c "));
	buf_release(&text);
	buf_release(&b);
}

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>"

static const struct {
	unsigned status;
	const char *body;
	enum lfs_verdict verdict;
	const char *part; /* of the sentence */
} verdicts[] = {
    {200, "", LFS_ARRIVED, NULL},
    {204, XML, LFS_ARRIVED, NULL},
    {301, "", LFS_REFUSED, "301"},
    {400, "", LFS_REFUSED, "400 Reason"},
    {400, XML "<Code>BadDigest</Code>", LFS_REFUSED, "BadDigest"},
    {400, XML "<Code>RequestTimeout</Code><Message>Your socket</Message>",
	LFS_AGAIN, "400 RequestTimeout: \"Your socket\""},
    {400, "<Code>IncompleteBody</Code>", LFS_AGAIN, NULL},
    {400, "<Code>RequestTimeout", LFS_REFUSED, NULL},
    {400, "<Code>Request", LFS_REFUSED, NULL},
    {400, "<Code", LFS_REFUSED, NULL},
    {400, "<", LFS_REFUSED, NULL},
    {400, "<Codex>RequestTimeout</Codex>", LFS_REFUSED, NULL},
    {400, "<Code>InvalidPart</Code>", LFS_RENEW, NULL},
    {400, "<Code>ExpiredToken</Code>", LFS_RENEW, NULL},
    {400, "<Code>EntityTooLarge</Code>", LFS_REFUSED, NULL},
    {403, "<Code>AccessDenied</Code><Message>Request has expired</Message>",
	LFS_RENEW, "expired"},
    {403, "", LFS_RENEW, NULL},
    {403, "<Code>SlowDown</Code>", LFS_AGAIN, NULL},
    {401, "", LFS_RENEW, NULL},
    {404, "<Code>NoSuchUpload</Code>", LFS_RENEW, NULL},
    {404, "", LFS_RENEW, NULL},
    {408, "", LFS_AGAIN, NULL},
    {411, "", LFS_REFUSED, NULL},
    {413, "", LFS_REFUSED, NULL},
    {429, "", LFS_AGAIN, NULL},
    {500, XML "<Code>InternalError</Code>", LFS_AGAIN, NULL},
    {500, "", LFS_AGAIN, NULL},
    {501, XML "<Code>NotImplemented</Code>", LFS_REFUSED, NULL},
    {502, "<html>", LFS_AGAIN, NULL},
    {503, XML "<Code>SlowDown</Code>", LFS_AGAIN, NULL},
    {504, "", LFS_AGAIN, NULL},
};

static void
test_verdicts(void)
{
	for (size_t i = 0; i < countof(verdicts); i++) {
		struct http_head h = {
		    .status = verdicts[i].status, .reason = str_of("Reason")};
		size_t n = strlen(verdicts[i].body);
		char *body = test_exact(verdicts[i].body, n);
		struct err e = {0};
		enum lfs_verdict v;

		v = lfs_storage_verdict(&h, str_make(body, n), &e);
		free(body);
		CHECK_ROW(i, v == verdicts[i].verdict);
		if (strstr(verdicts[i].body, "BadDigest"))
			CHECK_ROW(i, e.kind == ERR_CONTENT);
		else if (v == LFS_REFUSED)
			CHECK_ROW(i, e.kind == ERR_REFUSED);
		else if (v != LFS_ARRIVED)
			CHECK_ROW(i, e.kind == ERR_NET);
		if (verdicts[i].part)
			CHECK_ROW(i, strstr(e.msg, verdicts[i].part) != NULL);
	}
}

static void
test_wait(void)
{
	static const char fields[] = "Retry-After: 7\r\n";
	struct http_head h = {.status = 503, .fields = str_of(fields)};
	struct err e;

	CHECK(lfs_storage_verdict(&h, str_of(""), &e) == LFS_AGAIN);
	CHECK(e.wait == 8);
	h.status = 403;
	CHECK(lfs_storage_verdict(&h, str_of(""), &e) == LFS_RENEW);
	CHECK(e.wait == 0);
}

int
main(void)
{
	test_ask();
	test_answers();
	test_cuts();
	test_many_parts();
	test_verdicts();
	test_wait();
	return test_end();
}
