/* BLAKE3 of the bytes, repeated: in pieces it is the same as at once. */

#include "blake3.h"
#include "tests/fuzz/fuzz.h"

enum { CONTENT_MAX = 80000 };

/* Pieces as long as two of the bytes say, a run of them at a time. */
static void
in_pieces(struct blake3 *h, const uint8_t *p, size_t n, const uint8_t *text,
    size_t length)
{
	size_t at = 0;

	for (size_t i = 0; at < length; i += 2) {
		size_t k = p[i % n] + 256U * (p[(i + 1) % n] % 32) + 1;

		if (k > length - at)
			k = length - at;
		blake3_update(h, text + at, k);
		at += k;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	unsigned char key[BLAKE3_SIZE], a[BLAKE3_SIZE], b[BLAKE3_SIZE];
	struct blake3 h, copy;
	uint8_t *text;
	size_t length;

	if (n < 4)
		return 0;
	length = p[0] + 256U * p[1];
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = p[i % n];
	text = xmalloc(CONTENT_MAX);
	for (size_t i = 0; i < length; i++)
		text[i] = (uint8_t)(p[i % n] + i / n);
	blake3_init(&h, p[2] % 2 ? key : NULL);
	copy = h;
	blake3_update(&h, text, length);
	blake3_final(&h, a);
	in_pieces(&copy, p, n, text, length);
	blake3_final(&copy, b);
	MUST(memcmp(a, b, sizeof(a)) == 0);
	free(text);
	return 0;
}
