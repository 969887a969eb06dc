#include "queue.h"

#include <string.h>

#include "partial.h"
#include "tests/unit/test.h"
#include "transfer.h"

#define NOW 100000
#define COUNT 200

/* Stands in for partial.c: the bytes before here are here. */
struct partial {
	uint64_t size;
	bool in_order;
	uint64_t here;
};

bool
partial_missing(struct partial *p, uint64_t from, uint64_t limit,
    uint64_t *first, uint64_t *end)
{
	from = from < p->here ? p->here : from;
	from += (PARTIAL_BLOCK - from % PARTIAL_BLOCK) % PARTIAL_BLOCK;
	if (from >= p->size)
		return false;
	limit -= limit % PARTIAL_BLOCK;
	*first = from;
	*end = p->size - from < limit ? p->size : from + limit;
	return true;
}

uint64_t
partial_size(const struct partial *p)
{
	return p->size;
}

uint64_t
partial_here(struct partial *p)
{
	return p->here;
}

bool
partial_in_order(const struct partial *p)
{
	return p->in_order;
}

static struct transfer transfer = {.count = COUNT, .jobs = 4};

static struct transfer_queue *
make(struct transfer_queue *q)
{
	transfer_queue_init(q, &transfer, NOW);
	q->mover.ramp.allowed = 4;
	return q;
}

/* A file as transfer_begin() leaves it; a large one has a hashing. */
static void
begun(struct transfer_queue *q, struct transfer_file *f, struct partial *p,
    bool large)
{
	memset(f, 0, sizeof(*f));
	f->q = q;
	f->partial = p;
	f->content.size = p->size;
	f->hashing = large ? (struct hashing *)p : NULL;
	f->next = q->active;
	q->active = f;
}

static enum transfer_task
next(struct transfer_queue *q, struct transfer_job *j)
{
	CHECK(transfer_pick(q, NOW, true, j));
	return j->task;
}

static void
test_begins_are_bounded(void)
{
	static struct transfer_file file[8];
	struct partial p = {100, false, 0};
	struct transfer_queue q = {0};
	struct transfer_job j;

	make(&q);
	for (size_t i = 0; i < 8; i++) {
		CHECK(next(&q, &j) == TRANSFER_BEGIN && j.i == i);
		begun(&q, &file[i], &p, false);
		file[i].users = 1;
		file[i].resolving = true;
	}
	CHECK(!transfer_pick(&q, NOW, true, &j));
	q.mover.not_before = NOW + 1;
	q.active = NULL;
	CHECK(!transfer_pick(&q, NOW, true, &j));
	CHECK(transfer_pick(&q, NOW + 1, true, &j) && j.i == 8);
	crew_release(&q.mover.crew);
}

/* One worker alone uses a file until its address is known; then workers without
 * a file of their own join. */
static void
test_ranges_of_one_file(void)
{
	struct partial p = {(uint64_t)100 << 20, false, 0};
	struct transfer_file f;
	struct transfer_queue q = {0};
	struct transfer_job j, other, none;
	char direct[] = "https://cdn.example/x";

	make(&q)->begun = COUNT;
	begun(&q, &f, &p, true);
	CHECK(next(&q, &j) == TRANSFER_RANGE && j.f == &f);
	CHECK(f.users == 1 && f.resolving && j.r->moved == NOW);
	CHECK(j.r->holder == &j && !j.r->pinned && !j.cancelled);
	CHECK(!transfer_pick(&q, NOW, true, &other));
	f.resolving = false;
	f.direct = direct;
	CHECK(next(&q, &other) == TRANSFER_RANGE && f.users == 2);
	CHECK(other.r->at == j.r->end && other.r->holder == &other);
	f.whole = true;
	CHECK(!transfer_pick(&q, NOW, true, &none));
	ranges_put(&f.ranges, j.r);
	ranges_put(&f.ranges, other.r);
	ranges_release(&f.ranges);
	crew_release(&q.mover.crew);
}

/* A large file whose only range, j's, stalls at an odd offset. */
static struct range *
stalled(struct transfer_queue *q, struct transfer_file *f, struct partial *p,
    struct transfer_job *j)
{
	static char direct[] = "https://cdn.example/x";

	make(q)->begun = COUNT;
	q->mover.ramp.allowed = 1;
	begun(q, f, p, true);
	f->direct = direct;
	CHECK(next(q, j) == TRANSFER_RANGE && j->r->end == p->size);
	p->here = 7 * PARTIAL_BLOCK;
	ranges_advance(j->r, p->here + 700001, PARTIAL_BLOCK);
	j->r->sum = 99;
	j->r->answered = true;
	q->mover.ramp.allowed = 2;
	return f->ranges.first;
}

static void
end_stalled(struct transfer_queue *q, struct transfer_file *f)
{
	ranges_release(&f->ranges);
	crew_release(&q->mover.crew);
}

/* The new holder gets the range unchanged; the old one has no range, and is
 * cancelled. */
static void
test_rescue(void)
{
	struct partial p = {(uint64_t)100 << 20, false, 0};
	struct transfer_file f;
	struct transfer_queue q = {0};
	struct transfer_job old, j, third;
	struct range *r;

	r = stalled(&q, &f, &p, &old);
	CHECK(!transfer_pick(&q, NOW + 4000, true, &j));
	CHECK(old.f == &f && old.r == r && !old.cancelled && f.users == 1);
	CHECK(transfer_pick(&q, NOW + 4001, true, &j) &&
	      j.task == TRANSFER_RANGE);
	CHECK(j.f == &f && j.r == r && r->holder == &j && f.users == 1);
	CHECK(r->at == 7 * PARTIAL_BLOCK + 700001 && r->end == p.size);
	CHECK(r->begin == 7 * PARTIAL_BLOCK && r->sum == 99);
	CHECK(r->moved == NOW + 4001 && !r->answered && f.patience == 0);
	CHECK(!old.f && !old.r && old.cancelled && !j.cancelled);
	/* The new holder has as much time as the old one had. */
	r->answered = true;
	CHECK(!transfer_pick(&q, NOW + 8001, true, &third));
	CHECK(!j.cancelled);
	CHECK(transfer_pick(&q, NOW + 8002, true, &third) && third.r == r);
	CHECK(j.cancelled && !j.f && !j.r && f.users == 1);
	/* The old holder picks its next job. */
	CHECK(!transfer_pick(&q, NOW + 8002, true, &old));
	CHECK(!old.cancelled && !old.f && !old.r);
	ranges_put(&f.ranges, r);
	end_stalled(&q, &f);
}

/* A server that needs longer than 4 s for its first byte: each rescue waits
 * twice as long as the one before, until one request is answered. */
static void
test_slow_to_answer(void)
{
	struct partial p = {(uint64_t)100 << 20, false, 0};
	struct transfer_file f;
	struct transfer_queue q = {0};
	struct transfer_job job[5];
	struct range *r;
	uint64_t now = NOW;

	r = stalled(&q, &f, &p, &job[0]);
	r->answered = false;
	for (unsigned i = 1; i < countof(job); i++) {
		uint64_t wait = (uint64_t)4000 << (i - 1);

		CHECK(!transfer_pick(&q, now + wait, true, &job[i]));
		now += wait + 1;
		CHECK(transfer_pick(&q, now, true, &job[i]) && job[i].r == r);
		CHECK(job[i - 1].cancelled && !r->answered);
	}
	ranges_put(&f.ranges, r);
	end_stalled(&q, &f);
}

/* With as many connections as ramp allows, a range that would need another one
 * is not picked. A rescue is, since the old holder's connection is closed; and
 * so is a file to be finished. */
static void
test_no_more_connections(void)
{
	struct partial p = {(uint64_t)100 << 20, false, 0};
	struct transfer_file f;
	struct transfer_queue q = {0};
	struct transfer_job old, j, finish;

	stalled(&q, &f, &p, &old);
	q.mover.ramp.rate = 1000001;
	CHECK(!transfer_pick(&q, NOW, false, &j)); /* no half */
	CHECK(transfer_pick(&q, NOW + 4001, false, &j) && j.r);
	CHECK(old.cancelled && j.f == &f && f.users == 1);
	ranges_put(&f.ranges, j.r);
	f.users = 0;
	CHECK(!transfer_pick(&q, NOW, false, &j)); /* nor one that waits */
	q.begun = 0;
	CHECK(!transfer_pick(&q, NOW, false, &j)); /* nor a new file */
	f.hashed = true;
	CHECK(transfer_pick(&q, NOW, false, &finish) && finish.f == &f);
	CHECK(finish.task == TRANSFER_FINISH);
	end_stalled(&q, &f);
}

/* A range is not rescued while it is pinned, while bytes arrive, or if the file
 * may not be shared. */
static void
test_no_rescue(void)
{
	struct partial p = {(uint64_t)100 << 20, false, 0};
	struct transfer_file f;
	struct transfer_queue q = {0};
	struct transfer_job old, j;
	struct range *r;
	uint64_t late = NOW + 60000;

	r = stalled(&q, &f, &p, &old);
	r->pinned = true;
	CHECK(!transfer_pick(&q, late, true, &j));
	r->pinned = false;
	r->moved = late - 4000;
	CHECK(!transfer_pick(&q, late, true, &j));
	r->moved = NOW;
	for (int i = 0; i < 6; i++) {
		f.resolving = i == 0;
		f.whole = i == 1;
		f.given_up = i == 2;
		f.hashed = i == 3;
		f.not_before = i == 4 ? late + 1 : 0;
		q.mover.not_before = i == 5 ? late + 1 : 0;
		CHECK_ROW(i, !transfer_pick(&q, late, true, &j));
	}
	q.mover.not_before = 0;
	p.in_order = true;
	CHECK(!transfer_pick(&q, late, true, &j));
	p.in_order = false;
	CHECK(old.f == &f && old.r == r && !old.cancelled && f.users == 1);
	CHECK(transfer_pick(&q, late, true, &j) && j.r == r && old.cancelled);
	ranges_put(&f.ranges, r);
	end_stalled(&q, &f);
}

/* Waiting ranges and missing bytes come before a rescue. With a rate limit
 * there is a rescue, too. */
static void
test_rescue_or_other(void)
{
	struct partial p = {(uint64_t)100 << 20, false, 0};
	struct transfer_file f;
	struct transfer_queue q = {0};
	struct transfer_job old, j, third;

	stalled(&q, &f, &p, &old);
	/* The end of the file has no holder. */
	old.r->end = (uint64_t)90 << 20;
	CHECK(transfer_pick(&q, NOW + 60000, true, &j) && j.r != old.r);
	CHECK(j.r->at == (uint64_t)90 << 20 && f.users == 2);
	j.r->moved = NOW + 60000;
	ranges_put(&f.ranges, j.r);
	CHECK(transfer_pick(&q, NOW + 60000, true, &third) && third.r == j.r);
	CHECK(!old.cancelled);
	transfer.rate = 1000000;
	f.users = 2;
	CHECK(transfer_pick(&q, NOW + 60000, true, &j) && j.r->at > 0);
	CHECK(old.cancelled && f.users == 2 && !third.cancelled);
	transfer.rate = 0;
	ranges_put(&f.ranges, j.r);
	ranges_put(&f.ranges, third.r);
	end_stalled(&q, &f);
}

/* Half of the rest, once the rate is known; cut at a block boundary. */
static void
test_split(void)
{
	struct partial p = {(uint64_t)100 << 20, false, 0};
	struct transfer_file f;
	struct transfer_queue q = {0};
	struct transfer_job old, j;

	stalled(&q, &f, &p, &old);
	CHECK(!transfer_pick(&q, NOW, true, &j));
	q.mover.ramp.rate = 1000001;
	transfer.rate = 1000000;
	CHECK(!transfer_pick(&q, NOW, true, &j));
	transfer.rate = 0;
	CHECK(transfer_pick(&q, NOW, true, &j) && j.task == TRANSFER_RANGE);
	CHECK(f.users == 2 && j.r->holder == &j && old.r->holder == &old);
	CHECK(j.r->begin == old.r->end && j.r->end == p.size && !j.r->sum);
	CHECK(j.r->begin % PARTIAL_BLOCK == 0 && !old.cancelled);
	ranges_put(&f.ranges, j.r);
	ranges_put(&f.ranges, old.r);
	end_stalled(&q, &f);
}

static void
test_waits_and_finishes(void)
{
	struct partial p = {100, false, 0};
	struct transfer_file f;
	struct transfer_queue q = {0};
	struct transfer_job j;
	struct err first, second;

	make(&q)->begun = COUNT;
	begun(&q, &f, &p, false);
	f.not_before = NOW + 5;
	CHECK(!transfer_pick(&q, NOW + 4, true, &j));
	err_set(&first, ERR_NET, "first");
	err_set(&second, ERR_NET, "second");
	transfer_give_up(&f, &first);
	transfer_give_up(&f, &second);
	CHECK(f.given_up && !strcmp(f.why.msg, "first"));
	f.users = 1;
	CHECK(!transfer_pick(&q, NOW, true, &j));
	f.users = 0;
	f.tended = true;
	CHECK(!transfer_pick(&q, NOW, true, &j));
	f.tended = false;
	CHECK(next(&q, &j) == TRANSFER_FINISH && j.f == &f && f.users == 1);
	crew_release(&q.mover.crew);
}

static void
ripe(struct transfer_queue *q, struct transfer_file *f, uint64_t size)
{
	memset(f, 0, sizeof(*f));
	f->content.size = size;
	transfer_ripen(q, f);
}

static size_t
length(const struct transfer_file *f)
{
	size_t n = 0;

	for (; f; f = f->next)
		n++;
	return n;
}

/* Ripe files are synced many at a time while there is other work, else at once. */
static void
test_ripe_ones_wait(void)
{
	static struct transfer_file file[COUNT];
	struct transfer_queue q = {0};
	struct transfer_job j;
	size_t n = 0;

	make(&q);
	CHECK(!transfer_harvest(&q));
	q.settling = 0;
	while (n < q.ripe_max) {
		CHECK(next(&q, &j) == TRANSFER_BEGIN);
		ripe(&q, &file[n++], 10);
	}
	CHECK(n == 64);
	CHECK(next(&q, &j) == TRANSFER_SETTLE && length(j.f) == 64);
	CHECK(j.f == &file[0] && j.f->next == &file[1]);
	CHECK(next(&q, &j) == TRANSFER_BEGIN);
	ripe(&q, &file[n], 10);
	CHECK(next(&q, &j) == TRANSFER_BEGIN);
	q.begun = COUNT;
	CHECK(next(&q, &j) == TRANSFER_SETTLE && j.f == &file[n] && !j.f->next);
	CHECK(!transfer_pick(&q, NOW, true, &j) && q.settling == 2);
	crew_release(&q.mover.crew);
}

/* While enough files are ripe, no more are begun. */
static void
test_disk_is_behind(void)
{
	static struct transfer_file file[4];
	struct transfer_queue q = {0};
	struct transfer_job j;

	make(&q);
	for (size_t i = 0; i < 2; i++) {
		ripe(&q, &file[i], PARTIAL_BLOCK);
		CHECK(next(&q, &j) == TRANSFER_SETTLE && j.f == &file[i]);
	}
	ripe(&q, &file[2], PARTIAL_BLOCK - 1);
	CHECK(next(&q, &j) == TRANSFER_BEGIN);
	ripe(&q, &file[3], 1);
	CHECK(!transfer_pick(&q, NOW, true, &j));
	q.settling--;
	CHECK(next(&q, &j) == TRANSFER_SETTLE && length(j.f) == 2);
	crew_release(&q.mover.crew);
}

int
main(void)
{
	test_begins_are_bounded();
	test_ranges_of_one_file();
	test_rescue();
	test_slow_to_answer();
	test_no_more_connections();
	test_no_rescue();
	test_rescue_or_other();
	test_split();
	test_waits_and_finishes();
	test_ripe_ones_wait();
	test_disk_is_behind();
	return test_end();
}
