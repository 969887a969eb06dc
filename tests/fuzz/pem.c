/* PEM texts of roots of trust. */

#include "cert.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct anchors list = {0};
	size_t added = 0, known;
	struct err e;

	int rv = anchors_add_pem(&list, fuzz_str(p, n), &added, &e);

	if (rv < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_USAGE && strncmp(e.msg, "line ", 5) == 0);
	}
	/* The same roots again are no more roots. */
	known = list.n;
	MUST(anchors_add_pem(&list, fuzz_str(p, n), &added, &e) == rv);
	MUST(list.n == known);
	anchors_release(&list);
	return 0;
}
