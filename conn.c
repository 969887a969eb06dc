#include "conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "err.h"
#include "http.h"
#include "mem.h"
#include "str.h"
#include "tls.h"

/* Names have 253 characters, logins of proxies are tokens at the longest. */
#define CONNECT_MAX 32768

/* How many 1xx answers a proxy may send before the one that counts. */
#define INTERIM_MAX 8

struct conn {
	int fd;
	struct tls *tls; /* NULL: plain */
	/* A byte that conn_idle_ok() met; conn_read() gives it first. */
	unsigned char early;
	bool has_early;
	bool ended;
	struct conn_room room;
};

int
conn_login(const struct url *proxy, struct buf *b, struct err *e)
{
	struct buf login = buf_make(URL_MAX + 1);
	struct str before, after;
	int rc = 0;

	if (!proxy->user.n)
		return 0;
	if (url_unquote(proxy->user, &login))
		rc = err_set(
		    e, ERR_USAGE, "the login in the proxy's address is broken");
	if (!str_cut(proxy->user, ':', &before, &after))
		buf_putc(&login, ':');
	if (!rc) {
		buf_puts(b, "Proxy-Authorization: Basic ");
		buf_base64(b, login.s, login.len);
		buf_puts(b, "\r\n");
	}
	if (login.s)
		mem_wipe(login.s, login.cap);
	buf_release(&login);
	return rc;
}

static void
put_authority(struct buf *b, const struct url *u)
{
	buf_puts(b, u->ipv6 ? "[" : "");
	buf_str_add(b, u->host);
	buf_printf(b, "%s:%u", u->ipv6 ? "]" : "", u->port);
}

static int
connect_request(struct buf *b, const struct url *target,
    const struct conn_how *how, struct err *e)
{
	buf_puts(b, "CONNECT ");
	put_authority(b, target);
	buf_puts(b, " HTTP/1.1\r\nHost: ");
	put_authority(b, target);
	buf_puts(b, "\r\n");
	if (how->user_agent)
		buf_printf(b, "User-Agent: %s\r\n", how->user_agent);
	if (conn_login(how->proxy, b, e))
		return -1;
	buf_puts(b, "\r\n");
	if (b->full)
		return err_set(e, ERR_USAGE, "the proxy's login is too long");
	return 0;
}

/* Reads on until b begins with a whole head; sets *n to its length. */
static int
read_head(int fd, struct buf *b, uint64_t deadline, size_t *n, struct err *e)
{
	size_t from = 0;

	for (;;) {
		size_t room = b->max - b->len < 1024 ? b->max - b->len : 1024;
		size_t got;

		*n = http_head_length(buf_str(b), from);
		if (*n)
			return 0;
		if (!room)
			return err_set(e, ERR_NET, "its answer is too long");
		from = b->len;
		if (net_read(fd, buf_room(b, room), room, &got, deadline, e))
			return -1;
		if (!got)
			return err_set(e, ERR_NET, "it closed the connection");
		buf_added(b, got);
	}
}

/* A refusal in the proxy's words. */
static int
refused(const struct http_head *h, struct err *e)
{
	enum err_kind kind = h->status >= 500 ? ERR_NET : ERR_OTHER;

	if (h->status == 407)
		kind = ERR_AUTH;
	err_set(e, kind, "it refused with %u %.*s", h->status, STRF(h->reason));
	if (kind == ERR_AUTH)
		err_hint(e, "give the proxy as http://USER:PASSWORD@HOST:PORT");
	return -1;
}

/* Reads the answer to CONNECT, past interim ones. */
static int
connect_answer(int fd, struct buf *b, uint64_t deadline, struct err *e)
{
	struct http_head h;
	size_t n;

	for (unsigned i = 0; i <= INTERIM_MAX; i++) {
		if (read_head(fd, b, deadline, &n, e))
			return -1;
		if (http_head_parse(str_make(b->s, n), &h, e))
			return -1;
		if (h.status >= 300)
			return refused(&h, e);
		/* In TLS the client speaks first: more must be a trick. */
		if (h.status >= 200 && n < b->len)
			return err_set(
			    e, ERR_NET, "it sent more than its answer");
		if (h.status >= 200)
			return 0;
		buf_drop(b, n);
	}
	return err_set(e, ERR_NET, "it sent too many interim answers");
}

static int
tunnel(
    int fd, const struct url *target, const struct conn_how *how, struct err *e)
{
	struct buf b = buf_make(CONNECT_MAX), answer = buf_make(HTTP_HEAD_MAX);
	int rc = connect_request(&b, target, how, e);

	if (!rc)
		rc = net_write(fd, b.s, b.len, how->deadline, e);
	if (!rc)
		rc = connect_answer(fd, &answer, how->deadline, e);
	if (b.s)
		mem_wipe(b.s, b.cap);
	buf_release(&b);
	buf_release(&answer);
	return rc;
}

static int
connect_to(const struct url *u, const struct conn_how *how, struct err *e)
{
	char *host = str_dup(u->host);
	int fd = net_connect(host, u->port, how->family, how->deadline, e);

	free(host);
	return fd;
}

static int
start_tls(struct conn *c, const struct url *peer, const struct conn_how *how,
    struct tls_resume *resume, struct err *e)
{
	const struct tls_resume none = {0};
	char *host = str_dup(peer->host);

	c->tls = tls_open(
	    c->fd, host, how->trust, resume ? resume : &none, how->deadline, e);
	free(host);
	if (!c->tls)
		return -1;
	if (resume)
		tls_session(c->tls, resume);
	return 0;
}

static int
through_proxy(struct conn *c, const struct url *target,
    const struct conn_how *how, struct err *e)
{
	const struct url *proxy = how->proxy;

	c->fd = connect_to(proxy, how, e);
	if (c->fd < 0)
		return -1;
	if (proxy->secure)
		return start_tls(c, proxy, how, NULL, e);
	return target->secure ? tunnel(c->fd, target, how, e) : 0;
}

static int
name_proxy(const struct url *proxy, struct err *e)
{
	struct buf b = buf_make(URL_MAX);

	url_show(&b, proxy);
	err_in(e, "proxy '%s'", buf_cstr(&b));
	buf_release(&b);
	return -1;
}

static int
reach(struct conn *c, const struct url *target, const struct conn_how *how,
    struct err *e)
{
	if (!how->proxy) {
		c->fd = connect_to(target, how, e);
		return c->fd < 0 ? -1 : 0;
	}
	if (target->secure && how->proxy->secure) {
		err_set(e, ERR_USAGE,
		    "an https proxy is supported for http addresses only");
		err_hint(e, "use an http:// proxy: what goes through it is "
			    "encrypted all the same");
		return name_proxy(how->proxy, e);
	}
	if (through_proxy(c, target, how, e))
		return name_proxy(how->proxy, e);
	return 0;
}

int
conn_refused(const struct url *proxy, const struct http_head *h, struct err *e)
{
	refused(h, e);
	return name_proxy(proxy, e);
}

struct conn *
conn_open(const struct url *target, const struct conn_how *how,
    struct tls_resume *resume, struct err *e)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->fd = -1;
	c->room.in = buf_make(HTTP_HEAD_MAX);
	c->room.out = buf_make(HTTP_HEAD_MAX);
	if (reach(c, target, how, e) ||
	    (target->secure && start_tls(c, target, how, resume, e))) {
		conn_close(c);
		return NULL;
	}
	return c;
}

int
conn_read(struct conn *c, void *p, size_t cap, size_t *n, uint64_t deadline,
    struct err *e)
{
	int rc;

	if (c->has_early && cap) {
		*(unsigned char *)p = c->early;
		c->has_early = false;
		*n = 1;
		return 0;
	}
	if (c->tls)
		rc = tls_read(c->tls, p, cap, n, deadline, e);
	else
		rc = net_read(c->fd, p, cap, n, deadline, e);
	c->ended = !rc && !*n;
	return rc;
}

int
conn_write(
    struct conn *c, const void *p, size_t n, uint64_t deadline, struct err *e)
{
	if (c->tls)
		return tls_write(c->tls, p, n, deadline, e);
	return net_write(c->fd, p, n, deadline, e);
}

bool
conn_cut(const struct conn *c)
{
	return c->ended && c->tls && !tls_closed_well(c->tls);
}

struct conn_room *
conn_room(struct conn *c)
{
	return &c->room;
}

int64_t
conn_lapses(const struct conn *c)
{
	return c->tls ? tls_lapses(c->tls) : 0;
}

/* What the TLS session has taken off the socket but nobody has read. With a
 * silent socket, its only other outcome is a timeout at once. */
static bool
tls_silent(struct conn *c)
{
	struct err e;
	size_t n;

	if (tls_read(c->tls, &c->early, 1, &n, 0, &e))
		return true;
	c->has_early = n > 0;
	c->ended = !n;
	return false;
}

bool
conn_idle_ok(struct conn *c)
{
	char byte;

	if (c->has_early || c->ended)
		return false;
	if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
		return false;
	if (errno != EAGAIN && errno != EWOULDBLOCK)
		return false;
	return !c->tls || tls_silent(c);
}

void
conn_close(struct conn *c)
{
	if (!c)
		return;
	if (c->tls)
		tls_close(c->tls);
	if (c->fd >= 0)
		close(c->fd);
	buf_release(&c->room.in);
	buf_release(&c->room.out);
	free(c);
}
