#ifndef HUB_JSON_H
#define HUB_JSON_H

/*
 * JSON text to values (RFC 8259, strict), one step at a time and in place: no
 * tree, no allocation but for strings that need decoding. And values to text.
 *
 * Refused: trailing commas, comments, NaN, leading zeros, control characters
 * in strings, broken UTF-8, lone surrogates in escapes, depth above JSON_DEPTH,
 * anything but white space after the value. A BOM is refused.
 *
 * A name twice in one object is grammar (RFC 8259, section 4), so the text is
 * accepted; but json_get() finds no such member. Readers differ on which of the
 * two counts, so a sender of both could show another value to a program that
 * checks the text before this one.
 *
 * The whole text is in memory; the caller limits it.
 */

#include <stdbool.h>

#include "str.h"

struct err;

#define JSON_DEPTH 64

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

/*
 * A value inside a text that json_parse() has checked: text spans exactly the
 * value, so every function on it works without errors of grammar and can be
 * called again from the start.
 */
struct json {
	enum json_type type;
	struct str text;
};

/* Checks all of text once. The error says what is wrong and where ("line 3,
 * column 7: ..."), with ERR_OTHER; a caller may change the kind. */
int json_parse(struct str text, struct json *out, struct err *e);

/*
 * Walks the members of an object or the elements of an array:
 *
 *	struct json_iter it = json_iter(&value);
 *	while (json_next(&it, &key, &item)) ...
 *
 * key is a string value (see json_is), and JSON_NULL with an empty text for
 * arrays; NULL if not wanted. A value of another type has no items.
 */
struct json_iter {
	struct str rest;
	bool object;
};
struct json_iter json_iter(const struct json *v);
bool json_next(struct json_iter *it, struct json *key, struct json *item);

/* The member called name; false if v is no object, or has none or more than
 * one. Reads through all of v's text, once. */
bool json_get(const struct json *v, const char *name, struct json *out);

/* True if the string value v, decoded, equals s. */
bool json_is(const struct json *v, const char *s);

/* Appends the decoded string. -1, and nothing added, if v is not a string or
 * contains U+0000. (If the buffer is too small, b->full is set.) */
int json_string(const struct json *v, struct buf *out);

/* The decoded string, which the caller frees; NULL if v is no string, holds
 * U+0000 or is longer than max bytes. */
char *json_strdup(const struct json *v, size_t max);

/* A number that is an integer from 0 to max ("12", and "12.0", "1.2e1" as
 * well; nothing with a minus sign); else -1. */
int json_uint(const struct json *v, uint64_t max, uint64_t *out);

/* Shortcuts over json_get: NULL / -1 / the given default if absent or of
 * another type. */
char *json_get_strdup(const struct json *v, const char *name, size_t max);
int json_get_uint(
    const struct json *v, const char *name, uint64_t max, uint64_t *out);
bool json_get_bool(const struct json *v, const char *name, bool fallback);

/* Appends s as a JSON string with its quotes. Bytes that are not UTF-8 come out
 * as U+FFFD; terminal control characters (utf8_steers) are escaped. */
void json_put_string(struct buf *b, struct str s);

#endif
