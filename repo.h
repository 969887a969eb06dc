#ifndef HUB_REPO_H
#define HUB_REPO_H

/*
 * The Hub's API, one function a call. Only repo.c and api.c know Hub URLs, Hub
 * answers and Hub errors; the pure part (JSON to structs, statuses to errors)
 * is in api.h.
 */

#include <stdbool.h>
#include <stdint.h>

#include "api.h"

struct client;
struct err;
struct http_head;
struct request;
struct response;

/* --- Calls that read. --- */

/* One repository at one endpoint. The strings are borrowed. */
struct repo {
	struct client *client;
	const char *endpoint; /* without '/' at the end */
	enum repo_type type;
	const char *id; /* NULL: none is needed */
	bool has_token; /* and it is sent to the endpoint */
	bool withheld;  /* there is a token, but it is not sent */
};

/* What an error at this repository is about; revision and path may be NULL. */
struct answer_about repo_about(
    const struct repo *r, const char *revision, const char *path);

/* Rewrites a URL in an answer of a mirror, which may name the public Hub, or
 * the mirror's host without its path prefix, to the mirror's own URL. Frees url
 * and returns the one to request. */
char *repo_rewrite(const struct repo *r, char *url);

/* The commit that a revision points to: 40 hex digits and '\0'. A revision
 * that is a commit already costs no request. */
int repo_commit(
    const struct repo *r, const char *revision, char commit[41], struct err *e);

/* Lists all files of a commit, page by page, in the Hub's order; each entry is
 * borrowed for the call. A failure of each() ends it. A listing that does not
 * end (REPO_PAGES_MAX, REPO_LISTING_MAX) is ERR_CONTENT. */
int repo_tree(const struct repo *r, const char *commit,
    int (*each)(void *ctx, const struct repo_file *f, struct err *e), void *ctx,
    struct err *e);

/* What a listing is to contain. */
struct repo_listing {
	const char *folder; /* without '/' at its end; NULL: the top */
	bool flat;          /* only what is in that folder, with its folders */
	bool last;          /* the last commit of each, which is slow */
};

/* The same for files and folders. ERR_ABSENT if there is no such folder. */
int repo_list(const struct repo *r, const char *commit,
    const struct repo_listing *l,
    int (*each)(void *ctx, const struct repo_entry *x, struct err *e),
    void *ctx, struct err *e);

/* All branches, tags and pull requests. */
int repo_refs(const struct repo *r,
    int (*each)(void *ctx, const struct repo_ref *ref, struct err *e),
    void *ctx, struct err *e);

/* Whose the token is; r needs no id. The caller releases it in any case. */
int repo_whoami(const struct repo *r, struct whoami *out, struct err *e);

#define REPO_PAGES_MAX 10000

/* Bytes of all pages together, enough for two million files. What is kept of
 * them takes about as much memory. */
#define REPO_LISTING_MAX ((uint64_t)512 << 20)

/* The file at path (ERR_ABSENT if there is none): paths-info, or the listing
 * of its folder where a mirror does not know that. out->path belongs to the
 * caller; out->ids is ids, which may be NULL, if the Hub gives them. */
int repo_file(const struct repo *r, const char *commit, const char *path,
    struct repo_file *out, struct repo_ids *ids, struct err *e);

/* Asks for access to the Xet storage, to read the files of a revision or to
 * write to it; NULL: to write for a new pull request. The caller releases it.
 * ERR_ABSENT: this Hub has none. */
int repo_xet(const struct repo *r, const char *revision, bool writes,
    struct xet_access *out, struct err *e);

/* The rel="next" link of a page. */
struct repo_next {
	char *url;     /* NULL: there is none; the caller frees */
	bool no_token; /* another host named it */
};

/* Sets the error for an answer with a status of 300 or more: answer_error(),
 * and the host that sent it, if not the endpoint. Returns -1. */
int repo_error(const struct repo *r, const struct response *resp,
    struct str body, const struct answer_about *what, struct err *e);

/* The resolve URL, which serves the bytes of a file; the caller frees. */
char *repo_file_url(const struct repo *r, const char *commit, const char *path);

/* The page of a commit, for people; the caller frees. */
char *repo_commit_url(const struct repo *r, const char *commit);

/*
 * Checks an answer (redirect or content) to a request for f. Errors of the Hub
 * become sentences; X-Linked-ETag and X-Linked-Size, where the Hub sends them,
 * must be the file's; a web page in place of a file is refused. The statuses of
 * other hosts are left to the caller.
 */
int repo_check_file(const struct repo *r, const struct repo_file *f,
    const struct http_head *h, const struct url *url, struct err *e);

/* --- Calls that write. --- */

/*
 * The calls of the Hub's API that change a repository. All need a token.
 */

/* Sets *there if the repository exists and the token may see it; and *is_public
 * if the Hub reports that everybody may. */
int repo_exists(
    const struct repo *r, bool *there, bool *is_public, struct err *e);

/* Creates it; no error if it exists. A Space becomes a static one: other kinds
 * need a paid plan. */
int repo_create(const struct repo *r, bool is_private, struct err *e);

/* Creates a branch at the head of main; one that exists is fine. */
int repo_create_branch(const struct repo *r, const char *name, struct err *e);

/* Asks how to send files; question is from preupload_end(). */
int repo_preupload(const struct repo *r, const char *revision, bool new_pr,
    const struct buf *question,
    void (*each)(void *ctx, const struct preupload_mode *m), void *ctx,
    char commit[41], struct err *e);

/*
 * Tries to commit once. After ERR_NET the caller must check whether the commit
 * was made before it tries again. ERR_REFUSED: the branch has moved, or the Hub
 * refuses the commit.
 */
int repo_send_commit(const struct repo *r, const char *revision,
    const struct commit *c, struct commit_answer *out, struct err *e);

/* The newest commit of a revision and its title, which the caller frees. */
int repo_newest(const struct repo *r, const char *revision, char commit[41],
    char **title, struct err *e);

/* Opens a pull request against the default branch, as a draft; *link is the
 * caller's. Commits go to "refs/pr/NUMBER". After a lost answer it searches for
 * the pull request before it tries again, so that there are never two. */
int repo_open_pull_request(const struct repo *r, const char *title,
    const char *description, unsigned retries, uint64_t *number, char **link,
    struct err *e);

/* Marks the pull request as ready: no longer a draft. */
int repo_publish_pull_request(
    const struct repo *r, uint64_t number, struct err *e);

#endif
