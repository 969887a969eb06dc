#ifndef HUB_LFS_BATCH_H
#define HUB_LFS_BATCH_H

/*
 * What is asked of and answered by the Git LFS batch call, and what the storage
 * answers (hub-protocol.md, 9.5 and 9.6). Pure.
 */

#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "http.h"
#include "multipart.h"
#include "str.h"

struct err;

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
