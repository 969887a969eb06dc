#define _GNU_SOURCE /* unshare, flock, sync_file_range */

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
} disk;

static bool
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
static int
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

static int
write_as_told(int fd, const void *p, size_t n, uint64_t offset,
    const char *name, struct err *e)
{
	errno = disk.writes;
	if (errno && is_named(fd, ".state"))
		return err_sys(e, ERR_FILE, "cannot write '%s'", name);
	return file_pwrite(fd, p, n, offset, name, e);
}

static int
sync_folder_of(const struct folder *f, const char *path, struct err *e)
{
	size_t n = strlen(disk.folders);

	(void)f, (void)e;
	snprintf(disk.folders + n, sizeof(disk.folders) - n, "%.*s\n",
	    strrchr(path, '/') ? (int)(strrchr(path, '/') - path) : 0, path);
	return 0;
}

static int
publish_as_told(
    const struct folder *f, const char *from, const char *to, struct err *e)
{
	if (disk.replace && folder_write(f, from, str_of("new"), e) < 0)
		return -1;
	disk.replace = false;
	return folder_publish(f, from, to, e);
}

#define fdatasync sync_as_told
#define folder_publish publish_as_told
#define folder_sync sync_folder_of
#define file_pwrite write_as_told
#include "../../partial.c"
#undef fdatasync
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

static uint32_t
next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Finds out what the folder is like, as if it were on a local disk. */
static void
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

static const struct content *
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

static void
place_init(struct place *p, uint64_t size)
{
	const struct content *c = content_of(size);

	scratch_make(p->root);
	place_look(p);
	p->size = size;
	p->bytes = c->bytes;
	p->want = c->digest;
}

static void
place_release(struct place *p)
{
	folder_close(&p->f);
	scratch_remove(p->root);
}

static void
path_of(const struct place *p, const char *kind, char out[160])
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(&p->want, hex);
	snprintf(out, 160, "%s/%s%s.%s", p->root, PREFIX, hex, kind);
}

static unsigned
count_files(const struct place *p)
{
	char cmd[96];
	unsigned n = 99;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "find %s -type f | wc -l", p->root);
	f = popen(cmd, "r");
	CHECK(f && fscanf(f, "%u", &n) == 1);
	pclose(f);
	return n;
}

static struct partial *
open_as(struct place *p, bool resume, enum partial_found *found, uint64_t *had,
    struct err *e)
{
	return partial_open_on(
	    &p->setup, &p->f, PREFIX, &p->want, p->size, resume, found, had, e);
}

/* Opens and checks what was found. */
static struct partial *
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
static int
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

static void
fill(struct place *p, struct partial *part, uint64_t from, uint64_t to)
{
	struct err e;

	CHECK(put(p, part, from, to, &e) == 0);
}

static bool
has(struct partial *part, size_t block)
{
	return partial_run_end(part, begin_of(block)) > begin_of(block);
}

/* Reads block i; gives its sum, as the hasher takes it. */
static uint32_t
sum_of(struct place *p, struct partial *part, size_t i, bool *right)
{
	uint64_t begin = begin_of(i);
	size_t n = (size_t)(end_of(p->size, i) - begin);
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
static unsigned
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
static bool
is_true(struct place *p, struct partial *part)
{
	uint64_t here = 0;
	bool right;

	for (size_t i = 0; i < state_blocks(p->size); i++) {
		if (!has(part, i))
			continue;
		here += end_of(p->size, i) - begin_of(i);
		sum_of(p, part, i, &right);
		if (!right)
			return false;
	}
	return here == partial_here(part);
}

/* The note about block i, as it stands in the file. */
static uint32_t
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
static bool
only(struct place *p, struct partial *part, unsigned map)
{
	for (size_t i = 0; i < state_blocks(p->size); i++)
		if (has(part, i) != (map >> i & 1) ||
		    (noted(p, i) != 0) != (map >> i & 1))
			return false;
	return is_true(p, part);
}

/* Fetches the rest, publishes, and looks at what was published. */
static void
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

static void
test_small(void)
{
	static const uint64_t size[] = {0, 1, 1000, BLOCK - 1, BLOCK};

	for (size_t i = 0; i < countof(size); i++) {
		struct place p;
		struct partial *part, *other;
		struct err e;

		place_init(&p, size[i]);
		part = must_open(&p, true, PARTIAL_NEW, 0);
		other = must_open(&p, false, PARTIAL_NEW, 0);
		CHECK_ROW(i, count_files(&p) == 2);
		CHECK_ROW(i, !partial_in_order(part));
		CHECK_ROW(i, partial_tend(part, &e) == 0);
		complete(&p, part);
		CHECK_ROW(i, count_files(&p) == 2);
		partial_close(other, false);
		CHECK_ROW(i, count_files(&p) == 1);
		CHECK_ROW(i, partial_left(&p.f, PREFIX, &p.want, p.size) == 0);
		place_release(&p);
	}
	partial_close(NULL, false);
}

static void
test_missing(void)
{
	struct place p;
	struct partial *part;
	uint64_t first, end;

	place_init(&p, 5 * BLOCK + 3);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	CHECK(partial_size(part) == p.size);
	CHECK(partial_missing(part, 0, 2 * BLOCK, &first, &end));
	CHECK(first == 0 && end == 2 * BLOCK);
	CHECK(partial_missing(part, 0, 2 * BLOCK + 700001, &first, &end));
	CHECK(first == 0 && end == 2 * BLOCK);
	CHECK(partial_missing(part, 0, UINT64_MAX, &first, &end));
	CHECK(first == 0 && end == p.size);
	CHECK(partial_missing(part, 0, 1, &first, &end) && end == BLOCK);
	/* From the next block on: another range has the rest of this one. */
	CHECK(partial_missing(part, 1, 2 * BLOCK, &first, &end));
	CHECK(first == BLOCK && end == 3 * BLOCK);
	CHECK(partial_missing(part, BLOCK - 1, 1, &first, &end));
	CHECK(first == BLOCK && end == 2 * BLOCK);
	CHECK(partial_missing(part, BLOCK, 1, &first, &end) && first == BLOCK);
	CHECK(partial_missing(part, 5 * BLOCK, 1, &first, &end));
	CHECK(first == 5 * BLOCK && end == p.size);
	CHECK(!partial_missing(part, 5 * BLOCK + 1, BLOCK, &first, &end));
	CHECK(!partial_missing(part, p.size - 1, 1, &first, &end));
	CHECK(!partial_missing(part, p.size, 1, &first, &end));
	CHECK(!partial_missing(part, UINT64_MAX, 1, &first, &end));
	fill(&p, part, 2 * BLOCK, 3 * BLOCK);
	CHECK(partial_missing(part, 0, UINT64_MAX, &first, &end));
	CHECK(first == 0 && end == 2 * BLOCK);
	CHECK(partial_missing(part, BLOCK + 1, UINT64_MAX, &first, &end));
	CHECK(first == 3 * BLOCK && end == p.size);
	complete(&p, part);
	CHECK(count_files(&p) == 1);
	place_release(&p);
}

/* A block counts once it is whole, by bytes that came in order. */
static void
test_write(void)
{
	struct place p;
	struct partial *part;
	uint64_t sum = 0, other = 0;
	bool right;
	struct err e;

	place_init(&p, 5 * BLOCK + 3);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	CHECK(partial_write(part, p.bytes, 700001, 0, &sum, &e) == 0 && sum);
	CHECK(partial_write(part, p.bytes, 0, 700001, &sum, &e) == 0 && sum);
	CHECK(partial_here(part) == 0 && partial_run_end(part, 0) == 0);
	CHECK(only(&p, part, 0));
	/* Two ranges side by side: each has its sum. */
	CHECK(partial_write(part, p.bytes + 3 * BLOCK, BLOCK + 1, 3 * BLOCK,
		  &other, &e) == 0);
	CHECK(other == hash_sum(0, 0, p.bytes + 4 * BLOCK, 1));
	CHECK(only(&p, part, 1u << 3));
	CHECK(partial_write(part, p.bytes + 700001, BLOCK - 1 - 700001, 700001,
		  &sum, &e) == 0);
	CHECK(partial_here(part) == BLOCK);
	/* Over the end of the block, with one call. */
	CHECK(partial_write(part, p.bytes + BLOCK - 1, BLOCK + 3, BLOCK - 1,
		  &sum, &e) == 0);
	CHECK(only(&p, part, 1u << 3 | 3));
	CHECK(sum == hash_sum(0, 0, p.bytes + 2 * BLOCK, 2));
	CHECK(partial_run_end(part, 0) == 2 * BLOCK);
	CHECK(partial_run_end(part, 5) == 2 * BLOCK);
	CHECK(partial_run_end(part, 2 * BLOCK) == 2 * BLOCK);
	CHECK(partial_run_end(part, p.size) == p.size);
	/* The last, short one. */
	other = 0;
	fill(&p, part, 5 * BLOCK, p.size);
	CHECK(partial_here(part) == 3 * BLOCK + 3);
	CHECK(partial_run_end(part, 5 * BLOCK) == p.size);
	for (size_t i = 0; i < 6; i++)
		CHECK_ROW(i, !has(part, i) ||
				 noted(&p, i) == sum_of(&p, part, i, &right));
	/* Outside. */
	CHECK(partial_write(part, p.bytes, 1, p.size, &other, &e) < 0);
	CHECK(partial_write(part, p.bytes, 4, p.size - 3, &other, &e) < 0);
	CHECK(partial_write(part, p.bytes, 1, UINT64_MAX, &other, &e) < 0);
	CHECK(!other && partial_finish(part, &(const char *){NULL}, &e) < 0);
	complete(&p, part);
	place_release(&p);
}

static void
test_resume(void)
{
	struct place p;
	struct partial *part;
	struct stat st;
	char path[160];

	place_init(&p, 9 * BLOCK - 1);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	partial_close(part, false);
	CHECK(count_files(&p) == 0);
	part = must_open(&p, false, PARTIAL_NEW, 0);
	fill(&p, part, 0, 3 * BLOCK);
	fill(&p, part, 8 * BLOCK, p.size);
	partial_close(part, false);
	/* By another kernel, too. */
	memcpy(&p.setup.self.boot, "another", 8);
	part = must_open(&p, true, PARTIAL_RESUMED, 4 * BLOCK - 1);
	CHECK(only(&p, part, 0x107) && look_at_all(&p, part) == 0);
	path_of(&p, "part", path);
	CHECK(stat(path, &st) == 0 && st.st_size == (off_t)p.size);
	partial_close(part, false);
	part = must_open(&p, false, PARTIAL_DROPPED, 4 * BLOCK - 1);
	CHECK(partial_here(part) == 0 && only(&p, part, 0));
	CHECK(stat(path, &st) == 0 && st.st_blocks < 100);
	fill(&p, part, BLOCK, 2 * BLOCK);
	partial_close(part, false);
	part = must_open(&p, true, PARTIAL_RESUMED, BLOCK);
	CHECK(only(&p, part, 2));
	complete(&p, part);
	CHECK(count_files(&p) == 1);
	place_release(&p);
}

static void
test_left(void)
{
	struct place p;
	struct partial *part;
	struct digest other;
	char path[160];

	place_init(&p, 7 * BLOCK + 1);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) == 0);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) == 0);
	fill(&p, part, 0, 2 * BLOCK);
	fill(&p, part, 7 * BLOCK, p.size);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) == 2 * BLOCK + 1);
	partial_close(part, false);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) == 2 * BLOCK + 1);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size + 1) == 0);
	CHECK(partial_left(&p.f, PREFIX, &p.want, UINT64_MAX) == 0);
	CHECK(partial_left(&p.f, "", &p.want, p.size) == 0);
	other = p.want;
	other.b[0] ^= 1;
	CHECK(partial_left(&p.f, PREFIX, &other, p.size) == 0);
	path_of(&p, "part", path);
	CHECK(truncate(path, 2 * BLOCK - 1) == 0);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) == BLOCK);
	CHECK(unlink(path) == 0);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) == 0);
	place_release(&p);
}

/* Flips a bit of a file. */
static void
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
static void
leave_blocks(struct place *p, unsigned map)
{
	struct err e;
	struct partial *part = open_as(p, false, NULL, NULL, &e);

	for (size_t i = 0; i < state_blocks(p->size); i++)
		if (map >> i & 1)
			fill(p, part, begin_of(i), end_of(p->size, i));
	partial_close(part, false);
}

/* Another program wrote there, or the disk flipped a bit: that block comes
 * again, and no other. */
static void
test_rotten(void)
{
	static const uint64_t at[] = {0, 1, 700001, BLOCK - 1, BLOCK,
	    3 * BLOCK + 4096, 4 * BLOCK - 1, 5 * BLOCK, 5 * BLOCK + 1,
	    5 * BLOCK + 2};

	for (size_t i = 0; i < countof(at); i++) {
		struct place p;
		struct partial *part;
		unsigned map = 0x3b, bad = 1u << at[i] / BLOCK;

		place_init(&p, 5 * BLOCK + 3);
		leave_blocks(&p, map);
		flip(&p, "part", at[i], (unsigned)(i % 8));
		part = must_open(&p, true, PARTIAL_RESUMED, 4 * BLOCK + 3);
		CHECK_ROW(i, look_at_all(&p, part) == 1);
		CHECK_ROW(i, only(&p, part, map & ~bad));
		/* The next run knows, too. */
		partial_close(part, false);
		part = must_open(&p, true, PARTIAL_RESUMED,
		    bad == 0x20 ? 4 * BLOCK : 3 * BLOCK + 3);
		CHECK_ROW(i, only(&p, part, map & ~bad));
		complete(&p, part);
		place_release(&p);
	}
}

/* The note is wrong, and the block is not: it comes again, and no other. */
static void
test_note_flipped(void)
{
	for (size_t i = 0; i < 3; i++) {
		struct place p;
		struct partial *part;

		place_init(&p, 2 * BLOCK + 3);
		leave_blocks(&p, 7);
		for (unsigned bit = 0; bit < 32; bit++) {
			bool right;

			flip(&p, "state", state_at(i) + bit / 8, bit % 8);
			part = must_open(&p, true, PARTIAL_RESUMED, p.size);
			CHECK_ROW(i,
			    partial_check(part, i,
				sum_of(&p, part, i, &right)) == PARTIAL_ROTTEN);
			CHECK_ROW(i, only(&p, part, 7 & ~(1u << i)));
			fill(&p, part, begin_of(i), end_of(p.size, i));
			CHECK_ROW(i, look_at_all(&p, part) == 0);
			partial_close(part, false);
		}
		complete(&p, must_open(&p, true, PARTIAL_RESUMED, p.size));
		place_release(&p);
	}
}

/* Writes a state that notes the sum for each block. */
static void
plant(const struct place *p, uint32_t sum)
{
	struct state s = {.want = p->want, .size = p->size};
	size_t n = state_length(p->size);
	unsigned char *text = xcalloc(1, n);
	char path[160];
	int fd;

	state_format_head(&s, text);
	for (size_t i = 0; i < state_blocks(p->size); i++)
		bytes_put_le(text + state_at(i), sum, 4);
	path_of(p, "state", path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && write(fd, text, n) == (ssize_t)n);
	close(fd);
	path_of(p, "part", path);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)p->size) == 0);
	close(fd);
	free(text);
}

/* A state that claims all of a file that is a hole. With the right sums of
 * zeros the hash tells. */
static void
test_planted(void)
{
	for (uint32_t sum = 1; sum < 3; sum++) {
		struct place p;
		struct partial *part;

		place_init(&p, 5 * BLOCK + 3);
		plant(&p, sum);
		part = must_open(&p, true, PARTIAL_RESUMED, p.size);
		for (size_t i = 0; i < 6; i++) {
			bool right;
			uint32_t got = sum_of(&p, part, i, &right);

			CHECK_ROW(i, got == 1 && !right);
			CHECK_ROW(
			    i, partial_check(part, i, got) ==
				   (sum == 1 ? PARTIAL_GOOD : PARTIAL_ROTTEN));
		}
		CHECK(partial_here(part) == (sum == 1 ? p.size : 0));
		CHECK(partial_forget(part) == (sum == 1 ? p.size : 0));
		CHECK(only(&p, part, 0));
		complete(&p, part);
		place_release(&p);
	}
}

/* What was copied elsewhere, with cp, is looked at like any other. */
static void
test_copied(void)
{
	struct place p, q;
	struct partial *part;
	char cmd[128];

	place_init(&p, 5 * BLOCK + 3);
	place_init(&q, p.size);
	leave_blocks(&p, 0x2b);
	snprintf(cmd, sizeof(cmd), "cp -r %s/.cache %s", p.root, q.root);
	CHECK(system(cmd) == 0);
	memset(q.setup.self.boot, 1, 16);
	part = must_open(&q, true, PARTIAL_RESUMED, 3 * BLOCK + 3);
	CHECK(look_at_all(&q, part) == 0 && only(&q, part, 0x2b));
	/* The one does not disturb the other. */
	leave_blocks(&p, 0);
	CHECK(look_at_all(&q, part) == 0);
	complete(&q, part);
	place_release(&q);
	place_release(&p);
}

/* The note was on the disk before the block was: pages of it are zero. */
static void
test_power_cut(void)
{
	static const struct {
		uint64_t at, n;
		unsigned lost;
	} t[] = {
	    {0, BLOCK, 1},
	    {4096, 4096, 1},
	    {3 * BLOCK - 4096, 8192, 0xc},
	    {BLOCK, 3 * BLOCK, 0xe},
	    {5 * BLOCK, 3, 0x20},
	    {0, 5 * BLOCK + 3, 0x3f},
	};
	unsigned char *zero = xcalloc(1, 6 * BLOCK);

	for (size_t i = 0; i < countof(t); i++) {
		struct place p;
		struct partial *part;
		char path[160];
		int fd;

		place_init(&p, 5 * BLOCK + 3);
		leave_blocks(&p, 0x3f);
		path_of(&p, "part", path);
		fd = open(path, O_WRONLY);
		CHECK(fd >= 0 && pwrite(fd, zero, (size_t)t[i].n,
				     (off_t)t[i].at) == (ssize_t)t[i].n);
		close(fd);
		part = must_open(&p, true, PARTIAL_RESUMED, p.size);
		look_at_all(&p, part);
		CHECK_ROW(i, only(&p, part, 0x3f & ~t[i].lost));
		complete(&p, part);
		place_release(&p);
	}
	free(zero);
}

static void
overwrite(const char *path, const void *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);

	CHECK(write(fd, text, n) == (ssize_t)n);
	close(fd);
}

/* The state, whole, as an earlier run left it. */
static struct buf
state_text(const struct place *p)
{
	struct buf b = buf_make(1024);
	struct err e;
	char path[160];

	path_of(p, "state", path);
	CHECK(folder_read(&p->f, path + strlen(p->root) + 1, &b, &e) == 0);
	return b;
}

/* Opens with a damaged state, and looks; gives the bytes to look at. */
static uint64_t
looked_at(struct place *p)
{
	struct err e;
	uint64_t had = 1;
	struct partial *part = open_as(p, true, NULL, &had, &e);
	bool right;

	CHECK(part != NULL && partial_here(part) == had);
	for (size_t i = 0; i < state_blocks(p->size); i++)
		if (has(part, i))
			partial_check(part, i, sum_of(p, part, i, &right));
	CHECK(is_true(p, part));
	partial_close(part, false);
	return had;
}

static void
test_damaged_state(void)
{
	struct place p;
	struct buf b;
	char path[160], data[160];

	place_init(&p, 2 * BLOCK + 1);
	leave_blocks(&p, 7);
	b = state_text(&p);
	path_of(&p, "state", path);
	path_of(&p, "part", data);
	for (size_t i = 0; i < b.len; i++) {
		/* The owner counts for nothing on a local disk, but for the
		 * sum of the head. */
		b.s[i] = (char)(b.s[i] ^ 0x10);
		overwrite(path, b.s, b.len);
		overwrite(data, p.bytes, (size_t)p.size);
		b.s[i] = (char)(b.s[i] ^ 0x10);
		CHECK_ROW(i, looked_at(&p) == (i < STATE_HEAD ? 0 : p.size));
	}
	for (size_t i = 0; i <= b.len + 1; i++) {
		char *text = xcalloc(1, b.len + 1);

		memcpy(text, b.s, b.len);
		overwrite(path, text, i);
		overwrite(data, p.bytes, (size_t)p.size);
		CHECK_ROW(i, partial_left(&p.f, PREFIX, &p.want, p.size) ==
				 (i == b.len ? p.size : 0));
		CHECK_ROW(i, looked_at(&p) == (i == b.len ? p.size : 0));
		free(text);
	}
	buf_release(&b);
	place_release(&p);
}

/* A file of bytes that is too short, too long, or not there: what lies beyond
 * its end is not here. */
static void
test_damaged_part(void)
{
	static const struct {
		off_t length;
		uint64_t here;
	} t[] = {
	    {-1, 0},
	    {0, 0},
	    {1, 0},
	    {BLOCK - 1, 0},
	    {BLOCK, BLOCK},
	    {2 * BLOCK - 1, BLOCK},
	    {4 * BLOCK, 3 * BLOCK}, /* block 2 is not noted */
	    {4 * BLOCK + 2, 3 * BLOCK},
	    {4 * BLOCK + 3, 3 * BLOCK + 3},
	    {4 * BLOCK + 4, 0},
	};
	struct place p;
	struct buf b;
	char path[160], data[160];

	place_init(&p, 4 * BLOCK + 3);
	leave_blocks(&p, 0x1b);
	b = state_text(&p);
	path_of(&p, "state", path);
	path_of(&p, "part", data);
	for (size_t i = 0; i < countof(t); i++) {
		overwrite(path, b.s, b.len);
		overwrite(data, p.bytes, (size_t)p.size);
		CHECK((t[i].length < 0 ? unlink(data)
				       : truncate(data, t[i].length)) == 0);
		CHECK_ROW(i,
		    partial_left(&p.f, PREFIX, &p.want, p.size) == t[i].here);
		CHECK_ROW(i, looked_at(&p) == t[i].here);
	}
	/* A run that was killed right after it made the file long again. */
	overwrite(path, b.s, b.len);
	overwrite(data, p.bytes, BLOCK + 1);
	CHECK(truncate(data, (off_t)p.size) == 0);
	CHECK(looked_at(&p) == 3 * BLOCK + 3);
	complete(&p, must_open(&p, true, PARTIAL_RESUMED, BLOCK));
	buf_release(&b);
	place_release(&p);
}

static void
test_check(void)
{
	struct place p;
	struct partial *part;
	uint32_t sum[6];
	bool right;

	place_init(&p, 5 * BLOCK + 3);
	leave_blocks(&p, 0x23);
	part = must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK + 3);
	fill(&p, part, 2 * BLOCK, 4 * BLOCK);
	for (size_t i = 0; i < 6; i++)
		sum[i] = sum_of(&p, part, i, &right);
	for (size_t i = 0; i < 6; i++)
		if (i != 4)
			CHECK_ROW(
			    i, partial_check(part, i, sum[i]) == PARTIAL_GOOD);
	CHECK(only(&p, part, 0x2f));
	/* Of this run, and of an earlier one. */
	CHECK(partial_check(part, 2, sum[2] ^ 1) == PARTIAL_LOST);
	CHECK(partial_check(part, 1, sum[1] ^ 1) == PARTIAL_ROTTEN);
	CHECK(only(&p, part, 0x29));
	/* One that cannot be read. */
	CHECK(partial_check(part, 3, 0) == PARTIAL_LOST);
	CHECK(partial_check(part, 5, 0) == PARTIAL_ROTTEN);
	CHECK(only(&p, part, 1));
	/* One that came again is this run's. */
	fill(&p, part, BLOCK, 2 * BLOCK);
	CHECK(partial_check(part, 1, sum[1]) == PARTIAL_GOOD);
	CHECK(partial_check(part, 1, sum[2]) == PARTIAL_LOST);
	/* One that is not here stays so. */
	CHECK(partial_check(part, 1, sum[1]) != PARTIAL_GOOD);
	CHECK(only(&p, part, 1) && partial_here(part) == BLOCK);
	complete(&p, part);
	place_release(&p);
}

/* Of a private copy there are no notes: only what cannot be read is missing. */
static void
test_check_private(void)
{
	struct place p;
	struct partial *a, *b;

	place_init(&p, 2 * BLOCK + 3);
	a = must_open(&p, true, PARTIAL_NEW, 0);
	b = must_open(&p, true, PARTIAL_PRIVATE, 0);
	fill(&p, b, 0, p.size);
	CHECK(partial_check(b, 0, 5) == PARTIAL_GOOD);
	CHECK(partial_check(b, 2, 5) == PARTIAL_GOOD);
	CHECK(partial_check(b, 2, 0) == PARTIAL_LOST);
	CHECK(partial_here(b) == 2 * BLOCK);
	CHECK(partial_forget_range(b, BLOCK, p.size) == BLOCK);
	CHECK(partial_here(b) == BLOCK && partial_forget(b) == 0);
	CHECK(partial_here(b) == 0);
	complete(&p, b);
	partial_close(a, false);
	CHECK(count_files(&p) == 1);
	place_release(&p);
}

static void
test_forget(void)
{
	struct place p;
	struct partial *part;

	place_init(&p, 5 * BLOCK + 3);
	leave_blocks(&p, 0x23);
	part = must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK + 3);
	fill(&p, part, 2 * BLOCK, 4 * BLOCK);
	CHECK(only(&p, part, 0x2f));
	/* First what earlier runs left, then what this one brought. */
	CHECK(partial_forget(part) == 2 * BLOCK + 3 && only(&p, part, 0xc));
	fill(&p, part, 0, BLOCK);
	CHECK(partial_forget(part) == 0 && only(&p, part, 0));
	CHECK(partial_forget(part) == 0 && only(&p, part, 0));
	partial_close(part, false);
	CHECK(count_files(&p) == 0);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	complete(&p, part);
	place_release(&p);
}

static void
test_forget_range(void)
{
	static const struct {
		uint64_t first, end;
		unsigned stays;
	} t[] = {
	    {0, 0, 0x3f},
	    {0, 1, 0x3f}, /* an earlier run's */
	    {0, BLOCK + 1, 0x3d},
	    {0, BLOCK, 0x3f},
	    {BLOCK, 3 * BLOCK, 0x39},
	    {2 * BLOCK, 3 * BLOCK + 700001, 0x33},
	    {4 * BLOCK, 5 * BLOCK + 3, 0x2f},
	    {5 * BLOCK, UINT64_MAX, 0x3f}, /* the same */
	    {0, UINT64_MAX, 0x21},
	    {9 * BLOCK, UINT64_MAX, 0x3f},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct place p;
		struct partial *part;
		uint64_t had;

		place_init(&p, 5 * BLOCK + 3);
		leave_blocks(&p, 0x21);
		part = must_open(&p, true, PARTIAL_RESUMED, BLOCK + 3);
		fill(&p, part, BLOCK, 5 * BLOCK);
		had = partial_forget_range(part, t[i].first, t[i].end);
		CHECK_ROW(i, only(&p, part, t[i].stays));
		CHECK_ROW(i, had == p.size - partial_here(part));
		complete(&p, part);
		place_release(&p);
	}
}

/* The system cannot keep the bytes: of those that were written since the last
 * good sync none counts, in this run and the next. */
static void
test_sync_fails(void)
{
	static const int error[] = {EIO, ENOSPC, EDQUOT};

	for (size_t i = 0; i < 2 * countof(error); i++) {
		struct place p;
		struct partial *part;
		struct err e;
		bool at_end = i >= countof(error);

		place_init(&p, 5 * BLOCK + 3);
		p.setup.sync = 0;
		part = must_open(&p, true, PARTIAL_NEW, 0);
		fill(&p, part, BLOCK, 3 * BLOCK);
		disk.synced = 0;
		disk.folders[0] = '\0';
		CHECK(partial_tend(part, &e) == 0 && disk.synced == 1);
		/* They may be new, too: each that leads to it. */
		CHECK(!strcmp(disk.folders, "\n.cache\n.cache/x\n"));
		/* There is nothing new. */
		CHECK(partial_tend(part, &e) == 0 && disk.synced == 1);
		fill(&p, part, 0, BLOCK);
		fill(&p, part, 3 * BLOCK, p.size);
		CHECK(partial_here(part) == p.size);
		disk.bytes = error[i % countof(error)];
		disk.times = 1;
		CHECK_ROW(
		    i, (at_end ? partial_finish(part, &(const char *){NULL}, &e)
			       : partial_tend(part, &e)) < 0);
		CHECK_ROW(i, e.kind == ERR_FILE);
		CHECK_ROW(i, (strstr(e.hint, "-d") != NULL) ==
				 (error[i % countof(error)] != EIO));
		CHECK_ROW(i, only(&p, part, 6));
		CHECK_ROW(i, partial_here(part) == 2 * BLOCK);
		CHECK(partial_finish(part, &(const char *){NULL}, &e) < 0);
		/* Nor does what is complete after that: some of its bytes
		 * may have come before. */
		fill(&p, part, 5 * BLOCK, p.size);
		CHECK_ROW(i, only(&p, part, 6));
		partial_close(part, false);
		part = must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK);
		CHECK_ROW(i, only(&p, part, 6));
		complete(&p, part);
		place_release(&p);
	}
}

/* What earlier runs left may still wait in the page cache: of that, too, none
 * counts before the first good sync of this run. */
static void
test_first_sync_fails(void)
{
	for (int good = 0; good < 2; good++) {
		struct place p;
		struct partial *part;
		struct err e;

		place_init(&p, 5 * BLOCK + 3);
		leave_blocks(&p, 0x23);
		part = must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK + 3);
		/* It is due at once, whatever the time. */
		disk.bytes = good ? 0 : EIO;
		disk.times = 1;
		CHECK(partial_tend(part, &e) == (good ? 0 : -1));
		CHECK(only(&p, part, good ? 0x23 : 0));
		fill(&p, part, 3 * BLOCK, 4 * BLOCK);
		disk.bytes = EIO;
		disk.times = 1;
		/* Nor does what came since, if that does not last. */
		partial_close(part, false);
		disk.bytes = 0;
		part = good
			   ? must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK + 3)
			   : must_open(&p, true, PARTIAL_NEW, 0);
		CHECK(only(&p, part, good ? 0x23 : 0));
		complete(&p, part);
		place_release(&p);
	}
}

/* A note that cannot be changed, or not be kept, says nothing to the next run.
 * It stays ours: else a second run would have the same file of bytes. */
static void
test_note_fails(void)
{
	for (int how = 0; how < 3; how++) {
		struct place p;
		struct partial *part;
		char path[160], data[160];
		struct err e;

		place_init(&p, 5 * BLOCK + 3);
		p.setup.sync = 0;
		leave_blocks(&p, 0x21);
		path_of(&p, "state", path);
		path_of(&p, "part", data);
		part = must_open(&p, true, PARTIAL_RESUMED, BLOCK + 3);
		CHECK(partial_tend(part, &e) == 0);
		fill(&p, part, BLOCK, 3 * BLOCK);
		CHECK(access(path, F_OK) == 0);
		disk.writes = how == 0 || how == 2 ? ENOSPC : 0;
		disk.notes = how == 1 ? EIO : 0;
		if (how < 2) {
			disk.bytes = EIO;
			CHECK_ROW(how, partial_tend(part, &e) < 0);
			CHECK_ROW(how, partial_here(part) == BLOCK + 3);
		} else {
			CHECK_ROW(how, partial_forget(part) == BLOCK + 3);
			CHECK_ROW(how, partial_here(part) == 2 * BLOCK);
		}
		CHECK_ROW(how, access(path, F_OK) == 0);
		CHECK_ROW(how, is_true(&p, part));
		disk.bytes = disk.writes = disk.notes = 0;
		partial_close(must_open(&p, true, PARTIAL_PRIVATE, 0), false);
		/* The run may go on, and leaves nothing that is believed. */
		fill(&p, part, 4 * BLOCK, p.size);
		CHECK_ROW(how, is_true(&p, part));
		CHECK_ROW(how, look_at_all(&p, part) == 0);
		partial_close(part, false);
		CHECK_ROW(
		    how, partial_left(&p.f, PREFIX, &p.want, p.size) == 0);
		CHECK_ROW(how, access(data, F_OK) == 0);
		complete(&p, must_open(&p, true, PARTIAL_NEW, 0));
		CHECK_ROW(how, count_files(&p) == 1);
		place_release(&p);
	}
}

/* A note that cannot be written when a block is complete ends the run. */
static void
test_note_not_written(void)
{
	struct place p;
	struct partial *part;
	struct err e;
	uint64_t sum = 0;

	place_init(&p, 5 * BLOCK + 3);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	disk.writes = ENOSPC;
	CHECK(partial_write(part, p.bytes, BLOCK - 1, 0, &sum, &e) == 0);
	CHECK(partial_write(part, p.bytes + BLOCK - 1, 1, BLOCK - 1, &sum, &e) <
	      0);
	CHECK(e.kind == ERR_FILE && strstr(e.msg, p.root) &&
	      !strstr(e.msg, ".state"));
	disk.writes = 0;
	partial_close(part, false);
	complete(&p, must_open(&p, true, PARTIAL_NEW, 0));
	place_release(&p);
}

struct meanwhile {
	struct place *p;
	struct partial *part;
	size_t block;
};

/* Block by block, one in each sync. */
static void
write_meanwhile(void *ctx)
{
	struct meanwhile *m = ctx;

	fill(m->p, m->part, begin_of(m->block), end_of(m->p->size, m->block));
	m->block++;
}

/* What comes while a sync is under way may be in it or not: it counts only
 * after the next one. */
static void
test_during_sync(void)
{
	struct place p;
	struct partial *part;
	struct meanwhile m;
	struct err e;

	for (int i = 0; i < 2; i++) {
		place_init(&p, 5 * BLOCK + 3);
		p.setup.sync = 0;
		part = must_open(&p, true, PARTIAL_NEW, 0);
		m = (struct meanwhile){&p, part, 1};
		fill(&p, part, 0, BLOCK);
		disk.meanwhile = write_meanwhile;
		disk.x = &m;
		CHECK(partial_tend(part, &e) == 0 && only(&p, part, 3));
		disk.bytes = EIO;
		disk.times = 1;
		CHECK(partial_tend(part, &e) < 0 && m.block == 3);
		CHECK(only(&p, part, 1));
		/* In the next run. */
		disk.meanwhile = NULL;
		partial_close(part, false);
		part = must_open(&p, true, PARTIAL_RESUMED, BLOCK);
		m = (struct meanwhile){&p, part, 3};
		disk.meanwhile = write_meanwhile;
		CHECK(partial_tend(part, &e) == 0);
		disk.meanwhile = NULL;
		fill(&p, part, 1 * BLOCK, 2 * BLOCK);
		/* Once it is in one, it stays. */
		if (i)
			CHECK(partial_tend(part, &e) == 0);
		disk.bytes = EIO;
		disk.times = 1;
		CHECK(partial_tend(part, &e) == (i ? 0 : -1));
		disk.bytes = 0;
		CHECK(only(&p, part, i ? 0xb : 1));
		partial_close(part, false);
		part =
		    must_open(&p, true, PARTIAL_RESUMED, i ? 3 * BLOCK : BLOCK);
		complete(&p, part);
		place_release(&p);
	}
}

/* Interrupted, and file systems that cannot do it. */
static void
test_odd_syncs(void)
{
	static const int odd[] = {EINTR, EINVAL, ENOSYS};

	for (size_t i = 0; i < countof(odd); i++) {
		struct place p;
		struct partial *part;
		struct err e;

		place_init(&p, 2 * BLOCK + 3);
		p.setup.sync = 0;
		part = must_open(&p, true, PARTIAL_NEW, 0);
		fill(&p, part, 0, BLOCK);
		disk.bytes = disk.notes = odd[i];
		disk.times = odd[i] == EINTR ? 3 : 0;
		if (odd[i] == EINTR)
			disk.notes = 0;
		CHECK_ROW(i, partial_tend(part, &e) == 0);
		CHECK_ROW(i, only(&p, part, 1));
		complete(&p, part);
		disk.bytes = disk.notes = 0;
		CHECK_ROW(i, count_files(&p) == 1);
		place_release(&p);
	}
}

static mode_t
mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mode & 0777 : 01000;
}

/* The mode of the only file whose name ends with .part. */
static mode_t
mode_of_private(const struct place *p)
{
	char cmd[96];
	unsigned mode = 01000;
	FILE *f;

	snprintf(cmd, sizeof(cmd),
	    "find %s -name '*.*.part' -exec stat -c %%a {} +", p->root);
	f = popen(cmd, "r");
	CHECK(f && fscanf(f, "%o", &mode) == 1);
	pclose(f);
	return (mode_t)mode;
}

/* Nobody else can open it before it is published, and then as the umask says;
 * complete() looks at that. */
static void
test_modes(void)
{
	static const mode_t mask[] = {0, 022, 002, 077, 027};

	for (size_t i = 0; i < countof(mask); i++) {
		mode_t old = umask(mask[i]);
		struct place p;
		struct partial *part, *other;
		char path[160], data[160];
		const char *name;
		struct err e;

		place_init(&p, 2 * BLOCK + 1);
		CHECK_ROW(i, p.setup.traits.maker.public == (0666 & ~mask[i]));
		CHECK_ROW(i, p.setup.traits.maker.private == 0600);
		path_of(&p, "state", path);
		path_of(&p, "part", data);
		part = must_open(&p, true, PARTIAL_NEW, 0);
		fill(&p, part, 0, BLOCK);
		CHECK_ROW(i, mode_of(path) == 0600 && mode_of(data) == 0600);
		other = must_open(&p, true, PARTIAL_PRIVATE, 0);
		/* Where nobody else may write, others may read. */
		CHECK_ROW(i, mode_of_private(&p) ==
				 (~mask[i] & 022 ? 0600 : 0666 & ~mask[i]));
		complete(&p, other);
		partial_close(part, false);
		CHECK_ROW(i, mode_of(data) == 0600);
		/* One that could not get its name. */
		part = must_open(&p, true, PARTIAL_RESUMED, BLOCK);
		fill(&p, part, BLOCK, p.size);
		CHECK_ROW(i, partial_finish(part, &name, &e) == 0);
		partial_close(part, false);
		CHECK_ROW(i, mode_of(data) == 0600);
		/* One that an earlier version left. */
		CHECK(chmod(data, 0644) == 0);
		part = must_open(&p, true, PARTIAL_RESUMED, p.size);
		CHECK_ROW(i, mode_of(data) == 0600);
		complete(&p, part);
		p.size = 1000;
		part = must_open(&p, true, PARTIAL_NEW, 0);
		CHECK_ROW(i, mode_of_private(&p) ==
				 (~mask[i] & 022 ? 0600 : 0666 & ~mask[i]));
		complete(&p, part);
		place_release(&p);
		umask(old);
	}
}

/* What stands at a name and is not a file that we made. */
enum strange {
	FOREIGN,
	GROUP,
	OTHERS,
	SYMBOLIC,
	DANGLING,
	FIFO,
	FOLDER,
	LINKED, /* a state only: see test_linked */
	STRANGE
};

static void
put_strange(const struct place *p, const char *path, enum strange how)
{
	char other[160];

	snprintf(other, sizeof(other), "%s/" PREFIX "other", p->root);
	if (how >= SYMBOLIC) {
		CHECK(rename(path, other) == 0);
	}
	switch (how) {
	case FOREIGN:
		CHECK(chown(path, 12345, 12345) == 0);
		break;
	case GROUP:
		CHECK(chmod(path, 0620) == 0);
		break;
	case OTHERS:
		CHECK(chmod(path, 0602) == 0);
		break;
	case SYMBOLIC:
		CHECK(symlink("other", path) == 0);
		break;
	case DANGLING:
		CHECK(symlink("none", path) == 0);
		break;
	case FIFO:
		CHECK(mkfifo(path, 0600) == 0);
		break;
	case FOLDER:
		CHECK(mkdir(path, 0700) == 0);
		break;
	case LINKED:
		CHECK(link(other, path) == 0);
		break;
	case STRANGE:
		break;
	}
}

static bool
same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_mode == b->st_mode &&
	       a->st_uid == b->st_uid && a->st_size == b->st_size &&
	       a->st_nlink == b->st_nlink &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* It is left alone, and so is what it leads to: a copy of our own. */
static void
check_strange(const char *kind, enum strange how, bool network)
{
	struct place p;
	struct partial *part;
	struct stat was[2], is[2];
	char path[160], other[160];

	place_init(&p, 2 * BLOCK + 1);
	p.setup.traits.network = network;
	leave_blocks(&p, 1);
	path_of(&p, kind, path);
	path_of(&p, kind[0] == 's' ? "part" : "state", other);
	put_strange(&p, path, how);
	if (how == SYMBOLIC || how == LINKED)
		snprintf(other, sizeof(other), "%s/" PREFIX "other", p.root);
	CHECK(lstat(path, &was[0]) == 0 && lstat(other, &was[1]) == 0);
	part = must_open(&p, true, PARTIAL_FOREIGN, 0);
	fill(&p, part, 0, p.size);
	complete(&p, part);
	part = must_open(&p, false, PARTIAL_FOREIGN, 0);
	fill(&p, part, BLOCK, 2 * BLOCK);
	partial_close(part, false);
	CHECK_ROW(how, lstat(path, &is[0]) == 0 && same_stat(&was[0], &is[0]));
	CHECK_ROW(how, lstat(other, &is[1]) == 0);
	/* On a network the owner is in the head of the state. */
	if (!network || how == SYMBOLIC || how == LINKED)
		CHECK_ROW(how, same_stat(&was[1], &is[1]));
	snprintf(other, sizeof(other), "%s/" PREFIX "none", p.root);
	CHECK_ROW(how, lstat(other, &is[0]) < 0);
	place_release(&p);
}

static void
test_strange(void)
{
	for (int i = 0; i < STRANGE; i++) {
		enum strange how = (enum strange)i;

		if (how == FOREIGN && getuid()) {
			puts("skipped: only root can give files away");
			continue;
		}
		for (int network = 0; network < 2; network++) {
			check_strange("state", how, network);
			if (how != LINKED)
				check_strange("part", how, network);
		}
	}
}

/* A part that does not exist yet is not waited for: another's state alone. */
static void
test_foreign_alone(void)
{
	struct place p;
	struct partial *part;
	struct stat st;
	char path[160];

	if (getuid())
		return;
	place_init(&p, 2 * BLOCK + 1);
	path_of(&p, "part", path);
	overwrite(path, "x", 1);
	CHECK(chown(path, 12345, 12345) == 0);
	part = must_open(&p, true, PARTIAL_FOREIGN, 0);
	/* No state is made for it. */
	CHECK(count_files(&p) == 2);
	complete(&p, part);
	CHECK(count_files(&p) == 2);
	CHECK(lstat(path, &st) == 0 && st.st_size == 1 && st.st_uid == 12345);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) == 0);
	place_release(&p);
}

/* Somebody else's name for the bytes: they must not change. */
static void
test_linked(void)
{
	struct place p;
	struct partial *part;
	struct stat was, is, st;
	char path[160], other[160];

	place_init(&p, 4 * BLOCK);
	leave_blocks(&p, 3);
	path_of(&p, "part", path);
	snprintf(other, sizeof(other), "%s/other", p.root);
	CHECK(link(path, other) == 0 && stat(other, &was) == 0);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	fill(&p, part, BLOCK, 3 * BLOCK);
	CHECK(only(&p, part, 6));
	CHECK(stat(other, &is) == 0 && is.st_nlink == 1);
	CHECK(stat(path, &st) == 0 && st.st_ino != is.st_ino);
	CHECK(is.st_ino == was.st_ino && is.st_size == was.st_size);
	CHECK(is.st_mtim.tv_sec == was.st_mtim.tv_sec &&
	      is.st_mtim.tv_nsec == was.st_mtim.tv_nsec);
	complete(&p, part);
	place_release(&p);
}

static void
test_owners(void)
{
	struct place p;

	for (int network = 0; network < 2; network++) {
		struct partial *a, *b;

		place_init(&p, 5 * BLOCK);
		p.setup.traits.network = network;
		a = must_open(&p, true, PARTIAL_NEW, 0);
		fill(&p, a, 0, 2 * BLOCK);
		b = must_open(&p, true, PARTIAL_PRIVATE, 0);
		fill(&p, b, 0, BLOCK);
		CHECK(is_true(&p, a) && is_true(&p, b));
		partial_close(a, false);
		/* A private one goes with its owner. */
		CHECK(count_files(&p) == 3);
		a = must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK);
		complete(&p, b);
		CHECK(is_true(&p, a));
		complete(&p, a);
		CHECK(count_files(&p) == 1);
		place_release(&p);
	}
}

/* On a network file system, the owner on another machine. */
static void
test_takeover(void)
{
	struct place p;
	struct partial *a, *b;
	struct err e;
	uint64_t start, sum = 0;

	place_init(&p, 5 * BLOCK);
	p.setup.traits.network = true;
	p.setup.beat = 20;
	p.setup.stale = 300 + scratch_tick();
	p.setup.sync = 0;
	a = must_open(&p, true, PARTIAL_NEW, 0);
	fill(&p, a, 0, 2 * BLOCK);
	CHECK(partial_tend(a, &e) == 0);
	fill(&p, a, 2 * BLOCK, 3 * BLOCK);
	/* It says nothing any more, so another machine takes over. */
	memset(p.setup.self.boot, 3, 16);
	start = wait_now();
	b = must_open(&p, true, PARTIAL_RESUMED, 3 * BLOCK);
	CHECK(wait_now() - start >= 200 && wait_now() - start < 3000);
	CHECK(look_at_all(&p, b) == 0);
	/* The first one wakes up: it may not touch the file again. */
	CHECK(partial_write(a, p.bytes, 1, 0, &sum, &e) < 0);
	CHECK(e.kind == ERR_FILE && strstr(e.msg, "took over"));
	CHECK(partial_tend(a, &e) < 0);
	partial_close(a, false);
	CHECK(only(&p, b, 7));
	complete(&p, b);
	CHECK(count_files(&p) == 1);
	place_release(&p);
}

struct tended {
	struct partial *part;
	atomic_bool enough;
};

static void *
tend_for_a_while(void *ctx)
{
	struct tended *t = ctx;
	struct err e;

	while (!t->enough) {
		wait_until(wait_now() + 10, &e);
		if (partial_tend(t->part, &e) < 0)
			return NULL;
	}
	return ctx;
}

/* One that is tended is taken for living. */
static void
test_alive(void)
{
	struct place p;
	struct partial *b;
	struct tended a = {.enough = false};
	pthread_t thread;
	void *rv;

	place_init(&p, 5 * BLOCK);
	p.setup.traits.network = true;
	p.setup.beat = 20;
	p.setup.stale = 30000;
	a.part = must_open(&p, true, PARTIAL_NEW, 0);
	fill(&p, a.part, 0, 2 * BLOCK);
	CHECK(pthread_create(&thread, NULL, tend_for_a_while, &a) == 0);
	memset(p.setup.self.boot, 3, 16);
	b = must_open(&p, true, PARTIAL_PRIVATE, 0);
	a.enough = true;
	CHECK(pthread_join(thread, &rv) == 0 && rv == &a);
	partial_close(b, false);
	complete(&p, a.part);
	place_release(&p);
}

static void
test_not_sparse(void)
{
	struct place p;
	struct partial *part;
	struct stat st;
	char path[160];

	place_init(&p, 5 * BLOCK + 1);
	p.setup.traits.sparse = false;
	part = must_open(&p, true, PARTIAL_NEW, 0);
	CHECK(partial_in_order(part));
	path_of(&p, "part", path);
	CHECK(stat(path, &st) == 0 && st.st_size == 0);
	fill(&p, part, 0, 2 * BLOCK);
	CHECK(stat(path, &st) == 0 && st.st_size == 2 * BLOCK);
	partial_close(part, false);
	part = must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK);
	CHECK(look_at_all(&p, part) == 0 && only(&p, part, 3));
	complete(&p, part);
	place_release(&p);
}

static void
test_refused(void)
{
	struct place p;
	struct err e;
	struct digest d;

	place_init(&p, 5 * BLOCK);
	d = p.want;
	p.setup.traits.max_file = UINT32_MAX;
	CHECK(!partial_open_on(&p.setup, &p.f, PREFIX, &d, UINT32_MAX + 1ull,
	    true, NULL, NULL, &e));
	CHECK(e.kind == ERR_FILE && e.hint[0]);
	p.setup.traits.max_file = UINT64_MAX;
	CHECK(!partial_open_on(
	    &p.setup, &p.f, PREFIX, &d, UINT64_MAX, true, NULL, NULL, &e));
	CHECK(!partial_open_on(&p.setup, &p.f, PREFIX, &d, STATE_SIZE_MAX + 1,
	    true, NULL, NULL, &e));
	p.setup.traits.free = 5 * BLOCK - 1;
	CHECK(!open_as(&p, true, NULL, NULL, &e));
	CHECK(e.kind == ERR_FILE && strstr(e.msg, "5242880 bytes are needed"));
	/* Nothing was there, and nothing is. */
	CHECK(count_files(&p) == 0);
	p.setup.traits.free = 5 * BLOCK;
	partial_close(must_open(&p, true, PARTIAL_NEW, 0), false);
	CHECK(count_files(&p) == 0);
	/* What is here needs no room; and if it is refused, it stays. */
	leave_blocks(&p, 0x13);
	p.setup.traits.free = 2 * BLOCK - 1;
	CHECK(!open_as(&p, true, NULL, NULL, &e));
	CHECK(!open_as(&p, false, NULL, NULL, &e));
	p.setup.traits.free = 2 * BLOCK;
	complete(&p, must_open(&p, true, PARTIAL_RESUMED, 3 * BLOCK));
	place_release(&p);
}

struct worker {
	struct place *p;
	struct partial *part;
	unsigned i;
};

static void *
run_worker(void *ctx)
{
	struct worker *w = ctx;
	struct err e;

	for (uint64_t at = w->i * 4 * BLOCK; at < w->p->size;
	     at += 16 * BLOCK) {
		uint64_t end = at + 4 * BLOCK;

		if (put(w->p, w->part, at, end < w->p->size ? end : w->p->size,
			&e) < 0)
			return NULL;
	}
	return ctx;
}

/* Four writers, one who tends, one who looks. */
static void
test_threads(void)
{
	struct place p;
	struct partial *part;
	struct worker w[4];
	pthread_t thread[4];
	struct err e;

	for (int network = 0; network < 2; network++) {
		place_init(&p, 34 * BLOCK + 9);
		p.setup.sync = 0;
		p.setup.beat = 2;
		p.setup.traits.network = network;
		part = must_open(&p, true, PARTIAL_NEW, 0);
		for (unsigned i = 0; i < 4; i++) {
			w[i] = (struct worker){&p, part, i};
			CHECK(pthread_create(
				  &thread[i], NULL, run_worker, &w[i]) == 0);
		}
		for (int i = 0; i < 20; i++) {
			uint64_t here;

			CHECK(partial_tend(part, &e) == 0);
			/* What is here is noted. */
			here = partial_here(part);
			CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) >=
			      here);
			partial_hashed(part, partial_run_end(part, 0));
			CHECK(look_at_all(&p, part) == 0);
		}
		for (unsigned i = 0; i < 4; i++) {
			void *rv;

			CHECK(pthread_join(thread[i], &rv) == 0 && rv);
		}
		CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) ==
		      partial_here(part));
		complete(&p, part);
		CHECK(count_files(&p) == 1);
		place_release(&p);
	}
}

/* Runs job in a child that ends as after kill -9. */
static void
in_child(struct place *p, void (*job)(struct place *))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		p->setup.self.pid = (uint32_t)getpid();
		job(p);
		kill(getpid(), SIGKILL);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
}

static void
write_some(struct place *p)
{
	struct err e;
	uint64_t sum = 0;
	struct partial *part = open_as(p, true, NULL, NULL, &e);

	if (!part || put(p, part, 0, 2 * BLOCK, &e) < 0 ||
	    partial_tend(part, &e) < 0 ||
	    put(p, part, 2 * BLOCK, 3 * BLOCK, &e) < 0 ||
	    put(p, part, 4 * BLOCK, 5 * BLOCK, &e) < 0 ||
	    partial_write(
		part, p->bytes + 5 * BLOCK, 700001, 5 * BLOCK, &sum, &e) < 0)
		_exit(1);
}

/* Synced or not, on a network file system, too: the blocks are noted. */
static void
test_killed(void)
{
	for (int network = 0; network < 2; network++) {
		struct place p;
		struct partial *part;

		place_init(&p, 12 * BLOCK);
		p.setup.traits.network = network;
		p.setup.sync = 0;
		in_child(&p, write_some);
		part = must_open(&p, true, PARTIAL_RESUMED, 4 * BLOCK);
		CHECK(only(&p, part, 0x17) && look_at_all(&p, part) == 0);
		complete(&p, part);
		place_release(&p);
	}
}

/* A worker for a while: three ranges side by side, syncs. */
static void
work(struct place *p, uint32_t seed, int ready)
{
	uint64_t at[3] = {0}, end[3] = {0}, sum[3] = {0};
	struct err e;
	struct partial *part = open_as(p, true, NULL, NULL, &e);

	if (!part || write(ready, "x", 1) != 1)
		_exit(1);
	while (partial_here(part) < p->size) {
		unsigned i = next(&seed) % 3;
		size_t n = 1 + next(&seed) % 200000;

		if (at[i] == end[i]) {
			uint64_t start = next(&seed) % p->size / BLOCK * BLOCK;

			if (!partial_missing(
				part, start, 4 * BLOCK, &at[i], &end[i]) &&
			    !partial_missing(
				part, 0, 4 * BLOCK, &at[i], &end[i]))
				break;
			sum[i] = 0;
		}
		if (n > end[i] - at[i])
			n = (size_t)(end[i] - at[i]);
		if (partial_write(
			part, p->bytes + at[i], n, at[i], &sum[i], &e) < 0)
			_exit(2);
		at[i] += n;
		if (next(&seed) % 50 == 0 && partial_tend(part, &e) < 0)
			_exit(3);
	}
}

/* Kills a worker at a random moment and gives the bytes that are here: each
 * block that is noted has the right ones, though nobody looked yet. */
static uint64_t
kill_round(struct place *p, uint32_t seed, unsigned round)
{
	int ready[2], status;
	char c;
	pid_t pid;
	struct partial *part;
	struct err e;
	uint64_t here;

	CHECK(pipe(ready) == 0);
	pid = fork();
	if (pid == 0) {
		p->setup.self.pid = (uint32_t)getpid();
		work(p, seed, ready[1]);
		_exit(0);
	}
	CHECK(read(ready[0], &c, 1) == 1);
	wait_until(wait_now() + next(&seed) % 12, &e);
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_ROW(round, WIFSIGNALED(status) || status == 0);
	close(ready[0]);
	close(ready[1]);
	part = open_as(p, true, NULL, NULL, &e);
	CHECK_ROW(round, part && is_true(p, part));
	if (round % 8 == 0)
		CHECK_ROW(round, look_at_all(p, part) == 0);
	here = part ? partial_here(part) : 0;
	if (here == p->size) {
		complete(p, part);
		return 0;
	}
	partial_close(part, false);
	return here;
}

static void
test_kill(void)
{
	struct place p;
	uint32_t seed = 5;
	uint64_t here = 0;

	place_init(&p, 32 * BLOCK - 77);
	for (unsigned round = 0; round < 60; round++) {
		uint64_t after;

		p.setup.sync = round % 3 ? PARTIAL_SYNC : 0;
		p.setup.traits.network = round % 4 == 3;
		after = kill_round(&p, next(&seed), round);
		/* What was here stays. */
		CHECK_ROW(round, after >= here || after == 0);
		here = after;
	}
	/* Dead drafts may be there, but no more than one a death. */
	CHECK(count_files(&p) < 64);
	place_release(&p);
}

/* In a file system of 4 MiB. */
static int
fill_disk(struct place *p)
{
	struct partial *part;
	struct err e;

	folder_close(&p->f);
	place_look(p);
	p->setup.sync = 0;
	if (open_as(p, true, NULL, NULL, &e) ||
	    !strstr(e.msg, "the disk is full"))
		return 2;
	/* Somebody else filled it after we had looked. */
	p->setup.traits.free = UINT64_MAX;
	part = open_as(p, true, NULL, NULL, &e);
	if (!part)
		return 3;
	if (put(p, part, 0, p->size, &e) == 0)
		return 4;
	if (e.kind != ERR_FILE || !strstr(e.hint, "-d"))
		return 5;
	if (partial_here(part) < 2 * BLOCK || !is_true(p, part))
		return 6;
	partial_close(part, false);
	if (mount("t", p->root, "tmpfs", MS_REMOUNT, "size=32m") < 0)
		return 7;
	part = open_as(p, true, NULL, NULL, &e);
	if (!part || partial_here(part) < 2 * BLOCK || look_at_all(p, part))
		return 8;
	complete(p, part);
	return test_failed ? 9 : 0;
}

/* Publishes a whole file as "a/file", and keeps its state. */
static void
publish(struct place *p)
{
	struct partial *part = must_open(p, false, PARTIAL_NEW, 0);
	const char *name;
	struct err e;

	fill(p, part, 0, p->size);
	CHECK(partial_finish(part, &name, &e) == 0);
	CHECK(folder_publish(&p->f, name, "a/file", &e) == 0);
	partial_close(part, true);
}

static struct partial *
adopt_file(struct place *p, const char **why)
{
	struct err e;

	*why = NULL;
	return partial_adopt(
	    &p->setup, &p->f, PREFIX, &p->want, p->size, "a/file", why, &e);
}

static bool
has_name(const struct place *p, const char *path)
{
	struct stat st;
	struct err e;

	return folder_stat(&p->f, path, &st, &e) == 0;
}

/* A right file keeps its name; nothing is left but the kept state. */
static void
test_adopt_right(void)
{
	const char *why, *name;
	struct partial *part;
	char path[160];
	struct place p;
	struct err e;

	place_init(&p, 3 * BLOCK + 5);
	p.setup.keep = true;
	publish(&p);
	CHECK(count_files(&p) == 2);
	CHECK(partial_has_blocks(&p.f, PREFIX, &p.want, p.size));
	CHECK(!partial_has_blocks(&p.f, PREFIX, &p.want, p.size + BLOCK));
	part = adopt_file(&p, &why);
	CHECK(part && partial_here(part) == p.size);
	CHECK(part && partial_finish(part, &name, &e) == 0);
	CHECK(part && strcmp(name, "a/file") == 0);
	partial_close(part, true);
	CHECK(has_name(&p, "a/file") && count_files(&p) == 2);
	/* And if the run ends early. */
	part = adopt_file(&p, &why);
	CHECK(part != NULL);
	partial_close(part, false);
	CHECK(has_name(&p, "a/file") && count_files(&p) == 2);
	/* And if another program changed it after it was opened. */
	part = adopt_file(&p, &why);
	snprintf(path, sizeof(path), "%s/a/file", p.root);
	CHECK(part && truncate(path, (off_t)p.size + 1) == 0);
	CHECK(part && partial_finish(part, &name, &e) < 0);
	CHECK(strstr(e.msg, "is writing to"));
	partial_close(part, false);
	CHECK(truncate(path, (off_t)p.size) == 0);
	CHECK(has_name(&p, "a/file") && count_files(&p) == 2);
	partial_drop_blocks(&p.f, PREFIX, &p.want);
	CHECK(!adopt_file(&p, &why) && strstr(why, "no checksums"));
	place_release(&p);
}

/* The first byte that is written takes the name away; the run after a kill
 * continues. linked: the other name keeps its bytes. */
static void
check_adopt_broken(bool linked)
{
	char path[160], other[160], byte = 0;
	struct partial *part;
	const char *why, *name;
	struct stat st;
	struct place p;
	struct err e;

	place_init(&p, 3 * BLOCK + 5);
	p.setup.keep = true;
	publish(&p);
	snprintf(path, sizeof(path), "%s/a/file", p.root);
	snprintf(other, sizeof(other), "%s/other", p.root);
	CHECK(!linked || link(path, other) == 0);
	part = adopt_file(&p, &why);
	CHECK(partial_check(part, 1, 0) == PARTIAL_ROTTEN);
	CHECK(has_name(&p, "a/file"));
	fill(&p, part, BLOCK, 2 * BLOCK);
	CHECK(has_name(&p, "a/file") == linked);
	/* Its bytes are other ones than those that were hashed. */
	CHECK(partial_copied(part) == linked && !partial_copied(part));
	partial_close(part, false);
	part = must_open(&p, true, PARTIAL_RESUMED, p.size);
	CHECK(partial_read(part, &byte, 1, 2 * BLOCK, &e) == 0);
	CHECK((unsigned char)byte == p.bytes[2 * BLOCK]);
	CHECK(partial_finish(part, &name, &e) == 0);
	CHECK(folder_publish(&p.f, name, "a/file", &e) == 0);
	partial_close(part, true);
	CHECK(count_files(&p) == (linked ? 3 : 2));
	CHECK(folder_stat(&p.f, "a/file", &st, &e) == 0 && st.st_nlink == 1);
	CHECK(partial_has_blocks(&p.f, PREFIX, &p.want, p.size));
	place_release(&p);
}

static void
test_adopt_broken(void)
{
	check_adopt_broken(false);
	check_adopt_broken(true);
}

/* Files that are not to be touched, or replaced meanwhile. */
static void
test_adopt_refused(void)
{
	struct partial *part;
	const char *why;
	char path[160];
	struct place p;
	struct err e;
	uint64_t sum = 0;

	place_init(&p, 3 * BLOCK + 5);
	p.setup.keep = true;
	publish(&p);
	snprintf(path, sizeof(path), "%s/a/file", p.root);
	CHECK(chmod(path, 0666) == 0);
	CHECK(!adopt_file(&p, &why) && strstr(why, "others can write"));
	CHECK(chmod(path, 0644) == 0 && truncate(path, 9 * BLOCK) == 0);
	CHECK(!adopt_file(&p, &why) && strstr(why, "longer"));
	CHECK(truncate(path, BLOCK + 1) == 0);
	part = adopt_file(&p, &why);
	CHECK(part && partial_here(part) == BLOCK);
	CHECK(folder_write(&p.f, "a/file", str_of("new"), &e) == 0);
	CHECK(partial_write(part, p.bytes + BLOCK, 9, BLOCK, &sum, &e) < 0);
	CHECK(e.kind == ERR_CONTENT && strstr(e.msg, "replaced"));
	partial_close(part, false);
	CHECK(has_name(&p, "a/file"));
	CHECK(folder_remove(&p.f, "a/file", &e) == 0);
	CHECK(!adopt_file(&p, &why) && strstr(why, "cannot be opened"));
	CHECK(count_files(&p) == 1);
	place_release(&p);
}

/* Copied bytes do not count before they are synced. */
static void
test_adopt_copy_lost(void)
{
	char path[160], other[160];
	struct partial *part;
	const char *why;
	struct place p;
	struct err e;

	place_init(&p, 3 * BLOCK + 5);
	p.setup.keep = true;
	publish(&p);
	snprintf(path, sizeof(path), "%s/a/file", p.root);
	snprintf(other, sizeof(other), "%s/other", p.root);
	CHECK(link(path, other) == 0);
	part = adopt_file(&p, &why);
	CHECK(partial_check(part, 1, 0) == PARTIAL_ROTTEN);
	fill(&p, part, BLOCK, 2 * BLOCK);
	disk.bytes = EIO;
	CHECK(partial_tend(part, &e) < 0 && partial_here(part) == 0);
	disk.bytes = 0;
	partial_close(part, false);
	place_release(&p);
}

/* Between the look at the name and the rename. */
static void
test_adopt_replaced(void)
{
	struct buf text = buf_make(100);
	struct partial *part;
	const char *why;
	struct place p;
	struct err e;
	uint64_t sum = 0;

	place_init(&p, 3 * BLOCK + 5);
	p.setup.keep = true;
	publish(&p);
	part = adopt_file(&p, &why);
	CHECK(part != NULL);
	disk.replace = true;
	CHECK(partial_write(part, p.bytes, 9, 0, &sum, &e) < 0);
	CHECK(e.kind == ERR_CONTENT && strstr(e.msg, "replaced 'a/file'"));
	partial_close(part, false);
	CHECK(folder_read(&p.f, "a/file", &text, &e) == 0);
	CHECK(str_eq(buf_str(&text), "new") && count_files(&p) == 2);
	buf_release(&text);
	place_release(&p);
}

static void
test_full(void)
{
	struct place p;
	pid_t pid;
	int status;

	place_init(&p, 8 * BLOCK);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("t", p.root, "tmpfs", 0, "size=4m") < 0)
			_exit(77);
		test_failed = 0;
		status = fill_disk(&p);
		fflush(stdout);
		_exit(status);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		puts("skipped: no mount of a small tmpfs without root");
	else
		CHECK_ROW(WEXITSTATUS(status), status == 0);
	place_release(&p);
}

/* By their addresses, so that main() does not need the stack of all. */
static void (*const tests[])(void) = {
    test_small,
    test_missing,
    test_write,
    test_resume,
    test_left,
    test_rotten,
    test_note_flipped,
    test_planted,
    test_copied,
    test_power_cut,
    test_damaged_state,
    test_damaged_part,
    test_check,
    test_check_private,
    test_forget,
    test_forget_range,
    test_sync_fails,
    test_first_sync_fails,
    test_note_fails,
    test_note_not_written,
    test_during_sync,
    test_odd_syncs,
    test_modes,
    test_strange,
    test_foreign_alone,
    test_linked,
    test_owners,
    test_takeover,
    test_alive,
    test_not_sparse,
    test_refused,
    test_threads,
    test_adopt_right,
    test_adopt_broken,
    test_adopt_refused,
    test_adopt_copy_lost,
    test_adopt_replaced,
    test_full,
    test_killed,
    test_kill,
};

int
main(void)
{
	for (size_t i = 0; i < countof(tests); i++)
		tests[i]();
	for (size_t i = 0; i < countof(contents); i++)
		free(contents[i].bytes);
	return test_end();
}
