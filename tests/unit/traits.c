#define _GNU_SOURCE /* unshare, for a small file system of our own */

#include "file.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"

/* How what() ends in a child; the path is that of an empty folder. */
static int
in_child(int (*what)(const char *path))
{
	char path[SCRATCH_PATH];
	int status = -1;
	pid_t pid;

	scratch_make(path);
	pid = fork();
	if (pid == 0)
		_exit(what(path));
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	scratch_remove(path);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
look(const char *path, struct folder_traits *t)
{
	struct folder f;
	struct err e;
	int rv;

	if (folder_open(&f, path, false, &e) < 0)
		return -1;
	rv = folder_traits(&f, t, &e);
	folder_close(&f);
	return rv;
}

/* It leaves nothing behind, or it could not be removed. */
static void
test_here(void)
{
	char path[SCRATCH_PATH];
	struct folder_traits t;

	scratch_make(path);
	CHECK(look(path, &t) == 0);
	CHECK(t.free > 0 && t.free_files > 0 && t.max_file > 0 && !t.windows);
	CHECK(t.maker.uid == geteuid());
	CHECK(rmdir(path) == 0);
	/* Nothing can be written there, and that is no error. */
	CHECK(look("/proc", &t) == 0 && !t.windows);
}

/* What only a file shows; and that file is gone. */
static void
test_probe(void)
{
	char path[SCRATCH_PATH];
	struct folder_traits t;
	struct folder f;
	struct err e;
	bool sparse;

	scratch_make(path);
	CHECK(folder_open(&f, path, false, &e) == 0);
	CHECK(folder_traits(&f, &t, &e) == 0 && !t.untried_holes);
	sparse = t.sparse;
	t.maker = (struct maker){.uid = geteuid() + 1, .unsure = true};
	t.sparse = !sparse;
	CHECK(folder_probe(&f, &t, &e) == 0);
	CHECK(t.maker.uid == geteuid() && !t.maker.unsure);
	/* What is known is not tried. */
	CHECK(t.sparse == !sparse);
	t.untried_holes = true;
	CHECK(folder_probe(&f, &t, &e) == 0);
	CHECK(t.sparse == sparse && !t.untried_holes);
	folder_close(&f);
	CHECK(rmdir(path) == 0);
}

static int
limited(const char *path)
{
	struct rlimit r = {1000, 1000};
	struct folder_traits t;

	if (setrlimit(RLIMIT_FSIZE, &r) < 0)
		return 1;
	return look(path, &t) == 0 && t.max_file == 1000 ? 0 : 2;
}

/* Needs the right to mount; without it there is nothing to check. */
static int
small(const char *path)
{
	struct folder_traits t;

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("t", path, "tmpfs", 0, "size=64k,nr_inodes=9") < 0)
		return 0;
	if (look(path, &t) < 0 || !t.free || t.free > 64 << 10)
		return 1;
	if (!t.free_files || t.free_files > 9)
		return 3;
	return t.sparse && !t.network && !t.picky ? 0 : 2;
}

static void
test_closed(void)
{
	static char closed[] = "closed";
	const struct folder f = {.fd = -1, .path = closed};
	struct folder_traits t;
	struct err e = {0};

	CHECK(folder_traits(&f, &t, &e) < 0 && e.kind == ERR_FILE);
}

int
main(void)
{
	test_here();
	test_probe();
	CHECK(in_child(limited) == 0);
	CHECK(in_child(small) == 0);
	test_closed();
	return test_end();
}
