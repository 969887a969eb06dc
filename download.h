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

/* By the options; path is what the repository's address names, or NULL, and
 * target the name of the local file, for -f. Borrows all strings. Fails with
 * ERR_USAGE; is to be released all the same. */
int choice_init(struct choice *c, const struct options *o, const char *path,
    const char *target, struct err *e);
void choice_release(struct choice *c);

/* Whether the names are so few, and of files by their looks, that each can be
 * asked for. */
bool choice_is_few_files(const struct choice *c);

/* Whether a file of the repository is wanted; notes that its name is there. */
bool choice_takes(struct choice *c, const char *path);

/* After all files were asked about: a name that the repository does not have,
 * or patterns that leave nothing (some: they left something), are the user's to
 * mend. ERR_ABSENT. */
int choice_check(
    const struct choice *c, bool some, const char *id, struct err *e);

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

/* What is here, left and refused. */
void download_report_plan(const struct download_report *r);

/* The end. rv and e are how the run ended; returns -1 with e also if it went
 * through, but files failed. */
int download_report_end(
    const struct download_report *r, int rv, struct output *out, struct err *e);

#endif
