
#include "../../journal.c"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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
	char *source, *state, *file, *parts;
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

	b->parts = NULL;
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
	free(b->parts);
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

static void fill(struct bench *t);

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
	fill(&t);
	CHECK(!stat(t.parts, &st) && (st.st_mode & 0777) == 0600);

	/* Twice: from what was appended, and from what was written anew. */
	for (int i = 0; i < 2; i++) {
		j = journal_open(&t.o);
		CHECK(is_known(j, "other", &other, &b));
		CHECK(!journal_hash(j, "other", &other, HASH_GIT, &got));
		CHECK(is_known(j, SOME, &some, &a));
		CHECK(is_known(j, SOME, &some, &git));
		CHECK(!journal_hash(j, "dir/som", &some, HASH_SHA256, &got));
		for (int field = 0; field < 4; field++) {
			f = some;
			f.size += field == 0;
			f.mtime += field == 1;
			f.ctime += field == 2;
			f.inode += field == 3;
			CHECK_ROW(field,
			    !journal_hash(j, SOME, &f, HASH_SHA256, &got));
		}
		/* It may be another after the next mount. */
		f = some;
		f.device++;
		CHECK(is_known(j, SOME, &f, &a));
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
	journal_forget_hash(j, SOME);
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
				CHECK_ROW(i, journal_put_hash(j, name, &f,
						 &a) == rows[i / 2].known);
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

	CHECK(!journal_get_multipart(j, &a, 24, &m));
	there = journal_get_multipart(j, &a, 25, &m);
	for (size_t i = 0; there && i < m.count; i++)
		if (m.etag[i])
			buf_printf(&got, "%zu%s", i + 1, m.etag[i]);
	ok = there ? arrived && !strcmp(buf_cstr(&got), arrived) : !arrived;
	if (there) {
		CHECK(m.size == 25 && m.chunk == 10 && m.count == 3);
		CHECK(!strcmp(m.complete, "https://hub/complete?uploadId=1"));
		CHECK(!m.verify);
		CHECK(!strcmp(m.url[2], "https://s3/3"));
		CHECK(m.expires > (uint64_t)time(NULL));
		multipart_release(&m);
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
	journal_put_part(j, &a, &m, 0, "\"before\"");
	journal_put_multipart(j, &a, &m);
	journal_put_multipart(j, &b, &m);
	journal_close(j);
	CHECK(knows(&t, "") && knows(&t, ""));

	j = journal_open(&t.o);
	journal_put_part(j, &a, &m, 2, "\"three\"");
	journal_put_part(j, &b, &m, 1, "\"other\"");
	journal_put_part(j, &a, &m, 0, "\"one\"");
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
	journal_put_part(j, &a, &m, 0, "\"late\"");
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

/* Another run has replaced the upload: the parts of this one are no parts of
 * that. */
static void
test_replaced(void)
{
	struct multipart m = upload(1000), other = upload(1000);
	struct digest a = digest(A);
	struct journal *j;
	struct bench t;

	setup(&t);
	j = journal_open(&t.o);
	journal_put_multipart(j, &a, &m);
	free(other.url[0]);
	other.url[0] = xstrdup("https://s3/other");
	journal_put_multipart(j, &a, &other);
	journal_put_part(j, &a, &m, 0, "\"one\"");
	CHECK(knows(&t, ""));
	journal_put_part(j, &a, &other, 0, "\"1\"");
	CHECK(knows(&t, "1\"1\""));
	journal_close(j);
	multipart_release(&m);
	multipart_release(&other);
	teardown(&t);
}

/* A single PUT is not saved, and without a journal there is nothing to do. */
static void
test_nothing(void)
{
	struct multipart m = upload(1000), got;
	struct digest a = digest(A);
	struct journal *j;
	struct bench t;

	setup(&t);
	journal_put_multipart(NULL, &a, &m);
	journal_put_part(NULL, &a, &m, 0, "\"one\"");
	journal_drop_multipart(NULL, &a);
	CHECK(!journal_get_multipart(NULL, &a, 25, &got));
	free(m.complete);
	m.complete = NULL;
	j = journal_open(&t.o);
	journal_put_multipart(j, &a, &m);
	journal_put_part(j, &a, &m, 0, "\"one\"");
	CHECK(!journal_get_multipart(j, &a, 25, &got));
	journal_close(j);
	journal_close(NULL);
	multipart_release(&m);
	teardown(&t);
}

/* All pieces, each with a blank behind it, are these. Closes them. */
static bool
are(struct journal_pieces *p, const char *want)
{
	struct buf b = buf_make(1000);
	bool same;

	while (journal_next(p, &b))
		buf_putc(&b, ' ');
	same = str_eq(buf_str(&b), want);
	journal_pieces_close(p);
	buf_release(&b);
	return same;
}

static bool
has_xorbs(const struct journal *j, const struct digest *d, const char *want)
{
	struct journal_pieces p;

	journal_xorbs(j, d, &p);
	return are(&p, want);
}

static bool
has_chunks(const struct journal *j, const char *want)
{
	struct journal_pieces p;

	journal_chunks(j, &p);
	return are(&p, want);
}

/* Appends to a file of pieces what a killed run may have left of one. */
static void
tear(const struct journal *j, const char *name, const char *text, size_t n)
{
	int fd = openat(j->dir.fd, name, O_WRONLY | O_APPEND);

	CHECK(fd >= 0 && write(fd, text, n) == (ssize_t)n && !close(fd));
}

/* Each piece, but a torn one, behind which others are found. */
static void
test_xorbs(void)
{
	static const struct {
		const char *text;
		size_t n;
	} torn[] = {{"1", 1}, {"1234\3\0\0\0", 8}, {"1234\3\0\0\0tor", 11},
	    {"1234\3\0\0\0torn", 12}, {"1234\0\0\0\0", 8},
	    {"1234\xff\xff\xff\xfftor", 11}};
	struct bench t;
	struct digest a = digest(A), b = digest(B);
	struct journal_pieces p;
	struct journal *j;
	char name[NAME_SIZE];
	struct buf one = buf_make(2), two = buf_make(3);

	for (size_t i = 0; i < countof(torn); i++) {
		setup(&t);
		j = journal_open(&t.o);
		CHECK(has_xorbs(j, &a, ""));
		journal_put_xorb(j, &a, str_of("one"));
		journal_put_xorb(j, &a, str_of("two"));
		CHECK(has_xorbs(j, &a, "one two "));
		CHECK(upload_name(j, &a, XORBS, name));
		tear(j, name, torn[i].text, torn[i].n);
		journal_close(j);
		j = journal_open(&t.o);
		CHECK_ROW(i, has_xorbs(j, &a, "one two "));
		journal_put_xorb(j, &a, str_of("three"));
		CHECK_ROW(i, has_xorbs(j, &a, "one two three "));
		CHECK(has_xorbs(j, &b, ""));
		journal_drop_xorbs(j, &a);
		CHECK(has_xorbs(j, &a, "") && has_xorbs(NULL, &a, ""));
		journal_put_xorb(NULL, &a, str_of("one"));
		journal_close(j);
		teardown(&t);
	}

	/* Those that were saved before it was opened; none without room. */
	setup(&t);
	j = journal_open(&t.o);
	journal_put_xorb(j, &a, str_of("one"));
	journal_xorbs(j, &a, &p);
	journal_put_xorb(j, &a, str_of("two"));
	CHECK(!journal_next(&p, &one) && journal_next(&p, &two));
	CHECK(str_eq(buf_str(&two), "one") && !journal_next(&p, &one));
	journal_pieces_close(&p);
	CHECK(!journal_next(&p, &two));
	journal_close(j);
	teardown(&t);
	buf_release(&one);
	buf_release(&two);
}

/* Each piece, but a torn one at the end; more than the limit drops the others. */
static void
test_chunks(void)
{
	struct bench t;
	struct journal *j;
	char *much = xcalloc(1, JOURNAL_CHUNKS_MAX / 2);
	struct journal_pieces p;
	char name[NAME_SIZE];

	setup(&t);
	j = journal_open(&t.o);
	CHECK(has_chunks(j, ""));
	journal_put_chunks(j, str_of("one"));
	journal_put_chunks(j, str_of(""));
	journal_put_chunks(j, str_of("two"));
	CHECK(chunks_name(j, name));
	tear(j, name, "1234\3\0\0\0tor", 11);
	CHECK(has_chunks(j, "one two "));
	journal_put_chunks(j, str_of("three"));
	CHECK(has_chunks(j, "one two three "));
	journal_put_chunks(j, str_make(much, JOURNAL_CHUNKS_MAX / 2));
	journal_put_chunks(j, str_make(much, JOURNAL_CHUNKS_MAX / 2));
	journal_chunks(j, &p);
	CHECK(p.end == PIECE_HEAD + JOURNAL_CHUNKS_MAX / 2);
	journal_pieces_close(&p);
	journal_drop_chunks(j);
	CHECK(has_chunks(j, "") && has_chunks(NULL, ""));
	journal_close(j);
	free(much);
	teardown(&t);
}

/* While the disk is full nothing is saved; what follows is found. */
static void
test_no_room(void)
{
	struct bench t;
	struct journal *j;
	struct digest a = digest(A);
	struct rlimit had, full;
	char name[NAME_SIZE];
	char *much = xcalloc(1, 1000);

	setup(&t);
	j = journal_open(&t.o);
	journal_put_xorb(j, &a, str_of("one"));
	CHECK(upload_name(j, &a, XORBS, name));
	CHECK(!getrlimit(RLIMIT_FSIZE, &had));
	full = had;
	full.rlim_cur = 100;
	signal(SIGXFSZ, SIG_IGN);
	CHECK(!setrlimit(RLIMIT_FSIZE, &full));
	journal_put_xorb(j, &a, str_make(much, 1000));
	CHECK(!setrlimit(RLIMIT_FSIZE, &had));
	journal_put_xorb(j, &a, str_of("two"));
	CHECK(has_xorbs(j, &a, "one two "));
	journal_close(j);
	free(much);
	teardown(&t);
}

/* A journal that knows one of each; its name for the upload of A. */
static void
fill(struct bench *t)
{
	struct journal *j = journal_open(&t->o);
	struct multipart m = upload(1000);
	struct digest a = digest(A);
	struct buf path = buf_make(4096);
	char name[NAME_SIZE];

	journal_put_hash(j, SOME, &some, &a);
	journal_put_multipart(j, &a, &m);
	journal_put_part(j, &a, &m, 0, "\"one\"");
	CHECK(upload_name(j, &a, PARTS, name));
	buf_printf(&path, "%s/%s", j->dir.path, name);
	free(t->parts);
	t->parts = buf_detach(&path);
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
	if (journal_get_multipart(j, &a, 25, &m)) {
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
		struct saved en;
		struct stamp f = {9, 0, 0, 0, 0};
		struct journal *j;
		struct digest got;
		struct bench t;

		setup(&t);
		fill(&t);
		j = journal_open(&t.o);
		en = make_entry(j, "file", HASH_SHA256);
		en.stamp = f;
		en.digest = digest(B);
		en.written = (uint64_t)((int64_t)time(NULL) - rows[i].age);
		append_entry(j, &en);
		journal_close(j);
		j = journal_open(&t.o);
		CHECK_ROW(i, journal_hash(j, "file", &f, HASH_SHA256, &got) ==
				 rows[i].hashed);
		journal_close(j);
		CHECK_ROW(i, known(&t) == 3);
		teardown(&t);
	}
}

static void
edit(const char *path, long cut, long at)
{
	int fd = open(path, O_RDWR);
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

/* Cut anywhere, it opens and knows no more than before; and what is saved then
 * is known. */
static void
test_cut(void)
{
	for (int parts = 0; parts < 2; parts++) {
		int last = 3;

		for (long cut = -1, n = 1; n + cut >= 0; cut -= 7) {
			struct bench t;
			int now;

			setup(&t);
			fill(&t);
			n = length(parts ? t.parts : t.file);
			edit(parts ? t.parts : t.file,
			    n + cut > 0 ? n + cut : 0, -1);
			now = known(&t);
			CHECK_ROW(cut, now < 3 && now <= last);
			CHECK_ROW(cut, known(&t) == now);
			last = now;
			fill(&t);
			CHECK_ROW(cut, known(&t) == 3);
			teardown(&t);
		}
		CHECK(last == (parts ? 1 : 2));
	}
}

/* One wrong byte costs one line. */
static void
test_flipped(void)
{
	for (int parts = 0; parts < 2; parts++)
		for (long at = 0, n = 1; at < n; at++) {
			struct bench t;
			int now;

			setup(&t);
			fill(&t);
			n = length(parts ? t.parts : t.file);
			edit(parts ? t.parts : t.file, -1, at);
			now = known(&t);
			CHECK_ROW(at, parts ? now == 1 || now == 2 : now == 2);
			teardown(&t);
		}
}

/* Whatever else has the name. */
static void
test_foreign(void)
{
	static const char *const texts[] = {
	    "hello\n", "\n", "no end", "{}\n", "00000000 J 1\n"};
	struct bench t;
	char *copy;

	for (size_t i = 0; i < countof(texts); i++) {
		setup(&t);
		fill(&t);
		scratch_write(t.file, texts[i]);
		scratch_write(t.parts, texts[i]);
		CHECK_ROW(i, known(&t) == 0);
		fill(&t);
		CHECK_ROW(i, known(&t) == 3);
		teardown(&t);
	}
	setup(&t);
	fill(&t);
	/* A symbolic link is not followed. */
	copy = join(t.file, ".copy");
	CHECK(!rename(t.file, copy) && !symlink(copy, t.file));
	CHECK(known(&t) == 2 && length(copy) >= 0);
	CHECK(!rename(t.parts, copy) && !symlink(copy, t.parts));
	CHECK(known(&t) == 0 && length(copy) >= 0);
	fill(&t);
	CHECK(known(&t) == 3);
	/* Nor is a pipe waited for. */
	CHECK(!unlink(t.file) && !mkfifo(t.file, 0600));
	CHECK(!unlink(t.parts) && !mkfifo(t.parts, 0600));
	CHECK(known(&t) == 0);
	fill(&t);
	CHECK(known(&t) == 3);
	if (geteuid() == 0) {
		CHECK(!chown(t.file, 1, 1) && known(&t) == 2);
		CHECK(!chown(t.parts, 1, 1) && known(&t) == 0);
	} else {
		printf("skipped: files of another user need root\n");
	}
	free(copy);
	teardown(&t);
}

/* Two runs at once: what both saved is there for the next one. */
static void
test_two(void)
{
	struct digest a = digest(A), b = digest(B);
	struct multipart m = upload(1000);
	struct journal *first, *second;
	struct bench t;

	setup(&t);
	first = journal_open(&t.o);
	fill(&t);
	second = journal_open(&t.o);
	CHECK(!journal_why(second));
	CHECK(is_known(second, SOME, &some, &a));
	for (unsigned i = 0; i < 10; i++) {
		journal_put_hash(second, i % 2 ? "x" : "y", &some, &a);
		journal_put_hash(first, i % 2 ? "y" : "x", &some, &b);
	}
	journal_put_part(second, &a, &m, 1, "\"two\"");
	journal_put_part(first, &a, &m, 2, "\"three\"");
	journal_put_part(first, &a, &m, 1, "\"two\"");
	/* The third one replaces the file. */
	CHECK(known(&t) == 3 && known(&t) == 3);
	CHECK(knows(&t, "1\"one\"2\"two\"3\"three\""));
	journal_put_hash(first, "z", &some, &a);
	journal_close(second);
	journal_close(first);
	first = journal_open(&t.o);
	CHECK(is_known(first, "x", &some, &a));
	CHECK(is_known(first, "y", &some, &b));
	journal_drop_multipart(first, &a);
	journal_close(first);
	CHECK(known(&t) == 1);
	multipart_release(&m);
	teardown(&t);
}

static void
set_age(const char *path, int64_t age)
{
	const time_t then = (time_t)(time(NULL) - age);
	const struct timespec times[2] = {{then, 0}, {then, 0}};

	CHECK(!utimensat(AT_FDCWD, path, times, 0));
}

/* What nobody continued for a week goes, and nothing else. */
static void
test_litter(void)
{
	static const struct {
		const char *name;
		int64_t age;
		bool stays;
	} rows[] = {
	    {"0123456789abcdef.tmp", 8 * 24 * HOUR, false},
	    {"0123456789abcdef.tmp", HOUR, true},
	    {"a.parts", 8 * 24 * HOUR, false},
	    {"a.parts", 6 * 24 * HOUR, true},
	    {"a.parts", -8 * 24 * HOUR, true},
	    {"a.xorbs", 8 * 24 * HOUR, false},
	    {"a.xorbs", 6 * 24 * HOUR, true},
	    {"a.chunks", 91 * 24 * HOUR, false},
	    {"a.chunks", 89 * 24 * HOUR, true},
	    {"journal", 800 * 24 * HOUR, true},
	    {"a.part", 800 * 24 * HOUR, true},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct buf path = buf_make(4096);
		struct bench t;

		setup(&t);
		fill(&t);
		buf_str_add(&path, str_make(t.file, strlen(t.file) - 7));
		buf_puts(&path, rows[i].name);
		if (strcmp(rows[i].name, "journal") != 0)
			scratch_write(path.s, "");
		set_age(path.s, rows[i].age);
		CHECK_ROW(i, known(&t) == 3);
		CHECK_ROW(i, (length(path.s) >= 0) == rows[i].stays);
		buf_release(&path);
		teardown(&t);
	}
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
	test_replaced();
	test_nothing();
	test_xorbs();
	test_chunks();
	test_no_room();
	test_ages();
	test_cut();
	test_flipped();
	test_foreign();
	test_two();
	test_litter();
	test_elsewhere();
	test_many();
	return test_end();
}
