#ifndef HUB_XET_H
#define HUB_XET_H

/*
 * Access to the Hub's Xet storage, and downloads from it. A file is there as
 * chunks in xorbs (chunk.h). The storage is asked for a window of the file at a
 * time: which ranges of which xorbs have its chunks. Each of these ranges is
 * fetched once, in the order in which the file needs them, and unpacked as it
 * arrives.
 *
 * Everything that the storage says is checked by the hash of the whole file in
 * the end, as the bytes of any other server are. The same bytes can always be
 * had over plain HTTP instead.
 *
 * The token of the storage goes to the storage alone, the Hub's to neither the
 * storage nor the servers of the xorbs. Addresses in its answers are signed, so
 * they are in no message; they may not be http, nor private ones, unless the
 * endpoint is, and no redirect is followed from them.
 *
 * One struct xet serves all threads of a run.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch.h"

struct err;
struct http_head;
struct progress;
struct repo;
struct request;
struct response;

/* A file of up to this many bytes comes over plain HTTP: it is one block of a
 * partial file, whose worker hashes it. */
#define XET_SMALL ((uint64_t)1 << 20)

/* The longest window, in bytes of the file. */
#define XET_WINDOW ((uint64_t)64 << 20)

struct xet;

/* For the files of a commit; all is borrowed. notes: for -v; NULL: silent. */
struct xet *xet_open(
    const struct repo *repo, const char *commit, struct progress *notes);
void xet_close(struct xet *x); /* takes NULL */

/* The same to write to a revision; NULL: for a new pull request. */
struct xet *xet_open_to_write(
    const struct repo *repo, const char *revision, struct progress *notes);

/* Whether it is worth asking: false once the storage turned out to be
 * unusable. */
bool xet_is_on(struct xet *x);

/*
 * An old file on this disk: what it has in common with the wanted ones need not
 * be fetched. Its chunks are cut as every writer cuts them; by the hash of all
 * of them the storage says in which xorbs they are, and terms with the same
 * chunks are copied from here.
 *
 * Reads all of fd, of that size, if there is access to the storage; closes it
 * with xet_close(). If nothing can be used, the reason is noted. Fails only with
 * ERR_STOPPED. Calls tick after each read, with its number of bytes. Call it
 * before the first xet_fetch(), from one thread. Keeps 12 bytes for each chunk
 * of the file, so that no chunk that has changed since is taken.
 */
int xet_from(struct xet *x, int fd, uint64_t size, const char *name,
    void (*tick)(void *ctx, size_t n), void *ctx, struct err *e);

/* A range of a file. The callbacks get ctx. */
struct xet_fetch {
	struct xet *xet;
	const char *hash;     /* of the file: 64 hex digits */
	uint64_t first, last; /* the wanted range, both inclusive */
	uint64_t stall_ms;    /* for response_pace() */
	void *ctx;
	/* Called before the first byte. reserved: bytes may be written ahead up
	 * to there; 0: none will be. */
	void (*begin)(void *ctx, uint64_t reserved);
	/* As in struct fetch: they get the bytes from first on, in order; take()
	 * with n 0 if something came of which none is next. */
	void *(*room)(void *ctx, size_t *n);
	int (*take)(void *ctx, size_t n, struct err *e);
	/* Keeps n bytes that belong to the offset at, before it is their turn,
	 * and gives them back. */
	int (*ahead)(
	    void *ctx, const void *p, size_t n, uint64_t at, struct err *e);
	int (*back)(void *ctx, void *p, size_t n, uint64_t at, struct err *e);
};

/* Fetches the range, or its first XET_WINDOW bytes. *e is set unless it returns
 * FETCH_OK. FETCH_REFUSED: a signed address was not accepted; the next try gets
 * another one. FETCH_ELSEWHERE: the storage does not have the file, or answers
 * in a way that no other try will change. */
enum fetch_end xet_fetch(const struct xet_fetch *f, struct err *e);

/* A file is moved without Xet instead, for that reason; name it for -v. After
 * several in a row none is tried any more. */
void xet_give_up(struct xet *x, const char *name, const struct err *why);

/* One was moved by Xet: the next to be given up is the first in a row. */
void xet_worked(struct xet *x);

/* --- Requests to the storage. --- */

/* Makes one request: q has all but the address, which is at that path of the
 * storage, and the token. If the token is refused, once more with a new one.
 * Returns the answer, whatever its status; NULL: *end is not FETCH_OK, and *e is
 * set. */
struct response *xet_call(struct xet *x, const char *path, struct request *q,
    enum fetch_end *end, struct err *e);

/* What it means that the storage answered so, which is no success. */
enum fetch_end xet_refusal(const struct http_head *h, struct err *e);

/* What an error while talking to the storage means: FETCH_ELSEWHERE unless
 * another try may mend it, or the local files are to blame. */
enum fetch_end xet_trouble(const struct err *e);

#endif
