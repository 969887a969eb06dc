#ifndef HUB_SANDBOX_H
#define HUB_SANDBOX_H

/*
 * Least privilege: once the files that the rest of the run needs are known, the
 * process gives up all others, and the system calls that it never makes. This
 * is permanent and holds for threads started later, so start them after it. It
 * limits a fault in the code that parses a server's bytes.
 *
 * Files: Landlock (kernel's Documentation/userspace-api/landlock.rst), from its
 * version 2 on, since version 1 (Linux 5.13 to 5.18) allows no renaming from
 * one folder to another. Open files stay open. The resolver's files stay
 * readable. With later versions the process cannot bind a port or signal other
 * processes. Ports to connect to are not limited: a redirect may lead to any.
 *
 * System calls: a seccomp filter that refuses (EPERM) what a process needs to
 * step out of this, and what Landlock does not see: starting programs, looking
 * into or signalling other processes, sockets but of TCP and UDP, modes and
 * owners of files, mounts, keys, modules, and so on. A list of what is allowed
 * would be narrower, but which calls a libc makes differs with its version, the
 * CPU and the kernel, and each new one would break a download somewhere.
 *
 * Where the system lacks a part (other systems, old kernels, emulators) it is
 * skipped. Nothing here fails.
 */

#include <stdbool.h>

struct confine {
	int rules;    /* Landlock's; -1: none */
	int version;  /* of Landlock; 0: none */
	bool links;   /* symbolic links may be made; false at first */
	bool accepts; /* connections may be accepted, and none made nor names
		       * resolved; false at first */
};

/* Call it before a token is in memory: prevents core files, and (Linux) reading
 * of this process by other processes of the user, except root. */
void confine_memory(void);

/* Begins a set of rules that allows nothing yet. */
struct confine confine_make(void);

/* Allows reading a file, or everything below a folder. path is below the folder
 * at (or AT_FDCWD); links in it are followed. */
void confine_read(struct confine *c, int at, const char *path);

/* Allows reading and writing below the folder, which is given in the same way,
 * and with c->links also making symbolic links there. If it does not exist yet,
 * allows its parent folder and returns false; once it exists, a second set of
 * rules can restrict access to it. */
bool confine_write(struct confine *c, int at, const char *path);

/* Allows removing empty folders below the folder, which is given in the same
 * way. */
void confine_rmdir(struct confine *c, int at, const char *path);

/* Enforces the rules of c, in addition to earlier ones, and ends c. Returns
 * Landlock's version, 0 if there is none. */
int confine_files(struct confine *c);

/* Enforces the filter of system calls; call it once. links: symbolic links may
 * be made; accepts: a socket that listens already may take connections, and
 * there is no other one. False if there is no filter. */
bool confine_calls(bool links, bool accepts);

#endif
