#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "json.h"
#include "roots.h"
#include "str.h"
#include "tests/unit/test.h"

/* The program, but for its main(). */
#define main hub_main
int hub_main(int argc, char **argv);
#include "../../hub.c"
#undef main

static void
test_text(void)
{
	struct buf b = buf_make(4096);
	struct str rest, line;
	size_t lines = 0;

	version_put(&b);
	CHECK(str_starts(buf_str(&b), "hub " HUB_VERSION "\nTLS by BearSSL "));
	CHECK(strstr(buf_cstr(&b), roots_date));
	for (rest = buf_str(&b); str_cut(rest, '\n', &line, &rest); lines++)
		CHECK(line.n < 80);
	CHECK(lines == 2 && !rest.n);
	buf_release(&b);
}

static bool
is_text(const struct json *v, const char *name)
{
	char *text = json_get_strdup(v, name, 4096);
	bool is = text && *text && !strstr(text, "unknown");

	free(text);
	return is;
}

/* A host name in the list of that name. */
static bool
has_host(const struct json *hosts, const char *name, const char *host)
{
	struct json list, item;
	struct json_iter it;
	bool found = false;

	if (!json_get(hosts, name, &list))
		return false;
	it = json_iter(&list);
	while (json_next(&it, NULL, &item))
		found = found || json_is(&item, host);
	return found;
}

static void
test_json(void)
{
	static const char *const texts[] = {
	    "version", "compiler", "architecture", "bearssl", "hashing"};
	struct buf b = buf_make(16384);
	struct json v, part;
	struct err e;
	uint64_t n = 0;

	version_put_json(&b);
	CHECK(b.len && strchr(buf_cstr(&b), '\n') == b.s + b.len - 1);
	CHECK(json_parse(buf_str(&b), &v, &e) == 0);
	for (size_t i = 0; i < countof(texts); i++)
		CHECK_ROW(i, is_text(&v, texts[i]));
	CHECK(json_get(&v, "commit", &part));
	CHECK(part.type == JSON_NULL || part.text.n >= 42);
	CHECK(json_get(&v, "source_time", &part) && part.text.n == 22);
	CHECK(part.text.s[11] == 'T' && part.text.s[20] == 'Z');
	CHECK(json_get(&v, "roots", &part));
	CHECK(json_get_uint(&part, "count", 9999, &n) == 0);
	CHECK(n == roots_count && is_text(&part, "sha256"));
	CHECK(json_get(&v, "hosts", &part));
	CHECK(has_host(&part, "fixed", "huggingface.co"));
	CHECK(has_host(&part, "download", "*.cdn.hf.co"));
	CHECK(!has_host(&part, "upload", "huggingface.co"));
	buf_release(&b);
}

int
main(void)
{
	test_text();
	test_json();
	return test_end();
}
