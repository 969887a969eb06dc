#include "plan.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "filehash.h"
#include "localdir.h"
#include "mem.h"
#include "partial.h"
#include "path.h"
#include "progress.h"
#include "wait.h"

/* Files below this are fetched again rather than copied: it is one request. */
#define COPY_MIN PARTIAL_BLOCK

/* Paths one after the other, each with its '\0': as allocations of their own
 * they would take half as much again. */
struct plan_names {
	struct plan_names *next;
	size_t used;
	char text[32000];
};

static char *
keep_name(struct plan *p, const char *name)
{
	struct plan_names *names = p->names;
	size_t n = strlen(name) + 1;
	char *copy;

	assert(n <= REPO_PATH_MAX + 1);
	if (!names || n > sizeof(names->text) - names->used) {
		names = xmalloc(sizeof(*names));
		names->next = p->names;
		names->used = 0;
		p->names = names;
	}
	copy = names->text + names->used;
	memcpy(copy, name, n);
	names->used += n;
	return copy;
}

void
plan_add(struct plan *p, const struct repo_file *f)
{
	if (p->n == p->cap) {
		p->cap = p->cap ? p->cap + p->cap / 2 : 64;
		p->file = xreallocarray(p->file, p->cap, sizeof(p->file[0]));
	}
	p->file[p->n] = (struct plan_file){.file = *f};
	p->file[p->n].file.path = keep_name(p, f->path);
	p->n++;
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

static void
drop_failure(struct plan_file *f)
{
	if (f->state != PLAN_FAILED)
		return;
	free(f->failure->why);
	free(f->failure->hint);
	free(f->failure);
}

void
plan_fail(struct plan_file *f, const struct err *why)
{
	drop_failure(f);
	f->failure = xmalloc(sizeof(*f->failure));
	f->failure->why = xstrdup(why->msg);
	f->failure->hint = *why->hint ? xstrdup(why->hint) : NULL;
	f->failure->kind = (int)why->kind;
	f->state = PLAN_FAILED;
}

static int
by_path(const void *a, const void *b)
{
	const struct plan_file *x = a, *y = b;

	return strcmp(x->file.path, y->file.path);
}

/* ASCII only: what other letters a caseless file system folds is its own. */
static int
compare_folded(const char *a, const char *b)
{
	while (*a && chr_lower(*a) == chr_lower(*b))
		a++, b++;
	return (unsigned char)chr_lower(*a) - (unsigned char)chr_lower(*b);
}

static int
by_folded(const void *a, const void *b)
{
	const struct plan_file *const *x = a, *const *y = b;
	int order = compare_folded((*x)->file.path, (*y)->file.path);

	return order ? order : by_path(*x, *y);
}

static void
refuse_clashes(struct plan *p)
{
	struct plan_file **f = xcalloc(p->n, sizeof(*f));
	struct err e;

	for (size_t i = 0; i < p->n; i++)
		f[i] = &p->file[i];
	qsort(f, p->n, sizeof(*f), by_folded);
	for (size_t i = 1; i < p->n; i++) {
		if (compare_folded(f[i - 1]->file.path, f[i]->file.path) != 0)
			continue;
		err_set(&e, ERR_FILE,
		    "'%s' differs only in case, and this file system holds "
		    "one of them",
		    f[i - 1]->file.path);
		plan_fail(f[i], &e);
	}
	free(f);
}

void
plan_check(struct plan *p, bool caseless)
{
	struct err e;

	if (!p->n)
		return;
	qsort(p->file, p->n, sizeof(p->file[0]), by_path);
	for (size_t i = 0; i < p->n; i++) {
		struct plan_file *f = &p->file[i];

		if (path_check(str_of(f->file.path), &e) < 0) {
			plan_fail(f, &e);
		} else if (i && strcmp(f[-1].file.path, f->file.path) == 0) {
			err_set(&e, ERR_CONTENT, "the listing has it twice");
			plan_fail(f, &e);
		}
	}
	if (caseless)
		refuse_clashes(p);
}

/* Notes a file whose content is right, so that the next run need not read it;
 * if it cannot be noted, that is all it costs. One that was changed meanwhile
 * is not noted: was says what it was like before it was read. */
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
		localdir_note(
		    how->folder, target, how->commit, d, &st, &ignored);
}

/* Compares the content of a file that has the right size. 1: it is what is
 * wanted; 0: it is not, or cannot be read. */
static int
compare(const struct plan_how *how, const char *target,
    const struct plan_file *f, struct err *e)
{
	const struct digest *want = &f->file.digest;
	int fd = folder_openat(how->folder, target, O_RDONLY, e), rv = -1;
	struct digest found;
	struct stamp was;
	struct stat st;

	if (fd < 0)
		return 0;
	e->kind = ERR_FILE;
	if (fstat(fd, &st) == 0)
		rv = filehash(fd, f->file.size, want->kind, target, NULL, NULL,
		    &found, e);
	if (rv == 0 && digest_same(&found, want)) {
		stamp_of(&st, &was);
		note(how, target, fd, &was, want);
		rv = 1;
	}
	close(fd);
	return rv < 0 && e->kind != ERR_STOPPED ? 0 : rv;
}

/* What somebody made on purpose, and is no content. A link is replaced itself,
 * and in place of a folder nothing can be put. */
static bool
is_special(mode_t mode)
{
	return !S_ISREG(mode) && !S_ISLNK(mode) && !S_ISDIR(mode);
}

static int
look_at(struct plan *p, struct plan_file *f, const struct plan_how *how,
    struct err *e)
{
	const char *target = plan_target(p, f);
	const struct digest *d = &f->file.digest;
	struct err ignored;
	struct stat st;
	int same;

	/* A dry run may name a folder that is not there. */
	if (f->state != PLAN_FETCH || how->folder->fd < 0)
		return 0;
	if (folder_stat(how->folder, target, &st, &ignored) != 0)
		return 0;
	if (is_special(st.st_mode)) {
		err_set(&ignored, ERR_FILE,
		    "a pipe, a socket or a device is in its place");
		plan_fail(f, &ignored);
		return 0;
	}
	if (how->force || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != f->file.size)
		return 0;
	if (how->layout &&
	    localdir_has(how->folder, target, &st, d, how->owner)) {
		f->state = PLAN_KEPT;
		return 0;
	}
	same = compare(how, target, f, e);
	if (same > 0)
		f->state = PLAN_PROVED;
	return same < 0 ? -1 : 0;
}

/* Large to small, so that a large one does not come last alone; the same
 * contents stand together, the one to be fetched first. */
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

static void
find_copies(struct plan *p)
{
	struct plan_file **f = xcalloc(p->n, sizeof(*f)), *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		if (p->file[i].state == PLAN_FETCH &&
		    p->file[i].file.size >= COPY_MIN)
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

		if (plan_was_here(f))
			p->here += f->file.size;
		if (f->state == PLAN_COPY) {
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

int
plan_look(struct plan *p, const struct plan_how *how, struct err *e)
{
	for (size_t i = 0; i < p->n; i++) {
		if (look_at(p, &p->file[i], how, e) < 0)
			return -1;
		progress_tick(how->progress, wait_status_asked());
	}
	find_copies(p);
	add_up(p, how);
	return 0;
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
		return err_set(e, ERR_FILE,
		    "'%s' has %s, and this file system holds files of %s at "
		    "the most",
		    f->file.path, want, have);
	}
	if (need <= t->free)
		return 0;
	size_show(need, want);
	size_show(t->free, have);
	err_set(
	    e, ERR_FILE, "%s are to be written and %s are free", want, have);
	return err_hint(e, "make room, choose another folder, or fewer files "
			   "with --include");
}

void
plan_release(struct plan *p)
{
	struct plan_names *names;

	for (size_t i = 0; i < p->n; i++)
		drop_failure(&p->file[i]);
	while ((names = p->names)) {
		p->names = names->next;
		free(names);
	}
	free(p->file);
	*p = (struct plan){.file = NULL};
}
