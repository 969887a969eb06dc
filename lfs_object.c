#include "lfs_object.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

struct name {
	const struct digest *digest;
	size_t i;
};

static int
compare(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int c = memcmp(x->digest->b, y->digest->b, sizeof(x->digest->b));

	return c ? c : (x->i > y->i) - (x->i < y->i);
}

void
lfs_copies_init(struct lfs_copies *c, const struct lfs_object *object, size_t n)
{
	struct name *name = xcalloc(n, sizeof(name[0]));

	*c = (struct lfs_copies){
	    .next = xcalloc(n, sizeof(c->next[0])),
	    .later = xcalloc(n, sizeof(c->later[0])),
	};
	for (size_t i = 0; i < n; i++)
		name[i] = (struct name){&object[i].digest, i};
	qsort(name, n, sizeof(name[0]), compare);
	for (size_t i = 0; i < n; i++) {
		bool last = i + 1 == n ||
			    !digest_same(name[i].digest, name[i + 1].digest);

		c->next[name[i].i] = last ? LFS_NONE : name[i + 1].i;
		if (!last)
			c->later[name[i + 1].i] = true;
	}
	for (size_t i = 0; i < n; i++)
		if (!c->later[i]) {
			c->contents++;
			c->bytes += object[i].size;
		}
	free(name);
}

void
lfs_copies_release(struct lfs_copies *c)
{
	free(c->next);
	free(c->later);
	*c = (struct lfs_copies){.next = NULL};
}
