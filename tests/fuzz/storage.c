/* The answers to the Git LFS batch call, and of the storage. A head may stand
 * before the body. */

#include "batch.h"
#include "tests/fuzz/fuzz.h"

static void
check(struct lfs_asked *a)
{
	uint64_t sum = 0;

	if (a->action == LFS_ERROR)
		fuzz_failed(&a->why);
	MUST(a->action == LFS_SEND || !a->m.count);
	MUST(a->answered || a->action == LFS_ERROR);
	if (a->action != LFS_SEND)
		return;
	MUST(a->m.count >= 1 && a->m.count <= MULTIPART_PARTS_MAX);
	MUST(a->m.size == a->size);
	for (size_t i = 0; i < a->m.count; i++) {
		MUST(a->m.url[i] != NULL);
		MUST(multipart_first(&a->m, i) == sum);
		sum += multipart_length(&a->m, i);
	}
	MUST(sum == a->m.size);
	multipart_release(&a->m);
}

/* The objects that the answers of the corpus name. */
static void
parse(struct str body)
{
	struct lfs_asked asked[3] = {
	    {.size = 2}, {.size = UINT64_C(161000483)}, {.size = 1}};
	struct err e;

	memset(asked[0].digest.b, 0x02, 32);
	memset(asked[1].digest.b, 0xa1, 32);
	if (lfs_batch_parse(body, false, asked, countof(asked), &e) < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_NET || e.kind == ERR_CONTENT);
		return;
	}
	for (size_t i = 0; i < countof(asked); i++)
		check(&asked[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
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
	parse(body);
	v = lfs_storage_verdict(&h, body, &e);
	if (v != LFS_ARRIVED)
		fuzz_failed(&e);
	if (v == LFS_AGAIN || v == LFS_RENEW)
		MUST(e.kind == ERR_NET);
	free(copy);
	return 0;
}
