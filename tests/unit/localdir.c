#include "../../plan.c"

#include "err.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMIT "87f3c7095f3c62d911500958878d8b8287c4a2ee"
#define SHA "344408a72f0bc14a380c0a156b94a21ddc668a535be8b892aed91115d8ca61b7"
#define OID "abb2df387e7bc8ebf002c540492ce260b10a6b5d"

static void
test_parse(void)
{
	static const struct {
		const char *text;
		int rv;
		uint64_t seconds;
	} t[] = {
	    {COMMIT "\n" SHA "\n1787306412.8817043\n", 0, 1787306412},
	    {COMMIT "\n" OID "\n5\n", 0, 5},
	    {COMMIT "\r\n" OID " \r\n 7.0 \r\n", 0, 7},
	    {COMMIT "\n" OID "\n5", 0, 5},
	    {"", -1, 0},
	    {COMMIT, -1, 0},
	    {COMMIT "\n" OID, -1, 0},
	    {COMMIT "\n" OID "\n", -1, 0},
	    {COMMIT "\n" OID "\nsoon\n", -1, 0},
	    {COMMIT "\n" OID "\n-5\n", -1, 0},
	    {COMMIT "\n\"" OID "\"\n5\n", -1, 0},
	    {COMMIT "\n../x\n5\n", -1, 0},
	    {"main\n" OID "\n5\n", -1, 0},
	    {COMMIT "\n" OID "\n99999999999999999999\n", -1, 0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct localdir_meta m = {.seconds = 0};

		CHECK_ROW(
		    i, localdir_meta_parse(str_of(t[i].text), &m) == t[i].rv);
		CHECK_ROW(i, t[i].rv < 0 || m.seconds == t[i].seconds);
		CHECK_ROW(i, t[i].rv < 0 || strcmp(m.commit, COMMIT) == 0);
		CHECK_ROW(i, t[i].rv < 0 || !m.stamped);
	}
}

#define META COMMIT "\n" OID "\n5.5\n"
#define MOST "18446744073709551615"

/* The fourth line is ours, or there is none. */
static void
test_parse_stamp(void)
{
	static const struct {
		const char *line;
		bool stamped;
		struct stamp stamp;
	} t[] = {
	    {"hub 1 2 3 4\n", true, {1, 2, 3, 4, 0}},
	    {"hub 0 0 0 0\n", true, {0, 0, 0, 0, 0}},
	    {"hub 1 2 3 4\nmore\n\n", true, {1, 2, 3, 4, 0}},
	    {"hub 5 " MOST " 3 " MOST "\n", true, {5, -1, 3, UINT64_MAX, 0}},
	    {"hub 1 2 3 4", false, {0}},
	    {"hub 1 2 3 \n", false, {0}},
	    {"hub 1 2 3\n", false, {0}},
	    {"hub 1 2 3 4 5\n", false, {0}},
	    {"hub 1 2 3 4 \n", false, {0}},
	    {"hub 1 2  3 4\n", false, {0}},
	    {"hub 1 2 -3 4\n", false, {0}},
	    {"hub 1 2.0 3 4\n", false, {0}},
	    {"hub 1 2 3 4\r\n", false, {0}},
	    {"hub 1 2 0x3 4\n", false, {0}},
	    {"hub 18446744073709551616 2 3 4\n", false, {0}},
	    {"hub\n", false, {0}},
	    {"hub \n", false, {0}},
	    {"Hub 1 2 3 4\n", false, {0}},
	    {" hub 1 2 3 4\n", false, {0}},
	    {"1 2 3 4\n", false, {0}},
	    {"\nhub 1 2 3 4\n", false, {0}},
	    {"", false, {0}},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf b = buf_make(1000);
		struct localdir_meta m;

		buf_printf(&b, META "%s", t[i].line);
		CHECK_ROW(i, localdir_meta_parse(buf_str(&b), &m) == 0);
		CHECK_ROW(i, m.seconds == 5 && m.stamped == t[i].stamped);
		CHECK_ROW(i, !m.stamped || stamp_same(&m.stamp, &t[i].stamp));
		buf_release(&b);
	}
}

static void
test_format(void)
{
	struct buf b = buf_make(1000);
	struct localdir_meta m = {.commit = COMMIT, .seconds = 1787306412}, n;

	CHECK(digest_parse(str_of(SHA), &m.digest) == 0);
	localdir_meta_format(&b, &m, 7043);
	CHECK(str_eq(buf_str(&b), COMMIT "\n" SHA "\n1787306412.007043\n"));
	m.stamped = true;
	m.stamp = (struct stamp){3, -5, 1764335204123456789, 7, 99};
	buf_clear(&b);
	localdir_meta_format(&b, &m, 0);
	CHECK(str_ends(buf_str(&b), "\nhub 3 18446744073709551611 "
				    "1764335204123456789 7\n"));
	CHECK(localdir_meta_parse(buf_str(&b), &n) == 0);
	CHECK(digest_same(&m.digest, &n.digest) && n.seconds == 1787306412);
	CHECK(!*n.source);
	snprintf(m.source, sizeof(m.source), "%s", "datasets/org/name");
	buf_clear(&b);
	localdir_meta_format(&b, &m, 0);
	CHECK(str_ends(buf_str(&b), " 7\nrepo datasets/org/name\n"));
	CHECK(localdir_meta_parse(buf_str(&b), &n) == 0);
	CHECK(strcmp(n.source, "datasets/org/name") == 0);
	/* The device is none of the disk's business. */
	m.stamp.device = 0;
	CHECK(n.stamped && stamp_same(&m.stamp, &n.stamp));
	/* However much of it a kill leaves: the stamp is whole or there is
	 * none. */
	for (size_t i = 0; i < b.len; i++)
		CHECK_ROW(i, localdir_meta_parse(str_make(b.s, i), &n) < 0 ||
				 !*n.source);
	buf_release(&b);
}

/* A folder in which "a/b" is. */
struct place {
	char path[SCRATCH_PATH];
	struct folder f;
	struct digest d;
};

static void
place_make(struct place *p)
{
	struct err e;

	CHECK(digest_parse(str_of(OID), &p->d) == 0);
	scratch_make(p->path);
	CHECK(folder_open(&p->f, p->path, false, &e) == 0);
	CHECK(localdir_prepare(&p->f, &e) == 0);
	CHECK(folder_write(&p->f, "a/b", str_of("abc"), &e) == 0);
}

static void
place_release(struct place *p)
{
	folder_close(&p->f);
	scratch_remove(p->path);
}

static struct stat
stat_of(const struct place *p)
{
	struct stat st;
	struct err e;

	CHECK(folder_stat(&p->f, "a/b", &st, &e) == 0);
	/* So that what the kernel's clock says does not decide. */
	st.st_ctim.tv_nsec |= 1;
	return st;
}

static bool
has(const struct place *p, const struct stat *st)
{
	struct maker me = {.uid = geteuid()};

	return localdir_has(&p->f, "a/b", st, &p->d, &me);
}

static void
own_note(const struct place *p, const struct stat *st)
{
	struct err e;

	CHECK(localdir_note(
		  &p->f, "a/b", COMMIT, "models/o/n", &p->d, st, &e) == 0);
}

static void
test_folder(void)
{
	struct place p;
	struct maker me = {.uid = geteuid()}, him = {.uid = geteuid() + 1};
	struct maker guess = {.uid = geteuid() + 1, .unsure = true};
	struct digest other;
	struct stat st;
	struct err e;

	place_make(&p);
	CHECK(localdir_prepare(&p.f, &e) == 0);
	st = stat_of(&p);
	CHECK(!has(&p, &st));
	own_note(&p, &st);
	CHECK(has(&p, &st));
	other = p.d;
	other.b[3] ^= 1;
	CHECK(!localdir_has(&p.f, "a/b", &st, &other, &me));
	/* What somebody else has noted, or what is ours and not his. */
	CHECK(!localdir_has(&p.f, "a/b", &st, &p.d, &him));
	/* Where a server decides about owners, a file shows which is ours. */
	CHECK(localdir_has(&p.f, "a/b", &st, &p.d, &guess));
	place_release(&p);
}

/* All that stat() tells counts, but the device. */
static void
test_changes(void)
{
	struct place p;
	struct stat st, now;

	place_make(&p);
	st = stat_of(&p);
	own_note(&p, &st);
	now = st;
	now.st_dev++;
	CHECK(has(&p, &now));
	now = st;
	now.st_ino++;
	CHECK(!has(&p, &now));
	now = st;
	now.st_size++;
	CHECK(!has(&p, &now));
	now = st;
	now.st_mtim.tv_sec--;
	CHECK(!has(&p, &now));
	now = st;
	now.st_mtim.tv_nsec ^= 2;
	CHECK(!has(&p, &now));
	now = st;
	now.st_ctim.tv_nsec ^= 2;
	CHECK(!has(&p, &now));
	/* Of coarse times none is believed. */
	now = st;
	now.st_ctim.tv_nsec = 0;
	own_note(&p, &now);
	CHECK(!has(&p, &now));
	/* A note is replaced. */
	own_note(&p, &st);
	CHECK(has(&p, &st));
	place_release(&p);
}

static void
test_metadata_of_others(void)
{
	static const char *const t[] = {
	    META,
	    COMMIT "\n" OID "\n9223372036854775807\n",
	    META "hub 3 0 0 0\n",
	    META "\n",
	    "",
	    "x",
	};
	struct place p;
	struct stat st;
	struct err e;

	place_make(&p);
	st = stat_of(&p);
	for (size_t i = 0; i < countof(t); i++) {
		CHECK(folder_write(&p.f, LOCALDIR_PREFIX "/a/b.metadata",
			  str_of(t[i]), &e) == 0);
		CHECK_ROW(i, !has(&p, &st));
		own_note(&p, &st);
		CHECK_ROW(i, has(&p, &st));
	}
	place_release(&p);
}

/* Names that stand in the way of partial files. */
static void
test_names(void)
{
	static const struct {
		const char *path;
		bool noted;
	} t[] = {
	    {SHA ".part/x", false},
	    {OID ".state/x/y", false},
	    {SHA ".part", true},
	    {"x/" SHA ".part/x", true},
	};
	struct place p;
	struct stat st;
	struct err e;

	place_make(&p);
	st = stat_of(&p);
	for (size_t i = 0; i < countof(t); i++) {
		int rv = localdir_note(
		    &p.f, t[i].path, COMMIT, "models/o/n", &p.d, &st, &e);

		CHECK_ROW(i, (rv == 0) == t[i].noted);
		CHECK_ROW(i, rv == 0 || e.kind == ERR_FILE);
	}
	place_release(&p);
}

int
main(void)
{
	test_parse();
	test_parse_stamp();
	test_format();
	test_folder();
	test_changes();
	test_metadata_of_others();
	test_names();
	return test_end();
}
