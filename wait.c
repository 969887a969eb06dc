#include "wait.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "str.h"

/* --- Time and signals. --- */

/* One thread handles a signal. The others check the flag after each slice of
 * their waits; ms. */
#define SLICE 250

/* Written by a handler and read by all threads: for that sig_atomic_t would be
 * a race (C11, 5.1.2.3); a lock-free atomic is allowed in both. */
static atomic_int stop_signal, status_asked, continued, reload_asked;
static_assert(ATOMIC_INT_LOCK_FREE != 0, "a handler must not lock");

uint64_t
wait_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void
on_stop(int number)
{
	if (atomic_exchange(&stop_signal, number))
		_exit(128 + number);
}

static void
on_status(int number)
{
	(void)number;
	status_asked = 1;
}

static void
on_continue(int number)
{
	(void)number;
	continued = 1;
}

/* Leaves a signal ignored that the parent ignored: nohup does that, and a shell
 * that runs the program in the background. */
static void catch (int number, void (*handler)(int), int flags)
{
	struct sigaction old, act = {0};

	if (sigaction(number, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
		return;
	act.sa_handler = handler;
	act.sa_flags = flags;
	sigemptyset(&act.sa_mask);
	sigaction(number, &act, NULL);
}

void
wait_signals(void)
{
	/* Without SA_RESTART, so that blocking system calls end, too. */
	catch (SIGINT, on_stop, 0);
	catch (SIGTERM, on_stop, 0);
	catch (SIGHUP, on_stop, 0);
	catch (SIGUSR1, on_status, SA_RESTART);
	catch (SIGCONT, on_continue, SA_RESTART);
	catch (SIGPIPE, SIG_IGN, 0);
	catch (SIGXFSZ, SIG_IGN, 0);
}

static void
on_reload(int number)
{
	(void)number;
	reload_asked = 1;
}

void
wait_reload(void)
{
	catch (SIGHUP, on_reload, SA_RESTART);
}

_Bool
wait_reload_asked(void)
{
	return atomic_exchange(&reload_asked, 0) != 0;
}

int
wait_stop(void)
{
	return stop_signal;
}

int
wait_no_reader(struct err *e)
{
	int none = 0;

	atomic_compare_exchange_strong(&stop_signal, &none, SIGPIPE);
	return wait_check(e);
}

/* Per thread, so that it need not be passed through all layers, from the name
 * server's answer to the end of a body. */
static _Thread_local const atomic_bool *cancelled;

void
wait_cancel_by(const atomic_bool *flag)
{
	cancelled = flag;
}

int
wait_check(struct err *e)
{
	if (stop_signal)
		return err_set(e, ERR_STOPPED, "stopped");
	if (cancelled && *cancelled)
		return err_set(e, ERR_NET, "not needed any more");
	return 0;
}

_Bool
wait_status_asked(void)
{
	return atomic_exchange(&status_asked, 0) != 0;
}

_Bool
wait_continued(void)
{
	return atomic_exchange(&continued, 0) != 0;
}

/* The length of the next slice in ms; 0 at the deadline. */
static int
slice(uint64_t deadline)
{
	uint64_t now = wait_now();

	if (now >= deadline)
		return 0;
	return deadline - now < SLICE ? (int)(deadline - now) : SLICE;
}

int
wait_fd(int fd, short events, uint64_t deadline, struct err *e)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int n, ms = slice(deadline);

		if (wait_check(e) < 0)
			return -1;
		n = poll(&p, 1, ms);
		/* The caller's next read or write reports POLLERR and POLLHUP. */
		if (n > 0 && !(p.revents & POLLNVAL))
			return 0;
		if (n > 0)
			errno = EBADF;
		if (n > 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
			return err_sys(e, ERR_OTHER, "cannot wait");
		if (n == 0 && !ms)
			return err_set(e, ERR_NET, "timed out");
	}
}

int
wait_until(uint64_t deadline, struct err *e)
{
	for (;;) {
		int ms = slice(deadline);

		if (wait_check(e) < 0)
			return -1;
		if (!ms)
			return 0;
		poll(NULL, 0, ms);
	}
}

/* Reads the device once, for kernels without getrandom(). Returns the bytes
 * read, or -1. */
static ssize_t
read_device(void *p, size_t n)
{
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -1;
	got = read(fd, p, n);
	if (got == 0) /* a file where the device should be */
		errno = EIO;
	close(fd);
	return got > 0 ? got : -1;
}

static ssize_t
random_some(void *p, size_t n)
{
	ssize_t got = getrandom(p, n, GRND_NONBLOCK);

	return got < 0 && errno == ENOSYS ? read_device(p, n) : got;
}

int
wait_entropy(void *p, size_t n, uint64_t deadline, struct err *e)
{
	unsigned char *to = p;

	while (n) {
		ssize_t got = random_some(to, n);

		if (got > 0) {
			to += got;
			n -= (size_t)got;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(e, ERR_OTHER,
			    "the system provides no random numbers");
		if (wait_now() >= deadline)
			return err_set(
			    e, ERR_NET, "the system has no random numbers yet");
		if (wait_until(wait_now() + 50, e) < 0)
			return -1;
	}
	return 0;
}

uint64_t
wait_random(void)
{
	struct timespec t;
	uint64_t r;

	if (random_some(&r, sizeof(r)) == (ssize_t)sizeof(r))
		return r;
	clock_gettime(CLOCK_MONOTONIC, &t);
	r = (uint64_t)t.tv_nsec << 32 ^ (uint64_t)t.tv_sec << 16 ^
	    (uint64_t)getpid();
	/* The odd number of Fibonacci hashing spreads the low bits upwards. */
	r *= UINT64_C(0x9E3779B97F4A7C15);
	return r ^ r >> 32;
}

#define RETRY_BASE 500
#define RETRY_CAP 30000

/* The wait in ms, given a random number that is uniform over all 64 bits. */
static uint64_t
backoff(unsigned failed, unsigned asked, uint64_t random)
{
	uint64_t limit = RETRY_BASE, own;
	uint64_t theirs = asked ? (uint64_t)asked * 1000 + random % 1001 : 0;

	for (; failed > 1 && limit < RETRY_CAP; failed--)
		limit *= 2;
	own = random % ((limit < RETRY_CAP ? limit : RETRY_CAP) + 1);
	return own > theirs ? own : theirs;
}

uint64_t
wait_retry(unsigned failed, unsigned asked)
{
	return wait_now() + backoff(failed, asked, wait_random());
}

/* --- Workers around one lock. --- */

#define TICK_MS 100

unsigned
crew_cores(size_t things, unsigned max)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	size_t most = n < 1 ? 1 : (size_t)n < max ? (size_t)n : max;

	return (unsigned)(things < most ? things : most);
}

void
crew_init(struct crew *c, size_t left, unsigned max)
{
	pthread_condattr_t attr;

	*c = (struct crew){.left = left, .max = max};
	c->thread = xcalloc(max, sizeof(c->thread[0]));
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void
crew_release(struct crew *c)
{
	assert(!c->count);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c->thread);
	c->thread = NULL;
}

int
crew_start(
    struct crew *c, unsigned n, void *(*work)(void *), void *arg, struct err *e)
{
	assert(n <= c->max - c->count);
	while (
	    n-- && pthread_create(&c->thread[c->count], NULL, work, arg) == 0)
		c->count++;
	return c->count ? 0 : err_set(e, ERR_OTHER, "cannot start a thread");
}

void
crew_lock(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
}

void
crew_unlock(struct crew *c)
{
	pthread_mutex_unlock(&c->lock);
}

bool
crew_busy(const struct crew *c)
{
	return c->left && !c->over;
}

void
crew_changed(struct crew *c)
{
	pthread_cond_broadcast(&c->changed);
}

void
crew_wait(struct crew *c, unsigned ms)
{
	uint64_t until = wait_now() + ms;
	const struct timespec t = {
	    .tv_sec = (time_t)(until / 1000),
	    .tv_nsec = (long)(until % 1000) * 1000000,
	};

	pthread_cond_timedwait(&c->changed, &c->lock, &t);
}

void
crew_end(struct crew *c, const struct err *why)
{
	if (!c->over)
		c->why = *why;
	c->over = true;
	crew_changed(c);
}

void
crew_watch(struct crew *c, int (*tick)(void *ctx, struct err *e), void *ctx)
{
	struct err e;
	int rv = 0;

	crew_lock(c);
	while (rv == 0 && crew_busy(c)) {
		crew_wait(c, TICK_MS);
		crew_unlock(c);
		rv = wait_check(&e);
		if (rv == 0)
			rv = tick(ctx, &e);
		crew_lock(c);
	}
	/* A signal or failure after the last piece of work is ignored. */
	if (rv < 0 && crew_busy(c))
		crew_end(c, &e);
	crew_unlock(c);
}

int
crew_join(struct crew *c, struct err *e)
{
	while (c->count)
		pthread_join(c->thread[--c->count], NULL);
	if (c->over)
		*e = c->why;
	return c->over ? -1 : 0;
}
