#define _GNU_SOURCE /* strcasestr */

#include "changes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"

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
	const struct scan_rules rules = {
	    .include = *include, .exclude = *exclude};

	buf_puts(&b, "");
	if (scan_folder(&p->f, &rules, &s, &e) < 0) {
		CHECK(e.kind == ERR_USAGE && !s.file && !s.n);
		buf_printf(&b, "!%s", e.msg);
	}
	for (size_t i = 0; i < s.n; i++)
		buf_printf(&b, "%s%s%s", i ? " " : "", s.file[i].path,
		    s.file[i].failure ? "!" : "");
	scan_release(&s);
	return buf_detach(&b);
}

static const struct glob_list none = {NULL, 0};
static const struct scan_rules all;

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
	    {"ln -s . loop && mkfifo pipe && touch a", "a"},
	    {"ln -s none broken && touch a", "a broken!"},
	    {"ln -s y x && ln -s x y && touch a && ln -s a/b z", "a x! y! z!"},
	    {"touch .env .env.local .envrc a.env && mkdir .env.d && "
	     "touch .env.d/x d.env && ln -s .env link",
		".env.d/x .envrc a.env d.env"},
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
	CHECK(scan_folder(&p.f, &all, &s, &e) == 0);
	CHECK(s.n == 2 && strlen(s.file[0].path) == SCAN_PATH_MAX);
	CHECK(s.file[1].stamp.size == SCAN_FILE_MAX && s.size == SCAN_FILE_MAX);
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

/* "kind:path ...": what is passed over, in the order of the kinds. */
static char *
passed(const struct scan *s)
{
	struct buf b = buf_make(1000);

	buf_puts(&b, "");
	for (unsigned kind = 0; kind < SCAN_KINDS; kind++)
		for (size_t i = 0; i < s->passed_n; i++)
			if (s->passed[i].kind == kind)
				buf_printf(
				    &b, "%u:%s ", kind, s->passed[i].path);
	return buf_detach(&b);
}

static void
test_passed_over(void)
{
	const struct scan_rules out = {
	    .exclude = {(const char *const[]){"pipe"}, 1}};
	struct place p;
	struct scan s;
	struct err e;
	char *text;

	place_init(&p, "mkfifo pipe && ln -s . loop && touch .env && "
		       "printf 12345 >a && ln a b && ln -s a c");
	CHECK(scan_folder(&p.f, &all, &s, &e) == 0);
	CHECK(s.n == 3 && s.size == 15);
	text = passed(&s);
	CHECK(strcmp(text, "0:loop 1:pipe 2:.env ") == 0);
	free(text);
	CHECK(s.file[0].stamp.inode == s.file[1].stamp.inode);
	CHECK(s.file[0].stamp.inode == s.file[2].stamp.inode);
	CHECK(s.file[2].stamp.size == 5 && !s.outside);
	scan_release(&s);
	CHECK(scan_folder(&p.f, &out, &s, &e) == 0);
	text = passed(&s);
	CHECK(strcmp(text, "0:loop 2:.env ") == 0);
	free(text);
	scan_release(&s);
	place_release(&p);
}

/* What names a .env, and what only matches it. */
static void
test_named(void)
{
	static const struct {
		const char *include;
		bool named;
	} row[] = {
	    {".env", true},
	    {"sub/.ENV.x", true},
	    {"s*/.ENV.x", true},
	    {"sub\\.ENV.x", true},
	    {"sub/", false},
	    {"sub\\", false},
	    {"sub/.ENV.x/", false},
	    {"s", false},
	    {"sub/.env", false},
	    {"*/.env", false},
	    {"*.env", false},
	    {"*", false},
	    {".en[v]", false},
	    {".env*", false},
	    {".e?v", false},
	};

	for (size_t i = 0; i < countof(row); i++) {
		const struct glob_list in = {&row[i].include, 1};
		struct place p;
		char *paths;

		place_init(&p, "mkdir sub && touch .env a sub/.ENV.x sub/b");
		paths = found(&p, &in, &none);
		CHECK_ROW(
		    i, (strcasestr(paths, ".env") != NULL) == row[i].named);
		free(paths);
		place_release(&p);
	}
}

/* A file that holds a token is not sent by any of its names. */
static void
test_secret(void)
{
	static const char *const in[] = {".env"};
	char path[SCRATCH_PATH + 16];
	const char *const secret[] = {"/nowhere/at/all", path};
	const struct scan_rules rules = {.secret = secret, .secret_n = 2};
	const struct scan_rules named = {
	    .include = {in, 1}, .secret = secret, .secret_n = 2};
	struct place p;
	struct scan s;
	struct err e;
	char *text;

	place_init(&p, "touch .env a && ln .env hard && ln -s .env soft && "
		       "mkdir sub && ln -s ../.env sub/x");
	snprintf(path, sizeof(path), "%s/.env", p.root);
	CHECK(scan_folder(&p.f, &rules, &s, &e) == 0);
	text = passed(&s);
	CHECK(s.n == 1 && strcmp(s.file[0].path, "a") == 0);
	CHECK(s.passed_n == 4 && !strchr(text, '2'));
	free(text);
	scan_release(&s);
	CHECK(scan_folder(&p.f, &named, &s, &e) == 0);
	CHECK(s.n == 0 && s.passed_n == 1);
	scan_release(&s);
	CHECK(scan_one(&p.f, "hard", &rules, &s, &e) < 0);
	CHECK(e.kind == ERR_USAGE && strstr(e.msg, "'hard'"));
	CHECK(scan_one(&p.f, "a", &rules, &s, &e) == 0);
	scan_release(&s);
	CHECK(scan_one(&p.f, ".env", &all, &s, &e) == 0);
	scan_release(&s);
	/* The path names the link, and not the file. */
	CHECK(scan_one(&p.f, "soft", &all, &s, &e) < 0);
	CHECK(e.kind == ERR_USAGE && strstr(e.msg, "'soft'"));
	place_release(&p);
}

/* Links that lead out of the folder are counted, those inside are not. */
static void
test_outside(void)
{
	struct place p;
	struct scan s;
	struct err e;

	place_init(&p,
	    "mkdir in in/sub inside && touch in/a out inside/x && "
	    "ln -s ../a in/sub/up && ln -s ../out in/o && "
	    "ln -s ../inside/x in/sub/i && ln -s \"$PWD/in/a\" in/abs");
	folder_close(&p.f);
	snprintf(p.root + strlen(p.root), 4, "/in");
	CHECK(folder_open(&p.f, p.root, false, &e) == 0);
	p.root[strlen(p.root) - 3] = '\0';
	CHECK(scan_folder(&p.f, &all, &s, &e) == 0);
	/* "../inside/x" from sub leads nowhere. */
	CHECK(s.n == 5 && s.outside == 1 && strcmp(s.outside_first, "o") == 0);
	scan_release(&s);
	place_release(&p);
}

/* Whoever may write into a folder could lead us to files of ours. */
static void
test_foreign(void)
{
	struct place p;
	char *paths;

	if (geteuid() != 0)
		return;
	place_init(&p, "touch a && ln -s a ours && ln -s a theirs && "
		       "ln -s . dir && chown -h 12345 theirs dir");
	paths = found(&p, &none, &none);
	CHECK(strcmp(paths, "a ours theirs!") == 0);
	free(paths);
	/* They are the owner's of the folder. */
	shell(&p, "chown 12345 .");
	paths = found(&p, &none, &none);
	CHECK(strcmp(paths, "a ours theirs") == 0);
	free(paths);
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
		CHECK_ROW(i, scan_one(&p.f, bad[i].name, &all, &s, &e) < 0);
		CHECK_ROW(i, e.kind == bad[i].kind);
		CHECK_ROW(i, strstr(e.msg, bad[i].words) && !s.n);
	}
	CHECK(scan_one(&p.f, "link", &all, &s, &e) == 0);
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
	    /* These keep size, time and inode. */
	    {"printf xyz >a && touch -d @1000 a", ERR_CONTENT},
	    {"touch -d @1000 a", ERR_CONTENT},
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
		CHECK(scan_one(&p.f, "a", &all, &s, &e) == 0);
		/* A tick of the file system's clock. */
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		shell(&p, row[i].commands);
		fd = scan_open(&p.f, &s.file[0], &e);
		CHECK_ROW(i, (fd < 0) == (row[i].kind != ERR_NONE));
		CHECK_ROW(i, fd >= 0 || e.kind == row[i].kind);
		if (fd >= 0) {
			CHECK(scan_unchanged(&p.f, fd, &s.file[0], &e) == 0);
			CHECK(scan_unchanged(&p.f, -1, &s.file[0], &e) == 0);
			/* What is open is still what it was. */
			shell(&p, "mv a b && printf 123 >a");
			CHECK(scan_unchanged(&p.f, fd, &s.file[0], &e) < 0);
			CHECK(e.kind == ERR_CONTENT && *e.hint);
			CHECK(scan_unchanged(&p.f, -1, &s.file[0], &e) < 0);
			shell(&p, "rm a");
			CHECK(scan_unchanged(&p.f, fd, &s.file[0], &e) < 0);
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
	test_named();
	test_secret();
	test_outside();
	test_foreign();
	test_one();
	test_changes();
	return test_end();
}
