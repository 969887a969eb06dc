/* MB/s (10^6 bytes a second of CPU time, so that other programs disturb less) of
 * what Xet needs on chunks of 65,536 bytes, or of 131,072 with the argument
 * 131072: BLAKE3 by each implementation that this CPU has, the search for the
 * ends of chunks, LZ4 both ways, and BG4. */

#include <stdio.h>
#include <time.h>

#include "../../blake3.c"
#include "chunk.h"
#include "err.h"

enum { RUNS = 5, ROUND = 1 << 23 };

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct work {
	unsigned char *p, *out, *frame;
	size_t n, length; /* of the chunk, of its frame */
	const struct blake3_impl *impl;
	uint32_t *table;
};

static void
hash(struct work *w)
{
	struct blake3 h;

	blake3_restart(&h, w->p);
	h.impl = w->impl;
	blake3_update(&h, w->p, w->n);
	blake3_final(&h, w->out);
}

static void
ends(struct work *w)
{
	/* As if the chunk's first bytes were behind us, so that all are seen. */
	struct chunker c = {.length = CHUNK_MIN - 1};
	bool found;

	for (size_t at = 0; at < w->n; c.length = CHUNK_MIN - 1)
		at += chunker_take(&c, w->p + at, w->n - at, &found);
}

static void
write_frame(struct work *w)
{
	w->length = lz4_write(w->p, w->n, w->frame, w->n + 15, w->table);
}

static void
read_frame(struct work *w)
{
	struct lz4 z;
	struct err e;
	size_t used;

	lz4_init(&z, w->out, w->n);
	if (lz4_read(&z, w->frame, w->length, &used, &e) < 0)
		puts(e.msg);
}

static void
split(struct work *w)
{
	bg4_split(w->p, w->n, w->out);
}

static void
join(struct work *w)
{
	bg4_join(w->p, w->n, w->out);
}

/* The best of some runs. */
static void
measure(const char *name, struct work *w, void (*f)(struct work *w))
{
	double best = 0;

	for (int i = 0; i < RUNS; i++) {
		double start = now(), rate;

		for (size_t done = 0; done < ROUND; done += w->n)
			f(w);
		rate = ROUND / 1e6 / (now() - start);
		if (rate > best)
			best = rate;
	}
	printf("%-24s %8.0f\n", name, best);
}

/* Half noise, half repetitions, as of weights whose exponents are alike. */
static void
fill(unsigned char *p, size_t n)
{
	uint32_t seed = 1;

	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = i % 64 < 32 ? (unsigned char)(seed >> 24)
				   : (unsigned char)(i % 7);
	}
}

int
main(int argc, char **argv)
{
	const struct blake3_impl *all[IMPLS_MAX];
	size_t count = impls(all);
	struct work w = {.n = argc > 1 && argv[1][0] == '1' ? 131072 : 65536};

	w.p = xmalloc(w.n);
	w.out = xmalloc(w.n);
	w.frame = xmalloc(w.n + 15);
	w.table = xcalloc(LZ4_TABLE, sizeof(w.table[0]));
	fill(w.p, w.n);
	for (size_t i = 0; i < count; i++) {
		char name[32];

		snprintf(name, sizeof(name), "BLAKE3, %s", all[i]->name);
		w.impl = all[i];
		measure(name, &w, hash);
	}
	measure("ends of chunks", &w, ends);
	measure("LZ4 frame, write", &w, write_frame);
	measure("LZ4 frame, read", &w, read_frame);
	measure("BG4, split", &w, split);
	measure("BG4, join", &w, join);
	return 0;
}
