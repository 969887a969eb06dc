#include "dns.h"

#include <stdio.h>
#include <string.h>

#include "url.h"

#define HEAD 12       /* bytes of a message before the question */
#define LABEL_MAX 63  /* bytes */
#define NAME_SIZE 255 /* bytes of a name in a message, its end included */

/* More aliases in a row than this are taken for a loop. */
#define ALIASES_MAX 16

enum { TYPE_CNAME = 5, TYPE_OPT = 41, CLASS_IN = 1 };
enum { RCODE_FORMAT = 1, RCODE_NO_NAME = 3, RCODE_NOT_IMPLEMENTED = 4 };

/* --- Texts. --- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* Cuts the next word off *rest; empty if there is none. */
static struct str
next_word(struct str *rest)
{
	struct str word = *rest;

	while (word.n && is_blank(*word.s))
		word = str_make(word.s + 1, word.n - 1);
	rest->s = word.s;
	rest->n = word.n;
	while (rest->n && !is_blank(*rest->s))
		*rest = str_make(rest->s + 1, rest->n - 1);
	word.n -= rest->n;
	return word;
}

/* Returns the name without the dot at its end. */
static struct str
bare(struct str name)
{
	if (str_ends(name, "."))
		name.n--;
	return name;
}

bool
dns_number(struct str s, struct dns_address *out)
{
	struct str number = s, zone = str_of("");
	bool cut = str_cut(s, '%', &number, &zone);
	size_t n;

	*out = (struct dns_address){.six = false};
	n = url_ip(number, out->ip);
	out->six = n == 16;
	if (!n || zone.n >= sizeof(out->zone) || (cut && (n == 4 || !zone.n)))
		return false;
	memcpy(out->zone, zone.s, zone.n);
	return true;
}

/* Reads the number of the option "name:NUMBER" into *out, raised to min or
 * lowered to max. Other words change nothing. */
static void
read_option(struct str word, const char *name, unsigned min, unsigned max,
    unsigned *out)
{
	struct str before, value;
	uint64_t n;

	if (!str_cut(word, ':', &before, &value) || !str_eq(before, name) ||
	    str_num(value, 10, UINT64_MAX, &n) < 0)
		return;
	*out = n < min ? min : n > max ? max : (unsigned)n;
}

static void
read_options(struct str rest, struct dns_config *c)
{
	struct str word;

	while ((word = next_word(&rest)).n) {
		read_option(word, "ndots", 0, 15, &c->ndots);
		read_option(word, "timeout", 1, 30, &c->timeout);
		read_option(word, "attempts", 1, 5, &c->attempts);
		c->rotate = c->rotate || str_eq(word, "rotate");
	}
}

/* Reads the search list. A later list replaces an earlier one. */
static void
read_search(struct str rest, bool first_only, struct dns_config *c)
{
	struct str word;
	size_t n = 0;

	while ((word = next_word(&rest)).n) {
		word = bare(word);
		if (n + word.n + 2 > sizeof(c->search))
			break;
		/* The root domain adds nothing to a name. */
		if (!word.n)
			continue;
		memcpy(c->search + n, word.s, word.n);
		n += word.n;
		c->search[n++] = ' ';
		if (first_only)
			break;
	}
	c->search[n] = '\0';
}

void
dns_config_init(struct dns_config *c)
{
	*c = (struct dns_config){.ndots = 1, .timeout = 5, .attempts = 2};
}

void
dns_config_line(struct str line, struct dns_config *c)
{
	struct str key = next_word(&line);

	if (str_eq(key, "nameserver") && c->servers < DNS_SERVERS &&
	    dns_number(next_word(&line), &c->server[c->servers]))
		c->servers++;
	else if (str_eq(key, "search") || str_eq(key, "domain"))
		read_search(line, str_eq(key, "domain"), c);
	else if (str_eq(key, "options"))
		read_options(line, c);
}

static void
add(struct dns_addresses *list, const struct dns_address *a)
{
	if (list->n < DNS_ADDRESSES)
		list->at[list->n++] = *a;
}

void
dns_hosts_line(struct str line, const char *name, struct dns_addresses *out)
{
	struct str rest = str_of(""), word;
	struct dns_address a;

	str_cut(line, '#', &line, &rest);
	if (!dns_number(next_word(&line), &a))
		return;
	while ((word = next_word(&line)).n)
		if (str_same_nocase(bare(word), bare(str_of(name)))) {
			add(out, &a);
			return;
		}
}

bool
dns_is_localhost(const char *name)
{
	struct str last = bare(str_of(name)), before;

	while (str_cut(last, '.', &before, &last))
		;
	return str_eq_nocase(last, "localhost");
}

static size_t
count_dots(const char *name)
{
	size_t n = 0;

	for (; *name; name++)
		n += *name == '.';
	return n;
}

/* Finds the i-th domain of the list; false if it has fewer. */
static bool
domain(const char *list, size_t i, struct str *out)
{
	struct str rest = str_of(list);

	while (str_cut(rest, ' ', out, &rest))
		if (!i--)
			return true;
	return false;
}

bool
dns_candidate(const struct dns_config *c, const char *name, size_t i,
    char out[DNS_NAME_MAX])
{
	bool absolute = str_ends(str_of(name), ".");
	struct str suffix = str_of("");
	size_t itself = 0;

	/* A name with few dots is first tried with the domains. */
	if (!absolute && count_dots(name) < c->ndots)
		while (domain(c->search, itself, &suffix))
			itself++;
	if (i == itself)
		suffix = str_of("");
	else if (absolute || !domain(c->search, i - (i > itself), &suffix))
		return false;
	/* A name that is cut here is still too long for a query. */
	snprintf(out, DNS_NAME_MAX, "%s%s%.*s", name, suffix.n ? "." : "",
	    STRF(suffix));
	return true;
}

/* --- Messages. --- */

/* A name as messages contain it: labels with a length before each, in lower
 * case. */
struct name {
	unsigned char s[NAME_SIZE];
	size_t n; /* the empty label at its end included */
};

static bool
name_is(const struct name *a, const struct name *b)
{
	return a->n == b->n && memcmp(a->s, b->s, a->n) == 0;
}

static bool
is_host(char c)
{
	return chr_alpha(c) || chr_digit(c) || c == '-' || c == '_';
}

/* Returns false if text is not a host name. */
static bool
name_encode(struct str text, struct name *out)
{
	struct str label, rest = bare(text);
	bool more = true;

	out->n = 0;
	while (more) {
		label = rest;
		more = str_cut(rest, '.', &label, &rest);
		if (!label.n || label.n > LABEL_MAX ||
		    out->n + 1 + label.n + 1 > NAME_SIZE)
			return false;
		out->s[out->n++] = (unsigned char)label.n;
		for (size_t i = 0; i < label.n; i++) {
			if (!is_host(label.s[i]))
				return false;
			out->s[out->n++] = (unsigned char)label.s[i];
		}
	}
	out->s[out->n++] = 0;
	return true;
}

static void
put16(unsigned char *p, unsigned n)
{
	p[0] = (unsigned char)(n >> 8);
	p[1] = (unsigned char)n;
}

static unsigned
get16(const unsigned char *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

size_t
dns_query(const char *name, enum dns_type type, uint16_t id, bool edns,
    unsigned char out[DNS_QUERY_MAX])
{
	/* Recursion desired; one question. */
	static const unsigned char head[HEAD] = {0, 0, 1, 0, 0, 1};
	struct name n;
	unsigned char *p = out + HEAD;

	if (!name_encode(str_of(name), &n))
		return 0;
	memcpy(out, head, HEAD);
	put16(out, id);
	memcpy(p, n.s, n.n);
	p += n.n;
	put16(p, type);
	put16(p + 2, CLASS_IN);
	p += 4;
	if (edns) {
		/* The OPT record: the root as name, the type, the size in place
		 * of a class, no flags, no options. */
		memset(p, 0, 11);
		put16(p + 1, TYPE_OPT);
		put16(p + 3, DNS_UDP_MAX);
		p += 11;
		out[11] = 1;
	}
	return (size_t)(p - out);
}

/* A message, and the offset of the next byte to read. */
struct message {
	const unsigned char *p;
	size_t n, at;
};

/* Reads a name and moves m->at behind it. A pointer (RFC 1035, 4.1.4) must lead
 * to a place before the name that contains it, so there is no loop. */
static bool
read_name(struct message *m, struct name *out)
{
	size_t at = m->at, floor = m->at;
	bool jumped = false;

	out->n = 0;
	for (;;) {
		unsigned char c;

		if (at >= m->n)
			return false;
		c = m->p[at];
		if (c >= 0xc0) {
			if (at + 2 > m->n)
				return false;
			if (!jumped)
				m->at = at + 2;
			jumped = true;
			at = get16(m->p + at) & 0x3fff;
			if (at >= floor)
				return false;
			floor = at;
			continue;
		}
		if (c > LABEL_MAX || at + 1 + c > m->n ||
		    out->n + 1 + c > NAME_SIZE)
			return false;
		out->s[out->n++] = c;
		for (size_t i = 0; i < c; i++)
			out->s[out->n++] =
			    (unsigned char)chr_lower((char)m->p[at + 1 + i]);
		at += 1 + (size_t)c;
		if (!c)
			break;
	}
	if (!jumped)
		m->at = at;
	return true;
}

/* A resource record; its data is n bytes at offset data. */
struct record {
	struct name owner;
	unsigned type, class;
	size_t data, n;
};

static bool
read_record(struct message *m, struct record *r)
{
	if (!read_name(m, &r->owner) || m->n - m->at < 10)
		return false;
	r->type = get16(m->p + m->at);
	r->class = get16(m->p + m->at + 2);
	r->n = get16(m->p + m->at + 8);
	r->data = m->at + 10;
	if (m->n - r->data < r->n)
		return false;
	m->at = r->data + r->n;
	return true;
}

static void
take_address(const struct message *m, const struct record *r, unsigned type,
    struct dns_addresses *out)
{
	struct dns_address a = {.six = type == DNS_AAAA};

	if (r->n != (a.six ? 16U : 4U))
		return;
	memcpy(a.ip, m->p + r->data, r->n);
	add(out, &a);
}

/* Reads the answers from m->at on once: adds the addresses of the name, and
 * sets *name to its alias and returns true if it has one. */
static bool
read_answers(struct message m, unsigned type, struct name *name,
    struct dns_addresses *out, bool *broken)
{
	struct name alias = {.n = 0};
	unsigned count = get16(m.p + 6);
	struct record r;

	for (unsigned i = 0; i < count; i++) {
		struct message in = m;

		*broken = !read_record(&m, &r);
		if (*broken)
			break;
		if (r.class != CLASS_IN || !name_is(&r.owner, name))
			continue;
		in.at = r.data;
		if (r.type == type)
			take_address(&m, &r, type, out);
		else if (r.type == TYPE_CNAME && !read_name(&in, &alias))
			alias.n = 0;
	}
	if (!alias.n)
		return false;
	*name = alias;
	return true;
}

/* True if m is an answer to query; moves m->at behind the question. An answer
 * that only reports an error need not repeat the question. */
static bool
is_answer(struct message *m, struct message *query, struct name *asked)
{
	struct name name;

	query->at = m->at = HEAD;
	if (m->n < HEAD || !read_name(query, asked) ||
	    get16(m->p) != get16(query->p) || !(m->p[2] & 0x80) ||
	    (m->p[2] & 0x78))
		return false;
	if (get16(m->p + 4) == 0)
		return (m->p[3] & 15) != 0 && (m->p[3] & 15) != RCODE_NO_NAME;
	if (get16(m->p + 4) != 1 || !read_name(m, &name) || m->n - m->at < 4 ||
	    !name_is(&name, asked) ||
	    memcmp(m->p + m->at, query->p + query->at, 4) != 0)
		return false;
	m->at += 4;
	return true;
}

/* Judges an answer without an error and without an address. A server that is
 * neither authoritative nor recursive only refers to others. */
static enum dns_answer
no_address(const unsigned char *p, bool broken)
{
	bool authoritative = p[2] & 4, recursive = p[3] & 0x80;

	return broken || (!authoritative && !recursive) ? DNS_FAILED : DNS_NONE;
}

enum dns_answer
dns_answer(const unsigned char *p, size_t n, const unsigned char *query,
    size_t query_n, struct dns_addresses *out)
{
	struct message m = {p, n, 0}, q = {query, query_n, 0};
	struct name name;
	unsigned rcode, type;
	size_t had = out->n;
	bool broken = false;

	if (!is_answer(&m, &q, &name))
		return DNS_FOREIGN;
	rcode = p[3] & 15;
	type = get16(query + q.at);
	if ((rcode == RCODE_FORMAT || rcode == RCODE_NOT_IMPLEMENTED) &&
	    query[11])
		return DNS_NO_EDNS;
	if (rcode)
		return rcode == RCODE_NO_NAME ? DNS_NO_NAME : DNS_FAILED;
	for (unsigned i = 0; i < ALIASES_MAX && out->n == had; i++)
		if (!read_answers(m, type, &name, out, &broken))
			break;
	if (p[2] & 2)
		return DNS_CUT;
	return out->n > had ? DNS_FOUND : no_address(p, broken);
}
