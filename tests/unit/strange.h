#ifndef HUB_TEST_STRANGE_H
#define HUB_TEST_STRANGE_H

/* Files that this process could not have made, or that are no files. */

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

enum strange {
	FOREIGN, /* only root can make it */
	GROUP,
	OTHERS,
	HARD_LINK, /* from here on, the file that was there is "other" */
	SYMBOLIC,
	DANGLING,
	FIFO,
	FOLDER,
	STRANGE
};

/* Makes that of the file at path. */
static inline void
put_strange(const char *path, enum strange how)
{
	char other[160];

	snprintf(other, sizeof(other), "%.*sother",
	    (int)(strrchr(path, '/') + 1 - path), path);
	if (how >= HARD_LINK)
		CHECK(rename(path, other) == 0);
	switch (how) {
	case FOREIGN:
		CHECK(chown(path, 12345, 12345) == 0);
		break;
	case GROUP:
		CHECK(chmod(path, 0620) == 0);
		break;
	case OTHERS:
		CHECK(chmod(path, 0602) == 0);
		break;
	case HARD_LINK:
		CHECK(link(other, path) == 0);
		break;
	case SYMBOLIC:
		CHECK(symlink("other", path) == 0);
		break;
	case DANGLING:
		CHECK(symlink("none", path) == 0);
		break;
	case FIFO:
		CHECK(mkfifo(path, 0600) == 0);
		break;
	case FOLDER:
		CHECK(mkdir(path, 0700) == 0);
		break;
	case STRANGE:
		break;
	}
}

static inline bool
same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_mode == b->st_mode &&
	       a->st_uid == b->st_uid && a->st_size == b->st_size &&
	       a->st_nlink == b->st_nlink &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

#endif
