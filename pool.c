#include "pool.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "mem.h"
#include "tls.h"
#include "wait.h"

/* As many as there can be workers; a run talks to a handful of origins. */
#define IDLE_MAX 64
#define SESSIONS_MAX 16

struct idle {
	char *key;
	struct conn *conn;
	uint64_t since;
};

struct session {
	char *key;
	struct tls_resume resume;
};

struct pool {
	pthread_mutex_t lock;       /* guards all below */
	struct idle idle[IDLE_MAX]; /* the first idle_count, oldest first */
	size_t idle_count;
	struct session session[SESSIONS_MAX]; /* a ring, keys may be NULL */
	size_t session_next;                  /* which one gives way */
};

struct pool *
pool_open(void)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	return p;
}

/* Removes entry i; the connection is the caller's. */
static struct conn *
remove_idle(struct pool *p, size_t i)
{
	struct conn *c = p->idle[i].conn;

	free(p->idle[i].key);
	p->idle_count--;
	memmove(&p->idle[i], &p->idle[i + 1],
	    (p->idle_count - i) * sizeof(p->idle[0]));
	return c;
}

/* The youngest entry of that key, taken out of the pool. */
static struct conn *
take_youngest(struct pool *p, const char *key, uint64_t *since)
{
	struct conn *c = NULL;

	pthread_mutex_lock(&p->lock);
	for (size_t i = p->idle_count; i-- > 0;) {
		if (strcmp(p->idle[i].key, key) != 0)
			continue;
		*since = p->idle[i].since;
		c = remove_idle(p, i);
		break;
	}
	pthread_mutex_unlock(&p->lock);
	return c;
}

struct conn *
pool_take(struct pool *p, const char *key)
{
	uint64_t since = 0;
	struct conn *c;

	while ((c = take_youngest(p, key, &since))) {
		if (wait_now() - since <= POOL_IDLE_MS && conn_idle_ok(c))
			return c;
		conn_close(c);
	}
	return NULL;
}

void
pool_put(struct pool *p, const char *key, struct conn *c)
{
	struct conn *old = NULL;

	pthread_mutex_lock(&p->lock);
	if (p->idle_count == IDLE_MAX)
		old = remove_idle(p, 0);
	p->idle[p->idle_count++] = (struct idle){xstrdup(key), c, wait_now()};
	pthread_mutex_unlock(&p->lock);
	conn_close(old);
}

static struct session *
find_session(struct pool *p, const char *key)
{
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		if (p->session[i].key && !strcmp(p->session[i].key, key))
			return &p->session[i];
	return NULL;
}

void
pool_session(struct pool *p, const char *key, struct tls_resume *out)
{
	const struct session *s;

	*out = (struct tls_resume){0};
	pthread_mutex_lock(&p->lock);
	s = find_session(p, key);
	if (s)
		*out = s->resume;
	pthread_mutex_unlock(&p->lock);
}

void
pool_keep_session(
    struct pool *p, const char *key, const struct tls_resume *session)
{
	struct session *s;

	pthread_mutex_lock(&p->lock);
	s = find_session(p, key);
	if (!s) {
		s = &p->session[p->session_next++ % SESSIONS_MAX];
		free(s->key);
		s->key = xstrdup(key);
	}
	s->resume = *session;
	pthread_mutex_unlock(&p->lock);
}

void
pool_close(struct pool *p)
{
	if (!p)
		return;
	while (p->idle_count)
		conn_close(remove_idle(p, p->idle_count - 1));
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		free(p->session[i].key);
	mem_wipe(p->session, sizeof(p->session));
	pthread_mutex_destroy(&p->lock);
	free(p);
}
