
#include "../../exchange.c"

#include <stdlib.h>

#include "err.h"
#include "str.h"
#include "tests/unit/test.h"
#include "wait.h"

/* What is spent at a time, and how long the next one then waits. */
static void
test_delay(void)
{
	static const struct {
		uint64_t rate, spend, after, delay;
	} row[] = {
	    {0, UINT64_MAX / 2, 0, 0}, {8000, 0, 0, 0}, {8000, 999, 0, 0},
	    {8000, 1000, 0, 1}, /* an eighth of a second is there at first */
	    {8000, 1001, 0, 1}, {8000, 9000, 0, 1001}, {8000, 9000, 1000, 1},
	    {8000, 9000, 1001, 0}, {8000, 17000, 1000, 1001}, {1, 1, 0, 1},
	    {1, 1, 1, 0}, {1, 10, 0, 9001}, {1, 10, 1000, 8001},
	    {1, 10, 9001, 0}, {7, 2, 0, 143},
	    {(uint64_t)1 << 60, 1 << 30, 0, 0}, /* as good as none */
	};

	for (size_t i = 0; i < countof(row); i++) {
		struct bucket b = bucket_make(row[i].rate, 5000);

		CHECK_ROW(i, bucket_delay(&b, 5000) == 0);
		bucket_spend(&b, row[i].spend);
		CHECK_ROW(
		    i, bucket_delay(&b, 5000 + row[i].after) == row[i].delay);
	}
}

/* A pause saves nothing up beyond the top. */
static void
test_top(void)
{
	struct bucket b = bucket_make(8000, 0);

	CHECK(bucket_delay(&b, 3600000) == 0);
	bucket_spend(&b, 1000);
	CHECK(bucket_delay(&b, 3600000) == 1);
	/* A clock that stands still or is read late changes nothing. */
	CHECK(bucket_delay(&b, 3600000) == 1);
	CHECK(bucket_delay(&b, 3500000) == 1);
}

/* Over a long time the rate holds to the byte, however often one looks and
 * however much is moved at a time, for slow rates, too. */
static void
test_long(void)
{
	static const struct {
		uint64_t rate, step, piece;
	} row[] = {
	    {1000, 1, 1},
	    {1000, 1, 300},
	    {999, 1, 7},
	    {3, 1, 1},
	    {1000000, 1, 65536},
	    {1000000, 100, 65536},
	    {333333, 3, 1000},
	    {1500, 7, 64},
	};
	const uint64_t end = 100000;

	for (size_t i = 0; i < countof(row); i++) {
		struct bucket b = bucket_make(row[i].rate, 0);
		uint64_t moved = 0, due = row[i].rate * end / 1000;

		for (uint64_t t = 0; t < end; t += row[i].step)
			while (!bucket_delay(&b, t)) {
				bucket_spend(&b, row[i].piece);
				moved += row[i].piece;
			}
		CHECK_ROW(i, moved <= due + row[i].rate / 8 + row[i].piece + 1);
		CHECK_ROW(i, moved + row[i].piece + row[i].rate / 4 + 2 >= due);
	}
}

static void
test_meter(void)
{
	struct meter *m = meter_open(80000);
	size_t cap = 1 << 20;
	uint64_t start = wait_now();
	struct err e;

	CHECK(!meter_wait(m, &cap, &e) && cap == 10000);
	meter_spend(m, 18000);
	cap = 5;
	CHECK(!meter_wait(m, &cap, &e) && cap == 5);
	CHECK(wait_now() - start >= 90);
	meter_add(m, 3, 4);
	meter_add(m, (uint64_t)1 << 40, 0);
	CHECK(meter_received(m) == ((uint64_t)1 << 40) + 3);
	CHECK(meter_sent(m) == 4);
	meter_close(m);

	m = meter_open(0);
	cap = SIZE_MAX;
	meter_spend(m, UINT64_MAX);
	CHECK(!meter_wait(m, &cap, &e) && cap == SIZE_MAX);
	meter_close(m);
	meter_close(NULL);
}

int
main(void)
{
	test_delay();
	test_top();
	test_long();
	test_meter();
	return test_end();
}
