#ifndef HUB_HELP_H
#define HUB_HELP_H

/*
 * The help text, from the table of the command line (command.h). Pure.
 */

#include "command.h"

struct buf;

/* The help for a command (or the overview), as it is printed. */
void help_put(enum command about, struct buf *out);

#endif
