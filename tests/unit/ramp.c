#include "../../queue.c"

#include <stdio.h>

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

static uint64_t
one_of_eight_is_slow(unsigned n)
{
	return n < 8 ? n * 5000000 : 7 * 5000000 + 100000;
}

/* What is lost grows with the number of connections. */
static uint64_t
loss_above_eight(unsigned n)
{
	return n <= 8 ? n * 3000000 : 24000000 - (n - 8) * 1000000;
}

/*
 * Lines that have hurt other clients. A connection brings its first byte SETUP
 * ms after it is allowed, and then one of them is closed as soon as fewer are.
 * share: of what the best number brings, in percent, over that many seconds.
 */
#define SETUP 200

static uint64_t
simulate(uint64_t (*rate)(unsigned n), unsigned max, unsigned seconds,
    unsigned *allowed)
{
	struct ramp r = ramp_make(max, 0);
	unsigned asked[64], active = 0; /* when each was asked for */
	uint64_t work = 0, now;

	for (unsigned i = 0; i < countof(asked); i++)
		asked[i] = 0;
	for (now = 0; now < seconds * 1000; now += 20) {
		unsigned before = r.allowed;

		ramp_step(&r, now, work);
		for (unsigned i = before; i < r.allowed; i++)
			asked[i] = (unsigned)now;
		active = 0;
		for (unsigned i = 0; i < r.allowed; i++)
			active += now >= asked[i] + SETUP;
		work += rate(active) * 20 / 1000;
	}
	*allowed = r.allowed;
	return work;
}

static void
test_lines(void)
{
	static const struct {
		const char *name;
		uint64_t (*rate)(unsigned n);
		unsigned max, best, seconds, share, least, most;
	} t[] = {
	    {"each connection adds", each_adds, 16, 16, 2, 55, 16, 16},
	    {"the same, longer", each_adds, 16, 16, 10, 90, 16, 16},
	    {"one fills the line", one_is_enough, 8, 1, 10, 95, 1, 8},
	    {"four fill the line", four_are_enough, 16, 4, 10, 95, 4, 12},
	    {"more than six collapse", more_than_six_collapse, 16, 6, 60, 75, 4,
		6},
	    {"one of eight is slow", one_of_eight_is_slow, 8, 8, 10, 90, 7, 8},
	    {"loss above eight", loss_above_eight, 16, 8, 20, 85, 8, 12},
	};

	for (size_t i = 0; i < countof(t); i++) {
		unsigned n;
		uint64_t ideal = t[i].rate(t[i].best) * t[i].seconds;
		uint64_t got = simulate(t[i].rate, t[i].max, t[i].seconds, &n);
		unsigned share = (unsigned)(got * 100 / ideal);

		printf("%-24s %3u s %3u %% of the best, ends with %u\n",
		    t[i].name, t[i].seconds, share, n);
		CHECK_ROW(i, share >= t[i].share);
		CHECK_ROW(i, n >= t[i].least && n <= t[i].most);
	}
}

int
main(void)
{
	struct ramp r = ramp_make(16, 1000);
	uint64_t now = 1000, work = 0;
	unsigned n, over = 0;

	test_lines();
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
	/* What was refused is approached by half the distance, and forgotten
	 * after a while. */
	n = run(&r, &now, &work, each_adds, 40);
	CHECK(n >= 6 && n < 8);
	CHECK(run(&r, &now, &work, each_adds, 60) == 16);

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
