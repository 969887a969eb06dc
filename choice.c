#include "choice.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "mem.h"
#include "option.h"
#include "path.h"
#include "str.h"

/* Named files up to this many are asked for one by one, else the listing is
 * read. */
#define ASK_EACH_MAX 16

static bool
is_folder_name(const char *name)
{
	return str_ends(str_of(name), "/");
}

/* A name that is given twice is one. */
static void
add(struct choice *c, const char *name)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->name[i], name) == 0)
			return;
	c->name[c->n++] = name;
}

/* What could never be written here need not be asked for. */
static int
check_name(const char *name, struct err *e)
{
	struct str s = str_of(name);

	if (is_folder_name(name))
		s.n--;
	if (path_check(s, e) == 0)
		return 0;
	e->kind = ERR_USAGE;
	return err_in(e, "'%s'", name);
}

/* -f and -o are about one file. */
static int
check_single(const struct choice *c, const struct options *o, struct err *e)
{
	if (c->n > 1)
		return err_set(e, ERR_USAGE,
		    "%s takes one file of the repository, not %zu",
		    o->file ? "-f" : "-o", c->n);
	if (!c->n)
		return err_set(e, ERR_USAGE,
		    "-o needs the name of one file of the repository");
	return 0;
}

int
choice_init(struct choice *c, const struct options *o, const char *path,
    const char *target, struct err *e)
{
	size_t max = o->args.n + 1;

	*c = (struct choice){
	    .name = xcalloc(max, sizeof(c->name[0])),
	    .found = xcalloc(max, sizeof(c->found[0])),
	    .single = o->file || o->output,
	    .include = {o->include.s, o->include.n},
	    .exclude = {o->exclude.s, o->exclude.n},
	};
	if (path)
		add(c, path);
	for (size_t i = 0; i < o->args.n; i++) {
		const char *name = o->args.s[i];

		add(c, strncmp(name, "./", 2) == 0 ? name + 2 : name);
	}
	if (o->file && !c->n)
		add(c, target);
	if (c->single && check_single(c, o, e) < 0)
		return -1;
	for (size_t i = 0; i < c->n; i++)
		if (check_name(c->name[i], e) < 0)
			return -1;
	if (c->single && is_folder_name(c->name[0]))
		return err_set(e, ERR_USAGE, "'%s' is a folder", c->name[0]);
	return 0;
}

void
choice_release(struct choice *c)
{
	free(c->name);
	free(c->found);
	*c = (struct choice){.name = NULL};
}

bool
choice_is_few_files(const struct choice *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (is_folder_name(c->name[i]))
			return false;
	return c->n && c->n <= ASK_EACH_MAX;
}

static bool
covers(const struct choice *c, const char *name, const char *path)
{
	size_t n = strlen(name);

	if (strncmp(path, name, n) != 0)
		return false;
	if (!path[n] || is_folder_name(name))
		return true;
	return path[n] == '/' && !c->single;
}

bool
choice_takes(struct choice *c, const char *path)
{
	bool named = c->n == 0;

	for (size_t i = 0; i < c->n; i++) {
		if (!covers(c, c->name[i], path))
			continue;
		c->found[i] = true;
		named = true;
	}
	return named && glob_kept(&c->include, &c->exclude, path);
}

int
choice_check(const struct choice *c, bool some, const char *id, struct err *e)
{
	for (size_t i = 0; i < c->n; i++)
		if (!c->found[i])
			return err_set(e, ERR_ABSENT,
			    "there is no %s '%s' in '%s'",
			    is_folder_name(c->name[i]) ? "folder" : "file",
			    c->name[i], id);
	if (some || !c->include.n)
		return 0;
	return err_set(e, ERR_ABSENT, "no file of '%s' matches --include", id);
}
