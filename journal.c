#define _GNU_SOURCE /* realpath */

/*
 * Every line is "CRC FIELD...", with one blank between fields: CRC is the
 * CRC-32 of what follows it, in 8 hexadecimal digits. A line with another sum
 * is ignored. A KEY is the beginning of a SHA-256.
 *
 * A hash has the KEY of a path and a kind of hash; a later line counts more
 * than an earlier one. Times of files are in ns since 1970, in two's
 * complement; written is in Unix seconds, and 0 if the hash is wrong. The
 * device is omitted, see file.h.
 *
 *	KEY size mtime ctime inode written digest
 *
 * An upload is in a file named by the KEY of repository and content:
 *
 *	U size chunk expires url    where to say that all parts are there
 *	P part url                  where a part goes (from 1)
 *	E part crc etag             a part has arrived; crc is that of its url
 *
 * The records of xorbs are no lines: CRC and length, of 4 bytes each, stand
 * before each piece. What follows a torn piece could not be found: it is cut off
 * before others are added.
 */

#include "journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "batch.h"
#include "err.h"
#include "file.h"
#include "str.h"
#include "url.h"
#include "wait.h"

#define KEY_LENGTH 32
#define SUM_LENGTH 9 /* with the blank */

/* The longest line: a URL and a few numbers. */
#define JOURNAL_LINE_MAX ((size_t)URL_MAX + 512)

/* The text of one upload: what a batch answer may hold, and the ETags. */
#define UPLOAD_TEXT_MAX ((size_t)64 << 20)

#define PIECE ((size_t)64 << 10)

/* More files than a repository should have; 32 MiB of memory. */
#define ENTRIES_MAX ((size_t)1 << 18)

/* Hashes and records of chunks older than this are dropped. */
#define HASH_KEPT_S ((uint64_t)90 * 24 * 3600)

/* S3 signs no address for longer than a week. */
#define UPLOAD_KEPT_S (7 * 24 * 3600)

/* The assumed lifetime of addresses without an expiry. */
#define LASTS_S (24 * 3600)

/* Steps of a file system's clock: a tick of the kernel, or FAT's two seconds
 * where there are no fractions. */
#define TICK_NS INT64_C(50000000)
#define COARSE_TICK_NS INT64_C(2000000000)
#define NS_PER_S INT64_C(1000000000)

#define SOURCE_DIR ".cache/huggingface/upload"
#define PARTS ".parts"
#define XORBS ".xorbs"
#define CHUNKS ".chunks"
#define TEMP ".tmp"

/* A KEY, or a random number, with what is before and behind it. */
#define NAME_SIZE (KEY_LENGTH + 16)

/* The hash of a file. */
struct saved {
	char key[KEY_LENGTH + 1];
	struct stamp stamp; /* device: 0 */
	uint64_t written;
	uint32_t line; /* its number in the file */
	struct digest digest;
};

struct journal {
	struct folder dir;
	char name[NAME_SIZE]; /* of the file with the hashes */
	int fd; /* that file, to append to; -1: nothing is saved */
	char *why;
	struct hash hash; /* for keys: to ask the CPU only once */
	char repo[KEY_LENGTH + 1];
	struct saved *entry; /* sorted by key; fixed once it is open */
	size_t n, cap;
};

static uint64_t
now_s(void)
{
	return (uint64_t)time(NULL);
}

/* --- Lines. --- */

/* Begins a line; returns its place for end_line(). */
static size_t
begin_line(struct buf *b)
{
	size_t at = b->len;

	buf_puts(b, "00000000 ");
	return at;
}

static void
end_line(struct buf *b, size_t at)
{
	char sum[SUM_LENGTH];

	if (b->full)
		return;
	snprintf(sum, sizeof(sum), "%08" PRIx32,
	    crc32_of(b->s + at + SUM_LENGTH, b->len - at - SUM_LENGTH));
	memcpy(b->s + at, sum, SUM_LENGTH - 1);
	buf_putc(b, '\n');
}

/* Removes the sum from *line. False if it is wrong. */
static bool
check_sum(struct str *line)
{
	struct str sum;
	uint64_t crc;

	return str_cut(*line, ' ', &sum, line) && str_is_hex(sum, 8) &&
	       str_num(sum, 16, UINT32_MAX, &crc) == 0 &&
	       crc == crc32_of(line->s, line->n);
}

static bool
cut_number(struct str *rest, uint64_t *out)
{
	struct str word;

	return str_cut(*rest, ' ', &word, rest) &&
	       str_num(word, 10, UINT64_MAX, out) == 0;
}

/* Gives each line with the right sum to take(). False if a line was wrong,
 * without an end, or refused by take(). A line that is too long ends the
 * file. */
static bool
read_lines(int fd, bool (*take)(void *ctx, struct str line), void *ctx)
{
	struct buf b = buf_make(JOURNAL_LINE_MAX + PIECE);
	struct str line, rest;
	bool good = true;
	ssize_t n;

	while (b.len <= JOURNAL_LINE_MAX &&
	       (n = read(fd, buf_room(&b, PIECE), PIECE)) > 0) {
		buf_added(&b, (size_t)n);
		rest = buf_str(&b);
		while (str_cut(rest, '\n', &line, &rest))
			good = check_sum(&line) && take(ctx, line) && good;
		buf_drop(&b, b.len - rest.n);
	}
	good = good && !b.len;
	mem_wipe(b.s, b.cap); /* signed addresses */
	buf_release(&b);
	return good;
}

/* Writes all of b with one call where possible, and empties it. */
static int
flush(int fd, struct buf *b)
{
	int rv = b->full ? -1 : file_write(fd, b->s, b->len);

	if (b->s)
		mem_wipe(b->s, b->len);
	buf_clear(b);
	return rv;
}

/* --- Names and files. --- */

/* Each text counts with its '\0': "ab", "c" is not "a", "bc". */
static void
make_key(const struct journal *j, const char *const text[], size_t n,
    char key[KEY_LENGTH + 1])
{
	struct hash h = j->hash;
	struct digest d;

	hash_restart(&h, HASH_SHA256, 0);
	for (size_t i = 0; i < n; i++)
		hash_update(&h, text[i], strlen(text[i]) + 1);
	hash_final(&h, &d);
	hex_encode(d.b, KEY_LENGTH / 2, key);
}

/* Names the file for the upload of a content, of that kind. False if nothing is
 * saved. */
static bool
upload_name(const struct journal *j, const struct digest *d, const char *kind,
    char name[NAME_SIZE])
{
	char content[2 * HASH_SIZE_MAX + 1];
	const char *text[] = {NULL, content};

	if (!j || j->fd < 0)
		return false;
	text[0] = j->repo;
	digest_hex(d, content);
	make_key(j, text, countof(text), name);
	memcpy(name + KEY_LENGTH, kind, sizeof(PARTS));
	return true;
}

/* Opens a file of this user; -1 if there is none. */
static int
open_own(const struct journal *j, const char *name, int flags)
{
	struct err ignored;
	struct stat st;
	int fd = folder_openat(&j->dir, name, flags, &ignored);

	if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_uid != geteuid())) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Removes uploads that nobody continued, chunks of which no version followed, and
 * what a killed run left. */
static void
clean(const struct journal *j)
{
	int fd = openat(j->dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	time_t now = time(NULL);
	struct dirent *x;
	struct stat st;

	while (d && (x = readdir(d))) {
		struct str name = str_of(x->d_name);
		bool upload = str_ends(name, PARTS) || str_ends(name, XORBS) ||
			      str_ends(name, TEMP);
		time_t kept = upload ? UPLOAD_KEPT_S : (time_t)HASH_KEPT_S;

		if ((upload || str_ends(name, CHUNKS)) &&
		    fstatat(fd, x->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    now - st.st_mtime > kept)
			unlinkat(fd, x->d_name, 0);
	}
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
}

/* --- Hashes. --- */

/* By key; of one key, the later line first. */
static int
compare(const void *x, const void *y)
{
	const struct saved *a = x, *b = y;
	int c = memcmp(a->key, b->key, KEY_LENGTH);

	return c ? c : (a->line < b->line) - (a->line > b->line);
}

static bool
take_entry(void *ctx, struct str line)
{
	struct journal *j = ctx;
	struct saved en = {.line = (uint32_t)j->n};
	uint64_t n[5];
	struct str key;

	if (!str_cut(line, ' ', &key, &line) || !str_is_hex(key, KEY_LENGTH) ||
	    j->n == ENTRIES_MAX)
		return false;
	for (size_t i = 0; i < countof(n); i++)
		if (!cut_number(&line, &n[i]))
			return false;
	if (digest_parse(line, &en.digest) < 0)
		return false;
	memcpy(en.key, key.s, KEY_LENGTH);
	en.stamp = (struct stamp){n[0], (int64_t)n[1], (int64_t)n[2], n[3], 0};
	en.written = n[4];
	if (j->n == j->cap) {
		j->cap = j->cap ? 2 * j->cap : 64;
		j->entry = xreallocarray(j->entry, j->cap, sizeof(en));
	}
	j->entry[j->n++] = en;
	return true;
}

static void
put_entry(struct buf *b, const struct saved *en)
{
	const struct stamp *s = &en->stamp;
	char digest[2 * HASH_SIZE_MAX + 1];
	size_t at = begin_line(b);

	digest_hex(&en->digest, digest);
	buf_printf(b,
	    "%s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s",
	    en->key, s->size, (uint64_t)s->mtime, (uint64_t)s->ctime, s->inode,
	    en->written, digest);
	end_line(b, at);
}

/* Sorts, keeps the last line of each key, and drops what is too old. Returns
 * whether it kept all. */
static bool
settle(struct journal *j)
{
	uint64_t now = now_s();
	size_t all = j->n;

	if (all)
		qsort(j->entry, all, sizeof(j->entry[0]), compare);
	j->n = 0;
	for (size_t i = 0; i < all; i++) {
		const struct saved *en = &j->entry[i];
		bool later = i && memcmp(en->key, en[-1].key, KEY_LENGTH) == 0;

		/* A time in the future, from a wrong clock, counts as too
		 * old. */
		if (later || now - en->written >= HASH_KEPT_S)
			continue;
		j->entry[j->n] = *en;
		j->entry[j->n++].line = 0;
	}
	return j->n == all;
}

/* Writes all hashes to a new file. Returns it, to be appended to. */
static int
rewrite(const struct journal *j, struct err *e)
{
	struct buf b = buf_make(PIECE + JOURNAL_LINE_MAX);
	char temp[NAME_SIZE];
	struct err ignored;
	int fd, rv = 0;

	snprintf(temp, sizeof(temp), "%016" PRIx64 TEMP, wait_random());
	fd = folder_create(&j->dir, temp, 0600, e);
	if (fd < 0)
		return -1;
	for (size_t i = 0; i < j->n && rv == 0; i++) {
		put_entry(&b, &j->entry[i]);
		if (b.len >= PIECE)
			rv = flush(fd, &b);
	}
	if (rv == 0)
		rv = flush(fd, &b);
	buf_release(&b);
	if (rv < 0)
		err_sys(
		    e, ERR_FILE, "cannot write '%s/%s'", j->dir.path, j->name);
	if (rv == 0 && folder_publish(&j->dir, temp, j->name, e) == 0 &&
	    fcntl(fd, F_SETFL, O_APPEND) == 0)
		return fd;
	close(fd);
	folder_remove(&j->dir, temp, &ignored);
	return -1;
}

static void
append_entry(const struct journal *j, const struct saved *en)
{
	struct buf b = buf_make(JOURNAL_LINE_MAX);

	if (j->fd < 0)
		return;
	put_entry(&b, en);
	flush(j->fd, &b);
	buf_release(&b);
}

static struct saved
make_entry(const struct journal *j, const char *path, enum hash_kind kind)
{
	const char *text[] = {kind == HASH_SHA256 ? "sha256" : "git", path};
	struct saved en = {.digest.kind = kind};

	make_key(j, text, countof(text), en.key);
	return en;
}

bool
journal_hash(const struct journal *j, const char *path,
    const struct stamp *stamp, enum hash_kind kind, struct digest *out)
{
	struct saved want = make_entry(j, path, kind);
	const struct saved *en = NULL;

	if (j->n)
		en = bsearch(&want, j->entry, j->n, sizeof(want), compare);
	want.stamp = *stamp;
	want.stamp.device = 0;
	if (!en || en->digest.kind != kind ||
	    !stamp_same(&en->stamp, &want.stamp))
		return false;
	*out = en->digest;
	return true;
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
	/* The clock will not give a time far ahead soon. */
	return age < -3 * NS_PER_S || age >= tick;
}

bool
journal_put_hash(struct journal *j, const char *path, const struct stamp *stamp,
    const struct digest *d)
{
	struct saved en = make_entry(j, path, d->kind);
	bool settled = is_settled(stamp->mtime) && is_settled(stamp->ctime);

	en.stamp = *stamp;
	en.digest = *d;
	en.written = now_s();
	if (settled)
		append_entry(j, &en);
	return settled;
}

void
journal_forget_hash(struct journal *j, const char *path)
{
	struct saved wrong = make_entry(j, path, HASH_SHA256);

	append_entry(j, &wrong);
}

/* --- Opening. --- */

/* Opens the files in j->dir. */
static int
open_files(struct journal *j, struct err *e)
{
	int fd = open_own(j, j->name, O_RDWR | O_APPEND);
	bool good = fd >= 0 && read_lines(fd, take_entry, j);

	/* Lines that are not of use are left out. */
	if (!settle(j) || !good) {
		if (fd >= 0)
			close(fd);
		fd = rewrite(j, e);
	}
	j->fd = fd;
	if (fd < 0)
		return -1;
	clean(j);
	return 0;
}

static int
open_in_source(struct journal *j, const struct folder *source, struct err *e)
{
	struct buf path = buf_make(1 << 16);

	/* git is to ignore the folder. */
	if (folder_make_parents(source, SOURCE_DIR "/journal", e) < 0 ||
	    folder_write_new(
		source, ".cache/huggingface/.gitignore", str_of("*\n"), e) < 0)
		return -1;
	j->dir.fd =
	    folder_openat(source, SOURCE_DIR, O_RDONLY | O_DIRECTORY, e);
	if (j->dir.fd < 0)
		return -1;
	buf_printf(&path, "%s/" SOURCE_DIR, source->path);
	j->dir.path = buf_detach(&path);
	snprintf(j->name, sizeof(j->name), "journal");
	return open_files(j, e);
}

static int
open_in_state(struct journal *j, const struct journal_opts *o, struct err *e)
{
	char *real = realpath(o->source->path, NULL);
	const char *text[] = {real ? real : o->source->path};
	char key[KEY_LENGTH + 1];

	make_key(j, text, countof(text), key);
	free(real);
	snprintf(j->name, sizeof(j->name), "upload-%s", key);
	if (folder_open(&j->dir, o->state, true, e) < 0)
		return -1;
	return open_files(j, e);
}

struct journal *
journal_open(const struct journal_opts *o)
{
	const char *text[] = {o->endpoint, o->type, o->id};
	struct journal *j = xcalloc(1, sizeof(*j));
	struct err e = {.kind = ERR_NONE};
	int rv;

	j->dir.fd = j->fd = -1;
	hash_init(&j->hash, HASH_SHA256, 0);
	make_key(j, text, countof(text), j->repo);
	rv = open_in_source(j, o->source, &e);
	if (rv < 0 && o->state) {
		/* The hashes that it read stay. */
		folder_close(&j->dir);
		rv = open_in_state(j, o, &e);
	}
	if (rv < 0)
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
	folder_close(&j->dir);
	free(j->entry);
	free(j->why);
	free(j);
}

const char *
journal_why(const struct journal *j)
{
	return j->why;
}

const struct folder *
journal_folder(const struct journal *j)
{
	return j->fd < 0 ? NULL : &j->dir;
}

/* --- Uploads. --- */

static void
put_part(struct buf *b, const struct multipart *m, size_t i, const char *etag)
{
	size_t at = begin_line(b);

	buf_printf(b, "E %zu %" PRIu32 " %s", i + 1,
	    crc32_of(m->url[i], strlen(m->url[i])), etag);
	end_line(b, at);
}

static void
put_upload(struct buf *b, const struct multipart *m)
{
	size_t at = begin_line(b);

	buf_printf(b, "U %" PRIu64 " %" PRIu64 " %" PRIu64 " %s", m->size,
	    m->chunk, m->expires ? m->expires : now_s() + LASTS_S, m->complete);
	end_line(b, at);
	for (size_t i = 0; i < m->count; i++) {
		at = begin_line(b);
		buf_printf(b, "P %zu %s", i + 1, m->url[i]);
		end_line(b, at);
		if (m->etag[i])
			put_part(b, m, i, m->etag[i]);
	}
}

static bool
take_upload(struct multipart *m, struct str line)
{
	uint64_t size, chunk, expires;

	if (m->count || !cut_number(&line, &size) ||
	    !cut_number(&line, &chunk) || !cut_number(&line, &expires) ||
	    multipart_init(m, size, chunk) < 0)
		return false;
	m->expires = expires;
	m->complete = str_dup(line);
	return true;
}

/* Takes each line once, and an ETag only for the address in the file: another
 * run may have replaced the upload that it belongs to. */
static bool
take_line(void *ctx, struct str line)
{
	struct multipart *m = ctx;
	uint64_t part, crc;
	struct str kind;
	size_t i;

	if (!str_cut(line, ' ', &kind, &line))
		return false;
	if (str_eq(kind, "U"))
		return take_upload(m, line);
	if (!cut_number(&line, &part) || part < 1 || part > m->count)
		return false;
	i = (size_t)part - 1;
	if (str_eq(kind, "P") && !m->url[i])
		m->url[i] = str_dup(line);
	else if (str_eq(kind, "E") && m->url[i] && !m->etag[i] &&
		 cut_number(&line, &crc) &&
		 crc == crc32_of(m->url[i], strlen(m->url[i])))
		m->etag[i] = str_dup(line);
	return true;
}

static bool
is_usable(const struct multipart *m, uint64_t size)
{
	for (size_t i = 0; i < m->count; i++)
		if (!m->url[i])
			return false;
	return m->count && m->size == size && !multipart_lapses(m, now_s());
}

bool
journal_get_multipart(const struct journal *j, const struct digest *d,
    uint64_t size, struct multipart *out)
{
	char name[NAME_SIZE];
	int fd = -1;

	*out = (struct multipart){0};
	if (upload_name(j, d, PARTS, name))
		fd = open_own(j, name, O_RDONLY);
	if (fd < 0)
		return false;
	read_lines(fd, take_line, out);
	close(fd);
	if (is_usable(out, size))
		return true;
	multipart_release(out);
	return false;
}

void
journal_put_multipart(
    struct journal *j, const struct digest *d, const struct multipart *m)
{
	struct buf b = buf_make(UPLOAD_TEXT_MAX);
	char name[NAME_SIZE];
	struct err ignored;
	int fd;

	if (!m->complete || !upload_name(j, d, PARTS, name))
		return;
	folder_remove(&j->dir, name, &ignored);
	fd = folder_create(&j->dir, name, 0600, &ignored);
	if (fd < 0)
		return;
	put_upload(&b, m);
	flush(fd, &b);
	buf_release(&b);
	close(fd);
}

void
journal_put_part(struct journal *j, const struct digest *d,
    const struct multipart *m, size_t i, const char *etag)
{
	struct buf b = buf_make(JOURNAL_LINE_MAX);
	char name[NAME_SIZE];
	int fd = -1;

	if (m->complete && upload_name(j, d, PARTS, name))
		fd = open_own(j, name, O_WRONLY | O_APPEND);
	if (fd < 0)
		return;
	put_part(&b, m, i, etag);
	flush(fd, &b);
	buf_release(&b);
	close(fd);
}

void
journal_drop_multipart(struct journal *j, const struct digest *d)
{
	char name[NAME_SIZE];
	struct err ignored;

	if (upload_name(j, d, PARTS, name))
		folder_remove(&j->dir, name, &ignored);
}

/* --- Uploads by Xet. --- */

#define PIECE_HEAD 8

/* The records of 5.7 TB, which is more than the largest file. */
#define XORBS_MAX ((uint64_t)1 << 32)

bool
journal_next(struct journal_pieces *p, struct buf *b)
{
	unsigned char head[PIECE_HEAD];
	struct err ignored;
	uint64_t n;
	char *to;
	bool good;

	if (p->fd < 0 || p->end - p->at <= PIECE_HEAD ||
	    file_pread(p->fd, head, PIECE_HEAD, p->at, "", &ignored) < 0)
		return false;
	n = bytes_get_le(head + 4, 4);
	if (!n || n > p->end - p->at - PIECE_HEAD || n > b->max - b->len)
		return false;
	to = buf_room(b, (size_t)n);
	good = file_pread(p->fd, to, (size_t)n, p->at + PIECE_HEAD, "",
		   &ignored) == 0 &&
	       bytes_get_le(head, 4) == crc32_of(to, (size_t)n);
	buf_added(b, good ? (size_t)n : 0);
	p->at += good ? PIECE_HEAD + n : 0;
	return good;
}

void
journal_pieces_close(struct journal_pieces *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

/* Opens a file of pieces, each of at most max bytes. What follows the last good
 * one is cut off. */
static void
open_pieces(const struct journal *j, const char *name, size_t max,
    struct journal_pieces *out)
{
	struct buf b = buf_make(max);
	struct stat st;

	*out = (struct journal_pieces){.fd = open_own(j, name, O_RDWR)};
	if (out->fd >= 0 && fstat(out->fd, &st) == 0 && st.st_size > 0)
		out->end = (uint64_t)st.st_size;
	while (journal_next(out, &b))
		buf_clear(&b);
	if (out->at < out->end && ftruncate(out->fd, (off_t)out->at) < 0)
		journal_pieces_close(out);
	out->end = out->at;
	out->at = 0;
	buf_release(&b);
}

/* Appends a piece to a file. If that would be longer than max, what it has is
 * dropped. */
static void
put_piece(
    const struct journal *j, const char *name, struct str records, uint64_t max)
{
	struct buf b = buf_make(PIECE_HEAD + records.n);
	unsigned char head[PIECE_HEAD];
	struct err ignored;
	struct stat st;
	int fd = open_own(j, name, O_WRONLY | O_APPEND);

	if (fd >= 0 &&
	    (fstat(fd, &st) < 0 ||
		(uint64_t)st.st_size + PIECE_HEAD + records.n > max)) {
		close(fd);
		folder_remove(&j->dir, name, &ignored);
		fd = -1;
	}
	if (fd < 0) {
		st.st_size = 0;
		fd = folder_create(&j->dir, name, 0600, &ignored);
	}
	if (fd < 0)
		return;
	bytes_put_le(head, crc32_of(records.s, records.n), 4);
	bytes_put_le(head + 4, records.n, 4);
	buf_add(&b, head, sizeof(head));
	buf_str_add(&b, records);
	/* Behind a torn piece no other would be found once there is room. */
	if (flush(fd, &b) < 0 && ftruncate(fd, st.st_size) < 0)
		folder_remove(&j->dir, name, &ignored);
	buf_release(&b);
	close(fd);
}

void
journal_xorbs(
    const struct journal *j, const struct digest *d, struct journal_pieces *out)
{
	char name[NAME_SIZE];

	*out = (struct journal_pieces){.fd = -1};
	if (upload_name(j, d, XORBS, name))
		open_pieces(j, name, JOURNAL_XORB_MAX, out);
}

void
journal_put_xorb(struct journal *j, const struct digest *d, struct str records)
{
	char name[NAME_SIZE];

	if (upload_name(j, d, XORBS, name))
		put_piece(j, name, records, XORBS_MAX);
}

void
journal_drop_xorbs(struct journal *j, const struct digest *d)
{
	char name[NAME_SIZE];
	struct err ignored;

	if (upload_name(j, d, XORBS, name))
		folder_remove(&j->dir, name, &ignored);
}

/* The name of the file for the next versions. False if nothing is saved. */
static bool
chunks_name(const struct journal *j, char name[NAME_SIZE])
{
	if (!j || j->fd < 0)
		return false;
	snprintf(name, NAME_SIZE, "%s" CHUNKS, j->repo);
	return true;
}

void
journal_put_chunks(struct journal *j, struct str records)
{
	char name[NAME_SIZE];

	if (records.n && chunks_name(j, name))
		put_piece(j, name, records, JOURNAL_CHUNKS_MAX);
}

void
journal_chunks(const struct journal *j, struct journal_pieces *out)
{
	char name[NAME_SIZE];

	*out = (struct journal_pieces){.fd = -1};
	if (chunks_name(j, name))
		open_pieces(j, name, JOURNAL_CHUNKS_MAX, out);
}

void
journal_drop_chunks(struct journal *j)
{
	char name[NAME_SIZE];
	struct err ignored;

	if (chunks_name(j, name))
		folder_remove(&j->dir, name, &ignored);
}
