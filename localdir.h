#ifndef HUB_LOCALDIR_H
#define HUB_LOCALDIR_H

/*
 * The official client's --local-dir layout (hub-protocol.md, section 7), so
 * that each tool accepts what the other downloaded: a metadata file for each
 * file, in ".cache/huggingface/download/PATH.metadata".
 */

#include <stdbool.h>
#include <stdint.h>

#include "file.h"
#include "hash.h"

struct err;

#define LOCALDIR_OWN ".cache/huggingface"
#define LOCALDIR_PREFIX LOCALDIR_OWN "/download"

/* The three lines of a metadata file. Pure. */
struct localdir_meta {
	char commit[41];
	struct digest digest;
	uint64_t seconds; /* Unix time, without its fraction */
};
int localdir_meta_parse(struct str text, struct localdir_meta *out);
void localdir_meta_format(struct buf *b, const char *commit,
    const struct digest *d, uint64_t seconds, unsigned microseconds);

/* Makes the tool's own folder with its .gitignore and CACHEDIR.TAG, where they
 * are missing. */
int localdir_prepare(const struct folder *f, struct err *e);

/*
 * True if the metadata of path, which is a file like st and of the right size,
 * says that it has that content and was not touched since (its time of change
 * is at most one second after what the metadata says). Nothing is read but
 * three lines.
 */
bool localdir_has(const struct folder *f, const char *path,
    const struct stat *st, const struct digest *d);

/* Notes that path, just published, has that content as of commit. It may fail
 * where path could be published: a name may be too long with ".metadata" behind
 * it, or stand in the way of another note. */
int localdir_note(const struct folder *f, const char *path, const char *commit,
    const struct digest *d, struct err *e);

#endif
