
#include "../../tls.c"

#include "str.h"
#include "tests/unit/test.h"

#define YEAR ((int64_t)365 * 86400)

static void
test_judge(void)
{
	static const struct {
		int64_t system, build, seen, now;
		bool at_least;
	} t[] = {
	    {0, 100, 0, 100, true},
	    {99, 100, 0, 100, true},
	    {100, 100, 0, 100, false},
	    {101, 100, 0, 101, false},
	    {0, 100, 100, 100, false},
	    {0, 100, 150, 150, false},
	    {120, 100, 150, 150, false},
	    {200, 100, 150, 200, false},
	    /* What is seen is never before the build; if it were, no use. */
	    {0, 100, 50, 100, true},
	    {-5, 100, 0, 100, true},
	    {INT64_MIN, 100, 0, 100, true},
	    {INT64_MAX, 100, 150, INT64_MAX, false},
	    /* 32 bits are through. */
	    {0, 5000000000, 6000000000, 6000000000, false},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct clock_time got =
		    clock_judge(t[i].system, t[i].build, t[i].seen);

		CHECK_ROW(i, got.system == t[i].system);
		CHECK_ROW(i, got.now == t[i].now);
		CHECK_ROW(i, got.at_least == t[i].at_least);
	}
}

static void
test_believes(void)
{
	static const struct {
		int64_t date, build, until;
		bool want;
	} t[] = {
	    {150, 100, 200, true},
	    {100, 100, 200, true},
	    {200, 100, 200, true},
	    {99, 100, 200, false},
	    {201, 100, 200, false},
	    {INT64_MAX, 100, 200, false},
	    {-1, 100, 200, false},
	    /* No certificate. */
	    {150, 100, 0, false},
	};

	for (size_t i = 0; i < countof(t); i++)
		CHECK_ROW(i, clock_believes(t[i].date, t[i].build,
				 t[i].until) == t[i].want);
}

static void
test_tell(void)
{
	struct clock *c = clock_open();
	struct clock_time first = clock_read(c), t;
	int64_t later = first.now + YEAR;

	CHECK(HUB_BUILD_TIME > 0 && first.now >= HUB_BUILD_TIME);
	CHECK(first.at_least == (first.system < HUB_BUILD_TIME));
	/* Beyond the certificate, and without one. */
	clock_tell(c, later, later - 1);
	clock_tell(c, later, 0);
	t = clock_read(c);
	CHECK(t.now < later - YEAR / 2);
	clock_tell(c, later, later);
	t = clock_read(c);
	CHECK(t.now >= later && t.now < later + YEAR / 2 && !t.at_least);
	CHECK(t.system < later - YEAR / 2);
	/* It never goes back. */
	clock_tell(c, later - YEAR / 2, later + YEAR);
	CHECK(clock_read(c).now >= later);
	clock_tell(c, later + YEAR, later + YEAR);
	CHECK(clock_read(c).now >= later + YEAR);
	clock_close(c);
	clock_close(NULL);
}

int
main(void)
{
	test_judge();
	test_believes();
	test_tell();
	return test_end();
}
