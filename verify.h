#ifndef HUB_VERIFY_H
#define HUB_VERIFY_H

/*
 * "hub verify": compares the files of a download with the hashes that were
 * recorded in its folder (plan.h), and with --repair fetches what is broken.
 * With --cache: the contents of the shared cache (cache.h) with their names.
 *
 * The record is a note: a file is right only if the hash of all its bytes,
 * taken in this run, is the recorded one. A repair goes through a partial file
 * (partial.h), so it is published only if its hash is right, and can be
 * continued after a kill.
 */

struct config;
struct err;
struct options;
struct output;

/* ERR_CONTENT if a file differs, else ERR_ABSENT if one is missing, else
 * ERR_FILE if one cannot be read. */
int verify(const struct options *o, const struct config *c, struct output *out,
    struct err *e);

#endif
