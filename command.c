#include "command.h"

#include <stddef.h>

#include "mem.h"
#include "option.h"

/* Which commands take an option. */
#define ON(c) (1u << (c))
#define DOWNLOAD ON(COMMAND_DOWNLOAD)
#define UPLOAD ON(COMMAND_UPLOAD)
#define VERSION ON(COMMAND_VERSION)
#define ALL (DOWNLOAD | UPLOAD)

#define AT(field) offsetof(struct options, field)

static const struct option_row options[] = {
    {'r', "repo_id", NULL, "REPO", ALL, OPTION_TEXT, AT(repo_id),
	"the repository, \"namespace/name\""},
    {'p', "local_path", "local-dir", "PATH", DOWNLOAD, OPTION_LOCAL,
	AT(local_path), "where to put it: a directory, or with -f a file"},
    {'p', "local_path", NULL, "PATH", UPLOAD, OPTION_LOCAL, AT(local_path),
	"what to send: a file, or a directory's content"},
    {'t', "repo_type", NULL, "TYPE", ALL, OPTION_REPO_TYPE, AT(repo_type),
	"model (default), dataset, space or kernel"},
    {'c', "config_path", NULL, "FILE", ALL, OPTION_LOCAL, AT(config_path),
	"a JSON configuration, which names the .env file"},
    {'a', "api_token", "token", "TOKEN", ALL, OPTION_TOKEN, AT(api_token),
	"the token; safer: HF_TOKEN, .env, --token-file"},
    {'f', "file", NULL, NULL, DOWNLOAD, OPTION_FLAG, AT(file),
	"the local path is a file"},
    {'d', "resume", NULL, NULL, DOWNLOAD, OPTION_FLAG, AT(resume),
	"continue what an earlier run left unfinished"},

    {.help = "What", .commands = ALL},
    {0, "revision", NULL, "REV", ALL, OPTION_TEXT, AT(revision),
	"branch, tag or commit (default: main)"},
    {0, "path-in-repo", NULL, "PATH", UPLOAD, OPTION_TEXT, AT(path_in_repo),
	"where to put it in the repository"},
    {0, "include", NULL, "GLOB", ALL, OPTION_LIST, AT(include),
	"only files that match; may be repeated"},
    {0, "exclude", NULL, "GLOB", ALL, OPTION_LIST, AT(exclude),
	"no files that match; may be repeated"},
    {0, "force", "force-download", NULL, DOWNLOAD, OPTION_FLAG, AT(force),
	"transfer what is in place already, too"},
    {0, "dry-run", NULL, NULL, ALL, OPTION_FLAG, AT(dry_run),
	"say what would be transferred, and how much"},
    {'o', "output", NULL, "-", DOWNLOAD, OPTION_STDOUT, AT(output),
	"one file, to standard output"},

    {0, "delete", NULL, "GLOB", UPLOAD, OPTION_LIST, AT(delete),
	"delete files there that match; may be repeated"},
    {0, "private", NULL, NULL, UPLOAD, OPTION_FLAG, AT(is_private),
	"a repository that is created is private"},
    {'m', "commit-message", NULL, "TEXT", UPLOAD, OPTION_TEXT,
	AT(commit_message), "the title of the commit"},
    {0, "commit-description", NULL, "TEXT", UPLOAD, OPTION_TEXT,
	AT(commit_description), "the text below it"},
    {0, "create-pr", NULL, NULL, UPLOAD, OPTION_FLAG, AT(create_pr),
	"open a pull request instead of changing the branch"},

    {.help = "How", .commands = ALL},
    {'j', "jobs", "max-workers", "N", ALL, OPTION_JOBS, AT(jobs),
	"connections in total, 1 to 64 (default: 8)"},
    {0, "limit-rate", NULL, "RATE", ALL, OPTION_RATE, AT(limit_rate),
	"bytes a second over all connections: 500K, 2M"},
    {0, "retries", NULL, "N", ALL, OPTION_RETRIES, AT(retries),
	"further tries when nothing arrives"},
    {0, "timeout", NULL, "SECS", ALL, OPTION_SECONDS, AT(timeout),
	"to connect, and to the first byte"},
    {0, "stall-timeout", NULL, "SECS", ALL, OPTION_SECONDS, AT(stall_timeout),
	"to give up a connection that stands still"},
    {'4', "ipv4", NULL, NULL, ALL, OPTION_FLAG, AT(ipv4), "only IPv4"},
    {'6', "ipv6", NULL, NULL, ALL, OPTION_FLAG, AT(ipv6), "only IPv6"},
    {0, "endpoint", NULL, "URL", ALL, OPTION_TEXT, AT(endpoint),
	"the Hub, or a mirror of it"},
    {0, "proxy", NULL, "URL", ALL, OPTION_TEXT_OR_EMPTY, AT(proxy),
	"through this proxy; \"\" for none"},
    {0, "ca-file", NULL, "FILE", ALL, OPTION_LOCAL, AT(ca_file),
	"trust these certificates as well"},
    {0, "token-file", NULL, "FILE", ALL, OPTION_LOCAL, AT(token_file),
	"read the token from FILE; - is standard input"},

    {.help = "Output", .commands = ALL},
    {'q', "quiet", NULL, NULL, ALL, OPTION_FLAG, AT(quiet), "only errors"},
    {'v', "verbose", NULL, NULL, ALL, OPTION_FLAG, AT(verbose),
	"each request and its status"},
    {0, "progress", NULL, "MODE", ALL, OPTION_PROGRESS, AT(progress),
	"auto (default), bar, lines, json or none"},
    {0, "json", NULL, NULL, ALL | VERSION, OPTION_FLAG, AT(json),
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

const struct option_row *
command_option_next(enum command c, size_t *at)
{
	while (*at < countof(options) && !(options[*at].commands & ON(c)))
		++*at;
	return *at < countof(options) ? &options[(*at)++] : NULL;
}

const char *
command_option_words(const struct option_row *r)
{
	switch ((int)r->type) {
	case OPTION_REPO_TYPE:
		return "model dataset space kernel";
	case OPTION_PROGRESS:
		return "auto bar lines json none";
	case OPTION_STDOUT:
		return "-";
	default:
		return NULL;
	}
}
