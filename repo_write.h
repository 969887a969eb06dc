#ifndef HUB_REPO_WRITE_H
#define HUB_REPO_WRITE_H

/*
 * The calls of the Hub's API that change a repository (hub-protocol.md,
 * sections 9 and 10). All want a token.
 */

#include <stdbool.h>

#include "commit.h"
#include "preupload.h"
#include "repo.h"

/* *there: the repository exists and the token may see it. */
int repo_exists(const struct repo *r, bool *there, struct err *e);

/* Creates it; one that exists is fine, however the Hub says so. A Space is a
 * static one: the others need a paid plan on free accounts. */
int repo_create(const struct repo *r, bool is_private, struct err *e);

/* Creates a branch at the head of main; one that exists is fine. */
int repo_create_branch(const struct repo *r, const char *name, struct err *e);

/* Asks how files are to be sent; question is of preupload_end(). */
int repo_preupload(const struct repo *r, const char *revision, bool new_pr,
    const struct buf *question,
    void (*each)(void *ctx, const struct preupload_mode *m), void *ctx,
    char commit[41], struct err *e);

/*
 * One try to commit, without the retry rule: whoever got no answer (ERR_NET)
 * must look whether it happened before it is tried again. ERR_REFUSED: the
 * branch has moved, or the Hub does not want it.
 */
int repo_send_commit(const struct repo *r, const char *revision,
    const struct commit *c, struct commit_answer *out, struct err *e);

/* The newest commit of a revision and its title, which the caller frees. */
int repo_newest(const struct repo *r, const char *revision, char commit[41],
    char **title, struct err *e);

/* Opens a pull request against the default branch, as a draft; *link is the
 * caller's. Commits go to "refs/pr/NUMBER". One whose answer got lost is looked
 * for before it is tried again, so that there are never two. */
int repo_open_pull_request(const struct repo *r, const char *title,
    const char *description, unsigned retries, uint64_t *number, char **link,
    struct err *e);

/* Draft no longer. */
int repo_publish_pull_request(
    const struct repo *r, uint64_t number, struct err *e);

#endif
