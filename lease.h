#ifndef HUB_LEASE_H
#define HUB_LEASE_H

/*
 * The right to write a state file (state.h), which one process at a time has.
 *
 * On a local file system it is flock() on the file that bears the name: it goes
 * with its holder, at once. Where locks may hang or lie, the file's head names
 * its owner, who touches the file every beat; an owner whose process is known
 * to be dead, who has signed off, or whose file was not touched for the time
 * stale (by the file system's own clock), is followed by whoever makes the file
 * STEM.claim, which only one can, and then renames a file of its own over it.
 *
 * What another user made is left alone. Not thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "file.h"
#include "state.h"

struct err;

struct lease {
	const struct folder *f; /* borrowed */
	char *stem;             /* names: STEM.state, .claim, STEM.RANDOM.tmp */
	char *path;
	bool network;
	unsigned beat, stale; /* ms */
	struct owner self;    /* its nonce is this lease's own */
	struct maker maker;   /* what files of our own look like */
	uint64_t beaten;      /* when it was touched last, with sleep counted */
	int fd;               /* of the state file; -1: not held */
};

/* Sets up; nothing is held. self gets a nonce; beat and stale are for the
 * caller to set. */
void lease_init(struct lease *l, const struct folder *f, const char *stem,
    bool network, const struct owner *self, const struct maker *maker);

/*
 * Tries to get it: 0, and l->fd is the file (empty if it is new); 1 if another
 * process has it; 2 if what stands there is not a file of our own (maker_made)
 * or has another name, too; -1 on errors. Where only time can tell whether the
 * owner is alive it waits, for stale ms at the most.
 */
int lease_take(struct lease *l, struct err *e);

/* Touches the file, if that is due. */
void lease_beat(struct lease *l);

/* 0 if nobody can have taken over, or, after a sleep, nobody has; else -1 and
 * ERR_FILE. */
int lease_check(struct lease *l, struct err *e);

/* Lets go: nothing is held any more. */
void lease_drop(struct lease *l);

/* Lets go, and frees. */
void lease_release(struct lease *l);

/* "STEM.RANDOM.KIND"; the caller frees. */
char *lease_name(const char *stem, const char *kind);

/* The time of the file system, in ms, by a file made beside stem. */
int lease_clock(
    const struct folder *f, const char *stem, int64_t *ms, struct err *e);

#endif
