#ifndef HUB_TRAITS_H
#define HUB_TRAITS_H

/* What the file system of a folder is like. */

#include <stdbool.h>
#include <stdint.h>

#include "file.h"

struct err;

struct folder_traits {
	uint64_t free; /* bytes that we may still write; UINT64_MAX: unknown */
	uint64_t free_files; /* files that may be made; UINT64_MAX: unknown */
	uint64_t max_file;   /* largest file; UINT64_MAX: no known limit */
	bool network; /* NFS, SMB, FUSE, Lustre, ...: locks may hang or lie */
	bool flash;  /* a card, a stick, or raw flash, as far as one can tell */
	bool sparse; /* holes cost nothing (not FAT, exFAT) */
	bool windows;       /* "\\" may divide a path, "C:" be a drive */
	bool picky;         /* may refuse names that POSIX allows */
	struct maker maker; /* what our files look like here; the modes only
			     * after partial_prepare() */
};

/* ERR_FILE if the folder itself cannot be looked at; what cannot be found out
 * is taken as not so. */
int folder_traits(
    const struct folder *f, struct folder_traits *t, struct err *e);

#endif
