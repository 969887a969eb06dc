#include "lfs_ask.h"

#include <string.h>

#include "client.h"
#include "err.h"
#include "journal.h"
#include "lfs_call.h"
#include "lfs_object.h"
#include "repo.h"
#include "wait.h"

/* So many bytes are asked for at once: addresses lapse, and take memory. */
#define GROUP_BYTES ((uint64_t)4 << 30)

#define QUESTION_MAX ((size_t)64 << 10)

static void
rewrite(const struct repo *r, char **url)
{
	if (*url)
		*url = repo_rewrite(r, *url);
}

/* Takes over what an answer says. */
static struct multipart
adopt(const struct lfs_ask *a, struct multipart *from)
{
	struct multipart m = *from;

	*from = (struct multipart){0};
	rewrite(a->repo, &m.complete);
	rewrite(a->repo, &m.verify);
	for (size_t i = 0; i < m.count; i++)
		rewrite(a->repo, &m.url[i]);
	multipart_find_expiry(&m);
	/* A clock that is ahead makes every address look lapsed. */
	if (multipart_lapses(&m, client_time(a->repo->client)))
		m.expires = 0;
	return m;
}

static int
unanswered(struct err *e)
{
	return err_set(e, ERR_CONTENT, "the Hub's answer says nothing of it");
}

static int
wait_again(unsigned failed, struct err *e)
{
	return wait_until(wait_now() + wait_backoff(failed, LFS_BACKOFF_BASE,
					   LFS_BACKOFF_CAP, 0, wait_random()),
	    e);
}

/* --- Many. --- */

/* The objects that are still without an answer, and those that are to be asked
 * for once more. */
struct group {
	const struct lfs_ask *ask;
	size_t i[LFS_BATCH_MAX], again[LFS_BATCH_MAX];
	size_t n, again_n;
	uint64_t bytes;
	bool last; /* no object is asked for once more */
};

/* Its place in the group, or LFS_NONE. */
static size_t
group_find(const struct group *g, const struct digest *d)
{
	for (size_t k = 0; k < g->n; k++)
		if (digest_same(&g->ask->object[g->i[k]].digest, d))
			return k;
	return LFS_NONE;
}

static uint64_t
group_size_of(void *ctx, const struct digest *d)
{
	const struct group *g = ctx;
	size_t k = group_find(g, d);

	return k == LFS_NONE ? 0 : g->ask->object[g->i[k]].size;
}

/* Puts the upload that the journal knows in the place of a new one. False if
 * it knows none, or one to somewhere else. */
static bool
resume(const struct lfs_ask *a, size_t i, struct multipart *m)
{
	const struct lfs_object *o = &a->object[i];
	struct multipart old;

	if (!a->journal || !m->complete ||
	    !journal_take_multipart(a->journal, &o->digest, o->size, &old))
		return false;
	if (!multipart_same_object(&old, m)) {
		multipart_release(&old);
		return false;
	}
	multipart_release(m);
	*m = old;
	return true;
}

static void
group_each(void *ctx, struct lfs_answer *answer)
{
	struct group *g = ctx;
	const struct lfs_ask *a = g->ask;
	size_t k = group_find(g, &answer->digest), i = g->i[k];
	struct multipart m;
	bool known;

	g->i[k] = g->i[--g->n];
	switch (answer->action) {
	case LFS_STORED:
		a->ops->kept(a->ctx, i);
		break;
	case LFS_SEND:
		m = adopt(a, &answer->m);
		known = resume(a, i, &m);
		a->ops->send(a->ctx, i, &m, known);
		break;
	case LFS_ERROR:
		if (answer->why->kind == ERR_NET && !g->last)
			g->again[g->again_n++] = i;
		else
			a->ops->refused(a->ctx, i, answer->why);
		break;
	}
}

static bool
group_has_room(const struct group *g, size_t i)
{
	uint64_t size = g->ask->object[i].size;

	return !g->n || (g->n < LFS_BATCH_MAX && g->bytes < GROUP_BYTES &&
			    size < GROUP_BYTES - g->bytes);
}

static size_t
group_fill(struct group *g, size_t i)
{
	const struct lfs_ask *a = g->ask;

	for (; i < a->n; i++) {
		if (a->later[i])
			continue;
		if (!group_has_room(g, i))
			break;
		g->i[g->n++] = i;
		g->bytes += a->object[i].size;
	}
	return i;
}

static int
group_ask(struct group *g, struct err *e)
{
	static const struct lfs_batch_ops ops = {group_size_of, group_each};
	const struct lfs_ask *a = g->ask;
	struct buf question = buf_make(QUESTION_MAX);
	struct err why;
	int rv;

	lfs_batch_begin(&question, a->revision);
	for (size_t k = 0; k < g->n; k++) {
		const struct lfs_object *o = &a->object[g->i[k]];

		lfs_batch_add(&question, &o->digest, o->size);
	}
	lfs_batch_end(&question);
	rv = lfs_call_batch(a->repo, a->revision, &question, &ops, g, e);
	buf_release(&question);
	if (rv < 0)
		return -1;
	unanswered(&why);
	while (g->n)
		a->ops->refused(a->ctx, g->i[--g->n], &why);
	return 0;
}

int
lfs_ask_group(const struct lfs_ask *a, size_t *next, struct err *e)
{
	struct group g = {.ask = a};

	*next = group_fill(&g, *next);
	for (unsigned failed = 0; g.n; failed++) {
		g.last = failed >= a->retries;
		if (group_ask(&g, e) < 0)
			return -1;
		memcpy(g.i, g.again, sizeof(g.i));
		g.n = g.again_n;
		g.again_n = 0;
		if (g.n && wait_again(failed, e) < 0)
			return -1;
	}
	return 0;
}

/* --- One. --- */

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
single_each(void *ctx, struct lfs_answer *answer)
{
	struct single *s = ctx;

	s->answered = true;
	s->action = answer->action;
	if (answer->action == LFS_ERROR)
		s->why = *answer->why;
	if (answer->action != LFS_SEND)
		return;
	s->m = answer->m;
	answer->m = (struct multipart){0};
}

/* The error of an object is an error of the call. */
static int
single_ask(const struct lfs_ask *a, struct single *s, struct err *e)
{
	static const struct lfs_batch_ops ops = {single_size_of, single_each};
	struct buf question = buf_make(QUESTION_MAX);
	int rv;

	s->answered = false;
	lfs_batch_begin(&question, a->revision);
	lfs_batch_add(&question, &s->object->digest, s->object->size);
	lfs_batch_end(&question);
	rv = lfs_call_batch(a->repo, a->revision, &question, &ops, s, e);
	buf_release(&question);
	if (rv < 0)
		return -1;
	if (!s->answered)
		return unanswered(e);
	if (s->action == LFS_ERROR)
		*e = s->why;
	return s->action == LFS_ERROR ? -1 : 0;
}

int
lfs_ask_one(const struct lfs_ask *a, size_t i, enum lfs_action *action,
    struct multipart *m, struct err *e)
{
	struct single s = {.object = &a->object[i]};
	int rv = single_ask(a, &s, e);

	/* A call that failed for the network was tried often enough. */
	for (unsigned failed = 0;
	     rv < 0 && s.answered && e->kind == ERR_NET && failed < a->retries;
	     failed++) {
		rv = wait_again(failed, e);
		if (rv == 0)
			rv = single_ask(a, &s, e);
	}
	*m = adopt(a, &s.m);
	*action = s.action;
	if (rv < 0)
		multipart_release(m);
	return rv;
}
