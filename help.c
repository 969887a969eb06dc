#include "help.h"

#include <stdio.h>

#include "str.h"

/* One option: "  -r, --repo_id REPO     the repository". */
static void
put_row(const struct option_row *r, struct buf *out)
{
	char left[64], letter[] = "-x, ";

	letter[1] = r->letter;
	snprintf(left, sizeof(left), "%s--%s%s%s", r->letter ? letter : "    ",
	    r->name, r->value ? " " : "", r->value ? r->value : "");
	buf_printf(out, "  %-26s %s\n", left, r->help);
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
	    "\nWords in long options are joined by '_' or '-'. "
	    "Also understood:\n";

	for (size_t at = 0; (r = command_option_next(c, &at));)
		if (r->alias) {
			buf_printf(out, "%s  --%-24s as --%s\n", before,
			    r->alias, r->name);
			before = "";
		}
}

static void
put_command(const struct command_row *c, struct buf *out)
{
	size_t at = 0;

	buf_printf(out, "Usage:\n%s\n%s", c->usage, c->text);
	if (command_option_next(c->command, &at))
		buf_puts(out, "\nOptions:\n");
	put_options(c->command, out);
	put_aliases(c->command, out);
	buf_puts(out, "\nAll of it: man hub\n");
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
