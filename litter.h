#ifndef HUB_LITTER_H
#define HUB_LITTER_H

/*
 * What runs that were killed left beside the partial files (partial.h), and
 * nobody can continue: private partials, drafts of states, and states whose
 * file was published by a run that was killed then.
 */

struct folder;

/*
 * Removes it below prefix in the folder, if it is older than an hour and its
 * lock is free, or, on a network file system, where locks do not tell, older
 * than a week; and, on a local one, states without a file that nobody holds.
 * What it does not know stays, HASH.part always does. Once a run; never fails.
 */
void litter_clean(const struct folder *f, const char *prefix);

#endif
