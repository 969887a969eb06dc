#define _GNU_SOURCE /* flock, CLOCK_BOOTTIME */

#include "state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "str.h"
#include "wait.h"

/* --- The identity of a process. --- */

/* Reads the kernel's boot id: 32 hexadecimal digits with dashes between them. */
static bool
read_boot(unsigned char boot[16])
{
	char text[37] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, 36);
	size_t k = 0;

	if (fd >= 0)
		close(fd);
	for (ssize_t i = 0; i < n; i++)
		if (text[i] != '-')
			text[k++] = text[i];
	return n == 36 && hex_decode(str_make(text, k), boot, 16) == 0;
}

void
owner_self(struct owner *o)
{
	struct stat st;

	*o = (struct owner){.pid = (uint32_t)getpid()};
	if (!read_boot(o->boot))
		memset(o->boot, 0, sizeof(o->boot));
	if (stat("/proc/self/ns/pid", &st) == 0)
		o->pids = st.st_ino;
}

static bool
owner_knows_boot(const struct owner *o)
{
	static const unsigned char unknown[16];

	return memcmp(o->boot, unknown, 16) != 0;
}

/* Whether both ran since the same boot of a kernel; false if unknown. */
static bool
owner_same_boot(const struct owner *a, const struct owner *b)
{
	return owner_knows_boot(a) && memcmp(a->boot, b->boot, 16) == 0;
}

/* --- The text of a state file. --- */

/* Offsets in the head; all other bytes are zero. */
enum {
	HEAD_MAGIC = 0,
	HEAD_KIND = 8, /* 1 SHA-256, 2 git */
	HEAD_BLOCK = 12,
	HEAD_SIZE = 16,
	HEAD_DIGEST = 24,
	HEAD_BOOT = 56,
	HEAD_NONCE = 72,
	HEAD_PIDS = 80,
	HEAD_PID = 88,
	HEAD_CRC = STATE_HEAD - 4,
};

/* The last digit is the version of the format. */
static const char magic[8] = "hubpart2";

static void
seal(unsigned char *p)
{
	bytes_put_le(p + HEAD_CRC, crc32_of(p, HEAD_CRC), 4);
}

size_t
state_blocks(uint64_t size)
{
	assert(size <= STATE_SIZE_MAX);
	return (size_t)(size / STATE_BLOCK + (size % STATE_BLOCK != 0));
}

uint64_t
state_at(size_t block)
{
	return STATE_HEAD + 4 * (uint64_t)block;
}

size_t
state_length(uint64_t size)
{
	return (size_t)state_at(state_blocks(size));
}

uint64_t
blocks_begin(size_t block)
{
	return (uint64_t)block * STATE_BLOCK;
}

uint64_t
blocks_end(uint64_t size, size_t block)
{
	uint64_t end = blocks_begin(block) + STATE_BLOCK;

	return end < size ? end : size;
}

static void
put_owner(unsigned char *p, const struct owner *o)
{
	memcpy(p + HEAD_BOOT, o->boot, sizeof(o->boot));
	bytes_put_le(p + HEAD_NONCE, o->nonce, 8);
	bytes_put_le(p + HEAD_PIDS, o->pids, 8);
	bytes_put_le(p + HEAD_PID, o->pid, 4);
}

static void
get_owner(const unsigned char *p, struct owner *o)
{
	memcpy(o->boot, p + HEAD_BOOT, sizeof(o->boot));
	o->nonce = bytes_get_le(p + HEAD_NONCE, 8);
	o->pids = bytes_get_le(p + HEAD_PIDS, 8);
	o->pid = (uint32_t)bytes_get_le(p + HEAD_PID, 4);
}

void
state_format_head(const struct state *s, unsigned char out[STATE_HEAD])
{
	memset(out, 0, STATE_HEAD);
	memcpy(out + HEAD_MAGIC, magic, sizeof(magic));
	out[HEAD_KIND] = s->want.kind == HASH_SHA256 ? 1 : 2;
	bytes_put_le(out + HEAD_BLOCK, STATE_BLOCK, 4);
	bytes_put_le(out + HEAD_SIZE, s->size, 8);
	memcpy(out + HEAD_DIGEST, s->want.b, digest_size(&s->want));
	put_owner(out, &s->owner);
	seal(out);
}

/* The head must be, bit for bit, what we would write for that owner. */
int
state_parse_head(struct state *s, const unsigned char head[STATE_HEAD])
{
	unsigned char again[STATE_HEAD];

	get_owner(head, &s->owner);
	state_format_head(s, again);
	return memcmp(head, again, STATE_HEAD) == 0 ? 0 : -1;
}

/* Gives the owner in a head, whatever its content is; -1 if it is not a head. */
static int
state_owner(const unsigned char head[STATE_HEAD], struct owner *out)
{
	if (memcmp(head + HEAD_MAGIC, magic, sizeof(magic)) != 0 ||
	    bytes_get_le(head + HEAD_CRC, 4) != crc32_of(head, HEAD_CRC))
		return -1;
	get_owner(head, out);
	return 0;
}

/* Makes o the owner in a head; leaves bytes alone that are not a head. */
static void
state_sign(unsigned char head[STATE_HEAD], const struct owner *o)
{
	struct owner old;

	if (state_owner(head, &old) < 0)
		return;
	put_owner(head, o);
	seal(head);
}

size_t
blocks_bytes(size_t n)
{
	return n / 8 + 1;
}

bool
blocks_has(const struct blocks *b, size_t block)
{
	return b->bits[block / 8] >> (block % 8) & 1;
}

bool
blocks_add(struct blocks *b, size_t block)
{
	bool had = blocks_has(b, block);

	b->bits[block / 8] |= (unsigned char)(1u << (block % 8));
	return !had;
}

bool
blocks_drop(struct blocks *b, size_t block)
{
	bool had = blocks_has(b, block);

	b->bits[block / 8] &= (unsigned char)~(1u << (block % 8));
	return had;
}

void
blocks_clear(struct blocks *b)
{
	memset(b->bits, 0, blocks_bytes(b->n));
}

void
blocks_join(struct blocks *to, const struct blocks *from)
{
	for (size_t i = 0; i < blocks_bytes(to->n); i++)
		to->bits[i] |= from->bits[i];
}

size_t
blocks_find(const struct blocks *b, size_t from, bool in)
{
	unsigned char skip = in ? 0 : 0xff;
	size_t i = from;

	while (i < b->n) {
		if (i % 8 == 0 && b->bits[i / 8] == skip)
			i += 8;
		else if (blocks_has(b, i) == in)
			return i;
		else
			i++;
	}
	return b->n;
}

/* --- What a state file says. --- */

void
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

uint64_t
state_read(int fd, const struct digest *want, uint64_t size, uint64_t length,
    struct blocks *here)
{
	size_t blocks = state_blocks(size), i = 0;
	uint64_t bytes = 0;
	struct notes x;

	if (length > size || !is_about(fd, want, size))
		return 0;
	for (notes_read(&x, fd, 0, blocks); x.n; notes_read(&x, fd, i, blocks))
		for (size_t k = 0; k < x.n; k++, i++) {
			if (!bytes_get_le(x.text + 4 * k, 4) ||
			    blocks_end(size, i) > length)
				continue;
			bytes += blocks_end(size, i) - blocks_begin(i);
			if (here)
				blocks_add(here, i);
		}
	return bytes;
}

/* --- Who may write it. --- */

/* Give up after losing this many races. */
#define TRIES 20

/* Time (ms) between two checks of a file whose owner may be dead. */
#define LOOK 1000

/* Like wait_now(), but counts time while the machine is suspended. */
static uint64_t
now(void)
{
#ifdef CLOCK_BOOTTIME
	struct timespec t;

	if (clock_gettime(CLOCK_BOOTTIME, &t) == 0)
		return (uint64_t)t.tv_sec * 1000 +
		       (uint64_t)t.tv_nsec / 1000000;
#endif
	return wait_now();
}

char *
lease_name(const char *stem, const char *kind)
{
	struct buf b = buf_make(8192);

	buf_printf(&b, "%s.%016" PRIx64 ".%s", stem, wait_random(), kind);
	return buf_detach(&b);
}

void
lease_init(struct lease *l, const struct folder *f, const char *stem,
    bool network, const struct owner *self, const struct maker *maker)
{
	struct buf b = buf_make(8192);

	*l = (struct lease){.f = f,
	    .stem = xstrdup(stem),
	    .network = network,
	    .self = *self,
	    .maker = *maker,
	    .fd = -1};
	buf_printf(&b, "%s.state", stem);
	l->path = buf_detach(&b);
	do
		l->self.nonce = wait_random();
	while (!l->self.nonce);
}

static int64_t
mtime(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000 +
	       st->st_mtim.tv_nsec / 1000000;
}

int
lease_clock(
    const struct folder *f, const char *stem, int64_t *ms, struct err *e)
{
	char *name = lease_name(stem, "tmp");
	int fd = folder_create(f, name, 0600, e), rv = fd;
	struct stat st;

	if (fd >= 0) {
		/* A new file may get the client's time; a write gets the
		 * server's. */
		rv = file_pwrite(fd, "", 1, 0, f->path, e);
		if (rv == 0 && fstat(fd, &st) < 0)
			rv = err_sys(e, ERR_FILE,
			    "cannot read the attributes of '%s'", f->path);
		if (rv == 0)
			*ms = mtime(&st);
		close(fd);
		folder_remove(f, name, &(struct err){0});
	}
	free(name);
	return rv == 0 ? 0 : -1;
}

/* A state file that was found, with what distinguishes it from its successor. */
struct found {
	int fd;
	struct stat st;
	unsigned char head[STATE_HEAD];
	bool has_head;
};

static void
found_release(struct found *x)
{
	if (x->fd >= 0)
		close(x->fd);
	x->fd = -1;
}

/* Opens the file at path and reads its attributes and head; 1 if there is none.
 * An NFS client asks its server only when a file is opened, so this opens it
 * each time. */
static int
look(const struct lease *l, const char *path, struct found *x, struct err *e)
{
	*x = (struct found){.fd = folder_openat(l->f, path, O_RDWR, e)};
	if (x->fd < 0)
		return errno == ENOENT ? 1 : -1;
	if (fstat(x->fd, &x->st) < 0) {
		found_release(x);
		return err_sys(e, ERR_FILE,
		    "cannot read the attributes of '%s'", l->f->path);
	}
	x->has_head = pread(x->fd, x->head, STATE_HEAD, 0) == STATE_HEAD;
	return 0;
}

static bool
same_found(const struct found *a, const struct found *b)
{
	return mtime(&a->st) == mtime(&b->st) &&
	       a->st.st_size == b->st.st_size && a->has_head == b->has_head &&
	       memcmp(a->head, b->head, STATE_HEAD) == 0;
}

static int
hold(struct lease *l, int fd)
{
	l->fd = fd;
	l->beaten = now();
	return 0;
}

enum verdict { GONE, DEAD, ALIVE, UNSURE };

/* Whether the owner in the head is alive: UNSURE if it may be on another
 * machine. */
static enum verdict
judge_owner(const struct lease *l, const struct found *x)
{
	struct owner o;

	if (!x->has_head || state_owner(x->head, &o) < 0)
		return UNSURE;
	if (!o.nonce)
		return DEAD;
	if (!owner_same_boot(&o, &l->self) || !o.pids || !o.pid ||
	    o.pid > INT32_MAX || o.pids != l->self.pids)
		return UNSURE;
	return kill((pid_t)o.pid, 0) < 0 && errno == ESRCH ? DEAD : ALIVE;
}

/* Checks the file until it is touched (ALIVE), removed (GONE), or stale (DEAD). */
static int
watch(
    struct lease *l, const struct found *first, enum verdict *v, struct err *e)
{
	uint64_t start = now();
	int64_t clock;

	if (lease_clock(l->f, l->stem, &clock, e) < 0)
		return -1;
	for (;;) {
		int64_t age =
		    clock - mtime(&first->st) + (int64_t)(now() - start);
		struct found x;
		int rv = look(l, l->path, &x, e);
		bool same = rv == 0 && same_found(first, &x);

		if (rv == 0)
			found_release(&x);
		if (rv < 0)
			return -1;
		*v = rv ? GONE : same ? DEAD : ALIVE;
		/* If its time is in the future its age is not known: then it
		 * must stay the same for the time stale. */
		if (!same || age >= (int64_t)l->stale ||
		    now() - start >= l->stale)
			return 0;
		if (judge_owner(l, first) == ALIVE) {
			*v = ALIVE;
			return 0;
		}
		if (wait_until(wait_now() + (l->stale < LOOK ? 10 : LOOK), e) <
		    0)
			return -1;
	}
}

/* Creates the state file, and holds it; 1 if it exists. */
static int
create(struct lease *l, struct err *e)
{
	int fd = folder_create(l->f, l->path, 0600, e);

	if (fd < 0)
		return errno == EEXIST ? 1 : -1;
	return hold(l, fd);
}

/* 0: locked; 1: another process has the lock; -1: locks do not work here. */
static int
lock(int fd)
{
	int rv;

	do
		rv = flock(fd, LOCK_EX | LOCK_NB);
	while (rv < 0 && errno == EINTR);
	if (rv == 0)
		return 0;
	return errno == EWOULDBLOCK ? 1 : -1;
}

/* Copies the state file from, with this process as the owner in its head. */
static int
copy_signed(const struct lease *l, int from, int to, struct err *e)
{
	unsigned char piece[4096];
	uint64_t at = 0;
	ssize_t n;

	while ((n = pread(from, piece, sizeof(piece), (off_t)at)) > 0) {
		if (at == 0 && n >= STATE_HEAD)
			state_sign(piece, &l->self);
		if (file_pwrite(to, piece, (size_t)n, at, l->f->path, e) < 0)
			return -1;
		at += (uint64_t)n;
	}
	if (n < 0)
		return err_sys(e, ERR_FILE, "cannot read in '%s'", l->f->path);
	return file_sync(to, l->f->path, e);
}

/* Replaces the state file by a copy whose owner is this process, and holds
 * that. */
static int
succeed(struct lease *l, int old, struct err *e)
{
	char *name = lease_name(l->stem, "tmp");
	int fd = folder_create(l->f, name, 0600, e);
	int rv = fd < 0 ? -1 : copy_signed(l, old, fd, e);

	if (rv == 0)
		rv = folder_publish(l->f, name, l->path, e);
	if (rv == 0)
		hold(l, fd);
	else if (fd >= 0)
		folder_remove(l->f, name, &(struct err){0});
	if (rv < 0 && fd >= 0)
		close(fd);
	free(name);
	return rv;
}

/* Removes a stale claim, whose process died, so that a later process can make
 * one. It is renamed first, so that only one process removes it. */
static void
drop_stale(struct lease *l, const char *claim)
{
	struct stat st;
	struct err e;
	int64_t clock;
	char *moved;

	if (lease_clock(l->f, l->stem, &clock, &e) < 0 ||
	    folder_stat(l->f, claim, &st, &e) != 0 ||
	    clock - mtime(&st) < (int64_t)l->stale)
		return;
	moved = lease_name(l->stem, "old");
	if (folder_publish(l->f, claim, moved, &e) == 0)
		folder_remove(l->f, moved, &e);
	free(moved);
}

/* Creates the claim, which only one process can. Then, if the state file is
 * still the one that was judged, replaces it by ours, without a time at which
 * there is none. 1 if another process was faster. */
static int
follow(struct lease *l, const struct found *judged, struct err *e)
{
	struct buf claim = buf_make(8192);
	struct found x;
	int fd, rv;

	buf_printf(&claim, "%s.claim", l->stem);
	fd = folder_create(l->f, buf_cstr(&claim), 0600, e);
	rv = fd >= 0 ? 0 : errno == EEXIST ? 1 : -1;
	if (rv > 0)
		drop_stale(l, buf_cstr(&claim));
	if (rv == 0) {
		rv = look(l, l->path, &x, e);
		if (rv == 0 && !same_found(judged, &x))
			rv = 1;
		if (rv == 0)
			rv = succeed(l, x.fd, e);
		found_release(&x);
		close(fd);
		folder_remove(l->f, buf_cstr(&claim), &(struct err){0});
	}
	buf_release(&claim);
	return rv;
}

static int
take_by_beat(struct lease *l, struct err *e)
{
	for (int i = 0; i < TRIES; i++) {
		struct found x;
		enum verdict v;
		int rv = create(l, e);

		if (rv <= 0)
			return rv;
		rv = look(l, l->path, &x, e);
		if (rv > 0)
			continue;
		if (rv < 0)
			return -1;
		v = judge_owner(l, &x);
		rv = v == DEAD ? 0 : watch(l, &x, &v, e);
		if (rv == 0)
			rv = v == DEAD ? follow(l, &x, e) : 1;
		found_release(&x);
		if (v != GONE)
			return rv;
	}
	return 1;
}

/* Whether this process could have made the file, and it has one link: it may be
 * written in place. */
static bool
is_ours(const struct lease *l, const struct stat *st)
{
	return maker_made(&l->maker, st) && st->st_nlink == 1;
}

static bool
is_at(const struct lease *l, int fd)
{
	struct err e;
	struct stat a, b;

	return fstat(fd, &a) == 0 && folder_stat(l->f, l->path, &b, &e) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev && is_ours(l, &a);
}

/* Opens the state file, or creates it (*made). */
static int
open_to_lock(const struct lease *l, bool *made, struct err *e)
{
	int fd = folder_create(l->f, l->path, 0600, e);

	*made = fd >= 0;
	return fd < 0 && errno == EEXIST
		   ? folder_openat(l->f, l->path, O_RDWR, e)
		   : fd;
}

static int
take_by_lock(struct lease *l, struct err *e)
{
	for (int i = 0; i < TRIES; i++) {
		bool made;
		int fd = open_to_lock(l, &made, e), busy;

		/* It existed, and was removed before the open. */
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return -1;
		busy = lock(fd);
		/* It may have been replaced between open and lock. */
		if (busy == 0 && is_at(l, fd))
			return hold(l, fd);
		l->network = busy < 0;
		if (busy < 0 && made)
			return hold(l, fd);
		close(fd);
		if (busy > 0)
			return 1;
		if (busy < 0)
			return take_by_beat(l, e);
	}
	return 1;
}

int
lease_take(struct lease *l, struct err *e)
{
	struct stat st;

	if (folder_stat(l->f, l->path, &st, e) == 0 && !is_ours(l, &st))
		return 2;
	return l->network ? take_by_beat(l, e) : take_by_lock(l, e);
}

/* If the file system cannot set times, our writes do it. */
static void
touch(struct lease *l)
{
	futimens(l->fd, NULL);
	l->beaten = now();
}

void
lease_beat(struct lease *l)
{
	if (l->network && l->fd >= 0 && now() - l->beaten >= l->beat)
		touch(l);
}

int
lease_check(struct lease *l, struct err *e)
{
	struct owner o;
	struct found x;
	bool mine;

	if (!l->network || l->fd < 0 || now() - l->beaten < l->stale / 2)
		return 0;
	mine = look(l, l->path, &x, e) == 0 && x.has_head &&
	       state_owner(x.head, &o) == 0 && o.nonce == l->self.nonce;
	found_release(&x);
	if (mine) {
		touch(l);
		return 0;
	}
	err_set(e, ERR_FILE,
	    "cannot continue in '%s': another hub process took over while this "
	    "one was suspended",
	    l->f->path);
	return err_hint(e, "run again with -d");
}

/* Without a lock that ends with its holder: removes the owner from the head. */
static void
sign_off(struct lease *l)
{
	static const struct owner nobody;
	unsigned char head[STATE_HEAD];
	struct err e;

	if (file_pread(l->fd, head, STATE_HEAD, 0, l->path, &e) < 0)
		return;
	state_sign(head, &nobody);
	/* If this fails, the next process waits until the file is stale. */
	(void)file_pwrite(l->fd, head, STATE_HEAD, 0, l->path, &e);
}

void
lease_drop(struct lease *l)
{
	if (l->fd < 0)
		return;
	if (l->network)
		sign_off(l);
	close(l->fd);
	l->fd = -1;
}

void
lease_release(struct lease *l)
{
	lease_drop(l);
	free(l->stem);
	free(l->path);
	*l = (struct lease){.fd = -1};
}
