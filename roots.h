#ifndef HUB_ROOTS_H
#define HUB_ROOTS_H

/*
 * The built-in trust anchors. roots.c is made at build time by tools/roots
 * from Debian's ca-certificates; it is not in the repository.
 */

#include <stddef.h>

/* Packed, see cert.h. The heads are an LZ4 frame of roots_heads_size bytes, which
 * become roots_heads_length. */
extern const unsigned char roots_heads[], roots_keys[];
extern const size_t roots_heads_size, roots_heads_length, roots_keys_size;
extern const size_t roots_count;
extern const char roots_date[]; /* date of the newest root file, "2023-03-11" */
extern const char roots_sha256[]; /* of the PEM files in the order of names */

#endif
