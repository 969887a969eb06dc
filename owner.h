#ifndef HUB_OWNER_H
#define HUB_OWNER_H

/*
 * A process as one that shares a file system with it can know it: by its number
 * in a namespace of a running kernel, and by a number that it drew.
 */

#include <stdbool.h>
#include <stdint.h>

/* Who writes. nonce 0: nobody does. */
struct owner {
	unsigned char boot[16]; /* of the running kernel; zero: unknown */
	uint64_t nonce;
	uint64_t pids; /* the namespace that pid is of; 0: unknown */
	uint32_t pid;
};

/* This process, with nonce 0; what /proc does not say is unknown. */
void owner_self(struct owner *o);

bool owner_knows_boot(const struct owner *o);

/* Both on the same kernel, not started anew between them. False if unknown. */
bool owner_same_boot(const struct owner *a, const struct owner *b);

#endif
