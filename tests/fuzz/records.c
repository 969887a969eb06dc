/*
 * The files of a journal with records of xorbs: read, appended to, and read
 * again; then taken as what the storage has. The input is pieces, each after a
 * byte for its kind and two for its length: of kind 0 as it is, of others with a
 * right head; no fuzzer guesses a sum.
 */

#include "../../journal.c"

#include "chunk.h"
#include "client.h"
#include "repo.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"
#include "xetup.h"

static void
put_pieces(struct buf *b, const uint8_t *p, size_t n)
{
	while (n > 3) {
		size_t some = (size_t)bytes_get_le(p + 1, 2);
		unsigned char head[PIECE_HEAD];
		bool whole = p[0];

		p += 3;
		n -= 3;
		some = some < n ? some : n;
		bytes_put_le(head, crc32_of(p, some), 4);
		bytes_put_le(head + 4, some, 4);
		if (whole)
			buf_add(b, head, sizeof(head));
		buf_add(b, p, some);
		p += some;
		n -= some;
	}
}

static void
write_file(const struct folder *f, const char *name, const struct buf *b)
{
	struct err e;
	int fd = folder_openat(f, name, O_RDWR | O_CREAT | O_TRUNC, &e);

	MUST(fd >= 0);
	MUST(file_pwrite(fd, b->s ? b->s : "", b->len, 0, name, &e) == 0);
	close(fd);
}

static void
read_all(struct journal_pieces *p, struct buf *b)
{
	while (journal_next(p, b))
		;
	MUST(p->at == p->end);
	journal_pieces_close(p);
}

static void
read_xorbs(const struct journal *j, const struct digest *d, struct buf *b)
{
	struct journal_pieces p;

	journal_xorbs(j, d, &p);
	read_all(&p, b);
}

static void
read_chunks(const struct journal *j, struct buf *b)
{
	struct journal_pieces p;

	journal_chunks(j, &p);
	read_all(&p, b);
}

/* What the journal has of both kinds is the same, and more is added to it. */
static void
check_appended(struct journal *j, const struct digest *d, struct buf *had)
{
	static const struct str more = {"more", 4};
	struct buf b = buf_make(JOURNAL_CHUNKS_MAX);

	read_chunks(j, had);
	read_xorbs(j, d, &b);
	MUST(str_same(buf_str(had), buf_str(&b)));
	journal_put_chunks(j, more);
	journal_put_xorb(j, d, more);
	buf_clear(&b);
	read_chunks(j, &b);
	MUST(b.len == had->len + more.n && str_ends(buf_str(&b), "more"));
	MUST(!had->len || memcmp(b.s, had->s, had->len) == 0);
	buf_clear(&b);
	read_xorbs(j, d, &b);
	MUST(b.len == had->len + more.n && str_ends(buf_str(&b), "more"));
	buf_release(&b);
}

/* Whatever they say is taken or passed over. */
static void
check_taken(const struct journal *j)
{
	struct client_opts o = {
	    .endpoint = "http://127.0.0.1:1", .offline = true};
	struct err e;
	struct client *client = client_open(&o, &e);
	struct repo repo = {
	    .client = client, .endpoint = o.endpoint, .id = "a/b"};
	struct xetup *x = xetup_open(&repo, "main", true, NULL);
	struct journal_pieces p;

	journal_chunks(j, &p);
	xetup_remember(x, &p);
	MUST(p.at == p.end);
	journal_pieces_close(&p);
	MUST(xetup_there(x) == 0 && xetup_is_on(x));
	xetup_close(x);
	client_close(client);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf text = buf_make(1 << 20), had = buf_make(JOURNAL_CHUNKS_MAX);
	struct fuzz_folder at = fuzz_folder_make();
	struct journal_opts o = {&at.f, NULL, "https://hub", "model", "a/b"};
	struct digest d = {.kind = HASH_SHA256};
	struct journal *j = journal_open(&o);
	char name[NAME_SIZE];

	put_pieces(&text, p, n);
	MUST(!journal_why(j) && upload_name(j, &d, XORBS, name));
	write_file(journal_folder(j), name, &text);
	MUST(chunks_name(j, name));
	write_file(journal_folder(j), name, &text);
	check_appended(j, &d, &had);
	check_taken(j);
	journal_close(j);
	fuzz_folder_release(&at);
	buf_release(&text);
	buf_release(&had);
	return 0;
}
