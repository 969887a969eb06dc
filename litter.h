#ifndef HUB_LITTER_H
#define HUB_LITTER_H

/*
 * What runs that were killed left beside the partial files (partial.h): private
 * partials, drafts, temporary files, states whose file has its name by now.
 *
 * Each run holds a shared lock on the folder of the partial files while it
 * works there. A run that gets an exclusive one is alone: then all that has a
 * temporary name of ours there belongs to nobody, and is removed. The lock is
 * that of the folder, so no file of another run is ever touched or locked.
 *
 * On a network file system, where locks may hang or lie, there is none: what is
 * older than a week is removed there.
 *
 * HASH.part and HASH.state can be continued: they stay, unless their content
 * is in place. What this unit does not know stays, too.
 */

#include <stdbool.h>

struct digest;
struct folder;

struct litter {
	const struct folder *f; /* borrowed, as is prefix */
	const char *prefix; /* of the partial files, with a '/' at its end */
	bool network;       /* or where there are no locks */
	int fd;             /* of the locked folder; -1: not held */
};

/*
 * Takes the shared lock, and removes what is left there, if no other run is
 * there. create: makes the folder if it is missing; else nothing is held where
 * there is none. Waits for a few seconds at the most, and goes on without the
 * lock. True if something was removed. Never fails.
 */
bool litter_enter(struct litter *l, const struct folder *f, const char *prefix,
    bool network, bool create);

/* What is known at the end of a run. */
struct litter_end {
	/* Whether that content is in place wherever it is wanted, so that
	 * nobody will continue it. */
	bool (*placed)(void *ctx, const struct digest *d);
	/* For each folder in which we write, with a '/' at its end: calls
	 * litter_sweep(). */
	void (*folders)(void *ctx, struct litter *l);
	void *ctx;
	bool remove_folder; /* itself, which is right below f, if it is
			     * empty then */
};

/* Removes what is left, if no other run is there, and lets go. */
void litter_leave(struct litter *l, const struct litter_end *end);

/* Removes temporary files of ours from another folder. */
void litter_sweep(struct litter *l, const char *prefix);

#endif
