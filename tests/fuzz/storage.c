/* The answers to the Git LFS batch call, and of the storage. A head may stand
 * before the body. */

#include "batch.h"
#include "tests/fuzz/fuzz.h"

static uint64_t
size_of(void *ctx, const struct digest *d)
{
	(void)ctx;
	return d->b[0] & 1 ? (uint64_t)d->b[1] * 1000003 : d->b[0];
}

static void
each(void *ctx, struct lfs_answer *a)
{
	uint64_t sum = 0;

	MUST(size_of(ctx, &a->digest) > 0);
	if (a->action == LFS_ERROR) {
		fuzz_failed(a->why);
		return;
	}
	if (a->action != LFS_SEND)
		return;
	MUST(a->m.count >= 1 && a->m.count <= MULTIPART_PARTS_MAX);
	MUST(a->m.size == size_of(ctx, &a->digest));
	for (size_t i = 0; i < a->m.count; i++) {
		MUST(a->m.url[i] != NULL);
		MUST(multipart_first(&a->m, i) == sum);
		sum += multipart_length(&a->m, i);
	}
	MUST(sum == a->m.size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct lfs_batch_ops ops = {size_of, each};
	struct str text = fuzz_str(p, n), body;
	size_t head = http_head_length(text, 0);
	struct http_head h = {.status = 200, .fields = {"", 0}};
	struct err e = {.kind = ERR_NONE};
	enum lfs_verdict v;
	char *copy;

	if (head && http_head_parse(str_make(text.s, head), &h, &e) < 0)
		return 0;
	copy = fuzz_copy(str_make(text.s + head, text.n - head));
	body = str_make(copy, text.n - head);
	if (lfs_batch_parse(body, &ops, NULL, &e) < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_NET || e.kind == ERR_CONTENT);
	}
	v = lfs_storage_verdict(&h, body, &e);
	if (v != LFS_ARRIVED)
		fuzz_failed(&e);
	if (v == LFS_AGAIN || v == LFS_RENEW)
		MUST(e.kind == ERR_NET);
	free(copy);
	return 0;
}
