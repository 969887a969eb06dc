#ifndef HUB_CHANGES_H
#define HUB_CHANGES_H

/*
 * Finds the local files of an upload, and which of them differ from the
 * repository.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "file.h"
#include "hash.h"
#include "path.h"

struct err;
struct journal;
struct progress;
struct repo;

/* --- The local files. --- */

/*
 * What is to be uploaded: one local file, or the files below a folder, in the
 * order of their paths. Symbolic links to files are followed, those to folders
 * are not, as in the official client. ".git" and ".cache/huggingface" are
 * skipped in every folder.
 */

/* Limits of the Hub. */
#define SCAN_FOLDER_MAX 10000
#define SCAN_PATH_MAX 1000
#define SCAN_FILE_MAX ((uint64_t)500 * 1000 * 1000 * 1000)

struct scan_file {
	char *path;              /* below the folder, parts joined by '/' */
	struct stamp stamp;      /* all zero if it cannot be sent */
	bool link;               /* it is a symbolic link to the file */
	struct failure *failure; /* why it cannot be sent; or NULL */
};

/* Entries that are skipped without a failure. */
enum scan_kind {
	SCAN_TO_FOLDER, /* symbolic links to folders */
	SCAN_SPECIAL,   /* pipes, sockets and devices */
	SCAN_DOTENV,    /* ".env" and ".env.*" that were not named */
	SCAN_TOKEN,     /* the files that hold tokens of this run */
	SCAN_KINDS
};

struct scan_passed {
	char *path;
	enum scan_kind kind;
};

struct scan {
	struct scan_file *file;
	size_t n, cap;
	uint64_t size; /* of all */
	struct scan_passed *passed;
	size_t passed_n;
	/* Links that lead out of the folder, and the first of them in the order
	 * of the folders; NULL if there is none. */
	size_t outside;
	char *outside_first;
};

struct scan_rules {
	struct glob_list include, exclude;
	/* Paths of files that are never sent, under any name or link; they may
	 * be missing. */
	const char *const *secret;
	size_t secret_n;
};

/*
 * Lists the files of f that the patterns keep. A broken link, and a link of
 * another user (not this user, root or the owner of f), is a file that cannot
 * be sent. ".env" and ".env.*" are sent if a pattern of include names them,
 * without a wildcard in its last part.
 *
 * Refused (ERR_USAGE), with the path in the sentence: names that are not UTF-8
 * or have control characters, a part ".git" or ".cache" (beyond those that are
 * skipped), a path, a folder or a file above the limits of the Hub.
 */
int scan_folder(const struct folder *f, const struct scan_rules *rules,
    struct scan *out, struct err *e);

/* Lists the single file name in f; refused as above, and if it is never sent.
 * Patterns are ignored. */
int scan_one(const struct folder *f, const char *name,
    const struct scan_rules *rules, struct scan *out, struct err *e);

void scan_release(struct scan *s);

/* Opens a file that was listed, to read it: returns a descriptor. ERR_CONTENT
 * if it has changed since it was listed, ERR_FILE if it cannot be opened; the
 * sentences do not name it. */
int scan_open(const struct folder *f, const struct scan_file *s, struct err *e);

/* 0 if the file has not changed since it was listed, and fd (-1: not open) is
 * that file; else ERR_CONTENT. */
int scan_unchanged(
    const struct folder *f, int fd, const struct scan_file *s, struct err *e);

/* --- Which of them differ. --- */

/*
 * The files of an upload: their local state, their paths in the repository, how
 * the Hub wants each sent, and whether it differs from the Hub's.
 */

enum offer_fate {
	OFFER_SEND,    /* to be sent and committed */
	OFFER_SAME,    /* the Hub has it, at that path */
	OFFER_IGNORED, /* the repository's .gitignore leaves it out */
	OFFER_COMMITTED,
	OFFER_FAILED, /* failure says why */
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
	bool remembered; /* the hash was taken in an earlier run */
	bool unsettled;  /* a change since then may not show in its times */
	struct digest digest; /* hashed: SHA-256 for LFS, else git id */
	enum offer_fate fate;
	struct failure *failure; /* OFFER_FAILED */
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
 * Lists the file or the folder at path, for upload below to; a single file goes
 * to the path to itself, unless that ends with '/'. No file may contain token
 * (borrowed, or NULL). ERR_USAGE if it cannot be uploaded, ERR_FILE if it
 * cannot be read; release o in every case.
 */
int offer_open(struct offer *o, const char *path, const char *to,
    const struct scan_rules *rules, const char *token, struct err *e);
void offer_release(struct offer *o);

/* The target folder in the repository of a folder, with its '/', or "". The
 * caller frees. */
char *offer_prefix(const char *to);

/* The file that goes to path; NULL if none does. */
struct offer_file *offer_find(const struct offer *o, const char *path);

/* Asks the Hub how to send each file. head gets the head of the revision from
 * the first answer, if that has it. A file that cannot be read, or that is
 * missing in the answer, fails alone. */
int offer_ask(struct offer *o, const struct repo *r, const char *revision,
    bool new_pr, char head[41], struct progress *p, struct err *e);

/* Hashes files, several in parallel, and marks those that do not differ; dry:
 * hashes only files that may be unchanged, since nothing will be sent. Searches
 * files that differ, up to OFFER_TOKEN_MAX bytes, for the token. Fails only
 * after a signal; a file that cannot be read, or that contains the token, fails
 * alone. */
#define OFFER_TOKEN_MAX ((uint64_t)10 << 20)
int offer_hash(struct offer *o, bool dry, struct journal *j, struct progress *p,
    struct err *e);

/* Hashes a file again, without the journal. */
int offer_hash_again(struct offer *o, struct offer_file *f, struct journal *j,
    struct progress *p, struct err *e);

/* Marks a file as failed with that error; p shows it (NULL: already shown). */
void offer_fail(
    struct offer_file *f, const struct err *why, struct progress *p);

#endif
