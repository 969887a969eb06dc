#include <string.h>

#include "progress.h"
#include "queue.h"
#include "str.h"
#include "tests/unit/test.h"

#define JOBS 500
#define WORKERS 8

/* An owner with JOBS contents, each of one job. The lock guards all of it. */
struct owner {
	struct mover mover;
	size_t next;      /* content to be picked */
	unsigned running; /* jobs */
	unsigned most;    /* running at the same time */
	bool above;       /* a job was picked above what ramp allows */
	unsigned workers; /* at the last pick */
	unsigned done, failed;
	/* What becomes of content i. */
	void (*outcome)(struct owner *o, size_t i);
};

static void *
work(void *ctx)
{
	struct owner *o = ctx;
	size_t i;

	while (mover_next(&o->mover, &i)) {
		o->outcome(o, i);
		crew_lock(&o->mover.crew);
		o->running--;
		crew_unlock(&o->mover.crew);
	}
	return NULL;
}

static bool
pick(void *ctx, uint64_t now, bool more, void *job)
{
	struct owner *o = ctx;
	size_t *i = job;

	o->workers = o->mover.crew.count;
	if (!more || o->next == JOBS || now < o->mover.not_before)
		return false;
	*i = o->next++;
	o->above = o->above || o->running >= o->mover.ramp.allowed;
	o->running++;
	if (o->running > o->most)
		o->most = o->running;
	return true;
}

static void
count(void *ctx, uint64_t *moved, unsigned *connections)
{
	const struct owner *o = ctx;

	*moved = o->mover.work;
	*connections = o->running;
}

static void
owner_init(struct owner *o, unsigned allowed,
    void (*outcome)(struct owner *o, size_t i))
{
	static const struct mover_ops ops = {work, pick, count};
	const struct progress_opts quiet = {.quiet = true};

	*o = (struct owner){.outcome = outcome};
	o->mover.ops = &ops;
	o->mover.ctx = o;
	o->mover.progress = progress_open(&quiet);
	o->mover.ramp = (struct ramp){
	    .allowed = allowed, .max = WORKERS, .looked = wait_now()};
	crew_init(&o->mover.crew, JOBS, WORKERS);
}

static void
owner_release(struct owner *o)
{
	crew_release(&o->mover.crew);
	progress_close(o->mover.progress);
}

static void
finish(struct owner *o)
{
	crew_lock(&o->mover.crew);
	o->done++;
	crew_unlock(&o->mover.crew);
	mover_done(&o->mover, 1);
}

static void
fail(struct owner *o, bool lost, enum err_kind kind)
{
	struct err e;

	err_set(&e, kind, "a reason");
	crew_lock(&o->mover.crew);
	o->failed++;
	crew_unlock(&o->mover.crew);
	mover_failed(&o->mover, &e, lost);
}

static void
do_nothing(struct owner *o, size_t i)
{
	(void)i;
	finish(o);
}

/* When all workers have a job, the server refuses: half of them go on, each
 * with a job that takes a while. */
static void
refuse_when_all_work(struct owner *o, size_t i)
{
	(void)i;
	crew_lock(&o->mover.crew);
	while (o->most < WORKERS)
		crew_wait(&o->mover.crew, 1);
	ramp_back(&o->mover.ramp, wait_now());
	crew_wait(&o->mover.crew, 1);
	crew_unlock(&o->mover.crew);
	finish(o);
}

static void
test_as_many_as_allowed(void)
{
	struct owner o;
	struct err e;

	owner_init(&o, 1, do_nothing);
	CHECK(mover_run(&o.mover, &e) == 0);
	CHECK(o.done == JOBS && o.most == 1 && !o.running && !o.above);
	owner_release(&o);
	owner_init(&o, WORKERS, refuse_when_all_work);
	CHECK(mover_run(&o.mover, &e) == 0);
	CHECK(o.done == JOBS && !o.running && !o.above);
	CHECK(o.mover.ramp.allowed < WORKERS && !o.mover.idle);
	owner_release(&o);
}

/* Workers beyond the connections are there, and get no job that needs one. */
static void
test_workers_beyond(void)
{
	struct owner o;
	struct err e;

	owner_init(&o, 1, do_nothing);
	o.mover.ramp.max = 1;
	o.mover.least = 5;
	CHECK(mover_run(&o.mover, &e) == 0);
	CHECK(o.done == JOBS && o.workers == 5 && o.most == 1 && !o.above);
	owner_release(&o);
}

static void
lost(struct owner *o, size_t i)
{
	(void)i;
	fail(o, true, ERR_NET);
}

static void
lost_two_of_three(struct owner *o, size_t i)
{
	fail(o, i % 3 != 2, ERR_NET);
}

static void
lost_but_moving(struct owner *o, size_t i)
{
	(void)i;
	crew_lock(&o->mover.crew);
	o->mover.lost = 0; /* another one received something */
	crew_unlock(&o->mover.crew);
	fail(o, true, ERR_NET);
}

static void
stopped_at_ten(struct owner *o, size_t i)
{
	if (i == 10)
		fail(o, false, ERR_STOPPED);
	else
		finish(o);
}

static void
test_failures(void)
{
	static const struct {
		void (*outcome)(struct owner *o, size_t i);
		enum err_kind ends; /* ERR_NONE: the run goes on to its end */
		unsigned done, failed;
	} rows[] = {
	    {lost, ERR_NET, 0, 3},
	    {lost_two_of_three, ERR_NONE, 0, JOBS},
	    {lost_but_moving, ERR_NONE, 0, JOBS},
	    {stopped_at_ten, ERR_STOPPED, 10, 1},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct owner o;
		struct err e = {.kind = ERR_NONE};

		owner_init(&o, 1, rows[i].outcome);
		CHECK_ROW(
		    i, mover_run(&o.mover, &e) == (rows[i].ends ? -1 : 0));
		CHECK_ROW(i, e.kind == rows[i].ends);
		CHECK_ROW(i, o.done == rows[i].done);
		CHECK_ROW(i, o.failed == rows[i].failed);
		owner_release(&o);
	}
}

static void
test_retry(void)
{
	struct owner o;
	struct err e;
	uint64_t now = wait_now(), until, all;

	owner_init(&o, WORKERS, do_nothing);
	err_set(&e, ERR_NET, "a reason");
	until = mover_retry(&o.mover, 1, &e);
	CHECK(until >= now && !o.mover.not_before);
	CHECK(o.mover.ramp.allowed == WORKERS);
	/* The server asked for a wait: for all, and never less than before. */
	e.wait = 60;
	all = mover_retry(&o.mover, 1, &e);
	CHECK(all >= now + 60000 && o.mover.not_before == all);
	CHECK(o.mover.ramp.allowed == WORKERS / 2);
	e.wait = 1;
	CHECK(mover_retry(&o.mover, 1, &e) < all);
	CHECK(o.mover.not_before == all);
	owner_release(&o);
}

int
main(void)
{
	test_as_many_as_allowed();
	test_workers_beyond();
	test_failures();
	test_retry();
	return test_end();
}
