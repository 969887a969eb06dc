#ifndef HUB_TEST_H
#define HUB_TEST_H

/* The whole framework: CHECK, CHECK_ROW for tables, and the closing line; and
 * what most tests do with texts. */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Both NULL, or the same text. */
static inline bool
test_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* A copy in an allocation of exactly n bytes, so that a sanitizer sees who
 * reads one more. The caller frees it. */
static inline void *
test_exact(const void *p, size_t n)
{
	void *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	if (n)
		memcpy(copy, p, n);
	return copy;
}

#endif
