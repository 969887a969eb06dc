#ifndef HUB_DOWNLOAD_H
#define HUB_DOWNLOAD_H

/*
 * hub download: plan, run, report. The plan: one commit, its files, what is
 * wanted of them, what is here already, what is left of an earlier run, whether
 * there is room. The run: transfer.h. The report: text for standard output.
 */

#include "config.h"
#include "option.h"

struct err;
struct output;

/*
 * out gets what belongs on standard output: the path(s), or with --json one
 * object; also when it fails half-way, so that the caller learns which files
 * are done. The caller has set up signals (wait_signals) and answered the
 * prompts: repo_id and local_path (or output) are there.
 */
int download(const struct options *o, const struct config *c,
    struct output *out, struct err *e);

#endif
