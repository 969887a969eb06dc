/* The first byte says what the rest is: lines of resolv.conf, the first of them
 * a name to look up; lines of hosts, in the same way; a name to ask for; else
 * an answer to the question whose type it is. */

#include "dns.h"
#include "tests/fuzz/fuzz.h"

static void
check_addresses(const struct dns_addresses *list)
{
	MUST(list->n <= DNS_ADDRESSES);
	for (size_t i = 0; i < list->n; i++)
		MUST(memchr(list->at[i].zone, '\0', sizeof(list->at[i].zone)));
}

static void
read_config(struct str rest, const char *name)
{
	struct dns_config c;
	char candidate[DNS_NAME_MAX];
	size_t n = 0;

	dns_config_init(&c);
	while (rest.n)
		dns_config_line(fuzz_cut(&rest, '\n'), &c);
	MUST(c.servers <= DNS_SERVERS && c.ndots <= 15);
	MUST(c.timeout >= 1 && c.timeout <= 30);
	MUST(c.attempts >= 1 && c.attempts <= 5);
	MUST(strlen(c.search) < sizeof(c.search));
	while (dns_candidate(&c, name, n, candidate)) {
		MUST(strlen(candidate) < sizeof(candidate));
		n++;
	}
	MUST(n >= 1 && n <= DNS_SEARCH_MAX);
}

static void
read_hosts(struct str rest, const char *name)
{
	struct dns_addresses found = {.n = 0};

	while (rest.n)
		dns_hosts_line(fuzz_cut(&rest, '\n'), name, &found);
	check_addresses(&found);
}

static void
ask(const char *name)
{
	unsigned char q[DNS_QUERY_MAX];
	struct dns_addresses found = {.n = 0};
	size_t n = dns_query(name, DNS_AAAA, 1, true, q);

	MUST(n <= sizeof(q) && (n == 0 || n > 12 + 11));
	if (!n)
		return;
	/* As an answer, it is none. */
	MUST(dns_answer(q, n, q, n, &found) == DNS_FOREIGN);
	q[2] |= 0x80;
	MUST(dns_answer(q, n, q, n, &found) == DNS_FAILED);
	MUST(found.n == 0);
}

static void
answer(struct str text, bool six)
{
	unsigned char q[DNS_QUERY_MAX];
	size_t n = dns_query("a.b", six ? DNS_AAAA : DNS_A, 0x1234, true, q);
	struct dns_addresses found = {.n = 0};
	enum dns_answer a =
	    dns_answer((const unsigned char *)text.s, text.n, q, n, &found);

	check_addresses(&found);
	MUST((a == DNS_FOUND) <= (found.n > 0));
	MUST(found.n == 0 || a == DNS_FOUND || a == DNS_CUT);
	for (size_t i = 0; i < found.n; i++)
		MUST(found.at[i].six == six);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str rest = fuzz_str(p, n);
	char kind = 0, *name;

	if (n) {
		kind = rest.s[0];
		rest = str_make(rest.s + 1, n - 1);
	}
	if (kind != 'c' && kind != 'h' && kind != 'q') {
		answer(rest, kind == '6');
		return 0;
	}
	name = fuzz_cstr(kind == 'q' ? rest : fuzz_cut(&rest, '\n'));
	if (kind == 'c')
		read_config(rest, name);
	else if (kind == 'h')
		read_hosts(rest, name);
	else
		ask(name);
	free(name);
	return 0;
}
