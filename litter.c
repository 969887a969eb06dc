#define _GNU_SOURCE /* flock */

#include "litter.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "lease.h"
#include "str.h"
#include "traits.h"

/* Seconds until what stands there counts as left behind. */
#define LOCAL_AGE 3600
#define NETWORK_AGE (7 * 24 * 3600)

/* HASH.RANDOM.KIND, with a kind that nobody continues. */
static bool
is_litter(struct str name)
{
	struct str hash, random, kind, rest;

	if (!str_cut(name, '.', &hash, &rest) ||
	    !str_cut(rest, '.', &random, &kind))
		return false;
	return (str_is_hex(hash, 64) || str_is_hex(hash, 40)) &&
	       str_is_hex(random, 16) &&
	       (str_eq(kind, "part") || str_eq(kind, "tmp") ||
		   str_eq(kind, "old"));
}

static void
clean_one(const struct folder *f, const char *path, bool network, int64_t now)
{
	int64_t age = network ? NETWORK_AGE : LOCAL_AGE;
	struct stat st;
	struct err e;
	int fd = folder_openat(f, path, O_RDWR, &e);

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && now / 1000 - st.st_mtim.tv_sec > age &&
	    (network || flock(fd, LOCK_EX | LOCK_NB) == 0))
		folder_remove(f, path, &e);
	close(fd);
}

/* A state whose file got its name just before its run was killed. Whoever makes
 * one anew holds its lock, or finds that it is no longer there. */
static void
clean_orphan(const struct folder *f, const char *prefix, struct str name)
{
	struct buf state = buf_make(8192), part = buf_make(8192);
	struct str hash = str_make(name.s, name.n - strlen(".state"));
	struct stat st;
	struct err e;
	int fd = -1;

	buf_printf(&state, "%s%.*s", prefix, STRF(name));
	buf_printf(&part, "%s%.*s.part", prefix, STRF(hash));
	if (str_is_hex(hash, 64) || str_is_hex(hash, 40))
		fd = folder_openat(f, buf_cstr(&state), O_RDWR, &e);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
	    folder_stat(f, buf_cstr(&part), &st, &e) == 1)
		folder_remove(f, buf_cstr(&state), &e);
	if (fd >= 0)
		close(fd);
	buf_release(&state);
	buf_release(&part);
}

static void
clean_all(const struct folder *f, const char *prefix, DIR *d,
    const struct folder_traits *t)
{
	struct dirent *x;
	struct err e;
	int64_t now = 0;

	while ((x = readdir(d))) {
		struct buf path = buf_make(8192);

		buf_printf(&path, "%s%s", prefix, x->d_name);
		if (is_litter(str_of(x->d_name)) &&
		    (now || lease_clock(f, prefix, &now, &e) == 0))
			clean_one(f, buf_cstr(&path), t->network, now);
		if (!t->network && str_ends(str_of(x->d_name), ".state"))
			clean_orphan(f, prefix, str_of(x->d_name));
		buf_release(&path);
	}
}

void
litter_clean(const struct folder *f, const char *prefix)
{
	struct buf path = buf_make(8192);
	struct folder_traits t;
	struct err e;
	DIR *d = NULL;
	int fd;

	buf_printf(&path, "%s.", prefix);
	fd = folder_openat(f, buf_cstr(&path), O_RDONLY | O_DIRECTORY, &e);
	buf_release(&path);
	if (fd < 0)
		return;
	if (folder_traits(f, &t, &e) == 0)
		d = fdopendir(fd);
	if (!d) {
		close(fd);
		return;
	}
	clean_all(f, prefix, d, &t);
	closedir(d);
}
