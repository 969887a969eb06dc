#define _GNU_SOURCE /* sync_file_range */

#include "partial.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "lease.h"
#include "mem.h"
#include "owner.h"
#include "wait.h"

/* The synced view is renewed after that many bytes, or when it is time. */
#define SYNC_BYTES (UINT64_C(256) << 20)

/* Write-back is started after that many, so that the sync is short. */
#define START_BYTES (UINT64_C(16) << 20)

/* What is no longer than that is synced when a run ends early. */
#define QUICK_BYTES (UINT64_C(8) << 20)

/* The hash state is kept every so many bytes: hashed again within an instant. */
#define KEEP_BYTES (UINT64_C(8) << 20)

/* Files from that size on do not stay in the page cache. */
#define LARGE (UINT64_C(64) << 20)

struct partial {
	const struct folder *f;
	char *stem, *name; /* PREFIX HASH, and the file of the bytes */
	int fd;
	uint64_t size;
	size_t blocks;
	bool is_private; /* no state file: s is in memory only */
	bool sparse, network;
	unsigned sync; /* ms between two synced views */
	bool rooted;   /* the folders on the way to it were synced */

	/* Guards what follows; held for no longer than a few short writes. */
	pthread_mutex_t lock;
	struct state s;     /* its synced view is the one found at the start */
	struct lease lease; /* not held if private */
	uint64_t here;      /* bytes of the live view */
	uint64_t kept;      /* length of the hash in the live slot */
	uint64_t unsynced;  /* bytes marked since the last sync began */
	uint64_t unstarted; /* bytes marked since write-back was started */
	bool dirty;         /* the live view is ahead of the synced one */
	uint64_t synced;    /* when the last sync began */
	uint64_t uncached;  /* the page cache was left up to here */
};

int
partial_setup(const struct folder *f, struct partial_setup *s, struct err *e)
{
	*s = (struct partial_setup){
	    .beat = PARTIAL_BEAT, .stale = PARTIAL_STALE, .sync = PARTIAL_SYNC};
	owner_self(&s->self);
	return folder_traits(f, &s->traits, e);
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

/* Whether the file is long enough for what the live view claims. */
static bool
fits(const struct state *s, const struct stat *st)
{
	size_t last = s->blocks;
	uint64_t end, length = st->st_size < 0 ? 0 : (uint64_t)st->st_size;

	while (last && !view_has(&s->live, last - 1))
		last--;
	end = (uint64_t)last * STATE_BLOCK;
	return length <= s->size && length >= (end < s->size ? end : s->size);
}

/* Believes of the text what can be believed. */
static void
believe(struct state *s, const struct buf *text, const struct stat *data,
    const struct owner *self)
{
	if (state_parse(s, (const unsigned char *)buf_cstr(text), text->len) <
	    0)
		return;
	if (!owner_same_boot(&s->owner, self) || !fits(s, data))
		state_drop_live(s);
	/* Another name for the same file: somebody's copy, not ours to write. */
	if (!fits(s, data) || data->st_nlink != 1)
		state_forget(s);
}

uint64_t
partial_left(const struct folder *f, const char *prefix,
    const struct digest *want, uint64_t size)
{
	struct state s;
	struct owner self;
	struct stat data;
	struct err e;
	struct buf text;
	char *stem, *name, *path;
	uint64_t left = 0;

	if (size <= PARTIAL_BLOCK || size > STATE_SIZE_MAX)
		return 0;
	owner_self(&self);
	stem = stem_of(prefix, want);
	name = name_of(stem, "part");
	path = name_of(stem, "state");
	text = buf_make(state_length(size));
	if (folder_read(f, path, &text, &e) == 0 &&
	    folder_stat(f, name, &data, &e) == 0 && S_ISREG(data.st_mode)) {
		state_init(&s, want, size);
		believe(&s, &text, &data, &self);
		left = view_bytes(&s, &s.live);
		state_release(&s);
	}
	buf_release(&text);
	free(path);
	free(name);
	free(stem);
	return left;
}

/* Writes live bits of the blocks from first up to end. Under the lock. */
static int
write_bits(struct partial *p, int fd, size_t first, size_t end, struct err *e)
{
	size_t n;

	if (first == end)
		return 0;
	n = (end - 1) / 8 - first / 8 + 1;
	return file_pwrite(fd, p->s.live.bits + first / 8, n,
	    state_live_at(&p->s, first), p->lease.path, e);
}

static int
write_slot(struct partial *p, int fd, struct err *e)
{
	unsigned char slot[STATE_SLOT];

	state_format_slot(&p->s.live.hash, slot);
	p->kept = hash_length(&p->s.live.hash);
	return file_pwrite(
	    fd, slot, STATE_SLOT, STATE_LIVE_SLOT, p->lease.path, e);
}

/* Puts a state of that text in place, with the live view as it is by then. */
static int
replace(
    struct partial *p, const unsigned char *text, bool lasting, struct err *e)
{
	char *name;
	int fd, rv;

	fd = lease_draft(
	    &p->lease, text, state_length(p->size), lasting, &name, e);
	if (fd < 0)
		return -1;
	pthread_mutex_lock(&p->lock);
	rv = write_bits(p, fd, 0, p->blocks, e);
	if (rv == 0)
		rv = write_slot(p, fd, e);
	if (rv == 0)
		rv = lease_check(&p->lease, e);
	if (rv == 0) {
		rv = lease_swap(&p->lease, fd, name, e);
	} else {
		close(fd);
		folder_remove(p->f, name, &(struct err){0});
		free(name);
	}
	pthread_mutex_unlock(&p->lock);
	return rv;
}

static int
replace_now(struct partial *p, bool lasting, struct err *e)
{
	unsigned char *text = xmalloc(state_length(p->size));
	int rv;

	state_format(&p->s, text);
	rv = replace(p, text, lasting, e);
	free(text);
	return rv;
}

static int
sync_bytes(struct partial *p, struct err *e)
{
	int rv;

	do
		rv = fdatasync(p->fd);
	while (rv < 0 && errno == EINTR);
	if (rv == 0 || errno == EINVAL || errno == ENOSYS)
		return 0;
	rv = errno;
	err_sys(e, ERR_FILE, "cannot write '%s'", p->name);
	if (rv == ENOSPC || rv == EDQUOT)
		err_hint(e, "make room and run again with -d: what has arrived "
			    "is kept");
	return -1;
}

/* The system could not keep what it had taken: nobody knows which bytes it has
 * lost, so only those that were synced before count. */
static void
fall_back(struct partial *p)
{
	struct err e;
	size_t n = state_length(p->size);
	unsigned char *text = xmalloc(n);

	pthread_mutex_lock(&p->lock);
	if (file_pread(p->lease.fd, text, n, 0, p->lease.path, &e) == 0 &&
	    state_parse(&p->s, text, n) == 0)
		state_drop_live(&p->s);
	else
		state_forget(&p->s);
	p->s.owner = p->lease.self;
	p->here = view_bytes(&p->s, &p->s.live);
	write_bits(p, p->lease.fd, 0, p->blocks, &e);
	write_slot(p, p->lease.fd, &e);
	p->dirty = true;
	pthread_mutex_unlock(&p->lock);
	free(text);
}

/* Syncs each folder on the way to the file: they may be new. */
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

/* The pages before the hash's frontier are clean now, and were read. */
static void
leave_cache(struct partial *p, uint64_t end)
{
	if (p->size < LARGE || end <= p->uncached)
		return;
	posix_fadvise(p->fd, (off_t)p->uncached, (off_t)(end - p->uncached),
	    POSIX_FADV_DONTNEED);
	p->uncached = end;
}

/* The live view of now becomes the synced one of a new state, once the bytes
 * that it claims are on the disk. */
static int
sync_now(struct partial *p, struct err *e)
{
	unsigned char *text = xmalloc(state_length(p->size));
	uint64_t hashed;
	struct state claim;
	int rv;

	pthread_mutex_lock(&p->lock);
	claim = p->s;
	claim.synced = p->s.live;
	state_format(&claim, text);
	hashed = hash_length(&p->s.live.hash);
	p->synced = wait_now();
	p->unsynced = p->unstarted = 0;
	p->dirty = false;
	pthread_mutex_unlock(&p->lock);
	rv = sync_bytes(p, e);
	if (rv < 0)
		fall_back(p);
	else
		rv = replace(p, text, true, e);
	free(text);
	if (rv < 0)
		return -1;
	if (!p->rooted)
		sync_parents(p->f, p->lease.path);
	p->rooted = true;
	leave_cache(p, hashed);
	return 0;
}

/* Opens the file of the bytes and says what it is like. */
static int
open_data(struct partial *p, int flags, struct stat *st, struct err *e)
{
	p->fd = folder_openat(p->f, p->name, O_RDWR | O_CREAT | flags, e);
	if (p->fd < 0)
		return -1;
	if (fstat(p->fd, st) == 0)
		return 0;
	err_sys(e, ERR_FILE, "cannot look at '%s'", p->name);
	/* Under a random name nobody would find it again. */
	if (flags & O_EXCL)
		folder_remove(p->f, p->name, &(struct err){0});
	return -1;
}

static int
set_length(struct partial *p, uint64_t length, struct err *e)
{
	int rv;

	do
		rv = ftruncate(p->fd, (off_t)length);
	while (rv < 0 && errno == EINTR);
	if (rv == 0)
		return 0;
	return err_sys(e, ERR_FILE, "cannot set the length of '%s'", p->name);
}

/* Where holes are cheap the file has its full length from the start. */
static int
fix_length(struct partial *p, const struct stat *st, struct err *e)
{
	uint64_t length = (uint64_t)st->st_size;

	if (length > p->size || (p->sparse && length < p->size))
		return set_length(p, p->size, e);
	return 0;
}

static int
start_private(struct partial *p, struct err *e)
{
	struct stat st;

	p->is_private = true;
	free(p->name);
	p->name = lease_name(p->stem, "part");
	return open_data(p, O_EXCL, &st, e);
}

/* A file that has another name, too, is left to that; we make our own. */
static int
part_from_links(struct partial *p, struct stat *st, struct err *e)
{
	if (st->st_nlink == 1)
		return 0;
	close(p->fd);
	if (folder_remove(p->f, p->name, e) < 0)
		return -1;
	return open_data(p, O_EXCL, st, e);
}

static int
discard(struct partial *p, struct err *e)
{
	pthread_mutex_lock(&p->lock);
	state_forget(&p->s);
	p->s.owner = p->lease.self;
	p->here = p->unsynced = p->unstarted = p->uncached = 0;
	p->dirty = false;
	pthread_mutex_unlock(&p->lock);
	/* First the claim goes, and for good, then the bytes. */
	if (!p->is_private) {
		if (replace_now(p, true, e) < 0)
			return -1;
		sync_parents(p->f, p->lease.path);
	}
	if (set_length(p, 0, e) < 0)
		return -1;
	return p->sparse ? set_length(p, p->size, e) : 0;
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
	return err_hint(e, "a folder on another file system");
}

/* has: bytes that the file takes already. */
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
	return err_hint(
	    e, "make room and run again with -d: what has arrived is kept");
}

/* What a file takes need not be what is believed of it. */
static uint64_t
taken(const struct partial *p, const struct stat *st)
{
	uint64_t n = st->st_blocks > 0 ? (uint64_t)st->st_blocks * 512 : 0;

	return n > p->here ? n : p->here;
}

/* The lease is ours: takes up what text says. */
static int
start_shared(struct partial *p, const struct buf *text, uint64_t room,
    bool resume, enum partial_found *found, uint64_t *had, struct err *e)
{
	struct stat st;

	if (open_data(p, 0, &st, e) < 0)
		return -1;
	believe(&p->s, text, &st, &p->lease.self);
	*had = p->here = view_bytes(&p->s, &p->s.live);
	*found = *had ? PARTIAL_RESUMED : PARTIAL_NEW;
	p->s.owner = p->lease.self;
	if (part_from_links(p, &st, e) < 0 ||
	    check_room(p, taken(p, &st), room, e) < 0)
		return -1;
	if (!resume && *had) {
		*found = PARTIAL_DROPPED;
		return discard(p, e);
	}
	if (fix_length(p, &st, e) < 0)
		return -1;
	p->dirty = *had > view_bytes(&p->s, &p->s.synced);
	return replace_now(p, *had > 0, e);
}

static struct partial *
make(const struct folder *f, const char *prefix, const struct digest *want,
    uint64_t size)
{
	struct partial *p = xcalloc(1, sizeof(*p));

	p->f = f;
	p->stem = stem_of(prefix, want);
	p->name = name_of(p->stem, "part");
	p->fd = -1;
	p->size = size;
	p->lease.fd = -1;
	pthread_mutex_init(&p->lock, NULL);
	state_init(&p->s, want, size);
	p->blocks = p->s.blocks;
	return p;
}

static void
destroy(struct partial *p)
{
	if (p->fd >= 0)
		close(p->fd);
	lease_release(&p->lease);
	state_release(&p->s);
	pthread_mutex_destroy(&p->lock);
	free(p->name);
	free(p->stem);
	free(p);
}

/* With the lease if it can be had, else for ourselves. */
static int
start(struct partial *p, const struct partial_setup *setup, bool resume,
    enum partial_found *found, uint64_t *had, struct err *e)
{
	struct buf text = buf_make(state_length(p->size));
	int rv;

	p->sparse = setup->traits.sparse;
	p->network = setup->traits.network;
	p->sync = setup->sync;
	lease_init(&p->lease, p->f, p->stem, p->network, &setup->self);
	p->lease.beat = setup->beat;
	p->lease.stale = setup->stale;
	rv = lease_take(&p->lease, &text, e);
	p->network = p->lease.network;
	if (rv == 0) {
		rv = start_shared(
		    p, &text, setup->traits.free, resume, found, had, e);
	} else if (rv > 0) {
		*found = PARTIAL_PRIVATE;
		rv = check_room(p, 0, setup->traits.free, e);
		if (rv == 0)
			rv = start_private(p, e);
	}
	buf_release(&text);
	return rv;
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
	rv = size <= PARTIAL_BLOCK ? start_private(p, e)
				   : start(p, setup, resume, &what, &bytes, e);
	if (rv < 0) {
		/* What was found stays as it was. */
		destroy(p);
		return NULL;
	}
	if (found)
		*found = what;
	if (had)
		*had = bytes;
	return p;
}

struct partial *
partial_open(const struct folder *f, const char *prefix,
    const struct digest *want, uint64_t size, bool resume,
    enum partial_found *found, uint64_t *had, struct err *e)
{
	struct partial_setup setup = {
	    .traits = {.free = UINT64_MAX, .max_file = UINT64_MAX}};

	/* What is small needs no look at the ground. */
	if (size > PARTIAL_BLOCK && partial_setup(f, &setup, e) < 0)
		return NULL;
	return partial_open_on(
	    &setup, f, prefix, want, size, resume, found, had, e);
}

uint64_t
partial_size(const struct partial *p)
{
	return p->size;
}

uint64_t
partial_here(struct partial *p)
{
	uint64_t here;

	pthread_mutex_lock(&p->lock);
	here = p->here;
	pthread_mutex_unlock(&p->lock);
	return here;
}

bool
partial_in_order(const struct partial *p)
{
	return !p->sparse && p->size > PARTIAL_BLOCK;
}

/* Where the block ends; that of the last one is the file's. */
static uint64_t
end_of(const struct partial *p, size_t block)
{
	uint64_t end = ((uint64_t)block + 1) * STATE_BLOCK;

	return end < p->size ? end : p->size;
}

bool
partial_missing(struct partial *p, uint64_t from, uint64_t limit,
    uint64_t *first, uint64_t *end)
{
	size_t block, next;

	if (from >= p->size)
		return false;
	pthread_mutex_lock(&p->lock);
	block =
	    view_find(&p->s, &p->s.live, (size_t)(from / STATE_BLOCK), false);
	next = view_find(&p->s, &p->s.live, block, true);
	pthread_mutex_unlock(&p->lock);
	if (block == p->blocks)
		return false;
	*first = (uint64_t)block * STATE_BLOCK;
	if (*first < from)
		*first = from;
	*end = end_of(p, next - 1);
	if (*end - *first > limit) {
		*end = (*first + limit) / STATE_BLOCK * STATE_BLOCK;
		if (*end <= *first)
			*end = end_of(p, block);
	}
	return true;
}

/* Marks the blocks from first up to end and says so in the state. */
static int
mark(struct partial *p, size_t first, size_t end, struct err *e)
{
	int rv = 0;

	pthread_mutex_lock(&p->lock);
	for (size_t i = first; i < end; i++) {
		uint64_t n = end_of(p, i) - (uint64_t)i * STATE_BLOCK;

		if (!view_set(&p->s.live, i))
			continue;
		p->here += n;
		p->unsynced += n;
		p->unstarted += n;
		p->dirty = true;
	}
	if (!p->is_private) {
		rv = write_bits(p, p->lease.fd, first, end, e);
		lease_beat(&p->lease);
	}
	pthread_mutex_unlock(&p->lock);
	return rv;
}

/* Another run may have taken over while this machine or process slept; then the
 * file may be published by now, and must not be touched. */
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

int
partial_write(struct partial *p, const void *bytes, size_t n, uint64_t offset,
    uint64_t done_from, struct err *e)
{
	uint64_t stop;
	size_t first, end;

	if (offset > p->size || n > p->size - offset || done_from > offset)
		return err_set(
		    e, ERR_OTHER, "bytes for '%s' lie outside of it", p->name);
	if (check_owner(p, e) < 0 ||
	    file_pwrite(p->fd, bytes, n, offset, p->name, e) < 0)
		return -1;
	stop = offset + n;
	end = stop == p->size ? p->blocks : (size_t)(stop / STATE_BLOCK);
	first = (size_t)((done_from + STATE_BLOCK - 1) / STATE_BLOCK);
	/* Those that ended before were marked by the writes before. */
	if (first < offset / STATE_BLOCK)
		first = (size_t)(offset / STATE_BLOCK);
	return first < end ? mark(p, first, end, e) : 0;
}

int
partial_read(
    struct partial *p, void *bytes, size_t n, uint64_t offset, struct err *e)
{
	return file_pread(p->fd, bytes, n, offset, p->name, e);
}

/* The end of the run of blocks that are here from offset on. Under the lock. */
static uint64_t
ends_at(const struct partial *p, uint64_t offset)
{
	size_t block = (size_t)(offset / STATE_BLOCK);
	size_t end = view_find(&p->s, &p->s.live, block, false);

	return end <= block ? offset : end_of(p, end - 1);
}

void
partial_hash(struct partial *p, struct hash *h)
{
	pthread_mutex_lock(&p->lock);
	*h = p->s.live.hash;
	pthread_mutex_unlock(&p->lock);
}

void
partial_hashed(struct partial *p, const struct hash *h)
{
	uint64_t length = hash_length(h), old;
	struct err e;

	pthread_mutex_lock(&p->lock);
	old = hash_length(&p->s.live.hash);
	/* A hash that is ahead of the view would outlive bytes that do not. */
	if (length > old && length <= p->size && ends_at(p, old) >= length) {
		p->s.live.hash = *h;
		/* If that cannot be written, an older one stays, and is right. */
		if (!p->is_private &&
		    (length - p->kept >= KEEP_BYTES || length == p->size)) {
			write_slot(p, p->lease.fd, &e);
			p->dirty = true;
		}
	}
	pthread_mutex_unlock(&p->lock);
}

uint64_t
partial_run_end(struct partial *p, uint64_t offset)
{
	uint64_t end = offset;

	pthread_mutex_lock(&p->lock);
	if (offset < p->size)
		end = ends_at(p, offset);
	pthread_mutex_unlock(&p->lock);
	return end;
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
	if (partial_here(p) != p->size)
		return err_set(e, ERR_OTHER, "'%s' is not complete", p->name);
	if (check_owner(p, e) < 0 || sync_bytes(p, e) < 0)
		return -1;
	leave_cache(p, p->size);
	*name = p->name;
	return 0;
}

int
partial_stat(const struct partial *p, struct stat *st, struct err *e)
{
	if (fstat(p->fd, st) == 0)
		return 0;
	return err_sys(e, ERR_FILE, "cannot look at '%s'", p->name);
}

int
partial_reset(struct partial *p, struct err *e)
{
	if (check_owner(p, e) < 0)
		return -1;
	return discard(p, e);
}

/* As much of the state as can be kept within an instant. Without /proc only
 * what is synced will be believed: then it takes as long as it takes. */
static void
keep(struct partial *p)
{
	struct err e;

	if (check_owner(p, &e) < 0)
		return;
	write_slot(p, p->lease.fd, &e);
	if (!p->dirty)
		return;
	if (p->unsynced > QUICK_BYTES && owner_knows_boot(&p->lease.self))
		partial_start(p);
	else
		sync_now(p, &e);
}

static void
end_shared(struct partial *p, bool published)
{
	struct err e;

	if (!published && p->here) {
		keep(p);
	} else if (check_owner(p, &e) == 0) {
		if (!published)
			folder_remove(p->f, p->name, &e);
		folder_remove(p->f, p->lease.path, &e);
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
