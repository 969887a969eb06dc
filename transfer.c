/*
 * transfer: workers that take ranges from one queue.
 *
 * A file lives from begin() to done() or failed(). While it does, any number of
 * workers is at its ranges, the hasher follows, and the tender keeps its state
 * on disk. It is finished, or given up, by one worker, when nobody else is at
 * it; the smallest are finished some at a time. One lock guards it all; it is
 * held for moments only, never over I/O. The hasher and the partial files have
 * locks of their own, which are taken after this one, never before it.
 */

#include "transfer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "crew.h"
#include "err.h"
#include "fetch.h"
#include "hasher.h"
#include "mem.h"
#include "partial.h"
#include "progress.h"
#include "ramp.h"
#include "ranges.h"
#include "url.h"
#include "wait.h"

/* The longest range of one request while several connections share a file. */
#define REQUEST_MAX ((uint64_t)64 << 20)
#define REQUEST_MIN ((uint64_t)8 << 20)

/* A connection on which nothing came for so long loses its range to one that
 * has nothing else to do. */
#define RESCUE_MS 4000

#define SPLIT_SECONDS 2

/* Waits between tries: full jitter below these. */
#define BACKOFF_BASE 500
#define BACKOFF_CAP 30000

/* A signed address is renewed this long before it lapses, in seconds. */
#define RENEW_BEFORE 60

/* Contents that come wrong so often are given up. */
#define WRONG_MAX 3

/* So many contents given up in a row, without a byte between them: the line is
 * dead, or the repository closed to us, and the rest need not be tried. */
#define LOST_MAX 3

/* Small files wait until so many are there, or so many bytes, or nothing else is
 * to be done, and go to the disk together: on a journaling file system the first
 * one brings the others along. A kill costs no more than a block of them. The
 * disk is asked for so many of these heaps at a time. */
#define RIPE_MAX 64
#define RIPE_BYTES PARTIAL_BLOCK
#define SETTLING_MAX 2

/* What a small file costs beside its bytes, as ramp counts it. */
#define FILE_WORK ((uint64_t)256 << 10)

/* A content that was begun. All fields are guarded by the crew's lock, but those
 * which do_begin() sets and nobody changes. */
struct file {
	struct file *next;
	struct run *run;
	size_t i;
	struct content content;
	struct partial *partial;
	struct hashing *hashing; /* NULL: small, hashed by its worker */
	struct hash hash; /* of a small one; only its worker touches it */
	const char *name; /* of the partial, once it is on the disk */
	char *url;
	char *direct;    /* where url led to; NULL: not known */
	uint64_t lapses; /* Unix seconds when direct does; 0: not known */
	struct ranges ranges;
	unsigned users;      /* workers at it */
	unsigned failed;     /* tries in a row without FETCH_PROGRESS */
	uint64_t reached;    /* how far a server came that ignores ranges */
	unsigned wrong;      /* times that the hash was wrong */
	uint64_t not_before; /* no try before (ms) */
	unsigned shown;      /* its number in the display */
	bool resolving;      /* one worker finds out direct, others wait */
	bool whole;          /* the server ignores ranges */
	bool hashed;         /* all of it; found says what */
	bool given_up;       /* why says why */
	bool tended;         /* the tender is at it */
	struct digest found;
	struct err why;
};

struct run {
	const struct transfer *t;
	struct crew crew; /* left: contents that are not yet done or failed */
	struct hasher *hasher;
	struct hash fresh; /* what the hashes of small ones begin as */
	struct file *active;
	struct file *spare; /* closed, to be used again */
	size_t begun;       /* contents */
	struct file *ripe;  /* right, and not yet on the disk; oldest first */
	struct file **ripe_end;
	unsigned ripened; /* so many */
	uint64_t ripe_bytes;
	unsigned ripe_max;   /* so many are enough */
	unsigned settling;   /* threads that are at some of them */
	unsigned lost;       /* contents given up so in a row */
	uint64_t not_before; /* the server asked all to wait (ms) */
	uint64_t work;       /* for ramp */
	struct ramp ramp;
	unsigned numbers; /* of workers, given so far */
};

enum task { TASK_BEGIN, TASK_RANGE, TASK_FINISH, TASK_SETTLE };

struct job {
	enum task task;
	size_t i;
	struct file *f;
	struct range *r;
};

static bool
small(const struct file *f)
{
	return !f->hashing;
}

static void
give_up(struct file *f, const struct err *why)
{
	if (f->given_up)
		return;
	f->given_up = true;
	f->why = *why;
}

/* --- What there is to do: all under the lock. --- */

static bool
missing(
    void *ctx, uint64_t from, uint64_t limit, uint64_t *first, uint64_t *end)
{
	return partial_missing(ctx, from, limit, first, end);
}

/* How much one request asks for: all that is missing where files are many or
 * the connection is alone, else shares of what is left. */
static uint64_t
request_limit(const struct run *run, const struct file *f)
{
	uint64_t left, share;

	if (run->ramp.allowed == 1 || run->begun < run->t->count ||
	    partial_in_order(f->partial))
		return UINT64_MAX;
	left = partial_size(f->partial) - partial_here(f->partial);
	share = left / (2 * (uint64_t)run->ramp.allowed);
	share -= share % PARTIAL_BLOCK;
	if (share < REQUEST_MIN)
		return REQUEST_MIN;
	return share < REQUEST_MAX ? share : REQUEST_MAX;
}

/* Who finds the address goes alone; so does one whose server knows no ranges,
 * and one that is to be written in order. */
static bool
alone(const struct file *f)
{
	return f->resolving || f->whole || partial_in_order(f->partial);
}

static bool
usable(const struct run *run, const struct file *f, uint64_t now)
{
	return !f->given_up && !f->hashed && now >= f->not_before &&
	       now >= run->not_before && !(f->users && alone(f));
}

/* shared: also files that other workers are at. */
static bool
pick_range(struct run *run, uint64_t now, bool shared, struct job *j)
{
	for (struct file *f = run->active; f; f = f->next) {
		if (!usable(run, f, now) || (f->users && !shared))
			continue;
		j->r = ranges_take(
		    &f->ranges, request_limit(run, f), missing, f->partial);
		if (!j->r)
			continue;
		j->f = f;
		return true;
	}
	return false;
}

/* Near the end: half of a long range, or all of one that does not move. */
static bool
pick_help(struct run *run, uint64_t now, struct job *j)
{
	/* What a connection brings in some seconds is not worth a new request,
	 * nor what the old one has sent already and is thrown away. */
	uint64_t least = run->ramp.rate / run->ramp.allowed * SPLIT_SECONDS;
	bool known = run->ramp.rate > 0;

	least += PARTIAL_BLOCK - least % PARTIAL_BLOCK;
	for (struct file *f = run->active; f; f = f->next) {
		if (!usable(run, f, now) || small(f))
			continue;
		j->r = ranges_rescue(
		    &f->ranges, now > RESCUE_MS ? now - RESCUE_MS : 0);
		if (!j->r && known && !run->t->limited)
			j->r = ranges_split(&f->ranges, least);
		if (!j->r)
			continue;
		j->f = f;
		return true;
	}
	return false;
}

static bool
pick_finish(struct run *run, struct job *j)
{
	for (struct file *f = run->active; f; f = f->next) {
		if (f->users || f->tended || !(f->hashed || f->given_up))
			continue;
		j->f = f;
		return true;
	}
	return false;
}

/* Under the lock: all that are ripe, for one worker. */
static struct file *
harvest(struct run *run)
{
	struct file *f = run->ripe;

	run->settling++;
	run->ripe = NULL;
	run->ripe_end = &run->ripe;
	run->ripened = 0;
	run->ripe_bytes = 0;
	return f;
}

static bool
ripe_full(const struct run *run)
{
	return run->ripened >= run->ripe_max || run->ripe_bytes >= RIPE_BYTES;
}

static bool
pick_ripe(struct run *run, struct job *j)
{
	if (!run->ripe || run->settling >= SETTLING_MAX)
		return false;
	j->task = TASK_SETTLE;
	j->f = harvest(run);
	return true;
}

/* Files that are begun together are bounded, also while all of them wait, or
 * wait for the disk. */
static bool
may_begin(const struct run *run, uint64_t now)
{
	unsigned n = 0;

	if (run->begun == run->t->count || now < run->not_before ||
	    ripe_full(run))
		return false;
	for (const struct file *f = run->active; f; f = f->next)
		n++;
	return n < 2 * run->ramp.allowed;
}

/* The next job. A file each as long as there are files, then several
 * connections to one. */
static bool
pick(struct run *run, struct job *j)
{
	uint64_t now = wait_now();

	*j = (struct job){.task = TASK_FINISH};
	if (pick_finish(run, j)) {
		j->f->users++;
		return true;
	}
	if (ripe_full(run) && pick_ripe(run, j))
		return true;
	j->task = TASK_RANGE;
	if (!pick_range(run, now, false, j)) {
		if (may_begin(run, now)) {
			j->task = TASK_BEGIN;
			j->i = run->begun++;
			return true;
		}
		if (!pick_range(run, now, true, j) && !pick_help(run, now, j))
			return pick_ripe(run, j);
	}
	j->r->moved = now;
	j->f->users++;
	j->f->resolving = j->f->resolving || !j->f->direct;
	return true;
}

/* --- One request. --- */

/* A worker at a range. */
struct visit {
	struct run *run;
	struct file *f;
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
	const struct transfer *t = v->run->t;

	return t->ops->check(t->ctx, v->f->i, h, url, e);
}

/* Keeps where the address led to, for the other ranges of the file. */
static void
answer_begins(void *ctx, const struct url *url, bool whole)
{
	struct visit *v = ctx;
	struct file *f = v->f;
	uint64_t lapses = url_expiry(url);

	/* A clock that is ahead makes every address look lapsed. */
	if (lapses <= client_time(v->run->t->client) + RENEW_BEFORE)
		lapses = 0;
	crew_lock(&v->run->crew);
	if (!f->direct) {
		f->direct = str_dup(url->text);
		f->lapses = lapses;
	}
	f->resolving = false;
	f->whole = f->whole || whole;
	if (whole && ranges_busy(&f->ranges) == 1)
		ranges_whole(&f->ranges, v->r, f->content.size);
	if (!small(f))
		crew_changed(&v->run->crew);
	crew_unlock(&v->run->crew);
}

/* Up to where the buffer is full or the range ends; nothing when it is
 * through, or the run is. */
static void *
room(void *ctx, size_t *n)
{
	struct visit *v = ctx;
	struct run *run = v->run;
	uint64_t at = v->r->at + v->fill;

	*n = HASHER_BUFFER - v->fill;
	crew_lock(&run->crew);
	if (v->r->end <= at || run->crew.over || v->f->given_up)
		*n = 0;
	else if (v->r->end - at < *n)
		*n = (size_t)(v->r->end - at);
	crew_unlock(&run->crew);
	return v->buffer + v->fill;
}

/* Under the lock. A server that begins at 0 each time has to get further than
 * the last time. */
static bool
is_progress(struct visit *v)
{
	struct file *f = v->f;
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
	struct file *f = v->f;
	uint64_t at = v->r->at;
	size_t n = v->fill;

	v->fill = 0;
	if (!n)
		return 0;
	if (partial_write(f->partial, v->buffer, n, at, v->r->begin, e) < 0)
		return -1;
	crew_lock(&v->run->crew);
	v->r->at += n;
	v->came += n;
	if (is_progress(v)) {
		v->run->lost = 0;
		f->failed = 0;
	}
	crew_unlock(&v->run->crew);
	if (small(f))
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
	progress_add(v->run->t->progress, v->f->shown, n);
	crew_lock(&v->run->crew);
	v->r->moved = now;
	v->run->work += n;
	crew_unlock(&v->run->crew);
	return v->fill == HASHER_BUFFER ? flush(v, e) : 0;
}

/* Under the lock: the address to ask, which the caller frees. */
static char *
address(struct file *f, bool *direct)
{
	if (f->direct && f->lapses &&
	    client_time(f->run->t->client) + RENEW_BEFORE >= f->lapses) {
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
	struct file *f = v->f;

	progress_lost(v->run->t->progress, f->shown, v->r->at);
	ranges_whole(&f->ranges, v->r, f->content.size);
	if (small(f))
		hash_restart(&f->hash, f->content.digest.kind, f->content.size);
}

/* What came is written also when it fails in the middle. */
static enum fetch_end
visit(struct visit *v, struct err *e)
{
	const struct transfer *t = v->run->t;
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

	crew_lock(&v->run->crew);
	if (v->f->whole)
		start_over(v);
	x.first = v->r->at;
	x.last = v->r->end - 1;
	x.url = url = address(v->f, &x.direct);
	crew_unlock(&v->run->crew);
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
try_again(struct file *f, const struct err *e, unsigned retries)
{
	/* One copy of the content may be broken, and another one good. */
	if (e->kind == ERR_CONTENT)
		return ++f->wrong < WRONG_MAX;
	/* While another connection brings bytes, the file gets on. */
	return e->kind == ERR_NET && (f->failed <= retries || f->users);
}

/* Under the lock: what a failed try means for the file and for all. */
static void
range_failed(struct run *run, struct file *f, enum fetch_end end, struct err *e)
{
	uint64_t now = wait_now();

	if (e->kind == ERR_STOPPED || e->kind == ERR_FILE) {
		crew_end(&run->crew, e);
		return;
	}
	f->failed++;
	if (!try_again(f, e, run->t->retries)) {
		give_up(f, e);
		return;
	}
	if (end == FETCH_WHOLE)
		f->whole = true;
	if (end == FETCH_REFUSED) {
		free(f->direct);
		f->direct = NULL;
		ramp_back(&run->ramp, now);
	}
	/* The first time, asking again at once is the cure. */
	if (end != FETCH_FAILED && f->failed == 1)
		return;
	f->not_before = now + wait_backoff(f->failed - 1, BACKOFF_BASE,
				  BACKOFF_CAP, e->wait, wait_random());
	if (e->wait) {
		/* The quota is the address's, not the file's. */
		run->not_before = f->not_before;
		ramp_back(&run->ramp, now);
		progress_note(run->t->progress,
		    "the server asks to wait %u s: %s", e->wait, e->msg);
	}
}

static void
do_range(struct run *run, struct job *j, unsigned char **buffer)
{
	struct visit v = {run, j->f, j->r, *buffer, 0, 0};
	struct file *f = j->f;
	struct err e;
	enum fetch_end end = visit(&v, &e);
	bool complete;

	*buffer = v.buffer;
	crew_lock(&run->crew);
	complete = v.r->at == f->content.size;
	ranges_put(&f->ranges, v.r);
	f->users--;
	f->resolving = false;
	if (small(f) && complete) {
		hash_final(&f->hash, &f->found);
		f->hashed = true;
	} else if (end != FETCH_OK) {
		range_failed(run, f, end, &e);
	}
	/* Under the lock: as soon as it is given up, f may be gone. */
	if (!small(f))
		hasher_poke(f->hashing);
	/* A small one that is complete is finished by this worker, next. */
	if (!f->hashed || !small(f))
		crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

/* --- The beginning and the end of a file. --- */

static void
content_failed(struct run *run, size_t i, const struct err *why)
{
	const struct transfer *t = run->t;

	t->ops->failed(t->ctx, i, why);
	crew_lock(&run->crew);
	run->crew.left--;
	if (why->kind == ERR_STOPPED)
		crew_end(&run->crew, why);
	if ((why->kind == ERR_NET || why->kind == ERR_AUTH) &&
	    ++run->lost >= LOST_MAX)
		crew_end(&run->crew, why);
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

static void
start_hash(struct run *run, struct file *f)
{
	const struct content *c = &f->content;

	if (c->size > PARTIAL_BLOCK) {
		f->hashing = hasher_begin(run->hasher, f->partial, f);
		return;
	}
	f->hash = run->fresh;
	hash_restart(&f->hash, c->digest.kind, c->size);
	f->hashed = c->size == 0;
	hash_final(&f->hash, &f->found);
}

/* Thousands of small files, each with a struct from malloc() and back, would
 * make the system clear a page for each. */
static struct file *
file_new(struct run *run, size_t i)
{
	struct file *f;

	crew_lock(&run->crew);
	f = run->spare;
	if (f)
		run->spare = f->next;
	crew_unlock(&run->crew);
	if (!f)
		f = xmalloc(sizeof(*f));
	memset(f, 0, sizeof(*f));
	f->run = run;
	f->i = i;
	return f;
}

static void
file_free(struct file *f)
{
	struct run *run = f->run;

	crew_lock(&run->crew);
	f->next = run->spare;
	run->spare = f;
	crew_unlock(&run->crew);
}

static void
do_begin(struct run *run, size_t i)
{
	const struct transfer *t = run->t;
	struct file *f = file_new(run, i);
	struct err e;

	t->ops->content(t->ctx, i, &f->content);
	f->partial = t->ops->begin(t->ctx, i, &f->url, &e);
	if (!f->partial) {
		file_free(f);
		content_failed(run, i, &e);
		return;
	}
	f->shown = progress_start(t->progress, f->content.name, f->content.size,
	    partial_here(f->partial));
	start_hash(run, f);
	crew_lock(&run->crew);
	f->next = run->active;
	run->active = f;
	/* A small one is fetched by this worker, next. */
	if (f->hashing) {
		hasher_poke(f->hashing);
		crew_changed(&run->crew);
	}
	crew_unlock(&run->crew);
}

/* Closes a file that is no longer active. */
static void
file_close(struct file *f, bool published)
{
	if (f->hashing)
		hasher_end(f->hashing);
	ranges_release(&f->ranges);
	partial_close(f->partial, published);
	free(f->url);
	free(f->direct);
	file_free(f);
}

static void
retire(struct run *run, struct file *f)
{
	crew_lock(&run->crew);
	for (struct file **p = &run->active; *p; p = &(*p)->next)
		if (*p == f) {
			*p = f->next;
			break;
		}
	crew_unlock(&run->crew);
}

static void
wrong_hash(struct file *f, struct err *e)
{
	char want[2 * HASH_SIZE_MAX + 1], got[2 * HASH_SIZE_MAX + 1];

	digest_hex(&f->content.digest, want);
	digest_hex(&f->found, got);
	err_set(e, ERR_CONTENT,
	    "the content is not what its hash says: expected %s, got %s", want,
	    got);
}

/* The bytes are wrong: all of them come again, from a fresh address. */
static int
again(struct run *run, struct file *f, struct err *e)
{
	struct err why;

	wrong_hash(f, &why);
	if (++f->wrong >= WRONG_MAX) {
		*e = why;
		return -1;
	}
	progress_note(run->t->progress, "%s: %s; fetching it again",
	    f->content.name, why.msg);
	progress_lost(run->t->progress, f->shown, f->content.size);
	if (partial_reset(f->partial, e) < 0)
		return -1;
	if (f->hashing)
		hasher_restart(f->hashing);
	crew_lock(&run->crew);
	f->hashed = false;
	if (!f->hashing)
		start_hash(run, f);
	free(f->direct);
	f->direct = NULL;
	f->users--;
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
	return 0;
}

static void
content_done(struct run *run)
{
	crew_lock(&run->crew);
	run->crew.left--;
	run->work += FILE_WORK;
	/* Else there is work for this one only, which looks for it next. */
	if (!run->crew.left)
		crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

/* A retired one, which has its name or is given up. */
static void
end_file(struct run *run, struct file *f)
{
	bool lost = f->given_up;
	struct err why = f->why;
	size_t i = f->i;

	if (lost)
		progress_finish(
		    run->t->progress, f->shown, PROGRESS_FAILED, why.msg);
	else
		progress_finish(
		    run->t->progress, f->shown, PROGRESS_DONE, NULL);
	file_close(f, !lost);
	if (lost)
		content_failed(run, i, &why);
	else
		content_done(run);
}

/* Retired ones whose bytes are right. None gets its name before all are on the
 * disk: a change of names in between makes the next sync dear. */
static void
settle(struct run *run, struct file *list)
{
	const struct transfer *t = run->t;
	struct file *f;
	struct err e;

	for (f = list; f; f = f->next)
		if (partial_finish(f->partial, &f->name, &e) < 0)
			give_up(f, &e);
	while ((f = list)) {
		list = f->next;
		if (!f->given_up && t->ops->done(t->ctx, f->i, f->name, &e) < 0)
			give_up(f, &e);
		end_file(run, f);
	}
}

static void
do_settle(struct run *run, struct file *list)
{
	settle(run, list);
	crew_lock(&run->crew);
	run->settling--;
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

static void
ripen(struct run *run, struct file *f)
{
	partial_start(f->partial);
	crew_lock(&run->crew);
	*run->ripe_end = f;
	run->ripe_end = &f->next;
	run->ripened++;
	run->ripe_bytes += f->content.size;
	crew_unlock(&run->crew);
}

static void
do_finish(struct run *run, struct file *f)
{
	struct err e;

	if (!f->given_up && !digest_same(&f->found, &f->content.digest)) {
		if (again(run, f, &e) == 0)
			return;
		give_up(f, &e);
	}
	retire(run, f);
	f->next = NULL;
	if (f->given_up)
		end_file(run, f);
	else if (!small(f))
		settle(run, f);
	else
		ripen(run, f);
}

/* --- The threads. --- */

static void
do_job(struct run *run, struct job *j, unsigned char **buffer)
{
	switch (j->task) {
	case TASK_BEGIN:
		do_begin(run, j->i);
		break;
	case TASK_RANGE:
		do_range(run, j, buffer);
		break;
	case TASK_FINISH:
		do_finish(run, j->f);
		break;
	case TASK_SETTLE:
		do_settle(run, j->f);
		break;
	}
}

static void *
work(void *arg)
{
	struct run *run = arg;
	unsigned char *buffer = hasher_lend(run->hasher);
	unsigned number;
	struct job j;

	crew_lock(&run->crew);
	number = run->numbers++;
	while (crew_busy(&run->crew)) {
		if (number >= run->ramp.allowed || !pick(run, &j)) {
			crew_wait(&run->crew, 200);
			continue;
		}
		crew_unlock(&run->crew);
		do_job(run, &j, &buffer);
		crew_lock(&run->crew);
	}
	crew_unlock(&run->crew);
	hasher_return(run->hasher, buffer);
	return NULL;
}

/* Under the lock: the active file with the lowest number from i on. */
static struct file *
next_tended(struct run *run, size_t i)
{
	struct file *best = NULL;

	for (struct file *f = run->active; f; f = f->next)
		if (f->i >= i && !f->hashed && !f->given_up && !small(f) &&
		    (!best || f->i < best->i))
			best = f;
	return best;
}

static void
tend_all(struct run *run)
{
	struct file *f;
	struct err e;
	struct job j;
	size_t i = 0;

	crew_lock(&run->crew);
	while (!run->crew.over && (f = next_tended(run, i))) {
		int rv;

		i = f->i + 1;
		f->tended = true;
		crew_unlock(&run->crew);
		rv = partial_tend(f->partial, &e);
		crew_lock(&run->crew);
		f->tended = false;
		if (rv < 0)
			crew_end(&run->crew, &e);
	}
	/* While all workers are at slow connections. */
	if (pick_ripe(run, &j)) {
		crew_unlock(&run->crew);
		do_settle(run, j.f);
		crew_lock(&run->crew);
	}
	crew_unlock(&run->crew);
}

/* Keeps the states of all active files on disk, so that neither the display
 * nor a connection waits for a sync. */
static void *
tend(void *arg)
{
	struct run *run = arg;
	bool go_on = true;

	while (go_on) {
		tend_all(run);
		crew_lock(&run->crew);
		if (crew_busy(&run->crew))
			crew_wait(&run->crew, 500);
		go_on = crew_busy(&run->crew);
		crew_unlock(&run->crew);
	}
	return NULL;
}

/* Under the lock: as many workers as are allowed and useful. */
static int
add_workers(struct run *run, struct err *e)
{
	struct ramp *ramp = &run->ramp;
	struct crew *crew = &run->crew;

	ramp_step(ramp, wait_now(), run->work);
	if (crew->count < ramp->allowed &&
	    crew_start(crew, ramp->allowed - crew->count, work, run, e) < 0)
		return -1;
	if (crew->count < ramp->allowed)
		ramp->max = ramp->allowed = crew->count;
	return 0;
}

static unsigned
connections(const struct run *run)
{
	unsigned n = 0;

	for (const struct file *f = run->active; f; f = f->next)
		n += ranges_busy(&f->ranges);
	return n;
}

/* The main thread: display, and number of workers. */
static int
supervise(void *ctx, struct err *e)
{
	struct run *run = ctx;
	struct progress *progress = run->t->progress;
	unsigned n;
	int rv;

	crew_lock(&run->crew);
	n = connections(run);
	rv = add_workers(run, e);
	crew_unlock(&run->crew);
	progress_connections(progress, n);
	progress_tick(progress, wait_status_asked());
	return rv;
}

/* --- What the hasher asks and tells. --- */

static uint64_t
written(void *file, uint64_t offset)
{
	struct file *f = file;
	uint64_t end = offset, last;

	crew_lock(&f->run->crew);
	do {
		last = end;
		end = partial_run_end(f->partial, end);
		end = ranges_written(&f->ranges, end);
	} while (end > last);
	crew_unlock(&f->run->crew);
	return end;
}

static void
hash_complete(void *file, const struct digest *found, const struct err *why)
{
	struct file *f = file;

	crew_lock(&f->run->crew);
	if (found) {
		f->found = *found;
		f->hashed = true;
	} else {
		crew_end(&f->run->crew, why);
	}
	crew_changed(&f->run->crew);
	crew_unlock(&f->run->crew);
}

static unsigned
hasher_threads(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > 4 ? 4 : (unsigned)n;
}

/* Each that waits has a file open. */
static unsigned
ripe_max(void)
{
	long n = sysconf(_SC_OPEN_MAX);

	if (n < 0 || n > 16 * RIPE_MAX)
		n = 16 * RIPE_MAX;
	return n < 16 ? 1 : (unsigned)n / 16;
}

static void
run_release(struct run *run)
{
	struct file *f;

	while ((f = run->active)) {
		run->active = f->next;
		file_close(f, false);
	}
	while ((f = run->spare)) {
		run->spare = f->next;
		free(f);
	}
	hasher_close(run->hasher);
	crew_release(&run->crew);
}

/* The threads, from the first to the end of the last. */
static int
run_all(struct run *run, struct err *e)
{
	/* Without it only a power cut costs more. */
	pthread_t tender;
	bool has_tender = pthread_create(&tender, NULL, tend, run) == 0;
	int rv;

	crew_lock(&run->crew);
	if (add_workers(run, e) < 0)
		crew_end(&run->crew, e);
	crew_unlock(&run->crew);
	crew_watch(&run->crew, supervise, run);
	rv = crew_join(&run->crew, e);
	if (has_tender)
		pthread_join(tender, NULL);
	/* Also what a signal has stopped: their bytes are right. */
	settle(run, harvest(run));
	return rv;
}

int
transfer_run(const struct transfer *t, struct err *e)
{
	static const struct hasher_ops ops = {written, hash_complete};
	struct run run = {.t = t, .ripe_max = ripe_max()};
	int rv;

	if (!t->count)
		return 0;
	run.hasher = hasher_open(hasher_threads(), t->jobs, &ops, e);
	if (!run.hasher)
		return -1;
	hash_init(&run.fresh, HASH_GIT, 0);
	run.ripe_end = &run.ripe;
	run.ramp = ramp_make(t->jobs, wait_now());
	crew_init(&run.crew, t->count, t->jobs);
	rv = run_all(&run, e);
	run_release(&run);
	return rv;
}
