#define _GNU_SOURCE /* flock, sync_file_range */

/* Whose a partial file is: modes, owners, leases. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/place.h"
#include "tests/unit/strange.h"

static mode_t
mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mode & 0777 : 01000;
}

/* The mode of the only file whose name ends with .part. */
static mode_t
mode_of_private(const struct place *p)
{
	char cmd[96];
	unsigned mode = 01000;
	FILE *f;

	snprintf(cmd, sizeof(cmd),
	    "find %s -name '*.*.part' -exec stat -c %%a {} +", p->root);
	f = popen(cmd, "r");
	CHECK(f && fscanf(f, "%o", &mode) == 1);
	pclose(f);
	return (mode_t)mode;
}

/* Nobody else can open it before it is published, and then as the umask says;
 * complete() looks at that. */
static void
test_modes(void)
{
	static const mode_t mask[] = {0, 022, 002, 077, 027};

	for (size_t i = 0; i < countof(mask); i++) {
		mode_t old = umask(mask[i]);
		struct place p;
		struct partial *part, *other;
		char path[160], data[160];
		const char *name;
		struct err e;

		place_init(&p, 2 * BLOCK + 1);
		CHECK_ROW(i, p.setup.traits.maker.public == (0666 & ~mask[i]));
		CHECK_ROW(i, p.setup.traits.maker.private == 0600);
		path_of(&p, "state", path);
		path_of(&p, "part", data);
		part = must_open(&p, true, PARTIAL_NEW, 0);
		fill(&p, part, 0, BLOCK);
		CHECK_ROW(i, mode_of(path) == 0600 && mode_of(data) == 0600);
		other = must_open(&p, true, PARTIAL_PRIVATE, 0);
		/* Where nobody else may write, others may read. */
		CHECK_ROW(i, mode_of_private(&p) ==
				 (~mask[i] & 022 ? 0600 : 0666 & ~mask[i]));
		complete(&p, other);
		partial_close(part, false);
		CHECK_ROW(i, mode_of(data) == 0600);
		/* One that could not get its name. */
		part = must_open(&p, true, PARTIAL_RESUMED, BLOCK);
		fill(&p, part, BLOCK, p.size);
		CHECK_ROW(i, partial_finish(part, &name, &e) == 0);
		partial_close(part, false);
		CHECK_ROW(i, mode_of(data) == 0600);
		/* One that an earlier version left. */
		CHECK(chmod(data, 0644) == 0);
		part = must_open(&p, true, PARTIAL_RESUMED, p.size);
		CHECK_ROW(i, mode_of(data) == 0600);
		complete(&p, part);
		p.size = 1000;
		part = must_open(&p, true, PARTIAL_NEW, 0);
		CHECK_ROW(i, mode_of_private(&p) ==
				 (~mask[i] & 022 ? 0600 : 0666 & ~mask[i]));
		complete(&p, part);
		place_release(&p);
		umask(old);
	}
}

/* It is left alone, and so is what it leads to: a copy of our own. */
static void
check_strange(const char *kind, enum strange how, bool network)
{
	struct place p;
	struct partial *part;
	struct stat was[2], is[2];
	char path[160], other[160];

	place_init(&p, 2 * BLOCK + 1);
	p.setup.traits.network = network;
	leave_blocks(&p, 1);
	path_of(&p, kind, path);
	path_of(&p, kind[0] == 's' ? "part" : "state", other);
	put_strange(path, how);
	if (how == SYMBOLIC || how == HARD_LINK)
		snprintf(other, sizeof(other), "%s/" PREFIX "other", p.root);
	CHECK(lstat(path, &was[0]) == 0 && lstat(other, &was[1]) == 0);
	part = must_open(&p, true, PARTIAL_FOREIGN, 0);
	fill(&p, part, 0, p.size);
	complete(&p, part);
	part = must_open(&p, false, PARTIAL_FOREIGN, 0);
	fill(&p, part, BLOCK, 2 * BLOCK);
	partial_close(part, false);
	CHECK_ROW(how, lstat(path, &is[0]) == 0 && same_stat(&was[0], &is[0]));
	CHECK_ROW(how, lstat(other, &is[1]) == 0);
	/* On a network the owner is in the head of the state. */
	if (!network || how == SYMBOLIC || how == HARD_LINK)
		CHECK_ROW(how, same_stat(&was[1], &is[1]));
	snprintf(other, sizeof(other), "%s/" PREFIX "none", p.root);
	CHECK_ROW(how, lstat(other, &is[0]) < 0);
	place_release(&p);
}

static void
test_strange(void)
{
	for (int i = 0; i < STRANGE; i++) {
		enum strange how = (enum strange)i;

		if (how == FOREIGN && getuid()) {
			puts("skipped: only root can give files away");
			continue;
		}
		for (int network = 0; network < 2; network++) {
			check_strange("state", how, network);
			/* test_linked() has that of the part. */
			if (how != HARD_LINK)
				check_strange("part", how, network);
		}
	}
}

/* A part that does not exist yet is not waited for: another's state alone. */
static void
test_foreign_alone(void)
{
	struct place p;
	struct partial *part;
	struct stat st;
	char path[160];

	if (getuid())
		return;
	place_init(&p, 2 * BLOCK + 1);
	path_of(&p, "part", path);
	overwrite(path, "x", 1);
	CHECK(chown(path, 12345, 12345) == 0);
	part = must_open(&p, true, PARTIAL_FOREIGN, 0);
	/* No state is made for it. */
	CHECK(scratch_files(p.root) == 2);
	complete(&p, part);
	CHECK(scratch_files(p.root) == 2);
	CHECK(lstat(path, &st) == 0 && st.st_size == 1 && st.st_uid == 12345);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) == 0);
	place_release(&p);
}

/* Somebody else's name for the bytes: they must not change. */
static void
test_linked(void)
{
	struct place p;
	struct partial *part;
	struct stat was, is, st;
	char path[160], other[160];

	place_init(&p, 4 * BLOCK);
	leave_blocks(&p, 3);
	path_of(&p, "part", path);
	snprintf(other, sizeof(other), "%s/other", p.root);
	CHECK(link(path, other) == 0 && stat(other, &was) == 0);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	fill(&p, part, BLOCK, 3 * BLOCK);
	CHECK(only(&p, part, 6));
	CHECK(stat(other, &is) == 0 && is.st_nlink == 1);
	CHECK(stat(path, &st) == 0 && st.st_ino != is.st_ino);
	CHECK(is.st_ino == was.st_ino && is.st_size == was.st_size);
	CHECK(is.st_mtim.tv_sec == was.st_mtim.tv_sec &&
	      is.st_mtim.tv_nsec == was.st_mtim.tv_nsec);
	complete(&p, part);
	place_release(&p);
}

static void
test_owners(void)
{
	struct place p;

	for (int network = 0; network < 2; network++) {
		struct partial *a, *b;

		place_init(&p, 5 * BLOCK);
		p.setup.traits.network = network;
		a = must_open(&p, true, PARTIAL_NEW, 0);
		fill(&p, a, 0, 2 * BLOCK);
		b = must_open(&p, true, PARTIAL_PRIVATE, 0);
		fill(&p, b, 0, BLOCK);
		CHECK(is_true(&p, a) && is_true(&p, b));
		partial_close(a, false);
		/* A private one goes with its owner. */
		CHECK(scratch_files(p.root) == 3);
		a = must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK);
		complete(&p, b);
		CHECK(is_true(&p, a));
		complete(&p, a);
		CHECK(scratch_files(p.root) == 1);
		place_release(&p);
	}
}

/* On a network file system, the owner on another machine. */
static void
test_takeover(void)
{
	struct place p;
	struct partial *a, *b;
	struct err e;
	uint64_t start, sum = 0;

	place_init(&p, 5 * BLOCK);
	p.setup.traits.network = true;
	p.setup.beat = 20;
	p.setup.stale = 300 + scratch_tick();
	p.setup.sync = 0;
	a = must_open(&p, true, PARTIAL_NEW, 0);
	fill(&p, a, 0, 2 * BLOCK);
	CHECK(partial_tend(a, &e) == 0);
	fill(&p, a, 2 * BLOCK, 3 * BLOCK);
	/* It says nothing any more, so another machine takes over. */
	memset(p.setup.self.boot, 3, 16);
	start = wait_now();
	b = must_open(&p, true, PARTIAL_RESUMED, 3 * BLOCK);
	CHECK(wait_now() - start >= 200 && wait_now() - start < 3000);
	CHECK(look_at_all(&p, b) == 0);
	/* The first one wakes up: it may not touch the file again. */
	CHECK(partial_write(a, p.bytes, 1, 0, &sum, &e) < 0);
	CHECK(e.kind == ERR_FILE && strstr(e.msg, "took over"));
	CHECK(partial_tend(a, &e) < 0);
	partial_close(a, false);
	CHECK(only(&p, b, 7));
	complete(&p, b);
	CHECK(scratch_files(p.root) == 1);
	place_release(&p);
}

struct tended {
	struct partial *part;
	atomic_bool enough;
};

static void *
tend_for_a_while(void *ctx)
{
	struct tended *t = ctx;
	struct err e;

	while (!t->enough) {
		wait_until(wait_now() + 10, &e);
		if (partial_tend(t->part, &e) < 0)
			return NULL;
	}
	return ctx;
}

/* One that is tended is taken for living. */
static void
test_alive(void)
{
	struct place p;
	struct partial *b;
	struct tended a = {.enough = false};
	pthread_t thread;
	void *rv;

	place_init(&p, 5 * BLOCK);
	p.setup.traits.network = true;
	p.setup.beat = 20;
	p.setup.stale = 30000;
	a.part = must_open(&p, true, PARTIAL_NEW, 0);
	fill(&p, a.part, 0, 2 * BLOCK);
	CHECK(pthread_create(&thread, NULL, tend_for_a_while, &a) == 0);
	memset(p.setup.self.boot, 3, 16);
	b = must_open(&p, true, PARTIAL_PRIVATE, 0);
	a.enough = true;
	CHECK(pthread_join(thread, &rv) == 0 && rv == &a);
	partial_close(b, false);
	complete(&p, a.part);
	place_release(&p);
}

/* By their addresses, so that main() does not need the stack of all. */
static void (*const tests[])(void) = {
    test_modes,
    test_strange,
    test_foreign_alone,
    test_linked,
    test_owners,
    test_takeover,
    test_alive,
};

int
main(void)
{
	for (size_t i = 0; i < countof(tests); i++)
		tests[i]();
	return place_end();
}
