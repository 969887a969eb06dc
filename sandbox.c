#define _GNU_SOURCE /* syscall(), O_PATH */

#include "sandbox.h"

#include <sys/resource.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

/* Limits cores to 1 byte: at 0 Linux still gives the core to the program that
 * core_pattern names; at 1 it does not, and no core is that short. A process
 * that is not dumpable has no core either, and cannot be traced, nor its memory
 * be read. */
void
confine_memory(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_CORE, &r) == 0) {
		r.rlim_cur = r.rlim_max > 0 ? 1 : 0;
		setrlimit(RLIMIT_CORE, &r);
	}
#ifdef __linux__
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

#ifdef __linux__

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "path.h"
#include "str.h"

/* --- Landlock; include/uapi/linux/landlock.h of the kernel. --- */

/* A libc may be older than Landlock. These numbers are the same everywhere
 * except on Alpha and MIPS, whose libcs have them. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#define ASK_VERSION 1
#define RULE_PATH_BENEATH 1

enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_CHAR = 1 << 6,
	FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8,
	FS_MAKE_SYM = 1 << 12,
	FS_REFER = 1 << 13,     /* version 2 */
	FS_TRUNCATE = 1 << 14,  /* version 3 */
	FS_IOCTL_DEV = 1 << 15, /* version 5 */

	FS_READ = FS_READ_FILE | FS_READ_DIR,
	FS_WRITE = FS_READ | FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE |
		   FS_MAKE_DIR | FS_MAKE_REG | FS_REFER | FS_TRUNCATE,
	FS_OF_FILE = FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE,
};

enum { NET_BIND_TCP = 1 << 0 };
enum { SCOPE_ABSTRACT_SOCKET = 1 << 0, SCOPE_SIGNAL = 1 << 1 };

struct ruleset {
	uint64_t files, net, scope;
};

struct beneath {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

/* Begins a set of rules: everything that this version controls is refused
 * unless a rule allows it. */
static struct ruleset
handled(int version)
{
	struct ruleset r = {.files = (FS_REFER << 1) - 1};

	if (version >= 3)
		r.files |= FS_TRUNCATE;
	if (version >= 4)
		r.net = NET_BIND_TCP;
	if (version >= 5)
		r.files |= FS_IOCTL_DEV;
	if (version >= 6)
		r.scope = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL;
	return r;
}

static void
drop(struct confine *c)
{
	if (c->rules >= 0)
		close(c->rules);
	*c = (struct confine){.rules = -1};
}

/* Opens a path for a rule. O_DIRECTORY comes first: only that triggers an
 * automount, without which the rule would be about the place below the
 * mount. */
static int
open_place(int at, const char *path, bool *folder)
{
	const int flags = O_PATH | O_CLOEXEC;
	int fd = openat(at, path, flags | O_DIRECTORY);

	*folder = fd >= 0;
	return fd < 0 && errno == ENOTDIR ? openat(at, path, flags) : fd;
}

/* Allows rights below a path. False with errno if it does not exist. If it
 * cannot be opened for lack of memory or descriptors, the rules would lock out
 * what is needed: then there are no rules at all. */
static bool
allow(struct confine *c, int at, const char *path, uint64_t what)
{
	bool folder;
	struct beneath b = {
	    .allowed = what & handled(c->version).files,
	    .fd = open_place(at, path, &folder),
	};
	int error = errno;

	if (b.fd < 0) {
		if (error == EMFILE || error == ENFILE || error == ENOMEM)
			drop(c);
		errno = error;
		return false;
	}
	if (!folder)
		b.allowed &= FS_OF_FILE;
	if (syscall(SYS_landlock_add_rule, c->rules, RULE_PATH_BENEATH, &b, 0) <
	    0)
		drop(c);
	close(b.fd);
	return true;
}

/* Allows reading what names are resolved with. Of resolv.conf that is its
 * folder, wherever that really is: the file is read anew for each name, and is
 * replaced when the machine moves to another network. */
static void
allow_resolver(struct confine *c)
{
	static const char path[] = "/etc/resolv.conf";
	char *real = realpath(path, NULL), *slash;

	confine_read(c, AT_FDCWD, "/etc/hosts");
	slash = real ? strrchr(real, '/') : NULL;
	if (slash && slash > real)
		*slash = '\0';
	confine_read(c, AT_FDCWD, slash > real ? real : "/etc");
	free(real);
}

static void
allow_system(struct confine *c)
{
#ifdef __GLIBC__
	/* glibc loads the libraries that nsswitch.conf names; and sanitizers
	 * read many files. */
	static const char *const path[] = {"/"};
#else
	static const char *const path[] = {
	    "/dev/urandom", "/proc/sys/kernel/random/boot_id"};
#endif

	for (size_t i = 0; i < countof(path); i++)
		confine_read(c, AT_FDCWD, path[i]);
}

struct confine
confine_make(void)
{
	long version =
	    syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);
	struct confine c = {.rules = -1};
	struct ruleset r;

	if (version < 2)
		return c;
	r = handled((int)version);
	c.rules = (int)syscall(SYS_landlock_create_ruleset, &r, sizeof(r), 0);
	if (c.rules < 0)
		return c;
	c.version = (int)version;
	allow_system(&c);
	return c;
}

void
confine_read(struct confine *c, int at, const char *path)
{
	if (c->rules >= 0)
		allow(c, at, path, FS_READ);
}

bool
confine_write(struct confine *c, int at, const char *path)
{
	char *name = xstrdup(path);
	bool there = true;

	while (c->rules >= 0 && !allow(c, at, *name ? name : ".",
				    FS_WRITE | (c->links ? FS_MAKE_SYM : 0))) {
		there = false;
		if (c->rules >= 0 && (errno != ENOENT || !path_cut_last(name)))
			drop(c);
	}
	free(name);
	return there;
}

void
confine_rmdir(struct confine *c, int at, const char *path)
{
	if (c->rules >= 0)
		allow(c, at, *path ? path : ".", FS_REMOVE_DIR);
}

int
confine_files(struct confine *c)
{
	int version = c->version;

	if (!c->accepts)
		allow_resolver(c);
	if (c->rules < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, c->rules, 0) < 0)
		version = 0;
	drop(c);
	return version;
}

/* --- seccomp; include/uapi/linux/seccomp.h, filter.h and audit.h. --- */

#define ARCH_64 0x80000000
#define ARCH_LITTLE 0x40000000

/* Only where the numbers below are known to be right; MIPS has three interfaces
 * in one, and gets no filter. */
#if defined(__x86_64__) && !defined(__ILP32__)
#define ARCH (EM_X86_64 | ARCH_64 | ARCH_LITTLE)
#elif defined(__i386__)
#define ARCH (EM_386 | ARCH_LITTLE)
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define ARCH (EM_AARCH64 | ARCH_64 | ARCH_LITTLE)
#elif defined(__arm__) && defined(__ARMEL__)
#define ARCH (EM_ARM | ARCH_LITTLE)
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH (EM_RISCV | ARCH_64 | ARCH_LITTLE)
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define ARCH (EM_PPC64 | ARCH_64 | ARCH_LITTLE)
#elif defined(__s390x__)
#define ARCH (EM_S390 | ARCH_64)
#endif

#ifdef ARCH

/* Calls that are refused whatever their arguments are. An #ifdef where not
 * every CPU, or not every libc in use, has the call. */
static const uint16_t never[] = {
/* Programs and other processes. Sanitizers, with which glibc is used, look
     * into this one and start a program for their reports. */
#ifndef __GLIBC__
    SYS_execve,
    SYS_execveat,
    SYS_ptrace,
#ifdef SYS_fork
    SYS_fork,
    SYS_vfork,
#endif
#endif
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_setns,
    SYS_unshare,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
#ifdef SYS_pidfd_getfd
    SYS_pidfd_send_signal,
    SYS_pidfd_open,
    SYS_pidfd_getfd,
    SYS_process_madvise,
#endif
    /* Ways around the filter itself. */
    SYS_userfaultfd,
#ifdef SYS_io_uring_setup
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
#endif
    /* Operations on files that Landlock does not control. fchmod(), fchown()
     * and fsetxattr() change only open files. */
    SYS_fchmodat,
    SYS_fchownat,
    SYS_setxattr,
    SYS_lsetxattr,
    SYS_removexattr,
    SYS_lremovexattr,
    SYS_open_by_handle_at,
    SYS_mknodat,
#ifdef SYS_chmod
    SYS_chmod,
    SYS_chown,
    SYS_lchown,
    SYS_mknod,
#endif
#ifdef SYS_utime
    SYS_utime,
#endif
#ifdef SYS_futimesat
    SYS_utimes,
    SYS_futimesat,
#endif
#ifdef SYS_chown32
    SYS_chown32,
    SYS_lchown32,
#endif
#ifdef SYS_fchmodat2
    SYS_fchmodat2,
#endif
    /* File systems. */
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_quotactl,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
#ifdef SYS_open_tree
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
#endif
#ifdef SYS_mount_setattr
    SYS_mount_setattr,
#endif
    /* The network: no socket that listens for connections. */
    SYS_listen,
    /* The kernel and the machine. */
    SYS_bpf,
    SYS_perf_event_open,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_syslog,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_personality,
    SYS_vhangup,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_iopl
    SYS_iopl,
    SYS_ioperm,
#endif
#ifdef SYS_modify_ldt
    SYS_modify_ldt,
#endif
};

/* Instructions of a filter. */
enum {
	LOAD = 0x20,
	IF_EQUAL = 0x15,
	IF_LEAST = 0x35,
	IF_BITS = 0x45,
	RETURN = 0x06,
};

#define ALLOW 0x7fff0000
#define FAIL 0x00050000 /* with the errno in its low half */
#define REFUSE (FAIL | EPERM)

/* Offsets in what the filter looks at; the low half of argument n. */
#define AT_NUMBER 0
#define AT_ARCH 4
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define AT_ARGUMENT(n) (16 + 8 * (uint32_t)(n))
#else
#define AT_ARGUMENT(n) (20 + 8 * (uint32_t)(n))
#endif

#ifdef __s390x__
#define CLONE_FLAGS 1 /* the number of the argument */
#else
#define CLONE_FLAGS 0
#endif

struct step {
	uint16_t code;
	uint8_t yes, no; /* instructions to skip after a test */
	uint32_t value;
};

struct program {
	uint16_t n;
	struct step *step;
};

/* A rule for a call by one argument: whether it equals one of two values, or
 * has one of these bits. */
struct rule {
	uint16_t call;
	uint8_t argument, test;
	uint32_t value[2], match, other;
};

static const struct rule rules[] = {
    {SYS_socket, 0, IF_EQUAL, {AF_INET, AF_INET6}, ALLOW, REFUSE},
    /* These type into the terminal, for the shell to read. */
    {SYS_ioctl, 1, IF_EQUAL, {TIOCSTI, TIOCLINUX}, REFUSE, ALLOW},
    /* Signal 0 asks whether a process lives (state.c). */
    {SYS_kill, 1, IF_EQUAL, {0, 0}, ALLOW, REFUSE},
/* Without a path it changes an open file. */
#ifdef SYS_utimensat
    {SYS_utimensat, 1, IF_EQUAL, {0, 0}, ALLOW, REFUSE},
#endif
#ifdef SYS_utimensat_time64
    {SYS_utimensat_time64, 1, IF_EQUAL, {0, 0}, ALLOW, REFUSE},
#endif
#ifndef __GLIBC__
    /* Threads, not processes. */
    {SYS_clone, CLONE_FLAGS, IF_BITS, {0x10000, 0x10000}, ALLOW, REFUSE},
#endif
};

/* socketcall() does everything with sockets, and its arguments lie in memory,
 * where the filter cannot see them. i686 and s390x have calls of their own for
 * each since Linux 4.3, ppc64le since 2.6.37; older kernels have only this. */
#if defined(SYS_socketcall) && defined(SYS_socket)
static bool
can_do_without_socketcall(void)
{
	return syscall(SYS_socket, -1, 0, 0) < 0 && errno != ENOSYS;
}
#endif

#define STEPS (26 + 2 * countof(never) + 6 * countof(rules))

static void
put(struct program *p, uint16_t code, uint32_t value, uint8_t yes, uint8_t no)
{
	p->step[p->n++] = (struct step){code, yes, no, value};
}

/* Ends the call in this way if its number passes the test. */
static void
put_end(struct program *p, uint16_t test, uint32_t number, uint32_t end)
{
	put(p, test, number, 0, 1);
	put(p, RETURN, end, 0, 0);
}

static void
put_rule(struct program *p, const struct rule *r)
{
	put(p, IF_EQUAL, r->call, 0, 5);
	put(p, LOAD, AT_ARGUMENT(r->argument), 0, 0);
	put(p, r->test, r->value[0], 1, 0);
	put(p, r->test, r->value[1], 0, 1);
	put(p, RETURN, r->match, 0, 0);
	put(p, RETURN, r->other, 0, 0);
}

static void
put_all(struct program *p, bool links, bool accepts)
{
	/* A 64-bit kernel has other numbers for 32-bit programs. */
	put(p, LOAD, AT_ARCH, 0, 0);
	put(p, IF_EQUAL, ARCH, 1, 0);
	put(p, RETURN, FAIL | ENOSYS, 0, 0);
	put(p, LOAD, AT_NUMBER, 0, 0);
#ifdef __x86_64__
	put_end(p, IF_LEAST, 0x40000000, FAIL | ENOSYS); /* x32 */
#endif
	for (size_t i = 0; i < countof(never); i++)
		put_end(p, IF_EQUAL, never[i], REFUSE);
	if (!links) {
		put_end(p, IF_EQUAL, SYS_symlinkat, REFUSE);
#ifdef SYS_symlink
		put_end(p, IF_EQUAL, SYS_symlink, REFUSE);
#endif
	}
	if (accepts) {
		/* It has its socket, and connects to nobody. */
		put_end(p, IF_EQUAL, SYS_socket, REFUSE);
		put_end(p, IF_EQUAL, SYS_connect, REFUSE);
	} else {
		put_end(p, IF_EQUAL, SYS_accept4, REFUSE);
#ifdef SYS_accept
		put_end(p, IF_EQUAL, SYS_accept, REFUSE);
#endif
	}
#if defined(SYS_socketcall) && defined(SYS_socket)
	if (can_do_without_socketcall())
		put_end(p, IF_EQUAL, SYS_socketcall, REFUSE);
#endif
#ifdef SYS_clone3
	/* The filter cannot see the flags of clone3(); a libc then uses
	 * clone(). */
	put_end(p, IF_EQUAL, SYS_clone3, FAIL | ENOSYS);
#endif
	for (size_t i = 0; i < countof(rules); i++)
		put_rule(p, &rules[i]);
	put(p, RETURN, ALLOW, 0, 0);
}

bool
confine_calls(bool links, bool accepts)
{
	struct step step[STEPS];
	struct program p = {.step = step};

	put_all(&p, links, accepts);
	/* PR_SET_SECCOMP, SECCOMP_MODE_FILTER */
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, 2, &p, 0, 0) == 0;
}

#else

bool
confine_calls(bool links, bool accepts)
{
	(void)links;
	(void)accepts;
	return false;
}

#endif

#else

struct confine
confine_make(void)
{
	return (struct confine){.rules = -1};
}

void
confine_read(struct confine *c, int at, const char *path)
{
	(void)c;
	(void)at;
	(void)path;
}

bool
confine_write(struct confine *c, int at, const char *path)
{
	(void)c;
	(void)at;
	(void)path;
	return true;
}

void
confine_rmdir(struct confine *c, int at, const char *path)
{
	(void)c;
	(void)at;
	(void)path;
}

int
confine_files(struct confine *c)
{
	(void)c;
	return 0;
}

bool
confine_calls(bool links, bool accepts)
{
	(void)links;
	(void)accepts;
	return false;
}

#endif
