#ifndef HUB_SCRATCH_H
#define HUB_SCRATCH_H

/* A folder for one test, away from all others. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

#define SCRATCH_PATH 24

static inline void
scratch_make(char path[SCRATCH_PATH])
{
	static const char name[SCRATCH_PATH] = "/tmp/hub_test.XXXXXX";

	memcpy(path, name, sizeof(name));
	CHECK(mkdtemp(path) != NULL);
}

/* With all that is in it, also what may not be written. */
static inline void
scratch_remove(const char *path)
{
	char command[2 * SCRATCH_PATH + 32];

	snprintf(
	    command, sizeof(command), "chmod -R u+w %s; rm -rf %s", path, path);
	CHECK(system(command) == 0);
}

#endif
