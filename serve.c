#include "serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/sendfile.h>
#endif

#include "api.h"
#include "config.h"
#include "err.h"
#include "file.h"
#include "http.h"
#include "option.h"
#include "plan.h"
#include "progress.h"
#include "reply.h"
#include "sandbox.h"
#include "session.h"
#include "site.h"
#include "str.h"
#include "tls.h"
#include "url.h"
#include "wait.h"

#define PORT 8090

/* Times in ms: for a request from its first byte on (TLS: from the connect on),
 * between two requests, in which a client takes PACE bytes of an answer, for the
 * rest of what a refused client sends, and for all after SIGTERM. */
#define REQUEST_MS 30000
#define IDLE_MS 75000
#define PACE_MS 30000
#define PACE 16384
#define DRAIN_MS 2000
#define STOP_MS 10000

/* A worker waits that long for the next request of its connection, or for room
 * to send, if another worker is free; ms. */
#define LINGER 10

/* Two a core, since one may wait for the disk. */
#define WORKERS_MIN 4
#define WORKERS_MAX 16

/* At most that many connections, and as many as fit into a share of the memory
 * if all hold what a connection can: a head, and a piece of a listing. */
#define CONNECTIONS 4096
#define CONNECTIONS_MIN 16
#define CONNECTION_SIZE ((size_t)96 << 10)
#define CONNECTION_SIZE_TLS ((size_t)136 << 10)

/* Requests with long bodies, and their answers, take more memory: so many are
 * taken at once, and one of each client beyond that. */
#define LONG_REQUESTS 32

/* Clients are counted by a hash of their address. */
#define HOLDERS 256

/* Bytes that are sent before another connection has its turn. */
#define SLICE ((size_t)4 << 20)

#define HEAD_MAX 40000

/* Reads of a connection before another one has its turn, and empty lines that
 * are let pass before a request (RFC 9112, 2.2). */
#define READS 16
#define EMPTY_LINES 4

/* A file or a part of it of at most that many bytes is sent with the head; of a
 * larger one the last bytes, once it is known that the file is the same. */
#define SMALL ((size_t)16 << 10)

enum phase {
	TAKES, /* a request */
	GIVES, /* an answer */
	ENDS,  /* the answer was a refusal: takes and drops what still comes */
};

struct peer {
	int fd;
	struct tls_peer *tls; /* NULL: plain */
	enum phase phase;
	struct buf in;  /* what came and is not answered */
	size_t seen;    /* of it, for http_head_length() */
	size_t needed;  /* head and body of the request; 0: not known yet */
	unsigned empty; /* lines before the request */
	bool promised;  /* "100 Continue" was sent */
	struct buf out; /* the head of the answer, and its text */
	size_t given;   /* of it */
	int file;       /* the rest of the answer; -1: none */
	uint64_t at, left;
	struct stamp stamp;      /* of the file */
	struct reply_rest *rest; /* the same of a long text; NULL: none */
	bool chunked;            /* the text goes out in chunks */
	bool keep;               /* another request may follow */
	bool refused;            /* not all of the request was read */
	short wants;             /* POLLIN or POLLOUT, while it waits */
	uint64_t deadline;
	char from[INET6_ADDRSTRLEN];
	struct holder *holder;   /* the client */
	bool long_request;       /* it is one of those */
	uint64_t total;          /* bytes sent */
	uint64_t taken;          /* of them, at the last look at the pace */
	uint64_t requests, sent; /* not yet added to those of all */
	/* Of the answer under way, for the log. */
	char *line; /* method and target */
	unsigned status;
	size_t head;          /* bytes of it */
	uint64_t gone, began; /* gone: bytes sent, with the head */
	struct peer *next;    /* in a queue */
};

struct queue {
	struct peer *first, **last;
};

/* What clients of one address have of what is limited. */
struct holder {
	atomic_uint conns, long_requests;
};

struct serve {
	const struct options *o;
	const struct config *c;
	struct session s;
	const char *token; /* that clients must bring; NULL: none */
	struct tls_key *key;
	struct site_root *root;
	struct site_setup setup;
	bool rebinds; /* another site's name could lead a browser here */
	int listener, wake[2];
	size_t most;   /* connections */
	uint64_t salt; /* so that nobody can choose whom he is counted with */
	char url[300];

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t ready, prove;
	struct queue work; /* for the workers */
	struct peer *back; /* for the loop */
	bool woken;        /* the loop knows of back */
	bool look;         /* SIGHUP: look again */
	bool unproved;     /* something is to be proved */
	struct site *site;
	uint64_t requests, sent, refused;

	/* Also read without the lock. */
	atomic_uint queued, resting;
	atomic_bool stopping; /* no request is taken any more */
	atomic_bool over;     /* threads are to end */
	atomic_uint conns, long_requests;
	struct holder holder[HOLDERS];

	pthread_mutex_t log_lock;
	bool log;
};

/* --- Connections. --- */

/* Under the lock. */
static void
count(struct serve *s, struct peer *c)
{
	s->requests += c->requests;
	s->sent += c->sent;
	c->requests = c->sent = 0;
}

static void
end_long_request(struct serve *s, struct peer *c)
{
	if (!c->long_request)
		return;
	c->long_request = false;
	c->holder->long_requests--;
	s->long_requests--;
}

/* False if there are too many: then a client that has none may still have
 * one. */
static bool
begin_long_request(struct serve *s, struct peer *c)
{
	if (c->long_request)
		return true;
	if (s->long_requests >= LONG_REQUESTS && c->holder->long_requests)
		return false;
	c->long_request = true;
	c->holder->long_requests++;
	s->long_requests++;
	return true;
}

static void
peer_close(struct serve *s, struct peer *c)
{
	pthread_mutex_lock(&s->lock);
	count(s, c);
	pthread_mutex_unlock(&s->lock);
	tls_peer_close(c->tls);
	close(c->fd);
	if (c->file >= 0)
		close(c->file);
	end_long_request(s, c);
	reply_rest_release(c->rest);
	buf_release(&c->in);
	buf_release(&c->out);
	free(c->line);
	c->holder->conns--;
	s->conns--;
	free(c);
}

/* Closes the connection of a client that does not take its answer, and frees
 * what waits in the socket. */
static void
peer_drop(struct serve *s, struct peer *c)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};

	if (c->phase == GIVES)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	peer_close(s, c);
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

/* True, with a new deadline, if the client has taken enough of its answer since
 * the last one was set. */
static bool
keeps_pace(struct peer *c)
{
	uint64_t taken = bytes_taken(c);

	if (c->phase != GIVES || taken < c->taken + PACE)
		return false;
	c->taken = taken;
	c->deadline = wait_now() + PACE_MS;
	return true;
}

/* What I/O came to. */
enum result {
	MOVED,   /* something, or all of it, was done */
	BLOCKED, /* wants says for what */
	BROKEN,
};

static enum result
result_of_tls(struct peer *c, enum tls_want want)
{
	if (want == TLS_DONE)
		return MOVED;
	if (want == TLS_ENDED)
		return BROKEN;
	c->wants = want == TLS_READS ? POLLIN : POLLOUT;
	return BLOCKED;
}

static enum result
result_of_errno(struct peer *c, short wants)
{
	c->wants = wants;
	if (errno == EINTR)
		return MOVED;
	return errno == EAGAIN || errno == EWOULDBLOCK ? BLOCKED : BROKEN;
}

/* MOVED with *n 0 is possible. */
static enum result
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
	return got ? MOVED : BROKEN;
}

/* more: something follows. */
static enum result
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
	return MOVED;
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

static enum result
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
	return sent ? MOVED : BROKEN;
}

/* --- The log. --- */

static void
put_time(struct buf *b)
{
	time_t now = time(NULL);
	struct tm tm;
	char text[32];

	if (gmtime_r(&now, &tm) &&
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		buf_puts(b, text);
}

/* A line that cannot be written at once is left out: whoever reads it must not
 * hold up what is served. PIPE_BUF is at least 512, and so much is written as a
 * whole. */
static void
log_answer(struct serve *s, const struct peer *c)
{
	struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
	struct buf b = buf_make(4096);
	uint64_t ms = wait_now() - c->began;
	uint64_t body = c->gone > c->head ? c->gone - c->head : 0;

	put_time(&b);
	buf_printf(&b, " %s %u %" PRIu64 " %" PRIu64 ".%03u %.300s\n", c->from,
	    c->status, body, ms / 1000, (unsigned)(ms % 1000),
	    c->line ? c->line : "-");
	pthread_mutex_lock(&s->log_lock);
	if (poll(&p, 1, 0) == 1 && file_write(STDOUT_FILENO, b.s, b.len) < 0)
		s->log = false;
	pthread_mutex_unlock(&s->log_lock);
	buf_release(&b);
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

/* Makes a small part of a file a text, which goes out with the head. */
static void
take_small(struct reply *a)
{
	if (a->fd < 0 || a->length > SMALL)
		return;
	if (!read_proved(
		&a->body, a->fd, a->first, (size_t)a->length, &a->stamp)) {
		reply_fail(a, 503, NULL, "the file has changed: ask again");
		return;
	}
	close(a->fd);
	a->fd = -1;
}

/* Puts a text behind c->out; framed, unless the client knows no chunks. */
static void
put_chunk(struct peer *c, struct str text, bool last)
{
	if (c->chunked)
		buf_printf(&c->out, "%zx\r\n", text.n);
	buf_str_add(&c->out, text);
	if (c->chunked)
		buf_puts(&c->out, last ? "\r\n0\r\n\r\n" : "\r\n");
}

/* Takes over from a what makes the rest of the body. */
static void
begin_answer(struct peer *c, struct reply *a, bool head)
{
	if (!head)
		take_small(a);
	c->out = buf_make(HEAD_MAX + SMALL + a->body.len);
	(void)buf_room(&c->out, 1500);
	buf_puts(&c->out, "HTTP/1.1 ");
	buf_num(&c->out, a->status);
	buf_putc(&c->out, ' ');
	buf_puts(&c->out, reason_of(a->status));
	buf_puts(&c->out, "\r\nDate: ");
	http_put_date(&c->out, time(NULL));
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
	c->gone = 0;
	c->given = 0;
	c->left = 0;
	if (!head && a->rest) {
		put_chunk(c, buf_str(&a->body), false);
		c->rest = a->rest;
		a->rest = NULL;
	} else if (!head && a->fd < 0) {
		buf_str_add(&c->out, buf_str(&a->body));
	} else if (!head) {
		c->file = a->fd;
		c->stamp = a->stamp;
		c->at = a->first;
		c->left = a->length;
		a->fd = -1;
	}
	c->status = a->status;
	c->phase = GIVES;
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
	c->refused = true;
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
is_allowed(const struct serve *s, const struct http_request *r, struct reply *a)
{
	struct str value, scheme, token;

	if (!s->token)
		return true;
	if (!http_get(&r->head, "authorization", &value)) {
		reply_fail(a, 401, NULL, "Invalid username or password.");
		buf_puts(&a->fields, "WWW-Authenticate: Bearer\r\n");
		return false;
	}
	if (str_cut(value, ' ', &scheme, &token) &&
	    str_eq_nocase(scheme, "bearer") &&
	    same_secret(str_trim(token), s->token))
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

static struct site *
current_site(struct serve *s)
{
	struct site *site;

	pthread_mutex_lock(&s->lock);
	site = site_keep(s->site);
	pthread_mutex_unlock(&s->lock);
	return site;
}

static void
ask_site(struct serve *s, const struct reply_request *q, struct reply *a)
{
	struct site *site = current_site(s);

	reply_make(site, q, a);
	site_release(site);
	if (!a->prove)
		return;
	pthread_mutex_lock(&s->lock);
	s->unproved = true;
	pthread_cond_broadcast(&s->prove);
	pthread_mutex_unlock(&s->lock);
}

static void
answer(struct serve *s, struct peer *c, const struct http_request *r,
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
	c->keep = r->head.minor && http_keeps_alive(&r->head) && !s->stopping;
	c->chunked = r->head.minor;
	if (s->rebinds && !is_own_name(r->host))
		reply_fail(&a, 421, NULL,
		    "served as 127.0.0.1 and localhost; by other names only "
		    "with --token-file");
	else if (!is_allowed(s, r, &a))
		;
	else if (!q.post && !q.head && !str_eq(r->method, "GET")) {
		reply_fail(&a, 405, NULL, "read-only");
		buf_puts(&a.fields, "Allow: GET, HEAD, POST\r\n");
	} else {
		ask_site(s, &q, &a);
	}
	begin_answer(c, &a, q.head);
}

/* Method and target, without what could steer a terminal, and without the
 * query, which may have a secret. r: NULL if it is no request. */
static void
note_line(struct serve *s, struct peer *c, const struct http_request *r)
{
	struct str path, query;
	struct buf b = buf_make(HTTP_TARGET_MAX);

	c->began = wait_now();
	free(c->line);
	c->line = NULL;
	if (!s->log || !r)
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
take_request(struct serve *s, struct peer *c)
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
	if (!status && length && !begin_long_request(s, c))
		status = 503;
	if (status) {
		note_line(s, c, named ? &r : NULL);
		refuse(c, status);
		return true;
	}
	if (text.n - n < length) {
		c->needed = n + (size_t)length;
		promise(c, &r);
		return false;
	}
	note_line(s, c, &r);
	answer(s, c, &r, str_make(text.s + n, (size_t)length));
	buf_drop(&c->in, n + (size_t)length);
	c->needed = 0;
	c->promised = false;
	c->empty = 0;
	return true;
}

/* Reads into c->in. */
static enum result
read_more(struct peer *c)
{
	char piece[4096];
	size_t n;
	enum result rv = peer_read(c, piece, sizeof(piece), &n);

	if (n && !c->in.len)
		c->deadline = wait_now() + REQUEST_MS;
	if (n)
		buf_add(&c->in, piece, n);
	return rv;
}

/* BLOCKED, BROKEN, or MOVED once a request is answered, or after READS. */
static enum result
take(struct serve *s, struct peer *c)
{
	enum result rv = MOVED;

	for (int i = 0; rv == MOVED && i < READS; i++) {
		if (c->in.len && take_request(s, c))
			break;
		rv = read_more(c);
	}
	return rv;
}

/* Sends from the file. Its last bytes become a text: they go out once the file
 * is known to be the same still, so that an answer which is whole is right. */
static enum result
give_file(struct peer *c, size_t *sent)
{
	size_t n = c->left < SLICE ? (size_t)c->left : SLICE;
	enum result rv;

	*sent = 0;
	if (c->left > SMALL) {
		rv = peer_write_file(
		    c, c->left - n < SMALL ? (size_t)c->left - SMALL : n, sent);
		c->at += *sent;
		c->left -= *sent;
		return is_same_file(c->file, &c->stamp) ? rv : BROKEN;
	}
	buf_clear(&c->out);
	c->given = 0;
	if (!read_proved(&c->out, c->file, c->at, n, &c->stamp))
		return BROKEN;
	c->left = 0;
	return MOVED;
}

/* Makes the next piece of a long text. One that cannot be ended breaks off, so
 * that it does not look whole. */
static enum result
make_more(struct peer *c)
{
	struct buf piece = buf_make(HEAD_MAX);
	int more = reply_more(c->rest, &piece);

	buf_clear(&c->out);
	c->given = 0;
	if (more >= 0)
		put_chunk(c, buf_str(&piece), more == 0);
	buf_release(&piece);
	if (more > 0)
		return MOVED;
	reply_rest_release(c->rest);
	c->rest = NULL;
	return more < 0 || c->out.full ? BROKEN : MOVED;
}

static enum result
give_some(struct peer *c, size_t *sent)
{
	enum result rv;

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

static void
end_answer(struct serve *s, struct peer *c)
{
	if (s->log)
		log_answer(s, c);
	if (c->file >= 0)
		close(c->file);
	c->file = -1;
	buf_release(&c->out);
	c->out = buf_make(0);
	c->given = 0;
	end_long_request(s, c);
	if (!c->in.len) {
		buf_release(&c->in);
		c->in = buf_make(HTTP_REQUEST_MAX + REPLY_BODY_MAX + 8192);
	}
	c->phase = c->keep ? TAKES : ENDS;
	c->deadline = wait_now() + (c->in.len    ? REQUEST_MS
				       : c->keep ? IDLE_MS
						 : DRAIN_MS);
	if (!c->keep && !c->tls)
		shutdown(c->fd, SHUT_WR);
}

/* Sends the answer, up to SLICE bytes. */
static enum result
give(struct serve *s, struct peer *c)
{
	size_t all = 0, sent;
	enum result rv = MOVED;

	while (rv == MOVED && !is_given(c) && all < SLICE) {
		rv = give_some(c, &sent);
		all += sent;
	}
	c->total += all;
	c->sent += all;
	c->gone += all;
	if (rv == MOVED && is_given(c) && c->tls)
		rv = result_of_tls(c, tls_peer_flush(c->tls));
	if (rv == MOVED && is_given(c))
		end_answer(s, c);
	if (rv == BROKEN && s->log)
		log_answer(s, c);
	return rv;
}

/* Closing while bytes of the client are unread would reset the connection, and
 * the client could lose the answer. */
static enum result
drain(struct peer *c)
{
	char piece[4096];
	size_t n;

	if (!c->refused || c->tls)
		return BROKEN;
	for (int i = 0; i < 64; i++) {
		enum result rv = peer_read(c, piece, sizeof(piece), &n);

		if (rv != MOVED)
			return rv;
	}
	return BROKEN;
}

static enum result
step(struct serve *s, struct peer *c)
{
	if (c->phase == TAKES)
		return s->stopping && !c->in.len ? BROKEN : take(s, c);
	return c->phase == GIVES ? give(s, c) : drain(c);
}

/* --- Workers. --- */

/* Under the lock. */
static void
add_work(struct serve *s, struct peer *c)
{
	c->next = NULL;
	*s->work.last = c;
	s->work.last = &c->next;
	s->queued++;
}

static void
push(struct serve *s, struct peer *c)
{
	pthread_mutex_lock(&s->lock);
	add_work(s, c);
	pthread_cond_signal(&s->ready);
	pthread_mutex_unlock(&s->lock);
}

/* Puts c (NULL: none) at the end, and takes the first; NULL: the thread is to
 * end. */
static struct peer *
next_work(struct serve *s, struct peer *c)
{
	pthread_mutex_lock(&s->lock);
	if (c)
		add_work(s, c);
	s->resting++;
	while (!s->work.first && !s->over)
		pthread_cond_wait(&s->ready, &s->lock);
	s->resting--;
	c = s->work.first;
	if (c) {
		s->work.first = c->next;
		if (!c->next)
			s->work.last = &s->work.first;
		s->queued--;
	}
	pthread_mutex_unlock(&s->lock);
	return c;
}

/* Back to the loop, which waits for it. */
static void
hand_back(struct serve *s, struct peer *c)
{
	bool wake;

	pthread_mutex_lock(&s->lock);
	count(s, c);
	c->next = s->back;
	s->back = c;
	wake = !s->woken;
	s->woken = true;
	pthread_mutex_unlock(&s->lock);
	if (wake && write(s->wake[1], "", 1) < 0)
		return; /* the pipe is full: the loop wakes anyway */
}

/* True if c can go on after a short wait, for which no other connection has to
 * wait. */
static bool
linger(const struct serve *s, const struct peer *c)
{
	struct pollfd p = {.fd = c->fd, .events = c->wants};

	return s->resting && !s->queued && !s->stopping &&
	       poll(&p, 1, LINGER) > 0;
}

/* Returns c if others have their turn before it goes on, else NULL. */
static struct peer *
work_on(struct serve *s, struct peer *c)
{
	for (;;) {
		enum result rv = s->over ? BROKEN : step(s, c);

		/* The loop sees no deadline of one that is always ready. */
		if (rv == BROKEN ||
		    (wait_now() >= c->deadline && !keeps_pace(c))) {
			peer_close(s, c);
			return NULL;
		}
		if (rv == MOVED && s->queued)
			return c;
		if (rv == BLOCKED && !linger(s, c)) {
			hand_back(s, c);
			return NULL;
		}
	}
}

static void *
work(void *arg)
{
	struct serve *s = arg;
	struct peer *c = NULL;

	while ((c = next_work(s, c)))
		c = work_on(s, c);
	return NULL;
}

/* --- Proving, and looking again. --- */

static void
show_count(struct serve *s, struct site *site, const char *before)
{
	struct site_count n = site_count(site);
	char size[16], more[64] = "", wrong[64] = "";

	size_show(n.bytes, size);
	if (n.unproved)
		snprintf(
		    more, sizeof(more), "; %zu to be hashed first", n.unproved);
	if (n.wrong)
		snprintf(wrong, sizeof(wrong), "; %zu left out", n.wrong);
	progress_note(s->s.progress, "%s%zu file%s of %zu repositor%s, %s%s%s",
	    before, n.files, n.files == 1 ? "" : "s", n.repos,
	    n.repos == 1 ? "y" : "ies", size, more, wrong);
}

static void *
prove(void *arg)
{
	struct serve *s = arg;
	struct site *site = current_site(s);
	bool some = false, over = false;
	struct err e;

	while (!over) {
		struct site *before = site;
		int rv;

		site = current_site(s);
		/* What was hashed while it looked again counts, too. */
		if (site != before)
			site_inherit(site, before);
		site_release(before);
		rv = site_prove(site, &e);
		if (rv == 0 && some)
			show_count(s, site, "all is hashed: ");
		some = rv > 0;
		pthread_mutex_lock(&s->lock);
		while (rv == 0 && !s->unproved && !s->over)
			pthread_cond_wait(&s->prove, &s->lock);
		s->unproved = false;
		over = rv < 0 || s->over;
		pthread_mutex_unlock(&s->lock);
	}
	site_release(site);
	return NULL;
}

static void
look_once(struct serve *s)
{
	struct site *old = current_site(s), *site;
	struct err e;

	site = site_look(&s->setup, old, &e);
	if (site) {
		show_count(s, site, "looked again: ");
		pthread_mutex_lock(&s->lock);
		s->site = site;
		s->unproved = true;
		pthread_cond_broadcast(&s->prove);
		pthread_mutex_unlock(&s->lock);
		site_release(old); /* the reference that s->site was */
	} else if (!wait_stop()) {
		progress_note(s->s.progress, "cannot look again: %s", e.msg);
	}
	site_release(old);
}

static void *
look(void *arg)
{
	struct serve *s = arg;

	for (;;) {
		pthread_mutex_lock(&s->lock);
		while (!s->look && !s->over)
			pthread_cond_wait(&s->prove, &s->lock);
		s->look = false;
		if (s->over) {
			pthread_mutex_unlock(&s->lock);
			return NULL;
		}
		pthread_mutex_unlock(&s->lock);
		look_once(s);
	}
}

static void
note_left_out(void *ctx, const struct err *why)
{
	const struct serve *s = ctx;

	progress_note(s->s.progress, "%s", why->msg);
}

/* --- The loop. --- */

struct loop {
	struct serve *s;
	struct peer **conn; /* those that wait */
	struct pollfd *fd;  /* 0: the pipe; 1: the listener; then theirs */
	size_t n;
	uint64_t deaf; /* until then no connection is accepted */
};

#define FIRST 2

/* The time after which a client's pace counts when there is no room, ms. */
#define CRAWL_MS 10000

/* The time without new connections when there are no descriptors, ms. */
#define DEAF_MS 100

static void
loop_add(struct loop *l, struct peer *c)
{
	l->fd[FIRST + l->n] = (struct pollfd){.fd = c->fd, .events = c->wants};
	l->conn[l->n++] = c;
}

static struct peer *
loop_take(struct loop *l, size_t i)
{
	struct peer *c = l->conn[i];

	l->n--;
	l->conn[i] = l->conn[l->n];
	l->fd[FIRST + i] = l->fd[FIRST + l->n];
	return c;
}

static void
take_back(struct loop *l)
{
	struct serve *s = l->s;
	struct peer *c;
	char drop[16];

	while (read(s->wake[0], drop, sizeof(drop)) > 0)
		;
	pthread_mutex_lock(&s->lock);
	c = s->back;
	s->back = NULL;
	s->woken = false;
	pthread_mutex_unlock(&s->lock);
	while (c) {
		struct peer *next = c->next;

		loop_add(l, c);
		c = next;
	}
}

/* True for a client that has taken next to nothing for a while. */
static bool
crawls(const struct peer *c)
{
	return wait_now() + PACE_MS >= c->deadline + CRAWL_MS &&
	       bytes_taken(c) < c->taken + PACE / (PACE_MS / CRAWL_MS);
}

/* True if c is to make room for a client: it only waits or crawls, or its
 * client has more connections. */
static bool
gives_way(const struct peer *c, const struct holder *to)
{
	return c->phase != GIVES || c->holder->conns > to->conns + 1 ||
	       crawls(c);
}

/* True if c is to go rather than the other one: which only waits, then whose
 * client has more, then which does so for longer. */
static bool
goes_first(const struct peer *c, const struct peer *other)
{
	if ((c->phase == GIVES) != (other->phase == GIVES))
		return c->phase != GIVES;
	if (c->holder->conns != other->holder->conns)
		return c->holder->conns > other->holder->conns;
	return c->deadline < other->deadline;
}

/* Closes a connection for one of that client, so that neither those which only
 * wait, nor those which read slowly, nor those of one client can shut out the
 * others. */
static bool
make_room(struct loop *l, const struct holder *to)
{
	size_t best = l->n;

	for (size_t i = 0; i < l->n; i++)
		if (gives_way(l->conn[i], to) &&
		    (best == l->n || goes_first(l->conn[i], l->conn[best])))
			best = i;
	if (best == l->n)
		return false;
	peer_drop(l->s, loop_take(l, best));
	return true;
}

static void
turn_away(struct serve *s, int fd)
{
	static const char text[] =
	    "HTTP/1.1 503 Full\r\nRetry-After: 5\r\n"
	    "Content-Length: 0\r\nConnection: close\r\n\r\n";

	if (!s->key)
		(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
	close(fd);
	pthread_mutex_lock(&s->lock);
	s->refused++;
	pthread_mutex_unlock(&s->lock);
}

static void
name_peer(const struct sockaddr_storage *a, char *out)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;
	const void *at = a->ss_family == AF_INET6 ? (const void *)&v6->sin6_addr
						  : (const void *)&v4->sin_addr;

	if (!inet_ntop(a->ss_family, at, out, INET6_ADDRSTRLEN))
		snprintf(out, INET6_ADDRSTRLEN, "-");
}

/* Of IPv6 the network counts, in which a client can choose its address. */
static struct holder *
holder_of(struct serve *s, const struct sockaddr_storage *a)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;
	const unsigned char *ip = a->ss_family == AF_INET6
				      ? v6->sin6_addr.s6_addr
				      : (const void *)&v4->sin_addr;
	size_t n = a->ss_family == AF_INET6 ? 8 : 4;
	uint64_t hash = s->salt;

	if (a->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		ip += 12;
		n = 4;
	}
	/* The step of splitmix64, so that each bit counts. */
	for (size_t i = 0; i < n; i++) {
		hash = (hash ^ ip[i]) * 0xbf58476d1ce4e5b9;
		hash ^= hash >> 31;
	}
	return &s->holder[hash % HOLDERS];
}

static void
begin_peer(struct loop *l, int fd, const struct sockaddr_storage *from)
{
	struct serve *s = l->s;
	struct holder *holder = holder_of(s, from);
	struct peer *c;
	struct err e;
	int on = 1;

	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
	    (s->conns >= s->most && !make_room(l, holder))) {
		turn_away(s, fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c = xcalloc(1, sizeof(*c));
	c->fd = fd;
	c->file = -1;
	c->wants = POLLIN;
	c->in = buf_make(HTTP_REQUEST_MAX + REPLY_BODY_MAX + 8192);
	c->deadline = wait_now() + REQUEST_MS;
	name_peer(from, c->from);
	c->holder = holder;
	holder->conns++;
	s->conns++;
	if (s->key)
		c->tls = tls_peer_open(fd, s->key, &e);
	if (s->key && !c->tls)
		peer_close(s, c);
	else
		loop_add(l, c);
}

static void
accept_all(struct loop *l)
{
	/* Not endless: those that are here have their turn. */
	for (int i = 0; i < 64; i++) {
		struct sockaddr_storage from = {0};
		socklen_t n = sizeof(from);
		int fd = accept(l->s->listener, (struct sockaddr *)&from, &n);

		if (fd >= 0)
			begin_peer(l, fd, &from);
		else if (errno != EINTR && errno != ECONNABORTED) {
			/* Those that come stay, and would wake the loop at
			 * once. */
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				l->deaf = wait_now() + DEAF_MS;
			return;
		}
	}
}

/* Gives to the workers what can go on, and closes what took too long. */
static void
look_at_all(struct loop *l)
{
	uint64_t now = wait_now();

	for (size_t i = l->n; i-- > 0;) {
		struct peer *c = l->conn[i];

		if (l->fd[FIRST + i].revents)
			push(l->s, loop_take(l, i));
		else if ((now >= c->deadline && !keeps_pace(c)) ||
			 (l->s->stopping && c->phase == TAKES && !c->in.len))
			peer_drop(l->s, loop_take(l, i));
	}
}

static void
show_status(struct serve *s)
{
	struct site *site = current_site(s);
	uint64_t requests, sent, refused;
	char size[16], text[160];

	pthread_mutex_lock(&s->lock);
	requests = s->requests;
	sent = s->sent;
	refused = s->refused;
	pthread_mutex_unlock(&s->lock);
	size_show(sent, size);
	snprintf(text, sizeof(text),
	    "%u connections, %" PRIu64 " requests, %" PRIu64
	    " turned away, sent %s; ",
	    (unsigned)s->conns, requests, refused, size);
	show_count(s, site, text);
	site_release(site);
}

static void
ask_look(struct serve *s)
{
	pthread_mutex_lock(&s->lock);
	s->look = true;
	pthread_cond_broadcast(&s->prove);
	pthread_mutex_unlock(&s->lock);
}

/* Until a signal has come and all is finished, or it took too long. */
static void
run_loop(struct loop *l)
{
	struct serve *s = l->s;
	uint64_t end = WAIT_FOREVER;

	l->fd[0] = (struct pollfd){.fd = s->wake[0], .events = POLLIN};
	l->fd[1].events = POLLIN;
	while (!s->stopping || (s->conns && wait_now() < end)) {
		bool deaf = wait_now() < l->deaf;
		int ms = deaf || s->stopping ? DEAF_MS : 1000;

		l->fd[1].fd = deaf ? -1 : s->listener; /* -1: left out */
		if (poll(l->fd, (nfds_t)(FIRST + l->n), ms) < 0)
			for (size_t i = 0; i < FIRST + l->n; i++)
				l->fd[i].revents = 0;
		if (wait_stop() && !s->stopping) {
			s->stopping = true;
			end = wait_now() + STOP_MS;
			close(s->listener);
			s->listener = -1;
			l->fd[1].revents = 0;
		}
		if (wait_status_asked())
			show_status(s);
		if (wait_reload_asked())
			ask_look(s);
		look_at_all(l);
		if (l->fd[0].revents)
			take_back(l);
		if (l->fd[1].revents)
			accept_all(l);
	}
	take_back(l);
	while (l->n)
		peer_close(s, loop_take(l, 0));
}

/* --- The command. --- */

/* ADDR:PORT, [ADDR]:PORT, ADDR or PORT; "*" is all addresses. */
static int
parse_listen(
    const char *text, struct sockaddr_storage *out, socklen_t *n, struct err *e)
{
	struct sockaddr_in *v4 = (void *)out;
	struct sockaddr_in6 *v6 = (void *)out;
	struct str s = str_of(text), host = s, port = str_of("");
	const char *colon = strrchr(text, ':');
	unsigned char ip[16] = {0};
	uint64_t number = PORT;
	size_t length;

	if (str_num(s, 10, 65535, &number) == 0) {
		host = str_of("127.0.0.1");
	} else if (colon && !str_ends(s, "]") &&
		   (str_starts(s, "[") || strchr(text, ':') == colon)) {
		host = str_make(text, (size_t)(colon - text));
		port = str_of(colon + 1);
	}
	if (port.s[0] && str_num(port, 10, 65535, &number) < 0)
		host.n = 0;
	if (str_starts(host, "[") && str_ends(host, "]"))
		host = str_make(host.s + 1, host.n - 2);
	if (str_eq(host, "localhost"))
		host = str_of("127.0.0.1");
	length = str_eq(host, "*") ? 16 : url_ip(host, ip);
	memset(out, 0, sizeof(*out));
	if (length == 4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)number);
		memcpy(&v4->sin_addr, ip, 4);
		*n = sizeof(*v4);
		return 0;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)number);
	memcpy(&v6->sin6_addr, ip, 16);
	*n = sizeof(*v6);
	if (length)
		return 0;
	err_set(e, ERR_USAGE, "invalid address '%s'", text);
	return err_hint(e, "--listen 127.0.0.1:%d", PORT);
}

static bool
is_loopback(const struct sockaddr_storage *a)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;

	return a->ss_family == AF_INET ? ntohl(v4->sin_addr.s_addr) >> 24 == 127
				       : IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static bool
is_any(const struct sockaddr_storage *a)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;

	return a->ss_family == AF_INET
		   ? v4->sin_addr.s_addr == htonl(INADDR_ANY)
		   : IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
}

/* The address for HF_ENDPOINT; of all addresses the name of this machine. */
static void
show_address(struct serve *s, const struct sockaddr_storage *a)
{
	const struct sockaddr_in *v4 = (const void *)a;
	char host[256] = "";
	bool v6 = a->ss_family == AF_INET6 && !is_any(a);

	if (!is_any(a) || gethostname(host, sizeof(host) - 1) < 0 || !*host)
		name_peer(a, host);
	/* The port is at the same place in both. */
	snprintf(s->url, sizeof(s->url), "http%s://%s%s%s:%u",
	    s->key ? "s" : "", v6 ? "[" : "", host, v6 ? "]" : "",
	    (unsigned)ntohs(v4->sin_port));
}

/* Before anything else, since it is refused for the options alone. */
static int
check_openness(
    struct serve *s, const char *address, bool loopback, struct err *e)
{
	struct progress *p = s->s.progress;

	if (s->token && !s->key && !loopback) {
		err_set(e, ERR_USAGE,
		    "the token would be readable on the way to '%s'", address);
		return err_hint(e, "--cert FILE --key FILE");
	}
	if (!loopback && !s->key)
		progress_note(
		    p, "connections are not encrypted (--cert, --key)");
	if (!loopback && !s->token)
		progress_note(p,
		    "everyone who can reach '%s' can read what is served "
		    "(--token-file)",
		    address);
	return 0;
}

/* All addresses are those of IPv4 on a machine without IPv6. */
static int
open_socket(struct sockaddr_storage *at, socklen_t *n)
{
	struct sockaddr_in *v4 = (void *)at;
	int fd = socket(at->ss_family, SOCK_STREAM, 0), on = 1, off = 0;

	if (fd < 0 && errno == EAFNOSUPPORT && is_any(at)) {
		/* The port is at the same place in both. */
		*v4 = (struct sockaddr_in){
		    .sin_family = AF_INET, .sin_port = v4->sin_port};
		*n = sizeof(*v4);
		fd = socket(AF_INET, SOCK_STREAM, 0);
	}
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (at->ss_family == AF_INET6 && is_any(at))
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	return fd;
}

static int
open_listener(struct serve *s, struct err *e)
{
	const char *text = s->o->listen ? s->o->listen : "127.0.0.1";
	struct sockaddr_storage at;
	socklen_t n;

	if (parse_listen(text, &at, &n, e) < 0 ||
	    check_openness(s, text, is_loopback(&at), e) < 0)
		return -1;
	s->listener = open_socket(&at, &n);
	if (s->listener < 0 ||
	    bind(s->listener, (const struct sockaddr *)&at, n) < 0 ||
	    listen(s->listener, 1024) < 0 ||
	    fcntl(s->listener, F_SETFL, O_NONBLOCK) < 0 ||
	    getsockname(s->listener, (struct sockaddr *)&at, &n) < 0) {
		bool used = errno == EADDRINUSE;

		err_sys(e, ERR_OTHER, "cannot listen at '%s'", text);
		return used ? err_hint(e, "--listen with another port") : -1;
	}
	s->rebinds = is_loopback(&at) && !s->token && !s->key;
	show_address(s, &at);
	return 0;
}

/* "ORG/NAME=DIR", "datasets/ORG/NAME=DIR" or "DIR". */
static int
open_root(const struct serve *s, struct site_root *root, const char *text,
    struct err *e)
{
	struct str id = str_of(""), dir = str_of(text);
	struct buf key = buf_make(1024);
	struct repoid checked;
	enum repo_type type = REPO_MODEL;
	char *path;
	int rv;

	if (s->o->repo_type && repo_type_parse(s->o->repo_type, &type, e) < 0)
		return -1;
	if (str_cut(dir, '=', &id, &dir)) {
		const char *first = memchr(id.s, '/', id.n);

		/* With two slashes it says its type itself. */
		if (!first ||
		    !memchr(first + 1, '/', id.n - (size_t)(first + 1 - id.s)))
			buf_printf(&key, "%s/", repo_type_plural(type));
		buf_str_add(&key, id);
		rv = repoid_parse_path(buf_cstr(&key), &checked, e);
		if (rv < 0) {
			buf_release(&key);
			return err_in(e, "-p %s", text);
		}
		repoid_release(&checked);
		root->repo = buf_detach(&key);
	}
	path = str_dup(dir);
	rv = folder_open(&root->folder, path, false, e);
	free(path);
	if (rv == 0)
		root->folder.own = LOCALDIR_TOP;
	return rv;
}

static int
open_cache(const struct serve *s, struct site_root *root, struct err *e)
{
	root->cache = true;
	if (!s->c->cache_dir) {
		err_set(e, ERR_USAGE, "there is no HOME, so no shared cache");
		return err_hint(e, "--cache-dir DIR");
	}
	return folder_open(&root->folder, s->c->cache_dir, false, e);
}

static int
open_roots(struct serve *s, struct err *e)
{
	const struct string_list *list = &s->o->folders;
	bool cache = s->o->cache || s->o->cache_dir || !list->n;

	s->root = xcalloc(list->n + 1, sizeof(s->root[0]));
	s->setup = (struct site_setup){
	    .root = s->root, .note = note_left_out, .ctx = s};
	for (size_t i = 0; i <= list->n; i++)
		s->root[i].folder.fd = -1;
	for (; s->setup.n < list->n; s->setup.n++)
		if (open_root(s, &s->root[s->setup.n], list->s[s->setup.n], e) <
		    0)
			return -1;
	if (cache && open_cache(s, &s->root[s->setup.n++], e) < 0)
		return -1;
	return 0;
}

static int
open_tls(struct serve *s, struct err *e)
{
	if (!s->o->cert)
		return 0;
	s->key = tls_key_open(s->o->cert, s->o->key, e);
	return s->key ? 0 : -1;
}

/* The number of connections for which there is memory. */
static size_t
within_memory(const struct serve *s)
{
	const struct jobs_machine *m = &s->c->machine;
	const uint64_t share[] = {m->process / 2, m->group / 2, m->ram / 4};
	uint64_t most = CONNECTIONS;

	for (size_t i = 0; i < countof(share); i++) {
		uint64_t n =
		    share[i] / (s->key ? CONNECTION_SIZE_TLS : CONNECTION_SIZE);

		if (n < most)
			most = n;
	}
	return most < CONNECTIONS_MIN ? CONNECTIONS_MIN : (size_t)most;
}

/* A connection needs two descriptors: its own and a file. */
static void
raise_limits(struct serve *s)
{
	const rlim_t spare = 64 + s->setup.n, want = 2 * CONNECTIONS + spare;
	struct rlimit r = {0};

	s->most = within_memory(s);
	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	if (r.rlim_cur < want) {
		r.rlim_cur = r.rlim_max < want ? r.rlim_max : want;
		setrlimit(RLIMIT_NOFILE, &r);
		getrlimit(RLIMIT_NOFILE, &r);
	}
	if (r.rlim_cur < 2 * s->most + spare)
		s->most = r.rlim_cur > spare + 2 ? (r.rlim_cur - spare) / 2 : 1;
}

static void
limit(const struct serve *s)
{
	struct confine c = confine_make();

	c.accepts = true;
	for (size_t i = 0; i < s->setup.n; i++)
		confine_read(&c, s->root[i].folder.fd, ".");
	session_confine(&s->s, &c);
}

struct threads {
	pthread_t id[WORKERS_MAX + 2];
	size_t n;
};

/* Signals are for the loop alone: its poll() is to end. */
static int
start_threads(struct serve *s, struct threads *t, struct err *e)
{
	sigset_t all, before;
	size_t workers = 2 * (size_t)s->c->machine.cores;
	bool good = true;

	if (workers < WORKERS_MIN)
		workers = WORKERS_MIN;
	if (workers > WORKERS_MAX)
		workers = WORKERS_MAX;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	for (t->n = 0; good && t->n < workers + 2; t->n += good)
		good = pthread_create(&t->id[t->n], NULL,
			   t->n == 0   ? prove
			   : t->n == 1 ? look
				       : work,
			   s) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	/* One worker is enough. */
	return t->n > 2 ? 0 : err_set(e, ERR_OTHER, "cannot start a thread");
}

static void
join_threads(struct serve *s, struct threads *t)
{
	pthread_mutex_lock(&s->lock);
	s->over = true;
	pthread_cond_broadcast(&s->ready);
	pthread_cond_broadcast(&s->prove);
	pthread_mutex_unlock(&s->lock);
	while (t->n)
		pthread_join(t->id[--t->n], NULL);
}

static int
run_all(struct serve *s, struct err *e)
{
	struct loop l = {.s = s};
	struct threads t;
	int rv;

	l.conn = xcalloc(s->most + 1, sizeof(l.conn[0]));
	l.fd = xcalloc(s->most + 1 + FIRST, sizeof(l.fd[0]));
	rv = start_threads(s, &t, e);
	if (rv == 0)
		run_loop(&l);
	join_threads(s, &t);
	take_back(&l);
	while (l.n)
		peer_close(s, loop_take(&l, 0));
	free(l.conn);
	free(l.fd);
	return rv;
}

static int
begin(struct serve *s, struct err *e)
{
	if (open_roots(s, e) < 0 || open_tls(s, e) < 0)
		return -1;
	s->site = site_look(&s->setup, NULL, e);
	if (!s->site || open_listener(s, e) < 0)
		return -1;
	if (pipe(s->wake) < 0 || fcntl(s->wake[0], F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(s->wake[1], F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, ERR_OTHER, "cannot make a pipe");
	raise_limits(s);
	limit(s);
	return 0;
}

static int
run(struct serve *s, struct output *out, struct err *e)
{
	if (begin(s, e) < 0)
		return -1;
	show_count(s, s->site, "serving ");
	progress_note(s->s.progress, "for clients: HF_ENDPOINT=%s", s->url);
	buf_printf(&out->text, "%s\n", s->url);
	if (output_flush(out, e) < 0)
		return -1;
	return run_all(s, e);
}

static void
release(struct serve *s)
{
	site_release(s->site);
	for (size_t i = 0; s->root && i <= s->o->folders.n; i++) {
		folder_close(&s->root[i].folder);
		free(s->root[i].repo);
	}
	free(s->root);
	tls_key_close(s->key);
	if (s->listener >= 0)
		close(s->listener);
	for (int i = 0; i < 2; i++)
		if (s->wake[i] >= 0)
			close(s->wake[i]);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->log_lock);
	pthread_cond_destroy(&s->ready);
	pthread_cond_destroy(&s->prove);
	session_close(&s->s);
}

int
serve(const struct options *o, const struct config *c, struct output *out,
    struct err *e)
{
	struct serve s = {
	    .o = o,
	    .c = c,
	    .salt = wait_random(),
	    .token = o->token_file ? c->token : NULL,
	    .listener = -1,
	    .wake = {-1, -1},
	    .log = o->log || o->verbose,
	};
	int rv;

	wait_reload();
	pthread_mutex_init(&s.lock, NULL);
	pthread_mutex_init(&s.log_lock, NULL);
	pthread_cond_init(&s.ready, NULL);
	pthread_cond_init(&s.prove, NULL);
	s.work.last = &s.work.first;
	session_open_local(&s.s, o, c);
	rv = run(&s, out, e);
	release(&s);
	return rv;
}
