/* A stream of xorb entries: in pieces it gives the same chunks as at once. Each
 * chunk packs and unpacks to itself. */

#include "chunk.h"
#include "tests/fuzz/fuzz.h"

/* Adds the chunks to out, each after its length; -1 if the stream is bad. */
static int
unpack(struct str text, size_t piece, struct buf *out)
{
	struct err e = {.kind = ERR_NONE};
	struct unpacker u;
	size_t at = 0;
	int rv = 0;

	unpacker_init(&u);
	while (rv == 0 && at < text.n) {
		size_t n = piece < text.n - at ? piece : text.n - at, used = 0;
		char *copy = fuzz_copy(str_make(text.s + at, n));
		struct str chunk;

		rv = unpacker_take(
		    &u, (unsigned char *)copy, n, &used, &chunk, &e);
		if (rv == 0) {
			MUST(used > 0 && used <= n);
			MUST(chunk.n <= CHUNK_MAX);
			MUST((chunk.n > 0) == unpacker_is_between(&u));
			if (chunk.n > 0)
				buf_printf(out, "%zu ", chunk.n);
			buf_str_add(out, chunk);
		} else {
			fuzz_failed(&e);
			MUST(e.kind == ERR_CONTENT);
		}
		at += used;
		free(copy);
	}
	unpacker_release(&u);
	return rv;
}

static void
check_packed(const uint8_t *p, size_t n, enum entry_scheme scheme)
{
	struct packer *k = xmalloc(sizeof(*k));
	unsigned char *entry = xmalloc(ENTRY_HEADER + n);
	size_t length = entry_pack(k, scheme, p, n, entry);
	struct buf out = buf_make(1 << 20), want = buf_make(1 << 20);

	MUST(length <= ENTRY_HEADER + n);
	MUST(unpack(str_make((char *)entry, length), 17, &out) == 0);
	buf_printf(&want, "%zu ", n);
	buf_add(&want, p, n);
	MUST(str_same(buf_str(&out), buf_str(&want)));
	buf_release(&out);
	buf_release(&want);
	free(entry);
	free(k);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf a = buf_make(1 << 24), b = buf_make(1 << 24);

	MUST(unpack(fuzz_str(p, n), n, &a) ==
	     unpack(fuzz_str(p, n), n % 37 + 1, &b));
	MUST(str_same(buf_str(&a), buf_str(&b)) || a.full);
	buf_release(&a);
	buf_release(&b);
	if (n > 0)
		check_packed(p, n, (enum entry_scheme)(n % 3));
	return 0;
}
