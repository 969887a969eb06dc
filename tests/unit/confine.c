#define _GNU_SOURCE /* chroot(), process_vm_readv() */

#include "sandbox.h"

#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "str.h"
#include "tests/e2e/escape.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"

enum { DONE = 0, REFUSED = 1, FAILED = 2 };

/* What the kernel has. */
static int landlock;
static bool seccomp;

/* How try ends in a process of its own, after begin. */
static int
outcome(void (*begin)(void), int (*try)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		begin();
		if (try() == 0)
			_exit(DONE);
		_exit(errno == EPERM || errno == EACCES || errno == EXDEV ||
			      errno == ENOSYS
			  ? REFUSED
			  : FAILED);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return FAILED;
	return WEXITSTATUS(status);
}

static void
fresh_folder(void)
{
	CHECK(system("rm -rf in out new other") == 0);
	CHECK(escape_prepare() == 0);
}

/* Neither a core nor, but for root, a look from outside. */
static int
be_dumpable(void)
{
	struct rlimit r;

	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
	    getrlimit(RLIMIT_CORE, &r) == 0 && r.rlim_cur <= 1) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

static void
stay(void)
{
}

static void
enter(void)
{
	struct confine c = confine_make();

	confine_write(&c, AT_FDCWD, "in");
	confine_files(&c);
	confine_calls(false, false);
}

/* Without it all of them work: else nothing would be shown. */
static void
test_escapes(void)
{
	for (size_t i = 0; i < countof(escapes); i++) {
		const struct escape *x = &escapes[i];
		bool held = x->landlock ? x->landlock <= landlock : seccomp;

		/* An emulator may not know the call at all. */
		if (!held)
			continue;
		fresh_folder();
		CHECK_ROW(i, outcome(stay, x->try) == DONE);
		fresh_folder();
		CHECK_ROW(i, outcome(enter, x->try) == REFUSED);
	}
}

/* --- What has to work. --- */

static int
do_create(void)
{
	return escape_open("in/new", O_RDWR | O_CREAT | O_EXCL | O_TRUNC);
}

static int
do_change(void)
{
	int fd = open("in/file", O_RDWR | O_TRUNC);

	if (fd < 0 || ftruncate(fd, 10) < 0 || futimens(fd, NULL) < 0 ||
	    fchmod(fd, 0600) < 0 || fsync(fd) < 0)
		return -1;
	return close(fd);
}

static int
do_folders(void)
{
	if (mkdir("in/a", 0700) < 0 || mkdir("in/a/b", 0700) < 0 ||
	    rename("in/file", "in/a/b/file") < 0 ||
	    rename("in/second", "in/a/b/file") < 0 || unlink("in/a/b/file") < 0)
		return -1;
	return rmdir("in/a/b");
}

static int
do_list(void)
{
	return escape_open("in", O_RDONLY | O_DIRECTORY);
}

static void *
in_thread(void *done)
{
	*(int *)done = do_change() < 0 || escape_create() == 0 ? -1 : 0;
	return NULL;
}

static int
do_threads(void)
{
	pthread_t id;
	int done = -1;

	errno = pthread_create(&id, NULL, in_thread, &done);
	if (errno || (errno = pthread_join(id, NULL)) != 0)
		return -1;
	return landlock ? done : 0;
}

/* The resolver's files, and a socket that it binds. */
static int
do_lookup(void)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	struct sockaddr_in a = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    close(fd) < 0 || getaddrinfo("127.0.0.1", "80", &hints, &list) != 0)
		return -1;
	freeaddrinfo(list);
	if (escape_open("/etc/resolv.conf", O_RDONLY) < 0 && errno != ENOENT)
		return -1;
	return escape_open("/etc/hosts", O_RDONLY) < 0 && errno != ENOENT ? -1
									  : 0;
}

static int
do_ask_alive(void)
{
	return kill(getpid(), 0);
}

static void
test_needed(void)
{
	static int (*const need[])(void) = {do_create, do_change, do_folders,
	    do_list, do_threads, do_lookup, do_ask_alive};

	for (size_t i = 0; i < countof(need); i++) {
		fresh_folder();
		CHECK_ROW(i, outcome(enter, need[i]) == DONE);
	}
}

/* --- Other sets of rules. --- */

static void
enter_reading(void)
{
	struct confine c = confine_make();
	int at = open("in", O_RDONLY | O_DIRECTORY);

	confine_read(&c, AT_FDCWD, "out/file");
	confine_read(&c, at, "file");
	confine_read(&c, at, "none");
	confine_files(&c);
}

static int
read_named(void)
{
	return escape_open("in/file", O_RDONLY);
}

static int
read_unnamed(void)
{
	return escape_open("out/second", O_RDONLY);
}

static void
test_reading(void)
{
	fresh_folder();
	CHECK(outcome(enter_reading, read_named) == DONE);
	CHECK(outcome(enter_reading, escape_read) == DONE);
	if (!landlock)
		return;
	CHECK(outcome(enter_reading, escape_write) == REFUSED);
	if (landlock < ESCAPE_READ)
		return;
	CHECK(outcome(enter_reading, read_unnamed) == REFUSED);
	CHECK(outcome(enter_reading, escape_list) == REFUSED);
}

/* Where the folder to write to is yet to be made. */
static int
make_later(const char *path, bool found)
{
	struct confine c = confine_make();

	if (confine_write(&c, AT_FDCWD, path) != found)
		return -1;
	confine_files(&c);
	return 0;
}

static int
do_missing(void)
{
	if (make_later("in/a//b/", false) < 0 || escape_write() == 0 ||
	    mkdir("in/a", 0700) < 0 || mkdir("in/a/b", 0700) < 0 ||
	    escape_file("in/a/x") < 0 || make_later("in/a/b", true) < 0 ||
	    escape_file("in/a/b/y") < 0)
		return -1;
	return escape_file("in/a/x") < 0 ? 0 : -1;
}

static int
do_missing_here(void)
{
	if (make_later("new", false) < 0 || mkdir("new", 0700) < 0 ||
	    escape_file("new/x") < 0)
		return -1;
	return escape_file("../x") < 0 ? 0 : -1;
}

/* Nobody can tell where that will be. */
static int
do_missing_upwards(void)
{
	if (make_later("in/a/../../other/x", false) < 0 ||
	    mkdir("in/a", 0700) < 0 || mkdir("other", 0700) < 0 ||
	    escape_file("other/x") < 0 ||
	    make_later("in/a/../../other", true) < 0)
		return -1;
	return escape_write() < 0 && escape_file("other/x") == 0 ? 0 : -1;
}

static void
test_missing(void)
{
	static int (*const row[])(void) = {
	    do_missing, do_missing_here, do_missing_upwards};

	for (size_t i = 0; landlock && i < countof(row); i++) {
		fresh_folder();
		CHECK_ROW(i, outcome(stay, row[i]) == DONE);
	}
}

static int
no_descriptors(void)
{
	struct confine c = confine_make();
	int fd;

	while ((fd = dup(0)) >= 0)
		;
	confine_write(&c, AT_FDCWD, "in");
	return confine_files(&c) == 0 && c.rules < 0 ? 0 : -1;
}

/* Half a set of rules would be a target that cannot be written. */
static void
test_no_descriptors(void)
{
	CHECK(outcome(stay, no_descriptors) == DONE);
}

/* Connections are accepted at a socket that listened before. */

static int listening;

static int
do_accept(void)
{
	int fd = accept(listening, NULL, NULL);

	/* None has come. */
	return fd < 0 && errno == EAGAIN ? 0 : -1;
}

/* Such a process makes none itself, and needs no name. */

static int
do_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? -1 : close(fd);
}

static int
do_connect(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET};

	/* It listens. */
	return connect(listening, (const struct sockaddr *)&at, sizeof(at)) <
			   0 &&
		       (errno == EPERM || errno == EACCES)
		   ? -1
		   : 0;
}

static int
read_hosts(void)
{
	return escape_open("/etc/hosts", O_RDONLY);
}

static void
enter_server(void)
{
	struct confine c = confine_make();

	c.accepts = true;
	confine_files(&c);
	confine_calls(false, true);
}

static void
test_accept(void)
{
	listening = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(listening >= 0 && listen(listening, 1) == 0 &&
	      fcntl(listening, F_SETFL, O_NONBLOCK) == 0);
	CHECK(outcome(stay, do_accept) == DONE);
	CHECK(outcome(enter_server, do_accept) == DONE);
	CHECK(!seccomp || outcome(enter, do_accept) == REFUSED);
	CHECK(outcome(enter, do_socket) == DONE);
	CHECK(!seccomp || outcome(enter_server, do_socket) == REFUSED);
	CHECK(outcome(enter, do_connect) == DONE);
	CHECK(!seccomp || outcome(enter_server, do_connect) == REFUSED);
	if (outcome(stay, read_hosts) == DONE) {
		fresh_folder();
		CHECK(outcome(enter, read_hosts) == DONE);
		CHECK(landlock < ESCAPE_READ ||
		      outcome(enter_server, read_hosts) == REFUSED);
	}
	close(listening);
}

static int
ask_landlock(void)
{
	struct confine c = confine_make();

	return confine_files(&c);
}

static int
ask_seccomp(void)
{
	return confine_calls(false, false) ? 0 : -1;
}

/* In other processes: this one must stay free. */
static int
version_here(void)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(ask_landlock());
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

int
main(void)
{
	char folder[SCRATCH_PATH];

	scratch_enter(folder);
	landlock = version_here();
	seccomp = outcome(stay, ask_seccomp) == DONE;
	CHECK(outcome(stay, be_dumpable) == DONE);
	CHECK(outcome(confine_memory, be_dumpable) == REFUSED);
	test_escapes();
	test_needed();
	test_reading();
	test_missing();
	test_no_descriptors();
	test_accept();
	scratch_leave(folder);
	if (!landlock)
		printf("no Landlock here: files were not tested\n");
	if (!seccomp)
		printf("no seccomp here: system calls were not tested\n");
	return test_end();
}
