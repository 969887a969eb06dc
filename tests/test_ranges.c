#include "mem.h"
#include "ranges.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK 10
#define SIZE 1000

/* A file of SIZE bytes: what is here, by blocks, and what is being fetched. */
struct file {
	bool here[SIZE / BLOCK];
	bool claimed[SIZE];
};

static bool
missing(
    void *ctx, uint64_t from, uint64_t limit, uint64_t *first, uint64_t *end)
{
	const struct file *f = ctx;
	size_t b = (size_t)(from / BLOCK);

	while (b < countof(f->here) && f->here[b])
		b++;
	if (b == countof(f->here))
		return false;
	*first = b * BLOCK < from ? from : b * BLOCK;
	while (b < countof(f->here) && !f->here[b])
		b++;
	*end = b * BLOCK;
	if (*end - *first > limit)
		*end = *first + limit;
	return *first < *end;
}

static bool
sane(const struct ranges *s)
{
	for (const struct range *a = s->first; a; a = a->next) {
		if (a->begin > a->at || a->at > a->end)
			return false;
		if (!a->busy && a->at == a->end)
			return false;
		for (const struct range *b = a->next; b; b = b->next)
			if (a->begin < b->end && b->begin < a->end)
				return false;
	}
	return true;
}

static void
test_take(void)
{
	struct file f = {0};
	struct ranges s = {0};
	struct range *a, *b, *c;

	f.here[1] = f.here[5] = true;
	a = ranges_take(&s, 1000, missing, &f);
	b = ranges_take(&s, 30, missing, &f);
	c = ranges_take(&s, 1000, missing, &f);
	CHECK(a && a->begin == 0 && a->end == 10);
	CHECK(b && b->begin == 20 && b->end == 50);
	CHECK(c && c->begin == 60 && c->end == SIZE);
	CHECK(!ranges_take(&s, 1000, missing, &f));
	CHECK(ranges_busy(&s) == 3);
	/* What was begun is continued, with its beginning. */
	b->at = 35;
	ranges_put(&s, b);
	CHECK(ranges_busy(&s) == 2);
	CHECK(ranges_written(&s, 20) == 35 && ranges_written(&s, 34) == 35);
	CHECK(ranges_written(&s, 35) == 35 && ranges_written(&s, 19) == 19);
	CHECK(ranges_take(&s, 1, missing, &f) == b && b->begin == 20);
	/* A complete one is gone. */
	a->at = a->end;
	f.here[0] = true;
	ranges_put(&s, a);
	CHECK(ranges_busy(&s) == 2);
	CHECK(sane(&s));
	ranges_put(&s, b);
	ranges_put(&s, c);
	ranges_release(&s);
	CHECK(!s.first);
}

static void
test_split(void)
{
	struct file f = {0};
	struct ranges s = {0};
	struct range *a, *b;

	CHECK(!ranges_split(&s, BLOCK));
	a = ranges_take(&s, 1000, missing, &f);
	a->at = 503;
	b = ranges_split(&s, BLOCK);
	CHECK(b && b->begin == 760 && b->end == 1000 && a->end == 760);
	a->at = 745;
	b->at = 985;
	CHECK(!ranges_split(&s, BLOCK));
	CHECK(sane(&s));
	ranges_put(&s, a);
	ranges_put(&s, b);
	b = ranges_take(&s, 1000, missing, &f);
	ranges_whole(&s, b, SIZE);
	CHECK(s.first == b && !b->next);
	CHECK(b->begin == 0 && b->at == 0 && b->end == SIZE);
	ranges_put(&s, b);
	/* Those that wait are not split. */
	CHECK(!ranges_split(&s, 1));
	ranges_release(&s);
}

static void
test_rescue(void)
{
	struct file f = {0};
	struct ranges s = {0};
	struct range *a, *b, *c;

	a = ranges_take(&s, 500, missing, &f);
	b = ranges_take(&s, 500, missing, &f);
	a->moved = 100;
	a->at = 33;
	b->moved = 200;
	CHECK(!ranges_rescue(&s, 100));
	c = ranges_rescue(&s, 150);
	CHECK(c && c->begin == 33 && c->end == 500 && a->end == 33);
	c->moved = 150;
	CHECK(!ranges_rescue(&s, 150) && sane(&s));
	ranges_put(&s, a);
	ranges_put(&s, b);
	ranges_put(&s, c);
	CHECK(!ranges_rescue(&s, 1000));
	ranges_release(&s);
}

/* Random steps end with every byte fetched once, and never overlap. */
static void
test_random(void)
{
	for (unsigned seed = 1; seed <= 200; seed++) {
		struct file f = {0};
		struct ranges s = {0};
		struct range *busy[4] = {NULL};
		unsigned x = seed, fetched = 0;

		for (size_t i = 0; i < countof(f.here); i++)
			f.here[i] = (x = x * 1103515245 + 12345) >> 30 == 0;
		for (unsigned step = 0; step < 20000; step++) {
			struct range **r;

			x = x * 1103515245 + 12345;
			r = &busy[x >> 16 & 3];
			if (!*r) {
				*r = ranges_take(&s,
				    (1 + (x >> 20 & 127)) * BLOCK, missing, &f);
				if (!*r)
					*r = ranges_split(&s, BLOCK);
				continue;
			}
			if ((*r)->at < (*r)->end && (x >> 24 & 31)) {
				CHECK(!f.claimed[(*r)->at]);
				f.claimed[(*r)->at++] = true;
				fetched++;
				continue;
			}
			for (uint64_t b = (*r)->begin / BLOCK;
			     (b + 1) * BLOCK <= (*r)->at; b++)
				f.here[b] = true;
			ranges_put(&s, *r);
			*r = NULL;
			if (!sane(&s)) {
				CHECK(0);
				break;
			}
		}
		for (size_t i = 0; i < countof(busy); i++)
			if (busy[i])
				ranges_put(&s, busy[i]);
		CHECK(!s.first);
		for (size_t i = 0; i < countof(f.here); i++)
			CHECK(f.here[i]);
		CHECK(fetched > 0);
		ranges_release(&s);
	}
}

int
main(void)
{
	test_take();
	test_split();
	test_rescue();
	test_random();
	return test_end();
}
