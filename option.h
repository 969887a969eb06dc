#ifndef HUB_OPTION_H
#define HUB_OPTION_H

/*
 * The command line, from one table: parsing and suggestions. What describes it
 * (help.h, completion.h) reads the same table. Pure, but that it overwrites a
 * token in argv.
 *
 * Long options work with '_' or '-' between words, as "--opt value" or
 * "--opt=value", and may not be cut short; short ones as "-r X", "-rX", flags
 * bundle ("-fd"); "--" ends options; options stand before or after arguments.
 * The last one of a kind wins, but for those that collect.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

struct err;

enum command {
	COMMAND_NONE, /* bare "hub": usage to stderr, status 2 */
	COMMAND_HELP, /* "hub help [TOPIC]", -h anywhere; topic in about */
	COMMAND_VERSION,
	COMMAND_DOWNLOAD,
	COMMAND_UPLOAD,
	COMMAND_COMPLETION, /* "hub completion SHELL"; the shell is in args */
};

enum progress_mode {
	PROGRESS_AUTO,
	PROGRESS_BAR,
	PROGRESS_LINES,
	PROGRESS_JSON,
	PROGRESS_NONE,
};

struct string_list {
	const char **s;
	size_t n;
};

/* What was asked for; strings belong to argv. NULL, 0, false: not given. */
struct options {
	enum command command;
	enum command about; /* for COMMAND_HELP; COMMAND_NONE: the overview */
	const char *repo_id, *local_path, *repo_type, *config_path;
	char *api_token; /* a copy; the bytes in argv are overwritten */
	const char *token_file, *revision, *output;
	bool file, resume, force, dry_run, cache, json, quiet, verbose;
	bool ipv4, ipv6;
	struct string_list include, exclude, args;
	const char *endpoint, *ca_file, *proxy;
	unsigned jobs;                   /* 1..64; 0: not given */
	unsigned timeout, stall_timeout; /* seconds, 1..86400; 0: not given */
	unsigned retries;
	bool has_retries;
	uint64_t limit_rate; /* bytes a second */
	enum progress_mode progress;
	/* upload */
	bool is_private, create_pr;
	const char *path_in_repo, *commit_message, *commit_description;
	struct string_list delete;
};

/* Errors are ERR_USAGE; an unknown option or command suggests the nearest. */
int options_parse(struct options *o, int argc, char **argv, struct err *e);
void options_release(struct options *o); /* wipes the token */

/* "500K", "2M", "1.5G", plain bytes: SI units, an "iB" suffix means binary. */
int rate_parse(const char *text, uint64_t *out, struct err *e);

/* What the table says of a command; NULL: COMMAND_NONE is none. */
struct command_row {
	enum command command;
	const char *name, *help;
	const char *usage, *text; /* NULL: there is nothing more to say */
};

const struct command_row *command_row(enum command c);

/* Command number at, from 0 on, in the order of the help; NULL at the end. */
const struct command_row *command_next(size_t at);

/* What the table says of an option. */
struct option_row {
	char letter;       /* 0: none */
	const char *name;  /* NULL: help is a heading */
	const char *alias; /* a second name; NULL: none */
	const char *value; /* its name in the help; NULL: a flag */
	const char *words; /* all values there are, with blanks; NULL: any */
	const char *help;
	bool is_local; /* the value is a path on this machine */
	bool repeats;
};

/* Steps through the options of c in the order of the help, from *at = 0. */
bool option_next(enum command c, size_t *at, struct option_row *out);

#endif
