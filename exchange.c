#include "exchange.h"

#include <assert.h>
#include <string.h>

#include "conn.h"
#include "err.h"
#include "meter.h"
#include "wait.h"

/* Heads have 1 to 4 kB; what comes with them of the body is copied once. */
#define HEAD_READ 4096

/* Bodies go out in such pieces, each within stall_ms. */
#define SEND_MAX 16384

/* How much of a body is read only to save the connection. */
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

/* A wait has failed; if by its deadline, the user learns which wait it was. */
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

/* Reads one head, interim or final, and parses it. *n is its length. From its
 * first byte on it has stall_ms. */
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
			    "the server changes to another protocol");
		if (x->head.status >= 200)
			break;
		if (++x->interim > EXCHANGE_INTERIM_MAX)
			return err_set(e, ERR_NET,
			    "the server sends interim answers without end");
		buf_drop(x->in, n);
	}
	x->at = n;
	return 0;
}

/* Something has come while the request is still being sent. An interim answer
 * changes nothing: 0. Else 1. */
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

/* A write has failed. If the server has said why, that is the better news. */
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
exchange_head(struct exchange *x, struct str text, struct err *e)
{
	uint64_t deadline = wait_now() + x->answer_ms;

	if (conn_write(x->conn, text.s, text.n, deadline, e))
		return write_failed(x, deadline, x->answer_ms, e);
	return 0;
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

/* Body bytes as they come off the connection: first those that came with the
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

/* Decodes p[0..*n) in place; *n becomes the number of body bytes. What follows
 * the last chunk belongs to no answer of ours: it ends the connection. */
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

/* The connection has ended: good or bad, by the framing. */
static int
body_end(struct exchange *x, struct err *e)
{
	if (x->framing != HTTP_TO_CLOSE || conn_cut(x->conn))
		return err_set(e, ERR_NET,
		    "the connection was closed before the end of the content");
	x->done = true;
	return 0;
}

/* One step: some raw bytes to body bytes, which may be none. */
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
		    "the content comes encoded, which was not asked for");
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
		/* Framing of chunks alone is no progress. */
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
		return err_set(e, ERR_NET, "the answer comes too slowly");
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
