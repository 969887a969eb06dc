/* Three lines: a proxy, the no_proxy list, and the target. */

#include "../../url.c"

#include "tests/fuzz/fuzz.h"

static void
check(const struct proxy_rules *rules, const struct url *target)
{
	struct buf buf = buf_make(1 << 20);
	struct url proxy;
	struct err e;
	int rv = proxy_for(rules, target, &buf, &proxy, &e);

	MUST(rv >= -1 && rv <= 1);
	if (rv < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_USAGE);
	}
	if (rv > 0) {
		MUST(proxy.host.n > 0 && proxy.port > 0);
		MUST(!rules->no || !proxy_excluded(rules->no, target));
	}
	buf_release(&buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str rest = fuzz_str(p, n);
	char *proxy = fuzz_cstr(fuzz_cut(&rest, '\n'));
	char *no = fuzz_cstr(fuzz_cut(&rest, '\n'));
	struct proxy_rules rules = {.all = proxy, .no = no};
	struct url target;
	struct err e;

	if (url_parse(rest, &target, &e) < 0)
		MUST(url_parse(str_of("https://a.example.com:8443/x"), &target,
			 &e) == 0);
	check(&rules, &target);
	rules.no = "*";
	MUST(proxy_excluded("*", &target));
	check(&rules, &target);
	rules = (struct proxy_rules){.http = proxy, .https = no};
	check(&rules, &target);
	free(proxy);
	free(no);
	return 0;
}
