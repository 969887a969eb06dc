#include "lfs.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "batch.h"
#include "client.h"
#include "err.h"
#include "file.h"
#include "journal.h"
#include "progress.h"
#include "queue.h"
#include "repo.h"
#include "str.h"
#include "wait.h"
#include "xetup.h"

/* --- Contents, each once. --- */

struct name {
	const struct digest *digest;
	size_t i;
};

static int
compare(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int c = memcmp(x->digest->b, y->digest->b, sizeof(x->digest->b));

	return c ? c : (x->i > y->i) - (x->i < y->i);
}

/* Finds the objects with the same content. */
static void
lfs_copies_init(struct lfs_copies *c, const struct lfs_object *object, size_t n)
{
	struct name *name = xcalloc(n, sizeof(name[0]));

	*c = (struct lfs_copies){
	    .next = xcalloc(n, sizeof(c->next[0])),
	    .later = xcalloc(n, sizeof(c->later[0])),
	};
	for (size_t i = 0; i < n; i++)
		name[i] = (struct name){&object[i].digest, i};
	qsort(name, n, sizeof(name[0]), compare);
	for (size_t i = 0; i < n; i++) {
		bool last = i + 1 == n ||
			    !digest_same(name[i].digest, name[i + 1].digest);

		c->next[name[i].i] = last ? LFS_NONE : name[i + 1].i;
		if (!last)
			c->later[name[i + 1].i] = true;
	}
	for (size_t i = 0; i < n; i++)
		if (!c->later[i]) {
			c->contents++;
			c->bytes += object[i].size;
		}
	free(name);
}

static void
lfs_copies_release(struct lfs_copies *c)
{
	free(c->next);
	free(c->later);
	*c = (struct lfs_copies){.next = NULL};
}

/* --- One request. --- */

/* 256 objects of 100 bytes, and a revision. */
#define QUESTION_MAX ((size_t)64 << 10)

/* An address of 1.5 kB for each of MULTIPART_PARTS_MAX parts, and more. */
#define BATCH_MAX ((size_t)32 << 20)

/* Errors of the storage and of the Hub. */
#define TEXT_MAX ((size_t)64 << 10)

/* A completion has less than 100 bytes for each part. */
#define COMPLETION_MAX ((size_t)8 << 20)

/* An entity tag is a hash and a few characters. */
#define ETAG_MAX 256

static struct response *
post(const struct repo *r, const char *url, const struct buf *body,
    bool no_token, struct buf *text, struct err *e)
{
	struct request q = {.method = "POST",
	    .url = url,
	    .no_token = no_token,
	    .accept = LFS_TYPE,
	    .content_type = LFS_TYPE,
	    .body = buf_cstr(body),
	    .length = body->len};

	return client_call(r->client, &q, text, e);
}

/* Asks what is to be done with objects, with the retry rule. */
static int
lfs_call_batch(const struct repo *r, const char *revision, bool xet,
    struct lfs_asked *asked, size_t n, struct err *e)
{
	struct answer_about what = repo_about(r, revision, NULL);
	struct buf url = buf_make(URL_MAX), text = buf_make(BATCH_MAX);
	struct buf question = buf_make(QUESTION_MAX);
	struct response *resp;
	int rv = -1;

	buf_printf(&url, "%s/%s%s.git/info/lfs/objects/batch", r->endpoint,
	    repo_type_prefix(r->type), r->id);
	lfs_batch_put(&question, revision, xet, asked, n);
	resp = post(r, buf_cstr(&url), &question, false, &text, e);
	if (resp && response_head(resp)->status >= 300)
		repo_error(r, resp, buf_str(&text), &what, e);
	else if (resp && response_led(resp))
		/* It names the endpoint's addresses, which get the token. */
		err_set(e, ERR_OTHER,
		    "a host other than the endpoint gave the upload addresses");
	else if (resp)
		rv = lfs_batch_parse(buf_str(&text), xet, asked, n, e);
	response_close(resp);
	buf_release(&question);
	if (text.s)
		mem_wipe(text.s, text.len); /* signed addresses */
	buf_release(&text);
	buf_release(&url);
	return rv;
}

/* What the storage answered; the text of an error may be missing. */
static enum lfs_verdict
judge(struct response *resp, char **etag, struct err *e)
{
	const struct http_head *h = response_head(resp);
	struct buf text = buf_make(TEXT_MAX);
	struct str tag;
	struct err ignored;
	enum lfs_verdict v;

	if (response_text(resp, &text, &ignored) < 0)
		buf_clear(&text);
	v = lfs_storage_verdict(h, buf_str(&text), e);
	if (v == LFS_ARRIVED && http_get(h, "etag", &tag) && tag.n &&
	    tag.n <= ETAG_MAX)
		*etag = str_dup(tag);
	buf_release(&text);
	return v;
}

/* After a connection failed, nobody knows whether the request was carried
 * out. */
static enum lfs_verdict
lost(const struct err *e)
{
	return e->kind == ERR_NET ? LFS_AGAIN : LFS_REFUSED;
}

/* Asks the storage to put the parts together, with the retry rule. AGAIN: it
 * may have done so. RENEW: the Hub refuses, perhaps since it is done already
 * and only the answer was lost. */
static enum lfs_verdict
lfs_call_complete(const struct repo *r, const struct multipart *m,
    const struct digest *d, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf body = buf_make(COMPLETION_MAX), text = buf_make(TEXT_MAX);
	enum lfs_verdict v = LFS_ARRIVED;
	struct response *resp;
	unsigned status;

	multipart_put_completion(m, d, &body);
	resp = post(r, m->complete, &body, true, &text, e);
	status = resp ? response_head(resp)->status : 0;
	if (!resp) {
		v = lost(e);
	} else if (status >= 300) {
		repo_error(r, resp, buf_str(&text), &what, e);
		v = http_status_transient(status) ? LFS_AGAIN : LFS_RENEW;
	}
	response_close(resp);
	buf_release(&body);
	buf_release(&text);
	return v;
}

/* Asks the Hub to verify the content, with the retry rule. RENEW: the Hub does
 * not have it. */
static enum lfs_verdict
lfs_call_verify(const struct repo *r, const struct multipart *m,
    const struct digest *d, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf body = buf_make(256), text = buf_make(TEXT_MAX);
	enum lfs_verdict v = LFS_ARRIVED;
	struct response *resp;
	unsigned status;

	lfs_put_object(&body, d, m->size);
	resp = post(r, m->verify, &body, false, &text, e);
	status = resp ? response_head(resp)->status : 0;
	if (!resp) {
		v = LFS_REFUSED;
	} else if (status >= 300) {
		repo_error(r, resp, buf_str(&text), &what, e);
		v = status == 404 ? LFS_RENEW : LFS_REFUSED;
	}
	response_close(resp);
	buf_release(&body);
	buf_release(&text);
	return v;
}

/* --- The run. --- */

struct run {
	const struct lfs *l;
	const struct lfs_object *object;
	struct lfs_copies copies;
	struct mover mover; /* work: of contents, beyond their bytes */
	struct lfs_queue queue;
	pthread_mutex_t telling;
};

static void object_kept(struct run *run, size_t i);
static void object_placed(struct run *run, size_t i, struct multipart *m,
    bool known, struct xetup *xet);
static void object_refused(struct run *run, size_t i, const struct err *why);

/* --- What is missing. --- */

/*
 * Asks the Hub about all objects, in groups, in every run: only the Hub knows
 * what it has. An upload in the journal is continued.
 */

/* Bytes per batch request: addresses expire, and take memory. */
#define GROUP_BYTES ((uint64_t)4 << 30)

static void
rewrite(const struct repo *r, char **url)
{
	if (*url)
		*url = repo_rewrite(r, *url);
}

/* Makes the addresses of an answer ready for use. */
static void
adopt(const struct run *run, struct multipart *m)
{
	rewrite(run->l->repo, &m->complete);
	rewrite(run->l->repo, &m->verify);
	for (size_t i = 0; i < m->count; i++)
		rewrite(run->l->repo, &m->url[i]);
	multipart_find_expiry(m);
	/* With a clock that is ahead every address looks expired. */
	if (multipart_lapses(m, client_time(run->l->repo->client)))
		m->expires = 0;
}

static struct lfs_asked
question(const struct run *run, size_t i)
{
	const struct lfs_object *o = &run->object[i];

	return (struct lfs_asked){.digest = o->digest, .size = o->size, .i = i};
}

/* xet: Xet is offered. */
static int
ask(const struct run *run, bool xet, struct lfs_asked *asked, size_t n,
    struct err *e)
{
	const struct lfs *l = run->l;

	if (lfs_call_batch(l->repo, l->revision, xet, asked, n, e) < 0)
		return -1;
	for (size_t k = 0; k < n; k++)
		adopt(run, &asked[k].m);
	return 0;
}

/* The Hub may give another answer later. */
static bool
may_ask_again(const struct lfs_asked *a)
{
	return a->action == LFS_ERROR && a->why.kind == ERR_NET;
}

/* Replaces a new upload by the one in the journal. False if the journal has
 * none, or one to another place. */
static bool
resume(const struct run *run, const struct lfs_asked *a, struct multipart *m)
{
	struct multipart old;

	if (!m->complete ||
	    !journal_get_multipart(run->l->journal, &a->digest, a->size, &old))
		return false;
	if (!multipart_same_place(&old, m)) {
		multipart_release(&old);
		return false;
	}
	old.verify = m->verify;
	m->verify = NULL;
	multipart_release(m);
	*m = old;
	return true;
}

/* Handles the answers. Returns the number of objects to be asked for once more,
 * which are then the first ones; 0 if last. */
static size_t
take_answers(struct run *run, struct lfs_asked *asked, size_t n, bool last)
{
	size_t again = 0;

	for (size_t k = 0; k < n; k++) {
		struct lfs_asked *a = &asked[k];
		bool known;

		if (a->action == LFS_STORED) {
			object_kept(run, a->i);
		} else if (a->action == LFS_SEND) {
			known = resume(run, a, &a->m);
			object_placed(run, a->i, &a->m, known, NULL);
		} else if (a->action == LFS_XET) {
			object_placed(run, a->i, &a->m, true, run->l->xet);
		} else if (may_ask_again(a) && !last) {
			asked[again++] = *a;
		} else {
			object_refused(run, a->i, &a->why);
		}
	}
	return again;
}

/* Fills a request with the objects from *next on; *next becomes the first one
 * after them. Returns their number. */
static size_t
fill(const struct run *run, struct lfs_asked *asked, size_t *next)
{
	uint64_t bytes = 0;
	size_t n = 0;

	for (; *next < run->queue.n; ++*next) {
		uint64_t size = run->object[*next].size;

		if (run->copies.later[*next])
			continue;
		if (n && (n == LFS_BATCH_MAX || size >= GROUP_BYTES - bytes))
			break;
		asked[n++] = question(run, *next);
		bytes +=
		    size < GROUP_BYTES - bytes ? size : GROUP_BYTES - bytes;
	}
	return n;
}

/* Asks about the next group of objects, from *next on. */
static int
lfs_ask_group(struct run *run, size_t *next, struct err *e)
{
	struct lfs_asked *asked = xcalloc(LFS_BATCH_MAX, sizeof(asked[0]));
	size_t n = fill(run, asked, next);
	struct xetup *xet = run->l->xet;
	int rv = 0;

	for (unsigned failed = 0; n && rv == 0; failed++) {
		if (failed)
			rv = wait_until(wait_retry(failed, 0), e);
		if (rv == 0)
			rv = ask(run, xet && xetup_is_on(xet), asked, n, e);
		if (rv == 0)
			n = take_answers(
			    run, asked, n, failed >= run->l->retries);
	}
	free(asked);
	return rv;
}

/* Asks about object i alone, without Xet: LFS_STORED, or LFS_SEND and *m, which the caller
 * releases. Fails for LFS_ERROR, too. */
static int
lfs_ask_one(const struct run *run, size_t i, enum lfs_action *action,
    struct multipart *m, struct err *e)
{
	struct lfs_asked a = question(run, i);

	*m = (struct multipart){0};
	for (unsigned failed = 0;; failed++) {
		if (failed && wait_until(wait_retry(failed, 0), e) < 0)
			return -1;
		if (ask(run, false, &a, 1, e) < 0)
			return -1;
		if (!may_ask_again(&a) || failed >= run->l->retries)
			break;
	}
	*m = a.m;
	*action = a.action;
	if (a.action == LFS_ERROR)
		*e = a.why;
	return a.action == LFS_ERROR ? -1 : 0;
}

/* --- The threads. --- */

/*
 * lfs: workers that take what the queue gives them. One lock
 * guards the queue and its jobs, but what only one worker can be at: fd while
 * nobody sends, m while it is renewed.
 */

/* Another connection helps only above this many bytes. */
#define WORKER_BYTES ((uint64_t)1 << 20)

/* The cost of a content in bytes, for its round trips. */
#define CONTENT_WORK ((uint64_t)64 << 10)

static const struct digest *
digest_of(const struct run *run, const struct lfs_job *j)
{
	return &run->object[j->i].digest;
}

/* --- What becomes of objects. --- */

/* Reports object i, and those with the same content after it. sent: object i
 * was sent in this run. */
static void
tell_stored(struct run *run, size_t i, bool sent)
{
	const struct lfs *l = run->l;

	pthread_mutex_lock(&run->telling);
	for (; i != LFS_NONE; i = run->copies.next[i], sent = false)
		l->ops->stored(l->ctx, i, sent);
	pthread_mutex_unlock(&run->telling);
}

static void
tell_failed(struct run *run, size_t i, const struct err *why)
{
	const struct lfs *l = run->l;

	pthread_mutex_lock(&run->telling);
	l->ops->failed(l->ctx, i, why);
	pthread_mutex_unlock(&run->telling);
}

/* The Hub has the content already. */
static void
object_kept(struct run *run, size_t i)
{
	const struct lfs_object *o = &run->object[i];
	unsigned shown = progress_start(run->l->progress, o->name, o->size, 0);

	progress_there(run->l->progress, shown, o->size);
	progress_finish(run->l->progress, shown, PROGRESS_KEPT, NULL);
	journal_drop_multipart(run->l->journal, &o->digest);
	journal_drop_xorbs(run->l->journal, &o->digest);
	tell_stored(run, i, false);
	mover_done(&run->mover, CONTENT_WORK);
}

/* lost: without an answer, so the others would probably fail, too. */
static void
object_failed(struct run *run, size_t i, bool lost, const struct err *why)
{
	for (size_t k = i; k != LFS_NONE; k = run->copies.next[k])
		tell_failed(run, k, why);
	if (why->kind == ERR_AUTH) {
		crew_lock(&run->mover.crew);
		crew_end(&run->mover.crew, why);
		crew_unlock(&run->mover.crew);
	}
	mover_failed(&run->mover, why, lost && why->kind == ERR_NET);
}

/* The Hub refuses an object that is not yet on the display. */
static void
object_refused(struct run *run, size_t i, const struct err *why)
{
	const struct lfs_object *o = &run->object[i];
	unsigned shown = progress_start(run->l->progress, o->name, o->size, 0);

	progress_finish(run->l->progress, shown, PROGRESS_FAILED, why->msg);
	object_failed(run, i, false, why);
}

/* The Hub has given the addresses *m, which the job takes; or it wants the
 * object by xet. */
static void
object_placed(struct run *run, size_t i, struct multipart *m, bool known,
    struct xetup *xet)
{
	struct lfs_job *j = lfs_job_make(i, m, known);

	j->xet = xet;
	crew_lock(&run->mover.crew);
	lfs_queue_add(&run->queue, j);
	crew_changed(&run->mover.crew);
	crew_unlock(&run->mover.crew);
}

static void
do_ask(struct run *run)
{
	/* Only one worker at a time is here. */
	size_t asked = run->queue.asked;
	struct err e;
	int rv = lfs_ask_group(run, &asked, &e);

	crew_lock(&run->mover.crew);
	if (rv < 0)
		crew_end(&run->mover.crew, &e);
	run->queue.asked = asked;
	run->queue.asking = false;
	crew_changed(&run->mover.crew);
	crew_unlock(&run->mover.crew);
}

/* --- The beginning and the end of a job. --- */

static struct xetup_file *
begin_xet(struct run *run, struct lfs_job *j)
{
	const struct lfs_object *o = &run->object[j->i];
	struct journal_pieces earlier;

	journal_xorbs(run->l->journal, &o->digest, &earlier);
	return xetup_begin(
	    j->xet, o->size, o->in_doubt ? &o->digest : NULL, &earlier);
}

/* Opens the file. A job whose file cannot be opened is shown, too. */
static void
do_begin(struct run *run, struct lfs_job *j)
{
	const struct lfs_object *o = &run->object[j->i];
	struct err e;
	int fd = run->l->ops->open(run->l->ctx, j->i, &e);
	struct xetup_file *file = NULL;

	j->shown = progress_start(
	    run->l->progress, o->name, o->size, multipart_arrived(&j->m));
	if (j->xet && fd >= 0)
		file = begin_xet(run, j);
	if (fd >= 0 && !j->known)
		journal_put_multipart(run->l->journal, &o->digest, &j->m);
	crew_lock(&run->mover.crew);
	j->known = true;
	j->users--;
	run->queue.waiting--;
	run->queue.begun++;
	j->fd = fd;
	j->file = file;
	if (fd < 0)
		lfs_job_give_up(j, &e);
	crew_changed(&run->mover.crew);
	crew_unlock(&run->mover.crew);
}

static void
job_free(struct lfs_job *j)
{
	if (j->fd >= 0)
		close(j->fd);
	lfs_job_free(j);
}

/* Removes the job from the queue, and frees it. */
static void
job_close(struct run *run, struct lfs_job *j)
{
	crew_lock(&run->mover.crew);
	lfs_queue_remove(&run->queue, j);
	crew_unlock(&run->mover.crew);
	job_free(j);
}

static void
job_stored(struct run *run, struct lfs_job *j)
{
	size_t i = j->i;

	progress_finish(run->l->progress, j->shown, PROGRESS_DONE, NULL);
	job_close(run, j);
	tell_stored(run, i, true);
	mover_done(&run->mover, CONTENT_WORK);
}

/* Another file of the same content is to be read from its beginning. */
static void
restart_xet(struct lfs_job *j)
{
	struct xetup *xet = j->xet;

	lfs_job_leave_xet(j);
	j->xet = xet;
	j->planning = j->doubted = false;
	j->counted = 0;
}

/* Continues with another file of the same content, which may be unchanged.
 * False if there is none, or if the failure was not about the file. */
static bool
try_copy(struct run *run, struct lfs_job *j)
{
	size_t i = j->i;

	if ((j->why.kind != ERR_CONTENT && j->why.kind != ERR_FILE) ||
	    run->copies.next[i] == LFS_NONE)
		return false;
	tell_failed(run, i, &j->why);
	if (j->fd >= 0)
		close(j->fd);
	crew_lock(&run->mover.crew);
	restart_xet(j);
	lfs_queue_again(&run->queue, j, run->copies.next[i]);
	crew_changed(&run->mover.crew);
	crew_unlock(&run->mover.crew);
	return true;
}

static void
job_failed(struct run *run, struct lfs_job *j)
{
	struct err why = j->why;
	bool lost = j->unanswered;
	size_t i = j->i;

	progress_finish(run->l->progress, j->shown, PROGRESS_FAILED, why.msg);
	if (try_copy(run, j))
		return;
	job_close(run, j);
	object_failed(run, i, lost, &why);
}

/* The worker no longer uses the job. */
static void
leave(struct run *run, struct lfs_job *j)
{
	crew_lock(&run->mover.crew);
	j->users--;
	crew_changed(&run->mover.crew);
	crew_unlock(&run->mover.crew);
}

/* Handles an answer that concerns the whole job. */
static void
job_troubled(struct run *run, struct lfs_job *j, enum lfs_verdict v,
    const struct err *why)
{
	crew_lock(&run->mover.crew);
	j->unanswered = false;
	if (v == LFS_RENEW)
		lfs_job_forgotten(j, why);
	else
		lfs_job_give_up(j, why);
	crew_unlock(&run->mover.crew);
}

/* Takes the new addresses *m. The parts that arrived are kept if they belong to
 * the same upload. */
static void
take_renewed(struct run *run, struct lfs_job *j, struct multipart *m)
{
	if (multipart_same_upload(&j->m, m))
		for (size_t i = 0; i < m->count; i++) {
			m->etag[i] = j->m.etag[i];
			j->m.etag[i] = NULL;
		}
	else
		progress_lost(
		    run->l->progress, j->shown, multipart_arrived(&j->m));
	journal_put_multipart(run->l->journal, digest_of(run, j), m);
	crew_lock(&run->mover.crew);
	lfs_job_renew(j, m);
	crew_unlock(&run->mover.crew);
}

/* LFS takes over a job that Xet cannot do. */
static void
leave_xet(struct run *run, struct lfs_job *j)
{
	progress_lost(run->l->progress, j->shown, j->counted);
	crew_lock(&run->mover.crew);
	lfs_job_leave_xet(j);
	crew_unlock(&run->mover.crew);
}

static void
do_renew(struct run *run, struct lfs_job *j)
{
	enum lfs_action action;
	struct multipart m;
	struct err e;

	if (j->xet)
		leave_xet(run, j);
	if (lfs_ask_one(run, j->i, &action, &m, &e) < 0) {
		job_troubled(run, j, LFS_REFUSED, &e);
	} else if (action == LFS_STORED) {
		journal_drop_multipart(run->l->journal, digest_of(run, j));
		job_stored(run, j);
		return;
	} else {
		take_renewed(run, j, &m);
	}
	leave(run, j);
}

/* Asks the Hub whether a completion with a lost answer was carried out. */
static bool
is_stored(struct run *run, const struct lfs_job *j)
{
	enum lfs_action action;
	struct multipart m;
	struct err ignored;
	int rv = lfs_ask_one(run, j->i, &action, &m, &ignored);

	multipart_release(&m);
	return rv == 0 && action == LFS_STORED;
}

/* Completes the upload, all parts of which have arrived. Returns 0 if that was
 * done, or is not needed. */
static int
complete(struct run *run, struct lfs_job *j, struct err *e)
{
	const struct digest *d = digest_of(run, j);
	enum lfs_verdict v;

	if (!j->m.complete || j->complete)
		return 0;
	v = lfs_call_complete(run->l->repo, &j->m, d, e);
	/* The journal keeps the parts: a later run may complete them. */
	if (v == LFS_AGAIN && is_stored(run, j))
		v = LFS_ARRIVED;
	if (v != LFS_ARRIVED) {
		job_troubled(run, j, v, e);
		return -1;
	}
	journal_drop_multipart(run->l->journal, d);
	/* Only this thread uses it, but the fields beside it are shared, and a
	 * compiler may access them together. */
	crew_lock(&run->mover.crew);
	j->complete = true;
	crew_unlock(&run->mover.crew);
	return 0;
}

static int
verify(struct run *run, struct lfs_job *j, struct err *e)
{
	enum lfs_verdict v = LFS_ARRIVED;

	if (j->m.verify)
		v = lfs_call_verify(run->l->repo, &j->m, digest_of(run, j), e);
	if (v != LFS_ARRIVED)
		job_troubled(run, j, v, e);
	return v == LFS_ARRIVED ? 0 : -1;
}

/* Under the lock: parts that fail together count as one failure. unanswered:
 * the line may be dead. */
static void
part_failed(struct run *run, struct lfs_job *j, enum lfs_verdict v,
    uint64_t began, bool unanswered, const struct err *e)
{
	if (e->kind == ERR_STOPPED || e->kind == ERR_AUTH) {
		crew_end(&run->mover.crew, e);
		return;
	}
	if (run->mover.crew.over || j->given_up || j->stale)
		return;
	if (v == LFS_RENEW) {
		lfs_job_forgotten(j, e);
		return;
	}
	if (v == LFS_REFUSED) {
		lfs_job_give_up(j, e);
		return;
	}
	if (began >= j->failed_at) {
		j->failed++;
		j->failed_at = wait_now() + 1;
	}
	j->unanswered = unanswered;
	if (j->failed > run->l->retries)
		lfs_job_give_up(j, e);
	else
		j->not_before = mover_retry(&run->mover, j->failed, e);
}

/* Reads the file once more from its beginning, since some of its chunks are not
 * where they were thought to be. */
static void
again(struct run *run, struct lfs_job *j, bool doubt)
{
	if (doubt) {
		journal_drop_xorbs(run->l->journal, digest_of(run, j));
		journal_drop_chunks(run->l->journal);
	}
	progress_lost(run->l->progress, j->shown, j->counted);
	crew_lock(&run->mover.crew);
	lfs_job_drop_xorbs(j);
	xetup_again(j->file, doubt);
	j->doubted = false;
	j->counted = 0;
	crew_unlock(&run->mover.crew);
}

/* Under the lock: handles a failure of a request to the Xet storage. One that
 * answers, but has nothing of the file after all tries, is left; else a later run
 * goes on. */
static void
xet_failed(struct run *run, struct lfs_job *j, enum fetch_end end,
    uint64_t began, bool unanswered, const struct err *e)
{
	bool hopeless =
	    end == FETCH_ELSEWHERE ||
	    (e->kind == ERR_NET && !unanswered && !j->counted &&
		j->failed >= run->l->retries && began >= j->failed_at);

	if (!hopeless || run->mover.crew.over || j->given_up || j->stale) {
		part_failed(run, j,
		    e->kind == ERR_NET ? LFS_AGAIN : LFS_REFUSED, began,
		    unanswered, e);
		return;
	}
	xetup_give_up(j->xet, run->object[j->i].name, e);
	j->stale = true;
}

static enum fetch_end
register_once(struct run *run, struct lfs_job *j, const struct buf *records,
    struct err *e)
{
	const struct lfs *l = run->l;

	if (!records && l->ops->check(l->ctx, j->i, j->fd, e) < 0)
		return FETCH_FAILED;
	return xetup_register(j->file, digest_of(run, j), records, e);
}

/* Tells the storage of the file, or of the xorbs in records alone, with the retry
 * rule. True if it was the file, and that is stored. */
static bool
put_shard(struct run *run, struct lfs_job *j, const struct buf *records)
{
	const struct lfs *l = run->l;
	uint64_t began = wait_now();
	enum fetch_end end;
	struct err e;

	for (unsigned failed = 1;; failed++) {
		uint64_t until;

		end = register_once(run, j, records, &e);
		if (end != FETCH_FAILED || e.kind != ERR_NET ||
		    failed > l->retries)
			break;
		until = wait_retry(failed, e.wait);
		progress_wait(l->progress, until, e.msg);
		if (wait_until(until, &e) < 0)
			break;
	}
	if (end == FETCH_OK && records) {
		journal_put_chunks(l->journal, buf_str(records));
		return false;
	}
	if (end == FETCH_OK) {
		xetup_save(j->file, l->journal);
		return true;
	}
	crew_lock(&run->mover.crew);
	if (end == FETCH_ELSEWHERE && xetup_trusts(j->file))
		j->doubted = true;
	else if (end == FETCH_ELSEWHERE)
		xet_failed(run, j, end, began, false, &e);
	else
		lfs_job_give_up(j, &e);
	crew_unlock(&run->mover.crew);
	return false;
}

static void
finish_xet(struct run *run, struct lfs_job *j)
{
	if (j->doubted || xetup_state(j->file) == XETUP_LOST)
		again(run, j, j->doubted);
	else if (put_shard(run, j, NULL)) {
		journal_drop_xorbs(run->l->journal, digest_of(run, j));
		job_stored(run, j);
		return;
	}
	leave(run, j);
}

static void
do_finish(struct run *run, struct lfs_job *j)
{
	struct err e;

	if (j->given_up)
		job_failed(run, j);
	else if (j->xet)
		finish_xet(run, j);
	else if (complete(run, j, &e) == 0 && verify(run, j, &e) == 0)
		job_stored(run, j);
	else
		leave(run, j);
}

/* --- One part. --- */

/* A part on its way from its file to the storage. */
struct sending {
	struct run *run;
	const struct lfs_job *job;
	uint64_t first, length;
	uint64_t shown;  /* bytes of this try that the display has */
	bool unanswered; /* the connection failed */
};

/* Fails if the file has changed since it was hashed. */
static int
check_file(const struct sending *s, struct err *e)
{
	const struct lfs *l = s->run->l;

	return l->ops->check(l->ctx, s->job->i, s->job->fd, e);
}

static bool
is_wanted(const struct sending *s)
{
	struct crew *crew = &s->run->mover.crew;
	bool is;

	crew_lock(crew);
	is = !crew->over && !s->job->given_up && !s->job->stale;
	crew_unlock(crew);
	return is;
}

/* Takes what was shown of this try back from the display. */
static void
unshow(struct sending *s)
{
	if (s->shown)
		progress_lost(s->run->l->progress, s->job->shown, s->shown);
	s->shown = 0;
}

/* A file that has become shorter has changed, whatever read() reports. */
static int
read_file(
    const struct sending *s, uint64_t offset, void *to, size_t n, struct err *e)
{
	const char *name = s->run->object[s->job->i].name;
	struct err changed;

	if (file_pread(s->job->fd, to, n, s->first + offset, name, e) == 0)
		return 0;
	if (check_file(s, &changed) < 0)
		*e = changed;
	return -1;
}

/* The last bytes are sent only if the file has not changed. */
static int
body_read(
    void *ctx, uint64_t offset, void *to, size_t cap, size_t *n, struct err *e)
{
	struct sending *s = ctx;

	if (!offset)
		unshow(s);
	*n = s->length - offset < cap ? (size_t)(s->length - offset) : cap;
	if (!is_wanted(s))
		return err_set(e, ERR_NET, "it is sent no further");
	if (read_file(s, offset, to, *n, e) < 0)
		return -1;
	if (offset + *n == s->length && check_file(s, e) < 0)
		return -1;
	s->shown += *n;
	progress_add(s->run->l->progress, s->job->shown, *n);
	return 0;
}

/* Sends the bytes once. ARRIVED: *etag is the caller's, or NULL if there is
 * none. */
static enum lfs_verdict
put(struct sending *s, const char *url, char **etag, struct err *e)
{
	struct request q = {.method = "PUT",
	    .url = url,
	    .no_token = true,
	    .length = s->length,
	    .body_read = body_read,
	    .ctx = s};
	struct response *resp = client_send(s->run->l->repo->client, &q, e);
	enum lfs_verdict v;

	s->unanswered = !resp;
	if (!resp)
		return lost(e);
	v = judge(resp, etag, e);
	response_close(resp);
	return v;
}

/* Tries once to send part i. ARRIVED: *etag is the caller's, "" if the storage
 * needs none. The upload is not replaced while a worker uses the job. */
static enum lfs_verdict
send_part(struct run *run, const struct lfs_job *j, size_t i, char **etag,
    bool *unanswered, struct err *e)
{
	const struct multipart *m = &j->m;
	struct sending s = {.run = run,
	    .job = j,
	    .first = multipart_first(m, i),
	    .length = multipart_length(m, i)};
	enum lfs_verdict v;

	*etag = NULL;
	v = put(&s, m->url[i], etag, e);
	*unanswered = s.unanswered;
	if (v == LFS_ARRIVED && s.shown < s.length) {
		err_set(e, ERR_NET,
		    "the storage closed the connection before the part was "
		    "complete");
		v = LFS_AGAIN;
	} else if (v == LFS_ARRIVED && !*etag && m->complete) {
		err_set(e, ERR_REFUSED, "the storage gave no ETag for a part");
		v = LFS_REFUSED;
	}
	if (v == LFS_ARRIVED && !*etag)
		*etag = xstrdup("");
	if (v != LFS_ARRIVED) {
		free(*etag);
		unshow(&s);
	}
	return v;
}

/* Under the lock. */
static void
part_arrived(struct run *run, struct lfs_job *j, size_t part, char *etag)
{
	j->m.etag[part] = etag;
	j->failed = 0;
	run->mover.lost = 0;
}

static void
do_part(struct run *run, struct lfs_job *j, size_t i)
{
	uint64_t began = wait_now();
	struct err e;
	char *etag;
	bool unanswered;
	enum lfs_verdict v = send_part(run, j, i, &etag, &unanswered, &e);

	if (v == LFS_ARRIVED)
		journal_put_part(
		    run->l->journal, digest_of(run, j), &j->m, i, etag);
	crew_lock(&run->mover.crew);
	if (v == LFS_ARRIVED)
		part_arrived(run, j, i, etag);
	else
		part_failed(run, j, v, began, unanswered, &e);
	j->busy[i] = false;
	j->users--;
	run->queue.sending--;
	crew_changed(&run->mover.crew);
	crew_unlock(&run->mover.crew);
}

/* --- One xorb. --- */

static void
xorb_begin(void *ctx)
{
	unshow(ctx);
}

static int
xorb_read(void *ctx, void *to, size_t n, uint64_t at, struct err *e)
{
	return read_file(ctx, at, to, n, e);
}

static int
xorb_sent(void *ctx, size_t n, struct err *e)
{
	struct sending *s = ctx;

	if (!is_wanted(s))
		return err_set(e, ERR_NET, "it is sent no further");
	s->shown += n;
	progress_add(s->run->l->progress, s->job->shown, n);
	return 0;
}

static int
xorb_check(void *ctx, struct err *e)
{
	return check_file(ctx, e);
}

/* Under the lock: takes a xorb that is stored out of the list of its job. */
static void
unlist(struct lfs_job *j, const struct xorb *xorb)
{
	struct xorb **p = &j->xorb;

	while (*p != xorb)
		p = &(*p)->next;
	*p = xorb->next;
}

static void
do_xorb(struct run *run, struct lfs_job *j, struct xorb *xorb)
{
	struct sending s = {.run = run, .job = j};
	struct xetup_source source = {
	    xorb_begin, xorb_read, xorb_sent, xorb_check, &s, false};
	struct buf full = buf_make(0), records = buf_make(JOURNAL_XORB_MAX);
	uint64_t began = wait_now();
	bool packed = xetup_is_packed(xorb);
	struct err e, changed;
	enum fetch_end end = xetup_send(j->xet, xorb, &source, &e);

	if (end == FETCH_ELSEWHERE && check_file(&s, &changed) < 0) {
		end = FETCH_FAILED;
		e = changed;
	}
	if (end == FETCH_OK) {
		xetup_put_records(j->xet, xorb, &records);
		journal_put_xorb(
		    run->l->journal, digest_of(run, j), buf_str(&records));
	} else {
		unshow(&s);
	}
	buf_release(&records);
	crew_lock(&run->mover.crew);
	if (end == FETCH_OK) {
		j->counted += xorb->size;
		j->failed = 0;
		run->mover.lost = 0;
		unlist(j, xorb);
		xetup_stored(j->file, xorb, &full);
	} else {
		xorb->busy = false;
		xet_failed(run, j, end, began, !source.answered, &e);
	}
	run->queue.sending--;
	run->queue.packing -= packed;
	crew_unlock(&run->mover.crew);
	if (full.len)
		put_shard(run, j, &full);
	buf_release(&full);
	leave(run, j);
}

/* Workers that may send packed xorbs. */
static unsigned
packers(const struct run *run)
{
	unsigned most = run->queue.packing_max;

	return most < run->l->jobs ? most : run->l->jobs;
}

/* Reads on until a xorb is complete. */
static void
do_plan(struct run *run, struct lfs_job *j)
{
	const struct lfs *l = run->l;
	struct xorb *xorb, **end;
	struct buf full;
	uint64_t kept;
	struct err e, changed;
	int rv = xetup_plan(
	    j->file, j->fd, run->object[j->i].name, &xorb, &kept, &full, &e);

	/* A file that ends early has become shorter. */
	if (rv < 0 && e.kind == ERR_FILE &&
	    l->ops->check(l->ctx, j->i, j->fd, &changed) < 0)
		e = changed;
	progress_there(l->progress, j->shown, kept);
	crew_lock(&run->mover.crew);
	j->counted += kept;
	if (rv < 0 && e.kind == ERR_STOPPED)
		crew_end(&run->mover.crew, &e);
	else if (rv < 0)
		lfs_job_give_up(j, &e);
	for (end = &j->xorb; *end; end = &(*end)->next)
		;
	*end = xorb;
	if (xorb && xetup_is_packed(xorb))
		run->mover.least = packers(run);
	j->planning = false;
	crew_unlock(&run->mover.crew);
	if (full.len)
		put_shard(run, j, &full);
	buf_release(&full);
	leave(run, j);
}

/* --- The threads. --- */

static void
do_work(struct run *run, const struct lfs_work *w)
{
	switch (w->task) {
	case LFS_TASK_ASK:
		do_ask(run);
		break;
	case LFS_TASK_BEGIN:
		do_begin(run, w->job);
		break;
	case LFS_TASK_PART:
		do_part(run, w->job, w->part);
		break;
	case LFS_TASK_XORB:
		do_xorb(run, w->job, w->xorb);
		break;
	case LFS_TASK_PLAN:
		do_plan(run, w->job);
		break;
	case LFS_TASK_RENEW:
		do_renew(run, w->job);
		break;
	case LFS_TASK_FINISH:
		do_finish(run, w->job);
		break;
	}
}

static void *
work(void *arg)
{
	struct run *run = arg;
	struct lfs_work w;

	while (mover_next(&run->mover, &w))
		do_work(run, &w);
	return NULL;
}

static bool
pick(void *ctx, uint64_t now, bool more, void *job)
{
	struct run *run = ctx;

	return more ? lfs_queue_next(&run->queue, now, run->mover.not_before,
			  client_time(run->l->repo->client), job)
		    : lfs_queue_beyond(
			  &run->queue, now, run->mover.not_before, job);
}

/* A part that did not arrive whole is lost, so that a slow line is not shared
 * by many. */
static void
count(void *ctx, uint64_t *work, unsigned *connections)
{
	const struct run *run = ctx;

	*work = client_sent(run->l->repo->client) + run->mover.work;
	*connections = run->queue.sending;
}

/* As many as are allowed and of use. */
static unsigned
workers(const struct run *run)
{
	uint64_t useful =
	    run->copies.contents + run->copies.bytes / WORKER_BYTES;

	return useful < run->l->jobs ? (unsigned)useful : run->l->jobs;
}

static void
run_init(struct run *run, size_t n)
{
	static const struct mover_ops ops = {work, pick, count};
	const struct lfs *l = run->l;

	lfs_copies_init(&run->copies, run->object, n);
	run->queue = (struct lfs_queue){
	    .n = n, .open_max = l->jobs, .packing_max = l->packing};
	run->mover = (struct mover){
	    .ops = &ops,
	    .ctx = run,
	    .progress = l->progress,
	    .ramp = ramp_make_careful(workers(run), wait_now()),
	};
	run->mover.ramp.work = client_sent(l->repo->client);
	crew_init(&run->mover.crew, run->copies.contents, l->jobs);
	pthread_mutex_init(&run->telling, NULL);
}

static void
run_release(struct run *run)
{
	struct lfs_job *j;

	while ((j = run->queue.first)) {
		run->queue.first = j->next;
		job_free(j);
	}
	pthread_mutex_destroy(&run->telling);
	crew_release(&run->mover.crew);
	lfs_copies_release(&run->copies);
}

int
lfs_send(const struct lfs *l, const struct lfs_object *object, size_t n,
    struct err *e)
{
	struct run run = {.l = l, .object = object};
	int rv;

	if (!n)
		return 0;
	run_init(&run, n);
	progress_phase(
	    l->progress, "uploading", run.copies.contents, run.copies.bytes);
	rv = mover_run(&run.mover, e);
	run_release(&run);
	return rv;
}
