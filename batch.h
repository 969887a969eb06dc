#ifndef HUB_BATCH_H
#define HUB_BATCH_H

/*
 * What is asked of and answered by the Git LFS batch call, and what the storage
 * answers (hub-protocol.md, 9.5 and 9.6). Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "http.h"
#include "str.h"

struct err;

/* --- The parts of one content. --- */

/*
 * One content on its way to the storage: the signed address of each part, and
 * what the storage said when the part had arrived (hub-protocol.md, 9.5, 9.6).
 * A content that goes in a single PUT is one with one part and no completion.
 * Pure.
 *
 * Invariant: count is size / chunk, rounded up, and at least 1.
 */

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

/* --- The batch call. --- */

#define LFS_TYPE "application/vnd.git-lfs+json"

/* So many objects may be asked for at once. */
#define LFS_BATCH_MAX 256

/* The question, object by object: begin, add each, end. revision may be
 * NULL. */
void lfs_batch_begin(struct buf *b, const char *revision);
void lfs_batch_add(struct buf *b, const struct digest *d, uint64_t size);
void lfs_batch_end(struct buf *b);

/* {"oid": ..., "size": ...}, as verify wants it. */
void lfs_put_object(struct buf *b, const struct digest *d, uint64_t size);

/* What is to be done with one object. */
enum lfs_action { LFS_STORED, LFS_SEND, LFS_ERROR };

struct lfs_answer {
	enum lfs_action action;
	struct digest digest;
	/* SEND: addresses as the server gave them. Whoever takes them leaves
	 * all zero. */
	struct multipart m;
	/* ERROR; ERR_NET: the same question may be answered later. */
	const struct err *why;
};

/*
 * Calls each() for each object of the answer. size_of() says how large the
 * object was said to be, 0 if it was not asked for (then it is passed over):
 * the parts are cut by that, not by what the answer says.
 *
 * An object whose answer makes no sense (parts that do not add up, addresses
 * that are missing) is an LFS_ERROR, ERR_CONTENT. Fails only if the text as a
 * whole is no answer: ERR_NET if it is no JSON, else ERR_CONTENT.
 */
struct lfs_batch_ops {
	uint64_t (*size_of)(void *ctx, const struct digest *d);
	void (*each)(void *ctx, struct lfs_answer *a);
};
int lfs_batch_parse(
    struct str text, const struct lfs_batch_ops *ops, void *ctx, struct err *e);

/* What an answer of the storage to a part means. */
enum lfs_verdict {
	LFS_ARRIVED,
	LFS_AGAIN,   /* the same again, later */
	LFS_RENEW,   /* the address, or the upload it is for, is no more */
	LFS_REFUSED, /* never */
};

/* body is XML, or anything. The error is set for all but ARRIVED: ERR_NET for
 * AGAIN and RENEW; ERR_CONTENT where the bytes are not those that were
 * announced. */
enum lfs_verdict lfs_storage_verdict(
    const struct http_head *h, struct str body, struct err *e);

#endif
