/*
 * The files of a journal, of random lines: opened, read, appended to, and
 * opened again. Lines that begin with '!' get the right sum, and "@N" becomes
 * the CRC-32 of "https://s3/N"; no fuzzer guesses these.
 */

#include "../../journal.c"

#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"

static const struct stamp known = {10, 1000000000, 1000000005, 77, 3};

static void
put_line(struct buf *b, struct str line)
{
	size_t at = begin_line(b);

	for (size_t i = 0; i < line.n; i++)
		if (line.s[i] == '@' && i + 1 < line.n) {
			char url[] = "https://s3/N";

			url[sizeof(url) - 2] = line.s[++i];
			buf_printf(
			    b, "%" PRIu32, crc32_of(url, sizeof(url) - 1));
		} else {
			buf_putc(b, line.s[i]);
		}
	end_line(b, at);
}

static void
put_lines(struct buf *b, struct str text)
{
	struct str line;

	while (text.n) {
		bool ended = memchr(text.s, '\n', text.n) != NULL;

		line = fuzz_cut(&text, '\n');
		if (line.n && line.s[0] == '!') {
			put_line(b, str_make(line.s + 1, line.n - 1));
		} else {
			buf_str_add(b, line);
			buf_puts(b, ended ? "\n" : "");
		}
	}
}

static void
write_file(const struct folder *f, const char *name, struct str text)
{
	struct buf b = buf_make(1 << 20);
	struct err e;
	int fd = folder_openat(f, name, O_RDWR | O_CREAT | O_TRUNC, &e);

	MUST(fd >= 0);
	put_lines(&b, text);
	MUST(file_pwrite(fd, b.s ? b.s : "", b.len, 0, name, &e) == 0);
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

/* What is known, as text. */
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
		if (!journal_get_multipart(j, d, sizes[i], &m))
			continue;
		check_multipart(&m, sizes[i]);
		buf_printf(said, "%zu %s", i, m.complete);
		for (size_t k = 0; k < m.count; k++)
			buf_printf(said, " %s=%s", m.url[k],
			    m.etag[k] ? m.etag[k] : "");
		multipart_release(&m);
	}
}

/* What is saved now is there the next time, with what was there before. */
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
	journal_put_part(j, &other, &m, 1, "\"e\"");
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
	MUST(journal_get_multipart(j, &other, 7, &m));
	check_multipart(&m, 7);
	MUST(!m.etag[0] && strcmp(m.etag[1], "\"e\"") == 0);
	multipart_release(&m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf once = buf_make(1 << 20), twice = buf_make(1 << 20);
	struct fuzz_folder at = fuzz_folder_make();
	struct journal_opts o = {&at.f, NULL, "https://hub", "model", "a/b"};
	struct digest d = {.kind = HASH_SHA256};
	struct journal *j = journal_open(&o);
	char name[NAME_SIZE];

	MUST(!journal_why(j) && upload_name(j, &d, PARTS, name));
	write_file(journal_folder(j), "journal", fuzz_str(p, n));
	write_file(journal_folder(j), name, fuzz_str(p, n));
	journal_close(j);
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
