/* The chunks of a file: the same in pieces as by the rule over all of it. */

#include "chunk.h"
#include "tests/fuzz/fuzz.h"

enum { CONTENT = 300000 };

/* The bytes again and again, changed a little; from time to time they stay as
 * they are, or are noise. */
static void
fill(const uint8_t *p, size_t n, uint8_t *text)
{
	uint32_t seed = p[0];

	for (size_t i = 0; i < CONTENT; i++) {
		seed = seed * 1664525 + 1013904223;
		text[i] = p[i % n];
		if (p[i / 20000 % n] % 3 == 1)
			text[i] = (uint8_t)(text[i] + i / n);
		if (p[i / 20000 % n] % 3 == 2)
			text[i] = (uint8_t)(seed >> 24);
	}
}

/* The length of the first chunk of n bytes, all of which are hashed. */
static size_t
first_chunk(const uint8_t *p, size_t n)
{
	struct chunker c = {.hash = 0, .length = 0};
	uint64_t low = (uint64_t)1 << 48, h = 0;

	/* The number of a byte, from the hash of that byte alone. */
	uint64_t gear[256];

	for (unsigned i = 0; i < 256; i++) {
		uint8_t byte = (uint8_t)i;
		bool ends;

		c.hash = 0;
		c.length = CHUNK_MIN - 2;
		chunker_take(&c, &byte, 1, &ends);
		gear[i] = c.hash;
	}
	for (size_t i = 0; i < n; i++) {
		h = (h << 1) + gear[p[i]];
		if (i + 1 == CHUNK_MAX || (i + 1 >= CHUNK_MIN && h < low))
			return i + 1;
	}
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct chunker c = {.hash = 0, .length = 0};
	size_t piece, start = 0, at = 0;
	uint8_t *text;

	if (n == 0)
		return 0;
	piece = 1 + p[n - 1] * 97U;
	text = xmalloc(CONTENT);
	fill(p, n, text);
	while (at < CONTENT) {
		size_t k = piece < CONTENT - at ? piece : CONTENT - at;
		bool ends;

		k = chunker_take(&c, text + at, k, &ends);
		MUST(k > 0);
		at += k;
		MUST(at - start <= CHUNK_MAX);
		if (!ends && at < CONTENT)
			continue;
		MUST(first_chunk(text + start, CONTENT - start) == at - start);
		start = at;
	}
	free(text);
	return 0;
}
