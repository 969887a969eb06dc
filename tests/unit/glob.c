#include "path.h"
#include "str.h"
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

/* The verdicts are those of fnmatch.fnmatchcase in Python 3.11, after '\' was
 * turned into '/' and '*' added to a '/' at the end. */
static const struct {
	const char *pattern, *path;
	bool match;
} t[] = {
    {"", "", true},
    {"", "a", false},
    {"a", "", false},
    {"a", "a", true},
    {"a", "A", false},
    {"a", "ab", false},
    {"b", "ab", false},
    {"a.b", "axb", false},
    {"*", "", true},
    {"*", "a/b/.c", true},
    {"**", "a/b", true},
    {"*.json", "config.json", true},
    {"*.json", "sub/config.json", true},
    {"*.json", ".json", true},
    {"*.json", "config.jsonl", false},
    {"*.json", "config_json", false},
    {"sub/*", "sub/a/b", true},
    {"sub/*", "sub/", true},
    {"sub/*", "sub", false},
    {"sub/", "sub/a/b", true},
    {"sub/", "sub/", true},
    {"sub/", "sub", false},
    {"sub/", "sub2/a", false},
    {"sub\\", "sub/a", true},
    {"a\\b", "a/b", true},
    {"a/b", "a\\b", true},
    {"[\\]", "/", true},
    {"/", "/", true},
    {"/", "a/", false},
    {"*/", "a/b", true},
    {"*/", "ab", false},
    {"a*b*c", "abc", true},
    {"a*b*c", "a/b/b/c/c", true},
    {"a*b*c", "acb", false},
    {"a*bc", "abbc", true},
    {"*ab", "aab", true},
    {"*aab", "aaaab", true},
    {"*a", "ab", false},
    {"?", "a", true},
    {"?", "/", true},
    {"?", "", false},
    {"?", "ab", false},
    {"?", "\xc3\xa4", true},
    {"?", "\xf0\x9f\x98\x80", true},
    {"??", "\xf0\x9f\x98\x80", false},
    {"?", "\xff", true},
    {"??", "\xc3\xc3", true},
    {"*\xa4", "\xc3\xa4", false},
    {"\xc3*", "\xc3\xa4", false},
    {"*?", "", false},
    {"?*?", "ab", true},
    {"?*?", "a", false},
    {"[abc]", "b", true},
    {"[abc]", "d", false},
    {"[abc]", "", false},
    {"[abc]", "[", false},
    {"[a-c]x", "bx", true},
    {"[a-c]", "d", false},
    {"[a-c]", "-", false},
    {"[c-a]", "b", false},
    {"[c-a]", "c", false},
    {"[c-ax]", "x", true},
    {"[!c-a]", "b", true},
    {"[!a]", "b", true},
    {"[!a]", "a", false},
    {"[!a]", "/", true},
    {"[!a]", "", false},
    {"[!a-c]", "b", false},
    {"[^a]", "^", true},
    {"[^a]", "a", true},
    {"[^a]", "b", false},
    {"[a!]", "!", true},
    {"[]]", "]", true},
    {"[]", "[]", true},
    {"[]", "[", false},
    {"[]a]", "a", true},
    {"[]-a]", "^", true},
    {"[!]]", "]", false},
    {"[!]]", "a", true},
    {"[!]", "[!]", true},
    {"[!", "[!", true},
    {"[", "[", true},
    {"[", "a", false},
    {"[a", "[a", true},
    {"[a", "a", false},
    {"[a/", "[a/b", true},
    {"*[", "ab[", true},
    {"[[]", "[", true},
    {"[a-]", "-", true},
    {"[a-]", "b", false},
    {"[-a]", "-", true},
    {"[--a]", "0", true},
    {"[!-a]", "-", false},
    {"[!-a]", "b", true},
    {"[a-c-e]", "-", true},
    {"[a-c-e]", "d", false},
    {"[a-c-e]", "e", true},
    {"[a&&b]", "&", true},
    {"[a||~~b]", "~", true},
    {"[\xc3\xa4-\xc3\xbc]", "\xc3\xb6", true},
    {"[\xc3\xa4-\xc3\xbc]", "\xc3\xa3", false},
    {"[\xc3\xa4]", "\xa4", false},
    {"[a-\xe2\x82\xac]", "\xc3\xa4", true},
    {"[\xd0\xb0-\xd1\x8f]", "\xd0\xb6", true},
    {"[\xd0\xb0-\xd1\x8f]", "6", false},
    {"[\xff]", "\xc3\xbf", false},
    {"[\xff]", "\xff", true},
    {"[!a-z]*",
	"\xe2\x82\xac"
	"uro",
	true},
    {"a]", "a]", true},
    {"$(x)+|{}^", "$(x)+|{}^", true},
    {"*-0000[1-3]-of-*.safetensors", "m/x-00002-of-00009.safetensors", true},
    {"*-0000[1-3]-of-*.safetensors", "m/x-00004-of-00009.safetensors", false},
};

static void
test_match(void)
{
	for (size_t i = 0; i < countof(t); i++) {
		char *pattern =
		    test_exact(t[i].pattern, strlen(t[i].pattern) + 1);
		char *path = test_exact(t[i].path, strlen(t[i].path) + 1);

		CHECK_ROW(i, glob_match(pattern, path) == t[i].match);
		free(pattern);
		free(path);
	}
}

/* Would take until the end of the world if each '*' were tried again. */
static void
test_many_stars(void)
{
	char pattern[201], path[2001];

	for (size_t i = 0; i < 100; i++)
		memcpy(pattern + 2 * i, "*a", 2);
	pattern[200] = '\0';
	memset(path, 'a', 2000);
	path[2000] = '\0';
	CHECK(glob_match(pattern, path));
	path[1999] = 'b';
	CHECK(!glob_match(pattern, path));
}

static void
test_kept(void)
{
	static const char *const weights[] = {"*.safetensors", "*.json"};
	static const char *const shards[] = {"*-of-*", "sub/"};
	const struct glob_list none = {0};
	const struct glob_list in = {weights, countof(weights)};
	const struct glob_list out = {shards, countof(shards)};

	CHECK(glob_kept(&none, &none, "a"));
	CHECK(glob_kept(&in, &none, "a.json"));
	CHECK(glob_kept(&in, &none, "a.safetensors"));
	CHECK(!glob_kept(&in, &none, "a.txt"));
	CHECK(glob_kept(&none, &out, "a.txt"));
	CHECK(!glob_kept(&none, &out, "sub/a.txt"));
	CHECK(!glob_kept(&in, &out, "a-1-of-2.safetensors"));
	CHECK(glob_kept(&in, &out, "a.safetensors"));
	CHECK(!glob_kept(&in, &out, "a.txt"));
}

int
main(void)
{
	test_match();
	test_many_stars();
	test_kept();
	return test_end();
}
