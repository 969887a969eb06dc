#include "lfs_part.h"

#include <stdlib.h>

#include "err.h"
#include "file.h"
#include "lfs_call.h"
#include "lfs_object.h"
#include "mem.h"
#include "progress.h"

struct sending {
	const struct lfs_part *p;
	uint64_t first, length;
	uint64_t shown; /* bytes of this try that the display has */
};

static void
unshow(struct sending *s)
{
	if (s->shown)
		progress_lost(s->p->progress, s->p->shown, s->shown);
	s->shown = 0;
}

/* Fewer bytes than there were: the file has changed, whatever read() says. */
static int
read_file(
    const struct sending *s, uint64_t offset, void *to, size_t n, struct err *e)
{
	const struct lfs_part *p = s->p;
	struct err changed;

	if (file_pread(p->fd, to, n, s->first + offset, p->object->name, e) ==
	    0)
		return 0;
	if (p->check(p->ctx, &changed) < 0)
		*e = changed;
	return -1;
}

/* The last bytes are only given away if the file is still what it was. */
static int
body_read(
    void *ctx, uint64_t offset, void *to, size_t cap, size_t *n, struct err *e)
{
	struct sending *s = ctx;
	const struct lfs_part *p = s->p;

	if (!offset)
		unshow(s);
	*n = s->length - offset < cap ? (size_t)(s->length - offset) : cap;
	if (!p->wanted(p->ctx))
		return err_set(e, ERR_NET, "it is sent no further");
	if (read_file(s, offset, to, *n, e) < 0)
		return -1;
	if (offset + *n == s->length && p->check(p->ctx, e) < 0)
		return -1;
	s->shown += *n;
	progress_add(p->progress, p->shown, *n);
	return 0;
}

static enum lfs_verdict
put(struct sending *s, char **etag, struct err *e)
{
	const struct multipart *m = s->p->m;
	struct lfs_body body = {s->length, body_read, s};
	enum lfs_verdict v =
	    lfs_call_put(s->p->repo, m->url[s->p->i], &body, etag, e);

	if (v == LFS_ARRIVED && s->shown < s->length) {
		free(*etag);
		*etag = NULL;
		err_set(e, ERR_NET, "the storage did not wait for all of it");
		return LFS_AGAIN;
	}
	if (v != LFS_ARRIVED || *etag)
		return v;
	if (!m->complete) {
		*etag = xstrdup("");
		return v;
	}
	err_set(e, ERR_REFUSED, "the storage gave no ETag for a part");
	return LFS_REFUSED;
}

enum lfs_verdict
lfs_part_send(const struct lfs_part *p, char **etag, struct err *e)
{
	struct sending s = {
	    .p = p,
	    .first = multipart_first(p->m, p->i),
	    .length = multipart_length(p->m, p->i),
	};
	enum lfs_verdict v;

	*etag = NULL;
	v = put(&s, etag, e);
	if (v != LFS_ARRIVED)
		unshow(&s);
	return v;
}
