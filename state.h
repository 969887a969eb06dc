#ifndef HUB_STATE_H
#define HUB_STATE_H

/*
 * The state file of a partial file (partial.h): its format, and the lock that
 * lets one process at a time write it. All numbers are little-endian:
 *
 *	0	head: which content, and which process writes    STATE_HEAD bytes
 *	128	for each block its checksum (hash_sum), 4 bytes; 0: absent
 *
 * The head ends with its CRC-32. The checksums have none: each is compared with
 * its block before the file is published.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "file.h"
#include "hash.h"

struct err;

/* --- The identity of a process. --- */

/*
 * Identifies a process to others on the same file system: by pid, pid
 * namespace, the kernel's boot id and a random number.
 */

/* The process that writes. nonce 0: none does. */
struct owner {
	unsigned char
	    boot[16]; /* boot id of the running kernel; zero: unknown */
	uint64_t nonce;
	uint64_t pids; /* inode of the pid namespace; 0: unknown */
	uint32_t pid;
};

/* This process, with nonce 0; fields that /proc does not give are unknown. */
void owner_self(struct owner *o);

/* --- The text of a state file. --- */

#define STATE_BLOCK (1u << 20)
#define STATE_HEAD 128

/* The largest file of ext4; bounds what a file takes in memory. */
#define STATE_SIZE_MAX (UINT64_C(16) << 40)

struct state {
	struct digest want;
	uint64_t size;
	struct owner owner;
};

/* Number of blocks of a content of that size (<= STATE_SIZE_MAX). */
size_t state_blocks(uint64_t size);

/* Length of the state file of a content of that size; at most 64 MiB +
 * STATE_HEAD. */
size_t state_length(uint64_t size);

/* Offset of the block's checksum in the state file. */
uint64_t state_at(size_t block);

/* Where the block lies in a content of that size; the last one ends with it. */
uint64_t blocks_begin(size_t block);
uint64_t blocks_end(uint64_t size, size_t block);

void state_format_head(const struct state *s, unsigned char out[STATE_HEAD]);

/* Gives the owner in s->owner; s->want and s->size are the expected ones. -1 if
 * the head is damaged, or belongs to another content. */
int state_parse_head(struct state *s, const unsigned char head[STATE_HEAD]);

/* A set of blocks, one bit each. */
struct blocks {
	size_t n;
	unsigned char *bits;
};

/* Bytes of the bits of a set for n blocks. */
size_t blocks_bytes(size_t n);

bool blocks_has(const struct blocks *b, size_t block);
/* These return true if that changed the set. */
bool blocks_add(struct blocks *b, size_t block);
bool blocks_drop(struct blocks *b, size_t block);
void blocks_clear(struct blocks *b);
/* Adds all blocks of the set from to the set to; both have the same n. */
void blocks_join(struct blocks *to, const struct blocks *from);

/* The first block, at or after from, that is in the set (in), or not in it
 * (!in); n if there is none. */
size_t blocks_find(const struct blocks *b, size_t from, bool in);

/* --- What a state file says. --- */

/* Some of the checksums, as they stand there. */
struct notes {
	unsigned char text[4096];
	size_t first, n; /* blocks */
};

/* Reads those from block first on, of that many blocks; fewer at the end of the
 * file. */
void notes_read(struct notes *x, int fd, size_t first, size_t blocks);

/* Adds to here (may be NULL) the blocks that have a checksum and lie within the
 * first length bytes of the content; returns their bytes. 0 if fd is not the
 * state file of a content of that digest and size. */
uint64_t state_read(int fd, const struct digest *want, uint64_t size,
    uint64_t length, struct blocks *here);

/* --- Who may write it. --- */

/*
 * A lock on a state file: one process at a time may write it.
 *
 * On a local file system it is flock() on the state file, which ends with its
 * holder. Where locks may hang or lie, the head of the file names its owner,
 * which touches the file every beat. An owner loses it if its process is known
 * to be dead, if it has released the lease, or if the file was not touched for
 * the time stale (by the file system's clock). A successor creates STEM.claim,
 * which only one process can, and then renames a file of its own over the state
 * file.
 *
 * Files of other users are left alone. Not thread-safe.
 */

struct lease {
	const struct folder *f; /* borrowed */
	char *stem;             /* names: STEM.state, .claim, STEM.RANDOM.tmp */
	char *path;
	bool network;
	unsigned beat, stale; /* ms */
	struct owner self;    /* its nonce is this lease's own */
	struct maker maker;   /* of this process */
	uint64_t beaten;      /* last touch (ms); the clock counts suspension */
	int fd;               /* of the state file; -1: not held */
};

/* Sets up a lease that is not held, and its nonce; the caller sets beat and
 * stale. */
void lease_init(struct lease *l, const struct folder *f, const char *stem,
    bool network, const struct owner *self, const struct maker *maker);

/*
 * Tries to take it: 0, and l->fd is the file (empty if new); 1 if another
 * process has it; 2 if the existing file is not our own (maker_made) or has a
 * second link; -1 on errors. Waits, for at most stale ms, if only time can show
 * whether the owner is alive.
 */
int lease_take(struct lease *l, struct err *e);

/* Touches the file if that is due (beat). */
void lease_beat(struct lease *l);

/* 0 if the lease is still held; -1 and ERR_FILE if another process took it over
 * while this one was suspended. */
int lease_check(struct lease *l, struct err *e);

/* Releases the lock. */
void lease_drop(struct lease *l);

/* Releases the lock, and frees. */
void lease_release(struct lease *l);

/* "STEM.RANDOM.KIND"; the caller frees. */
char *lease_name(const char *stem, const char *kind);

/* The time of the file system in ms, from a file that it creates beside stem. */
int lease_clock(
    const struct folder *f, const char *stem, int64_t *ms, struct err *e);

#endif
