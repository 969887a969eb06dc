
#include "../../option.c"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

/* The real shells read them in tests/e2e/pack.py. */

static const char *const shell_names[] = {"bash", "zsh", "fish"};

static char *
script(const char *shell)
{
	struct buf b = buf_make(1 << 16);
	struct err e;

	CHECK(completion_put(shell, &b, &e) == 0);
	CHECK(!b.full);
	return buf_detach(&b);
}

/* No option and no command is missing. */
static void
test_complete(void)
{
	for (size_t i = 0; i < countof(shell_names); i++) {
		char *text = script(shell_names[i]);
		const struct command_row *c;
		const struct option_row *r;

		for (size_t n = 0; (c = command_next(n)); n++) {
			CHECK_ROW(i, strstr(text, c->name));
			for (size_t at = 0;
			     (r = command_option_next(c->command, &at));)
				CHECK_ROW(i, !r->name || strstr(text, r->name));
		}
		CHECK_ROW(i, strstr(text, "model dataset space"));
		CHECK_ROW(i, strstr(text, "bash zsh fish"));
		free(text);
	}
}

/* What the help says stands in single quotes; a ']' or a '\\' would have to be
 * escaped for zsh, which the scripts do not. */
static void
test_quotes(void)
{
	const struct command_row *c;
	const struct option_row *r;
	char *text = script("zsh");

	CHECK(strstr(text, "a directory'\\''s content]:PATH:_files'"));
	free(text);
	text = script("fish");
	CHECK(strstr(text, "a directory'\\''s content'\n"));
	free(text);
	for (size_t n = 0; (c = command_next(n)); n++) {
		CHECK_ROW(n, !strpbrk(c->help, "'\"\\\\:$`"));
		for (size_t at = 0; (r = command_option_next(c->command, &at));)
			CHECK_ROW(at, !strpbrk(r->help, "[]\\\\"));
	}
}

static void
test_refused(void)
{
	static const char *const rows[] = {NULL, "", "sh", "bas", "bashx"};

	for (size_t i = 0; i < countof(rows); i++) {
		struct buf b = buf_make(1 << 16);
		struct err e;

		CHECK_ROW(i, completion_put(rows[i], &b, &e) < 0);
		CHECK_ROW(i, e.kind == ERR_USAGE && strstr(e.hint, "zsh"));
		CHECK_ROW(i, !b.len);
		buf_release(&b);
	}
}

int
main(void)
{
	test_complete();
	test_quotes();
	test_refused();
	return test_end();
}
