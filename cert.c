#include "cert.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "date.h"
#include "mem.h"

enum {
	DER_INTEGER = 0x02,
	DER_BITS = 0x03,
	DER_OCTETS = 0x04,
	DER_OID = 0x06,
	DER_BMP = 0x1e,
	DER_UTC_TIME = 0x17,
	DER_TIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31,
	SAN_DNS = 0x82, /* [2], primitive */
	SAN_IP = 0x87,  /* [7], primitive */
};

/* 1.2.840.113549.1.1, without the last number (RFC 8017, C). */
#define RSA_OID "\x2a\x86\x48\x86\xf7\x0d\x01\x01"

static unsigned
byte(struct str s, size_t i)
{
	return (unsigned char)s.s[i];
}

/* Takes any element: lengths of up to four bytes, one-byte tags. */
static bool
take_any(struct str *in, unsigned *tag, struct str *body)
{
	size_t head = 2, n;

	if (in->n < 2 || (byte(*in, 0) & 0x1f) == 0x1f)
		return false;
	n = byte(*in, 1);
	if (n >= 0x80) {
		size_t bytes = n & 0x7f;

		if (bytes < 1 || bytes > 4 || in->n - 2 < bytes)
			return false;
		for (n = 0; bytes; bytes--)
			n = n << 8 | byte(*in, head++);
	}
	if (n > in->n - head)
		return false;
	*tag = byte(*in, 0);
	*body = str_make(in->s + head, n);
	*in = str_make(in->s + head + n, in->n - head - n);
	return true;
}

/* Takes the next element if it has this tag. */
static bool
take(struct str *in, unsigned tag, struct str *body)
{
	struct str rest = *in;
	unsigned found;

	if (!take_any(&rest, &found, body) || found != tag)
		return false;
	*in = rest;
	return true;
}

static bool
skip(struct str *in, unsigned tag)
{
	struct str body;

	return take(in, tag, &body);
}

static bool
same(struct str s, const char *bytes, size_t n)
{
	return s.n == n && memcmp(s.s, bytes, n) == 0;
}

/* Takes two digits at *at; 100 if there are none. */
static unsigned
two(struct str s, size_t *at)
{
	uint64_t n;

	if (s.n - *at < 2 || str_num(str_make(s.s + *at, 2), 10, 99, &n) < 0)
		return 100;
	*at += 2;
	return (unsigned)n;
}

/* YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ, as RFC 5280, 4.1.2.5 wants them. */
static bool
take_time(struct str *in, int64_t *out)
{
	unsigned tag, year, f[5];
	struct str s;
	size_t at = 0;

	if (!take_any(in, &tag, &s))
		return false;
	if (s.n != (tag == DER_TIME ? 15 : 13) || s.s[s.n - 1] != 'Z' ||
	    (tag != DER_TIME && tag != DER_UTC_TIME))
		return false;
	year = two(s, &at);
	if (tag == DER_TIME)
		year = year * 100 + two(s, &at);
	else
		year += year < 50 ? 2000 : 1900;
	for (size_t i = 0; i < 5; i++)
		f[i] = two(s, &at);
	if (at != s.n - 1 || f[0] < 1 || f[0] > 12 || f[1] < 1 || f[1] > 31 ||
	    f[2] > 23 || f[3] > 59 || f[4] > 60)
		return false;
	*out = date_seconds(year, f[0], f[1], f[2], f[3], f[4]);
	return true;
}

static bool
parse_extension(struct str oid, struct str value, struct cert *c)
{
	struct str *to;

	if (same(oid, "\x55\x1d\x11", 3))
		to = &c->san;
	else if (same(oid, "\x55\x1d\x25", 3))
		to = &c->usages;
	else
		return true;
	return take(&value, DER_SEQUENCE, to) && !value.n;
}

static bool
parse_extensions(struct str in, struct cert *c)
{
	struct str list, one, oid, value;

	if (!take(&in, DER_SEQUENCE, &list) || in.n)
		return false;
	while (list.n) {
		if (!take(&list, DER_SEQUENCE, &one) ||
		    !take(&one, DER_OID, &oid))
			return false;
		skip(&one, 0x01); /* critical */
		if (!take(&one, DER_OCTETS, &value) || one.n ||
		    !parse_extension(oid, value, c))
			return false;
	}
	return true;
}

static bool
parse_body(struct str in, struct cert *c)
{
	struct str dates, extensions;

	skip(&in, 0xa0);                /* version */
	if (!skip(&in, DER_INTEGER) ||  /* serial number */
	    !skip(&in, DER_SEQUENCE) || /* kind of signature */
	    !take(&in, DER_SEQUENCE, &c->issuer) ||
	    !take(&in, DER_SEQUENCE, &dates) || !take_time(&dates, &c->from) ||
	    !take_time(&dates, &c->until) ||
	    !take(&in, DER_SEQUENCE, &c->subject) ||
	    !take(&in, DER_SEQUENCE, &c->key))
		return false;
	skip(&in, 0x81); /* unique identifiers: nobody uses them */
	skip(&in, 0x82);
	if (take(&in, 0xa3, &extensions) && !parse_extensions(extensions, c))
		return false;
	return in.n == 0;
}

bool
cert_parse(const void *der, size_t n, struct cert *c)
{
	struct str in = str_make(der, n), outer, body, kind;

	*c = (struct cert){0};
	return take(&in, DER_SEQUENCE, &outer) && !in.n &&
	       take(&outer, DER_SEQUENCE, &body) && parse_body(body, c) &&
	       take(&outer, DER_SEQUENCE, &kind) &&
	       take(&kind, DER_OID, &c->signature) && skip(&outer, DER_BITS) &&
	       !outer.n;
}

/* Adds a string of a name as UTF-8. All types but BMPString are taken as they
 * are. */
static void
add_text(struct buf *out, unsigned tag, struct str s)
{
	char utf8[4];

	if (tag != DER_BMP) {
		buf_str_add(out, s);
		return;
	}
	for (size_t i = 0; i + 1 < s.n; i += 2)
		buf_add(out, utf8,
		    utf8_encode(byte(s, i) << 8 | byte(s, i + 1), utf8));
}

/* Adds the last attribute of this type: the most specific one. */
static void
add_attribute(struct buf *out, struct str dn, char type)
{
	const char oid[3] = {0x55, 0x04, type};
	struct str set, one, name, text, found = {0};
	unsigned tag, found_tag = 0;

	while (take(&dn, DER_SET, &set)) {
		while (take(&set, DER_SEQUENCE, &one)) {
			if (!take(&one, DER_OID, &name) ||
			    !same(name, oid, sizeof(oid)) ||
			    !take_any(&one, &tag, &text))
				continue;
			found = text;
			found_tag = tag;
		}
	}
	add_text(out, found_tag, found);
}

void
cert_name(struct str dn, char *out, size_t size)
{
	struct buf name = buf_make(4096), org = buf_make(4096);

	add_attribute(&name, dn, 3); /* common name */
	add_attribute(&org, dn, 10); /* organisation */
	if (!name.len)
		add_attribute(&name, dn, 11); /* unit */
	if (name.len && org.len && !str_same(buf_str(&name), buf_str(&org)))
		buf_puts(&name, ", ");
	if (!str_same(buf_str(&name), buf_str(&org)))
		buf_str_add(&name, buf_str(&org));
	if (!name.len)
		buf_puts(&name, "(no name)");
	/* What comes after a NUL must not be hidden. */
	for (size_t i = 0; i < name.len; i++)
		if (!name.s[i])
			name.s[i] = '?';
	snprintf(out, size, "%s", buf_cstr(&name));
	buf_release(&name);
	buf_release(&org);
}

/* "'name'"; a long one is cut. */
static void
add_host(struct buf *b, unsigned tag, struct str s)
{
	char text[64];

	if (tag == SAN_IP &&
	    inet_ntop(s.n == 4 ? AF_INET : AF_INET6, s.s, text, sizeof(text)))
		s = str_of(text);
	if (s.n > 64)
		s.n = 64;
	buf_puts(b, b->len ? ", '" : "'");
	for (size_t i = 0; i < s.n; i++)
		buf_putc(b, s.s[i] ? s.s[i] : '?');
	buf_putc(b, '\'');
}

void
cert_hosts(const struct cert *c, char *out, size_t size)
{
	struct buf b = buf_make(CERT_HOSTS_MAX);
	struct str left = c->san, name;
	size_t n = 0;
	unsigned tag;

	while (take_any(&left, &tag, &name)) {
		if (tag != SAN_DNS &&
		    (tag != SAN_IP || (name.n != 4 && name.n != 16)))
			continue;
		if (n++ < 3)
			add_host(&b, tag, name);
	}
	if (n > 3)
		buf_printf(&b, " and %zu more", n - 3);
	if (!n && !c->san.s) {
		char common[96];

		cert_name(c->subject, common, sizeof(common));
		add_host(&b, SAN_DNS, str_of(common));
	}
	snprintf(out, size, "%s", b.len ? buf_cstr(&b) : "no host at all");
	buf_release(&b);
}

bool
cert_has_ip(const struct cert *c, const unsigned char *ip, size_t n)
{
	struct str names = c->san, name;
	unsigned tag;

	while (take_any(&names, &tag, &name))
		if (tag == SAN_IP && name.n == n && !memcmp(name.s, ip, n))
			return true;
	return false;
}

bool
cert_is_for_servers(const struct cert *c)
{
	struct str left = c->usages, oid;

	if (!left.s)
		return true;
	while (take(&left, DER_OID, &oid))
		if (same(oid, "\x2b\x06\x01\x05\x05\x07\x03\x01", 8) ||
		    same(oid, "\x55\x1d\x25\x00", 4)) /* any */
			return true;
	return false;
}

bool
cert_is_sha1(const struct cert *c)
{
	return same(c->signature, RSA_OID "\x05", 9) ||
	       same(c->signature, "\x2a\x86\x48\xce\x3d\x04\x01", 7);
}

bool
cert_is_root(const struct cert *c)
{
	return str_same(c->issuer, c->subject);
}

/* Of a number in DER, which may begin with a byte of 0. */
static size_t
bit_length(struct str n)
{
	size_t at = 0, bits;

	while (at < n.n && !byte(n, at))
		at++;
	bits = (n.n - at) * 8;
	for (unsigned mask = 0x80; bits && !(byte(n, at) & mask); mask >>= 1)
		bits--;
	return bits;
}

size_t
cert_rsa_bits(const struct cert *c)
{
	struct str in = c->key, kind, oid, bits, pair, n;

	if (!take(&in, DER_SEQUENCE, &kind) || !take(&kind, DER_OID, &oid) ||
	    !same(oid, RSA_OID "\x01", 9) || !take(&in, DER_BITS, &bits) ||
	    !bits.n)
		return 0;
	in = str_make(bits.s + 1, bits.n - 1); /* without the unused bits */
	if (!take(&in, DER_SEQUENCE, &pair) || !take(&pair, DER_INTEGER, &n))
		return 0;
	return bit_length(n);
}

void
cert_day(int64_t t, char out[32])
{
	time_t when = (time_t)t;
	struct tm tm;

	if ((int64_t)when != t || !gmtime_r(&when, &tm) ||
	    !strftime(out, 32, "%Y-%m-%d", &tm))
		snprintf(out, 32, "(no date)");
}
