#include "batch.h"

#include <string.h>

#include "str.h"
#include "tests/unit/test.h"

static const struct {
	uint64_t size, chunk, last;
	size_t count; /* 0: refused */
} cut[] = {
    {1, 1, 1, 1},
    {1, 100, 1, 1},
    {100, 100, 100, 1},
    {101, 100, 1, 2},
    {199, 100, 99, 2},
    {200, 100, 100, 2},
    {10000, 1, 1, 10000},
    {1342177408, 536870912, 268435584, 3},
    {UINT64_MAX, UINT64_MAX, UINT64_MAX, 1},
    {UINT64_MAX, UINT64_MAX - 1, 1, 2},
    {0, 1, 0, 0},
    {1, 0, 0, 0},
    {0, 0, 0, 0},
    {10001, 1, 0, 0},
    {UINT64_MAX, 1, 0, 0},
};

static void
test_cut(void)
{
	for (size_t i = 0; i < countof(cut); i++) {
		struct multipart m;
		uint64_t sum = 0;
		int rc = multipart_init(&m, cut[i].size, cut[i].chunk);

		CHECK_ROW(i, (rc == 0) == (cut[i].count > 0));
		CHECK_ROW(i, m.count == cut[i].count);
		for (size_t p = 0; p < m.count; p++) {
			CHECK_ROW(i, multipart_first(&m, p) == sum);
			sum += multipart_length(&m, p);
		}
		CHECK_ROW(i, !m.count || sum == cut[i].size);
		CHECK_ROW(i, !m.count || multipart_length(&m, m.count - 1) ==
					     cut[i].last);
		multipart_release(&m);
		multipart_release(&m);
	}
}

static void
test_arrived(void)
{
	struct multipart m;

	multipart_init(&m, 25, 10);
	CHECK(multipart_arrived(&m) == 0 && !multipart_is_whole(&m));
	m.etag[2] = xstrdup("\"c\"");
	CHECK(multipart_arrived(&m) == 5 && !multipart_is_whole(&m));
	m.etag[0] = xstrdup("a");
	CHECK(multipart_arrived(&m) == 15 && !multipart_is_whole(&m));
	m.etag[1] = xstrdup("b");
	CHECK(multipart_arrived(&m) == 25 && multipart_is_whole(&m));
	multipart_release(&m);
}

#define S3 "https://s3/x?X-Amz-Date=20260823T195455Z&X-Amz-Expires="
#define DONE "https://hub/api/complete_multipart?uploadId=a&expiration="

/* 2026-08-23 19:54:55. */
#define THEN UINT64_C(1787514895)

static const struct {
	const char *complete, *first, *second;
	uint64_t expires;
} expiry[] = {
    {NULL, S3 "900", NULL, THEN + 900},
    {NULL, "https://s3/x?Expires=1234", NULL, 1234},
    {NULL, "https://s3/x", NULL, 0},
    {NULL, "no url", NULL, 0},
    {NULL, NULL, NULL, 0},
    {"https://hub/c", S3 "900", S3 "800", THEN + 800},
    {"https://hub/c", S3 "800", S3 "900", THEN + 800},
    {DONE "Sun%2C+23+Aug+2026+19%3A54%3A56+GMT", S3 "900", "x", THEN + 1},
    {DONE "Sun%2C%2023%20Aug%202026%2019%3A54%3A56%20GMT", "x", "x", THEN + 1},
    {DONE "Sun%2C+23+Aug+2026+19%3A54%3A56+GMT&x=%zz", "x", "x", THEN + 1},
    {DONE "Mon%2C+24+Aug+2026+19%3A54%3A55+GMT", S3 "900", "x", THEN + 900},
    {DONE "tomorrow", S3 "900", "x", THEN + 900},
    {DONE "", S3 "900", "x", THEN + 900},
    {DONE "%zz", S3 "900", "x", THEN + 900},
    {DONE
	"Sun%2C+23+Aug+2026+19%3A54%3A56+GMT++++++++++++++++++++++++++++++++++"
	"+++++++++++++++++++++++++",
	S3 "900", "x", THEN + 900},
};

static char *
copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static void
test_expiry(void)
{
	for (size_t i = 0; i < countof(expiry); i++) {
		struct multipart m;

		multipart_init(&m, 2, expiry[i].complete ? 1 : 2);
		m.complete = copy(expiry[i].complete);
		m.url[0] = copy(expiry[i].first);
		if (m.count > 1)
			m.url[1] = copy(expiry[i].second);
		multipart_find_expiry(&m);
		CHECK_ROW(i, m.expires == expiry[i].expires);
		multipart_release(&m);
	}
}

static const struct {
	const char *a, *b;
	uint64_t chunk;
	bool same;
} pairs[] = {
    {"http://h/c?uploadId=x", "http://h/c?s=1&uploadId=x", 10, true},
    {"http://h/c?uploadId=x%2e", "http://h/c?uploadId=x.", 10, true},
    {"http://h/c?uploadId=x", "http://h/c?uploadId=x", 11, false},
    {"http://h/c?uploadId=x", "http://h/c?uploadId=y", 10, false},
    {"http://h/c?uploadId=x", "http://h/c?uploadId=", 10, false},
    {"http://h/c?uploadId=", "http://h/c?uploadId=", 10, false},
    {"http://h/c", "http://h/c", 10, false},
    {"uploadId=x", "uploadId=x", 10, false},
    {NULL, "http://h/c?uploadId=x", 10, false},
    {"http://h/c?uploadId=x", NULL, 10, false},
};

static void
test_same_upload(void)
{
	for (size_t i = 0; i < countof(pairs); i++) {
		struct multipart a, b;

		multipart_init(&a, 25, 10);
		multipart_init(&b, 25, pairs[i].chunk);
		a.complete = copy(pairs[i].a);
		b.complete = copy(pairs[i].b);
		CHECK_ROW(i, multipart_same_upload(&a, &b) == pairs[i].same);
		multipart_release(&a);
		multipart_release(&b);
	}
}

#define OID "344408a72f0bc14a380c0a156b94a21ddc668a535be8b892aed91115d8ca61b7"

static void
test_completion(void)
{
	struct buf b = buf_make(1000);
	struct multipart m;
	struct digest d;

	digest_parse(str_of(OID), &d);
	multipart_init(&m, 25, 20);
	m.etag[0] = xstrdup("\"3ed8\"");
	m.etag[1] = xstrdup("W/\"\\\"");
	multipart_put_completion(&m, &d, &b);
	CHECK(str_eq(buf_str(&b),
	    "{\"oid\":\"" OID "\",\"parts\":["
	    "{\"partNumber\":1,\"etag\":\"\\\"3ed8\\\"\"},"
	    "{\"partNumber\":2,\"etag\":\"W/\\\"\\\\\\\"\"}]}"));
	buf_release(&b);
	multipart_release(&m);
}

/* What is signed is in the query: the rest decides. */
static void
test_same_place(void)
{
	static const struct {
		const char *url, *complete;
		uint64_t size, chunk;
		bool same;
	} row[] = {
	    {"https://s3/r/oid?part=2&id=w", "https://hub/c?id=w", 25, 10,
		true},
	    {"https://s3/r/oid", "https://hub/c", 25, 10, true},
	    {"https://s4/r/oid?part=2", "https://hub/c?id=v", 25, 10, false},
	    {"https://s3.eu/r/oid?part=2", "https://hub/c?id=v", 25, 10, false},
	    {"http://s3/r/oid?part=2", "https://hub/c?id=v", 25, 10, false},
	    {"https://s3/r/oid2?part=2", "https://hub/c?id=v", 25, 10, false},
	    {"https://s3/r/oi?part=2", "https://hub/c?id=v", 25, 10, false},
	    {"https://s3/r/oid?part=2", "https://hub/d?id=v", 25, 10, false},
	    {"https://s3/r/oid?part=2", "https://evil/c?id=v", 25, 10, false},
	    {"https://s3/r/oid?part=2", "https://hub/c?id=v", 24, 10, false},
	    {"https://s3/r/oid?part=2", "https://hub/c?id=v", 25, 9, false},
	    {"", "https://hub/c?id=v", 25, 10, false},
	    {"no address", "https://hub/c?id=v", 25, 10, false},
	};

	for (size_t i = 0; i < countof(row); i++) {
		struct multipart a, b;

		multipart_init(&a, 25, 10);
		multipart_init(&b, row[i].size, row[i].chunk);
		a.complete = copy("https://hub/c?id=v");
		b.complete = copy(row[i].complete);
		for (size_t k = 0; k < 3; k++) {
			a.url[k] = copy("https://s3/r/oid?part=1&id=v");
			b.url[k] = copy("https://s3/r/oid?part=1&id=w");
		}
		free(b.url[i % 3]);
		b.url[i % 3] = copy(row[i].url);
		CHECK_ROW(i, multipart_same_place(&a, &b) == row[i].same);
		CHECK_ROW(i, multipart_same_place(&b, &a) == row[i].same);
		multipart_release(&a);
		multipart_release(&b);
	}
}

int
main(void)
{
	test_cut();
	test_arrived();
	test_expiry();
	test_same_upload();
	test_same_place();
	test_completion();
	return test_end();
}
