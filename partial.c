#define _GNU_SOURCE /* sync_file_range */

#include "partial.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "hash.h"
#include "repair.h"
#include "state.h"
#include "str.h"
#include "wait.h"

/* Bytes and state are synced after this many bytes, or after the time sync. */
#define SYNC_BYTES (UINT64_C(256) << 20)

/* Write-back is started after this many, so that the sync is short. */
#define START_BYTES (UINT64_C(16) << 20)

/* A run that ends early syncs no more than this many bytes. */
#define QUICK_BYTES (UINT64_C(8) << 20)

/* Files of this size or more do not stay in the page cache. */
#define LARGE (UINT64_C(64) << 20)

/* Whether the bytes are still those of a published file (repair.h). */
enum stage {
	STAGE_NONE,    /* they never were */
	STAGE_KEPT,    /* it has its name, and nothing was written to it */
	STAGE_LEAVING, /* one thread makes HASH.part of it */
	STAGE_RENAMED, /* it was renamed to HASH.part */
	STAGE_COPIED,  /* HASH.part is a copy of it */
};

struct partial {
	const struct folder *f;
	char *stem, *name; /* PREFIX HASH, and the name of the bytes' file */
	int fd;
	uint64_t size;
	bool is_private; /* no state file: only memory knows what is here */
	bool keep;       /* the state, when it is published */
	bool sparse, network;
	struct maker maker;
	mode_t mode;   /* once it is published; 0: by the umask */
	unsigned sync; /* ms between two syncs */
	bool rooted;   /* its parent folders were synced */

	/* Guards the following fields; held for a few short writes at most. */
	pthread_mutex_t lock;
	pthread_cond_t left; /* stage is no longer STAGE_LEAVING */
	struct repair repair;
	enum stage stage;
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
	bool stuck;         /* for partial_stuck() */
	bool noted;         /* a checksum was added to the state by this run */
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
	return folder_probe(f, &s->traits, e);
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
			left = state_read(
			    fd, want, size, (uint64_t)data.st_size, NULL);
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
	p->bytes -= blocks_end(p->size, block) - blocks_begin(block);
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

/* Takes the checksums of the published file for the state of this one. */
static int
copy_notes(struct partial *p, int fd, const struct digest *want, struct err *e)
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
	return sign_note(p, want, e);
}

static int
copy_bytes(const struct partial *p, int to, void *buffer, size_t n,
    uint64_t offset, bool *unread, struct err *e)
{
	struct err ignored;

	*unread =
	    file_pread(p->fd, buffer, n, offset, p->f->path, &ignored) < 0;
	return *unread ? 0 : file_pwrite(to, buffer, n, offset, p->f->path, e);
}

/* Copies block i, as far as it can be read. */
static int
copy_block(struct partial *p, int to, unsigned char *buffer, size_t i,
    uint64_t length, struct err *e)
{
	enum { PAGE = 4096 };
	uint64_t at = blocks_begin(i), end = blocks_end(length, i);
	bool unread, ignored;
	int rv = copy_bytes(p, to, buffer, (size_t)(end - at), at, &unread, e);

	if (rv < 0 || !unread)
		return rv;
	for (; rv == 0 && at < end; at += PAGE)
		rv = copy_bytes(p, to, buffer,
		    end - at < PAGE ? (size_t)(end - at) : PAGE, at, &ignored,
		    e);
	pthread_mutex_lock(&p->lock);
	if (rv == 0)
		rv = drop(p, i, e);
	pthread_mutex_unlock(&p->lock);
	return rv;
}

/* HASH.part becomes a copy of the file, also of blocks that are missing: what is
 * right of these is not written again (has_bytes). The descriptor keeps its
 * number, since the hasher may be using it. */
static int
leave_by_copy(struct partial *p, struct err *e)
{
	unsigned char *buffer = xmalloc(STATE_BLOCK);
	uint64_t length = p->repair.seen.size;
	struct folder_traits now;
	struct err ignored;
	int to = -1, rv = folder_traits(p->f, &now, e);

	if (rv == 0)
		rv = check_room(p, 0, now.free, e);
	if (rv == 0)
		to = folder_create(p->f, p->name, 0600, e);
	if (to < 0)
		rv = -1;
	for (size_t i = 0; rv == 0 && blocks_begin(i) < length; i++)
		if ((rv = wait_check(e)) == 0)
			rv = copy_block(p, to, buffer, i, length, e);
	if (rv == 0)
		rv = repair_unchanged(&p->repair, p->fd, e);
	if (rv == 0 && dup2(to, p->fd) < 0)
		rv = err_sys(e, ERR_FILE, "cannot copy '%s'", p->repair.at);
	if (to >= 0)
		close(to);
	if (to >= 0 && rv < 0)
		folder_remove(p->f, p->name, &ignored);
	free(buffer);
	return rv;
}

/* Without the lock, which other threads need meanwhile. *stage is where the
 * bytes are then. */
static int
leave(struct partial *p, enum stage *stage, struct err *e)
{
	struct err ignored;
	struct stat st;
	int rv;

	*stage = STAGE_RENAMED;
	/* It has no state that says what is in it. */
	if (folder_remove(p->f, p->name, e) < 0)
		return -1;
	rv = repair_take(&p->repair, p->fd, p->name, e);
	if (rv > 0) {
		*stage = STAGE_COPIED;
		rv = leave_by_copy(p, e);
	}
	if (rv < 0)
		return -1;
	/* It may have been cut short. Without this the writes lengthen it. */
	if (p->sparse && fstat(p->fd, &st) == 0 &&
	    (uint64_t)st.st_size < p->size)
		(void)set_length(p->fd, p->size, p->f->path, &ignored);
	return 0;
}

/* Before the first byte is written: HASH.part is made of a file that has its
 * name, by one thread; the others wait for it. */
static int
leave_place(struct partial *p, struct err *e)
{
	enum stage stage;
	int rv = 0;

	pthread_mutex_lock(&p->lock);
	while (p->stage == STAGE_LEAVING)
		pthread_cond_wait(&p->left, &p->lock);
	if (p->stage == STAGE_KEPT) {
		p->stage = STAGE_LEAVING;
		pthread_mutex_unlock(&p->lock);
		rv = leave(p, &stage, e);
		pthread_mutex_lock(&p->lock);
		p->stage = rv < 0 ? STAGE_KEPT : stage;
		p->stuck = rv < 0 && e->kind == ERR_FILE;
		p->copied = rv == 0 && stage == STAGE_COPIED;
		if (p->copied) {
			/* To be synced at once, as by take_over(). */
			blocks_join(&p->fresh, &p->here);
			p->dirty = true;
			p->unsynced = SYNC_BYTES;
		}
		pthread_cond_broadcast(&p->left);
	}
	pthread_mutex_unlock(&p->lock);
	return rv;
}

/* Whether the bytes are in the file that has its name. So where only a checksum
 * was wrong, nothing is written, and the file is left alone. */
static bool
has_bytes(
    struct partial *p, const unsigned char *bytes, size_t n, uint64_t offset)
{
	unsigned char there[4096];
	struct err e;
	bool same;

	pthread_mutex_lock(&p->lock);
	same = p->stage == STAGE_KEPT;
	pthread_mutex_unlock(&p->lock);
	while (same && n) {
		size_t some = n < sizeof(there) ? n : sizeof(there);

		same = file_pread(p->fd, there, some, offset, p->f->path, &e) ==
			   0 &&
		       memcmp(there, bytes, some) == 0;
		bytes += some;
		offset += some;
		n -= some;
	}
	return same;
}

/* --- The begin of a file. --- */

/* With the lease and the file: continues with the blocks that the state lists. */
static int
start_shared(struct partial *p, const struct digest *want,
    const struct stat *st, uint64_t room, bool resume,
    enum partial_found *found, uint64_t *had, struct err *e)
{
	*had = p->bytes = state_read(
	    p->lease.fd, want, p->size, (uint64_t)st->st_size, &p->here);
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
	pthread_cond_init(&p->left, NULL);
	p->here = (struct blocks){blocks, p->bits};
	p->old = (struct blocks){blocks, p->bits + n};
	p->fresh = (struct blocks){blocks, p->bits + 2 * n};
	p->syncing = (struct blocks){blocks, p->bits + 3 * n};
	return p;
}

static void
destroy(struct partial *p)
{
	repair_release(&p->repair);
	if (p->fd >= 0)
		close(p->fd);
	lease_release(&p->lease);
	pthread_cond_destroy(&p->left);
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
	if (taken == 1 && setup->shared)
		return err_set(e, ERR_FILE, "another process is fetching it");
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

/* blocks has the checksums. 1 if it cannot be adopted. */
static int
adopt(struct partial *p, const struct partial_setup *setup,
    const struct digest *want, const char *at, int blocks, const char **why,
    struct err *e)
{
	struct err ignored;
	struct stat st, left;
	int taken = take_lease(p, setup, e);

	if (taken < 0)
		return -1;
	if (taken > 0) {
		*why = taken == 1 ? "another process is repairing it"
				  : "another user has a file of its name "
				    "among the partial files";
		return 1;
	}
	if (folder_stat(p->f, p->name, &left, e) == 0 &&
	    state_read(
		p->lease.fd, want, p->size, (uint64_t)left.st_size, NULL)) {
		*why = "an earlier run left a part of it";
		return 1;
	}
	/* Without a state it is of no use, and the new one is not about it. */
	(void)folder_remove(p->f, p->name, &ignored);
	p->fd = repair_open(&p->repair, p->f, at, &p->maker, p->size, &st, why);
	if (p->fd < 0 || copy_notes(p, blocks, want, e) < 0) {
		remove_note(p);
		return p->fd < 0 ? 1 : -1;
	}
	p->stage = STAGE_KEPT;
	p->mode = p->repair.mode;
	p->bytes = state_read(
	    p->lease.fd, want, p->size, (uint64_t)st.st_size, &p->here);
	blocks_join(&p->old, &p->here);
	return 0;
}

struct partial *
partial_adopt(const struct partial_setup *setup, const struct folder *f,
    const char *prefix, const struct digest *want, uint64_t size,
    const char *at, const char **why, struct err *e)
{
	struct partial *p;
	int blocks, rv;

	e->kind = ERR_NONE;
	*why = "there are no checksums of its blocks";
	blocks = repair_blocks(f, prefix, want, size, &setup->traits.maker);
	if (blocks < 0)
		return NULL;
	p = make(f, prefix, want, size);
	p->maker = setup->traits.maker;
	rv = adopt(p, setup, want, at, blocks, why, e);
	close(blocks);
	if (rv == 0)
		return p;
	if (rv > 0)
		e->kind = ERR_NONE;
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
	*first = blocks_begin(start);
	*end = blocks_end(p->size, next - 1);
	return true;
}

/* Adds a block that is complete now. */
static int
mark(struct partial *p, size_t block, uint32_t sum, struct err *e)
{
	uint64_t n = blocks_end(p->size, block) - blocks_begin(block);
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
	p->dirty = p->noted = true;
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

static int
may_write(struct partial *p, size_t n, uint64_t offset, struct err *e)
{
	if (offset > p->size || n > p->size - offset)
		return err_set(e, ERR_OTHER, "bytes lie outside of their file");
	return check_owner(p, e);
}

int
partial_write_ahead(struct partial *p, const void *bytes, size_t n,
    uint64_t offset, struct err *e)
{
	if (may_write(p, n, offset, e) < 0 || leave_place(p, e) < 0)
		return -1;
	return file_pwrite(p->fd, bytes, n, offset, p->f->path, e);
}

int
partial_write(struct partial *p, const void *bytes, size_t n, uint64_t offset,
    uint64_t *sum, struct err *e)
{
	const unsigned char *from = bytes;

	if (may_write(p, n, offset, e) < 0)
		return -1;
	if (!has_bytes(p, from, n, offset) &&
	    (leave_place(p, e) < 0 ||
		file_pwrite(p->fd, bytes, n, offset, p->f->path, e) < 0))
		return -1;
	while (n) {
		size_t block = (size_t)(offset / STATE_BLOCK);
		uint64_t left = blocks_end(p->size, block) - offset;
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

bool
partial_stuck(struct partial *p)
{
	bool stuck;

	pthread_mutex_lock(&p->lock);
	stuck = p->stuck;
	pthread_mutex_unlock(&p->lock);
	return stuck;
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
	return end == block ? offset : blocks_end(p->size, end - 1);
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
	mode_t mode = p->mode ? p->mode : p->maker.public;
	struct stat st;

	if (partial_here(p) != p->size)
		return err_set(e, ERR_OTHER, "the file is not complete");
	if (p->stage == STAGE_KEPT) {
		*name = p->repair.at;
		return repair_unchanged(&p->repair, p->fd, e) < 0
			   ? -1
			   : check_owner(p, e);
	}
	if (check_owner(p, e) < 0 || sync_bytes(p, e) < 0)
		return -1;
	leave_cache(p, p->size);
	if ((p->mode || !p->is_private || private_mode(p) == 0600) &&
	    fstat(p->fd, &st) == 0 && (st.st_mode & 0777) != mode)
		/* This may fail where all files have the same mode. */
		(void)fchmod(p->fd, mode);
	*name = p->name;
	return 0;
}

void
partial_set_mode(struct partial *p, mode_t mode)
{
	p->mode = mode;
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
	for (; i < p->here.n && blocks_begin(i) < end; i++)
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

/* A repair that is given up: the file, as right as it is by now, has its name
 * again. */
static bool
gives_back(struct partial *p)
{
	struct err e;

	return p->stage == STAGE_RENAMED && check_owner(p, &e) == 0 &&
	       repair_give_back(&p->repair, p->fd, p->name) == 0;
}

static void
end_shared(struct partial *p, bool published)
{
	struct err e;

	if (p->stage == STAGE_KEPT) {
		/* HASH.blocks is there, and was wrong if a block was fetched. */
		if (check_owner(p, &e) == 0)
			(published && p->keep && p->noted ? keep_blocks
							  : remove_note)(p);
	} else if (published && p->keep && check_owner(p, &e) == 0) {
		keep_blocks(p);
	} else if (!published && gives_back(p)) {
		remove_note(p);
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
