#include "api.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "json.h"
#include "str.h"
#include "tests/unit/test.h"

#define COMMIT "87f3c7095f3c62d911500958878d8b8287c4a2ee"
#define SHA1 "abb2df387e7bc8ebf002c540492ce260b10a6b5d"
#define SHA256 \
	"344408a72f0bc14a380c0a156b94a21ddc668a535be8b892aed91115d8ca61b7"

static void
test_question(void)
{
	struct buf b = buf_make(1 << 16);

	preupload_begin(&b);
	preupload_end(&b, NULL, NULL);
	CHECK(str_eq(buf_str(&b), "{\"files\":[]}"));
	buf_clear(&b);
	preupload_begin(&b);
	preupload_add(&b, "empty", 0, "", 0);
	/* The end of a path must not look like the begin of the list. */
	preupload_add(&b, "a\"[", 9007199254740993, "abcd", 4);
	preupload_add(&b, "\xc3\xbc/\\", 3, "\xff\xfe\xfd", 3);
	preupload_end(&b, "*.tmp\n", "");
	CHECK(str_eq(buf_str(&b),
	    "{\"files\":[{\"path\":\"empty\",\"size\":0,\"sample\":\"\"},"
	    "{\"path\":\"a\\\"[\",\"size\":9007199254740993,"
	    "\"sample\":\"YWJjZA==\"},"
	    "{\"path\":\"\xc3\xbc/\\\\\",\"size\":3,\"sample\":\"//79\"}],"
	    "\"gitIgnore\":\"*.tmp\\n\",\"gitAttributes\":\"\"}"));
	buf_release(&b);
}

/* A full question stays far below what the callers allow for it. */
static void
test_question_size(void)
{
	struct buf b = buf_make(8 << 20);
	unsigned char sample[PREUPLOAD_SAMPLE];
	char path[1001];

	memset(sample, 0xa5, sizeof(sample));
	memset(path, '"', 1000);
	path[1000] = '\0';
	preupload_begin(&b);
	for (int i = 0; i < PREUPLOAD_MAX; i++)
		preupload_add(&b, path, UINT64_MAX, sample, sizeof(sample));
	preupload_end(&b, NULL, NULL);
	CHECK(!b.full && b.len < 1 << 20);
	buf_release(&b);
}

/* What was said, written down as "path mode content;". */
static void
note(void *ctx, const struct preupload_mode *m)
{
	char hex[2 * HASH_SIZE_MAX + 1] = "";

	if (m->known)
		digest_hex(&m->there, hex);
	buf_printf(ctx, "%s %s%s %.4s;", m->path, m->lfs ? "lfs" : "regular",
	    m->ignored ? " ignored" : "", hex);
}

/* The text stands in an allocation of its size. */
static int
parse(struct str text, struct buf *told, char commit[41], struct err *e)
{
	char *exact = test_exact(text.s, text.n);
	int rv;

	buf_clear(told);
	buf_puts(told, "");
	rv = preupload_parse(str_make(exact, text.n), note, told, commit, e);
	free(exact);
	return rv;
}

static void
test_answers(void)
{
	static const struct {
		const char *text, *told, *commit;
	} row[] = {
	    {"{\"files\":[]}", "", ""},
	    {"{\"files\":[],\"commitOid\":\"" COMMIT "\"}", "", COMMIT},
	    {"{\"files\":[],\"commitOid\":null}", "", ""},
	    {"{\"files\":[],\"commitOid\":\"87f3\"}", "", ""},
	    {"{\"files\":[],\"commitOid\":\"" COMMIT "0\"}", "", ""},
	    {"{\"files\":[],\"commitOid\":\"" SHA256 "\"}", "", ""},
	    {"{\"files\":[{\"path\":\"a\",\"uploadMode\":\"lfs\"}]}", "a lfs ;",
		""},
	    {"{\"files\":[{\"path\":\"b\",\"uploadMode\":\"regular\","
	     "\"shouldIgnore\":false,\"oid\":null},"
	     "{\"uploadMode\":\"lfs\",\"path\":\"a\",\"shouldIgnore\":true}]}",
		"b regular ;a lfs ignored ;", ""},
	    {"{\"files\":[{\"path\":\"a\",\"uploadMode\":\"regular\","
	     "\"oid\":\"" SHA1 "\"},{\"path\":\"b\",\"uploadMode\":\"lfs\","
	     "\"oid\":\"" SHA256 "\"}]}",
		"a regular abb2;b lfs 3444;", ""},
	    /* An id of neither kind is as good as none: the file is sent. */
	    {"{\"files\":[{\"path\":\"a\",\"uploadMode\":\"lfs\","
	     "\"oid\":\"abb2\"},{\"path\":\"b\",\"uploadMode\":\"lfs\","
	     "\"oid\":7},{\"path\":\"c\",\"uploadMode\":\"lfs\","
	     "\"oid\":\"" SHA256 "0\"}]}",
		"a lfs ;b lfs ;c lfs ;", ""},
	    {"{\"new\":[1,{\"a\":[]}],\"files\":[{\"x\":{},\"path\":\"\\u00fc\","
	     "\"uploadMode\":\"lfs\",\"shouldIgnore\":\"true\"}]}",
		"\xc3\xbc lfs ;", ""},
	};
	struct buf told = buf_make(4096);
	char commit[41];
	struct err e;

	for (size_t i = 0; i < countof(row); i++) {
		memset(commit, 'x', sizeof(commit));
		CHECK_ROW(
		    i, parse(str_of(row[i].text), &told, commit, &e) == 0);
		CHECK_ROW(i, str_eq(buf_str(&told), row[i].told));
		CHECK_ROW(i, strcmp(commit, row[i].commit) == 0);
	}
	buf_release(&told);
}

static void
test_refused(void)
{
	static const struct {
		const char *text;
		enum err_kind kind;
	} row[] = {
	    {"", ERR_NET},
	    {"<html>", ERR_NET},
	    {"{\"files\":[]}x", ERR_NET},
	    {"[]", ERR_CONTENT},
	    {"null", ERR_CONTENT},
	    {"{}", ERR_CONTENT},
	    {"{\"files\":null}", ERR_CONTENT},
	    {"{\"files\":{}}", ERR_CONTENT},
	    {"{\"files\":[1]}", ERR_CONTENT},
	    {"{\"files\":[{}]}", ERR_CONTENT},
	    {"{\"files\":[{\"path\":\"a\"}]}", ERR_CONTENT},
	    {"{\"files\":[{\"uploadMode\":\"lfs\"}]}", ERR_CONTENT},
	    {"{\"files\":[{\"path\":\"a\",\"uploadMode\":\"xet\"}]}",
		ERR_CONTENT},
	    {"{\"files\":[{\"path\":\"a\",\"uploadMode\":\"LFS\"}]}",
		ERR_CONTENT},
	    {"{\"files\":[{\"path\":\"a\",\"uploadMode\":null}]}", ERR_CONTENT},
	    {"{\"files\":[{\"path\":1,\"uploadMode\":\"lfs\"}]}", ERR_CONTENT},
	};
	struct buf told = buf_make(4096);
	char commit[41];
	struct err e;

	for (size_t i = 0; i < countof(row); i++) {
		CHECK_ROW(i, parse(str_of(row[i].text), &told, commit, &e) < 0);
		CHECK_ROW(i, e.kind == row[i].kind && *e.msg);
	}
	buf_release(&told);
}

/* An answer that ends early is never believed. */
static void
test_cut(void)
{
	const struct str text =
	    str_of("{\"files\":[{\"path\":\"a\\u00fc\",\"uploadMode\":\"lfs\","
		   "\"shouldIgnore\":false,\"oid\":\"" SHA256 "\"}],"
		   "\"commitOid\":\"" COMMIT "\"}");
	struct buf told = buf_make(4096);
	char commit[41];
	struct err e;

	for (size_t n = 0; n < text.n; n++) {
		CHECK_ROW(n, parse(str_make(text.s, n), &told, commit, &e) < 0);
		CHECK_ROW(n, e.kind == ERR_NET && !told.len);
	}
	CHECK(parse(text, &told, commit, &e) == 0);
	buf_release(&told);
}

int
main(void)
{
	test_question();
	test_question_size();
	test_answers();
	test_refused();
	test_cut();
	return test_end();
}
