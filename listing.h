#ifndef HUB_LISTING_H
#define HUB_LISTING_H

/*
 * Which files of a repository are to be downloaded: the commit of the revision,
 * the listing of its files, and of these the wanted ones. From the Hub, or from
 * what an earlier run has left in the folder or in the cache: offline from
 * nothing else.
 */

#include <stdbool.h>
#include <stddef.h>

#include "cache.h"
#include "path.h"

struct err;
struct folder;
struct options;
struct plan;
struct session;

/* The wanted files: those that are named, everything below the folders that are
 * named, filtered by the patterns. Pure. */
struct choice {
	const char **name; /* paths; a '/' at the end means a folder */
	size_t n;          /* none: all files */
	bool *found;       /* for each name, whether it was found */
	bool single;       /* -f or -o: the only name is a file */
	struct glob_list include, exclude;
};

struct listing {
	/* Set by the caller, who keeps what they point to. */
	const struct options *o;
	const struct session *s;
	struct plan *plan;
	struct cache *cache; /* refs and trees of the cache or of the folder */
	struct folder *folder; /* fd -1: it is not there */
	const char *into;      /* the folder's path, for messages */
	bool in_cache;         /* it is the shared cache */
	bool layout; /* it has the official client's layout, and keeps a
		      * listing */

	/* Results. */
	struct choice choice;
	char commit[41]; /* also cache->commit */
	struct tree_writer tree;
};

/* Makes the choice from the options and the address of the repository; target
 * is the name of the local file, for -f. Borrows all strings. ERR_USAGE. */
int listing_choose(struct listing *l, const char *target, struct err *e);

/* Finds the commit of the revision: the Hub's word, or offline the last one. */
int listing_commit(struct listing *l, struct err *e);

/* Adds the wanted files to the plan. ERR_ABSENT if one of the names is not
 * there, or nothing matches the patterns. */
int listing_read(struct listing *l, struct err *e);

/* Also after a failure. */
void listing_release(struct listing *l);

#endif
