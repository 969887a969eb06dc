
#include "../../lfs.c"

#include <string.h>

#include "str.h"
#include "tests/unit/test.h"

#define NOW 1000
#define CLOCK 5000

static struct lfs_job *
add(struct lfs_queue *q, size_t i, uint64_t size)
{
	struct multipart m;
	struct lfs_job *j;

	CHECK(multipart_init(&m, size, 10) == 0);
	j = lfs_job_make(i, &m, false);
	CHECK(!m.url && j->m.size == size && j->fd < 0);
	lfs_queue_add(q, j);
	return j;
}

/* A job as do_begin() leaves it. */
static void
begun(struct lfs_queue *q, struct lfs_job *j)
{
	j->fd = 1000;
	j->users--;
	q->waiting--;
	q->begun++;
}

static void
arrived(struct lfs_queue *q, struct lfs_job *j, size_t part)
{
	j->m.etag[part] = xstrdup("e");
	j->busy[part] = false;
	j->users--;
	q->sending--;
}

static void
drop(struct lfs_queue *q)
{
	while (q->first) {
		struct lfs_job *j = q->first;

		lfs_queue_remove(q, j);
		lfs_job_free(j);
	}
}

/* Whether the next task is this one, of that job and part. */
static bool
next(struct lfs_queue *q, enum lfs_task task, const struct lfs_job *j,
    size_t part)
{
	struct lfs_work w;

	return lfs_queue_next(q, NOW, 0, CLOCK, &w) && w.task == task &&
	       w.job == j && (task != LFS_TASK_PART || w.part == part);
}

static bool
nothing(struct lfs_queue *q)
{
	struct lfs_work w;

	return !lfs_queue_next(q, NOW, 0, CLOCK, &w);
}

/* An upload from its question to its end. */
static void
test_way(void)
{
	struct lfs_queue q = {.n = 2, .open_max = 4};
	struct lfs_job *j;

	CHECK(next(&q, LFS_TASK_ASK, NULL, 0));
	CHECK(nothing(&q)); /* one question at a time */
	j = add(&q, 0, 25);
	q.asked = 1;
	q.asking = false;
	CHECK(q.waiting == 1);
	CHECK(next(&q, LFS_TASK_BEGIN, j, 0));
	CHECK(nothing(&q)); /* and none while a job waits to be begun */
	begun(&q, j);
	CHECK(next(&q, LFS_TASK_ASK, NULL, 0));
	CHECK(next(&q, LFS_TASK_PART, j, 0));
	CHECK(next(&q, LFS_TASK_PART, j, 1));
	CHECK(next(&q, LFS_TASK_PART, j, 2));
	CHECK(nothing(&q) && q.sending == 3 && j->users == 3);
	arrived(&q, j, 2);
	arrived(&q, j, 0);
	CHECK(nothing(&q));
	arrived(&q, j, 1);
	CHECK(next(&q, LFS_TASK_FINISH, j, 0));
	CHECK(nothing(&q)); /* one worker alone finishes it */
	drop(&q);
	CHECK(q.begun == 0 && q.sending == 0);
}

static void
test_waits(void)
{
	struct lfs_queue q = {.open_max = 1};
	struct lfs_job *a = add(&q, 0, 10), *b = add(&q, 1, 10);
	struct lfs_work w;

	CHECK(next(&q, LFS_TASK_BEGIN, a, 0));
	begun(&q, a);
	a->not_before = NOW + 1;
	CHECK(nothing(&q)); /* b would be one file too many */
	q.open_max = 2;
	CHECK(next(&q, LFS_TASK_BEGIN, b, 0));
	begun(&q, b);
	CHECK(!lfs_queue_next(&q, NOW, NOW + 1, CLOCK, &w)); /* all wait */
	CHECK(lfs_queue_next(&q, NOW, NOW, CLOCK, &w));
	CHECK(w.task == LFS_TASK_PART && w.job == b);
	a->not_before = NOW;
	CHECK(next(&q, LFS_TASK_PART, a, 0));
	drop(&q);
}

static void
test_lapsed(void)
{
	struct lfs_queue q = {.open_max = 1};
	struct lfs_job *j = add(&q, 0, 20);
	struct multipart m;

	CHECK(next(&q, LFS_TASK_BEGIN, j, 0));
	begun(&q, j);
	j->m.expires = CLOCK + 61;
	CHECK(next(&q, LFS_TASK_PART, j, 0));
	j->m.expires = CLOCK + 60;
	CHECK(nothing(&q) && j->stale); /* not while a part is being sent */
	j->users--;
	CHECK(next(&q, LFS_TASK_RENEW, j, 0));
	CHECK(multipart_init(&m, 20, 10) == 0);
	lfs_job_renew(j, &m);
	CHECK(!m.url && !j->stale && !j->busy[0] && !j->busy[1]);
	j->users--;
	CHECK(next(&q, LFS_TASK_PART, j, 0));
	drop(&q);
}

static void
test_given_up(void)
{
	struct lfs_queue q = {.open_max = 1};
	struct lfs_job *j = add(&q, 3, 20);
	struct err first, second;

	err_set(&first, ERR_NET, "first");
	err_set(&second, ERR_FILE, "second");
	for (unsigned i = 0; i < 3; i++) {
		lfs_job_forgotten(j, &first);
		CHECK(j->stale && !j->given_up);
	}
	lfs_job_forgotten(j, &first);
	lfs_job_give_up(j, &second);
	CHECK(j->given_up && strcmp(j->why.msg, "first") == 0);
	CHECK(next(&q, LFS_TASK_FINISH, j, 0)); /* although it has no file */
	q.waiting--;
	q.begun++;
	j->stale = false;
	lfs_queue_again(&q, j, 7);
	CHECK(q.waiting == 1 && q.begun == 0 && j->i == 7 && !j->users);
	CHECK(next(&q, LFS_TASK_BEGIN, j, 0));
	drop(&q);
}

static void
test_order(void)
{
	struct lfs_queue q = {.open_max = 9};
	struct lfs_job *a = add(&q, 0, 1), *b = add(&q, 1, 1),
		       *c = add(&q, 2, 1);

	CHECK(q.first == a && a->next == b && b->next == c && !c->next);
	lfs_queue_remove(&q, b);
	lfs_job_free(b);
	CHECK(q.first == a && a->next == c);
	lfs_queue_remove(&q, a);
	lfs_job_free(a);
	CHECK(q.first == c);
	drop(&q);
}

int
main(void)
{
	test_way();
	test_waits();
	test_lapsed();
	test_given_up();
	test_order();
	return test_end();
}
