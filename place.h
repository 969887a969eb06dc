#ifndef HUB_PLACE_H
#define HUB_PLACE_H

/*
 * A file that one process at a time appends to, and that is replaced whole:
 * its name, its lock, and the file anew. It is only taken if it is a regular
 * file of this user. Where locks may hang or lie (network file systems) there
 * are none: then the last one that replaced it has the name.
 */

#include <stdbool.h>

struct err;
struct folder;

struct place {
	int dir; /* the folder it is in; -1: none */
	char *name, *shown;
	bool network;
};

/* A file called name in dir ("": itself) below f. */
int place_find(struct place *at, const struct folder *f, const char *dir,
    const char *name, struct err *e);
void place_release(struct place *at);

/* The file as it is, to be read, with its lock; *busy: another process has
 * that. -1 if there is none, or none of ours. */
int place_open(const struct place *at, bool *busy);

/* Gives it another name (with ".old" behind it), if it is there. */
void place_set_aside(const struct place *at);

/* The file anew: what write() writes, under the name when that is complete.
 * Returns it, to be appended to, with its lock. */
int place_replace(const struct place *at, int (*write)(void *ctx, int fd),
    void *ctx, struct err *e);

#endif
