/* Two lines: a pattern, and a path. */

#include "path.h"
#include "tests/fuzz/fuzz.h"

/* A pattern for exactly this text. */
static void
quote(struct buf *b, const char *text)
{
	for (; *text; text++) {
		if (strchr("*?[", *text))
			buf_printf(b, "[%c]", *text);
		else
			buf_putc(b, *text);
	}
}

static void
check_itself(const char *text)
{
	struct buf b = buf_make(1 << 20);

	quote(&b, text);
	MUST(glob_match(buf_cstr(&b), text));
	MUST(glob_match("*", text));
	MUST(glob_match("", text) == !*text);
	buf_release(&b);
}

/* A pattern that matches still does with '*' on either side. */
static void
check_wider(const char *pattern, const char *path)
{
	struct buf b = buf_make(1 << 20);

	buf_printf(&b, "*%s", pattern);
	MUST(glob_match(buf_cstr(&b), path));
	buf_clear(&b);
	buf_printf(&b, "%s*", pattern);
	MUST(glob_match(buf_cstr(&b), path));
	buf_release(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str rest = fuzz_str(p, n);
	char *pattern = fuzz_cstr(fuzz_cut(&rest, '\n'));
	char *path = fuzz_cstr(rest);
	const char *const one[] = {pattern};
	struct glob_list with = {one, 1}, none = {NULL, 0};
	bool found = glob_match(pattern, path);

	check_itself(path);
	check_itself(pattern);
	if (found)
		check_wider(pattern, path);
	MUST(glob_kept(&none, &none, path));
	MUST(glob_kept(&with, &none, path) == found);
	MUST(glob_kept(&none, &with, path) == !found);
	MUST(!glob_kept(&with, &with, path));
	free(pattern);
	free(path);
	return 0;
}
