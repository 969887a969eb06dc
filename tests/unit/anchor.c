#include "cert.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "lz4.h"
#include "roots.h"
#include "str.h"
#include "tests/unit/pem.h"
#include "tests/unit/test.h"

static void
test_built_in(void)
{
	struct anchors list = {0};
	struct buf heads = buf_make(1 << 20), keys = buf_make(1 << 20);
	unsigned char *unpacked = xmalloc(roots_heads_length);
	struct str parts[] = {
	    str_make((const char *)unpacked, roots_heads_length),
	    str_make((const char *)roots_keys, roots_keys_size)};
	size_t authorities = 0, used;
	struct err e = {0};
	struct lz4 z;

	lz4_init(&z, unpacked, roots_heads_length);
	CHECK(lz4_read(&z, roots_heads, roots_heads_size, &used, &e) == 0);
	CHECK(used == roots_heads_size && lz4_done(&z));
	CHECK(roots_heads_size < roots_heads_length / 2);
	CHECK(anchors_add_packed(&list, parts[0], parts[1]));
	CHECK(list.n == roots_count && list.lent == list.n && list.n > 50);
	for (size_t i = 0; i < list.n; i++) {
		authorities += (list.a[i].flags & BR_X509_TA_CA) != 0;
		anchor_pack(&list.a[i], &heads, &keys);
	}
	CHECK(authorities == list.n);
	CHECK(str_same(buf_str(&heads), parts[0]));
	CHECK(str_same(buf_str(&keys), parts[1]));
	CHECK(str_is_hex(str_of(roots_sha256), 64));
	CHECK(strlen(roots_date) == 10);
	buf_release(&heads);
	buf_release(&keys);
	anchors_release(&list);
	anchors_release(&list);
	free(unpacked);
}

/* Two packed anchors, each part cut everywhere. */
static void
test_packed_cuts(void)
{
	struct anchors list = {0};
	struct buf heads = buf_make(65536), keys = buf_make(65536), pem;
	struct err e = {0};
	size_t added = 0, first, first_key;

	pem = pem_text("ca");
	CHECK(anchors_add_pem(&list, buf_str(&pem), &added, &e) == 0);
	buf_release(&pem);
	pem = pem_text("rsa");
	CHECK(anchors_add_pem(&list, buf_str(&pem), &added, &e) == 0);
	buf_release(&pem);
	CHECK(added == 2 && list.n == 2 && list.lent == 0);
	anchor_pack(&list.a[0], &heads, &keys);
	first = heads.len;
	first_key = keys.len;
	anchor_pack(&list.a[1], &heads, &keys);
	for (size_t n = 0; n <= heads.len; n++) {
		struct anchors part = {0};
		char *copy = test_exact(heads.s, n);

		CHECK_ROW(n, anchors_add_packed(&part, str_make(copy, n),
				 buf_str(&keys)) == (n == heads.len));
		CHECK_ROW(n, part.n == (n == heads.len ? 2u : n >= first));
		anchors_release(&part);
		free(copy);
	}
	for (size_t n = 0; n <= keys.len; n++) {
		struct anchors part = {0};
		char *copy = test_exact(keys.s, n);

		CHECK_ROW(n, anchors_add_packed(&part, buf_str(&heads),
				 str_make(copy, n)) == (n == keys.len));
		CHECK_ROW(n, part.n == (n == keys.len ? 2u : n >= first_key));
		anchors_release(&part);
		free(copy);
	}
	buf_release(&heads);
	buf_release(&keys);
	anchors_release(&list);
}

/* Adds the parts, each the name of a file or text with a blank in it. */
static struct buf
compose(const char *const *parts)
{
	struct buf text = buf_make(65536);

	for (; *parts; parts++) {
		struct buf file;

		if (strpbrk(*parts, " \n")) {
			buf_puts(&text, *parts);
			continue;
		}
		file = pem_text(*parts);
		buf_str_add(&text, buf_str(&file));
		buf_release(&file);
	}
	return text;
}

static void
test_pem(void)
{
	static const struct {
		const char *parts[6];
		int ok;
		size_t added, kept;
	} rows[] = {
	    {{"ca"}, 1, 1, 1},
	    {{"ca", "ca"}, 1, 2, 1}, /* twice is once */
	    {{"ca", "rsa", "other"}, 1, 3, 3},
	    {{"# a comment\n", "ca", "text between\n\n", "rsa", " end"}, 1, 2,
		2},
	    {{"key", "ca"}, 1, 1, 1},
	    {{"ed25519", "ca"}, 1, 1, 1},
	    {{"ed25519"}, 1, 0, 0},
	    {{"second/rsa"}, 1, 1, 1},
	    {{"second/short", "second/shortroot"}, 1, 0, 0},
	    {{"key"}, 1, 0, 0},
	    {{" "}, 1, 0, 0},
	    {{"-----BEGIN X509 CRL-----\n*\n", "ca"}, 1, 1, 1},
	    {{"ca", "-----BEGIN CERTIFICATE-----\nMIIB\n"}, 0, 1, 1},
	    {{"-----BEGIN CERTIFICATE-----\n*\n", "ca"}, 0, 1, 1},
	    {{"ca",
		 "-----BEGIN CERTIFICATE-----\nMIIB\n-----END "
		 "CERTIFICATE-----\n",
		 "rsa"},
		0, 2, 2},
	    {{"\xef\xbb\xbf \n", "ca", " \t ", "rsa"}, 1, 2, 2},
	    {{"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"}, 0, 0,
		0},
	    {{"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"},
		0, 0, 0},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct buf text = compose(rows[i].parts);
		struct anchors list = {0};
		struct err e = {0};
		size_t added = 0;
		int r = anchors_add_pem(&list, buf_str(&text), &added, &e);

		CHECK_ROW(i, (r == 0) == rows[i].ok);
		CHECK_ROW(i, r == 0 || (e.kind == ERR_USAGE && e.msg[0]));
		CHECK_ROW(i, added == rows[i].added && list.n == rows[i].kept);
		anchors_release(&list);
		buf_release(&text);
	}
}

/* A cut certificate is refused; but all of it is there before the last line is,
 * of which "-----END " is wanted. */
static void
test_pem_cuts(void)
{
	struct buf text = pem_text("ca");
	size_t whole = text.len - strlen("CERTIFICATE-----\n");

	for (size_t n = 0; n <= text.len; n++) {
		struct anchors list = {0};
		struct err e = {0};
		size_t added = 0;
		char *copy = test_exact(text.s, n);

		anchors_add_pem(&list, str_make(copy, n), &added, &e);
		CHECK_ROW(n, added == (n >= whole));
		CHECK_ROW(n, added || n < 28 || e.kind == ERR_USAGE);
		free(copy);
		anchors_release(&list);
	}
	buf_release(&text);
}

/* Two certificates, with each line end of the text replaced by this. */
static struct buf
with_line_ends(const char *end)
{
	static const char *const parts[] = {"ca", "rsa", NULL};
	struct buf text = compose(parts), out = buf_make(65536);

	for (size_t i = 0; i < text.len; i++)
		if (text.s[i] == '\n')
			buf_puts(&out, end);
		else
			buf_putc(&out, text.s[i]);
	buf_release(&text);
	return out;
}

/* As editors, copying and concatenation leave it; with none at all the end of
 * one stands before the begin of the next. */
static void
test_line_ends(void)
{
	static const char *const ends[] = {
	    "\n", "\r\n", "\r", " \n", "\t\n    ", "\n\n", "", "  "};

	for (size_t i = 0; i < countof(ends); i++) {
		struct buf text = with_line_ends(ends[i]);
		struct anchors list = {0};
		struct err e = {0};
		size_t added = 0;

		CHECK_ROW(
		    i, anchors_add_pem(&list, buf_str(&text), &added, &e) == 0);
		CHECK_ROW(i, added == 2 && list.n == 2);
		anchors_release(&list);
		buf_release(&text);
	}
}

/* The first one that is broken is named by its line. */
static void
test_broken_lines(void)
{
	static const struct {
		const char *text, *said;
	} t[] = {
#define C "-----BEGIN CERTIFICATE-----\n"
#define END "\n-----END CERTIFICATE-----\n"
	    {C "MIIB" END, "line 1: broken certificate"},
	    {"\n\nx\n" C "M=IB" END C "MIIB" END, "line 4: broken PEM text"},
	    {"\r\n\r\n" C "M" END, "line 3: broken PEM text"},
	    {"\r\r" C "MIIB==" END, "line 3: broken PEM text"},
	    {C "MI===" END, "line 1: broken PEM text"},
	    {C "MII-" END, "line 1: broken PEM text"},
	    {C "MIIB\n" C "MIIB" END, "line 1: broken PEM text"},
	    {"\n" C "MIIB", "line 2: the PEM text ends in the middle"},
#undef C
#undef END
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct anchors list = {0};
		struct err e = {0};
		size_t added = 0;

		CHECK_ROW(i,
		    anchors_add_pem(&list, str_of(t[i].text), &added, &e) < 0);
		CHECK_ROW(i, strcmp(e.msg, t[i].said) == 0);
		CHECK_ROW(i, added == 0 && list.n == 0);
		anchors_release(&list);
	}
}

/* What is no authority is an anchor for itself only. */
static void
test_flags(void)
{
	struct buf text = pem_text("good");
	struct anchors list = {0};
	struct err e = {0};
	size_t added = 0;

	CHECK(anchors_add_pem(&list, buf_str(&text), &added, &e) == 0);
	CHECK(list.n == 1 && list.a[0].flags == 0);
	anchors_release(&list);
	buf_release(&text);
}

static void
test_blocks(void)
{
	static const struct {
		const char *text;
		int rv;
		const char *label, *bytes;
	} t[] = {
	    {"-----BEGIN A KEY-----\nYWJj\n-----END A KEY-----\n", 1, "A KEY",
		"abc"},
	    {"text\n-----BEGIN X-----YW Jj\r\n-----END X-----", 1, "X", "abc"},
	    {"-----BEGIN X-----\n-----END X-----", 1, "X", ""},
	    {"", 0, NULL, NULL},
	    {"BEGIN X", 0, NULL, NULL},
	    {"-----BEGIN X", -1, NULL, NULL},
	    {"-----BEGIN X-----", -1, NULL, NULL},
	    {"-----BEGIN X-----YWJj", -1, NULL, NULL},
	    {"-----BEGIN X-----YWJj-----BEGIN", -1, NULL, NULL},
	    {"-----BEGIN X-----YW=Jj-----END X-----", -1, NULL, NULL},
	    {"-----BEGIN X-----Y\303-----END X-----", -1, NULL, NULL},
	    {"-----BEGIN X-----YWJjYWJjYWJj-----END X-----", -1, NULL, NULL},
	};

	for (size_t i = 0; i < countof(t); i++) {
		size_t n = strlen(t[i].text);
		char *copy = test_exact(t[i].text, n);
		struct str rest = str_make(copy, n), label;
		struct buf der = buf_make(8);

		CHECK_ROW(i, pem_next(&rest, &label, &der) == t[i].rv);
		if (t[i].rv > 0) {
			CHECK_ROW(i, str_eq(label, t[i].label));
			CHECK_ROW(i, str_eq(buf_str(&der), t[i].bytes));
			CHECK_ROW(i, pem_next(&rest, &label, &der) == 0);
		}
		buf_release(&der);
		free(copy);
	}
}

int
main(void)
{
	test_built_in();
	test_packed_cuts();
	test_pem();
	test_pem_cuts();
	test_line_ends();
	test_broken_lines();
	test_flags();
	test_blocks();
	return test_end();
}
