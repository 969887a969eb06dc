#ifndef HUB_UPLOAD_H
#define HUB_UPLOAD_H

/*
 * hub upload: a file or a folder to a repository. What the Hub has already is
 * not sent; large contents go to the storage by LFS, the rest in the commit;
 * huge folders become several commits. The same command again goes on where it
 * was (journal.h).
 */

#include "config.h"
#include "option.h"

struct err;
struct output;

/*
 * out gets the address of the commit or of the pull request, or with --json one
 * object. The caller has set up signals and answered the prompts: repo_id and
 * local_path are there.
 */
int upload(const struct options *o, const struct config *c, struct output *out,
    struct err *e);

#endif
