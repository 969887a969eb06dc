#include "option.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "str.h"

/* --- Suggestions for a misspelled word. --- */

/* Longer words get no suggestion. */
#define WORD_MAX 32

static char
plain(char c)
{
	return c == '_' ? '-' : c;
}

/* True if the first n letters are the same. */
static bool
same_letters(struct str word, const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (plain(word.s[i]) != plain(name[i]))
			return false;
	return true;
}

/* True if word is name; never for NULL. */
static bool
spelling_same(struct str word, const char *name)
{
	return name && word.n == strlen(name) &&
	       same_letters(word, name, word.n);
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Returns the number of letters to insert, delete, change, or swap with their
 * neighbour, to make name from word; WORD_MAX if it is more. */
static size_t
distance(struct str word, const char *name)
{
	unsigned char d[3][WORD_MAX + 1] = {{0}};
	size_t n = strlen(name);

	if (word.n > WORD_MAX || n > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= n; j++)
		d[0][j] = (unsigned char)j;
	for (size_t i = 1; i <= word.n; i++) {
		unsigned char *row = d[i % 3], *up = d[(i + 2) % 3];
		unsigned char *upper = d[(i + 1) % 3];

		row[0] = (unsigned char)i;
		for (size_t j = 1; j <= n; j++) {
			bool same = plain(word.s[i - 1]) == plain(name[j - 1]);
			size_t v = least(up[j - 1] + !same,
			    least(up[j], row[j - 1]) + (size_t)1);

			if (i > 1 && j > 1 &&
			    plain(word.s[i - 1]) == plain(name[j - 2]) &&
			    plain(word.s[i - 2]) == plain(name[j - 1]))
				v = least(v, upper[j - 2] + (size_t)1);
			row[j] = (unsigned char)v; /* at most WORD_MAX */
		}
	}
	return d[word.n % 3][n];
}

static bool
begins(struct str word, const char *name)
{
	return word.n < strlen(name) && same_letters(word, name, word.n);
}

struct spelling
spelling_make(struct str word)
{
	return (struct spelling){.word = word, .distance = WORD_MAX};
}

void
spelling_try(struct spelling *s, const char *name)
{
	size_t n = name ? strlen(name) : 0, d;

	if (!name)
		return;
	d = s->word.n > 2 && begins(s->word, name) ? 1
						   : distance(s->word, name);
	if (d * 3 <= (s->word.n > n ? s->word.n : n) && d < s->distance) {
		s->best = name;
		s->distance = d;
	}
}

/* --- Rates: "500K" and the like. --- */

#define RATE_MAX UINT64_C(1000000000000000) /* 1 PB a second */

static struct str
without_last(struct str s, size_t n)
{
	return str_make(s.s, s.n - n);
}

/* Cuts the unit off the end of *s: "", "K", "KB", "KiB" and so on. Returns its
 * bytes; 0 if there is no such unit. */
static uint64_t
take_unit(struct str *s)
{
	static const char letters[] = "kmgt";
	bool binary = str_ends(*s, "iB");
	uint64_t base = binary ? 1024 : 1000, unit = 1;
	const char *at;

	if (str_ends(*s, "B"))
		*s = without_last(*s, binary ? 2 : 1);
	if (!s->n || !chr_alpha(s->s[s->n - 1]))
		return binary ? 0 : 1;
	at = strchr(letters, chr_lower(s->s[s->n - 1]));
	if (!at)
		return 0;
	*s = without_last(*s, 1);
	for (const char *p = letters; p <= at; p++)
		unit *= base;
	return unit;
}

/* Reads a number with at most six digits after the point: times 2^40 it fits
 * into 64 bits. */
static int
rate_number(struct str s, uint64_t unit, uint64_t *out)
{
	struct str whole = s, rest;
	uint64_t n, part = 0, scale = 1;

	if (str_cut(s, '.', &whole, &rest)) {
		for (size_t i = 0; i < rest.n && i < 6; i++)
			scale *= 10;
		if (unit == 1 || str_num(rest, 10, scale - 1, &part) < 0 ||
		    rest.n > 6)
			return -1;
	}
	if (str_num(whole, 10, RATE_MAX / unit, &n) < 0)
		return -1;
	*out = n * unit + part * unit / scale;
	return *out ? 0 : -1;
}

/* Parses a rate: "500K", "2M", "1.5G", plain bytes. The units are SI, with "iB"
 * binary. From 1 to 10^15; else ERR_USAGE. */
static int
rate_parse(const char *text, uint64_t *out, struct err *e)
{
	struct str s = str_of(text);
	uint64_t unit = take_unit(&s);

	if (unit && rate_number(s, unit, out) == 0)
		return 0;
	err_set(e, ERR_USAGE, "invalid rate '%s'", text);
	err_hint(e, "use bytes per second, as in 500K, 2M or 1.5MiB");
	return -1;
}

/* --- The table of commands and options. --- */

/* Which commands take an option. */
#define ON(c) (1u << (c))
#define DOWNLOAD ON(COMMAND_DOWNLOAD)
#define UPLOAD ON(COMMAND_UPLOAD)
#define LS ON(COMMAND_LS)
#define VERIFY ON(COMMAND_VERIFY)
#define SERVE ON(COMMAND_SERVE)
#define WHOAMI ON(COMMAND_WHOAMI)
#define VERSION ON(COMMAND_VERSION)
#define MOVE (DOWNLOAD | UPLOAD)
#define REPO (MOVE | LS | VERIFY)
#define ALL (REPO | WHOAMI)

#define AT(field) offsetof(struct options, field)

static const struct option_row options[] = {
    {'r', "repo_id", NULL, "REPO", REPO, OPTION_TEXT, AT(repo_id),
	"the repository, \"namespace/name\""},
    {'p', "local_path", "local-dir", "PATH", DOWNLOAD, OPTION_LOCAL,
	AT(local_path), "where to put it: a directory, or with -f a file"},
    {'p', "local_path", NULL, "PATH", UPLOAD, OPTION_LOCAL, AT(local_path),
	"what to send: a file, or a directory's content"},
    {'p', "local_path", "local-dir", "DIR", VERIFY, OPTION_LOCAL,
	AT(local_path), "the directory of a download"},
    {'p', "local_path", "local-dir", "DIR", LS, OPTION_LOCAL, AT(local_path),
	"with --offline: the directory of a download"},
    {'p', "local_path", "local-dir", "ID=DIR", SERVE, OPTION_LIST, AT(folders),
	"the directory of a download; may be repeated"},
    {'t', "repo_type", "type", "TYPE", REPO | SERVE, OPTION_REPO_TYPE,
	AT(repo_type), "model (default), dataset, space or kernel"},
    {'c', "config_path", NULL, "FILE", ALL, OPTION_LOCAL, AT(config_path),
	"JSON configuration that names the .env file"},
    {'a', "api_token", "token", "TOKEN", ALL, OPTION_TOKEN, AT(api_token),
	"the token (safer: HF_TOKEN, .env, --token-file)"},
    {'f', "file", NULL, NULL, DOWNLOAD, OPTION_FLAG, AT(file),
	"the local path is a file"},
    {'f', "file", NULL, NULL, UPLOAD, OPTION_FLAG, AT(file),
	"not needed: hub sees whether PATH is a file"},
    {'d', "resume", NULL, NULL, DOWNLOAD, OPTION_FLAG, AT(resume),
	"continue what an earlier run left unfinished"},
    {'d', "resume", NULL, NULL, UPLOAD, OPTION_FLAG, AT(resume),
	"not needed: an upload always continues"},

    {.help = "What", .commands = ALL | SERVE},
    {0, "upload", NULL, NULL, WHOAMI, OPTION_FLAG, AT(of_upload),
	"the token that upload uses"},
    {'R', "recursive", NULL, NULL, LS, OPTION_FLAG, AT(recursive),
	"also what is in folders, without the folders"},
    {'l', "long", NULL, NULL, LS, OPTION_FLAG, AT(long_list),
	"with the hash and the last commit of each"},
    {0, "quants", NULL, NULL, LS, OPTION_FLAG, AT(quants),
	"quantizations of GGUF files, and their sizes"},
    {0, "refs", NULL, NULL, LS, OPTION_FLAG, AT(refs),
	"branches, tags and pull requests, not files"},
    {0, "repair", NULL, NULL, VERIFY, OPTION_FLAG, AT(repair),
	"fetch what is broken or missing"},
    {0, "sha256sums", NULL, NULL, VERIFY, OPTION_FLAG, AT(sha256sums),
	"print the files that are right for sha256sum -c"},
    {0, "revision", NULL, "REV", MOVE | LS, OPTION_TEXT, AT(revision),
	"branch, tag or commit (default: main)"},
    {0, "path-in-repo", NULL, "PATH", UPLOAD, OPTION_TEXT, AT(path_in_repo),
	"where to put it in the repository"},
    {0, "include", NULL, "GLOB", REPO, OPTION_LIST, AT(include),
	"only files that match; may be repeated"},
    {0, "exclude", NULL, "GLOB", REPO, OPTION_LIST, AT(exclude),
	"skip files that match; may be repeated"},
    {0, "cache", NULL, NULL, DOWNLOAD | SERVE, OPTION_FLAG, AT(cache),
	"use the shared Hugging Face cache"},
    {0, "cache", NULL, NULL, VERIFY, OPTION_FLAG, AT(cache),
	"the shared Hugging Face cache, or -r of it"},
    {0, "cache-dir", NULL, "DIR", DOWNLOAD | LS | VERIFY | SERVE, OPTION_LOCAL,
	AT(cache_dir), "the cache (default: HF_HUB_CACHE)"},
    {0, "offline", NULL, NULL, DOWNLOAD | LS, OPTION_FLAG, AT(offline),
	"no network: only what is on this disk"},
    {0, "no-xet", NULL, NULL, MOVE, OPTION_FLAG, AT(no_xet),
	"only plain HTTP or LFS, not the Xet storage"},
    {0, "from", NULL, "FILE", DOWNLOAD, OPTION_LOCALS, AT(from),
	"copy chunks that this file has; repeatable"},
    {0, "force", "force-download", NULL, DOWNLOAD, OPTION_FLAG, AT(force),
	"download complete files again"},
    {0, "dry-run", NULL, NULL, MOVE, OPTION_FLAG, AT(dry_run),
	"show what would be transferred, and its size"},
    {'o', "output", NULL, "-", DOWNLOAD, OPTION_STDOUT, AT(output),
	"write one file to standard output"},

    {0, "delete", NULL, "GLOB", UPLOAD, OPTION_LIST, AT(delete),
	"delete files on the Hub; may be repeated"},
    {0, "private", NULL, NULL, UPLOAD, OPTION_FLAG, AT(is_private),
	"create the repository as private"},
    {'m', "commit-message", NULL, "TEXT", UPLOAD, OPTION_TEXT,
	AT(commit_message), "the title of the commit"},
    {0, "commit-description", NULL, "TEXT", UPLOAD, OPTION_TEXT,
	AT(commit_description), "the text below it"},
    {0, "create-pr", NULL, NULL, UPLOAD, OPTION_FLAG, AT(create_pr),
	"open a pull request, do not change the branch"},

    {.help = "How", .commands = ALL | SERVE},
    {0, "listen", NULL, "ADDR:PORT", SERVE, OPTION_TEXT, AT(listen),
	"where clients connect (default: 127.0.0.1:8090)"},
    {0, "cert", NULL, "FILE", SERVE, OPTION_LOCAL, AT(cert),
	"PEM certificates for TLS, the server's first"},
    {0, "key", NULL, "FILE", SERVE, OPTION_LOCAL, AT(key),
	"PEM key of that certificate, RSA or EC"},
    {0, "token-file", NULL, "FILE", SERVE, OPTION_LOCAL, AT(token_file),
	"clients must bring the token in FILE"},
    {'j', "jobs", "max-workers", "N", MOVE | VERIFY, OPTION_JOBS, AT(jobs),
	"connections in total, 1 to 64 (default: 8)"},
    {0, "limit-rate", NULL, "RATE", MOVE | VERIFY, OPTION_RATE, AT(limit_rate),
	"bytes a second over all connections: 500K, 2M"},
    {0, "retries", NULL, "N", ALL, OPTION_RETRIES, AT(retries),
	"tries in a row without progress (default: 8)"},
    {0, "timeout", NULL, "SECS", ALL, OPTION_SECONDS, AT(timeout),
	"limit for connecting and for the first byte"},
    {0, "stall-timeout", NULL, "SECS", ALL, OPTION_SECONDS, AT(stall_timeout),
	"limit for a connection without data"},
    {'4', "ipv4", NULL, NULL, ALL, OPTION_FLAG, AT(ipv4), "only IPv4"},
    {'6', "ipv6", NULL, NULL, ALL, OPTION_FLAG, AT(ipv6), "only IPv6"},
    {0, "endpoint", NULL, "URL", ALL, OPTION_TEXT, AT(endpoint),
	"URL of the Hub or a mirror"},
    {0, "proxy", NULL, "URL", ALL, OPTION_TEXT_OR_EMPTY, AT(proxy),
	"use this proxy; \"\" for none"},
    {0, "ca-file", NULL, "FILE", ALL, OPTION_LOCAL, AT(ca_file),
	"trust these certificates as well"},
    {0, "token-file", NULL, "FILE", ALL, OPTION_LOCAL, AT(token_file),
	"read the token from FILE; - is standard input"},

    {.help = "Output", .commands = ALL | SERVE},
    {0, "log", NULL, NULL, SERVE, OPTION_FLAG, AT(log),
	"print a line for each request"},
    {'q', "quiet", NULL, NULL, ALL | SERVE, OPTION_FLAG, AT(quiet),
	"only errors"},
    {'v', "verbose", NULL, NULL, ALL | SERVE, OPTION_FLAG, AT(verbose),
	"show each request and its status"},
    {0, "progress", NULL, "MODE", MOVE | VERIFY, OPTION_PROGRESS, AT(progress),
	"auto (default), bar, lines, json or none"},
    {0, "json", NULL, NULL, ALL | VERSION, OPTION_FLAG, AT(json),
	"one JSON object on standard output at the end"},
    {0, "format", NULL, "FORMAT", ALL, OPTION_FORMAT, 0,
	"as hf has it: json is --json, quiet is -q"},
};

static const struct command_row commands[] = {
    {COMMAND_DOWNLOAD, "download", "fetch a repository, or files of it",
	"  hub download -r REPO -p DIR [FILE...]\n"
	"  hub download -r REPO -p PATH -f [FILE]\n"
	"  hub download REPO [FILE...]\n"
	"  hub download REPO -o - FILE\n",
	"Without FILE it fetches the whole repository, as of one commit. Without\n"
	"-r the first argument is the repository. With -f the last part of PATH\n"
	"names the file, if FILE does not. With neither -r nor -p it goes to the\n"
	"shared Hugging Face cache.\n",
	"  hub download -r openai-community/gpt2 -p gpt2\n"
	"  hub download -r openai-community/gpt2 -p gpt2 --include '*.json' -d\n"
	"  hub download -r openai-community/gpt2 -p config.json -f\n"},
    {COMMAND_UPLOAD, "upload", "send a file or a directory to a repository",
	"  hub upload -r REPO -p PATH\n"
	"  hub upload REPO [PATH [PATH-IN-REPO]]\n",
	"Sends a file or a directory. Files that the Hub already has are not sent\n"
	"again. A missing repository is created.\n",
	"  hub upload -r me/model -p out\n"
	"  hub upload -r me/model -p out --private -m 'First weights'\n"
	"  hub upload -r org/model -p README.md --create-pr\n"},
    {COMMAND_LS, "ls", "list the files of a repository",
	"  hub ls REPO [PATH]\n"
	"  hub ls REPO [PATH] --offline [-p DIR]\n"
	"  hub ls REPO --quants\n"
	"  hub ls REPO --refs\n",
	"Lists the top folder, or the folder, file or pattern PATH: at a terminal\n"
	"with sizes and how the Hub keeps each (git, lfs, xet), else one path a line.\n"
	"With --offline it reads the listing that a download left in the cache, or\n"
	"in DIR.\n",
	"  hub ls openai-community/gpt2\n"
	"  hub ls openai-community/gpt2 '*.json' --long\n"
	"  hub ls bartowski/Llama-3.2-1B-Instruct-GGUF --quants\n"},
    {COMMAND_VERIFY, "verify", "compare a download with its recorded hashes",
	"  hub verify -p DIR\n"
	"  hub verify -p DIR --repair [-r REPO]\n"
	"  hub verify --cache [-r REPO]\n",
	"Hashes each file of a download, without a network, and prints what is\n"
	"changed, missing or extra. With --repair it fetches what is broken: only\n"
	"the bad blocks of files that hub downloaded. With --cache it looks at the\n"
	"shared Hugging Face cache, or at one repository in it.\n",
	"  hub verify -p gpt2\n"
	"  hub verify -p gpt2 --repair\n"
	"  hub verify -p gpt2 --sha256sums > SHA256SUMS\n"},
    {COMMAND_SERVE, "serve", "be the Hub for others, with what is on this disk",
	"  hub serve -p ORG/NAME=DIR [-p ...]\n"
	"  hub serve --cache\n",
	"Serves downloads, or the shared cache, to every client that honours\n"
	"HF_ENDPOINT; only files whose hash is right. SIGHUP looks again.\n",
	"  hub serve -p openai-community/gpt2=gpt2\n"
	"  hub serve --cache --listen '*:8090'\n"},
    {COMMAND_WHOAMI, "whoami", "show whose the token is, and its rights",
	"  hub whoami [--upload]\n",
	"Asks the Hub for the account of the token, and prints where it came from;\n"
	"never a part of the token.\n",
	"  hub whoami\n"
	"  hub whoami --upload\n"
	"  hub whoami --json\n"},
    {COMMAND_HELP, "help", "show the help of a command", NULL, NULL, NULL},
    {COMMAND_COMPLETION, "completion", "print a script for your shell",
	"  eval \"$(hub completion bash)\"   in ~/.bashrc\n"
	"  eval \"$(hub completion zsh)\"    in ~/.zshrc, behind compinit\n"
	"  hub completion fish | source    in config.fish\n",
	"Prints a script that completes options and values with the Tab key.\n"
	"Packages and \"make install\" include it.\n",
	NULL},
    {COMMAND_VERSION, "version", "show the version", "  hub version [--json]\n",
	"Prints the version; with --json also details of the build and the hosts\n"
	"that hub contacts.\n",
	NULL},
};

/* Returns the row of a command; NULL for COMMAND_NONE, which has none. */
static const struct command_row *
command_row(enum command c)
{
	for (size_t i = 0; i < countof(commands); i++)
		if (commands[i].command == c)
			return &commands[i];
	return NULL;
}

/* Returns command number at, from 0 on, in the order of the help; NULL at the
 * end. */
static const struct command_row *
command_next(size_t at)
{
	return at < countof(commands) ? &commands[at] : NULL;
}

/* Returns the next option of c, or heading, in the order of the help, and moves
 * *at, which begins at 0; NULL at the end. */
static const struct option_row *
command_option_next(enum command c, size_t *at)
{
	while (*at < countof(options) && !(options[*at].commands & ON(c)))
		++*at;
	return *at < countof(options) ? &options[(*at)++] : NULL;
}

/* Returns all values that an option accepts, with blanks between; NULL: any
 * value. Those of OPTION_PROGRESS are in the order of enum progress_mode. */
static const char *
command_option_words(const struct option_row *r)
{
	switch ((int)r->type) {
	case OPTION_REPO_TYPE:
		return "model dataset space kernel";
	case OPTION_PROGRESS:
		return "auto bar lines json none";
	case OPTION_STDOUT:
		return "-";
	case OPTION_FORMAT:
		return "auto human agent json quiet";
	default:
		return NULL;
	}
}

/* --- The parser. --- */

#define SECONDS_MAX 86400
#define JOBS_MAX 64
#define RETRIES_MAX 1000000
#define SHOWN_MAX 40 /* an option in an error; a longer one is cut */

const char *
command_name(enum command c)
{
	const struct command_row *r = command_row(c);

	return r ? r->name : "";
}

static enum command
command_of(struct str word)
{
	const struct command_row *r;

	for (size_t i = 0; (r = command_next(i)); i++)
		if (str_eq(word, r->name))
			return r->command;
	return COMMAND_NONE;
}

static int
unknown_command(struct str word, struct err *e)
{
	struct spelling s = spelling_make(word);
	const struct command_row *r;

	for (size_t i = 0; (r = command_next(i)); i++)
		spelling_try(&s, r->name);
	err_set(e, ERR_USAGE, "unknown command '%.*s'", STRF(word));
	return err_hint(e, "hub %s", s.best ? s.best : "help");
}

static const struct option_row *
row_of_name(struct str word, enum command c)
{
	const struct option_row *r;

	for (size_t at = 0; (r = command_option_next(c, &at));)
		if (spelling_same(word, r->name) ||
		    spelling_same(word, r->alias))
			return r;
	return NULL;
}

/* Finds the option with a letter. 0 finds none: it means that a row has no
 * letter. */
static const struct option_row *
row_of_letter(char letter, enum command c)
{
	const struct option_row *r;

	for (size_t at = 0; (r = command_option_next(c, &at));)
		if (r->letter == letter)
			return r;
	return NULL;
}

/* Flags of hf, now or before, that are not here, and what to do instead. */
static const struct {
	const char *name, *instead;
} flags_of_hf[] = {
    {"resume-download", "-d (--resume)"},
    {"num-workers", "-j (--jobs)"},
    {"every", "run hub upload from a timer: what is unchanged is not sent"},
    {"local-dir-use-symlinks", "leave it out: a directory gets no links"},
    {"no-force-download", "leave it out: that is so without --force"},
    {"no-dry-run", "leave it out: that is so without --dry-run"},
    {"no-private", "leave it out: that is so without --private"},
    {"no-create-pr", "leave it out: that is so without --create-pr"},
    {"no-truncate", "leave it out: nothing is cut here"},
    {"no-quiet", "leave it out: that is so without -q"},
    {"no-bars", "--progress none"},
    {"no-report", "--progress none"},
};

/* Adds a suggestion for word, which is without its dashes. */
static int
suggest(struct str word, enum command c, struct err *e)
{
	struct spelling s = spelling_make(word);
	const struct option_row *r;

	for (size_t i = 0; i < countof(flags_of_hf); i++)
		if (spelling_same(word, flags_of_hf[i].name))
			return err_hint(e, "%s", flags_of_hf[i].instead);
	for (size_t at = 0; (r = command_option_next(c, &at));) {
		spelling_try(&s, r->name);
		spelling_try(&s, r->alias);
	}
	spelling_try(&s, "help");
	spelling_try(&s, "version");
	if (s.best)
		return err_hint(e, "--%s", s.best);
	return err_hint(e, "hub help %s", command_name(c));
}

/* The state of one parse. */
struct scan {
	struct options *o;
	int argc, next;
	char **argv;
	bool ended; /* "--" was seen */
};

static int
number(struct str s, uint64_t min, uint64_t max, unsigned *out, struct err *e)
{
	uint64_t n;

	if (str_num(s, 10, max, &n) < 0 || n < min)
		return err_set(e, ERR_USAGE,
		    "invalid number '%.*s': must be %u to %u", STRF(s),
		    (unsigned)min, (unsigned)max);
	*out = (unsigned)n;
	return 0;
}

static int
progress_mode(const struct option_row *r, const char *s,
    enum progress_mode *out, struct err *e)
{
	const char *modes = command_option_words(r);
	struct str rest = str_of(modes), word = rest;
	unsigned i = 0;

	for (; rest.n; i++) {
		word = rest;
		if (!str_cut(rest, ' ', &word, &rest))
			rest.n = 0;
		if (str_eq(word, s)) {
			*out = (enum progress_mode)i;
			return 0;
		}
	}
	return err_set(
	    e, ERR_USAGE, "invalid mode '%s': must be one of %s", s, modes);
}

static bool
is_word(struct str words, const char *s)
{
	struct str word;

	while (str_cut(words, ' ', &word, &words))
		if (str_eq(word, s))
			return true;
	return str_eq(words, s);
}

static int
set_format(
    const struct option_row *r, const char *s, struct options *o, struct err *e)
{
	const char *formats = command_option_words(r);

	if (!is_word(str_of(formats), s))
		return err_set(e, ERR_USAGE,
		    "invalid format '%s': must be one of %s", s, formats);
	o->json = o->json || strcmp(s, "json") == 0;
	o->quiet = o->quiet || strcmp(s, "quiet") == 0;
	return 0;
}

static void
list_add(struct string_list *l, const char *s)
{
	l->s = xreallocarray(l->s, l->n + 1, sizeof(*l->s));
	l->s[l->n++] = s;
}

/* Other users can read the arguments of a process, so the token is
 * overwritten. */
static void
take_token(char *s, char **token)
{
	size_t n = strlen(s);

	if (*token) {
		mem_wipe(*token, strlen(*token));
		free(*token);
	}
	*token = xstrndup(s, n);
	memset(s, '*', n);
}

/* Whether files are offered for its value. */
static bool
takes_files(const struct option_row *r)
{
	return r->type == OPTION_LOCAL || r->type == OPTION_LOCALS;
}

/* Stores the value of an option in its field. Only a flag has none. */
static int
store(struct options *o, const struct option_row *r, char *value, struct err *e)
{
	void *at = (char *)o + r->at;

	if (r->type != OPTION_FLAG && r->type != OPTION_TEXT_OR_EMPTY &&
	    !*value)
		return err_set(e, ERR_USAGE, "it is empty");
	switch (r->type) {
	case OPTION_FLAG:
		*(bool *)at = true;
		return 0;
	case OPTION_TEXT:
	case OPTION_TEXT_OR_EMPTY:
	case OPTION_LOCAL:
	case OPTION_REPO_TYPE:
		*(const char **)at = value;
		return 0;
	case OPTION_TOKEN:
		take_token(value, at);
		return 0;
	case OPTION_LIST:
	case OPTION_LOCALS:
		list_add(at, value);
		return 0;
	case OPTION_JOBS:
		return number(str_of(value), 1, JOBS_MAX, at, e);
	case OPTION_SECONDS:
		return number(str_of(value), 1, SECONDS_MAX, at, e);
	case OPTION_RETRIES:
		o->has_retries = true;
		return number(str_of(value), 0, RETRIES_MAX, at, e);
	case OPTION_RATE:
		return rate_parse(value, at, e);
	case OPTION_PROGRESS:
		return progress_mode(r, value, at, e);
	case OPTION_FORMAT:
		return set_format(r, value, o, e);
	case OPTION_STDOUT:
		*(const char **)at = value;
		if (!strcmp(value, "-"))
			return 0;
		err_set(e, ERR_USAGE,
		    "'%s' is not '-': only standard output is supported",
		    value);
		return err_hint(e, "-p PATH -f writes to a file");
	}
	return 0;
}

/* True if a word may be a value. One that begins with '-' is an option, except
 * "-" alone, and a negative number, which gets a better error as a value. */
static bool
may_be_value(const struct scan *s, const struct option_row *r, const char *word)
{
	bool number = r->type == OPTION_JOBS || r->type == OPTION_SECONDS ||
		      r->type == OPTION_RETRIES || r->type == OPTION_RATE;

	if (word[0] != '-' || !word[1])
		return true;
	return number && chr_digit(word[1]) &&
	       !row_of_letter(word[1], s->o->command);
}

/* Sets option r, which the user wrote as shown, to value (NULL: none). */
static int
set(struct scan *s, const struct option_row *r, const char *shown, char *value,
    struct err *e)
{
	bool wanted = r->type != OPTION_FLAG;

	if (wanted && !value && s->next < s->argc &&
	    may_be_value(s, r, s->argv[s->next]))
		value = s->argv[s->next++];
	if (wanted && !value) {
		err_set(e, ERR_USAGE, "option '%s' needs a value", shown);
		return err_hint(e, "--%s=%s", r->name, r->value);
	}
	if (!wanted && value)
		return err_set(
		    e, ERR_USAGE, "option '%s' takes no value", shown);
	if (store(s->o, r, value, e) < 0)
		return err_in(e, "option '%s'", shown);
	return 0;
}

static int
unknown_option(
    const struct scan *s, const char *shown, struct str word, struct err *e)
{
	enum command c = s->o->command;

	if (c == COMMAND_NONE) {
		err_set(e, ERR_USAGE, "option '%s' must come after the command",
		    shown);
		return err_hint(e, "hub COMMAND %s", shown);
	}
	err_set(e, ERR_USAGE, "hub %s: unknown option '%s'", command_name(c),
	    shown);
	if (c == COMMAND_SERVE &&
	    (!strcmp(shown, "-r") || spelling_same(word, "repo_id")))
		return err_hint(e, "-p ORG/NAME=DIR, or --cache");
	return suggest(word, c, e);
}

/* Help and version take precedence over everything beside them. */
static int
ask(struct scan *s, enum command c)
{
	s->o->about = s->o->command;
	s->o->command = c;
	s->o->args.n = 0;
	s->next = s->argc;
	return 0;
}

static int
scan_long(struct scan *s, char *arg, struct err *e)
{
	struct str word = str_of(arg + 2), rest;
	const struct option_row *r;
	char *value = NULL, shown[SHOWN_MAX];

	/* The value after '=' may be a token: it is never shown. */
	if (str_cut(word, '=', &word, &rest))
		value = arg + 2 + word.n + 1;
	snprintf(shown, sizeof(shown), "--%.*s", STRF(word));
	if (!value && str_eq(word, "help"))
		return ask(s, COMMAND_HELP);
	if (!value && str_eq(word, "version"))
		return ask(s, COMMAND_VERSION);
	r = row_of_name(word, s->o->command);
	if (!r)
		return unknown_option(s, shown, word, e);
	return set(s, r, shown, value, e);
}

static int
scan_short(struct scan *s, char *arg, struct err *e)
{
	for (char *p = arg + 1; *p; p++) {
		char shown[] = {'-', *p, '\0'};
		const struct option_row *r = row_of_letter(*p, s->o->command);

		if (*p == 'h')
			return ask(s, COMMAND_HELP);
		if (*p == 'V')
			return ask(s, COMMAND_VERSION);
		if (!r)
			return unknown_option(s, shown, str_of(arg + 1), e);
		if (r->value)
			return set(s, r, shown, p[1] ? p + 1 : NULL, e);
		if (set(s, r, shown, NULL, e) < 0)
			return -1;
	}
	return 0;
}

static int
scan_argument(struct scan *s, char *arg, struct err *e)
{
	struct options *o = s->o;
	struct str word = str_of(arg);

	if (o->command != COMMAND_NONE) {
		list_add(&o->args, arg);
		return 0;
	}
	o->command = command_of(word);
	return o->command == COMMAND_NONE ? unknown_command(word, e) : 0;
}

static int
scan_all(struct scan *s, struct err *e)
{
	while (s->next < s->argc) {
		char *arg = s->argv[s->next++];
		int r;

		if (!s->ended && !strcmp(arg, "--")) {
			s->ended = true;
			continue;
		}
		if (s->ended || arg[0] != '-' || !arg[1])
			r = scan_argument(s, arg, e);
		else if (arg[1] == '-')
			r = scan_long(s, arg, e);
		else
			r = scan_short(s, arg, e);
		if (r < 0)
			return -1;
	}
	return 0;
}

/* Checks the argument of "hub help" (a topic), "hub completion" (a shell) and
 * "hub version" (none). */
static int
check_about(struct options *o, struct err *e)
{
	size_t most = o->command == COMMAND_VERSION ? 0 : 1;

	if (o->args.n > most)
		return err_set(
		    e, ERR_USAGE, "unexpected argument '%s'", o->args.s[most]);
	if (o->command != COMMAND_HELP || !o->args.n)
		return 0;
	o->about = command_of(str_of(o->args.s[0]));
	if (o->about == COMMAND_NONE)
		return unknown_command(str_of(o->args.s[0]), e);
	return 0;
}

/* A combination of options that is refused, and what is said then. */
struct pair {
	bool both;
	const char *text;
};

static int
refuse_first(const struct pair *p, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (p[i].both)
			return err_set(e, ERR_USAGE, "%s", p[i].text);
	return 0;
}

/* Options of which each says how all of it is done. */
static int
check_ways(const struct options *o, struct err *e)
{
	const struct pair pairs[] = {
	    {o->ipv4 && o->ipv6, "-4 and -6 cannot be used together"},
	    {o->quiet && o->verbose, "-q and -v cannot be used together"},
	    {o->quiet && o->progress != PROGRESS_AUTO &&
		    o->progress != PROGRESS_NONE,
		"-q and --progress cannot be used together"},
	    {o->api_token && o->token_file,
		"-a and --token-file cannot be used together"},
	    {!o->cert != !o->key, "--cert and --key belong together"},
	    {o->cache && o->local_path,
		"-p and --cache cannot be used together"},
	    {o->cache && o->file, "-f and --cache cannot be used together"},
	    {o->cache && o->output, "-o and --cache cannot be used together"},
	    {o->offline && o->output,
		"-o and --offline cannot be used together"},
	    {o->offline && o->force,
		"--force and --offline cannot be used together"},
	    {o->from.n && o->offline,
		"--from and --offline cannot be used together"},
	    {o->from.n && o->no_xet,
		"--from and --no-xet cannot be used together"},
	    {o->from.n && o->output, "--from and -o cannot be used together"},
	};

	return refuse_first(pairs, countof(pairs), e);
}

static int
check_output(const struct options *o, struct err *e)
{
	const struct pair pairs[] = {
	    {o->local_path, "-o and -p cannot be used together"},
	    {o->file, "-f and -o cannot be used together"},
	    {o->json, "-o and --json cannot be used together: both write to "
		      "standard output"},
	    {o->resume, "-d and -o cannot be used together: a download to "
			"standard output cannot continue"},
	    {o->dry_run, "--dry-run and -o cannot be used together"},
	    {o->include.n || o->exclude.n,
		"-o takes the name of one file, not --include or --exclude"},
	    {o->args.n > 1, "-o takes one file only"},
	};

	return o->output ? refuse_first(pairs, countof(pairs), e) : 0;
}

/* Options that list, choose or check. */
static int
check_choice(const struct options *o, struct err *e)
{
	bool patterns = o->include.n || o->exclude.n;
	const struct pair pairs[] = {
	    {o->command == COMMAND_DOWNLOAD && o->file && patterns,
		"-f takes the name of one file, not --include or --exclude"},
	    {o->file && o->args.n > 1, "-f takes one file only"},
	    {o->refs && (o->quants || o->recursive || patterns || o->args.n),
		"--refs lists no files: it takes no PATH, -R, --quants, "
		"--include or --exclude"},
	    {o->quants && o->long_list,
		"--quants and --long cannot be used together"},
	    {o->refs && o->offline,
		"--refs and --offline cannot be used together"},
	    {o->cache && o->repair,
		"--cache and --repair cannot be used together"},
	    {o->sha256sums && o->repair,
		"--sha256sums and --repair cannot be used together"},
	    {o->sha256sums && o->json,
		"--sha256sums and --json cannot be used together: both write "
		"to standard output"},
	    {o->repo_id && o->command == COMMAND_VERIFY && !o->repair &&
		    !o->cache,
		"verify needs no repository: -r is for --repair and --cache"},
	};

	if (refuse_first(pairs, countof(pairs), e))
		return -1;
	if (!patterns || !o->args.n)
		return 0;
	err_set(e, ERR_USAGE,
	    "'%s' is a file name: it cannot be used together with --include "
	    "or --exclude",
	    o->args.s[0]);
	return err_hint(e, "for more patterns repeat the option: "
			   "--include A --include B");
}

/* Refuses options that contradict each other. */
static int
check_pairs(const struct options *o, struct err *e)
{
	if (check_ways(o, e) || check_output(o, e))
		return -1;
	return check_choice(o, e);
}

/* Takes the first argument as the repository if -r is missing, and then the
 * cache as the target if -p is missing, too. */
static void
take_repo(struct options *o)
{
	if (o->cache_dir)
		o->cache = true;
	if (o->repo_id || !o->args.n || !*o->args.s[0])
		return;
	if (o->command == COMMAND_DOWNLOAD && !o->local_path && !o->output &&
	    !o->file)
		o->cache = true;
	o->repo_id = o->args.s[0];
	o->args.n--;
	memmove(o->args.s, o->args.s + 1, o->args.n * sizeof(*o->args.s));
}

/* Takes the arguments of upload: the local path, and the path in the
 * repository. */
static int
take_paths(struct options *o, struct err *e)
{
	size_t next = 0;

	if (!o->local_path && next < o->args.n)
		o->local_path = o->args.s[next++];
	if (!o->path_in_repo && next < o->args.n)
		o->path_in_repo = o->args.s[next++];
	if (next < o->args.n)
		return err_set(
		    e, ERR_USAGE, "unexpected argument '%s'", o->args.s[next]);
	o->args.n = 0;
	return 0;
}

/* verify takes its folder, or the repository in the cache; serve and whoami
 * nothing. */
static int
take_folder(struct options *o, struct err *e)
{
	const char **to;
	size_t most;

	o->cache = o->cache || o->cache_dir;
	to = o->cache ? &o->repo_id : &o->local_path;
	most = o->command == COMMAND_VERIFY && !*to;

	if (o->args.n > most) {
		err_set(
		    e, ERR_USAGE, "unexpected argument '%s'", o->args.s[most]);
		return o->command == COMMAND_SERVE
			   ? err_hint(e, "-p ORG/NAME=%s", o->args.s[most])
			   : -1;
	}
	if (o->args.n)
		*to = o->args.s[0];
	o->args.n = 0;
	return 0;
}

static bool
climbs(struct str path)
{
	struct str part;

	while (str_cut(path, '/', &part, &path))
		if (str_eq(part, ".."))
			return true;
	return str_eq(path, "..");
}

/* Checks the arguments that are left: paths in the repository. */
static int
check_files(const struct options *o, struct err *e)
{
	for (size_t i = 0; i < o->args.n; i++) {
		struct str s = str_of(o->args.s[i]);

		if (!s.n)
			return err_set(e, ERR_USAGE, "an argument is empty");
		if (s.s[0] == '/' || climbs(s))
			return err_set(e, ERR_USAGE,
			    "'%s' is not the path of a file in a repository",
			    s.s);
	}
	return 0;
}

int
options_parse(struct options *o, int argc, char **argv, struct err *e)
{
	struct scan s = {.o = o, .argc = argc, .next = 1, .argv = argv};

	*o = (struct options){0};
	if (scan_all(&s, e) < 0)
		return -1;
	switch (o->command) {
	case COMMAND_NONE:
		return 0;
	case COMMAND_HELP:
	case COMMAND_COMPLETION:
	case COMMAND_VERSION:
		return check_about(o, e);
	case COMMAND_VERIFY:
	case COMMAND_SERVE:
	case COMMAND_WHOAMI:
		if (take_folder(o, e) < 0)
			return -1;
		break;
	case COMMAND_DOWNLOAD:
	case COMMAND_UPLOAD:
	case COMMAND_LS:
		take_repo(o);
		break;
	}
	if (o->command == COMMAND_UPLOAD && take_paths(o, e) < 0)
		return -1;
	if (o->command == COMMAND_LS && o->args.n > 1)
		return err_set(
		    e, ERR_USAGE, "unexpected argument '%s'", o->args.s[1]);
	if (check_files(o, e) < 0)
		return -1;
	return check_pairs(o, e);
}

void
options_release(struct options *o)
{
	if (o->api_token)
		mem_wipe(o->api_token, strlen(o->api_token));
	free(o->api_token);
	free(o->include.s);
	free(o->exclude.s);
	free(o->delete.s);
	free(o->folders.s);
	free(o->args.s);
	free(o->from.s);
	*o = (struct options){0};
}

/* --- Help. --- */

/* Writes one option: " -r, --repo_id REPO the repository". The longest one fits
 * into its column. */
static void
put_row(const struct option_row *r, struct buf *out)
{
	char left[64], letter[] = "-x, ";

	letter[1] = r->letter;
	snprintf(left, sizeof(left), "%s--%s%s%s", r->letter ? letter : "    ",
	    r->name, r->value ? " " : "", r->value ? r->value : "");
	buf_printf(out, "  %-29s %s\n", left, r->help);
}

static void
put_options(enum command c, struct buf *out)
{
	const struct option_row *r;

	for (size_t at = 0; (r = command_option_next(c, &at));)
		if (r->name)
			put_row(r, out);
		else
			buf_printf(out, "%s:\n", r->help);
}

static void
put_aliases(enum command c, struct buf *out)
{
	const struct option_row *r;
	const char *before =
	    "\nLong options accept '_' or '-' between words. Aliases:\n";

	for (size_t at = 0; (r = command_option_next(c, &at));)
		if (r->alias) {
			buf_printf(out, "%s  --%-27s as --%s\n", before,
			    r->alias, r->name);
			before = "";
		}
}

/* The values of enum err_kind. */
static const char statuses[] =
    "\nExit status:\n"
    "  0 done       3 not found    6 wrong hash  9 some files failed\n"
    "  1 other      4 not allowed  7 local file  128+N stopped by signal N\n"
    "  2 bad usage  5 network      8 the Hub refused the commit\n";

static void
put_command(const struct command_row *c, struct buf *out)
{
	size_t at = 0;

	buf_printf(out, "Usage:\n%s\n%s", c->usage, c->text);
	if (command_option_next(c->command, &at))
		buf_puts(out, "\nOptions:\n");
	put_options(c->command, out);
	put_aliases(c->command, out);
	if (c->examples)
		buf_printf(out, "\nExamples:\n%s%s", c->examples, statuses);
	buf_puts(out, "\nFull manual: man hub\n");
}

static void
put_overview(struct buf *out)
{
	const struct command_row *c;

	buf_puts(out,
	    "Usage: hub [-h|--help] [-V|--version] COMMAND "
	    "[OPTIONS] [ARGS]\n\n"
	    "Moves models, datasets and spaces between a disk and the Hugging "
	    "Face Hub.\n\nCommands:\n");
	for (size_t i = 0; (c = command_next(i)); i++)
		buf_printf(out, "  %-10s %s\n", c->name, c->help);
	buf_puts(out, "\nhub help COMMAND lists a command's options.\n");
}

void
help_put(enum command about, struct buf *out)
{
	const struct command_row *c = command_row(about);

	if (c && c->usage)
		put_command(c, out);
	else
		put_overview(out);
}

/* --- Completion for shells. --- */

static void put_bash(struct buf *out);
static void put_zsh(struct buf *out);
static void put_fish(struct buf *out);

static const struct {
	const char *name;
	void (*put)(struct buf *out);
} shells[] = {
    {"bash", put_bash},
    {"zsh", put_zsh},
    {"fish", put_fish},
};

/* True if the arguments of a command are paths on this machine. */
static bool
takes_paths(const struct command_row *c)
{
	return c->command == COMMAND_UPLOAD || c->command == COMMAND_VERIFY;
}

/* Writes the words that can follow a command, if they are known. */
static void
put_arguments(const struct command_row *c, struct buf *out)
{
	const struct command_row *topic;

	for (size_t i = 0; (topic = command_next(i)); i++)
		if (c->command == COMMAND_HELP && topic->usage)
			buf_printf(out, " %s", topic->name);
	for (size_t i = 0; i < countof(shells); i++)
		if (c->command == COMMAND_COMPLETION)
			buf_printf(out, " %s", shells[i].name);
}

/* Writes text inside single quotes: all three shells leave them in the same
 * way. */
static void
put_quoted(const char *text, struct buf *out)
{
	for (; *text; text++)
		if (*text == '\'')
			buf_puts(out, "'\\''");
		else
			buf_putc(out, *text);
}

/* --- bash --- */

/* The names of an option as a pattern of case, with '-' between words. */
static void
put_pattern(const struct option_row *r, struct buf *out)
{
	if (r->letter)
		buf_printf(out, "-%c|", r->letter);
	if (r->alias)
		buf_printf(out, "--%s|", r->alias);
	buf_puts(out, "--");
	for (const char *p = r->name; *p; p++)
		buf_putc(out, *p == '_' ? '-' : *p);
}

static void
put_bash_command(const struct command_row *c, struct buf *out)
{
	const struct option_row *r;

	buf_printf(out, "\t*,%s)\n\t\tcase ${prev//_/-} in\n", c->name);
	for (size_t at = 0; (r = command_option_next(c->command, &at));) {
		const char *words = command_option_words(r);

		if (!r->value)
			continue;
		buf_puts(out, "\t\t");
		put_pattern(r, out);
		buf_puts(out, takes_files(r) ? ") files=1" : ")");
		if (words)
			buf_printf(out, " words='%s'", words);
		buf_puts(out, " ;;\n");
	}
	buf_printf(
	    out, "\t\t*) %swords='-h --help", takes_paths(c) ? "files=1 " : "");
	for (size_t at = 0; (r = command_option_next(c->command, &at));)
		if (r->name)
			buf_printf(out, " --%s", r->name);
	put_arguments(c, out);
	buf_puts(out, "' ;;\n\t\tesac ;;\n");
}

static void
put_bash(struct buf *out)
{
	const struct command_row *c;

	buf_puts(out, "_hub() {\n"
		      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} words= files=\n"
		      "\tlocal prev=${COMP_WORDS[COMP_CWORD-1]}\n"
		      /* bash splits "--name=value" into three words. */
		      "\tif [[ $cur = = ]]; then\n\t\tcur=\n"
		      "\telif [[ $prev = = ]]; then\n"
		      "\t\tprev=${COMP_WORDS[COMP_CWORD-2]}\n\tfi\n"
		      "\tCOMPREPLY=()\n"
		      "\tcase $COMP_CWORD,${COMP_WORDS[1]} in\n"
		      "\t1,*) words='-h --help -V --version");
	for (size_t i = 0; (c = command_next(i)); i++)
		buf_printf(out, " %s", c->name);
	buf_puts(out, "' ;;\n");
	for (size_t i = 0; (c = command_next(i)); i++)
		put_bash_command(c, out);
	buf_puts(out, "\tesac\n"
		      "\tif [[ $files && $cur != -* ]]; then\n"
		      "\t\tcompopt -o default 2>/dev/null\n"
		      "\telse\n"
		      "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
		      "\tfi\n"
		      "}\n"
		      "complete -F _hub hub\n");
}

/* --- zsh --- */

/* Writes how an option is written: "'(-r --repo_id)'{-r+,--repo_id=}". */
static void
put_zsh_names(const struct option_row *r, struct buf *out)
{
	const char *plus = r->value ? "+" : "", *is = r->value ? "=" : "";

	if (!r->letter)
		buf_printf(out, "'%s--%s%s",
		    r->type == OPTION_LIST || r->type == OPTION_LOCALS ? "*"
								       : "",
		    r->name, is);
	else
		buf_printf(out, "'(-%c --%s)'{-%c%s,--%s%s}'", r->letter,
		    r->name, r->letter, plus, r->name, is);
}

static void
put_zsh_option(const struct option_row *r, struct buf *out)
{
	const char *words = command_option_words(r);

	buf_puts(out, " \\\n\t\t");
	put_zsh_names(r, out);
	buf_putc(out, '[');
	put_quoted(r->help, out);
	buf_putc(out, ']');
	if (words)
		buf_printf(out, ":%s:(%s)", r->value, words);
	else if (r->value)
		buf_printf(
		    out, ":%s:%s", r->value, takes_files(r) ? "_files" : " ");
	buf_putc(out, '\'');
}

static void
put_zsh_command(const struct command_row *c, struct buf *out)
{
	const struct option_row *r;

	buf_printf(out,
	    "\t%s) _arguments -s -S \\\n\t\t'(-h --help)'{-h,--help}"
	    "'[print help]'",
	    c->name);
	for (size_t at = 0; (r = command_option_next(c->command, &at));)
		if (r->name)
			put_zsh_option(r, out);
	buf_puts(out, " \\\n\t\t'*:argument:");
	if (takes_paths(c)) {
		buf_puts(out, "_files' ;;\n");
		return;
	}
	buf_putc(out, '(');
	put_arguments(c, out);
	buf_puts(out, ")' ;;\n");
}

static void
put_zsh(struct buf *out)
{
	const struct command_row *c;

	buf_puts(out, "#compdef hub\n"
		      "_hub() {\n"
		      "\tlocal curcontext=$curcontext state line\n"
		      "\ttypeset -A opt_args\n"
		      "\t_arguments -C '(- *)'{-h,--help}'[print help]' \\\n"
		      "\t\t'(- *)'{-V,--version}'[print the version]' \\\n"
		      "\t\t'1:command:((");
	for (size_t i = 0; (c = command_next(i)); i++)
		buf_printf(
		    out, "%s%s\\:\"%s\"", i ? " " : "", c->name, c->help);
	buf_puts(out, "))' \\\n"
		      "\t\t'*::argument:->rest'\n"
		      "\t[[ $state = rest ]] || return\n"
		      "\tcase $words[1] in\n");
	for (size_t i = 0; (c = command_next(i)); i++)
		put_zsh_command(c, out);
	buf_puts(out,
	    "\tesac\n"
	    "}\n"
	    /* If zsh loads this file by name, it is the body of the function;
	     * else eval or source has read it. */
	    "if [[ $funcstack[1] = _hub ]]; then\n"
	    "\t_hub \"$@\"\n"
	    "else\n"
	    "\tcompdef _hub hub\n"
	    "fi\n");
}

/* --- fish --- */

static void
put_fish_option(
    const struct command_row *c, const struct option_row *r, struct buf *out)
{
	const char *words = command_option_words(r);

	buf_printf(out, "complete -c hub -n '__fish_seen_subcommand_from %s'",
	    c->name);
	if (r->letter)
		buf_printf(out, " -s %c", r->letter);
	buf_printf(out, " -l %s", r->name);
	if (r->value)
		buf_puts(out, takes_files(r) ? " -rF" : " -x");
	if (words)
		buf_printf(out, " -a '%s'", words);
	buf_puts(out, " -d '");
	put_quoted(r->help, out);
	buf_puts(out, "'\n");
}

static void
put_fish_command(const struct command_row *c, struct buf *out)
{
	const struct option_row *r;

	buf_printf(out,
	    "complete -c hub -n __fish_use_subcommand -a %s -d '%s'\n", c->name,
	    c->help);
	for (size_t at = 0; (r = command_option_next(c->command, &at));)
		if (r->name)
			put_fish_option(c, r, out);
	buf_printf(out,
	    "complete -c hub -n '__fish_seen_subcommand_from %s' %s-a '",
	    c->name, takes_paths(c) ? "-F " : "");
	put_arguments(c, out);
	buf_puts(out, "'\n");
}

static void
put_fish(struct buf *out)
{
	const struct command_row *c;

	buf_puts(out,
	    "complete -c hub -f\n"
	    "complete -c hub -s h -l help -d 'print help'\n"
	    "complete -c hub -s V -l version -d 'print the version'\n");
	for (size_t i = 0; (c = command_next(i)); i++)
		put_fish_command(c, out);
}

int
completion_put(const char *shell, struct buf *out, struct err *e)
{
	for (size_t i = 0; shell && i < countof(shells); i++)
		if (strcmp(shells[i].name, shell) == 0) {
			shells[i].put(out);
			return 0;
		}
	if (shell)
		err_set(e, ERR_USAGE, "unknown shell '%s'", shell);
	else
		err_set(e, ERR_USAGE, "no shell given");
	return err_hint(e, "hub completion bash, zsh or fish");
}
