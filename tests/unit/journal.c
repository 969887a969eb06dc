
#include "../../journal.c"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "batch.h"
#include "err.h"
#include "file.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"

#define PLACE "/.cache/huggingface/upload/journal"

/* A source, and a state folder beside it. */
struct bench {
	char root[SCRATCH_PATH];
	char *source, *state, *file;
	struct folder folder;
	struct journal_opts o;
};

static char *
join(const char *a, const char *b)
{
	struct buf t = buf_make(4096);

	buf_puts(&t, a);
	buf_puts(&t, b);
	return buf_detach(&t);
}

static void
setup(struct bench *b)
{
	struct err e;

	scratch_make(b->root);
	b->source = join(b->root, "/source");
	b->state = join(b->root, "/state/hub");
	b->file = join(b->source, PLACE);
	CHECK(!folder_open(&b->folder, b->source, true, &e));
	b->o = (struct journal_opts){
	    &b->folder, b->state, "https://hub", "model", "a/b"};
}

static void
teardown(struct bench *b)
{
	folder_close(&b->folder);
	scratch_remove(b->root);
	free(b->source);
	free(b->state);
	free(b->file);
}

static struct digest
digest(const char *hex)
{
	struct digest d;

	CHECK(!digest_parse(str_of(hex), &d));
	return d;
}

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define GIT "cccccccccccccccccccccccccccccccccccccccc"

#define SOME "dir/some"
static const struct stamp some = {
    10, INT64_C(1000000000000000005), INT64_C(1000000000000000006), 77, 3};

/* Whether the hash of the file is known to be that. */
static bool
is_known(struct journal *j, const char *path, const struct stamp *stamp,
    const struct digest *want)
{
	struct digest got;

	return journal_hash(j, path, stamp, want->kind, &got) &&
	       digest_same(&got, want);
}

static void
test_hashes(void)
{
	struct digest a = digest(A), b = digest(B), git = digest(GIT), got;
	struct stamp other = some, f;
	struct journal *j;
	struct bench t;
	struct stat st;

	setup(&t);
	other.mtime = -5;
	j = journal_open(&t.o);
	CHECK(!journal_why(j));
	CHECK(!journal_hash(j, SOME, &some, HASH_SHA256, &got));
	journal_put_hash(j, SOME, &some, &b);
	journal_put_hash(j, SOME, &some, &git);
	journal_put_hash(j, SOME, &some, &a);
	journal_put_hash(j, "other", &other, &b);
	journal_close(j);
	CHECK(!stat(t.file, &st) && (st.st_mode & 0777) == 0600);

	/* Twice: from what was appended, and from what was written anew. */
	for (int i = 0; i < 2; i++) {
		j = journal_open(&t.o);
		CHECK(is_known(j, "other", &other, &b));
		CHECK(!journal_hash(j, "other", &other, HASH_GIT, &got));
		CHECK(is_known(j, SOME, &some, &a));
		CHECK(is_known(j, SOME, &some, &git));
		CHECK(!journal_hash(j, "dir/som", &some, HASH_SHA256, &got));
		for (int field = 0; field < 5; field++) {
			f = some;
			f.size += field == 0;
			f.mtime += field == 1;
			f.ctime += field == 2;
			f.inode += field == 3;
			f.device += field == 4;
			CHECK_ROW(field,
			    !journal_hash(j, SOME, &f, HASH_SHA256, &got));
		}
		journal_close(j);
	}
	teardown(&t);
}

/* One that turned out to be wrong is not believed again; the others are. */
static void
test_forgotten(void)
{
	struct digest a = digest(A), git = digest(GIT), got;
	struct journal *j;
	struct bench t;

	setup(&t);
	j = journal_open(&t.o);
	journal_put_hash(j, SOME, &some, &a);
	journal_put_hash(j, SOME, &some, &git);
	journal_put_hash(j, "other", &some, &a);
	journal_forget_hash(j, SOME, HASH_SHA256);
	journal_close(j);
	for (int i = 0; i < 2; i++) {
		j = journal_open(&t.o);
		CHECK(!journal_hash(j, SOME, &some, HASH_SHA256, &got));
		CHECK(is_known(j, SOME, &some, &git));
		CHECK(is_known(j, "other", &some, &a));
		journal_close(j);
	}
	j = journal_open(&t.o);
	journal_put_hash(j, SOME, &some, &a);
	journal_close(j);
	j = journal_open(&t.o);
	CHECK(is_known(j, SOME, &some, &a));
	journal_close(j);
	teardown(&t);
}

/* What was changed this instant may change again: its time is too young, be it
 * that of the content or that of the inode. */
static void
test_unsettled(void)
{
	int64_t s = INT64_C(1000000000), now = (int64_t)time(NULL) * s;
	const struct {
		int64_t time;
		bool known;
	} rows[] = {
	    {now + s + 1, false},
	    {now, false},              /* coarse, without fractions */
	    {now + 1000000 * s, true}, /* set by hand */
	    {now - 10 * s, true},
	    {INT64_MIN, true},
	    {INT64_MAX, true},
	};
	struct digest a = digest(A), got;
	struct journal *j;
	struct bench t;
	char name[8];

	setup(&t);
	for (int pass = 0; pass < 2; pass++) {
		j = journal_open(&t.o);
		for (size_t i = 0; i < 2 * countof(rows); i++) {
			struct stamp f = some;

			*(i % 2 ? &f.ctime : &f.mtime) = rows[i / 2].time;
			snprintf(name, sizeof(name), "%zu", i);
			if (!pass)
				journal_put_hash(j, name, &f, &a);
			else
				CHECK_ROW(
				    i, journal_hash(j, name, &f, HASH_SHA256,
					   &got) == rows[i / 2].known);
		}
		journal_close(j);
	}
	teardown(&t);
}

static struct multipart
upload(uint64_t lasts)
{
	struct multipart m;

	CHECK(!multipart_init(&m, 25, 10));
	m.complete = xstrdup("https://hub/complete?uploadId=1");
	m.verify = xstrdup("https://hub/verify");
	m.url[0] = xstrdup("https://s3/1");
	m.url[1] = xstrdup("https://s3/2");
	m.url[2] = xstrdup("https://s3/3");
	m.expires = lasts ? (uint64_t)time(NULL) + lasts : 0;
	return m;
}

/* What the next run knows of A's upload: the parts that arrived, from 1, "" for
 * none, NULL if there is no upload. */
static bool
knows(struct bench *t, const char *arrived)
{
	struct journal *j = journal_open(&t->o);
	struct digest a = digest(A);
	struct buf got = buf_make(100);
	struct multipart m;
	bool ok, there;

	CHECK(!journal_take_multipart(j, &a, 24, &m));
	there = journal_take_multipart(j, &a, 25, &m);
	for (size_t i = 0; there && i < m.count; i++)
		if (m.etag[i])
			buf_printf(&got, "%zu%s", i + 1, m.etag[i]);
	ok = there ? arrived && !strcmp(buf_cstr(&got), arrived) : !arrived;
	if (there) {
		CHECK(m.size == 25 && m.chunk == 10 && m.count == 3);
		CHECK(!strcmp(m.complete, "https://hub/complete?uploadId=1"));
		CHECK(!strcmp(m.verify, "https://hub/verify"));
		CHECK(!strcmp(m.url[2], "https://s3/3"));
		CHECK(m.expires > (uint64_t)time(NULL));
		multipart_release(&m);
		/* It is the taker's. */
		CHECK(!journal_take_multipart(j, &a, 25, &m));
	}
	buf_release(&got);
	journal_close(j);
	return ok;
}

static void
test_multipart(void)
{
	struct multipart m = upload(1000);
	struct digest a = digest(A), b = digest(B);
	struct journal *j;
	struct bench t;

	setup(&t);
	CHECK(knows(&t, NULL));
	j = journal_open(&t.o);
	journal_put_part(j, &a, 0, "\"before\"");
	journal_put_multipart(j, &a, &m);
	journal_put_multipart(j, &b, &m);
	journal_close(j);
	CHECK(knows(&t, "") && knows(&t, ""));

	j = journal_open(&t.o);
	journal_put_part(j, &a, 2, "\"three\"");
	journal_put_part(j, &b, 1, "\"other\"");
	journal_put_part(j, &a, 0, "\"one\"");
	journal_put_part(j, &a, 3, "\"beyond\"");
	journal_close(j);
	CHECK(knows(&t, "1\"one\"3\"three\""));
	t.o.id = "a/c";
	CHECK(knows(&t, NULL));
	t.o.id = "a/b";
	CHECK(knows(&t, "1\"one\"3\"three\""));

	/* Anew: what had arrived belongs to the one before. */
	j = journal_open(&t.o);
	m.etag[1] = xstrdup("\"new\"");
	journal_put_multipart(j, &a, &m);
	journal_close(j);
	CHECK(knows(&t, "2\"new\""));
	j = journal_open(&t.o);
	journal_drop_multipart(j, &a);
	journal_drop_multipart(j, &a);
	journal_put_part(j, &a, 0, "\"late\"");
	journal_close(j);
	CHECK(knows(&t, NULL));
	multipart_release(&m);
	teardown(&t);
}

static void
test_lapsed(void)
{
	static const struct {
		uint64_t lasts;
		const char *known;
	} rows[] = {{0, ""}, {30, NULL}, {200, ""}};

	for (size_t i = 0; i < countof(rows); i++) {
		struct multipart m = upload(rows[i].lasts);
		struct digest a = digest(A);
		struct journal *j;
		struct bench t;

		setup(&t);
		j = journal_open(&t.o);
		journal_put_multipart(j, &a, &m);
		journal_close(j);
		CHECK_ROW(i, knows(&t, rows[i].known));
		multipart_release(&m);
		teardown(&t);
	}
}

/* Uploads of one run keep apart from those of the run before. */
static void
test_numbers(void)
{
	static const char *const oid[] = {A, B};
	struct multipart m = upload(1000), got;
	struct digest d;
	struct journal *j;
	struct bench t;

	setup(&t);
	for (size_t i = 0; i < 2; i++) {
		j = journal_open(&t.o);
		d = digest(oid[i]);
		journal_put_multipart(j, &d, &m);
		journal_put_part(j, &d, i, "\"tag\"");
		journal_close(j);
	}
	j = journal_open(&t.o);
	for (size_t i = 0; i < 2; i++) {
		d = digest(oid[i]);
		CHECK_ROW(i, journal_take_multipart(j, &d, 25, &got));
		CHECK_ROW(i, got.etag[i] && !got.etag[!i] && !got.etag[2]);
		multipart_release(&got);
	}
	journal_close(j);
	multipart_release(&m);
	teardown(&t);
}

/* Appends a line to the journal. */
static void
append(const struct bench *t, const struct record *r)
{
	struct buf b = buf_make(4096);
	FILE *f = fopen(t->file, "a");

	CHECK(!record_put(&b, r) && f && fputs(b.s, f) >= 0 && !fclose(f));
	buf_release(&b);
}

/* A journal that knows one of each. */
static void
fill(struct bench *t)
{
	struct journal *j = journal_open(&t->o);
	struct multipart m = upload(1000);
	struct digest a = digest(A);

	journal_put_hash(j, SOME, &some, &a);
	journal_put_multipart(j, &a, &m);
	journal_put_part(j, &a, 0, "\"one\"");
	journal_close(j);
	multipart_release(&m);
}

static int
known(struct bench *t)
{
	struct journal *j = journal_open(&t->o);
	struct digest a = digest(A), got;
	struct multipart m;
	int n = 0;

	CHECK(!journal_why(j));
	n += journal_hash(j, SOME, &some, HASH_SHA256, &got);
	if (journal_take_multipart(j, &a, 25, &m)) {
		n += m.etag[0] ? 2 : 1;
		multipart_release(&m);
	}
	journal_close(j);
	return n;
}

#define HOUR 3600

/* How long a hash is believed; age in seconds. */
static void
test_ages(void)
{
	static const struct {
		int64_t age;
		bool hashed;
	} rows[] = {{0, true}, {89 * 24 * HOUR, true}, {90 * 24 * HOUR, false},
	    {-HOUR, false}};

	for (size_t i = 0; i < countof(rows); i++) {
		struct record r = {.kind = RECORD_HASH, .size = 9};
		struct stamp f = {9, 0, 0, 0, 0};
		struct journal *j;
		struct digest got;
		struct bench t;
		struct hash h;

		setup(&t);
		fill(&t);
		r.digest = digest(B);
		r.time = (uint64_t)((int64_t)time(NULL) - rows[i].age);
		hash_init(&h, HASH_SHA256, 0);
		hash_update(&h, "file", 5);
		hash_final(&h, &got);
		memcpy(r.key, got.b, RECORD_KEY);
		append(&t, &r);
		j = journal_open(&t.o);
		CHECK_ROW(i, journal_hash(j, "file", &f, HASH_SHA256, &got) ==
				 rows[i].hashed);
		journal_close(j);
		teardown(&t);
	}
}

static void
edit(const struct bench *t, long cut, long at)
{
	int fd = open(t->file, O_RDWR);
	char c;

	if (cut >= 0)
		CHECK(!ftruncate(fd, cut));
	if (at >= 0) {
		CHECK(pread(fd, &c, 1, at) == 1);
		c ^= 1;
		CHECK(pwrite(fd, &c, 1, at) == 1);
	}
	close(fd);
}

static long
length(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -1 : (long)st.st_size;
}

/* Cut anywhere, it opens and knows no more than before. */
static void
test_cut(void)
{
	int last = 3;

	for (long cut = -1; last > 0; cut -= 37) {
		struct bench t;
		long n;
		int now;

		setup(&t);
		fill(&t);
		n = length(t.file);
		edit(&t, n + cut > 0 ? n + cut : 0, -1);
		now = known(&t);
		CHECK_ROW(cut, now <= last);
		CHECK_ROW(cut, known(&t) == now);
		last = n + cut > 0 ? now : 0;
		CHECK_ROW(cut, n + cut > 0 || now == 0);
		teardown(&t);
	}
}

/* One wrong byte costs one line; in the first, all. */
static void
test_flipped(void)
{
	unsigned less = 0, tries = 0;

	for (long at = 0, n = 1; at < n; at += 29, tries++) {
		struct bench t;
		int now;

		setup(&t);
		fill(&t);
		n = length(t.file);
		edit(&t, -1, at);
		now = known(&t);
		CHECK_ROW(at, at < 15 ? now == 0 : now >= 1);
		less += now < 3;
		teardown(&t);
	}
	/* Only the address to verify can be missed. */
	CHECK(tries > 15 && less + 2 >= tries);
}

/* What is no journal is set aside, and one that was written elsewhere is
 * none. */
static void
test_foreign(void)
{
	static const char *const texts[] = {
	    "hello\n", "\n", "no end", "{}\n", "00000000 J 1\n"};
	char *copy, *old, *command, *more;
	struct bench t;

	for (size_t i = 0; i < countof(texts); i++) {
		setup(&t);
		old = join(t.file, ".old");
		fill(&t);
		scratch_write(t.file, texts[i]);
		CHECK_ROW(i, known(&t) == 0);
		CHECK_ROW(i, length(old) == (long)strlen(texts[i]));
		fill(&t);
		CHECK_ROW(i, known(&t) == 3);
		free(old);
		teardown(&t);
	}
	setup(&t);
	fill(&t);
	copy = join(t.file, ".copy");
	command = join("cd $(dirname '", t.file);
	more = join(command, "') && cp -p journal x && mv x journal");
	CHECK(!system(more));
	CHECK(known(&t) == 0);
	free(command);
	free(more);
	/* A symbolic link is not followed. */
	fill(&t);
	CHECK(!rename(t.file, copy) && !symlink(copy, t.file));
	CHECK(known(&t) == 0 && length(copy) >= 0);
	free(copy);
	/* Nor is a pipe waited for. */
	CHECK(!unlink(t.file) && !mkfifo(t.file, 0600));
	CHECK(known(&t) == 0);
	teardown(&t);
}

/* The second of two runs reads, and does no harm. */
static void
test_two(void)
{
	struct digest a = digest(A), b = digest(B), got;
	struct journal *first, *second;
	struct multipart m;
	struct bench t;

	setup(&t);
	fill(&t);
	first = journal_open(&t.o);
	second = journal_open(&t.o);
	CHECK(strstr(journal_why(second), "another"));
	CHECK(journal_hash(second, SOME, &some, HASH_SHA256, &got));
	CHECK(!journal_take_multipart(second, &a, 25, &m));
	journal_put_hash(second, "x", &some, &a);
	journal_put_hash(first, "x", &some, &b);
	journal_close(second);
	journal_close(first);
	CHECK(known(&t) == 3);
	first = journal_open(&t.o);
	CHECK(is_known(first, "x", &some, &b));
	journal_close(first);
	teardown(&t);
}

/* A file where a folder would have to be keeps everybody out, root too. */
static void
test_elsewhere(void)
{
	char *blocked, *blocked_state;
	struct journal *j;
	struct bench t;

	setup(&t);
	blocked = join(t.source, "/.cache");
	blocked_state = join(t.root, "/state");
	scratch_write(blocked, "");
	j = journal_open(&t.o);
	CHECK(!journal_why(j));
	journal_close(j);
	fill(&t);
	CHECK(known(&t) == 3);
	t.o.state = NULL;
	j = journal_open(&t.o);
	CHECK(*journal_why(j));
	journal_put_hash(j, SOME, &some, &(struct digest){0});
	journal_close(j);
	t.o.state = blocked;
	j = journal_open(&t.o);
	CHECK(*journal_why(j));
	journal_close(j);
	free(blocked);
	free(blocked_state);
	teardown(&t);
}

/* More than one piece to read and write. */
static void
test_many(void)
{
	struct digest a = digest(A), got;
	struct stamp f = some;
	struct journal *j;
	struct bench t;
	char name[20];
	bool all = true;
	long first = 0;

	setup(&t);
	for (int round = 0; round < 3; round++) {
		j = journal_open(&t.o);
		for (unsigned i = 0; i < 2000; i++) {
			snprintf(name, sizeof(name), "%u", i);
			f.size = i;
			if (round)
				all = journal_hash(
					  j, name, &f, HASH_SHA256, &got) &&
				      all;
			journal_put_hash(j, name, &f, &a);
		}
		journal_close(j);
		CHECK(all);
		if (!round)
			first = length(t.file);
	}
	/* Each run leaves out what the one before had twice. */
	CHECK(length(t.file) < 2 * first + 100);
	teardown(&t);
}

int
main(void)
{
	test_hashes();
	test_forgotten();
	test_unsettled();
	test_multipart();
	test_lapsed();
	test_numbers();
	test_ages();
	test_cut();
	test_flipped();
	test_foreign();
	test_two();
	test_elsewhere();
	test_many();
	return test_end();
}
