/*
 * The program as if it had been taken over by what a server sent: linked to it
 * with --wrap (Makefile), this runs before each head of an answer is read. It
 * says on standard error what it tried and how that ended; confine.py makes
 * the folder HUB_TEST_BOX for it. With HUB_TEST_FREE nothing is confined, which
 * shows that the tries would work.
 *
 * And as if the machine were odd: with HUB_TEST_CLOCK its wall clock jumps by
 * so many seconds forth and back, each time that it is looked at.
 */

#define _GNU_SOURCE /* chroot(), process_vm_readv() */

#include "tests/e2e/escape.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "http.h"
#include "sandbox.h"
#include "str.h"

/* The names are the linker's. */
int __real_http_head_parse(
    struct str text, struct http_head *out, struct err *e);
int __wrap_http_head_parse(
    struct str text, struct http_head *out, struct err *e);
int __real_confine_files(struct confine *c);
int __wrap_confine_files(struct confine *c);
bool __real_confine_calls(bool links, bool accepts);
bool __wrap_confine_calls(bool links, bool accepts);
int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
time_t __wrap_time(time_t *t);

static bool
is_free(void)
{
	return getenv("HUB_TEST_FREE") != NULL;
}

static const char *
ending(int rv)
{
	if (rv == 0)
		return "worked";
	return errno == EPERM || errno == EACCES || errno == EXDEV ||
		       errno == ENOSYS
		   ? "refused"
		   : "failed";
}

static void
try_all(const char *box)
{
	if (chdir(box) < 0)
		abort();
	for (size_t i = 0; i < countof(escapes); i++) {
		/* Where this works it would be the end. */
		if (is_free() && escapes[i].try == escape_exec)
			continue;
		dprintf(STDERR_FILENO, "escape: %d %s %s\n",
		    escapes[i].landlock, ending(escapes[i].try()),
		    escapes[i].name);
	}
}

int
__wrap_http_head_parse(struct str text, struct http_head *out, struct err *e)
{
	static atomic_uint calls;
	const char *box = getenv("HUB_TEST_BOX");

	/* A second time the free ones find what the first have made. */
	if (box && (atomic_fetch_add(&calls, 1) == 0 || !is_free()))
		try_all(box);
	return __real_http_head_parse(text, out, e);
}

int
__wrap_confine_files(struct confine *c)
{
	return is_free() ? 0 : __real_confine_files(c);
}

bool
__wrap_confine_calls(bool links, bool accepts)
{
	return is_free() ? false : __real_confine_calls(links, accepts);
}

int
__wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	static atomic_uint looks;
	const char *jump = getenv("HUB_TEST_CLOCK");
	int rv = __real_clock_gettime(clock, t);

	if (jump && clock == CLOCK_REALTIME && atomic_fetch_add(&looks, 1) & 1)
		t->tv_sec += strtol(jump, NULL, 10);
	return rv;
}

time_t
__wrap_time(time_t *t)
{
	struct timespec now;

	__wrap_clock_gettime(CLOCK_REALTIME, &now);
	if (t)
		*t = now.tv_sec;
	return now.tv_sec;
}
