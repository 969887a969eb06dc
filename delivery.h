#ifndef HUB_DELIVERY_H
#define HUB_DELIVERY_H

/*
 * The files of an offer to the Hub: large contents to the storage, then a
 * commit; batch by batch, each of so many files that a commit takes some 40 s.
 * A commit whose answer got lost is looked for before it is tried again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct journal;
struct offer;
struct progress;
struct repo;

/* All is borrowed but what is said to be the caller's. */
struct delivery {
	const struct repo *repo;
	const char *branch;
	struct offer *offer;
	char *const *gone; /* paths to be deleted with the first commit */
	size_t gone_n;
	const char *summary, *description;
	bool new_pr; /* into a pull request that is opened for it */
	unsigned jobs, retries;
	struct journal *journal;
	struct progress *progress;
	char head[41]; /* of the branch, as last seen; "" if not known */

	/* What became of it. */
	unsigned commits;
	char *url; /* of the last commit or the pull request; the caller's */
	char *revision; /* where the commits went; the caller's */
	uint64_t pr;    /* number of the pull request; 0: none */
	unsigned step;  /* of the scale; set by deliver() */
};

/* Sends and commits all that is to be sent. Files that fail alone are marked
 * (OFFER_FAILED) and do not make it fail; what concerns all ends it, with the
 * kind that it has (err.h). */
int deliver(struct delivery *d, struct err *e);

#endif
