#include "str.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- Memory. --- */

static void *
check(void *p)
{
	static const char text[] = "hub: out of memory\n";

	if (p)
		return p;
	/* write(), since stdio may need memory; a failure cannot be handled. */
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	_exit(1);
}

void *
xmalloc(size_t n)
{
	return check(malloc(n ? n : 1));
}

void *
xcalloc(size_t n, size_t size)
{
	return check(calloc(n ? n : 1, size ? size : 1));
}

void *
xreallocarray(void *p, size_t n, size_t size)
{
	if (size && n > SIZE_MAX / size)
		return check(NULL);
	n *= size;
	return check(realloc(p, n ? n : 1));
}

char *
xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *
xstrndup(const char *s, size_t n)
{
	char *copy = xmalloc(n + 1);

	if (n)
		memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

void
mem_wipe(void *p, size_t n)
{
	volatile unsigned char *b = p;

	while (n--)
		*b++ = 0;
}

/* --- Text. --- */

struct str
str_of(const char *s)
{
	return str_make(s, s ? strlen(s) : 0);
}

struct str
str_make(const char *s, size_t n)
{
	return (struct str){n ? s : "", n};
}

bool
str_eq(struct str a, const char *b)
{
	return str_same(a, str_of(b));
}

bool
str_same(struct str a, struct str b)
{
	return a.n == b.n && (!a.n || memcmp(a.s, b.s, a.n) == 0);
}

bool
str_eq_nocase(struct str a, const char *b)
{
	return str_same_nocase(a, str_of(b));
}

bool
str_same_nocase(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (chr_lower(a.s[i]) != chr_lower(b.s[i]))
			return false;
	return true;
}

bool
str_starts(struct str s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.n >= n && memcmp(s.s, prefix, n) == 0;
}

bool
str_ends(struct str s, const char *suffix)
{
	size_t n = strlen(suffix);

	return s.n >= n && memcmp(s.s + s.n - n, suffix, n) == 0;
}

static bool
blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str
str_trim(struct str s)
{
	while (s.n && blank(s.s[0]))
		s = (struct str){s.s + 1, s.n - 1};
	while (s.n && blank(s.s[s.n - 1]))
		s.n--;
	return s;
}

char *
str_dup(struct str s)
{
	return xstrndup(s.s, s.n);
}

bool
str_cut(struct str s, char c, struct str *before, struct str *after)
{
	const char *at = s.n ? memchr(s.s, c, s.n) : NULL;
	size_t i;

	if (!at)
		return false;
	i = (size_t)(at - s.s);
	*before = str_make(s.s, i);
	*after = str_make(at + 1, s.n - i - 1);
	return true;
}

int
str_num(struct str s, unsigned base, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (!s.n)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		int d = chr_hex(s.s[i]);

		if (d < 0 || (unsigned)d >= base)
			return -1;
		if ((unsigned)d > max || v > (max - (unsigned)d) / base)
			return -1;
		v = v * base + (unsigned)d;
	}
	*out = v;
	return 0;
}

bool
chr_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool
chr_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

char
chr_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

int
chr_hex(char c)
{
	c = chr_lower(c);
	if (chr_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool
str_is_hex(struct str s, size_t n)
{
	if (s.n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (chr_hex(s.s[i]) < 0 || chr_lower(s.s[i]) != s.s[i])
			return false;
	return true;
}

void
hex_encode(const unsigned char *in, size_t n, char *out)
{
	static const char digit[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digit[in[i] >> 4];
		*out++ = digit[in[i] & 15];
	}
	*out = '\0';
}

int
hex_decode(struct str s, unsigned char *out, size_t n)
{
	if (s.n / 2 != n || s.n % 2)
		return -1;
	for (size_t i = 0; i < n; i++) {
		int hi = chr_hex(s.s[2 * i]), lo = chr_hex(s.s[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -1;
		out[i] = (unsigned char)(hi * 16 + lo);
	}
	return 0;
}

size_t
utf8_length(struct str s)
{
	static const unsigned char low[] = {0x80, 0xa0, 0x90};
	unsigned char c = s.n ? (unsigned char)s.s[0] : 0;
	unsigned char min = 0x80, max = 0xbf;
	size_t n;

	if (!s.n)
		return 0;
	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (s.n < n)
		return 0;
	/* Shortest forms, no surrogates, nothing above U+10FFFF: RFC 3629. */
	if (c == 0xe0 || c == 0xf0)
		min = low[n - 2];
	if (c == 0xed)
		max = 0x9f;
	if (c == 0xf4)
		max = 0x8f;
	for (size_t i = 1; i < n; i++) {
		unsigned char t = (unsigned char)s.s[i];

		if (t < min || t > max)
			return 0;
		min = 0x80;
		max = 0xbf;
	}
	return n;
}

bool
utf8_valid(struct str s)
{
	while (s.n) {
		size_t n = utf8_length(s);

		if (!n)
			return false;
		s = str_make(s.s + n, s.n - n);
	}
	return true;
}

size_t
utf8_encode(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 63));
		out[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 63));
	out[2] = (char)(0x80 | (c >> 6 & 63));
	out[3] = (char)(0x80 | (c & 63));
	return 4;
}

bool
utf8_steers(const char *p, size_t n)
{
	static const struct {
		unsigned char lead, mid, first, last;
	} marks[] = {
	    {0xd8, 0, 0x9c, 0x9c},    /* U+061C */
	    {0xe2, 0x80, 0x8e, 0x8f}, /* U+200E, U+200F */
	    {0xe2, 0x80, 0xa8, 0xae}, /* U+2028 to U+202E */
	    {0xe2, 0x81, 0xa6, 0xa9}, /* U+2066 to U+2069 */
	};
	const unsigned char *c = (const unsigned char *)p;

	if (n == 1)
		return *c < 32 || *c == 127;
	if (n == 2 && *c == 0xc2)
		return c[1] < 0xa0;
	for (size_t i = 0; i < countof(marks); i++)
		if (n < 4 && *c == marks[i].lead &&
		    (n == 2 || c[1] == marks[i].mid) &&
		    c[n - 1] >= marks[i].first && c[n - 1] <= marks[i].last)
			return true;
	return false;
}

void
str_printable(char *s)
{
	char *out = s;

	while (*s) {
		size_t n = utf8_length(str_of(s));

		if (!n || utf8_steers(s, n)) {
			s += n ? n : 1;
			*out++ = '?';
			continue;
		}
		memmove(out, s, n);
		out += n;
		s += n;
	}
	*out = '\0';
}

size_t
str_token_length(struct str s)
{
	size_t i = 3, row = 0, longest = 0;

	if (!str_starts(s, "hf_"))
		return 0;
	for (; i < s.n; i++) {
		bool letter = chr_alpha(s.s[i]) || chr_digit(s.s[i]);

		if (!letter && !(s.s[i] && strchr("_-.", s.s[i])))
			break;
		row = letter ? row + 1 : 0;
		longest = row > longest ? row : longest;
	}
	return longest >= 20 ? i : 0;
}

/* The token of the run, set once, before there are threads. It is global since
 * error sentences are made everywhere, and each must be masked. */
static const char *hidden;

void
str_hide(const char *secret)
{
	hidden = secret && strlen(secret) >= STR_HIDDEN_MIN ? secret : NULL;
}

/* Replaces the n bytes at s by mask, which is not longer. Returns the position
 * after it. */
static char *
put_mask(char *s, size_t n, const char *mask)
{
	size_t length = strlen(mask);

	memcpy(s, mask, length);
	memmove(s + length, s + n, strlen(s + n) + 1);
	return s + length;
}

/* Returns the length of the hidden text that s begins with: all of it, or a
 * beginning of it at the end of s, where the text may have been cut. */
static size_t
hidden_length(const char *s)
{
	size_t n = 0;

	while (hidden[n] && s[n] == hidden[n])
		n++;
	return !hidden[n] || (!s[n] && n >= STR_HIDDEN_MIN) ? n : 0;
}

static void
mask_hidden(char *s)
{
	const char *mask = str_starts(str_of(hidden), "hf_") ? "hf_***" : "***";

	while (*s) {
		size_t n = hidden_length(s);

		s = n ? put_mask(s, n, mask) : s + 1;
	}
}

void
str_mask_tokens(char *s)
{
	/* The hidden text is masked first: it may contain what looks like a
	 * token. */
	if (hidden)
		mask_hidden(s);
	while ((s = strstr(s, "hf_"))) {
		size_t n = str_token_length(str_of(s));

		s = n ? put_mask(s, n, "hf_***") : s + 3;
	}
}

struct buf
buf_make(size_t max)
{
	assert(max < SIZE_MAX / 2);
	return (struct buf){.max = max};
}

char *
buf_room(struct buf *b, size_t n)
{
	if (b->full || n > b->max - b->len) {
		b->full = true;
		return NULL;
	}
	if (!b->s || n > b->cap - b->len) {
		size_t cap = b->cap + b->cap / 2;

		if (cap < b->len + n)
			cap = b->len + n;
		if (cap > b->max)
			cap = b->max;
		b->s = xreallocarray(b->s, cap + 1, 1);
		b->cap = cap;
		b->s[b->len] = '\0';
	}
	return b->s + b->len;
}

void
buf_added(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->len);
	b->len += n;
	b->s[b->len] = '\0';
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	char *room = buf_room(b, n);

	if (!room)
		return;
	if (n)
		memcpy(room, p, n);
	buf_added(b, n);
}

void
buf_putc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_puts(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_str_add(struct buf *b, struct str s)
{
	buf_add(b, s.s, s.n);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char *room;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	room = n < 0 ? NULL : buf_room(b, (size_t)n);
	if (!room) {
		b->full = true;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(room, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf_added(b, (size_t)n);
}

void
buf_line(struct buf *b, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	str_printable(line);
	buf_printf(b, "%s\n", line);
}

void
buf_num(struct buf *b, uint64_t n)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	buf_add(b, digits + i, sizeof(digits) - i);
}

void
buf_base64(struct buf *b, const void *p, size_t n)
{
	static const char digit[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = p;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)in[i] << 16;
		char out[4];

		if (n - i > 1)
			v |= (uint32_t)in[i + 1] << 8;
		if (n - i > 2)
			v |= in[i + 2];
		out[0] = digit[v >> 18];
		out[1] = digit[v >> 12 & 63];
		out[2] = n - i > 1 ? digit[v >> 6 & 63] : '=';
		out[3] = n - i > 2 ? digit[v & 63] : '=';
		buf_add(b, out, 4);
	}
}

void
buf_drop(struct buf *b, size_t n)
{
	assert(n <= b->len);
	if (!n)
		return;
	memmove(b->s, b->s + n, b->len - n);
	b->len -= n;
	b->s[b->len] = '\0';
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
	b->full = false;
	if (b->s)
		b->s[0] = '\0';
}

struct str
buf_str(const struct buf *b)
{
	return str_make(b->s, b->len);
}

const char *
buf_cstr(const struct buf *b)
{
	return b->s ? b->s : "";
}

char *
buf_detach(struct buf *b)
{
	char *s = b->s ? b->s : xstrdup("");

	*b = buf_make(b->max);
	return s;
}

void
buf_release(struct buf *b)
{
	free(b->s);
	*b = buf_make(b->max);
}

/* --- Numbers as bytes. --- */

void
bytes_put_le(unsigned char *p, uint64_t x, size_t n)
{
	for (size_t i = 0; i < n; i++, x >>= 8)
		p[i] = (unsigned char)(x & 0xff);
}

uint64_t
bytes_get_le(const unsigned char *p, size_t n)
{
	uint64_t x = 0;

	while (n--)
		x = x << 8 | p[n];
	return x;
}

void
bytes_put_be(unsigned char *p, uint64_t x, size_t n)
{
	for (; n--; x >>= 8)
		p[n] = (unsigned char)(x & 0xff);
}

uint64_t
bytes_get_be(const unsigned char *p, size_t n)
{
	uint64_t x = 0;

	for (size_t i = 0; i < n; i++)
		x = x << 8 | p[i];
	return x;
}

/* --- Dates. --- */

/* Days from 1970-01-01 to a date, negative before it; year 1..9999, month
 * 1..12, day 1..31 (a day that the month does not have counts on into the
 * next). */
static int64_t
date_days(unsigned year, unsigned month, unsigned day)
{
	/* Counting years from March puts the leap day at their end. */
	int64_t march = (month + 9) % 12, y = (int64_t)year - (month < 3);

	return y * 365 + y / 4 - y / 100 + y / 400 + (march * 306 + 5) / 10 +
	       day - 1 - 719468;
}

int64_t
date_seconds(unsigned year, unsigned month, unsigned day, unsigned hour,
    unsigned minute, unsigned second)
{
	return date_days(year, month, day) * 86400 + hour * INT64_C(3600) +
	       minute * INT64_C(60) + second;
}

bool
date_of(int64_t seconds, struct date *out)
{
	const int64_t first = date_seconds(1, 1, 1, 0, 0, 0);
	unsigned days, years, cycles, month;

	if (seconds < first || seconds > date_seconds(9999, 12, 31, 23, 59, 59))
		return false;
	/* Days from 1 March of the year 0: the leap day is the last one of its
	 * year, and after 400 years all begins again. */
	days = (unsigned)((seconds - first) / 86400) + 306;
	out->weekday = (days + 3) % 7;
	cycles = days / 146097;
	days %= 146097;
	years = (days - days / 1460 + days / 36524 - days / 146096) / 365;
	days -= 365 * years + years / 4 - years / 100;
	month = (5 * days + 2) / 153;
	out->day = days - (153 * month + 2) / 5 + 1;
	out->month = month < 10 ? month + 3 : month - 9;
	out->year = 400 * cycles + years + (month >= 10);
	days = (unsigned)((seconds - first) % 86400);
	out->hour = days / 3600;
	out->minute = days / 60 % 60;
	out->second = days % 60;
	return true;
}

bool
date_field(struct str s, size_t at, size_t n, unsigned low, unsigned high,
    unsigned *out)
{
	uint64_t v;

	if (s.n < at || s.n - at < n ||
	    str_num(str_make(s.s + at, n), 10, high, &v) < 0 || v < low)
		return false;
	*out = (unsigned)v;
	return true;
}
