#include "chain.h"

#include <arpa/inet.h>
#include <string.h>

#include "anchor.h"
#include "cert.h"
#include "err.h"
#include "mem.h"

/* Of one certificate: far more than is seen. */
#define CERT_MAX 32768

/* Days from the year 0, which BearSSL counts from, to 1970. */
#define DAYS_TO_1970 719528

static struct chain *
of(const br_x509_class **ctx)
{
	return (struct chain *)(void *)ctx;
}

static void
start_chain(const br_x509_class **ctx, const char *server_name)
{
	struct chain *c = of(ctx);

	(void)server_name; /* it is empty for an address */
	c->count = 0;
	c->ip_found = c->for_servers = c->self_signed = c->old_root = false;
	c->from = c->until = c->lapses = 0;
	c->short_bits = 0;
	c->subject[0] = c->hosts[0] = c->issuer[0] = c->sha1[0] = '\0';
	c->inner.vtable->start_chain(&c->inner.vtable, chain_name(c));
}

static void
start_cert(const br_x509_class **ctx, uint32_t length)
{
	struct chain *c = of(ctx);

	buf_release(&c->der);
	c->der = buf_make(CERT_MAX);
	c->inner.vtable->start_cert(&c->inner.vtable, length);
}

static void
append(const br_x509_class **ctx, const unsigned char *p, size_t n)
{
	struct chain *c = of(ctx);

	buf_add(&c->der, p, n);
}

static void
look_at_first(struct chain *c, const struct cert *cert)
{
	cert_name(cert->subject, c->subject, sizeof(c->subject));
	cert_hosts(cert, c->hosts, sizeof(c->hosts));
	c->lapses = cert->until;
	c->ip_found = cert_has_ip(cert, c->ip, c->ip_len);
	c->for_servers = cert_is_for_servers(cert);
	c->self_signed = cert_is_root(cert);
}

/* A root's signature on itself proves nothing and harms nobody. BearSSL
 * stumbles over it before it can say that the root is not trusted. */
static void
look_for_weakness(struct chain *c, const struct cert *cert)
{
	size_t bits = cert_rsa_bits(cert);

	if (bits && bits < CERT_RSA_MIN && !c->short_bits) {
		cert_name(cert->subject, c->short_key, sizeof(c->short_key));
		c->short_bits = bits;
	}
	if (!cert_is_sha1(cert) || c->sha1[0])
		return;
	if (c->count && cert_is_root(cert))
		c->old_root = true;
	else
		cert_name(cert->subject, c->sha1, sizeof(c->sha1));
}

static void
set_time(struct chain *c)
{
	uint64_t t = c->time.now > 0 ? (uint64_t)c->time.now : 0;

	br_x509_minimal_set_time(&c->inner,
	    (uint32_t)(t / 86400 + DAYS_TO_1970), (uint32_t)(t % 86400));
}

static void
look_at_dates(struct chain *c, const struct cert *cert)
{
	if (c->time.at_least && c->time.now < cert->from) {
		c->time.now = cert->from;
		set_time(c);
	}
	if (!c->from && !c->until &&
	    (c->time.now < cert->from || c->time.now > cert->until)) {
		c->from = cert->from;
		c->until = cert->until;
	}
}

static void
look(struct chain *c)
{
	struct cert cert;

	if (c->der.full || !cert_parse(buf_cstr(&c->der), c->der.len, &cert))
		return;
	if (!c->count)
		look_at_first(c, &cert);
	look_for_weakness(c, &cert);
	look_at_dates(c, &cert);
	cert_name(cert.issuer, c->issuer, sizeof(c->issuer));
}

static void
end_cert(const br_x509_class **ctx)
{
	struct chain *c = of(ctx);

	look(c);
	c->count++;
	/* Only now, since its dates may tell the time. One that is too large
	 * is cut, and so cannot be decoded. */
	c->inner.vtable->append(&c->inner.vtable,
	    (const unsigned char *)buf_cstr(&c->der), c->der.len);
	c->inner.vtable->end_cert(&c->inner.vtable);
}

static unsigned
end_chain(const br_x509_class **ctx)
{
	struct chain *c = of(ctx);
	unsigned code = c->inner.vtable->end_chain(&c->inner.vtable);

	if (!code && ((c->ip_len && !c->ip_found) || c->host[0] == '.'))
		return BR_ERR_X509_BAD_SERVER_NAME;
	if (!code && !c->for_servers)
		return BR_ERR_X509_FORBIDDEN_KEY_USAGE;
	return code;
}

static const br_x509_pkey *
get_pkey(const br_x509_class *const *ctx, unsigned *usages)
{
	const struct chain *c = (const struct chain *)(const void *)ctx;

	return c->inner.vtable->get_pkey(&c->inner.vtable, usages);
}

static void
set_address(struct chain *c)
{
	if (inet_pton(AF_INET, c->host, c->ip) == 1)
		c->ip_len = 4;
	else if (inet_pton(AF_INET6, c->host, c->ip) == 1)
		c->ip_len = 16;
}

void
chain_init(struct chain *c, const struct anchors *roots, const char *host,
    struct clock_time time)
{
	static const br_x509_class class = {sizeof(struct chain), start_chain,
	    start_cert, append, end_cert, end_chain, get_pkey};

	*c = (struct chain){.vtable = &class, .host = host, .time = time};
	set_address(c);
	br_x509_minimal_init(&c->inner, &br_sha256_vtable, roots->a, roots->n);
	br_x509_minimal_set_rsa(&c->inner, br_rsa_pkcs1_vrfy_get_default());
	br_x509_minimal_set_ecdsa(
	    &c->inner, br_ec_get_default(), br_ecdsa_vrfy_asn1_get_default());
	/* No SHA-1: nobody may sign with it any more. */
	br_x509_minimal_set_hash(&c->inner, br_sha256_ID, &br_sha256_vtable);
	br_x509_minimal_set_hash(&c->inner, br_sha384_ID, &br_sha384_vtable);
	br_x509_minimal_set_hash(&c->inner, br_sha512_ID, &br_sha512_vtable);
	br_x509_minimal_set_minrsa(&c->inner, CERT_RSA_MIN / 8);
	set_time(c);
}

void
chain_release(struct chain *c)
{
	buf_release(&c->der);
}

const char *
chain_name(const struct chain *c)
{
	return c->ip_len ? NULL : c->host;
}

static int
explain_dates(const struct chain *c, struct err *e)
{
	bool early = c->time.now < c->from;
	bool late = c->time.now > c->time.system;
	char day[32], clock[32], now[32];

	cert_day(early ? c->from : c->until, day);
	cert_day(c->time.system, clock);
	cert_day(c->time.now, now);
	err_set(e, ERR_OTHER,
	    "the certificate of '%s' %s %s, and this machine's clock says "
	    "%s%s%s%s",
	    c->host, early ? "is valid only from" : "has expired on", day,
	    clock, late ? ", but it is " : "", late ? now : "",
	    late ? " or later" : "");
	if (late || early)
		err_hint(e, "setting this machine's clock");
	return -1;
}

static const char *
reason(int code)
{
	static const struct {
		int code;
		const char *text;
	} rows[] = {
	    {BR_ERR_X509_EMPTY_CHAIN, "the server sent none"},
	    {BR_ERR_X509_UNSUPPORTED, "it uses what hub does not know"},
	    {BR_ERR_X509_LIMIT_EXCEEDED, "it is too large"},
	    {BR_ERR_X509_WRONG_KEY_TYPE, "its kind of key is not usable"},
	    {BR_ERR_X509_BAD_SIGNATURE, "a signature in it is wrong"},
	    {BR_ERR_X509_DN_MISMATCH,
		"the certificates that came with it are not its issuers"},
	    {BR_ERR_X509_CRITICAL_EXTENSION,
		"it has a critical extension that hub does not know"},
	    {BR_ERR_X509_NOT_CA,
		"it is signed by one that may not sign others"},
	    {BR_ERR_X509_FORBIDDEN_KEY_USAGE, "it is not meant for servers"},
	    {BR_ERR_X509_WEAK_PUBLIC_KEY, "its key is too short"},
	};

	for (size_t i = 0; i < countof(rows); i++)
		if (rows[i].code == code)
			return rows[i].text;
	return "it cannot be decoded";
}

static int
explain_trust(const struct chain *c, struct err *e)
{
	bool alone = c->count == 1;

	if (alone && c->self_signed) {
		err_set(e, ERR_OTHER,
		    "the certificate of '%s' is signed by itself, '%s', and "
		    "not trusted",
		    c->host, c->subject);
		return err_hint(e, "--ca-file FILE with that certificate");
	}
	err_set(e, ERR_OTHER,
	    "the certificate of '%s' is issued by '%s', which is not trusted%s",
	    c->host, c->issuer,
	    alone ? "; the server sends no other certificate" : "");
	return err_hint(
	    e, "--ca-file FILE with the certificate of that issuer");
}

/* 0 if it was for another reason. */
static int
explain_weakness(const struct chain *c, int code, struct err *e)
{
	if (code == BR_ERR_X509_WEAK_PUBLIC_KEY && c->short_bits)
		err_set(e, ERR_OTHER,
		    "the certificate of '%s' is not safe: the RSA key of '%s' "
		    "has %zu bits, not %d",
		    c->host, c->short_key, c->short_bits, CERT_RSA_MIN);
	else if (code == BR_ERR_X509_UNSUPPORTED && c->sha1[0])
		err_set(e, ERR_OTHER,
		    "the certificate of '%s' is not safe: that of '%s' is "
		    "signed with SHA-1, which can be forged",
		    c->host, c->sha1);
	else
		return 0;
	return err_hint(
	    e, "asking who runs the server (or a proxy before it) to renew it");
}

int
chain_explain(const struct chain *c, int code, struct err *e)
{
	if (explain_weakness(c, code, e) < 0)
		return -1;
	if (code == BR_ERR_X509_NOT_TRUSTED ||
	    (code == BR_ERR_X509_UNSUPPORTED && c->old_root))
		return explain_trust(c, e);
	if (code == BR_ERR_X509_BAD_SERVER_NAME)
		return err_set(e, ERR_OTHER,
		    "the certificate is not for '%s' but for %s", c->host,
		    c->hosts);
	if (code == BR_ERR_X509_EXPIRED && (c->from || c->until))
		return explain_dates(c, e);
	return err_set(
	    e, ERR_OTHER, "bad certificate of '%s': %s", c->host, reason(code));
}
