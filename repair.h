#ifndef HUB_REPAIR_H
#define HUB_REPAIR_H

/*
 * A file that has its name and may be broken, while a partial file (partial.h)
 * repairs it. It is open for reading only and keeps its name until something
 * has to be written to it: then it becomes HASH.part by a rename, and gets its
 * name back if the repair is given up.
 *
 * The checksums of its blocks are those in HASH.blocks, which is the state file
 * (state.h) of the time when it was published. They are notes: a wrong one
 * costs the bytes of its block. There is no checksum over all of them, since
 * then one wrong bit would cost the whole file.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "file.h"
#include "hash.h"

struct err;

struct repair {
	const struct folder *f; /* borrowed */
	char *at;               /* its name; NULL: nothing is repaired */
	struct stamp seen;      /* when it was opened */
	mode_t mode;            /* its mode then: it has it again at the end */
};

/* Opens the file and fills *st. -1 with the reason in *why if it cannot be
 * repaired in place: it cannot be opened, others can write to it, or it has
 * more than size bytes. repair_release() in any case. */
int repair_open(struct repair *r, const struct folder *f, const char *at,
    const struct maker *m, uint64_t size, struct stat *st, const char **why);
void repair_release(struct repair *r);

/* Fails if the file that is open as fd has changed since. */
int repair_unchanged(const struct repair *r, int fd, struct err *e);

/* Renames it to name, which must be free, and makes fd writable. What another
 * program put in its place meanwhile keeps the name: ERR_CONTENT. 1 if the file
 * has a second link, under which a change would show: then nothing is done, and
 * a copy must be made. */
int repair_take(struct repair *r, int fd, const char *name, struct err *e);

/* Takes that back; -1 if another program has made a file of its name. */
int repair_give_back(const struct repair *r, int fd, const char *name);

/* Opens the checksums of a content's blocks. -1 if there are none, if they are
 * not one for each block, or if another user may have written them. */
int repair_blocks(const struct folder *f, const char *prefix,
    const struct digest *want, uint64_t size, const struct maker *m);
bool repair_has_blocks(const struct folder *f, const char *prefix,
    const struct digest *want, uint64_t size, const struct maker *m);

#endif
