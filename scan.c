#define _GNU_SOURCE /* realpath */

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

/* A file that is never sent, by whatever name it is found. */
struct secret {
	dev_t device;
	ino_t inode;
};

struct walk {
	const struct folder *folder;
	const struct scan_rules *rules;
	struct scan *out;
	struct buf path;       /* of the folder that is read, with its '/' */
	char *real;            /* of the folder; NULL: not known */
	uid_t owner;           /* of the folder */
	struct secret *secret; /* those that are there */
	size_t secrets;
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

static struct scan_file *
add_entry(struct scan *s, const char *path)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap + s->cap / 2 : 64;
		s->file = xreallocarray(s->file, s->cap, sizeof(s->file[0]));
	}
	s->file[s->n] = (struct scan_file){.path = xstrdup(path)};
	return &s->file[s->n++];
}

static int
add(struct scan *s, const char *path, const struct stat *st, bool link,
    struct err *e)
{
	struct scan_file *f;

	if ((uint64_t)st->st_size > SCAN_FILE_MAX)
		return refuse(
		    path, "the Hub takes files of 500 GB at the most", e);
	f = add_entry(s, path);
	stamp_of(st, &f->stamp);
	f->link = link;
	s->size += f->stamp.size;
	return 0;
}

static void
pass(struct scan *s, const char *path, enum scan_kind kind)
{
	s->passed =
	    xreallocarray(s->passed, s->passed_n + 1, sizeof(s->passed[0]));
	s->passed[s->passed_n++] = (struct scan_passed){xstrdup(path), kind};
}

/* --- What is never sent. --- */

static void
find_secrets(struct walk *w)
{
	const struct scan_rules *r = w->rules;

	w->secret = xcalloc(r->secret_n, sizeof(w->secret[0]));
	for (size_t i = 0; i < r->secret_n; i++) {
		struct stat st;

		if (stat(r->secret[i], &st) == 0)
			w->secret[w->secrets++] =
			    (struct secret){st.st_dev, st.st_ino};
	}
}

static bool
is_secret(const struct walk *w, const struct stat *st)
{
	for (size_t i = 0; i < w->secrets; i++)
		if (w->secret[i].device == st->st_dev &&
		    w->secret[i].inode == st->st_ino)
			return true;
	return false;
}

static const char *
last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool
is_dotenv(const char *path)
{
	struct str name = str_of(last_part(path));

	return str_eq(name, ".env") || str_starts(name, ".env.");
}

/* Whether a pattern names the file, and does not just match it. */
static bool
is_named(const struct glob_list *include, const char *path)
{
	for (size_t i = 0; i < include->n; i++) {
		const char *p = include->pattern[i];

		if (!strpbrk(last_part(p), "*?[") && glob_match(p, path))
			return true;
	}
	return false;
}

/* --- Links. --- */

/* Whether a path lies in the folder whose path is real. */
static bool
is_below(const char *path, const char *real)
{
	size_t n = strlen(real);

	return strncmp(path, real, n) == 0 &&
	       (path[n] == '/' || (n && real[n - 1] == '/'));
}

/* Where a link leads to, with the path of the walk; the caller frees. NULL if
 * that is not known. */
static char *
target(const struct walk *w)
{
	struct buf b = buf_make(2 * w->path.max);
	char *real;

	buf_printf(&b, "%s/%s", w->folder->path, w->path.s);
	real = b.full ? NULL : realpath(buf_cstr(&b), NULL);
	buf_release(&b);
	return real;
}

/* A link to a file that is sent. True if what it leads to must not be. */
static bool
judge_link(struct walk *w)
{
	struct scan *s = w->out;
	char *real = target(w);
	bool secret = real && is_dotenv(real);

	if (!secret && !(real && w->real && is_below(real, w->real)) &&
	    !s->outside++)
		s->outside_first = xstrdup(buf_cstr(&w->path));
	free(real);
	return secret;
}

static bool
is_foreign(const struct walk *w, const struct stat *link)
{
	return link->st_uid != geteuid() && link->st_uid != 0 &&
	       link->st_uid != w->owner;
}

/* Looks through a link at what it leads to. False if it cannot be sent; then
 * that is noted. */
static bool
follow_link(struct walk *w, int fd, const char *name, const struct stat *link,
    struct stat *st)
{
	const char *path = buf_cstr(&w->path);
	struct buf why = buf_make(256);
	int rv;

	rv = fstatat(fd, name, st, 0);
	if (rv < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
		buf_puts(&why, "it is a symbolic link that leads nowhere");
	} else if (rv < 0) {
		buf_printf(&why, "cannot follow the symbolic link: %s",
		    strerror(errno));
	} else if (is_foreign(w, link) && !S_ISDIR(st->st_mode)) {
		buf_printf(&why,
		    "it is a symbolic link that another user (%ju) made",
		    (uintmax_t)link->st_uid);
		rv = -1;
	}
	if (rv < 0)
		add_entry(w->out, path)->why = buf_detach(&why);
	buf_release(&why);
	return rv == 0;
}

/* --- The walk. --- */

/* What is neither a folder nor a link that cannot be sent. */
static int
take(struct walk *w, const struct stat *st, bool link, size_t *entries,
    struct err *e)
{
	const char *path = buf_cstr(&w->path);
	struct scan *s = w->out;

	if (S_ISDIR(st->st_mode))
		pass(s, path, SCAN_TO_FOLDER);
	else if (!S_ISREG(st->st_mode))
		pass(s, path, SCAN_SPECIAL);
	else if (is_secret(w, st))
		pass(s, path, SCAN_TOKEN);
	else if (!is_named(&w->rules->include, path) &&
		 (is_dotenv(path) || (link && judge_link(w))))
		pass(s, path, SCAN_DOTENV);
	else {
		++*entries;
		return add(s, path, st, link, e);
	}
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
	int sub;

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
	if (!glob_kept(&w->rules->include, &w->rules->exclude, path))
		return 0;
	if (scan_path_check(path, e) < 0)
		return err_hint(e, "leave it out with --exclude");
	if (!S_ISLNK(link.st_mode))
		return take(w, &link, false, entries, e);
	if (!follow_link(w, fd, name, &link, &st))
		return 0;
	return take(w, &st, true, entries, e);
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
scan_folder(const struct folder *f, const struct scan_rules *rules,
    struct scan *out, struct err *e)
{
	/* One byte more than what is taken, so that it can be named. */
	struct walk w = {.folder = f,
	    .rules = rules,
	    .out = out,
	    .path = buf_make(4096),
	    .real = realpath(f->path, NULL)};
	int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int rv = -1;

	*out = (struct scan){.file = NULL};
	if (fd >= 0 && fstat(fd, &st) == 0) {
		w.owner = st.st_uid;
		find_secrets(&w);
		rv = walk_fd(&w, fd, e);
	} else {
		err_sys(e, ERR_FILE, "cannot open '%s'", f->path);
		if (fd >= 0)
			close(fd);
	}
	buf_release(&w.path);
	free(w.real);
	free(w.secret);
	if (rv < 0)
		scan_release(out);
	else if (out->n)
		qsort(out->file, out->n, sizeof(out->file[0]), by_path);
	return rv;
}

int
scan_one(const struct folder *f, const char *name,
    const struct scan_rules *rules, struct scan *out, struct err *e)
{
	struct walk w = {.rules = rules};
	struct stat st;
	bool secret;

	*out = (struct scan){.file = NULL};
	if (fstatat(f->fd, name, &st, 0) < 0)
		return err_sys(e, ERR_FILE, "cannot open '%s'", name);
	if (!S_ISREG(st.st_mode))
		return err_set(
		    e, ERR_USAGE, "'%s' is neither a file nor a folder", name);
	find_secrets(&w);
	secret = is_secret(&w, &st);
	free(w.secret);
	if (secret)
		return refuse(name, "it holds the token, and is never sent", e);
	if (scan_path_check(name, e) < 0)
		return -1;
	return add(out, name, &st, false, e);
}

void
scan_release(struct scan *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->file[i].path);
		free(s->file[i].why);
	}
	for (size_t i = 0; i < s->passed_n; i++)
		free(s->passed[i].path);
	free(s->file);
	free(s->passed);
	free(s->outside_first);
	*s = (struct scan){.file = NULL};
}

int
scan_unchanged(
    const struct folder *f, int fd, const struct scan_file *s, struct err *e)
{
	struct stat named, open;
	struct stamp now;

	/* By its name: what was replaced stays as it was where it is open. */
	if (fstatat(f->fd, s->path, &named, 0) == 0) {
		stamp_of(&named, &now);
		if (stamp_same(&now, &s->stamp) &&
		    (fd < 0 ||
			(fstat(fd, &open) == 0 && open.st_dev == named.st_dev &&
			    open.st_ino == named.st_ino)))
			return 0;
		err_set(e, ERR_CONTENT, "it changed while it was uploaded");
	} else {
		err_sys(e, ERR_CONTENT, "it went away while it was uploaded");
	}
	return err_hint(e, "run again when nothing writes to it");
}

int
scan_open(const struct folder *f, const struct scan_file *s, struct err *e)
{
	int fd = openat(f->fd, s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_sys(e, ERR_FILE, "cannot open it");
	if (scan_unchanged(f, fd, s, e) == 0)
		return fd;
	close(fd);
	return -1;
}
