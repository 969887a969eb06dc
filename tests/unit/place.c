
#include "../../journal.c"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"

struct bench {
	char root[SCRATCH_PATH];
	struct folder folder;
	struct place at;
};

static void
setup(struct bench *b)
{
	struct err e;

	scratch_make(b->root);
	CHECK(folder_open(&b->folder, b->root, false, &e) == 0);
	CHECK(mkdirat(b->folder.fd, "d", 0700) == 0);
	CHECK(place_find(&b->at, &b->folder, "d", "x", &e) == 0);
	b->at.network = false;
}

static void
teardown(struct bench *b)
{
	place_release(&b->at);
	place_release(&b->at);
	folder_close(&b->folder);
	scratch_remove(b->root);
}

/* Writes ctx, or fails. */
static int
fill(void *ctx, int fd)
{
	const char *text = ctx;

	if (!text)
		return -1;
	return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

static bool
holds(const struct bench *b, const char *name, const char *want)
{
	char got[16] = {0};
	int fd = openat(b->at.dir, name, O_RDONLY);
	bool same = fd >= 0 && read(fd, got, sizeof(got) - 1) >= 0 &&
		    strcmp(got, want) == 0;

	if (fd >= 0)
		close(fd);
	return same;
}

static int
replace(struct bench *b, const char *text)
{
	char *copy = text ? xstrdup(text) : NULL;
	struct err e = {0};
	int fd = place_replace(&b->at, fill, copy, &e);

	CHECK((fd < 0) == (e.kind == ERR_FILE));
	free(copy);
	return fd;
}

static void
test_replace(void)
{
	struct bench b;
	struct stat st;
	bool busy;
	int fd;

	setup(&b);
	CHECK(strstr(b.at.shown, "/d/x") != NULL);
	CHECK(place_open(&b.at, &busy) < 0 && !busy);
	fd = replace(&b, "one");
	CHECK(fd >= 0 && holds(&b, "x", "one"));
	CHECK(fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0600);
	CHECK(write(fd, "!", 1) == 1 && holds(&b, "x", "one!"));
	close(fd);
	CHECK(replace(&b, NULL) < 0 && holds(&b, "x", "one!"));
	CHECK(faccessat(b.at.dir, "x.new", F_OK, 0) < 0);
	/* What a kill left in between is no obstacle. */
	close(openat(b.at.dir, "x.new", O_CREAT | O_WRONLY, 0600));
	fd = replace(&b, "two");
	CHECK(fd >= 0 && holds(&b, "x", "two"));
	close(fd);
	place_set_aside(&b.at);
	CHECK(holds(&b, "x.old", "two") && !holds(&b, "x", "two"));
	place_set_aside(&b.at); /* there is none */
	CHECK(holds(&b, "x.old", "two"));
	teardown(&b);
}

static void
test_lock(void)
{
	struct bench b;
	bool busy;
	int first, second;

	setup(&b);
	first = replace(&b, "one");
	second = place_open(&b.at, &busy);
	CHECK(second >= 0 && busy); /* it may be read all the same */
	close(second);
	b.at.network = true;
	second = place_open(&b.at, &busy);
	CHECK(second >= 0 && !busy);
	close(second);
	b.at.network = false;
	close(first);
	first = place_open(&b.at, &busy);
	CHECK(first >= 0 && !busy);
	second = place_open(&b.at, &busy);
	CHECK(second >= 0 && busy);
	close(second);
	close(first);
	teardown(&b);
}

/* Only a regular file is taken, and never through a link. */
static void
test_foreign(void)
{
	struct bench b;
	bool busy;

	setup(&b);
	close(openat(b.at.dir, "y", O_CREAT | O_WRONLY, 0600));
	CHECK(symlinkat("y", b.at.dir, "x") == 0);
	CHECK(place_open(&b.at, &busy) < 0 && !busy);
	unlinkat(b.at.dir, "x", 0);
	CHECK(mkfifoat(b.at.dir, "x", 0600) == 0);
	CHECK(place_open(&b.at, &busy) < 0 && !busy);
	unlinkat(b.at.dir, "x", 0);
	CHECK(mkdirat(b.at.dir, "x", 0700) == 0);
	CHECK(place_open(&b.at, &busy) < 0 && !busy);
	unlinkat(b.at.dir, "x", AT_REMOVEDIR);
	if (geteuid() == 0) {
		close(openat(b.at.dir, "x", O_CREAT | O_WRONLY, 0600));
		CHECK(fchownat(b.at.dir, "x", 1, 1, 0) == 0);
		CHECK(place_open(&b.at, &busy) < 0 && !busy);
	}
	teardown(&b);
}

static void
test_find(void)
{
	struct bench b;
	struct place at;
	struct err e = {0};

	setup(&b);
	CHECK(place_find(&at, &b.folder, "missing", "x", &e) < 0);
	CHECK(e.kind == ERR_FILE && at.dir < 0);
	CHECK(place_find(&at, &b.folder, "", "x", &e) == 0);
	CHECK(faccessat(at.dir, "d", F_OK, 0) == 0);
	place_release(&at);
	teardown(&b);
}

int
main(void)
{
	test_replace();
	test_lock();
	test_foreign();
	test_find();
	return test_end();
}
