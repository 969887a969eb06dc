#include "json.h"
#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

/* Parses a copy that ends where the text ends, so that ASan sees a byte too
 * far. The copy is left to the caller. */
static int
parse_copy(struct str text, char **copy, struct json *v, struct err *e)
{
	*copy = test_exact(text.s, text.n);
	return json_parse((struct str){*copy, text.n}, v, e);
}

static bool
accepted(struct str text)
{
	struct json v;
	struct err e;
	char *copy;
	int rv = parse_copy(text, &copy, &v, &e);

	free(copy);
	return rv == 0;
}

/* Walks all there is and reads every string, whatever the type. */
static size_t
walk(const struct json *v)
{
	struct json_iter it = json_iter(v);
	struct json key, item;
	size_t n = 1;
	uint64_t u;

	free(json_strdup(v, 1 << 20));
	json_is(v, "x");
	json_uint(v, UINT64_MAX, &u);
	while (json_next(&it, &key, &item)) {
		free(json_strdup(&key, 1 << 20));
		n += walk(&item);
	}
	return n;
}

static const struct {
	const char *text;
	size_t values;
} good[] = {
    {"null", 1},
    {"true", 1},
    {"false", 1},
    {" \t\r\n0\n", 1},
    {"-0", 1},
    {"-0.0e-0", 1},
    {"12.50E+07", 1},
    {"1e9999999999999999999999", 1},
    {"\"\"", 1},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"", 1},
    {"\"\\ud83d\\uDE00\"", 1},
    {"\"\\u0000\"", 1},
    {"\"\x7f\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"", 1},
    {"[]", 1},
    {"[ ]", 1},
    {"{ }", 1},
    {"[[],[[]],{}]", 5},
    {"[1,2 , 3]", 4},
    {"{\"a\":1,\"b\" : [true,false,null],\"\":{\"c\":\"]}\"}}", 8},
    {"{\"a\":1,\"a\":2}", 3},
    {"[\"[{\\\"\",-1]", 3},
};

static void
test_good(void)
{
	for (size_t i = 0; i < countof(good); i++) {
		struct json v;
		struct err e;
		char *copy;

		CHECK_ROW(
		    i, parse_copy(str_of(good[i].text), &copy, &v, &e) == 0);
		CHECK_ROW(i, walk(&v) == good[i].values);
		free(copy);
	}
}

/* What is cut short is refused, or a shorter number or blanks at the end. */
static void
test_cuts(void)
{
	for (size_t i = 0; i < countof(good); i++) {
		struct str all = str_of(good[i].text);
		struct json v;
		struct err e;

		json_parse(all, &v, &e);
		for (size_t n = 0; n < all.n; n++) {
			bool whole = all.s + n >= v.text.s + v.text.n;

			if (v.type != JSON_NUMBER || whole)
				CHECK_ROW(
				    i, accepted(str_make(all.s, n)) == whole);
		}
	}
}

static void
test_refused(void)
{
	static const struct {
		const char *text, *msg;
	} t[] = {
	    {"", "line 1, column 1: the text ends too early"},
	    {" \n ", "line 2, column 2: the text ends too early"},
	    {"nul", "line 1, column 1: a value is missing"},
	    {"nulL", "line 1, column 1: a value is missing"},
	    {"True", "line 1, column 1: a value is missing"},
	    {"NaN", "line 1, column 1: a value is missing"},
	    {"Infinity", "line 1, column 1: a value is missing"},
	    {"nullx", "line 1, column 5: more text after the value"},
	    {"1 2", "line 1, column 3: more text after the value"},
	    {"[]]", "line 1, column 3: more text after the value"},
	    {"{}{", "line 1, column 3: more text after the value"},
	    {"01", "line 1, column 2: a number with a leading zero"},
	    {"-01", "line 1, column 3: a number with a leading zero"},
	    {"-", "line 1, column 2: the text ends too early"},
	    {"+1", "line 1, column 1: a value is missing"},
	    {".5", "line 1, column 1: a value is missing"},
	    {"1.", "line 1, column 3: the text ends too early"},
	    {"1.e1", "line 1, column 3: a digit is missing"},
	    {"1e", "line 1, column 3: the text ends too early"},
	    {"[1e+]", "line 1, column 5: a digit is missing"},
	    {"1e+-1", "line 1, column 4: a digit is missing"},
	    {"0x10", "line 1, column 2: more text after the value"},
	    {"-a", "line 1, column 2: a digit is missing"},
	    {"'a'", "line 1, column 1: a value is missing"},
	    {"\"a", "line 1, column 3: the text ends too early"},
	    {"\"a\\", "line 1, column 3: the string is not closed"},
	    {"\"\\\"", "line 1, column 4: the text ends too early"},
	    {"\"\\x41\"", "line 1, column 2: no such escape"},
	    {"\"\\u004\"",
		"line 1, column 2: \\u wants four hexadecimal digits"},
	    {"\"\\u004g\"",
		"line 1, column 2: \\u wants four hexadecimal digits"},
	    {"\"\\u", "line 1, column 2: \\u wants four hexadecimal digits"},
	    {"\"\\U0041\"", "line 1, column 2: no such escape"},
	    {"\"\\ud800\"", "line 1, column 2: half of a surrogate pair"},
	    {"\"\\ud800\\n\"", "line 1, column 2: half of a surrogate pair"},
	    {"\"\\ud800\\ud800\"",
		"line 1, column 2: half of a surrogate pair"},
	    {"\"\\udc00\"", "line 1, column 2: half of a surrogate pair"},
	    {"\"\\udc00\\ud800\"",
		"line 1, column 2: half of a surrogate pair"},
	    {"\"a\tb\"", "line 1, column 3: a control character in a string"},
	    {"\"a\nb\"", "line 1, column 3: a control character in a string"},
	    {"\"\x1f\"", "line 1, column 2: a control character in a string"},
	    {"\"\xff\"", "line 1, column 2: not UTF-8"},
	    {"\"\xc3\"", "line 1, column 2: not UTF-8"},
	    {"\"\xc3\xa4\xed\xa0\x80\"", "line 1, column 3: not UTF-8"},
	    {"\"\xc0\x80\"", "line 1, column 2: not UTF-8"},
	    {"\"\xf4\x90\x80\x80\"", "line 1, column 2: not UTF-8"},
	    {"\xef\xbb\xbf[]", "line 1, column 1: a value is missing"},
	    {"[", "line 1, column 2: the text ends too early"},
	    {"[1", "line 1, column 3: the text ends too early"},
	    {"[1,]", "line 1, column 4: a value is missing"},
	    {"[,1]", "line 1, column 2: a value is missing"},
	    {"[1 2]", "line 1, column 4: ',' or ']' is missing"},
	    {"[1}", "line 1, column 3: ',' or ']' is missing"},
	    {"{\"a\":1]", "line 1, column 7: ',' or '}' is missing"},
	    {"{\"a\":1,}", "line 1, column 8: a name in quotes is missing"},
	    {"{,}", "line 1, column 2: a name in quotes is missing"},
	    {"{a:1}", "line 1, column 2: a name in quotes is missing"},
	    {"{1:1}", "line 1, column 2: a name in quotes is missing"},
	    {"{\"a\"}", "line 1, column 5: ':' is missing"},
	    {"{\"a\" 1}", "line 1, column 6: ':' is missing"},
	    {"{\"a\":}", "line 1, column 6: a value is missing"},
	    {"{\"a\"::1}", "line 1, column 6: a value is missing"},
	    {"[1] // x", "line 1, column 5: more text after the value"},
	    {"/* x */ 1", "line 1, column 1: a value is missing"},
	    {"{\n\t\"a\": [\n1 x", "line 3, column 3: ',' or ']' is missing"},
	    {"\f1", "line 1, column 1: a value is missing"},
	    {"\xc2\xa0"
	     "1",
		"line 1, column 1: a value is missing"},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct json v;
		struct err e;
		char *copy;

		CHECK_ROW(i, parse_copy(str_of(t[i].text), &copy, &v, &e) < 0);
		CHECK_ROW(i, e.kind == ERR_OTHER);
		CHECK_ROW(i, strcmp(e.msg, t[i].msg) == 0);
		free(copy);
	}
	CHECK(!accepted(str_make("1\0", 2)));
	CHECK(!accepted(str_make("\"a\0b\"", 5)));
	CHECK(!accepted((struct str){NULL, 0}));
}

static void
test_depth(void)
{
	char text[2 * JSON_DEPTH + 2];

	memset(text, '[', JSON_DEPTH);
	memset(text + JSON_DEPTH, ']', JSON_DEPTH);
	CHECK(accepted(str_make(text, 2 * JSON_DEPTH)));
	memset(text, '[', JSON_DEPTH + 1);
	memset(text + JSON_DEPTH + 1, ']', JSON_DEPTH + 1);
	CHECK(!accepted(str_make(text, sizeof(text))));
	CHECK(!accepted(str_make(text, JSON_DEPTH + 1)));
}

static void
test_string(void)
{
	static const struct {
		const char *text, *value;
	} t[] = {
	    {"\"\"", ""},
	    {"\"abc\"", "abc"},
	    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
	    {"\"x\\u0041y\\u00e4z\"", "xAy\xc3\xa4z"},
	    {"\"\\u20AC\\ud83d\\ude00\"", "\xe2\x82\xac\xf0\x9f\x98\x80"},
	    {"\"\\uD800\\uDC00\\uDBFF\\uDFFF\"",
		"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
	    {"\"\\\\u0041\"", "\\u0041"},
	    {"\"a\\u0000\"", NULL},
	    {"12", NULL},
	    {"null", NULL},
	    {"[\"a\"]", NULL},
	    {"{\"a\":\"b\"}", NULL},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf b = buf_make(64);
		struct json v;
		struct err e;
		char *s;

		CHECK_ROW(i, json_parse(str_of(t[i].text), &v, &e) == 0);
		buf_puts(&b, "<");
		CHECK_ROW(i, json_string(&v, &b) == (t[i].value ? 0 : -1));
		CHECK_ROW(i, strcmp(buf_cstr(&b) + 1,
				 t[i].value ? t[i].value : "") == 0);
		s = json_strdup(&v, 64);
		CHECK_ROW(i, !s == !t[i].value);
		CHECK_ROW(i, !s || strcmp(s, t[i].value) == 0);
		CHECK_ROW(i, !s || json_is(&v, s));
		CHECK_ROW(i, !json_is(&v, "abcd") && !json_is(&v, "ab"));
		CHECK_ROW(i, !s || !*s || !json_is(&v, ""));
		free(s);
		buf_release(&b);
	}
}

static void
test_limit(void)
{
	struct json v;
	struct err e;
	char *s;

	json_parse(str_of("\"ab\\u00e4\""), &v, &e);
	CHECK(!json_strdup(&v, 3));
	s = json_strdup(&v, 4);
	CHECK(s && strcmp(s, "ab\xc3\xa4") == 0);
	free(s);
}

static void
test_uint(void)
{
	static const struct {
		const char *text;
		uint64_t max;
		int rv;
		uint64_t value;
	} t[] = {
	    {"0", 0, 0, 0},
	    {"7", 7, 0, 7},
	    {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
	    {"12.0", 12, 0, 12},
	    {"1.2e1", 12, 0, 12},
	    {"1.2E+01", 12, 0, 12},
	    {"1200e-2", 12, 0, 12},
	    {"1.50e1", 15, 0, 15},
	    {"0.0", 9, 0, 0},
	    {"0e99999999999999999999", 9, 0, 0},
	    {"0.0e-99999999999999999999", 9, 0, 0},
	    {"0.00012e5", 12, 0, 12},
	    {"1844674407370955161.5e1", UINT64_MAX, 0, UINT64_MAX},
	    {"5e18", UINT64_MAX, 0, 5000000000000000000u},
	    {"1", 0, -1, 0},
	    {"8", 7, -1, 0},
	    {"70", 69, -1, 0},
	    {"7e1", 69, -1, 0},
	    {"18446744073709551616", UINT64_MAX, -1, 0},
	    {"184467440737095516150", UINT64_MAX, -1, 0},
	    {"2e19", UINT64_MAX, -1, 0},
	    {"1e99999999999999999999", UINT64_MAX, -1, 0},
	    {"1e-99999999999999999999", UINT64_MAX, -1, 0},
	    {"1.5", 9, -1, 0},
	    {"12e-1", 99, -1, 0},
	    {"0.1", 9, -1, 0},
	    {"10.01e1", 999, -1, 0},
	    {"-1", 9, -1, 0},
	    {"-0", 9, -1, 0},
	    {"\"1\"", 9, -1, 0},
	    {"true", 9, -1, 0},
	    {"[1]", 9, -1, 0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct json v;
		struct err e;
		uint64_t n = 0;

		CHECK_ROW(i, json_parse(str_of(t[i].text), &v, &e) == 0);
		CHECK_ROW(i, json_uint(&v, t[i].max, &n) == t[i].rv);
		CHECK_ROW(i, n == t[i].value);
	}
}

static void
test_get(void)
{
	static const char text[] =
	    "{\"a\" : \"x\", \"n\":12 ,\"t\":true,\"f\":false,\"deep\":{\"a\":"
	    "\"y\",\"only\":1},\"\\u0062\":[\"}\",{}],\"twice\":1,\"\":3,"
	    "\"twic\\u0065\":1,\"nul\\u0000\":5}";
	struct json v, item;
	struct err e;
	uint64_t n = 0;
	char *s, *copy;

	CHECK(parse_copy(str_of(text), &copy, &v, &e) == 0);
	CHECK(json_get(&v, "a", &item) && json_is(&item, "x"));
	CHECK(
	    json_get(&v, "", &item) && json_uint(&item, 9, &n) == 0 && n == 3);
	CHECK(json_get(&v, "b", &item) && item.type == JSON_ARRAY);
	CHECK(str_eq(item.text, "[\"}\",{}]"));
	CHECK(json_get(&v, "deep", &item) && json_get(&item, "a", &item));
	CHECK(json_is(&item, "y"));
	CHECK(!json_get(&v, "only", &item));
	CHECK(!json_get(&v, "twice", &item));
	CHECK(!json_get(&v, "nul", &item));
	CHECK(!json_get(&v, "A", &item));
	CHECK(!json_get(&item, "a", &item));

	CHECK(json_get_uint(&v, "n", 12, &n) == 0 && n == 12);
	CHECK(json_get_uint(&v, "n", 11, &n) < 0);
	CHECK(json_get_uint(&v, "a", 99, &n) < 0);
	CHECK(json_get_uint(&v, "none", 99, &n) < 0);
	CHECK(json_get_bool(&v, "t", false));
	CHECK(!json_get_bool(&v, "f", true));
	CHECK(json_get_bool(&v, "n", true) && !json_get_bool(&v, "n", false));
	CHECK(json_get_bool(&v, "none", true));
	s = json_get_strdup(&v, "a", 1);
	CHECK(s && strcmp(s, "x") == 0);
	free(s);
	CHECK(!json_get_strdup(&v, "a", 0));
	CHECK(!json_get_strdup(&v, "n", 9));
	CHECK(!json_get_strdup(&v, "none", 9));
	free(copy);
}

static void
test_iter(void)
{
	struct json v, key, item;
	struct json_iter it;
	struct err e;

	json_parse(str_of(" [ 1 , \"a,b\", [2,3],{\"k\":4} ] "), &v, &e);
	it = json_iter(&v);
	CHECK(json_next(&it, &key, &item) && str_eq(item.text, "1"));
	CHECK(key.type == JSON_NULL && !key.text.n);
	CHECK(json_next(&it, NULL, &item) && json_is(&item, "a,b"));
	CHECK(json_next(&it, NULL, &item) && str_eq(item.text, "[2,3]"));
	CHECK(json_next(&it, NULL, &item) && str_eq(item.text, "{\"k\":4}"));
	CHECK(!json_next(&it, NULL, &item));
	CHECK(!json_next(&it, NULL, &item));
	it = json_iter(&item);
	CHECK(json_next(&it, &key, &item) && json_is(&key, "k"));
	CHECK(str_eq(item.text, "4"));
	CHECK(!json_next(&it, &key, &item));
	it = json_iter(&item);
	CHECK(!json_next(&it, &key, &item));
}

static void
test_put(void)
{
	static const struct {
		const char *s, *text;
	} t[] = {
	    {"", "\"\""},
	    {"abc", "\"abc\""},
	    {"a\"b\\c/", "\"a\\\"b\\\\c/\""},
	    {"\b\f\n\r\t\x01\x1f\x7f",
		"\"\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\""},
	    {"\xc3\xa4\xf0\x9f\x98\x80", "\"\xc3\xa4\xf0\x9f\x98\x80\""},
	    {"\xc2\x9b\xc2\xa0\xd8\x9c", "\"\\u009b\xc2\xa0\\u061c\""},
	    {"\xe2\x80\xae!\xe2\x81\xa6", "\"\\u202e!\\u2066\""},
	    {"a\xff\xc3", "\"a\xef\xbf\xbd\xef\xbf\xbd\""},
	    {"\xed\xa0\x80!", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!\""},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf b = buf_make(64);

		json_put_string(&b, str_of(t[i].s));
		CHECK_ROW(i, strcmp(buf_cstr(&b), t[i].text) == 0);
		CHECK_ROW(i, accepted(buf_str(&b)));
		buf_release(&b);
	}
}

static void
test_put_nul(void)
{
	struct buf b = buf_make(64);

	json_put_string(&b, str_make("a\0b", 3));
	CHECK(strcmp(buf_cstr(&b), "\"a\\u0000b\"") == 0);
	buf_release(&b);
}

/* One file of the suite: y_ is accepted and can be walked, n_ is refused, and
 * i_ may be either. */
static void
suite_file(const char *dir, const char *name)
{
	struct buf path = buf_make(4096);
	static char text[1 << 20];
	struct json v;
	struct err e;
	char *copy;
	size_t n;
	FILE *f;
	int rv;

	buf_printf(&path, "%s/%s", dir, name);
	f = fopen(buf_cstr(&path), "rb");
	buf_release(&path);
	CHECK(f != NULL);
	if (!f)
		return;
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	rv = parse_copy((struct str){text, n}, &copy, &v, &e);
	if (rv == 0)
		walk(&v);
	free(copy);
	if (*name != 'i')
		test_count((rv == 0) == (*name == 'y'), name, 1,
		    "the suite's verdict", -1);
}

/* JSONTESTSUITE is the folder test_parsing of the suite of that name. */
static void
test_suite(void)
{
	const char *dir = getenv("JSONTESTSUITE");
	struct dirent *entry;
	DIR *d;

	if (!dir)
		return;
	d = opendir(dir);
	CHECK(d != NULL);
	while (d && (entry = readdir(d)))
		if (str_ends(str_of(entry->d_name), ".json"))
			suite_file(dir, entry->d_name);
	if (d)
		closedir(d);
}

int
main(void)
{
	test_good();
	test_cuts();
	test_refused();
	test_depth();
	test_string();
	test_limit();
	test_uint();
	test_get();
	test_iter();
	test_put();
	test_put_nul();
	test_suite();
	return test_end();
}
