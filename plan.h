#ifndef HUB_PLAN_H
#define HUB_PLAN_H

/*
 * Plans a download: the wanted files, their target paths, and which are
 * complete already.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "file.h"
#include "hash.h"
#include "path.h"
#include "repo.h"

struct cache;
struct err;
struct progress;

/* --- The plan. --- */

enum plan_state {
	PLAN_FETCH,  /* to be transferred */
	PLAN_KEPT,   /* in place, unchanged since it was verified; in a cache:
		      * by its names and size */
	PLAN_PROVED, /* in place, verified now */
	PLAN_COPY,   /* same content as another one that is fetched */
	PLAN_LINK,   /* its content is in the cache, not in the snapshot */
	PLAN_DONE,   /* fetched or copied, verified and in place */
	PLAN_FAILED, /* refused or given up; failure says why */
};

/* Small: there may be a hundred thousand of them. */
struct plan_file {
	struct repo_file file;
	union {
		struct plan_file *same;  /* PLAN_COPY: the one to copy */
		struct failure *failure; /* PLAN_FAILED */
	};
	enum plan_state state;
	bool separate; /* fetched into a copy that no later run continues */
	bool there;    /* its name existed at plan_look() */
	bool has_xet;  /* for plan_xet() */
	bool plain;    /* PLAN_KEPT in a cache: by its path and size alone */
};

struct plan_names;

/* In the order of the paths. */
struct plan {
	struct plan_file *file;
	size_t n, cap;
	struct plan_names *names; /* where the paths are */
	const char *target; /* of the only file; NULL: each goes to its path */
	uint64_t here, fetch, left, copy; /* bytes: in place, to be transferred
					   * (left included), left by earlier
					   * runs, to be copied */
	size_t to_fetch, to_copy, to_link, left_files; /* files; in a cache
							* all copies are
							* links */
	size_t new_files; /* of those to be fetched or copied, not there yet */
};

/* Adds a file of the listing; its path, at most REPO_PATH_MAX bytes, is
 * copied. */
void plan_add(struct plan *p, const struct repo_file *f);

/* Its Xet hash, 64 hex digits, by which it can be fetched from the Xet storage;
 * NULL: none, or it is no larger than XET_SMALL. */
const char *plan_xet(const struct plan_file *f);

/* True if it was in place before the run. */
bool plan_was_here(const struct plan_file *f);

/* The path below the folder that a file goes to. */
const char *plan_target(const struct plan *p, const struct plan_file *f);

/* Marks a file as failed for that reason. Any thread may do so for a file that
 * is its own. */
void plan_fail(struct plan_file *f, const struct err *why);

/* Sorts, and refuses what may not be written: bad names (windows: also those
 * that path_check_windows() refuses), a path twice. */
void plan_check(struct plan *p, bool windows);

struct plan_how {
	const struct folder *folder;
	struct cache *cache; /* below the folder; NULL: the files go there */
	const char *prefix;  /* of the partial files, below the folder */
	const char *commit;
	const char *source; /* repoid_put_path() */
	bool layout;        /* the folder has the official client's metadata */
	bool note;          /* and files that are verified get their metadata */
	struct maker *maker; /* of files that we make there (folder_traits) */
	bool force;          /* fetch all, also what is in place */
	const char *offline; /* what would be fetched has failed: what to do
			      * about that; NULL: not offline */
	bool try_names;      /* some names may be refused: create each to see */
	struct progress *progress;
};

/*
 * Finds out which files are here already: by our stamp in the metadata if there
 * is one that fits, else by the hash of a file of the right size. Refuses files
 * that could not be put in place at the end: where a folder, a pipe, a socket
 * or a device is; where a parent is not a folder or not writable; where the
 * file system refuses the name; and where two names are one file. Then finds
 * what earlier runs have left, and which files have the same content. Fails
 * after a signal, and if a link or the like is where all bytes would have to go
 * through.
 */
int plan_look(struct plan *p, const struct plan_how *how, struct err *e);

/* Sorts the files by their paths. */
void plan_sort(struct plan *p);

/* The other file of the plan that would replace f, since the file system does
 * not distinguish the two names; NULL if there is none. In a cache (else NULL)
 * only one of another content: the same may have two names. */
const struct plan_file *plan_same_name(const struct plan *p,
    const struct plan_file *f, const struct folder *folder,
    const struct cache *cache);

/* Sets the error for that case, and returns -1. */
int plan_same_name_error(const struct plan_file *other, struct err *e);

/* 0 if there is room for all bytes and files, and the file system allows the
 * largest file; else ERR_FILE. */
int plan_room(
    const struct plan *p, const struct folder_traits *t, struct err *e);

void plan_release(struct plan *p);

/* --- The official client's metadata. --- */

/*
 * The official client's --local-dir layout, so that each tool accepts what the
 * other downloaded: a metadata file for each file, in
 * ".cache/huggingface/download/PATH.metadata".
 */

#define LOCALDIR_TOP ".cache/huggingface"
#define LOCALDIR_PREFIX LOCALDIR_TOP "/download"
#define LOCALDIR_SUFFIX ".metadata"

/*
 * The lines of a metadata file. Pure.
 *
 *	commit		of the revision that was downloaded
 *	hash		of the content
 *	seconds		Unix time of the download, with a fraction
 *	hub SIZE MTIME CTIME INODE
 *	repo models/ORG/NAME
 *
 * The last two are ours, and the official client ignores them: the stamp of the
 * file when its hash was verified, and where it came from. A line without its
 * '\n' is ignored.
 */
struct localdir_meta {
	char commit[41];
	struct digest digest;
	uint64_t seconds; /* without its fraction */
	bool stamped;
	struct stamp stamp; /* its device is 0 */
	char source[256];   /* for repoid_parse_path(); "": not noted */
	uid_t owner;        /* of the file, by localdir_read() */
};

/* Reads the metadata of path, whoever wrote it. 1 if there is none; -1 and
 * ERR_CONTENT if it is damaged, ERR_FILE if it cannot be read. */
int localdir_read(const struct folder *f, const char *path,
    struct localdir_meta *out, struct err *e);

/* Creates hub's own folder with its .gitignore and CACHEDIR.TAG, if they are
 * missing. */
int localdir_prepare(const struct folder *f, struct err *e);

/* Writes the metadata of path: its content, commit and source. st is by fstat()
 * of the verified file after its rename, which changes its ctime. It may fail where
 * path was published: a name may be too long with ".metadata" appended, or
 * conflict with the metadata of another file. */
int localdir_note(const struct folder *f, const char *path, const char *commit,
    const char *source, const struct digest *d, const struct stat *st,
    struct err *e);

#endif
