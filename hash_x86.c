#include "hash_impl.h"

size_t
hash_impls_x86(const struct hash_impl *out[])
{
	(void)out;
	return 0;
}
