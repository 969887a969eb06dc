#include "serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api.h"
#include "config.h"
#include "err.h"
#include "file.h"
#include "option.h"
#include "peer.h"
#include "plan.h"
#include "progress.h"
#include "sandbox.h"
#include "session.h"
#include "site.h"
#include "str.h"
#include "tls.h"
#include "url.h"
#include "wait.h"

#define PORT 8090

/* The time to finish after SIGTERM, ms. */
#define STOP_MS 10000

/* How long a worker waits for the next request of its connection, or for room to
 * send, while another worker is free; ms. */
#define LINGER 10

/* Two a core, since one may wait for the disk. */
#define WORKERS_MIN 4
#define WORKERS_MAX 16

/* The most connections; fewer if the most memory that each can hold (a head, and a
 * piece of a listing) does not fit into a share of the machine's. */
#define CONNECTIONS 4096
#define CONNECTIONS_MIN 16
#define CONNECTION_SIZE ((size_t)96 << 10)
#define CONNECTION_SIZE_TLS ((size_t)136 << 10)

struct queue {
	struct peer *first, **last;
};

struct serve {
	const struct options *o;
	const struct config *c;
	struct session s;
	struct tls_key *key;
	struct peers peers;
	struct site_root *root;
	struct site_setup setup;
	int listener, wake[2];
	size_t most; /* connections */
	char url[300];

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t ready, prove;
	struct queue work; /* for the workers */
	struct peer *back; /* connections for the loop to wait for */
	bool woken;        /* the loop was told that there are some */
	bool look;         /* SIGHUP: look again */
	bool unproved;     /* something is to be proved */
	struct site *site;
	uint64_t refused;

	/* Also read without the lock. */
	atomic_uint queued;  /* connections in work */
	atomic_uint resting; /* workers without one */
	atomic_bool over;    /* threads end now */
};

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

/* All of a list. */
static void
push(struct serve *s, struct peer *first)
{
	struct peer *next;

	pthread_mutex_lock(&s->lock);
	for (; first; first = next) {
		next = first->next;
		add_work(s, first);
		pthread_cond_signal(&s->ready);
	}
	pthread_mutex_unlock(&s->lock);
}

/* Puts c (NULL: none) at the end of the queue, and takes the first one. NULL: the
 * thread ends now. */
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

	peer_count(&s->peers, c);
	pthread_mutex_lock(&s->lock);
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

	return s->resting && !s->queued && !s->peers.stopping &&
	       poll(&p, 1, LINGER) > 0;
}

/* Works on c until it has to wait. Returns c if others have their turn first;
 * NULL: the loop has it, or it is closed. */
static struct peer *
work_on(struct serve *s, struct peer *c)
{
	for (;;) {
		enum peer_result rv =
		    s->over ? PEER_BROKEN : peer_step(&s->peers, c);

		/* The loop sees no deadline of one that is always ready. */
		if (rv == PEER_BROKEN ||
		    (wait_now() >= c->deadline && !peer_keeps_pace(c))) {
			peer_close(&s->peers, c);
			return NULL;
		}
		if (rv == PEER_MOVED && s->queued)
			return c;
		if (rv == PEER_BLOCKED && !linger(s, c)) {
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
	struct peer_worker w = peer_worker_make();

	while ((c = next_work(s, c))) {
		c->worker = &w;
		c = work_on(s, c);
	}
	peer_worker_release(&w);
	return NULL;
}

/* --- Proving, and looking again. --- */

static struct site *
current_site(void *ctx)
{
	struct serve *s = ctx;
	struct site *site;

	pthread_mutex_lock(&s->lock);
	site = site_keep(s->site);
	pthread_mutex_unlock(&s->lock);
	return site;
}

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

static void
ask_proof(void *ctx)
{
	struct serve *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->unproved = true;
	pthread_cond_broadcast(&s->prove);
	pthread_mutex_unlock(&s->lock);
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
	uint64_t deaf; /* no connection is accepted before this time */
	int newcomer;  /* a client that waits for a place; -1: none */
	struct sockaddr_storage from; /* its address */
	uint64_t until;               /* when it is turned away */
};

#define FIRST 2

/* The time without new connections when there are no descriptors, ms. */
#define DEAF_MS 100

/* How long a newcomer waits for a place, and the time between two looks for one,
 * ms. */
#define PLACE_MS 1000
#define PLACE_STEP_MS 10

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

/* True if c may be closed for a client of that group: it waits for a request, it
 * crawls, or its own group has more connections. */
static bool
gives_way(const struct peer *c, const struct peer_holder *to)
{
	return c->phase != PEER_GIVES || c->holder->conns > to->conns + 1 ||
	       peer_crawls(c);
}

/* True if c is closed rather than the other one. First goes one that waits for a
 * request, then one whose group has more connections, then the one with the
 * earlier deadline. */
static bool
goes_first(const struct peer *c, const struct peer *other)
{
	if ((c->phase == PEER_GIVES) != (other->phase == PEER_GIVES))
		return c->phase != PEER_GIVES;
	if (c->holder->conns != other->holder->conns)
		return c->holder->conns > other->holder->conns;
	return c->deadline < other->deadline;
}

/* Closes a connection to make a place for a client of that group, so that neither
 * clients that only wait, nor slow readers, nor those of one machine can shut out
 * the others. False if none may be closed. */
static bool
make_room(struct loop *l, const struct peer_holder *to)
{
	size_t best = l->n;

	for (size_t i = 0; i < l->n; i++)
		if (gives_way(l->conn[i], to) &&
		    (best == l->n || goes_first(l->conn[i], l->conn[best])))
			best = i;
	if (best == l->n)
		return false;
	peer_drop(&l->s->peers, loop_take(l, best));
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

/* Gives the newcomer a place, or turns it away. False if it has to wait: workers
 * may soon be done with a connection that can be closed. Others wait behind the
 * newcomer: so one whose group has half of the places does not wait. */
static bool
begin_peer(struct loop *l)
{
	struct serve *s = l->s;
	const struct peer_holder *to = peer_holder(&s->peers, &l->from);
	int fd = l->newcomer;
	struct peer *c;

	if (s->peers.conns >= s->most && !make_room(l, to)) {
		if (s->peers.conns > l->n && to->conns < s->most / 2 &&
		    wait_now() < l->until)
			return false;
		l->newcomer = -1;
		turn_away(s, fd);
		return true;
	}
	l->newcomer = -1;
	c = peer_open(&s->peers, fd, &l->from);
	if (c)
		loop_add(l, c);
	return true;
}

/* False if there is no newcomer. */
static bool
accept_one(struct loop *l)
{
	socklen_t n = sizeof(l->from);
	int fd = accept(l->s->listener, (struct sockaddr *)&l->from, &n);

	if (fd < 0 && errno != EINTR && errno != ECONNABORTED) {
		/* Those that come stay, and would wake the loop at once. */
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			l->deaf = wait_now() + DEAF_MS;
		return false;
	}
	if (fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		close(fd);
		fd = -1;
	}
	l->newcomer = fd;
	l->until = wait_now() + PLACE_MS;
	return true;
}

static void
accept_all(struct loop *l)
{
	/* Not endless: those that are here have their turn. */
	for (int i = 0; i < 64; i++) {
		if (l->newcomer < 0 && !accept_one(l))
			return;
		if (l->newcomer >= 0 && !begin_peer(l))
			return;
	}
}

/* Gives connections that can go on to the workers, and closes those whose time is
 * over. */
static void
look_at_all(struct loop *l)
{
	uint64_t now = wait_now();
	struct peer *ready = NULL;

	for (size_t i = l->n; i-- > 0;) {
		struct peer *c = l->conn[i];

		if (l->fd[FIRST + i].revents) {
			loop_take(l, i);
			c->next = ready;
			ready = c;
		} else if ((now >= c->deadline && !peer_keeps_pace(c)) ||
			   (l->s->peers.stopping && c->phase == PEER_TAKES &&
			       !c->in.len))
			peer_drop(&l->s->peers, loop_take(l, i));
	}
	push(l->s, ready);
}

static void
show_status(struct serve *s)
{
	struct site *site = current_site(s);
	uint64_t requests, sent, refused;
	char size[16], text[160];

	pthread_mutex_lock(&s->lock);
	refused = s->refused;
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_lock(&s->peers.lock);
	requests = s->peers.requests;
	sent = s->peers.sent;
	pthread_mutex_unlock(&s->peers.lock);
	size_show(sent, size);
	snprintf(text, sizeof(text),
	    "%u connections, %" PRIu64 " requests, %" PRIu64
	    " turned away, sent %s; ",
	    (unsigned)s->peers.conns, requests, refused, size);
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

/* Waits for something to do, and for no new connections while there is no place or
 * no descriptor for them. */
static void
wait_for_some(struct loop *l)
{
	const struct serve *s = l->s;
	bool deaf = wait_now() < l->deaf;
	int ms = l->newcomer >= 0            ? PLACE_STEP_MS
		 : deaf || s->peers.stopping ? DEAF_MS
					     : 1000;

	/* -1 is left out. */
	l->fd[1].fd = deaf || l->newcomer >= 0 ? -1 : s->listener;
	if (poll(l->fd, (nfds_t)(FIRST + l->n), ms) < 0)
		for (size_t i = 0; i < FIRST + l->n; i++)
			l->fd[i].revents = 0;
}

/* Until a signal has come and all is finished, or it took too long. */
static void
run_loop(struct loop *l)
{
	struct serve *s = l->s;
	uint64_t end = WAIT_FOREVER;

	l->fd[0] = (struct pollfd){.fd = s->wake[0], .events = POLLIN};
	l->fd[1].events = POLLIN;
	while (!s->peers.stopping || (s->peers.conns && wait_now() < end)) {
		wait_for_some(l);
		if (wait_stop() && !s->peers.stopping) {
			s->peers.stopping = true;
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
		if (s->listener >= 0 && (l->fd[1].revents || l->newcomer >= 0))
			accept_all(l);
	}
	take_back(l);
	while (l->n)
		peer_close(&s->peers, loop_take(l, 0));
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
	err_set(e, ERR_USAGE,
	    "invalid address '%s': it needs an IP address, or * for all", text);
	return err_hint(e, "--listen '*:%d'", PORT);
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
		peer_name(a, host);
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

	if (s->peers.token && !s->key && !loopback) {
		err_set(e, ERR_USAGE,
		    "the token would be readable on the way to '%s'", address);
		return err_hint(e, "--cert FILE --key FILE");
	}
	if (!loopback && !s->key)
		progress_note(
		    p, "connections are not encrypted (--cert, --key)");
	if (!loopback && !s->peers.token)
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
	s->peers.rebinds = is_loopback(&at) && !s->peers.token && !s->key;
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
	if (folder_open(&root->folder, s->c->cache_dir, false, e) == 0)
		return 0;
	return err_hint(e, "-p ORG/NAME=DIR, or --cache-dir DIR");
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
	s->peers.key = s->key;
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
	struct loop l = {.s = s, .newcomer = -1};
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
		peer_close(&s->peers, loop_take(&l, 0));
	if (l.newcomer >= 0)
		close(l.newcomer);
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
	peers_release(&s->peers);
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
	    .listener = -1,
	    .wake = {-1, -1},
	    .peers =
		{
		    .token = o->token_file ? c->token : NULL,
		    .log = o->log || o->verbose,
		    .site = current_site,
		    .prove = ask_proof,
		},
	};
	int rv;

	wait_reload();
	pthread_mutex_init(&s.lock, NULL);
	peers_init(&s.peers);
	s.peers.ctx = &s;
	pthread_cond_init(&s.ready, NULL);
	pthread_cond_init(&s.prove, NULL);
	s.work.last = &s.work.first;
	session_open_local(&s.s, o, c);
	rv = run(&s, out, e);
	release(&s);
	return rv;
}
