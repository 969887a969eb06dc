#include "exchange.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "err.h"
#include "str.h"
#include "wait.h"

/* --- The rate limit. --- */

/* Rates from here on mean no limit: no line is as fast, and the products below
 * stay in range. */
#define RATE_MAX ((uint64_t)1 << 40)

/* The most milliseconds that are credited at once: 17 minutes. */
#define FILL_MAX ((uint64_t)1 << 20)

/* The most bytes that are spent at once. */
#define SPEND_MAX ((uint64_t)1 << 50)

struct meter {
	pthread_mutex_t lock; /* guards all below */
	struct bucket bucket;
	uint64_t received, sent;
};

/* The bytes that may be transferred at once after a pause: those of an eighth
 * of a second. */
static uint64_t
bucket_top(const struct bucket *b)
{
	return b->rate < 8 ? 1 : b->rate / 8;
}

static struct bucket
bucket_make(uint64_t rate, uint64_t now)
{
	struct bucket b = {.rate = rate < RATE_MAX ? rate : 0, .at = now};

	b.level = (int64_t)bucket_top(&b) * 1000;
	return b;
}

static void
bucket_fill(struct bucket *b, uint64_t now)
{
	int64_t top = (int64_t)bucket_top(b) * 1000;
	uint64_t ms = now > b->at ? now - b->at : 0;

	b->at += ms;
	if (ms > FILL_MAX)
		ms = FILL_MAX;
	/* A byte a second is a thousandth of a byte a millisecond. */
	b->level += (int64_t)(b->rate * ms);
	if (b->level > top)
		b->level = top;
}

/* Returns the milliseconds until bytes may be transferred; 0: now. */
static uint64_t
bucket_delay(struct bucket *b, uint64_t now)
{
	if (!b->rate)
		return 0;
	bucket_fill(b, now);
	if (b->level > 0)
		return 0;
	/* Milliseconds until level is above 0, rounded up. */
	return ((uint64_t)-b->level + b->rate) / b->rate;
}

static void
bucket_spend(struct bucket *b, uint64_t n)
{
	if (b->rate)
		b->level -= (int64_t)(n < SPEND_MAX ? n : SPEND_MAX) * 1000;
}

struct meter *
meter_open(uint64_t rate)
{
	struct meter *m = xcalloc(1, sizeof(*m));

	pthread_mutex_init(&m->lock, NULL);
	m->bucket = bucket_make(rate, wait_now());
	return m;
}

void
meter_close(struct meter *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* Waits until bytes may be transferred; lowers *cap if that many at once would
 * make the rate uneven. Then the caller transfers, and calls meter_spend() with
 * the number of bytes. Fails only with ERR_STOPPED. */
static int
meter_wait(struct meter *m, size_t *cap, struct err *e)
{
	for (;;) {
		uint64_t now = wait_now(), delay, top;

		pthread_mutex_lock(&m->lock);
		delay = bucket_delay(&m->bucket, now);
		top = m->bucket.rate ? bucket_top(&m->bucket) : UINT64_MAX;
		pthread_mutex_unlock(&m->lock);
		if (*cap > top)
			*cap = (size_t)top;
		if (!delay)
			return 0;
		if (wait_until(now + delay, e))
			return -1;
	}
}

static void
meter_spend(struct meter *m, uint64_t n)
{
	pthread_mutex_lock(&m->lock);
	bucket_spend(&m->bucket, n);
	pthread_mutex_unlock(&m->lock);
}

static void
meter_add(struct meter *m, uint64_t received, uint64_t sent)
{
	pthread_mutex_lock(&m->lock);
	m->received += received;
	m->sent += sent;
	pthread_mutex_unlock(&m->lock);
}

/* Reads one of the counts under the lock: 64 bits are two reads on some
 * CPUs. */
static uint64_t
count(struct meter *m, const uint64_t *which)
{
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	n = *which;
	pthread_mutex_unlock(&m->lock);
	return n;
}

uint64_t
meter_received(struct meter *m)
{
	return count(m, &m->received);
}

uint64_t
meter_sent(struct meter *m)
{
	return count(m, &m->sent);
}

/* --- The exchange. --- */

/* Bytes that are read at once for a head. Heads have 1 to 4 kB; bytes of the
 * body that come with it are copied once. */
#define HEAD_READ 4096

/* Bytes of a body that are sent at once, within stall_ms. */
#define SEND_MAX 16384

/* The most bytes of a body that are read only to keep the connection. */
#define FINISH_MAX 8192

struct exchange
exchange_make(struct conn *conn, struct buf *in, struct meter *meter,
    unsigned answer_ms, unsigned stall_ms)
{
	buf_clear(in);
	return (struct exchange){.conn = conn,
	    .meter = meter,
	    .answer_ms = answer_ms,
	    .stall_ms = stall_ms,
	    .in = in};
}

/* Ends the exchange after a failed wait. If the deadline has passed, the error
 * says which wait it was. Returns -1. */
static int
wait_failed(struct exchange *x, uint64_t deadline, const char *what,
    unsigned ms, struct err *e)
{
	x->spoiled = true;
	x->late = wait_now() >= deadline;
	if (x->late && e->kind == ERR_NET)
		err_set(e, ERR_NET, "%s for %u s", what, (ms + 999) / 1000);
	return -1;
}

/* Receives more of a head. */
static int
receive(struct exchange *x, uint64_t deadline, struct err *e)
{
	size_t room = x->in->max - x->in->len, n;

	if (!room)
		return err_set(e, ERR_NET,
		    "the head of the answer is larger than %d bytes",
		    HTTP_HEAD_MAX);
	if (room > HEAD_READ)
		room = HEAD_READ;
	if (conn_read(x->conn, buf_room(x->in, room), room, &n, deadline, e))
		return wait_failed(x, deadline, "no answer",
		    x->in->len ? x->stall_ms : x->answer_ms, e);
	if (!n)
		return err_set(e, ERR_NET,
		    x->in->len ? "the connection was closed within an answer"
			       : "the connection was closed without an answer");
	buf_added(x->in, n);
	x->begun = true;
	return 0;
}

/* Reads and parses one head, interim or final; *n is its length. Once its first
 * byte is there, the rest has stall_ms. */
static int
read_head(struct exchange *x, uint64_t deadline, size_t *n, struct err *e)
{
	bool moving = false;
	size_t from = 0;

	while (!(*n = http_head_length(buf_str(x->in), from))) {
		from = x->in->len;
		if (from && !moving) {
			moving = true;
			deadline = wait_now() + x->stall_ms;
		}
		if (receive(x, deadline, e))
			return -1;
	}
	return http_head_parse(str_make(x->in->s, *n), &x->head, e);
}

/* Reads heads up to the first that is final; interim ones are dropped. */
static int
read_final(struct exchange *x, uint64_t deadline, struct err *e)
{
	size_t n;

	for (;;) {
		if (read_head(x, deadline, &n, e))
			return -1;
		if (x->head.status == 101)
			return err_set(e, ERR_NET,
			    "the server switched to another protocol");
		if (x->head.status >= 200)
			break;
		if (++x->interim > EXCHANGE_INTERIM_MAX)
			return err_set(e, ERR_NET,
			    "the server sent too many interim answers");
		buf_drop(x->in, n);
	}
	x->at = n;
	return 0;
}

/* Handles bytes that arrive while the request is still being sent. 0 after
 * interim answers, which change nothing; 1 if the final answer is there. */
static int
answered_early(struct exchange *x, struct err *e)
{
	size_t n;

	while (x->in->len || !conn_idle_ok(x->conn)) {
		if (read_head(x, wait_now() + x->stall_ms, &n, e))
			return -1;
		if (x->head.status >= 200 || x->head.status == 101) {
			x->spoiled = true; /* the rest was not sent */
			return 1;
		}
		if (++x->interim > EXCHANGE_INTERIM_MAX)
			return 1;
		buf_drop(x->in, n);
	}
	return 0;
}

/* Handles a failed write. If the server has sent an answer, that explains more
 * than the failure: returns 1. Else -1. */
static int
write_failed(struct exchange *x, uint64_t deadline, unsigned ms, struct err *e)
{
	struct err ignored;

	wait_failed(x, deadline, "the server has taken no byte", ms, e);
	if (e->kind != ERR_NET)
		return -1;
	return answered_early(x, &ignored) == 1 ? 1 : -1;
}

int
exchange_head(struct exchange *x, struct err *e)
{
	uint64_t deadline = wait_now() + x->answer_ms;
	struct str text = buf_str(x->in);
	int rc = conn_write(x->conn, text.s, text.n, deadline, e);

	mem_wipe(x->in->s, x->in->len);
	buf_clear(x->in);
	return rc ? write_failed(x, deadline, x->answer_ms, e) : 0;
}

int
exchange_body(struct exchange *x, const void *p, size_t n, struct err *e)
{
	const char *from = p;

	while (n) {
		size_t piece = n < SEND_MAX ? n : SEND_MAX;
		uint64_t deadline;
		int rc = answered_early(x, e);

		if (rc || meter_wait(x->meter, &piece, e))
			return rc ? rc : -1;
		deadline = wait_now() + x->stall_ms;
		if (conn_write(x->conn, from, piece, deadline, e))
			return write_failed(x, deadline, x->stall_ms, e);
		meter_spend(x->meter, piece);
		meter_add(x->meter, 0, piece);
		from += piece;
		n -= piece;
	}
	return 0;
}

int
exchange_answer(struct exchange *x, bool head_request, struct err *e)
{
	if (read_final(x, wait_now() + x->answer_ms, e) ||
	    http_framing(&x->head, head_request, &x->framing, &x->left, e))
		return -1;
	x->done =
	    x->framing == HTTP_EMPTY || (x->framing == HTTP_LENGTH && !x->left);
	return 0;
}

/* Returns bytes of the body as they arrive: first those that came with the
 * head, then straight into p. */
static int
read_raw(struct exchange *x, void *p, size_t cap, size_t *n, uint64_t deadline,
    struct err *e)
{
	*n = x->in->len - x->at;
	if (!*n && conn_read(x->conn, p, cap, n, deadline, e))
		return wait_failed(
		    x, deadline, "no byte has come", x->stall_ms, e);
	if (x->at == x->in->len)
		return 0;
	if (*n > cap)
		*n = cap;
	memcpy(p, x->in->s + x->at, *n);
	x->at += *n;
	return 0;
}

/* Decodes p[0..*n) in place; *n becomes the number of body bytes. Bytes after
 * the last chunk belong to no answer, so the connection cannot be used
 * again. */
static int
decode_chunks(struct exchange *x, char *p, size_t *n, struct err *e)
{
	size_t in = 0, out = 0;

	while (in < *n && !x->done) {
		const char *data;
		size_t used, length;
		int rc = http_chunks_feed(
		    &x->chunks, p + in, *n - in, &used, &data, &length, e);

		if (rc < 0) {
			x->spoiled = true;
			return -1;
		}
		if (length)
			memmove(p + out, data, length);
		out += length;
		in += used;
		x->done = rc == 1;
	}
	x->spoiled = x->spoiled || in < *n;
	*n = out;
	return 0;
}

/* Handles the end of the connection, which is right only for a body without a
 * length. */
static int
body_end(struct exchange *x, struct err *e)
{
	if (x->framing != HTTP_TO_CLOSE || conn_cut(x->conn))
		return err_set(e, ERR_NET,
		    "the connection was closed before the end of the content");
	x->done = true;
	return 0;
}

/* Reads once and decodes; *n may become 0 although the body goes on. */
static int
read_step(struct exchange *x, void *p, size_t cap, size_t *n, uint64_t deadline,
    struct err *e)
{
	if (x->framing == HTTP_LENGTH && cap > x->left)
		cap = (size_t)x->left;
	if (read_raw(x, p, cap, n, deadline, e))
		return -1;
	if (!*n)
		return body_end(x, e);
	meter_spend(x->meter, *n);
	if (x->framing == HTTP_CHUNKED)
		return decode_chunks(x, p, n, e);
	if (x->framing == HTTP_LENGTH) {
		x->left -= *n;
		x->done = !x->left;
	}
	return 0;
}

int
exchange_read(struct exchange *x, void *p, size_t cap, size_t *n, struct err *e)
{
	uint64_t left = x->stall_ms;

	assert(cap > 0);
	*n = 0;
	if (http_is_encoded(&x->head) && !x->done)
		return err_set(e, ERR_OTHER,
		    "the server sent an encoded body that was not requested");
	while (!*n && !x->done) {
		size_t part = cap;
		uint64_t began, ms;

		if (meter_wait(x->meter, &part, e))
			return -1;
		began = wait_now();
		if (read_step(x, p, part, n, began + left, e))
			return -1;
		ms = wait_now() - began;
		x->waited += ms;
		/* Chunk framing alone does not count as progress. */
		left -= ms < left ? ms : left;
	}
	x->came += *n;
	meter_add(x->meter, *n, 0);
	return 0;
}

int
exchange_pace(struct exchange *x, uint64_t span_ms, struct err *e)
{
	if (x->waited < span_ms)
		return 0;
	if (x->came * 1000 / x->waited < EXCHANGE_FLOOR)
		return err_set(e, ERR_NET, "the answer is too slow");
	x->waited = x->came = 0;
	return 0;
}

bool
exchange_finish(struct exchange *x)
{
	char scrap[1024];
	struct err e;
	size_t n;

	if (x->spoiled || !http_keeps_alive(&x->head) ||
	    x->framing == HTTP_TO_CLOSE || x->left > FINISH_MAX)
		return false;
	for (size_t i = 0; i < FINISH_MAX / sizeof(scrap) && !x->done; i++)
		if (read_step(x, scrap, sizeof(scrap), &n, 0, &e))
			return false;
	return x->done && !x->spoiled && x->at == x->in->len;
}
