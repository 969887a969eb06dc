#include "delivery.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "filehash.h"
#include "journal.h"
#include "lfs.h"
#include "mem.h"
#include "offer.h"
#include "progress.h"
#include "repo_write.h"
#include "scan.h"
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

#define SUMMARY_MAX ((size_t)1 << 16)

/* --- Sending and committing a batch. --- */

/* What is sent and committed together. */
struct batch {
	struct delivery *d;
	struct offer_file **item;
	size_t n;
	struct offer_file **lfs; /* those of them that go to the storage */
	size_t lfs_n;
	size_t sent;    /* contents that the storage lacked */
	bool too_large; /* the commit of all of it did not get through */
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

	(void)i;
	b->sent += sent;
}

/* The reason may be that the file is not what its hash says. */
static bool
blames_hash(const struct err *why)
{
	return why->kind == ERR_CONTENT || why->kind == ERR_REFUSED ||
	       why->kind == ERR_OTHER;
}

static void
lfs_failed(void *ctx, size_t i, const struct err *why)
{
	struct batch *b = ctx;
	struct offer_file *f = b->lfs[i];

	if (blames_hash(why))
		journal_forget_hash(b->d->journal, f->local->path, HASH_SHA256);
	offer_fail(f, why, NULL);
}

/* What is to be sent of the batch, to the storage. */
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
	    .retries = d->retries,
	    .progress = d->progress,
	    .journal = d->journal,
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
		};
		b->lfs[b->lfs_n++] = f;
	}
	if (b->lfs_n)
		rv = lfs_send(&l, object, b->lfs_n, e);
	free(object);
	return rv;
}

/* Hashes a file anew that the storage did not take. *again: the hash of an
 * earlier run was wrong, so that the file is to be sent once more. */
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
	f->fate = f->known && digest_same(&f->digest, &f->there) ? OFFER_SAME
								 : OFFER_SEND;
	return 0;
}

/* A hash that was taken in this run needs no doubt. */
static int
send_contents(struct batch *b, struct err *e)
{
	bool again = false;

	if (send_lfs(b, e) < 0)
		return -1;
	for (size_t i = 0; i < b->lfs_n; i++) {
		struct offer_file *f = b->lfs[i];

		if (f->fate == OFFER_FAILED && f->remembered &&
		    blames_hash(f->why) && doubt(b, f, &again, e) < 0)
			return -1;
	}
	return again ? send_lfs(b, e) : 0;
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

/* A file that cannot be sent as it was seen is left out: see commit_at_once. */
static void
fail_regular(void *ctx, void *file, const struct err *why)
{
	struct delivery *d = ctx;

	offer_fail(file, why, d->progress);
}

/* Later commits of a run say which part they are. */
static void
put_summary(const struct delivery *d, struct buf *b)
{
	buf_puts(b, d->summary);
	if (d->commits)
		buf_printf(b, " (part %u)", d->commits + 1);
}

/* A title is the first line of what was sent. */
static bool
is_title(struct str title, struct str summary)
{
	struct str rest;

	str_cut(summary, '\n', &summary, &rest);
	return str_same(str_trim(title), str_trim(summary));
}

/* The content of an operation's file, in the Hub's way. */
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

/* Is the work of a commit's last operation there? Somebody else's commit may
 * have the same title. */
static bool
is_done(const struct delivery *d, const struct commit *c, const char *commit,
    struct err *e)
{
	const struct commit_op *op = &c->op[c->n - 1];
	struct repo_file there;
	struct digest digest;
	bool same;

	if (repo_file(d->repo, commit, op->path, &there, e) < 0)
		return op->kind == COMMIT_DELETE && e->kind == ERR_ABSENT;
	same = op->kind != COMMIT_DELETE && digest_of(c, op, &digest, e) == 0 &&
	       digest_same(&digest, &there.digest);
	free(there.path);
	return same;
}

/* Did a commit whose answer got lost arrive? 1: it did, and head is it. */
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

/* Replaces the reason in e if it fails. */
static int
wait_for_retry(const struct delivery *d, unsigned failed, struct err *e)
{
	uint64_t until = wait_now() + wait_backoff(failed, BACKOFF_BASE,
					  BACKOFF_CAP, e->wait, wait_random());

	progress_wait(d->progress, until, e->msg);
	return wait_until(until, e);
}

/* Sends a commit until it is known to have happened, or not to. One of many
 * files that failed twice while the Hub answers other questions takes it too
 * long, most likely: smaller ones are to be tried. */
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
		/* The second try of one that arrived finds the branch moved. */
		lost = lost || e->kind == ERR_NET;
		if (e->kind != ERR_NET && !(lost && e->kind == ERR_REFUSED))
			return -1;
		if (failed < d->retries && wait_for_retry(d, failed, e) < 0)
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

/* Where the commits go: the branch, or a pull request that is opened now. */
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

/* What was replaced or deleted since it was sent is not committed. */
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
	    /* A pull request that was opened for it has it already. */
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
	/* A file that changed on the way is left out; the others are not to
	 * blame. */
	while (rv < 0 && !b->too_large && to_send(b) < had) {
		had = to_send(b);
		rv = try_commit(b, op, buf_cstr(&summary), e);
	}
	buf_release(&summary);
	free(op);
	return rv;
}

/* Half of what was too much for the Hub, or less. */
static void
step_down(struct delivery *d, size_t n)
{
	while (d->step && scale[d->step] > n / 2)
		d->step--;
	progress_note(d->progress,
	    "a commit of %zu files did not get through; trying %u at once", n,
	    scale[d->step]);
}

/* In one commit, or in several where that is too much for the Hub. */
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

/* Steps along the scale by how long a full batch took. */
static void
adapt(struct delivery *d, size_t n, uint64_t ms)
{
	if (ms > COMMIT_MS && d->step > 0)
		d->step--;
	else if (ms < COMMIT_MS && n >= scale[d->step] &&
		 d->step + 1 < countof(scale))
		d->step++;
}

/* The next items to be committed together, from *i on. */
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

/* A commit that was refused may name a content that the storage has lost: if
 * that lacks any now, it gets them, and the commit is tried once more. */
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

int
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
