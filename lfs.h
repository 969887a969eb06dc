#ifndef HUB_LFS_H
#define HUB_LFS_H

/*
 * Contents to the Hub's storage by Git LFS (hub-protocol.md, 9.5 and 9.6): asks
 * in batches what is missing, sends files and parts of files from disk over N
 * connections from one queue, completes and verifies. Memory does not depend on
 * the sizes. A content that is there already costs nothing but its line in the
 * question, which is asked in every run; the same content twice is sent once.
 *
 * The journal (may be NULL) makes a later run go on inside a file. An address
 * that has lapsed is asked for anew. A file that is not what it was when it was
 * hashed, before or while it is sent, fails with ERR_CONTENT; so does one whose
 * bytes are others than its hash says, in the storage's words.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch.h"
#include "err.h"
#include "hash.h"

struct journal;
struct progress;
struct repo;

/* --- Contents, each once. --- */

/* What is to be sent: files that were hashed, some with the same content. */

struct lfs_object {
	const char *name;     /* for messages and the display */
	uint64_t size;        /* not 0: the storage takes no empty content */
	struct digest digest; /* SHA-256 */
};

#define LFS_NONE SIZE_MAX

/* The objects of a list that have the same content, in the list's order. */
struct lfs_copies {
	size_t *next; /* of each: the next one of its content, or LFS_NONE */
	bool *later;  /* of each: it is not the first of its content */
	size_t contents;
	uint64_t bytes; /* of these */
};

/* --- The threads. --- */

struct lfs_ops {
	/* A descriptor to read object i with, which is closed here; ERR_CONTENT
	 * if the file is not the one that was hashed. From any thread. */
	int (*open)(void *ctx, size_t i, struct err *e);
	/* Fails with ERR_CONTENT if it is that no more; fd is of open(). From
	 * any thread. */
	int (*check)(void *ctx, size_t i, int fd, struct err *e);
	/* Object i is stored (sent: it was not before); or given up. Once for
	 * each object (not for those that the end of the run leaves behind),
	 * from any thread, one call at a time. The reason does not name the
	 * object. */
	void (*stored)(void *ctx, size_t i, bool sent);
	void (*failed)(void *ctx, size_t i, const struct err *why);
};

struct lfs {
	const struct repo *repo;
	const char *revision; /* NULL with a new pull request */
	unsigned jobs;        /* connections at the most */
	unsigned retries;     /* tries in a row without a part arriving */
	struct progress *progress;
	struct journal *journal; /* or NULL */
	const struct lfs_ops *ops;
	void *ctx;
};

/* Runs to the end: every object is stored or failed. One that fails does not
 * stop the others, but what concerns all (not allowed, no connection, stopped
 * by a signal) does. Returns -1 with that, else 0. A phase "sending" of its own
 * in the display. */
int lfs_send(const struct lfs *l, const struct lfs_object *object, size_t n,
    struct err *e);

/* --- What is next. --- */

/*
 * The contents that are to be sent, and what there is to do next for them. A
 * content becomes a job when the Hub, or the journal, has said where its bytes
 * go. A job is begun when its file is opened; from then on any number of
 * workers sends its parts. What concerns the job as a whole (begin, renew,
 * finish) is done by one worker while nobody else is at it. Pure.
 */

struct lfs_job {
	struct lfs_job *next;
	size_t i; /* its object, or a later one of the same content */
	struct multipart m;
	bool *busy; /* for each part: it is being sent */
	int fd;     /* -1: not begun */
	unsigned shown;
	unsigned users;      /* workers at it */
	unsigned failed;     /* tries in a row without a part */
	uint64_t failed_at;  /* when that was counted last (ms) */
	unsigned renewals;   /* times that the storage forgot it */
	uint64_t not_before; /* no try before (ms) */
	bool known;          /* the journal has it */
	bool stale;          /* its addresses must be renewed */
	bool complete;       /* the storage has put the parts together */
	bool given_up;       /* why says why */
	struct err why;
};

struct lfs_queue {
	struct lfs_job *first;
	size_t n;            /* objects */
	size_t asked;        /* those before that one are jobs, or settled */
	bool asking;         /* a worker is at the next question */
	unsigned open_max;   /* files that may be open */
	unsigned waiting;    /* jobs that are not begun */
	unsigned begun;      /* jobs that are */
	unsigned sending;    /* parts under way */
	uint64_t not_before; /* the server asked all to wait (ms) */
};

enum lfs_task {
	LFS_TASK_ASK,
	LFS_TASK_BEGIN,
	LFS_TASK_PART,
	LFS_TASK_RENEW,
	LFS_TASK_FINISH
};

struct lfs_work {
	enum lfs_task task;
	struct lfs_job *job; /* NULL for ASK */
	size_t part;
};

/* --- One request. --- */

/*
 * The requests of an upload by Git LFS, one by one: what is missing, a part,
 * all parts are there, it is the right content. lfs.h decides which and when.
 */

/* The bytes of a part: as body_read of struct request. */
struct lfs_body {
	uint64_t length;
	int (*read)(void *ctx, uint64_t offset, void *p, size_t cap, size_t *n,
	    struct err *e);
	void *ctx;
};

/* --- One part. --- */

/*
 * One part of one content, from its file to the storage. A part of something
 * else than what was hashed never arrives.
 */

struct lfs_part {
	const struct repo *repo;
	const struct lfs_object *object;
	int fd; /* of its file */
	const struct multipart *m;
	size_t i; /* which part of it */
	struct progress *progress;
	unsigned shown; /* the object's number there */
	/* Whether it makes sense to send on. */
	bool (*wanted)(void *ctx);
	/* Fails if the file is not what was hashed. */
	int (*check)(void *ctx, struct err *e);
	void *ctx;
};

#endif
