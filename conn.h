#ifndef HUB_CONN_H
#define HUB_CONN_H

/*
 * One connection to an origin: TCP, through a proxy if one is given (CONNECT
 * for https, RFC 9110, 9.3.6), and TLS for https. A byte stream with deadlines.
 *
 * What goes through which proxy: an http target through http and https proxies
 * (the caller writes requests in absolute form and adds conn_login), an https
 * target through http proxies. An https target through an https proxy would
 * be TLS inside TLS, which tls.h over a descriptor cannot do: it is refused
 * with ERR_USAGE and a sentence that says so.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net.h"
#include "str.h"
#include "url.h"

struct err;
struct http_head;
struct tls_trust;
struct tls_resume;

struct conn;

/* Where what goes over a connection is put together, both ways. It lasts as
 * long as the connection does: pages for each request cost more than the
 * request. */
struct conn_room {
	struct buf in, out; /* up to HTTP_HEAD_MAX */
};

struct conn_how {
	const struct tls_trust *trust;
	const struct url *proxy; /* NULL: direct. With user: Basic login. */
	enum net_family family;
	const char *user_agent; /* for CONNECT */
	uint64_t deadline; /* for all of it, up to the finished handshake */
};

/* resume is read, and written when the handshake gave a new session; it may be
 * NULL if target is plain http. A proxy that refuses is named in the error
 * (ERR_NET for 5xx and for no answer, ERR_AUTH for 407, ERR_OTHER for the
 * rest). */
struct conn *conn_open(const struct url *target, const struct conn_how *how,
    struct tls_resume *resume, struct err *e);

/* The same error for an answer to a request in absolute form that is the
 * proxy's own. Returns -1. */
int conn_refused(
    const struct url *proxy, const struct http_head *h, struct err *e);

/* As net_read and net_write. A TLS stream that was cut without close_notify
 * ends like any other; conn_cut() tells. */
int conn_read(struct conn *c, void *p, size_t cap, size_t *n, uint64_t deadline,
    struct err *e);
int conn_write(
    struct conn *c, const void *p, size_t n, uint64_t deadline, struct err *e);
bool conn_cut(const struct conn *c);

/* Its owner's, to be used as he likes. */
struct conn_room *conn_room(struct conn *c);

/* As tls_lapses(); 0 without TLS. */
int64_t conn_lapses(const struct conn *c);

/* True if nothing has arrived and the peer has not closed: an idle connection
 * may be used again. */
bool conn_idle_ok(struct conn *c);

void conn_close(struct conn *c); /* takes NULL */

/* Appends the field line "Proxy-Authorization: Basic ..." if the proxy's
 * address has a login, else nothing; ERR_USAGE if its escapes are broken. */
int conn_login(const struct url *proxy, struct buf *b, struct err *e);

#endif
