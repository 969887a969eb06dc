#ifndef HUB_CHOICE_H
#define HUB_CHOICE_H

/*
 * Which files of a repository are to be fetched: those that the user names, a
 * folder's name being all that is below it, and of these what the patterns
 * keep. Pure.
 */

#include <stdbool.h>
#include <stddef.h>

#include "glob.h"

struct err;
struct options;

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

#endif
