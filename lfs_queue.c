#include "lfs_queue.h"

#include <stdlib.h>

#include "mem.h"

/* Uploads that turn out to be no more so often are given up. */
#define RENEWALS_MAX 3

struct lfs_job *
lfs_job_make(size_t i, struct multipart *m, bool known)
{
	struct lfs_job *j = xcalloc(1, sizeof(*j));

	j->i = i;
	j->fd = -1;
	j->known = known;
	lfs_job_renew(j, m);
	return j;
}

void
lfs_job_free(struct lfs_job *j)
{
	multipart_release(&j->m);
	free(j->busy);
	free(j);
}

void
lfs_job_give_up(struct lfs_job *j, const struct err *why)
{
	if (j->given_up)
		return;
	j->given_up = true;
	j->why = *why;
}

void
lfs_job_forgotten(struct lfs_job *j, const struct err *why)
{
	if (++j->renewals > RENEWALS_MAX)
		lfs_job_give_up(j, why);
	j->stale = true;
}

void
lfs_job_renew(struct lfs_job *j, struct multipart *m)
{
	multipart_release(&j->m);
	free(j->busy);
	j->m = *m;
	*m = (struct multipart){0};
	j->busy = xcalloc(j->m.count, sizeof(j->busy[0]));
	j->complete = j->stale = false;
}

void
lfs_queue_add(struct lfs_queue *q, struct lfs_job *j)
{
	struct lfs_job **end = &q->first;

	while (*end)
		end = &(*end)->next;
	*end = j;
	q->waiting++;
}

void
lfs_queue_remove(struct lfs_queue *q, struct lfs_job *j)
{
	struct lfs_job **p = &q->first;

	while (*p != j)
		p = &(*p)->next;
	*p = j->next;
	q->begun--;
}

void
lfs_queue_again(struct lfs_queue *q, struct lfs_job *j, size_t i)
{
	j->fd = -1;
	j->i = i;
	j->given_up = false;
	j->users--;
	q->begun--;
	q->waiting++;
}

static bool
pick_whole(struct lfs_queue *q, struct lfs_work *w)
{
	for (struct lfs_job *j = q->first; j; j = j->next) {
		bool begun = j->fd >= 0 || j->given_up;

		if (j->users || !begun)
			continue;
		if (j->given_up || (!j->stale && multipart_is_whole(&j->m)))
			w->task = LFS_TASK_FINISH;
		else if (j->stale)
			w->task = LFS_TASK_RENEW;
		else
			continue;
		w->job = j;
		return true;
	}
	return false;
}

static bool
pick_in_job(struct lfs_job *j, struct lfs_work *w)
{
	for (size_t i = 0; i < j->m.count; i++)
		if (!j->m.etag[i] && !j->busy[i]) {
			*w = (struct lfs_work){LFS_TASK_PART, j, i};
			return true;
		}
	return false;
}

static bool
pick_part(struct lfs_queue *q, uint64_t now, uint64_t clock, struct lfs_work *w)
{
	for (struct lfs_job *j = q->first; j; j = j->next) {
		if (j->fd < 0 || j->given_up || j->stale ||
		    now < j->not_before || now < q->not_before)
			continue;
		if (!pick_in_job(j, w))
			continue;
		if (!multipart_lapses(&j->m, clock))
			return true;
		j->stale = true;
	}
	return false;
}

static bool
pick_begin(struct lfs_queue *q, struct lfs_work *w)
{
	if (q->begun >= q->open_max)
		return false;
	for (struct lfs_job *j = q->first; j; j = j->next)
		if (j->fd < 0 && !j->users && !j->given_up) {
			*w = (struct lfs_work){LFS_TASK_BEGIN, j, 0};
			return true;
		}
	return false;
}

static bool
pick_ask(struct lfs_queue *q, struct lfs_work *w)
{
	if (q->asking || q->waiting || q->asked == q->n)
		return false;
	q->asking = true;
	*w = (struct lfs_work){LFS_TASK_ASK, NULL, 0};
	return true;
}

bool
lfs_queue_next(
    struct lfs_queue *q, uint64_t now, uint64_t clock, struct lfs_work *w)
{
	*w = (struct lfs_work){.job = NULL};
	/* The last again: looking for parts finds those that have lapsed. */
	if (!pick_whole(q, w) && !pick_ask(q, w) &&
	    !pick_part(q, now, clock, w) && !pick_begin(q, w) &&
	    !pick_whole(q, w))
		return false;
	if (!w->job)
		return true;
	w->job->users++;
	if (w->task == LFS_TASK_PART) {
		w->job->busy[w->part] = true;
		q->sending++;
	}
	return true;
}
