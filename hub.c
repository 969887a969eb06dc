#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cert.h"
#include "config.h"
#include "download.h"
#include "err.h"
#include "hash.h"
#include "json.h"
#include "ls.h"
#include "option.h"
#include "roots.h"
#include "sandbox.h"
#include "serve.h"
#include "session.h"
#include "str.h"
#include "upload.h"
#include "verify.h"
#include "wait.h"

/* --- What this build is. --- */

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

#if defined(__x86_64__)
#define ARCHITECTURE "x86_64"
#elif defined(__i386__)
#define ARCHITECTURE "i386"
#elif defined(__aarch64__)
#define ARCHITECTURE "aarch64"
#elif defined(__ARM_PCS_VFP)
#define ARCHITECTURE "armv" TEXT(__ARM_ARCH) " hard-float"
#elif defined(__arm__)
#define ARCHITECTURE "armv" TEXT(__ARM_ARCH) " soft-float"
#elif defined(__riscv)
#define ARCHITECTURE "riscv" TEXT(__riscv_xlen)
#elif defined(__s390x__)
#define ARCHITECTURE "s390x"
#elif defined(__MIPSEL__)
#define ARCHITECTURE "mipsel"
#elif defined(__mips__)
#define ARCHITECTURE "mips"
#else
#define ARCHITECTURE "unknown"
#endif

/* The hosts to which the Hub's answers lead, as of 2026-11. They are patterns,
 * since regions and names change; the Hub has a list at
 * /.well-known/meta.json. */
static const char *const download_hosts[] = {
    "*.cdn.hf.co",
    "*.xethub.hf.co",
    "*.xethub-eu.hf.co",
    "cdn-lfs.hf.co",
    "cdn-lfs-us-1.hf.co",
    "cdn-lfs-eu-1.hf.co",
};

static const char *const upload_hosts[] = {
    "hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com",
};

/* Two lines of text. */
static void
version_put(struct buf *out)
{
	buf_printf(out,
	    "hub " HUB_VERSION "\n"
	    "TLS by BearSSL " HUB_BEARSSL
	    "; %zu built-in roots of trust, as of %s\n",
	    roots_count, roots_date);
}

static void
put_text(const char *name, const char *value, struct buf *out)
{
	buf_printf(out, ",\"%s\":", name);
	json_put_string(out, str_of(value));
}

static void
put_hosts(const char *name, const char *const *host, size_t n, struct buf *out)
{
	buf_printf(out, ",\"%s\":[", name);
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s\"%s\"", i ? "," : "", host[i]);
	buf_putc(out, ']');
}

/* The time of the sources, in seconds since 1970. */
static void
put_time(int64_t t, struct buf *out)
{
	unsigned second = (unsigned)(t % 86400);
	char day[32];

	cert_day(t, day);
	buf_printf(out, ",\"source_time\":\"%sT%02u:%02u:%02uZ\"", day,
	    second / 3600, second / 60 % 60, second % 60);
}

/* One JSON object on a line: what it was built from and by, its roots of trust,
 * the code that hashes on this CPU, and the hosts that it contacts. */
static void
version_put_json(struct buf *out)
{
	static const char *const fixed[] = {"huggingface.co"};

	buf_puts(out, "{\"version\":\"" HUB_VERSION "\"");
	if (*HUB_COMMIT)
		put_text("commit", HUB_COMMIT, out);
	else
		buf_puts(out, ",\"commit\":null");
	put_time(HUB_BUILD_TIME, out);
	put_text("compiler", COMPILER, out);
	put_text("architecture", ARCHITECTURE, out);
	put_text("bearssl", HUB_BEARSSL, out);
	put_text("hashing", hash_implementation(), out);
	buf_printf(out,
	    ",\"roots\":{\"count\":%zu,\"date\":\"%s\",\"sha256\":\"%s\"}",
	    roots_count, roots_date, roots_sha256);
	buf_puts(out, ",\"hosts\":{\"note\":\"fixed unless --endpoint or "
		      "HF_ENDPOINT; the others are chosen by the Hub and may "
		      "change\"");
	put_hosts("fixed", fixed, countof(fixed), out);
	put_hosts("download", download_hosts, countof(download_hosts), out);
	put_hosts("upload", upload_hosts, countof(upload_hosts), out);
	buf_puts(out, "}}\n");
}

/* --- The program. --- */

#define ANSWER_MAX 4096

/* The answers that the user typed at the prompts; options point here. */
struct answers {
	char *repo_id, *local_path;
};

static void
print_error(const struct err *e)
{
	struct buf b = buf_make(2 * sizeof(*e));

	/* The reader closed the pipe on purpose: "| head" is not a failure. */
	if (e->kind == ERR_STOPPED && wait_stop() == SIGPIPE)
		return;
	buf_printf(&b, "hub: %s\n", e->msg);
	if (*e->hint)
		buf_printf(&b, "try: %s\n", e->hint);
	fputs(buf_cstr(&b), stderr);
	buf_release(&b);
}

/* The status that the program ends with. */
static int
status_of(const struct err *e)
{
	if (e->kind == ERR_STOPPED)
		return 128 + wait_stop();
	return (int)e->kind;
}

/* Opens "/" for each of the descriptors 0, 1 and 2 that is closed: else the
 * next file or socket would get that number, and messages would go there. "/"
 * always exists, even without /dev, and cannot be written to, so a result that
 * gets lost is an error. */
static int
hold_standard_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    /* cppcheck-suppress leakReturnValNotUsed; it is kept */
		    open("/", O_RDONLY) != fd)
			return -1;
	return 0;
}

/* Reads one line from the terminal, without blanks around it, which the caller
 * frees; NULL at the end of input. */
static char *
read_answer(void)
{
	char line[ANSWER_MAX];
	struct str s;

	if (!fgets(line, sizeof(line), stdin))
		return NULL;
	s = str_of(line);
	if (str_ends(s, "\n"))
		s.n--;
	return str_dup(str_trim(s));
}

/* Expands '~' in an answer, which no shell has seen. */
static char *
expand_home(char *path)
{
	const char *home = getenv("HOME");
	struct buf b = buf_make(2 * ANSWER_MAX);

	if (!home || path[0] != '~' || (path[1] && path[1] != '/'))
		return path;
	buf_puts(&b, home);
	buf_puts(&b, path + 1);
	if (b.full) {
		buf_release(&b);
		return path;
	}
	free(path);
	return buf_detach(&b);
}

/* Asks until there is an answer, and says what is expected after an empty one;
 * without a terminal fails with the sentence in missing. The caller frees. */
static char *
ask(const char *question, const char *expected, const char *missing,
    struct err *e)
{
	char *answer = NULL;

	if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
		do {
			free(answer);
			fputs(question, stderr);
			answer = read_answer();
			if (!answer)
				fputs("\n", stderr);
			else if (!*answer)
				fprintf(stderr, "Please enter %s.\n", expected);
		} while (answer && !*answer);
	if (answer)
		return answer;
	err_set(e, ERR_USAGE, "%s", missing);
	return NULL;
}

/* What a command cannot do without. */
static bool
needs_repo(const struct options *o)
{
	return o->command == COMMAND_DOWNLOAD || o->command == COMMAND_UPLOAD ||
	       o->command == COMMAND_LS;
}

static bool
needs_path(const struct options *o)
{
	return o->command == COMMAND_UPLOAD ||
	       (o->command == COMMAND_VERIFY && !o->cache) ||
	       (o->command == COMMAND_DOWNLOAD && !o->output && !o->cache);
}

static const char *
path_question(const struct options *o)
{
	return o->command == COMMAND_UPLOAD   ? "Local path to upload: "
	       : o->command == COMMAND_VERIFY ? "Directory to verify: "
					      : "Local path to download: ";
}

static const char *
path_expected(const struct options *o)
{
	return o->command == COMMAND_UPLOAD
		   ? "the path of a file or a directory to upload"
	       : o->command == COMMAND_VERIFY
		   ? "the path of a directory of a download"
	       : o->file ? "the path of the file to write"
			 : "the path of a directory to download to";
}

static int
ask_missing(struct options *o, struct answers *a, struct err *e)
{
	bool repo = needs_repo(o), path = needs_path(o);

	if (repo && !o->repo_id) {
		a->repo_id = ask("Hugging Face repository ID: ",
		    "namespace/name, such as openai-community/gpt2",
		    "no repository given (-r, --repo_id)", e);
		o->repo_id = a->repo_id;
	}
	if ((o->repo_id || !repo) && path && !o->local_path) {
		a->local_path = ask(path_question(o), path_expected(o),
		    "no local path given (-p, --local_path)", e);
		if (a->local_path)
			a->local_path = expand_home(a->local_path);
		o->local_path = a->local_path;
	}
	if ((o->repo_id || !repo) && (o->local_path || !path))
		return 0;
	return err_hint(e, "hub help %s", command_name(o->command));
}

static const char *
environment(void *ctx, const char *name)
{
	(void)ctx;
	return getenv(name);
}

/* NULL: it is no command that runs with settings. */
static int (*command_of(enum command c))(const struct options *,
    const struct config *, struct output *, struct err *)
{
	switch (c) {
	case COMMAND_DOWNLOAD:
		return download;
	case COMMAND_UPLOAD:
		return upload;
	case COMMAND_LS:
		return ls;
	case COMMAND_VERIFY:
		return verify;
	case COMMAND_SERVE:
		return serve;
	case COMMAND_WHOAMI:
		return whoami;
	case COMMAND_NONE:
	case COMMAND_HELP:
	case COMMAND_COMPLETION:
	case COMMAND_VERSION:
		break;
	}
	return NULL;
}

static int
run_command(struct options *o, struct output *out, struct err *e)
{
	bool up = o->command == COMMAND_UPLOAD || o->of_upload;
	const struct config_input in = {
	    .options = o,
	    .purpose = up ? TOKEN_WRITE : TOKEN_READ,
	    .variables = {environment, NULL},
	};
	struct answers a = {0};
	struct config c = {0};
	int rv = ask_missing(o, &a, e);

	if (rv == 0)
		rv = config_load(&in, &c, e);
	if (rv == 0) {
		wait_signals();
		rv = command_of(o->command)(o, &c, out, e);
	}
	config_release(&c);
	free(a.repo_id);
	free(a.local_path);
	return rv;
}

static void
print_usage(void)
{
	struct buf b = buf_make(1 << 16);

	help_put(COMMAND_NONE, &b);
	fputs(buf_cstr(&b), stderr);
	buf_release(&b);
}

static int
run(struct options *o, struct output *out, struct err *e)
{
	switch (o->command) {
	case COMMAND_HELP:
		help_put(o->about, &out->text);
		return 0;
	case COMMAND_COMPLETION:
		return completion_put(
		    o->args.n ? o->args.s[0] : NULL, &out->text, e);
	case COMMAND_VERSION:
		(o->json ? version_put_json : version_put)(&out->text);
		return 0;
	case COMMAND_DOWNLOAD:
	case COMMAND_UPLOAD:
	case COMMAND_LS:
	case COMMAND_VERIFY:
	case COMMAND_SERVE:
	case COMMAND_WHOAMI:
		return run_command(o, out, e);
	case COMMAND_NONE:
		break;
	}
	print_usage();
	return err_set(e, ERR_USAGE, "no command given");
}

int
main(int argc, char **argv)
{
	struct output out = output_make(stdout);
	struct options o;
	struct err e, unwritten;
	int status = 0;
	bool failed;

	confine_memory();
	if (hold_standard_streams() < 0)
		return ERR_OTHER;
	failed = options_parse(&o, argc, argv, &e) < 0 || run(&o, &out, &e) < 0;
	/* The report is printed even after a failure. */
	if (output_end(&out, &unwritten) < 0 &&
	    !(failed && unwritten.kind == ERR_STOPPED)) {
		print_error(&unwritten);
		status = status_of(&unwritten);
	}
	if (failed) {
		print_error(&e);
		status = status_of(&e);
	}
	options_release(&o);
	return status;
}
