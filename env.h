#ifndef HUB_ENV_H
#define HUB_ENV_H

/*
 * The text of a .env file to variables, with the syntax of python-dotenv:
 * comments, export, single and double quotes with their escapes, values over
 * several lines, ${VAR} and ${VAR:-default}, CRLF, BOM. Pure.
 *
 * Where python-dotenv warns about a line and continues, this is an error with
 * the line's number, since a token lost to a missing quote is hard to find. So
 * are NUL bytes. The sentence never quotes the line.
 */

#include <stdbool.h>

#include "str.h"

struct err;

/* --- The text of a .env file. --- */

/* Longest .env that is accepted, and bytes that all values together may have
 * after ${VAR} was filled in. */
#define ENV_MAX 65536
#define ENV_VALUES (1 << 20)

struct env_pair {
	char *name, *value; /* value is NULL for a name without '=' */
};

struct env {
	struct env_pair *pair;
	size_t n;
};

/* lookup gives the real environment for ${VAR} (NULL: unset); a variable that
 * is set there wins over one of the same file, as with python-dotenv's default
 * override=False. Errors are ERR_USAGE. */
int env_parse(struct str text,
    const char *(*lookup)(void *ctx, const char *name), void *ctx,
    struct env *out, struct err *e);

/* The last value of name; NULL if that has no value, or name is missing. It
 * belongs to v. */
const char *env_get(const struct env *v, const char *name);

/* Wipes and frees. */
void env_release(struct env *v);

/* --- Variables, and paths that name them. --- */

/*
 * Variables of the environment, and paths that name them. Pure, but for the
 * function that is given.
 */

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

/* A copy of path with '~' (HOME), $VAR and ${VAR} expanded; an unset variable
 * is kept as it is. what names the source of the path in an error. NULL and
 * ERR_USAGE if there is no HOME for the '~'. */
char *variable_expand(const struct variables *v, const char *what,
    const char *path, struct err *e);

/* "folder/name", which the caller frees. */
char *variable_join(const char *folder, const char *name);

/* Sets *out to the expanded path in a variable, if it is set; else to name
 * below folder, if folder is not NULL; else to NULL. The caller frees *out. */
int variable_path(const struct variables *v, const char *variable,
    const char *folder, const char *name, char **out, struct err *e);

#endif
