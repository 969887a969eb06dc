#ifndef HUB_STATE_H
#define HUB_STATE_H

/*
 * The state file of a partial file, bytes to struct and back; no I/O. partial.h
 * says what it is for. All numbers are little-endian:
 *
 *	0	head: which content, and which process writes    STATE_HEAD bytes
 *	128	for each block its checksum (hash_sum), 4 bytes; 0: absent
 *
 * The head ends with a CRC-32 of its own. The checksums need none: each is
 * compared with the block before the file is published.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "file.h"
#include "hash.h"

struct err;

/* --- What a process is, to another one. --- */

/*
 * A process as one that shares a file system with it can know it: by its number
 * in a namespace of a running kernel, and by a number that it drew.
 */

/* Who writes. nonce 0: nobody does. */
struct owner {
	unsigned char boot[16]; /* of the running kernel; zero: unknown */
	uint64_t nonce;
	uint64_t pids; /* the namespace that pid is of; 0: unknown */
	uint32_t pid;
};

/* This process, with nonce 0; what /proc does not say is unknown. */
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

/* Length of the state file for a content of that size, at most 64 MiB. */
size_t state_length(uint64_t size);

/* Where the checksum of the block lies in the file. */
uint64_t state_at(size_t block);

void state_format_head(const struct state *s, unsigned char out[STATE_HEAD]);

/* s says which content and size are expected and gets the owner; -1 if the head
 * is not whole or is about another content. */
int state_parse_head(struct state *s, const unsigned char head[STATE_HEAD]);

/* A set of blocks, one bit each. */
struct blocks {
	size_t n;
	unsigned char *bits;
};

/* Bytes that the bits of n possible blocks take. */
size_t blocks_bytes(size_t n);

bool blocks_has(const struct blocks *b, size_t block);
/* True if that changed the set. */
bool blocks_add(struct blocks *b, size_t block);
bool blocks_drop(struct blocks *b, size_t block);
void blocks_clear(struct blocks *b);
/* to gets all that is in from; both of the same n. */
void blocks_join(struct blocks *to, const struct blocks *from);

/* The first block from from on that is in the set (or is not); n if none. */
size_t blocks_find(const struct blocks *b, size_t from, bool in);

/* --- Who may write it. --- */

/*
 * The right to write a state file (state.h), which one process at a time has.
 *
 * On a local file system it is flock() on the file that bears the name: it goes
 * with its holder, at once. Where locks may hang or lie, the file's head names
 * its owner, who touches the file every beat; an owner whose process is known
 * to be dead, who has signed off, or whose file was not touched for the time
 * stale (by the file system's own clock), is followed by whoever makes the file
 * STEM.claim, which only one can, and then renames a file of its own over it.
 *
 * What another user made is left alone. Not thread-safe.
 */

struct lease {
	const struct folder *f; /* borrowed */
	char *stem;             /* names: STEM.state, .claim, STEM.RANDOM.tmp */
	char *path;
	bool network;
	unsigned beat, stale; /* ms */
	struct owner self;    /* its nonce is this lease's own */
	struct maker maker;   /* what files of our own look like */
	uint64_t beaten;      /* when it was touched last, with sleep counted */
	int fd;               /* of the state file; -1: not held */
};

/* Sets up; nothing is held. self gets a nonce; beat and stale are for the
 * caller to set. */
void lease_init(struct lease *l, const struct folder *f, const char *stem,
    bool network, const struct owner *self, const struct maker *maker);

/*
 * Tries to get it: 0, and l->fd is the file (empty if it is new); 1 if another
 * process has it; 2 if what stands there is not a file of our own (maker_made)
 * or has another name, too; -1 on errors. Where only time can tell whether the
 * owner is alive it waits, for stale ms at the most.
 */
int lease_take(struct lease *l, struct err *e);

/* Touches the file, if that is due. */
void lease_beat(struct lease *l);

/* 0 if nobody can have taken over, or, after a sleep, nobody has; else -1 and
 * ERR_FILE. */
int lease_check(struct lease *l, struct err *e);

/* Lets go: nothing is held any more. */
void lease_drop(struct lease *l);

/* Lets go, and frees. */
void lease_release(struct lease *l);

/* "STEM.RANDOM.KIND"; the caller frees. */
char *lease_name(const char *stem, const char *kind);

/* The time of the file system, in ms, by a file made beside stem. */
int lease_clock(
    const struct folder *f, const char *stem, int64_t *ms, struct err *e);

#endif
