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

#include "hash.h"
#include "owner.h"

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

/* The owner alone, whatever content the head is about; -1 if it is no head. */
int state_owner(const unsigned char head[STATE_HEAD], struct owner *out);

/* Makes o the owner in a head. Nothing happens to what is no head. */
void state_sign(unsigned char head[STATE_HEAD], const struct owner *o);

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

#endif
