#include "env.h"
#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

/* env_compare.py has many more, against python-dotenv itself. */

static const char *
real(void *ctx, const char *name)
{
	(void)ctx;
	if (strcmp(name, "REAL") == 0)
		return "real";
	return strcmp(name, "EMPTY") == 0 ? "" : NULL;
}

/* Parses a copy that ends where the text ends, so that ASan sees a byte too
 * far. */
static int
parse(struct str text, struct env *v, struct err *e)
{
	char *copy = test_exact(text.s, text.n);
	int rv;

	rv = env_parse((struct str){copy, text.n}, real, NULL, v, e);
	free(copy);
	return rv;
}

static const struct {
	const char *text;
	size_t n;
	const char *a, *b; /* the values of A and B */
} good[] = {
    {"", 0, NULL, NULL},
    {" \n\t\r\n # x\n#A=1", 0, NULL, NULL},
    {"A=1", 1, "1", NULL},
    {"A=1\nB=2\n", 2, "1", "2"},
    {"A=1\r\nB=2\r\n", 2, "1", "2"},
    {"A=1\rB=2", 2, "1", "2"},
    {"\xef\xbb\xbf"
     "A=1",
	1, "1", NULL},
    {"A", 1, NULL, NULL},
    {"A=1\nA", 2, NULL, NULL},
    {"A=1\nA=2\nB=${A}", 3, "2", "2"},
    {"A=", 1, "", NULL},
    {" A\t= b  c \t# d\n", 1, "b  c", NULL},
    {"A=#b", 1, "#b", NULL},
    {"A= #b", 1, "", NULL},
    {"A=b#c #d #e", 1, "b#c", NULL},
    {"A=b=c", 1, "b=c", NULL},
    {"A=it's", 1, "it's", NULL},
    {"A=a\\nb", 1, "a\\nb", NULL},
    {"export A=1\nexport\tB=2", 2, "1", "2"},
    {"export=1\nexport A", 2, NULL, NULL},
    {"export # x", 0, NULL, NULL},
    {"'A'=1\n'b c'=2", 2, "1", NULL},
    {"A=\"x\" # y\nB='z'", 2, "x", "z"},
    {"A=\"x\"#y", 1, "x", NULL},
    {"A=\" # \"\nB=' # '", 2, " # ", " # "},
    {"A=\"a\\\"b\\\\\"\nB='a\\'b\\\\'", 2, "a\"b\\", "a'b\\"},
    {"A=\"\\a\\b\\f\\n\\r\\t\\v\\'\"", 1, "\a\b\f\n\r\t\v'", NULL},
    {"A=\"\\q\\$\\0\"\nB='\\n\\\"'", 2, "\\q\\$\\0", "\\n\\\""},
    {"A=\"a\nb\"\nB='c\r\nd'", 2, "a\nb", "c\nd"},
    {"A=${REAL}\nB=\"<${REAL}>\"", 2, "real", "<real>"},
    {"A='${REAL}'\nB=\\${REAL}", 2, "real", "\\real"},
    {"REAL=file\nA=${REAL}", 2, "real", NULL},
    {"A=${NONE}\nB=${NONE:-x y}", 2, "", "x y"},
    {"A=${EMPTY:-x}\nB=${REAL:-x}", 2, "", "real"},
    {"A=${NONE:-${REAL}}", 1, "${REAL}", NULL},
    {"A=$REAL ${REAL\nB=${NONE-x}${NONE:x}", 2, "$REAL ${REAL", "${NONE:x}"},
    {"A\nB=<${A:-x}>", 2, NULL, "<>"},
    {"A=1\nB=$${A}$", 2, "1", "$1$"},
    {"\xc2\xa0"
     "A=\xe2\x80\x83x\xe3\x80\x80#y\xc2\x85",
	1, "x", NULL},
    {"A=x\x1c#y\nB=x\x1b#y", 2, "x", "x\x1b#y"},
    {"A=\xf0\x9f\x98\x80 \xc3\xa4", 1, "\xf0\x9f\x98\x80 \xc3\xa4", NULL},
};

static void
test_good(void)
{
	for (size_t i = 0; i < countof(good); i++) {
		struct env v;
		struct err e;

		CHECK_ROW(i, parse(str_of(good[i].text), &v, &e) == 0);
		CHECK_ROW(i, v.n == good[i].n);
		CHECK_ROW(i, test_same(env_get(&v, "A"), good[i].a));
		CHECK_ROW(i, test_same(env_get(&v, "B"), good[i].b));
		CHECK_ROW(i, !env_get(&v, "") && !env_get(&v, "NONE"));
		env_release(&v);
		env_release(&v);
		CHECK_ROW(i, !v.n && !env_get(&v, "A"));
	}
}

/* Whatever is left of a cut file, nothing is read behind it. */
static void
test_cuts(void)
{
	for (size_t i = 0; i < countof(good); i++)
		for (size_t n = 0; n < strlen(good[i].text); n++) {
			struct env v;
			struct err e;
			int rv = parse(str_make(good[i].text, n), &v, &e);

			CHECK_ROW(i, rv == 0 || e.kind == ERR_USAGE);
			CHECK_ROW(i, rv == 0 || (!v.pair && !v.n));
			env_release(&v);
		}
}

static void
test_refused(void)
{
	static const struct {
		const char *text, *msg;
	} t[] = {
	    {"A=\"x", "line 1: unterminated quote in the value"},
	    {"\n\nA='x\ny\n", "line 3: unterminated quote in the value"},
	    {"A=1\nB=\"x\\\"", "line 2: unterminated quote in the value"},
	    {"A=\"x\\", "line 1: unterminated quote in the value"},
	    {"A='x'y", "line 1: more text after the value"},
	    {"A=\"x\" 'y'", "line 1: more text after the value"},
	    {"A='a\nb'\r\nB=\"x\"=1", "line 3: more text after the value"},
	    {"A B", "line 1: '=' is missing after the name"},
	    {"A=1\rA B=1", "line 2: '=' is missing after the name"},
	    {"export A B", "line 1: '=' is missing after the name"},
	    {"export export A=1", "line 1: '=' is missing after the name"},
	    {"'A'B=1", "line 1: '=' is missing after the name"},
	    {"=1", "line 1: a name is missing"},
	    {" = 1", "line 1: a name is missing"},
	    {"''=1", "line 1: a name is missing"},
	    {"export \nA=1", "line 1: a name is missing"},
	    {"'A=1", "line 1: unterminated quote in the name"},
	    {"A=1\nB=\xff", "line 2: not UTF-8"},
	    {"A=\xc3", "line 1: not UTF-8"},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct env v;
		struct err e;

		CHECK_ROW(i, parse(str_of(t[i].text), &v, &e) < 0);
		CHECK_ROW(i, e.kind == ERR_USAGE);
		CHECK_ROW(i, strcmp(e.msg, t[i].msg) == 0);
		CHECK_ROW(i, !v.n && !v.pair);
	}
}

static void
test_nul(void)
{
	struct env v;
	struct err e;

	CHECK(parse(str_make("A=1\nB=\0", 7), &v, &e) < 0);
	CHECK(strcmp(e.msg, "line 2: a NUL byte") == 0);
	CHECK(parse((struct str){NULL, 0}, &v, &e) == 0 && !v.n);
}

static void
test_too_long(void)
{
	struct buf text = buf_make(ENV_MAX + 1);
	struct env v;
	struct err e;

	buf_puts(&text, "A=");
	while (text.len < ENV_MAX)
		buf_putc(&text, 'x');
	CHECK(parse(buf_str(&text), &v, &e) == 0);
	CHECK(strlen(env_get(&v, "A")) == ENV_MAX - 2);
	env_release(&v);
	buf_putc(&text, 'x');
	CHECK(parse(buf_str(&text), &v, &e) < 0 && e.kind == ERR_USAGE);
	buf_release(&text);
}

/* Each line doubles the value before it. */
static void
test_doubling(void)
{
	struct buf text = buf_make(ENV_MAX);
	struct env v;
	struct err e;

	buf_puts(&text, "A=0123456789\n");
	for (int i = 0; i < 60; i++)
		buf_puts(&text, "A=${A}${A}\n");
	CHECK(parse(buf_str(&text), &v, &e) < 0);
	CHECK(strcmp(e.msg, "line 17: the values are too long") == 0);
	buf_release(&text);
}

int
main(void)
{
	test_good();
	test_cuts();
	test_refused();
	test_nul();
	test_too_long();
	test_doubling();
	return test_end();
}
