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

void
offer_fail(struct offer_file *f, const struct err *why)
{
	f->fate = OFFER_FAILED;
	free(f->why);
	f->why = xstrdup(why->msg);
	f->kind = (int)why->kind;
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
	}
	free(prefix);
	if (rv == 0)
		return 0;
	e->kind = ERR_USAGE;
	return *bare(to) ? err_in(e, "--path-in-repo") : -1;
}

int
offer_open(struct offer *o, const char *path, const char *to,
    const struct glob_list *include, const struct glob_list *exclude,
    struct err *e)
{
	char *name;
	int rv;

	*o = (struct offer){.folder.fd = -1};
	rv = open_source(o, path, &name, e);
	o->single = name != NULL;
	if (rv == 0)
		rv = name ? scan_one(&o->folder, name, &o->scan, e)
			  : scan_folder(
				&o->folder, include, exclude, &o->scan, e);
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
	f->lfs = m->lfs && f->local->size > 0;
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

static int
add_question(const struct offer *o, const struct offer_file *f, struct buf *b,
    struct err *e)
{
	unsigned char sample[PREUPLOAD_SAMPLE];
	uint64_t size = f->local->size;
	size_t n = size < sizeof(sample) ? (size_t)size : sizeof(sample);
	int fd = scan_open(&o->folder, f->local, e), rv;

	if (fd < 0)
		return -1;
	rv = file_pread(fd, sample, n, 0, f->local->path, e);
	close(fd);
	if (rv == 0)
		preupload_add(b, f->path, size, sample, n);
	return rv;
}

/* The question about the files from i to end; returns about how many. */
static size_t
put_question(struct offer *o, size_t i, size_t end, const char *ignore,
    const char *attributes, struct buf *b)
{
	struct err why;
	size_t n = 0;

	preupload_begin(b);
	for (; i < end; i++)
		if (add_question(o, &o->file[i], b, &why) < 0)
			offer_fail(&o->file[i], &why);
		else
			n++;
	preupload_end(b, ignore, attributes);
	return n;
}

/* What the Hub said nothing of is not sent on a guess. */
static void
miss_some(struct offer *o, size_t i, size_t end)
{
	struct err why;

	err_set(&why, ERR_CONTENT, "the Hub does not say how to send it");
	for (; i < end; i++)
		if (o->file[i].fate == OFFER_SEND && !o->file[i].asked)
			offer_fail(&o->file[i], &why);
}

/* Rules of the upload that the Hub does not have yet. */
struct rules {
	char *ignore, *attributes;
};

/* head gets the head at that time, or "". */
static int
ask_some(struct offer *o, const struct repo *r, const char *revision,
    bool new_pr, const struct rules *u, size_t i, char head[41], struct err *e)
{
	struct buf b = buf_make(QUESTION_MAX);
	size_t end = o->n - i < PREUPLOAD_MAX ? o->n : i + PREUPLOAD_MAX;
	int rv = 0;

	*head = '\0';
	if (put_question(o, i, end, u->ignore, u->attributes, &b))
		rv = repo_preupload(
		    r, revision, new_pr, &b, take_mode, o, head, e);
	if (rv == 0)
		miss_some(o, i, end);
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

		rv = ask_some(o, r, revision, new_pr, &u, i, now, e);
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
	struct crew crew; /* left: files */
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
	rv = filehash(fd, l->size, kind, l->path, moved, m, &f->digest, e);
	if (rv == 0)
		rv = scan_unchanged(fd, l, e);
	close(fd);
	return rv;
}

static int
hash_file(struct hashing *h, struct offer_file *f, struct err *e)
{
	const struct scan_file *l = f->local;
	const struct journal_file seen = {
	    l->path, l->size, l->inode, l->mtime_s, l->mtime_ns};
	enum hash_kind kind = f->lfs ? HASH_SHA256 : HASH_GIT;
	struct moving m = {h->progress, 0};
	enum progress_outcome how = PROGRESS_KEPT;

	m.shown = progress_start(h->progress, f->path, l->size, 0);
	if (!journal_hash(h->journal, &seen, kind, &f->digest)) {
		if (read_hash(h->offer, f, kind, &m, e) < 0) {
			progress_finish(
			    h->progress, m.shown, PROGRESS_FAILED, e->msg);
			return -1;
		}
		journal_put_hash(h->journal, &seen, &f->digest);
		how = PROGRESS_DONE;
	}
	progress_finish(h->progress, m.shown, how, NULL);
	if (f->known && digest_same(&f->digest, &f->there))
		f->fate = OFFER_SAME;
	return 0;
}

/* Under the lock: the next file to be hashed; NULL if there is none. */
static struct offer_file *
next_file(struct hashing *h)
{
	while (crew_busy(&h->crew) && h->next < h->offer->n) {
		struct offer_file *f = &h->offer->file[h->next++];

		if (wants_hash(f, h->dry))
			return f;
	}
	return NULL;
}

static void *
hash_some(void *arg)
{
	struct hashing *h = arg;
	struct offer_file *f;
	struct err e;

	crew_lock(&h->crew);
	while ((f = next_file(h))) {
		int rv;

		crew_unlock(&h->crew);
		rv = hash_file(h, f, &e);
		crew_lock(&h->crew);
		if (rv < 0 && e.kind != ERR_STOPPED)
			offer_fail(f, &e);
		else if (rv < 0)
			crew_end(&h->crew, &e);
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
	size_t files = 0;
	int rv;

	for (size_t i = 0; i < o->n; i++)
		if (wants_hash(&o->file[i], dry)) {
			files++;
			bytes += o->file[i].local->size;
		}
	if (!files)
		return 0;
	progress_phase(p, "hashing", files, bytes);
	crew_init(&h.crew, files, THREADS_MAX);
	rv = crew_start(&h.crew, thread_count(files), hash_some, &h, e);
	if (rv == 0) {
		crew_watch(&h.crew, show_hashing, &h);
		rv = crew_join(&h.crew, e);
	}
	crew_release(&h.crew);
	return rv;
}
