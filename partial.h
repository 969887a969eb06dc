#ifndef HUB_PARTIAL_H
#define HUB_PARTIAL_H

/*
 * An incomplete file: its bytes, and beside them a small state file for the
 * next run. Both lie in one folder on the file system of the target and are
 * named by the hash of the content, so a run for another revision with the same
 * content continues them.
 *
 *	HASH.part	the bytes, at their offsets
 *	HASH.state	for each block of PARTIAL_BLOCK bytes that is here a
 *			checksum, taken from memory when it was written
 *	HASH.blocks	the state of a file that was published: a later run can
 *			find the blocks that broke since (repair.h)
 *
 * The state only lists the blocks to check; it is not trusted. The next run
 * reads those blocks, compares each with its checksum and hashes them; a block
 * that differs (another program wrote there, the disk flipped a bit, the power
 * failed before the block was on the disk) is fetched again. So the state needs
 * neither inode nor boot id: a copied file and a file after a power cut are
 * checked like any other.
 *
 * Bytes and state are synced every few seconds, for the case of a power cut.
 * When a sync of the bytes fails, the kernel reports it only once, and the page
 * cache still shows bytes that the disk lacks. So all blocks written since the
 * last good sync of this run are dropped, for this run and later ones.
 *
 * The callers' ranges ensure that blocks are written only where no block is
 * present and no other range writes.
 *
 * One owner at a time: on a local file system flock() on the state decides, at
 * once. Where locks may hang or lie (folder_traits.network) it is never called:
 * see struct lease in state.h. A process that finds a live owner fetches a
 * private copy under a random name: wasteful, but never harmful. The same if
 * HASH.part or HASH.state is not a file that this process could have made
 * (another user's, a link, writable by others), since others could change it.
 *
 * Other users cannot write to partial files and states (by mode 0600 or the
 * umask); a published file gets its mode from the umask. A later run removes
 * files that cannot be continued, and HASH.part once its content is in place.
 *
 * Thread-safe: workers write ranges, one hasher reads back and checks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "file.h"
#include "hash.h"
#include "state.h"

struct err;

#define PARTIAL_BLOCK STATE_BLOCK
#define PARTIAL_BEAT 5000   /* ms: the lease is renewed */
#define PARTIAL_STALE 60000 /* ms: an older lease is of a dead process */
#define PARTIAL_SYNC 5000   /* ms between two syncs */

struct partial;

enum partial_found {
	PARTIAL_NEW,     /* nothing was there */
	PARTIAL_RESUMED, /* blocks of an earlier run will be checked */
	PARTIAL_DROPPED, /* blocks of an earlier run were discarded (!resume) */
	PARTIAL_PRIVATE, /* another process has it: a copy of our own */
	PARTIAL_FOREIGN, /* another user's file: a copy of our own */
};

/* Properties of a folder's file system, and times; determined once for a
 * folder, or set by a test. */
struct partial_setup {
	struct folder_traits traits;
	struct owner self;    /* this process; the nonce is not used */
	unsigned beat, stale; /* PARTIAL_BEAT, PARTIAL_STALE */
	unsigned sync;        /* ms between two syncs: PARTIAL_SYNC */
	bool keep;            /* after publishing, the state as HASH.blocks */
	bool shared; /* no copy of our own where another process has the file:
		      * ERR_FILE */
};

/* Fills *s with the properties of f and the default times; writes nothing. */
int partial_setup(
    const struct folder *f, struct partial_setup *s, struct err *e);

/* Call it before the first partial_open_on(): creates a file to find out which
 * owner and mode new files get, and how holes are stored (folder_probe). */
int partial_prepare(
    const struct folder *f, struct partial_setup *s, struct err *e);

/*
 * Opens or makes the partial for content of that digest and size in the folder
 * (below prefix, for instance ".cache/huggingface/download/", made if
 * missing). resume: use what an earlier run left, else discard it. found and
 * *had (bytes here at the start, or discarded) may be NULL.
 *
 * Files of at most PARTIAL_BLOCK bytes get no state file and a private random
 * name: fetching them again costs no more than promised.
 *
 * Fails early, with a hint, if the file system is too small for the file or
 * does not allow files of its size. On a network file system it may take
 * PARTIAL_STALE ms, to distinguish a dead owner on another machine from a slow
 * one. The folder must outlive the partial.
 */
struct partial *partial_open_on(const struct partial_setup *setup,
    const struct folder *f, const char *prefix, const struct digest *want,
    uint64_t size, bool resume, enum partial_found *found, uint64_t *had,
    struct err *e);

/*
 * The same for a file that has its name, at, and may be broken: it is treated as
 * a partial file of which all blocks are here (if it is shorter than size: those
 * it has), to be checked like those of an earlier run. NULL with *why set and
 * e->kind ERR_NONE if that is not possible: there are no checksums of its
 * blocks, others can write to the file, another process repairs it, or an
 * earlier run left a part of it (partial_left), which is to be continued.
 *
 * The file keeps its name until a byte is written that differs from its own: so
 * where only a checksum is wrong it is left alone. Then it is renamed to
 * HASH.part; if it has a second link, a copy is made, since a change would show
 * under the other name. When it is closed without being published, it has its
 * name again; a copy stays for the next run. It keeps its mode.
 */
struct partial *partial_adopt(const struct partial_setup *setup,
    const struct folder *f, const char *prefix, const struct digest *want,
    uint64_t size, const char *at, const char **why, struct err *e);

/* Bytes that an earlier run left for that content by its state file, without
 * opening it; 0 if none. For dry runs and plans. */
uint64_t partial_left(const struct folder *f, const char *prefix,
    const struct digest *want, uint64_t size);

uint64_t partial_size(const struct partial *p);
uint64_t partial_here(
    struct partial *p); /* bytes of the blocks that are here */

/* Whether the bytes should be written in order, since writing beyond the end is
 * expensive here (FAT fills the gap with zeros). */
bool partial_in_order(const struct partial *p);

/* The first missing range at or after from, at most limit bytes long (but at
 * least one block), cut at block boundaries; false if nothing is missing there.
 * from is rounded up to a block boundary. */
bool partial_missing(struct partial *p, uint64_t from, uint64_t limit,
    uint64_t *first, uint64_t *end);

/* Writes n bytes at offset, and stores the checksum of each block that they
 * complete. Write the bytes of one block in order, from one thread at a time.
 * *sum is the checksum of the block so far: 0 where a block begins, else what
 * the last write left there. */
int partial_write(struct partial *p, const void *bytes, size_t n,
    uint64_t offset, uint64_t *sum, struct err *e);

/* Writes n bytes at offset ahead of time: they count as missing until
 * partial_write() has written them, in order, too. */
int partial_write_ahead(struct partial *p, const void *bytes, size_t n,
    uint64_t offset, struct err *e);

/* True once if the last write made a copy of an adopted file: other bytes than
 * those that may have been hashed, so all of it is to be hashed again. */
bool partial_copied(struct partial *p);

/* True if an adopted file could not be renamed or copied: that fault of the file
 * system concerns no other file. */
bool partial_stuck(struct partial *p);

/* Reads back n bytes from offset on, which are here. */
int partial_read(
    struct partial *p, void *bytes, size_t n, uint64_t offset, struct err *e);

/* The end of the run of present blocks that offset lies in (offset itself if
 * its block is missing). */
uint64_t partial_run_end(struct partial *p, uint64_t offset);

/* All bytes before end are hashed: the page cache need not keep them. */
void partial_hashed(struct partial *p, uint64_t end);

enum partial_check {
	PARTIAL_GOOD,   /* equals its checksum, or has none */
	PARTIAL_ROTTEN, /* of an earlier run; now missing */
	PARTIAL_LOST,   /* of this run; now missing */
};

/* Compares the checksum of a block that was read back (hash_sum_final) with the
 * stored one; sum 0: it could not be read. A block that differs becomes
 * missing. */
enum partial_check partial_check(struct partial *p, size_t block, uint32_t sum);

/* Call it regularly, from one thread: renews the lease, and every few seconds
 * (or 256 MiB) syncs bytes and state. */
int partial_tend(struct partial *p, struct err *e);

/* Starts writing the page cache to the disk without waiting, so that
 * partial_finish() waits for less. */
void partial_start(struct partial *p);

/* All bytes are here and hash to what they should: syncs the bytes and gives
 * the name below the folder, for folder_publish(); the state is removed by
 * partial_close() with published true. */
int partial_finish(struct partial *p, const char **name, struct err *e);

/* The mode that it gets then, in place of that of the umask. */
void partial_set_mode(struct partial *p, mode_t mode);

/* fstat() of the bytes' file, also after it was renamed. */
int partial_stat(const struct partial *p, struct stat *st, struct err *e);

/* Call it when the content has the wrong hash: drops the blocks of earlier
 * runs, and returns their bytes. If there are none, drops all blocks, and
 * returns 0. */
uint64_t partial_forget(struct partial *p);

/* Drops the blocks of this run that begin in [first, end); returns their
 * bytes. */
uint64_t partial_forget_range(struct partial *p, uint64_t first, uint64_t end);

/* published: removes the state, or keeps it as HASH.blocks (keep). Else both
 * stay for the next run (a private or stateless one is removed), synced as far
 * as that goes quickly. Takes NULL. */
void partial_close(struct partial *p, bool published);

#endif
