#include "bytes.h"

void
bytes_put_le(unsigned char *p, uint64_t x, size_t n)
{
	for (size_t i = 0; i < n; i++, x >>= 8)
		p[i] = (unsigned char)(x & 0xff);
}

uint64_t
bytes_get_le(const unsigned char *p, size_t n)
{
	uint64_t x = 0;

	while (n--)
		x = x << 8 | p[n];
	return x;
}

void
bytes_put_be(unsigned char *p, uint64_t x, size_t n)
{
	for (; n--; x >>= 8)
		p[n] = (unsigned char)(x & 0xff);
}

uint64_t
bytes_get_be(const unsigned char *p, size_t n)
{
	uint64_t x = 0;

	for (size_t i = 0; i < n; i++)
		x = x << 8 | p[i];
	return x;
}
