#include "../../xetup.c"

#include <fcntl.h>
#include <unistd.h>

#include "file.h"
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
	uint64_t sent; /* of a xorb */
	unsigned checked;
};

static const struct journal_pieces no_pieces = {.fd = -1};

/* A journal in the scratch folder, for what was sent. */
static struct journal *
open_journal(struct bench *t)
{
	struct journal_opts o = {NULL, NULL, "https://hub", "model", "a/b"};
	struct folder source;
	struct journal *j;
	struct err e;

	CHECK(!folder_open(&source, t->root, false, &e));
	o.source = &source;
	j = journal_open(&o);
	CHECK(!journal_why(j));
	folder_close(&source);
	return j;
}

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
	t->x = xetup_open(&t->repo, "main", true, NULL);
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

/* Writes a file of these seeds' pieces of 1 MB each; 0: zeros; letters: such
 * that BG4 makes them smaller. */
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
			if (*pieces >= 'a' && i % 4 == 3)
				bytes[i] = 0x3f;
			else if (*pieces >= 'a' && i % 4 == 2)
				bytes[i] &= 7;
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
		CHECK(!xetup_plan(f, t->fd, "file", &xorb, &kept, &full, &e));
		CHECK(!full.len);
		all += kept;
		if (!xorb)
			continue;
		*sent += xorb->size;
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
	a = xetup_begin(t.x, t.size, &t.digest, &no_pieces);
	/* Where pieces meet, chunks are others. */
	CHECK(plan(&t, a, &sent, NULL) > 1500000 && !xetup_trusts(a));
	CHECK(xetup_state(a) == XETUP_READY && a->terms > 1);
	make(&t, "0000231");
	b = xetup_begin(t.x, t.size, NULL, &no_pieces);
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
	a = xetup_begin(t.x, t.size, NULL, &no_pieces);
	CHECK(!plan(&t, a, &sent, &xorb) && xetup_state(a) == XETUP_WAITS);
	b = xetup_begin(t.x, t.size, NULL, &no_pieces);
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

/* Xorbs of the journal are not sent again, unless the storage says that it lacks
 * them. The shard names them, too. */
static void
test_stored(void)
{
	struct buf records = buf_make(JOURNAL_XORB_MAX);
	struct journal_pieces earlier;
	struct journal *j;
	struct xetup_file *f;
	struct xorb *xorb;
	struct buf full;
	uint64_t sent;
	struct bench t;
	size_t told;

	setup(&t);
	j = open_journal(&t);
	make(&t, "12");
	f = xetup_begin(t.x, t.size, NULL, &no_pieces);
	plan(&t, f, &sent, &xorb);
	xetup_put_records(t.x, xorb, &records);
	journal_put_xorb(j, &t.digest, buf_str(&records));
	xetup_drop(t.x, xorb);
	xetup_end(f);

	journal_xorbs(j, &t.digest, &earlier);
	make(&t, "123");
	f = xetup_begin(t.x, t.size, NULL, &earlier);
	CHECK(plan(&t, f, &sent, &xorb) > 1900000 && xetup_trusts(f));
	CHECK(xetup_state(f) == XETUP_WAITS);
	xetup_stored(f, xorb, &full);
	CHECK(xetup_state(f) == XETUP_READY);
	told = records.len;
	CHECK(f->records.len && f->told.len == told);

	xetup_again(f, true);
	CHECK(!xetup_trusts(f));
	CHECK(f->records.len && !f->told.len);
	CHECK(plan(&t, f, &sent, NULL) < 1100000 && sent > 1900000);
	CHECK(xetup_state(f) == XETUP_READY && !xetup_trusts(f));
	xetup_end(f);
	journal_close(j);
	buf_release(&records);
	teardown(&t);
}

/* Adds a xorb of n chunks, each of that size, with names that follow from
 * seed. */
static void
put_xorb(struct buf *b, unsigned seed, uint32_t n, uint32_t size)
{
	struct shard_record r = {
	    .kind = SHARD_XORB, .count = n, .size = n * size};

	bytes_put_le(r.hash.b, seed, 4);
	r.hash.b[8] = 1;
	shard_put(b, &r);
	for (uint32_t i = 0; i < n; i++) {
		r = (struct shard_record){
		    .kind = SHARD_CHUNK, .size = size, .at = i * size};
		bytes_put_le(r.hash.b, seed, 4);
		bytes_put_le(r.hash.b + 8, i, 4);
		r.hash.b[15] = 2;
		shard_put(b, &r);
	}
}

/* What was sent of a large file is taken over a piece at a time. */
static void
test_large_earlier(void)
{
	struct buf records = buf_make(JOURNAL_XORB_MAX), full;
	struct journal_pieces earlier;
	const uint64_t xorb = 64 << 20;
	struct xetup_file *f, *other[7];
	struct journal *j;
	struct bench t;

	setup(&t);
	j = open_journal(&t);
	make(&t, "1");
	for (unsigned i = 0; i < 50; i++) {
		buf_clear(&records);
		put_xorb(&records, i, 512, 131072);
		journal_put_xorb(j, &t.digest, buf_str(&records));
	}
	journal_xorbs(j, &t.digest, &earlier);
	f = xetup_begin(t.x, 100 * xorb, NULL, &earlier);
	take_earlier(f);
	CHECK(f->earlier_bytes == 32 * xorb && f->told.len == 32 * records.len);
	take_full(t.x, &f->told, &full);
	CHECK(!full.len && xetup_trusts(f));
	f->at = 3 * xorb + 1;
	take_earlier(f);
	CHECK(f->earlier_bytes == 36 * xorb);
	f->at = 90 * xorb;
	take_earlier(f);
	CHECK(f->earlier_bytes == 50 * xorb);
	xetup_end(f);

	/* Of small chunks the records become many before. */
	journal_drop_xorbs(j, &t.digest);
	buf_clear(&records);
	put_xorb(&records, 100, XORB_CHUNKS_MAX, 8192);
	for (unsigned i = 0; i < 9; i++)
		journal_put_xorb(j, &t.digest, buf_str(&records));
	journal_xorbs(j, &t.digest, &earlier);
	f = xetup_begin(t.x, 100 * xorb, NULL, &earlier);
	take_earlier(f);
	CHECK(f->earlier_bytes == 6 * xorb);
	take_full(t.x, &f->told, &full);
	CHECK(full.len == 6 * records.len && !f->told.len);
	buf_release(&full);
	take_earlier(f);
	CHECK(f->earlier_bytes == 9 * xorb);
	xetup_end(f);

	/* Of several files they become many together. */
	for (size_t i = 0; i < countof(other); i++)
		other[i] = xetup_begin(t.x, 100 * xorb, NULL, &no_pieces);
	journal_xorbs(j, &t.digest, &earlier);
	f = xetup_begin(t.x, 100 * xorb, NULL, &earlier);
	take_earlier(f);
	CHECK(f->earlier_bytes == xorb);
	take_full(t.x, &f->told, &full);
	CHECK(full.len == records.len && !f->told.len);
	buf_release(&full);
	xetup_end(f);
	for (size_t i = 0; i < countof(other); i++)
		xetup_end(other[i]);
	journal_close(j);
	buf_release(&records);
	teardown(&t);
}

/* Gives the index an answer of that many xorbs of a chunk each. */
static void
answer(struct bench *t, unsigned seed, unsigned n, uint32_t chunks,
    unsigned char key)
{
	struct buf b = buf_make(SHARD_MAX);
	struct shard s;
	struct err e;

	shard_begin(&b);
	shard_end(&b);
	for (unsigned i = 0; i < n; i++)
		put_xorb(&b, seed + i, chunks, 9000);
	shard_end(&b);
	CHECK(!shard_parse(buf_str(&b), &s, &e));
	s.key.b[0] = key;
	learn_shard(t->x, &s, true);
	buf_release(&b);
}

/* Answers that name ever more xorbs cost no more memory. */
static void
test_endless_answers(void)
{
	struct bench t;

	setup(&t);
	answer(&t, 1, 1000, 0, 0);
	CHECK(t.x->names == 1);
	for (unsigned i = 0; i < 5; i++) {
		answer(&t, 1, 1, 3, 0);
		CHECK(t.x->names == 2 && t.x->told == 1);
	}
	for (unsigned i = 0; i < 7; i++)
		answer(&t, 100 + 20000 * i, 20000, 1, 0);
	CHECK(t.x->told == TOLD_MAX && t.x->names == TOLD_MAX + 1);
	teardown(&t);
}

/* The newest keys are those that count. */
static void
test_keys(void)
{
	struct shard s = {.records = {"", 0}};
	struct bench t;
	struct xethash h = {{5}}, name;

	setup(&t);
	for (unsigned char i = 1; i < 10; i++) {
		unsigned key;

		s.key.b[0] = i;
		key = key_of(t.x, &s);
		CHECK_ROW(i, key > 0 && key < KEYS && key == key_of(t.x, &s));
		CHECK_ROW(i, t.x->key[key].key.b[0] == i);
		xethash_keyed(&h, &s.key, &name);
		learn(t.x, &name, key,
		    add_name(t.x, &(struct named){.state = NAMED_STORED}), i);
		CHECK_ROW(
		    i, find(t.x, &h) && (i > 1 || find(t.x, &h)->chunk == i));
	}
	s.expires = client_time(t.client);
	CHECK(key_of(t.x, &s) == KEYS);
	teardown(&t);
}

/* After a doubt no answer counts, not even one that was under way. */
static void
test_doubt(void)
{
	struct bench t;
	struct xetup_file *f;
	const struct piece first = {.at = 0};

	setup(&t);
	t.x->silent = 0;
	make(&t, "1");
	f = xetup_begin(t.x, t.size, NULL, &no_pieces);
	answer(&t, 7, 1, 1, 0);
	CHECK(t.x->told == 1 && is_worth_asking(f, &first));
	xetup_again(f, true);
	answer(&t, 8, 1, 1, 0);
	CHECK(t.x->told == 1 && !is_worth_asking(f, &first));
	xetup_end(f);
	teardown(&t);
}

static void
nothing(void *ctx)
{
	(void)ctx;
}

static int
read_file(void *ctx, void *p, size_t n, uint64_t at, struct err *e)
{
	const struct bench *t = ctx;

	return file_pread(t->fd, p, n, at, "file", e);
}

static int
count_sent(void *ctx, size_t n, struct err *e)
{
	struct bench *t = ctx;

	(void)e;
	t->sent += n;
	return 0;
}

static int
unchanged(void *ctx, struct err *e)
{
	struct bench *t = ctx;

	(void)e;
	t->checked++;
	return 0;
}

/* What is sent of a xorb, twice, in pieces of that size at most, unpacks to what
 * the file has. Returns its length. */
static uint64_t
send_xorb(struct bench *t, const struct xorb *xorb, size_t piece)
{
	struct xetup_source source = {
	    nothing, read_file, count_sent, unchanged, t, false};
	struct sending s = {
	    .xorb = xorb, .source = &source, .length = length_of(xorb)};
	unsigned char *bytes = xmalloc(piece), *want = xmalloc(CHUNK_MAX);
	struct unpacker u;
	size_t n, used;
	struct str chunk;
	struct err e;

	unpacker_init(&u);
	CHECK(xorb->scheme == ENTRY_STORED || !pack_xorb(&s, &e));
	for (unsigned try = 0; try < 2; try++) {
		size_t i = 0;

		t->sent = t->checked = 0;
		for (uint64_t at = 0; at < s.length; at += n) {
			CHECK(!read_xorb(&s, at, bytes, piece, &n, &e) && n);
			CHECK(s.whole == (at + n == s.length));
			for (size_t k = 0; k < n; k += used) {
				CHECK(!unpacker_take(
				    &u, bytes + k, n - k, &used, &chunk, &e));
				if (!chunk.n)
					continue;
				CHECK(chunk.n == xorb->piece[i].size);
				CHECK(!read_file(
				    t, want, chunk.n, xorb->piece[i].at, &e));
				CHECK(!memcmp(want, chunk.s, chunk.n));
				i++;
			}
		}
		CHECK(i == xorb->pieces && unpacker_is_between(&u));
		CHECK(t->sent == xorb->size && t->checked == 1);
	}
	unpacker_release(&u);
	free(s.packing);
	free(want);
	free(bytes);
	return s.length;
}

/* What becomes smaller is in xorbs of its own, for which there is memory. */
static void
test_packed(void)
{
	struct bench t;
	struct xetup_file *f;
	uint64_t kept, packed = 0, stored = 0, length = 0;
	struct xorb *xorb;
	struct buf full;
	struct err e;

	setup(&t);
	make(&t, "12abcdef34");
	f = xetup_begin(t.x, t.size, NULL, &no_pieces);
	while (!xetup_is_planned(f)) {
		CHECK(!xetup_plan(f, t.fd, "file", &xorb, &kept, &full, &e));
		if (!xorb)
			continue;
		if (xorb->scheme == ENTRY_STORED) {
			stored += xorb->size;
			CHECK(send_xorb(&t, xorb, 700001) == length_of(xorb));
		} else {
			CHECK(xorb->scheme == ENTRY_BG4);
			CHECK(length_of(xorb) <= PACKED_MAX);
			packed += xorb->size;
			length += send_xorb(&t, xorb, 65536);
		}
		xetup_stored(f, xorb, &full);
	}
	/* The kind changes after up to SAMPLED chunks. */
	CHECK(packed > 4000000 && stored > 2000000);
	CHECK(length < packed * 4 / 5);
	xetup_end(f);
	t.x->packs = false;
	make(&t, "ghi");
	f = xetup_begin(t.x, t.size, NULL, &no_pieces);
	plan(&t, f, &kept, &xorb);
	CHECK(xorb->scheme == ENTRY_STORED && xorb->size == t.size);
	xetup_drop(t.x, xorb);
	xetup_end(f);
	teardown(&t);
}

/* A file of ever the same chunk gets many terms: what follows them is sent again,
 * packed, as long as that does not need too many more. */
static void
test_many_terms(void)
{
	static const struct {
		size_t terms;
		bool known;
		enum entry_scheme scheme;
	} rows[] = {{TERMS_MAX - 2, true, 0}, {TERMS_MAX, false, ENTRY_LZ4},
	    {2 * TERMS_MAX - 2, false, ENTRY_LZ4},
	    {2 * TERMS_MAX, false, ENTRY_STORED}};

	for (size_t i = 0; i < countof(rows); i++) {
		struct bench t;
		struct plan p = {.name = "file"};
		struct piece zeros = {.size = CHUNK_MAX};
		struct err e;

		setup(&t);
		make(&t, "0");
		p.f = xetup_begin(t.x, t.size, NULL, &no_pieces);
		p.fd = t.fd;
		put_chunk(p.f, &zeros);
		free(p.f->term);
		p.f->term = xcalloc(2 * TERMS_MAX, sizeof(p.f->term[0]));
		p.f->terms = rows[i].terms;
		put_ahead(p.f, &zeros);
		CHECK_ROW(i, !place_chunk(&p, &e));
		CHECK_ROW(i, (p.kept > 0) == rows[i].known);
		CHECK_ROW(i, p.f->open->scheme == rows[i].scheme);
		if (p.xorb)
			xetup_drop(t.x, p.xorb);
		free(p.packing);
		xetup_end(p.f);
		teardown(&t);
	}
}

static void
test_another_hash(void)
{
	struct bench t;
	struct xetup_file *f;
	struct xorb *xorb;
	struct buf full;
	uint64_t kept;
	struct err e = {.kind = ERR_NONE};

	setup(&t);
	make(&t, "1");
	t.digest.b[0] ^= 1;
	f = xetup_begin(t.x, t.size, &t.digest, &no_pieces);
	CHECK(!xetup_plan(f, t.fd, "file", &xorb, &kept, &full, &e) && xorb);
	xetup_drop(t.x, xorb);
	CHECK(xetup_plan(f, t.fd, "file", &xorb, &kept, &full, &e) < 0 &&
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
		CHECK_ROW(i, over || end == FETCH_FAILED);
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
	test_large_earlier();
	test_endless_answers();
	test_keys();
	test_doubt();
	test_packed();
	test_many_terms();
	test_another_hash();
	test_index();
	test_events();
	return test_end();
}
