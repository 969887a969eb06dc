#include "../../blake3.c"

#include "tests/unit/test.h"

/* From the published vectors: byte i is i mod 251, the key is below. */
static const struct {
	size_t n;
	const char *hex;
} known[] = {
    {0, "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26"},
    {1, "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b"},
    {63, "bb1eb5d4afa793c1ebdd9fb08def6c36d10096986ae0cfe148cd101170ce37ae"},
    {64, "ba8ced36f327700d213f120b1a207a3b8c04330528586f414d09f2f7d9ccb7e6"},
    {65, "c0a4edefa2d2accb9277c371ac12fcdbb52988a86edc54f0716e1591b4326e72"},
    {1023, "c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e"},
    {1024, "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4"},
    {1025, "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69"},
    {2048, "879cf1fa2ea0e79126cb1063617a05b6ad9d0b696d0d757cf053439f60a99dd1"},
    {2049, "9f29700902f7c86e514ddc4df1e3049f258b2472b6dd5267f61bf13983b78dd5"},
    {3072, "044a0e7b172a312dc02a4c9a818c036ffa2776368d7f528268d2e6b5df191770"},
    {3073, "68dede9bef00ba89e43f31a6825f4cf433389fedae75c04ee9f0cf16a427c95a"},
    {4096, "befc660aea2f1718884cd8deb9902811d332f4fc4a38cf7c7300d597a081bfc0"},
    {8192, "dc9637c8845a770b4cbf76b8daec0eebf7dc2eac11498517f08d44c8fc00d58a"},
    {16384, "9e9fc4eb7cf081ea7c47d1807790ed211bfec56aa25bb7037784c13c4b707b0d"},
    {31744, "efa53b389ab67c593dba624d898d0f7353ab99e4ac9d42302ee64cbf9939a419"},
    {102400,
	"1c35d1a5811083fd7119f5d5d1ba027b4d01c0c6c49fb6ff2cf75393ea5db4a7"},
    {131072,
	"def66234dd1a614a994a3dbe7bbc8edf9bbc3fae90222334c8a77320f94d3fe8"},
};

static const unsigned char *const key =
    (const unsigned char *)"whats the Elvish word for friend";

enum { BYTES = 140000 };

static unsigned char data[BYTES];

static bool
gives(const struct blake3 *h, const unsigned char want[BLAKE3_SIZE])
{
	unsigned char out[BLAKE3_SIZE];

	blake3_final(h, out);
	return memcmp(out, want, sizeof(out)) == 0;
}

static struct blake3
start(const struct blake3_impl *impl)
{
	struct blake3 h;

	blake3_init(&h, key);
	h.impl = impl;
	return h;
}

/* By the portable code alone, byte by byte up to the first leaf. */
static void
reference(size_t n, unsigned char out[BLAKE3_SIZE])
{
	const struct blake3_impl *all[IMPLS_MAX];
	size_t count = impls(all);
	struct blake3 h = start(all[count - 1]);

	for (size_t i = 0; i < n && i < LEAF; i++)
		blake3_update(&h, data + i, 1);
	if (n > LEAF)
		blake3_update(&h, data + LEAF, n - LEAF);
	blake3_final(&h, out);
}

static void
test_known(const struct blake3_impl *impl)
{
	for (size_t i = 0; i < countof(known); i++) {
		struct blake3 h = start(impl);
		unsigned char want[BLAKE3_SIZE];

		CHECK(hex_decode(str_of(known[i].hex), want, 32) == 0);
		blake3_update(&h, data, known[i].n);
		CHECK_ROW(known[i].n, gives(&h, want));
	}
}

/* Each number of leaves up to two batches, whole or not, in an allocation of
 * its own. */
static void
test_lengths(const struct blake3_impl *impl)
{
	static const size_t more[] = {0, 1, 64, 1023};

	for (size_t leaves = 0; leaves < 2 * BATCH + 3; leaves++) {
		for (size_t i = 0; i < countof(more); i++) {
			size_t n = LEAF * leaves + more[i];
			unsigned char want[BLAKE3_SIZE];
			unsigned char *copy = test_exact(data, n);
			struct blake3 h = start(impl);

			reference(n, want);
			blake3_update(&h, copy, n);
			CHECK_ROW(n, gives(&h, want));
			free(copy);
		}
	}
}

/* Two pieces, at every position near a border; both go on after the cut. */
static void
test_cuts(const struct blake3_impl *impl)
{
	static const size_t lengths[] = {1, 64, 65, 1024, 1025, 2049, 9000};

	for (size_t i = 0; i < countof(lengths); i++) {
		size_t n = lengths[i];
		unsigned char want[BLAKE3_SIZE];

		reference(n, want);
		for (size_t cut = 0; cut <= n; cut++) {
			unsigned char *left = test_exact(data, cut);
			unsigned char *right = test_exact(data + cut, n - cut);
			struct blake3 h = start(impl), copy;

			blake3_update(&h, left, cut);
			copy = h;
			blake3_update(&copy, right, n - cut);
			CHECK_ROW(cut, gives(&copy, want));
			blake3_update(&h, right, n - cut);
			CHECK_ROW(cut, gives(&h, want));
			free(left);
			free(right);
		}
	}
}

/* Pieces of one length, so that batches begin at any leaf. */
static void
test_pieces(const struct blake3_impl *impl)
{
	static const size_t pieces[] = {
	    63, 1000, 1024, 1025, 3072, 4093, 8192, 40000, 65536, 65537};
	unsigned char want[BLAKE3_SIZE];

	reference(BYTES, want);
	for (size_t i = 0; i < countof(pieces); i++) {
		struct blake3 h = start(impl);

		for (size_t at = 0; at < BYTES; at += pieces[i])
			blake3_update(&h, data + at,
			    at + pieces[i] < BYTES ? pieces[i] : BYTES - at);
		CHECK_ROW(pieces[i], gives(&h, want));
	}
}

/* The number of a leaf has 64 bits, and all lanes carry. */
static void
test_counter(const struct blake3_impl *impl)
{
	const struct blake3_impl *all[IMPLS_MAX];
	size_t count = impls(all);
	uint32_t words[8];
	struct job job = {.key = words, .flags = KEYED, .leaves = true};
	unsigned char a[16 * BLAKE3_SIZE], b[16 * BLAKE3_SIZE];

	for (size_t i = 0; i < 8; i++)
		words[i] = word(key + 4 * i);
	for (unsigned i = 0; i < 16; i++) {
		job.counter = ((uint64_t)7 << 32) - i;
		for (size_t n = 1; n <= 16; n++) {
			job.compress = all[count - 1]->compress;
			all[count - 1]->inputs(&job, data, n, a);
			job.compress = impl->compress;
			impl->inputs(&job, data, n, b);
			CHECK_ROW(n, memcmp(a, b, n * BLAKE3_SIZE) == 0);
		}
	}
}

/* Single blocks, each after the one before. */
static void
test_block(const struct blake3_impl *impl)
{
	uint32_t want[8] = {1, 2, 3, 4, 5, 6, 7, 8}, cv[8];

	memcpy(cv, want, sizeof(cv));
	for (unsigned n = 0; n <= BLOCK; n++) {
		uint64_t counter = UINT64_C(0xfedcba9876543210) << n % 32;

		compress_portable(want, data + n, counter, n, n % 32);
		impl->compress(cv, data + n, counter, n, n % 32);
		CHECK_ROW(n, memcmp(cv, want, sizeof(cv)) == 0);
	}
}

/* "abc" without a key, and the state after a restart with another one. */
static void
test_plain(void)
{
	unsigned char want[BLAKE3_SIZE];
	struct blake3 h;

	CHECK(!hex_decode(str_of("6437b3ac38465133ffb63b75273a8db5"
				 "48c558465d79db03fd359c6cd5bd9d85"),
	    want, 32));
	blake3_init(&h, NULL);
	blake3_update(&h, "abc", 3);
	CHECK(gives(&h, want));
	blake3_update(&h, data, 5000);
	blake3_restart(&h, key);
	CHECK(h.impl != NULL);
	blake3_update(&h, data, 3000);
	reference(3000, want);
	CHECK(gives(&h, want));
	blake3_restart(&h, NULL);
	blake3_update(&h, NULL, 0);
	CHECK(!hex_decode(str_of("af1349b9f5f9a1a6a0404dea36dcc949"
				 "9bcb25c9adc112b7cc9a93cae41f3262"),
	    want, 32));
	CHECK(gives(&h, want));
}

int
main(void)
{
	const struct blake3_impl *all[IMPLS_MAX];
	size_t n = impls(all);

	for (size_t i = 0; i < BYTES; i++)
		data[i] = (unsigned char)(i % 251);
	CHECK(strcmp(all[n - 1]->name, "portable") == 0);
	CHECK(strcmp(all[0]->name, blake3_implementation()) == 0);
	for (size_t i = 0; i < n; i++) {
		printf("%s\n", all[i]->name);
		test_known(all[i]);
		test_lengths(all[i]);
		test_cuts(all[i]);
		test_pieces(all[i]);
		test_counter(all[i]);
		test_block(all[i]);
	}
	test_plain();
	return test_end();
}
