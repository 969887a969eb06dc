#ifndef HUB_LFS_QUEUE_H
#define HUB_LFS_QUEUE_H

/*
 * The contents that are to be sent, and what there is to do next for them. A
 * content becomes a job when the Hub, or the journal, has said where its bytes
 * go. A job is begun when its file is opened; from then on any number of
 * workers sends its parts. What concerns the job as a whole (begin, renew,
 * finish) is done by one worker while nobody else is at it. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "multipart.h"

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

/* A job for object i; takes *m. */
struct lfs_job *lfs_job_make(size_t i, struct multipart *m, bool known);
/* The caller has closed its file. */
void lfs_job_free(struct lfs_job *j);

/* The first reason counts. */
void lfs_job_give_up(struct lfs_job *j, const struct err *why);

/* The storage, or the Hub, knows nothing of the upload: it must be renewed, but
 * that is not done for ever. */
void lfs_job_forgotten(struct lfs_job *j, const struct err *why);

/* What took the place of the upload; takes *m. */
void lfs_job_renew(struct lfs_job *j, struct multipart *m);

/* Takes over a job that is not begun. */
void lfs_queue_add(struct lfs_queue *q, struct lfs_job *j);
/* A job that was begun leaves it; the caller frees it. */
void lfs_queue_remove(struct lfs_queue *q, struct lfs_job *j);

/* A job that was begun begins once more, with the file of object i; the caller
 * has closed the last one, and leaves it. */
void lfs_queue_again(struct lfs_queue *q, struct lfs_job *j, size_t i);

/* What is to be done next, if anything is, at that time (ms, and Unix seconds).
 * The caller is one of the job's users now, or the one who asks. */
bool lfs_queue_next(
    struct lfs_queue *q, uint64_t now, uint64_t clock, struct lfs_work *w);

#endif
