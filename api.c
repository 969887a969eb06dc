#include "api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "json.h"
#include "str.h"
#include "url.h"

/* --- Names of repositories. --- */

/* A token has 37 characters, or more. */
#define TOKEN_MIN 30

#define NAME_MAX_LENGTH 96
#define REVISION_MAX 255
#define PATH_MAX_LENGTH 4096
#define QUANT_MAX 40

/* One row for each type, in the order of enum repo_type. */
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
	err_set(e, ERR_USAGE, "invalid repository type '%s'", text);
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
	err_set(e, ERR_USAGE, "invalid repository '%s': %s", id, why);
	return err_hint(e, "use the form namespace/name");
}

/* The usual mistake: the type was written before the name, as in the Hub's
 * addresses. */
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

/* True if the text is an address of the Hub without "https://", as browsers
 * show it. */
static bool
is_bare_address(struct str text)
{
	return str_starts(text, "huggingface.co/") ||
	       str_starts(text, "hf.co/");
}

/* Checks the Hub's rules for names. ERR_USAGE; the sentence names the rule. */
static int
repoid_check(const char *id, struct err *e)
{
	struct str space, name = str_of(id), rest;

	if (!*id)
		return refuse(e, id, "it is empty");
	/* A token given in place of a name must not get into an address, and so
	 * into the server's log. */
	if (str_token_length(name) == name.n && name.n >= TOKEN_MIN)
		return refuse(e, id, "it looks like a token");
	/* Without hf:// such an address would be taken for the name of another
	 * repository. */
	if (is_bare_address(name))
		return refuse(e, id, "it looks like an address of the Hub");
	if (str_cut(name, '/', &space, &name)) {
		if (str_cut(name, '/', &rest, &rest))
			return too_deep(e, id);
		if (!is_part(space))
			return refuse(e, id,
			    "the part before '/' must be letters, digits, "
			    "'_', '-' and '.', without '-' or '.' at either "
			    "end");
	}
	if (!is_part(name))
		return refuse(e, id,
		    "the name must be letters, digits, '_', '-' and '.', "
		    "without '-' or '.' at either end");
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
			    "invalid revision '%s': it contains blanks or "
			    "control characters",
			    rev);
	return 0;
}

void
repoid_release(struct repoid *id)
{
	free(id->id);
	free(id->revision);
	free(id->path);
	free(id->quant);
	*id = (struct repoid){.id = NULL};
}

/* Cuts the next part off a path. */
static struct str
take_part(struct str *rest)
{
	struct str part = *rest, after = str_of("");

	str_cut(*rest, '/', &part, &after);
	*rest = after;
	return part;
}

/* Returns s with %XX decoded, which the caller frees; NULL if an escape is
 * broken. */
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
		return err_set(e, ERR_USAGE, "'%s' is a %s, but -t says %s",
		    text, types[t].name, types[*given].name);
	out->type = t;
	return 0;
}

/* Cuts "datasets/", "models/" and the like off *rest and sets the type; without
 * one it is a model. */
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
	/* "buckets" is not the namespace of a model. */
	if (str_eq(part, "buckets"))
		return err_set(
		    e, ERR_USAGE, "'%s' is a bucket, not a repository", text);
	return set_type(REPO_MODEL, given, out, text, e);
}

/* Cuts the revision off an hf:// address. It ends at the next '/'; only
 * "refs/pr/N" and "refs/convert/NAME" contain one. */
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

/* True for an address of the Hub itself, or of the endpoint below its path;
 * *rest gets the path after that. */
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

/* Refuses an address that names no repository ("https://huggingface.co/").
 * Drops the '/' at the end of a folder, as a browser shows it. */
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
			    "its host is not the Hub; --endpoint selects "
			    "another Hub");
		return parse_web(text, path, given, out, e);
	}
	out->type = given ? *given : REPO_MODEL;
	out->id = xstrdup(text);
	return 0;
}

/* "namespace/name:QUANT", as other programs write it, too. */
static int
take_quant(const char *text, struct repoid *id, struct err *e)
{
	char *colon = strchr(id->id, ':');
	struct str quant;

	if (!colon)
		return 0;
	*colon = '\0';
	quant = str_of(colon + 1);
	for (size_t i = 0; i < quant.n; i++)
		if (!word_char(quant.s[i]) && quant.s[i] != '-' &&
		    quant.s[i] != '.')
			return refuse(e, text,
			    "what stands after the ':' is no quantization");
	if (quant.n > QUANT_MAX)
		return refuse(e, text, "its quantization is too long");
	id->quant = str_dup(quant);
	return 0;
}

int
repoid_parse(const char *text, const enum repo_type *given_type,
    const struct url *endpoint, struct repoid *out, struct err *e)
{
	*out = (struct repoid){.id = NULL};
	if (parse_any(text, given_type, endpoint, out, e) == 0 &&
	    tidy(text, out, e) == 0 && take_quant(text, out, e) == 0 &&
	    repoid_check(out->id, e) == 0 &&
	    (!out->revision || revision_check(out->revision, e) == 0))
		return 0;
	repoid_release(out);
	return -1;
}

int
repoid_parse_path(const char *text, struct repoid *out, struct err *e)
{
	struct str type, id;

	*out = (struct repoid){.id = NULL};
	if (str_cut(str_of(text), '/', &type, &id))
		for (size_t i = 0; !out->id && i < countof(types); i++)
			if (str_eq(type, types[i].plural)) {
				out->type = (enum repo_type)i;
				out->id = str_dup(id);
			}
	if (!out->id)
		return refuse(e, text, "it does not begin with a type");
	if (repoid_check(out->id, e) == 0)
		return 0;
	repoid_release(out);
	return -1;
}

void
repoid_put_path(struct buf *b, enum repo_type type, const char *id)
{
	buf_printf(b, "%s/%s", types[type].plural, id);
}

/* --- Answers. --- */

/* Bytes of a server's text in a sentence. The Hub's own texts are shorter. */
#define TEXT_MAX 400

/* The title of a commit; a longer one is not told. */
#define TITLE_MAX 1000

/* --- Listings and descriptions. --- */

static int
not_a_listing(struct err *e, const char *what)
{
	return err_set(e, ERR_CONTENT, "the listing is broken: %s", what);
}

static int
parse(struct str text, struct json *out, struct err *e)
{
	if (json_parse(text, out, e) == 0)
		return 0;
	/* A truncated answer may be complete the next time. */
	e->kind = ERR_NET;
	return err_in(e, "the Hub's answer is not JSON");
}

/* Reads the digest of a content: that of the LFS pointer if there is one. It is
 * "oid" in a listing and "sha256" in a description. */
static int
entry_digest(
    const struct json *entry, const struct json *lfs, struct digest *out)
{
	bool is_lfs = lfs->type == JSON_OBJECT;
	char *hex = is_lfs ? json_get_strdup(lfs, "oid", 64)
			   : json_get_strdup(entry, "oid", 40);
	int rv = -1;

	if (is_lfs && !hex)
		hex = json_get_strdup(lfs, "sha256", 64);
	if (hex && digest_parse(str_of(hex), out) == 0 &&
	    out->kind == (is_lfs ? HASH_SHA256 : HASH_GIT))
		rv = 0;
	free(hex);
	return rv;
}

/* Reads "size". If it is missing, *size stays as it was. */
static int
entry_size(const struct json *v, uint64_t *size)
{
	struct json item;

	if (!json_get(v, "size", &item))
		return 0;
	return json_uint(&item, REPO_FILE_MAX, size);
}

/* The ids for the listing that is kept; NULL, and none is kept, without them. */
static const struct repo_ids *
entry_ids(const struct json *entry, struct repo_ids *ids)
{
	char *oid = json_get_strdup(entry, "oid", 40);
	char *xet = json_get_strdup(entry, "xetHash", 64);
	bool good = oid && digest_parse(str_of(oid), &ids->blob) == 0 &&
		    ids->blob.kind == HASH_GIT &&
		    (!xet || str_is_hex(str_of(xet), 64));

	snprintf(ids->xet, sizeof(ids->xet), "%s", good && xet ? xet : "");
	free(oid);
	free(xet);
	return good ? ids : NULL;
}

static int
read_entry(const struct json *entry, struct repo_file *out, struct err *e)
{
	struct json lfs = {.type = JSON_NULL};

	out->path = json_get_strdup(entry, "path", REPO_PATH_MAX);
	if (!out->path)
		return not_a_listing(e, "an entry has no usable path");
	out->size = 0;
	json_get(entry, "lfs", &lfs);
	/* The pointer's own size counts where both are given. */
	if (entry_size(entry, &out->size) < 0 ||
	    entry_size(&lfs, &out->size) < 0)
		return not_a_listing(e, "an entry has an impossible size");
	if (entry_digest(entry, &lfs, &out->digest) < 0)
		return not_a_listing(e, "an entry has no hash of its content");
	return 0;
}

/* A file that may not be read has stars in the place of its Xet hash. */
static enum repo_kind
kind_of(const struct json *entry, const struct repo_file *f)
{
	struct json xet;

	if (f->digest.kind == HASH_GIT)
		return REPO_REGULAR;
	return json_get(entry, "xetHash", &xet) && xet.type == JSON_STRING
		   ? REPO_XET
		   : REPO_LFS;
}

/* Whatever is not of its form is not told. */
static void
read_last(const struct json *entry, struct repo_entry *out)
{
	struct json last;
	struct str date;
	unsigned n;

	if (!json_get(entry, "lastCommit", &last))
		return;
	out->commit = json_get_strdup(&last, "id", 40);
	out->title = json_get_strdup(&last, "title", TITLE_MAX);
	out->date = json_get_strdup(&last, "date", 40);
	date = str_of(out->date);
	if (out->commit && !commit_valid(out->commit)) {
		free(out->commit);
		out->commit = NULL;
	}
	if (date.n >= 10 && date_field(date, 0, 4, 0, 9999, &n) &&
	    date_field(date, 5, 2, 1, 12, &n) &&
	    date_field(date, 8, 2, 1, 31, &n) && date.s[4] == '-' &&
	    date.s[7] == '-')
		return;
	free(out->date);
	out->date = NULL;
}

static void
entry_release(struct repo_entry *x)
{
	free(x->file.path);
	free(x->commit);
	free(x->title);
	free(x->date);
}

static int
give_entry(const struct json *entry,
    int (*each)(void *ctx, const struct repo_entry *x, struct err *e),
    void *ctx, struct err *e)
{
	struct repo_entry x = {.kind = REPO_FOLDER};
	struct repo_ids ids;
	struct json type;
	bool folder;
	int rv = 0;

	if (entry->type != JSON_OBJECT)
		return not_a_listing(e, "an entry is no object");
	/* An entry without a type may be a file: to skip it would lose it
	 * silently. */
	if (!json_get(entry, "type", &type) || type.type != JSON_STRING)
		return not_a_listing(e, "an entry does not say what it is");
	folder = json_is(&type, "directory");
	if (!folder && !json_is(&type, "file"))
		return 0;
	if (folder)
		x.file.path = json_get_strdup(entry, "path", REPO_PATH_MAX);
	else
		rv = read_entry(entry, &x.file, e);
	if (rv < 0 && x.file.path)
		err_in(e, "'%s'", x.file.path);
	/* No file is lost with a folder without a name. */
	if (rv == 0 && x.file.path) {
		if (!folder) {
			x.kind = kind_of(entry, &x.file);
			x.file.ids = entry_ids(entry, &ids);
		}
		read_last(entry, &x);
		rv = each(ctx, &x, e);
	}
	entry_release(&x);
	return rv;
}

int
answer_tree(struct str text,
    int (*each)(void *ctx, const struct repo_entry *x, struct err *e),
    void *ctx, struct err *e)
{
	struct json all, entry;
	struct json_iter it;

	if (parse(text, &all, e) < 0)
		return -1;
	if (all.type != JSON_ARRAY)
		return not_a_listing(e, "it is no list");
	it = json_iter(&all);
	while (json_next(&it, NULL, &entry))
		if (give_entry(&entry, each, ctx, e) < 0)
			return -1;
	return 0;
}

const char *
ref_kind_name(enum ref_kind k)
{
	static const char *const name[] = {
	    "branch", "tag", "convert", "pull request"};

	return name[k];
}

/* Branches and tags are named alone, all else by its whole name. */
static int
give_ref(const struct json *item, enum ref_kind kind,
    int (*each)(void *ctx, const struct repo_ref *r, struct err *e), void *ctx,
    struct err *e)
{
	bool alone = kind == REF_BRANCH || kind == REF_TAG;
	struct repo_ref r = {.kind = kind};
	char *commit = json_get_strdup(item, "targetCommit", 40);
	int rv;

	r.name = json_get_strdup(item, alone ? "name" : "ref", REVISION_MAX);
	if (r.name && commit && commit_valid(commit)) {
		memcpy(r.commit, commit, sizeof(r.commit));
		rv = each(ctx, &r, e);
	} else {
		rv = err_set(e, ERR_CONTENT,
		    "the list of branches is broken: a name or a commit is "
		    "missing");
	}
	free(r.name);
	free(commit);
	return rv;
}

int
answer_refs(struct str text,
    int (*each)(void *ctx, const struct repo_ref *r, struct err *e), void *ctx,
    struct err *e)
{
	static const char *const list[] = {
	    "branches", "tags", "converts", "pullRequests"};
	struct json all, refs, item;

	if (parse(text, &all, e) < 0)
		return -1;
	if (!json_get(&all, list[0], &refs) || refs.type != JSON_ARRAY)
		return err_set(e, ERR_CONTENT,
		    "the Hub's answer contains no list of branches");
	for (size_t i = 0; i < countof(list); i++) {
		struct json_iter it;

		if (!json_get(&all, list[i], &refs) || refs.type != JSON_ARRAY)
			continue;
		it = json_iter(&refs);
		while (json_next(&it, NULL, &item))
			if (give_ref(&item, (enum ref_kind)i, each, ctx, e) < 0)
				return -1;
	}
	return 0;
}

/* --- Whose a token is. --- */

/* A server could send back the token that it got. */
static char *
plain_text(char *s)
{
	if (s) {
		str_mask_tokens(s);
		str_printable(s);
	}
	return s;
}

static char *
get_text(const struct json *v, const char *name)
{
	return plain_text(json_get_strdup(v, name, WHOAMI_TEXT));
}

/* Takes both strings. */
static void
add_item(struct whoami_items *list, char *name, char *role)
{
	if (!name || list->n == WHOAMI_ITEMS) {
		free(name);
		free(role);
		return;
	}
	list->item =
	    xreallocarray(list->item, list->n + 1, sizeof(list->item[0]));
	list->item[list->n++] = (struct whoami_item){name, role};
}

static void
read_orgs(const struct json *all, struct whoami_items *out)
{
	struct json orgs, org;
	struct json_iter it;

	if (!json_get(all, "orgs", &orgs))
		return;
	it = json_iter(&orgs);
	while (json_next(&it, NULL, &org))
		add_item(
		    out, get_text(&org, "name"), get_text(&org, "roleInOrg"));
}

/* The words of a list, with ", " between. */
static char *
join(const struct json *list)
{
	struct buf b = buf_make(4 * WHOAMI_TEXT);
	struct json_iter it = json_iter(list);
	struct json item;

	while (json_next(&it, NULL, &item)) {
		char *word = json_strdup(&item, WHOAMI_TEXT);

		if (word && b.len + strlen(word) + 2 < b.max)
			buf_printf(&b, "%s%s", b.len ? ", " : "", word);
		free(word);
	}
	return plain_text(buf_detach(&b));
}

/* "fineGrained": {"scoped": [{"entity": {...}, "permissions": [...]}]} */
static void
read_rights(const struct json *token, struct whoami_items *out)
{
	struct json fine, scoped, scope, entity, list;
	struct json_iter it;

	if (!json_get(token, "fineGrained", &fine))
		return;
	if (json_get(&fine, "global", &list) && list.type == JSON_ARRAY) {
		char *words = join(&list);

		add_item(out, *words ? xstrdup("everywhere") : NULL, words);
	}
	if (!json_get(&fine, "scoped", &scoped))
		return;
	it = json_iter(&scoped);
	while (json_next(&it, NULL, &scope)) {
		struct buf b = buf_make(4 * WHOAMI_TEXT);
		char *type, *name;

		if (!json_get(&scope, "entity", &entity) ||
		    !json_get(&scope, "permissions", &list))
			continue;
		type = get_text(&entity, "type");
		name = get_text(&entity, "name");
		buf_printf(&b, "%s%s%s", type ? type : "", name ? " " : "",
		    name ? name : "");
		add_item(out, buf_detach(&b), join(&list));
		free(type);
		free(name);
	}
}

static void
read_token(const struct json *all, struct whoami *out)
{
	struct json auth, token;

	if (!json_get(all, "auth", &auth))
		return;
	out->kind = get_text(&auth, "type");
	out->expires = get_text(&auth, "expiresAt");
	if (!json_get(&auth, "accessToken", &token))
		return;
	out->token = get_text(&token, "displayName");
	out->role = get_text(&token, "role");
	read_rights(&token, &out->rights);
}

int
answer_whoami(struct str text, struct whoami *out, struct err *e)
{
	struct json all;

	*out = (struct whoami){.name = NULL};
	if (parse(text, &all, e) < 0)
		return -1;
	out->name = get_text(&all, "name");
	if (!out->name)
		return err_set(
		    e, ERR_CONTENT, "the Hub's answer names no account");
	out->type = get_text(&all, "type");
	out->fullname = get_text(&all, "fullname");
	read_orgs(&all, &out->orgs);
	read_token(&all, out);
	return 0;
}

static void
items_release(struct whoami_items *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->item[i].name);
		free(list->item[i].role);
	}
	free(list->item);
}

void
whoami_release(struct whoami *w)
{
	free(w->type);
	free(w->name);
	free(w->fullname);
	free(w->kind);
	free(w->token);
	free(w->role);
	free(w->expires);
	items_release(&w->orgs);
	items_release(&w->rights);
	*w = (struct whoami){.name = NULL};
}

char *
answer_url(const struct json *v, const char *name)
{
	char *text = json_get_strdup(v, name, URL_MAX);
	struct url url;
	struct err ignored;

	if (text && url_parse(str_of(text), &url, &ignored) == 0 && !url.user.n)
		return text;
	free(text);
	return NULL;
}

/* Longest token of the storage that fits beside an address into a head. */
#define XET_TOKEN_MAX 32768

/* Without blanks and control characters. */
static bool
is_token(const char *text)
{
	for (; text && *text; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return text != NULL;
}

void
xet_access_release(struct xet_access *a)
{
	if (a->token) {
		mem_wipe(a->token, strlen(a->token));
		free(a->token);
	}
	free(a->url);
	*a = (struct xet_access){.url = NULL};
}

int
answer_xet(struct str text, struct xet_access *out, struct err *e)
{
	struct json all;

	*out = (struct xet_access){.url = NULL};
	if (parse(text, &all, e) < 0)
		return -1;
	out->url = answer_url(&all, "casUrl");
	out->token = json_get_strdup(&all, "accessToken", XET_TOKEN_MAX);
	while (out->url && str_ends(str_of(out->url), "/"))
		out->url[strlen(out->url) - 1] = '\0';
	if (out->url && is_token(out->token) && *out->token &&
	    json_get_uint(&all, "exp", INT64_MAX, &out->expires) == 0)
		return 0;
	xet_access_release(out);
	return err_set(e, ERR_CONTENT,
	    "the Hub's answer does not say how to reach its Xet storage");
}

int
answer_commit(struct str text, char commit[41], struct err *e)
{
	struct json all;
	char *sha;
	int rv = 0;

	if (parse(text, &all, e) < 0)
		return -1;
	sha = json_get_strdup(&all, "sha", 40);
	if (sha && str_is_hex(str_of(sha), 40))
		memcpy(commit, sha, 41);
	else
		rv = err_set(
		    e, ERR_CONTENT, "the Hub's answer contains no commit");
	free(sha);
	return rv;
}

/* --- Errors. --- */

/* Appends a sentence to b, unless b contains it already. Runs of white space,
 * which include line ends, become one blank. */
static void
add_text(struct buf *b, struct str text)
{
	struct buf line = buf_make(text.n + 1);

	for (size_t i = 0; i < text.n; i++) {
		bool white = text.s[i] == ' ' ||
			     (text.s[i] >= '\t' && text.s[i] <= '\r');

		if (!white)
			buf_putc(&line, text.s[i]);
		else if (line.len && line.s[line.len - 1] != ' ')
			buf_putc(&line, ' ');
	}
	if (line.len && line.s[line.len - 1] == ' ')
		line.s[--line.len] = '\0';
	/* Masked before it is cut: half a token would not be recognised. */
	if (line.len)
		str_mask_tokens(line.s);
	if (line.len > TEXT_MAX)
		line.s[TEXT_MAX] = '\0';
	if (line.len && !strstr(buf_cstr(b), line.s)) {
		buf_puts(b, b->len ? "; " : "");
		buf_puts(b, line.s);
	}
	buf_release(&line);
}

static void
add_string(struct buf *b, const struct json *v)
{
	struct buf text = buf_make(v->text.n + 1); /* decoded, it is shorter */

	if (json_string(v, &text) == 0)
		add_text(b, buf_str(&text));
	buf_release(&text);
}

static void
add_member(struct buf *b, const struct json *v, const char *name)
{
	struct json item;

	if (json_get(v, name, &item))
		add_string(b, &item);
}

/* Adds the reason from an answer in JSON: a string or a list of strings in
 * "error", with "error_description"; or a list of objects in "errors". */
static void
add_json(struct buf *b, const struct json *all)
{
	struct json v, item;
	struct json_iter it;

	if (json_get(all, "error", &v)) {
		add_string(b, &v);
		it = json_iter(&v);
		while (v.type == JSON_ARRAY && json_next(&it, NULL, &item))
			add_string(b, &item);
	}
	add_member(b, all, "error_description");
	if (json_get(all, "errors", &v)) {
		it = json_iter(&v);
		while (v.type == JSON_ARRAY && json_next(&it, NULL, &item))
			add_member(b, &item, "message");
	}
}

/* True if the body is text for people: not the HTML page of a proxy, nor the
 * XML of a storage server, which may repeat what was signed. */
static bool
is_words(const struct http_head *h, struct str body)
{
	while (body.n && (unsigned char)body.s[0] <= ' ')
		body = str_make(body.s + 1, body.n - 1);
	return !str_starts(body, "<") && !str_starts(body, "{") &&
	       !http_type_is(h, "text/html") && utf8_valid(body);
}

/* Adds the Hub's own reason. */
static void
add_words(struct buf *b, const struct http_head *h, struct str body)
{
	struct str message;
	struct json all;
	struct err ignored;

	if (http_get(h, "x-error-message", &message))
		add_text(b, message);
	if (json_parse(body, &all, &ignored) == 0)
		add_json(b, &all);
	else if (is_words(h, body))
		add_text(b, body);
}

static bool
header_is(const struct http_head *h, const char *name, const char *value)
{
	struct str v;

	return http_get(h, name, &v) && str_eq(v, value);
}

static bool
code_is(const struct http_head *h, const char *code)
{
	return header_is(h, "x-error-code", code);
}

/* Sets the hint where a token may help and none was sent. set is the hint for a
 * user who has given none. */
static int
hint_token(const struct answer_about *a, const char *set, struct err *e)
{
	return err_hint(e, "%s",
	    a->withheld ? "use an https:// address as --endpoint: the token is "
			  "not sent in clear text"
			: set);
}

static int
absent_revision(const struct answer_about *a, struct err *e)
{
	return err_set(e, ERR_ABSENT, "no revision '%s' in '%s'",
	    a->revision ? a->revision : "main", a->id);
}

static int
absent_entry(const struct answer_about *a, struct err *e)
{
	if (!a->path)
		return err_set(
		    e, ERR_ABSENT, "there is no such file in '%s'", a->id);
	return err_set(
	    e, ERR_ABSENT, "there is no '%s' in '%s'", a->path, a->id);
}

static int
gated(const struct answer_about *a, struct err *e)
{
	err_set(e, ERR_AUTH, "'%s' is gated: %s", a->id,
	    a->has_token
		? "access has not been granted to this token"
		: "only users who are logged in and have been granted access "
		  "may read it");
	if (a->has_token)
		return err_hint(e, "ask for access at %s/%s%s", a->endpoint,
		    a->type_prefix, a->id);
	if (a->withheld)
		return hint_token(a, NULL, e);
	return err_hint(e, "ask for access at %s/%s%s, then set HF_TOKEN",
	    a->endpoint, a->type_prefix, a->id);
}

/* Sets the error for a repository that is missing, or private: the Hub answers
 * the same. */
static int
absent_repo(const struct answer_about *a, struct err *e)
{
	if (a->has_token) {
		err_set(e, ERR_ABSENT,
		    "there is no %s '%s', or the token has no access to it",
		    a->type, a->id);
		return err_hint(e, "look at the spelling, and at -t (model, "
				   "dataset, space or kernel)");
	}
	err_set(e, ERR_ABSENT,
	    "there is no %s '%s', or it is private or gated and no token was "
	    "%s",
	    a->type, a->id, a->withheld ? "sent" : "given");
	return hint_token(a, "check the spelling and -t, or set HF_TOKEN", e);
}

static int
bad_token(struct err *e)
{
	err_set(e, ERR_AUTH, "the Hub does not accept the token");
	return err_hint(e,
	    "create a new token on the Hub (Settings, Access Tokens); -v "
	    "shows where this one came from");
}

static int
forbidden(const struct answer_about *a, struct err *e)
{
	err_set(e, ERR_AUTH, "the Hub denies access");
	if (!a->has_token)
		return hint_token(
		    a, "set HF_TOKEN to a token with the needed rights", e);
	return err_hint(
	    e, "check the rights of the token; -v shows where it came from");
}

/* Sets the error for a 429. Either a window opens again after some seconds, and
 * the client waits; or another quota is used up, and a later try does not
 * help. */
static int
too_many(const struct http_head *h, const struct answer_about *a, struct err *e)
{
	uint64_t remaining, seconds;

	if (http_ratelimit(h, &remaining, &seconds) == 0 && remaining &&
	    !http_asked_wait(h))
		return err_set(e, ERR_OTHER, "a quota of the Hub is used up");
	err_set(e, ERR_NET, "the Hub's rate limit is reached");
	if (http_asked_wait(h))
		err_set(e, ERR_NET,
		    "the Hub's rate limit is reached for the next %u s",
		    http_asked_wait(h));
	if (!a->has_token)
		hint_token(a, "a token raises the limit: set HF_TOKEN", e);
	return -1;
}

static bool
names_credentials(const struct http_head *h)
{
	struct str message;

	return http_get(h, "x-error-message", &message) &&
	       str_starts(message, "Invalid credentials in Authorization");
}

/* Sets the error by the status alone, where the Hub gave no code. */
static int
by_status(
    const struct http_head *h, const struct answer_about *a, struct err *e)
{
	switch (h->status) {
	case 401:
		return names_credentials(h) ? bad_token(e) : absent_repo(a, e);
	case 402:
		return err_set(
		    e, ERR_AUTH, "the Hub requires a paid plan for this");
	case 403:
		return forbidden(a, e);
	case 404:
		return err_set(
		    e, ERR_ABSENT, "'%s' was not found at the endpoint", a->id);
	case 412:
		return err_set(e, ERR_REFUSED,
		    "'%s' has changed since it was read", a->id);
	case 429:
		return too_many(h, a, e);
	default:
		return err_set(e,
		    http_status_transient(h->status) ? ERR_NET : ERR_OTHER,
		    "the Hub answered with status %u", h->status);
	}
}

/* Of the account: there is no repository that could be missing. */
static int
decide_account(
    const struct http_head *h, const struct answer_about *a, struct err *e)
{
	if (h->status == 401)
		return bad_token(e);
	if (h->status == 404 || h->status == 412)
		return err_set(e, ERR_ABSENT,
		    "the endpoint does not know whose a token is");
	return by_status(h, a, e);
}

/* Chooses the error, in the order that answer_error() documents. */
static int
decide(const struct http_head *h, const struct answer_about *a, struct err *e)
{
	if (!a->id)
		return decide_account(h, a, e);
	if (code_is(h, "RevisionNotFound"))
		return absent_revision(a, e);
	if (code_is(h, "EntryNotFound"))
		return absent_entry(a, e);
	if (code_is(h, "GatedRepo"))
		return gated(a, e);
	if (header_is(
		h, "x-error-message", "Access to this resource is disabled."))
		return err_set(
		    e, ERR_AUTH, "'%s' was disabled by the Hub", a->id);
	if (code_is(h, "RepoNotFound"))
		return absent_repo(a, e);
	return by_status(h, a, e);
}

static bool
request_id(const struct http_head *h, struct str *id)
{
	return http_get(h, "x-request-id", id) ||
	       http_get(h, "x-amzn-trace-id", id) ||
	       http_get(h, "x-amz-cf-id", id);
}

int
answer_error(const struct http_head *h, struct str body,
    const struct answer_about *about, struct err *e)
{
	struct buf words = buf_make(2048);
	struct err cause;
	struct str id = str_of("");

	decide(h, about, &cause);
	add_words(&words, h, body);
	request_id(h, &id);
	err_set(e, cause.kind, "%s%s%.*s%s%s%.*s%s", cause.msg,
	    words.len ? ": \"" : "", STRF(buf_str(&words)),
	    words.len ? "\"" : "", id.n ? " (request " : "", STRF(id),
	    id.n ? ")" : "");
	e->wait = e->kind == ERR_NET ? http_asked_wait(h) : 0;
	memcpy(e->hint, cause.hint, sizeof(e->hint));
	buf_release(&words);
	return -1;
}

/* --- How to send each file. --- */

#define ASK_PATH_MAX 8192

void
preupload_begin(struct buf *b)
{
	buf_puts(b, "{\"files\":[");
}

void
preupload_add(struct buf *b, const char *path, uint64_t size,
    const void *sample, size_t n)
{
	if (b->len && b->s[b->len - 1] != '[')
		buf_putc(b, ',');
	buf_puts(b, "{\"path\":");
	json_put_string(b, str_of(path));
	buf_printf(b, ",\"size\":%" PRIu64 ",\"sample\":\"", size);
	buf_base64(b, sample, n);
	buf_puts(b, "\"}");
}

static void
put_member(struct buf *b, const char *name, const char *value)
{
	if (!value)
		return;
	buf_printf(b, ",\"%s\":", name);
	json_put_string(b, str_of(value));
}

void
preupload_end(struct buf *b, const char *ignore, const char *attributes)
{
	buf_putc(b, ']');
	put_member(b, "gitIgnore", ignore);
	put_member(b, "gitAttributes", attributes);
	buf_putc(b, '}');
}

static int
broken(struct err *e)
{
	return err_set(
	    e, ERR_CONTENT, "the Hub's answer does not say how to send a file");
}

static int
give(const struct json *item,
    void (*each)(void *ctx, const struct preupload_mode *m), void *ctx,
    struct err *e)
{
	struct preupload_mode m = {.path = NULL};
	char *path = json_get_strdup(item, "path", ASK_PATH_MAX);
	char *oid = json_get_strdup(item, "oid", 64);
	struct json mode;
	int rv = -1;

	if (path && json_get(item, "uploadMode", &mode) &&
	    (json_is(&mode, "lfs") || json_is(&mode, "regular"))) {
		m.path = path;
		m.lfs = json_is(&mode, "lfs");
		m.ignored = json_get_bool(item, "shouldIgnore", false);
		m.known = oid && digest_parse(str_of(oid), &m.there) == 0;
		each(ctx, &m);
		rv = 0;
	}
	free(path);
	free(oid);
	return rv < 0 ? broken(e) : 0;
}

int
preupload_parse(struct str text,
    void (*each)(void *ctx, const struct preupload_mode *m), void *ctx,
    char commit[41], struct err *e)
{
	struct json all, files, item;
	struct json_iter it;
	char *head;

	if (json_parse(text, &all, e) < 0) {
		e->kind = ERR_NET;
		return err_in(e, "the Hub's answer is not JSON");
	}
	if (!json_get(&all, "files", &files) || files.type != JSON_ARRAY)
		return broken(e);
	head = json_get_strdup(&all, "commitOid", 40);
	commit[0] = '\0';
	if (head && str_is_hex(str_of(head), 40))
		memcpy(commit, head, 41);
	free(head);
	it = json_iter(&files);
	while (json_next(&it, NULL, &item))
		if (give(&item, each, ctx, e) < 0)
			return -1;
	return 0;
}

/* --- The body of a commit. --- */

/* Room for a line: a path has at most 1000 bytes, a message has any length. */
#define LINE_MAX_LENGTH ((size_t)1 << 20)

/* Bytes of a content that are encoded at once; a multiple of 3. */
#define RAW 12288

static uint64_t
encoded(uint64_t size)
{
	return (size + 2) / 3 * 4;
}

static void
put_header(struct buf *b, const struct commit *c)
{
	buf_puts(b, "{\"key\":\"header\",\"value\":{\"summary\":");
	json_put_string(b, str_of(c->summary));
	buf_puts(b, ",\"description\":");
	json_put_string(b, str_of(c->description));
	if (c->parent)
		buf_printf(b, ",\"parentCommit\":\"%s\"", c->parent);
	buf_puts(b, "}}\n");
}

/* Writes the line of an operation; *split gets the offset at which a content
 * belongs. */
static void
put_op(struct buf *b, const struct commit_op *op, size_t *split)
{
	static const char *const key[] = {"file", "lfsFile", "deletedFile"};
	char hex[2 * HASH_SIZE_MAX + 1];

	buf_printf(b, "{\"key\":\"%s\",\"value\":{\"path\":", key[op->kind]);
	json_put_string(b, str_of(op->path));
	if (op->kind == COMMIT_LFS) {
		digest_hex(&op->digest, hex);
		buf_printf(b,
		    ",\"algo\":\"sha256\",\"oid\":\"%s\",\"size\":%" PRIu64,
		    hex, op->size);
	} else if (op->kind == COMMIT_FILE) {
		buf_puts(b, ",\"encoding\":\"base64\",\"content\":\"");
		*split = b->len;
		buf_putc(b, '"');
	}
	buf_puts(b, "}}\n");
}

/* Writes the text of line i. Returns the length of the line with its
 * content. */
static uint64_t
put_line(struct buf *b, const struct commit *c, size_t i, size_t *split)
{
	buf_clear(b);
	*split = SIZE_MAX;
	if (i == 0)
		put_header(b, c);
	else
		put_op(b, &c->op[i - 1], split);
	if (i == 0 || c->op[i - 1].kind != COMMIT_FILE)
		return b->len;
	return b->len + encoded(c->op[i - 1].size);
}

uint64_t
commit_length(const struct commit *c)
{
	struct buf b = buf_make(LINE_MAX_LENGTH);
	uint64_t length = 0;
	size_t split;

	for (size_t i = 0; i <= c->n; i++)
		length += put_line(&b, c, i, &split);
	buf_release(&b);
	return length;
}

static void
close_file(struct commit_reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

void
commit_reader_init(struct commit_reader *r, const struct commit *c)
{
	*r = (struct commit_reader){
	    .c = c,
	    .text = buf_make(LINE_MAX_LENGTH),
	    .fd = -1,
	};
}

void
commit_reader_release(struct commit_reader *r)
{
	close_file(r);
	buf_release(&r->text);
}

/* Goes to the line that contains offset. Returns the length of that line. */
static uint64_t
seek(struct commit_reader *r, uint64_t offset)
{
	uint64_t length;

	if (offset < r->begin || !r->text.len) {
		close_file(r);
		r->i = 0;
		r->begin = 0;
	}
	length = put_line(&r->text, r->c, r->i, &r->split);
	while (offset - r->begin >= length && r->i < r->c->n) {
		close_file(r);
		r->begin += length;
		r->i++;
		length = put_line(&r->text, r->c, r->i, &r->split);
	}
	return length;
}

/* Encodes the content of a file, from offset at of its base64 text on. */
static int
read_content(struct commit_reader *r, uint64_t at, char *p, size_t cap,
    size_t *n, struct err *e)
{
	const struct commit_op *op = &r->c->op[r->i - 1];
	uint64_t from = at / 4 * 3, left = op->size - from;
	/* Reads only the groups of three bytes that cap bytes of base64
	 * need. */
	size_t max = cap / 4 < RAW / 3 - 2 ? (cap / 4 + 2) * 3 : RAW;
	size_t raw = left < max ? (size_t)left : max;
	size_t skip = (size_t)(at % 4);
	unsigned char *bytes = xmalloc(RAW);
	struct buf text = buf_make(RAW / 3 * 4);
	int rv = 0;

	if (r->fd < 0)
		r->fd = r->c->open(r->c->ctx, op->file, e);
	if (r->fd < 0)
		rv = -1;
	if (rv == 0)
		rv = file_pread(r->fd, bytes, raw, from, op->path, e);
	if (rv == 0) {
		buf_base64(&text, bytes, raw);
		*n = text.len - skip < cap ? text.len - skip : cap;
		memcpy(p, text.s + skip, *n);
		if (at + *n == encoded(op->size))
			rv = r->c->check(r->c->ctx, op->file, r->fd, e);
	}
	if (rv < 0)
		r->c->failed(r->c->ctx, op->file, e);
	buf_release(&text);
	free(bytes);
	return rv;
}

/* Reads bytes from offset on, all from one line; *n is 0 at the end. */
static int
read_some(struct commit_reader *r, uint64_t offset, char *p, size_t cap,
    size_t *n, struct err *e)
{
	uint64_t length = seek(r, offset), at = offset - r->begin;
	uint64_t content = length - r->text.len;
	size_t place, end = r->text.len;

	*n = 0;
	if (at >= length)
		return 0;
	if (content && at >= r->split && at < r->split + content)
		return read_content(r, at - r->split, p, cap, n, e);
	if (content && at < r->split)
		end = r->split;
	place = (size_t)(content && at >= r->split ? at - content : at);
	*n = end - place < cap ? end - place : cap;
	memcpy(p, r->text.s + place, *n);
	return 0;
}

int
commit_read(
    void *ctx, uint64_t offset, void *p, size_t cap, size_t *n, struct err *e)
{
	size_t some = 1;

	for (*n = 0; *n < cap && some; *n += some)
		if (read_some(ctx, offset + *n, (char *)p + *n, cap - *n, &some,
			e) < 0)
			return -1;
	return 0;
}

int
commit_answer_parse(struct str text, struct commit_answer *out, struct err *e)
{
	struct json all;
	char *oid;

	*out = (struct commit_answer){.url = NULL};
	if (json_parse(text, &all, e) < 0) {
		e->kind = ERR_NET;
		return err_in(e, "the Hub's answer is not JSON");
	}
	oid = json_get_strdup(&all, "commitOid", 40);
	if (oid && str_is_hex(str_of(oid), 40))
		memcpy(out->oid, oid, 41);
	free(oid);
	if (!*out->oid)
		return err_set(
		    e, ERR_NET, "the Hub's answer contains no commit");
	out->url = answer_url(&all, "commitUrl");
	return 0;
}

void
commit_answer_release(struct commit_answer *a)
{
	free(a->url);
	*a = (struct commit_answer){.url = NULL};
}
