#include "hash.h"

#include <stdlib.h>
#include <string.h>

#include "hash_impl.h"
#include "mem.h"
#include "test.h"

/* From FIPS 180-4's examples and from `git hash-object --stdin`. */
static const struct {
	enum hash_kind kind;
	const char *text;
	const char *hex;
} known[] = {
    {HASH_SHA256, "",
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {HASH_SHA256, "abc",
	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {HASH_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {HASH_GIT, "", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"},
    {HASH_GIT, "hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"},
};

static void
test_known(void)
{
	for (size_t i = 0; i < countof(known); i++) {
		size_t n = strlen(known[i].text);
		char hex[2 * HASH_SIZE_MAX + 1];
		struct hash h;
		struct digest d;

		hash_init(&h, known[i].kind, n);
		hash_update(&h, known[i].text, n);
		hash_final(&h, &d);
		digest_hex(&d, hex);
		CHECK_ROW(i, strcmp(hex, known[i].hex) == 0);
		CHECK_ROW(i, hash_length(&h) == n);
	}
}

int
main(void)
{
	test_known();
	CHECK(crc32_of("123456789", 9) == 0xcbf43926);
	return test_end();
}
