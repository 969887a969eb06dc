#include "repoid.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "mem.h"

/* A token has 37 characters, or more. */
#define TOKEN_MIN 30

#define NAME_MAX_LENGTH 96
#define REVISION_MAX 255
#define PATH_MAX_LENGTH 4096

/* One line a type, in the order of enum repo_type. */
static const struct {
	const char *name, *plural, *prefix;
} types[] = {
    {"model", "models", ""},
    {"dataset", "datasets", "datasets/"},
    {"space", "spaces", "spaces/"},
    {"kernel", "kernels", "kernels/"},
};

const char *
repo_type_name(enum repo_type t)
{
	return types[t].name;
}

const char *
repo_type_plural(enum repo_type t)
{
	return types[t].plural;
}

const char *
repo_type_prefix(enum repo_type t)
{
	return types[t].prefix;
}

int
repo_type_parse(const char *text, enum repo_type *out, struct err *e)
{
	for (size_t i = 0; i < countof(types); i++)
		if (strcmp(text, types[i].name) == 0) {
			*out = (enum repo_type)i;
			return 0;
		}
	err_set(e, ERR_USAGE, "'%s' is no repository type", text);
	return err_hint(e, "-t model, -t dataset, -t space or -t kernel");
}

static bool
word_char(char c)
{
	return chr_alpha(c) || chr_digit(c) || c == '_';
}

/* A namespace or a name: word characters, '-' and '.', a word character at
 * both ends. */
static bool
is_part(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!word_char(s.s[i]) && s.s[i] != '-' && s.s[i] != '.')
			return false;
	return s.n && word_char(s.s[0]) && word_char(s.s[s.n - 1]);
}

static int
refuse(struct err *e, const char *id, const char *why)
{
	err_set(e, ERR_USAGE, "'%s' is no repository: %s", id, why);
	return err_hint(e, "a repository is written namespace/name");
}

/* Most often the type was written in front, as in the Hub's addresses. */
static int
too_deep(struct err *e, const char *id)
{
	refuse(e, id, "it has more than one '/'");
	for (size_t i = 0; i < countof(types); i++) {
		struct str all = str_of(id), type, rest;

		if (str_cut(all, '/', &type, &rest) &&
		    str_eq(type, types[i].plural))
			return err_hint(
			    e, "-r %.*s -t %s", STRF(rest), types[i].name);
	}
	return -1;
}

/* As browsers show an address of the Hub. */
static bool
is_bare_address(struct str text)
{
	return str_starts(text, "huggingface.co/") ||
	       str_starts(text, "hf.co/");
}

int
repoid_check(const char *id, struct err *e)
{
	struct str space, name = str_of(id), rest;

	if (!*id)
		return refuse(e, id, "it is empty");
	/* Else it would stand in an address, for the server's log. */
	if (str_token_length(name) == name.n && name.n >= TOKEN_MIN)
		return refuse(e, id, "it looks like a token");
	/* Given without hf://, it would name another repository. */
	if (is_bare_address(name))
		return refuse(e, id, "it reads as an address of the Hub");
	if (str_cut(name, '/', &space, &name)) {
		if (str_cut(name, '/', &rest, &rest))
			return too_deep(e, id);
		if (!is_part(space))
			return refuse(e, id,
			    "the part before '/' is letters, "
			    "digits, '_', '-' and '.', and neither begins nor "
			    "ends with '-' or '.'");
	}
	if (!is_part(name))
		return refuse(e, id,
		    "a name is letters, digits, '_', '-' and "
		    "'.', and neither begins nor ends with '-' or '.'");
	if (name.n > NAME_MAX_LENGTH)
		return refuse(e, id, "the name is longer than 96 characters");
	if (strstr(id, "--") || strstr(id, ".."))
		return refuse(e, id, "it has '--' or '..' in it");
	if (str_ends(name, ".git"))
		return refuse(e, id, "it ends in '.git'");
	return 0;
}

bool
commit_valid(const char *s)
{
	return str_is_hex(str_of(s), 40);
}

int
revision_check(const char *rev, struct err *e)
{
	size_t n = strlen(rev);

	if (!n || n > REVISION_MAX)
		return err_set(e, ERR_USAGE,
		    n ? "the revision is too long" : "the revision is empty");
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)rev[i] <= ' ' || rev[i] == 0x7f)
			return err_set(e, ERR_USAGE,
			    "'%s' is no revision: it has blanks or control "
			    "characters in it",
			    rev);
	return 0;
}

void
repoid_release(struct repoid *id)
{
	free(id->id);
	free(id->revision);
	free(id->path);
	*id = (struct repoid){.id = NULL};
}

/* Takes the next part of a path. */
static struct str
take_part(struct str *rest)
{
	struct str part = *rest, after = str_of("");

	str_cut(*rest, '/', &part, &after);
	*rest = after;
	return part;
}

/* Decodes %XX into a string of the caller's; NULL if it is broken. */
static char *
unquoted(struct str s)
{
	struct buf b = buf_make(PATH_MAX_LENGTH);

	if (url_unquote(s, &b) < 0 || b.full) {
		buf_release(&b);
		return NULL;
	}
	return buf_detach(&b);
}

static int
set_type(enum repo_type t, const enum repo_type *given, struct repoid *out,
    const char *text, struct err *e)
{
	if (given && *given != t)
		return err_set(e, ERR_USAGE, "'%s' is a %s, and -t says %s",
		    text, types[t].name, types[*given].name);
	out->type = t;
	return 0;
}

/* "datasets/..." and "models/..." say the type; without, it is a model. */
static int
take_type(struct str *rest, const enum repo_type *given, struct repoid *out,
    const char *text, struct err *e)
{
	struct str after = *rest, part = take_part(&after);

	for (size_t i = 0; i < countof(types); i++)
		if (str_eq(part, types[i].plural)) {
			*rest = after;
			return set_type((enum repo_type)i, given, out, text, e);
		}
	/* Else it would be taken for the namespace of a model. */
	if (str_eq(part, "buckets"))
		return err_set(e, ERR_USAGE,
		    "'%s' is a bucket, which is no repository", text);
	return set_type(REPO_MODEL, given, out, text, e);
}

/* A revision of hf:// ends at the next '/', but for "refs/pr/N" and
 * "refs/convert/NAME", which are taken whole. */
static struct str
take_revision(struct str *rest)
{
	struct str text = *rest;
	bool special =
	    str_starts(text, "refs/pr/") || str_starts(text, "refs/convert/");
	size_t slashes = special ? 3 : 1, n = 0;

	while (n < text.n && (text.s[n] != '/' || --slashes))
		n++;
	*rest =
	    n < text.n ? str_make(text.s + n + 1, text.n - n - 1) : str_of("");
	return str_make(text.s, n);
}

/* hf://[TYPE/]NAMESPACE/NAME[@REVISION][/PATH] */
static int
parse_hf(const char *text, struct str rest, const enum repo_type *given,
    struct repoid *out, struct err *e)
{
	struct str space, name, at, id;
	const char *begin;

	if (take_type(&rest, given, out, text, e) < 0)
		return -1;
	begin = rest.s;
	space = take_part(&rest);
	if (str_cut(rest, '@', &name, &at) && !memchr(name.s, '/', name.n)) {
		id = str_make(begin, space.n + 1 + name.n);
		rest = at;
		at = take_revision(&rest);
		out->revision = unquoted(at);
		if (!out->revision)
			return refuse(e, text, "its revision is broken");
	} else {
		name = take_part(&rest);
		id = str_make(begin, space.n + 1 + name.n);
	}
	if (!space.n || !name.n)
		return refuse(e, text, "namespace or name is missing");
	out->id = str_dup(id);
	out->path = rest.n ? str_dup(rest) : NULL;
	return 0;
}

static bool
is_view(struct str part)
{
	return str_eq(part, "tree") || str_eq(part, "blob") ||
	       str_eq(part, "resolve") || str_eq(part, "raw");
}

/* [/TYPE]/NAMESPACE/NAME[/tree|blob|resolve|raw/REVISION[/PATH]]; a legacy
 * name has no namespace. */
static int
parse_web(const char *text, struct str rest, const enum repo_type *given,
    struct repoid *out, struct err *e)
{
	struct str space, name, after;
	struct buf id = buf_make(URL_MAX);

	while (str_starts(rest, "/"))
		rest = str_make(rest.s + 1, rest.n - 1);
	if (take_type(&rest, given, out, text, e) < 0)
		return -1;
	space = take_part(&rest);
	after = rest;
	name = take_part(&after);
	buf_str_add(&id, space);
	if (name.n && !is_view(name)) {
		buf_putc(&id, '/');
		buf_str_add(&id, name);
		rest = after;
	}
	out->id = buf_detach(&id);
	if (!rest.n)
		return 0;
	if (!is_view(take_part(&rest)))
		return refuse(e, text,
		    "this page is neither a repository nor "
		    "a file in one");
	after = take_revision(&rest);
	if (after.n)
		out->revision = unquoted(after);
	if (rest.n)
		out->path = unquoted(rest);
	if ((after.n && !out->revision) || (rest.n && !out->path))
		return refuse(e, text, "it has a broken '%' in it");
	return 0;
}

/* The Hub's own addresses, or the endpoint's with its path before all. */
static bool
is_hub(const struct url *u, const struct url *endpoint, struct str *path)
{
	struct str prefix = endpoint->path;

	*path = u->path;
	if (str_eq_nocase(u->host, "huggingface.co") ||
	    str_eq_nocase(u->host, "hf.co"))
		return true;
	if (!url_same_origin(u, endpoint))
		return false;
	while (str_ends(prefix, "/"))
		prefix.n--;
	if (u->path.n < prefix.n || memcmp(u->path.s, prefix.s, prefix.n) != 0)
		return false;
	*path = str_make(u->path.s + prefix.n, u->path.n - prefix.n);
	return !path->n || path->s[0] == '/';
}

/* "https://huggingface.co/" and the like name no repository at all. A folder
 * may end in '/', as a browser shows it. */
static int
tidy(const char *text, struct repoid *id, struct err *e)
{
	if (!*id->id)
		return refuse(e, text, *text ? "it names none" : "it is empty");
	if (id->path)
		for (size_t n = strlen(id->path); n && id->path[n - 1] == '/';
		     n--)
			id->path[n - 1] = '\0';
	if (id->path && !*id->path) {
		free(id->path);
		id->path = NULL;
	}
	return 0;
}

static int
parse_any(const char *text, const enum repo_type *given,
    const struct url *endpoint, struct repoid *out, struct err *e)
{
	struct str all = str_of(text), path;
	struct url u;

	if (str_starts(all, "hf://"))
		return parse_hf(
		    text, str_make(all.s + 5, all.n - 5), given, out, e);
	if (is_bare_address(all)) {
		str_cut(all, '/', &path, &all);
		return parse_web(text, all, given, out, e);
	}
	if (strstr(text, "://")) {
		if (url_parse(all, &u, e) < 0) {
			e->kind = ERR_USAGE;
			return -1;
		}
		if (!is_hub(&u, endpoint, &path))
			return refuse(e, text,
			    "its host is not the Hub; "
			    "--endpoint would name another one");
		return parse_web(text, path, given, out, e);
	}
	out->type = given ? *given : REPO_MODEL;
	out->id = xstrdup(text);
	return 0;
}

int
repoid_parse(const char *text, const enum repo_type *given_type,
    const struct url *endpoint, struct repoid *out, struct err *e)
{
	*out = (struct repoid){.id = NULL};
	if (parse_any(text, given_type, endpoint, out, e) == 0 &&
	    tidy(text, out, e) == 0 && repoid_check(out->id, e) == 0 &&
	    (!out->revision || revision_check(out->revision, e) == 0))
		return 0;
	repoid_release(out);
	return -1;
}
