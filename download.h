#ifndef HUB_DOWNLOAD_H
#define HUB_DOWNLOAD_H

/*
 * hub download: plan, run, report. The plan: one commit, its files, which of
 * them are wanted, complete or left by an earlier run, and whether there is
 * room. The run: transfer.h. The report: text for standard output.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "option.h"
#include "path.h"

struct err;
struct output;
struct plan;
struct session;

/* --- The command. --- */

/*
 * out gets the text for standard output: the path(s), or with --json one
 * object; also if it fails half-way, to report which files are done. The caller
 * has set up signals (wait_signals) and answered the prompts: repo_id and
 * local_path (or output, or cache) are there.
 */
int download(const struct options *o, const struct config *c,
    struct output *out, struct err *e);

/* --- Which files are wanted. --- */

/*
 * Chooses the files of a repository to download: the named files, everything
 * below named folders, filtered by the patterns. Pure.
 */

struct choice {
	const char **name; /* paths; a '/' at the end means a folder */
	size_t n;          /* none: all files */
	bool *found;       /* for each name, whether it was found */
	bool single;       /* -f or -o: the only name is a file */
	struct glob_list include, exclude;
};

/* --- What is reported. --- */

/*
 * Reports a download into a folder: its plan as notes, and at the end one JSON
 * object, the list of a dry run, or the paths; and one sentence for all
 * failures.
 */

struct download_report {
	const struct options *o;
	const struct session *s;
	const struct plan *plan;
	const char *commit;
	const char *path; /* of the folder, or of the snapshot in the cache */
	bool cached;      /* it is a snapshot: what was there is not hashed */
	bool by_file;     /* report the paths of the files, not of the folder */
	uint64_t started; /* ms */
};

#endif
