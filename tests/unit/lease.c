#define _GNU_SOURCE /* flock, CLOCK_BOOTTIME */

#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/strange.h"
#include "tests/unit/test.h"
#include "wait.h"

#define STEM "a/x"
#define SIZE (9 * STATE_BLOCK)

/* ms; where time does not decide: no owner seems silent on a slow machine. */
#define PATIENT 60000

static bool no_locks;
static const char *vanishes; /* file to be removed before the next lock */

/* The test may take locks away, as some file systems have none. */
static int
lock_or_not(int fd, int how)
{
	if (vanishes)
		unlink(vanishes);
	vanishes = NULL;
	if (!no_locks)
		return flock(fd, how);
	errno = ENOLCK;
	return -1;
}

#define flock lock_or_not
#include "../../state.c"
#undef flock

struct place {
	char root[SCRATCH_PATH];
	struct folder f;
	struct maker maker;
	unsigned stale, old; /* ms: the limit, and a sleep that is longer */
};

static void
place_init(struct place *p)
{
	struct err e;

	/* A file's time may differ from the real one by this much. */
	p->stale = 150 + scratch_tick();
	p->old = p->stale + scratch_tick() + 20;
	scratch_make(p->root);
	CHECK(folder_open(&p->f, p->root, false, &e) == 0);
	CHECK(maker_find(&p->maker, &p->f, &e) == 0);
	CHECK(folder_make_parents(&p->f, STEM, &e) == 0);
}

static void
place_release(struct place *p)
{
	folder_close(&p->f);
	scratch_remove(p->root);
}

static struct lease
lease_of(struct place *p, bool network, unsigned char boot, uint32_t pid)
{
	struct owner self = {.pids = 5, .pid = pid};
	struct lease l;

	memset(self.boot, boot, 16);
	lease_init(&l, &p->f, STEM, network, &self, &p->maker);
	l.beat = 10;
	l.stale = p->stale;
	return l;
}

/* The owner that is this process. */
static struct lease
mine(struct place *p, bool network)
{
	return lease_of(p, network, 1, (uint32_t)getpid());
}

/* Writes a state file with that owner, whose checksums are all fill. */
static void
text_of(const struct owner *o, unsigned char fill, unsigned char *text)
{
	struct state s = {.want.kind = HASH_SHA256, .size = SIZE, .owner = *o};

	memset(text, fill, state_length(SIZE));
	state_format_head(&s, text);
}

static void
put(struct lease *l)
{
	unsigned char text[512];
	struct err e;

	text_of(&l->self, 0x5a, text);
	CHECK(file_pwrite(l->fd, text, state_length(SIZE), 0, "it", &e) == 0);
}

/* Whether l holds the file that has the name, and that is empty, or has the
 * checksums of put() and, where the head decides, its own head. */
static bool
holds(const struct lease *l, bool empty)
{
	unsigned char want[512], text[512];
	size_t n = empty ? 0 : state_length(SIZE);
	struct owner o;
	struct stat a, b;
	struct err e;

	text_of(&l->self, 0x5a, want);
	if (l->fd < 0 || fstat(l->fd, &a) < 0 ||
	    folder_stat(l->f, l->path, &b, &e) != 0 || a.st_ino != b.st_ino)
		return false;
	if ((a.st_mode & 0777) != 0600 || (size_t)a.st_size != n)
		return false;
	if (empty)
		return true;
	return file_pread(l->fd, text, n, 0, "it", &e) == 0 &&
	       memcmp(want + STATE_HEAD, text + STATE_HEAD, n - STATE_HEAD) ==
		   0 &&
	       state_owner(text, &o) == 0 &&
	       (!l->network || o.nonce == l->self.nonce);
}

static int
take(struct lease *l)
{
	struct err e;
	int rv = lease_take(l, &e);

	CHECK((rv == 0) == (l->fd >= 0));
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
		p.stale = PATIENT;
		a = mine(&p, network);
		b = mine(&p, network);
		CHECK(a.self.nonce && a.self.nonce != b.self.nonce);
		CHECK(take(&a) == 0 && holds(&a, true));
		put(&a);
		CHECK(take(&b) == 1);
		CHECK(lease_check(&a, &e) == 0);
		lease_beat(&a);
		CHECK(take(&b) == 1 && holds(&a, false));
		lease_drop(&a);
		lease_drop(&a);
		/* Its checksums are all there. */
		CHECK(take(&b) == 0 && holds(&b, false));
		CHECK(take(&a) == 1);
		lease_drop(&b);
		CHECK(take(&a) == 0 && holds(&a, false));
		lease_release(&a);
		lease_release(&a);
		lease_release(&b);
		CHECK(scratch_files(p.root) == 1);
		place_release(&p);
	}
}

/* When a process may replace an owner, by its head and its time. */
static void
test_verdicts(void)
{
	static const struct {
		unsigned char boot; /* of the new process; the owner has 1 */
		bool dead, old;
		int rv;
	} t[] = {
	    {1, false, false, 1}, /* alive on this machine */
	    {1, true, false, 0},  /* died on this machine */
	    {1, false, true, 0},  /* alive, but silent for too long */
	    {1, true, true, 0},
	    {2, false, true, 0}, /* on another machine, silent */
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
		if (!t[i].old)
			p.stale = PATIENT;
		a = lease_of(
		    &p, true, 1, (uint32_t)(t[i].dead ? dead : getpid()));
		b = lease_of(&p, true, t[i].boot, (uint32_t)getpid());
		CHECK_ROW(i, take(&a) == 0);
		put(&a);
		if (t[i].old)
			wait_until(wait_now() + p.old, &e);
		start = wait_now();
		CHECK_ROW(i, take(&b) == t[i].rv);
		CHECK_ROW(i, wait_now() - start < p.stale - 10);
		if (t[i].rv == 0) {
			CHECK_ROW(i, holds(&b, false) && !holds(&a, false));
			/* No claim and no temporary file is left. */
			CHECK_ROW(i, scratch_files(p.root) == 1);
		}
		if (t[i].rv == 0 && t[i].old)
			CHECK_ROW(i, lease_check(&a, &e) < 0 && e.hint[0]);
		lease_release(&a);
		lease_release(&b);
		place_release(&p);
	}
}

/* Makes it seem that the owner slept for that many seconds. */
static void
sleep_since(struct lease *l, time_t seconds)
{
	struct timespec t[2];
	struct stat st;

	CHECK(fstat(l->fd, &st) == 0);
	t[0] = t[1] = st.st_mtim;
	t[0].tv_sec -= seconds;
	t[1].tv_sec -= seconds;
	CHECK(futimens(l->fd, t) == 0);
	l->beaten -= (uint64_t)seconds * 1000;
}

/* An owner that is silent for less than the limit is not replaced, and one that
 * slept for longer continues if no other process came. */
static void
test_alive(void)
{
	struct place p;
	struct lease a, b;
	struct err e;

	place_init(&p);
	p.stale = PATIENT;
	a = mine(&p, true);
	CHECK(take(&a) == 0);
	put(&a);
	for (int i = 0; i < 3; i++) {
		sleep_since(&a, 20);
		if (i)
			lease_beat(&a);
		CHECK(lease_check(&a, &e) == 0);
		b = mine(&p, true);
		CHECK(take(&b) == 1);
		lease_release(&b);
	}
	sleep_since(&a, 70);
	CHECK(lease_check(&a, &e) == 0 && holds(&a, false));
	b = mine(&p, true);
	CHECK(take(&b) == 1);
	lease_release(&b);
	/* The owner has not checked its file since. */
	sleep_since(&a, 70);
	b = mine(&p, true);
	CHECK(take(&b) == 0 && holds(&b, false));
	CHECK(lease_check(&a, &e) < 0 && e.kind == ERR_FILE);
	lease_release(&b);
	lease_release(&a);
	place_release(&p);
}

/* With an empty or broken head the time decides. */
static void
test_broken(void)
{
	for (size_t n = 0; n <= STATE_HEAD; n += STATE_HEAD / 2) {
		struct place p;
		struct lease b;
		struct stat st;
		struct err e;
		char text[STATE_HEAD] = "";
		uint64_t start;

		place_init(&p);
		CHECK(folder_write(
			  &p.f, STEM ".state", str_make(text, n), &e) == 0);
		b = mine(&p, true);
		start = wait_now();
		CHECK_ROW(n, take(&b) == 0);
		CHECK_ROW(n, wait_now() - start > 100);
		CHECK_ROW(n, fstat(b.fd, &st) == 0 && st.st_size == (off_t)n);
		lease_release(&b);
		place_release(&p);
	}
}

/* Without locks the head decides. */
static void
test_no_locks(void)
{
	struct place p;
	struct lease a, b;

	place_init(&p);
	p.stale = PATIENT;
	no_locks = true;
	a = mine(&p, false);
	b = mine(&p, false);
	CHECK(take(&a) == 0 && a.network && holds(&a, true));
	put(&a);
	CHECK(take(&b) == 1 && b.network);
	lease_drop(&a);
	lease_release(&b);
	b = mine(&p, false);
	CHECK(take(&b) == 0 && b.network && holds(&b, false));
	no_locks = false;
	lease_release(&a);
	lease_release(&b);
	CHECK(scratch_files(p.root) == 1);
	place_release(&p);
}

static void
test_strange(void)
{
	for (int i = 0; i < 2 * STRANGE; i++) {
		enum strange how = (enum strange)(i / 2);
		char path[SCRATCH_PATH + 32];
		struct stat before, after;
		struct buf b = buf_make(64);
		struct place p;
		struct lease a;
		struct err e;

		if (how == FOREIGN && getuid()) {
			puts("skipped: only root can give files away");
			continue;
		}
		place_init(&p);
		snprintf(path, sizeof(path), "%s/" STEM ".state", p.root);
		scratch_write(path, "some text");
		put_strange(path, how);
		CHECK(folder_stat(&p.f, STEM ".state", &before, &e) == 0);
		a = mine(&p, i % 2);
		CHECK_ROW(i, take(&a) == 2);
		lease_beat(&a);
		lease_release(&a);
		CHECK(folder_stat(&p.f, STEM ".state", &after, &e) == 0);
		CHECK_ROW(i, same_stat(&before, &after));
		CHECK_ROW(i,
		    folder_read(&p.f, "a/other", &b, &e) == (how < HARD_LINK));
		CHECK_ROW(
		    i, how < HARD_LINK || str_eq(buf_str(&b), "some text"));
		CHECK_ROW(i, folder_stat(&p.f, "a/none", &after, &e) == 1);
		buf_release(&b);
		place_release(&p);
	}
}

/* If a mount gives all files one owner and one mode, files with these may be
 * ours. */
static void
test_maker(void)
{
	struct place p;
	struct lease a;
	char path[SCRATCH_PATH + 32];

	place_init(&p);
	snprintf(path, sizeof(path), "%s/" STEM ".state", p.root);
	p.maker.private = p.maker.public = 0777;
	scratch_write(path, "");
	CHECK(chmod(path, 0777) == 0);
	a = mine(&p, false);
	CHECK(take(&a) == 0);
	lease_release(&a);
	p.maker.uid = p.maker.uid + 1;
	a = mine(&p, false);
	CHECK(take(&a) == 2);
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
		struct lease b = mine(r->p, r->network);

		b.stale = PATIENT;
		r->wins += lease_take(&b, &e) != 1;
		lease_release(&b);
	}
	return NULL;
}

/* No other process gets the lease while the owner writes and touches its file. */
static void
test_no_gap(void)
{
	for (int network = 0; network < 2; network++) {
		struct place p;
		struct lease a;
		struct rival r = {&p, network, 0};
		pthread_t thread;
		struct err e;

		place_init(&p);
		a = mine(&p, network);
		a.beat = 0;
		CHECK(take(&a) == 0);
		put(&a);
		CHECK(pthread_create(&thread, NULL, try_often, &r) == 0);
		for (int i = 0; i < 1500; i++) {
			put(&a);
			lease_beat(&a);
			CHECK(lease_check(&a, &e) == 0);
		}
		CHECK(pthread_join(thread, NULL) == 0);
		CHECK(r.wins == 0 && holds(&a, false));
		lease_release(&a);
		place_release(&p);
	}
}

/* Of many processes that find a dead owner, one replaces it, and the content
 * stays. */
static void
test_heirs(void)
{
	for (int round = 0; round < 15; round++) {
		struct place p;
		struct lease a;
		int status, wins = 0;
		pid_t pid[6];

		place_init(&p);
		a = mine(&p, true);
		CHECK(take(&a) == 0);
		put(&a);
		lease_release(&a);
		for (size_t i = 0; i < countof(pid); i++) {
			pid[i] = fork();
			if (pid[i] == 0) {
				a = lease_of(&p, true, 1, (uint32_t)getppid());
				a.stale = PATIENT;
				test_failed = 0;
				status = take(&a) == 0;
				CHECK(!status || holds(&a, false));
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

/* Another process has replaced a dead owner before this one makes its claim. */
static void
test_followed_meanwhile(void)
{
	struct place p;
	struct lease a, b, c;
	struct found x;
	struct err e;

	place_init(&p);
	a = mine(&p, true);
	b = mine(&p, true);
	c = mine(&p, true);
	CHECK(take(&a) == 0);
	put(&a);
	lease_drop(&a);
	CHECK(look(&b, b.path, &x, &e) == 0 && judge_owner(&b, &x) == DEAD);
	CHECK(take(&c) == 0);
	CHECK(follow(&b, &x, &e) == 1 && b.fd < 0);
	CHECK(holds(&c, false));
	found_release(&x);
	lease_release(&c);
	/* No process has. */
	CHECK(look(&b, b.path, &x, &e) == 0);
	CHECK(follow(&b, &x, &e) == 0 && holds(&b, false));
	found_release(&x);
	lease_release(&b);
	lease_release(&a);
	place_release(&p);
}

/* A lock on a file that was removed between open and lock does not count. */
static void
test_removed_meanwhile(void)
{
	char path[SCRATCH_PATH + 32];
	struct place p;
	struct lease a;

	place_init(&p);
	snprintf(path, sizeof(path), "%s/" STEM ".state", p.root);
	a = mine(&p, false);
	vanishes = path;
	CHECK(take(&a) == 0 && is_at(&a, a.fd));
	lease_release(&a);
	place_release(&p);
}

/* The same with locks: the holder is killed. */
static void
test_killed(void)
{
	struct place p;
	struct lease a;
	int ready[2];
	pid_t pid;
	char c;

	place_init(&p);
	CHECK(pipe(ready) == 0);
	pid = fork();
	if (pid == 0) {
		a = mine(&p, false);
		if (take(&a) == 0)
			put(&a);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	CHECK(read(ready[0], &c, 1) == 1);
	a = mine(&p, false);
	CHECK(take(&a) == 1);
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(take(&a) == 0 && holds(&a, false));
	lease_release(&a);
	close(ready[0]);
	close(ready[1]);
	place_release(&p);
}

/* A process that died while it took over blocks the others for a limited time
 * only. */
static void
test_claim(void)
{
	struct place p;
	struct lease a, b;
	struct err e;

	place_init(&p);
	a = mine(&p, true);
	b = mine(&p, true);
	CHECK(take(&a) == 0);
	put(&a);
	lease_drop(&a);
	CHECK(folder_write(&p.f, STEM ".claim", str_of(""), &e) == 0);
	b.stale = PATIENT;
	CHECK(take(&b) == 1);
	CHECK(take(&b) == 1);
	b.stale = p.stale;
	wait_until(wait_now() + p.old, &e);
	CHECK(take(&b) == 1);
	CHECK(take(&b) == 0 && holds(&b, false));
	lease_release(&a);
	lease_release(&b);
	CHECK(scratch_files(p.root) == 1);
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
	CHECK(scratch_files(p.root) == 0);
	CHECK(rmdir(p.root) < 0);
	scratch_remove(p.root);
	CHECK(lease_clock(&p.f, "t", &b, &e) < 0 && e.kind == ERR_FILE);
	folder_close(&p.f);
}

int
main(void)
{
	test_turns();
	test_verdicts();
	test_alive();
	test_broken();
	test_no_locks();
	test_strange();
	test_maker();
	test_no_gap();
	test_heirs();
	test_followed_meanwhile();
	test_removed_meanwhile();
	test_killed();
	test_claim();
	test_clock();
	return test_end();
}
