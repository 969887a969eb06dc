#include "../../queue.c"

#include "str.h"
#include "tests/unit/test.h"

/* Some periods of work; rate gives the rate of a number of connections. */
static unsigned
run(struct ramp *r, uint64_t *now, uint64_t *work,
    uint64_t (*rate)(unsigned allowed), unsigned periods)
{
	while (periods--) {
		*now += RAMP_PERIOD;
		*work += rate(r->allowed) * RAMP_PERIOD / 1000;
		ramp_step(r, *now, *work);
	}
	return r->allowed;
}

static uint64_t
each_adds(unsigned n)
{
	return n * 1000000;
}

static uint64_t
one_is_enough(unsigned n)
{
	return 1000000 + n % 2;
}

static uint64_t
four_are_enough(unsigned n)
{
	return (n < 4 ? n : 4) * 1000000;
}

/* A CDN that punishes more than six connections. */
static uint64_t
more_than_six_collapse(unsigned n)
{
	return n > 6 ? 1000000 : n * 50000000;
}

static uint64_t
nothing(unsigned n)
{
	return n * 0;
}

int
main(void)
{
	struct ramp r = ramp_make(16, 1000);
	uint64_t now = 1000, work = 0;
	unsigned n, over = 0;

	CHECK(r.allowed == RAMP_START);
	CHECK(ramp_step(&r, 1001, 5) == RAMP_START);
	CHECK(run(&r, &now, &work, each_adds, 10) == 16);

	r = ramp_make(16, now = 0);
	work = 0;
	n = run(&r, &now, &work, four_are_enough, 10);
	CHECK(n >= 4 && n <= 9);

	r = ramp_make(16, now = 0);
	work = 0;
	for (unsigned i = 0; i < 120; i++)
		over += run(&r, &now, &work, more_than_six_collapse, 1) > 6;
	CHECK(over < 30);
	CHECK(r.allowed >= 3);

	r = ramp_make(1, now = 0);
	CHECK(r.allowed == 1);
	CHECK(run(&r, &now, &work, each_adds, 10) == 1);
	ramp_back(&r, now);
	CHECK(r.allowed == 1);

	/* Several refusals at the same moment halve the number once. */
	r = ramp_make(16, now = 0);
	work = 0;
	run(&r, &now, &work, each_adds, 10);
	ramp_back(&r, now);
	CHECK(r.allowed == 8);
	ramp_back(&r, now + 10);
	CHECK(r.allowed == 8);
	ramp_back(&r, now + 2 * RAMP_PERIOD);
	CHECK(r.allowed == 4);
	CHECK(run(&r, &now, &work, each_adds, 40) == 16);

	/* On a dead line one connection remains. */
	CHECK(run(&r, &now, &work, nothing, 100) >= 1);
	over = 0;
	/* One connection fills the line: growth is tried, and taken back. */
	r = ramp_make_careful(8, now = 0);
	work = 0;
	CHECK(r.allowed == 1);
	for (unsigned i = 0; i < 240; i++) {
		n = run(&r, &now, &work, one_is_enough, 1);
		CHECK_ROW(i, n <= 2);
		over += n > 1;
	}
	CHECK(over < 160);
	/* Each connection adds to the rate: growth is as fast as the
	 * measurements allow. */
	r = ramp_make_careful(8, now = 0);
	work = 0;
	CHECK(run(&r, &now, &work, each_adds, 3) == 8);
	CHECK(run(&r, &now, &work, each_adds, 100) == 8);
	r = ramp_make_careful(16, now = 0);
	work = 0;
	n = run(&r, &now, &work, four_are_enough, 100);
	CHECK(n >= 4 && n <= 5);
	return test_end();
}
