#ifndef HUB_GLOB_H
#define HUB_GLOB_H

/*
 * Patterns over whole repository paths, with the rules of the official
 * client (Python's fnmatchcase; hub-protocol.md, 9.9): '*' crosses '/', '?' is
 * one character, [abc], [!abc], ranges; an unclosed '[' is literal; no escape;
 * case counts; a backslash becomes '/' on both sides; a pattern that ends in
 * '/' gets a '*'. Characters are UTF-8 code points. Linear in memory, at worst
 * pattern * text in time.
 */

#include <stdbool.h>
#include <stddef.h>

/* Whether the pattern is all of the path. */
bool glob_match(const char *pattern, const char *path);

struct glob_list {
	const char *const *pattern;
	size_t n;
};

/* Kept if (include has no pattern or at least one that matches) and no pattern
 * of exclude matches. */
bool glob_kept(const struct glob_list *include, const struct glob_list *exclude,
    const char *path);

#endif
