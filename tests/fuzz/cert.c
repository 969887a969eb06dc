/* A certificate in DER, a name inside one, and packed anchors. */

#include "../../cert.c"

#include "tests/fuzz/fuzz.h"

static void
check_name(struct str dn)
{
	char out[96], tiny[1];

	memset(out, 'x', sizeof(out));
	cert_name(dn, out, sizeof(out));
	MUST(memchr(out, '\0', sizeof(out)) != NULL && out[0]);
	cert_name(dn, tiny, sizeof(tiny));
	MUST(tiny[0] == '\0');
}

static void
check_cert(struct str der)
{
	static const unsigned char ip[16] = {127, 0, 0, 1};
	struct cert c;
	char day[32], hosts[CERT_HOSTS_MAX];

	if (!cert_parse(der.s, der.n, &c))
		return;
	MUST(fuzz_inside(c.issuer, der) && fuzz_inside(c.subject, der));
	MUST(fuzz_inside(c.san, der) && fuzz_inside(c.usages, der));
	MUST(fuzz_inside(c.key, der) && fuzz_inside(c.signature, der));
	MUST(cert_rsa_bits(&c) <= 8 * der.n);
	cert_is_for_servers(&c);
	cert_is_sha1(&c);
	cert_is_root(&c);
	check_name(c.issuer);
	check_name(c.subject);
	memset(hosts, 'x', sizeof(hosts));
	cert_hosts(&c, hosts, sizeof(hosts));
	MUST(memchr(hosts, '\0', sizeof(hosts)) && hosts[0]);
	cert_has_ip(&c, ip, 4);
	cert_has_ip(&c, ip, 16);
	cert_day(c.from, day);
	cert_day(c.until, day);
	MUST(!cert_parse(der.s, der.n - 1, &c));
}

static void
pack(const struct anchors *list, struct buf *heads, struct buf *keys)
{
	for (size_t i = 0; i < list->n; i++)
		anchor_pack(&list->a[i], heads, keys);
}

/* What was packed comes back, and packs as the same. */
static void
check_packed(const struct anchors *list)
{
	struct buf heads = buf_make(1 << 20), keys = buf_make(1 << 20);
	struct buf heads2 = buf_make(1 << 20), keys2 = buf_make(1 << 20);
	struct anchors back = {0};

	pack(list, &heads, &keys);
	MUST(anchors_add_packed(&back, buf_str(&heads), buf_str(&keys)) &&
	     back.n == list->n);
	pack(&back, &heads2, &keys2);
	MUST(str_same(buf_str(&heads), buf_str(&heads2)));
	MUST(str_same(buf_str(&keys), buf_str(&keys2)));
	anchors_release(&back);
	buf_release(&heads);
	buf_release(&keys);
	buf_release(&heads2);
	buf_release(&keys2);
}

/* The first byte says where the heads end and the keys begin. */
static void
check_any_packed(const uint8_t *p, size_t n)
{
	struct anchors packed = {0};
	size_t cut = n ? 1 + (n - 1) * p[0] / 255 : 0;

	if (n &&
	    anchors_add_packed(&packed, fuzz_str(p + 1, cut - 1),
		fuzz_str(p + cut, n - cut)) &&
	    packed.n)
		check_packed(&packed);
	anchors_release(&packed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct anchors list = {0};
	size_t added = 0;
	struct err e;

	check_name(fuzz_str(p, n));
	check_cert(fuzz_str(p, n));
	if (anchors_add_der(&list, p, n, &added, &e) < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_USAGE && added == 0 && list.n == 0);
	} else {
		MUST(added == list.n && list.n <= 1);
		if (list.n)
			check_packed(&list);
	}
	anchors_release(&list);
	check_any_packed(p, n);
	return 0;
}
