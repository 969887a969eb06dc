#define _GNU_SOURCE /* O_PATH, fstatfs, CLOCK_REALTIME_COARSE */

#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#endif

#include "err.h"
#include "path.h"
#include "str.h"
#include "wait.h"

/* --- Files below one folder. --- */

/* The name of an incomplete file: ".hub-", 16 digits, ".tmp". Not derived from
 * the file's name, which may already be as long as can be. */
#define TEMP_NAME 32

enum parents { PARENTS_FIND, PARENTS_MAKE };

/* Sets a hint for the failures that a user can do something about. */
static void
hint(struct err *e, int error)
{
	static const struct {
		int error;
		const char *text;
	} t[] = {
	    {ENOSPC, "free disk space and run again with -d to continue"},
	    {EDQUOT, "free space within your quota and run again with -d to "
		     "continue"},
	    {EFBIG, "use a folder on another file system, since this one (or "
		    "ulimit -f) does not allow files of this size"},
	    {EROFS, "use another folder (-p): this file system is read-only"},
	    {EACCES,
		"use another folder (-p), or get permission to write there"},
	    {EPERM,
		"use another folder (-p), or get permission to write there"},
	    {EMFILE, "use fewer connections (-j), or raise ulimit -n"},
#ifdef EUCLEAN
	    {EUCLEAN,
		"use another folder (-p), and run fsck on this file system"},
	    {EBADMSG,
		"use another folder (-p), and run fsck on this file system"},
#endif
	    {EBUSY, "unmount what is mounted there, or another path"},
	    {EXDEV, "the folder inside as -p itself: it is on another file "
		    "system"},
	};

	for (size_t i = 0; i < countof(t); i++)
		if (t[i].error == error)
			err_hint(e, "%s", t[i].text);
}

/* Sets "cannot WHAT 'FOLDER/PATH': " and the text of errno, which is kept. Of
 * our own files only the folder is named. Returns -1. */
static int
fail(const struct folder *f, const char *path, const char *what, struct err *e)
{
	int saved = errno;
	size_t n = strlen(f->path);
	const char *slash = n && f->path[n - 1] == '/' ? "" : "/";

	if (f->own && strncmp(path, f->own, strlen(f->own)) == 0)
		err_sys(e, ERR_FILE, "cannot create files in '%s'", f->path);
	else
		err_sys(e, ERR_FILE, "cannot %s '%s%s%s'", what, f->path, slash,
		    path);
	hint(e, saved);
	errno = saved;
	return -1;
}

/* close() that leaves errno alone. */
static void
shut(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

static int
open_again(int at, const char *name, int flags, mode_t mode)
{
	int fd;

	do
		fd = openat(at, name, flags | O_CLOEXEC | O_NOCTTY, mode);
	while (fd < 0 && errno == EINTR);
	return fd;
}

/* Opens the folder name in at; extra is O_NOFOLLOW or 0. */
static int
open_step(int at, const char *name, int extra)
{
	int fd = open_again(at, name, O_RDONLY | O_DIRECTORY | extra, 0);

#ifdef O_PATH
	/* The right to search is enough to pass through. */
	if (fd < 0 && errno == EACCES)
		fd = open_again(at, name, O_PATH | O_DIRECTORY | extra, 0);
#endif
	return fd;
}

static int
sync_all(int fd)
{
	int rv;

	do
		rv = fsync(fd);
	while (rv < 0 && errno == EINTR);
	return rv;
}

/* Syncs a folder. A system or file system that cannot do that reports one of
 * many errors; they are ignored, since there is no other way. */
static int
sync_folder(int fd)
{
	int rv = sync_all(fd);

	if (rv < 0 && (errno == EINVAL || errno == EBADF || errno == ENOTSUP ||
			  errno == ENOSYS || errno == EACCES))
		return 0;
	return rv;
}

/* Opens the folder name in at, making it if how says so. */
static int
enter(int at, const char *name, enum parents how)
{
	int fd = open_step(at, name, O_NOFOLLOW);

	if (fd >= 0 || errno != ENOENT || how == PARENTS_FIND)
		return fd;
	if (mkdirat(at, name, 0777) < 0 && errno != EEXIST)
		return -1;
	return open_step(at, name, O_NOFOLLOW);
}

/* Sets the error if name, a part of path that lies in at, is in the way; keeps
 * errno. */
static int
refuse(const struct folder *f, const char *path, int at, const char *name,
    struct err *e)
{
	int saved = errno;
	struct stat st;
	const char *kind = NULL;

	fail(f, path, "open", e);
	if (saved != ENOTDIR && saved != ELOOP && saved != ENXIO &&
	    saved != EINVAL)
		return -1;
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISLNK(st.st_mode))
			kind = "a symbolic link, which is not followed";
		else if (S_ISREG(st.st_mode) && saved == ENOTDIR)
			kind = "a file, not a folder";
		else if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
			kind = "not a regular file";
	}
	if (kind)
		err_set(e, ERR_FILE, "cannot open '%s/%s': '%s' is %s", f->path,
		    path, name, kind);
	errno = saved;
	return -1;
}

/* Opens the first n bytes of path in one call and not through links, where the
 * kernel has openat2(2). -1 if it has not, and for everything that walk_steps()
 * must create or report. */
static int
open_at_once(int at, const char *path, size_t n, int flags, mode_t mode)
{
	int fd = -1;
#ifdef SYS_openat2
	enum { NO_SYMLINKS = 0x04, BENEATH = 0x08 }; /* linux/openat2.h */
	const struct {
		uint64_t flags, mode, resolve;
	} how = {
	    /* What a libc adds to open() where file sizes have 32 bits. */
	    .flags = (unsigned)flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY |
		     O_LARGEFILE,
	    .mode = flags & O_CREAT ? mode : 0,
	    .resolve = NO_SYMLINKS | BENEATH,
	};
	char copy[PATH_LIMIT + 1];

	if (n > PATH_LIMIT)
		return -1;
	memcpy(copy, path, n);
	copy[n] = '\0';
	fd = (int)syscall(SYS_openat2, at, copy, &how, sizeof(how));
#else
	(void)at, (void)path, (void)n, (void)flags, (void)mode;
#endif
	return fd;
}

/* Creates missing folders one by one; an error names the part that is in the
 * way. */
static int
walk_steps(const struct folder *f, const char *path, enum parents how,
    const char **base, struct err *e)
{
	int at = f->fd;
	char part[PART_LIMIT + 1];
	const char *rest = path, *slash;

	for (; (slash = strchr(rest, '/')); rest = slash + 1) {
		size_t n = (size_t)(slash - rest);
		int next = -1;

		errno = ENAMETOOLONG;
		if (n < sizeof(part)) {
			memcpy(part, rest, n);
			part[n] = '\0';
			next = enter(at, part, how);
		}
		if (next < 0)
			refuse(f, path, at, part, e);
		if (at != f->fd)
			shut(at);
		if (next < 0)
			return -1;
		at = next;
	}
	*base = rest;
	return at;
}

/* Opens the folder that contains path: f->fd itself for a path without parents.
 * Give it back with leave(). base gets the last part of path. */
static int
walk(const struct folder *f, const char *path, enum parents how,
    const char **base, struct err *e)
{
	const char *slash = strrchr(path, '/');
	int at = -1;

	if (slash)
		at = open_at_once(f->fd, path, (size_t)(slash - path),
		    O_RDONLY | O_DIRECTORY, 0);
	if (at < 0)
		return walk_steps(f, path, how, base, e);
	*base = slash + 1;
	return at;
}

static void
leave(const struct folder *f, int at)
{
	if (at != f->fd)
		shut(at);
}

/* Makes a folder and its missing parents. The path is the user's: links are
 * followed. */
static int
make_all(const char *path)
{
	char *copy = xstrdup(path), *p = copy;
	int rv = 0, saved;

	while (rv == 0 && *p) {
		char c;

		p += strspn(p, "/");
		p += strcspn(p, "/");
		c = *p;
		*p = '\0';
		rv = mkdir(copy, 0777);
		/* open() decides about what exists already. A missing right to
		 * write, or a read-only file system, is no failure where the
		 * folder exists. */
		saved = errno;
		if (rv < 0 && access(copy, F_OK) == 0)
			rv = 0;
		errno = saved;
		*p = c;
	}
	free(copy);
	return rv;
}

int
folder_open(struct folder *f, const char *path, bool create, struct err *e)
{
	int fd = open_step(AT_FDCWD, path, 0), saved;

	if (fd < 0 && errno == ENOENT && create && *path && make_all(path) == 0)
		fd = open_step(AT_FDCWD, path, 0);
	*f = (struct folder){.fd = fd};
	if (fd < 0) {
		saved = errno;
		err_sys(e, ERR_FILE, "cannot open the folder '%s'", path);
		hint(e, saved);
		errno = saved;
		return -1;
	}
	f->path = xstrdup(path);
	return 0;
}

void
folder_close(struct folder *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	*f = (struct folder){.fd = -1};
}

/* Returns fd if it is a regular file (with O_DIRECTORY: or a folder), else
 * closes it and returns -1 with errno. flags are those of open(): a new file is
 * not looked at. */
static int
only_plain(int fd, int flags)
{
	struct stat st;

	if (fd < 0 || (flags & O_EXCL))
		return fd;
	if (fstat(fd, &st) == 0) {
		if (S_ISREG(st.st_mode) || (flags & O_DIRECTORY))
			return fd;
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	}
	shut(fd);
	return -1;
}

/* Opens a regular file. A pipe or a device would block or act when it is
 * opened: O_NONBLOCK prevents the first, and means nothing for regular
 * files. */
static int
open_plain(int at, const char *name, int flags, mode_t mode)
{
	int fd = open_again(at, name, flags | O_NOFOLLOW | O_NONBLOCK, mode);

	return only_plain(fd, flags);
}

/* The same for a path. */
static int
open_plain_at_once(int at, const char *path, int flags, mode_t mode)
{
	int fd = open_at_once(at, path, strlen(path), flags | O_NONBLOCK, mode);

	return only_plain(fd, flags);
}

static int
open_below(const struct folder *f, const char *path, int flags, mode_t mode,
    struct err *e)
{
	enum parents how = flags & O_CREAT ? PARENTS_MAKE : PARENTS_FIND;
	const char *base;
	int fd = open_plain_at_once(f->fd, path, flags, mode), at;

	if (fd >= 0)
		return fd;
	at = walk(f, path, how, &base, e);
	if (at < 0)
		return -1;
	fd = open_plain(at, base, flags, mode);
	if (fd < 0)
		refuse(f, path, at, base, e);
	leave(f, at);
	return fd;
}

int
folder_openat(
    const struct folder *f, const char *path, int flags, struct err *e)
{
	return open_below(f, path, flags, 0666, e);
}

int
folder_create(
    const struct folder *f, const char *path, mode_t mode, struct err *e)
{
	return open_below(f, path, O_RDWR | O_CREAT | O_EXCL, mode, e);
}

/* Returns a new file without a name, or one that loses its name at once. */
static int
open_nameless(const struct folder *f, struct err *e)
{
	char name[TEMP_NAME];
	int fd = -1;

#ifdef O_TMPFILE
	fd = open_again(f->fd, ".", O_TMPFILE | O_RDWR, 0666);
#endif
	if (fd >= 0)
		return fd;
	snprintf(name, sizeof(name), ".hub-%016" PRIx64 ".tmp", wait_random());
	fd = folder_create(f, name, 0666, e);
	if (fd >= 0)
		folder_remove(f, name, &(struct err){0});
	return fd;
}

int
maker_find(struct maker *m, const struct folder *f, struct err *e)
{
	struct stat open, closed;
	int fd = open_nameless(f, e), rv;

	if (fd < 0)
		return -1;
	rv = fstat(fd, &open);
	/* Where modes cannot be set, the file keeps its own. */
	(void)fchmod(fd, 0600);
	if (rv == 0)
		rv = fstat(fd, &closed);
	if (rv == 0)
		*m = (struct maker){open.st_uid, open.st_mode & 0777,
		    closed.st_mode & 0777, false};
	else
		err_sys(e, ERR_FILE, "cannot create files in '%s'", f->path);
	shut(fd);
	return rv;
}

/* Looks at a file of this process, if that has not been done. */
static bool
find_out(struct maker *m, const struct folder *f)
{
	struct err ignored;
	bool found = m->unsure && maker_find(m, f, &ignored) == 0;

	m->unsure = false;
	return found;
}

bool
maker_owns(struct maker *m, const struct folder *f, const struct stat *st)
{
	return st->st_uid == m->uid || (find_out(m, f) && st->st_uid == m->uid);
}

/* A regular file of that owner, with no more rights to write for others than a
 * file of that mode. */
static bool
made_with(const struct maker *m, mode_t mode, const struct stat *st)
{
	const mode_t writable = 022;

	return S_ISREG(st->st_mode) && st->st_uid == m->uid &&
	       !(st->st_mode & writable & ~mode);
}

bool
maker_made(const struct maker *m, const struct stat *st)
{
	return made_with(m, m->private, st);
}

bool
maker_published(const struct maker *m, const struct stat *st)
{
	return made_with(m, m->public, st);
}

bool
maker_made_in(struct maker *m, const struct folder *f, const struct stat *st)
{
	return maker_made(m, st) || (find_out(m, f) && maker_made(m, st));
}

int
folder_stat(
    const struct folder *f, const char *path, struct stat *st, struct err *e)
{
	const char *base;
	int at = walk(f, path, PARENTS_FIND, &base, e), rv;

	if (at < 0)
		return errno == ENOENT ? 1 : -1;
	rv = fstatat(at, base, st, AT_SYMLINK_NOFOLLOW);
	if (rv < 0 && errno == ENOENT)
		rv = 1;
	else if (rv < 0)
		fail(f, path, "look at", e);
	leave(f, at);
	return rv;
}

int
folder_make_parents(const struct folder *f, const char *path, struct err *e)
{
	const char *base;
	int at = walk(f, path, PARENTS_MAKE, &base, e);

	if (at < 0)
		return -1;
	leave(f, at);
	return 0;
}

/* Renames from to to as place() does, and returns what that does. */
static int
put_in_place(const struct folder *f, const char *from, const char *to,
    int (*place)(int source, const char *old, int target, const char *new),
    struct err *e)
{
	const char *old, *new;
	int rv = -1, source = walk(f, from, PARENTS_FIND, &old, e), target;

	if (source < 0)
		return -1;
	target = walk(f, to, PARENTS_MAKE, &new, e);
	if (target >= 0) {
		rv = place(source, old, target, new);
		if (rv < 0)
			fail(f, to, "put in place", e);
		leave(f, target);
	}
	leave(f, source);
	return rv;
}

int
folder_publish(
    const struct folder *f, const char *from, const char *to, struct err *e)
{
	return put_in_place(f, from, to, renameat, e);
}

/* Renames without replacing anything, by renameat2(2). Where the system or the
 * file system lacks that, the name is looked up just before. */
static int
rename_new(int source, const char *old, int target, const char *new)
{
	struct stat st;
#ifdef SYS_renameat2
	const unsigned no_replace = 1; /* linux/fs.h */

	if (syscall(SYS_renameat2, source, old, target, new, no_replace) == 0)
		return 0;
	if (errno == EEXIST)
		return 1;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
#endif
	if (fstatat(target, new, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return renameat(source, old, target, new);
}

int
folder_publish_new(
    const struct folder *f, const char *from, const char *to, struct err *e)
{
	return put_in_place(f, from, to, rename_new, e);
}

/* Fields of statx(2) that stat(2) lacks; all 0 if unknown. */
struct details {
	uint64_t mount; /* number of the mount that contains it */
	bool mount_root, immutable, append_only;
};

static struct details
look_closer(int at, const char *name)
{
	struct details d = {0};
#ifdef SYS_statx
	/* linux/stat.h, as 64-bit words of the structure: musl has no name for
	 * it. */
	enum { ATTRIBUTES = 1, MOUNT = 18, WORDS = 32, WANTED = 0x1000 };
	enum { IMMUTABLE = 0x10, APPEND = 0x20, MOUNT_ROOT = 0x2000 };
	uint64_t x[WORDS] = {0};
	int flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;

	if (syscall(SYS_statx, at, name, flags, WANTED, x) == 0) {
		d.mount = x[MOUNT];
		d.mount_root = (x[ATTRIBUTES] & MOUNT_ROOT) != 0;
		d.immutable = (x[ATTRIBUTES] & IMMUTABLE) != 0;
		d.append_only = (x[ATTRIBUTES] & APPEND) != 0;
	}
#else
	(void)at, (void)name;
#endif
	return d;
}

/* Returns the errno with which a rename to name in the folder at would fail; 0
 * if no reason is known. mount is the mount of the source. */
static int
obstacle(int at, const char *name, uint64_t mount)
{
	struct details parent = look_closer(at, ""), there;

	if (parent.mount != mount)
		return EXDEV;
	if (faccessat(at, ".", W_OK | X_OK, 0) < 0)
		return errno;
	there = look_closer(at, name);
	if (there.mount_root)
		return EBUSY;
	return parent.immutable || there.immutable || there.append_only ? EPERM
									: 0;
}

/* Returns the mount that contains path, or will once its parents are made. */
static uint64_t
mount_of(const struct folder *f, const char *path)
{
	const char *base;
	int at = walk(f, path, PARENTS_FIND, &base, &(struct err){0});
	uint64_t mount = look_closer(at < 0 ? f->fd : at, "").mount;

	if (at >= 0)
		leave(f, at);
	return mount;
}

int
folder_check_publish(
    const struct folder *f, const char *from, const char *to, struct err *e)
{
	uint64_t mount = mount_of(f, from);
	const char *base;
	int at = walk(f, to, PARENTS_FIND, &base, e), error;

	if (at < 0)
		return errno == ENOENT ? 0 : -1;
	error = obstacle(at, base, mount);
	leave(f, at);
	errno = error;
	return error ? fail(f, to, "put in place", e) : 0;
}

int
folder_remove(const struct folder *f, const char *path, struct err *e)
{
	const char *base;
	int at = walk(f, path, PARENTS_FIND, &base, e), rv;

	if (at < 0)
		return errno == ENOENT ? 0 : -1;
	rv = unlinkat(at, base, 0);
	if (rv < 0 && errno == ENOENT)
		rv = 0;
	if (rv < 0)
		fail(f, path, "remove", e);
	leave(f, at);
	return rv;
}

int
folder_sync(const struct folder *f, const char *path, struct err *e)
{
	const char *base;
	int at = walk(f, path, PARENTS_FIND, &base, e), rv;

	if (at < 0)
		return -1;
	rv = sync_folder(at);
	if (rv < 0)
		fail(f, path, "sync the folder of", e);
	leave(f, at);
	return rv;
}

int
folder_sync_up(
    const struct folder *f, char *path, const char *last, struct err *e)
{
	char *slash;
	int rv = folder_sync(f, path, e);

	while (rv == 0 && (slash = strrchr(path, '/'))) {
		/* The '/' is compared, too: last must be in the same folder. */
		size_t n = (size_t)(slash - path) + 1;

		if (last && strncmp(last, path, n) == 0)
			break;
		*slash = '\0';
		rv = folder_sync(f, path, e);
	}
	return rv;
}

static int
sync_file(int fd)
{
	int rv = sync_all(fd);

	/* Some file systems in user space lack fsync. */
	return rv < 0 && (errno == EINVAL || errno == ENOSYS) ? 0 : rv;
}

/* Creates a file with a new name in at. */
static int
open_temp(int at, char name[TEMP_NAME])
{
	int fd;

	do {
		snprintf(
		    name, TEMP_NAME, ".hub-%016" PRIx64 ".tmp", wait_random());
		fd = open_plain(at, name, O_RDWR | O_CREAT | O_EXCL, 0666);
	} while (fd < 0 && errno == EEXIST);
	return fd;
}

/* Writes the text and closes fd. -1 with errno. */
static int
write_out(int fd, struct str text)
{
	int rv = file_write(fd, text.s, text.n), saved;

	saved = errno;
	/* A network file system may report only now that the disk is full. */
	if (close(fd) < 0 && rv == 0 && errno != EINTR) {
		saved = errno;
		rv = -1;
	}
	errno = saved;
	return rv;
}

/* unlinkat() that leaves errno alone. */
static void
drop(int at, const char *name)
{
	int saved = errno;

	unlinkat(at, name, 0);
	errno = saved;
}

/* Makes something at path, and its missing parents: make() gets the folder that
 * it goes to, and its name there. errno is kept. */
static int
make_in(const struct folder *f, const char *path, const char *what,
    int (*make)(int at, const char *base, const void *ctx), const void *ctx,
    struct err *e)
{
	const char *base;
	int at = walk(f, path, PARENTS_MAKE, &base, e), rv;

	if (at < 0)
		return -1;
	rv = make(at, base, ctx);
	if (rv < 0)
		fail(f, path, what, e);
	leave(f, at);
	return rv;
}

/* Writes the text to a temporary file in at and renames it to base. -1 with
 * errno. */
static int
write_in(int at, const char *base, const void *ctx)
{
	const struct str *text = ctx;
	char name[TEMP_NAME];
	int fd = open_temp(at, name), rv;

	if (fd < 0)
		return -1;
	rv = write_out(fd, *text);
	if (rv == 0)
		rv = renameat(at, name, at, base);
	if (rv == 0)
		return 0;
	drop(at, name);
	return -1;
}

int
folder_write(
    const struct folder *f, const char *path, struct str text, struct err *e)
{
	return make_in(f, path, "write", write_in, &text, e);
}

int
folder_write_new(
    const struct folder *f, const char *path, struct str text, struct err *e)
{
	int fd = folder_openat(f, path, O_WRONLY | O_CREAT | O_EXCL, e);

	if (fd < 0)
		return errno == EEXIST ? 1 : -1;
	if (write_out(fd, text) == 0)
		return 0;
	fail(f, path, "write", e);
	folder_remove(f, path, &(struct err){0});
	return -1;
}

int
file_read_fd(int fd, struct buf *b)
{
	for (;;) {
		size_t room = b->max - b->len;
		char extra, *p = &extra;
		ssize_t n;

		if (room > 4096)
			room = 4096;
		if (room)
			p = buf_room(b, room);
		n = read(fd, p, room ? room : 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		if (!room) {
			errno = EFBIG;
			return -1;
		}
		buf_added(b, (size_t)n);
	}
}

int
file_read(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rv;

	if (fd < 0)
		return -1;
	rv = file_read_fd(fd, b);
	shut(fd);
	return rv;
}

int
folder_read(
    const struct folder *f, const char *path, struct buf *b, struct err *e)
{
	int fd = folder_openat(f, path, O_RDONLY, e), rv;

	if (fd < 0)
		return errno == ENOENT ? 1 : -1;
	rv = file_read_fd(fd, b);
	if (rv < 0 && errno != EFBIG)
		fail(f, path, "read", e);
	else if (rv < 0)
		err_set(e, ERR_FILE,
		    "'%s/%s' is larger than its limit of %zu bytes", f->path,
		    path, b->max);
	shut(fd);
	return rv;
}

int
folder_read_link(const struct folder *f, const char *path, char *text,
    size_t size, struct stat *st, struct err *e)
{
	const char *base;
	int at = walk(f, path, PARENTS_FIND, &base, e);
	ssize_t n;

	if (at < 0)
		return -1;
	n = readlinkat(at, base, text, size - 1);
	text[n < 0 ? 0 : n] = '\0';
	if (n < 0 && errno == EINVAL && st &&
	    fstatat(at, base, st, AT_SYMLINK_NOFOLLOW) == 0)
		errno = EINVAL;
	if (n < 0)
		fail(f, path, "read", e);
	leave(f, at);
	return (int)n;
}

/* A link to be made: with a text, or to the file called text in the folder
 * source. */
struct link {
	const char *text;
	int source; /* -1: symbolic */
};

static int
link_at(const struct link *l, int at, const char *name)
{
	return l->source < 0 ? symlinkat(l->text, at, name)
			     : linkat(l->source, l->text, at, name, 0);
}

/* Leaves errno as the failure set it. */
static int
link_in(int at, const char *base, const void *ctx)
{
	const struct link *l = ctx;
	char name[TEMP_NAME];
	int rv = link_at(l, at, base);

	if (rv == 0 || errno != EEXIST)
		return rv;
	snprintf(name, sizeof(name), ".hub-%016" PRIx64 ".tmp", wait_random());
	rv = link_at(l, at, name);
	if (rv < 0)
		return -1;
	rv = renameat(at, name, at, base);
	/* Two links to one file are both left. */
	drop(at, name);
	return rv;
}

int
folder_symlink(
    const struct folder *f, const char *text, const char *path, struct err *e)
{
	const struct link l = {text, -1};

	return make_in(f, path, "make the link", link_in, &l, e);
}

int
folder_hard_link(
    const struct folder *f, const char *from, const char *path, struct err *e)
{
	struct link l;
	int rv;

	l.source = walk(f, from, PARENTS_FIND, &l.text, e);
	if (l.source < 0)
		return -1;
	rv = make_in(f, path, "make the link", link_in, &l, e);
	leave(f, l.source);
	return rv;
}

bool
folder_lacks_links(int error)
{
	return error == EPERM || error == EOPNOTSUPP || error == ENOSYS ||
	       error == EINVAL || error == EMLINK;
}

/* Times beyond the range wrap around. */
static int64_t
nanoseconds(const struct timespec *t)
{
	return (
	    int64_t)((uint64_t)t->tv_sec * 1000000000 + (uint64_t)t->tv_nsec);
}

void
stamp_of(const struct stat *st, struct stamp *out)
{
	*out = (struct stamp){
	    .size = st->st_size < 0 ? 0 : (uint64_t)st->st_size,
	    .mtime = nanoseconds(&st->st_mtim),
	    .ctime = nanoseconds(&st->st_ctim),
	    .inode = (uint64_t)st->st_ino,
	    .device = (uint64_t)st->st_dev,
	};
}

bool
stamp_same(const struct stamp *a, const struct stamp *b)
{
	return a->size == b->size && a->mtime == b->mtime &&
	       a->ctime == b->ctime && a->inode == b->inode &&
	       a->device == b->device;
}

bool
stamp_coarse(const struct stamp *s)
{
	return s->ctime % 10000000 == 0;
}

void
stamp_let_pass(void)
{
#ifdef CLOCK_REALTIME_COARSE
	struct timespec began, now;
	struct err ignored;

	clock_gettime(CLOCK_REALTIME_COARSE, &began);
	for (int i = 0; i < 20; i++) {
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
		if (now.tv_sec != began.tv_sec || now.tv_nsec != began.tv_nsec)
			return;
		wait_until(wait_now() + 1, &ignored);
	}
#endif
}

static int
beyond(uint64_t offset, size_t n, const char *what, const char *name,
    struct err *e)
{
	if (offset <= INT64_MAX && n <= INT64_MAX - offset)
		return 0;
	errno = EFBIG;
	return err_sys(e, ERR_FILE, "cannot %s '%s'", what, name);
}

int
file_pread(
    int fd, void *p, size_t n, uint64_t offset, const char *name, struct err *e)
{
	unsigned char *to = p;

	if (beyond(offset, n, "read", name, e) < 0)
		return -1;
	while (n) {
		ssize_t got = pread(fd, to, n, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, ERR_FILE, "cannot read '%s'", name);
		if (got == 0)
			return err_set(e, ERR_FILE,
			    "cannot read '%s': it ends early", name);
		to += got;
		n -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

int
file_pwrite(int fd, const void *p, size_t n, uint64_t offset, const char *name,
    struct err *e)
{
	const unsigned char *from = p;

	if (beyond(offset, n, "write", name, e) < 0)
		return -1;
	while (n) {
		ssize_t put = pwrite(fd, from, n, (off_t)offset);
		int saved = put == 0 ? EIO : errno;

		if (put < 0 && saved == EINTR)
			continue;
		if (put <= 0) {
			errno = saved;
			err_sys(e, ERR_FILE, "cannot write '%s'", name);
			hint(e, saved);
			return -1;
		}
		from += put;
		n -= (size_t)put;
		offset += (uint64_t)put;
	}
	return 0;
}

int
file_write(int fd, const void *p, size_t n)
{
	const char *from = p;

	while (n) {
		ssize_t done = write(fd, from, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		from += done;
		n -= (size_t)done;
	}
	return 0;
}

int
file_sync(int fd, const char *name, struct err *e)
{
	if (sync_file(fd) == 0)
		return 0;
	return err_sys(e, ERR_FILE, "cannot write '%s'", name);
}

/* --- All files below a folder. --- */

/* Folders that are yet to be read. */
struct folders {
	char **path;
	size_t n;
};

static void
push(struct folders *f, const char *path)
{
	f->path = xreallocarray(f->path, f->n + 1, sizeof(f->path[0]));
	f->path[f->n++] = xstrdup(path);
}

static int
walk_entry(struct folders *left, const struct folder_walk *w, DIR *d,
    const char *name, struct buf *path, struct err *e)
{
	struct stat st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	buf_puts(path, name);
	if (path->full)
		return err_set(
		    e, ERR_FILE, "a path in '%s' is too long", w->folder->path);
	/* One that is gone meanwhile is not there. */
	if (fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0
				       : err_sys(e, ERR_FILE,
					     "cannot read the attributes of "
					     "'%s'",
					     buf_cstr(path));
	if (!S_ISDIR(st.st_mode))
		return w->each(w->ctx, buf_cstr(path), &st, e);
	if (!w->enters || w->enters(w->ctx, buf_cstr(path)))
		push(left, buf_cstr(path));
	return 0;
}

/* top is "" or ends in '/'. */
static int
walk_one(struct folders *left, const struct folder_walk *w, const char *top,
    struct err *e)
{
	struct buf path = buf_make(16384);
	struct dirent *x;
	DIR *d = NULL;
	int fd, rv = 0;

	buf_printf(&path, "%s.", top);
	fd = folder_openat(
	    w->folder, buf_cstr(&path), O_RDONLY | O_DIRECTORY, e);
	if (fd >= 0 && !(d = fdopendir(fd))) {
		close(fd);
		err_sys(e, ERR_FILE, "cannot read '%s'", top);
	}
	while (d && rv == 0 && (x = readdir(d))) {
		buf_clear(&path);
		buf_puts(&path, top);
		rv = walk_entry(left, w, d, x->d_name, &path, e);
	}
	buf_release(&path);
	if (!d)
		return -1;
	closedir(d);
	return rv;
}

int
folder_walk(const struct folder_walk *w, const char *top, struct err *e)
{
	struct folders left = {NULL, 0};
	int rv;

	push(&left, top);
	for (rv = 0; left.n && rv == 0;) {
		char *path = left.path[--left.n];
		struct buf b = buf_make(16384);

		buf_printf(&b, "%s%s", path, *path ? "/" : "");
		rv = walk_one(&left, w, buf_cstr(&b), e);
		buf_release(&b);
		free(path);
	}
	while (left.n)
		free(left.path[--left.n]);
	free(left.path);
	return rv;
}

/* --- Properties of the file system. --- */

enum {
	NETWORK = 1,
	NO_HOLES = 2,
	MAX_4G = 4,
	UNKNOWN_HOLES = 8,
	FLASH = 16,
	PICKY = 32,   /* refuses some names */
	WINDOWS = 64, /* a Windows file system, or may be served by Windows */
};

#ifdef __linux__

/* By statfs(2) and the kernel's include/uapi/linux/magic.h. What is not here is
 * a local file system with holes and locks. */
static unsigned
kind_of(uint32_t magic)
{
	static const struct {
		uint32_t magic;
		unsigned kind;
	} t[] = {
	    {0x4d44, NO_HOLES | MAX_4G | FLASH | WINDOWS},   /* FAT */
	    {0x2011bab0, NO_HOLES | FLASH | WINDOWS},        /* exFAT */
	    {0x72b6, FLASH},                                 /* JFFS2 */
	    {0x24051905, FLASH},                             /* UBIFS */
	    {0x5941ff53, FLASH},                             /* YAFFS2 */
	    {0x4244, NO_HOLES | PICKY},                      /* HFS */
	    {0x482b, NO_HOLES | PICKY},                      /* HFS+ */
	    {0x5346544e, NO_HOLES | WINDOWS},                /* NTFS */
	    {0x7366746e, NO_HOLES | WINDOWS},                /* NTFS3 */
	    {0x65735546, NETWORK | UNKNOWN_HOLES},           /* FUSE */
	    {0x517b, NETWORK | UNKNOWN_HOLES | WINDOWS},     /* SMB */
	    {0xff534d42, NETWORK | UNKNOWN_HOLES | WINDOWS}, /* CIFS */
	    {0xfe534d42, NETWORK | UNKNOWN_HOLES | WINDOWS}, /* SMB2 */
	    {0x01021997, NETWORK | UNKNOWN_HOLES | WINDOWS}, /* 9P */
	    {0x786f4256, NETWORK | UNKNOWN_HOLES | WINDOWS}, /* VirtualBox */
	    {0xbacbacbc, NETWORK | UNKNOWN_HOLES | WINDOWS}, /* VMware */
	    {0x7c7c6673, NETWORK | UNKNOWN_HOLES | WINDOWS}, /* Parallels */
	    {0x6969, NETWORK},                               /* NFS */
	    {0x0bd00bd0, NETWORK},                           /* Lustre */
	    {0x00c36400, NETWORK},                           /* Ceph */
	    {0x47504653, NETWORK},                           /* GPFS */
	    {0x19830326, NETWORK},                           /* BeeGFS */
	    {0xaad7aaea, NETWORK},                           /* PanFS */
	    {0x20030528, NETWORK},                           /* OrangeFS */
	    {0x5346414f, NETWORK},                           /* AFS */
	    {0x6b414653, NETWORK},       /* AFS of the kernel */
	    {0x73757245, NETWORK},       /* Coda */
	    {0x564c, NETWORK | WINDOWS}, /* NCP */
	    {0x7461636f, NETWORK},       /* OCFS2 */
	    {0x01161970, NETWORK},       /* GFS2 */
	    {0xf15f, PICKY},             /* eCryptfs */
	};

	for (size_t i = 0; i < countof(t); i++)
		if (t[i].magic == magic)
			return t[i].kind;
	return 0;
}

static unsigned
kind_here(int fd)
{
	struct statfs s;

	if (fstatfs(fd, &s) < 0)
		return 0;
	return kind_of((uint32_t)s.f_type);
}

/* By the kernel's Documentation/admin-guide/devices.txt: blocks of an MTD, SD
 * and MMC cards. */
static bool
is_card(dev_t device)
{
	return major(device) == 31 || major(device) == 179;
}

#else

static unsigned
kind_here(int fd)
{
	(void)fd;
	return UNKNOWN_HOLES | PICKY;
}

static bool
is_card(dev_t device)
{
	(void)device;
	return false;
}

#endif

static void
look_at_room(int fd, struct folder_traits *t)
{
	struct statvfs s;
	uint64_t unit;

	t->free = t->free_files = UINT64_MAX;
	if (fstatvfs(fd, &s) < 0)
		return;
	unit = s.f_frsize ? s.f_frsize : s.f_bsize;
	if (s.f_blocks && unit && s.f_bavail <= UINT64_MAX / unit)
		t->free = s.f_bavail * unit;
	/* File systems without a fixed number of files report 0 of 0. */
	if (s.f_files)
		t->free_files = s.f_favail;
}

static uint64_t
largest(unsigned kind)
{
	uint64_t max = kind & MAX_4G ? UINT32_MAX : UINT64_MAX;
	struct rlimit r;

	if (getrlimit(RLIMIT_FSIZE, &r) == 0 && r.rlim_cur != RLIM_INFINITY &&
	    r.rlim_cur < max)
		max = r.rlim_cur;
	return max;
}

/* True if a file of a hole and one byte takes the room of one byte. */
static bool
holes_are_cheap(int fd)
{
	const off_t hole = 1 << 20;
	struct stat st;

	return pwrite(fd, "", 1, hole) == 1 && fstat(fd, &st) == 0 &&
	       st.st_blocks < hole / 512 / 2;
}

int
folder_traits(const struct folder *f, struct folder_traits *t, struct err *e)
{
	unsigned kind = kind_here(f->fd);
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return err_sys(
		    e, ERR_FILE, "cannot read the attributes of '%s'", f->path);
	*t = (struct folder_traits){
	    .max_file = largest(kind),
	    .network = (kind & NETWORK) != 0,
	    .flash = (kind & FLASH) || is_card(st.st_dev),
	    .sparse = (kind & NO_HOLES) == 0,
	    .windows = (kind & WINDOWS) != 0,
	    .picky = (kind & (PICKY | WINDOWS | NETWORK)) != 0,
	    .untried_holes = (kind & UNKNOWN_HOLES) != 0,
	    .maker = {geteuid(), 0644, 0600,
		(kind & (NETWORK | NO_HOLES | UNKNOWN_HOLES)) != 0},
	};
	look_at_room(f->fd, t);
	return 0;
}

int
folder_probe(const struct folder *f, struct folder_traits *t, struct err *e)
{
	int fd;

	if (maker_find(&t->maker, f, e) < 0)
		return -1;
	if (!t->untried_holes)
		return 0;
	fd = open_nameless(f, e);
	if (fd < 0)
		return -1;
	t->sparse = holes_are_cheap(fd);
	t->untried_holes = false;
	close(fd);
	return 0;
}

/* --- The hash of a local file. --- */

#define PIECE ((size_t)128 << 10)

/* The kinds of n hashes, in one pass. */
static int
hash_all(int fd, uint64_t size, const enum hash_kind *kind, size_t kinds,
    const char *name, void (*moved)(void *ctx, size_t n), void *ctx,
    struct digest *out, struct err *e)
{
	unsigned char *bytes = xmalloc(PIECE);
	struct hash h[2];
	int rv = 0;

	for (size_t i = 0; i < kinds; i++)
		hash_init(&h[i], kind[i], size);
	for (uint64_t at = 0; rv == 0 && at < size;) {
		size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;

		rv = wait_check(e);
		if (rv == 0)
			rv = file_pread(fd, bytes, n, at, name, e);
		for (size_t i = 0; rv == 0 && i < kinds; i++)
			hash_update(&h[i], bytes, n);
		if (rv == 0 && moved)
			moved(ctx, n);
		at += n;
	}
	for (size_t i = 0; i < kinds; i++)
		hash_final(&h[i], &out[i]);
	free(bytes);
	return rv;
}

int
filehash(int fd, uint64_t size, enum hash_kind kind, const char *name,
    void (*moved)(void *ctx, size_t n), void *ctx, struct digest *out,
    struct err *e)
{
	return hash_all(fd, size, &kind, 1, name, moved, ctx, out, e);
}

int
filehash_both(int fd, uint64_t size, const char *name,
    void (*moved)(void *ctx, size_t n), void *ctx, struct digest out[2],
    struct err *e)
{
	static const enum hash_kind kind[] = {HASH_SHA256, HASH_GIT};

	return hash_all(fd, size, kind, 2, name, moved, ctx, out, e);
}
