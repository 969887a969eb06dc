#include "site.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "cache.h"
#include "err.h"
#include "hash.h"
#include "http.h"
#include "json.h"
#include "path.h"
#include "plan.h"
#include "url.h"
#include "wait.h"

/* --- What is offered. --- */

enum proof {
	PROOF_NONE, /* to be hashed */
	PROOF_RIGHT,
	PROOF_WRONG,  /* another content, until the stamp is another one */
	PROOF_UNREAD, /* not there, or not readable: the same, or until the
		       * next look */
};

/* Bytes on the disk. */
struct content {
	char *at;  /* path below the root; of a blob of a cache, its name */
	bool blob; /* of a cache */
	bool used; /* a snapshot has it */
	enum proof proof;
	unsigned torn; /* times that it changed while it was hashed */
	struct digest digest;
	struct stamp stamp; /* the file that the proof is about, or that is to
			     * be hashed; all zero: not known */
	uint64_t seen;      /* when it was first seen with that stamp */
	char commit[41];    /* as its metadata says; "" in a cache */
};

struct entry {
	char *path; /* in the repository; owned, unless it is content->at */
	struct content *content;
};

/* In the order of the paths. */
struct snapshot {
	char commit[41];
	struct entry *entry;
	size_t n, cap;
};

struct ref {
	char *name;
	const struct snapshot *snapshot;
};

struct site_repo {
	char *key; /* "models/org/name" */
	const struct site_root *root;
	struct cache cache;
	struct content **content; /* in the order of at */
	size_t n, cap;
	struct snapshot *snapshot;
	size_t snapshots;
	struct ref *ref;
	size_t refs;
	/* Guarded by the lock of the site. */
	size_t unproved;    /* contents to be hashed */
	size_t next;        /* the search for one begins here */
	uint64_t doubts;    /* contents that were found to be changed */
	atomic_bool wanted; /* a request waits for them */
};

struct site {
	/* Guards the proofs: proof, torn, stamp and seen of each content,
	 * unproved, next and doubts of each repository, and turn. */
	pthread_rwlock_t lock;
	atomic_uint users;
	const struct site_setup *setup;
	struct site_repo *repo; /* in the order of the keys, without case */
	size_t n;
	size_t turn; /* the repository where the search for a content begins */
};

static struct content *
add_content(struct site_repo *r, const char *at, const struct digest *d)
{
	struct content *c = xcalloc(1, sizeof(*c));

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
add_entry(struct snapshot *s, char *path, struct content *c)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap + s->cap / 2 : 16;
		s->entry = xreallocarray(s->entry, s->cap, sizeof(s->entry[0]));
	}
	s->entry[s->n++] =
	    (struct entry){path == c->at ? path : xstrdup(path), c};
	c->used = true;
}

static struct snapshot *
add_snapshot(struct site_repo *r, const char *commit)
{
	struct snapshot *s;

	r->snapshot = xreallocarray(
	    r->snapshot, r->snapshots + 1, sizeof(r->snapshot[0]));
	s = &r->snapshot[r->snapshots++];
	*s = (struct snapshot){.n = 0};
	memcpy(s->commit, commit, sizeof(s->commit));
	return s;
}

static const struct snapshot *
snapshot_of(const struct site_repo *r, struct str commit)
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
		struct snapshot *s = &r->snapshot[i];

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
			const struct content *c = s->repo[i].content[k];

			if (!c->used)
				continue;
			n.unproved += c->proof == PROOF_NONE;
			n.wrong +=
			    c->proof == PROOF_WRONG || c->proof == PROOF_UNREAD;
			n.files += c->proof == PROOF_RIGHT;
			if (c->proof == PROOF_RIGHT)
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
	struct snapshot *snapshot;
	char source[256]; /* "models/org/name" by the newest metadata */
	uint64_t newest;  /* its time */
	char newest_commit[41];
	bool plain; /* a snapshot has files that are no links */
};

static int
by_at(const void *a, const void *b)
{
	const struct content *const *x = a, *const *y = b;

	return strcmp((*x)->at, (*y)->at);
}

static int
by_path(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

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

static struct content *
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

static bool
enters_all(void *ctx, const char *path)
{
	(void)ctx;
	(void)path;
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
	struct content *c;
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
		c->proof = is_stamped(&m, &now) ? PROOF_RIGHT : PROOF_NONE;
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
	struct content *c = content_at(l->repo, f->path);

	if (c && strcmp(c->commit, l->snapshot->commit) != 0 &&
	    digest_same(&c->digest, &f->digest))
		add_entry(l->snapshot, c->at, c);
	return wait_check(e);
}

/* What of the commit is here. */
static int
fill_snapshot(struct look *l, struct snapshot *s, struct err *e)
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
sort_snapshot(struct snapshot *s)
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
	const struct snapshot *s = snapshot_of(r, str_of(commit));

	for (size_t i = 0; i < r->refs; i++)
		if (strcmp(r->ref[i].name, name) == 0)
			return;
	if (!s)
		return;
	r->ref = xreallocarray(r->ref, r->refs + 1, sizeof(r->ref[0]));
	r->ref[r->refs++] = (struct ref){xstrdup(name), s};
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
	const struct folder_walk w = {&root->folder, l, enters_all, take_ref};
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
	const struct folder_walk w = {f, l, enters_all, take_note};
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
		if (!snapshot_of(r, str_of(r->content[i]->commit)))
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
	struct content *c;
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
	struct content *c;
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
	struct content *c;
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
	const struct folder_walk w = {
	    &r->root->folder, l, enters_all, take_link};
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

static const struct site_repo *
repo_of(const struct site *s, const char *key)
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
inherit(struct site_repo *r, struct content *c, const struct content *o)
{
	/* The file was another one then. */
	if (is_known(&c->stamp) && !stamp_same(&c->stamp, &o->stamp))
		return;
	if (o->proof == PROOF_RIGHT ||
	    (o->proof == PROOF_WRONG && is_known(&c->stamp))) {
		c->proof = o->proof;
		r->unproved -= c->used;
	}
	if (o->proof != PROOF_UNREAD && o->seen) {
		c->torn = o->torn;
		c->stamp = o->stamp;
		c->seen = o->seen;
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
		const struct site_repo *was = repo_of(old, r->key);

		if (!was || was->root != r->root)
			continue;
		r->next = was->next;
		for (size_t k = 0; k < r->n; k++) {
			struct content *c = r->content[k];
			const struct content *o = content_at(was, c->at);

			if (o && c->proof == PROOF_NONE &&
			    digest_same(&c->digest, &o->digest))
				inherit(r, c, o);
		}
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
	if (repo_of(s, r.key)) {
		err_set(e, ERR_USAGE, "'%s' is there twice", r.key);
		repo_release(&r);
		if (!folder && !l->old)
			return -1;
		l->setup->note(l->setup->ctx, e);
		return 0;
	}
	for (size_t i = 0; i < r.n; i++)
		r.unproved +=
		    r.content[i]->used && r.content[i]->proof == PROOF_NONE;
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

/* Times that a file may change while it is hashed, until it is left out. */
#define TORN_MAX 3

/* The wait for descriptors and memory to open a file, ms. */
#define SHORTAGE_MS 1000

static int
open_content(const struct site_repo *r, const struct content *c, struct err *e)
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
static struct content *
next_content(struct site *s, struct site_repo **r)
{
	struct content *c = NULL;

	pthread_rwlock_wrlock(&s->lock);
	*r = next_repo(s);
	for (size_t i = 0; *r && !c && i < (*r)->n; i++) {
		c = (*r)->content[(*r)->next++ % (*r)->n];
		if (!c->used || c->proof != PROOF_NONE)
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
set_proof(struct site *s, struct site_repo *r, struct content *c,
    enum proof proof, const struct stamp *stamp)
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
    const struct content *c, const char *reason)
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

/* Sets *ready to the time when the file may be hashed. False if its stamp was
 * not known: then others have their turn first. */
static bool
is_seen(
    struct site *s, struct content *c, const struct stamp *now, uint64_t *ready)
{
	bool same;

	pthread_rwlock_wrlock(&s->lock);
	same = stamp_same(&c->stamp, now);
	if (!same) {
		c->stamp = *now;
		c->seen = wait_now();
	}
	*ready = c->seen + tick_of(now);
	pthread_rwlock_unlock(&s->lock);
	return same;
}

/* A file that changes while it is read may be a mixture of old and new. One that
 * keeps changing is not right. True if it may be hashed again. */
static bool
is_torn(struct site *s, struct content *c, const struct stamp *now)
{
	bool again;

	pthread_rwlock_wrlock(&s->lock);
	c->stamp = *now;
	c->seen = wait_now();
	again = ++c->torn < TORN_MAX;
	pthread_rwlock_unlock(&s->lock);
	return again;
}

/* Hashes an open file. 0, also if that is to be done later; -1: stopped by a
 * signal. */
static int
prove_file(struct site *s, struct site_repo *r, struct content *c, int fd,
    const struct stamp *stamp, struct err *e)
{
	struct stamp now = {.size = 0};
	struct digest found;
	uint64_t ready;
	int rv;

	if (!is_seen(s, c, stamp, &ready))
		return 0;
	if (wait_until(ready, e) < 0)
		return -1;
	rv = filehash(
	    fd, stamp->size, c->digest.kind, c->at, NULL, NULL, &found, e);
	if (rv < 0 && e->kind == ERR_STOPPED)
		return -1;
	if (!stamp_of_fd(fd, &now) || !stamp_same(stamp, &now)) {
		if (is_torn(s, c, &now))
			return 0;
		set_proof(s, r, c, PROOF_WRONG, &now);
		note_left_out(s, r, c, "it changes while it is hashed");
	} else if (rv < 0) {
		set_proof(s, r, c, PROOF_UNREAD, stamp);
		note_left_out(s, r, c, e->msg);
	} else if (digest_same(&found, &c->digest)) {
		set_proof(s, r, c, PROOF_RIGHT, stamp);
	} else {
		set_proof(s, r, c, PROOF_WRONG, stamp);
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
	struct content *c = next_content(s, &r);
	struct stamp stamp = {.size = 0};
	int fd, rv = 0;

	if (!c)
		return 0;
	fd = open_content(r, c, e);
	if (fd < 0 && is_shortage(errno)) {
		rv = wait_until(wait_now() + SHORTAGE_MS, e);
	} else if (fd < 0 || !stamp_of_fd(fd, &stamp)) {
		set_proof(s, r, c, PROOF_UNREAD, &stamp);
		note_left_out(s, r, c, fd < 0 ? e->msg : "it is too large");
	} else {
		rv = prove_file(s, r, c, fd, &stamp, e);
	}
	if (fd >= 0)
		close(fd);
	return rv < 0 ? -1 : 1;
}

/* --- Answers: headers and failures. --- */

/* The longest text of an answer. */
#define TEXT_MAX ((size_t)8 << 20)

/* Seconds after which a client may ask again for what is not proved yet. */
#define RETRY_AFTER 2

#define FIELDS_MAX 32768

/* A page of a listing ends with either. */
#define PAGE_FILES 1000
#define PAGE_BYTES 65536

/* A piece of a list that is given in pieces ends there. */
#define PIECE_BYTES 16384

static struct site_answer
make_answer(unsigned status)
{
	struct site_answer a = {
	    .status = status,
	    .fields = buf_make(FIELDS_MAX),
	    .body = buf_make(TEXT_MAX),
	    .fd = -1,
	};

	/* Usually enough, so that it does not grow bit by bit. */
	(void)buf_room(&a.fields, 1000);
	return a;
}

void
site_answer_release(struct site_answer *a)
{
	if (a->fd >= 0)
		close(a->fd);
	buf_release(&a->fields);
	buf_release(&a->body);
	site_rest_release(a->rest);
	a->fd = -1;
	a->rest = NULL;
}

static void
put_field(struct site_answer *a, const char *name, const char *value)
{
	buf_puts(&a->fields, name);
	buf_puts(&a->fields, ": ");
	buf_puts(&a->fields, value);
	buf_puts(&a->fields, "\r\n");
}

static void
put_number(struct site_answer *a, const char *name, uint64_t n)
{
	buf_puts(&a->fields, name);
	buf_puts(&a->fields, ": ");
	buf_num(&a->fields, n);
	buf_puts(&a->fields, "\r\n");
}

static void
put_etag(struct site_answer *a, const char *name, const char *hex)
{
	buf_puts(&a->fields, name);
	buf_puts(&a->fields, ": \"");
	buf_puts(&a->fields, hex);
	buf_puts(&a->fields, "\"\r\n");
}

static void
put_json_type(struct site_answer *a)
{
	put_field(a, "Content-Type", "application/json; charset=utf-8");
}

void
site_fail(struct site_answer *out, unsigned status, const char *code,
    const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* It may hold what a client sent. */
	for (char *p = text; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	site_answer_release(out);
	*out = make_answer(status);
	if (code)
		put_field(out, "X-Error-Code", code);
	put_field(out, "X-Error-Message", text);
	put_json_type(out);
	buf_puts(&out->body, "{\"error\":");
	json_put_string(&out->body, str_of(text));
	buf_putc(&out->body, '}');
	out->length = out->body.len;
}

static void
fail_entry(struct site_answer *out, const struct snapshot *s)
{
	site_fail(out, 404, "EntryNotFound", "Entry not found");
	put_field(out, "X-Repo-Commit", s->commit);
}

static void
fail_unproved(struct site_answer *out)
{
	site_fail(out, 503, NULL, "files are still being hashed: ask again");
	put_number(out, "Retry-After", RETRY_AFTER);
	out->prove = true;
}

/* --- Answers: what a request names. --- */

/* What the path of a request stands for. */
struct place {
	struct site_repo *repo;
	const struct snapshot *snapshot;
	struct buf path; /* in the repository; "": none */
};

/* A request that is being answered. */
struct asking {
	struct site *s;
	const struct site_request *q;
	struct site_answer *a;
	struct str query;
	struct place at;
};

/* Cuts the next part off a path that begins with '/', and decodes it; false at
 * the end, and for a broken one. */
static bool
next_part(struct str *rest, struct buf *out)
{
	struct str part, more;

	if (!str_starts(*rest, "/"))
		return false;
	*rest = str_make(rest->s + 1, rest->n - 1);
	part = *rest;
	more = str_of("");
	if (str_cut(*rest, '/', &part, &more))
		more = str_make(more.s - 1, more.n + 1);
	*rest = more;
	return part.n && url_unquote(part, out) == 0 && !out->full;
}

/* Finds the repository of "/org/name..." or "/name...", and cuts that off
 * rest. */
static struct site_repo *
take_repo(const struct site *s, enum repo_type type, struct str *rest)
{
	struct buf key = buf_make(512);
	const struct site_repo *r = NULL;
	struct str all = *rest, one;

	buf_puts(&key, repo_type_plural(type));
	buf_putc(&key, '/');
	if (next_part(&all, &key)) {
		size_t n = key.len;

		one = all;
		buf_putc(&key, '/');
		if (next_part(&all, &key))
			r = repo_of(s, buf_cstr(&key));
		if (r) {
			*rest = all;
		} else if (!key.full && key.s) {
			key.s[n] = '\0';
			r = repo_of(s, key.s);
			*rest = one;
		}
	}
	buf_release(&key);
	return r ? &s->repo[r - s->repo] : NULL;
}

/* Finds the snapshot of a revision: a name that was noted, or a commit. */
static bool
find_snapshot(struct asking *k, const char *revision)
{
	const struct site_repo *r = k->at.repo;

	/* git's name for the default branch. */
	if (strcmp(revision, "HEAD") == 0)
		revision = "main";
	k->at.snapshot = NULL;
	for (size_t i = 0; !k->at.snapshot && i < r->refs; i++)
		if (strcmp(r->ref[i].name, revision) == 0)
			k->at.snapshot = r->ref[i].snapshot;
	if (!k->at.snapshot)
		k->at.snapshot = snapshot_of(r, str_of(revision));
	if (k->at.snapshot)
		return true;
	site_fail(
	    k->a, 404, "RevisionNotFound", "Invalid rev id: %s", revision);
	return false;
}

/* Takes "/REV" or nothing, which is main. */
static bool
take_snapshot(struct asking *k, struct str *rest)
{
	struct buf revision = buf_make(512);
	bool found = true;

	if (!rest->n)
		buf_puts(&revision, "main");
	else
		found = next_part(rest, &revision);
	if (found)
		found = find_snapshot(k, buf_cstr(&revision));
	else
		site_fail(k->a, 400, NULL, "Invalid revision");
	buf_release(&revision);
	return found;
}

/* Takes the rest as a path, in which slashes may be quoted, too. "" is the top.
 * One that could be no file of a repository names none. */
static bool
take_path(struct asking *k, struct str rest)
{
	struct err ignored;

	if (str_starts(rest, "/"))
		rest = str_make(rest.s + 1, rest.n - 1);
	buf_clear(&k->at.path);
	if (!rest.n)
		return true;
	if (url_unquote(rest, &k->at.path) == 0 && !k->at.path.full &&
	    path_check(buf_str(&k->at.path), &ignored) == 0)
		return true;
	fail_entry(k->a, k->at.snapshot);
	return false;
}

/* The first entry that is not before the path. */
static size_t
first_entry(const struct snapshot *s, const char *path)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t i = low + (high - low) / 2;

		if (strcmp(s->entry[i].path, path) < 0)
			low = i + 1;
		else
			high = i;
	}
	return low;
}

static const struct entry *
entry_at(const struct snapshot *s, const char *path)
{
	size_t i = first_entry(s, path);

	return i < s->n && strcmp(s->entry[i].path, path) == 0 ? &s->entry[i]
							       : NULL;
}

/* Under the lock. True if files of the snapshot are not proved yet: a listing
 * without them would look whole. */
static bool
is_unproved(struct site_repo *r, const struct snapshot *s)
{
	for (size_t i = 0; r->unproved && i < s->n; i++)
		if (s->entry[i].content->proof == PROOF_NONE) {
			r->wanted = true;
			return true;
		}
	return false;
}

/* --- Answers: listings. --- */

/* A listing under way; the lock is held. */
struct listing {
	struct buf *out;
	struct hash hash; /* for the ids of pointers */
	size_t n;         /* entries so far */
	size_t asked;     /* paths of a request */
};

/* The text that git has in place of a file of Git LFS. */
static int
put_pointer(char text[256], const struct content *c)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(&c->digest, hex);
	return snprintf(text, 256,
	    "version https://git-lfs.github.com/spec/v1\n"
	    "oid sha256:%s\nsize %" PRIu64 "\n",
	    hex, c->stamp.size);
}

/* git's id: of an LFS file that of its pointer. */
static void
put_oid(struct listing *l, const struct content *c)
{
	char hex[2 * HASH_SIZE_MAX + 1], text[256];
	struct digest d = c->digest;

	if (d.kind == HASH_SHA256) {
		size_t n = (size_t)put_pointer(text, c);

		hash_restart(&l->hash, HASH_GIT, n);
		hash_update(&l->hash, text, n);
		hash_final(&l->hash, &d);
	}
	digest_hex(&d, hex);
	buf_puts(l->out, hex);
}

static void
put_lfs(struct listing *l, const char *name, const struct content *c)
{
	char hex[2 * HASH_SIZE_MAX + 1], text[256];

	if (c->digest.kind != HASH_SHA256)
		return;
	digest_hex(&c->digest, hex);
	buf_printf(l->out,
	    ",\"lfs\":{\"%s\":\"%s\",\"size\":%" PRIu64 ",\"pointerSize\":%d}",
	    name, hex, c->stamp.size, put_pointer(text, c));
}

static void
next_item(struct listing *l)
{
	if (l->n++)
		buf_putc(l->out, ',');
}

static void
put_file(struct listing *l, const struct entry *x)
{
	next_item(l);
	buf_puts(l->out, "{\"type\":\"file\",\"oid\":\"");
	put_oid(l, x->content);
	buf_printf(l->out,
	    "\",\"size\":%" PRIu64 ",\"path\":", x->content->stamp.size);
	json_put_string(l->out, str_of(x->path));
	put_lfs(l, "oid", x->content);
	buf_putc(l->out, '}');
}

/* Its id is not known, but clients want one: this is git's name for none. */
static void
put_folder(struct listing *l, struct str path)
{
	next_item(l);
	buf_puts(l->out, "{\"type\":\"directory\",\"oid\":\""
			 "0000000000000000000000000000000000000000\","
			 "\"size\":0,\"path\":");
	json_put_string(l->out, path);
	buf_putc(l->out, '}');
}

static bool
is_right(const struct entry *x)
{
	return x->content->proof == PROOF_RIGHT;
}

/* What of a tree is wanted. */
struct wanted {
	const char *prefix; /* "" or "folder/" */
	bool recursive;
	uint64_t limit;
	const char *after; /* the last file of the page before; NULL: none */
};

/* Puts the folders that x is in and the file before was not, and x itself. */
static void
put_below(struct listing *l, const struct wanted *w, const struct entry *x,
    const char *before)
{
	const char *rest = x->path + strlen(w->prefix), *slash;

	for (const char *p = rest; (slash = strchr(p, '/')); p = slash + 1) {
		size_t n = (size_t)(slash - x->path);

		if (!before || strncmp(before, x->path, n + 1) != 0)
			put_folder(l, str_make(x->path, n));
		if (!w->recursive)
			return;
	}
	put_file(l, x);
}

/* Puts a page; returns the last file of it, NULL if nothing is left behind
 * it. */
static const char *
put_tree(struct listing *l, const struct snapshot *s, const struct wanted *w)
{
	const char *before = w->after;
	size_t n = strlen(w->prefix);
	size_t i = first_entry(s, w->after ? w->after : w->prefix);

	for (; i < s->n; i++) {
		const struct entry *x = &s->entry[i];

		if (strncmp(x->path, w->prefix, n) != 0)
			break;
		if (!is_right(x) || (before && strcmp(x->path, before) <= 0))
			continue;
		if (l->n >= w->limit || l->out->len >= PAGE_BYTES)
			return before;
		put_below(l, w, x, before);
		before = x->path;
	}
	return NULL;
}

/* The address of the next page. */
static void
put_link(const struct asking *k, const struct wanted *w, const char *last)
{
	struct buf link = buf_make(FIELDS_MAX);
	struct str path = k->q->target, query;

	str_cut(k->q->target, '?', &path, &query);
	if (k->q->host.n)
		buf_printf(&link, "http%s://%.*s", k->q->secure ? "s" : "",
		    STRF(k->q->host));
	buf_str_add(&link, path);
	buf_printf(&link, "?recursive=%s&limit=%" PRIu64 "&cursor=",
	    w->recursive ? "true" : "false", w->limit);
	url_quote(&link, str_of(last), "");
	buf_printf(
	    &k->a->fields, "Link: <%s>; rel=\"next\"\r\n", buf_cstr(&link));
	buf_release(&link);
}

/* The decoded value of a query's member; false if it is absent or broken. */
static bool
query_text(struct str query, const char *name, struct buf *out)
{
	struct str value;

	return url_query_get(query, name, &value) && value.n &&
	       url_unquote(value, out) == 0 && !out->full;
}

static bool
query_flag(struct str query, const char *name)
{
	struct str value;

	return url_query_get(query, name, &value) &&
	       (str_eq_nocase(value, "true") || str_eq(value, "1"));
}

static void
answer_page(struct asking *k, const struct wanted *w)
{
	const struct snapshot *s = k->at.snapshot;
	struct listing l = {.out = &k->a->body};
	const char *last;
	bool unproved;

	pthread_rwlock_rdlock(&k->s->lock);
	unproved = is_unproved(k->at.repo, s);
	buf_putc(l.out, '[');
	last = unproved ? NULL : put_tree(&l, s, w);
	buf_putc(l.out, ']');
	pthread_rwlock_unlock(&k->s->lock);
	if (unproved)
		fail_unproved(k->a);
	else if (!l.n && *w->prefix && !w->after)
		fail_entry(k->a, s);
	else if (last)
		put_link(k, w, last);
}

/* GET .../tree/REV[/PATH] */
static void
answer_tree_of(struct asking *k, struct str rest)
{
	struct wanted w = {.limit = PAGE_FILES};
	struct buf after = buf_make(PATH_LIMIT);
	struct str value;
	uint64_t limit;

	while (str_ends(rest, "/"))
		rest.n--;
	if (!take_path(k, rest))
		return;
	if (k->at.path.len)
		buf_putc(&k->at.path, '/');
	w.prefix = buf_cstr(&k->at.path);
	w.recursive = query_flag(k->query, "recursive");
	if (url_query_get(k->query, "limit", &value) &&
	    str_num(value, 10, PAGE_FILES, &limit) == 0 && limit)
		w.limit = limit;
	if (query_text(k->query, "cursor", &after))
		w.after = buf_cstr(&after);
	put_json_type(k->a);
	answer_page(k, &w);
	buf_release(&after);
}

/* --- Answers: information on paths. --- */

/* The text of a path is not much longer than the path, so that it is bounded by
 * the body and SITE_PATHS_MAX; more are only counted. */
static void
put_path(struct listing *l, const struct snapshot *s, struct buf *path)
{
	const struct entry *x;
	size_t i;

	if (l->asked++ >= SITE_PATHS_MAX)
		return;
	while (path->len && path->s[path->len - 1] == '/')
		path->s[--path->len] = '\0';
	if (!path->len)
		return;
	x = entry_at(s, buf_cstr(path));
	if (x && is_right(x)) {
		put_file(l, x);
		return;
	}
	buf_putc(path, '/');
	for (i = first_entry(s, buf_cstr(path));
	     i < s->n && str_starts(str_of(s->entry[i].path), path->s); i++)
		if (is_right(&s->entry[i])) {
			put_folder(l, str_make(path->s, path->len - 1));
			return;
		}
}

/* {"paths": ["a", "b"]}, or one path. */
static bool
put_json_paths(struct listing *l, const struct snapshot *s, struct str body)
{
	struct json all, paths, item;
	struct json_iter it;
	struct buf path = buf_make(PATH_LIMIT);
	struct err ignored;

	if (json_parse(body, &all, &ignored) < 0 ||
	    !json_get(&all, "paths", &paths))
		return false;
	if (json_string(&paths, &path) == 0 && !path.full)
		put_path(l, s, &path);
	for (it = json_iter(&paths); json_next(&it, NULL, &item);) {
		buf_release(&path);
		path = buf_make(PATH_LIMIT);
		if (json_string(&item, &path) == 0 && !path.full)
			put_path(l, s, &path);
	}
	buf_release(&path);
	return true;
}

/* "paths=a&paths=b": there a blank is a '+'. */
static void
put_form_paths(struct listing *l, const struct snapshot *s, struct str body)
{
	while (body.n) {
		struct str pair = body, rest = str_of(""), name, value;
		struct buf plain = buf_make(3 * PATH_LIMIT);
		struct buf path = buf_make(PATH_LIMIT);

		str_cut(body, '&', &pair, &rest);
		body = rest;
		if (str_cut(pair, '=', &name, &value) &&
		    (str_eq(name, "paths") || str_eq(name, "paths[]"))) {
			buf_str_add(&plain, value);
			for (size_t i = 0; i < plain.len; i++)
				if (plain.s[i] == '+')
					plain.s[i] = ' ';
			if (url_unquote(buf_str(&plain), &path) == 0 &&
			    !path.full && !plain.full)
				put_path(l, s, &path);
		}
		buf_release(&plain);
		buf_release(&path);
	}
}

/* POST .../paths-info/REV */
static void
answer_paths(struct asking *k)
{
	const struct snapshot *s = k->at.snapshot;
	struct listing l = {.out = &k->a->body};
	struct str type = k->q->type, parameters;
	bool good = true, unproved;

	str_cut(k->q->type, ';', &type, &parameters);
	put_json_type(k->a);
	pthread_rwlock_rdlock(&k->s->lock);
	unproved = is_unproved(k->at.repo, s);
	buf_putc(l.out, '[');
	if (unproved)
		;
	else if (str_eq_nocase(str_trim(type), "application/json"))
		good = put_json_paths(&l, s, k->q->body);
	else
		put_form_paths(&l, s, k->q->body);
	buf_putc(l.out, ']');
	pthread_rwlock_unlock(&k->s->lock);
	if (unproved)
		fail_unproved(k->a);
	else if (!good)
		site_fail(k->a, 400, NULL, "the body names no paths");
	else if (l.asked > SITE_PATHS_MAX)
		site_fail(k->a, 413, NULL, "more than %d paths: ask for fewer",
		    SITE_PATHS_MAX);
}

/* --- Answers: repositories. --- */

static const char *
id_of(const struct site_repo *r)
{
	return strchr(r->key, '/') + 1;
}

/* A list of all files that is given in pieces: of 100,000 files it is too much
 * memory for each client that reads slowly. */
struct site_rest {
	struct site *s;
	struct site_repo *repo;
	const struct snapshot *snapshot;
	bool blobs;
	size_t next; /* the entry that the next piece begins with */
	size_t put;  /* files so far */
	uint64_t doubts;
};

static void
put_sibling(struct listing *l, const struct entry *x, bool blobs)
{
	next_item(l);
	buf_puts(l->out, "{\"rfilename\":");
	json_put_string(l->out, str_of(x->path));
	if (blobs) {
		buf_printf(l->out, ",\"size\":%" PRIu64 ",\"blobId\":\"",
		    x->content->stamp.size);
		put_oid(l, x->content);
		buf_putc(l->out, '"');
		put_lfs(l, "sha256", x->content);
	}
	buf_putc(l->out, '}');
}

int
site_more(struct site_rest *rest, struct buf *out)
{
	struct listing l = {.out = out, .n = rest->put};
	const struct snapshot *s = rest->snapshot;
	size_t end = out->len + PIECE_BYTES;
	int rv = 1;

	pthread_rwlock_rdlock(&rest->s->lock);
	/* What is left out from now on was not left out at first. */
	if (rest->doubts != rest->repo->doubts)
		rv = -1;
	for (; rv > 0 && rest->next < s->n && out->len < end; rest->next++)
		if (is_right(&s->entry[rest->next]))
			put_sibling(&l, &s->entry[rest->next], rest->blobs);
	pthread_rwlock_unlock(&rest->s->lock);
	rest->put = l.n;
	if (rv > 0 && rest->next == s->n) {
		buf_puts(out, "]}");
		rv = 0;
	}
	return out->full ? -1 : rv;
}

void
site_rest_release(struct site_rest *rest)
{
	if (rest)
		site_release(rest->s);
	free(rest);
}

/* The list of the files, up to its end if that is not far. */
static void
begin_siblings(struct asking *k)
{
	struct site_rest *rest = xcalloc(1, sizeof(*rest));
	bool unproved;
	int more = 1;

	*rest = (struct site_rest){.s = site_keep(k->s),
	    .repo = k->at.repo,
	    .snapshot = k->at.snapshot,
	    .blobs = query_flag(k->query, "blobs")};
	pthread_rwlock_rdlock(&k->s->lock);
	unproved = is_unproved(k->at.repo, k->at.snapshot);
	rest->doubts = k->at.repo->doubts;
	pthread_rwlock_unlock(&k->s->lock);
	while (!unproved && more > 0 && k->a->body.len < PAGE_BYTES)
		more = site_more(rest, &k->a->body);
	if (!unproved && more > 0) {
		k->a->rest = rest;
		return;
	}
	site_rest_release(rest);
	if (unproved || more < 0)
		fail_unproved(k->a);
}

/* GET .../ID and .../ID/revision/REV. What is not known is left out. */
static void
answer_info(struct asking *k)
{
	const struct snapshot *s = k->at.snapshot;
	struct buf *out = &k->a->body;
	const char *id = id_of(k->at.repo), *slash = strchr(id, '/');

	put_json_type(k->a);
	buf_printf(out, "{\"id\":\"%s\",", id);
	if (str_starts(str_of(k->at.repo->key), "models/"))
		buf_printf(out, "\"modelId\":\"%s\",", id);
	if (slash)
		buf_printf(out, "\"author\":\"%.*s\",", (int)(slash - id), id);
	buf_printf(out,
	    "\"sha\":\"%s\",\"private\":false,\"gated\":false,"
	    "\"disabled\":false,\"tags\":[],\"siblings\":[",
	    s->commit);
	begin_siblings(k);
}

static void
put_refs(struct asking *k, bool pulls)
{
	const struct site_repo *r = k->at.repo;
	struct listing l = {.out = &k->a->body};

	for (size_t i = 0; i < r->refs; i++) {
		const struct ref *x = &r->ref[i];
		bool full = str_starts(str_of(x->name), "refs/");

		if (str_starts(str_of(x->name), "refs/pr/") != pulls)
			continue;
		next_item(&l);
		buf_puts(l.out, "{\"name\":");
		json_put_string(l.out,
		    str_of(pulls ? x->name + strlen("refs/pr/") : x->name));
		buf_puts(l.out, ",\"ref\":");
		if (full) {
			json_put_string(l.out, str_of(x->name));
		} else {
			struct buf name = buf_make(1024);

			buf_printf(&name, "refs/heads/%s", x->name);
			json_put_string(l.out, buf_str(&name));
			buf_release(&name);
		}
		buf_printf(
		    l.out, ",\"targetCommit\":\"%s\"}", x->snapshot->commit);
	}
}

/* Which of the names are tags is not known. */
static void
answer_refs_of(struct asking *k)
{
	put_json_type(k->a);
	buf_puts(&k->a->body, "{\"branches\":[");
	put_refs(k, false);
	buf_puts(&k->a->body, "],\"tags\":[],\"converts\":[],"
			      "\"pullRequests\":[");
	put_refs(k, true);
	buf_puts(&k->a->body, "]}");
}

/* GET /: for people. */
static void
answer_top(struct asking *k)
{
	put_field(k->a, "Content-Type", "text/plain; charset=utf-8");
	for (size_t i = 0; i < k->s->n; i++)
		buf_printf(&k->a->body, "%s\n", k->s->repo[i].key);
}

/* --- Answers: files. --- */

static void
put_disposition(struct site_answer *a, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	buf_puts(&a->fields, "Content-Disposition: inline; filename*=UTF-8''");
	url_quote(&a->fields, str_of(name), "");
	buf_puts(&a->fields, "; filename=\"");
	for (; *name; name++)
		buf_putc(&a->fields,
		    *name < ' ' || *name > '~' || *name == '"' || *name == '\\'
			? '_'
			: *name);
	buf_puts(&a->fields, "\";\r\n");
}

/* Everything that does not depend on the range. */
static void
put_about(struct asking *k, const struct entry *x, const char *hex)
{
	struct site_answer *a = k->a;

	put_field(a, "X-Repo-Commit", k->at.snapshot->commit);
	put_etag(a, "ETag", hex);
	put_etag(a, "X-Linked-ETag", hex);
	if (a->status == 304)
		return;
	put_number(a, "X-Linked-Size", a->length);
	put_field(a, "Accept-Ranges", "bytes");
	put_field(a, "Content-Type",
	    x->content->digest.kind == HASH_SHA256
		? "application/octet-stream"
		: "text/plain; charset=utf-8");
	/* A browser is to run nothing of it. */
	put_field(a, "X-Content-Type-Options", "nosniff");
	put_disposition(a, x->path);
}

/* a->length is the size of the file. */
static void
apply_range(struct asking *k, const char *hex)
{
	struct site_answer *a = k->a;
	struct str condition = k->q->if_range;
	uint64_t first, last, size = a->length;
	int rv = k->q->head || !k->q->range.n
		     ? 0
		     : http_range(k->q->range, size, &first, &last);

	/* A weak one never fits, nor does a date. */
	if (condition.n && (condition.n != strlen(hex) + 2 ||
			       !http_etag_listed(condition, hex)))
		rv = 0;
	if (rv > 0) {
		a->status = 206;
		a->first = first;
		a->length = last - first + 1;
		buf_printf(&a->fields,
		    "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64
		    "\r\n",
		    first, last, size);
	} else if (rv < 0) {
		site_fail(a, 416, NULL, "nothing is in that range");
		buf_printf(
		    &a->fields, "Content-Range: bytes */%" PRIu64 "\r\n", size);
	}
}

/* The file has changed, and has this stamp now. */
static void
doubt(struct site *s, struct site_repo *r, struct content *c,
    const struct stamp *now)
{
	pthread_rwlock_wrlock(&s->lock);
	if (c->proof != PROOF_NONE) {
		c->proof = PROOF_NONE;
		c->torn = 0;
		c->stamp = *now;
		c->seen = wait_now();
		r->unproved++;
		r->doubts++;
	}
	pthread_rwlock_unlock(&s->lock);
}

/* Opens the file, if it is proved and still the same; else it is to be proved
 * again. Returns 0 or the status. */
static unsigned
open_entry(struct asking *k, const struct entry *x)
{
	struct site_repo *r = k->at.repo;
	struct content *c = x->content;
	struct stamp now = {.size = 0};
	struct err e;
	enum proof proof;
	bool opened, same;

	k->a->fd = open_content(r, c, &e);
	if (k->a->fd < 0 && is_shortage(errno))
		return 500;
	opened = k->a->fd >= 0 && stamp_of_fd(k->a->fd, &now);
	pthread_rwlock_rdlock(&k->s->lock);
	proof = c->proof;
	same = opened && stamp_same(&now, &c->stamp);
	pthread_rwlock_unlock(&k->s->lock);
	/* One that was wrong may be right now; one that is not there is not. */
	if ((proof == PROOF_RIGHT || opened) && !same) {
		doubt(k->s, r, c, &now);
		proof = PROOF_NONE;
	}
	if (proof == PROOF_NONE)
		r->wanted = true;
	k->a->length = now.size;
	k->a->stamp = now;
	return proof == PROOF_RIGHT ? 0 : proof == PROOF_NONE ? 503 : 404;
}

/* GET and HEAD /ID/resolve/REV/PATH */
static void
answer_file(struct asking *k, struct str rest)
{
	const struct entry *x;
	char hex[2 * HASH_SIZE_MAX + 1];
	unsigned status = 404;

	if (!take_path(k, rest))
		return;
	x = entry_at(k->at.snapshot, buf_cstr(&k->at.path));
	if (x)
		status = open_entry(k, x);
	if (status == 500)
		site_fail(k->a, 500, NULL, "no file can be opened now");
	else if (status == 503)
		fail_unproved(k->a);
	else if (status)
		fail_entry(k->a, k->at.snapshot);
	if (status)
		return;
	digest_hex(&x->content->digest, hex);
	if (k->q->none_match.n && http_etag_listed(k->q->none_match, hex)) {
		close(k->a->fd);
		k->a->fd = -1;
		k->a->status = 304;
		put_about(k, x, hex);
		return;
	}
	put_about(k, x, hex);
	apply_range(k, hex);
}

/* --- Answers: which one. --- */

static void
fail_repo(struct asking *k)
{
	site_fail(k->a, 404, "RepoNotFound", "Repository not found");
}

static void
fail_method(struct asking *k, const char *allowed)
{
	site_fail(k->a, 405, NULL, "read-only");
	put_field(k->a, "Allow", allowed);
}

/* "/revision/REV", "/tree/REV/PATH" and so on, behind the repository. */
static void
answer_about(struct asking *k, struct str rest)
{
	struct buf verb = buf_make(64);
	bool named = next_part(&rest, &verb);
	const char *what = named ? buf_cstr(&verb) : "revision";
	bool paths = strcmp(what, "paths-info") == 0;

	if (k->q->post != paths)
		fail_method(k, paths ? "POST" : "GET, HEAD");
	else if (strcmp(what, "refs") == 0 && !rest.n)
		answer_refs_of(k);
	else if (strcmp(what, "auth-check") == 0 && !rest.n)
		put_field(k->a, "Content-Type", "text/plain");
	else if (strcmp(what, "revision") != 0 && strcmp(what, "tree") != 0 &&
		 !paths)
		site_fail(k->a, 404, NULL, "not offered");
	else if (!take_snapshot(k, &rest))
		;
	else if (paths)
		answer_paths(k);
	else if (*what == 't')
		answer_tree_of(k, rest);
	else
		answer_info(k);
	buf_release(&verb);
}

/* "/models/ID..." */
static void
answer_api(struct asking *k, struct str rest)
{
	struct buf plural = buf_make(32);
	int type = next_part(&rest, &plural) ? REPO_KERNEL : -1;

	while (type >= 0 && !str_eq(buf_str(&plural),
				repo_type_plural((enum repo_type)type)))
		type--;
	buf_release(&plural);
	if (type < 0) {
		site_fail(k->a, 404, NULL, "not offered");
		return;
	}
	k->at.repo = take_repo(k->s, (enum repo_type)type, &rest);
	if (!k->at.repo)
		fail_repo(k);
	else
		answer_about(k, rest);
}

/* "/ID/resolve/REV/PATH", "/datasets/ID/resolve/..." */
static void
answer_resolve(struct asking *k, struct str path)
{
	struct buf verb = buf_make(64);
	enum repo_type type = REPO_MODEL;

	for (int t = REPO_DATASET; t <= REPO_KERNEL; t++) {
		const char *prefix = repo_type_prefix((enum repo_type)t);
		struct str rest = str_make(path.s + 1, path.n - 1);

		if (!str_starts(rest, prefix))
			continue;
		type = (enum repo_type)t;
		/* With the '/' at its end. */
		path =
		    str_make(path.s + strlen(prefix), path.n - strlen(prefix));
		break;
	}
	k->at.repo = take_repo(k->s, type, &path);
	if (!k->at.repo)
		fail_repo(k);
	else if (k->q->post)
		fail_method(k, "GET, HEAD");
	else if (!next_part(&path, &verb) ||
		 strcmp(buf_cstr(&verb), "resolve") != 0 || !path.n)
		site_fail(k->a, 404, NULL, "not offered");
	else if (take_snapshot(k, &path))
		answer_file(k, path);
	buf_release(&verb);
}

void
site_answer(
    struct site *s, const struct site_request *q, struct site_answer *out)
{
	struct asking k = {
	    .s = s,
	    .q = q,
	    .a = out,
	    .query = str_of(""),
	    .at.path = buf_make(PATH_LIMIT + 1),
	};
	struct str path = q->target;

	*out = make_answer(200);
	str_cut(q->target, '?', &path, &k.query);
	if (str_eq(path, "/"))
		answer_top(&k);
	else if (str_starts(path, "/api/"))
		answer_api(&k, str_make(path.s + 4, path.n - 4));
	else
		answer_resolve(&k, path);
	buf_release(&k.at.path);
	if (out->body.full || out->fields.full)
		site_fail(out, 500, NULL, "the answer is too long");
	if (out->fd < 0 && out->status != 304)
		out->length = out->body.len;
}
