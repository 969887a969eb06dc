/* The text of configuration files, the paths in them, and tokens. What it tries
 * is static there, hence the files themselves. */

#include "../../token.c"

#include "tests/fuzz/fuzz.h"

static const char *
lookup(void *ctx, const char *name)
{
	(void)ctx;
	if (strcmp(name, "HOME") == 0)
		return "/home/u";
	return strcmp(name, "LONG") == 0 ? "$HOME/${LONG}/~" : NULL;
}

/* What is set is filled in once, and what was filled in is not read again. */
static void
check_path(const char *path)
{
	const struct variables v = {lookup, NULL};
	struct err e;
	char *out = variable_expand(&v, "app.env", path, &e);

	MUST(out != NULL);
	if (path[0] != '~' && !strchr(path, '$'))
		MUST(strcmp(out, path) == 0);
	if (path[0] == '~' && path[1] == '/')
		MUST(strncmp(out, "/home/u/", 8) == 0);
	free(out);
}

/* What is sendable can stand in a header. */
static void
check_token(const uint8_t *p, size_t n)
{
	char *token = xmalloc(n + 1);
	size_t kept = clean(fuzz_str(p, n).s, n, token);

	MUST(kept <= n);
	if (!fault_of(str_make(token, kept)))
		for (size_t i = 0; i < kept; i++)
			MUST(token[i] > ' ' && token[i] < 127);
	/* What is clean stays as it is. */
	MUST(kept == 0 || clean(token, kept, token) == kept);
	free(token);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *path = NULL, *text = fuzz_cstr(fuzz_str(p, n));
	struct err e;

	if (find_env(fuzz_str(p, n), &path, &e) < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_USAGE);
	} else if (path) {
		MUST(*path && utf8_valid(str_of(path)));
		check_path(path);
	}
	check_path(text);
	check_token(p, n);
	free(path);
	free(text);
	return 0;
}
