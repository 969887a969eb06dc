#ifndef HUB_LFS_CALL_H
#define HUB_LFS_CALL_H

/*
 * The requests of an upload by Git LFS, one by one: what is missing, a part,
 * all parts are there, it is the right content. lfs.h decides which and when.
 */

#include <stdint.h>

#include "lfs_batch.h"

struct err;
struct multipart;
struct repo;

/* Asks what is to be done with the objects of a question (lfs_batch_begin() to
 * _end()), with the retry rule; ops as lfs_batch_parse() takes them. */
int lfs_call_batch(const struct repo *r, const char *revision,
    const struct buf *question, const struct lfs_batch_ops *ops, void *ctx,
    struct err *e);

/* The bytes of a part: as body_read of struct request. */
struct lfs_body {
	uint64_t length;
	int (*read)(void *ctx, uint64_t offset, void *p, size_t cap, size_t *n,
	    struct err *e);
	void *ctx;
};

/* One try to send a part. ARRIVED: *etag, verbatim, is the caller's; NULL if
 * there was none. A failure of read() is REFUSED, with its own error. */
enum lfs_verdict lfs_call_put(const struct repo *r, const char *url,
    const struct lfs_body *body, char **etag, struct err *e);

/* Says that all parts are there, with the retry rule. AGAIN: nobody knows
 * whether it is complete. RENEW: the Hub will have none of it, perhaps since it
 * is complete already and only the answer was lost. */
enum lfs_verdict lfs_call_complete(const struct repo *r,
    const struct multipart *m, const struct digest *d, struct err *e);

/* Has the Hub look at what it got, with the retry rule. RENEW: it is not
 * there. */
enum lfs_verdict lfs_call_verify(const struct repo *r,
    const struct multipart *m, const struct digest *d, struct err *e);

#endif
