#ifndef HUB_SCRIPT_H
#define HUB_SCRIPT_H

/*
 * A server for tests, played from a table: a thread on 127.0.0.1 that takes
 * one connection after the other, and one turn after the other, each a request
 * that must come and the bytes that answer it. A connection that the client
 * gives up, or a new one beside it, is no mistake; how many there were is
 * counted.
 */

#include <arpa/inet.h>
#include <bearssl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "str.h"
#include "tests/unit/pem.h"

#define SCRIPT_HEAD 32768

/* What follows an answer. CUT closes without TLS's close_notify. */
enum script_after { SCRIPT_STAY, SCRIPT_CLOSE, SCRIPT_CUT, SCRIPT_TLS };

/* The TLS of one connection. */
struct script_tls {
	br_ssl_server_context server;
	br_sslio_context io;
	unsigned char buffer[BR_SSL_BUFSIZE_BIDI];
};

struct turn {
	const char *want;  /* must be in the request's head; NULL: anything */
	const char *avoid; /* must not */
	const char *body;  /* what follows the head, exactly; NULL: not read */
	const char *answer;
	size_t length;   /* of the answer; 0: up to its '\0' */
	unsigned times;  /* that often; 0 is once */
	size_t piece;    /* in pieces of that many bytes; 0: at once */
	size_t pause_ms; /* before the answer */
	enum script_after after;
};

struct script {
	const struct turn *turn;
	size_t turns;
	int listener, conn, stop[2];
	unsigned port;
	pthread_t thread;
	bool secure;            /* by script_secure() */
	char url[64];           /* "http://127.0.0.1:port", or https */
	struct script_tls *tls; /* NULL: plain so far */
	struct buf cert;
	br_skey_decoder_context key;
	br_ssl_session_cache_lru cache;
	unsigned char sessions[1024], session[32];
	/* The thread's until script_end(). */
	size_t done;      /* turns played */
	unsigned accepts; /* connections taken */
	unsigned resumed; /* TLS sessions */
	char wrong[768];  /* the first mistake, "" if none */
	char *head;       /* of the request that comes, at most SCRIPT_HEAD */
};

static inline int
script_low_read(void *script, unsigned char *p, size_t n)
{
	ssize_t got = recv(((struct script *)script)->conn, p, n, 0);

	return got > 0 ? (int)got : -1;
}

static inline int
script_low_write(void *script, const unsigned char *p, size_t n)
{
	struct script *s = script;
	ssize_t sent = send(s->conn, p, n, MSG_NOSIGNAL);

	return sent > 0 ? (int)sent : -1;
}

/* Receives some; 0 or less at the end. */
static inline int
script_recv(struct script *s, void *p, size_t n)
{
	if (s->tls)
		return br_sslio_read(&s->tls->io, p, n);
	return script_low_read(s, p, n);
}

/* Sends some. */
static inline int
script_send(struct script *s, const void *p, size_t n)
{
	if (!s->tls)
		return script_low_write(s, p, n);
	if (br_sslio_write_all(&s->tls->io, p, n) ||
	    br_sslio_flush(&s->tls->io))
		return -1;
	return (int)n;
}

static inline void
script_close_notify(struct script *s)
{
	br_ssl_engine_context *eng = &s->tls->server.eng;
	size_t n;

	br_ssl_engine_close(eng);
	while (br_ssl_engine_current_state(eng) & BR_SSL_SENDREC) {
		const unsigned char *p = br_ssl_engine_sendrec_buf(eng, &n);

		if (script_low_write(s, p, n) != (int)n)
			return;
		br_ssl_engine_sendrec_ack(eng, n);
	}
}

static inline void
script_hang_up(struct script *s)
{
	if (s->conn >= 0)
		close(s->conn);
	s->conn = -1;
	free(s->tls);
	s->tls = NULL;
}

static inline void
script_start_tls(struct script *s)
{
	br_x509_certificate chain = {(unsigned char *)s->cert.s, s->cert.len};
	br_ssl_session_parameters now;
	br_ssl_engine_context *eng;

	s->tls = malloc(sizeof(*s->tls));
	eng = &s->tls->server.eng;
	br_ssl_server_init_full_ec(&s->tls->server, &chain, 1, BR_KEYTYPE_EC,
	    br_skey_decoder_get_ec(&s->key));
	br_ssl_server_set_cache(&s->tls->server, &s->cache.vtable);
	br_ssl_engine_set_buffer(
	    eng, s->tls->buffer, sizeof(s->tls->buffer), 1);
	br_ssl_server_reset(&s->tls->server);
	br_sslio_init(
	    &s->tls->io, eng, script_low_read, s, script_low_write, s);
	/* To the end of the handshake. */
	br_sslio_flush(&s->tls->io);
	br_ssl_engine_get_session_parameters(eng, &now);
	s->resumed += !memcmp(now.session_id, s->session, sizeof(s->session));
	memcpy(s->session, now.session_id, sizeof(s->session));
}

static inline void
script_accept(struct script *s)
{
	script_hang_up(s);
	s->conn = accept(s->listener, NULL, NULL);
	s->accepts++;
	if (s->secure)
		script_start_tls(s);
}

static inline bool
script_has_input(const struct script *s)
{
	return s->tls && br_ssl_engine_current_state(&s->tls->server.eng) &
			     BR_SSL_RECVAPP;
}

/* Waits until the connection can be read. False: the test is over. A new
 * connection takes the place of the old one. */
static inline bool
script_wait(struct script *s)
{
	while (!script_has_input(s)) {
		struct pollfd p[3] = {{s->stop[0], POLLIN, 0},
		    {s->listener, POLLIN, 0}, {s->conn, POLLIN, 0}};

		poll(p, 3, -1);
		if (s->conn >= 0 && p[2].revents)
			return true;
		if (p[1].revents)
			script_accept(s);
		else if (p[0].revents)
			return false;
	}
	return true;
}

/* A whole head into s->head. False: the test is over. */
static inline bool
script_head(struct script *s)
{
	size_t n = 0;

	while (n < 4 || memcmp(s->head + n - 4, "\r\n\r\n", 4) != 0) {
		if (!script_wait(s))
			return false;
		if (n + 1 == SCRIPT_HEAD ||
		    script_recv(s, s->head + n, 1) <= 0) {
			script_hang_up(s);
			n = 0;
			continue;
		}
		s->head[++n] = '\0';
	}
	return true;
}

static inline void
script_wrong(struct script *s, const char *why, const char *what)
{
	if (!*s->wrong)
		snprintf(s->wrong, sizeof(s->wrong),
		    "turn %zu: %s: %s\nhead: %.500s", s->done, why, what,
		    s->head);
}

static inline void
script_body(struct script *s, const char *want)
{
	size_t n = strlen(want), have = 0;
	char *got = malloc(n + 1);

	while (have < n && script_wait(s)) {
		int m = script_recv(s, got + have, n - have);

		if (m <= 0)
			break;
		have += (size_t)m;
	}
	if (have < n || memcmp(got, want, n) != 0)
		script_wrong(s, "another body than", want);
	free(got);
}

static inline void
script_answer(struct script *s, const struct turn *t)
{
	size_t n = t->length ? t->length : strlen(t->answer),
	       piece = t->piece ? t->piece : n;
	unsigned times = t->times ? t->times : 1;

	while (times--)
		for (size_t at = 0; at < n;) {
			size_t m = n - at < piece ? n - at : piece;
			int sent = script_send(s, t->answer + at, m);

			if (sent <= 0)
				return;
			at += (size_t)sent;
			if (t->piece)
				poll(NULL, 0, 1);
		}
}

static inline void *
script_play(void *arg)
{
	struct script *s = arg;

	while (script_head(s)) {
		const struct turn *t = &s->turn[s->done];

		if (s->done == s->turns) {
			script_wrong(s, "one request too many", "");
			script_hang_up(s);
			continue;
		}
		if (t->want && !strstr(s->head, t->want))
			script_wrong(s, "wants", t->want);
		if (t->avoid && strstr(s->head, t->avoid))
			script_wrong(s, "must not have", t->avoid);
		if (t->body)
			script_body(s, t->body);
		poll(NULL, 0, (int)t->pause_ms);
		script_answer(s, t);
		s->done++;
		if (t->after == SCRIPT_CLOSE && s->tls)
			script_close_notify(s);
		if (t->after == SCRIPT_CLOSE || t->after == SCRIPT_CUT)
			script_hang_up(s);
		if (t->after == SCRIPT_TLS)
			script_start_tls(s);
	}
	return NULL;
}

/* Opens the listener, so that the URL is known before the turns are. */
static inline void
script_open(struct script *s)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t n = sizeof(sa);

	memset(s, 0, sizeof(*s));
	s->conn = -1;
	s->head = calloc(1, SCRIPT_HEAD);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->listener = socket(AF_INET, SOCK_STREAM, 0);
	if (s->listener < 0 || pipe(s->stop) ||
	    bind(s->listener, (struct sockaddr *)&sa, n) ||
	    listen(s->listener, 16) ||
	    getsockname(s->listener, (struct sockaddr *)&sa, &n)) {
		perror("script_open");
		exit(1);
	}
	s->port = ntohs(sa.sin_port);
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", s->port);
}

/* TLS from the start on. */
static inline void
script_secure(struct script *s)
{
	s->secure = true;
	snprintf(s->url, sizeof(s->url), "https://127.0.0.1:%u", s->port);
}

static inline void
script_start(struct script *s, const struct turn *turn, size_t turns)
{
	struct buf key = pem_der("key");

	s->turn = turn;
	s->turns = turns;
	s->cert = pem_der("good");
	br_skey_decoder_init(&s->key);
	br_skey_decoder_push(&s->key, key.s, key.len);
	br_ssl_session_cache_lru_init(
	    &s->cache, s->sessions, sizeof(s->sessions));
	buf_release(&key);
	if (pthread_create(&s->thread, NULL, script_play, s))
		exit(1);
}

/* Ends it; true if all turns were played, and as written. */
static inline bool
script_end(struct script *s)
{
	if (write(s->stop[1], "", 1) != 1)
		exit(1);
	pthread_join(s->thread, NULL);
	if (s->done < s->turns)
		script_wrong(s, "did not come", "");
	script_hang_up(s);
	buf_release(&s->cert);
	free(s->head);
	close(s->listener);
	close(s->stop[0]);
	close(s->stop[1]);
	if (*s->wrong)
		printf("%s\n", s->wrong);
	return !*s->wrong;
}

#endif
