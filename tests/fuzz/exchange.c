/*
 * What a server sends on one connection: interim heads, a head, a body, and
 * the end. The first bytes say how it is cut into pieces, and whether the end
 * is a good one. However it is cut, the same comes out.
 */

#include "exchange.h"
#include "conn.h"
#include "tests/fuzz/fuzz.h"

/* Stands in for conn.c. */
struct conn {
	const uint8_t *p;
	size_t left, piece;
	bool cut;
};

int
conn_read(struct conn *c, void *p, size_t cap, size_t *n, uint64_t deadline,
    struct err *e)
{
	(void)deadline;
	(void)e;
	*n = c->left < cap ? c->left : cap;
	if (c->piece && *n > c->piece)
		*n = c->piece;
	memcpy(p, c->p, *n);
	c->p += *n;
	c->left -= *n;
	return 0;
}

int
conn_write(
    struct conn *c, const void *p, size_t n, uint64_t deadline, struct err *e)
{
	(void)c;
	(void)p;
	(void)n;
	(void)deadline;
	(void)e;
	return 0;
}

bool
conn_cut(const struct conn *c)
{
	return c->cut && !c->left;
}

bool
conn_idle_ok(struct conn *c)
{
	return c->left > 0;
}

struct result {
	int answered, read;
	unsigned status;
	struct buf body;
};

static void
read_body(struct exchange *x, size_t cap, struct result *r)
{
	struct err e = {.kind = ERR_NONE};
	char *p = xmalloc(cap);
	size_t n = 0;

	do {
		r->read = exchange_read(x, p, cap, &n, &e);
		if (r->read < 0)
			break;
		MUST(n <= cap && (n || x->done));
		buf_add(&r->body, p, n);
	} while (n);
	if (r->read < 0)
		fuzz_failed(&e);
	free(p);
}

static struct result
play(const uint8_t *p, size_t n, unsigned how, size_t piece, size_t cap)
{
	struct result r = {.body = buf_make(1 << 20)};
	struct conn c = {p, n, piece, how & 1};
	struct meter *m = meter_open(0);
	struct buf in = buf_make(HTTP_HEAD_MAX);
	struct exchange x = exchange_make(&c, &in, m, 60000, 60000);
	struct err e = {.kind = ERR_NONE};
	uint64_t length;

	r.answered = exchange_answer(&x, how & 2, &e);
	if (r.answered < 0) {
		fuzz_failed(&e);
		goto out;
	}
	r.status = x.head.status;
	length = x.left;
	MUST(r.status >= 200 && x.at <= in.len);
	read_body(&x, cap, &r);
	MUST(r.body.len <= n);
	if (x.framing == HTTP_EMPTY)
		MUST(r.read < 0 || r.body.len == 0);
	if (x.framing == HTTP_LENGTH)
		MUST(r.body.len <= length &&
		     (r.read < 0 || r.body.len == length));
	if (x.framing == HTTP_TO_CLOSE)
		MUST(r.read < 0 || !c.cut);
	/* One more request goes only where nothing else can come first. */
	if (exchange_finish(&x))
		MUST((r.read == 0 || http_is_encoded(&x.head)) &&
		     x.framing != HTTP_TO_CLOSE && x.at == in.len &&
		     http_keeps_alive(&x.head));
out:
	buf_release(&in);
	meter_close(m);
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	unsigned how = n ? p[0] : 0;
	size_t piece = n > 1 ? p[1] : 0, cap = n > 2 ? p[2] + 1u : 1;
	size_t skip = n < 3 ? n : 3;
	char *copy = fuzz_copy(fuzz_str(p + skip, n - skip));
	const uint8_t *text = (const uint8_t *)copy;
	struct result all = play(text, n - skip, how, 0, 65536);
	struct result cut = play(text, n - skip, how, piece, cap);

	MUST(all.answered == cut.answered && all.status == cut.status);
	MUST(all.read == cut.read);
	/* Where it ends in an error, how far one got depends on the cut. */
	if (all.read == 0)
		MUST(str_same(buf_str(&all.body), buf_str(&cut.body)));
	buf_release(&all.body);
	buf_release(&cut.body);
	free(copy);
	return 0;
}
