#ifndef HUB_COMPLETION_H
#define HUB_COMPLETION_H

/*
 * Scripts that make a shell complete the words of hub, from the table of the
 * command line (command.h). Pure.
 */

struct buf;
struct err;

/* The script for that shell. ERR_USAGE if there is none for it; the shell may
 * be NULL. */
int completion_put(const char *shell, struct buf *out, struct err *e);

#endif
