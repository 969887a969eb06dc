#ifndef HUB_SCAN_H
#define HUB_SCAN_H

/*
 * What is to be uploaded: one local file, or the files below a folder, in the
 * order of their paths. Symbolic links to files are followed, those to folders
 * are not (hub-protocol.md, 9.10). ".git" and ".cache/huggingface" are passed
 * over wherever they stand; what is neither file nor folder, too.
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
	char *path; /* below the folder, parts joined by '/' */
	uint64_t size, inode;
	int64_t mtime_s;
	long mtime_ns;
	bool link; /* it is a symbolic link to the file */
};

struct scan {
	struct scan_file *file;
	size_t n, cap;
	uint64_t size;  /* of all */
	size_t skipped; /* sockets, devices, broken links */
};

/*
 * Lists the files of f that the patterns keep. Refused (ERR_USAGE), with the
 * path in the sentence: names that are not UTF-8 or have control characters, a
 * part ".git" or ".cache" (beyond what is passed over anyway), a path, a folder
 * or a file that is more than the Hub takes.
 */
int scan_folder(const struct folder *f, const struct glob_list *include,
    const struct glob_list *exclude, struct scan *out, struct err *e);

/* The same of one path, as it is to be in the repository: what the Hub would
 * refuse in the middle is refused at the start. */
int scan_path_check(const char *path, struct err *e);

/* The one file name in f; refused as above. */
int scan_one(
    const struct folder *f, const char *name, struct scan *out, struct err *e);

void scan_release(struct scan *s);

/* Opens a file that was listed, to read it: returns a descriptor. ERR_CONTENT
 * if it is not the one that was seen, ERR_FILE if it cannot be opened. */
int scan_open(const struct folder *f, const struct scan_file *s, struct err *e);

/* 0 if the file that is open is still as it was seen, else ERR_CONTENT. */
int scan_unchanged(int fd, const struct scan_file *s, struct err *e);

#endif
