#ifndef HUB_MULTIPART_H
#define HUB_MULTIPART_H

/*
 * One content on its way to the storage: the signed address of each part, and
 * what the storage said when the part had arrived (hub-protocol.md, 9.5, 9.6).
 * A content that goes in a single PUT is one with one part and no completion.
 * Pure.
 *
 * Invariant: count is size / chunk, rounded up, and at least 1.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"

struct buf;

/* What S3 allows. */
#define MULTIPART_PARTS_MAX 10000

struct multipart {
	uint64_t size, chunk;
	size_t count;
	char *complete; /* where to say that all parts are there; NULL: nowhere
			 * (a single PUT) */
	char *verify;   /* where to say it once more; NULL: nowhere */
	char **url;     /* of each part */
	char **etag;    /* of each part, verbatim; NULL: has not arrived */
	uint64_t expires; /* Unix seconds; 0: not known */
};

/* Makes room for the addresses of the parts; -1, and all zero, if there would
 * be too many, or none. */
int multipart_init(struct multipart *m, uint64_t size, uint64_t chunk);

/* Wipes the addresses: they are signed. */
void multipart_release(struct multipart *m);

/* The bytes of part i (from 0) begin there, and are so many. */
uint64_t multipart_first(const struct multipart *m, size_t i);
uint64_t multipart_length(const struct multipart *m, size_t i);

/* Bytes of the parts that have arrived. */
uint64_t multipart_arrived(const struct multipart *m);
/* Every part has arrived. */
bool multipart_is_whole(const struct multipart *m);

/* Sets expires to the earliest time that any address names: what url_expiry()
 * reads, and "expiration=" with an HTTP date in that of the completion. */
void multipart_find_expiry(struct multipart *m);

/* Whether an address lapses within a minute of now (Unix seconds), so that
 * nothing should be begun with it. */
bool multipart_lapses(const struct multipart *m, uint64_t now);

/* Whether both addresses of completion name the same upload at the storage, so
 * that the parts of one are parts of the other. */
bool multipart_same_upload(
    const struct multipart *a, const struct multipart *b);

/* Whether the parts of both are parts of one object at the storage: the journal
 * may know an upload to a repository that was deleted and made anew. */
bool multipart_same_object(
    const struct multipart *a, const struct multipart *b);

/* The text that completes it; every part has arrived. */
void multipart_put_completion(
    const struct multipart *m, const struct digest *d, struct buf *b);

#endif
