#ifndef HUB_LS_H
#define HUB_LS_H

/*
 * The commands that only look: "hub ls", what is in a repository, and
 * "hub whoami", whose the token is.
 */

struct config;
struct err;
struct options;
struct output;

/* The files of a repository, its quantizations (--quants) or its refs (--refs):
 * a table at a terminal, else one name a line, or one JSON object. */
int ls(const struct options *o, const struct config *c, struct output *out,
    struct err *e);

/* The account of the token, its organisations and rights, where it came from,
 * and the endpoint. ERR_AUTH if there is no token or it is not accepted. */
int whoami(const struct options *o, const struct config *c, struct output *out,
    struct err *e);

#endif
