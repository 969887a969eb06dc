#include "json.h"

#include <string.h>

#include "err.h"

/* The text that is being checked: p is the next byte, or the fault; why is set
 * with the first fault. */
struct scan {
	const char *p, *end;
	const char *why;
};

static bool check_value(struct scan *s, unsigned depth);

static bool
fault(struct scan *s, const char *why)
{
	s->why = why;
	return false;
}

/* The next byte, or -1. */
static int
peek(const struct scan *s)
{
	return s->p < s->end ? (unsigned char)*s->p : -1;
}

static bool
take(struct scan *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static bool
is_blank(int c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
skip_blank(struct scan *s)
{
	while (is_blank(peek(s)))
		s->p++;
}

/* The value of the escape \uXXXX that p begins with, or -1. */
static int
unit_at(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		int d = chr_hex(p[i]);

		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

static bool
is_high(int unit)
{
	return unit >= 0xd800 && unit <= 0xdbff;
}

static bool
is_low(int unit)
{
	return unit >= 0xdc00 && unit <= 0xdfff;
}

static bool
check_escape(struct scan *s)
{
	int unit;

	if (s->end - s->p < 2)
		return fault(s, "the string is not closed");
	if (s->p[1] && strchr("\"\\/bfnrt", s->p[1])) {
		s->p += 2;
		return true;
	}
	if (s->p[1] != 'u')
		return fault(s, "no such escape");
	unit = unit_at(s->p, s->end);
	if (unit < 0)
		return fault(s, "\\u wants four hexadecimal digits");
	if (is_low(unit) ||
	    (is_high(unit) && !is_low(unit_at(s->p + 6, s->end))))
		return fault(s, "half of a surrogate pair");
	s->p += is_high(unit) ? 12 : 6;
	return true;
}

static bool
check_string(struct scan *s)
{
	s->p++;
	while (s->p < s->end && *s->p != '"') {
		unsigned char c = (unsigned char)*s->p;
		size_t n = 1;

		if (c == '\\') {
			if (!check_escape(s))
				return false;
			continue;
		}
		if (c < 0x20)
			return fault(s, "a control character in a string");
		if (c >= 0x80)
			n = utf8_length(
			    str_make(s->p, (size_t)(s->end - s->p)));
		if (!n)
			return fault(s, "not UTF-8");
		s->p += n;
	}
	return take(s, '"') || fault(s, "the string is not closed");
}

static bool
check_digits(struct scan *s)
{
	if (s->p == s->end || !chr_digit(*s->p))
		return fault(s, "a digit is missing");
	while (s->p < s->end && chr_digit(*s->p))
		s->p++;
	return true;
}

static bool
check_number(struct scan *s)
{
	take(s, '-');
	if (take(s, '0')) {
		if (s->p < s->end && chr_digit(*s->p))
			return fault(s, "a number with a leading zero");
	} else if (!check_digits(s)) {
		return false;
	}
	if (take(s, '.') && !check_digits(s))
		return false;
	if (!take(s, 'e') && !take(s, 'E'))
		return true;
	if (!take(s, '+'))
		take(s, '-');
	return check_digits(s);
}

/* NOLINTBEGIN(misc-no-recursion): no deeper than JSON_DEPTH. */
static bool
check_array(struct scan *s, unsigned depth)
{
	s->p++;
	skip_blank(s);
	if (take(s, ']'))
		return true;
	do {
		skip_blank(s);
		if (!check_value(s, depth))
			return false;
		skip_blank(s);
	} while (take(s, ','));
	return take(s, ']') || fault(s, "',' or ']' is missing");
}

static bool
check_object(struct scan *s, unsigned depth)
{
	s->p++;
	skip_blank(s);
	if (take(s, '}'))
		return true;
	do {
		skip_blank(s);
		if (peek(s) != '"')
			return fault(s, "a name in quotes is missing");
		if (!check_string(s))
			return false;
		skip_blank(s);
		if (!take(s, ':'))
			return fault(s, "':' is missing");
		skip_blank(s);
		if (!check_value(s, depth))
			return false;
		skip_blank(s);
	} while (take(s, ','));
	return take(s, '}') || fault(s, "',' or '}' is missing");
}

static bool
check_word(struct scan *s, const char *word)
{
	if (!str_starts(str_make(s->p, (size_t)(s->end - s->p)), word))
		return fault(s, "a value is missing");
	s->p += strlen(word);
	return true;
}

/* Calls itself through arrays and objects, no deeper than JSON_DEPTH. */
static bool
check_value(struct scan *s, unsigned depth)
{
	int c = peek(s);

	if (c == '[' || c == '{') {
		if (depth == JSON_DEPTH)
			return fault(s, "nested too deep");
		return c == '[' ? check_array(s, depth + 1)
				: check_object(s, depth + 1);
	}
	if (c == '"')
		return check_string(s);
	if (c == 't')
		return check_word(s, "true");
	if (c == 'f')
		return check_word(s, "false");
	if (c == 'n')
		return check_word(s, "null");
	if (c == '-' || (c >= '0' && c <= '9'))
		return check_number(s);
	return fault(s, "a value is missing");
}
/* NOLINTEND(misc-no-recursion) */

/* The type of a value by its first byte. */
static enum json_type
type_of(char c)
{
	switch (c) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
		return JSON_TRUE;
	case 'f':
		return JSON_FALSE;
	case 'n':
		return JSON_NULL;
	default:
		return JSON_NUMBER;
	}
}

/* Lines end with LF; a column is a code point, as editors count. */
static int
fail_at(struct str text, const struct scan *s, struct err *e)
{
	size_t line = 1, column = 1;

	for (const char *p = text.s; p < s->p; p++) {
		if (*p == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)*p & 0xc0) != 0x80) {
			column++;
		}
	}
	return err_set(e, ERR_OTHER, "line %zu, column %zu: %s", line, column,
	    s->p == s->end ? "the text ends too early" : s->why);
}

int
json_parse(struct str text, struct json *out, struct err *e)
{
	struct scan s = {.p = text.n ? text.s : ""};
	const char *start;

	text.s = s.p;
	s.end = s.p + text.n;
	skip_blank(&s);
	start = s.p;
	if (!check_value(&s, 0))
		return fail_at(text, &s, e);
	*out = (struct json){
	    type_of(*start), str_make(start, (size_t)(s.p - start))};
	skip_blank(&s);
	if (s.p == s.end)
		return 0;
	fault(&s, "more text after the value");
	return fail_at(text, &s, e);
}

/* From here on json_parse() has checked the text. */

static struct str
after(struct str s, size_t n)
{
	return str_make(s.s + n, s.n - n);
}

/* Returns s without the blanks and separators that it begins with. */
static struct str
skip_to_value(struct str s)
{
	size_t i = 0;

	while (i < s.n && (is_blank(s.s[i]) || s.s[i] == ',' || s.s[i] == ':'))
		i++;
	return after(s, i);
}

/* Returns the length, with its quotes, of the string that s begins with. */
static size_t
string_span(struct str s)
{
	size_t i = 1;

	while (i < s.n && s.s[i] != '"')
		i += s.s[i] == '\\' ? 2 : 1;
	return i < s.n ? i + 1 : s.n;
}

static size_t
scalar_span(struct str s)
{
	size_t i = 0;

	while (i < s.n && !is_blank(s.s[i]) && s.s[i] != ',' && s.s[i] != ']' &&
	       s.s[i] != '}')
		i++;
	return i;
}

static size_t
nested_span(struct str s)
{
	size_t i = 0, depth = 0;

	do {
		char c = s.s[i];

		if (c == '"') {
			i += string_span(after(s, i));
			continue;
		}
		if (c == '[' || c == '{')
			depth++;
		else if (c == ']' || c == '}')
			depth--;
		i++;
	} while (depth && i < s.n);
	return i;
}

/* Returns the value that s begins with; *rest gets what follows it. */
static struct json
cut_value(struct str s, struct str *rest)
{
	struct json v = {.type = type_of(s.s[0])};
	size_t n;

	if (v.type == JSON_STRING)
		n = string_span(s);
	else if (v.type == JSON_ARRAY || v.type == JSON_OBJECT)
		n = nested_span(s);
	else
		n = scalar_span(s);
	v.text = str_make(s.s, n);
	*rest = after(s, n);
	return v;
}

struct json_iter
json_iter(const struct json *v)
{
	struct json_iter it = {str_make("", 0), v->type == JSON_OBJECT};

	if (it.object || v->type == JSON_ARRAY)
		it.rest = str_make(v->text.s + 1, v->text.n - 2);
	return it;
}

bool
json_next(struct json_iter *it, struct json *key, struct json *item)
{
	struct json name = {JSON_NULL, str_make("", 0)};

	it->rest = skip_to_value(it->rest);
	if (!it->rest.n)
		return false;
	if (it->object) {
		name = cut_value(it->rest, &it->rest);
		it->rest = skip_to_value(it->rest);
	}
	*item = cut_value(it->rest, &it->rest);
	if (key)
		*key = name;
	return true;
}

/* Returns what is between the quotes. */
static struct str
inside(const struct json *string)
{
	return str_make(string->text.s + 1, string->text.n - 2);
}

/* Cuts off the escape that s begins with, and returns its code point. */
static uint32_t
cut_escape(struct str *s)
{
	static const char name[] = "bfnrt", value[] = "\b\f\n\r\t";
	const char *end = s->s + s->n, *known;
	int unit = unit_at(s->s, end);
	uint32_t c = (unsigned char)s->s[1];

	if (unit < 0) {
		known = strchr(name, s->s[1]);
		*s = after(*s, 2);
		return known ? (unsigned char)value[known - name] : c;
	}
	c = (uint32_t)unit;
	if (is_high(unit)) {
		int low = unit_at(s->s + 6, end);

		c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
	}
	*s = after(*s, is_high(unit) ? 12 : 6);
	return c;
}

/* Cuts off the next piece of a string, decoded: a run without escapes, or one
 * code point in tmp. Empty at the end. */
static struct str
cut_piece(struct str *s, char tmp[4])
{
	const char *at = s->n ? memchr(s->s, '\\', s->n) : NULL;
	struct str piece;

	if (s->n && at == s->s)
		return str_make(tmp, utf8_encode(cut_escape(s), tmp));
	piece = str_make(s->s, at ? (size_t)(at - s->s) : s->n);
	*s = after(*s, piece.n);
	return piece;
}

bool
json_is(const struct json *v, const char *s)
{
	struct str rest, want = str_of(s), piece;
	char tmp[4];

	if (v->type != JSON_STRING)
		return false;
	rest = inside(v);
	while ((piece = cut_piece(&rest, tmp)).n) {
		if (piece.n > want.n || memcmp(piece.s, want.s, piece.n) != 0)
			return false;
		want = after(want, piece.n);
	}
	return !want.n;
}

static bool
holds_nul(struct str s)
{
	struct str piece;
	char tmp[4];

	while ((piece = cut_piece(&s, tmp)).n)
		if (!piece.s[0])
			return true;
	return false;
}

int
json_string(const struct json *v, struct buf *out)
{
	struct str rest, piece;
	char tmp[4];

	if (v->type != JSON_STRING || holds_nul(inside(v)))
		return -1;
	rest = inside(v);
	while ((piece = cut_piece(&rest, tmp)).n)
		buf_str_add(out, piece);
	return 0;
}

char *
json_strdup(const struct json *v, size_t max)
{
	struct buf b = buf_make(max);

	if (json_string(v, &b) == 0 && !b.full)
		return buf_detach(&b);
	buf_release(&b);
	return NULL;
}

bool
json_get(const struct json *v, const char *name, struct json *out)
{
	struct json_iter it = json_iter(v);
	struct json key, item;
	bool found = false;

	if (!it.object)
		return false;
	while (json_next(&it, &key, &item)) {
		if (!json_is(&key, name))
			continue;
		if (found)
			return false;
		found = true;
		*out = item;
	}
	return found;
}

/* A number without its sign: the digits of s (without a '.' among them) times
 * ten to the power of shift. */
struct decimal {
	struct str s;
	int64_t shift;
};

static struct decimal
split_number(struct str s)
{
	/* No text is as long as this, so a larger exponent makes no
	 * difference. */
	const int64_t far = INT64_C(1) << 48;
	struct decimal d = {.s = s};
	const char *e = memchr(s.s, 'e', s.n), *dot;

	if (!e)
		e = memchr(s.s, 'E', s.n);
	if (e) {
		struct str power = after(s, (size_t)(e - s.s) + 1);
		bool minus = power.s[0] == '-';
		uint64_t n;

		if (minus || power.s[0] == '+')
			power = after(power, 1);
		if (str_num(power, 10, (uint64_t)far, &n) < 0)
			n = (uint64_t)far;
		d.shift = minus ? -(int64_t)n : (int64_t)n;
		d.s.n = (size_t)(e - s.s);
	}
	dot = memchr(d.s.s, '.', d.s.n);
	if (dot)
		d.shift -= (int64_t)(d.s.s + d.s.n - dot - 1);
	return d;
}

/* Cuts off the digits behind the decimal point, which must be zeros. */
static int
cut_fraction(struct decimal *d)
{
	while (d->shift < 0 && d->s.n) {
		char c = d->s.s[--d->s.n];

		if (c == '.')
			continue;
		if (c != '0')
			return -1;
		d->shift++;
	}
	return 0;
}

int
json_uint(const struct json *v, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;
	struct decimal d;

	if (v->type != JSON_NUMBER || v->text.s[0] == '-')
		return -1;
	d = split_number(v->text);
	if (cut_fraction(&d) < 0)
		return -1;
	for (size_t i = 0; i < d.s.n; i++) {
		unsigned digit = (unsigned char)d.s.s[i] - '0';

		if (d.s.s[i] == '.')
			continue;
		if (digit > max || n > (max - digit) / 10)
			return -1;
		n = n * 10 + digit;
	}
	for (; n && d.shift > 0; d.shift--) {
		if (n > max / 10)
			return -1;
		n *= 10;
	}
	*out = n;
	return 0;
}

char *
json_get_strdup(const struct json *v, const char *name, size_t max)
{
	struct json item;

	return json_get(v, name, &item) ? json_strdup(&item, max) : NULL;
}

int
json_get_uint(
    const struct json *v, const char *name, uint64_t max, uint64_t *out)
{
	struct json item;

	return json_get(v, name, &item) ? json_uint(&item, max, out) : -1;
}

bool
json_get_bool(const struct json *v, const char *name, bool fallback)
{
	struct json item;

	if (!json_get(v, name, &item))
		return fallback;
	if (item.type == JSON_TRUE)
		return true;
	return item.type == JSON_FALSE ? false : fallback;
}

/* Writes \uXXXX for the letter of n bytes at p, which is below U+10000. */
static size_t
escape_number(const char *p, size_t n, char out[6])
{
	unsigned c = (unsigned char)*p;

	if (n > 1)
		c &= 0x7fu >> n;
	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	memcpy(out, "\\u", 2);
	for (size_t i = 0; i < 4; i++)
		out[2 + i] = "0123456789abcdef"[c >> (12 - 4 * i) & 15];
	return 6;
}

/* Writes the escape for the letter of n bytes at p, if it needs one, and
 * returns its length or 0. JSON allows what steers a terminal, but people look
 * at JSON in terminals, too. */
static size_t
escape(const char *p, size_t n, char out[6])
{
	static const char special[] = "\"\\\b\f\n\r\t", name[] = "\"\\bfnrt";
	const char *at = n == 1 && *p ? strchr(special, *p) : NULL;

	if (!at)
		return utf8_steers(p, n) ? escape_number(p, n, out) : 0;
	out[0] = '\\';
	out[1] = name[at - special];
	return 2;
}

/* Cuts off the next piece of s, encoded: a run that needs no escape, or an
 * escape in tmp, or U+FFFD for a broken byte. Empty at the end. */
static struct str
cut_encoded(struct str *s, char tmp[6])
{
	struct str all = *s;
	size_t i = 0, n = 1;

	while (i < s->n && n) {
		n = utf8_length(after(*s, i));
		if (n && escape(s->s + i, n, tmp))
			break;
		i += n;
	}
	if (i || !s->n) {
		*s = after(*s, i);
		return str_make(all.s, i);
	}
	*s = after(*s, n ? n : 1);
	if (!n)
		return str_of("\xef\xbf\xbd");
	return str_make(tmp, escape(all.s, n, tmp));
}

void
json_put_string(struct buf *b, struct str s)
{
	struct str piece;
	char tmp[6];

	buf_putc(b, '"');
	while ((piece = cut_encoded(&s, tmp)).n)
		buf_str_add(b, piece);
	buf_putc(b, '"');
}
