#ifndef HUB_QUEUE_H
#define HUB_QUEUE_H

/*
 * The contents that are being fetched, and the next job for a worker. A content
 * is active from transfer_begin() on; several workers may fetch its ranges. The
 * last worker to leave it finishes it or gives it up. Small verified contents
 * wait, so that several are synced together.
 *
 * All of it is guarded by the crew's lock, under which these functions are
 * called. The hasher and the partial files have locks of their own, which are
 * taken after this one, never before it.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "hash.h"
#include "wait.h"

struct hasher;
struct hashing;
struct partial;
struct progress;
struct transfer;

/* --- Ranges of one file. --- */

/*
 * The byte ranges of one file that are being fetched, or that are incomplete
 * and wait for a connection. The caller locks.
 *
 * A range belongs to one holder, which alone writes the bytes from at on. A
 * rescue gives a stalled range to another holder, so no byte is written by two;
 * never while it is pinned, that is, while a write is in progress.
 *
 * Invariants: begin <= at <= end; ranges do not overlap; bytes from begin to at
 * were written in this run; a range without a holder has at < end.
 */

struct range {
	uint64_t begin, at, end;
	uint64_t sum; /* the caller's checksum of the bytes from begin to at */
	uint64_t moved; /* ms, when a byte last came; kept by the caller */
	void *holder;   /* NULL: it waits */
	bool pinned;
	struct range *next;
};

/* All zero is the empty set. */
struct ranges {
	struct range *first;
};

/* Gives holder a range to fetch: the first one at or after from that waits, or
 * the first bytes there that are missing in p and that no range covers, at most
 * limit of them; whichever is lower. NULL if there is none. The set owns it. */
struct range *ranges_take(struct ranges *s, uint64_t from, uint64_t limit,
    struct partial *p, void *holder);

/* Counts n bytes written at r->at. begin follows by whole blocks, which the
 * partial file records. */
void ranges_advance(struct range *r, uint64_t n, uint64_t block);

/* The holder gives it back: it is removed if complete, else it waits. */
void ranges_put(struct ranges *s, struct range *r);

/* The end of the bytes written without a gap from offset on, by the range that
 * contains it; offset if none does. */
uint64_t ranges_written(const struct ranges *s, uint64_t offset);

/* The number of ranges with a holder. */
unsigned ranges_held(const struct ranges *s);

/* Drops all; none may be held. */
void ranges_release(struct ranges *s);

/* --- How many connections. --- */

/*
 * Decides the number of connections: starts with few, adds while their total
 * rate grows by a tenth or more, halves when it collapses or when the server
 * refuses. Pure: time and work are given.
 */

#define RAMP_START 4
#define RAMP_PERIOD 500 /* ms between two looks */
#define RAMP_HOLD 5000  /* ms without growth after a look that found no gain */
#define RAMP_TRIAL 3000 /* ms in which growth must show a gain, if it must */

struct ramp {
	unsigned allowed, max;
	uint64_t looked, work; /* at the last look */
	uint64_t best;         /* work a second that justified allowed */
	uint64_t rate;         /* work a second between the last two looks */
	uint64_t hold;         /* no growth before: the server refused */
	uint64_t probe;        /* no growth without a gain before */
	/* Reduces the number again if growth brings no gain: an interruption
	 * loses the work of each connection. */
	bool retreats;
	unsigned before; /* what was allowed before the last growth */
	uint64_t grown;  /* when that was */
};

/* Starts with a single connection, and retreats. */
struct ramp ramp_make_careful(unsigned max, uint64_t now);

/* work: units done so far (bytes, plus an amount for each file, since small
 * files cost round trips). Returns the connections to use now, 1..max. */
unsigned ramp_step(struct ramp *r, uint64_t now, uint64_t work);

/* The server refused: too many. */
void ramp_back(struct ramp *r, uint64_t now);

/* --- Workers that move bytes. --- */

/*
 * The scheduler of every transfer, down or up: a crew whose workers take one job
 * after the other, as many at a time as ramp allows. It counts the contents that
 * fail in a row, keeps the time for which the server asked all to wait, and
 * updates the display. What the jobs are is the owner's.
 *
 * All of it is guarded by the crew's lock.
 */

struct mover_ops {
	/* A worker: calls mover_next() and does that job, until there is none. */
	void *(*work)(void *ctx);
	/* Under the lock: puts the next job for one worker into *job. False if
	 * there is none at that time (ms). */
	bool (*pick)(void *ctx, uint64_t now, void *job);
	/* Under the lock: the work done so far, for ramp_step(), and the
	 * connections in use, for the display. */
	void (*count)(void *ctx, uint64_t *work, unsigned *connections);
};

/* The owner sets what is not zero at the beginning, and calls crew_init(). */
struct mover {
	const struct mover_ops *ops;
	void *ctx; /* for ops */
	struct progress *progress;
	struct crew crew; /* left: contents that are neither done nor failed */
	struct ramp ramp;
	unsigned idle;       /* workers in mover_next() */
	unsigned lost;       /* contents in a row that failed, with nothing
			      * received or stored in between; see mover_failed() */
	uint64_t work;       /* done so far; the owner counts it */
	uint64_t not_before; /* the server asked all to wait until then (ms) */
};

/* Runs the workers until no content is left. Fails with the reason if the run
 * ended early. */
int mover_run(struct mover *m, struct err *e);

/* For a worker, without the lock: waits for its next job. False if the run is
 * over. */
bool mover_next(struct mover *m, void *job);

/* Without the lock: one content is done. work: what it cost beside its bytes. */
void mover_done(struct mover *m, uint64_t work);

/* Without the lock: one content failed. lost: for a reason that the others will
 * probably meet, too, such as a dead line. Several of these in a row, or a
 * signal, end the run. */
void mover_failed(struct mover *m, const struct err *why, bool lost);

/* Under the lock: when to try again after failed failures in a row, the last
 * one *e. If the server asked for a wait, all wait, fewer connections are used
 * from then on, and the display says so. */
uint64_t mover_retry(struct mover *m, unsigned failed, const struct err *e);

/* --- Ranges of all files. --- */

/* A content that came wrong this many times, all of it in this run, is given
 * up. */
#define TRANSFER_WRONG_MAX 3

struct content {
	const char *name; /* for messages and the display */
	uint64_t size;
	struct digest digest;
};

/* A content that was begun. All fields are guarded by the crew's lock, but
 * those set once by transfer_begin(), and those of a file that is no longer
 * active, which belongs to one thread. */
struct transfer_file {
	struct transfer_file *next;
	struct transfer_queue *q;
	size_t i;
	struct content content;
	struct partial *partial;
	struct hashing *hashing; /* NULL: small, hashed by its worker */
	struct hash hash; /* of a small one; only its worker touches it */
	const char *name; /* of the partial, once it is on the disk */
	char *url;
	char *direct;    /* where url led to; NULL: not known */
	uint64_t lapses; /* Unix seconds when direct does; 0: not known */
	struct ranges ranges;
	unsigned users;  /* workers that use it */
	unsigned failed; /* tries in a row without FETCH_PROGRESS */
	unsigned wrong;  /* times that the hash was wrong */
	unsigned lost;   /* blocks of this run that differed when read back */
	uint64_t not_before; /* no try before (ms) */
	unsigned shown;      /* its number in the display */
	bool resolving;      /* one worker finds out direct, others wait */
	bool whole;          /* the server ignores ranges */
	bool hashed;         /* all of it; found says what */
	bool rehash;         /* bytes that were hashed come again since */
	bool unanswered;     /* the last try got no answer at all */
	bool given_up;       /* why says why */
	bool tended;         /* the thread that syncs uses it */
	struct digest found;
	struct err why;
};

struct transfer_queue {
	const struct transfer *t;
	struct mover mover;
	struct hasher *hasher;
	struct hash fresh; /* what the hashes of small ones begin as */
	struct transfer_file *active;
	struct transfer_file *spare; /* closed, for reuse */
	size_t begun;                /* contents */
	struct transfer_file *ripe; /* verified, not yet synced; oldest first */
	struct transfer_file **ripe_end;
	unsigned ripened; /* their number */
	uint64_t ripe_bytes;
	unsigned ripe_max; /* sync when this many are ripe */
	unsigned settling; /* threads that sync some of them */
};

enum transfer_task {
	TRANSFER_BEGIN,
	TRANSFER_RANGE,
	TRANSFER_FINISH,
	TRANSFER_SETTLE
};

/* The job of a worker, which is the holder of its range. A rescue takes the
 * range away, and sets f and r to NULL. */
struct transfer_job {
	enum transfer_task task;
	size_t i;
	struct transfer_file *f;
	struct range *r;
	atomic_bool cancelled; /* its waits end soon; see wait_cancel_by() */
};

/* Leaves hasher NULL; ripe_max follows the limit of open files. */
void transfer_queue_init(
    struct transfer_queue *q, const struct transfer *t, uint64_t now);

/* True if its worker hashes it, since it arrives in one piece. */
bool transfer_small(const struct transfer_file *f);

/* Keeps the first reason. */
void transfer_give_up(struct transfer_file *f, const struct err *why);

/* The next job for a worker at that time (ms): one file each while there are
 * files, then several connections to one. False if there is none now. *j must
 * not move during the job. */
bool transfer_pick(
    struct transfer_queue *q, uint64_t now, struct transfer_job *j);

/* A job to sync the verified files that wait, if there are any and not too many
 * threads sync already. */
bool transfer_pick_ripe(struct transfer_queue *q, struct transfer_job *j);

/* Takes all files that wait for a sync; NULL if none. */
struct transfer_file *transfer_harvest(struct transfer_queue *q);

/* Adds a verified file to the list. */
void transfer_ripen(struct transfer_queue *q, struct transfer_file *f);

#endif
