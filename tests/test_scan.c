#include "scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "mem.h"
#include "scratch.h"
#include "str.h"
#include "test.h"

/* A new folder, and what is made in it by a shell. */
struct place {
	char root[SCRATCH_PATH];
	struct folder f;
};

static void
shell(const struct place *p, const char *commands)
{
	struct buf b = buf_make(1 << 16);

	buf_printf(&b, "cd %s && %s", p->root, commands);
	CHECK(system(buf_cstr(&b)) == 0);
	buf_release(&b);
}

static void
place_init(struct place *p, const char *commands)
{
	struct err e;

	scratch_make(p->root);
	CHECK(folder_open(&p->f, p->root, false, &e) == 0);
	shell(p, commands);
}

static void
place_release(struct place *p)
{
	folder_close(&p->f);
	scratch_remove(p->root);
}

/* "a b/c": the paths that are found, one blank between them; or "!" and the
 * sentence. */
static char *
found(const struct place *p, const struct glob_list *include,
    const struct glob_list *exclude)
{
	struct buf b = buf_make(1 << 16);
	struct scan s;
	struct err e;

	buf_puts(&b, "");
	if (scan_folder(&p->f, include, exclude, &s, &e) < 0) {
		CHECK(e.kind == ERR_USAGE && !s.file && !s.n);
		buf_printf(&b, "!%s", e.msg);
	}
	for (size_t i = 0; i < s.n; i++)
		buf_printf(&b, "%s%s", i ? " " : "", s.file[i].path);
	scan_release(&s);
	return buf_detach(&b);
}

static const struct glob_list none = {NULL, 0};

static void
test_what_is_found(void)
{
	static const struct {
		const char *commands, *paths;
	} row[] = {
	    {":", ""},
	    {"mkdir -p a/b/c", ""},
	    {"touch b a c", "a b c"},
	    /* In the order of the paths, not of the folders: '-' < '/' <
	     * '0'. */
	    {"mkdir a && touch a/x a-x a0x", "a-x a/x a0x"},
	    {"touch .hidden .gitignore .gitattributes .github",
		".gitattributes .github .gitignore .hidden"},
	    {"mkdir -p .git a/.git && touch .git/x a/.git/x a/x", "a/x"},
	    {"touch .git && mkdir a && touch a/.git x", "x"},
	    {"mkdir -p .cache/huggingface/upload a/.cache/huggingface && "
	     "touch .cache/huggingface/upload/x a/.cache/huggingface/y z",
		"z"},
	    {"mkdir x.git x.cache && touch x.git/a x.cache/b",
		"x.cache/b x.git/a"},
	    {"touch a && ln -s a b", "a b"},
	    {"mkdir d && touch d/a && ln -s d e", "d/a"},
	    {"ln -s . loop && ln -s none broken && mkfifo pipe && touch a",
		"a"},
	    {"touch 'a b' '#?%+'", "#?%+ a b"},
	    {"touch \"$(printf 'u\\303\\274')\"", "u\xc3\xbc"},
	};

	for (size_t i = 0; i < countof(row); i++) {
		struct place p;
		char *paths;

		place_init(&p, row[i].commands);
		paths = found(&p, &none, &none);
		CHECK_ROW(i, strcmp(paths, row[i].paths) == 0);
		free(paths);
		place_release(&p);
	}
}

static void
test_what_is_refused(void)
{
	static const struct {
		const char *commands, *words;
	} row[] = {
	    {"mkdir .cache && touch .cache/x", "'.cache/x'"},
	    {"mkdir -p a/.cache/b && touch a/.cache/b/x", "'a/.cache/b/x'"},
	    {"touch .cache", "'.cache'"},
	    {"touch \"$(printf 'a\\nb')\"", "control character"},
	    {"touch \"$(printf 'a\\177b')\"", "control character"},
	    {"touch 'a\\b'", "backslash"},
	    {"touch \"$(printf 'a\\377b')\"", "not UTF-8"},
	    {"touch \"$(printf '\\355\\240\\200')\"", "not UTF-8"},
	    {"d=$(printf '%0250d' 1)/$(printf '%0250d' 2)/$(printf '%0250d' 3) "
	     "&& mkdir -p $d && touch $d/$(printf '%0248d' 4)",
		"longer than 1000 bytes"},
	    {"truncate -s 500000000001 big 2>/dev/null", "500 GB"},
	};

	for (size_t i = 0; i < countof(row); i++) {
		struct place p;
		char *paths;

		place_init(&p, row[i].commands);
		paths = found(&p, &none, &none);
		CHECK_ROW(i, *paths == '!' && strstr(paths, row[i].words));
		free(paths);
		place_release(&p);
	}
}

/* What is just allowed. */
static void
test_limits(void)
{
	struct place p;
	struct scan s;
	struct err e;

	place_init(&p,
	    "d=$(printf '%0250d' 1)/$(printf '%0250d' 2)/$(printf '%0250d' 3) "
	    "&& mkdir -p $d && touch $d/$(printf '%0247d' 4) && "
	    "truncate -s 500000000000 big");
	CHECK(scan_folder(&p.f, &none, &none, &s, &e) == 0);
	CHECK(s.n == 2 && strlen(s.file[0].path) == SCAN_PATH_MAX);
	CHECK(s.file[1].size == SCAN_FILE_MAX && s.size == SCAN_FILE_MAX);
	scan_release(&s);
	place_release(&p);
}

static void
test_entries(void)
{
	const struct glob_list without = {(const char *const[]){"x1"}, 1};
	struct place p;
	char *paths;

	place_init(&p,
	    "mkdir sub x && seq -f 'sub/%.0f' 1 10000 | xargs touch && "
	    "seq -f 'x%.0f' 1 9998 | xargs touch");
	/* 9998 files and two folders, in one of them 10,000 files. */
	paths = found(&p, &none, &none);
	CHECK(*paths != '!');
	free(paths);
	shell(&p, "touch one");
	paths = found(&p, &none, &none);
	CHECK(*paths == '!' && strstr(paths, "'.'") && strstr(paths, "10,000"));
	free(paths);
	/* What is left out counts for nothing. */
	paths = found(&p, &none, &without);
	CHECK(*paths != '!');
	free(paths);
	shell(&p, "rm x1 && touch sub/10001");
	paths = found(&p, &none, &none);
	CHECK(*paths == '!' && strstr(paths, "'sub/'"));
	free(paths);
	place_release(&p);
}

static void
test_patterns(void)
{
	static const char *const texts[] = {"*.txt"};
	static const char *const cache[] = {"*.cache/*", "b*"};
	const struct glob_list in = {texts, 1}, out = {cache, 2};
	struct place p;
	char *paths;

	place_init(&p,
	    "mkdir -p a/.cache && touch a.txt a/x.txt a/y.bin a/.cache/z.txt "
	    "b.txt && ln -s none broken");
	paths = found(&p, &in, &out);
	CHECK(strcmp(paths, "a.txt a/x.txt") == 0);
	free(paths);
	paths = found(&p, &none, &out);
	CHECK(strcmp(paths, "a.txt a/x.txt a/y.bin") == 0);
	free(paths);
	paths = found(&p, &in, &none);
	CHECK(*paths == '!');
	free(paths);
	place_release(&p);
}

static void
test_passed_over(void)
{
	const struct glob_list out = {(const char *const[]){"pipe"}, 1};
	struct place p;
	struct scan s;
	struct err e;

	place_init(&p, "mkfifo pipe && ln -s none broken && ln -s . loop && "
		       "printf 12345 >a && ln a b && ln -s a c");
	CHECK(scan_folder(&p.f, &none, &none, &s, &e) == 0);
	CHECK(s.n == 3 && s.size == 15 && s.skipped == 3);
	CHECK(s.file[0].inode == s.file[1].inode);
	CHECK(s.file[0].inode == s.file[2].inode && s.file[2].size == 5);
	scan_release(&s);
	CHECK(scan_folder(&p.f, &none, &out, &s, &e) == 0 && s.skipped == 2);
	scan_release(&s);
	place_release(&p);
}

static void
test_one(void)
{
	static const struct {
		const char *name;
		enum err_kind kind;
		const char *words;
	} bad[] = {
	    {"none", ERR_FILE, "'none'"},
	    {"d", ERR_USAGE, "neither"},
	    {"pipe", ERR_USAGE, "neither"},
	    {"broken", ERR_FILE, "'broken'"},
	    {".git", ERR_USAGE, "'.git'"},
	    {"a\\b", ERR_USAGE, "backslash"},
	};
	struct place p;
	struct scan s;
	struct err e;

	place_init(&p, "printf 123 >a && ln -s a link && mkdir d && "
		       "mkfifo pipe && ln -s none broken && touch .git 'a\\b'");
	for (size_t i = 0; i < countof(bad); i++) {
		CHECK_ROW(i, scan_one(&p.f, bad[i].name, &s, &e) < 0);
		CHECK_ROW(i, e.kind == bad[i].kind);
		CHECK_ROW(i, strstr(e.msg, bad[i].words) && !s.n);
	}
	CHECK(scan_one(&p.f, "link", &s, &e) == 0);
	CHECK(s.n == 1 && s.size == 3 && strcmp(s.file[0].path, "link") == 0);
	scan_release(&s);
	place_release(&p);
}

/* A file is read only as long as it is the one that was listed. */
static void
test_changes(void)
{
	const struct {
		const char *commands;
		enum err_kind kind;
	} row[] = {
	    {":", ERR_NONE},
	    {"cat a >/dev/null && mkdir other", ERR_NONE},
	    {"printf 1234 >a && touch -d @1000 a", ERR_CONTENT},
	    {"printf xyz >a", ERR_CONTENT},
	    {"touch -d @1001 a", ERR_CONTENT},
	    /* This cannot be seen where times are whole seconds. */
	    {"touch -d @1000.000000001 a",
		scratch_tick() ? ERR_NONE : ERR_CONTENT},
	    {"cp -p a b && mv b a", ERR_CONTENT},
	    {"rm a", ERR_FILE},
	    {"rm a && mkfifo a", ERR_CONTENT},
	    {"rm a && mkdir a", ERR_CONTENT},
	};

	for (size_t i = 0; i < countof(row); i++) {
		struct place p;
		struct scan s;
		struct err e = {.kind = ERR_NONE};
		int fd;

		place_init(&p, "printf 123 >a && touch -d @1000 a");
		CHECK(scan_one(&p.f, "a", &s, &e) == 0);
		shell(&p, row[i].commands);
		fd = scan_open(&p.f, &s.file[0], &e);
		CHECK_ROW(i, (fd < 0) == (row[i].kind != ERR_NONE));
		CHECK_ROW(i, fd >= 0 || e.kind == row[i].kind);
		CHECK_ROW(i, fd >= 0 || strstr(e.msg, "'a'"));
		if (fd >= 0) {
			CHECK(scan_unchanged(fd, &s.file[0], &e) == 0);
			shell(&p, "printf 4 >>a");
			CHECK(scan_unchanged(fd, &s.file[0], &e) < 0);
			CHECK(e.kind == ERR_CONTENT && *e.hint);
			close(fd);
		}
		scan_release(&s);
		place_release(&p);
	}
}

int
main(void)
{
	test_what_is_found();
	test_what_is_refused();
	test_limits();
	test_entries();
	test_patterns();
	test_passed_over();
	test_one();
	test_changes();
	return test_end();
}
