#ifndef HUB_REPO_H
#define HUB_REPO_H

/*
 * The Hub's API as typed calls (hub-protocol.md). The only unit that knows Hub
 * URLs, Hub answers and Hub errors; what is pure in it (JSON to structs,
 * statuses to errors) is in answer.h.
 */

#include <stdbool.h>
#include <stdint.h>

#include "answer.h"
#include "repoid.h"

struct client;
struct err;
struct http_head;

/* Borrowed for the life of it. */
struct repo {
	struct client *client;
	const char *endpoint; /* without '/' at the end */
	enum repo_type type;
	const char *id;
	bool has_token;
};

/* The commit that a revision points to: 40 hex digits and '\0'. A revision
 * that is a commit already costs no request. */
int repo_commit(const struct repo *r, const char *revision, char commit[41],
    struct err *e);

/* Lists all files of a commit, page by page, in the Hub's order; each entry is
 * borrowed for the call. A failure of each() ends it. Pages are followed to
 * the end and only on the endpoint's origin with the token. */
int repo_tree(const struct repo *r, const char *commit,
    int (*each)(void *ctx, const struct repo_file *f, struct err *e),
    void *ctx, struct err *e);

/* The file at path (or ERR_ABSENT): paths-info, or the listing of its folder
 * where a mirror does not know that. The entry's path belongs to the caller. */
int repo_file(const struct repo *r, const char *commit, const char *path,
    struct repo_file *out, struct err *e);

/* Gated or not readable is found out before anything is fetched. */
int repo_access(const struct repo *r, struct err *e);

/* Where the bytes of a file are: the resolve URL, which the caller frees. */
char *repo_file_url(const struct repo *r, const char *commit,
    const char *path);

/*
 * For transfer's check(): is this answer (redirect or content) of the Hub or a
 * CDN about that file? Hub errors become sentences; X-Linked-ETag and X-Linked-Size, where
 * present, must be the file's; a body that is text/html where none was
 * expected is refused.
 */
int repo_check_file(const struct repo *r, const struct repo_file *f,
    const struct http_head *h, const struct url *url, struct err *e);

#endif
