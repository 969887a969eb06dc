#define _GNU_SOURCE /* unshare, flock, sync_file_range */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/place.h"

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
		CHECK_ROW(i, scratch_files(p.root) == 2);
		CHECK_ROW(i, !partial_in_order(part));
		CHECK_ROW(i, partial_tend(part, &e) == 0);
		complete(&p, part);
		CHECK_ROW(i, scratch_files(p.root) == 2);
		partial_close(other, false);
		CHECK_ROW(i, scratch_files(p.root) == 1);
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
	CHECK(scratch_files(p.root) == 1);
	place_release(&p);
}

/* A block counts once it is whole, by bytes that came in order. */
/* What is written ahead counts only once its turn has come. */
static void
test_write_ahead(void)
{
	struct place p;
	struct partial *part;
	unsigned char back[9];
	uint64_t sum = 0;
	struct err e;

	place_init(&p, 3 * BLOCK + 3);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	CHECK(partial_write_ahead(
		  part, p.bytes + BLOCK, 2 * BLOCK, BLOCK, &e) == 0);
	CHECK(partial_here(part) == 0 && partial_run_end(part, 0) == 0);
	CHECK(partial_read(part, back, 9, 2 * BLOCK - 4, &e) == 0);
	CHECK(memcmp(back, p.bytes + 2 * BLOCK - 4, 9) == 0);
	CHECK(partial_write_ahead(part, back, 9, 3 * BLOCK, &e) < 0);
	CHECK(partial_write_ahead(part, back, 1, UINT64_MAX, &e) < 0);
	partial_close(part, false);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	CHECK(partial_write(part, p.bytes, 3 * BLOCK + 3, 0, &sum, &e) == 0);
	partial_close(part, true);
	place_release(&p);
}

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
	CHECK(scratch_files(p.root) == 0);
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
	CHECK(scratch_files(p.root) == 1);
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
			fill(&p, part, blocks_begin(i), blocks_end(p.size, i));
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
	CHECK(scratch_files(p.root) == 1);
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
	CHECK(scratch_files(p.root) == 0);
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
		CHECK_ROW(how, scratch_files(p.root) == 1);
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

	fill(m->p, m->part, blocks_begin(m->block),
	    blocks_end(m->p->size, m->block));
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
		CHECK_ROW(i, scratch_files(p.root) == 1);
		place_release(&p);
	}
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
	CHECK(scratch_files(p.root) == 0);
	p.setup.traits.free = 5 * BLOCK;
	partial_close(must_open(&p, true, PARTIAL_NEW, 0), false);
	CHECK(scratch_files(p.root) == 0);
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
		CHECK(scratch_files(p.root) == 1);
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
	CHECK(scratch_files(p.root) < 64);
	place_release(&p);
}

/* In a file system of 4 MiB. */
static int
fill_disk(struct place *p, bool unused)
{
	struct partial *part;
	struct err e;

	(void)unused;
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

static void
test_full(void)
{
	struct place p;

	place_init(&p, 8 * BLOCK);
	place_on_small_disk(&p, "size=4m", fill_disk, false);
	place_release(&p);
}

/* By their addresses, so that main() does not need the stack of all. */
static void (*const tests[])(void) = {
    test_small,
    test_missing,
    test_write,
    test_write_ahead,
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
    test_not_sparse,
    test_refused,
    test_threads,
    test_full,
    test_killed,
    test_kill,
};

int
main(void)
{
	for (size_t i = 0; i < countof(tests); i++)
		tests[i]();
	return place_end();
}
