#define _GNU_SOURCE /* unshare, sync_file_range */

/* A published file that a partial file repairs. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/place.h"

/* Publishes a whole file as "a/file", and keeps its state. */
static void
publish(struct place *p)
{
	struct partial *part;
	const char *name;
	struct err e;

	p->setup.keep = true;
	part = must_open(p, false, PARTIAL_NEW, 0);
	fill(p, part, 0, p->size);
	CHECK(partial_finish(part, &name, &e) == 0);
	CHECK(folder_publish(&p->f, name, "a/file", &e) == 0);
	partial_close(part, true);
}

static void
place_publish(struct place *p, uint64_t size)
{
	place_init(p, size);
	publish(p);
}

static struct partial *
adopt_file(struct place *p, const char **why)
{
	struct err e;

	*why = NULL;
	return partial_adopt(
	    &p->setup, &p->f, PREFIX, &p->want, p->size, "a/file", why, &e);
}

static struct partial *
must_adopt(struct place *p)
{
	const char *why;
	struct partial *part = adopt_file(p, &why);

	if (part)
		return part;
	printf("not adopted: %s\n", why ? why : "no reason");
	abort();
}

/* It cannot be adopted, for that reason. */
static bool
refuses(struct place *p, const char *reason)
{
	const char *why;
	struct partial *part = adopt_file(p, &why);

	if (!part && why && strstr(why, reason))
		return true;
	printf("%s\n", part ? "adopted" : why ? why : "no reason");
	partial_close(part, false);
	return false;
}

static struct stat
stat_of(const struct place *p, const char *path)
{
	struct stat st = {.st_size = -1};
	struct err e;

	(void)folder_stat(&p->f, path, &st, &e);
	return st;
}

static bool
has_name(const struct place *p, const char *path)
{
	return stat_of(p, path).st_size >= 0;
}

static void
file_of(const struct place *p, const char *name, char out[160])
{
	snprintf(out, 160, "%s/%s", p->root, name);
}

/* Flips a bit of the published file. */
static void
break_at(const struct place *p, uint64_t at)
{
	char path[160];
	unsigned char c = 0;
	int fd;

	file_of(p, "a/file", path);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0 && pread(fd, &c, 1, (off_t)at) == 1);
	c ^= 4;
	CHECK(pwrite(fd, &c, 1, (off_t)at) == 1);
	close(fd);
}

static bool
is_whole(struct place *p)
{
	struct buf b = buf_make((size_t)p->size + 1);
	struct err e;
	bool is = folder_read(&p->f, "a/file", &b, &e) == 0 &&
		  b.len == p->size && memcmp(b.s, p->bytes, b.len) == 0;

	buf_release(&b);
	return is;
}

/* As verify.c does at the end of a repair. */
static void
finish(struct place *p, struct partial *part)
{
	const char *name;
	struct err e;

	CHECK(partial_here(part) == p->size);
	CHECK(partial_finish(part, &name, &e) == 0);
	if (strcmp(name, "a/file") != 0)
		CHECK(folder_publish(&p->f, name, "a/file", &e) == 0);
	partial_close(part, true);
	CHECK(is_whole(p));
	CHECK(repair_has_blocks(
	    &p->f, PREFIX, &p->want, p->size, &p->setup.traits.maker));
}

/* A right file keeps its name; nothing is left but the kept state. */
static void
test_right(void)
{
	const char *name;
	struct partial *part;
	char path[160];
	struct place p;
	struct err e;

	place_publish(&p, 3 * BLOCK + 5);
	CHECK(scratch_files(p.root) == 2);
	CHECK(repair_has_blocks(
	    &p.f, PREFIX, &p.want, p.size, &p.setup.traits.maker));
	CHECK(!repair_has_blocks(
	    &p.f, PREFIX, &p.want, p.size + BLOCK, &p.setup.traits.maker));
	part = must_adopt(&p);
	CHECK(partial_here(part) == p.size);
	CHECK(partial_finish(part, &name, &e) == 0);
	CHECK(strcmp(name, "a/file") == 0);
	partial_close(part, true);
	CHECK(has_name(&p, "a/file") && scratch_files(p.root) == 2);
	/* And if the run ends early. */
	part = must_adopt(&p);
	partial_close(part, false);
	CHECK(has_name(&p, "a/file") && scratch_files(p.root) == 2);
	/* And if another program changed it after it was opened. */
	part = must_adopt(&p);
	file_of(&p, "a/file", path);
	CHECK(truncate(path, (off_t)p.size + 1) == 0);
	CHECK(partial_finish(part, &name, &e) < 0);
	CHECK(strstr(e.msg, "is writing to"));
	partial_close(part, false);
	CHECK(truncate(path, (off_t)p.size) == 0);
	CHECK(has_name(&p, "a/file") && scratch_files(p.root) == 2);
	path_of(&p, "blocks", path);
	CHECK(unlink(path) == 0);
	CHECK(refuses(&p, "no checksums"));
	place_release(&p);
}

/* Its checksums are wrong: what is fetched then is what it has, so it is the
 * same file as before, and the checksums are right again. */
static void
test_lying_checksums(void)
{
	struct partial *part;
	struct stat was, is;
	struct place p;
	enum partial_check how;
	bool right;

	place_publish(&p, 3 * BLOCK + 5);
	was = stat_of(&p, "a/file");
	flip(&p, "blocks", STATE_HEAD + 4 + 1, 3);
	for (int i = 0; i < 2; i++) {
		part = must_adopt(&p);
		CHECK_ROW(i, partial_here(part) == p.size);
		how = partial_check(part, 1, sum_of(&p, part, 1, &right));
		CHECK_ROW(i, right);
		CHECK_ROW(i, how == (i ? PARTIAL_GOOD : PARTIAL_ROTTEN));
		if (!i)
			fill(&p, part, BLOCK, 2 * BLOCK);
		CHECK_ROW(i, has_name(&p, "a/file"));
		finish(&p, part);
		is = stat_of(&p, "a/file");
		CHECK_ROW(i, is.st_ino == was.st_ino &&
				 is.st_mtim.tv_nsec == was.st_mtim.tv_nsec &&
				 is.st_ctim.tv_nsec == was.st_ctim.tv_nsec);
		CHECK_ROW(i, scratch_files(p.root) == 2);
	}
	place_release(&p);
}

/* The first byte that differs takes the name away; a run that gives up gives it
 * back, with the mode that it had, and the next one goes on. linked: the other
 * name keeps its bytes, and the copy stays. */
static void
check_broken(bool linked, mode_t mode)
{
	char path[160], other[160];
	struct partial *part;
	struct stat st;
	struct place p;

	place_publish(&p, 3 * BLOCK + 5);
	file_of(&p, "a/file", path);
	file_of(&p, "other", other);
	break_at(&p, BLOCK + 1);
	break_at(&p, 2 * BLOCK + 700001);
	CHECK(chmod(path, mode) == 0);
	CHECK(!linked || link(path, other) == 0);
	part = must_adopt(&p);
	CHECK(look_at_all(&p, part) == 2);
	CHECK(has_name(&p, "a/file"));
	fill(&p, part, BLOCK, 2 * BLOCK);
	CHECK(has_name(&p, "a/file") == linked);
	/* Its bytes are other ones than those that were hashed. */
	CHECK(partial_copied(part) == linked && !partial_copied(part));
	partial_close(part, false);
	CHECK(has_name(&p, "a/file") &&
	      scratch_files(p.root) == (linked ? 5 : 2));
	st = stat_of(&p, "a/file");
	CHECK((st.st_mode & 0777) == mode && (uint64_t)st.st_size == p.size);
	if (linked) {
		CHECK(refuses(&p, "an earlier run left"));
		CHECK(scratch_files(p.root) == 5);
		part = must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK + 5);
	} else {
		part = must_adopt(&p);
		CHECK(look_at_all(&p, part) == 1);
	}
	fill(&p, part, 2 * BLOCK, 3 * BLOCK);
	finish(&p, part);
	st = stat_of(&p, "a/file");
	CHECK(scratch_files(p.root) == (linked ? 3 : 2) && st.st_nlink == 1);
	CHECK(linked || (st.st_mode & 0777) == mode);
	place_release(&p);
}

static void
test_broken(void)
{
	static const mode_t mode[] = {0644, 0600, 0444, 0400, 0755};

	for (size_t i = 0; i < countof(mode); i++)
		check_broken(false, mode[i]);
	check_broken(true, 0644);
}

/* With umask 002 each published file is one that the group may write to. */
static void
test_umask(void)
{
	mode_t old = umask(002);
	struct partial *part;
	struct stat st;
	struct place p;

	place_publish(&p, 2 * BLOCK + 1);
	CHECK((stat_of(&p, "a/file").st_mode & 0777) == 0664);
	break_at(&p, 1);
	part = must_adopt(&p);
	CHECK(look_at_all(&p, part) == 1);
	fill(&p, part, 0, BLOCK);
	/* But not while it is repaired. */
	CHECK(fstat(part->fd, &st) == 0 && !(st.st_mode & 022));
	finish(&p, part);
	CHECK((stat_of(&p, "a/file").st_mode & 0777) == 0664);
	place_release(&p);
	umask(old);
}

/* A run that was killed left a part: adopting the file would throw it away. */
static void
test_killed_before(void)
{
	struct place p;
	struct partial *part;
	struct buf was = buf_make(1000), is = buf_make(1000);
	char path[160];

	place_publish(&p, 5 * BLOCK + 1);
	leave_blocks(&p, 0x16);
	path_of(&p, "state", path);
	CHECK(file_read(path, &was) == 0);
	CHECK(refuses(&p, "an earlier run left"));
	CHECK(file_read(path, &is) == 0);
	CHECK(str_same(buf_str(&is), buf_str(&was)));
	part = must_open(&p, true, PARTIAL_RESUMED, 3 * BLOCK);
	partial_close(part, false);
	/* Without a state it is nothing. */
	CHECK(unlink(path) == 0);
	break_at(&p, 9);
	part = must_adopt(&p);
	CHECK(scratch_files(p.root) == 3);
	CHECK(look_at_all(&p, part) == 1);
	fill(&p, part, 0, BLOCK);
	finish(&p, part);
	CHECK(scratch_files(p.root) == 2);
	buf_release(&was);
	buf_release(&is);
	place_release(&p);
}

/* Two processes at once: the second neither touches the file nor fetches a copy
 * of its own. */
static void
test_two_at_once(void)
{
	struct partial *part;
	struct place p;
	struct err e;

	place_publish(&p, 3 * BLOCK + 5);
	break_at(&p, 1);
	part = must_adopt(&p);
	CHECK(look_at_all(&p, part) == 1);
	CHECK(refuses(&p, "another process is repairing it"));
	fill(&p, part, 0, BLOCK);
	p.setup.shared = true;
	CHECK(!open_as(&p, true, NULL, NULL, &e) && e.kind == ERR_FILE);
	CHECK(strstr(e.msg, "another process"));
	CHECK(scratch_files(p.root) == 3);
	finish(&p, part);
	place_release(&p);
}

/* Files that are not to be touched, or replaced meanwhile. */
static void
test_refused(void)
{
	struct partial *part;
	char path[160];
	struct place p;
	struct err e;
	uint64_t sum = 0;

	place_publish(&p, 3 * BLOCK + 5);
	file_of(&p, "a/file", path);
	CHECK(chmod(path, 0666) == 0);
	CHECK(refuses(&p, "others can write"));
	CHECK(chmod(path, 0644) == 0 && truncate(path, 9 * BLOCK) == 0);
	CHECK(refuses(&p, "longer"));
	CHECK(truncate(path, BLOCK + 1) == 0);
	part = must_adopt(&p);
	CHECK(partial_here(part) == BLOCK);
	CHECK(folder_write(&p.f, "a/file", str_of("new"), &e) == 0);
	CHECK(partial_write(part, p.bytes + BLOCK, 9, BLOCK, &sum, &e) < 0);
	CHECK(e.kind == ERR_CONTENT && strstr(e.msg, "replaced"));
	CHECK(!partial_stuck(part));
	partial_close(part, false);
	CHECK(has_name(&p, "a/file"));
	/* Another program lengthens it after it was opened. */
	CHECK(truncate(path, BLOCK + 1) == 0);
	part = must_adopt(&p);
	CHECK(truncate(path, BLOCK + 2) == 0);
	CHECK(partial_write(part, p.bytes + BLOCK, 9, BLOCK, &sum, &e) < 0);
	CHECK(e.kind == ERR_CONTENT && strstr(e.msg, "is writing to"));
	partial_close(part, false);
	CHECK(folder_remove(&p.f, "a/file", &e) == 0);
	CHECK(refuses(&p, "cannot be opened"));
	CHECK(scratch_files(p.root) == 1);
	place_release(&p);
}

/* The checksums are notes like others: those that another user could have
 * written are none. */
static void
test_foreign_checksums(void)
{
	struct place p;
	char path[160];

	place_publish(&p, 2 * BLOCK);
	path_of(&p, "blocks", path);
	CHECK(chmod(path, 0622) == 0);
	CHECK(refuses(&p, "no checksums"));
	CHECK(chmod(path, 0600) == 0);
	if (getuid()) {
		puts("skipped: only root can give files away");
	} else {
		CHECK(chown(path, 12345, 12345) == 0);
		CHECK(refuses(&p, "no checksums"));
	}
	place_release(&p);
}

/* What stands in the way of one file. */
static void
test_stuck(void)
{
	struct partial *part;
	char path[160];
	struct place p;
	struct err e;

	place_publish(&p, 3 * BLOCK + 5);
	path_of(&p, "part", path);
	break_at(&p, 2 * BLOCK);
	CHECK(mkdir(path, 0700) == 0);
	part = must_adopt(&p);
	CHECK(look_at_all(&p, part) == 1 && !partial_stuck(part));
	CHECK(put(&p, part, 2 * BLOCK, 3 * BLOCK, &e) < 0);
	CHECK(e.kind == ERR_FILE && partial_stuck(part));
	partial_close(part, false);
	CHECK(has_name(&p, "a/file") && rmdir(path) == 0);
	CHECK(scratch_files(p.root) == 2);
	/* Its folder cannot be written. */
	file_of(&p, "a/file", path);
	CHECK(chmod(path, 0444) == 0);
	part = must_adopt(&p);
	CHECK(look_at_all(&p, part) == 1);
	disk.no_rename = true;
	CHECK(put(&p, part, 2 * BLOCK, 3 * BLOCK, &e) < 0);
	disk.no_rename = false;
	CHECK(e.kind == ERR_FILE && partial_stuck(part));
	partial_close(part, false);
	CHECK((stat_of(&p, "a/file").st_mode & 0777) == 0444);
	CHECK(scratch_files(p.root) == 2);
	place_release(&p);
}

/* Copied bytes do not count before they are synced. */
static void
test_copy_lost(void)
{
	char path[160], other[160];
	struct partial *part;
	struct place p;
	struct err e;

	place_publish(&p, 3 * BLOCK + 5);
	break_at(&p, BLOCK);
	file_of(&p, "a/file", path);
	file_of(&p, "other", other);
	CHECK(link(path, other) == 0);
	part = must_adopt(&p);
	CHECK(partial_check(part, 1, 0) == PARTIAL_ROTTEN);
	fill(&p, part, BLOCK, 2 * BLOCK);
	disk.bytes = EIO;
	CHECK(partial_tend(part, &e) < 0 && partial_here(part) == 0);
	disk.bytes = 0;
	partial_close(part, false);
	place_release(&p);
}

/* The first piece of a block is what the file has, and is not written; the
 * second one is not: then the copy has the first one, too. */
static void
test_copy_of_a_part(void)
{
	char path[160], other[160];
	struct partial *part;
	struct place p;

	place_publish(&p, 3 * BLOCK + 5);
	break_at(&p, BLOCK + 700001);
	break_at(&p, 3 * BLOCK + 4);
	file_of(&p, "a/file", path);
	file_of(&p, "other", other);
	CHECK(link(path, other) == 0);
	part = must_adopt(&p);
	CHECK(look_at_all(&p, part) == 2);
	fill(&p, part, BLOCK, 2 * BLOCK);
	fill(&p, part, 3 * BLOCK, p.size);
	CHECK(!look_at_all(&p, part) && is_true(&p, part));
	finish(&p, part);
	place_release(&p);
}

/* In a file system of 5 MiB, which has room for the file, not for a copy. */
static int
copy_in_small(struct place *p, bool seen)
{
	char path[160], other[160];
	struct partial *part;
	struct err e;

	folder_close(&p->f);
	place_look(p);
	publish(p);
	break_at(p, 1);
	file_of(p, "a/file", path);
	file_of(p, "other", other);
	if (link(path, other) < 0)
		return 2;
	part = must_adopt(p);
	if (look_at_all(p, part) != 1)
		return 3;
	/* Another program takes the room after the look at it. */
	disk.room = seen ? 0 : UINT64_MAX;
	if (put(p, part, 0, BLOCK, &e) == 0 || e.kind != ERR_FILE)
		return 4;
	if (seen != (strstr(e.msg, "are needed") != NULL))
		return 9;
	if (!partial_stuck(part) || scratch_files(p->root) != 4)
		return 5;
	partial_close(part, false);
	if (scratch_files(p->root) != 3)
		return 6;
	/* Without the second name there is nothing to copy. */
	if (unlink(other) < 0)
		return 7;
	part = must_adopt(p);
	fill(p, part, 0, BLOCK);
	finish(p, part);
	return test_failed ? 8 : 0;
}

static void
check_no_room(bool seen)
{
	struct place p;

	place_init(&p, 3 * BLOCK + 5);
	place_on_small_disk(&p, "size=5m", copy_in_small, seen);
	place_release(&p);
}

static void
test_no_room(void)
{
	check_no_room(true);
	check_no_room(false);
}

/* Between the look at the name and the rename. */
static void
test_replaced(void)
{
	struct buf text = buf_make(100);
	struct partial *part;
	struct place p;
	struct err e;
	uint64_t sum = 0;

	place_publish(&p, 3 * BLOCK + 5);
	break_at(&p, 1);
	part = must_adopt(&p);
	disk.replace = true;
	CHECK(partial_write(part, p.bytes, 9, 0, &sum, &e) < 0);
	CHECK(e.kind == ERR_CONTENT && strstr(e.msg, "replaced 'a/file'"));
	partial_close(part, false);
	CHECK(folder_read(&p.f, "a/file", &text, &e) == 0);
	CHECK(str_eq(buf_str(&text), "new") && scratch_files(p.root) == 2);
	buf_release(&text);
	place_release(&p);
}

/* What another program put in its place stays, and so does what was fetched. */
static void
test_name_taken(void)
{
	struct buf text = buf_make(100);
	struct partial *part;
	struct place p;
	struct err e;

	place_publish(&p, 3 * BLOCK + 5);
	break_at(&p, 1);
	part = must_adopt(&p);
	CHECK(look_at_all(&p, part) == 1);
	fill(&p, part, 0, BLOCK);
	CHECK(folder_write(&p.f, "a/file", str_of("new"), &e) == 0);
	partial_close(part, false);
	CHECK(folder_read(&p.f, "a/file", &text, &e) == 0);
	CHECK(str_eq(buf_str(&text), "new"));
	part = must_open(&p, true, PARTIAL_RESUMED, p.size);
	CHECK(!look_at_all(&p, part));
	partial_close(part, false);
	buf_release(&text);
	place_release(&p);
}

int
main(void)
{
	test_right();
	test_lying_checksums();
	test_broken();
	test_umask();
	test_killed_before();
	test_two_at_once();
	test_refused();
	test_foreign_checksums();
	test_stuck();
	test_copy_lost();
	test_copy_of_a_part();
	test_no_room();
	test_replaced();
	test_name_taken();
	return place_end();
}
