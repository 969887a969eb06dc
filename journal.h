#ifndef HUB_JOURNAL_H
#define HUB_JOURNAL_H

/*
 * Saves the state of an upload between runs, so that the same command continues
 * after kill -9: hashes of local files, and multipart uploads under way. It
 * avoids hashing or sending twice, but never decides what the Hub has: each run
 * asks the Hub.
 *
 * There are four kinds of files in one folder:
 *
 *	journal      hashes of local files, each a line
 *	KEY.parts    a multipart upload: its addresses, its parts that arrived
 *	KEY.xorbs    an upload by Xet: records of the xorbs that are stored
 *	KEY.chunks   records of xorbs that the repository's storage has, for
 *	             the next version of their files
 *
 * The folder is ".cache/huggingface/upload" below the source or, if that cannot
 * be written, the user's state folder (there "upload-KEY" has the hashes of the
 * source with that path), or none.
 *
 * Each line and each file may be lost or damaged: then something is hashed or
 * sent again. So nothing here fails, waits, locks or syncs. A line is appended
 * with one write, so that a kill tears only the last one. Lines that are of no
 * use are dropped when a journal is opened: it is replaced by a rename. Two
 * runs at once append to the same files; what one appends to a file that the
 * other has replaced is lost.
 *
 * Files of other users, links and pipes are not read. A file of this user may
 * still have come with a copied or unpacked folder. Its hashes match no
 * file, since inode and ctime differ after a copy. Its
 * addresses are compared with those of the Hub before they are used (lfs.c).
 * They are signed, so the files have mode 0600. There is never a token in them.
 *
 * Safe from any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "str.h"

struct err;
struct folder;
struct journal;
struct multipart;
struct stamp;

struct journal_opts {
	const struct folder *source; /* borrowed for the call */
	const char *state;           /* "$XDG_STATE_HOME/hub"; NULL: none */
	/* Identify the storage: endpoint, type and name of the repository. */
	const char *endpoint, *type, *id;
};

/* Never NULL. Removes state files that have not changed for a week; those of
 * chunks, for 90 days. */
struct journal *journal_open(const struct journal_opts *o);
/* NULL is fine. */
void journal_close(struct journal *j);

/* Why nothing is saved, for -v; NULL if it is. */
const char *journal_why(const struct journal *j);

/* The folder that the files are in; NULL if nothing is saved. */
const struct folder *journal_folder(const struct journal *j);

/* Finds the hash of that kind of the file at path below the source. False if
 * none was saved before journal_open(), or if the file has changed since. */
bool journal_hash(const struct journal *j, const char *path,
    const struct stamp *stamp, enum hash_kind kind, struct digest *out);

/* stamp: from before the file was hashed. A file that changed just now is not
 * saved, since it may change again without a new time: false. */
bool journal_put_hash(struct journal *j, const char *path,
    const struct stamp *stamp, const struct digest *d);

/* Removes a SHA-256 that turned out to be wrong. */
void journal_forget_hash(struct journal *j, const char *path);

/* The functions below do nothing if j is NULL. */

/* Reads the upload of that content into *out, which the caller releases. False
 * if there is none, or if its addresses expire within a minute. out->verify is
 * never set. */
bool journal_get_multipart(const struct journal *j, const struct digest *d,
    uint64_t size, struct multipart *out);

/* Saves a new upload with the parts that have arrived, in place of an earlier
 * one of the same content. A single PUT is not saved. */
void journal_put_multipart(
    struct journal *j, const struct digest *d, const struct multipart *m);

/* Saves that part i (from 0) of m has arrived, with that ETag. */
void journal_put_part(struct journal *j, const struct digest *d,
    const struct multipart *m, size_t i, const char *etag);

/* Removes an upload that is complete or lost. */
void journal_drop_multipart(struct journal *j, const struct digest *d);

/* Records of xorbs (chunk.h) in a file, in pieces. */
struct journal_pieces {
	int fd; /* -1: none */
	uint64_t at, end;
};

/* Opens those of the xorbs of that content that were saved until now. */
void journal_xorbs(const struct journal *j, const struct digest *d,
    struct journal_pieces *out);
void journal_pieces_close(struct journal_pieces *p);

/* Adds the next piece to b. False if none is left for which b has room. */
bool journal_next(struct journal_pieces *p, struct buf *b);

/* Saves the records of a xorb of that content that is stored. The limit of a
 * piece is JOURNAL_XORB_MAX bytes. */
#define JOURNAL_XORB_MAX ((size_t)1 << 19)
void journal_put_xorb(
    struct journal *j, const struct digest *d, struct str records);

/* Removes them: the content is stored, or they turned out to be lost. */
void journal_drop_xorbs(struct journal *j, const struct digest *d);

/* Saves records of xorbs (chunk.h) that are stored: the chunks of 8 GiB; if
 * there are more, the earlier ones are dropped. */
#define JOURNAL_CHUNKS_MAX ((size_t)6 << 20)
void journal_put_chunks(struct journal *j, struct str records);

/* Opens all that were saved until now. */
void journal_chunks(const struct journal *j, struct journal_pieces *out);

/* Removes them: they turned out to be wrong. */
void journal_drop_chunks(struct journal *j);

#endif
