
#include "../../state.c"

#include <stdlib.h>
#include <string.h>

#include "str.h"
#include "tests/unit/test.h"

#define BLOCK ((uint64_t)STATE_BLOCK)

/* Pseudo-random numbers, the same in every run. */
static uint32_t
next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static struct state
make(enum hash_kind kind, uint64_t size)
{
	struct state s = {
	    .want.kind = kind, .size = size, .owner = {{1, 2, 3}, 4, 5, 6}};

	memset(s.want.b, 7, digest_size(&s.want));
	return s;
}

/* Parses a copy of exactly the length of a head. */
static int
parse(struct state *s, const unsigned char *head)
{
	unsigned char *copy = test_exact(head, STATE_HEAD);
	int rv = state_parse_head(s, copy);

	free(copy);
	return rv;
}

static bool
same_owner(const struct owner *a, const struct owner *b)
{
	return memcmp(a->boot, b->boot, sizeof(a->boot)) == 0 &&
	       a->nonce == b->nonce && a->pids == b->pids && a->pid == b->pid;
}

static void
test_sizes(void)
{
	static const struct {
		uint64_t size;
		size_t blocks;
	} t[] = {
	    {0, 0},
	    {1, 1},
	    {BLOCK - 1, 1},
	    {BLOCK, 1},
	    {BLOCK + 1, 2},
	    {8 * BLOCK - 1, 8},
	    {8 * BLOCK, 8},
	    {8 * BLOCK + 1, 9},
	    {UINT64_C(400000000000), 381470},
	    {STATE_SIZE_MAX - 1, 16 << 20},
	    {STATE_SIZE_MAX, 16 << 20},
	};

	for (size_t i = 0; i < countof(t); i++) {
		CHECK_ROW(i, state_blocks(t[i].size) == t[i].blocks);
		CHECK_ROW(i, state_length(t[i].size) == 128 + 4 * t[i].blocks);
		CHECK_ROW(i, state_at(t[i].blocks) == state_length(t[i].size));
	}
	CHECK(state_at(0) == 128 && state_at(1) == 132);
	CHECK(state_length(STATE_SIZE_MAX) == (64 << 20) + 128);
}

static void
test_round(void)
{
	static const uint64_t size[] = {0, 1, BLOCK - 1, BLOCK + 1,
	    UINT64_C(464) << 30, STATE_SIZE_MAX, UINT64_MAX};
	static const struct owner owner[] = {
	    {{0}, 0, 0, 0},
	    {{1, 2, 3}, 4, 5, 6},
	    {{255, 0, 255, [15] = 9}, UINT64_MAX, UINT64_MAX, UINT32_MAX},
	};

	for (size_t i = 0; i < countof(size); i++)
		for (size_t k = 0; k < 2 * countof(owner); k++) {
			struct state a = make(k % 2 ? HASH_GIT : HASH_SHA256,
					 size[i]),
				     b = a;
			unsigned char head[STATE_HEAD];
			struct owner o;

			a.owner = owner[k / 2];
			state_format_head(&a, head);
			CHECK_ROW(i, parse(&b, head) == 0);
			CHECK_ROW(i, same_owner(&a.owner, &b.owner));
			CHECK_ROW(i, b.size == size[i]);
			CHECK_ROW(i, digest_same(&a.want, &b.want));
			CHECK_ROW(i, state_owner(head, &o) == 0);
			CHECK_ROW(i, same_owner(&a.owner, &o));
		}
}

/* Other machines and later versions must read these bytes. */
static void
test_bytes(void)
{
	struct state s = make(HASH_GIT, UINT64_C(0x0102030405060708));
	unsigned char head[STATE_HEAD];

	state_format_head(&s, head);
	CHECK(memcmp(head, "hubpart2\2\0\0\0\0\0\20\0", 16) == 0);
	CHECK(memcmp(head + 16, "\10\7\6\5\4\3\2\1", 8) == 0);
	CHECK(head[24] == 7 && head[43] == 7 && head[44] == 0);
	CHECK(memcmp(head + 56, "\1\2\3\0", 4) == 0);
	CHECK(memcmp(head + 72, "\4\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\6", 17) == 0);
	CHECK(bytes_get_le(head + 124, 4) == crc32_of(head, 124));
	s.want.kind = HASH_SHA256;
	state_format_head(&s, head);
	CHECK(head[8] == 1 && head[55] == 0);
}

/* A head with any changed bit is invalid. */
static void
test_flip(void)
{
	struct state s = make(HASH_SHA256, 5 * BLOCK + 3);
	unsigned char head[STATE_HEAD], was[STATE_HEAD];
	const struct owner other = {{9}, 77, 78, 79};
	struct owner o;

	state_format_head(&s, head);
	for (size_t bit = 0; bit < 8 * sizeof(head); bit++) {
		head[bit / 8] ^= (unsigned char)(1u << bit % 8);
		CHECK_ROW(bit, parse(&s, head) < 0);
		CHECK_ROW(bit, state_owner(head, &o) < 0);
		memcpy(was, head, sizeof(head));
		state_sign(head, &other);
		CHECK_ROW(bit, memcmp(was, head, sizeof(head)) == 0);
		head[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	CHECK(parse(&s, head) == 0);
	memset(head, 0, sizeof(head));
	CHECK(parse(&s, head) < 0 && state_owner(head, &o) < 0);
}

/* A head with a changed field and the right CRC belongs to another content, or
 * is invalid. */
static void
test_sealed(void)
{
	unsigned char head[STATE_HEAD];
	struct state s = make(HASH_SHA256, 5 * BLOCK + 3);

	for (size_t i = 0; i < STATE_HEAD - 4; i++) {
		bool owner = i >= 56 && i < 92;

		state_format_head(&s, head);
		head[i] ^= 0x21;
		bytes_put_le(head + 124, crc32_of(head, 124), 4);
		CHECK_ROW(i, (parse(&s, head) == 0) == owner);
		s = make(HASH_SHA256, 5 * BLOCK + 3);
	}
}

static void
test_foreign(void)
{
	static const struct {
		enum hash_kind kind;
		unsigned char at, by;
		uint64_t size;
	} t[] = {
	    {HASH_SHA256, 0, 0, 5 * BLOCK + 3}, /* the one */
	    {HASH_SHA256, 0, 1, 5 * BLOCK + 3},
	    {HASH_SHA256, 31, 128, 5 * BLOCK + 3},
	    {HASH_GIT, 0, 0, 5 * BLOCK + 3},
	    {HASH_SHA256, 0, 0, 5 * BLOCK + 2},
	    {HASH_SHA256, 0, 0, 5 * BLOCK + 4},
	    {HASH_SHA256, 0, 0, 5 * BLOCK},
	    {HASH_SHA256, 0, 0, 0},
	    {HASH_SHA256, 0, 0, UINT64_MAX},
	};
	struct state a = make(HASH_SHA256, 5 * BLOCK + 3);
	unsigned char head[STATE_HEAD];

	state_format_head(&a, head);
	for (size_t i = 0; i < countof(t); i++) {
		struct state b = {.want = a.want, .size = t[i].size};

		b.want.kind = t[i].kind;
		b.want.b[t[i].at] ^= t[i].by;
		CHECK_ROW(i, (parse(&b, head) == 0) == (i == 0));
	}
}

static void
test_sign(void)
{
	const struct owner other = {{9}, 77, 78, 79}, nobody = {{0}, 0, 0, 0};

	for (int kind = 0; kind < 2; kind++) {
		struct state a = make(kind ? HASH_GIT : HASH_SHA256, 9), b = a;
		unsigned char head[STATE_HEAD], want[STATE_HEAD];
		struct owner o;

		state_format_head(&a, head);
		state_sign(head, &other);
		CHECK(state_owner(head, &o) == 0 && same_owner(&o, &other));
		CHECK(parse(&b, head) == 0 && same_owner(&b.owner, &other));
		state_sign(head, &nobody);
		CHECK(state_owner(head, &o) == 0 && same_owner(&o, &nobody));
		/* As if it had been written for that owner. */
		a.owner = nobody;
		state_format_head(&a, want);
		CHECK(memcmp(head, want, sizeof(head)) == 0);
	}
}

/* A set in an allocation of exactly its size. */
static struct blocks
set_of(size_t n)
{
	struct blocks b = {n, calloc(blocks_bytes(n), 1)};

	if (!b.bits)
		abort();
	return b;
}

static void
check_find(const struct blocks *b, const bool *in)
{
	for (size_t from = 0; from <= b->n; from++) {
		size_t x = from, y = from;

		while (x < b->n && !in[x])
			x++;
		while (y < b->n && in[y])
			y++;
		CHECK_ROW(from, blocks_find(b, from, true) == x);
		CHECK_ROW(from, blocks_find(b, from, false) == y);
	}
	CHECK(blocks_find(b, b->n + 1, true) == b->n);
	CHECK(blocks_find(b, SIZE_MAX, false) == b->n);
}

/* One block in the set, or all but one, at every place of sets of every length. */
static void
test_edges(void)
{
	for (size_t n = 1; n <= 34; n++)
		for (size_t i = 0; i < n; i++) {
			struct blocks b = set_of(n);
			bool in[40] = {false};

			CHECK_ROW(i, !blocks_has(&b, i));
			CHECK_ROW(i, !blocks_drop(&b, i));
			CHECK_ROW(i, blocks_add(&b, i) && !blocks_add(&b, i));
			in[i] = true;
			check_find(&b, in);
			for (size_t k = 0; k < n; k++) {
				CHECK_ROW(k, blocks_has(&b, k) == (k == i));
				in[k] = k != i;
				blocks_add(&b, k);
			}
			CHECK_ROW(i, blocks_drop(&b, i) && !blocks_drop(&b, i));
			check_find(&b, in);
			blocks_clear(&b);
			CHECK_ROW(i, blocks_find(&b, 0, true) == n);
			free(b.bits);
		}
}

static void
test_empty(void)
{
	struct blocks b = set_of(0), c = set_of(0);

	CHECK(blocks_bytes(0) >= 1);
	CHECK(blocks_find(&b, 0, true) == 0 && blocks_find(&b, 0, false) == 0);
	blocks_clear(&b);
	blocks_join(&b, &c);
	free(b.bits);
	free(c.bits);
}

/* Runs of all lengths, compared with an array. */
static void
test_random(void)
{
	uint32_t seed = 3;

	for (unsigned round = 0; round < 200; round++) {
		size_t n = next(&seed) % 200;
		struct blocks b = set_of(n), c = set_of(n);
		bool in[200] = {false};

		for (size_t i = 0; i < n; i++) {
			in[i] = (next(&seed) & 15) < round % 17;
			if (in[i])
				blocks_add(&b, i);
		}
		check_find(&b, in);
		for (unsigned k = 0; n && k < 100; k++) {
			size_t i = next(&seed) % n;

			if (k % 2)
				CHECK(blocks_drop(&b, i) == in[i]);
			else
				CHECK(blocks_add(&b, i) == !in[i]);
			in[i] = k % 2 == 0;
		}
		for (size_t i = 0; i < n; i++)
			if (next(&seed) & 1) {
				blocks_add(&c, i);
				in[i] = true;
			}
		blocks_join(&b, &c);
		check_find(&b, in);
		for (size_t i = 0; i < n; i++)
			CHECK_ROW(i, blocks_has(&b, i) == in[i]);
		free(b.bits);
		free(c.bits);
	}
}

int
main(void)
{
	test_sizes();
	test_round();
	test_bytes();
	test_flip();
	test_sealed();
	test_foreign();
	test_sign();
	test_edges();
	test_empty();
	test_random();
	return test_end();
}
