
#include "../../option.c"

#include <stdlib.h>
#include <string.h>

#include "str.h"
#include "tests/unit/test.h"

static void
test_same_name(void)
{
	static const struct {
		const char *word, *name;
		bool want;
	} rows[] = {
	    {"local_path", "local_path", true},
	    {"local-path", "local_path", true},
	    {"local_dir", "local-dir", true},
	    {"local-pat", "local_path", false},
	    {"local-paths", "local_path", false},
	    {"Local-path", "local_path", false},
	    {"", "", true},
	    {"", "x", false},
	    {"x", NULL, false},
	    {"", NULL, false},
	};

	for (size_t i = 0; i < countof(rows); i++)
		CHECK_ROW(i, spelling_same(str_of(rows[i].word),
				 rows[i].name) == rows[i].want);
}

/* Which of the names is meant, and how many letters of it are wrong. */
static void
test_nearest(void)
{
#define A8 "aaaaaaaa"
#define A32 A8 A8 A8 A8
	static const char *const names[] = {"resume", NULL, "revision",
	    "retries", "local_path", "local-dir", "file", "force", A32};
	static const struct {
		const char *word, *best; /* NULL: none */
		size_t distance;
	} rows[] = {
	    {"resume", "resume", 0},
	    {"resum", "resume", 1},
	    {"resumee", "resume", 1},
	    {"rsume", "resume", 1},
	    {"resune", "resume", 1},
	    {"ersume", "resume", 1},
	    {"reusme", "resume", 1},
	    {"rseuem", "resume", 2},
	    {"rxsxmx", NULL, 0},
	    {"local-path", "local_path", 0},
	    {"loacl-pth", "local_path", 2},
	    {"local", "local_path", 1}, /* the first of those that begin so */
	    {"local_d", "local-dir", 1},
	    {"res", "resume", 1},
	    {"re", NULL, 0}, /* too short for a beginning */
	    {"fil", "file", 1},
	    {"fi", NULL, 0},
	    {"fiel", "file", 1},
	    {"flie", "file", 1},
	    {"", NULL, 0},
	    {"zebra", NULL, 0},
	    {A32 "a", NULL, 0},
	    {A8 A8 A8 "aaaaaaab", A32, 1},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		char *word = xstrdup(rows[i].word);
		struct spelling s = spelling_make(str_of(word));

		for (size_t j = 0; j < countof(names); j++)
			spelling_try(&s, names[j]);
		CHECK_ROW(i, !s.best == !rows[i].best);
		CHECK_ROW(i, !s.best || strcmp(s.best, rows[i].best) == 0);
		CHECK_ROW(i, !s.best || s.distance == rows[i].distance);
		free(word);
	}
}

int
main(void)
{
	test_same_name();
	test_nearest();
	return test_end();
}
