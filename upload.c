/*
 * upload: plan (what is there, what the Hub wants, what differs), hash, send,
 * commit, in that order; sending and committing batch by batch.
 */

#include "upload.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "filehash.h"
#include "glob.h"
#include "journal.h"
#include "json.h"
#include "lfs.h"
#include "mem.h"
#include "progress.h"
#include "repo_write.h"
#include "scan.h"
#include "session.h"
#include "wait.h"

/* Regular content of one commit, in bytes. */
#define REGULAR_MAX ((uint64_t)100 * 1000 * 1000)

/* Files of one commit: the Hub gives a commit 60 s, so each aims at 40. The
 * steps are those of the official client (PEERS.md, 3b). */
static const unsigned scale[] = {
    20, 50, 75, 100, 125, 200, 250, 400, 600, 1000};
#define SCALE_START 6
#define COMMIT_MS 40000

#define BACKOFF_BASE 1000
#define BACKOFF_CAP 30000

/* .gitignore and .gitattributes are shown to the Hub whole up to this. */
#define RULES_MAX ((size_t)1 << 20)

enum fate {
	SEND,    /* to be sent and committed */
	SAME,    /* the Hub has it, at that path */
	IGNORED, /* the repository's .gitignore leaves it out */
	COMMITTED,
	FAILED,
};

struct item {
	const struct scan_file *file;
	char *path; /* in the repository */
	bool lfs, known, hashed;
	struct digest there, digest;
	enum fate fate;
	char *why;
	int kind; /* enum err_kind of why */
};

struct upload {
	const struct options *o;
	const struct config *c;
	struct session s;
	struct folder folder;
	char *name; /* of the one file; NULL: a folder */
	struct scan scan;
	struct item *item; /* as many as scan has files */
	char **gone;       /* paths to be deleted */
	size_t gone_n;
	struct journal *journal;
	char head[41];  /* of the branch, as last seen; "" if not known */
	char *revision; /* commits go there: the branch, or refs/pr/N */
	uint64_t pr;    /* its number; 0: none */
	char *url;      /* of the last commit or the pull request */
	unsigned step;  /* of the scale */
	unsigned commits;
	uint64_t started;
	/* Hashing: guards the fields below. */
	pthread_mutex_t lock;
	size_t next;
	struct err why;
	bool over;
};

static void
fail(struct item *it, const struct err *why)
{
	it->fate = FAILED;
	it->why = xstrdup(why->msg);
	it->kind = (int)why->kind;
}

/* --- The local side. --- */

static int
open_source(struct upload *u, struct err *e)
{
	const char *path = u->o->local_path, *slash = strrchr(path, '/');
	struct stat st;
	char *folder;
	int rv;

	if (stat(path, &st) < 0)
		return err_sys(e, errno == ENOENT ? ERR_USAGE : ERR_FILE,
		    "cannot upload '%s'", path);
	if (S_ISDIR(st.st_mode))
		return folder_open(&u->folder, path, false, e);
	u->name = xstrdup(slash ? slash + 1 : path);
	folder = slash == path ? xstrdup("/")
		 : slash       ? xstrndup(path, (size_t)(slash - path))
			       : xstrdup(".");
	rv = folder_open(&u->folder, folder, false, e);
	free(folder);
	return rv;
}

static int
list_source(struct upload *u, struct err *e)
{
	const struct glob_list include = {u->o->include.s, u->o->include.n};
	const struct glob_list exclude = {u->o->exclude.s, u->o->exclude.n};

	if (u->name)
		return scan_one(&u->folder, u->name, &u->scan, e);
	return scan_folder(&u->folder, &include, &exclude, &u->scan, e);
}

/* The path in the repository: below --path-in-repo; for one file that is the
 * path itself, unless it ends in '/'. */
static char *
target(const struct upload *u, const char *path)
{
	const char *to = u->o->path_in_repo ? u->o->path_in_repo : "";
	struct buf b = buf_make(3 * SCAN_PATH_MAX);
	bool whole;

	while (*to == '/' || strncmp(to, "./", 2) == 0)
		to += *to == '/' ? 1 : 2;
	if (strcmp(to, ".") == 0)
		to = "";
	whole = u->name && *to && !str_ends(str_of(to), "/");
	buf_puts(&b, to);
	if (!whole) {
		buf_puts(&b, !*to || str_ends(str_of(to), "/") ? "" : "/");
		buf_puts(&b, path);
	}
	return buf_detach(&b);
}

static int
make_items(struct upload *u, struct err *e)
{
	u->item = xcalloc(u->scan.n, sizeof(u->item[0]));
	for (size_t i = 0; i < u->scan.n; i++) {
		struct item *it = &u->item[i];

		it->file = &u->scan.file[i];
		it->path = target(u, it->file->path);
		if (path_check(str_of(it->path), e) < 0) {
			e->kind = ERR_USAGE;
			return err_in(e, "--path-in-repo");
		}
	}
	return 0;
}

/* --- What the Hub has and wants. --- */

/* The repository and the branch, made where they are missing. *fresh: there is
 * none, and a dry run makes none. */
static int
meet(struct upload *u, bool *fresh, struct err *e)
{
	const struct repo *r = &u->s.repo;
	bool there;

	*fresh = false;
	if (repo_exists(r, &there, e) < 0)
		return -1;
	if (!there && u->o->dry_run) {
		*fresh = true;
		return 0;
	}
	if (!there && repo_create(r, u->o->is_private, e) < 0)
		return -1;
	if (!there)
		progress_note(u->s.progress, "created the %s '%s'%s",
		    repo_type_name(r->type), r->id,
		    u->o->is_private ? " (private)" : "");
	if (repo_commit(r, u->s.revision, u->head, e) == 0)
		return 0;
	if (e->kind != ERR_ABSENT || u->o->create_pr)
		return -1;
	if (u->o->dry_run) {
		*fresh = true;
		return 0;
	}
	if (repo_create_branch(r, u->s.revision, e) < 0)
		return -1;
	progress_note(u->s.progress, "created the branch '%s'", u->s.revision);
	return repo_commit(r, u->s.revision, u->head, e);
}

static int
by_path(const void *a, const void *b)
{
	return strcmp(a, ((const struct item *)b)->path);
}

/* Items are in the order of their paths: a prefix before all changes nothing. */
static struct item *
find(const struct upload *u, const char *path)
{
	return bsearch(path, u->item, u->scan.n, sizeof(u->item[0]), by_path);
}

static void
take_mode(void *ctx, const struct preupload_mode *m)
{
	struct upload *u = ctx;
	struct item *it = find(u, m->path);

	if (!it)
		return;
	/* The storage takes no empty content. */
	it->lfs = m->lfs && it->file->size > 0;
	it->known = m->known;
	it->there = m->there;
	if (m->ignored)
		it->fate = IGNORED;
}

/* The text of a file of the upload that rules others; NULL if there is none. */
static char *
rules(const struct upload *u, const char *path)
{
	struct item *it = find(u, path);
	struct buf b = buf_make(RULES_MAX);
	struct err ignored;

	if (it && folder_read(&u->folder, it->file->path, &b, &ignored) == 0)
		return buf_detach(&b);
	buf_release(&b);
	return NULL;
}

static int
add_question(
    const struct upload *u, struct item *it, struct buf *b, struct err *e)
{
	unsigned char sample[PREUPLOAD_SAMPLE];
	uint64_t size = it->file->size;
	size_t n = size < sizeof(sample) ? (size_t)size : sizeof(sample);
	int fd = scan_open(&u->folder, it->file, e), rv;

	if (fd < 0)
		return -1;
	rv = file_pread(fd, sample, n, 0, it->file->path, e);
	close(fd);
	if (rv == 0)
		preupload_add(b, it->path, size, sample, n);
	return rv;
}

/* Asks about items from i on; returns how many. */
static int
ask_some(struct upload *u, size_t i, const char *ignore, const char *attributes,
    struct err *e)
{
	/* 256 paths, samples in base64, and the rules. */
	struct buf b = buf_make(8 << 20);
	size_t end =
	    u->scan.n - i < PREUPLOAD_MAX ? u->scan.n : i + PREUPLOAD_MAX;
	char head[41];
	int rv;

	preupload_begin(&b);
	for (; i < end; i++) {
		struct err why;

		if (add_question(u, &u->item[i], &b, &why) < 0)
			fail(&u->item[i], &why);
	}
	preupload_end(&b, ignore, attributes);
	rv = repo_preupload(&u->s.repo, u->s.revision, u->o->create_pr, &b,
	    take_mode, u, head, e);
	if (rv == 0 && *head)
		memcpy(u->head, head, sizeof(head));
	buf_release(&b);
	return rv;
}

static int
ask(struct upload *u, struct err *e)
{
	char *ignore = rules(u, ".gitignore");
	char *attributes = rules(u, ".gitattributes");
	int rv = 0;

	progress_phase(u->s.progress, "asking", u->scan.n, 0);
	for (size_t i = 0; rv == 0 && i < u->scan.n; i += PREUPLOAD_MAX) {
		rv = ask_some(u, i, ignore, attributes, e);
		progress_tick(u->s.progress, wait_status_asked());
	}
	free(ignore);
	free(attributes);
	return rv;
}

/* --- Hashing, several files beside each other. --- */

static bool
wants_hash(const struct item *it)
{
	return it->fate == SEND && (it->lfs || it->known);
}

static struct journal_file
as_seen(const struct item *it)
{
	const struct scan_file *f = it->file;

	return (struct journal_file){
	    f->path, f->size, f->inode, f->mtime_s, f->mtime_ns};
}

struct moving {
	struct progress *progress;
	unsigned shown;
};

static void
moved(void *ctx, size_t n)
{
	const struct moving *m = ctx;

	progress_add(m->progress, m->shown, n);
}

static int
hash_file(struct upload *u, struct item *it, enum hash_kind kind,
    struct moving *m, struct err *e)
{
	int fd = scan_open(&u->folder, it->file, e), rv;

	if (fd < 0)
		return -1;
	rv = filehash(
	    fd, it->file->size, kind, it->file->path, moved, m, &it->digest, e);
	if (rv == 0)
		rv = scan_unchanged(fd, it->file, e);
	close(fd);
	return rv;
}

static int
hash_item(struct upload *u, struct item *it, struct err *e)
{
	const struct journal_file seen = as_seen(it);
	enum hash_kind kind = it->lfs ? HASH_SHA256 : HASH_GIT;
	struct moving m = {u->s.progress, 0};
	int rv = 0;

	m.shown = progress_start(u->s.progress, it->path, it->file->size, 0);
	if (journal_hash(u->journal, &seen, kind, &it->digest)) {
		progress_finish(u->s.progress, m.shown, PROGRESS_KEPT, NULL);
	} else {
		rv = hash_file(u, it, kind, &m, e);
		if (rv == 0)
			journal_put_hash(u->journal, &seen, &it->digest);
		progress_finish(u->s.progress, m.shown,
		    rv < 0 ? PROGRESS_FAILED : PROGRESS_DONE,
		    rv < 0 ? e->msg : NULL);
	}
	it->hashed = rv == 0;
	if (it->hashed && it->known && digest_same(&it->digest, &it->there))
		it->fate = SAME;
	return rv;
}

/* The next item to be hashed; NULL if there is none, or it is over. */
static struct item *
next_item(struct upload *u)
{
	struct item *it = NULL;

	pthread_mutex_lock(&u->lock);
	while (!u->over && !it && u->next < u->scan.n) {
		it = &u->item[u->next++];
		if (!wants_hash(it))
			it = NULL;
	}
	pthread_mutex_unlock(&u->lock);
	return it;
}

static void *
hash_some(void *arg)
{
	struct upload *u = arg;
	struct item *it;
	struct err e;

	while ((it = next_item(u))) {
		if (hash_item(u, it, &e) == 0)
			continue;
		if (e.kind != ERR_STOPPED) {
			fail(it, &e);
			continue;
		}
		pthread_mutex_lock(&u->lock);
		u->over = true;
		u->why = e;
		pthread_mutex_unlock(&u->lock);
	}
	return NULL;
}

/* Shows and waits until the threads are through. */
static void
wait_hashed(struct upload *u, pthread_t *thread, unsigned n)
{
	struct err ignored;

	for (bool through = false; !through;) {
		pthread_mutex_lock(&u->lock);
		through = u->over || u->next == u->scan.n;
		pthread_mutex_unlock(&u->lock);
		progress_tick(u->s.progress, wait_status_asked());
		if (!through && wait_until(wait_now() + 100, &ignored) < 0)
			break;
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
}

static unsigned
hash_threads(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > 4 ? 4 : (unsigned)n;
}

static int
hash_all(struct upload *u, struct err *e)
{
	pthread_t thread[4];
	unsigned n = 0, wanted = hash_threads();
	uint64_t files = 0, bytes = 0;

	for (size_t i = 0; i < u->scan.n; i++)
		if (wants_hash(&u->item[i])) {
			files++;
			bytes += u->item[i].file->size;
		}
	progress_phase(u->s.progress, "hashing", files, bytes);
	while (
	    n < wanted && pthread_create(&thread[n], NULL, hash_some, u) == 0)
		n++;
	if (!n)
		hash_some(u);
	wait_hashed(u, thread, n);
	if (u->over)
		*e = u->why;
	return u->over ? -1 : 0;
}

/* --- Deletions. --- */

static int
take_gone(void *ctx, const struct repo_file *f, struct err *e)
{
	struct upload *u = ctx;
	const struct glob_list all = {NULL, 0};
	const struct glob_list delete = {u->o->delete.s, u->o->delete.n};
	char *prefix = u->name ? xstrdup("") : target(u, "");
	size_t n = strlen(prefix);

	(void)e;
	if (strncmp(f->path, prefix, n) == 0 &&
	    strcmp(f->path, ".gitattributes") != 0 && !find(u, f->path) &&
	    !glob_kept(&all, &delete, f->path + n)) {
		u->gone =
		    xreallocarray(u->gone, u->gone_n + 1, sizeof(u->gone[0]));
		u->gone[u->gone_n++] = xstrdup(f->path);
	}
	free(prefix);
	return 0;
}

/* --- Sending and committing a batch. --- */

/* What is sent and committed together. */
struct batch {
	struct upload *u;
	struct item **item;
	size_t n;
	struct item **lfs; /* those of them that go to the storage */
	size_t lfs_n;
};

static int
open_lfs(void *ctx, size_t i, struct err *e)
{
	struct batch *b = ctx;

	return scan_open(&b->u->folder, b->lfs[i]->file, e);
}

static void
lfs_stored(void *ctx, size_t i)
{
	(void)ctx;
	(void)i;
}

static void
lfs_failed(void *ctx, size_t i, const struct err *why)
{
	struct batch *b = ctx;

	fail(b->lfs[i], why);
}

static int
send_contents(struct batch *b, struct err *e)
{
	static const struct lfs_ops ops = {open_lfs, lfs_stored, lfs_failed};
	struct upload *u = b->u;
	struct lfs_object *object = xcalloc(b->n, sizeof(*object));
	const struct lfs l = {
	    .repo = &u->s.repo,
	    .revision = u->o->create_pr ? NULL : u->s.revision,
	    .jobs = u->c->jobs,
	    .retries = u->c->retries,
	    .progress = u->s.progress,
	    .journal = u->journal,
	    .ops = &ops,
	    .ctx = b,
	};
	int rv = 0;

	for (size_t i = 0; i < b->n; i++) {
		const struct scan_file *f = b->item[i]->file;

		if (!b->item[i]->lfs)
			continue;
		object[b->lfs_n] = (struct lfs_object){
		    .name = b->item[i]->path,
		    .size = f->size,
		    .digest = b->item[i]->digest,
		    .inode = f->inode,
		    .mtime_s = f->mtime_s,
		    .mtime_ns = f->mtime_ns,
		};
		b->lfs[b->lfs_n++] = b->item[i];
	}
	if (b->lfs_n)
		rv = lfs_send(&l, object, b->lfs_n, e);
	free(object);
	return rv;
}

static int
open_regular(void *ctx, void *file, struct err *e)
{
	struct upload *u = ctx;
	const struct item *it = file;

	return scan_open(&u->folder, it->file, e);
}

static int
check_regular(void *ctx, void *file, int fd, struct err *e)
{
	const struct item *it = file;

	(void)ctx;
	return scan_unchanged(fd, it->file, e);
}

/* "Upload model.gguf with hub", or what the user said; later commits of a run
 * say which part they are. */
static void
put_summary(const struct upload *u, struct buf *b)
{
	if (u->o->commit_message)
		buf_puts(b, u->o->commit_message);
	else if (u->name)
		buf_printf(b, "Upload %s with hub",
		    u->scan.n ? u->item[0].path : u->name);
	else
		buf_puts(b, "Upload folder with hub");
	if (u->commits)
		buf_printf(b, " (part %u)", u->commits + 1);
}

/* Did a commit whose answer got lost arrive? 1: it did, and head is it. */
static int
look_for(struct upload *u, const char *summary, struct err *e)
{
	char *title = NULL, newest[41];
	int rv = repo_newest(&u->s.repo, u->revision, newest, &title, e);

	if (rv == 0 && strcmp(newest, u->head) != 0 && title &&
	    str_same(str_of(title), str_of(summary))) {
		memcpy(u->head, newest, sizeof(newest));
		rv = 1;
	}
	free(title);
	return rv;
}

static void
committed(struct upload *u, struct commit_answer *a)
{
	if (*a->oid)
		memcpy(u->head, a->oid, sizeof(u->head));
	if (!u->pr && a->url) {
		free(u->url);
		u->url = repo_rewrite(&u->s.repo, a->url);
		a->url = NULL;
	}
	commit_answer_release(a);
}

/* Sends a commit until it is known to have happened, or not to. */
static int
send_commit(struct upload *u, const struct commit *c, struct err *e)
{
	bool lost = false;

	for (unsigned failed = 0;; failed++) {
		struct commit_answer a;
		struct err look;

		if (repo_send_commit(&u->s.repo, u->revision, c, &a, e) == 0) {
			committed(u, &a);
			return 0;
		}
		/* The second try of one that arrived finds the branch moved. */
		lost = lost || e->kind == ERR_NET;
		if (e->kind != ERR_NET && !(lost && e->kind == ERR_REFUSED))
			return -1;
		if (failed >= u->c->retries)
			return -1;
		if (wait_until(
			wait_now() + wait_backoff(failed, BACKOFF_BASE,
					 BACKOFF_CAP, e->wait, wait_random()),
			e) < 0)
			return -1;
		if (look_for(u, c->summary, &look) > 0)
			return 0;
		if (e->kind == ERR_REFUSED)
			return -1;
	}
}

/* Where the commits go: the branch, or a pull request that is opened now. */
static int
choose_revision(struct upload *u, const char *summary, struct err *e)
{
	struct buf b = buf_make(64);
	char *url = NULL;

	if (u->revision)
		return 0;
	if (!u->o->create_pr) {
		u->revision = xstrdup(u->s.revision);
		return 0;
	}
	if (repo_open_pull_request(&u->s.repo, summary,
		u->o->commit_description ? u->o->commit_description : "",
		&u->pr, &url, e) < 0)
		return -1;
	buf_printf(&b, "refs/pr/%" PRIu64, u->pr);
	u->revision = buf_detach(&b);
	u->url = url ? repo_rewrite(&u->s.repo, url) : NULL;
	progress_note(u->s.progress, "opened the pull request %" PRIu64, u->pr);
	return repo_commit(&u->s.repo, u->revision, u->head, e);
}

static void
fill_ops(const struct batch *b, bool first, struct commit_op *op, size_t *n)
{
	const struct upload *u = b->u;

	*n = 0;
	for (size_t i = 0; first && i < u->gone_n; i++)
		op[(*n)++] = (struct commit_op){
		    .kind = COMMIT_DELETE, .path = u->gone[i]};
	for (size_t i = 0; i < b->n; i++)
		if (b->item[i]->fate == SEND)
			op[(*n)++] = (struct commit_op){
			    .kind = b->item[i]->lfs ? COMMIT_LFS : COMMIT_FILE,
			    .path = b->item[i]->path,
			    .size = b->item[i]->file->size,
			    .digest = b->item[i]->digest,
			    .file = b->item[i],
			};
}

static int
commit_batch(struct batch *b, struct err *e)
{
	struct upload *u = b->u;
	bool first = u->commits == 0;
	struct commit_op *op =
	    xcalloc(b->n + (first ? u->gone_n : 0), sizeof(*op));
	struct buf summary = buf_make(1 << 16);
	struct commit c = {
	    .op = op, .open = open_regular, .check = check_regular, .ctx = u};
	int rv = 0;

	put_summary(u, &summary);
	c.summary = buf_cstr(&summary);
	c.description = first && u->o->commit_description && !u->o->create_pr
			    ? u->o->commit_description
			    : "";
	fill_ops(b, first, op, &c.n);
	if (c.n)
		rv = choose_revision(u, c.summary, e);
	c.parent = *u->head ? u->head : NULL;
	if (c.n && rv == 0)
		rv = send_commit(u, &c, e);
	u->commits += c.n && rv == 0;
	for (size_t i = 0; rv == 0 && i < b->n; i++)
		if (b->item[i]->fate == SEND)
			b->item[i]->fate = COMMITTED;
	buf_release(&summary);
	free(op);
	return rv;
}

/* Steps along the scale by how long a full batch took. */
static void
adapt(struct upload *u, size_t n, uint64_t ms)
{
	if (ms > COMMIT_MS && u->step > 0)
		u->step--;
	else if (ms < COMMIT_MS && n >= scale[u->step] &&
		 u->step + 1 < countof(scale))
		u->step++;
}

/* The next items to be committed together, from *i on. */
static void
next_batch(struct batch *b, size_t *i)
{
	const struct upload *u = b->u;
	uint64_t regular = 0;

	for (b->n = b->lfs_n = 0; *i < u->scan.n; ++*i) {
		struct item *it = &u->item[*i];

		if (it->fate != SEND)
			continue;
		if (b->n == scale[u->step] ||
		    (b->n && !it->lfs &&
			regular + it->file->size > REGULAR_MAX))
			return;
		if (!it->lfs)
			regular += it->file->size;
		b->item[b->n++] = it;
	}
}

static int
send_all(struct upload *u, struct err *e)
{
	struct batch b = {.u = u};
	uint64_t began;
	size_t i = 0;
	int rv = 0;

	b.item = xcalloc(scale[countof(scale) - 1], sizeof(b.item[0]));
	b.lfs = xcalloc(scale[countof(scale) - 1], sizeof(b.lfs[0]));
	next_batch(&b, &i);
	while (rv == 0 && (b.n || (u->gone_n && !u->commits))) {
		rv = send_contents(&b, e);
		progress_phase(u->s.progress, "committing", b.n, 0);
		began = wait_now();
		if (rv == 0)
			rv = commit_batch(&b, e);
		adapt(u, b.n, wait_now() - began);
		if (!b.n)
			break;
		next_batch(&b, &i);
	}
	free(b.item);
	free(b.lfs);
	if (rv == 0 && u->pr && u->commits)
		rv = repo_publish_pull_request(&u->s.repo, u->pr, e);
	return rv;
}

/* --- The report. --- */

static const char *
outcome(const struct item *it)
{
	static const char *const text[] = {
	    "to send", "unchanged", "ignored", "committed", "failed"};

	return text[it->fate];
}

static void
put_items(const struct upload *u, struct buf *out)
{
	for (size_t i = 0; i < u->scan.n; i++) {
		const struct item *it = &u->item[i];

		buf_puts(out, i ? ",{\"path\":" : "{\"path\":");
		json_put_string(out, str_of(it->path));
		buf_printf(out,
		    ",\"size\":%" PRIu64 ",\"lfs\":%s,"
		    "\"outcome\":\"%s\"",
		    it->file->size, it->lfs ? "true" : "false", outcome(it));
		if (it->why) {
			buf_puts(out, ",\"error\":");
			json_put_string(out, str_of(it->why));
		}
		buf_putc(out, '}');
	}
}

static void
put_json(const struct upload *u, struct buf *out)
{
	buf_puts(out, "{\"command\":\"upload\",\"repo_id\":");
	json_put_string(out, str_of(u->s.id.id));
	buf_printf(out, ",\"repo_type\":\"%s\",\"revision\":",
	    repo_type_name(u->s.id.type));
	json_put_string(out, str_of(u->s.revision));
	buf_printf(out, ",\"commit\":\"%s\",\"commits\":%u,\"url\":", u->head,
	    u->commits);
	json_put_string(out, str_of(u->url));
	buf_printf(out,
	    ",\"dry_run\":%s,\"milliseconds\":%" PRIu64 ",\"files\":[",
	    u->o->dry_run ? "true" : "false", wait_now() - u->started);
	put_items(u, out);
	buf_puts(out, "],\"deleted\":[");
	for (size_t i = 0; i < u->gone_n; i++) {
		buf_puts(out, i ? "," : "");
		json_put_string(out, str_of(u->gone[i]));
	}
	buf_puts(out, "]}\n");
}

static void
put_dry_run(const struct upload *u, struct buf *out)
{
	char size[16];
	uint64_t bytes = 0;
	size_t n = 0;

	for (size_t i = 0; i < u->scan.n; i++) {
		const struct item *it = &u->item[i];

		size_show(it->file->size, size);
		buf_printf(
		    out, "%-10s %10s  %s\n", outcome(it), size, it->path);
		n += it->fate == SEND;
		bytes += it->fate == SEND ? it->file->size : 0;
	}
	for (size_t i = 0; i < u->gone_n; i++) {
		char *name = xstrdup(u->gone[i]);

		str_printable(name);
		buf_printf(out, "%-10s %10s  %s\n", "delete", "", name);
		free(name);
	}
	size_show(bytes, size);
	buf_printf(out, "%zu of %zu files, %s to send; %zu to delete\n", n,
	    u->scan.n, size, u->gone_n);
}

/* The address of the head, where nothing had to be done. */
static void
name_head(struct upload *u)
{
	struct buf b = buf_make(URL_MAX);

	if (u->url)
		return;
	buf_printf(&b, "%s/%s%s/commit/%s", u->c->endpoint,
	    repo_type_prefix(u->s.id.type), u->s.id.id, u->head);
	u->url = buf_detach(&b);
}

static int
sum_up(const struct upload *u, struct err *e)
{
	const struct item *first = NULL;
	size_t failed = 0;

	for (size_t i = 0; i < u->scan.n; i++)
		if (u->item[i].fate == FAILED) {
			first = first ? first : &u->item[i];
			failed++;
		}
	if (!first)
		return 0;
	err_set(e,
	    failed == u->scan.n ? (enum err_kind)first->kind : ERR_PARTIAL,
	    "%zu of %zu files were not uploaded to '%s'; the first, '%s': %s",
	    failed, u->scan.n, u->s.id.id, first->path, first->why);
	return err_hint(e, "run again: what is done is kept");
}

/* --- The command. --- */

static int
plan(struct upload *u, struct err *e)
{
	bool fresh;

	if (meet(u, &fresh, e) < 0)
		return -1;
	if (fresh)
		return 0;
	if (ask(u, e) < 0 || hash_all(u, e) < 0)
		return -1;
	if (u->o->delete.n &&
	    repo_tree(&u->s.repo, *u->head ? u->head : u->s.revision, take_gone,
		u, e) < 0)
		return -1;
	return 0;
}

static void
open_journal(struct upload *u)
{
	struct buf state = buf_make(4096);
	const char *why;

	if (u->c->state_home)
		buf_printf(&state, "%s/hub", u->c->state_home);
	const struct journal_opts how = {
	    .source = &u->folder,
	    .state = state.len ? buf_cstr(&state) : NULL,
	    .endpoint = u->c->endpoint,
	    .type = repo_type_name(u->s.id.type),
	    .id = u->s.id.id,
	};

	u->journal = journal_open(&how);
	why = journal_why(u->journal);
	if (why && u->c->verbose)
		progress_note(u->s.progress,
		    "nothing is remembered for a later run: %s", why);
	buf_release(&state);
}

static int
run(struct upload *u, struct buf *out, struct err *e)
{
	int rv;

	if (open_source(u, e) < 0 || list_source(u, e) < 0 ||
	    make_items(u, e) < 0)
		return -1;
	if (!u->scan.n && !u->o->delete.n)
		return err_set(e, ERR_USAGE,
		    "there is nothing to upload in "
		    "'%s'",
		    u->o->local_path);
	if (u->scan.skipped)
		progress_note(u->s.progress,
		    "%zu entries are neither files nor folders and are passed "
		    "over",
		    u->scan.skipped);
	open_journal(u);
	rv = plan(u, e);
	if (rv == 0 && !u->o->dry_run)
		rv = send_all(u, e);
	if (rv < 0 && e->kind == ERR_STOPPED) {
		err_set(e, ERR_STOPPED, "interrupted; what arrived is kept");
		err_hint(e, "run the same command again to continue");
	} else if (rv < 0) {
		err_in(e, "cannot upload to '%s'", u->s.id.id);
	}
	name_head(u);
	if (rv == 0)
		rv = sum_up(u, e);
	if (u->o->json)
		put_json(u, out);
	else if (rv == 0 && u->o->dry_run)
		put_dry_run(u, out);
	else if (u->commits || rv == 0)
		buf_printf(out, "%s\n", u->url);
	return rv;
}

static void
release(struct upload *u)
{
	for (size_t i = 0; u->item && i < u->scan.n; i++) {
		free(u->item[i].path);
		free(u->item[i].why);
	}
	for (size_t i = 0; i < u->gone_n; i++)
		free(u->gone[i]);
	if (u->journal)
		journal_close(u->journal);
	free(u->item);
	free(u->gone);
	free(u->revision);
	free(u->url);
	free(u->name);
	scan_release(&u->scan);
	folder_close(&u->folder);
	session_close(&u->s);
	pthread_mutex_destroy(&u->lock);
}

static int
check_options(const struct options *o, const struct config *c, struct err *e)
{
	if (!c->token) {
		err_set(e, ERR_AUTH,
		    "uploading needs a token, and there is "
		    "none: looked at %s",
		    config_token_places(CONFIG_WRITE));
		return err_hint(e, "set HF_TOKEN to a token with the right to "
				   "write");
	}
	if (o->create_pr && o->revision && strcmp(o->revision, "main") != 0)
		return err_set(e, ERR_USAGE,
		    "--create-pr is against the main "
		    "branch, and --revision names another one");
	return 0;
}

int
upload(const struct options *o, const struct config *c, struct buf *out,
    struct err *e)
{
	struct upload u = {
	    .o = o,
	    .c = c,
	    .folder.fd = -1,
	    .step = SCALE_START,
	    .started = wait_now(),
	};
	int rv;

	if (check_options(o, c, e) < 0 ||
	    session_open(&u.s, o, c, "uploading", e) < 0)
		return -1;
	pthread_mutex_init(&u.lock, NULL);
	rv = run(&u, out, e);
	release(&u);
	return rv;
}
