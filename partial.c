#define _GNU_SOURCE /* flock, sync_file_range */

#include "partial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "hash.h"
#include "state.h"
#include "str.h"
#include "wait.h"

/* --- What killed runs left. --- */

/* Files on a network file system are leftovers after this many seconds. */
#define NETWORK_AGE (7 * 24 * 3600)

/* How long (ms), and in which steps, a run waits while another one removes
 * leftovers. */
#define WAIT_MS 5000
#define STEP_MS 10

static bool
is_hash(struct str s)
{
	return str_is_hex(s, 64) || str_is_hex(s, 40);
}

/* ".hub-RANDOM.tmp", as folder_write() makes it. */
static bool
is_temp(struct str name)
{
	return name.n == 25 && str_starts(name, ".hub-") &&
	       str_ends(name, ".tmp") &&
	       str_is_hex(str_make(name.s + 5, 16), 16);
}

/* "names-RANDOM": the folder in which plan.c tries names. */
static bool
is_trial(struct str name)
{
	return name.n == 22 && str_starts(name, "names-") &&
	       str_is_hex(str_make(name.s + 6, 16), 16);
}

/* A name that no later run continues: HASH.RANDOM.KIND, HASH.claim, .RANDOM.tmp
 * (state.h), and copy-RANDOM of earlier versions. */
static bool
is_private(struct str name)
{
	struct str hash, random, kind;

	if (is_temp(name) || is_trial(name))
		return true;
	if (str_starts(name, "copy-"))
		return str_is_hex(str_make(name.s + 5, name.n - 5), 16);
	if (!str_cut(name, '.', &hash, &random) || (hash.n && !is_hash(hash)))
		return false;
	if (!str_cut(random, '.', &random, &kind))
		return hash.n && str_eq(random, "claim");
	return str_is_hex(random, 16) &&
	       (str_eq(kind, "tmp") ||
		   (hash.n && (str_eq(kind, "part") || str_eq(kind, "old"))));
}

/* HASH.part or HASH.state. */
static bool
is_kept(struct str name, struct str *hash, struct str *kind)
{
	return str_cut(name, '.', hash, kind) && is_hash(*hash) &&
	       (str_eq(*kind, "part") || str_eq(*kind, "state"));
}

/* Whether it is a state without a partial file: the run was killed after it
 * published that. */
static bool
is_orphan(const struct litter *l, struct str hash, struct str kind)
{
	struct buf part = buf_make(8192);
	struct stat st;
	struct err e;
	bool orphan = false;

	buf_printf(&part, "%s%.*s.part", l->prefix, STRF(hash));
	if (str_eq(kind, "state"))
		orphan = folder_stat(l->f, buf_cstr(&part), &st, &e) == 1;
	buf_release(&part);
	return orphan;
}

static bool
is_left(const struct litter *l, struct str name, const struct litter_end *end)
{
	struct str hash, kind;
	struct digest d;

	if (is_private(name))
		return true;
	if (!is_kept(name, &hash, &kind))
		return false;
	if (end && digest_parse(hash, &d) == 0 && end->placed(end->ctx, &d))
		return true;
	return is_orphan(l, hash, kind);
}

/* Whether this run may remove it: it is our user's, and, on a network file
 * system, older than NETWORK_AGE. *now is the time of the file system (ms), 0
 * if not yet known. */
static bool
is_ours(const struct litter *l, const char *path, int64_t *now)
{
	struct stat st;
	struct err e;

	if (folder_stat(l->f, path, &st, &e) != 0 || st.st_uid != l->uid)
		return false;
	if (!l->network)
		return true;
	if (!*now && lease_clock(l->f, l->prefix, now, &e) < 0)
		return false;
	return *now / 1000 - st.st_mtim.tv_sec > NETWORK_AGE;
}

/* Removes a folder of is_trial(), and the empty files in it. */
static bool
remove_trial(const struct litter *l, const char *path)
{
	struct err e;
	int fd = folder_openat(l->f, path, O_RDONLY | O_DIRECTORY, &e);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *x;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while ((x = readdir(d)))
		unlinkat(fd, x->d_name, 0);
	closedir(d);
	return unlinkat(l->f->fd, path, AT_REMOVEDIR) == 0;
}

/* Removes leftovers from the folder prefix; with temp_only only temporary
 * files. True if something was removed. */
static bool
clean(const struct litter *l, const char *prefix, bool temp_only,
    const struct litter_end *end)
{
	struct buf path = buf_make(8192);
	bool removed = false;
	int64_t now = 0;
	struct dirent *x;
	struct err e;
	DIR *d = NULL;
	int fd;

	buf_printf(&path, "%s.", prefix);
	fd = folder_openat(l->f, buf_cstr(&path), O_RDONLY | O_DIRECTORY, &e);
	if (fd >= 0 && !(d = fdopendir(fd)))
		close(fd);
	while (d && (x = readdir(d))) {
		struct str name = str_of(x->d_name);

		if (temp_only ? !is_temp(name) : !is_left(l, name, end))
			continue;
		buf_clear(&path);
		buf_printf(&path, "%s%s", prefix, x->d_name);
		if (!is_ours(l, buf_cstr(&path), &now))
			continue;
		if (is_trial(name)
			? remove_trial(l, buf_cstr(&path))
			: folder_remove(l->f, buf_cstr(&path), &e) == 0)
			removed = true;
	}
	if (d)
		closedir(d);
	buf_release(&path);
	return removed;
}

static int
lock(int fd, int how)
{
	int rv;

	do
		rv = flock(fd, how | LOCK_NB);
	while (rv < 0 && errno == EINTR);
	return rv;
}

static void
let_go(struct litter *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

/* Whether path still names the folder that is open as fd: its last user may
 * have removed it. */
static bool
is_there(const struct litter *l, const char *path, int fd)
{
	struct stat a, b;
	struct err e;

	return fstat(fd, &a) == 0 && folder_stat(l->f, path, &b, &e) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

enum held { HELD, HELD_ALONE, BUSY, NO_FOLDER, NO_LOCKS };

/* Opens the folder and locks it, exclusively if no other run works there. */
static enum held
hold(struct litter *l, const char *path, bool create)
{
	enum held held = NO_LOCKS;
	struct err e;

	if (create && folder_make_parents(l->f, path, &e) < 0)
		return NO_FOLDER;
	l->fd = folder_openat(l->f, path, O_RDONLY | O_DIRECTORY, &e);
	if (l->fd < 0)
		return NO_FOLDER;
	if (lock(l->fd, LOCK_EX) == 0)
		held = HELD_ALONE;
	else if (lock(l->fd, LOCK_SH) == 0)
		held = HELD;
	else if (errno == EWOULDBLOCK)
		held = BUSY;
	if (held <= HELD_ALONE && !is_there(l, path, l->fd))
		held = BUSY;
	if (held > HELD_ALONE)
		let_go(l);
	return held;
}

/* The same, and removes leftovers if no other run works there. */
static enum held
hold_clean(struct litter *l, const char *path, bool create, bool *removed)
{
	enum held held = hold(l, path, create);

	if (held != HELD_ALONE)
		return held;
	*removed = clean(l, l->prefix, false, NULL) || *removed;
	/* While an exclusive lock becomes a shared one, another run may take
	 * it. */
	if (lock(l->fd, LOCK_SH) == 0)
		return HELD;
	let_go(l);
	return BUSY;
}

bool
litter_enter(struct litter *l, const struct folder *f, const char *prefix,
    uid_t uid, bool network, bool create)
{
	struct buf path = buf_make(8192);
	uint64_t end = wait_now() + WAIT_MS;
	bool removed = false;
	struct err e;
	enum held held = NO_LOCKS;

	*l = (struct litter){f, prefix, uid, network, -1};
	buf_printf(&path, "%s.", prefix);
	while (!network) {
		held = hold_clean(l, buf_cstr(&path), create, &removed);
		if (held != BUSY || wait_now() >= end ||
		    wait_until(wait_now() + STEP_MS, &e) < 0)
			break;
	}
	l->network = held == NO_LOCKS;
	if (l->network)
		removed = clean(l, prefix, false, NULL);
	buf_release(&path);
	return removed;
}

/* Removes the folder of the prefix, right below l->f, if it is empty. */
static void
remove_folder(const struct litter *l)
{
	char *name = xstrndup(l->prefix, strlen(l->prefix) - 1);

	unlinkat(l->f->fd, name, AT_REMOVEDIR);
	free(name);
}

void
litter_leave(struct litter *l, const struct litter_end *end)
{
	/* This run has no files there any more, so it may lose the lock. */
	bool alone = l->fd >= 0 && lock(l->fd, LOCK_EX) == 0;

	if (alone || l->network) {
		clean(l, l->prefix, false, end);
		end->folders(end->ctx, l);
		if (end->remove_folder)
			remove_folder(l);
	}
	let_go(l);
}

void
litter_sweep(struct litter *l, const char *prefix)
{
	clean(l, prefix, true, NULL);
}

/* --- A file that is arriving. --- */

/* Bytes and state are synced after this many bytes, or after the time sync. */
#define SYNC_BYTES (UINT64_C(256) << 20)

/* Write-back is started after this many, so that the sync is short. */
#define START_BYTES (UINT64_C(16) << 20)

/* A run that ends early syncs no more than this many bytes. */
#define QUICK_BYTES (UINT64_C(8) << 20)

/* Files of this size or more do not stay in the page cache. */
#define LARGE (UINT64_C(64) << 20)

struct partial {
	const struct folder *f;
	char *stem, *name; /* PREFIX HASH, and the name of the bytes' file */
	int fd;
	uint64_t size;
	bool is_private; /* no state file: only memory knows what is here */
	bool keep;       /* the state, when it is published */
	bool sparse, network;
	struct maker maker;
	unsigned sync; /* ms between two syncs */
	bool rooted;   /* its parent folders were synced */

	/* Guards the following fields; held for a few short writes at most. */
	pthread_mutex_t lock;
	char *at;           /* adopted: the name that it has still; else NULL */
	struct stamp seen;  /* of that file when it was opened */
	struct lease lease; /* not held if private */
	struct blocks here; /* blocks that are here */
	struct blocks old;  /* of these, written by earlier runs */
	/* Of these, not covered by a completed sync of this run: fresh were
	 * written after the last sync began, syncing are the ones that it will
	 * cover. */
	struct blocks fresh, syncing;
	uint64_t bytes;     /* bytes of the blocks here */
	uint64_t unsynced;  /* bytes completed since the last sync began */
	uint64_t unstarted; /* bytes completed since write-back was started */
	bool dirty;         /* fresh is not empty */
	bool broken;        /* a sync failed: no more blocks are added */
	bool copied;        /* for partial_copied() */
	uint64_t synced;    /* when the last sync began */
	uint64_t hashed;    /* all bytes before it are hashed */

	/* The page cache was dropped up to here; only the thread that syncs
	 * uses it. */
	uint64_t uncached;
	unsigned char bits[]; /* of the four sets */
};

int
partial_setup(const struct folder *f, struct partial_setup *s, struct err *e)
{
	*s = (struct partial_setup){
	    .beat = PARTIAL_BEAT, .stale = PARTIAL_STALE, .sync = PARTIAL_SYNC};
	owner_self(&s->self);
	return folder_traits(f, &s->traits, e);
}

int
partial_prepare(const struct folder *f, struct partial_setup *s, struct err *e)
{
	return maker_find(&s->traits.maker, f, e);
}

static char *
stem_of(const char *prefix, const struct digest *want)
{
	char hex[2 * HASH_SIZE_MAX + 1];
	struct buf b = buf_make(8192);

	digest_hex(want, hex);
	buf_printf(&b, "%s%s", prefix, hex);
	return buf_detach(&b);
}

static char *
name_of(const char *stem, const char *kind)
{
	struct buf b = buf_make(8192);

	buf_printf(&b, "%s.%s", stem, kind);
	return buf_detach(&b);
}

static uint64_t
begin_of(size_t block)
{
	return (uint64_t)block * STATE_BLOCK;
}

/* The end of the block; the last one ends with the file. */
static uint64_t
end_of(uint64_t size, size_t block)
{
	uint64_t end = begin_of(block) + STATE_BLOCK;

	return end < size ? end : size;
}

/* The checksums of some blocks, as the state file has them. */
struct notes {
	unsigned char text[4096];
	size_t first, n; /* blocks */
};

/* Reads those from first on; fewer at the end of the file. */
static void
notes_read(struct notes *x, int fd, size_t first, size_t blocks)
{
	size_t n = sizeof(x->text) / 4;
	ssize_t got;

	if (n > blocks - first)
		n = blocks - first;
	got = pread(fd, x->text, 4 * n, (off_t)state_at(first));
	x->first = first;
	x->n = got > 0 ? (size_t)got / 4 : 0;
}

/* Whether fd is a state file for that content, by its head and its length. */
static bool
is_about(int fd, const struct digest *want, uint64_t size)
{
	struct state s = {.want = *want, .size = size};
	unsigned char head[STATE_HEAD];
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size >= 0 &&
	       (uint64_t)st.st_size == state_length(size) &&
	       pread(fd, head, STATE_HEAD, 0) == STATE_HEAD &&
	       state_parse_head(&s, head) == 0;
}

/* Adds to here (may be NULL) the blocks that an earlier run left: they have a
 * checksum, and the bytes' file is long enough for them. Returns their bytes. */
static uint64_t
read_notes(int fd, const struct digest *want, uint64_t size,
    const struct stat *data, struct blocks *here)
{
	size_t blocks = state_blocks(size), i = 0;
	uint64_t length = data->st_size < 0 ? 0 : (uint64_t)data->st_size;
	uint64_t bytes = 0;
	struct notes x;

	if (length > size || !is_about(fd, want, size))
		return 0;
	for (notes_read(&x, fd, 0, blocks); x.n; notes_read(&x, fd, i, blocks))
		for (size_t k = 0; k < x.n; k++, i++) {
			if (!bytes_get_le(x.text + 4 * k, 4) ||
			    end_of(size, i) > length)
				continue;
			bytes += end_of(size, i) - begin_of(i);
			if (here)
				blocks_add(here, i);
		}
	return bytes;
}

uint64_t
partial_left(const struct folder *f, const char *prefix,
    const struct digest *want, uint64_t size)
{
	struct stat data;
	struct err e;
	char *stem, *name, *path;
	uint64_t left = 0;

	if (size <= PARTIAL_BLOCK || size > STATE_SIZE_MAX)
		return 0;
	stem = stem_of(prefix, want);
	name = name_of(stem, "part");
	path = name_of(stem, "state");
	if (folder_stat(f, name, &data, &e) == 0 && S_ISREG(data.st_mode)) {
		int fd = folder_openat(f, path, O_RDONLY, &e);

		if (fd >= 0) {
			left = read_notes(fd, want, size, &data, NULL);
			close(fd);
		}
	}
	free(path);
	free(name);
	free(stem);
	return left;
}

/* Under the lock: stores the checksum of a block; 0 if it is missing. */
static int
note(struct partial *p, size_t block, uint32_t sum, struct err *e)
{
	unsigned char text[4];

	if (p->is_private)
		return 0;
	bytes_put_le(text, sum, 4);
	return file_pwrite(
	    p->lease.fd, text, 4, state_at(block), p->f->path, e);
}

/* Under the lock: makes a block missing. */
static int
drop(struct partial *p, size_t block, struct err *e)
{
	if (!blocks_drop(&p->here, block))
		return 0;
	blocks_drop(&p->old, block);
	blocks_drop(&p->fresh, block);
	blocks_drop(&p->syncing, block);
	p->bytes -= end_of(p->size, block) - begin_of(block);
	return note(p, block, 0, e);
}

/* Under the lock: makes all blocks of a set missing, which may be one of p's
 * own sets, and returns their bytes. *noted is false if the state file could
 * not be changed; then the caller must spoil it. */
static uint64_t
drop_all(struct partial *p, const struct blocks *set, bool *noted)
{
	uint64_t had = p->bytes;
	struct err e;

	*noted = true;
	for (size_t i = blocks_find(set, 0, true); i < set->n;
	     i = blocks_find(set, i + 1, true))
		if (drop(p, i, &e) < 0)
			*noted = false;
	return had - p->bytes;
}

static int
set_length(int fd, uint64_t length, const char *folder, struct err *e)
{
	int rv;

	do
		rv = ftruncate(fd, (off_t)length);
	while (rv < 0 && errno == EINTR);
	if (rv == 0)
		return 0;
	return err_sys(
	    e, ERR_FILE, "cannot set the length of a file in '%s'", folder);
}

/* Removes the state file. */
static void
remove_note(struct partial *p)
{
	struct err e;

	if (!p->is_private)
		folder_remove(p->f, p->lease.path, &e);
}

/* Makes the state file invalid for the next run, by its length (is_about). It
 * keeps its name and so our lock: if it were removed, another run could open
 * the same HASH.part. */
static void
spoil_note(struct partial *p)
{
	uint64_t length = (uint64_t)state_length(p->size) + 1;
	struct err e;

	if (!p->is_private &&
	    set_length(p->lease.fd, length, p->f->path, &e) < 0)
		remove_note(p);
}

static int
sync_fd(int fd)
{
	int rv;

	do
		rv = fdatasync(fd);
	while (rv < 0 && errno == EINTR);
	return rv == 0 || errno == EINVAL || errno == ENOSYS ? 0 : -1;
}

/* After a failed sync: the disk may lack any byte that was written since the
 * last good sync, so all blocks since then become missing. Blocks that are
 * completed later do not count either: some of their bytes may be among the
 * lost ones. */
static void
fall_back(struct partial *p)
{
	bool noted;

	pthread_mutex_lock(&p->lock);
	p->broken = true;
	blocks_join(&p->fresh, &p->syncing);
	drop_all(p, &p->fresh, &noted);
	pthread_mutex_unlock(&p->lock);
	if (!p->is_private && (!noted || sync_fd(p->lease.fd) < 0))
		spoil_note(p);
}

static int
sync_bytes(struct partial *p, struct err *e)
{
	int error;

	if (sync_fd(p->fd) == 0)
		return 0;
	error = errno;
	err_sys(e, ERR_FILE, "cannot write in '%s'", p->f->path);
	if (error == ENOSPC || error == EDQUOT)
		err_hint(
		    e, "free disk space and run again with -d to continue");
	else
		err_hint(e,
		    "use another folder (-p); the system log may name the "
		    "fault of this disk");
	fall_back(p);
	return -1;
}

/* Syncs all parent folders of a file: they may be new. */
static void
sync_parents(const struct folder *f, const char *path)
{
	struct err e;
	struct buf b = buf_make(8192);
	const char *slash = path;

	while ((slash = strchr(slash, '/'))) {
		buf_clear(&b);
		buf_add(&b, path, (size_t)(slash - path));
		folder_sync(f, buf_cstr(&b), &e);
		slash++;
	}
	folder_sync(f, path, &e);
	buf_release(&b);
}

/* Drops pages from the page cache: those before end are synced and hashed. */
static void
leave_cache(struct partial *p, uint64_t end)
{
	if (p->size < LARGE || end <= p->uncached)
		return;
	posix_fadvise(p->fd, (off_t)p->uncached, (off_t)(end - p->uncached),
	    POSIX_FADV_DONTNEED);
	p->uncached = end;
}

static int
sync_now(struct partial *p, struct err *e)
{
	uint64_t hashed;

	pthread_mutex_lock(&p->lock);
	hashed = p->hashed;
	blocks_join(&p->syncing, &p->fresh);
	blocks_clear(&p->fresh);
	p->synced = wait_now();
	p->unsynced = p->unstarted = 0;
	p->dirty = false;
	pthread_mutex_unlock(&p->lock);
	if (sync_bytes(p, e) < 0)
		return -1;
	pthread_mutex_lock(&p->lock);
	blocks_clear(&p->syncing);
	pthread_mutex_unlock(&p->lock);
	/* If the state is lost in a power cut, bytes are fetched again, no
	 * more. */
	sync_fd(p->lease.fd);
	if (!p->rooted)
		sync_parents(p->f, p->lease.path);
	p->rooted = true;
	leave_cache(p, hashed);
	return 0;
}

void
partial_hashed(struct partial *p, uint64_t end)
{
	pthread_mutex_lock(&p->lock);
	p->hashed = end;
	pthread_mutex_unlock(&p->lock);
}

/* Makes the state file one in which all blocks are missing. */
static int
new_note(struct partial *p, struct err *e)
{
	const char *folder = p->f->path;

	if (set_length(p->lease.fd, STATE_HEAD, folder, e) < 0)
		return -1;
	return set_length(p->lease.fd, state_length(p->size), folder, e);
}

static int
sign_note(struct partial *p, const struct digest *want, struct err *e)
{
	const struct state s = {*want, p->size, p->lease.self};
	unsigned char head[STATE_HEAD];

	state_format_head(&s, head);
	return file_pwrite(p->lease.fd, head, STATE_HEAD, 0, p->f->path, e);
}

/* The mode of a private partial file: 0600, so that others who may write to
 * published files cannot open it. If only its owner may write to those, it gets
 * its final mode at once. */
static mode_t
private_mode(const struct partial *p)
{
	return p->maker.public & 022 ? 0600 : 0666;
}

static int
start_private(struct partial *p, struct err *e)
{
	p->is_private = true;
	free(p->name);
	p->name = lease_name(p->stem, "part");
	p->fd = folder_create(p->f, p->name, private_mode(p), e);
	return p->fd < 0 ? -1 : 0;
}

/* Opens or creates HASH.part. Returns 1 if the existing file is not one that
 * this process could have made. If the file has a second link, only this name
 * is removed, and a new file created. */
static int
open_data(struct partial *p, struct stat *st, struct err *e)
{
	int there = folder_stat(p->f, p->name, st, e);

	if (there < 0)
		return -1;
	if (there == 0 && !maker_made(&p->maker, st))
		return 1;
	if (there == 0 && st->st_nlink != 1) {
		if (folder_remove(p->f, p->name, e) < 0)
			return -1;
		there = 1;
	}
	p->fd = there == 0 ? folder_openat(p->f, p->name, O_RDWR, e)
			   : folder_create(p->f, p->name, 0600, e);
	if (p->fd < 0)
		return -1;
	if (fstat(p->fd, st) < 0)
		return err_sys(e, ERR_FILE,
		    "cannot read the attributes of '%s'", p->f->path);
	if (!maker_made(&p->maker, st))
		return 1;
	/* An earlier version, or another tool, may have made it. */
	if ((st->st_mode & 0777) != p->maker.private)
		(void)fchmod(p->fd, 0600);
	return 0;
}

static void
discard(struct partial *p)
{
	pthread_mutex_lock(&p->lock);
	blocks_clear(&p->here);
	blocks_clear(&p->old);
	blocks_clear(&p->fresh);
	blocks_clear(&p->syncing);
	p->bytes = p->unsynced = p->unstarted = p->uncached = p->hashed = 0;
	p->dirty = false;
	pthread_mutex_unlock(&p->lock);
}

/* Makes the blocks that are here old ones, to be synced at once: they may still
 * be in the page cache only, and the kernel may not yet have reported that it
 * cannot write them. */
static void
take_over(struct partial *p)
{
	blocks_join(&p->old, &p->here);
	blocks_join(&p->fresh, &p->here);
	p->dirty = p->bytes > 0;
	p->unsynced = p->dirty ? SYNC_BYTES : 0;
}

static int
check_size(const struct folder_traits *t, uint64_t size, struct err *e)
{
	uint64_t max =
	    t->max_file < STATE_SIZE_MAX ? t->max_file : STATE_SIZE_MAX;

	if (size <= max)
		return 0;
	err_set(e, ERR_FILE,
	    "the file has %" PRIu64 " bytes, but one here can have no more "
	    "than %" PRIu64,
	    size, max);
	return err_hint(e, "use a folder on another file system");
}

/* has: bytes that the file occupies already. */
static int
check_room(const struct partial *p, uint64_t has, uint64_t room, struct err *e)
{
	uint64_t need = has < p->size ? p->size - has : 0;

	if (need <= room)
		return 0;
	err_set(e, ERR_FILE,
	    "the disk is full: %" PRIu64 " bytes are needed, %" PRIu64
	    " are free",
	    need, room);
	return err_hint(e, "free disk space and run again with -d to continue");
}

/* Bytes that the file occupies: it may have more than the state lists. */
static uint64_t
taken(const struct partial *p, const struct stat *st)
{
	uint64_t n = st->st_blocks > 0 ? (uint64_t)st->st_blocks * 512 : 0;

	return n > p->bytes ? n : p->bytes;
}

/* Gives the file its full length where holes are cheap, and frees the space of
 * bytes that do not count. */
static int
fix_length(struct partial *p, const struct stat *st, struct err *e)
{
	uint64_t length = (uint64_t)st->st_size;

	/* None of its bytes count: frees their space. */
	if (!p->bytes && length && set_length(p->fd, 0, p->f->path, e) < 0)
		return -1;
	if (!p->bytes)
		length = 0;
	if (length > p->size || (p->sparse && length < p->size))
		return set_length(p->fd, p->size, p->f->path, e);
	return 0;
}

/* --- A file that has its name already. --- */

static char *
blocks_path(const char *prefix, const struct digest *want)
{
	char *stem = stem_of(prefix, want), *path = name_of(stem, "blocks");

	free(stem);
	return path;
}

void
partial_drop_blocks(
    const struct folder *f, const char *prefix, const struct digest *want)
{
	char *path = blocks_path(prefix, want);
	struct err e;

	folder_remove(f, path, &e);
	free(path);
}

/* Takes the state of the published file for that of this one. */
static int
copy_notes(struct partial *p, int fd, struct err *e)
{
	struct notes x;
	size_t i = 0;

	if (new_note(p, e) < 0)
		return -1;
	for (notes_read(&x, fd, 0, p->here.n); x.n;
	     notes_read(&x, fd, i, p->here.n)) {
		if (file_pwrite(p->lease.fd, x.text, 4 * x.n, state_at(i),
			p->f->path, e) < 0)
			return -1;
		i += x.n;
	}
	return 0;
}

/* Opens the file that has its name. 1 if it cannot be adopted. */
static int
open_published(struct partial *p, struct stat *st, const char **why)
{
	struct err e;
	int rv = 1;

	p->fd = folder_openat(p->f, p->at, O_RDWR, &e);
	if (p->fd < 0 || fstat(p->fd, st) < 0)
		*why = "it cannot be opened for writing";
	else if (!maker_made(&p->maker, st))
		*why = "it belongs to another user, or others can write to it";
	else if (st->st_size < 0 || (uint64_t)st->st_size > p->size)
		*why = "it has become longer";
	else
		rv = 0;
	if (rv == 0)
		stamp_of(st, &p->seen);
	return rv;
}

/* The file becomes the partial one by a copy of what is right of it; its
 * descriptor keeps its number, since the hasher may be using it. */
static int
leave_by_copy(struct partial *p, struct err *e)
{
	unsigned char *block = xmalloc(STATE_BLOCK);
	int to = folder_create(p->f, p->name, 0600, e), rv = to < 0 ? -1 : 0;

	for (size_t i = blocks_find(&p->here, 0, true);
	     rv == 0 && i < p->here.n; i = blocks_find(&p->here, i + 1, true)) {
		uint64_t begin = begin_of(i);
		size_t n = (size_t)(end_of(p->size, i) - begin);
		struct err unread;

		rv = wait_check(e);
		if (rv < 0)
			break;
		blocks_add(&p->fresh, i);
		if (file_pread(p->fd, block, n, begin, p->at, &unread) < 0)
			rv = drop(p, i, e);
		else
			rv = file_pwrite(to, block, n, begin, p->f->path, e);
	}
	if (rv == 0 && dup2(to, p->fd) < 0)
		rv = err_sys(e, ERR_FILE, "cannot copy '%s'", p->at);
	if (to >= 0)
		close(to);
	free(block);
	/* To be synced at once, as by take_over(). */
	p->dirty = true;
	p->unsynced = SYNC_BYTES;
	return rv;
}

/* The path is that of the file that is open. */
static bool
is_at(const struct partial *p, const char *path, struct stat *st)
{
	struct stat now;
	struct err e;

	return fstat(p->fd, st) == 0 &&
	       folder_stat(p->f, path, &now, &e) == 0 &&
	       now.st_ino == st->st_ino && now.st_dev == st->st_dev;
}

static int
was_replaced(const struct partial *p, struct err *e)
{
	return err_set(e, ERR_CONTENT,
	    "another program replaced '%s' during the repair", p->at);
}

/* Fails if its bytes may be other ones than those that were hashed. */
static int
check_unchanged(const struct partial *p, struct err *e)
{
	struct stamp now;
	struct stat st;

	if (fstat(p->fd, &st) == 0 &&
	    (stamp_of(&st, &now), stamp_same(&now, &p->seen)))
		return 0;
	return err_set(
	    e, ERR_CONTENT, "another program is writing to '%s'", p->at);
}

/* The file becomes the partial one. What another program put in its place just
 * before that gets its name back. */
static int
leave_by_name(struct partial *p, struct err *e)
{
	struct stat st;
	struct err kept;

	if (folder_publish(p->f, p->at, p->name, e) < 0)
		return -1;
	if (is_at(p, p->name, &st))
		return 0;
	(void)folder_publish_new(p->f, p->name, p->at, &kept);
	return was_replaced(p, e);
}

/* Before the first byte is written. Under the lock. */
static int
leave_place(struct partial *p, struct err *e)
{
	struct stat st;
	int rv;

	if (!is_at(p, p->at, &st))
		return was_replaced(p, e);
	if (check_unchanged(p, e) < 0)
		return -1;
	if (folder_remove(p->f, p->name, e) < 0)
		return -1;
	rv = st.st_nlink > 1 ? leave_by_copy(p, e) : leave_by_name(p, e);
	if (rv < 0)
		return -1;
	p->copied = st.st_nlink > 1;
	(void)fchmod(p->fd, p->maker.private);
	free(p->at);
	p->at = NULL;
	if (fstat(p->fd, &st) < 0)
		return err_sys(e, ERR_FILE,
		    "cannot read the attributes of '%s'", p->f->path);
	return fix_length(p, &st, e);
}

/* The state of a published file, if it has a checksum for each block; -1: there
 * is none, or it is damaged. */
static int
open_blocks(const struct folder *f, const char *prefix,
    const struct digest *want, uint64_t size)
{
	char *path = blocks_path(prefix, want);
	const struct stat whole = {.st_size = (off_t)size};
	struct err e;
	int fd = -1;

	if (size > PARTIAL_BLOCK && size <= STATE_SIZE_MAX)
		fd = folder_openat(f, path, O_RDONLY | O_NONBLOCK, &e);
	free(path);
	if (fd >= 0 && read_notes(fd, want, size, &whole, NULL) != size) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool
partial_has_blocks(const struct folder *f, const char *prefix,
    const struct digest *want, uint64_t size)
{
	int fd = open_blocks(f, prefix, want, size);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* --- The begin of a file. --- */

/* With the lease and the file: continues with the blocks that the state lists. */
static int
start_shared(struct partial *p, const struct digest *want,
    const struct stat *st, uint64_t room, bool resume,
    enum partial_found *found, uint64_t *had, struct err *e)
{
	*had = p->bytes = read_notes(p->lease.fd, want, p->size, st, &p->here);
	*found = !*had    ? PARTIAL_NEW
		 : resume ? PARTIAL_RESUMED
			  : PARTIAL_DROPPED;
	if (check_room(p, taken(p, st), room, e) < 0)
		return -1;
	if (!resume)
		discard(p);
	if (!p->bytes && new_note(p, e) < 0)
		return -1;
	if (sign_note(p, want, e) < 0 || fix_length(p, st, e) < 0)
		return -1;
	take_over(p);
	return 0;
}

static struct partial *
make(const struct folder *f, const char *prefix, const struct digest *want,
    uint64_t size)
{
	size_t blocks = state_blocks(size), n = blocks_bytes(blocks);
	struct partial *p = xcalloc(1, sizeof(*p) + 4 * n);

	p->f = f;
	p->stem = stem_of(prefix, want);
	p->name = name_of(p->stem, "part");
	p->fd = -1;
	p->size = size;
	p->lease.fd = -1;
	pthread_mutex_init(&p->lock, NULL);
	p->here = (struct blocks){blocks, p->bits};
	p->old = (struct blocks){blocks, p->bits + n};
	p->fresh = (struct blocks){blocks, p->bits + 2 * n};
	p->syncing = (struct blocks){blocks, p->bits + 3 * n};
	return p;
}

static void
destroy(struct partial *p)
{
	free(p->at);
	if (p->fd >= 0)
		close(p->fd);
	lease_release(&p->lease);
	pthread_mutex_destroy(&p->lock);
	free(p->name);
	free(p->stem);
	free(p);
}

/* Removes the files that this call has just created, and drops the lease. */
static void
partial_let_go(struct partial *p)
{
	struct stat st;
	struct err e;

	if (p->fd >= 0 && fstat(p->fd, &st) == 0 && !st.st_size)
		folder_remove(p->f, p->name, &e);
	if (p->lease.fd >= 0 && fstat(p->lease.fd, &st) == 0 && !st.st_size)
		remove_note(p);
	lease_drop(&p->lease);
}

/* Starts a private copy, which no later run continues. */
static int
start_alone(struct partial *p, uint64_t room, struct err *e)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	partial_let_go(p);
	if (check_room(p, 0, room, e) < 0)
		return -1;
	return start_private(p, e);
}

/* As lease_take(). */
static int
take_lease(struct partial *p, const struct partial_setup *setup, struct err *e)
{
	int taken;

	p->keep = setup->keep;
	p->sparse = setup->traits.sparse;
	p->network = setup->traits.network;
	p->sync = setup->sync;
	lease_init(&p->lease, p->f, p->stem, p->network, &setup->self,
	    &setup->traits.maker);
	p->lease.beat = setup->beat;
	p->lease.stale = setup->stale;
	taken = lease_take(&p->lease, e);
	p->network = p->lease.network;
	return taken;
}

/* Starts with the lease, or, if another process has it, a private copy. */
static int
start(struct partial *p, const struct partial_setup *setup,
    const struct digest *want, bool resume, enum partial_found *found,
    uint64_t *had, struct err *e)
{
	uint64_t room = setup->traits.free;
	struct stat st;
	int taken;

	taken = take_lease(p, setup, e);
	*found = taken == 1 ? PARTIAL_PRIVATE : PARTIAL_FOREIGN;
	if (taken == 0)
		taken = open_data(p, &st, e);
	if (taken < 0)
		return -1;
	if (taken > 0)
		return start_alone(p, room, e);
	return start_shared(p, want, &st, room, resume, found, had, e);
}

struct partial *
partial_open_on(const struct partial_setup *setup, const struct folder *f,
    const char *prefix, const struct digest *want, uint64_t size, bool resume,
    enum partial_found *found, uint64_t *had, struct err *e)
{
	enum partial_found what = PARTIAL_NEW;
	uint64_t bytes = 0;
	struct partial *p;
	int rv;

	if (check_size(&setup->traits, size, e) < 0)
		return NULL;
	p = make(f, prefix, want, size);
	p->maker = setup->traits.maker;
	rv = size <= PARTIAL_BLOCK
		 ? start_private(p, e)
		 : start(p, setup, want, resume, &what, &bytes, e);
	if (rv < 0) {
		/* Files that existed before stay. */
		partial_let_go(p);
		destroy(p);
		return NULL;
	}
	if (found)
		*found = what;
	if (had)
		*had = bytes;
	return p;
}

/* fd is the state of the published file. 1 if it cannot be adopted. */
static int
adopt(struct partial *p, const struct partial_setup *setup,
    const struct digest *want, int fd, const char **why, struct err *e)
{
	struct stat st;
	int rv = open_published(p, &st, why);

	if (rv == 0 && (rv = take_lease(p, setup, e)) > 0)
		*why = "another process has its partial file";
	if (rv == 0)
		rv = copy_notes(p, fd, e);
	if (rv == 0)
		rv = sign_note(p, want, e);
	if (rv == 0) {
		p->bytes =
		    read_notes(p->lease.fd, want, p->size, &st, &p->here);
		blocks_join(&p->old, &p->here);
		rv = check_room(p, st.st_nlink > 1 ? 0 : taken(p, &st),
		    setup->traits.free, e);
	}
	return rv;
}

struct partial *
partial_adopt(const struct partial_setup *setup, const struct folder *f,
    const char *prefix, const struct digest *want, uint64_t size,
    const char *at, const char **why, struct err *e)
{
	struct partial *p;
	int fd, rv;

	e->kind = ERR_NONE;
	*why = "there are no checksums of its blocks";
	fd = open_blocks(f, prefix, want, size);
	if (fd < 0)
		return NULL;
	p = make(f, prefix, want, size);
	p->maker = setup->traits.maker;
	p->at = xstrdup(at);
	rv = adopt(p, setup, want, fd, why, e);
	close(fd);
	if (rv == 0)
		return p;
	if (p->lease.fd >= 0)
		remove_note(p);
	destroy(p);
	return NULL;
}

uint64_t
partial_size(const struct partial *p)
{
	return p->size;
}

uint64_t
partial_here(struct partial *p)
{
	uint64_t bytes;

	pthread_mutex_lock(&p->lock);
	bytes = p->bytes;
	pthread_mutex_unlock(&p->lock);
	return bytes;
}

bool
partial_in_order(const struct partial *p)
{
	return !p->sparse && p->size > PARTIAL_BLOCK;
}

bool
partial_missing(struct partial *p, uint64_t from, uint64_t limit,
    uint64_t *first, uint64_t *end)
{
	size_t start, next;

	if (from >= p->size)
		return false;
	start = (size_t)((from + STATE_BLOCK - 1) / STATE_BLOCK);
	pthread_mutex_lock(&p->lock);
	start = blocks_find(&p->here, start, false);
	next = blocks_find(&p->here, start, true);
	pthread_mutex_unlock(&p->lock);
	if (start >= p->here.n)
		return false;
	if (next - start > limit / STATE_BLOCK)
		next = start + (size_t)(limit / STATE_BLOCK);
	if (next == start)
		next++;
	*first = begin_of(start);
	*end = end_of(p->size, next - 1);
	return true;
}

/* Adds a block that is complete now. */
static int
mark(struct partial *p, size_t block, uint32_t sum, struct err *e)
{
	uint64_t n = end_of(p->size, block) - begin_of(block);
	int rv;

	pthread_mutex_lock(&p->lock);
	if (p->broken) {
		pthread_mutex_unlock(&p->lock);
		return 0;
	}
	if (blocks_add(&p->here, block))
		p->bytes += n;
	blocks_add(&p->fresh, block);
	p->unsynced += n;
	p->unstarted += n;
	p->dirty = true;
	rv = note(p, block, sum, e);
	if (!p->is_private)
		lease_beat(&p->lease);
	pthread_mutex_unlock(&p->lock);
	return rv;
}

/* Fails if another run has taken over while this process or machine was
 * suspended: the file may be published by now, and must not be changed. */
static int
check_owner(struct partial *p, struct err *e)
{
	int rv;

	if (!p->network || p->is_private)
		return 0;
	pthread_mutex_lock(&p->lock);
	rv = lease_check(&p->lease, e);
	pthread_mutex_unlock(&p->lock);
	return rv;
}

/* A file that has its name must not be written to. */
static int
own_bytes(struct partial *p, struct err *e)
{
	int rv;

	pthread_mutex_lock(&p->lock);
	rv = p->at ? leave_place(p, e) : 0;
	pthread_mutex_unlock(&p->lock);
	return rv;
}

int
partial_write(struct partial *p, const void *bytes, size_t n, uint64_t offset,
    uint64_t *sum, struct err *e)
{
	const unsigned char *from = bytes;

	if (offset > p->size || n > p->size - offset)
		return err_set(e, ERR_OTHER, "bytes lie outside of their file");
	if (check_owner(p, e) < 0 || own_bytes(p, e) < 0 ||
	    file_pwrite(p->fd, bytes, n, offset, p->f->path, e) < 0)
		return -1;
	while (n) {
		size_t block = (size_t)(offset / STATE_BLOCK);
		uint64_t left = end_of(p->size, block) - offset;
		size_t some = n < left ? n : (size_t)left;

		/* A private one has no state for its checksums. */
		if (!p->is_private)
			*sum = hash_sum(
			    *sum, (size_t)(offset % STATE_BLOCK), from, some);
		if (some == left) {
			if (mark(p, block, hash_sum_final(*sum), e) < 0)
				return -1;
			*sum = 0;
		}
		from += some;
		offset += some;
		n -= some;
	}
	return 0;
}

bool
partial_copied(struct partial *p)
{
	bool copied;

	pthread_mutex_lock(&p->lock);
	copied = p->copied;
	p->copied = false;
	pthread_mutex_unlock(&p->lock);
	return copied;
}

int
partial_read(
    struct partial *p, void *bytes, size_t n, uint64_t offset, struct err *e)
{
	return file_pread(p->fd, bytes, n, offset, p->f->path, e);
}

uint64_t
partial_run_end(struct partial *p, uint64_t offset)
{
	size_t block = (size_t)(offset / STATE_BLOCK), end;

	if (offset >= p->size)
		return offset;
	pthread_mutex_lock(&p->lock);
	end = blocks_find(&p->here, block, false);
	pthread_mutex_unlock(&p->lock);
	return end == block ? offset : end_of(p->size, end - 1);
}

enum partial_check
partial_check(struct partial *p, size_t block, uint32_t sum)
{
	enum partial_check how = PARTIAL_GOOD;
	struct notes x;
	struct err e;

	/* A private one has no stored checksums. */
	if (p->is_private && sum)
		return PARTIAL_GOOD;
	pthread_mutex_lock(&p->lock);
	notes_read(&x, p->lease.fd, block, block + 1);
	if (!x.n || bytes_get_le(x.text, 4) != sum) {
		how =
		    blocks_has(&p->old, block) ? PARTIAL_ROTTEN : PARTIAL_LOST;
		drop(p, block, &e);
	}
	pthread_mutex_unlock(&p->lock);
	return how;
}

void
partial_start(struct partial *p)
{
#ifdef SYNC_FILE_RANGE_WRITE
	sync_file_range(p->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
#else
	(void)p;
#endif
}

int
partial_tend(struct partial *p, struct err *e)
{
	bool due, start;

	if (check_owner(p, e) < 0)
		return -1;
	pthread_mutex_lock(&p->lock);
	lease_beat(&p->lease);
	if (!p->synced)
		p->synced = wait_now();
	due = !p->is_private && p->dirty &&
	      (p->unsynced >= SYNC_BYTES || wait_now() - p->synced >= p->sync);
	start = !due && p->unstarted >= START_BYTES;
	if (start)
		p->unstarted = 0;
	pthread_mutex_unlock(&p->lock);
	if (start)
		partial_start(p);
	return due ? sync_now(p, e) : 0;
}

int
partial_finish(struct partial *p, const char **name, struct err *e)
{
	struct stat st;

	if (partial_here(p) != p->size)
		return err_set(e, ERR_OTHER, "the file is not complete");
	if (p->at) {
		*name = p->at;
		return check_unchanged(p, e) < 0 ? -1 : check_owner(p, e);
	}
	if (check_owner(p, e) < 0 || sync_bytes(p, e) < 0)
		return -1;
	leave_cache(p, p->size);
	if ((!p->is_private || private_mode(p) == 0600) &&
	    fstat(p->fd, &st) == 0 && (st.st_mode & 0777) != p->maker.public)
		/* This may fail where all files have the same mode. */
		(void)fchmod(p->fd, p->maker.public);
	*name = p->name;
	return 0;
}

int
partial_stat(const struct partial *p, struct stat *st, struct err *e)
{
	if (fstat(p->fd, st) == 0)
		return 0;
	return err_sys(
	    e, ERR_FILE, "cannot read the attributes of '%s'", p->f->path);
}

uint64_t
partial_forget(struct partial *p)
{
	uint64_t old;
	bool noted;

	pthread_mutex_lock(&p->lock);
	old = drop_all(p, &p->old, &noted);
	if (!old && noted)
		drop_all(p, &p->here, &noted);
	pthread_mutex_unlock(&p->lock);
	if (!noted)
		spoil_note(p);
	return old;
}

uint64_t
partial_forget_range(struct partial *p, uint64_t first, uint64_t end)
{
	size_t i = (size_t)(first / STATE_BLOCK);
	uint64_t had;
	struct err e;

	pthread_mutex_lock(&p->lock);
	had = p->bytes;
	for (; i < p->here.n && begin_of(i) < end; i++)
		if (!blocks_has(&p->old, i))
			drop(p, i, &e);
	had -= p->bytes;
	pthread_mutex_unlock(&p->lock);
	return had;
}

/* Syncs a file that stays for the next run, as far as that is quick. */
static void
keep(struct partial *p)
{
	struct err e;

	if (p->broken || !p->dirty || check_owner(p, &e) < 0)
		return;
	if (p->unsynced > QUICK_BYTES)
		partial_start(p);
	else
		sync_now(p, &e);
}

/* What stands in the state is what stands in the published file. */
static void
keep_blocks(struct partial *p)
{
	char *path = name_of(p->stem, "blocks");
	struct err e;

	if (folder_publish(p->f, p->lease.path, path, &e) < 0)
		remove_note(p);
	free(path);
}

static void
end_shared(struct partial *p, bool published)
{
	struct err e;

	if (p->at) {
		/* Nothing was written, and HASH.blocks is there. */
		if (check_owner(p, &e) == 0)
			remove_note(p);
	} else if (published && p->keep && check_owner(p, &e) == 0) {
		keep_blocks(p);
	} else if (!published && p->bytes) {
		/* partial_finish() may have given it its public mode. */
		(void)fchmod(p->fd, p->maker.private);
		keep(p);
	} else if (check_owner(p, &e) == 0) {
		if (!published)
			folder_remove(p->f, p->name, &e);
		remove_note(p);
	}
	lease_drop(&p->lease);
}

void
partial_close(struct partial *p, bool published)
{
	struct err e;

	if (!p)
		return;
	if (p->lease.fd >= 0)
		end_shared(p, published);
	else if (!published && p->fd >= 0)
		folder_remove(p->f, p->name, &e);
	destroy(p);
}
