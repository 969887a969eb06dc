#include "wait.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

/* Here CLOCK_REALTIME is an hour ahead of the clock by which the system waits,
 * as if somebody set the clock back after each reading. */
static int
clock_ahead(clockid_t id, struct timespec *t)
{
	int rv = clock_gettime(id, t);

	if (id == CLOCK_REALTIME)
		t->tv_sec += 3600;
	return rv;
}

#define clock_gettime clock_ahead
#include "../../wait.c"
#undef clock_gettime

static void
test_backoff(void)
{
	static const struct {
		unsigned failed, asked;
		uint64_t random, want;
	} rows[] = {
	    {0, 0, 500, 500},
	    {0, 0, 501, 0},
	    {1, 0, 0, 0},
	    {1, 0, 500, 500},
	    {1, 0, 501, 0},
	    {2, 0, 1000, 1000},
	    {6, 0, 16000, 16000},
	    {6, 0, 16001, 0},
	    {7, 0, 30000, 30000},
	    {7, 0, 30001, 0},
	    {4000000000u, 0, 30000, 30000},
	    {1, 30, 0, 30000},
	    {1, 30, 1000, 31000},
	    {1, 30, 1001, 30000},
	    {9, 20, 30000, 30000}, /* the own random wait is longer */
	    {1, 4294967295u, 0, UINT64_C(4294967295000)},
	};
	uint64_t now = wait_now();

	for (size_t i = 0; i < countof(rows); i++)
		CHECK_ROW(i, backoff(rows[i].failed, rows[i].asked,
				 rows[i].random) == rows[i].want);
	CHECK(wait_retry(1, 60) >= now + 60000);
}

static void
test_fd(void)
{
	struct err e = {0};
	uint64_t start;
	int p[2];

	CHECK(pipe(p) == 0);
	start = wait_now();
	CHECK(wait_fd(p[0], POLLIN, start + 20, &e) < 0);
	CHECK(e.kind == ERR_NET && !strcmp(e.msg, "timed out"));
	CHECK(wait_now() - start >= 20 && wait_now() - start < 5000);
	CHECK(wait_fd(p[0], POLLIN, 0, &e) < 0);
	CHECK(wait_fd(p[1], POLLOUT, 0, &e) ==
	      0); /* ready, though the deadline is over */
	CHECK(wait_fd(p[1], POLLOUT, WAIT_FOREVER, &e) == 0);
	CHECK(write(p[1], "x", 1) == 1);
	CHECK(wait_fd(p[0], POLLIN, WAIT_FOREVER, &e) == 0);
	close(p[1]);
	CHECK(wait_fd(p[0], POLLIN, 0, &e) ==
	      0); /* the end of the pipe counts as readable */
	close(p[0]);
	CHECK(wait_fd(p[0], POLLIN, WAIT_FOREVER, &e) < 0);
	CHECK(e.kind == ERR_OTHER);
}

static void
test_until(void)
{
	struct err e = {0};
	uint64_t start = wait_now();

	CHECK(wait_until(0, &e) == 0);
	CHECK(wait_until(start + 30, &e) == 0);
	CHECK(wait_now() >= start + 30);
	CHECK(e.kind == ERR_NONE);
}

static void
test_random(void)
{
	unsigned char a[64] = {0}, b[64] = {0};
	struct err e = {0};

	CHECK(wait_random() != wait_random());
	CHECK(wait_entropy(a, sizeof(a), wait_now() + 5000, &e) == 0);
	CHECK(wait_entropy(b, sizeof(b), wait_now() + 5000, &e) == 0);
	CHECK(memcmp(a, b, sizeof(a)) != 0);
	b[1] = 7;
	CHECK(wait_entropy(b, 1, wait_now() + 5000, &e) == 0 && b[1] == 7);
	CHECK(wait_entropy(b, 0, 0, &e) == 0);
}

/* Runs f in a child, since a stop cannot be undone; returns how the child
 * ended. */
static int
in_child(int (*f)(void))
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(f());
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
stop_once(void)
{
	struct err e = {0};

	wait_signals();
	if (wait_check(&e) < 0 || wait_stop())
		return 1;
	raise(SIGTERM);
	if (wait_stop() != SIGTERM || wait_check(&e) == 0)
		return 2;
	if (e.kind != ERR_STOPPED || wait_until(WAIT_FOREVER, &e) == 0)
		return 3;
	e = (struct err){0};
	if (wait_fd(0, 0, WAIT_FOREVER, &e) == 0 || e.kind != ERR_STOPPED)
		return 4;
	return 0;
}

static int
stop_twice(void)
{
	wait_signals();
	raise(SIGINT);
	raise(SIGHUP);
	return 0;
}

static int
ignored_stays_ignored(void)
{
	signal(SIGHUP, SIG_IGN);
	wait_signals();
	raise(SIGHUP);
	raise(SIGHUP);
	return wait_stop();
}

static int
pipe_and_status(void)
{
	wait_signals();
	raise(SIGPIPE);
	if (wait_stop() || wait_status_asked())
		return 1;
	raise(SIGUSR1);
	raise(SIGUSR1);
	return wait_status_asked() && !wait_status_asked() ? 0 : 2;
}

static int
no_reader(void)
{
	struct err e = {0};

	wait_signals();
	raise(SIGXFSZ);
	if (wait_stop() || wait_no_reader(&e) == 0 || e.kind != ERR_STOPPED ||
	    wait_stop() != SIGPIPE)
		return 1;
	return wait_check(&e) < 0 ? 0 : 2;
}

/* The first reason to stop counts. */
static int
stopped_without_reader(void)
{
	struct err e = {0};

	wait_signals();
	raise(SIGINT);
	return wait_no_reader(&e) < 0 && wait_stop() == SIGINT ? 0 : 1;
}

static void *
wait_on_pipe(void *arg)
{
	struct err e = {0};
	int r = wait_fd(*(int *)arg, POLLIN, WAIT_FOREVER, &e);

	return r < 0 && e.kind == ERR_STOPPED ? arg : NULL;
}

/* This thread gets the signal; the waiting one must notice it, too. */
static int
other_thread(void)
{
	void *said = NULL;
	pthread_t t;
	int p[2];

	wait_signals();
	if (pipe(p) < 0 || pthread_create(&t, NULL, wait_on_pipe, &p[0]))
		return 1;
	pthread_kill(pthread_self(), SIGINT);
	pthread_join(t, &said);
	return said ? 0 : 2;
}

static void
test_signals(void)
{
	CHECK(in_child(stop_once) == 0);
	CHECK(in_child(stop_twice) == 128 + SIGHUP);
	CHECK(in_child(ignored_stays_ignored) == 0);
	CHECK(in_child(pipe_and_status) == 0);
	CHECK(in_child(no_reader) == 0);
	CHECK(in_child(stopped_without_reader) == 0);
	CHECK(in_child(other_thread) == 0);
}

/* A thread that waits, perhaps until its flag is set. */
struct waiter {
	const atomic_bool *flag;
	int fd; /* -1: it sleeps */
	uint64_t deadline;
	int rv;
	struct err e;
	pthread_t thread;
};

static void *
wait_for_it(void *arg)
{
	struct waiter *w = arg;

	wait_cancel_by(w->flag);
	w->rv = w->fd < 0 ? wait_until(w->deadline, &w->e)
			  : wait_fd(w->fd, POLLIN, w->deadline, &w->e);
	return NULL;
}

static bool
was_cancelled(const struct waiter *w)
{
	return w->rv < 0 && w->e.kind == ERR_NET &&
	       strcmp(w->e.msg, "timed out") != 0;
}

/* A flag ends the waits of the threads that were given it, and no others. */
static int
cancel_some(void)
{
	atomic_bool flag = false, other = false;
	struct waiter w[5] = {
	    {.flag = &flag, .fd = 0, .deadline = WAIT_FOREVER},
	    {.flag = &flag, .fd = -1, .deadline = WAIT_FOREVER},
	    {.flag = &other, .fd = 0, .deadline = WAIT_FOREVER},
	    {.flag = NULL, .fd = 0, .deadline = WAIT_FOREVER},
	    {.flag = &other, .fd = -1, .deadline = wait_now() + 700},
	};
	struct err e = {0};
	int p[2];

	alarm(30);
	if (pipe(p) < 0)
		return 1;
	for (size_t i = 0; i < countof(w); i++) {
		w[i].fd = w[i].fd < 0 ? -1 : p[0];
		if (pthread_create(&w[i].thread, NULL, wait_for_it, &w[i]))
			return 2;
	}
	flag = true;
	pthread_join(w[0].thread, NULL);
	pthread_join(w[1].thread, NULL);
	if (!was_cancelled(&w[0]) || !was_cancelled(&w[1]))
		return 3;
	if (wait_check(&e) < 0 || wait_until(wait_now() + 1, &e) < 0)
		return 4;
	if (write(p[1], "x", 1) != 1)
		return 5;
	for (size_t i = 2; i < countof(w); i++) {
		pthread_join(w[i].thread, NULL);
		if (w[i].rv != 0)
			return 6;
	}
	return 0;
}

/* A flag that is already set; no flag any more; and a stop, which has priority
 * since it is for the whole program. */
static int
cancel_early(void)
{
	atomic_bool flag = true;
	struct err e = {0};
	int p[2];

	alarm(30);
	wait_signals();
	if (pipe(p) < 0)
		return 1;
	wait_cancel_by(&flag);
	if (wait_check(&e) == 0 || e.kind != ERR_NET)
		return 2;
	if (wait_fd(p[1], POLLOUT, 0, &e) == 0 || e.kind != ERR_NET)
		return 3;
	if (wait_until(0, &e) == 0 || e.kind != ERR_NET)
		return 4;
	flag = false;
	if (wait_check(&e) < 0 || wait_until(0, &e) < 0)
		return 5;
	flag = true;
	wait_cancel_by(NULL);
	if (wait_check(&e) < 0 || wait_fd(p[1], POLLOUT, 0, &e) < 0)
		return 6;
	wait_cancel_by(&flag);
	raise(SIGTERM);
	if (wait_check(&e) == 0 || e.kind != ERR_STOPPED)
		return 7;
	return 0;
}

static void
test_cancel(void)
{
	CHECK(in_child(cancel_some) == 0);
	CHECK(in_child(cancel_early) == 0);
}

static void *
change(void *arg)
{
	struct crew *c = arg;

	crew_lock(c);
	c->left = 0;
	crew_changed(c);
	crew_unlock(c);
	return NULL;
}

/* It sleeps until the time is over: neither at once nor an hour late. */
static int
crew_time(void)
{
	struct crew c;
	uint64_t end = wait_now() + 30;
	unsigned n = 0;

	alarm(30);
	crew_init(&c, 1, 1);
	crew_lock(&c);
	for (; wait_now() < end; n++)
		crew_wait(&c, 30);
	crew_wait(&c, 0);
	crew_unlock(&c);
	crew_release(&c);
	return n <= 100 ? 0 : 1;
}

static int
crew_change(void)
{
	struct crew c;
	struct err e;

	alarm(30);
	crew_init(&c, 1, 1);
	crew_lock(&c);
	if (crew_start(&c, 1, change, &c, &e) < 0)
		return 1;
	while (crew_busy(&c))
		crew_wait(&c, 3600 * 1000);
	crew_unlock(&c);
	crew_join(&c, &e);
	crew_release(&c);
	return 0;
}

/* In children, since a fault would hang. */
static void
test_crew(void)
{
	CHECK(in_child(crew_time) == 0);
	CHECK(in_child(crew_change) == 0);
}

int
main(void)
{
	/* Who runs this in the background has them ignored, and that is
	 * inherited; wait_signals() respects it. */
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	test_backoff();
	test_fd();
	test_until();
	test_random();
	test_signals();
	test_cancel();
	test_crew();
	return test_end();
}
