#ifndef HUB_SITE_H
#define HUB_SITE_H

/*
 * What `hub serve` offers: the files of folders that were downloaded, and of the
 * shared cache, by repository, commit and path.
 *
 * Only a file whose hash is the recorded one is offered: by our own stamp in its
 * metadata, or since its bytes were hashed; and only as long as its stamp stays
 * the same.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache.h"
#include "file.h"
#include "hash.h"
#include "str.h"

struct err;

/* Where files are. */
struct site_root {
	struct folder folder;
	char *repo; /* "models/org/name" (repoid_put_path); NULL: as its
		     * metadata says */
	bool cache; /* a shared cache: all its repositories, repo is NULL */
};

struct site_setup {
	const struct site_root *root;
	size_t n;
	/* Reports a repository or a file that is left out, and why. */
	void (*note)(void *ctx, const struct err *why);
	void *ctx;
};

/* --- What there is. --- */

enum site_proof {
	SITE_UNPROVED, /* to be hashed */
	SITE_RIGHT,
	SITE_WRONG,  /* another content, until the stamp is another one */
	SITE_UNREAD, /* not there, or not readable: the same, or until the
		       * next look */
};

/* Bytes on the disk. The lock of the site guards proof, changes, stamp and
 * seen. */
struct site_content {
	char *at;  /* path below the root; of a blob of a cache, its name */
	bool blob; /* of a cache */
	bool used; /* a snapshot has it */
	enum site_proof proof;
	unsigned changes; /* how often it had changed when it was to be
			   * hashed */
	struct digest digest;
	struct stamp stamp; /* the file that the proof is about, or that is to
			     * be hashed; all zero: not known */
	uint64_t seen;      /* wait_now() when it was first seen with it */
	char commit[41];    /* of its metadata; "" in a cache */
};

struct site_entry {
	char *path; /* in the repository; owned, unless it is content->at */
	struct site_content *content;
};

/* In the order of the paths. */
struct site_snapshot {
	char commit[41];
	struct site_entry *entry;
	size_t n, cap;
};

struct site_ref {
	char *name;
	const struct site_snapshot *snapshot;
};

struct site_repo {
	char *key; /* "models/org/name" */
	const struct site_root *root;
	struct cache cache;
	struct site_content **content; /* in the order of at */
	size_t n, cap;
	struct site_snapshot *snapshot;
	size_t snapshots;
	struct site_ref *ref;
	size_t refs;
	/* The lock guards these, too. */
	size_t unproved;    /* contents to be hashed */
	size_t next;        /* where the search for one of them begins */
	uint64_t doubts;    /* times that a proved content had changed */
	atomic_bool wanted; /* a request waits for the unproved ones */
};

struct site;

/* Looks at all folders; reads no content. What old (NULL: none) had proved, and
 * is unchanged, needs no proof again. NULL: a folder has no record of a download
 * (ERR_ABSENT), or cannot be read; with old these are notes, and after a signal
 * ERR_STOPPED. The setup must outlive the site. */
struct site *site_look(
    const struct site_setup *setup, struct site *old, struct err *e);

/* Takes over what old has proved; both have the same setup, and s is the newer
 * one. */
void site_inherit(struct site *s, struct site *old);

/* A reference, which site_release() gives back. Any thread. */
struct site *site_keep(struct site *s);
void site_release(struct site *s); /* takes NULL */

struct site_count {
	size_t repos, files; /* files: those that are offered */
	size_t wrong;        /* files left out, or not readable */
	size_t unproved;     /* files to be hashed */
	uint64_t bytes;      /* of the offered files */
};
struct site_count site_count(struct site *s);

/* Hashes the next file that is neither proved nor left out, first of the
 * repositories that requests wait for; one that has just changed is left for a
 * later call. A file with another content, or that cannot be read, is noted and
 * left out until its stamp changes; one that cannot be read also until the next
 * look. 1: call again; 0: there is none; -1: stopped by a signal. One thread at a
 * time may call it; others answer meanwhile. */
int site_prove(struct site *s, struct err *e);

/* --- For answers. --- */

/* While the lock is held, no proof changes. Do no I/O meanwhile. */
void site_lock(struct site *s);
void site_unlock(struct site *s);

/* In the order of the keys. */
const struct site_repo *site_repos(const struct site *s, size_t *n);

/* By its key, in any case of letters; NULL: there is none. */
struct site_repo *site_find(const struct site *s, const char *key);
const struct site_snapshot *site_snapshot(
    const struct site_repo *r, struct str commit);

/* Under the lock. True if files of the snapshot are not proved yet: do not list
 * it, since a list without them would look whole. They are hashed first then. */
bool site_is_unproved(struct site_repo *r, const struct site_snapshot *s);

enum site_opened {
	SITE_OPENED,
	SITE_ABSENT, /* it is left out */
	SITE_LATER,  /* it has to be hashed first, or again */
	SITE_BUSY,   /* there are no descriptors for it */
};

/* Opens a content that is proved and unchanged, and returns its stamp; the caller
 * closes *fd. Else *fd is -1. Bytes that are read while the stamp of *fd differs
 * are not proved. */
enum site_opened site_open(struct site *s, struct site_repo *r,
    struct site_content *c, int *fd, struct stamp *stamp);

#endif
