
#include "../../state.c"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

static struct owner
on_boot(unsigned char boot)
{
	struct owner o = {.pid = 1};

	memset(o.boot, boot, sizeof(o.boot));
	return o;
}

static void
test_boot(void)
{
	const struct owner unknown = on_boot(0), a = on_boot(1), b = on_boot(2);

	CHECK(!owner_knows_boot(&unknown) && owner_knows_boot(&a));
	CHECK(owner_same_boot(&a, &a));
	CHECK(!owner_same_boot(&a, &b) && !owner_same_boot(&b, &a));
	/* Two of whom nothing is known are not said to be the same. */
	CHECK(!owner_same_boot(&unknown, &unknown));
	CHECK(!owner_same_boot(&a, &unknown));
}

/* A child has another number on the same kernel, if /proc says which. */
static void
test_self(void)
{
	struct owner me, child;
	int end[2], status;
	ssize_t n;
	pid_t pid;

	owner_self(&me);
	CHECK(me.pid == (uint32_t)getpid() && me.nonce == 0);
	CHECK(pipe(end) == 0);
	pid = fork();
	if (pid == 0) {
		owner_self(&child);
		n = write(end[1], &child, sizeof(child));
		_exit(n == sizeof(child) ? 0 : 1);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(read(end[0], &child, sizeof(child)) == sizeof(child));
	CHECK(child.pid == (uint32_t)pid && child.pids == me.pids);
	CHECK(owner_same_boot(&me, &child) == owner_knows_boot(&me));
	CHECK(owner_knows_boot(&me) == (access("/proc/self", F_OK) == 0));
	close(end[0]);
	close(end[1]);
}

int
main(void)
{
	test_boot();
	test_self();
	return test_end();
}
