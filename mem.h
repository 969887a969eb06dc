#ifndef HUB_MEM_H
#define HUB_MEM_H

/*
 * Memory that is there or the program ends: "hub: out of memory", status 1.
 *
 * Every size that comes from outside is checked against a limit before it
 * gets here, and what was transferred is kept, so ending is safe and saves half
 * of all error paths.
 */

#include <stddef.h>

#define countof(a) (sizeof(a) / sizeof((a)[0]))

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xreallocarray(void *p, size_t n, size_t size); /* checks n * size */
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n); /* copies n bytes, adds '\0' */

/* Overwrites n bytes in a way that the compiler cannot leave out. */
void mem_wipe(void *p, size_t n);

#endif
