#include "repair.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "err.h"
#include "state.h"
#include "str.h"

int
repair_open(struct repair *r, const struct folder *f, const char *at,
    const struct maker *m, uint64_t size, struct stat *st, const char **why)
{
	struct err e;
	int fd = folder_openat(f, at, O_RDONLY | O_NONBLOCK, &e);

	*r = (struct repair){.f = f, .at = xstrdup(at)};
	*why = NULL;
	if (fd < 0 || fstat(fd, st) < 0)
		*why = "it cannot be opened";
	else if (!maker_published(m, st))
		*why = "it belongs to another user, or others can write to it";
	else if (st->st_size < 0 || (uint64_t)st->st_size > size)
		*why = "it has become longer";
	if (!*why) {
		stamp_of(st, &r->seen);
		r->mode = st->st_mode & 0777;
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

void
repair_release(struct repair *r)
{
	free(r->at);
	r->at = NULL;
}

int
repair_unchanged(const struct repair *r, int fd, struct err *e)
{
	struct stamp now;
	struct stat st;

	if (fstat(fd, &st) == 0 &&
	    (stamp_of(&st, &now), stamp_same(&now, &r->seen)))
		return 0;
	return err_set(
	    e, ERR_CONTENT, "another program is writing to '%s'", r->at);
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static int
was_replaced(const struct repair *r, struct err *e)
{
	return err_set(e, ERR_CONTENT,
	    "another program replaced '%s' during the repair", r->at);
}

/* After the rename: fd becomes one of the same file for writing. Its number
 * stays, since the hasher may be using it. */
static int
open_again(const struct repair *r, int fd, const char *name, struct err *e)
{
	int to = folder_openat(r->f, name, O_RDWR | O_NONBLOCK, e), rv = 0;
	struct stat was, now;

	if (to < 0)
		return -1;
	if (fstat(fd, &was) < 0 || fstat(to, &now) < 0 ||
	    !same_file(&was, &now))
		rv = was_replaced(r, e);
	else if (dup2(to, fd) < 0)
		rv = err_sys(e, ERR_FILE, "cannot open '%s'", r->at);
	close(to);
	return rv;
}

int
repair_take(struct repair *r, int fd, const char *name, struct err *e)
{
	struct stat st, there;
	struct err ignored;
	int rv;

	if (fstat(fd, &st) < 0 ||
	    folder_stat(r->f, r->at, &there, &ignored) != 0 ||
	    !same_file(&st, &there))
		return was_replaced(r, e);
	if (repair_unchanged(r, fd, e) < 0)
		return -1;
	if (st.st_nlink > 1)
		return 1;
	/* No other user can open it for writing from now on. It may have been
	 * read-only for its owner, too. */
	(void)fchmod(fd, (r->mode & ~(mode_t)022) | 0600);
	rv = folder_publish(r->f, r->at, name, e);
	if (rv == 0 && (rv = open_again(r, fd, name, e)) < 0)
		(void)folder_publish_new(r->f, name, r->at, &ignored);
	if (rv < 0)
		(void)fchmod(fd, r->mode);
	return rv;
}

int
repair_give_back(const struct repair *r, int fd, const char *name)
{
	struct err e;

	(void)fchmod(fd, r->mode);
	return folder_publish_new(r->f, name, r->at, &e) == 0 ? 0 : -1;
}

int
repair_blocks(const struct folder *f, const char *prefix,
    const struct digest *want, uint64_t size, const struct maker *m)
{
	struct buf path = buf_make(8192);
	char hex[2 * HASH_SIZE_MAX + 1];
	struct stat st;
	struct err e;
	int fd = -1;

	digest_hex(want, hex);
	buf_printf(&path, "%s%s.blocks", prefix, hex);
	if (size > STATE_BLOCK && size <= STATE_SIZE_MAX)
		fd = folder_openat(
		    f, buf_cstr(&path), O_RDONLY | O_NONBLOCK, &e);
	buf_release(&path);
	if (fd >= 0 && (fstat(fd, &st) < 0 || !maker_made(m, &st) ||
			   state_read(fd, want, size, size, NULL) != size)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool
repair_has_blocks(const struct folder *f, const char *prefix,
    const struct digest *want, uint64_t size, const struct maker *m)
{
	int fd = repair_blocks(f, prefix, want, size, m);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}
