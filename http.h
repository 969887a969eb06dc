#ifndef HUB_HTTP_H
#define HUB_HTTP_H

/*
 * The grammar of HTTP/1.1 (RFC 9110, 9112): heads of responses and requests,
 * fields, framing, chunked bodies, and the fields that this program reads. Pure:
 * no I/O, no allocation; results point into the caller's text.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

struct err;

/* Limits on what a server can make long. Signed Locations have 1.5 kB. */
#define HTTP_HEAD_MAX 65536
#define HTTP_LINE_MAX 16384
#define HTTP_FIELDS_MAX 200

struct http_head {
	unsigned status; /* 100..599 */
	unsigned minor;  /* HTTP/1.minor: 0 or 1 */
	struct str reason;
	struct str fields; /* the field lines, each with its line end */
	uint64_t came;     /* Unix seconds when it came; 0: not known. The
			    * caller sets it after http_head_parse(). */
};

/* The length of the head that text begins with, the blank line included; 0 if
 * it is incomplete. seen is where to continue the search (0 at first, then
 * text.n of the last call), so that a head which arrives byte by byte costs
 * linear time. */
size_t http_head_length(struct str text, size_t seen);

/* Parses and checks a whole head: status line, each field line, limits. Folded
 * lines, a blank before the colon, control characters and bare CR are refused
 * (RFC 9112, 5). A bare LF as line end is accepted (2.2). ERR_NET, since a
 * retry may get a good answer. */
int http_head_parse(struct str text, struct http_head *out, struct err *e);

struct http_field {
	struct str name, value;
};

/* The first field of that name, in any case; false if there is none. */
bool http_get(const struct http_head *h, const char *name, struct str *value);

/* How the body is delimited (RFC 9112, 6.3). */
enum http_framing { HTTP_EMPTY, HTTP_LENGTH, HTTP_CHUNKED, HTTP_TO_CLOSE };

/* Refuses (ERR_NET) conflicting or broken lengths, Content-Length beside
 * Transfer-Encoding, codings other than a single "chunked". head_request: the
 * answer to HEAD has no body whatever it says. */
int http_framing(const struct http_head *h, bool head_request,
    enum http_framing *framing, uint64_t *length, struct err *e);

/* The connection may carry another request. */
bool http_keeps_alive(const struct http_head *h);

/* True if the content type (before ';') is type. */
bool http_type_is(const struct http_head *h, const char *type);

/* True if there is a Content-Encoding other than identity. */
bool http_is_encoded(const struct http_head *h);

/*
 * A chunked body, decoded in place as it comes (RFC 9112, 7.1). Fields are the
 * unit's; all zero is the start.
 */
struct http_chunks {
	int state;
	uint64_t left;   /* of this chunk */
	unsigned digits; /* of its size so far */
	size_t overhead; /* bytes of extensions and trailers so far; limited */
};

/*
 * Reads in[0..n): sets *used to the bytes consumed, and *data / *length to the
 * next run of body bytes within in (length 0 if none). Call again with the
 * rest until used == n or done. Returns 1 when the last chunk and the trailers
 * are through, 0 if there is more to come, -1 (ERR_NET) if it is broken.
 */
int http_chunks_feed(struct http_chunks *c, const char *in, size_t n,
    size_t *used, const char **data, size_t *length, struct err *e);

/* --- Requests. --- */

/* Limits on what a client can make long. */
#define HTTP_REQUEST_MAX 16384
#define HTTP_TARGET_MAX 9216 /* of the request line */

struct http_request {
	struct str method; /* "GET" */
	struct str target; /* begins with '/': path and query */
	struct str host;   /* "name:port" as the client names this server; ""
			    * only with HTTP/1.0 */
	struct http_head head; /* minor and fields, for http_get() and so on */
};

/* Parses and checks the whole head of a request (http_head_length). Beyond what
 * a response may not have, refuses bare LF as line end, no or two Host fields,
 * targets but "/..." and "http://...". Returns 0, or the status to refuse it
 * with, and then the connection is to be closed: 400, 414, 431, 505. */
unsigned http_request_parse(struct str text, struct http_request *out);

/* The length of the body, 0 if there is none. Returns 0 or the status to refuse
 * it with: 400 if it is given in two ways, 411 if the body is chunked. */
unsigned http_request_length(const struct http_request *r, uint64_t *length);

/* The value of a Range field, for a content of that size. 1: the range, both
 * ends included; 0: all of it is to be sent, since it is not one range of bytes
 * (RFC 9110, 14.2); -1: no byte of the range is there. */
int http_range(
    struct str value, uint64_t size, uint64_t *first, uint64_t *last);

/* True if the value of If-None-Match has the etag (given without quotes), or is
 * "*". */
bool http_etag_listed(struct str list, const char *etag);

/* --- Fields that this program reads. --- */

/* "bytes 0-99/1234": *total is UINT64_MAX for "*". -1 if it is not that. */
int http_content_range(
    struct str value, uint64_t *first, uint64_t *last, uint64_t *total);

/* The target of the first link with that rel in a Link field (RFC 8288), over
 * all Link fields of the head; false if there is none. */
bool http_link(const struct http_head *h, const char *rel, struct str *target);

/* RateLimit: "api";r=12;t=55 : -1 if absent or broken. */
int http_ratelimit(
    const struct http_head *h, uint64_t *remaining, uint64_t *seconds);

/* Seconds that a 429 or 5xx asks to wait: RateLimit with r = 0 gives t + 1 (429
 * only), else Retry-After gives its seconds + 1. A date in it is counted from
 * the Date of the same head, else from when the head came; one that has passed
 * asks for nothing. 0 if there is none. At most 3599, since wait_retry() may
 * add a second. */
unsigned http_asked_wait(const struct http_head *h);

/* An IMF-fixdate (RFC 9110, 5.6.7) to Unix seconds; -1 if it is none. */
int http_date(struct str s, uint64_t *seconds);
void http_put_date(struct buf *b, int64_t seconds);

/* Whether another try may bring another status: 408, 429, 500 to 509, and what
 * gateways and mirrors answer when the server behind them does not (520 to 530,
 * 598, 599). */
bool http_status_transient(unsigned status);

#endif
