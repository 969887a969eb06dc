
#include "../../option.c"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

#define WORDS 14

/* A copy of a row's words, each in an allocation of exactly its size. */
struct line {
	char *v[WORDS + 1];
	int n;
};

static struct line
line_make(const char *const *words)
{
	struct line l = {.n = 0};

	for (; words[l.n]; l.n++)
		l.v[l.n] = xstrdup(words[l.n]);
	return l;
}

static void
line_release(struct line *l)
{
	while (l->n)
		free(l->v[--l->n]);
}

static void
test_accepted(void)
{
	static const struct {
		const char *w[WORDS];
		const char *repo, *path, *arg;
		size_t args;
		const char *flags;
	} rows[] = {
	    {{"hub", "download", "-r", "a/b", "-p", "d"}, "a/b", "d", NULL, 0,
		""},
	    {{"hub", "download", "-ra/b", "-pd"}, "a/b", "d", NULL, 0, ""},
	    {{"hub", "download", "--repo_id", "a/b", "--local_path", "d"},
		"a/b", "d", NULL, 0, ""},
	    {{"hub", "download", "--repo-id=a/b", "--local-path=d"}, "a/b", "d",
		NULL, 0, ""},
	    {{"hub", "download", "--repo_id=a/b", "--local-dir=d"}, "a/b", "d",
		NULL, 0, ""},
	    {{"hub", "download", "--local_dir=d", "a/b"}, "a/b", "d", NULL, 0,
		""},
	    {{"hub", "download", "--repo_id=a=b"}, "a=b", NULL, NULL, 0, ""},
	    {{"hub", "download", "-r", "a", "-r", "b"}, "b", NULL, NULL, 0, ""},
	    {{"hub", "download", "-fd", "a"}, "a", NULL, NULL, 0, "fd"},
	    {{"hub", "download", "-dfra", "-pp"}, "a", "p", NULL, 0, "fd"},
	    {{"hub", "download", "-fdr", "a"}, "a", NULL, NULL, 0, "fd"},
	    {{"hub", "download", "--file", "--resume"}, NULL, NULL, NULL, 0,
		"fd"},
	    {{"hub", "download", "a", "x", "y"}, "a", NULL, "x", 2, ""},
	    {{"hub", "download", "x", "-r", "a", "y"}, "a", NULL, "x", 2, ""},
	    {{"hub", "download", "a", "x", "-p", "d", "-f"}, "a", "d", "x", 1,
		"f"},
	    {{"hub", "download", "-d", "-pd", "--", "a", "-f"}, "a", "d", "-f",
		1, "d"},
	    {{"hub", "download", "-r", "a", "--", "--", "-h"}, "a", NULL, "--",
		2, ""},
	    {{"hub", "download", "--", "a"}, "a", NULL, NULL, 0, ""},
	    {{"hub", "download", "-p-x", "-r", "-"}, "-", "-x", NULL, 0, ""},
	    {{"hub", "download", "--local_path=-x"}, NULL, "-x", NULL, 0, ""},
	    {{"hub", "download", "-p="}, NULL, "=", NULL, 0, ""},
	    {{"hub", "download", "a", "..x/y..", "-f"}, "a", NULL, "..x/y..", 1,
		"f"},
	    {{"hub", "--", "download", "a"}, "a", NULL, NULL, 0, ""},
	    {{"hub", "download"}, NULL, NULL, NULL, 0, ""},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct line l = line_make(rows[i].w);
		struct options o;
		struct err e = {0};

		CHECK_ROW(i, options_parse(&o, l.n, l.v, &e) == 0);
		CHECK_ROW(i, o.command == COMMAND_DOWNLOAD);
		CHECK_ROW(i, test_same(o.repo_id, rows[i].repo));
		CHECK_ROW(i, test_same(o.local_path, rows[i].path));
		CHECK_ROW(i, o.file == !!strchr(rows[i].flags, 'f'));
		CHECK_ROW(i, o.resume == !!strchr(rows[i].flags, 'd'));
		CHECK_ROW(i, o.args.n == rows[i].args);
		CHECK_ROW(
		    i, !rows[i].arg || test_same(o.args.s[0], rows[i].arg));
		options_release(&o);
		CHECK_ROW(i, !o.args.s && !o.command);
		line_release(&l);
	}
}

/* Each option to its own field. */
static void
test_fields(void)
{
	static const char *const a[] = {"hub", "download", "-tdataset", "-cC",
	    "--revision=R", "--endpoint=E", "--proxy=", "--ca_file=F",
	    "--token-file", "-", "--force-download", "--dry_run", "--json",
	    NULL};
	static const char *const b[] = {"hub", "download", "--max-workers",
	    "64", "--limit-rate=2M", "--retries=0", "--timeout=86400",
	    "--stall-timeout", "1", "-4v", "--progress=json", "--token", "T",
	    NULL};
	static const char *const c[] = {"hub", "download", "--include", "*.x",
	    "--include=*.y", "--exclude", "z", "-6q", "-j1", "--force",
	    "--progress=none", NULL};
	static const char *const d[] = {
	    "hub", "download", "m", "-o", "-", "f", NULL};
	const char *const *lines[] = {a, b, c, d};
	struct options o[4];
	struct line l[4];
	struct err e = {0};

	for (size_t i = 0; i < 4; i++) {
		l[i] = line_make(lines[i]);
		CHECK_ROW(i, options_parse(&o[i], l[i].n, l[i].v, &e) == 0);
	}
	CHECK(test_same(o[0].repo_type, "dataset") &&
	      test_same(o[0].config_path, "C"));
	CHECK(test_same(o[0].revision, "R") && test_same(o[0].endpoint, "E"));
	CHECK(test_same(o[0].proxy, "") && test_same(o[0].ca_file, "F"));
	CHECK(test_same(o[0].token_file, "-") && o[0].force && o[0].dry_run);
	CHECK(o[0].json && !o[0].has_retries && !o[0].jobs && !o[0].timeout);
	CHECK(o[1].jobs == 64 && o[1].limit_rate == 2000000);
	CHECK(o[1].has_retries && !o[1].retries && o[1].timeout == 86400);
	CHECK(o[1].stall_timeout == 1 && o[1].ipv4 && o[1].verbose);
	CHECK(!o[1].ipv6 && !o[1].quiet && o[1].progress == PROGRESS_JSON);
	CHECK(test_same(o[1].api_token, "T"));
	CHECK(o[2].include.n == 2 && o[2].exclude.n == 1);
	CHECK(o[2].include.n == 2 && test_same(o[2].include.s[1], "*.y"));
	CHECK(o[2].ipv6 && o[2].quiet && o[2].jobs == 1 && o[2].force);
	CHECK(test_same(o[3].output, "-") && test_same(o[3].repo_id, "m"));
	CHECK(o[3].args.n == 1 && test_same(o[3].args.s[0], "f"));
	for (size_t i = 0; i < 4; i++) {
		options_release(&o[i]);
		line_release(&l[i]);
	}
}

static void
test_refused(void)
{
	static const struct {
		const char *w[WORDS];
		const char *msg, *hint;
	} rows[] = {
	    {{"hub", "downlaod"}, "unknown command 'downlaod'", "hub download"},
	    {{"hub", "down"}, "unknown command 'down'", "hub download"},
	    {{"hub", "frobnicate"}, "unknown command 'frobnicate'", "hub help"},
	    {{"hub", "uplaod"}, "unknown command 'uplaod'", "hub upload"},
	    {{"hub", "ls", "a/b", "x", "y"}, "unexpected argument 'y'", ""},
	    {{"hub", "ls", "a/b", "../x"},
		"'../x' is not the path of a file in a repository", ""},
	    {{"hub", "ls", "a/b", "--refs", "-R"},
		"--refs lists no files: it takes no PATH, -R, --quants, "
		"--include or --exclude",
		""},
	    {{"hub", "ls", "a/b", "--quants", "-l"},
		"--quants and --long cannot be used together", ""},
	    {{"hub", "ls", "a/b", "--repair"},
		"hub ls: unknown option '--repair'", "hub help ls"},
	    {{"hub", "serve", "-r", "a/b", "-p", "x"},
		"hub serve: unknown option '-r'", "-p ORG/NAME=DIR"},
	    {{"hub", "serve", "--repo-id=a/b"},
		"hub serve: unknown option '--repo-id'", "-p ORG/NAME=DIR"},
	    {{"hub", "verify", "a", "b"}, "unexpected argument 'b'", ""},
	    {{"hub", "verify", "-p", "a", "b"}, "unexpected argument 'b'", ""},
	    {{"hub", "verify", "a", "--sha256sums", "--repair"},
		"--sha256sums and --repair cannot be used together", ""},
	    {{"hub", "verify", "a", "-r", "b"},
		"verify needs no repository: -r is for --repair", ""},
	    {{"hub", "whoami", "a"}, "unexpected argument 'a'", ""},
	    {{"hub", "upload", "-o-"}, "hub upload: unknown option '-o'", ""},
	    {{"hub", "upload", "a", "b", "c", "d"}, "unexpected argument 'd'",
		""},
	    {{"hub", "upload", "-ra", "-pb", "c", "d"},
		"unexpected argument 'd'", ""},
	    {{"hub", "download", "--private"}, "unknown option '--private'",
		""},
	    {{"hub", "download", "a", "--resume-download"},
		"unknown option '--resume-download'", "-d (--resume)"},
	    {{"hub", "download", "a", "--local_dir_use_symlinks=False"},
		"unknown option '--local_dir_use_symlinks'", "leave it out"},
	    {{"hub", "upload", "a", "--every=5"}, "unknown option '--every'",
		"timer"},
	    {{"hub", "download", "a", "--format", "yaml"},
		"invalid format 'yaml': must be one of auto", ""},
	    {{"hub", "download", "a", "--format=quiet", "-v"}, "-q and -v", ""},
	    {{"hub", "download", "-ra", "--cache", "-px"}, "-p and --cache",
		""},
	    {{"hub", "download", "-ra", "--cache-dir=d", "-px"},
		"-p and --cache", ""},
	    {{"hub", "download", "-ra", "--cache", "-f"}, "-f and --cache", ""},
	    {{"hub", "upload", "-ra", "--cache"}, "unknown option '--cache'",
		""},
	    {{"hub", "d"}, "unknown command 'd'", "hub help"},
	    {{"hub", ""}, "unknown command ''", "hub help"},
	    {{"hub", "-"}, "unknown command '-'", "hub help"},
	    {{"hub", "-r", "x", "download"},
		"option '-r' must come after the command", "hub COMMAND -r"},
	    {{"hub", "--token=hf_x", "download"},
		"option '--token' must come after the command",
		"hub COMMAND --token"},
	    {{"hub", "download", "--resum"}, "unknown option '--resum'",
		"--resume"},
	    {{"hub", "download", "--res"}, "unknown option '--res'",
		"--resume"},
	    {{"hub", "download", "--local-pth=x"},
		"unknown option '--local-pth'", "--local_path"},
	    {{"hub", "download", "--max_wrokers=1"},
		"unknown option '--max_wrokers'", "--max-workers"},
	    {{"hub", "download", "--hlep"}, "unknown option '--hlep'",
		"--help"},
	    {{"hub", "download", "--zebra=hf_secret"},
		"hub download: unknown option '--zebra'", "hub help download"},
	    {{"hub", "download", "--=hf_secret"}, "unknown option '--'", ""},
	    {{"hub", "download", "-force"}, "is not '-': only standard output",
		"-p"},
	    {{"hub", "download", "-zhf_secret"}, "unknown option '-z'", ""},
	    {{"hub", "download", "-resume", "--cached"},
		"unknown option '--cached'", "--cache"},
	    {{"hub", "download", "--private"}, "unknown option '--private'",
		""},
	    {{"hub", "download",
		 "--aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		"unknown option '--aaaaaaaaaa", "hub help"},
	    {{"hub", "download", "-r"}, "option '-r' needs a value",
		"--repo_id=REPO"},
	    {{"hub", "download", "-r", "-ahf_secret"},
		"option '-r' needs a value", ""},
	    {{"hub", "download", "--token", "--"}, "'--token' needs a value",
		"--api_token=TOKEN"},
	    {{"hub", "download", "-fr"}, "option '-r' needs a value", ""},
	    {{"hub", "download", "--file=hf_secret"},
		"option '--file' takes no value", ""},
	    {{"hub", "download", "--help=hf_secret"}, "unknown option '--help'",
		""},
	    {{"hub", "download", "-r", ""}, "option '-r': it is empty", ""},
	    {{"hub", "download", "--token="}, "'--token': it is empty", ""},
	    {{"hub", "download", "a", ""}, "an argument is empty", ""},
	    {{"hub", "download", "", "a"}, "an argument is empty", ""},
	    {{"hub", "download", "a", "../x"}, "'../x' is not the path of a",
		""},
	    {{"hub", "download", "-ra", "x/../y"}, "'x/../y' is not the path",
		""},
	    {{"hub", "download", "a", "x", "y/.."}, "'y/..' is not the path",
		""},
	    {{"hub", "download", "a", ".."}, "'..' is not the path", ""},
	    {{"hub", "download", "a", "/etc/x"}, "'/etc/x' is not the path",
		""},
	    {{"hub", "download", "-j", "0"},
		"option '-j': invalid number '0': must be 1 to 64", ""},
	    {{"hub", "download", "-j65"}, "must be 1 to 64", ""},
	    {{"hub", "download", "-j", "-1"}, "invalid number '-1': must be 1",
		""},
	    {{"hub", "download", "--retries", "-12"}, "invalid number '-12'",
		""},
	    {{"hub", "download", "--limit-rate", "-5K"}, "invalid rate '-5K'",
		""},
	    {{"hub", "download", "-j", "-4"}, "option '-j' needs a value", ""},
	    {{"hub", "download", "-j", "-d"}, "option '-j' needs a value", ""},
	    {{"hub", "download", "-p", "-1"}, "option '-p' needs a value", ""},
	    {{"hub", "download", "-j", "8x"}, "invalid number '8x'", ""},
	    {{"hub", "download", "-j", "+8"}, "invalid number '+8'", ""},
	    {{"hub", "download", "-j99999999999999999999"}, "invalid number",
		""},
	    {{"hub", "download", "--timeout=0"}, "must be 1 to 86400", ""},
	    {{"hub", "download", "--timeout=86401"}, "must be 1 to 86400", ""},
	    {{"hub", "download", "--stall-timeout=1.5"}, "invalid number", ""},
	    {{"hub", "download", "--retries=-1"}, "invalid number", ""},
	    {{"hub", "download", "--retries", "1000001"}, "to 1000000", ""},
	    {{"hub", "download", "--limit-rate=fast"}, "invalid rate 'fast'",
		"500K"},
	    {{"hub", "download", "--progress=loud"},
		"invalid mode 'loud': must be one of", ""},
	    {{"hub", "download", "-o", "x", "a"}, "'x' is not '-'", "-f"},
	    {{"hub", "download", "-46"}, "-4 and -6", ""},
	    {{"hub", "download", "-qv"}, "-q and -v", ""},
	    {{"hub", "download", "-q", "--progress=bar"}, "-q and --progress",
		""},
	    {{"hub", "download", "-aT", "--token-file=x"},
		"-a and --token-file", ""},
	    {{"hub", "download", "-o-", "-px"}, "-o and -p", ""},
	    {{"hub", "download", "-o-", "-f"}, "-f and -o", ""},
	    {{"hub", "download", "-o-", "--json"}, "-o and --json", ""},
	    {{"hub", "download", "-do-"}, "-d and -o", ""},
	    {{"hub", "download", "-o-", "--dry-run"}, "--dry-run and -o", ""},
	    {{"hub", "download", "-o-", "--include=x"}, "-o takes", ""},
	    {{"hub", "download", "-o-", "a", "x", "y"}, "-o takes", ""},
	    {{"hub", "download", "-f", "a", "x", "y"}, "-f takes", ""},
	    {{"hub", "download", "-f", "--exclude=x"}, "-f takes", ""},
	    {{"hub", "download", "a", "--include", "x", "y"},
		"'y' is a file name", "--include A --include B"},
	    {{"hub", "help", "downloads"}, "unknown command 'downloads'",
		"hub download"},
	    {{"hub", "help", "download", "x"}, "unexpected argument 'x'", ""},
	    {{"hub", "version", "x"}, "unexpected argument 'x'", ""},
	    {{"hub", "help", "--json"}, "hub help: unknown option", ""},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct line l = line_make(rows[i].w);
		struct options o;
		struct err e = {0};

		CHECK_ROW(i, options_parse(&o, l.n, l.v, &e) < 0);
		CHECK_ROW(i, e.kind == ERR_USAGE);
		CHECK_ROW(i, strstr(e.msg, rows[i].msg) != NULL);
		CHECK_ROW(i, strstr(e.hint, rows[i].hint) != NULL);
		CHECK_ROW(i, !strstr(e.msg, "hf_") && !strstr(e.hint, "hf_"));
		options_release(&o);
		line_release(&l);
	}
}

static void
test_commands(void)
{
	static const struct {
		const char *w[WORDS];
		enum command command, about;
	} rows[] = {
	    {{"hub"}, COMMAND_NONE, COMMAND_NONE},
	    {{"hub", "--"}, COMMAND_NONE, COMMAND_NONE},
	    {{"hub", "-h"}, COMMAND_HELP, COMMAND_NONE},
	    {{"hub", "--help"}, COMMAND_HELP, COMMAND_NONE},
	    {{"hub", "help"}, COMMAND_HELP, COMMAND_NONE},
	    {{"hub", "help", "download"}, COMMAND_HELP, COMMAND_DOWNLOAD},
	    {{"hub", "help", "version"}, COMMAND_HELP, COMMAND_VERSION},
	    {{"hub", "download", "-h"}, COMMAND_HELP, COMMAND_DOWNLOAD},
	    {{"hub", "download", "x", "-fdh", "--bogus"}, COMMAND_HELP,
		COMMAND_DOWNLOAD},
	    {{"hub", "download", "a", "b", "c", "--help"}, COMMAND_HELP,
		COMMAND_DOWNLOAD},
	    {{"hub", "-V"}, COMMAND_VERSION, COMMAND_NONE},
	    {{"hub", "--version", "x"}, COMMAND_VERSION, COMMAND_NONE},
	    {{"hub", "version"}, COMMAND_VERSION, COMMAND_NONE},
	    {{"hub", "download", "-V"}, COMMAND_VERSION, COMMAND_DOWNLOAD},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct line l = line_make(rows[i].w);
		struct options o;
		struct err e = {0};

		CHECK_ROW(i, options_parse(&o, l.n, l.v, &e) == 0);
		CHECK_ROW(i, o.command == rows[i].command);
		CHECK_ROW(i, o.about == rows[i].about);
		options_release(&o);
		line_release(&l);
	}
}

/* The token is a copy, and its bytes are gone from argv. */
static void
test_token(void)
{
	static const struct {
		const char *w[WORDS];
		const char *after[WORDS];
		const char *token;
	} rows[] = {
	    {{"hub", "download", "-a", "hf_x"},
		{"hub", "download", "-a", "****"}, "hf_x"},
	    {{"hub", "download", "-ahf_x"}, {"hub", "download", "-a****"},
		"hf_x"},
	    {{"hub", "download", "-fdahf_x"}, {"hub", "download", "-fda****"},
		"hf_x"},
	    {{"hub", "download", "--api_token=hf_x", "m"},
		{"hub", "download", "--api_token=****", "m"}, "hf_x"},
	    {{"hub", "download", "--token", "hf_xy"},
		{"hub", "download", "--token", "*****"}, "hf_xy"},
	    {{"hub", "download", "-ahf_1", "--api-token=hf_2"},
		{"hub", "download", "-a****", "--api-token=****"}, "hf_2"},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct line l = line_make(rows[i].w);
		struct options o;
		struct err e = {0};

		CHECK_ROW(i, options_parse(&o, l.n, l.v, &e) == 0);
		CHECK_ROW(i, test_same(o.api_token, rows[i].token));
		for (int j = 0; j < l.n; j++)
			CHECK_ROW(i, test_same(l.v[j], rows[i].after[j]));
		options_release(&o);
		line_release(&l);
	}
}

/* Each of the words that are told as values is one. */
static void
test_words(void)
{
	const struct option_row *r;
	size_t seen = 0;

	for (size_t at = 0; (r = command_option_next(COMMAND_DOWNLOAD, &at));) {
		struct str rest = str_of(command_option_words(r)), word;

		while (rest.n) {
			char *argv[] = {
			    xstrdup("hub"), xstrdup("download"), NULL, NULL};
			struct buf b = buf_make(64);
			struct options o;
			struct err e;

			word = rest;
			if (!str_cut(rest, ' ', &word, &rest))
				rest.n = 0;
			buf_printf(&b, "--%s=%.*s", r->name, STRF(word));
			argv[2] = buf_detach(&b);
			CHECK_ROW(seen, options_parse(&o, 3, argv, &e) == 0);
			if (test_same(r->name, "progress"))
				CHECK_ROW(seen, (o.progress == PROGRESS_JSON) ==
						    str_eq(word, "json"));
			seen++;
			options_release(&o);
			for (size_t i = 0; i < 3; i++)
				free(argv[i]);
		}
	}
	CHECK(seen == 15);
}

int
main(void)
{
	test_accepted();
	test_fields();
	test_refused();
	test_commands();
	test_token();
	test_words();
	return test_end();
}
