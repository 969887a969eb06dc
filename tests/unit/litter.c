#define _GNU_SOURCE /* flock */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "hash.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"
#include "wait.h"

/* A folder that is removed before the next lock, and perhaps created again. */
static const char *goes;
static bool comes_back;

static int
lock_later(int fd, int how)
{
	if (goes)
		rmdir(goes);
	if (goes && comes_back)
		mkdir(goes, 0777);
	goes = NULL;
	return flock(fd, how);
}

#define flock lock_later
#include "../../litter.c"
#undef flock

#define PREFIX ".cache/x/"
#define HEX8 "0123abcd"
#define HEX40 HEX8 HEX8 HEX8 HEX8 HEX8
#define HEX64 HEX40 HEX8 HEX8 HEX8

/* Creates a file of that name and returns it open. */
static int
put(const struct folder *f, const char *name, bool old)
{
	const struct timespec t[2] = {{1000000000, 0}, {1000000000, 0}};
	struct err e;
	char path[256];
	int fd;

	snprintf(path, sizeof(path), PREFIX "%s", name);
	CHECK(folder_make_parents(f, path, &e) == 0);
	fd = folder_openat(f, path, O_RDWR | O_CREAT, &e);
	CHECK(fd >= 0);
	if (old)
		CHECK(futimens(fd, t) == 0);
	return fd;
}

static bool
there(const struct folder *f, const char *name)
{
	char path[256];
	struct stat st;
	struct err e;

	snprintf(path, sizeof(path), PREFIX "%s", name);
	return folder_stat(f, path, &st, &e) == 0;
}

/* A folder, and a run in it. */
struct place {
	char root[SCRATCH_PATH];
	struct folder f;
};

static void
place_make(struct place *p)
{
	struct err e;

	scratch_make(p->root);
	CHECK(folder_open(&p->f, p->root, false, &e) == 0);
}

static void
place_release(struct place *p)
{
	folder_close(&p->f);
	scratch_remove(p->root);
}

static bool
is_placed(void *ctx, const struct digest *d)
{
	const bool *placed = ctx;

	return *placed && d->b[0] == 0x01;
}

static void
sweep_sub(void *ctx, struct litter *l)
{
	(void)ctx;
	litter_sweep(l, PREFIX "sub/");
}

static void
leave(struct litter *l, bool placed, bool remove)
{
	const struct litter_end end = {.placed = is_placed,
	    .unused = is_placed,
	    .folders = sweep_sub,
	    .ctx = &placed,
	    .remove_folder = remove};

	litter_leave(l, &end);
}

#define RANDOM HEX8 HEX8

static const struct {
	const char *name;
	bool stays, stays_placed;
} kinds[] = {
    {HEX64 "." RANDOM ".part", false, false},
    {HEX40 "." RANDOM ".part", false, false},
    {HEX64 "." RANDOM ".tmp", false, false},
    {HEX64 "." RANDOM ".old", false, false},
    {HEX64 ".claim", false, false},
    {"." RANDOM ".tmp", false, false},
    {".hub-" RANDOM ".tmp", false, false},
    {"copy-" RANDOM, false, false},
    {"fe" HEX8 HEX8 HEX8 HEX8 "0123ab.state", false, false},
    {HEX64 ".part", true, false},
    {HEX64 ".blocks", true, false},
    {"fe" HEX8 HEX8 HEX8 HEX8 "0123ab.blocks", true, true},
    {HEX8 ".blocks", true, true},
    {"fe" HEX8 HEX8 HEX8 HEX8 "0123ab.part", true, true},
    {"fe" HEX64 ".part", true, true},
    {HEX64 "." RANDOM ".state", true, true},
    {HEX64 "." HEX8 ".part", true, true},
    {HEX8 "." RANDOM ".part", true, true},
    {"." RANDOM ".part", true, true},
    {".claim", true, true},
    {"copy-" HEX8, true, true},
    {".hub-" HEX8 ".tmp", true, true},
    {"a.hub-" RANDOM ".tmp", true, true},
    {"model.safetensors", true, true},
    {"model.safetensors.metadata", true, true},
    {"model.safetensors.lock", true, true},
    {"BSxUR2h6SGqGvXfaUSpJOiMFuJE=." HEX40 ".incomplete", true, true},
    {"x." RANDOM ".tmp", true, true},
};

static void
test_kinds(void)
{
	for (size_t i = 0; i < countof(kinds); i++) {
		const char *name = kinds[i].name;
		struct place p;
		struct litter l;

		place_make(&p);
		close(put(&p.f, name, false));
		CHECK_ROW(i, litter_enter(&l, &p.f, PREFIX, geteuid(), false,
				 false) == !kinds[i].stays);
		CHECK_ROW(i, there(&p.f, name) == kinds[i].stays);
		leave(&l, false, false);
		CHECK_ROW(i, there(&p.f, name) == kinds[i].stays);
		litter_enter(&l, &p.f, PREFIX, geteuid(), false, false);
		leave(&l, true, false);
		CHECK_ROW(i, there(&p.f, name) == kinds[i].stays_placed);
		place_release(&p);
	}
}

/* The folder in which names were tried. */
static void
test_trial(void)
{
	const char *name = "names-" RANDOM;
	struct place p;
	struct litter l;

	place_make(&p);
	close(put(&p.f, "names-" RANDOM "/a:b", false));
	litter_enter(&l, &p.f, PREFIX, geteuid() + 1, false, false);
	leave(&l, true, false);
	CHECK(there(&p.f, name));
	CHECK(litter_enter(&l, &p.f, PREFIX, geteuid(), false, false));
	CHECK(!there(&p.f, name));
	leave(&l, true, false);
	place_release(&p);
}

/* Files of another user stay, whatever their names. */
static void
test_foreign(void)
{
	struct place p;
	struct litter l;

	place_make(&p);
	close(put(&p.f, HEX64 ".part", true));
	close(put(&p.f, HEX64 "." RANDOM ".part", true));
	litter_enter(&l, &p.f, PREFIX, geteuid() + 1, false, false);
	leave(&l, true, false);
	CHECK(there(&p.f, HEX64 ".part"));
	CHECK(there(&p.f, HEX64 "." RANDOM ".part"));
	place_release(&p);
}

/* While another run is active nothing is removed; the last one removes it. */
static void
test_two(void)
{
	struct place p;
	struct litter a, b;

	place_make(&p);
	litter_enter(&a, &p.f, PREFIX, geteuid(), false, true);
	CHECK(a.fd >= 0);
	close(put(&p.f, HEX64 "." RANDOM ".part", true));
	close(put(&p.f, HEX64 ".part", true));
	close(put(&p.f, HEX64 ".state", true));
	CHECK(!litter_enter(&b, &p.f, PREFIX, geteuid(), false, true) &&
	      b.fd >= 0);
	leave(&a, true, false);
	CHECK(there(&p.f, HEX64 "." RANDOM ".part"));
	CHECK(there(&p.f, HEX64 ".part") && there(&p.f, HEX64 ".state"));
	leave(&b, false, false);
	CHECK(!there(&p.f, HEX64 "." RANDOM ".part"));
	CHECK(there(&p.f, HEX64 ".part") && there(&p.f, HEX64 ".state"));
	litter_enter(&a, &p.f, PREFIX, geteuid(), false, false);
	leave(&a, true, false);
	CHECK(!there(&p.f, HEX64 ".part"));
	CHECK(!there(&p.f, HEX64 ".state"));
	place_release(&p);
}

/* Other runs wait for one that removes leftovers, but not for ever. */
static void
test_waits(void)
{
	uint64_t began = wait_now();
	struct place p;
	struct litter a, b;

	place_make(&p);
	litter_enter(&a, &p.f, PREFIX, geteuid(), false, true);
	CHECK(flock(a.fd, LOCK_EX | LOCK_NB) == 0);
	close(put(&p.f, HEX64 "." RANDOM ".part", true));
	CHECK(!litter_enter(&b, &p.f, PREFIX, geteuid(), false, true) &&
	      b.fd < 0);
	CHECK(wait_now() - began >= 1000);
	leave(&b, true, false);
	CHECK(there(&p.f, HEX64 "." RANDOM ".part"));
	leave(&a, false, false);
	place_release(&p);
}

/* The state of a file that can be continued stays, and its lock is not touched:
 * its holder can continue. */
static void
test_state_with_file(void)
{
	struct place p;
	struct litter l;
	int fd;

	place_make(&p);
	close(put(&p.f, HEX64 ".part", true));
	fd = put(&p.f, HEX64 ".state", true);
	litter_enter(&l, &p.f, "none/such/", geteuid(), false, false);
	CHECK(l.fd < 0);
	leave(&l, true, false);
	CHECK(flock(fd, LOCK_EX | LOCK_NB) == 0);
	litter_enter(&l, &p.f, PREFIX, geteuid(), false, false);
	leave(&l, false, false);
	CHECK(there(&p.f, HEX64 ".part") && there(&p.f, HEX64 ".state"));
	close(fd);
	place_release(&p);
}

/* Without reliable locks, the age decides. */
static void
test_network(void)
{
	for (int old = 0; old < 2; old++) {
		struct place p;
		struct litter l;

		place_make(&p);
		for (size_t i = 0; i < countof(kinds); i++)
			close(put(&p.f, kinds[i].name, old));
		CHECK(litter_enter(&l, &p.f, PREFIX, geteuid(), true, false) ==
		      old);
		CHECK(l.fd < 0);
		leave(&l, true, false);
		for (size_t i = 0; i < countof(kinds); i++) {
			bool stays = !old || kinds[i].stays_placed;

			/* Its partial file is there. */
			if (str_ends(str_of(kinds[i].name), "ab.state"))
				stays = true;
			CHECK_ROW(i, there(&p.f, kinds[i].name) == stays);
		}
		place_release(&p);
	}
}

/* The last run removes the folder, and the next one creates it again. */
static void
test_folder_goes(void)
{
	struct place p;
	struct litter a, b;
	struct stat st;
	struct err e;

	place_make(&p);
	litter_enter(&a, &p.f, "top/", geteuid(), false, true);
	litter_enter(&b, &p.f, "top/", geteuid(), false, true);
	leave(&a, false, true);
	CHECK(folder_stat(&p.f, "top", &st, &e) == 0);
	leave(&b, false, true);
	CHECK(folder_stat(&p.f, "top", &st, &e) == 1);
	litter_enter(&a, &p.f, "top/", geteuid(), false, true);
	CHECK(a.fd >= 0 && folder_stat(&p.f, "top", &st, &e) == 0);
	leave(&a, false, true);
	place_release(&p);
}

/* The last run removes the folder while this one waits for its lock: a lock on
 * the removed folder would not keep other runs away from the new one. */
static void
test_folder_goes_before_the_lock(void)
{
	for (int again = 0; again < 2; again++) {
		struct place p;
		struct litter l;
		struct stat a, b;
		struct err e;
		char path[SCRATCH_PATH + 8];

		place_make(&p);
		snprintf(path, sizeof(path), "%s/top", p.root);
		CHECK(mkdir(path, 0777) == 0);
		goes = path;
		comes_back = again;
		litter_enter(&l, &p.f, "top/", geteuid(), false, true);
		CHECK(!goes && l.fd >= 0);
		CHECK(folder_stat(&p.f, "top", &a, &e) == 0);
		CHECK(fstat(l.fd, &b) == 0 && a.st_ino == b.st_ino);
		leave(&l, false, true);
		CHECK(folder_stat(&p.f, "top", &a, &e) == 1);
		place_release(&p);
	}
}

/* In another folder only temporary files are removed. */
static void
test_sweep(void)
{
	struct place p;
	struct litter l;

	place_make(&p);
	close(put(&p.f, "sub/.hub-" RANDOM ".tmp", false));
	close(put(&p.f, "sub/" HEX64 "." RANDOM ".part", false));
	litter_enter(&l, &p.f, PREFIX, geteuid(), false, false);
	CHECK(there(&p.f, "sub/.hub-" RANDOM ".tmp"));
	leave(&l, false, false);
	CHECK(!there(&p.f, "sub/.hub-" RANDOM ".tmp"));
	CHECK(there(&p.f, "sub/" HEX64 "." RANDOM ".part"));
	place_release(&p);
}

int
main(void)
{
	test_kinds();
	test_trial();
	test_foreign();
	test_two();
	test_waits();
	test_state_with_file();
	test_network();
	test_folder_goes();
	test_folder_goes_before_the_lock();
	test_sweep();
	return test_end();
}
