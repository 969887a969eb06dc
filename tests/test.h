#ifndef HUB_TEST_H
#define HUB_TEST_H

/* The whole framework: CHECK, CHECK_ROW for tables, and the closing line. */

#include <stdio.h>

static unsigned test_passed, test_failed;

static inline void
test_count(int ok, const char *file, int line, const char *what, long row)
{
	if (ok) {
		test_passed++;
		return;
	}
	test_failed++;
	if (row >= 0)
		printf("%s:%d: row %ld: %s\n", file, line, row, what);
	else
		printf("%s:%d: %s\n", file, line, what);
}

#define CHECK(x) test_count(!!(x), __FILE__, __LINE__, #x, -1)
#define CHECK_ROW(i, x) test_count(!!(x), __FILE__, __LINE__, #x, (long)(i))

/* The value that main() returns. */
static inline int
test_end(void)
{
	printf("%u passed, %u failed\n", test_passed, test_failed);
	return test_failed > 0;
}

#endif
