#define _GNU_SOURCE /* struct ifreq, getaddrinfo_a() */

#include "conn.h"

#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns.h"
#include "err.h"
#include "http.h"
#include "str.h"
#include "tls.h"
#include "wait.h"

/* --- Names, addresses and sockets. --- */

/* Milliseconds after which the next address is tried while the last one is
 * still silent (RFC 8305, section 5). */
#define NEXT_MS 250

/* Milliseconds that a poll() over several sockets may delay the answer to a
 * signal. */
#define SLICE_MS 100

/* Milliseconds after which the next name server is asked while the last one is
 * still silent. */
#define NEXT_SERVER_MS 1000

/* Milliseconds that the answer for one family waits for the other: IPv6 is
 * preferred (RFC 8305, section 3), IPv4 is the way out where IPv6 does not
 * work. */
#define SIX_GRACE_MS 50
#define FOUR_GRACE_MS 1000

/* Room for a line of hosts or resolv.conf; the rest of it is left out. */
#define LINE_SIZE 4096

/* Bytes of an answer. By TCP its length comes first; by UDP a server may send
 * more than DNS_UDP_MAX. */
#define TCP_MAX (2 + 65535)
#define UDP_ROOM 4096

struct address {
	struct sockaddr_storage sa;
	socklen_t n;
};

#define ADDRESSES_MAX (2 * DNS_ADDRESSES)

/* Addresses in the order of trying, and a socket for each: fd[i] belongs to
 * at[i]; -1: not begun, or failed. */
struct race {
	struct address at[ADDRESSES_MAX];
	int fd[ADDRESSES_MAX];
	size_t count, begun;
	uint64_t next; /* when the next one begins */
	int error;     /* of the last that failed */
};

/* --- Names to addresses. --- */

static bool
again(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

#ifdef __linux__
/* The libc's function wants a socket of a kind that the sandbox refuses. */
static uint32_t
interface_index(const char *name)
{
	struct ifreq r = {.ifr_ifindex = 0};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFINDEX, &r) < 0)
		r.ifr_ifindex = 0;
	if (fd >= 0)
		close(fd);
	return (uint32_t)r.ifr_ifindex;
}
#else
#define interface_index if_nametoindex
#endif

/* Returns the zone of an address as a number: "2", or the index of the
 * interface "eth0"; 0 if it has none. */
static uint32_t
zone_index(const char *zone)
{
	uint64_t n;

	if (!*zone)
		return 0;
	if (str_num(str_of(zone), 10, UINT32_MAX, &n) == 0)
		return (uint32_t)n;
	return interface_index(zone);
}

static struct address
make_address(const struct dns_address *a, unsigned port)
{
	struct address out = {.n = 0};
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};

	four.sin_port = six.sin6_port = htons((uint16_t)port);
	if (a->six) {
		memcpy(&six.sin6_addr, a->ip, sizeof(six.sin6_addr));
		six.sin6_scope_id = zone_index(a->zone);
		out.n = sizeof(six);
		memcpy(&out.sa, &six, sizeof(six));
	} else {
		memcpy(&four.sin_addr, a->ip, sizeof(four.sin_addr));
		out.n = sizeof(four);
		memcpy(&out.sa, &four, sizeof(four));
	}
	return out;
}

/* Calls take for each line of a file; not at all if it cannot be read. */
static void
each_line(const char *path, void (*take)(void *ctx, struct str line), void *ctx)
{
	FILE *f = fopen(path, "re");
	bool whole = true; /* the line before this piece has ended */
	char text[LINE_SIZE];

	while (f && fgets(text, sizeof(text), f)) {
		size_t n = strlen(text);
		bool first = whole;

		whole = n && text[n - 1] == '\n';
		if (first)
			take(ctx, str_make(text, n - whole));
	}
	if (f)
		fclose(f);
}

static void
take_config(void *ctx, struct str line)
{
	dns_config_line(line, ctx);
}

/* Reads resolv.conf. Without the file, or without a server in it, the server is
 * 127.0.0.1. */
static void
read_config(const char *path, struct dns_config *c)
{
	dns_config_init(c);
	each_line(path, take_config, c);
	if (!c->servers) {
		dns_number(str_of("127.0.0.1"), &c->server[0]);
		c->servers = 1;
	}
}

struct hosts_search {
	const char *name;
	struct dns_addresses found;
};

static void
take_hosts(void *ctx, struct str line)
{
	struct hosts_search *s = ctx;

	dns_hosts_line(line, s->name, &s->found);
}

/* A question on its way to one server; ask[i] of struct question belongs to
 * server[i] of the configuration. */
struct ask {
	int fd; /* -1: ended, or not begun */
	bool edns, tcp, sent;
	unsigned char query[DNS_QUERY_MAX];
	size_t n;
	unsigned char *answer; /* by TCP: 2 bytes of length come first */
	size_t got;
};

/* One question, and where it stands with each server. */
struct question {
	enum dns_type type;
	struct ask ask[DNS_SERVERS];
	size_t begun; /* servers asked in this round */
	unsigned round;
	/* The time to ask the next server, or to begin the next round. */
	uint64_t next;
	uint64_t settled; /* time of the result */
	bool over;
	enum dns_answer result; /* DNS_FOREIGN: no server answered at all */
	struct dns_addresses found;
};

/* The questions for one name. */
struct resolve {
	const struct dns_config *config;
	const char *name;
	unsigned port;
	size_t first;         /* server */
	struct question q[2]; /* IPv6, IPv4 */
	size_t n;
};

static void
ask_close(struct ask *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
	free(a->answer);
	a->answer = NULL;
}

static void
question_end(struct question *q, enum dns_answer result)
{
	for (size_t i = 0; i < DNS_SERVERS; i++)
		ask_close(&q->ask[i]);
	q->over = true;
	q->result = result;
	q->settled = wait_now();
}

/* A server has failed. The next one is asked at once; after the last one a new
 * round begins, unless an earlier server may still answer. */
static void
ask_failed(const struct resolve *r, struct question *q, struct ask *a)
{
	bool alive = false;

	ask_close(a);
	for (size_t i = 0; i < DNS_SERVERS; i++)
		alive = alive || q->ask[i].fd >= 0;
	if (!alive || q->begun < r->config->servers)
		q->next = wait_now();
}

/* Sends the question of a, by UDP or TCP. The system chooses a random port and,
 * since the socket is connected, drops what other addresses send. */
static void
ask_send(const struct resolve *r, struct question *q, struct ask *a)
{
	size_t server = (size_t)(a - q->ask);
	struct address to = make_address(&r->config->server[server], r->port);
	int kind = a->tcp ? SOCK_STREAM : SOCK_DGRAM;

	ask_close(a);
	a->n = dns_query(
	    r->name, q->type, (uint16_t)wait_random(), a->edns, a->query);
	a->sent = !a->tcp;
	a->got = 0;
	a->answer = a->tcp ? xmalloc(TCP_MAX) : NULL;
	a->fd = socket(to.sa.ss_family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0 ||
	    (connect(a->fd, (const struct sockaddr *)&to.sa, to.n) < 0 &&
		errno != EINPROGRESS && errno != EINTR) ||
	    (a->sent && send(a->fd, a->query, a->n, MSG_NOSIGNAL) < 0))
		ask_failed(r, q, a);
}

/* Milliseconds until the next server is asked, or the round ends. */
static uint64_t
turn_ms(const struct resolve *r, const struct question *q)
{
	uint64_t full = (uint64_t)r->config->timeout * 1000;

	return q->begun < r->config->servers && full > NEXT_SERVER_MS
		   ? NEXT_SERVER_MS
		   : full;
}

/* Asks the next server, or begins another round, when it is time. Old servers,
 * and filters before them, drop questions with EDNS, so only the first round
 * uses it. */
static void
question_tick(const struct resolve *r, struct question *q, uint64_t now)
{
	size_t servers = r->config->servers, server;
	struct ask *a;

	if (q->over || now < q->next)
		return;
	if (q->begun == servers) {
		q->begun = 0;
		if (++q->round >= r->config->attempts) {
			question_end(q, q->found.n ? DNS_FOUND : q->result);
			return;
		}
	}
	server = r->first + q->begun++;
	a = &q->ask[server < servers ? server : server - servers];
	a->edns = q->round == 0;
	a->tcp = false;
	q->next = now + turn_ms(r, q);
	ask_send(r, q, a);
}

/* Handles a message from the server that was asked. */
static void
ask_answered(const struct resolve *r, struct question *q, struct ask *a,
    const unsigned char *p, size_t n)
{
	struct dns_addresses found = {.n = 0};
	enum dns_answer answer = dns_answer(p, n, a->query, a->n, &found);

	if (answer == DNS_FOREIGN)
		return;
	if (found.n)
		q->found = found;
	if (answer == DNS_CUT && a->tcp)
		answer = found.n ? DNS_FOUND : DNS_FAILED;
	if (answer == DNS_CUT || answer == DNS_NO_EDNS) {
		a->tcp = a->tcp || answer == DNS_CUT;
		a->edns = a->edns && answer == DNS_CUT;
		q->next = wait_now() + turn_ms(r, q);
		ask_send(r, q, a);
	} else if (answer == DNS_FAILED) {
		q->result = DNS_FAILED;
		ask_failed(r, q, a);
	} else {
		question_end(q, answer);
	}
}

/* Sends the question by TCP, with its length in two bytes before it. It fits
 * into the empty buffer of a socket. */
static bool
send_framed(const struct ask *a)
{
	unsigned char text[2 + DNS_QUERY_MAX] = {
	    (unsigned char)(a->n >> 8), (unsigned char)a->n};

	memcpy(text + 2, a->query, a->n);
	return send(a->fd, text, 2 + a->n, MSG_NOSIGNAL) == (ssize_t)(2 + a->n);
}

/* Sends or receives on a socket that poll() has reported. */
static void
ask_ready(const struct resolve *r, struct question *q, struct ask *a)
{
	unsigned char text[UDP_ROOM];
	ssize_t n;

	if (!a->sent) {
		a->sent = send_framed(a);
		if (!a->sent)
			ask_failed(r, q, a);
		return;
	}
	if (a->tcp)
		n = recv(a->fd, a->answer + a->got, TCP_MAX - a->got, 0);
	else
		n = recv(a->fd, text, sizeof(text), 0);
	if (n < 0 && again())
		return;
	if (n < 0 || (a->tcp && n == 0)) {
		ask_failed(r, q, a);
		return;
	}
	if (!a->tcp) {
		ask_answered(r, q, a, text, (size_t)n);
		return;
	}
	a->got += (size_t)n;
	if (a->got >= 2) {
		size_t length = (size_t)a->answer[0] << 8 | a->answer[1];

		if (a->got >= 2 + length)
			ask_answered(r, q, a, a->answer + 2, length);
	}
}

/* The time at which the answer for one family stops waiting for the other;
 * WAIT_FOREVER while the first is missing. */
static uint64_t
grace_end(const struct resolve *r)
{
	const struct question *six = &r->q[0], *four = &r->q[1];

	if (r->n == 2 && four->over &&
	    (four->result == DNS_FOUND || four->result == DNS_NO_NAME))
		return four->settled + SIX_GRACE_MS;
	if (r->n == 2 && six->over && six->result == DNS_FOUND)
		return six->settled + FOUR_GRACE_MS;
	return WAIT_FOREVER;
}

static bool
resolve_done(const struct resolve *r, uint64_t now)
{
	bool over = true;

	for (size_t i = 0; i < r->n; i++)
		over = over && r->q[i].over;
	return over || now >= grace_end(r);
}

/* Waits for an event on any socket, or the next time at which something is due,
 * and handles it. */
static void
resolve_poll(struct resolve *r, uint64_t now, uint64_t deadline)
{
	struct pollfd p[2 * DNS_SERVERS];
	struct ask *ask[2 * DNS_SERVERS];
	struct question *of[2 * DNS_SERVERS];
	uint64_t end = now + SLICE_MS, grace = grace_end(r);
	nfds_t n = 0;

	end = deadline < end ? deadline : end;
	end = grace < end ? grace : end;
	for (size_t i = 0; i < r->n; i++) {
		struct question *q = &r->q[i];

		if (!q->over && q->next < end)
			end = q->next;
		for (size_t k = 0; k < DNS_SERVERS; k++) {
			if (q->ask[k].fd < 0)
				continue;
			of[n] = q;
			ask[n] = &q->ask[k];
			p[n++] = (struct pollfd){.fd = q->ask[k].fd,
			    .events = q->ask[k].sent ? POLLIN : POLLOUT};
		}
	}
	if (poll(p, n, end > now ? (int)(end - now) : 0) <= 0)
		return;
	/* One answer may close the other sockets of its question. */
	for (nfds_t i = 0; i < n; i++)
		if (p[i].revents && ask[i]->fd == p[i].fd)
			ask_ready(r, of[i], ask[i]);
}

/* Asks the servers for one name. 0: r->q[] has the results. */
static int
resolve_run(struct resolve *r, uint64_t deadline, struct err *e)
{
	uint64_t now = wait_now();
	int rc = 0;

	while (!rc && !resolve_done(r, now)) {
		rc = wait_check(e);
		if (!rc && now >= deadline)
			rc = err_set(
			    e, ERR_NET, "no name server has answered in time");
		for (size_t i = 0; !rc && i < r->n; i++)
			question_tick(r, &r->q[i], now);
		if (!rc)
			resolve_poll(r, wait_now(), deadline);
		now = wait_now();
	}
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < DNS_SERVERS; k++)
			ask_close(&r->q[i].ask[k]);
	return rc;
}

static void
resolve_make(struct resolve *r, enum net_family family)
{
	r->n = 0;
	if (family != NET_IPV4)
		r->q[r->n++] = (struct question){.type = DNS_AAAA};
	if (family != NET_IPV6)
		r->q[r->n++] = (struct question){.type = DNS_A};
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < DNS_SERVERS; k++)
			r->q[i].ask[k].fd = -1;
}

/* The result for both families: found if either has an address. */
static enum dns_answer
resolve_result(const struct resolve *r)
{
	enum dns_answer last = r->q[r->n - 1].result;

	for (size_t i = 0; i < r->n; i++)
		if (r->q[i].over && r->q[i].result == DNS_FOUND)
			return DNS_FOUND;
	return last == DNS_NONE ? r->q[0].result : last;
}

static void
append(struct dns_addresses *to, const struct dns_addresses *from, bool six)
{
	for (size_t i = 0; i < from->n; i++)
		if (from->at[i].six == six && to->n < DNS_ADDRESSES)
			to->at[to->n++] = from->at[i];
}

static bool
allowed(enum net_family family, bool six)
{
	return family != (six ? NET_IPV4 : NET_IPV6);
}

/* Adds the addresses of the allowed families to out. -1 if there are none in
 * it. */
static int
take_found(const struct dns_addresses *found, enum net_family family,
    struct net_addresses *out)
{
	if (allowed(family, true))
		append(&out->six, found, true);
	if (allowed(family, false))
		append(&out->four, found, false);
	return out->six.n + out->four.n ? 0 : -1;
}

static int
not_found(enum dns_answer why, enum net_family family, struct err *e)
{
	static const char *const kind[] = {
	    [NET_ANY] = "", [NET_IPV4] = "IPv4 ", [NET_IPV6] = "IPv6 "};

	if (why == DNS_NONE)
		return err_set(
		    e, ERR_NET, "the name has no %saddress", kind[family]);
	if (why == DNS_NO_NAME)
		return err_set(e, ERR_NET, "there is no such name");
	err_set(e, ERR_NET, "%s",
	    why == DNS_FAILED ? "the name server reports a failure"
			      : "no name server answers");
	return err_hint(e, "check /etc/resolv.conf");
}

/* Returns the failure that tells the user more. */
static enum dns_answer
graver(enum dns_answer a, enum dns_answer b)
{
	static const enum dns_answer order[] = {
	    DNS_FOREIGN, DNS_FAILED, DNS_NONE};

	for (size_t i = 0; i < countof(order); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return DNS_NO_NAME;
}

static int
ask_servers(const struct net_names *names, const char *host,
    enum net_family family, uint64_t deadline, struct net_addresses *out,
    struct err *e)
{
	struct dns_config config;
	struct resolve r = {.config = &config, .port = names->port};
	enum dns_answer why = DNS_NO_NAME;
	unsigned char query[DNS_QUERY_MAX];
	char name[DNS_NAME_MAX];
	bool asked = false;

	read_config(names->servers, &config);
	if (config.rotate)
		r.first = (size_t)(wait_random() % config.servers);
	for (size_t i = 0; dns_candidate(&config, host, i, name); i++) {
		enum dns_answer answer;

		if (!dns_query(name, DNS_A, 0, false, query))
			continue;
		asked = true;
		r.name = name;
		resolve_make(&r, family);
		if (resolve_run(&r, deadline, e))
			return -1;
		answer = resolve_result(&r);
		for (size_t k = 0; answer == DNS_FOUND && k < r.n; k++)
			take_found(&r.q[k].found, family, out);
		if (answer == DNS_FOUND)
			return 0;
		why = graver(why, answer);
		/* The other candidates would go to the same silent servers. */
		if (answer == DNS_FOREIGN)
			break;
	}
	if (!asked)
		return err_set(e, ERR_NET, "invalid host name");
	return not_found(why, family, e);
}

/* Looks without a name server: numbers, localhost, and /etc/hosts. 0: found; 1:
 * not found; -1: found, but only addresses of a family that is not allowed. */
static int
look_here(const struct net_names *names, const char *host,
    enum net_family family, struct net_addresses *out, struct err *e)
{
	struct hosts_search here = {.name = host};

	if (dns_number(str_of(host), &here.found.at[0])) {
		here.found.n = 1;
		if (take_found(&here.found, family, out))
			return err_set(e, ERR_USAGE,
			    "that is an IPv%d address, and only IPv%d is "
			    "allowed",
			    here.found.at[0].six ? 6 : 4,
			    here.found.at[0].six ? 4 : 6);
		return 0;
	}
	/* localhost is this machine, even without a hosts file, and whatever a
	 * file or a server says (RFC 6761, section 6.3). */
	if (dns_is_localhost(host)) {
		dns_number(str_of("::1"), &here.found.at[0]);
		dns_number(str_of("127.0.0.1"), &here.found.at[1]);
		here.found.n = 2;
	} else {
		each_line(names->hosts, take_hosts, &here);
	}
	if (!here.found.n)
		return 1;
	if (take_found(&here.found, family, out))
		return not_found(DNS_NONE, family, e);
	return 0;
}

int
net_lookup(const struct net_names *names, const char *host,
    enum net_family family, uint64_t deadline, struct net_addresses *out,
    struct err *e)
{
	int rc;

	*out = (struct net_addresses){.six.n = 0};
	rc = look_here(names, host, family, out, e);
	if (rc > 0)
		rc = ask_servers(names, host, family, deadline, out, e);
	if (rc)
		err_in(e, "cannot find the address of '%s'", host);
	return rc;
}

#if defined(__GLIBC__) && __GLIBC__ * 1000 + __GLIBC_MINOR__ >= 2034
static void
take_listed(const struct addrinfo *list, struct net_addresses *out)
{
	for (; list; list = list->ai_next) {
		const void *sa = list->ai_addr;
		const struct sockaddr_in6 *six = sa;
		const struct sockaddr_in *four = sa;
		struct dns_addresses one = {.n = 1};
		struct dns_address *a = &one.at[0];

		a->six = list->ai_family == AF_INET6;
		if (a->six)
			memcpy(a->ip, &six->sin6_addr, 16);
		else
			memcpy(a->ip, &four->sin_addr, 4);
		if (a->six && six->sin6_scope_id)
			snprintf(a->zone, sizeof(a->zone), "%u",
			    (unsigned)six->sin6_scope_id);
		append(a->six ? &out->six : &out->four, &one, a->six);
	}
}

/* The memory that glibc works on, also after the wait for it was given up. */
struct libc_lookup {
	struct gaicb call;
	struct addrinfo hints;
	char name[DNS_NAME_MAX];
};

static void
libc_wait(struct libc_lookup *l, uint64_t deadline)
{
	static const struct timespec slice = {.tv_nsec = SLICE_MS * 1000000};
	const struct gaicb *const list[] = {&l->call};

	while (gai_error(&l->call) == EAI_INPROGRESS && wait_now() < deadline &&
	       !wait_stop())
		gai_suspend(list, 1, &slice);
}

/*
 * Asks glibc for a name that no name server knows: nsswitch.conf(5) may lead it
 * to LDAP, mDNS and others. glibc does that on a thread of its own; a call that
 * takes too long and cannot be cancelled is left behind. Other libcs know no
 * more than this file does.
 */
static int
ask_libc(const char *host, enum net_family family, uint64_t deadline,
    struct net_addresses *out)
{
	static const int families[] = {
	    [NET_ANY] = AF_UNSPEC, [NET_IPV4] = AF_INET, [NET_IPV6] = AF_INET6};
	struct libc_lookup *l = xcalloc(1, sizeof(*l));
	struct gaicb *list[] = {&l->call};

	snprintf(l->name, sizeof(l->name), "%s", host);
	l->hints.ai_family = families[family];
	l->hints.ai_socktype = SOCK_STREAM;
	l->call.ar_name = l->name;
	l->call.ar_request = &l->hints;
	if (getaddrinfo_a(GAI_NOWAIT, list, 1, NULL) == 0) {
		libc_wait(l, deadline);
		if (gai_error(&l->call) == EAI_INPROGRESS &&
		    gai_cancel(&l->call) != EAI_CANCELED)
			return -1;
		if (gai_error(&l->call) == 0) {
			take_listed(l->call.ar_result, out);
			freeaddrinfo(l->call.ar_result);
		}
	}
	free(l);
	return out->six.n + out->four.n ? 0 : -1;
}
#else
static int
ask_libc(const char *host, enum net_family family, uint64_t deadline,
    struct net_addresses *out)
{
	(void)host;
	(void)family;
	(void)deadline;
	(void)out;
	return -1;
}
#endif

/* --- Addresses to a connection. --- */

/* Orders the addresses: IPv6 first, then the families alternate (RFC 8305,
 * section 4). */
static void
race_fill(struct race *r, const struct net_addresses *list, unsigned port)
{
	for (size_t i = 0; i < DNS_ADDRESSES; i++) {
		if (i < list->six.n)
			r->at[r->count++] =
			    make_address(&list->six.at[i], port);
		if (i < list->four.n)
			r->at[r->count++] =
			    make_address(&list->four.at[i], port);
	}
}

static int
find(struct race *r, const char *host, unsigned port, enum net_family family,
    uint64_t deadline, struct err *e)
{
	static const struct net_names names = {
	    .hosts = "/etc/hosts", .servers = "/etc/resolv.conf", .port = 53};
	struct net_addresses list;

	if (net_lookup(&names, host, family, deadline, &list, e) &&
	    (e->kind != ERR_NET || wait_stop() ||
		ask_libc(host, family, deadline, &list)))
		return -1;
	race_fill(r, &list, port);
	return 0;
}

static int
open_socket(int family)
{
	const int on = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	/* A failure costs only speed. */
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

/* Begins to connect to the next address. If that fails at once, the one after
 * it is due at once. */
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

/* Checks a socket that poll() has reported. True if it is connected. */
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

/* poll() itself fails: closes all, since trying again would only burn time. */
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

/* Polls all sockets for at most ms. Returns the index of one that is connected,
 * or -1. */
static int
race_poll(struct race *r, int ms)
{
	struct pollfd p[ADDRESSES_MAX];
	int n;

	/* poll() ignores negative descriptors. */
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

/* Returns the index of the first that connects, or -1. */
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

/*
 * Connects to a name or an address. The next address is tried after NEXT_MS
 * while earlier ones are still silent, families alternate (RFC 8305). The
 * socket is non-blocking, close-on-exec and has TCP_NODELAY. Returns the
 * descriptor, or -1.
 */
static int
net_connect(const char *host, unsigned port, enum net_family family,
    uint64_t deadline, struct err *e)
{
	struct race r = {.error = EADDRNOTAVAIL};
	int winner, fd;

	for (size_t i = 0; i < ADDRESSES_MAX; i++)
		r.fd[i] = -1;
	if (find(&r, host, port, family, deadline, e))
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

/* Receives up to cap bytes, and waits for the first. *n is 0 at the end of the
 * stream. */
static int
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

/* Sends all n bytes. */
static int
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

/* --- The connection. --- */

/* Bytes of a CONNECT request: a name has 253 characters, and a login is as long
 * as a token at most. */
#define CONNECT_MAX 32768

/* The most 1xx answers of a proxy before the final one. */
#define INTERIM_MAX 8

struct conn {
	int fd;
	struct tls *tls; /* NULL: plain */
	/* A byte that conn_idle_ok() has read; conn_read() returns it first. */
	unsigned char early;
	bool has_early;
	bool ended;
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

static int
connect_request(struct buf *b, const struct url *target,
    const struct conn_how *how, struct err *e)
{
	buf_puts(b, "CONNECT ");
	url_put_host(b, target, true);
	buf_puts(b, " HTTP/1.1\r\nHost: ");
	url_put_host(b, target, true);
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

/* Reads until b begins with a whole head; sets *n to its length. */
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

/* Sets the error for a refusal, with the proxy's reason. Returns -1. */
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

/* Reads the final answer to CONNECT, and skips interim ones. */
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
		/* In TLS the client speaks first, so more bytes can only be an
		 * attack. */
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
		err_hint(e,
		    "use an http:// proxy: https traffic through it stays "
		    "encrypted");
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

int64_t
conn_lapses(const struct conn *c)
{
	return c->tls ? tls_lapses(c->tls) : 0;
}

/* True if the TLS session has no unread bytes. The socket is silent, so a read
 * without bytes times out at once. */
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
	free(c);
}
