#ifndef HUB_BYTES_H
#define HUB_BYTES_H

/* Numbers as bytes, little- or big-endian, the same on every CPU. */

#include <stddef.h>
#include <stdint.h>

/* The low n bytes of x, at most 8, to and from p. */
void bytes_put_le(unsigned char *p, uint64_t x, size_t n);
uint64_t bytes_get_le(const unsigned char *p, size_t n);
void bytes_put_be(unsigned char *p, uint64_t x, size_t n);
uint64_t bytes_get_be(const unsigned char *p, size_t n);

#endif
