#ifndef HUB_CACHE_H
#define HUB_CACHE_H

/*
 * The layout of the shared Hugging Face cache, as the official client has it:
 * which names a repository's contents, revisions and listings have there. It
 * moves no bytes.
 *
 *	CACHEDIR.TAG
 *	.locks/models--ORG--NAME/HASH.lock
 *	blobs/XX/XETHASH                    contents of several repositories
 *	models--ORG--NAME/
 *		blobs/HASH                  the content; or a link to the above
 *		snapshots/COMMIT/PATH       a link to it, or the content
 *		refs/REVISION               the commit
 *		trees/COMMIT.json           the listing
 *		.no_exist/COMMIT/PATH       there is no such file
 *
 * Other programs read and write there at the same time, and other users may.
 * So a link counts only if it is the one that belongs there, a name is checked
 * before it is used, and nothing is written through a link. The same refs and
 * trees lie in the ".cache/huggingface" of a folder.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"
#include "file.h"
#include "hash.h"
#include "str.h"

struct err;

/* How the files of a snapshot get their content. */
enum cache_links {
	CACHE_SYMLINKS,
	CACHE_HARD_LINKS, /* the file system, or the user, wants no others */
	CACHE_NO_LINKS,   /* the content itself lies in the snapshot */
};

struct cache {
	const struct folder *root; /* borrowed */
	char *name;                /* of the repository: "models--ORG--NAME" */
	char *base;                /* below root, with a '/' at its end */
	char *refs;                /* the same, for the revisions */
	char *repo; /* of a folder: "models/ORG/NAME"; of a cache NULL */
	char commit[41];
	enum cache_links links;
	struct folder blobs; /* fd -1: not there, or not looked for yet */
	struct folder part;  /* the one of the snapshot that was looked into
			      * last; the same */
};

/* The cache's folder of a repository in root. Nothing is opened yet. */
void cache_init(struct cache *c, const struct folder *root, enum repo_type type,
    const char *id);

/* The same by the name of its folder, "models--ORG--NAME". */
void cache_init_named(
    struct cache *c, const struct folder *root, struct str name);

/* Only the refs and trees of the folder root. Its files may come from several
 * repositories: each has refs of its own. */
void cache_init_folder(struct cache *c, const struct folder *root,
    enum repo_type type, const char *id);
void cache_release(struct cache *c);

/* Paths below the root; the caller frees. */
char *cache_blob(const struct cache *c, const struct digest *d);
char *cache_entry(const struct cache *c, const char *path);

/* Marks a folder as a cache, if no mark is there. */
int cache_tag(const struct folder *f, const char *path, struct err *e);

/* --- Revisions and listings. --- */

/* The commit of a revision. 0; 1: it is not there; -1: what is there is no
 * commit (ERR_CONTENT), or cannot be read. */
int cache_ref(const struct cache *c, const char *revision, char commit[41],
    struct err *e);

/* Notes the commit, unless it is noted already. */
int cache_set_ref(const struct cache *c, const char *revision, struct err *e);

/*
 * The listing of the commit: calls each() for each file as it reads them, so
 * that each() may be called before a broken end is noticed. 0; 1: there is none;
 * -1: it is broken (ERR_CONTENT), of a version that we do not know (ERR_OTHER),
 * cannot be read, or each() failed. owner: only a file of that owner that nobody
 * else can write to; NULL: any.
 *
 * A listing of a folder that names another repository is none. One that names
 * none, as the official client's, counts for any: the commit, which is a hash
 * over all contents, says what the files are, in whatever repository it is.
 */
int cache_tree(const struct cache *c, struct maker *owner,
    int (*each)(void *ctx, const struct repo_file *f, struct err *e), void *ctx,
    struct err *e);

/* A listing that is being written, in pieces. */
struct tree_writer {
	const struct cache *c;
	int fd; /* -1: not written, or given up */
	char *temp;
	struct buf text;
	bool some; /* a file is in it */
};

/* Failures of these only mean that there is no listing: the next run asks the
 * Hub for it. Replaces an existing one, but none of a version that we do not
 * know, nor, if owner is given, one that cache_tree() takes. */
void tree_begin(
    struct tree_writer *w, const struct cache *c, struct maker *owner);
void tree_add(struct tree_writer *w, const struct repo_file *f);
void tree_end(struct tree_writer *w, bool good);

/* Whether path is known not to be in the commit; and notes that. */
bool cache_is_absent(const struct cache *c, const char *path);
void cache_set_absent(const struct cache *c, const char *path);

/* --- Contents. --- */

enum cache_found {
	CACHE_ERROR = -1, /* something is in the way: ERR_FILE */
	CACHE_MISSING,
	CACHE_BLOB,  /* the content is there, under its name, of that size */
	CACHE_HIT,   /* and the snapshot has it, by a link of either kind */
	CACHE_PLAIN, /* the snapshot has a file of that size, which is no link to
		      * the content: nothing says that it is that content */
};

/* Looks for a file by names and size; reads no content. *there: something has
 * its place in the snapshot. */
enum cache_found cache_look(struct cache *c, const char *path,
    const struct digest *d, uint64_t size, bool *there, struct err *e);

/* The same for a content alone; for any thread. */
enum cache_found cache_look_blob(
    const struct cache *c, const struct digest *d, uint64_t size);

/* A file of the snapshot, without a listing: hash and size as the cache has
 * them, the path borrowed. 1: it is not there, or no link to a blob. */
int cache_find(struct cache *c, const char *path, struct repo_file *out);

/* Opens a content that is there, for reading. */
int cache_open_blob(
    const struct cache *c, const struct digest *d, struct err *e);

enum cache_put {
	CACHE_FAILED = -1,
	CACHE_DONE,
	CACHE_TAKEN,    /* nothing was done: its place in the snapshot, where
			 * nothing was, has something else now */
	CACHE_UNLINKED, /* the content is published, its place in the snapshot
			 * could not be given to it: e says why */
	CACHE_LINKLESS, /* nothing was done: the file system has no links;
			 * c->links says so from then on */
};

/* Gives a content that is there its place in the snapshot; there: what is there
 * may be replaced. Not CACHE_UNLINKED. One caller at a time. */
enum cache_put cache_link(struct cache *c, const char *path,
    const struct digest *d, bool there, struct err *e);

/* Publishes a verified file, from, which is below the root, as the content and
 * in the snapshot. Not CACHE_LINKLESS. One caller at a time. */
enum cache_put cache_publish(struct cache *c, const char *from,
    const char *path, const struct digest *d, bool there, struct err *e);

/* The lock that the official client holds while it fetches a content, so that
 * it is not fetched twice. A descriptor to be closed; -1: another process holds
 * it; -2: there can be none here. */
int cache_lock(const struct cache *c, const struct digest *d);

/* The number of bytes that another process has of a content so far. */
uint64_t cache_incomplete(const struct cache *c, const struct digest *d);

#endif
