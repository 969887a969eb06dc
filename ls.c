#include "ls.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache.h"
#include "client.h"
#include "config.h"
#include "err.h"
#include "file.h"
#include "gguf.h"
#include "json.h"
#include "option.h"
#include "path.h"
#include "plan.h"
#include "progress.h"
#include "sandbox.h"
#include "session.h"
#include "str.h"
#include "token.h"
#include "wait.h"

/* --- What is in a repository. --- */

/* Characters shown of a commit's hash, and of its date (YYYY-MM-DD). */
#define COMMIT_SHOWN 8
#define DAY 10

/* One line. Small: there may be a hundred thousand of them. */
struct row {
	char *path;
	char *last; /* "COMMIT DATE TITLE"; a '-' for what is not told; NULL */
	uint64_t size;
	struct digest digest;
	enum repo_kind kind;
};

struct ls {
	const struct options *o;
	struct session s;
	struct output *out;
	bool table; /* at a terminal, or --long: more than the names */
	bool human; /* at a terminal: sizes for people, and a total */
	bool saved; /* from the listing that a download left: --offline */
	struct folder folder; /* where it is: the cache, or -p */
	struct cache cache;
	char commit[41];
	const char *path; /* what to list; NULL: the top */
	bool pattern;     /* path has wildcards */
	bool deep;        /* files in all folders, and no folders: -R, or there
			   * are patterns, which are for whole paths */
	struct row *row;
	size_t n, cap;
	struct plan plan; /* --quants, or a quantization: the files */
};

/* The order of the names does not depend on the Hub's. */
static int
by_path(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* What a server wrote, fit for a terminal and for one line. */
static void
put_text(struct buf *out, const char *text)
{
	char *s = xstrdup(text);

	str_printable(s);
	buf_puts(out, s);
	free(s);
}

static const char *
kind_name(enum repo_kind k)
{
	static const char *const name[] = {"git", "lfs", "xet", "folder"};

	return name[k];
}

/* --- Which files. --- */

static bool
has_wildcard(const char *path)
{
	return path && strpbrk(path, "*?[");
}

/* A path with wildcards may also be a name that has them. */
static bool
is_wanted(const struct ls *l, const char *path)
{
	const struct options *o = l->o;
	const struct glob_list include = {o->include.s, o->include.n};
	const struct glob_list exclude = {o->exclude.s, o->exclude.n};

	if (l->pattern && !glob_match(l->path, path) &&
	    strcmp(l->path, path) != 0)
		return false;
	return glob_kept(&include, &exclude, path);
}

static char *
last_text(const struct repo_entry *x)
{
	struct buf b = buf_make(2048);

	if (!x->commit && !x->date && !x->title)
		return NULL;
	buf_printf(&b, "%s %.*s %s", x->commit ? x->commit : "-", DAY,
	    x->date ? x->date : "-", x->title ? x->title : "");
	return buf_detach(&b);
}

static bool
cut_last(
    const char *last, struct str *commit, struct str *date, struct str *title)
{
	return last && str_cut(str_of(last), ' ', commit, date) &&
	       str_cut(*date, ' ', date, title);
}

static int
take(void *ctx, const struct repo_entry *x, struct err *e)
{
	struct ls *l = ctx;
	struct row *r;

	(void)e;
	if ((x->kind == REPO_FOLDER && l->deep) || !is_wanted(l, x->file.path))
		return 0;
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap + l->cap / 2 : 64;
		l->row = xreallocarray(l->row, l->cap, sizeof(l->row[0]));
	}
	r = &l->row[l->n++];
	*r = (struct row){
	    .path = xstrdup(x->file.path),
	    .last = last_text(x),
	    .size = x->file.size,
	    .digest = x->file.digest,
	    .kind = x->kind,
	};
	return 0;
}

static int
no_such_path(const struct ls *l, struct err *e)
{
	err_set(e, ERR_ABSENT, "there is no file or folder '%s'", l->path);
	return err_hint(
	    e, "hub ls %s%s", l->s.id.id, l->saved ? " --offline" : "");
}

/* The path is no folder: it may be a file. */
static int
take_one(struct ls *l, struct err *e)
{
	const char *slash = strrchr(l->path, '/');
	char *folder =
	    slash ? xstrndup(l->path, (size_t)(slash - l->path)) : NULL;
	const struct repo_listing list = {
	    .folder = folder, .flat = true, .last = l->o->long_list};
	struct err ignored;
	int rv;

	/* As a pattern it is the one name. */
	l->pattern = true;
	rv = repo_list(&l->s.repo, l->commit, &list, take, l, &ignored);
	free(folder);
	if (rv < 0 && ignored.kind != ERR_ABSENT) {
		*e = ignored;
		return -1;
	}
	return l->n ? 0 : no_such_path(l, e);
}

static int
list_hub(struct ls *l, struct err *e)
{
	bool patterns = l->o->include.n || l->o->exclude.n;
	const struct repo_listing how = {
	    .folder = l->pattern ? NULL : l->path,
	    .flat = !l->deep,
	    .last = l->o->long_list,
	};
	int rv = repo_list(&l->s.repo, l->commit, &how, take, l, e);
	/* git has no empty folder, but some mirrors list a file as one. */
	bool nothing = rv < 0 ? e->kind == ERR_ABSENT : !l->n && !patterns;

	return how.folder && nothing ? take_one(l, e) : rv;
}

/* Calls each() for all files, also in folders. */
static int
each_file(struct ls *l,
    int (*each)(void *ctx, const struct repo_file *f, struct err *e),
    struct err *e)
{
	struct folder_traits t = {.free = 0};
	struct maker *owner = l->o->local_path ? &t.maker : NULL;
	int rv;

	if (!l->saved)
		return repo_tree(&l->s.repo, l->commit, each, l, e);
	if (folder_traits(&l->folder, &t, e) < 0)
		return -1;
	/* Nothing is written, not even to find out about owners. */
	t.maker.unsure = false;
	memcpy(l->cache.commit, l->commit, sizeof(l->commit));
	rv = cache_tree(&l->cache, owner, each, l, e);
	if (rv <= 0)
		return rv;
	err_set(e, ERR_ABSENT,
	    "the list of files at commit %s is not in '%s', and hub is offline",
	    l->commit, l->folder.path);
	return err_hint(e, "%s", l->s.config->go_online);
}

/* A file of the listing that a download left, or the folder in which it is. */
static int
take_saved(void *ctx, const struct repo_file *f, struct err *e)
{
	struct ls *l = ctx;
	size_t n = l->pattern || !l->path ? 0 : strlen(l->path);
	const char *rest = f->path, *slash;
	struct repo_entry x = {.file = *f,
	    .kind = *f->ids->xet                    ? REPO_XET
		    : f->digest.kind == HASH_SHA256 ? REPO_LFS
						    : REPO_REGULAR};
	int rv;

	if (n && (strncmp(f->path, l->path, n) != 0 ||
		     (f->path[n] && f->path[n] != '/')))
		return 0;
	/* The path of a file itself has nothing behind it. */
	if (n && f->path[n])
		rest += n + 1;
	else if (n)
		rest += n;
	slash = l->deep ? NULL : strchr(rest, '/');
	if (!slash)
		return take(l, &x, e);
	x = (struct repo_entry){.kind = REPO_FOLDER};
	x.file.path = xstrndup(f->path, (size_t)(slash - f->path));
	rv = l->n && strcmp(l->row[l->n - 1].path, x.file.path) == 0
		 ? 0
		 : take(l, &x, e);
	free(x.file.path);
	return rv;
}

/* A folder may have come several times. */
static void
join_folders(struct ls *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		struct row *r = &l->row[i];

		if (n && r->kind == REPO_FOLDER &&
		    strcmp(l->row[n - 1].path, r->path) == 0)
			free(r->path);
		else
			l->row[n++] = *r;
	}
	l->n = n;
}

static int
list(struct ls *l, struct err *e)
{
	bool patterns = l->o->include.n || l->o->exclude.n;
	int rv = l->saved ? each_file(l, take_saved, e) : list_hub(l, e);

	if (rv == 0 && !l->n && (l->pattern || patterns))
		rv = err_set(e, ERR_ABSENT, "no file matches");
	else if (rv == 0 && !l->n && l->path)
		rv = no_such_path(l, e);
	if (rv == 0 && l->n)
		qsort(l->row, l->n, sizeof(l->row[0]), by_path);
	join_folders(l);
	return rv;
}

/* --- As text. --- */

static void
put_name(struct buf *out, const struct row *r)
{
	put_text(out, r->path);
	buf_puts(out, r->kind == REPO_FOLDER ? "/\n" : "\n");
}

static void
put_size(const struct ls *l, uint64_t size)
{
	char text[32];

	if (l->human)
		size_show(size, text);
	else
		snprintf(text, sizeof(text), "%" PRIu64, size);
	buf_printf(&l->out->text, l->human ? "%8s" : "%s", text);
}

/* "HASH  COMMIT  DAY  " */
static void
put_long(struct buf *out, const struct row *r)
{
	char hex[2 * HASH_SIZE_MAX + 1] = "-";
	struct str commit = str_of("-"), day = commit, title;

	cut_last(r->last, &commit, &day, &title);
	if (r->kind != REPO_FOLDER)
		digest_hex(&r->digest, hex);
	if (commit.n > COMMIT_SHOWN)
		commit.n = COMMIT_SHOWN;
	buf_printf(out, "%s  %.*s  %.*s  ", hex, STRF(commit), STRF(day));
}

/* "1.34 GB  xet  PATH", with --long hash and commit before the path. */
static void
put_row(const struct ls *l, const struct row *r)
{
	struct buf *out = &l->out->text;
	bool folder = r->kind == REPO_FOLDER;

	if (!l->table) {
		put_name(out, r);
		return;
	}
	if (folder)
		buf_printf(out, l->human ? "%8s" : "%s", "-");
	else
		put_size(l, r->size);
	buf_printf(out, "  %-3s  ", folder ? "-" : kind_name(r->kind));
	if (l->o->long_list)
		put_long(out, r);
	put_name(out, r);
}

static const char *
plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static void
put_rows(struct ls *l)
{
	size_t files = 0, folders;
	uint64_t bytes = 0;
	char size[16];

	for (size_t i = 0; i < l->n; i++) {
		put_row(l, &l->row[i]);
		output_more(l->out);
		files += l->row[i].kind != REPO_FOLDER;
		bytes += l->row[i].size;
	}
	if (!l->human)
		return;
	folders = l->n - files;
	size_show(bytes, size);
	buf_printf(&l->out->text, "%zu file%s, %s", files, plural(files), size);
	if (folders)
		buf_printf(&l->out->text, "; %zu folder%s, not counted",
		    folders, plural(folders));
	buf_putc(&l->out->text, '\n');
}

/* --- As JSON. --- */

static void
put_member(struct buf *b, const char *name, struct str value)
{
	buf_printf(b, ",\"%s\":", name);
	json_put_string(b, value);
}

static void
put_last_json(struct buf *b, const char *last)
{
	struct str commit, date, title;

	if (!cut_last(last, &commit, &date, &title))
		return;
	buf_puts(b, ",\"last_commit\":{\"id\":");
	json_put_string(b, commit);
	put_member(b, "date", date);
	put_member(b, "title", title);
	buf_putc(b, '}');
}

static void
put_digest_json(struct buf *b, const struct digest *d)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(d, hex);
	buf_printf(b, ",\"%s\":\"%s\"",
	    d->kind == HASH_SHA256 ? "sha256" : "git_oid", hex);
}

static void
put_json(struct ls *l)
{
	struct buf *b = &l->out->text;

	report_begin(b, "ls", &l->s.id, l->s.revision);
	buf_printf(b, ",\"commit\":\"%s\",\"files\":[", l->commit);
	for (size_t i = 0; i < l->n; i++) {
		const struct row *r = &l->row[i];

		if (i)
			buf_putc(b, ',');
		report_file(b, r->path, r->size);
		buf_printf(b, ",\"kind\":\"%s\"", kind_name(r->kind));
		if (r->kind != REPO_FOLDER)
			put_digest_json(b, &r->digest);
		put_last_json(b, r->last);
		buf_putc(b, '}');
		output_more(l->out);
	}
	buf_puts(b, "]}\n");
}

/* --- Quantizations. --- */

static int
plan_file_of(void *ctx, const struct repo_file *f, struct err *e)
{
	struct ls *l = ctx;

	(void)e;
	if (is_wanted(l, f->path))
		plan_add(&l->plan, f);
	return 0;
}

/* "Q4_K_M", else what the name ends with, else nothing. */
static struct str
label(const struct gguf_model *q)
{
	if (q->name.kind == GGUF_PROJECTOR)
		return str_of("mmproj");
	return q->name.quant.n ? q->name.quant : q->name.tag;
}

static void
put_label(struct buf *out, struct str name)
{
	char *text = xstrndup(name.s, name.n);

	put_text(out, text);
	free(text);
}

static void
put_quant(const struct ls *l, const struct gguf_model *q, bool is_default)
{
	struct buf *out = &l->out->text;
	struct str name = label(q);

	if (!l->table) {
		/* What may stand after ':'. */
		if (q->name.kind != GGUF_MODEL)
			return;
		put_label(out, name);
		buf_puts(out, "\n");
		return;
	}
	put_label(out, name);
	buf_printf(out, "%*s", name.n < 12 ? 12 - (int)name.n : 0, "");
	put_size(l, q->size);
	buf_puts(out, "  ");
	put_text(out, q->path);
	if (q->absent)
		buf_printf(out, ": part %u of %u is missing", q->absent,
		    q->name.parts);
	else if (q->name.parts > 1)
		buf_printf(out, " (%u parts)", q->name.parts);
	buf_puts(out, is_default ? " (default)\n" : "\n");
}

static void
put_quant_json(struct buf *b, const struct gguf_model *q, bool is_default)
{
	static const char *const kind[] = {
	    [GGUF_MODEL] = "model",
	    [GGUF_PROJECTOR] = "projector",
	    [GGUF_OTHER] = "other",
	};

	report_file(b, q->path, q->size);
	put_member(b, "quantization", q->name.quant);
	buf_printf(b,
	    ",\"kind\":\"%s\",\"parts\":%u,\"complete\":%s,\"default\":%s}",
	    kind[q->name.kind], q->name.parts, q->absent ? "false" : "true",
	    is_default ? "true" : "false");
}

static void
put_quants(struct ls *l, const struct gguf_model *q, size_t n)
{
	const struct gguf_model *first = gguf_pick(q, n, "");
	struct buf *b = &l->out->text;

	if (l->o->json) {
		report_begin(b, "ls", &l->s.id, l->s.revision);
		buf_printf(b, ",\"commit\":\"%s\",\"quants\":[", l->commit);
	}
	for (size_t i = 0; i < n; i++) {
		if (l->o->json && i)
			buf_putc(b, ',');
		if (l->o->json)
			put_quant_json(b, &q[i], &q[i] == first);
		else
			put_quant(l, &q[i], &q[i] == first);
		output_more(l->out);
	}
	if (l->o->json)
		buf_puts(b, "]}\n");
}

static int
list_quants(struct ls *l, struct err *e)
{
	struct gguf_model *q;
	size_t n;

	if (each_file(l, plan_file_of, e) < 0)
		return -1;
	q = gguf_list(&l->plan, &n);
	if (n)
		put_quants(l, q, n);
	free(q);
	return n ? 0 : err_set(e, ERR_ABSENT, "there is no GGUF file");
}

/* --- Branches, tags and pull requests. --- */

static int
put_ref(void *ctx, const struct repo_ref *r, struct err *e)
{
	struct ls *l = ctx;
	struct buf *b = &l->out->text;

	(void)e;
	if (l->o->json) {
		/* The first one stands right after the '['. */
		if (l->n++)
			buf_putc(b, ',');
		buf_printf(
		    b, "{\"kind\":\"%s\",\"name\":", ref_kind_name(r->kind));
		json_put_string(b, str_of(r->name));
		buf_printf(b, ",\"commit\":\"%s\"}", r->commit);
	} else {
		if (l->table)
			buf_printf(b, "%-12s  %.*s  ", ref_kind_name(r->kind),
			    l->o->long_list ? 40 : COMMIT_SHOWN, r->commit);
		put_text(b, r->name);
		buf_putc(b, '\n');
	}
	output_more(l->out);
	return 0;
}

static int
list_refs(struct ls *l, struct err *e)
{
	struct buf *b = &l->out->text;
	int rv;

	if (l->o->json) {
		report_begin(b, "ls", &l->s.id, l->s.revision);
		buf_puts(b, ",\"refs\":[");
	}
	rv = repo_refs(&l->s.repo, put_ref, l, e);
	if (rv < 0)
		buf_clear(b);
	else if (l->o->json)
		buf_puts(b, "]}\n");
	return rv;
}

/* --- The command. --- */

static int
choose_path(struct ls *l, struct err *e)
{
	char *path = l->s.id.path;
	size_t n;

	if (path && l->o->args.n)
		return err_set(e, ERR_USAGE,
		    "'%s' and '%s' both name what to list", l->o->repo_id,
		    l->o->args.s[0]);
	if (l->o->args.n) {
		path = l->s.id.path = xstrdup(l->o->args.s[0]);
		if (strncmp(path, "./", 2) == 0)
			memmove(path, path + 2, strlen(path) - 1);
		for (n = strlen(path); n && path[n - 1] == '/'; n--)
			path[n - 1] = '\0';
	}
	l->path = path && *path && strcmp(path, ".") != 0 ? path : NULL;
	l->pattern = has_wildcard(l->path);
	l->deep =
	    l->o->recursive || l->pattern || l->o->include.n || l->o->exclude.n;
	return 0;
}

/* --offline: where the listing is. */
static int
open_saved(struct ls *l, struct err *e)
{
	const char *path =
	    l->o->local_path ? l->o->local_path : l->s.config->cache_dir;

	if (!path) {
		err_set(e, ERR_USAGE,
		    "there is no cache: neither HF_HUB_CACHE nor HOME is set");
		return err_hint(e, "--cache-dir DIR");
	}
	if (l->o->local_path)
		cache_init_folder(
		    &l->cache, &l->folder, l->s.id.type, l->s.id.id);
	else
		cache_init(&l->cache, &l->folder, l->s.id.type, l->s.id.id);
	if (folder_open(&l->folder, path, false, e) == 0)
		return 0;
	if (access(path, F_OK) < 0)
		err_set(e, ERR_ABSENT, "there is no '%s', and hub is offline",
		    path);
	return -1;
}

static int
find_commit(struct ls *l, struct err *e)
{
	const char *revision = l->s.revision;
	int rv;

	if (!l->saved || commit_valid(revision))
		return repo_commit(&l->s.repo, revision, l->commit, e);
	rv = cache_ref(&l->cache, revision, l->commit, e);
	if (rv <= 0)
		return rv;
	err_set(e, ERR_ABSENT,
	    "hub is offline, and '%s' does not say which commit '%.64s' is",
	    l->folder.path, revision);
	return err_hint(e, "%s, or give the commit with --revision",
	    l->s.config->go_online);
}

static int
run(struct ls *l, struct err *e)
{
	struct confine c = confine_make();

	if (choose_path(l, e) < 0 || (l->saved && open_saved(l, e) < 0))
		return -1;
	if (l->saved)
		confine_read(&c, AT_FDCWD, l->folder.path);
	session_confine(&l->s, &c);
	if (l->o->refs)
		return list_refs(l, e);
	if (find_commit(l, e) < 0)
		return -1;
	if (l->o->quants)
		return list_quants(l, e);
	if (list(l, e) < 0)
		return -1;
	if (l->o->json)
		put_json(l);
	else
		put_rows(l);
	return 0;
}

int
ls(const struct options *o, const struct config *c, struct output *out,
    struct err *e)
{
	bool human = isatty(STDOUT_FILENO);
	struct ls l = {.o = o,
	    .out = out,
	    .human = human,
	    .table = human || o->long_list,
	    .saved = c->offline,
	    .folder.fd = -1,
	    .cache = {.blobs.fd = -1, .part.fd = -1}};
	int rv;

	if (!c->offline && (o->local_path || o->cache_dir)) {
		err_set(e, ERR_USAGE,
		    "-p and --cache-dir are for a listing that a download "
		    "left: ls asks the Hub without --offline");
		return err_hint(e, "--offline");
	}
	if (session_open(&l.s, o, c, e) < 0)
		return -1;
	rv = run(&l, e);
	if (rv < 0 && e->kind == ERR_STOPPED && wait_stop() != SIGPIPE)
		err_set(e, ERR_STOPPED, "stopped");
	else if (rv < 0 && e->kind != ERR_STOPPED && e->kind != ERR_USAGE)
		err_in(e, "cannot list '%s'", l.s.id.id);
	for (size_t i = 0; i < l.n && l.row; i++) {
		free(l.row[i].path);
		free(l.row[i].last);
	}
	free(l.row);
	plan_release(&l.plan);
	cache_release(&l.cache);
	folder_close(&l.folder);
	session_close(&l.s);
	return rv;
}

/* --- Whose the token is. --- */

static void
put_field(struct buf *b, const char *name, const char *value)
{
	if (value && *value)
		buf_printf(b, "%-14s%s\n", name, value);
}

static void
put_items(struct buf *b, const char *name, const struct whoami_items *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct whoami_item *x = &list->item[i];

		buf_printf(b, "%-14s%s%s%s%s\n", i ? "" : name, x->name,
		    x->role ? " (" : "", x->role ? x->role : "",
		    x->role ? ")" : "");
	}
}

static void
put_whoami(struct buf *b, const struct whoami *w, const struct config *c)
{
	put_field(b, "account:", w->name);
	put_field(b, "name:", w->fullname);
	put_field(b, "type:", w->type);
	put_items(b, "organisation:", &w->orgs);
	put_field(b, "token:", w->token);
	/* OAuth has neither a name nor a role. */
	put_field(b, "kind:", w->role ? w->role : w->kind);
	put_items(b, "rights:", &w->rights);
	put_field(b, "expires:", w->expires);
	put_field(b, "from:", c->token_source);
	put_field(b, "endpoint:", c->endpoint);
}

static void
put_text_json(struct buf *b, const char *name, const char *value)
{
	if (value)
		put_member(b, name, str_of(value));
	else
		buf_printf(b, ",\"%s\":null", name);
}

static void
put_items_json(struct buf *b, const char *name, const char *second,
    const struct whoami_items *list)
{
	buf_printf(b, ",\"%s\":[", name);
	for (size_t i = 0; i < list->n; i++) {
		buf_puts(b, i ? ",{\"name\":" : "{\"name\":");
		json_put_string(b, str_of(list->item[i].name));
		put_text_json(b, second, list->item[i].role);
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

static void
put_whoami_json(struct buf *b, const struct whoami *w, const struct config *c)
{
	buf_puts(b, "{\"command\":\"whoami\"");
	put_text_json(b, "account", w->name);
	put_text_json(b, "fullname", w->fullname);
	put_text_json(b, "type", w->type);
	put_items_json(b, "organisations", "role", &w->orgs);
	put_text_json(b, "token_kind", w->kind);
	put_text_json(b, "token_name", w->token);
	put_text_json(b, "token_role", w->role);
	put_items_json(b, "rights", "permissions", &w->rights);
	put_text_json(b, "expires", w->expires);
	put_text_json(b, "source", c->token_source);
	put_text_json(b, "endpoint", c->endpoint);
	buf_puts(b, "}\n");
}

static int
no_token(const struct options *o, const struct config *c, struct err *e)
{
	err_set(e, ERR_AUTH, "there is no token for '%s'; looked for it in %s",
	    c->endpoint, token_places(o->of_upload ? TOKEN_WRITE : TOKEN_READ));
	return err_hint(e, "set HF_TOKEN");
}

static int
ask_whoami(const struct options *o, const struct session *s, struct output *out,
    struct err *e)
{
	struct confine confine = confine_make();
	struct whoami w;
	int rv;

	if (s->repo.withheld) {
		err_set(e, ERR_AUTH, "the token is not sent to '%s'",
		    s->config->endpoint);
		return err_hint(e,
		    "use an https:// address as --endpoint: the token is not "
		    "sent in clear text");
	}
	session_confine(s, &confine);
	rv = repo_whoami(&s->repo, &w, e);
	if (rv < 0)
		err_in(e, "the token from %s", s->config->token_source);
	else if (o->json)
		put_whoami_json(&out->text, &w, s->config);
	else
		put_whoami(&out->text, &w, s->config);
	whoami_release(&w);
	return rv;
}

int
whoami(const struct options *o, const struct config *c, struct output *out,
    struct err *e)
{
	struct session s;
	int rv;

	if (!c->token)
		return no_token(o, c, e);
	if (session_open(&s, o, c, e) < 0)
		return -1;
	rv = ask_whoami(o, &s, out, e);
	session_close(&s);
	return rv;
}
