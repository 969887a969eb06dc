#ifndef HUB_CLIENT_H
#define HUB_CLIENT_H

/*
 * An HTTP/1.1 client: requests over a pool of kept connections, redirects,
 * proxies, the retry rule, the rate limit. Knows nothing of models.
 *
 * The client's token belongs to one origin, the endpoint's. It is added here and
 * nowhere else, and only to a request whose URL has exactly that scheme, host and port,
 * in TLS or on loopback without a proxy, and not once a redirect has left that
 * origin, even if a later one leads back. An https URL never redirects to http; an http URL is
 * only used if the endpoint itself is plain http (ERR_OTHER else): a foreign
 * server must not reach services on this machine.
 *
 * The endpoint's answers over TLS set the clock of the trust.
 *
 * One client serves all threads of a run.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conn.h"
#include "http.h"
#include "str.h"
#include "url.h"

struct client;
struct conn;
struct err;
struct pool;
struct tls_resume;
struct tls_trust;

/* --- Requests. --- */

/* Strings and trust are borrowed for the life of the client. Times in ms. */
struct client_opts {
	const char *endpoint;       /* checked before: url_parse takes it */
	const char *token;          /* fit for a field (token.h); NULL: none */
	const char *user_agent;     /* the same */
	const char *endpoint_field; /* "Name: value", for the endpoint only;
				     * NULL: none */
	const struct tls_trust *trust;
	struct proxy_rules proxy;
	enum net_family family;
	unsigned connect_ms; /* name, TCP, proxy and TLS together */
	unsigned answer_ms;  /* from request to first byte of the answer */
	unsigned stall_ms;   /* a body that does not move (see response_read) */
	unsigned retries;    /* tries after the first, for client_call */
	bool offline;        /* every request is refused: ERR_ABSENT */
	uint64_t rate; /* bytes a second over all connections; 0: no limit */
	/* -v: one line a request, "GET https://host/path 206", never with a
	 * query; called from any thread; NULL: silent. */
	void (*log)(void *ctx, const char *line);
	/* Called before a retry waits until then; for messages. May be NULL. */
	void (*waiting)(void *ctx, const struct err *why, uint64_t until);
	void *ctx;
};

/* NULL, with the error of url_parse(), if the endpoint is no URL. */
struct client *client_open(const struct client_opts *o, struct err *e);

/* True if there is a token that is never sent, since the connection to the
 * endpoint is clear text to another machine or through a proxy. */
bool client_withholds(const struct client *c);

void client_close(struct client *c); /* takes NULL */

/* A request. Fields other than method and url may be zero. */
struct request {
	const char *method; /* "GET", "HEAD", "POST", "PUT", "DELETE" */
	const char *url;
	bool no_token;  /* even to the endpoint (signed completion URLs) */
	bool no_follow; /* give a redirect as it is */
	/* A token that belongs to this URL: sent there in the place of the
	 * client's, under the same rules. No redirect is followed, so it goes
	 * nowhere else. NULL: none. */
	const char *bearer;
	bool ranged; /* ask for bytes first..last, last inclusive */
	uint64_t first, last;
	const char *accept;       /* NULL: none is sent */
	const char *content_type; /* NULL: none is sent */
	/* The body of length bytes: body_read fills up to cap bytes, at least
	 * one, in order from offset 0 (again from 0 for a redirect with 307/308
	 * or a retry). Or body_read is NULL and body has the bytes in memory.
	 * Without either there is no body, and Content-Length: 0 is sent for
	 * POST and PUT. */
	const void *body;
	uint64_t length;
	int (*body_read)(void *ctx, uint64_t offset, void *p, size_t cap,
	    size_t *n, struct err *e);
	/* Called for each answer, redirects too, before it is followed; a
	 * failure ends the request. url is that of this hop. May be NULL. */
	int (*check)(void *ctx, const struct http_head *h,
	    const struct url *url, struct err *e);
	void *ctx;
};

struct response;

/*
 * One try: sends, follows redirects (at most 10; one that would turn a POST or
 * a PUT into a GET is ERR_OTHER: RFC 9110, 15.4), returns after the head of the
 * last answer. Any status is a success here. A kept connection that turns out
 * to be dead before the first byte of an answer is replaced once, silently, for
 * requests that are safe to repeat (GET, HEAD, PUT) and counts as no try. On
 * failure NULL, with ERR_NET for everything that a retry may fix.
 */
struct response *client_send(
    struct client *c, const struct request *q, struct err *e);

const struct http_head *response_head(const struct response *r);
const struct url *response_url(const struct response *r); /* the last one */

/* True if a host other than the endpoint sent it, or redirected to it: the last
 * request had no token, and none may go where this answer leads. */
bool response_led(const struct response *r);

/* True if a redirect left the endpoint and a later one led back to it. */
bool response_led_back(const struct response *r);

/* The proxy through which it came in clear text, and which may have forged it;
 * NULL if there was none. */
const struct url *response_proxy(const struct response *r);

/* Body bytes, at most cap, straight into p; *n is 0 when the body is complete.
 * The bytes of p after the first *n are undefined. ERR_NET if it ends early, or
 * brings less than one byte within stall_ms. An encoded body is refused (we ask
 * for identity). */
int response_read(
    struct response *r, void *p, size_t cap, size_t *n, struct err *e);

/* 0, or ERR_NET if the body arrived at less than 1 KiB/s. Checked each time
 * that reads have waited span_ms for the server. */
int response_pace(struct response *r, uint64_t span_ms, struct err *e);

/* Reads the whole body into b; one byte beyond b's limit is ERR_OTHER. ERR_NET
 * if it is too slow: response_pace() over four times stall_ms. */
int response_text(struct response *r, struct buf *b, struct err *e);

/* Ends the request: a connection whose body is complete, or whose rest, a few
 * kB, has already arrived, returns to the pool, else it is closed. Takes NULL. */
void response_close(struct response *r);

/*
 * A request with the retry rule, its answer in memory: tries again on ERR_NET
 * and on transient statuses, at the times of wait_retry(). Returns the
 * last answer, whatever its status; fails only if there is none. *text gets the
 * body, up to its limit.
 */
struct response *client_call(
    struct client *c, const struct request *q, struct buf *text, struct err *e);

/* Bytes of content received and sent so far, over all threads. */
uint64_t client_received(const struct client *c);
uint64_t client_sent(const struct client *c);

/* Seconds since 1970, by the clock of the trust that was given (tls.h). */
uint64_t client_time(const struct client *c);

/* --- Kept connections. --- */

/*
 * Keeps idle connections and TLS sessions, by key: a text with the origin and
 * its proxy. Threads share one pool.
 */

/* A connection that was idle for longer is not worth trying. */
#define POOL_IDLE_MS 30000

#endif
