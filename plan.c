#include "plan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "cache.h"
#include "err.h"
#include "file.h"
#include "partial.h"
#include "path.h"
#include "progress.h"
#include "str.h"
#include "wait.h"
#include "xet.h"

/* --- The official client's metadata. --- */

#define META_MAX 4096

static struct str
next_line(struct str *text)
{
	struct str line = *text, rest = str_of("");

	str_cut(*text, '\n', &line, &rest);
	*text = rest;
	if (line.n && line.s[line.n - 1] == '\r')
		line.n--;
	return str_trim(line);
}

/* Parses "hub SIZE MTIME CTIME INODE", the times in two's complement. */
static bool
parse_stamp(struct str line, struct stamp *out)
{
	uint64_t number[4];
	struct str word, rest;

	if (!str_cut(line, ' ', &word, &rest) || !str_eq(word, "hub"))
		return false;
	for (size_t i = 0; i < countof(number); i++) {
		word = rest;
		if (str_cut(rest, ' ', &word, &rest) != (i < 3) ||
		    str_num(word, 10, UINT64_MAX, &number[i]) < 0)
			return false;
	}
	*out = (struct stamp){
	    .size = number[0],
	    .mtime = (int64_t)number[1],
	    .ctime = (int64_t)number[2],
	    .inode = number[3],
	};
	return true;
}

/* Reads "repo models/ORG/NAME". An invalid name counts as missing. */
static void
parse_source(struct str line, char out[], size_t max)
{
	struct str word, rest;

	out[0] = '\0';
	if (str_cut(line, ' ', &word, &rest) && str_eq(word, "repo") &&
	    rest.n < max && !memchr(rest.s, '\0', rest.n)) {
		memcpy(out, rest.s, rest.n);
		out[rest.n] = '\0';
	}
}

static int
localdir_meta_parse(struct str text, struct localdir_meta *out)
{
	struct str commit = next_line(&text), etag = next_line(&text);
	struct str time = next_line(&text), fraction, line, rest;

	if (!str_is_hex(commit, 40) || digest_parse(etag, &out->digest) < 0)
		return -1;
	memcpy(out->commit, commit.s, 40);
	out->commit[40] = '\0';
	out->source[0] = '\0';
	out->stamped =
	    str_cut(text, '\n', &line, &rest) && parse_stamp(line, &out->stamp);
	if (out->stamped && str_cut(rest, '\n', &line, &rest))
		parse_source(line, out->source, sizeof(out->source));
	str_cut(time, '.', &time, &fraction);
	return str_num(time, 10, INT64_MAX, &out->seconds);
}

static void
localdir_meta_format(
    struct buf *b, const struct localdir_meta *m, unsigned microseconds)
{
	const struct stamp *s = &m->stamp;
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(&m->digest, hex);
	buf_printf(b, "%s\n%s\n%" PRIu64 ".%06u\n", m->commit, hex, m->seconds,
	    microseconds);
	if (m->stamped)
		buf_printf(b,
		    "hub %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
		    s->size, (uint64_t)s->mtime, (uint64_t)s->ctime, s->inode);
	if (m->stamped && *m->source)
		buf_printf(b, "repo %s\n", m->source);
}

int
localdir_prepare(const struct folder *f, struct err *e)
{
	struct stat st;
	int there;

	if (folder_make_parents(f, LOCALDIR_PREFIX "/x", e) < 0)
		return -1;
	there = folder_stat(f, LOCALDIR_TOP "/.gitignore", &st, e);
	if (there > 0)
		there =
		    folder_write(f, LOCALDIR_TOP "/.gitignore", str_of("*"), e);
	if (there < 0)
		return -1;
	return cache_tag(f, LOCALDIR_TOP "/CACHEDIR.TAG", e);
}

static char *
meta_path(const char *path)
{
	struct buf b = buf_make(strlen(path) + sizeof(LOCALDIR_PREFIX) + 16);

	buf_printf(&b, LOCALDIR_PREFIX "/%s" LOCALDIR_SUFFIX, path);
	return buf_detach(&b);
}

/* A pipe in its place is not waited for. */
static int
read_meta(const struct folder *f, const char *path, struct localdir_meta *out,
    struct stat *st, struct err *e)
{
	struct buf text = buf_make(META_MAX);
	char *meta = meta_path(path);
	int fd = folder_openat(f, meta, O_RDONLY | O_NONBLOCK, e), rv = -1;

	if (fd < 0) {
		rv = errno == ENOENT ? 1 : -1;
	} else if (fstat(fd, st) < 0) {
		err_sys(e, ERR_FILE, "cannot read its metadata");
	} else if (!S_ISREG(st->st_mode) || st->st_size <= 0 ||
		   st->st_size > META_MAX) {
		err_set(e, ERR_CONTENT, "its metadata is damaged");
	} else {
		size_t n = (size_t)st->st_size;

		rv = file_pread(fd, buf_room(&text, n), n, 0, meta, e);
		if (rv == 0) {
			buf_added(&text, n);
			rv = localdir_meta_parse(buf_str(&text), out);
			if (rv < 0)
				err_set(
				    e, ERR_CONTENT, "its metadata is damaged");
		}
	}
	if (fd >= 0)
		close(fd);
	free(meta);
	buf_release(&text);
	return rv;
}

int
localdir_read(const struct folder *f, const char *path,
    struct localdir_meta *out, struct err *e)
{
	struct stat st;
	int rv = read_meta(f, path, out, &st, e);

	if (rv == 0)
		out->owner = st.st_uid;
	return rv;
}

/*
 * True if path, which is a file like st, is unchanged since its content was
 * found to have that hash: our own stamp in its metadata says so, the metadata
 * is a file of our own, and the times are fine enough to show each change. The
 * clock is not asked. Nothing is read but the metadata.
 */
static bool
localdir_has(const struct folder *f, const char *path, const struct stat *st,
    const struct digest *d, struct maker *maker)
{
	struct localdir_meta m = {.stamped = false};
	struct stamp now;
	struct stat meta;
	struct err e;

	stamp_of(st, &now);
	/* What others may have written says nothing. */
	if (stamp_coarse(&now) || read_meta(f, path, &m, &meta, &e) != 0 ||
	    !m.stamped)
		return false;
	m.stamp.device = now.device;
	return digest_same(&m.digest, d) && stamp_same(&m.stamp, &now) &&
	       maker_owns(maker, f, &meta);
}

/* True for a path below "HASH.part/" and the like, where a folder would be in
 * the way of a partial file (partial.h). */
static bool
is_partial_name(const char *path)
{
	struct str first, hash, rest;

	return str_cut(str_of(path), '/', &first, &rest) &&
	       str_cut(first, '.', &hash, &rest) &&
	       (str_is_hex(hash, 64) || str_is_hex(hash, 40));
}

int
localdir_note(const struct folder *f, const char *path, const char *commit,
    const char *source, const struct digest *d, const struct stat *st,
    struct err *e)
{
	struct buf text = buf_make(META_MAX);
	struct localdir_meta m = {.digest = *d, .stamped = true};
	struct timespec now;
	char *meta;
	int rv;

	if (is_partial_name(path))
		return err_set(e, ERR_FILE,
		    "hub uses the name of its folder for incomplete files");
	meta = meta_path(path);

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(m.commit, sizeof(m.commit), "%s", commit);
	snprintf(m.source, sizeof(m.source), "%s", source);
	m.seconds = (uint64_t)now.tv_sec;
	stamp_of(st, &m.stamp);
	localdir_meta_format(&text, &m, (unsigned)(now.tv_nsec / 1000));
	/* A torn metadata file has no stamp, and the content is hashed again.
	 * So no temporary file is needed, which a kill would leave behind. */
	rv = folder_write_new(f, meta, buf_str(&text), e);
	if (rv > 0 && (rv = folder_remove(f, meta, e)) == 0)
		rv = folder_write_new(f, meta, buf_str(&text), e);
	/* Another run has written it meanwhile, which is as good. */
	if (rv > 0)
		rv = 0;
	buf_release(&text);
	free(meta);
	return rv;
}

/* --- The plan. --- */

/* Files below this are fetched again rather than copied: it is one request. */
#define COPY_MIN PARTIAL_BLOCK

/* Hashing a file of this size or more is shown, since it takes long. */
#define SHOWN_MIN ((uint64_t)64 << 20)

/* A block of paths, each with its '\0' and, if the file has one, its Xet hash
 * behind it: separate allocations would take half as much again. */
struct plan_names {
	struct plan_names *next;
	size_t used;
	char text[32000];
};

static char *
keep_name(struct plan *p, const char *name, const char *xet)
{
	struct plan_names *names = p->names;
	size_t n = strlen(name) + 1, more = *xet ? strlen(xet) + 1 : 0;
	char *copy;

	assert(n <= REPO_PATH_MAX + 1);
	if (!names || n + more > sizeof(names->text) - names->used) {
		names = xmalloc(sizeof(*names));
		names->next = p->names;
		names->used = 0;
		p->names = names;
	}
	copy = names->text + names->used;
	memcpy(copy, name, n);
	if (more)
		memcpy(copy + n, xet, more);
	names->used += n + more;
	return copy;
}

void
plan_add(struct plan *p, const struct repo_file *f)
{
	const char *xet = "";

	if (p->n == p->cap) {
		p->cap = p->cap ? p->cap + p->cap / 2 : 64;
		p->file = xreallocarray(p->file, p->cap, sizeof(p->file[0]));
	}
	/* Where Xet is not worth its requests, the hash is not worth its
	 * memory. */
	if (f->ids && f->size > XET_SMALL)
		xet = f->ids->xet;
	p->file[p->n] = (struct plan_file){.file = *f, .has_xet = *xet};
	p->file[p->n].file.path = keep_name(p, f->path, xet);
	p->file[p->n].file.ids = NULL;
	p->n++;
}

const char *
plan_xet(const struct plan_file *f)
{
	return f->has_xet ? f->file.path + strlen(f->file.path) + 1 : NULL;
}

bool
plan_was_here(const struct plan_file *f)
{
	return f->state == PLAN_KEPT || f->state == PLAN_PROVED;
}

const char *
plan_target(const struct plan *p, const struct plan_file *f)
{
	return p->target ? p->target : f->file.path;
}

void
plan_fail(struct plan_file *f, const struct err *why)
{
	if (f->state == PLAN_FAILED)
		free(f->failure);
	f->failure = failure_keep(why);
	f->state = PLAN_FAILED;
}

static int
by_path(const void *a, const void *b)
{
	const struct plan_file *x = a, *y = b;

	return strcmp(x->file.path, y->file.path);
}

void
plan_sort(struct plan *p)
{
	if (p->n)
		qsort(p->file, p->n, sizeof(p->file[0]), by_path);
}

void
plan_check(struct plan *p, bool windows)
{
	struct err e;

	plan_sort(p);
	for (size_t i = 0; i < p->n; i++) {
		struct plan_file *f = &p->file[i];

		if (path_check(str_of(f->file.path), &e) < 0 ||
		    (windows &&
			path_check_windows(str_of(f->file.path), &e) < 0)) {
			plan_fail(f, &e);
		} else if (i && strcmp(f[-1].file.path, f->file.path) == 0) {
			err_set(&e, ERR_CONTENT,
			    "the listing contains this path twice");
			plan_fail(f, &e);
		}
	}
}

/* A file that is being hashed, for the display. */
struct hashing {
	struct progress *progress;
	unsigned shown;
};

static void
moved(void *ctx, size_t n)
{
	const struct hashing *h = ctx;

	progress_add(h->progress, h->shown, n);
	progress_tick(h->progress, wait_status_asked());
}

/* Compares the hash of a file with that of f. 1: it has that content; 0:
 * another. Large files are shown. */
static int
hash_file(const struct plan_how *how, int fd, const struct plan_file *f,
    const char *target, struct err *e)
{
	const struct digest *want = &f->file.digest;
	struct hashing h = {how->progress, 0};
	bool show = f->file.size >= SHOWN_MIN;
	struct digest found;
	int rv;

	if (show)
		h.shown = progress_start(h.progress, target, f->file.size, 0);
	rv = filehash(fd, f->file.size, want->kind, target, show ? moved : NULL,
	    &h, &found, e);
	if (rv == 0)
		rv = digest_same(&found, want);
	if (show && rv >= 0)
		progress_finish(h.progress, h.shown,
		    rv ? PROGRESS_KEPT : PROGRESS_DONE, NULL);
	return rv;
}

/* Writes the metadata of a file whose content is right, so that the next run
 * need not read it. A failure costs only that. was is the state of the file
 * before it was read: a file that has changed since is not noted. */
static void
note(const struct plan_how *how, const char *target, int fd,
    const struct stamp *was, const struct digest *d)
{
	struct stamp now;
	struct stat st;
	struct err ignored;

	if (!how->layout || !how->note || fstat(fd, &st) < 0)
		return;
	stamp_of(&st, &now);
	if (stamp_same(was, &now))
		localdir_note(how->folder, target, how->commit, how->source, d,
		    &st, &ignored);
}

static bool
stamp_at(int fd, struct stamp *out)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	stamp_of(&st, out);
	return true;
}

/* Hashes a file that other programs may change meanwhile: if it changed, what
 * was read may be a mixture of old and new, so it is read again. A file that
 * keeps changing is not right. */
static int
hash_unchanged(const struct plan_how *how, int fd, const struct plan_file *f,
    const char *target, struct stamp *was, struct err *e)
{
	struct stamp now;

	for (int i = 0; i < 3; i++) {
		int rv =
		    stamp_at(fd, was) ? hash_file(how, fd, f, target, e) : 0;

		if (rv <= 0 || (stamp_at(fd, &now) && stamp_same(was, &now)))
			return rv;
	}
	return 0;
}

/* Compares the content of a file of the right size. 1: it is the wanted one; 0:
 * it is another, or cannot be read. */
static int
compare(const struct plan_how *how, const char *target,
    const struct plan_file *f, struct err *e)
{
	int fd = folder_openat(how->folder, target, O_RDONLY, e), rv;
	struct stamp was;

	if (fd < 0)
		return 0;
	rv = hash_unchanged(how, fd, f, target, &was, e);
	if (rv > 0)
		note(how, target, fd, &was, &f->file.digest);
	close(fd);
	return rv < 0 && e->kind != ERR_STOPPED ? 0 : rv;
}

/* Returns the reason why the target cannot be replaced; NULL if it can. A link
 * is replaced itself. */
static const char *
in_the_way(mode_t mode)
{
	if (S_ISREG(mode) || S_ISLNK(mode))
		return NULL;
	return S_ISDIR(mode) ? "the target is a folder"
			     : "the target is a pipe, a socket or a device";
}

/* The file of each inode, for files that have no second link. */
struct seen {
	dev_t device;
	ino_t inode;
	struct plan_file *f;
};

struct seen_list {
	struct seen *item; /* room for all files of the plan */
	size_t n;
};

/* In a cache names and size decide: what it has is not hashed. */
static void
look_in_cache(struct plan_file *f, const struct plan_how *how)
{
	struct err e;
	enum cache_found found = cache_look(how->cache, f->file.path,
	    &f->file.digest, f->file.size, &f->there, &e);

	if (found == CACHE_ERROR)
		plan_fail(f, &e);
	else if (found != CACHE_MISSING && !how->force)
		f->state = found == CACHE_BLOB ? PLAN_LINK : PLAN_KEPT;
	f->plain = found == CACHE_PLAIN;
}

static int
look_at(struct plan *p, struct plan_file *f, const struct plan_how *how,
    struct seen_list *seen, struct err *e)
{
	const char *target = plan_target(p, f);
	const struct digest *d = &f->file.digest;
	struct err ignored;
	const char *obstacle;
	struct stat st;
	int same;

	/* In a dry run the folder may not exist. */
	if (f->state != PLAN_FETCH || how->folder->fd < 0)
		return 0;
	if (how->cache) {
		look_in_cache(f, how);
		return 0;
	}
	same = folder_stat(how->folder, target, &st, &ignored);
	obstacle = same == 0 ? in_the_way(st.st_mode) : NULL;
	if (obstacle)
		err_set(&ignored, ERR_FILE, "%s", obstacle);
	if (same < 0 || obstacle)
		plan_fail(f, &ignored);
	if (same != 0 || obstacle)
		return 0;
	f->there = true;
	if (S_ISREG(st.st_mode) && st.st_nlink == 1)
		seen->item[seen->n++] = (struct seen){st.st_dev, st.st_ino, f};
	if (how->force || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != f->file.size)
		return 0;
	if (how->layout &&
	    localdir_has(how->folder, target, &st, d, how->maker)) {
		f->state = PLAN_KEPT;
		return 0;
	}
	same = compare(how, target, f, e);
	if (same > 0)
		f->state = PLAN_PROVED;
	return same < 0 ? -1 : 0;
}

static int
by_inode(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	/* A file whose content is right stays. */
	if (plan_was_here(x->f) != plan_was_here(y->f))
		return plan_was_here(x->f) ? -1 : 1;
	return by_path(x->f, y->f);
}

int
plan_same_name_error(const struct plan_file *other, struct err *e)
{
	err_set(e, ERR_FILE,
	    "it would replace '%s': this file system does not tell the two "
	    "names apart",
	    other->file.path);
	return err_hint(e,
	    "use a folder on another file system, or leave out one of the "
	    "two with --exclude");
}

/* Refuses all but one of the names that the file system takes for one file:
 * only one of them can have its content. */
static void
refuse_same_names(struct seen_list *seen)
{
	size_t first = 0;

	if (seen->n)
		qsort(seen->item, seen->n, sizeof(seen->item[0]), by_inode);
	for (size_t i = 1; i < seen->n; i++) {
		const struct seen *x = &seen->item[first], *y = &seen->item[i];
		struct err e;

		if (x->device != y->device || x->inode != y->inode) {
			first = i;
			continue;
		}
		plan_same_name_error(x->f, &e);
		plan_fail(y->f, &e);
	}
}

/* *st of what has the place of a file now; in a cache, its place in the
 * snapshot. As folder_stat(). */
static int
stat_target(const char *target, const struct folder *folder,
    const struct cache *cache, struct stat *st)
{
	char *at = cache ? cache_entry(cache, target) : xstrdup(target);
	struct err ignored;
	int rv = folder_stat(folder, at, st, &ignored);

	free(at);
	return rv;
}

const struct plan_file *
plan_same_name(const struct plan *p, const struct plan_file *f,
    const struct folder *folder, const struct cache *cache)
{
	struct stat mine, st;

	if (stat_target(plan_target(p, f), folder, cache, &mine) != 0)
		return NULL;
	for (size_t i = 0; i < p->n; i++) {
		const struct plan_file *other = &p->file[i];

		/* In a cache, two names of one content may be hard links. */
		if (other == f ||
		    (cache &&
			digest_same(&other->file.digest, &f->file.digest)) ||
		    (S_ISREG(mine.st_mode) &&
			other->file.size != (uint64_t)mine.st_size))
			continue;
		if (stat_target(other->file.path, folder, cache, &st) == 0 &&
		    st.st_dev == mine.st_dev && st.st_ino == mine.st_ino)
			return other;
	}
	return NULL;
}

/* --- Names and folders that cannot take a file, before it is fetched. --- */

/* True if all file systems allow the name. */
static bool
is_plain(struct str part)
{
	for (size_t i = 0; i < part.n; i++)
		if (!chr_alpha(part.s[i]) && !chr_digit(part.s[i]) &&
		    !memchr("_-.", part.s[i], 3))
			return false;
	return part.n < 100 && part.s[part.n - 1] != '.';
}

/* Checks that a file of that name can be made, in a folder of our own. */
static int
try_name(const struct plan_how *how, const char *folder, struct str part,
    struct err *e)
{
	struct buf path = buf_make(8192);
	int fd, error = 0;

	if (is_plain(part))
		return 0;
	buf_printf(&path, "%s/%.*s", folder, STRF(part));
	fd = folder_openat(
	    how->folder, buf_cstr(&path), O_WRONLY | O_CREAT | O_EXCL, e);
	if (fd >= 0) {
		close(fd);
		folder_remove(how->folder, buf_cstr(&path), e);
	} else if (errno != EEXIST) {
		error = err_sys(e, ERR_FILE,
		    "this file system does not accept the name '%.*s'",
		    STRF(part));
	}
	buf_release(&path);
	return error;
}

static int
try_names(const struct plan_how *how, const char *folder, const char *path,
    struct err *e)
{
	struct str rest = str_of(path), part;
	int rv = 0;

	while (rv == 0 && str_cut(rest, '/', &part, &rest))
		rv = try_name(how, folder, part, e);
	return rv < 0 ? -1 : try_name(how, folder, rest, e);
}

static size_t
parent_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Whether the target can be put in its place; in a cache, its place in the
 * snapshot. */
static int
check_publish(const struct plan_how *how, const char *target, struct err *e)
{
	char *at;
	int rv;

	if (!how->cache)
		return folder_check_publish(
		    how->folder, how->prefix, target, e);
	at = cache_entry(how->cache, target);
	rv = folder_check_publish(how->folder, how->prefix, at, e);
	free(at);
	return rv;
}

/* Checks the places of all files. They are sorted by path, so what holds for
 * the parents of one is not checked again for the next. */
static void
check_places(struct plan *p, const struct plan_how *how)
{
	struct buf trial = buf_make(8192);
	const char *last = NULL, *folder;

	buf_printf(&trial, "%snames-%016" PRIx64, how->prefix, wait_random());
	folder = buf_cstr(&trial);
	for (size_t i = 0; i < p->n; i++) {
		struct plan_file *f = &p->file[i];
		const char *target = plan_target(p, f);
		size_t n = parent_length(target);
		bool known = last && parent_length(last) == n &&
			     memcmp(last, target, n) == 0;
		struct err e;
		int rv = 0;

		if (f->state != PLAN_FETCH)
			continue;
		if (f->there || !known)
			rv = check_publish(how, target, &e);
		if (rv == 0 && how->try_names && !f->there)
			rv = try_names(
			    how, folder, known ? target + n : target, &e);
		if (rv < 0)
			plan_fail(f, &e);
		else
			last = target;
	}
	if (how->try_names)
		unlinkat(how->folder->fd, folder, AT_REMOVEDIR);
	buf_release(&trial);
}

/* The folders that all bytes go through: ours for what arrives, and that of the
 * contents of a cache. Each is checked before the first byte is asked for. */
static int
check_ground(const struct plan *p, const struct plan_how *how, struct err *e)
{
	char *blob;
	int rv = folder_check_publish(how->folder, how->prefix, how->prefix, e);

	if (rv < 0 || !how->cache)
		return rv;
	blob = cache_blob(how->cache, &p->file[0].file.digest);
	rv = folder_check_publish(how->folder, how->prefix, blob, e);
	free(blob);
	return rv;
}

/* Sorts large files first, so that none is left alone at the end. Files of the
 * same content stand together, the one to be fetched first. */
static int
by_content(const void *a, const void *b)
{
	const struct plan_file *const *x = a, *const *y = b;
	int order;

	if ((*x)->file.size != (*y)->file.size)
		return (*x)->file.size > (*y)->file.size ? -1 : 1;
	order = memcmp((*x)->file.digest.b, (*y)->file.digest.b,
	    sizeof((*x)->file.digest.b));
	return order ? order : by_path(*x, *y);
}

/* In a cache a content is there once. */
static void
find_copies(struct plan *p, const struct plan_how *how)
{
	uint64_t min = how->cache ? 0 : COPY_MIN;
	struct plan_file **f = xcalloc(p->n, sizeof(*f)), *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		if (p->file[i].state == PLAN_FETCH &&
		    p->file[i].file.size >= min)
			f[n++] = &p->file[i];
	qsort(f, n, sizeof(*f), by_content);
	for (size_t i = 0; i < n; i++) {
		if (first && first->file.size == f[i]->file.size &&
		    digest_same(&first->file.digest, &f[i]->file.digest)) {
			f[i]->state = PLAN_COPY;
			f[i]->same = first;
		} else {
			first = f[i];
		}
	}
	free(f);
}

static void
add_left(struct plan *p, const struct plan_file *f, const struct plan_how *how)
{
	uint64_t left = 0;

	if (f->file.size > PARTIAL_BLOCK && how->folder->fd >= 0)
		left = partial_left(
		    how->folder, how->prefix, &f->file.digest, f->file.size);
	p->left += left;
	p->left_files += left > 0;
}

static void
add_up(struct plan *p, const struct plan_how *how)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct plan_file *f = &p->file[i];

		if (plan_was_here(f) || f->state == PLAN_LINK)
			p->here += f->file.size;
		if ((f->state == PLAN_FETCH || f->state == PLAN_COPY) &&
		    !f->there)
			p->new_files++;
		/* The content, and its link. */
		if (f->state == PLAN_FETCH && how->cache)
			p->new_files++;
		if (f->state == PLAN_LINK ||
		    (f->state == PLAN_COPY && how->cache)) {
			p->to_link++;
		} else if (f->state == PLAN_COPY) {
			p->copy += f->file.size;
			p->to_copy++;
		}
		if (f->state != PLAN_FETCH)
			continue;
		p->fetch += f->file.size;
		p->to_fetch++;
		add_left(p, f, how);
	}
}

static void
refuse_missing(struct plan *p, const struct plan_how *how)
{
	struct err e;

	for (size_t i = 0; i < p->n; i++) {
		if (p->file[i].state != PLAN_FETCH)
			continue;
		err_set(&e, ERR_ABSENT, "%s, and hub is offline",
		    how->cache ? "it is not in the cache"
			       : "it is not in the folder, or differs");
		err_hint(&e, "%s", how->offline);
		plan_fail(&p->file[i], &e);
	}
}

int
plan_look(struct plan *p, const struct plan_how *how, struct err *e)
{
	struct seen_list seen = {xcalloc(p->n, sizeof(struct seen)), 0};
	int rv = 0;

	for (size_t i = 0; rv == 0 && i < p->n; i++) {
		rv = look_at(p, &p->file[i], how, &seen, e);
		progress_tick(how->progress, wait_status_asked());
	}
	if (rv == 0)
		refuse_same_names(&seen);
	free(seen.item);
	if (rv < 0)
		return -1;
	if (how->offline)
		refuse_missing(p, how);
	if (how->folder->fd >= 0)
		check_places(p, how);
	find_copies(p, how);
	add_up(p, how);
	return p->to_fetch && how->folder->fd >= 0 ? check_ground(p, how, e)
						   : 0;
}

int
plan_room(const struct plan *p, const struct folder_traits *t, struct err *e)
{
	uint64_t need = p->fetch - p->left + p->copy;
	char want[16], have[16];

	for (size_t i = 0; i < p->n; i++) {
		const struct plan_file *f = &p->file[i];

		if (f->state != PLAN_FETCH || f->file.size <= t->max_file)
			continue;
		size_show(f->file.size, want);
		size_show(t->max_file, have);
		err_set(e, ERR_FILE,
		    "'%s' has %s, but this file system allows at most %s",
		    f->file.path, want, have);
		return err_hint(e, "another folder, or a higher ulimit -f if "
				   "that is the limit");
	}
	if (p->new_files > t->free_files) {
		err_set(e, ERR_FILE,
		    "%zu files are to be made, and this file system has room "
		    "for %" PRIu64 " (inodes)",
		    p->new_files, t->free_files);
		return err_hint(e,
		    "use another folder, or select fewer files with --include");
	}
	if (need <= t->free)
		return 0;
	size_show(need, want);
	size_show(t->free, have);
	err_set(e, ERR_FILE, "the download needs %s, but only %s are free",
	    want, have);
	return err_hint(e,
	    "free disk space, use another folder, or select fewer files with "
	    "--include");
}

void
plan_release(struct plan *p)
{
	struct plan_names *names;

	for (size_t i = 0; i < p->n; i++)
		if (p->file[i].state == PLAN_FAILED)
			free(p->file[i].failure);
	while ((names = p->names)) {
		p->names = names->next;
		free(names);
	}
	free(p->file);
	*p = (struct plan){.file = NULL};
}
