/*
 * completion SHELL: what "hub completion SHELL" prints, for "make install".
 * Runs while building, on the machine that builds.
 */

#include <stdio.h>

#include "err.h"
#include "option.h"
#include "str.h"

int
main(int argc, char *argv[])
{
	struct buf b = buf_make(1 << 16);
	struct err e;

	if (completion_put(argc == 2 ? argv[1] : NULL, &b, &e) < 0) {
		fprintf(stderr, "completion: %s\n", e.msg);
		return 1;
	}
	fputs(buf_cstr(&b), stdout);
	buf_release(&b);
	return fflush(stdout) != 0 || ferror(stdout);
}
