#ifndef HUB_DNS_H
#define HUB_DNS_H

/*
 * The Domain Name System as text and bytes: questions and answers (RFC 1035,
 * EDNS of RFC 6891), resolv.conf(5) and hosts(5). Pure: conn.c does the I/O.
 *
 * Names are C strings with or without a dot at their end, compared without
 * regard to the case of ASCII letters.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

/* Addresses of one name; more are left out. */
#define DNS_ADDRESSES 16

/* Name servers; as in other resolvers, more are left out. */
#define DNS_SERVERS 3

/* Bytes of a question: its head, a name, type and class, and EDNS. */
#define DNS_QUERY_MAX (12 + 255 + 4 + 11)

/* Bytes of an answer by UDP that go through any network in one piece (the DNS
 * flag day of 2020). */
#define DNS_UDP_MAX 1232

/* Room for the search list, and for a name with one of its domains. */
#define DNS_SEARCH_MAX 1024
#define DNS_NAME_MAX 512

enum dns_type { DNS_A = 1, DNS_AAAA = 28 };

struct dns_address {
	bool six;
	unsigned char ip[16]; /* the first 4 of IPv4 */
	char zone[16];        /* "eth0" of "fe80::1%eth0", or "" */
};

struct dns_addresses {
	struct dns_address at[DNS_ADDRESSES];
	size_t n;
};

struct dns_config {
	struct dns_address server[DNS_SERVERS];
	size_t servers;
	char search[DNS_SEARCH_MAX]; /* domains, a blank after each */
	unsigned ndots;              /* 0 to 15 */
	unsigned timeout;            /* seconds, 1 to 30 */
	unsigned attempts;           /* 1 to 5 */
	bool rotate;
};

/* Parses a numeric address, IPv6 optionally with a zone. False if s is not
 * one. */
bool dns_number(struct str s, struct dns_address *out);

/* The defaults of a missing resolv.conf, without a server. */
void dns_config_init(struct dns_config *c);

/* Reads a line of resolv.conf. Unknown lines change nothing. */
void dns_config_line(struct str line, struct dns_config *c);

/* Adds the address of a line of /etc/hosts to out if the line has the name. */
void dns_hosts_line(
    struct str line, const char *name, struct dns_addresses *out);

/* True for "localhost" and all names below it (RFC 6761, section 6.3). */
bool dns_is_localhost(const char *name);

/* The i-th name to ask for, in the order of trying: the name itself, or with
 * one of the domains of the search list. False if there are no more. */
bool dns_candidate(const struct dns_config *c, const char *name, size_t i,
    char out[DNS_NAME_MAX]);

/* Writes a query. Returns its length; 0 if name is not a host name: an empty or
 * too long label, characters other than letters, digits, '-' and '_'. */
size_t dns_query(const char *name, enum dns_type type, uint16_t id, bool edns,
    unsigned char out[DNS_QUERY_MAX]);

enum dns_answer {
	DNS_FOREIGN, /* not an answer to this query: keep waiting */
	DNS_FOUND,   /* at least one address */
	DNS_NONE,    /* the name has no address of that type */
	DNS_NO_NAME, /* there is no such name */
	DNS_FAILED,  /* the server fails or refuses */
	DNS_NO_EDNS, /* retry the query without EDNS */
	DNS_CUT,     /* truncated: query again by TCP */
};

/* Reads an answer of n bytes to that query, and adds its addresses to out; for
 * DNS_CUT those that are in it. Aliases in the answer are followed. */
enum dns_answer dns_answer(const unsigned char *p, size_t n,
    const unsigned char *query, size_t query_n, struct dns_addresses *out);

#endif
