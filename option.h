#ifndef HUB_OPTION_H
#define HUB_OPTION_H

/*
 * The command line as a struct, by the table of command.h. Pure, but that it
 * overwrites a token in argv.
 *
 * Long options work with '_' or '-' between words, as "--opt value" or
 * "--opt=value", and may not be cut short; short ones as "-r X", "-rX", flags
 * bundle ("-fd"); "--" ends options; options stand before or after arguments.
 * The last one of a kind wins, but for those that collect.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "command.h"

struct err;

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
	bool file, resume, force, dry_run, json, quiet, verbose;
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

#endif
