#ifndef HUB_OFFER_H
#define HUB_OFFER_H

/*
 * The files of an upload: what is there locally, where each goes, how the Hub
 * wants it, and whether it differs from what the Hub has.
 */

#include <stdbool.h>
#include <stddef.h>

#include "file.h"
#include "hash.h"
#include "scan.h"

struct err;
struct journal;
struct progress;
struct repo;

enum offer_fate {
	OFFER_SEND,    /* to be sent and committed */
	OFFER_SAME,    /* the Hub has it, at that path */
	OFFER_IGNORED, /* the repository's .gitignore leaves it out */
	OFFER_COMMITTED,
	OFFER_FAILED, /* why says why */
	OFFER_FATES
};

struct offer_file {
	const struct scan_file *local;
	char *path;          /* in the repository */
	bool asked;          /* the Hub said how it wants it */
	bool lfs;            /* its content goes to the storage */
	bool known;          /* the path is there now, with the content there */
	struct digest there; /* known */
	bool hashed;
	bool remembered;      /* the hash was taken in an earlier run */
	struct digest digest; /* hashed: SHA-256 for LFS, else git id */
	enum offer_fate fate;
	struct err *why;
};

/* In the order of the paths. */
struct offer {
	struct folder folder; /* where the local files are */
	bool single;          /* one file, not a folder */
	const char *token;    /* no file may hold it; or NULL */
	struct scan scan;
	struct offer_file *file;
	size_t n;
};

/*
 * Lists the file or the folder at path, and where it goes: below to, or, for a
 * single file and a to without '/' at its end, to is its path. token (borrowed,
 * or NULL) is what no file may hold. ERR_USAGE for what cannot be uploaded,
 * ERR_FILE for what cannot be read; o is to be released all the same.
 */
int offer_open(struct offer *o, const char *path, const char *to,
    const struct scan_rules *rules, const char *token, struct err *e);
void offer_release(struct offer *o);

/* The folder in the repository that a folder goes to, with its '/', or "": the
 * caller frees. */
char *offer_prefix(const char *to);

/* The file that goes to path; NULL if none does. */
struct offer_file *offer_find(const struct offer *o, const char *path);

/* Asks the Hub how each is to be sent. head gets the head of the revision at
 * the first answer, if the Hub tells. A file that cannot be read, or that the
 * Hub says nothing of, fails alone. */
int offer_ask(struct offer *o, const struct repo *r, const char *revision,
    bool new_pr, char head[41], struct progress *p, struct err *e);

/* Hashes what has to be, several files beside each other, and finds out what
 * does not differ; dry: only what may not differ, since nothing will be sent.
 * Looks for the token in what does differ and is no larger than
 * OFFER_TOKEN_MAX. Fails only when a signal came; a file that cannot be read,
 * or that holds the token, fails alone. */
#define OFFER_TOKEN_MAX ((uint64_t)10 << 20)
int offer_hash(struct offer *o, bool dry, struct journal *j, struct progress *p,
    struct err *e);

/* Hashes a file anew, whatever the journal says. */
int offer_hash_again(struct offer *o, struct offer_file *f, struct journal *j,
    struct progress *p, struct err *e);

/* Marks a file as failed for that reason; p (NULL: it has been) shows it. */
void offer_fail(
    struct offer_file *f, const struct err *why, struct progress *p);

#endif
