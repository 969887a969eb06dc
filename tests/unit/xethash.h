#ifndef HUB_TEST_XETHASH_H
#define HUB_TEST_XETHASH_H

#include <stdbool.h>
#include <string.h>

#include "chunk.h"

/* Whether it is the one with that text. */
static inline bool
is(const struct xethash *h, const char *want)
{
	char text[XETHASH_TEXT + 1];

	xethash_text(h, text);
	return strcmp(text, want) == 0;
}

#endif
