#include "cert.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "str.h"

/* --- One certificate. --- */

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

/* Cuts the next element off *in. Lengths of up to four bytes and tags of one
 * byte are supported. */
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

/* Cuts the next element off *in if it has this tag. */
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

/* Reads two digits and moves *at; returns 100 if there are none. */
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
	/* Text after a NUL must not be hidden. */
	for (size_t i = 0; i < name.len; i++)
		if (!name.s[i])
			name.s[i] = '?';
	snprintf(out, size, "%s", buf_cstr(&name));
	buf_release(&name);
	buf_release(&org);
}

/* Appends "'name'", cut if it is long. */
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

/* Returns the bits of a number in DER, which may begin with a byte of 0. */
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
	struct date d;

	if (date_of(t, &d))
		snprintf(out, 32, "%04u-%02u-%02u", d.year, d.month, d.day);
	else
		snprintf(out, 32, "(no date)");
}

/* --- Roots of trust. --- */

/* Limits of a certificate and of a name, far above real ones. */
#define CERT_MAX 65536
#define NAME_MAX_BYTES 16384

static void
release_one(br_x509_trust_anchor *a)
{
	free(a->dn.data);
	if (a->pkey.key_type == BR_KEYTYPE_RSA) {
		free(a->pkey.key.rsa.n);
		free(a->pkey.key.rsa.e);
	} else {
		free(a->pkey.key.ec.q);
	}
}

void
anchors_release(struct anchors *list)
{
	for (size_t i = list->lent; i < list->n; i++)
		release_one(&list->a[i]);
	free(list->a);
	*list = (struct anchors){0};
}

static br_x509_trust_anchor *
append(struct anchors *list)
{
	if (list->n == list->cap) {
		list->cap = list->cap ? list->cap * 2 : 16;
		list->a = xreallocarray(list->a, list->cap, sizeof(*list->a));
	}
	list->a[list->n] = (br_x509_trust_anchor){0};
	return &list->a[list->n++];
}

/* BearSSL's structures have no const, but it only reads through them. */
static unsigned char *
lend(const char *p)
{
	union {
		const char *ours;
		unsigned char *theirs;
	} u = {p};

	return u.theirs;
}

static bool
take_byte(struct str *in, unsigned *out)
{
	if (!in->n)
		return false;
	*out = (unsigned char)in->s[0];
	*in = str_make(in->s + 1, in->n - 1);
	return true;
}

/* Takes a length from heads and that many bytes from another part, or from heads
 * itself. */
static bool
take_bytes(struct str *heads, struct str *from, unsigned char **p, size_t *n)
{
	unsigned high, low;

	if (!take_byte(heads, &high) || !take_byte(heads, &low))
		return false;
	*n = high << 8 | low;
	if (*n > from->n)
		return false;
	*p = lend(from->s);
	*from = str_make(from->s + *n, from->n - *n);
	return true;
}

static bool
unpack(struct str *heads, struct str *keys, br_x509_trust_anchor *a)
{
	br_rsa_public_key *rsa = &a->pkey.key.rsa;
	br_ec_public_key *ec = &a->pkey.key.ec;
	unsigned curve;

	if (!take_byte(heads, &a->flags) ||
	    !take_bytes(heads, heads, &a->dn.data, &a->dn.len) ||
	    !take_byte(heads, &curve))
		return false;
	if (!curve) {
		a->pkey.key_type = BR_KEYTYPE_RSA;
		return take_bytes(heads, heads, &rsa->e, &rsa->elen) &&
		       take_bytes(heads, keys, &rsa->n, &rsa->nlen);
	}
	a->pkey.key_type = BR_KEYTYPE_EC;
	ec->curve = (int)curve;
	return take_bytes(heads, keys, &ec->q, &ec->qlen);
}

bool
anchors_add_packed(struct anchors *list, struct str heads, struct str keys)
{
	while (heads.n) {
		if (!unpack(&heads, &keys, append(list))) {
			list->n--;
			return false;
		}
		list->lent = list->n;
	}
	return keys.n == 0;
}

static void
pack_bytes(struct buf *heads, struct buf *to, const unsigned char *p, size_t n)
{
	buf_putc(heads, (char)(unsigned char)(n >> 8));
	buf_putc(heads, (char)(unsigned char)(n & 0xff));
	buf_add(to, p, n);
}

void
anchor_pack(const br_x509_trust_anchor *a, struct buf *heads, struct buf *keys)
{
	const br_rsa_public_key *rsa = &a->pkey.key.rsa;
	const br_ec_public_key *ec = &a->pkey.key.ec;

	buf_putc(heads, (char)a->flags);
	pack_bytes(heads, heads, a->dn.data, a->dn.len);
	if (a->pkey.key_type == BR_KEYTYPE_RSA) {
		buf_putc(heads, 0);
		pack_bytes(heads, heads, rsa->e, rsa->elen);
		pack_bytes(heads, keys, rsa->n, rsa->nlen);
	} else {
		buf_putc(heads, (char)ec->curve);
		pack_bytes(heads, keys, ec->q, ec->qlen);
	}
}

static unsigned char *
copy(const void *p, size_t n)
{
	unsigned char *to = xmalloc(n);

	memcpy(to, p, n);
	return to;
}

static void
copy_key(const br_x509_pkey *from, br_x509_pkey *to)
{
	const br_rsa_public_key *rsa = &from->key.rsa;
	const br_ec_public_key *ec = &from->key.ec;

	*to = *from;
	if (from->key_type == BR_KEYTYPE_RSA) {
		to->key.rsa.n = copy(rsa->n, rsa->nlen);
		to->key.rsa.e = copy(rsa->e, rsa->elen);
	} else {
		to->key.ec.q = copy(ec->q, ec->qlen);
	}
}

static bool
same_bytes(const unsigned char *a, size_t n, const unsigned char *b, size_t m)
{
	return n == m && memcmp(a, b, n) == 0;
}

static bool
same_key(const br_x509_pkey *a, const br_x509_pkey *b)
{
	const br_rsa_public_key *ra = &a->key.rsa, *rb = &b->key.rsa;
	const br_ec_public_key *ea = &a->key.ec, *eb = &b->key.ec;

	if (a->key_type != b->key_type)
		return false;
	if (a->key_type == BR_KEYTYPE_RSA)
		return same_bytes(ra->n, ra->nlen, rb->n, rb->nlen) &&
		       same_bytes(ra->e, ra->elen, rb->e, rb->elen);
	return ea->curve == eb->curve &&
	       same_bytes(ea->q, ea->qlen, eb->q, eb->qlen);
}

/* True if the list has this root already: the folders of systems contain each
 * root two or three times. */
static bool
known(const struct anchors *list, unsigned flags, const struct buf *dn,
    const br_x509_pkey *key)
{
	for (size_t i = 0; i < list->n; i++) {
		const br_x509_trust_anchor *a = &list->a[i];

		if (a->flags == flags && a->dn.len == dn->len &&
		    memcmp(a->dn.data, dn->s, dn->len) == 0 &&
		    same_key(&a->pkey, key))
			return true;
	}
	return false;
}

static void
add_new(struct anchors *list, unsigned flags, const struct buf *dn,
    const br_x509_pkey *key)
{
	br_x509_trust_anchor *a;

	if (known(list, flags, dn, key))
		return;
	a = append(list);
	a->flags = flags;
	a->dn.data = copy(dn->s, dn->len);
	a->dn.len = dn->len;
	copy_key(key, &a->pkey);
}

static void
to_buf(void *buf, const void *p, size_t n)
{
	buf_add(buf, p, n);
}

/* BearSSL does not check a root's key, but a chain is only as strong as
 * that. */
static bool
is_strong(const br_x509_pkey *key)
{
	return key->key_type != BR_KEYTYPE_RSA ||
	       key->key.rsa.nlen >= CERT_RSA_MIN / 8;
}

/* Adds a certificate, if it is new. Skips a key that BearSSL cannot use, and an
 * RSA key of less than 2048 bits (*added stays as it was). ERR_USAGE if der is
 * not a certificate. */
static int
anchors_add_der(struct anchors *list, const void *der, size_t n, size_t *added,
    struct err *e)
{
	br_x509_decoder_context *d = xmalloc(sizeof(*d));
	struct buf dn = buf_make(NAME_MAX_BYTES);
	const br_x509_pkey *key;
	struct cert c;
	int r = 0;

	br_x509_decoder_init(d, to_buf, &dn);
	br_x509_decoder_push(d, der, n);
	key = br_x509_decoder_get_pkey(d);
	if (!cert_parse(der, n, &c)) {
		r = err_set(e, ERR_USAGE, "broken certificate");
	} else if (key && is_strong(key) && dn.len && !dn.full) {
		add_new(list, br_x509_decoder_isCA(d) ? BR_X509_TA_CA : 0, &dn,
		    key);
		(*added)++;
	}
	buf_release(&dn);
	free(d);
	return r;
}

/* Moves s behind the next occurrence of what; false, and s is empty, if there
 * is none. */
static bool
seek(struct str *s, const char *what)
{
	size_t n = strlen(what);

	while (s->n >= n) {
		const char *p = memchr(s->s, what[0], s->n - n + 1);

		if (!p)
			break;
		*s = str_make(p, s->n - (size_t)(p - s->s));
		if (memcmp(p, what, n) == 0) {
			*s = str_make(p + n, s->n - n);
			return true;
		}
		*s = str_make(p + 1, s->n - 1);
	}
	*s = str_make(s->s + s->n, 0);
	return false;
}

/* Returns the value of a digit of base64; -1 if it is none. */
static int
digit64(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Decodes base64 with blanks and line ends anywhere; false if it is broken. */
static bool
decode64(struct str s, struct buf *out)
{
	unsigned bits = 0, n = 0, padding = 0;

	for (size_t i = 0; i < s.n; i++) {
		int digit = digit64(s.s[i]);
		unsigned place;

		if (is_space(s.s[i]))
			continue;
		if (s.s[i] == '=' && ++padding <= 2)
			continue;
		if (digit < 0 || padding)
			return false;
		bits = bits << 6 | (unsigned)digit;
		place = n++ % 4;
		if (place)
			buf_putc(out,
			    (char)(unsigned char)(bits >> (6 - 2 * place)));
	}
	return n % 4 != 1 && (!padding || (n + padding) % 4 == 0);
}

/* True if the text between "-----BEGIN " and "-----END " is a certificate by
 * its label, which is cut off. */
static bool
cut_label(struct str *text)
{
	static const char dashes[] = "-----";
	struct str rest = *text, label;

	if (!seek(&rest, dashes))
		return false;
	label = str_make(text->s, (size_t)(rest.s - text->s) - strlen(dashes));
	*text = rest;
	return str_eq(label, "CERTIFICATE") ||
	       str_eq(label, "X509 CERTIFICATE");
}

/* Adds the certificate that stands at the begin of text, up to "-----END ". */
static int
add_one(struct anchors *list, struct str text, size_t *added, struct err *e)
{
	struct str rest = text;
	struct buf der = buf_make(CERT_MAX);
	int rv;

	if (!seek(&rest, "-----"))
		rv = err_set(e, ERR_USAGE, "the PEM text ends in the middle");
	else if (!str_starts(rest, "END ") ||
		 !decode64(str_make(text.s,
			       (size_t)(rest.s - text.s) - strlen("-----")),
		     &der))
		rv = err_set(e, ERR_USAGE, "broken PEM text");
	else if (der.full)
		rv = err_set(e, ERR_USAGE, "a certificate is too large");
	else
		rv = anchors_add_der(list, buf_cstr(&der), der.len, added, e);
	buf_release(&der);
	return rv;
}

static size_t
line_of(struct str text, const char *p)
{
	size_t line = 1;

	for (const char *q = text.s; q < p; q++)
		line += *q == '\n' || (*q == '\r' && q[1] != '\n');
	return line;
}

int
anchors_add_pem(
    struct anchors *list, struct str pem, size_t *added, struct err *e)
{
	struct str rest = pem;
	struct err why;
	int rv = 0;

	while (seek(&rest, "-----BEGIN ")) {
		const char *begin = rest.s;

		if (!cut_label(&rest) || add_one(list, rest, added, &why) == 0)
			continue;
		if (rv == 0) {
			*e = why;
			err_in(e, "line %zu", line_of(pem, begin));
		}
		rv = -1;
	}
	return rv;
}

int
pem_next(struct str *rest, struct str *label, struct buf *der)
{
	static const char dashes[] = "-----";
	struct str text, end;

	buf_clear(der);
	if (!seek(rest, "-----BEGIN "))
		return 0;
	text = *rest;
	if (!seek(rest, dashes))
		return -1;
	*label = str_make(text.s, (size_t)(rest->s - text.s) - strlen(dashes));
	text = *rest;
	if (!seek(rest, dashes) || !str_starts(*rest, "END "))
		return -1;
	end = str_make(text.s, (size_t)(rest->s - text.s) - strlen(dashes));
	return decode64(end, der) && !der->full ? 1 : -1;
}
