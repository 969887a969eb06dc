#ifndef HUB_SESSION_H
#define HUB_SESSION_H

/*
 * What every command needs before its first request: roots of trust, a client,
 * the display, and the repository, set up from the settings.
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
	char *revision; /* what was asked for, "main" if nothing */
	struct progress *progress;
	struct tls_trust *trust;
	struct client *client;
	struct repo repo;
};

/* verb is what the display says ("downloading"). The settings must outlive it.
 * After a failure there is nothing to close. */
int session_open(struct session *s, const struct options *o,
    const struct config *c, const char *verb, struct err *e);
void session_close(struct session *s);

/* Connections to use at the most: what -j says, or what the machine and that
 * target are good for; -v tells. */
unsigned session_jobs(const struct session *s, enum jobs_ground ground);

/* The rules of c hold from now on, and the system calls that no command needs
 * are given up; -v tells. To be called before the first request. */
void session_confine(const struct session *s, struct confine *c);

/* --- Standard output, in pieces. --- */

/*
 * What a command has to say on standard output. It is gathered, and goes out in
 * pieces: the report of a hundred thousand files would take more memory than
 * the rest of the run.
 */

/* All is put into text, of which OUTPUT_PIECE bytes and one line more are kept
 * at the most if output_more() is called after each. */
struct output {
	struct buf text;
	FILE *to;
	int error; /* errno of what could not be written; 0: none so far */
};

#define OUTPUT_PIECE 16384

/* to is borrowed. */
struct output output_make(FILE *to);

/* Gives away what is there, if that is much. */
void output_more(struct output *o);

/* Gives away the rest and empties o. ERR_FILE if anything could not be written:
 * a full disk shows up only here. ERR_STOPPED if nobody reads it any more,
 * ERR_OTHER if a piece was larger than the memory that there is for it. */
int output_end(struct output *o, struct err *e);

/* --- The shapes of reports. --- */

/* The shapes that the reports of all commands have. Pure. */

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
