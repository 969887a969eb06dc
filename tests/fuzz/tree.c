/* Listings of the shared cache, cut at a place that the first byte gives: what
 * is read is written, and read again. And the same text as a link of a blob, or
 * as a ref. */

#include "../../cache.c"

#include "tests/fuzz/fuzz.h"
#include "tests/unit/tree.h"

static int
keep(void *ctx, const struct repo_file *f, struct err *e)
{
	struct repo_file copy = *f;
	struct repo_ids ids;
	struct buf *b = ctx;

	(void)e;
	MUST(f->path && strlen(f->path) <= REPO_PATH_MAX);
	MUST(f->size <= REPO_FILE_MAX && f->ids);
	ids = *f->ids;
	MUST(ids.blob.kind == HASH_GIT);
	MUST(!*ids.xet || str_is_hex(str_of(ids.xet), 64));
	copy.ids = &ids;
	buf_puts(b, b->len ? "," : "{\"files\":{");
	format_file(b, &copy);
	return 0;
}

static int
read_all(struct str text, size_t cut, struct buf *out)
{
	struct err e;
	int rv = tree_read(text, cut, "models/o/n", keep, out, &e);

	MUST(rv >= 0 || e.kind == ERR_CONTENT || e.kind == ERR_OTHER);
	return rv;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf once = buf_make(1 << 22), again = buf_make(1 << 22);
	struct str text = n ? fuzz_str(p + 1, n - 1) : str_of("");
	const char *at;
	char *link;
	size_t cut = n && text.n ? p[0] % (text.n + 1) : 0;

	if (read_all(text, cut, &once) == 0 && once.len && !once.full) {
		buf_puts(&once, "},\"format_version\":1}");
		MUST(read_all(buf_str(&once), once.len / 2, &again) == 0);
		buf_puts(&again, "},\"format_version\":1}");
		MUST(str_same(buf_str(&once), buf_str(&again)));
	}
	link = fuzz_cstr(text);
	at = shared_path(link);
	MUST(!at || (strlen(at) == 73 && str_is_hex(str_of(at + 9), 64)));
	MUST(!commit_valid(link) || strlen(link) == 40);
	free(link);
	buf_release(&once);
	buf_release(&again);
	return 0;
}
