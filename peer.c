#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/sendfile.h>
#endif

#include "err.h"
#include "http.h"
#include "reply.h"
#include "site.h"
#include "tls.h"
#include "url.h"
#include "wait.h"

/* Limits of time, ms. */
#define REQUEST_MS 30000 /* for a request; with TLS for the handshake, too */
#define IDLE_MS 75000    /* between two requests */
#define PACE_MS 30000    /* in which a client takes PACE bytes of an answer */
#define PACE 16384
#define CRAWL_MS 10000 /* the same when another client needs its place */
#define DRAIN_MS 2000  /* for what a client sends after the last answer */

/* A request with a body takes more memory, until it is answered. At most this
 * many are taken at once, and one more of each group of clients. */
#define LONG_REQUESTS 32

/* Bytes that are sent before another connection has its turn. */
#define SLICE ((size_t)4 << 20)

/* Reads of a connection before another one has its turn. */
#define READS 16

/* Empty lines before a request that are skipped (RFC 9112, 2.2). */
#define EMPTY_LINES 4

/* A worker keeps memory for answers of at most this size. */
#define ROOM ((size_t)32 << 10)

/* reply.h limits what an answer has. */
#define ROOM_MAX (SIZE_MAX / 4)

/* The longest request, and the bytes of the next one that come with its end. */
#define IN_MAX (HTTP_REQUEST_MAX + REPLY_BODY_MAX + 8192)

/* A file, or a range of it, of at most this size is sent with the head. The end of
 * a larger one is read in pieces of this size. */
#define SMALL ((size_t)16 << 10)

/* What sendfile() has put into the socket is read from the file only when it
 * leaves. So the last bytes of an answer are read here: when the very last ones
 * follow, after a check that the file is unchanged, all others have left. This is
 * the most that a socket holds by default on Linux. */
#define TAIL ((size_t)4 << 20)

/* --- The log. --- */

static void
put_time(struct buf *b)
{
	struct date d;

	if (date_of(time(NULL), &d))
		buf_printf(b, "%04u-%02u-%02uT%02u:%02u:%02uZ", d.year, d.month,
		    d.day, d.hour, d.minute, d.second);
}

/* A line that cannot be written at once is left out: whoever reads it must not
 * hold up what is served. PIPE_BUF is at least 512, and so much is written as a
 * whole. */
static void
log_answer(struct peers *p, const struct peer *c)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
	struct buf b = buf_make(4096);
	uint64_t ms = wait_now() - c->began;
	uint64_t body = c->gone > c->head ? c->gone - c->head : 0;

	put_time(&b);
	buf_printf(&b, " %s %u %" PRIu64 " %" PRIu64 ".%03u %.300s\n", c->from,
	    c->status, body, ms / 1000, (unsigned)(ms % 1000),
	    c->line ? c->line : "-");
	pthread_mutex_lock(&p->log_lock);
	if (poll(&out, 1, 0) == 1 && file_write(STDOUT_FILENO, b.s, b.len) < 0)
		p->log = false;
	pthread_mutex_unlock(&p->log_lock);
	buf_release(&b);
}

/* --- Connections. --- */

void
peers_init(struct peers *p)
{
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->log_lock, NULL);
	p->salt = wait_random();
}

void
peers_release(struct peers *p)
{
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->log_lock);
}

struct peer_worker
peer_worker_make(void)
{
	return (struct peer_worker){
	    .room = buf_make(ROOM_MAX),
	    .second = -1,
	    .date = buf_make(64),
	};
}

void
peer_worker_release(struct peer_worker *w)
{
	buf_release(&w->room);
	buf_release(&w->date);
}

void
peer_count(struct peers *p, struct peer *c)
{
	pthread_mutex_lock(&p->lock);
	p->requests += c->requests;
	p->sent += c->sent;
	pthread_mutex_unlock(&p->lock);
	c->requests = c->sent = 0;
}

static void
end_long_request(struct peers *p, struct peer *c)
{
	if (!c->long_request)
		return;
	c->long_request = false;
	c->holder->long_requests--;
	p->long_requests--;
}

/* False if there are too many: then a client that has none may still have
 * one. */
static bool
begin_long_request(struct peers *p, struct peer *c)
{
	if (c->long_request)
		return true;
	if (p->long_requests >= LONG_REQUESTS && c->holder->long_requests)
		return false;
	c->long_request = true;
	c->holder->long_requests++;
	p->long_requests++;
	return true;
}

void
peer_name(const struct sockaddr_storage *a, char *out)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;
	const void *at = a->ss_family == AF_INET6 ? (const void *)&v6->sin6_addr
						  : (const void *)&v4->sin_addr;

	if (!inet_ntop(a->ss_family, at, out, INET6_ADDRSTRLEN))
		snprintf(out, INET6_ADDRSTRLEN, "-");
}

/* Of IPv6 the network counts, in which a client can choose its address. */
struct peer_holder *
peer_holder(struct peers *p, const struct sockaddr_storage *a)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;
	const unsigned char *ip = a->ss_family == AF_INET6
				      ? v6->sin6_addr.s6_addr
				      : (const void *)&v4->sin_addr;
	size_t n = a->ss_family == AF_INET6 ? 8 : 4;
	uint64_t hash = p->salt;

	if (a->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		ip += 12;
		n = 4;
	}
	/* The step of splitmix64, so that each bit counts. */
	for (size_t i = 0; i < n; i++) {
		hash = (hash ^ ip[i]) * 0xbf58476d1ce4e5b9;
		hash ^= hash >> 31;
	}
	return &p->holder[hash % PEER_HOLDERS];
}

void
peer_close(struct peers *p, struct peer *c)
{
	if (c->phase == PEER_GIVES && p->log)
		log_answer(p, c);
	peer_count(p, c);
	tls_peer_close(c->tls);
	close(c->fd);
	if (c->file >= 0)
		close(c->file);
	end_long_request(p, c);
	reply_rest_release(c->rest);
	buf_release(&c->in);
	buf_release(&c->out);
	free(c->line);
	c->holder->conns--;
	p->conns--;
	free(c);
}

struct peer *
peer_open(struct peers *p, int fd, const struct sockaddr_storage *from)
{
	struct peer *c;
	struct err e;
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c = xcalloc(1, sizeof(*c));
	c->fd = fd;
	c->file = -1;
	c->wants = POLLIN;
	c->in = buf_make(IN_MAX);
	c->deadline = wait_now() + REQUEST_MS;
	peer_name(from, c->from);
	c->holder = peer_holder(p, from);
	c->holder->conns++;
	p->conns++;
	if (p->key)
		c->tls = tls_peer_open(fd, p->key, &e);
	if (!p->key || c->tls)
		return c;
	peer_close(p, c);
	return NULL;
}

void
peer_drop(struct peers *p, struct peer *c)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};

	if (c->phase == PEER_GIVES)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	peer_close(p, c);
}

/* Bytes that the client has taken: not those that wait here in the socket,
 * which may be megabytes. */
static uint64_t
bytes_taken(const struct peer *c)
{
	int waiting = 0;

#ifdef TIOCOUTQ
	if (ioctl(c->fd, TIOCOUTQ, &waiting) < 0 || waiting < 0)
		waiting = 0;
#endif
	return c->total > (uint64_t)waiting ? c->total - (uint64_t)waiting : 0;
}

bool
peer_keeps_pace(struct peer *c)
{
	uint64_t taken = bytes_taken(c);

	if (c->phase != PEER_GIVES || taken < c->taken + PACE)
		return false;
	c->taken = taken;
	c->deadline = wait_now() + PACE_MS;
	return true;
}

bool
peer_crawls(const struct peer *c)
{
	return wait_now() + PACE_MS >= c->deadline + CRAWL_MS &&
	       bytes_taken(c) < c->taken + PACE / (PACE_MS / CRAWL_MS);
}

static enum peer_result
result_of_tls(struct peer *c, enum tls_want want)
{
	if (want == TLS_DONE)
		return PEER_MOVED;
	if (want == TLS_ENDED)
		return PEER_BROKEN;
	c->wants = want == TLS_READS ? POLLIN : POLLOUT;
	return PEER_BLOCKED;
}

static enum peer_result
result_of_errno(struct peer *c, short wants)
{
	c->wants = wants;
	if (errno == EINTR)
		return PEER_MOVED;
	return errno == EAGAIN || errno == EWOULDBLOCK ? PEER_BLOCKED
						       : PEER_BROKEN;
}

/* PEER_MOVED with *n 0 is possible. */
static enum peer_result
peer_read(struct peer *c, void *p, size_t cap, size_t *n)
{
	ssize_t got;

	*n = 0;
	if (c->tls)
		return result_of_tls(c, tls_peer_read(c->tls, p, cap, n));
	got = recv(c->fd, p, cap, 0);
	if (got < 0)
		return result_of_errno(c, POLLIN);
	*n = (size_t)got;
	return got ? PEER_MOVED : PEER_BROKEN;
}

/* more: something follows. */
static enum peer_result
peer_write(struct peer *c, const void *p, size_t n, bool more, size_t *done)
{
	ssize_t sent;

	*done = 0;
	if (c->tls)
		return result_of_tls(c, tls_peer_write(c->tls, p, n, done));
#ifdef MSG_MORE
	sent = send(c->fd, p, n, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
#else
	(void)more;
	sent = send(c->fd, p, n, MSG_NOSIGNAL);
#endif
	if (sent < 0)
		return result_of_errno(c, POLLOUT);
	*done = (size_t)sent;
	return PEER_MOVED;
}

static ssize_t
send_file(int to, int file, uint64_t at, size_t n)
{
#ifdef __linux__
	off_t offset = (off_t)at;

	return sendfile(to, file, &offset, n);
#else
	char piece[16384];
	ssize_t got = pread(
	    file, piece, n < sizeof(piece) ? n : sizeof(piece), (off_t)at);

	return got <= 0 ? got : send(to, piece, (size_t)got, MSG_NOSIGNAL);
#endif
}

static enum peer_result
peer_write_file(struct peer *c, size_t n, size_t *done)
{
	ssize_t sent;

	*done = 0;
	if (c->tls)
		return result_of_tls(
		    c, tls_peer_write_file(c->tls, c->file, c->at, n, done));
	sent = send_file(c->fd, c->file, c->at, n);
	if (sent < 0)
		return result_of_errno(c, POLLOUT);
	*done = (size_t)sent;
	/* 0: the file has become shorter. */
	return sent ? PEER_MOVED : PEER_BROKEN;
}

/* --- Answers. --- */

/* Clients go by the number alone. */
static const char *
reason_of(unsigned status)
{
	return status < 300    ? "OK"
	       : status == 304 ? "Not Modified"
	       : status == 404 ? "Not Found"
	       : status < 500  ? "Refused"
			       : "Not Available";
}

static bool
is_same_file(int fd, const struct stamp *was)
{
	struct stat st;
	struct stamp now;

	if (fstat(fd, &st) < 0)
		return false;
	stamp_of(&st, &now);
	return stamp_same(&now, was);
}

/* Reads n bytes behind b. False if they may not be those that were proved. */
static bool
read_proved(
    struct buf *b, int fd, uint64_t at, size_t n, const struct stamp *stamp)
{
	struct err ignored;
	char *to = buf_room(b, n);

	if (!to || (n && file_pread(fd, to, n, at, "", &ignored) < 0) ||
	    !is_same_file(fd, stamp))
		return false;
	buf_added(b, n);
	return true;
}

static struct str
date_now(struct peer_worker *w)
{
	time_t now = time(NULL);

	if (now != w->second) {
		buf_clear(&w->date);
		http_put_date(&w->date, now);
		w->second = now;
	}
	return buf_str(&w->date);
}

static void
put_head(struct peer *c, const struct reply *a)
{
	buf_puts(&c->out, "HTTP/1.1 ");
	buf_num(&c->out, a->status);
	buf_putc(&c->out, ' ');
	buf_puts(&c->out, reason_of(a->status));
	buf_puts(&c->out, "\r\nDate: ");
	buf_str_add(&c->out, date_now(c->worker));
	buf_puts(&c->out, "\r\nServer: hub/" HUB_VERSION "\r\n");
	buf_str_add(&c->out, buf_str(&a->fields));
	if (a->rest && c->chunked) {
		buf_puts(&c->out, "Transfer-Encoding: chunked\r\n");
	} else if (a->status != 304 && !a->rest) {
		buf_puts(&c->out, "Content-Length: ");
		buf_num(&c->out, a->length);
		buf_puts(&c->out, "\r\n");
	}
	if (!c->keep)
		buf_puts(&c->out, "Connection: close\r\n");
	buf_puts(&c->out, "\r\n");
	c->head = c->out.len;
}

/* Room that is used again: memory that is allocated for each answer would often
 * be mapped, cleared and unmapped each time. */
static void
take_room(struct peer *c)
{
	c->out = c->worker->room;
	c->worker->room = buf_make(ROOM_MAX);
}

static void
give_room_back(struct peer *c)
{
	buf_clear(&c->out);
	if (c->out.cap > ROOM)
		buf_release(&c->out);
	buf_release(&c->worker->room);
	c->worker->room = c->out;
	c->out = buf_make(0);
}

/* Puts a text behind c->out; framed, unless the client knows no chunks. */
static void
put_chunk(struct peer *c, struct str text, bool last)
{
	size_t before = c->out.len;

	if (c->chunked)
		buf_printf(&c->out, "%zx\r\n", text.n);
	buf_str_add(&c->out, text);
	if (c->chunked)
		buf_puts(&c->out, last ? "\r\n0\r\n\r\n" : "\r\n");
	c->head += c->out.len - before - text.n;
}

/* Takes over from a what makes the rest of the body, unless it is a small file:
 * then it is a text, which goes out with the head. */
static void
begin_answer(struct peer *c, struct reply *a, bool head)
{
	bool small = !head && a->fd >= 0 && a->length <= SMALL;

	take_room(c);
	(void)buf_room(
	    &c->out, 1500 + a->body.len + (small ? (size_t)a->length : 0));
	put_head(c, a);
	if (small && !read_proved(&c->out, a->fd, a->first, (size_t)a->length,
			 &a->stamp)) {
		reply_fail(a, 503, NULL, "the file has changed: ask again");
		buf_clear(&c->out);
		put_head(c, a);
	}
	c->gone = 0;
	c->given = 0;
	c->left = 0;
	if (!head && a->rest) {
		put_chunk(c, buf_str(&a->body), false);
		c->rest = a->rest;
		a->rest = NULL;
	} else if (!head && a->fd < 0) {
		buf_str_add(&c->out, buf_str(&a->body));
	} else if (!head && !small) {
		c->file = a->fd;
		c->stamp = a->stamp;
		c->at = a->first;
		c->left = a->length;
		a->fd = -1;
	}
	c->status = a->status;
	c->phase = PEER_GIVES;
	c->taken = bytes_taken(c);
	c->deadline = wait_now() + PACE_MS;
	c->requests++;
	reply_release(a);
}

/* The rest of the request is not read, so that no other one can follow. */
static void
refuse(struct peer *c, unsigned status)
{
	struct reply a = {.fd = -1};

	reply_fail(&a, status, NULL, "%s",
	    status == 503 ? "too many long requests at once: ask again"
			  : "no request that hub answers");
	if (status == 503)
		buf_puts(&a.fields, "Retry-After: 5\r\n");
	c->keep = false;
	c->unread = true;
	begin_answer(c, &a, false);
}

/* Compares all bytes, so that the time says nothing of the place of the first
 * difference. */
static bool
same_secret(struct str a, const char *b)
{
	size_t n = strlen(b);
	unsigned char differs = a.n != n;

	for (size_t i = 0; i < a.n; i++)
		differs |= (unsigned char)(a.s[i] ^ b[i < n ? i : 0]);
	return !differs;
}

/* False, with the answer, if the client may not ask. */
static bool
is_allowed(const struct peers *p, const struct http_request *r, struct reply *a)
{
	struct str value, scheme, token;

	if (!p->token)
		return true;
	if (!http_get(&r->head, "authorization", &value)) {
		reply_fail(a, 401, NULL, "Invalid username or password.");
		buf_puts(&a->fields, "WWW-Authenticate: Bearer\r\n");
		return false;
	}
	if (str_cut(value, ' ', &scheme, &token) &&
	    str_eq_nocase(scheme, "bearer") &&
	    same_secret(str_trim(token), p->token))
		return true;
	reply_fail(a, 401, NULL, "Invalid credentials in Authorization header");
	return false;
}

/* True for an address and for localhost. Of other names their owner decides that
 * they lead here: a browser then takes what it gets for that owner's (DNS
 * rebinding). HTTP/1.0, which no browser speaks, may have none. */
static bool
is_own_name(struct str host)
{
	static const char local[] = ".localhost";
	struct str name = host, rest;
	unsigned char ip[16];

	if (str_starts(host, "[") &&
	    str_cut(str_make(host.s + 1, host.n - 1), ']', &name, &rest))
		return url_ip(name, ip) == 16;
	str_cut(host, ':', &name, &rest);
	if (name.n > strlen(local) &&
	    str_eq_nocase(
		str_make(name.s + name.n - strlen(local), strlen(local)),
		local))
		return true;
	return !host.n || str_eq_nocase(name, local + 1) ||
	       url_ip(name, ip) == 4;
}

static struct str
field(const struct http_request *r, const char *name)
{
	struct str value;

	return http_get(&r->head, name, &value) ? value : str_of("");
}

static void
ask_site(struct peers *p, const struct reply_request *q, struct reply *a)
{
	struct site *site = p->site(p->ctx);

	reply_make(site, q, a);
	site_release(site);
	if (a->prove)
		p->prove(p->ctx);
}

static void
answer(struct peers *p, struct peer *c, const struct http_request *r,
    struct str body)
{
	const struct reply_request q = {
	    .post = str_eq(r->method, "POST"),
	    .head = str_eq(r->method, "HEAD"),
	    .target = r->target,
	    .host = r->host,
	    .secure = c->tls != NULL,
	    .range = field(r, "range"),
	    .if_range = field(r, "if-range"),
	    .none_match = field(r, "if-none-match"),
	    .type = field(r, "content-type"),
	    .body = body,
	};
	struct reply a = {.fd = -1};

	/* A client of HTTP/1.0 may wait for the end of the connection. */
	c->keep = r->head.minor && http_keeps_alive(&r->head) && !p->stopping;
	c->chunked = r->head.minor;
	if (p->rebinds && !is_own_name(r->host))
		reply_fail(&a, 421, NULL,
		    "served as 127.0.0.1 and localhost; by other names only "
		    "with --token-file");
	else if (!is_allowed(p, r, &a))
		;
	else if (!q.post && !q.head && !str_eq(r->method, "GET")) {
		reply_fail(&a, 405, NULL, "read-only");
		buf_puts(&a.fields, "Allow: GET, HEAD, POST\r\n");
	} else {
		ask_site(p, &q, &a);
	}
	begin_answer(c, &a, q.head);
}

/* Method and target, without what could steer a terminal, and without the
 * query, which may have a secret. r: NULL if it is no request. */
static void
note_line(struct peers *p, struct peer *c, const struct http_request *r)
{
	struct str path, query;
	struct buf b = buf_make(HTTP_TARGET_MAX);

	c->began = wait_now();
	if (!p->log || !r)
		return;
	path = r->target;
	str_cut(r->target, '?', &path, &query);
	buf_str_add(&b, r->method);
	buf_putc(&b, ' ');
	buf_str_add(&b, path);
	c->line = buf_detach(&b);
}

/* --- One connection. --- */

static void
promise(struct peer *c, const struct http_request *r)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	size_t done;

	if (c->promised || !r->head.minor ||
	    !str_eq_nocase(field(r, "expect"), "100-continue"))
		return;
	c->promised = true;
	/* If there is no room now, the client goes on after a while. */
	(void)peer_write(c, text, strlen(text), false, &done);
}

/* Answers the request that c->in begins with. False if it is not all there. */
static bool
take_request(struct peers *p, struct peer *c)
{
	struct str text = buf_str(&c->in);
	struct http_request r;
	uint64_t length;
	size_t n;
	unsigned status;
	bool named;

	/* The head is not parsed again for each piece of the body. */
	if (text.n < c->needed)
		return false;
	while (c->empty < EMPTY_LINES && str_starts(text, "\r\n")) {
		buf_drop(&c->in, 2);
		text = buf_str(&c->in);
		c->empty++;
	}
	n = http_head_length(text, c->seen);
	c->seen = n ? 0 : text.n;
	/* One more empty line is no head. */
	if (str_starts(text, "\r\n"))
		n = 2;
	if (!n && text.n <= HTTP_REQUEST_MAX)
		return false;
	status = n ? http_request_parse(str_make(text.s, n), &r) : 431;
	named = !status;
	if (!status)
		status = http_request_length(&r, &length);
	if (!status && length > REPLY_BODY_MAX)
		status = 413;
	if (!status && length && !begin_long_request(p, c))
		status = 503;
	if (status) {
		note_line(p, c, named ? &r : NULL);
		refuse(c, status);
		return true;
	}
	if (text.n - n < length) {
		c->needed = n + (size_t)length;
		promise(c, &r);
		return false;
	}
	note_line(p, c, &r);
	answer(p, c, &r, str_make(text.s + n, (size_t)length));
	buf_drop(&c->in, n + (size_t)length);
	c->needed = 0;
	c->promised = false;
	c->empty = 0;
	return true;
}

/* Reads into c->in. */
static enum peer_result
read_more(struct peer *c)
{
	char piece[4096];
	size_t n;
	enum peer_result rv = peer_read(c, piece, sizeof(piece), &n);

	if (n && !c->in.len)
		c->deadline = wait_now() + REQUEST_MS;
	if (n)
		buf_add(&c->in, piece, n);
	return rv;
}

/* PEER_BLOCKED, PEER_BROKEN, or PEER_MOVED once a request is answered, or after READS. */
static enum peer_result
take(struct peers *p, struct peer *c)
{
	enum peer_result rv = PEER_MOVED;

	for (int i = 0; rv == PEER_MOVED && i < READS; i++) {
		if (c->in.len && take_request(p, c))
			break;
		rv = read_more(c);
	}
	return rv;
}

/* Sends from the file, or reads the next piece of its end. The last one is read
 * when all others are sent, so that an answer which is whole is right. */
static enum peer_result
give_file(struct peer *c, size_t *sent)
{
	size_t tail = c->tls ? SMALL : TAIL;
	size_t n = c->left < SMALL ? (size_t)c->left : SMALL;
	enum peer_result rv;

	*sent = 0;
	if (c->left > tail) {
		rv = peer_write_file(c,
		    c->left - tail < SLICE ? (size_t)c->left - tail : SLICE,
		    sent);
		c->at += *sent;
		c->left -= *sent;
		return is_same_file(c->file, &c->stamp) ? rv : PEER_BROKEN;
	}
	buf_clear(&c->out);
	c->given = 0;
	if (!read_proved(&c->out, c->file, c->at, n, &c->stamp))
		return PEER_BROKEN;
	c->at += n;
	c->left -= n;
	return PEER_MOVED;
}

/* Makes the next piece of a long text. One that cannot be ended breaks off, so
 * that it does not look whole. */
static enum peer_result
make_more(struct peer *c)
{
	struct buf piece = buf_make(ROOM_MAX);
	int more = reply_more(c->rest, &piece);

	buf_clear(&c->out);
	c->given = 0;
	if (more >= 0)
		put_chunk(c, buf_str(&piece), more == 0);
	buf_release(&piece);
	if (more > 0)
		return PEER_MOVED;
	reply_rest_release(c->rest);
	c->rest = NULL;
	return more < 0 || c->out.full ? PEER_BROKEN : PEER_MOVED;
}

static enum peer_result
give_some(struct peer *c, size_t *sent)
{
	enum peer_result rv;

	*sent = 0;
	if (c->given == c->out.len)
		return c->rest ? make_more(c) : give_file(c, sent);
	rv = peer_write(c, c->out.s + c->given, c->out.len - c->given,
	    c->left || c->rest, sent);
	c->given += *sent;
	return rv;
}

static bool
is_given(const struct peer *c)
{
	return c->given == c->out.len && !c->left && !c->rest;
}

/* Keeps what came behind a request, but not the room that its body took. */
static void
shrink_input(struct peer *c)
{
	struct buf rest = buf_make(IN_MAX);

	if (c->in.len)
		buf_str_add(&rest, buf_str(&c->in));
	buf_release(&c->in);
	c->in = rest;
}

/* Tells the client that nothing follows. */
static void
end_stream(struct peer *c)
{
	tls_peer_close(c->tls);
	c->tls = NULL;
	shutdown(c->fd, SHUT_WR);
	/* More may be on the way. */
	c->unread = c->unread || c->in.len;
	c->phase = PEER_ENDS;
	c->deadline = wait_now() + DRAIN_MS;
}

static void
end_answer(struct peers *p, struct peer *c)
{
	if (p->log)
		log_answer(p, c);
	free(c->line);
	c->line = NULL;
	if (c->file >= 0)
		close(c->file);
	c->file = -1;
	give_room_back(c);
	c->given = 0;
	if (c->long_request || !c->in.len)
		shrink_input(c);
	end_long_request(p, c);
	if (!c->keep || (p->stopping && !c->in.len)) {
		end_stream(c);
		return;
	}
	c->phase = PEER_TAKES;
	c->deadline = wait_now() + (c->in.len ? REQUEST_MS : IDLE_MS);
}

/* Sends the answer, up to SLICE bytes. */
static enum peer_result
give(struct peers *p, struct peer *c)
{
	size_t all = 0, sent;
	enum peer_result rv = PEER_MOVED;

	while (rv == PEER_MOVED && !is_given(c) && all < SLICE) {
		rv = give_some(c, &sent);
		all += sent;
	}
	c->total += all;
	c->sent += all;
	c->gone += all;
	if (rv == PEER_MOVED && is_given(c) && c->tls)
		rv = result_of_tls(c, tls_peer_flush(c->tls));
	if (rv == PEER_MOVED && is_given(c))
		end_answer(p, c);
	return rv;
}

/* Takes and drops what the client still sends: closing while it is unread would
 * reset the connection, and the client could lose the end of the answer. */
static enum peer_result
drain(struct peer *c)
{
	char piece[4096];
	size_t n;

	for (int i = 0; i < 64; i++) {
		enum peer_result rv = peer_read(c, piece, sizeof(piece), &n);

		if (rv == PEER_BLOCKED && !c->unread)
			return PEER_BROKEN;
		if (rv != PEER_MOVED)
			return rv;
		c->unread = true;
	}
	return PEER_BROKEN;
}

enum peer_result
peer_step(struct peers *p, struct peer *c)
{
	if (c->phase == PEER_TAKES) {
		enum peer_result rv =
		    p->stopping && !c->in.len ? PEER_BROKEN : take(p, c);

		if (rv != PEER_MOVED || c->phase == PEER_TAKES)
			return rv;
	}
	return c->phase == PEER_GIVES ? give(p, c) : drain(c);
}
