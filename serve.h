#ifndef HUB_SERVE_H
#define HUB_SERVE_H

/*
 * The command serve: a Hub for others, which gives what is on this disk
 * (site.h). One thread waits for all connections that are idle or blocked;
 * workers read requests and send answers, and none of them ever waits for a
 * peer for longer than LINGER.
 */

struct config;
struct err;
struct options;
struct output;

/* Returns 0 after SIGINT or SIGTERM, once what ran is finished. */
int serve(const struct options *o, const struct config *c, struct output *out,
    struct err *e);

#endif
