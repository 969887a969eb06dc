#include "record.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "mem.h"

enum type { END, NUMBER, KEY, DIGEST, TEXT };

struct field {
	enum type type;
	size_t offset; /* in struct record */
};

#define FIELDS_MAX 8

#define F(type, name) \
	{ \
		type, offsetof(struct record, name) \
	}

static const struct {
	enum record_kind kind;
	struct field field[FIELDS_MAX + 1];
} layouts[] = {
    {RECORD_JOURNAL, {F(NUMBER, inode)}},
    {RECORD_HASH, {F(KEY, key), F(NUMBER, size), F(NUMBER, mtime),
		      F(NUMBER, ctime), F(NUMBER, inode), F(NUMBER, device),
		      F(NUMBER, time), F(DIGEST, digest)}},
    {RECORD_UPLOAD,
	{F(NUMBER, upload), F(KEY, key), F(NUMBER, size), F(NUMBER, chunk),
	    F(NUMBER, expires), F(DIGEST, digest), F(TEXT, text)}},
    {RECORD_VERIFY, {F(NUMBER, upload), F(TEXT, text)}},
    {RECORD_PART, {F(NUMBER, upload), F(NUMBER, part), F(TEXT, text)}},
    {RECORD_ETAG, {F(NUMBER, upload), F(NUMBER, part), F(TEXT, text)}},
    {RECORD_DONE, {F(NUMBER, upload)}},
};

static const struct field *
layout(struct str kind)
{
	for (size_t i = 0; i < countof(layouts); i++)
		if (kind.n == 1 && kind.s[0] == (char)layouts[i].kind)
			return layouts[i].field;
	return NULL;
}

/* No control characters: the line would end, or a terminal be fooled. */
static bool
is_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.s[i] < 0x20 || s.s[i] == 0x7f)
			return false;
	return s.n > 0 && s.n <= URL_MAX;
}

/* --- Reading. --- */

static int
parse_digest(struct str s, struct digest *out)
{
	return str_is_hex(s, s.n) ? digest_parse(s, out) : -1;
}

static int
parse_field(const struct field *f, struct str s, struct record *r)
{
	void *at = (char *)r + f->offset;

	switch (f->type) {
	case NUMBER:
		return str_num(s, 10, UINT64_MAX, at);
	case KEY:
		return hex_decode(s, at, RECORD_KEY);
	case DIGEST:
		return parse_digest(s, at);
	case TEXT:
		*(struct str *)at = s;
		return is_text(s) ? 0 : -1;
	case END:
		break;
	}
	return -1;
}

/* The next word of *rest; the text is all that is left. rest->s is NULL when
 * nothing is, not even an empty word. */
static int
next_word(struct str *rest, enum type type, struct str *word)
{
	if (!rest->s)
		return -1;
	if (type != TEXT && str_cut(*rest, ' ', word, rest))
		return 0;
	*word = *rest;
	*rest = (struct str){NULL, 0};
	return 0;
}

static int
parse_fields(struct str rest, struct record *out)
{
	const struct field *f;
	struct str word;

	if (next_word(&rest, KEY, &word) < 0 || !(f = layout(word)))
		return -1;
	out->kind = (enum record_kind)word.s[0];
	for (; f->type != END; f++)
		if (next_word(&rest, f->type, &word) < 0 ||
		    parse_field(f, word, out) < 0)
			return -1;
	return rest.s ? -1 : 0;
}

int
record_parse(struct str line, struct record *out)
{
	struct str sum, rest;
	uint64_t crc;

	*out = (struct record){0};
	if (!str_cut(line, ' ', &sum, &rest) || !str_is_hex(sum, 8) ||
	    str_num(sum, 16, UINT32_MAX, &crc) < 0 ||
	    crc != crc32_of(rest.s, rest.n))
		return -1;
	return parse_fields(rest, out);
}

/* --- Writing. --- */

static void
put_field(struct buf *b, const struct field *f, const struct record *r)
{
	const void *at = (const char *)r + f->offset;
	char hex[2 * HASH_SIZE_MAX + 1];

	buf_putc(b, ' ');
	switch (f->type) {
	case NUMBER:
		buf_printf(b, "%" PRIu64, *(const uint64_t *)at);
		break;
	case KEY:
		hex_encode(at, RECORD_KEY, hex);
		buf_puts(b, hex);
		break;
	case DIGEST:
		digest_hex(at, hex);
		buf_puts(b, hex);
		break;
	case TEXT:
		buf_str_add(b, *(const struct str *)at);
		break;
	case END:
		break;
	}
}

int
record_put(struct buf *b, const struct record *r)
{
	char kind = (char)r->kind;
	struct buf line = buf_make(RECORD_MAX);
	const struct field *f = layout(str_make(&kind, 1));
	int rv = -1;

	assert(f);
	buf_putc(&line, kind);
	for (; f->type != END; f++) {
		if (f->type == TEXT && !is_text(r->text))
			goto out;
		put_field(&line, f, r);
	}
	buf_printf(b, "%08" PRIx32 " %s\n", crc32_of(line.s, line.len), line.s);
	rv = 0;
out:
	mem_wipe(line.s, line.len); /* addresses are signed */
	buf_release(&line);
	return rv;
}
