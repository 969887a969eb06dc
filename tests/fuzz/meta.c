/* Metadata files of the official client's --local-dir. */

#include "../../plan.c"

#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf b = buf_make(1 << 16);
	struct localdir_meta m, again;

	if (localdir_meta_parse(fuzz_str(p, n), &m) < 0)
		return 0;
	MUST(str_is_hex(str_of(m.commit), 40));
	localdir_meta_format(&b, &m, 999999);
	MUST(localdir_meta_parse(buf_str(&b), &again) == 0);
	MUST(strcmp(m.commit, again.commit) == 0);
	MUST(digest_same(&m.digest, &again.digest));
	MUST(m.seconds == again.seconds && m.stamped == again.stamped);
	MUST(!m.stamped || stamp_same(&m.stamp, &again.stamp));
	MUST(strcmp(m.source, again.source) == 0);
	buf_release(&b);
	return 0;
}
