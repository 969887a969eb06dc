#ifndef HUB_LZ4_H
#define HUB_LZ4_H

/*
 * LZ4 frames, and the grouping of bytes by four (BG4) that Xet puts before
 * them. Pure.
 *
 * A frame is read as it arrives, in pieces of any size, straight into the place
 * of its content: that is all the memory it takes, since the content is its own
 * window. Read is what any writer may emit: several blocks, linked or not,
 * stored or packed, checksums, a content size. Refused: dictionaries, legacy
 * and skippable frames.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

/* --- xxHash32 with seed 0, of which LZ4 frames have checksums. --- */

struct xxh32 {
	uint32_t lane[4];
	uint64_t total;
	unsigned char block[16]; /* total % 16 bytes that wait for more */
};

void xxh32_init(struct xxh32 *x);
void xxh32_update(struct xxh32 *x, const void *data, size_t n);
uint32_t xxh32_final(const struct xxh32 *x);

/* --- Reading a frame. --- */

/* Fields are the unit's. There is nothing to release. */
struct lz4 {
	unsigned char *out; /* borrowed: size bytes, of which at are there */
	size_t size, at;
	unsigned state;
	unsigned char
	    field[20]; /* what comes in pieces: header, lengths, sums */
	unsigned filled, wanted; /* bytes of field */
	bool linked, has_sum, has_block_sums;
	size_t block_max; /* packed and unpacked, of each block */
	size_t left;      /* packed bytes of this block that are to come */
	size_t first;     /* a match may not begin before that place of out */
	size_t end;       /* where this block ends at the latest */
	size_t literals;  /* of this sequence, to come */
	size_t match;     /* of this sequence, its length */
	struct xxh32 sum; /* of the packed bytes of this block */
};

/* The content must be exactly size bytes long, and goes to out. */
void lz4_init(struct lz4 *z, unsigned char *out, size_t size);

/* Takes what is there of the frame from the n bytes at p, and sets *used to how
 * much that is: all, or less if the frame ends before. ERR_CONTENT. */
int lz4_read(struct lz4 *z, const unsigned char *p, size_t n, size_t *used,
    struct err *e);

/* The end of the frame is read, and the content whole. */
bool lz4_done(const struct lz4 *z);

/* --- Writing a frame. --- */

#define LZ4_TABLE 4096

/* Writes n bytes, 1 to 262,144, as a frame of one block, without checksums: of
 * at most n + 15 bytes. Returns its length, or 0 if that is more than room.
 * table is scratch memory of 16 KiB. The bytes are the same on every CPU. */
size_t lz4_write(const unsigned char *p, size_t n, unsigned char *out,
    size_t room, uint32_t table[LZ4_TABLE]);

/* --- BG4. --- */

/* n bytes of p to out: first each fourth from byte 0 on, then each fourth from
 * byte 1 on, and so on; bg4_join() is the inverse. They do not overlap. */
void bg4_split(const unsigned char *p, size_t n, unsigned char *out);
void bg4_join(const unsigned char *p, size_t n, unsigned char *out);

#endif
