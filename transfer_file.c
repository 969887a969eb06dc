#include "transfer_file.h"

#include <stdlib.h>
#include <string.h>

#include "hasher.h"
#include "mem.h"
#include "partial.h"
#include "progress.h"
#include "transfer_queue.h"

/* After this many contents in a row that got no answer, or were refused to us,
 * the line is dead, or the repository closed: the rest need not be tried. */
#define LOST_MAX 3

/* What a small file costs beside its bytes, as ramp counts it. */
#define FILE_WORK ((uint64_t)256 << 10)

static void
content_failed(
    struct transfer_queue *q, size_t i, bool unanswered, const struct err *why)
{
	const struct transfer *t = q->t;
	bool lost =
	    why->kind == ERR_AUTH || (why->kind == ERR_NET && unanswered);

	t->ops->failed(t->ctx, i, why);
	crew_lock(&q->crew);
	q->crew.left--;
	if (why->kind == ERR_STOPPED)
		crew_end(&q->crew, why);
	q->lost = lost ? q->lost + 1 : 0;
	if (q->lost >= LOST_MAX)
		crew_end(&q->crew, why);
	crew_changed(&q->crew);
	crew_unlock(&q->crew);
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

/* Thousands of small files, each with a struct from malloc() and back, would
 * make the system clear a page for each. */
static struct transfer_file *
file_new(struct transfer_queue *q, size_t i)
{
	struct transfer_file *f;

	crew_lock(&q->crew);
	f = q->spare;
	if (f)
		q->spare = f->next;
	crew_unlock(&q->crew);
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

	crew_lock(&q->crew);
	f->next = q->spare;
	q->spare = f;
	crew_unlock(&q->crew);
}

void
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
	crew_lock(&q->crew);
	f->next = q->active;
	q->active = f;
	/* A small one is fetched by this worker, next. */
	if (f->hashing) {
		hasher_poke(f->hashing);
		crew_changed(&q->crew);
	}
	crew_unlock(&q->crew);
}

/* Closes a file that is no longer active. */
void
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

/* Nobody fetches it any more. It counts as work now, and not when it gets its
 * name: small ones get theirs in bursts, which no rate should show. */
static void
retire(struct transfer_queue *q, struct transfer_file *f)
{
	crew_lock(&q->crew);
	if (!f->given_up)
		q->work += FILE_WORK;
	for (struct transfer_file **p = &q->active; *p; p = &(*p)->next)
		if (*p == f) {
			*p = f->next;
			break;
		}
	crew_unlock(&q->crew);
}

static void
wrong_hash(struct transfer_file *f, struct err *e)
{
	char want[2 * HASH_SIZE_MAX + 1], got[2 * HASH_SIZE_MAX + 1];

	digest_hex(&f->content.digest, want);
	digest_hex(&f->found, got);
	err_set(e, ERR_CONTENT,
	    "the content is not what its hash says: expected %s, got %s", want,
	    got);
}

/* The bytes are wrong: gives up if they have been so often enough. What earlier
 * runs left goes first, since what came in this run may well be right. */
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
	return 0;
}

/* Not what its hash says: hashes it again, once the bytes that may be wrong came
 * again, from a fresh address. */
static int
again(struct transfer_queue *q, struct transfer_file *f, struct err *e)
{
	if (!f->rehash && forget(q, f, e) < 0)
		return -1;
	f->rehash = false;
	if (f->hashing)
		hasher_restart(f->hashing);
	crew_lock(&q->crew);
	f->hashed = false;
	if (!f->hashing)
		start_hash(q, f);
	free(f->direct);
	f->direct = NULL;
	f->users--;
	crew_changed(&q->crew);
	crew_unlock(&q->crew);
	return 0;
}

static void
content_done(struct transfer_queue *q)
{
	crew_lock(&q->crew);
	q->crew.left--;
	/* Else there is work for this one only, which looks for it next. */
	if (!q->crew.left)
		crew_changed(&q->crew);
	crew_unlock(&q->crew);
}

/* A retired one, which has its name or is given up. */
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
		content_done(q);
}

/* Retired ones whose bytes are right. None gets its name before all are on the
 * disk: a change of names in between makes the next sync dear. */
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

void
transfer_settle(struct transfer_queue *q, struct transfer_file *list)
{
	settle(q, list);
	crew_lock(&q->crew);
	q->settling--;
	crew_changed(&q->crew);
	crew_unlock(&q->crew);
}

static void
ripen(struct transfer_queue *q, struct transfer_file *f)
{
	partial_start(f->partial);
	crew_lock(&q->crew);
	transfer_ripen(q, f);
	crew_unlock(&q->crew);
}

void
transfer_finish(struct transfer_queue *q, struct transfer_file *f)
{
	struct err e;

	if (!f->given_up && !digest_same(&f->found, &f->content.digest)) {
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
