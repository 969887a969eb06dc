#ifndef HUB_LITTER_H
#define HUB_LITTER_H

/*
 * Removes what killed runs left beside the partial files: private
 * partials, drafts, temporary files, states whose file has its name by now.
 *
 * Each run holds a shared lock on the folder of the partial files while it
 * works there. A run that gets an exclusive lock is alone: then every file
 * there with a temporary name of ours is abandoned, and removed. Only the
 * folder is locked, so files of other runs are never touched.
 *
 * On a network file system, where locks may hang or lie, there is no lock:
 * files older than a week are removed.
 *
 * HASH.part and HASH.state can be continued: they stay, unless their content
 * is in place. HASH.blocks stays while a file has that content. Unknown files
 * and files of other users stay, too.
 */

#include <stdbool.h>
#include <sys/types.h>

struct digest;
struct folder;

struct litter {
	const struct folder *f; /* borrowed, as is prefix */
	const char *prefix; /* of the partial files, with a '/' at its end */
	uid_t uid;          /* owner of files that this process makes there */
	bool network;       /* or where there are no locks */
	int fd;             /* of the locked folder; -1: not held */
};

/*
 * Takes the shared lock, and removes leftovers, if no other run works there.
 * create: creates a missing folder; else a missing folder is not locked. Waits
 * for at most a few seconds, then continues without the lock. True if something
 * was removed. Never fails.
 */
bool litter_enter(struct litter *l, const struct folder *f, const char *prefix,
    uid_t uid, bool network, bool create);

/* What a run knows at its end. */
struct litter_end {
	/* True if all files with that content are in place, so that its partial
	 * file is not needed. */
	bool (*placed)(void *ctx, const struct digest *d);
	/* True if no file has that content, so that the checksums of its blocks
	 * are not needed. NULL: not known. */
	bool (*unused)(void *ctx, const struct digest *d);
	/* Calls litter_sweep() for each folder that this run writes to, with a
	 * '/' at its end. */
	void (*folders)(void *ctx, struct litter *l);
	void *ctx;
	bool remove_folder; /* the folder prefix itself, if it is empty then */
};

/* Removes leftovers, if no other run works there, and unlocks. */
void litter_leave(struct litter *l, const struct litter_end *end);

/* Removes temporary files of ours from another folder. */
void litter_sweep(struct litter *l, const char *prefix);

#endif
