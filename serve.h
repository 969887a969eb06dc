#ifndef HUB_SERVE_H
#define HUB_SERVE_H

/*
 * The command serve: a Hub for other machines, with what is on this disk
 * (site.h). One thread waits for all connections that are idle or blocked. Workers
 * read requests and send answers; a worker waits for a client for 10 ms at most.
 */

struct config;
struct err;
struct options;
struct output;

/* Returns 0 after SIGINT or SIGTERM, when running answers are finished or 10 s
 * are over. */
int serve(const struct options *o, const struct config *c, struct output *out,
    struct err *e);

#endif
