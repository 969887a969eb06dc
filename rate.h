#ifndef HUB_RATE_H
#define HUB_RATE_H

/* A number of bytes a second, as people write it. Pure. */

#include <stdint.h>

struct err;

/* "500K", "2M", "1.5G", plain bytes: SI units, an "iB" suffix means binary.
 * From 1 to 10^15; else ERR_USAGE. */
int rate_parse(const char *text, uint64_t *out, struct err *e);

#endif
