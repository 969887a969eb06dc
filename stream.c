#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "err.h"
#include "fetch.h"
#include "hash.h"
#include "mem.h"
#include "progress.h"
#include "wait.h"

#define READ_SIZE ((size_t)64 << 10)
#define BACKOFF_BASE 500
#define BACKOFF_CAP 30000

/* Contents that come wrong that often are given up. */
#define WRONG_MAX 3

struct state {
	const struct stream *s;
	int fd;
	struct hash hash;
	uint64_t at;   /* bytes written so far, which hash has */
	uint64_t skip; /* bytes to come that were written already */
	struct hash skipped;
	unsigned shown;
	unsigned char *bytes; /* READ_SIZE of them */
};

static int
write_all(int fd, const unsigned char *p, size_t n, struct err *e)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EAGAIN) {
			if (wait_fd(fd, POLLOUT, WAIT_FOREVER, e) < 0)
				return -1;
			continue;
		}
		if (done < 0 && errno == EINTR) {
			if (wait_check(e) < 0)
				return -1;
			continue;
		}
		if (done < 0 && errno == EPIPE)
			return wait_no_reader(e);
		if (done < 0)
			return err_sys(
			    e, ERR_FILE, "cannot write to standard output");
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

static int
check(
    void *ctx, const struct http_head *h, const struct url *url, struct err *e)
{
	const struct state *t = ctx;

	return repo_check_file(t->s->repo, t->s->file, h, url, e);
}

static void
begin(void *ctx, const struct url *url, bool whole)
{
	struct state *t = ctx;

	(void)url;
	t->skip = whole ? t->at : 0;
	hash_init(&t->skipped, t->s->file->digest.kind, t->s->file->size);
}

static void *
room(void *ctx, size_t *n)
{
	struct state *t = ctx;
	uint64_t left = t->s->file->size - t->at + t->skip;

	progress_tick(t->s->progress, wait_status_asked());
	*n = left < READ_SIZE ? (size_t)left : READ_SIZE;
	return t->bytes;
}

/* The server begins at 0 again: takes from the n bytes at p those that were
 * written already. Before anything is written behind them they must have been
 * the same. */
static int
drop_written(struct state *t, const unsigned char **p, size_t *n, struct err *e)
{
	size_t m = *n < t->skip ? *n : (size_t)t->skip;
	struct hash before = t->hash;
	struct digest a, b;

	hash_update(&t->skipped, *p, m);
	*p += m;
	*n -= m;
	t->skip -= m;
	if (t->skip)
		return 0;
	hash_final(&before, &a);
	hash_final(&t->skipped, &b);
	return digest_same(&a, &b) ? 0
				   : err_set(e, ERR_CONTENT,
					 "the server sends other bytes than "
					 "before");
}

static int
take(void *ctx, size_t n, struct err *e)
{
	struct state *t = ctx;
	const unsigned char *p = t->bytes;

	if (t->skip && drop_written(t, &p, &n, e) < 0)
		return -1;
	hash_update(&t->hash, p, n);
	if (write_all(t->fd, p, n, e) < 0)
		return -1;
	t->at += n;
	progress_add(t->s->progress, t->shown, n);
	return 0;
}

/* From where it stopped. An answer that brought nothing new is a failure. */
static enum fetch_end
try_once(struct state *t, struct err *e)
{
	const struct fetch x = {
	    .client = t->s->client,
	    .url = t->s->url,
	    .size = t->s->file->size,
	    .first = t->at,
	    .last = t->s->file->size - 1,
	    .stall_ms = t->s->stall_ms,
	    .ctx = t,
	    .check = check,
	    .begin = begin,
	    .room = room,
	    .take = take,
	};
	enum fetch_end end = fetch(&x, e);

	if (end != FETCH_OK || t->at > x.first)
		return end;
	err_set(e, ERR_NET, "the server sent nothing new");
	return FETCH_FAILED;
}

/* One copy of the content may be broken, and another one good. */
static bool
may_try(const struct err *e, unsigned *wrong)
{
	return e->kind == ERR_NET ||
	       (e->kind == ERR_CONTENT && ++*wrong < WRONG_MAX);
}

static int
copy_all(struct state *t, struct err *e)
{
	unsigned failed = 0, wrong = 0;

	while (t->at < t->s->file->size) {
		uint64_t had = t->at, ms;

		if (try_once(t, e) == FETCH_OK)
			continue;
		if (!may_try(e, &wrong))
			return -1;
		failed = t->at - had >= FETCH_PROGRESS ? 1 : failed + 1;
		if (failed > t->s->retries)
			return -1;
		ms = wait_backoff(failed - 1, BACKOFF_BASE, BACKOFF_CAP,
		    e->wait, wait_random());
		progress_wait(t->s->progress, wait_now() + ms, e->msg);
		if (wait_until(wait_now() + ms, e) < 0)
			return -1;
	}
	return 0;
}

int
stream_to(const struct stream *s, int fd, struct err *e)
{
	struct state t = {.s = s, .fd = fd};
	struct digest found;
	int rv;

	hash_init(&t.hash, s->file->digest.kind, s->file->size);
	t.shown = progress_start(s->progress, s->file->path, s->file->size, 0);
	t.bytes = xmalloc(READ_SIZE);
	rv = copy_all(&t, e);
	free(t.bytes);
	hash_final(&t.hash, &found);
	if (rv == 0 && !digest_same(&found, &s->file->digest))
		rv = err_set(e, ERR_CONTENT,
		    "the content is not what its hash says; what was written "
		    "is wrong");
	if (rv == 0)
		progress_finish(s->progress, t.shown, PROGRESS_DONE, NULL);
	else if (e->kind != ERR_STOPPED)
		progress_finish(s->progress, t.shown, PROGRESS_FAILED, e->msg);
	return rv;
}
