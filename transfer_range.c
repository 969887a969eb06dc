#include "transfer_range.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "fetch.h"
#include "hasher.h"
#include "mem.h"
#include "partial.h"
#include "progress.h"
#include "transfer_queue.h"
#include "url.h"
#include "wait.h"

/* Waits between tries: full jitter below these. */
#define BACKOFF_BASE 500
#define BACKOFF_CAP 30000

/* A signed address is renewed this long before it lapses, in seconds. */
#define RENEW_BEFORE 60

/* A worker at a range. */
struct visit {
	struct transfer_queue *q;
	struct transfer_file *f;
	struct range *r;
	unsigned char *buffer;
	size_t fill;   /* bytes in it, which belong at r->at */
	uint64_t came; /* bytes of this try that were written */
};

static int
check(
    void *ctx, const struct http_head *h, const struct url *url, struct err *e)
{
	const struct visit *v = ctx;
	const struct transfer *t = v->q->t;

	return t->ops->check(t->ctx, v->f->i, h, url, e);
}

/* Keeps where the address led to, for the other ranges of the file. */
static void
answer_begins(void *ctx, const struct url *url, bool whole)
{
	struct visit *v = ctx;
	struct transfer_file *f = v->f;
	uint64_t lapses = url_expiry(url);

	/* A clock that is ahead makes every address look lapsed. */
	if (lapses <= client_time(v->q->t->client) + RENEW_BEFORE)
		lapses = 0;
	crew_lock(&v->q->crew);
	if (!f->direct) {
		f->direct = str_dup(url->text);
		f->lapses = lapses;
	}
	f->resolving = false;
	f->whole = f->whole || whole;
	if (whole && ranges_busy(&f->ranges) == 1)
		ranges_whole(&f->ranges, v->r, f->content.size);
	if (!transfer_small(f))
		crew_changed(&v->q->crew);
	crew_unlock(&v->q->crew);
}

/* Up to where the buffer is full or the range ends; nothing when it is
 * through, or the run is. */
static void *
room(void *ctx, size_t *n)
{
	struct visit *v = ctx;
	struct transfer_queue *q = v->q;
	uint64_t at = v->r->at + v->fill;

	*n = HASHER_BUFFER - v->fill;
	crew_lock(&q->crew);
	if (v->r->end <= at || q->crew.over || v->f->given_up)
		*n = 0;
	else if (v->r->end - at < *n)
		*n = (size_t)(v->r->end - at);
	crew_unlock(&q->crew);
	return v->buffer + v->fill;
}

/* Under the lock. A server that begins at 0 each time has to get further than
 * the last time. */
static bool
is_progress(struct visit *v)
{
	struct transfer_file *f = v->f;
	uint64_t reached = f->reached;

	if (v->r->at >= v->r->end)
		return true;
	if (v->came < FETCH_PROGRESS)
		return false;
	if (!f->whole)
		return true;
	if (v->r->at > reached)
		f->reached = v->r->at;
	return v->r->at >= reached + FETCH_PROGRESS;
}

/* Writes what is in the buffer to its place, and lets the hasher have it. */
static int
flush(struct visit *v, struct err *e)
{
	struct transfer_file *f = v->f;
	uint64_t at = v->r->at;
	size_t n = v->fill;

	v->fill = 0;
	if (!n)
		return 0;
	if (partial_write(f->partial, v->buffer, n, at, v->r->begin, e) < 0)
		return -1;
	crew_lock(&v->q->crew);
	v->r->at += n;
	v->came += n;
	if (is_progress(v)) {
		v->q->lost = 0;
		f->failed = 0;
	}
	crew_unlock(&v->q->crew);
	if (transfer_small(f))
		hash_update(&f->hash, v->buffer, n);
	else
		v->buffer = hasher_offer(f->hashing, v->buffer, n, at);
	return 0;
}

static int
take(void *ctx, size_t n, struct err *e)
{
	struct visit *v = ctx;
	uint64_t now = wait_now();

	v->fill += n;
	progress_add(v->q->t->progress, v->f->shown, n);
	crew_lock(&v->q->crew);
	v->r->moved = now;
	v->q->work += n;
	crew_unlock(&v->q->crew);
	return v->fill == HASHER_BUFFER ? flush(v, e) : 0;
}

/* Under the lock: the address to ask, which the caller frees. */
static char *
address(struct transfer_file *f, bool *direct)
{
	if (f->direct && f->lapses &&
	    client_time(f->q->t->client) + RENEW_BEFORE >= f->lapses) {
		free(f->direct);
		f->direct = NULL;
	}
	*direct = f->direct != NULL;
	return xstrdup(f->direct ? f->direct : f->url);
}

/* Under the lock: a server that knows no ranges begins at 0, so do we. */
static void
start_over(struct visit *v)
{
	struct transfer_file *f = v->f;

	progress_lost(v->q->t->progress, f->shown, v->r->at);
	ranges_whole(&f->ranges, v->r, f->content.size);
	if (transfer_small(f))
		hash_restart(&f->hash, f->content.digest.kind, f->content.size);
}

/* What came is written also when it fails in the middle. */
static enum fetch_end
visit(struct visit *v, struct err *e)
{
	const struct transfer *t = v->q->t;
	struct fetch x = {
	    .client = t->client,
	    .size = v->f->content.size,
	    .stall_ms = t->stall_ms,
	    .ctx = v,
	    .check = check,
	    .begin = answer_begins,
	    .room = room,
	    .take = take,
	};
	enum fetch_end end;
	struct err other;
	char *url;

	crew_lock(&v->q->crew);
	if (v->f->whole)
		start_over(v);
	x.first = v->r->at;
	x.last = v->r->end - 1;
	x.url = url = address(v->f, &x.direct);
	crew_unlock(&v->q->crew);
	end = fetch(&x, e);
	if (flush(v, &other) < 0) {
		*e = other;
		end = FETCH_FAILED;
	}
	mem_wipe(url, strlen(url)); /* it may hold a signature */
	free(url);
	return end;
}

/* Under the lock. */
static bool
try_again(struct transfer_file *f, const struct err *e, unsigned retries)
{
	/* One copy of the content may be broken, and another one good. */
	if (e->kind == ERR_CONTENT)
		return ++f->wrong < TRANSFER_WRONG_MAX;
	/* While another connection brings bytes, the file gets on. */
	return e->kind == ERR_NET && (f->failed <= retries || f->users);
}

/* Under the lock: what a failed try means for the file and for all. */
static void
range_failed(struct transfer_queue *q, struct transfer_file *f,
    enum fetch_end end, struct err *e)
{
	uint64_t now = wait_now();

	if (e->kind == ERR_STOPPED || e->kind == ERR_FILE) {
		crew_end(&q->crew, e);
		return;
	}
	f->failed++;
	if (!try_again(f, e, q->t->retries)) {
		transfer_give_up(f, e);
		return;
	}
	if (end == FETCH_WHOLE)
		f->whole = true;
	if (end == FETCH_REFUSED) {
		free(f->direct);
		f->direct = NULL;
		ramp_back(&q->ramp, now);
	}
	/* The first time, asking again at once is the cure. */
	if (end != FETCH_FAILED && f->failed == 1)
		return;
	f->not_before = now + wait_backoff(f->failed - 1, BACKOFF_BASE,
				  BACKOFF_CAP, e->wait, wait_random());
	if (e->wait) {
		/* The quota is the address's, not the file's. */
		q->not_before = f->not_before;
		ramp_back(&q->ramp, now);
		progress_wait(q->t->progress, f->not_before, e->msg);
	}
}

void
transfer_range(
    struct transfer_queue *q, struct transfer_job *j, unsigned char **buffer)
{
	struct visit v = {q, j->f, j->r, *buffer, 0, 0};
	struct transfer_file *f = j->f;
	struct err e;
	enum fetch_end end = visit(&v, &e);
	bool complete;

	*buffer = v.buffer;
	crew_lock(&q->crew);
	complete = v.r->at == f->content.size;
	ranges_put(&f->ranges, v.r);
	f->users--;
	f->resolving = false;
	if (transfer_small(f) && complete) {
		hash_final(&f->hash, &f->found);
		f->hashed = true;
	} else if (end != FETCH_OK) {
		range_failed(q, f, end, &e);
	}
	/* Under the lock: as soon as it is given up, f may be gone. */
	if (!transfer_small(f))
		hasher_poke(f->hashing);
	/* A small one that is complete is finished by this worker, next. */
	if (!f->hashed || !transfer_small(f))
		crew_changed(&q->crew);
	crew_unlock(&q->crew);
}
