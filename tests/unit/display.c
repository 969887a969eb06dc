#include "../../progress.c"

#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"
#include "tests/unit/test.h"

static void
test_size(void)
{
	static const struct {
		uint64_t bytes;
		const char *want;
	} rows[] = {
	    {0, "0 B"},
	    {1, "1 B"},
	    {999, "999 B"},
	    {1000, "1.00 kB"},
	    {1004, "1.00 kB"},
	    {1005, "1.01 kB"},
	    {9994, "9.99 kB"},
	    {9995, "10.0 kB"},
	    {99949, "99.9 kB"},
	    {99950, "100 kB"},
	    {999499, "999 kB"},
	    {999500, "1.00 MB"},
	    {999999, "1.00 MB"},
	    {1340000000, "1.34 GB"},
	    {UINT64_C(999999999999), "1.00 TB"},
	    {UINT64_C(464000000000), "464 GB"},
	    {UINT64_C(1000000000000000), "1.00 PB"},
	    {UINT64_MAX, "18.4 EB"},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		char *got = xmalloc(16);

		size_show(rows[i].bytes, got);
		CHECK_ROW(i, !strcmp(got, rows[i].want));
		free(got);
	}
}

static void
test_duration(void)
{
	static const struct {
		uint64_t seconds;
		const char *want;
	} rows[] = {
	    {0, "0 s"},
	    {59, "59 s"},
	    {60, "1:00"},
	    {245, "4:05"},
	    {3599, "59:59"},
	    {3600, "1:00:00"},
	    {3723, "1:02:03"},
	    {360000, "100:00:00"},
	    {UINT64_C(3599999999), "999999:59:59"},
	    {UINT64_C(3600000000), "over 100 years"},
	    {UINT64_MAX, "over 100 years"},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		char *got = xmalloc(16);

		duration_show(rows[i].seconds, got);
		CHECK_ROW(i, !strcmp(got, rows[i].want));
		free(got);
	}
}

static void
test_duration_say(void)
{
	static const struct {
		uint64_t seconds;
		const char *want;
	} rows[] = {
	    {0, "0 s"},
	    {5, "5 s"},
	    {119, "119 s"},
	    {120, "2 min"},
	    {121, "3 min"},
	    {3600, "60 min"},
	    {3601, "61 min"},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		char *got = xmalloc(16);

		duration_say(rows[i].seconds, got);
		CHECK_ROW(i, !strcmp(got, rows[i].want));
		free(got);
	}
}

static void
test_name(void)
{
	static const struct {
		const char *name;
		unsigned width;
		const char *want;
		unsigned columns;
	} rows[] = {
	    {"config.json", 20, "config.json", 11},
	    {"config.json", 11, "config.json", 11},
	    {"config.json", 10, "...ig.json", 10},
	    {"config.json", 4, "...n", 4},
	    {"config.json", 3, "...", 3},
	    {"config.json", 2, "..", 2},
	    {"config.json", 0, "", 0},
	    {"", 5, "", 0},
	    {"\xe6\xa8\xa1\xe5\x9e\x8b", 4, "\xe6\xa8\xa1\xe5\x9e\x8b", 4},
	    {"\xe6\xa8\xa1\xe5\x9e\x8b"
	     "abc",
		6, "...abc", 6},
	    {"a\xe6\xa8\xa1\xe5\x9e\x8b", 4, "...", 3}, /* half a letter left */
	    {"ae\xcc\x81", 2, "ae\xcc\x81", 2},
	    {"aaaae\xcc\x81xyz", 6, "...xyz", 6}, /* no accent left alone */
	    {"a\x1b[2Jb", 9, "a?[2Jb", 6},
	    {"a\xff\xfe", 9, "a??", 3},
	    {"a\xc2\x9b", 9, "a?", 2},
	    {"exe\xe2\x80\xaegpj", 9, "exe?gpj", 7},
	    {"a\nb\rc", 9, "a?b?c", 5},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct buf b = buf_make(64);
		char *name = xstrdup(rows[i].name);

		display_name(name, rows[i].width, &b);
		CHECK_ROW(i, !strcmp(buf_cstr(&b), rows[i].want));
		CHECK_ROW(i, display_columns(buf_str(&b)) == rows[i].columns);
		free(name);
		buf_release(&b);
	}
}

/* At every width a name stays within it, and is text. */
static void
test_name_widths(void)
{
	static const char name[] = "dir/\xe6\xa8\xa1\xe5\x9e\x8b-e\xcc\x81\xff"
				   "\xf0\x9f\xa4\x97.safetensors";

	for (unsigned w = 0; w < 40; w++) {
		struct buf b = buf_make(64);

		display_name(name, w, &b);
		CHECK_ROW(w, display_columns(buf_str(&b)) <= w);
		CHECK_ROW(w, utf8_valid(buf_str(&b)) && !b.full);
		buf_release(&b);
	}
}

static const struct display_file files[] = {
    {"model-00001-of-00002.safetensors", 500000000, 1000000000},
    {"\xe6\xa8\xa1\xe5\x9e\x8b.bin", 0, 340000000},
    {"unknown", 12, 0},
};

static const struct display full = {
    .verb = "downloading",
    .done = 500000000,
    .total = 1340000000,
    .rate = 10000000,
    .files_done = 3,
    .files_total = 12,
    .connections = 8,
    .file = files,
    .files = countof(files),
};

static void
test_status(void)
{
	struct display d = full;
	struct buf b = buf_make(512);

	display_status(&d, &b);
	CHECK(!strcmp(buf_cstr(&b),
	    "downloading: 37%, 500 MB of 1.34 GB, 10.0 MB/s, 1:24 left, "
	    "3 of 12 files, 8 connections"));
	buf_clear(&b);
	d.waiting = 245;
	display_status(&d, &b);
	CHECK(!strcmp(buf_cstr(&b),
	    "downloading: waiting 4:05, 37%, 500 MB of 1.34 GB, 3 of 12 files, "
	    "8 connections"));
	buf_clear(&b);
	d = (struct display){.verb = "hashing", .done = 12, .connections = 1};
	display_status(&d, &b);
	CHECK(!strcmp(buf_cstr(&b), "hashing: 12 B, 0 B/s, 1 connection"));
	buf_clear(&b);
	d = (struct display){.verb = "checking", .files_total = 7};
	display_status(&d, &b);
	CHECK(!strcmp(buf_cstr(&b), "checking: 0 of 7 files"));
	buf_clear(&b);
	d = (struct display){.verb = "x",
	    .done = UINT64_MAX - 1,
	    .total = UINT64_MAX,
	    .rate = 1};
	display_status(&d, &b);
	CHECK(!strcmp(buf_cstr(&b), "x: 99%, 18.4 EB of 18.4 EB, 1 B/s, 1 s "
				    "left"));
	buf_clear(&b);
	d.done = 5; /* a hundred years more */
	display_status(&d, &b);
	CHECK(!strcmp(buf_cstr(&b), "x: 0%, 5 B of 18.4 EB, 1 B/s"));
	buf_release(&b);
}

static size_t
count_lines(const struct buf *b)
{
	struct str rest = buf_str(b), line;
	size_t n = 0;

	while (str_cut(rest, '\n', &line, &rest))
		n++;
	CHECK(!rest.n && !b->full);
	return n;
}

/* Draws anew into b, and returns the number of lines. */
static size_t
draw_in(const struct display *d, unsigned width, unsigned height, struct buf *b)
{
	buf_clear(b);
	display_draw(d, width, height, b);
	return count_lines(b);
}

static void
test_draw(void)
{
	struct buf b = buf_make(4096);
	struct display d = full;

	CHECK(draw_in(&full, 100, 9, &b) == 4);
	CHECK(!strcmp(buf_cstr(&b),
	    "downloading  37%  500 MB of 1.34 GB  10.0 MB/s  1:24 left  "
	    "3 of 12 files  8 connections\n"
	    "   50%   1.00 GB  model-00001-of-00002.safetensors\n"
	    "    0%    340 MB  \xe6\xa8\xa1\xe5\x9e\x8b.bin\n"
	    "unknown\n"));
	CHECK(draw_in(&full, 40, 1, &b) == 1);
	CHECK(!strcmp(buf_cstr(&b), "37%  500 MB  10.0 MB/s  1:24 left\n"));
	CHECK(draw_in(&full, 30, 3, &b) == 3);
	CHECK(str_starts(buf_str(&b), "37%  500 MB  10.0 MB/s\n...00001-of"));
	CHECK(strstr(buf_cstr(&b), "\n  and 2 more\n"));
	d.verb = "uploading";
	d.there = 400000000;
	draw_in(&d, 100, 1, &b);
	CHECK(!strcmp(buf_cstr(&b),
	    "uploading  37%  500 MB of 1.34 GB  400 MB already there  "
	    "10.0 MB/s  1:24 left  3 of 12 files\n"));
	draw_in(&d, 80, 1, &b);
	CHECK(!strcmp(buf_cstr(&b),
	    "uploading  37%  500 MB of 1.34 GB  400 MB already there  "
	    "10.0 MB/s  1:24 left\n"));
	draw_in(&d, 40, 1, &b);
	CHECK(!strcmp(buf_cstr(&b), "uploading  37%  500 MB  10.0 MB/s\n"));
	CHECK(draw_in(&full, 100, 1, &b) == 1);
	CHECK(draw_in(&full, 100, 0, &b) == 0);
	CHECK(draw_in(&full, 1, 9, &b) == 0);
	buf_release(&b);
}

/* The display fits into a window of any size. */
static void
test_draw_sizes(void)
{
	struct buf b = buf_make(4096);

	for (unsigned w = 0; w < 110; w++)
		for (unsigned h = 0; h < 12; h++) {
			size_t n = draw_in(&full, w, h, &b);
			struct str rest = buf_str(&b), line;

			CHECK_ROW(w, n <= h && n <= DISPLAY_LINES);
			while (str_cut(rest, '\n', &line, &rest))
				CHECK_ROW(w, display_columns(line) < w);
		}
	buf_release(&b);
}

static void
test_many(void)
{
	struct display_file many[40];
	struct display d = full;
	struct buf b = buf_make(4096);

	for (size_t i = 0; i < countof(many); i++)
		many[i] = (struct display_file){"f", 1, 2};
	d.file = many;
	d.files = countof(many);
	CHECK(draw_in(&d, 80, 1000, &b) == DISPLAY_LINES);
	CHECK(str_ends(buf_str(&b), "  and 33 more\n"));
	d.files = DISPLAY_LINES - 1;
	CHECK(draw_in(&d, 80, 1000, &b) == DISPLAY_LINES);
	CHECK(!strstr(buf_cstr(&b), "more"));
	buf_release(&b);
}

static void
test_rows(void)
{
	/* Lines of 80, 0, 20 and 21 columns. */
	static const char lines[] =
	    "12345678901234567890123456789012345678901234567890"
	    "123456789012345678901234567890\n\n"
	    "\xe6\xa8\xa1\xe5\x9e\x8b"
	    "3456789012345678\n123456789012345678901\n";
	struct str s = str_of(lines);

	CHECK(display_rows(s, 80) == 4);
	CHECK(display_rows(s, 79) == 5);
	CHECK(display_rows(s, 20) == 4 + 1 + 1 + 2);
	CHECK(display_rows(s, 1) == 80 + 1 + 20 + 21);
	CHECK(display_rows(s, 0) == 4);
	CHECK(display_rows(str_of(""), 80) == 0);
}

static void
test_speed(void)
{
	struct speed s = {.start = 1000, .last = 1000};
	uint64_t t, before;

	speed_add(&s, 1000, 0);
	CHECK(s.rate == 0);
	for (t = 1200; t <= 9000; t += 200) {
		speed_add(&s, t, (t - 1000) * 1000); /* 1 MB/s */
		CHECK_ROW(t, s.rate > 999000 && s.rate <= 1000000);
	}
	before = s.rate;
	speed_add(&s, 9050, 1 << 30); /* too soon: not taken */
	CHECK(s.rate == before);
	for (t = 9200; t <= 60000; t += 200) /* nothing comes any more */
		speed_add(&s, t, s.bytes);
	CHECK(s.rate < 1000);
	speed_add(&s, 600000, s.bytes + 540000); /* slept long */
	CHECK(s.rate == 1000);
	before = s.bytes;
	speed_add(&s, 5, before); /* a clock that goes back */
	CHECK(s.last == 600000);
}

/* Ten minutes between Ctrl-Z and fg do not count. */
static void
test_pause(void)
{
	static const struct progress_opts o = {
	    .mode = PROGRESS_NONE, .quiet = true};
	struct progress *p = progress_open(&o);
	const uint64_t pause = 600000;

	progress_phase(p, "downloading", 1, 1000);
	progress_tick(p, false);
	p->ticked -= pause;
	p->began -= pause;
	CHECK(raise(SIGCONT) == 0);
	progress_tick(p, false);
	CHECK(p->asleep >= pause);
	CHECK(running(p) - p->began < pause);
	progress_close(p);
}

int
main(void)
{
	setlocale(LC_CTYPE, "C.UTF-8"); /* for wcwidth() of glibc */
	test_size();
	test_duration();
	test_duration_say();
	test_name();
	test_name_widths();
	test_status();
	test_draw();
	test_draw_sizes();
	test_many();
	test_rows();
	test_speed();
	wait_signals();
	test_pause();
	return test_end();
}
