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

struct state {
	const struct stream *s;
	int fd;
	struct hash hash;
	uint64_t at; /* bytes written so far */
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
	(void)ctx;
	(void)url;
	(void)whole;
}

static void *
room(void *ctx, size_t *n)
{
	struct state *t = ctx;
	uint64_t left = t->s->file->size - t->at;

	progress_tick(t->s->progress, wait_status_asked());
	*n = left < READ_SIZE ? (size_t)left : READ_SIZE;
	return t->bytes;
}

static int
take(void *ctx, size_t n, struct err *e)
{
	struct state *t = ctx;

	hash_update(&t->hash, t->bytes, n);
	if (write_all(t->fd, t->bytes, n, e) < 0)
		return -1;
	t->at += n;
	progress_add(t->s->progress, t->shown, n);
	return 0;
}

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

	return fetch(&x, e);
}

static int
copy_all(struct state *t, struct err *e)
{
	unsigned failed = 0;

	while (t->at < t->s->file->size) {
		uint64_t had = t->at, ms;

		if (try_once(t, e) == FETCH_OK)
			continue;
		if (e->kind != ERR_NET)
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
