#include "state.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "test.h"

/* A cheap generator: the same numbers in every run. */
static uint32_t
next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static struct digest
digest_of(enum hash_kind kind, unsigned char fill)
{
	struct digest d = {.kind = kind};

	memset(d.b, fill, digest_size(&d));
	return d;
}

/* A hash that has seen n zeros. */
static struct hash
hash_of(enum hash_kind kind, uint64_t size, uint64_t n)
{
	static const unsigned char zero[4096];
	struct hash h;

	hash_init(&h, kind, size);
	while (n) {
		size_t some = n < sizeof(zero) ? (size_t)n : sizeof(zero);

		hash_update(&h, zero, some);
		n -= some;
	}
	return h;
}

/* Five blocks and a bit: 0, 1, 2 synced and hashed, 4 live. */
static void
make(struct state *s, enum hash_kind kind)
{
	struct digest want = digest_of(kind, 7);
	uint64_t size = 5 * (uint64_t)STATE_BLOCK + 3;

	state_init(s, &want, size);
	s->owner = (struct owner){{1, 2, 3}, 4, 5, 6};
	for (size_t i = 0; i < 3; i++)
		view_set(&s->synced, i);
	s->synced.hash = hash_of(kind, size, STATE_BLOCK + 5);
	state_drop_live(s);
	view_set(&s->live, 4);
	s->live.hash = hash_of(kind, size, 3 * STATE_BLOCK);
}

/* Parses a copy of exactly n bytes. */
static int
parse(struct state *s, const unsigned char *p, size_t n)
{
	unsigned char *copy = test_exact(p, n);
	int rv;

	rv = state_parse(s, copy, n);
	free(copy);
	return rv;
}

static bool
same_view(const struct state *s, const struct view *a, const struct view *b)
{
	unsigned char x[HASH_SAVED], y[HASH_SAVED];

	hash_save(&a->hash, x);
	hash_save(&b->hash, y);
	return memcmp(x, y, sizeof(x)) == 0 &&
	       memcmp(a->bits, b->bits, s->blocks / 8 + (s->blocks % 8 > 0)) ==
		   0;
}

static bool
is_empty(const struct state *s)
{
	return view_bytes(s, &s->synced) == 0 && view_bytes(s, &s->live) == 0 &&
	       hash_length(&s->synced.hash) == 0 &&
	       hash_length(&s->live.hash) == 0;
}

/* What must hold of every state, whatever it was made from. */
static bool
is_sound(const struct state *s)
{
	for (size_t i = 0; i < s->blocks; i++)
		if (view_has(&s->synced, i) && !view_has(&s->live, i))
			return false;
	return view_covers(s, &s->synced, hash_length(&s->synced.hash)) &&
	       view_covers(s, &s->live, hash_length(&s->live.hash)) &&
	       view_bytes(s, &s->live) <= s->size;
}

static void
test_round(void)
{
	static const uint64_t size[] = {
	    0,
	    1,
	    STATE_BLOCK - 1,
	    STATE_BLOCK,
	    STATE_BLOCK + 1,
	    8 * (uint64_t)STATE_BLOCK,
	    9 * (uint64_t)STATE_BLOCK - 1,
	    UINT64_C(464) << 30,
	    STATE_SIZE_MAX,
	};
	uint32_t seed = 1;

	for (size_t i = 0; i < 2 * countof(size); i++) {
		enum hash_kind kind = i % 2 ? HASH_GIT : HASH_SHA256;
		struct digest want = digest_of(kind, (unsigned char)i);
		struct state a, b;
		size_t n = state_length(size[i / 2]);
		unsigned char *text = xmalloc(n);

		state_init(&a, &want, size[i / 2]);
		state_init(&b, &want, size[i / 2]);
		for (size_t k = 0; k < a.blocks; k++)
			if (next(&seed) & 1)
				view_set(&a.synced, k);
		state_drop_live(&a);
		for (size_t k = 0; k < a.blocks; k++)
			if (next(&seed) & 1)
				view_set(&a.live, k);
		a.owner.nonce = UINT64_MAX - i;
		state_format(&a, text);
		CHECK_ROW(i, parse(&b, text, n) == 0);
		CHECK_ROW(i, same_view(&a, &a.synced, &b.synced));
		CHECK_ROW(i, same_view(&a, &a.live, &b.live));
		CHECK_ROW(i, b.owner.nonce == UINT64_MAX - i);
		CHECK_ROW(i, parse(&b, text, n - 1) < 0 && is_empty(&b));
		state_release(&a);
		state_release(&b);
		state_release(&b);
		free(text);
	}
}

static void
test_cut(void)
{
	for (int kind = 0; kind < 2; kind++) {
		struct state a, b;
		unsigned char text[512] = {0};
		size_t n;

		make(&a, kind ? HASH_GIT : HASH_SHA256);
		state_init(&b, &a.want, a.size);
		n = state_length(a.size);
		CHECK(n < sizeof(text));
		state_format(&a, text);
		CHECK(parse(&b, text, n) == 0 && is_sound(&b));
		CHECK(same_view(&a, &a.live, &b.live));
		CHECK(memcmp(&a.owner, &b.owner, 32) == 0);
		for (size_t i = 0; i < sizeof(text); i++) {
			if (i == n)
				continue;
			CHECK_ROW(i, parse(&b, text, i) < 0 && is_empty(&b));
		}
		state_release(&a);
		state_release(&b);
	}
}

/* After one bit has changed: what has a checksum is refused; the live slot
 * falls back to the synced one; a live bit may only stand for its block. */
static void
check_flip(const struct state *a, const unsigned char *text, size_t bit)
{
	struct state b;
	size_t at = bit / 8, n = state_length(a->size);
	size_t live = state_live_at(a, 0);
	int rv;

	state_init(&b, &a->want, a->size);
	rv = parse(&b, text, n);
	CHECK_ROW(bit, is_sound(&b));
	if (at < live &&
	    (at < STATE_LIVE_SLOT || at >= STATE_LIVE_SLOT + STATE_SLOT)) {
		CHECK_ROW(bit, rv < 0 && is_empty(&b));
	} else if (at < live) {
		CHECK_ROW(bit, rv == 0);
		CHECK_ROW(bit, hash_length(&b.live.hash) == STATE_BLOCK + 5);
	} else {
		size_t block = bit - 8 * live;
		uint64_t left = view_bytes(&b, &b.live);

		CHECK_ROW(bit, rv == 0);
		if (block < 3 || block >= a->blocks)
			CHECK_ROW(bit, same_view(&b, &b.live, &b.synced));
		else
			CHECK_ROW(bit, left != view_bytes(a, &a->live));
	}
	state_release(&b);
}

static void
test_flip(void)
{
	for (int kind = 0; kind < 2; kind++) {
		struct state a;
		unsigned char text[512];

		make(&a, kind ? HASH_GIT : HASH_SHA256);
		state_format(&a, text);
		for (size_t i = 0; i < 8 * state_length(a.size); i++) {
			text[i / 8] ^= (unsigned char)(1u << (i % 8));
			check_flip(&a, text, i);
			text[i / 8] ^= (unsigned char)(1u << (i % 8));
		}
		state_release(&a);
	}
}

static void
test_foreign(void)
{
	static const struct {
		enum hash_kind kind;
		unsigned char fill;
		uint64_t size;
	} t[] = {
	    {HASH_SHA256, 8, 5 * (uint64_t)STATE_BLOCK + 3},
	    {HASH_GIT, 7, 5 * (uint64_t)STATE_BLOCK + 3},
	    {HASH_SHA256, 7, 5 * (uint64_t)STATE_BLOCK + 2},
	    {HASH_SHA256, 7, 5 * (uint64_t)STATE_BLOCK + 4},
	    {HASH_SHA256, 7, 5 * (uint64_t)STATE_BLOCK},
	    {HASH_SHA256, 7, 0},
	    {HASH_SHA256, 7, STATE_SIZE_MAX},
	};
	unsigned char text[512];
	struct state a, b;

	make(&a, HASH_SHA256);
	state_format(&a, text);
	for (size_t i = 0; i < countof(t); i++) {
		struct digest want = digest_of(t[i].kind, t[i].fill);

		state_init(&b, &want, t[i].size);
		CHECK_ROW(i, parse(&b, text, state_length(a.size)) < 0);
		CHECK_ROW(i, is_empty(&b));
		state_release(&b);
	}
	state_release(&a);
}

/* Well-formed, with right checksums, and yet not to be believed. */
static void
test_claims(void)
{
	struct state a, b;
	unsigned char text[512];
	size_t n;

	make(&a, HASH_SHA256);
	n = state_length(a.size);
	state_init(&b, &a.want, a.size);
	a.live.hash = hash_of(HASH_SHA256, a.size, 3 * STATE_BLOCK + 1);
	state_format(&a, text);
	CHECK(parse(&b, text, n) == 0 && is_sound(&b));
	CHECK(hash_length(&b.live.hash) == STATE_BLOCK + 5);
	CHECK(view_has(&b.live, 4));
	a.live.hash = hash_of(HASH_GIT, a.size, STATE_BLOCK + 6);
	state_format(&a, text);
	CHECK(parse(&b, text, n) == 0);
	CHECK(hash_length(&b.live.hash) == STATE_BLOCK + 5);
	a.synced.hash = hash_of(HASH_SHA256, a.size, 3 * STATE_BLOCK + 1);
	state_format(&a, text);
	CHECK(parse(&b, text, n) < 0 && is_empty(&b));
	a.synced.hash = hash_of(HASH_GIT, a.size, 5);
	state_format(&a, text);
	CHECK(parse(&b, text, n) < 0 && is_empty(&b));
	a.synced.hash = hash_of(HASH_SHA256, a.size, 5);
	a.synced.bits[0] |= 0x80;
	state_format(&a, text);
	CHECK(parse(&b, text, n) < 0 && is_empty(&b));
	state_release(&a);
	state_release(&b);
}

/* The head alone and a slot alone fit into the whole. */
static void
test_parts(void)
{
	struct state a, b;
	unsigned char text[512], again[512];
	size_t n;

	make(&a, HASH_GIT);
	n = state_length(a.size);
	state_format(&a, text);
	memcpy(again, text, n);
	a.owner = (struct owner){{0}, 0, 0, 0};
	a.live.hash = hash_of(HASH_GIT, a.size, 2 * STATE_BLOCK);
	state_format_head(&a, again);
	state_format_slot(&a.live.hash, again + STATE_LIVE_SLOT);
	view_set(&a.live, 3);
	again[state_live_at(&a, 3)] |= 1u << 3;
	state_init(&b, &a.want, a.size);
	CHECK(parse(&b, again, n) == 0);
	CHECK(same_view(&a, &a.live, &b.live) && b.owner.nonce == 0);
	CHECK(view_has(&b.live, 3) && !view_has(&b.live, 5));
	state_drop_live(&b);
	CHECK(same_view(&a, &a.synced, &b.live));
	state_release(&a);
	state_release(&b);
}

static void
test_owner(void)
{
	struct state a, b;
	struct owner o, other = {{9}, 77, 78, 79};
	unsigned char text[512], head[STATE_HEAD];

	make(&a, HASH_SHA256);
	state_format(&a, text);
	CHECK(state_owner(text, &o) == 0 && o.nonce == 4 && o.pid == 6);
	state_sign(text, &other);
	CHECK(state_owner(text, &o) == 0 && o.nonce == 77 && o.pids == 78);
	CHECK(o.pid == 79 && o.boot[0] == 1);
	state_init(&b, &a.want, a.size);
	CHECK(parse(&b, text, state_length(a.size)) == 0);
	CHECK(same_view(&a, &a.live, &b.live));
	for (size_t i = 0; i < STATE_HEAD; i++) {
		text[i] ^= 4;
		memcpy(head, text, STATE_HEAD);
		CHECK_ROW(i, state_owner(text, &o) < 0);
		state_sign(text, &other);
		CHECK_ROW(i, memcmp(head, text, STATE_HEAD) == 0);
		text[i] ^= 4;
	}
	state_release(&a);
	state_release(&b);
}

static void
test_find(void)
{
	struct digest want = digest_of(HASH_SHA256, 1);
	struct state s;
	uint32_t seed = 3;

	for (unsigned round = 0; round < 200; round++) {
		uint64_t size = (uint64_t)(next(&seed) % 70) * STATE_BLOCK +
				next(&seed) % 3 * 1000,
			 bytes = 0;
		size_t run = 0;

		state_init(&s, &want, size);
		/* Long runs, too. */
		for (size_t i = 0; i < s.blocks; i++)
			if ((next(&seed) & 15) < round % 17)
				CHECK(view_set(&s.live, i));
		for (size_t i = s.blocks; i-- > 0;) {
			size_t last = i + 1 == s.blocks;

			if (!view_has(&s.live, i))
				continue;
			CHECK(!view_set(&s.live, i));
			bytes += last ? size - (uint64_t)i * STATE_BLOCK
				      : STATE_BLOCK;
		}
		CHECK_ROW(round, view_bytes(&s, &s.live) == bytes);
		for (size_t from = 0; from <= s.blocks; from++) {
			size_t x = from, y = from;

			while (x < s.blocks && !view_has(&s.live, x))
				x++;
			while (y < s.blocks && view_has(&s.live, y))
				y++;
			CHECK(view_find(&s, &s.live, from, true) == x);
			CHECK(view_find(&s, &s.live, from, false) == y);
			if (from == 0)
				run = y;
		}
		bytes = run == s.blocks ? size : (uint64_t)run * STATE_BLOCK;
		CHECK(view_covers(&s, &s.live, bytes));
		CHECK(!view_covers(&s, &s.live, bytes + 1));
		CHECK(!view_covers(&s, &s.live, UINT64_MAX));
		state_release(&s);
	}
}

int
main(void)
{
	test_round();
	test_cut();
	test_flip();
	test_foreign();
	test_claims();
	test_parts();
	test_owner();
	test_find();
	return test_end();
}
