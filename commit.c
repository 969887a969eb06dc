#include "commit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "err.h"
#include "file.h"
#include "json.h"
#include "mem.h"

/* A path has at most 1000 bytes, a message what the user wrote. */
#define LINE_MAX_LENGTH ((size_t)1 << 20)

/* Raw bytes that are encoded at once; a multiple of 3. */
#define RAW 12288

static uint64_t
encoded(uint64_t size)
{
	return (size + 2) / 3 * 4;
}

static void
put_header(struct buf *b, const struct commit *c)
{
	buf_puts(b, "{\"key\":\"header\",\"value\":{\"summary\":");
	json_put_string(b, str_of(c->summary));
	buf_puts(b, ",\"description\":");
	json_put_string(b, str_of(c->description));
	if (c->parent)
		buf_printf(b, ",\"parentCommit\":\"%s\"", c->parent);
	buf_puts(b, "}}\n");
}

/* Writes the line of an operation; *split gets where a content would stand. */
static void
put_op(struct buf *b, const struct commit_op *op, size_t *split)
{
	static const char *const key[] = {"file", "lfsFile", "deletedFile"};
	char hex[2 * HASH_SIZE_MAX + 1];

	buf_printf(b, "{\"key\":\"%s\",\"value\":{\"path\":", key[op->kind]);
	json_put_string(b, str_of(op->path));
	if (op->kind == COMMIT_LFS) {
		digest_hex(&op->digest, hex);
		buf_printf(b,
		    ",\"algo\":\"sha256\",\"oid\":\"%s\",\"size\":%" PRIu64,
		    hex, op->size);
	} else if (op->kind == COMMIT_FILE) {
		buf_puts(b, ",\"encoding\":\"base64\",\"content\":\"");
		*split = b->len;
		buf_putc(b, '"');
	}
	buf_puts(b, "}}\n");
}

/* The text of line i; returns the length of the line with its content. */
static uint64_t
put_line(struct buf *b, const struct commit *c, size_t i, size_t *split)
{
	buf_clear(b);
	*split = SIZE_MAX;
	if (i == 0)
		put_header(b, c);
	else
		put_op(b, &c->op[i - 1], split);
	if (i == 0 || c->op[i - 1].kind != COMMIT_FILE)
		return b->len;
	return b->len + encoded(c->op[i - 1].size);
}

uint64_t
commit_length(const struct commit *c)
{
	struct buf b = buf_make(LINE_MAX_LENGTH);
	uint64_t length = 0;
	size_t split;

	for (size_t i = 0; i <= c->n; i++)
		length += put_line(&b, c, i, &split);
	buf_release(&b);
	return length;
}

static void
close_file(struct commit_reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

void
commit_reader_init(struct commit_reader *r, const struct commit *c)
{
	*r = (struct commit_reader){
	    .c = c,
	    .text = buf_make(LINE_MAX_LENGTH),
	    .fd = -1,
	};
}

void
commit_reader_release(struct commit_reader *r)
{
	close_file(r);
	buf_release(&r->text);
}

/* Goes to the line that offset is in; the length of that line. */
static uint64_t
seek(struct commit_reader *r, uint64_t offset)
{
	uint64_t length;

	if (offset < r->begin || !r->text.len) {
		close_file(r);
		r->i = 0;
		r->begin = 0;
	}
	length = put_line(&r->text, r->c, r->i, &r->split);
	while (offset - r->begin >= length && r->i < r->c->n) {
		close_file(r);
		r->begin += length;
		r->i++;
		length = put_line(&r->text, r->c, r->i, &r->split);
	}
	return length;
}

/* Encodes the content of a file from place at of its base64 text on. */
static int
read_content(struct commit_reader *r, uint64_t at, char *p, size_t cap,
    size_t *n, struct err *e)
{
	const struct commit_op *op = &r->c->op[r->i - 1];
	uint64_t from = at / 4 * 3, left = op->size - from;
	/* No more groups than what is asked for lies in. */
	size_t max = cap / 4 < RAW / 3 - 2 ? (cap / 4 + 2) * 3 : RAW;
	size_t raw = left < max ? (size_t)left : max;
	size_t skip = (size_t)(at % 4);
	unsigned char *bytes = xmalloc(RAW);
	struct buf text = buf_make(RAW / 3 * 4);
	int rv = 0;

	if (r->fd < 0)
		r->fd = r->c->open(r->c->ctx, op->file, e);
	if (r->fd < 0)
		rv = -1;
	if (rv == 0)
		rv = file_pread(r->fd, bytes, raw, from, op->path, e);
	if (rv == 0) {
		buf_base64(&text, bytes, raw);
		*n = text.len - skip < cap ? text.len - skip : cap;
		memcpy(p, text.s + skip, *n);
		if (at + *n == encoded(op->size))
			rv = r->c->check(r->c->ctx, op->file, r->fd, e);
	}
	if (rv < 0)
		r->c->failed(r->c->ctx, op->file, e);
	buf_release(&text);
	free(bytes);
	return rv;
}

/* Some bytes from offset on, of one line; *n is 0 at the end. */
static int
read_some(struct commit_reader *r, uint64_t offset, char *p, size_t cap,
    size_t *n, struct err *e)
{
	uint64_t length = seek(r, offset), at = offset - r->begin;
	uint64_t content = length - r->text.len;
	size_t place, end = r->text.len;

	*n = 0;
	if (at >= length)
		return 0;
	if (content && at >= r->split && at < r->split + content)
		return read_content(r, at - r->split, p, cap, n, e);
	if (content && at < r->split)
		end = r->split;
	place = (size_t)(content && at >= r->split ? at - content : at);
	*n = end - place < cap ? end - place : cap;
	memcpy(p, r->text.s + place, *n);
	return 0;
}

int
commit_read(
    void *ctx, uint64_t offset, void *p, size_t cap, size_t *n, struct err *e)
{
	size_t some = 1;

	for (*n = 0; *n < cap && some; *n += some)
		if (read_some(ctx, offset + *n, (char *)p + *n, cap - *n, &some,
			e) < 0)
			return -1;
	return 0;
}

int
commit_answer_parse(struct str text, struct commit_answer *out, struct err *e)
{
	struct json all;
	char *oid;

	*out = (struct commit_answer){.url = NULL};
	if (json_parse(text, &all, e) < 0) {
		e->kind = ERR_NET;
		return err_in(e, "the Hub's answer is no JSON");
	}
	oid = json_get_strdup(&all, "commitOid", 40);
	if (oid && str_is_hex(str_of(oid), 40))
		memcpy(out->oid, oid, 41);
	free(oid);
	if (!*out->oid)
		return err_set(e, ERR_NET, "the Hub's answer names no commit");
	out->url = answer_url(&all, "commitUrl");
	return 0;
}

void
commit_answer_release(struct commit_answer *a)
{
	free(a->url);
	*a = (struct commit_answer){.url = NULL};
}
