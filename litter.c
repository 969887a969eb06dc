#define _GNU_SOURCE /* flock */

#include "litter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "hash.h"
#include "lease.h"
#include "mem.h"
#include "str.h"
#include "wait.h"

/* Seconds until what stands on a network file system counts as left behind. */
#define NETWORK_AGE (7 * 24 * 3600)

/* For how long, and how often, a run waits until another one has cleaned. */
#define WAIT_MS 5000
#define STEP_MS 10

static bool
is_hash(struct str s)
{
	return str_is_hex(s, 64) || str_is_hex(s, 40);
}

/* ".hub-RANDOM.tmp": of folder_write(). */
static bool
is_temp(struct str name)
{
	return name.n == 25 && str_starts(name, ".hub-") &&
	       str_ends(name, ".tmp") &&
	       str_is_hex(str_make(name.s + 5, 16), 16);
}

/* A name under which nobody continues: HASH.RANDOM.KIND, HASH.claim,
 * .RANDOM.tmp (lease.h), and copy-RANDOM of earlier versions. */
static bool
is_private(struct str name)
{
	struct str hash, random, kind;

	if (is_temp(name))
		return true;
	if (str_starts(name, "copy-"))
		return str_is_hex(str_make(name.s + 5, name.n - 5), 16);
	if (!str_cut(name, '.', &hash, &random) || (hash.n && !is_hash(hash)))
		return false;
	if (!str_cut(random, '.', &random, &kind))
		return hash.n && str_eq(random, "claim");
	return str_is_hex(random, 16) &&
	       (str_eq(kind, "tmp") ||
		   (hash.n && (str_eq(kind, "part") || str_eq(kind, "old"))));
}

/* HASH.part or HASH.state. */
static bool
is_kept(struct str name, struct str *hash, struct str *kind)
{
	return str_cut(name, '.', hash, kind) && is_hash(*hash) &&
	       (str_eq(*kind, "part") || str_eq(*kind, "state"));
}

/* A state whose file got its name just before its run was killed. */
static bool
is_orphan(const struct litter *l, struct str hash, struct str kind)
{
	struct buf part = buf_make(8192);
	struct stat st;
	struct err e;
	bool orphan = false;

	buf_printf(&part, "%s%.*s.part", l->prefix, STRF(hash));
	if (str_eq(kind, "state"))
		orphan = folder_stat(l->f, buf_cstr(&part), &st, &e) == 1;
	buf_release(&part);
	return orphan;
}

static bool
is_left(const struct litter *l, struct str name, const struct litter_end *end)
{
	struct str hash, kind;
	struct digest d;

	if (is_private(name))
		return true;
	if (!is_kept(name, &hash, &kind))
		return false;
	if (end && digest_parse(hash, &d) == 0 && end->placed(end->ctx, &d))
		return true;
	return is_orphan(l, hash, kind);
}

/* On a network file system only time tells that nobody uses it: *now is that
 * of the file system, in ms; 0: not asked yet. */
static bool
is_old(const struct litter *l, const char *path, int64_t *now)
{
	struct stat st;
	struct err e;

	if (!*now && lease_clock(l->f, l->prefix, now, &e) < 0)
		return false;
	return folder_stat(l->f, path, &st, &e) == 0 &&
	       *now / 1000 - st.st_mtim.tv_sec > NETWORK_AGE;
}

/* Removes from the folder that prefix names what is left there; with temp_only
 * nothing but temporary files. */
static bool
clean(const struct litter *l, const char *prefix, bool temp_only,
    const struct litter_end *end)
{
	struct buf path = buf_make(8192);
	bool removed = false;
	int64_t now = 0;
	struct dirent *x;
	struct err e;
	DIR *d = NULL;
	int fd;

	buf_printf(&path, "%s.", prefix);
	fd = folder_openat(l->f, buf_cstr(&path), O_RDONLY | O_DIRECTORY, &e);
	if (fd >= 0 && !(d = fdopendir(fd)))
		close(fd);
	while (d && (x = readdir(d))) {
		struct str name = str_of(x->d_name);

		if (temp_only ? !is_temp(name) : !is_left(l, name, end))
			continue;
		buf_clear(&path);
		buf_printf(&path, "%s%s", prefix, x->d_name);
		if (l->network && !is_old(l, buf_cstr(&path), &now))
			continue;
		if (folder_remove(l->f, buf_cstr(&path), &e) == 0)
			removed = true;
	}
	if (d)
		closedir(d);
	buf_release(&path);
	return removed;
}

static int
lock(int fd, int how)
{
	int rv;

	do
		rv = flock(fd, how | LOCK_NB);
	while (rv < 0 && errno == EINTR);
	return rv;
}

static void
let_go(struct litter *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

/* Whether the folder that is open as fd has still its name: its last user may
 * have removed it. */
static bool
is_there(const struct litter *l, const char *path, int fd)
{
	struct stat a, b;
	struct err e;

	return fstat(fd, &a) == 0 && folder_stat(l->f, path, &b, &e) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

enum held { HELD, HELD_ALONE, BUSY, NO_FOLDER, NO_LOCKS };

/* Opens the folder and locks it, exclusively if nobody else is there. */
static enum held
hold(struct litter *l, const char *path, bool create)
{
	enum held held = NO_LOCKS;
	struct err e;

	if (create && folder_make_parents(l->f, path, &e) < 0)
		return NO_FOLDER;
	l->fd = folder_openat(l->f, path, O_RDONLY | O_DIRECTORY, &e);
	if (l->fd < 0)
		return NO_FOLDER;
	if (lock(l->fd, LOCK_EX) == 0)
		held = HELD_ALONE;
	else if (lock(l->fd, LOCK_SH) == 0)
		held = HELD;
	else if (errno == EWOULDBLOCK)
		held = BUSY;
	if (held <= HELD_ALONE && !is_there(l, path, l->fd))
		held = BUSY;
	if (held > HELD_ALONE)
		let_go(l);
	return held;
}

/* The same, and cleans if nobody else is there. */
static enum held
hold_clean(struct litter *l, const char *path, bool create, bool *removed)
{
	enum held held = hold(l, path, create);

	if (held != HELD_ALONE)
		return held;
	*removed = clean(l, l->prefix, false, NULL) || *removed;
	/* The change of a lock may lose it to another run that waits. */
	if (lock(l->fd, LOCK_SH) == 0)
		return HELD;
	let_go(l);
	return BUSY;
}

bool
litter_enter(struct litter *l, const struct folder *f, const char *prefix,
    bool network, bool create)
{
	struct buf path = buf_make(8192);
	uint64_t end = wait_now() + WAIT_MS;
	bool removed = false;
	struct err e;
	enum held held = NO_LOCKS;

	*l = (struct litter){f, prefix, network, -1};
	buf_printf(&path, "%s.", prefix);
	while (!network) {
		held = hold_clean(l, buf_cstr(&path), create, &removed);
		if (held != BUSY || wait_now() >= end ||
		    wait_until(wait_now() + STEP_MS, &e) < 0)
			break;
	}
	l->network = held == NO_LOCKS;
	if (l->network)
		removed = clean(l, prefix, false, NULL);
	buf_release(&path);
	return removed;
}

/* An empty folder, right below l->f. */
static void
remove_folder(const struct litter *l)
{
	char *name = xstrndup(l->prefix, strlen(l->prefix) - 1);

	unlinkat(l->f->fd, name, AT_REMOVEDIR);
	free(name);
}

void
litter_leave(struct litter *l, const struct litter_end *end)
{
	/* From here on nothing there is ours, so the lock may be lost. */
	bool alone = l->fd >= 0 && lock(l->fd, LOCK_EX) == 0;

	if (alone || l->network) {
		clean(l, l->prefix, false, end);
		end->folders(end->ctx, l);
		if (end->remove_folder)
			remove_folder(l);
	}
	let_go(l);
}

void
litter_sweep(struct litter *l, const char *prefix)
{
	clean(l, prefix, true, NULL);
}
