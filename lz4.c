#include "lz4.h"

#include <inttypes.h>
#include <string.h>

#include "err.h"
#include "str.h"

static size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline uint32_t
word(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

/* --- xxHash32. --- */

static const uint32_t prime[5] = {
    2654435761U, 2246822519U, 3266489917U, 668265263U, 374761393U};

static inline uint32_t
rol(uint32_t x, int n)
{
	return x << n | x >> (32 - n);
}

void
xxh32_init(struct xxh32 *x)
{
	x->lane[0] = prime[0] + prime[1];
	x->lane[1] = prime[1];
	x->lane[2] = 0;
	x->lane[3] = 0 - prime[0];
	x->total = 0;
}

static void
xxh32_block(uint32_t lane[4], const unsigned char *p)
{
	for (size_t i = 0; i < 4; i++)
		lane[i] =
		    rol(lane[i] + word(p + 4 * i) * prime[1], 13) * prime[0];
}

void
xxh32_update(struct xxh32 *x, const void *data, size_t n)
{
	const unsigned char *p = data;
	size_t filled = x->total % 16;

	x->total += n;
	if (filled > 0) {
		size_t k = smaller(16 - filled, n);

		memcpy(x->block + filled, p, k);
		if (filled + k < 16)
			return;
		xxh32_block(x->lane, x->block);
		p += k;
		n -= k;
	}
	for (; n >= 16; n -= 16, p += 16)
		xxh32_block(x->lane, p);
	if (n > 0)
		memcpy(x->block, p, n);
}

uint32_t
xxh32_final(const struct xxh32 *x)
{
	const unsigned char *p = x->block;
	size_t n = x->total % 16;
	uint32_t h = prime[4];

	if (x->total >= 16)
		h = rol(x->lane[0], 1) + rol(x->lane[1], 7) +
		    rol(x->lane[2], 12) + rol(x->lane[3], 18);
	h += (uint32_t)x->total;
	for (; n >= 4; n -= 4, p += 4)
		h = rol(h + word(p) * prime[2], 17) * prime[3];
	for (; n > 0; n--, p++)
		h = rol(h + *p * prime[4], 11) * prime[0];
	h = (h ^ h >> 15) * prime[1];
	h = (h ^ h >> 13) * prime[2];
	return h ^ h >> 16;
}

static uint32_t
xxh32_of(const void *data, size_t n)
{
	struct xxh32 x;

	xxh32_init(&x);
	xxh32_update(&x, data, n);
	return xxh32_final(&x);
}

/* --- Reading a frame. --- */

#define MAGIC 0x184d2204

/* The bits of FLG: two of the version, then these. */
enum {
	FLG_VERSION = 0xc0,
	FLG_VERSION_1 = 0x40,
	FLG_INDEPENDENT = 0x20,
	FLG_BLOCK_SUMS = 0x10,
	FLG_SIZE = 0x08,
	FLG_SUM = 0x04,
	FLG_RESERVED = 0x02,
	FLG_DICTIONARY = 0x01,
};

/* The bit of a block's length that says: not packed. */
#define STORED 0x80000000U

/* What comes next. From TOKEN to MATCH_MORE, of a packed block. */
enum {
	MAGIC_FLG,
	REST_OF_HEADER,
	BLOCK_LENGTH,
	STORED_BYTES,
	TOKEN,
	LITERALS_MORE,
	LITERALS,
	OFFSET,
	MATCH_MORE,
	BLOCK_SUM,
	CONTENT_SUM,
	DONE,
};

/* What is there of the input. */
struct input {
	const unsigned char *p;
	size_t n;
};

static unsigned char
next(struct input *in)
{
	in->n--;
	return *in->p++;
}

static void
expect(struct lz4 *z, unsigned state, unsigned wanted)
{
	z->state = state;
	z->filled = 0;
	z->wanted = wanted;
}

/* Adds to the field; true when it is whole. */
static bool
field(struct lz4 *z, struct input *in)
{
	while (z->filled < z->wanted && in->n > 0)
		z->field[z->filled++] = next(in);
	return z->filled == z->wanted;
}

void
lz4_init(struct lz4 *z, unsigned char *out, size_t size)
{
	*z = (struct lz4){.size = size};
	z->out = out;
	expect(z, MAGIC_FLG, 5);
}

bool
lz4_done(const struct lz4 *z)
{
	return z->state == DONE;
}

/* Magic and FLG, which says how long the header is. */
static int
magic_flg(struct lz4 *z, struct err *e)
{
	unsigned flg = z->field[4];

	if (word(z->field) != MAGIC)
		return err_set(e, ERR_CONTENT, "no LZ4 frame");
	if ((flg & FLG_VERSION) != FLG_VERSION_1 || flg & FLG_RESERVED)
		return err_set(
		    e, ERR_CONTENT, "an LZ4 frame of an unknown version");
	if (flg & FLG_DICTIONARY)
		return err_set(
		    e, ERR_CONTENT, "an LZ4 frame that needs a dictionary");
	z->linked = !(flg & FLG_INDEPENDENT);
	z->has_block_sums = flg & FLG_BLOCK_SUMS;
	z->has_sum = flg & FLG_SUM;
	z->state = REST_OF_HEADER;
	/* BD, the size, and a byte that checks the header. */
	z->wanted += flg & FLG_SIZE ? 10 : 2;
	return 0;
}

static int
header(struct lz4 *z, struct err *e)
{
	unsigned bd = z->field[5], last = z->wanted - 1;
	uint64_t size = bytes_get_le(z->field + 6, 8);

	if ((xxh32_of(z->field + 4, last - 4) >> 8 & 0xff) != z->field[last])
		return err_set(
		    e, ERR_CONTENT, "the checksum of an LZ4 header is wrong");
	if (bd & 0x8f || bd < 0x40)
		return err_set(
		    e, ERR_CONTENT, "an LZ4 frame with an unknown block size");
	if (z->field[4] & FLG_SIZE && size != z->size)
		return err_set(e, ERR_CONTENT,
		    "an LZ4 frame of %" PRIu64 " bytes, not %zu", size,
		    z->size);
	/* 64 KiB, 256 KiB, 1 MiB, 4 MiB. */
	z->block_max = (size_t)1 << (8 + 2 * (bd >> 4));
	expect(z, BLOCK_LENGTH, 4);
	return 0;
}

static int
end_of_frame(struct lz4 *z, struct err *e)
{
	if (z->at != z->size)
		return err_set(e, ERR_CONTENT,
		    "an LZ4 frame ends after %zu of %zu bytes", z->at, z->size);
	if (z->has_sum)
		expect(z, CONTENT_SUM, 4);
	else
		z->state = DONE;
	return 0;
}

static int
block_length(struct lz4 *z, struct err *e)
{
	uint32_t length = word(z->field);

	if (length == 0)
		return end_of_frame(z, e);
	z->left = length & ~STORED;
	if (z->left > z->block_max)
		return err_set(e, ERR_CONTENT,
		    "an LZ4 block of %zu bytes, more than its frame allows",
		    z->left);
	z->first = z->linked ? 0 : z->at;
	z->end = z->at + smaller(z->block_max, z->size - z->at);
	xxh32_init(&z->sum);
	z->state = length & STORED ? STORED_BYTES : TOKEN;
	return 0;
}

static int
block_done(struct lz4 *z)
{
	if (z->has_block_sums)
		expect(z, BLOCK_SUM, 4);
	else
		expect(z, BLOCK_LENGTH, 4);
	return 0;
}

static int
too_long(struct err *e)
{
	return err_set(e, ERR_CONTENT, "an LZ4 block that unpacks to too much");
}

static int
literals(struct lz4 *z, struct input *in)
{
	size_t n = smaller(z->literals, in->n);

	memcpy(z->out + z->at, in->p, n);
	in->p += n;
	in->n -= n;
	z->at += n;
	z->literals -= n;
	if (z->literals == 0)
		expect(z, OFFSET, 2);
	return 0;
}

/* Copies the match that begins offset bytes before this place. It may reach
 * into itself: each pass doubles what can be copied at once. */
static int
copy_match(struct lz4 *z, struct err *e)
{
	size_t offset = (size_t)bytes_get_le(z->field, 2), have = offset;
	const unsigned char *from;

	if (z->match > z->end - z->at)
		return too_long(e);
	for (from = z->out + z->at - offset; z->match > 0; have *= 2) {
		size_t n = smaller(have, z->match);

		memcpy(z->out + z->at, from, n);
		z->at += n;
		z->match -= n;
	}
	z->state = TOKEN;
	return 0;
}

static int
token(struct lz4 *z, unsigned char byte, struct err *e)
{
	z->literals = byte >> 4;
	z->match = (byte & 15) + 4;
	if (z->literals > z->end - z->at)
		return too_long(e);
	if (z->literals == 15)
		z->state = LITERALS_MORE;
	else if (z->literals > 0)
		z->state = LITERALS;
	else
		expect(z, OFFSET, 2);
	return 0;
}

static int
offset(struct lz4 *z, struct err *e)
{
	size_t n = (size_t)bytes_get_le(z->field, 2);

	if (n == 0 || n > z->at - z->first)
		return err_set(e, ERR_CONTENT,
		    "an LZ4 match before the first byte of its block");
	if (z->match < 15 + 4)
		return copy_match(z, e);
	z->state = MATCH_MORE;
	return 0;
}

/* One more byte of a length. */
static int
length_more(size_t *length, unsigned char byte, size_t most, struct err *e)
{
	*length += byte;
	return *length > most ? too_long(e) : 0;
}

/* The most that a short sequence reads and writes, in whole copies of 8. */
enum { SHORT_IN = 1 + 16 + 2, SHORT_OUT = 16 + 24 };

/*
 * Takes sequences of up to 14 literals and a match of up to 18 bytes, as most
 * are, while there is plenty of input and room; it copies more than it must,
 * which what follows overwrites. All that is longer, near an end or wrong is
 * left to the states.
 */
static void
short_sequences(struct lz4 *z, struct input *in)
{
	const unsigned char *p = in->p, *end = in->p + in->n;
	unsigned char *out = z->out + z->at, *limit = z->out + z->end;
	const unsigned char *first = z->out + z->first;

	while (end - p >= SHORT_IN && limit - out >= SHORT_OUT) {
		size_t count = *p >> 4, match = (*p & 15) + 4, back;
		const unsigned char *from;

		if (count == 15 || match == 15 + 4)
			break;
		back = p[count + 1] | (size_t)p[count + 2] << 8;
		if (back < 8 || back > (size_t)(out - first) + count)
			break;
		memcpy(out, p + 1, 16);
		out += count;
		p += count + 3;
		from = out - back;
		memcpy(out, from, 8);
		memcpy(out + 8, from + 8, 8);
		memcpy(out + 16, from + 16, 8);
		out += match;
	}
	z->at = (size_t)(out - z->out);
	in->p = p;
	in->n = (size_t)(end - p);
}

/* One step inside a packed block, of which in has at least a byte. */
static int
step(struct lz4 *z, struct input *in, struct err *e)
{
	switch (z->state) {
	case TOKEN:
		short_sequences(z, in);
		return in->n > 0 ? token(z, next(in), e) : 0;
	case LITERALS_MORE: {
		unsigned char byte = next(in);

		if (byte < 255)
			z->state = LITERALS;
		return length_more(&z->literals, byte, z->end - z->at, e);
	}
	case LITERALS:
		return literals(z, in);
	case OFFSET:
		return field(z, in) ? offset(z, e) : 0;
	default: { /* MATCH_MORE */
		unsigned char byte = next(in);

		if (length_more(&z->match, byte, z->end - z->at, e) < 0)
			return -1;
		return byte < 255 ? copy_match(z, e) : 0;
	}
	}
}

/* Takes what is there of a packed block. Its last sequence ends after its
 * literals. */
static int
packed_bytes(struct lz4 *z, struct input *in, struct err *e)
{
	struct input block = {in->p, smaller(in->n, z->left)};
	size_t n = block.n;

	while (block.n > 0)
		if (step(z, &block, e) < 0)
			return -1;
	if (z->has_block_sums)
		xxh32_update(&z->sum, in->p, n);
	in->p += n;
	in->n -= n;
	z->left -= n;
	if (z->left > 0)
		return 0;
	if (z->state != OFFSET || z->filled > 0)
		return err_set(e, ERR_CONTENT,
		    "an LZ4 block ends in the middle of a sequence");
	return block_done(z);
}

static int
stored_bytes(struct lz4 *z, struct input *in, struct err *e)
{
	size_t n = smaller(in->n, z->left);

	if (n > z->end - z->at)
		return too_long(e);
	if (n > 0)
		memcpy(z->out + z->at, in->p, n);
	if (z->has_block_sums)
		xxh32_update(&z->sum, in->p, n);
	in->p += n;
	in->n -= n;
	z->at += n;
	z->left -= n;
	return z->left > 0 ? 0 : block_done(z);
}

static int
check_sum(const struct lz4 *z, uint32_t sum, const char *of, struct err *e)
{
	if (word(z->field) == sum)
		return 0;
	return err_set(
	    e, ERR_CONTENT, "the checksum of an LZ4 %s is wrong", of);
}

/* What is done with a field that is whole. */
static int
field_done(struct lz4 *z, struct err *e)
{
	switch (z->state) {
	case MAGIC_FLG:
		return magic_flg(z, e);
	case REST_OF_HEADER:
		return header(z, e);
	case BLOCK_LENGTH:
		return block_length(z, e);
	case BLOCK_SUM:
		if (check_sum(z, xxh32_final(&z->sum), "block", e) < 0)
			return -1;
		expect(z, BLOCK_LENGTH, 4);
		return 0;
	default: /* CONTENT_SUM */
		if (check_sum(z, xxh32_of(z->out, z->size), "frame", e) < 0)
			return -1;
		z->state = DONE;
		return 0;
	}
}

int
lz4_read(struct lz4 *z, const unsigned char *p, size_t n, size_t *used,
    struct err *e)
{
	struct input in = {p, n};
	int result = 0;

	while (result == 0 && in.n > 0 && z->state != DONE) {
		if (z->state == STORED_BYTES)
			result = stored_bytes(z, &in, e);
		else if (z->state >= TOKEN && z->state <= MATCH_MORE)
			result = packed_bytes(z, &in, e);
		else if (field(z, &in))
			result = field_done(z, e);
	}
	*used = n - in.n;
	return result;
}

/* --- Writing a frame. --- */

/* A block ends with that many literals, and no match begins later than MATCH_END
 * bytes before its end. */
enum { LAST_LITERALS = 5, MATCH_END = 12, MATCH_MIN = 4, OFFSET_MAX = 65535 };

/* Output with an end; full if it was too small. */
struct output {
	unsigned char *p;
	size_t room;
	bool full;
};

static void
put(struct output *o, const void *p, size_t n)
{
	if (n > o->room) {
		o->full = true;
		o->room = 0;
		return;
	}
	memcpy(o->p, p, n);
	o->p += n;
	o->room -= n;
}

static void
put_byte(struct output *o, size_t byte)
{
	unsigned char c = (unsigned char)byte;

	put(o, &c, 1);
}

/* What is more than the 15 that a token can say. */
static void
put_more(struct output *o, size_t more)
{
	for (; more >= 255; more -= 255)
		put_byte(o, 255);
	put_byte(o, more);
}

/* The same as put_sequence() for the most common lengths, in whole copies: p has
 * 16 bytes. False if the lengths are others, or there is little room. */
static inline bool
put_short(struct output *o, const unsigned char *p, size_t n, size_t back,
    size_t match)
{
	if (n >= 15 || match >= 15 + MATCH_MIN || o->room < 1 + 16 + 2)
		return false;
	o->p[0] = (unsigned char)(n << 4 | (match - MATCH_MIN));
	memcpy(o->p + 1, p, 16);
	o->p[n + 1] = (unsigned char)back;
	o->p[n + 2] = (unsigned char)(back >> 8);
	o->p += n + 3;
	o->room -= n + 3;
	return true;
}

/* n literals at p, then a match; without one, the end of the block. */
static void
put_sequence(struct output *o, const unsigned char *p, size_t n, size_t back,
    size_t match)
{
	size_t more = match ? match - MATCH_MIN : 0;
	unsigned char offset[2];

	put_byte(o, smaller(n, 15) << 4 | smaller(more, 15));
	if (n >= 15)
		put_more(o, n - 15);
	put(o, p, n);
	if (!match)
		return;
	bytes_put_le(offset, back, 2);
	put(o, offset, 2);
	if (more >= 15)
		put_more(o, more - 15);
}

static size_t
slot(const unsigned char *p)
{
	return (word(p) * prime[0]) >> 20;
}

_Static_assert(LZ4_TABLE == 1 << (32 - 20), "slot() has 12 bits");

/* The bytes from p on, before end, that are those from q on. */
static size_t
common(const unsigned char *p, const unsigned char *q, const unsigned char *end)
{
	const unsigned char *start = p;

	while (end - p >= 4 && word(p) == word(q)) {
		p += 4;
		q += 4;
	}
	while (p < end && *p == *q) {
		p++;
		q++;
	}
	return (size_t)(p - start);
}

/* The first match that is found is taken. table has where each four bytes were
 * seen last, plus one. Where nothing matches, the steps become longer. */
static void
put_block(struct output *o, const unsigned char *p, size_t n,
    uint32_t table[LZ4_TABLE])
{
	size_t at = 0, done = 0, misses = 0;

	memset(table, 0, LZ4_TABLE * sizeof(table[0]));
	while (at + MATCH_END < n && !o->full) {
		size_t i = slot(p + at), seen = table[i], match;

		table[i] = (uint32_t)at + 1;
		if (seen == 0 || at + 1 - seen > OFFSET_MAX ||
		    word(p + seen - 1) != word(p + at)) {
			at += 1 + (misses++ >> 6);
			continue;
		}
		seen--;
		match =
		    MATCH_MIN + common(p + at + MATCH_MIN, p + seen + MATCH_MIN,
				    p + n - LAST_LITERALS);
		if (done + 16 > n ||
		    !put_short(o, p + done, at - done, at - seen, match))
			put_sequence(o, p + done, at - done, at - seen, match);
		at += match;
		done = at;
		misses = 0;
	}
	put_sequence(o, p + done, n - done, 0, 0);
}

size_t
lz4_write(const unsigned char *p, size_t n, unsigned char *out, size_t room,
    uint32_t table[LZ4_TABLE])
{
	/* Version 1, independent blocks of at most 64 or 256 KiB, nothing
	 * else; and the byte that checks it. */
	static const unsigned char small[] = {
	    0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82};
	static const unsigned char large[] = {
	    0x04, 0x22, 0x4d, 0x18, 0x60, 0x50, 0xfb};
	static const unsigned char end[4] = {0};
	struct output o = {out, room, false}, block;
	size_t length;

	put(&o, n > 65536 ? large : small, sizeof(small));
	put(&o, end, sizeof(end));
	block = (struct output){o.p, smaller(o.room, n - 1), o.full};
	put_block(&block, p, n, table);
	if (!block.full) {
		length = (size_t)(block.p - o.p);
		bytes_put_le(o.p - 4, length, 4);
		o.p += length;
		o.room -= length;
	} else {
		/* It is not smaller, or there is no room. */
		put(&o, p, n);
		if (!o.full)
			bytes_put_le(o.p - n - 4, n | STORED, 4);
	}
	put(&o, end, sizeof(end));
	return o.full ? 0 : (size_t)(o.p - out);
}

/* --- BG4. --- */

/* Where group g of n bytes begins. */
static size_t
group(size_t n, size_t g)
{
	return g * (n / 4) + smaller(g, n % 4);
}

static inline void
put_word(unsigned char *p, uint32_t word)
{
	p[0] = (unsigned char)word;
	p[1] = (unsigned char)(word >> 8);
	p[2] = (unsigned char)(word >> 16);
	p[3] = (unsigned char)(word >> 24);
}

void
bg4_split(const unsigned char *p, size_t n, unsigned char *out)
{
	enum { ODD = 0x00ff00ff }; /* the first and third byte of a word */
	unsigned char *a = out, *b = out + group(n, 1);
	unsigned char *c = out + group(n, 2), *d = out + group(n, 3);
	size_t whole = n / 4, i = 0;

	/* Four words at a time, as a matrix that is transposed. */
	for (; i + 4 <= whole; i += 4) {
		uint32_t w0 = word(p + 4 * i), w1 = word(p + 4 * i + 4);
		uint32_t w2 = word(p + 4 * i + 8), w3 = word(p + 4 * i + 12);
		uint32_t ac0 = (w0 & ODD) | (w1 & ODD) << 8;
		uint32_t bd0 = (w0 >> 8 & ODD) | (w1 & ~(uint32_t)ODD);
		uint32_t ac1 = (w2 & ODD) | (w3 & ODD) << 8;
		uint32_t bd1 = (w2 >> 8 & ODD) | (w3 & ~(uint32_t)ODD);

		put_word(a + i, (ac0 & 0xffff) | ac1 << 16);
		put_word(b + i, (bd0 & 0xffff) | bd1 << 16);
		put_word(c + i, ac0 >> 16 | (ac1 & 0xffff0000));
		put_word(d + i, bd0 >> 16 | (bd1 & 0xffff0000));
	}
	for (; i < whole; i++) {
		a[i] = p[4 * i];
		b[i] = p[4 * i + 1];
		c[i] = p[4 * i + 2];
		d[i] = p[4 * i + 3];
	}
	for (size_t g = 0; g < n % 4; g++)
		out[group(n, g) + whole] = p[4 * whole + g];
}

void
bg4_join(const unsigned char *p, size_t n, unsigned char *out)
{
	const unsigned char *a = p, *b = p + group(n, 1);
	const unsigned char *c = p + group(n, 2), *d = p + group(n, 3);
	size_t whole = n / 4;

	for (size_t i = 0; i < whole; i++) {
		out[4 * i] = a[i];
		out[4 * i + 1] = b[i];
		out[4 * i + 2] = c[i];
		out[4 * i + 3] = d[i];
	}
	for (size_t g = 0; g < n % 4; g++)
		out[4 * whole + g] = p[group(n, g) + whole];
}
