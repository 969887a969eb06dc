#ifndef HUB_TRANSFER_RANGE_H
#define HUB_TRANSFER_RANGE_H

/*
 * One request for a range of a file: its answer to the file's place and to the
 * hash, and what a failure means for the file and for all.
 */

struct transfer_job;
struct transfer_queue;

/* Does the job. *buffer has HASHER_BUFFER bytes; the hasher may take it and
 * give another one. */
void transfer_range(
    struct transfer_queue *q, struct transfer_job *j, unsigned char **buffer);

#endif
