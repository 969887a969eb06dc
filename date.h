#ifndef HUB_DATE_H
#define HUB_DATE_H

/* Dates of the Gregorian calendar to Unix time. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* Days from 1970-01-01 to a date, negative before it; year 1..9999, month
 * 1..12, day 1..31 (a day that the month does not have counts on into the
 * next). */
int64_t date_days(unsigned year, unsigned month, unsigned day);

/* The same in seconds, at a time of that day. */
int64_t date_seconds(unsigned year, unsigned month, unsigned day, unsigned hour,
    unsigned minute, unsigned second);

/* Reads the n digits of s from at on as a number from low to high; false if
 * they are not that. */
bool date_field(struct str s, size_t at, size_t n, unsigned low, unsigned high,
    unsigned *out);

#endif
