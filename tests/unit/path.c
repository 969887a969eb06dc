#include "path.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

static bool
accepts(const char *s, size_t n)
{
	struct err e = {0};
	char *path = test_exact(s, n);
	int rv = path_check(str_make(path, n), &e);
	bool told = e.kind == ERR_CONTENT && e.msg[0];

	free(path);
	CHECK(rv == 0 ? e.kind == ERR_NONE : told);
	return rv == 0;
}

static void
test_good(void)
{
	static const char *const t[] = {
	    "a",
	    "config.json",
	    "a/b/c",
	    ".gitattributes",
	    ".cache",
	    ".cache/other/x",
	    "x/.cache/huggingface/y",
	    "huggingface/.cache",
	    "...",
	    "..a/b",
	    "a..",
	    "a b/c d",
	    " a",
	    "1:b",
	    "x/C:y",
	    "M\xc3\xbcller/\xe6\xa8\xa1\xe5\x9e\x8b.bin",
	    "\xf0\x9f\x98\x80",
	    "-rf",
	    "~",
	    "a*?<>|\"'",
	    ".cache/huggingfaces/x",
	    ".caches/huggingface",
	    "cache/huggingface",
	    "a\\b",
	    "..\\a",
	    "\\\\host\\share",
	    "C:",
	    "c:a",
	    "a:b",
	    "C:/a",
	    ".gitignore",
	    ".github/x",
	    "git",
	    "x.git/y",
	    "git~x",
	    "git~12",
	    "gift~1",
	    ".git-x",
	    "..git",
	};

	for (size_t i = 0; i < countof(t); i++)
		CHECK_ROW(i, accepts(t[i], strlen(t[i])));
}

static void
test_bad(void)
{
	static const struct str t[] = {
#define T(s) {s, sizeof(s) - 1}
	    T(""),
	    T("/"),
	    T("/etc/passwd"),
	    T("//a"),
	    T("."),
	    T(".."),
	    T("../a"),
	    T("a/.."),
	    T("a/../b"),
	    T("a/./b"),
	    T("./a"),
	    T("a/."),
	    T("a//b"),
	    T("a/"),
	    T("a/b/"),
	    T("a\0b"),
	    T("\0"),
	    T("a\nb"),
	    T("a\rb"),
	    T("a\tb"),
	    T("a\x1b[31mb"),
	    T("a\x7f"),
	    T("a\xc2\x85"),
	    T("\xc2\x80"),
	    T("a\x80"),
	    T("\xff"),
	    T("a\xc3"),
	    T("\xc0\xae\xc0\xae/a"),
	    T("\xe0\x80\xae"),
	    T("\xed\xa0\x80"),
	    T("\xf4\x90\x80\x80"),
	    T(".cache/huggingface"),
	    T(".cache/huggingface/x"),
	    T(".cache/huggingface/download/a.metadata"),
	    T(".CACHE/HuggingFace/x"),
	    T(".cache./huggingface/x"),
	    T(".cache/huggingface./x"),
	    T(".cache /huggingface. ./x"),
	    T(".ca\xe2\x80\x8b"
	      "che/huggingface/x"),
	    T(".cache/hugging\xc2\xad"
	      "face/x"),
	    T("CACHE~1/HUGGIN~1/x"),
	    T(".cache/HUGGIN~1/x"),
	    T(".cache/HU12AB~1/x"),
	    T(".git"),
	    T(".git/hooks/post-checkout"),
	    T("a/.git"),
	    T("a/.git/config"),
	    T(".GIT/config"),
	    T("a/.Git /config"),
	    T(".git./config"),
	    T(".g\xe2\x80\x8c"
	      "it/config"),
	    T("GIT~1/config"),
	    T("a/git~2"),
	    T(".git::$INDEX_ALLOCATION/config"),
	    T(".git:x"),
#undef T
	};

	for (size_t i = 0; i < countof(t); i++)
		CHECK_ROW(i, !accepts(t[i].s, t[i].n));
}

static void
test_windows(void)
{
	static const char *const good[] = {
	    "a", "a/b", "1:b", "x/C:y", ":a", "\xc3\xa4:b"};
	static const char *const bad[] = {
	    "a\\b", "..\\a", "a/b\\", "C:", "c:a", "C:/a"};
	struct err e;

	for (size_t i = 0; i < countof(good); i++)
		CHECK_ROW(i, path_check_windows(str_of(good[i]), &e) == 0);
	for (size_t i = 0; i < countof(bad); i++)
		CHECK_ROW(i, path_check_windows(str_of(bad[i]), &e) < 0 &&
				 e.kind == ERR_FILE);
}

static void
test_length(void)
{
	char s[4200];

	memset(s, 'a', sizeof(s));
	CHECK(accepts(s, 255));
	CHECK(!accepts(s, 256));
	for (size_t i = 200; i < sizeof(s); i += 200)
		s[i] = '/';
	CHECK(accepts(s, 4096));
	CHECK(!accepts(s, 4097));
	/* Cut anywhere: never an overread, and right up to the slashes. */
	for (size_t n = 0; n < 420; n++)
		CHECK_ROW(n, accepts(s, n) == (n && s[n - 1] != '/'));
}

static void
test_cut_last(void)
{
	static const struct {
		const char *path, *last, *rest; /* NULL: it cannot be cut */
	} t[] = {
	    {"a", "a", ""},
	    {"a/b", "b", "a/"},
	    {"a//b//", "", "a//"},
	    {"a/", "", ""},
	    {"/a", "a", "/"},
	    {"/a/b.c/d", "d", "/a/b.c/"},
	    {"a/.", ".", "a/"},
	    {"..a", "..a", ""},
	    {"a..", "a..", ""},
	    {"", "", NULL},
	    {"/", "", NULL},
	    {"..", "..", NULL},
	    {"a/..", "..", NULL},
	    {"a/../", "", NULL},
	};

	for (size_t i = 0; i < countof(t); i++) {
		char *path = xstrdup(t[i].path);

		CHECK_ROW(i, strcmp(path_last(path), t[i].last) == 0);
		CHECK_ROW(i, path_cut_last(path) == (t[i].rest != NULL));
		CHECK_ROW(
		    i, strcmp(path, t[i].rest ? t[i].rest : t[i].path) == 0);
		free(path);
	}
}

int
main(void)
{
	test_good();
	test_bad();
	test_windows();
	test_length();
	test_cut_last();
	return test_end();
}
