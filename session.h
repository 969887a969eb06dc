#ifndef HUB_SESSION_H
#define HUB_SESSION_H

/*
 * What every command needs before its first request: roots of trust, a client,
 * the display, and the repository, set up from the settings.
 */

#include "config.h"
#include "repo.h"
#include "repoid.h"

struct client;
struct confine;
struct err;
struct progress;
struct tls_trust;

struct session {
	const struct config *config;
	struct repoid id;
	char *revision; /* what was asked for, "main" if nothing */
	struct progress *progress;
	struct tls_trust *trust;
	struct client *client;
	struct repo repo;
};

/* verb is what the display says ("downloading"). The settings must outlive it.
 * After a failure there is nothing to close. */
int session_open(struct session *s, const struct options *o,
    const struct config *c, const char *verb, struct err *e);
void session_close(struct session *s);

/* Connections to use at the most: what -j says, or what the machine and that
 * target are good for; -v tells. */
unsigned session_jobs(const struct session *s, enum jobs_ground ground);

/* The rules of c hold from now on, and the system calls that no command needs
 * are given up; -v tells. To be called before the first request. */
void session_confine(const struct session *s, struct confine *c);

#endif
