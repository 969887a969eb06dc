
#include "../../journal.c"

#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "str.h"
#include "tests/unit/test.h"

#define DAY ((uint64_t)24 * 3600)
#define NOW (1000 * DAY)

static const unsigned char key[RECORD_KEY] = "key";
static const unsigned char other[RECORD_KEY] = "other";

static struct digest
digest(enum hash_kind kind, unsigned char c)
{
	struct digest d = {.kind = kind};

	d.b[0] = c;
	return d;
}

static struct record
hashed(const unsigned char *k, uint64_t time, struct digest d)
{
	struct record r = {.kind = RECORD_HASH,
	    .size = 5,
	    .mtime = 6,
	    .ctime = 7,
	    .inode = 8,
	    .device = 9,
	    .time = time,
	    .digest = d};

	memcpy(r.key, k, RECORD_KEY);
	return r;
}

static struct ledger
ledger_of(const struct record *r, size_t n)
{
	struct ledger l = {.next = 0};

	for (size_t i = 0; i < n; i++)
		ledger_take(&l, &r[i]);
	ledger_settle(&l, NOW);
	return l;
}

static void
test_hash(void)
{
	const struct record in[] = {
	    hashed(other, NOW, digest(HASH_SHA256, 'o')),
	    hashed(key, NOW, digest(HASH_SHA256, 'a')),
	    hashed(key, NOW, digest(HASH_GIT, 'g')),
	    hashed(key, NOW - 1, digest(HASH_SHA256, 'b')), /* the last one */
	};
	struct ledger l = ledger_of(in, countof(in));
	struct record want = hashed(key, 0, digest(HASH_SHA256, 0)), w;
	struct digest found;

	CHECK(ledger_hash(&l, &want, &found) && found.b[0] == 'b');
	want.digest.kind = HASH_GIT;
	CHECK(ledger_hash(&l, &want, &found) && found.b[0] == 'g');
	w = want;
	w.size++;
	CHECK(!ledger_hash(&l, &w, &found));
	w = want;
	w.mtime++;
	CHECK(!ledger_hash(&l, &w, &found));
	w = want;
	w.ctime++;
	CHECK(!ledger_hash(&l, &w, &found));
	w = want;
	w.device++;
	CHECK(!ledger_hash(&l, &w, &found));
	w = want;
	w.inode++;
	CHECK(!ledger_hash(&l, &w, &found));
	w = want;
	w.key[0]++;
	CHECK(!ledger_hash(&l, &w, &found));
	ledger_release(&l);
	CHECK(!ledger_hash(&l, &want, &found));
	ledger_release(&l);
}

/* A hash is known for 90 days. */
static void
test_age(void)
{
	static const struct {
		uint64_t time;
		bool known;
	} rows[] = {
	    {NOW, true}, {NOW - 90 * DAY + 1, true}, {NOW - 90 * DAY, false},
	    {0, false}, {NOW + 1, false}, /* from the future */
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct digest d = digest(HASH_SHA256, 'd');
		const struct record in = hashed(key, rows[i].time, d);
		struct ledger l = ledger_of(&in, 1);

		CHECK_ROW(i, ledger_hash(&l, &in, &d) == rows[i].known);
		ledger_release(&l);
	}
}

/* An upload of 15 bytes in parts of 10, as records. */
static struct ledger
upload(bool second_url, uint64_t expires)
{
	struct record r[] = {
	    {.kind = RECORD_UPLOAD,
		.size = 15,
		.chunk = 10,
		.expires = expires},
	    {.kind = RECORD_PART, .part = 1, .text = str_of("u1")},
	    {.kind = RECORD_PART, .part = 2, .text = str_of("u2")},
	    {.kind = RECORD_PART, .part = 3, .text = str_of("u3")},
	    {.kind = RECORD_PART, .part = 0, .text = str_of("u0")},
	    {.kind = RECORD_ETAG, .part = 1, .text = str_of("e1")},
	    {.kind = RECORD_VERIFY, .text = str_of("v")},
	};

	for (size_t i = 0; i < countof(r); i++)
		r[i].upload = 42;
	memcpy(r[0].key, key, RECORD_KEY);
	r[0].digest = digest(HASH_SHA256, 'u');
	r[0].text = str_of("c");
	if (!second_url)
		r[2].upload++; /* of none that is known */
	return ledger_of(r, countof(r));
}

static void
test_take(void)
{
	struct ledger l = upload(true, NOW + 61);
	struct digest d = digest(HASH_SHA256, 'u');
	struct digest e = digest(HASH_SHA256, 'e');
	struct multipart m;
	uint64_t n = 0;

	CHECK(ledger_upload(&l, key, &d, &n) && n == 42);
	CHECK(!ledger_upload(&l, other, &d, &n));
	CHECK(!ledger_upload(&l, key, &e, &n));
	CHECK(!ledger_take_upload(&l, key, &d, 16, &m));
	CHECK(!ledger_take_upload(&l, other, &d, 15, &m));
	CHECK(ledger_take_upload(&l, key, &d, 15, &m));
	CHECK(
	    m.count == 2 && !strcmp(m.url[0], "u1") && !strcmp(m.url[1], "u2"));
	CHECK(!strcmp(m.etag[0], "e1") && !m.etag[1]);
	CHECK(!strcmp(m.complete, "c") && !strcmp(m.verify, "v"));
	CHECK(m.expires == NOW + 61);
	multipart_release(&m);
	CHECK(!ledger_take_upload(&l, key, &d, 15, &m));
	CHECK(ledger_upload(&l, key, &d, &n) && n == 42);
	ledger_end_upload(&l, 41);
	CHECK(ledger_upload(&l, key, &d, &n));
	ledger_end_upload(&l, 42);
	CHECK(!ledger_upload(&l, key, &d, &n));
	ledger_release(&l);
}

/* A content has one upload, the last one. */
static void
test_twice(void)
{
	struct digest d = digest(HASH_SHA256, 'u');
	struct ledger l = {.next = 0};
	struct record r = {.kind = RECORD_UPLOAD, .size = 15, .chunk = 10};
	uint64_t n = 0;

	memcpy(r.key, key, RECORD_KEY);
	r.digest = d;
	for (r.upload = 7; r.upload < 10; r.upload++)
		ledger_take(&l, &r);
	CHECK(ledger_upload(&l, key, &d, &n) && n == 9);
	ledger_end_upload(&l, 9);
	CHECK(!ledger_upload(&l, key, &d, &n));
	ledger_release(&l);
}

/* What is not whole, or lapses soon, is no use. */
static void
test_unusable(void)
{
	struct digest d = digest(HASH_SHA256, 'u');
	struct ledger l = upload(true, NOW + 60);
	uint64_t n;

	CHECK(!ledger_upload(&l, key, &d, &n));
	ledger_release(&l);
	l = upload(false, NOW + 1000);
	CHECK(!ledger_upload(&l, key, &d, &n));
	ledger_release(&l);
	l = upload(true, NOW + 1000);
	ledger_end_uploads(&l);
	CHECK(!ledger_upload(&l, key, &d, &n));
	ledger_release(&l);
}

/* What was written: one letter a record, with the number or part. */
static bool
wrote(struct writer *w, const char *want)
{
	struct buf found = buf_make(1000);
	struct str rest = buf_str(&w->b), line;
	struct record r;
	bool is;

	while (str_cut(rest, '\n', &line, &rest))
		if (record_parse(line, &r) == 0)
			buf_printf(&found, "%c%u.%u ", (int)r.kind,
			    (unsigned)r.upload, (unsigned)r.part);
	is = strcmp(buf_cstr(&found), want) == 0;
	buf_release(&found);
	buf_clear(&w->b);
	return is;
}

static void
test_put(void)
{
	struct digest d = digest(HASH_SHA256, 'u'), h = digest(HASH_GIT, 'h');
	struct record more = hashed(key, NOW, h);
	struct ledger l = upload(true, NOW + 1000);
	struct writer w = {-1, buf_make(WRITE_PIECE), false};
	struct multipart m;
	uint64_t n;

	ledger_take(&l, &more);
	ledger_put(&l, NOW, &w);
	CHECK(wrote(&w, "H0.0 U0.0 V0.0 P0.1 E0.1 P0.2 "));
	CHECK(ledger_upload(&l, key, &d, &n) && n == 0);
	CHECK(multipart_init(&m, 5, 10) == 0);
	m.complete = xstrdup("c");
	m.url[0] = xstrdup("u");
	ledger_begin_upload(&l, other, &d, &m, NOW, &w);
	CHECK(wrote(&w, "U1.0 P1.1 "));
	CHECK(ledger_upload(&l, other, &d, &n) && n == 1);
	multipart_release(&m);
	buf_release(&w.b);
	ledger_release(&l);
}

int
main(void)
{
	test_hash();
	test_age();
	test_take();
	test_twice();
	test_unusable();
	test_put();
	return test_end();
}
