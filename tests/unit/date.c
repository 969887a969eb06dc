#include "../../str.c"

#include "tests/unit/test.h"

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
