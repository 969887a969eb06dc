#ifndef HUB_EXCHANGE_H
#define HUB_EXCHANGE_H

/*
 * One request and its answer on one connection (RFC 9112): sends the request,
 * reads the final head, and reads the body straight into the caller's buffer.
 * Knows no pool, no redirects, no retries.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http.h"
#include "str.h"

struct conn;
struct err;
struct meter;

/* --- The exchange. --- */

/* The most interim (1xx) answers before the final one. */
#define EXCHANGE_INTERIM_MAX 16

/*
 * Set up with exchange_make(). Invariants: at <= in->len; head points into the
 * first at bytes of in, which do not move once the answer is there; left counts
 * only while framing is HTTP_LENGTH.
 */
struct exchange {
	struct conn *conn;
	struct meter *meter;
	unsigned answer_ms, stall_ms;
	struct buf *in; /* the head, then what came with it */
	size_t at;      /* offset in in of the first unread byte */
	struct http_head head;
	enum http_framing framing;
	uint64_t left;
	struct http_chunks chunks;
	unsigned interim;      /* 1xx answers so far */
	uint64_t waited, came; /* ms that reads of the body have waited for the
				* server, and its bytes, since the pace was
				* judged */
	bool begun;            /* a byte of an answer has come */
	bool late;             /* a deadline has passed */
	bool spoiled;          /* the connection can carry no other request */
	bool done;             /* the body is complete */
};

/* conn, in and meter are borrowed; in is emptied, and its limit is that of a
 * head. It holds the head of the request, then what was received. */
struct exchange exchange_make(struct conn *conn, struct buf *in,
    struct meter *meter, unsigned answer_ms, unsigned stall_ms);

/* Send a part of the request: the head, which the caller has put into in and
 * which is wiped there, and pieces of the body. 0: sent. 1: the server has
 * answered already, so stop sending (RFC 9112, 9.5) and call
 * exchange_answer(). */
int exchange_head(struct exchange *x, struct err *e);
int exchange_body(struct exchange *x, const void *p, size_t n, struct err *e);

/* Reads the head of the final answer. ERR_NET if none arrives in time, or it is
 * malformed. head_request: the request was HEAD, whose answer has no body. */
int exchange_answer(struct exchange *x, bool head_request, struct err *e);

/* As response_read() of client.h. */
int exchange_read(
    struct exchange *x, void *p, size_t cap, size_t *n, struct err *e);

/*
 * 0 while the body arrives at EXCHANGE_FLOOR bytes a second or more; else
 * ERR_NET. Checked each time that the reads have waited span_ms for the server;
 * waits for the rate limit or the caller do not count.
 */
#define EXCHANGE_FLOOR 1024
int exchange_pace(struct exchange *x, uint64_t span_ms, struct err *e);

/* True if the connection can carry another request: reads what little is left
 * of the body, if that has come already. */
bool exchange_finish(struct exchange *x);

/* --- The rate limit. --- */

/*
 * Counts the bytes of content over all threads and keeps them to a rate.
 */

/*
 * A token bucket that may run into debt: a thread that transfers n bytes spends
 * n, and no thread transfers while level is 0 or less. So any number of threads
 * can share it, and none reserves bytes. Times are those of wait_now(). A rate
 * of 0 is no limit.
 */
struct bucket {
	uint64_t rate; /* bytes a second */
	int64_t level; /* thousandths of a byte */
	uint64_t at;   /* the time of level */
};

struct meter;

/* For all threads; rate in bytes a second. */
struct meter *meter_open(uint64_t rate);
void meter_close(struct meter *m); /* takes NULL */

/* Bytes of content transferred so far. */
uint64_t meter_received(struct meter *m);
uint64_t meter_sent(struct meter *m);

#endif
