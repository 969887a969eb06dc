#include "hash.h"

#include <stdlib.h>
#include <string.h>

#include "hash_cpu.h"
#include "str.h"
#include "tests/unit/test.h"

/* From the examples to FIPS 180-4 and from `git hash-object --stdin`. */
static const struct {
	enum hash_kind kind;
	const char *text;
	size_t times;
	const char *hex;
} known[] = {
    {HASH_SHA256, "", 1,
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {HASH_SHA256, "abc", 1,
	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {HASH_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
	"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {HASH_SHA256,
	"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
	"hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
	1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    {HASH_SHA256, "aaaaaaaaaa", 100000,
	"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    {HASH_GIT, "", 1, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"},
    {HASH_GIT, "hello\n", 1, "ce013625030ba8dba906f756967f9e9ca394464a"},
    {HASH_GIT, "0123456789", 100000,
	"e68be31f202c35df9ef9ced574846b0020403eab"},
};

enum { BYTES = 1500, LANES = 17 };

/* Bytes without a pattern; the same each time. */
static void
fill(unsigned char *p, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (unsigned char)(seed >> 24);
	}
}

static void
init_as(struct hash *h, const struct hash_impl *impl, enum hash_kind kind,
    uint64_t size)
{
	hash_init(h, kind, size);
	h->impl = impl;
}

static bool
final_is(const struct hash *h, const struct digest *want)
{
	struct digest d;

	hash_final(h, &d);
	return digest_same(&d, want);
}

/* By BearSSL's code alone, in one piece. */
static struct digest
reference(enum hash_kind kind, const void *p, size_t n)
{
	const struct hash_impl *all[HASH_IMPLS_MAX];
	struct digest d;
	struct hash h;

	init_as(&h, all[hash_impls(all) - 1], kind, n);
	hash_update(&h, p, n);
	hash_final(&h, &d);
	return d;
}

/* Updates from an allocation of exactly n bytes. */
static void
update_exact(struct hash *h, const unsigned char *p, size_t n)
{
	unsigned char *copy = xmalloc(n > 0 ? n : 1);

	memcpy(copy, p, n);
	hash_update(h, n > 0 ? copy : NULL, n);
	free(copy);
}

static void
test_known(const struct hash_impl *impl)
{
	for (size_t i = 0; i < countof(known); i++) {
		size_t n = strlen(known[i].text), times = known[i].times;
		char hex[2 * HASH_SIZE_MAX + 1];
		struct hash h;
		struct digest d;

		init_as(&h, impl, known[i].kind, n * times);
		for (size_t k = 0; k < times; k++)
			hash_update(&h, known[i].text, n);
		hash_final(&h, &d);
		digest_hex(&d, hex);
		CHECK_ROW(i, strcmp(hex, known[i].hex) == 0);
		CHECK_ROW(i, hash_length(&h) == n * times);
	}
}

/* All lengths, each at another alignment. */
static void
test_lengths(const struct hash_impl *impl, enum hash_kind kind)
{
	unsigned char data[BYTES];

	fill(data, sizeof(data), 1);
	for (size_t n = 0; n + 64 <= sizeof(data); n++) {
		const unsigned char *p = data + n % 64;
		struct digest want = reference(kind, p, n);
		struct hash h;

		init_as(&h, impl, kind, n);
		hash_update(&h, p, n);
		CHECK_ROW(n, final_is(&h, &want));
		init_as(&h, impl, kind, n);
		update_exact(&h, p, n);
		CHECK_ROW(n, final_is(&h, &want));
	}
}

/* Two pieces, copied between them, at every position. */
static void
test_cuts(const struct hash_impl *impl, enum hash_kind kind)
{
	static const size_t lengths[] = {0, 1, 55, 56, 63, 64, 65, 128, 300};
	unsigned char data[300];

	fill(data, sizeof(data), 2);
	for (size_t k = 0; k < countof(lengths); k++) {
		size_t n = lengths[k];
		struct digest want = reference(kind, data, n);

		for (size_t cut = 0; cut <= n; cut++) {
			struct hash h, copy;

			init_as(&h, impl, kind, n);
			update_exact(&h, data, cut);
			copy = h;
			CHECK_ROW(cut, hash_length(&copy) == cut);
			update_exact(&copy, data + cut, n - cut);
			CHECK_ROW(cut, final_is(&copy, &want));
			/* The one that was copied may go on, too. */
			update_exact(&h, data + cut, n - cut);
			CHECK_ROW(cut, final_is(&h, &want));
			CHECK_ROW(cut, final_is(&h, &want));
		}
	}
}

/* Streams of unlike lengths and unlike open blocks, count of them. Every
 * fifth is a git hash if mixed. */
static void
check_many(const struct hash_impl *impl, size_t count, size_t step, bool mixed)
{
	unsigned char *data[LANES];
	struct hash h[LANES], *hp[LANES] = {0};
	const void *p[LANES] = {0};
	size_t n[LANES] = {0};
	struct digest want[LANES];

	for (size_t i = 0; i < count; i++) {
		enum hash_kind kind =
		    mixed && i % 5 == 2 ? HASH_GIT : HASH_SHA256;
		size_t first = i * step % 70;

		n[i] = (i * step * 37 + count) % 1400;
		data[i] = xmalloc(first + n[i] + 1);
		fill(data[i], first + n[i], (uint32_t)(i + count));
		want[i] = reference(kind, data[i], first + n[i]);
		init_as(&h[i], impl, kind, first + n[i]);
		hash_update(&h[i], data[i], first);
		hp[i] = &h[i];
		p[i] = n[i] > 0 ? data[i] + first : NULL;
	}
	hash_update_many(hp, p, n, count);
	for (size_t i = 0; i < count; i++) {
		CHECK_ROW(i, final_is(&h[i], &want[i]));
		free(data[i]);
	}
}

static void
test_many(const struct hash_impl *impl)
{
	for (size_t count = 0; count <= LANES; count++) {
		for (size_t step = 0; step < 9; step++) {
			check_many(impl, count, step, false);
			check_many(impl, count, step, true);
		}
	}
}

/* The lanes themselves, all of them busy for several blocks. */
static void
test_lanes(const struct hash_impl *impl)
{
	unsigned char data[BYTES];
	uint32_t h[HASH_LANES_MAX][8], want[HASH_LANES_MAX][8];
	uint32_t *hp[HASH_LANES_MAX];
	const unsigned char *p[HASH_LANES_MAX];

	fill(data, sizeof(data), 3);
	for (size_t n = 0; n < 8; n++) {
		fill((unsigned char *)h, sizeof(h), 4);
		memcpy(want, h, sizeof(h));
		for (size_t i = 0; i < impl->lanes; i++) {
			hp[i] = h[i];
			p[i] = data + 61 * i;
			hash_sha256_portable(want[i], p[i], n);
		}
		impl->many(hp, p, n);
		CHECK_ROW(n, memcmp(h, want, sizeof(h)) == 0);
	}
}

/* A copy that was begun again is as one that was initialised. */
static void
test_restart(enum hash_kind kind)
{
	struct hash h, used;
	struct digest a, b;

	hash_init(&used, HASH_SHA256, 0);
	hash_update(&used, "something else", 14);
	hash_restart(&used, kind, 9);
	hash_update(&used, "some text", 9);
	hash_final(&used, &a);
	hash_init(&h, kind, 9);
	hash_update(&h, "some text", 9);
	hash_final(&h, &b);
	CHECK(digest_same(&a, &b));
	CHECK(hash_length(&used) == 9);
}

/* Headers of all lengths, and contents that no memory holds. */
static void
test_git_header(void)
{
	static const struct {
		uint64_t size;
		unsigned header;
	} rows[] = {
	    {0, 7}, {9, 7}, {10, 8}, {4294967295, 16}, {UINT64_MAX, 26}};

	for (size_t i = 0; i < countof(rows); i++) {
		struct hash h;

		hash_init(&h, HASH_GIT, rows[i].size);
		CHECK_ROW(i, h.count == rows[i].header);
		CHECK_ROW(i, hash_length(&h) == 0);
	}
}

static void
test_digest_parse(void)
{
	static const char *const bad[] = {"", "0", "ce0136",
	    "ce013625030ba8dba906f756967f9e9ca394464",
	    "ce013625030ba8dba906f756967f9e9ca394464a0",
	    "ce013625030ba8dba906f756967f9e9ca394464a00",
	    "ce013625030ba8dba906f756967f9e9ca394464g",
	    " e013625030ba8dba906f756967f9e9ca394464a",
	    "0xe13625030ba8dba906f756967f9e9ca394464a",
	    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
	    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a-",
	    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0",
	    "zz7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"};
	struct digest d, upper;

	for (size_t i = 0; i < countof(bad); i++)
		CHECK_ROW(i, digest_parse(str_of(bad[i]), &d) < 0);
	CHECK(digest_parse(str_make(NULL, 0), &d) < 0);
	for (size_t i = 0; i < countof(known); i++) {
		char hex[2 * HASH_SIZE_MAX + 1];

		CHECK_ROW(i, digest_parse(str_of(known[i].hex), &d) == 0);
		CHECK_ROW(i, d.kind == known[i].kind);
		digest_hex(&d, hex);
		CHECK_ROW(i, strcmp(hex, known[i].hex) == 0);
	}
	digest_parse(str_of("ce013625030ba8dba906f756967f9e9ca394464a"), &d);
	CHECK(digest_size(&d) == 20);
	CHECK(digest_parse(str_of("CE013625030BA8DBA906F756967F9E9CA394464A"),
		  &upper) == 0);
	CHECK(digest_same(&d, &upper));
	upper.b[19] ^= 1;
	CHECK(!digest_same(&d, &upper));
	upper = d;
	upper.kind = HASH_SHA256;
	CHECK(!digest_same(&d, &upper));
}

static void
test_crc32(void)
{
	CHECK(crc32_of(NULL, 0) == 0);
	CHECK(crc32_of("123456789", 9) == 0xcbf43926);
	CHECK(crc32_of("\0\0\0\0", 4) == 0x2144df1c);
	CHECK(crc32_of("\xff\xff\xff\xff", 4) == 0xffffffff);
}

/* The length of a block of a partial file, for which the sum is. */
#define SUM_BLOCK ((size_t)1 << 20)
#define SUM_ODD UINT64_C(0x9e3779b97f4a7c15)

/* What hash.c has running sums for: each word, little-endian, times an odd number. */
static uint64_t
slow_sum(const unsigned char *p, size_t n)
{
	uint64_t sum = 0;

	for (size_t at = 0; at < n; at++) {
		uint64_t odd = (2 * (uint64_t)(at / 8) + 1) * SUM_ODD;

		sum += ((uint64_t)p[at] << 8 * (at % 8)) * odd;
	}
	return sum;
}

/* The format of what earlier runs noted. */
static void
test_sum_known(void)
{
	const uint64_t odd = SUM_ODD;

	CHECK(hash_sum(0, 0, "", 0) == 0 && hash_sum(9, 5, NULL, 0) == 9);
	CHECK(hash_sum(0, 0, "\1", 1) == odd);
	CHECK(hash_sum(0, 3, "\1", 1) == odd << 24);
	CHECK(hash_sum(0, 8, "\1", 1) == 3 * odd);
	CHECK(hash_sum(0, 40, "\1\2\0\0\0\0\0\0", 8) == 11 * 0x201 * odd);
	CHECK(hash_sum(0, 0, "\1\2\3\4", 4) == 0x04030201 * odd);
	CHECK(hash_sum_final(0) == 1 && hash_sum_final(1) == 1);
	CHECK(hash_sum_final(UINT64_C(0x700000007)) == 1);
	CHECK(hash_sum_final(UINT64_C(0x500000003)) == 6);
}

/* All lengths at all places, from an allocation of exactly that. */
static void
test_sum_lengths(void)
{
	unsigned char data[80];

	fill(data, sizeof(data), 6);
	for (size_t at = 0; at < 9; at++)
		for (size_t n = 0; at + n <= sizeof(data); n++) {
			unsigned char *copy = test_exact(data + at, n);
			uint64_t sum = hash_sum(0, at, copy, n);

			CHECK_ROW(at,
			    sum == slow_sum(data, at + n) - slow_sum(data, at));
			free(copy);
		}
}

/* Pieces of any length, in any order, give the same. */
static void
test_sum_pieces(const unsigned char *data)
{
	static const size_t piece[] = {1, 3, 4, 4097, 65536, 131072, 300007};
	uint64_t whole = hash_sum(0, 0, data, SUM_BLOCK);

	CHECK(whole == slow_sum(data, SUM_BLOCK));
	for (size_t i = 0; i < countof(piece); i++) {
		size_t n = piece[i], pieces = (SUM_BLOCK + n - 1) / n;
		uint64_t forth = 0, back = 0;

		for (size_t k = 0; k < pieces; k++) {
			size_t a = k * n, b = (pieces - 1 - k) * n;

			forth = hash_sum(forth, a, data + a,
			    SUM_BLOCK - a < n ? SUM_BLOCK - a : n);
			back = hash_sum(back, b, data + b,
			    SUM_BLOCK - b < n ? SUM_BLOCK - b : n);
		}
		CHECK_ROW(i, forth == whole && back == whole);
	}
}

/* Each bit at each of these places; in a block of zeros, too. */
static void
test_sum_flips(unsigned char *data)
{
	static const size_t at[] = {0, 1, 2, 3, 4, 4095, 65537, 524288, 700001,
	    1000000, SUM_BLOCK - 4, SUM_BLOCK - 2, SUM_BLOCK - 1};
	uint64_t whole = hash_sum(0, 0, data, SUM_BLOCK);

	for (size_t i = 0; i < countof(at); i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			unsigned char was = data[at[i]];
			uint64_t sum;

			data[at[i]] ^= (unsigned char)(1u << bit);
			sum = hash_sum(whole, at[i], &data[at[i]], 1) -
			      hash_sum(0, at[i], &was, 1);
			CHECK_ROW(i, sum != whole);
			CHECK_ROW(
			    i, hash_sum_final(sum) != hash_sum_final(whole));
			/* Once all of it: the short way is the long one. */
			if (bit == 5)
				CHECK_ROW(
				    i, sum == hash_sum(0, 0, data, SUM_BLOCK));
			data[at[i]] = was;
		}
}

static void
swap(unsigned char *a, unsigned char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char x = a[i];

		a[i] = b[i];
		b[i] = x;
	}
}

/* Words, sectors and pages that changed places, or came twice. */
static void
test_sum_swaps(unsigned char *data)
{
	static const struct {
		size_t a, b, n;
	} t[] = {
	    {0, 4, 4},
	    {0, SUM_BLOCK - 4, 4},
	    {700000, 700004, 4},
	    {700001, 700007, 1},
	    {0, 512, 512},
	    {4096, 8192, 4096},
	    {0, SUM_BLOCK / 2, SUM_BLOCK / 2},
	};
	uint32_t whole = hash_sum_final(hash_sum(0, 0, data, SUM_BLOCK));

	for (size_t i = 0; i < countof(t); i++) {
		swap(data + t[i].a, data + t[i].b, t[i].n);
		CHECK_ROW(i,
		    hash_sum_final(hash_sum(0, 0, data, SUM_BLOCK)) != whole);
		swap(data + t[i].a, data + t[i].b, t[i].n);
	}
}

/* A note of 0 says that a block is absent, so no block has it. A page that was
 * never written is all zeros. */
static void
test_sum_zeros(unsigned char *data)
{
	uint32_t whole = hash_sum_final(hash_sum(0, 0, data, SUM_BLOCK));
	unsigned char *zero = xcalloc(1, SUM_BLOCK);
	uint32_t x = 1;

	CHECK(hash_sum_final(hash_sum(0, 0, zero, SUM_BLOCK)) == 1);
	CHECK(whole != 1);
	for (size_t at = 0; at < SUM_BLOCK; at += 4096) {
		uint64_t sum = hash_sum(0, 0, data, SUM_BLOCK);

		sum -= hash_sum(0, at, data + at, 4096);
		CHECK_ROW(at, hash_sum_final(sum) != whole);
	}
	for (unsigned i = 0; i < 1000; i++) {
		x = x * 1664525 + 1013904223;
		CHECK(hash_sum_final((uint64_t)x << 32 | x) == 1);
		CHECK(hash_sum_final((uint64_t)x << 31 ^ x) != 0);
	}
	free(zero);
}

static void
test_sum(void)
{
	unsigned char *data = xmalloc(SUM_BLOCK);

	fill(data, SUM_BLOCK, 7);
	test_sum_known();
	test_sum_lengths();
	test_sum_pieces(data);
	test_sum_flips(data);
	test_sum_swaps(data);
	test_sum_zeros(data);
	memset(data, 0, SUM_BLOCK);
	test_sum_flips(data);
	free(data);
}

static void
test_impl(const struct hash_impl *impl)
{
	unsigned before = test_failed;

	test_known(impl);
	test_lengths(impl, HASH_SHA256);
	test_lengths(impl, HASH_GIT);
	test_cuts(impl, HASH_SHA256);
	test_cuts(impl, HASH_GIT);
	test_many(impl);
	CHECK(impl->lanes >= 1 && impl->lanes <= HASH_LANES_MAX);
	CHECK(impl->many ? impl->lanes > 1 : impl->lanes == 1);
	if (impl->many)
		test_lanes(impl);
	if (test_failed > before)
		printf("these were of \"%s\"\n", impl->name);
}

int
main(void)
{
	const struct hash_impl *all[HASH_IMPLS_MAX];
	size_t count = hash_impls(all);

	for (size_t i = 0; i < count; i++)
		test_impl(all[i]);
	CHECK(strcmp(all[count - 1]->name, "portable") == 0);
	CHECK(strcmp(hash_implementation(), all[0]->name) == 0);
	CHECK(hash_lanes() == all[0]->lanes);
	test_restart(HASH_SHA256);
	test_restart(HASH_GIT);
	test_git_header();
	test_digest_parse();
	test_crc32();
	test_sum();
	return test_end();
}
