#include "lz4.h"

#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

/* The largest content here. */
enum { BYTES = 200000 };

static uint32_t table[LZ4_TABLE];

/* Bytes that pack: runs, repetitions near and far, and some noise. */
static void
fill(unsigned char *p, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		if (i >= 1000 && seed >> 29)
			p[i] = p[i - 1 - (seed >> 8) % 2 * 998];
		else
			p[i] = (unsigned char)(seed >> 24);
	}
}

/* --- xxHash32. --- */

static void
test_xxh32(void)
{
	static const struct {
		const char *text;
		uint32_t want;
	} known[] = {
	    {"", 0x02cc5d05},
	    {"a", 0x550d7456},
	    {"abc", 0x32d153ff},
	    {"Nobody inspects the spammish repetition", 0xe2293b2f},
	};

	for (size_t i = 0; i < countof(known); i++) {
		size_t n = strlen(known[i].text);

		for (size_t cut = 0; cut <= n; cut++) {
			struct xxh32 x;

			xxh32_init(&x);
			xxh32_update(&x, known[i].text, cut);
			xxh32_update(&x, known[i].text + cut, n - cut);
			CHECK_ROW(i, xxh32_final(&x) == known[i].want);
		}
	}
}

static uint32_t
xxh32(const void *p, size_t n)
{
	struct xxh32 x;

	xxh32_init(&x);
	xxh32_update(&x, p, n);
	return xxh32_final(&x);
}

/* --- Frames. --- */

static void
put_number(struct buf *b, uint64_t x, size_t n)
{
	unsigned char text[8];

	bytes_put_le(text, x, n);
	buf_add(b, text, n);
}

/* A header; size is only there if flg says so. */
static void
put_header(struct buf *b, unsigned flg, unsigned bd, uint64_t size)
{
	size_t at;

	put_number(b, 0x184d2204, 4);
	at = b->len;
	put_number(b, flg, 1);
	put_number(b, bd, 1);
	if (flg & 0x08)
		put_number(b, size, 8);
	put_number(b, xxh32(b->s + at, b->len - at) >> 8 & 0xff, 1);
}

/* A block; stored if packed is false. */
static void
put_block(struct buf *b, unsigned flg, bool packed, const void *text, size_t n)
{
	put_number(b, n | (packed ? 0 : 0x80000000U), 4);
	buf_add(b, text, n);
	if (flg & 0x10)
		put_number(b, xxh32(text, n), 4);
}

static void
put_end(struct buf *b, unsigned flg, const void *content, size_t n)
{
	put_number(b, 0, 4);
	if (flg & 0x04)
		put_number(b, xxh32(content, n), 4);
}

/* The packed block in a frame that lz4_write() makes; 0 if it is stored. */
static size_t
pack(const unsigned char *p, size_t n, unsigned char *out, size_t room)
{
	size_t length = lz4_write(p, n, out, room, table);

	if (length == 0 || out[10] & 0x80)
		return 0;
	memmove(out, out + 11, length - 15);
	return length - 15;
}

/* Feeds text in pieces of that many bytes, each in an allocation of its own;
 * 0: the content must come out. */
static int
feed(struct str text, size_t piece, const unsigned char *want, size_t size,
    struct err *e)
{
	unsigned char *out = xmalloc(size ? size : 1);
	struct lz4 z;
	int result = 0;
	size_t at = 0;

	lz4_init(&z, out, size);
	while (result == 0 && at < text.n && !lz4_done(&z)) {
		size_t n = piece < text.n - at ? piece : text.n - at, used;
		unsigned char *copy = test_exact(text.s + at, n);

		result = lz4_read(&z, copy, n, &used, e);
		CHECK(used <= n);
		CHECK(result < 0 || used == n || lz4_done(&z));
		free(copy);
		at += used;
	}
	if (result == 0 && !lz4_done(&z))
		result = err_set(e, ERR_OTHER, "not done");
	if (result == 0 && want)
		CHECK(at == text.n && memcmp(out, want, size) == 0);
	free(out);
	return result;
}

static void
check_frame(long row, struct str text, const unsigned char *want, size_t size)
{
	static const size_t pieces[] = {SIZE_MAX / 2, 1, 2, 3, 7, 19, 64, 4093};
	struct err e = {.kind = ERR_NONE};

	for (size_t i = 0; i < countof(pieces); i++) {
		if (pieces[i] < 64 && text.n > 3000)
			continue;
		CHECK_ROW(row, feed(text, pieces[i], want, size, &e) == 0);
		if (e.kind)
			printf("%ld: %s\n", row, e.msg);
	}
	/* All of it is needed, and one byte more is not taken. */
	for (size_t n = 0; n < text.n && text.n < 200; n++)
		CHECK_ROW(
		    row, feed(str_make(text.s, n), n + 1, NULL, size, &e) < 0);
	CHECK_ROW(row, feed(text, 999, NULL, size + 1, &e) < 0);
	CHECK_ROW(row, feed(text, 999, NULL, size - 1, &e) < 0);
	CHECK_ROW(row, e.kind == ERR_CONTENT);
}

/* Each kind of frame: blocks of one length, in turn stored and packed, by all
 * flags. Of linked ones the second is packed with what is before it. */
static void
test_frames(const unsigned char *content)
{
	static const struct {
		unsigned bd;
		size_t size, block;
	} all[] = {
	    {0x40, 1, 1},
	    {0x40, 1000, 150},
	    {0x40, 131072, 65536},
	    {0x50, 131072, 100000},
	    {0x60, 200000, 200000},
	    {0x70, 150000, 65536},
	};
	unsigned char *out = xmalloc(BYTES);

	for (size_t i = 0; i < countof(all) * 16; i++) {
		unsigned flg = 0x40 | (i & 1 ? 0x20 : 0) | (i & 2 ? 0x10 : 0) |
			       (i & 4 ? 0x08 : 0) | (i & 8 ? 0x04 : 0);
		size_t size = all[i / 16].size, block = all[i / 16].block;
		struct buf b = buf_make(1 << 20);
		bool packed = i & 2;

		put_header(&b, flg, all[i / 16].bd, size);
		for (size_t at = 0; at < size; at += block) {
			size_t n = block < size - at ? block : size - at, k;

			k = packed ? pack(content + at, n, out, BYTES) : 0;
			packed = k == 0;
			put_block(
			    &b, flg, k, k ? out : content + at, k ? k : n);
		}
		put_end(&b, flg, content, size);
		CHECK(!b.full);
		check_frame((long)i, buf_str(&b), content, size);
		buf_release(&b);
	}
	free(out);
}

/* What other writers made: xet-core and the client in JavaScript. */
static void
test_known(void)
{
	static const struct {
		const char *hex, *unit;
		size_t times;
	} known[] = {
	    {"04224d186040820f0000004f616263640400e36063646162636400000000",
		"abcd", 64},
	    {"04224d184070df060000005068656c6c6f00000000", "hello", 1},
	};
	unsigned char text[64];

	for (size_t i = 0; i < countof(known); i++) {
		size_t n = strlen(known[i].hex) / 2;
		struct buf want = buf_make(4096);

		CHECK(hex_decode(str_of(known[i].hex), text, n) == 0);
		for (size_t k = 0; k < known[i].times; k++)
			buf_puts(&want, known[i].unit);
		check_frame((long)i, str_make((const char *)text, n),
		    (const unsigned char *)want.s, want.len);
		buf_release(&want);
	}
}

/* A match that reaches back into the block before: only where blocks are
 * linked. */
static void
test_linked(void)
{
	/* "" and a match of 8 bytes from 8 bytes ago; then the literals "!". */
	static const char second[] = "\x04\x08\x00\x10!";
	unsigned char want[] = "12345678"
			       "12345678!";
	struct err e;

	for (unsigned flg = 0x40; flg <= 0x60; flg += 0x20) {
		struct buf b = buf_make(1000);

		put_header(&b, flg, 0x40, 0);
		put_block(&b, flg, false, "12345678", 8);
		put_block(&b, flg, true, second, 5);
		put_end(&b, flg, NULL, 0);
		if (flg == 0x40) {
			check_frame(0, buf_str(&b), want, 17);
		} else {
			CHECK(feed(buf_str(&b), 100, NULL, 17, &e) < 0);
			CHECK(strstr(e.msg, "before the first byte"));
		}
		buf_release(&b);
	}
}

static void
test_refused_headers(void)
{
	static const struct {
		const char *hex, *why;
	} refused[] = {
	    {"05224d18604082", "no LZ4 frame"},
	    {"02214c18604082", "no LZ4 frame"},
	    {"502a4d18604082", "no LZ4 frame"},
	    {"04224d18204082", "unknown version"},
	    {"04224d18a04082", "unknown version"},
	    {"04224d18624082", "unknown version"},
	    {"04224d18614082", "dictionary"},
	    {"04224d18604083", "checksum of an LZ4 header"},
	};
	struct err e;

	for (size_t i = 0; i < countof(refused); i++) {
		unsigned char text[7];

		CHECK(!hex_decode(str_of(refused[i].hex), text, 7));
		CHECK_ROW(
		    i, feed(str_make((char *)text, 7), 7, NULL, 9, &e) < 0);
		CHECK_ROW(i, e.kind == ERR_CONTENT);
		CHECK_ROW(i, strstr(e.msg, refused[i].why) != NULL);
	}
	for (unsigned bd = 0; bd < 256; bd++) {
		struct buf b = buf_make(1000);
		bool good =
		    bd == 0x40 || bd == 0x50 || bd == 0x60 || bd == 0x70;

		put_header(&b, 0x60, bd, 0);
		put_block(&b, 0x60, false, "x", 1);
		put_end(&b, 0x60, NULL, 0);
		CHECK_ROW(bd, (feed(buf_str(&b), 9, NULL, 1, &e) == 0) == good);
		CHECK_ROW(bd, good || strstr(e.msg, "block size"));
		buf_release(&b);
	}
}

/* One block each; the content should be of 20 bytes. */
static void
test_refused_blocks(void)
{
	static const struct {
		const char *block;
		size_t n;
		const char *why;
	} refused[] = {
	    {"\x00", 1, "after 0 of 20"},
	    {"\x10", 1, "middle of a sequence"},
	    {"\x20!", 2, "middle of a sequence"},
	    {"\xf0", 1, "middle of a sequence"},
	    {"\x10!\x01", 3, "middle of a sequence"},
	    {"\x1f!\x01\x00", 4, "middle of a sequence"},
	    /* Ends with a match. */
	    {"\x1f!\x01\x00\x00", 5, "middle of a sequence"},
	    {"\x10!\x00\x00\x00", 5, "before the first byte"},
	    {"\x10!\x02\x00\x00", 5, "before the first byte"},
	    {"\x00\x01\x00\x00", 4, "before the first byte"},
	    {"\x10!\xff\xff\x00", 5, "before the first byte"},
	    {"\xf0\x06!!!!!!!!!!!!!!!!!!!!!", 23, "unpacks to too much"},
	    {"\xf0\xff\xff\xff\xff", 5, "unpacks to too much"},
	    {"\x1f!\x01\x00\x01\x00", 6, "unpacks to too much"},
	    {"\x1f!\x01\x00\xff\xff\xff", 7, "unpacks to too much"},
	    {"\x1c!\x01\x00\x50!!!!!", 10, "unpacks to too much"},
	};
	static const char good[] = "\x1a!\x01\x00\x50!!!!!";
	struct err e;

	for (size_t i = 0; i <= countof(refused); i++) {
		struct buf b = buf_make(1000);

		put_header(&b, 0x60, 0x40, 0);
		if (i < countof(refused))
			put_block(
			    &b, 0x60, true, refused[i].block, refused[i].n);
		else
			put_block(&b, 0x60, true, good, 10);
		put_end(&b, 0x60, NULL, 0);
		for (size_t piece = 1; piece < 60; piece += 29) {
			int rv = feed(buf_str(&b), piece, NULL, 20, &e);

			CHECK_ROW(i, (rv == 0) == (i == countof(refused)));
			CHECK_ROW(i, rv == 0 || e.kind == ERR_CONTENT);
			CHECK_ROW(i, rv == 0 || strstr(e.msg, refused[i].why));
		}
		buf_release(&b);
	}
}

/* Blocks larger than the header allows, packed or not, and wrong sums. */
static void
test_refused_lengths(const unsigned char *content)
{
	static const char *const why[] = {"more than its frame allows",
	    "unpacks to too much", "unpacks to too much", "of an LZ4 block",
	    "of an LZ4 frame", "of 21 bytes, not 20"};
	unsigned char *zeros = xcalloc(1, 70000), *out = xmalloc(70000);
	struct err e;

	for (size_t i = 0; i < countof(why); i++) {
		unsigned flg = i == 3 ? 0x70 : i == 4 ? 0x64 : 0x60;
		size_t size = i < 2 ? 70000 : 20;
		struct buf b = buf_make(1 << 20);

		put_header(&b, i == 5 ? 0x68 : flg, 0x40, 21);
		if (i == 0)
			put_block(&b, flg, false, content, 65537);
		else if (i == 1)
			put_block(
			    &b, flg, true, out, pack(zeros, 70000, out, 70000));
		else
			put_block(&b, flg, false, content, i == 2 ? 21 : 20);
		put_end(&b, flg, content, size);
		if (i == 3)
			b.s[b.len - 5] ^= 1;
		if (i == 4)
			b.s[b.len - 1] ^= 1;
		CHECK_ROW(i, feed(buf_str(&b), 999, NULL, size, &e) < 0);
		CHECK_ROW(i, strstr(e.msg, why[i]) != NULL);
		buf_release(&b);
	}
	free(zeros);
	free(out);
}

/* --- Writing. --- */

/* What a length is more than 15, behind its token. */
static size_t
take_length(const unsigned char **p, size_t length)
{
	if (length == 15)
		do
			length += **p;
		while (*(*p)++ == 255);
	return length;
}

/* A packed block of that many bytes, before end, ends as other readers want it,
 * who copy more than they must: with five literals, and no match in the last
 * twelve bytes. */
static bool
ends_well(const unsigned char *p, const unsigned char *end, size_t size)
{
	size_t at = 0;

	for (;;) {
		size_t literals = *p >> 4, match = *p & 15;

		p++;
		literals = take_length(&p, literals);
		p += literals;
		at += literals;
		if (p >= end)
			return p == end && at == size && literals >= 5;
		if (size - at < 12)
			return false;
		p += 2;
		at += take_length(&p, match) + 4;
	}
}

static void
test_written(const unsigned char *whole, size_t n)
{
	size_t room = n + n / 255 + 64, length;
	unsigned char *content = test_exact(whole, n);
	unsigned char *out = xmalloc(room), *less;
	struct err e;

	length = lz4_write(content, n, out, room, table);
	CHECK_ROW(
	    n, out[10] & 0x80 || ends_well(out + 11, out + length - 4, n));
	CHECK_ROW(n, length >= 16 && length < room);
	CHECK_ROW(n, memcmp(out,
			 n > 65536 ? "\x04\x22\x4d\x18\x60\x50\xfb"
				   : "\x04\x22\x4d\x18\x60\x40\x82",
			 7) == 0);
	CHECK_ROW(
	    n, feed(str_make((char *)out, length), n, content, n, &e) == 0);
	/* Exactly so much room is enough. */
	less = xmalloc(length);
	CHECK_ROW(n, lz4_write(content, n, less, length, table) == length);
	CHECK_ROW(n, memcmp(out, less, length) == 0);
	free(less);
	for (size_t k = 1; k < length; k += 1 + length / 50) {
		less = xmalloc(length - k);
		CHECK_ROW(
		    n, lz4_write(content, n, less, length - k, table) == 0);
		free(less);
	}
	free(out);
	free(content);
}

/* The same bytes again, as far as a match can be, and farther. */
static void
test_far(const unsigned char *content)
{
	unsigned char out[1000];
	size_t length[4];

	for (size_t i = 0; i < countof(length); i++) {
		size_t far = 65534 + i, n = far + 60;
		unsigned char *p = xcalloc(1, n);

		memcpy(p, content, 40);
		memcpy(p + far, content, 40);
		test_written(p, n);
		length[i] = lz4_write(p, n, out, sizeof(out), table);
		free(p);
	}
	CHECK(length[1] && length[1] + 30 < length[2]);
}

static void
test_writing(const unsigned char *content)
{
	static const size_t lengths[] = {254, 255, 256, 269, 270, 271, 524, 525,
	    4096, 65535, 65536, 65537, 131072, BYTES};
	unsigned char *zeros = xcalloc(1, BYTES), *noise = xmalloc(BYTES);
	uint32_t seed = 1;

	for (size_t i = 0; i < BYTES; i++) {
		seed = seed * 1664525 + 1013904223;
		noise[i] = (unsigned char)(seed >> 24);
	}
	for (size_t n = 1; n < 100; n++) {
		test_written(content, n);
		test_written(zeros, n);
		test_written(noise, n);
	}
	for (size_t i = 0; i < countof(lengths); i++) {
		test_written(content, lengths[i]);
		test_written(zeros, lengths[i]);
		test_written(noise, lengths[i]);
	}
	free(zeros);
	free(noise);
}

/* --- BG4. --- */

static void
test_bg4(const unsigned char *content)
{
	static const unsigned char in[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
	static const unsigned char want[] = {1, 5, 9, 2, 6, 10, 3, 7, 4, 8};
	unsigned char out[10];

	bg4_split(in, 10, out);
	CHECK(memcmp(out, want, 10) == 0);
	for (size_t n = 0; n < 70; n++) {
		unsigned char *p = test_exact(content, n);
		unsigned char *q = xmalloc(n + 1), *r = xmalloc(n + 1);

		q[n] = r[n] = '!';
		bg4_split(p, n, q);
		bg4_join(q, n, r);
		CHECK_ROW(
		    n, memcmp(p, r, n) == 0 && q[n] == '!' && r[n] == '!');
		free(p);
		free(q);
		free(r);
	}
}

int
main(void)
{
	unsigned char *content = xmalloc(BYTES);

	fill(content, BYTES, 1);
	test_xxh32();
	test_known();
	test_frames(content);
	test_linked();
	test_refused_headers();
	test_refused_blocks();
	test_refused_lengths(content);
	test_writing(content);
	test_far(content);
	test_bg4(content);
	free(content);
	return test_end();
}
