
#include "../../lfs.c"

#include <stdlib.h>
#include <string.h>

#include "str.h"
#include "tests/unit/test.h"

/* Contents by letter. */
static const struct {
	const char *contents;
	size_t different;
	size_t next[5]; /* 9: none */
	const char *later;
} rows[] = {
    {"a", 1, {9}, "."},
    {"ab", 2, {9, 9}, ".."},
    {"aa", 1, {1, 9}, ".+"},
    {"aba", 2, {2, 9, 9}, "..+"},
    {"baab", 2, {3, 2, 9, 9}, "..++"},
    {"aaaaa", 1, {1, 2, 3, 4, 9}, ".++++"},
    {"edcba", 5, {9, 9, 9, 9, 9}, "....."},
    {"cabac", 3, {4, 3, 9, 9, 9}, "...++"},
};

static void
test_copies(void)
{
	for (size_t r = 0; r < countof(rows); r++) {
		struct lfs_object object[5] = {{.name = NULL}};
		size_t n = strlen(rows[r].contents);
		struct lfs_copies c;
		uint64_t bytes = 0;

		for (size_t i = 0; i < n; i++) {
			object[i].size = (uint64_t)rows[r].contents[i];
			object[i].digest.b[19] =
			    (unsigned char)rows[r].contents[i];
			if (rows[r].later[i] == '.')
				bytes += object[i].size;
		}
		lfs_copies_init(&c, object, n);
		CHECK_ROW(r, c.contents == rows[r].different);
		CHECK_ROW(r, c.bytes == bytes);
		for (size_t i = 0; i < n; i++) {
			size_t want = rows[r].next[i];

			CHECK_ROW(r, c.next[i] == (want < 9 ? want : LFS_NONE));
			CHECK_ROW(r, c.later[i] == (rows[r].later[i] == '+'));
		}
		lfs_copies_release(&c);
		lfs_copies_release(&c);
	}
}

int
main(void)
{
	test_copies();
	return test_end();
}
