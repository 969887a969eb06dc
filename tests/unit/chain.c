
#include "../../tls.c"

#include <stdlib.h>
#include <string.h>

#include "cert.h"
#include "err.h"
#include "str.h"
#include "tests/unit/pem.h"
#include "tests/unit/test.h"

#define RENEW \
	"ask the operator of the server (or of the proxy before it) to renew it"
#define FOR_GOOD "'hub.test', '*.wild.test', '127.0.0.1' and 1 more"
#define Y2001 INT64_C(990000000)
#define Y2026 INT64_C(1780000000)
#define Y2110 INT64_C(4430000000)
#define Y2130 INT64_C(5056000000)

/* Feeds a chain of one certificate in two pieces, as a handshake would. */
static int
run(struct chain *c, struct str der, size_t cut)
{
	const br_x509_class **ctx = &c->vtable;
	const br_x509_class *v = c->vtable;

	v->start_chain(ctx, "");
	v->start_cert(ctx, (uint32_t)der.n);
	for (size_t i = 0; i < 2; i++) {
		size_t n = i ? der.n - cut : cut;
		unsigned char *copy = test_exact(der.s + (i ? cut : 0), n);

		if (n)
			v->append(ctx, copy, n);
		free(copy);
	}
	v->end_cert(ctx);
	return (int)v->end_chain(ctx);
}

static struct anchors
trust(const char *name)
{
	struct buf text = pem_text(name);
	struct anchors list = {0};
	struct err e = {0};
	size_t added = 0;

	CHECK(anchors_add_pem(&list, buf_str(&text), &added, &e) == 0);
	buf_release(&text);
	return list;
}

static void
test_verdicts(void)
{
	static const struct {
		const char *root, *cert, *host;
		int64_t clock, build;
		const char *says; /* "": accepted */
		const char *hint;
	} rows[] = {
	    {"ca", "good", "hub.test", Y2026, Y2026, "", ""},
	    {"ca", "good", "HUB.test", Y2026, Y2026, "", ""},
	    {"ca", "good", "a.wild.test", Y2026, Y2026, "", ""},
	    {"ca", "good", "127.0.0.1", Y2026, Y2026, "", ""},
	    {"ca", "good", "fd00::1", Y2026, Y2026, "", ""},
	    {"ca", "good", "FD00:0:0::0:1", Y2026, Y2026, "", ""},
	    {"good", "good", "hub.test", Y2026, Y2026, "", ""}, /* itself */
	    {"ca", "good", "hub.test", 0, Y2026, "", ""}, /* clock is wrong */
	    {"ca", "good", "wild.test", Y2026, Y2026,
		"the certificate is not for 'wild.test' but for " FOR_GOOD, ""},
	    {"ca", "good", ".wild.test", Y2026, Y2026,
		"the certificate is not for '.wild.test' but for " FOR_GOOD,
		""},
	    {"ca", "good", "a.b.wild.test", Y2026, Y2026,
		"the certificate is not for 'a.b.wild.test' but for " FOR_GOOD,
		""},
	    {"ca", "good", "hub.test.evil", Y2026, Y2026,
		"the certificate is not for 'hub.test.evil' but for " FOR_GOOD,
		""},
	    {"ca", "good", "127.0.0.2", Y2026, Y2026,
		"the certificate is not for '127.0.0.2' but for " FOR_GOOD, ""},
	    /* a dNSName of "127.0.0.1" is not that address */
	    {"ca", "noip", "127.0.0.1", Y2026, Y2026,
		"the certificate is not for '127.0.0.1' but for 'hub.test', '127.0.0.1'",
		""},
	    {"good", "good", "127.0.0.2", Y2026, Y2026,
		"the certificate is not for '127.0.0.2' but for " FOR_GOOD, ""},
	    {"other", "good", "hub.test", Y2026, Y2026,
		"the certificate of 'hub.test' is issued by "
		"'Throw-away CA, Test only', which is not trusted; the server "
		"sends no other certificate",
		"use --ca-file FILE with the certificate of that issuer"},
	    {"other", "good", "127.0.0.1", Y2026, Y2026,
		"the certificate of '127.0.0.1' is issued by "
		"'Throw-away CA, Test only', which is not trusted; the server "
		"sends no other certificate",
		"use --ca-file FILE with the certificate of that issuer"},
	    {"ca", "expired", "hub.test", Y2026, Y2026,
		"the certificate of 'hub.test' has expired on 2002-01-01, and "
		"this machine's clock says 2026-05-28",
		""},
	    {"ca", "expired", "hub.test", 0, Y2026,
		"the certificate of 'hub.test' has expired on 2002-01-01, and "
		"this machine's clock says 1970-01-01, but it is 2026-05-28 or "
		"later",
		"set this machine's clock"},
	    {"ca", "expired", "hub.test", Y2001, Y2001, "", ""},
	    /* No clock: it is 2001 or later, and who issued it knew more. */
	    {"ca", "good", "hub.test", 0, Y2001, "", ""},
	    {"ca", "future", "hub.test", 0, Y2026, "", ""},
	    {"other", "good", "hub.test", 0, Y2001,
		"the certificate of 'hub.test' is issued by "
		"'Throw-away CA, Test only', which is not trusted; the server "
		"sends no other certificate",
		"use --ca-file FILE with the certificate of that issuer"},
	    {"ca", "future", "hub.test", Y2026, Y2026,
		"the certificate of 'hub.test' is valid only from 2100-01-01, "
		"and this machine's clock says 2026-05-28",
		"set this machine's clock"},
	    {"ca", "future", "hub.test", Y2110, Y2026, "", ""},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct anchors list = trust(rows[i].root);
		struct buf der = pem_der(rows[i].cert);
		struct err e = {0};
		struct chain c;
		int code;

		chain_init(&c, &list, rows[i].host,
		    clock_judge(rows[i].clock, rows[i].build, 0));
		code = run(&c, buf_str(&der), i);
		CHECK_ROW(i, (code == 0) == !rows[i].says[0]);
		if (code)
			CHECK_ROW(i, chain_explain(&c, code, &e) < 0);
		CHECK_ROW(i, !strcmp(e.msg, rows[i].says));
		CHECK_ROW(i, !strcmp(e.hint, rows[i].hint));
		CHECK_ROW(i, !code || e.kind == ERR_OTHER);
		chain_release(&c);
		buf_release(&der);
		anchors_release(&list);
	}
}

/* What the endpoint has said counts, also where the machine has no clock. */
static void
test_seen(void)
{
	static const struct {
		const char *cert;
		int64_t clock, build, seen;
		const char *says;
	} rows[] = {
	    {"good", 0, Y2001, Y2026, ""},
	    {"good", Y2026, Y2001, Y2110, ""},
	    {"future", Y2026, Y2001, Y2110, ""},
	    {"future", 0, Y2001, Y2026,
		"the certificate of 'hub.test' is valid only from 2100-01-01, "
		"and this machine's clock says 1970-01-01, but it is "
		"2026-05-28 or later"},
	    {"good", Y2026, Y2001, Y2130,
		"the certificate of 'hub.test' has expired on 2120-01-01, and "
		"this machine's clock says 2026-05-28, but it is 2130-03-21 or "
		"later"},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct anchors list = trust("ca");
		struct buf der = pem_der(rows[i].cert);
		struct err e = {0};
		struct chain c;
		int code;

		chain_init(&c, &list, "hub.test",
		    clock_judge(rows[i].clock, rows[i].build, rows[i].seen));
		code = run(&c, buf_str(&der), der.len / 2);
		CHECK_ROW(i, (code == 0) == !rows[i].says[0]);
		CHECK_ROW(i, code || c.lapses > c.time.now);
		if (code)
			chain_explain(&c, code, &e);
		CHECK_ROW(i, !strcmp(e.msg, rows[i].says));
		chain_release(&c);
		buf_release(&der);
		anchors_release(&list);
	}
}

static void
test_cuts(void)
{
	struct anchors list = trust("ca");
	struct buf der = pem_der("good");

	for (size_t cut = 0; cut <= der.len; cut += 17) {
		struct chain c;

		chain_init(
		    &c, &list, "127.0.0.1", clock_judge(Y2026, Y2026, 0));
		CHECK_ROW(cut, run(&c, buf_str(&der), cut) == 0);
		CHECK_ROW(cut, run(&c, buf_str(&der), cut) == 0); /* again */
		chain_release(&c);
		chain_release(&c);
	}
	buf_release(&der);
	anchors_release(&list);
}

/* No changed byte of a certificate passes, whatever it is. */
static void
test_changes(void)
{
	struct anchors list = trust("ca");
	struct buf der = pem_der("good");

	for (size_t i = 0; i < der.len; i += 5) {
		struct err e = {0};
		struct chain c;
		int code;

		der.s[i] = (char)(der.s[i] ^ 1);
		chain_init(
		    &c, &list, "127.0.0.1", clock_judge(Y2026, Y2026, 0));
		code = run(&c, buf_str(&der), 0);
		CHECK_ROW(i, code != 0);
		CHECK_ROW(i, chain_explain(&c, code, &e) < 0 && e.msg[0]);
		chain_release(&c);
		der.s[i] = (char)(der.s[i] ^ 1);
	}
	buf_release(&der);
	anchors_release(&list);
}

static void
one_cert(struct chain *c, const char *name)
{
	struct buf der = pem_der(name);

	c->vtable->start_cert(&c->vtable, (uint32_t)der.len);
	c->vtable->append(&c->vtable, (unsigned char *)der.s, der.len);
	c->vtable->end_cert(&c->vtable);
	buf_release(&der);
}

/* Only the first certificate speaks for the server: what is sent behind it
 * proves nothing. */
static void
test_others_behind(void)
{
	static const struct {
		const char *first, *second;
		bool ok;
	} rows[] = {
	    {"good", "ca", true},
	    {"noip", "ca", false},
	    {"noip", "good", false},
	    {"good", "noip", true},
	};
	struct anchors list = trust("ca");

	for (size_t i = 0; i < countof(rows); i++) {
		struct chain c;

		chain_init(
		    &c, &list, "127.0.0.1", clock_judge(Y2026, Y2026, 0));
		c.vtable->start_chain(&c.vtable, NULL);
		one_cert(&c, rows[i].first);
		one_cert(&c, rows[i].second);
		CHECK_ROW(i, !c.vtable->end_chain(&c.vtable) == rows[i].ok);
		CHECK_ROW(i, !strcmp(c.subject, "hub.test"));
		chain_release(&c);
	}
	anchors_release(&list);
}

/* Chains of up to three, as a server sends them. */
static void
test_chains(void)
{
	static const struct {
		const char *root, *certs[3];
		const char *says; /* "": accepted */
		const char *hint;
	} rows[] = {
	    {"second/ca", {"second/rsa"}, "", ""},
	    {"second/ca", {"second/rsa", "second/sha1root"}, "", ""},
	    {"second/ca", {"second/server"}, "", ""},
	    {"second/ca", {"second/any"}, "", ""},
	    {"second/ca", {"second/client"},
		"bad certificate of 'hub.test': it is not meant for servers",
		""},
	    {"second/client", {"second/client"},
		"bad certificate of 'hub.test': it is not meant for servers",
		""},
	    {"second/ca", {"second/short"},
		"the certificate of 'hub.test' is not safe: the RSA key of "
		"'hub.test' has 1024 bits, not 2048",
		RENEW},
	    {"second/ca", {"second/belowshort", "second/shortca"},
		"the certificate of 'hub.test' is not safe: the RSA key of "
		"'Short CA' has 1024 bits, not 2048",
		RENEW},
	    {"second/ca", {"second/sha1"},
		"the certificate of 'hub.test' is not safe: 'hub.test' "
		"is signed with SHA-1, which can be forged",
		RENEW},
	    {"second/ca", {"second/sha1rsa"},
		"the certificate of 'hub.test' is not safe: 'hub.test' "
		"is signed with SHA-1, which can be forged",
		RENEW},
	    {"second/ca", {"second/belowsha1", "second/sha1ca"},
		"the certificate of 'hub.test' is not safe: 'Old CA' "
		"is signed with SHA-1, which can be forged",
		RENEW},
	    {"second/ca", {"second/belowsha1", "second/sha1ca", "second/ca"},
		"the certificate of 'hub.test' is not safe: 'Old CA' "
		"is signed with SHA-1, which can be forged",
		RENEW},
	    /* a root vouches for itself: SHA-1 there harms nobody */
	    {"second/sha1root", {"second/belowsha1root"}, "", ""},
	    {"second/sha1root", {"second/belowsha1root", "second/sha1root"}, "",
		""},
	    {"second/ca", {"second/belowsha1root", "second/sha1root"},
		"the certificate of 'hub.test' is issued by 'Old root', which "
		"is not trusted",
		"use --ca-file FILE with the certificate of that issuer"},
	    {"second/ca", {"second/ed25519"},
		"bad certificate of 'hub.test': it uses what hub does not know",
		""},
	    {"ca", {"second/rsa"},
		"the certificate of 'hub.test' is issued by 'Second CA', which "
		"is not trusted; the server sends no other certificate",
		"use --ca-file FILE with the certificate of that issuer"},
	    {"ca", {"second/rsa", "second/ca"},
		"the certificate of 'hub.test' is issued by 'Second CA', which "
		"is not trusted",
		"use --ca-file FILE with the certificate of that issuer"},
	    {"ca", {"second/rsa", "second/shortca"},
		"bad certificate of 'hub.test': the other certificates that the server sent are not its issuers",
		""},
	    {"second/ca", {"second/belowsha1", "second/ca"},
		"bad certificate of 'hub.test': the other certificates that the server sent are not its issuers",
		""},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct anchors list = trust(rows[i].root);
		struct err e = {0};
		struct chain c;
		int code;

		chain_init(&c, &list, "hub.test", clock_judge(Y2026, Y2026, 0));
		c.vtable->start_chain(&c.vtable, NULL);
		for (size_t k = 0; k < 3 && rows[i].certs[k]; k++)
			one_cert(&c, rows[i].certs[k]);
		code = (int)c.vtable->end_chain(&c.vtable);
		if (code)
			CHECK_ROW(i, chain_explain(&c, code, &e) < 0);
		CHECK_ROW(i, (code == 0) == !rows[i].says[0]);
		CHECK_ROW(i, !strcmp(e.msg, rows[i].says));
		CHECK_ROW(i, !strcmp(e.hint, rows[i].hint));
		CHECK_ROW(i, !code || e.kind == ERR_OTHER);
		chain_release(&c);
		anchors_release(&list);
	}
}

/* What one chain had wrong is not said of the next. */
static void
test_again(void)
{
	struct anchors list = trust("second/ca");
	const char *const first[] = {"second/short", "second/sha1"};
	struct err e = {0};
	struct chain c;

	chain_init(&c, &list, "hub.test", clock_judge(Y2026, Y2026, 0));
	for (size_t i = 0; i < countof(first); i++) {
		c.vtable->start_chain(&c.vtable, NULL);
		one_cert(&c, first[i]);
		CHECK_ROW(i, c.vtable->end_chain(&c.vtable) != 0);
		c.vtable->start_chain(&c.vtable, NULL);
		one_cert(&c, "second/ed25519");
		chain_explain(&c, (int)c.vtable->end_chain(&c.vtable), &e);
		CHECK_ROW(i, strstr(e.msg, "hub does not know") != NULL);
		c.vtable->start_chain(&c.vtable, NULL);
		one_cert(&c, "second/belowshort");
		one_cert(&c, "second/shortca");
		chain_explain(&c, (int)c.vtable->end_chain(&c.vtable), &e);
		CHECK_ROW(i, strstr(e.msg, "'Short CA' has 1024") != NULL);
	}
	chain_release(&c);
	anchors_release(&list);
}

static void
test_self_signed(void)
{
	struct anchors list = trust("ca");
	struct err e = {0};
	struct chain c;

	chain_init(&c, &list, "second", clock_judge(Y2026, Y2026, 0));
	c.vtable->start_chain(&c.vtable, NULL);
	one_cert(&c, "rsa");
	chain_explain(&c, BR_ERR_X509_NOT_TRUSTED, &e);
	CHECK(!strcmp(e.msg, "the certificate of 'second' is signed by itself, "
			     "'RSA CA', and not trusted"));
	CHECK(!strcmp(e.hint, "trust it with --ca-file FILE"));
	chain_release(&c);
	anchors_release(&list);
}

static void
test_odd(void)
{
	struct anchors list = trust("ca");
	const br_x509_class **ctx;
	struct chain c;
	static const unsigned char zero[1024];

	chain_init(&c, &list, "hub.test", clock_judge(Y2026, Y2026, 0));
	CHECK(!strcmp(chain_name(&c), "hub.test"));
	ctx = &c.vtable;
	c.vtable->start_chain(ctx, NULL);
	CHECK(c.vtable->end_chain(ctx) != 0); /* no certificate at all */
	/* one that is larger than what is looked at */
	c.vtable->start_chain(ctx, NULL);
	c.vtable->start_cert(ctx, 65536);
	for (size_t i = 0; i < 64; i++)
		c.vtable->append(ctx, zero, sizeof(zero));
	c.vtable->end_cert(ctx);
	CHECK(c.vtable->end_chain(ctx) != 0);
	chain_release(&c);
	chain_init(&c, &list, "127.0.0.1", clock_judge(Y2026, Y2026, 0));
	CHECK(!chain_name(&c));
	chain_release(&c);
	anchors_release(&list);
}

int
main(void)
{
	test_verdicts();
	test_seen();
	test_cuts();
	test_changes();
	test_others_behind();
	test_chains();
	test_again();
	test_self_signed();
	test_odd();
	return test_end();
}
