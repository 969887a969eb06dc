#include "fetch.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "err.h"
#include "hash.h"
#include "http.h"
#include "progress.h"
#include "str.h"
#include "url.h"
#include "wait.h"

/* --- One range. --- */

static enum fetch_end
check_length(const struct fetch *f, uint64_t size, struct err *e)
{
	if (size == f->size)
		return FETCH_OK;
	err_set(e, ERR_CONTENT,
	    "the server has %" PRIu64 " bytes, the listing says %" PRIu64, size,
	    f->size);
	return FETCH_FAILED;
}

static enum fetch_end
check_part(const struct fetch *f, const struct http_head *h, struct err *e)
{
	uint64_t first, last, total;
	struct str value;

	if (!http_get(h, "content-range", &value) ||
	    http_content_range(value, &first, &last, &total) < 0) {
		err_set(e, ERR_NET,
		    "the server sent a range without Content-Range");
		return FETCH_FAILED;
	}
	if (total != UINT64_MAX && check_length(f, total, e) != FETCH_OK)
		return FETCH_FAILED;
	if (first == f->first && last <= f->last)
		return FETCH_OK;
	err_set(e, ERR_NET, "the server sent a different range than requested");
	return FETCH_FAILED;
}

/* Checks an answer with the whole content instead of the range. */
static enum fetch_end
check_whole(const struct fetch *f, const struct http_head *h, struct err *e)
{
	enum http_framing framing;
	uint64_t length;

	if (http_framing(h, false, &framing, &length, e) < 0)
		return FETCH_FAILED;
	if (framing == HTTP_LENGTH)
		return check_length(f, length, e);
	return FETCH_OK;
}

/* Checks the status of an answer; url is the address that gave it. */
static enum fetch_end
check_status(const struct fetch *f, const struct http_head *h,
    const struct url *url, struct err *e)
{
	bool led = f->direct || !str_eq(url->text, f->url);

	unsigned status = h->status;

	if (status == 206)
		return check_part(f, h, e);
	if (status == 200)
		return check_whole(f, h, e);
	/* This server's copy is old or broken: the next try may reach another
	 * server. */
	if (status == 416) {
		err_set(e, ERR_NET,
		    "the server has fewer bytes than the listing says");
		return FETCH_FAILED;
	}
	if (led && (status == 401 || status == 403 || status == 404 ||
		       status == 410)) {
		err_set(e, ERR_NET,
		    "the signed address at '%.*s' is %s accepted (status %u)",
		    STRF(url->host), f->direct ? "no longer" : "not", status);
		return FETCH_REFUSED;
	}
	err_set(e, http_status_transient(status) ? ERR_NET : ERR_OTHER,
	    "the server answered with status %u", status);
	e->wait = http_asked_wait(h);
	return FETCH_FAILED;
}

/* The answer has ended before room() ended it: checks whether it brought
 * enough. */
static enum fetch_end
check_end(const struct fetch *f, const struct http_head *h, uint64_t total,
    struct err *e)
{
	bool whole = h->status == 200;
	uint64_t want = whole ? f->size : f->last - f->first + 1;

	if (total >= want || (!whole && total >= FETCH_PROGRESS))
		return FETCH_OK;
	if (total)
		err_set(e, ERR_NET, "the server sent only %" PRIu64 " bytes",
		    total);
	else
		err_set(e, ERR_NET, "the server sent no bytes");
	/* response_read() fails if an answer with a length ends early. */
	return whole ? FETCH_DOUBTFUL : FETCH_FAILED;
}

static enum fetch_end
read_body(const struct fetch *f, struct response *resp, struct err *e)
{
	uint64_t total = 0;
	size_t n;
	void *to;

	while ((to = f->room(f->ctx, &n)) && n) {
		if (response_read(resp, to, n, &n, e) < 0)
			return FETCH_FAILED;
		if (!n)
			return check_end(f, response_head(resp), total, e);
		total += n;
		if (f->take(f->ctx, n, e) < 0 ||
		    response_pace(resp, f->stall_ms, e) < 0)
			return FETCH_FAILED;
	}
	return FETCH_OK;
}

/* The address for the other ranges. If a redirect of another host led back to
 * the endpoint, this is the original address: a direct request to the last one
 * would send the token there. *own is storage for it. */
static const struct url *
address(const struct fetch *f, const struct response *resp, struct url *own)
{
	struct err ignored;

	if (response_led_back(resp) &&
	    url_parse(str_of(f->url), own, &ignored) == 0)
		return own;
	return response_url(resp);
}

enum fetch_end
fetch(const struct fetch *f, struct err *e)
{
	const struct request req = {
	    .method = "GET",
	    .url = f->url,
	    .ranged = true,
	    .first = f->first,
	    .last = f->last,
	    .check = f->check,
	    .ctx = f->ctx,
	};
	struct response *resp = client_send(f->client, &req, e);
	enum fetch_end end;
	struct url own;

	if (!resp)
		return FETCH_FAILED;
	end = check_status(f, response_head(resp), response_url(resp), e);
	if (end == FETCH_OK) {
		f->begin(f->ctx, address(f, resp, &own),
		    response_head(resp)->status == 200);
		end = read_body(f, resp, e);
	}
	response_close(resp);
	return end;
}

/* --- A whole file, in order. --- */

#define READ_SIZE ((size_t)64 << 10)

/* Give up after this many wrong answers. */
#define WRONG_MAX 3

struct state {
	const struct stream *s;
	int fd;
	struct hash hash;
	uint64_t at;   /* bytes written and hashed so far */
	uint64_t skip; /* next bytes to drop: they are written already */
	struct hash skipped;
	unsigned shown;
	unsigned char *bytes; /* of READ_SIZE */
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

/* The server has begun at 0 again: drops those of the *n bytes at *p that are
 * written already. Before new bytes follow, checks that the dropped ones were
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
	return digest_same(&a, &b)
		   ? 0
		   : err_set(e, ERR_CONTENT,
			 "the server sent different bytes than before");
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

/* Makes one request from the current position on. An answer without new bytes
 * is a failure. */
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

/* Whether to try again. After a wrong answer the next try may reach a server
 * with a good copy. */
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
		uint64_t had = t->at, until;

		if (try_once(t, e) == FETCH_OK)
			continue;
		if (!may_try(e, &wrong))
			return -1;
		failed = t->at - had >= FETCH_PROGRESS ? 1 : failed + 1;
		if (failed > t->s->retries)
			return -1;
		until = wait_retry(failed, e->wait);
		progress_wait(t->s->progress, until, e->msg);
		if (wait_until(until, e) < 0)
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
		    "wrong hash: the data written to standard output is wrong");
	if (rv == 0)
		progress_finish(s->progress, t.shown, PROGRESS_DONE, NULL);
	else if (e->kind != ERR_STOPPED)
		progress_finish(s->progress, t.shown, PROGRESS_FAILED, e->msg);
	return rv;
}
