#ifndef HUB_REPORT_H
#define HUB_REPORT_H

/* The shapes that the reports of all commands have. Pure. */

#include <stdint.h>

struct buf;
struct repoid;

/* JSON: the begin of the one object, up to the revision. */
void report_begin(struct buf *b, const char *command, const struct repoid *id,
    const char *revision);

/* JSON: the begin of a file's object, and its end. why: NULL unless it
 * failed. */
void report_file(struct buf *b, const char *path, uint64_t size);
void report_file_end(struct buf *b, const char *outcome, const char *why);

/* A line of a dry run; size and why may be "". */
void report_line(struct buf *b, const char *outcome, const char *size,
    const char *path, const char *why);

#endif
