#include "dns.h"

#include <arpa/inet.h>
#include <string.h>

#include "str.h"
#include "tests/unit/test.h"

/* An address as text, in a static buffer. */
static const char *
text_of(const struct dns_address *a)
{
	static char text[64];
	char number[46];

	inet_ntop(a->six ? AF_INET6 : AF_INET, a->ip, number, sizeof(number));
	snprintf(
	    text, sizeof(text), "%s%s%s", number, *a->zone ? "%" : "", a->zone);
	return text;
}

static void
test_number(void)
{
	static const struct {
		const char *text, *address;
	} t[] = {
	    {"127.0.0.1", "127.0.0.1"},
	    {"0.0.0.0", "0.0.0.0"},
	    {"::1", "::1"},
	    {"FD00::AB", "fd00::ab"},
	    {"fe80::1%eth0", "fe80::1%eth0"},
	    {"fe80::1%2", "fe80::1%2"},
	    {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
	    {"", NULL},
	    {"127.1", NULL},
	    {"127.0.0.1.", NULL},
	    {"1.2.3.4%eth0", NULL},
	    {"fe80::1%", NULL},
	    {"fe80::1%abcdefghijklmnop", NULL},
	    {"[::1]", NULL},
	    {"::1 ", NULL},
	    {"1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:0:1:2:3:4:5:6:7:8:9:0:1:2", NULL},
	    {"localhost", NULL},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct dns_address a;
		bool ok = dns_number(str_of(t[i].text), &a);

		CHECK_ROW(i, ok == (t[i].address != NULL));
		if (ok)
			CHECK_ROW(i, test_same(text_of(&a), t[i].address));
	}
	CHECK(!dns_number(str_make("::1\0x", 5), &(struct dns_address){0}));
}

static void
read_config(const char *text, struct dns_config *c)
{
	struct str rest = str_of(text), line;

	dns_config_init(c);
	while (str_cut(rest, '\n', &line, &rest))
		dns_config_line(line, c);
	dns_config_line(rest, c);
}

static void
test_config(void)
{
	static const struct {
		const char *text;
		size_t servers;
		const char *first, *search;
		unsigned ndots, timeout, attempts;
		bool rotate;
	} t[] = {
	    {"", 0, NULL, "", 1, 5, 2, false},
	    {"nameserver 10.0.0.1", 1, "10.0.0.1", "", 1, 5, 2, false},
	    {"nameserver\t10.0.0.1 \r\n", 1, "10.0.0.1", "", 1, 5, 2, false},
	    {" nameserver fe80::1%eth0 # x", 1, "fe80::1%eth0", "", 1, 5, 2,
		false},
	    {"nameserver ::1\nnameserver ::2\nnameserver ::3\nnameserver ::4",
		3, "::1", "", 1, 5, 2, false},
	    {"nameserver no\nnameserver\nnameserver ::2", 1, "::2", "", 1, 5, 2,
		false},
	    {"#nameserver ::1\n;nameserver ::1\n# nameserver ::1", 0, NULL, "",
		1, 5, 2, false},
	    {"NAMESERVER ::1", 0, NULL, "", 1, 5, 2, false},
	    {"search a.b c.d.", 0, NULL, "a.b c.d ", 1, 5, 2, false},
	    {"search a.b\nsearch c", 0, NULL, "c ", 1, 5, 2, false},
	    {"search a.b\nsearch", 0, NULL, "", 1, 5, 2, false},
	    {"search a.b\ndomain c.d e.f", 0, NULL, "c.d ", 1, 5, 2, false},
	    {"search .", 0, NULL, "", 1, 5, 2, false},
	    {"search . a", 0, NULL, "a ", 1, 5, 2, false},
	    {"options ndots:5 timeout:2 attempts:4 rotate", 0, NULL, "", 5, 2,
		4, true},
	    {"options ndots:99 timeout:99 attempts:99", 0, NULL, "", 15, 30, 5,
		false},
	    {"options ndots:0 timeout:0 attempts:0", 0, NULL, "", 0, 1, 1,
		false},
	    {"options ndots: timeout:x attempts:-1 edns0 rotated :5", 0, NULL,
		"", 1, 5, 2, false},
	    {"options ndots:2\noptions timeout:3", 0, NULL, "", 2, 3, 2, false},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct dns_config c;

		read_config(t[i].text, &c);
		CHECK_ROW(i, c.servers == t[i].servers);
		if (c.servers)
			CHECK_ROW(
			    i, test_same(text_of(&c.server[0]), t[i].first));
		CHECK_ROW(i, test_same(c.search, t[i].search));
		CHECK_ROW(i, c.ndots == t[i].ndots);
		CHECK_ROW(i, c.timeout == t[i].timeout);
		CHECK_ROW(i, c.attempts == t[i].attempts);
		CHECK_ROW(i, c.rotate == t[i].rotate);
	}
}

/* A domain that does not fit is left out, and so is all behind it. */
static void
test_long_search(void)
{
	struct dns_config c;
	char line[4096] = "search ";
	size_t n = strlen(line);

	for (size_t length = 1000; length < 1030; length++) {
		memset(line + n, 'a', length);
		memcpy(line + n + length, " b", 3);
		read_config(line, &c);
		CHECK_ROW(length,
		    strlen(c.search) == (length <= 1020      ? length + 3
					    : length <= 1022 ? length + 1
							     : 0));
	}
}

static void
test_hosts(void)
{
	static const struct {
		const char *line, *name;
		const char *address;
	} t[] = {
	    {"10.0.0.1 a b.c", "a", "10.0.0.1"},
	    {"10.0.0.1 a b.c", "B.C", "10.0.0.1"},
	    {"10.0.0.1 a b.c", "b.c.", "10.0.0.1"},
	    {"10.0.0.1 a.", "a", "10.0.0.1"},
	    {" fe80::1%lo\ta\t# x", "a", "fe80::1%lo"},
	    {"10.0.0.1 a a", "a", "10.0.0.1"},
	    {"10.0.0.1 ab", "a", NULL},
	    {"10.0.0.1 a # b", "b", NULL},
	    {"10.0.0.1 a#b", "b", NULL},
	    {"#10.0.0.1 a", "a", NULL},
	    {"x a", "a", NULL},
	    {"a", "a", NULL},
	    {"10.0.0.1", "10.0.0.1", NULL},
	    {"", "a", NULL},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct dns_addresses found = {.n = 0};

		dns_hosts_line(str_of(t[i].line), t[i].name, &found);
		CHECK_ROW(i, found.n == (t[i].address != NULL));
		if (found.n)
			CHECK_ROW(
			    i, test_same(text_of(&found.at[0]), t[i].address));
	}
}

static void
test_localhost(void)
{
	static const struct {
		const char *name;
		bool local;
	} t[] = {{"localhost", true}, {"LocalHost.", true},
	    {"a.localhost", true}, {"a.b.localhost.", true},
	    {"alocalhost", false}, {"localhost.a", false}, {"local", false},
	    {"", false}, {".", false}};

	for (size_t i = 0; i < countof(t); i++)
		CHECK_ROW(i, dns_is_localhost(t[i].name) == t[i].local);
}

/* The names that are asked for, with '|' between them. */
static void
test_candidates(void)
{
	static const struct {
		const char *config, *name, *all;
	} t[] = {
	    {"", "a", "a"},
	    {"", "a.b", "a.b"},
	    {"search x y.z", "a", "a.x|a.y.z|a"},
	    {"search x y.z", "a.b", "a.b|a.b.x|a.b.y.z"},
	    {"search x y.z", "a.b.", "a.b."},
	    {"search x y.z", "a.", "a."},
	    {"search x\noptions ndots:2", "a.b", "a.b.x|a.b"},
	    {"search x\noptions ndots:2", "a.b.c", "a.b.c|a.b.c.x"},
	    {"search x\noptions ndots:0", "a", "a|a.x"},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf all = buf_make(4096);
		struct dns_config c;
		char name[DNS_NAME_MAX];

		read_config(t[i].config, &c);
		for (size_t k = 0; dns_candidate(&c, t[i].name, k, name); k++)
			buf_printf(&all, "%s%s", k ? "|" : "", name);
		CHECK_ROW(i, test_same(buf_cstr(&all), t[i].all));
		buf_release(&all);
	}
}

static void
test_query(void)
{
	static const unsigned char want[] = {0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0,
	    0, 1, 2, 'h', 'f', 2, 'c', 'o', 0, 0, 28, 0, 1, 0, 0, 41, 4, 0xd0,
	    0, 0, 0, 0, 0, 0};
	unsigned char q[DNS_QUERY_MAX];
	size_t n = dns_query("hf.co", DNS_AAAA, 0xabcd, true, q);

	CHECK(n == sizeof(want) && memcmp(q, want, n) == 0);
	n = dns_query("hf.co.", DNS_AAAA, 0xabcd, false, q);
	CHECK(n == sizeof(want) - 11 && q[11] == 0);
	CHECK(memcmp(q + 12, want + 12, n - 12) == 0);
}

static void
test_no_query(void)
{
	static const char *const bad[] = {"", ".", "..", "a..b", ".a", "a..",
	    "a b", "[::1]", "a/b", "\xc3\xa4", "a\\.b"};
	unsigned char q[DNS_QUERY_MAX];
	char name[300];

	for (size_t i = 0; i < countof(bad); i++)
		CHECK_ROW(i, dns_query(bad[i], DNS_A, 1, true, q) == 0);
	CHECK(dns_query("_a-1.B", DNS_A, 1, true, q) > 0);
	/* Labels of 63 bytes, names of 253. */
	memset(name, 'a', sizeof(name));
	name[63] = '\0';
	CHECK(dns_query(name, DNS_A, 1, true, q) > 0);
	name[63] = 'a';
	name[64] = '\0';
	CHECK(dns_query(name, DNS_A, 1, true, q) == 0);
	memset(name, 'a', sizeof(name));
	for (size_t i = 1; i < sizeof(name); i += 2)
		name[i] = '.';
	name[253] = '\0';
	CHECK(dns_query(name, DNS_A, 1, true, q) == DNS_QUERY_MAX);
	memcpy(name + 253, ".a", 3);
	CHECK(dns_query(name, DNS_A, 1, true, q) == 0);
}

/* --- Answers. --- */

struct text {
	unsigned char s[2048];
	size_t n;
};

static void
put(struct text *t, const void *p, size_t n)
{
	memcpy(t->s + t->n, p, n);
	t->n += n;
}

#define PUT(t, literal) put(t, literal, sizeof(literal) - 1)

/* A question for a.b, and the answer so far: flags, as many records, and the
 * question. Its name is at 12, "b" at 14. */
static void
begin(struct text *q, struct text *a, enum dns_type type, unsigned flags,
    unsigned records)
{
	q->n = dns_query("a.b", type, 0x1234, true, q->s);
	a->n = 0;
	PUT(a, "\x12\x34");
	a->s[a->n++] = (unsigned char)(flags >> 8);
	a->s[a->n++] = (unsigned char)flags;
	PUT(a, "\0\1\0");
	a->s[a->n++] = (unsigned char)records;
	PUT(a, "\0\0\0\0\1a\1b\0\0");
	a->s[a->n++] = (unsigned char)type;
	PUT(a, "\0\1");
}

static enum dns_answer
read_exact(const struct text *q, const unsigned char *p, size_t n,
    struct dns_addresses *out)
{
	unsigned char *copy = test_exact(p, n);
	enum dns_answer answer;

	out->n = 0;
	answer = dns_answer(copy, n, q->s, q->n, out);
	free(copy);
	return answer;
}

#define GOOD 0x8180 /* an answer; recursion is there */

#define AT_A "\xc0\x0c" /* the name of the question */
#define A_1 "\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\1"
#define A_2 "\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\2"

static void
test_found(void)
{
	struct text q, a;
	struct dns_addresses out;

	begin(&q, &a, DNS_A, GOOD, 2);
	PUT(&a, AT_A A_1 "\1A\1B\0" A_2);
	CHECK(read_exact(&q, a.s, a.n, &out) == DNS_FOUND);
	CHECK(out.n == 2 && test_same(text_of(&out.at[1]), "10.0.0.2"));
	/* Each cut: what is there counts, but only whole records. */
	for (size_t n = 0; n < a.n; n++) {
		enum dns_answer answer = read_exact(&q, a.s, n, &out);

		if (n < 21)
			CHECK_ROW(n, answer == DNS_FOREIGN && out.n == 0);
		else if (n < 37)
			CHECK_ROW(n, answer == DNS_FAILED && out.n == 0);
		else
			CHECK_ROW(n, answer == DNS_FOUND && out.n == 1);
	}
	begin(&q, &a, DNS_AAAA, GOOD, 1);
	PUT(&a, AT_A "\0\x1c\0\1\0\0\0\0\0\x10\xfd\0\0\0\0\0\0\0"
		     "\0\0\0\0\0\0\0\x09");
	CHECK(read_exact(&q, a.s, a.n, &out) == DNS_FOUND && out.n == 1);
	CHECK(test_same(text_of(&out.at[0]), "fd00::9"));
}

/* Only of the class, the type and the name that was asked for. */
static void
test_others(void)
{
	struct text q, a;
	struct dns_addresses out;

	begin(&q, &a, DNS_A, GOOD, 6);
	PUT(&a, "\xc0\x0e" A_1);                          /* "b" */
	PUT(&a, AT_A "\0\1\0\3\0\0\0\0\0\4\x0a\0\0\1");   /* CHAOS */
	PUT(&a, AT_A "\0\1\0\1\0\0\0\0\0\3\x0a\0\0");     /* 3 bytes */
	PUT(&a, AT_A "\0\x1c\0\1\0\0\0\0\0\4\x0a\0\0\1"); /* AAAA */
	PUT(&a, AT_A "\0\x10\0\1\0\0\0\0\0\4\x0a\0\0\1"); /* TXT */
	PUT(&a, AT_A "\0\1\0\1\0\0\0\0\0\5\x0a\0\0\1\0"); /* 5 bytes */
	CHECK(read_exact(&q, a.s, a.n, &out) == DNS_NONE && out.n == 0);
}

static void
test_aliases(void)
{
	struct text q, a;
	struct dns_addresses out;

	/* b's alias is the name; a.b -> x.b -> c, not in this order. */
	begin(&q, &a, DNS_A, GOOD, 3);
	PUT(&a, "\1c\0" A_1);
	PUT(&a, "\1X\xc0\x0e\0\5\0\1\0\0\0\0\0\3\1C\0");
	PUT(&a, AT_A "\0\5\0\1\0\0\0\0\0\4\1x\xc0\x0e");
	CHECK(read_exact(&q, a.s, a.n, &out) == DNS_FOUND && out.n == 1);
	/* Round and round. */
	begin(&q, &a, DNS_A, GOOD, 1);
	PUT(&a, AT_A "\0\5\0\1\0\0\0\0\0\2\xc0\x0c");
	CHECK(read_exact(&q, a.s, a.n, &out) == DNS_NONE);
	/* To nowhere. */
	begin(&q, &a, DNS_A, GOOD, 1);
	PUT(&a, AT_A "\0\5\0\1\0\0\0\0\0\3\1z\0");
	CHECK(read_exact(&q, a.s, a.n, &out) == DNS_NONE);
	/* To what is no name. */
	begin(&q, &a, DNS_A, GOOD, 2);
	PUT(&a, AT_A "\0\5\0\1\0\0\0\0\0\3\x80z\0" AT_A A_1);
	CHECK(read_exact(&q, a.s, a.n, &out) == DNS_FOUND);
}

/* Names that never end, or lead forwards, or are too long. */
static void
test_loops(void)
{
	static const char *const owner[] = {
	    "\xc0\x15",            /* itself */
	    "\1a\xc0\x15",         /* its own label */
	    "\xc0\x17\1a\xc0\x15", /* forwards */
	    "\xff\xff",
	    "\x40"
	    "a",
	    "\x80"
	    "a",
	};
	struct text q, a;
	struct dns_addresses out;

	for (size_t i = 0; i < countof(owner); i++) {
		begin(&q, &a, DNS_A, GOOD, 1);
		put(&a, owner[i], strlen(owner[i]));
		PUT(&a, A_1);
		CHECK_ROW(i, read_exact(&q, a.s, a.n, &out) == DNS_FAILED);
	}
	begin(&q, &a, DNS_A, GOOD, 1);
	for (size_t i = 0; i < 300; i++)
		PUT(&a, "\1a");
	PUT(&a, "\0" A_1);
	CHECK(read_exact(&q, a.s, a.n, &out) == DNS_FAILED);
}

static void
test_codes(void)
{
	static const struct {
		unsigned flags;
		bool edns;
		enum dns_answer answer;
	} t[] = {
	    {0x8180, true, DNS_NONE}, {0x8500, true, DNS_NONE},
	    {0x8100, true, DNS_FAILED}, /* it only points elsewhere */
	    {0x8181, true, DNS_NO_EDNS}, {0x8181, false, DNS_FAILED},
	    {0x8182, true, DNS_FAILED}, {0x8183, true, DNS_NO_NAME},
	    {0x8184, true, DNS_NO_EDNS}, {0x8184, false, DNS_FAILED},
	    {0x8185, true, DNS_FAILED}, {0x8189, true, DNS_FAILED},
	    {0x8380, true, DNS_CUT},
	    {0x0180, true, DNS_FOREIGN}, /* a question */
	    {0x9180, true, DNS_FOREIGN}, /* of another kind */
	};
	struct text q, a;
	struct dns_addresses out;

	for (size_t i = 0; i < countof(t); i++) {
		begin(&q, &a, DNS_A, t[i].flags, 0);
		q.s[11] = t[i].edns;
		CHECK_ROW(
		    i, read_exact(&q, a.s, a.n, &out) == t[i].answer && !out.n);
	}
}

/* Each byte of id and question counts; letters in either case. */
static void
test_foreign(void)
{
	struct text q, a;
	struct dns_addresses out;

	begin(&q, &a, DNS_A, GOOD, 1);
	PUT(&a, AT_A A_1);
	for (size_t i = 0; i < 21; i++) {
		struct text other = a;

		if (i >= 2 && i < 12 && i != 4 && i != 5)
			continue;
		other.s[i] ^= 1;
		CHECK_ROW(
		    i, read_exact(&q, other.s, other.n, &out) == DNS_FOREIGN);
	}
	a.s[13] = 'A';
	a.s[15] = 'B';
	CHECK(read_exact(&q, a.s, a.n, &out) == DNS_FOUND);
	/* Without the question, only a failure is believed. */
	CHECK(read_exact(&q,
		  (const unsigned char *)"\x12\x34\x81\x81\0\0\0\0\0\0\0\0", 12,
		  &out) == DNS_NO_EDNS);
	CHECK(read_exact(&q,
		  (const unsigned char *)"\x12\x34\x81\x82\0\0\0\0\0\0\0\0", 12,
		  &out) == DNS_FAILED);
	CHECK(read_exact(&q,
		  (const unsigned char *)"\x12\x34\x81\x83\0\0\0\0\0\0\0\0", 12,
		  &out) == DNS_FOREIGN);
	CHECK(read_exact(&q,
		  (const unsigned char *)"\x12\x34\x81\x80\0\0\0\0\0\0\0\0", 12,
		  &out) == DNS_FOREIGN);
}

static void
test_many(void)
{
	struct text q, a;
	struct dns_addresses out;

	begin(&q, &a, DNS_A, GOOD, 40);
	for (int i = 0; i < 40; i++)
		PUT(&a, AT_A A_1);
	CHECK(read_exact(&q, a.s, a.n, &out) == DNS_FOUND);
	CHECK(out.n == DNS_ADDRESSES);
	a.s[2] |= 2;
	CHECK(read_exact(&q, a.s, a.n - 1, &out) == DNS_CUT);
	CHECK(out.n == DNS_ADDRESSES);
}

int
main(void)
{
	test_number();
	test_config();
	test_long_search();
	test_hosts();
	test_localhost();
	test_candidates();
	test_query();
	test_no_query();
	test_found();
	test_others();
	test_aliases();
	test_loops();
	test_codes();
	test_foreign();
	test_many();
	return test_end();
}
