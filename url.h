#ifndef HUB_URL_H
#define HUB_URL_H

/*
 * URLs of http and https (RFC 3986): parse, join, quote, compare, show.
 * Pure; no allocation but where stated.
 */

#include <stdbool.h>

#include "str.h"

struct err;

/* Longest URL that is accepted anywhere: signed ones have about 1.5 kB. */
#define URL_MAX 16384

/*
 * A parsed absolute URL; the views point into the text it was parsed from. host
 * is without brackets and keeps its case (compare with str_eq_nocase); user is
 * the raw "user:password" before '@' or empty. A request line contains path
 * ("/" if that is empty) and query.
 */
struct url {
	struct str text;  /* all of it, without fragment */
	bool secure;      /* https */
	struct str user;  /* before '@' in the authority, or empty */
	struct str host;  /* never empty */
	bool ipv6;        /* host is an IPv6 literal and stood in brackets */
	unsigned port;    /* explicit or the scheme's */
	struct str path;  /* "" or begins with '/' */
	struct str query; /* after '?', without it; empty if none */
	bool has_query;   /* "x?" has an empty query, "x" has none */
};

/* Refuses other schemes, an empty host, control characters, blanks, ports
 * outside 1..65535, texts over URL_MAX. Bytes above 0x7f are refused: a URL is
 * ASCII. The reason is set with ERR_OTHER; a caller may change the kind. */
int url_parse(struct str text, struct url *out, struct err *e);

/* Returns the URL that reference ref means at base (RFC 3986, section 5.2:
 * absolute, "//host/x", "/x", "x", "?x"), dot segments removed, as a string
 * that the caller frees; NULL and an error if it means none. Blanks and bytes
 * above 0x7f in ref, which some servers send, come out percent-encoded. */
char *url_join(const struct url *base, struct str ref, struct err *e);

/* True if scheme, host (ignoring case) and port are the same. */
bool url_same_origin(const struct url *a, const struct url *b);

/* True if the origin is the same and u's path is base's (without '/' at its
 * end) or continues it with '/'. */
bool url_is_below(const struct url *u, const struct url *base);

/* If base has a path, url has the same origin but is not below it, and url's
 * path begins with "/api/": frees url and returns it with base's path before
 * its own. Else returns url. */
char *url_put_below(const struct url *base, char *url);

/* Parses an IPv4 address, or an IPv6 address without brackets and zone. Returns
 * its bytes, 4 or 16; 0 if s is neither. */
size_t url_ip(struct str s, unsigned char ip[16]);

/* True for "localhost", 127.0.0.0/8 and [::1]: clear text stays on this
 * machine. */
bool url_is_loopback(const struct url *u);

/* True for those and for addresses of private networks and of the link itself,
 * written as numbers, and for names that may be taken for one ("a.localhost",
 * "127.1"): what a server elsewhere must not lead to. Names are not looked up. */
bool url_is_private(const struct url *u);

/* Appends s percent-encoded: all bytes outside A-Z a-z 0-9 _ . - ~ and keep. */
void url_quote(struct buf *b, struct str s, const char *keep);

/* Decodes %XX; -1 for a broken escape or an escaped NUL. The result is never
 * longer than s. */
int url_unquote(struct str s, struct buf *out);

/* Finds the value of name in a query "a=1&b=2", still quoted; false if
 * absent. */
bool url_query_get(struct str query, const char *name, struct str *value);

/* Appends "host:port", as in a Host field: an IPv6 address in brackets; the
 * port, if it is not the default or port is true. */
void url_put_host(struct buf *b, const struct url *u, bool port);

/* Appends "https://host:port/path" without user, query and fragment, for
 * people: a query may contain a signature. The port only if it is not the
 * default. */
void url_show(struct buf *b, const struct url *u);

/*
 * Returns when a signed URL expires, as Unix seconds: from "Expires="
 * (CloudFront), or "X-Amz-Date" + "X-Amz-Expires" (S3). 0 if it has neither.
 */
uint64_t url_expiry(const struct url *u);

/* --- Which proxy. --- */

/*
 * Which proxy a URL goes through: the values of --proxy, or of http_proxy,
 * https_proxy, all_proxy and no_proxy, with the rules of the official client's
 * HTTP library (httpx).
 */

struct proxy_rules {
	const char *http;  /* proxy for http URLs; NULL or "": none */
	const char *https; /* proxy for https URLs */
	const char *all;   /* for both, where the other is unset */
	const char *no;    /* the no_proxy list; NULL: none */
};

/*
 * Sets *proxy to the parsed proxy for target and returns 1; 0 for a direct
 * connection; -1 and ERR_USAGE if the proxy's address is not usable (only
 * http:// and https:// proxies are). A value without "://" is http. buf holds
 * the text that *proxy points into.
 */
int proxy_for(const struct proxy_rules *rules, const struct url *target,
    struct buf *buf, struct url *proxy, struct err *e);

#endif
