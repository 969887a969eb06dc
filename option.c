#include "option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "mem.h"
#include "rate.h"
#include "spelling.h"

#define SECONDS_MAX 86400
#define JOBS_MAX 64
#define RETRIES_MAX 1000000
#define SHOWN_MAX 40 /* an option in an error; a longer one is cut */

static const char *
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
	err_set(e, ERR_USAGE, "there is no command '%.*s'", STRF(word));
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

/* Not for 0, which is that of rows without a letter. */
static const struct option_row *
row_of_letter(char letter, enum command c)
{
	const struct option_row *r;

	for (size_t at = 0; (r = command_option_next(c, &at));)
		if (r->letter == letter)
			return r;
	return NULL;
}

/* Suggests what word, without its dashes, may have meant. */
static int
suggest(struct str word, enum command c, struct err *e)
{
	struct spelling s = spelling_make(word);
	const struct option_row *r;

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

/* All but a flag have a value. */
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
	case OPTION_STDOUT:
		*(const char **)at = value;
		if (!strcmp(value, "-"))
			return 0;
		err_set(
		    e, ERR_USAGE, "'%s' is not '-', standard output", value);
		return err_hint(e, "to write a file: -p PATH -f");
	}
	return 0;
}

/* What begins with '-' is an option, but for "-" alone and for a negative
 * number, of which it is better said what is wrong with it. */
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

/* Puts value, or NULL, to option r, which the user called shown. */
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
	const struct option_row *r;
	char *value = NULL, shown[SHOWN_MAX];

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
