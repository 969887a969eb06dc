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

/* Writes bytes in SI units, with three digits: "1.34 GB", "512 B". */
void size_show(uint64_t bytes, char out[16]);

struct progress_opts {
	enum progress_mode mode; /* AUTO: bar at a terminal (not with TERM=dumb
				  * or CI set), else lines */
	bool quiet;              /* only errors: mode NONE and no notes */
	/* Given by the caller, so that this unit reads no environment. */
	const char *term; /* TERM; may be NULL */
	bool ci;          /* CI is set */
};

/* Keeps nothing of o. */
struct progress *progress_open(const struct progress_opts *o);

/* Ends the phase, removes the live display, and frees. Takes NULL. */
void progress_close(struct progress *p);

/* Ends the phase, and begins a new one ("hashing", "downloading", "committing")
 * with its own totals; 0 files and bytes if not known. verb must outlive p and
 * end in "ing": the last line of the phase turns it into "downloaded". */
void progress_phase(
    struct progress *p, const char *verb, uint64_t files, uint64_t bytes);

/* Ends the phase and prints its last line. */
void progress_phase_end(struct progress *p);

/* A file begins, with have bytes there from an earlier run; name is copied.
 * Returns its number for the calls below: 0, which is shared, if too many files
 * are in flight to show this one. */
unsigned progress_start(
    struct progress *p, const char *name, uint64_t size, uint64_t have);
/* Counts bytes that were transferred: those of one read or write. */
void progress_add(struct progress *p, unsigned file, uint64_t bytes);
/* Counts bytes that need no transfer, since they are there already. */
void progress_there(struct progress *p, unsigned file, uint64_t bytes);
/* Takes back bytes that must be fetched again. */
void progress_lost(struct progress *p, unsigned file, uint64_t bytes);

/* progress_add() in the form that filehash() calls: ctx is a struct
 * progress_file. */
struct progress_file {
	struct progress *progress;
	unsigned file;
};
void progress_moved(void *ctx, size_t bytes);

enum progress_outcome { PROGRESS_DONE, PROGRESS_KEPT, PROGRESS_FAILED };
/* A file ends, and its number is free for another one. KEPT: it was there
 * already. why is for FAILED, else NULL. */
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
