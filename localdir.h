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

#define LOCALDIR_TOP ".cache/huggingface"
#define LOCALDIR_PREFIX LOCALDIR_TOP "/download"

/*
 * The lines of a metadata file. Pure.
 *
 *	commit		of the revision that was downloaded
 *	hash		of the content
 *	seconds		Unix time of the download, with a fraction
 *	hub SIZE MTIME CTIME INODE
 *
 * The fourth is ours, and the official client's reader ignores it: the stamp
 * of the file when its content was known to have that hash. A line that is not
 * complete, up to its '\n', is none.
 */
struct localdir_meta {
	char commit[41];
	struct digest digest;
	uint64_t seconds; /* without its fraction */
	bool stamped;
	struct stamp stamp; /* its device is 0 */
};
int localdir_meta_parse(struct str text, struct localdir_meta *out);
void localdir_meta_format(
    struct buf *b, const struct localdir_meta *m, unsigned microseconds);

/* Makes the tool's own folder with its .gitignore and CACHEDIR.TAG, where they
 * are missing. */
int localdir_prepare(const struct folder *f, struct err *e);

/*
 * True if path, which is a file like st, is unchanged since its content was
 * found to have that hash: our own stamp in its metadata says so, the metadata
 * belongs to owner (folder_traits), and the times are fine enough to show each
 * change. The clock is not asked. Nothing is read but the metadata.
 */
bool localdir_has(const struct folder *f, const char *path,
    const struct stat *st, const struct digest *d, uid_t owner);

/* Notes that path has that content as of commit. st is by fstat() of the file
 * whose content was verified, after it got its name: a rename changes its
 * ctime. It may fail where path could be published: a name may be too long with
 * ".metadata" behind it, or stand in the way of another note. */
int localdir_note(const struct folder *f, const char *path, const char *commit,
    const struct digest *d, const struct stat *st, struct err *e);

#endif
