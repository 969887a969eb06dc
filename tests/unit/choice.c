
#include "../../listing.c"

#include <string.h>

#include "err.h"
#include "option.h"
#include "str.h"
#include "tests/unit/test.h"

/* A list of words, one blank between them, in room. */
static struct string_list
words(char *text, const char **room)
{
	struct string_list l = {room, 0};

	for (char *p = text; *p;) {
		room[l.n++] = p;
		p += strcspn(p, " ");
		if (*p)
			*p++ = '\0';
	}
	return l;
}

/* A choice by words; -f and -o as in options. */
struct bench {
	char args[128], include[64], exclude[64];
	const char *room[3][20];
	struct options o;
	struct choice c;
	struct err e;
};

static int
make(struct bench *b, const char *args, const char *include,
    const char *exclude, const char *how)
{
	static const char to[] = "-";

	*b = (struct bench){.args = ""};
	CHECK(strlen(args) < sizeof(b->args));
	memcpy(b->args, args, strlen(args));
	memcpy(b->include, include, strlen(include));
	memcpy(b->exclude, exclude, strlen(exclude));
	b->o.args = words(b->args, b->room[0]);
	b->o.include = words(b->include, b->room[1]);
	b->o.exclude = words(b->exclude, b->room[2]);
	b->o.file = strcmp(how, "-f") == 0;
	b->o.output = strcmp(how, "-o") == 0 ? to : NULL;
	return choice_init(&b->c, &b->o, strcmp(how, "path") == 0 ? "p" : NULL,
	    "target", &b->e);
}

static void
test_takes(void)
{
	static const struct {
		const char *args, *include, *exclude, *how, *path;
		bool want;
	} rows[] = {
	    {"", "", "", "", "a", true},
	    {"", "*.x", "", "", "a", false},
	    {"", "*.x", "", "", "a.x", true},
	    {"", "", "*.x", "", "a.x", false},
	    {"a", "", "", "", "a", true},
	    {"a", "", "", "", "ab", false},
	    {"a", "", "", "", "a/b/c", true},
	    {"a/", "", "", "", "a/b/c", true},
	    {"a/", "", "", "", "a", false},
	    {"a b", "", "", "", "b", true},
	    {"./a", "", "", "", "a", true},
	    {"a", "*.x", "", "", "a/b", false},
	    {"a", "", "a/*", "", "a/b", false},
	    {"a", "", "", "-f", "a", true},
	    {"a", "", "", "-f", "a/b", false},
	    {"a", "", "", "-o", "a/b", false},
	    {"", "", "", "-f", "target", true},
	    {"", "", "", "-f", "a", false},
	    {"", "", "", "path", "p/x", true},
	    {"a", "", "", "path", "p", true},
	    {"a", "", "", "path", "a", true},
	    {"a", "", "", "path", "b", false},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct bench b;

		CHECK_ROW(i, make(&b, rows[i].args, rows[i].include,
				 rows[i].exclude, rows[i].how) == 0);
		CHECK_ROW(i, choice_takes(&b.c, rows[i].path) == rows[i].want);
		choice_release(&b.c);
		choice_release(&b.c);
	}
}

static void
test_refused(void)
{
	static const struct {
		const char *args, *how, *says;
	} rows[] = {
	    {"a b", "-f", "-f takes one file of the repository, not 2"},
	    {"a b c", "-o", "-o takes one file of the repository, not 3"},
	    {"", "-o", "-o needs the name of one file"},
	    {"a/", "-f", "'a/' is a folder"},
	    {"a/", "-o", "'a/' is a folder"},
	    {"../a", "", "'../a'"},
	    {"a /b", "", "'/b'"},
	    {"a//", "", "'a//'"},
	    {"/", "", "'/'"},
	    {"./", "", "''"},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct bench b;

		CHECK_ROW(i, make(&b, rows[i].args, "", "", rows[i].how) < 0);
		CHECK_ROW(i, b.e.kind == ERR_USAGE);
		CHECK_ROW(i, strstr(b.e.msg, rows[i].says));
		choice_release(&b.c);
	}
}

static void
test_few(void)
{
	static const struct {
		const char *args;
		bool want;
	} rows[] = {
	    {"", false}, {"a", true}, {"a a a", true}, {"a b/", false},
	    {"1 2 3 4 5 6 7 8 9 a b c d e f g", true},
	    {"1 2 3 4 5 6 7 8 9 a b c d e f g h", false},
	    {"1 2 3 4 5 6 7 8 9 a b c d e f g g", true}, /* twice is once */
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct bench b;

		CHECK_ROW(i, make(&b, rows[i].args, "", "", "") == 0);
		CHECK_ROW(i, choice_is_few_files(&b.c) == rows[i].want);
		choice_release(&b.c);
	}
}

static void
test_check(void)
{
	static const struct {
		const char *args, *include, *there;
		bool some;
		const char *says; /* "": all is well */
	} rows[] = {
	    {"", "", "a", true, ""},
	    {"", "", "a", false, ""}, /* an empty repository */
	    {"", "x", "a", true, ""},
	    {"", "x", "a", false, "no file of 'me/r' matches --include"},
	    {"a", "", "a", true, ""},
	    {"a b", "", "a", true, "there is no file 'b' in 'me/r'"},
	    {"a b/", "", "a", true, "there is no folder 'b/' in 'me/r'"},
	    {"a b/", "", "a b/c", true, ""},
	    {"a", "x", "a", false, "matches --include"}, /* a is there */
	};

	for (size_t i = 0; i < countof(rows); i++) {
		char text[16] = "";
		const char *room[8];
		struct string_list there;
		struct bench b;
		int rv;

		memcpy(text, rows[i].there, strlen(rows[i].there));
		there = words(text, room);
		CHECK_ROW(
		    i, make(&b, rows[i].args, rows[i].include, "", "") == 0);
		for (size_t k = 0; k < there.n; k++)
			choice_takes(&b.c, there.s[k]);
		rv = choice_check(&b.c, rows[i].some, "me/r", &b.e);
		CHECK_ROW(i, (rv == 0) == !*rows[i].says);
		CHECK_ROW(i, rv == 0 || b.e.kind == ERR_ABSENT);
		CHECK_ROW(i, strstr(b.e.msg, rows[i].says));
		choice_release(&b.c);
	}
}

int
main(void)
{
	test_takes();
	test_refused();
	test_few();
	test_check();
	return test_end();
}
