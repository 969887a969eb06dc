#include "filehash.h"

#include <stdlib.h>

#include "file.h"
#include "mem.h"
#include "wait.h"

#define PIECE ((size_t)128 << 10)

int
filehash(int fd, uint64_t size, enum hash_kind kind, const char *name,
    void (*moved)(void *ctx, size_t n), void *ctx, struct digest *out,
    struct err *e)
{
	unsigned char *bytes = xmalloc(PIECE);
	struct hash h;
	int rv = 0;

	hash_init(&h, kind, size);
	for (uint64_t at = 0; rv == 0 && at < size;) {
		size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;

		rv = wait_check(e);
		if (rv == 0)
			rv = file_pread(fd, bytes, n, at, name, e);
		if (rv == 0) {
			hash_update(&h, bytes, n);
			if (moved)
				moved(ctx, n);
		}
		at += n;
	}
	hash_final(&h, out);
	free(bytes);
	return rv;
}
