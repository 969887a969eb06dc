/* Answers on stdout what xet_compare.py asks on stdin: a line, then N bytes.
 *
 *	blake3 KEY N          64 hex digits; KEY is in hex, or - for none
 *	pack N                a length, then an LZ4 frame
 *	unpack SIZE PIECE N   the same, the frame's content: read in pieces
 *
 * A length of -1 is followed by what is wrong, in its line. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blake3.h"
#include "err.h"
#include "lz4.h"
#include "str.h"

enum { MOST = 1 << 22 };

static size_t
number(struct str *rest)
{
	struct str word = *rest;
	uint64_t n = 0;

	str_cut(*rest, ' ', &word, rest);
	if (str_num(word, 10, MOST, &n) < 0)
		exit(2);
	return (size_t)n;
}

static void
hash(struct str *rest, const unsigned char *p, size_t n)
{
	unsigned char key[BLAKE3_SIZE], out[BLAKE3_SIZE];
	char hex[2 * BLAKE3_SIZE + 1];
	struct blake3 h;
	struct str word = *rest;
	bool has_key;

	str_cut(*rest, ' ', &word, rest);
	has_key = hex_decode(word, key, sizeof(key)) == 0;
	blake3_init(&h, has_key ? key : NULL);
	blake3_update(&h, p, n);
	blake3_final(&h, out);
	hex_encode(out, sizeof(out), hex);
	puts(hex);
}

static void
pack(const unsigned char *p, size_t n)
{
	uint32_t *table = xcalloc(LZ4_TABLE, sizeof(table[0]));
	unsigned char *out = xmalloc(n + 15);
	size_t length = lz4_write(p, n, out, n + 15, table);

	printf("%zu\n", length);
	fwrite(out, 1, length, stdout);
	free(out);
	free(table);
}

static void
unpack(struct str *rest, const unsigned char *p, size_t n)
{
	size_t size = number(rest), piece = number(rest), at = 0;
	unsigned char *out = xmalloc(size + 1);
	struct err e = {.kind = ERR_NONE};
	struct lz4 z;

	lz4_init(&z, out, size);
	while (e.kind == ERR_NONE && at < n && !lz4_done(&z)) {
		size_t k = piece < n - at ? piece : n - at, used;

		if (lz4_read(&z, p + at, k, &used, &e) == 0)
			at += used;
	}
	if (e.kind == ERR_NONE && (!lz4_done(&z) || at < n))
		err_set(
		    &e, ERR_CONTENT, "%zu of %zu bytes are the frame", at, n);
	if (e.kind != ERR_NONE) {
		printf("-1 %s\n", e.msg);
	} else {
		printf("%zu\n", size);
		fwrite(out, 1, size, stdout);
	}
	free(out);
}

int
main(void)
{
	unsigned char *p = xmalloc(MOST);
	char line[256];

	while (fgets(line, sizeof(line), stdin)) {
		struct str rest = str_make(line, strcspn(line, "\n")), word;
		const char *last = strrchr(line, ' ');
		struct str length = str_make(last + 1, strcspn(last + 1, "\n"));
		size_t n = number(&length);

		if (!str_cut(rest, ' ', &word, &rest) ||
		    fread(p, 1, n, stdin) != n)
			return 2;
		if (str_eq(word, "blake3"))
			hash(&rest, p, n);
		else if (str_eq(word, "pack"))
			pack(p, n);
		else
			unpack(&rest, p, n);
		fflush(stdout);
	}
	free(p);
	return 0;
}
