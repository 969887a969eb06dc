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

/* A worker at a range. What job->f and job->r are is guarded by the crew's lock:
 * they are NULL once another worker has taken over the range, and then the file
 * may be gone. */
struct visit {
	struct transfer_queue *q;
	struct transfer_job *job;
	size_t i;
	uint64_t size;   /* of the content */
	unsigned shown;  /* its number in the display */
	bool small;      /* hashed here */
	bool whole;      /* the answer has all of the content, from 0 on */
	bool answered;   /* by something else than a redirect */
	unsigned failed; /* tries in a row when it began */
	uint64_t next;   /* offset of the next byte of the answer */
	uint64_t began;  /* offset of the first byte of it that was written */
	unsigned char *buffer;
	size_t fill;   /* bytes in it, which belong at r->at */
	uint64_t came; /* bytes of this try that were written */
};

static int
check(
    void *ctx, const struct http_head *h, const struct url *url, struct err *e)
{
	struct visit *v = ctx;
	const struct transfer *t = v->q->t;

	if (h->status / 100 != 3)
		v->answered = true;
	return t->ops->check(t->ctx, v->i, h, url, e);
}

/* Keeps where the address led to, for the other ranges of the file. */
static void
answer_begins(void *ctx, const struct url *url, bool whole)
{
	struct visit *v = ctx;
	struct transfer_file *f;
	uint64_t lapses = url_expiry(url);

	/* A clock that is ahead makes every address look lapsed. */
	if (lapses <= client_time(v->q->t->client) + RENEW_BEFORE)
		lapses = 0;
	crew_lock(&v->q->crew);
	f = v->job->f;
	if (f) {
		if (!f->direct) {
			f->direct = str_dup(url->text);
			f->lapses = lapses;
		}
		f->resolving = false;
		f->whole = v->whole = whole;
		v->next = whole ? 0 : v->job->r->at;
		if (!v->small)
			crew_changed(&v->q->crew);
	}
	crew_unlock(&v->q->crew);
}

static bool
missing(
    void *ctx, uint64_t from, uint64_t limit, uint64_t *first, uint64_t *end)
{
	return partial_missing(ctx, from, limit, first, end);
}

/* Under the lock: the range that the next bytes of the answer lead to. A whole
 * answer goes from one to the next; what lies before it is here already, or
 * others fetch it. */
static struct range *
next_range(struct visit *v)
{
	struct transfer_job *j = v->job;

	if (!j->f || v->q->crew.over || j->f->given_up)
		return NULL;
	if (v->whole && j->r && j->r->at == j->r->end) {
		ranges_put(&j->f->ranges, j->r);
		j->r = NULL;
	}
	if (v->whole && j->r && v->next < j->r->at) {
		/* A lower one may have been left by another worker. */
		ranges_put(&j->f->ranges, j->r);
		j->r = NULL;
	}
	if (v->whole && !j->r) {
		j->r = ranges_take(&j->f->ranges, v->next, UINT64_MAX, missing,
		    j->f->partial, j);
		if (j->r)
			j->r->moved = wait_now();
	}
	return j->r;
}

/* Where the next bytes go: up to the end of the range, or, if they lie before
 * it, to be dropped. Nothing when the run is through with them. */
static void *
room(void *ctx, size_t *n)
{
	struct visit *v = ctx;
	struct range *r;
	uint64_t stop;

	*n = 0;
	crew_lock(&v->q->crew);
	r = next_range(v);
	if (r) {
		stop = v->next < r->at ? r->at : r->end;
		*n = HASHER_BUFFER - v->fill;
		if (stop - v->next < *n)
			*n = (size_t)(stop - v->next);
	}
	crew_unlock(&v->q->crew);
	return v->buffer + v->fill;
}

/* Under the lock: whether the try has brought something. */
static bool
is_progress(const struct visit *v, const struct range *r)
{
	return r->at == r->end || v->came >= FETCH_PROGRESS;
}

/* Under the lock: takes the range for a write, if it is still ours. */
static struct range *
pin(struct visit *v)
{
	struct range *r = v->job->r;

	if (r)
		r->pinned = true;
	return r;
}

/* Writes what is in the buffer to its place, and lets the hasher have it. While
 * that goes on nobody can take over the range; if somebody has, the bytes come
 * late and are dropped. */
static int
flush(struct visit *v, struct err *e)
{
	struct crew *crew = &v->q->crew;
	size_t n = v->fill;
	struct transfer_file *f;
	struct range *r;
	uint64_t at, sum;
	int rv;

	v->fill = 0;
	if (!n)
		return 0;
	crew_lock(crew);
	r = pin(v);
	f = v->job->f;
	crew_unlock(crew);
	if (!r)
		return 0;
	at = r->at;
	sum = r->sum;
	rv = partial_write(f->partial, v->buffer, n, at, &sum, e);
	crew_lock(crew);
	if (rv == 0) {
		r->sum = sum;
		ranges_advance(r, n, PARTIAL_BLOCK);
		v->came += n;
		if (v->came == n)
			v->began = at;
		if (is_progress(v, r)) {
			v->q->lost = 0;
			f->failed = 0;
		}
	}
	crew_unlock(crew);
	if (rv == 0 && v->small)
		hash_update(&f->hash, v->buffer, n);
	else if (rv == 0)
		v->buffer = hasher_offer(f->hashing, v->buffer, n, at);
	crew_lock(crew);
	r->pinned = false;
	crew_unlock(crew);
	return rv;
}

/* n bytes came to where room() said. */
static int
take(void *ctx, size_t n, struct err *e)
{
	struct visit *v = ctx;
	struct crew *crew = &v->q->crew;
	uint64_t now = wait_now();
	struct range *r;
	bool full;

	crew_lock(crew);
	r = v->job->r;
	v->next += n;
	if (!r || v->next <= r->at) {
		/* Late, or here already. */
		if (r)
			r->moved = now;
		crew_unlock(crew);
		return 0;
	}
	r->moved = now;
	v->q->work += n;
	v->fill += n;
	full = v->fill == HASHER_BUFFER || v->next == r->end;
	crew_unlock(crew);
	progress_add(v->q->t->progress, v->shown, n);
	return full ? flush(v, e) : 0;
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

/* What came is written also when it fails in the middle. */
static enum fetch_end
visit(struct visit *v, struct err *e)
{
	const struct transfer *t = v->q->t;
	struct fetch x = {
	    .client = t->client,
	    .size = v->size,
	    .stall_ms = t->stall_ms,
	    .ctx = v,
	    .check = check,
	    .begin = answer_begins,
	    .room = room,
	    .take = take,
	};
	enum fetch_end end = FETCH_OK;
	struct err other;
	char *url = NULL;

	crew_lock(&v->q->crew);
	if (v->job->f) {
		x.first = v->job->r->at;
		x.last = v->job->r->end - 1;
		x.url = url = address(v->job->f, &x.direct);
	}
	crew_unlock(&v->q->crew);
	if (!url)
		return FETCH_OK;
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
	if (end == FETCH_REFUSED) {
		free(f->direct);
		f->direct = NULL;
		ramp_back(&q->ramp, now);
	}
	/* The first time, asking again at once is the cure. */
	if (end == FETCH_REFUSED && f->failed == 1)
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

/* Under the lock: what the try wrote may be anything, so it comes again. */
static void
take_back(struct visit *v)
{
	struct transfer_file *f = v->job->f;
	struct range *r = v->job->r;
	uint64_t lost = 0;

	if (!v->came)
		return;
	if (v->small) {
		hash_restart(&f->hash, f->content.digest.kind, v->size);
	} else {
		lost = partial_forget_range(
		    f->partial, v->began - v->began % PARTIAL_BLOCK, v->next);
		f->rehash = true;
	}
	if (r) {
		lost += r->at - r->begin;
		r->at = r->begin;
		r->sum = 0;
	}
	progress_lost(v->q->t->progress, v->shown, lost);
	/* It was no progress either. */
	f->failed = f->failed > v->failed ? f->failed : v->failed;
}

/* Under the lock: the range is still ours. */
static void
leave(struct visit *v, enum fetch_end end, struct err *e)
{
	struct transfer_job *j = v->job;
	struct transfer_file *f = j->f;

	if (end == FETCH_DOUBTFUL)
		take_back(v);
	if (j->r)
		ranges_put(&f->ranges, j->r);
	f->users--;
	f->resolving = false;
	f->unanswered = !v->answered;
	if (v->small && partial_here(f->partial) == v->size) {
		hash_final(&f->hash, &f->found);
		f->hashed = true;
	} else if (end != FETCH_OK) {
		range_failed(v->q, f, end, e);
	}
	/* Under the lock: as soon as it is given up, f may be gone. */
	if (!v->small)
		hasher_poke(f->hashing);
	/* A small one that is complete is finished by this worker, next. */
	if (!f->hashed || !v->small)
		crew_changed(&v->q->crew);
}

void
transfer_range(
    struct transfer_queue *q, struct transfer_job *j, unsigned char **buffer)
{
	struct visit v = {.q = q, .job = j, .buffer = *buffer};
	enum fetch_end end;
	struct err e;

	crew_lock(&q->crew);
	if (j->f) {
		v.i = j->f->i;
		v.size = j->f->content.size;
		v.shown = j->f->shown;
		v.small = transfer_small(j->f);
		v.failed = j->f->failed;
	}
	crew_unlock(&q->crew);
	end = visit(&v, &e);
	*buffer = v.buffer;
	crew_lock(&q->crew);
	if (j->f)
		leave(&v, end, &e);
	crew_unlock(&q->crew);
}
