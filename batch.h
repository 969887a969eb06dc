#ifndef HUB_BATCH_H
#define HUB_BATCH_H

/*
 * The request and answer of the Git LFS batch call, and the storage's answers.
 * Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "hash.h"
#include "http.h"
#include "str.h"

/* --- The parts of one content. --- */

/*
 * The upload of one content: the signed URL of each part, and the ETag that the
 * storage returned for it. A single PUT is an upload with one part and no
 * completion. Pure.
 *
 * Invariant: count is size / chunk, rounded up, and at least 1.
 */

/* What S3 allows. */
#define MULTIPART_PARTS_MAX 10000

struct multipart {
	uint64_t size, chunk;
	size_t count;
	/* URL that ends the upload once all parts are there; NULL: none. */
	char *complete;
	char *verify; /* URL that confirms the upload to the Hub; NULL: none */
	char **url;   /* of each part */
	char **etag;  /* of each part, verbatim; NULL: has not arrived */
	uint64_t expires; /* Unix seconds; 0: not known */
};

/* Allocates the parts; -1, and all zero, if there are too many, or none. */
int multipart_init(struct multipart *m, uint64_t size, uint64_t chunk);

/* Wipes the addresses: they are signed. */
void multipart_release(struct multipart *m);

/* Offset and length of part i (from 0). */
uint64_t multipart_first(const struct multipart *m, size_t i);
uint64_t multipart_length(const struct multipart *m, size_t i);

/* Bytes of the parts that have arrived. */
uint64_t multipart_arrived(const struct multipart *m);
/* Every part has arrived. */
bool multipart_is_whole(const struct multipart *m);

/* Sets expires to the earliest expiry of all addresses: what url_expiry()
 * reads, and "expiration=" with an HTTP date in that of the completion. */
void multipart_find_expiry(struct multipart *m);

/* Whether an address expires within a minute of now (Unix seconds), so that no
 * part should be started with it. */
bool multipart_lapses(const struct multipart *m, uint64_t now);

/* Whether both completion URLs name the same upload at the storage, so that
 * parts of one are parts of the other. */
bool multipart_same_upload(
    const struct multipart *a, const struct multipart *b);

/* Whether each address of a leads where that of b does: scheme, host and path
 * are the same. What a file says of an upload is only used if it is so: the
 * repository may have been deleted and created again, and the file may have
 * come from somebody who wants the content. */
bool multipart_same_place(const struct multipart *a, const struct multipart *b);

/* The body of the completion request; every part has arrived. */
void multipart_put_completion(
    const struct multipart *m, const struct digest *d, struct buf *b);

/* --- The batch call. --- */

#define LFS_TYPE "application/vnd.git-lfs+json"

/* The most objects in one request. */
#define LFS_BATCH_MAX 256

/* {"oid": ..., "size": ...}, as verify wants it. */
void lfs_put_object(struct buf *b, const struct digest *d, uint64_t size);

/* What is to be done with one object. XET: it is to go to the Xet storage
 * (xetup.h); the access that the answer has is not read. */
enum lfs_action { LFS_STORED, LFS_SEND, LFS_XET, LFS_ERROR };

/* One object of a request, and the answer to it. */
struct lfs_asked {
	struct digest digest;
	uint64_t size;
	size_t i; /* the caller's number of it */
	bool answered;
	enum lfs_action action;
	/* SEND: addresses as the server gave them, which the caller releases;
	 * else all zero. */
	struct multipart m;
	/* ERROR; ERR_NET: the same question may be answered later. */
	struct err why;
};

/* Puts the request. revision may be NULL. xet: Xet is offered. */
void lfs_batch_put(struct buf *b, const char *revision, bool xet,
    const struct lfs_asked *asked, size_t n);

/*
 * Sets the answer to each object; LFS_XET only if xet was offered. Parts follow
 * the size in the request, not the one in the answer. Objects that were not
 * requested are skipped.
 *
 * An object whose answer is missing or makes no sense (parts that do not add
 * up, addresses that are missing) is an LFS_ERROR, ERR_CONTENT. Fails, and sets
 * nothing, only if the whole text is not an answer: ERR_NET if it is not JSON,
 * else ERR_CONTENT.
 */
int lfs_batch_parse(struct str text, bool xet, struct lfs_asked *asked,
    size_t n, struct err *e);

/* What an answer of the storage to a part means. */
enum lfs_verdict {
	LFS_ARRIVED,
	LFS_AGAIN,   /* the same again, later */
	LFS_RENEW,   /* the address or its upload has expired */
	LFS_REFUSED, /* the storage will never take it */
};

/* body is XML, or anything. The error is set for all but ARRIVED: ERR_NET for
 * AGAIN and RENEW; ERR_CONTENT where the bytes are not those that were
 * announced. */
enum lfs_verdict lfs_storage_verdict(
    const struct http_head *h, struct str body, struct err *e);

#endif
