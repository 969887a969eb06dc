#include "verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "cache.h"
#include "client.h"
#include "config.h"
#include "err.h"
#include "file.h"
#include "json.h"
#include "litter.h"
#include "option.h"
#include "partial.h"
#include "path.h"
#include "plan.h"
#include "progress.h"
#include "repair.h"
#include "sandbox.h"
#include "session.h"
#include "str.h"
#include "transfer.h"
#include "url.h"
#include "wait.h"

/* Threads that hash; more than any disk can feed. */
#define THREADS_MAX 16

/* The size of a file is not recorded: the official client downloaded it. */
#define SIZE_UNKNOWN UINT64_MAX

#define PREFIX LOCALDIR_PREFIX "/"

enum item_state {
	ITEM_NOTED,    /* nothing is known of it yet */
	ITEM_RIGHT,    /* its hash is the recorded one */
	ITEM_CHANGED,  /* it is another one, or the file cannot be the same */
	ITEM_MISSING,  /* recorded, and not there */
	ITEM_EXTRA,    /* there, and not recorded */
	ITEM_UNREAD,   /* it could not be looked at */
	ITEM_REPAIRED, /* published by this run, and right */
	ITEM_STATES
};

/* Small: there may be a hundred thousand of them. */
struct item {
	char *path;
	uint64_t size; /* recorded; of an extra one: that it has */
	struct digest want;
	struct digest *sha256; /* of a right one that was recorded by its git
				* id; NULL: not asked for */
	struct failure *why;   /* what is wrong with it; NULL: nothing to say */
	enum item_state state;
	uid_t owner; /* of its metadata */
	bool adopt;  /* to be hashed by the transfer, which can repair it */
	/* Of a cache. */
	bool blob; /* the content is in blobs, under its hash */
	bool link; /* path is a link of a snapshot to it */
};

/* What an item is fetched from. */
struct source {
	struct item *item;
	struct repo repo;
	struct repoid id; /* of repo, if it was read from the metadata */
	char commit[41];
	char *noted; /* repoid_put_path() */
	bool there;  /* its name existed when it was begun, with this stamp */
	struct stamp seen;
	mode_t mode; /* of what had the name, to be kept; 0: of the umask */
};

struct verify {
	const struct options *o;
	const struct config *c;
	struct session s;
	const char *top; /* the directory, or the cache */
	struct folder folder;
	struct cache cache; /* --cache with -r; else its name is NULL */
	struct item *item;  /* in the order of the paths */
	size_t n, cap, noted;
	/* Hashing: the lock of the crew guards next. */
	struct crew crew;
	struct item **order; /* the large ones first */
	size_t next, to_hash;
	/* Repair. */
	struct partial_setup ground;
	struct litter litter;
	struct source *source; /* what transfer counts */
	size_t sources;
	uint64_t received;
	size_t recorded; /* for unused() */
};

/* --- Which files. --- */

static int
by_path(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static void
set_state(struct item *x, enum item_state state, const struct err *why)
{
	free(x->why);
	x->why = why ? failure_keep(why) : NULL;
	x->state = state;
}

static struct item *
add(struct verify *v, const char *path, size_t n)
{
	if (v->n == v->cap) {
		v->cap = v->cap ? v->cap + v->cap / 2 : 64;
		v->item = xreallocarray(v->item, v->cap, sizeof(v->item[0]));
	}
	v->item[v->n] =
	    (struct item){.path = xstrndup(path, n), .size = SIZE_UNKNOWN};
	return &v->item[v->n++];
}

static void
item_release(struct item *x)
{
	free(x->path);
	free(x->sha256);
	free(x->why);
}

/* Whether files may be left out by patterns. */
static bool
is_partly(const struct verify *v)
{
	return v->o->include.n || v->o->exclude.n;
}

static bool
is_wanted(const struct verify *v, const char *path)
{
	const struct glob_list include = {v->o->include.s, v->o->include.n};
	const struct glob_list exclude = {v->o->exclude.s, v->o->exclude.n};

	return glob_kept(&include, &exclude, path);
}

/* A metadata file: PREFIX PATH.metadata. */
static int
take_note(void *ctx, const char *path, const struct stat *st, struct err *e)
{
	struct verify *v = ctx;
	size_t n = strlen(path) - strlen(PREFIX);
	const char *name = path + strlen(PREFIX);
	struct item *x;

	(void)st;
	(void)e;
	if (!str_ends(str_of(name), LOCALDIR_SUFFIX) ||
	    n == strlen(LOCALDIR_SUFFIX))
		return wait_check(e);
	x = add(v, name, n - strlen(LOCALDIR_SUFFIX));
	if (is_wanted(v, x->path))
		return wait_check(e);
	free(x->path);
	v->n--;
	return wait_check(e);
}

/* What the metadata says; a damaged one says nothing, and then the file is like
 * one that was not recorded. */
static int
read_note(struct verify *v, struct item *x, struct err *e)
{
	struct localdir_meta m;
	struct err why;

	if (localdir_read(&v->folder, x->path, &m, &why) == 0) {
		x->want = m.digest;
		x->owner = m.owner;
		if (m.stamped && m.stamp.size <= REPO_FILE_MAX)
			x->size = m.stamp.size;
	} else {
		set_state(x, ITEM_EXTRA, &why);
	}
	return wait_check(e);
}

/* Our own folder, and that of git, which may be anywhere. */
static bool
enters_data(void *ctx, const char *path)
{
	struct str s = str_of(path);

	(void)ctx;
	return !str_eq(s, LOCALDIR_TOP) && !str_eq(s, ".git") &&
	       !str_ends(s, "/.git");
}

static int
take_file(void *ctx, const char *path, const struct stat *st, struct err *e)
{
	struct verify *v = ctx;
	struct item key = {.path = NULL}, *x;

	/* bsearch() does not write to it. */
	key.path = xstrdup(path);
	if (v->noted &&
	    bsearch(&key, v->item, v->noted, sizeof(key), by_path)) {
		free(key.path);
		return wait_check(e);
	}
	free(key.path);
	if (is_wanted(v, path)) {
		x = add(v, path, strlen(path));
		x->state = ITEM_EXTRA;
		x->size = st->st_size < 0 ? 0 : (uint64_t)st->st_size;
	}
	return wait_check(e);
}

static int
collect(struct verify *v, struct err *e)
{
	const struct folder_walk notes = {&v->folder, v, NULL, take_note};
	const struct folder_walk data = {&v->folder, v, enters_data, take_file};
	struct stat st;

	if (folder_stat(&v->folder, LOCALDIR_PREFIX, &st, e) != 0 ||
	    !S_ISDIR(st.st_mode)) {
		err_set(e, ERR_ABSENT,
		    "'%s' has no record of a download (" LOCALDIR_PREFIX ")",
		    v->top);
		return err_hint(
		    e, "hub download -r REPO -p %s records it", v->top);
	}
	if (folder_walk(&notes, LOCALDIR_PREFIX, e) < 0)
		return -1;
	v->noted = v->n;
	if (v->n)
		qsort(v->item, v->n, sizeof(v->item[0]), by_path);
	for (size_t i = 0; i < v->n; i++)
		if (read_note(v, &v->item[i], e) < 0)
			return -1;
	if (folder_walk(&data, "", e) < 0)
		return -1;
	if (v->n)
		qsort(v->item, v->n, sizeof(v->item[0]), by_path);
	return 0;
}

/* --- The files of a cache. --- */

/* The parts of a path in it: "REPO/blobs/HASH" or "REPO/snapshots/COMMIT/PATH". */
struct place {
	struct str repo, commit, rest;
	bool blob;
};

static bool
cut_place(const char *path, struct place *p)
{
	struct str kind;

	*p = (struct place){.repo = str_of("")};
	if (!str_cut(str_of(path), '/', &p->repo, &p->rest) ||
	    !str_cut(p->rest, '/', &kind, &p->rest))
		return false;
	p->blob = str_eq(kind, "blobs");
	return p->blob || (str_eq(kind, "snapshots") &&
			      str_cut(p->rest, '/', &p->commit, &p->rest));
}

static void
no_regular_file(struct item *x)
{
	struct err why;

	err_set(&why, ERR_CONTENT, "it is not a regular file");
	set_state(x, ITEM_CHANGED, &why);
}

static bool
is_repo(const struct verify *v, struct str name)
{
	static const char *const kinds[] = {
	    "models--", "datasets--", "spaces--", "kernels--"};

	if (v->cache.name)
		return str_eq(name, v->cache.name);
	for (size_t i = 0; i < countof(kinds); i++)
		if (str_starts(name, kinds[i]))
			return true;
	return false;
}

static bool
enters_cache(void *ctx, const char *path)
{
	struct str repo = str_of(path), rest;

	if (!str_cut(repo, '/', &repo, &rest))
		return is_repo(ctx, repo);
	return str_eq(rest, "blobs") || str_eq(rest, "snapshots") ||
	       str_starts(rest, "snapshots/");
}

/* A link of a snapshot: it ends with the hash of its content. */
static void
take_link(struct verify *v, const char *path)
{
	char text[PATH_LIMIT];
	struct err why;
	struct item *x = add(v, path, strlen(path));
	const char *slash;

	x->link = x->blob = true;
	if (folder_read_link(&v->folder, path, text, sizeof(text), NULL, &why) <
	    0) {
		set_state(x, ITEM_UNREAD, &why);
		return;
	}
	slash = strrchr(text, '/');
	if (slash && digest_parse(str_of(slash + 1), &x->want) == 0)
		return;
	err_set(&why, ERR_CONTENT, "it is a link to something else");
	set_state(x, ITEM_CHANGED, &why);
}

static int
take_cached(void *ctx, const char *path, const struct stat *st, struct err *e)
{
	struct verify *v = ctx;
	struct place p;
	struct digest d;
	struct item *x;

	if (!cut_place(path, &p) || !is_repo(v, p.repo))
		return wait_check(e);
	if (p.blob ? digest_parse(p.rest, &d) < 0 : !is_wanted(v, p.rest.s))
		return wait_check(e);
	if (p.blob) {
		x = add(v, path, strlen(path));
		x->want = d;
		x->blob = true;
	} else if (S_ISLNK(st->st_mode)) {
		take_link(v, path);
		return wait_check(e);
	} else if (st->st_nlink == 1) {
		x = add(v, path, strlen(path));
		x->state = ITEM_EXTRA;
	} else {
		/* It is in blobs, too. */
		return wait_check(e);
	}
	if (S_ISREG(st->st_mode))
		x->size = st->st_size < 0 ? 0 : (uint64_t)st->st_size;
	else if (!S_ISLNK(st->st_mode))
		no_regular_file(x);
	return wait_check(e);
}

/* The same content of a repository stands together: its blob first, then the
 * links to it. */
static int
by_blob(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	size_t n = strcspn(x->path, "/");
	int order = strncmp(x->path, y->path, n + 1);

	if (!order && x->blob != y->blob)
		return x->blob ? -1 : 1;
	if (!order && x->blob)
		order = memcmp(x->want.b, y->want.b, digest_size(&x->want));
	if (!order && x->link != y->link)
		return x->link ? 1 : -1;
	return order ? order : by_path(x, y);
}

static bool
same_blob(const struct item *a, const struct item *b)
{
	size_t n = strcspn(a->path, "/");

	return a->blob && b->blob && strncmp(a->path, b->path, n + 1) == 0 &&
	       digest_same(&a->want, &b->want);
}

/* Leaves one item of each content that is there, with the path of the first
 * link to it, and those links whose content is missing. */
static void
join_links(struct verify *v)
{
	size_t kept = 0;

	if (v->n)
		qsort(v->item, v->n, sizeof(v->item[0]), by_blob);
	for (size_t i = 0; i < v->n; i++) {
		struct item x = v->item[i];
		struct item *last = kept ? &v->item[kept - 1] : &x;
		bool joins = kept && x.link && x.state == ITEM_NOTED &&
			     last->state == ITEM_NOTED && same_blob(last, &x);

		if (joins && !last->link) {
			char *path = last->path;

			last->path = x.path;
			last->link = true;
			x.path = path;
		}
		if (joins) {
			item_release(&x);
			continue;
		}
		if (x.link && x.state == ITEM_NOTED)
			x.state = ITEM_MISSING;
		v->item[kept++] = x;
	}
	v->n = kept;
}

/* A content to which no link leads is left out if there are patterns. */
static void
drop_unnamed(struct verify *v)
{
	size_t kept = 0;

	for (size_t i = 0; i < v->n; i++)
		if (is_partly(v) && v->item[i].blob && !v->item[i].link)
			item_release(&v->item[i]);
		else
			v->item[kept++] = v->item[i];
	v->n = kept;
}

/* The cache of the item's repository, at its commit; cache_release() it. */
static void
cache_of(const struct verify *v, const struct item *x, struct cache *c)
{
	struct place p;

	(void)cut_place(x->path, &p);
	cache_init_named(c, &v->folder, p.repo);
	if (p.commit.n == sizeof(c->commit) - 1)
		memcpy(c->commit, p.commit.s, p.commit.n);
}

static int
open_blob(const struct verify *v, const struct item *x, struct err *e)
{
	struct cache c;
	int fd;

	cache_of(v, x, &c);
	fd = cache_open_blob(&c, &x->want, e);
	cache_release(&c);
	return fd;
}

/* Where a file system has no links the contents are in the snapshot, and the
 * listing of the commit has their hashes. */
struct plain {
	struct verify *v;
	struct cache c;
};

static int
take_listed(void *ctx, const struct repo_file *f, struct err *e)
{
	const struct plain *p = ctx;
	struct verify *v = p->v;
	struct item key = {.path = cache_entry(&p->c, f->path)}, *x;

	x = bsearch(&key, v->item, v->n, sizeof(key), by_path);
	free(key.path);
	if (x && x->state == ITEM_EXTRA) {
		x->state = ITEM_NOTED;
		x->want = f->digest;
		x->size = f->size;
	}
	return wait_check(e);
}

/* Those for which there is no listing stay extra ones. */
static int
find_listed(struct verify *v, struct err *e)
{
	char *last = xstrdup("");
	int rv = 0;

	for (size_t i = 0; rv == 0 && i < v->n; i++) {
		struct plain p = {.v = v};
		struct err ignored;
		char *snapshot;

		if (v->item[i].state != ITEM_EXTRA)
			continue;
		cache_of(v, &v->item[i], &p.c);
		snapshot = cache_entry(&p.c, "");
		if (strcmp(snapshot, last) != 0)
			(void)cache_tree(&p.c, NULL, take_listed, &p, &ignored);
		free(last);
		last = snapshot;
		cache_release(&p.c);
		rv = wait_check(e);
	}
	free(last);
	return rv;
}

static int
collect_cache(struct verify *v, struct err *e)
{
	const struct folder_walk all = {
	    &v->folder, v, enters_cache, take_cached};

	if (folder_walk(&all, "", e) < 0)
		return -1;
	join_links(v);
	drop_unnamed(v);
	if (v->n)
		qsort(v->item, v->n, sizeof(v->item[0]), by_path);
	if (find_listed(v, e) < 0)
		return -1;
	if (v->n || !v->o->repo_id)
		return 0;
	err_set(e, ERR_ABSENT, "there is nothing of '%s' in the cache '%s'",
	    v->o->repo_id, v->top);
	return err_hint(e, "hub download -r %s --cache", v->o->repo_id);
}

/* -r: only the cache of that repository. */
static int
choose_repo(struct verify *v, struct err *e)
{
	enum repo_type type, *given = NULL;
	struct url endpoint;
	struct repoid id = {.id = NULL};
	int rv = 0;

	if (v->o->repo_type) {
		rv = repo_type_parse(v->o->repo_type, &type, e);
		given = &type;
	}
	if (rv == 0)
		rv = url_parse(str_of(v->c->endpoint), &endpoint, e);
	if (rv == 0)
		rv = repoid_parse(v->o->repo_id, given, &endpoint, &id, e);
	if (rv == 0)
		cache_init(&v->cache, &v->folder, id.type, id.id);
	repoid_release(&id);
	return rv;
}

/* --- Which of them are right. --- */

static int
open_item(const struct verify *v, struct item *x, struct stat *st)
{
	struct err why;
	int fd = x->blob ? open_blob(v, x, &why)
			 : folder_openat(&v->folder, x->path, O_RDONLY, &why);

	if (fd >= 0 && fstat(fd, st) == 0)
		return fd;
	if (fd >= 0) {
		err_sys(&why, ERR_FILE, "its attributes cannot be read");
		close(fd);
	}
	set_state(x, ITEM_UNREAD, &why);
	return -1;
}

static void
differs(struct item *x, uint64_t size)
{
	struct err why;

	/* Why it was not repaired. */
	if (x->why) {
		x->state = ITEM_CHANGED;
		return;
	}
	if (x->size == SIZE_UNKNOWN || x->size == size)
		err_set(&why, ERR_CONTENT, "its hash is not the recorded one");
	else
		err_set(&why, ERR_CONTENT,
		    "it has %" PRIu64 " bytes, and had %" PRIu64, size,
		    x->size);
	set_state(x, ITEM_CHANGED, &why);
}

/* Whether a repair may write to that name: the path of a record is as little
 * to be trusted as one of a listing, and what another user recorded decides
 * nothing. */
static int
may_repair(const struct verify *v, const struct item *x, struct err *e)
{
	if (path_check(str_of(x->path), e) < 0)
		return -1;
	if (v->ground.traits.windows &&
	    path_check_windows(str_of(x->path), e) < 0)
		return -1;
	if (x->owner == v->ground.traits.maker.uid)
		return 0;
	return err_set(e, ERR_FILE, "its metadata belongs to another user");
}

/* Whether the transfer can hash it and fetch its broken blocks in one pass. What
 * an earlier run left of it is continued instead. */
static bool
can_adopt(const struct verify *v, const struct item *x, const struct stat *st)
{
	const struct maker *m = &v->ground.traits.maker;
	struct err ignored;

	return may_repair(v, x, &ignored) == 0 && maker_published(m, st) &&
	       x->size != SIZE_UNKNOWN && (uint64_t)st->st_size <= x->size &&
	       repair_has_blocks(&v->folder, PREFIX, &x->want, x->size, m) &&
	       !partial_left(&v->folder, PREFIX, &x->want, x->size);
}

/* What shows without reading it. The size decides nothing: it is a note. */
static void
look_at(const struct verify *v, struct item *x)
{
	struct stat st;
	struct err why;
	int there;

	if (v->o->cache || (x->state == ITEM_EXTRA && !x->why))
		return;
	there = folder_stat(&v->folder, x->path, &st, &why);
	if (there > 0)
		set_state(x, ITEM_MISSING, NULL);
	else if (there < 0)
		set_state(x, ITEM_UNREAD, &why);
	else if (x->state == ITEM_EXTRA)
		x->size = st.st_size < 0 ? 0 : (uint64_t)st.st_size;
	else if (!S_ISREG(st.st_mode))
		no_regular_file(x);
	else if (v->o->repair)
		x->adopt = can_adopt(v, x, &st);
}

static int
hash(const struct verify *v, struct item *x, int fd, uint64_t size,
    struct progress_file *m, struct err *e)
{
	struct digest found[2];
	int rv;

	if (v->o->sha256sums && x->want.kind == HASH_GIT) {
		rv = filehash_both(
		    fd, size, x->path, progress_moved, m, found, e);
		x->sha256 = xmalloc(sizeof(*x->sha256));
		*x->sha256 = found[HASH_SHA256];
	} else {
		rv = filehash(fd, size, x->want.kind, x->path, progress_moved,
		    m, &found[x->want.kind], e);
	}
	if (rv == 0 && digest_same(&found[x->want.kind], &x->want))
		set_state(x, ITEM_RIGHT, NULL);
	else if (rv == 0)
		differs(x, size);
	return rv;
}

/* Fails only if a signal came. */
static int
check_item(const struct verify *v, struct item *x, struct err *e)
{
	struct progress *p = v->s.progress;
	struct progress_file m = {p, 0};
	struct stat st;
	int fd = open_item(v, x, &st);

	if (fd < 0)
		return 0;
	m.file = progress_start(p, x->path, (uint64_t)st.st_size, 0);
	if (hash(v, x, fd, (uint64_t)st.st_size, &m, e) < 0 &&
	    e->kind != ERR_STOPPED)
		set_state(x, ITEM_UNREAD, e);
	close(fd);
	progress_finish(p, m.file,
	    x->state == ITEM_RIGHT ? PROGRESS_DONE : PROGRESS_FAILED,
	    x->why ? x->why->msg : NULL);
	return x->state == ITEM_NOTED ? -1 : 0;
}

static void *
check_some(void *arg)
{
	struct verify *v = arg;
	struct err e;

	crew_lock(&v->crew);
	while (crew_busy(&v->crew) && v->next < v->to_hash) {
		struct item *x = v->order[v->next++];
		int rv;

		crew_unlock(&v->crew);
		rv = check_item(v, x, &e);
		crew_lock(&v->crew);
		if (rv < 0)
			crew_end(&v->crew, &e);
		v->crew.left--;
		if (!v->crew.left)
			crew_changed(&v->crew);
	}
	crew_unlock(&v->crew);
	return NULL;
}

static int
show(void *ctx, struct err *e)
{
	const struct verify *v = ctx;

	(void)e;
	progress_tick(v->s.progress, wait_status_asked());
	return 0;
}

/* So that a large one does not come last alone. */
static int
by_size(const void *a, const void *b)
{
	const struct item *const *x = a, *const *y = b;

	if ((*x)->size != (*y)->size)
		return (*x)->size > (*y)->size ? -1 : 1;
	return by_path(*x, *y);
}

/* Hashes the files of which nothing is known yet. */
static int
hash_all(struct verify *v, struct err *e)
{
	uint64_t bytes = 0;
	int rv;

	v->next = v->to_hash = 0;
	for (size_t i = 0; i < v->n; i++) {
		struct item *x = &v->item[i];

		if (x->state != ITEM_NOTED || x->adopt)
			continue;
		v->order[v->to_hash++] = x;
		bytes += x->size == SIZE_UNKNOWN ? 0 : x->size;
	}
	if (!v->to_hash)
		return 0;
	qsort(v->order, v->to_hash, sizeof(v->order[0]), by_size);
	progress_phase(v->s.progress, "checking", v->to_hash, bytes);
	crew_init(&v->crew, v->to_hash, THREADS_MAX);
	rv = crew_start(
	    &v->crew, crew_cores(v->to_hash, THREADS_MAX), check_some, v, e);
	if (rv == 0) {
		crew_watch(&v->crew, show, v);
		rv = crew_join(&v->crew, e);
	}
	crew_release(&v->crew);
	return rv;
}

static int
check_all(struct verify *v, struct err *e)
{
	v->order = xcalloc(v->n, sizeof(v->order[0]));
	for (size_t i = 0; i < v->n; i++)
		look_at(v, &v->item[i]);
	return hash_all(v, e);
}

/* --- Repair. --- */

static bool
is_broken(const struct item *x)
{
	return x->adopt || x->state == ITEM_CHANGED ||
	       x->state == ITEM_MISSING || x->state == ITEM_UNREAD;
}

/* -r, else what is recorded: a wrong record leads to content with another
 * hash, which is not published. */
static int
find_repo(struct verify *v, struct source *s, const char *noted, struct err *e)
{
	struct buf b = buf_make(512);

	s->repo = v->s.repo;
	if (!v->s.id.id && !*noted) {
		buf_release(&b);
		err_set(e, ERR_USAGE, "its repository is not recorded");
		return err_hint(e, "hub verify -p %s --repair -r REPO", v->top);
	}
	if (!v->s.id.id) {
		if (repoid_parse_path(noted, &s->id, e) < 0) {
			buf_release(&b);
			return -1;
		}
		s->repo.type = s->id.type;
		s->repo.id = s->id.id;
	}
	repoid_put_path(&b, s->repo.type, s->repo.id);
	s->noted = buf_detach(&b);
	return 0;
}

/* The size of what the official client downloaded. */
static int
find_size(const struct source *s, struct err *e)
{
	struct item *x = s->item;
	struct repo_file f;
	int rv;

	if (x->size != SIZE_UNKNOWN)
		return 0;
	if (repo_file(&s->repo, s->commit, x->path, &f, NULL, e) < 0)
		return -1;
	x->size = f.size;
	rv = digest_same(&f.digest, &x->want)
		 ? 0
		 : err_set(e, ERR_CONTENT,
		       "the Hub has another content in this place");
	if (rv < 0)
		x->size = SIZE_UNKNOWN;
	free(f.path);
	return rv;
}

/* -d is an option of a download. */
static void
fit_hint(struct err *e)
{
	bool full = strstr(e->hint, "free disk space") != NULL;

	if (strstr(e->hint, "with -d"))
		err_hint(
		    e, "%srun it again", full ? "free disk space and " : "");
}

/* Keeps the reason. What is not known yet is hashed at the end: it may be
 * right. */
static void
not_repaired(struct item *x, const struct err *why)
{
	struct err e = *why;

	err_in(&e, "not repaired");
	fit_hint(&e);
	set_state(x, x->state, &e);
}

static void
source_release(struct source *s)
{
	repoid_release(&s->id);
	free(s->noted);
}

static int
find_source(struct verify *v, struct source *s, struct item *x, struct err *e)
{
	struct localdir_meta m;

	*s = (struct source){.item = x};
	if (localdir_read(&v->folder, x->path, &m, e) != 0 ||
	    m.owner != x->owner || !digest_same(&m.digest, &x->want))
		return err_set(e, ERR_CONTENT, "its metadata has changed");
	if (may_repair(v, x, e) < 0)
		return -1;
	memcpy(s->commit, m.commit, sizeof(s->commit));
	return find_repo(v, s, m.source, e) < 0 || find_size(s, e) < 0 ? -1 : 0;
}

static void
get_content(void *ctx, size_t i, struct content *out)
{
	const struct verify *v = ctx;
	const struct item *x = v->source[i].item;

	*out = (struct content){x->path, x->size, x->want, NULL};
}

/* The rest of an earlier repair, or all of it. */
static struct partial *
begin_whole(
    struct verify *v, const struct item *x, const char *why, struct err *e)
{
	struct partial *p = partial_open_on(&v->ground, &v->folder, PREFIX,
	    &x->want, x->size, true, NULL, NULL, e);

	if (p && !partial_here(p) && x->state != ITEM_MISSING &&
	    x->size > PARTIAL_BLOCK)
		progress_note(v->s.progress, "%s: %s, so all of it is fetched",
		    x->path, why);
	return p;
}

/* Notes what has the name, for take_name(). */
static int
look_before(const struct verify *v, struct source *s, struct err *e)
{
	struct stat st;
	int there = folder_stat(&v->folder, s->item->path, &st, e);

	s->there = there == 0;
	if (s->there)
		stamp_of(&st, &s->seen);
	if (s->there && maker_published(&v->ground.traits.maker, &st))
		s->mode = st.st_mode & 0777;
	return there < 0 ? -1 : 0;
}

static struct partial *
begin(void *ctx, size_t i, char **url, struct err *e)
{
	struct verify *v = ctx;
	struct source *s = &v->source[i];
	struct item *x = s->item;
	const char *why = "there are no checksums of its blocks";
	struct partial *p = NULL;

	if (look_before(v, s, e) < 0)
		return NULL;
	e->kind = ERR_NONE;
	if (x->state != ITEM_MISSING &&
	    !partial_left(&v->folder, PREFIX, &x->want, x->size))
		p = partial_adopt(&v->ground, &v->folder, PREFIX, &x->want,
		    x->size, x->path, &why, e);
	/* It was to be hashed on the way, and may be right. */
	if (!p && e->kind == ERR_NONE && x->state == ITEM_NOTED)
		err_set(e, ERR_FILE, "%s", why);
	else if (!p && e->kind == ERR_NONE)
		p = begin_whole(v, x, why, e);
	if (p && s->mode)
		partial_set_mode(p, s->mode);
	if (p)
		*url = repo_file_url(&s->repo, s->commit, x->path);
	return p;
}

static int
check(void *ctx, size_t i, const struct http_head *h, const struct url *url,
    struct err *e)
{
	const struct verify *v = ctx;
	const struct source *s = &v->source[i];
	const struct repo_file f = {.path = s->item->path,
	    .size = s->item->size,
	    .digest = s->item->want};

	return repo_check_file(&s->repo, &f, h, url, e);
}

/* Gives it its name. What another program has put there during the repair
 * stays. */
static int
take_name(const struct verify *v, const struct source *s, const char *from,
    struct err *e)
{
	const char *to = s->item->path;
	struct stamp now;
	struct stat st;
	int rv = folder_stat(&v->folder, to, &st, e);

	if (rv < 0)
		return -1;
	/* Renamed away, or missing. */
	if (rv > 0)
		rv = folder_publish_new(&v->folder, from, to, e);
	else if (stamp_of(&st, &now), !s->there || !stamp_same(&s->seen, &now))
		rv = 1;
	else
		rv = folder_publish(&v->folder, from, to, e);
	return rv > 0 ? err_set(e, ERR_CONTENT,
			    "another program has made '%s' meanwhile", to)
		      : rv;
}

static int
done(void *ctx, size_t i, const struct partial *p, const char *name,
    struct err *e)
{
	struct verify *v = ctx;
	const struct source *s = &v->source[i];
	struct item *x = s->item;
	struct stat st;
	struct err unnoted;

	/* It never lost its name. */
	if (strcmp(name, x->path) == 0) {
		set_state(x, ITEM_RIGHT, NULL);
		return 0;
	}
	if (take_name(v, s, name, e) < 0 ||
	    folder_sync(&v->folder, x->path, e) < 0)
		return -1;
	set_state(x, ITEM_REPAIRED, NULL);
	/* Without it the next run has to hash the file. */
	if (partial_stat(p, &st, &unnoted) == 0)
		localdir_note(&v->folder, x->path, s->commit, s->noted,
		    &x->want, &st, &unnoted);
	return 0;
}

static void
failed(void *ctx, size_t i, const struct err *e)
{
	struct verify *v = ctx;

	not_repaired(v->source[i].item, e);
}

/* The same contents stand together. */
static int
by_content(const void *a, const void *b)
{
	const struct item *const *x = a, *const *y = b;
	int order =
	    memcmp(&(*x)->want.b, &(*y)->want.b, digest_size(&(*x)->want));

	return order ? order : by_path(*x, *y);
}

static bool
same_content(const struct item *a, const struct item *b)
{
	return a->size > PARTIAL_BLOCK && digest_same(&a->want, &b->want);
}

/* Takes the first of each content out of order[0..n), since two cannot have the
 * same partial file; the others stay for the next round. Returns how many. */
static size_t
take_round(struct verify *v, size_t n)
{
	const struct item *last = NULL;
	size_t left = 0;

	v->sources = 0;
	for (size_t i = 0; i < n; i++) {
		struct item *x = v->order[i];
		struct err e;

		if (last && same_content(last, x)) {
			v->order[left++] = x;
			continue;
		}
		last = x;
		if (find_source(v, &v->source[v->sources], x, &e) < 0) {
			not_repaired(x, &e);
			source_release(&v->source[v->sources]);
		} else {
			v->sources++;
		}
	}
	return left;
}

static int
run_round(struct verify *v, struct err *e)
{
	static const struct transfer_ops ops = {
	    get_content, begin, check, done, failed};
	const struct transfer t = {
	    .client = v->s.client,
	    .count = v->sources,
	    .jobs = session_jobs(&v->s, JOBS_DISK, false),
	    .retries = v->c->retries,
	    .stall_ms = v->c->stall_ms,
	    .rate = v->c->rate,
	    .progress = v->s.progress,
	    .ops = &ops,
	    .ctx = v,
	};
	uint64_t bytes = 0;
	int rv;

	for (size_t i = 0; i < v->sources; i++)
		bytes += v->source[i].item->size;
	progress_phase(v->s.progress, "repairing", v->sources, bytes);
	rv = transfer_run(&t, e);
	for (size_t i = 0; i < v->sources; i++)
		source_release(&v->source[i]);
	return rv;
}

static bool
placed(void *ctx, const struct digest *d)
{
	const struct verify *v = ctx;
	bool found = false;

	/* Another file with that content may be one that was left out. */
	if (is_partly(v))
		return false;
	for (size_t i = 0; i < v->n; i++) {
		const struct item *x = &v->item[i];

		if (x->state == ITEM_EXTRA || !digest_same(&x->want, d))
			continue;
		if (x->state != ITEM_RIGHT && x->state != ITEM_REPAIRED)
			return false;
		found = true;
	}
	return found;
}

static int
by_digest(const void *digest, const void *item)
{
	const struct digest *d = digest;
	const struct item *const *x = item;

	return memcmp(d->b, (*x)->want.b, digest_size(d));
}

/* Whether it is known that no record names that content: order[0..recorded) is
 * in the order of the contents. */
static bool
unused(void *ctx, const struct digest *d)
{
	const struct verify *v = ctx;

	return v->recorded && !is_partly(v) &&
	       !bsearch(
		   d, v->order, v->recorded, sizeof(v->order[0]), by_digest);
}

static void
no_folders(void *ctx, struct litter *l)
{
	(void)ctx;
	(void)l;
}

/* Before the files are looked at. */
static int
prepare_repair(struct verify *v, struct err *e)
{
	if (partial_setup(&v->folder, &v->ground, e) < 0 ||
	    partial_prepare(&v->folder, &v->ground, e) < 0)
		return -1;
	v->ground.keep = v->ground.shared = true;
	litter_enter(&v->litter, &v->folder, PREFIX, v->ground.traits.maker.uid,
	    v->ground.traits.network, true);
	return 0;
}

/* After all rounds: hashes the files that were to be hashed on the way, and were
 * not. */
static int
check_rest(struct verify *v, struct err *e)
{
	for (size_t i = 0; i < v->n; i++)
		v->item[i].adopt = false;
	return hash_all(v, e);
}

static void
sort_contents(struct verify *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n; i++)
		if (v->item[i].state != ITEM_EXTRA)
			v->order[n++] = &v->item[i];
		else if (v->item[i].why)
			/* A damaged record: its content is not known. */
			return;
	v->recorded = n;
	if (n)
		qsort(v->order, n, sizeof(v->order[0]), by_content);
}

static int
repair_all(struct verify *v, struct err *e)
{
	struct err other;
	size_t n = 0;
	int rv = 0;

	for (size_t i = 0; i < v->n; i++)
		if (is_broken(&v->item[i]))
			v->order[n++] = &v->item[i];
	v->source = xcalloc(n, sizeof(v->source[0]));
	if (n)
		qsort(v->order, n, sizeof(v->order[0]), by_content);
	while (n && rv == 0) {
		n = take_round(v, n);
		rv = run_round(v, e);
	}
	v->received = client_received(v->s.client);
	free(v->source);
	if ((rv == 0 || e->kind != ERR_STOPPED) && check_rest(v, &other) < 0 &&
	    rv == 0) {
		*e = other;
		rv = -1;
	}
	sort_contents(v);
	return rv;
}

/* --- The report. --- */

static const char *const state_name[ITEM_STATES] = {
    [ITEM_NOTED] = "unchecked",
    [ITEM_RIGHT] = "right",
    [ITEM_CHANGED] = "changed",
    [ITEM_MISSING] = "missing",
    [ITEM_EXTRA] = "extra",
    [ITEM_UNREAD] = "unread",
    [ITEM_REPAIRED] = "repaired",
};

static void
count(const struct verify *v, size_t n[ITEM_STATES])
{
	memset(n, 0, ITEM_STATES * sizeof(n[0]));
	for (size_t i = 0; i < v->n; i++)
		n[v->item[i].state]++;
}

/* "5 right, 1 changed, 2 extra" */
static void
put_counts(struct buf *b, const size_t n[ITEM_STATES])
{
	static const enum item_state order[] = {ITEM_RIGHT, ITEM_REPAIRED,
	    ITEM_CHANGED, ITEM_MISSING, ITEM_UNREAD, ITEM_EXTRA, ITEM_NOTED};
	bool any = false;

	for (size_t i = 0; i < countof(order); i++)
		if (n[order[i]] || order[i] == ITEM_RIGHT) {
			buf_printf(b, "%s%zu %s", any ? ", " : "", n[order[i]],
			    state_name[order[i]]);
			any = true;
		}
}

static void
put_text(struct verify *v, struct output *out)
{
	size_t n[ITEM_STATES];
	char size[16];

	for (size_t i = 0; i < v->n; i++) {
		const struct item *x = &v->item[i];

		if (x->state == ITEM_RIGHT || x->state == ITEM_NOTED)
			continue;
		size[0] = '\0';
		if (x->size != SIZE_UNKNOWN)
			size_show(x->size, size);
		report_line(&out->text, state_name[x->state], size, x->path,
		    x->why ? x->why->msg : "");
		output_more(out);
	}
	count(v, n);
	put_counts(&out->text, n);
	if (v->o->repair) {
		size_show(v->received, size);
		buf_printf(&out->text, "; %s received", size);
	}
	buf_putc(&out->text, '\n');
}

static void
put_item_json(struct buf *b, const struct item *x)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	buf_puts(b, "{\"path\":");
	json_put_string(b, str_of(x->path));
	if (x->size != SIZE_UNKNOWN)
		buf_printf(b, ",\"size\":%" PRIu64, x->size);
	/* The recorded one. */
	if (x->state != ITEM_EXTRA) {
		digest_hex(&x->want, hex);
		buf_printf(b, ",\"%s\":\"%s\"",
		    x->want.kind == HASH_SHA256 ? "sha256" : "git_oid", hex);
	}
	report_file_end(b, state_name[x->state], x->why ? x->why->msg : NULL);
}

static void
put_json(struct verify *v, struct output *out)
{
	struct buf *b = &out->text;
	size_t n[ITEM_STATES];

	buf_puts(b, "{\"command\":\"verify\",\"path\":");
	json_put_string(b, str_of(v->top));
	buf_printf(b, ",\"repair\":%s,\"received\":%" PRIu64 ",\"files\":[",
	    v->o->repair ? "true" : "false", v->received);
	for (size_t i = 0; i < v->n; i++) {
		if (i)
			buf_putc(b, ',');
		put_item_json(b, &v->item[i]);
		output_more(out);
	}
	count(v, n);
	buf_puts(b, "]");
	for (size_t i = 0; i < ITEM_STATES; i++)
		if (i != ITEM_NOTED)
			buf_printf(b, ",\"%s\":%zu", state_name[i], n[i]);
	buf_puts(b, "}\n");
}

/* "HASH  PATH"; with a '\' before it if the path has one or a line end. */
static void
put_sum(struct buf *b, const struct digest *d, const char *path)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(d, hex);
	buf_printf(b, "%s%s  ", strpbrk(path, "\\\n\r") ? "\\" : "", hex);
	for (; *path; path++)
		if (*path == '\\')
			buf_puts(b, "\\\\");
		else if (*path == '\n')
			buf_puts(b, "\\n");
		else if (*path == '\r')
			buf_puts(b, "\\r");
		else
			buf_putc(b, *path);
	buf_putc(b, '\n');
}

static void
put_sums(struct verify *v, struct output *out)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct item *x = &v->item[i];

		if (x->state == ITEM_RIGHT)
			put_sum(&out->text, x->sha256 ? x->sha256 : &x->want,
			    x->path);
		output_more(out);
	}
}

/* One sentence for all that is not right. */
static int
sum_up(const struct verify *v, struct err *e)
{
	const struct item *first = NULL;
	size_t n[ITEM_STATES], bad, all = 0;
	enum err_kind kind;

	count(v, n);
	bad = n[ITEM_CHANGED] + n[ITEM_MISSING] + n[ITEM_UNREAD];
	for (size_t i = 0; i < v->n; i++) {
		const struct item *x = &v->item[i];

		all += x->state != ITEM_EXTRA;
		if (!first &&
		    (x->state == ITEM_CHANGED || x->state == ITEM_MISSING ||
			x->state == ITEM_UNREAD))
			first = x;
	}
	if (!first)
		return 0;
	kind = n[ITEM_CHANGED]   ? ERR_CONTENT
	       : n[ITEM_MISSING] ? ERR_ABSENT
				 : ERR_FILE;
	/* Why it is so still. */
	if (v->o->repair && first->why && first->why->kind != ERR_STOPPED)
		kind = first->why->kind;
	err_set(e, kind,
	    "%zu of %zu files in '%s' %s not right (%zu changed, %zu missing, "
	    "%zu unread); the first, '%.256s': %s",
	    bad, all, v->top, bad == 1 ? "is" : "are", n[ITEM_CHANGED],
	    n[ITEM_MISSING], n[ITEM_UNREAD], first->path,
	    first->why ? first->why->msg : "it is missing");
	if (first->why && *first->why->hint)
		return err_hint(e, "%s", first->why->hint);
	if (v->o->cache)
		return err_hint(e, "hub download -r %s --cache --force",
		    v->o->repo_id ? v->o->repo_id : "REPO");
	return v->o->repair ? err_hint(e, "run it again to continue")
			    : err_hint(e, "hub verify -p %s --repair", v->top);
}

static int
report(struct verify *v, struct output *out, int rv, struct err *e)
{
	if (v->o->json)
		put_json(v, out);
	else if (rv == 0 && v->o->sha256sums)
		put_sums(v, out);
	else if (!v->o->sha256sums && (rv == 0 || e->kind != ERR_STOPPED))
		put_text(v, out);
	return rv < 0 ? -1 : sum_up(v, e);
}

/* --- The command. --- */

static void
limit(const struct verify *v)
{
	struct confine c = confine_make();

	if (v->o->repair)
		(void)confine_write(&c, AT_FDCWD, v->top);
	else
		confine_read(&c, AT_FDCWD, v->top);
	session_confine(&v->s, &c);
}

static int
run(struct verify *v, struct output *out, struct err *e)
{
	const struct litter_end end = {.placed = placed,
	    .unused = unused,
	    .folders = no_folders,
	    .ctx = v};
	int rv;

	if (folder_open(&v->folder, v->top, false, e) < 0)
		return -1;
	if (!v->o->cache)
		v->folder.own = LOCALDIR_TOP;
	limit(v);
	if ((v->o->cache ? collect_cache : collect)(v, e) < 0 ||
	    (v->o->repair && prepare_repair(v, e) < 0))
		return -1;
	rv = check_all(v, e);
	if (rv == 0 && v->o->repair)
		rv = repair_all(v, e);
	if (v->litter.f)
		litter_leave(&v->litter, &end);
	if (rv < 0)
		fit_hint(e);
	if (rv < 0 && e->kind == ERR_STOPPED)
		err_hint(e, "run it again%s",
		    v->o->repair ? " to continue the repair" : "");
	return report(v, out, rv, e);
}

int
verify(const struct options *o, const struct config *c, struct output *out,
    struct err *e)
{
	struct verify v = {.o = o,
	    .c = c,
	    .top = o->cache ? c->cache_dir : o->local_path,
	    .folder.fd = -1,
	    .cache = {.blobs.fd = -1, .part.fd = -1},
	    .litter.fd = -1};
	int rv;

	if (!v.top) {
		err_set(e, ERR_USAGE,
		    "there is no cache: neither HF_HUB_CACHE nor HOME is set");
		return err_hint(e, "--cache-dir DIR");
	}

	if (!o->repair)
		session_open_local(&v.s, o, c);
	else if (session_open(&v.s, o, c, e) < 0)
		return -1;
	rv = o->cache && o->repo_id ? choose_repo(&v, e) : 0;
	if (rv == 0)
		rv = run(&v, out, e);
	if (rv < 0 && e->kind == ERR_STOPPED)
		err_in(e, "'%s'", v.top);
	for (size_t i = 0; i < v.n; i++)
		item_release(&v.item[i]);
	free(v.item);
	free(v.order);
	cache_release(&v.cache);
	folder_close(&v.folder);
	session_close(&v.s);
	return rv;
}
