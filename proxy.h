#ifndef HUB_PROXY_H
#define HUB_PROXY_H

/*
 * Which proxy a URL goes through: --proxy, else http_proxy, https_proxy,
 * all_proxy and no_proxy with the rules of the official client's HTTP library
 * (hub-protocol.md, 8.4). Pure: the environment is given, not read here.
 */

#include "url.h"

struct proxy_rules {
	const char *http;  /* proxy for http URLs; NULL or "": none */
	const char *https; /* proxy for https URLs */
	const char *all;   /* for both, where the other is unset */
	const char *no;    /* the no_proxy list; NULL: none */
};

/*
 * Sets *proxy to the parsed proxy for target and returns 1; 0 if it is to be
 * reached directly; -1 and ERR_USAGE if the proxy's address is not usable
 * (only http:// and https:// proxies are). A value without "://" is http.
 * buf holds the text that *proxy points into.
 */
int proxy_for(const struct proxy_rules *rules, const struct url *target,
    struct buf *buf, struct url *proxy, struct err *e);

/* True if the no_proxy list covers the host and port of u: "*" alone in the
 * list; "example.com" itself and its subdomains; ".example.com" only
 * subdomains, and so does "*.example.com"; addresses and "localhost" exactly;
 * "10.0.0.0/8" and "fd00::/8" addresses, but not names, of that network;
 * "host:port" only that port; "scheme://host" only that scheme. */
bool proxy_excluded(const char *no, const struct url *u);

#endif
