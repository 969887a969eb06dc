#ifndef HUB_FUZZ_H
#define HUB_FUZZ_H

/*
 * A fuzz target is a file fuzz_NOUN.c with one function, which is given any
 * bytes and aborts where something that must hold does not. libFuzzer calls it
 * (`make fuzz`), or replay.c, once for each file of tests/fuzz/corpus/NOUN.
 *
 * The bytes lie in an allocation of exactly their length.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "str.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define MUST(x) ((x) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #x))

static inline void
fuzz_broken(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

/* A copy in an allocation of exactly its length: a byte too far is seen. */
static inline char *
fuzz_copy(struct str s)
{
	char *copy = xmalloc(s.n ? s.n : 1);

	if (s.n)
		memcpy(copy, s.s, s.n);
	return copy;
}

static inline struct str
fuzz_str(const uint8_t *p, size_t n)
{
	return str_make((const char *)p, n);
}

/* The text as a C string up to its first NUL; the caller frees. */
static inline char *
fuzz_cstr(struct str s)
{
	const char *end = s.n ? memchr(s.s, '\0', s.n) : NULL;

	return xstrndup(s.n ? s.s : "", end ? (size_t)(end - s.s) : s.n);
}

/* Cuts the text before the first c off *rest; all of it if there is none. */
static inline struct str
fuzz_cut(struct str *rest, char c)
{
	struct str first = *rest;

	if (!str_cut(*rest, c, &first, rest))
		*rest = str_make("", 0);
	return first;
}

static inline int
fuzz_inside(struct str part, struct str all)
{
	return part.n == 0 || (part.s >= all.s && part.n <= all.n &&
				  (size_t)(part.s - all.s) <= all.n - part.n);
}

/* No control characters (C0, DEL, C1), and UTF-8. */
static inline int
fuzz_printable(const char *text)
{
	struct str s = str_of(text);

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.s[i];

		if (c < 0x20 || c == 0x7f)
			return 0;
		if (c == 0xc2 && (unsigned char)s.s[i + 1] < 0xa0)
			return 0;
	}
	return utf8_valid(s);
}

/* A failure must say why, in one line that can go to a terminal. */
static inline void
fuzz_failed(const struct err *e)
{
	MUST(e->kind != ERR_NONE && e->msg[0]);
	MUST(memchr(e->msg, '\0', sizeof(e->msg)) != NULL);
	MUST(memchr(e->hint, '\0', sizeof(e->hint)) != NULL);
	MUST(fuzz_printable(e->msg) && fuzz_printable(e->hint));
}

#endif
