#ifndef HUB_PLACE_H
#define HUB_PLACE_H

/*
 * What the tests of partial.c share: a folder with a content, a disk whose
 * faults can be ordered, and looks at what lies there. The test defines
 * _GNU_SOURCE before.
 */

#include "partial.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"
#include "wait.h"

/* What the system says to the next syncs of bytes and notes, and to writes of
 * notes: an errno, or 0. times: that many times, then 0. */
static struct {
	atomic_int bytes, notes, writes;
	atomic_int times;
	atomic_uint synced;         /* good syncs of bytes */
	char folders[512];          /* what was synced of them, one a line */
	void (*meanwhile)(void *x); /* runs within a sync of bytes */
	void *x;
	bool
	    replace; /* another program replaces the next file that is renamed */
	bool no_rename; /* no file can be renamed */
	uint64_t room;  /* what looks free; 0: what is */
} disk;

static inline bool
is_named(int fd, const char *kind)
{
	char link[32], name[512];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name) - 1);
	if (n < 0)
		return false;
	name[n] = '\0';
	return strstr(name, kind) != NULL;
}

/* In place of the disk, which is slow, and has no faults to order. */
static inline int
sync_as_told(int fd)
{
	bool notes = is_named(fd, ".state");
	atomic_int *fault = notes ? &disk.notes : &disk.bytes;

	if (!notes && disk.meanwhile)
		disk.meanwhile(disk.x);
	errno = *fault;
	if (disk.times > 0 && --disk.times == 0)
		*fault = 0;
	if (errno)
		return -1;
	disk.synced += !notes;
	return 0;
}

static inline int
write_as_told(int fd, const void *p, size_t n, uint64_t offset,
    const char *name, struct err *e)
{
	errno = disk.writes;
	if (errno && is_named(fd, ".state"))
		return err_sys(e, ERR_FILE, "cannot write '%s'", name);
	return file_pwrite(fd, p, n, offset, name, e);
}

static inline int
sync_folder_of(const struct folder *f, const char *path, struct err *e)
{
	size_t n = strlen(disk.folders);

	(void)f, (void)e;
	snprintf(disk.folders + n, sizeof(disk.folders) - n, "%.*s\n",
	    strrchr(path, '/') ? (int)(strrchr(path, '/') - path) : 0, path);
	return 0;
}

static inline int
publish_as_told(
    const struct folder *f, const char *from, const char *to, struct err *e)
{
	if (disk.no_rename)
		return err_set(e, ERR_FILE, "it cannot be renamed");
	if (disk.replace && folder_write(f, from, str_of("new"), e) < 0)
		return -1;
	disk.replace = false;
	return folder_publish(f, from, to, e);
}

static inline int
traits_as_told(const struct folder *f, struct folder_traits *t, struct err *e)
{
	int rv = folder_traits(f, t, e);

	if (rv == 0 && disk.room)
		t->free = disk.room;
	return rv;
}

#define fdatasync sync_as_told
#define folder_traits(f, t, e) traits_as_told(f, t, e)
#define folder_publish publish_as_told
#define folder_sync sync_folder_of
#define file_pwrite write_as_told
#include "../../partial.c"
#include "../../repair.c"
#undef fdatasync
#undef folder_traits
#undef folder_publish
#undef folder_sync
#undef file_pwrite

#define BLOCK ((uint64_t)PARTIAL_BLOCK)
#define PREFIX ".cache/x/"

/* A folder and a content. */
struct place {
	char root[SCRATCH_PATH];
	struct folder f;
	struct partial_setup setup;
	struct digest want;
	uint64_t size;
	const unsigned char *bytes;
};

static inline uint32_t
next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Finds out what the folder is like, as if it were on a local disk. */
static inline void
place_look(struct place *p)
{
	struct err e;

	CHECK(folder_open(&p->f, p->root, false, &e) == 0);
	CHECK(partial_setup(&p->f, &p->setup, &e) == 0);
	CHECK(partial_prepare(&p->f, &p->setup, &e) == 0);
	CHECK(folder_make_parents(&p->f, PREFIX "x", &e) == 0);
	p->setup.traits.network = false;
	p->setup.traits.sparse = true;
	memset(p->setup.self.boot, 7, 16);
	p->setup.self.pids = 9;
}

/* Contents, each made once. */
static struct content {
	uint64_t size;
	unsigned char *bytes;
	struct digest digest;
} contents[32];

static inline const struct content *
content_of(uint64_t size)
{
	struct content *c = contents;
	uint32_t seed = (uint32_t)size;
	struct hash h;

	while (c->bytes && c->size != size)
		c++;
	if (c->bytes)
		return c;
	if (c == contents + countof(contents) - 1)
		abort();
	c->size = size;
	c->bytes = xmalloc((size_t)size + 1);
	for (size_t i = 0; i < size; i++) /* lower bits repeat soon */
		c->bytes[i] = (unsigned char)(next(&seed) >> 16 | 1);
	hash_init(&h, HASH_SHA256, size);
	hash_update(&h, c->bytes, (size_t)size);
	hash_final(&h, &c->digest);
	return c;
}

static inline void
place_init(struct place *p, uint64_t size)
{
	const struct content *c = content_of(size);

	scratch_make(p->root);
	place_look(p);
	p->size = size;
	p->bytes = c->bytes;
	p->want = c->digest;
}

static inline void
place_release(struct place *p)
{
	folder_close(&p->f);
	scratch_remove(p->root);
}

static inline void
path_of(const struct place *p, const char *kind, char out[160])
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(&p->want, hex);
	snprintf(out, 160, "%s/%s%s.%s", p->root, PREFIX, hex, kind);
}

static inline struct partial *
open_as(struct place *p, bool resume, enum partial_found *found, uint64_t *had,
    struct err *e)
{
	return partial_open_on(
	    &p->setup, &p->f, PREFIX, &p->want, p->size, resume, found, had, e);
}

/* Opens and checks what was found. */
static inline struct partial *
must_open(struct place *p, bool resume, enum partial_found want, uint64_t bytes)
{
	enum partial_found found = PARTIAL_NEW;
	uint64_t had = 0;
	struct err e = {0};
	struct partial *part = open_as(p, resume, &found, &had, &e);

	if (!part)
		printf("%s\n", e.msg);
	CHECK(part != NULL);
	CHECK(found == want);
	CHECK(had == bytes);
	if (had != bytes)
		printf("had %llu, not %llu\n", (unsigned long long)had,
		    (unsigned long long)bytes);
	return part;
}

/* Writes [from, to), which begins with a block, in pieces. */
static inline int
put(struct place *p, struct partial *part, uint64_t from, uint64_t to,
    struct err *e)
{
	const uint64_t piece = 300007;
	uint64_t sum = 0;

	for (uint64_t at = from; at < to;) {
		size_t n = (size_t)(to - at < piece ? to - at : piece);

		if (partial_write(part, p->bytes + at, n, at, &sum, e) < 0)
			return -1;
		at += n;
	}
	return 0;
}

static inline void
fill(struct place *p, struct partial *part, uint64_t from, uint64_t to)
{
	struct err e;

	CHECK(put(p, part, from, to, &e) == 0);
}

static inline bool
has(struct partial *part, size_t block)
{
	return partial_run_end(part, blocks_begin(block)) > blocks_begin(block);
}

/* Reads block i; gives its sum, as the hasher takes it. */
static inline uint32_t
sum_of(struct place *p, struct partial *part, size_t i, bool *right)
{
	uint64_t begin = blocks_begin(i);
	size_t n = (size_t)(blocks_end(p->size, i) - begin);
	unsigned char *got = xmalloc(n);
	struct err e;
	uint32_t sum = 0;

	*right = false;
	if (partial_read(part, got, n, begin, &e) == 0) {
		*right = memcmp(got, p->bytes + begin, n) == 0;
		sum = hash_sum_final(hash_sum(0, 0, got, n));
	}
	free(got);
	return sum;
}

/* Looks at each block that is here, as the hasher does; gives how many were
 * found to differ, each of which an earlier run wrote. */
static inline unsigned
look_at_all(struct place *p, struct partial *part)
{
	unsigned lost = 0;

	for (size_t i = 0; i < state_blocks(p->size); i++) {
		bool right;
		enum partial_check how;

		if (!has(part, i))
			continue;
		how = partial_check(part, i, sum_of(p, part, i, &right));
		CHECK_ROW(i, how != PARTIAL_LOST);
		CHECK_ROW(i, (how == PARTIAL_GOOD) == right);
		CHECK_ROW(i, has(part, i) == right);
		lost += how != PARTIAL_GOOD;
	}
	return lost;
}

/* What is here has the right bytes, and is counted. */
static inline bool
is_true(struct place *p, struct partial *part)
{
	uint64_t here = 0;
	bool right;

	for (size_t i = 0; i < state_blocks(p->size); i++) {
		if (!has(part, i))
			continue;
		here += blocks_end(p->size, i) - blocks_begin(i);
		sum_of(p, part, i, &right);
		if (!right)
			return false;
	}
	return here == partial_here(part);
}

/* The note about block i, as it stands in the file. */
static inline uint32_t
noted(const struct place *p, size_t i)
{
	unsigned char text[4] = {0};
	char path[160];
	int fd;

	path_of(p, "state", path);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0 && pread(fd, text, 4, (off_t)state_at(i)) == 4);
	close(fd);
	return (uint32_t)bytes_get_le(text, 4);
}

/* Only the blocks whose bits are set in map are here, and noted. */
static inline bool
only(struct place *p, struct partial *part, unsigned map)
{
	for (size_t i = 0; i < state_blocks(p->size); i++)
		if (has(part, i) != (map >> i & 1) ||
		    (noted(p, i) != 0) != (map >> i & 1))
			return false;
	return is_true(p, part);
}

/* Fetches the rest, publishes, and looks at what was published. */
static inline void
complete(struct place *p, struct partial *part)
{
	uint64_t first, end;
	const char *name;
	struct buf b = buf_make((size_t)p->size + 1);
	struct stat st;
	struct err e;

	while (partial_missing(part, 0, 3 * BLOCK, &first, &end) &&
	       put(p, part, first, end, &e) == 0)
		;
	CHECK(partial_here(part) == p->size && is_true(p, part));
	CHECK(partial_finish(part, &name, &e) == 0);
	CHECK(folder_publish(&p->f, name, "done", &e) == 0);
	partial_close(part, true);
	CHECK(folder_read(&p->f, "done", &b, &e) == 0);
	CHECK(b.len == p->size && memcmp(b.s, p->bytes, b.len) == 0);
	CHECK(folder_stat(&p->f, "done", &st, &e) == 0);
	CHECK((st.st_mode & 0777) == p->setup.traits.maker.public);
	buf_release(&b);
}

/* Flips a bit of a file. */
static inline void
flip(const struct place *p, const char *kind, uint64_t at, unsigned bit)
{
	unsigned char c = 0;
	char path[160];
	int fd;

	path_of(p, kind, path);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0 && pread(fd, &c, 1, (off_t)at) == 1);
	c ^= (unsigned char)(1u << bit);
	CHECK(pwrite(fd, &c, 1, (off_t)at) == 1);
	close(fd);
}

/* An earlier run that left these blocks. */
static inline void
leave_blocks(struct place *p, unsigned map)
{
	struct err e;
	struct partial *part = open_as(p, false, NULL, NULL, &e);

	for (size_t i = 0; i < state_blocks(p->size); i++)
		if (map >> i & 1)
			fill(p, part, blocks_begin(i), blocks_end(p->size, i));
	partial_close(part, false);
}

static inline void
overwrite(const char *path, const void *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);

	CHECK(write(fd, text, n) == (ssize_t)n);
	close(fd);
}

/* At the end of a test's main(). */
/* Runs it in a process of its own, for which the place is a file system of that
 * size; it returns 0, or another number for what went wrong. */
static inline void
place_on_small_disk(struct place *p, const char *size,
    int (*run)(struct place *p, bool flag), bool flag)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("t", p->root, "tmpfs", 0, size) < 0)
			_exit(77);
		test_failed = 0;
		status = run(p, flag);
		fflush(stdout);
		_exit(status);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		puts("skipped: no mount of a small tmpfs without root");
	else
		CHECK_ROW(WEXITSTATUS(status), status == 0);
}

static inline int
place_end(void)
{
	for (size_t i = 0; i < countof(contents); i++)
		free(contents[i].bytes);
	return test_end();
}

#endif
