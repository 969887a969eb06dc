/* The parts of a content: 16 bytes of sizes, the address that completes it,
 * then a line for each part, its address and, after a tab, its etag. */

#include "batch.h"
#include "json.h"
#include "tests/fuzz/fuzz.h"

static uint64_t
number(const uint8_t *p)
{
	uint64_t x = 0;

	for (size_t i = 0; i < 8; i++)
		x = x << 8 | p[i];
	return x;
}

static void
check_parts(const struct multipart *m)
{
	uint64_t sum = 0;

	MUST(m->count >= 1 && m->count <= MULTIPART_PARTS_MAX);
	for (size_t i = 0; i < m->count; i++) {
		MUST(multipart_first(m, i) == sum);
		MUST(multipart_length(m, i) > 0);
		MUST(multipart_length(m, i) <= m->chunk);
		sum += multipart_length(m, i);
	}
	MUST(sum == m->size);
	MUST(multipart_arrived(m) <= m->size);
	MUST(multipart_is_whole(m) == (multipart_arrived(m) == m->size));
}

/* What completes it is JSON, and names each etag as it came. */
static void
check_completion(const struct multipart *m)
{
	struct digest d = {.kind = HASH_SHA256};
	struct buf b = buf_make(1 << 24);
	struct json all, parts, part, key;
	struct json_iter it;
	struct err e;
	size_t i = 0;

	multipart_put_completion(m, &d, &b);
	MUST(!b.full && json_parse(buf_str(&b), &all, &e) == 0);
	MUST(json_get(&all, "parts", &parts));
	it = json_iter(&parts);
	for (; json_next(&it, &key, &part); i++) {
		char *etag = json_get_strdup(&part, "etag", 1 << 20);

		MUST(etag && i < m->count);
		if (utf8_valid(str_of(m->etag[i])))
			MUST(strcmp(etag, m->etag[i]) == 0);
		free(etag);
	}
	MUST(i == m->count);
	buf_release(&b);
}

static void
set(char **at, struct str s)
{
	free(*at);
	*at = fuzz_cstr(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct multipart m, other = {0};
	struct str rest, line;

	if (n < 16 || multipart_init(&m, number(p), number(p + 8)) < 0)
		return 0;
	check_parts(&m);
	rest = fuzz_str(p + 16, n - 16);
	set(&m.complete, fuzz_cut(&rest, '\n'));
	for (size_t i = 0; i < m.count; i++) {
		line = fuzz_cut(&rest, '\n');
		set(&m.url[i], fuzz_cut(&line, '\t'));
		if (line.n)
			set(&m.etag[i], line);
	}
	check_parts(&m);
	multipart_find_expiry(&m);
	MUST(!multipart_same_upload(&m, &other));
	if (multipart_same_upload(&m, &m))
		MUST(strstr(m.complete, "uploadId") || strchr(m.complete, '%'));
	if (multipart_is_whole(&m))
		check_completion(&m);
	multipart_release(&m);
	multipart_release(&m);
	return 0;
}
