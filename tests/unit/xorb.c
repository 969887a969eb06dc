#include "chunk.h"
#include "err.h"
#include "tests/unit/data/corpus.h"
#include "tests/unit/data/xet.h"
#include "tests/unit/test.h"

/* Unpacks all entries of the stream in pieces of that length, each in an
 * allocation of its own. All chunks go to out. */
static int
unpack(struct str text, size_t piece, struct buf *out, struct err *e)
{
	struct unpacker u;
	int result = 0;
	size_t at = 0;

	unpacker_init(&u);
	CHECK(unpacker_is_between(&u));
	while (result == 0 && at < text.n) {
		size_t n = piece < text.n - at ? piece : text.n - at, used;
		unsigned char *copy = test_exact(text.s + at, n);
		struct str chunk;

		result = unpacker_take(&u, copy, n, &used, &chunk, e);
		if (result == 0) {
			CHECK(used > 0 && used <= n);
			CHECK(used == n || chunk.n > 0);
			CHECK((chunk.n > 0) == unpacker_is_between(&u));
			buf_str_add(out, chunk);
		}
		at += used;
		free(copy);
	}
	if (result == 0 && !unpacker_is_between(&u))
		result = err_set(e, ERR_OTHER, "an entry is open");
	unpacker_release(&u);
	return result;
}

/* What other writers made. */
static void
test_known(void)
{
	static const struct {
		const char *name, *start;
		size_t n;
		const char *sha256;
	} known[] = {
	    {"hello", "Hello World!", 12,
		"7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d90"
		"69"},
	    {"external", "external chunk 0external chunk 1", 32, NULL},
	    {"small_abcd_lz4", "abcdabcd", 256, NULL},
	    {"small_abcd_bg4", "abcdabcd", 256, NULL},
	    {"zero_8192_lz4", "\0\0", 8192,
		"9f1dcbc35c350d6027f98be0f5c8b43b42ca52b7604459c0c42be3aa88913d"
		"47"},
	    {"zero_8192_lz4_js", "\0\0", 8192,
		"9f1dcbc35c350d6027f98be0f5c8b43b42ca52b7604459c0c42be3aa88913d"
		"47"},
	    {"tiny_auto", "Hello World!", 8204, NULL},
	};
	static const size_t pieces[] = {1, 2, 7, 8, 9, 63, 100000};

	for (size_t i = 0; i < countof(known) * countof(pieces); i++) {
		size_t k = i / countof(pieces);
		struct buf name = buf_make(100), text, out = buf_make(10000);
		struct digest d;
		struct hash h;
		struct err e;
		char hex[2 * HASH_SIZE_MAX + 1];

		buf_printf(&name, "xorb/%s", known[k].name);
		text = corpus(buf_cstr(&name));
		CHECK_ROW(k, unpack(buf_str(&text), pieces[i % countof(pieces)],
				 &out, &e) == 0);
		CHECK_ROW(
		    k, out.len == known[k].n &&
			   !memcmp(out.s, known[k].start,
			       known[k].start[0] ? strlen(known[k].start) : 2));
		hash_init(&h, HASH_SHA256, 0);
		hash_update(&h, out.s, out.len);
		hash_final(&h, &d);
		digest_hex(&d, hex);
		CHECK_ROW(k, !known[k].sha256 || !strcmp(hex, known[k].sha256));
		buf_release(&out);
		buf_release(&text);
		buf_release(&name);
	}
}

/* 1 + i / 64 as floats, and three bytes more. */
static void
test_floats(void)
{
	struct buf text = corpus("xorb/small_f32_bg4"), out = buf_make(1000);
	const struct vector floats = {.kind = FLOATS};
	struct err e;

	CHECK(unpack(buf_str(&text), 5, &out, &e) == 0 && out.len == 259);
	for (size_t i = 0; i < 256; i++)
		CHECK_ROW(i, (unsigned char)out.s[i] ==
				 vector_byte(&floats, i / 4 * 4096 + i % 4));
	CHECK(memcmp(out.s + 256, "\1\2\3", 3) == 0);
	buf_release(&out);
	buf_release(&text);
}

/* Every cut of two entries; and the stream that ends too soon. */
static void
test_cuts(void)
{
	struct buf text = corpus("xorb/tiny_auto");

	for (size_t cut = 0; cut <= text.len; cut++) {
		struct buf out = buf_make(10000);
		struct str part = str_make(text.s, cut);
		struct err e;
		int rv = unpack(part, cut + 1, &out, &e);

		CHECK_ROW(cut,
		    (rv == 0) == (cut == 0 || cut == 20 || cut == text.len));
		CHECK_ROW(cut, out.len == (cut < 20            ? 0U
					      : cut < text.len ? 12U
							       : 8204U));
		buf_release(&out);
	}
	buf_release(&text);
}

static void
test_refused(void)
{
	static const struct {
		const char *head, *why;
	} refused[] = {
	    {"0101000000010000", "of version 1"},
	    {"584554424c4f4201", "of version 88"},
	    {"0001000003010000", "unknown way (3)"},
	    {"0001000063010000", "unknown way (99)"},
	    {"0001000000000000", "of 0 bytes"},
	    {"0000000000000000", "of 0 bytes"},
	    {"0001000001010002", "of 131073 bytes"},
	    {"00ffffff01ffffff", "of 16777215 bytes"},
	    {"0001000000020000", "of 2 bytes that takes 1"},
	    {"0002000000010000", "of 1 bytes that takes 2"},
	    {"0000000001010000", "that takes 0"},
	    {"0001000401010000", "that takes 262145"},
	};
	struct entry entry;

	for (size_t i = 0; i < countof(refused); i++) {
		unsigned char head[ENTRY_HEADER];
		struct err e;

		CHECK_ROW(i, hex_decode(str_of(refused[i].head), head, 8) == 0);
		CHECK_ROW(i, entry_parse(head, &entry, &e) < 0);
		CHECK_ROW(i, e.kind == ERR_CONTENT);
		CHECK_ROW(i, strstr(e.msg, refused[i].why) != NULL);
	}
	CHECK(entry_parse((const unsigned char *)"\0\0\0\4\1\0\0\2", &entry,
		  NULL) == 0);
	CHECK(entry.packed == 262144 && entry.size == 131072);
}

/* A frame that is longer or shorter than the header says. */
static void
test_lying_lengths(void)
{
	struct buf text = corpus("xorb/small_abcd_lz4"), out = buf_make(1000);
	struct err e;

	text.s[1]++;
	buf_putc(&text, 'x');
	for (size_t piece = 1; piece < 100; piece += 30) {
		CHECK(unpack(buf_str(&text), piece, &out, &e) < 0);
		CHECK(strstr(e.msg, "ends 1 bytes before") != NULL);
	}
	text.s[1] -= 2;
	CHECK(unpack(buf_str(&text), 1000, &out, &e) < 0);
	CHECK(strstr(e.msg, "goes on after its entry") != NULL);
	text.s[1]++;
	text.s[5]++;
	CHECK(unpack(buf_str(&text), 1000, &out, &e) < 0);
	CHECK(strstr(e.msg, "ends after 256 of 257") != NULL);
	CHECK(out.len == 0);
	buf_release(&text);
	buf_release(&out);
}

/* A chunk that is stored and has come whole is not copied; after a restart the
 * next stream begins with a header. */
static void
test_views(void)
{
	static const unsigned char text[] = "\0\3\0\0\0\3\0\0abc\0\1";
	struct unpacker u;
	struct str chunk;
	struct err e;
	size_t used;

	unpacker_init(&u);
	CHECK(unpacker_take(&u, text, 13, &used, &chunk, &e) == 0);
	CHECK(used == 11 && chunk.n == 3 && chunk.s == (const char *)text + 8);
	CHECK(unpacker_take(&u, text + 11, 2, &used, &chunk, &e) == 0);
	CHECK(used == 2 && chunk.n == 0 && !unpacker_is_between(&u));
	unpacker_restart(&u);
	CHECK(unpacker_take(&u, text, 10, &used, &chunk, &e) == 0);
	CHECK(used == 10 && chunk.n == 0);
	unpacker_restart(&u);
	CHECK(unpacker_take(&u, text, 11, &used, &chunk, &e) == 0);
	CHECK(used == 11 && str_eq(chunk, "abc"));
	unpacker_release(&u);
	unpacker_release(&u);
}

/* Chunks of a file, packed in each way. */
static void
test_pack(const struct vector *v, enum entry_scheme wanted, size_t most)
{
	struct packer *k = xmalloc(sizeof(*k));
	unsigned char *chunk = xmalloc(CHUNK_MAX), *entry;
	size_t sum = 0;

	for (size_t i = 0, n = 1; i < 15; i++, n = n * 2 + i % 2) {
		struct buf out = buf_make(CHUNK_MAX);
		struct err e = {.kind = ERR_NONE};
		size_t length;

		n = i == 14 || n > CHUNK_MAX ? CHUNK_MAX : n;
		for (size_t j = 0; j < n; j++)
			chunk[j] = vector_byte(v, 65536 + j);
		entry = xmalloc(ENTRY_HEADER + n);
		length = entry_pack(k, wanted, chunk, n, entry);
		CHECK_ROW(n, length <= ENTRY_HEADER + n);
		CHECK_ROW(n, unpack(str_make((char *)entry, length), 999, &out,
				 &e) == 0);
		CHECK_ROW(n, out.len == n && !memcmp(out.s, chunk, n));
		CHECK_ROW(n,
		    (entry[4] == ENTRY_STORED) == (length == ENTRY_HEADER + n));
		CHECK_ROW(n, entry[4] == ENTRY_STORED || entry[4] == wanted);
		sum = length;
		free(entry);
		buf_release(&out);
	}
	CHECK_ROW(most, sum <= most);
	free(k);
	free(chunk);
}

int
main(void)
{
	static const struct vector noise = {.seed = 1};
	static const struct vector floats = {.kind = FLOATS};
	static const struct vector zeros = {.kind = BYTE};

	test_known();
	test_floats();
	test_cuts();
	test_refused();
	test_lying_lengths();
	test_views();
	for (int i = ENTRY_STORED; i <= ENTRY_BG4; i++)
		test_pack(&noise, (enum entry_scheme)i, 131080);
	test_pack(&floats, ENTRY_BG4, 5000);
	test_pack(&floats, ENTRY_LZ4, 131080);
	test_pack(&zeros, ENTRY_LZ4, 600);
	test_pack(&zeros, ENTRY_BG4, 600);
	return test_end();
}
