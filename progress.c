#include "progress.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "str.h"
#include "wait.h"

/* --- Numbers as text of a given width. --- */

/* Real names are shorter. */
#define NAME_MAX_BYTES 4096

#define SPEED_WINDOW 5000 /* milliseconds */

struct range {
	uint32_t first, last;
};

/* Letters of no width (Unicode 15: Mn, Me and Cf of what file names are likely
 * to hold), and of double width (East Asian Width W and F). */
static const struct range narrow[] = {
    {0x300, 0x36f},
    {0x483, 0x489},
    {0x591, 0x5bd},
    {0x610, 0x61a},
    {0x64b, 0x65f},
    {0x6d6, 0x6dc},
    {0x93c, 0x93c},
    {0x941, 0x948},
    {0x94d, 0x94d},
    {0xe31, 0xe31},
    {0xe34, 0xe3a},
    {0xe47, 0xe4e},
    {0x1ab0, 0x1aff},
    {0x1dc0, 0x1dff},
    {0x200b, 0x200d},
    {0x2060, 0x2064},
    {0x20d0, 0x20f0},
    {0x302a, 0x302d},
    {0x3099, 0x309a},
    {0xfe00, 0xfe0f},
    {0xfe20, 0xfe2f},
    {0xfeff, 0xfeff},
    {0xe0100, 0xe01ef},
};

static const struct range wide[] = {
    {0x1100, 0x115f},
    {0x231a, 0x231b},
    {0x2329, 0x232a},
    {0x2614, 0x2615},
    {0x26a1, 0x26a1},
    {0x2705, 0x2705},
    {0x274c, 0x274c},
    {0x2b50, 0x2b50},
    {0x2e80, 0x303e},
    {0x3041, 0x33ff},
    {0x3400, 0x4dbf},
    {0x4e00, 0xa4cf},
    {0xa960, 0xa97c},
    {0xac00, 0xd7a3},
    {0xf900, 0xfaff},
    {0xfe10, 0xfe19},
    {0xfe30, 0xfe6f},
    {0xff01, 0xff60},
    {0xffe0, 0xffe6},
    {0x17000, 0x18cff},
    {0x1b000, 0x1b2ff},
    {0x1f300, 0x1f64f},
    {0x1f680, 0x1f6ff},
    {0x1f900, 0x1faff},
    {0x20000, 0x3fffd},
};

static bool
among(uint32_t c, const struct range *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (c >= r[i].first && c <= r[i].last)
			return true;
	return false;
}

/* The letter that s begins with; *n is its length, at least 1. */
static uint32_t
letter(struct str s, size_t *n)
{
	unsigned char c = (unsigned char)s.s[0];
	uint32_t v;

	*n = utf8_length(s);
	if (*n < 2) {
		*n = 1;
		return c;
	}
	v = c & (0x7fu >> *n);
	for (size_t i = 1; i < *n; i++)
		v = v << 6 | ((unsigned char)s.s[i] & 0x3f);
	return v;
}

static unsigned
letter_columns(uint32_t c)
{
	if (c < 0x300)
		return 1;
	if (among(c, narrow, countof(narrow)))
		return 0;
	return among(c, wide, countof(wide)) ? 2 : 1;
}

/* Columns of printable text. */
static unsigned
display_columns(struct str s)
{
	unsigned columns = 0;

	while (s.n) {
		size_t n;

		columns += letter_columns(letter(s, &n));
		s = str_make(s.s + n, s.n - n);
	}
	return columns;
}

/* A copy of name that is fit for a terminal. */
static char *
printable(const char *name)
{
	char *copy = xstrdup(name);
	size_t length;

	str_mask_tokens(copy);
	length = strlen(copy);
	if (length > NAME_MAX_BYTES)
		memmove(
		    copy, copy + length - NAME_MAX_BYTES, NAME_MAX_BYTES + 1);
	str_printable(copy);
	return copy;
}

/* Appends name, printable, in at most width columns: what is too long loses
 * its beginning, since the end of a path says more. Returns the columns. */
static unsigned
display_name(const char *name, unsigned width, struct buf *out)
{
	char *copy = printable(name);
	struct str s = str_of(copy);
	unsigned columns = display_columns(s);
	bool cut = columns > width;
	unsigned dots = !cut ? 0 : width < 3 ? width : 3;

	while (cut && s.n) {
		size_t n;
		unsigned w = letter_columns(letter(s, &n));

		if (w && columns + dots <= width)
			break;
		columns -= w;
		s = str_make(s.s + n, s.n - n);
	}
	buf_add(out, "...", dots);
	buf_str_add(out, s);
	free(copy);
	return columns + dots;
}

/* 0 to 100, and 100 only when all is done. */
static unsigned
percent(uint64_t done, uint64_t total)
{
	if (done >= total)
		return 100;
	while (done > UINT64_MAX / 100) {
		done /= 2;
		total /= 2;
	}
	return done < total ? (unsigned)(done * 100 / total) : 99;
}

/* Adds one part to a line, unless it or one before it does not fit. All of it
 * is ASCII, so bytes are columns. */
static void
part_add(struct buf *line, const char *between, const char *text)
{
	if (!line->len)
		between = "";
	if (strlen(between) + strlen(text) > line->max - line->len)
		line->full = true;
	buf_puts(line, between);
	buf_puts(line, text);
}

static void
add_bytes(const struct display *d, const char *between, bool with_total,
    struct buf *line)
{
	char text[48], done[16], total[16];

	size_show(d->done, done);
	size_show(d->total, total);
	if (!d->total) {
		part_add(line, between, done);
		return;
	}
	snprintf(text, sizeof(text), "%u%%", percent(d->done, d->total));
	part_add(line, between, text);
	snprintf(text, sizeof(text), "%s of %s", done, total);
	part_add(line, between, with_total ? text : done);
}

static void duration_show(uint64_t seconds, char out[16]);

static void
add_speed(const struct display *d, const char *between, struct buf *line)
{
	char text[48], number[16];
	uint64_t left;

	size_show(d->rate, number);
	snprintf(text, sizeof(text), "%s/s", number);
	part_add(line, between, text);
	if (!d->rate || d->total <= d->done)
		return;
	left = (d->total - d->done) / d->rate;
	if (left > 1000 * 3600)
		return; /* nobody knows */
	duration_show(left, number);
	snprintf(text, sizeof(text), "%s left", number);
	part_add(line, between, text);
}

static void
add_counts(const struct display *d, const char *between, struct buf *line)
{
	char text[64];

	if (d->files_total) {
		snprintf(text, sizeof(text),
		    "%" PRIu64 " of %" PRIu64 " file%s", d->files_done,
		    d->files_total, d->files_total == 1 ? "" : "s");
		part_add(line, between, text);
	}
	if (d->connections) {
		snprintf(text, sizeof(text), "%u connection%s", d->connections,
		    d->connections == 1 ? "" : "s");
		part_add(line, between, text);
	}
}

static void
add_wait(const struct display *d, const char *between, struct buf *line)
{
	char text[48], time[16];

	duration_show(d->waiting, time);
	snprintf(text, sizeof(text), "waiting %s", time);
	part_add(line, between, text);
}

/* The totals, the most important first; what has no meaning (yet) is left
 * out. */
static void
add_totals(const struct display *d, const char *between, bool with_total,
    struct buf *line)
{
	if (d->waiting)
		add_wait(d, between, line);
	if (d->total || d->done)
		add_bytes(d, between, with_total, line);
	/* A rate that fades while nothing is asked for says nothing. */
	if ((d->total || d->done) && !d->waiting)
		add_speed(d, between, line);
	add_counts(d, between, line);
}

/* The totals as one line without '\n'. */
static void
display_status(const struct display *d, struct buf *out)
{
	struct buf line = buf_make(512);

	add_totals(d, ", ", true, &line);
	buf_printf(out, "%s: %s", d->verb, buf_cstr(&line));
	buf_release(&line);
}

/* The verb only where there is room for more than it. */
static struct buf
totals_line(const struct display *d, unsigned width, bool with_total)
{
	struct buf line = buf_make(width);

	if (strlen(d->verb) + 30 <= width)
		part_add(&line, "", d->verb);
	add_totals(d, "  ", with_total, &line);
	return line;
}

static bool
shows_time_left(const struct buf *line)
{
	return strstr(buf_cstr(line), " left") != NULL;
}

/* Leaves out the total where only that makes room for the time left. */
static unsigned
draw_totals(const struct display *d, unsigned width, struct buf *out)
{
	struct buf line = totals_line(d, width, true);
	unsigned columns;

	if (line.full && !shows_time_left(&line)) {
		struct buf brief = totals_line(d, width, false);
		struct buf unused = shows_time_left(&brief) ? line : brief;

		line = shows_time_left(&brief) ? brief : line;
		buf_release(&unused);
	}
	columns = (unsigned)line.len; /* <= width */
	buf_add(out, line.s, line.len);
	buf_putc(out, '\n');
	buf_release(&line);
	return columns;
}

/* "   45%   1.34 GB  name", or the name alone where that leaves little. */
static unsigned
draw_file(const struct display_file *f, unsigned width, struct buf *out)
{
	char left[32] = "", size[16];
	unsigned n, columns;

	if (width >= 40 && f->size) {
		size_show(f->size, size);
		snprintf(left, sizeof(left), "  %3u%%  %8s  ",
		    percent(f->done, f->size), size);
	}
	n = (unsigned)strlen(left);
	buf_puts(out, left);
	columns = n + display_name(f->name, width - n, out);
	buf_putc(out, '\n');
	return columns;
}

static unsigned
draw_more(size_t files, unsigned width, struct buf *out)
{
	char text[48];

	snprintf(text, sizeof(text), "  and %zu more", files);
	if (strlen(text) > width)
		text[width] = '\0';
	buf_puts(out, text);
	buf_putc(out, '\n');
	return (unsigned)strlen(text);
}

/*
 * The live display: a line of totals, then one for each file in flight, or for
 * as many as fit; each ends with '\n' and is shorter than width, none if there
 * is no room. columns gets the width of each line. Returns their number, at
 * most height and DISPLAY_LINES.
 */
static size_t
display_draw(const struct display *d, unsigned width, unsigned height,
    unsigned columns[DISPLAY_LINES], struct buf *out)
{
	size_t n = 0, room, shown;

	if (height > DISPLAY_LINES)
		height = DISPLAY_LINES;
	if (width < 2 || !height)
		return 0;
	width--; /* a terminal may wrap after its last column */
	columns[n++] = draw_totals(d, width, out);
	room = height - 1;
	shown = d->files <= room ? d->files : room ? room - 1 : 0;
	for (size_t i = 0; i < shown; i++)
		columns[n++] = draw_file(&d->file[i], width, out);
	if (d->files > shown && room)
		columns[n++] = draw_more(d->files - shown, width, out);
	return n;
}

/* The rows of a terminal that lines take which were drawn on a wider one. */
static unsigned
display_rows(const unsigned *columns, size_t n, unsigned width)
{
	unsigned rows = 0;

	for (size_t i = 0; i < n; i++)
		rows += columns[i] && width ? (columns[i] - 1) / width + 1 : 1;
	return rows;
}

/* At time now bytes had come in all; call it some times a second. */
static void
speed_add(struct speed *s, uint64_t now, uint64_t bytes)
{
	uint64_t last = s->last > s->start ? s->last : s->start;
	uint64_t step = now - last, window = now - s->start, n;

	if (now <= last || step < 100)
		return;
	n = bytes > s->bytes ? bytes - s->bytes : 0;
	if (window > SPEED_WINDOW)
		window = SPEED_WINDOW;
	if (n > UINT64_MAX / 2000)
		n = UINT64_MAX / 2000;
	/* What left the window is taken to have come at the rate until now. */
	if (step < window)
		s->rate = (s->rate * (window - step) + n * 1000) / window;
	else
		s->rate = n * 1000 / step;
	s->last = now;
	s->bytes = bytes;
}

/* Leaves out this many milliseconds, in which the process was suspended. */
static void
speed_skip(struct speed *s, uint64_t ms)
{
	s->start += ms;
	if (s->last)
		s->last += ms;
}

/* Three digits of bytes with this many decimals; false if it takes more. */
static bool
size_digits(uint64_t bytes, uint64_t unit, int decimals, char out[16])
{
	static const char letters[] = "kMGTPE";
	unsigned scale = decimals == 2 ? 100 : decimals == 1 ? 10 : 1, i = 0;
	uint64_t step = unit / scale, v = bytes / step, rest = bytes % step;

	if (rest >= step - rest)
		v++;
	if (v >= 1000)
		return false;
	for (uint64_t u = 1000; u < unit; u *= 1000)
		i++;
	if (decimals)
		snprintf(out, 16, "%u.%0*u %cB", (unsigned)v / scale, decimals,
		    (unsigned)v % scale, letters[i]);
	else
		snprintf(out, 16, "%u %cB", (unsigned)v, letters[i]);
	return true;
}

void
size_show(uint64_t bytes, char out[16])
{
	if (bytes < 1000) {
		snprintf(out, 16, "%u B", (unsigned)bytes);
		return;
	}
	/* 2^64 is "18.4 EB": it ends before unit overflows. */
	for (uint64_t unit = 1000;; unit *= 1000)
		for (int decimals = 2; decimals >= 0; decimals--)
			if (size_digits(bytes, unit, decimals, out))
				return;
}

/* "1:02:03", "4:05", "12 s". */
static void
duration_show(uint64_t seconds, char out[16])
{
	uint64_t hours = seconds / 3600;
	unsigned m = (unsigned)(seconds / 60 % 60),
		 s = (unsigned)(seconds % 60);

	if (hours > 999999)
		snprintf(out, 16, "over 100 years");
	else if (hours)
		snprintf(out, 16, "%u:%02u:%02u", (unsigned)hours, m, s);
	else if (m)
		snprintf(out, 16, "%u:%02u", m, s);
	else
		snprintf(out, 16, "%u s", s);
}

/* For a sentence: "90 s", "25 min"; never less than it is. */
static void
duration_say(uint64_t seconds, char out[16])
{
	if (seconds < 120)
		snprintf(out, 16, "%u s", (unsigned)seconds);
	else
		snprintf(out, 16, "%u min",
		    (unsigned)(seconds / 60 + !!(seconds % 60)));
}

/* --- The progress. --- */

/* Files in flight that are shown; those above share number 0, which only
 * counts. */
#define SLOTS 512

#define DRAW_EVERY 200 /* milliseconds */
#define JSON_EVERY 1000
#define LINE_EVERY 30000

/* Lines mode: this many files in a row get a line each, then one in three
 * seconds; the others are summed up in one line every ten. */
#define BURST 10
#define BURST_REFILL 3000
#define SUM_EVERY 10000

/* Files from this size on have a line of their own in any case: they take time,
 * and are those that somebody waits for. */
#define LARGE 10000000

/* Of a name, a reason or a message in one line. */
#define TEXT_MAX 2048
#define OUT_MAX (1 << 16)

struct slot {
	char *name; /* NULL: free */
	uint64_t done, size;
	/* Bytes that are not in done yet: what progress_add() counts without
	 * the lock. Not 64 bits wide, which not every machine can do. */
	atomic_size_t fresh;
};

struct progress {
	enum progress_mode mode; /* never AUTO */
	bool quiet;
	uint64_t opened; /* time */
	uint64_t ticked; /* time of the last tick */

	/* Guards all that follows, but for slot.fresh, and the writing. */
	pthread_mutex_t lock;
	struct slot slot[SLOTS];
	size_t used; /* slots above were never taken */
	struct display total;
	uint64_t received; /* bytes of this phase, never less than before */
	uint64_t began;    /* time of the phase */
	bool began_phase;
	uint64_t wait_until; /* time; in the past: it does not wait */
	struct speed speed;
	uint64_t next; /* time of the next drawing, line or event */

	/* Lines mode. */
	uint64_t burst; /* time until which lines have been spent */
	uint64_t next_sum;
	uint64_t unsaid_files, unsaid_bytes;
	char *reason; /* of the last failure that was reported in full */

	/* Bar mode: what stands on the screen. */
	unsigned columns[DISPLAY_LINES];
	size_t drawn;

	struct buf out; /* of one update */
};

static enum progress_mode
mode_of(const struct progress_opts *o)
{
	if (o->quiet)
		return PROGRESS_NONE;
	if (o->mode != PROGRESS_AUTO)
		return o->mode;
	if (o->ci || !o->term || !*o->term || !strcmp(o->term, "dumb") ||
	    !isatty(STDERR_FILENO))
		return PROGRESS_LINES;
	return PROGRESS_BAR;
}

struct progress *
progress_open(const struct progress_opts *o)
{
	struct progress *p = xcalloc(1, sizeof(*p));

	p->mode = mode_of(o);
	p->quiet = o->quiet;
	p->opened = p->ticked = p->began = wait_now();
	p->speed.start = p->began;
	p->total.verb = o->verb ? o->verb : "";
	p->out = buf_make(OUT_MAX);
	for (size_t i = 0; i < SLOTS; i++)
		atomic_init(&p->slot[i].fresh, 0);
	p->used = 1; /* number 0 has no name */
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

/* Writes the update. What cannot be written within a second is left out: a
 * terminal that stands still must not hold up the transfer. */
static void
flush(struct progress *p)
{
	const char *s = p->out.s;
	size_t n = p->out.len;

	while (n) {
		ssize_t w = write(STDERR_FILENO, s, n);
		struct pollfd f = {.fd = STDERR_FILENO, .events = POLLOUT};

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && (errno != EAGAIN || poll(&f, 1, 1000) != 1))
			break;
		if (w > 0) {
			s += w;
			n -= (size_t)w;
		}
	}
	buf_clear(&p->out);
}

/* Takes the bytes that workers counted. */
static void
drain_slot(struct progress *p, struct slot *s)
{
	size_t n = atomic_exchange_explicit(&s->fresh, 0, memory_order_relaxed);

	s->done += n;
	p->total.done += n;
	p->received += n;
}

static void
drain(struct progress *p)
{
	for (size_t i = 0; i < p->used; i++)
		drain_slot(p, &p->slot[i]);
}

static void
measure(struct progress *p, uint64_t now)
{
	drain(p);
	speed_add(&p->speed, now, p->received);
	p->total.rate = p->speed.rate;
	p->total.waiting =
	    p->wait_until > now ? (p->wait_until - now + 999) / 1000 : 0;
}

/* Bar mode */

static void
window_size(unsigned *width, unsigned *height)
{
	struct winsize w = {0};

	*width = 80;
	*height = 24;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) < 0)
		return;
	if (w.ws_col)
		*width = w.ws_col;
	if (w.ws_row)
		*height = w.ws_row;
}

/* Removes the live display: its lines may have been broken into more rows by
 * a window that became narrower. */
static void
erase(struct progress *p)
{
	unsigned width, height, rows;

	if (!p->drawn)
		return;
	window_size(&width, &height);
	rows = display_rows(p->columns, p->drawn, width);
	if (rows >= height)
		rows = height - 1;
	buf_puts(&p->out, "\r");
	if (rows)
		buf_printf(&p->out, "\033[%uA", rows);
	buf_puts(&p->out, "\033[J");
	p->drawn = 0;
}

/* A small complete file only waits for the disk, with many others. */
static bool
only_waits(const struct slot *s)
{
	return s->done >= s->size && s->size < LARGE;
}

static void
draw(struct progress *p)
{
	struct display_file file[DISPLAY_LINES];
	unsigned width, height;
	size_t n = 0;

	if (p->mode != PROGRESS_BAR || !p->began_phase)
		return;
	for (size_t i = 1; i < p->used; i++) {
		const struct slot *s = &p->slot[i];

		if (s->name && !only_waits(s) && n++ < countof(file))
			file[n - 1] =
			    (struct display_file){s->name, s->done, s->size};
	}
	p->total.file = file;
	p->total.files = n;
	window_size(&width, &height);
	p->drawn =
	    display_draw(&p->total, width, height - 1, p->columns, &p->out);
	p->total.file = NULL;
	p->total.files = 0;
}

/* Not while somebody stopped the terminal with Ctrl-S, nor from behind another
 * program that has it. */
static bool
may_draw(void)
{
	struct pollfd f = {.fd = STDERR_FILENO, .events = POLLOUT};
	pid_t front = tcgetpgrp(STDERR_FILENO);

	return (front < 0 || front == getpgrp()) && poll(&f, 1, 0) == 1;
}

/* JSON mode */

static void
json_text(struct progress *p, const char *key, const char *text)
{
	size_t n = strlen(text);

	buf_printf(&p->out, ",\"%s\":", key);
	json_put_string(&p->out, str_make(text, n > TEXT_MAX ? TEXT_MAX : n));
}

/* The fields that every event has. */
static void
event_begin(struct progress *p, const char *event)
{
	uint64_t t = wait_now() - p->opened;

	buf_printf(&p->out, "{\"v\":1,\"event\":\"%s\",\"t\":%" PRIu64 ".%03u",
	    event, t / 1000, (unsigned)(t % 1000));
}

static void
event_end(struct progress *p)
{
	buf_puts(&p->out, "}\n");
}

static void
event_totals(struct progress *p, const char *event)
{
	const struct display *d = &p->total;

	event_begin(p, event);
	json_text(p, "phase", d->verb);
	buf_printf(&p->out,
	    ",\"done\":%" PRIu64 ",\"total\":%" PRIu64 ",\"rate\":%" PRIu64
	    ",\"files\":%" PRIu64 ",\"files_total\":%" PRIu64
	    ",\"connections\":%u",
	    d->done, d->total, d->rate, d->files_done, d->files_total,
	    d->connections);
	if (d->waiting)
		buf_printf(&p->out, ",\"waiting\":%" PRIu64, d->waiting);
	event_end(p);
}

static void
event_file(struct progress *p, const char *event, const struct slot *s,
    const char *why)
{
	event_begin(p, event);
	json_text(p, "path", s->name);
	buf_printf(&p->out, ",\"done\":%" PRIu64 ",\"total\":%" PRIu64, s->done,
	    s->size);
	if (why)
		json_text(p, "why", why);
	event_end(p);
}

/* Lines of text; in bar mode they go above the display. */

static void
line_end(struct progress *p)
{
	buf_putc(&p->out, '\n');
	draw(p);
	flush(p);
}

static void
status_line(struct progress *p)
{
	erase(p);
	display_status(&p->total, &p->out);
	line_end(p);
}

/* Says in one line what was kept back to spare the reader. */
static void
say_sum(struct progress *p)
{
	char size[16];

	if (!p->unsaid_files)
		return;
	size_show(p->unsaid_bytes, size);
	buf_printf(&p->out, "%" PRIu64 " more file%s, %s\n", p->unsaid_files,
	    p->unsaid_files == 1 ? "" : "s", size);
	p->unsaid_files = p->unsaid_bytes = 0;
}

/* The same failure again: the number that the Hub gave the request does not
 * count. */
static bool
is_told(struct progress *p, const char *why)
{
	const char *end = strstr(why, " (request ");
	size_t n = end ? (size_t)(end - why) : strlen(why);

	if (p->reason && strlen(p->reason) == n &&
	    memcmp(p->reason, why, n) == 0)
		return true;
	free(p->reason);
	p->reason = xstrndup(why, n);
	return false;
}

/* Whether one more file gets its own line now. */
static bool
may_say(struct progress *p, uint64_t now)
{
	if (p->unsaid_files)
		return false;
	if (p->burst < now)
		p->burst = now;
	if (p->burst - now > (BURST - 1) * BURST_REFILL)
		return false;
	p->burst += BURST_REFILL;
	return true;
}

static void
line_file(struct progress *p, const struct slot *s, enum progress_outcome how,
    const char *why)
{
	static const char *const word[] = {
	    [PROGRESS_DONE] = "done",
	    [PROGRESS_KEPT] = "in place",
	    [PROGRESS_FAILED] = "failed",
	};
	uint64_t now = wait_now();
	char size[16];

	if (how != PROGRESS_FAILED && p->mode == PROGRESS_BAR)
		return;
	if (how != PROGRESS_FAILED && s->size < LARGE && !may_say(p, now)) {
		if (!p->unsaid_files++)
			p->next_sum = now + SUM_EVERY;
		p->unsaid_bytes += s->size;
		return;
	}
	if (why && is_told(p, why))
		why = "for the same reason";
	erase(p);
	buf_printf(&p->out, "%s: ", word[how]);
	display_name(s->name, TEXT_MAX, &p->out);
	size_show(s->size, size);
	buf_puts(&p->out, why ? ": " : ", ");
	display_name(why ? why : size, TEXT_MAX, &p->out);
	line_end(p);
}

static void
line_phase(struct progress *p)
{
	const struct display *d = &p->total;
	char size[16];

	if (!d->files_total && !d->total)
		return;
	size_show(d->total, size);
	buf_printf(&p->out, "%s: %" PRIu64 " file%s%s%s", d->verb,
	    d->files_total, d->files_total == 1 ? "" : "s",
	    d->total ? ", " : "", d->total ? size : "");
	line_end(p);
}

/* The last line of a phase in which something happened. */
static void
line_end_of_phase(struct progress *p)
{
	const struct display *d = &p->total;
	uint64_t took = wait_now() - p->began;
	uint64_t files = d->files_total ? d->files_total : d->files_done;
	char size[16], rate[16], time[16];

	if (!p->received && !d->files_done)
		return;
	size_show(p->received, size);
	size_show(took ? p->received * 1000 / took : 0, rate);
	duration_show(took / 1000, time);
	/* "downloading" is over: "downloaded". */
	buf_printf(&p->out, "%.*sed: %" PRIu64, (int)strlen(d->verb) - 3,
	    d->verb, d->files_done);
	if (d->files_total)
		buf_printf(&p->out, " of %" PRIu64, d->files_total);
	buf_puts(&p->out, files == 1 ? " file" : " files");
	if (p->received)
		buf_printf(&p->out, ", %s in %s, %s/s", size, time, rate);
	buf_putc(&p->out, '\n');
}

static void
phase_begin(struct progress *p)
{
	p->began_phase = true;
	switch (p->mode) {
	case PROGRESS_LINES:
		p->next = p->began + LINE_EVERY;
		line_phase(p);
		return;
	case PROGRESS_JSON:
		p->next = p->began + JSON_EVERY;
		event_totals(p, "phase");
		flush(p);
		return;
	case PROGRESS_AUTO:
	case PROGRESS_BAR:
	case PROGRESS_NONE:
		return;
	}
}

static void
phase_end(struct progress *p)
{
	measure(p, wait_now());
	erase(p);
	if (!p->began_phase)
		return;
	if (p->mode == PROGRESS_JSON)
		event_totals(p, "end");
	if (p->mode == PROGRESS_LINES)
		say_sum(p);
	if (p->mode == PROGRESS_LINES || p->mode == PROGRESS_BAR)
		line_end_of_phase(p);
	p->began_phase = false;
}

void
progress_phase_end(struct progress *p)
{
	pthread_mutex_lock(&p->lock);
	phase_end(p);
	flush(p);
	pthread_mutex_unlock(&p->lock);
}

void
progress_phase(
    struct progress *p, const char *verb, uint64_t files, uint64_t bytes)
{
	pthread_mutex_lock(&p->lock);
	phase_end(p);
	flush(p);
	p->total = (struct display){
	    .verb = verb,
	    .total = bytes,
	    .files_total = files,
	    .connections = p->total.connections,
	};
	p->received = 0;
	p->began = wait_now();
	p->speed = (struct speed){.start = p->began};
	phase_begin(p);
	pthread_mutex_unlock(&p->lock);
}

void
progress_close(struct progress *p)
{
	if (!p)
		return;
	phase_end(p);
	flush(p);
	for (size_t i = 1; i < p->used; i++)
		free(p->slot[i].name);
	pthread_mutex_destroy(&p->lock);
	buf_release(&p->out);
	free(p->reason);
	free(p);
}

static unsigned
free_slot(struct progress *p)
{
	for (size_t i = 1; i < p->used; i++)
		if (!p->slot[i].name)
			return (unsigned)i;
	return p->used < SLOTS ? (unsigned)p->used++ : 0;
}

unsigned
progress_start(
    struct progress *p, const char *name, uint64_t size, uint64_t have)
{
	unsigned i;

	pthread_mutex_lock(&p->lock);
	if (!p->began_phase)
		phase_begin(p);
	i = free_slot(p);
	p->total.done += have;
	if (i) {
		p->slot[i].name = xstrdup(name);
		p->slot[i].done = have;
		p->slot[i].size = size;
	}
	if (i && p->mode == PROGRESS_JSON) {
		event_file(p, "start", &p->slot[i], NULL);
		flush(p);
	}
	pthread_mutex_unlock(&p->lock);
	return i;
}

void
progress_add(struct progress *p, unsigned file, uint64_t bytes)
{
	struct slot *s = &p->slot[file];
	size_t n = (size_t)bytes, before;

	assert(bytes <= SIZE_MAX / 4); /* what one read gives */
	before = atomic_fetch_add_explicit(&s->fresh, n, memory_order_relaxed);
	if (before <= SIZE_MAX / 2)
		return;
	/* On 32 bits, if nobody drew for 2 GB. */
	pthread_mutex_lock(&p->lock);
	drain_slot(p, s);
	pthread_mutex_unlock(&p->lock);
}

void
progress_lost(struct progress *p, unsigned file, uint64_t bytes)
{
	struct slot *s = &p->slot[file];

	pthread_mutex_lock(&p->lock);
	drain_slot(p, s);
	s->done -= bytes < s->done ? bytes : s->done;
	p->total.done -= bytes < p->total.done ? bytes : p->total.done;
	pthread_mutex_unlock(&p->lock);
}

/* A file that is there counts with its size, whatever was reported. */
static void
settle(struct progress *p, struct slot *s)
{
	if (!s->size)
		return;
	if (s->done < s->size)
		p->total.done += s->size - s->done;
	else
		p->total.done -= s->done - s->size;
	s->done = s->size;
}

static void
tell_finished(struct progress *p, const struct slot *s,
    enum progress_outcome how, const char *why)
{
	static const char *const event[] = {
	    [PROGRESS_DONE] = "done",
	    [PROGRESS_KEPT] = "kept",
	    [PROGRESS_FAILED] = "failed",
	};

	switch (p->mode) {
	case PROGRESS_LINES:
	case PROGRESS_BAR:
		line_file(p, s, how, why);
		return;
	case PROGRESS_JSON:
		event_file(p, event[how], s, why);
		flush(p);
		return;
	case PROGRESS_AUTO:
	case PROGRESS_NONE:
		return;
	}
}

void
progress_finish(struct progress *p, unsigned file, enum progress_outcome how,
    const char *why)
{
	struct slot *s = &p->slot[file];

	pthread_mutex_lock(&p->lock);
	drain_slot(p, s);
	if (how != PROGRESS_FAILED) {
		p->total.files_done++;
		if (file)
			settle(p, s);
	}
	if (file) {
		tell_finished(p, s, how, why);
		free(s->name);
		s->name = NULL;
		s->done = s->size = 0;
	}
	pthread_mutex_unlock(&p->lock);
}

void
progress_connections(struct progress *p, unsigned n)
{
	pthread_mutex_lock(&p->lock);
	p->total.connections = n;
	pthread_mutex_unlock(&p->lock);
}

static void
say(struct progress *p, const char *event, const char *prefix, const char *text)
{
	char *masked = xstrdup(text);

	str_mask_tokens(masked);
	pthread_mutex_lock(&p->lock);
	if (p->mode == PROGRESS_JSON) {
		event_begin(p, event);
		json_text(p, "text", masked);
		event_end(p);
		flush(p);
	} else {
		erase(p);
		buf_puts(&p->out, prefix);
		display_name(masked, TEXT_MAX, &p->out);
		line_end(p);
	}
	pthread_mutex_unlock(&p->lock);
	free(masked);
}

void
progress_note(struct progress *p, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (p->quiet)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(p, "note", "hub: ", text);
}

void
progress_wait(struct progress *p, uint64_t until, const char *why)
{
	uint64_t now = wait_now(), seconds;
	struct timespec clock;
	unsigned minute;
	char time[16];
	bool said;

	if (until < now + PROGRESS_WAIT)
		return;
	pthread_mutex_lock(&p->lock);
	said = p->wait_until > now;
	if (p->wait_until < until)
		p->wait_until = until;
	pthread_mutex_unlock(&p->lock);
	if (said)
		return;
	seconds = (until - now + 999) / 1000;
	duration_say(seconds, time);
	/* Of this machine's zone nothing is known. */
	clock_gettime(CLOCK_REALTIME, &clock);
	minute = (unsigned)(((uint64_t)clock.tv_sec + seconds) / 60 % 1440);
	progress_note(p, "waiting %s, until %02u:%02u UTC: %s", time,
	    minute / 60, minute % 60, why);
}

void
progress_log(struct progress *p, const char *line)
{
	say(p, "log", "", line);
}

/* What a mode shows from time to time. */
static void
show(struct progress *p, uint64_t now)
{
	switch (p->mode) {
	case PROGRESS_BAR:
		p->next = now + DRAW_EVERY;
		if (!may_draw())
			return;
		erase(p);
		draw(p);
		flush(p);
		return;
	case PROGRESS_LINES:
		p->next = now + LINE_EVERY;
		status_line(p);
		return;
	case PROGRESS_JSON:
		p->next = now + JSON_EVERY;
		event_totals(p, "progress");
		flush(p);
		return;
	case PROGRESS_AUTO:
	case PROGRESS_NONE:
		return;
	}
}

/* After Ctrl-Z and fg: the time that passed does not count, and the shell has
 * written below what was drawn. */
static void
wake(struct progress *p, uint64_t now)
{
	uint64_t slept = now - p->ticked;

	p->began = now - p->began > slept ? p->began + slept : now;
	speed_skip(&p->speed, slept);
	p->drawn = 0;
	if (p->mode == PROGRESS_BAR)
		p->next = now;
}

void
progress_tick(struct progress *p, bool status)
{
	uint64_t now = wait_now();

	pthread_mutex_lock(&p->lock);
	if (wait_continued())
		wake(p, now);
	p->ticked = now;
	measure(p, now);
	if (status && p->mode != PROGRESS_JSON)
		status_line(p);
	if (p->unsaid_files && now >= p->next_sum) {
		say_sum(p);
		flush(p);
	}
	if (p->began_phase &&
	    (now >= p->next || (status && p->mode == PROGRESS_JSON)))
		show(p, now);
	pthread_mutex_unlock(&p->lock);
}
