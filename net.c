#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "err.h"
#include "mem.h"
#include "str.h"
#include "wait.h"

/* More addresses than that are not tried. */
#define ADDRESSES_MAX 16

/* RFC 8305, section 5: the next address while the last one is still silent. */
#define NEXT_MS 250

/* How long a poll() over several sockets may keep a signal waiting. */
#define SLICE_MS 100

/*
 * A name on its way to addresses. Two hold it, the asker and the thread; who
 * lets go last frees it. The thread writes rc, error and list, then a byte into
 * the pipe; the asker reads them only after that byte.
 */
struct lookup {
	atomic_uint holders;
	char *host;
	char port[8];
	struct addrinfo hints, *list;
	int rc, error;
	int done[2]; /* a pipe */
};

struct address {
	struct sockaddr_storage sa;
	socklen_t n;
};

/* Addresses in the order of trying, and the sockets that are on their way:
 * fd[i] belongs to at[i]; -1: not begun, or failed. */
struct race {
	struct address at[ADDRESSES_MAX];
	int fd[ADDRESSES_MAX];
	size_t count, begun;
	uint64_t next; /* when the next one begins */
	int error;     /* of the last that failed */
};

static void
lookup_release(struct lookup *l)
{
	if (atomic_fetch_sub(&l->holders, 1) != 1)
		return;
	if (l->list)
		freeaddrinfo(l->list);
	if (l->done[0] >= 0)
		close(l->done[0]);
	if (l->done[1] >= 0)
		close(l->done[1]);
	free(l->host);
	free(l);
}

/* RFC 6761, section 6.3: a machine without /etc/hosts has a localhost, too,
 * and no name server may say where that is. */
static const char *
lookup_name(const struct lookup *l)
{
	return str_eq_nocase(str_of(l->host), "localhost") ? NULL : l->host;
}

static void
lookup_run(struct lookup *l)
{
	l->rc = getaddrinfo(lookup_name(l), l->port, &l->hints, &l->list);
	l->error = errno;
	if (l->rc)
		l->list = NULL;
}

static void *
lookup_thread(void *arg)
{
	struct lookup *l = arg;
	ssize_t n;

	lookup_run(l);
	/* The pipe is empty and both of its ends are open: this cannot fail. */
	do
		n = write(l->done[1], "", 1);
	while (n < 0 && errno == EINTR);
	lookup_release(l);
	return NULL;
}

/* Signals are for the other threads, which wait with deadlines. */
static int
lookup_start(struct lookup *l)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t id;
	int rc = pthread_attr_init(&attr);

	if (rc)
		return rc;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	atomic_store(&l->holders, 2);
	rc = pthread_create(&id, &attr, lookup_thread, l);
	if (rc)
		atomic_store(&l->holders, 1);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return rc;
}

static int
lookup_wait(struct lookup *l, uint64_t deadline, struct err *e)
{
	char byte;
	int rc;

	if (pipe(l->done)) {
		l->done[0] = l->done[1] = -1;
		return err_sys(e, ERR_OTHER, "cannot make a pipe");
	}
	rc = lookup_start(l);
	if (rc) {
		errno = rc;
		return err_sys(e, ERR_OTHER, "cannot start a thread");
	}
	if (wait_fd(l->done[0], POLLIN, deadline, e))
		return -1;
	if (read(l->done[0], &byte, 1) != 1)
		return err_sys(e, ERR_OTHER, "cannot read a pipe");
	return 0;
}

static struct lookup *
lookup_make(const char *host, unsigned port, enum net_family family)
{
	static const int families[] = {
	    [NET_ANY] = AF_UNSPEC, [NET_IPV4] = AF_INET, [NET_IPV6] = AF_INET6};
	struct lookup *l = xcalloc(1, sizeof(*l));

	atomic_init(&l->holders, 1);
	l->host = xstrdup(host);
	snprintf(l->port, sizeof(l->port), "%u", port & 0xffff);
	l->done[0] = l->done[1] = -1;
	l->hints.ai_family = families[family];
	l->hints.ai_socktype = SOCK_STREAM;
	return l;
}

static int
lookup_failed(const struct lookup *l, struct err *e)
{
	errno = l->error;
	if (l->rc == EAI_SYSTEM)
		return err_sys(
		    e, ERR_NET, "cannot find the address of '%s'", l->host);
	return err_set(e, ERR_NET, "cannot find the address of '%s': %s",
	    l->host, gai_strerror(l->rc));
}

/* Takes those of one family that fit, in their order (getaddrinfo has sorted
 * them by RFC 6724). */
static size_t
take_family(const struct addrinfo *list, int family, struct address *out)
{
	size_t n = 0;

	for (; list && n < ADDRESSES_MAX; list = list->ai_next) {
		if (list->ai_family != family ||
		    list->ai_addrlen > sizeof(out[n].sa))
			continue;
		memcpy(&out[n].sa, list->ai_addr, list->ai_addrlen);
		out[n++].n = list->ai_addrlen;
	}
	return n;
}

/* IPv6 first, then in turn (RFC 8305, section 4). */
static void
race_fill(struct race *r, const struct addrinfo *list)
{
	struct address six[ADDRESSES_MAX], four[ADDRESSES_MAX];
	size_t n6 = take_family(list, AF_INET6, six);
	size_t n4 = take_family(list, AF_INET, four);

	for (size_t i = 0; i < ADDRESSES_MAX; i++) {
		if (i < n6 && r->count < ADDRESSES_MAX)
			r->at[r->count++] = six[i];
		if (i < n4 && r->count < ADDRESSES_MAX)
			r->at[r->count++] = four[i];
	}
}

/* An address in figures of the family that may not be used. */
static bool
is_of_other(const char *host, enum net_family family)
{
	unsigned char address[16];
	int other = family == NET_IPV4 ? AF_INET6 : AF_INET;

	return family != NET_ANY && inet_pton(other, host, address) == 1;
}

static int
resolve(struct race *r, const char *host, unsigned port, enum net_family family,
    uint64_t deadline, struct err *e)
{
	struct lookup *l;
	int rc = 0;

	if (is_of_other(host, family))
		return err_set(e, ERR_USAGE,
		    family == NET_IPV4
			? "'%s' is an IPv6 address, and only IPv4 is allowed"
			: "'%s' is an IPv4 address, and only IPv6 is allowed",
		    host);
	l = lookup_make(host, port, family);
	/* Addresses and localhost ask nobody, so they need no thread. */
	if (lookup_name(l))
		l->hints.ai_flags = AI_NUMERICHOST;
	lookup_run(l);
	if (l->rc && lookup_name(l)) {
		l->hints.ai_flags = 0;
		rc = lookup_wait(l, deadline, e);
		if (rc)
			err_in(e, "cannot find the address of '%s'", host);
	}
	if (!rc && l->rc)
		rc = lookup_failed(l, e);
	if (!rc)
		race_fill(r, l->list);
	lookup_release(l);
	return rc;
}

static int
open_socket(int family)
{
	const int on = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	/* Without it, only speed is lost. */
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

/* Begins the next address; one that fails at once lets the next begin. */
static void
race_begin(struct race *r, uint64_t now)
{
	struct address *a = &r->at[r->begun];
	int *fd = &r->fd[r->begun++];
	const struct sockaddr *sa = (const struct sockaddr *)&a->sa;

	r->next = now + NEXT_MS;
	*fd = open_socket(a->sa.ss_family);
	if (*fd >= 0 &&
	    (!connect(*fd, sa, a->n) || errno == EINPROGRESS || errno == EINTR))
		return;
	r->error = errno;
	r->next = now;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* A socket that poll() has named: true if it is connected. */
static bool
race_finished(struct race *r, size_t i, uint64_t now)
{
	int error = 0;
	socklen_t n = sizeof(error);

	if (getsockopt(r->fd[i], SOL_SOCKET, SO_ERROR, &error, &n))
		error = errno;
	if (!error)
		return true;
	r->error = error;
	r->next = now;
	close(r->fd[i]);
	r->fd[i] = -1;
	return false;
}

/* Nothing can be waited for: to ask again and again would only burn time. */
static void
race_give_up(struct race *r)
{
	r->error = errno;
	r->begun = r->count;
	for (size_t i = 0; i < r->count; i++) {
		if (r->fd[i] >= 0)
			close(r->fd[i]);
		r->fd[i] = -1;
	}
}

/* Polls all that are on their way for at most ms, and returns the index of one
 * that is connected, or -1. */
static int
race_poll(struct race *r, int ms)
{
	struct pollfd p[ADDRESSES_MAX];
	int n;

	/* poll() passes over negative descriptors. */
	for (size_t i = 0; i < r->begun; i++)
		p[i] = (struct pollfd){.fd = r->fd[i], .events = POLLOUT};
	n = poll(p, (nfds_t)r->begun, ms);
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		race_give_up(r);
	if (n <= 0)
		return -1;
	for (size_t i = 0; i < r->begun; i++)
		if (p[i].revents && race_finished(r, i, wait_now()))
			return (int)i;
	return -1;
}

static bool
race_lost(const struct race *r)
{
	if (r->begun < r->count)
		return false;
	for (size_t i = 0; i < r->count; i++)
		if (r->fd[i] >= 0)
			return false;
	return true;
}

static int
race_ms(const struct race *r, uint64_t now, uint64_t deadline)
{
	uint64_t end = now + SLICE_MS;

	if (r->begun < r->count && r->next < end)
		end = r->next;
	if (deadline < end)
		end = deadline;
	return end > now ? (int)(end - now) : 0;
}

/* The index of the first that is connected, or -1. */
static int
race_run(struct race *r, uint64_t deadline, struct err *e)
{
	for (;;) {
		uint64_t now = wait_now();
		int winner;

		if (wait_check(e))
			return -1;
		if (r->begun < r->count && now >= r->next)
			race_begin(r, now);
		if (race_lost(r)) {
			if (r->count == 1)
				return err_set(
				    e, ERR_NET, "%s", strerror(r->error));
			errno = r->error;
			return err_sys(e, ERR_NET,
			    "none of its %zu addresses answers", r->count);
		}
		winner = race_poll(r, race_ms(r, now, deadline));
		if (winner >= 0)
			return winner;
		if (now >= deadline)
			return err_set(e, ERR_NET, "timed out");
	}
}

int
net_connect(const char *host, unsigned port, enum net_family family,
    uint64_t deadline, struct err *e)
{
	struct race r = {.error = EADDRNOTAVAIL};
	int winner, fd;

	for (size_t i = 0; i < ADDRESSES_MAX; i++)
		r.fd[i] = -1;
	if (resolve(&r, host, port, family, deadline, e))
		return -1;
	winner = race_run(&r, deadline, e);
	fd = winner < 0 ? -1 : r.fd[winner];
	for (size_t i = 0; i < r.begun; i++)
		if (r.fd[i] >= 0 && r.fd[i] != fd)
			close(r.fd[i]);
	if (fd < 0)
		err_in(e, "cannot connect to '%s' port %u", host, port);
	return fd;
}

static bool
again(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

int
net_read(
    int fd, void *p, size_t cap, size_t *n, uint64_t deadline, struct err *e)
{
	for (;;) {
		ssize_t got;

		if (wait_check(e))
			return -1;
		got = recv(fd, p, cap, 0);
		if (got >= 0) {
			*n = (size_t)got;
			return 0;
		}
		if (!again())
			return err_sys(e, ERR_NET, "cannot receive");
		if (wait_fd(fd, POLLIN, deadline, e))
			return -1;
	}
}

int
net_write(int fd, const void *p, size_t n, uint64_t deadline, struct err *e)
{
	const char *from = p;

	while (n) {
		ssize_t sent;

		if (wait_check(e))
			return -1;
		sent = send(fd, from, n, MSG_NOSIGNAL);
		if (sent >= 0) {
			from += sent;
			n -= (size_t)sent;
			continue;
		}
		if (!again())
			return err_sys(e, ERR_NET, "cannot send");
		if (wait_fd(fd, POLLOUT, deadline, e))
			return -1;
	}
	return 0;
}
