#ifndef HUB_DOTENV_H
#define HUB_DOTENV_H

/*
 * The .env file of a run: the one that the configuration file names, else the
 * one in the working directory. Its syntax is env.h's.
 *
 * Only tokens are taken from it: an endpoint, proxy or CA there could be a
 * trap that collects the token, and is ignored with a note. One that nobody
 * named is used only if it belongs to the user or to root and nobody else can
 * write to it (the user's own group may), else ignored with a note; if it
 * cannot be parsed, that is an error only when the token would come from there.
 */

#include <stdbool.h>

#include "env.h"
#include "err.h"

struct buf;
struct variables;

struct dotenv {
	struct env env; /* empty if there is none */
	char *path;     /* what the configuration names; NULL: nothing */
	/* Why the one that nobody named cannot be used; kind is ERR_NONE if it
	 * can. */
	struct err fault;
};

/* config_path is that of the configuration file, NULL for none. notes gets a
 * line for each thing that is ignored, and with verbose one for what was read.
 * Errors are ERR_USAGE: a file that was named cannot be read or parsed. */
int dotenv_load(struct dotenv *d, const struct variables *v,
    const char *config_path, bool verbose, struct buf *notes, struct err *e);

/* The name of the file, for a sentence; it belongs to d. */
const char *dotenv_name(const struct dotenv *d);

/* Wipes and frees. */
void dotenv_release(struct dotenv *d);

#endif
