#define _GNU_SOURCE /* wcwidth() */

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
#include <wchar.h>

#include "json.h"
#include "str.h"
#include "wait.h"

/* --- Numbers as text. --- */

void
size_show(uint64_t bytes, char out[16])
{
	static const char letters[] = "BkMGTPE";
	static const unsigned scale[] = {1, 10, 100};
	unsigned exponent = 0, decimals, v;
	uint64_t step = 1;

	/* v * 10^exponent: rounded to three digits, once. */
	for (; bytes / step >= 1000; step *= 10)
		exponent++;
	v = (unsigned)(bytes / step);
	if (exponent && bytes % step >= step / 2 && ++v == 1000) {
		v = 100;
		exponent++;
	}
	decimals = (3 - exponent % 3) % 3;
	if (!exponent)
		snprintf(out, 16, "%u B", v);
	else if (!decimals)
		snprintf(out, 16, "%u %cB", v, letters[exponent / 3]);
	else
		snprintf(out, 16, "%u.%0*u %cB", v / scale[decimals],
		    (int)decimals, v % scale[decimals],
		    letters[exponent / 3 + 1]);
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

/* For a sentence: "90 s", "25 min", rounded up. */
static void
duration_say(uint64_t seconds, char out[16])
{
	if (seconds < 120)
		snprintf(out, 16, "%u s", (unsigned)seconds);
	else
		snprintf(out, 16, "%u min", (unsigned)((seconds + 59) / 60));
}

/* 0 to 100, and 100 only when all is done. */
static unsigned
percent(uint64_t done, uint64_t total)
{
	uint64_t n;

	if (done >= total)
		return 100;
	n = done > UINT64_MAX / 100 ? done / (total / 100) : done * 100 / total;
	return n < 100 ? (unsigned)n : 99;
}

#define SPEED_WINDOW 5000 /* milliseconds */

/* The average rate over SPEED_WINDOW, or since start if that is later. Begins
 * with last equal to start, and the rest 0. */
struct speed {
	uint64_t start, last; /* milliseconds; last: of the latest call */
	uint64_t bytes;       /* at that time */
	uint64_t rate;        /* bytes a second */
};

/* bytes is the sum of all that arrived until now. Call it a few times a
 * second. */
static void
speed_add(struct speed *s, uint64_t now, uint64_t bytes)
{
	uint64_t step = now - s->last, window = now - s->start;
	uint64_t n = (bytes - s->bytes) * 1000;

	if (now < s->last + 100)
		return;
	if (window > SPEED_WINDOW)
		window = SPEED_WINDOW;
	/* Assumes that the rest of the window had the rate until now. */
	if (step < window)
		s->rate = (s->rate * (window - step) + n) / window;
	else
		s->rate = n / step;
	s->last = now;
	s->bytes = bytes;
}

/* --- Text of a given width. --- */

/* Columns of the printable letter that s begins with: 0 (combining), 1, or 2
 * (East Asian). *n is its length in bytes, at least 1. */
static unsigned
letter_columns(struct str s, size_t *n)
{
	wchar_t letter = (unsigned char)s.s[0];
	int columns;

	*n = utf8_length(s);
	if (*n > 1)
		letter &= 0x7f >> *n;
	for (size_t i = 1; i < *n; i++)
		letter = letter << 6 | (s.s[i] & 0x3f);
	*n = *n ? *n : 1;
	/* glibc knows only ASCII in the C locale; 2 is safe for the rest. */
	columns = wcwidth(letter);
	return columns < 0 ? 2 : (unsigned)columns;
}

/* Columns of printable text. */
static unsigned
display_columns(struct str s)
{
	unsigned columns = 0;
	size_t n;

	for (; s.n; s = str_make(s.s + n, s.n - n))
		columns += letter_columns(s, &n);
	return columns;
}

/* Appends name, made printable, in at most width columns. A name that is too
 * long loses its beginning, since the end of a path says more. */
static void
display_name(const char *name, unsigned width, struct buf *out)
{
	char *copy = xstrdup(name);
	unsigned columns, dots;
	struct str s;
	bool cut;

	str_mask_tokens(copy);
	str_printable(copy);
	s = str_of(copy);
	columns = display_columns(s);
	cut = columns > width;
	dots = !cut ? 0 : width < 3 ? width : 3;
	while (cut && s.n) {
		size_t n;
		unsigned w = letter_columns(s, &n);

		if (w && columns + dots <= width)
			break;
		columns -= w;
		s = str_make(s.s + n, s.n - n);
	}
	buf_add(out, "...", dots);
	buf_str_add(out, s);
	free(copy);
}

struct display_file {
	const char *name;
	uint64_t done, size; /* bytes; size 0: not known */
};

struct display {
	const char *verb;
	uint64_t done, total; /* bytes; total 0: not known */
	uint64_t there;       /* of those that are done; by progress_there() */
	uint64_t rate;        /* bytes a second */
	uint64_t files_done, files_total;
	unsigned connections;
	uint64_t waiting; /* seconds until it continues; 0: not waiting */
	const struct display_file *file; /* in flight */
	size_t files;
};

/* Adds one part to a line, unless it or one before it does not fit. */
static void
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    part_add(struct buf *line, const char *between, const char *fmt, ...)
{
	char text[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(line, "%s%s", line->len ? between : "", text);
}

#define LEFT_MAX (1000 * 3600) /* seconds; more is not worth a guess */

/* Adds bytes and times, the most important first, without those that have no
 * meaning (yet). */
static void
add_amounts(const struct display *d, const char *between, bool with_total,
    struct buf *line)
{
	char done[16], total[16], there[16], rate[16], time[16];

	if (d->waiting) {
		duration_show(d->waiting, time);
		part_add(line, between, "waiting %s", time);
	}
	if (!d->total && !d->done)
		return;
	size_show(d->done, done);
	size_show(d->total, total);
	size_show(d->rate, rate);
	if (d->total)
		part_add(line, between, "%u%%", percent(d->done, d->total));
	if (d->total && with_total)
		part_add(line, between, "%s of %s", done, total);
	else
		part_add(line, between, "%s", done);
	size_show(d->there, there);
	if (d->there && with_total)
		part_add(line, between, "%s already there", there);
	/* A rate that fades while nothing is asked for says nothing. */
	if (d->waiting)
		return;
	part_add(line, between, "%s/s", rate);
	if (d->rate && d->total > d->done &&
	    (d->total - d->done) / d->rate <= LEFT_MAX) {
		duration_show((d->total - d->done) / d->rate, time);
		part_add(line, between, "%s left", time);
	}
}

static void
add_counts(const struct display *d, const char *between, struct buf *line)
{
	if (d->files_total)
		part_add(line, between, "%" PRIu64 " of %" PRIu64 " file%s",
		    d->files_done, d->files_total,
		    d->files_total == 1 ? "" : "s");
	if (d->connections)
		part_add(line, between, "%u connection%s", d->connections,
		    d->connections == 1 ? "" : "s");
}

/* Appends the totals as one line without '\n'. */
static void
display_status(const struct display *d, struct buf *out)
{
	struct buf line = buf_make(512);

	add_amounts(d, ", ", true, &line);
	add_counts(d, ", ", &line);
	buf_printf(out, "%s: %s", d->verb, buf_cstr(&line));
	buf_release(&line);
}

/* The verb is left out where there is little room for more than it, and the
 * total where rate and time left would not fit beside it. */
static void
draw_totals(const struct display *d, unsigned width, struct buf *out)
{
	struct buf line = buf_make(width);

	for (bool with_total = true;; with_total = false) {
		buf_clear(&line);
		if (strlen(d->verb) + 30 <= width)
			buf_puts(&line, d->verb);
		add_amounts(d, "  ", with_total, &line);
		if (!line.full || !with_total)
			break;
	}
	add_counts(d, "  ", &line);
	buf_printf(out, "%s\n", buf_cstr(&line));
	buf_release(&line);
}

/* "   45%   1.34 GB  name", or the name alone where that leaves little. */
static void
draw_file(const struct display_file *f, unsigned width, struct buf *out)
{
	size_t at = out->len;
	char size[16];

	if (width >= 40 && f->size) {
		size_show(f->size, size);
		buf_printf(
		    out, "  %3u%%  %8s  ", percent(f->done, f->size), size);
	}
	display_name(f->name, width - (unsigned)(out->len - at), out);
	buf_putc(out, '\n');
}

/* Lines of the live display at the most. */
#define DISPLAY_LINES 9

/*
 * Appends the live display: a line of totals, then one for each file in flight,
 * or for as many as fit. There are at most height and DISPLAY_LINES lines; each
 * is shorter than width and ends with '\n'. No lines if there is no room.
 */
static void
display_draw(
    const struct display *d, unsigned width, unsigned height, struct buf *out)
{
	size_t room, shown;
	char more[48];

	if (height > DISPLAY_LINES)
		height = DISPLAY_LINES;
	if (width < 2 || !height)
		return;
	width--; /* a terminal may wrap after its last column */
	draw_totals(d, width, out);
	room = height - 1;
	shown = d->files <= room ? d->files : room ? room - 1 : 0;
	for (size_t i = 0; i < shown; i++)
		draw_file(&d->file[i], width, out);
	if (d->files > shown && room) {
		snprintf(
		    more, sizeof(more), "  and %zu more", d->files - shown);
		buf_printf(out, "%.*s\n", (int)width, more);
	}
}

/* The rows that drawn lines take on a terminal of that width now: one that
 * became narrower has broken them into more rows. */
static unsigned
display_rows(struct str drawn, unsigned width)
{
	unsigned rows = 0;
	struct str line;

	while (str_cut(drawn, '\n', &line, &drawn)) {
		unsigned columns = display_columns(line);

		rows += columns && width ? (columns - 1) / width + 1 : 1;
	}
	return rows;
}

/* --- The progress. --- */

/* Files in flight that have a name; those above share number 0, which only
 * counts. */
#define SLOTS 512

/* Lines mode: this many small files have a line of their own between two status
 * lines; the others are summed up in one line. */
#define LINES_OF_FILES 10

/* Files from this size on always have a line of their own: they take time, and
 * somebody waits for them. */
#define LARGE 10000000

/* Columns of a name, a reason or a message; bytes of one in JSON. */
#define TEXT_MAX 2048

/* Bytes of one update. */
#define OUT_MAX (1 << 16)

struct slot {
	char *name; /* NULL: free */
	uint64_t done, size;
	uint64_t there; /* of done; by progress_there() */
	/* Bytes that are not in done yet: what progress_add() counts without
	 * the lock. Not 64 bits wide, which not every machine can do. */
	atomic_size_t fresh;
};

struct progress {
	enum progress_mode mode; /* never AUTO */
	bool quiet;
	uint64_t opened; /* time */

	/* Guards all that follows, but for slot.fresh, and the writing. */
	pthread_mutex_t lock;
	struct slot slot[SLOTS];
	size_t used; /* slots above were never taken */
	struct display total;
	bool in_phase;
	uint64_t received; /* bytes of this phase, never less than before */
	uint64_t began;    /* the phase; by running() */
	struct speed speed;
	uint64_t wait_until; /* time; in the past: it does not wait */
	uint64_t next;       /* the next drawing, line or event; by running() */
	uint64_t ticked;     /* time of the last tick */
	uint64_t asleep; /* milliseconds in which the process was suspended */

	/* Lines mode. */
	unsigned lines; /* small files that still have a line of their own */
	uint64_t unsaid_files, unsaid_bytes;
	char *reason; /* of the last failure that was reported in full */

	struct buf drawn; /* bar mode: the lines at the end of the screen */
	struct buf out;   /* of one update */
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
	p->opened = p->ticked = wait_now();
	p->total.verb = "starting";
	p->drawn = buf_make(OUT_MAX);
	p->out = buf_make(OUT_MAX);
	for (size_t i = 0; i < SLOTS; i++)
		atomic_init(&p->slot[i].fresh, 0);
	p->used = 1; /* number 0 has no name */
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

/* The time in milliseconds, without that in which the process was suspended. */
static uint64_t
running(const struct progress *p)
{
	return wait_now() - p->asleep;
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
measure(struct progress *p)
{
	uint64_t now = wait_now();

	for (size_t i = 0; i < p->used; i++)
		drain_slot(p, &p->slot[i]);
	speed_add(&p->speed, running(p), p->received);
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

/* Removes the live display, so that text can be written; leave() draws it
 * again. */
static void
erase(struct progress *p)
{
	unsigned width, height, rows;

	if (!p->drawn.len)
		return;
	window_size(&width, &height);
	rows = display_rows(buf_str(&p->drawn), width);
	if (rows >= height)
		rows = height - 1;
	buf_puts(&p->out, "\r");
	if (rows)
		buf_printf(&p->out, "\033[%uA", rows);
	buf_puts(&p->out, "\033[J");
	buf_clear(&p->drawn);
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
	struct display d = p->total;
	unsigned width, height;

	if (p->mode != PROGRESS_BAR || !p->in_phase)
		return;
	d.file = file;
	d.files = 0;
	for (size_t i = 1; i < p->used; i++) {
		const struct slot *s = &p->slot[i];

		if (s->name && !only_waits(s) && d.files++ < countof(file))
			file[d.files - 1] =
			    (struct display_file){s->name, s->done, s->size};
	}
	window_size(&width, &height);
	display_draw(&d, width, height - 1, &p->drawn);
	buf_str_add(&p->out, buf_str(&p->drawn));
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

/* Writes the update. What cannot be written within a second is left out: a
 * terminal that stands still must not hold up the transfer. */
static void
flush(struct progress *p)
{
	struct pollfd f = {.fd = STDERR_FILENO, .events = POLLOUT};

	for (size_t at = 0; at < p->out.len;) {
		ssize_t n =
		    write(STDERR_FILENO, p->out.s + at, p->out.len - at);

		if (n > 0)
			at += (size_t)n;
		else if (errno == EAGAIN ? poll(&f, 1, 1000) != 1
					 : errno != EINTR)
			break;
	}
	buf_clear(&p->out);
}

/* Ends a call that has taken the lock: writes the update, and the live display
 * below it. */
static void
leave(struct progress *p)
{
	if (p->out.len && !p->drawn.len)
		draw(p);
	flush(p);
	pthread_mutex_unlock(&p->lock);
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
	if (d->there)
		buf_printf(&p->out, ",\"there\":%" PRIu64, d->there);
	if (d->waiting)
		buf_printf(&p->out, ",\"waiting\":%" PRIu64, d->waiting);
	buf_puts(&p->out, "}\n");
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
	buf_puts(&p->out, "}\n");
}

/* Lines of text; in bar mode they go above the display. */

/* Writes the one line for the files that got none of their own. */
static void
line_sum(struct progress *p)
{
	char size[16];

	if (p->unsaid_files) {
		size_show(p->unsaid_bytes, size);
		buf_printf(&p->out, "%" PRIu64 " more file%s, %s\n",
		    p->unsaid_files, p->unsaid_files == 1 ? "" : "s", size);
	}
	p->unsaid_files = p->unsaid_bytes = 0;
	p->lines = LINES_OF_FILES;
}

static void
line_status(struct progress *p)
{
	erase(p);
	line_sum(p);
	display_status(&p->total, &p->out);
	buf_putc(&p->out, '\n');
}

/* True if the last failure had this reason, whatever number the Hub gave to its
 * request. Else keeps why as the last one. */
static bool
same_reason(struct progress *p, const char *why)
{
	const char *end = strstr(why, " (request ");
	char *reason = xstrndup(why, end ? (size_t)(end - why) : strlen(why));
	bool same = p->reason && strcmp(p->reason, reason) == 0;

	free(p->reason);
	p->reason = reason;
	return same;
}

static void
line_file(struct progress *p, const struct slot *s, const char *outcome,
    const char *why)
{
	char size[16];

	if (!why && p->mode == PROGRESS_BAR)
		return;
	if (!why && s->size < LARGE && !p->lines) {
		p->unsaid_files++;
		p->unsaid_bytes += s->size;
		return;
	}
	if (!why && s->size < LARGE)
		p->lines--;
	if (why && same_reason(p, why))
		why = "for the same reason";
	size_show(s->size, size);
	erase(p);
	buf_printf(&p->out, "%s: ", outcome);
	display_name(s->name, TEXT_MAX, &p->out);
	buf_puts(&p->out, why ? ": " : ", ");
	display_name(why ? why : size, TEXT_MAX, &p->out);
	buf_putc(&p->out, '\n');
}

static void
line_phase(struct progress *p)
{
	const struct display *d = &p->total;
	char size[16];

	if (!d->files_total && !d->total)
		return;
	size_show(d->total, size);
	buf_printf(&p->out, "%s: %" PRIu64 " file%s%s%s\n", d->verb,
	    d->files_total, d->files_total == 1 ? "" : "s",
	    d->total ? ", " : "", d->total ? size : "");
}

/* The last line of a phase in which something happened. */
static void
line_phase_end(struct progress *p)
{
	const struct display *d = &p->total;
	uint64_t took = running(p) - p->began;
	uint64_t files = d->files_total ? d->files_total : d->files_done;
	char size[16], there[16], rate[16], time[16];

	line_sum(p);
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
	size_show(d->there, there);
	if (d->there)
		buf_printf(&p->out, ", %s already there", there);
	buf_putc(&p->out, '\n');
}

/* Phases, files and messages */

/* Milliseconds between two reports of each mode. */
static const unsigned interval[] = {
    [PROGRESS_BAR] = 200,
    [PROGRESS_LINES] = 30000,
    [PROGRESS_JSON] = 1000,
    [PROGRESS_NONE] = 1000,
};

static void
phase_end(struct progress *p)
{
	measure(p);
	erase(p);
	if (!p->in_phase)
		return;
	if (p->mode == PROGRESS_JSON)
		event_totals(p, "end");
	else if (p->mode != PROGRESS_NONE)
		line_phase_end(p);
	p->in_phase = false;
}

void
progress_phase_end(struct progress *p)
{
	pthread_mutex_lock(&p->lock);
	phase_end(p);
	leave(p);
}

void
progress_phase(
    struct progress *p, const char *verb, uint64_t files, uint64_t bytes)
{
	pthread_mutex_lock(&p->lock);
	phase_end(p);
	p->total = (struct display){
	    .verb = verb,
	    .total = bytes,
	    .files_total = files,
	    .connections = p->total.connections,
	};
	p->in_phase = true;
	p->received = 0;
	p->began = running(p);
	p->speed = (struct speed){.start = p->began, .last = p->began};
	p->next = p->began + (p->mode == PROGRESS_BAR ? 0 : interval[p->mode]);
	p->lines = LINES_OF_FILES;
	if (p->mode == PROGRESS_JSON)
		event_totals(p, "phase");
	else if (p->mode == PROGRESS_LINES)
		line_phase(p);
	leave(p);
}

void
progress_close(struct progress *p)
{
	if (!p)
		return;
	progress_phase_end(p);
	for (size_t i = 1; i < p->used; i++)
		free(p->slot[i].name);
	pthread_mutex_destroy(&p->lock);
	buf_release(&p->drawn);
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
	i = free_slot(p);
	p->total.done += have;
	if (i) {
		p->slot[i].name = xstrdup(name);
		p->slot[i].done = have;
		p->slot[i].size = size;
	}
	if (i && p->mode == PROGRESS_JSON)
		event_file(p, "start", &p->slot[i], NULL);
	leave(p);
	return i;
}

void
progress_add(struct progress *p, unsigned file, uint64_t bytes)
{
	assert(bytes <= SIZE_MAX / 4); /* what one read gives */
	atomic_fetch_add_explicit(
	    &p->slot[file].fresh, (size_t)bytes, memory_order_relaxed);
}

void
progress_moved(void *ctx, size_t bytes)
{
	const struct progress_file *f = ctx;

	progress_add(f->progress, f->file, bytes);
}

void
progress_there(struct progress *p, unsigned file, uint64_t bytes)
{
	pthread_mutex_lock(&p->lock);
	p->slot[file].done += bytes;
	p->slot[file].there += bytes;
	p->total.done += bytes;
	p->total.there += bytes;
	leave(p);
}

void
progress_lost(struct progress *p, unsigned file, uint64_t bytes)
{
	struct slot *s = &p->slot[file];

	pthread_mutex_lock(&p->lock);
	drain_slot(p, s);
	s->done -= bytes < s->done ? bytes : s->done;
	p->total.done -= bytes < p->total.done ? bytes : p->total.done;
	if (s->there > s->done) {
		p->total.there -= s->there - s->done;
		s->there = s->done;
	}
	leave(p);
}

void
progress_finish(struct progress *p, unsigned file, enum progress_outcome how,
    const char *why)
{
	static const struct {
		const char *event, *line;
	} outcome[] = {
	    [PROGRESS_DONE] = {"done", "done"},
	    [PROGRESS_KEPT] = {"kept", "in place"},
	    [PROGRESS_FAILED] = {"failed", "failed"},
	};
	struct slot *s = &p->slot[file];

	pthread_mutex_lock(&p->lock);
	drain_slot(p, s);
	if (how != PROGRESS_FAILED)
		p->total.files_done++;
	/* A file that is there counts with its size, whatever was counted. */
	if (file && how != PROGRESS_FAILED && s->size) {
		p->total.done += s->size - s->done;
		s->done = s->size;
	}
	if (file && p->mode == PROGRESS_JSON)
		event_file(p, outcome[how].event, s, why);
	else if (file && p->mode != PROGRESS_NONE)
		line_file(p, s, outcome[how].line, why);
	if (file) {
		free(s->name);
		s->name = NULL;
		s->done = s->size = s->there = 0;
	}
	leave(p);
}

void
progress_connections(struct progress *p, unsigned n)
{
	pthread_mutex_lock(&p->lock);
	p->total.connections = n;
	leave(p);
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
		buf_puts(&p->out, "}\n");
	} else {
		erase(p);
		buf_puts(&p->out, prefix);
		display_name(masked, TEXT_MAX, &p->out);
		buf_putc(&p->out, '\n');
	}
	leave(p);
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
	leave(p);
	if (said)
		return;
	seconds = (until - now + 999) / 1000;
	duration_say(seconds, time);
	/* The time zone of this machine is not known. */
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

/* Shows what each mode shows from time to time. */
static void
report(struct progress *p)
{
	p->next = running(p) + interval[p->mode];
	if (p->mode == PROGRESS_JSON)
		event_totals(p, "progress");
	else if (p->mode == PROGRESS_LINES)
		line_status(p);
	else if (p->mode == PROGRESS_BAR && may_draw()) {
		erase(p);
		draw(p);
	}
}

void
progress_tick(struct progress *p, bool status)
{
	pthread_mutex_lock(&p->lock);
	/* After Ctrl-Z and fg the shell has written below what was drawn. */
	if (wait_continued()) {
		p->asleep += wait_now() - p->ticked;
		p->next = 0;
		buf_clear(&p->drawn);
	}
	p->ticked = wait_now();
	measure(p);
	if (status && p->mode != PROGRESS_JSON)
		line_status(p);
	else if (p->in_phase && (status || running(p) >= p->next))
		report(p);
	leave(p);
}
