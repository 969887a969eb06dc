/* Answers on stdout what is asked on stdin: a line, then N bytes. xet_compare.py asks, and
 * the test Hub (tests/e2e/fakehub/xet.py), for which Python is too slow. A line:
 *
 *	blake3 KEY N          64 hex digits; KEY is in hex, or - for none
 *	crc64 N               CRC-64/NVME, in decimal
 *	tree N                the hash of a xorb and that of a file of these chunks: lines
 *	                      of hash and size, in order
 *
 * Or a line with a length N, followed by that many bytes:
 *
 *	pack N                an LZ4 frame
 *	unpack SIZE PIECE N   the content of a frame: read in pieces
 *	cut N                 the chunks of a content: lines of hash and size
 *	entry SCHEME N        the entry of a chunk
 *	entries N             what entries hold: lines of hash, size, scheme, packed size
 *	content N             the content of entries
 *
 * A length of -1 is followed by what is wrong, in its line. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blake3.h"
#include "chunk.h"
#include "err.h"
#include "lz4.h"
#include "str.h"

enum { MOST = XORB_MAX + (1 << 20), ANSWER_MAX = 1 << 30 };

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
crc64(const unsigned char *p, size_t n)
{
	uint64_t table[256], crc = UINT64_MAX;

	for (unsigned i = 0; i < 256; i++) {
		table[i] = i;
		for (unsigned bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^
				   (table[i] & 1 ? 0x9a6c9329ac4bc9b5U : 0);
	}
	for (size_t i = 0; i < n; i++)
		crc = crc >> 8 ^ table[(crc ^ p[i]) & 255];
	printf("%" PRIu64 "\n", ~crc);
}

static void
tree(struct str text)
{
	char xorb[XETHASH_TEXT + 1], file[XETHASH_TEXT + 1];
	struct hashtree *t = xcalloc(1, sizeof(*t));
	struct str line;
	struct xethash h;

	hashtree_init(t);
	while (str_cut(text, '\n', &line, &text)) {
		struct str word = line, size = line;

		str_cut(line, ' ', &word, &size);
		if (xethash_parse(word, &h) < 0)
			exit(2);
		hashtree_add(t, &h, number(&size));
	}
	hashtree_xorb(t, &h);
	xethash_text(&h, xorb);
	hashtree_file(t, &h);
	xethash_text(&h, file);
	printf("%s %s\n", xorb, file);
	free(t);
}

static void
pack(const unsigned char *p, size_t n, struct buf *out)
{
	uint32_t *table = xcalloc(LZ4_TABLE, sizeof(table[0]));
	char *room = buf_room(out, n + 15);

	buf_added(out, lz4_write(p, n, (unsigned char *)room, n + 15, table));
	free(table);
}

static void
unpack(struct str *rest, const unsigned char *p, size_t n, struct buf *out,
    struct err *e)
{
	size_t size = number(rest), piece = number(rest), at = 0;
	struct lz4 z;

	lz4_init(&z, (unsigned char *)buf_room(out, size), size);
	while (at < n && !lz4_done(&z)) {
		size_t k = piece < n - at ? piece : n - at, used;

		if (lz4_read(&z, p + at, k, &used, e) < 0)
			return;
		at += used;
	}
	if (!lz4_done(&z) || at < n)
		err_set(
		    e, ERR_CONTENT, "%zu of %zu bytes are the frame", at, n);
	buf_added(out, size);
}

static void
name(const unsigned char *p, size_t n, struct buf *out)
{
	char text[XETHASH_TEXT + 1];
	struct xethash id;
	struct blake3 h;

	blake3_init(&h, NULL);
	xethash_begin(&h, XET_CHUNK);
	blake3_update(&h, p, n);
	xethash_end(&h, &id);
	xethash_text(&id, text);
	buf_printf(out, "%s %zu", text, n);
}

static void
cut(const unsigned char *p, size_t n, struct buf *out)
{
	while (n > 0) {
		struct chunker c = {0};
		bool ends;
		size_t k = chunker_take(&c, p, n, &ends);

		name(p, k, out);
		buf_putc(out, '\n');
		p += k;
		n -= k;
	}
}

static void
entry(struct str *rest, const unsigned char *p, size_t n, struct buf *out)
{
	struct packer *k = xcalloc(1, sizeof(*k));
	size_t scheme = number(rest);
	char *room = buf_room(out, ENTRY_HEADER + n);

	buf_added(out, entry_pack(k, (enum entry_scheme)scheme, p, n,
			   (unsigned char *)room));
	free(k);
}

static void
entries(const unsigned char *p, size_t n, bool content, struct buf *out,
    struct err *e)
{
	struct unpacker u;
	size_t used;

	unpacker_init(&u);
	for (size_t at = 0; at < n; at += used) {
		struct str chunk;

		if (unpacker_take(&u, p + at, n - at, &used, &chunk, e) < 0)
			break;
		if (content) {
			buf_str_add(out, chunk);
		} else if (chunk.n > 0) {
			name((const unsigned char *)chunk.s, chunk.n, out);
			buf_printf(out, " %d %" PRIu32 "\n",
			    (int)u.entry.scheme, u.entry.packed);
		}
	}
	if (e->kind == ERR_NONE && !unpacker_is_between(&u))
		err_set(e, ERR_CONTENT, "the last entry is cut");
	unpacker_release(&u);
}

static void
answer(struct str word, struct str *rest, const unsigned char *p, size_t n)
{
	struct buf out = buf_make(ANSWER_MAX);
	struct err e = {.kind = ERR_NONE};

	if (str_eq(word, "pack"))
		pack(p, n, &out);
	else if (str_eq(word, "unpack"))
		unpack(rest, p, n, &out, &e);
	else if (str_eq(word, "cut"))
		cut(p, n, &out);
	else if (str_eq(word, "entry"))
		entry(rest, p, n, &out);
	else
		entries(p, n, str_eq(word, "content"), &out, &e);
	if (out.full)
		err_set(&e, ERR_CONTENT, "too much to answer");
	if (e.kind != ERR_NONE) {
		printf("-1 %s\n", e.msg);
	} else {
		printf("%zu\n", out.len);
		fwrite(buf_cstr(&out), 1, out.len, stdout);
	}
	buf_release(&out);
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
		else if (str_eq(word, "crc64"))
			crc64(p, n);
		else if (str_eq(word, "tree"))
			tree(str_make((const char *)p, n));
		else
			answer(word, &rest, p, n);
		fflush(stdout);
	}
	free(p);
	return 0;
}
