/*
 * transfer: the threads, and what they do for each other. What is to be done is
 * in transfer_queue, how it is done in transfer_range and transfer_file.
 */

#include "transfer.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "hasher.h"
#include "partial.h"
#include "progress.h"
#include "transfer_file.h"
#include "transfer_queue.h"
#include "transfer_range.h"
#include "wait.h"

static void
do_job(struct transfer_queue *q, struct transfer_job *j, unsigned char **buffer)
{
	switch (j->task) {
	case TRANSFER_BEGIN:
		transfer_begin(q, j->i);
		break;
	case TRANSFER_RANGE:
		transfer_range(q, j, buffer);
		break;
	case TRANSFER_FINISH:
		transfer_finish(q, j->f);
		break;
	case TRANSFER_SETTLE:
		transfer_settle(q, j->f);
		break;
	}
}

static void *
work(void *arg)
{
	struct transfer_queue *q = arg;
	unsigned char *buffer = hasher_lend(q->hasher);
	unsigned number;
	struct transfer_job j = {.cancelled = false};

	wait_cancel_by(&j.cancelled);
	crew_lock(&q->crew);
	number = q->numbers++;
	while (crew_busy(&q->crew)) {
		if (number >= q->ramp.allowed ||
		    !transfer_pick(q, wait_now(), &j)) {
			crew_wait(&q->crew, 200);
			continue;
		}
		crew_unlock(&q->crew);
		do_job(q, &j, &buffer);
		crew_lock(&q->crew);
	}
	crew_unlock(&q->crew);
	hasher_return(q->hasher, buffer);
	return NULL;
}

/* Under the lock: the active file with the lowest number from i on. */
static struct transfer_file *
next_tended(struct transfer_queue *q, size_t i)
{
	struct transfer_file *best = NULL;

	for (struct transfer_file *f = q->active; f; f = f->next)
		if (f->i >= i && !f->hashed && !f->given_up &&
		    !transfer_small(f) && (!best || f->i < best->i))
			best = f;
	return best;
}

static void
tend_all(struct transfer_queue *q)
{
	struct transfer_file *f;
	struct err e;
	size_t i = 0;

	crew_lock(&q->crew);
	while (!q->crew.over && (f = next_tended(q, i))) {
		int rv;

		i = f->i + 1;
		f->tended = true;
		crew_unlock(&q->crew);
		rv = partial_tend(f->partial, &e);
		crew_lock(&q->crew);
		f->tended = false;
		if (rv < 0)
			crew_end(&q->crew, &e);
	}
	crew_unlock(&q->crew);
}

/* While all workers are at slow connections. */
static void
settle_ripe(struct transfer_queue *q)
{
	struct transfer_job j;
	bool any;

	crew_lock(&q->crew);
	any = transfer_pick_ripe(q, &j);
	crew_unlock(&q->crew);
	if (any)
		transfer_settle(q, j.f);
}

/* Keeps the states of all active files on disk, so that neither the display
 * nor a connection waits for a sync. */
static void *
tend(void *arg)
{
	struct transfer_queue *q = arg;
	bool go_on = true;

	while (go_on) {
		tend_all(q);
		settle_ripe(q);
		crew_lock(&q->crew);
		if (crew_busy(&q->crew))
			crew_wait(&q->crew, 500);
		go_on = crew_busy(&q->crew);
		crew_unlock(&q->crew);
	}
	return NULL;
}

/* Under the lock: as many workers as are allowed and useful. */
static int
add_workers(struct transfer_queue *q, struct err *e)
{
	struct ramp *ramp = &q->ramp;
	struct crew *crew = &q->crew;

	ramp_step(ramp, wait_now(), q->work);
	if (crew->count < ramp->allowed &&
	    crew_start(crew, ramp->allowed - crew->count, work, q, e) < 0)
		return -1;
	if (crew->count < ramp->allowed)
		ramp->max = ramp->allowed = crew->count;
	return 0;
}

static unsigned
connections(const struct transfer_queue *q)
{
	unsigned n = 0;

	for (const struct transfer_file *f = q->active; f; f = f->next)
		n += ranges_held(&f->ranges);
	return n;
}

/* The main thread: display, and number of workers. */
static int
supervise(void *ctx, struct err *e)
{
	struct transfer_queue *q = ctx;
	struct progress *progress = q->t->progress;
	unsigned n;
	int rv;

	crew_lock(&q->crew);
	n = connections(q);
	rv = add_workers(q, e);
	crew_unlock(&q->crew);
	progress_connections(progress, n);
	progress_tick(progress, wait_status_asked());
	return rv;
}

/* --- What the hasher asks and tells. --- */

static uint64_t
written(void *file, uint64_t offset)
{
	struct transfer_file *f = file;
	uint64_t end = offset, last;

	crew_lock(&f->q->crew);
	do {
		last = end;
		end = partial_run_end(f->partial, end);
		end = ranges_written(&f->ranges, end);
	} while (end > last);
	crew_unlock(&f->q->crew);
	return end;
}

/* A block that was read back is not what was written: it is fetched again. A disk
 * that does so again and again is of no use. */
static void
hash_differs(void *file, uint64_t bytes, bool old)
{
	enum { LOST_MAX = 8 };
	struct transfer_file *f = file;
	struct transfer_queue *q = f->q;
	struct err e;

	progress_lost(q->t->progress, f->shown, bytes);
	progress_note(q->t->progress,
	    "%s: a block %s is damaged; fetching it again", f->content.name,
	    old ? "of an earlier run" : "on the disk");
	crew_lock(&q->crew);
	if (!old && ++f->lost > LOST_MAX) {
		err_set(&e, ERR_FILE,
		    "the disk does not give back what was written");
		transfer_give_up(f, &e);
	}
	crew_changed(&q->crew);
	crew_unlock(&q->crew);
}

static void
hash_complete(void *file, const struct digest *found, const struct err *why)
{
	struct transfer_file *f = file;

	crew_lock(&f->q->crew);
	if (found) {
		f->found = *found;
		f->hashed = true;
	} else {
		crew_end(&f->q->crew, why);
	}
	crew_changed(&f->q->crew);
	crew_unlock(&f->q->crew);
}

static unsigned
hasher_threads(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > 4 ? 4 : (unsigned)n;
}

static void
release(struct transfer_queue *q)
{
	struct transfer_file *f;

	while ((f = q->active)) {
		q->active = f->next;
		transfer_file_close(f, false);
	}
	while ((f = q->spare)) {
		q->spare = f->next;
		free(f);
	}
	hasher_close(q->hasher);
	crew_release(&q->crew);
}

/* The threads, from the first to the end of the last. */
static int
run_all(struct transfer_queue *q, struct err *e)
{
	/* Without it only a power cut costs more. */
	pthread_t tender;
	bool has_tender = pthread_create(&tender, NULL, tend, q) == 0;
	int rv;

	crew_lock(&q->crew);
	if (add_workers(q, e) < 0)
		crew_end(&q->crew, e);
	crew_unlock(&q->crew);
	crew_watch(&q->crew, supervise, q);
	rv = crew_join(&q->crew, e);
	if (has_tender)
		pthread_join(tender, NULL);
	/* Also when a signal has stopped it: their bytes are right. */
	transfer_settle(q, transfer_harvest(q));
	return rv;
}

int
transfer_run(const struct transfer *t, struct err *e)
{
	static const struct hasher_ops ops = {
	    written, hash_differs, hash_complete};
	struct hasher *hasher;
	struct transfer_queue q;
	int rv;

	if (!t->count)
		return 0;
	hasher = hasher_open(hasher_threads(), t->jobs, &ops, e);
	if (!hasher)
		return -1;
	transfer_queue_init(&q, t, wait_now());
	q.hasher = hasher;
	rv = run_all(&q, e);
	release(&q);
	return rv;
}
