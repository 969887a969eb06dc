#include "answer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "mem.h"
#include "url.h"

/* The official client's and the Hub's own texts are below that. */
#define TEXT_MAX 400

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
	/* A cut answer may be whole the next time. */
	e->kind = ERR_NET;
	return err_in(e, "the Hub's answer is no JSON");
}

/* The digest that names a content: the LFS pointer's where there is one. In a
 * listing it is "oid", in a description "sha256" (hub-protocol.md, 3.1). */
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

/* A size may be missing: *size stays. */
static int
entry_size(const struct json *v, uint64_t *size)
{
	struct json item;

	if (!json_get(v, "size", &item))
		return 0;
	return json_uint(&item, REPO_FILE_MAX, size);
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

static int
give_entry(const struct json *entry,
    int (*each)(void *ctx, const struct repo_file *f, struct err *e), void *ctx,
    struct err *e)
{
	struct repo_file f = {.path = NULL};
	struct json type;
	int rv;

	if (entry->type != JSON_OBJECT)
		return not_a_listing(e, "an entry is no object");
	/* Passing over what may be a file would be a silent loss. */
	if (!json_get(entry, "type", &type) || type.type != JSON_STRING)
		return not_a_listing(e, "an entry does not say what it is");
	if (!json_is(&type, "file"))
		return 0;
	rv = read_entry(entry, &f, e);
	if (rv == 0)
		rv = each(ctx, &f, e);
	else if (f.path)
		err_in(e, "'%s'", f.path);
	free(f.path);
	return rv;
}

int
answer_tree(struct str text,
    int (*each)(void *ctx, const struct repo_file *f, struct err *e), void *ctx,
    struct err *e)
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
		rv =
		    err_set(e, ERR_CONTENT, "the Hub's answer names no commit");
	free(sha);
	return rv;
}

/* --- Errors. --- */

/* Appends text to the sentences of b, unless it is there already. Runs of white
 * space become one blank: bodies have line ends. */
static void
add_text(struct buf *b, struct str text)
{
	struct buf line = buf_make(TEXT_MAX);

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

/* The shapes of section 6.1: a string or a list of strings in "error", with
 * "error_description"; a list of objects in "errors". */
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

/* Pages of a proxy are no words for people at a terminal, nor is the XML of a
 * store, which may repeat what was signed. */
static bool
is_words(const struct http_head *h, struct str body)
{
	while (body.n && (unsigned char)body.s[0] <= ' ')
		body = str_make(body.s + 1, body.n - 1);
	return !str_starts(body, "<") && !str_starts(body, "{") &&
	       !http_type_is(h, "text/html") && utf8_valid(body);
}

/* What the Hub says of it, in its own words. */
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

/* What to do where a token may help and none was sent; set is that for who has
 * given none. */
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
	return err_set(e, ERR_ABSENT, "there is no revision '%s' in '%s'",
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
	    a->has_token ? "access has not been granted to this token"
			 : "it is only for those who are logged in and "
			   "have been granted access");
	if (a->has_token)
		return err_hint(e, "ask for access at %s/%s%s", a->endpoint,
		    a->type_prefix, a->id);
	if (a->withheld)
		return hint_token(a, NULL, e);
	return err_hint(e, "ask for access at %s/%s%s, then set HF_TOKEN",
	    a->endpoint, a->type_prefix, a->id);
}

/* A repository that is missing looks like one that is private. */
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
	return hint_token(
	    a, "look at the spelling and at -t, or set HF_TOKEN", e);
}

static int
bad_token(struct err *e)
{
	err_set(e, ERR_AUTH, "the Hub does not accept the token");
	return err_hint(e, "make a new one at the Hub (Settings, Access "
			   "Tokens); -v says where the token came from");
}

static int
forbidden(const struct answer_about *a, struct err *e)
{
	err_set(e, ERR_AUTH, "the Hub does not allow it");
	if (!a->has_token)
		return hint_token(a, "set HF_TOKEN to a token that may", e);
	return err_hint(e, "the token may lack a right; -v says where it came "
			   "from");
}

/* Two kinds of 429: a window that opens again, which is waited for, and other
 * quotas, for which neither waiting seconds nor trying again helps (6.5). */
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

/* What a status means where the Hub gave no word for it. */
static int
by_status(
    const struct http_head *h, const struct answer_about *a, struct err *e)
{
	switch (h->status) {
	case 401:
		return names_credentials(h) ? bad_token(e) : absent_repo(a, e);
	case 402:
		return err_set(e, ERR_AUTH, "the Hub wants a paid plan for it");
	case 403:
		return forbidden(a, e);
	case 404:
		return err_set(
		    e, ERR_ABSENT, "'%s' was not found at the endpoint", a->id);
	case 412:
		return err_set(e, ERR_REFUSED,
		    "'%s' has changed since it was looked at", a->id);
	case 429:
		return too_many(h, a, e);
	default:
		return err_set(e,
		    http_status_transient(h->status) ? ERR_NET : ERR_OTHER,
		    "the Hub answered with status %u", h->status);
	}
}

/* The decision order of section 6.2. */
static int
decide(const struct http_head *h, const struct answer_about *a, struct err *e)
{
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
