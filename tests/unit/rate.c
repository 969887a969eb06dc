
#include "../../option.c"

#include <stdlib.h>

#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

static void
test_rate(void)
{
	static const struct {
		const char *text;
		uint64_t want; /* 0: refused */
	} rows[] = {
	    {"1", 1},
	    {"500K", 500000},
	    {"500k", 500000},
	    {"2M", 2000000},
	    {"2MB", 2000000},
	    {"2MiB", 2097152},
	    {"1.5G", 1500000000},
	    {"1.5GiB", 1610612736},
	    {"0.000001M", 1},
	    {"0.5K", 500},
	    {"1T", UINT64_C(1000000000000)},
	    {"9.999999TiB", UINT64_C(10995115178248)},
	    {"909.5TiB", UINT64_C(1000005825462272)},
	    {"1000T", UINT64_C(1000000000000000)},
	    {"12B", 12},
	    {"", 0},
	    {"0", 0},
	    {"0K", 0},
	    {"0.000000M", 0},
	    {"0.0001K", 0},
	    {"K", 0},
	    {"B", 0},
	    {"iB", 0},
	    {"KiB", 0},
	    {"5iB", 0},
	    {"5Ki", 0},
	    {"5KB/s", 0},
	    {"5 K", 0},
	    {" 5K", 0},
	    {"-5K", 0},
	    {"+5", 0},
	    {"5KK", 0},
	    {"5X", 0},
	    {"1.5", 0},
	    {"1.5B", 0},
	    {"1.K", 0},
	    {".5K", 0},
	    {".K", 0},
	    {"1.2.3K", 0},
	    {"1.5.K", 0},
	    {"1,5K", 0},
	    {"1.0000001M", 0},
	    {"1e6", 0},
	    {"0x10", 0},
	    {"1001T", 0},
	    {"910TiB", 0},
	    {"99999999999999999999", 0},
	    {"18446744073709551617", 0},
	    {"20000000000G", 0},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		char *text = xstrdup(rows[i].text);
		uint64_t got = 0;
		struct err e = {0};
		int r = rate_parse(text, &got, &e);

		CHECK_ROW(i, r == (rows[i].want ? 0 : -1));
		CHECK_ROW(i, rows[i].want ? got == rows[i].want
					  : e.kind == ERR_USAGE && *e.hint);
		free(text);
	}
}

int
main(void)
{
	test_rate();
	return test_end();
}
