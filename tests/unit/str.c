#include "str.h"
#include "err.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void
test_num(void)
{
	static const struct {
		const char *text;
		unsigned base;
		uint64_t max;
		int rv;
		uint64_t value;
	} t[] = {
	    {"0", 10, 0, 0, 0},
	    {"255", 10, 255, 0, 255},
	    {"ff", 16, 255, 0, 255},
	    {"18446744073709551615", 10, UINT64_MAX, 0, UINT64_MAX},
	    {"000012", 10, 12, 0, 12},
	    {"18446744073709551616", 10, UINT64_MAX, -1, 0},
	    {"256", 10, 255, -1, 0},
	    {"5", 10, 4, -1, 0},
	    {"", 10, 9, -1, 0},
	    {"+1", 10, 9, -1, 0},
	    {"-1", 10, 9, -1, 0},
	    {" 1", 10, 9, -1, 0},
	    {"1 ", 10, 9, -1, 0},
	    {"a", 10, 99, -1, 0},
	    {"0x1", 16, 99, -1, 0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		uint64_t v = 0;

		CHECK_ROW(i, str_num(str_of(t[i].text), t[i].base, t[i].max,
				 &v) == t[i].rv);
		CHECK_ROW(i, v == t[i].value);
	}
}

static void
test_utf8(void)
{
	static const struct {
		const char *text;
		bool valid;
		const char *shown;
	} t[] = {
	    {"", true, ""},
	    {"abc", true, "abc"},
	    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", true,
		"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
	    {"\xef\xbf\xbf", true, "\xef\xbf\xbf"},
	    {"\xf4\x8f\xbf\xbf", true, "\xf4\x8f\xbf\xbf"},
	    {"a\x1b[31m\n", true, "a?[31m?"},
	    {"\xc2\x9b", true, "?"},
	    {"\xc2\xa0\xd8\x9b\xd8\x9d", true, "\xc2\xa0\xd8\x9b\xd8\x9d"},
	    {"a\xd8\x9c!", true, "a?!"},
	    {"\xe2\x80\x8d\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\x90", true,
		"\xe2\x80\x8d??\xe2\x80\x90"},
	    {"\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xae\xe2\x80\xaf", true,
		"\xe2\x80\xa7??\xe2\x80\xaf"},
	    {"\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa", true,
		"\xe2\x81\xa5??\xe2\x81\xaa"},
	    {"\x7f", true, "?"},
	    {"\x80", false, "?"},
	    {"\xc3", false, "?"},
	    {"\xc0\xaf", false, "??"},
	    {"\xe0\x80\xaf", false, "???"},
	    {"\xed\xa0\x80", false, "???"},
	    {"\xf0\x80\x80\xaf", false, "????"},
	    {"\xf4\x90\x80\x80", false, "????"},
	    {"\xf5\x80\x80\x80", false, "????"},
	    {"\xe2\x82", false, "??"},
	    {"\xff", false, "?"},
	};

	for (size_t i = 0; i < countof(t); i++) {
		char text[32];

		CHECK_ROW(i, utf8_valid(str_of(t[i].text)) == t[i].valid);
		strcpy(text, t[i].text);
		str_printable(text);
		CHECK_ROW(i, strcmp(text, t[i].shown) == 0);
	}
	for (uint32_t c = 1; c < 0x110000; c += c < 0x900 ? 1 : 977) {
		char out[4];
		size_t n = utf8_encode(c, out);
		bool surrogate = c >= 0xd800 && c < 0xe000;

		CHECK(utf8_length(str_make(out, n)) == (surrogate ? 0 : n));
	}
}

#define TOKEN "hf_abcdefghijABCDEFGHIJ"

static void
test_tokens(void)
{
	static const struct {
		const char *text, *shown;
	} t[] = {
	    {"", ""},
	    {"hf_", "hf_"},
	    {"hf_abcdefghijABCDEFGHI", "hf_abcdefghijABCDEFGHI"},
	    {TOKEN, "hf_***"},
	    {TOKEN "0123456789'", "hf_***'"},
	    {"a" TOKEN " " TOKEN "/" TOKEN, "ahf_*** hf_***/hf_***"},
	    {"hf_hf_hf_" TOKEN, "hf_***"},
	    {"hf_oauth_" TOKEN ".eyJ-x_y: no", "hf_***: no"},
	    {"hf_transformers_model_of_the_year.bin",
		"hf_transformers_model_of_the_year.bin"},
	    {"HF_abcdefghijABCDEFGHIJ", "HF_abcdefghijABCDEFGHIJ"},
	    {"hf_\xc3\xa4"
	     "abcdefghijABCDEFGHIJ",
		"hf_\xc3\xa4"
		"abcdefghijABCDEFGHIJ"},
	};
	struct err e;

	for (size_t i = 0; i < countof(t); i++) {
		char text[128];

		strcpy(text, t[i].text);
		str_mask_tokens(text);
		CHECK_ROW(i, strcmp(text, t[i].shown) == 0);
	}
	CHECK(str_token_length(str_of(TOKEN "!")) == strlen(TOKEN));
	CHECK(str_token_length(str_make(TOKEN, 22)) == 0);
	errno = ENOENT;
	err_sys(&e, ERR_FILE, "cannot read '%s'", TOKEN);
	err_in(&e, "%s", TOKEN);
	err_hint(&e, "not %s", TOKEN);
	CHECK(strcmp(e.msg,
		  "hf_***: cannot read 'hf_***': No such file or directory") ==
	      0);
	CHECK(strcmp(e.hint, "not hf_***") == 0);
}

static void
test_hex(void)
{
	unsigned char b[3];
	char text[7];

	CHECK(hex_decode(str_of("00fFa5"), b, 3) == 0);
	CHECK(b[0] == 0 && b[1] == 255 && b[2] == 0xa5);
	hex_encode(b, 3, text);
	CHECK(strcmp(text, "00ffa5") == 0);
	CHECK(hex_decode(str_of("00ff"), b, 3) < 0);
	CHECK(hex_decode(str_of("00ffa"), b, 2) < 0);
	CHECK(hex_decode(str_of("00fg"), b, 2) < 0);
	CHECK(str_is_hex(str_of("0af9"), 4));
	CHECK(!str_is_hex(str_of("0aF9"), 4));
	CHECK(!str_is_hex(str_of("0af"), 4));
	CHECK(!str_is_hex(str_of("0a/9"), 4));
}

static void
test_base64(void)
{
	static const char *const t[][2] = {{"", ""}, {"f", "Zg=="},
	    {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
	    {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
	    {"\xff\xfe\xfd", "//79"}};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf b = buf_make(64);

		buf_base64(&b, t[i][0], strlen(t[i][0]));
		CHECK_ROW(i, str_eq(buf_str(&b), t[i][1]));
		buf_release(&b);
	}
}

/* The invariants that str.h states. */
static bool
sane(const struct buf *b)
{
	if (b->len > b->max || (!b->s && b->len))
		return false;
	return !b->s || b->s[b->len] == '\0';
}

static void
test_buf_num(void)
{
	static const struct {
		uint64_t n;
		const char *text;
	} t[] = {{0, "0"}, {9, "9"}, {10, "10"}, {1000001, "1000001"},
	    {UINT64_MAX, "18446744073709551615"}};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf b = buf_make(20);

		buf_num(&b, t[i].n);
		CHECK_ROW(i, str_eq(buf_str(&b), t[i].text));
		buf_release(&b);
	}
}

static void
test_buf(void)
{
	struct buf b = buf_make(10);
	char *owned;

	CHECK(sane(&b) && str_eq(buf_str(&b), "") && !*buf_cstr(&b));
	buf_puts(&b, "0123");
	buf_printf(&b, "%d-%s", 45, "6");
	CHECK(sane(&b) && str_eq(buf_str(&b), "012345-6") && !b.full);
	buf_puts(&b, "789");
	CHECK(sane(&b) && b.full && b.len == 8);
	buf_putc(&b, 'x');
	CHECK(sane(&b) && b.full && b.len == 8);
	buf_clear(&b);
	buf_puts(&b, "0123456789");
	CHECK(sane(&b) && !b.full && b.len == 10);
	buf_drop(&b, 4);
	CHECK(sane(&b) && str_eq(buf_str(&b), "456789"));
	owned = buf_detach(&b);
	CHECK(sane(&b) && strcmp(owned, "456789") == 0 && !b.s);
	free(owned);
	CHECK(!buf_room(&b, 11) && b.full);
	buf_clear(&b);
	memcpy(buf_room(&b, 3), "abc", 3);
	buf_added(&b, 2);
	CHECK(sane(&b) && str_eq(buf_str(&b), "ab"));
	buf_printf(&b, "%s", "123456789");
	CHECK(sane(&b) && b.full && b.len == 2);
	buf_release(&b);
	buf_release(&b);
	CHECK(sane(&b) && !b.s);
}

static void
test_line(void)
{
	struct buf b = buf_make(2000);
	char *big = xmalloc(600);

	buf_line(&b, "'%s' and %d", "a\nb\x1b", 7);
	CHECK(sane(&b) && str_eq(buf_str(&b), "'a?b?' and 7\n"));
	buf_clear(&b);
	memset(big, 'x', 600);
	memcpy(big + 510, "\xc3\xa4", 3);
	buf_line(&b, "%s", big);
	CHECK(sane(&b) && b.len == 512 && utf8_valid(buf_str(&b)));
	CHECK(str_ends(buf_str(&b), "x?\n"));
	buf_release(&b);
	free(big);
}

static void
test_views(void)
{
	struct str a, b;

	CHECK(str_cut(str_of("a=b=c"), '=', &a, &b));
	CHECK(str_eq(a, "a") && str_eq(b, "b=c"));
	CHECK(!str_cut(str_of("abc"), '=', &a, &b));
	CHECK(str_cut(str_of("="), '=', &a, &b) && !a.n && !b.n);
	CHECK(str_eq(str_trim(str_of(" \t a b\t ")), "a b"));
	CHECK(str_eq(str_trim(str_of("   ")), ""));
	CHECK(str_eq_nocase(str_of("ETag"), "etag"));
	CHECK(!str_eq_nocase(str_of("ETag"), "etags"));
	CHECK(!str_eq_nocase(str_of("@"), "`"));
	CHECK(
	    str_starts(str_of("abc"), "ab") && !str_starts(str_of("a"), "ab"));
	CHECK(str_ends(str_of("abc"), "bc") && !str_ends(str_of("c"), "bc"));
}

static void
test_err(void)
{
	struct err e;
	struct failure *kept;
	char *big = xmalloc(2000);

	CHECK(err_set(&e, ERR_NET, "cannot reach '%s'", "x\x1b[0m") == -1);
	CHECK(strcmp(e.msg, "cannot reach 'x?[0m'") == 0);
	CHECK(e.kind == ERR_NET && !e.wait && !*e.hint);
	e.wait = 7;
	err_hint(&e, "look at %d", 5);
	CHECK(err_in(&e, "file '%s'", "a") == -1);
	CHECK(strcmp(e.msg, "file 'a': cannot reach 'x?[0m'") == 0);
	CHECK(e.kind == ERR_NET && e.wait == 7);
	CHECK(strcmp(e.hint, "look at 5") == 0);
	kept = failure_keep(&e);
	CHECK(kept->kind == ERR_NET && !strcmp(kept->msg, e.msg) &&
	      !strcmp(kept->hint, "look at 5"));
	free(kept);
	errno = ENOSPC;
	CHECK(err_sys(&e, ERR_FILE, "cannot write") == -1);
	CHECK(strcmp(e.msg, "cannot write: No space left on device") == 0);
	/* Not every libc has words for these. */
	errno = EUCLEAN;
	err_sys(&e, ERR_FILE, "x");
	CHECK(strcmp(e.msg, "x: the file system is damaged") == 0);
	errno = 99999;
	err_sys(&e, ERR_FILE, "x");
	CHECK(strstr(e.msg, "99999") != NULL);
	memset(big, 'a', 1999);
	big[1999] = '\0';
	for (size_t i = 1; i < 1999; i += 2)
		memcpy(big + i, "\xc3\xa4", 2);
	err_set(&e, ERR_OTHER, "%s", big);
	CHECK(utf8_valid(str_of(e.msg)) && strlen(e.msg) == sizeof(e.msg) - 1);
	err_set(&e, ERR_OTHER, "why");
	err_in(&e, "%s", big);
	CHECK(utf8_valid(str_of(e.msg)) && str_ends(str_of(e.msg), ": why"));
	err_set(&e, ERR_OTHER, "%s", big);
	err_in(&e, "ab");
	CHECK(utf8_valid(str_of(e.msg)) && strlen(e.msg) == sizeof(e.msg) - 1);
	free(big);
}

/* The token of the run, whatever it looks like. */
static void
test_hidden(void)
{
	static const struct {
		const char *secret, *text, *shown;
	} t[] = {
	    {"api_org_Abc", "x api_org_Abc.y", "x ***.y"},
	    {"api_org_Abc", "api_org_Abcapi_org_Abc", "******"},
	    {"api_org_Abc", "api_org_Abd", "api_org_Abd"},
	    {"api_org_Abc", "API_ORG_ABC", "API_ORG_ABC"},
	    {"ey.J/x=+_9", "?t=ey.J/x=+_9&u", "?t=***&u"},
	    {"aaaaaaab", "aaaaaaaaaaab", "aaaa***"},
	    {"hf_short", "'hf_short'", "'hf_***'"},
	    {"hf_short",
		"hf_"
		"abcdefghijABCDEFGHIJ",
		"hf_***"},
	    {"gw/" TOKEN "/gw", "a gw/" TOKEN "/gw b", "a *** b"},
	    /* A text that was cut. */
	    {"0123456789", "no 012345678", "no ***"},
	    {"0123456789", "no 01234567", "no ***"},
	    {"0123456789", "no 0123456", "no 0123456"},
	    {"0123456789", "no 012345678 ", "no 012345678 "},
	    /* No secret. */
	    {"1234567", "1234567", "1234567"},
	    {"", "text", "text"},
	    {NULL, "text", "text"},
	};

	for (size_t i = 0; i < countof(t); i++) {
		char text[128];

		strcpy(text, t[i].text);
		str_hide(t[i].secret);
		str_mask_tokens(text);
		CHECK_ROW(i, strcmp(text, t[i].shown) == 0);
	}
	str_hide(NULL);
}

int
main(void)
{
	test_num();
	test_utf8();
	test_tokens();
	test_hex();
	test_base64();
	test_buf();
	test_buf_num();
	test_line();
	test_views();
	test_err();
	test_hidden();
	return test_end();
}
