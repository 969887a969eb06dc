/* Chunked bodies: however they are cut, the same comes out. */

#include "http.h"
#include "tests/fuzz/fuzz.h"

struct result {
	int rv;
	struct buf body;
	size_t used;
};

/* Feeds a piece, in an allocation of its own, until it is used up. */
static void
feed(struct http_chunks *c, struct result *r, const uint8_t *p, size_t n)
{
	char *copy = fuzz_copy(fuzz_str(p, n));
	size_t at = 0;
	struct err e;

	while (at < n && r->rv == 0) {
		size_t used = 0, length = 0;
		const char *data = NULL;

		r->rv = http_chunks_feed(
		    c, copy + at, n - at, &used, &data, &length, &e);
		if (r->rv < 0) {
			fuzz_failed(&e);
			MUST(e.kind == ERR_NET);
			break;
		}
		MUST(used <= n - at && (used > 0 || r->rv));
		MUST(fuzz_inside(
		    str_make(data, length), str_make(copy + at, used)));
		buf_add(&r->body, data, length);
		at += used;
		r->used += used;
	}
	free(copy);
}

static struct result
decode(const uint8_t *p, size_t n, size_t cut, size_t step)
{
	struct http_chunks c = {0};
	struct result r = {0, buf_make(1 << 20), 0};

	while (n) {
		size_t some = cut < n ? cut : n;

		feed(&c, &r, p, some);
		p += some;
		n -= some;
		cut = step;
	}
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct result all = decode(p, n, n, n);

	for (size_t cut = 0; cut < n && n <= 2048; cut++) {
		/* Byte by byte, then two pieces at every position. */
		size_t first = cut ? cut : 1, step = cut ? n : 1;
		struct result r = decode(p, n, first, step);

		MUST(r.rv == all.rv);
		MUST(str_same(buf_str(&r.body), buf_str(&all.body)));
		MUST(r.rv < 0 || r.used == all.used);
		buf_release(&r.body);
	}
	buf_release(&all.body);
	return 0;
}
