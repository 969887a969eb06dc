#include "api.h"
#include "err.h"
#include "json.h"
#include "str.h"
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A "file" of the tests: so many bytes, each its place. */
struct source {
	size_t size;
	unsigned opened, checked, failed;
	bool changes;
};

static int
open_source(void *ctx, void *file, struct err *e)
{
	struct source *s = file;
	char path[] = "/tmp/test_commit.XXXXXX";
	int fd = mkstemp(path);

	(void)ctx;
	if (fd < 0)
		return err_sys(e, ERR_FILE, "mkstemp");
	unlink(path);
	for (size_t i = 0; i < s->size; i++) {
		unsigned char c = (unsigned char)(i * 7 + i / 251);

		if (pwrite(fd, &c, 1, (off_t)i) != 1)
			return err_sys(e, ERR_FILE, "pwrite");
	}
	s->opened++;
	return fd;
}

static int
check_source(void *ctx, void *file, int fd, struct err *e)
{
	struct source *s = file;

	(void)ctx;
	(void)fd;
	s->checked++;
	return s->changes ? err_set(e, ERR_CONTENT, "changed") : 0;
}

static void
fail_source(void *ctx, void *file, const struct err *why)
{
	struct source *s = file;

	(void)ctx;
	CHECK(why->kind != ERR_NONE);
	s->failed++;
}

/* The body as a whole, written down another way. */
static void
expect(struct buf *b, const struct source *s, size_t n)
{
	buf_puts(b,
	    "{\"key\":\"header\",\"value\":{\"summary\":\"a \\\"b\\\"\","
	    "\"description\":\"\",\"parentCommit\":"
	    "\"87f3c7095f3c62d911500958878d8b8287c4a2ee\"}}\n");
	for (size_t i = 0; i < n; i++) {
		unsigned char *bytes = xmalloc(s[i].size);

		for (size_t j = 0; j < s[i].size; j++)
			bytes[j] = (unsigned char)(j * 7 + j / 251);
		buf_printf(b,
		    "{\"key\":\"file\",\"value\":{\"path\":\"f%zu\","
		    "\"encoding\":\"base64\",\"content\":\"",
		    i);
		buf_base64(b, bytes, s[i].size);
		buf_puts(b, "\"}}\n");
		free(bytes);
	}
	buf_puts(b,
	    "{\"key\":\"lfsFile\",\"value\":{\"path\":\"\xc3\xa4 \\\\\","
	    "\"algo\":\"sha256\",\"oid\":\"");
	for (int i = 0; i < 32; i++)
		buf_puts(b, "ab");
	buf_puts(b, "\",\"size\":9007199254740992}}\n{\"key\":\"deletedFile\","
		    "\"value\":{\"path\":\"old\"}}\n");
}

/* Reads all of it in pieces of cap bytes. */
static int
read_all(const struct commit *c, size_t cap, struct buf *out)
{
	struct commit_reader r;
	char *p = xmalloc(cap);
	struct err e;
	size_t n = 1;
	int rv = 0;

	commit_reader_init(&r, c);
	while (rv == 0 && n) {
		rv = commit_read(&r, out->len, p, cap, &n, &e);
		if (rv == 0)
			buf_add(out, p, n);
	}
	commit_reader_release(&r);
	free(p);
	return rv;
}

static void
test_body(void)
{
	static const size_t caps[] = {1, 2, 3, 5, 7, 64, 1000, 16384, 100000};
	struct source s[] = {{.size = 0}, {.size = 1}, {.size = 2}, {.size = 3},
	    {.size = 12287}, {.size = 12288}, {.size = 12289}, {.size = 40000}};
	char names[countof(s)][8];
	struct commit_op op[countof(s) + 2] = {{.path = NULL}};
	struct commit c = {.summary = "a \"b\"",
	    .description = "",
	    .parent = "87f3c7095f3c62d911500958878d8b8287c4a2ee",
	    .op = op,
	    .n = countof(op),
	    .open = open_source,
	    .check = check_source,
	    .failed = fail_source};
	struct buf want = buf_make(1 << 20);

	for (size_t i = 0; i < countof(s); i++) {
		snprintf(names[i], sizeof(names[i]), "f%zu", i);
		op[i] = (struct commit_op){
		    COMMIT_FILE, names[i], s[i].size, {HASH_GIT, {0}}, &s[i]};
	}
	op[countof(s)] = (struct commit_op){COMMIT_LFS, "\xc3\xa4 \\",
	    9007199254740992u, {HASH_SHA256, {0}}, NULL};
	memset(op[countof(s)].digest.b, 0xab, 32);
	op[countof(s) + 1] =
	    (struct commit_op){COMMIT_DELETE, "old", 0, {HASH_GIT, {0}}, NULL};
	expect(&want, s, countof(s));
	CHECK(commit_length(&c) == want.len);
	for (size_t i = 0; i < countof(caps); i++) {
		struct buf got = buf_make(1 << 20);

		CHECK_ROW(i, read_all(&c, caps[i], &got) == 0);
		CHECK_ROW(i, str_same(buf_str(&got), buf_str(&want)));
		buf_release(&got);
	}
	/* Each content was looked at when it was through; an empty one has
	 * nothing to look at. */
	for (size_t i = 1; i < countof(s); i++)
		CHECK_ROW(i, s[i].opened == countof(caps) &&
				 s[i].checked == countof(caps));
	s[7].changes = true;
	struct buf got = buf_make(1 << 20);

	CHECK(read_all(&c, 4096, &got) < 0 && s[7].failed == 1);
	buf_release(&got);
	/* Bytes that cannot be read are the fault of their file alone. */
	s[7].changes = false;
	op[6].size++;
	got = buf_make(1 << 20);
	CHECK(read_all(&c, 4096, &got) < 0);
	CHECK(s[6].failed == 1 && s[7].failed == 1);
	buf_release(&got);
	buf_release(&want);
}

/* Begun again, as for a redirect, it is the same. */
static void
test_again(void)
{
	struct source s = {.size = 50000};
	struct commit_op op = {COMMIT_FILE, "f", s.size, {HASH_GIT, {0}}, &s};
	struct commit c = {.summary = "x",
	    .description = "y",
	    .op = &op,
	    .n = 1,
	    .open = open_source,
	    .check = check_source,
	    .failed = fail_source};
	struct commit_reader r;
	char first[3000], second[3000];
	struct err e;
	size_t n, m;

	commit_reader_init(&r, &c);
	CHECK(commit_read(&r, 0, first, sizeof(first), &n, &e) == 0);
	CHECK(commit_read(&r, n, second, sizeof(second), &m, &e) == 0);
	CHECK(commit_read(&r, 0, second, sizeof(second), &m, &e) == 0);
	CHECK(n == m && memcmp(first, second, n) == 0);
	CHECK(commit_read(&r, commit_length(&c), second, 10, &m, &e) == 0);
	CHECK(m == 0);
	commit_reader_release(&r);
}

static void
test_answer(void)
{
	static const struct {
		const char *text;
		int rv;
		const char *oid, *url;
	} t[] = {
	    {"{\"success\":true,\"commitOid\":"
	     "\"22f2805e9520c840554e9f27a2c5a100b41084ca\",\"commitUrl\":"
	     "\"https://h/a/b/commit/22\",\"hookOutput\":\"\"}",
		0, "22f2805e9520c840554e9f27a2c5a100b41084ca",
		"https://h/a/b/commit/22"},
	    {"{\"commitOid\":\"22f2805e9520c840554e9f27a2c5a100b41084ca\"}", 0,
		"22f2805e9520c840554e9f27a2c5a100b41084ca", NULL},
	    {"{\"commitOid\":\"../x\"}", -1, "", NULL},
	    {"{\"commitUrl\":\"https://h/a/b/commit/22\"}", -1, "", NULL},
	    {"{\"commitUrl\":\"https://h/\\u001b[31m\",\"commitOid\":"
	     "\"22f2805e9520c840554e9f27a2c5a100b41084ca\"}",
		0, "22f2805e9520c840554e9f27a2c5a100b41084ca", NULL},
	    {"{\"commitUrl\":\"https://a@h/\",\"commitOid\":"
	     "\"22f2805e9520c840554e9f27a2c5a100b41084ca\"}",
		0, "22f2805e9520c840554e9f27a2c5a100b41084ca", NULL},
	    {"{\"commitUrl\":\"file:///x\",\"commitOid\":"
	     "\"22f2805e9520c840554e9f27a2c5a100b41084ca\"}",
		0, "22f2805e9520c840554e9f27a2c5a100b41084ca", NULL},
	    {"{}", -1, "", NULL},
	    {"[]", -1, "", NULL},
	    {"", -1, "", NULL},
	    {"OK", -1, "", NULL},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct commit_answer a;
		struct err e;

		CHECK_ROW(i,
		    commit_answer_parse(str_of(t[i].text), &a, &e) == t[i].rv);
		CHECK_ROW(i, !t[i].rv || e.kind == ERR_NET);
		CHECK_ROW(i, strcmp(a.oid, t[i].oid) == 0);
		CHECK_ROW(i, str_same(str_of(a.url), str_of(t[i].url)));
		commit_answer_release(&a);
		commit_answer_release(&a);
	}
}

int
main(void)
{
	test_body();
	test_again();
	test_answer();
	return test_end();
}
