#include "lease.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "mem.h"
#include "scratch.h"
#include "test.h"
#include "wait.h"

struct place {
	char root[SCRATCH_PATH];
	struct folder f;
	struct state s; /* of nothing in particular */
	unsigned char text[512];
	size_t n;
	unsigned stale, old; /* ms: when it is, and a sleep after which it is */
};

static void
place_init(struct place *p)
{
	struct digest want = {.kind = HASH_SHA256};
	struct err e;

	/* A time may seem so much later or earlier than it is. */
	p->stale = 150 + scratch_tick();
	p->old = p->stale + scratch_tick() + 20;
	scratch_make(p->root);
	CHECK(folder_open(&p->f, p->root, false, &e) == 0);
	state_init(&p->s, &want, 9 * STATE_BLOCK);
	p->n = state_length(p->s.size);
}

static void
place_release(struct place *p)
{
	state_release(&p->s);
	folder_close(&p->f);
	scratch_remove(p->root);
}

static struct lease
lease_of(struct place *p, bool network, unsigned char boot, uint32_t pid)
{
	struct owner self = {.pids = 5, .pid = pid};
	struct lease l;

	memset(self.boot, boot, 16);
	lease_init(&l, &p->f, "a/x", network, &self);
	l.beat = 10;
	l.stale = p->stale;
	return l;
}

/* Puts a state in place that names l as the owner. */
static int
put(struct place *p, struct lease *l)
{
	struct err e;
	char *name;
	int fd;

	p->s.owner = l->self;
	state_format(&p->s, p->text);
	fd = lease_draft(l, p->text, p->n, false, &name, &e);
	return fd < 0 ? -1 : lease_swap(l, fd, name, &e);
}

static int
take(struct lease *l, size_t want)
{
	struct buf old = buf_make(400);
	struct err e;
	int rv = lease_take(l, &old, &e);

	CHECK(rv != 0 || old.len == want);
	CHECK(rv == 0 || l->fd == -1);
	buf_release(&old);
	return rv;
}

static void
test_turns(void)
{
	for (int network = 0; network < 2; network++) {
		struct place p;
		struct lease a, b;
		struct err e;

		place_init(&p);
		a = lease_of(&p, network, 1, (uint32_t)getpid());
		b = lease_of(&p, network, 1, (uint32_t)getpid());
		CHECK(a.self.nonce && a.self.nonce != b.self.nonce);
		CHECK(take(&a, 0) == 0);
		CHECK(put(&p, &a) == 0);
		CHECK(take(&b, 0) == 1);
		CHECK(put(&p, &a) == 0);
		CHECK(take(&b, 0) == 1);
		CHECK(lease_check(&a, &e) == 0);
		lease_drop(&a);
		lease_drop(&a);
		CHECK(take(&b, p.n) == 0);
		CHECK(take(&a, 0) == 1);
		/* Not yet replaced: as it was, for the next one. */
		lease_drop(&b);
		CHECK(take(&a, p.n) == 0);
		lease_release(&a);
		lease_release(&a);
		lease_release(&b);
		place_release(&p);
	}
}

/* Who may follow whom, where only the head and the time tell. */
static void
test_verdicts(void)
{
	static const struct {
		unsigned char boot; /* of the one who comes; the owner has 1 */
		bool dead, old;
		int rv;
	} t[] = {
	    {1, false, false, 1}, /* lives on this machine */
	    {1, true, false, 0},  /* died on this machine */
	    {1, false, true, 0},  /* there, but silent for too long */
	    {1, true, true, 0},
	    {2, false, true, 0}, /* another machine, silent */
	    {2, true, true, 0}, {0, true, true, 0}, /* no boot id */
	};
	pid_t dead = fork();

	if (dead == 0)
		_exit(0);
	CHECK(waitpid(dead, NULL, 0) == dead);
	for (size_t i = 0; i < countof(t); i++) {
		struct place p;
		struct lease a, b;
		struct err e;
		uint64_t start;

		place_init(&p);
		a = lease_of(
		    &p, true, 1, (uint32_t)(t[i].dead ? dead : getpid()));
		b = lease_of(&p, true, t[i].boot, (uint32_t)getpid());
		CHECK_ROW(i, take(&a, 0) == 0 && put(&p, &a) == 0);
		if (t[i].old)
			wait_until(wait_now() + p.old, &e);
		start = wait_now();
		CHECK_ROW(i, take(&b, p.n) == t[i].rv);
		CHECK_ROW(i, wait_now() - start < p.stale - 10);
		if (t[i].rv == 0 && t[i].old)
			CHECK_ROW(i, lease_check(&a, &e) < 0 && e.hint[0]);
		lease_release(&a);
		lease_release(&b);
		place_release(&p);
	}
}

/* An empty or broken head says nothing: time decides. */
static void
test_broken(void)
{
	for (size_t n = 0; n <= STATE_HEAD; n += STATE_HEAD / 2) {
		struct place p;
		struct lease b;
		struct err e;
		char text[STATE_HEAD] = "";
		uint64_t start;

		place_init(&p);
		CHECK(folder_write(&p.f, "a/x.state", str_make(text, n), false,
			  &e) == 0);
		b = lease_of(&p, true, 1, (uint32_t)getpid());
		start = wait_now();
		CHECK_ROW(n, take(&b, n) == 0);
		CHECK_ROW(n, wait_now() - start > 100);
		lease_release(&b);
		place_release(&p);
	}
}

/* A text that is longer than it can be is not read. */
static void
test_long(void)
{
	struct place p;
	struct lease a;
	struct err e;
	char text[401] = "";

	place_init(&p);
	CHECK(folder_write(&p.f, "a/x.state", str_make(text, sizeof(text)),
		  false, &e) == 0);
	a = lease_of(&p, false, 1, 1);
	CHECK(take(&a, 0) == 0);
	lease_release(&a);
	place_release(&p);
}

struct rival {
	struct place *p;
	bool network;
	int wins;
};

static void *
try_often(void *ctx)
{
	struct rival *r = ctx;
	struct err e;

	for (int i = 0; i < 400; i++) {
		struct buf old = buf_make(400);
		struct lease b =
		    lease_of(r->p, r->network, 1, (uint32_t)getpid());

		b.stale = 60000;
		r->wins += lease_take(&b, &old, &e) != 1;
		lease_release(&b);
		buf_release(&old);
	}
	return NULL;
}

/* Nobody gets in while the file is replaced. */
static void
test_no_gap(void)
{
	for (int network = 0; network < 2; network++) {
		struct place p;
		struct lease a;
		struct rival r = {&p, network, 0};
		pthread_t thread;

		place_init(&p);
		a = lease_of(&p, network, 1, (uint32_t)getpid());
		CHECK(take(&a, 0) == 0 && put(&p, &a) == 0);
		CHECK(pthread_create(&thread, NULL, try_often, &r) == 0);
		for (int i = 0; i < 1500; i++)
			CHECK(put(&p, &a) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
		CHECK(r.wins == 0);
		lease_release(&a);
		place_release(&p);
	}
}

/* Of many who find a dead owner one follows it, and the text is not lost. */
static void
test_heirs(void)
{
	for (int round = 0; round < 15; round++) {
		struct place p;
		struct lease a;
		int status, wins = 0;
		pid_t pid[6];

		place_init(&p);
		a = lease_of(&p, true, 1, (uint32_t)getpid());
		CHECK(take(&a, 0) == 0 && put(&p, &a) == 0);
		lease_drop(&a);
		lease_release(&a);
		for (size_t i = 0; i < countof(pid); i++) {
			pid[i] = fork();
			if (pid[i] == 0) {
				a = lease_of(&p, true, 1, (uint32_t)getppid());
				a.stale = 60000;
				test_failed = 0;
				status = take(&a, p.n) == 0;
				_exit(test_failed ? 100 : status);
			}
		}
		for (size_t i = 0; i < countof(pid); i++) {
			CHECK(waitpid(pid[i], &status, 0) == pid[i]);
			wins += WEXITSTATUS(status);
		}
		CHECK_ROW(round, wins == 1);
		place_release(&p);
	}
}

/* One who died while taking over does not stand in the way for ever. */
static void
test_claim(void)
{
	struct place p;
	struct lease a, b;
	struct err e;

	place_init(&p);
	a = lease_of(&p, true, 1, (uint32_t)getpid());
	b = lease_of(&p, true, 1, (uint32_t)getpid());
	CHECK(take(&a, 0) == 0 && put(&p, &a) == 0);
	lease_drop(&a);
	CHECK(folder_write(&p.f, "a/x.claim", str_of(""), false, &e) == 0);
	CHECK(take(&b, 0) == 1);
	CHECK(take(&b, 0) == 1);
	wait_until(wait_now() + p.old, &e);
	CHECK(take(&b, 0) == 1);
	CHECK(take(&b, p.n) == 0);
	lease_release(&a);
	lease_release(&b);
	place_release(&p);
}

static void
test_clock(void)
{
	struct place p;
	struct err e;
	int64_t a, b;

	place_init(&p);
	CHECK(lease_clock(&p.f, "t", &a, &e) == 0);
	wait_until(wait_now() + 20 + scratch_tick(), &e);
	CHECK(lease_clock(&p.f, "t", &b, &e) == 0);
	CHECK(b - a >= 10 && b - a < 5000);
	CHECK(rmdir(p.root) == 0);
	CHECK(lease_clock(&p.f, "t", &b, &e) < 0 && e.kind == ERR_FILE);
	place_release(&p);
}

int
main(void)
{
	test_turns();
	test_verdicts();
	test_broken();
	test_long();
	test_no_gap();
	test_heirs();
	test_claim();
	test_clock();
	return test_end();
}
