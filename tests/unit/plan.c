#include "plan.h"
#include "err.h"
#include "partial.h"
#include "progress.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"
#include "xet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMIT "87f3c7095f3c62d911500958878d8b8287c4a2ee"
#define BIG (3u * PARTIAL_BLOCK)

static void
add(struct plan *p, const char *path, uint64_t size, unsigned char content)
{
	struct repo_file f = {.path = xstrdup(path), .size = size};

	f.digest.kind = HASH_SHA256;
	f.digest.b[0] = content;
	plan_add(p, &f);
	free(f.path);
}

static const struct plan_file *
find(const struct plan *p, const char *path)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->file[i].file.path, path) == 0)
			return &p->file[i];
	return NULL;
}

static bool
is(const struct plan *p, const char *path, enum plan_state state)
{
	const struct plan_file *f = find(p, path);

	return f && f->state == state;
}

/* The hash stands behind the path, through sorting, and only where it is worth
 * its memory. */
static void
test_xet(void)
{
	struct repo_ids ids = {.xet = "0123456789abcdef0123456789abcdef"
				      "0123456789abcdef0123456789abcdef"};
	struct plan p = {.file = NULL};
	char a[] = "a", b[] = "b", c[] = "c", d[] = "d";
	const struct repo_file f[] = {
	    {.path = c, .size = XET_SMALL + 1, .ids = &ids},
	    {.path = b, .size = XET_SMALL, .ids = &ids},
	    {.path = a, .size = XET_SMALL + 1},
	    {.path = d, .size = XET_SMALL + 1, .ids = &ids}};

	for (size_t i = 0; i < countof(f); i++)
		plan_add(&p, &f[i]);
	memset(&ids, 0, sizeof(ids));
	plan_check(&p, false);
	CHECK(!plan_xet(find(&p, "a")) && !plan_xet(find(&p, "b")));
	CHECK(plan_xet(find(&p, "c")) && strlen(plan_xet(find(&p, "c"))) == 64);
	CHECK(test_same(plan_xet(find(&p, "c")), plan_xet(find(&p, "d"))));
	CHECK(!find(&p, "c")->file.ids);
	plan_release(&p);
}

static void
test_check(void)
{
	struct plan p = {.file = NULL};

	plan_check(&p, true);
	add(&p, "back\\slash", 1, 6);
	add(&p, "b", 1, 1);
	add(&p, "a/../../x", 1, 2);
	add(&p, "B", 1, 3);
	add(&p, "a", 1, 4);
	add(&p, "/etc/passwd", 1, 5);
	plan_check(&p, false);
	CHECK(is(&p, "a", PLAN_FETCH) && is(&p, "b", PLAN_FETCH));
	CHECK(is(&p, "B", PLAN_FETCH));
	CHECK(is(&p, "a/../../x", PLAN_FAILED));
	CHECK(is(&p, "/etc/passwd", PLAN_FAILED));
	CHECK(find(&p, "/etc/passwd")->failure->kind == ERR_CONTENT);
	for (size_t i = 1; i < p.n; i++)
		CHECK(strcmp(p.file[i - 1].file.path, p.file[i].file.path) < 0);
	CHECK(is(&p, "back\\slash", PLAN_FETCH));
	plan_check(&p, true);
	CHECK(is(&p, "B", PLAN_FETCH) && is(&p, "b", PLAN_FETCH));
	CHECK(is(&p, "back\\slash", PLAN_FAILED));
	CHECK(find(&p, "back\\slash")->failure->kind == ERR_FILE);
	add(&p, "a", 7, 7);
	plan_check(&p, false);
	CHECK((p.file[2].state == PLAN_FAILED) +
		  (p.file[3].state == PLAN_FAILED) ==
	      1);
	plan_release(&p);
	CHECK(!p.n && !p.file);
}

static void
test_room(void)
{
	static const struct {
		uint64_t fetch, left, copy, free, max_file, size;
		int rv;
		size_t files;
		uint64_t free_files;
	} t[] = {
	    {100, 0, 0, 100, 100, 100, 0, 7, 7},
	    {100, 0, 0, 100, 100, 100, -1, 8, 7},
	    {100, 0, 0, 100, 100, 100, -1, 1, 0},
	    {100, 0, 0, 100, 100, 100, 0, 0, 0},
	    {100, 0, 0, 100, 100, 100, 0, 8, UINT64_MAX},
	    {100, 0, 0, 100, 100, 100, 0, 0, 0},
	    {100, 40, 0, 60, 100, 100, 0, 0, 0},
	    {100, 0, 20, 120, 100, 100, 0, 0, 0},
	    {0, 0, 0, 0, 0, 0, 0, 0, 0},
	    {100, 0, 0, UINT64_MAX, UINT64_MAX, 100, 0, 0, 0},
	    {100, 0, 0, 99, 100, 100, -1, 0, 0},
	    {100, 40, 0, 59, 100, 100, -1, 0, 0},
	    {100, 0, 20, 119, 100, 100, -1, 0, 0},
	    {100, 0, 0, 100, 99, 100, -1, 0, 0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct plan p = {.fetch = t[i].fetch,
		    .left = t[i].left,
		    .copy = t[i].copy,
		    .new_files = t[i].files};
		const struct folder_traits traits = {.free = t[i].free,
		    .max_file = t[i].max_file,
		    .free_files = t[i].free_files};
		struct err e;

		add(&p, "f", t[i].size, 1);
		CHECK_ROW(i, plan_room(&p, &traits, &e) == t[i].rv);
		CHECK_ROW(i, t[i].rv == 0 || e.kind == ERR_FILE);
		plan_release(&p);
	}
}

/* A plan that looks at a folder in which some files are. */
struct place {
	char path[SCRATCH_PATH];
	struct folder f;
	struct progress *progress;
};

static void
place_make(struct place *w)
{
	const struct progress_opts o = {.mode = PROGRESS_NONE, .quiet = true};
	struct err e;

	scratch_make(w->path);
	CHECK(folder_open(&w->f, w->path, false, &e) == 0);
	w->progress = progress_open(&o);
}

static void
place_release(struct place *w)
{
	progress_close(w->progress);
	folder_close(&w->f);
	scratch_remove(w->path);
}

static void
look(struct plan *p, const struct place *w, bool force, bool note)
{
	struct maker me = {.uid = geteuid()};
	const struct plan_how how = {
	    .folder = &w->f,
	    .prefix = LOCALDIR_PREFIX "/",
	    .commit = COMMIT,
	    .layout = true,
	    .note = note,
	    .maker = &me,
	    .force = force,
	    .progress = w->progress,
	};
	struct err e;

	plan_check(p, false);
	CHECK(plan_look(p, &how, &e) == 0);
}

static void
test_here(void)
{
	struct digest abc;
	struct hash h;
	struct place w;
	struct err e;

	place_make(&w);
	hash_init(&h, HASH_SHA256, 3);
	hash_update(&h, "abc", 3);
	hash_final(&h, &abc);
	CHECK(folder_write(&w.f, "same", str_of("abc"), &e) == 0);
	CHECK(folder_write(&w.f, "other", str_of("abd"), &e) == 0);
	CHECK(folder_write(&w.f, "longer", str_of("abcd"), &e) == 0);
	/* Not noted, noted, and what was hashed need not be again. */
	for (int run = 0; run < 4; run++) {
		bool force = run == 3;
		/* Times of whole seconds prove nothing. */
		bool noted = run == 2 && !scratch_tick();
		enum plan_state same = force   ? PLAN_FETCH
				       : noted ? PLAN_KEPT
					       : PLAN_PROVED;
		static const char *const names[] = {
		    "same", "other", "longer", "none"};
		struct plan p = {.file = NULL};

		for (size_t i = 0; i < countof(names); i++) {
			add(&p, names[i], 3, 0);
			p.file[i].file.digest = abc;
		}
		look(&p, &w, force, run);
		CHECK_ROW(run, is(&p, "same", same));
		CHECK(is(&p, "other", PLAN_FETCH));
		CHECK(is(&p, "longer", PLAN_FETCH));
		CHECK(is(&p, "none", PLAN_FETCH));
		CHECK(p.here == (force ? 0 : 3) && p.fetch == (force ? 12 : 9));
		plan_release(&p);
	}
	place_release(&w);
}

/* What could not be put in its place later. */
static void
test_places(void)
{
	static const struct {
		const char *path, *why;
	} t[] = {
	    {"folder", "the target is a folder"},
	    {"pipe", "a pipe"},
	    {"file/below", "a file, not a folder"},
	    {"link/below", "a symbolic link"},
	    {"link", NULL},
	    {"file", NULL},
	    {"folder/new", NULL},
	    {"new/new/new", NULL},
	};
	struct plan p = {.file = NULL};
	struct place w;
	struct err e;

	place_make(&w);
	CHECK(folder_write(&w.f, "file", str_of("x"), &e) == 0);
	CHECK(mkdirat(w.f.fd, "folder", 0777) == 0);
	CHECK(symlinkat("folder", w.f.fd, "link") == 0);
	CHECK(mkfifoat(w.f.fd, "pipe", 0666) == 0);
	for (size_t i = 0; i < countof(t); i++)
		add(&p, t[i].path, 10, 1);
	look(&p, &w, false, true);
	for (size_t i = 0; i < countof(t); i++) {
		const struct plan_file *f = find(&p, t[i].path);

		CHECK_ROW(i, (f->state == PLAN_FAILED) == (t[i].why != NULL));
		if (f->state == PLAN_FAILED)
			CHECK_ROW(i, strstr(f->failure->msg, t[i].why) &&
					 f->failure->kind == ERR_FILE);
	}
	CHECK(p.new_files == 2 && find(&p, "file")->there);
	plan_release(&p);
	place_release(&w);
}

/* As on a file system that folds names: two of them are one file. */
static void
test_same_name(void)
{
	struct plan p = {.file = NULL};
	struct place w;
	struct err e;

	place_make(&w);
	CHECK(folder_write(&w.f, "a", str_of("abc"), &e) == 0);
	CHECK(folder_write(&w.f, "c", str_of("abc"), &e) == 0);
	CHECK(linkat(w.f.fd, "a", w.f.fd, "b", 0) == 0);
	add(&p, "a", 3, 1);
	add(&p, "b", 3, 2);
	add(&p, "c", 3, 3);
	add(&p, "d", 3, 4);
	look(&p, &w, false, true);
	/* They have two links: they may well be two names. */
	CHECK(is(&p, "a", PLAN_FETCH) && is(&p, "b", PLAN_FETCH));
	CHECK(plan_same_name(&p, find(&p, "b"), &w.f, NULL) == find(&p, "a"));
	CHECK(plan_same_name(&p, find(&p, "a"), &w.f, NULL) == find(&p, "b"));
	CHECK(!plan_same_name(&p, find(&p, "c"), &w.f, NULL));
	CHECK(!plan_same_name(&p, find(&p, "d"), &w.f, NULL));
	CHECK(plan_same_name_error(find(&p, "a"), &e) < 0);
	CHECK(e.kind == ERR_FILE && strstr(e.msg, "'a'") && *e.hint);
	plan_release(&p);
	place_release(&w);
}

/* The same content is fetched once, if it is worth a copy. */
static void
test_copies(void)
{
	struct plan p = {.file = NULL};
	struct place w;

	place_make(&w);
	add(&p, "c", BIG, 1);
	add(&p, "b", BIG, 1);
	add(&p, "a", BIG, 2);
	add(&p, "d", BIG, 1);
	add(&p, "s1", 10, 3);
	add(&p, "s2", 10, 3);
	look(&p, &w, false, true);
	CHECK(is(&p, "a", PLAN_FETCH) && is(&p, "b", PLAN_FETCH));
	CHECK(is(&p, "c", PLAN_COPY) && is(&p, "d", PLAN_COPY));
	CHECK(is(&p, "s1", PLAN_FETCH) && is(&p, "s2", PLAN_FETCH));
	CHECK(find(&p, "c")->same == find(&p, "b"));
	CHECK(find(&p, "d")->same == find(&p, "b"));
	CHECK(p.fetch == 2 * BIG + 20 && p.copy == 2 * BIG);
	CHECK(p.to_fetch == 4 && p.to_copy == 2);
	plan_release(&p);
	place_release(&w);
}

int
main(void)
{
	test_check();
	test_xet();
	test_room();
	test_here();
	test_copies();
	test_places();
	test_same_name();
	return test_end();
}
