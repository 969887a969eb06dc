#define _GNU_SOURCE /* flock */

#include "litter.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "mem.h"
#include "scratch.h"
#include "test.h"

#define PREFIX ".cache/x/"
#define HEX8 "0123abcd"
#define HEX40 HEX8 HEX8 HEX8 HEX8 HEX8
#define HEX64 HEX40 HEX8 HEX8 HEX8

/* A file of that name, open. */
static int
make(const struct folder *f, const char *name, bool old)
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
is_there(const struct folder *f, const char *name)
{
	char path[256];
	struct stat st;
	struct err e;

	snprintf(path, sizeof(path), PREFIX "%s", name);
	return folder_stat(f, path, &st, &e) == 0;
}

static void
test_kinds(void)
{
	static const struct {
		const char *name;
		bool old, locked, stays;
	} t[] = {
	    {HEX64 "." HEX8 HEX8 ".part", true, false, false},
	    {HEX40 "." HEX8 HEX8 ".part", true, false, false},
	    {HEX64 "." HEX8 HEX8 ".tmp", true, false, false},
	    {HEX64 "." HEX8 HEX8 ".old", true, false, false},
	    {HEX64 "." HEX8 HEX8 ".part", false, false, true},
	    {HEX64 "." HEX8 HEX8 ".part", true, true, true},
	    {HEX64 ".part", true, false, true},
	    {HEX64 ".state", true, false, false},
	    {HEX64 ".state", false, false, false},
	    {HEX64 ".state", false, true, true},
	    {HEX64 "." HEX8 HEX8 ".state", true, false, true},
	    {HEX64 "." HEX8 ".part", true, false, true},
	    {HEX8 "." HEX8 HEX8 ".part", true, false, true},
	    {"model.safetensors", true, false, true},
	    {"x." HEX8 HEX8 ".tmp", true, false, true},
	};

	for (size_t i = 0; i < countof(t); i++) {
		char root[SCRATCH_PATH];
		struct folder f;
		struct err e;
		int fd;

		scratch_make(root);
		CHECK(folder_open(&f, root, false, &e) == 0);
		fd = make(&f, t[i].name, t[i].old);
		if (t[i].locked)
			CHECK(flock(fd, LOCK_EX | LOCK_NB) == 0);
		litter_clean(&f, PREFIX);
		CHECK_ROW(i, is_there(&f, t[i].name) == t[i].stays);
		close(fd);
		folder_close(&f);
		scratch_remove(root);
	}
}

/* The state of a file that can be continued is none of it. */
static void
test_state_with_file(void)
{
	char root[SCRATCH_PATH];
	struct folder f;
	struct err e;

	scratch_make(root);
	CHECK(folder_open(&f, root, false, &e) == 0);
	close(make(&f, HEX64 ".part", true));
	close(make(&f, HEX64 ".state", true));
	litter_clean(&f, "none/such/");
	litter_clean(&f, "");
	litter_clean(&f, PREFIX);
	CHECK(is_there(&f, HEX64 ".part") && is_there(&f, HEX64 ".state"));
	folder_close(&f);
	scratch_remove(root);
}

int
main(void)
{
	test_kinds();
	test_state_with_file();
	return test_end();
}
