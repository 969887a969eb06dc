#include "ranges.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "mem.h"

static struct range *
add(struct ranges *s, uint64_t begin, uint64_t end, void *holder)
{
	struct range *r = xcalloc(1, sizeof(*r));

	*r = (struct range){.begin = begin,
	    .at = begin,
	    .end = end,
	    .holder = holder,
	    .next = s->first};
	s->first = r;
	return r;
}

/* Moves *first behind the range that covers it, and *end before the range that
 * begins next. True if *first was moved. */
static bool
avoid(const struct ranges *s, uint64_t *first, uint64_t *end)
{
	for (const struct range *r = s->first; r; r = r->next) {
		if (*first >= r->begin && *first < r->end) {
			*first = r->end;
			return true;
		}
		if (r->begin > *first && r->begin < *end)
			*end = r->begin;
	}
	return false;
}

static struct range *
lowest_waiting(struct ranges *s, uint64_t from)
{
	struct range *low = NULL;

	for (struct range *r = s->first; r; r = r->next)
		if (!r->holder && r->at >= from && (!low || r->at < low->at))
			low = r;
	return low;
}

struct range *
ranges_take(struct ranges *s, uint64_t from, uint64_t limit,
    ranges_missing *missing, void *ctx, void *holder)
{
	struct range *waiting = lowest_waiting(s, from);
	uint64_t first = from, end;

	while (missing(ctx, first, limit, &first, &end))
		if (!avoid(s, &first, &end)) {
			if (waiting && waiting->at < first)
				break;
			return add(s, first, end, holder);
		}
	if (waiting)
		waiting->holder = holder;
	return waiting;
}

struct range *
ranges_split(struct ranges *s, uint64_t least, void *holder)
{
	struct range *most = NULL;
	uint64_t left, cut, end;

	for (struct range *r = s->first; r; r = r->next)
		if (r->holder &&
		    (!most || r->end - r->at > most->end - most->at))
			most = r;
	if (!most)
		return NULL;
	left = most->end - most->at;
	cut = most->at + left / 2;
	cut += (least - cut % least) % least;
	if (left / 2 < least || cut >= most->end)
		return NULL;
	end = most->end;
	most->end = cut;
	return add(s, cut, end, holder);
}

struct range *
ranges_stalled(struct ranges *s, uint64_t before)
{
	for (struct range *r = s->first; r; r = r->next)
		if (r->holder && !r->pinned && r->moved < before &&
		    r->at < r->end)
			return r;
	return NULL;
}

void
ranges_advance(struct range *r, uint64_t n, uint64_t block)
{
	uint64_t begin;

	assert(n <= r->end - r->at);
	r->at += n;
	begin = r->at - r->at % block;
	if (begin > r->begin)
		r->begin = begin;
}

void
ranges_put(struct ranges *s, struct range *r)
{
	assert(r->holder && !r->pinned);
	r->holder = NULL;
	if (r->at < r->end)
		return;
	for (struct range **p = &s->first; *p; p = &(*p)->next)
		if (*p == r) {
			*p = r->next;
			free(r);
			return;
		}
}

uint64_t
ranges_written(const struct ranges *s, uint64_t offset)
{
	for (const struct range *r = s->first; r; r = r->next)
		if (offset >= r->begin && offset < r->at)
			return r->at;
	return offset;
}

unsigned
ranges_held(const struct ranges *s)
{
	unsigned n = 0;

	for (const struct range *r = s->first; r; r = r->next)
		n += r->holder != NULL;
	return n;
}

void
ranges_release(struct ranges *s)
{
	while (s->first) {
		struct range *r = s->first;

		assert(!r->holder);
		s->first = r->next;
		free(r);
	}
}
