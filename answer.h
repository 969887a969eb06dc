#ifndef HUB_ANSWER_H
#define HUB_ANSWER_H

/*
 * What the Hub answers, as structs and errors: JSON bodies, headers, statuses
 * (hub-protocol.md, sections 3, 6, 9). Pure. Everything in an answer is a
 * stranger's word: sizes are limited, hashes must be hashes.
 */

#include <stdbool.h>
#include <stdint.h>

#include "hash.h"
#include "http.h"
#include "json.h"
#include "str.h"

struct err;

/* Largest file that is believed: 2^53, what a JSON number holds exactly. */
#define REPO_FILE_MAX ((uint64_t)1 << 53)

/* Longest path that is believed, in bytes. */
#define REPO_PATH_MAX 8192

struct repo_file {
	char *path;
	uint64_t size;
	struct digest
	    digest; /* SHA-256 of LFS and Xet files, else git blob id */
};

/*
 * A page of a listing: calls each() for each file in it; folders and unknown
 * types are passed over. path of the entry given is borrowed; a failure of
 * each() ends it. ERR_NET if the text is no JSON (a cut answer may be whole the
 * next time), ERR_CONTENT if it is not a listing.
 */
int answer_tree(struct str text,
    int (*each)(void *ctx, const struct repo_file *f, struct err *e), void *ctx,
    struct err *e);

/* The member called name, if it is an address (url_parse) without a login: what
 * is shown may be printed, too. NULL if it is none; the caller frees. */
char *answer_url(const struct json *v, const char *name);

/* "sha" of a repository's description: 40 hex digits and '\0'. ERR_NET if the
 * text is no JSON, ERR_CONTENT if it names none. */
int answer_commit(struct str text, char commit[41], struct err *e);

/* What an error is about, for its sentence. */
struct answer_about {
	const char *id, *type;   /* "org/name", "model" */
	const char *type_prefix; /* "", "datasets/", "spaces/" */
	const char *revision;    /* or NULL */
	const char *path;        /* or NULL */
	bool has_token;          /* and it is sent */
	const char *endpoint;
	bool withheld; /* there is one that is not sent in clear text */
};

/*
 * A status of 400 or more to a sentence and its kind, by the decision order of
 * section 6.2: RevisionNotFound, EntryNotFound, RepoNotFound, GatedRepo,
 * disabled, 401, 403, 429 (with the wait), transient ones ERR_NET, the rest.
 * The Hub's own message and request id are part of it, a hint says what to do.
 * body is the text of the answer, possibly empty, JSON or plain; HTML is left
 * out. Always returns -1.
 */
int answer_error(const struct http_head *h, struct str body,
    const struct answer_about *about, struct err *e);

#endif
