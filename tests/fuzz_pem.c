/* PEM texts of roots of trust. */

#include "anchor.h"
#include "tests/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct anchors list = {0};
	size_t added = 0, known;
	struct err e;

	if (anchors_add_pem(&list, fuzz_str(p, n), &added, &e) < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_USAGE);
	} else {
		/* The same roots again are no more roots. */
		known = list.n;
		MUST(anchors_add_pem(&list, fuzz_str(p, n), &added, &e) == 0);
		MUST(list.n == known);
	}
	anchors_release(&list);
	return 0;
}
