#include "proxy.h"

#include <string.h>

#include "dns.h"
#include "err.h"

static struct str
from(struct str s, size_t i)
{
	return str_make(s.s + i, s.n - i);
}

/* White space of any kind: lists in the environment are written by people. */
static struct str
trim(struct str s)
{
	while (s.n && (unsigned char)s.s[0] <= ' ')
		s = from(s, 1);
	while (s.n && (unsigned char)s.s[s.n - 1] <= ' ')
		s.n--;
	return s;
}

/* Numbers and dots only: no name that has subdomains. */
static bool
is_ipv4(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!chr_digit(s.s[i]) && s.s[i] != '.')
			return false;
	return s.n > 0;
}

/* host is name itself, or (with sub) ends in ".name". */
static bool
in_domain(struct str host, struct str name, bool sub)
{
	struct str tail;

	if (host.n < name.n || !name.n)
		return false;
	tail = from(host, host.n - name.n);
	for (size_t i = 0; i < name.n; i++)
		if (chr_lower(tail.s[i]) != chr_lower(name.s[i]))
			return false;
	if (host.n == name.n)
		return true;
	return sub && host.s[host.n - name.n - 1] == '.';
}

/* "[::1]:80", "::1", "host:80", "host" to host and port (0: any). */
static bool
split_port(struct str entry, struct str *host, uint64_t *port)
{
	struct str rest = str_of(""), tail;

	*host = entry;
	*port = 0;
	if (str_starts(entry, "[")) {
		if (!str_cut(from(entry, 1), ']', host, &rest))
			return false;
		if (!rest.n)
			return true;
		if (rest.s[0] != ':')
			return false;
		rest = from(rest, 1);
	} else if (!str_cut(entry, ':', host, &rest)) {
		return true;
	} else if (str_cut(rest, ':', &tail, &tail)) {
		*host = entry; /* two colons: a bare IPv6 address */
		return true;
	}
	return str_num(rest, 10, 65535, port) == 0;
}

/* The first bits of both are the same. */
static bool
same_bits(const unsigned char *a, const unsigned char *b, uint64_t bits)
{
	unsigned rest = bits % 8;
	size_t whole = (size_t)(bits / 8);

	if (memcmp(a, b, whole) != 0)
		return false;
	return !rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* "10.0.0.0/8", "fd00::/8", or one address: the host has to be an address of
 * that network, since a name is not looked up before the proxy is chosen. */
static bool
in_network(struct str entry, struct str host)
{
	struct dns_address network, address;
	struct str number = entry, prefix = str_of("");
	bool cut = str_cut(entry, '/', &number, &prefix);
	uint64_t bits, all;

	if (str_starts(number, "[") && str_ends(number, "]"))
		number = str_make(number.s + 1, number.n - 2);
	if (!dns_number(number, &network) || !dns_number(host, &address) ||
	    network.six != address.six)
		return false;
	bits = all = network.six ? 128 : 32;
	if (cut && str_num(prefix, 10, all, &bits) < 0)
		return false;
	return same_bits(network.ip, address.ip, bits);
}

static bool
entry_covers(struct str entry, const struct url *u)
{
	struct str scheme, rest, host;
	uint64_t port;

	if (str_cut(entry, ':', &scheme, &rest) && str_starts(rest, "//")) {
		if (!str_eq_nocase(scheme, u->secure ? "https" : "http") &&
		    !str_eq_nocase(scheme, "all"))
			return false;
		entry = from(rest, 2);
		if (!entry.n || str_eq(entry, "*"))
			return true;
	}
	if (in_network(entry, u->host))
		return true;
	if (!split_port(entry, &host, &port) || (port && port != u->port))
		return false;
	if (str_starts(host, "*."))
		host = from(host, 1);
	if (str_starts(host, "."))
		return in_domain(u->host, from(host, 1), true) &&
		       u->host.n >= host.n;
	return in_domain(u->host, host,
	    !u->ipv6 && !is_ipv4(host) && !str_eq_nocase(host, "localhost"));
}

bool
proxy_excluded(const char *no, const struct url *u)
{
	struct str list = str_of(no);
	bool more = true, covered = false;

	while (more) {
		struct str entry = list;

		more = str_cut(list, ',', &entry, &list);
		entry = trim(entry);
		/* A lone '*' counts wherever it stands. */
		if (str_eq(entry, "*"))
			return true;
		covered = covered || (entry.n && entry_covers(entry, u));
	}
	return covered;
}

static const char *
choose(const struct proxy_rules *rules, const struct url *target)
{
	const char *own = target->secure ? rules->https : rules->http;

	if (own && *own)
		return own;
	return rules->all && *rules->all ? rules->all : NULL;
}

int
proxy_for(const struct proxy_rules *rules, const struct url *target,
    struct buf *buf, struct url *proxy, struct err *e)
{
	const char *text = choose(rules, target);

	if (!text || (rules->no && proxy_excluded(rules->no, target)))
		return 0;
	buf_clear(buf);
	if (!strstr(text, "://"))
		buf_puts(buf, "http://");
	buf_puts(buf, text);
	if (!buf->full && url_parse(buf_str(buf), proxy, e) == 0)
		return 1;
	/* The text may hold a password, so it is not shown. */
	err_set(e, ERR_USAGE,
	    "the address of the proxy for %.*s is no http:// or https:// "
	    "address",
	    STRF(target->host));
	return err_hint(e, "look at --proxy, https_proxy, http_proxy and "
			   "all_proxy");
}
