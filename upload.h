#ifndef HUB_UPLOAD_H
#define HUB_UPLOAD_H

/*
 * hub upload: a file or a folder to a repository. Contents that the Hub has are
 * not sent; large ones go to the storage by LFS, the rest in the commit; huge
 * folders become several commits. The same command again continues (journal.h).
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
struct xetup;

/* --- The command. --- */

/*
 * out gets the URL of the commit or of the pull request, or with --json one
 * object. The caller has set up signals and answered the prompts: repo_id and
 * local_path are there.
 */
int upload(const struct options *o, const struct config *c, struct output *out,
    struct err *e);

/* --- Sending and committing. --- */

/*
 * Sends the files of an offer to the Hub in batches: large contents to the
 * storage, then a commit. The size of a batch is chosen so that a commit takes
 * about 40 s. After a lost answer it searches for the commit before it tries
 * again.
 */

/* Everything is borrowed except fields marked as the caller's. */
struct delivery {
	const struct repo *repo;
	const char *branch;
	struct offer *offer;
	char *const *gone; /* paths to be deleted with the first commit */
	size_t gone_n;
	const char *summary, *description;
	bool new_pr; /* open a pull request for the commits */
	unsigned jobs, packing, retries;
	struct journal *journal;
	struct xetup *xet; /* NULL: Xet is not to be used */
	struct progress *progress;
	char head[41]; /* head of the branch, as last seen; "" if not known */

	/* The result. */
	unsigned commits;
	uint64_t there; /* bytes of contents that the storage had */
	char *url; /* of the last commit or the pull request; the caller's */
	char *revision; /* where the commits went; the caller's */
	uint64_t pr;    /* number of the pull request; 0: none */
	unsigned step;  /* index of the batch size; set by deliver() */
};

#endif
