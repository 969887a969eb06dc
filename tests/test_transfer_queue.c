#include "transfer_queue.h"

#include <string.h>

#include "partial.h"
#include "test.h"

#define NOW 100000
#define COUNT 200

/* Stands in for partial.c: nothing is here yet, of any file. */
struct partial {
	uint64_t size;
	bool in_order;
};

bool
partial_missing(struct partial *p, uint64_t from, uint64_t limit,
    uint64_t *first, uint64_t *end)
{
	*first = from;
	*end = p->size - from < limit ? p->size : from + limit;
	return from < p->size;
}

uint64_t
partial_size(const struct partial *p)
{
	return p->size;
}

uint64_t
partial_here(struct partial *p)
{
	(void)p;
	return 0;
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
	q->ramp.allowed = 4;
	return q;
}

/* As transfer_begin() leaves it; large ones have a hashing. */
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
	CHECK(transfer_pick(q, NOW, j));
	return j->task;
}

static void
test_begins_are_bounded(void)
{
	static struct transfer_file file[8];
	struct partial p = {100, false};
	struct transfer_queue q = {0};
	struct transfer_job j;

	make(&q);
	for (size_t i = 0; i < 8; i++) {
		CHECK(next(&q, &j) == TRANSFER_BEGIN && j.i == i);
		begun(&q, &file[i], &p, false);
		file[i].users = 1;
		file[i].resolving = true;
	}
	CHECK(!transfer_pick(&q, NOW, &j));
	q.not_before = NOW + 1;
	q.active = NULL;
	CHECK(!transfer_pick(&q, NOW, &j));
	CHECK(transfer_pick(&q, NOW + 1, &j) && j.i == 8);
	crew_release(&q.crew);
}

/* A file is one worker's until its address is known, then of all who have no
 * file of their own. */
static void
test_ranges_of_one_file(void)
{
	struct partial p = {(uint64_t)100 << 20, false};
	struct transfer_file f;
	struct transfer_queue q = {0};
	struct transfer_job j, other, none;
	char direct[] = "https://cdn.example/x";

	make(&q)->begun = COUNT;
	begun(&q, &f, &p, true);
	CHECK(next(&q, &j) == TRANSFER_RANGE && j.f == &f);
	CHECK(f.users == 1 && f.resolving && j.r->moved == NOW);
	CHECK(!transfer_pick(&q, NOW, &other));
	f.resolving = false;
	f.direct = direct;
	CHECK(next(&q, &other) == TRANSFER_RANGE && f.users == 2);
	CHECK(other.r->at == j.r->end);
	f.whole = true;
	CHECK(!transfer_pick(&q, NOW, &none));
	ranges_put(&f.ranges, j.r);
	ranges_put(&f.ranges, other.r);
	ranges_release(&f.ranges);
	crew_release(&q.crew);
}

static void
test_waits_and_finishes(void)
{
	struct partial p = {100, false};
	struct transfer_file f;
	struct transfer_queue q = {0};
	struct transfer_job j;
	struct err first, second;

	make(&q)->begun = COUNT;
	begun(&q, &f, &p, false);
	f.not_before = NOW + 5;
	CHECK(!transfer_pick(&q, NOW + 4, &j));
	err_set(&first, ERR_NET, "first");
	err_set(&second, ERR_NET, "second");
	transfer_give_up(&f, &first);
	transfer_give_up(&f, &second);
	CHECK(f.given_up && !strcmp(f.why.msg, "first"));
	f.users = 1;
	CHECK(!transfer_pick(&q, NOW, &j));
	f.users = 0;
	f.tended = true;
	CHECK(!transfer_pick(&q, NOW, &j));
	f.tended = false;
	CHECK(next(&q, &j) == TRANSFER_FINISH && j.f == &f && f.users == 1);
	crew_release(&q.crew);
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

/* Many at a time while there is other work, else what there is. */
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
	CHECK(!transfer_pick(&q, NOW, &j) && q.settling == 2);
	crew_release(&q.crew);
}

/* Where the disk is the slowest, no more is begun. */
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
	CHECK(!transfer_pick(&q, NOW, &j));
	q.settling--;
	CHECK(next(&q, &j) == TRANSFER_SETTLE && length(j.f) == 2);
	crew_release(&q.crew);
}

int
main(void)
{
	test_begins_are_bounded();
	test_ranges_of_one_file();
	test_waits_and_finishes();
	test_ripe_ones_wait();
	test_disk_is_behind();
	return test_end();
}
