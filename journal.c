#define _GNU_SOURCE /* flock */

#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "mem.h"
#include "multipart.h"
#include "record.h"

#define SOURCE_DIR ".cache/huggingface/upload"
#define NEW_SUFFIX ".new"
#define OLD_SUFFIX ".old"

/* More files than a repository should have; 25 MiB of memory. */
#define ENTRIES_MAX ((size_t)1 << 18)

/* Hashes of files that were not hashed anew for so long are forgotten. */
#define HASH_KEPT_S ((uint64_t)90 * 24 * 3600)

/* An address that lapses in less is not worth a try. */
#define LAPSE_MARGIN_S 60

/* Addresses that do not say when they lapse are taken to last that long. */
#define LASTS_S (24 * 3600)

/* Steps of a file system's clock: a tick of the kernel, or FAT's two seconds
 * where there are no fractions. */
#define TICK_NS INT64_C(50000000)
#define COARSE_TICK_NS INT64_C(2000000000)

#define READ_PIECE 65536
#define WRITE_PIECE 65536

/* A file's hash, or (size, key, time and digest alone) a stored content. */
struct entry {
	unsigned char key[RECORD_KEY];
	uint64_t size, mtime, inode, time;
	uint32_t nsec, line; /* a later line counts more */
	struct digest digest;
};

struct table {
	struct entry *entry;
	size_t n, cap;
};

/* An upload that has a number in the file. m is empty if it was taken. */
struct pending {
	struct pending *next;
	uint64_t number;
	unsigned char key[RECORD_KEY];
	struct digest digest;
	struct multipart m;
};

struct journal {
	pthread_mutex_t lock; /* all that changes after it was opened */
	int fd;               /* to append to; -1: nothing is remembered */
	char *path, *why;
	unsigned char key[RECORD_KEY]; /* of the repository */
	struct table hashed, stored;
	struct pending *pending;
	uint64_t next; /* number of an upload */
};

/* Where a journal may be. */
struct place {
	int dir;
	char *name, *shown;
	bool network;
};

static uint64_t
now_s(void)
{
	return (uint64_t)time(NULL);
}

/* Names of any length to keys; each text ends with its '\0'. */
static void
make_key(const char *const text[], size_t n, unsigned char key[RECORD_KEY])
{
	struct digest d;
	struct hash h;

	hash_init(&h, HASH_SHA256, 0);
	for (size_t i = 0; i < n; i++)
		hash_update(&h, text[i], strlen(text[i]) + 1);
	hash_final(&h, &d);
	memcpy(key, d.b, RECORD_KEY);
}

/* --- What is in memory. --- */

/* By name, then by kind of hash; contents by what they are. */
static int
compare(const struct entry *a, const struct entry *b)
{
	int c = memcmp(a->key, b->key, RECORD_KEY);

	if (c)
		return c;
	if (a->digest.kind != b->digest.kind)
		return a->digest.kind < b->digest.kind ? -1 : 1;
	return 0;
}

static int
compare_hashed(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int c = compare(a, b);

	return c ? c : (a->line > b->line) - (a->line < b->line);
}

static int
compare_contents(const struct entry *a, const struct entry *b)
{
	int c = compare(a, b);

	return c ? c : memcmp(a->digest.b, b->digest.b, sizeof(a->digest.b));
}

static int
compare_stored(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int c = compare_contents(a, b);

	return c ? c : (a->line > b->line) - (a->line < b->line);
}

static void
table_add(struct table *t, const struct record *r)
{
	struct entry *en;

	if (t->n == ENTRIES_MAX)
		return;
	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->entry = xreallocarray(t->entry, t->cap, sizeof(t->entry[0]));
	}
	en = &t->entry[t->n];
	*en = (struct entry){.size = r->size,
	    .mtime = r->mtime,
	    .inode = r->inode,
	    .time = r->time,
	    .nsec = (uint32_t)r->nsec, /* below 10^9, says record_parse() */
	    .line = (uint32_t)t->n,
	    .digest = r->digest};
	memcpy(en->key, r->key, RECORD_KEY);
	t->n++;
}

/* Sorts, and keeps the last of each; none that is older than kept seconds. */
static void
table_settle(struct table *t, uint64_t kept,
    int (*order)(const void *, const void *),
    int (*same)(const struct entry *, const struct entry *))
{
	uint64_t now = now_s();
	size_t n = 0;

	if (t->n)
		qsort(t->entry, t->n, sizeof(t->entry[0]), order);
	for (size_t i = 0; i < t->n; i++) {
		const struct entry *en = &t->entry[i];

		if (i + 1 < t->n && same(en, en + 1) == 0)
			continue;
		/* What is from the future, by a wrong clock, is as old as
		 * can be. */
		if (now - en->time >= kept)
			continue;
		t->entry[n++] = *en;
	}
	t->n = n;
}

static void
table_release(struct table *t)
{
	free(t->entry);
	*t = (struct table){NULL, 0, 0};
}

/* The entry that same() takes for en; NULL if there is none. */
static const struct entry *
table_find(const struct table *t, const struct entry *en,
    int (*same)(const struct entry *, const struct entry *))
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t i = low + (high - low) / 2;
		int c = same(en, &t->entry[i]);

		if (!c)
			return &t->entry[i];
		if (c < 0)
			high = i;
		else
			low = i + 1;
	}
	return NULL;
}

static void
pending_free(struct pending *p)
{
	multipart_release(&p->m);
	free(p);
}

static struct pending **
pending_by_number(struct journal *j, uint64_t number)
{
	struct pending **p = &j->pending;

	while (*p && (*p)->number != number)
		p = &(*p)->next;
	return p;
}

static struct pending **
pending_by_digest(struct journal *j, const unsigned char key[RECORD_KEY],
    const struct digest *d)
{
	struct pending **p = &j->pending;

	while (*p && (memcmp((*p)->key, key, RECORD_KEY) != 0 ||
			 !digest_same(&(*p)->digest, d)))
		p = &(*p)->next;
	return p;
}

static void
pending_remove(struct pending **p)
{
	struct pending *gone = *p;

	if (!gone)
		return;
	*p = gone->next;
	pending_free(gone);
}

static struct pending *
pending_add(struct journal *j, uint64_t number,
    const unsigned char key[RECORD_KEY], const struct digest *d)
{
	struct pending *p = xcalloc(1, sizeof(*p));

	p->number = number;
	memcpy(p->key, key, RECORD_KEY);
	p->digest = *d;
	p->next = j->pending;
	j->pending = p;
	return p;
}

/* --- Reading. --- */

static void
load_upload(struct journal *j, const struct record *r)
{
	struct multipart m;
	struct pending *p;

	pending_remove(pending_by_number(j, r->upload));
	pending_remove(pending_by_digest(j, r->key, &r->digest));
	if (multipart_init(&m, r->size, r->chunk) < 0)
		return;
	p = pending_add(j, r->upload, r->key, &r->digest);
	p->m = m;
	p->m.expires = r->expires;
	p->m.complete = str_dup(r->text);
}

/* Sets a text of an upload, or of part r->part of it. */
static void
load_text(struct journal *j, const struct record *r)
{
	struct pending *p = *pending_by_number(j, r->upload);
	char **at = NULL;

	if (!p)
		return;
	if (r->kind == RECORD_VERIFY)
		at = &p->m.verify;
	else if (r->part >= 1 && r->part <= p->m.count)
		at = r->kind == RECORD_PART ? &p->m.url[r->part - 1]
					    : &p->m.etag[r->part - 1];
	if (!at)
		return;
	free(*at);
	*at = str_dup(r->text);
}

static void
load_record(struct journal *j, const struct record *r)
{
	switch (r->kind) {
	case RECORD_HASH:
		table_add(&j->hashed, r);
		break;
	case RECORD_STORED:
		table_add(&j->stored, r);
		break;
	case RECORD_UPLOAD:
		load_upload(j, r);
		break;
	case RECORD_VERIFY:
	case RECORD_PART:
	case RECORD_ETAG:
		load_text(j, r);
		break;
	case RECORD_DONE:
		pending_remove(pending_by_number(j, r->upload));
		break;
	case RECORD_JOURNAL:
		break;
	}
}

/* Whole, and good for some time. */
static bool
is_usable(const struct pending *p, uint64_t now)
{
	for (size_t i = 0; i < p->m.count; i++)
		if (!p->m.url[i])
			return false;
	return p->m.expires > now + LAPSE_MARGIN_S;
}

static void
drop_unusable(struct journal *j)
{
	uint64_t now = now_s();

	for (struct pending **p = &j->pending; *p;)
		if (is_usable(*p, now))
			p = &(*p)->next;
		else
			pending_remove(p);
}

/* The lines in text, which begins with a line; *first says that it is the first
 * of the file, which must name inode. Returns the bytes used, or -1 if it is no
 * journal of ours. */
static int
load_lines(
    struct journal *j, struct str text, ino_t inode, bool *first, size_t *used)
{
	struct str line, rest = text;

	while (str_cut(rest, '\n', &line, &rest)) {
		struct record r;
		/* What is broken in the middle is as good as never written. */
		bool ok = record_parse(line, &r) == 0;

		if (*first && (!ok || r.kind != RECORD_JOURNAL ||
				  r.inode != (uint64_t)inode))
			return -1;
		*first = false;
		if (ok)
			load_record(j, &r);
	}
	*used = text.n - rest.n;
	return 0;
}

/* The next piece of the file behind what is in b. 0 at the end. */
static size_t
read_piece(int fd, struct buf *b)
{
	char *room = buf_room(b, READ_PIECE);
	ssize_t n;

	do
		n = read(fd, room, READ_PIECE);
	while (n < 0 && errno == EINTR);
	buf_added(b, n > 0 ? (size_t)n : 0);
	return n > 0 ? (size_t)n : 0;
}

/* All of the file. -1 if it is no journal of ours. A last line that is torn, or
 * one that is too long, ends it. */
static int
load(struct journal *j, int fd, ino_t inode)
{
	struct buf b = buf_make(RECORD_MAX + READ_PIECE);
	bool first = true;
	size_t used;
	int rv = 0;

	while (rv == 0 && b.len <= RECORD_MAX && read_piece(fd, &b)) {
		rv = load_lines(j, buf_str(&b), inode, &first, &used);
		if (rv == 0)
			buf_drop(&b, used);
	}
	if (first && b.len)
		rv = -1;
	mem_wipe(b.s, b.cap); /* signed addresses */
	buf_release(&b);
	table_settle(&j->hashed, HASH_KEPT_S, compare_hashed, compare);
	table_settle(
	    &j->stored, JOURNAL_STORED_S, compare_stored, compare_contents);
	drop_unusable(j);
	return rv;
}

static void
forget(struct journal *j)
{
	table_release(&j->hashed);
	table_release(&j->stored);
	while (j->pending)
		pending_remove(&j->pending);
}

/* --- Writing. --- */

/* Writes all of b with one call where it can be, and empties it. */
static int
write_out(int fd, struct buf *b)
{
	size_t done = 0;

	while (done < b->len) {
		ssize_t n = write(fd, b->s + done, b->len - done);

		if (n < 0 && errno != EINTR)
			return -1;
		done += n > 0 ? (size_t)n : 0;
	}
	if (b->s)
		mem_wipe(b->s, b->len);
	buf_clear(b);
	return 0;
}

/* Collects lines, and writes them in pieces of whole lines. */
struct writer {
	int fd;
	struct buf b;
	bool failed;
};

static struct writer
writer_make(int fd)
{
	return (struct writer){fd, buf_make(WRITE_PIECE + RECORD_MAX), fd < 0};
}

/* A text that cannot be in a line is left out: then the upload is not whole,
 * and the next run does not take it up. */
static void
writer_put(struct writer *w, const struct record *r)
{
	if (w->failed)
		return;
	(void)record_put(&w->b, r);
	if (w->b.len >= WRITE_PIECE && write_out(w->fd, &w->b) < 0)
		w->failed = true;
}

static int
writer_end(struct writer *w)
{
	if (!w->failed && write_out(w->fd, &w->b) < 0)
		w->failed = true;
	buf_release(&w->b);
	return w->failed ? -1 : 0;
}

static void
put_text(struct writer *w, enum record_kind kind, uint64_t upload, size_t part,
    const char *text)
{
	struct record r = {
	    .kind = kind, .upload = upload, .part = part, .text = str_of(text)};

	if (text)
		writer_put(w, &r);
}

static void
put_upload(struct writer *w, const struct pending *p, const struct multipart *m)
{
	struct record r = {.kind = RECORD_UPLOAD,
	    .upload = p->number,
	    .size = m->size,
	    .chunk = m->chunk,
	    .expires = m->expires ? m->expires : now_s() + LASTS_S,
	    .digest = p->digest,
	    .text = str_of(m->complete)};

	memcpy(r.key, p->key, RECORD_KEY);
	writer_put(w, &r);
	put_text(w, RECORD_VERIFY, p->number, 0, m->verify);
	for (size_t i = 0; i < m->count; i++) {
		put_text(w, RECORD_PART, p->number, i + 1, m->url[i]);
		put_text(w, RECORD_ETAG, p->number, i + 1, m->etag[i]);
	}
}

static void
put_entry(struct writer *w, enum record_kind kind, const struct entry *en)
{
	struct record r = {.kind = kind,
	    .size = en->size,
	    .mtime = en->mtime,
	    .nsec = en->nsec,
	    .inode = en->inode,
	    .time = en->time,
	    .digest = en->digest};

	memcpy(r.key, en->key, RECORD_KEY);
	writer_put(w, &r);
}

/* All that is known, into a new file. */
static int
write_all(struct journal *j, int fd)
{
	struct record first = {.kind = RECORD_JOURNAL};
	struct writer w = writer_make(fd);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	first.inode = (uint64_t)st.st_ino;
	writer_put(&w, &first);
	for (size_t i = 0; i < j->hashed.n; i++)
		put_entry(&w, RECORD_HASH, &j->hashed.entry[i]);
	for (size_t i = 0; i < j->stored.n; i++)
		put_entry(&w, RECORD_STORED, &j->stored.entry[i]);
	for (struct pending *p = j->pending; p; p = p->next) {
		p->number = j->next++;
		put_upload(&w, p, &p->m);
	}
	return writer_end(&w);
}

/* --- Finding its place. --- */

static char *
suffixed(const char *name, const char *suffix)
{
	struct buf b = buf_make(strlen(name) + strlen(suffix));

	buf_puts(&b, name);
	buf_puts(&b, suffix);
	return buf_detach(&b);
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

/* The file as it is, locked; -1 if there is none, or none of ours. *busy: its
 * lock is another's. */
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

/* Reads what is there; what is no journal of ours is set aside. Returns its
 * descriptor, which holds the lock, or -1. */
static int
take_old(struct journal *j, const struct place *at, bool *busy)
{
	int fd = open_old(at, busy);
	struct stat st;
	char *aside;

	if (fd >= 0 && !*busy && !is_named(at, fd)) {
		/* Another run was just about to replace it. */
		close(fd);
		fd = open_old(at, busy);
	}
	if (fd >= 0 && fstat(fd, &st) == 0 && load(j, fd, st.st_ino) == 0)
		return fd;
	forget(j);
	if (*busy)
		return fd;
	aside = suffixed(at->name, OLD_SUFFIX);
	(void)renameat(at->dir, at->name, at->dir, aside);
	free(aside);
	return fd;
}

/* The file anew, without what is of no use any more. */
static int
write_new(struct journal *j, const struct place *at, struct err *e)
{
	char *name = suffixed(at->name, NEW_SUFFIX);
	int fd;

	unlinkat(at->dir, name, 0);
	fd = openat(at->dir, name,
	    O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    0600);
	if (fd < 0 || lock(at, fd) < 0 || write_all(j, fd) < 0 ||
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

static int
take_place(struct journal *j, const struct place *at, struct err *e)
{
	bool busy;
	int old = take_old(j, at, &busy);

	if (busy) {
		err_set(e, ERR_FILE, "another upload from there is running");
		/* What it sends now is its own to send. */
		while (j->pending)
			pending_remove(&j->pending);
	} else {
		j->fd = write_new(j, at, e);
	}
	if (old >= 0)
		close(old);
	if (j->fd >= 0)
		j->path = xstrdup(at->shown);
	return busy || j->fd >= 0 ? 0 : -1;
}

static void
place_release(struct place *at)
{
	if (at->dir >= 0)
		close(at->dir);
	free(at->name);
	free(at->shown);
}

static char *
shown(const char *folder, const char *dir, const char *name)
{
	struct buf b = buf_make(1 << 16);

	buf_printf(&b, "%s/%s%s%s", folder, dir, *dir ? "/" : "", name);
	return buf_detach(&b);
}

/* A file called name in dir ("": itself) below f. */
static int
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

/* Its own folder says that git is to pass over it. */
static int
prepare_source(const struct folder *f, struct err *e)
{
	static const char ignore[] = ".cache/huggingface/.gitignore";
	struct stat st;
	int rv;

	if (folder_make_parents(f, SOURCE_DIR "/x", e) < 0)
		return -1;
	rv = folder_stat(f, ignore, &st, e);
	if (rv <= 0)
		return rv;
	return folder_write(f, ignore, str_of("*\n"), false, e);
}

static int
open_in_source(struct journal *j, const struct journal_opts *o, struct err *e)
{
	struct place at;
	int rv;

	if (prepare_source(o->source, e) < 0 ||
	    place_find(&at, o->source, SOURCE_DIR, "journal", e) < 0)
		return -1;
	rv = take_place(j, &at, e);
	place_release(&at);
	return rv;
}

/* "upload-KEY" by the source's real path. */
static char *
state_name(const struct folder *source)
{
	char *real = realpath(source->path, NULL);
	const char *text[] = {real ? real : source->path};
	char hex[2 * RECORD_KEY + 1];
	unsigned char key[RECORD_KEY];

	make_key(text, 1, key);
	hex_encode(key, RECORD_KEY, hex);
	free(real);
	return suffixed("upload-", hex);
}

static int
open_in_state(struct journal *j, const struct journal_opts *o, struct err *e)
{
	struct folder f;
	struct place at;
	char *name;
	int rv;

	if (!o->state)
		return -1;
	if (folder_open(&f, o->state, true, e) < 0)
		return -1;
	name = state_name(o->source);
	rv = place_find(&at, &f, "", name, e);
	if (rv == 0) {
		rv = take_place(j, &at, e);
		place_release(&at);
	}
	free(name);
	folder_close(&f);
	return rv;
}

struct journal *
journal_open(const struct journal_opts *o)
{
	const char *text[] = {o->endpoint, o->type, o->id};
	struct journal *j = xcalloc(1, sizeof(*j));
	struct err e = {.kind = ERR_NONE};

	j->fd = -1;
	pthread_mutex_init(&j->lock, NULL);
	make_key(text, countof(text), j->key);
	if (open_in_source(j, o, &e) < 0)
		open_in_state(j, o, &e);
	if (j->fd < 0)
		j->why = xstrdup(e.msg);
	return j;
}

void
journal_close(struct journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		close(j->fd);
	forget(j);
	free(j->path);
	free(j->why);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

const char *
journal_path(const struct journal *j)
{
	return j->path;
}

const char *
journal_why(const struct journal *j)
{
	return j->why;
}

/* --- In use. --- */

/* Under the lock: a disk that is full ends the remembering, not the upload. */
static void
append(struct journal *j, struct writer *w)
{
	if (writer_end(w) == 0 || j->fd < 0)
		return;
	close(j->fd);
	j->fd = -1;
}

static struct entry
entry_of(const struct journal_file *f, enum hash_kind kind)
{
	struct entry en = {.size = f->size,
	    .mtime = (uint64_t)f->mtime_s,
	    .inode = f->inode,
	    .nsec = (uint32_t)f->mtime_ns,
	    .digest = {.kind = kind}};

	make_key(&f->path, 1, en.key);
	return en;
}

bool
journal_hash(struct journal *j, const struct journal_file *f,
    enum hash_kind kind, struct digest *out)
{
	struct entry want = entry_of(f, kind);
	/* No lock: the table does not change after it was opened. */
	const struct entry *en = table_find(&j->hashed, &want, compare);

	if (!en || en->size != want.size || en->mtime != want.mtime ||
	    en->nsec != want.nsec || en->inode != want.inode)
		return false;
	*out = en->digest;
	return true;
}

/* Whether a change from now on would show in the file's time. */
static bool
is_settled(const struct journal_file *f)
{
	int64_t tick = f->mtime_ns ? TICK_NS : COARSE_TICK_NS, ns;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (f->mtime_s > now.tv_sec + 3 || f->mtime_s < now.tv_sec - 3)
		return true;
	ns = ((int64_t)now.tv_sec - f->mtime_s) * 1000000000 + now.tv_nsec -
	     f->mtime_ns;
	return ns >= tick;
}

void
journal_put_hash(
    struct journal *j, const struct journal_file *f, const struct digest *d)
{
	struct entry en = entry_of(f, d->kind);
	struct writer w;

	if (!is_settled(f) || f->mtime_ns < 0 || f->mtime_ns >= 1000000000)
		return;
	en.digest = *d;
	en.time = now_s();
	pthread_mutex_lock(&j->lock);
	w = writer_make(j->fd);
	put_entry(&w, RECORD_HASH, &en);
	append(j, &w);
	pthread_mutex_unlock(&j->lock);
}

bool
journal_stored(struct journal *j, const struct digest *d, uint64_t size)
{
	struct entry want = {.digest = *d};
	const struct entry *en;

	memcpy(want.key, j->key, RECORD_KEY);
	en = table_find(&j->stored, &want, compare_contents);
	return en && en->size == size && now_s() - en->time < JOURNAL_STORED_S;
}

void
journal_put_stored(struct journal *j, const struct digest *d, uint64_t size)
{
	struct entry en = {.size = size, .time = now_s(), .digest = *d};
	struct writer w;

	memcpy(en.key, j->key, RECORD_KEY);
	pthread_mutex_lock(&j->lock);
	w = writer_make(j->fd);
	put_entry(&w, RECORD_STORED, &en);
	append(j, &w);
	pthread_mutex_unlock(&j->lock);
}

bool
journal_take_multipart(struct journal *j, const struct digest *d, uint64_t size,
    struct multipart *out)
{
	struct pending *p;
	bool found;

	pthread_mutex_lock(&j->lock);
	p = *pending_by_digest(j, j->key, d);
	found = p && p->m.count && p->m.size == size;
	if (found) {
		*out = p->m;
		p->m = (struct multipart){0};
	}
	pthread_mutex_unlock(&j->lock);
	return found;
}

/* Under the lock. */
static void
put_done(struct journal *j, const struct digest *d, struct writer *w)
{
	struct pending **p = pending_by_digest(j, j->key, d);
	struct record r = {.kind = RECORD_DONE};

	if (!*p)
		return;
	r.upload = (*p)->number;
	writer_put(w, &r);
	pending_remove(p);
}

void
journal_put_multipart(
    struct journal *j, const struct digest *d, const struct multipart *m)
{
	struct writer w;

	pthread_mutex_lock(&j->lock);
	w = writer_make(j->fd);
	put_done(j, d, &w);
	put_upload(&w, pending_add(j, j->next++, j->key, d), m);
	append(j, &w);
	pthread_mutex_unlock(&j->lock);
}

void
journal_put_part(
    struct journal *j, const struct digest *d, size_t i, const char *etag)
{
	const struct pending *p;
	struct writer w;

	pthread_mutex_lock(&j->lock);
	w = writer_make(j->fd);
	p = *pending_by_digest(j, j->key, d);
	if (p)
		put_text(&w, RECORD_ETAG, p->number, i + 1, etag);
	append(j, &w);
	pthread_mutex_unlock(&j->lock);
}

void
journal_drop_multipart(struct journal *j, const struct digest *d)
{
	struct writer w;

	pthread_mutex_lock(&j->lock);
	w = writer_make(j->fd);
	put_done(j, d, &w);
	append(j, &w);
	pthread_mutex_unlock(&j->lock);
}
