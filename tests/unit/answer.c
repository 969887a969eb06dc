#include "api.h"
#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#define SHA "344408a72f0bc14a380c0a156b94a21ddc668a535be8b892aed91115d8ca61b7"
#define OID "abb2df387e7bc8ebf002c540492ce260b10a6b5d"

/* What each() saw, as text. */
static int
note(void *ctx, const struct repo_entry *x, struct err *e)
{
	const struct repo_file *f = &x->file;
	struct buf *b = ctx;
	char hex[2 * HASH_SIZE_MAX + 1];

	if (x->kind == REPO_FOLDER)
		return 0;
	digest_hex(&f->digest, hex);
	buf_printf(
	    b, "%s %llu %.4s;", f->path, (unsigned long long)f->size, hex);
	if (strcmp(f->path, "stop") == 0)
		return err_set(e, ERR_FILE, "stop");
	return 0;
}

static void
test_tree(void)
{
	static const struct {
		const char *text;
		int rv;
		enum err_kind kind;
		const char *seen;
	} t[] = {
	    {"[]", 0, 0, ""},
	    {"[{\"type\":\"directory\",\"oid\":\"" OID "\",\"size\":0,"
	     "\"path\":\"weights\"},{\"type\":\"unknown\",\"path\":7},"
	     "{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":67,"
	     "\"path\":\"config.json\",\"new\":[{}]},"
	     "{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":5,\"path\":"
	     "\"w/m\",\"lfs\":{\"oid\":\"" SHA "\",\"size\":5,"
	     "\"pointerSize\":135},\"xetHash\":\"**\"}]",
		0, 0, "config.json 67 abb2;w/m 5 3444;"},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"path\":\"a\","
	     "\"lfs\":null}]",
		0, 0, "a 0 abb2;"},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":135,\"path\":"
	     "\"a\",\"lfs\":{\"oid\":\"" SHA "\",\"size\":9}}]",
		0, 0, "a 9 3444;"},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"path\":\"a\",\"lfs\":"
	     "{\"sha256\":\"" SHA "\",\"size\":9}}]",
		0, 0, "a 9 3444;"},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":9007199254740992"
	     ",\"path\":\"\\u00e4\"}]",
		0, 0, "\xc3\xa4 9007199254740992 abb2;"},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":1,"
	     "\"path\":\"stop\"},{\"type\":\"file\"}]",
		-1, ERR_FILE, "stop 1 abb2;"},
	    {"", -1, ERR_NET, ""},
	    {"[{\"type\":\"file\"", -1, ERR_NET, ""},
	    {"<html>", -1, ERR_NET, ""},
	    {"{}", -1, ERR_CONTENT, ""},
	    {"null", -1, ERR_CONTENT, ""},
	    {"[1]", -1, ERR_CONTENT, ""},
	    {"[{}]", -1, ERR_CONTENT, ""},
	    {"[{\"type\":1,\"path\":\"a\"}]", -1, ERR_CONTENT, ""},
	    {"[{\"type\":\"unknown\",\"type\":\"file\",\"path\":\"a\"}]", -1,
		ERR_CONTENT, ""},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":1,\"path\":"
	     "\"a\",\"lfs\":{\"oid\":\"" SHA "\",\"size\":-1}}]",
		-1, ERR_CONTENT, ""},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":1,\"path\":"
	     "\"a\",\"lfs\":{\"oid\":\"" SHA "\",\"size\":\"9\"}}]",
		-1, ERR_CONTENT, ""},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":1}]", -1,
		ERR_CONTENT, ""},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"path\":5}]", -1,
		ERR_CONTENT, ""},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"path\":\"a\\u0000\"}]",
		-1, ERR_CONTENT, ""},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":-1,\"path\":"
	     "\"a\"}]",
		-1, ERR_CONTENT, ""},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":1e99,\"path\":"
	     "\"a\"}]",
		-1, ERR_CONTENT, ""},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":"
	     "9007199254740993,\"path\":\"a\"}]",
		-1, ERR_CONTENT, ""},
	    {"[{\"type\":\"file\",\"path\":\"a\",\"size\":1}]", -1, ERR_CONTENT,
		""},
	    {"[{\"type\":\"file\",\"oid\":\"../../x\",\"path\":\"a\"}]", -1,
		ERR_CONTENT, ""},
	    {"[{\"type\":\"file\",\"oid\":\"" SHA "\",\"path\":\"a\"}]", -1,
		ERR_CONTENT, ""},
	    {"[{\"type\":\"file\",\"oid\":\"" OID "\",\"path\":\"a\",\"lfs\":"
	     "{\"oid\":\"" OID "\"}}]",
		-1, ERR_CONTENT, ""},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf b = buf_make(4096);
		struct err e = {0};

		CHECK_ROW(
		    i, answer_tree(str_of(t[i].text), note, &b, &e) == t[i].rv);
		CHECK_ROW(i, e.kind == t[i].kind);
		CHECK_ROW(i, str_eq(buf_str(&b), t[i].seen));
		buf_release(&b);
	}
}

static void
test_commit(void)
{
	static const char *const bad[] = {"{}", "[]", "", "{\"sha\":5}",
	    "{\"sha\":\"main\"}", "{\"sha\":\"" SHA "\"}",
	    "{\"sha\":\"ABB2df387e7bc8ebf002c540492ce260b10a6b5d\"}"};
	char commit[41];
	struct err e;

	CHECK(answer_commit(str_of("{\"id\":\"x\",\"sha\":\"" OID "\"}"),
		  commit, &e) == 0);
	CHECK(strcmp(commit, OID) == 0);
	for (size_t i = 0; i < countof(bad); i++)
		CHECK_ROW(i, answer_commit(str_of(bad[i]), commit, &e) < 0);
}

static void
test_xet(void)
{
	static const char *const bad[] = {"{}", "[]", "",
	    "{\"casUrl\":\"ftp://x\",\"exp\":1,\"accessToken\":\"t\"}",
	    "{\"casUrl\":\"https://u:p@x\",\"exp\":1,\"accessToken\":\"t\"}",
	    "{\"casUrl\":\"https://x\",\"exp\":-1,\"accessToken\":\"t\"}",
	    "{\"casUrl\":\"https://x\",\"accessToken\":\"t\"}",
	    "{\"casUrl\":\"https://x\",\"exp\":1,\"accessToken\":\"\"}",
	    "{\"casUrl\":\"https://x\",\"exp\":1,\"accessToken\":\"a b\"}",
	    "{\"casUrl\":\"https://x\",\"exp\":1,\"accessToken\":\"a\\r\\n\"}",
	    "{\"casUrl\":\"https://x\",\"exp\":1,\"accessToken\":\"\xc3\xa4\"}"};
	struct xet_access a;
	struct err e;

	CHECK(answer_xet(str_of("{\"casUrl\":\"https://cas.example//\","
				"\"exp\":1787310012,\"accessToken\":\"t.-_\"}"),
		  &a, &e) == 0);
	CHECK(test_same(a.url, "https://cas.example"));
	CHECK(test_same(a.token, "t.-_") && a.expires == 1787310012);
	xet_access_release(&a);
	CHECK(!a.url && !a.token);
	for (size_t i = 0; i < countof(bad); i++) {
		CHECK_ROW(i, answer_xet(str_of(bad[i]), &a, &e) < 0);
		CHECK_ROW(i, !a.url && !a.token);
	}
}

/* Section 6.3 of the sheet, with and without a token. */
static void
test_errors(void)
{
	static const struct {
		const char *head, *body;
		bool token;
		enum err_kind kind;
		unsigned wait;
		const char *says, *hints;
	} t[] = {
	    {"401 Unauthorized\r\nX-Error-Message: Invalid username or "
	     "password.\r\n",
		"", false, ERR_ABSENT, 0, "no token was given", "HF_TOKEN"},
	    {"404 Not Found\r\nX-Error-Code: RepoNotFound\r\n"
	     "X-Error-Message: Repository not found\r\n",
		"{\"error\":\"Repository not found\"}", true, ERR_ABSENT, 0,
		"has no access to it: \"Repository not found\"", "spelling"},
	    {"401 U\r\nX-Error-Message: Invalid credentials in Authorization "
	     "header\r\n",
		"", true, ERR_AUTH, 0, "not accept the token", "new token"},
	    {"401 U\r\nX-Error-Code: GatedRepo\r\n", "", false, ERR_AUTH, 0,
		"'acme/x' is gated", "https://hub.example/datasets/acme/x"},
	    {"403 F\r\nX-Error-Code: GatedRepo\r\nX-Error-Message: "
	     "restricted\r\n",
		"", true, ERR_AUTH, 0,
		"has not been granted to this token: \"restricted\"",
		"ask for access"},
	    {"404 N\r\nX-Error-Code: EntryNotFound\r\n", "Entry not found",
		true, ERR_ABSENT, 0, "there is no 'a/b.bin' in 'acme/x'", ""},
	    {"404 N\r\nX-Error-Code: RevisionNotFound\r\nX-Error-Message: "
	     "Invalid rev id: v9\r\nX-Request-Id: Root=1-2;3\r\n",
		"", true, ERR_ABSENT, 0,
		"no revision 'v9' in 'acme/x': \"Invalid rev id: v9\" "
		"(request Root=1-2;3)",
		""},
	    {"403 F\r\nX-Error-Message: Access to this resource is "
	     "disabled.\r\n",
		"", true, ERR_AUTH, 0, "was disabled", ""},
	    {"403 F\r\n", "{\"error\":[\"One\",\"Two\",\"One\"]}", true,
		ERR_AUTH, 0, "\"One; Two\"", "right"},
	    {"402 P\r\n", "", true, ERR_AUTH, 0, "paid plan", ""},
	    {"404 N\r\n", "", true, ERR_ABSENT, 0, "not found", ""},
	    {"429 T\r\nRateLimit: \"api\";r=0;t=55\r\n", "", false, ERR_NET, 56,
		"for the next 56 s", "HF_TOKEN"},
	    /* What another try does not mend is not waited for. */
	    {"429 T\r\nX-Error-Code: GatedRepo\r\n"
	     "RateLimit: \"api\";r=0;t=55\r\n",
		"", true, ERR_AUTH, 0, "granted", "ask for access"},
	    {"429 T\r\n", "Slow\n  down\n", true, ERR_NET, 0,
		"reached: \"Slow down\"", ""},
	    {"403 F\r\n", "\t<Error>", true, ERR_AUTH, 0, "denies access",
		"right"},
	    {"500 S\r\nX-Amzn-Trace-Id: b\r\nX-Request-Id: a\r\n"
	     "X-Amz-Cf-Id: c\r\n",
		"\tOne\r\n\fTwo", true, ERR_NET, 0,
		"500: \"One Two\" (request a)", ""},
	    {"500 S\r\nX-Amz-Cf-Id: c\r\nX-Amzn-Trace-Id: b\r\n", "", true,
		ERR_NET, 0, "(request b)", ""},
	    {"412 P\r\n", "", true, ERR_REFUSED, 0, "'acme/x' has changed", ""},
	    {"403 F\r\n", "", false, ERR_AUTH, 0, "denies access", "HF_TOKEN"},
	    {"403 F\r\nContent-Type: application/xml\r\n",
		" \n<Error><StringToSign>secret", true, ERR_AUTH, 0,
		"the Hub denies access", "right"},
	    {"500 S\r\n", "{\"error\":", true, ERR_NET, 0, "status 500", ""},
	    {"400 B\r\nX-Error-Message: A\r\n",
		"{\"error\":\"A\",\"error_description\":\"B\\nC\"}", true,
		ERR_OTHER, 0, "\"A; B C\"", ""},
	    {"429 T\r\nRetry-After: 7\r\n", "", true, ERR_NET, 8, "rate limit",
		""},
	    {"429 T\r\nRateLimit: \"api\";r=9;t=55\r\n",
		"{\"error\":\"exceeded our hourly quotas\"}", true, ERR_OTHER,
		0, "hourly quotas", ""},
	    {"503 S\r\nContent-Type: text/html; x\r\nX-Amz-Cf-Id: z\r\n",
		"<html>{\"error\":1}", true, ERR_NET, 0, "503 (request z)", ""},
	    {"500 S\r\nContent-Type: text/plain\r\n", "Out\x1b[31m of order",
		true, ERR_NET, 0, "\"Out?[31m of order\"", ""},
	    {"400 B\r\n", "{\"errors\":[{\"message\":\"bad license\"}]}", true,
		ERR_OTHER, 0, "\"bad license\"", ""},
	    {"418 T\r\n", "{\"error\":{\"a\":1},\"error_description\":null}",
		true, ERR_OTHER, 0, "status 418", ""},
	};

	for (size_t i = 0; i < countof(t); i++) {
		const struct answer_about about = {
		    .id = "acme/x",
		    .type = "dataset",
		    .type_prefix = "datasets/",
		    .revision = "v9",
		    .path = "a/b.bin",
		    .has_token = t[i].token,
		    .endpoint = "https://hub.example",
		};
		struct buf text = buf_make(4096);
		struct http_head h;
		struct err e;

		buf_printf(&text, "HTTP/1.1 %s\r\n", t[i].head);
		CHECK_ROW(i, http_head_parse(buf_str(&text), &h, &e) == 0);
		CHECK_ROW(
		    i, answer_error(&h, str_of(t[i].body), &about, &e) < 0);
		CHECK_ROW(i, e.kind == t[i].kind && e.wait == t[i].wait);
		CHECK_ROW(i, strstr(e.msg, t[i].says) != NULL);
		CHECK_ROW(i, !strpbrk(e.msg, "<{\n"));
		CHECK_ROW(i, strstr(e.hint, t[i].hints) != NULL);
		CHECK_ROW(i, !*t[i].hints == !*e.hint);
		buf_release(&text);
	}
}

/* A token that is not sent is no token that is missing. */
static void
test_withheld(void)
{
	static const char *const head[] = {"401 U\r\n",
	    "404 N\r\nX-Error-Code: RepoNotFound\r\n", "403 F\r\n",
	    "403 F\r\nX-Error-Code: GatedRepo\r\n",
	    "429 T\r\nRetry-After: 5\r\n"};
	const struct answer_about about = {
	    "a/b", "model", "", NULL, NULL, false, "http://hub.example", true};

	for (size_t i = 0; i < countof(head); i++) {
		struct buf text = buf_make(4096);
		struct http_head h;
		struct err e;

		buf_printf(&text, "HTTP/1.1 %s\r\n", head[i]);
		CHECK_ROW(i, http_head_parse(buf_str(&text), &h, &e) == 0);
		CHECK_ROW(i, answer_error(&h, str_of(""), &about, &e) < 0);
		CHECK_ROW(i, !strstr(e.msg, "given"));
		CHECK_ROW(i, str_starts(str_of(e.hint), "use an https://"));
		buf_release(&text);
	}
}

/* Bodies as long as they may come: the request id must still be there. */
static void
test_long(void)
{
	const struct answer_about about = {
	    "a/b", "model", "", NULL, NULL, true, "https://hub.example", false};
	struct buf body = buf_make(100000);
	struct http_head h;
	struct err e;

	while (body.len < 50000)
		buf_puts(&body, "\xc3\xa4rger ");
	CHECK(http_head_parse(str_of("HTTP/1.1 500 x\r\nX-Error-Message: m\r\n"
				     "X-Request-Id: Root=7\r\n\r\n"),
		  &h, &e) == 0);
	CHECK(answer_error(&h, buf_str(&body), &about, &e) < 0);
	CHECK(strstr(e.msg, "\"m; \xc3\xa4rger ") != NULL);
	CHECK(str_ends(str_of(e.msg), "(request Root=7)"));
	buf_clear(&body);
	buf_puts(&body, "{\"error\":\"");
	while (body.len < 50000)
		buf_puts(&body, "\\u00e4rger ");
	buf_puts(&body, "\"}");
	CHECK(answer_error(&h, buf_str(&body), &about, &e) < 0);
	CHECK(strstr(e.msg, "\"m; \xc3\xa4rger ") != NULL);
	CHECK(str_ends(str_of(e.msg), "(request Root=7)"));
	buf_release(&body);
}

/* A text is cut, but not in the middle of the token of the run. */
static void
test_token_at_the_cut(void)
{
	static const char token[] = "api_org_0123456789.abcdefghijklmnop";
	const struct answer_about about = {
	    "a/b", "model", "", NULL, NULL, true, "https://hub.example", false};

	str_hide(token);
	for (size_t n = 300; n < 420; n++) {
		struct buf body = buf_make(1000);
		struct http_head h;
		struct err e;

		while (body.len < n)
			buf_putc(&body, 'x');
		buf_puts(&body, token);
		buf_puts(&body, " is no good");
		CHECK(http_head_parse(
			  str_of("HTTP/1.1 500 x\r\nX-Request-Id: 7\r\n\r\n"),
			  &h, &e) == 0);
		CHECK_ROW(n, answer_error(&h, buf_str(&body), &about, &e) < 0);
		CHECK_ROW(n, !strstr(e.msg, "xapi_"));
		buf_release(&body);
	}
	str_hide(NULL);
}

/* A listing that ends anywhere is either refused, to be tried again, or it is
 * whole. */
static void
test_cut(void)
{
	static const char whole[] =
	    "[{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":67,\"path\":"
	    "\"a\"},{\"type\":\"directory\",\"path\":\"d\"}] ";

	for (size_t n = 0; n < sizeof(whole); n++) {
		char *copy = test_exact(whole, n);
		struct buf b = buf_make(4096);
		struct err e;
		int rv;

		rv = answer_tree(str_make(copy, n), note, &b, &e);
		if (n < sizeof(whole) - 2 || n == sizeof(whole)) {
			CHECK_ROW(n, rv < 0 && e.kind == ERR_NET && !b.len);
		} else {
			CHECK_ROW(n, rv == 0);
			CHECK_ROW(n, str_eq(buf_str(&b), "a 67 abb2;"));
		}
		buf_release(&b);
		free(copy);
	}
}

static int
note_entry(void *ctx, const struct repo_entry *x, struct err *e)
{
	static const char letter[] = "glxf";
	struct buf *b = ctx;

	(void)e;
	buf_printf(b, "%c %s %s %s %s;", letter[x->kind], x->file.path,
	    x->commit ? x->commit : "-", x->date ? x->date : "-",
	    x->title ? x->title : "-");
	return 0;
}

#define FILE_OF(more) \
	"[{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":5," \
	"\"path\":\"w\"" more "}]"
#define LFS ",\"lfs\":{\"oid\":\"" SHA "\",\"size\":5}"

static void
test_entries(void)
{
	static const struct {
		const char *text, *seen;
	} t[] = {
	    {FILE_OF(""), "g w - - -;"},
	    {FILE_OF(LFS), "l w - - -;"},
	    {FILE_OF(LFS ",\"xetHash\":\"***\""), "x w - - -;"},
	    {FILE_OF(LFS ",\"xetHash\":null"), "l w - - -;"},
	    {FILE_OF(",\"xetHash\":\"***\""), "g w - - -;"},
	    {"[{\"type\":\"directory\",\"path\":\"d\"},"
	     "{\"type\":\"directory\"},{\"type\":\"new\",\"path\":\"x\"}]",
		"f d - - -;"},
	    {FILE_OF(",\"lastCommit\":{\"id\":\"" OID
		     "\",\"title\":\"t u\",\"date\":\"2026-08-11T09:14:52Z\"}"),
		"g w " OID " 2026-08-11T09:14:52Z t u;"},
	    {FILE_OF(",\"lastCommit\":{\"id\":\"x\",\"title\":7,"
		     "\"date\":\"2026-13-11\"}"),
		"g w - - -;"},
	    {FILE_OF(",\"lastCommit\":{\"date\":\"2026_08_11\"}"),
		"g w - - -;"},
	    {FILE_OF(",\"lastCommit\":{\"date\":\"2026-08\"}"), "g w - - -;"},
	    {FILE_OF(",\"lastCommit\":null"), "g w - - -;"},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf b = buf_make(1000);
		struct err e;

		CHECK_ROW(
		    i, answer_tree(str_of(t[i].text), note_entry, &b, &e) == 0);
		CHECK_ROW(i, str_eq(buf_str(&b), t[i].seen));
		buf_release(&b);
	}
}

static int
note_ref(void *ctx, const struct repo_ref *r, struct err *e)
{
	(void)e;
	buf_printf(
	    ctx, "%s %s %.4s;", ref_kind_name(r->kind), r->name, r->commit);
	return 0;
}

static void
test_refs(void)
{
	static const struct {
		const char *text;
		int rv;
		enum err_kind kind;
		const char *seen;
	} t[] = {
	    {"{\"branches\":[]}", 0, 0, ""},
	    {"{\"pullRequests\":[{\"name\":\"3\",\"ref\":\"refs/pr/3\","
	     "\"targetCommit\":\"" OID "\"}],\"tags\":[{\"name\":\"v1\","
	     "\"ref\":\"refs/tags/v1\",\"targetCommit\":\"" OID "\"}],"
	     "\"branches\":[{\"name\":\"main\",\"targetCommit\":\"" OID
	     "\"}],\"converts\":7}",
		0, 0,
		"branch main abb2;tag v1 abb2;pull request refs/pr/3 abb2;"},
	    {"{\"tags\":[]}", -1, ERR_CONTENT, ""},
	    {"{\"branches\":[{\"name\":\"x\"}]}", -1, ERR_CONTENT, ""},
	    {"{\"branches\":[{\"name\":\"x\",\"targetCommit\":\"ABB2\"}]}", -1,
		ERR_CONTENT, ""},
	    {"{\"branches\":[7]}", -1, ERR_CONTENT, ""},
	    {"[", -1, ERR_NET, ""},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf b = buf_make(1000);
		struct err e;

		CHECK_ROW(i, answer_refs(str_of(t[i].text), note_ref, &b, &e) ==
				 t[i].rv);
		CHECK_ROW(i, t[i].rv == 0 || e.kind == t[i].kind);
		CHECK_ROW(i, str_eq(buf_str(&b), t[i].seen));
		buf_release(&b);
	}
}

static void
test_whoami(void)
{
	static const char text[] =
	    "{\"type\":\"user\",\"name\":\"rosa\",\"fullname\":\"R\\u001b\","
	    "\"orgs\":[{\"name\":\"lab\",\"roleInOrg\":\"write\"},{},7,"
	    "{\"name\":\"x\"}],\"auth\":{\"type\":\"access_token\","
	    "\"accessToken\":{\"displayName\":"
	    "\"hf_abcdefghijklmnopqrstuvwxyz\",\"role\":\"fineGrained\","
	    "\"fineGrained\":{\"global\":[],\"scoped\":[{\"entity\":{\"type\":"
	    "\"model\",\"name\":\"lab/m\"},\"permissions\":[\"a\",7,\"b\"]},"
	    "{\"entity\":{}},{}]}}}}";
	static const char *const bad[] = {
	    "{}", "[]", "{\"name\":7}", "{\"name\":\"\\u0000\"}", "{"};
	struct whoami w;
	struct err e;

	CHECK(answer_whoami(str_of(text), &w, &e) == 0);
	CHECK(test_same(w.type, "user") && test_same(w.name, "rosa"));
	CHECK(test_same(w.fullname, "R?") && test_same(w.token, "hf_***"));
	CHECK(test_same(w.kind, "access_token") && !w.expires);
	CHECK(test_same(w.role, "fineGrained") && w.orgs.n == 2);
	CHECK(test_same(w.orgs.item[0].role, "write") && !w.orgs.item[1].role);
	CHECK(
	    w.rights.n == 1 && test_same(w.rights.item[0].name, "model lab/m"));
	CHECK(test_same(w.rights.item[0].role, "a, b"));
	whoami_release(&w);
	for (size_t i = 0; i < countof(bad); i++) {
		CHECK_ROW(i, answer_whoami(str_of(bad[i]), &w, &e) < 0);
		CHECK_ROW(i, e.kind == (i == 4 ? ERR_NET : ERR_CONTENT));
		whoami_release(&w);
	}
}

/* A longer list than is kept. */
static void
test_many_organisations(void)
{
	struct buf text = buf_make(1 << 16);
	struct whoami w;
	struct err e;

	buf_puts(&text, "{\"name\":\"rosa\",\"orgs\":[");
	for (int i = 0; i < WHOAMI_ITEMS; i++)
		buf_printf(&text, "{\"name\":\"o%d\"},", i);
	buf_puts(&text, "{\"name\":\"more\",\"roleInOrg\":\"x\"}]}");
	CHECK(!text.full && answer_whoami(buf_str(&text), &w, &e) == 0);
	CHECK(w.orgs.n == WHOAMI_ITEMS);
	CHECK(test_same(w.orgs.item[WHOAMI_ITEMS - 1].name, "o999"));
	whoami_release(&w);
	buf_release(&text);
}

/* What a status says where the question was whose the token is. */
static void
test_account_errors(void)
{
	static const struct {
		const char *head;
		enum err_kind kind;
	} t[] = {
	    {"HTTP/1.1 401 x\r\n\r\n", ERR_AUTH},
	    {"HTTP/1.1 404 x\r\n\r\n", ERR_ABSENT},
	    {"HTTP/1.1 404 x\r\nX-Error-Code: RepoNotFound\r\n\r\n",
		ERR_ABSENT},
	    {"HTTP/1.1 412 x\r\n\r\n", ERR_ABSENT},
	    {"HTTP/1.1 503 x\r\n\r\n", ERR_NET},
	};
	const struct answer_about about = {
	    .has_token = true, .endpoint = "https://hub.example"};

	for (size_t i = 0; i < countof(t); i++) {
		struct http_head h;
		struct err e;

		CHECK_ROW(i, http_head_parse(str_of(t[i].head), &h, &e) == 0);
		CHECK_ROW(i, answer_error(&h, str_of(""), &about, &e) < 0);
		CHECK_ROW(i, e.kind == t[i].kind && !strstr(e.msg, "(null)"));
	}
}

int
main(void)
{
	test_entries();
	test_refs();
	test_whoami();
	test_many_organisations();
	test_account_errors();
	test_tree();
	test_commit();
	test_xet();
	test_errors();
	test_withheld();
	test_long();
	test_token_at_the_cut();
	test_cut();
	return test_end();
}
