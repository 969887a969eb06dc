#include "reply.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "err.h"
#include "http.h"
#include "json.h"
#include "path.h"
#include "site.h"
#include "url.h"

/* --- Headers and failures. --- */

/* The longest text of an answer. */
#define TEXT_MAX ((size_t)8 << 20)

/* Seconds after which a client may ask again for what is not proved yet. */
#define RETRY_AFTER 2

#define FIELDS_MAX 32768

/* A page of a listing ends with either. */
#define PAGE_FILES 1000
#define PAGE_BYTES 65536

/* A piece of a list that is given in pieces ends there. */
#define PIECE_BYTES 16384

static struct reply
make_answer(unsigned status)
{
	struct reply a = {
	    .status = status,
	    .fields = buf_make(FIELDS_MAX),
	    .body = buf_make(TEXT_MAX),
	    .fd = -1,
	};

	/* Usually enough, so that it does not grow bit by bit. */
	(void)buf_room(&a.fields, 1000);
	return a;
}

void
reply_release(struct reply *a)
{
	if (a->fd >= 0)
		close(a->fd);
	buf_release(&a->fields);
	buf_release(&a->body);
	reply_rest_release(a->rest);
	a->fd = -1;
	a->rest = NULL;
}

static void
put_field(struct reply *a, const char *name, const char *value)
{
	buf_puts(&a->fields, name);
	buf_puts(&a->fields, ": ");
	buf_puts(&a->fields, value);
	buf_puts(&a->fields, "\r\n");
}

static void
put_number(struct reply *a, const char *name, uint64_t n)
{
	buf_puts(&a->fields, name);
	buf_puts(&a->fields, ": ");
	buf_num(&a->fields, n);
	buf_puts(&a->fields, "\r\n");
}

static void
put_etag(struct reply *a, const char *name, const char *hex)
{
	buf_puts(&a->fields, name);
	buf_puts(&a->fields, ": \"");
	buf_puts(&a->fields, hex);
	buf_puts(&a->fields, "\"\r\n");
}

static void
put_json_type(struct reply *a)
{
	put_field(a, "Content-Type", "application/json; charset=utf-8");
}

void
reply_fail(
    struct reply *out, unsigned status, const char *code, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* It may hold what a client sent. */
	for (char *p = text; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	reply_release(out);
	*out = make_answer(status);
	if (code)
		put_field(out, "X-Error-Code", code);
	put_field(out, "X-Error-Message", text);
	put_json_type(out);
	buf_puts(&out->body, "{\"error\":");
	json_put_string(&out->body, str_of(text));
	buf_putc(&out->body, '}');
	out->length = out->body.len;
}

static void
fail_entry(struct reply *out, const struct site_snapshot *s)
{
	reply_fail(out, 404, "EntryNotFound", "Entry not found");
	put_field(out, "X-Repo-Commit", s->commit);
}

static void
fail_unproved(struct reply *out)
{
	reply_fail(out, 503, NULL, "files are still being hashed: ask again");
	put_number(out, "Retry-After", RETRY_AFTER);
	out->prove = true;
}

/* --- What a request names. --- */

/* What the path of a request stands for. */
struct place {
	struct site_repo *repo;
	const struct site_snapshot *snapshot;
	struct buf path; /* in the repository; "": none */
};

/* A request that is being answered. */
struct asking {
	struct site *s;
	const struct reply_request *q;
	struct reply *a;
	struct str query;
	struct place at;
};

/* Cuts the next part off a path that begins with '/', and decodes it; false at
 * the end, and for a broken one. */
static bool
next_part(struct str *rest, struct buf *out)
{
	struct str part, more;

	if (!str_starts(*rest, "/"))
		return false;
	*rest = str_make(rest->s + 1, rest->n - 1);
	part = *rest;
	more = str_of("");
	if (str_cut(*rest, '/', &part, &more))
		more = str_make(more.s - 1, more.n + 1);
	*rest = more;
	return part.n && url_unquote(part, out) == 0 && !out->full;
}

/* Finds the repository of "/org/name..." or "/name...", and cuts that off
 * rest. */
static struct site_repo *
take_repo(const struct site *s, enum repo_type type, struct str *rest)
{
	struct buf key = buf_make(512);
	struct site_repo *r = NULL;
	struct str all = *rest, one;

	buf_puts(&key, repo_type_plural(type));
	buf_putc(&key, '/');
	if (next_part(&all, &key)) {
		size_t n = key.len;

		one = all;
		buf_putc(&key, '/');
		if (next_part(&all, &key))
			r = site_find(s, buf_cstr(&key));
		if (r) {
			*rest = all;
		} else if (!key.full && key.s) {
			key.s[n] = '\0';
			r = site_find(s, key.s);
			*rest = one;
		}
	}
	buf_release(&key);
	return r;
}

/* Finds the snapshot of a revision: a name that was noted, or a commit. */
static bool
find_snapshot(struct asking *k, const char *revision)
{
	const struct site_repo *r = k->at.repo;

	/* git's name for the default branch. */
	if (strcmp(revision, "HEAD") == 0)
		revision = "main";
	k->at.snapshot = NULL;
	for (size_t i = 0; !k->at.snapshot && i < r->refs; i++)
		if (strcmp(r->ref[i].name, revision) == 0)
			k->at.snapshot = r->ref[i].snapshot;
	if (!k->at.snapshot)
		k->at.snapshot = site_snapshot(r, str_of(revision));
	if (k->at.snapshot)
		return true;
	reply_fail(
	    k->a, 404, "RevisionNotFound", "Invalid rev id: %s", revision);
	return false;
}

/* Takes "/REV" or nothing, which is main. */
static bool
take_snapshot(struct asking *k, struct str *rest)
{
	struct buf revision = buf_make(512);
	bool found = true;

	if (!rest->n)
		buf_puts(&revision, "main");
	else
		found = next_part(rest, &revision);
	if (found)
		found = find_snapshot(k, buf_cstr(&revision));
	else
		reply_fail(k->a, 400, NULL, "Invalid revision");
	buf_release(&revision);
	return found;
}

/* Takes the rest as a path, in which slashes may be quoted, too. "" is the top.
 * One that could be no file of a repository names none. */
static bool
take_path(struct asking *k, struct str rest)
{
	struct err ignored;

	if (str_starts(rest, "/"))
		rest = str_make(rest.s + 1, rest.n - 1);
	buf_clear(&k->at.path);
	if (!rest.n)
		return true;
	if (url_unquote(rest, &k->at.path) == 0 && !k->at.path.full &&
	    path_check(buf_str(&k->at.path), &ignored) == 0)
		return true;
	fail_entry(k->a, k->at.snapshot);
	return false;
}

/* The first entry that is not before the path. */
static size_t
first_entry(const struct site_snapshot *s, const char *path)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t i = low + (high - low) / 2;

		if (strcmp(s->entry[i].path, path) < 0)
			low = i + 1;
		else
			high = i;
	}
	return low;
}

static const struct site_entry *
entry_at(const struct site_snapshot *s, const char *path)
{
	size_t i = first_entry(s, path);

	return i < s->n && strcmp(s->entry[i].path, path) == 0 ? &s->entry[i]
							       : NULL;
}

/* --- Listings. --- */

/* A listing under way; the lock is held. */
struct listing {
	struct buf *out;
	struct hash hash; /* for the ids of pointers */
	size_t n;         /* entries so far */
	size_t asked;     /* paths of a request */
};

/* The text that git has in place of a file of Git LFS. */
static int
put_pointer(char text[256], const struct site_content *c)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(&c->digest, hex);
	return snprintf(text, 256,
	    "version https://git-lfs.github.com/spec/v1\n"
	    "oid sha256:%s\nsize %" PRIu64 "\n",
	    hex, c->stamp.size);
}

/* git's id: of an LFS file that of its pointer. */
static void
put_oid(struct listing *l, const struct site_content *c)
{
	char hex[2 * HASH_SIZE_MAX + 1], text[256];
	struct digest d = c->digest;

	if (d.kind == HASH_SHA256) {
		size_t n = (size_t)put_pointer(text, c);

		hash_restart(&l->hash, HASH_GIT, n);
		hash_update(&l->hash, text, n);
		hash_final(&l->hash, &d);
	}
	digest_hex(&d, hex);
	buf_puts(l->out, hex);
}

static void
put_lfs(struct listing *l, const char *name, const struct site_content *c)
{
	char hex[2 * HASH_SIZE_MAX + 1], text[256];

	if (c->digest.kind != HASH_SHA256)
		return;
	digest_hex(&c->digest, hex);
	buf_printf(l->out,
	    ",\"lfs\":{\"%s\":\"%s\",\"size\":%" PRIu64 ",\"pointerSize\":%d}",
	    name, hex, c->stamp.size, put_pointer(text, c));
}

static void
next_item(struct listing *l)
{
	if (l->n++)
		buf_putc(l->out, ',');
}

static void
put_file(struct listing *l, const struct site_entry *x)
{
	next_item(l);
	buf_puts(l->out, "{\"type\":\"file\",\"oid\":\"");
	put_oid(l, x->content);
	buf_printf(l->out,
	    "\",\"size\":%" PRIu64 ",\"path\":", x->content->stamp.size);
	json_put_string(l->out, str_of(x->path));
	put_lfs(l, "oid", x->content);
	buf_putc(l->out, '}');
}

/* Its id is not known, but clients want one: this is git's name for none. */
static void
put_folder(struct listing *l, struct str path)
{
	next_item(l);
	buf_puts(l->out, "{\"type\":\"directory\",\"oid\":\""
			 "0000000000000000000000000000000000000000\","
			 "\"size\":0,\"path\":");
	json_put_string(l->out, path);
	buf_putc(l->out, '}');
}

static bool
is_right(const struct site_entry *x)
{
	return x->content->proof == SITE_RIGHT;
}

/* What of a tree is wanted. */
struct wanted {
	const char *prefix; /* "" or "folder/" */
	bool recursive;
	uint64_t limit;
	const char *after; /* the last file of the page before; NULL: none */
};

/* Puts the folders that x is in and the file before was not, and x itself. */
static void
put_below(struct listing *l, const struct wanted *w, const struct site_entry *x,
    const char *before)
{
	const char *rest = x->path + strlen(w->prefix), *slash;

	for (const char *p = rest; (slash = strchr(p, '/')); p = slash + 1) {
		size_t n = (size_t)(slash - x->path);

		if (!before || strncmp(before, x->path, n + 1) != 0)
			put_folder(l, str_make(x->path, n));
		if (!w->recursive)
			return;
	}
	put_file(l, x);
}

/* Puts a page; returns the last file of it, NULL if nothing is left behind
 * it. */
static const char *
put_tree(
    struct listing *l, const struct site_snapshot *s, const struct wanted *w)
{
	const char *before = w->after;
	size_t n = strlen(w->prefix);
	size_t i = first_entry(s, w->after ? w->after : w->prefix);

	for (; i < s->n; i++) {
		const struct site_entry *x = &s->entry[i];

		if (strncmp(x->path, w->prefix, n) != 0)
			break;
		if (!is_right(x) || (before && strcmp(x->path, before) <= 0))
			continue;
		if (l->n >= w->limit || l->out->len >= PAGE_BYTES)
			return before;
		put_below(l, w, x, before);
		before = x->path;
	}
	return NULL;
}

/* The address of the next page. */
static void
put_link(const struct asking *k, const struct wanted *w, const char *last)
{
	struct buf link = buf_make(FIELDS_MAX);
	struct str path = k->q->target, query;

	str_cut(k->q->target, '?', &path, &query);
	if (k->q->host.n)
		buf_printf(&link, "http%s://%.*s", k->q->secure ? "s" : "",
		    STRF(k->q->host));
	buf_str_add(&link, path);
	buf_printf(&link, "?recursive=%s&limit=%" PRIu64 "&cursor=",
	    w->recursive ? "true" : "false", w->limit);
	url_quote(&link, str_of(last), "");
	buf_printf(
	    &k->a->fields, "Link: <%s>; rel=\"next\"\r\n", buf_cstr(&link));
	buf_release(&link);
}

/* The decoded value of a query's member; false if it is absent or broken. */
static bool
query_text(struct str query, const char *name, struct buf *out)
{
	struct str value;

	return url_query_get(query, name, &value) && value.n &&
	       url_unquote(value, out) == 0 && !out->full;
}

static bool
query_flag(struct str query, const char *name)
{
	struct str value;

	return url_query_get(query, name, &value) &&
	       (str_eq_nocase(value, "true") || str_eq(value, "1"));
}

static void
answer_page(struct asking *k, const struct wanted *w)
{
	const struct site_snapshot *s = k->at.snapshot;
	struct listing l = {.out = &k->a->body};
	const char *last;
	bool unproved;

	site_lock(k->s);
	unproved = site_is_unproved(k->at.repo, s);
	buf_putc(l.out, '[');
	last = unproved ? NULL : put_tree(&l, s, w);
	buf_putc(l.out, ']');
	site_unlock(k->s);
	if (unproved)
		fail_unproved(k->a);
	else if (!l.n && *w->prefix && !w->after)
		fail_entry(k->a, s);
	else if (last)
		put_link(k, w, last);
}

/* GET .../tree/REV[/PATH] */
static void
answer_tree_of(struct asking *k, struct str rest)
{
	struct wanted w = {.limit = PAGE_FILES};
	struct buf after = buf_make(PATH_LIMIT);
	struct str value;
	uint64_t limit;

	while (str_ends(rest, "/"))
		rest.n--;
	if (!take_path(k, rest))
		return;
	if (k->at.path.len)
		buf_putc(&k->at.path, '/');
	w.prefix = buf_cstr(&k->at.path);
	w.recursive = query_flag(k->query, "recursive");
	if (url_query_get(k->query, "limit", &value) &&
	    str_num(value, 10, PAGE_FILES, &limit) == 0 && limit)
		w.limit = limit;
	if (query_text(k->query, "cursor", &after))
		w.after = buf_cstr(&after);
	put_json_type(k->a);
	answer_page(k, &w);
	buf_release(&after);
}

/* --- Information on paths. --- */

/* The text of a path is not much longer than the path, so that it is bounded by
 * the body and REPLY_PATHS_MAX; more are only counted. */
static void
put_path(struct listing *l, const struct site_snapshot *s, struct buf *path)
{
	const struct site_entry *x;
	size_t i;

	if (l->asked++ >= REPLY_PATHS_MAX)
		return;
	while (path->len && path->s[path->len - 1] == '/')
		path->s[--path->len] = '\0';
	if (!path->len)
		return;
	x = entry_at(s, buf_cstr(path));
	if (x && is_right(x)) {
		put_file(l, x);
		return;
	}
	buf_putc(path, '/');
	for (i = first_entry(s, buf_cstr(path));
	     i < s->n && str_starts(str_of(s->entry[i].path), path->s); i++)
		if (is_right(&s->entry[i])) {
			put_folder(l, str_make(path->s, path->len - 1));
			return;
		}
}

/* {"paths": ["a", "b"]}, or one path. */
static bool
put_json_paths(
    struct listing *l, const struct site_snapshot *s, struct str body)
{
	struct json all, paths, item;
	struct json_iter it;
	struct buf path = buf_make(PATH_LIMIT);
	struct err ignored;

	if (json_parse(body, &all, &ignored) < 0 ||
	    !json_get(&all, "paths", &paths))
		return false;
	if (json_string(&paths, &path) == 0 && !path.full)
		put_path(l, s, &path);
	for (it = json_iter(&paths); json_next(&it, NULL, &item);) {
		buf_release(&path);
		path = buf_make(PATH_LIMIT);
		if (json_string(&item, &path) == 0 && !path.full)
			put_path(l, s, &path);
	}
	buf_release(&path);
	return true;
}

/* "paths=a&paths=b": there a blank is a '+'. */
static void
put_form_paths(
    struct listing *l, const struct site_snapshot *s, struct str body)
{
	while (body.n) {
		struct str pair = body, rest = str_of(""), name, value;
		struct buf plain = buf_make(3 * PATH_LIMIT);
		struct buf path = buf_make(PATH_LIMIT);

		str_cut(body, '&', &pair, &rest);
		body = rest;
		if (str_cut(pair, '=', &name, &value) &&
		    (str_eq(name, "paths") || str_eq(name, "paths[]"))) {
			buf_str_add(&plain, value);
			for (size_t i = 0; i < plain.len; i++)
				if (plain.s[i] == '+')
					plain.s[i] = ' ';
			if (url_unquote(buf_str(&plain), &path) == 0 &&
			    !path.full && !plain.full)
				put_path(l, s, &path);
		}
		buf_release(&plain);
		buf_release(&path);
	}
}

/* POST .../paths-info/REV */
static void
answer_paths(struct asking *k)
{
	const struct site_snapshot *s = k->at.snapshot;
	struct listing l = {.out = &k->a->body};
	struct str type = k->q->type, parameters;
	bool good = true, unproved;

	str_cut(k->q->type, ';', &type, &parameters);
	put_json_type(k->a);
	site_lock(k->s);
	unproved = site_is_unproved(k->at.repo, s);
	buf_putc(l.out, '[');
	if (unproved)
		;
	else if (str_eq_nocase(str_trim(type), "application/json"))
		good = put_json_paths(&l, s, k->q->body);
	else
		put_form_paths(&l, s, k->q->body);
	buf_putc(l.out, ']');
	site_unlock(k->s);
	if (unproved)
		fail_unproved(k->a);
	else if (!good)
		reply_fail(k->a, 400, NULL, "the body names no paths");
	else if (l.asked > REPLY_PATHS_MAX)
		reply_fail(k->a, 413, NULL, "more than %d paths: ask for fewer",
		    REPLY_PATHS_MAX);
}

/* --- Repositories. --- */

static const char *
id_of(const struct site_repo *r)
{
	return strchr(r->key, '/') + 1;
}

/* A list of all files that is given in pieces: of 100,000 files it is too much
 * memory for each client that reads slowly. */
struct reply_rest {
	struct site *s;
	struct site_repo *repo;
	const struct site_snapshot *snapshot;
	bool blobs;
	size_t next; /* the entry that the next piece begins with */
	size_t put;  /* files so far */
	uint64_t doubts;
};

static void
put_sibling(struct listing *l, const struct site_entry *x, bool blobs)
{
	next_item(l);
	buf_puts(l->out, "{\"rfilename\":");
	json_put_string(l->out, str_of(x->path));
	if (blobs) {
		buf_printf(l->out, ",\"size\":%" PRIu64 ",\"blobId\":\"",
		    x->content->stamp.size);
		put_oid(l, x->content);
		buf_putc(l->out, '"');
		put_lfs(l, "sha256", x->content);
	}
	buf_putc(l->out, '}');
}

int
reply_more(struct reply_rest *rest, struct buf *out)
{
	struct listing l = {.out = out, .n = rest->put};
	const struct site_snapshot *s = rest->snapshot;
	size_t end = out->len + PIECE_BYTES;
	int rv = 1;

	site_lock(rest->s);
	/* What is left out from now on was not left out at first. */
	if (rest->doubts != rest->repo->doubts)
		rv = -1;
	for (; rv > 0 && rest->next < s->n && out->len < end; rest->next++)
		if (is_right(&s->entry[rest->next]))
			put_sibling(&l, &s->entry[rest->next], rest->blobs);
	site_unlock(rest->s);
	rest->put = l.n;
	if (rv > 0 && rest->next == s->n) {
		buf_puts(out, "]}");
		rv = 0;
	}
	return out->full ? -1 : rv;
}

void
reply_rest_release(struct reply_rest *rest)
{
	if (rest)
		site_release(rest->s);
	free(rest);
}

/* The list of the files, up to its end if that is not far. */
static void
begin_siblings(struct asking *k)
{
	struct reply_rest *rest = xcalloc(1, sizeof(*rest));
	bool unproved;
	int more = 1;

	*rest = (struct reply_rest){.s = site_keep(k->s),
	    .repo = k->at.repo,
	    .snapshot = k->at.snapshot,
	    .blobs = query_flag(k->query, "blobs")};
	site_lock(k->s);
	unproved = site_is_unproved(k->at.repo, k->at.snapshot);
	rest->doubts = k->at.repo->doubts;
	site_unlock(k->s);
	while (!unproved && more > 0 && k->a->body.len < PAGE_BYTES)
		more = reply_more(rest, &k->a->body);
	if (!unproved && more > 0) {
		k->a->rest = rest;
		return;
	}
	reply_rest_release(rest);
	if (unproved || more < 0)
		fail_unproved(k->a);
}

/* GET .../ID and .../ID/revision/REV. What is not known is left out. */
static void
answer_info(struct asking *k)
{
	const struct site_snapshot *s = k->at.snapshot;
	struct buf *out = &k->a->body;
	const char *id = id_of(k->at.repo), *slash = strchr(id, '/');

	put_json_type(k->a);
	buf_printf(out, "{\"id\":\"%s\",", id);
	if (str_starts(str_of(k->at.repo->key), "models/"))
		buf_printf(out, "\"modelId\":\"%s\",", id);
	if (slash)
		buf_printf(out, "\"author\":\"%.*s\",", (int)(slash - id), id);
	buf_printf(out,
	    "\"sha\":\"%s\",\"private\":false,\"gated\":false,"
	    "\"disabled\":false,\"tags\":[],\"siblings\":[",
	    s->commit);
	begin_siblings(k);
}

static void
put_refs(struct asking *k, bool pulls)
{
	const struct site_repo *r = k->at.repo;
	struct listing l = {.out = &k->a->body};

	for (size_t i = 0; i < r->refs; i++) {
		const struct site_ref *x = &r->ref[i];
		bool full = str_starts(str_of(x->name), "refs/");

		if (str_starts(str_of(x->name), "refs/pr/") != pulls)
			continue;
		next_item(&l);
		buf_puts(l.out, "{\"name\":");
		json_put_string(l.out,
		    str_of(pulls ? x->name + strlen("refs/pr/") : x->name));
		buf_puts(l.out, ",\"ref\":");
		if (full) {
			json_put_string(l.out, str_of(x->name));
		} else {
			struct buf name = buf_make(1024);

			buf_printf(&name, "refs/heads/%s", x->name);
			json_put_string(l.out, buf_str(&name));
			buf_release(&name);
		}
		buf_printf(
		    l.out, ",\"targetCommit\":\"%s\"}", x->snapshot->commit);
	}
}

/* Which of the names are tags is not known. */
static void
answer_refs_of(struct asking *k)
{
	put_json_type(k->a);
	buf_puts(&k->a->body, "{\"branches\":[");
	put_refs(k, false);
	buf_puts(&k->a->body, "],\"tags\":[],\"converts\":[],"
			      "\"pullRequests\":[");
	put_refs(k, true);
	buf_puts(&k->a->body, "]}");
}

/* GET /: for people. */
static void
answer_top(struct asking *k)
{
	size_t n;
	const struct site_repo *r = site_repos(k->s, &n);

	put_field(k->a, "Content-Type", "text/plain; charset=utf-8");
	for (; n; n--, r++)
		buf_printf(&k->a->body, "%s\n", r->key);
}

/* --- Files. --- */

static void
put_disposition(struct reply *a, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	buf_puts(&a->fields, "Content-Disposition: inline; filename*=UTF-8''");
	url_quote(&a->fields, str_of(name), "");
	buf_puts(&a->fields, "; filename=\"");
	for (; *name; name++)
		buf_putc(&a->fields,
		    *name < ' ' || *name > '~' || *name == '"' || *name == '\\'
			? '_'
			: *name);
	buf_puts(&a->fields, "\";\r\n");
}

/* Everything that does not depend on the range. */
static void
put_about(struct asking *k, const struct site_entry *x, const char *hex)
{
	struct reply *a = k->a;

	put_field(a, "X-Repo-Commit", k->at.snapshot->commit);
	put_etag(a, "ETag", hex);
	put_etag(a, "X-Linked-ETag", hex);
	if (a->status == 304)
		return;
	put_number(a, "X-Linked-Size", a->length);
	put_field(a, "Accept-Ranges", "bytes");
	put_field(a, "Content-Type",
	    x->content->digest.kind == HASH_SHA256
		? "application/octet-stream"
		: "text/plain; charset=utf-8");
	/* A browser is to run nothing of it. */
	put_field(a, "X-Content-Type-Options", "nosniff");
	put_disposition(a, x->path);
}

/* a->length is the size of the file. */
static void
apply_range(struct asking *k, const char *hex)
{
	struct reply *a = k->a;
	struct str condition = k->q->if_range;
	uint64_t first, last, size = a->length;
	int rv = k->q->head || !k->q->range.n
		     ? 0
		     : http_range(k->q->range, size, &first, &last);

	/* A weak one never fits, nor does a date. */
	if (condition.n && (condition.n != strlen(hex) + 2 ||
			       !http_etag_listed(condition, hex)))
		rv = 0;
	if (rv > 0) {
		a->status = 206;
		a->first = first;
		a->length = last - first + 1;
		buf_printf(&a->fields,
		    "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64
		    "\r\n",
		    first, last, size);
	} else if (rv < 0) {
		reply_fail(a, 416, NULL, "nothing is in that range");
		buf_printf(
		    &a->fields, "Content-Range: bytes */%" PRIu64 "\r\n", size);
	}
}

/* GET and HEAD /ID/resolve/REV/PATH */
static void
answer_file(struct asking *k, struct str rest)
{
	const struct site_entry *x;
	char hex[2 * HASH_SIZE_MAX + 1];
	enum site_opened opened = SITE_ABSENT;

	if (!take_path(k, rest))
		return;
	x = entry_at(k->at.snapshot, buf_cstr(&k->at.path));
	if (x)
		opened = site_open(
		    k->s, k->at.repo, x->content, &k->a->fd, &k->a->stamp);
	if (opened == SITE_ABSENT)
		fail_entry(k->a, k->at.snapshot);
	else if (opened == SITE_LATER)
		fail_unproved(k->a);
	else if (opened == SITE_BUSY)
		reply_fail(k->a, 500, NULL, "no file can be opened now");
	if (opened != SITE_OPENED)
		return;
	k->a->length = k->a->stamp.size;
	digest_hex(&x->content->digest, hex);
	if (k->q->none_match.n && http_etag_listed(k->q->none_match, hex)) {
		close(k->a->fd);
		k->a->fd = -1;
		k->a->status = 304;
		put_about(k, x, hex);
		return;
	}
	put_about(k, x, hex);
	apply_range(k, hex);
}

/* --- Which answer. --- */

static void
fail_repo(struct asking *k)
{
	reply_fail(k->a, 404, "RepoNotFound", "Repository not found");
}

static void
fail_method(struct asking *k, const char *allowed)
{
	reply_fail(k->a, 405, NULL, "read-only");
	put_field(k->a, "Allow", allowed);
}

/* "/revision/REV", "/tree/REV/PATH" and so on, behind the repository. */
static void
answer_about(struct asking *k, struct str rest)
{
	struct buf verb = buf_make(64);
	bool named = next_part(&rest, &verb);
	const char *what = named ? buf_cstr(&verb) : "revision";
	bool paths = strcmp(what, "paths-info") == 0;

	if (k->q->post != paths)
		fail_method(k, paths ? "POST" : "GET, HEAD");
	else if (strcmp(what, "refs") == 0 && !rest.n)
		answer_refs_of(k);
	else if (strcmp(what, "auth-check") == 0 && !rest.n)
		put_field(k->a, "Content-Type", "text/plain");
	else if (strcmp(what, "revision") != 0 && strcmp(what, "tree") != 0 &&
		 !paths)
		reply_fail(k->a, 404, NULL, "not offered");
	else if (!take_snapshot(k, &rest))
		;
	else if (paths)
		answer_paths(k);
	else if (*what == 't')
		answer_tree_of(k, rest);
	else
		answer_info(k);
	buf_release(&verb);
}

/* "/models/ID..." */
static void
answer_api(struct asking *k, struct str rest)
{
	struct buf plural = buf_make(32);
	int type = next_part(&rest, &plural) ? REPO_KERNEL : -1;

	while (type >= 0 && !str_eq(buf_str(&plural),
				repo_type_plural((enum repo_type)type)))
		type--;
	buf_release(&plural);
	if (type < 0) {
		reply_fail(k->a, 404, NULL, "not offered");
		return;
	}
	k->at.repo = take_repo(k->s, (enum repo_type)type, &rest);
	if (!k->at.repo)
		fail_repo(k);
	else
		answer_about(k, rest);
}

/* "/ID/resolve/REV/PATH", "/datasets/ID/resolve/..." */
static void
answer_resolve(struct asking *k, struct str path)
{
	struct buf verb = buf_make(64);
	enum repo_type type = REPO_MODEL;

	for (int t = REPO_DATASET; t <= REPO_KERNEL; t++) {
		const char *prefix = repo_type_prefix((enum repo_type)t);
		struct str rest = str_make(path.s + 1, path.n - 1);

		if (!str_starts(rest, prefix))
			continue;
		type = (enum repo_type)t;
		/* With the '/' at its end. */
		path =
		    str_make(path.s + strlen(prefix), path.n - strlen(prefix));
		break;
	}
	k->at.repo = take_repo(k->s, type, &path);
	if (!k->at.repo)
		fail_repo(k);
	else if (k->q->post)
		fail_method(k, "GET, HEAD");
	else if (!next_part(&path, &verb) ||
		 strcmp(buf_cstr(&verb), "resolve") != 0 || !path.n)
		reply_fail(k->a, 404, NULL,
		    "not offered; files are at ID/resolve/main/PATH");
	else if (take_snapshot(k, &path))
		answer_file(k, path);
	buf_release(&verb);
}

void
reply_make(struct site *s, const struct reply_request *q, struct reply *out)
{
	struct asking k = {
	    .s = s,
	    .q = q,
	    .a = out,
	    .query = str_of(""),
	    .at.path = buf_make(PATH_LIMIT + 1),
	};
	struct str path = q->target;

	*out = make_answer(200);
	str_cut(q->target, '?', &path, &k.query);
	if (str_eq(path, "/"))
		answer_top(&k);
	else if (str_starts(path, "/api/"))
		answer_api(&k, str_make(path.s + 4, path.n - 4));
	else
		answer_resolve(&k, path);
	buf_release(&k.at.path);
	if (out->body.full || out->fields.full)
		reply_fail(out, 500, NULL, "the answer is too long");
	if (out->fd < 0 && out->status != 304)
		out->length = out->body.len;
}
