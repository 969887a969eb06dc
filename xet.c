#include "xet.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "chunk.h"
#include "client.h"
#include "err.h"
#include "file.h"
#include "http.h"
#include "progress.h"
#include "repo.h"
#include "str.h"
#include "url.h"
#include "wait.h"

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

/* A chunk of an old file: its size, and the beginning of its name, by which a
 * change is noticed. */
struct piece {
	uint32_t size;
	unsigned char name[8];
};

/* An old file. */
struct old {
	struct old *next;
	int fd;
	atomic_bool broken; /* cannot be read any more, or has changed */
	struct piece *piece;
	size_t pieces;
};

/* Chunks of a xorb, from first to before end, that stand in a row there. */
struct run {
	struct xethash xorb;
	uint32_t first, end;
	struct old *old;
	size_t chunk; /* the number of the first in the old file, */
	uint64_t at;  /* and its place there */
};

struct xet {
	const struct repo *repo;
	const char *revision;
	bool writes;
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
	/* By xet_from(), before there are threads. */
	struct old *old;
	struct run *run; /* by xorb and first chunk */
	size_t runs;
};

struct xet *
xet_open(const struct repo *repo, const char *commit, struct progress *notes)
{
	struct xet *x = xcalloc(1, sizeof(*x));

	x->repo = repo;
	x->revision = commit;
	x->notes = notes;
	x->window = XET_WINDOW;
	pthread_mutex_init(&x->renewal, NULL);
	pthread_mutex_init(&x->lock, NULL);
	return x;
}

struct xet *
xet_open_to_write(
    const struct repo *repo, const char *revision, struct progress *notes)
{
	struct xet *x = xet_open(repo, revision, notes);

	x->writes = true;
	return x;
}

void
xet_close(struct xet *x)
{
	struct old *o;

	if (!x)
		return;
	while ((o = x->old)) {
		x->old = o->next;
		close(o->fd);
		free(o->piece);
		free(o);
	}
	free(x->run);
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

/* What is done without Xet. */
static const char *
otherwise(const struct xet *x)
{
	return x->writes ? "sending by LFS" : "fetching over plain HTTP";
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
		progress_note(x->notes, "Xet: %s; %s from now on", why->msg,
		    otherwise(x));
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
		progress_note(x->notes, "%s: Xet: %s; %s instead", name,
		    why->msg, otherwise(x));
	if (last)
		turn_off(x, why);
}

void
xet_worked(struct xet *x)
{
	pthread_mutex_lock(&x->lock);
	x->given_up = 0;
	pthread_mutex_unlock(&x->lock);
}

enum fetch_end
xet_trouble(const struct err *e)
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

/* With renewal held: asks the Hub for access. That has its own retries: if they
 * fail, none of the threads that wait for renewal begins them again. */
static enum fetch_end
renew(struct xet *x, struct err *e)
{
	struct xet_access fresh;
	struct err stopped;

	if (repo_xet(x->repo, x->revision, x->writes, &fresh, e) < 0)
		return wait_check(&stopped) < 0 ? FETCH_FAILED : turn_off(x, e);
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

/* --- Requests to the storage. --- */

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

enum fetch_end
xet_refusal(const struct http_head *h, struct err *e)
{
	name_status(h, "the Xet storage", e);
	return xet_trouble(e);
}

struct response *
xet_call(struct xet *x, const char *path, struct request *q,
    enum fetch_end *end, struct err *e)
{
	struct buf url = buf_make(URL_MAX);
	struct response *resp = NULL;
	unsigned number = 0, refused;

	do {
		struct xet_access a;

		refused = number;
		response_close(resp);
		resp = NULL;
		*end = get_access(x, refused, &a, &number, e);
		if (*end != FETCH_OK)
			break;
		buf_clear(&url);
		buf_printf(&url, "%s%s", a.url, path);
		q->url = buf_cstr(&url);
		q->bearer = a.token;
		resp = client_send(x->repo->client, q, e);
		q->url = q->bearer = NULL;
		xet_access_release(&a);
		if (!resp)
			*end = xet_trouble(e);
	} while (resp && response_head(resp)->status == 401 && !refused);
	buf_release(&url);
	return resp;
}

/* --- What the storage says of a window. --- */

/* Makes one request. *status is that of the answer, 0 if there was none. */
static enum fetch_end
ask_once(const struct xet_fetch *f, uint64_t last, bool v1, struct buf *text,
    unsigned *status, struct err *e)
{
	struct buf path = buf_make(256);
	struct request req = {
	    .method = "GET", .ranged = true, .first = f->first, .last = last};
	struct response *resp;
	enum fetch_end end;

	*status = 0;
	buf_clear(text);
	buf_printf(&path, "/v%d/reconstructions/%s", v1 ? 1 : 2, f->hash);
	resp = xet_call(f->xet, buf_cstr(&path), &req, &end, e);
	if (resp) {
		*status = response_head(resp)->status;
		if (*status / 100 != 2)
			end = xet_refusal(response_head(resp), e);
		else if (response_text(resp, text, e) < 0)
			end = xet_trouble(e);
	}
	response_close(resp);
	buf_release(&path);
	return end;
}

/* Asks for the terms of a window, in version 1 where there is no version 2. */
static enum fetch_end
ask(const struct xet_fetch *f, uint64_t last, struct buf *text, struct err *e)
{
	struct xet *x = f->xet;
	enum fetch_end end;
	unsigned status;
	bool v1;

	pthread_mutex_lock(&x->lock);
	v1 = x->v1;
	pthread_mutex_unlock(&x->lock);
	end = ask_once(f, last, v1, text, &status, e);
	if (v1 || (status != 404 && status != 501))
		return end;
	end = ask_once(f, last, true, text, &status, e);
	if (end == FETCH_OK) {
		pthread_mutex_lock(&x->lock);
		x->v1 = true;
		pthread_mutex_unlock(&x->lock);
	}
	return end;
}

/* The answer was too long: the next windows are shorter. False if they were the
 * shortest already. */
static bool
shorten(struct xet *x, uint64_t *window, uint64_t asked)
{
	bool shorter;

	pthread_mutex_lock(&x->lock);
	shorter = asked > WINDOW_LEAST;
	if (shorter && *window >= asked)
		*window = asked / 4 > WINDOW_LEAST ? asked / 4 : WINDOW_LEAST;
	pthread_mutex_unlock(&x->lock);
	return shorter;
}

/* Finds out the terms of the window, which begins at f->first and is no longer
 * than *window; sets *end to its end. The caller releases *out. */
static enum fetch_end
get_recon(const struct xet_fetch *f, uint64_t *window, struct recon *out,
    uint64_t *end, struct err *e)
{
	struct buf text = buf_make(ANSWER_MAX);
	enum fetch_end rv;
	uint64_t length;

	do {
		pthread_mutex_lock(&f->xet->lock);
		length = *window;
		pthread_mutex_unlock(&f->xet->lock);
		if (length > f->last - f->first + 1)
			length = f->last - f->first + 1;
		rv = ask(f, f->first + length - 1, &text, e);
	} while (rv == FETCH_ELSEWHERE && text.len == text.max &&
		 shorten(f->xet, window, length));
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

/* --- Old files. --- */

#define READ_SIZE ((size_t)64 << 10)

/* The longest window of an old file: only its terms are wanted. */
#define OLD_WINDOW ((uint64_t)4 << 30)

/* How often that is tried, and the longest wait (s) that the storage may ask
 * for in between. */
#define OLD_TRIES 3
#define OLD_WAIT_MAX 10

/* Adds elements one by one; the memory doubles. */
static void *
one_more(void *p, size_t n, size_t size)
{
	return n & (n - 1) ? p : xreallocarray(p, n ? 2 * n : 1, size);
}

/* Cuts the file into chunks, and gives the hash by which the storage knows it. */
static int
cut(struct old *o, uint64_t size, const char *name, struct xethash *out,
    void (*tick)(void *ctx, size_t n), void *ctx, struct err *e)
{
	unsigned char *bytes = xmalloc(READ_SIZE);
	struct cutter *c = xmalloc(sizeof(*c));
	int rv = 0;

	cutter_init(c);
	for (uint64_t at = 0; rv == 0 && at < size;) {
		size_t n =
		    size - at < READ_SIZE ? (size_t)(size - at) : READ_SIZE;

		rv = wait_check(e);
		if (rv == 0)
			rv = file_pread(o->fd, bytes, n, at, name, e);
		at += n;
		for (size_t i = 0; rv == 0 && i < n;) {
			struct xethash hash;
			size_t chunk;

			i += cutter_take(
			    c, bytes + i, n - i, at == size, &hash, &chunk);
			if (!chunk)
				continue;
			o->piece =
			    one_more(o->piece, o->pieces, sizeof(o->piece[0]));
			o->piece[o->pieces].size = (uint32_t)chunk;
			memcpy(o->piece[o->pieces++].name, hash.b,
			    sizeof(o->piece[0].name));
		}
		if (rv == 0)
			tick(ctx, n);
	}
	hashtree_file(&c->tree, out);
	free(c);
	free(bytes);
	return rv;
}

/* Adds the chunks of a term, which are those of the file from *chunk on, at *at,
 * to the last run if they go on there. False if these are not as long: then the file has other chunks. */
static bool
add_run(struct xet *x, struct old *o, const struct recon *r,
    const struct recon_term *t, size_t *chunk, uint64_t *at)
{
	const struct recon_range *range = &r->range[t->range];
	uint32_t first = range->first + t->first;
	struct run *run;
	uint64_t size = 0;

	if (t->count > o->pieces - *chunk)
		return false;
	for (size_t i = 0; i < t->count; i++)
		size += o->piece[*chunk + i].size;
	if (size != t->size)
		return false;
	run = x->runs ? &x->run[x->runs - 1] : NULL;
	if (run && run->old == o && run->end == first &&
	    run->chunk + (run->end - run->first) == *chunk &&
	    xethash_same(&run->xorb, &range->xorb)) {
		run->end += t->count;
	} else {
		x->run = one_more(x->run, x->runs, sizeof(x->run[0]));
		x->run[x->runs++] = (struct run){.xorb = range->xorb,
		    .first = first,
		    .end = first + t->count,
		    .old = o,
		    .chunk = *chunk,
		    .at = *at};
	}
	*chunk += t->count;
	*at += size;
	return true;
}

/* The same as get_recon(), with retries. */
static enum fetch_end
get_recon_again(const struct xet_fetch *f, uint64_t *window, struct recon *out,
    uint64_t *end, struct err *e)
{
	enum fetch_end rv;

	for (unsigned failed = 0;;) {
		rv = get_recon(f, window, out, end, e);
		if (rv != FETCH_FAILED || e->kind != ERR_NET ||
		    ++failed >= OLD_TRIES || e->wait > OLD_WAIT_MAX ||
		    wait_until(wait_retry(failed, e->wait), e) < 0)
			return rv;
	}
}

/* Asks of which xorbs the file is made. */
static enum fetch_end
ask_runs(struct xet *x, struct old *o, const char *hash, uint64_t size,
    struct err *e)
{
	uint64_t window = OLD_WINDOW, at = 0, end;
	size_t chunk = 0;

	while (at < size) {
		const struct xet_fetch f = {
		    .xet = x, .hash = hash, .first = at, .last = size - 1};
		enum fetch_end rv;
		struct recon r;
		bool fits;

		rv = get_recon_again(&f, &window, &r, &end, e);
		if (rv != FETCH_OK)
			return rv;
		/* Whole terms may come, also before the window. */
		for (uint64_t skip = r.skip; skip && chunk > 0;) {
			uint64_t n = o->piece[--chunk].size;

			at -= n;
			skip -= n < skip ? n : skip;
		}
		fits = at == f.first - r.skip;
		for (size_t i = 0; i < r.terms && fits; i++)
			fits = add_run(x, o, &r, &r.term[i], &chunk, &at);
		recon_release(&r);
		if (!fits || at < end) {
			err_set(e, ERR_CONTENT,
			    "the storage describes other chunks than it has");
			return FETCH_ELSEWHERE;
		}
	}
	return FETCH_OK;
}

static int
by_xorb(const void *a, const void *b)
{
	const struct run *x = a, *y = b;
	int order = xethash_compare(&x->xorb, &y->xorb);

	return order ? order : (x->first > y->first) - (x->first < y->first);
}

int
xet_from(struct xet *x, int fd, uint64_t size, const char *name,
    void (*tick)(void *ctx, size_t n), void *ctx, struct err *e)
{
	struct old *o = xcalloc(1, sizeof(*o));
	struct xet_access a = {.url = NULL};
	char text[XETHASH_TEXT + 1];
	struct xethash hash;
	enum fetch_end end;
	unsigned number;

	o->fd = fd;
	o->next = x->old;
	x->old = o;
	/* Without access it need not be read. */
	end = get_access(x, 0, &a, &number, e);
	xet_access_release(&a);
	if (end == FETCH_OK && cut(o, size, name, &hash, tick, ctx, e) < 0) {
		end = FETCH_FAILED;
	} else if (end == FETCH_OK) {
		xethash_text(&hash, text);
		end = ask_runs(x, o, text, size, e);
	}
	if (end != FETCH_OK && e->kind == ERR_STOPPED)
		return -1;
	if (end != FETCH_OK && x->notes)
		progress_note(
		    x->notes, "--from %s is not used: %s", name, e->msg);
	if (x->runs > 1)
		qsort(x->run, x->runs, sizeof(x->run[0]), by_xorb);
	return 0;
}

/* The old file that has all chunks of a term, the number of the first there, and
 * where it begins; NULL if there is none. */
static struct old *
find_old(const struct xet *x, const struct recon *r, const struct recon_term *t,
    size_t *first, uint64_t *at)
{
	const struct recon_range *range = &r->range[t->range];
	const struct run wanted = {.xorb = range->xorb,
	    .first = range->first + t->first,
	    .end = range->first + t->first + t->count};
	size_t low = 0, high = x->runs;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (by_xorb(&x->run[middle], &wanted) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low > 0; low--) {
		const struct run *found = &x->run[low - 1];
		uint64_t size = 0;
		size_t chunk = found->chunk;

		if (!xethash_same(&found->xorb, &wanted.xorb))
			break;
		if (found->end < wanted.end || found->old->broken)
			continue;
		*at = found->at;
		for (; chunk < found->chunk + (wanted.first - found->first);
		     chunk++)
			*at += found->old->piece[chunk].size;
		*first = chunk;
		for (uint32_t i = 0; i < t->count; i++)
			size += found->old->piece[chunk + i].size;
		if (size == t->size)
			return found->old;
	}
	return NULL;
}

/* --- A window. --- */

/* Where a term is in the file. */
struct place {
	uint64_t at;   /* its first byte, also if that is before the window */
	uint64_t done; /* bytes of it that were unpacked */
	size_t next;   /* the next term of the same range; no term: none */
	/* The old file that has it, its first chunk there, and where that is;
	 * NULL: it is to be fetched. */
	struct old *old;
	size_t piece;
	uint64_t from;
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
	unsigned char *chunk; /* of an old file; NULL so far */
	bool repeats;         /* some range has several terms */
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
		struct place *p = &w->place[i];

		p->old =
		    find_old(w->f->xet, r, &r->term[i], &p->piece, &p->from);
		p->at = at;
		at += r->term[i].size;
	}
	for (size_t i = r->terms; i-- > 0;) {
		size_t *first = &w->first[r->term[i].range];

		if (w->place[i].old)
			continue;
		w->repeats = w->repeats || *first < r->terms;
		w->place[i].next = *first;
		*first = i;
	}
}

static void
window_release(struct window *w)
{
	unpacker_release(&w->unpacker);
	recon_release(&w->recon);
	free(w->chunk);
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

/* Reads a chunk of an old file; it must be what it was when it was cut. */
static int
read_piece(
    struct window *w, struct old *o, size_t piece, uint64_t from, struct err *e)
{
	const struct piece *p = &o->piece[piece];
	struct blake3 h;
	struct xethash name;
	int rv;

	if (!w->chunk)
		w->chunk = xmalloc(CHUNK_MAX);
	rv =
	    file_pread(o->fd, w->chunk, p->size, from, "the file of --from", e);
	if (rv == 0) {
		blake3_init(&h, NULL);
		xethash_begin(&h, XET_CHUNK);
		blake3_update(&h, w->chunk, p->size);
		xethash_end(&h, &name);
		if (memcmp(name.b, p->name, sizeof(p->name)) == 0)
			return 0;
		err_set(e, ERR_NET, "the file of --from has changed");
	}
	/* The next try fetches it. */
	o->broken = true;
	if (e->kind != ERR_STOPPED)
		e->kind = ERR_NET;
	return -1;
}

/* Gives the bytes of a term up to that offset to the caller, from the old file
 * that has it. */
static int
take_old(struct window *w, const struct place *p, uint64_t end, struct err *e)
{
	uint64_t at = p->at, from = p->from;

	for (size_t i = p->piece; w->front < end && !w->over; i++) {
		uint64_t next = at + p->old->piece[i].size;

		if (next > w->front) {
			uint64_t skip = w->front - at;
			uint64_t stop = next < end ? next : end;

			if (read_piece(w, p->old, i, from, e) < 0 ||
			    take(w, (const char *)w->chunk + skip,
				(size_t)(stop - w->front), e) < 0)
				return -1;
		}
		from += next - at;
		at = next;
	}
	return 0;
}

/* Gives the bytes up to that offset to the caller, which keeps them ahead. */
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
		uint64_t left;

		if (number < t->first || number - t->first >= t->count)
			continue;
		left = t->size - p->done;
		if (chunk.n > left ||
		    (number - t->first == t->count - 1 && chunk.n < left))
			return err_set(e, ERR_CONTENT,
			    "chunks of a xorb are not as long as they should "
			    "be");
		if (put(w, p, chunk, e) < 0)
			return -1;
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
		uint64_t front = w->front;

		if (response_read(resp, w->bytes, n, &n, e) < 0)
			return -1;
		if (!n)
			return err_set(e, ERR_NET,
			    "a range of a xorb ends %" PRIu64 " bytes early",
			    left);
		left -= n;
		if (unpack(w, range, &number, n, e) < 0 ||
		    response_pace(resp, w->f->stall_ms, e) < 0 ||
		    (w->front == front && w->f->take(w->f->ctx, 0, e) < 0))
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
	    .no_follow = true,
	    .ranged = true,
	    .first = r->at,
	    .last = r->at + r->length - 1,
	};
	struct response *resp;
	enum fetch_end end;

	if (check_address(x, r->url, e) < 0)
		return xet_trouble(e);
	resp = client_send(x->repo->client, &req, e);
	if (!resp)
		return xet_trouble(e);
	end = check_range(r, resp, e);
	if (end == FETCH_OK && read_range(w, range, resp, e) < 0)
		end = xet_trouble(e);
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
		const struct place *p = &w->place[i];
		uint64_t stop = p->at + r->term[i].size;
		int rv;

		if (stop > w->end)
			stop = w->end;
		if (stop <= w->front)
			continue;
		if (!p->old && !w->came[r->term[i].range])
			end = fetch_range(w, r->term[i].range, e);
		if (end != FETCH_OK || w->over)
			break;
		/* All that is not in order was kept ahead. */
		rv = p->old ? take_old(w, p, stop, e) : take_back(w, stop, e);
		if (rv < 0)
			end = xet_trouble(e);
	}
	return end;
}

enum fetch_end
xet_fetch(const struct xet_fetch *f, struct err *e)
{
	struct window w = {.f = f};
	enum fetch_end end = get_recon(f, &f->xet->window, &w.recon, &w.end, e);

	if (end != FETCH_OK)
		return end;
	window_init(&w);
	/* If each term has its range, all comes in order. */
	f->begin(f->ctx, w.repeats ? w.end : 0);
	end = fetch_terms(&w, e);
	window_release(&w);
	if (end == FETCH_OK)
		xet_worked(f->xet);
	return end;
}
