#ifndef HUB_CLIENT_BENCH_H
#define HUB_CLIENT_BENCH_H

/*
 * What the tests of client.c share: a server that plays, a client that asks it,
 * and short ways to ask and to compare.
 */

#include "client.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "str.h"
#include "tests/unit/script.h"
#include "tests/unit/test.h"
#include "tls.h"
#include "wait.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* What a test asks of a client, and what the hooks have seen. */
struct bench {
	struct script server;
	struct client_opts o;
	struct client *client;
	struct tls_trust *trust; /* NULL: plain */
	char endpoint[80];
	char log[1024];
	unsigned waits, checks;
	unsigned last_checked; /* status */
};

static inline void
on_log(void *ctx, const char *line)
{
	struct bench *b = ctx;
	size_t n = strlen(b->log);

	snprintf(b->log + n, sizeof(b->log) - n, "%s\n", line);
}

static inline void
on_waiting(void *ctx, const struct err *why, uint64_t until)
{
	struct bench *b = ctx;

	b->waits++;
	CHECK(why->kind == ERR_NET && *why->msg);
	CHECK(until <= wait_now() + 8000);
}

static inline int
on_check(
    void *ctx, const struct http_head *h, const struct url *url, struct err *e)
{
	struct bench *b = ctx;

	b->checks++;
	b->last_checked = h->status;
	CHECK(url->host.n > 0);
	if (h->status == 299)
		return err_set(e, ERR_CONTENT, "refused by the hook");
	return 0;
}

static inline struct tls_trust *
test_trust(void)
{
	struct tls_trust *trust = tls_trust_open();
	struct buf pem = pem_text("ca");
	struct err e;

	CHECK(!tls_trust_add_pem(trust, buf_str(&pem), "ca", &e));
	buf_release(&pem);
	return trust;
}

enum { PLAIN, TLS };

/* A server that plays, and a client whose endpoint it is. */
static inline void
bench_open_as(struct bench *b, int how, const struct turn *turn, size_t turns)
{
	struct err e;

	memset(b, 0, sizeof(*b));
	script_open(&b->server);
	if (how == TLS) {
		script_secure(&b->server);
		b->trust = test_trust();
	}
	memcpy(b->endpoint, b->server.url, sizeof(b->server.url));
	b->o = (struct client_opts){.endpoint = b->endpoint,
	    .token = "secret",
	    .user_agent = "hub/test",
	    .trust = b->trust,
	    .connect_ms = 5000,
	    .answer_ms = 5000,
	    .stall_ms = 5000,
	    .log = on_log,
	    .waiting = on_waiting,
	    .ctx = b};
	b->client = client_open(&b->o, &e);
	script_start(&b->server, turn, turns);
}

static inline void
bench_open(struct bench *b, const struct turn *turn, size_t turns)
{
	bench_open_as(b, PLAIN, turn, turns);
}

/* The same with other options. */
static inline void
bench_options(struct bench *b)
{
	struct err e;

	client_close(b->client);
	b->client = client_open(&b->o, &e);
}

static inline bool
bench_close(struct bench *b)
{
	client_close(b->client);
	tls_trust_close(b->trust);
	return script_end(&b->server);
}

static inline char *
join(const char *a, const char *b)
{
	struct buf t = buf_make(1 << 20);

	buf_puts(&t, a);
	buf_puts(&t, b);
	return buf_detach(&t);
}

/* Sends and reads all; the text is the caller's. NULL: failed. */
static inline char *
fetch(struct bench *b, const struct request *q, unsigned *status, struct err *e)
{
	struct buf text = buf_make(1 << 20);
	struct response *r = client_send(b->client, q, e);
	int rc = r ? response_text(r, &text, e) : -1;

	if (r && status)
		*status = response_head(r)->status;
	response_close(r);
	if (!rc)
		return buf_detach(&text);
	buf_release(&text);
	return NULL;
}

static inline char *
get(struct bench *b, const char *path, unsigned *status, struct err *e)
{
	char *url = join(b->server.url, path), *text;
	struct request q = {.method = "GET", .url = url, .ctx = b};

	text = fetch(b, &q, status, e);
	free(url);
	return text;
}

static inline bool
got(char *text, const char *want)
{
	bool same = text && !strcmp(text, want);

	free(text);
	return same;
}

/* The caller frees it. */
static inline char *
alphabet(size_t n)
{
	char *text = malloc(n + 1);

	for (size_t i = 0; i < n; i++)
		text[i] = (char)('a' + i % 26);
	text[n] = '\0';
	return text;
}

#endif
