/* Runs a command and writes what it cost to descriptor 3: seconds, seconds of
 * CPU, and KiB of memory at the peak. A program of its own, since a peak that
 * the kernel tells includes what the parent had when it forked. */

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double
seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	double began = now();
	struct rusage use;
	int status;
	pid_t pid;

	if (argc < 2 || (pid = fork()) < 0)
		return 127;
	if (pid == 0) {
		close(3);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		continue;
	getrusage(RUSAGE_CHILDREN, &use);
	dprintf(3, "%.6f %.6f %ld\n", now() - began,
	    seconds(use.ru_utime) + seconds(use.ru_stime), use.ru_maxrss);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
