#include "date.h"

uint64_t
date_days(uint64_t year, uint64_t month, uint64_t day)
{
	/* Years that begin in March have the leap day as their last. */
	uint64_t march = (month + 9) % 12;

	year -= month < 3;
	return year * 365 + year / 4 - year / 100 + year / 400 +
	       (march * 306 + 5) / 10 + day - 1 - 719468;
}
