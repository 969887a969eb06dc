#ifndef HUB_UPLOAD_H
#define HUB_UPLOAD_H

/*
 * hub upload: a file or a folder to a repository. What the Hub has already is
 * not sent; large contents go to the storage by LFS, the rest in the commit;
 * huge folders become several commits. The same command again goes on where it
 * was (journal.h).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "option.h"

struct err;
struct journal;
struct offer;
struct output;
struct progress;
struct repo;

/* --- The command. --- */

/*
 * out gets the address of the commit or of the pull request, or with --json one
 * object. The caller has set up signals and answered the prompts: repo_id and
 * local_path are there.
 */
int upload(const struct options *o, const struct config *c, struct output *out,
    struct err *e);

/* --- Sending and committing. --- */

/*
 * The files of an offer to the Hub: large contents to the storage, then a
 * commit; batch by batch, each of so many files that a commit takes some 40 s.
 * A commit whose answer got lost is looked for before it is tried again.
 */

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

#endif
