#include "file.h"

/* A file system with a clock of 7 ms, or whose files have another number each
 * time, and a disk that fails. */
static void rough_stamp_of(const struct stat *st, struct stamp *out);
static int failing_filehash(int fd, uint64_t size, enum hash_kind kind,
    const char *name, void (*moved)(void *ctx, size_t n), void *ctx,
    struct digest *out, struct err *e);

#define stamp_of rough_stamp_of
#define filehash failing_filehash
#include "../../site.c"
#undef stamp_of
#undef filehash

#include "tests/unit/box.h"

static bool rough, restless, fails;
static const char *failing; /* the name of the only one; NULL: all */
static unsigned hashed;

static void
rough_stamp_of(const struct stat *st, struct stamp *out)
{
	const int64_t tick = 7000001;

	static uint64_t number;

	stamp_of(st, out);
	if (restless)
		out->inode = ++number;
	if (!rough)
		return;
	out->mtime -= out->mtime % tick;
	out->ctime -= out->ctime % tick;
}

static int
failing_filehash(int fd, uint64_t size, enum hash_kind kind, const char *name,
    void (*moved)(void *ctx, size_t n), void *ctx, struct digest *out,
    struct err *e)
{
	hashed++;
	if (fails && (!failing || strcmp(name, failing) == 0))
		return err_set(e, ERR_FILE, "cannot read '%s': it fails", name);
	return filehash(fd, size, kind, name, moved, ctx, out, e);
}

static void
test_proof(void)
{
	struct box b;
	char path[SCRATCH_PATH + 8];
	struct stat st;
	struct digest d;
	struct err e;

	box_make(&b);
	put_recorded(&b.root.folder, "right", "right\n", HASH_GIT, NEW, 20);
	put_recorded(&b.root.folder, "wrong", "wrong\n", HASH_SHA256, NEW, 20);
	put(&b.root.folder, "wrong", "other\n");
	box_look(&b);
	/* Nothing is known of either: a listing would look whole. */
	expect(0, get(&b, "/api/models/org/name/tree/main"), 503,
	    "Retry-After: ", "");
	expect(1, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	CHECK(b.notes == 1 && site_count(b.site).wrong == 1);
	expect(2, get(&b, "/org/name/resolve/main/right"), 200, "right\n", "");
	expect(3, get(&b, "/org/name/resolve/main/wrong"), 404, "", "");
	expect(4, get(&b, "/api/models/org/name/tree/main"), 200,
	    "\"path\":\"right\"}]", "");
	/* One that changes is offered no more, and when it is right again, it
	 * is. */
	replace(&b, "right", "rigth\n");
	expect(5, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	expect(6, get(&b, "/org/name/resolve/main/right"), 404, "", "");
	expect(6, get(&b, "/org/name/resolve/main/right"), 404, "", "");
	replace(&b, "right", "right\n");
	expect(6, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	expect(6, get(&b, "/org/name/resolve/main/right"), 200, "right\n", "");
	/* So is one that could not be read for a while. */
	CHECK(folder_remove(&b.root.folder, "right", &e) == 0);
	snprintf(path, sizeof(path), "%s/right", b.path);
	CHECK(mkdir(path, 0700) == 0);
	expect(6, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	CHECK(b.notes == 3);
	expect(6, get(&b, "/org/name/resolve/main/right"), 404, "", "");
	CHECK(rmdir(path) == 0);
	replace(&b, "right", "right\n");
	expect(6, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	expect(6, get(&b, "/org/name/resolve/main/right"), 200, "right\n", "");
	replace(&b, "right", "rigth\n");
	expect(6, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	replace(&b, "right", "right\n");
	box_look(&b);
	expect(7, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	/* What is proved stays proved, when it looks again. */
	box_look(&b);
	if (!scratch_tick())
		expect(8, get(&b, "/org/name/resolve/main/right"), 200,
		    "right\n", "");
	/* With our stamp it is so at once. */
	hash_of("stamped\n", HASH_GIT, &d);
	put(&b.root.folder, "stamped", "stamped\n");
	CHECK(folder_stat(&b.root.folder, "stamped", &st, &e) == 0);
	CHECK(localdir_note(&b.root.folder, "stamped", NEW, "models/o/n", &d,
		  &st, &e) == 0);
	site_release(b.site);
	b.site = NULL;
	box_look(&b);
	if (!scratch_tick())
		expect(9, get(&b, "/org/name/resolve/main/stamped"), 200,
		    "stamped\n", "");
	box_release(&b);
}

/* What is hashed while it looks again counts as well, and what was found to be
 * wrong is not hashed again. */
static void
test_looking_again(void)
{
	struct box b;
	struct site *before;
	struct err e;

	box_make(&b);
	put_recorded(&b.root.folder, "right", "right\n", HASH_GIT, NEW, 20);
	put_recorded(&b.root.folder, "wrong", "wrong\n", HASH_GIT, NEW, 20);
	put(&b.root.folder, "wrong", "other\n");
	box_look(&b);
	before = site_keep(b.site);
	box_look(&b);
	CHECK(site_count(b.site).unproved == 2);
	hashed = 0;
	while (site_prove(before, &e) > 0)
		;
	CHECK(hashed == 2 && site_count(b.site).unproved == 2);
	site_inherit(b.site, before);
	site_release(before);
	CHECK(site_count(b.site).unproved == 0);
	CHECK(site_count(b.site).wrong == 1);
	expect(0, get(&b, "/org/name/resolve/main/right"), 200, "right\n", "");
	expect(1, get(&b, "/org/name/resolve/main/wrong"), 404, "", "");
	box_look(&b);
	box_prove(&b);
	CHECK(hashed == 2);
	/* A look sees what has changed meanwhile. */
	replace(&b, "wrong", "wrong\n");
	replace(&b, "right", "rigth\n");
	box_look(&b);
	CHECK(site_count(b.site).unproved == 2);
	box_prove(&b);
	expect(2, get(&b, "/org/name/resolve/main/right"), 404, "", "");
	expect(3, get(&b, "/org/name/resolve/main/wrong"), 200, "wrong\n", "");
	box_release(&b);
}

/* However often it looks, each file has its turn. */
static void
test_turns(void)
{
	struct box b;
	struct err e;
	char path[8], text[8];

	box_make(&b);
	for (unsigned i = 0; i < 9; i++) {
		snprintf(path, sizeof(path), "%u", i);
		snprintf(text, sizeof(text), "%u\n", i);
		put_recorded(&b.root.folder, path, text, HASH_SHA256, NEW, 20);
	}
	box_look(&b);
	fails = true;
	failing = "0";
	for (unsigned i = 0; i < 9; i++) {
		CHECK_ROW(i, site_count(b.site).files == (i ? i - 1 : 0));
		CHECK(site_prove(b.site, &e) == 1);
		box_look(&b);
	}
	CHECK(site_count(b.site).files == 8 && b.notes == 1);
	fails = false;
	failing = NULL;
	box_release(&b);
}

/* A file that cannot be read is not tried again for each request, but once it is
 * another one, and when it looks again. */
static void
test_failing_disk(void)
{
	struct box b;
	static const char path[] = "/org/name/resolve/main/right";

	box_make(&b);
	put_recorded(&b.root.folder, "right", "right\n", HASH_GIT, NEW, 20);
	box_look(&b);
	hashed = 0;
	fails = true;
	box_prove(&b);
	for (unsigned i = 0; i < 3; i++) {
		expect(0, get(&b, path), 404, "EntryNotFound", "");
		expect(1, get(&b, "/api/models/org/name/tree/main"), 200,
		    "\n[]", "");
		box_prove(&b);
	}
	CHECK(hashed == 1 && b.notes == 1 && site_count(b.site).wrong == 1);
	box_look(&b);
	box_prove(&b);
	CHECK(hashed == 2 && b.notes == 2);
	fails = false;
	expect(2, get(&b, path), 404, "", "");
	replace(&b, "right", "right\n");
	expect(3, get(&b, path), 503, "", "");
	box_prove(&b);
	expect(4, get(&b, path), 200, "right\n", "");
	fails = true;
	replace(&b, "right", "other\n");
	expect(5, get(&b, path), 503, "", "");
	box_prove(&b);
	fails = false;
	box_look(&b);
	box_prove(&b);
	expect(6, get(&b, path), 404, "", "");
	CHECK(hashed == 5);
	box_release(&b);
}

/* A change right after the proof leaves the stamp as it is. */
static void
test_rough_clock(void)
{
	struct box b;
	char path[SCRATCH_PATH + 8];
	int fd;

	rough = true;
	for (unsigned i = 0; i < 20; i++) {
		char *answer;

		box_make(&b);
		put_recorded(
		    &b.root.folder, "right", "right\n", HASH_GIT, NEW, 20);
		box_look(&b);
		box_prove(&b);
		snprintf(path, sizeof(path), "%s/right", b.path);
		fd = open(path, O_WRONLY);
		CHECK(fd >= 0 && write(fd, "rigth\n", 6) == 6);
		close(fd);
		answer = get(&b, "/org/name/resolve/main/right");
		CHECK_ROW(i, strtoul(answer, NULL, 10) == 503);
		free(answer);
		box_release(&b);
	}
	rough = false;
}

/* It does not go on for ever with a file that always looks changed. */
static void
test_restless_file(void)
{
	struct box b;

	box_make(&b);
	put_recorded(&b.root.folder, "right", "right\n", HASH_GIT, NEW, 20);
	restless = true;
	box_look(&b);
	box_prove(&b);
	CHECK(b.notes == 1 && site_count(b.site).wrong == 1);
	restless = false;
	expect(0, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	expect(1, get(&b, "/org/name/resolve/main/right"), 200, "right\n", "");
	box_release(&b);
}

/* A link is not followed, whatever its metadata says. */
static void
test_links(void)
{
	struct box b;
	char path[64];

	box_make(&b);
	put_recorded(&b.root.folder, "a/in", "in\n", HASH_GIT, NEW, 20);
	put_recorded(&b.root.folder, "file", "in\n", HASH_GIT, NEW, 20);
	snprintf(path, sizeof(path), "%s/file", b.path);
	CHECK(unlink(path) == 0 && symlink("a/in", path) == 0);
	box_look(&b);
	box_prove(&b);
	expect(0, get(&b, "/org/name/resolve/main/file"), 404, "", "");
	expect(1, get(&b, "/org/name/resolve/main/a/in"), 200, "in\n", "");
	/* Nor is one that comes later. */
	snprintf(path, sizeof(path), "%s/a", b.path);
	CHECK(rename(path, "/tmp/hub_test_moved") == 0);
	CHECK(symlink("/tmp/hub_test_moved", path) == 0);
	expect(2, get(&b, "/org/name/resolve/main/a/in"), 503, "", "");
	box_prove(&b);
	expect(3, get(&b, "/org/name/resolve/main/a/in"), 404, "", "");
	scratch_remove("/tmp/hub_test_moved");
	box_release(&b);
}

static void
test_refusals(void)
{
	struct box b;
	struct err e;

	box_make(&b);
	CHECK(!site_look(&b.setup, NULL, &e) && e.kind == ERR_ABSENT);
	/* Its metadata does not name the repository. */
	free(b.root.repo);
	b.root.repo = NULL;
	put_recorded(&b.root.folder, "file", "in\n", HASH_GIT, NEW, 20);
	CHECK(!site_look(&b.setup, NULL, &e) && e.kind == ERR_USAGE);
	CHECK(strstr(e.hint, "-p ORG/NAME=") != NULL);
	/* Names that may not be written are not offered. */
	b.root.repo = xstrdup("models/name");
	put(&b.root.folder, LOCALDIR_PREFIX "/.git/x.metadata",
	    NEW "\nce013625030ba8dba906f756967f9e9ca394464a\n1.0\n");
	put(&b.root.folder, ".git/x", "hello\n");
	put(&b.root.folder, LOCALDIR_PREFIX "/damaged.metadata", "x");
	put(&b.root.folder, "damaged", "hello\n");
	box_look(&b);
	box_prove(&b);
	CHECK(site_count(b.site).files == 1);
	expect(0, get(&b, "/name/resolve/main/file"), 200, "in\n", "");
	expect(1, get(&b, "/name/resolve/main/.git/x"), 404, "", "");
	expect(2, get(&b, "/api/models/name/tree/main"), 200, "file", "");
	box_release(&b);
}

int
main(void)
{
	test_proof();
	test_failing_disk();
	test_restless_file();
	/* Elsewhere the stamps of a path and of an open file differ. */
	if (!scratch_tick()) {
		test_looking_again();
		test_turns();
		test_rough_clock();
	}
	test_links();
	test_refusals();
	return test_end();
}
