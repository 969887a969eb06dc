#include "url.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "str.h"

static bool
unreserved(char c)
{
	return chr_alpha(c) || chr_digit(c) || (c && strchr("_.-~", c));
}

/* True if all of s is visible ASCII, as all of a URL is. */
static bool
visible(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.s[i] <= ' ' || s.s[i] > '~')
			return false;
	return true;
}

static struct str
from(struct str s, size_t i)
{
	return str_make(s.s + i, s.n - i);
}

/* Cuts "http://" or "https://", in any case, off *s. */
static bool
take_scheme(struct str *s, bool *secure)
{
	struct str scheme, rest;

	if (!str_cut(*s, ':', &scheme, &rest) || !str_starts(rest, "//"))
		return false;
	*secure = str_eq_nocase(scheme, "https");
	if (!*secure && !str_eq_nocase(scheme, "http"))
		return false;
	*s = from(rest, 2);
	return true;
}

/* True if s has only the characters of a registered name or an IPv4 address
 * (RFC 3986, 3.2.2). Percent-encoding is refused: no host of ours has it. */
static bool
is_host(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!unreserved(s.s[i]))
			return false;
	return s.n > 0 && s.n <= 255;
}

size_t
url_ip(struct str s, unsigned char ip[16])
{
	char text[INET6_ADDRSTRLEN];

	if (s.n >= sizeof(text) || memchr(s.s, '\0', s.n))
		return 0;
	memcpy(text, s.s, s.n);
	text[s.n] = '\0';
	if (inet_pton(AF_INET, text, ip) == 1)
		return 4;
	return inet_pton(AF_INET6, text, ip) == 1 ? 16 : 0;
}

static int
parse_port(struct str text, struct url *u, struct err *e)
{
	uint64_t port;

	/* "host:" is the default port (RFC 3986, 3.2.3). */
	if (!text.n)
		return 0;
	if (str_num(text, 10, 65535, &port) < 0 || !port)
		return err_set(e, ERR_OTHER,
		    "the port of '%.*s' must be 1 to 65535", STRF(u->host));
	u->port = (unsigned)port;
	return 0;
}

static int
parse_host(struct str s, struct url *u, struct err *e)
{
	struct str host = s, port = str_of("");
	unsigned char ip[16];

	if (str_starts(s, "[")) {
		if (!str_cut(from(s, 1), ']', &host, &port) ||
		    url_ip(host, ip) != 16)
			return err_set(e, ERR_OTHER,
			    "invalid IPv6 address '%.*s'", STRF(s));
		u->ipv6 = true;
		if (port.n && port.s[0] != ':')
			return err_set(
			    e, ERR_OTHER, "'%.*s' is no host", STRF(s));
		if (port.n)
			port = from(port, 1);
	} else {
		str_cut(s, ':', &host, &port);
		if (!is_host(host))
			return err_set(e, ERR_OTHER, "invalid host name '%.*s'",
			    STRF(host));
	}
	u->host = host;
	return parse_port(port, u, e);
}

/* Sets the error for another scheme, and shows the text without what may be
 * secret: a password, the signature in a query. */
static int
no_scheme(struct str text, struct err *e)
{
	struct str show = text, ignored;

	str_cut(show, '?', &show, &ignored);
	while (str_cut(show, '@', &ignored, &show))
		;
	return err_set(e, ERR_OTHER,
	    "'%.*s' is not an http:// or https:// address", STRF(show));
}

int
url_parse(struct str text, struct url *out, struct err *e)
{
	struct url u = {.port = 80};
	struct str rest = text, authority, ignored;
	size_t n = 0;

	if (text.n > URL_MAX)
		return err_set(e, ERR_OTHER, "the address is too long");
	if (!visible(text))
		return err_set(e, ERR_OTHER,
		    "the address contains blanks or control characters");
	str_cut(text, '#', &text, &ignored);
	rest = text;
	if (!take_scheme(&rest, &u.secure))
		return no_scheme(text, e);
	if (u.secure)
		u.port = 443;
	while (n < rest.n && rest.s[n] != '/' && rest.s[n] != '?')
		n++;
	authority = str_make(rest.s, n);
	u.text = text;
	u.path = from(rest, n);
	u.has_query = str_cut(u.path, '?', &u.path, &u.query);
	/* The last '@': a password may have one, a host may not. */
	for (size_t i = authority.n; i > 0; i--)
		if (authority.s[i - 1] == '@') {
			u.user = str_make(authority.s, i - 1);
			authority = from(authority, i);
			break;
		}
	if (parse_host(authority, &u, e) < 0)
		return -1;
	*out = u;
	return 0;
}

/* Drops the last segment after start, with its slash. */
static void
drop_segment(struct buf *b, size_t start)
{
	while (b->len > start && b->s[b->len - 1] != '/')
		b->len--;
	if (b->len > start)
		b->len--;
	if (b->s)
		b->s[b->len] = '\0';
}

/* Appends an absolute path without its dot segments (RFC 3986, 5.2.4). */
static void
put_path(struct buf *b, struct str path)
{
	size_t start = b->len;

	bool more = path.n > 0;

	path = more ? from(path, 1) : path;
	while (more) {
		struct str segment = path;

		more = str_cut(path, '/', &segment, &path);
		if (str_eq(segment, ".") || str_eq(segment, "..")) {
			if (segment.n == 2)
				drop_segment(b, start);
			if (!more)
				buf_putc(b, '/');
		} else {
			buf_putc(b, '/');
			buf_str_add(b, segment);
		}
	}
	if (b->len == start)
		buf_putc(b, '/');
}

/* Encodes what may not stand in a URL but is sent by some servers. */
static void
put_cleaned(struct buf *b, struct str s)
{
	static const char digit[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.s[i];

		if (c == ' ' || c > 0x7e) {
			buf_putc(b, '%');
			buf_putc(b, digit[c >> 4]);
			buf_putc(b, digit[c & 15]);
		} else {
			buf_putc(b, s.s[i]);
		}
	}
}

void
url_put_host(struct buf *b, const struct url *u, bool port)
{
	buf_puts(b, u->ipv6 ? "[" : "");
	buf_str_add(b, u->host);
	buf_puts(b, u->ipv6 ? "]" : "");
	if (port || u->port != (u->secure ? 443 : 80))
		buf_printf(b, ":%u", u->port);
}

static void
put_authority(struct buf *b, const struct url *base)
{
	buf_puts(b, base->secure ? "https://" : "http://");
	url_put_host(b, base, false);
}

/* Returns the path that a relative reference continues: up to the last '/'. */
static struct str
base_folder(const struct url *base)
{
	struct str path = base->path;

	while (path.n && path.s[path.n - 1] != '/')
		path.n--;
	return path.n ? path : str_of("/");
}

/* True if s begins with a scheme (RFC 3986, 3.1), as "x:y" does and "a/b:c"
 * does not. */
static bool
has_scheme(struct str s)
{
	struct str scheme, rest;

	if (!str_cut(s, ':', &scheme, &rest) || !scheme.n ||
	    !chr_alpha(scheme.s[0]))
		return false;
	for (size_t i = 0; i < scheme.n; i++)
		if (!chr_alpha(scheme.s[i]) && !chr_digit(scheme.s[i]) &&
		    !strchr("+-.", scheme.s[i]))
			return false;
	return true;
}

/* Appends an absolute address, without the dot segments of its path. */
static int
put_absolute(struct buf *b, struct str text, struct err *e)
{
	struct url u;
	size_t tail;

	if (url_parse(text, &u, e) < 0)
		return -1;
	/* NOLINTNEXTLINE(clang-analyzer-core.*): err_set() is always -1. */
	tail = u.path.n + (u.has_query ? u.query.n + 1 : 0);
	buf_add(b, u.text.s, u.text.n - tail);
	if (u.path.n)
		put_path(b, u.path);
	buf_puts(b, u.has_query ? "?" : "");
	buf_str_add(b, u.query);
	return 0;
}

static void
put_relative(struct buf *b, const struct url *base, struct str ref)
{
	struct buf path = buf_make(2 * URL_MAX);
	struct str query = str_of("");
	bool has_query = str_cut(ref, '?', &ref, &query);

	put_authority(b, base);
	if (!ref.n) {
		put_path(b, base->path);
		if (!has_query) {
			has_query = base->has_query;
			query = base->query;
		}
	} else {
		if (ref.s[0] != '/')
			buf_str_add(&path, base_folder(base));
		buf_str_add(&path, ref);
		put_path(b, buf_str(&path));
	}
	if (has_query)
		buf_putc(b, '?');
	buf_str_add(b, query);
	buf_release(&path);
}

static int
put_target(struct buf *b, const struct url *base, struct str ref, struct err *e)
{
	struct buf full = buf_make(URL_MAX + 8);
	bool absolute = has_scheme(ref);
	int rv = 0;

	if (!absolute && str_starts(ref, "//")) {
		buf_puts(&full, base->secure ? "https:" : "http:");
		absolute = true;
	}
	buf_str_add(&full, ref);
	if (absolute)
		rv = put_absolute(b, buf_str(&full), e);
	else
		put_relative(b, base, ref);
	buf_release(&full);
	return rv;
}

char *
url_join(const struct url *base, struct str ref, struct err *e)
{
	struct buf clean = buf_make(URL_MAX), out = buf_make(URL_MAX);
	struct str fragment;
	struct url checked;
	int rv;

	put_cleaned(&clean, ref);
	ref = buf_str(&clean);
	str_cut(ref, '#', &ref, &fragment);
	rv = put_target(&out, base, ref, e);
	if (clean.full || out.full)
		rv = err_set(e, ERR_OTHER, "the address is too long");
	else if (rv == 0)
		rv = url_parse(buf_str(&out), &checked, e);
	buf_release(&clean);
	if (rv == 0)
		return buf_detach(&out);
	buf_release(&out);
	return NULL;
}

bool
url_same_origin(const struct url *a, const struct url *b)
{
	return a->secure == b->secure && a->port == b->port &&
	       str_same_nocase(a->host, b->host);
}

bool
url_is_below(const struct url *u, const struct url *base)
{
	size_t n = base->path.n;

	return url_same_origin(u, base) && u->path.n >= n &&
	       (!n || memcmp(u->path.s, base->path.s, n) == 0) &&
	       (u->path.n == n || u->path.s[n] == '/');
}

char *
url_put_below(const struct url *base, char *url)
{
	struct buf b = buf_make(URL_MAX);
	struct url u = {.port = 0};
	struct err ignored;

	if (url_parse(str_of(url), &u, &ignored) < 0 ||
	    !url_same_origin(&u, base) || url_is_below(&u, base) ||
	    !str_starts(u.path, "/api/"))
		return url;
	put_authority(&b, &u);
	buf_str_add(&b, base->path);
	buf_puts(&b, u.path.s);
	if (b.full) {
		buf_release(&b);
		return url;
	}
	free(url);
	return buf_detach(&b);
}

bool
url_is_loopback(const struct url *u)
{
	static const unsigned char one[16] = {[15] = 1};
	unsigned char ip[16];
	size_t n = url_ip(u->host, ip);

	return (n == 4 && ip[0] == 127) ||
	       (n == 16 && memcmp(ip, one, 16) == 0) ||
	       str_eq_nocase(u->host, "localhost");
}

/* True for a name that some resolvers and proxies take for an address of this
 * machine, or for any: "x.localhost", "127.1", "0x7f000001". */
static bool
is_odd_name(struct str host)
{
	size_t at = host.n, digits;

	while (at > 0 && host.s[at - 1] != '.')
		at--;
	host = from(host, at);
	for (digits = 0; digits < host.n && chr_digit(host.s[digits]);)
		digits++;
	return digits == host.n || str_eq_nocase(host, "localhost") ||
	       (host.n >= 2 && host.s[0] == '0' &&
		   (host.s[1] == 'x' || host.s[1] == 'X'));
}

bool
url_is_private(const struct url *u)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	static const unsigned char none[16] = {0};
	unsigned char ip[16], *v4 = ip;
	struct str host = u->host;
	size_t n;

	/* The root of all names may be written. */
	if (str_ends(host, "."))
		host.n--;
	n = url_ip(host, ip);
	if (url_is_loopback(u) || (!n && is_odd_name(host)))
		return true;
	if (n == 16 && memcmp(ip, mapped, sizeof(mapped)) == 0) {
		v4 = ip + sizeof(mapped);
		n = 4;
	}
	if (n == 4)
		return v4[0] == 0 || v4[0] == 10 || v4[0] == 127 ||
		       (v4[0] == 100 && (v4[1] & 0xc0) == 64) ||
		       (v4[0] == 169 && v4[1] == 254) ||
		       (v4[0] == 172 && (v4[1] & 0xf0) == 16) ||
		       (v4[0] == 192 && v4[1] == 168);
	return n == 16 &&
	       (memcmp(ip, none, sizeof(none)) == 0 || (ip[0] & 0xfe) == 0xfc ||
		   (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80));
}

void
url_quote(struct buf *b, struct str s, const char *keep)
{
	static const char digit[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.s[i];

		if (unreserved(s.s[i]) || (c && strchr(keep, s.s[i]))) {
			buf_putc(b, s.s[i]);
		} else {
			buf_putc(b, '%');
			buf_putc(b, digit[c >> 4]);
			buf_putc(b, digit[c & 15]);
		}
	}
}

int
url_unquote(struct str s, struct buf *out)
{
	/* At once, not byte by byte. */
	if (s.n <= out->max - out->len)
		(void)buf_room(out, s.n);
	for (size_t i = 0; i < s.n; i++) {
		int hi, lo;

		if (s.s[i] != '%') {
			buf_putc(out, s.s[i]);
			continue;
		}
		if (s.n - i < 3)
			return -1;
		hi = chr_hex(s.s[i + 1]);
		lo = chr_hex(s.s[i + 2]);
		if (hi < 0 || lo < 0 || hi + lo == 0)
			return -1;
		buf_putc(out, (char)(hi * 16 + lo));
		i += 2;
	}
	return 0;
}

bool
url_query_get(struct str query, const char *name, struct str *value)
{
	while (query.n) {
		struct str pair = query, rest = str_of(""), key, v;

		str_cut(query, '&', &pair, &rest);
		key = pair;
		v = str_of("");
		str_cut(pair, '=', &key, &v);
		if (str_eq(key, name)) {
			*value = v;
			return true;
		}
		query = rest;
	}
	return false;
}

void
url_show(struct buf *b, const struct url *u)
{
	put_authority(b, u);
	buf_str_add(b, u->path);
}

/* Reads "20260823T195455Z" as Unix seconds; 0 if it is not such a date. */
static uint64_t
amz_date(struct str s)
{
	unsigned y, mon, d, h, min, sec;

	if (s.n != 16 || s.s[8] != 'T' || s.s[15] != 'Z' ||
	    !date_field(s, 0, 4, 1970, 9999, &y) ||
	    !date_field(s, 4, 2, 1, 12, &mon) ||
	    !date_field(s, 6, 2, 1, 31, &d) ||
	    !date_field(s, 9, 2, 0, 23, &h) ||
	    !date_field(s, 11, 2, 0, 59, &min) ||
	    !date_field(s, 13, 2, 0, 60, &sec))
		return 0;
	return (uint64_t)date_seconds(y, mon, d, h, min, sec);
}

uint64_t
url_expiry(const struct url *u)
{
	struct str value;
	uint64_t seconds, begin;

	if (url_query_get(u->query, "Expires", &value) &&
	    str_num(value, 10, INT64_MAX, &seconds) == 0)
		return seconds;
	if (!url_query_get(u->query, "X-Amz-Date", &value))
		return 0;
	begin = amz_date(value);
	if (!begin || !url_query_get(u->query, "X-Amz-Expires", &value) ||
	    str_num(value, 10, 1u << 30, &seconds) < 0)
		return 0;
	return begin + seconds;
}

/* --- Which proxy. --- */

/* True if host is name itself, or (with sub) ends in ".name". */
static bool
in_domain(struct str host, struct str name, bool sub)
{
	struct str tail;

	if (host.n < name.n || !name.n)
		return false;
	tail = from(host, host.n - name.n);
	return str_same_nocase(tail, name) &&
	       (host.n == name.n ||
		   (sub && host.s[host.n - name.n - 1] == '.'));
}

/* Splits "[::1]:80", "::1", "host:80" or "host" into host and port (0: any). */
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

/* True if the first bits of both are the same. */
static bool
same_bits(const unsigned char *a, const unsigned char *b, uint64_t bits)
{
	unsigned rest = bits % 8;
	size_t whole = (size_t)(bits / 8);

	if (memcmp(a, b, whole) != 0)
		return false;
	return !rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* True if host is an address in the network entry: "10.0.0.0/8", "fd00::/8", or
 * one address. A name is never in a network, since it is not looked up before
 * the proxy is chosen. */
static bool
in_network(struct str entry, struct str host)
{
	unsigned char network[16], address[16];
	struct str number = entry, prefix = str_of("");
	bool cut = str_cut(entry, '/', &number, &prefix);
	uint64_t bits;
	size_t n;

	if (str_starts(number, "[") && str_ends(number, "]"))
		number = str_make(number.s + 1, number.n - 2);
	n = url_ip(number, network);
	if (!n || url_ip(host, address) != n)
		return false;
	bits = 8 * n;
	if (cut && str_num(prefix, 10, 8 * n, &bits) < 0)
		return false;
	return same_bits(network, address, bits);
}

static bool
entry_covers(struct str entry, const struct url *u)
{
	struct str scheme, rest, host;
	unsigned char ip[16];
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
	    !url_ip(u->host, ip) && !url_ip(host, ip) &&
		!str_eq_nocase(host, "localhost"));
}

/* True if the no_proxy list covers the host and port of u: "*" alone in the
 * list; "example.com" itself and its subdomains; ".example.com" only
 * subdomains, and so does "*.example.com"; addresses and "localhost" exactly;
 * "10.0.0.0/8" and "fd00::/8" addresses, but not names, of that network;
 * "host:port" only that port; "scheme://host" only that scheme. */
static bool
proxy_excluded(const char *no, const struct url *u)
{
	struct str list = str_of(no);
	bool more = true, covered = false;

	while (more) {
		struct str entry = list;

		more = str_cut(list, ',', &entry, &list);
		entry = str_trim(entry);
		/* A lone '*' counts anywhere in the list. */
		if (str_eq(entry, "*"))
			return true;
		covered = covered || (entry.n && entry_covers(entry, u));
	}
	return covered;
}

static const char *
choose_proxy(const struct proxy_rules *rules, const struct url *target)
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
	const char *text = choose_proxy(rules, target);

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
	    "the proxy address for %.*s must begin with http:// or https://",
	    STRF(target->host));
	return err_hint(e, "check --proxy, https_proxy, http_proxy and "
			   "all_proxy");
}
