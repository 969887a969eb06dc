#ifndef HUB_NET_H
#define HUB_NET_H

/*
 * Names to addresses, connections, bytes: TCP with a deadline on everything.
 * Deadlines are times of wait_now(). Errors are ERR_NET unless said otherwise.
 */

#include <stddef.h>
#include <stdint.h>

#include "dns.h"

struct err;

enum net_family { NET_ANY, NET_IPV4, NET_IPV6 };

/* Where names are looked up. */
struct net_names {
	const char *hosts;   /* a file as hosts(5) has it; need not be there */
	const char *servers; /* a file as resolv.conf(5); need not be there */
	unsigned port;       /* of the name servers */
};

struct net_addresses {
	struct dns_addresses six, four;
};

/*
 * The addresses of a name, at least one: a number, localhost, what the file of
 * hosts says, else what name servers say. These are asked for both families at
 * once, and for the next server while one is silent or has failed. One family
 * waits only a moment for the other. A name that does not exist is ERR_NET,
 * too, since resolvers of boards that have just started say that as well.
 */
int net_lookup(const struct net_names *names, const char *host,
    enum net_family family, uint64_t deadline, struct net_addresses *out,
    struct err *e);

/*
 * Connects to a name or an address, by the files of this machine: IPv6 and IPv4
 * raced (RFC 8305: the next address after 250 ms, families in turn). The socket
 * is non-blocking, close-on-exec and has TCP_NODELAY. Returns the descriptor,
 * or -1.
 */
int net_connect(const char *host, unsigned port, enum net_family family,
    uint64_t deadline, struct err *e);

/* Receives what is there, up to cap bytes; waits for the first. *n is 0 at the
 * end of the stream. */
int net_read(
    int fd, void *p, size_t cap, size_t *n, uint64_t deadline, struct err *e);

/* Sends all n bytes. */
int net_write(
    int fd, const void *p, size_t n, uint64_t deadline, struct err *e);

#endif
