#include "completion.h"

#include <string.h>

#include "command.h"
#include "err.h"
#include "mem.h"
#include "str.h"

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

/* Whether what stands behind a command are paths on this machine. */
static bool
takes_paths(const struct command_row *c)
{
	return c->command == COMMAND_UPLOAD;
}

/* What can stand behind a command, if that is known. */
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

/* For single quotes, out of which all three shells come in the same way. */
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
		buf_puts(out, r->type == OPTION_LOCAL ? ") files=1" : ")");
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
		      /* "--name=value" are three words there. */
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

/* "'(-r --repo_id)'{-r+,--repo_id=}": how an option is written. */
static void
put_zsh_names(const struct option_row *r, struct buf *out)
{
	const char *plus = r->value ? "+" : "", *is = r->value ? "=" : "";

	if (!r->letter)
		buf_printf(out, "'%s--%s%s", r->type == OPTION_LIST ? "*" : "",
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
		buf_printf(out, ":%s:%s", r->value,
		    r->type == OPTION_LOCAL ? "_files" : " ");
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
	    /* Loaded by name this is the function's body; else it was read by
	     * eval or source. */
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
		buf_puts(out, r->type == OPTION_LOCAL ? " -rF" : " -x");
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
		err_set(e, ERR_USAGE, "there is no completion for '%s'", shell);
	else
		err_set(e, ERR_USAGE, "no shell is given");
	return err_hint(e, "hub completion bash, zsh or fish");
}
