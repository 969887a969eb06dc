#ifndef HUB_SESSION_H
#define HUB_SESSION_H

/*
 * Opens what every command needs before its first request: roots of trust,
 * client, display, repository.
 */

#include <stdint.h>
#include <stdio.h>

#include "api.h"
#include "config.h"
#include "repo.h"
#include "str.h"

struct client;
struct confine;
struct err;
struct progress;
struct tls_trust;

/* --- What every command opens. --- */

struct session {
	const struct config *config;
	struct repoid id;
	char *revision; /* as requested; "main" by default */
	struct progress *progress;
	struct tls_trust *trust;
	struct client *client;
	struct repo repo;
};

/* Without a repository in the options there is none (id.id is NULL). The
 * settings must outlive the session. After a failure there is nothing to
 * close. */
int session_open(struct session *s, const struct options *o,
    const struct config *c, struct err *e);
/* The same without a repository and without a network. */
void session_open_local(
    struct session *s, const struct options *o, const struct config *c);
void session_close(struct session *s);

/* The most connections to use, with xet also to the Xet storage: the value of
 * -j, or by the machine and the target; reported with -v. */
unsigned session_jobs(
    const struct session *s, enum jobs_ground ground, bool xet);

/* Enforces the rules of c and the filter of system calls; reported with -v.
 * Call it before the first request. */
void session_confine(const struct session *s, struct confine *c);

/* --- Standard output, in pieces. --- */

/*
 * Buffers standard output and writes it in pieces, since the report of 100,000
 * files would take more memory than the rest of the run.
 */

/* Callers append to text, and call output_more() after each line, so that it
 * holds at most OUTPUT_PIECE bytes and one line. */
struct output {
	struct buf text;
	FILE *to;
	int error; /* errno of what could not be written; 0: none so far */
};

#define OUTPUT_PIECE 16384

/* to is borrowed. */
struct output output_make(FILE *to);

/* Writes the buffer out if it holds OUTPUT_PIECE bytes. */
void output_more(struct output *o);

/* Writes all of it out now, for a command that goes on. Errors as below. */
int output_flush(struct output *o, struct err *e);

/* Writes the rest and empties o. ERR_FILE if anything could not be written: a
 * full disk shows up only here. ERR_STOPPED if the reader has closed it,
 * ERR_OTHER if a piece was larger than the buffer. */
int output_end(struct output *o, struct err *e);

/* --- The shapes of reports. --- */

/* The shapes that the reports of all commands have. Pure. */

/* JSON: begins the one object, up to the revision. */
void report_begin(struct buf *b, const char *command, const struct repoid *id,
    const char *revision);

/* JSON: begin and end the object of a file. why: NULL unless it failed. */
void report_file(struct buf *b, const char *path, uint64_t size);
void report_file_end(struct buf *b, const char *outcome, const char *why);

/* Writes a line of a dry run; size and why may be "". */
void report_line(struct buf *b, const char *outcome, const char *size,
    const char *path, const char *why);

#endif
