#include "upload.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "changes.h"
#include "err.h"
#include "file.h"
#include "journal.h"
#include "json.h"
#include "lfs.h"
#include "path.h"
#include "progress.h"
#include "repo.h"
#include "sandbox.h"
#include "session.h"
#include "str.h"
#include "wait.h"
#include "xetup.h"

/* --- Sending and committing. --- */

/* The most bytes of regular contents in one commit. */
#define REGULAR_MAX ((uint64_t)100 * 1000 * 1000)

/* Files of one commit: the Hub gives a commit 60 s, so each aims at 40. The
 * steps are those of the official client. */
static const unsigned scale[] = {
    20, 50, 75, 100, 125, 200, 250, 400, 600, 1000};
#define SCALE_START 6
#define COMMIT_MS 40000

#define SUMMARY_MAX ((size_t)1 << 16)

/* --- Sending and committing a batch. --- */

/* Files that are sent and committed together. */
struct batch {
	struct delivery *d;
	struct offer_file **item;
	size_t n;
	struct offer_file **lfs; /* those of them that go to the storage */
	size_t lfs_n;
	size_t sent;    /* number of contents that the storage lacked */
	uint64_t there; /* bytes of those that it had */
	bool too_large; /* one commit of all is too much for the Hub */
};

static int
open_lfs(void *ctx, size_t i, struct err *e)
{
	struct batch *b = ctx;

	return scan_open(&b->d->offer->folder, b->lfs[i]->local, e);
}

static int
check_lfs(void *ctx, size_t i, int fd, struct err *e)
{
	struct batch *b = ctx;

	return scan_unchanged(&b->d->offer->folder, fd, b->lfs[i]->local, e);
}

static void
lfs_stored(void *ctx, size_t i, bool sent)
{
	struct batch *b = ctx;

	b->sent += sent;
	if (!sent)
		b->there += b->lfs[i]->local->stamp.size;
}

/* True if the reason may be that the file does not match its hash. */
static bool
blames_hash(enum err_kind kind)
{
	return kind == ERR_CONTENT || kind == ERR_REFUSED || kind == ERR_OTHER;
}

static void
lfs_failed(void *ctx, size_t i, const struct err *why)
{
	struct batch *b = ctx;
	struct offer_file *f = b->lfs[i];

	if (blames_hash(why->kind))
		journal_forget_hash(b->d->journal, f->local->path);
	offer_fail(f, why, NULL);
}

/* Sends the objects of the batch to the storage. */
static int
send_lfs(struct batch *b, struct err *e)
{
	static const struct lfs_ops ops = {
	    open_lfs, check_lfs, lfs_stored, lfs_failed};
	struct delivery *d = b->d;
	struct lfs_object *object = xcalloc(b->n, sizeof(*object));
	const struct lfs l = {
	    .repo = d->repo,
	    .revision = d->new_pr ? NULL : d->branch,
	    .jobs = d->jobs,
	    .packing = d->packing,
	    .retries = d->retries,
	    .progress = d->progress,
	    .journal = d->journal,
	    .xet = d->xet,
	    .ops = &ops,
	    .ctx = b,
	};
	int rv = 0;

	b->lfs_n = 0;
	for (size_t i = 0; i < b->n; i++) {
		struct offer_file *f = b->item[i];

		if (!f->lfs || f->fate != OFFER_SEND)
			continue;
		object[b->lfs_n] = (struct lfs_object){
		    .name = f->path,
		    .size = f->local->stamp.size,
		    .digest = f->digest,
		    .in_doubt = f->remembered || f->unsettled,
		};
		b->lfs[b->lfs_n++] = f;
	}
	if (b->lfs_n)
		rv = lfs_send(&l, object, b->lfs_n, e);
	free(object);
	return rv;
}

/* Hashes a file again that the storage refused. *again: the hash of an earlier
 * run was wrong, so the file must be sent again. */
static int
doubt(const struct batch *b, struct offer_file *f, bool *again, struct err *e)
{
	struct delivery *d = b->d;
	struct digest old = f->digest;
	struct err why;

	if (offer_hash_again(d->offer, f, d->journal, d->progress, &why) < 0) {
		offer_fail(f, &why, NULL);
		*e = why;
		return why.kind == ERR_STOPPED ? -1 : 0;
	}
	if (digest_same(&f->digest, &old))
		return 0;
	*again = true;
	free(f->failure);
	f->failure = NULL;
	f->fate = f->known && digest_same(&f->digest, &f->there) ? OFFER_SAME
								 : OFFER_SEND;
	return 0;
}

/* Sends the contents. A file whose hash was taken in this run is not hashed
 * again. */
static int
send_contents(struct batch *b, struct err *e)
{
	bool again = false;
	uint64_t there;
	int rv;

	b->there = 0;
	if (send_lfs(b, e) < 0)
		return -1;
	there = b->there;
	for (size_t i = 0; i < b->lfs_n; i++) {
		struct offer_file *f = b->lfs[i];

		if (f->fate == OFFER_FAILED && f->remembered &&
		    blames_hash(f->failure->kind) && doubt(b, f, &again, e) < 0)
			return -1;
	}
	rv = again ? send_lfs(b, e) : 0;
	/* Now the storage has what was sent before. */
	b->there = there;
	return rv;
}

static int
open_regular(void *ctx, void *file, struct err *e)
{
	struct delivery *d = ctx;
	const struct offer_file *f = file;

	return scan_open(&d->offer->folder, f->local, e);
}

static int
check_regular(void *ctx, void *file, int fd, struct err *e)
{
	struct delivery *d = ctx;
	const struct offer_file *f = file;

	return scan_unchanged(&d->offer->folder, fd, f->local, e);
}

/* Marks a file as failed that has changed since it was listed; the next commit
 * is without it. */
static void
fail_regular(void *ctx, void *file, const struct err *why)
{
	struct delivery *d = ctx;

	offer_fail(file, why, d->progress);
}

/* Writes the title of the commit; from the second on, with the number of the
 * part. */
static void
put_summary(const struct delivery *d, struct buf *b)
{
	buf_puts(b, d->summary);
	if (d->commits)
		buf_printf(b, " (part %u)", d->commits + 1);
}

/* True if title is the first line of summary. */
static bool
is_title(struct str title, struct str summary)
{
	struct str rest;

	str_cut(summary, '\n', &summary, &rest);
	return str_same(str_trim(title), str_trim(summary));
}

/* Computes the digest of an operation's file, of the kind that the Hub uses for
 * it. */
static int
digest_of(const struct commit *c, const struct commit_op *op,
    struct digest *out, struct err *e)
{
	int fd, rv;

	*out = op->digest;
	if (op->kind == COMMIT_LFS)
		return 0;
	fd = c->open(c->ctx, op->file, e);
	if (fd < 0)
		return -1;
	rv = filehash(fd, op->size, HASH_GIT, op->path, NULL, NULL, out, e);
	close(fd);
	return rv;
}

/* True if the last operation of the commit is done: somebody else's commit may
 * have the same title. */
static bool
is_done(const struct delivery *d, const struct commit *c, const char *commit,
    struct err *e)
{
	const struct commit_op *op = &c->op[c->n - 1];
	struct repo_file there;
	struct digest digest;
	bool same;

	if (repo_file(d->repo, commit, op->path, &there, NULL, e) < 0)
		return op->kind == COMMIT_DELETE && e->kind == ERR_ABSENT;
	same = op->kind != COMMIT_DELETE && digest_of(c, op, &digest, e) == 0 &&
	       digest_same(&digest, &there.digest);
	free(there.path);
	return same;
}

/* Checks whether a commit whose answer was lost was made. 1: yes, and head is
 * that commit. */
static int
look_for(struct delivery *d, const struct commit *c, struct err *e)
{
	char *title = NULL, newest[41];
	int rv = repo_newest(d->repo, d->revision, newest, &title, e);

	if (rv == 0 && strcmp(newest, d->head) != 0 && title &&
	    is_title(str_of(title), str_of(c->summary)) &&
	    is_done(d, c, newest, e)) {
		memcpy(d->head, newest, sizeof(newest));
		if (!d->pr) {
			free(d->url);
			d->url = repo_commit_url(d->repo, newest);
		}
		rv = 1;
	}
	free(title);
	return rv;
}

static void
committed(struct delivery *d, struct commit_answer *a)
{
	memcpy(d->head, a->oid, sizeof(d->head));
	if (!d->pr) {
		free(d->url);
		d->url = a->url ? repo_rewrite(d->repo, a->url)
				: repo_commit_url(d->repo, d->head);
		a->url = NULL;
	}
	commit_answer_release(a);
}

/* Waits until the next try. On failure, its reason replaces that in e. */
static int
wait_for_retry(const struct delivery *d, unsigned failed, struct err *e)
{
	uint64_t until = wait_retry(failed, e->wait);

	progress_wait(d->progress, until, e->msg);
	return wait_until(until, e);
}

/* Sends a commit until it is known whether it was made. If a commit of many
 * files fails twice while the Hub answers other requests, it is probably too
 * large: then smaller ones are tried. */
static int
send_commit(struct batch *b, const struct commit *c, struct err *e)
{
	struct delivery *d = b->d;
	bool lost = false;

	for (unsigned failed = 0;; failed++) {
		struct commit_answer a;
		struct err look;
		int found;

		if (repo_send_commit(d->repo, d->revision, c, &a, e) == 0) {
			committed(d, &a);
			return 0;
		}
		/* After a lost answer to a commit that was made, the second try
		 * finds the branch moved. */
		lost = lost || e->kind == ERR_NET;
		if (e->kind != ERR_NET && !(lost && e->kind == ERR_REFUSED))
			return -1;
		if (failed < d->retries && wait_for_retry(d, failed + 1, e) < 0)
			return -1;
		found = look_for(d, c, &look);
		if (found > 0)
			return 0;
		if (e->kind == ERR_REFUSED || failed >= d->retries ||
		    (found < 0 && look.kind == ERR_NET))
			return -1;
		b->too_large =
		    failed && found == 0 && !e->wait && b->n > scale[0];
		if (b->too_large)
			return -1;
	}
}

/* Chooses where the commits go: the branch, or a pull request, which is opened
 * now. */
static int
choose_revision(struct delivery *d, const char *summary, struct err *e)
{
	struct buf b = buf_make(64);
	char *url = NULL;

	if (d->revision)
		return 0;
	if (!d->new_pr) {
		d->revision = xstrdup(d->branch);
		return 0;
	}
	if (repo_open_pull_request(d->repo, summary, d->description, d->retries,
		&d->pr, &url, e) < 0)
		return -1;
	buf_printf(&b, "refs/pr/%" PRIu64, d->pr);
	d->revision = buf_detach(&b);
	d->url = url ? repo_rewrite(d->repo, url) : NULL;
	progress_note(d->progress, "opened the pull request %" PRIu64, d->pr);
	return repo_commit(d->repo, d->revision, d->head, e);
}

static void
fill_ops(const struct batch *b, bool first, struct commit_op *op, size_t *n)
{
	const struct delivery *d = b->d;

	*n = 0;
	for (size_t i = 0; first && i < d->gone_n; i++)
		op[(*n)++] = (struct commit_op){
		    .kind = COMMIT_DELETE, .path = d->gone[i]};
	for (size_t i = 0; i < b->n; i++)
		if (b->item[i]->fate == OFFER_SEND)
			op[(*n)++] = (struct commit_op){
			    .kind = b->item[i]->lfs ? COMMIT_LFS : COMMIT_FILE,
			    .path = b->item[i]->path,
			    .size = b->item[i]->local->stamp.size,
			    .digest = b->item[i]->digest,
			    .file = b->item[i],
			};
}

static size_t
to_send(const struct batch *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		n += b->item[i]->fate == OFFER_SEND;
	return n;
}

/* Leaves out files that changed after they were sent. */
static void
drop_changed(const struct batch *b)
{
	const struct delivery *d = b->d;
	struct err why;

	for (size_t i = 0; i < b->n; i++) {
		struct offer_file *f = b->item[i];

		if (f->fate == OFFER_SEND &&
		    scan_unchanged(&d->offer->folder, -1, f->local, &why) < 0)
			offer_fail(f, &why, d->progress);
	}
}

static int
try_commit(
    struct batch *b, struct commit_op *op, const char *summary, struct err *e)
{
	struct delivery *d = b->d;
	bool first = d->commits == 0;
	struct commit c = {
	    .summary = summary,
	    /* A pull request opened by this run has the description already. */
	    .description = first && !d->new_pr ? d->description : "",
	    .parent = *d->head ? d->head : NULL,
	    .op = op,
	    .open = open_regular,
	    .check = check_regular,
	    .failed = fail_regular,
	    .ctx = d,
	};

	drop_changed(b);
	fill_ops(b, first, op, &c.n);
	if (!c.n)
		return 0;
	if (send_commit(b, &c, e) < 0)
		return -1;
	d->commits++;
	for (size_t i = 0; i < b->n; i++)
		if (b->item[i]->fate == OFFER_SEND)
			b->item[i]->fate = OFFER_COMMITTED;
	return 0;
}

static int
commit_at_once(struct batch *b, struct err *e)
{
	struct delivery *d = b->d;
	struct commit_op *op = xcalloc(b->n + d->gone_n, sizeof(*op));
	struct buf summary = buf_make(SUMMARY_MAX);
	size_t had = to_send(b);
	int rv = 0;

	put_summary(d, &summary);
	if (had || (d->gone_n && !d->commits)) {
		progress_phase(d->progress, "committing", had, 0);
		rv = choose_revision(d, buf_cstr(&summary), e);
	}
	if (rv == 0)
		rv = try_commit(b, op, buf_cstr(&summary), e);
	/* A file that changed meanwhile is left out, and the others are
	 * committed. */
	while (rv < 0 && !b->too_large && to_send(b) < had) {
		had = to_send(b);
		rv = try_commit(b, op, buf_cstr(&summary), e);
	}
	buf_release(&summary);
	free(op);
	return rv;
}

/* Lowers the batch size to half of what was too much for the Hub, or less. */
static void
step_down(struct delivery *d, size_t n)
{
	while (d->step && scale[d->step] > n / 2)
		d->step--;
	progress_note(d->progress,
	    "a commit of %zu files failed; retrying with %u files", n,
	    scale[d->step]);
}

/* Commits the batch: in one commit, or in several if that is too much for the
 * Hub. */
static int
commit_batch(struct batch *b, struct err *e)
{
	struct batch part = {.d = b->d, .item = b->item, .n = b->n};
	size_t left = b->n;

	for (;;) {
		part.too_large = false;
		if (commit_at_once(&part, e) == 0) {
			part.item += part.n;
			left -= part.n;
			if (!left)
				return 0;
		} else if (part.too_large) {
			step_down(b->d, part.n);
			b->too_large = true;
		} else {
			return -1;
		}
		part.n = left < scale[b->d->step] ? left : scale[b->d->step];
	}
}

/* Changes the batch size by how long a full batch took. */
static void
adapt(struct delivery *d, size_t n, uint64_t ms)
{
	if (ms > COMMIT_MS && d->step > 0)
		d->step--;
	else if (ms < COMMIT_MS && n >= scale[d->step] &&
		 d->step + 1 < countof(scale))
		d->step++;
}

/* Collects the next files to be committed together, from *i on. */
static void
next_batch(struct batch *b, size_t *i)
{
	const struct delivery *d = b->d;
	uint64_t regular = 0;

	b->too_large = false;
	b->sent = 0;
	for (b->n = b->lfs_n = 0; *i < d->offer->n; ++*i) {
		struct offer_file *f = &d->offer->file[*i];

		if (f->fate != OFFER_SEND)
			continue;
		if (b->n == scale[d->step] ||
		    (b->n && !f->lfs &&
			regular + f->local->stamp.size > REGULAR_MAX))
			return;
		if (!f->lfs)
			regular += f->local->stamp.size;
		b->item[b->n++] = f;
	}
}

/* After a refused commit, checks whether the storage has lost a content; if so,
 * sends it again and tries the commit once more. */
static int
commit_once_more(struct batch *b, struct err *e)
{
	struct err why = *e;

	b->sent = 0;
	if (send_contents(b, e) == 0 && b->sent)
		return commit_batch(b, e);
	if (e->kind != ERR_STOPPED)
		*e = why;
	return -1;
}

/* Sends and commits all files. Files that fail alone are marked (OFFER_FAILED),
 * which is no failure here; an error that concerns all ends it, with its kind
 * (err.h). */
static int
deliver(struct delivery *d, struct err *e)
{
	struct batch b = {.d = d};
	uint64_t began;
	size_t i = 0;
	int rv = 0;

	d->step = SCALE_START;
	b.item = xcalloc(scale[countof(scale) - 1], sizeof(b.item[0]));
	b.lfs = xcalloc(scale[countof(scale) - 1], sizeof(b.lfs[0]));
	next_batch(&b, &i);
	while (rv == 0 && (b.n || (d->gone_n && !d->commits))) {
		rv = send_contents(&b, e);
		d->there += b.there;
		began = wait_now();
		if (rv == 0)
			rv = commit_batch(&b, e);
		if (rv < 0 && e->kind == ERR_REFUSED && b.lfs_n)
			rv = commit_once_more(&b, e);
		if (!b.too_large)
			adapt(d, b.n, wait_now() - began);
		if (!b.n)
			break;
		next_batch(&b, &i);
	}
	free(b.item);
	free(b.lfs);
	if (rv == 0 && d->pr && d->commits)
		rv = repo_publish_pull_request(d->repo, d->pr, e);
	return rv;
}

/* --- The command. --- */

/*
 * upload: finds or makes the repository, asks what the Hub wants (changes.h),
 * sends and commits it.
 */

#define UPLOAD_SUMMARY_MAX 4096

struct upload {
	const struct options *o;
	const struct config *c;
	struct session s;
	struct offer offer;
	struct delivery d;
	struct journal *journal;
	char **gone; /* paths to be deleted */
	size_t gone_n;
	char *prefix; /* prefix of the paths they are compared with */
	uint64_t started;
};

/* --- The plan. --- */

/* Looks for the branch, and creates it if it is missing. fresh: it is missing,
 * and a dry run creates none. */
static int
meet_branch(struct upload *u, bool *fresh, struct err *e)
{
	const struct repo *r = &u->s.repo;

	if (repo_commit(r, u->s.revision, u->d.head, e) == 0)
		return 0;
	if (e->kind != ERR_ABSENT || u->o->create_pr)
		return -1;
	/* A reference of that name was not made as a branch. */
	if (str_starts(str_of(u->s.revision), "refs/"))
		return err_hint(e, "use an existing pull request, or "
				   "--create-pr");
	*fresh = u->o->dry_run;
	if (*fresh)
		return 0;
	if (repo_create_branch(r, u->s.revision, e) < 0)
		return -1;
	progress_note(u->s.progress, "created the branch '%s'", u->s.revision);
	return repo_commit(r, u->s.revision, u->d.head, e);
}

/* Refuses to publish in a public repository what is meant to be private. */
static int
check_private(const struct upload *u, bool is_public, struct err *e)
{
	if (!is_public || !u->o->is_private)
		return 0;
	err_set(e, ERR_USAGE,
	    "the %s is there, and it is public: --private makes only a new one "
	    "private",
	    repo_type_name(u->s.id.type));
	return err_hint(
	    e, "make it private at the Hub, or leave out --private");
}

/* Creates the repository. Somebody else may have created it just before, and a
 * mirror may not support private ones. */
static int
create(const struct upload *u, struct err *e)
{
	const struct repo *r = &u->s.repo;
	bool there, is_public;

	if (repo_create(r, u->o->is_private, e) < 0)
		return -1;
	if (u->o->is_private && (repo_exists(r, &there, &is_public, e) < 0 ||
				    check_private(u, is_public, e) < 0))
		return -1;
	progress_note(u->s.progress, "created the %s '%s'%s",
	    repo_type_name(r->type), r->id,
	    u->o->is_private ? " (private)" : "");
	return 0;
}

static int
meet(struct upload *u, bool *fresh, struct err *e)
{
	const struct repo *r = &u->s.repo;
	bool there, is_public;

	*fresh = false;
	if (repo_exists(r, &there, &is_public, e) < 0)
		return -1;
	if (check_private(u, is_public, e) < 0)
		return -1;
	*fresh = !there && u->o->dry_run;
	if (*fresh)
		return 0;
	if (!there && create(u, e) < 0)
		return -1;
	return meet_branch(u, fresh, e);
}

static int
take_gone(void *ctx, const struct repo_file *f, struct err *e)
{
	struct upload *u = ctx;
	const struct glob_list all = {NULL, 0};
	const struct glob_list delete = {u->o->delete.s, u->o->delete.n};
	size_t n = strlen(u->prefix);

	(void)e;
	if (strncmp(f->path, u->prefix, n) != 0 ||
	    strcmp(f->path, ".gitattributes") == 0 ||
	    offer_find(&u->offer, f->path) ||
	    glob_kept(&all, &delete, f->path + n))
		return 0;
	u->gone = xreallocarray(u->gone, u->gone_n + 1, sizeof(u->gone[0]));
	u->gone[u->gone_n++] = xstrdup(f->path);
	return 0;
}

/* The first names of a list, and the number of others. */
struct naming {
	struct buf b;
	size_t n;
};

#define NAMED_MAX 5

static void
name_one(struct naming *l, const char *path)
{
	if (l->n++ >= NAMED_MAX)
		return;
	buf_printf(&l->b, "%s'%.200s'", l->n > 1 ? ", " : "", path);
}

/* Notes "WHAT: NAMES", with an s after WHAT if there are several. */
static void
note_names(const struct upload *u, struct naming *l, const char *before,
    const char *one, const char *several)
{
	if (l->n > NAMED_MAX)
		buf_printf(&l->b, " and %zu more", l->n - NAMED_MAX);
	if (l->n)
		progress_note(u->s.progress, "%s%zu %s: %s", before, l->n,
		    l->n == 1 ? one : several, buf_cstr(&l->b));
	buf_release(&l->b);
}

static struct naming
naming_make(void)
{
	return (struct naming){buf_make(4096), 0};
}

static void
note_ignored(const struct upload *u)
{
	struct naming l = naming_make();

	for (size_t i = 0; i < u->offer.n; i++)
		if (u->offer.file[i].fate == OFFER_IGNORED)
			name_one(&l, u->offer.file[i].path);
	note_names(
	    u, &l, "the repository's .gitignore leaves out ", "file", "files");
}

static int
plan(struct upload *u, struct err *e)
{
	const struct repo *r = &u->s.repo;
	bool fresh;

	if (meet(u, &fresh, e) < 0)
		return -1;
	if (!fresh && offer_ask(&u->offer, r, u->s.revision, u->o->create_pr,
			  u->d.head, u->s.progress, e) < 0)
		return -1;
	if (offer_hash(&u->offer, u->o->dry_run, u->journal, u->s.progress, e) <
	    0)
		return -1;
	note_ignored(u);
	if (fresh || !u->o->delete.n)
		return 0;
	return repo_tree(
	    r, *u->d.head ? u->d.head : u->s.revision, take_gone, u, e);
}

/* --- The report. --- */

static const char *
outcome(const struct offer_file *f)
{
	static const char *const text[] = {
	    "to send", "unchanged", "ignored", "committed", "failed"};

	return text[f->fate];
}

static void
put_file(const struct offer_file *f, struct buf *out)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	report_file(out, f->path, f->local->stamp.size);
	buf_printf(out, ",\"lfs\":%s", f->lfs ? "true" : "false");
	if (f->hashed) {
		digest_hex(&f->digest, hex);
		buf_printf(
		    out, ",\"%s\":\"%s\"", f->lfs ? "sha256" : "git_oid", hex);
	}
	report_file_end(out, outcome(f), f->failure ? f->failure->msg : NULL);
}

static const char *
reason(const struct scan_passed *p)
{
	static const char *const text[] = {
	    [SCAN_TO_FOLDER] = "link to a directory",
	    [SCAN_SPECIAL] = "not a file",
	    [SCAN_DOTENV] = "not named",
	    [SCAN_TOKEN] = "holds a token",
	};

	return text[p->kind];
}

static void
put_items(const struct upload *u, struct output *to)
{
	const struct scan *s = &u->offer.scan;
	struct buf *out = &to->text;

	buf_puts(out, ",\"files\":[");
	for (size_t i = 0; i < u->offer.n; i++) {
		buf_puts(out, i ? "," : "");
		put_file(&u->offer.file[i], out);
		output_more(to);
	}
	buf_puts(out, "],\"deleted\":[");
	for (size_t i = 0; i < u->gone_n; i++) {
		buf_puts(out, i ? "," : "");
		json_put_string(out, str_of(u->gone[i]));
		output_more(to);
	}
	buf_puts(out, "],\"skipped\":[");
	for (size_t i = 0; i < s->passed_n; i++) {
		buf_puts(out, i ? ",{\"path\":" : "{\"path\":");
		json_put_string(out, str_of(s->passed[i].path));
		buf_printf(out, ",\"reason\":\"%s\"}", reason(&s->passed[i]));
		output_more(to);
	}
	buf_puts(out, "]}\n");
}

static void
put_known(struct buf *out, const char *name, const char *value)
{
	buf_puts(out, name);
	if (value && *value)
		json_put_string(out, str_of(value));
	else
		buf_puts(out, "null");
}

/* The bytes of what was committed, and how many of them the Hub lacked. */
static void
count_bytes(const struct upload *u, uint64_t *bytes, uint64_t *fresh)
{
	uint64_t there = u->d.there;

	if (u->d.xet)
		there += xetup_there(u->d.xet);
	*bytes = 0;
	for (size_t i = 0; i < u->offer.n; i++)
		if (u->offer.file[i].fate == OFFER_COMMITTED)
			*bytes += u->offer.file[i].local->stamp.size;
	*fresh = *bytes > there ? *bytes - there : 0;
}

static void
put_json(const struct upload *u, struct output *to)
{
	struct buf *out = &to->text;
	uint64_t bytes, fresh;

	count_bytes(u, &bytes, &fresh);
	report_begin(out, "upload", &u->s.id, u->s.revision);
	put_known(out, ",\"commit\":", u->d.head);
	buf_printf(out, ",\"commits\":%u", u->d.commits);
	put_known(out, ",\"url\":", u->d.url);
	buf_printf(out,
	    ",\"dry_run\":%s,\"bytes\":%" PRIu64 ",\"new\":%" PRIu64
	    ",\"milliseconds\":%" PRIu64,
	    u->o->dry_run ? "true" : "false", bytes, fresh,
	    wait_now() - u->started);
	put_items(u, to);
}

static void
put_dry_run(const struct upload *u, struct output *to)
{
	struct buf *out = &to->text;
	char size[16];
	uint64_t bytes = 0;
	size_t n = 0;

	for (size_t i = 0; i < u->offer.n; i++) {
		const struct offer_file *f = &u->offer.file[i];

		size_show(f->local->stamp.size, size);
		report_line(out, outcome(f), size, f->path,
		    f->failure ? f->failure->msg : "");
		output_more(to);
		n += f->fate == OFFER_SEND;
		bytes += f->fate == OFFER_SEND ? f->local->stamp.size : 0;
	}
	for (size_t i = 0; i < u->gone_n; i++) {
		report_line(out, "delete", "", u->gone[i], "");
		output_more(to);
	}
	size_show(bytes, size);
	buf_printf(out, "%zu of %zu files, %s to send; %zu to delete\n", n,
	    u->offer.n, size, u->gone_n);
}

/* Reports the result in one sentence. */
static void
say_end(const struct upload *u)
{
	size_t n[OFFER_FATES] = {0}, gone = u->d.commits ? u->gone_n : 0;
	struct buf b = buf_make(1024);
	uint64_t bytes, fresh;
	char size[16], new[16];

	for (size_t i = 0; i < u->offer.n; i++)
		n[u->offer.file[i].fate]++;
	count_bytes(u, &bytes, &fresh);
	size_show(bytes, size);
	size_show(fresh, new);
	if (u->d.commits)
		buf_printf(&b, "sent %zu file%s (%s%s%s%s) to",
		    n[OFFER_COMMITTED], n[OFFER_COMMITTED] == 1 ? "" : "s",
		    size, fresh < bytes ? ", " : "", fresh < bytes ? new : "",
		    fresh < bytes ? " of it new" : "");
	else
		buf_puts(&b, n[OFFER_FAILED] ? "nothing was sent to"
					     : "nothing to do for");
	buf_printf(&b, " '%s' (%s)", u->s.id.id,
	    u->d.revision ? u->d.revision : u->s.revision);
	if (n[OFFER_SAME])
		buf_printf(&b, ", %zu unchanged", n[OFFER_SAME]);
	if (gone)
		buf_printf(&b, ", %zu deleted", gone);
	progress_phase_end(u->s.progress);
	progress_note(u->s.progress, "%s", buf_cstr(&b));
	buf_release(&b);
}

static int
sum_up(const struct upload *u, struct err *e)
{
	const struct offer *o = &u->offer;
	const struct offer_file *first = NULL;
	size_t failed = 0;

	for (size_t i = 0; i < o->n; i++)
		if (o->file[i].fate == OFFER_FAILED) {
			first = first ? first : &o->file[i];
			failed++;
		}
	if (!first && o->n == 1 && o->file[0].fate == OFFER_IGNORED)
		return err_set(e, ERR_PARTIAL,
		    "'%.256s' was not sent: the .gitignore of '%s' excludes it",
		    o->file[0].path, u->s.id.id);
	if (!first)
		return 0;
	if (o->n == 1)
		err_set(e, first->failure->kind,
		    "cannot upload '%.256s' to '%s': %s", first->path,
		    u->s.id.id, first->failure->msg);
	else
		err_set(e, failed == o->n ? first->failure->kind : ERR_PARTIAL,
		    "%zu of %zu files were not uploaded to '%s'; the first, "
		    "'%.256s': %s",
		    failed, o->n, u->s.id.id, first->path, first->failure->msg);
	return err_hint(e, "%s",
	    *first->failure->hint ? first->failure->hint
				  : "run again to continue");
}

/* --- The command. --- */

/* Reports skipped entries. */
static void
note_passed(const struct upload *u)
{
	static const char *const text[][3] = {
	    [SCAN_TO_FOLDER] = {"skipped ", "link to a directory",
		"links to directories"},
	    [SCAN_SPECIAL] = {"skipped ", "pipe, socket or device",
		"pipes, sockets or devices"},
	    [SCAN_DOTENV] = {"not sent unless named: ", "file", "files"},
	    [SCAN_TOKEN] = {"never sent: ", "file with a token",
		"files with tokens"},
	};
	const struct scan *s = &u->offer.scan;

	for (size_t kind = 0; kind < SCAN_KINDS; kind++) {
		struct naming l = naming_make();

		for (size_t i = 0; i < s->passed_n; i++)
			if (s->passed[i].kind == kind)
				name_one(&l, s->passed[i].path);
		note_names(u, &l, text[kind][0], text[kind][1], text[kind][2]);
	}
	if (s->outside)
		progress_note(u->s.progress,
		    "%zu link%s out of '%.200s'; the first: '%.200s'",
		    s->outside, s->outside == 1 ? " leads" : "s lead",
		    u->o->local_path, s->outside_first);
}

/* Reports files that cannot be sent. */
static void
note_bad(const struct upload *u)
{
	for (size_t i = 0; i < u->offer.n; i++) {
		struct offer_file *f = &u->offer.file[i];

		if (f->fate == OFFER_FAILED)
			progress_finish(u->s.progress,
			    progress_start(u->s.progress, f->path, 0, 0),
			    PROGRESS_FAILED, f->failure->msg);
	}
}

static int
open_offer(struct upload *u, struct err *e)
{
	const struct config *c = u->c;
	const char *secret[countof(c->secret_file)];
	struct scan_rules rules = {
	    .include = {u->o->include.s, u->o->include.n},
	    .exclude = {u->o->exclude.s, u->o->exclude.n},
	    .secret = secret,
	};
	const char *to = u->o->path_in_repo ? u->o->path_in_repo : "";

	for (size_t i = 0; i < countof(c->secret_file); i++)
		if (c->secret_file[i])
			secret[rules.secret_n++] = c->secret_file[i];
	if (offer_open(&u->offer, u->o->local_path, to, &rules, c->token, e) <
	    0) {
		if (!*e->hint && strpbrk(u->o->local_path, "*?["))
			err_hint(
			    e, "give the directory, with --include 'PATTERN'");
		return -1;
	}
	note_passed(u);
	note_bad(u);
	if (!u->offer.n && !u->o->delete.n)
		return err_set(e, ERR_USAGE,
		    "there is nothing to upload in "
		    "'%s'",
		    u->o->local_path);
	u->prefix = offer_prefix(u->offer.single ? "" : to);
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
	    .source = &u->offer.folder,
	    .state = state.len ? buf_cstr(&state) : NULL,
	    .endpoint = u->c->endpoint,
	    .type = repo_type_name(u->s.id.type),
	    .id = u->s.id.id,
	};

	u->journal = journal_open(&how);
	why = journal_why(u->journal);
	if (why && u->c->verbose)
		progress_note(u->s.progress,
		    "progress cannot be saved for a later run: %s", why);
	buf_release(&state);
}

/* From the first byte of an answer on, the process can read only the source,
 * and write only in the folder of its journal. */
static void
confine(const struct upload *u)
{
	const struct folder *journal = journal_folder(u->journal);
	const struct scan *s = &u->offer.scan;
	struct confine c = confine_make();

	confine_read(&c, AT_FDCWD, u->o->local_path);
	if (journal)
		confine_write(&c, journal->fd, ".");
	for (size_t i = 0; i < s->n; i++)
		if (s->file[i].link)
			confine_read(&c, u->offer.folder.fd, s->file[i].path);
	session_confine(&u->s, &c);
}

/* Writes the title: "Upload model.gguf with hub", or the one that the user
 * gave. */
static void
put_upload_summary(const struct upload *u, struct buf *b)
{
	if (u->o->commit_message && *u->o->commit_message)
		buf_puts(b, u->o->commit_message);
	else if (u->offer.single)
		buf_printf(b, "Upload %s with hub", u->offer.file[0].path);
	else
		buf_puts(b, "Upload folder with hub");
}

static struct xetup *
open_xet(const struct upload *u)
{
	struct xetup *x =
	    xetup_open(&u->s.repo, u->d.new_pr ? NULL : u->d.branch,
		u->d.packing > 0, u->c->verbose ? u->s.progress : NULL);
	struct journal_pieces chunks;

	journal_chunks(u->journal, &chunks);
	xetup_remember(x, &chunks);
	journal_pieces_close(&chunks);
	return x;
}

static int
send_all(struct upload *u, struct err *e)
{
	struct delivery *d = &u->d;
	struct buf summary = buf_make(UPLOAD_SUMMARY_MAX);
	int rv;

	put_upload_summary(u, &summary);
	d->repo = &u->s.repo;
	d->branch = u->s.revision;
	d->offer = &u->offer;
	d->gone = u->gone;
	d->gone_n = u->gone_n;
	d->summary = buf_cstr(&summary);
	d->description =
	    u->o->commit_description ? u->o->commit_description : "";
	d->new_pr = u->o->create_pr;
	d->jobs = session_jobs(&u->s, JOBS_DISK, !u->c->no_xet);
	d->packing = jobs_packing(&u->c->machine, d->jobs, XETUP_PACKING);
	d->retries = u->c->retries;
	d->journal = u->journal;
	d->progress = u->s.progress;
	if (!u->c->no_xet)
		d->xet = open_xet(u);
	rv = summary.full
		 ? err_set(e, ERR_USAGE, "the commit message is too long")
		 : deliver(d, e);
	buf_release(&summary);
	return rv;
}

/* Explains the error of the whole run to the user. */
static void
explain(const struct upload *u, struct err *e)
{
	size_t done = 0;

	for (size_t i = 0; i < u->offer.n; i++)
		done += u->offer.file[i].fate == OFFER_COMMITTED ||
			u->offer.file[i].fate == OFFER_SAME;
	if (e->kind == ERR_STOPPED)
		err_set(e, ERR_STOPPED,
		    "stopped: %zu of %zu files; complete parts are kept", done,
		    u->offer.n);
	else
		err_in(e, "cannot upload to '%s'", u->s.id.id);
	/* The same command would open another pull request. */
	if (u->d.pr)
		err_hint(e,
		    "run again with --revision refs/pr/%" PRIu64
		    " instead of --create-pr to continue",
		    u->d.pr);
	else if (e->kind == ERR_STOPPED)
		err_hint(e, "run the same command again to continue");
}

static int
run(struct upload *u, struct output *out, struct err *e)
{
	bool through;
	int rv;

	if (open_offer(u, e) < 0) {
		if (e->kind == ERR_STOPPED)
			err_set(e, ERR_STOPPED, "stopped");
		return -1;
	}
	open_journal(u);
	confine(u);
	rv = plan(u, e);
	if (rv == 0 && !u->o->dry_run)
		rv = send_all(u, e);
	if (rv < 0)
		explain(u, e);
	/* If nothing had to be done, the URL is that of the head. */
	if (!u->d.url && *u->d.head)
		u->d.url = repo_commit_url(&u->s.repo, u->d.head);
	through = rv == 0;
	if (!u->o->dry_run && (u->d.commits || through))
		say_end(u);
	if (through)
		rv = sum_up(u, e);
	if (u->o->json)
		put_json(u, out);
	else if (through && u->o->dry_run)
		put_dry_run(u, out);
	else if (u->d.commits || rv == 0)
		buf_printf(&out->text, "%s\n", u->d.url);
	return rv;
}

/* Fails without a token. Called after the notes, which may explain why there is
 * none. */
static int
check_token(const struct config *c, struct err *e)
{
	if (c->token)
		return 0;
	err_set(e, ERR_AUTH,
	    "uploading needs a token, and none was found in %s",
	    token_places(TOKEN_WRITE));
	return err_hint(e, "set HF_TOKEN to a token with the right to write");
}

static int
check_options(const struct options *o, struct err *e)
{
	if (o->create_pr && o->revision && strcmp(o->revision, "main") != 0)
		return err_set(e, ERR_USAGE,
		    "--create-pr needs the main branch, but --revision names "
		    "another one");
	if (o->create_pr && o->commit_message && *o->commit_message &&
	    strlen(o->commit_message) < 3)
		return err_set(e, ERR_USAGE,
		    "-m: the title of a pull request must have at least 3 "
		    "characters");
	if (o->revision && str_is_hex(str_of(o->revision), 40))
		return err_set(e, ERR_USAGE,
		    "--revision: an upload goes to a branch, not to a commit");
	return 0;
}

/* Notes options that only a download needs: people give them to an upload,
 * too. */
static void
note_unneeded(const struct upload *u)
{
	if (u->o->resume)
		progress_note(u->s.progress,
		    "-d is not needed: an upload always continues");
	if (u->o->file)
		progress_note(u->s.progress,
		    "-f is not needed: hub sees whether the path is a file");
}

int
upload(const struct options *o, const struct config *c, struct output *out,
    struct err *e)
{
	struct upload u = {
	    .o = o,
	    .c = c,
	    .offer.folder.fd = -1,
	    .started = wait_now(),
	};
	int rv;

	if (check_options(o, e) < 0 || session_open(&u.s, o, c, e) < 0)
		return -1;
	note_unneeded(&u);
	rv = check_token(c, e);
	if (rv == 0)
		rv = run(&u, out, e);
	if (rv < 0 && e->kind == ERR_NET && !*e->hint)
		err_hint(e, "check the network and run again");
	for (size_t i = 0; i < u.gone_n; i++)
		free(u.gone[i]);
	free(u.gone);
	free(u.prefix);
	free(u.d.url);
	free(u.d.revision);
	xetup_close(u.d.xet);
	journal_close(u.journal);
	offer_release(&u.offer);
	session_close(&u.s);
	return rv;
}
