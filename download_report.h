#ifndef HUB_DOWNLOAD_REPORT_H
#define HUB_DOWNLOAD_REPORT_H

/*
 * What a download into a folder tells: its plan as notes, and at the end one
 * JSON object, the list of a dry run, or the paths; and one sentence for all
 * that failed.
 */

#include <stdbool.h>
#include <stdint.h>

struct err;
struct options;
struct output;
struct plan;
struct session;

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
