#ifndef HUB_PROGRESS_H
#define HUB_PROGRESS_H

/*
 * Shows progress on standard error: a live display at a terminal, lines
 * elsewhere, JSON lines, or nothing. Workers only add to counters and report
 * events, from any thread; progress_tick(), called by the main thread a few
 * times a second, draws.
 *
 * Names come from the server: they are made printable here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

enum progress_mode {
	PROGRESS_AUTO,
	PROGRESS_BAR,
	PROGRESS_LINES,
	PROGRESS_JSON,
	PROGRESS_NONE,
};

struct progress;

/* --- Numbers as text of a given width. --- */

/*
 * Formats the display as text of a given width. Pure.
 *
 * Names come from the server: they are made printable here. Their width is
 * counted in columns, of which a letter takes none (combining), one, or two
 * (East Asian).
 */

struct display_file {
	const char *name;
	uint64_t done, size; /* bytes; size 0: not known */
};

struct display {
	const char *verb;
	uint64_t done, total; /* bytes; total 0: not known */
	uint64_t rate;        /* bytes a second */
	uint64_t files_done, files_total;
	unsigned connections;
	uint64_t waiting; /* seconds until it continues; 0: not waiting */
	const struct display_file *file; /* in flight */
	size_t files;
};

/* Lines that display_draw() makes at the most. */
#define DISPLAY_LINES 9

/* A rate over the last seconds. All zero but start. */
struct speed {
	uint64_t start, last; /* times in milliseconds */
	uint64_t bytes;       /* at that time */
	uint64_t rate;        /* bytes a second */
};

/* "1.34 GB", "512 B": SI units, three digits. */
void size_show(uint64_t bytes, char out[16]);

/* --- The progress. --- */

struct progress_opts {
	enum progress_mode mode; /* AUTO: bar at a terminal (not with TERM=dumb
				  * or CI set), else lines */
	bool quiet;              /* only errors: mode NONE and no notes */
	bool no_color;           /* so far there is no colour at all */
	const char *verb;        /* "downloading" */
	/* Given by the caller, so that this unit reads no environment. */
	const char *term; /* TERM; may be NULL */
	bool ci;          /* CI is set */
};

struct progress *progress_open(const struct progress_opts *o);

/* Restores the terminal: removes the live display. */
void progress_close(struct progress *p);

/* A new phase ("hashing", "downloading", "committing") with its own totals; 0
 * files and bytes if not known. verb must outlive p and end in "ing": its end
 * is shown as "downloaded". */
void progress_phase(
    struct progress *p, const char *verb, uint64_t files, uint64_t bytes);

/* Ends the phase and prints its last line. */
void progress_phase_end(struct progress *p);

/* A file begins, with have bytes there from an earlier run; name is copied.
 * Returns its number for the calls below. */
unsigned progress_start(
    struct progress *p, const char *name, uint64_t size, uint64_t have);
/* Counts bytes that were transferred. */
void progress_add(struct progress *p, unsigned file, uint64_t bytes);
/* Takes back bytes that must be fetched again. */
void progress_lost(struct progress *p, unsigned file, uint64_t bytes);

enum progress_outcome { PROGRESS_DONE, PROGRESS_KEPT, PROGRESS_FAILED };
/* KEPT: was there already. why is for FAILED, else NULL. */
void progress_finish(struct progress *p, unsigned file,
    enum progress_outcome how, const char *why);

/* Connections in use, for the display. */
void progress_connections(struct progress *p, unsigned n);

/* Reports that all connections wait until that time, and why: once for all of
 * them, with the duration and the end; the display shows it until it is over. A
 * wait shorter than PROGRESS_WAIT is not reported. */
#define PROGRESS_WAIT 5000 /* ms */
void progress_wait(struct progress *p, uint64_t until, const char *why);

/* A sentence for the user, printed as "hub: TEXT" above the display; a note is
 * not shown when quiet. In JSON mode it is an event. */
void progress_note(struct progress *p, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* For -v lines: printed as they are. */
void progress_log(struct progress *p, const char *line);

/* Draws if it is time to; status asks for a status line now (SIGUSR1). */
void progress_tick(struct progress *p, bool status);

#endif
