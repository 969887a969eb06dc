/* A shard: what is read is written as the same records. */

#include "chunk.h"
#include "tests/fuzz/fuzz.h"

/* The hash and the numbers that are used; the rest of a record is ignored. */
static void
check_record(const struct shard_record *r, const char *text)
{
	struct buf b = buf_make(SHARD_RECORD);

	shard_put(&b, r);
	MUST(b.len == SHARD_RECORD && !b.full);
	MUST(memcmp(b.s, text, 32) == 0);
	for (size_t i = 32; i < SHARD_RECORD; i++)
		MUST(b.s[i] == text[i] || b.s[i] == 0);
	buf_release(&b);
}

static void
check_shard(const struct shard *s, struct str text)
{
	struct shard_iter it = shard_iter(s);
	uint32_t terms = 0, chunks = 0, at = 0;
	struct shard_record r;

	MUST(fuzz_inside(s->records, text));
	MUST(s->records.n % SHARD_RECORD == 0);
	while (shard_next(&it, &r)) {
		MUST(fuzz_inside(it.rest, s->records));
		check_record(&r, it.rest.s - SHARD_RECORD);
		if (r.kind == SHARD_FILE)
			terms = r.count;
		if (r.kind == SHARD_TERM) {
			MUST(terms-- > 0 && r.first < r.end);
			MUST(r.size / CHUNK_MAX <= r.end - r.first);
		}
		if (r.kind == SHARD_XORB) {
			chunks = r.count;
			at = 0;
		}
		if (r.kind == SHARD_CHUNK) {
			MUST(chunks-- > 0 && r.at == at);
			MUST(r.size > 0 && r.size <= CHUNK_MAX);
			at += r.size;
		}
	}
	MUST(it.ends == 2 && it.rest.n == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct err e = {.kind = ERR_NONE};
	struct shard s;

	if (shard_parse(fuzz_str(p, n), &s, &e) == 0) {
		check_shard(&s, fuzz_str(p, n));
	} else {
		fuzz_failed(&e);
		MUST(e.kind == ERR_CONTENT);
	}
	return 0;
}
