#ifndef HUB_STATE_H
#define HUB_STATE_H

/*
 * The state file of a partial file, bytes to struct and back; no I/O. partial.h
 * says what it is for. All numbers are little-endian:
 *
 *	0	head: what, how large, whose                  STATE_HEAD bytes
 *	128	synced slot: hash state, CRC of its bits      STATE_SLOT bytes
 *	256	live slot: hash state                         STATE_SLOT bytes
 *	384	synced bits, then as many live bits: one for each block, from
 *		the lowest of the first byte on; unused ones are zero
 *
 * The head and each slot end with a CRC-32 of their own. The live bits have
 * none: they change byte by byte while blocks arrive.
 *
 * Invariants of a struct: the live view has all that the synced one has; the
 * hash of a view covers no byte that the view does not have; live <= size.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "owner.h"

#define STATE_BLOCK (1u << 20)
#define STATE_HEAD 128
#define STATE_SLOT 128
#define STATE_LIVE_SLOT 256 /* offset; a slot never crosses a page */

/* The largest file of ext4; bounds the bits, which are 2 MiB then. */
#define STATE_SIZE_MAX (UINT64_C(16) << 40)

/* What is here. */
struct view {
	unsigned char *bits;
	struct hash hash;
};

struct state {
	struct digest want;
	uint64_t size;
	size_t blocks;
	struct owner owner;
	struct view synced, live;
};

/* Nothing is here. size <= STATE_SIZE_MAX. */
void state_init(struct state *s, const struct digest *want, uint64_t size);
void state_release(struct state *s);

/* Length of the file for content of that size, at most 5 MiB. */
size_t state_length(uint64_t size);

/*
 * Takes in the n bytes at p. s was made by state_init() for what is expected:
 * bytes that are not whole, or of another content, give -1 and leave s with
 * nothing here. A live view that contradicts the synced one is replaced by it.
 */
int state_parse(struct state *s, const unsigned char *p, size_t n);

/* out has state_length() bytes. */
void state_format(const struct state *s, unsigned char *out);

/* The head, and a live slot, alone. */
void state_format_head(const struct state *s, unsigned char out[STATE_HEAD]);
void state_format_slot(const struct hash *h, unsigned char out[STATE_SLOT]);

/* Where the live bit of the block lies in the file: the offset of its byte. */
size_t state_live_at(const struct state *s, size_t block);

/* The owner alone, whatever content the head is about; -1 if it is no head. */
int state_owner(const unsigned char head[STATE_HEAD], struct owner *out);

/* Makes o the owner in a head, but keeps its boot: what the live view is worth
 * does not change. Nothing happens to what is no head. */
void state_sign(unsigned char head[STATE_HEAD], const struct owner *o);

/* Makes the live view what the synced one is. */
void state_drop_live(struct state *s);

/* Nothing is here any more. */
void state_forget(struct state *s);

/* The view says that the block is here now. False if it said so before. */
bool view_set(struct view *v, size_t block);
bool view_has(const struct view *v, size_t block);

/* The first block from from on that is here (or not here); blocks if none. */
size_t view_find(
    const struct state *s, const struct view *v, size_t from, bool here);

/* Whether all bytes before the offset are here. */
bool view_covers(const struct state *s, const struct view *v, uint64_t offset);

/* The bytes that are here. */
uint64_t view_bytes(const struct state *s, const struct view *v);

/* to becomes what from is. */
void view_copy(const struct state *s, struct view *to, const struct view *from);

#endif
