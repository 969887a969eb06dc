#include "session.h"

#include <stdio.h>
#include <string.h>

#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

#define LINES 10000

/* Line i of a report. */
static void
put_line(struct output *o, unsigned i)
{
	buf_printf(&o->text, "line %05u of a long report\n", i);
	output_more(o);
}

static void
test_pieces(void)
{
	FILE *f = tmpfile();
	struct output o = output_make(f);
	char line[64], want[64];
	size_t most = 0;
	struct err e;

	for (unsigned i = 0; i < LINES; i++) {
		put_line(&o, i);
		most = o.text.cap > most ? o.text.cap : most;
	}
	CHECK(output_end(&o, &e) == 0);
	CHECK(most < 3 * OUTPUT_PIECE);
	CHECK(!o.text.s);
	rewind(f);
	for (unsigned i = 0; i < LINES; i++) {
		snprintf(want, sizeof(want), "line %05u of a long report\n", i);
		CHECK(fgets(line, sizeof(line), f) && !strcmp(line, want));
	}
	CHECK(!fgets(line, sizeof(line), f));
	fclose(f);
}

static void
test_little(void)
{
	FILE *f = tmpfile();
	struct output o = output_make(f);
	struct err e;

	put_line(&o, 1);
	/* It waits: nothing is written for each line. */
	CHECK(o.text.len == 28 && ftell(f) == 0);
	CHECK(output_end(&o, &e) == 0);
	CHECK(ftell(f) == 28);
	fclose(f);
}

/* A disk that is full for the first piece, for a later one, for the last. */
static void
test_full(void)
{
	static const unsigned lines[] = {0, 1, 600, 700, LINES};

	for (size_t i = 0; i < countof(lines); i++) {
		FILE *f = fopen("/dev/full", "w");
		struct output o = output_make(f);
		struct err e;

		for (unsigned k = 0; k < lines[i]; k++)
			put_line(&o, k);
		CHECK_ROW(i, output_end(&o, &e) == (lines[i] ? -1 : 0));
		CHECK_ROW(i, !lines[i] || e.kind == ERR_FILE);
		CHECK_ROW(i, !lines[i] || strstr(e.msg, "No space left"));
		fclose(f);
	}
}

/* What does not fit is told, not cut. */
static void
test_limit(void)
{
	FILE *f = tmpfile();
	struct output o = output_make(f);
	static char much[4096];
	struct err e;

	memset(much, 'x', sizeof(much));
	for (unsigned i = 0; i < 300; i++)
		buf_add(&o.text, much, sizeof(much));
	output_more(&o);
	put_line(&o, 1);
	CHECK(output_end(&o, &e) < 0 && strstr(e.msg, "too long"));
	fclose(f);
}

int
main(void)
{
	test_pieces();
	test_little();
	test_full();
	test_limit();
	return test_end();
}
