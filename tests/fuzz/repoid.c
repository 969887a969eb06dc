/* What names a repository. */

#include "../../api.c"

#include "tests/fuzz/fuzz.h"

static void
check(const char *text, const enum repo_type *type, const struct url *endpoint)
{
	struct repoid id = {0}, again = {0};
	struct buf b = buf_make(1 << 20);
	struct err e;

	if (repoid_parse(text, type, endpoint, &id, &e) < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_USAGE);
		goto out;
	}
	MUST(!type || id.type == *type);
	MUST(repoid_check(id.id, &e) == 0);
	MUST(!id.revision || revision_check(id.revision, &e) == 0);
	MUST(!id.path || *id.path);
	/* The name alone, and as an hf:// address, is the same repository. */
	MUST(repoid_parse(id.id, &id.type, endpoint, &again, &e) == 0);
	MUST(strcmp(id.id, again.id) == 0 && again.type == id.type);
	repoid_release(&again);
	buf_printf(&b, "hf://%s%s", repo_type_prefix(id.type), id.id);
	if (id.revision) {
		buf_putc(&b, '@');
		url_quote(&b, str_of(id.revision), "");
	}
	if (repoid_parse(buf_cstr(&b), NULL, endpoint, &again, &e) == 0) {
		MUST(strcmp(id.id, again.id) == 0 && again.type == id.type);
		MUST(!id.revision == !again.revision);
	}
	repoid_release(&again);
out:
	repoid_release(&id);
	buf_release(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *text = fuzz_cstr(fuzz_str(p, n));
	enum repo_type type = REPO_DATASET;
	struct url endpoint;
	struct err e;

	MUST(url_parse(str_of("https://mirror/hub"), &endpoint, &e) == 0);
	check(text, NULL, &endpoint);
	check(text, &type, &endpoint);
	if (repo_type_parse(text, &type, &e) == 0)
		MUST(strncmp(text, repo_type_name(type), 5) == 0);
	if (revision_check(text, &e) == 0)
		MUST(strlen(text) - 1 < 255);
	if (commit_valid(text))
		MUST(str_is_hex(str_of(text), 40));
	free(text);
	return 0;
}
