#ifndef HUB_STR_H
#define HUB_STR_H

/*
 * Text, memory, numbers as bytes, and dates.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- Text. --- */

/*
 * Text: views that borrow, buffers that own, numbers, hexadecimal and base64.
 * ASCII classes are here, too, since <ctype.h> has a locale and a sign.
 */

/* A view: not terminated, never freed. */
struct str {
	const char *s;
	size_t n;
};

/* For "%.*s". */
#define STRF(x) (int)((x).n > 512 ? 512 : (x).n), (x).s

struct str str_of(const char *s); /* NULL gives an empty view */
struct str str_make(const char *s, size_t n);
bool str_eq(struct str a, const char *b);
bool str_same(struct str a, struct str b);
bool str_eq_nocase(struct str a, const char *b);  /* ASCII only */
bool str_same_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, const char *prefix);
bool str_ends(struct str s, const char *suffix);
struct str str_trim(struct str s); /* without blanks and tabs at both ends */
char *str_dup(struct str s);       /* the caller frees */

/* Cuts s at the first c. False, and nothing set, if there is none. */
bool str_cut(struct str s, char c, struct str *before, struct str *after);

/* Reads all of s as a number of base 10 or 16 no larger than max: no sign, no
 * space, at least one digit; else -1. */
int str_num(struct str s, unsigned base, uint64_t max, uint64_t *out);

bool chr_digit(char c);
bool chr_alpha(char c); /* ASCII letters */
char chr_lower(char c);
int chr_hex(char c); /* 0..15, or -1 */

/* True if s is n lower-case hexadecimal digits. */
bool str_is_hex(struct str s, size_t n);

/* out gets 2 * n digits and '\0'. */
void hex_encode(const unsigned char *in, size_t n, char *out);

/* s must be exactly 2 * n digits of either case; else -1. */
int hex_decode(struct str s, unsigned char *out, size_t n);

/* True if all of s is well-formed UTF-8 (RFC 3629: no surrogates, shortest
 * forms, at most U+10FFFF). */
bool utf8_valid(struct str s);

/* Length of the UTF-8 sequence that s begins with; 0 if it is none. */
size_t utf8_length(struct str s);

/* Writes code point c as UTF-8 and returns the number of bytes, 1 to 4. c is
 * at most U+10FFFF. */
size_t utf8_encode(uint32_t c, char out[4]);

/* True if the UTF-8 sequence of n bytes at p could control a terminal or
 * mislead the reader: a control character (C0, DEL, C1), a line separator, or a
 * mark that changes the text direction. */
bool utf8_steers(const char *p, size_t n);

/* Replaces each of these, and each byte that is not UTF-8, by '?', in place:
 * for text from servers that goes to a terminal. */
void str_printable(char *s);

/* Replaces what looks like a token of the Hub ("hf_", then letters, digits and
 * "_-." with 20 letters and digits in a row) by "hf_***", and the text that is
 * hidden by "***", in place. This keeps tokens in a wrong place, or sent back
 * by a server, out of messages. */
void str_mask_tokens(char *s);

/* Sets the text to hide, the token of the run; NULL: none. It is borrowed. A
 * text shorter than STR_HIDDEN_MIN bytes could be part of any word, and is not
 * hidden. Call it before threads start. */
void str_hide(const char *secret);

#define STR_HIDDEN_MIN 8

/* The length of such a token that s begins with; 0 if it is none. */
size_t str_token_length(struct str s);

/*
 * Text that grows up to a limit.
 *
 * Invariants, before and after every call:
 *   len <= max, and max < SIZE_MAX / 2
 *   s is NULL if nothing was ever added, else s[len] is '\0'
 *   full: an addition did not fit; it and all later ones were left out. Check
 *   it once, when the text is complete.
 */
struct buf {
	char *s;
	size_t len, cap, max;
	bool full;
};

struct buf buf_make(size_t max);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_putc(struct buf *b, char c);
void buf_puts(struct buf *b, const char *s);
void buf_str_add(struct buf *b, struct str s);
void buf_printf(struct buf *b, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
/* Adds a line with its '\n': made printable, and cut after 511 bytes. */
void buf_line(struct buf *b, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
void buf_num(struct buf *b, uint64_t n); /* in decimal */
/* Standard alphabet, padded (RFC 4648, section 4). */
void buf_base64(struct buf *b, const void *p, size_t n);

/* Returns room for n more bytes after the text, which the caller fills and adds
 * with buf_added(); NULL, and full is set, beyond the limit. */
char *buf_room(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);

/* Drops the first n bytes; n <= len. */
void buf_drop(struct buf *b, size_t n);
void buf_clear(struct buf *b); /* empty again, keeps the memory and the limit */
struct str buf_str(const struct buf *b);

/* The text as a C string, "" if there is none; it belongs to b. */
const char *buf_cstr(const struct buf *b);

/* Gives the text to the caller, who frees it, and leaves b empty. Never
 * NULL. */
char *buf_detach(struct buf *b);
void buf_release(struct buf *b);

/* --- Memory. --- */

/*
 * Allocation that never fails: without memory the program ends with "hub: out
 * of memory", status 1.
 *
 * Sizes from outside are checked against a limit first, and transferred bytes
 * are kept, so ending is safe and saves half of all error paths.
 */

#define countof(a) (sizeof(a) / sizeof((a)[0]))

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xreallocarray(void *p, size_t n, size_t size); /* checks n * size */
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n); /* copies n bytes, adds '\0' */

/* Overwrites n bytes in a way that the compiler cannot leave out. */
void mem_wipe(void *p, size_t n);

/* --- Numbers as bytes. --- */

/* Numbers as bytes, little- or big-endian, the same on every CPU. */

/* Write and read the low n bytes of x, at most 8. */
void bytes_put_le(unsigned char *p, uint64_t x, size_t n);
uint64_t bytes_get_le(const unsigned char *p, size_t n);
void bytes_put_be(unsigned char *p, uint64_t x, size_t n);
uint64_t bytes_get_be(const unsigned char *p, size_t n);

/* --- Dates. --- */

/* Dates of the Gregorian calendar, in UTC, to and from Unix time. Pure. */

struct date {
	unsigned year, month, day, hour, minute, second;
	unsigned weekday; /* 0: Sunday */
};

/* Seconds since 1970 of a date and a time. */
int64_t date_seconds(unsigned year, unsigned month, unsigned day, unsigned hour,
    unsigned minute, unsigned second);

/* The date of seconds since 1970; false if its year is not one of 1 to 9999. */
bool date_of(int64_t seconds, struct date *out);

/* Reads the n digits of s from at on as a number from low to high; false if
 * they are not such a number. */
bool date_field(struct str s, size_t at, size_t n, unsigned low, unsigned high,
    unsigned *out);

#endif
