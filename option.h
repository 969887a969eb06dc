#ifndef HUB_OPTION_H
#define HUB_OPTION_H

/*
 * Parses the command line into a struct, by the table below. Pure, except that
 * it overwrites a token in argv.
 *
 * Long options work with '_' or '-' between words, as "--opt value" or
 * "--opt=value", and may not be cut short; short ones as "-r X", "-rX", flags
 * bundle ("-fd"); "--" ends options; options stand before or after arguments.
 * Of a repeated option the last value counts, except for options that collect
 * values.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "progress.h"
#include "str.h"

struct err;

/* --- The table of commands and options. --- */

/*
 * The commands and their options: one constant table for the parser, the help
 * and the completion.
 */

enum command {
	COMMAND_NONE, /* bare "hub": usage to stderr, status 2 */
	COMMAND_HELP, /* "hub help [TOPIC]", -h anywhere; topic in about */
	COMMAND_VERSION,
	COMMAND_DOWNLOAD,
	COMMAND_UPLOAD,
	COMMAND_LS,
	COMMAND_VERIFY,
	COMMAND_SERVE,
	COMMAND_WHOAMI,
	COMMAND_COMPLETION, /* "hub completion SHELL"; the shell is in args */
};

struct command_row {
	enum command command;
	const char *name, *help;
	const char *usage, *text; /* NULL: its help is the overview */
	const char *examples;     /* NULL: none */
};

/* The type of an option's value, and of its field in struct options. */
enum option_type {
	OPTION_FLAG, /* bool; there is no value */
	OPTION_TEXT, /* const char *, as all without a comment */
	OPTION_TEXT_OR_EMPTY,
	OPTION_LOCAL,  /* a path on this machine */
	OPTION_LOCALS, /* struct string_list of them */
	OPTION_REPO_TYPE,
	OPTION_TOKEN, /* char *, a copy */
	OPTION_LIST,  /* struct string_list */
	OPTION_JOBS,  /* unsigned, as the next two */
	OPTION_SECONDS,
	OPTION_RETRIES,
	OPTION_RATE,     /* uint64_t, bytes a second */
	OPTION_PROGRESS, /* enum progress_mode */
	OPTION_STDOUT,   /* "-" */
	OPTION_FORMAT,   /* as json or quiet; its field is the struct */
};

struct option_row {
	char letter;       /* 0: none */
	const char *name;  /* NULL: help is a heading */
	const char *alias; /* a second name; NULL: none */
	const char *value; /* its name in the help; NULL: a flag */
	unsigned commands; /* bits 1 << enum command of those that take it */
	enum option_type type;
	size_t at; /* offset of its field in struct options */
	const char *help;
};

/* --- The parser. --- */

struct string_list {
	const char **s;
	size_t n;
};

/* The parsed options; strings belong to argv. NULL, 0, false: not given. */
struct options {
	enum command command;
	enum command about; /* for COMMAND_HELP; COMMAND_NONE: the overview */
	const char *repo_id, *local_path, *repo_type, *config_path;
	char *api_token; /* a copy; the bytes in argv are overwritten */
	const char *token_file, *revision, *output;
	bool file, resume, force, dry_run, json, quiet, verbose;
	bool cache;            /* download, also by the arguments; verify */
	bool offline;          /* download, ls */
	const char *cache_dir; /* implies cache */
	bool no_xet;           /* download */
	bool ipv4, ipv6;
	struct string_list include, exclude, args, from;
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
	/* serve */
	struct string_list folders;
	const char *listen, *cert, *key;
	bool log;
	/* ls */
	bool recursive, long_list, quants, refs;
	/* verify */
	bool repair, sha256sums;
	/* whoami */
	bool of_upload;
};

/* "download"; "" for COMMAND_NONE. */
const char *command_name(enum command c);

/* Errors are ERR_USAGE; an unknown option or command suggests the nearest. */
int options_parse(struct options *o, int argc, char **argv, struct err *e);
void options_release(struct options *o); /* wipes the token */

/* --- Suggestions for a misspelled word. --- */

/*
 * Compares names of commands and options ('_' equals '-') and finds the known
 * name closest to a misspelled one. Pure.
 */

struct spelling {
	struct str word;  /* borrowed */
	const char *best; /* of the names so far; NULL: none is like it */
	size_t distance;  /* number of letters by which best differs */
};

struct spelling spelling_make(struct str word);

/* Keeps name in best if it is nearer to the word than the names before, and
 * begins with it or has at most a third of its letters wrong: missing, too
 * many, different, or swapped with their neighbour. NULL changes nothing. */
void spelling_try(struct spelling *s, const char *name);

/* --- Help. --- */

/*
 * The help text, from the table of the command line. Pure.
 */

/* The help for a command (or the overview), as it is printed. */
void help_put(enum command about, struct buf *out);

/* --- Completion for shells. --- */

/*
 * Scripts that make a shell complete the words of hub, from the table of the
 * command line. Pure.
 */

/* The script for that shell. ERR_USAGE if there is none for it; the shell may
 * be NULL. */
int completion_put(const char *shell, struct buf *out, struct err *e);

#endif
