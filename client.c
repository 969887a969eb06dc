#include "client.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "err.h"
#include "exchange.h"
#include "str.h"
#include "tls.h"
#include "wait.h"

/* --- Kept connections. --- */

/* A connection, and the buffer for the heads of requests and answers on it. The
 * two are kept together, since allocating pages for each request costs more
 * than the request. */
struct link {
	struct conn *conn;
	struct buf head;
};

static struct link *
link_make(struct conn *conn)
{
	struct link *l = xcalloc(1, sizeof(*l));

	l->conn = conn;
	l->head = buf_make(HTTP_HEAD_MAX);
	return l;
}

static void
link_close(struct link *l)
{
	if (!l)
		return;
	conn_close(l->conn);
	buf_release(&l->head);
	free(l);
}

/* As many as there can be workers. A run talks to few origins. */
#define IDLE_MAX 64
#define SESSIONS_MAX 16

struct idle {
	char *key;
	struct link *link;
	uint64_t since;
};

struct session {
	char *key;
	struct tls_resume resume;
};

struct pool {
	pthread_mutex_t lock;       /* guards all below */
	struct idle idle[IDLE_MAX]; /* the first idle_count, oldest first */
	size_t idle_count;
	struct session session[SESSIONS_MAX]; /* a ring, keys may be NULL */
	size_t session_next;                  /* which one gives way */
};

static struct pool *
pool_open(void)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	return p;
}

/* Removes entry i and returns its connection, which the caller closes. */
static struct link *
remove_idle(struct pool *p, size_t i)
{
	struct link *l = p->idle[i].link;

	free(p->idle[i].key);
	p->idle_count--;
	memmove(&p->idle[i], &p->idle[i + 1],
	    (p->idle_count - i) * sizeof(p->idle[0]));
	return l;
}

/* Takes the youngest connection of that key out of the pool; NULL if there is
 * none. */
static struct link *
take_youngest(struct pool *p, const char *key, uint64_t *since)
{
	struct link *l = NULL;

	pthread_mutex_lock(&p->lock);
	for (size_t i = p->idle_count; i-- > 0;) {
		if (strcmp(p->idle[i].key, key) != 0)
			continue;
		*since = p->idle[i].since;
		l = remove_idle(p, i);
		break;
	}
	pthread_mutex_unlock(&p->lock);
	return l;
}

/* Takes the connection that was idle for the shortest time and is still alive;
 * NULL if there is none. The caller closes it or puts it back. */
static struct link *
pool_take(struct pool *p, const char *key)
{
	uint64_t since = 0;
	struct link *l;

	while ((l = take_youngest(p, key, &since))) {
		if (wait_now() - since <= POOL_IDLE_MS && conn_idle_ok(l->conn))
			return l;
		link_close(l);
	}
	return NULL;
}

/* Takes l over; the longest idle one makes room for it. */
static void
pool_put(struct pool *p, const char *key, struct link *l)
{
	struct link *old = NULL;

	pthread_mutex_lock(&p->lock);
	if (p->idle_count == IDLE_MAX)
		old = remove_idle(p, 0);
	p->idle[p->idle_count++] = (struct idle){xstrdup(key), l, wait_now()};
	pthread_mutex_unlock(&p->lock);
	link_close(old);
}

static struct session *
find_session(struct pool *p, const char *key)
{
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		if (p->session[i].key && !strcmp(p->session[i].key, key))
			return &p->session[i];
	return NULL;
}

/* Sets *out to the session kept for key; all zero if there is none. */
static void
pool_session(struct pool *p, const char *key, struct tls_resume *out)
{
	const struct session *s;

	*out = (struct tls_resume){0};
	pthread_mutex_lock(&p->lock);
	s = find_session(p, key);
	if (s)
		*out = s->resume;
	pthread_mutex_unlock(&p->lock);
}

static void
pool_keep_session(
    struct pool *p, const char *key, const struct tls_resume *session)
{
	struct session *s;

	pthread_mutex_lock(&p->lock);
	s = find_session(p, key);
	if (!s) {
		s = &p->session[p->session_next++ % SESSIONS_MAX];
		free(s->key);
		s->key = xstrdup(key);
	}
	s->resume = *session;
	pthread_mutex_unlock(&p->lock);
}

static void
pool_close(struct pool *p)
{
	if (!p)
		return;
	while (p->idle_count)
		link_close(remove_idle(p, p->idle_count - 1));
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		free(p->session[i].key);
	mem_wipe(p->session, sizeof(p->session));
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* --- Requests. --- */

#define REDIRECTS_MAX 10

/* Bytes of a body that are read and sent at once. */
#define BODY_READ 65536

/* Bytes by which the text of response_text() grows. */
#define TEXT_READ 16384

/* response_text() gives up an answer slower than 1 KiB/s after TEXT_STALLS *
 * stall_ms. */
#define TEXT_STALLS 4

struct client {
	struct client_opts o;
	struct url endpoint;
	struct pool *pool;
	struct meter *meter;
};

/* One request on its way through redirects, and then its answer. The first
 * half changes from hop to hop. */
struct response {
	struct client *client;
	const struct request *request; /* NULL after client_send() */
	const char *method;
	char *text; /* what url points into */
	struct url url;
	struct buf via;   /* what proxy points into */
	struct url proxy; /* set if proxied */
	bool proxied;
	bool token_lost; /* a redirect left the endpoint */
	struct buf key;  /* of the pool */
	struct link *link;
	struct exchange x;
};

struct client *
client_open(const struct client_opts *o, struct err *e)
{
	struct client *c = xcalloc(1, sizeof(*c));

	c->o = *o;
	if (url_parse(str_of(o->endpoint), &c->endpoint, e)) {
		free(c);
		return NULL;
	}
	c->pool = pool_open();
	c->meter = meter_open(o->rate);
	return c;
}

void
client_close(struct client *c)
{
	if (!c)
		return;
	pool_close(c->pool);
	meter_close(c->meter);
	free(c);
}

uint64_t
client_received(const struct client *c)
{
	return meter_received(c->meter);
}

uint64_t
client_sent(const struct client *c)
{
	return meter_sent(c->meter);
}

uint64_t
client_time(const struct client *c)
{
	struct clock *clock = c->o.trust ? tls_trust_clock(c->o.trust) : NULL;

	return (uint64_t)clock_read(clock).now;
}

/* Puts the URL, without its query, before the sentence. Returns -1. */
static int
err_in_url(struct err *e, const struct url *u)
{
	struct buf b = buf_make(URL_MAX);

	url_show(&b, u);
	err_in(e, "'%s'", buf_cstr(&b));
	buf_release(&b);
	return -1;
}

static void
log_answer(const struct response *r)
{
	const struct client_opts *o = &r->client->o;
	struct buf b = buf_make(URL_MAX + 64);

	if (!o->log)
		return;
	buf_printf(&b, "%s ", r->method);
	url_show(&b, &r->url);
	buf_printf(&b, " %u", r->x.head.status);
	o->log(o->ctx, buf_cstr(&b));
	buf_release(&b);
}

static void
log_failure(const struct response *r, const struct err *why)
{
	const struct client_opts *o = &r->client->o;
	struct buf b = buf_make(URL_MAX + sizeof(why->msg));

	if (!o->log)
		return;
	buf_printf(&b, "%s ", r->method);
	url_show(&b, &r->url);
	buf_printf(&b, ": %s", why->msg);
	o->log(o->ctx, buf_cstr(&b));
	buf_release(&b);
}

/* True if the connection could be read on the way. */
static bool
is_clear(const struct url *u, bool proxied)
{
	return !u->secure && (proxied || !url_is_loopback(u));
}

/* The token that the request gets, or NULL: its own, or the client's on the way
 * to the endpoint, and not once a redirect has left the endpoint, even if
 * another one leads back; never in clear text off this machine. */
static const char *
token_for(const struct response *r)
{
	const struct request *q = r->request;

	if (is_clear(&r->url, r->proxied))
		return NULL;
	if (q->bearer)
		return q->bearer;
	return q->no_token || r->token_lost ? NULL : r->client->o.token;
}

bool
client_withholds(const struct client *c)
{
	struct buf text = buf_make(URL_MAX + 16);
	struct url proxy;
	struct err ignored;
	/* A broken proxy address fails with the first request. */
	bool proxied =
	    proxy_for(&c->o.proxy, &c->endpoint, &text, &proxy, &ignored) != 0;

	buf_release(&text);
	return c->o.token && is_clear(&c->endpoint, proxied);
}

static void
put_target(struct buf *b, const struct url *u, bool absolute)
{
	if (absolute) {
		buf_puts(b, u->secure ? "https://" : "http://");
		url_put_host(b, u, false);
	}
	if (u->path.n)
		buf_str_add(b, u->path);
	else
		buf_putc(b, '/');
	if (u->has_query) {
		buf_putc(b, '?');
		buf_str_add(b, u->query);
	}
}

static void
put_field(struct buf *b, const char *name, const char *value)
{
	if (value)
		buf_printf(b, "%s: %s\r\n", name, value);
}

static bool
has_body(const struct response *r)
{
	const struct request *q = r->request;

	return q->body || q->body_read;
}

static void
put_body_fields(struct buf *b, const struct response *r)
{
	if (has_body(r)) {
		put_field(b, "Content-Type", r->request->content_type);
		buf_printf(b, "Content-Length: %llu\r\n",
		    (unsigned long long)r->request->length);
		return;
	}
	if (!strcmp(r->method, "POST") || !strcmp(r->method, "PUT"))
		put_field(b, "Content-Length", "0");
}

static int
put_request(struct buf *b, const struct response *r, struct err *e)
{
	const struct request *q = r->request;
	const struct client *c = r->client;
	bool absolute = r->proxied && !r->url.secure;
	const char *token = token_for(r);

	buf_printf(b, "%s ", r->method);
	put_target(b, &r->url, absolute);
	buf_puts(b, " HTTP/1.1\r\nHost: ");
	url_put_host(b, &r->url, false);
	buf_puts(b, "\r\n");
	put_field(b, "User-Agent", c->o.user_agent);
	if (c->o.endpoint_field && url_same_origin(&r->url, &c->endpoint))
		buf_printf(b, "%s\r\n", c->o.endpoint_field);
	put_field(b, "Accept", q->accept);
	put_field(b, "Accept-Encoding", "identity");
	put_field(b, "Connection", "keep-alive");
	if (q->ranged)
		buf_printf(b, "Range: bytes=%llu-%llu\r\n",
		    (unsigned long long)q->first, (unsigned long long)q->last);
	if (token)
		buf_printf(b, "Authorization: Bearer %s\r\n", token);
	if (absolute && conn_login(&r->proxy, b, e))
		return -1;
	put_body_fields(b, r);
	buf_puts(b, "\r\n");
	if (b->full)
		return err_set(e, ERR_OTHER, "the request is too long");
	return 0;
}

/* An upper bound for the head of the request: its address in the first line and
 * as Host, the secrets, and the fields that are always short. */
static size_t
head_room(const struct response *r)
{
	const struct client_opts *o = &r->client->o;
	size_t n = 2 * strlen(r->text) + 2 * r->via.len + 1024;

	n += o->token ? strlen(o->token) : 0;
	n += r->request->bearer ? strlen(r->request->bearer) : 0;
	n += o->user_agent ? strlen(o->user_agent) : 0;
	return n < HTTP_HEAD_MAX ? n : HTTP_HEAD_MAX;
}

static int
send_head(struct response *r, struct err *e)
{
	struct buf *b = &r->link->head;

	/* Reserves all room at once: growing would leave copies of the token
	 * behind. */
	buf_room(b, head_room(r));
	if (put_request(b, r, e) == 0)
		return exchange_head(&r->x, e);
	mem_wipe(b->s, b->len);
	return -1;
}

static int
send_stream(struct response *r, struct err *e)
{
	const struct request *q = r->request;
	unsigned char *piece = xmalloc(BODY_READ);
	uint64_t at = 0;
	int rc = 0;

	while (!rc && at < q->length) {
		size_t cap = BODY_READ, n = 0;

		if (cap > q->length - at)
			cap = (size_t)(q->length - at);
		rc = q->body_read(q->ctx, at, piece, cap, &n, e);
		if (!rc && (!n || n > cap))
			rc = err_set(e, ERR_OTHER,
			    "the file became shorter during the upload");
		if (!rc)
			rc = exchange_body(&r->x, piece, n, e);
		at += n;
	}
	free(piece);
	return rc;
}

static int
send_body(struct response *r, struct err *e)
{
	const struct request *q = r->request;

	if (!has_body(r))
		return 0;
	if (!q->body)
		return send_stream(r, e);
	if (q->length > SIZE_MAX)
		return err_set(e, ERR_OTHER, "the request is too long");
	return exchange_body(&r->x, q->body, (size_t)q->length, e);
}

/* Sends the request and reads the head of the answer. */
static int
converse(struct response *r, struct err *e)
{
	const struct client_opts *o = &r->client->o;
	int rc;

	r->x = exchange_make(r->link->conn, &r->link->head, r->client->meter,
	    o->answer_ms, o->stall_ms);
	rc = send_head(r, e);
	if (!rc)
		rc = send_body(r, e);
	if (rc < 0)
		return -1;
	return exchange_answer(&r->x, !strcmp(r->method, "HEAD"), e);
}

static void
hang_up(struct response *r)
{
	link_close(r->link);
	r->link = NULL;
}

static int
open_conn(struct response *r, struct err *e)
{
	struct client *c = r->client;
	const struct conn_how how = {
	    .trust = c->o.trust,
	    .proxy = r->proxied ? &r->proxy : NULL,
	    .family = c->o.family,
	    .user_agent = c->o.user_agent,
	    .deadline = wait_now() + c->o.connect_ms,
	};
	const char *key = buf_cstr(&r->key);
	struct tls_resume resume;
	struct conn *conn;

	pool_session(c->pool, key, &resume);
	conn = conn_open(&r->url, &how, &resume, e);
	if (conn && r->url.secure)
		pool_keep_session(c->pool, key, &resume);
	mem_wipe(&resume, sizeof(resume));
	r->link = conn ? link_make(conn) : NULL;
	return conn ? 0 : -1;
}

/* True if the method may be repeated (RFC 9110, 9.2.2). DELETE is idempotent,
 * too, but the second one fails. */
static bool
repeatable(const char *method)
{
	return !strcmp(method, "GET") || !strcmp(method, "HEAD") ||
	       !strcmp(method, "PUT");
}

/* True if a kept connection failed because the server had closed it, as far as
 * can be known. */
static bool
was_dead(const struct response *r, const struct err *e)
{
	return e->kind == ERR_NET && !r->x.begun && !r->x.late &&
	       repeatable(r->method);
}

static int
ask(struct response *r, struct err *e)
{
	r->link = pool_take(r->client->pool, buf_cstr(&r->key));
	if (r->link) {
		if (!converse(r, e))
			return 0;
		hang_up(r);
		if (!was_dead(r, e))
			return -1;
	}
	if (open_conn(r, e))
		return -1;
	if (!converse(r, e))
		return 0;
	hang_up(r);
	return -1;
}

/* Puts the connection back into the pool, or closes it. */
static void
part(struct response *r)
{
	if (r->link && exchange_finish(&r->x)) {
		pool_put(r->client->pool, buf_cstr(&r->key), r->link);
		r->link = NULL;
	}
	hang_up(r);
}

static int
check_url(const struct response *r, struct err *e)
{
	const struct url *u = &r->url;

	if (u->user.n)
		return err_set(e, ERR_OTHER,
		    "the address contains a login, which hub does not follow");
	if (!u->secure && r->client->endpoint.secure)
		return err_set(e, ERR_OTHER,
		    "an http address is not followed, only https");
	return 0;
}

static void
put_key(struct response *r)
{
	buf_clear(&r->key);
	buf_puts(&r->key, r->url.secure ? "https://" : "http://");
	url_put_host(&r->key, &r->url, false);
	for (size_t i = 0; i < r->key.len; i++)
		r->key.s[i] = chr_lower(r->key.s[i]);
	if (!r->proxied)
		return;
	buf_puts(&r->key, " via ");
	buf_str_add(&r->key, r->proxy.text);
}

/* Sets the URL of the next hop, and takes text over. */
static int
aim(struct response *r, char *text, struct err *e)
{
	int rc;

	free(r->text);
	r->text = text;
	if (url_parse(str_of(text), &r->url, e))
		return -1;
	if (check_url(r, e))
		return err_in_url(e, &r->url);
	if (!url_same_origin(&r->url, &r->client->endpoint))
		r->token_lost = true;
	buf_clear(&r->via);
	rc = proxy_for(&r->client->o.proxy, &r->url, &r->via, &r->proxy, e);
	if (rc < 0)
		return -1;
	r->proxied = rc == 1;
	put_key(r);
	return 0;
}

static bool
is_redirect(unsigned status)
{
	return status == 301 || status == 302 || status == 303 ||
	       status == 307 || status == 308;
}

/* Refuses a redirect that would turn a POST or PUT into a GET, as every client
 * does for these statuses (RFC 9110, 15.4.2 to 15.4.4): the answer would not be
 * one to what was sent. */
static int
check_method(const struct response *r, struct err *e)
{
	unsigned status = r->x.head.status;
	bool post = !strcmp(r->method, "POST");
	bool reads = !strcmp(r->method, "GET") || !strcmp(r->method, "HEAD");

	if (((status == 301 || status == 302) && post) ||
	    (status == 303 && !reads))
		return err_set(
		    e, ERR_OTHER, "it would turn a %s into a GET", r->method);
	return 0;
}

/* Returns the URL that a redirect leads to, which the caller frees; NULL on
 * failure. */
static char *
next_url(const struct response *r, struct err *e)
{
	struct str location;
	char *next;

	if (!http_get(&r->x.head, "Location", &location) || !location.n) {
		err_set(e, ERR_OTHER, "the redirect has no Location");
		return NULL;
	}
	next = url_join(&r->url, location, e);
	/* A mirror below a path may pass on a redirect of the Hub unchanged,
	 * although its API is below that path and not at the root of the
	 * host. */
	if (next && url_is_below(&r->url, &r->client->endpoint))
		next = url_put_below(&r->client->endpoint, next);
	return next;
}

/* Aims r at the target of the redirect. */
static int
follow(struct response *r, struct err *e)
{
	struct buf from = buf_make(URL_MAX);
	bool secure = r->url.secure;
	char *next = next_url(r, e);
	int rc = -1;

	url_show(&from, &r->url);
	if (next && check_method(r, e)) {
		free(next);
	} else if (next) {
		part(r);
		rc = aim(r, next, e);
	}
	if (!rc && secure && !r->url.secure)
		rc = err_set(e, ERR_OTHER, "from https to http");
	if (rc)
		err_in(
		    e, "cannot follow the redirect of '%s'", buf_cstr(&from));
	buf_release(&from);
	return rc;
}

/* Sets the clock by the endpoint's Date, if its certificate allows that. */
static void
hear_time(const struct response *r)
{
	const struct client *c = r->client;
	struct str date;
	uint64_t t;

	if (!r->url.secure || !url_same_origin(&r->url, &c->endpoint) ||
	    !http_get(&r->x.head, "Date", &date) || http_date(date, &t) < 0)
		return;
	clock_tell(tls_trust_clock(c->o.trust), (int64_t)t,
	    conn_lapses(r->link->conn));
}

/* Does one hop. Returns 1 with the final answer, 0 after a redirect, -1 on
 * failure. */
static int
hop(struct response *r, struct err *e)
{
	const struct request *q = r->request;

	if (ask(r, e)) {
		log_failure(r, e);
		return err_in_url(e, &r->url);
	}
	log_answer(r);
	r->x.head.came = client_time(r->client);
	hear_time(r);
	if (r->proxied && r->x.head.status == 407)
		return conn_refused(&r->proxy, &r->x.head, e);
	if (q->check && q->check(q->ctx, &r->x.head, &r->url, e))
		return -1;
	if (q->no_follow || q->bearer || !is_redirect(r->x.head.status))
		return 1;
	return follow(r, e);
}

static int
run_hops(struct response *r, struct err *e)
{
	for (unsigned i = 0; i <= REDIRECTS_MAX; i++) {
		int rc = hop(r, e);

		if (rc)
			return rc < 0 ? -1 : 0;
	}
	return err_set(e, ERR_OTHER, "more than %d redirects", REDIRECTS_MAX);
}

struct response *
client_send(struct client *c, const struct request *q, struct err *e)
{
	struct response *r;

	if (c->o.offline) {
		err_set(e, ERR_ABSENT, "hub is offline, and this is not here");
		return NULL;
	}
	r = xcalloc(1, sizeof(*r));
	r->client = c;
	r->request = q;
	r->method = q->method;
	r->via = buf_make(URL_MAX + 16);
	r->key = buf_make(4 * URL_MAX);
	if (aim(r, xstrdup(q->url), e) || run_hops(r, e)) {
		hang_up(r);
		response_close(r);
		return NULL;
	}
	r->request = NULL;
	return r;
}

const struct http_head *
response_head(const struct response *r)
{
	return &r->x.head;
}

const struct url *
response_url(const struct response *r)
{
	return &r->url;
}

bool
response_led(const struct response *r)
{
	return r->token_lost;
}

bool
response_led_back(const struct response *r)
{
	return r->token_lost && url_same_origin(&r->url, &r->client->endpoint);
}

const struct url *
response_proxy(const struct response *r)
{
	return r->proxied && !r->url.secure ? &r->proxy : NULL;
}

int
response_read(struct response *r, void *p, size_t cap, size_t *n, struct err *e)
{
	if (exchange_read(&r->x, p, cap, n, e))
		return err_in_url(e, &r->url);
	return 0;
}

/* Returns 0 if the body ends where b is full, else -1 and ERR_OTHER. */
static int
text_end(struct response *r, struct err *e)
{
	char byte;
	size_t n;

	if (response_read(r, &byte, 1, &n, e))
		return -1;
	if (!n)
		return 0;
	err_set(e, ERR_OTHER, "the answer is larger than expected");
	return err_in_url(e, &r->url);
}

int
response_pace(struct response *r, uint64_t span_ms, struct err *e)
{
	return exchange_pace(&r->x, span_ms, e) ? err_in_url(e, &r->url) : 0;
}

int
response_text(struct response *r, struct buf *b, struct err *e)
{
	uint64_t span = (uint64_t)TEXT_STALLS * r->client->o.stall_ms;

	for (;;) {
		size_t room = b->max - b->len, n;
		int rc;

		if (room > TEXT_READ)
			room = TEXT_READ;
		if (!room)
			return text_end(r, e);
		rc = response_read(r, buf_room(b, room), room, &n, e);
		/* Called for 0 bytes, too, since the room was written to. */
		buf_added(b, rc ? 0 : n);
		if (rc || !n)
			return rc;
		/* Single bytes at intervals are not a stall, but the answer
		 * must end. */
		if (response_pace(r, span, e))
			return -1;
	}
}

void
response_close(struct response *r)
{
	if (!r)
		return;
	part(r);
	buf_release(&r->key);
	buf_release(&r->via);
	free(r->text);
	free(r);
}

/* Makes one try of client_call(). The text of an error answer is used only for
 * its sentence, so it may be missing. */
static struct response *
try_once(
    struct client *c, const struct request *q, struct buf *text, struct err *e)
{
	struct response *r = client_send(c, q, e);

	buf_clear(text);
	if (!r || !response_text(r, text, e))
		return r;
	if (r->x.head.status >= 400 && e->kind != ERR_STOPPED) {
		buf_clear(text);
		return r;
	}
	response_close(r);
	return NULL;
}

/* Sets the error for a transient status, as the reason for another try. */
static void
name_status(const struct response *r, struct err *e)
{
	const struct http_head *h = &r->x.head;

	err_set(e, ERR_NET, "%u %.*s", h->status, STRF(h->reason));
	e->wait = http_asked_wait(h);
	err_in_url(e, &r->url);
}

static int
wait_for_retry(
    struct client *c, unsigned failed, const struct err *why, struct err *e)
{
	uint64_t until = wait_retry(failed, why->wait);

	if (c->o.waiting)
		c->o.waiting(c->o.ctx, why, until);
	return wait_until(until, e);
}

struct response *
client_call(
    struct client *c, const struct request *q, struct buf *text, struct err *e)
{
	for (unsigned failed = 0;; failed++) {
		struct response *r = try_once(c, q, text, e);
		struct err why;

		if (r && !http_status_transient(r->x.head.status))
			return r;
		if (!r && e->kind != ERR_NET)
			return NULL;
		if (failed >= c->o.retries)
			return r;
		if (r)
			name_status(r, e);
		response_close(r);
		why = *e;
		if (wait_for_retry(c, failed + 1, &why, e))
			return NULL;
	}
}
