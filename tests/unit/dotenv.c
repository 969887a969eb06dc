
#include "../../token.c"

#include "err.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/table.h"

/* What a run loads. */
struct run {
	struct dotenv d;
	struct buf notes;
	struct err e;
};

static int
load_file(struct run *r, const char *env, const char *config_path, bool verbose)
{
	struct table t = table_of(env);
	struct variables v = table_variables(&t);
	int rv;

	*r = (struct run){.notes = buf_make(4096)};
	rv = dotenv_load(&r->d, &v, config_path, verbose, &r->notes, &r->e);
	table_release(&t);
	return rv;
}

static void
release(struct run *r)
{
	dotenv_release(&r->d);
	buf_release(&r->notes);
}

static const char *
token(const struct run *r)
{
	return env_get(&r->d.env, "HF_TOKEN");
}

static bool
noted(const struct run *r, const char *text)
{
	return strstr(buf_cstr(&r->notes), text) != NULL;
}

/* Which file the configuration names. */
static void
test_config_file(void)
{
	static const struct {
		const char *text;
		const char *token; /* NULL: none */
		const char *msg;   /* NULL: no error */
	} t[] = {
	    {"{}", "cwd", NULL},
	    {"{\"app\": {}}", "cwd", NULL},
	    {"{\"app\": null}", "cwd", NULL},
	    {"{\"app\": {\"env\": null}, \"other\": 1}", "cwd", NULL},
	    {"{\"app\": {\"env\": \"sub/env\"}}", "sub", NULL},
	    {"{\"app\": {\"env\": {\"path\": \"sub/env\"}}}", "sub", NULL},
	    {"{\"app\": {\"env\": {\"path\": \"sub/env\", \"type\": "
	     "\"file\"}}}",
		"sub", NULL},
	    {"{\"app\": {\"env\": \"$S/env\"}}", "sub", NULL},
	    {"{\"app\": {\"env\": \"${S}/env\"}}", "sub", NULL},
	    {"{\"app\": {\"env\": \"~/sub/env\"}}", "sub", NULL},
	    {"{\"app\": {\"env\": \"none\"}}", NULL,
		"cannot read 'none': No such file or directory"},
	    {"{\"app\": {\"env\": \"sub\"}}", NULL,
		"cannot read 'sub': Is a directory"},
	    {"{\"app\": {\"env\": \"sub/bad\"}}", NULL,
		"cannot read 'sub/bad': line 2: unterminated quote in the value"},
	    {"[]", NULL, "cannot read 'c.json': line 1: not an object"},
	    {"", NULL,
		"cannot read 'c.json': line 1, column 1: the text ends too "
		"early"},
	    {"{\n\"app\": {\n\"env\": x}}", NULL,
		"cannot read 'c.json': line 3, column 8: a value is missing"},
	    {"{\n\"app\": \"env\"}", NULL,
		"cannot read 'c.json': line 2: app is not an object"},
	    {"{\n\n\"app\": {\"env\": 1}}", NULL,
		"cannot read 'c.json': line 3: app.env names no file"},
	    {"{\"app\": {\"env\": \"\"}}", NULL,
		"cannot read 'c.json': line 1: app.env names no file"},
	    {"{\"app\": {\"env\": \"a\\u0000b\"}}", NULL,
		"cannot read 'c.json': line 1: app.env names no file"},
	    {"{\"app\":\n{\"env\":\n{}}}", NULL,
		"cannot read 'c.json': line 3: app.env names no file"},
	    {"{\"app\": {\"env\":\n {\"path\": \"x\",\n\"type\": \"dir\"}}}",
		NULL,
		"cannot read 'c.json': line 3: app.env.type is not \"file\""},
	    {"{\"app\": {},\n\"app\": {}}", NULL,
		"cannot read 'c.json': line 2: the same name again"},
	    {"{\"app\": {\"env\": \"sub/env\",\n\"env\": \"x\"}}", NULL,
		"cannot read 'c.json': line 2: the same name again"},
	};
	struct run r;

	CHECK(mkdir("sub", 0700) == 0);
	scratch_write("sub/env", "HF_TOKEN=sub");
	CHECK(chmod("sub/env", 0666) == 0);
	scratch_write("sub/bad", "A=1\nHF_TOKEN='sub");
	scratch_write(".env", "HF_TOKEN=cwd");
	for (size_t i = 0; i < countof(t); i++) {
		int rv;

		scratch_write("c.json", t[i].text);
		rv = load_file(&r, "S=sub\nHOME=.", "c.json", false);
		CHECK_ROW(i, rv == (t[i].msg ? -1 : 0));
		CHECK_ROW(i, test_same(token(&r), t[i].token));
		CHECK_ROW(i, test_same(r.e.msg, t[i].msg ? t[i].msg : ""));
		CHECK_ROW(i, r.e.kind == (t[i].msg ? ERR_USAGE : ERR_NONE));
		release(&r);
	}
	scratch_write("c.json", "{\"app\": {\"env\": \"~/sub/env\"}}");
	CHECK(
	    load_file(&r, "", "c.json", false) < 0 && strstr(r.e.msg, "HOME"));
	release(&r);
	CHECK(load_file(&r, "", "none.json", false) < 0);
	CHECK(r.e.kind == ERR_USAGE && strstr(r.e.msg, "'none.json'"));
	release(&r);
	unlink(".env");
}

/* What would be a setting in the environment. */
static void
test_ignored_lines(void)
{
	struct run r;

	scratch_write(".env",
	    "HF_ENDPOINT=https://evil.example\nhttps_proxy=http://evil\n"
	    "SSL_CERT_FILE=evil.pem\nHF_HOME=evil\nOTHER=1\nHF_TOKEN=t\n"
	    "HF_TOKEN_PATH=evil\nCURL_CA_BUNDLE\n");
	CHECK(load_file(&r, "HF_HOME=mine", NULL, false) == 0);
	CHECK(test_same(token(&r), "t"));
	CHECK(noted(&r, "HF_ENDPOINT in '.env' is ignored"));
	CHECK(noted(&r, "https_proxy in '.env' is ignored"));
	CHECK(noted(&r, "SSL_CERT_FILE in '.env' is ignored"));
	CHECK(noted(&r, "HF_TOKEN_PATH in '.env' is ignored"));
	CHECK(!noted(&r, "HF_HOME") && !noted(&r, "OTHER"));
	CHECK(!noted(&r, "evil") && !noted(&r, "reading"));
	release(&r);
	CHECK(load_file(&r, "", NULL, true) == 0);
	CHECK(noted(&r, "reading '.env'\n"));
	release(&r);
	unlink(".env");
}

static void
test_foreign_env(void)
{
	struct run r;

	scratch_write(".env", "HF_TOKEN=t");
	CHECK(chmod(".env", 0644) == 0);
	CHECK(load_file(&r, "", NULL, false) == 0 && test_same(token(&r), "t"));
	CHECK(!r.notes.len);
	release(&r);
	CHECK(chmod(".env", 0646) == 0);
	CHECK(load_file(&r, "", NULL, false) == 0 && !token(&r));
	CHECK(noted(&r, "'.env' is ignored: others"));
	release(&r);
	CHECK(chmod(".env", 0664) == 0 &&
	      chown(".env", geteuid(), getegid()) == 0);
	CHECK(load_file(&r, "", NULL, false) == 0 && test_same(token(&r), "t"));
	release(&r);
	/* To give a file away one must be root. */
	if (geteuid() == 0) {
		CHECK(chown(".env", 0, 12345) == 0);
		CHECK(load_file(&r, "", NULL, false) == 0 && !token(&r));
		release(&r);
		CHECK(chmod(".env", 0600) == 0 && chown(".env", 12345, 0) == 0);
		CHECK(load_file(&r, "", NULL, false) == 0 && !token(&r));
		CHECK(noted(&r, "'.env' is ignored: others"));
		release(&r);
	}
	unlink(".env");
}

static void
test_bad_env(void)
{
	struct run r;

	scratch_write(".env", "A=1\nHF_TOKEN='secret");
	CHECK(load_file(&r, "", NULL, false) == 0 && !token(&r));
	CHECK(noted(&r, "'.env' is ignored: line 2: unterminated quote"));
	CHECK(!noted(&r, "secret"));
	release(&r);
	unlink(".env");

	/* A virtual environment, and a pipe that nobody writes to. */
	CHECK(mkdir(".env", 0700) == 0);
	CHECK(load_file(&r, "", NULL, false) == 0 && !r.notes.len);
	release(&r);
	CHECK(rmdir(".env") == 0 && mkfifo(".env", 0600) == 0);
	CHECK(load_file(&r, "", NULL, false) == 0 && !token(&r));
	release(&r);
	unlink(".env");
}

/* The environment is filled in only where the user has named the file. */
static void
test_variables(void)
{
	const char *env = "OTHER=secret\nMINE=real";
	struct run r;

	scratch_write(".env", "MINE=own\nX=${OTHER}\nHF_TOKEN=${MINE}");
	CHECK(load_file(&r, "OTHER=secret", NULL, false) == 0);
	CHECK(test_same(token(&r), "own") && !r.notes.len);
	release(&r);
	CHECK(load_file(&r, env, NULL, false) == 0 &&
	      test_same(token(&r), "own"));
	CHECK(noted(&r, "HF_TOKEN in '.env' names a variable"));
	release(&r);
	scratch_write(".env", "HF_TOKEN=a${OTHER:-b}${NONE:-c}");
	CHECK(load_file(&r, env, NULL, false) == 0 &&
	      test_same(token(&r), "abc"));
	CHECK(noted(&r, "names a variable") && !noted(&r, "secret"));
	release(&r);
	scratch_write("c.json", "{\"app\": {\"env\": \".env\"}}");
	CHECK(load_file(&r, env, "c.json", false) == 0);
	CHECK(test_same(token(&r), "asecretc") && !r.notes.len);
	release(&r);
	unlink(".env");
}

static void
test_too_large(void)
{
	struct run r;

	scratch_write(".env", "HF_TOKEN=t\n#");
	CHECK(truncate(".env", 100000) == 0);
	CHECK(load_file(&r, "", NULL, false) == 0 && !token(&r));
	CHECK(noted(&r, "'.env' is ignored: File too large"));
	release(&r);
	unlink(".env");
}

int
main(void)
{
	char folder[SCRATCH_PATH];

	scratch_enter(folder);
	test_config_file();
	test_ignored_lines();
	test_foreign_env();
	test_bad_env();
	test_variables();
	test_too_large();
	scratch_leave(folder);
	return test_end();
}
