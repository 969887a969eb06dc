/* Prints the variables of a .env file as JSON, for env_compare.py: an object,
 * where the last one of a name counts, or a string that says what is wrong. */

#include "env.h"
#include "err.h"
#include "json.h"
#include "str.h"

#include <stdio.h>
#include <stdlib.h>

static const char *
real(void *ctx, const char *name)
{
	(void)ctx;
	return getenv(name);
}

static void
put_object(struct buf *out, const struct env *v)
{
	buf_putc(out, '{');
	for (size_t i = 0; i < v->n; i++) {
		const char *value = v->pair[i].value;

		if (i)
			buf_putc(out, ',');
		json_put_string(out, str_of(v->pair[i].name));
		buf_putc(out, ':');
		if (value)
			json_put_string(out, str_of(value));
		else
			buf_puts(out, "null");
	}
	buf_putc(out, '}');
}

int
main(int argc, char **argv)
{
	struct buf out = buf_make(1 << 24);
	char *text = xmalloc(ENV_MAX + 1);
	FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
	struct env v;
	struct err e;
	size_t n;

	if (!f) {
		fprintf(stderr, "usage: env_dump FILE\n");
		return 2;
	}
	n = fread(text, 1, ENV_MAX + 1, f);
	fclose(f);
	if (env_parse(str_make(text, n), real, NULL, &v, &e) == 0)
		put_object(&out, &v);
	else
		json_put_string(&out, str_of(e.msg));
	printf("%s\n", buf_cstr(&out));
	env_release(&v);
	buf_release(&out);
	free(text);
	return 0;
}
