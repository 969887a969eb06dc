#ifndef HUB_SCRATCH_H
#define HUB_SCRATCH_H

/* A folder for one test, away from all others. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

#define SCRATCH_PATH 24

static inline void
scratch_make(char path[SCRATCH_PATH])
{
	static const char name[SCRATCH_PATH] = "/tmp/hub_test.XXXXXX";

	memcpy(path, name, sizeof(name));
	CHECK(mkdtemp(path) != NULL);
}

/* The same, and there the test goes on. */
static inline void
scratch_enter(char path[SCRATCH_PATH])
{
	scratch_make(path);
	if (chdir(path) < 0)
		abort();
}

/* A file that only its owner can read. */
static inline void
scratch_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "wb");

	CHECK(f && fputs(text, f) >= 0);
	CHECK(f && fclose(f) == 0 && chmod(path, 0600) == 0);
}

/* With all that is in it, also what may not be written. */
static inline void
scratch_remove(const char *path)
{
	char command[2 * SCRATCH_PATH + 32];

	snprintf(
	    command, sizeof(command), "chmod -R u+w %s; rm -rf %s", path, path);
	CHECK(system(command) == 0);
}

/* How many files are in it. */
static inline unsigned
scratch_files(const char *path)
{
	char command[SCRATCH_PATH + 32];
	unsigned n = 99;
	FILE *f;

	snprintf(command, sizeof(command), "find %s -type f | wc -l", path);
	f = popen(command, "r");
	CHECK(f && fscanf(f, "%u", &n) == 1);
	pclose(f);
	return n;
}

static inline void
scratch_leave(const char *path)
{
	CHECK(chdir("/") == 0);
	scratch_remove(path);
}

/* How exact the times of files are, in ms: 0, or 1000 if they are whole
 * seconds, as on some file systems, and to a program for s390x that qemu 7.2
 * runs. */
static inline unsigned
scratch_tick(void)
{
	static const struct timespec half[2] = {{1, 500000000}, {1, 500000000}};
	char path[SCRATCH_PATH] = "/tmp/hub_tick.XXXXXX";
	int fd = mkstemp(path);
	struct stat st = {0};

	CHECK(fd >= 0 && unlink(path) == 0 && futimens(fd, half) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_mtim.tv_sec == 1);
	close(fd);
	return st.st_mtim.tv_nsec ? 0 : 1000;
}

#endif
