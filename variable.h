#ifndef HUB_VARIABLE_H
#define HUB_VARIABLE_H

/*
 * Variables of the environment, and paths that name them. Pure, but for the
 * function that is given.
 */

#include <stdbool.h>

struct err;

/* Where values come from: getenv in the program, a table in tests. */
struct variables {
	const char *(*get)(void *ctx, const char *name); /* NULL: unset */
	void *ctx;
};

/* The value, be it empty; NULL if it is unset. */
const char *variable_raw(const struct variables *v, const char *name);

/* The value; NULL if it is unset or empty. */
const char *variable_get(const struct variables *v, const char *name);

/* True if it is "1", "on", "yes" or "true", in letters of either case. */
bool variable_is_true(const struct variables *v, const char *name);

/* A copy of path with '~' (HOME), $VAR and ${VAR} filled in; a variable that
 * is unset stands for itself. what says where the path stands. NULL and
 * ERR_USAGE if there is no HOME for the '~': better than a folder of that
 * name. */
char *variable_expand(const struct variables *v, const char *what,
    const char *path, struct err *e);

/* "folder/name", which the caller frees. */
char *variable_join(const char *folder, const char *name);

/* The path that a variable names, expanded, if it is set; else name below
 * folder, if folder is not NULL; else NULL. The caller frees *out. */
int variable_path(const struct variables *v, const char *variable,
    const char *folder, const char *name, char **out, struct err *e);

#endif
