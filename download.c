#include "download.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache.h"
#include "client.h"
#include "err.h"
#include "fetch.h"
#include "file.h"
#include "json.h"
#include "listing.h"
#include "litter.h"
#include "option.h"
#include "partial.h"
#include "path.h"
#include "plan.h"
#include "progress.h"
#include "sandbox.h"
#include "session.h"
#include "str.h"
#include "transfer.h"
#include "wait.h"
#include "xet.h"

/* --- What is reported. --- */

/* In a cache: no link says what its content is. */
static bool
is_plain(const struct plan_file *f)
{
	return f->state == PLAN_KEPT && f->plain;
}

/* Reports the files in place, and how they were verified. */
static void
note_here(const struct download_report *r, size_t kept, size_t proved)
{
	struct progress *progress = r->s->progress;
	size_t all = r->plan->n, here = kept + proved, plain = 0;
	const char *are = all == 1 ? " is" : here == 1 ? "s is" : "s are";
	const char *they = kept == 1 ? "it was" : "they were";

	for (size_t i = 0; i < all; i++)
		plain += is_plain(&r->plan->file[i]);
	if (plain)
		progress_note(progress,
		    "%zu of %zu file%s cached, not hashed; %zu of them %s by "
		    "path and size alone: no link to a content",
		    here, all, are, plain,
		    plain == 1 ? "is known" : "are known");
	else if (r->cached && kept)
		progress_note(progress, "%zu of %zu file%s cached, not hashed",
		    here, all, are);
	else if (kept && proved)
		progress_note(progress,
		    "%zu of %zu file%s in place: %zu unchanged since %s "
		    "verified, %zu verified now",
		    here, all, are, kept, they, proved);
	else if (kept)
		progress_note(progress,
		    "%zu of %zu file%s in place, unchanged since %s verified",
		    here, all, are, they);
	else if (proved)
		progress_note(progress,
		    "%zu of %zu file%s in place, verified now", here, all, are);
}

/* Reports the plan: files in place, files left by an earlier run, files
 * refused. */
static void
download_report_plan(const struct download_report *r)
{
	const struct plan *p = r->plan;
	struct progress *progress = r->s->progress;
	size_t kept = 0, proved = 0;
	char size[16];

	for (size_t i = 0; i < p->n; i++) {
		kept += p->file[i].state == PLAN_KEPT ||
			p->file[i].state == PLAN_LINK;
		proved += p->file[i].state == PLAN_PROVED;
		if (p->file[i].state == PLAN_FAILED)
			progress_note(progress, "%s: '%s': %s",
			    p->file[i].failure->kind == ERR_ABSENT ? "missing"
								   : "refused",
			    p->file[i].file.path, p->file[i].failure->msg);
	}
	note_here(r, kept, proved);
	size_show(p->left, size);
	if (p->left_files && r->o->resume)
		progress_note(progress,
		    "continuing: %s of %zu file%s already downloaded", size,
		    p->left_files, p->left_files == 1 ? "" : "s");
	else if (p->left_files)
		progress_note(progress,
		    "starting over: discarding %s of %zu file%s of an earlier "
		    "run; use -d (--resume) to continue instead",
		    size, p->left_files, p->left_files == 1 ? "" : "s");
}

static const char *
outcome(const struct plan_file *f, bool cached)
{
	switch (f->state) {
	case PLAN_FETCH:
		return "missing";
	case PLAN_LINK:
		return "cached";
	case PLAN_KEPT:
		return cached ? "cached" : "kept";
	case PLAN_PROVED:
		return "kept";
	case PLAN_COPY:
		return "missing";
	case PLAN_DONE:
		return "downloaded";
	case PLAN_FAILED:
		break;
	}
	return "failed";
}

/* Writes the hash only if it was computed or checked for the file on the
 * disk; in a cache it may be no more than the file's name, or not even that. */
static void
put_hash_json(struct buf *out, const struct plan_file *f, bool cached)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	if (f->state != PLAN_DONE && f->state != PLAN_LINK && !plan_was_here(f))
		return;
	if (is_plain(f)) {
		buf_puts(out, ",\"verified\":\"size only\"");
		return;
	}
	digest_hex(&f->file.digest, hex);
	buf_printf(out, ",\"%s\":\"%s\",\"verified\":\"%s\"",
	    f->file.digest.kind == HASH_SHA256 ? "sha256" : "git_oid", hex,
	    f->state == PLAN_DONE || f->state == PLAN_PROVED ? "now"
	    : cached                                         ? "not hashed"
							     : "before");
}

static void
put_file_json(struct buf *out, const struct plan_file *f, bool cached)
{
	report_file(out, f->file.path, f->file.size);
	put_hash_json(out, f, cached);
	report_file_end(out, outcome(f, cached),
	    f->state == PLAN_FAILED ? f->failure->msg : NULL);
}

static void
put_json(const struct download_report *r, struct output *to)
{
	struct buf *out = &to->text;

	report_begin(out, "download", &r->s->id, r->s->revision);
	buf_printf(out, ",\"commit\":\"%s\",\"path\":", r->commit);
	json_put_string(out, str_of(r->path));
	buf_printf(out,
	    ",\"dry_run\":%s,\"received\":%" PRIu64 ",\"milliseconds\":%" PRIu64
	    ",\"files\":[",
	    r->o->dry_run ? "true" : "false", client_received(r->s->client),
	    wait_now() - r->started);
	for (size_t i = 0; i < r->plan->n; i++) {
		if (i)
			buf_putc(out, ',');
		put_file_json(out, &r->plan->file[i], r->cached);
		output_more(to);
	}
	buf_puts(out, "]}\n");
}

static void
put_path(
    const struct download_report *r, const struct plan_file *f, struct buf *out)
{
	const char *folder = r->path;
	bool slash = str_ends(str_of(folder), "/");

	buf_printf(
	    out, "%s%s%s\n", folder, slash ? "" : "/", plan_target(r->plan, f));
}

/* Writes what the command produced: the folder, or the files that were
 * named. */
static void
put_paths(const struct download_report *r, struct output *out)
{
	if (!r->by_file) {
		buf_printf(&out->text, "%s\n", r->path);
		return;
	}
	for (size_t i = 0; i < r->plan->n; i++) {
		if (r->plan->file[i].state != PLAN_FAILED)
			put_path(r, &r->plan->file[i], &out->text);
		output_more(out);
	}
}

static void
put_dry_file(struct buf *out, const struct plan_file *f, bool cached)
{
	static const char *const word[] = {
	    [PLAN_FETCH] = "fetch",
	    [PLAN_KEPT] = "in place",
	    [PLAN_PROVED] = "in place",
	    [PLAN_COPY] = "copy",
	    [PLAN_LINK] = "link",
	    [PLAN_DONE] = "done",
	    [PLAN_FAILED] = "refused",
	};
	char size[16];

	size_show(f->file.size, size);
	report_line(out,
	    cached && f->state == PLAN_KEPT ? "cached" : word[f->state], size,
	    f->file.path, f->state == PLAN_FAILED ? f->failure->msg : "");
}

static void
put_dry_run(const struct download_report *r, struct output *out)
{
	const struct plan *p = r->plan;
	char size[16], left[16];

	for (size_t i = 0; i < p->n; i++) {
		put_dry_file(&out->text, &p->file[i], r->cached);
		output_more(out);
	}
	size_show(p->fetch - (r->o->resume ? p->left : 0), size);
	size_show(p->here, left);
	buf_printf(&out->text, "%zu of %zu files, %s to fetch; %s %s\n",
	    p->to_fetch, p->n, size, left,
	    r->cached ? "cached, not hashed" : "in place");
}

/* The failures, and which of them decides: the first, but offline the first
 * that is missing, whatever else there is and in whatever order. */
struct failures {
	const struct plan_file *decides;
	size_t n, missing;
};

static struct failures
failures_of(const struct download_report *r)
{
	struct failures all = {.decides = NULL};

	for (size_t i = 0; i < r->plan->n; i++) {
		const struct plan_file *f = &r->plan->file[i];
		bool missing = f->state == PLAN_FAILED &&
			       f->failure->kind == ERR_ABSENT &&
			       r->s->config->offline;

		if (f->state != PLAN_FAILED)
			continue;
		if (!all.n || (missing && !all.missing))
			all.decides = f;
		all.n++;
		all.missing += missing;
	}
	return all;
}

/* Sets one error for all failed files; each reason was already reported. */
static int
sum_up(const struct download_report *r, struct err *e)
{
	const struct failures all = failures_of(r);
	const struct failure *why;
	const char *path;

	if (!all.n)
		return 0;
	why = all.decides->failure;
	path = all.decides->file.path;
	if (r->plan->n == 1)
		err_set(e, why->kind, "cannot download '%.256s' from '%s': %s",
		    path, r->s->id.id, why->msg);
	else if (all.missing)
		err_set(e, ERR_ABSENT,
		    "%zu of %zu files of '%s' %s missing, and hub is offline; "
		    "the first: '%.256s'",
		    all.missing, r->plan->n, r->s->id.id,
		    all.missing == 1 ? "is" : "are", path);
	else
		err_set(e, all.n == r->plan->n ? why->kind : ERR_PARTIAL,
		    "%zu of %zu files of '%s' failed; the first, '%.256s': %s",
		    all.n, r->plan->n, r->s->id.id, path, why->msg);
	if (*why->hint)
		return err_hint(e, "%s", why->hint);
	if (why->kind == ERR_NET)
		err_hint(e, "run again with -d to continue");
	return -1;
}

/* Reports the end. rv and e are the result of the run. Returns -1, with e set,
 * also if the run succeeded but files failed. */
static int
download_report_end(
    const struct download_report *r, int rv, struct output *out, struct err *e)
{
	bool through = rv == 0;

	if (through)
		rv = sum_up(r, e);
	if (r->o->json)
		put_json(r, out);
	else if (through && r->o->dry_run)
		put_dry_run(r, out);
	else if (rv == 0)
		put_paths(r, out);
	return rv;
}

/* --- The command. --- */

/*
 * download: the files of one commit, below one folder.
 *
 * Into a folder (-p DIR) the layout is the official client's: the files, and
 * ".cache/huggingface" beside them. As one file (-f) nothing but that file is
 * left behind; while it arrives, ".hub-download" stands beside it.
 */

#define FILE_PREFIX ".hub-download"

#define COPY_SIZE ((size_t)128 << 10)
#define OTHER_MS 200 /* between two looks at what another program does */

/* A file of --from, opened before the sandbox closes. */
struct old_file {
	const char *name;
	int fd;
	uint64_t size;
};

struct download {
	const struct options *o;
	const struct config *c;
	struct session s;
	char *source; /* the repository, as it is noted */
	bool layout;  /* into a folder, with the official client's layout */
	bool in_cache;
	char *above; /* what was there already of the path of a folder that
		      * this run has made; else NULL */
	struct folder folder;
	struct cache cache; /* a repository's place in the folder; with layout
			     * its refs and trees */
	char *snapshot;     /* in the cache: its path */
	struct partial_setup ground; /* the folder and its file system */
	char *prefix;                /* prefix of the names of partial files */
	struct litter litter;        /* our lock on their folder */
	char *into;                  /* the folder's path */
	char *target;                /* with -f: the file's name in it */
	struct listing list;
	struct plan plan;
	/* The files to be transferred, by their number in transfer.h. */
	struct plan_file **fetch;
	/* In the cache: the lock of each of them; -1: none. */
	int *held;
	struct old_file *from;
	size_t from_n;
	uint64_t started;
	pthread_mutex_t lock; /* guards the publishing of files, links in the
			       * cache, and unnoted */
	bool unnoted; /* metadata could not be written, and that was reported */
};

/* --- Where they go. --- */

/* Splits a path into folder and name: "a/b/c" is c in a/b; "c" is c in ".". */
static int
split_target(const char *path, char **folder, char **name, struct err *e)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;

	if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return err_set(e, ERR_USAGE,
		    "'%s' is not a file name, but -f was given", path);
	*name = xstrdup(base);
	*folder = slash == path ? xstrdup("/")
		  : slash       ? xstrndup(path, (size_t)(slash - path))
				: xstrdup(".");
	return 0;
}

/* Refuses a device, a pipe, a socket, or a link to one or to one of our own
 * streams: /dev/stdout belongs to the machine. Other links are replaced
 * themselves. */
static int
check_target_file(const char *path, struct err *e)
{
	struct stat st, own;
	bool link = lstat(path, &st) == 0 && S_ISLNK(st.st_mode);

	if (stat(path, &st) < 0)
		return 0;
	if (S_ISDIR(st.st_mode)) {
		err_set(
		    e, ERR_USAGE, "'%s' is a folder, but -f was given", path);
		return err_hint(e, "leave out -f, or give the path of a file");
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(e, ERR_FILE, "'%s' is not a regular file", path);
		return err_hint(e, "-o -");
	}
	for (int fd = 0; link && fd <= 2; fd++)
		if (fstat(fd, &own) == 0 && own.st_dev == st.st_dev &&
		    own.st_ino == st.st_ino) {
			err_set(e, ERR_FILE,
			    "'%s' is a link to standard input, output or "
			    "error of hub",
			    path);
			return err_hint(e, "-o -");
		}
	return 0;
}

static int
choose_cache(struct download *d, struct err *e)
{
	struct buf b = buf_make(4096);

	d->in_cache = true;
	if (!d->c->cache_dir) {
		err_set(e, ERR_USAGE,
		    "there is no cache: neither HF_HUB_CACHE nor HOME is set");
		return err_hint(e, "--cache-dir DIR");
	}
	d->into = xstrdup(d->c->cache_dir);
	cache_init(&d->cache, &d->folder, d->s.id.type, d->s.id.id);
	if (d->c->no_symlinks)
		d->cache.links = CACHE_HARD_LINKS;
	buf_printf(&b, "%s" FILE_PREFIX "/", d->cache.base);
	d->prefix = buf_detach(&b);
	return 0;
}

/* The path of the snapshot, once the commit is known. */
static void
name_snapshot(struct download *d)
{
	char *at = cache_entry(&d->cache, "");

	d->snapshot = variable_join(d->into, at);
	d->snapshot[strlen(d->snapshot) - 1] = '\0';
	free(at);
}

static int
choose_target(struct download *d, struct err *e)
{
	const char *path = d->o->local_path;

	if (d->o->cache)
		return choose_cache(d, e);
	d->layout = !d->o->file;
	d->prefix = xstrdup(d->layout ? LOCALDIR_PREFIX "/" : FILE_PREFIX "/");
	if (d->o->output)
		return 0;
	cache_init_folder(&d->cache, &d->folder, d->s.id.type, d->s.id.id);
	if (d->layout) {
		d->into = xstrdup(path);
		return 0;
	}
	if (check_target_file(path, e) < 0)
		return -1;
	return split_target(path, &d->into, &d->target, e);
}

/* Whether symbolic links are to be made. */
static bool
makes_links(const struct download *d)
{
	return d->in_cache && !d->o->dry_run && !d->c->no_symlinks;
}

/* Says that -f may have been forgotten: "-p dir/model.gguf model.gguf". */
static void
note_new_folder(const struct download *d)
{
	const struct choice *c = &d->list.choice;

	if (d->above && d->layout && c->n == 1 && d->plan.n == 1 &&
	    strcmp(c->name[0], d->plan.file[0].file.path) == 0 &&
	    strcmp(path_last(d->into), path_last(c->name[0])) == 0)
		progress_note(d->s.progress,
		    "creating '%s' as a folder; use -f to download to a file "
		    "of this name",
		    d->into);
}

/* What is there already of a path. */
static char *
find_above(const char *path)
{
	char *above = xstrdup(path);
	struct stat st;

	while (path_cut_last(above) && *above && stat(above, &st) < 0)
		;
	return above;
}

/* Makes the target if it is not there, and opens it. A dry run must not make
 * it, and offline there is nothing to put into it; a folder that is not there
 * holds nothing. */
static int
open_target(struct download *d, struct err *e)
{
	bool create = !d->o->dry_run && !d->c->offline;
	struct stat st;
	struct err why;

	if (create && stat(d->into, &st) < 0)
		d->above = find_above(d->into);
	if (folder_open(&d->folder, d->into, create, &why) == 0) {
		d->folder.own = d->in_cache ? d->prefix
				: d->layout ? LOCALDIR_TOP
					    : FILE_PREFIX;
		return 0;
	}
	if (!create && why.kind == ERR_FILE) {
		d->folder.fd = -1;
		return 0;
	}
	*e = why;
	if (stat(d->into, &st) == 0 && S_ISREG(st.st_mode))
		err_hint(e, "use -f to download to this file");
	return -1;
}

/* Before the first byte of an answer, so that what reads it can write only to
 * the target, which is there. As long as that may have to be removed again,
 * empty folders may be removed beside it. */
static void
confine(const struct download *d)
{
	struct confine c = confine_make();

	c.links = makes_links(d);
	if (d->into && d->o->dry_run)
		confine_read(&c, AT_FDCWD, d->into);
	else if (d->folder.fd >= 0)
		confine_write(&c, AT_FDCWD, d->into);
	if (d->above)
		confine_rmdir(&c, AT_FDCWD, d->above);
	session_confine(&d->s, &c);
}

/* Once the target is to stay. */
static void
confine_more(const struct download *d)
{
	struct confine c = confine_make();

	c.links = makes_links(d);
	confine_write(&c, AT_FDCWD, d->into);
	confine_files(&c);
}

/* Takes the target back that was made for files of which none is there. */
static void
remove_made(struct download *d)
{
	static const char *const own[] = {
	    LOCALDIR_TOP "/trees", LOCALDIR_TOP, ".cache"};
	struct buf b = buf_make(256);
	struct err ignored;
	char *at;

	if (!d->above)
		return;
	buf_printf(&b, "%s/%s.json", own[0], d->list.commit);
	folder_remove(&d->folder, buf_cstr(&b), &ignored);
	buf_release(&b);
	for (size_t i = 0; i < countof(own); i++)
		unlinkat(d->folder.fd, own[i], AT_REMOVEDIR);
	at = xstrdup(d->into);
	do
		rmdir(at);
	while (path_cut_last(at) && strlen(at) > strlen(d->above));
	free(at);
}

/* --- The transfer's questions. --- */

static void
get_content(void *ctx, size_t i, struct content *out)
{
	const struct download *d = ctx;
	const struct repo_file *f = &d->fetch[i]->file;

	*out = (struct content){
	    f->path, f->size, f->digest, plan_xet(d->fetch[i])};
}

/* Waits while another program has the lock of a content in the cache, as long
 * as what it has of it grows. 1: the content is in place since our look. */
static int
wait_for_other(struct download *d, size_t i, struct err *e)
{
	const struct repo_file *f = &d->fetch[i]->file;
	uint64_t had = 0, end = 0, now;

	while ((d->held[i] = cache_lock(&d->cache, &f->digest)) == -1) {
		/* In the files of the official client, or in ours. */
		uint64_t has =
		    cache_incomplete(&d->cache, &f->digest) +
		    partial_left(&d->folder, d->prefix, &f->digest, f->size);

		now = wait_now();
		if (!end)
			progress_note(d->s.progress,
			    "%s: another program is downloading it; waiting",
			    f->path);
		if (!end || has != had)
			end = now + d->c->stall_ms;
		had = has;
		if (now >= end) {
			progress_note(d->s.progress,
			    "%s: the other program makes no progress; fetching "
			    "it here",
			    f->path);
			break;
		}
		if (wait_until(now + OTHER_MS, e) < 0)
			return -1;
	}
	/* It may have come before we had the lock. */
	return !d->o->force &&
	       cache_look_blob(&d->cache, &f->digest, f->size) == CACHE_BLOB;
}

static void
let_go(struct download *d, size_t i)
{
	if (d->held && d->held[i] >= 0)
		close(d->held[i]);
	if (d->held)
		d->held[i] = -1;
}

/* Small contents need no lock: to fetch one twice costs no more than that. */
static int
take_lock(struct download *d, size_t i, struct err *e)
{
	struct plan_file *f = d->fetch[i];
	int rv;

	if (!d->held || d->ground.traits.network ||
	    f->file.size <= PARTIAL_BLOCK)
		return 0;
	rv = wait_for_other(d, i, e);
	if (rv <= 0)
		return rv;
	let_go(d, i);
	/* It is linked with the others, at the end. */
	f->state = PLAN_LINK;
	return err_set(e, ERR_OTHER, "another program has downloaded it");
}

static struct partial *
begin(void *ctx, size_t i, char **url, struct err *e)
{
	struct download *d = ctx;
	struct plan_file *planned = d->fetch[i];
	const struct repo_file *f = &planned->file;
	enum partial_found found;
	uint64_t had;
	struct partial *p;

	if (take_lock(d, i, e) < 0)
		return NULL;
	p = partial_open_on(&d->ground, &d->folder, d->prefix, &f->digest,
	    f->size, d->o->resume, &found, &had, e);

	if (!p)
		return NULL;
	planned->separate =
	    found == PARTIAL_PRIVATE || found == PARTIAL_FOREIGN;
	if (found == PARTIAL_PRIVATE)
		progress_note(d->s.progress,
		    "%s: another hub process is downloading this file; "
		    "fetching a separate copy",
		    f->path);
	if (found == PARTIAL_FOREIGN)
		progress_note(d->s.progress,
		    "%s: its partial file belongs to another user, or others "
		    "can write to it; fetching a separate copy",
		    f->path);
	*url = repo_file_url(&d->s.repo, d->list.commit, f->path);
	return p;
}

static int
check(void *ctx, size_t i, const struct http_head *h, const struct url *url,
    struct err *e)
{
	const struct download *d = ctx;

	return repo_check_file(&d->s.repo, &d->fetch[i]->file, h, url, e);
}

/* Checks a name that exists since the plan was made. It may be another file of
 * the plan, if the file system does not distinguish the names: that fails. Or
 * another program has made it: that may be replaced. */
static int
check_taken(struct download *d, const struct plan_file *f, struct err *e)
{
	const struct plan_file *other = plan_same_name(
	    &d->plan, f, &d->folder, d->in_cache ? &d->cache : NULL);

	return other ? plan_same_name_error(other, e) : 0;
}

/* 1: the content is published, but has no place in the snapshot: e says why. */
static int
take_place(
    struct download *d, struct plan_file *f, const char *from, struct err *e)
{
	const char *path = f->file.path;
	const struct digest *digest = &f->file.digest;
	enum cache_put put =
	    cache_publish(&d->cache, from, path, digest, f->there, e);

	if (put == CACHE_TAKEN && check_taken(d, f, e) < 0)
		return -1;
	if (put == CACHE_TAKEN)
		put = cache_publish(&d->cache, from, path, digest, true, e);
	return put == CACHE_UNLINKED ? 1 : put == CACHE_DONE ? 0 : -1;
}

static int
take_name(
    struct download *d, struct plan_file *f, const char *from, struct err *e)
{
	const char *to = plan_target(&d->plan, f);
	int rv;

	if (d->in_cache) {
		pthread_mutex_lock(&d->lock);
		rv = take_place(d, f, from, e);
		pthread_mutex_unlock(&d->lock);
		return rv;
	}
	if (f->there)
		return folder_publish(&d->folder, from, to, e);
	pthread_mutex_lock(&d->lock);
	rv = folder_publish_new(&d->folder, from, to, e);
	pthread_mutex_unlock(&d->lock);
	if (rv <= 0)
		return rv;
	return check_taken(d, f, e) < 0
		   ? -1
		   : folder_publish(&d->folder, from, to, e);
}

/* Writes the metadata of a file. A failure is no failure of the file; the next
 * run has to read it. */
static void
note_metadata(
    struct download *d, const struct plan_file *f, const struct partial *p)
{
	const char *to = plan_target(&d->plan, f);
	struct stat st;
	struct err e;
	bool first;

	if (partial_stat(p, &st, &e) == 0 &&
	    localdir_note(&d->folder, to, d->list.commit, d->source,
		&f->file.digest, &st, &e) == 0)
		return;
	pthread_mutex_lock(&d->lock);
	first = !d->unnoted;
	d->unnoted = true;
	pthread_mutex_unlock(&d->lock);
	if (first)
		progress_note(d->s.progress,
		    "%s is complete, but its metadata cannot be written, so "
		    "the next run will hash it again: %s",
		    to, e.msg);
}

/* Gives a verified file its final name. The folders are synced once, at the
 * end. */
static int
publish(struct download *d, struct plan_file *f, const struct partial *p,
    const char *from, struct err *e)
{
	int rv = take_name(d, f, from, e);

	if (rv < 0)
		return -1;
	if (rv > 0) {
		/* Its content is published, with the mode of a published file:
		 * so for the partial file all is done. */
		progress_note(d->s.progress, "%s: %s", f->file.path, e->msg);
		plan_fail(f, e);
		return 0;
	}
	if (d->layout)
		note_metadata(d, f, p);
	f->state = PLAN_DONE;
	return 0;
}

static int
done(void *ctx, size_t i, const struct partial *p, const char *name,
    struct err *e)
{
	struct download *d = ctx;
	int rv = publish(d, d->fetch[i], p, name, e);

	let_go(d, i);
	return rv;
}

static void
failed(void *ctx, size_t i, const struct err *e)
{
	struct download *d = ctx;

	if (d->fetch[i]->state != PLAN_LINK)
		plan_fail(d->fetch[i], e);
	let_go(d, i);
}

/* --- The run. --- */

static int
by_size(const void *a, const void *b)
{
	const struct plan_file *const *x = a, *const *y = b;

	if ((*x)->file.size != (*y)->file.size)
		return (*x)->file.size > (*y)->file.size ? -1 : 1;
	return strcmp((*x)->file.path, (*y)->file.path);
}

/* Sorts the files to be transferred, large ones first, so that none of them is
 * left alone at the end. */
static size_t
queue(struct download *d)
{
	size_t n = 0;

	d->fetch = xcalloc(d->plan.n, sizeof(d->fetch[0]));
	for (size_t i = 0; i < d->plan.n; i++)
		if (d->plan.file[i].state == PLAN_FETCH)
			d->fetch[n++] = &d->plan.file[i];
	qsort(d->fetch, n, sizeof(d->fetch[0]), by_size);
	return n;
}

static enum jobs_ground
ground_of(const struct folder_traits *t)
{
	return t->network ? JOBS_NETWORK : t->flash ? JOBS_FLASH : JOBS_DISK;
}

/* --from: a file that is not there is a mistake. */
static int
open_old(struct download *d, struct err *e)
{
	d->from = xcalloc(d->o->from.n, sizeof(d->from[0]));
	for (size_t i = 0; i < d->o->from.n; i++) {
		const char *name = d->o->from.s[i];
		int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) < 0) {
			err_sys(e, ERR_FILE, "--from: cannot open '%s'", name);
			if (fd >= 0)
				close(fd);
			return -1;
		}
		d->from[d->from_n++] =
		    (struct old_file){name, fd, (uint64_t)st.st_size};
		if (!S_ISREG(st.st_mode))
			return err_set(
			    e, ERR_USAGE, "--from: '%s' is not a file", name);
	}
	return 0;
}

static void
close_old(struct download *d)
{
	for (size_t i = 0; i < d->from_n; i++)
		if (d->from[i].fd >= 0)
			close(d->from[i].fd);
	free(d->from);
}

/* progress_moved() in the main thread, which also draws. */
static void
show_compared(void *ctx, size_t n)
{
	const struct progress_file *f = ctx;

	progress_moved(ctx, n);
	progress_tick(f->progress, wait_status_asked());
}

/* Finds out what the files of --from have in common with the wanted ones. */
static int
read_old(struct download *d, struct xet *xet, struct err *e)
{
	struct progress_file r = {.progress = d->s.progress};
	uint64_t bytes = 0;
	int rv = 0;

	for (size_t i = 0; i < d->from_n; i++)
		bytes += d->from[i].size;
	if (d->from_n)
		progress_phase(r.progress, "comparing", d->from_n, bytes);
	for (size_t i = 0; i < d->from_n && rv == 0; i++) {
		struct old_file *f = &d->from[i];

		r.file = progress_start(r.progress, f->name, f->size, 0);
		rv = xet_from(
		    xet, f->fd, f->size, f->name, show_compared, &r, e);
		f->fd = -1;
		progress_finish(r.progress, r.file, PROGRESS_DONE, NULL);
	}
	return rv;
}

static int
fetch_all(struct download *d, struct err *e)
{
	static const struct transfer_ops ops = {
	    get_content, begin, check, done, failed};
	struct transfer t = {
	    .client = d->s.client,
	    .retries = d->c->retries,
	    .stall_ms = d->c->stall_ms,
	    .rate = d->c->rate,
	    .progress = d->s.progress,
	    .ops = &ops,
	    .ctx = d,
	};
	bool xet = false;
	int rv = 0;

	t.count = queue(d);
	for (size_t i = 0; i < t.count && !d->c->no_xet; i++)
		xet = xet || d->fetch[i]->has_xet;
	t.jobs = session_jobs(&d->s, ground_of(&d->ground.traits), xet);
	if (d->in_cache)
		d->held = xcalloc(t.count, sizeof(d->held[0]));
	for (size_t i = 0; d->held && i < t.count; i++)
		d->held[i] = -1;
	if (d->from_n && !xet && d->c->verbose)
		progress_note(d->s.progress,
		    "--from is not used: nothing comes from the Xet storage");
	if (xet) {
		t.xet = xet_open(&d->s.repo, d->list.commit,
		    d->c->verbose ? d->s.progress : NULL);
		rv = read_old(d, t.xet, e);
	}
	progress_phase(d->s.progress, "downloading", t.count + d->plan.to_copy,
	    d->plan.fetch + d->plan.copy);
	if (rv == 0)
		rv = transfer_run(&t, e);
	xet_close(t.xet);
	for (size_t i = 0; i < t.count; i++)
		let_go(d, i);
	return rv;
}

/* Copies the file from into the partial, and hashes on the way: another program
 * may have replaced the file meanwhile. */
static int
copy_bytes(
    int from, struct partial *to, const struct plan_file *f, struct err *e)
{
	unsigned char *bytes = xmalloc(COPY_SIZE);
	uint64_t size = f->file.size;
	struct digest found;
	uint64_t sum = 0;
	struct hash h;
	int rv = 0;

	hash_init(&h, f->file.digest.kind, size);
	for (uint64_t at = 0; rv == 0 && at < size;) {
		size_t n =
		    size - at < COPY_SIZE ? (size_t)(size - at) : COPY_SIZE;

		rv = wait_check(e);
		if (rv == 0)
			rv = file_pread(from, bytes, n, at, f->file.path, e);
		if (rv == 0)
			rv = partial_write(to, bytes, n, at, &sum, e);
		if (rv == 0)
			rv = partial_tend(to, e);
		if (rv == 0)
			hash_update(&h, bytes, n);
		at += n;
	}
	free(bytes);
	hash_final(&h, &found);
	if (rv == 0 && !digest_same(&found, &f->file.digest))
		rv = err_set(e, ERR_CONTENT,
		    "'%s' changed while it was being copied",
		    f->state == PLAN_LINK ? f->file.path : f->same->file.path);
	return rv;
}

/* What has the content of f. */
static int
open_source(const struct download *d, const struct plan_file *f, struct err *e)
{
	char *at;
	int fd;

	if (!d->in_cache)
		return folder_openat(
		    &d->folder, f->same->file.path, O_RDONLY, e);
	if (f->state == PLAN_LINK)
		return cache_open_blob(&d->cache, &f->file.digest, e);
	at = cache_entry(&d->cache, f->same->file.path);
	fd = folder_openat(&d->folder, at, O_RDONLY, e);
	free(at);
	return fd;
}

/* Copies a file through a partial, as if it were fetched, so that the next run
 * finds what a kill leaves. */
static int
copy(struct download *d, struct plan_file *f, struct err *e)
{
	const char *name;
	struct partial *to;
	int from, rv = -1;

	from = open_source(d, f, e);
	if (from < 0)
		return -1;
	to = partial_open_on(&d->ground, &d->folder, d->prefix, &f->file.digest,
	    f->file.size, false, NULL, NULL, e);
	if (to) {
		rv = copy_bytes(from, to, f, e);
		if (rv == 0)
			rv = partial_finish(to, &name, e);
		if (rv == 0)
			rv = publish(d, f, to, name, e);
		/* An incomplete copy is useless. */
		if (rv < 0)
			partial_forget(to);
		partial_close(to, rv == 0);
	}
	close(from);
	return rv;
}

static int
copy_shown(struct download *d, struct plan_file *f, struct err *e)
{
	struct progress *p = d->s.progress;
	unsigned shown = progress_start(p, f->file.path, f->file.size, 0);
	int rv = copy(d, f, e);

	progress_finish(p, shown, rv < 0 ? PROGRESS_FAILED : PROGRESS_DONE,
	    rv < 0 ? e->msg : NULL);
	return rv;
}

/* In the cache a link is enough, where there are links. */
static int
put_copy(struct download *d, struct plan_file *f, struct err *e)
{
	const char *path = f->file.path;
	const struct digest *digest = &f->file.digest;
	enum cache_put put = CACHE_LINKLESS;

	if (d->in_cache)
		put = cache_link(&d->cache, path, digest, f->there, e);
	if (put == CACHE_TAKEN && check_taken(d, f, e) < 0)
		return -1;
	if (put == CACHE_TAKEN)
		put = cache_link(&d->cache, path, digest, true, e);
	/* Links are not shown, and what is copied in place of one neither. */
	if (put == CACHE_LINKLESS)
		return d->in_cache ? copy(d, f, e) : copy_shown(d, f, e);
	if (put == CACHE_DONE)
		f->state = f->state == PLAN_LINK ? PLAN_KEPT : PLAN_DONE;
	return put == CACHE_DONE ? 0 : -1;
}

/* Copies the files that have the same content as a downloaded one, or as one of
 * the cache. */
static int
copy_all(struct download *d, struct err *e)
{
	for (size_t i = 0; i < d->plan.n; i++) {
		struct plan_file *f = &d->plan.file[i];
		struct err why;

		if (f->state != PLAN_COPY && f->state != PLAN_LINK)
			continue;
		if (f->state == PLAN_COPY && f->same->state != PLAN_DONE &&
		    f->same->state != PLAN_KEPT) {
			err_set(&why, f->same->failure->kind,
			    "it has the same content as '%s', which failed",
			    f->same->file.path);
			err_hint(&why, "%s", f->same->failure->hint);
			plan_fail(f, &why);
		} else if (put_copy(d, f, &why) < 0) {
			if (why.kind == ERR_STOPPED) {
				*e = why;
				return -1;
			}
			plan_fail(f, &why);
		}
	}
	return 0;
}

static size_t
folder_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) : 0;
}

/* Calls visit about once for each folder that contains a fetched file, or with
 * all any file of the plan (the files are sorted by path). target is a file in
 * the folder, last the one of the visit before, or NULL. */
static int
each_folder(struct download *d, bool all,
    int (*visit)(struct download *d, const char *target, const char *last,
	struct err *e),
    struct err *e)
{
	const char *last = NULL;
	size_t n = 0;

	for (size_t i = 0; i < d->plan.n; i++) {
		const struct plan_file *f = &d->plan.file[i];
		const char *target = plan_target(&d->plan, f);

		if (f->state != PLAN_DONE && !(all && plan_was_here(f)))
			continue;
		if (last && folder_length(target) == n &&
		    memcmp(last, target, n) == 0)
			continue;
		if (visit(d, target, last, e) < 0)
			return -1;
		last = target;
		n = folder_length(last);
	}
	return 0;
}

static int
sync_folder(
    struct download *d, const char *target, const char *last, struct err *e)
{
	char *path =
	    d->in_cache ? cache_entry(&d->cache, target) : xstrdup(target);
	char *before = d->in_cache && last ? cache_entry(&d->cache, last)
		       : last              ? xstrdup(last)
					   : NULL;
	int rv = folder_sync_up(&d->folder, path, before, e);

	free(before);
	free(path);
	return rv;
}

static bool
some_done(const struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->file[i].state == PLAN_DONE)
			return true;
	return false;
}

/* Syncs the names of the new files, before success is reported. If all have
 * failed, there need not be a folder for them. */
static int
sync_folders(struct download *d, struct err *e)
{
	if (d->in_cache && d->plan.to_fetch && some_done(&d->plan) &&
	    d->cache.links != CACHE_NO_LINKS) {
		const struct digest any = {.kind = HASH_GIT};
		char *blob = cache_blob(&d->cache, &any);
		int rv = folder_sync(&d->folder, blob, e);

		free(blob);
		if (rv < 0)
			return -1;
	}
	return each_folder(d, false, sync_folder, e);
}

/* --- What is left behind. --- */

static bool
placed(void *ctx, const struct digest *digest)
{
	const struct download *d = ctx;
	bool found = false;

	for (size_t i = 0; i < d->plan.n; i++) {
		const struct plan_file *f = &d->plan.file[i];

		if (!digest_same(&f->file.digest, digest))
			continue;
		if (f->state != PLAN_DONE && !plan_was_here(f))
			return false;
		found = true;
	}
	return found;
}

static int
sweep_folder(
    struct download *d, const char *target, const char *last, struct err *e)
{
	struct buf b = buf_make(8192);

	(void)last;
	(void)e;
	buf_printf(
	    &b, LOCALDIR_PREFIX "/%.*s/", (int)folder_length(target), target);
	litter_sweep(&d->litter, buf_cstr(&b));
	buf_release(&b);
	return 0;
}

static void
sweep_folders(void *ctx, struct litter *l)
{
	static const char *const own[] = {"", "trees/"};
	struct download *d = ctx;
	struct err e;

	if (!d->layout && !d->in_cache)
		return;
	for (size_t i = 0; i < countof(own); i++) {
		struct buf b = buf_make(1024);

		buf_printf(&b, "%s%s", d->cache.base, own[i]);
		litter_sweep(l, buf_cstr(&b));
		buf_release(&b);
	}
	litter_sweep(l, d->cache.refs);
	if (d->layout)
		each_folder(d, true, sweep_folder, &e);
}

static void
leave(struct download *d)
{
	const struct litter_end end = {
	    .placed = placed,
	    .folders = sweep_folders,
	    .ctx = d,
	    .remove_folder = !d->layout,
	};

	if (d->litter.f)
		litter_leave(&d->litter, &end);
}

/* Determines the properties of the folder, after removing what killed runs have
 * left. */
static int
enter(struct download *d, struct err *e)
{
	if (partial_setup(&d->folder, &d->ground, e) < 0)
		return -1;
	if (d->o->dry_run ||
	    !litter_enter(&d->litter, &d->folder, d->prefix,
		d->ground.traits.maker.uid, d->ground.traits.network, false))
		return 0;
	/* Once more, since there is more room now. */
	return partial_setup(&d->folder, &d->ground, e);
}

static int
prepare(struct download *d, const struct download_report *r, struct err *e)
{
	struct plan_how how = {
	    .folder = &d->folder,
	    .prefix = d->prefix,
	    .commit = d->list.commit,
	    .source = d->source,
	    .layout = d->layout,
	    .note = !d->o->dry_run,
	    .cache = d->in_cache ? &d->cache : NULL,
	    .force = d->o->force,
	    .offline = d->c->offline ? d->c->go_online : NULL,
	    .progress = d->s.progress,
	};
	struct folder_traits *traits = &d->ground.traits;

	traits->free = traits->free_files = traits->max_file = UINT64_MAX;
	if (d->layout && !d->o->dry_run && d->folder.fd >= 0 &&
	    localdir_prepare(&d->folder, e) < 0)
		return -1;
	if (d->folder.fd >= 0 && enter(d, e) < 0)
		return -1;
	/* A dry run writes nothing, not even to find that out. */
	traits->maker.unsure = traits->maker.unsure && !d->o->dry_run;
	how.maker = &traits->maker;
	d->ground.keep = d->layout;
	/* With -f the user chose the name. */
	plan_check(&d->plan, traits->windows && !d->target);
	d->plan.target = d->target;
	how.try_names = traits->picky && !d->o->dry_run;
	progress_phase(d->s.progress, "checking", d->plan.n, 0);
	if (plan_look(&d->plan, &how, e) < 0)
		return -1;
	download_report_plan(r);
	return 0;
}

/* --- The command. --- */

static int
transfer_all(struct download *d, struct err *e)
{
	int rv;

	/* What is complete needs no write. */
	if (!d->plan.to_fetch && !d->plan.to_copy && !d->plan.to_link)
		return 0;
	if (d->in_cache && cache_tag(&d->folder, "CACHEDIR.TAG", e) < 0)
		return -1;
	if (partial_prepare(&d->folder, &d->ground, e) < 0)
		return -1;
	/* With a folder that was not there, or an owner that was not known. */
	if (d->litter.fd < 0 && d->plan.to_fetch &&
	    (!d->litter.network || d->litter.uid != d->ground.traits.maker.uid))
		litter_enter(&d->litter, &d->folder, d->prefix,
		    d->ground.traits.maker.uid, d->ground.traits.network, true);
	rv = fetch_all(d, e);
	if (rv == 0)
		rv = copy_all(d, e);
	if (rv == 0)
		rv = sync_folders(d, e);
	return rv;
}

/* The revision's commit is noted when all that was wanted is there: until then
 * the commit before it stays the one for offline use. Where that cannot be
 * noted, the files are there all the same. */
static void
note_revision(const struct download *d)
{
	struct err ignored;

	for (size_t i = 0; i < d->plan.n; i++)
		if (d->plan.file[i].state == PLAN_FAILED)
			return;
	if (!d->c->offline && (d->layout || d->in_cache))
		(void)cache_set_ref(&d->cache, d->s.revision, &ignored);
}

/* Said once. */
static void
note_links(const struct download *d)
{
	if (!d->in_cache || d->cache.links == CACHE_SYMLINKS ||
	    (d->c->no_symlinks && d->cache.links == CACHE_HARD_LINKS))
		return;
	progress_note(d->s.progress,
	    "this file system has no symbolic links: the snapshot holds %s",
	    d->cache.links == CACHE_HARD_LINKS
		? "hard links"
		: "the files themselves, also where another has the same");
}

/* Returns a file of which nothing is kept when the run ends early; NULL if
 * there is none. */
static const char *
not_kept(const struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->file[i].separate && p->file[i].state == PLAN_FETCH)
			return p->file[i].file.path;
	return NULL;
}

/* Returns the number of files in place. */
static size_t
complete_files(const struct plan *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n +=
		    plan_was_here(&p->file[i]) || p->file[i].state == PLAN_DONE;
	return n;
}

/* Explains the error of the whole run to the user. */
static void
explain(const struct download *d, struct err *e)
{
	const char *lost = not_kept(&d->plan);

	if (e->kind == ERR_STOPPED && lost)
		err_set(e, ERR_STOPPED,
		    "stopped: %zu of %zu files; partial files are kept, except "
		    "the separate copy of '%.256s'",
		    complete_files(&d->plan), d->plan.n, lost);
	else if (e->kind == ERR_STOPPED)
		err_set(e, ERR_STOPPED,
		    "stopped: %zu of %zu files; partial files are kept",
		    complete_files(&d->plan), d->plan.n);
	else
		err_in(e, "cannot download '%s'", d->s.id.id);
	if (!*e->hint)
		err_hint(e, "run again with -d to continue");
}

static int
to_folder(struct download *d, struct output *out, struct err *e)
{
	const struct download_report r = {
	    .o = d->o,
	    .s = &d->s,
	    .plan = &d->plan,
	    .commit = d->list.commit,
	    .path = d->in_cache ? d->snapshot : d->o->local_path,
	    .cached = d->in_cache,
	    .by_file = !d->target && d->list.choice.n,
	    .started = d->started,
	};
	int rv = prepare(d, &r, e);

	/* The list is printed before the error that there is no room for it. */
	if (d->o->dry_run) {
		rv = download_report_end(&r, rv, out, e);
		return rv < 0 ? rv : plan_room(&d->plan, &d->ground.traits, e);
	}
	if (rv == 0)
		rv = plan_room(&d->plan, &d->ground.traits, e);
	if (rv == 0) {
		rv = transfer_all(d, e);
		if (rv < 0)
			explain(d, e);
		else
			note_revision(d);
		note_links(d);
	}
	leave(d);
	if (d->layout && d->plan.to_fetch)
		stamp_let_pass();
	return download_report_end(&r, rv, out, e);
}

static int
to_output(struct download *d, struct err *e)
{
	const struct repo_file *f = &d->plan.file[0].file;
	char *url = repo_file_url(&d->s.repo, d->list.commit, f->path);
	const struct stream s = {
	    .client = d->s.client,
	    .repo = &d->s.repo,
	    .file = f,
	    .url = url,
	    .retries = d->c->retries,
	    .stall_ms = d->c->stall_ms,
	    .progress = d->s.progress,
	};
	int rv;

	progress_phase(d->s.progress, "downloading", 1, f->size);
	rv = stream_to(&s, STDOUT_FILENO, e);
	if (rv < 0 && e->kind == ERR_STOPPED)
		err_set(e, ERR_STOPPED, "stopped");
	else if (rv < 0)
		err_in(
		    e, "cannot download '%s' from '%s'", f->path, d->s.id.id);
	free(url);
	return rv;
}

static int
choose_files(struct download *d, struct err *e)
{
	d->list = (struct listing){
	    .o = d->o,
	    .s = &d->s,
	    .plan = &d->plan,
	    .cache = &d->cache,
	    .folder = &d->folder,
	    .into = d->into,
	    .layout = d->layout,
	    .in_cache = d->in_cache,
	};
	return listing_choose(&d->list, d->target, e);
}

static int
run(struct download *d, struct output *out, struct err *e)
{
	if (choose_target(d, e) < 0 || choose_files(d, e) < 0 ||
	    open_old(d, e) < 0)
		return -1;
	if (d->into && open_target(d, e) < 0)
		return -1;
	confine(d);
	if (listing_commit(&d->list, e) < 0 || listing_read(&d->list, e) < 0) {
		remove_made(d);
		if (e->kind == ERR_STOPPED)
			return err_set(e, ERR_STOPPED, "stopped");
		return err_in(e, "cannot download '%s'", d->s.id.id);
	}
	if (d->in_cache)
		name_snapshot(d);
	if (d->o->output)
		return to_output(d, e);
	note_new_folder(d);
	if (d->above)
		confine_more(d);
	return to_folder(d, out, e);
}

int
download(const struct options *o, const struct config *c, struct output *out,
    struct err *e)
{
	struct download d = {
	    .o = o,
	    .c = c,
	    .folder.fd = -1,
	    .cache = {.blobs.fd = -1, .part.fd = -1},
	    .litter.fd = -1,
	    .started = wait_now(),
	    .lock = PTHREAD_MUTEX_INITIALIZER,
	};
	struct buf source = buf_make(512);
	int rv;

	if (session_open(&d.s, o, c, e) < 0)
		return -1;
	repoid_put_path(&source, d.s.id.type, d.s.id.id);
	d.source = buf_detach(&source);
	rv = run(&d, out, e);
	if (rv < 0 && e->kind == ERR_NET && !*e->hint)
		err_hint(e, "check the network and run again%s",
		    o->output ? "" : " with -d");
	close_old(&d);
	free(d.fetch);
	free(d.source);
	listing_release(&d.list);
	free(d.into);
	free(d.above);
	free(d.prefix);
	free(d.snapshot);
	free(d.held);
	free(d.target);
	cache_release(&d.cache);
	plan_release(&d.plan);
	folder_close(&d.folder);
	session_close(&d.s);
	return rv;
}
