/* net_lookup() against name servers of this test, which answer in many ways:
 * the first two labels of a name say how, to AAAA and to A. */

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "err.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"
#include "wait.h"

/* Longer than any lookup that works takes, shorter than the five seconds after
 * which a silent server is asked again. */
#define SOON (wait_now() + 3500)

enum { SERVERS = 2 }; /* 127.0.0.1 is difficult, 127.0.0.2 is good */

static struct {
	int udp[SERVERS], tcp[SERVERS], stray;
	unsigned port;
	pthread_t id;
	/* The questions that came; guarded by the lock. */
	pthread_mutex_t lock;
	size_t asked[SERVERS], edns, by_tcp;
	unsigned ids[64], ports[64];
	char last[256];
} ns = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct message {
	unsigned char s[2048];
	size_t n;
};

static void
put(struct message *m, const void *p, size_t n)
{
	memcpy(m->s + m->n, p, n);
	m->n += n;
}

/* The name of a question as text; returns its length in the message. */
static size_t
question_name(const unsigned char *p, char *out)
{
	size_t at = 12, n = 0;

	while (p[at]) {
		memcpy(out + n, p + at + 1, p[at]);
		n += p[at];
		out[n++] = '.';
		at += 1U + p[at];
	}
	out[n ? n - 1 : 0] = '\0';
	return at + 1 - 12;
}

/* 10.0.0.SERVER or fd00::SERVER. */
static void
put_address(
    struct message *m, const char *owner, size_t n, bool six, int server)
{
	unsigned char ip[16] = {10};

	put(m, owner, n);
	put(m, six ? "\0\x1c\0\1\0\0\0\0\0\x10" : "\0\1\0\1\0\0\0\0\0\4", 10);
	if (six) {
		ip[0] = 0xfd;
		ip[15] = (unsigned char)server;
	} else {
		ip[3] = (unsigned char)server;
	}
	put(m, ip, six ? 16 : 4);
	m->s[7]++;
}

static bool
is(const char *word, const char *what)
{
	return strcmp(word, what) == 0;
}

/* Makes the answer that word asks for; false: none. */
static bool
make_answer(const struct message *q, const char *word, bool tcp, int server,
    struct message *a)
{
	char name[256];
	size_t n = question_name(q->s, name);
	bool six = q->s[12 + n + 1] == 28, edns = q->s[11];

	a->n = 0;
	put(a, q->s, 12 + n + 4);
	a->s[2] = 0x81;
	a->s[3] = 0x80;
	a->s[11] = 0;
	if (is(word, "silent") || (is(word, "noedns") && edns) ||
	    (is(word, "few") && tcp))
		return false;
	if (is(word, "nx"))
		a->s[3] |= 3;
	else if (is(word, "servfail"))
		a->s[3] |= 2;
	else if (is(word, "refused"))
		a->s[3] |= 5;
	else if (is(word, "notimp"))
		a->s[3] |= 4;
	else if (is(word, "formerr") && edns)
		a->s[3] |= 1;
	else if (is(word, "few") || is(word, "short") || is(word, "shorter") ||
		 (is(word, "cut") && !tcp))
		a->s[2] |= 2;
	if (is(word, "formerr") && edns) {
		a->n = 12;
		a->s[5] = 0;
	}
	if (is(word, "alias")) {
		put(a, "\xc0\x0c\0\5\0\1\0\0\0\0\0\3\1x\0", 15);
		a->s[7]++;
		put_address(a, "\1x", 3, six, server);
	} else if (is(word, "case")) {
		a->s[13] = 'C';
	}
	if (is(word, "many") || (is(word, "cut") && tcp))
		for (int i = 0; i < 60; i++)
			put_address(a, "\xc0\x0c", 2, six, server);
	if (is(word, "good") || is(word, "formerr") || is(word, "noedns") ||
	    is(word, "case") || is(word, "few") || is(word, "liar") ||
	    (is(word, "short") && tcp))
		if (!(a->s[3] & 15))
			put_address(a, "\xc0\x0c", 2, six, server);
	return true;
}

/* Answers that are none: another id, another question, no answer at all, and a
 * good one from elsewhere. */
static void
lie(int fd, struct message a, const struct sockaddr_in *to)
{
	const struct sockaddr *sa = (const struct sockaddr *)to;

	a.s[a.n - 1] = 66;
	sendto(ns.stray, a.s, a.n, 0, sa, sizeof(*to));
	a.s[0] ^= 1;
	sendto(fd, a.s, a.n, 0, sa, sizeof(*to));
	a.s[0] ^= 1;
	a.s[13] = 'z';
	sendto(fd, a.s, a.n, 0, sa, sizeof(*to));
	a.s[13] = 'l';
	a.s[2] &= 0x7f;
	sendto(fd, a.s, a.n, 0, sa, sizeof(*to));
	sendto(fd, a.s, 5, 0, sa, sizeof(*to));
}

/* The word for this type: the first label for AAAA, the second for A. */
static void
find_word(const struct message *q, int server, char *word)
{
	char name[256], *second, *end;
	size_t n = question_name(q->s, name);
	bool six = q->s[12 + n + 1] == 28;

	pthread_mutex_lock(&ns.lock);
	memcpy(ns.last, name, sizeof(name));
	pthread_mutex_unlock(&ns.lock);
	second = strchr(name, '.');
	if (second && !six)
		memmove(name, second + 1, strlen(second));
	end = strchr(name, '.');
	if (end)
		*end = '\0';
	memcpy(word, server ? "good" : name, server ? 5 : strlen(name) + 1);
}

static void
note(const struct message *q, int server, bool tcp, unsigned port)
{
	size_t i;

	pthread_mutex_lock(&ns.lock);
	i = ns.asked[0] + ns.asked[1];
	if (i < countof(ns.ids)) {
		ns.ids[i] = (unsigned)q->s[0] << 8 | q->s[1];
		ns.ports[i] = port;
	}
	ns.asked[server]++;
	ns.edns += q->s[11];
	ns.by_tcp += tcp;
	pthread_mutex_unlock(&ns.lock);
}

static void
serve_udp(int server)
{
	struct message q, a;
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	char word[256];
	ssize_t n = recvfrom(ns.udp[server], q.s, sizeof(q.s), 0,
	    (struct sockaddr *)&from, &size);

	if (n < 17)
		return;
	q.n = (size_t)n;
	note(&q, server, false, ntohs(from.sin_port));
	find_word(&q, server, word);
	if (!make_answer(&q, word, false, server + 1, &a))
		return;
	if (is(word, "liar"))
		lie(ns.udp[server], a, &from);
	sendto(ns.udp[server], a.s, a.n, 0, (struct sockaddr *)&from, size);
}

static void
serve_tcp(int server)
{
	struct message q, a;
	unsigned char length[2];
	char word[256];
	int fd = accept(ns.tcp[server], NULL, NULL);

	if (fd < 0)
		return;
	if (recv(fd, length, 2, MSG_WAITALL) == 2 &&
	    recv(fd, q.s, length[1], MSG_WAITALL) == length[1]) {
		q.n = length[1];
		note(&q, server, true, 0);
		find_word(&q, server, word);
		if (make_answer(&q, word, true, server + 1, &a)) {
			length[0] = (unsigned char)(a.n >> 8);
			length[1] = (unsigned char)a.n;
			/* In pieces, as it may come. */
			send(fd, length, 1, MSG_NOSIGNAL);
			send(fd, length + 1, 1, MSG_NOSIGNAL);
			send(fd, a.s, 7, MSG_NOSIGNAL);
			send(fd, a.s + 7, a.n - 7, MSG_NOSIGNAL);
		}
	}
	close(fd);
}

static void *
serve(void *arg)
{
	(void)arg;
	for (;;) {
		struct pollfd p[2 * SERVERS];

		for (int i = 0; i < SERVERS; i++) {
			p[2 * i] = (struct pollfd){ns.udp[i], POLLIN, 0};
			p[2 * i + 1] = (struct pollfd){ns.tcp[i], POLLIN, 0};
		}
		if (poll(p, 2 * SERVERS, -1) < 0)
			return NULL;
		for (int i = 0; i < SERVERS; i++) {
			if (p[2 * i].revents)
				serve_udp(i);
			if (p[2 * i + 1].revents)
				serve_tcp(i);
		}
	}
}

static int
bind_to(int kind, int server, unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	const int on = 1;
	int fd = socket(AF_INET, kind, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (unsigned)server);
	a.sin_port = htons((uint16_t)port);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    (kind == SOCK_STREAM && listen(fd, 8) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* All on one port, which may take a few tries. */
static bool
bind_all(void)
{
	for (unsigned i = 0; i < 50; i++) {
		bool ok = true;

		ns.port = 20000 + (unsigned)(wait_random() % 10000);
		for (int k = 0; k < SERVERS; k++) {
			ns.udp[k] = bind_to(SOCK_DGRAM, k, ns.port);
			ns.tcp[k] = bind_to(SOCK_STREAM, k, ns.port);
			ok = ok && ns.udp[k] >= 0 && ns.tcp[k] >= 0;
		}
		if (ok)
			return true;
		for (int k = 0; k < SERVERS; k++) {
			close(ns.udp[k]);
			close(ns.tcp[k]);
		}
	}
	return false;
}

static void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	CHECK(f && fputs(text, f) >= 0);
	if (f)
		fclose(f);
}

static void
forget(void)
{
	pthread_mutex_lock(&ns.lock);
	ns.asked[0] = ns.asked[1] = ns.edns = ns.by_tcp = 0;
	memset(ns.ids, 0, sizeof(ns.ids));
	memset(ns.ports, 0, sizeof(ns.ports));
	pthread_mutex_unlock(&ns.lock);
}

/* What was found as text, "fd00::1 10.0.0.1", or the reason. */
static const char *
look_until(const char *name, enum net_family family, uint64_t deadline)
{
	static char text[1024];
	struct net_names names = {"hosts", "resolv.conf", ns.port};
	struct net_addresses found;
	struct buf b = buf_make(sizeof(text) - 1);
	struct err e;
	int rc;

	forget();
	rc = net_lookup(&names, name, family, deadline, &found, &e);
	/* What was noted before the answer is seen from here on. */
	pthread_mutex_lock(&ns.lock);
	pthread_mutex_unlock(&ns.lock);
	if (rc) {
		snprintf(text, sizeof(text), "%s", e.msg);
		CHECK(e.kind == ERR_NET || e.kind == ERR_USAGE);
		return text;
	}
	for (int k = 0; k < 2; k++) {
		const struct dns_addresses *a = k ? &found.four : &found.six;

		for (size_t i = 0; i < a->n; i++) {
			char number[46];

			inet_ntop(k ? AF_INET : AF_INET6, a->at[i].ip, number,
			    sizeof(number));
			buf_printf(&b, "%s%s", b.len ? " " : "", number);
		}
	}
	memcpy(text, buf_cstr(&b), b.len + 1);
	buf_release(&b);
	return text;
}

static const char *
look(const char *name, enum net_family family)
{
	return look_until(name, family, SOON);
}

#define ONE "nameserver 127.0.0.1\n"
#define BOTH ONE "nameserver 127.0.0.2\n"
#define NOT(name) "cannot find the address of '" name "': "
#define SIX "fd00::1"
#define FOUR "10.0.0.1"

/* How each family is answered, by the only server. */
static void
test_answers(void)
{
	static const struct {
		const char *name;
		enum net_family family;
		const char *found;
	} t[] = {
	    {"good.good", NET_ANY, SIX " " FOUR},
	    {"good.good", NET_IPV4, FOUR},
	    {"good.good", NET_IPV6, SIX},
	    {"good.good.", NET_ANY, SIX " " FOUR},
	    /* Bad answers to AAAA, good ones to A, and the reverse. */
	    {"servfail.good", NET_ANY, FOUR},
	    {"refused.good", NET_ANY, FOUR},
	    {"notimp.good", NET_ANY, FOUR},
	    {"nx.good", NET_ANY, FOUR},
	    {"empty.good", NET_ANY, FOUR},
	    {"silent.good", NET_ANY, FOUR},
	    {"good.servfail", NET_ANY, SIX},
	    {"good.nx", NET_ANY, SIX},
	    {"good.empty", NET_ANY, SIX},
	    {"good.silent", NET_ANY, SIX},
	    /* Ways of asking. */
	    {"formerr.formerr", NET_ANY, SIX " " FOUR},
	    {"alias.alias", NET_ANY, SIX " " FOUR},
	    {"case.case", NET_ANY, SIX " " FOUR},
	    {"liar.liar", NET_ANY, SIX " " FOUR},
	    {"few.few", NET_IPV4, FOUR},
	    /* No. */
	    {"nx.nx", NET_ANY, NOT("nx.nx") "there is no such name"},
	    {"silent.nx", NET_ANY, NOT("silent.nx") "there is no such name"},
	    {"empty.empty", NET_ANY,
		NOT("empty.empty") "the name has no address"},
	    {"good.empty", NET_IPV4,
		NOT("good.empty") "the name has no IPv4 address"},
	    {"servfail.servfail", NET_ANY,
		NOT("servfail.servfail") "the name server reports a failure"},
	    {"servfail.empty", NET_ANY,
		NOT("servfail.empty") "the name server reports a failure"},
	    {"refused.refused", NET_ANY,
		NOT("refused.refused") "the name server reports a failure"},
	    {"a b", NET_ANY, NOT("a b") "invalid host name"},
	    {"", NET_ANY, NOT("") "invalid host name"},
	};

	write_file("resolv.conf", ONE);
	for (size_t i = 0; i < countof(t); i++) {
		const char *found = look(t[i].name, t[i].family);

		CHECK_ROW(i, test_same(found, t[i].found));
		if (!test_same(found, t[i].found))
			printf("%s: %s\n", t[i].name, found);
	}
}

/* As many addresses as there is room for, by TCP if UDP has none. */
static void
test_tcp(void)
{
	static const char *const name[] = {"many.many", "cut.cut"};
	char all[DNS_ADDRESSES * 9 + 1] = "";

	for (size_t i = 0; i < DNS_ADDRESSES; i++)
		memcpy(all + 9 * i, "10.0.0.1 ", 10);
	all[sizeof(all) - 2] = '\0';
	write_file("resolv.conf", ONE);
	for (size_t i = 0; i < countof(name); i++) {
		CHECK_ROW(i, test_same(look(name[i], NET_IPV4), all));
		CHECK_ROW(i, ns.by_tcp == i);
	}
	/* One that calls what it sends by TCP cut, too, is not asked on. */
	CHECK(test_same(look("short.short", NET_IPV4), FOUR));
	CHECK(ns.by_tcp == 1);
	CHECK(test_same(look("shorter.shorter", NET_IPV4),
	    NOT("shorter.shorter") "the name server reports a failure"));
	CHECK(ns.by_tcp == 2); /* once in each round */
}

/* A server that drops EDNS is asked without it, in the second round. */
static void
test_edns(void)
{
	write_file("resolv.conf", ONE "options timeout:1\n");
	CHECK(test_same(look("noedns.noedns", NET_IPV4), FOUR));
	CHECK(ns.asked[0] == 2 && ns.edns == 1);
	CHECK(test_same(look("formerr.formerr", NET_IPV4), FOUR));
	CHECK(ns.asked[0] == 2 && ns.edns == 1);
}

static void
test_several(void)
{
	write_file("resolv.conf", BOTH);
	CHECK(test_same(look("good.good", NET_IPV4), FOUR));
	CHECK(ns.asked[0] == 1 && ns.asked[1] == 0);
	/* The second one knows. */
	CHECK(test_same(look("servfail.servfail", NET_IPV4), "10.0.0.2"));
	CHECK(ns.asked[0] == 1 && ns.asked[1] == 1);
	CHECK(test_same(look("silent.silent", NET_IPV4), "10.0.0.2"));
	CHECK(test_same(look("servfail.good", NET_ANY), "fd00::2 10.0.0.1"));
	/* What the first one knows is believed. */
	CHECK(test_same(
	    look("nx.nx", NET_ANY), NOT("nx.nx") "there is no such name"));
	CHECK(ns.asked[1] == 0);
	/* Nobody listens at the first one. */
	write_file("resolv.conf",
	    "nameserver 127.0.0.3\nnameserver ::1\nnameserver 127.0.0.2\n");
	CHECK(test_same(look("a.b", NET_IPV4), "10.0.0.2"));
	write_file("resolv.conf", "nameserver 127.0.0.3\n");
	CHECK(test_same(
	    look("a.b", NET_IPV4), NOT("a.b") "no name server answers"));
}

static void
test_rotate(void)
{
	size_t first = 0;

	write_file("resolv.conf", BOTH "options rotate\n");
	for (int i = 0; i < 64; i++)
		first += test_same(look("good.good", NET_IPV4), FOUR);
	CHECK(first > 8 && first < 56);
}

static void
test_search(void)
{
	write_file("resolv.conf", ONE "search nx empty servfail good silent\n");
	CHECK(test_same(look("nx", NET_IPV4), FOUR));
	CHECK(test_same(ns.last, "nx.good"));
	CHECK(test_same(look("nx.", NET_IPV4), NOT("nx.") "there is no such "
							  "name"));
	CHECK(ns.asked[0] == 1);
	/* The name itself, and then the domains. */
	write_file("resolv.conf", ONE "search a b\n");
	CHECK(test_same(
	    look("nx.nx", NET_IPV4), NOT("nx.nx") "there is no such name"));
	CHECK(ns.asked[0] == 3 && test_same(ns.last, "nx.nx.b"));
	/* The domains, and then the name itself. */
	write_file("resolv.conf", ONE "search a b\noptions ndots:2\n");
	CHECK(test_same(
	    look("nx.nx", NET_IPV4), NOT("nx.nx") "there is no such name"));
	CHECK(ns.asked[0] == 3 && test_same(ns.last, "nx.nx"));
	/* A silent server is not asked for more. */
	write_file("resolv.conf", ONE "search b.silent good.good\n"
				      "options ndots:9 timeout:1 attempts:1\n");
	CHECK(test_same(look("silent.silent", NET_ANY),
	    NOT("silent.silent") "no name server answers"));
	CHECK(ns.asked[0] == 2);
	CHECK(test_same(ns.last, "silent.silent.b.silent"));
}

static void
test_deadline(void)
{
	uint64_t start = wait_now();

	write_file("resolv.conf", ONE);
	CHECK(test_same(look_until("silent.silent", NET_ANY, start + 200),
	    NOT("silent.silent") "no name server has answered in time"));
	CHECK(wait_now() - start >= 200);
}

static void
test_files(void)
{
	char text[9000];

	write_file("resolv.conf", ONE);
	write_file("hosts", "10.0.0.7 one two # three\n"
			    "fd00::7 one\n10.0.0.8 ONE\n"
			    "9.9.9.9 localhost x.localhost\nfe80::1%7 zone");
	CHECK(test_same(look("one", NET_ANY), "fd00::7 10.0.0.7 10.0.0.8"));
	CHECK(test_same(look("one.", NET_IPV4), "10.0.0.7 10.0.0.8"));
	CHECK(test_same(
	    look("two", NET_IPV6), NOT("two") "the name has no IPv6 address"));
	CHECK(test_same(look("zone", NET_ANY), "fe80::1"));
	CHECK(ns.asked[0] == 0);
	CHECK(test_same(
	    look("three", NET_ANY), NOT("three") "the name has no address"));
	CHECK(ns.asked[0] > 0);
	/* Not the file's, and not the name server's. */
	CHECK(test_same(look("localhost", NET_ANY), "::1 127.0.0.1"));
	CHECK(test_same(look("x.LocalHost.", NET_IPV4), "127.0.0.1"));
	CHECK(test_same(look("fd00::3", NET_ANY), "fd00::3"));
	CHECK(test_same(look("10.3.0.1", NET_IPV6),
	    NOT("10.3.0.1") "that is an IPv4 address, and only IPv6 is "
			    "allowed"));
	/* Lines longer than what is read at once, and one without an end. */
	memset(text, 'x', sizeof(text));
	memcpy(text, "10.0.0.5 long ", 14);
	memcpy(text + sizeof(text) - 40, " no\n10.0.0.6 end", 17);
	write_file("hosts", text);
	CHECK(test_same(look("long", NET_ANY), "10.0.0.5"));
	CHECK(test_same(look("end", NET_ANY), "10.0.0.6"));
	unlink("hosts");
	CHECK(test_same(look("localhost", NET_ANY), "::1 127.0.0.1"));
}

/* Without a file, 127.0.0.1 is asked. */
static void
test_no_config(void)
{
	unlink("resolv.conf");
	CHECK(test_same(look("good.good", NET_ANY), SIX " " FOUR));
	write_file("resolv.conf", "nameserver nobody\n");
	CHECK(test_same(look("good.good", NET_ANY), SIX " " FOUR));
}

/* Neither ids nor ports can be foreseen. */
static void
test_random(void)
{
	size_t ids = 0, ports = 0;
	unsigned id = 0, port = 0;

	write_file("resolv.conf", ONE);
	for (int i = 0; i < 20; i++) {
		look("good.good", NET_IPV4);
		ids += ns.ids[0] - id - 1 > 1;
		ports += ns.ports[0] - port - 1 > 1;
		id = ns.ids[0];
		port = ns.ports[0];
	}
	CHECK(ids > 15);
	CHECK(ports > 10);
}

int
main(void)
{
	char folder[SCRATCH_PATH];

	scratch_enter(folder);
	ns.stray = bind_to(SOCK_DGRAM, 0, 0);
	if (!bind_all()) {
		printf("no addresses 127.0.0.2 here: nothing was tested\n");
		scratch_leave(folder);
		return 0;
	}
	CHECK(pthread_create(&ns.id, NULL, serve, NULL) == 0);
	test_answers();
	test_tcp();
	test_edns();
	test_several();
	test_rotate();
	test_search();
	test_deadline();
	test_files();
	test_no_config();
	test_random();
	scratch_leave(folder);
	return test_end();
}
