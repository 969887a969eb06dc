#ifndef HUB_DATE_H
#define HUB_DATE_H

/* Dates of the Gregorian calendar to Unix time. Pure. */

#include <stdint.h>

/* Days from 1970-01-01 to a date; year >= 1970, month 1..12, day 1..31 (a day
 * that the month does not have counts on into the next). */
uint64_t date_days(uint64_t year, uint64_t month, uint64_t day);

#endif
