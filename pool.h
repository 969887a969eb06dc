#ifndef HUB_POOL_H
#define HUB_POOL_H

/*
 * Idle connections, and TLS sessions to resume, by key: a text that names the
 * origin and the proxy on the way to it. Threads share one pool.
 */

struct conn;
struct pool;
struct tls_resume;

/* A connection that was idle for longer is not worth trying. */
#define POOL_IDLE_MS 30000

struct pool *pool_open(void);
void pool_close(struct pool *p); /* takes NULL */

/* The connection that was idle for the shortest time and is still alive, now
 * the caller's; NULL if there is none. */
struct conn *pool_take(struct pool *p, const char *key);

/* Takes c over; the longest idle one makes room for it. */
void pool_put(struct pool *p, const char *key, struct conn *c);

/* The session kept for key; all zero if there is none. */
void pool_session(struct pool *p, const char *key, struct tls_resume *out);
void pool_keep_session(
    struct pool *p, const char *key, const struct tls_resume *session);

#endif
