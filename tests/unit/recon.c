#include "chunk.h"
#include "err.h"
#include "tests/unit/data/corpus.h"
#include "tests/unit/test.h"
#include "tests/unit/xethash.h"

#define A "1f6a2b8e9d3c4075a2e8c5fd4f0b763e6f3c1d7a9b2e6487de3f91ab7c6d5401"
#define B "7c94fe2a38bdcf9b4d2a6f7e1e08ac35bc24a7903d6f5a0e7d1c2b93e5f748de"

/* Both versions of one answer. */
static void
test_versions(void)
{
	static const char *const names[] = {"recon/v2", "recon/v1"};

	for (size_t i = 0; i < countof(names); i++) {
		struct buf text = corpus(names[i]);
		struct recon r;
		struct err e;

		CHECK_ROW(i, recon_parse(buf_str(&text), &r, &e) == 0);
		CHECK_ROW(i, r.skip == 10 && r.size == 128990);
		CHECK_ROW(i, r.terms == 4 && r.ranges == 3);
		/* In the order of the terms. */
		CHECK_ROW(i, is(&r.range[0].xorb, A) && r.range[0].first == 1);
		CHECK_ROW(i, r.range[0].end == 4 && r.range[0].at == 100);
		CHECK_ROW(i, r.range[0].length == 40024);
		CHECK_ROW(i,
		    strcmp(r.range[0].url, "https://cas.example/a?s=1") == 0);
		CHECK_ROW(i, is(&r.range[1].xorb, B) && r.range[1].at == 0);
		CHECK_ROW(i, r.range[2].at == 90000 && r.range[2].end == 9);
		CHECK_ROW(i, r.term[0].range == 0 && r.term[0].first == 1);
		CHECK_ROW(i, r.term[0].count == 2 && r.term[0].size == 30000);
		CHECK_ROW(i, r.term[1].range == 1 && r.term[1].first == 0);
		CHECK_ROW(i, r.term[2].range == 2 && r.term[2].first == 0);
		CHECK_ROW(i, r.term[3].range == 0 && r.term[3].first == 2);
		recon_release(&r);
		CHECK_ROW(i, r.terms == 0 && !r.term);
		recon_release(&r);
		buf_release(&text);
	}
}

/* Terms are the same in all; "%" stands for the xorbs. */
static int
parse(const char *terms, const char *xorbs, struct recon *r, struct err *e)
{
	struct buf b = buf_make(10000);
	int rv;

	buf_printf(&b,
	    "{\"offset_into_first_range\":0,\"new\":[{}],\"terms\":[%s],"
	    "\"xorbs\":{%s}}",
	    terms, xorbs);
	rv = recon_parse(buf_str(&b), r, e);
	buf_release(&b);
	return rv;
}

#define TERM(hash, size, first, end) \
	"{\"hash\":\"" hash "\",\"unpacked_length\":" #size \
	",\"range\":{\"start\":" #first ",\"end\":" #end "}}"
#define RANGE(first, end, from, to) \
	"{\"chunks\":{\"start\":" #first ",\"end\":" #end \
	"},\"bytes\":{\"start\":" #from ",\"end\":" #to "}}"
#define XORB(hash, ranges) \
	"\"" hash "\":[{\"url\":\"https://x/y\",\"ranges\":[" ranges "]}]"

/* Ranges that overlap or have others in them, in any order, two addresses. */
static void
test_ranges(void)
{
	static const char xorbs[] = XORB(B, "") "," XORB(
	    A, RANGE(3, 5, 300, 499) "," RANGE(0, 10, 0, 999) "," RANGE(
		   9, 12, 900, 1199) "," RANGE(0, 2, 0, 199));
	struct recon r;
	struct err e;

	CHECK(parse(TERM(A, 400, 4, 8) "," TERM(A, 100, 3, 4) "," TERM(
			A, 200, 10, 12) "," TERM(A, 100, 9, 10),
		  xorbs, &r, &e) == 0);
	CHECK(r.ranges >= 2 && r.size == 800);
	for (size_t i = 0; i < r.terms; i++) {
		const struct recon_term *t = &r.term[i];
		const struct recon_range *range = &r.range[t->range];

		CHECK_ROW(i, t->first + t->count <= range->end - range->first);
	}
	CHECK(r.range[r.term[0].range].first == 0 && r.term[0].first == 4);
	CHECK(r.range[r.term[2].range].first == 9 && r.term[2].first == 1);
	recon_release(&r);
	CHECK(parse(TERM(A, 400, 8, 12), xorbs, &r, &e) < 0);
	CHECK(parse(TERM(B, 100, 0, 1), xorbs, &r, &e) < 0);
	CHECK(strstr(e.msg, "in none of its ranges") != NULL);
}

static void
test_refused(void)
{
	static const struct {
		const char *terms, *xorbs, *why;
	} refused[] = {
	    {"1", "", "term that is none"},
	    {"{}", "", "term that is none"},
	    {TERM(A "0", 1, 0, 1), "", "term that is none"},
	    {TERM("", 1, 0, 1), "", "term that is none"},
	    {TERM(A, -1, 0, 1), "", "term that is none"},
	    {TERM(A, 4294967296, 0, 1), "", "term that is none"},
	    {TERM(A, 1, 1, 1), "", "term that is none"},
	    {TERM(A, 1, 2, 1), "", "term that is none"},
	    {TERM(A, 1, 0, 4294967296), "", "term that is none"},
	    {TERM(A, 0, 0, 1), "", "as long as it says"},
	    {TERM(A, 131073, 0, 1), "", "as long as it says"},
	    {TERM(A, 1, 0, 4294967295), "", "as long as it says"},
	    {TERM(A, 1, 0, 1), "", "in none of its ranges"},
	    {"", "\"x\":[]", "xorb that is none"},
	    {"", "\"" A "\":{}", "xorb that is none"},
	    {"", "\"" A "\":[1]", "address"},
	    {"", "\"" A "\":[{\"url\":1}]", "address"},
	    {"", "\"" A "\":[{\"url\":\"/x\",\"ranges\":[]}]", "address"},
	    {"", "\"" A "\":[{\"url\":\"ftp://x/\",\"ranges\":[]}]", "address"},
	    {"", "\"" A "\":[{\"url\":\"https://a:b@x/\",\"ranges\":[]}]",
		"address"},
	    {"", "\"" A "\":[{\"url\":\"https://x/\"}]", "no ranges"},
	    {"", XORB(A, "1"), "range that is none"},
	    {"", XORB(A, RANGE(0, 0, 0, 100)), "range that is none"},
	    {"", XORB(A, RANGE(1, 0, 0, 100)), "range that is none"},
	    {"", XORB(A, RANGE(0, 1, 100, 99)), "range that is none"},
	    {"", XORB(A, RANGE(0, 1, 0, -1)), "range that is none"},
	    {"", XORB(A, RANGE(0, 1, 0, 7)), "cannot be in their range"},
	    {"", XORB(A, RANGE(0, 1, 0, 262152)), "cannot be in their"},
	    {"", XORB(A, RANGE(0, 4294967295, 0, 4294967295)), "end of any"},
	    {"", XORB(A, RANGE(16384, 16385, 0, 100)), "end of any xorb"},
	    {"", XORB(A, RANGE(0, 1, 134217700, 134217728)), "end of any xorb"},
	};
	static const struct {
		const char *text;
		enum err_kind kind;
	} whole[] = {
	    {"", ERR_NET},
	    {"{\"terms\":[]", ERR_NET},
	    {"[]", ERR_CONTENT},
	    {"{}", ERR_CONTENT},
	    {"{\"offset_into_first_range\":0,\"terms\":[]}", ERR_CONTENT},
	    {"{\"offset_into_first_range\":0,\"xorbs\":{}}", ERR_CONTENT},
	    {"{\"terms\":[],\"xorbs\":{}}", ERR_CONTENT},
	    {"{\"offset_into_first_range\":0,\"terms\":{},\"xorbs\":{}}",
		ERR_CONTENT},
	    {"{\"offset_into_first_range\":0,\"terms\":[],\"xorbs\":[]}",
		ERR_CONTENT},
	    {"{\"offset_into_first_range\":1,\"terms\":[],\"xorbs\":{}}",
		ERR_CONTENT},
	};
	struct recon r;
	struct err e;

	for (size_t i = 0; i < countof(refused); i++) {
		CHECK_ROW(
		    i, parse(refused[i].terms, refused[i].xorbs, &r, &e) < 0);
		CHECK_ROW(i, e.kind == ERR_CONTENT && !r.range && !r.url);
		CHECK_ROW(i, strstr(e.msg, refused[i].why) != NULL);
	}
	for (size_t i = 0; i < countof(whole); i++) {
		CHECK_ROW(i, recon_parse(str_of(whole[i].text), &r, &e) < 0);
		CHECK_ROW(i, e.kind == whole[i].kind);
	}
}

/* The ranges may be longer than the terms, but not much. */
static void
test_long_ranges(void)
{
	static const struct {
		const char *terms;
		bool good;
	} t[] = {
	    {TERM(A, 100, 0, 1), true},
	    {TERM(A, 100, 0, 1) "," TERM(B, 1, 0, 1), false},
	    {TERM(A, 100, 0, 1) "," TERM(B, 7, 0, 1), false},
	    {TERM(A, 100, 0, 1) "," TERM(B, 8, 0, 1), true},
	};
	/* 67,109,080 bytes in all. */
	static const char xorbs[] = XORB(A,
	    RANGE(0, 8192, 100, 67108963)) "," XORB(B, RANGE(0, 1, 1000, 1215));
	struct recon r;
	struct err e;

	for (size_t i = 0; i < countof(t); i++) {
		bool good = parse(t[i].terms, xorbs, &r, &e) == 0;

		CHECK_ROW(i, good == t[i].good);
		CHECK_ROW(i, good || strstr(e.msg, "much longer") != NULL);
		if (good)
			recon_release(&r);
	}
}

/* What is skipped is less than the first term. */
static void
test_skip(void)
{
	for (size_t skip = 98; skip <= 101; skip++) {
		struct buf b = buf_make(10000);
		struct recon r;
		struct err e;
		int rv;

		buf_printf(&b,
		    "{\"offset_into_first_range\":%zu,\"terms\":[" TERM(A, 100,
			0, 1) "],\"xorbs\":{" XORB(A, RANGE(0, 1, 0, 99)) "}}",
		    skip);
		rv = recon_parse(buf_str(&b), &r, &e);
		CHECK_ROW(skip, (rv == 0) == (skip < 100));
		CHECK_ROW(skip, rv < 0 || r.size == 100 - skip);
		if (rv == 0)
			recon_release(&r);
		buf_release(&b);
	}
}

int
main(void)
{
	test_versions();
	test_ranges();
	test_refused();
	test_long_ranges();
	test_skip();
	return test_end();
}
