#ifndef HUB_PATH_H
#define HUB_PATH_H

/* Paths of a repository, before they may name a file here. Pure. */

#include "str.h"

struct err;

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

#endif
