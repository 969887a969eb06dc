#include "config.h"
#include "err.h"
#include "mem.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The environment of a row: "NAME=value" one a line. */
struct table {
	char *text;
	const char *name[16], *value[16];
	size_t n;
};

static struct table
table_of(const char *text)
{
	struct table t = {.text = xstrdup(text)};
	char *p = t.text, *at;

	while (*p) {
		t.name[t.n] = p;
		at = strchr(p, '=');
		*at = '\0';
		t.value[t.n++] = p = at + 1;
		p += strcspn(p, "\n");
		if (*p)
			*p++ = '\0';
	}
	return t;
}

static const char *
lookup(void *ctx, const char *name)
{
	const struct table *t = ctx;

	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->name[i], name) == 0)
			return t->value[i];
	return NULL;
}

static int
load(const char *env, const struct options *o, enum config_purpose purpose,
    struct config *c, struct err *e)
{
	struct table t = table_of(env);
	const struct config_input in = {o, purpose, lookup, &t};
	int rv;

	*e = (struct err){0};
	rv = config_load(&in, c, e);
	free(t.text);
	return rv;
}

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "wb");

	CHECK(f != NULL);
	if (!f)
		return;
	fputs(text, f);
	fclose(f);
	CHECK(chmod(path, 0600) == 0);
}

static bool
same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void
test_defaults(void)
{
	const struct options o = {0};
	struct config c;
	struct err e;

	CHECK(load("", &o, CONFIG_READ, &c, &e) == 0);
	CHECK(same(c.endpoint, "https://huggingface.co"));
	CHECK(!c.token && !c.token_source && !c.hf_home && !c.hub_cache);
	CHECK(!c.offline && !c.no_symlinks && !c.no_color && !c.ci && !c.term);
	CHECK(!c.proxy.http && !c.proxy.https && !c.proxy.all && !c.proxy.no);
	CHECK(!c.ca_file[0] && !c.ca_file[1] && !c.ca_dir);
	CHECK(c.connect_ms == 30000 && c.answer_ms == 60000);
	CHECK(c.stall_ms == 30000 && c.retries == 8 && c.jobs == 0);
	CHECK(c.machine.cores > 0 && c.machine.ram > 0);
	CHECK(c.family == NET_ANY && c.progress == PROGRESS_AUTO && !c.rate);
	CHECK(!c.notes.len);
	config_release(&c);
	config_release(&c);
}

static void
test_options(void)
{
	const struct options o = {
	    .endpoint = "http://127.0.0.1:8080//",
	    .jobs = 3,
	    .timeout = 7,
	    .stall_timeout = 9,
	    .has_retries = true,
	    .limit_rate = 1000,
	    .ipv6 = true,
	    .progress = PROGRESS_JSON,
	    .quiet = true,
	    .json = true,
	};
	struct config c;
	struct err e;

	CHECK(load("HF_ENDPOINT=https://x\nHF_HUB_ETAG_TIMEOUT=99\n"
		   "HF_HUB_DOWNLOAD_TIMEOUT=99\n"
		   "HF_HUB_DISABLE_PROGRESS_BARS=1\nTERM=xterm\nCI=1",
		  &o, CONFIG_READ, &c, &e) == 0);
	CHECK(same(c.endpoint, "http://127.0.0.1:8080"));
	CHECK(c.jobs == 3 && c.retries == 0 && c.rate == 1000);
	CHECK(c.connect_ms == 7000 && c.answer_ms == 7000);
	CHECK(c.stall_ms == 9000 && c.family == NET_IPV6);
	CHECK(c.progress == PROGRESS_JSON && c.quiet && c.json && !c.verbose);
	CHECK(same(c.term, "xterm") && c.ci);
	config_release(&c);
}

static void
test_booleans(void)
{
	static const struct {
		const char *env;
		bool offline, no_symlinks, no_color;
		enum progress_mode progress;
	} t[] = {
	    {"HF_HUB_OFFLINE=1", true, false, false, PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=On", true, false, false, PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=yes", true, false, false, PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=TRUE", true, false, false, PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=2", false, false, false, PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=y", false, false, false, PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=0\nTRANSFORMERS_OFFLINE=1", false, false, false,
		PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=\nTRANSFORMERS_OFFLINE=1", true, false, false,
		PROGRESS_AUTO},
	    {"TRANSFORMERS_OFFLINE=1", true, false, false, PROGRESS_AUTO},
	    {"HF_HUB_DISABLE_SYMLINKS=1", false, true, false, PROGRESS_AUTO},
	    {"NO_COLOR=0", false, false, true, PROGRESS_AUTO},
	    {"NO_COLOR=", false, false, false, PROGRESS_AUTO},
	    {"HF_HUB_DISABLE_PROGRESS_BARS=1", false, false, false,
		PROGRESS_NONE},
	    {"HF_HUB_DISABLE_PROGRESS_BARS=0", false, false, false,
		PROGRESS_AUTO},
	};
	const struct options o = {0};

	for (size_t i = 0; i < countof(t); i++) {
		struct config c;
		struct err e;

		CHECK_ROW(i, load(t[i].env, &o, CONFIG_READ, &c, &e) == 0);
		CHECK_ROW(i, c.offline == t[i].offline);
		CHECK_ROW(i, c.no_symlinks == t[i].no_symlinks);
		CHECK_ROW(i, c.no_color == t[i].no_color);
		CHECK_ROW(i, c.progress == t[i].progress);
		config_release(&c);
	}
}

static void
test_timeouts(void)
{
	static const struct {
		const char *env;
		int rv;
		unsigned connect_s, answer_s, stall_s;
	} t[] = {
	    {"HF_HUB_ETAG_TIMEOUT=10\nHF_HUB_DOWNLOAD_TIMEOUT=10", 0, 30, 60,
		30},
	    {"HF_HUB_ETAG_TIMEOUT=45", 0, 45, 60, 30},
	    {"HF_HUB_ETAG_TIMEOUT=100", 0, 100, 100, 30},
	    {"HF_HUB_DOWNLOAD_TIMEOUT=100", 0, 30, 100, 100},
	    {"HF_HUB_DOWNLOAD_TIMEOUT= 45 ", 0, 30, 60, 45},
	    {"HF_HUB_ETAG_TIMEOUT=70\nHF_HUB_DOWNLOAD_TIMEOUT=80", 0, 70, 80,
		80},
	    {"HF_HUB_ETAG_TIMEOUT=0\nHF_HUB_DOWNLOAD_TIMEOUT=", 0, 30, 60, 30},
	    {"HF_HUB_ETAG_TIMEOUT=9999999999", 0, 86400, 86400, 30},
	    {"HF_HUB_ETAG_TIMEOUT=x", -1, 0, 0, 0},
	    {"HF_HUB_ETAG_TIMEOUT=-1", -1, 0, 0, 0},
	    {"HF_HUB_DOWNLOAD_TIMEOUT=1.5", -1, 0, 0, 0},
	    {"HF_HUB_DOWNLOAD_TIMEOUT=99999999999999999999", -1, 0, 0, 0},
	};
	const struct options o = {0};

	for (size_t i = 0; i < countof(t); i++) {
		struct config c;
		struct err e;

		CHECK_ROW(
		    i, load(t[i].env, &o, CONFIG_READ, &c, &e) == t[i].rv);
		CHECK_ROW(i, e.kind == (t[i].rv ? ERR_USAGE : ERR_NONE));
		CHECK_ROW(i, c.connect_ms == t[i].connect_s * 1000);
		CHECK_ROW(i, c.answer_ms == t[i].answer_s * 1000);
		CHECK_ROW(i, c.stall_ms == t[i].stall_s * 1000);
		config_release(&c);
	}
}

static void
test_endpoint(void)
{
	static const struct {
		const char *env, *endpoint; /* NULL: refused */
	} t[] = {
	    {"HF_ENDPOINT=", "https://huggingface.co"},
	    {"HF_ENDPOINT=https://hub.example/", "https://hub.example"},
	    {"HF_ENDPOINT=https://hub.example/a/b//",
		"https://hub.example/a/b"},
	    {"HF_ENDPOINT=http://[::1]:80", "http://[::1]:80"},
	    {"HF_ENDPOINT=hub.example", NULL},
	    {"HF_ENDPOINT=ftp://hub.example", NULL},
	    {"HF_ENDPOINT=https://", NULL},
	    {"HF_ENDPOINT=/", NULL},
	    {"HF_ENDPOINT=https://hub.example:0", NULL},
	    {"HF_ENDPOINT=https://a b", NULL},
	    {"HF_ENDPOINT=https://u:p@hub.example", NULL},
	    {"HF_ENDPOINT=https://hub.example?x=1", NULL},
	    {"HF_ENDPOINT=https://hub.example/a?", NULL},
	    {"HF_ENDPOINT=https://hub.example/#x", NULL},
	};
	const struct options o = {0};

	for (size_t i = 0; i < countof(t); i++) {
		struct config c;
		struct err e;
		int rv = load(t[i].env, &o, CONFIG_READ, &c, &e);

		CHECK_ROW(i, rv == (t[i].endpoint ? 0 : -1));
		CHECK_ROW(i, same(c.endpoint, t[i].endpoint));
		CHECK_ROW(i, rv == 0 || e.kind == ERR_USAGE);
		CHECK_ROW(i, rv == 0 || strstr(e.msg, "HF_ENDPOINT") == e.msg);
		config_release(&c);
	}
}

static void
test_proxy(void)
{
	static const struct {
		const char *env, *option, *http, *https, *all, *no;
	} t[] = {
	    {"http_proxy=a\nhttps_proxy=b\nall_proxy=c\nno_proxy=d", NULL, "a",
		"b", "c", "d"},
	    {"HTTP_PROXY=a\nHTTPS_PROXY=b\nALL_PROXY=c\nNO_PROXY=d", NULL, "a",
		"b", "c", "d"},
	    {"http_proxy=a\nHTTP_PROXY=A\nno_proxy=d\nNO_PROXY=D", NULL, "a",
		NULL, NULL, "d"},
	    {"https_proxy=\nHTTPS_PROXY=B\nALL_PROXY=c", NULL, NULL, NULL, "c",
		NULL},
	    {"REQUEST_METHOD=GET\nHTTP_PROXY=a\nHTTPS_PROXY=b", NULL, NULL, "b",
		NULL, NULL},
	    {"REQUEST_METHOD=GET\nhttp_proxy=a", NULL, "a", NULL, NULL, NULL},
	    {"http_proxy=a\nno_proxy=d", "p", "p", "p", "p", "d"},
	    {"http_proxy=a\nhttps_proxy=b", "", NULL, NULL, NULL, NULL},
	};

	for (size_t i = 0; i < countof(t); i++) {
		const struct options o = {.proxy = t[i].option};
		struct table table = table_of(t[i].env);
		const struct config_input in = {
		    &o, CONFIG_READ, lookup, &table};
		struct config c;
		struct err e;

		CHECK_ROW(i, config_load(&in, &c, &e) == 0);
		CHECK_ROW(i, same(c.proxy.http, t[i].http));
		CHECK_ROW(i, same(c.proxy.https, t[i].https));
		CHECK_ROW(i, same(c.proxy.all, t[i].all));
		CHECK_ROW(i, same(c.proxy.no, t[i].no));
		config_release(&c);
		free(table.text);
	}
}

static void
test_roots(void)
{
	const struct options o = {.ca_file = "mine.pem"};
	struct config c;
	struct err e;

	CHECK(load("SSL_CERT_FILE=a\nCURL_CA_BUNDLE=a\nREQUESTS_CA_BUNDLE=b\n"
		   "SSL_CERT_DIR=d:e",
		  &o, CONFIG_READ, &c, &e) == 0);
	CHECK(same(c.ca_file[0], "mine.pem") && same(c.ca_file[1], "a"));
	CHECK(!c.ca_file[2] && same(c.ca_file[3], "b"));
	CHECK(same(c.ca_source[0], "--ca-file"));
	CHECK(same(c.ca_source[3], "REQUESTS_CA_BUNDLE"));
	CHECK(same(c.ca_dir, "d:e"));
	config_release(&c);
}

static void
test_paths(void)
{
	static const struct {
		const char *env;
		int rv;
		const char *home, *cache;
	} t[] = {
	    {"HOME=/h", 0, "/h/.cache/huggingface",
		"/h/.cache/huggingface/hub"},
	    {"HOME=", 0, NULL, NULL},
	    {"XDG_CACHE_HOME=/x", 0, "/x/huggingface", "/x/huggingface/hub"},
	    {"HOME=/h\nXDG_CACHE_HOME=~/c", 0, "/h/c/huggingface",
		"/h/c/huggingface/hub"},
	    {"HOME=/h\nHF_HOME=/f", 0, "/f", "/f/hub"},
	    {"HOME=/h\nHF_HOME=~", 0, "/h", "/h/hub"},
	    {"HOME=/h\nHF_HOME=", 0, "/h/.cache/huggingface",
		"/h/.cache/huggingface/hub"},
	    {"X=/y\nHF_HOME=$X/${X}z$NONE", 0, "/y//yz$NONE",
		"/y//yz$NONE/hub"},
	    {"X=/y\nHF_HOME=/$Xa/$/${X/${}/$-", 0, "/$Xa/$/${X/${}/$-",
		"/$Xa/$/${X/${}/$-/hub"},
	    {"HOME=/h\nHF_HOME=~u/a~", 0, "~u/a~", "~u/a~/hub"},
	    {"HF_HUB_CACHE=/c", 0, NULL, "/c"},
	    {"HUGGINGFACE_HUB_CACHE=/d", 0, NULL, "/d"},
	    {"HF_HUB_CACHE=/c\nHUGGINGFACE_HUB_CACHE=/d", 0, NULL, "/c"},
	    {"HF_HOME=~/x", -1, NULL, NULL},
	    {"HF_HUB_CACHE=~", -1, NULL, NULL},
	    {"XDG_CACHE_HOME=~", -1, NULL, NULL},
	    {"HF_TOKEN_PATH=~/t", -1, NULL, NULL},
	};
	const struct options o = {0};

	for (size_t i = 0; i < countof(t); i++) {
		struct config c;
		struct err e;

		CHECK_ROW(
		    i, load(t[i].env, &o, CONFIG_READ, &c, &e) == t[i].rv);
		CHECK_ROW(i, e.kind == (t[i].rv ? ERR_USAGE : ERR_NONE));
		CHECK_ROW(i, same(c.hf_home, t[i].home));
		CHECK_ROW(i, same(c.hub_cache, t[i].cache));
		config_release(&c);
	}
}

/* Which of all places gives the token. */
static void
test_token_order(void)
{
	static const struct {
		const char *env, *dotenv;
		enum config_purpose purpose;
		const char *api_token, *token_file;
		const char *token, *source;
	} t[] = {
	    {"", "", CONFIG_READ, NULL, NULL, NULL, NULL},
	    {"HF_TOKEN=e", "HF_TOKEN=d", CONFIG_READ, "a", "tf", "a",
		"--api_token"},
	    {"HF_TOKEN=e", "HF_TOKEN=d", CONFIG_READ, NULL, "tf", "filed",
		"--token-file"},
	    {"HF_TOKEN=e", "HF_TOKEN=d", CONFIG_READ, "", NULL, "e",
		"HF_TOKEN"},
	    {"HF_TOKEN=e", "HUGGINGFACE_READ_API=d", CONFIG_READ, NULL, NULL,
		"e", "HF_TOKEN"},
	    {"HUGGINGFACE_READ_API=r\nHUGGINGFACE_WRITE_API=w\nHF_TOKEN=e", "",
		CONFIG_READ, NULL, NULL, "r", "HUGGINGFACE_READ_API"},
	    {"HUGGINGFACE_READ_API=r\nHUGGINGFACE_WRITE_API=w\nHF_TOKEN=e", "",
		CONFIG_WRITE, NULL, NULL, "w", "HUGGINGFACE_WRITE_API"},
	    {"HUGGINGFACE_WRITE_API=w", "", CONFIG_READ, NULL, NULL, NULL,
		NULL},
	    {"HUGGINGFACE_READ_API=r", "", CONFIG_WRITE, NULL, NULL, NULL,
		NULL},
	    {"HUGGING_FACE_HUB_TOKEN=h\nHF_TOKEN=e", "", CONFIG_READ, NULL,
		NULL, "e", "HF_TOKEN"},
	    {"HUGGING_FACE_HUB_TOKEN=h", "", CONFIG_READ, NULL, NULL, "h",
		"HUGGING_FACE_HUB_TOKEN"},
	    {"", "HF_TOKEN=d\nHUGGINGFACE_READ_API=r", CONFIG_READ, NULL, NULL,
		"r", "HUGGINGFACE_READ_API in '.env'"},
	    {"", "HF_TOKEN=d\nHUGGINGFACE_READ_API=r", CONFIG_WRITE, NULL, NULL,
		"d", "HF_TOKEN in '.env'"},
	    {"HF_TOKEN=", "HF_TOKEN=d", CONFIG_READ, NULL, NULL, NULL, NULL},
	    {"HF_TOKEN=", "HUGGING_FACE_HUB_TOKEN=d", CONFIG_READ, NULL, NULL,
		"d", "HUGGING_FACE_HUB_TOKEN in '.env'"},
	    {"HF_TOKEN_PATH=tf", "HF_TOKEN=d", CONFIG_READ, NULL, NULL, "d",
		"HF_TOKEN in '.env'"},
	    {"HF_TOKEN_PATH=tf", "HF_TOKEN=' '", CONFIG_READ, NULL, NULL,
		"filed", "tf"},
	    {"HF_TOKEN= \nHF_TOKEN_PATH=tf", "", CONFIG_WRITE, NULL, NULL,
		"filed", "tf"},
	    {"HF_TOKEN_PATH=none", "", CONFIG_READ, NULL, NULL, NULL, NULL},
	    {"HF_TOKEN_PATH=tf/none", "", CONFIG_READ, NULL, NULL, NULL, NULL},
	    {"HF_HOME=home", "", CONFIG_READ, NULL, NULL, "homed",
		"home/token"},
	    {"HF_HOME=home\nHF_TOKEN_PATH=tf", "", CONFIG_READ, NULL, NULL,
		"filed", "tf"},
	    {"HF_HUB_DISABLE_IMPLICIT_TOKEN=1\nHF_TOKEN=e\nHF_HOME=home",
		"HF_TOKEN=d", CONFIG_READ, NULL, NULL, NULL, NULL},
	    {"HF_HUB_DISABLE_IMPLICIT_TOKEN=1\nHF_TOKEN=e", "", CONFIG_READ,
		"a", NULL, "a", "--api_token"},
	    {"HF_TOKEN=  e\t", "", CONFIG_READ, NULL, NULL, "e", "HF_TOKEN"},
	    {"REAL=x", "HF_TOKEN=${REAL}y", CONFIG_READ, NULL, NULL, "xy",
		"HF_TOKEN in '.env'"},
	};

	write_file("tf", " filed \r\n");
	CHECK(mkdir("home", 0700) == 0);
	write_file("home/token", "homed");
	for (size_t i = 0; i < countof(t); i++) {
		struct options o = {.token_file = t[i].token_file};
		struct config c;
		struct err e;

		if (t[i].api_token)
			o.api_token = xstrdup(t[i].api_token);
		write_file(".env", t[i].dotenv);
		CHECK_ROW(i, load(t[i].env, &o, t[i].purpose, &c, &e) == 0);
		CHECK_ROW(i, same(c.token, t[i].token));
		CHECK_ROW(i, same(c.token_source, t[i].source));
		config_release(&c);
		CHECK_ROW(i, !c.token && !c.token_source);
		free(o.api_token);
	}
	unlink(".env");
}

static void
test_token_refused(void)
{
	static const char *const t[] = {
	    "a b", "a\tb", "\x01", "a\x7f", "\xc3\xa4", "hf_\xe2\x80\x8b"};
	struct config c;
	struct err e;
	char *longer;

	for (size_t i = 0; i < countof(t); i++) {
		struct options o = {.api_token = xstrdup(t[i])};

		CHECK_ROW(i, load("", &o, CONFIG_READ, &c, &e) < 0);
		CHECK_ROW(i, e.kind == ERR_USAGE);
		CHECK_ROW(i, strstr(e.msg, "--api_token") == e.msg);
		CHECK_ROW(i, !c.token);
		free(o.api_token);
	}
	longer = xcalloc(4098, 1);
	memset(longer, 'x', 4097);
	CHECK(load("", &(struct options){.api_token = longer}, CONFIG_READ, &c,
		  &e) < 0);
	longer[4096] = '\0';
	CHECK(load("", &(struct options){.api_token = longer}, CONFIG_READ, &c,
		  &e) == 0);
	config_release(&c);
	free(longer);
}

static void
test_token_file(void)
{
	const struct options none = {.token_file = "none"};
	const struct options empty = {.token_file = "empty"};
	const struct options in = {.token_file = "-"};
	struct config c;
	struct err e;
	int saved = dup(0), fd;

	CHECK(load("HF_TOKEN=x", &none, CONFIG_READ, &c, &e) < 0);
	CHECK(e.kind == ERR_USAGE && strstr(e.msg, "'none'"));
	write_file("empty", " \n");
	CHECK(load("HF_TOKEN=x", &empty, CONFIG_READ, &c, &e) < 0);
	CHECK(e.kind == ERR_USAGE && strstr(e.msg, "holds no token"));
	write_file("in", "piped\n");
	fd = open("in", O_RDONLY);
	CHECK(fd >= 0 && dup2(fd, 0) == 0);
	CHECK(load("HF_TOKEN=x", &in, CONFIG_READ, &c, &e) == 0);
	CHECK(same(c.token, "piped"));
	config_release(&c);
	close(fd);
	dup2(saved, 0);
	close(saved);
	CHECK(load("HF_TOKEN_PATH=.", &(struct options){0}, CONFIG_READ, &c,
		  &e) < 0);
	CHECK(e.kind == ERR_USAGE);
}

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
		"cannot read 'sub/bad': line 2: the quote of the value is not "
		"closed"},
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
	const struct options o = {.config_path = "c.json"};
	const struct options none = {.config_path = "none.json"};
	struct config c;
	struct err e;

	CHECK(mkdir("sub", 0700) == 0);
	write_file("sub/env", "HF_TOKEN=sub");
	CHECK(chmod("sub/env", 0666) == 0);
	write_file("sub/bad", "A=1\nHF_TOKEN='sub");
	write_file(".env", "HF_TOKEN=cwd");
	for (size_t i = 0; i < countof(t); i++) {
		int rv;

		write_file("c.json", t[i].text);
		rv = load("S=sub\nHOME=.", &o, CONFIG_READ, &c, &e);
		CHECK_ROW(i, rv == (t[i].msg ? -1 : 0));
		CHECK_ROW(i, same(c.token, t[i].token));
		CHECK_ROW(i, same(e.msg, t[i].msg ? t[i].msg : ""));
		CHECK_ROW(i, e.kind == (t[i].msg ? ERR_USAGE : ERR_NONE));
		config_release(&c);
	}
	write_file("c.json", "{\"app\": {\"env\": \"~/sub/env\"}}");
	CHECK(load("", &o, CONFIG_READ, &c, &e) < 0 && strstr(e.msg, "HOME"));
	CHECK(load("", &none, CONFIG_READ, &c, &e) < 0);
	CHECK(e.kind == ERR_USAGE && strstr(e.msg, "'none.json'"));
	unlink(".env");
}

static bool
noted(const struct config *c, const char *text)
{
	return strstr(buf_cstr(&c->notes), text) != NULL;
}

static void
test_ignored_lines(void)
{
	const struct options o = {0}, verbose = {.verbose = true};
	struct config c;
	struct err e;

	write_file(".env",
	    "HF_ENDPOINT=https://evil.example\nhttps_proxy=http://evil\n"
	    "SSL_CERT_FILE=evil.pem\nHF_HOME=evil\nOTHER=1\nHF_TOKEN=t\n"
	    "HF_TOKEN_PATH=evil\nCURL_CA_BUNDLE\n");
	CHECK(load("HF_HOME=mine", &o, CONFIG_READ, &c, &e) == 0);
	CHECK(same(c.endpoint, "https://huggingface.co") && !c.proxy.https);
	CHECK(!c.ca_file[1] && same(c.hf_home, "mine") && same(c.token, "t"));
	CHECK(noted(&c, "HF_ENDPOINT in '.env' is ignored"));
	CHECK(noted(&c, "https_proxy in '.env' is ignored"));
	CHECK(noted(&c, "SSL_CERT_FILE in '.env' is ignored"));
	CHECK(noted(&c, "HF_TOKEN_PATH in '.env' is ignored"));
	CHECK(!noted(&c, "HF_HOME") && !noted(&c, "OTHER"));
	CHECK(!noted(&c, "evil") && !noted(&c, "was read"));
	config_release(&c);
	CHECK(load("", &verbose, CONFIG_READ, &c, &e) == 0);
	CHECK(noted(&c, "'.env' was read\n"));
	config_release(&c);
	unlink(".env");
}

static void
test_foreign_env(void)
{
	const struct options o = {0};
	struct config c;
	struct err e;

	write_file(".env", "HF_TOKEN=t");
	CHECK(chmod(".env", 0644) == 0);
	CHECK(load("", &o, CONFIG_READ, &c, &e) == 0 && same(c.token, "t"));
	CHECK(!c.notes.len);
	config_release(&c);
	CHECK(chmod(".env", 0646) == 0);
	CHECK(load("", &o, CONFIG_READ, &c, &e) == 0 && !c.token);
	CHECK(noted(&c, "'.env' is ignored: others"));
	config_release(&c);
	CHECK(chmod(".env", 0664) == 0 &&
	      chown(".env", geteuid(), getegid()) == 0);
	CHECK(load("", &o, CONFIG_READ, &c, &e) == 0 && same(c.token, "t"));
	config_release(&c);
	/* To give a file away one must be root. */
	if (geteuid() == 0) {
		CHECK(chown(".env", 0, 12345) == 0);
		CHECK(load("", &o, CONFIG_READ, &c, &e) == 0 && !c.token);
		config_release(&c);
		CHECK(chmod(".env", 0600) == 0 && chown(".env", 12345, 0) == 0);
		CHECK(load("", &o, CONFIG_READ, &c, &e) == 0 && !c.token);
		CHECK(noted(&c, "'.env' is ignored: others"));
		config_release(&c);
	}
	unlink(".env");
}

static void
test_bad_env(void)
{
	const struct options o = {0};
	struct config c;
	struct err e;

	write_file(".env", "A=1\nHF_TOKEN='secret");
	CHECK(load("HF_HOME=home", &o, CONFIG_READ, &c, &e) < 0);
	CHECK(e.kind == ERR_USAGE && !strstr(e.msg, "secret"));
	CHECK(
	    strstr(e.msg, "cannot read '.env': line 2: ") == e.msg && *e.hint);
	CHECK(load("HF_TOKEN=t", &o, CONFIG_READ, &c, &e) == 0);
	CHECK(same(c.token, "t") && noted(&c, "'.env' is ignored: "));
	CHECK(noted(&c, "line 2: ") && !noted(&c, "secret"));
	config_release(&c);
	unlink(".env");

	/* A virtual environment, and a pipe that nobody writes to. */
	CHECK(mkdir(".env", 0700) == 0);
	CHECK(load("", &o, CONFIG_READ, &c, &e) == 0 && !c.notes.len);
	config_release(&c);
	CHECK(rmdir(".env") == 0 && mkfifo(".env", 0600) == 0);
	CHECK(load("", &o, CONFIG_READ, &c, &e) == 0 && !c.token);
	config_release(&c);
	unlink(".env");
}

static void
test_too_large(void)
{
	const struct options o = {0};
	struct config c;
	struct err e;

	write_file(".env", "HF_TOKEN=t\n#");
	CHECK(truncate(".env", 100000) == 0);
	CHECK(load("", &o, CONFIG_READ, &c, &e) == 0 && !c.token);
	CHECK(noted(&c, "'.env' is ignored: File too large"));
	config_release(&c);
	unlink(".env");
}

static void
test_implicit_note(void)
{
	const struct options o = {0};
	const char *env = "HF_HUB_DISABLE_IMPLICIT_TOKEN=1";
	struct config c;
	struct err e;

	CHECK(load(env, &o, CONFIG_READ, &c, &e) == 0 && !c.notes.len);
	config_release(&c);
	CHECK(load(env, &o, CONFIG_WRITE, &c, &e) == 0);
	CHECK(noted(&c, "HF_HUB_DISABLE_IMPLICIT_TOKEN is set"));
	config_release(&c);
}

static void
test_places(void)
{
	const char *r = config_token_places(CONFIG_READ);
	const char *w = config_token_places(CONFIG_WRITE);

	CHECK(strstr(r, "HUGGINGFACE_READ_API") && !strstr(r, "WRITE"));
	CHECK(strstr(w, "HUGGINGFACE_WRITE_API") && !strstr(w, "READ"));
}

static void
clean_up(const char *folder)
{
	static const char *const file[] = {".env", "tf", "home/token", "home",
	    "empty", "in", "c.json", "sub/env", "sub/bad", "sub"};

	for (size_t i = 0; i < countof(file); i++)
		remove(file[i]);
	CHECK(chdir("/") == 0 && rmdir(folder) == 0);
}

int
main(void)
{
	char folder[] = "/tmp/test_config.XXXXXX";

	if (!mkdtemp(folder) || chdir(folder) < 0)
		return 1;
	test_defaults();
	test_options();
	test_booleans();
	test_timeouts();
	test_endpoint();
	test_proxy();
	test_roots();
	test_paths();
	test_token_order();
	test_token_refused();
	test_token_file();
	test_config_file();
	test_ignored_lines();
	test_foreign_env();
	test_bad_env();
	test_too_large();
	test_implicit_note();
	test_places();
	clean_up(folder);
	return test_end();
}
