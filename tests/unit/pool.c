
#include "../../client.c"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "err.h"
#include "str.h"
#include "tests/unit/test.h"
#include "tls.h"
#include "wait.h"

/* As in pool.c. */
enum { IDLE = 64, SESSIONS = 16 };

/* A listener that never accepts: what connects is open and silent. */
struct peer {
	int fd;
	char url[64];
};

static void
peer_open(struct peer *p)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t n = sizeof(sa);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (p->fd < 0 || bind(p->fd, (struct sockaddr *)&sa, n) ||
	    listen(p->fd, 128) ||
	    getsockname(p->fd, (struct sockaddr *)&sa, &n)) {
		perror("peer_open");
		exit(1);
	}
	snprintf(
	    p->url, sizeof(p->url), "http://127.0.0.1:%u", ntohs(sa.sin_port));
}

static struct link *
peer_conn(const struct peer *p)
{
	struct conn_how how = {.deadline = wait_now() + 5000};
	struct url u;
	struct err e;
	struct conn *c;

	CHECK(!url_parse(str_of(p->url), &u, &e));
	c = conn_open(&u, &how, NULL, &e);
	CHECK(c);
	return link_make(c);
}

static void
test_keys(void)
{
	static const char *const other[] = {"", "a", "A:1", "a:12", "b:1"};
	struct pool *pool = pool_open();
	struct link *first, *second, *third;
	struct peer p;

	peer_open(&p);
	first = peer_conn(&p);
	second = peer_conn(&p);
	third = peer_conn(&p);
	CHECK(!pool_take(pool, "a:1"));
	pool_put(pool, "a:1", first);
	pool_put(pool, "b", second);
	pool_put(pool, "a:1", third);
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		CHECK_ROW(i, !pool_take(pool, other[i]));
	/* The youngest first: it is the least likely to be dead. */
	CHECK(pool_take(pool, "a:1") == third);
	CHECK(pool_take(pool, "a:1") == first);
	CHECK(!pool_take(pool, "a:1"));
	CHECK(pool_take(pool, "b") == second);
	CHECK(!pool_take(pool, "b"));
	/* Left to pool_close(). */
	pool_put(pool, "a:1", first);
	pool_put(pool, "a:1", second);
	pool_put(pool, "b", third);
	pool_close(pool);
	pool_close(NULL);
	close(p.fd);
}

/* Connections that have ended, or in which something has come. */
static void
test_dead(void)
{
	struct pool *pool = pool_open();
	struct peer good, bad;
	struct link *c;
	int fd;

	peer_open(&good);
	peer_open(&bad);
	c = peer_conn(&good);
	pool_put(pool, "k", c);
	pool_put(pool, "k", peer_conn(&bad));
	fd = accept(bad.fd, NULL, NULL);
	CHECK(write(fd, "x", 1) == 1);
	pool_put(pool, "k", peer_conn(&bad));
	close(bad.fd);
	CHECK(pool_take(pool, "k") == c);
	CHECK(!pool_take(pool, "k"));
	link_close(c);
	close(fd);
	close(good.fd);
	pool_close(pool);
}

/* One more than there is room for: the oldest goes. */
static void
test_full(void)
{
	struct pool *pool = pool_open();
	struct peer p;
	struct link *c[IDLE + 1];

	peer_open(&p);
	for (size_t i = 0; i <= IDLE; i++) {
		c[i] = peer_conn(&p);
		pool_put(pool, i ? "new" : "old", c[i]);
	}
	CHECK(!pool_take(pool, "old"));
	for (size_t i = IDLE; i > 0; i--) {
		CHECK_ROW(i, pool_take(pool, "new") == c[i]);
		link_close(c[i]);
	}
	CHECK(!pool_take(pool, "new"));
	pool_close(pool);
	close(p.fd);
}

static unsigned
session_of(struct pool *pool, unsigned number)
{
	struct tls_resume r;
	char key[32];

	snprintf(key, sizeof(key), "host%u", number);
	memset(&r, 0xff, sizeof(r));
	pool_session(pool, key, &r);
	CHECK(r.id_len || !r.suite);
	return r.suite;
}

static void
keep(struct pool *pool, unsigned number, uint16_t suite)
{
	struct tls_resume r = {.id_len = 1, .suite = suite};
	char key[32];

	snprintf(key, sizeof(key), "host%u", number);
	pool_keep_session(pool, key, &r);
}

static void
test_sessions(void)
{
	struct pool *pool = pool_open();

	CHECK(session_of(pool, 0) == 0);
	for (unsigned i = 0; i < SESSIONS; i++)
		keep(pool, i, (uint16_t)(100 + i));
	for (unsigned i = 0; i < SESSIONS; i++)
		CHECK_ROW(i, session_of(pool, i) == 100 + i);
	/* A new session takes the place of the old one of that host. */
	keep(pool, 3, 777);
	CHECK(session_of(pool, 3) == 777 && session_of(pool, 0) == 100);
	/* One host more: the first gives way. */
	keep(pool, SESSIONS, 888);
	CHECK(session_of(pool, SESSIONS) == 888);
	CHECK(session_of(pool, 0) == 0 && session_of(pool, 1) == 101);
	pool_close(pool);
}

int
main(void)
{
	test_keys();
	test_dead();
	test_full();
	test_sessions();
	return test_end();
}
