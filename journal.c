#define _GNU_SOURCE /* flock, realpath */

#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "batch.h"
#include "err.h"
#include "file.h"
#include "str.h"

/* --- One line. --- */

enum type { END, NUMBER, KEY, DIGEST, TEXT };

struct field {
	enum type type;
	size_t offset; /* in struct record */
};

#define FIELDS_MAX 8

#define F(type, name) \
	{ \
		type, offsetof(struct record, name) \
	}

static const struct {
	enum record_kind kind;
	struct field field[FIELDS_MAX + 1];
} layouts[] = {
    {RECORD_JOURNAL, {F(NUMBER, inode)}},
    {RECORD_HASH, {F(KEY, key), F(NUMBER, size), F(NUMBER, mtime),
		      F(NUMBER, ctime), F(NUMBER, inode), F(NUMBER, device),
		      F(NUMBER, time), F(DIGEST, digest)}},
    {RECORD_UPLOAD,
	{F(NUMBER, upload), F(KEY, key), F(NUMBER, size), F(NUMBER, chunk),
	    F(NUMBER, expires), F(DIGEST, digest), F(TEXT, text)}},
    {RECORD_VERIFY, {F(NUMBER, upload), F(TEXT, text)}},
    {RECORD_PART, {F(NUMBER, upload), F(NUMBER, part), F(TEXT, text)}},
    {RECORD_ETAG, {F(NUMBER, upload), F(NUMBER, part), F(TEXT, text)}},
    {RECORD_DONE, {F(NUMBER, upload)}},
};

static const struct field *
layout(struct str kind)
{
	for (size_t i = 0; i < countof(layouts); i++)
		if (kind.n == 1 && kind.s[0] == (char)layouts[i].kind)
			return layouts[i].field;
	return NULL;
}

/* No control characters: the line would end, or a terminal be fooled. */
static bool
is_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.s[i] < 0x20 || s.s[i] == 0x7f)
			return false;
	return s.n > 0 && s.n <= URL_MAX;
}

/* --- Reading. --- */

static int
parse_digest(struct str s, struct digest *out)
{
	return str_is_hex(s, s.n) ? digest_parse(s, out) : -1;
}

static int
parse_field(const struct field *f, struct str s, struct record *r)
{
	void *at = (char *)r + f->offset;

	switch (f->type) {
	case NUMBER:
		return str_num(s, 10, UINT64_MAX, at);
	case KEY:
		return hex_decode(s, at, RECORD_KEY);
	case DIGEST:
		return parse_digest(s, at);
	case TEXT:
		*(struct str *)at = s;
		return is_text(s) ? 0 : -1;
	case END:
		break;
	}
	return -1;
}

/* The next word of *rest; the text is all that is left. rest->s is NULL when
 * nothing is, not even an empty word. */
static int
next_word(struct str *rest, enum type type, struct str *word)
{
	if (!rest->s)
		return -1;
	if (type != TEXT && str_cut(*rest, ' ', word, rest))
		return 0;
	*word = *rest;
	*rest = (struct str){NULL, 0};
	return 0;
}

static int
parse_fields(struct str rest, struct record *out)
{
	const struct field *f;
	struct str word;

	if (next_word(&rest, KEY, &word) < 0 || !(f = layout(word)))
		return -1;
	out->kind = (enum record_kind)word.s[0];
	for (; f->type != END; f++)
		if (next_word(&rest, f->type, &word) < 0 ||
		    parse_field(f, word, out) < 0)
			return -1;
	return rest.s ? -1 : 0;
}

/* Reads a line, given without its end; text points into it. -1 if it is none of
 * ours, whole and with the right sum. */
static int
record_parse(struct str line, struct record *out)
{
	struct str sum, rest;
	uint64_t crc;

	*out = (struct record){0};
	if (!str_cut(line, ' ', &sum, &rest) || !str_is_hex(sum, 8) ||
	    str_num(sum, 16, UINT32_MAX, &crc) < 0 ||
	    crc != crc32_of(rest.s, rest.n))
		return -1;
	return parse_fields(rest, out);
}

/* --- Writing. --- */

static void
put_field(struct buf *b, const struct field *f, const struct record *r)
{
	const void *at = (const char *)r + f->offset;
	char hex[2 * HASH_SIZE_MAX + 1];

	buf_putc(b, ' ');
	switch (f->type) {
	case NUMBER:
		buf_printf(b, "%" PRIu64, *(const uint64_t *)at);
		break;
	case KEY:
		hex_encode(at, RECORD_KEY, hex);
		buf_puts(b, hex);
		break;
	case DIGEST:
		digest_hex(at, hex);
		buf_puts(b, hex);
		break;
	case TEXT:
		buf_str_add(b, *(const struct str *)at);
		break;
	case END:
		break;
	}
}

/* Appends the line with its end. Nothing is added if the text cannot be in a
 * line, or is too long: then -1. */
static int
record_put(struct buf *b, const struct record *r)
{
	char kind = (char)r->kind;
	struct buf line = buf_make(RECORD_MAX);
	const struct field *f = layout(str_make(&kind, 1));
	int rv = -1;

	assert(f);
	buf_putc(&line, kind);
	for (; f->type != END; f++) {
		if (f->type == TEXT && !is_text(r->text))
			goto out;
		put_field(&line, f, r);
	}
	buf_printf(b, "%08" PRIx32 " %s\n", crc32_of(line.s, line.len), line.s);
	rv = 0;
out:
	mem_wipe(line.s, line.len); /* addresses are signed */
	buf_release(&line);
	return rv;
}

/* --- What it says, in memory. --- */

/* More files than a repository should have; 30 MiB of memory. */
#define ENTRIES_MAX ((size_t)1 << 18)

/* Hashes older than this are dropped. */
#define HASH_KEPT_S ((uint64_t)90 * 24 * 3600)

/* An address that expires sooner is not used. */
#define LAPSE_MARGIN_S 60

/* The assumed lifetime of addresses without an expiry. */
#define LASTS_S (24 * 3600)

/* A file's hash. */
struct ledger_entry {
	unsigned char key[RECORD_KEY];
	uint64_t size, mtime, ctime, inode, device, time;
	uint32_t line; /* a later line counts more */
	struct digest digest;
};

/* m is empty if it was taken. */
struct ledger_upload {
	struct ledger_upload *next;
	uint64_t number;
	unsigned char key[RECORD_KEY];
	struct digest digest;
	struct multipart m;
};

/* By name, then by kind of hash. */
static int
compare(const struct ledger_entry *a, const struct ledger_entry *b)
{
	int c = memcmp(a->key, b->key, RECORD_KEY);

	if (c)
		return c;
	if (a->digest.kind != b->digest.kind)
		return a->digest.kind < b->digest.kind ? -1 : 1;
	return 0;
}

static int
compare_hashed(const void *x, const void *y)
{
	const struct ledger_entry *a = x, *b = y;
	int c = compare(a, b);

	return c ? c : (a->line > b->line) - (a->line < b->line);
}

static struct ledger_entry
entry_of(const struct record *r)
{
	struct ledger_entry en = {.size = r->size,
	    .mtime = r->mtime,
	    .ctime = r->ctime,
	    .inode = r->inode,
	    .device = r->device,
	    .time = r->time,
	    .digest = r->digest};

	memcpy(en.key, r->key, RECORD_KEY);
	return en;
}

static void
table_add(struct ledger_table *t, const struct record *r)
{
	if (t->n == ENTRIES_MAX)
		return;
	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->entry = xreallocarray(t->entry, t->cap, sizeof(t->entry[0]));
	}
	t->entry[t->n] = entry_of(r);
	t->entry[t->n].line = (uint32_t)t->n;
	t->n++;
}

/* Sorts, and keeps the last of each. */
static void
table_settle(struct ledger_table *t, uint64_t now)
{
	size_t n = 0;

	if (t->n)
		qsort(t->entry, t->n, sizeof(t->entry[0]), compare_hashed);
	for (size_t i = 0; i < t->n; i++) {
		const struct ledger_entry *en = &t->entry[i];

		if (i + 1 < t->n && compare(en, en + 1) == 0)
			continue;
		/* What is from the future, by a wrong clock, is as old as
		 * can be. */
		if (now - en->time >= HASH_KEPT_S)
			continue;
		t->entry[n++] = *en;
	}
	t->n = n;
}

static void
table_release(struct ledger_table *t)
{
	free(t->entry);
	*t = (struct ledger_table){NULL, 0, 0};
}

/* The entry of that name and kind; NULL if there is none. */
static const struct ledger_entry *
table_find(const struct ledger_table *t, const struct ledger_entry *en)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t i = low + (high - low) / 2;
		int c = compare(en, &t->entry[i]);

		if (!c)
			return &t->entry[i];
		if (c < 0)
			high = i;
		else
			low = i + 1;
	}
	return NULL;
}

static void
upload_free(struct ledger_upload *p)
{
	multipart_release(&p->m);
	free(p);
}

static struct ledger_upload **
upload_by_number(struct ledger *l, uint64_t number)
{
	struct ledger_upload **p = &l->uploads;

	while (*p && (*p)->number != number)
		p = &(*p)->next;
	return p;
}

static struct ledger_upload **
upload_by_digest(struct ledger *l, const unsigned char key[RECORD_KEY],
    const struct digest *d)
{
	struct ledger_upload **p = &l->uploads;

	while (*p && (memcmp((*p)->key, key, RECORD_KEY) != 0 ||
			 !digest_same(&(*p)->digest, d)))
		p = &(*p)->next;
	return p;
}

static void
upload_remove(struct ledger_upload **p)
{
	struct ledger_upload *gone = *p;

	if (!gone)
		return;
	*p = gone->next;
	upload_free(gone);
}

static struct ledger_upload *
upload_add(struct ledger *l, uint64_t number,
    const unsigned char key[RECORD_KEY], const struct digest *d)
{
	struct ledger_upload *p = xcalloc(1, sizeof(*p));

	p->number = number;
	memcpy(p->key, key, RECORD_KEY);
	p->digest = *d;
	p->next = l->uploads;
	l->uploads = p;
	return p;
}

static void
load_upload(struct ledger *l, const struct record *r)
{
	struct multipart m;
	struct ledger_upload *p;

	upload_remove(upload_by_number(l, r->upload));
	upload_remove(upload_by_digest(l, r->key, &r->digest));
	if (multipart_init(&m, r->size, r->chunk) < 0)
		return;
	p = upload_add(l, r->upload, r->key, &r->digest);
	p->m = m;
	p->m.expires = r->expires;
	p->m.complete = str_dup(r->text);
}

/* Sets a text of an upload, or of part r->part of it. */
static void
load_text(struct ledger *l, const struct record *r)
{
	struct ledger_upload *p = *upload_by_number(l, r->upload);
	char **at = NULL;

	if (!p)
		return;
	if (r->kind == RECORD_VERIFY)
		at = &p->m.verify;
	else if (r->part >= 1 && r->part <= p->m.count)
		at = r->kind == RECORD_PART ? &p->m.url[r->part - 1]
					    : &p->m.etag[r->part - 1];
	if (!at)
		return;
	free(*at);
	*at = str_dup(r->text);
}

static void
ledger_take(struct ledger *l, const struct record *r)
{
	switch (r->kind) {
	case RECORD_HASH:
		table_add(&l->hashed, r);
		break;
	case RECORD_UPLOAD:
		load_upload(l, r);
		break;
	case RECORD_VERIFY:
	case RECORD_PART:
	case RECORD_ETAG:
		load_text(l, r);
		break;
	case RECORD_DONE:
		upload_remove(upload_by_number(l, r->upload));
		break;
	case RECORD_JOURNAL:
		break;
	}
}

/* The upload has all its addresses, and they are valid for some time. */
static bool
is_usable(const struct ledger_upload *p, uint64_t now)
{
	for (size_t i = 0; i < p->m.count; i++)
		if (!p->m.url[i])
			return false;
	return p->m.expires > now + LAPSE_MARGIN_S;
}

static void
drop_unusable(struct ledger *l, uint64_t now)
{
	for (struct ledger_upload **p = &l->uploads; *p;)
		if (is_usable(*p, now))
			p = &(*p)->next;
		else
			upload_remove(p);
}

/* Forgets what a later record replaces, what is too old at that time (Unix
 * seconds), and uploads that are not whole, or lapse soon. */
static void
ledger_settle(struct ledger *l, uint64_t now)
{
	table_settle(&l->hashed, now);
	drop_unusable(l, now);
}

static void ledger_end_uploads(struct ledger *l);

static void
ledger_release(struct ledger *l)
{
	table_release(&l->hashed);
	ledger_end_uploads(l);
}

/* The digest of a file, if it is as in want (a RECORD_HASH, of the kind in its
 * digest). */
static bool
ledger_hash(
    const struct ledger *l, const struct record *want, struct digest *out)
{
	struct ledger_entry key = entry_of(want);
	const struct ledger_entry *en = table_find(&l->hashed, &key);

	if (!en || en->size != key.size || en->mtime != key.mtime ||
	    en->ctime != key.ctime || en->inode != key.inode ||
	    en->device != key.device)
		return false;
	*out = en->digest;
	return true;
}

/* Its number. */
static bool
ledger_upload(struct ledger *l, const unsigned char key[RECORD_KEY],
    const struct digest *d, uint64_t *number)
{
	const struct ledger_upload *p = *upload_by_digest(l, key, d);

	if (p)
		*number = p->number;
	return p != NULL;
}

/* What is known of it is the caller's now; the number stays. False if that was
 * taken, or the size is another. */
static bool
ledger_take_upload(struct ledger *l, const unsigned char key[RECORD_KEY],
    const struct digest *d, uint64_t size, struct multipart *out)
{
	struct ledger_upload *p = *upload_by_digest(l, key, d);

	if (!p || !p->m.count || p->m.size != size)
		return false;
	*out = p->m;
	p->m = (struct multipart){0};
	return true;
}

static void
ledger_end_upload(struct ledger *l, uint64_t number)
{
	upload_remove(upload_by_number(l, number));
}

static void
ledger_end_uploads(struct ledger *l)
{
	while (l->uploads)
		upload_remove(&l->uploads);
}

/* --- As records. --- */

#define WRITE_PIECE 65536

/* Writes all of b with one call where it can be, and empties it. */
static int
write_out(int fd, struct buf *b)
{
	if (file_write(fd, b->s, b->len) < 0)
		return -1;
	if (b->s)
		mem_wipe(b->s, b->len);
	buf_clear(b);
	return 0;
}

/* Collects lines, and writes them in pieces of whole lines. */
struct writer {
	int fd;
	struct buf b;
	bool failed;
};

static struct writer
writer_make(int fd)
{
	return (struct writer){fd, buf_make(WRITE_PIECE + RECORD_MAX), fd < 0};
}

/* A text that cannot be in a line is left out: then the upload is not whole,
 * and the next run does not take it up. */
static void
writer_put(struct writer *w, const struct record *r)
{
	if (w->failed)
		return;
	(void)record_put(&w->b, r);
	if (w->b.len >= WRITE_PIECE && write_out(w->fd, &w->b) < 0)
		w->failed = true;
}

static int
writer_end(struct writer *w)
{
	if (!w->failed && write_out(w->fd, &w->b) < 0)
		w->failed = true;
	buf_release(&w->b);
	return w->failed ? -1 : 0;
}

static void
put_text(struct writer *w, enum record_kind kind, uint64_t number, size_t part,
    const char *text)
{
	struct record r = {
	    .kind = kind, .upload = number, .part = part, .text = str_of(text)};

	if (text)
		writer_put(w, &r);
}

/* m: what is known of it. */
static void
put_upload(const struct ledger_upload *p, const struct multipart *m,
    uint64_t now, struct writer *w)
{
	struct record r = {.kind = RECORD_UPLOAD,
	    .upload = p->number,
	    .size = m->size,
	    .chunk = m->chunk,
	    .expires = m->expires ? m->expires : now + LASTS_S,
	    .digest = p->digest,
	    .text = str_of(m->complete)};

	memcpy(r.key, p->key, RECORD_KEY);
	writer_put(w, &r);
	put_text(w, RECORD_VERIFY, p->number, 0, m->verify);
	for (size_t i = 0; i < m->count; i++) {
		put_text(w, RECORD_PART, p->number, i + 1, m->url[i]);
		put_text(w, RECORD_ETAG, p->number, i + 1, m->etag[i]);
	}
}

static void
put_hashed(const struct ledger_table *t, struct writer *w)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct ledger_entry *en = &t->entry[i];
		struct record r = {.kind = RECORD_HASH,
		    .size = en->size,
		    .mtime = en->mtime,
		    .ctime = en->ctime,
		    .inode = en->inode,
		    .device = en->device,
		    .time = en->time,
		    .digest = en->digest};

		memcpy(r.key, en->key, RECORD_KEY);
		writer_put(w, &r);
	}
}

/* A new one, which goes to the writer as records. Where m does not say when it
 * lapses, a time after now (Unix seconds) is taken. */
static void
ledger_begin_upload(struct ledger *l, const unsigned char key[RECORD_KEY],
    const struct digest *d, const struct multipart *m, uint64_t now,
    struct writer *w)
{
	put_upload(upload_add(l, l->next++, key, d), m, now, w);
}

/* All of it, as the rest of a file whose first record is there; the uploads get
 * new numbers. */
static void
ledger_put(struct ledger *l, uint64_t now, struct writer *w)
{
	put_hashed(&l->hashed, w);
	for (struct ledger_upload *p = l->uploads; p; p = p->next) {
		p->number = l->next++;
		put_upload(p, &p->m, now, w);
	}
}

/* --- The file. --- */

#define NEW_SUFFIX ".new"
#define OLD_SUFFIX ".old"

static char *
suffixed(const char *name, const char *suffix)
{
	struct buf b = buf_make(strlen(name) + strlen(suffix));

	buf_puts(&b, name);
	buf_puts(&b, suffix);
	return buf_detach(&b);
}

static char *
shown(const char *folder, const char *dir, const char *name)
{
	struct buf b = buf_make(1 << 16);

	buf_printf(&b, "%s/%s%s%s", folder, dir, *dir ? "/" : "", name);
	return buf_detach(&b);
}

static int
place_find(struct place *at, const struct folder *f, const char *dir,
    const char *name, struct err *e)
{
	struct folder_traits traits;

	*at = (struct place){.dir = -1};
	if (folder_traits(f, &traits, e) < 0)
		return -1;
	at->network = traits.network;
	at->dir = *dir ? folder_openat(f, dir, O_RDONLY | O_DIRECTORY, e)
		       : fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
	if (at->dir < 0)
		return -1;
	at->name = xstrdup(name);
	at->shown = shown(f->path, dir, name);
	return 0;
}

/* A file called name in dir ("": itself) below f. */
static void
place_release(struct place *at)
{
	if (at->dir >= 0)
		close(at->dir);
	free(at->name);
	free(at->shown);
	*at = (struct place){.dir = -1};
}

/* Whether the name is still that of the open file. */
static bool
is_named(const struct place *at, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 &&
	       fstatat(at->dir, at->name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int
lock(const struct place *at, int fd)
{
	return at->network ? 0 : flock(fd, LOCK_EX | LOCK_NB);
}

static int
open_old(const struct place *at, bool *busy)
{
	int fd = openat(
	    at->dir, at->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	*busy = false;
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_uid != geteuid()) {
		close(fd);
		return -1;
	}
	*busy = lock(at, fd) < 0 && errno == EWOULDBLOCK;
	return fd;
}

/* The file as it is, to be read, with its lock; *busy: another process has
 * that. -1 if there is none, or none of ours. */
static int
place_open(const struct place *at, bool *busy)
{
	int fd = open_old(at, busy);

	if (fd < 0 || *busy || is_named(at, fd))
		return fd;
	/* Another process was just about to replace it. */
	close(fd);
	return open_old(at, busy);
}

/* Gives it another name (with ".old" behind it), if it is there. */
static void
place_set_aside(const struct place *at)
{
	char *aside = suffixed(at->name, OLD_SUFFIX);

	(void)renameat(at->dir, at->name, at->dir, aside);
	free(aside);
}

/* The file anew: what write() writes, under the name when that is complete.
 * Returns it, to be appended to, with its lock. */
static int
place_replace(const struct place *at, int (*write)(void *ctx, int fd),
    void *ctx, struct err *e)
{
	char *name = suffixed(at->name, NEW_SUFFIX);
	int fd;

	unlinkat(at->dir, name, 0);
	fd = openat(at->dir, name,
	    O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    0600);
	if (fd < 0 || lock(at, fd) < 0 || write(ctx, fd) < 0 ||
	    renameat(at->dir, name, at->dir, at->name) < 0) {
		err_sys(e, ERR_FILE, "cannot write '%s'", at->shown);
		if (fd >= 0) {
			close(fd);
			unlinkat(at->dir, name, 0);
		}
		fd = -1;
	}
	free(name);
	return fd;
}

/* --- The journal. --- */

#define SOURCE_DIR ".cache/huggingface/upload"
/* Steps of a file system's clock: a tick of the kernel, or FAT's two seconds
 * where there are no fractions. */
#define TICK_NS INT64_C(50000000)
#define COARSE_TICK_NS INT64_C(2000000000)
#define NS_PER_S INT64_C(1000000000)

#define READ_PIECE 65536

struct journal {
	pthread_mutex_t lock; /* all that changes after it was opened */
	int fd;               /* to append to; -1: nothing is remembered */
	char *why;
	unsigned char key[RECORD_KEY]; /* of the repository */
	struct ledger ledger;
};

static uint64_t
now_s(void)
{
	return (uint64_t)time(NULL);
}

/* Names of any length to keys; each text ends with its '\0'. */
static void
make_key(const char *const text[], size_t n, unsigned char key[RECORD_KEY])
{
	struct digest d;
	struct hash h;

	hash_init(&h, HASH_SHA256, 0);
	for (size_t i = 0; i < n; i++)
		hash_update(&h, text[i], strlen(text[i]) + 1);
	hash_final(&h, &d);
	memcpy(key, d.b, RECORD_KEY);
}

/* --- Reading. --- */

/* The lines in text, which begins with a line; *first says that it is the first
 * of the file, which must name inode. Returns the bytes used, or -1 if it is no
 * journal of ours. */
static int
load_lines(
    struct journal *j, struct str text, ino_t inode, bool *first, size_t *used)
{
	struct str line, rest = text;

	while (str_cut(rest, '\n', &line, &rest)) {
		struct record r;
		/* Broken lines in the middle are ignored. */
		bool ok = record_parse(line, &r) == 0;

		if (*first && (!ok || r.kind != RECORD_JOURNAL ||
				  r.inode != (uint64_t)inode))
			return -1;
		*first = false;
		if (ok)
			ledger_take(&j->ledger, &r);
	}
	*used = text.n - rest.n;
	return 0;
}

/* The next piece of the file behind what is in b. 0 at the end. */
static size_t
read_piece(int fd, struct buf *b)
{
	char *room = buf_room(b, READ_PIECE);
	ssize_t n;

	do
		n = read(fd, room, READ_PIECE);
	while (n < 0 && errno == EINTR);
	buf_added(b, n > 0 ? (size_t)n : 0);
	return n > 0 ? (size_t)n : 0;
}

/* All of the file. -1 if it is no journal of ours. A last line that is torn, or
 * one that is too long, ends it. */
static int
load(struct journal *j, int fd, ino_t inode)
{
	struct buf b = buf_make(RECORD_MAX + READ_PIECE);
	bool first = true;
	size_t used;
	int rv = 0;

	while (rv == 0 && b.len <= RECORD_MAX && read_piece(fd, &b)) {
		rv = load_lines(j, buf_str(&b), inode, &first, &used);
		if (rv == 0)
			buf_drop(&b, used);
	}
	if (first && b.len)
		rv = -1;
	mem_wipe(b.s, b.cap); /* signed addresses */
	buf_release(&b);
	ledger_settle(&j->ledger, now_s());
	return rv;
}

/* All that is known, into a new file. */
static int
write_all(void *ctx, int fd)
{
	struct journal *j = ctx;
	struct record first = {.kind = RECORD_JOURNAL};
	struct writer w = writer_make(fd);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	first.inode = (uint64_t)st.st_ino;
	writer_put(&w, &first);
	ledger_put(&j->ledger, now_s(), &w);
	return writer_end(&w);
}

/* --- Finding its place. --- */

/* Reads what is there; what is no journal of ours is set aside. Returns its
 * descriptor, which holds the lock, or -1. */
static int
take_old(struct journal *j, const struct place *at, bool *busy)
{
	int fd = place_open(at, busy);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && load(j, fd, st.st_ino) == 0)
		return fd;
	ledger_release(&j->ledger);
	if (!*busy)
		place_set_aside(at);
	return fd;
}

static int
take_place(struct journal *j, const struct place *at, struct err *e)
{
	bool busy;
	int old = take_old(j, at, &busy);

	if (busy) {
		err_set(e, ERR_FILE,
		    "another hub process is uploading from this folder");
		/* The other process owns the uploads that it sends. */
		ledger_end_uploads(&j->ledger);
	} else {
		j->fd = place_replace(at, write_all, j, e);
	}
	if (old >= 0)
		close(old);
	return busy || j->fd >= 0 ? 0 : -1;
}

/* Its own folder says that git is to pass over it. */
static int
prepare_source(const struct folder *f, struct err *e)
{
	static const char ignore[] = ".cache/huggingface/.gitignore";
	struct stat st;
	int rv;

	if (folder_make_parents(f, SOURCE_DIR "/x", e) < 0)
		return -1;
	rv = folder_stat(f, ignore, &st, e);
	if (rv <= 0)
		return rv;
	return folder_write(f, ignore, str_of("*\n"), e);
}

static int
open_in_source(struct journal *j, const struct journal_opts *o, struct err *e)
{
	struct place at;
	int rv;

	if (prepare_source(o->source, e) < 0 ||
	    place_find(&at, o->source, SOURCE_DIR, "journal", e) < 0)
		return -1;
	rv = take_place(j, &at, e);
	place_release(&at);
	return rv;
}

/* "upload-KEY" by the source's real path. */
static char *
state_name(const struct folder *source)
{
	char *real = realpath(source->path, NULL);
	const char *text[] = {real ? real : source->path};
	char hex[2 * RECORD_KEY + 1];
	unsigned char key[RECORD_KEY];
	struct buf b = buf_make(sizeof("upload-") + sizeof(hex));

	make_key(text, 1, key);
	hex_encode(key, RECORD_KEY, hex);
	free(real);
	buf_puts(&b, "upload-");
	buf_puts(&b, hex);
	return buf_detach(&b);
}

static int
open_in_state(struct journal *j, const struct journal_opts *o, struct err *e)
{
	struct folder f;
	struct place at;
	char *name;
	int rv;

	if (!o->state)
		return -1;
	if (folder_open(&f, o->state, true, e) < 0)
		return -1;
	name = state_name(o->source);
	rv = place_find(&at, &f, "", name, e);
	if (rv == 0) {
		rv = take_place(j, &at, e);
		place_release(&at);
	}
	free(name);
	folder_close(&f);
	return rv;
}

struct journal *
journal_open(const struct journal_opts *o)
{
	const char *text[] = {o->endpoint, o->type, o->id};
	struct journal *j = xcalloc(1, sizeof(*j));
	struct err e = {.kind = ERR_NONE};

	j->fd = -1;
	pthread_mutex_init(&j->lock, NULL);
	make_key(text, countof(text), j->key);
	if (open_in_source(j, o, &e) < 0)
		open_in_state(j, o, &e);
	if (j->fd < 0)
		j->why = xstrdup(e.msg);
	return j;
}

void
journal_close(struct journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		close(j->fd);
	ledger_release(&j->ledger);
	free(j->why);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

const char *
journal_why(const struct journal *j)
{
	return j->why;
}

/* --- In use. --- */

/* The lock is held from here on to the end. */
static struct writer
begin(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	return writer_make(j->fd);
}

/* A disk that is full ends the remembering, not the upload. */
static void
end(struct journal *j, struct writer *w)
{
	if (writer_end(w) < 0 && j->fd >= 0) {
		close(j->fd);
		j->fd = -1;
	}
	pthread_mutex_unlock(&j->lock);
}

static void
put_one(struct journal *j, const struct record *r)
{
	struct writer w = begin(j);

	writer_put(&w, r);
	end(j, &w);
}

static struct record
hash_record(const char *path, const struct stamp *stamp, const struct digest *d)
{
	struct record r = {.kind = RECORD_HASH,
	    .size = stamp->size,
	    .mtime = (uint64_t)stamp->mtime,
	    .ctime = (uint64_t)stamp->ctime,
	    .inode = stamp->inode,
	    .device = stamp->device,
	    .time = now_s(),
	    .digest = *d};

	make_key(&path, 1, r.key);
	return r;
}

bool
journal_hash(struct journal *j, const char *path, const struct stamp *stamp,
    enum hash_kind kind, struct digest *out)
{
	const struct digest d = {.kind = kind};
	struct record want = hash_record(path, stamp, &d);

	/* No lock: hashes do not change after it was opened. */
	return ledger_hash(&j->ledger, &want, out);
}

/* Whether a change from now on would show in that time. */
static bool
is_settled(int64_t time)
{
	int64_t tick = time % NS_PER_S ? TICK_NS : COARSE_TICK_NS, age;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	age = (int64_t)((uint64_t)now.tv_sec * NS_PER_S +
			(uint64_t)now.tv_nsec - (uint64_t)time);
	/* A time far ahead is none that the clock will give soon. */
	return age < -3 * NS_PER_S || age >= tick;
}

void
journal_put_hash(struct journal *j, const char *path, const struct stamp *stamp,
    const struct digest *d)
{
	struct record r = hash_record(path, stamp, d);

	if (is_settled(stamp->mtime) && is_settled(stamp->ctime))
		put_one(j, &r);
}

void
journal_forget_hash(struct journal *j, const char *path, enum hash_kind kind)
{
	/* No file has such a stamp. */
	const struct stamp none = {0};
	const struct digest d = {.kind = kind};
	struct record r = hash_record(path, &none, &d);

	put_one(j, &r);
}

bool
journal_take_multipart(struct journal *j, const struct digest *d, uint64_t size,
    struct multipart *out)
{
	bool found;

	pthread_mutex_lock(&j->lock);
	found = ledger_take_upload(&j->ledger, j->key, d, size, out);
	pthread_mutex_unlock(&j->lock);
	return found;
}

/* Under the lock. */
static void
put_done(struct journal *j, const struct digest *d, struct writer *w)
{
	struct record r = {.kind = RECORD_DONE};

	if (!ledger_upload(&j->ledger, j->key, d, &r.upload))
		return;
	writer_put(w, &r);
	ledger_end_upload(&j->ledger, r.upload);
}

void
journal_put_multipart(
    struct journal *j, const struct digest *d, const struct multipart *m)
{
	struct writer w = begin(j);

	put_done(j, d, &w);
	ledger_begin_upload(&j->ledger, j->key, d, m, now_s(), &w);
	end(j, &w);
}

void
journal_put_part(
    struct journal *j, const struct digest *d, size_t i, const char *etag)
{
	struct record r = {
	    .kind = RECORD_ETAG, .part = i + 1, .text = str_of(etag)};
	struct writer w = begin(j);

	if (ledger_upload(&j->ledger, j->key, d, &r.upload))
		writer_put(&w, &r);
	end(j, &w);
}

void
journal_drop_multipart(struct journal *j, const struct digest *d)
{
	struct writer w = begin(j);

	put_done(j, d, &w);
	end(j, &w);
}
