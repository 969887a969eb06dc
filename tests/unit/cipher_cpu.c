#define _GNU_SOURCE

#include "cipher_cpu.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "str.h"
#include "tests/unit/test.h"

/* What hub uses on this CPU, to be compared with BearSSL's portable code. */
static const br_block_ctr_class *aes;
static br_ghash ghash;
static br_chacha20_run chacha;
static br_poly1305_run poly;

enum { BYTES = 1400 };

/* Near the ends, where a counter of 32 bits wraps to 0. */
static const uint32_t counts[] = {0, 1, 0x7fffffff, 0xfffffff8, 0xfffffffb,
    0xfffffffc, 0xfffffffd, 0xfffffffe, 0xffffffff};

/* Bytes without a pattern, others for each seed. */
static void
fill(void *to, size_t n, uint32_t seed)
{
	unsigned char *p = to;

	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (unsigned char)(seed >> 24);
	}
}

/* A copy that ends where nobody may read or write, since no sanitizer runs by
 * qemu; good until the next one of this kind. Our code works on these, BearSSL's
 * on copies of test_exact(). */
enum edge { DATA, AAD, EDGES };

static unsigned char *
at_edge(enum edge kind, const void *p, size_t n)
{
	static unsigned char *pages;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char *end;

	if (!pages) {
		pages = mmap(NULL, 2 * EDGES * page, PROT_READ | PROT_WRITE,
		    /* cppcheck-suppress invalidFunctionArg */
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (pages == MAP_FAILED)
			abort();
		for (size_t i = 0; i < EDGES; i++)
			if (mprotect(pages + (2 * i + 1) * page, page,
				PROT_NONE) < 0)
				abort();
	}
	end = pages + (2 * (size_t)kind + 1) * page;
	memcpy(end - n, p, n);
	return end - n;
}

/* --- Published examples. --- */

static size_t
unhex(const char *hex, unsigned char *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		out[i] = (unsigned char)strtoul(digits, NULL, 16);
	}
	return n;
}

static bool
is(const void *p, const char *hex)
{
	unsigned char want[256] = {0};
	size_t n = unhex(hex, want);

	return memcmp(p, want, n) == 0;
}

#define GCM_IV "cafebabefacedbaddecaf888"
#define GCM_KEY "feffe9928665731c6d6a8f9467308308"
#define GCM_TEXT \
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" \
	"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define GCM_128 \
	"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" \
	"21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
#define GCM_256 \
	"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" \
	"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
#define GCM_AAD "feedfacedeadbeeffeedfacedeadbeefabaddad2"
#define ZERO "00000000000000000000000000000000"

/* The cases 1 to 4 and 13 to 16 of the specification that GCM was submitted to
 * NIST with. */
static const struct {
	const char *key, *iv, *aad, *text, *encrypted, *tag;
} gcm[] = {
    {ZERO, "000000000000000000000000", "", "", "",
	"58e2fccefa7e3061367f1d57a4e7455a"},
    {ZERO, "000000000000000000000000", "", ZERO,
	"0388dace60b6a392f328c2b971b2fe78", "ab6e47d42cec13bdf53a67b21257bddf"},
    {GCM_KEY, GCM_IV, "", GCM_TEXT "1aafd255", GCM_128 "473f5985",
	"4d5c2af327cd64a62cf35abd2ba6fab4"},
    {GCM_KEY, GCM_IV, GCM_AAD, GCM_TEXT, GCM_128,
	"5bc94fbc3221a5db94fae95ae7121a47"},
    {ZERO ZERO, "000000000000000000000000", "", "", "",
	"530f8afbc74536b9a963b4f1c4cb738b"},
    {ZERO ZERO, "000000000000000000000000", "", ZERO,
	"cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {GCM_KEY GCM_KEY, GCM_IV, "", GCM_TEXT "1aafd255", GCM_256 "898015ad",
	"b094dac5d93471bdec1a502270e3cc6c"},
    {GCM_KEY GCM_KEY, GCM_IV, GCM_AAD, GCM_TEXT, GCM_256,
	"76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void
test_gcm(void)
{
	for (size_t i = 0; i < countof(gcm); i++) {
		unsigned char key[32], iv[12], aad[32], p[64], tag[16];
		br_aes_gen_ctr_keys keys;
		br_gcm_context c;
		size_t n;

		aes->init(&keys.vtable, key, unhex(gcm[i].key, key));
		br_gcm_init(&c, &keys.vtable, ghash);
		for (int encrypt = 1; encrypt >= 0; encrypt--) {
			br_gcm_reset(&c, iv, unhex(gcm[i].iv, iv));
			br_gcm_aad_inject(&c, aad, unhex(gcm[i].aad, aad));
			br_gcm_flip(&c);
			n = unhex(encrypt ? gcm[i].text : gcm[i].encrypted, p);
			br_gcm_run(&c, encrypt, p, n);
			CHECK_ROW(
			    i, is(p, encrypt ? gcm[i].encrypted : gcm[i].text));
			br_gcm_get_tag(&c, tag);
			CHECK_ROW(i, is(tag, gcm[i].tag));
		}
	}
}

static const char sunscreen[] =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one "
    "tip for the future, sunscreen would be it.";

/* RFC 8439: 2.3.2, 2.4.2, 2.8.2. */
static void
test_rfc8439(void)
{
	unsigned char key[32], iv[12], aad[12], p[114] = {0}, tag[16];

	unhex(
	    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	    key);
	unhex("000000090000004a00000000", iv);
	CHECK(chacha(key, iv, 1, p, 64) == 2);
	CHECK(is(p,
	    "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
	    "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"));
	iv[3] = 0;
	memcpy(p, sunscreen, sizeof(p));
	CHECK(chacha(key, iv, 1, p, sizeof(p)) == 3);
	CHECK(is(p,
	    "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b"
	    "f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8"
	    "07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736"
	    "5af90bbf74a35be6b40b8eedf2785e42874d"));
	unhex(
	    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	    key);
	unhex("070000004041424344454647", iv);
	unhex("50515253c0c1c2c3c4c5c6c7", aad);
	memcpy(p, sunscreen, sizeof(p));
	poly(key, iv, p, sizeof(p), aad, sizeof(aad), tag, chacha, 1);
	CHECK(is(p,
	    "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
	    "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	    "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
	    "3ff4def08e4b7a9de576d26586cec64b6116"));
	CHECK(is(tag, "1ae10b594f09e26a7e902ecbd0600691"));
	memset(tag, 0, sizeof(tag));
	poly(key, iv, p, sizeof(p), aad, sizeof(aad), tag, chacha, 0);
	CHECK(memcmp(p, sunscreen, sizeof(p)) == 0);
	CHECK(is(tag, "1ae10b594f09e26a7e902ecbd0600691"));
}

/* --- Against BearSSL's portable code. --- */

/* All lengths, each with another key, counter and place in memory. */
static void
test_chacha(void)
{
	unsigned char data[BYTES];

	for (size_t n = 0; n + 16 <= sizeof(data); n++) {
		unsigned char key[32], iv[12], *a, *b;
		uint32_t cc = counts[n % countof(counts)];

		fill(data, sizeof(data), (uint32_t)n);
		fill(key, sizeof(key), (uint32_t)n + 1);
		fill(iv, sizeof(iv), (uint32_t)n + 2);
		a = at_edge(DATA, data + n % 16, n);
		b = test_exact(data + n % 16, n);
		CHECK_ROW(n, chacha(key, iv, cc, a, n) ==
				 br_chacha20_ct_run(key, iv, cc, b, n));
		CHECK_ROW(n, memcmp(a, b, n) == 0);
		/* Not at the start of an allocation. */
		chacha(key, iv, cc, data + n % 16, n);
		CHECK_ROW(n, memcmp(data + n % 16, b, n) == 0);
		free(b);
	}
}

static void
test_aes(size_t key_len)
{
	unsigned char data[400];

	for (size_t n = 0; n + 16 <= sizeof(data); n++) {
		unsigned char key[32], iv[12], *a, *b;
		br_aes_gen_ctr_keys mine, theirs;
		uint32_t next, cc = counts[n % countof(counts)];

		fill(data, sizeof(data), (uint32_t)n);
		fill(key, sizeof(key), (uint32_t)(n + key_len));
		fill(iv, sizeof(iv), (uint32_t)n + 2);
		a = at_edge(DATA, data + n % 16, n);
		b = test_exact(data + n % 16, n);
		aes->init(&mine.vtable, key, key_len);
		br_aes_ct_ctr_init(&theirs.c_ct, key, key_len);
		next = aes->run(&mine.vtable, iv, cc, a, n);
		br_aes_ct_ctr_run(&theirs.c_ct, iv, cc, b, n);
		CHECK_ROW(n, memcmp(a, b, n) == 0);
		/* BearSSL's own do not agree on the one after a part. */
		CHECK_ROW(n, n % 16 || next == (uint32_t)(cc + n / 16));
		free(b);
	}
}

/* A stream in pieces: each piece starts with the counter that the last call returned. */
static void
test_pieces(void)
{
	static const size_t blocks[] = {1, 2, 3, 5, 7, 8, 9, 16};
	unsigned char data[BYTES], whole[BYTES], key[32], iv[12];
	br_aes_gen_ctr_keys keys;

	fill(key, sizeof(key), 5);
	fill(iv, sizeof(iv), 6);
	aes->init(&keys.vtable, key, 16);
	for (size_t i = 0; i < 2 * countof(blocks); i++) {
		bool is_aes = i >= countof(blocks);
		size_t piece = blocks[i % countof(blocks)] * (is_aes ? 16 : 64);
		uint32_t cc = 0xfffffffa;

		fill(data, sizeof(data), 7);
		memcpy(whole, data, sizeof(data));
		if (is_aes)
			aes->run(&keys.vtable, iv, cc, whole, sizeof(whole));
		else
			chacha(key, iv, cc, whole, sizeof(whole));
		for (size_t at = 0; at < sizeof(data); at += piece) {
			size_t n = sizeof(data) - at;

			if (n > piece)
				n = piece;
			cc = is_aes
				 ? aes->run(&keys.vtable, iv, cc, data + at, n)
				 : chacha(key, iv, cc, data + at, n);
		}
		CHECK_ROW(i, memcmp(data, whole, sizeof(data)) == 0);
	}
}

static void
test_ghash(void)
{
	for (size_t n = 0; n < 300; n++) {
		unsigned char data[300], h[16], a[16], b[16], *p;

		fill(data, n, (uint32_t)n);
		fill(h, sizeof(h), (uint32_t)n + 1);
		fill(a, sizeof(a), (uint32_t)n + 2);
		/* Values that carry, or do not. */
		if (n % 3 == 0)
			memset(h, n % 2 ? 0 : 0xff, sizeof(h));
		if (n % 5 == 0)
			memset(data, 0xff, n);
		memcpy(b, a, sizeof(a));
		p = at_edge(DATA, data, n);
		ghash(a, h, p, n);
		br_ghash_ctmul32(b, h, p, n);
		CHECK_ROW(n, memcmp(a, b, sizeof(a)) == 0);
	}
}

/* In place of ChaCha20: the key is what Poly1305 takes, and nothing is
 * encrypted. */
static uint32_t
no_chacha(const void *key, const void *iv, uint32_t cc, void *data, size_t len)
{
	(void)iv;
	if (cc == 0)
		memcpy(data, key, len);
	return cc;
}

static void
check_poly(size_t row, const unsigned char key[32], const unsigned char *data,
    size_t n, size_t aad_n, br_chacha20_run run)
{
	static const unsigned char iv[12] = {9, 8, 7};
	unsigned char tag[16], want[16], *aad = at_edge(AAD, data, aad_n);

	for (int encrypt = 0; encrypt <= 1; encrypt++) {
		unsigned char *a = at_edge(DATA, data, n);
		unsigned char *b = test_exact(data, n);

		poly(key, iv, a, n, aad, aad_n, tag, run, encrypt);
		br_poly1305_ctmul32_run(
		    key, iv, b, n, aad, aad_n, want, run, encrypt);
		CHECK_ROW(row, memcmp(tag, want, sizeof(tag)) == 0);
		CHECK_ROW(row, memcmp(a, b, n) == 0);
		free(b);
	}
}

static void
test_poly(void)
{
	unsigned char data[BYTES], key[32];

	for (size_t n = 0; n <= 600; n++) {
		fill(data, sizeof(data), (uint32_t)n);
		fill(key, sizeof(key), (uint32_t)n + 1);
		check_poly(n, key, data, n, n * 7 % 150, chacha);
		check_poly(n, key, data, n, 13, no_chacha);
	}
	check_poly(BYTES, key, data, BYTES, 13, chacha);
}

/* The largest limbs, and sums that end near the modulus: r is 0, 1 or 2, or has
 * all its bits; the data have all bits, or all but a few. */
static void
test_poly_extremes(void)
{
	static const unsigned char first[] = {0, 1, 2, 4, 0xff, 0xfb};
	unsigned char data[BYTES], key[32];

	for (size_t i = 0; i < 3 * countof(first); i++)
		for (size_t n = 0; n <= 400; n += 1 + n % 16) {
			memset(data, i % 2 ? 0xff : 0, sizeof(data));
			memset(data, first[i / 3], n ? 1 : 0);
			memset(key, i % 3 == 2 ? 0xff : 0, sizeof(key));
			key[0] = first[i / 3];
			memset(key + 16, i % 3 ? 0xff : 0, 16);
			check_poly(n, key, data, n, 13, no_chacha);
			check_poly(n, key, data, n, n, no_chacha);
		}
	/* Long enough for what is not carried to add up. */
	memset(data, 0xff, sizeof(data));
	memset(key, 0xff, sizeof(key));
	check_poly(BYTES, key, data, BYTES, BYTES, no_chacha);
}

/* Sums around the modulus, 2^130 - 5, and around 2^130. With r = 1 the sum is
 * that of the blocks, each with the bit 2^128: two of data and the one with the
 * lengths. */
static void
test_poly_modulus(void)
{
	unsigned char data[32], key[32] = {1};

	for (unsigned i = 0; i < 512; i++) {
		memset(data, 0xff, 16);
		memset(data + 16, 0, 16);
		/* 2^128 - 256, less the length, which is the upper half. */
		data[0] = 0;
		data[8] = 0xff - sizeof(data);
		data[16] = (unsigned char)i;
		data[17] = (unsigned char)(i >> 8);
		memset(key + 16, i % 2 ? 0xff : 0, 16);
		check_poly(i, key, data, sizeof(data), 0, no_chacha);
	}
}

/* What was chosen is not the portable code where there is better. */
static void
test_choice(bool has_aes)
{
	bool portable_aes =
	    aes == &br_aes_ct_ctr_vtable || aes == &br_aes_ct64_ctr_vtable;
	bool portable_ghash = ghash == br_ghash_ctmul ||
			      ghash == br_ghash_ctmul32 ||
			      ghash == br_ghash_ctmul64;

	CHECK(portable_aes == !has_aes && portable_ghash == !has_aes);
#if defined(__aarch64__) && defined(__AARCH64EL__)
	CHECK(chacha != br_chacha20_ct_run);
#endif
	printf("AES instructions: %s, ChaCha20: %s\n", has_aes ? "yes" : "no",
	    chacha == br_chacha20_ct_run ? "portable" : "vectors");
}

int
main(void)
{
	br_ssl_client_context *c = xcalloc(1, sizeof(*c));
	bool has_aes = cipher_choose(&c->eng);

	aes = c->eng.iaes_ctr;
	ghash = c->eng.ighash;
	chacha = c->eng.ichacha;
	poly = c->eng.ipoly;
	test_choice(has_aes);
	test_gcm();
	test_rfc8439();
	test_chacha();
	test_aes(16);
	test_aes(24);
	test_aes(32);
	test_pieces();
	test_ghash();
	test_poly();
	test_poly_extremes();
	test_poly_modulus();
	free(c);
	return test_end();
}
