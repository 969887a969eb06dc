/* Paths of a repository that are to name files here, and texts that are to be
 * shown. */

#include "path.h"
#include "tests/fuzz/fuzz.h"

static void
check_part(struct str part)
{
	MUST(part.n > 0 && part.n <= 255);
	MUST(!str_eq(part, ".") && !str_eq(part, ".."));
	MUST(!str_eq_nocase(part, ".git"));
}

/* What may become a file: said here in other words than in path.c. */
static void
check_accepted(struct str path)
{
	struct str part, rest = path;
	char *text = fuzz_cstr(path);
	struct err e;

	MUST(path.n > 0 && path.n <= 4096 && path.s[0] != '/');
	MUST(strlen(text) == path.n && fuzz_printable(text));
	if (path_check_windows(path, &e) == 0)
		MUST(!strchr(text, '\\'));
	else
		MUST(e.kind == ERR_FILE && strpbrk(text, "\\:"));
	while (str_cut(rest, '/', &part, &rest))
		check_part(part);
	check_part(rest);
	rest = path;
	if (str_eq_nocase(fuzz_cut(&rest, '/'), ".cache"))
		MUST(!str_eq_nocase(fuzz_cut(&rest, '/'), "huggingface"));
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str path = fuzz_str(p, n);
	char *text = fuzz_cstr(path);
	struct err e;

	if (path_check(path, &e) == 0) {
		check_accepted(path);
	} else {
		fuzz_failed(&e);
		MUST(e.kind == ERR_CONTENT);
	}
	err_set(&e, ERR_NET, "%s", n ? text : "x");
	MUST(fuzz_printable(e.msg));
	err_in(&e, "%s", text);
	err_hint(&e, "%s", text);
	MUST(fuzz_printable(e.msg) && fuzz_printable(e.hint));
	str_printable(text);
	MUST(fuzz_printable(text));
	free(text);
	return 0;
}
