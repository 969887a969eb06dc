#include "anchor.h"

#include <stdlib.h>
#include <string.h>

#include "cert.h"
#include "err.h"
#include "mem.h"

/* Of one certificate, and of a name: many times what is seen. */
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

static bool
take_bytes(struct str *in, unsigned char **p, size_t *n)
{
	unsigned high, low;

	if (!take_byte(in, &high) || !take_byte(in, &low))
		return false;
	*n = high << 8 | low;
	if (*n > in->n)
		return false;
	*p = lend(in->s);
	*in = str_make(in->s + *n, in->n - *n);
	return true;
}

static bool
unpack(struct str *in, br_x509_trust_anchor *a)
{
	br_rsa_public_key *rsa = &a->pkey.key.rsa;
	br_ec_public_key *ec = &a->pkey.key.ec;
	unsigned curve;

	if (!take_byte(in, &a->flags) ||
	    !take_bytes(in, &a->dn.data, &a->dn.len) || !take_byte(in, &curve))
		return false;
	if (!curve) {
		a->pkey.key_type = BR_KEYTYPE_RSA;
		return take_bytes(in, &rsa->n, &rsa->nlen) &&
		       take_bytes(in, &rsa->e, &rsa->elen);
	}
	a->pkey.key_type = BR_KEYTYPE_EC;
	ec->curve = (int)curve;
	return take_bytes(in, &ec->q, &ec->qlen);
}

bool
anchors_add_packed(struct anchors *list, const void *p, size_t n)
{
	struct str in = str_make(p, n);

	while (in.n) {
		if (!unpack(&in, append(list))) {
			list->n--;
			return false;
		}
		list->lent = list->n;
	}
	return true;
}

static void
pack_bytes(struct buf *out, const unsigned char *p, size_t n)
{
	buf_putc(out, (char)(unsigned char)(n >> 8));
	buf_putc(out, (char)(unsigned char)(n & 0xff));
	buf_add(out, p, n);
}

void
anchor_pack(const br_x509_trust_anchor *a, struct buf *out)
{
	const br_rsa_public_key *rsa = &a->pkey.key.rsa;
	const br_ec_public_key *ec = &a->pkey.key.ec;

	buf_putc(out, (char)a->flags);
	pack_bytes(out, a->dn.data, a->dn.len);
	if (a->pkey.key_type == BR_KEYTYPE_RSA) {
		buf_putc(out, 0);
		pack_bytes(out, rsa->n, rsa->nlen);
		pack_bytes(out, rsa->e, rsa->elen);
	} else {
		buf_putc(out, (char)ec->curve);
		pack_bytes(out, ec->q, ec->qlen);
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

/* Folders of systems hold each root two or three times. */
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

/* BearSSL asks nothing of a root's key, but a chain is as weak as that. */
static bool
is_strong(const br_x509_pkey *key)
{
	return key->key_type != BR_KEYTYPE_RSA ||
	       key->key.rsa.nlen >= CERT_RSA_MIN / 8;
}

int
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

/* Moves s behind the next occurrence of what; false, and s is empty, if there is
 * none. */
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

/* The value of a digit of base64; -1 if it is none. */
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

/* Whether text between "-----BEGIN " and "-----END " is a certificate by its
 * label, which is cut off. */
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
