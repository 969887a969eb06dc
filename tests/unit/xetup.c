#include "../../xetup.c"

#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/scratch.h"
#include "tests/unit/test.h"

/*
 * What of a file is sent, without a storage: the index is not asked for more
 * than it has (silent), and xorbs become stored by a call. The requests are in
 * tests/e2e/xet_upload.py.
 */
struct bench {
	char root[SCRATCH_PATH];
	struct client *client;
	struct repo repo;
	struct xetup *x;
	struct digest digest;
	int fd;
	uint64_t size;
};

static void
setup(struct bench *t)
{
	struct client_opts o = {.endpoint = "http://127.0.0.1:1"};
	struct err e;

	memset(t, 0, sizeof(*t));
	scratch_make(t->root);
	t->client = client_open(&o, &e);
	t->repo = (struct repo){
	    .client = t->client, .endpoint = o.endpoint, .id = "acme/tiny"};
	t->x = xetup_open(&t->repo, "main", NULL);
	t->x->silent = SILENT_MAX;
	t->fd = -1;
}

static void
teardown(struct bench *t)
{
	close(t->fd);
	xetup_close(t->x);
	client_close(t->client);
	scratch_remove(t->root);
}

/* Writes a file of these seeds' pieces of 1 MB each; 0: zeros. */
static void
make(struct bench *t, const char *pieces)
{
	struct buf path = buf_make(SCRATCH_PATH + 8);
	size_t n = 1000000;
	unsigned char *bytes = xmalloc(n);
	struct hash h;

	buf_printf(&path, "%s/file", t->root);
	if (t->fd >= 0)
		close(t->fd);
	t->fd = open(buf_cstr(&path), O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(t->fd >= 0);
	hash_init(&h, HASH_SHA256, 0);
	t->size = 0;
	for (; *pieces; pieces++) {
		uint64_t x = (uint64_t)(*pieces - '0') * 88172645463325252;

		for (size_t i = 0; i < n; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			bytes[i] = (unsigned char)(x >> 32);
		}
		CHECK(!file_write(t->fd, bytes, n));
		hash_update(&h, bytes, n);
		t->size += n;
	}
	hash_final(&h, &t->digest);
	free(bytes);
	buf_release(&path);
}

/* Reads the whole file. Its xorbs are stored, but the last one if keep is not
 * NULL. Returns the bytes that are kept. */
static uint64_t
plan(struct bench *t, struct xetup_file *f, uint64_t *sent, struct xorb **keep)
{
	uint64_t kept, all = 0;
	struct xorb *xorb;
	struct buf full;
	struct err e;

	*sent = 0;
	while (!xetup_is_planned(f)) {
		CHECK(!xetup_plan(f, t->fd, "file", &xorb, &kept, &e));
		all += kept;
		if (!xorb)
			continue;
		*sent += xorb->stored ? 0 : xorb->size;
		if (keep) {
			*keep = xorb;
			continue;
		}
		xetup_stored(f, xorb, &full);
		CHECK(!full.len);
	}
	CHECK(all + *sent == t->size);
	return all;
}

static void
test_chunks_once(void)
{
	struct bench t;
	struct xetup_file *a, *b;
	uint64_t sent;

	setup(&t);
	make(&t, "12113");
	a = xetup_begin(t.x, t.size, &t.digest, NULL, 0);
	/* Where pieces meet, chunks are others. */
	CHECK(plan(&t, a, &sent, NULL) > 1500000 && !xetup_trusts(a));
	CHECK(xetup_state(a) == XETUP_READY && a->terms > 1);
	make(&t, "0000231");
	b = xetup_begin(t.x, t.size, NULL, NULL, 0);
	CHECK(plan(&t, b, &sent, NULL) > 2500000 + 3000000);
	CHECK(xetup_state(b) == XETUP_READY);
	xetup_end(a);
	xetup_end(b);
	teardown(&t);
}

/* A file waits for the xorbs of another one, and begins again without them. */
static void
test_others(void)
{
	struct bench t;
	struct xetup_file *a, *b;
	struct xorb *xorb;
	struct buf full;
	uint64_t sent;

	setup(&t);
	make(&t, "12");
	a = xetup_begin(t.x, t.size, NULL, NULL, 0);
	CHECK(!plan(&t, a, &sent, &xorb) && xetup_state(a) == XETUP_WAITS);
	b = xetup_begin(t.x, t.size, NULL, NULL, 0);
	CHECK(plan(&t, b, &sent, NULL) == t.size && !sent);
	CHECK(xetup_state(b) == XETUP_WAITS);
	xetup_drop(t.x, xorb);
	CHECK(xetup_state(b) == XETUP_LOST);
	xetup_again(b, false);
	CHECK(!plan(&t, b, &sent, &xorb) && sent == t.size);
	xetup_stored(b, xorb, &full);
	CHECK(xetup_state(b) == XETUP_READY && xetup_state(a) == XETUP_LOST);
	xetup_end(a);
	xetup_end(b);
	teardown(&t);
}

/* What the journal names is not sent, but if that is doubted. */
static void
test_stored(void)
{
	struct bench t;
	struct xethash *name = xcalloc(2, sizeof(*name));
	struct xetup_file *f;
	struct xorb *xorb;
	uint64_t sent;

	setup(&t);
	make(&t, "123");
	f = xetup_begin(t.x, t.size, NULL, NULL, 0);
	plan(&t, f, &sent, &xorb);
	xetup_name(t.x, xorb, &name[1]);
	xetup_drop(t.x, xorb);
	xetup_end(f);
	f = xetup_begin(t.x, t.size, NULL, name, 2);
	CHECK(plan(&t, f, &sent, NULL) == t.size && xetup_trusts(f));
	xetup_again(f, true);
	CHECK(!plan(&t, f, &sent, NULL) && !xetup_trusts(f));
	xetup_end(f);
	teardown(&t);
}

static void
test_another_hash(void)
{
	struct bench t;
	struct xetup_file *f;
	struct xorb *xorb;
	uint64_t kept;
	struct err e = {.kind = ERR_NONE};

	setup(&t);
	make(&t, "1");
	t.digest.b[0] ^= 1;
	f = xetup_begin(t.x, t.size, &t.digest, NULL, 0);
	CHECK(!xetup_plan(f, t.fd, "file", &xorb, &kept, &e) && xorb);
	xetup_drop(t.x, xorb);
	CHECK(xetup_plan(f, t.fd, "file", &xorb, &kept, &e) < 0 &&
	      e.kind == ERR_CONTENT && !xorb);
	xetup_end(f);
	teardown(&t);
}

/* The index has a bound, and answers have keys that expire. */
static void
test_index(void)
{
	static const struct named there = {.state = NAMED_STORED};
	struct bench t;
	struct xethash h = {{0}}, name;
	uint32_t number;

	setup(&t);
	number = add_name(t.x, &there);
	for (unsigned i = 0; i < 3 * BUCKET; i++) {
		h.b[20] = (unsigned char)i;
		h.b[10] = (unsigned char)i;
		learn(t.x, &h, 0, number, i);
	}
	for (unsigned i = 0; i < 3 * BUCKET; i++) {
		h.b[20] = h.b[10] = (unsigned char)i;
		CHECK((find(t.x, &h) != NULL) == (i >= 2 * BUCKET));
	}
	t.x->key[t.x->keys++] = (struct key){{{7}}, UINT64_MAX};
	memset(h.b, 5, sizeof(h.b));
	CHECK(!find(t.x, &h));
	xethash_keyed(&h, &t.x->key[1].key, &name);
	learn(t.x, &name, 1, number, 3);
	CHECK(find(t.x, &h) && find(t.x, &h)->chunk == 3);
	t.x->key[1].expires = client_time(t.client);
	CHECK(!find(t.x, &h));
	t.x->key[1].expires = UINT64_MAX;
	set_state(t.x, number, NAMED_LOST);
	CHECK(!find(t.x, &h));
	teardown(&t);
}

static void
test_events(void)
{
	static const struct {
		const char *line;
		bool over;
		enum fetch_end end;
		enum err_kind kind;
	} rows[] = {
	    {"{\"type\":\"validating\",\"verified\":1}", false, 0, 0},
	    {"{\"type\":\"odd\"}", false, 0, 0},
	    {"{\"result\":1}", false, 0, 0},
	    {"no JSON", false, 0, 0},
	    {"", false, 0, 0},
	    {"{\"type\":\"result\"}", true, FETCH_OK, 0},
	    {"{\"type\":\"result\",\"result\":0}", true, FETCH_OK, 0},
	    {"{\"type\":\"error\"}", true, FETCH_ELSEWHERE, ERR_REFUSED},
	    {"{\"type\":\"error\",\"retryable\":1,\"message\":\"m\"}", true,
		FETCH_ELSEWHERE, ERR_REFUSED},
	    {"{\"type\":\"error\",\"retryable\":true}", true, FETCH_FAILED,
		ERR_NET},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct err e = {.kind = ERR_NONE};
		enum fetch_end end = FETCH_FAILED;
		bool over = take_event(str_of(rows[i].line), &end, &e);

		CHECK_ROW(i, over == rows[i].over);
		if (over)
			CHECK_ROW(
			    i, end == rows[i].end &&
				   (end == FETCH_OK || e.kind == rows[i].kind));
	}
}

int
main(void)
{
	test_chunks_once();
	test_others();
	test_stored();
	test_another_hash();
	test_index();
	test_events();
	return test_end();
}
