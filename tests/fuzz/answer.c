/* What the Hub answers: listings, descriptions, the answer to preupload, and
 * errors. A head may stand before the body. */

#include "../../gguf.c"
#include "api.h"
#include "tests/fuzz/fuzz.h"

static int
each_entry(void *ctx, const struct repo_entry *x, struct err *e)
{
	const struct repo_file *f = &x->file;
	struct gguf g = gguf_parse(f->path);

	(void)ctx;
	(void)e;
	MUST(g.part >= 1 && g.part <= g.parts);
	MUST(g.stem.n <= strlen(f->path) && g.quant.n <= g.stem.n);
	gguf_bits(&g);
	gguf_fits(f->path, "Q4_K_M");
	MUST(!x->commit || commit_valid(x->commit));
	MUST(!x->date || strlen(x->date) >= 10);
	MUST(utf8_valid(str_of(f->path)));
	MUST(f->size <= REPO_FILE_MAX);
	MUST(f->digest.kind == HASH_SHA256 || f->digest.kind == HASH_GIT);
	return 0;
}

static void
each_mode(void *ctx, const struct preupload_mode *m)
{
	(void)ctx;
	MUST(utf8_valid(str_of(m->path)));
	MUST(!m->known || digest_size(&m->there) > 0);
}

static int
each_ref(void *ctx, const struct repo_ref *r, struct err *e)
{
	(void)ctx;
	(void)e;
	MUST(commit_valid(r->commit) && *ref_kind_name(r->kind));
	return 0;
}

static void
check_whoami(struct str body)
{
	struct whoami w;
	struct err e;

	if (answer_whoami(body, &w, &e) < 0)
		fuzz_failed(&e);
	else
		MUST(utf8_valid(str_of(w.name)));
	MUST(w.orgs.n <= WHOAMI_ITEMS && w.rights.n <= WHOAMI_ITEMS);
	for (size_t i = 0; i < w.rights.n; i++)
		MUST(w.rights.item[i].name && w.rights.item[i].role);
	whoami_release(&w);
}

static void
check_xet(struct str body)
{
	struct xet_access a;
	struct url url;
	struct err e;

	if (answer_xet(body, &a, &e) < 0) {
		fuzz_failed(&e);
		return;
	}
	MUST(url_parse(str_of(a.url), &url, &e) == 0 && !url.user.n);
	MUST(*a.token && !strpbrk(a.token, " \r\n\t"));
	xet_access_release(&a);
}

static void
check_body(struct str body)
{
	struct commit_answer answer;
	char commit[41];
	struct err e;

	if (answer_tree(body, each_entry, NULL, &e) < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_NET || e.kind == ERR_CONTENT);
	}
	if (answer_refs(body, each_ref, NULL, &e) < 0)
		fuzz_failed(&e);
	check_whoami(body);
	check_xet(body);
	if (answer_commit(body, commit, &e) < 0)
		fuzz_failed(&e);
	else
		MUST(str_is_hex(str_of(commit), 40));
	if (commit_answer_parse(body, &answer, &e) < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_NET);
	} else {
		MUST(str_is_hex(str_of(answer.oid), 40));
		commit_answer_release(&answer);
	}
	if (preupload_parse(body, each_mode, NULL, commit, &e) < 0)
		fuzz_failed(&e);
	else
		MUST(!*commit || str_is_hex(str_of(commit), 40));
}

static void
check_error(const struct http_head *h, struct str body, bool token)
{
	struct answer_about about = {.id = "org/name",
	    .type = "model",
	    .type_prefix = "",
	    .revision = token ? "main" : NULL,
	    .path = token ? NULL : "a/b",
	    .has_token = token,
	    .endpoint = "https://hub"};
	struct err e;

	MUST(answer_error(h, body, &about, &e) == -1);
	fuzz_failed(&e);
	MUST(e.wait < 3600 && (e.wait == 0 || e.kind == ERR_NET));
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str text = fuzz_str(p, n), body;
	size_t head = http_head_length(text, 0);
	struct http_head h = {.status = 500, .fields = {"", 0}};
	struct err e;
	char *copy;

	if (head && http_head_parse(str_make(text.s, head), &h, &e) < 0)
		return 0;
	if (h.status < 400)
		h.status = 400 + h.status % 200;
	body = str_make(text.s + head, text.n - head);
	copy = fuzz_copy(body);
	body.s = copy;
	check_body(body);
	check_error(&h, body, true);
	check_error(&h, body, false);
	free(copy);
	return 0;
}
