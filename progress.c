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
#include "mem.h"
#include "wait.h"

/* Files in flight that are shown; those above share number 0, which only
 * counts. */
#define SLOTS 512

#define DRAW_EVERY 200 /* milliseconds */
#define JSON_EVERY 1000
#define LINE_EVERY 30000

/* Lines mode: so many files in a row get a line each, then one in three
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
	char *reason; /* of the last failure that was told in full */

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

/* What is small and all here only waits for the disk, with many others. */
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

/* The same failure once more: the number that the Hub gave the request does not
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
