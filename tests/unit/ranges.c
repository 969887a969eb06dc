#include "../../queue.c"

#include "str.h"
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK 10
#define SIZE 1000
#define ALL UINT64_MAX

/* Stands in for partial.c: a file of SIZE bytes, and which blocks are here. */
struct partial {
	bool here[SIZE / BLOCK];
};

/* Whole blocks, from the next block boundary on. */
bool
partial_missing(struct partial *p, uint64_t from, uint64_t limit,
    uint64_t *first, uint64_t *end)
{
	size_t b = (size_t)((from + BLOCK - 1) / BLOCK), e;

	while (b < countof(p->here) && p->here[b])
		b++;
	if (b >= countof(p->here))
		return false;
	e = b + 1;
	while (
	    e < countof(p->here) && !p->here[e] && (e + 1 - b) * BLOCK <= limit)
		e++;
	*first = b * BLOCK;
	*end = e * BLOCK;
	return true;
}

/* The download queue in queue.c calls these. */
uint64_t
partial_size(const struct partial *p)
{
	return sizeof(p->here) / sizeof(p->here[0]) * BLOCK;
}

uint64_t
partial_here(struct partial *p)
{
	return p->here[0];
}

bool
partial_in_order(const struct partial *p)
{
	return p->here[0];
}

static bool
sane(const struct ranges *s)
{
	unsigned held = 0;

	for (const struct range *a = s->first; a; a = a->next) {
		held += a->holder != NULL;
		if (a->begin > a->at || a->at > a->end)
			return false;
		if (!a->holder && (a->at == a->end || a->pinned))
			return false;
		for (const struct range *b = a->next; b; b = b->next)
			if (a->begin < b->end && b->begin < a->end)
				return false;
	}
	return held == ranges_held(s);
}

/* Eight holders: only their addresses count. */
static char who[8];

static bool
is(const struct range *r, uint64_t begin, uint64_t at, uint64_t end,
    const void *holder)
{
	return r && r->begin == begin && r->at == at && r->end == end &&
	       r->holder == holder && !r->pinned;
}

/* Completes and removes all ranges. */
static void
complete(struct ranges *s)
{
	while (s->first) {
		struct range *r = s->first;

		r->holder = &who[0];
		ranges_advance(r, r->end - r->at, BLOCK);
		ranges_put(s, r);
	}
}

static void
test_take(void)
{
	struct partial f = {0};
	struct ranges s = {0};
	struct range *a, *b, *c;

	f.here[1] = f.here[5] = true;
	a = ranges_take(&s, 0, ALL, &f, &who[0]);
	b = ranges_take(&s, 0, 30, &f, &who[1]);
	c = ranges_take(&s, 0, ALL, &f, &who[2]);
	CHECK(is(a, 0, 0, 10, &who[0]) && is(b, 20, 20, 50, &who[1]));
	CHECK(is(c, 60, 60, SIZE, &who[2]));
	CHECK(!ranges_take(&s, 0, ALL, &f, &who[3]));
	CHECK(ranges_held(&s) == 3 && sane(&s));
	/* A range that was put back keeps its beginning and its sum. */
	ranges_advance(b, 15, BLOCK);
	f.here[2] = true;
	b->sum = 99;
	ranges_put(&s, b);
	CHECK(ranges_held(&s) == 2 && is(b, 30, 35, 50, NULL) && sane(&s));
	CHECK(ranges_written(&s, 30) == 35 && ranges_written(&s, 34) == 35);
	CHECK(ranges_written(&s, 35) == 35 && ranges_written(&s, 29) == 29);
	CHECK(ranges_take(&s, 0, 1, &f, &who[3]) == b);
	CHECK(is(b, 30, 35, 50, &who[3]) && b->sum == 99);
	/* A complete range is removed. */
	ranges_advance(a, 10, BLOCK);
	f.here[0] = true;
	CHECK(is(a, 10, 10, 10, &who[0]));
	ranges_put(&s, a);
	CHECK(ranges_held(&s) == 2 && sane(&s));
	ranges_put(&s, b);
	ranges_put(&s, c);
	ranges_release(&s);
	CHECK(!s.first);
}

/* From an offset on: the lower one of the waiting ranges and the free bytes. */
static void
test_take_from(void)
{
	struct partial f = {0};
	struct ranges s = {0};
	struct range *a, *b, *c;

	a = ranges_take(&s, 0, 100, &f, &who[0]);
	b = ranges_take(&s, 500, 100, &f, &who[0]);
	CHECK(is(a, 0, 0, 100, &who[0]) && is(b, 500, 500, 600, &who[0]));
	ranges_advance(a, 33, BLOCK);
	ranges_advance(b, 7, BLOCK);
	f.here[0] = f.here[1] = f.here[2] = true;
	ranges_put(&s, a);
	ranges_put(&s, b);
	/* a waits at 33, which is before 34, though its end is not. */
	c = ranges_take(&s, 34, 50, &f, &who[1]);
	CHECK(is(c, 100, 100, 150, &who[1]) && sane(&s));
	ranges_put(&s, c);
	CHECK(ranges_take(&s, 33, 50, &f, &who[1]) == a);
	CHECK(ranges_take(&s, 0, 50, &f, &who[2]) == c);
	/* b is lower than the free bytes after it. */
	CHECK(is(ranges_take(&s, 0, 350, &f, &who[3]), 150, 150, 500, &who[3]));
	CHECK(ranges_take(&s, 0, 50, &f, &who[4]) == b);
	ranges_put(&s, b);
	c = ranges_take(&s, 508, ALL, &f, &who[4]);
	CHECK(is(c, 600, 600, SIZE, &who[4]));
	CHECK(!ranges_take(&s, 508, ALL, &f, &who[5]));
	CHECK(!ranges_take(&s, SIZE, ALL, &f, &who[5]));
	CHECK(ranges_take(&s, 507, ALL, &f, &who[5]) == b);
	CHECK(sane(&s) && ranges_held(&s) == 5);
	complete(&s);
}

/* From the middle of a block on, the first missing byte is that of the next
 * block. */
static void
test_take_between(void)
{
	struct partial f = {0};
	struct ranges s = {0};
	struct range *a = ranges_take(&s, 1, ALL, &f, &who[0]);

	CHECK(is(a, 10, 10, SIZE, &who[0]));
	CHECK(is(ranges_take(&s, 0, ALL, &f, &who[1]), 0, 0, 10, &who[1]));
	CHECK(!ranges_take(&s, SIZE - 1, ALL, &f, &who[1]));
	complete(&s);
}

/* begin advances by whole blocks, so begin and at are in one block. */
static void
test_advance(void)
{
	static const struct {
		uint64_t n, begin, at;
	} t[] = {{0, 20, 20}, {1, 20, 21}, {8, 20, 29}, {1, 30, 30},
	    {25, 50, 55}, {4, 50, 59}, {2, 60, 61}, {39, 100, 100}};
	struct partial f = {0};
	struct ranges s = {0};
	struct range *r;

	f.here[0] = f.here[1] = true;
	r = ranges_take(&s, 0, 80, &f, &who[0]);
	for (size_t i = 0; i < countof(t); i++) {
		ranges_advance(r, t[i].n, BLOCK);
		CHECK_ROW(i, is(r, t[i].begin, t[i].at, 100, &who[0]));
		CHECK_ROW(i, ranges_written(&s, t[i].begin) == t[i].at);
	}
	ranges_put(&s, r);
	CHECK(!s.first);
	/* The end of a file lies within its last block. */
	r = ranges_take(&s, 980, 10, &f, &who[0]);
	r->end = 987;
	ranges_advance(r, 7, BLOCK);
	CHECK(is(r, 980, 987, 987, &who[0]));
	CHECK(ranges_written(&s, 980) == 987);
	ranges_put(&s, r);
	CHECK(!s.first);
}

static void
test_split(void)
{
	struct partial f = {0};
	struct ranges s = {0};
	struct range *a, *b;

	CHECK(!ranges_split(&s, BLOCK, &who[0]));
	a = ranges_take(&s, 0, ALL, &f, &who[0]);
	ranges_advance(a, 503, BLOCK);
	a->sum = 5;
	b = ranges_split(&s, BLOCK, &who[1]);
	CHECK(is(b, 760, 760, SIZE, &who[1]) && !b->sum);
	CHECK(is(a, 500, 503, 760, &who[0]) && a->sum == 5);
	/* The rest is too short to be split. */
	ranges_advance(a, 242, BLOCK);
	ranges_advance(b, 225, BLOCK);
	CHECK(a->end - a->at == 15 && b->end - b->at == 15);
	CHECK(!ranges_split(&s, BLOCK, &who[2]));
	CHECK(sane(&s));
	ranges_put(&s, a);
	ranges_put(&s, b);
	/* Waiting ranges are not split. */
	CHECK(!ranges_split(&s, 1, &who[2]));
	ranges_release(&s);
}

/* The cut is a multiple of least, wherever the range begins; neither half is
 * shorter than least, except at the end of the file. */
static void
test_split_anywhere(void)
{
	for (uint64_t at = 0; at < SIZE; at++)
		for (uint64_t least = BLOCK; least <= 300; least += 290) {
			struct partial f = {0};
			struct ranges s = {0};
			struct range *b,
			    *a = ranges_take(&s, 0, ALL, &f, &who[0]);

			ranges_advance(a, at, BLOCK);
			b = ranges_split(&s, least, &who[1]);
			CHECK_ROW(at, b || SIZE - at < 3 * least);
			CHECK_ROW(at, !b || SIZE - at >= 2 * least);
			CHECK_ROW(at, !b || b->begin % least == 0);
			CHECK_ROW(at, !b || b->begin - a->at >= least);
			CHECK_ROW(
			    at, !b || (a->end == b->at && b->end == SIZE));
			CHECK_ROW(at, sane(&s));
			complete(&s);
		}
}

/* Of the held ranges, the one with most bytes left is split. */
static void
test_split_longest(void)
{
	struct partial f = {0};
	struct ranges s = {0};
	struct range *a, *b, *c;

	a = ranges_take(&s, 0, 500, &f, &who[0]);
	b = ranges_take(&s, 0, 300, &f, &who[1]);
	c = ranges_take(&s, 0, ALL, &f, &who[2]);
	ranges_put(&s, a);
	CHECK(is(ranges_split(&s, BLOCK, &who[3]), 650, 650, 800, &who[3]));
	CHECK(is(b, 500, 500, 650, &who[1]) && is(a, 0, 0, 500, NULL));
	CHECK(is(ranges_split(&s, BLOCK, &who[4]), 900, 900, SIZE, &who[4]));
	CHECK(is(c, 800, 800, 900, &who[2]) && sane(&s));
	for (struct range *r = s.first; r; r = r->next)
		if (r->holder)
			ranges_put(&s, r);
	ranges_release(&s);
}

/* What the holder writes ahead stays with it, until it gives the range back. */
static void
test_split_behind_reserved(void)
{
	struct partial f = {0};
	struct ranges s = {0};
	struct range *a, *b;

	a = ranges_take(&s, 0, ALL, &f, &who[0]);
	ranges_advance(a, 103, BLOCK);
	a->reserved = 600;
	b = ranges_split(&s, BLOCK, &who[1]);
	CHECK(is(b, 800, 800, SIZE, &who[1]) && a->end == 800);
	/* It was cut before its holder knew what to reserve. */
	a->reserved = 900;
	b = ranges_split(&s, BLOCK, &who[2]);
	CHECK(is(b, 900, 900, SIZE, &who[2]) && a->end == 800);
	ranges_advance(b, 90, BLOCK);
	CHECK(!ranges_split(&s, 100, &who[3]));
	ranges_put(&s, a);
	CHECK(a->reserved == 0);
	a->holder = &who[4];
	CHECK(is(ranges_split(&s, BLOCK, &who[3]), 460, 460, 800, &who[3]));
	complete(&s);
}

static void
test_stalled(void)
{
	struct partial f = {0};
	struct ranges s = {0};
	struct range *a, *b;

	CHECK(!ranges_stalled(&s, ALL));
	a = ranges_take(&s, 0, 500, &f, &who[0]);
	b = ranges_take(&s, 0, 500, &f, &who[1]);
	a->moved = 100;
	b->moved = 200;
	ranges_advance(a, 33, BLOCK);
	CHECK(!ranges_stalled(&s, 100));
	CHECK(ranges_stalled(&s, 101) == a && ranges_stalled(&s, 150) == a);
	/* A pinned range stays with its holder. */
	a->pinned = true;
	CHECK(!ranges_stalled(&s, 150));
	CHECK(ranges_stalled(&s, 201) == b);
	a->pinned = false;
	CHECK(ranges_stalled(&s, 150) == a);
	/* The rescued range keeps its bounds. */
	a->holder = &who[2];
	a->moved = 150;
	CHECK(is(a, 30, 33, 500, &who[2]) && sane(&s));
	CHECK(!ranges_stalled(&s, 150));
	/* A complete range is not rescued. */
	ranges_advance(b, 500, BLOCK);
	CHECK(ranges_stalled(&s, ALL) == a);
	ranges_put(&s, a);
	CHECK(!ranges_stalled(&s, ALL));
	ranges_put(&s, b);
	ranges_release(&s);
}

/*
 * Random steps of five holders, compared with an array of bytes. Each byte is
 * written once, unless its block was dropped meanwhile; a block is here after
 * all its bytes were written in order.
 */
struct model {
	struct partial f;
	struct ranges s;
	struct range *of[5]; /* the range that each holder believes to hold */
	unsigned char times[SIZE];
	uint32_t seed;
	unsigned wrong, rescues, splits, puts;
};

static uint32_t
chance(struct model *m, uint32_t n)
{
	m->seed = m->seed * 1103515245 + 12345;
	return (m->seed >> 8) % n;
}

/* No byte is in two ranges, or in a range and in a block that is here. */
static bool
no_byte_twice(const struct model *m)
{
	unsigned char in[SIZE] = {0};

	for (const struct range *r = m->s.first; r; r = r->next)
		for (uint64_t i = r->begin; i < r->end; i++)
			if (in[i]++ || m->f.here[i / BLOCK])
				return false;
	for (size_t i = 0; i < countof(m->of); i++)
		if (m->of[i] && m->of[i]->holder != &m->of[i])
			return false;
	return true;
}

static void
write_some(struct model *m, struct range *r)
{
	uint64_t n = chance(m, 25), at = r->at;

	if (n > r->end - r->at)
		n = r->end - r->at;
	for (uint64_t i = at; i < at + n; i++) {
		m->wrong += m->times[i]++ != 0;
		if ((i + 1) % BLOCK == 0)
			m->f.here[i / BLOCK] = true;
	}
	ranges_advance(r, n, BLOCK);
	r->moved++;
}

/* Drops block i, if it is here, as after a wrong checksum: it is fetched again. */
static void
forget(struct model *m, size_t i)
{
	if (!m->f.here[i])
		return;
	m->f.here[i] = false;
	memset(m->times + i * BLOCK, 0, BLOCK);
}

static struct range *
find_work(struct model *m, void *holder)
{
	uint64_t from = chance(m, 3) ? 0 : chance(m, SIZE);
	uint64_t limit = (1 + chance(m, 12)) * BLOCK;
	struct range *r = ranges_take(&m->s, from, limit, &m->f, holder);

	if (r)
		m->wrong += r->at < from;
	if (!r && chance(m, 2)) {
		r = ranges_split(&m->s, BLOCK, holder);
		m->splits += r != NULL;
	}
	if (!r && chance(m, 2)) {
		r = ranges_stalled(&m->s, 1 + chance(m, 40));
		if (r) {
			m->wrong += r->pinned;
			*(struct range **)r->holder = NULL;
			r->holder = holder;
			m->rescues++;
		}
	}
	return r;
}

static void
step(struct model *m)
{
	struct range **r = &m->of[chance(m, countof(m->of))];

	if (!*r) {
		*r = find_work(m, r);
	} else if ((*r)->pinned) {
		write_some(m, *r);
		(*r)->pinned = false;
	} else if ((*r)->at == (*r)->end || !chance(m, 12)) {
		ranges_put(&m->s, *r);
		*r = NULL;
		m->puts++;
	} else {
		(*r)->pinned = true;
	}
	if (!chance(m, 200))
		forget(m, chance(m, SIZE / BLOCK));
}

/* All holders put their ranges back, and one fetches the rest. */
static void
finish(struct model *m)
{
	struct range *r;

	for (size_t i = 0; i < countof(m->of); i++)
		if (m->of[i]) {
			m->of[i]->pinned = false;
			ranges_put(&m->s, m->of[i]);
		}
	memset(m->of, 0, sizeof(m->of));
	while ((r = ranges_take(&m->s, 0, ALL, &m->f, &m->of[0]))) {
		while (r->at < r->end)
			write_some(m, r);
		ranges_put(&m->s, r);
	}
}

static void
test_model(void)
{
	unsigned rescues = 0, splits = 0, puts = 0;

	for (uint32_t seed = 1; seed <= 300; seed++) {
		struct model m = {.seed = seed * 2654435761};

		for (size_t i = 0; i < countof(m.f.here); i++)
			if (!chance(&m, 4)) {
				m.f.here[i] = true;
				memset(m.times + i * BLOCK, 1, BLOCK);
			}
		for (unsigned i = 0; i < 1500 && !m.wrong; i++) {
			step(&m);
			m.wrong += !sane(&m.s) || !no_byte_twice(&m);
		}
		finish(&m);
		CHECK_ROW(seed, !m.wrong && !m.s.first);
		for (size_t i = 0; i < SIZE; i++)
			if (m.times[i] != 1 || !m.f.here[i / BLOCK])
				m.wrong++;
		CHECK_ROW(seed, !m.wrong);
		rescues += m.rescues;
		splits += m.splits;
		puts += m.puts;
	}
	CHECK(rescues > 1000 && splits > 300 && puts > 10000);
}

int
main(void)
{
	test_take();
	test_take_from();
	test_take_between();
	test_advance();
	test_split();
	test_split_anywhere();
	test_split_longest();
	test_split_behind_reserved();
	test_stalled();
	test_model();
	return test_end();
}
