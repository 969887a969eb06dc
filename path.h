#ifndef HUB_PATH_H
#define HUB_PATH_H

/*
 * Names of files that may be written below a folder, and the patterns of
 * --include and --exclude. Pure.
 */

#include <stdbool.h>
#include <stddef.h>

#include "str.h"

struct err;

/* --- Names that may be written. --- */

/* Paths of a repository, before they may name a file here. Pure. */

/* The most bytes of a path, and of one part of it. */
#define PATH_LIMIT 4096
#define PART_LIMIT 255

/*
 * Checks a path before it may name a file below a folder. Refused (ERR_CONTENT,
 * since the listing is not what a Hub sends) are empty and absolute paths,
 * empty parts, ".", "..", ".git", parts and paths that are too long, NUL and
 * control characters, broken UTF-8, and everything below ".cache/huggingface"
 * (ours). The names are compared as a file system without case would.
 */
int path_check(struct str path, struct err *e);

/* Checks a checked path for a file system that is another system's, or serves
 * one: Windows takes backslashes for separators. ERR_FILE. */
int path_check_windows(struct str path, struct err *e);

/* --- Patterns. --- */

/*
 * Patterns over whole repository paths, with the rules of the official
 * client (Python's fnmatchcase; hub-protocol.md, 9.9): '*' crosses '/', '?' is
 * one character, [abc], [!abc], ranges; an unclosed '[' is literal; no escape;
 * case counts; a backslash becomes '/' on both sides; a pattern that ends in
 * '/' gets a '*'. Characters are UTF-8 code points. Linear in memory, at worst
 * pattern * text in time.
 */

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
