#ifndef HUB_SPELLING_H
#define HUB_SPELLING_H

/*
 * Names of commands and options as people type them: '_' and '-' are the same,
 * and of a name that there is not, which one was meant. Pure.
 */

#include <stdbool.h>
#include <stddef.h>

#include "str.h"

/* True if word is name; never for NULL. */
bool spelling_same(struct str word, const char *name);

struct spelling {
	struct str word;  /* borrowed */
	const char *best; /* of the names so far; NULL: none is like it */
	size_t distance;  /* letters that are wrong in it */
};

struct spelling spelling_make(struct str word);

/* Keeps name, if it is nearer to the word than those before it and begins with
 * it, or at most a third of the letters are wrong: missing, too many, other
 * ones, or swapped with their neighbour. NULL is like nothing. */
void spelling_try(struct spelling *s, const char *name);

#endif
