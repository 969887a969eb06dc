/* PEM texts of roots of trust. */

#include "cert.h"
#include "tests/fuzz/fuzz.h"

static void
check_blocks(struct str text)
{
	struct str rest = text, label;
	struct buf der = buf_make(1 << 12);

	while (pem_next(&rest, &label, &der) > 0) {
		MUST(fuzz_inside(label, text) && fuzz_inside(rest, text));
		MUST(der.len < text.n && !der.full);
	}
	buf_release(&der);
}

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
	check_blocks(fuzz_str(p, n));
	return 0;
}
