#ifndef HUB_QUEUE_H
#define HUB_QUEUE_H

/*
 * What is moved next, and over how many connections: the byte ranges of a file,
 * the number of connections, the scheduler of all transfers (mover), and the
 * queues of downloads and uploads.
 *
 * Call the functions under the crew's lock, unless they say otherwise. The
 * hasher and the partial files have locks of their own, which are taken after
 * this one, never before it.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch.h"
#include "err.h"
#include "hash.h"
#include "wait.h"

struct hasher;
struct hashing;
struct partial;
struct progress;
struct transfer;
struct xetup;
struct xetup_file;
struct xorb;

/* --- Ranges of one file. --- */

/*
 * The byte ranges of one file that are being fetched, or that are incomplete
 * and wait for a connection.
 *
 * A range has one holder, which alone writes the bytes from at on: in order, or
 * (Xet) also ahead, where it will come later. What was written ahead counts as
 * missing until at has passed it, so a rescue only costs those bytes. A rescue
 * gives a stalled range to another holder, but never while it is pinned, that
 * is, while a write is in progress. So no two connections write the same byte.
 *
 * Invariants: begin <= at <= end; ranges do not overlap; the bytes from begin
 * to at were written in this run; a range without a holder has at < end.
 */

struct range {
	uint64_t begin, at, end;
	uint64_t
	    sum; /* checksum of the bytes from begin to at; the caller keeps it */
	uint64_t moved; /* when a byte last arrived (ms); the caller keeps it */
	void *holder;   /* NULL: the range waits for a connection */
	/* The holder may write out of order up to there: a split leaves that to
	 * it. */
	uint64_t reserved;
	bool pinned;
	bool answered; /* the holder received a byte; the caller keeps it */
	struct range *next;
};

/* All zero is the empty set. */
struct ranges {
	struct range *first;
};

/* Gives holder a range to fetch, at or after from: the first waiting range or the
 * first gap (bytes that p lacks and no range covers, at most limit of them),
 * whichever starts lower. NULL if there is none. The set owns the range. */
struct range *ranges_take(struct ranges *s, uint64_t from, uint64_t limit,
    struct partial *p, void *holder);

/* Counts n bytes that were written at r->at. begin advances by whole blocks:
 * from then on the partial file records those. */
void ranges_advance(struct range *r, uint64_t n, uint64_t block);

/* The holder gives the range back: a complete one is removed and freed, another
 * one waits. */
void ranges_put(struct ranges *s, struct range *r);

/* The end of the bytes that the range at offset has written without a gap;
 * offset itself if no range has written there. */
uint64_t ranges_written(const struct ranges *s, uint64_t offset);

/* The number of ranges with a holder. */
unsigned ranges_held(const struct ranges *s);

/* Frees all ranges; none may be held. */
void ranges_release(struct ranges *s);

/* --- How many connections. --- */

/*
 * Decides the number of connections: starts with few, doubles while that raises
 * the total rate by a tenth or more, goes back when growth lowers the rate, and
 * halves when the rate collapses or the server refuses. A number that was too high is remembered, and approached by
 * half the distance. Pure: the caller gives time and work.
 */

#define RAMP_START 4
#define RAMP_PERIOD 500 /* ms between two measurements */
#define RAMP_FIRST 200  /* the same, as long as each growth raised the rate */
/* ms without growth after a refusal, or between two tries to grow while the
 * rate stays the same */
#define RAMP_HOLD 5000
#define RAMP_TRIAL 3000 /* ms in which growth must raise the rate (retreats) */
/* ms after which a number that was too high may be tried again: a short fault
 * of the line looks the same. */
#define RAMP_FORGET 30000

struct ramp {
	unsigned allowed, max;
	uint64_t looked, work; /* at the last measurement */
	uint64_t best;         /* work per second that justified allowed */
	uint64_t rate;         /* work per second between the last two */
	uint64_t hold;         /* no growth before (ms): the server refused */
	uint64_t probe;        /* no growth at a constant rate before (ms) */
	bool eager;            /* growth has always raised the rate */
	unsigned worse;        /* fewer than this: it was too many; 0: none */
	uint64_t forget;       /* when worse is forgotten (ms) */
	/* If growth brought no gain within RAMP_TRIAL, go back: for uploads, of
	 * which an interruption loses the part of each connection. */
	bool retreats;
	unsigned before; /* allowed before the last growth */
	uint64_t grown;  /* when that was */
};

/* A ramp that starts with one connection and has retreats set. */
struct ramp ramp_make_careful(unsigned max, uint64_t now);

/* work: done so far, in bytes, plus an amount for each file, since small files
 * cost round trips. Returns the connections to use now, 1 to max. */
unsigned ramp_step(struct ramp *r, uint64_t now, uint64_t work);

/* The server refused a request: it has too many. */
void ramp_back(struct ramp *r, uint64_t now);

/* --- Workers that move bytes. --- */

/*
 * The scheduler of all transfers, down and up: a crew whose workers take one
 * job after another; ramp limits how many work at a time. It ends the run after
 * several failures in a row, makes all wait when the server asks for that, and
 * updates the display. The owner brings the jobs.
 *
 * The crew's lock guards all of it.
 */

struct mover_ops {
	/* The thread of one worker: gets a job from mover_next() and does it,
	 * until there is none. */
	void *(*work)(void *ctx);
	/* Puts the next job for one worker into *job; false if there is none at
	 * that time (ms). more: the job may open a connection; if false, only a
	 * job that needs none, hardly uses it, or takes over one in use. Under
	 * the lock. */
	bool (*pick)(void *ctx, uint64_t now, bool more, void *job);
	/* Gives the work done so far, for ramp_step(), and the connections in
	 * use, for the display. Under the lock. */
	void (*count)(void *ctx, uint64_t *work, unsigned *connections);
};

/* The owner fills in ops, ctx, progress and ramp, calls crew_init(), and leaves
 * the rest zero. */
struct mover {
	const struct mover_ops *ops;
	void *ctx; /* for ops */
	struct progress *progress;
	struct crew crew; /* left: contents that are neither done nor failed */
	struct ramp ramp;
	unsigned idle; /* workers in mover_next() */
	/* The number of workers that run at least, also where ramp allows fewer
	 * connections: they compress. The owner sets it, up to what crew_init()
	 * got. */
	unsigned least;
	/* Contents that failed for the network, one after the other
	 * (mover_failed). The owner sets it to 0 when a transfer makes progress. */
	unsigned lost;
	uint64_t work;       /* done so far; the owner adds to it */
	uint64_t not_before; /* the server asked all to wait until then (ms) */
};

/* Runs the workers, without the lock, until no content is left. Fails with the
 * reason if the run ended early. */
int mover_run(struct mover *m, struct err *e);

/* For a worker, without the lock: waits for its next job. False if no content
 * is left, or the run ended early. */
bool mover_next(struct mover *m, void *job);

/* Without the lock: a content is done. work: the amount it counts for beside
 * its bytes. */
void mover_done(struct mover *m, uint64_t work);

/* Without the lock: a content failed. lost: for a reason that probably holds
 * for the others, too, such as a dead line. Three lost contents in a row, or a
 * signal, end the run. */
void mover_failed(struct mover *m, const struct err *why, bool lost);

/* The time (ms) of the next try, after failed failures in a row of which *e is
 * the last. If the server asked for a wait, it also sets not_before for all,
 * reduces the number of connections, and reports the wait. */
uint64_t mover_retry(struct mover *m, unsigned failed, const struct err *e);

/* --- The queue of downloads. --- */

/*
 * The contents that are being fetched, and the next job for a worker. A content
 * is active from transfer_begin() on; several workers may fetch its ranges. The
 * last worker to leave it finishes it or gives it up. Small verified files are
 * ripe: they wait until several can be synced together.
 */

/* A content is given up after it was fetched this many times, all of it in this
 * run, with the wrong hash. */
#define TRANSFER_WRONG_MAX 3

struct content {
	const char *name; /* for messages and the display */
	uint64_t size;
	struct digest digest;
	const char *xet; /* its Xet hash, 64 hex digits; NULL: none */
};

/* A content that was begun. The crew's lock guards all fields, except those
 * that only transfer_begin() sets, and those of a file that is no longer
 * active: it belongs to one thread. */
struct transfer_file {
	struct transfer_file *next;
	struct transfer_queue *q;
	size_t i;
	struct content content;
	struct partial *partial;
	struct hashing *hashing; /* NULL: small, its worker hashes it */
	struct hash hash;        /* of a small file; only its worker uses it */
	const char *name; /* of the partial file, once that is on the disk */
	char *url;
	char *direct;    /* the target of url's redirect; NULL: not known */
	uint64_t lapses; /* when direct expires (Unix seconds); 0: not known */
	struct ranges ranges;
	unsigned users;      /* workers that use it */
	unsigned failed;     /* tries in a row without FETCH_PROGRESS */
	unsigned wrong;      /* times that the content was wrong */
	unsigned lost;       /* blocks of this run that were read back wrong */
	uint64_t patience;   /* ms; a rescue waits for so much longer */
	uint64_t not_before; /* no try before (ms) */
	unsigned shown;      /* of progress_start() */
	bool resolving;      /* one worker is finding out direct, others wait */
	bool by_xet;         /* from the Xet storage, not from url */
	bool whole;          /* the server ignores ranges */
	bool hashed;         /* all of it is hashed, with the result in found */
	bool rehash;     /* bytes changed after they were hashed: hash again */
	bool unanswered; /* the last try got no answer */
	bool given_up;   /* for the reason in why */
	bool tended;     /* the thread that syncs states is using it */
	bool damaged;    /* the hasher has reported a damaged block */
	struct digest found;
	struct err why;
};

struct transfer_queue {
	const struct transfer *t;
	struct mover mover;
	struct hasher *hasher;
	struct hash fresh; /* an initial hash, to be copied for small files */
	struct transfer_file *active;
	struct transfer_file *spare; /* closed, for reuse */
	size_t begun;                /* contents */
	/* Small files that are verified and not yet synced, oldest first. */
	struct transfer_file *ripe, **ripe_end;
	unsigned ripened; /* how many */
	uint64_t ripe_bytes;
	unsigned ripe_max; /* sync when this many are ripe */
	unsigned settling; /* threads that are syncing ripe files */
};

enum transfer_task {
	TRANSFER_BEGIN,
	TRANSFER_RANGE,
	TRANSFER_FINISH,
	TRANSFER_SETTLE
};

/* A worker's job. It is the holder of its range, which points to it. A rescue
 * gives the range to another job, sets cancelled here, and f and r to NULL. */
struct transfer_job {
	enum transfer_task task;
	size_t i;
	struct transfer_file *f;
	struct range *r;
	atomic_bool cancelled; /* its waits end soon (wait_cancel_by) */
};

/* Leaves hasher and the mover's ops NULL. The limit of open files determines
 * ripe_max. */
void transfer_queue_init(
    struct transfer_queue *q, const struct transfer *t, uint64_t now);

/* True if the worker that fetches the file also hashes it, since it arrives in
 * one piece. */
bool transfer_small(const struct transfer_file *f);

/* Gives the file up. The first reason stays. */
void transfer_give_up(struct transfer_file *f, const struct err *why);

/* Puts the next job for a worker at that time (ms) into *j: a file of its own
 * while there are enough, then a range of a file that others fetch, too. False
 * if there is none now. more: as for mover_ops. *j must keep its address during
 * the job. */
bool transfer_pick(
    struct transfer_queue *q, uint64_t now, bool more, struct transfer_job *j);

/* Makes *j a job to sync the ripe files; false if there are none, or enough
 * threads are syncing. */
bool transfer_pick_ripe(struct transfer_queue *q, struct transfer_job *j);

/* Takes all ripe files, and counts the caller as syncing; NULL if there are
 * none. */
struct transfer_file *transfer_harvest(struct transfer_queue *q);

/* Adds a verified file to the ripe ones. */
void transfer_ripen(struct transfer_queue *q, struct transfer_file *f);

/* --- The queue of uploads. --- */

/*
 * The contents that lfs.c sends, and the next task for a worker. A content becomes a
 * job when the Hub, or the journal, has given its addresses. A job begins when
 * its file is opened; then any number of workers sends its parts, or its xorbs,
 * while one worker reads on to find the next xorb. Tasks for the whole job
 * (begin, renew, finish) are done by one worker while no other uses it. Pure.
 */

struct lfs_job {
	struct lfs_job *next;
	size_t i; /* its object, or a later one of the same content */
	struct multipart m;
	bool *busy; /* for each part: it is being sent */
	int fd;     /* -1: not begun */
	unsigned shown;
	unsigned users;      /* workers that use it */
	unsigned failed;     /* tries in a row without a part */
	uint64_t failed_at;  /* when that was counted last (ms) */
	unsigned renewals;   /* times that the storage forgot it */
	uint64_t not_before; /* no try before (ms) */
	bool known;          /* it is in the journal */
	bool stale;          /* its addresses must be renewed */
	bool complete;       /* the storage has put the parts together */
	bool unanswered;     /* the last try to send a part got no answer */
	bool given_up;       /* why says why */
	struct err why;
	/* By Xet, where m has no parts and busy no elements. */
	struct xetup *xet;       /* NULL: by LFS */
	struct xetup_file *file; /* once it is begun */
	struct xorb *xorb;       /* those that are to be sent, in order */
	bool planning;           /* a worker reads on */
	bool doubted;            /* the storage refused what it should have */
	uint64_t counted;        /* bytes that the display has */
};

struct lfs_queue {
	struct lfs_job *first;
	size_t n;             /* objects */
	size_t asked;         /* those before that one are jobs, or settled */
	bool asking;          /* a worker is at the next question */
	unsigned open_max;    /* files that may be open */
	unsigned waiting;     /* jobs that are not begun */
	unsigned begun;       /* jobs that are */
	unsigned sending;     /* parts and xorbs under way, */
	unsigned packing;     /* and those of them that are packed in memory; */
	unsigned packing_max; /* no more than this many */
};

enum lfs_task {
	LFS_TASK_ASK,
	LFS_TASK_BEGIN,
	LFS_TASK_PART,
	LFS_TASK_XORB,
	LFS_TASK_PLAN,
	LFS_TASK_RENEW,
	LFS_TASK_FINISH
};

struct lfs_work {
	enum lfs_task task;
	struct lfs_job *job; /* NULL for ASK */
	size_t part;
	struct xorb *xorb;
};

/* A job for object i; takes *m. */
struct lfs_job *lfs_job_make(size_t i, struct multipart *m, bool known);

/* Drops its xorbs. */
void lfs_job_drop_xorbs(struct lfs_job *j);

/* It is not sent by Xet any more. */
void lfs_job_leave_xet(struct lfs_job *j);

/* The caller has closed its file. */
void lfs_job_free(struct lfs_job *j);

/* Keeps the first reason. */
void lfs_job_give_up(struct lfs_job *j, const struct err *why);

/* The storage or the Hub no longer has the upload: it is renewed, up to
 * three times. */
void lfs_job_forgotten(struct lfs_job *j, const struct err *why);

/* Replaces the upload by *m, which it takes. */
void lfs_job_renew(struct lfs_job *j, struct multipart *m);

/* Takes over a job that is not begun. */
void lfs_queue_add(struct lfs_queue *q, struct lfs_job *j);

/* A job that was begun leaves it; the caller frees it. */
void lfs_queue_remove(struct lfs_queue *q, struct lfs_job *j);

/* A job starts again with the file of object i; the caller has closed the last
 * one, and leaves it. */
void lfs_queue_again(struct lfs_queue *q, struct lfs_job *j, size_t i);

/* Puts the next task at that time (ms, and Unix seconds) into *w; false if there
 * is none. No part is sent before not_before (ms). The caller counts as one of
 * the job's users from then on, or asks the question. */
bool lfs_queue_next(struct lfs_queue *q, uint64_t now, uint64_t not_before,
    uint64_t clock, struct lfs_work *w);

/* The same for a worker beyond the number of connections. It sends only what is
 * packed: the connection of a small xorb waits for the storage most of the
 * time, and tells nothing of how many the line can take. */
bool lfs_queue_beyond(
    struct lfs_queue *q, uint64_t now, uint64_t not_before, struct lfs_work *w);

#endif
