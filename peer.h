#ifndef HUB_PEER_H
#define HUB_PEER_H

/*
 * A connection of a client of `hub serve`: reads requests, and sends the answers
 * of reply.h. It never waits: what would block, and until when, is for its
 * caller to wait for.
 *
 * One thread at a time works on a connection; what they share is in peers.
 */

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include "file.h"
#include "str.h"

struct reply_rest;
struct site;
struct tls_key;
struct tls_peer;

/* Clients are counted by a hash of their address. */
#define PEER_HOLDERS 256

/* What clients of one address have of what is limited. */
struct peer_holder {
	atomic_uint conns, long_requests;
};

/* What all connections of a server share. */
struct peers {
	/* The caller sets these before the first one. */
	const char *token;         /* that clients must bring; NULL: none */
	const struct tls_key *key; /* NULL: plain */
	bool rebinds; /* another site's name could lead a browser here */
	struct site *(*site)(void *ctx); /* a reference to what is served */
	void (*prove)(void *ctx);        /* something is to be proved */
	void *ctx;
	uint64_t salt; /* so that nobody can choose whom he is counted with */

	atomic_bool log;      /* a line for each answer on standard output */
	atomic_bool stopping; /* no request is taken any more */
	atomic_uint conns, long_requests;
	struct peer_holder holder[PEER_HOLDERS];

	pthread_mutex_t log_lock;
	pthread_mutex_t lock; /* guards what follows */
	uint64_t requests, sent;
};

enum peer_phase {
	PEER_TAKES, /* a request */
	PEER_GIVES, /* an answer */
	PEER_ENDS, /* the answer was a refusal: takes and drops what still comes */
};

/* What a thread keeps from one answer to the next. */
struct peer_worker {
	struct buf room; /* for answers */
	time_t second;   /* that date is the text of */
	struct buf date;
};

/* The caller reads phase, in.len, wants, deadline and holder, uses next, and
 * sets worker. */
struct peer {
	int fd;
	struct tls_peer *tls; /* NULL: plain */
	enum peer_phase phase;
	struct buf in;  /* what came and is not answered */
	size_t seen;    /* of it, for http_head_length() */
	size_t needed;  /* head and body of the request; 0: not known yet */
	unsigned empty; /* lines before the request */
	bool promised;  /* "100 Continue" was sent */
	struct buf out; /* the head of the answer, and its text */
	struct peer_worker *worker; /* of the thread that has it */
	size_t given;               /* of it */
	int file;                   /* the rest of the answer; -1: none */
	uint64_t at, left;
	struct stamp stamp;      /* of the file */
	struct reply_rest *rest; /* the same of a long text; NULL: none */
	bool chunked;            /* the text goes out in chunks */
	bool keep;               /* another request may follow */
	bool unread;             /* bytes of the client may be unread */
	short wants;             /* POLLIN or POLLOUT, while it waits */
	uint64_t deadline;
	char from[INET6_ADDRSTRLEN];
	struct peer_holder *holder; /* the client */
	bool long_request;          /* it is one of those */
	uint64_t total;             /* bytes sent */
	uint64_t taken;             /* of them, at the last look at the pace */
	uint64_t requests, sent;    /* not yet added to those of all */
	/* Of the answer under way, for the log. */
	char *line; /* method and target */
	unsigned status;
	size_t head;          /* bytes of it that are not of its body */
	uint64_t gone, began; /* gone: bytes sent, with the head */
	struct peer *next;    /* in a queue */
};

/* What I/O came to. */
enum peer_result {
	PEER_MOVED,   /* something, or all of it, was done */
	PEER_BLOCKED, /* wants says for what */
	PEER_BROKEN,
};

/* All else is zero, or set by the caller. */
void peers_init(struct peers *p);
void peers_release(struct peers *p); /* after the last connection */

struct peer_worker peer_worker_make(void);
void peer_worker_release(struct peer_worker *w);

/* Takes the socket over. NULL: TLS cannot begin, and it is closed. */
struct peer *peer_open(
    struct peers *p, int fd, const struct sockaddr_storage *from);
void peer_close(struct peers *p, struct peer *c);

/* The same for a client that does not take its answer: frees what waits for it in
 * the socket. */
void peer_drop(struct peers *p, struct peer *c);

/* Does some of what can be done now. The connection is to be closed if that is
 * PEER_BROKEN, or at its deadline, unless it keeps pace. */
enum peer_result peer_step(struct peers *p, struct peer *c);

/* True, with a new deadline, if the client has taken enough of its answer since
 * the last one was set. */
bool peer_keeps_pace(struct peer *c);

/* True for a client that has taken next to nothing for a while. */
bool peer_crawls(const struct peer *c);

/* Adds its requests and bytes to those of all. */
void peer_count(struct peers *p, struct peer *c);

struct peer_holder *peer_holder(
    struct peers *p, const struct sockaddr_storage *a);

/* The address as text; out has INET6_ADDRSTRLEN bytes. */
void peer_name(const struct sockaddr_storage *a, char *out);

#endif
