#ifndef HUB_SANDBOX_H
#define HUB_SANDBOX_H

/*
 * Least privilege: once it is known which files the rest of the run needs, the
 * process gives up all others, and the system calls that it never makes. That
 * is for good, also for the threads that it makes later: they are to be made
 * after it. A fault in what parses a server's bytes then reaches no further.
 *
 * Files: Landlock (kernel's Documentation/userspace-api/landlock.rst), from
 * its version 2 on, since version 1 (Linux 5.13 to 5.18) allows no renaming
 * from one folder to another. What is open already stays open. Besides what is
 * named here the resolver's files can be read. With a later version nothing
 * can be bound to a port, and no process outside gets a signal. Ports to
 * connect to are not limited: a redirect may lead to any.
 *
 * System calls: a seccomp filter that refuses (EPERM) what a process needs to
 * step out of this, and what Landlock does not see: starting programs, looking
 * into or signalling other processes, sockets but of TCP and UDP, modes and
 * owners of files, mounts, keys, modules, and so on. A list of what is allowed
 * would be narrower, but which calls a libc makes differs with its version, the
 * CPU and the kernel, and each new one would break a download somewhere.
 *
 * Where the system has none of it (other systems, old kernels, emulators) it
 * does without. Nothing here fails.
 */

#include <stdbool.h>

struct confine {
	int rules;   /* Landlock's; -1: none */
	int version; /* of Landlock; 0: none */
};

/* A token is about to be in memory: no core file may hold it, and (Linux) no
 * other process of the user may look into this one. Root may. */
void confine_memory(void);

/* Begins a set of rules: nothing can be reached yet. */
struct confine confine_make(void);

/* A file, or all that is below a folder, can be read. path is below the folder
 * at (or AT_FDCWD); links in it are followed. */
void confine_read(struct confine *c, int at, const char *path);

/* All below the folder can be read and written. Where it is yet to be made,
 * that is all below the folder in which it will be: false is returned, and once
 * it is there, a second set of rules can have it alone. */
bool confine_write(struct confine *c, const char *path);

/* The rules of c, and those before, hold from now on. Ends c. Returns
 * Landlock's version, 0 if there is none. */
int confine_files(struct confine *c);

/* The filter of system calls holds from now on; once a process. False if there
 * is none. */
bool confine_calls(void);

#endif
