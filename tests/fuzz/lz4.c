/* LZ4: the bytes as a frame, and as content to pack. The first says in which
 * pieces a frame comes, the next two how long its content is. */

#include "lz4.h"
#include "tests/fuzz/fuzz.h"

/* Reads the frame into out, and checks what each call says. */
static int
in_pieces(struct str text, size_t piece, unsigned char *out, size_t size)
{
	struct lz4 z;
	size_t at = 0;

	lz4_init(&z, out, size);
	while (at < text.n && !lz4_done(&z)) {
		size_t n = piece < text.n - at ? piece : text.n - at, used = 0;
		char *copy = fuzz_copy(str_make(text.s + at, n));
		struct err e = {.kind = ERR_NONE};
		int rv = lz4_read(&z, (unsigned char *)copy, n, &used, &e);

		free(copy);
		MUST(used <= n && z.at <= size);
		if (rv < 0) {
			fuzz_failed(&e);
			MUST(e.kind == ERR_CONTENT);
			return -1;
		}
		MUST(used == n || lz4_done(&z));
		at += used;
	}
	MUST(!lz4_done(&z) || z.at == size);
	return lz4_done(&z) ? 0 : -1;
}

static void
check_frame(struct str text, size_t piece, size_t size)
{
	unsigned char *a = xmalloc(size + 1), *b = xmalloc(size + 1);
	int rv = in_pieces(text, text.n, a, size);

	MUST(in_pieces(text, piece, b, size) == rv);
	MUST(rv < 0 || memcmp(a, b, size) == 0);
	free(a);
	free(b);
}

/* What is packed unpacks to the same, with exactly the room it takes. */
static void
check_content(const uint8_t *p, size_t n, bool split)
{
	uint32_t *table = xcalloc(LZ4_TABLE, sizeof(table[0]));
	unsigned char *content = xmalloc(n), *back = xmalloc(n), *out, *less;
	size_t length;

	if (split) {
		bg4_split(p, n, content);
		bg4_join(content, n, back);
		MUST(memcmp(back, p, n) == 0);
	} else {
		memcpy(content, p, n);
	}
	out = xmalloc(n + 15);
	length = lz4_write(content, n, out, n + 15, table);
	MUST(length >= 16 && length <= n + 15);
	MUST(in_pieces(str_make((char *)out, length), length, back, n) == 0);
	MUST(memcmp(back, content, n) == 0);
	less = xmalloc(length - 1);
	MUST(lz4_write(content, n, less, length - 1, table) == 0);
	free(less);
	free(out);
	free(back);
	free(content);
	free(table);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n < 4)
		return 0;
	check_frame(fuzz_str(p + 3, n - 3), p[0] % 40U + 1, p[1] + 256U * p[2]);
	check_content(p + 3, n - 3, p[0] % 2);
	return 0;
}
