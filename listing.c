#include "listing.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config.h"
#include "err.h"
#include "file.h"
#include "gguf.h"
#include "option.h"
#include "plan.h"
#include "progress.h"
#include "repo.h"
#include "session.h"
#include "str.h"

/* --- Which files are wanted. --- */

/* Up to this many named files are requested one by one; for more, the listing
 * is read. */
#define ASK_EACH_MAX 16

static bool
is_folder_name(const char *name)
{
	return str_ends(str_of(name), "/");
}

/* Adds a name, unless it is there already. */
static void
add(struct choice *c, const char *name)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->name[i], name) == 0)
			return;
	c->name[c->n++] = name;
}

/* Refuses a name that could never be written, before the Hub is asked for
 * it. */
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

/* A quantization names files already. */
static int
check_quant(const struct options *o, const struct repoid *id, struct err *e)
{
	const char *also = id->path    ? "the path of a file in the address"
			   : o->args.n ? "the name of a file"
			   : o->file   ? "-f"
			   : o->output ? "-o"
				       : NULL;

	if (!id->quant || !also)
		return 0;
	return err_set(e, ERR_USAGE,
	    "a quantization (':%s') and %s cannot be used together", id->quant,
	    also);
}

/* Checks that -f and -o come with one file. */
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

/* Makes the choice from the options. path is the one that the repository's
 * address names, or NULL; target is the name of the local file, for -f. Borrows
 * all strings. ERR_USAGE; c must be released also after a failure. */
static int
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

static void
choice_release(struct choice *c)
{
	free(c->name);
	free(c->found);
	*c = (struct choice){.name = NULL};
}

/* True if only a few files are named, so that each can be requested without a
 * listing. */
static bool
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

/* True if a file of the repository is wanted. Records that a name was found. */
static bool
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

/* Checks the choice after all files were seen. ERR_ABSENT if the repository
 * lacks a name, or the patterns leave no file (some is false). */
static int
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

int
listing_choose(struct listing *l, const char *target, struct err *e)
{
	const struct repoid *id = &l->s->id;

	if (check_quant(l->o, id, e) < 0)
		return -1;
	return choice_init(&l->choice, l->o, id->path, target, e);
}

void
listing_release(struct listing *l)
{
	choice_release(&l->choice);
}

/* --- Their commit. --- */

int
listing_commit(struct listing *l, struct err *e)
{
	const char *revision = l->s->revision;
	int rv = 1;

	if (!l->s->config->offline || commit_valid(revision))
		rv = repo_commit(&l->s->repo, revision, l->commit, e);
	else if (l->folder->fd >= 0)
		rv = cache_ref(l->cache, revision, l->commit, e);
	if (rv == 0)
		memcpy(l->cache->commit, l->commit, sizeof(l->commit));
	if (rv <= 0)
		return rv;
	err_set(e, ERR_ABSENT,
	    "hub is offline, and '%s' does not say which commit '%.64s' is",
	    l->into, revision);
	return err_hint(e, "%s, or give the commit with --revision",
	    l->s->config->go_online);
}

/* --- Their listing. --- */

static int
take_entry(void *ctx, const struct repo_file *f, struct err *e)
{
	struct listing *l = ctx;

	(void)e;
	if (choice_takes(&l->choice, f->path))
		plan_add(l->plan, f);
	return 0;
}

/* All of the listing is kept, also what is not wanted now. */
static int
keep_entry(void *ctx, const struct repo_file *f, struct err *e)
{
	struct listing *l = ctx;

	tree_add(&l->tree, f);
	return take_entry(l, f, e);
}

static int
ask_each(struct listing *l, struct err *e)
{
	int rv = 0;

	for (size_t i = 0; rv == 0 && i < l->choice.n; i++) {
		const char *name = l->choice.name[i];
		struct repo_ids ids;
		struct repo_file f;

		if (repo_file(&l->s->repo, l->commit, name, &f, &ids, e) < 0)
			return -1;
		rv = take_entry(l, &f, e);
		free(f.path);
	}
	return rv;
}

/* The most files that are compared with a misspelled name. */
#define GUESS_MAX 20000

/* A file that the user may have meant by a name that does not exist. */
struct guess {
	const char *name;
	struct spelling spelling;
	char *best;     /* NULL: none so far */
	bool same_name; /* best differs only in its folder, or in case */
	size_t looked_at;
};

static int
guess_entry(void *ctx, const struct repo_file *f, struct err *e)
{
	struct guess *g = ctx;
	bool same = strcasecmp(path_last(f->path), path_last(g->name)) == 0;

	g->spelling.best = NULL;
	spelling_try(&g->spelling, f->path);
	if (!g->same_name && (same || g->spelling.best)) {
		free(g->best);
		g->best = xstrdup(f->path);
		g->same_name = same;
	}
	if (++g->looked_at < GUESS_MAX)
		return 0;
	return err_set(e, ERR_OTHER, "too many files");
}

/* Adds a suggestion to the error about a name that does not exist. */
static int
suggest(const struct listing *l, struct err *e)
{
	struct guess g = {.name = NULL};
	struct err ignored;
	const char *option = l->o->file ? "-f " : l->o->output ? "-o - " : "";

	for (size_t i = 0; !g.name && i < l->choice.n; i++)
		if (!l->choice.found[i])
			g.name = l->choice.name[i];
	if (!g.name)
		return -1;
	if (strpbrk(g.name, "*?["))
		return err_hint(e, "--include '%s'", g.name);
	if (l->s->config->offline)
		return -1;
	g.spelling = spelling_make(str_of(g.name));
	(void)repo_tree(&l->s->repo, l->commit, guess_entry, &g, &ignored);
	if (g.best)
		err_hint(e, "%s%s", option, g.best);
	free(g.best);
	return -1;
}

/* Takes back what a listing gave. */
static void
unlist(struct listing *l)
{
	plan_release(l->plan);
	for (size_t i = 0; i < l->choice.n; i++)
		l->choice.found[i] = false;
}

static int
check_choice(struct listing *l, struct err *e)
{
	if (choice_check(&l->choice, l->plan->n > 0, l->s->id.id, e) < 0)
		return -1;
	if (!l->s->id.quant)
		return 0;
	return gguf_choose(l->plan, l->s->id.quant, l->s->id.id, e);
}

/* Whose listings count in a folder: those of its own user. In a cache those of
 * all do: NULL. */
static int
find_owner(const struct listing *l, struct folder_traits *t,
    struct maker **owner, struct err *e)
{
	*owner = NULL;
	if (l->in_cache)
		return 0;
	if (folder_traits(l->folder, t, e) < 0)
		return -1;
	/* A dry run writes nothing, not even to find that out. */
	t->maker.unsure = t->maker.unsure && !l->o->dry_run;
	*owner = &t->maker;
	return 0;
}

/* The whole listing from the Hub, which is kept where the files go. */
static int
read_listing(struct listing *l, struct err *e)
{
	bool keep = (l->layout || l->in_cache) && !l->o->dry_run;
	struct folder_traits traits;
	struct maker *owner;
	int rv;

	if (!keep)
		return repo_tree(&l->s->repo, l->commit, take_entry, l, e);
	if (find_owner(l, &traits, &owner, e) < 0)
		return -1;
	tree_begin(&l->tree, l->cache, owner);
	rv = repo_tree(&l->s->repo, l->commit, keep_entry, l, e);
	tree_end(&l->tree, rv == 0);
	return rv;
}

/* The official client remembers which files a whole listing does not have. */
static void
note_absent(const struct listing *l)
{
	if (!l->in_cache || l->o->dry_run || l->folder->fd < 0)
		return;
	for (size_t i = 0; i < l->choice.n; i++)
		if (!l->choice.found[i] && !is_folder_name(l->choice.name[i]))
			cache_set_absent(l->cache, l->choice.name[i]);
}

static int
list_files(struct listing *l, struct err *e)
{
	bool read_all = l->in_cache || !choice_is_few_files(&l->choice);
	int rv;

	if (!read_all && ask_each(l, e) < 0) {
		/* It may be a folder's name. */
		if (e->kind != ERR_ABSENT || l->choice.single)
			return -1;
		unlist(l);
		read_all = true;
	}
	if (read_all && read_listing(l, e) < 0)
		return -1;
	rv = check_choice(l, e);
	if (rv < 0 && e->kind == ERR_ABSENT)
		note_absent(l);
	return rv;
}

/* True if the cache has all files: then the Hub need not be asked. */
static bool
is_complete(struct listing *l)
{
	plan_check(l->plan, false);
	for (size_t i = 0; i < l->plan->n; i++) {
		struct plan_file *f = &l->plan->file[i];
		enum cache_found found = CACHE_MISSING;
		struct err ignored;

		if (f->state == PLAN_FETCH)
			found = cache_look(l->cache, f->file.path,
			    &f->file.digest, f->file.size, &f->there, &ignored);
		if (found != CACHE_HIT && found != CACHE_PLAIN)
			return false;
		f->state = PLAN_KEPT;
		f->plain = found == CACHE_PLAIN;
	}
	return true;
}

/* The files of a snapshot whose listing is not there: those that are named.
 * There may be no cache, either. */
static int
list_snapshot(struct listing *l, struct err *e)
{
	bool named = l->in_cache && choice_is_few_files(&l->choice);
	bool there = l->folder->fd >= 0;

	for (size_t i = 0; named && i < l->choice.n; i++) {
		const char *name = l->choice.name[i];
		struct repo_file f;

		if (!there || cache_find(l->cache, name, &f) != 0) {
			err_set(e, ERR_ABSENT,
			    there && cache_is_absent(l->cache, name)
				? "there is no file '%s' in '%s'"
				: "'%s' of '%s' is not in the cache, and hub "
				  "is offline",
			    name, l->s->id.id);
			return err_hint(e, "%s", l->s->config->go_online);
		}
		f.path = xstrdup(name);
		l->choice.found[i] = true;
		plan_add(l->plan, &f);
		free(f.path);
	}
	if (named)
		return 0;
	err_set(e, ERR_ABSENT,
	    "the list of its files at commit %s is not in '%s', and hub is "
	    "offline",
	    l->commit, l->into);
	return err_hint(e, "%s%s", l->s->config->go_online,
	    l->in_cache ? ", or name the files" : "");
}

/* By the listing that an earlier run left. 1: the Hub is to be asked. In a
 * cache others may have written it: it only counts where nothing is to be
 * fetched. */
static int
list_kept(struct listing *l, struct err *e)
{
	struct folder_traits traits;
	struct maker *owner;
	int rv;

	if (l->o->force || !(l->in_cache || l->s->config->offline))
		return 1;
	if (l->folder->fd < 0)
		return l->s->config->offline ? list_snapshot(l, e) : 1;
	if (find_owner(l, &traits, &owner, e) < 0)
		return -1;
	rv = cache_tree(l->cache, owner, take_entry, l, e);
	if (rv < 0 && e->kind == ERR_STOPPED)
		return -1;
	if (rv < 0)
		progress_note(l->s->progress,
		    "ignoring the list of files that '%s' has: %s", l->into,
		    e->msg);
	if (rv == 0 && l->s->config->offline)
		return check_choice(l, e);
	if (rv == 0 && check_choice(l, e) == 0 && is_complete(l))
		return 0;
	unlist(l);
	return l->s->config->offline ? list_snapshot(l, e) : 1;
}

int
listing_read(struct listing *l, struct err *e)
{
	int rv = list_kept(l, e);

	if (rv > 0)
		rv = list_files(l, e);
	if (rv < 0 && e->kind == ERR_ABSENT && !*e->hint)
		return suggest(l, e);
	return rv;
}
