#include "hash_impl.h"

size_t
hash_impls_arm(const struct hash_impl *out[])
{
	(void)out;
	return 0;
}
