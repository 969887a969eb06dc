/* A reconstruction, as the storage answers it. */

#include "chunk.h"
#include "tests/fuzz/fuzz.h"

static void
check_recon(const struct recon *r)
{
	uint64_t size = 0;
	size_t next = 0;

	for (size_t i = 0; i < r->ranges; i++) {
		const struct recon_range *range = &r->range[i];

		MUST(range->first < range->end && range->url != NULL);
		MUST(range->length > ENTRY_HEADER);
		MUST(range->length / 9 >= range->end - range->first);
	}
	for (size_t i = 0; i < r->terms; i++) {
		const struct recon_term *t = &r->term[i];
		const struct recon_range *range = &r->range[t->range];
		uint32_t chunks = range->end - range->first;

		MUST(t->range <= next && t->range < r->ranges);
		next += t->range == next;
		MUST(t->count > 0 && t->count <= chunks);
		MUST(t->first <= chunks - t->count);
		MUST(t->size >= t->count);
		MUST(t->size <= (uint64_t)t->count * CHUNK_MAX);
		size += t->size;
	}
	MUST(next == r->ranges && r->size == size - r->skip);
	MUST(r->terms ? r->skip < r->term[0].size : r->skip == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct err e = {.kind = ERR_NONE};
	struct recon r;

	if (recon_parse(fuzz_str(p, n), &r, &e) == 0) {
		check_recon(&r);
		recon_release(&r);
	} else {
		fuzz_failed(&e);
		MUST(e.kind == ERR_CONTENT || e.kind == ERR_NET);
	}
	return 0;
}
