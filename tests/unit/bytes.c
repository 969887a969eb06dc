#include "str.h"

#include <string.h>

#include "tests/unit/test.h"

/* What is put stands where it is to, and nothing beside it is touched. */
static void
test_places(void)
{
	static const struct {
		uint64_t x;
		size_t n;
		const char *le, *be;
	} rows[] = {
	    {0, 0, "", ""},
	    {0xab, 1, "\xab", "\xab"},
	    {0x1ff, 1, "\xff", "\xff"}, /* the low bytes only */
	    {0x0102, 2, "\x02\x01", "\x01\x02"},
	    {0x8899aabb, 4, "\xbb\xaa\x99\x88", "\x88\x99\xaa\xbb"},
	    {0x77, 4, "\x77\0\0\0", "\0\0\0\x77"},
	    {UINT64_C(0x0102030405060708), 8,
		"\x08\x07\x06\x05\x04\x03\x02\x01",
		"\x01\x02\x03\x04\x05\x06\x07\x08"},
	    {UINT64_MAX, 8, "\xff\xff\xff\xff\xff\xff\xff\xff",
		"\xff\xff\xff\xff\xff\xff\xff\xff"},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		unsigned char le[10], be[10];
		size_t n = rows[i].n;
		uint64_t low = n < 8 ? rows[i].x & ((UINT64_C(1) << 8 * n) - 1)
				     : rows[i].x;

		memset(le, '#', sizeof(le));
		memset(be, '#', sizeof(be));
		bytes_put_le(le + 1, rows[i].x, n);
		bytes_put_be(be + 1, rows[i].x, n);
		CHECK_ROW(i, memcmp(le + 1, rows[i].le, n) == 0);
		CHECK_ROW(i, memcmp(be + 1, rows[i].be, n) == 0);
		CHECK_ROW(i, le[0] == '#' && le[n + 1] == '#');
		CHECK_ROW(i, be[0] == '#' && be[n + 1] == '#');
		CHECK_ROW(i, bytes_get_le(le + 1, n) == low);
		CHECK_ROW(i, bytes_get_be(be + 1, n) == low);
	}
}

int
main(void)
{
	test_places();
	return test_end();
}
