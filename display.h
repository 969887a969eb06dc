#ifndef HUB_DISPLAY_H
#define HUB_DISPLAY_H

/*
 * Numbers to text: what progress.h shows, as text of a given width. Pure.
 *
 * Names come from strangers: they are made printable here. Their width is
 * counted in columns, of which a letter takes none (combining), one, or two
 * (East Asian).
 */

#include <stddef.h>
#include <stdint.h>

#include "str.h"

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
	uint64_t waiting; /* seconds until it goes on; 0: it does not wait */
	const struct display_file *file; /* in flight */
	size_t files;
};

/* Lines that display_draw() makes at the most. */
#define DISPLAY_LINES 9

/*
 * The live display: a line of totals, then one for each file in flight, or for
 * as many as fit; each ends with '\n' and is shorter than width, none if there
 * is no room. columns gets the width of each line. Returns their number, at
 * most height and DISPLAY_LINES.
 */
size_t display_draw(const struct display *d, unsigned width, unsigned height,
    unsigned columns[DISPLAY_LINES], struct buf *out);

/* The totals as one line without '\n'. */
void display_status(const struct display *d, struct buf *out);

/* The rows of a terminal that lines take which were drawn on a wider one. */
unsigned display_rows(const unsigned *columns, size_t n, unsigned width);

/* Appends name, printable, in at most width columns: what is too long loses
 * its beginning, since the end of a path says more. Returns the columns. */
unsigned display_name(const char *name, unsigned width, struct buf *out);

/* Columns of printable text. */
unsigned display_columns(struct str s);

/* A rate over the last seconds. All zero but start. */
struct speed {
	uint64_t start, last; /* times in milliseconds */
	uint64_t bytes;       /* at that time */
	uint64_t rate;        /* bytes a second */
};

/* At time now bytes had come in all; call it some times a second. */
void speed_add(struct speed *s, uint64_t now, uint64_t bytes);

/* So many milliseconds are to be left out: the process stood still. */
void speed_skip(struct speed *s, uint64_t ms);

/* "1.34 GB", "512 B": SI units, three digits. */
void size_show(uint64_t bytes, char out[16]);
/* "1:02:03", "4:05", "12 s". */
void duration_show(uint64_t seconds, char out[16]);
/* For a sentence: "90 s", "25 min"; never less than it is. */
void duration_say(uint64_t seconds, char out[16]);

#endif
