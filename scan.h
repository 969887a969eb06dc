#ifndef HUB_SCAN_H
#define HUB_SCAN_H

/*
 * What is to be uploaded: one local file, or the files below a folder, in the
 * order of their paths. Symbolic links to files are followed, those to folders
 * are not (hub-protocol.md, 9.10). ".git" and ".cache/huggingface" are passed
 * over wherever they stand.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "file.h"
#include "glob.h"

struct err;

/* What the Hub takes (hub-protocol.md, 11.2 and 9.8). */
#define SCAN_FOLDER_MAX 10000
#define SCAN_PATH_MAX 1000
#define SCAN_FILE_MAX ((uint64_t)500 * 1000 * 1000 * 1000)

struct scan_file {
	char *path;         /* below the folder, parts joined by '/' */
	struct stamp stamp; /* all zero if it cannot be sent */
	bool link;          /* it is a symbolic link to the file */
	char *why;          /* it cannot be sent for that reason; or NULL */
};

/* What stands there and is not sent, and no failure. */
enum scan_kind {
	SCAN_TO_FOLDER, /* symbolic links to folders */
	SCAN_SPECIAL,   /* pipes, sockets and devices */
	SCAN_DOTENV,    /* ".env" and ".env.*", which nobody named */
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
	/* Paths of files that are never sent, by whatever name they are found;
	 * one that is not there is fine. */
	const char *const *secret;
	size_t secret_n;
};

/*
 * Lists the files of f that the patterns keep. A link that leads nowhere, and
 * one that somebody else made (neither this user, nor root, nor the owner of
 * f), is a file that cannot be sent. ".env" and ".env.*" are sent if a pattern
 * of include names them, without a wildcard in its last part.
 *
 * Refused (ERR_USAGE), with the path in the sentence: names that are not UTF-8
 * or have control characters, a part ".git" or ".cache" (beyond what is passed
 * over anyway), a path, a folder or a file that is more than the Hub takes.
 */
int scan_folder(const struct folder *f, const struct scan_rules *rules,
    struct scan *out, struct err *e);

/* The same of one path, as it is to be in the repository: what the Hub would
 * refuse in the middle is refused at the start. */
int scan_path_check(const char *path, struct err *e);

/* The one file name in f; refused as above, and if it is never sent. The
 * patterns do not count. */
int scan_one(const struct folder *f, const char *name,
    const struct scan_rules *rules, struct scan *out, struct err *e);

void scan_release(struct scan *s);

/* Opens a file that was listed, to read it: returns a descriptor. ERR_CONTENT
 * if it is not the one that was seen, ERR_FILE if it cannot be opened; the
 * sentences do not name it. */
int scan_open(const struct folder *f, const struct scan_file *s, struct err *e);

/* 0 if the file is still as it was seen, under its name, and fd (-1: none is
 * open) is that file; else ERR_CONTENT. */
int scan_unchanged(
    const struct folder *f, int fd, const struct scan_file *s, struct err *e);

#endif
