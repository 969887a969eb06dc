#include "wait.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "str.h"
#include "tests/unit/test.h"

#define WORKERS 4
#define FAR_MS (600 * 1000)

/* The crew's lock guards all of it. */
struct job {
	struct crew crew;
	unsigned done, ticks;
	bool fail, stop; /* what tick does */
};

static void
job_init(struct job *j, size_t left)
{
	*j = (struct job){.done = 0};
	crew_init(&j->crew, left, WORKERS);
}

static void *
do_all(void *arg)
{
	struct job *j = arg;

	crew_lock(&j->crew);
	while (crew_busy(&j->crew)) {
		j->done++;
		if (!--j->crew.left)
			crew_changed(&j->crew);
		crew_unlock(&j->crew);
		crew_lock(&j->crew);
	}
	crew_unlock(&j->crew);
	return NULL;
}

static void *
only_wait(void *arg)
{
	struct job *j = arg;

	crew_lock(&j->crew);
	while (crew_busy(&j->crew))
		crew_wait(&j->crew, FAR_MS);
	j->done++;
	crew_unlock(&j->crew);
	return NULL;
}

static int
tick(void *ctx, struct err *e)
{
	struct job *j = ctx;

	crew_lock(&j->crew);
	j->ticks++;
	if (j->stop)
		j->crew.left = 0;
	crew_changed(&j->crew);
	crew_unlock(&j->crew);
	return j->fail ? err_set(e, ERR_FILE, "tick") : 0;
}

static void
test_busy(void)
{
	static const struct {
		size_t left;
		bool over, want;
	} rows[] = {
	    {0, false, false},
	    {0, true, false},
	    {1, true, false},
	    {1, false, true},
	    {SIZE_MAX, false, true},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		const struct crew c = {
		    .left = rows[i].left, .over = rows[i].over};

		CHECK_ROW(i, crew_busy(&c) == rows[i].want);
	}
}

static void
test_work(void)
{
	struct job j;
	struct err e = {0};

	job_init(&j, 1000);
	CHECK(crew_start(&j.crew, 0, do_all, &j, &e) < 0); /* none at all */
	CHECK(e.kind == ERR_OTHER);
	CHECK(crew_start(&j.crew, 1, do_all, &j, &e) == 0);
	CHECK(crew_start(&j.crew, WORKERS - 1, do_all, &j, &e) == 0);
	CHECK(j.crew.count == WORKERS);
	CHECK(crew_start(&j.crew, 0, do_all, &j, &e) == 0); /* some are there */
	crew_watch(&j.crew, tick, &j);
	CHECK(crew_join(&j.crew, &e) == 0);
	CHECK(j.done == 1000 && j.crew.left == 0 && !j.crew.over);
	crew_release(&j.crew);
}

static void
test_first_reason(void)
{
	struct job j;
	struct err e = {0}, first, second;

	err_set(&first, ERR_NET, "first");
	err_set(&second, ERR_FILE, "second");
	job_init(&j, 1);
	CHECK(crew_start(&j.crew, WORKERS, only_wait, &j, &e) == 0);
	crew_lock(&j.crew);
	crew_end(&j.crew, &first);
	crew_end(&j.crew, &second);
	crew_unlock(&j.crew);
	crew_watch(&j.crew, tick, &j);
	CHECK(crew_join(&j.crew, &e) < 0);
	CHECK(e.kind == ERR_NET && strcmp(e.msg, "first") == 0);
	CHECK(j.done == WORKERS && j.ticks == 0 && j.crew.left == 1);
	crew_release(&j.crew);
}

static void
test_tick_fails(void)
{
	struct job j;
	struct err e = {0};

	job_init(&j, 1);
	j.fail = true;
	CHECK(crew_start(&j.crew, WORKERS, only_wait, &j, &e) == 0);
	crew_watch(&j.crew, tick, &j);
	CHECK(crew_join(&j.crew, &e) < 0);
	CHECK(e.kind == ERR_FILE && strcmp(e.msg, "tick") == 0);
	CHECK(j.done == WORKERS && j.ticks == 1);
	crew_release(&j.crew);
}

/* A failure after all work is done is ignored. */
static void
test_tick_fails_late(void)
{
	struct job j;
	struct err e = {0};

	job_init(&j, 1);
	j.fail = j.stop = true;
	CHECK(crew_start(&j.crew, 1, only_wait, &j, &e) == 0);
	crew_watch(&j.crew, tick, &j);
	CHECK(crew_join(&j.crew, &e) == 0);
	CHECK(j.done == 1 && j.ticks == 1);
	crew_release(&j.crew);
}

static int
stopped(void)
{
	struct job j;
	struct err e = {0};

	signal(SIGTERM, SIG_DFL);
	wait_signals();
	job_init(&j, 1);
	if (crew_start(&j.crew, WORKERS, only_wait, &j, &e) < 0)
		return 1;
	raise(SIGTERM);
	crew_watch(&j.crew, tick, &j);
	if (crew_join(&j.crew, &e) == 0 || e.kind != ERR_STOPPED)
		return 2;
	return j.done == WORKERS && !j.ticks ? 0 : 3;
}

/* In a child, since a stop cannot be undone. */
static void
test_signal(void)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(stopped());
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int
main(void)
{
	test_busy();
	test_work();
	test_first_reason();
	test_tick_fails();
	test_tick_fails_late();
	test_signal();
	return test_end();
}
