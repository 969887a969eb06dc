#ifndef HUB_DOTENV_H
#define HUB_DOTENV_H

/*
 * The .env file of a run: the one that the configuration file names, else the
 * one in the working directory. Its syntax is env.h's.
 *
 * Only tokens are taken from it: an endpoint, proxy or CA there could be a
 * trap that collects the token, and is ignored with a note. One that nobody
 * named is used only if it belongs to the user or to root and nobody else can
 * write to it (the user's own group may), and only if it can be parsed, else
 * ignored with a note. In such a file ${VAR} is a variable of the file itself:
 * it lies there for another program, and what it names in the environment may
 * be that one's secret.
 */

#include <stdbool.h>

#include "env.h"

struct buf;
struct err;
struct variables;

struct dotenv {
	struct env env; /* empty if there is none */
	char *path;     /* what the configuration names; NULL: nothing */
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
