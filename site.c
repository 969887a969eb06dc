#include "site.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "err.h"
#include "path.h"
#include "plan.h"
#include "wait.h"

/* --- What is offered. --- */

struct site {
	/* Guards the proofs: proof, changes, stamp and seen of each content,
	 * unproved, next and doubts of each repository, and turn. */
	pthread_rwlock_t lock;
	atomic_uint users;
	const struct site_setup *setup;
	struct site_repo *repo; /* in the order of the keys, without case */
	size_t n;
	size_t turn; /* the repository where the search for a content begins */
};

void
site_lock(struct site *s)
{
	pthread_rwlock_rdlock(&s->lock);
}

void
site_unlock(struct site *s)
{
	pthread_rwlock_unlock(&s->lock);
}

static struct site_content *
add_content(struct site_repo *r, const char *at, const struct digest *d)
{
	struct site_content *c = xcalloc(1, sizeof(*c));

	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap + r->cap / 2 : 16;
		r->content =
		    xreallocarray(r->content, r->cap, sizeof(r->content[0]));
	}
	r->content[r->n++] = c;
	c->at = xstrdup(at);
	c->digest = *d;
	return c;
}

/* path is copied, unless it is that of the content. */
static void
add_entry(struct site_snapshot *s, char *path, struct site_content *c)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap + s->cap / 2 : 16;
		s->entry = xreallocarray(s->entry, s->cap, sizeof(s->entry[0]));
	}
	s->entry[s->n++] =
	    (struct site_entry){path == c->at ? path : xstrdup(path), c};
	c->used = true;
}

static struct site_snapshot *
add_snapshot(struct site_repo *r, const char *commit)
{
	struct site_snapshot *s;

	r->snapshot = xreallocarray(
	    r->snapshot, r->snapshots + 1, sizeof(r->snapshot[0]));
	s = &r->snapshot[r->snapshots++];
	*s = (struct site_snapshot){.n = 0};
	memcpy(s->commit, commit, sizeof(s->commit));
	return s;
}

const struct site_snapshot *
site_snapshot(const struct site_repo *r, struct str commit)
{
	for (size_t i = 0; i < r->snapshots; i++)
		if (str_eq(commit, r->snapshot[i].commit))
			return &r->snapshot[i];
	return NULL;
}

static void
repo_release(struct site_repo *r)
{
	for (size_t i = 0; i < r->snapshots; i++) {
		struct site_snapshot *s = &r->snapshot[i];

		for (size_t k = 0; k < s->n; k++)
			if (s->entry[k].path != s->entry[k].content->at)
				free(s->entry[k].path);
		free(s->entry);
	}
	for (size_t i = 0; i < r->n; i++) {
		free(r->content[i]->at);
		free(r->content[i]);
	}
	for (size_t i = 0; i < r->refs; i++)
		free(r->ref[i].name);
	free(r->snapshot);
	free(r->content);
	free(r->ref);
	free(r->key);
	if (r->cache.name)
		cache_release(&r->cache);
}

struct site *
site_keep(struct site *s)
{
	s->users++;
	return s;
}

void
site_release(struct site *s)
{
	if (!s || --s->users)
		return;
	for (size_t i = 0; i < s->n; i++)
		repo_release(&s->repo[i]);
	free(s->repo);
	pthread_rwlock_destroy(&s->lock);
	free(s);
}

struct site_count
site_count(struct site *s)
{
	struct site_count n = {.repos = s->n};

	pthread_rwlock_rdlock(&s->lock);
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->repo[i].n; k++) {
			const struct site_content *c = s->repo[i].content[k];

			if (!c->used)
				continue;
			n.unproved += c->proof == SITE_UNPROVED;
			n.wrong +=
			    c->proof == SITE_WRONG || c->proof == SITE_UNREAD;
			n.files += c->proof == SITE_RIGHT;
			if (c->proof == SITE_RIGHT)
				n.bytes += c->stamp.size;
		}
	pthread_rwlock_unlock(&s->lock);
	return n;
}

/* --- Looking at folders. --- */

struct look {
	const struct site_setup *setup;
	struct site *old;
	struct site_repo *repo; /* that is being filled */
	struct site_snapshot *snapshot;
	char source[256]; /* "models/org/name" by the newest metadata */
	uint64_t newest;  /* its time */
	char newest_commit[41];
	bool plain; /* a snapshot has files that are no links */
};

static int
by_at(const void *a, const void *b)
{
	const struct site_content *const *x = a, *const *y = b;

	return strcmp((*x)->at, (*y)->at);
}

static int
by_path(const void *a, const void *b)
{
	const struct site_entry *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* Keys are ASCII: in C they are not folded by strcasecmp() of a locale. */
static int
compare_keys(const char *a, const char *b)
{
	for (; chr_lower(*a) == chr_lower(*b); a++, b++)
		if (!*a)
			return 0;
	return chr_lower(*a) < chr_lower(*b) ? -1 : 1;
}

static int
by_key(const void *a, const void *b)
{
	const struct site_repo *x = a, *y = b;

	return compare_keys(x->key, y->key);
}

static void
sort_content(struct site_repo *r)
{
	if (r->n)
		qsort(r->content, r->n, sizeof(r->content[0]), by_at);
}

static struct site_content *
content_at(const struct site_repo *r, const char *at)
{
	for (size_t low = 0, high = r->n; low < high;) {
		size_t i = low + (high - low) / 2;
		int order = strcmp(at, r->content[i]->at);

		if (order == 0)
			return r->content[i];
		if (order < 0)
			high = i;
		else
			low = i + 1;
	}
	return NULL;
}

/* The stamp of a file as it is now. What is no regular file has none. */
static bool
stamp_at(const struct folder *f, const char *path, struct stamp *out)
{
	struct stat st;
	struct err e;

	if (folder_stat(f, path, &st, &e) != 0 || !S_ISREG(st.st_mode))
		return false;
	stamp_of(&st, out);
	return true;
}

/* A file is right at once if the metadata is our own, and nothing has changed
 * the file since its hash was checked. */
static bool
is_stamped(const struct localdir_meta *m, const struct stamp *now)
{
	struct stamp was = m->stamp;

	was.device = now->device;
	return m->stamped && m->owner == geteuid() && !stamp_coarse(now) &&
	       stamp_same(&was, now);
}

/* A metadata file. A damaged one says nothing. */
static int
take_note(void *ctx, const char *path, const struct stat *st, struct err *e)
{
	struct look *l = ctx;
	struct str name = str_of(path + strlen(LOCALDIR_PREFIX "/"));
	struct localdir_meta m;
	struct site_content *c;
	struct stamp now;
	struct err ignored;
	char *file;

	(void)st;
	if (!str_ends(name, LOCALDIR_SUFFIX))
		return wait_check(e);
	name.n -= strlen(LOCALDIR_SUFFIX);
	file = str_dup(name);
	if (path_check(name, &ignored) == 0 &&
	    localdir_read(&l->repo->root->folder, file, &m, &ignored) == 0 &&
	    stamp_at(&l->repo->root->folder, file, &now)) {
		c = add_content(l->repo, file, &m.digest);
		c->stamp = now;
		c->seen = wait_now();
		c->proof = is_stamped(&m, &now) ? SITE_RIGHT : SITE_UNPROVED;
		memcpy(c->commit, m.commit, sizeof(c->commit));
		if (!l->newest || m.seconds > l->newest) {
			l->newest = m.seconds;
			memcpy(l->newest_commit, m.commit, sizeof(m.commit));
			snprintf(l->source, sizeof(l->source), "%s", m.source);
		}
	}
	free(file);
	return wait_check(e);
}

/* A file of the listing of a commit, which has the content that is here: it was
 * downloaded for an earlier commit and is the same. */
static int
take_listed(void *ctx, const struct repo_file *f, struct err *e)
{
	struct look *l = ctx;
	struct site_content *c = content_at(l->repo, f->path);

	if (c && strcmp(c->commit, l->snapshot->commit) != 0 &&
	    digest_same(&c->digest, &f->digest))
		add_entry(l->snapshot, c->at, c);
	return wait_check(e);
}

/* What of the commit is here. */
static int
fill_snapshot(struct look *l, struct site_snapshot *s, struct err *e)
{
	struct site_repo *r = l->repo;
	struct err broken;

	l->snapshot = s;
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->content[i]->commit, s->commit) == 0)
			add_entry(s, r->content[i]->at, r->content[i]);
	memcpy(r->cache.commit, s->commit, sizeof(s->commit));
	if (cache_tree(&r->cache, NULL, take_listed, l, &broken) < 0 &&
	    wait_check(e) < 0)
		return -1;
	return 0;
}

static void
sort_snapshot(struct site_snapshot *s)
{
	size_t kept = 0;

	if (s->n)
		qsort(s->entry, s->n, sizeof(s->entry[0]), by_path);
	/* A listing may name a path twice. */
	for (size_t i = 0; i < s->n; i++) {
		if (kept && by_path(&s->entry[kept - 1], &s->entry[i]) == 0) {
			if (s->entry[i].path != s->entry[i].content->at)
				free(s->entry[i].path);
			continue;
		}
		s->entry[kept++] = s->entry[i];
	}
	s->n = kept;
}

static void
add_ref(struct site_repo *r, const char *name, const char *commit)
{
	const struct site_snapshot *s = site_snapshot(r, str_of(commit));

	for (size_t i = 0; i < r->refs; i++)
		if (strcmp(r->ref[i].name, name) == 0)
			return;
	if (!s)
		return;
	r->ref = xreallocarray(r->ref, r->refs + 1, sizeof(r->ref[0]));
	r->ref[r->refs++] = (struct site_ref){xstrdup(name), s};
}

static int
take_ref(void *ctx, const char *path, const struct stat *st, struct err *e)
{
	struct look *l = ctx;
	struct cache *c = &l->repo->cache;
	const char *name = path + strlen(c->refs);
	char commit[41];
	struct err ignored;

	(void)st;
	if (cache_ref(c, name, commit, &ignored) == 0)
		add_ref(l->repo, name, commit);
	return wait_check(e);
}

/* Fails only after a signal: there may be none. */
static int
look_refs(struct look *l, struct err *e)
{
	const struct site_root *root = l->repo->root;
	const struct folder_walk w = {&root->folder, l, NULL, take_ref};
	char *top = xstrdup(l->repo->cache.refs);
	struct err ignored;

	top[strlen(top) - 1] = '\0';
	(void)folder_walk(&w, top, &ignored);
	free(top);
	return wait_check(e);
}

/* The repository of a folder: its cache has only the refs and the listings. */
static int
name_repo(struct look *l, struct err *e)
{
	struct site_repo *r = l->repo;
	const struct site_root *root = r->root;
	struct repoid id;
	struct buf key = buf_make(1024);

	if (!root->repo && !*l->source) {
		err_set(e, ERR_USAGE, "'%s' does not say whose it is",
		    root->folder.path);
		return err_hint(e, "-p ORG/NAME=%s", root->folder.path);
	}
	if (repoid_parse_path(root->repo ? root->repo : l->source, &id, e) < 0)
		return -1;
	repoid_put_path(&key, id.type, id.id);
	r->key = buf_detach(&key);
	cache_init_folder(&r->cache, &root->folder, id.type, id.id);
	repoid_release(&id);
	return 0;
}

static int
look_folder(struct look *l, struct err *e)
{
	struct site_repo *r = l->repo;
	const struct folder *f = &r->root->folder;
	const struct folder_walk w = {f, l, NULL, take_note};
	struct stat st;

	if (folder_stat(f, LOCALDIR_PREFIX, &st, e) != 0 ||
	    !S_ISDIR(st.st_mode)) {
		err_set(e, ERR_ABSENT,
		    "'%s' has no record of a download (" LOCALDIR_PREFIX ")",
		    f->path);
		return err_hint(
		    e, "hub download -r REPO -p %s records it", f->path);
	}
	if (folder_walk(&w, LOCALDIR_PREFIX, e) < 0 || name_repo(l, e) < 0)
		return -1;
	sort_content(r);
	/* First all, since they move. */
	for (size_t i = 0; i < r->n; i++)
		if (!site_snapshot(r, str_of(r->content[i]->commit)))
			add_snapshot(r, r->content[i]->commit);
	for (size_t i = 0; i < r->snapshots; i++) {
		if (fill_snapshot(l, &r->snapshot[i], e) < 0)
			return -1;
		sort_snapshot(&r->snapshot[i]);
	}
	if (r->n)
		add_ref(r, "main", l->newest_commit);
	return look_refs(l, e);
}

/* --- Looking at a cache. --- */

static bool
enters_none(void *ctx, const char *path)
{
	(void)ctx;
	(void)path;
	return false;
}

static int
take_blob(void *ctx, const char *path, const struct stat *st, struct err *e)
{
	struct look *l = ctx;
	const char *name = strrchr(path, '/') + 1;
	struct site_content *c;
	struct digest d;

	if ((str_is_hex(str_of(name), 64) || str_is_hex(str_of(name), 40)) &&
	    digest_parse(str_of(name), &d) == 0) {
		c = add_content(l->repo, name, &d);
		c->blob = true;
		/* Of a link to the shared store the stamp is not known yet. */
		if (S_ISREG(st->st_mode))
			stamp_of(st, &c->stamp);
		c->seen = wait_now();
	}
	return wait_check(e);
}

/* The path in the snapshot: behind "BASE/snapshots/COMMIT/". */
static char *
in_snapshot(const struct look *l, const char *path)
{
	char *top = cache_entry(&l->repo->cache, "");
	size_t n = strlen(top);

	free(top);
	return xstrdup(path + n);
}

static int
take_link(void *ctx, const char *path, const struct stat *st, struct err *e)
{
	struct look *l = ctx;
	char *name = in_snapshot(l, path), hex[2 * HASH_SIZE_MAX + 1];
	struct repo_file f;
	struct site_content *c;
	struct err ignored;

	if (path_check(str_of(name), &ignored) == 0 && S_ISREG(st->st_mode)) {
		l->plain = true;
	} else if (path_check(str_of(name), &ignored) == 0 &&
		   cache_find(&l->repo->cache, name, &f) == 0) {
		digest_hex(&f.digest, hex);
		c = content_at(l->repo, hex);
		if (c)
			add_entry(l->snapshot, name, c);
	}
	free(name);
	return wait_check(e);
}

/* The content of a file that is no link: only the listing says what it is. */
static int
take_plain(void *ctx, const struct repo_file *f, struct err *e)
{
	struct look *l = ctx;
	struct site_repo *r = l->repo;
	struct site_content *c;
	char *at;
	struct stamp now;
	struct err ignored;

	if (path_check(str_of(f->path), &ignored) < 0)
		return wait_check(e);
	at = cache_entry(&r->cache, f->path);
	if (stamp_at(&r->root->folder, at, &now)) {
		c = add_content(r, at, &f->digest);
		c->stamp = now;
		c->seen = wait_now();
		add_entry(l->snapshot, f->path, c);
	}
	free(at);
	return wait_check(e);
}

/* Fails only after a signal. */
static int
look_snapshot(struct look *l, const char *commit, struct err *e)
{
	struct site_repo *r = l->repo;
	const struct folder_walk w = {&r->root->folder, l, NULL, take_link};
	char *top;
	struct err ignored;

	l->snapshot = add_snapshot(r, commit);
	memcpy(r->cache.commit, commit, sizeof(r->cache.commit));
	top = cache_entry(&r->cache, "");
	top[strlen(top) - 1] = '\0';
	l->plain = false;
	(void)folder_walk(&w, top, &ignored);
	free(top);
	if (l->plain && wait_check(e) == 0) {
		(void)cache_tree(&r->cache, NULL, take_plain, l, &ignored);
		/* The next snapshot searches them. */
		sort_content(r);
	}
	sort_snapshot(l->snapshot);
	return wait_check(e);
}

/* Names of folders, directly below one. */
struct names {
	char **name;
	size_t n;
};

static bool
keep_name(void *ctx, const char *path)
{
	struct names *list = ctx;
	const char *slash = strrchr(path, '/');

	list->name =
	    xreallocarray(list->name, list->n + 1, sizeof(list->name[0]));
	list->name[list->n++] = xstrdup(slash ? slash + 1 : path);
	return false;
}

static int
take_nothing(void *ctx, const char *path, const struct stat *st, struct err *e)
{
	(void)ctx;
	(void)path;
	(void)st;
	return wait_check(e);
}

static int
list_folders(
    const struct folder *f, const char *top, struct names *out, struct err *e)
{
	const struct folder_walk w = {f, out, keep_name, take_nothing};

	*out = (struct names){NULL, 0};
	return folder_walk(&w, top, e);
}

static void
names_release(struct names *list)
{
	while (list->n)
		free(list->name[--list->n]);
	free(list->name);
}

static char *
below(const struct site_repo *r, const char *name)
{
	struct buf b = buf_make(4096);

	buf_printf(&b, "%s%s", r->cache.base, name);
	return buf_detach(&b);
}

static int
look_cached(struct look *l, struct err *e)
{
	struct site_repo *r = l->repo;
	const struct folder_walk w = {
	    &r->root->folder, l, enters_none, take_blob};
	struct names commits = {NULL, 0};
	char *blobs = below(r, "blobs"), *snapshots = below(r, "snapshots");
	struct err ignored;
	int rv;

	(void)folder_walk(&w, blobs, &ignored);
	sort_content(r);
	(void)list_folders(&r->root->folder, snapshots, &commits, &ignored);
	rv = wait_check(e);
	for (size_t i = 0; rv == 0 && i < commits.n; i++)
		if (commit_valid(commits.name[i]))
			rv = look_snapshot(l, commits.name[i], e);
	folder_close(&r->cache.blobs);
	names_release(&commits);
	free(snapshots);
	free(blobs);
	return rv < 0 ? -1 : look_refs(l, e);
}

/* "models--org--name": false if that is none. */
static bool
name_cached(struct site_repo *r, const char *folder)
{
	struct buf key = buf_make(1024);
	struct repoid id;
	struct err ignored;
	bool is;

	for (const char *p = folder; *p; p++)
		if (p[0] == '-' && p[1] == '-') {
			buf_putc(&key, '/');
			p++;
		} else {
			buf_putc(&key, *p);
		}
	is = !key.full && repoid_parse_path(buf_cstr(&key), &id, &ignored) == 0;
	if (is) {
		cache_init(&r->cache, &r->root->folder, id.type, id.id);
		repoid_release(&id);
		is = strcmp(r->cache.name, folder) == 0;
	}
	r->key = buf_detach(&key);
	return is;
}

/* --- All folders. --- */

const struct site_repo *
site_repos(const struct site *s, size_t *n)
{
	*n = s->n;
	return s->repo;
}

struct site_repo *
site_find(const struct site *s, const char *key)
{
	for (size_t low = 0, high = s->n; low < high;) {
		size_t i = low + (high - low) / 2;
		int order = compare_keys(key, s->repo[i].key);

		if (order == 0)
			return &s->repo[i];
		if (order < 0)
			high = i;
		else
			low = i + 1;
	}
	return NULL;
}

static bool
is_known(const struct stamp *s)
{
	return s->inode || s->ctime || s->mtime;
}

/* Takes over what is known of o, another site's content of that name. */
static void
inherit(
    struct site_repo *r, struct site_content *c, const struct site_content *o)
{
	/* The file was another one then. */
	if (is_known(&c->stamp) && !stamp_same(&c->stamp, &o->stamp))
		return;
	if (o->proof == SITE_RIGHT ||
	    (o->proof == SITE_WRONG && is_known(&c->stamp))) {
		c->proof = o->proof;
		r->unproved -= c->used;
	}
	if (o->proof != SITE_UNREAD && o->seen) {
		c->changes = o->changes;
		c->stamp = o->stamp;
		c->seen = o->seen;
	}
}

/* Both have their contents in the same order. */
static void
inherit_all(struct site_repo *r, const struct site_repo *was)
{
	size_t i = 0, k = 0;

	while (i < r->n && k < was->n) {
		struct site_content *c = r->content[i];
		const struct site_content *o = was->content[k];
		int order = strcmp(c->at, o->at);

		if (order == 0 && c->proof == SITE_UNPROVED &&
		    digest_same(&c->digest, &o->digest))
			inherit(r, c, o);
		i += order <= 0;
		k += order >= 0;
	}
}

void
site_inherit(struct site *s, struct site *old)
{
	pthread_rwlock_rdlock(&old->lock);
	pthread_rwlock_wrlock(&s->lock);
	/* The search goes on where it was: if it began anew after each look,
	 * frequent looks could keep it from what comes late. */
	s->turn = old->turn;
	for (size_t i = 0; i < s->n; i++) {
		struct site_repo *r = &s->repo[i];
		const struct site_repo *was = site_find(old, r->key);

		if (!was || was->root != r->root)
			continue;
		r->next = was->next;
		inherit_all(r, was);
	}
	pthread_rwlock_unlock(&s->lock);
	pthread_rwlock_unlock(&old->lock);
}

/* Adds the repository that look() fills. Fails as a whole only at first. */
static int
add_repo(struct site *s, struct look *l, const struct site_root *root,
    const char *folder, struct err *e)
{
	struct site_repo r = {.root = root};
	int rv;

	*l = (struct look){.setup = l->setup, .old = l->old, .repo = &r};
	if (folder && !name_cached(&r, folder)) {
		repo_release(&r);
		return 0;
	}
	rv = folder ? look_cached(l, e) : look_folder(l, e);
	if (rv < 0) {
		repo_release(&r);
		if (!l->old || wait_stop())
			return -1;
		l->setup->note(l->setup->ctx, e);
		return 0;
	}
	assert(r.key); /* both have named it */
	if (site_find(s, r.key)) {
		err_set(e, ERR_USAGE, "'%s' is there twice", r.key);
		repo_release(&r);
		if (!folder && !l->old)
			return -1;
		l->setup->note(l->setup->ctx, e);
		return 0;
	}
	for (size_t i = 0; i < r.n; i++)
		r.unproved +=
		    r.content[i]->used && r.content[i]->proof == SITE_UNPROVED;
	s->repo = xreallocarray(s->repo, s->n + 1, sizeof(r));
	s->repo[s->n++] = r;
	qsort(s->repo, s->n, sizeof(r), by_key);
	return 0;
}

static int
add_cache(
    struct site *s, struct look *l, const struct site_root *root, struct err *e)
{
	struct names folders = {NULL, 0};
	int rv = list_folders(&root->folder, "", &folders, e);

	for (size_t i = 0; rv == 0 && i < folders.n; i++)
		rv = add_repo(s, l, root, folders.name[i], e);
	names_release(&folders);
	return rv;
}

struct site *
site_look(const struct site_setup *setup, struct site *old, struct err *e)
{
	struct site *s = xcalloc(1, sizeof(*s));
	struct look l = {.setup = setup, .old = old};
	int rv = 0;

	pthread_rwlock_init(&s->lock, NULL);
	s->users = 1;
	s->setup = setup;
	for (size_t i = 0; rv == 0 && i < setup->n; i++) {
		const struct site_root *root = &setup->root[i];

		rv = root->cache ? add_cache(s, &l, root, e)
				 : add_repo(s, &l, root, NULL, e);
	}
	if (rv == 0 && old)
		site_inherit(s, old);
	if (rv == 0)
		return s;
	site_release(s);
	return NULL;
}

/* --- Proving. --- */

/* Times that a file may have changed when it is to be hashed, until it is left
 * out. */
#define CHANGES_MAX 3

/* The wait for descriptors and memory to open a file, ms. */
#define SHORTAGE_MS 1000

static int
open_content(
    const struct site_repo *r, const struct site_content *c, struct err *e)
{
	return c->blob ? cache_open_blob(&r->cache, &c->digest, e)
		       : folder_openat(
			     &r->root->folder, c->at, O_RDONLY | O_NONBLOCK, e);
}

static bool
stamp_of_fd(int fd, struct stamp *out)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 0 ||
	    (uint64_t)st.st_size > REPO_FILE_MAX)
		return false;
	stamp_of(&st, out);
	return true;
}

/* Under the lock: the next one from the one whose turn it is, first those that a
 * request waits for. */
static struct site_repo *
next_repo(struct site *s)
{
	struct site_repo *any = NULL;

	for (size_t i = 0; i < s->n; i++) {
		struct site_repo *r = &s->repo[(s->turn + i) % s->n];

		if (r->unproved && r->wanted)
			return r;
		if (r->unproved && !any)
			any = r;
	}
	return any;
}

/* Goes round, so that a file that has to be hashed again and again does not
 * keep the others waiting. */
static struct site_content *
next_content(struct site *s, struct site_repo **r)
{
	struct site_content *c = NULL;

	pthread_rwlock_wrlock(&s->lock);
	*r = next_repo(s);
	for (size_t i = 0; *r && !c && i < (*r)->n; i++) {
		c = (*r)->content[(*r)->next++ % (*r)->n];
		if (!c->used || c->proof != SITE_UNPROVED)
			c = NULL;
		if ((*r)->next >= (*r)->n) {
			(*r)->next = 0;
			s->turn = (size_t)(*r - s->repo) + 1;
		}
	}
	pthread_rwlock_unlock(&s->lock);
	return c;
}

static void
set_proof(struct site *s, struct site_repo *r, struct site_content *c,
    enum site_proof proof, const struct stamp *stamp)
{
	pthread_rwlock_wrlock(&s->lock);
	c->proof = proof;
	c->stamp = *stamp;
	r->unproved--;
	if (!r->unproved)
		r->wanted = false;
	pthread_rwlock_unlock(&s->lock);
}

static void
note_left_out(const struct site *s, const struct site_repo *r,
    const struct site_content *c, const char *reason)
{
	struct err why;

	err_set(&why, ERR_CONTENT, "'%s/%s' is left out: %s",
	    r->root->folder.path, c->at, reason);
	s->setup->note(s->setup->ctx, &why);
}

/*
 * A change within the same tick of the file system's clock leaves the stamp as
 * it is. So a file is hashed once its stamp is known for longer than a tick:
 * then each later change shows. That is measured by the clock of this machine,
 * since a file server has another one. Ticks are up to 10 ms, or 2 s with the
 * coarse stamps of FAT.
 */
static unsigned
tick_of(const struct stamp *s)
{
	return stamp_coarse(s) ? 2100 : 20;
}

/* True if that stamp is known; *ready is the time when the file may be hashed. */
static bool
is_known_as(struct site *s, const struct site_content *c,
    const struct stamp *now, uint64_t *ready)
{
	bool same;

	pthread_rwlock_rdlock(&s->lock);
	same = stamp_same(&c->stamp, now);
	*ready = c->seen + tick_of(now);
	pthread_rwlock_unlock(&s->lock);
	return same;
}

/* The file has another stamp than before: others have their turn, and then it is
 * tried again. What is read while it changes may be a mixture of old and new, so
 * one that keeps changing is left out. */
static void
try_later(struct site *s, struct site_repo *r, struct site_content *c,
    const struct stamp *now)
{
	bool again;

	pthread_rwlock_wrlock(&s->lock);
	c->stamp = *now;
	c->seen = wait_now();
	again = c->changes++ < CHANGES_MAX;
	pthread_rwlock_unlock(&s->lock);
	if (again)
		return;
	set_proof(s, r, c, SITE_WRONG, now);
	note_left_out(s, r, c, "it keeps changing");
}

/* Hashes an open file. 0, also if that is to be done later; -1: stopped by a
 * signal. */
static int
prove_file(struct site *s, struct site_repo *r, struct site_content *c, int fd,
    const struct stamp *stamp, struct err *e)
{
	struct stamp now = {.size = 0};
	struct digest found;
	uint64_t ready;
	int rv;

	if (!is_known_as(s, c, stamp, &ready)) {
		try_later(s, r, c, stamp);
		return 0;
	}
	if (wait_until(ready, e) < 0)
		return -1;
	rv = filehash(
	    fd, stamp->size, c->digest.kind, c->at, NULL, NULL, &found, e);
	if (rv < 0 && e->kind == ERR_STOPPED)
		return -1;
	if (!stamp_of_fd(fd, &now) || !stamp_same(stamp, &now)) {
		try_later(s, r, c, &now);
	} else if (rv < 0) {
		set_proof(s, r, c, SITE_UNREAD, stamp);
		note_left_out(s, r, c, e->msg);
	} else if (digest_same(&found, &c->digest)) {
		set_proof(s, r, c, SITE_RIGHT, stamp);
	} else {
		set_proof(s, r, c, SITE_WRONG, stamp);
		note_left_out(s, r, c, "its hash is not the recorded one");
	}
	return 0;
}

/* Says nothing of the file. */
static bool
is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM;
}

int
site_prove(struct site *s, struct err *e)
{
	struct site_repo *r;
	struct site_content *c = next_content(s, &r);
	struct stamp stamp = {.size = 0};
	int fd, rv = 0;

	if (!c)
		return 0;
	fd = open_content(r, c, e);
	if (fd < 0 && is_shortage(errno)) {
		rv = wait_until(wait_now() + SHORTAGE_MS, e);
	} else if (fd < 0 || !stamp_of_fd(fd, &stamp)) {
		set_proof(s, r, c, SITE_UNREAD, &stamp);
		note_left_out(s, r, c, fd < 0 ? e->msg : "it is too large");
	} else {
		rv = prove_file(s, r, c, fd, &stamp, e);
	}
	if (fd >= 0)
		close(fd);
	return rv < 0 ? -1 : 1;
}

/* --- For answers. --- */

bool
site_is_unproved(struct site_repo *r, const struct site_snapshot *s)
{
	for (size_t i = 0; r->unproved && i < s->n; i++)
		if (s->entry[i].content->proof == SITE_UNPROVED) {
			r->wanted = true;
			return true;
		}
	return false;
}

/* The file has changed, and has this stamp now. */
static void
doubt(struct site *s, struct site_repo *r, struct site_content *c,
    const struct stamp *now)
{
	pthread_rwlock_wrlock(&s->lock);
	if (c->proof != SITE_UNPROVED) {
		c->proof = SITE_UNPROVED;
		c->changes = 0;
		c->stamp = *now;
		c->seen = wait_now();
		r->unproved++;
		r->doubts++;
	}
	pthread_rwlock_unlock(&s->lock);
}

enum site_opened
site_open(struct site *s, struct site_repo *r, struct site_content *c, int *fd,
    struct stamp *stamp)
{
	struct stamp now = {.size = 0};
	struct err e;
	enum site_proof proof;
	bool opened, same;

	*fd = open_content(r, c, &e);
	if (*fd < 0 && is_shortage(errno))
		return SITE_BUSY;
	opened = *fd >= 0 && stamp_of_fd(*fd, &now);
	pthread_rwlock_rdlock(&s->lock);
	proof = c->proof;
	same = opened && stamp_same(&now, &c->stamp);
	pthread_rwlock_unlock(&s->lock);
	/* One that was wrong may be right now; one that is not there is not. */
	if ((proof == SITE_RIGHT || opened) && !same) {
		doubt(s, r, c, &now);
		proof = SITE_UNPROVED;
	}
	if (proof == SITE_UNPROVED)
		r->wanted = true;
	*stamp = now;
	if (proof == SITE_RIGHT)
		return SITE_OPENED;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return proof == SITE_UNPROVED ? SITE_LATER : SITE_ABSENT;
}
