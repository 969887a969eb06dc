#include "err.h"
#include "localdir.h"
#include "mem.h"
#include "scratch.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
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
	}
}

static void
test_format(void)
{
	struct buf b = buf_make(1000);
	struct localdir_meta m;
	struct digest d;

	CHECK(digest_parse(str_of(SHA), &d) == 0);
	localdir_meta_format(&b, COMMIT, &d, 1787306412, 7043);
	CHECK(str_eq(buf_str(&b), COMMIT "\n" SHA "\n1787306412.007043\n"));
	CHECK(localdir_meta_parse(buf_str(&b), &m) == 0);
	CHECK(digest_same(&m.digest, &d) && m.seconds == 1787306412);
	buf_release(&b);
}

/* What is on the disk, and what may have happened to it. */
static bool
has(const struct folder *f, const struct digest *d)
{
	struct stat st;
	struct err e;

	return folder_stat(f, "a/b", &st, &e) == 0 && S_ISREG(st.st_mode) &&
	       localdir_has(f, "a/b", &st, d);
}

static void
test_folder(void)
{
	char path[SCRATCH_PATH];
	struct folder f;
	struct digest d, other;
	struct timespec later[2];
	struct err e;

	CHECK(digest_parse(str_of(OID), &d) == 0);
	other = d;
	other.b[3] ^= 1;
	scratch_make(path);
	CHECK(folder_open(&f, path, false, &e) == 0);
	CHECK(localdir_prepare(&f, &e) == 0);
	CHECK(localdir_prepare(&f, &e) == 0);
	CHECK(!has(&f, &d));
	CHECK(folder_write(&f, "a/b", str_of("abc"), false, &e) == 0);
	CHECK(!has(&f, &d));
	CHECK(localdir_note(&f, "a/b", COMMIT, &d, &e) == 0);
	CHECK(has(&f, &d));
	CHECK(!has(&f, &other));
	/* Touched since: what it holds is no longer known. */
	clock_gettime(CLOCK_REALTIME, &later[0]);
	later[0].tv_sec += 10;
	later[1] = later[0];
	CHECK(utimensat(f.fd, "a/b", later, 0) == 0);
	CHECK(!has(&f, &d));
	CHECK(localdir_note(&f, "a/b", COMMIT, &d, &e) == 0);
	CHECK(localdir_note(&f, SHA ".part/x", COMMIT, &d, &e) < 0);
	CHECK(localdir_note(&f, OID ".state/x/y", COMMIT, &d, &e) < 0);
	CHECK(e.kind == ERR_FILE);
	CHECK(localdir_note(&f, SHA ".part", COMMIT, &d, &e) == 0);
	CHECK(localdir_note(&f, "x/" SHA ".part/x", COMMIT, &d, &e) == 0);
	CHECK(folder_remove(&f, "a/b", &e) == 0);
	CHECK(!has(&f, &d));
	CHECK(mkdirat(f.fd, "a/b", 0777) == 0);
	CHECK(!has(&f, &d));
	folder_close(&f);
	scratch_remove(path);
}

int
main(void)
{
	test_parse();
	test_format();
	test_folder();
	return test_end();
}
