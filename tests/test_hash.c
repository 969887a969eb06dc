#include "hash.h"

#include <stdlib.h>
#include <string.h>

#include "hash_impl.h"
#include "mem.h"
#include "test.h"

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

/* Two pieces, kept and taken up again between them, at every position. */
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
			unsigned char saved[HASH_SAVED];
			struct hash h, copy;

			init_as(&h, impl, kind, n);
			update_exact(&h, data, cut);
			hash_save(&h, saved);
			CHECK_ROW(cut, hash_load(&copy, saved) == 0);
			CHECK_ROW(cut, copy.kind == kind);
			CHECK_ROW(cut, hash_length(&copy) == cut);
			copy.impl = impl;
			update_exact(&copy, data + cut, n - cut);
			CHECK_ROW(cut, final_is(&copy, &want));
			/* The saved one may go on, too. */
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

/* Every byte of a saved state that is changed, or zeroed, makes it none. */
static void
test_load_refuses(enum hash_kind kind)
{
	unsigned char saved[HASH_SAVED], zero[HASH_SAVED] = {0};
	struct hash h, out;

	hash_init(&h, kind, 1234567);
	hash_update(&h, "some text", 9);
	hash_save(&h, saved);
	CHECK(hash_load(&out, zero) < 0);
	for (size_t i = 0; i < sizeof(saved); i++)
		for (unsigned bit = 1; bit < 256; bit <<= 1) {
			saved[i] ^= (unsigned char)bit;
			CHECK_ROW(i, hash_load(&out, saved) < 0);
			saved[i] ^= (unsigned char)bit;
		}
	CHECK(hash_load(&out, saved) == 0);
}

/* Fields that cannot be, with the right CRC before them. */
static void
test_load_refuses_fields(void)
{
	static const struct {
		enum hash_kind kind;
		size_t at;
		unsigned char value;
	} rows[] = {{HASH_SHA256, 4, 0}, {HASH_SHA256, 4, 3},
	    {HASH_SHA256, 4, 2}, {HASH_SHA256, 4, 255}, {HASH_SHA256, 5, 1},
	    {HASH_SHA256, 5, 7}, {HASH_SHA256, 6, 1}, {HASH_SHA256, 7, 1},
	    {HASH_SHA256, 48 + 9, 1}, {HASH_SHA256, 111, 1}, {HASH_GIT, 4, 1},
	    {HASH_GIT, 5, 0}, {HASH_GIT, 5, 6}, {HASH_GIT, 5, 27},
	    {HASH_GIT, 5, 26}, {HASH_GIT, 40, 6}, {HASH_GIT, 28, 1},
	    {HASH_GIT, 39, 1}, {HASH_GIT, 111, 1}};

	for (size_t i = 0; i < countof(rows); i++) {
		unsigned char saved[HASH_SAVED];
		struct hash h;
		uint32_t crc;

		hash_init(&h, rows[i].kind, 9);
		hash_update(&h, "some text", 9);
		hash_save(&h, saved);
		saved[rows[i].at] = rows[i].value;
		crc = crc32_of(saved + 4, HASH_SAVED - 4);
		for (size_t k = 0; k < 4; k++)
			saved[k] = (unsigned char)(crc >> 8 * k & 255);
		CHECK_ROW(i, hash_load(&h, saved) < 0);
	}
}

/* The bytes of a file that other machines may read. */
static void
test_saved_bytes(void)
{
	unsigned char saved[HASH_SAVED];
	struct hash h;

	hash_init(&h, HASH_SHA256, 0);
	hash_update(&h, "abc", 3);
	hash_save(&h, saved);
	CHECK(memcmp(saved + 4, "\x01\0\0\0\x67\xe6\x09\x6a", 8) == 0);
	CHECK(memcmp(saved + 40, "\3\0\0\0\0\0\0\0abc\0", 12) == 0);
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
		unsigned char saved[HASH_SAVED];
		struct hash h;

		hash_init(&h, HASH_GIT, rows[i].size);
		CHECK_ROW(i, h.count == rows[i].header);
		CHECK_ROW(i, hash_length(&h) == 0);
		hash_save(&h, saved);
		CHECK_ROW(i, hash_load(&h, saved) == 0);
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
	test_load_refuses(HASH_SHA256);
	test_load_refuses(HASH_GIT);
	test_load_refuses_fields();
	test_saved_bytes();
	test_git_header();
	test_digest_parse();
	test_crc32();
	return test_end();
}
