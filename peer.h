#ifndef HUB_PEER_H
#define HUB_PEER_H

/*
 * A connection of a client of `hub serve`: reads requests, and sends the answers
 * of reply.h. No call waits: when the socket would block, the call returns, and
 * the caller waits for the socket or for the deadline.
 *
 * One thread at a time works on a connection. What connections share is in
 * struct peers.
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

/* The number of groups of clients. The hash of its address says which group a
 * client is in. */
#define PEER_HOLDERS 256

/* What the clients of one group hold of limited things. */
struct peer_holder {
	atomic_uint conns, long_requests;
};

/* What all connections of a server share. */
struct peers {
	/* The caller sets these before the first one. */
	const char *token;         /* that clients must bring; NULL: none */
	const struct tls_key *key; /* NULL: plain */
	bool rebinds; /* refuse requests to names: a page of another site could
		       * have led a browser here */
	struct site *(*site)(void *ctx); /* a reference to what is served */
	void (*prove)(void *ctx);        /* something is to be proved */
	void *ctx;
	uint64_t salt; /* of the hash, so that no client can choose its group */

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
	PEER_ENDS,  /* nothing more: takes and drops what still comes */
};

/* What a worker keeps from one answer to the next. */
struct peer_worker {
	struct buf room; /* memory for the next answer; empty */
	time_t second;   /* the time that date shows */
	struct buf date; /* the value of a Date field */
};

/* The caller reads phase, in.len, wants, deadline and holder, sets worker before
 * each peer_step(), and may use next. */
struct peer {
	int fd;
	struct tls_peer *tls; /* NULL: plain */
	enum peer_phase phase;
	struct peer_worker *worker; /* of the thread that works on it */

	/* The request. */
	struct buf in;     /* bytes that came and are not answered yet */
	size_t seen;       /* bytes of in without an end of the head */
	size_t needed;     /* length of head and body; 0: not known yet */
	unsigned empty;    /* empty lines before it */
	bool promised;     /* "100 Continue" was sent */
	bool long_request; /* it is counted in long_requests */

	/* The answer. */
	struct buf out;          /* its head, and text behind it */
	size_t given;            /* bytes of out that were sent */
	int file;                /* what follows out; -1: no file */
	uint64_t at, left;       /* the bytes of file that are not sent yet */
	struct stamp stamp;      /* of file when it was proved */
	struct reply_rest *rest; /* makes more text; NULL: there is no more */
	bool chunked;            /* the client knows chunks */
	bool keep;               /* another request may follow */
	bool unread;             /* bytes of the client may be unread */

	short wants;       /* POLLIN or POLLOUT, if it is blocked */
	uint64_t deadline; /* wait_now() */
	char from[INET6_ADDRSTRLEN];
	struct peer_holder *holder; /* the group of the client */
	uint64_t total;             /* bytes sent */
	uint64_t taken; /* bytes that the client had taken when the deadline was
			 * set */
	uint64_t requests, sent; /* peer_count() adds these to struct peers */

	/* For the log. */
	char *line;      /* method and path of the request; NULL: none */
	unsigned status; /* of the answer */
	size_t head;     /* bytes of the head and of the frames of chunks */
	uint64_t gone, began; /* gone: bytes sent, with head */

	struct peer *next; /* in a list of the caller */
};

enum peer_result {
	PEER_MOVED,   /* something was done: call again */
	PEER_BLOCKED, /* wait until wants is possible */
	PEER_BROKEN,  /* close it */
};

/* p is zero, but for what the caller has set. */
void peers_init(struct peers *p);
void peers_release(struct peers *p); /* after the last connection */

struct peer_worker peer_worker_make(void);
void peer_worker_release(struct peer_worker *w);

/* Takes the socket, which does not block. NULL: TLS cannot begin; the socket is
 * closed. */
struct peer *peer_open(
    struct peers *p, int fd, const struct sockaddr_storage *from);

/* The kernel still sends what waits in the socket. */
void peer_close(struct peers *p, struct peer *c);

/* The same, but if an answer is under way, what waits in the socket is freed, too:
 * its client may never read it. */
void peer_drop(struct peers *p, struct peer *c);

/* Does a limited part of what can be done now. The caller closes the connection
 * after PEER_BROKEN, and at its deadline unless peer_keeps_pace(). */
enum peer_result peer_step(struct peers *p, struct peer *c);

/* True, and sets a new deadline, if the client has taken enough of its answer
 * since the deadline was set. */
bool peer_keeps_pace(struct peer *c);

/* While an answer is under way: true if its client has taken next to nothing for
 * 10 s. */
bool peer_crawls(const struct peer *c);

/* Adds its requests and bytes to those of struct peers. */
void peer_count(struct peers *p, struct peer *c);

/* The group of the client with that address. */
struct peer_holder *peer_holder(
    struct peers *p, const struct sockaddr_storage *a);

/* The address as text; out has INET6_ADDRSTRLEN bytes. */
void peer_name(const struct sockaddr_storage *a, char *out);

#endif
