#ifndef HUB_FUZZ_FOLDER_H
#define HUB_FUZZ_FOLDER_H

/* A folder for what a fuzz target writes; in memory, where that is. */

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "file.h"
#include "tests/fuzz/fuzz.h"

struct fuzz_folder {
	struct folder f;
	char path[40];
};

static inline struct fuzz_folder
fuzz_folder_make(void)
{
	struct fuzz_folder at = {.path = "/dev/shm/fuzz.XXXXXX"};
	struct err e;

	if (!mkdtemp(at.path)) {
		snprintf(at.path, sizeof(at.path), "/tmp/fuzz.XXXXXX");
		MUST(mkdtemp(at.path));
	}
	MUST(folder_open(&at.f, at.path, false, &e) == 0);
	return at;
}

/* Removes all that is in the folder, which it closes. */
static inline void
fuzz_folder_empty(int fd)
{
	DIR *dir = fdopendir(fd);
	struct dirent *d;

	MUST(dir);
	while ((d = readdir(dir))) {
		const char *name = d->d_name;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (unlinkat(fd, name, 0) == 0)
			continue;
		fuzz_folder_empty(openat(fd, name, O_RDONLY | O_DIRECTORY));
		MUST(unlinkat(fd, name, AT_REMOVEDIR) == 0);
	}
	closedir(dir);
}

static inline void
fuzz_folder_release(struct fuzz_folder *at)
{
	fuzz_folder_empty(open(at->path, O_RDONLY | O_DIRECTORY));
	folder_close(&at->f);
	MUST(rmdir(at->path) == 0);
}

#endif
