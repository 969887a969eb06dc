#define _GNU_SOURCE /* flock */

#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "mem.h"
#include "str.h"
#include "traits.h"

#define NEW_SUFFIX ".new"
#define OLD_SUFFIX ".old"

static char *
suffixed(const char *name, const char *suffix)
{
	struct buf b = buf_make(strlen(name) + strlen(suffix));

	buf_puts(&b, name);
	buf_puts(&b, suffix);
	return buf_detach(&b);
}

static char *
shown(const char *folder, const char *dir, const char *name)
{
	struct buf b = buf_make(1 << 16);

	buf_printf(&b, "%s/%s%s%s", folder, dir, *dir ? "/" : "", name);
	return buf_detach(&b);
}

int
place_find(struct place *at, const struct folder *f, const char *dir,
    const char *name, struct err *e)
{
	struct folder_traits traits;

	*at = (struct place){.dir = -1};
	if (folder_traits(f, &traits, e) < 0)
		return -1;
	at->network = traits.network;
	at->dir = *dir ? folder_openat(f, dir, O_RDONLY | O_DIRECTORY, e)
		       : fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
	if (at->dir < 0)
		return -1;
	at->name = xstrdup(name);
	at->shown = shown(f->path, dir, name);
	return 0;
}

void
place_release(struct place *at)
{
	if (at->dir >= 0)
		close(at->dir);
	free(at->name);
	free(at->shown);
	*at = (struct place){.dir = -1};
}

/* Whether the name is still that of the open file. */
static bool
is_named(const struct place *at, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 &&
	       fstatat(at->dir, at->name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int
lock(const struct place *at, int fd)
{
	return at->network ? 0 : flock(fd, LOCK_EX | LOCK_NB);
}

static int
open_old(const struct place *at, bool *busy)
{
	int fd = openat(
	    at->dir, at->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	*busy = false;
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_uid != geteuid()) {
		close(fd);
		return -1;
	}
	*busy = lock(at, fd) < 0 && errno == EWOULDBLOCK;
	return fd;
}

int
place_open(const struct place *at, bool *busy)
{
	int fd = open_old(at, busy);

	if (fd < 0 || *busy || is_named(at, fd))
		return fd;
	/* Another process was just about to replace it. */
	close(fd);
	return open_old(at, busy);
}

void
place_set_aside(const struct place *at)
{
	char *aside = suffixed(at->name, OLD_SUFFIX);

	(void)renameat(at->dir, at->name, at->dir, aside);
	free(aside);
}

int
place_replace(const struct place *at, int (*write)(void *ctx, int fd),
    void *ctx, struct err *e)
{
	char *name = suffixed(at->name, NEW_SUFFIX);
	int fd;

	unlinkat(at->dir, name, 0);
	fd = openat(at->dir, name,
	    O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    0600);
	if (fd < 0 || lock(at, fd) < 0 || write(ctx, fd) < 0 ||
	    renameat(at->dir, name, at->dir, at->name) < 0) {
		err_sys(e, ERR_FILE, "cannot write '%s'", at->shown);
		if (fd >= 0) {
			close(fd);
			unlinkat(at->dir, name, 0);
		}
		fd = -1;
	}
	free(name);
	return fd;
}
