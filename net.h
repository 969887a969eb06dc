#ifndef HUB_NET_H
#define HUB_NET_H

/*
 * Names to addresses, connections, bytes: TCP with a deadline on everything.
 * Deadlines are times of wait_now(). Errors are ERR_NET unless said otherwise.
 */

#include <stddef.h>
#include <stdint.h>

struct err;

enum net_family { NET_ANY, NET_IPV4, NET_IPV6 };

/*
 * Connects to a name or an address: IPv6 and IPv4 raced (RFC 8305: the next
 * address after 250 ms, families in turn). getaddrinfo() has no deadline of
 * its own, so it runs on a thread that is left behind if it takes too long.
 * The socket is non-blocking, close-on-exec and has TCP_NODELAY. Returns the
 * descriptor, or -1; a name that does not exist is ERR_NET, too, since
 * resolvers of boards that have just started say that as well.
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
