#ifndef HUB_TRANSFER_QUEUE_H
#define HUB_TRANSFER_QUEUE_H

/*
 * The contents that are being fetched, and what there is to do next for them.
 * A content is active from transfer_begin() on, with ranges that any number of
 * workers is at. It is finished, or given up, by one worker, when nobody else
 * is at it. Small ones that are right wait until some are synced together.
 *
 * All of it is guarded by the crew's lock, under which these functions are
 * called. The hasher and the partial files have locks of their own, which are
 * taken after this one, never before it.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crew.h"
#include "err.h"
#include "hash.h"
#include "ramp.h"
#include "ranges.h"
#include "transfer.h"

struct hasher;
struct hashing;

/* A content that came wrong this many times, all of it in this run, is given
 * up. */
#define TRANSFER_WRONG_MAX 3

/* A content that was begun. All fields are guarded by the crew's lock, but
 * those which transfer_begin() sets and nobody changes, and those of a file
 * that is no longer active, which is one thread's. */
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
	unsigned users;      /* workers at it */
	unsigned failed;     /* tries in a row without FETCH_PROGRESS */
	unsigned wrong;      /* times that the hash was wrong */
	unsigned lost;       /* blocks of this run that read back differently */
	uint64_t not_before; /* no try before (ms) */
	unsigned shown;      /* its number in the display */
	bool resolving;      /* one worker finds out direct, others wait */
	bool whole;          /* the server ignores ranges */
	bool hashed;         /* all of it; found says what */
	bool rehash;         /* bytes that were hashed came again since */
	bool unanswered;     /* the last try got no answer at all */
	bool given_up;       /* why says why */
	bool tended;         /* the tender is at it */
	struct digest found;
	struct err why;
};

struct transfer_queue {
	const struct transfer *t;
	struct crew crew; /* left: contents that are not yet done or failed */
	struct hasher *hasher;
	struct hash fresh; /* what the hashes of small ones begin as */
	struct transfer_file *active;
	struct transfer_file *spare; /* closed, to be used again */
	size_t begun;                /* contents */
	struct transfer_file
	    *ripe; /* right, and not yet on the disk; oldest first */
	struct transfer_file **ripe_end;
	unsigned ripened; /* so many */
	uint64_t ripe_bytes;
	unsigned ripe_max;   /* so many are enough */
	unsigned settling;   /* threads that are at some of them */
	unsigned lost;       /* contents given up so in a row */
	uint64_t not_before; /* the server asked all to wait (ms) */
	uint64_t work;       /* for ramp */
	struct ramp ramp;
	unsigned numbers; /* of workers, given so far */
};

enum transfer_task {
	TRANSFER_BEGIN,
	TRANSFER_RANGE,
	TRANSFER_FINISH,
	TRANSFER_SETTLE
};

/* What a worker does. It is the holder of its range: one that is rescued takes
 * the range away from it, and then f and r are NULL. */
struct transfer_job {
	enum transfer_task task;
	size_t i;
	struct transfer_file *f;
	struct range *r;
	atomic_bool cancelled; /* its waits end soon; see wait_cancel_by() */
};

/* Without hasher; ripe_max follows the limit of open files. */
void transfer_queue_init(
    struct transfer_queue *q, const struct transfer *t, uint64_t now);

/* Whether its worker hashes it, since it comes in one piece. */
bool transfer_small(const struct transfer_file *f);

/* The first reason counts. */
void transfer_give_up(struct transfer_file *f, const struct err *why);

/* The next job for a worker at that time (ms): a file each as long as there are
 * files, then several connections to one. False if there is none now. *j stays
 * where it is for as long as the job takes. */
bool transfer_pick(
    struct transfer_queue *q, uint64_t now, struct transfer_job *j);

/* Those that are right and wait for their sync, if there are any, and not too
 * many others on their way to the disk. */
bool transfer_pick_ripe(struct transfer_queue *q, struct transfer_job *j);

/* All of these, in any case; NULL: none. */
struct transfer_file *transfer_harvest(struct transfer_queue *q);

/* Puts one there. */
void transfer_ripen(struct transfer_queue *q, struct transfer_file *f);

#endif
