#include "option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "mem.h"

#define SECONDS_MAX 86400
#define JOBS_MAX 64
#define RETRIES_MAX 1000000
#define RATE_MAX UINT64_C(1000000000000000) /* 1 PB a second */

/* Longer words are no misspelling of ours. */
#define WORD_MAX 32

enum type {
	FLAG,
	TEXT,
	TEXT_OR_EMPTY,
	LOCAL, /* a path on this machine */
	REPO_TYPE,
	TOKEN,
	LIST,
	JOBS,
	SECONDS,
	RETRIES,
	RATE,
	PROGRESS,
	STDOUT,
};

/* Which commands take an option. */
#define ON(c) (1u << (c))
#define DOWNLOAD ON(COMMAND_DOWNLOAD)
#define UPLOAD ON(COMMAND_UPLOAD)
#define VERSION ON(COMMAND_VERSION)
#define ALL (DOWNLOAD | UPLOAD)

/* The table that makes parsing and help; the order is that of the help. A row
 * without name is a heading there. */
struct row {
	char letter; /* 0: none */
	const char *name, *alias;
	const char *value; /* its name in the help; NULL: a flag */
	unsigned commands;
	enum type type;
	size_t at; /* where in struct options it goes */
	const char *help;
};

#define AT(field) offsetof(struct options, field)

static const struct row table[] = {
    {'r', "repo_id", NULL, "REPO", ALL, TEXT, AT(repo_id),
	"the repository, \"namespace/name\""},
    {'p', "local_path", "local-dir", "PATH", DOWNLOAD, LOCAL, AT(local_path),
	"where to put it: a directory, or with -f a file"},
    {'p', "local_path", NULL, "PATH", UPLOAD, LOCAL, AT(local_path),
	"what to send: a file, or a directory's content"},
    {'t', "repo_type", NULL, "TYPE", ALL, REPO_TYPE, AT(repo_type),
	"model (default), dataset or space"},
    {'c', "config_path", NULL, "FILE", ALL, LOCAL, AT(config_path),
	"a JSON configuration, which names the .env file"},
    {'a', "api_token", "token", "TOKEN", ALL, TOKEN, AT(api_token),
	"the token; safer: HF_TOKEN, .env, --token-file"},
    {'f', "file", NULL, NULL, DOWNLOAD, FLAG, AT(file),
	"the local path is a file"},
    {'d', "resume", NULL, NULL, DOWNLOAD, FLAG, AT(resume),
	"continue what an earlier run left unfinished"},

    {.help = "What", .commands = ALL},
    {0, "revision", NULL, "REV", ALL, TEXT, AT(revision),
	"branch, tag or commit (default: main)"},
    {0, "path-in-repo", NULL, "PATH", UPLOAD, TEXT, AT(path_in_repo),
	"where to put it in the repository"},
    {0, "include", NULL, "GLOB", ALL, LIST, AT(include),
	"only files that match; may be repeated"},
    {0, "exclude", NULL, "GLOB", ALL, LIST, AT(exclude),
	"no files that match; may be repeated"},
    {0, "force", "force-download", NULL, DOWNLOAD, FLAG, AT(force),
	"transfer what is in place already, too"},
    {0, "dry-run", NULL, NULL, ALL, FLAG, AT(dry_run),
	"say what would be transferred, and how much"},
    {'o', "output", NULL, "-", DOWNLOAD, STDOUT, AT(output),
	"one file, to standard output"},

    {0, "delete", NULL, "GLOB", UPLOAD, LIST, AT(delete),
	"delete files there that match; may be repeated"},
    {0, "private", NULL, NULL, UPLOAD, FLAG, AT(is_private),
	"a repository that is created is private"},
    {'m', "commit-message", NULL, "TEXT", UPLOAD, TEXT, AT(commit_message),
	"the title of the commit"},
    {0, "commit-description", NULL, "TEXT", UPLOAD, TEXT,
	AT(commit_description), "the text below it"},
    {0, "create-pr", NULL, NULL, UPLOAD, FLAG, AT(create_pr),
	"open a pull request instead of changing the branch"},

    {.help = "How", .commands = ALL},
    {'j', "jobs", "max-workers", "N", ALL, JOBS, AT(jobs),
	"connections in total, 1 to 64 (default: 8)"},
    {0, "limit-rate", NULL, "RATE", ALL, RATE, AT(limit_rate),
	"bytes a second over all connections: 500K, 2M"},
    {0, "retries", NULL, "N", ALL, RETRIES, AT(retries),
	"further tries when nothing arrives"},
    {0, "timeout", NULL, "SECS", ALL, SECONDS, AT(timeout),
	"to connect, and to the first byte"},
    {0, "stall-timeout", NULL, "SECS", ALL, SECONDS, AT(stall_timeout),
	"to give up a connection that stands still"},
    {'4', "ipv4", NULL, NULL, ALL, FLAG, AT(ipv4), "only IPv4"},
    {'6', "ipv6", NULL, NULL, ALL, FLAG, AT(ipv6), "only IPv6"},
    {0, "endpoint", NULL, "URL", ALL, TEXT, AT(endpoint),
	"the Hub, or a mirror of it"},
    {0, "proxy", NULL, "URL", ALL, TEXT_OR_EMPTY, AT(proxy),
	"through this proxy; \"\" for none"},
    {0, "ca-file", NULL, "FILE", ALL, LOCAL, AT(ca_file),
	"trust these certificates as well"},
    {0, "token-file", NULL, "FILE", ALL, LOCAL, AT(token_file),
	"read the token from FILE; - is standard input"},

    {.help = "Output", .commands = ALL},
    {'q', "quiet", NULL, NULL, ALL, FLAG, AT(quiet), "only errors"},
    {'v', "verbose", NULL, NULL, ALL, FLAG, AT(verbose),
	"each request and its status"},
    {0, "progress", NULL, "MODE", ALL, PROGRESS, AT(progress),
	"auto (default), bar, lines, json or none"},
    {0, "json", NULL, NULL, ALL | VERSION, FLAG, AT(json),
	"one JSON object on standard output at the end"},
};

static const struct command_row commands[] = {
    {COMMAND_DOWNLOAD, "download", "fetch a repository, or files of it",
	"  hub download -r REPO -p DIR [FILE...]\n"
	"  hub download -r REPO -p PATH -f [FILE]\n"
	"  hub download REPO -o - FILE\n",
	"Without FILE it fetches the whole repository, as of one commit. Without\n"
	"-r the first argument is the repository. With -f the last part of PATH\n"
	"names the file, if FILE does not.\n"},
    {COMMAND_UPLOAD, "upload", "send a file or a directory to a repository",
	"  hub upload -r REPO -p PATH\n"
	"  hub upload REPO [PATH [PATH-IN-REPO]]\n",
	"Sends a file, or the content of a directory; what the Hub has already is\n"
	"not sent again. The repository is created if there is none.\n"},
    {COMMAND_HELP, "help", "say more about a command", NULL, NULL},
    {COMMAND_COMPLETION, "completion", "print a script for your shell",
	"  eval \"$(hub completion bash)\"   in ~/.bashrc\n"
	"  eval \"$(hub completion zsh)\"    in ~/.zshrc, behind compinit\n"
	"  hub completion fish | source    in config.fish\n",
	"Prints a script with which the Tab key completes options and their values.\n"
	"Packages and \"make install\" bring it along.\n"},
    {COMMAND_VERSION, "version", "say which hub this is",
	"  hub version [--json]\n",
	"Says the version; with --json also what it was built from and the hosts\n"
	"that it contacts.\n"},
};

/* In the order of enum progress_mode. */
static const char modes[] = "auto bar lines json none";

/* Option names are the same with '_' and '-'. */
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

static bool
same_name(struct str word, const char *name)
{
	return name && word.n == strlen(name) &&
	       same_letters(word, name, word.n);
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The number of letters to insert, delete, change, or swap with their
 * neighbour, that makes name of word; WORD_MAX if it is too far to tell. */
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

/* Keeps in *best the name that is nearest to word: one that begins with it, or
 * of which two thirds are right. */
static void
nearer(struct str word, const char *name, const char **best, size_t *least_d)
{
	size_t n = strlen(name);
	size_t d = word.n > 2 && begins(word, name) ? 1 : distance(word, name);

	if (d * 3 <= (word.n > n ? word.n : n) && d < *least_d) {
		*best = name;
		*least_d = d;
	}
}

static const char *
command_name(enum command c)
{
	const struct command_row *r = command_row(c);

	return r ? r->name : "";
}

static enum command
command_of(struct str word)
{
	for (size_t i = 0; i < countof(commands); i++)
		if (str_eq(word, commands[i].name))
			return commands[i].command;
	return COMMAND_NONE;
}

static int
unknown_command(struct str word, struct err *e)
{
	const char *best = NULL;
	size_t d = WORD_MAX;

	for (size_t i = 0; i < countof(commands); i++)
		nearer(word, commands[i].name, &best, &d);
	err_set(e, ERR_USAGE, "there is no command '%.*s'", STRF(word));
	return best ? err_hint(e, "hub %s", best) : err_hint(e, "hub help");
}

static bool
takes(const struct row *r, enum command c)
{
	return r->name && (r->commands & ON(c));
}

static const struct row *
row_of_name(struct str word, enum command c)
{
	for (size_t i = 0; i < countof(table); i++)
		if (takes(&table[i], c) && (same_name(word, table[i].name) ||
					       same_name(word, table[i].alias)))
			return &table[i];
	return NULL;
}

static const struct row *
row_of_letter(char letter, enum command c)
{
	for (size_t i = 0; i < countof(table); i++)
		if (letter && takes(&table[i], c) && table[i].letter == letter)
			return &table[i];
	return NULL;
}

/* Suggests what word, without its dashes, may have meant. */
static int
suggest(struct str word, enum command c, struct err *e)
{
	const char *best = NULL;
	size_t d = WORD_MAX;

	for (size_t i = 0; i < countof(table); i++) {
		if (!takes(&table[i], c))
			continue;
		nearer(word, table[i].name, &best, &d);
		if (table[i].alias)
			nearer(word, table[i].alias, &best, &d);
	}
	nearer(word, "help", &best, &d);
	nearer(word, "version", &best, &d);
	if (best)
		return err_hint(e, "--%s", best);
	return err_hint(e, "hub help %s", command_name(c));
}

static struct str
without_last(struct str s, size_t n)
{
	return str_make(s.s, s.n - n);
}

/* Takes the unit from the end of *s: "", "K", "KB", "KiB" and so on. 0 if there
 * is no such unit. */
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

/* At most six digits behind the point: times 2^40 they stay in 64 bits. */
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

int
rate_parse(const char *text, uint64_t *out, struct err *e)
{
	struct str s = str_of(text);
	uint64_t unit = take_unit(&s);

	if (unit && rate_number(s, unit, out) == 0)
		return 0;
	err_set(e, ERR_USAGE, "'%s' is no rate", text);
	err_hint(e, "bytes a second, as in 500K, 2M or 1.5MiB");
	return -1;
}

/* The state of one parse. */
struct scan {
	struct options *o;
	int argc, next;
	char **argv;
	bool ended; /* "--" was there */
};

static int
number(struct str s, uint64_t min, uint64_t max, unsigned *out, struct err *e)
{
	uint64_t n;

	if (str_num(s, 10, max, &n) < 0 || n < min)
		return err_set(e, ERR_USAGE,
		    "'%.*s' is no number from %u to %u", STRF(s), (unsigned)min,
		    (unsigned)max);
	*out = (unsigned)n;
	return 0;
}

static int
progress_mode(const char *s, enum progress_mode *out, struct err *e)
{
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
	return err_set(e, ERR_USAGE, "'%s' is none of %s", s, modes);
}

static void
list_add(struct string_list *l, const char *s)
{
	l->s = xreallocarray(l->s, l->n + 1, sizeof(*l->s));
	l->s[l->n++] = s;
}

/* Whoever looks at the processes of the machine sees the arguments. */
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

static int
store(struct options *o, const struct row *r, char *value, struct err *e)
{
	void *at = (char *)o + r->at;

	/* NOLINTNEXTLINE(clang-analyzer-core.*): all but FLAG have a value. */
	if (r->type != FLAG && r->type != TEXT_OR_EMPTY && !*value)
		return err_set(e, ERR_USAGE, "it is empty");
	switch (r->type) {
	case FLAG:
		*(bool *)at = true;
		return 0;
	case TEXT:
	case TEXT_OR_EMPTY:
	case LOCAL:
	case REPO_TYPE:
		*(const char **)at = value;
		return 0;
	case TOKEN:
		take_token(value, at);
		return 0;
	case LIST:
		list_add(at, value);
		return 0;
	case JOBS:
		return number(str_of(value), 1, JOBS_MAX, at, e);
	case SECONDS:
		return number(str_of(value), 1, SECONDS_MAX, at, e);
	case RETRIES:
		o->has_retries = true;
		return number(str_of(value), 0, RETRIES_MAX, at, e);
	case RATE:
		return rate_parse(value, at, e);
	case PROGRESS:
		return progress_mode(value, at, e);
	case STDOUT:
		*(const char **)at = value;
		if (!strcmp(value, "-"))
			return 0;
		err_set(
		    e, ERR_USAGE, "'%s' is not '-', standard output", value);
		return err_hint(e, "to write a file: -p PATH -f");
	}
	return 0;
}

/* What begins with '-' is an option, but for "-" alone and for a negative number,
 * of which it is better said what is wrong with it. */
static bool
may_be_value(const struct scan *s, const struct row *r, const char *word)
{
	bool number = r->type == JOBS || r->type == SECONDS ||
		      r->type == RETRIES || r->type == RATE;

	if (word[0] != '-' || !word[1])
		return true;
	return number && chr_digit(word[1]) &&
	       !row_of_letter(word[1], s->o->command);
}

/* Puts value, or NULL, to option r, which the user called shown. */
static int
set(struct scan *s, const struct row *r, const char *shown, char *value,
    struct err *e)
{
	if (r->value && !value && s->next < s->argc &&
	    may_be_value(s, r, s->argv[s->next]))
		value = s->argv[s->next++];
	if (r->value && !value) {
		err_set(e, ERR_USAGE, "option '%s' needs a value", shown);
		return err_hint(e, "--%s=%s", r->name, r->value);
	}
	if (!r->value && value)
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
		err_set(e, ERR_USAGE, "option '%s' stands before the command",
		    shown);
		return err_hint(e, "hub COMMAND %s", shown);
	}
	err_set(e, ERR_USAGE, "'hub %s' has no option '%s'", command_name(c),
	    shown);
	return suggest(word, c, e);
}

/* Help and version win over all that stands beside them. */
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
	const struct row *r;
	char *value = NULL, shown[WORD_MAX + 8];

	/* What follows the '=' may be a token: it is never shown. */
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
		const struct row *r = row_of_letter(*p, s->o->command);

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

/* "hub help" takes a topic, "hub completion" a shell, "hub version" nothing. */
static int
check_about(struct options *o, struct err *e)
{
	size_t most = o->command == COMMAND_VERSION ? 0 : 1;

	if (o->args.n > most)
		return err_set(e, ERR_USAGE, "'%s' is an argument too many",
		    o->args.s[most]);
	if (o->command != COMMAND_HELP || !o->args.n)
		return 0;
	o->about = command_of(str_of(o->args.s[0]));
	if (o->about == COMMAND_NONE)
		return unknown_command(str_of(o->args.s[0]), e);
	return 0;
}

/* What cannot be meant together. */
static int
check_pairs(const struct options *o, struct err *e)
{
	bool patterns = o->include.n || o->exclude.n;
	const struct {
		bool both;
		const char *text;
	} rows[] = {
	    {o->ipv4 && o->ipv6, "'-4' and '-6' exclude each other"},
	    {o->quiet && o->verbose, "'-q' and '-v' exclude each other"},
	    {o->quiet && o->progress != PROGRESS_AUTO &&
		    o->progress != PROGRESS_NONE,
		"'-q' shows no progress, but '--progress' asks for it"},
	    {o->api_token && o->token_file,
		"'-a' and '--token-file' both give a token"},
	    {o->output && o->local_path,
		"'-o' and '-p' both say where the file goes"},
	    {o->output && o->file, "'-f' is about '-p', not about '-o'"},
	    {o->output && o->json,
		"'-o' and '--json' both write to standard output"},
	    {o->output && o->resume,
		"'-d' continues a partial file, but '-o' leaves none"},
	    {o->output && o->dry_run,
		"'--dry-run' writes nothing, but '-o' does"},
	    {o->output && patterns,
		"'-o' takes one file by its name, not by a pattern"},
	    {o->file && patterns,
		"'-f' takes one file by its name, not by a pattern"},
	    {o->output && o->args.n > 1, "'-o' takes one file only"},
	    {o->file && o->args.n > 1, "'-f' takes one file only"},
	};

	for (size_t i = 0; i < countof(rows); i++)
		if (rows[i].both)
			return err_set(e, ERR_USAGE, "%s", rows[i].text);
	if (!patterns || !o->args.n)
		return 0;
	err_set(e, ERR_USAGE,
	    "'%s' is a file by its name, which patterns "
	    "('--include', '--exclude') exclude",
	    o->args.s[0]);
	return err_hint(e, "for more patterns repeat the option: "
			   "--include A --include B");
}

/* Without -r the first argument is the repository. */
static void
take_repo(struct options *o)
{
	if (o->repo_id || !o->args.n || !*o->args.s[0])
		return;
	o->repo_id = o->args.s[0];
	o->args.n--;
	memmove(o->args.s, o->args.s + 1, o->args.n * sizeof(*o->args.s));
}

/* The arguments of upload: what to send, and where to. */
static int
take_paths(struct options *o, struct err *e)
{
	size_t next = 0;

	if (!o->local_path && next < o->args.n)
		o->local_path = o->args.s[next++];
	if (!o->path_in_repo && next < o->args.n)
		o->path_in_repo = o->args.s[next++];
	if (next < o->args.n)
		return err_set(e, ERR_USAGE, "'%s' is an argument too many",
		    o->args.s[next]);
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

/* The arguments, without the repository, are paths inside of it. */
static int
check_files(const struct options *o, struct err *e)
{
	for (size_t i = 0; i < o->args.n; i++) {
		struct str s = str_of(o->args.s[i]);

		if (!s.n)
			return err_set(e, ERR_USAGE, "an argument is empty");
		if (s.s[0] == '/' || climbs(s))
			return err_set(e, ERR_USAGE,
			    "'%s' is no path of a file in a repository", s.s);
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
	case COMMAND_DOWNLOAD:
	case COMMAND_UPLOAD:
		break;
	}
	take_repo(o);
	if (o->command == COMMAND_UPLOAD && take_paths(o, e) < 0)
		return -1;
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
	free(o->args.s);
	*o = (struct options){0};
}

const struct command_row *
command_row(enum command c)
{
	for (size_t i = 0; i < countof(commands); i++)
		if (commands[i].command == c)
			return &commands[i];
	return NULL;
}

const struct command_row *
command_next(size_t at)
{
	return at < countof(commands) ? &commands[at] : NULL;
}

static const char *
words_of(const struct row *r)
{
	switch ((int)r->type) {
	case REPO_TYPE:
		return "model dataset space";
	case PROGRESS:
		return modes;
	case STDOUT:
		return "-";
	default:
		return NULL;
	}
}

bool
option_next(enum command c, size_t *at, struct option_row *out)
{
	const struct row *r;

	while (*at < countof(table) && !(table[*at].commands & ON(c)))
		++*at;
	if (*at == countof(table))
		return false;
	r = &table[(*at)++];
	*out = (struct option_row){
	    .letter = r->letter,
	    .name = r->name,
	    .alias = r->alias,
	    .value = r->value,
	    .words = words_of(r),
	    .help = r->help,
	    .is_local = r->type == LOCAL,
	    .repeats = r->type == LIST,
	};
	return true;
}
