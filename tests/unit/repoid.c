#include "../../api.c"

#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

static void
test_check(void)
{
	static const char *const good[] = {"123", "foo", "foo/bar", "gpt2",
	    "Foo-BAR_foo.bar123", "_a_/_b_", "a/b.c-d"};
	static const char *const bad[] = {"", "/", "a/", "/a",
	    "datasets/foo/bar", ".repo_id", "repo_id.", "foo--bar", "foo..bar",
	    "foo.git", "a/foo.git", "-a/b", "a-/b", "a/b-", "a b", "a\tb",
	    "a/b?c", "a@b", "a:b", "\xc3\xa4/b", "a\\b", "../b", "a/..",
	    "a%2Fb", "hf.co/n", "huggingface.co/n"};
	char name[100];
	struct err e;

	for (size_t i = 0; i < countof(good); i++)
		CHECK_ROW(i, repoid_check(good[i], &e) == 0);
	for (size_t i = 0; i < countof(bad); i++) {
		CHECK_ROW(i, repoid_check(bad[i], &e) < 0);
		CHECK_ROW(i, e.kind == ERR_USAGE && *e.hint);
	}
	repoid_check("datasets/foo/bar", &e);
	CHECK(strcmp(e.hint, "-r foo/bar -t dataset") == 0);
	memset(name, 'a', 99);
	name[97] = '\0';
	CHECK(repoid_check(name, &e) < 0);
	name[96] = '\0';
	CHECK(repoid_check(name, &e) == 0);
}

static void
test_parse(void)
{
	enum { NONE = -1 };
	static const struct {
		const char *text;
		int given; /* -t, or NONE */
		int rv;
		enum repo_type type;
		const char *id, *revision, *path;
	} t[] = {
	    {"gpt2", NONE, 0, REPO_MODEL, "gpt2", NULL, NULL},
	    {"a/b", REPO_SPACE, 0, REPO_SPACE, "a/b", NULL, NULL},
	    {"hf://a/b", NONE, 0, REPO_MODEL, "a/b", NULL, NULL},
	    {"hf://models/a/b", NONE, 0, REPO_MODEL, "a/b", NULL, NULL},
	    {"hf://datasets/a/b@v1/x/y.bin", NONE, 0, REPO_DATASET, "a/b", "v1",
		"x/y.bin"},
	    {"hf://spaces/a/b@refs/pr/7", NONE, 0, REPO_SPACE, "a/b",
		"refs/pr/7", NULL},
	    {"hf://a/b@refs/pr/7/x", NONE, 0, REPO_MODEL, "a/b", "refs/pr/7",
		"x"},
	    {"hf://a/b@refs/convert/parquet/d/x", NONE, 0, REPO_MODEL, "a/b",
		"refs/convert/parquet", "d/x"},
	    {"hf://a/b@feat%2Fx/y", NONE, 0, REPO_MODEL, "a/b", "feat/x", "y"},
	    {"hf://a/b/x@y", NONE, 0, REPO_MODEL, "a/b", NULL, "x@y"},
	    {"huggingface.co/a/b", NONE, 0, REPO_MODEL, "a/b", NULL, NULL},
	    {"hf.co/datasets/a/b/tree/main/x", NONE, 0, REPO_DATASET, "a/b",
		"main", "x"},
	    {"https://huggingface.co/a/b", NONE, 0, REPO_MODEL, "a/b", NULL,
		NULL},
	    {"https://huggingface.co/gpt2", NONE, 0, REPO_MODEL, "gpt2", NULL,
		NULL},
	    {"https://huggingface.co/gpt2/tree/main", NONE, 0, REPO_MODEL,
		"gpt2", "main", NULL},
	    {"https://hf.co/datasets/a/b/tree/v1/data", NONE, 0, REPO_DATASET,
		"a/b", "v1", "data"},
	    {"https://huggingface.co/a/b/blob/main/x%20y.bin?download=true#L1",
		NONE, 0, REPO_MODEL, "a/b", "main", "x y.bin"},
	    {"https://huggingface.co/a/b/resolve/refs%2Fpr%2F1/x", REPO_MODEL,
		0, REPO_MODEL, "a/b", "refs/pr/1", "x"},
	    {"https://huggingface.co/a/b/", NONE, 0, REPO_MODEL, "a/b", NULL,
		NULL},
	    {"https://huggingface.co/a/b/tree/main/", NONE, 0, REPO_MODEL,
		"a/b", "main", NULL},
	    {"https://huggingface.co/a/b/tree/main/sub//", NONE, 0, REPO_MODEL,
		"a/b", "main", "sub"},
	    {"https://huggingface.co/a/b/tree/main/sub/", NONE, 0, REPO_MODEL,
		"a/b", "main", "sub"},
	    {"hf://a/b/", NONE, 0, REPO_MODEL, "a/b", NULL, NULL},
	    {"hf://a/b@v/", NONE, 0, REPO_MODEL, "a/b", "v", NULL},
	    {"https://mirror.example:8/hub", NONE, -1, 0, 0, 0, 0},
	    {"https://mirror.example:8/hubs/a", NONE, -1, 0, 0, 0, 0},
	    {"https://mirror.example:8/a/b", NONE, -1, 0, 0, 0, 0},
	    {"https://mirror.example/hub/a/b", NONE, -1, 0, 0, 0, 0},
	    {"hf://kernels/a/b", NONE, 0, REPO_KERNEL, "a/b", NULL, NULL},
	    {"hf://kernels/a/b", REPO_MODEL, -1, 0, 0, 0, 0},
	    {"hf://buckets/a/b", NONE, -1, 0, 0, 0, 0},
	    {"https://huggingface.co/kernels/a/b/tree/v1/x", NONE, 0,
		REPO_KERNEL, "a/b", "v1", "x"},
	    {"https://mirror.example:8/hub/a/b", NONE, 0, REPO_MODEL, "a/b",
		NULL, NULL},
	    {"hf://datasets/a/b", REPO_MODEL, -1, 0, 0, 0, 0},
	    {"hf://a/b", REPO_DATASET, -1, 0, 0, 0, 0},
	    {"https://huggingface.co/spaces/a/b", REPO_DATASET, -1, 0, 0, 0, 0},
	    {"hf://hf.co/n", NONE, -1, 0, 0, 0, 0},
	    {"hf://datasets/huggingface.co/n", NONE, -1, 0, 0, 0, 0},
	    {"https://hf.co/hf.co/n", NONE, -1, 0, 0, 0, 0},
	    {"hf://a", NONE, -1, 0, 0, 0, 0},
	    {"hf://", NONE, -1, 0, 0, 0, 0},
	    {"hf://a/b@", NONE, -1, 0, 0, 0, 0},
	    {"hf://a/b@%00", NONE, -1, 0, 0, 0, 0},
	    {"hf:///b", NONE, -1, 0, 0, 0, 0},
	    {"https://evil.example/a/b", NONE, -1, 0, 0, 0, 0},
	    {"https://huggingface.co.evil.example/a/b", NONE, -1, 0, 0, 0, 0},
	    {"https://huggingface.co/", NONE, -1, 0, 0, 0, 0},
	    {"https://huggingface.co/a/b/discussions/1", NONE, -1, 0, 0, 0, 0},
	    {"https://huggingface.co/a/b/blob/main/x%", NONE, -1, 0, 0, 0, 0},
	    {"ftp://huggingface.co/a/b", NONE, -1, 0, 0, 0, 0},
	    {"a/b/c", NONE, -1, 0, 0, 0, 0},
	    {"", NONE, -1, 0, 0, 0, 0},
	};
	struct url endpoint;
	struct err e;

	CHECK(url_parse(
		  str_of("https://mirror.example:8/hub"), &endpoint, &e) == 0);
	for (size_t i = 0; i < countof(t); i++) {
		enum repo_type given = (enum repo_type)t[i].given;
		struct repoid id;
		int rv = repoid_parse(t[i].text,
		    t[i].given == NONE ? NULL : &given, &endpoint, &id, &e);

		CHECK_ROW(i, rv == t[i].rv);
		if (rv < 0) {
			CHECK_ROW(i, e.kind == ERR_USAGE && !id.id);
			continue;
		}
		CHECK_ROW(i, id.type == t[i].type && test_same(id.id, t[i].id));
		CHECK_ROW(i, test_same(id.revision, t[i].revision));
		CHECK_ROW(i, test_same(id.path, t[i].path));
		repoid_release(&id);
		repoid_release(&id);
	}
}

static void
test_quant(void)
{
	static const struct {
		const char *text, *id, *quant;
	} t[] = {
	    {"a/b", "a/b", NULL},
	    {"a/b-GGUF:Q4_K_M", "a/b-GGUF", "Q4_K_M"},
	    {"a/b:", "a/b", ""},
	    {"b:UD-Q4_K_XL", "b", "UD-Q4_K_XL"},
	    {"hf://a/b:Q8_0", "a/b", "Q8_0"},
	    {"hf.co/a/b:latest", "a/b", "latest"},
	    {"https://huggingface.co/a/b:Q8_0", "a/b", "Q8_0"},
	    {"a/b:Q8:0", NULL, NULL},
	    {"a/b:Q8_0/x", NULL, NULL},
	    {"a/b: Q8_0", NULL, NULL},
	    {":Q8_0", NULL, NULL},
	    {"a/:Q8_0", NULL, NULL},
	    {"a:b/c", NULL, NULL},
	    {"a/b:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", NULL, NULL},
	};
	struct url endpoint;
	struct repoid id;
	struct err e;

	CHECK(url_parse(str_of("https://huggingface.co"), &endpoint, &e) == 0);
	for (size_t i = 0; i < countof(t); i++) {
		int rv = repoid_parse(t[i].text, NULL, &endpoint, &id, &e);

		CHECK_ROW(i, (rv == 0) == (t[i].id != NULL));
		CHECK_ROW(i, rv == 0 || e.kind == ERR_USAGE);
		CHECK_ROW(i, test_same(id.id, t[i].id));
		CHECK_ROW(i, test_same(id.quant, t[i].quant));
		repoid_release(&id);
	}
}

/* As it is noted. */
static void
test_path(void)
{
	static const char *const good[] = {
	    "models/a/b", "datasets/squad", "spaces/a/b", "kernels/a/b-c"};
	static const char *const bad[] = {"", "models", "models/", "a/b",
	    "model/a/b", "models/a/b/c", "models/../b", "models//b",
	    "models/a b", "https://x/a"};
	struct repoid id;
	struct err e;

	for (size_t i = 0; i < countof(good); i++) {
		struct buf b = buf_make(100);

		CHECK_ROW(i, repoid_parse_path(good[i], &id, &e) == 0);
		CHECK_ROW(i, id.type == (enum repo_type)i);
		repoid_put_path(&b, id.type, id.id);
		CHECK_ROW(i, str_eq(buf_str(&b), good[i]));
		buf_release(&b);
		repoid_release(&id);
	}
	for (size_t i = 0; i < countof(bad); i++)
		CHECK_ROW(i, repoid_parse_path(bad[i], &id, &e) < 0 && !id.id);
}

static void
test_revision(void)
{
	char rev[300];
	struct err e;

	CHECK(revision_check("main", &e) == 0);
	CHECK(revision_check("refs/pr/1", &e) == 0);
	CHECK(revision_check("", &e) < 0);
	CHECK(revision_check("a b", &e) < 0);
	CHECK(revision_check("a\n", &e) < 0);
	memset(rev, 'a', sizeof(rev));
	rev[256] = '\0';
	CHECK(revision_check(rev, &e) < 0);
	rev[255] = '\0';
	CHECK(revision_check(rev, &e) == 0);
	CHECK(commit_valid("87f3c7095f3c62d911500958878d8b8287c4a2ee"));
	CHECK(!commit_valid("87F3c7095f3c62d911500958878d8b8287c4a2ee"));
	CHECK(!commit_valid("87f3c7095f3c62d911500958878d8b8287c4a2e"));
	CHECK(!commit_valid("main"));
}

static void
test_type(void)
{
	enum repo_type t;
	struct err e;

	CHECK(repo_type_parse("dataset", &t, &e) == 0 && t == REPO_DATASET);
	CHECK(repo_type_parse("datasets", &t, &e) < 0);
	CHECK(repo_type_parse("", &t, &e) < 0 && e.kind == ERR_USAGE);
	CHECK(strcmp(repo_type_plural(REPO_SPACE), "spaces") == 0);
	CHECK(strcmp(repo_type_prefix(REPO_MODEL), "") == 0);
	CHECK(strcmp(repo_type_name(REPO_MODEL), "model") == 0);
}

int
main(void)
{
	test_check();
	test_parse();
	test_quant();
	test_path();
	test_revision();
	test_type();
	return test_end();
}
