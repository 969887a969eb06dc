/* The text of .env files. */

#include "env.h"
#include "tests/fuzz/fuzz.h"

static const char *
lookup(void *ctx, const char *name)
{
	(void)ctx;
	if (strcmp(name, "REAL") == 0)
		return "real value";
	return strcmp(name, "EMPTY") == 0 ? "" : NULL;
}

/* A value that we quote reads back as it is. ${VAR} counts in quotes, too, and
 * a CR is a line end there. */
static void
check_again(const char *value)
{
	struct buf b = buf_make(1 << 21);
	struct env v = {0};
	struct err e;

	if (strstr(value, "${") || strchr(value, '\r'))
		return;
	buf_puts(&b, "A='");
	for (const char *p = value; *p; p++) {
		if (*p == '\'' || *p == '\\')
			buf_putc(&b, '\\');
		buf_putc(&b, *p);
	}
	buf_puts(&b, "'\n");
	if (b.len <= ENV_MAX) {
		MUST(env_parse(buf_str(&b), lookup, NULL, &v, &e) == 0);
		MUST(v.n == 1 && strcmp(env_get(&v, "A"), value) == 0);
		env_release(&v);
	}
	buf_release(&b);
}

static void
check_pairs(const struct env *v)
{
	size_t sum = 0;

	for (size_t i = 0; i < v->n; i++) {
		const char *last = v->pair[i].value;

		MUST(v->pair[i].name != NULL);
		for (size_t k = i + 1; k < v->n && v->n < 100; k++)
			if (!strcmp(v->pair[i].name, v->pair[k].name))
				last = v->pair[k].value;
		if (v->n < 100)
			MUST(env_get(v, v->pair[i].name) == last);
		if (!v->pair[i].value)
			continue;
		sum += strlen(v->pair[i].value);
		if (i < 8)
			check_again(v->pair[i].value);
	}
	MUST(sum <= ENV_VALUES);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct env v = {0};
	struct err e;

	if (env_parse(fuzz_str(p, n), lookup, NULL, &v, &e) < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_USAGE);
		return 0;
	}
	MUST(n <= ENV_MAX && (n == 0 || !memchr(p, '\0', n)));
	check_pairs(&v);
	env_release(&v);
	return 0;
}
