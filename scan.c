#include "scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "mem.h"
#include "str.h"
#include "wait.h"

/* So much of a path is shown: what is wrong with it must fit, too. */
#define SHOWN 400

struct walk {
	const struct glob_list *include, *exclude;
	struct scan *out;
	struct buf path; /* of the folder that is read, with its '/' */
};

/* Passed over wherever it stands: our own folder and git's. */
static bool
is_ours(const char *path)
{
	struct str s = str_of(path);

	return str_eq(s, ".git") || str_ends(s, "/.git") ||
	       str_eq(s, ".cache/huggingface") ||
	       str_ends(s, "/.cache/huggingface");
}

static int
refuse(const char *path, const char *why, struct err *e)
{
	bool cut = strlen(path) > SHOWN;

	return err_set(e, ERR_USAGE, "cannot upload '%.*s%s': %s", SHOWN, path,
	    cut ? "..." : "", why);
}

int
scan_path_check(const char *path, struct err *e)
{
	struct str rest = str_of(path), part;
	bool more = true;

	if (rest.n > SCAN_PATH_MAX)
		return refuse(path, "its path is longer than 1000 bytes", e);
	if (!utf8_valid(rest))
		return refuse(path, "its name is not UTF-8", e);
	for (size_t i = 0; i < rest.n; i++)
		if ((unsigned char)rest.s[i] < ' ' || rest.s[i] == 0x7f ||
		    rest.s[i] == '\\')
			return refuse(path,
			    "its name has a control character "
			    "or a backslash in it",
			    e);
	while (more) {
		part = rest;
		more = str_cut(rest, '/', &part, &rest);
		if (str_eq(part, ".git") || str_eq(part, ".cache"))
			return refuse(path,
			    "the Hub takes no path with a part "
			    "'.git' or '.cache'",
			    e);
	}
	return 0;
}

static int
add(struct scan *s, const char *path, const struct stat *st, bool link,
    struct err *e)
{
	if (scan_path_check(path, e) < 0)
		return err_hint(e, "leave it out with --exclude");
	if ((uint64_t)st->st_size > SCAN_FILE_MAX)
		return refuse(path,
		    "the Hub takes files of 500 GB at the "
		    "most",
		    e);
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap + s->cap / 2 : 64;
		s->file = xreallocarray(s->file, s->cap, sizeof(s->file[0]));
	}
	s->file[s->n++] = (struct scan_file){
	    .path = xstrdup(path),
	    .size = (uint64_t)st->st_size,
	    .inode = (uint64_t)st->st_ino,
	    .mtime_s = st->st_mtim.tv_sec,
	    .mtime_ns = st->st_mtim.tv_nsec,
	    .link = link,
	};
	s->size += (uint64_t)st->st_size;
	return 0;
}

/* NOLINTBEGIN(misc-no-recursion): each step down adds to a path that has a
 * limit, in frames of 500 bytes, and needs a descriptor. */
static int walk_fd(struct walk *w, int fd, struct err *e);

/* One entry; its path is that of the walk. fd is the folder that it is in. */
static int
visit(struct walk *w, int fd, const char *name, size_t *entries, struct err *e)
{
	const char *path = buf_cstr(&w->path);
	struct stat st, link;
	int sub, rv;

	if (is_ours(path))
		return 0;
	if (fstatat(fd, name, &link, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, ERR_FILE, "cannot look at '%s'", path);
	if (S_ISDIR(link.st_mode)) {
		sub = openat(
		    fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			return err_sys(e, ERR_FILE, "cannot open '%s'", path);
		++*entries;
		buf_putc(&w->path, '/');
		return walk_fd(w, sub, e);
	}
	if (!glob_kept(w->include, w->exclude, path))
		return 0;
	rv = fstatat(fd, name, &st, 0);
	if (rv < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		return err_sys(e, ERR_FILE, "cannot look at '%s'", path);
	if (rv < 0 || !S_ISREG(st.st_mode)) {
		w->out->skipped++;
		return 0;
	}
	++*entries;
	return add(w->out, path, &st, S_ISLNK(link.st_mode), e);
}

static int
walk_entries(struct walk *w, DIR *dir, struct err *e)
{
	size_t length = w->path.len, entries = 0;
	struct dirent *d;

	while ((errno = 0, d = readdir(dir))) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (wait_check(e) < 0)
			return -1;
		buf_puts(&w->path, d->d_name);
		if (w->path.full)
			return refuse(d->d_name, "its path is too long", e);
		if (visit(w, dirfd(dir), d->d_name, &entries, e) < 0)
			return -1;
		w->path.len = length;
		w->path.s[length] = '\0';
		if (entries > SCAN_FOLDER_MAX) {
			refuse(length ? buf_cstr(&w->path) : ".",
			    "the Hub takes 10,000 entries in a folder at the "
			    "most",
			    e);
			return err_hint(e, "spread them over subfolders");
		}
	}
	if (errno)
		return err_sys(
		    e, ERR_FILE, "cannot read '%s'", buf_cstr(&w->path));
	return 0;
}

/* Takes fd. */
static int
walk_fd(struct walk *w, int fd, struct err *e)
{
	DIR *dir = fdopendir(fd);
	int rv;

	if (!dir) {
		err_sys(e, ERR_FILE, "cannot read '%s'", buf_cstr(&w->path));
		close(fd);
		return -1;
	}
	rv = walk_entries(w, dir, e);
	closedir(dir);
	return rv;
}
/* NOLINTEND(misc-no-recursion) */

static int
by_path(const void *a, const void *b)
{
	const struct scan_file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

int
scan_folder(const struct folder *f, const struct glob_list *include,
    const struct glob_list *exclude, struct scan *out, struct err *e)
{
	/* One byte more than what is taken, so that it can be named. */
	struct walk w = {include, exclude, out, buf_make(4096)};
	int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rv;

	*out = (struct scan){.file = NULL};
	if (fd < 0)
		return err_sys(e, ERR_FILE, "cannot open '%s'", f->path);
	rv = walk_fd(&w, fd, e);
	buf_release(&w.path);
	if (rv < 0)
		scan_release(out);
	else if (out->n)
		qsort(out->file, out->n, sizeof(out->file[0]), by_path);
	return rv;
}

int
scan_one(
    const struct folder *f, const char *name, struct scan *out, struct err *e)
{
	struct stat st;

	*out = (struct scan){.file = NULL};
	if (fstatat(f->fd, name, &st, 0) < 0)
		return err_sys(e, ERR_FILE, "cannot open '%s'", name);
	if (!S_ISREG(st.st_mode))
		return err_set(
		    e, ERR_USAGE, "'%s' is neither a file nor a folder", name);
	return add(out, name, &st, false, e);
}

void
scan_release(struct scan *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->file[i].path);
	free(s->file);
	*s = (struct scan){.file = NULL};
}

int
scan_unchanged(int fd, const struct scan_file *s, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size == s->size &&
	    (uint64_t)st.st_ino == s->inode &&
	    st.st_mtim.tv_sec == s->mtime_s &&
	    st.st_mtim.tv_nsec == s->mtime_ns)
		return 0;
	err_set(e, ERR_CONTENT, "'%s' changed while it was uploaded", s->path);
	return err_hint(e, "run again when nothing writes to it");
}

int
scan_open(const struct folder *f, const struct scan_file *s, struct err *e)
{
	int fd = openat(f->fd, s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_sys(e, ERR_FILE, "cannot open '%s'", s->path);
	if (scan_unchanged(fd, s, e) == 0)
		return fd;
	close(fd);
	return -1;
}
