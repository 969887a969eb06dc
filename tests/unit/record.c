
#include "../../journal.c"

#include <stdlib.h>
#include <string.h>

#include "str.h"
#include "tests/unit/test.h"

#define SOME_KEY "00112233445566778899aabbccddeeff"
#define SHA "344408a72f0bc14a380c0a156b94a21ddc668a535be8b892aed91115d8ca61b7"
#define GIT "abb2df387e7bc8ebf002c540492ce260b10a6b5d"

/* What follows the sum, and whether it is a record. */
static const struct {
	const char *text;
	bool good;
} rows[] = {
    {"J 1", true},
    {"J 18446744073709551615", true},
    {"H " SOME_KEY " 1 2 3 4 5 6 " SHA, true},
    {"H " SOME_KEY " 0 18446744073709551615 999999999 0 0 0 " GIT, true},
    {"U 7 " SOME_KEY " 30 10 1787514895 " SHA " https://hub/c?a=b c", true},
    {"V 7 https://hub/verify", true},
    {"P 7 1 https://s3/x?X-Amz-Signature=1", true},
    {"E 7 1 \"3ed8\"", true},
    {"E 7 1 W/\"a b\" ", true},
    {"D 7", true},
    {"", false},
    {" ", false},
    {"J", false},
    {"J ", false},
    {"J  1", false},
    {" J 1", false},
    {"J 1 ", false},
    {"J 1 2", false},
    {"J x", false},
    {"J -1", false},
    {"J 18446744073709551616", false},
    {"j 1", false},
    {"JJ 1", false},
    {"X 1", false},
    {"H " SOME_KEY " 1 2 3 4 5 " SHA, false},
    {"H " SOME_KEY " 1 2 3 4 5 6 7 " SHA, false},
    {"H " SOME_KEY " 1 2 3 4 5 6", false},
    {"H " SOME_KEY " 1 2 3 4 5 6 " SHA " ", false},
    {"H " SOME_KEY " 1 2 3 4 5 6 " SHA "0", false},
    {"H " SOME_KEY "0 1 2 3 4 5 6 " SHA, false},
    {"H 0 1 2 3 4 5 6 " SHA, false},
    {"S " SOME_KEY " 1 2 " SHA, false},
    {"H " SOME_KEY " 1 2 3 4 5 6 "
     "ABB2DF387E7BC8EBF002C540492CE260B10A6B5D",
	false},
    {"H " SOME_KEY " 1 2 3 4 5 6 x", false},
    {"V 7", false},
    {"V 7 ", false},
    {"V 7 a\tb", false},
    {"V 7 a\x7f", false},
    {"P 7 https://s3/x", false},
    {"E 7 1", false},
    {"D 7 x", false},
};

static char *
line_of(const char *text)
{
	struct buf b = buf_make(4096);

	buf_printf(&b, "%08x %s", (unsigned)crc32_of(text, strlen(text)), text);
	return buf_detach(&b);
}

/* Written again, a record is the line that it came from. */
static void
check_written(size_t row, const struct record *r, const char *line)
{
	struct buf b = buf_make(4096);

	CHECK_ROW(row, !record_put(&b, r));
	CHECK_ROW(row, b.len == strlen(line) + 1 && b.s[b.len - 1] == '\n' &&
			   !memcmp(b.s, line, b.len - 1));
	buf_release(&b);
}

static void
test_rows(void)
{
	for (size_t i = 0; i < countof(rows); i++) {
		char *line = line_of(rows[i].text);
		struct record r;
		int rc = record_parse(str_of(line), &r);

		CHECK_ROW(i, (rc == 0) == rows[i].good);
		if (!rc)
			check_written(i, &r, line);
		free(line);
	}
}

/* No part of a line is a line, nor is one with another byte in it. */
static void
test_damage(void)
{
	for (size_t i = 0; rows[i].good; i++) {
		char *line = line_of(rows[i].text);
		size_t n = strlen(line);
		struct record r;

		for (size_t cut = 0; cut < n; cut++) {
			char *piece = test_exact(line, cut);

			CHECK_ROW(
			    i, record_parse(str_make(piece, cut), &r) < 0);
			memcpy(piece, line + n - cut, cut);
			CHECK_ROW(
			    i, record_parse(str_make(piece, cut), &r) < 0);
			line[cut] ^= 1;
			CHECK_ROW(i, record_parse(str_of(line), &r) < 0);
			line[cut] ^= 1;
			free(piece);
		}
		free(line);
	}
}

static void
test_fields(void)
{
	char *line = line_of("U 7 " SOME_KEY " 30 10 99 " SHA " https://h/c d");
	struct digest d;
	struct record r;

	digest_parse(str_of(SHA), &d);
	CHECK(!record_parse(str_of(line), &r));
	CHECK(r.kind == RECORD_UPLOAD && r.upload == 7 && r.size == 30 &&
	      r.chunk == 10 && r.expires == 99);
	CHECK(digest_same(&r.digest, &d) && r.key[1] == 0x11);
	CHECK(str_eq(r.text, "https://h/c d"));
	free(line);
	line = line_of("H " SOME_KEY " 1 2 3 4 5 6 " GIT);
	CHECK(!record_parse(str_of(line), &r));
	CHECK(r.size == 1 && r.mtime == 2 && r.ctime == 3 && r.inode == 4 &&
	      r.device == 5 && r.time == 6 && r.digest.kind == HASH_GIT);
	free(line);
}

static int
put_line(struct buf *b, const char *text, size_t n)
{
	struct record r = {.kind = RECORD_PART, .part = 1, .text = {text, n}};

	return record_put(b, &r);
}

static void
test_texts(void)
{
	struct buf b = buf_make(1 << 20);
	char *text = xmalloc(URL_MAX + 1);
	struct record r;

	memset(text, 'x', URL_MAX + 1);
	CHECK(put_line(&b, text, URL_MAX + 1) < 0 && put_line(&b, text, 0) < 0);
	CHECK(put_line(&b, "a\nb", 3) < 0 && put_line(&b, "a\0b", 3) < 0);
	CHECK(!b.len);
	CHECK(!put_line(&b, text, URL_MAX) && b.len <= RECORD_MAX);
	CHECK(!record_parse(str_make(b.s, b.len - 1), &r));
	CHECK(r.text.n == URL_MAX);
	CHECK(!put_line(&b, "\xff", 1));
	free(text);
	buf_release(&b);
}

int
main(void)
{
	test_rows();
	test_damage();
	test_fields();
	test_texts();
	return test_end();
}
