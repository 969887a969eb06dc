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

/* What stands between BEGIN and END while it is decoded. */
struct object {
	bool wanted;
	struct buf der;
};

static void
object_begin(struct object *o, const char *name)
{
	size_t n = strlen(name);

	/* BearSSL leaves the dashes in lines that end as Windows's do. */
	while (n && (name[n - 1] == '\r' || name[n - 1] == '-'))
		n--;
	o->wanted = str_eq(str_make(name, n), "CERTIFICATE") ||
		    str_eq(str_make(name, n), "X509 CERTIFICATE");
	buf_clear(&o->der);
}

static void
object_add(void *object, const void *p, size_t n)
{
	struct object *o = object;

	if (o->wanted)
		buf_add(&o->der, p, n);
}

static int
object_end(struct object *o, struct anchors *list, size_t *added, struct err *e)
{
	if (!o->wanted)
		return 0;
	o->wanted = false;
	if (o->der.full)
		return err_set(e, ERR_USAGE, "a certificate is too large");
	return anchors_add_der(list, buf_cstr(&o->der), o->der.len, added, e);
}

static int
object_event(struct object *o, br_pem_decoder_context *pem,
    struct anchors *list, size_t *added, struct err *e)
{
	switch (br_pem_decoder_event(pem)) {
	case BR_PEM_BEGIN_OBJ:
		object_begin(o, br_pem_decoder_name(pem));
		return 0;
	case BR_PEM_END_OBJ:
		return object_end(o, list, added, e);
	case BR_PEM_ERROR:
		if (o->wanted)
			return err_set(e, ERR_USAGE, "broken PEM text");
	}
	return 0;
}

static int
feed(struct object *o, br_pem_decoder_context *pem, struct str text,
    struct anchors *list, size_t *added, struct err *e)
{
	while (text.n) {
		size_t n = br_pem_decoder_push(pem, text.s, text.n);

		if (object_event(o, pem, list, added, e) < 0)
			return -1;
		text = str_make(text.s + n, text.n - n);
	}
	return 0;
}

int
anchors_add_pem(
    struct anchors *list, struct str pem, size_t *added, struct err *e)
{
	struct object o = {.der = buf_make(CERT_MAX)};
	br_pem_decoder_context d;
	int r;

	br_pem_decoder_init(&d);
	br_pem_decoder_setdest(&d, object_add, &o);
	r = feed(&o, &d, pem, list, added, e);
	if (r == 0) /* the last line may lack its end */
		r = feed(&o, &d, str_of("\n"), list, added, e);
	if (r == 0 && o.wanted)
		r = err_set(e, ERR_USAGE, "the PEM text ends in the middle");
	buf_release(&o.der);
	return r;
}
