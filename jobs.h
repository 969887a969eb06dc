#ifndef HUB_JOBS_H
#define HUB_JOBS_H

/*
 * How many connections to use at the most, where the user does not say: what
 * the memory, the cores and the file system are good for.
 */

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* What a run takes, with its threads, and what each connection adds, in bytes
 * of address space; tests/e2e/boards.py runs within that. */
#define JOBS_BASE ((uint64_t)2 << 20)
#define JOBS_EACH ((uint64_t)512 << 10)

/* The same in open files: two contents, each with its state, the connection,
 * and folders on the way to them; and small ones that wait for the disk. */
#define JOBS_FILES_BASE 12
#define JOBS_FILES_EACH 8
#define JOBS_FILES_WAIT(n) ((n) / 16 * 3)

#define JOBS_MOST 8

/* What is written to. */
enum jobs_ground {
	JOBS_DISK,
	JOBS_FLASH,   /* better off with few files at a time */
	JOBS_NETWORK, /* has a line of its own to wait for */
};

/* Of a machine; UINT64_MAX is "no limit" or "not known". */
struct jobs_machine {
	uint64_t process; /* bytes that the process may take (ulimit) */
	uint64_t group;   /* that its control group may, with the page cache */
	uint64_t ram;     /* that the machine has */
	uint64_t files;   /* that the process may have open (ulimit) */
	unsigned cores;   /* 0: not known */
};

/* Looks at this machine. Needs no /proc and no /sys, but finds the limit of a
 * control group only with them. */
struct jobs_machine jobs_look(void);

struct jobs_choice {
	unsigned n; /* 1..JOBS_MOST */
	const char *why;
};

/* Pure. */
struct jobs_choice jobs_choose(
    const struct jobs_machine *m, enum jobs_ground ground);

/* The path of the memory controller's group in the text of /proc/self/cgroup:
 * of version 2 (*old is false), else of version 1. False if there is none.
 * Pure. */
bool jobs_group_path(struct str text, struct str *path, bool *old);

#endif
