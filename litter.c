#define _GNU_SOURCE /* flock */

#include "litter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "hash.h"
#include "state.h"
#include "str.h"
#include "wait.h"

/* Files on a network file system are leftovers after this many seconds. */
#define NETWORK_AGE (7 * 24 * 3600)

/* How long (ms), and in which steps, a run waits while another one removes
 * leftovers. */
#define WAIT_MS 5000
#define STEP_MS 10

static bool
is_hash(struct str s)
{
	return str_is_hex(s, 64) || str_is_hex(s, 40);
}

/* ".hub-RANDOM.tmp", as folder_write() makes it. */
static bool
is_temp(struct str name)
{
	return name.n == 25 && str_starts(name, ".hub-") &&
	       str_ends(name, ".tmp") &&
	       str_is_hex(str_make(name.s + 5, 16), 16);
}

/* "names-RANDOM": the folder in which plan.c tries names. */
static bool
is_trial(struct str name)
{
	return name.n == 22 && str_starts(name, "names-") &&
	       str_is_hex(str_make(name.s + 6, 16), 16);
}

/* A name that no later run continues: HASH.RANDOM.KIND, HASH.claim, .RANDOM.tmp
 * (state.h), and copy-RANDOM of earlier versions. */
static bool
is_private(struct str name)
{
	struct str hash, random, kind;

	if (is_temp(name) || is_trial(name))
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

/* HASH.part, HASH.state or HASH.blocks. */
static bool
is_kept(struct str name, struct str *hash, struct str *kind)
{
	return str_cut(name, '.', hash, kind) && is_hash(*hash) &&
	       (str_eq(*kind, "part") || str_eq(*kind, "state") ||
		   str_eq(*kind, "blocks"));
}

/* Whether it is a state without a partial file: the run was killed after it
 * published that. */
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
	if (!is_kept(name, &hash, &kind) || digest_parse(hash, &d) < 0)
		return false;
	if (str_eq(kind, "blocks"))
		return end && end->unused && end->unused(end->ctx, &d);
	if (end && end->placed(end->ctx, &d))
		return true;
	return is_orphan(l, hash, kind);
}

/* Whether this run may remove it: it is our user's, and, on a network file
 * system, older than NETWORK_AGE. *now is the time of the file system (ms), 0
 * if not yet known. */
static bool
is_ours(const struct litter *l, const char *path, int64_t *now)
{
	struct stat st;
	struct err e;

	if (folder_stat(l->f, path, &st, &e) != 0 || st.st_uid != l->uid)
		return false;
	if (!l->network)
		return true;
	if (!*now && lease_clock(l->f, l->prefix, now, &e) < 0)
		return false;
	return *now / 1000 - st.st_mtim.tv_sec > NETWORK_AGE;
}

/* Removes a folder of is_trial(), and the empty files in it. */
static bool
remove_trial(const struct litter *l, const char *path)
{
	struct err e;
	int fd = folder_openat(l->f, path, O_RDONLY | O_DIRECTORY, &e);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *x;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while ((x = readdir(d)))
		unlinkat(fd, x->d_name, 0);
	closedir(d);
	return unlinkat(l->f->fd, path, AT_REMOVEDIR) == 0;
}

/* Removes leftovers from the folder prefix; with temp_only only temporary
 * files. True if something was removed. */
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
		if (!is_ours(l, buf_cstr(&path), &now))
			continue;
		if (is_trial(name)
			? remove_trial(l, buf_cstr(&path))
			: folder_remove(l->f, buf_cstr(&path), &e) == 0)
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

/* Whether path still names the folder that is open as fd: its last user may
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

/* Opens the folder and locks it, exclusively if no other run works there. */
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

/* The same, and removes leftovers if no other run works there. */
static enum held
hold_clean(struct litter *l, const char *path, bool create, bool *removed)
{
	enum held held = hold(l, path, create);

	if (held != HELD_ALONE)
		return held;
	*removed = clean(l, l->prefix, false, NULL) || *removed;
	/* While an exclusive lock becomes a shared one, another run may take
	 * it. */
	if (lock(l->fd, LOCK_SH) == 0)
		return HELD;
	let_go(l);
	return BUSY;
}

bool
litter_enter(struct litter *l, const struct folder *f, const char *prefix,
    uid_t uid, bool network, bool create)
{
	struct buf path = buf_make(8192);
	uint64_t end = wait_now() + WAIT_MS;
	bool removed = false;
	struct err e;
	enum held held = NO_LOCKS;

	*l = (struct litter){f, prefix, uid, network, -1};
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

/* Removes the folder of the prefix, right below l->f, if it is empty. */
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
	/* This run has no files there any more, so it may lose the lock. */
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
