#include "token.h"

#include <fcntl.h>

#include "err.h"
#include "option.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/table.h"

/* What a run finds. */
struct run {
	struct token t;
	struct buf notes;
	struct err e;
};

/* With HF_HOME as the folder of the login, as config.c does. */
static int
find(struct run *r, const char *env, const struct options *o,
    enum token_purpose purpose)
{
	struct table t = table_of(env);
	struct token_input in = {o, purpose, table_variables(&t), NULL};
	int rv;

	in.hf_home = variable_get(&in.variables, "HF_HOME");
	*r = (struct run){.notes = buf_make(4096)};
	rv = token_find(&in, &r->t, &r->notes, &r->e);
	table_release(&t);
	return rv;
}

static void
release(struct run *r)
{
	token_release(&r->t);
	buf_release(&r->notes);
}

static bool
noted(const struct run *r, const char *text)
{
	return strstr(buf_cstr(&r->notes), text) != NULL;
}

/* Which of all places gives the token. */
static void
test_order(void)
{
	static const struct {
		const char *env, *dotenv;
		enum token_purpose purpose;
		const char *api_token, *token_file;
		const char *token, *source;
	} t[] = {
	    {"", "", TOKEN_READ, NULL, NULL, NULL, NULL},
	    {"HF_TOKEN=e", "HF_TOKEN=d", TOKEN_READ, "a", "tf", "a",
		"--api_token"},
	    {"HF_TOKEN=e", "HF_TOKEN=d", TOKEN_READ, NULL, "tf", "filed",
		"--token-file"},
	    {"HF_TOKEN=e", "HF_TOKEN=d", TOKEN_READ, "", NULL, "e", "HF_TOKEN"},
	    {"HF_TOKEN=e", "HUGGINGFACE_READ_API=d", TOKEN_READ, NULL, NULL,
		"e", "HF_TOKEN"},
	    {"HUGGINGFACE_READ_API=r\nHUGGINGFACE_WRITE_API=w\nHF_TOKEN=e", "",
		TOKEN_READ, NULL, NULL, "r", "HUGGINGFACE_READ_API"},
	    {"HUGGINGFACE_READ_API=r\nHUGGINGFACE_WRITE_API=w\nHF_TOKEN=e", "",
		TOKEN_WRITE, NULL, NULL, "w", "HUGGINGFACE_WRITE_API"},
	    {"HUGGINGFACE_WRITE_API=w", "", TOKEN_READ, NULL, NULL, NULL, NULL},
	    {"HUGGINGFACE_READ_API=r", "", TOKEN_WRITE, NULL, NULL, NULL, NULL},
	    {"HUGGING_FACE_HUB_TOKEN=h\nHF_TOKEN=e", "", TOKEN_READ, NULL, NULL,
		"e", "HF_TOKEN"},
	    {"HUGGING_FACE_HUB_TOKEN=h", "", TOKEN_READ, NULL, NULL, "h",
		"HUGGING_FACE_HUB_TOKEN"},
	    {"", "HF_TOKEN=d\nHUGGINGFACE_READ_API=r", TOKEN_READ, NULL, NULL,
		"r", "HUGGINGFACE_READ_API in '.env'"},
	    {"", "HF_TOKEN=d\nHUGGINGFACE_READ_API=r", TOKEN_WRITE, NULL, NULL,
		"d", "HF_TOKEN in '.env'"},
	    {"HF_TOKEN=", "HF_TOKEN=d", TOKEN_READ, NULL, NULL, NULL, NULL},
	    {"HF_TOKEN=", "HUGGING_FACE_HUB_TOKEN=d", TOKEN_READ, NULL, NULL,
		"d", "HUGGING_FACE_HUB_TOKEN in '.env'"},
	    {"HF_TOKEN_PATH=tf", "HF_TOKEN=d", TOKEN_READ, NULL, NULL, "d",
		"HF_TOKEN in '.env'"},
	    {"HF_TOKEN_PATH=tf", "HF_TOKEN=' '", TOKEN_READ, NULL, NULL,
		"filed", "tf"},
	    {"HF_TOKEN= \nHF_TOKEN_PATH=tf", "", TOKEN_WRITE, NULL, NULL,
		"filed", "tf"},
	    {"HF_TOKEN_PATH=none", "", TOKEN_READ, NULL, NULL, NULL, NULL},
	    {"HF_TOKEN_PATH=tf/none", "", TOKEN_READ, NULL, NULL, NULL, NULL},
	    {"HF_HOME=home", "", TOKEN_READ, NULL, NULL, "homed", "home/token"},
	    {"HF_HOME=home\nHF_TOKEN_PATH=tf", "", TOKEN_READ, NULL, NULL,
		"filed", "tf"},
	    {"HF_HUB_DISABLE_IMPLICIT_TOKEN=1\nHF_TOKEN=e\nHF_HOME=home",
		"HF_TOKEN=d", TOKEN_READ, NULL, NULL, NULL, NULL},
	    {"HF_HUB_DISABLE_IMPLICIT_TOKEN=1\nHF_TOKEN=e", "", TOKEN_READ, "a",
		NULL, "a", "--api_token"},
	    {"HF_TOKEN=  e\t", "", TOKEN_READ, NULL, NULL, "e", "HF_TOKEN"},
	    {"REAL=x", "HF_TOKEN=${REAL}", TOKEN_READ, NULL, NULL, NULL, NULL},
	    {"REAL=x", "MINE=y\nHF_TOKEN=${MINE}${REAL}", TOKEN_READ, NULL,
		NULL, "y", "HF_TOKEN in '.env'"},
	    {"HF_TOKEN=\"e\"", "", TOKEN_READ, NULL, NULL, "e", "HF_TOKEN"},
	    {"HF_TOKEN=' e '", "", TOKEN_READ, NULL, NULL, "e", "HF_TOKEN"},
	    {"HF_TOKEN=''", "", TOKEN_READ, NULL, NULL, NULL, NULL},
	    {"HF_TOKEN=\"", "", TOKEN_READ, "e", NULL, "e", "--api_token"},
	    {"HF_TOKEN=\xef\xbb\xbf\"e\"", "", TOKEN_READ, NULL, NULL, "e",
		"HF_TOKEN"},
	    {"HF_TOKEN= \xef\xbb\xbf", "", TOKEN_READ, NULL, NULL, NULL, NULL},
	    {"HF_TOKEN_PATH=quoted", "", TOKEN_READ, NULL, NULL, "filed",
		"quoted"},
	    {"", "", TOKEN_READ, NULL, "quoted", "filed", "--token-file"},
	    {"", "HF_TOKEN='\"d\"'", TOKEN_READ, NULL, NULL, "d",
		"HF_TOKEN in '.env'"},
	};

	scratch_write("tf", " filed \r\n");
	scratch_write("quoted", "\xef\xbb\xbf \"filed\" \r\n");
	CHECK(mkdir("home", 0700) == 0);
	scratch_write("home/token", "homed");
	for (size_t i = 0; i < countof(t); i++) {
		struct options o = {.token_file = t[i].token_file};
		struct run r;

		if (t[i].api_token)
			o.api_token = xstrdup(t[i].api_token);
		scratch_write(".env", t[i].dotenv);
		CHECK_ROW(i, find(&r, t[i].env, &o, t[i].purpose) == 0);
		CHECK_ROW(i, test_same(r.t.text, t[i].token));
		CHECK_ROW(i, test_same(r.t.source, t[i].source));
		release(&r);
		CHECK_ROW(i, !r.t.text && !r.t.source);
		free(o.api_token);
	}
	unlink(".env");
}

static void
test_refused(void)
{
	static const struct {
		const char *text, *why;
	} t[] = {
	    {"a b", "a blank"},
	    {"a\tb", "a blank"},
	    {"Bearer hf_x", "a blank"},
	    {"\x01", "a control character"},
	    {"a\x7f", "a control character"},
	    {"\xc3\xa4", "not ASCII"},
	    {"hf_\xe2\x80\x8b", "not ASCII"},
	    {"\xe2\x80\x9chf_x\xe2\x80\x9d", "not ASCII"},
	    {"\xff\xfeh", "not ASCII"},
	    {"\"hf_x", "a quote"},
	    {"hf_x'", "a quote"},
	    {"\"hf_x'", "a quote"},
	    {"\"", "a quote"},
	};
	struct run r;
	char *longer;

	for (size_t i = 0; i < countof(t); i++) {
		struct options o = {.api_token = xstrdup(t[i].text)};

		CHECK_ROW(i, find(&r, "", &o, TOKEN_READ) < 0);
		CHECK_ROW(i, r.e.kind == ERR_USAGE);
		CHECK_ROW(i, strstr(r.e.msg, "--api_token") == r.e.msg);
		CHECK_ROW(i, strstr(r.e.msg, t[i].why) != NULL);
		CHECK_ROW(i, !r.t.text);
		release(&r);
		free(o.api_token);
	}
	longer = xcalloc(4098, 1);
	memset(longer, 'x', 4097);
	CHECK(find(&r, "", &(struct options){.api_token = longer}, TOKEN_READ) <
	      0);
	release(&r);
	longer[4096] = '\0';
	CHECK(find(&r, "", &(struct options){.api_token = longer},
		  TOKEN_READ) == 0);
	release(&r);
	free(longer);
}

static void
test_option_file(void)
{
	const struct options none = {.token_file = "none"};
	const struct options empty = {.token_file = "empty"};
	const struct options in = {.token_file = "-"};
	struct run r;
	int saved = dup(0), fd;

	CHECK(find(&r, "HF_TOKEN=x", &none, TOKEN_READ) < 0);
	CHECK(r.e.kind == ERR_USAGE && strstr(r.e.msg, "'none'"));
	release(&r);
	scratch_write("empty", " \n");
	CHECK(find(&r, "HF_TOKEN=x", &empty, TOKEN_READ) < 0);
	CHECK(r.e.kind == ERR_USAGE && strstr(r.e.msg, "contains no token"));
	release(&r);
	scratch_write("in", "\nhf_x\n");
	CHECK(find(&r, "", &(struct options){.token_file = "in"}, TOKEN_READ) <
	      0);
	CHECK(strstr(r.e.msg, "contains no token"));
	release(&r);
	scratch_write("in", "piped\nuser: me\n");
	fd = open("in", O_RDONLY);
	CHECK(fd >= 0 && dup2(fd, 0) == 0);
	CHECK(find(&r, "HF_TOKEN=x", &in, TOKEN_READ) == 0);
	CHECK(test_same(r.t.text, "piped"));
	release(&r);
	close(fd);
	dup2(saved, 0);
	close(saved);
	CHECK(
	    find(&r, "HF_TOKEN_PATH=.", &(struct options){0}, TOKEN_READ) < 0);
	CHECK(r.e.kind == ERR_USAGE);
	release(&r);
}

/* A .env that nobody named and that cannot be parsed. */
static void
test_bad_dotenv(void)
{
	const struct options o = {0};
	struct run r;

	scratch_write(".env", "A=1\nHF_TOKEN='secret");
	CHECK(find(&r, "HF_HOME=home", &o, TOKEN_READ) == 0);
	CHECK(test_same(r.t.text, "homed"));
	CHECK(noted(&r, "'.env' is ignored: line 2: "));
	CHECK(!noted(&r, "secret"));
	release(&r);
	CHECK(find(&r, "HF_TOKEN=t", &o, TOKEN_READ) == 0);
	CHECK(test_same(r.t.text, "t") && noted(&r, "'.env' is ignored: "));
	CHECK(noted(&r, "line 2: ") && !noted(&r, "secret"));
	release(&r);
	unlink(".env");
}

static void
test_implicit_note(void)
{
	const struct options o = {0};
	const char *env = "HF_HUB_DISABLE_IMPLICIT_TOKEN=1";
	struct run r;

	CHECK(find(&r, env, &o, TOKEN_READ) == 0 && !r.notes.len);
	release(&r);
	CHECK(find(&r, env, &o, TOKEN_WRITE) == 0);
	CHECK(noted(&r, "HF_HUB_DISABLE_IMPLICIT_TOKEN is set"));
	release(&r);
}

int
main(void)
{
	char folder[SCRATCH_PATH];

	scratch_enter(folder);
	test_order();
	test_refused();
	test_option_file();
	test_bad_dotenv();
	test_implicit_note();
	scratch_leave(folder);
	return test_end();
}
