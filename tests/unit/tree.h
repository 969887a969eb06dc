#ifndef HUB_TREE_H
#define HUB_TREE_H

/* For what includes cache.c: the text of a listing, read in two pieces. */

static inline int
tree_read(struct str text, size_t cut, const char *repo,
    int (*each)(void *ctx, const struct repo_file *f, struct err *e), void *ctx,
    struct err *e)
{
	struct tree_reader r = reader_make(each, ctx);
	int rv;

	r.repo = repo;
	rv = reader_feed(&r, str_make(text.s, cut), e);
	if (rv == 0)
		rv = reader_feed(&r, str_make(text.s + cut, text.n - cut), e);
	if (rv == 0)
		rv = reader_end(&r, e);
	if (rv == 0 && r.of_other)
		rv = 1;
	buf_release(&r.member);
	return rv;
}

#endif
