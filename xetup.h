#ifndef HUB_XETUP_H
#define HUB_XETUP_H

/*
 * Uploads to the Hub's Xet storage (xet.h): which chunks of a file the storage
 * lacks, and what has to be sent. lfs.c gives the work to its connections.
 *
 * A file is read twice. First it is cut into chunks (chunk.h), which costs a
 * record of 48 bytes each: chunks that the storage has become terms that name
 * them, the others are put together to xorbs of up to 64 MiB. Each xorb is sent
 * as soon as it is complete, soon after its bytes were read: its length and its
 * name are known, so the bytes come from the file once more, not from memory.
 * But where samples say that compression pays, xorbs are small, and each is
 * packed in memory before it is sent, since its length is known only then.
 * When all xorbs are stored, a shard tells the storage of what the file is
 * made, and proves it.
 *
 * The storage has: what this run has sent, of any file; what an earlier run has
 * sent, which the journal says; and what it says to have from elsewhere, when it
 * is asked for some chunk. The latter two may be wrong: then the storage
 * refuses the shard, and the file is sent without them. The index of all these
 * chunks is bounded: the oldest is forgotten, which costs bytes.
 *
 * Functions that say "under the lock" are to be called under one lock of the
 * caller; the others without it, on a file by one thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunk.h"
#include "fetch.h"
#include "hash.h"
#include "str.h"

struct err;
struct journal;
struct journal_pieces;
struct progress;
struct repo;
struct xetup;
struct xetup_file;

/* For uploads to a revision; NULL: for a new pull request. All is borrowed.
 * packs: there is memory to compress. notes: for -v; NULL: silent. */
struct xetup *xetup_open(const struct repo *repo, const char *revision,
    bool packs, struct progress *notes);
void xetup_close(struct xetup *x); /* takes NULL */

/* False once the storage turned out to be unusable. */
bool xetup_is_on(const struct xetup *x);

/* That file is sent by LFS instead, for that reason. */
void xetup_give_up(struct xetup *x, const char *name, const struct err *why);

/* Takes records of xorbs that earlier runs have sent; the last ones count
 * most. */
void xetup_remember(struct xetup *x, struct journal_pieces *from);

/* Bytes of the files of this run that need not be sent. */
uint64_t xetup_there(struct xetup *x);

/* --- What a file needs. --- */

/* A xorb of a file. The caller keeps a list of those that are to be sent. */
struct xorb {
	struct xorb *next;
	bool busy;                /* the caller's: it is being sent */
	enum entry_scheme scheme; /* ENTRY_STORED: it is not packed */
	uint32_t number;          /* in this run */
	uint64_t size;            /* bytes of the file in it */
	struct piece *piece;
	size_t pieces;
};

bool xetup_is_packed(const struct xorb *xorb);

/* A file of that size. proof: its SHA-256, which is taken again while it is
 * read; NULL: that is not needed. earlier: what an earlier run has sent of it,
 * which is taken over. */
struct xetup_file *xetup_begin(struct xetup *x, uint64_t size,
    const struct digest *proof, const struct journal_pieces *earlier);
void xetup_end(struct xetup_file *f); /* takes NULL */

/*
 * Reads on in fd, until a xorb is complete (*xorb, the caller's), the file ends
 * or 64 MiB were read (*xorb is NULL). *kept becomes the number of bytes that
 * need not be sent. name is for messages. ERR_CONTENT: the SHA-256 is another.
 * *full as of xetup_stored().
 */
int xetup_plan(struct xetup_file *f, int fd, const char *name,
    struct xorb **xorb, uint64_t *kept, struct buf *full, struct err *e);

/* All of the file was read; of the caller's thread, or under the lock if
 * xetup_plan() returned before. */
bool xetup_is_planned(const struct xetup_file *f);

/* Begins once more with reading the file. doubt: without what the storage and
 * the journal say to be there. The caller has dropped its xorbs. */
void xetup_again(struct xetup_file *f, bool doubt);

/* --- Sending. --- */

/* Where the bytes of a xorb come from. The callbacks get ctx. */
struct xetup_source {
	/* Called before the first byte, also of a second try. */
	void (*begin)(void *ctx);
	/* Reads n bytes of the file at that offset. */
	int (*read)(void *ctx, void *p, size_t n, uint64_t at, struct err *e);
	/* n more bytes of the file are sent. Fails if no more are wanted. */
	int (*sent)(void *ctx, size_t n, struct err *e);
	/* Called before the last byte is sent: 0 if the file is unchanged. */
	int (*check)(void *ctx, struct err *e);
	void *ctx;
	bool answered; /* the result: the storage has answered */
};

/* Bytes of memory to send a xorb that is packed. */
#define XETUP_PACKING ((size_t)4 << 20)

/* Tries once to send a xorb, from any thread. FETCH_ELSEWHERE: the storage will
 * never take it. */
enum fetch_end xetup_send(struct xetup *x, const struct xorb *xorb,
    struct xetup_source *source, struct err *e);

/* Adds its records to b, for the journal. */
void xetup_put_records(struct xetup *x, const struct xorb *xorb, struct buf *b);

/* Under the lock: the xorb is stored; frees it. If the records of those that
 * are stored have become many, moves them to *full, which is to be given to
 * xetup_register() and released. */
void xetup_stored(struct xetup_file *f, struct xorb *xorb, struct buf *full);

/* The xorb will not be sent; frees it. */
void xetup_drop(struct xetup *x, struct xorb *xorb);

/* Under the lock: what has to happen to a file that is planned, and of which the
 * caller has no xorb left. */
enum xetup_state {
	XETUP_WAITS, /* until xorbs of other files are stored */
	XETUP_READY, /* for xetup_register() */
	XETUP_LOST   /* xorbs of other files were dropped: xetup_again() */
};
enum xetup_state xetup_state(const struct xetup_file *f);

/* Whether the file has anything that the storage or the journal say to be
 * there. */
bool xetup_trusts(const struct xetup_file *f);

/* The file is registered: saves the records of its xorbs, but those that were
 * given as full. */
void xetup_save(const struct xetup_file *f, struct journal *j);

/* Tries once to tell the storage of what the file with that SHA-256 is made; or of
 * the xorbs in records alone, if that is not NULL. ELSEWHERE: it refuses that. */
enum fetch_end xetup_register(struct xetup_file *f, const struct digest *sha256,
    const struct buf *records, struct err *e);

#endif
