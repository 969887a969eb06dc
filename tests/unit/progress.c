/* For posix_openpt() and what belongs to it. */
#define _XOPEN_SOURCE 700

#include "progress.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "err.h"
#include "json.h"
#include "str.h"
#include "tests/unit/test.h"
#include "wait.h"

/* Standard error goes to a file while it is recorded. */
struct record {
	FILE *file;
	int stderr_fd;
};

static void
record_begin(struct record *r)
{
	r->file = tmpfile();
	r->stderr_fd = dup(2);
	CHECK(r->file && r->stderr_fd >= 0);
	CHECK(dup2(fileno(r->file), 2) == 2);
}

static char *
record_end(struct record *r)
{
	struct buf b = buf_make(1 << 22);
	char piece[4096];
	size_t n;

	CHECK(dup2(r->stderr_fd, 2) == 2);
	close(r->stderr_fd);
	rewind(r->file);
	while ((n = fread(piece, 1, sizeof(piece), r->file)) > 0)
		buf_add(&b, piece, n);
	fclose(r->file);
	return buf_detach(&b);
}

static struct progress *
open_mode(enum progress_mode mode)
{
	return progress_open(
	    &(struct progress_opts){.mode = mode, .term = "xterm"});
}

static size_t
count(const char *text, const char *word)
{
	size_t n = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

static void
work(struct progress *p)
{
	unsigned a, b, c, d;

	progress_phase(p, "downloading", 4, 4000);
	progress_connections(p, 3);
	a = progress_start(p, "a", 1000, 400);
	b = progress_start(p, "b\n\033[2J", 1000, 0);
	c = progress_start(p, "c", 1000, 1000);
	d = progress_start(p, "d", 1000, 0);
	progress_tick(p, false);
	progress_add(p, a, 600);
	progress_add(p, b, 700);
	progress_lost(p, b, 200);
	progress_note(p, "take %s", "note\r");
	progress_log(p, "GET /x 200");
	progress_finish(p, c, PROGRESS_KEPT, NULL);
	progress_finish(p, a, PROGRESS_DONE, NULL);
	progress_finish(p, b, PROGRESS_FAILED, "no \a luck");
	progress_add(p, d, 100);
	progress_tick(p, true);
	progress_finish(p, d, PROGRESS_DONE, NULL);
	progress_close(p);
}

static void
test_lines(void)
{
	struct record r;
	char *out;

	record_begin(&r);
	work(open_mode(PROGRESS_LINES));
	out = record_end(&r);
	CHECK(!strncmp(out, "downloading: 4 files, 4.00 kB\n", 30));
	CHECK(strstr(out, "\nhub: take note?\n"));
	CHECK(strstr(out, "\nGET /x 200\n"));
	CHECK(strstr(out, "\nin place: c, 1.00 kB\n"));
	CHECK(strstr(out, "\ndone: a, 1.00 kB\n"));
	CHECK(strstr(out, "\nfailed: b??[2J: no ? luck\n"));
	CHECK(strstr(out, "\ndownloading: 65%, 2.60 kB of 4.00 kB, "));
	CHECK(strstr(out, "2 of 4 files, 3 connections\n"));
	CHECK(strstr(out, "\ndownloaded: 3 of 4 files, 1.40 kB in 0 s, "));
	CHECK(count(out, "\n") == 9);
	CHECK(!strchr(out, '\033') && !strchr(out, '\r'));
	free(out);
}

static void
test_none(void)
{
	static const struct progress_opts quiet = {
	    .mode = PROGRESS_LINES, .quiet = true};
	struct record r;
	char *out;

	record_begin(&r);
	work(open_mode(PROGRESS_NONE));
	out = record_end(&r);
	CHECK(count(out, "\n") == 3); /* note, log, asked status */
	CHECK(strstr(out, "hub: take note?\n"));
	free(out);

	record_begin(&r);
	work(progress_open(&quiet));
	out = record_end(&r);
	CHECK(!strstr(out, "note"));
	free(out);
}

/* Each line is an object with the fields that the manual promises. */
static void
test_json(void)
{
	static const char *const events[] = {"phase", "start", "start", "start",
	    "start", "note", "log", "kept", "done", "failed", "progress",
	    "done", "end"};
	struct record r;
	struct str rest, line;
	struct json v, item;
	struct err e;
	uint64_t n;
	size_t i = 0;
	char *out;

	record_begin(&r);
	work(open_mode(PROGRESS_JSON));
	out = record_end(&r);
	rest = str_of(out);
	for (; str_cut(rest, '\n', &line, &rest); i++) {
		CHECK_ROW(i, json_parse(line, &v, &e) == 0);
		CHECK_ROW(i, i < countof(events) &&
				 json_get(&v, "event", &item) &&
				 json_is(&item, events[i]));
		CHECK_ROW(i, json_get_uint(&v, "v", 9, &n) == 0 && n == 1);
		CHECK_ROW(i, json_get(&v, "t", &item));
		if (i == 2)
			CHECK(json_get(&v, "path", &item) &&
			      json_is(&item, "b\n\033[2J"));
		if (i == 9)
			CHECK(json_get(&v, "why", &item));
		if (i == 10)
			CHECK(
			    !json_get_uint(&v, "done", 9999, &n) && n == 2600);
		if (i == 12) {
			CHECK(
			    !json_get_uint(&v, "done", 9999, &n) && n == 3500);
			CHECK(
			    !json_get_uint(&v, "total", 9999, &n) && n == 4000);
			CHECK(!json_get_uint(&v, "files", 9, &n) && n == 3);
			CHECK(
			    !json_get_uint(&v, "files_total", 9, &n) && n == 4);
			CHECK(
			    !json_get_uint(&v, "connections", 9, &n) && n == 3);
			CHECK(!json_get_uint(&v, "rate", 1 << 30, &n));
		}
	}
	CHECK(i == countof(events) && !rest.n);
	free(out);
}

/* Said once for all connections; the status says how long it still takes. */
static void
test_wait(void)
{
	uint64_t now = wait_now();
	struct progress *p;
	struct record r;
	char *out;

	record_begin(&r);
	p = open_mode(PROGRESS_LINES);
	progress_phase(p, "downloading", 2, 4000);
	progress_wait(p, now + 1000, "short");
	progress_tick(p, true);
	progress_wait(p, now + 3000000, "of x");
	progress_wait(p, now + 3600000, "of y");
	progress_wait(p, now + 9000, "of z");
	progress_tick(p, true);
	progress_close(p);
	out = record_end(&r);
	CHECK(!strstr(out, "short") && !strstr(out, "of y"));
	CHECK(count(out, "hub: waiting 50 min, until ") == 1);
	CHECK(count(out, " UTC: of x\n") == 1 && count(out, "UTC") == 1);
	CHECK(strstr(out, "downloading: 0%, 0 B of 4.00 kB, 0 B/s"));
	CHECK(strstr(out, "downloading: waiting 1:00:00, 0%, 0 B of 4.00 kB"));
	free(out);
	record_begin(&r);
	p = open_mode(PROGRESS_JSON);
	progress_phase(p, "downloading", 2, 4000);
	progress_wait(p, now + 3600000, "of x");
	progress_tick(p, true);
	progress_close(p);
	out = record_end(&r);
	CHECK(strstr(out, ",\"connections\":0,\"waiting\":3600}") ||
	      strstr(out, ",\"connections\":0,\"waiting\":3599}"));
	free(out);
}

/* Thousands of small files do not make thousands of lines. */
static void
test_small_files(void)
{
	struct progress *p;
	struct record r;
	char *out;

	record_begin(&r);
	p = open_mode(PROGRESS_LINES);
	progress_phase(p, "downloading", 3000, 3000);
	for (int i = 0; i < 3000; i++) {
		unsigned f = progress_start(p, "small", 1, 0);

		progress_add(p, f, 1);
		progress_finish(p, f,
		    i == 2000 ? PROGRESS_FAILED : PROGRESS_DONE,
		    i == 2000 ? "why" : NULL);
		progress_tick(p, false);
	}
	progress_close(p);
	out = record_end(&r);
	CHECK(count(out, "\n") == 1 + 10 + 1 + 1 + 1);
	CHECK(strstr(out, "\nfailed: small: why\n"));
	CHECK(strstr(out, "\n2989 more files, 2.99 kB\n"));
	CHECK(strstr(out, "\ndownloaded: 2999 of 3000 files, 3.00 kB in "));
	free(out);
}

/* A large file has its own line, however many small ones there are. */
static void
test_large_file(void)
{
	struct progress *p;
	struct record r;
	char *out;

	record_begin(&r);
	p = open_mode(PROGRESS_LINES);
	progress_phase(p, "uploading", 101, 0);
	for (int i = 0; i < 101; i++) {
		bool large = i == 50;
		unsigned f = progress_start(p, large ? "large" : "small",
		    large ? 52000000 : 9999999, 0);

		progress_finish(p, f, PROGRESS_DONE, NULL);
	}
	progress_close(p);
	out = record_end(&r);
	CHECK(strstr(out, "\ndone: large, 52.0 MB\n"));
	CHECK(count(out, "done: small") == 10);
	CHECK(strstr(out, "\n90 more files, 900 MB\n"));
	free(out);
}

/* A reason is said once in a row, whatever request it is of. */
static void
test_same_reason(void)
{
	static const char *const why[] = {"no (request 1)", "no (request 2)",
	    "no", "other (request 3)", "no (request 4)"};
	struct progress *p;
	struct record r;
	char *out;

	record_begin(&r);
	p = open_mode(PROGRESS_LINES);
	progress_phase(p, "downloading", countof(why), 0);
	for (size_t i = 0; i < countof(why); i++)
		progress_finish(
		    p, progress_start(p, "f", 1, 0), PROGRESS_FAILED, why[i]);
	progress_close(p);
	out = record_end(&r);
	CHECK(strstr(out, "failed: f: no (request 1)\n"
			  "failed: f: for the same reason\n"
			  "failed: f: for the same reason\n"
			  "failed: f: other (request 3)\n"
			  "failed: f: no (request 4)\n"));
	free(out);
}

/* The last line speaks of one file, and of what is over. */
static void
test_one_file(void)
{
	struct progress *p;
	struct record r;
	char *out;

	record_begin(&r);
	p = open_mode(PROGRESS_LINES);
	progress_phase(p, "uploading", 1, 5);
	progress_finish(p, progress_start(p, "a", 5, 5), PROGRESS_DONE, NULL);
	progress_close(p);
	out = record_end(&r);
	CHECK(strstr(out, "uploading: 1 file, 5 B\n"));
	CHECK(strstr(out, "\nuploaded: 1 of 1 file\n"));
	free(out);
}

/* More files at once than have names. */
static void
test_too_many_files(void)
{
	unsigned *number = xcalloc(2000, sizeof(*number));
	struct progress *p;
	struct record r;
	char *out;

	record_begin(&r);
	p = open_mode(PROGRESS_BAR);
	progress_phase(p, "downloading", 0, 0);
	for (int i = 0; i < 2000; i++)
		number[i] = progress_start(p, "f", 2, 1);
	progress_tick(p, false);
	for (int i = 0; i < 2000; i++) {
		progress_add(p, number[i], 1);
		progress_finish(p, number[i], PROGRESS_DONE, NULL);
	}
	progress_tick(p, true);
	progress_close(p);
	out = record_end(&r);
	CHECK(strstr(out, "downloading: 4.00 kB, "));
	CHECK(strstr(out, "\033[Jdownloaded: 2000 files, 2.00 kB in "));
	free(out);
	free(number);
}

#define ROWS 24
#define COLUMNS 80

/* The little of a terminal that the display uses. */
struct screen {
	char cell[ROWS][COLUMNS + 1];
	unsigned row, column;
};

static const char *
screen_escape(struct screen *s, const char *p)
{
	unsigned n = 0;

	for (; chr_digit(*p); p++)
		n = n * 10 + (unsigned)(*p - '0');
	CHECK(*p == 'A' || *p == 'J');
	if (*p == 'A')
		s->row -= n < s->row ? n : s->row;
	else if (*p == 'J')
		for (unsigned i = s->row; i < ROWS; i++)
			memset(s->cell[i] + (i == s->row ? s->column : 0), 0,
			    COLUMNS - (i == s->row ? s->column : 0));
	return p + 1;
}

static void
screen_put(struct screen *s, const char *p)
{
	while (*p) {
		char c = *p++;

		if (c == '\r') {
			s->column = 0;
		} else if (c == '\033' && *p == '[') {
			p = screen_escape(s, p + 1);
		} else if (c == '\n') {
			s->column = 0;
			CHECK(s->row < ROWS - 1);
			s->row += s->row < ROWS - 1;
		} else {
			CHECK(s->column < COLUMNS);
			s->cell[s->row][s->column++] = c;
		}
	}
}

static void
test_bar(void)
{
	struct screen *s = xcalloc(1, sizeof(*s));
	struct progress *p;
	struct record r;
	char *out;
	unsigned a, b;

	record_begin(&r);
	p = open_mode(PROGRESS_BAR);
	progress_note(p, "before");
	progress_phase(p, "downloading", 2, 2000);
	a = progress_start(p, "first", 1000, 0);
	progress_tick(p, false);
	b = progress_start(p, "second", 1000, 0);
	progress_note(p, "one");
	progress_add(p, a, 1000);
	progress_tick(p, true);
	progress_finish(p, a, PROGRESS_DONE, NULL);
	progress_finish(p, b, PROGRESS_FAILED, "why");
	progress_note(p, "two");
	out = record_end(&r);
	screen_put(s, out);
	free(out);
	CHECK(!strcmp(s->cell[0], "hub: before"));
	CHECK(!strcmp(s->cell[1], "hub: one"));
	CHECK(!strncmp(s->cell[2], "downloading: 50%, 1.00 kB of", 28));
	CHECK(!strcmp(s->cell[3], "failed: second: why"));
	CHECK(!strcmp(s->cell[4], "hub: two"));
	CHECK(!strncmp(s->cell[5], "downloading  50%  1.00 kB of 2.00 kB", 36));
	CHECK(s->row == 6 && !*s->cell[6]);

	record_begin(&r);
	progress_close(p);
	out = record_end(&r);
	screen_put(s, out);
	free(out);
	CHECK(!strncmp(s->cell[5], "downloaded: 1 of 2 files, 1.00 kB in", 36));
	CHECK(s->row == 6 && !*s->cell[6] && !s->column);
	free(s);
}

/* Files that have arrived and wait for the disk are not in the way. */
static void
test_bar_of_small_files(void)
{
	struct screen *s = xcalloc(1, sizeof(*s));
	struct progress *p;
	struct record r;
	unsigned here, half;
	char *out;

	record_begin(&r);
	p = open_mode(PROGRESS_BAR);
	progress_phase(p, "downloading", 3, 0);
	here = progress_start(p, "here", 100, 0);
	half = progress_start(p, "half", 100, 0);
	progress_start(p, "large", 20000000, 20000000);
	progress_add(p, here, 100);
	progress_add(p, half, 50);
	progress_tick(p, false);
	out = record_end(&r);
	screen_put(s, out);
	free(out);
	CHECK(strstr(s->cell[1], " 50%") && strstr(s->cell[1], "half"));
	CHECK(strstr(s->cell[2], "100%") && strstr(s->cell[2], "large"));
	CHECK(!*s->cell[3]);
	record_begin(&r);
	progress_close(p);
	free(record_end(&r));
	free(s);
}

static int
pty_open(char *name, size_t size)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY);

	if (fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0 || !ptsname(fd))
		return -1;
	snprintf(name, size, "%s", ptsname(fd));
	return fd;
}

/* All that was written until now: it may come in pieces. */
static void
pty_read(int fd, char *out, size_t size)
{
	struct pollfd f = {.fd = fd, .events = POLLIN};
	size_t n = 0;

	while (n < size - 1 && poll(&f, 1, 50) == 1) {
		ssize_t r = read(fd, out + n, size - 1 - n);

		if (r <= 0)
			break;
		n += (size_t)r;
	}
	out[n] = '\0';
}

/* On a MIPS the number is beyond what ioctl() of musl takes. */
static int
set_size(int tty, const struct winsize *size)
{
	return ioctl(tty, (int)TIOCSWINSZ, size);
}

/* A window that became narrower broke the lines into more rows. */
static void
test_resize(void)
{
	struct winsize size = {.ws_col = 60, .ws_row = 10};
	char name[64], out[4096];
	int saved = dup(2), fd = pty_open(name, sizeof(name)), tty;
	struct progress *p;

	tty = fd < 0 ? -1 : open(name, O_RDWR | O_NOCTTY);
	if (tty < 0) {
		printf("no pseudo-terminals here\n");
		close(saved);
		return;
	}
	CHECK(set_size(tty, &size) == 0);
	dup2(tty, 2);
	p = open_mode(PROGRESS_AUTO);
	progress_phase(p, "downloading", 1, 1000000000);
	progress_start(p, "some/long/name/of/a/file/that/is/cut.safetensors",
	    1000000000, 0);
	progress_tick(p, false);
	pty_read(fd, out, sizeof(out));
	CHECK(strstr(out, "  0%  0 B of 1.00 GB  0 B/s"));
	CHECK(strstr(out, "...name/of/a/file"));
	size.ws_col = 20;
	CHECK(set_size(tty, &size) == 0);
	progress_note(p, "x");
	pty_read(fd, out, sizeof(out));
	/* 52 columns of totals and 59 of the file: three rows each. */
	CHECK(!strncmp(out, "\r\033[6A\033[Jhub: x\r\n0%  0 B  0 B/s\r\n", 32));
	CHECK(strstr(out, "\r\n.../cut.safetensors\r\n"));
	size.ws_row = 2;
	CHECK(set_size(tty, &size) == 0);
	progress_note(p, "y");
	pty_read(fd, out, sizeof(out));
	CHECK(!strncmp(out, "\r\033[1A\033[J", 8));
	/* After Ctrl-Z and fg the shell's words stand above the cursor. */
	CHECK(raise(SIGCONT) == 0);
	progress_tick(p, false);
	pty_read(fd, out, sizeof(out));
	CHECK(!strncmp(out, "0%  0 B  0", 10));
	progress_close(p);
	dup2(saved, 2);
	close(saved);
	close(tty);
	close(fd);
}

static void
test_auto(void)
{
	static const struct progress_opts rows[] = {
	    {.term = "xterm"}, /* a file is no terminal */
	    {.term = NULL},
	    {.term = "xterm", .ci = true},
	    {.term = "dumb"},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct record r;
		char *out;

		record_begin(&r);
		work(progress_open(&rows[i]));
		out = record_end(&r);
		CHECK_ROW(i, !strchr(out, '\033') && strstr(out, "done: a"));
		free(out);
	}
}

/* Bytes that are there already are said apart, as long as they count. */
static void
test_there(void)
{
	struct record r;
	struct progress *p;
	unsigned a, b;
	char *out;

	record_begin(&r);
	p = open_mode(PROGRESS_LINES);
	progress_phase(p, "uploading", 2, 2000);
	a = progress_start(p, "a", 1000, 0);
	b = progress_start(p, "b", 1000, 0);
	progress_there(p, a, 700);
	progress_there(p, b, 300);
	progress_add(p, b, 200);
	progress_lost(p, b, 200);
	progress_tick(p, true);
	progress_lost(p, a, 700); /* it is read once more */
	progress_there(p, a, 100);
	progress_add(p, a, 900);
	progress_finish(p, a, PROGRESS_DONE, NULL);
	progress_add(p, b, 700);
	progress_finish(p, b, PROGRESS_DONE, NULL);
	progress_close(p);
	out = record_end(&r);
	CHECK(strstr(out, "\nuploading: 50%, 1.00 kB of 2.00 kB, "
			  "1.00 kB already there, "));
	CHECK(strstr(out, "\nuploaded: 2 of 2 files, 1.80 kB in 0 s, "));
	CHECK(strstr(out, "/s, 400 B already there\n"));
	free(out);
}

static void *
add(void *arg)
{
	struct progress *p = arg;

	for (int i = 0; i < 20; i++) {
		unsigned f = progress_start(p, "f", 3000, 0);

		for (int j = 0; j < 1000; j++)
			progress_add(p, f, 3);
		if (i % 5 == 0)
			progress_note(p, "n");
		progress_lost(p, f, 30);
		progress_add(p, f, 30);
		progress_finish(p, f, PROGRESS_DONE, NULL);
	}
	return NULL;
}

static void
test_threads(void)
{
	pthread_t thread[4];
	struct progress *p;
	struct record r;
	char *out;

	record_begin(&r);
	p = open_mode(PROGRESS_BAR);
	progress_phase(p, "downloading", 80, 240000);
	for (size_t i = 0; i < countof(thread); i++)
		CHECK(!pthread_create(&thread[i], NULL, add, p));
	for (int i = 0; i < 20; i++)
		progress_tick(p, i % 4 == 0);
	for (size_t i = 0; i < countof(thread); i++)
		pthread_join(thread[i], NULL);
	progress_tick(p, true);
	progress_close(p);
	out = record_end(&r);
	CHECK(strstr(out, "downloading: 100%, 240 kB of 240 kB, "));
	CHECK(strstr(out, "downloaded: 80 of 80 files, 242 kB in "));
	free(out);
}

int
main(void)
{
	test_lines();
	test_none();
	test_json();
	test_wait();
	test_small_files();
	test_large_file();
	test_same_reason();
	test_one_file();
	test_too_many_files();
	wait_signals();
	test_bar();
	test_bar_of_small_files();
	test_resize();
	test_auto();
	test_there();
	test_threads();
	return test_end();
}
