/*
 * The journal's file, of random lines: opened, asked, appended to, and opened
 * anew. Lines that begin with '!' get the sum that is right, and "J @" becomes
 * the first line that the file must have; no fuzzer guesses these.
 */

#include "journal.h"

#include <fcntl.h>
#include <unistd.h>

#include "batch.h"
#include "file.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"

#define FOLDER ".cache/huggingface/upload"
#define JOURNAL FOLDER "/journal"

static const struct stamp known = {10, 1000000000, 1000000005, 77, 3};

static void
seal(struct buf *b, struct str line)
{
	buf_printf(b, "%08x ", (unsigned)crc32_of(line.s, line.n));
	buf_str_add(b, line);
	buf_puts(b, "\n");
}

static void
put_lines(struct buf *b, struct str text, ino_t inode)
{
	struct str line;

	while (text.n) {
		bool ended = memchr(text.s, '\n', text.n) != NULL;

		line = fuzz_cut(&text, '\n');
		if (str_eq(line, "J @")) {
			struct buf first = buf_make(64);

			buf_printf(&first, "J %ju", (uintmax_t)inode);
			seal(b, buf_str(&first));
			buf_release(&first);
		} else if (line.n && line.s[0] == '!') {
			seal(b, str_make(line.s + 1, line.n - 1));
		} else {
			buf_str_add(b, line);
			buf_puts(b, ended ? "\n" : "");
		}
	}
}

static void
write_journal(const struct folder *f, struct str text)
{
	struct buf b = buf_make(1 << 20);
	struct stat st;
	struct err e;
	int fd;

	MUST(folder_make_parents(f, JOURNAL, &e) == 0);
	fd = folder_openat(f, JOURNAL, O_RDWR | O_CREAT | O_TRUNC, &e);
	MUST(fd >= 0 && fstat(fd, &st) == 0);
	put_lines(&b, text, st.st_ino);
	MUST(file_pwrite(fd, b.s ? b.s : "", b.len, 0, JOURNAL, &e) == 0);
	close(fd);
	buf_release(&b);
}

static void
check_multipart(const struct multipart *m, uint64_t size)
{
	uint64_t sum = 0;

	MUST(m->size == size && m->count >= 1);
	MUST(m->count <= MULTIPART_PARTS_MAX && m->complete);
	for (size_t i = 0; i < m->count; i++) {
		MUST(m->url[i] && multipart_first(m, i) == sum);
		sum += multipart_length(m, i);
	}
	MUST(sum == size && multipart_arrived(m) <= size);
	MUST(multipart_is_whole(m) == (multipart_arrived(m) == size));
}

/* All but the times of what is remembered, as text. */
static void
ask(struct journal *j, const struct digest *d, struct buf *said)
{
	static const uint64_t sizes[] = {1, 10, 30, UINT64_MAX};
	struct multipart m;
	struct digest found;

	if (journal_hash(j, "dir/some", &known, HASH_SHA256, &found)) {
		MUST(found.kind == HASH_SHA256);
		buf_add(said, found.b, 32);
	}
	for (size_t i = 0; i < countof(sizes); i++) {
		if (!journal_take_multipart(j, d, sizes[i], &m))
			continue;
		check_multipart(&m, sizes[i]);
		buf_printf(said, "%zu %s", i, m.complete);
		for (size_t k = 0; k < m.count; k++)
			buf_printf(said, " %s=%s", m.url[k],
			    m.etag[k] ? m.etag[k] : "");
		multipart_release(&m);
	}
}

/* What is put now is there the next time, with what was there before. */
static void
append(struct journal *j, const struct digest *d)
{
	struct digest other = *d;
	struct multipart m;

	other.b[0] ^= 1;
	MUST(multipart_init(&m, 7, 4) == 0);
	m.complete = xstrdup("https://s3/c?uploadId=u");
	m.url[0] = xstrdup("https://s3/1");
	m.url[1] = xstrdup("https://s3/2");
	journal_put_hash(j, "appended", &known, &other);
	journal_put_multipart(j, &other, &m);
	journal_put_part(j, &other, 1, "\"e\"");
	multipart_release(&m);
}

static void
check_appended(struct journal *j, const struct digest *d)
{
	struct digest other = *d, found;
	struct multipart m;

	other.b[0] ^= 1;
	MUST(journal_hash(j, "appended", &known, HASH_SHA256, &found));
	MUST(digest_same(&found, &other));
	MUST(journal_take_multipart(j, &other, 7, &m));
	check_multipart(&m, 7);
	MUST(!m.etag[0] && strcmp(m.etag[1], "\"e\"") == 0);
	multipart_release(&m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char hex[] =
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaa";
	struct buf once = buf_make(1 << 20), twice = buf_make(1 << 20);
	struct fuzz_folder at = fuzz_folder_make();
	struct journal_opts o = {&at.f, NULL, "https://hub", "model", "a/b"};
	struct journal *j;
	struct digest d;

	MUST(digest_parse(str_of(hex), &d) == 0);
	write_journal(&at.f, fuzz_str(p, n));
	j = journal_open(&o);
	MUST(!journal_why(j));
	ask(j, &d, &once);
	append(j, &d);
	journal_close(j);
	j = journal_open(&o);
	MUST(!journal_why(j));
	ask(j, &d, &twice);
	MUST(str_same(buf_str(&once), buf_str(&twice)));
	check_appended(j, &d);
	journal_close(j);
	fuzz_folder_release(&at);
	buf_release(&once);
	buf_release(&twice);
	return 0;
}
