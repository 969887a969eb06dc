/*
 * lfs: workers that take what the queue gives them (lfs_queue.h). One lock
 * guards the queue and its jobs, but what only one worker can be at: fd while
 * nobody sends, m while it is renewed.
 */

#include "lfs.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "crew.h"
#include "err.h"
#include "journal.h"
#include "lfs_ask.h"
#include "lfs_call.h"
#include "lfs_part.h"
#include "lfs_queue.h"
#include "progress.h"
#include "ramp.h"
#include "repo.h"
#include "wait.h"

/* A connection more is worth its while from so many bytes on. */
#define WORKER_BYTES ((uint64_t)1 << 20)

/* A content is as much work as so many bytes more: round trips. */
#define CONTENT_WORK ((uint64_t)64 << 10)

/* So many objects given up in a row, without a part between them: the line is
 * dead, and the rest need not be tried. */
#define LOST_MAX 3

struct run {
	const struct lfs *l;
	const struct lfs_object *object;
	struct lfs_copies copies;
	struct lfs_ask ask;
	struct crew crew; /* left: contents that are not settled */
	struct lfs_queue queue;
	struct ramp ramp;
	unsigned numbers; /* of workers */
	uint64_t work;    /* of contents that are settled, beyond their bytes */
	unsigned lost;    /* objects given up in a row for the network */
	pthread_mutex_t telling;
};

static const struct digest *
digest_of(const struct run *run, const struct lfs_job *j)
{
	return &run->object[j->i].digest;
}

/* --- What becomes of objects. --- */

/* All objects of that content, from i on; the first was sent, or not. */
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

static void
settled(struct run *run)
{
	crew_lock(&run->crew);
	run->crew.left--;
	run->work += CONTENT_WORK;
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

/* The Hub has the content already. */
static void
object_kept(void *ctx, size_t i)
{
	struct run *run = ctx;
	const struct lfs_object *o = &run->object[i];
	unsigned shown =
	    progress_start(run->l->progress, o->name, o->size, o->size);

	progress_finish(run->l->progress, shown, PROGRESS_KEPT, NULL);
	if (run->l->journal)
		journal_drop_multipart(run->l->journal, &o->digest);
	tell_stored(run, i, false);
	settled(run);
}

static void
object_failed(struct run *run, size_t i, const struct err *why)
{
	for (size_t k = i; k != LFS_NONE; k = run->copies.next[k])
		tell_failed(run, k, why);
	crew_lock(&run->crew);
	if (why->kind == ERR_STOPPED || why->kind == ERR_AUTH ||
	    (why->kind == ERR_NET && ++run->lost >= LOST_MAX))
		crew_end(&run->crew, why);
	crew_unlock(&run->crew);
	settled(run);
}

/* Without a display line so far. */
static void
object_refused(void *ctx, size_t i, const struct err *why)
{
	struct run *run = ctx;
	const struct lfs_object *o = &run->object[i];
	unsigned shown = progress_start(run->l->progress, o->name, o->size, 0);

	progress_finish(run->l->progress, shown, PROGRESS_FAILED, why->msg);
	object_failed(run, i, why);
}

/* Its bytes are to go there. */
static void
object_placed(void *ctx, size_t i, struct multipart *m, bool known)
{
	struct run *run = ctx;
	struct lfs_job *j = lfs_job_make(i, m, known);

	crew_lock(&run->crew);
	lfs_queue_add(&run->queue, j);
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

static void
do_ask(struct run *run)
{
	/* Only one worker at a time is here. */
	size_t asked = run->queue.asked;
	struct err e;
	int rv = lfs_ask_group(&run->ask, &asked, &e);

	crew_lock(&run->crew);
	if (rv < 0)
		crew_end(&run->crew, &e);
	run->queue.asked = asked;
	run->queue.asking = false;
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

/* --- The beginning and the end of a job. --- */

/* A job that cannot be begun is shown, too. */
static void
do_begin(struct run *run, struct lfs_job *j)
{
	const struct lfs_object *o = &run->object[j->i];
	struct err e;
	int fd = run->l->ops->open(run->l->ctx, j->i, &e);

	j->shown = progress_start(
	    run->l->progress, o->name, o->size, multipart_arrived(&j->m));
	if (fd >= 0 && run->l->journal && j->m.complete && !j->known)
		journal_put_multipart(run->l->journal, &o->digest, &j->m);
	crew_lock(&run->crew);
	j->known = true;
	j->users--;
	run->queue.waiting--;
	run->queue.begun++;
	j->fd = fd;
	if (fd < 0)
		lfs_job_give_up(j, &e);
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

static void
job_free(struct lfs_job *j)
{
	if (j->fd >= 0)
		close(j->fd);
	lfs_job_free(j);
}

/* It leaves the queue. */
static void
job_close(struct run *run, struct lfs_job *j)
{
	crew_lock(&run->crew);
	lfs_queue_remove(&run->queue, j);
	crew_unlock(&run->crew);
	job_free(j);
}

static void
job_stored(struct run *run, struct lfs_job *j)
{
	size_t i = j->i;

	progress_finish(run->l->progress, j->shown, PROGRESS_DONE, NULL);
	job_close(run, j);
	tell_stored(run, i, true);
	settled(run);
}

/* Another file may have the same content, and be as it was. */
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
	crew_lock(&run->crew);
	lfs_queue_again(&run->queue, j, run->copies.next[i]);
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
	return true;
}

static void
job_failed(struct run *run, struct lfs_job *j)
{
	struct err why = j->why;
	size_t i = j->i;

	progress_finish(run->l->progress, j->shown, PROGRESS_FAILED, why.msg);
	if (try_copy(run, j))
		return;
	job_close(run, j);
	object_failed(run, i, &why);
}

/* Done with it for now. */
static void
leave(struct run *run, struct lfs_job *j)
{
	crew_lock(&run->crew);
	j->users--;
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

/* What an answer that concerns the whole job means for it. */
static void
job_troubled(struct run *run, struct lfs_job *j, enum lfs_verdict v,
    const struct err *why)
{
	crew_lock(&run->crew);
	if (v == LFS_RENEW)
		lfs_job_forgotten(j, why);
	else
		lfs_job_give_up(j, why);
	crew_unlock(&run->crew);
}

/* What has arrived counts on if the upload is the same, else for nothing. */
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
	if (run->l->journal && m->complete)
		journal_put_multipart(run->l->journal, digest_of(run, j), m);
	crew_lock(&run->crew);
	lfs_job_renew(j, m);
	crew_unlock(&run->crew);
}

static void
do_renew(struct run *run, struct lfs_job *j)
{
	enum lfs_action action;
	struct multipart m;
	struct err e;

	if (lfs_ask_one(&run->ask, j->i, &action, &m, &e) < 0) {
		job_troubled(run, j, LFS_REFUSED, &e);
	} else if (action == LFS_STORED) {
		if (run->l->journal)
			journal_drop_multipart(
			    run->l->journal, digest_of(run, j));
		job_stored(run, j);
		return;
	} else {
		take_renewed(run, j, &m);
	}
	leave(run, j);
}

/* After a completion that may have gone through. */
static bool
is_stored(struct run *run, const struct lfs_job *j)
{
	enum lfs_action action;
	struct multipart m;
	struct err ignored;
	int rv = lfs_ask_one(&run->ask, j->i, &action, &m, &ignored);

	multipart_release(&m);
	return rv == 0 && action == LFS_STORED;
}

/* All parts are there. Returns 0 if the content is stored. */
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
	if (run->l->journal)
		journal_drop_multipart(run->l->journal, d);
	/* Only this thread reads it, but compilers read what lies beside it in
	 * one go, and that is for all. */
	crew_lock(&run->crew);
	j->complete = true;
	crew_unlock(&run->crew);
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

static void
do_finish(struct run *run, struct lfs_job *j)
{
	struct err e;

	if (j->given_up)
		job_failed(run, j);
	else if (complete(run, j, &e) == 0 && verify(run, j, &e) == 0)
		job_stored(run, j);
	else
		leave(run, j);
}

/* --- One part. --- */

struct sending {
	struct run *run;
	const struct lfs_job *job;
};

static int
check_file(void *ctx, struct err *e)
{
	const struct sending *s = ctx;
	const struct lfs *l = s->run->l;

	return l->ops->check(l->ctx, s->job->i, s->job->fd, e);
}

static bool
wanted(void *ctx)
{
	const struct sending *s = ctx;
	struct crew *crew = &s->run->crew;
	bool is;

	crew_lock(crew);
	is = !crew->over && !s->job->given_up && !s->job->stale;
	crew_unlock(crew);
	return is;
}

/* Under the lock. */
static void
back_off(struct run *run, struct lfs_job *j, const struct err *e)
{
	uint64_t now = wait_now();

	j->not_before =
	    now + wait_backoff(j->failed ? j->failed - 1 : 0, LFS_BACKOFF_BASE,
		      LFS_BACKOFF_CAP, e->wait, wait_random());
	if (!e->wait)
		return;
	run->queue.not_before = j->not_before;
	progress_wait(run->l->progress, j->not_before, e->msg);
}

/* Under the lock: parts that fail together count as one failure. */
static void
part_failed(struct run *run, struct lfs_job *j, enum lfs_verdict v,
    uint64_t began, const struct err *e)
{
	if (e->kind == ERR_STOPPED || e->kind == ERR_AUTH) {
		crew_end(&run->crew, e);
		return;
	}
	if (run->crew.over || j->given_up || j->stale)
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
	if (j->failed > run->l->retries)
		lfs_job_give_up(j, e);
	else
		back_off(run, j, e);
}

/* Under the lock. */
static void
part_arrived(struct run *run, struct lfs_job *j, size_t part, char *etag)
{
	j->m.etag[part] = etag;
	j->failed = 0;
	run->lost = 0;
}

static void
do_part(struct run *run, struct lfs_job *j, size_t i)
{
	struct sending s = {run, j};
	const struct lfs_part part = {
	    .repo = run->l->repo,
	    .object = &run->object[j->i],
	    .fd = j->fd,
	    .m = &j->m, /* not replaced while somebody is at the job */
	    .i = i,
	    .progress = run->l->progress,
	    .shown = j->shown,
	    .wanted = wanted,
	    .check = check_file,
	    .ctx = &s,
	};
	uint64_t began = wait_now();
	struct err e;
	char *etag;
	enum lfs_verdict v = lfs_part_send(&part, &etag, &e);

	if (v == LFS_ARRIVED && run->l->journal && j->m.complete)
		journal_put_part(run->l->journal, digest_of(run, j), i, etag);
	crew_lock(&run->crew);
	if (v == LFS_ARRIVED)
		part_arrived(run, j, i, etag);
	else
		part_failed(run, j, v, began, &e);
	j->busy[i] = false;
	j->users--;
	run->queue.sending--;
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
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
	unsigned number;

	crew_lock(&run->crew);
	number = run->numbers++;
	while (crew_busy(&run->crew)) {
		if (number >= run->ramp.allowed ||
		    !lfs_queue_next(&run->queue, wait_now(),
			client_time(run->l->repo->client), &w)) {
			crew_wait(&run->crew, 200);
			continue;
		}
		crew_unlock(&run->crew);
		do_work(run, &w);
		crew_lock(&run->crew);
	}
	crew_unlock(&run->crew);
	return NULL;
}

/* As many as are allowed and of use. */
static unsigned
workers(const struct run *run)
{
	uint64_t useful =
	    run->copies.contents + run->copies.bytes / WORKER_BYTES;

	return useful < run->l->jobs ? (unsigned)useful : run->l->jobs;
}

/* Under the lock: a part that did not arrive whole is lost, so that a slow line
 * is not shared by many. */
static int
add_workers(struct run *run, struct err *e)
{
	struct ramp *ramp = &run->ramp;
	struct crew *crew = &run->crew;

	ramp_step(
	    ramp, wait_now(), client_sent(run->l->repo->client) + run->work);
	if (crew->count < ramp->allowed &&
	    crew_start(crew, ramp->allowed - crew->count, work, run, e) < 0)
		return -1;
	if (crew->count < ramp->allowed)
		ramp->max = ramp->allowed = crew->count;
	return 0;
}

static int
supervise(void *ctx, struct err *e)
{
	struct run *run = ctx;
	struct progress *progress = run->l->progress;
	unsigned n;
	int rv;

	crew_lock(&run->crew);
	n = run->queue.sending;
	rv = add_workers(run, e);
	crew_unlock(&run->crew);
	progress_connections(progress, n);
	progress_tick(progress, wait_status_asked());
	return rv;
}

static void
run_init(struct run *run, size_t n)
{
	static const struct lfs_ask_ops ops = {
	    object_kept, object_placed, object_refused};
	const struct lfs *l = run->l;

	lfs_copies_init(&run->copies, run->object, n);
	run->ask = (struct lfs_ask){
	    .repo = l->repo,
	    .revision = l->revision,
	    .retries = l->retries,
	    .journal = l->journal,
	    .object = run->object,
	    .n = n,
	    .later = run->copies.later,
	    .ops = &ops,
	    .ctx = run,
	};
	run->queue = (struct lfs_queue){.n = n, .open_max = l->jobs};
	run->ramp = ramp_make_careful(workers(run), wait_now());
	run->ramp.work = client_sent(l->repo->client);
	crew_init(&run->crew, run->copies.contents, l->jobs);
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
	crew_release(&run->crew);
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
	rv = crew_start(&run.crew, run.ramp.allowed, work, &run, e);
	if (rv == 0) {
		crew_watch(&run.crew, supervise, &run);
		rv = crew_join(&run.crew, e);
	}
	run_release(&run);
	return rv;
}
