/* MB/s (10^6 bytes) of each implementation that this CPU has: one stream of
 * SHA-256, one of SHA-1, and 1 to 16 streams of SHA-256 side by side. */

#include "hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hash_cpu.h"
#include "str.h"

enum { RUNS = 9, BYTES = 1 << 20, TIMES = 24 };

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The median of RUNS runs; streams is at most 16. */
static double
speed(const struct hash_impl *impl, enum hash_kind kind, size_t streams,
    const unsigned char *data)
{
	struct hash h[HASH_LANES_MAX], *hp[HASH_LANES_MAX];
	const void *p[HASH_LANES_MAX];
	size_t n[HASH_LANES_MAX], times = TIMES / streams + 1;
	double rate[RUNS];

	for (size_t i = 0; i < streams; i++) {
		hash_init(&h[i], kind, BYTES);
		h[i].impl = impl;
		hp[i] = &h[i];
		p[i] = data + i * BYTES;
		n[i] = BYTES;
	}
	for (size_t r = 0; r < RUNS; r++) {
		double start = now();

		for (size_t i = 0; i < times; i++)
			hash_update_many(hp, p, n, streams);
		rate[r] =
		    (double)(times * streams * BYTES) / 1e6 / (now() - start);
	}
	qsort(rate, RUNS, sizeof(rate[0]), by_value);
	return rate[RUNS / 2];
}

int
main(void)
{
	static const size_t streams[] = {2, 4, 6, 8, 10, 12, 16};
	const struct hash_impl *all[HASH_IMPLS_MAX];
	size_t count = hash_impls(all);
	unsigned char *data = xmalloc((size_t)BYTES * HASH_LANES_MAX);

	memset(data, 'x', (size_t)BYTES * HASH_LANES_MAX);
	printf("%-20s %6s %6s", "MB/s", "SHA-1", "x1");
	for (size_t i = 0; i < countof(streams); i++)
		printf("    x%-2zu", streams[i]);
	printf("\n");
	for (size_t k = 0; k < count; k++) {
		printf("%-20s %6.0f %6.0f", all[k]->name,
		    speed(all[k], HASH_GIT, 1, data),
		    speed(all[k], HASH_SHA256, 1, data));
		for (size_t i = 0; i < countof(streams); i++)
			printf(" %6.0f",
			    speed(all[k], HASH_SHA256, streams[i], data));
		printf("\n");
	}
	free(data);
	return 0;
}
