#include "hash.h"

#include <bearssl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hash_cpu.h"
#include "str.h"

/* FIPS 180-4, 5.3.1 and 5.3.3. */
static const uint32_t start_sha1[8] = {
    0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
static const uint32_t start_sha256[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
    0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

const uint32_t hash_sha256_k[64] = {0x428a2f98, 0x71374491, 0xb5c0fbcf,
    0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7,
    0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
    0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e,
    0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c,
    0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee,
    0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2};

void
hash_sha256_portable(uint32_t h[8], const unsigned char *p, size_t n)
{
	br_sha256_context c;
	unsigned char state[32];

	for (size_t i = 0; i < 8; i++)
		bytes_put_be(state + 4 * i, h[i], 4);
	br_sha256_init(&c);
	br_sha256_set_state(&c, state, 0);
	br_sha256_update(&c, p, n * HASH_BLOCK);
	br_sha256_state(&c, state);
	for (size_t i = 0; i < 8; i++)
		h[i] = (uint32_t)bytes_get_be(state + 4 * i, 4);
}

void
hash_sha1_portable(uint32_t h[8], const unsigned char *p, size_t n)
{
	br_sha1_context c;
	unsigned char state[20];

	for (size_t i = 0; i < 5; i++)
		bytes_put_be(state + 4 * i, h[i], 4);
	br_sha1_init(&c);
	br_sha1_set_state(&c, state, 0);
	br_sha1_update(&c, p, n * HASH_BLOCK);
	br_sha1_state(&c, state);
	for (size_t i = 0; i < 5; i++)
		h[i] = (uint32_t)bytes_get_be(state + 4 * i, 4);
}

size_t
hash_impls(const struct hash_impl *out[HASH_IMPLS_MAX])
{
	static const struct hash_impl portable = {
	    "portable", hash_sha256_portable, hash_sha1_portable, NULL, 1, 1};
	size_t n = 0;

	n += hash_impls_x86(out + n);
	n += hash_impls_arm(out + n);
	out[n++] = &portable;
	return n;
}

static const struct hash_impl *
best_impl(void)
{
	const struct hash_impl *all[HASH_IMPLS_MAX];

	hash_impls(all);
	return all[0];
}

size_t
digest_size(const struct digest *d)
{
	return d->kind == HASH_SHA256 ? 32 : 20;
}

bool
digest_same(const struct digest *a, const struct digest *b)
{
	return a->kind == b->kind && memcmp(a->b, b->b, digest_size(a)) == 0;
}

int
digest_parse(struct str hex, struct digest *out)
{
	struct digest d = {.kind = hex.n == 64 ? HASH_SHA256 : HASH_GIT};

	if (hex_decode(hex, d.b, digest_size(&d)) < 0)
		return -1;
	*out = d;
	return 0;
}

void
digest_hex(const struct digest *d, char out[2 * HASH_SIZE_MAX + 1])
{
	hex_encode(d->b, digest_size(d), out);
}

void
hash_init(struct hash *h, enum hash_kind kind, uint64_t size)
{
	h->impl = best_impl();
	hash_restart(h, kind, size);
}

void
hash_restart(struct hash *h, enum hash_kind kind, uint64_t size)
{
	char head[32]; /* "blob ", up to 20 digits, '\0' */
	int n;

	*h = (struct hash){.kind = kind, .impl = h->impl};
	memcpy(h->h, kind == HASH_SHA256 ? start_sha256 : start_sha1,
	    sizeof(h->h));
	if (kind != HASH_GIT)
		return;
	n = snprintf(head, sizeof(head), "blob %" PRIu64, size);
	h->header = (unsigned)n + 1;
	hash_update(h, head, h->header);
}

static void
add_blocks(struct hash *h, const unsigned char *p, size_t n)
{
	if (!h->impl)
		h->impl = best_impl();
	if (h->kind == HASH_SHA256)
		h->impl->sha256(h->h, p, n);
	else
		h->impl->sha1(h->h, p, n);
}

/* Fills the open block, if there is one, and returns how much that took. */
static size_t
close_block(struct hash *h, const unsigned char *p, size_t n)
{
	size_t have = h->count % HASH_BLOCK, room = HASH_BLOCK - have;

	if (have == 0 || n == 0)
		return 0;
	if (n > room)
		n = room;
	memcpy(h->block + have, p, n);
	h->count += n;
	if (n == room)
		add_blocks(h, h->block, 1);
	return n;
}

void
hash_update(struct hash *h, const void *data, size_t n)
{
	const unsigned char *p = data;
	size_t k;

	if (n == 0)
		return; /* and p may be NULL */
	k = close_block(h, p, n);
	p += k;
	n -= k;
	if (n >= HASH_BLOCK) {
		k = n / HASH_BLOCK;
		add_blocks(h, p, k);
		p += k * HASH_BLOCK;
		n -= k * HASH_BLOCK;
		h->count += k * (uint64_t)HASH_BLOCK;
	}
	if (n > 0) {
		memcpy(h->block, p, n);
		h->count += n;
	}
}

void
hash_final(const struct hash *h, struct digest *out)
{
	static const unsigned char pad[HASH_BLOCK] = {0x80};
	struct hash c = *h;
	unsigned char bits[8];

	/* FIPS 180-4, 5.1.1: a one bit, zeros, the length in bits at the end
	 * of a block. */
	bytes_put_be(bits, h->count << 3, 8);
	hash_update(&c, pad, 1 + (119 - h->count % HASH_BLOCK) % HASH_BLOCK);
	hash_update(&c, bits, sizeof(bits));
	*out = (struct digest){.kind = h->kind};
	for (size_t i = 0; i < digest_size(out) / 4; i++)
		bytes_put_be(out->b + 4 * i, c.h[i], 4);
}

/* One stream of hash_update_many(). */
struct job {
	struct hash *h;
	const unsigned char *p;
	size_t n;
};

/* The streams that are in lanes now, and where the others come from. */
struct crew {
	const struct hash_impl *impl;
	struct job job[HASH_LANES_MAX];
	unsigned busy;
	struct hash *const *h;
	const void *const *p;
	const size_t *n;
	size_t next, count;
};

/* Puts streams into lanes until all lanes are busy or no stream is left. Hashes
 * at once what cannot go into a lane: another kind, or less than a block. */
static void
crew_fill(struct crew *c)
{
	for (; c->busy < c->impl->lanes && c->next < c->count; c->next++) {
		struct job j = {c->h[c->next], c->p[c->next], c->n[c->next]};
		size_t k = 0;

		if (j.h->kind == HASH_SHA256) {
			k = close_block(j.h, j.p, j.n);
			if (j.n - k >= HASH_BLOCK) {
				j.p += k;
				j.n -= k;
				c->job[c->busy++] = j;
				continue;
			}
		}
		if (j.n > k)
			hash_update(j.h, j.p + k, j.n - k);
	}
}

/* As many blocks as the shortest stream has; those that have less than a block
 * left give up their lanes. */
static void
crew_work(struct crew *c)
{
	uint32_t idle[HASH_LANES_MAX][8] = {{0}}, *state[HASH_LANES_MAX];
	const unsigned char *p[HASH_LANES_MAX];
	size_t n = SIZE_MAX;

	for (unsigned i = 0; i < c->impl->lanes; i++) {
		const struct job *j = &c->job[i < c->busy ? i : 0];

		state[i] = i < c->busy ? j->h->h : idle[i];
		p[i] = j->p;
		if (j->n / HASH_BLOCK < n)
			n = j->n / HASH_BLOCK;
	}
	c->impl->many(state, p, n);
	for (unsigned i = c->busy; i-- > 0;) {
		struct job *j = &c->job[i];

		j->h->count += n * (uint64_t)HASH_BLOCK;
		j->p += n * HASH_BLOCK;
		j->n -= n * HASH_BLOCK;
		if (j->n >= HASH_BLOCK)
			continue;
		hash_update(j->h, j->p, j->n);
		*j = c->job[--c->busy];
	}
}

void
hash_update_many(struct hash *const h[], const void *const p[],
    const size_t n[], size_t count)
{
	struct crew c = {.h = h, .p = p, .n = n, .count = count};

	if (count > 0)
		c.impl = h[0]->impl ? h[0]->impl : best_impl();
	if (count == 0 || !c.impl->many) {
		for (size_t i = 0; i < count; i++)
			hash_update(h[i], p[i], n[i]);
		return;
	}
	for (crew_fill(&c); c.busy > 0 && c.busy >= c.impl->pays; crew_fill(&c))
		crew_work(&c);
	for (unsigned i = 0; i < c.busy; i++)
		hash_update(c.job[i].h, c.job[i].p, c.job[i].n);
}

unsigned
hash_lanes(void)
{
	return best_impl()->lanes;
}

const char *
hash_implementation(void)
{
	return best_impl()->name;
}

uint64_t
hash_length(const struct hash *h)
{
	return h->count - h->header;
}

/* The polynomial 0xedb88320, bits reversed, four of them a step. */
uint32_t
crc32_of(const void *data, size_t n)
{
	static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8,
	    0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
	    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0,
	    0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	const unsigned char *p = data;
	uint32_t c = 0xffffffff;

	for (size_t i = 0; i < n; i++) {
		c ^= p[i];
		c = c >> 4 ^ table[c & 15];
		c = c >> 4 ^ table[c & 15];
	}
	return c ^ 0xffffffff;
}

/*
 * The sum of all 64-bit words w(i), little-endian, each times 2i + 1, modulo 2^64,
 * times an odd number that spreads it: a word that changes changes the sum, so do
 * two that change places. Since it is linear, a word may come byte by byte, and
 * two running sums replace the products: a of the words, b of the values of a, in
 * which word j of m counts m - j times. Top bits that changed in two words may
 * cancel each other: then the hash of the file notices, and all of it comes again.
 */
#define SUM_ODD UINT64_C(0x9e3779b97f4a7c15)

static uint64_t
sum_byte(size_t at, unsigned char c)
{
	return ((uint64_t)c << 8 * (at % 8)) * (2 * (uint64_t)(at / 8) + 1);
}

/* Compilers make one load of it where that is right. */
static inline uint64_t
sum_word(const unsigned char *p)
{
	return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
	       (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
	       (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
	       (uint64_t)p[7] << 56;
}

uint64_t
hash_sum(uint64_t sum, size_t at, const void *data, size_t n)
{
	const unsigned char *p = data;
	uint64_t a = 0, b = 0, more = 0;

	for (; n && at % 8; n--, at++)
		more += sum_byte(at, *p++);
	for (; n >= 32; n -= 32, at += 32, p += 32) {
		b += a += sum_word(p);
		b += a += sum_word(p + 8);
		b += a += sum_word(p + 16);
		b += a += sum_word(p + 24);
	}
	for (; n >= 8; n -= 8, at += 8, p += 8)
		b += a += sum_word(p);
	/* Word j of m at i + j: 2(i + j) + 1 is 2(i + m) + 1 less 2(m - j). */
	more += a * (2 * (uint64_t)(at / 8) + 1) - 2 * b;
	for (; n; n--, at++)
		more += sum_byte(at, *p++);
	return sum + more * SUM_ODD;
}

uint32_t
hash_sum_final(uint64_t sum)
{
	uint32_t folded = (uint32_t)(sum ^ sum >> 32);

	return folded ? folded : 1;
}
