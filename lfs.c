/*
 * lfs: workers that take parts from one queue.
 *
 * An object becomes a job when the Hub, or the journal, has said where its
 * bytes go. A job is begun when a worker opens its file; from then on any number
 * of workers sends its parts. What concerns the job as a whole (begin, renew,
 * finish) is done by one worker while nobody else is at it. One lock guards it
 * all; it is held for moments only, never over I/O.
 */

#include "lfs.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "crew.h"
#include "err.h"
#include "file.h"
#include "journal.h"
#include "lfs_call.h"
#include "mem.h"
#include "multipart.h"
#include "progress.h"
#include "repo.h"
#include "wait.h"

/* So many bytes are asked for at once: addresses lapse, and take memory. */
#define GROUP_BYTES ((uint64_t)4 << 30)

/* A connection more is worth its while from so many bytes on. */
#define WORKER_BYTES ((uint64_t)1 << 20)

/* Waits between tries: full jitter below these. */
#define BACKOFF_BASE 500
#define BACKOFF_CAP 30000

/* A signed address is renewed this long before it lapses, in seconds. */
#define RENEW_BEFORE 60

/* Uploads that turn out to be no more so often are given up. */
#define RENEWALS_MAX 3

/* So many objects given up in a row, without a part between them: the line is
 * dead, and the rest need not be tried. */
#define LOST_MAX 3

#define QUESTION_MAX ((size_t)64 << 10)

#define NONE SIZE_MAX

/* All fields are guarded by the crew's lock, but those that only one worker can
 * be at: fd while nobody sends, m while it is renewed. */
struct job {
	struct job *next;
	size_t i; /* its object, or a later one of the same content */
	struct multipart m;
	bool *busy; /* for each part: it is being sent */
	int fd;     /* -1: not begun */
	unsigned shown;
	unsigned users;      /* workers at it */
	unsigned failed;     /* tries in a row without a part */
	uint64_t failed_at;  /* when that was counted last (ms) */
	unsigned renewals;   /* times that the storage forgot it */
	uint64_t not_before; /* no try before (ms) */
	bool known;          /* the journal has it */
	bool stale;          /* its addresses must be renewed */
	bool complete;       /* the storage has put the parts together */
	bool given_up;       /* why says why */
	struct err why;
};

struct run {
	const struct lfs *l;
	const struct lfs_object *object;
	size_t n;
	size_t *same;     /* the next object of the same content; NONE */
	bool *copy;       /* not the first of its content */
	struct crew crew; /* left: contents that are not settled */
	pthread_mutex_t telling;
	struct job *jobs;
	size_t asked;        /* objects before that one are jobs, or settled */
	bool asking;         /* a worker is at the next question */
	unsigned waiting;    /* jobs that are not begun */
	unsigned begun;      /* jobs that are */
	unsigned sending;    /* connections in use */
	unsigned lost;       /* objects given up in a row for the network */
	uint64_t not_before; /* the server asked all to wait (ms) */
};

enum task { TASK_ASK, TASK_BEGIN, TASK_PART, TASK_RENEW, TASK_FINISH };

struct work {
	enum task task;
	struct job *j;
	size_t part;
};

static void
give_up(struct job *j, const struct err *why)
{
	if (j->given_up)
		return;
	j->given_up = true;
	j->why = *why;
}

static bool
lapsed(const struct run *run, const struct multipart *m)
{
	return m->expires &&
	       client_time(run->l->repo->client) + RENEW_BEFORE >= m->expires;
}

static const struct digest *
digest_of(const struct run *run, const struct job *j)
{
	return &run->object[j->i].digest;
}

/* --- What becomes of objects. --- */

/* All objects of that content, from i on. */
static void
tell_stored(struct run *run, size_t i)
{
	const struct lfs *l = run->l;

	if (l->journal)
		journal_put_stored(
		    l->journal, &run->object[i].digest, run->object[i].size);
	pthread_mutex_lock(&run->telling);
	for (; i != NONE; i = run->same[i])
		l->ops->stored(l->ctx, i);
	pthread_mutex_unlock(&run->telling);
}

static void
tell_failed(struct run *run, size_t i, const struct err *why)
{
	const struct lfs *l = run->l;

	pthread_mutex_lock(&run->telling);
	l->ops->failed(l->ctx, i, why);
	pthread_mutex_unlock(&run->telling);
}

static void
settled(struct run *run)
{
	crew_lock(&run->crew);
	run->crew.left--;
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

/* The Hub has the content already. */
static void
object_kept(struct run *run, size_t i)
{
	const struct lfs_object *o = &run->object[i];
	unsigned shown =
	    progress_start(run->l->progress, o->name, o->size, o->size);

	progress_finish(run->l->progress, shown, PROGRESS_KEPT, NULL);
	tell_stored(run, i);
	settled(run);
}

static void
object_failed(struct run *run, size_t i, const struct err *why)
{
	for (size_t k = i; k != NONE; k = run->same[k])
		tell_failed(run, k, why);
	crew_lock(&run->crew);
	if (why->kind == ERR_STOPPED || why->kind == ERR_AUTH ||
	    (why->kind == ERR_NET && ++run->lost >= LOST_MAX))
		crew_end(&run->crew, why);
	crew_unlock(&run->crew);
	settled(run);
}

/* Without a display line so far. */
static void
object_refused(struct run *run, size_t i, const struct err *why)
{
	const struct lfs_object *o = &run->object[i];
	unsigned shown = progress_start(run->l->progress, o->name, o->size, 0);

	progress_finish(run->l->progress, shown, PROGRESS_FAILED, why->msg);
	object_failed(run, i, why);
}

/* --- Questions to the Hub. --- */

static void
rewrite(const struct repo *r, char **url)
{
	if (*url)
		*url = repo_rewrite(r, *url);
}

/* Takes over what an answer says. */
static struct multipart
adopt(struct run *run, struct multipart *from)
{
	struct multipart m = *from;

	*from = (struct multipart){0};
	rewrite(run->l->repo, &m.complete);
	rewrite(run->l->repo, &m.verify);
	for (size_t i = 0; i < m.count; i++)
		rewrite(run->l->repo, &m.url[i]);
	multipart_find_expiry(&m);
	/* A clock that is ahead makes every address look lapsed. */
	if (lapsed(run, &m))
		m.expires = 0;
	return m;
}

static void
add_job(struct run *run, size_t i, struct multipart m, bool known)
{
	struct job *j = xcalloc(1, sizeof(*j)), **end;

	j->i = i;
	j->m = m;
	j->busy = xcalloc(m.count, sizeof(j->busy[0]));
	j->fd = -1;
	j->known = known;
	crew_lock(&run->crew);
	for (end = &run->jobs; *end;)
		end = &(*end)->next;
	*end = j;
	run->waiting++;
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

/* A question, and the objects that are still without an answer. */
struct group {
	struct run *run;
	size_t i[LFS_BATCH_MAX];
	size_t n;
	uint64_t bytes;
	struct buf question;
};

/* Its place in the group; NONE. */
static size_t
group_find(const struct group *g, const struct digest *d)
{
	for (size_t k = 0; k < g->n; k++)
		if (digest_same(&g->run->object[g->i[k]].digest, d))
			return k;
	return NONE;
}

static uint64_t
group_size_of(void *ctx, const struct digest *d)
{
	const struct group *g = ctx;
	size_t k = group_find(g, d);

	return k == NONE ? 0 : g->run->object[g->i[k]].size;
}

static void
group_each(void *ctx, struct lfs_answer *a)
{
	struct group *g = ctx;
	size_t k = group_find(g, &a->digest), i = g->i[k];

	g->i[k] = g->i[--g->n];
	switch (a->action) {
	case LFS_STORED:
		object_kept(g->run, i);
		break;
	case LFS_SEND:
		add_job(g->run, i, adopt(g->run, &a->m), false);
		break;
	case LFS_ERROR:
		object_refused(g->run, i, a->why);
		break;
	}
}

/* Settles object i without a question, if the journal knows it; else it is
 * added to the group. */
static void
group_add(struct group *g, size_t i)
{
	const struct lfs_object *o = &g->run->object[i];
	struct journal *journal = g->run->l->journal;
	struct multipart m;

	if (journal && journal_stored(journal, &o->digest, o->size)) {
		object_kept(g->run, i);
		return;
	}
	if (journal &&
	    journal_take_multipart(journal, &o->digest, o->size, &m)) {
		add_job(g->run, i, m, true);
		return;
	}
	g->i[g->n++] = i;
	g->bytes += o->size;
	lfs_batch_add(&g->question, &o->digest, o->size);
}

static bool
group_has_room(const struct group *g, size_t i)
{
	uint64_t size = g->run->object[i].size;

	return !g->n || (g->n < LFS_BATCH_MAX && g->bytes < GROUP_BYTES &&
			    size < GROUP_BYTES - g->bytes);
}

/* Only one worker at a time is here, so asked is its own. */
static size_t
group_fill(struct group *g, size_t i)
{
	const struct run *run = g->run;

	lfs_batch_begin(&g->question, run->l->revision);
	for (; i < run->n; i++) {
		if (run->copy[i])
			continue;
		if (!group_has_room(g, i))
			break;
		group_add(g, i);
	}
	lfs_batch_end(&g->question);
	return i;
}

static void
unanswered(struct group *g)
{
	struct err e;

	err_set(&e, ERR_CONTENT, "the Hub's answer says nothing of it");
	while (g->n)
		object_refused(g->run, g->i[--g->n], &e);
}

static void
do_ask(struct run *run)
{
	static const struct lfs_batch_ops ops = {group_size_of, group_each};
	struct group g = {.run = run, .question = buf_make(QUESTION_MAX)};
	size_t asked = group_fill(&g, run->asked);
	struct err e;
	int rv = 0;

	if (g.n)
		rv = lfs_call_batch(
		    run->l->repo, run->l->revision, &g.question, &ops, &g, &e);
	if (rv == 0)
		unanswered(&g);
	buf_release(&g.question);
	crew_lock(&run->crew);
	if (rv < 0)
		crew_end(&run->crew, &e);
	run->asked = asked;
	run->asking = false;
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

/* The answer for one object. */
struct single {
	const struct lfs_object *object;
	bool answered;
	enum lfs_action action;
	struct multipart m;
	struct err why;
};

static uint64_t
single_size_of(void *ctx, const struct digest *d)
{
	const struct single *s = ctx;

	return !s->answered && digest_same(&s->object->digest, d)
		   ? s->object->size
		   : 0;
}

static void
single_each(void *ctx, struct lfs_answer *a)
{
	struct single *s = ctx;

	s->answered = true;
	s->action = a->action;
	s->m = a->m;
	a->m = (struct multipart){0};
	if (a->action == LFS_ERROR)
		s->why = *a->why;
}

/* What is to be done with one object now. Fails for LFS_ERROR, too. */
static int
ask_one(struct run *run, size_t i, struct single *s, struct err *e)
{
	static const struct lfs_batch_ops ops = {single_size_of, single_each};
	struct buf question = buf_make(QUESTION_MAX);
	int rv;

	*s = (struct single){.object = &run->object[i]};
	lfs_batch_begin(&question, run->l->revision);
	lfs_batch_add(&question, &s->object->digest, s->object->size);
	lfs_batch_end(&question);
	rv = lfs_call_batch(
	    run->l->repo, run->l->revision, &question, &ops, s, e);
	buf_release(&question);
	if (rv < 0)
		return -1;
	if (!s->answered)
		return err_set(
		    e, ERR_CONTENT, "the Hub's answer says nothing of it");
	if (s->action == LFS_ERROR)
		*e = s->why;
	return s->action == LFS_ERROR ? -1 : 0;
}

/* --- The beginning and the end of a job. --- */

/* A hash is only worth something for the file that was hashed. */
static int
check_file(const struct lfs_object *o, int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, ERR_FILE, "cannot look at '%s'", o->name);
	if ((uint64_t)st.st_size == o->size && st.st_mtime == o->mtime_s &&
	    st.st_mtim.tv_nsec == o->mtime_ns &&
	    (uint64_t)st.st_ino == o->inode)
		return 0;
	err_set(e, ERR_CONTENT, "it was changed after it was hashed");
	return err_hint(e, "run the same command again when it is complete");
}

/* Its descriptor, or -1. */
static int
open_file(struct run *run, const struct job *j, struct err *e)
{
	int fd = run->l->ops->open(run->l->ctx, j->i, e);

	if (fd < 0)
		return -1;
	if (check_file(&run->object[j->i], fd, e) == 0)
		return fd;
	close(fd);
	return -1;
}

/* A job that cannot be begun is shown, too. */
static void
do_begin(struct run *run, struct job *j)
{
	const struct lfs_object *o = &run->object[j->i];
	struct err e;
	int fd = open_file(run, j, &e);

	j->shown = progress_start(
	    run->l->progress, o->name, o->size, multipart_arrived(&j->m));
	if (fd >= 0 && run->l->journal && j->m.complete && !j->known)
		journal_put_multipart(run->l->journal, &o->digest, &j->m);
	crew_lock(&run->crew);
	j->known = true;
	j->users--;
	run->waiting--;
	run->begun++;
	j->fd = fd;
	if (fd < 0)
		give_up(j, &e);
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

static void
job_free(struct job *j)
{
	if (j->fd >= 0)
		close(j->fd);
	multipart_release(&j->m);
	free(j->busy);
	free(j);
}

/* It is no longer among the jobs. */
static void
retire(struct run *run, struct job *j)
{
	crew_lock(&run->crew);
	for (struct job **p = &run->jobs; *p; p = &(*p)->next)
		if (*p == j) {
			*p = j->next;
			break;
		}
	run->begun--;
	crew_unlock(&run->crew);
}

static void
job_stored(struct run *run, struct job *j)
{
	size_t i = j->i;

	progress_finish(run->l->progress, j->shown, PROGRESS_DONE, NULL);
	retire(run, j);
	job_free(j);
	tell_stored(run, i);
	settled(run);
}

/* Another file may have the same content, and be as it was. */
static bool
try_copy(struct run *run, struct job *j)
{
	size_t i = j->i;

	if ((j->why.kind != ERR_CONTENT && j->why.kind != ERR_FILE) ||
	    run->same[i] == NONE)
		return false;
	tell_failed(run, i, &j->why);
	if (j->fd >= 0)
		close(j->fd);
	crew_lock(&run->crew);
	j->fd = -1;
	j->i = run->same[i];
	j->given_up = false;
	j->users--;
	run->begun--;
	run->waiting++;
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
	return true;
}

static void
job_failed(struct run *run, struct job *j)
{
	struct err why = j->why;
	size_t i = j->i;

	progress_finish(run->l->progress, j->shown, PROGRESS_FAILED, why.msg);
	if (try_copy(run, j))
		return;
	retire(run, j);
	job_free(j);
	object_failed(run, i, &why);
}

/* Done with it for now. */
static void
leave(struct run *run, struct job *j)
{
	crew_lock(&run->crew);
	j->users--;
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

/* Under the lock: the storage, or the Hub, knows nothing of the upload. */
static void
forgotten(struct job *j, const struct err *why)
{
	if (++j->renewals > RENEWALS_MAX)
		give_up(j, why);
	j->stale = true;
}

/* What an answer that concerns the whole job means for it. */
static void
job_troubled(
    struct run *run, struct job *j, enum lfs_verdict v, const struct err *why)
{
	crew_lock(&run->crew);
	if (v == LFS_RENEW)
		forgotten(j, why);
	else
		give_up(j, why);
	crew_unlock(&run->crew);
}

/* What has arrived counts on if the upload is the same, else for nothing. */
static void
take_renewed(struct run *run, struct job *j, struct multipart m)
{
	bool same = multipart_same_upload(&j->m, &m);
	bool *busy = xcalloc(m.count, sizeof(busy[0]));

	if (same)
		for (size_t i = 0; i < m.count; i++) {
			m.etag[i] = j->m.etag[i];
			j->m.etag[i] = NULL;
		}
	else
		progress_lost(
		    run->l->progress, j->shown, multipart_arrived(&j->m));
	if (run->l->journal && m.complete)
		journal_put_multipart(run->l->journal, digest_of(run, j), &m);
	crew_lock(&run->crew);
	multipart_release(&j->m);
	free(j->busy);
	j->m = m;
	j->busy = busy;
	j->complete = false;
	j->stale = false;
	crew_unlock(&run->crew);
}

static void
do_renew(struct run *run, struct job *j)
{
	struct single s;
	struct err e;

	if (ask_one(run, j->i, &s, &e) < 0) {
		job_troubled(run, j, LFS_REFUSED, &e);
	} else if (s.action == LFS_STORED) {
		if (run->l->journal)
			journal_drop_multipart(
			    run->l->journal, digest_of(run, j));
		job_stored(run, j);
		return;
	} else {
		take_renewed(run, j, adopt(run, &s.m));
	}
	leave(run, j);
}

/* After a completion that may have gone through. */
static int
look_whether_stored(struct run *run, struct job *j, struct err *e)
{
	struct err why = *e, other;
	struct single s;

	if (ask_one(run, j->i, &s, &other) < 0 || s.action != LFS_STORED) {
		multipart_release(&s.m);
		*e = why;
		return -1;
	}
	return 0;
}

/* All parts are there. Returns 0 if the content is stored. */
static int
complete(struct run *run, struct job *j, struct err *e)
{
	const struct digest *d = digest_of(run, j);
	enum lfs_verdict v;

	if (!j->m.complete || j->complete)
		return 0;
	v = lfs_call_complete(run->l->repo, &j->m, d, e);
	/* The journal keeps the parts: a later run may complete them. */
	if (v == LFS_AGAIN && look_whether_stored(run, j, e) == 0)
		v = LFS_ARRIVED;
	if (v != LFS_ARRIVED) {
		job_troubled(run, j, v, e);
		return -1;
	}
	if (run->l->journal)
		journal_drop_multipart(run->l->journal, d);
	/* Only this thread reads it, but compilers read what lies beside it in
	 * one go, and that is for all. */
	crew_lock(&run->crew);
	j->complete = true;
	crew_unlock(&run->crew);
	return 0;
}

static int
verify(struct run *run, struct job *j, struct err *e)
{
	enum lfs_verdict v = LFS_ARRIVED;

	if (j->m.verify)
		v = lfs_call_verify(run->l->repo, &j->m, digest_of(run, j), e);
	if (v != LFS_ARRIVED)
		job_troubled(run, j, v, e);
	return v == LFS_ARRIVED ? 0 : -1;
}

static void
do_finish(struct run *run, struct job *j)
{
	struct err e;

	if (j->given_up)
		job_failed(run, j);
	else if (complete(run, j, &e) == 0 && verify(run, j, &e) == 0)
		job_stored(run, j);
	else
		leave(run, j);
}

/* --- One part. --- */

struct sending {
	struct run *run;
	struct job *j;
	uint64_t first, length;
	uint64_t shown; /* bytes of this try that the display has */
};

/* Whether it makes sense to send on. */
static int
wanted(struct sending *s, struct err *e)
{
	bool useless;

	crew_lock(&s->run->crew);
	useless = s->run->crew.over || s->j->given_up || s->j->stale;
	crew_unlock(&s->run->crew);
	return useless ? err_set(e, ERR_NET, "it is sent no further") : 0;
}

static void
unshow(struct sending *s)
{
	if (s->shown)
		progress_lost(s->run->l->progress, s->j->shown, s->shown);
	s->shown = 0;
}

/* Fewer bytes than there were: the file has changed, whatever read() says. */
static int
read_file(struct sending *s, uint64_t offset, void *p, size_t n, struct err *e)
{
	const struct lfs_object *o = &s->run->object[s->j->i];
	struct err changed;

	if (file_pread(s->j->fd, p, n, s->first + offset, o->name, e) == 0)
		return 0;
	if (check_file(o, s->j->fd, &changed) < 0)
		*e = changed;
	return -1;
}

/* The last bytes are only given away if the file is still what it was: a part
 * of something else never arrives. */
static int
body_read(
    void *ctx, uint64_t offset, void *p, size_t cap, size_t *n, struct err *e)
{
	struct sending *s = ctx;
	const struct lfs_object *o = &s->run->object[s->j->i];

	if (!offset)
		unshow(s);
	*n = s->length - offset < cap ? (size_t)(s->length - offset) : cap;
	if (wanted(s, e) < 0 || read_file(s, offset, p, *n, e) < 0)
		return -1;
	if (offset + *n == s->length && check_file(o, s->j->fd, e) < 0)
		return -1;
	s->shown += *n;
	progress_add(s->run->l->progress, s->j->shown, *n);
	return 0;
}

/* Under the lock. */
static void
back_off(struct run *run, struct job *j, const struct err *e)
{
	uint64_t now = wait_now();

	j->not_before =
	    now + wait_backoff(j->failed ? j->failed - 1 : 0, BACKOFF_BASE,
		      BACKOFF_CAP, e->wait, wait_random());
	if (!e->wait)
		return;
	run->not_before = j->not_before;
	progress_note(run->l->progress, "the server asks to wait %u s: %s",
	    e->wait, e->msg);
}

/* Under the lock: parts that fail together count as one failure. */
static void
part_failed(struct run *run, struct job *j, enum lfs_verdict v, uint64_t began,
    const struct err *e)
{
	if (e->kind == ERR_STOPPED || e->kind == ERR_AUTH) {
		crew_end(&run->crew, e);
		return;
	}
	if (run->crew.over || j->given_up || j->stale)
		return;
	if (v == LFS_RENEW) {
		forgotten(j, e);
		return;
	}
	if (v == LFS_REFUSED) {
		give_up(j, e);
		return;
	}
	if (began >= j->failed_at) {
		j->failed++;
		j->failed_at = wait_now() + 1;
	}
	if (j->failed > run->l->retries)
		give_up(j, e);
	else
		back_off(run, j, e);
}

/* Under the lock. */
static void
part_arrived(struct run *run, struct job *j, size_t part, char *etag)
{
	j->m.etag[part] = etag;
	j->failed = 0;
	run->lost = 0;
}

static enum lfs_verdict
send_part(struct sending *s, const char *url, char **etag, struct err *e)
{
	struct lfs_body body = {s->length, body_read, s};
	enum lfs_verdict v = lfs_call_put(s->run->l->repo, url, &body, etag, e);

	if (v == LFS_ARRIVED && s->shown < s->length) {
		free(*etag);
		*etag = NULL;
		err_set(e, ERR_NET, "the storage did not wait for all of it");
		return LFS_AGAIN;
	}
	if (v != LFS_ARRIVED || *etag)
		return v;
	if (!s->j->m.complete) {
		*etag = xstrdup("");
		return v;
	}
	err_set(e, ERR_REFUSED, "the storage gave no ETag for a part");
	return LFS_REFUSED;
}

/* m is not replaced while somebody is at the job. */
static void
do_part(struct run *run, struct job *j, size_t part)
{
	struct sending s = {.run = run,
	    .j = j,
	    .first = multipart_first(&j->m, part),
	    .length = multipart_length(&j->m, part)};
	uint64_t began = wait_now();
	char *etag = NULL;
	struct err e;
	enum lfs_verdict v = send_part(&s, j->m.url[part], &etag, &e);

	if (v != LFS_ARRIVED)
		unshow(&s);
	else if (run->l->journal && j->m.complete)
		journal_put_part(
		    run->l->journal, digest_of(run, j), part, etag);
	crew_lock(&run->crew);
	if (v == LFS_ARRIVED)
		part_arrived(run, j, part, etag);
	else
		part_failed(run, j, v, began, &e);
	j->busy[part] = false;
	j->users--;
	run->sending--;
	crew_changed(&run->crew);
	crew_unlock(&run->crew);
}

/* --- What there is to do: all under the lock. --- */

static bool
pick_whole(struct run *run, struct work *w)
{
	for (struct job *j = run->jobs; j; j = j->next) {
		bool begun = j->fd >= 0 || j->given_up;

		if (j->users || !begun)
			continue;
		if (j->given_up || (!j->stale && multipart_is_whole(&j->m)))
			w->task = TASK_FINISH;
		else if (j->stale)
			w->task = TASK_RENEW;
		else
			continue;
		w->j = j;
		return true;
	}
	return false;
}

static bool
pick_in_job(struct job *j, struct work *w)
{
	for (size_t i = 0; i < j->m.count; i++)
		if (!j->m.etag[i] && !j->busy[i]) {
			*w = (struct work){TASK_PART, j, i};
			return true;
		}
	return false;
}

static bool
pick_part(struct run *run, uint64_t now, struct work *w)
{
	for (struct job *j = run->jobs; j; j = j->next) {
		if (j->fd < 0 || j->given_up || j->stale ||
		    now < j->not_before || now < run->not_before)
			continue;
		if (!pick_in_job(j, w))
			continue;
		if (!lapsed(run, &j->m))
			return true;
		j->stale = true;
	}
	return false;
}

/* As many files are open as there are workers. */
static bool
pick_begin(struct run *run, struct work *w)
{
	if (run->begun >= run->l->jobs)
		return false;
	for (struct job *j = run->jobs; j; j = j->next)
		if (j->fd < 0 && !j->users && !j->given_up) {
			*w = (struct work){TASK_BEGIN, j, 0};
			return true;
		}
	return false;
}

static bool
pick_ask(struct run *run, struct work *w)
{
	if (run->asking || run->waiting || run->asked == run->n)
		return false;
	run->asking = true;
	*w = (struct work){TASK_ASK, NULL, 0};
	return true;
}

static bool
pick(struct run *run, struct work *w)
{
	if (!pick_whole(run, w) && !pick_ask(run, w) &&
	    !pick_part(run, wait_now(), w) && !pick_begin(run, w) &&
	    !pick_whole(run, w))
		return false;
	if (!w->j)
		return true;
	w->j->users++;
	if (w->task == TASK_PART) {
		w->j->busy[w->part] = true;
		run->sending++;
	}
	return true;
}

/* --- The threads. --- */

static void
do_work(struct run *run, const struct work *w)
{
	switch (w->task) {
	case TASK_ASK:
		do_ask(run);
		break;
	case TASK_BEGIN:
		do_begin(run, w->j);
		break;
	case TASK_PART:
		do_part(run, w->j, w->part);
		break;
	case TASK_RENEW:
		do_renew(run, w->j);
		break;
	case TASK_FINISH:
		do_finish(run, w->j);
		break;
	}
}

static void *
work(void *arg)
{
	struct run *run = arg;

	crew_lock(&run->crew);
	while (crew_busy(&run->crew)) {
		struct work w = {.j = NULL};

		if (!pick(run, &w)) {
			crew_wait(&run->crew, 200);
			continue;
		}
		crew_unlock(&run->crew);
		do_work(run, &w);
		crew_lock(&run->crew);
	}
	crew_unlock(&run->crew);
	return NULL;
}

/* As many as are allowed, and of use for so many bytes. */
static unsigned
workers(const struct run *run, uint64_t bytes)
{
	uint64_t useful = run->crew.left + bytes / WORKER_BYTES;

	return useful < run->l->jobs ? (unsigned)useful : run->l->jobs;
}

static int
show(void *ctx, struct err *e)
{
	struct run *run = ctx;
	struct progress *progress = run->l->progress;
	unsigned n;

	(void)e;
	crew_lock(&run->crew);
	n = run->sending;
	crew_unlock(&run->crew);
	progress_connections(progress, n);
	progress_tick(progress, wait_status_asked());
	return 0;
}

/* --- The same content twice. --- */

struct name {
	const struct digest *digest;
	size_t i;
};

static int
compare(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int c = memcmp(x->digest->b, y->digest->b, sizeof(x->digest->b));

	return c ? c : (x->i > y->i) - (x->i < y->i);
}

/* Chains objects of the same content, in the caller's order. Counts contents in
 * left, and returns their bytes. */
static uint64_t
find_copies(struct run *run)
{
	struct name *name = xcalloc(run->n, sizeof(name[0]));
	uint64_t bytes = 0;

	for (size_t i = 0; i < run->n; i++)
		name[i] = (struct name){&run->object[i].digest, i};
	qsort(name, run->n, sizeof(name[0]), compare);
	for (size_t i = 0; i < run->n; i++) {
		bool last = i + 1 == run->n ||
			    !digest_same(name[i].digest, name[i + 1].digest);

		run->same[name[i].i] = last ? NONE : name[i + 1].i;
		if (!last)
			run->copy[name[i + 1].i] = true;
	}
	for (size_t i = 0; i < run->n; i++)
		if (!run->copy[i]) {
			run->crew.left++;
			bytes += run->object[i].size;
		}
	free(name);
	return bytes;
}

static void
run_release(struct run *run)
{
	while (run->jobs) {
		struct job *j = run->jobs;

		run->jobs = j->next;
		job_free(j);
	}
	crew_release(&run->crew);
	pthread_mutex_destroy(&run->telling);
	free(run->same);
	free(run->copy);
}

int
lfs_send(const struct lfs *l, const struct lfs_object *object, size_t n,
    struct err *e)
{
	struct run run = {.l = l, .object = object, .n = n};
	uint64_t bytes;
	int rv;

	if (!n)
		return 0;
	run.same = xcalloc(n, sizeof(run.same[0]));
	run.copy = xcalloc(n, sizeof(run.copy[0]));
	crew_init(&run.crew, 0, l->jobs);
	pthread_mutex_init(&run.telling, NULL);
	bytes = find_copies(&run);
	progress_phase(l->progress, "sending", run.crew.left, bytes);
	rv = crew_start(&run.crew, workers(&run, bytes), work, &run, e);
	if (rv == 0) {
		crew_watch(&run.crew, show, &run);
		rv = crew_join(&run.crew, e);
	}
	run_release(&run);
	return rv;
}
