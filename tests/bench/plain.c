/*
 * Linked into a program for aarch64 with --wrap=getauxval, it hides the
 * instructions for AES and hashes, as on the Cortex-A72 of a Raspberry Pi 4:
 * each CPU of qemu has them.
 */

#include <sys/auxv.h>

#include "arm.h"

unsigned long __wrap_getauxval(unsigned long type);
unsigned long __real_getauxval(unsigned long type);

unsigned long
__wrap_getauxval(unsigned long type)
{
	unsigned long value = __real_getauxval(type);

	if (type == AT_HWCAP)
		value &=
		    ~(unsigned long)(CAP_AES | CAP_PMULL | CAP_SHA1 | CAP_SHA2);
	return value;
}
