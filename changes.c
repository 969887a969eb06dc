#define _GNU_SOURCE /* realpath */

#include "changes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "err.h"
#include "file.h"
#include "journal.h"
#include "path.h"
#include "progress.h"
#include "repo.h"
#include "str.h"
#include "wait.h"

/* --- The local files. --- */

/* Bytes of a path to show, so that the reason fits beside it. */
#define SHOWN 400

/* A file that is never sent, under any name. */
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

/* True for our own folder and git's, which are skipped in every folder. */
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

/* Checks one path as it is to be in the repository: what the Hub would refuse
 * in the middle of the upload is refused at the start. */
static int
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
			    "its name contains a control character or a "
			    "backslash",
			    e);
	while (more) {
		part = rest;
		more = str_cut(rest, '/', &part, &rest);
		if (str_eq(part, ".git") || str_eq(part, ".cache"))
			return refuse(path,
			    "the Hub does not accept '.git' or '.cache' as a "
			    "part of a path",
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

/* Returns the last part of a pattern, which may have backslashes in place of
 * slashes. */
static const char *
last_part(const char *path)
{
	const char *last = path;

	for (; *path; path++)
		if (*path == '/' || *path == '\\')
			last = path + 1;
	return last;
}

/* True for ".env" and ".env.*", in any case: some file systems do not
 * distinguish it. */
static bool
is_dotenv(const char *path)
{
	struct str name = str_of(last_part(path));

	if (name.n > 4 && name.s[4] == '.')
		name.n = 4;
	return str_eq_nocase(name, ".env");
}

/* True if a pattern names the file, and does not just match it. "sub/" means
 * every file below sub and names none. */
static bool
is_named(const struct glob_list *include, const char *path)
{
	for (size_t i = 0; i < include->n; i++) {
		const char *p = include->pattern[i];

		if (strcmp(last_part(p), last_part(path)) == 0 &&
		    glob_match(p, path))
			return true;
	}
	return false;
}

/* --- Links. --- */

/* True if a path lies in the folder whose real path is real. */
static bool
is_below(const char *path, const char *real)
{
	size_t n = strlen(real);

	return strncmp(path, real, n) == 0 &&
	       (path[n] == '/' || (n && real[n - 1] == '/'));
}

/* Returns the real path of a path in the folder, which the caller frees; NULL
 * if it is not known. */
static char *
target(const struct folder *f, const char *path)
{
	struct buf b = buf_make(8192);
	char *real;

	buf_printf(&b, "%s/%s", f->path, path);
	real = b.full ? NULL : realpath(buf_cstr(&b), NULL);
	buf_release(&b);
	return real;
}

/* Checks a link to a file. True if its target must not be sent. */
static bool
judge_link(struct walk *w)
{
	struct scan *s = w->out;
	char *real = target(w->folder, buf_cstr(&w->path));
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

/* Replaces *st of a link by that of its target. Notes why and returns false if
 * the target cannot be sent. */
static bool
follow_link(struct walk *w, int fd, const char *name, const struct stat *link,
    struct stat *st)
{
	const char *path = buf_cstr(&w->path);
	struct err e = {.kind = ERR_NONE};
	int rv;

	rv = fstatat(fd, name, st, 0);
	if (rv < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
		err_set(&e, ERR_PARTIAL,
		    "it is a symbolic link that leads nowhere");
	} else if (rv < 0) {
		err_sys(&e, ERR_PARTIAL, "cannot follow the symbolic link");
	} else if (is_foreign(w, link) && !S_ISDIR(st->st_mode)) {
		err_set(&e, ERR_PARTIAL,
		    "it is a symbolic link that another user (%ju) made",
		    (uintmax_t)link->st_uid);
	}
	if (e.kind == ERR_NONE)
		return true;
	err_hint(&e, "leave it out with --exclude");
	add_entry(w->out, path)->failure = failure_keep(&e);
	return false;
}

/* --- The walk. --- */

/* Adds an entry that is neither a folder nor a refused link. */
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

/* Handles one entry of the folder fd; its path is that of the walk. */
static int
visit(struct walk *w, int fd, const char *name, size_t *entries, struct err *e)
{
	const char *path = buf_cstr(&w->path);
	struct stat st, link;
	int sub;

	if (is_ours(path))
		return 0;
	if (fstatat(fd, name, &link, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(
		    e, ERR_FILE, "cannot read the attributes of '%s'", path);
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
	/* One byte above the limit, so that the path can be named. */
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

static bool
leads_to_dotenv(const struct folder *f, const char *name)
{
	char *real = target(f, name);
	bool leads = real && is_dotenv(real);

	free(real);
	return leads;
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
		return refuse(
		    name, "it contains the token and is never sent", e);
	if (!is_dotenv(name) && leads_to_dotenv(f, name)) {
		refuse(name, "it is a link to a .env file", e);
		return err_hint(e, "give the path of that file to send it");
	}
	if (scan_path_check(name, e) < 0)
		return -1;
	return add(out, name, &st, false, e);
}

void
scan_release(struct scan *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->file[i].path);
		free(s->file[i].failure);
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

	/* Looked up by name: a file that was replaced stays as it was where it
	 * is open. */
	if (fstatat(f->fd, s->path, &named, 0) == 0) {
		stamp_of(&named, &now);
		if (stamp_same(&now, &s->stamp) &&
		    (fd < 0 ||
			(fstat(fd, &open) == 0 && open.st_dev == named.st_dev &&
			    open.st_ino == named.st_ino)))
			return 0;
		err_set(e, ERR_CONTENT, "it changed during the upload");
	} else {
		err_sys(e, ERR_CONTENT, "it was removed during the upload");
	}
	return err_hint(e, "run again when no other program writes to it");
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

/* --- Which of them differ. --- */

/* Bytes up to which .gitignore and .gitattributes are sent whole to the Hub. */
#define RULES_MAX ((size_t)1 << 20)

/* 256 paths, samples in base64, and the rules. */
#define QUESTION_MAX ((size_t)16 << 20)

#define THREADS_MAX 4

/* A shorter token could be part of a file by chance. */
#define TOKEN_MIN 8
#define TOKEN_PIECE ((size_t)64 << 10)

void
offer_fail(struct offer_file *f, const struct err *why, struct progress *p)
{
	f->fate = OFFER_FAILED;
	free(f->failure);
	f->failure = failure_keep(why);
	if (p)
		progress_finish(p, progress_start(p, f->path, 0, 0),
		    PROGRESS_FAILED, why->msg);
}

/* --- The local side. --- */

/* Opens the folder that path is, or is in; name gets the file's, or NULL. */
static int
open_source(struct offer *o, const char *path, char **name, struct err *e)
{
	const char *slash = strrchr(path, '/');
	struct stat st;
	char *folder;
	int rv;

	*name = NULL;
	if (stat(path, &st) < 0)
		return err_sys(e, errno == ENOENT ? ERR_USAGE : ERR_FILE,
		    "cannot upload '%s'", path);
	if (S_ISDIR(st.st_mode))
		return folder_open(&o->folder, path, false, e);
	*name = xstrdup(slash ? slash + 1 : path);
	folder = slash == path ? xstrdup("/")
		 : slash       ? xstrndup(path, (size_t)(slash - path))
			       : xstrdup(".");
	rv = folder_open(&o->folder, folder, false, e);
	free(folder);
	return rv;
}

/* Returns the path without "./" and '/' in front; "." becomes the root. */
static const char *
bare(const char *to)
{
	while (*to == '/' || strncmp(to, "./", 2) == 0)
		to += *to == '/' ? 1 : 2;
	return strcmp(to, ".") == 0 ? "" : to;
}

char *
offer_prefix(const char *to)
{
	struct buf b = buf_make(4 * SCAN_PATH_MAX);

	buf_puts(&b, bare(to));
	if (b.len && b.s[b.len - 1] != '/')
		buf_putc(&b, '/');
	return buf_detach(&b);
}

static int
place(struct offer *o, const char *to, struct err *e)
{
	bool whole = o->single && *bare(to) && !str_ends(str_of(to), "/");
	char *prefix = whole ? xstrdup(bare(to)) : offer_prefix(to);
	int rv = 0;

	o->n = o->scan.n;
	o->file = xcalloc(o->n, sizeof(o->file[0]));
	for (size_t i = 0; rv == 0 && i < o->n; i++) {
		struct offer_file *f = &o->file[i];
		struct buf b = buf_make(8 * SCAN_PATH_MAX);

		f->local = &o->scan.file[i];
		buf_puts(&b, prefix);
		buf_puts(&b, whole ? "" : f->local->path);
		f->path = buf_detach(&b);
		rv = path_check(str_of(f->path), e);
		if (rv == 0)
			rv = scan_path_check(f->path, e);
		if (f->local->failure) {
			f->fate = OFFER_FAILED;
			f->failure = f->local->failure;
			o->scan.file[i].failure = NULL;
		}
	}
	free(prefix);
	if (rv == 0)
		return 0;
	e->kind = ERR_USAGE;
	return *bare(to) ? err_in(e, "--path-in-repo") : -1;
}

int
offer_open(struct offer *o, const char *path, const char *to,
    const struct scan_rules *rules, const char *token, struct err *e)
{
	char *name;
	int rv;

	*o = (struct offer){.folder.fd = -1};
	if (token && strlen(token) >= TOKEN_MIN)
		o->token = token;
	rv = open_source(o, path, &name, e);
	o->single = name != NULL;
	if (rv == 0)
		rv = name ? scan_one(&o->folder, name, rules, &o->scan, e)
			  : scan_folder(&o->folder, rules, &o->scan, e);
	if (rv == 0)
		rv = place(o, to, e);
	free(name);
	return rv;
}

void
offer_release(struct offer *o)
{
	for (size_t i = 0; i < o->n; i++) {
		free(o->file[i].path);
		free(o->file[i].failure);
	}
	free(o->file);
	o->file = NULL;
	o->n = 0;
	scan_release(&o->scan);
	folder_close(&o->folder);
}

/* --- The token does not go out in a file. --- */

static bool
holds(const char *p, size_t n, const char *token, size_t length)
{
	const char *end = p + n, *at = p;

	while ((size_t)(end - at) >= length &&
	       (at = memchr(at, *token, (size_t)(end - at) - length + 1))) {
		if (memcmp(at, token, length) == 0)
			return true;
		at++;
	}
	return false;
}

/* Searches the first end bytes for the token. Pieces overlap, so that a token
 * across their border is found. */
static int
look_for_token(int fd, const struct scan_file *l, const char *token,
    uint64_t end, struct err *e)
{
	size_t length = strlen(token), room = TOKEN_PIECE + length, n;
	char *piece = xmalloc(room);
	int rv = 0;

	for (uint64_t at = 0; rv == 0 && at + length <= end;
	     at += TOKEN_PIECE) {
		uint64_t left = end - at;

		n = left < room ? (size_t)left : room;
		rv = file_pread(fd, piece, n, at, l->path, e);
		if (rv == 0 && holds(piece, n, token, length)) {
			rv = err_set(e, ERR_USAGE,
			    "it contains the token in use, so it is not "
			    "sent");
			err_hint(e, "take the token out of it, or leave the "
				    "file out with --exclude");
		}
	}
	mem_wipe(piece, room);
	free(piece);
	return rv;
}

static bool
wants_look(const struct offer *o, const struct offer_file *f)
{
	return o->token && f->fate == OFFER_SEND &&
	       f->local->stamp.size <= OFFER_TOKEN_MAX;
}

/* --- How the Hub wants them. --- */

static int
compare_path(const void *a, const void *b)
{
	return strcmp(a, ((const struct offer_file *)b)->path);
}

/* The files are sorted by their paths below the folder: the same prefix before
 * each path does not change the order. */
struct offer_file *
offer_find(const struct offer *o, const char *path)
{
	return bsearch(path, o->file, o->n, sizeof(o->file[0]), compare_path);
}

static void
take_mode(void *ctx, const struct preupload_mode *m)
{
	struct offer_file *f = offer_find(ctx, m->path);

	if (!f || f->fate != OFFER_SEND)
		return;
	f->asked = true;
	/* The storage refuses an empty content. */
	f->lfs = m->lfs && f->local->stamp.size > 0;
	f->known = m->known;
	f->there = m->there;
	if (m->ignored)
		f->fate = OFFER_IGNORED;
}

/* Returns the text of .gitignore or .gitattributes in the upload; NULL if there
 * is none. */
static char *
read_rules(const struct offer *o, const char *path)
{
	const struct offer_file *f = offer_find(o, path);
	struct buf b = buf_make(RULES_MAX);
	struct err ignored;

	if (f && folder_read(&o->folder, f->local->path, &b, &ignored) == 0 &&
	    !(o->token && strstr(buf_cstr(&b), o->token)))
		return buf_detach(&b);
	buf_release(&b);
	return NULL;
}

/* Files of /proc have the size 0, but are not empty. */
static int
check_empty(int fd, struct err *e)
{
	char byte;
	ssize_t n = pread(fd, &byte, 1, 0);

	if (n == 0)
		return 0;
	if (n < 0)
		return err_sys(e, ERR_FILE, "cannot read it");
	return err_set(e, ERR_FILE,
	    "it is not an ordinary file: its size is 0, but it contains bytes");
}

/* The sample in the request must not contain the token either. */
static int
check_sample(
    const struct offer *o, const struct offer_file *f, int fd, struct err *e)
{
	uint64_t size = f->local->stamp.size, end;

	if (!wants_look(o, f))
		return 0;
	end = PREUPLOAD_SAMPLE + strlen(o->token);
	return look_for_token(
	    fd, f->local, o->token, size < end ? size : end, e);
}

static int
add_question(const struct offer *o, const struct offer_file *f, struct buf *b,
    struct err *e)
{
	unsigned char sample[PREUPLOAD_SAMPLE];
	uint64_t size = f->local->stamp.size;
	size_t n = size < sizeof(sample) ? (size_t)size : sizeof(sample);
	int fd = scan_open(&o->folder, f->local, e), rv;

	if (fd < 0)
		return -1;
	rv = size ? file_pread(fd, sample, n, 0, f->local->path, e)
		  : check_empty(fd, e);
	if (rv == 0)
		rv = check_sample(o, f, fd, e);
	close(fd);
	if (rv == 0)
		preupload_add(b, f->path, size, sample, n);
	return rv;
}

/* The rules in the upload, which the Hub does not have yet. */
struct rules {
	char *ignore, *attributes;
};

/* Builds the request about the files from i to end. Returns the number of files
 * in it. */
static size_t
put_question(struct offer *o, size_t i, size_t end, const struct rules *u,
    struct progress *p, struct buf *b)
{
	struct err why;
	size_t n = 0;

	preupload_begin(b);
	for (; i < end; i++) {
		struct offer_file *f = &o->file[i];

		if (f->fate == OFFER_FAILED)
			continue;
		if (add_question(o, f, b, &why) < 0)
			offer_fail(f, &why, p);
		else
			n++;
	}
	preupload_end(b, u->ignore, u->attributes);
	return n;
}

/* A file that the answer lacks fails: it is not sent on a guess. */
static void
miss_some(struct offer *o, size_t i, size_t end, struct progress *p)
{
	struct err why;

	err_set(&why, ERR_CONTENT, "the Hub does not say how to send it");
	for (; i < end; i++)
		if (o->file[i].fate == OFFER_SEND && !o->file[i].asked)
			offer_fail(&o->file[i], &why, p);
}

/* Asks about the files from i on. head gets the head of the branch at that
 * time, or "". */
static int
ask_some(struct offer *o, const struct repo *r, const char *revision,
    bool new_pr, const struct rules *u, size_t i, char head[41],
    struct progress *p, struct err *e)
{
	struct buf b = buf_make(QUESTION_MAX);
	size_t end = o->n - i < PREUPLOAD_MAX ? o->n : i + PREUPLOAD_MAX;
	int rv = 0;

	*head = '\0';
	if (put_question(o, i, end, u, p, &b))
		rv = repo_preupload(
		    r, revision, new_pr, &b, take_mode, o, head, e);
	if (rv == 0)
		miss_some(o, i, end, p);
	buf_release(&b);
	return rv;
}

int
offer_ask(struct offer *o, const struct repo *r, const char *revision,
    bool new_pr, char head[41], struct progress *p, struct err *e)
{
	struct rules u = {
	    read_rules(o, ".gitignore"), read_rules(o, ".gitattributes")};
	bool known = false;
	int rv = 0;

	progress_phase(p, "comparing", o->n, 0);
	for (size_t i = 0; rv == 0 && i < o->n; i += PREUPLOAD_MAX) {
		char now[41];

		rv = ask_some(o, r, revision, new_pr, &u, i, now, p, e);
		/* Only the first answer counts: later ones may name another
		 * commit. */
		if (rv == 0 && *now && !known)
			memcpy(head, now, sizeof(now));
		known = known || *now;
		progress_tick(p, wait_status_asked());
	}
	free(u.ignore);
	free(u.attributes);
	return rv;
}

/* --- Hashing, several files beside each other. --- */

/* The lock of the crew guards next. */
struct hashing {
	struct offer *offer;
	struct journal *journal;
	struct progress *progress;
	bool dry;
	struct crew crew; /* left: files to be looked at */
	size_t next;      /* file to be looked at */
};

static bool
wants_hash(const struct offer_file *f, bool dry)
{
	return f->fate == OFFER_SEND && (f->known || (f->lfs && !dry));
}

static int
read_hash(const struct offer *o, struct offer_file *f, enum hash_kind kind,
    struct progress_file *p, struct err *e)
{
	const struct scan_file *l = f->local;
	int fd = scan_open(&o->folder, l, e), rv;

	if (fd < 0)
		return -1;
	rv = filehash(
	    fd, l->stamp.size, kind, l->path, progress_moved, p, &f->digest, e);
	if (rv == 0)
		rv = scan_unchanged(&o->folder, fd, l, e);
	close(fd);
	return rv;
}

/* The kind of hash by which a file is compared and sent. */
static enum hash_kind
kind_of(const struct offer_file *f)
{
	return f->lfs ? HASH_SHA256 : HASH_GIT;
}

int
offer_hash_again(struct offer *o, struct offer_file *f, struct journal *j,
    struct progress *p, struct err *e)
{
	const struct scan_file *l = f->local;
	struct progress_file m = {
	    p, progress_start(p, f->path, l->stamp.size, 0)};

	f->remembered = false;
	if (read_hash(o, f, kind_of(f), &m, e) < 0) {
		progress_finish(p, m.file, PROGRESS_FAILED, e->msg);
		return -1;
	}
	f->hashed = true;
	f->unsettled = !journal_put_hash(j, l->path, &l->stamp, &f->digest);
	progress_finish(p, m.file, PROGRESS_DONE, NULL);
	return 0;
}

static int
hash_file(struct hashing *h, struct offer_file *f, struct err *e)
{
	const struct scan_file *l = f->local;
	struct progress *p = h->progress;

	if (journal_hash(
		h->journal, l->path, &l->stamp, kind_of(f), &f->digest)) {
		f->hashed = f->remembered = true;
		progress_finish(p, progress_start(p, f->path, l->stamp.size, 0),
		    PROGRESS_KEPT, NULL);
	} else if (offer_hash_again(h->offer, f, h->journal, p, e) < 0) {
		return -1;
	}
	if (f->known && digest_same(&f->digest, &f->there))
		f->fate = OFFER_SAME;
	return 0;
}

/* --- The token in the rest of a file. --- */

static int
check_token(const struct offer *o, struct offer_file *f, struct err *e)
{
	int fd = scan_open(&o->folder, f->local, e), rv;

	if (fd < 0)
		return -1;
	rv = look_for_token(fd, f->local, o->token, f->local->stamp.size, e);
	close(fd);
	return rv;
}

/* --- All of them. --- */

static void
look_at(struct hashing *h, struct offer_file *f)
{
	struct err e = {.kind = ERR_NONE};
	bool shown = wants_hash(f, h->dry);

	if ((!shown || hash_file(h, f, &e) == 0) && wants_look(h->offer, f)) {
		shown = false;
		check_token(h->offer, f, &e);
	}
	if (e.kind == ERR_STOPPED) {
		crew_lock(&h->crew);
		crew_end(&h->crew, &e);
		crew_unlock(&h->crew);
	} else if (e.kind != ERR_NONE) {
		offer_fail(f, &e, shown ? NULL : h->progress);
	}
}

/* Returns the next file to look at; NULL if there is none. The lock is held. */
static struct offer_file *
next_file(struct hashing *h)
{
	while (crew_busy(&h->crew) && h->next < h->offer->n) {
		struct offer_file *f = &h->offer->file[h->next++];

		if (wants_hash(f, h->dry) || wants_look(h->offer, f))
			return f;
	}
	return NULL;
}

static void *
hash_some(void *arg)
{
	struct hashing *h = arg;
	struct offer_file *f;

	crew_lock(&h->crew);
	while ((f = next_file(h))) {
		crew_unlock(&h->crew);
		look_at(h, f);
		crew_lock(&h->crew);
		h->crew.left--;
		if (!h->crew.left)
			crew_changed(&h->crew);
	}
	crew_unlock(&h->crew);
	return NULL;
}

static int
show_hashing(void *ctx, struct err *e)
{
	const struct hashing *h = ctx;

	(void)e;
	progress_tick(h->progress, wait_status_asked());
	return 0;
}

int
offer_hash(struct offer *o, bool dry, struct journal *j, struct progress *p,
    struct err *e)
{
	struct hashing h = {
	    .offer = o, .journal = j, .progress = p, .dry = dry};
	uint64_t bytes = 0;
	size_t files = 0, looks = 0;
	int rv;

	for (size_t i = 0; i < o->n; i++) {
		const struct offer_file *f = &o->file[i];

		if (wants_hash(f, dry)) {
			files++;
			bytes += f->local->stamp.size;
		} else if (wants_look(o, f)) {
			looks++;
		}
	}
	if (!files && !looks)
		return 0;
	if (files)
		progress_phase(p, "hashing", files, bytes);
	crew_init(&h.crew, files + looks, THREADS_MAX);
	rv = crew_start(
	    &h.crew, crew_cores(files + looks, THREADS_MAX), hash_some, &h, e);
	if (rv == 0) {
		crew_watch(&h.crew, show_hashing, &h);
		rv = crew_join(&h.crew, e);
	}
	crew_release(&h.crew);
	return rv;
}
