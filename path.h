#ifndef HUB_PATH_H
#define HUB_PATH_H

/*
 * Checks names of files to be written below a folder, and matches the patterns
 * of --include and --exclude. Pure.
 */

#include <stdbool.h>
#include <stddef.h>

#include "str.h"

struct err;

/* --- Names that may be written. --- */

/* Checks repository paths before they are used as file names. Pure. */

/* The most bytes of a path, and of one part of it. */
#define PATH_LIMIT 4096
#define PART_LIMIT 255

/*
 * Checks a path before it may name a file below a folder. Refused (ERR_CONTENT,
 * since the listing is not what a Hub sends) are empty and absolute paths,
 * empty parts, ".", "..", ".git", parts and paths that are too long, NUL and
 * control characters, broken UTF-8, and everything below ".cache/huggingface"
 * (ours). Names are compared without case, as some file systems do.
 */
int path_check(struct str path, struct err *e);

/* Checks a checked path for a file system with Windows rules, where a backslash
 * separates folders. ERR_FILE. */
int path_check_windows(struct str path, struct err *e);

/* What follows the last '/' of a path; without one, all of it. */
const char *path_last(const char *path);

/* Cuts the last part off a path, which is "" then if it had only one. False if
 * there is none, or if it leads upwards. */
bool path_cut_last(char *path);

/* --- Patterns. --- */

/*
 * Patterns over whole repository paths, with the rules of the official client
 * (Python's fnmatchcase): '*' crosses '/', '?' is one character, [abc], [!abc],
 * ranges; an unclosed '[' is literal; no escape; case counts; a backslash
 * becomes '/' on both sides; a pattern that ends in '/' gets a '*'. Characters
 * are UTF-8 code points. Linear in memory, at worst pattern * text in time.
 */

/* True if the pattern matches the whole path. */
bool glob_match(const char *pattern, const char *path);

struct glob_list {
	const char *const *pattern;
	size_t n;
};

/* True if a path is kept: include has no pattern or at least one that matches,
 * and no pattern of exclude matches. */
bool glob_kept(const struct glob_list *include, const struct glob_list *exclude,
    const char *path);

#endif
