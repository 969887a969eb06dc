#ifndef HUB_ENV_H
#define HUB_ENV_H

/*
 * The text of a .env file to variables, with the syntax of python-dotenv:
 * comments, export, single and double quotes with their escapes, values over
 * several lines, ${VAR} and ${VAR:-default}, CRLF, BOM. Pure.
 *
 * Where python-dotenv warns about a line and goes on, this is an error with
 * the line's number: a token that is not found for a missing quote costs an
 * hour. So are NUL bytes. The sentence never quotes the line.
 */

#include "str.h"

struct err;

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

/* The value of name where it stands last; NULL if it has none there, or is not
 * there at all. It belongs to v. */
const char *env_get(const struct env *v, const char *name);

/* Wipes and frees. */
void env_release(struct env *v);

#endif
