#include "transfer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "fetch.h"
#include "hasher.h"
#include "partial.h"
#include "progress.h"
#include "queue.h"
#include "str.h"
#include "url.h"
#include "wait.h"
#include "xet.h"

/* --- Begin and end of a file. --- */

/* What a file counts for in ramp's rate beside its bytes. */
#define FILE_WORK ((uint64_t)256 << 10)

static void
content_failed(
    struct transfer_queue *q, size_t i, bool unanswered, const struct err *why)
{
	const struct transfer *t = q->t;
	bool lost =
	    why->kind == ERR_AUTH || (why->kind == ERR_NET && unanswered);

	t->ops->failed(t->ctx, i, why);
	mover_failed(&q->mover, why, lost);
}

static void
start_hash(struct transfer_queue *q, struct transfer_file *f)
{
	const struct content *c = &f->content;

	if (c->size > PARTIAL_BLOCK) {
		f->hashing =
		    hasher_begin(q->hasher, f->partial, c->digest.kind, f);
		return;
	}
	f->hash = q->fresh;
	hash_restart(&f->hash, c->digest.kind, c->size);
	f->hashed = c->size == 0;
	hash_final(&f->hash, &f->found);
}

/* Reuses the structs of closed files: with thousands of small files malloc()
 * and free() would make the system clear a page for each. */
static struct transfer_file *
file_new(struct transfer_queue *q, size_t i)
{
	struct transfer_file *f;

	crew_lock(&q->mover.crew);
	f = q->spare;
	if (f)
		q->spare = f->next;
	crew_unlock(&q->mover.crew);
	if (!f)
		f = xmalloc(sizeof(*f));
	memset(f, 0, sizeof(*f));
	f->q = q;
	f->i = i;
	return f;
}

static void
file_free(struct transfer_file *f)
{
	struct transfer_queue *q = f->q;

	crew_lock(&q->mover.crew);
	f->next = q->spare;
	q->spare = f;
	crew_unlock(&q->mover.crew);
}

/* Makes content i active, or reports that it failed. */
static void
transfer_begin(struct transfer_queue *q, size_t i)
{
	const struct transfer *t = q->t;
	struct transfer_file *f = file_new(q, i);
	struct err e;

	t->ops->content(t->ctx, i, &f->content);
	f->partial = t->ops->begin(t->ctx, i, &f->url, &e);
	if (!f->partial) {
		file_free(f);
		content_failed(q, i, false, &e);
		return;
	}
	f->shown = progress_start(t->progress, f->content.name, f->content.size,
	    partial_here(f->partial));
	start_hash(q, f);
	f->by_xet = f->hashing && f->content.xet && t->xet && xet_is_on(t->xet);
	crew_lock(&q->mover.crew);
	f->next = q->active;
	q->active = f;
	/* This worker fetches a small file next. */
	if (f->hashing) {
		hasher_poke(f->hashing);
		crew_changed(&q->mover.crew);
	}
	crew_unlock(&q->mover.crew);
}

/*
 * Closes and frees a file that is no longer active.
 */
static void
transfer_file_close(struct transfer_file *f, bool published)
{
	if (f->hashing)
		hasher_end(f->hashing);
	ranges_release(&f->ranges);
	partial_close(f->partial, published);
	free(f->url);
	free(f->direct);
	file_free(f);
}

/* Takes a file out of the active ones: no worker fetches it any more. It counts
 * as work now and not when it gets its name: small files get their names in
 * bursts, which would distort the rate. */
static void
retire(struct transfer_queue *q, struct transfer_file *f)
{
	crew_lock(&q->mover.crew);
	if (!f->given_up)
		q->mover.work += FILE_WORK;
	for (struct transfer_file **p = &q->active; *p; p = &(*p)->next)
		if (*p == f) {
			*p = f->next;
			break;
		}
	crew_unlock(&q->mover.crew);
}

/* Under the lock: what is missing of the file comes over plain HTTP. */
static void
leave_xet(
    struct transfer_queue *q, struct transfer_file *f, const struct err *why)
{
	f->by_xet = false;
	f->failed = 0;
	xet_give_up(q->t->xet, f->content.name, why);
}

static void
wrong_hash(struct transfer_file *f, struct err *e)
{
	char want[2 * HASH_SIZE_MAX + 1], got[2 * HASH_SIZE_MAX + 1];

	digest_hex(&f->content.digest, want);
	digest_hex(&f->found, got);
	err_set(e, ERR_CONTENT, "wrong hash: expected %s, got %s", want, got);
}

/* The content has the wrong hash: drops the blocks of earlier runs, or, if
 * there are none, all of it. Those of this run are kept at first, since they
 * are probably right. -1, with the reason, after TRANSFER_WRONG_MAX times. */
static int
forget(struct transfer_queue *q, struct transfer_file *f, struct err *e)
{
	uint64_t old = partial_forget(f->partial);

	wrong_hash(f, e);
	if (!old && ++f->wrong >= TRANSFER_WRONG_MAX)
		return -1;
	progress_lost(q->t->progress, f->shown, old ? old : f->content.size);
	progress_note(q->t->progress, "%s: %s; fetching %s again",
	    f->content.name, e->msg, old ? "what earlier runs left" : "it");
	crew_lock(&q->mover.crew);
	if (!old && f->by_xet)
		leave_xet(q, f, e);
	crew_unlock(&q->mover.crew);
	return 0;
}

/* Fetches the wrong bytes of a file again, from a new address, and hashes all
 * of it again. The file has the wrong hash, or bytes changed after they were
 * hashed (rehash). -1 if the file is to be given up. */
static int
again(struct transfer_queue *q, struct transfer_file *f, struct err *e)
{
	if (!f->rehash && forget(q, f, e) < 0)
		return -1;
	/* Before the hasher starts: it may complete at once. */
	crew_lock(&q->mover.crew);
	f->rehash = f->hashed = false;
	if (!f->hashing)
		start_hash(q, f);
	free(f->direct);
	f->direct = NULL;
	crew_unlock(&q->mover.crew);
	if (f->hashing)
		hasher_restart(f->hashing);
	crew_lock(&q->mover.crew);
	f->users--;
	crew_changed(&q->mover.crew);
	crew_unlock(&q->mover.crew);
	return 0;
}

/* Whether the hash is right, and is that of the bytes on the disk. */
static bool
is_right(const struct transfer_file *f)
{
	return !f->rehash && digest_same(&f->found, &f->content.digest);
}

/* Ends a retired file, which has got its name or is given up. */
static void
end_file(struct transfer_queue *q, struct transfer_file *f)
{
	bool lost = f->given_up, unanswered = f->unanswered;
	struct err why = f->why;
	size_t i = f->i;

	if (lost)
		progress_finish(
		    q->t->progress, f->shown, PROGRESS_FAILED, why.msg);
	else
		progress_finish(q->t->progress, f->shown, PROGRESS_DONE, NULL);
	transfer_file_close(f, !lost);
	if (lost)
		content_failed(q, i, unanswered, &why);
	else
		mover_done(&q->mover, 0);
}

/* Syncs and publishes a list of retired files whose bytes are right. All are
 * synced before the first gets its name: a rename between two syncs makes the
 * second one expensive. */
static void
settle(struct transfer_queue *q, struct transfer_file *list)
{
	const struct transfer *t = q->t;
	struct transfer_file *f;
	struct err e;

	for (f = list; f; f = f->next)
		if (partial_finish(f->partial, &f->name, &e) < 0)
			transfer_give_up(f, &e);
	while ((f = list)) {
		list = f->next;
		if (!f->given_up &&
		    t->ops->done(t->ctx, f->i, f->partial, f->name, &e) < 0)
			transfer_give_up(f, &e);
		end_file(q, f);
	}
}

/* Syncs and publishes the files from transfer_harvest(); the list may be empty. */
static void
transfer_settle(struct transfer_queue *q, struct transfer_file *list)
{
	settle(q, list);
	crew_lock(&q->mover.crew);
	q->settling--;
	crew_changed(&q->mover.crew);
	crew_unlock(&q->mover.crew);
}

static void
ripen(struct transfer_queue *q, struct transfer_file *f)
{
	partial_start(f->partial);
	crew_lock(&q->mover.crew);
	transfer_ripen(q, f);
	crew_unlock(&q->mover.crew);
}

/* Finishes a file that is hashed or given up and that no other worker uses:
 * publishes a large one, makes a small one ripe, fetches wrong bytes again, or
 * reports the failure. */
static void
transfer_finish(struct transfer_queue *q, struct transfer_file *f)
{
	struct err e;

	if (!f->given_up && !is_right(f)) {
		if (again(q, f, &e) == 0)
			return;
		transfer_give_up(f, &e);
	}
	retire(q, f);
	f->next = NULL;
	if (f->given_up)
		end_file(q, f);
	else if (!transfer_small(f))
		settle(q, f);
	else
		ripen(q, f);
}

/* --- One range. --- */

/*
 * One request for a range of a file: writes and hashes what it brings, and
 * decides what a failure means for the file and for the run.
 */

/* Request a new signed address this many seconds before it expires. */
#define RENEW_BEFORE 60

/* After this many failures in a row at the Xet storage, without progress, the
 * rest of a file comes over plain HTTP. */
#define XET_TRIES 3

/* Nor is it waited for, if it asks for a longer wait (s). */
#define XET_WAIT_MAX 10

/* A worker's request for a range. The crew's lock guards job->f and job->r:
 * they are NULL once another worker has taken over the range; from then on the
 * file may be freed. */
struct visit {
	struct transfer_queue *q;
	struct transfer_job *job;
	size_t i;
	uint64_t size;  /* of the whole content */
	unsigned shown; /* of progress_start() */
	bool small;     /* this worker hashes it */
	bool by_xet;
	bool whole;      /* the answer has all of the content, from 0 on */
	bool answered;   /* with another status than a redirect */
	unsigned failed; /* the file's failed at the beginning */
	uint64_t next;   /* offset of the answer's next byte */
	uint64_t began;  /* offset of the first byte that it wrote */
	unsigned char *buffer;
	size_t fill;   /* bytes in buffer, to be written at r->at */
	uint64_t came; /* bytes that it has written */
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

/* Keeps the target of the redirect for the other ranges of the file. */
static void
answer_begins(void *ctx, const struct url *url, bool whole)
{
	struct visit *v = ctx;
	struct transfer_file *f;
	uint64_t lapses = url_expiry(url);

	/* With a clock that is ahead every address looks expired. */
	if (lapses <= client_time(v->q->t->client) + RENEW_BEFORE)
		lapses = 0;
	crew_lock(&v->q->mover.crew);
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
			crew_changed(&v->q->mover.crew);
	}
	crew_unlock(&v->q->mover.crew);
}

/* Under the lock: the range for the next bytes of the answer; NULL if they are
 * not needed. An answer with the whole content fills one range after another;
 * between these the bytes are here already, or another worker fetches them. */
static struct range *
next_range(struct visit *v)
{
	struct transfer_job *j = v->job;

	if (!j->f || v->q->mover.crew.over || j->f->given_up)
		return NULL;
	if (v->whole && j->r && j->r->at == j->r->end) {
		ranges_put(&j->f->ranges, j->r);
		j->r = NULL;
	}
	if (v->whole && j->r && v->next < j->r->at) {
		/* Another worker may have left a range before this one. */
		ranges_put(&j->f->ranges, j->r);
		j->r = NULL;
	}
	if (v->whole && !j->r) {
		j->r = ranges_take(
		    &j->f->ranges, v->next, UINT64_MAX, j->f->partial, j);
		if (j->r)
			j->r->moved = wait_now();
	}
	return j->r;
}

/* A buffer for the next bytes of the answer: up to the end of their range, or
 * up to its beginning if they lie before it and will be dropped. *n is 0 if no
 * more bytes are needed. */
static void *
room(void *ctx, size_t *n)
{
	struct visit *v = ctx;
	struct range *r;
	uint64_t stop;

	*n = 0;
	crew_lock(&v->q->mover.crew);
	r = next_range(v);
	if (r) {
		stop = v->next < r->at ? r->at : r->end;
		*n = HASHER_BUFFER - v->fill;
		if (stop - v->next < *n)
			*n = (size_t)(stop - v->next);
	}
	crew_unlock(&v->q->mover.crew);
	return v->buffer + v->fill;
}

/* Under the lock: whether this request counts as progress. */
static bool
is_progress(const struct visit *v, const struct range *r)
{
	return r->at == r->end || v->came >= FETCH_PROGRESS;
}

/* Under the lock: pins the range for a write; NULL if another worker has taken
 * it over. */
static struct range *
pin(struct visit *v)
{
	struct range *r = v->job->r;

	if (r)
		r->pinned = true;
	return r;
}

/* Writes the bytes in the buffer and passes them to the hash. The range is
 * pinned meanwhile, so that no other worker can take it over. If one already
 * has, the bytes are late and are dropped. */
static int
flush(struct visit *v, struct err *e)
{
	struct crew *crew = &v->q->mover.crew;
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
	if (partial_copied(f->partial))
		f->rehash = true;
	if (rv == 0) {
		r->sum = sum;
		ranges_advance(r, n, PARTIAL_BLOCK);
		v->came += n;
		if (v->came == n)
			v->began = at;
		if (is_progress(v, r)) {
			v->q->mover.lost = 0;
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

/* n bytes have arrived in the buffer that room() gave. */
static int
take(void *ctx, size_t n, struct err *e)
{
	struct visit *v = ctx;
	struct crew *crew = &v->q->mover.crew;
	uint64_t now = wait_now();
	struct range *r;
	bool full;

	crew_lock(crew);
	r = v->job->r;
	v->next += n;
	if (!r || v->next <= r->at) {
		/* Not needed: late, or here already. */
		if (r) {
			r->moved = now;
			r->answered = true;
		}
		crew_unlock(crew);
		return 0;
	}
	r->moved = now;
	r->answered = true;
	v->q->mover.work += n;
	v->fill += n;
	full = v->fill == HASHER_BUFFER || v->next == r->end;
	crew_unlock(crew);
	progress_add(v->q->t->progress, v->shown, n);
	return full ? flush(v, e) : 0;
}

/* Pins the range for up to *n bytes ahead of their turn, and returns the file;
 * NULL if there are none in the range, or another worker has taken it over. The
 * range may have been cut before the window was known. */
static struct transfer_file *
pin_ahead(struct visit *v, uint64_t at, size_t *n)
{
	struct crew *crew = &v->q->mover.crew;
	struct transfer_file *f = NULL;
	struct range *r;

	crew_lock(crew);
	r = v->job->r;
	if (r && at < r->end) {
		if (*n > r->end - at)
			*n = (size_t)(r->end - at);
		f = v->job->f;
		r->pinned = true;
		r->moved = wait_now();
	}
	crew_unlock(crew);
	return f;
}

static void
unpin(struct visit *v, struct transfer_file *f)
{
	struct crew *crew = &v->q->mover.crew;

	crew_lock(crew);
	if (partial_copied(f->partial))
		f->rehash = true;
	v->job->r->pinned = false;
	crew_unlock(crew);
}

/* Writes bytes whose turn has not come. */
static int
write_ahead(void *ctx, const void *p, size_t n, uint64_t at, struct err *e)
{
	struct visit *v = ctx;
	struct transfer_file *f = pin_ahead(v, at, &n);
	int rv;

	if (!f)
		return 0;
	rv = partial_write_ahead(f->partial, p, n, at, e);
	unpin(v, f);
	return rv;
}

/* Reads them back when it has come. What take() gets of a range that was taken
 * over is dropped. */
static int
read_ahead(void *ctx, void *p, size_t n, uint64_t at, struct err *e)
{
	struct visit *v = ctx;
	struct transfer_file *f = pin_ahead(v, at, &n);
	int rv;

	if (!f)
		return 0;
	rv = partial_read(f->partial, p, n, at, e);
	unpin(v, f);
	return rv;
}

/* The storage has described a window. */
static void
window_begins(void *ctx, uint64_t reserved)
{
	struct visit *v = ctx;

	crew_lock(&v->q->mover.crew);
	v->answered = true;
	if (v->job->r) {
		v->job->r->reserved = reserved;
		v->job->r->moved = wait_now();
		v->next = v->job->r->at;
	}
	crew_unlock(&v->q->mover.crew);
}

/* Makes the requests for a window of the range, at the Xet storage. */
static enum fetch_end
visit_xet(struct visit *v, struct err *e)
{
	const struct transfer *t = v->q->t;
	struct xet_fetch x = {
	    .xet = t->xet,
	    .stall_ms = t->stall_ms,
	    .ctx = v,
	    .begin = window_begins,
	    .room = room,
	    .take = take,
	    .ahead = write_ahead,
	    .back = read_ahead,
	};

	crew_lock(&v->q->mover.crew);
	if (v->job->f) {
		x.first = v->job->r->at;
		x.last = v->job->r->end - 1;
		x.hash = v->job->f->content.xet;
	}
	crew_unlock(&v->q->mover.crew);
	return x.hash ? xet_fetch(&x, e) : FETCH_OK;
}

/* Under the lock: the address to request; the caller frees it. */
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

/* Makes the request at the file's address. */
static enum fetch_end
visit_url(struct visit *v, struct err *e)
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
	enum fetch_end end;
	char *url = NULL;

	crew_lock(&v->q->mover.crew);
	if (v->job->f) {
		x.first = v->job->r->at;
		x.last = v->job->r->end - 1;
		x.url = url = address(v->job->f, &x.direct);
	}
	crew_unlock(&v->q->mover.crew);
	if (!url)
		return FETCH_OK;
	end = fetch(&x, e);
	mem_wipe(url, strlen(url)); /* it may hold a signature */
	free(url);
	return end;
}

/* Makes the request. Writes what arrived also if it then fails. */
static enum fetch_end
visit(struct visit *v, struct err *e)
{
	enum fetch_end end = v->by_xet ? visit_xet(v, e) : visit_url(v, e);
	struct err other;

	if (flush(v, &other) < 0) {
		*e = other;
		end = FETCH_FAILED;
	}
	return end;
}

/* Under the lock. */
static bool
try_again(struct transfer_file *f, const struct err *e, unsigned retries)
{
	/* The next try may reach a server with a good copy. */
	if (e->kind == ERR_CONTENT)
		return ++f->wrong < TRANSFER_WRONG_MAX;
	/* Not given up while other workers still fetch it. */
	return e->kind == ERR_NET && (f->failed <= retries || f->users);
}

/* Under the lock: a request failed: ends the run, gives the file up, or sets
 * the time of its next try. */
static void
range_failed(struct transfer_queue *q, struct transfer_file *f,
    enum fetch_end end, struct err *e)
{
	if (e->kind == ERR_STOPPED ||
	    (e->kind == ERR_FILE && !partial_stuck(f->partial))) {
		crew_end(&q->mover.crew, e);
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
		ramp_back(&q->mover.ramp, wait_now());
	}
	/* The first time, a new address at once is enough. */
	if (end == FETCH_REFUSED && f->failed == 1)
		return;
	f->not_before = mover_retry(&q->mover, f->failed, e);
}

/* Under the lock: a request failed at the Xet storage: sets the time of the next
 * try there, or leaves it. False if that is not the storage's fault. */
static bool
xet_failed(struct visit *v, struct transfer_file *f, enum fetch_end end,
    const struct err *e)
{
	struct transfer_queue *q = v->q;

	if (e->kind == ERR_STOPPED || e->kind == ERR_FILE)
		return false;
	/* Another worker has left it already. */
	if (!f->by_xet)
		return true;
	/* What lapses or breaks does so for all workers at once. */
	if (f->failed <= v->failed)
		f->failed++;
	if (end == FETCH_ELSEWHERE || f->failed >= XET_TRIES ||
	    e->wait > XET_WAIT_MAX)
		leave_xet(q, f, e);
	/* The first time, a new address at once is enough. A limit of the
	 * storage is none of the Hub: other files do not wait. */
	else if (end != FETCH_REFUSED || f->failed > 1)
		f->not_before = wait_retry(f->failed, e->wait);
	return true;
}

/* Under the lock: the bytes that this request wrote may be anything: drops
 * them, so that they are fetched again. */
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
	/* They do not count as progress either. */
	f->failed = f->failed > v->failed ? f->failed : v->failed;
}

/* Under the lock, if the range was not taken over: ends the request, and gives
 * the range back. */
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
	if (!v->by_xet)
		f->resolving = false;
	f->unanswered = !v->answered;
	if (v->small && partial_here(f->partial) == v->size) {
		hash_final(&f->hash, &f->found);
		f->hashed = true;
	} else if (end != FETCH_OK &&
		   !(v->by_xet && xet_failed(v, f, end, e))) {
		range_failed(v->q, f, end, e);
	}
	/* Before the lock is released: after that another worker may free f. */
	if (!v->small)
		hasher_poke(f->hashing);
	/* This worker finishes a complete small file next. */
	if (!f->hashed || !v->small)
		crew_changed(&v->q->mover.crew);
}

/* Does a job for a range. *buffer has HASHER_BUFFER bytes; the hasher may keep
 * it and give another one. */
static void
transfer_range(
    struct transfer_queue *q, struct transfer_job *j, unsigned char **buffer)
{
	struct visit v = {.q = q, .job = j, .buffer = *buffer};
	enum fetch_end end;
	struct err e;

	crew_lock(&q->mover.crew);
	if (j->f) {
		v.i = j->f->i;
		v.size = j->f->content.size;
		v.shown = j->f->shown;
		v.small = transfer_small(j->f);
		v.by_xet = j->f->by_xet;
		v.failed = j->f->failed;
	}
	crew_unlock(&q->mover.crew);
	end = visit(&v, &e);
	*buffer = v.buffer;
	crew_lock(&q->mover.crew);
	if (j->f)
		leave(&v, end, &e);
	crew_unlock(&q->mover.crew);
}

/* --- The threads. --- */

static void
do_job(struct transfer_queue *q, struct transfer_job *j, unsigned char **buffer)
{
	switch (j->task) {
	case TRANSFER_BEGIN:
		transfer_begin(q, j->i);
		break;
	case TRANSFER_RANGE:
		transfer_range(q, j, buffer);
		break;
	case TRANSFER_FINISH:
		transfer_finish(q, j->f);
		break;
	case TRANSFER_SETTLE:
		transfer_settle(q, j->f);
		break;
	}
}

static void *
work(void *arg)
{
	struct transfer_queue *q = arg;
	unsigned char *buffer = hasher_lend(q->hasher);
	struct transfer_job j = {.cancelled = false};

	wait_cancel_by(&j.cancelled);
	while (mover_next(&q->mover, &j))
		do_job(q, &j, &buffer);
	hasher_return(q->hasher, buffer);
	return NULL;
}

static bool
pick(void *ctx, uint64_t now, bool more, void *job)
{
	return transfer_pick(ctx, now, more, job);
}

static void
count(void *ctx, uint64_t *work, unsigned *connections)
{
	const struct transfer_queue *q = ctx;

	*work = q->mover.work;
	*connections = 0;
	for (const struct transfer_file *f = q->active; f; f = f->next)
		*connections += ranges_held(&f->ranges);
}

/* Under the lock: the active file with the lowest number from i on. */
static struct transfer_file *
next_tended(struct transfer_queue *q, size_t i)
{
	struct transfer_file *best = NULL;

	for (struct transfer_file *f = q->active; f; f = f->next)
		if (f->i >= i && !f->hashed && !f->given_up &&
		    !transfer_small(f) && (!best || f->i < best->i))
			best = f;
	return best;
}

static void
tend_all(struct transfer_queue *q)
{
	struct transfer_file *f;
	struct err e;
	size_t i = 0;

	crew_lock(&q->mover.crew);
	while (!q->mover.crew.over && (f = next_tended(q, i))) {
		int rv;

		i = f->i + 1;
		f->tended = true;
		crew_unlock(&q->mover.crew);
		rv = partial_tend(f->partial, &e);
		crew_lock(&q->mover.crew);
		f->tended = false;
		if (rv < 0)
			crew_end(&q->mover.crew, &e);
	}
	crew_unlock(&q->mover.crew);
}

/* Syncs ripe files while all workers wait for slow connections. */
static void
settle_ripe(struct transfer_queue *q)
{
	struct transfer_job j;
	bool any;

	crew_lock(&q->mover.crew);
	any = transfer_pick_ripe(q, &j);
	crew_unlock(&q->mover.crew);
	if (any)
		transfer_settle(q, j.f);
}

/* A thread that syncs the active files and their states every few seconds, so
 * that neither the display nor a connection waits for that. */
static void *
tend(void *arg)
{
	struct transfer_queue *q = arg;
	bool go_on = true;

	while (go_on) {
		tend_all(q);
		settle_ripe(q);
		crew_lock(&q->mover.crew);
		if (crew_busy(&q->mover.crew))
			crew_wait(&q->mover.crew, 500);
		go_on = crew_busy(&q->mover.crew);
		crew_unlock(&q->mover.crew);
	}
	return NULL;
}

/* --- Callbacks of the hasher. --- */

static uint64_t
written(void *file, uint64_t offset)
{
	struct transfer_file *f = file;
	uint64_t end = offset, last;

	crew_lock(&f->q->mover.crew);
	do {
		last = end;
		end = partial_run_end(f->partial, end);
		end = ranges_written(&f->ranges, end);
	} while (end > last);
	crew_unlock(&f->q->mover.crew);
	return end;
}

/* A block was read back with other bytes than were written, and is fetched
 * again. Gives the file up if the disk does that again and again. */
static void
hash_differs(void *file, uint64_t bytes, bool old)
{
	enum { LOST_MAX = 8 };
	struct transfer_file *f = file;
	struct transfer_queue *q = f->q;
	bool first = !f->damaged;
	struct err e;

	f->damaged = true;
	progress_lost(q->t->progress, f->shown, bytes);
	/* A file that was cut short has thousands. */
	if (first)
		progress_note(q->t->progress,
		    "%s: blocks %s are damaged; fetching them again",
		    f->content.name, old ? "of an earlier run" : "on the disk");
	crew_lock(&q->mover.crew);
	if (!old && ++f->lost > LOST_MAX) {
		err_set(&e, ERR_FILE,
		    "the disk returns different data than was written");
		transfer_give_up(f, &e);
	}
	crew_changed(&q->mover.crew);
	crew_unlock(&q->mover.crew);
}

static void
hash_complete(void *file, const struct digest *found, const struct err *why)
{
	struct transfer_file *f = file;

	crew_lock(&f->q->mover.crew);
	if (found) {
		f->found = *found;
		f->hashed = true;
	} else {
		crew_end(&f->q->mover.crew, why);
	}
	crew_changed(&f->q->mover.crew);
	crew_unlock(&f->q->mover.crew);
}

static unsigned
hasher_threads(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > 4 ? 4 : (unsigned)n;
}

static void
release(struct transfer_queue *q)
{
	struct transfer_file *f;

	while ((f = q->active)) {
		q->active = f->next;
		transfer_file_close(f, false);
	}
	while ((f = q->spare)) {
		q->spare = f->next;
		free(f);
	}
	hasher_close(q->hasher);
	crew_release(&q->mover.crew);
}

/* Runs all threads, and waits for their ends. */
static int
run_all(struct transfer_queue *q, struct err *e)
{
	/* If it cannot be started, a power cut loses more. */
	pthread_t tender;
	bool has_tender = pthread_create(&tender, NULL, tend, q) == 0;
	int rv;

	rv = mover_run(&q->mover, e);
	if (has_tender)
		pthread_join(tender, NULL);
	/* Also after a signal: the bytes of ripe files are right. */
	transfer_settle(q, transfer_harvest(q));
	return rv;
}

int
transfer_run(const struct transfer *t, struct err *e)
{
	static const struct hasher_ops ops = {
	    written, hash_differs, hash_complete};
	static const struct mover_ops mover_ops = {work, pick, count};
	struct hasher *hasher;
	struct transfer_queue q;
	int rv;

	if (!t->count)
		return 0;
	hasher = hasher_open(hasher_threads(), t->jobs, &ops, e);
	if (!hasher)
		return -1;
	transfer_queue_init(&q, t, wait_now());
	q.mover.ops = &mover_ops;
	q.hasher = hasher;
	rv = run_all(&q, e);
	release(&q);
	return rv;
}
