#include "queue.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "batch.h"
#include "hasher.h"
#include "partial.h"
#include "progress.h"
#include "str.h"
#include "transfer.h"
#include "xetup.h"

/* --- Ranges of one file. --- */

static struct range *
add(struct ranges *s, uint64_t begin, uint64_t end, void *holder)
{
	struct range *r = xcalloc(1, sizeof(*r));

	*r = (struct range){.begin = begin,
	    .at = begin,
	    .end = end,
	    .holder = holder,
	    .next = s->first};
	s->first = r;
	return r;
}

/* If a range covers *first, moves *first to its end and returns true. Else
 * moves *end to the beginning of the next range. */
static bool
avoid(const struct ranges *s, uint64_t *first, uint64_t *end)
{
	for (const struct range *r = s->first; r; r = r->next) {
		if (*first >= r->begin && *first < r->end) {
			*first = r->end;
			return true;
		}
		if (r->begin > *first && r->begin < *end)
			*end = r->begin;
	}
	return false;
}

static struct range *
lowest_waiting(struct ranges *s, uint64_t from)
{
	struct range *low = NULL;

	for (struct range *r = s->first; r; r = r->next)
		if (!r->holder && r->at >= from && (!low || r->at < low->at))
			low = r;
	return low;
}

struct range *
ranges_take(struct ranges *s, uint64_t from, uint64_t limit, struct partial *p,
    void *holder)
{
	struct range *waiting = lowest_waiting(s, from);
	uint64_t first = from, end;

	while (partial_missing(p, first, limit, &first, &end))
		if (!avoid(s, &first, &end)) {
			if (waiting && waiting->at < first)
				break;
			return add(s, first, end, holder);
		}
	if (waiting)
		waiting->holder = holder;
	return waiting;
}

/* Where a split may cut a held range. */
static uint64_t
splittable(const struct range *r)
{
	if (r->reserved >= r->end)
		return r->end;
	return r->reserved > r->at ? r->reserved : r->at;
}

/* Splits the held range that has most bytes left, if these are at least 2 *
 * least, in the middle, at a multiple of least: holder gets the second half.
 * NULL if no range is that long. */
static struct range *
ranges_split(struct ranges *s, uint64_t least, void *holder)
{
	struct range *most = NULL;
	uint64_t left, cut, end;

	for (struct range *r = s->first; r; r = r->next)
		if (r->holder && (!most || r->end - splittable(r) >
					       most->end - splittable(most)))
			most = r;
	if (!most)
		return NULL;
	left = most->end - splittable(most);
	cut = splittable(most) + left / 2;
	cut += (least - cut % least) % least;
	if (left / 2 < least || cut >= most->end)
		return NULL;
	end = most->end;
	most->end = cut;
	return add(s, cut, end, holder);
}

/* A held range, not pinned, that has received nothing since the time before;
 * NULL if there is none. The caller gives it another holder. */
static struct range *
ranges_stalled(struct ranges *s, uint64_t before)
{
	for (struct range *r = s->first; r; r = r->next)
		if (r->holder && !r->pinned && r->moved < before &&
		    r->at < r->end)
			return r;
	return NULL;
}

void
ranges_advance(struct range *r, uint64_t n, uint64_t block)
{
	uint64_t begin;

	assert(n <= r->end - r->at);
	r->at += n;
	begin = r->at - r->at % block;
	if (begin > r->begin)
		r->begin = begin;
}

void
ranges_put(struct ranges *s, struct range *r)
{
	assert(r->holder && !r->pinned);
	r->holder = NULL;
	r->reserved = 0;
	if (r->at < r->end)
		return;
	for (struct range **p = &s->first; *p; p = &(*p)->next)
		if (*p == r) {
			*p = r->next;
			free(r);
			return;
		}
}

uint64_t
ranges_written(const struct ranges *s, uint64_t offset)
{
	for (const struct range *r = s->first; r; r = r->next)
		if (offset >= r->begin && offset < r->at)
			return r->at;
	return offset;
}

unsigned
ranges_held(const struct ranges *s)
{
	unsigned n = 0;

	for (const struct range *r = s->first; r; r = r->next)
		n += r->holder != NULL;
	return n;
}

void
ranges_release(struct ranges *s)
{
	while (s->first) {
		struct range *r = s->first;

		assert(!r->holder);
		s->first = r->next;
		free(r);
	}
}

/* --- How many connections. --- */

static struct ramp
ramp_make(unsigned max, uint64_t now)
{
	return (struct ramp){
	    .allowed = max < RAMP_START ? max : RAMP_START,
	    .before = max < RAMP_START ? max : RAMP_START,
	    .max = max,
	    .looked = now,
	    .eager = true,
	};
}

struct ramp
ramp_make_careful(unsigned max, uint64_t now)
{
	struct ramp r = ramp_make(max, now);

	r.allowed = r.before = 1;
	r.retreats = true;
	r.eager = false;
	return r;
}

static void
grow(struct ramp *r, uint64_t now, unsigned to)
{
	unsigned half;

	if (now >= r->forget)
		r->worse = 0;
	half = r->worse ? (r->allowed + r->worse) / 2 : r->max;
	if (to > half)
		to = half;
	if (to > r->max)
		to = r->max;
	if (to == r->allowed)
		return;
	r->before = r->allowed;
	r->grown = now;
	r->allowed = to;
}

/* Whether the last growth has not yet raised the rate. */
static bool
is_tried(const struct ramp *r)
{
	return r->retreats && r->allowed > r->before;
}

/* Goes back to fewer connections, and remembers that there were too many. */
static void
shrink(struct ramp *r, uint64_t now, unsigned to)
{
	if (r->allowed > to) {
		r->worse = r->allowed;
		r->forget = now + RAMP_FORGET;
		r->allowed = to;
	}
	r->eager = false;
	r->before = r->allowed;
	r->best = 0;
	r->hold = now + RAMP_HOLD;
}

static void
halve(struct ramp *r, uint64_t now)
{
	shrink(r, now, r->allowed > 1 ? r->allowed / 2 : 1);
}

unsigned
ramp_step(struct ramp *r, uint64_t now, uint64_t work)
{
	uint64_t ms = now - r->looked;

	if (ms < (r->eager ? RAMP_FIRST : RAMP_PERIOD))
		return r->allowed;
	r->rate = (work - r->work) / ms * 1000;
	r->looked = now;
	r->work = work;
	r->eager = r->eager && r->rate >= r->best + r->best / 10;
	if (r->rate < r->best / 2) {
		halve(r, now);
	} else if (r->allowed > r->before && now < r->grown + RAMP_TRIAL &&
		   r->rate < r->best - r->best / 5) {
		shrink(r, now, r->before);
	} else if (r->rate >= r->best + r->best / 10) {
		r->best = r->rate;
		r->before = r->allowed;
		if (now >= r->hold && r->rate)
			grow(r, now, 2 * r->allowed);
	} else if (is_tried(r)) {
		if (now >= r->grown + RAMP_TRIAL) {
			r->allowed = r->before;
			r->probe = now + RAMP_HOLD;
		}
	} else if (now >= r->hold && now >= r->probe) {
		/* The line may have changed: try one more from time to time. */
		r->probe = now + RAMP_HOLD;
		grow(r, now, r->allowed + 1);
	}
	return r->allowed;
}

void
ramp_back(struct ramp *r, uint64_t now)
{
	/* The server often refuses on several connections at once: this counts
	 * as one refusal. */
	if (now + RAMP_HOLD - RAMP_PERIOD < r->hold)
		return;
	halve(r, now);
}

/* --- Workers that move bytes. --- */

/* After this many lost contents in a row the line is dead, or the repository
 * closed: the others are not tried. */
#define LOST_IN_A_ROW 3

/* Waiting workers check this often (ms) whether time has made a job due. */
#define LOOK_MS 200

/* Under the lock: starts workers until as many run as ramp allows connections,
 * or m->least if that is more. */
static int
add_workers(struct mover *m, struct err *e)
{
	struct ramp *ramp = &m->ramp;
	struct crew *crew = &m->crew;
	unsigned wanted = ramp->allowed > m->least ? ramp->allowed : m->least;

	if (crew->count < wanted &&
	    crew_start(crew, wanted - crew->count, m->ops->work, m->ctx, e) < 0)
		return -1;
	if (crew->count < ramp->allowed)
		ramp->max = ramp->allowed = crew->count;
	return 0;
}

/* The main thread's tick: updates the number of workers, and the display. */
static int
supervise(void *mover, struct err *e)
{
	struct mover *m = mover;
	unsigned connections;
	uint64_t work;
	int rv;

	crew_lock(&m->crew);
	m->ops->count(m->ctx, &work, &connections);
	ramp_step(&m->ramp, wait_now(), work);
	rv = add_workers(m, e);
	crew_unlock(&m->crew);
	progress_connections(m->progress, connections);
	progress_tick(m->progress, wait_status_asked());
	return rv;
}

int
mover_run(struct mover *m, struct err *e)
{
	crew_lock(&m->crew);
	if (add_workers(m, e) < 0)
		crew_end(&m->crew, e);
	crew_unlock(&m->crew);
	crew_watch(&m->crew, supervise, m);
	return crew_join(&m->crew, e);
}

bool
mover_next(struct mover *m, void *job)
{
	struct crew *crew = &m->crew;
	bool found = false;

	crew_lock(crew);
	m->idle++;
	while (crew_busy(crew)) {
		bool more = crew->count - m->idle < m->ramp.allowed;

		found = m->ops->pick(m->ctx, wait_now(), more, job);
		if (found)
			break;
		crew_wait(crew, LOOK_MS);
	}
	m->idle--;
	crew_unlock(crew);
	return found;
}

void
mover_done(struct mover *m, uint64_t work)
{
	crew_lock(&m->crew);
	m->work += work;
	/* If this makes a job due, the caller will pick it. */
	if (!--m->crew.left)
		crew_changed(&m->crew);
	crew_unlock(&m->crew);
}

void
mover_failed(struct mover *m, const struct err *why, bool lost)
{
	crew_lock(&m->crew);
	m->crew.left--;
	m->lost = lost ? m->lost + 1 : 0;
	if (why->kind == ERR_STOPPED || m->lost >= LOST_IN_A_ROW)
		crew_end(&m->crew, why);
	crew_changed(&m->crew);
	crew_unlock(&m->crew);
}

uint64_t
mover_retry(struct mover *m, unsigned failed, const struct err *e)
{
	uint64_t until = wait_retry(failed, e->wait);

	if (!e->wait)
		return until;
	/* The server counts the requests of our address, not of one file. */
	if (m->not_before < until)
		m->not_before = until;
	ramp_back(&m->ramp, wait_now());
	progress_wait(m->progress, until, e->msg);
	return until;
}

/* --- The queue of downloads. --- */

/* Limits of the range of one request while several connections share a file:
 * it may be shorter than REQUEST_MIN on a slow line, but not than
 * REQUEST_LEAST. */
#define REQUEST_MAX ((uint64_t)64 << 20)
#define REQUEST_MIN ((uint64_t)8 << 20)
#define REQUEST_LEAST ((uint64_t)2 << 20)

/* A connection that receives nothing for this long (ms) loses its range to an
 * idle one. */
#define RESCUE_MS 4000

#define SPLIT_SECONDS 2

/* Small files are synced in groups: of RIPE_MAX files, of RIPE_BYTES bytes, or
 * of all that are ripe when a worker has nothing else to do. On a journaling
 * file system the first sync of a group writes the others, too. A kill loses at
 * most the ripe files and the groups that are being synced, of which there are
 * at most SETTLING_MAX. */
#define RIPE_MAX 64
#define RIPE_BYTES PARTIAL_BLOCK
#define SETTLING_MAX 2

/* Ripe files are open: they may use a sixteenth of the file descriptors. */
static unsigned
ripe_max(void)
{
	long n = sysconf(_SC_OPEN_MAX);

	if (n < 0 || n > 16 * RIPE_MAX)
		n = 16 * RIPE_MAX;
	return n < 16 ? 1 : (unsigned)n / 16;
}

void
transfer_queue_init(
    struct transfer_queue *q, const struct transfer *t, uint64_t now)
{
	*q = (struct transfer_queue){.t = t, .ripe_max = ripe_max()};
	q->ripe_end = &q->ripe;
	q->mover.ctx = q;
	q->mover.progress = t->progress;
	q->mover.ramp = ramp_make(t->jobs, now);
	crew_init(&q->mover.crew, t->count, t->jobs);
	hash_init(&q->fresh, HASH_GIT, 0);
}

bool
transfer_small(const struct transfer_file *f)
{
	return !f->hashing;
}

void
transfer_give_up(struct transfer_file *f, const struct err *why)
{
	if (f->given_up)
		return;
	f->given_up = true;
	f->why = *why;
}

/* The shortest range that is worth a request: as long as no rate is known, so
 * long that there is one for each connection; then what a connection receives
 * in half a second. */
static uint64_t
request_min(const struct ramp *ramp, uint64_t left)
{
	uint64_t min =
	    ramp->rate ? ramp->rate / ramp->allowed / 2 : left / ramp->max;

	if (min < REQUEST_LEAST)
		return REQUEST_LEAST;
	return min < REQUEST_MIN ? min : REQUEST_MIN;
}

/* The longest range of one request: no limit while each connection has a file
 * of its own, or there is only one; else a share of what the file lacks. */
static uint64_t
request_limit(const struct transfer_queue *q, const struct transfer_file *f)
{
	const struct ramp *ramp = &q->mover.ramp;
	uint64_t left, limit, min;

	if (ramp->allowed == 1 || q->begun < q->t->count ||
	    partial_in_order(f->partial))
		return UINT64_MAX;
	left = partial_size(f->partial) - partial_here(f->partial);
	limit = left / (2 * (uint64_t)ramp->allowed);
	min = request_min(ramp, left);
	if (limit < min)
		limit = min;
	if (limit > REQUEST_MAX)
		limit = REQUEST_MAX;
	return limit - limit % PARTIAL_BLOCK;
}

/* Whether only one worker may fetch the file: its address is not known yet, the
 * server ignores ranges, or it must be written in order. */
static bool
alone(const struct transfer_file *f)
{
	return f->resolving || f->whole || partial_in_order(f->partial);
}

static bool
usable(
    const struct transfer_queue *q, const struct transfer_file *f, uint64_t now)
{
	return !f->given_up && !f->hashed && now >= f->not_before &&
	       now >= q->mover.not_before && !(f->users && alone(f));
}

/* shared: also from files that other workers fetch. */
static bool
pick_range(
    struct transfer_queue *q, uint64_t now, bool shared, struct transfer_job *j)
{
	for (struct transfer_file *f = q->active; f; f = f->next) {
		if (!usable(q, f, now) || (f->users && !shared))
			continue;
		j->r = ranges_take(
		    &f->ranges, 0, request_limit(q, f), f->partial, j);
		if (!j->r)
			continue;
		j->f = f;
		return true;
	}
	return false;
}

/* Takes a stalled range, if there is one, from its holder, which notices that
 * when it wakes up. If the holder was still waiting for the first byte, this
 * server may be slow to answer: then the next rescue of the file waits longer,
 * or none of its requests would ever be answered. */
static struct range *
rescue(struct transfer_file *f, uint64_t before, struct transfer_job *j)
{
	struct range *r = ranges_stalled(&f->ranges, before);
	struct transfer_job *old;

	if (!r)
		return NULL;
	if (!r->answered)
		f->patience += f->patience + RESCUE_MS;
	old = r->holder;
	old->f = NULL;
	old->r = NULL;
	old->cancelled = true;
	f->users--;
	r->holder = j;
	r->reserved = 0;
	return r;
}

/* After how many ms without data a connection loses its range. Connections that
 * share a rate limit take turns: each waits while the others receive a buffer. */
static uint64_t
rescue_after(const struct transfer_queue *q)
{
	uint64_t all = (uint64_t)q->mover.ramp.allowed * HASHER_BUFFER;

	return RESCUE_MS + (q->t->rate ? all * 1000 / q->t->rate : 0);
}

/* All of a stalled range, for a worker with nothing else to do. */
static bool
pick_rescue(struct transfer_queue *q, uint64_t now, struct transfer_job *j)
{
	uint64_t after = rescue_after(q), limit;

	for (struct transfer_file *f = q->active; f; f = f->next) {
		if (!usable(q, f, now) || transfer_small(f))
			continue;
		limit = after + f->patience;
		j->r = rescue(f, now > limit ? now - limit : 0, j);
		if (!j->r)
			continue;
		j->f = f;
		return true;
	}
	return false;
}

/* The second half of a long range, for a worker with nothing else to do. */
static bool
pick_half(struct transfer_queue *q, uint64_t now, struct transfer_job *j)
{
	const struct ramp *ramp = &q->mover.ramp;
	/* A range that takes less than SPLIT_SECONDS is not worth a request:
	 * that costs a round trip, and what the other server has sent beyond
	 * the cut is thrown away. */
	uint64_t least = ramp->rate / ramp->allowed * SPLIT_SECONDS;

	/* A second connection does not help against a rate limit. */
	if (!ramp->rate || q->t->rate)
		return false;
	least += PARTIAL_BLOCK - least % PARTIAL_BLOCK;
	for (struct transfer_file *f = q->active; f; f = f->next) {
		if (!usable(q, f, now) || transfer_small(f))
			continue;
		j->r = ranges_split(&f->ranges, least, j);
		if (!j->r)
			continue;
		j->f = f;
		return true;
	}
	return false;
}

static bool
pick_finish(struct transfer_queue *q, struct transfer_job *j)
{
	for (struct transfer_file *f = q->active; f; f = f->next) {
		if (f->users || f->tended || !(f->hashed || f->given_up))
			continue;
		j->f = f;
		return true;
	}
	return false;
}

struct transfer_file *
transfer_harvest(struct transfer_queue *q)
{
	struct transfer_file *f = q->ripe;

	q->settling++;
	q->ripe = NULL;
	q->ripe_end = &q->ripe;
	q->ripened = 0;
	q->ripe_bytes = 0;
	return f;
}

void
transfer_ripen(struct transfer_queue *q, struct transfer_file *f)
{
	f->next = NULL;
	*q->ripe_end = f;
	q->ripe_end = &f->next;
	q->ripened++;
	q->ripe_bytes += f->content.size;
}

static bool
ripe_full(const struct transfer_queue *q)
{
	return q->ripened >= q->ripe_max || q->ripe_bytes >= RIPE_BYTES;
}

bool
transfer_pick_ripe(struct transfer_queue *q, struct transfer_job *j)
{
	if (!q->ripe || q->settling >= SETTLING_MAX)
		return false;
	j->task = TRANSFER_SETTLE;
	j->f = transfer_harvest(q);
	return true;
}

/* Whether one more content may be begun: bounds the active ones, also while all
 * of them wait for a retry or for the disk. */
static bool
may_begin(const struct transfer_queue *q, uint64_t now)
{
	unsigned n = 0;

	if (q->begun == q->t->count || now < q->mover.not_before ||
	    ripe_full(q))
		return false;
	for (const struct transfer_file *f = q->active; f; f = f->next)
		n++;
	return n < 2 * q->mover.ramp.allowed;
}

bool
transfer_pick(
    struct transfer_queue *q, uint64_t now, bool more, struct transfer_job *j)
{
	bool found;

	j->task = TRANSFER_FINISH;
	j->f = NULL;
	j->r = NULL;
	j->cancelled = false;
	if (pick_finish(q, j)) {
		j->f->users++;
		return true;
	}
	if (ripe_full(q) && transfer_pick_ripe(q, j))
		return true;
	found = more && pick_range(q, now, false, j);
	if (!found && more && may_begin(q, now)) {
		j->task = TRANSFER_BEGIN;
		j->i = q->begun++;
		return true;
	}
	/* A rescue closes the connection that loses its range, so it needs no
	 * more of them. When many stall, the rate collapses, and ramp allows
	 * few. */
	if (!found && !(more && pick_range(q, now, true, j)) &&
	    !pick_rescue(q, now, j) && !(more && pick_half(q, now, j)))
		return transfer_pick_ripe(q, j);
	j->task = TRANSFER_RANGE;
	j->r->moved = now;
	j->r->answered = false;
	j->f->users++;
	j->f->resolving = j->f->resolving || !(j->f->direct || j->f->by_xet);
	return true;
}

/* --- The queue of uploads. --- */

/* An object is given up after this many uploads that the storage forgot. */
#define RENEWALS_MAX 3

struct lfs_job *
lfs_job_make(size_t i, struct multipart *m, bool known)
{
	struct lfs_job *j = xcalloc(1, sizeof(*j));

	j->i = i;
	j->fd = -1;
	j->known = known;
	lfs_job_renew(j, m);
	return j;
}

void
lfs_job_drop_xorbs(struct lfs_job *j)
{
	struct xorb *xorb;

	while ((xorb = j->xorb)) {
		j->xorb = xorb->next;
		xetup_drop(j->xet, xorb);
	}
}

void
lfs_job_leave_xet(struct lfs_job *j)
{
	lfs_job_drop_xorbs(j);
	xetup_end(j->file);
	j->file = NULL;
	j->xet = NULL;
}

void
lfs_job_free(struct lfs_job *j)
{
	lfs_job_leave_xet(j);
	multipart_release(&j->m);
	free(j->busy);
	free(j);
}

void
lfs_job_give_up(struct lfs_job *j, const struct err *why)
{
	if (j->given_up)
		return;
	j->given_up = true;
	j->why = *why;
}

void
lfs_job_forgotten(struct lfs_job *j, const struct err *why)
{
	if (++j->renewals > RENEWALS_MAX)
		lfs_job_give_up(j, why);
	j->stale = true;
}

void
lfs_job_renew(struct lfs_job *j, struct multipart *m)
{
	multipart_release(&j->m);
	free(j->busy);
	j->m = *m;
	*m = (struct multipart){0};
	j->busy = xcalloc(j->m.count, sizeof(j->busy[0]));
	j->complete = j->stale = false;
}

void
lfs_queue_add(struct lfs_queue *q, struct lfs_job *j)
{
	struct lfs_job **end = &q->first;

	while (*end)
		end = &(*end)->next;
	*end = j;
	q->waiting++;
}

void
lfs_queue_remove(struct lfs_queue *q, struct lfs_job *j)
{
	struct lfs_job **p = &q->first;

	while (*p != j)
		p = &(*p)->next;
	*p = j->next;
	q->begun--;
}

void
lfs_queue_again(struct lfs_queue *q, struct lfs_job *j, size_t i)
{
	j->fd = -1;
	j->i = i;
	j->given_up = false;
	j->users--;
	q->begun--;
	q->waiting++;
}

/* All has arrived that its end needs, or it has to begin once more. */
static bool
is_whole(const struct lfs_job *j)
{
	if (!j->xet)
		return multipart_is_whole(&j->m);
	return j->doubted || (xetup_is_planned(j->file) && !j->xorb &&
				 xetup_state(j->file) != XETUP_WAITS);
}

static bool
pick_whole(struct lfs_queue *q, struct lfs_work *w)
{
	for (struct lfs_job *j = q->first; j; j = j->next) {
		bool begun = j->fd >= 0 || j->given_up;

		if (j->users || !begun)
			continue;
		if (j->given_up || (!j->stale && is_whole(j)))
			w->task = LFS_TASK_FINISH;
		else if (j->stale)
			w->task = LFS_TASK_RENEW;
		else
			continue;
		w->job = j;
		return true;
	}
	return false;
}

static bool
pick_in_job(struct lfs_job *j, struct lfs_work *w)
{
	for (size_t i = 0; i < j->m.count; i++)
		if (!j->m.etag[i] && !j->busy[i]) {
			*w = (struct lfs_work){LFS_TASK_PART, j, i, NULL};
			return true;
		}
	return false;
}

static bool
pick_part(struct lfs_queue *q, uint64_t now, uint64_t clock, struct lfs_work *w)
{
	for (struct lfs_job *j = q->first; j; j = j->next) {
		if (j->fd < 0 || j->given_up || j->stale || now < j->not_before)
			continue;
		if (!pick_in_job(j, w))
			continue;
		if (!multipart_lapses(&j->m, clock))
			return true;
		j->stale = true;
	}
	return false;
}

/* Its xorbs may be sent, and found. */
static bool
by_xet(const struct lfs_job *j)
{
	return j->file && !j->given_up && !j->stale && !j->doubted;
}

static struct xorb *
next_xorb(const struct lfs_job *j)
{
	struct xorb *xorb = j->xorb;

	while (xorb && xorb->busy)
		xorb = xorb->next;
	return xorb;
}

/* packed: only one that is packed. */
static bool
pick_xorb(struct lfs_queue *q, uint64_t now, bool packed, struct lfs_work *w)
{
	for (struct lfs_job *j = q->first; j; j = j->next) {
		struct xorb *xorb =
		    by_xet(j) && now >= j->not_before ? next_xorb(j) : NULL;

		if (!xorb ||
		    (xetup_is_packed(xorb) ? q->packing >= q->packing_max
					   : packed))
			continue;
		*w = (struct lfs_work){LFS_TASK_XORB, j, 0, xorb};
		return true;
	}
	return false;
}

/* A file is read on while it has no xorb that waits for a connection. */
static bool
pick_plan(struct lfs_queue *q, struct lfs_work *w)
{
	for (struct lfs_job *j = q->first; j; j = j->next) {
		if (!by_xet(j) || j->planning || next_xorb(j) ||
		    xetup_is_planned(j->file))
			continue;
		*w = (struct lfs_work){LFS_TASK_PLAN, j, 0, NULL};
		return true;
	}
	return false;
}

static bool
pick_begin(struct lfs_queue *q, struct lfs_work *w)
{
	if (q->begun >= q->open_max)
		return false;
	for (struct lfs_job *j = q->first; j; j = j->next)
		if (j->fd < 0 && !j->users && !j->given_up) {
			*w = (struct lfs_work){LFS_TASK_BEGIN, j, 0, NULL};
			return true;
		}
	return false;
}

static bool
pick_ask(struct lfs_queue *q, struct lfs_work *w)
{
	if (q->asking || q->waiting || q->asked == q->n)
		return false;
	q->asking = true;
	*w = (struct lfs_work){LFS_TASK_ASK, NULL, 0, NULL};
	return true;
}

/* A worker has the task from now on. */
static void
take(struct lfs_queue *q, struct lfs_work *w)
{
	w->job->users++;
	q->sending += w->task == LFS_TASK_PART || w->task == LFS_TASK_XORB;
	if (w->task == LFS_TASK_PART) {
		w->job->busy[w->part] = true;
	} else if (w->task == LFS_TASK_XORB) {
		w->xorb->busy = true;
		q->packing += xetup_is_packed(w->xorb);
	} else if (w->task == LFS_TASK_PLAN) {
		w->job->planning = true;
	}
}

bool
lfs_queue_next(struct lfs_queue *q, uint64_t now, uint64_t not_before,
    uint64_t clock, struct lfs_work *w)
{
	*w = (struct lfs_work){.job = NULL};
	/* The last again: looking for parts finds those that have lapsed. */
	if (!pick_whole(q, w) && !pick_ask(q, w) &&
	    !(now >= not_before && pick_part(q, now, clock, w)) &&
	    !(now >= not_before && pick_xorb(q, now, false, w)) &&
	    !pick_plan(q, w) && !pick_begin(q, w) && !pick_whole(q, w))
		return false;
	if (w->job)
		take(q, w);
	return true;
}

bool
lfs_queue_beyond(
    struct lfs_queue *q, uint64_t now, uint64_t not_before, struct lfs_work *w)
{
	*w = (struct lfs_work){.job = NULL};
	if (!(now >= not_before && pick_xorb(q, now, true, w)) &&
	    !pick_plan(q, w))
		return false;
	take(q, w);
	return true;
}
