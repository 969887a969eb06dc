#ifndef HUB_CHUNK_H
#define HUB_CHUNK_H

/*
 * The formats of Xet, in which the Hub stores large files: chunks of about 64
 * KiB whose borders follow the content, xorbs that hold up to 8192 of them, and
 * shards that say of which chunks of which xorbs a file is made. Pure.
 *
 * Nothing from outside is trusted: lengths, counts and offsets that do not fit
 * end with a sentence, ERR_CONTENT.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blake3.h"
#include "hash.h"
#include "lz4.h"
#include "str.h"

struct err;

/* --- Hashes. --- */

/* The name of a chunk, a xorb or a file. */
struct xethash {
	unsigned char b[BLAKE3_SIZE];
};

#define XETHASH_TEXT 64

/* As text, in addresses and JSON: four numbers of 16 hex digits, of eight bytes
 * each, the lowest first. That is not the hex of the bytes. Text of any other
 * length or form is refused with -1. */
int xethash_parse(struct str text, struct xethash *out);
void xethash_text(const struct xethash *h, char out[XETHASH_TEXT + 1]);

bool xethash_same(const struct xethash *a, const struct xethash *b);

/* Below, equal to or above 0: the order of the texts, in which shards are
 * sorted. */
int xethash_compare(const struct xethash *a, const struct xethash *b);

/* A SHA-256 as shards have it: as if its hex digits were such a text. */
void xethash_of_sha256(const struct digest *sha256, struct xethash *out);

/* Each kind of content is hashed with a key of its own. */
enum xet_key {
	XET_CHUNK, /* the bytes of a chunk */
	XET_RANGE, /* the hashes of a term's chunks: proof of having them */
};

/* Begins such a hash: blake3_update() follows, and xethash_end(). h was
 * initialised by blake3_init() or used before. */
void xethash_begin(struct blake3 *h, enum xet_key key);
void xethash_end(const struct blake3 *h, struct xethash *out);

/* The name of a chunk in a shard that has a key, which hides the names of
 * chunks that the reader does not have. The same name if the key is zero. */
void xethash_keyed(const struct xethash *chunk, const struct xethash *key,
    struct xethash *out);

/* Whether the storage may know this chunk from other repositories: one of about
 * a thousand, besides the first of each file. */
bool xethash_is_global(const struct xethash *chunk);

/* --- Trees of hashes. --- */

/*
 * The hash of a xorb or a file from those of its chunks, in order. Of each
 * level only the last, open group is kept, so it takes 13 KB however large the
 * file: 36 levels with groups of three and more are 5 * 10^16 chunks and more.
 * It may be copied as a whole. There is nothing to release.
 */
#define TREE_LEVELS 36
#define TREE_GROUP 9

struct tree_node {
	struct xethash hash;
	uint64_t size; /* bytes of content below it */
};

struct hashtree {
	struct tree_level {
		struct tree_node child[TREE_GROUP];
		unsigned n;
	} level[TREE_LEVELS];
	unsigned levels; /* in use */
};

void hashtree_init(struct hashtree *t);
void hashtree_add(
    struct hashtree *t, const struct xethash *chunk, uint64_t size);

/* The hash of a xorb of these chunks, zero if there are none. t itself is not
 * changed, so that more may follow. */
void hashtree_xorb(const struct hashtree *t, struct xethash *out);

/* The hash of a file of these chunks, zero if there are none. */
void hashtree_file(const struct hashtree *t, struct xethash *out);

/* --- Chunks of a file. --- */

#define CHUNK_MIN 8192
#define CHUNK_MAX 131072

/*
 * Where a chunk ends: after the first byte from the 8192nd on at which a hash
 * of the 64 bytes before has 16 zero bits, or after 131,072 bytes. The first
 * 8127 bytes of each are not looked at. All zero at first.
 */
struct chunker {
	uint64_t hash;
	size_t length; /* of the open chunk so far */
};

/* How many of the n bytes at p belong to the open chunk; *ends: it ends there,
 * and the next byte begins another. Where the content ends, so does the last
 * chunk. */
size_t chunker_take(
    struct chunker *c, const unsigned char *p, size_t n, bool *ends);

/* The same with the names of the chunks, and the tree of all of them. */
struct cutter {
	struct chunker chunker;
	struct blake3 hash; /* of the open chunk, */
	size_t open;        /* and its bytes so far */
	struct hashtree tree;
};

void cutter_init(struct cutter *c);

/* Takes what belongs to the open chunk from the n bytes at p, and returns how
 * many these are; last: the content ends with the n bytes. *size is that of the
 * chunk that ends with them, and *chunk its name; 0: it goes on. */
size_t cutter_take(struct cutter *c, const unsigned char *p, size_t n,
    bool last, struct xethash *chunk, size_t *size);

/* --- Xorbs. --- */

#define XORB_MAX 67108864 /* bytes, entries with their headers */
#define XORB_CHUNKS_MAX 8192

/*
 * A xorb is entries one behind the other: a header of 8 bytes, then a chunk,
 * stored or packed. Chunks are of 1 to 131,072 bytes: readers take those that
 * are smaller than CHUNK_MIN, since some writers make them.
 */
#define ENTRY_HEADER 8
#define ENTRY_PACKED_MAX 262144

enum entry_scheme {
	ENTRY_STORED,
	ENTRY_LZ4,
	ENTRY_BG4, /* each fourth byte together, then LZ4 */
};

struct entry {
	enum entry_scheme scheme;
	uint32_t packed; /* bytes that follow the header */
	uint32_t size;   /* of the chunk */
};

int entry_parse(
    const unsigned char head[ENTRY_HEADER], struct entry *out, struct err *e);
void entry_put(const struct entry *entry, unsigned char head[ENTRY_HEADER]);

/*
 * Reads the entries of a stream that comes in pieces of any size. It holds two
 * buffers of 128 KiB, the chunk and the chunk in groups; packed bytes are
 * unpacked as they come.
 */
struct unpacker {
	unsigned char head[ENTRY_HEADER];
	size_t filled;      /* bytes of head */
	struct entry entry; /* once head is whole */
	size_t got;         /* packed bytes of it so far */
	struct lz4 lz4;
	unsigned char *chunk, *groups;
};

void unpacker_init(struct unpacker *u);
void unpacker_release(struct unpacker *u);

/* Goes back to where an entry begins, for another stream. */
void unpacker_restart(struct unpacker *u);

/*
 * Takes what belongs to the open entry from the n bytes at p, and sets *used to
 * how much that is. If that is its end, *chunk is the chunk, until the next
 * call: in p or in u. Else it has no bytes. An error ends the stream.
 */
int unpacker_take(struct unpacker *u, const unsigned char *p, size_t n,
    size_t *used, struct str *chunk, struct err *e);

/* No entry is open: the stream may end here. */
bool unpacker_is_between(const struct unpacker *u);

/* Scratch memory of entry_pack(), 144 KiB. */
struct packer {
	uint32_t table[LZ4_TABLE];
	unsigned char groups[CHUNK_MAX];
};

/* Writes the entry of a chunk of n bytes, at most CHUNK_MAX, packed as wanted
 * or, where that is not smaller, stored; returns its length. out has room for
 * ENTRY_HEADER + n bytes. */
size_t entry_pack(struct packer *k, enum entry_scheme wanted,
    const unsigned char *p, size_t n, unsigned char *out);

/* --- Shards. --- */

/*
 * A shard is a header, records of files, an end, records of xorbs, an end; and
 * in answers a footer. All are of 48 bytes but the footer, of 200. A file is
 * FILE, its TERMs, a RANGE for each TERM if the flag says so, a SHA256 if the
 * flag says so; a xorb is XORB and its CHUNKs.
 */
#define SHARD_MAX 67108864
#define SHARD_RECORD 48

/* Of a FILE. */
#define SHARD_HAS_RANGES 0x80000000U
#define SHARD_HAS_SHA256 0x40000000U
/* Of a CHUNK: other repositories may know it. */
#define SHARD_IS_GLOBAL 0x80000000U

enum shard_kind {
	SHARD_FILE,
	SHARD_TERM,
	SHARD_RANGE,
	SHARD_SHA256,
	SHARD_XORB,
	SHARD_CHUNK,
};

struct shard_record {
	enum shard_kind kind;
	struct xethash hash; /* of the file; the xorb of XORB and TERM; the
				chunk; XET_RANGE; xethash_of_sha256() */
	uint32_t flags;      /* FILE, TERM, XORB, CHUNK */
	uint32_t count;      /* FILE: terms; XORB: chunks */
	uint32_t size;       /* TERM, XORB, CHUNK: of the content */
	uint32_t first, end; /* TERM: chunks of the xorb, from first to before
				end */
	uint32_t at;         /* CHUNK: place in the content of the xorb */
	uint32_t packed;     /* XORB: its length; 0 if it does not say */
};

/* Writing: shard_begin(), files, shard_end(), xorbs, shard_end(). The buffer's
 * limit, at most SHARD_MAX, is the caller's to check. */
void shard_begin(struct buf *b);
void shard_put(struct buf *b, const struct shard_record *r);
void shard_end(struct buf *b);

/* A shard that was read as a whole. */
struct shard {
	struct str records;        /* in the text that was parsed */
	bool has_footer;           /* else the rest is zero */
	struct xethash key;        /* of its chunks' names; zero: none */
	uint64_t created, expires; /* seconds since 1970 */
};

/* Checks all of text once: what shard_next() returns later is complete, TERMs
 * and CHUNKs have sizes that are possible, and the CHUNKs of a XORB stand
 * without gaps and are its size in sum. */
int shard_parse(struct str text, struct shard *out, struct err *e);

/* Goes through the records: struct shard_iter it = shard_iter(&shard); while
 * (shard_next(&it, &record)) ... */
struct shard_iter {
	struct str rest;
	unsigned ends; /* how many of the two were met */
	uint32_t terms, ranges, sha256s, chunks; /* that must follow */
};
struct shard_iter shard_iter(const struct shard *s);
bool shard_next(struct shard_iter *it, struct shard_record *out);

/* --- Reconstructions. --- */

/*
 * What the storage answers when asked for a range of a file: terms, in order,
 * and the byte ranges of xorbs in which their chunks are. Both versions of the
 * answer are read. The memory is at most four times the text, whose length the
 * caller limits. Addresses are signed, so they are not for messages.
 */

/* A writer may put unneeded chunks between the needed ones, so ranges may be
 * longer than their terms: at most twice as long and this. */
#define RECON_SPARE ((uint64_t)XORB_MAX)

struct recon_range {
	struct xethash xorb;
	uint32_t first, end; /* chunks of the xorb, from first to before end */
	uint64_t at, length; /* bytes of the xorb: entries, whole */
	const char *url;     /* where to fetch them; one of recon.url */
};

struct recon_term {
	size_t range;          /* in recon.range; all of it lies there */
	uint32_t first, count; /* chunks, counted from the range's first */
	uint64_t size;         /* of their content */
};

struct recon {
	uint64_t skip; /* bytes of the first term before the range asked for */
	uint64_t size; /* of the content of all terms, without skip */
	struct recon_term *term;
	size_t terms;
	struct recon_range *range; /* as the terms need them first */
	size_t ranges;             /* those that no term needs are left out */
	char **url;
	size_t urls;
};

/* ERR_NET if the text is not JSON (the answer may have been truncated),
 * ERR_CONTENT if it is no reconstruction. */
int recon_parse(struct str text, struct recon *out, struct err *e);
void recon_release(struct recon *r);

#endif
