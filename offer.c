#include "offer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crew.h"
#include "err.h"
#include "filehash.h"
#include "journal.h"
#include "mem.h"
#include "path.h"
#include "preupload.h"
#include "progress.h"
#include "repo_write.h"
#include "wait.h"

/* .gitignore and .gitattributes are shown to the Hub whole up to this. */
#define RULES_MAX ((size_t)1 << 20)

/* 256 paths, samples in base64, and the rules. */
#define QUESTION_MAX ((size_t)16 << 20)

#define THREADS_MAX 4

/* A text that short may be anywhere by chance. */
#define TOKEN_MIN 8
#define TOKEN_PIECE ((size_t)64 << 10)

void
offer_fail(struct offer_file *f, const struct err *why, struct progress *p)
{
	f->fate = OFFER_FAILED;
	if (!f->why)
		f->why = xmalloc(sizeof(*f->why));
	*f->why = *why;
	if (p)
		progress_finish(p, progress_start(p, f->path, 0, 0),
		    PROGRESS_FAILED, why->msg);
}

/* --- The local side. --- */

/* Opens the folder that path is, or is in; name gets the file's, or NULL. */
static int
open_source(struct offer *o, const char *path, char **name, struct err *e)
{
	const char *slash = strrchr(path, '/');
	struct stat st;
	char *folder;
	int rv;

	*name = NULL;
	if (stat(path, &st) < 0)
		return err_sys(e, errno == ENOENT ? ERR_USAGE : ERR_FILE,
		    "cannot upload '%s'", path);
	if (S_ISDIR(st.st_mode))
		return folder_open(&o->folder, path, false, e);
	*name = xstrdup(slash ? slash + 1 : path);
	folder = slash == path ? xstrdup("/")
		 : slash       ? xstrndup(path, (size_t)(slash - path))
			       : xstrdup(".");
	rv = folder_open(&o->folder, folder, false, e);
	free(folder);
	return rv;
}

/* Without "./" and '/' in front; "." is the root. */
static const char *
bare(const char *to)
{
	while (*to == '/' || strncmp(to, "./", 2) == 0)
		to += *to == '/' ? 1 : 2;
	return strcmp(to, ".") == 0 ? "" : to;
}

char *
offer_prefix(const char *to)
{
	struct buf b = buf_make(4 * SCAN_PATH_MAX);

	buf_puts(&b, bare(to));
	if (b.len && b.s[b.len - 1] != '/')
		buf_putc(&b, '/');
	return buf_detach(&b);
}

static int
place(struct offer *o, const char *to, struct err *e)
{
	bool whole = o->single && *bare(to) && !str_ends(str_of(to), "/");
	char *prefix = whole ? xstrdup(bare(to)) : offer_prefix(to);
	int rv = 0;

	o->n = o->scan.n;
	o->file = xcalloc(o->n, sizeof(o->file[0]));
	for (size_t i = 0; rv == 0 && i < o->n; i++) {
		struct offer_file *f = &o->file[i];
		struct buf b = buf_make(8 * SCAN_PATH_MAX);

		f->local = &o->scan.file[i];
		buf_puts(&b, prefix);
		buf_puts(&b, whole ? "" : f->local->path);
		f->path = buf_detach(&b);
		rv = path_check(str_of(f->path), e);
		if (rv == 0)
			rv = scan_path_check(f->path, e);
		if (rv == 0 && f->local->why) {
			struct err why;

			err_set(&why, ERR_PARTIAL, "%s", f->local->why);
			err_hint(&why, "leave it out with --exclude");
			offer_fail(f, &why, NULL);
		}
	}
	free(prefix);
	if (rv == 0)
		return 0;
	e->kind = ERR_USAGE;
	return *bare(to) ? err_in(e, "--path-in-repo") : -1;
}

int
offer_open(struct offer *o, const char *path, const char *to,
    const struct scan_rules *rules, const char *token, struct err *e)
{
	char *name;
	int rv;

	*o = (struct offer){.folder.fd = -1};
	if (token && strlen(token) >= TOKEN_MIN)
		o->token = token;
	rv = open_source(o, path, &name, e);
	o->single = name != NULL;
	if (rv == 0)
		rv = name ? scan_one(&o->folder, name, rules, &o->scan, e)
			  : scan_folder(&o->folder, rules, &o->scan, e);
	if (rv == 0)
		rv = place(o, to, e);
	free(name);
	return rv;
}

void
offer_release(struct offer *o)
{
	for (size_t i = 0; i < o->n; i++) {
		free(o->file[i].path);
		free(o->file[i].why);
	}
	free(o->file);
	o->file = NULL;
	o->n = 0;
	scan_release(&o->scan);
	folder_close(&o->folder);
}

/* --- How the Hub wants them. --- */

static int
by_path(const void *a, const void *b)
{
	return strcmp(a, ((const struct offer_file *)b)->path);
}

/* They are in the order of their paths: the same text in front of all changes
 * nothing. */
struct offer_file *
offer_find(const struct offer *o, const char *path)
{
	return bsearch(path, o->file, o->n, sizeof(o->file[0]), by_path);
}

static void
take_mode(void *ctx, const struct preupload_mode *m)
{
	struct offer_file *f = offer_find(ctx, m->path);

	if (!f || f->fate != OFFER_SEND)
		return;
	f->asked = true;
	/* The storage takes no empty content. */
	f->lfs = m->lfs && f->local->stamp.size > 0;
	f->known = m->known;
	f->there = m->there;
	if (m->ignored)
		f->fate = OFFER_IGNORED;
}

/* The text of a file of the upload that rules others; NULL if there is none. */
static char *
read_rules(const struct offer *o, const char *path)
{
	const struct offer_file *f = offer_find(o, path);
	struct buf b = buf_make(RULES_MAX);
	struct err ignored;

	if (f && folder_read(&o->folder, f->local->path, &b, &ignored) == 0)
		return buf_detach(&b);
	buf_release(&b);
	return NULL;
}

/* A file of /proc says that it is empty, and is not. */
static int
check_empty(int fd, struct err *e)
{
	char byte;
	ssize_t n = pread(fd, &byte, 1, 0);

	if (n == 0)
		return 0;
	if (n < 0)
		return err_sys(e, ERR_FILE, "cannot read it");
	return err_set(e, ERR_FILE,
	    "it is no ordinary file: its size is 0, and there are bytes in it");
}

static int
add_question(const struct offer *o, const struct offer_file *f, struct buf *b,
    struct err *e)
{
	unsigned char sample[PREUPLOAD_SAMPLE];
	uint64_t size = f->local->stamp.size;
	size_t n = size < sizeof(sample) ? (size_t)size : sizeof(sample);
	int fd = scan_open(&o->folder, f->local, e), rv;

	if (fd < 0)
		return -1;
	rv = size ? file_pread(fd, sample, n, 0, f->local->path, e)
		  : check_empty(fd, e);
	close(fd);
	if (rv == 0)
		preupload_add(b, f->path, size, sample, n);
	return rv;
}

/* Rules of the upload that the Hub does not have yet. */
struct rules {
	char *ignore, *attributes;
};

/* The question about the files from i to end; returns about how many. */
static size_t
put_question(struct offer *o, size_t i, size_t end, const struct rules *u,
    struct progress *p, struct buf *b)
{
	struct err why;
	size_t n = 0;

	preupload_begin(b);
	for (; i < end; i++) {
		struct offer_file *f = &o->file[i];

		if (f->fate == OFFER_FAILED)
			continue;
		if (add_question(o, f, b, &why) < 0)
			offer_fail(f, &why, p);
		else
			n++;
	}
	preupload_end(b, u->ignore, u->attributes);
	return n;
}

/* What the Hub said nothing of is not sent on a guess. */
static void
miss_some(struct offer *o, size_t i, size_t end, struct progress *p)
{
	struct err why;

	err_set(&why, ERR_CONTENT, "the Hub does not say how to send it");
	for (; i < end; i++)
		if (o->file[i].fate == OFFER_SEND && !o->file[i].asked)
			offer_fail(&o->file[i], &why, p);
}

/* head gets the head at that time, or "". */
static int
ask_some(struct offer *o, const struct repo *r, const char *revision,
    bool new_pr, const struct rules *u, size_t i, char head[41],
    struct progress *p, struct err *e)
{
	struct buf b = buf_make(QUESTION_MAX);
	size_t end = o->n - i < PREUPLOAD_MAX ? o->n : i + PREUPLOAD_MAX;
	int rv = 0;

	*head = '\0';
	if (put_question(o, i, end, u, p, &b))
		rv = repo_preupload(
		    r, revision, new_pr, &b, take_mode, o, head, e);
	if (rv == 0)
		miss_some(o, i, end, p);
	buf_release(&b);
	return rv;
}

int
offer_ask(struct offer *o, const struct repo *r, const char *revision,
    bool new_pr, char head[41], struct progress *p, struct err *e)
{
	struct rules u = {
	    read_rules(o, ".gitignore"), read_rules(o, ".gitattributes")};
	bool known = false;
	int rv = 0;

	progress_phase(p, "asking", o->n, 0);
	for (size_t i = 0; rv == 0 && i < o->n; i += PREUPLOAD_MAX) {
		char now[41];

		rv = ask_some(o, r, revision, new_pr, &u, i, now, p, e);
		/* The first: what came later may differ from what it told. */
		if (rv == 0 && *now && !known)
			memcpy(head, now, sizeof(now));
		known = known || *now;
		progress_tick(p, wait_status_asked());
	}
	free(u.ignore);
	free(u.attributes);
	return rv;
}

/* --- Hashing, several files beside each other. --- */

/* The lock of the crew guards next. */
struct hashing {
	struct offer *offer;
	struct journal *journal;
	struct progress *progress;
	bool dry;
	struct crew crew; /* left: files to be looked at */
	size_t next;      /* file to be looked at */
};

static bool
wants_hash(const struct offer_file *f, bool dry)
{
	return f->fate == OFFER_SEND && (f->known || (f->lfs && !dry));
}

struct moving {
	struct progress *progress;
	unsigned shown;
};

static void
moved(void *ctx, size_t n)
{
	const struct moving *m = ctx;

	progress_add(m->progress, m->shown, n);
}

static int
read_hash(const struct offer *o, struct offer_file *f, enum hash_kind kind,
    struct moving *m, struct err *e)
{
	const struct scan_file *l = f->local;
	int fd = scan_open(&o->folder, l, e), rv;

	if (fd < 0)
		return -1;
	rv =
	    filehash(fd, l->stamp.size, kind, l->path, moved, m, &f->digest, e);
	if (rv == 0)
		rv = scan_unchanged(&o->folder, fd, l, e);
	close(fd);
	return rv;
}

/* The hash that is compared, and sent. */
static enum hash_kind
kind_of(const struct offer_file *f)
{
	return f->lfs ? HASH_SHA256 : HASH_GIT;
}

int
offer_hash_again(struct offer *o, struct offer_file *f, struct journal *j,
    struct progress *p, struct err *e)
{
	const struct scan_file *l = f->local;
	struct moving m = {p, progress_start(p, f->path, l->stamp.size, 0)};

	f->remembered = false;
	if (read_hash(o, f, kind_of(f), &m, e) < 0) {
		progress_finish(p, m.shown, PROGRESS_FAILED, e->msg);
		return -1;
	}
	f->hashed = true;
	journal_put_hash(j, l->path, &l->stamp, &f->digest);
	progress_finish(p, m.shown, PROGRESS_DONE, NULL);
	return 0;
}

static int
hash_file(struct hashing *h, struct offer_file *f, struct err *e)
{
	const struct scan_file *l = f->local;
	struct progress *p = h->progress;

	if (journal_hash(
		h->journal, l->path, &l->stamp, kind_of(f), &f->digest)) {
		f->hashed = f->remembered = true;
		progress_finish(p, progress_start(p, f->path, l->stamp.size, 0),
		    PROGRESS_KEPT, NULL);
	} else if (offer_hash_again(h->offer, f, h->journal, p, e) < 0) {
		return -1;
	}
	if (f->known && digest_same(&f->digest, &f->there))
		f->fate = OFFER_SAME;
	return 0;
}

/* --- The token does not go out in a file. --- */

static bool
holds(const char *p, size_t n, const char *token, size_t length)
{
	const char *end = p + n, *at = p;

	while ((size_t)(end - at) >= length &&
	       (at = memchr(at, *token, (size_t)(end - at) - length + 1))) {
		if (memcmp(at, token, length) == 0)
			return true;
		at++;
	}
	return false;
}

/* Pieces overlap, so that it is found across their border. */
static int
look_for_token(
    int fd, const struct scan_file *l, const char *token, struct err *e)
{
	size_t length = strlen(token), room = TOKEN_PIECE + length, n;
	char *piece = xmalloc(room);
	int rv = 0;

	for (uint64_t at = 0; rv == 0 && at + length <= l->stamp.size;
	     at += TOKEN_PIECE) {
		uint64_t left = l->stamp.size - at;

		n = left < room ? (size_t)left : room;
		rv = file_pread(fd, piece, n, at, l->path, e);
		if (rv == 0 && holds(piece, n, token, length)) {
			rv = err_set(e, ERR_USAGE,
			    "it holds the token that is in use, and is not "
			    "sent");
			err_hint(e, "take the token out of it, or leave the "
				    "file out with --exclude");
		}
	}
	mem_wipe(piece, room);
	free(piece);
	return rv;
}

static bool
wants_look(const struct offer *o, const struct offer_file *f)
{
	return o->token && f->fate == OFFER_SEND &&
	       f->local->stamp.size <= OFFER_TOKEN_MAX;
}

static int
check_token(const struct offer *o, struct offer_file *f, struct err *e)
{
	int fd = scan_open(&o->folder, f->local, e), rv;

	if (fd < 0)
		return -1;
	rv = look_for_token(fd, f->local, o->token, e);
	close(fd);
	return rv;
}

/* --- All of them. --- */

static void
look_at(struct hashing *h, struct offer_file *f)
{
	struct err e = {.kind = ERR_NONE};
	bool shown = wants_hash(f, h->dry);

	if ((!shown || hash_file(h, f, &e) == 0) && wants_look(h->offer, f)) {
		shown = false;
		check_token(h->offer, f, &e);
	}
	if (e.kind == ERR_STOPPED) {
		crew_lock(&h->crew);
		crew_end(&h->crew, &e);
		crew_unlock(&h->crew);
	} else if (e.kind != ERR_NONE) {
		offer_fail(f, &e, shown ? NULL : h->progress);
	}
}

/* Under the lock: the next file to be looked at; NULL if there is none. */
static struct offer_file *
next_file(struct hashing *h)
{
	while (crew_busy(&h->crew) && h->next < h->offer->n) {
		struct offer_file *f = &h->offer->file[h->next++];

		if (wants_hash(f, h->dry) || wants_look(h->offer, f))
			return f;
	}
	return NULL;
}

static void *
hash_some(void *arg)
{
	struct hashing *h = arg;
	struct offer_file *f;

	crew_lock(&h->crew);
	while ((f = next_file(h))) {
		crew_unlock(&h->crew);
		look_at(h, f);
		crew_lock(&h->crew);
		h->crew.left--;
		if (!h->crew.left)
			crew_changed(&h->crew);
	}
	crew_unlock(&h->crew);
	return NULL;
}

static unsigned
thread_count(size_t files)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	size_t most = n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (size_t)n;

	return (unsigned)(files < most ? files : most);
}

static int
show_hashing(void *ctx, struct err *e)
{
	const struct hashing *h = ctx;

	(void)e;
	progress_tick(h->progress, wait_status_asked());
	return 0;
}

int
offer_hash(struct offer *o, bool dry, struct journal *j, struct progress *p,
    struct err *e)
{
	struct hashing h = {
	    .offer = o, .journal = j, .progress = p, .dry = dry};
	uint64_t bytes = 0;
	size_t files = 0, looks = 0;
	int rv;

	for (size_t i = 0; i < o->n; i++) {
		const struct offer_file *f = &o->file[i];

		if (wants_hash(f, dry)) {
			files++;
			bytes += f->local->stamp.size;
		} else if (wants_look(o, f)) {
			looks++;
		}
	}
	if (!files && !looks)
		return 0;
	if (files)
		progress_phase(p, "hashing", files, bytes);
	crew_init(&h.crew, files + looks, THREADS_MAX);
	rv = crew_start(&h.crew, thread_count(files + looks), hash_some, &h, e);
	if (rv == 0) {
		crew_watch(&h.crew, show_hashing, &h);
		rv = crew_join(&h.crew, e);
	}
	crew_release(&h.crew);
	return rv;
}
