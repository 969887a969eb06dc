
#include "../../lfs.c"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "str.h"
#include "tests/unit/scratch.h"
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
	j->complete = true;
	lfs_job_renew(j, &m);
	CHECK(!m.url && !j->stale && !j->busy[0] && !j->busy[1]);
	CHECK(!j->complete); /* nothing of the new one is there yet */
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

/* --- By Xet. --- */

/* Jobs whose files are of one chunk. */
struct xet {
	char root[SCRATCH_PATH];
	struct client *client;
	struct repo repo;
	struct xetup *x;
	int fd;
};

static void
xet_setup(struct xet *t)
{
	struct client_opts o = {
	    .endpoint = "http://127.0.0.1:1", .offline = true};
	struct buf path = buf_make(SCRATCH_PATH + 8);
	struct err e;

	memset(t, 0, sizeof(*t));
	scratch_make(t->root);
	buf_printf(&path, "%s/file", t->root);
	t->fd = open(buf_cstr(&path), O_RDWR | O_CREAT, 0600);
	CHECK(t->fd >= 0 && !file_write(t->fd, "0123456789", 10));
	buf_release(&path);
	t->client = client_open(&o, &e);
	t->repo = (struct repo){
	    .client = t->client, .endpoint = o.endpoint, .id = "acme/tiny"};
	t->x = xetup_open(&t->repo, "main", false, NULL);
}

static void
xet_teardown(struct xet *t, struct lfs_queue *q)
{
	drop(q);
	xetup_close(t->x);
	client_close(t->client);
	close(t->fd);
	scratch_remove(t->root);
}

/* A job as do_begin() leaves it; its file is the first size bytes. */
static struct lfs_job *
add_xet(struct xet *t, struct lfs_queue *q, size_t i, uint64_t size)
{
	const struct journal_pieces none = {.fd = -1};
	struct multipart m = {0};
	struct lfs_job *j = lfs_job_make(i, &m, true);

	j->xet = t->x;
	lfs_queue_add(q, j);
	CHECK(next(q, LFS_TASK_BEGIN, j, 0));
	begun(q, j);
	j->fd = 1000;
	j->file = xetup_begin(t->x, size, NULL, &none);
	return j;
}

/* As do_plan(); whether there is another xorb. */
static bool
planned(struct xet *t, struct lfs_job *j)
{
	struct xorb *xorb, **end = &j->xorb;
	struct buf full;
	uint64_t kept;
	struct err e;

	CHECK(!xetup_plan(j->file, t->fd, "file", &xorb, &kept, &full, &e));
	while (*end)
		end = &(*end)->next;
	*end = xorb;
	j->planning = false;
	j->users--;
	return xorb != NULL;
}

/* As do_xorb(), of one that arrived. */
static void
xorb_arrived(struct lfs_queue *q, struct lfs_job *j, struct xorb *xorb)
{
	struct buf full;

	unlist(j, xorb);
	xetup_stored(j->file, xorb, &full);
	j->users--;
	q->sending--;
}

static bool
next_is_xorb(struct lfs_queue *q, const struct lfs_job *j, struct xorb *xorb)
{
	struct lfs_work w;

	return lfs_queue_next(q, NOW, 0, CLOCK, &w) &&
	       w.task == LFS_TASK_XORB && w.job == j && w.xorb == xorb &&
	       xorb->busy;
}

/* A file is read and sent at the same time, and finished when both is done. */
static void
test_xet_way(void)
{
	struct lfs_queue q = {.open_max = 4};
	struct lfs_job *j;
	struct xorb *xorb;
	struct xet t;

	xet_setup(&t);
	j = add_xet(&t, &q, 0, 10);
	CHECK(next(&q, LFS_TASK_PLAN, j, 0));
	CHECK(nothing(&q)); /* one worker at a time reads it */
	CHECK(planned(&t, j));
	xorb = j->xorb;
	CHECK(next_is_xorb(&q, j, xorb) && q.sending == 1);
	CHECK(next(&q, LFS_TASK_PLAN, j, 0));
	CHECK(!planned(&t, j) && xetup_is_planned(j->file));
	CHECK(nothing(&q)); /* its xorb is still on the way */
	xorb_arrived(&q, j, xorb);
	CHECK(!q.sending && next(&q, LFS_TASK_FINISH, j, 0));
	CHECK(nothing(&q));
	xet_teardown(&t, &q);
}

/* Xorbs go first, in order; then files are read on, and only then others
 * begun. */
static void
test_xet_order(void)
{
	struct lfs_queue q = {.open_max = 2};
	struct xorb *first, *second = xcalloc(1, sizeof(*second));
	struct lfs_job *a, *b;
	struct lfs_work w;
	struct xet t;

	xet_setup(&t);
	a = add_xet(&t, &q, 0, 10);
	b = add(&q, 1, 1);
	CHECK(next(&q, LFS_TASK_PLAN, a, 0) && planned(&t, a));
	first = a->xorb;
	first->next = second;
	/* It may open no connection, and need not read on. */
	CHECK(!lfs_queue_beyond(&q, NOW, 0, &w));
	CHECK(next_is_xorb(&q, a, first) && next_is_xorb(&q, a, second));
	CHECK(lfs_queue_beyond(&q, NOW, 0, &w) && w.task == LFS_TASK_PLAN &&
	      w.job == a);
	CHECK(next(&q, LFS_TASK_BEGIN, b, 0) && a->users == 3);

	/* A xorb that failed waits; the file is not read on for it. */
	a->planning = first->busy = second->busy = false;
	a->not_before = NOW + 1;
	CHECK(nothing(&q));
	second->busy = first->busy = true;
	CHECK(next(&q, LFS_TASK_PLAN, a, 0));
	second->busy = false;
	a->not_before = NOW;
	CHECK(!lfs_queue_next(&q, NOW, NOW + 1, CLOCK, &w)); /* all wait */
	CHECK(next_is_xorb(&q, a, second));
	first->next = NULL;
	free(second);
	a->users = 0;
	q.begun++;
	q.waiting--;
	xet_teardown(&t, &q);
}

/* Packed xorbs are sent some at a time, also beyond the number of connections. */
static void
test_xet_packed(void)
{
	struct lfs_queue q = {.open_max = 2, .packing_max = 1};
	struct xorb *xorb;
	struct lfs_job *a, *b;
	struct lfs_work w;
	struct xet t;

	xet_setup(&t);
	a = add_xet(&t, &q, 0, 10);
	CHECK(next(&q, LFS_TASK_PLAN, a, 0) && planned(&t, a));
	xorb = a->xorb;
	a->xorb = NULL;
	a->planning = true;
	b = add_xet(&t, &q, 1, 7);
	CHECK(next(&q, LFS_TASK_PLAN, b, 0) && planned(&t, b));
	a->xorb = xorb;
	a->planning = false;
	CHECK(!lfs_queue_beyond(&q, NOW, 0, &w)); /* none is packed */
	a->xorb->scheme = b->xorb->scheme = ENTRY_LZ4;
	CHECK(!lfs_queue_beyond(&q, NOW, NOW + 1, &w)); /* all wait */
	CHECK(lfs_queue_beyond(&q, NOW, NOW, &w) && w.task == LFS_TASK_XORB &&
	      w.job == a && w.xorb == a->xorb && q.packing == 1);
	CHECK(next(&q, LFS_TASK_PLAN, a, 0));
	CHECK(nothing(&q) && !lfs_queue_beyond(&q, NOW, 0, &w));
	xorb = b->xorb;
	xorb->scheme = ENTRY_STORED;
	CHECK(!lfs_queue_beyond(&q, NOW, 0, &w));
	CHECK(next_is_xorb(&q, b, xorb) && q.packing == 1 && q.sending == 2);
	xet_teardown(&t, &q);
}

/* A file whose chunk is in the xorb of another waits for that. */
static void
test_xet_waits(void)
{
	struct lfs_queue q = {.open_max = 4};
	struct lfs_job *a, *b, *c;
	struct xorb *xorb;
	struct xet t;

	xet_setup(&t);
	a = add_xet(&t, &q, 0, 10);
	CHECK(next(&q, LFS_TASK_PLAN, a, 0) && planned(&t, a));
	xorb = a->xorb;
	CHECK(next_is_xorb(&q, a, xorb));
	a->planning = true;
	b = add_xet(&t, &q, 1, 10);
	CHECK(next(&q, LFS_TASK_PLAN, b, 0) && !planned(&t, b));
	CHECK(nothing(&q) && xetup_state(b->file) == XETUP_WAITS);
	xorb_arrived(&q, a, xorb);
	CHECK(next(&q, LFS_TASK_FINISH, b, 0));

	/* If it is lost, the file begins once more. */
	c = add_xet(&t, &q, 2, 7);
	CHECK(next(&q, LFS_TASK_PLAN, c, 0) && planned(&t, c));
	xorb = c->xorb;
	xorb->busy = true;
	c->planning = true;
	a = add_xet(&t, &q, 3, 7);
	CHECK(next(&q, LFS_TASK_PLAN, a, 0) && !planned(&t, a));
	CHECK(nothing(&q));
	c->xorb = NULL;
	xetup_drop(t.x, xorb);
	CHECK(next(&q, LFS_TASK_FINISH, a, 0));
	CHECK(xetup_state(a->file) == XETUP_LOST);
	xet_teardown(&t, &q);
}

/* What is in doubt, refused or stale is neither sent nor read on, and dealt with
 * when the last worker has left it. */
static void
test_xet_trouble(void)
{
	struct lfs_queue q = {.open_max = 4};
	struct lfs_job *j;
	struct xet t;

	xet_setup(&t);
	j = add_xet(&t, &q, 0, 10);
	CHECK(next(&q, LFS_TASK_PLAN, j, 0) && planned(&t, j));
	CHECK(next_is_xorb(&q, j, j->xorb));
	for (int i = 0; i < 3; i++) {
		j->doubted = i == 0;
		j->stale = i == 1;
		j->given_up = i == 2;
		j->users = 1;
		j->xorb->busy = false;
		CHECK_ROW(i, nothing(&q));
		j->users = 0;
		CHECK_ROW(i,
		    next(&q, i == 1 ? LFS_TASK_RENEW : LFS_TASK_FINISH, j, 0));
	}
	/* By LFS it begins with its addresses; its file stays open. */
	j->given_up = false;
	lfs_job_leave_xet(j);
	CHECK(!j->xorb && !j->file && !j->xet);
	xet_teardown(&t, &q);
}

int
main(void)
{
	test_xet_way();
	test_xet_order();
	test_xet_packed();
	test_xet_waits();
	test_xet_trouble();
	test_way();
	test_waits();
	test_lapsed();
	test_given_up();
	test_order();
	return test_end();
}
