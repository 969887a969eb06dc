#include "../../str.c"

#include "tests/unit/test.h"

/* The first and the last second of each day of 400 years, after which all begins
 * again; then the ends. */
static void
test_date_of(void)
{
	const int64_t low = date_seconds(1, 1, 1, 0, 0, 0);
	const int64_t high = date_seconds(9999, 12, 31, 23, 59, 59);
	struct date d, last = {.weekday = 0};
	unsigned wrong = 0;

	for (int64_t t = low; t < low + INT64_C(146097) * 86400; t += 86400) {
		wrong += !date_of(t, &d);
		wrong += date_days(d.year, d.month, d.day) * 86400 != t ||
			 d.hour || d.minute || d.second || d.day > 31 ||
			 d.month > 12 || d.weekday != (last.weekday + 1) % 7;
		last = d;
		wrong += !date_of(t + 86399, &d);
		wrong += d.day != last.day || d.hour != 23 || d.minute != 59 ||
			 d.second != 59;
	}
	CHECK(wrong == 0);
	CHECK(last.year == 400 && last.month == 12 && last.day == 31);
	CHECK(date_of(high, &d) && d.year == 9999 && d.month == 12 &&
	      d.day == 31 && d.weekday == 5);
	CHECK(date_of(784111777, &d) && d.year == 1994 && d.month == 11 &&
	      d.day == 6 && d.hour == 8 && d.minute == 49 && d.second == 37);
	CHECK(date_of(-1, &d) && d.year == 1969 && d.second == 59);
	CHECK(!date_of(low - 1, &d) && !date_of(high + 1, &d));
	CHECK(!date_of(INT64_MIN, &d) && !date_of(INT64_MAX, &d));
}

int
main(void)
{
	static const struct {
		unsigned y, m, d;
		int64_t days;
	} t[] = {{1970, 1, 1, 0}, {1970, 1, 2, 1}, {1969, 12, 31, -1},
	    {1972, 2, 29, 789}, {1972, 3, 1, 790}, {2000, 2, 29, 11016},
	    {2000, 3, 1, 11017}, {2100, 3, 1, 47541}, {1900, 3, 1, -25508},
	    {1950, 1, 1, -7305}, {9999, 12, 31, 2932896}, {1, 1, 1, -719162}};
	int64_t last = date_days(1969, 12, 31);

	for (size_t i = 0; i < countof(t); i++)
		CHECK_ROW(i, date_days(t[i].y, t[i].m, t[i].d) == t[i].days);
	test_date_of();
	/* The first of each month lies 28 to 31 days behind the one before. */
	last = date_days(1600, 1, 1);
	for (unsigned y = 1600; y < 2400; y++)
		for (unsigned m = 1; m <= 12; m++) {
			int64_t days = date_days(y, m, 1) - last;

			CHECK((y == 1600 && m == 1) ||
			      (days >= 28 && days <= 31));
			last += days;
		}
	CHECK(date_days(2400, 1, 1) - date_days(1600, 1, 1) == 2 * 146097);
	CHECK(date_seconds(1994, 11, 6, 8, 49, 37) == 784111777);
	CHECK(date_seconds(1969, 12, 31, 23, 59, 60) == 0);
	return test_end();
}
