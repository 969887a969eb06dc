#define _GNU_SOURCE /* realpath */

#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "ledger.h"
#include "mem.h"
#include "multipart.h"
#include "place.h"

#define SOURCE_DIR ".cache/huggingface/upload"
/* Steps of a file system's clock: a tick of the kernel, or FAT's two seconds
 * where there are no fractions. */
#define TICK_NS INT64_C(50000000)
#define COARSE_TICK_NS INT64_C(2000000000)
#define NS_PER_S INT64_C(1000000000)

#define READ_PIECE 65536
#define WRITE_PIECE 65536

struct journal {
	pthread_mutex_t lock; /* all that changes after it was opened */
	int fd;               /* to append to; -1: nothing is remembered */
	char *path, *why;
	unsigned char key[RECORD_KEY]; /* of the repository */
	struct ledger ledger;
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

/* --- Reading. --- */

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
			ledger_take(&j->ledger, &r);
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
	ledger_settle(&j->ledger, now_s());
	return rv;
}

/* --- Writing. --- */

/* Writes all of b with one call where it can be, and empties it. */
static int
write_out(int fd, struct buf *b)
{
	if (file_write(fd, b->s, b->len) < 0)
		return -1;
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
writer_put(void *ctx, const struct record *r)
{
	struct writer *w = ctx;

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

/* All that is known, into a new file. */
static int
write_all(void *ctx, int fd)
{
	struct journal *j = ctx;
	struct record first = {.kind = RECORD_JOURNAL};
	struct writer w = writer_make(fd);
	const struct ledger_sink sink = {writer_put, &w};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	first.inode = (uint64_t)st.st_ino;
	writer_put(&w, &first);
	ledger_put(&j->ledger, now_s(), &sink);
	return writer_end(&w);
}

/* --- Finding its place. --- */

/* Reads what is there; what is no journal of ours is set aside. Returns its
 * descriptor, which holds the lock, or -1. */
static int
take_old(struct journal *j, const struct place *at, bool *busy)
{
	int fd = place_open(at, busy);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && load(j, fd, st.st_ino) == 0)
		return fd;
	ledger_release(&j->ledger);
	if (!*busy)
		place_set_aside(at);
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
		ledger_end_uploads(&j->ledger);
	} else {
		j->fd = place_replace(at, write_all, j, e);
	}
	if (old >= 0)
		close(old);
	if (j->fd >= 0)
		j->path = xstrdup(at->shown);
	return busy || j->fd >= 0 ? 0 : -1;
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
	struct buf b = buf_make(sizeof("upload-") + sizeof(hex));

	make_key(text, 1, key);
	hex_encode(key, RECORD_KEY, hex);
	free(real);
	buf_puts(&b, "upload-");
	buf_puts(&b, hex);
	return buf_detach(&b);
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
	ledger_release(&j->ledger);
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

/* The lock is held from here on to the end. */
static struct writer
begin(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	return writer_make(j->fd);
}

/* A disk that is full ends the remembering, not the upload. */
static void
end(struct journal *j, struct writer *w)
{
	if (writer_end(w) < 0 && j->fd >= 0) {
		close(j->fd);
		j->fd = -1;
	}
	pthread_mutex_unlock(&j->lock);
}

static void
put_one(struct journal *j, const struct record *r)
{
	struct writer w = begin(j);

	writer_put(&w, r);
	end(j, &w);
}

static struct record
hash_record(const char *path, const struct stamp *stamp, const struct digest *d)
{
	struct record r = {.kind = RECORD_HASH,
	    .size = stamp->size,
	    .mtime = (uint64_t)stamp->mtime,
	    .ctime = (uint64_t)stamp->ctime,
	    .inode = stamp->inode,
	    .device = stamp->device,
	    .time = now_s(),
	    .digest = *d};

	make_key(&path, 1, r.key);
	return r;
}

bool
journal_hash(struct journal *j, const char *path, const struct stamp *stamp,
    enum hash_kind kind, struct digest *out)
{
	const struct digest d = {.kind = kind};
	struct record want = hash_record(path, stamp, &d);

	/* No lock: hashes do not change after it was opened. */
	return ledger_hash(&j->ledger, &want, out);
}

/* Whether a change from now on would show in that time. */
static bool
is_settled(int64_t time)
{
	int64_t tick = time % NS_PER_S ? TICK_NS : COARSE_TICK_NS, age;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	age = (int64_t)((uint64_t)now.tv_sec * NS_PER_S +
			(uint64_t)now.tv_nsec - (uint64_t)time);
	/* A time far ahead is none that the clock will give soon. */
	return age < -3 * NS_PER_S || age >= tick;
}

void
journal_put_hash(struct journal *j, const char *path, const struct stamp *stamp,
    const struct digest *d)
{
	struct record r = hash_record(path, stamp, d);

	if (is_settled(stamp->mtime) && is_settled(stamp->ctime))
		put_one(j, &r);
}

void
journal_forget_hash(struct journal *j, const char *path, enum hash_kind kind)
{
	/* No file has such a stamp. */
	const struct stamp none = {0};
	const struct digest d = {.kind = kind};
	struct record r = hash_record(path, &none, &d);

	put_one(j, &r);
}

bool
journal_take_multipart(struct journal *j, const struct digest *d, uint64_t size,
    struct multipart *out)
{
	bool found;

	pthread_mutex_lock(&j->lock);
	found = ledger_take_upload(&j->ledger, j->key, d, size, out);
	pthread_mutex_unlock(&j->lock);
	return found;
}

/* Under the lock. */
static void
put_done(struct journal *j, const struct digest *d, struct writer *w)
{
	struct record r = {.kind = RECORD_DONE};

	if (!ledger_upload(&j->ledger, j->key, d, &r.upload))
		return;
	writer_put(w, &r);
	ledger_end_upload(&j->ledger, r.upload);
}

void
journal_put_multipart(
    struct journal *j, const struct digest *d, const struct multipart *m)
{
	struct writer w = begin(j);
	const struct ledger_sink sink = {writer_put, &w};

	put_done(j, d, &w);
	ledger_begin_upload(&j->ledger, j->key, d, m, now_s(), &sink);
	end(j, &w);
}

void
journal_put_part(
    struct journal *j, const struct digest *d, size_t i, const char *etag)
{
	struct record r = {
	    .kind = RECORD_ETAG, .part = i + 1, .text = str_of(etag)};
	struct writer w = begin(j);

	if (ledger_upload(&j->ledger, j->key, d, &r.upload))
		writer_put(&w, &r);
	end(j, &w);
}

void
journal_drop_multipart(struct journal *j, const struct digest *d)
{
	struct writer w = begin(j);

	put_done(j, d, &w);
	end(j, &w);
}
