#include "variable.h"

#include <stdlib.h>

#include "err.h"
#include "mem.h"
#include "str.h"

#define EXPANDED_MAX (1 << 20) /* bytes of a path */

const char *
variable_raw(const struct variables *v, const char *name)
{
	return v->get(v->ctx, name);
}

const char *
variable_get(const struct variables *v, const char *name)
{
	const char *value = variable_raw(v, name);

	return value && *value ? value : NULL;
}

bool
variable_is_true(const struct variables *v, const char *name)
{
	static const char *const yes[] = {"1", "on", "yes", "true"};
	const char *value = variable_raw(v, name);

	for (size_t i = 0; value && i < countof(yes); i++)
		if (str_eq_nocase(str_of(value), yes[i]))
			return true;
	return false;
}

/* The value of the $NAME or ${NAME} that s begins with, which is cut off; NULL
 * if it is none, or is unset, and stands for itself. */
static const char *
cut_variable(const struct variables *v, struct str *s)
{
	struct str rest = str_make(s->s + 1, s->n - 1), name = rest;
	size_t n = 0;
	const char *value;
	char *copy;

	if (rest.n && rest.s[0] == '{') {
		name = str_make(rest.s + 1, rest.n - 1);
		if (!str_cut(name, '}', &name, &rest))
			return NULL;
	} else {
		while (
		    n < rest.n && (rest.s[n] == '_' || chr_digit(rest.s[n]) ||
				      chr_alpha(rest.s[n])))
			n++;
		name = str_make(rest.s, n);
		rest = str_make(rest.s + n, rest.n - n);
	}
	copy = str_dup(name);
	value = name.n ? variable_raw(v, copy) : NULL;
	free(copy);
	if (value)
		*s = rest;
	return value;
}

char *
variable_expand(const struct variables *v, const char *what, const char *path,
    struct err *e)
{
	struct buf out = buf_make(EXPANDED_MAX);
	struct str s = str_of(path);
	const char *value = variable_get(v, "HOME");

	if (s.s[0] == '~' && (s.n == 1 || s.s[1] == '/')) {
		if (!value) {
			err_set(e, ERR_USAGE,
			    "%s: '%s' needs HOME, which is not set", what,
			    path);
			return NULL;
		}
		buf_puts(&out, value);
		s = str_make(s.s + 1, s.n - 1);
	}
	while (s.n) {
		value = s.s[0] == '$' ? cut_variable(v, &s) : NULL;
		if (value) {
			buf_puts(&out, value);
		} else {
			buf_putc(&out, s.s[0]);
			s = str_make(s.s + 1, s.n - 1);
		}
	}
	return buf_detach(&out);
}

char *
variable_join(const char *folder, const char *name)
{
	struct buf b = buf_make(EXPANDED_MAX);

	buf_printf(&b, "%s/%s", folder, name);
	return buf_detach(&b);
}

int
variable_path(const struct variables *v, const char *variable,
    const char *folder, const char *name, char **out, struct err *e)
{
	const char *value = variable_get(v, variable);

	*out = NULL;
	if (value) {
		*out = variable_expand(v, variable, value, e);
		return *out ? 0 : -1;
	}
	if (folder)
		*out = variable_join(folder, name);
	return 0;
}
