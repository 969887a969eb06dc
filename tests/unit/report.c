#include "session.h"

#include <string.h>

#include "api.h"
#include "str.h"
#include "tests/unit/test.h"

static bool
said(struct buf *b, const char *want)
{
	bool same = strcmp(buf_cstr(b), want) == 0;

	buf_clear(b);
	return same;
}

static void
test_json(void)
{
	static char id[] = "me/a";
	const struct repoid r = {.type = REPO_DATASET, .id = id};
	struct buf b = buf_make(1000);

	report_begin(&b, "download", &r, "a\"b");
	CHECK(said(&b, "{\"command\":\"download\",\"repo_id\":\"me/a\","
		       "\"repo_type\":\"dataset\",\"revision\":\"a\\\"b\""));
	report_file(&b, "x\n", UINT64_C(5000000000));
	CHECK(said(&b, "{\"path\":\"x\\n\",\"size\":5000000000"));
	report_file_end(&b, "kept", NULL);
	CHECK(said(&b, ",\"outcome\":\"kept\"}"));
	report_file_end(&b, "failed", "a \\");
	CHECK(said(&b, ",\"outcome\":\"failed\",\"error\":\"a \\\\\"}"));
	buf_release(&b);
}

static void
test_line(void)
{
	static const struct {
		const char *outcome, *size, *path, *why, *want;
	} rows[] = {
	    {"fetch", "1.5 kB", "a/b", "", "fetch          1.5 kB  a/b\n"},
	    {"delete", "", "a", "", "delete                 a\n"},
	    {"refused", "7 B", "../a", "no",
		"refused           7 B  ../a: no\n"},
	    {"in place", "7 B", "\x1b[2J\n", "",
		"in place          7 B  ?[2J?\n"},
	    {"fetch", "7 B", "d\xc3\xa9j\xc3\xa0", "",
		"fetch             7 B  d\xc3\xa9j\xc3\xa0\n"},
	};
	struct buf b = buf_make(1000);

	for (size_t i = 0; i < countof(rows); i++) {
		report_line(&b, rows[i].outcome, rows[i].size, rows[i].path,
		    rows[i].why);
		CHECK_ROW(i, said(&b, rows[i].want));
	}
	buf_release(&b);
}

int
main(void)
{
	test_json();
	test_line();
	return test_end();
}
