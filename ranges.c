#include "ranges.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "mem.h"

static struct range *
add(struct ranges *s, uint64_t begin, uint64_t end)
{
	struct range *r = xcalloc(1, sizeof(*r));

	*r = (struct range){begin, begin, end, 0, true, s->first};
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

struct range *
ranges_take(
    struct ranges *s, uint64_t limit, ranges_missing *missing, void *ctx)
{
	uint64_t first = 0, end;

	for (struct range *r = s->first; r; r = r->next)
		if (!r->busy) {
			r->busy = true;
			return r;
		}
	while (missing(ctx, first, limit, &first, &end))
		if (!avoid(s, &first, &end))
			return add(s, first, end);
	return NULL;
}

struct range *
ranges_split(struct ranges *s, uint64_t least)
{
	struct range *most = NULL;
	uint64_t left, cut, end;

	for (struct range *r = s->first; r; r = r->next)
		if (r->busy && (!most || r->end - r->at > most->end - most->at))
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
	return add(s, cut, end);
}

struct range *
ranges_rescue(struct ranges *s, uint64_t before)
{
	for (struct range *r = s->first; r; r = r->next) {
		uint64_t end = r->end;

		if (!r->busy || r->moved >= before || r->at == end)
			continue;
		r->end = r->at;
		return add(s, r->at, end);
	}
	return NULL;
}

void
ranges_whole(struct ranges *s, struct range *r, uint64_t size)
{
	struct range **p = &s->first;

	while (*p) {
		struct range *other = *p;

		if (other == r) {
			p = &other->next;
			continue;
		}
		assert(!other->busy);
		*p = other->next;
		free(other);
	}
	r->begin = r->at = 0;
	r->end = size;
}

void
ranges_put(struct ranges *s, struct range *r)
{
	assert(r->busy);
	r->busy = false;
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
ranges_busy(const struct ranges *s)
{
	unsigned n = 0;

	for (const struct range *r = s->first; r; r = r->next)
		n += r->busy;
	return n;
}

void
ranges_release(struct ranges *s)
{
	while (s->first) {
		struct range *r = s->first;

		assert(!r->busy);
		s->first = r->next;
		free(r);
	}
}
