#ifndef HUB_TRANSFER_FILE_H
#define HUB_TRANSFER_FILE_H

/*
 * The beginning and the end of a file that is fetched: by one worker, without
 * the lock.
 */

#include <stdbool.h>
#include <stddef.h>

struct transfer_file;
struct transfer_queue;

/* Content i becomes active, or has failed. */
void transfer_begin(struct transfer_queue *q, size_t i);

/* A file that is hashed or given up, and that nobody else is at: it gets its
 * name, waits for that, comes again, or has failed. */
void transfer_finish(struct transfer_queue *q, struct transfer_file *f);

/* Files from transfer_harvest(), which may be none: to the disk, then to their
 * names. */
void transfer_settle(struct transfer_queue *q, struct transfer_file *list);

/* Closes and frees a file that is no longer active. */
void transfer_file_close(struct transfer_file *f, bool published);

#endif
