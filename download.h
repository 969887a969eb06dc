#ifndef HUB_DOWNLOAD_H
#define HUB_DOWNLOAD_H

/*
 * hub download: plan, run, report. The plan: one commit, its files, what is
 * wanted of them, what is here already, what is left of an earlier run, whether
 * there is room. The run: transfer.h. The report: text for standard output.
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
 * out gets what belongs on standard output: the path(s), or with --json one
 * object; also when it fails half-way, so that the caller learns which files
 * are done. The caller has set up signals (wait_signals) and answered the
 * prompts: repo_id and local_path (or output) are there.
 */
int download(const struct options *o, const struct config *c,
    struct output *out, struct err *e);

/* --- Which files are wanted. --- */

/*
 * Which files of a repository are to be fetched: those that the user names, a
 * folder's name being all that is below it, and of these what the patterns
 * keep. Pure.
 */

struct choice {
	const char **name; /* paths; with '/' at the end it is a folder */
	size_t n;          /* none: all files */
	bool *found;       /* which of them are there */
	bool single;       /* -f or -o: the only one is a file */
	struct glob_list include, exclude;
};

/* --- What is reported. --- */

/*
 * What a download into a folder tells: its plan as notes, and at the end one
 * JSON object, the list of a dry run, or the paths; and one sentence for all
 * that failed.
 */

struct download_report {
	const struct options *o;
	const struct session *s;
	const struct plan *plan;
	const char *commit;
	bool by_file;     /* paths: of the files, not of the folder */
	uint64_t started; /* ms */
};

#endif
