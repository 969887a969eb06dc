#include "date.h"

int64_t
date_days(unsigned year, unsigned month, unsigned day)
{
	/* Years that begin in March have the leap day as their last. */
	int64_t march = (month + 9) % 12, y = (int64_t)year - (month < 3);

	return y * 365 + y / 4 - y / 100 + y / 400 + (march * 306 + 5) / 10 +
	       day - 1 - 719468;
}

int64_t
date_seconds(unsigned year, unsigned month, unsigned day, unsigned hour,
    unsigned minute, unsigned second)
{
	return date_days(year, month, day) * 86400 + hour * INT64_C(3600) +
	       minute * INT64_C(60) + second;
}

bool
date_field(struct str s, size_t at, size_t n, unsigned low, unsigned high,
    unsigned *out)
{
	uint64_t v;

	if (s.n < at || s.n - at < n ||
	    str_num(str_make(s.s + at, n), 10, high, &v) < 0 || v < low)
		return false;
	*out = (unsigned)v;
	return true;
}
