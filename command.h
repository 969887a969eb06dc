#ifndef HUB_COMMAND_H
#define HUB_COMMAND_H

/*
 * The commands, and the options that each takes: the one table that the parser
 * (option.h), the help (help.h) and the completion (completion.h) read. Pure;
 * all that it gives is constant.
 */

#include <stddef.h>

enum command {
	COMMAND_NONE, /* bare "hub": usage to stderr, status 2 */
	COMMAND_HELP, /* "hub help [TOPIC]", -h anywhere; topic in about */
	COMMAND_VERSION,
	COMMAND_DOWNLOAD,
	COMMAND_UPLOAD,
	COMMAND_COMPLETION, /* "hub completion SHELL"; the shell is in args */
};

struct command_row {
	enum command command;
	const char *name, *help;
	const char *usage, *text; /* NULL: there is nothing more to say */
};

/* What the table says of a command; NULL: COMMAND_NONE is none. */
const struct command_row *command_row(enum command c);

/* Command number at, from 0 on, in the order of the help; NULL at the end. */
const struct command_row *command_next(size_t at);

/* What an option's value is, and so what it goes to in struct options. */
enum option_type {
	OPTION_FLAG, /* bool; there is no value */
	OPTION_TEXT, /* const char *, like all without a remark */
	OPTION_TEXT_OR_EMPTY,
	OPTION_LOCAL, /* a path on this machine */
	OPTION_REPO_TYPE,
	OPTION_TOKEN, /* char *, a copy */
	OPTION_LIST,  /* struct string_list */
	OPTION_JOBS,  /* unsigned, as the next two */
	OPTION_SECONDS,
	OPTION_RETRIES,
	OPTION_RATE,     /* uint64_t, bytes a second */
	OPTION_PROGRESS, /* enum progress_mode */
	OPTION_STDOUT,   /* "-" */
};

struct option_row {
	char letter;       /* 0: none */
	const char *name;  /* NULL: help is a heading */
	const char *alias; /* a second name; NULL: none */
	const char *value; /* its name in the help; NULL: a flag */
	unsigned commands; /* bit number enum command: takes it */
	enum option_type type;
	size_t at; /* where in struct options it goes */
	const char *help;
};

/* Steps through the options of c, and the headings between them, in the order
 * of the help, from *at = 0; NULL at the end. */
const struct option_row *command_option_next(enum command c, size_t *at);

/* All values there are, with a blank between; NULL: any. Those of
 * OPTION_PROGRESS are in the order of enum progress_mode. */
const char *command_option_words(const struct option_row *r);

#endif
