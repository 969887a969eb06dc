#ifndef HUB_CORPUS_H
#define HUB_CORPUS_H

/* Vectors that fuzzers begin with, too. */

#include <stdio.h>

#include "str.h"
#include "tests/unit/test.h"

/* The file of tests/fuzz/corpus; the caller releases it. */
static inline struct buf
corpus(const char *name)
{
	struct buf path = buf_make(4096), text = buf_make(1 << 20);
	FILE *f;

	buf_printf(&path, "tests/fuzz/corpus/%s", name);
	f = fopen(buf_cstr(&path), "rb");
	CHECK(f != NULL);
	if (f) {
		buf_added(&text, fread(buf_room(&text, 65536), 1, 65536, f));
		fclose(f);
	}
	buf_release(&path);
	return text;
}

#endif
