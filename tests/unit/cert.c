#include "cert.h"

#include <stdlib.h>
#include <string.h>

#include "str.h"
#include "tests/unit/pem.h"
#include "tests/unit/test.h"

static void
test_fields(void)
{
	static const unsigned char v4[] = {127, 0, 0, 1},
				   no4[] = {127, 0, 0, 2};
	static const unsigned char v6[16] = {[0] = 0xfd, [15] = 1};
	static const unsigned char no6[16] = {[0] = 0xfd, [15] = 2};
	struct buf der = pem_der("good");
	char name[96], small[6];
	struct cert c;

	CHECK(cert_parse(der.s, der.len, &c));
	CHECK(c.from == 1577836800 && c.until == INT64_C(4733510400));
	cert_name(c.issuer, name, sizeof(name));
	CHECK(!strcmp(name, "Throw-away CA, Test only"));
	cert_name(c.subject, name, sizeof(name));
	CHECK(!strcmp(name, "hub.test"));
	cert_name(c.subject, small, sizeof(small));
	CHECK(!strcmp(small, "hub.t"));
	CHECK(cert_has_ip(&c, v4, 4) && cert_has_ip(&c, v6, 16));
	CHECK(!cert_has_ip(&c, no4, 4) && !cert_has_ip(&c, no6, 16));
	CHECK(!cert_has_ip(&c, v6, 4) && !cert_has_ip(&c, v4, 0));
	buf_release(&der);
	der = pem_der("noip"); /* has a dNSName of "127.0.0.1" */
	CHECK(cert_parse(der.s, der.len, &c) && !cert_has_ip(&c, v4, 4));
	buf_release(&der);
	der = pem_der("rsa");
	CHECK(cert_parse(der.s, der.len, &c) && !cert_has_ip(&c, v4, 4));
	buf_release(&der);
}

/* No cut is taken for a whole one, nor one with something behind it. */
static void
test_cuts(void)
{
	struct buf der = pem_der("good");
	struct cert c;

	for (size_t n = 0; n < der.len; n++) {
		char *copy = test_exact(der.s, n);

		CHECK_ROW(n, !cert_parse(copy, n, &c));
		free(copy);
	}
	buf_putc(&der, 0);
	CHECK(!cert_parse(der.s, der.len, &c));
	buf_release(&der);
}

/* Any byte changed to anything: no overread, and views stay inside. */
static void
test_changes(void)
{
	static const unsigned char values[] = {
	    0, 1, 0x30, 0x7f, 0x80, 0x84, 0xff};
	static const unsigned char ip[16] = {0};
	struct buf der = pem_der("good");
	char *copy = test_exact(der.s, der.len), name[64];

	for (size_t i = 0; i < der.len * countof(values); i++) {
		char *at = copy + i / countof(values), was = *at;
		struct cert c;

		*at = (char)values[i % countof(values)];
		if (cert_parse(copy, der.len, &c)) {
			cert_name(c.issuer, name, sizeof(name));
			cert_name(c.subject, name, sizeof(name));
			CHECK_ROW(i, !cert_has_ip(&c, ip, 16));
			CHECK_ROW(i, !cert_rsa_bits(&c) && !cert_is_root(&c));
			cert_is_for_servers(&c);
			cert_is_sha1(&c);
		}
		*at = was;
	}
	free(copy);
	buf_release(&der);
}

static void
test_times(void)
{
	static const struct {
		const char *text; /* put where "200101000000Z" stands */
		int64_t want;     /* -1: refused */
	} rows[] = {
	    {"700101000000Z", 0},
	    {"700102030405Z", 97445},
	    {"991231235959Z", 946684799},
	    {"000229000000Z", 951782400},
	    {"000301000000Z", 951868800},
	    {"491231235959Z", INT64_C(2524607999)},
	    {"500101000000Z", -631152000},
	    {"240229120000Z", 1709208000},
	    {"200101000060Z", 1577836860},
	    {"200001000000Z", -1},
	    {"201301000000Z", -1},
	    {"200100000000Z", -1},
	    {"200132000000Z", -1},
	    {"200101240000Z", -1},
	    {"200101006000Z", -1},
	    {"200101000061Z", -1},
	    {"200101000000z", -1},
	    {"2001010000000", -1},
	    {"2x0101000000Z", -1},
	    {"-10101000000Z", -1},
	    {" 00101000000Z", -1},
	};
	struct buf der = pem_der("good");
	char *at = der.s;

	while (memcmp(at, "200101000000Z", 13) != 0)
		at++;
	for (size_t i = 0; i < countof(rows); i++) {
		struct cert c;
		bool ok;

		memcpy(at, rows[i].text, 13);
		ok = cert_parse(der.s, der.len, &c);
		CHECK_ROW(i, ok == (rows[i].want != -1));
		CHECK_ROW(i, !ok || c.from == rows[i].want);
	}
	buf_release(&der);
}

static void
test_names(void)
{
	static const struct {
		struct str dn;
		const char *want;
	} rows[] = {
	    {{"", 0}, "(no name)"},
	    {{"\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01"
	      "A",
		 12},
		"A"},
	    /* the same in both: once */
	    {{"\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01"
	      "A"
	      "\x31\x0a\x30\x08\x06\x03\x55\x04\x0a\x0c\x01"
	      "A",
		 24},
		"A"},
	    /* organisation only, then unit only */
	    {{"\x31\x0a\x30\x08\x06\x03\x55\x04\x0a\x13\x01O", 12}, "O"},
	    {{"\x31\x0a\x30\x08\x06\x03\x55\x04\x0b\x13\x01U", 12}, "U"},
	    /* the last of two names; a BMPString */
	    {{"\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01"
	      "A"
	      "\x31\x0d\x30\x0b\x06\x03\x55\x04\x03\x1e\x04\x00"
	      "B\x20\xac",
		 27},
		"B\xe2\x82\xac"},
	    /* cut in the middle of the text, of the OID; no set */
	    {{"\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x02"
	      "A",
		 12},
		"(no name)"},
	    {{"\x31\x05\x30\x03\x06\x05\x55", 7}, "(no name)"},
	    {{"\x30\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01"
	      "A",
		 12},
		"(no name)"},
	    /* A NUL hides nothing. */
	    {{"\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05"
	      "\0a\0\0b",
		 16},
		"?a??b"},
	    {{"\x31\x84\xff\xff\xff\xff\x30", 7}, "(no name)"},
	    {{"\x31\x85\x00\x00\x00\x00\x01", 7}, "(no name)"},
	    {{"\x31\x80\x30\x00", 4}, "(no name)"},
	};
	char out[64];

	for (size_t i = 0; i < countof(rows); i++) {
		char *copy = test_exact(rows[i].dn.s, rows[i].dn.n);

		cert_name(str_make(copy, rows[i].dn.n), out, sizeof(out));
		CHECK_ROW(i, !strcmp(out, rows[i].want));
		free(copy);
	}
}

static void
test_strength(void)
{
	static const struct {
		const char *name;
		size_t bits;
		bool servers, sha1, root;
	} rows[] = {
	    {"good", 0, true, false, false},
	    {"ca", 0, true, false, true},
	    {"rsa", 2048, true, false, true},
	    {"ed25519", 0, true, false, true},
	    {"second/rsa", 2048, true, false, false},
	    {"second/short", 1024, true, false, false},
	    {"second/shortroot", 1024, true, false, true},
	    {"second/sha1", 0, true, true, false},
	    {"second/sha1rsa", 0, true, true, false},
	    {"second/sha1root", 0, true, true, true},
	    {"second/client", 0, false, false, false},
	    {"second/any", 0, true, false, false},
	    {"second/server", 0, true, false, false},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct buf der = pem_der(rows[i].name);
		struct cert c;

		CHECK_ROW(i, cert_parse(der.s, der.len, &c));
		CHECK_ROW(i, cert_rsa_bits(&c) == rows[i].bits);
		CHECK_ROW(i, cert_is_for_servers(&c) == rows[i].servers);
		CHECK_ROW(i, cert_is_sha1(&c) == rows[i].sha1);
		CHECK_ROW(i, cert_is_root(&c) == rows[i].root);
		buf_release(&der);
	}
}

/* Keys of which something is missing or odd; each fits exactly. */
static void
test_rsa_bits(void)
{
#define KIND "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"
	static const struct {
		struct str key;
		size_t want;
	} rows[] = {
	    {{KIND "\x03\x09\x00\x30\x06\x02\x01\x80\x02\x01\x03", 26}, 8},
	    {{KIND "\x03\x09\x00\x30\x06\x02\x01\x01\x02\x01\x03", 26}, 1},
	    {{KIND "\x03\x09\x00\x30\x06\x02\x01\x00\x02\x01\x03", 26}, 0},
	    {{KIND "\x03\x0a\x00\x30\x07\x02\x02\x00\x80\x02\x01\x03", 27}, 8},
	    {{KIND "\x03\x0a\x00\x30\x07\x02\x02\x01\x80\x02\x01\x03", 27}, 9},
	    {{KIND "\x03\x05\x00\x30\x02\x02\x00", 22}, 0},
	    {{KIND "\x03\x03\x00\x30\x00", 20}, 0},
	    {{KIND "\x03\x01\x00", 18}, 0},
	    {{KIND "\x03\x00", 17}, 0},
	    {{KIND "\x04\x09\x00\x30\x06\x02\x01\x80\x02\x01\x03", 26}, 0},
	    {{KIND, 15}, 0},
	    {{"\x30\x00\x03\x00", 4}, 0},
	    {{"", 0}, 0},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		char *copy = test_exact(rows[i].key.s, rows[i].key.n);
		struct cert c = {.key = str_make(copy, rows[i].key.n)};

		CHECK_ROW(i, cert_rsa_bits(&c) == rows[i].want);
		free(copy);
	}
#undef KIND
}

/* Extended key usages that name nothing, or end in the middle. */
static void
test_usages(void)
{
#define SERVER "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"
	static const struct {
		struct str usages;
		bool want;
	} rows[] = {
	    {{NULL, 0}, true}, /* no such extension */
	    {{"", 0}, false},  /* an empty one */
	    {{SERVER, 10}, true},
	    {{SERVER, 9}, false},
	    {{"\x06\x03\x55\x1d\x25" SERVER, 15}, true},
	    {{"\x06\x04\x55\x1d\x25\x00", 6}, true},
	    {{"\x06\x05\x55\x1d\x25\x00\x00", 7}, false},
	    {{"\x04\x08" SERVER, 12}, false},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct str s = rows[i].usages;
		char *copy = s.s ? test_exact(s.s, s.n) : NULL;
		struct cert c = {.usages = {copy, s.n}};

		CHECK_ROW(i, cert_is_for_servers(&c) == rows[i].want);
		free(copy);
	}
#undef SERVER
}

int
main(void)
{
	test_fields();
	test_cuts();
	test_changes();
	test_times();
	test_names();
	test_strength();
	test_rsa_bits();
	test_usages();
	return test_end();
}
