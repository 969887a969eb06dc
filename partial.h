#ifndef HUB_PARTIAL_H
#define HUB_PARTIAL_H

/*
 * A file that is arriving: its bytes, and a small state file beside it that
 * says which of them are here, in a way that can be trusted after any death.
 *
 * Both stand in one folder on the file system of the target and are named by
 * the hash of the content, not by the commit or the address: a run for another
 * revision that has the same content continues them.
 *
 *	HASH.part	the bytes, at their offsets
 *	HASH.state	what is here
 *
 * The state has two views. The live one is written as blocks arrive: a bit for
 * each PARTIAL_BLOCK whose bytes were written, and the hash state at the
 * in-order frontier. It holds after kill -9, since the kernel keeps what was
 * written; it is believed only if the machine has not been started anew since
 * (the boot id is in the header; where there is none, it is never believed).
 * The synced one is written every few seconds after fdatasync() of the bytes
 * that it claims, by temporary file and rename; it holds after a power cut. A
 * state that does not fit its own checksum, kind, size or file is thrown away,
 * never an error: at worst bytes are fetched again. And whatever it says, the
 * file is published only if the hash is right.
 *
 * One owner at a time: on a local file system flock() on the state decides, at
 * once. Where locks may hang or lie (folder_traits.network) it is never
 * called: the owner touches the state every PARTIAL_BEAT ms and one that was
 * not touched for PARTIAL_STALE ms (by the file system's own clock) may be
 * taken over, which only one can (lease.h). Who finds a live owner works on a
 * private partial under a random name, which is wasteful but never harmful,
 * since what is published is a verified file of one's own. An owner that slept
 * over PARTIAL_STALE checks that it still is the owner before it writes on.
 *
 * What nobody can continue is removed by a later run (litter.h), and so is
 * HASH.part once its content is in place.
 *
 * Thread-safe: workers write ranges and mark them, one hasher advances.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "file.h"
#include "hash.h"
#include "state.h"
#include "traits.h"

struct err;

#define PARTIAL_BLOCK STATE_BLOCK
#define PARTIAL_BEAT 5000
#define PARTIAL_STALE 60000
#define PARTIAL_SYNC 5000

struct partial;

enum partial_found {
	PARTIAL_NEW,     /* there was nothing */
	PARTIAL_RESUMED, /* bytes of an earlier run are used */
	PARTIAL_DROPPED, /* bytes of an earlier run were discarded (!resume) */
	PARTIAL_PRIVATE, /* another run is at it: a partial of our own */
};

/* The ground to work on. Found out once for a folder, or made up by a test. */
struct partial_setup {
	struct folder_traits traits;
	struct owner self;    /* this process; the nonce is not used */
	unsigned beat, stale; /* PARTIAL_BEAT, PARTIAL_STALE */
	unsigned sync;        /* ms between two synced views: PARTIAL_SYNC */
};

int partial_setup(
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
 * PARTIAL_STALE ms: so long it may take to tell a dead owner on another
 * machine from a slow one. The folder must outlive the partial.
 */
struct partial *partial_open(const struct folder *f, const char *prefix,
    const struct digest *want, uint64_t size, bool resume,
    enum partial_found *found, uint64_t *had, struct err *e);

/* The same on ground that is known; for many files in one folder. */
struct partial *partial_open_on(const struct partial_setup *setup,
    const struct folder *f, const char *prefix, const struct digest *want,
    uint64_t size, bool resume, enum partial_found *found, uint64_t *had,
    struct err *e);

/* Bytes that an earlier run left for that content, without opening it; 0 if
 * none. For dry runs and plans. */
uint64_t partial_left(const struct folder *f, const char *prefix,
    const struct digest *want, uint64_t size);

uint64_t partial_size(const struct partial *p);
uint64_t partial_here(struct partial *p); /* bytes here, by blocks */

/* Whether writing out of order costs much here (FAT fills the gap with zeros):
 * the transfer should go from the start to the end. */
bool partial_in_order(const struct partial *p);

/* The first missing range at or after from, at most limit bytes long, cut at
 * block boundaries (but at least to the end of one block); false if nothing is
 * missing there. A block is marked only by a range that has all of it: from
 * should be a boundary. */
bool partial_missing(struct partial *p, uint64_t from, uint64_t limit,
    uint64_t *first, uint64_t *end);

/* Writes bytes to their place (the caller counts its range; several threads
 * may write to different places). Marks each block that is complete with
 * this write: done_from is where this range began, so that [done_from, offset
 * + n) is known to be here. */
int partial_write(struct partial *p, const void *bytes, size_t n,
    uint64_t offset, uint64_t done_from, struct err *e);

/* Reads back what is here. */
int partial_read(
    struct partial *p, void *bytes, size_t n, uint64_t offset, struct err *e);

/* The hash at the in-order frontier, as found in the state (or fresh). The
 * hasher copies it, advances it, and hands it back now and then to be kept:
 * all bytes before hash_length(h) have been hashed. */
void partial_hash(struct partial *p, struct hash *h);
void partial_hashed(struct partial *p, const struct hash *h);

/* How far the bytes are here without a gap, from the frontier's point of view:
 * the end of the run of present blocks that offset lies in (offset itself if
 * it is missing). */
uint64_t partial_run_end(struct partial *p, uint64_t offset);

/* To be called now and then, by one thread: beats, and every few seconds (or
 * 256 MiB) syncs the bytes and writes the synced view. */
int partial_tend(struct partial *p, struct err *e);

/* Asks the system to write what it has to the disk, and does not wait: what
 * partial_finish() waits for is less then. */
void partial_start(struct partial *p);

/* All bytes are here and hash to what they should: syncs the bytes and gives
 * the name below the folder, for folder_publish(); the state is removed by
 * partial_close() with published true. */
int partial_finish(struct partial *p, const char **name, struct err *e);

/* fstat() of the file of the bytes, whatever its name is by now. */
int partial_stat(const struct partial *p, struct stat *st, struct err *e);

/* The bytes are wrong: forgets all of them. */
int partial_reset(struct partial *p, struct err *e);

/* published: removes the state. Else both stay for the next run (a private or
 * stateless one is removed), with the state synced as far as that goes quickly.
 * Takes NULL. */
void partial_close(struct partial *p, bool published);

#endif
