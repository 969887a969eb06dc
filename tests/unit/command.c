
#include "../../option.c"

#include "str.h"
#include "tests/unit/test.h"

static bool
same(const char *a, const char *b)
{
	return a && b && spelling_same(str_of(a), b);
}

/* What describes the table sees each option of a command once, and headings. */
static void
test_rows(void)
{
	static const struct {
		enum command command;
		const char *name;
		size_t times;
	} rows[] = {
	    {COMMAND_DOWNLOAD, "local_path", 1},
	    {COMMAND_DOWNLOAD, "output", 1},
	    {COMMAND_DOWNLOAD, "private", 0},
	    {COMMAND_UPLOAD, "local_path", 1},
	    {COMMAND_UPLOAD, "private", 1},
	    {COMMAND_UPLOAD, "resume", 1},
	    {COMMAND_LS, "recursive", 1},
	    {COMMAND_LS, "local_path", 1},
	    {COMMAND_LS, "offline", 1},
	    {COMMAND_VERIFY, "cache", 1},
	    {COMMAND_WHOAMI, "local_path", 0},
	    {COMMAND_VERIFY, "local_path", 1},
	    {COMMAND_VERIFY, "repair", 1},
	    {COMMAND_WHOAMI, "upload", 1},
	    {COMMAND_WHOAMI, "repo_id", 0},
	    {COMMAND_VERSION, "json", 1},
	    {COMMAND_VERSION, "quiet", 0},
	    {COMMAND_HELP, "json", 0},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		const struct option_row *r;
		size_t n = 0;

		for (size_t at = 0;
		     (r = command_option_next(rows[i].command, &at));)
			n += same(r->name, rows[i].name);
		CHECK_ROW(i, n == rows[i].times);
	}
	CHECK(command_row(COMMAND_UPLOAD)->command == COMMAND_UPLOAD);
	CHECK(!command_row(COMMAND_NONE));
	for (size_t i = 0; i < 10; i++)
		CHECK_ROW(i, !command_next(i) == (i == 9));
}

/* Nothing on the command line may mean two options. */
static void
test_unique(void)
{
	const struct command_row *c;

	for (size_t i = 0; (c = command_next(i)); i++) {
		const struct option_row *a, *b;
		size_t next = 0;

		while ((a = command_option_next(c->command, &next)))
			for (size_t at = next;
			     (b = command_option_next(c->command, &at));) {
				CHECK_ROW(
				    at, !a->letter || a->letter != b->letter);
				CHECK_ROW(at, !same(a->name, b->name));
				CHECK_ROW(at, !same(a->name, b->alias));
				CHECK_ROW(at, !same(a->alias, b->name));
				CHECK_ROW(at, !same(a->alias, b->alias));
			}
	}
}

/* What takes a value has a name for it. */
static void
test_values(void)
{
	const struct command_row *c;
	size_t seen = 0;

	for (size_t i = 0; (c = command_next(i)); i++) {
		const struct option_row *r;

		for (size_t at = 0; (r = command_option_next(c->command, &at));
		     seen++) {
			CHECK_ROW(at, !r->value == (r->type == OPTION_FLAG));
			CHECK_ROW(at, r->value || !command_option_words(r));
			CHECK_ROW(at, r->at < sizeof(struct options));
		}
	}
	CHECK(seen > 50);
}

int
main(void)
{
	test_rows();
	test_unique();
	test_values();
	return test_end();
}
