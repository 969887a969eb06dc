#include "config.h"

#include "err.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/table.h"

static int
load(const char *env, const struct options *o, struct config *c, struct err *e)
{
	struct table t = table_of(env);
	const struct config_input in = {
	    .options = o, .variables = table_variables(&t)};
	int rv;

	*e = (struct err){0};
	rv = config_load(&in, c, e);
	table_release(&t);
	return rv;
}

static void
test_defaults(void)
{
	const struct options o = {0};
	struct config c;
	struct err e;

	CHECK(load("", &o, &c, &e) == 0);
	CHECK(test_same(c.endpoint, "https://huggingface.co"));
	CHECK(!c.token && !c.token_source && !c.hf_home && !c.state_home);
	CHECK(!c.offline && !c.ci && !c.term);
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
		  &o, &c, &e) == 0);
	CHECK(test_same(c.endpoint, "http://127.0.0.1:8080"));
	CHECK(c.jobs == 3 && c.retries == 0 && c.rate == 1000);
	CHECK(c.connect_ms == 7000 && c.answer_ms == 7000);
	CHECK(c.stall_ms == 9000 && c.family == NET_IPV6);
	CHECK(c.progress == PROGRESS_JSON && c.quiet && c.json && !c.verbose);
	CHECK(test_same(c.term, "xterm") && c.ci);
	config_release(&c);
}

static void
test_booleans(void)
{
	static const struct {
		const char *env;
		const char *offline;
		enum progress_mode progress;
	} t[] = {
	    {"HF_HUB_OFFLINE=1", "HF_HUB_OFFLINE", PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=On", "HF_HUB_OFFLINE", PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=yes", "HF_HUB_OFFLINE", PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=TRUE", "HF_HUB_OFFLINE", PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=2", NULL, PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=y", NULL, PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=0\nTRANSFORMERS_OFFLINE=1", NULL, PROGRESS_AUTO},
	    {"HF_HUB_OFFLINE=\nTRANSFORMERS_OFFLINE=1", "TRANSFORMERS_OFFLINE",
		PROGRESS_AUTO},
	    {"TRANSFORMERS_OFFLINE=1", "TRANSFORMERS_OFFLINE", PROGRESS_AUTO},
	    {"HF_HUB_DISABLE_PROGRESS_BARS=1", NULL, PROGRESS_NONE},
	    {"HF_HUB_DISABLE_PROGRESS_BARS=0", NULL, PROGRESS_AUTO},
	};
	const struct options o = {0};

	for (size_t i = 0; i < countof(t); i++) {
		struct config c;
		struct err e;

		CHECK_ROW(i, load(t[i].env, &o, &c, &e) == 0);
		CHECK_ROW(i, !c.offline == !t[i].offline);
		CHECK_ROW(
		    i, !c.offline || (strcmp(c.offline, t[i].offline) == 0 &&
					 strstr(c.go_online, t[i].offline)));
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

		CHECK_ROW(i, load(t[i].env, &o, &c, &e) == t[i].rv);
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
		int rv = load(t[i].env, &o, &c, &e);

		CHECK_ROW(i, rv == (t[i].endpoint ? 0 : -1));
		CHECK_ROW(i, test_same(c.endpoint, t[i].endpoint));
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
		    .options = &o, .variables = table_variables(&table)};
		struct config c;
		struct err e;

		CHECK_ROW(i, config_load(&in, &c, &e) == 0);
		CHECK_ROW(i, test_same(c.proxy.http, t[i].http));
		CHECK_ROW(i, test_same(c.proxy.https, t[i].https));
		CHECK_ROW(i, test_same(c.proxy.all, t[i].all));
		CHECK_ROW(i, test_same(c.proxy.no, t[i].no));
		config_release(&c);
		table_release(&table);
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
		  &o, &c, &e) == 0);
	CHECK(test_same(c.ca_file[0], "mine.pem") &&
	      test_same(c.ca_file[1], "a"));
	CHECK(!c.ca_file[2] && test_same(c.ca_file[3], "b"));
	CHECK(test_same(c.ca_source[0], "--ca-file"));
	CHECK(test_same(c.ca_source[3], "REQUESTS_CA_BUNDLE"));
	CHECK(test_same(c.ca_dir, "d:e"));
	config_release(&c);
}

static void
test_paths(void)
{
	static const struct {
		const char *env;
		int rv;
		const char *home, *state;
	} t[] = {
	    {"HOME=/h", 0, "/h/.cache/huggingface", "/h/.local/state"},
	    {"HOME=", 0, NULL, NULL},
	    {"XDG_CACHE_HOME=/x", 0, "/x/huggingface", NULL},
	    {"HOME=/h\nXDG_CACHE_HOME=~/c", 0, "/h/c/huggingface",
		"/h/.local/state"},
	    {"HOME=/h\nHF_HOME=/f", 0, "/f", "/h/.local/state"},
	    {"HOME=/h\nHF_HOME=~", 0, "/h", "/h/.local/state"},
	    {"HOME=/h\nHF_HOME=", 0, "/h/.cache/huggingface",
		"/h/.local/state"},
	    {"X=/y\nHF_HOME=$X/${X}z$NONE", 0, "/y//yz$NONE", NULL},
	    {"X=/y\nHF_HOME=/$Xa/$/${X/${}/$-", 0, "/$Xa/$/${X/${}/$-", NULL},
	    {"HOME=/h\nHF_HOME=~u/a~", 0, "~u/a~", "/h/.local/state"},
	    {"XDG_STATE_HOME=/s", 0, NULL, "/s"},
	    {"HOME=/h\nXDG_STATE_HOME=~/s", 0, "/h/.cache/huggingface", "/h/s"},
	    {"HF_HOME=~/x", -1, NULL, NULL},
	    {"XDG_CACHE_HOME=~", -1, NULL, NULL},
	    {"XDG_STATE_HOME=~", -1, NULL, NULL},
	    {"HF_TOKEN_PATH=~/t", -1, NULL, NULL},
	};
	const struct options o = {0};

	for (size_t i = 0; i < countof(t); i++) {
		struct config c;
		struct err e;

		CHECK_ROW(i, load(t[i].env, &o, &c, &e) == t[i].rv);
		CHECK_ROW(i, e.kind == (t[i].rv ? ERR_USAGE : ERR_NONE));
		CHECK_ROW(i, test_same(c.hf_home, t[i].home));
		CHECK_ROW(i, test_same(c.state_home, t[i].state));
		config_release(&c);
	}
}

/* The token of a .env counts, and nothing else there. */
static void
test_dotenv(void)
{
	const struct options o = {0};
	struct config c;
	struct err e;

	scratch_write(".env",
	    "HF_ENDPOINT=https://evil.example\nhttps_proxy=http://evil\n"
	    "SSL_CERT_FILE=evil.pem\nHF_HOME=evil\nHF_TOKEN=t\n");
	CHECK(load("HF_HOME=mine", &o, &c, &e) == 0);
	CHECK(test_same(c.token, "t"));
	CHECK(test_same(c.token_source, "HF_TOKEN in '.env'"));
	CHECK(test_same(c.endpoint, "https://huggingface.co"));
	CHECK(!c.proxy.https && !c.ca_file[1]);
	CHECK(test_same(c.hf_home, "mine"));
	CHECK(strstr(buf_cstr(&c.notes), "HF_ENDPOINT in '.env' is ignored"));
	config_release(&c);
	CHECK(!c.token && !c.token_source && !c.notes.len);
	unlink(".env");
}

/* Where the login wrote it, below HF_HOME. */
static void
test_login(void)
{
	const struct options o = {0};
	struct config c;
	struct err e;

	CHECK(mkdir("home", 0700) == 0);
	scratch_write("home/token", "homed");
	CHECK(load("HF_HOME=home", &o, &c, &e) == 0);
	CHECK(test_same(c.token, "homed"));
	config_release(&c);
	scratch_write("home/token", "a b");
	CHECK(load("HF_HOME=home", &o, &c, &e) < 0);
	CHECK(e.kind == ERR_USAGE && !c.token && !c.hf_home);
}

int
main(void)
{
	char folder[SCRATCH_PATH];

	scratch_enter(folder);
	test_defaults();
	test_options();
	test_booleans();
	test_timeouts();
	test_endpoint();
	test_proxy();
	test_roots();
	test_paths();
	test_dotenv();
	test_login();
	scratch_leave(folder);
	return test_end();
}
