/* Lines of an upload's journal, with the sum that is right and as they are. */

#include "../../journal.c"

#include "tests/fuzz/fuzz.h"

#include <inttypes.h>

/* What was read can be written, and reads back as the same. */
static void
check(struct str line)
{
	struct buf once = buf_make(2 * RECORD_MAX);
	struct buf twice = buf_make(2 * RECORD_MAX);
	char *copy = fuzz_copy(line);
	struct record r, again;

	line.s = copy;
	if (record_parse(line, &r) == 0) {
		MUST(fuzz_inside(r.text, line) && r.text.n <= URL_MAX);
		MUST(record_put(&once, &r) == 0);
		MUST(once.len <= RECORD_MAX && once.s[once.len - 1] == '\n');
		MUST(memchr(once.s, '\n', once.len) == once.s + once.len - 1);
		MUST(record_parse(str_make(once.s, once.len - 1), &again) == 0);
		MUST(record_put(&twice, &again) == 0);
		MUST(str_same(buf_str(&once), buf_str(&twice)));
	}
	buf_release(&once);
	buf_release(&twice);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf b = buf_make(1 << 20);

	check(fuzz_str(p, n));
	buf_printf(&b, "%08" PRIx32 " ", crc32_of(p, n));
	buf_add(&b, p, n);
	check(buf_str(&b));
	buf_release(&b);
	return 0;
}
