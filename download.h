#ifndef HUB_DOWNLOAD_H
#define HUB_DOWNLOAD_H

/*
 * hub download: plan, run, report. The plan: the wanted files of one commit
 * (listing.h), which of them are complete or left by an earlier run, and whether
 * there is room. The run: transfer.h. The report: text for standard output.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "option.h"

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
