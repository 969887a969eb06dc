#include "display.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

/* Names are longer only if somebody plays tricks. */
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

unsigned
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

unsigned
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
add_bytes(const struct display *d, const char *between, struct buf *line)
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
	part_add(line, between, text);
}

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
add_totals(const struct display *d, const char *between, struct buf *line)
{
	if (d->waiting)
		add_wait(d, between, line);
	if (d->total || d->done)
		add_bytes(d, between, line);
	/* A rate that fades while nothing is asked for says nothing. */
	if ((d->total || d->done) && !d->waiting)
		add_speed(d, between, line);
	add_counts(d, between, line);
}

void
display_status(const struct display *d, struct buf *out)
{
	struct buf line = buf_make(512);

	add_totals(d, ", ", &line);
	buf_printf(out, "%s: %s", d->verb, buf_cstr(&line));
	buf_release(&line);
}

/* The verb only where there is room for more than it. */
static unsigned
draw_totals(const struct display *d, unsigned width, struct buf *out)
{
	struct buf line = buf_make(width);
	unsigned columns;

	if (strlen(d->verb) + 30 <= width)
		part_add(&line, "", d->verb);
	add_totals(d, "  ", &line);
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

size_t
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

unsigned
display_rows(const unsigned *columns, size_t n, unsigned width)
{
	unsigned rows = 0;

	for (size_t i = 0; i < n; i++)
		rows += columns[i] && width ? (columns[i] - 1) / width + 1 : 1;
	return rows;
}

void
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

void
speed_skip(struct speed *s, uint64_t ms)
{
	s->start += ms;
	if (s->last)
		s->last += ms;
}

/* Three digits of bytes with so many decimals; false if it takes more. */
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

void
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

void
duration_say(uint64_t seconds, char out[16])
{
	if (seconds < 120)
		snprintf(out, 16, "%u s", (unsigned)seconds);
	else
		snprintf(out, 16, "%u min",
		    (unsigned)(seconds / 60 + !!(seconds % 60)));
}
