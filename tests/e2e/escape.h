#ifndef HUB_ESCAPE_H
#define HUB_ESCAPE_H

/*
 * What a process that was taken over would try. Each returns 0 if it could, -1
 * with errno if not. They stand in a folder with "in" and "out", of which only
 * "in" is for the process to write to (escape_prepare).
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static inline int
escape_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	return fd < 0 ? -1 : close(fd);
}

/* Here, with what the attempts need. */
static inline int
escape_prepare(void)
{
	if (mkdir("in", 0700) < 0 || mkdir("out", 0700) < 0 ||
	    mkdir("out/folder", 0700) < 0)
		return -1;
	return escape_file("in/file") < 0 || escape_file("in/second") < 0 ||
		       escape_file("out/file") < 0 ||
		       escape_file("out/second") < 0 ||
		       escape_file("out/third") < 0 ||
		       escape_file("out/fourth") < 0
		   ? -1
		   : 0;
}

static inline int
escape_open(const char *path, int flags)
{
	int fd = open(path, flags, 0600);

	return fd < 0 ? -1 : close(fd);
}

static inline int
escape_read(void)
{
	return escape_open("out/file", O_RDONLY);
}

static inline int
escape_list(void)
{
	return escape_open("out", O_RDONLY | O_DIRECTORY);
}

static inline int
escape_write(void)
{
	return escape_open("out/file", O_WRONLY);
}

static inline int
escape_append(void)
{
	return escape_open("out/file", O_WRONLY | O_APPEND);
}

static inline int
escape_create(void)
{
	return escape_open("out/new", O_WRONLY | O_CREAT);
}

/* For who has only a folder in "in". */
static inline int
escape_beside(void)
{
	return escape_open("in/beside", O_WRONLY | O_CREAT);
}

static inline int
escape_upwards(void)
{
	return escape_open("in/../new", O_WRONLY | O_CREAT);
}

static inline int
escape_mkdir(void)
{
	return mkdir("out/new-folder", 0700);
}

static inline int
escape_rmdir(void)
{
	return rmdir("out/folder");
}

static inline int
escape_remove(void)
{
	return unlink("out/second");
}

static inline int
escape_rename(void)
{
	return rename("out/third", "out/other");
}

static inline int
escape_move_out(void)
{
	return rename("in/file", "out/moved");
}

static inline int
escape_move_in(void)
{
	return rename("out/fourth", "in/moved");
}

static inline int
escape_link(void)
{
	return link("out/file", "in/link");
}

static inline int
escape_link_out(void)
{
	return link("in/second", "out/link");
}

static inline int
escape_symlink(void)
{
	return symlink("/", "in/symlink");
}

static inline int
escape_fifo(void)
{
	return mkfifo("in/fifo", 0600);
}

static inline int
escape_truncate(void)
{
	return truncate("out/file", 0);
}

static inline int
escape_bind(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM, 0), rv, saved;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	rv = bind(fd, (struct sockaddr *)&a, sizeof(a));
	saved = errno;
	close(fd);
	errno = saved;
	return rv;
}

/* SIGCONT does nothing to a process that runs. */
static inline int
escape_signal(void)
{
	return (int)syscall(SYS_tkill, getppid(), SIGCONT);
}

static inline int
escape_kill(void)
{
	return kill(getppid(), SIGCONT);
}

static inline int
escape_chmod(void)
{
	return chmod("out/file", 0644);
}

static inline int
escape_chown(void)
{
	return chown("out/file", (uid_t)-1, (gid_t)-1);
}

static inline int
escape_utimes(void)
{
	return utimensat(AT_FDCWD, "out/file", NULL, 0);
}

static inline int
escape_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return pid < 0 ? -1 : 0;
}

/* Does not return where it can. */
static inline int
escape_exec(void)
{
	static char name[] = "true";
	char *const words[] = {name, NULL};
	char *const none[] = {NULL};

	return execve("/bin/true", words, none);
}

static inline int
escape_memory(void)
{
	char from = 1, to = 0;
	struct iovec a = {&from, 1}, b = {&to, 1};

	return process_vm_readv(getpid(), &b, 1, &a, 1, 0) == 1 ? 0 : -1;
}

static inline int
escape_unshare(void)
{
	return (int)syscall(SYS_unshare, 0);
}

static inline int
escape_socket(int family)
{
	int fd = socket(family, SOCK_DGRAM, 0);

	return fd < 0 ? -1 : close(fd);
}

static inline int
escape_unix(void)
{
	return escape_socket(AF_UNIX);
}

static inline int
escape_netlink(void)
{
	return escape_socket(AF_NETLINK);
}

#ifdef SYS_socketcall
/* The same by the call that does all of them. */
static inline int
escape_socketcall(void)
{
	const long arguments[] = {AF_UNIX, SOCK_DGRAM, 0};
	const long socket = 1; /* linux/net.h */
	int fd = (int)syscall(SYS_socketcall, socket, arguments);

	return fd < 0 ? -1 : close(fd);
}
#endif

static inline int
escape_listen(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), rv = listen(fd, 1);
	int saved = errno;

	close(fd);
	errno = saved;
	return rv;
}

/* Without a filter the descriptor is what is wrong. */
static inline int
escape_type(void)
{
	return ioctl(-1, TIOCSTI, "x") < 0 && errno == EBADF ? 0 : -1;
}

static inline int
escape_chroot(void)
{
	return chroot("none") < 0 && errno == ENOENT ? 0 : -1;
}

#ifdef __x86_64__
/* getpid() as a 32-bit program asks. */
static inline int
escape_32(void)
{
	long rv = 20;

	__asm__ volatile("int $0x80"
			 : "+a"(rv)
			 :
			 : "memory", "r8", "r9", "r10", "r11");
	errno = rv < 0 ? (int)-rv : 0;
	return rv < 0 ? -1 : 0;
}
#endif

#define ESCAPE_NEVER 99

/* With glibc everything can be read (sandbox.c). */
#ifdef __GLIBC__
#define ESCAPE_READ ESCAPE_NEVER
#else
#define ESCAPE_READ 2
#endif

/* landlock: the version of it that refuses this; 0: the filter of system calls
 * does. The last one does not return if it can. */
static const struct escape {
	const char *name;
	int (*try)(void);
	int landlock;
} escapes[] = {
    {"read", escape_read, ESCAPE_READ},
    {"list", escape_list, ESCAPE_READ},
    {"write", escape_write, 2},
    {"append", escape_append, 2},
    {"create", escape_create, 2},
    {"create beside", escape_beside, ESCAPE_NEVER},
    {"create upwards", escape_upwards, 2},
    {"mkdir", escape_mkdir, 2},
    {"rmdir", escape_rmdir, 2},
    {"remove", escape_remove, 2},
    {"rename", escape_rename, 2},
    {"move out", escape_move_out, 2},
    {"move in", escape_move_in, 2},
    {"link", escape_link, 2},
    {"link out", escape_link_out, 2},
    {"truncate", escape_truncate, 3},
    {"bind", escape_bind, 4},
    {"signal", escape_signal, 6},
    {"symlink", escape_symlink, 0},
    {"fifo", escape_fifo, 0},
    {"kill", escape_kill, 0},
    {"chmod", escape_chmod, 0},
    {"chown", escape_chown, 0},
    {"utimes", escape_utimes, 0},
    {"memory", escape_memory, 0},
    {"unshare", escape_unshare, 0},
    {"unix socket", escape_unix, 0},
    {"netlink socket", escape_netlink, 0},
#ifdef SYS_socketcall
    {"unix socket by socketcall", escape_socketcall, 0},
#endif
    {"listen", escape_listen, 0},
    {"type", escape_type, 0},
    {"chroot", escape_chroot, 0},
#ifdef __x86_64__
    {"32-bit call", escape_32, 0},
#endif
#ifndef __GLIBC__
    {"fork", escape_fork, 0},
    {"exec", escape_exec, 0},
#endif
};

#endif
