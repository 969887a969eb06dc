#ifndef HUB_CONN_H
#define HUB_CONN_H

/*
 * One connection to an origin: TCP, through a proxy if one is given (CONNECT
 * for https, RFC 9110, 9.3.6), and TLS for https. A byte stream with deadlines.
 *
 * Supported proxies: an http target through http and https proxies (the caller
 * writes requests in absolute form and adds conn_login), an https target
 * through http proxies. An https target through an https proxy would be TLS
 * inside TLS, which tls.h over a descriptor cannot do: it is refused with
 * ERR_USAGE and a sentence that says so.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns.h"
#include "str.h"
#include "url.h"

struct conn;
struct err;
struct http_head;
struct tls_resume;
struct tls_trust;

/* --- Names, addresses and sockets. --- */

/*
 * Resolves names, connects, reads and writes: TCP with a deadline on
 * everything. Deadlines are times of wait_now(). Errors are ERR_NET unless said
 * otherwise.
 */

enum net_family { NET_ANY, NET_IPV4, NET_IPV6 };

/* The files of this machine that name resolution reads. */
struct net_names {
	const char *hosts;   /* a hosts(5) file; may be missing */
	const char *servers; /* a resolv.conf(5) file; may be missing */
	unsigned port;       /* of the name servers */
};

struct net_addresses {
	struct dns_addresses six, four;
};

/*
 * Finds the addresses of a name, at least one: a number, localhost, the hosts
 * file, else the name servers. Both families are queried at once, and the next
 * server if one is silent or fails. One family waits only a moment for the
 * other. A name that does not exist is ERR_NET, since resolvers of boards that
 * have just started report that as well.
 */
int net_lookup(const struct net_names *names, const char *host,
    enum net_family family, uint64_t deadline, struct net_addresses *out,
    struct err *e);

/* --- The connection. --- */

struct conn_how {
	const struct tls_trust *trust;
	const struct url *proxy; /* NULL: direct. With user: Basic login. */
	enum net_family family;
	const char *user_agent; /* for CONNECT */
	uint64_t deadline; /* for all of it, up to the finished handshake */
};

/* resume is read, and written when the handshake gave a new session; it may be
 * NULL if target is plain http. If a proxy refuses, the error names it (ERR_NET
 * for 5xx and for no answer, ERR_AUTH for 407, ERR_OTHER for the rest). */
struct conn *conn_open(const struct url *target, const struct conn_how *how,
    struct tls_resume *resume, struct err *e);

/* Sets the error that conn_open() would for the proxy's own answer to a request
 * in absolute form. Returns -1. */
int conn_refused(
    const struct url *proxy, const struct http_head *h, struct err *e);

/* conn_read() receives up to cap bytes, and waits for the first; *n is 0 at the
 * end of the stream. conn_write() sends all n bytes. A TLS stream that was cut
 * without close_notify ends like any other; conn_cut() detects it. */
int conn_read(struct conn *c, void *p, size_t cap, size_t *n, uint64_t deadline,
    struct err *e);
int conn_write(
    struct conn *c, const void *p, size_t n, uint64_t deadline, struct err *e);
bool conn_cut(const struct conn *c);

/* When the server's certificate ends (tls_lapses), Unix seconds; 0 without TLS. */
int64_t conn_lapses(const struct conn *c);

/* True if an idle connection may be used again: no bytes have arrived and the
 * peer has not closed it. */
bool conn_idle_ok(struct conn *c);

void conn_close(struct conn *c); /* takes NULL */

/* Appends the field line "Proxy-Authorization: Basic ..." if the proxy's
 * address has a login, else nothing; ERR_USAGE if its escapes are broken. */
int conn_login(const struct url *proxy, struct buf *b, struct err *e);

#endif
