#include "env.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "str.h"

/* --- Variables, and paths that name them. --- */

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

/* Cuts $NAME or ${NAME} off s and returns its value; NULL, and s is unchanged,
 * if s does not begin with one or it is unset. */
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

/* --- The text of a .env file. --- */

struct reader {
	struct str rest;
	const char *statement; /* where the current line begins */
	size_t left;           /* bytes that values may still take */
	const char *(*lookup)(void *ctx, const char *name);
	void *ctx;
	struct env *env;
};

static struct str
after(struct str s, size_t n)
{
	return str_make(s.s + n, s.n - n);
}

/* Returns the length of the white space character that s begins with, or 0. The
 * set is Python's, so a no-break space from a web page counts, too. */
static size_t
space_length(struct str s)
{
	static const char *const wide[] = {"\xc2\x85", "\xc2\xa0",
	    "\xe1\x9a\x80", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf",
	    "\xe2\x81\x9f", "\xe3\x80\x80"};
	unsigned char c = s.n ? (unsigned char)s.s[0] : 0;

	if (c < 0x80)
		return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31);
	if (s.n >= 3 && str_starts(s, "\xe2\x80") &&
	    (unsigned char)s.s[2] <= 0x8a)
		return 3;
	for (size_t i = 0; i < countof(wide); i++)
		if (str_starts(s, wide[i]))
			return strlen(wide[i]);
	return 0;
}

/* Returns s without the white space that it begins with. */
static struct str
skip_space(struct str s, bool over_lines)
{
	size_t n;

	while ((n = space_length(s)) && (over_lines || s.s[0] != '\n'))
		s = after(s, n);
	return s;
}

static bool
at(const struct reader *r, char c)
{
	return r->rest.n && r->rest.s[0] == c;
}

static struct str
take(struct reader *r, size_t n)
{
	struct str s = str_make(r->rest.s, n);

	r->rest = after(r->rest, n);
	return s;
}

/* Cuts the rest of the line off, without its end. */
static struct str
take_line(struct reader *r)
{
	const char *end = r->rest.n ? memchr(r->rest.s, '\n', r->rest.n) : NULL;

	return take(r, end ? (size_t)(end - r->rest.s) : r->rest.n);
}

static void
skip_export(struct reader *r)
{
	struct str s;

	if (!str_starts(r->rest, "export"))
		return;
	s = after(r->rest, strlen("export"));
	if (space_length(s) && s.s[0] != '\n')
		r->rest = skip_space(s, false);
}

/* Returns what is wrong, or NULL; so do the functions that follow. */
static const char *
take_name(struct reader *r, struct str *name)
{
	struct str rest = r->rest;
	size_t n = 0;

	if (at(r, '\'')) {
		if (!str_cut(after(rest, 1), '\'', name, &rest))
			return "unterminated quote in the name";
		r->rest = rest;
	} else {
		while (n < rest.n && rest.s[n] != '=' && rest.s[n] != '#' &&
		       !space_length(after(rest, n)))
			n++;
		*name = take(r, n);
	}
	return name->n ? NULL : "a name is missing";
}

/* Returns the character that the escape \c stands for between quotes of this
 * kind; 0 if there is no such escape and the backslash stays. */
static char
escaped(char c, char quote)
{
	static const char name[] = "abfnrtv", value[] = "\a\b\f\n\r\t\v";
	const char *known;

	if (c == '\\' || c == '\'')
		return c;
	if (quote == '\'')
		return 0;
	known = strchr(name, c);
	return known ? value[known - name] : c == '"' ? c : 0;
}

/* Reads a quoted value, which may contain line ends. */
static const char *
take_quoted(struct reader *r, struct buf *value)
{
	char quote = take(r, 1).s[0];

	while (r->rest.n && !at(r, quote)) {
		char c = take(r, 1).s[0], e;

		if (c == '\\' && r->rest.n) {
			e = escaped(r->rest.s[0], quote);
			if (!e)
				buf_putc(value, c);
			c = take(r, 1).s[0];
			c = e ? e : c;
		}
		buf_putc(value, c);
	}
	if (!r->rest.n)
		return "unterminated quote in the value";
	take(r, 1);
	return NULL;
}

/* Reads an unquoted value: the rest of the line without white space at its end
 * and without a comment, which white space must precede. */
static void
take_plain(struct reader *r, struct buf *value)
{
	struct str line = take_line(r);
	size_t kept = 0, i = 0;

	while (i < line.n) {
		size_t n = space_length(after(line, i));

		if (line.s[i] == '#' && i > kept)
			break;
		i += n ? n : 1;
		if (!n)
			kept = i;
	}
	buf_add(value, line.s, kept);
}

/* Reads the value after '='. With white space between, "#" begins a comment. */
static const char *
take_value(struct reader *r, struct buf *value)
{
	struct str rest = skip_space(r->rest, false);
	bool blank = rest.n < r->rest.n;

	r->rest = rest;
	if (at(r, '\'') || at(r, '"'))
		return take_quoted(r, value);
	if (!blank || !at(r, '#'))
		take_plain(r, value);
	return NULL;
}

static const char *
take_line_end(struct reader *r, const char *fault)
{
	r->rest = skip_space(r->rest, false);
	if (at(r, '#'))
		take_line(r);
	return !r->rest.n || at(r, '\n') ? NULL : fault;
}

static const struct env_pair *
find(const struct env *v, struct str name)
{
	for (size_t i = v->n; i > 0; i--)
		if (str_eq(name, v->pair[i - 1].name))
			return &v->pair[i - 1];
	return NULL;
}

/* Returns the value of ${name}, or of ${name:-fallback}. The fallback counts
 * for a name that is unset, not for an empty one. */
static struct str
resolve(const struct reader *r, struct str name, struct str fallback)
{
	char *copy = str_dup(name);
	const char *real = r->lookup(r->ctx, copy);
	const struct env_pair *pair = find(r->env, name);

	free(copy);
	if (real)
		return str_of(real);
	return pair ? str_of(pair->value) : fallback;
}

/* Cuts ${NAME} or ${NAME:-FALLBACK} off s; false if s does not begin with one,
 * and it stands for itself. */
static bool
cut_fallback(struct str *s, struct str *name, struct str *fallback)
{
	struct str body;
	size_t n = 0;

	if (!str_starts(*s, "${"))
		return false;
	body = after(*s, 2);
	while (n < body.n && body.s[n] != '}' && body.s[n] != ':')
		n++;
	*name = str_make(body.s, n);
	*fallback = str_make("", 0);
	body = after(body, n);
	if (str_starts(body, ":-"))
		return str_cut(after(body, 2), '}', fallback, s);
	if (!str_starts(body, "}"))
		return false;
	*s = after(body, 1);
	return true;
}

static void
expand(const struct reader *r, struct str s, struct buf *out)
{
	struct str name, fallback;

	while (s.n) {
		const char *dollar = memchr(s.s, '$', s.n);

		buf_add(out, s.s, dollar ? (size_t)(dollar - s.s) : s.n);
		s = dollar ? after(s, (size_t)(dollar - s.s)) : after(s, s.n);
		if (cut_fallback(&s, &name, &fallback)) {
			buf_str_add(out, resolve(r, name, fallback));
		} else if (s.n) {
			buf_putc(out, '$');
			s = after(s, 1);
		}
	}
}

static void
release_secret(struct buf *b)
{
	if (b->s)
		mem_wipe(b->s, b->cap);
	buf_release(b);
}

static void
put(struct env *v, struct str name, const char *value)
{
	/* Doubles the room at each power of two. */
	if (!(v->n & (v->n - 1)))
		v->pair = xreallocarray(
		    v->pair, v->n ? 2 * v->n : 1, sizeof(*v->pair));
	v->pair[v->n++] =
	    (struct env_pair){str_dup(name), value ? xstrdup(value) : NULL};
}

static const char *
put_value(struct reader *r, struct str name, const struct buf *raw)
{
	struct buf value = buf_make(r->left);
	const char *fault = NULL;

	/* Reserves enough for most values at once: a buffer that grows is
	 * copied, and the old memory is not wiped. */
	buf_room(&value, raw->len);
	expand(r, buf_str(raw), &value);
	if (value.full) {
		fault = "the values are too long";
	} else {
		r->left -= value.len;
		put(r->env, name, buf_cstr(&value));
	}
	release_secret(&value);
	return fault;
}

static const char *
take_assignment(struct reader *r, struct str name)
{
	struct buf raw = buf_make(r->rest.n);
	const char *fault;

	take(r, 1);
	buf_room(&raw, r->rest.n);
	fault = take_value(r, &raw);
	if (!fault)
		fault = take_line_end(r, "more text after the value");
	if (!fault)
		fault = put_value(r, name, &raw);
	release_secret(&raw);
	return fault;
}

static const char *
take_statement(struct reader *r)
{
	struct str name;
	const char *fault;

	skip_export(r);
	if (at(r, '#'))
		return take_line_end(r, "");
	fault = take_name(r, &name);
	if (fault)
		return fault;
	r->rest = skip_space(r->rest, false);
	if (at(r, '='))
		return take_assignment(r, name);
	fault = take_line_end(r, "'=' is missing after the name");
	if (!fault)
		put(r->env, name, NULL);
	return fault;
}

/* Sets the error with the number of the line, but never its text, which may be
 * a token. */
static int
fail_at(struct str text, const char *p, const char *why, struct err *e)
{
	size_t line = 1;

	for (const char *q = text.s; q < p; q++)
		line += *q == '\n';
	return err_set(e, ERR_USAGE, "line %zu: %s", line, why);
}

static int
parse(struct reader *r, struct err *e)
{
	struct str text = r->rest;
	const char *fault;

	while ((r->rest = skip_space(r->rest, true)).n) {
		r->statement = r->rest.s;
		fault = take_statement(r);
		if (fault)
			return fail_at(text, r->statement, fault, e);
	}
	return 0;
}

/* Python opens the file as text, so CR LF and CR become LF even between
 * quotes. Returns the new length; out has room for all of text. */
static size_t
unify_lines(struct str text, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		bool cr = text.s[i] == '\r';

		if (cr && i + 1 < text.n && text.s[i + 1] == '\n')
			continue;
		out[n++] = cr ? '\n' : text.s[i];
	}
	return n;
}

/* Refuses NUL and broken UTF-8. */
static int
check_bytes(struct str text, struct err *e)
{
	struct str rest = text;

	while (rest.n && *rest.s) {
		size_t n = utf8_length(rest);

		if (!n)
			return fail_at(text, rest.s, "not UTF-8", e);
		rest = after(rest, n);
	}
	return rest.n ? fail_at(text, rest.s, "a NUL byte", e) : 0;
}

int
env_parse(struct str text, const char *(*lookup)(void *ctx, const char *name),
    void *ctx, struct env *out, struct err *e)
{
	struct reader r = {
	    .left = ENV_VALUES, .lookup = lookup, .ctx = ctx, .env = out};
	char *copy;
	int rv;

	*out = (struct env){0};
	if (text.n > ENV_MAX)
		return err_set(e, ERR_USAGE, "longer than %d bytes", ENV_MAX);
	if (str_starts(text, "\xef\xbb\xbf"))
		text = after(text, 3);
	copy = xmalloc(text.n);
	r.rest = str_make(copy, unify_lines(text, copy));
	rv = check_bytes(r.rest, e);
	if (rv == 0)
		rv = parse(&r, e);
	if (rv < 0)
		env_release(out);
	mem_wipe(copy, text.n);
	free(copy);
	return rv;
}

const char *
env_get(const struct env *v, const char *name)
{
	const struct env_pair *pair = find(v, str_of(name));

	return pair ? pair->value : NULL;
}

void
env_release(struct env *v)
{
	for (size_t i = 0; i < v->n; i++) {
		if (v->pair[i].value)
			mem_wipe(v->pair[i].value, strlen(v->pair[i].value));
		free(v->pair[i].value);
		free(v->pair[i].name);
	}
	free(v->pair);
	*v = (struct env){0};
}
