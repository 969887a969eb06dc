#include "xet.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "chunk.h"
#include "client.h"
#include "err.h"
#include "http.h"
#include "progress.h"
#include "repo.h"
#include "str.h"
#include "url.h"

/* --- Access to the storage. --- */

/* Ask for a new token this many seconds before the old one lapses. */
#define RENEW_BEFORE 60

/* After this many files in a row that had to be fetched over plain HTTP, no
 * other is tried. */
#define GIVEN_UP_MAX 3

/* The longest answer about a window. Usual ones have a few kB; the most that
 * 64 MiB of a file may need is in an answer to a shorter window. */
#define ANSWER_MAX ((size_t)2 << 20)
#define WINDOW_LEAST ((uint64_t)1 << 20)

struct xet {
	const struct repo *repo;
	const char *commit;
	struct progress *notes;
	/* Guards the access. Held while the Hub is asked for a new one, so that
	 * one thread does that for all; taken before lock. */
	pthread_mutex_t renewal;
	struct xet_access access; /* url is NULL: none so far */
	unsigned number;          /* of the access, from 1 on */
	pthread_mutex_t lock;     /* guards what follows; held briefly */
	uint64_t window;          /* the longest to ask for */
	unsigned given_up;        /* files in a row */
	bool v1;                  /* it has only version 1 of its answers */
	bool off;
};

struct xet *
xet_open(const struct repo *repo, const char *commit, struct progress *notes)
{
	struct xet *x = xcalloc(1, sizeof(*x));

	x->repo = repo;
	x->commit = commit;
	x->notes = notes;
	x->window = XET_WINDOW;
	pthread_mutex_init(&x->renewal, NULL);
	pthread_mutex_init(&x->lock, NULL);
	return x;
}

void
xet_close(struct xet *x)
{
	if (!x)
		return;
	xet_access_release(&x->access);
	pthread_mutex_destroy(&x->lock);
	pthread_mutex_destroy(&x->renewal);
	free(x);
}

bool
xet_is_on(struct xet *x)
{
	bool on;

	pthread_mutex_lock(&x->lock);
	on = !x->off;
	pthread_mutex_unlock(&x->lock);
	return on;
}

/* None is tried any more; the first reason is noted. */
static enum fetch_end
turn_off(struct xet *x, const struct err *why)
{
	bool first;

	pthread_mutex_lock(&x->lock);
	first = !x->off;
	x->off = true;
	pthread_mutex_unlock(&x->lock);
	if (first && x->notes)
		progress_note(x->notes,
		    "Xet: %s; fetching over plain HTTP from now on", why->msg);
	return FETCH_ELSEWHERE;
}

void
xet_give_up(struct xet *x, const char *name, const struct err *why)
{
	bool last;

	pthread_mutex_lock(&x->lock);
	last = ++x->given_up >= GIVEN_UP_MAX;
	pthread_mutex_unlock(&x->lock);
	if (xet_is_on(x) && x->notes)
		progress_note(x->notes,
		    "%s: Xet: %s; fetching it over plain HTTP", name, why->msg);
	if (last)
		turn_off(x, why);
}

/* What an error at the storage means: those that another try may mend. */
static enum fetch_end
end_by(const struct err *e)
{
	return e->kind == ERR_NET || e->kind == ERR_CONTENT ||
		       e->kind == ERR_FILE || e->kind == ERR_STOPPED
		   ? FETCH_FAILED
		   : FETCH_ELSEWHERE;
}

/* Refuses an address by which the storage would lead to this machine or into
 * its network, unless the endpoint is there, too. The client refuses http. */
static int
check_address(const struct xet *x, const char *text, struct err *e)
{
	struct url url, endpoint;

	if (url_parse(str_of(text), &url, e) < 0 ||
	    url_parse(str_of(x->repo->endpoint), &endpoint, e) < 0)
		return -1;
	if (!url_is_private(&url) || url_is_private(&endpoint))
		return 0;
	return err_set(e, ERR_OTHER,
	    "'%.*s' is an address of a private network", STRF(url.host));
}

/* With renewal held: asks the Hub for access. */
static enum fetch_end
renew(struct xet *x, struct err *e)
{
	struct xet_access fresh;

	if (repo_xet(x->repo, x->commit, &fresh, e) < 0)
		return e->kind == ERR_NET || e->kind == ERR_STOPPED
			   ? FETCH_FAILED
			   : turn_off(x, e);
	if (check_address(x, fresh.url, e) < 0) {
		xet_access_release(&fresh);
		return turn_off(x, e);
	}
	/* With a clock that is ahead every token looks lapsed. */
	if (fresh.expires <= client_time(x->repo->client) + RENEW_BEFORE)
		fresh.expires = UINT64_MAX;
	xet_access_release(&x->access);
	x->access = fresh;
	x->number++;
	return FETCH_OK;
}

/* Copies the access, which the caller releases, and its number. A new one is
 * asked for if there is none, if it lapses soon, or if it is the one that the
 * storage refused (0: none was). */
static enum fetch_end
get_access(struct xet *x, unsigned refused, struct xet_access *out,
    unsigned *number, struct err *e)
{
	enum fetch_end end = FETCH_OK;
	const struct xet_access *a = &x->access;

	pthread_mutex_lock(&x->renewal);
	if (!xet_is_on(x)) {
		err_set(e, ERR_OTHER, "the Xet storage cannot be used");
		end = FETCH_ELSEWHERE;
	} else if (!a->url || x->number == refused ||
		   client_time(x->repo->client) + RENEW_BEFORE >= a->expires) {
		end = renew(x, e);
	}
	if (end == FETCH_OK) {
		*out = (struct xet_access){
		    xstrdup(a->url), xstrdup(a->token), a->expires};
		*number = x->number;
	}
	pthread_mutex_unlock(&x->renewal);
	return end;
}

/* --- What the storage says of a window. --- */

/* Sets the error for a status that is none of success. A token may lapse twice
 * while others wait for it. */
static void
name_status(const struct http_head *h, const char *who, struct err *e)
{
	bool passes = h->status == 401 ||
		      (http_status_transient(h->status) && h->status != 501);

	err_set(e, passes ? ERR_NET : ERR_OTHER, "%s answered with status %u",
	    who, h->status);
	e->wait = http_asked_wait(h);
}

/* Makes one request. *status is that of the answer, 0 if there was none. */
static enum fetch_end
ask_once(const struct xet_fetch *f, uint64_t last, const struct xet_access *a,
    bool v1, struct buf *text, unsigned *status, struct err *e)
{
	struct buf url = buf_make(URL_MAX);
	struct request req = {
	    .method = "GET",
	    .bearer = a->token,
	    .ranged = true,
	    .first = f->first,
	    .last = last,
	};
	struct response *resp;
	enum fetch_end end = FETCH_OK;

	*status = 0;
	buf_clear(text);
	buf_printf(
	    &url, "%s/v%d/reconstructions/%s", a->url, v1 ? 1 : 2, f->hash);
	req.url = buf_cstr(&url);
	resp = client_send(f->xet->repo->client, &req, e);
	if (!resp) {
		end = end_by(e);
	} else {
		*status = response_head(resp)->status;
		if (*status / 100 != 2)
			name_status(response_head(resp), "the Xet storage", e);
		if (*status / 100 != 2 || response_text(resp, text, e) < 0)
			end = end_by(e);
	}
	response_close(resp);
	buf_release(&url);
	return end;
}

/* Asks for the terms of a window: once more with a new token, if the old one is
 * refused, and in version 1 where there is no version 2. */
static enum fetch_end
ask(const struct xet_fetch *f, uint64_t last, struct buf *text, struct err *e)
{
	struct xet *x = f->xet;
	unsigned refused = 0;
	bool v1;

	pthread_mutex_lock(&x->lock);
	v1 = x->v1;
	pthread_mutex_unlock(&x->lock);
	for (;;) {
		unsigned number, status;
		struct xet_access a;
		enum fetch_end end = get_access(x, refused, &a, &number, e);

		if (end != FETCH_OK)
			return end;
		end = ask_once(f, last, &a, v1, text, &status, e);
		xet_access_release(&a);
		if (status == 401 && !refused) {
			refused = number;
		} else if ((status == 404 || status == 501) && !v1) {
			v1 = true;
		} else {
			if (end == FETCH_OK && v1) {
				pthread_mutex_lock(&x->lock);
				x->v1 = true;
				pthread_mutex_unlock(&x->lock);
			}
			return end;
		}
	}
}

/* The answer was too long: the next windows are shorter. False if they were the
 * shortest already. */
static bool
shorten(struct xet *x, uint64_t asked)
{
	bool shorter;

	pthread_mutex_lock(&x->lock);
	shorter = asked > WINDOW_LEAST;
	if (shorter && x->window >= asked)
		x->window = asked / 4 > WINDOW_LEAST ? asked / 4 : WINDOW_LEAST;
	pthread_mutex_unlock(&x->lock);
	return shorter;
}

/* Finds out the terms of the window, which begins at f->first; sets *end to its
 * end. The caller releases *out. */
static enum fetch_end
get_recon(
    const struct xet_fetch *f, struct recon *out, uint64_t *end, struct err *e)
{
	struct buf text = buf_make(ANSWER_MAX);
	enum fetch_end rv;
	uint64_t length;

	do {
		pthread_mutex_lock(&f->xet->lock);
		length = f->xet->window;
		pthread_mutex_unlock(&f->xet->lock);
		if (length > f->last - f->first + 1)
			length = f->last - f->first + 1;
		rv = ask(f, f->first + length - 1, &text, e);
	} while (rv == FETCH_ELSEWHERE && text.len == text.max &&
		 shorten(f->xet, length));
	*end = f->first + length;
	if (rv == FETCH_OK && recon_parse(buf_str(&text), out, e) < 0) {
		rv = e->kind == ERR_NET ? FETCH_FAILED : FETCH_ELSEWHERE;
	} else if (rv == FETCH_OK &&
		   (out->skip > f->first || out->size < length)) {
		err_set(e, ERR_CONTENT,
		    "the storage's description of a file has %" PRIu64
		    " bytes, not %" PRIu64,
		    out->size, length);
		recon_release(out);
		rv = FETCH_ELSEWHERE;
	}
	buf_release(&text);
	return rv;
}

/* --- A window. --- */

#define READ_SIZE ((size_t)64 << 10)

/* Where a term is in the file. */
struct place {
	uint64_t at;   /* its first byte, also if that is before the window */
	uint64_t done; /* bytes of it that were unpacked */
	size_t next;   /* the next term of the same range; no term: none */
};

struct window {
	const struct xet_fetch *f;
	uint64_t end;   /* of the window, in the file */
	uint64_t front; /* the bytes before it were taken */
	struct recon recon;
	struct place *place; /* of each term */
	size_t *first;       /* of each range, its first term */
	bool *came;          /* of each range: all of it was unpacked */
	struct unpacker unpacker;
	unsigned char *bytes; /* READ_SIZE, as they come */
	bool over;            /* the caller needs no more */
};

static void
window_init(struct window *w)
{
	const struct recon *r = &w->recon;
	uint64_t at = w->f->first - r->skip;

	w->front = w->f->first;
	w->place = xcalloc(r->terms + 1, sizeof(w->place[0]));
	w->first = xcalloc(r->ranges + 1, sizeof(w->first[0]));
	w->came = xcalloc(r->ranges + 1, sizeof(w->came[0]));
	w->bytes = xmalloc(READ_SIZE);
	unpacker_init(&w->unpacker);
	for (size_t i = 0; i < r->ranges; i++)
		w->first[i] = r->terms;
	for (size_t i = 0; i < r->terms; i++) {
		w->place[i].at = at;
		at += r->term[i].size;
	}
	for (size_t i = r->terms; i-- > 0;) {
		w->place[i].next = w->first[r->term[i].range];
		w->first[r->term[i].range] = i;
	}
}

static void
window_release(struct window *w)
{
	unpacker_release(&w->unpacker);
	recon_release(&w->recon);
	free(w->bytes);
	free(w->came);
	free(w->first);
	free(w->place);
}

/* Gives the bytes at the front to the caller; those that it needs. */
static int
take(struct window *w, const char *p, size_t n, struct err *e)
{
	const struct xet_fetch *f = w->f;

	while (n) {
		size_t some;
		void *to = f->room(f->ctx, &some);

		w->over = !some;
		if (w->over)
			return 0;
		if (some > n)
			some = n;
		memcpy(to, p, some);
		if (f->take(f->ctx, some, e) < 0)
			return -1;
		p += some;
		n -= some;
		w->front += some;
	}
	return 0;
}

/* Gives the bytes up to that offset to the caller, who keeps them ahead. */
static int
take_back(struct window *w, uint64_t end, struct err *e)
{
	const struct xet_fetch *f = w->f;

	while (w->front < end) {
		size_t n;
		void *to = f->room(f->ctx, &n);

		w->over = !n;
		if (w->over)
			return 0;
		if (n > end - w->front)
			n = (size_t)(end - w->front);
		if (f->back(f->ctx, to, n, w->front, e) < 0 ||
		    f->take(f->ctx, n, e) < 0)
			return -1;
		w->front += n;
	}
	return 0;
}

/* Puts a chunk of a term where it belongs, as far as that is in the window. */
static int
put(struct window *w, struct place *p, struct str chunk, struct err *e)
{
	uint64_t at = p->at + p->done;

	p->done += chunk.n;
	if (at < w->f->first) {
		uint64_t before = w->f->first - at;

		if (before >= chunk.n)
			return 0;
		chunk = str_make(chunk.s + before, chunk.n - (size_t)before);
		at = w->f->first;
	}
	if (at >= w->end)
		return 0;
	if (chunk.n > w->end - at)
		chunk.n = (size_t)(w->end - at);
	if (at == w->front)
		return take(w, chunk.s, chunk.n, e);
	return w->f->ahead(w->f->ctx, chunk.s, chunk.n, at, e);
}

/* The chunk with that number in the range is here: puts it everywhere. */
static int
put_chunk(struct window *w, size_t range, uint32_t number, struct str chunk,
    struct err *e)
{
	const struct recon *r = &w->recon;

	for (size_t i = w->first[range]; i < r->terms && !w->over;
	     i = w->place[i].next) {
		const struct recon_term *t = &r->term[i];
		struct place *p = &w->place[i];

		if (number < t->first || number - t->first >= t->count)
			continue;
		if (put(w, p, chunk, e) < 0)
			return -1;
		if (p->done > t->size ||
		    (number - t->first == t->count - 1 && p->done < t->size))
			return err_set(e, ERR_CONTENT,
			    "chunks of a xorb are not as long as they should "
			    "be");
	}
	return 0;
}

/* Unpacks n bytes that came of a range; *number is that of the next chunk. */
static int
unpack(
    struct window *w, size_t range, uint32_t *number, size_t n, struct err *e)
{
	const struct recon_range *r = &w->recon.range[range];
	const unsigned char *p = w->bytes;

	while (n && !w->over && w->front < w->end) {
		struct str chunk;
		size_t used;

		if (*number == r->end - r->first)
			return err_set(e, ERR_CONTENT,
			    "a range of a xorb has more chunks than it should");
		if (unpacker_take(&w->unpacker, p, n, &used, &chunk, e) < 0)
			return -1;
		p += used;
		n -= used;
		if (chunk.n && put_chunk(w, range, (*number)++, chunk, e) < 0)
			return -1;
	}
	return 0;
}

/* Reads and unpacks the range, or as much of it as the window needs. */
static int
read_range(struct window *w, size_t range, struct response *resp, struct err *e)
{
	const struct recon_range *r = &w->recon.range[range];
	uint64_t left = r->length;
	uint32_t number = 0;

	unpacker_restart(&w->unpacker);
	while (left) {
		size_t n = left < READ_SIZE ? (size_t)left : READ_SIZE;

		if (response_read(resp, w->bytes, n, &n, e) < 0)
			return -1;
		if (!n)
			return err_set(e, ERR_NET,
			    "a range of a xorb ends %" PRIu64 " bytes early",
			    left);
		left -= n;
		if (unpack(w, range, &number, n, e) < 0 ||
		    response_pace(resp, w->f->stall_ms, e) < 0)
			return -1;
		if (w->over || w->front == w->end)
			return 0;
	}
	if (number < r->end - r->first)
		return err_set(e, ERR_CONTENT,
		    "a range of a xorb has fewer chunks than it should");
	w->came[range] = true;
	return 0;
}

/* Accepts only exactly the range. */
static enum fetch_end
check_range(
    const struct recon_range *r, const struct response *resp, struct err *e)
{
	const struct http_head *h = response_head(resp);
	const struct url *url = response_url(resp);
	uint64_t first, last, total;
	struct str value;

	if (h->status == 206 && http_get(h, "content-range", &value) &&
	    http_content_range(value, &first, &last, &total) == 0 &&
	    first == r->at && last == r->at + r->length - 1)
		return FETCH_OK;
	if (h->status / 100 == 2) {
		err_set(e, ERR_NET,
		    "'%.*s' sent a different range of a xorb than requested",
		    STRF(url->host));
		return FETCH_FAILED;
	}
	if (http_status_transient(h->status)) {
		name_status(h, "the server of a xorb", e);
		return FETCH_FAILED;
	}
	err_set(e, ERR_NET,
	    "the signed address of a xorb at '%.*s' is not accepted (status "
	    "%u)",
	    STRF(url->host), h->status);
	return FETCH_REFUSED;
}

static enum fetch_end
fetch_range(struct window *w, size_t range, struct err *e)
{
	const struct recon_range *r = &w->recon.range[range];
	const struct xet *x = w->f->xet;
	const struct request req = {
	    .method = "GET",
	    .url = r->url,
	    .no_token = true,
	    .ranged = true,
	    .first = r->at,
	    .last = r->at + r->length - 1,
	};
	struct response *resp;
	enum fetch_end end;

	if (check_address(x, r->url, e) < 0)
		return end_by(e);
	resp = client_send(x->repo->client, &req, e);
	if (!resp)
		return end_by(e);
	end = check_range(r, resp, e);
	if (end == FETCH_OK && read_range(w, range, resp, e) < 0)
		end = end_by(e);
	response_close(resp);
	return end;
}

/* Term by term: what was kept ahead, else by fetching its range. */
static enum fetch_end
fetch_terms(struct window *w, struct err *e)
{
	const struct recon *r = &w->recon;
	enum fetch_end end = FETCH_OK;

	for (size_t i = 0; i < r->terms && end == FETCH_OK && !w->over; i++) {
		uint64_t stop = w->place[i].at + r->term[i].size;

		if (stop > w->end)
			stop = w->end;
		if (stop <= w->front)
			continue;
		if (!w->came[r->term[i].range])
			end = fetch_range(w, r->term[i].range, e);
		/* All that is not in order was kept ahead. */
		if (end == FETCH_OK && !w->over && take_back(w, stop, e) < 0)
			end = end_by(e);
	}
	return end;
}

enum fetch_end
xet_fetch(const struct xet_fetch *f, struct err *e)
{
	struct window w = {.f = f};
	enum fetch_end end = get_recon(f, &w.recon, &w.end, e);

	if (end != FETCH_OK)
		return end;
	window_init(&w);
	/* If each term has its range, all comes in order. */
	f->begin(f->ctx, w.recon.terms > w.recon.ranges ? w.end : 0);
	end = fetch_terms(&w, e);
	window_release(&w);
	if (end == FETCH_OK) {
		pthread_mutex_lock(&f->xet->lock);
		f->xet->given_up = 0;
		pthread_mutex_unlock(&f->xet->lock);
	}
	return end;
}
