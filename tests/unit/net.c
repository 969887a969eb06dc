
#include "../../conn.c"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "err.h"
#include "tests/unit/test.h"
#include "wait.h"

/* Long enough for anything on loopback. */
#define SOON (wait_now() + 5000)

/* A listener on a loopback address; *port 0 takes any free one. -1 if the
 * machine has no such address. */
static int
listen_on(int family, unsigned *port, int backlog)
{
	struct sockaddr_in six4 = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	struct sockaddr *sa = (struct sockaddr *)&six4;
	socklen_t n = sizeof(six4);
	const int on = 1;
	int fd = socket(family, SOCK_STREAM, 0);

	six4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	six4.sin_port = six.sin6_port = htons((uint16_t)*port);
	six.sin6_addr = in6addr_loopback;
	if (family == AF_INET6) {
		sa = (struct sockaddr *)&six;
		n = sizeof(six);
	}
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, sa, n) || listen(fd, backlog) || getsockname(fd, sa, &n)) {
		close(fd);
		return -1;
	}
	*port = ntohs(family == AF_INET6 ? six.sin6_port : six4.sin_port);
	return fd;
}

/* Connections that fill a listener's queue, so that it answers no more. */
static void
fill_queue(int family, unsigned port, int fd[], size_t count)
{
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};

	four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	four.sin_port = six.sin6_port = htons((uint16_t)port);
	six.sin6_addr = in6addr_loopback;
	for (size_t i = 0; i < count; i++) {
		fd[i] = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (family == AF_INET6)
			connect(fd[i], (struct sockaddr *)&six, sizeof(six));
		else
			connect(fd[i], (struct sockaddr *)&four, sizeof(four));
	}
}

static void
close_all(const int fd[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fd[i]);
}

static void
test_socket_options(void)
{
	unsigned port = 0;
	int on = 0, server = listen_on(AF_INET, &port, 4);
	socklen_t n = sizeof(on);
	struct err e;
	int fd = net_connect("127.0.0.1", port, NET_ANY, SOON, &e);

	CHECK(fd >= 0);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK(!getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &n) && on);
	close(fd);
	close(server);
}

/* Which hosts reach a listener on 127.0.0.1, and with which family. */
static void
test_names(void)
{
	static const struct {
		const char *host;
		enum net_family family;
		int ok;
		enum err_kind kind;
	} row[] = {
	    {"127.0.0.1", NET_ANY, 1, ERR_NONE},
	    {"127.0.0.1", NET_IPV4, 1, ERR_NONE},
	    {"127.0.0.1", NET_IPV6, 0, ERR_USAGE},
	    {"localhost", NET_ANY, 1,
		ERR_NONE}, /* [::1] refuses: the next one */
	    {"LOCALHOST", NET_IPV4, 1, ERR_NONE},
	    {"localhost", NET_IPV6, 0, ERR_NET},
	    {"::1", NET_ANY, 0, ERR_NET},
	    {"::1", NET_IPV4, 0, ERR_USAGE},
	    {"127.0.0.1.", NET_ANY, 0, ERR_NET},
	    {"", NET_ANY, 0, ERR_NET},
	    {"a b", NET_ANY, 0, ERR_NET},
	    {"[::1]", NET_ANY, 0, ERR_NET},
	};
	unsigned port = 0;
	int server = listen_on(AF_INET, &port, 16);

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct err e = {0};
		int fd = net_connect(
		    row[i].host, port, row[i].family, wait_now() + 1500, &e);

		CHECK_ROW(i, (fd >= 0) == row[i].ok);
		if (fd < 0)
			CHECK_ROW(
			    i, e.kind == row[i].kind && strstr(e.msg, "'"));
		else
			close(fd);
	}
	close(server);
}

/* What the system says when nobody listens. Asked for and not written here,
 * since qemu 7.2 tells a MIPS the number that it has on the machine around. */
static const char *
refusal(unsigned port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM, 0), error = 0;
	socklen_t n = sizeof(error);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sa.sin_port = htons((uint16_t)port);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	CHECK(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0);
	if (errno == EINPROGRESS)
		CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0);
	else
		error = errno;
	close(fd);
	CHECK(error != 0);
	return strerror(error);
}

static void
test_refused(void)
{
	unsigned port = 0;
	int server = listen_on(AF_INET, &port, 1);
	struct err e;

	close(server);
	CHECK(net_connect("127.0.0.1", port, NET_ANY, SOON, &e) < 0);
	CHECK(e.kind == ERR_NET);
	CHECK(strstr(e.msg, "127.0.0.1") && strstr(e.msg, refusal(port)));
}

/* A name server that is silent must not outlast the deadline. That there is
 * none, as here perhaps, is refused sooner. */
static void
test_name_deadline(void)
{
	uint64_t start = wait_now();
	struct err e = {0};

	CHECK(net_connect("no-such.invalid", 9, NET_ANY, start + 200, &e) < 0);
	CHECK(e.kind == ERR_NET);
	CHECK(strstr(e.msg, "no-such.invalid"));
	CHECK(wait_now() - start < 2000);
}

static void
test_connect_deadline(void)
{
	unsigned port = 0;
	int queue[8], server = listen_on(AF_INET, &port, 0);
	uint64_t start = wait_now();
	struct err e = {0};

	fill_queue(AF_INET, port, queue, 8);
	CHECK(net_connect("127.0.0.1", port, NET_ANY, start + 300, &e) < 0);
	CHECK(e.kind == ERR_NET && strstr(e.msg, "timed out"));
	CHECK(wait_now() - start >= 300 && wait_now() - start < 3000);
	close_all(queue, 8);
	close(server);
}

/* Listeners on [::1] and 127.0.0.1 with the same port, which somebody else may
 * have of the second one. -1 if there is no IPv6 here. */
static int
listen_on_both(int *six, int *four, unsigned *port)
{
	for (int i = 0; i < 20; i++) {
		*port = 0;
		*six = listen_on(AF_INET6, port, 0);
		if (*six < 0)
			return -1;
		*four = listen_on(AF_INET, port, 4);
		if (*four >= 0)
			break;
		close(*six);
	}
	CHECK(*four >= 0);
	return 0;
}

/* [::1] is silent, 127.0.0.1 answers: the second one wins before the deadline
 * of the first. */
static void
test_race(void)
{
	unsigned port;
	int queue[8], silent, server;
	struct sockaddr_storage peer = {0};
	socklen_t n = sizeof(peer);
	struct err e;
	int fd;

	if (listen_on_both(&silent, &server, &port))
		return;
	fill_queue(AF_INET6, port, queue, 8);
	fd = net_connect("localhost", port, NET_ANY, SOON, &e);
	CHECK(fd >= 0);
	CHECK(!getpeername(fd, (struct sockaddr *)&peer, &n));
	CHECK(peer.ss_family == AF_INET);
	close(fd);
	close_all(queue, 8);
	close(server);
	close(silent);
}

static void
test_ipv6_first(void)
{
	unsigned port = 0;
	int six = listen_on(AF_INET6, &port, 4), four;
	struct sockaddr_storage peer = {0};
	socklen_t n = sizeof(peer);
	struct err e;
	int fd;

	if (six < 0)
		return;
	four = listen_on(AF_INET, &port, 4);
	fd = net_connect("localhost", port, NET_ANY, SOON, &e);
	CHECK(fd >= 0);
	CHECK(!getpeername(fd, (struct sockaddr *)&peer, &n));
	CHECK(peer.ss_family == AF_INET6);
	close(fd);
	close(four);
	close(six);
}

static void
test_read(void)
{
	int s[2];
	char text[8];
	size_t n = 99;
	struct err e;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	fcntl(s[0], F_SETFL, O_NONBLOCK);
	CHECK(net_read(s[0], text, sizeof(text), &n, wait_now() + 50, &e) < 0);
	CHECK(e.kind == ERR_NET && strstr(e.msg, "timed out"));
	CHECK(write(s[1], "0123456789", 10) == 10);
	/* What is there is given even when the time is over. */
	CHECK(!net_read(s[0], text, sizeof(text), &n, 0, &e));
	CHECK(n == 8 && !memcmp(text, "01234567", 8));
	CHECK(!net_read(s[0], text, sizeof(text), &n, 0, &e));
	CHECK(n == 2 && !memcmp(text, "89", 2));
	close(s[1]);
	CHECK(!net_read(s[0], text, sizeof(text), &n, SOON, &e) && n == 0);
	close(s[0]);
}

static void *
slow_reader(void *arg)
{
	static char text[4096];
	const int *fd = arg;
	size_t *total = calloc(1, sizeof(*total));
	ssize_t n;

	while ((n = read(*fd, text, sizeof(text))) > 0)
		*total += (size_t)n;
	return total;
}

static void
test_write(void)
{
	enum { SIZE = 1 << 20 };
	int s[2];
	char *text = calloc(1, SIZE);
	pthread_t id;
	void *total;
	struct err e;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	fcntl(s[0], F_SETFL, O_NONBLOCK);
	/* Nobody reads: the deadline ends it. */
	CHECK(net_write(s[0], text, SIZE, wait_now() + 50, &e) < 0);
	CHECK(e.kind == ERR_NET && strstr(e.msg, "timed out"));
	CHECK(!pthread_create(&id, NULL, slow_reader, &s[1]));
	CHECK(!net_write(s[0], text, SIZE, SOON, &e));
	shutdown(s[0], SHUT_WR);
	CHECK(!pthread_join(id, &total));
	CHECK(*(size_t *)total > SIZE);
	free(total);
	close(s[1]);
	/* Without MSG_NOSIGNAL the test would end here. */
	CHECK(net_write(s[0], text, 1, SOON, &e) < 0 && e.kind == ERR_NET);
	close(s[0]);
	free(text);
}

int
main(void)
{
	test_socket_options();
	test_names();
	test_refused();
	test_name_deadline();
	test_connect_deadline();
	test_race();
	test_ipv6_first();
	test_read();
	test_write();
	return test_end();
}
