/*
 * upload: finds or makes the repository, asks what the Hub wants (offer.h),
 * sends and commits it (delivery.h).
 */

#include "upload.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confine.h"
#include "delivery.h"
#include "err.h"
#include "glob.h"
#include "journal.h"
#include "json.h"
#include "mem.h"
#include "offer.h"
#include "output.h"
#include "progress.h"
#include "repo_write.h"
#include "report.h"
#include "session.h"
#include "wait.h"

#define SUMMARY_MAX 4096

struct upload {
	const struct options *o;
	const struct config *c;
	struct session s;
	struct offer offer;
	struct delivery d;
	struct journal *journal;
	char **gone; /* paths to be deleted */
	size_t gone_n;
	char *prefix; /* of what they are compared with */
	uint64_t started;
};

/* --- The plan. --- */

/* The branch, made where it is missing; fresh: there is none, and a dry run
 * makes none. */
static int
meet_branch(struct upload *u, bool *fresh, struct err *e)
{
	const struct repo *r = &u->s.repo;

	if (repo_commit(r, u->s.revision, u->d.head, e) == 0)
		return 0;
	if (e->kind != ERR_ABSENT || u->o->create_pr)
		return -1;
	*fresh = u->o->dry_run;
	if (*fresh)
		return 0;
	if (repo_create_branch(r, u->s.revision, e) < 0)
		return -1;
	progress_note(u->s.progress, "created the branch '%s'", u->s.revision);
	return repo_commit(r, u->s.revision, u->d.head, e);
}

static int
meet(struct upload *u, bool *fresh, struct err *e)
{
	const struct repo *r = &u->s.repo;
	bool there;

	*fresh = false;
	if (repo_exists(r, &there, e) < 0)
		return -1;
	*fresh = !there && u->o->dry_run;
	if (*fresh)
		return 0;
	if (!there) {
		if (repo_create(r, u->o->is_private, e) < 0)
			return -1;
		progress_note(u->s.progress, "created the %s '%s'%s",
		    repo_type_name(r->type), r->id,
		    u->o->is_private ? " (private)" : "");
	}
	return meet_branch(u, fresh, e);
}

static int
take_gone(void *ctx, const struct repo_file *f, struct err *e)
{
	struct upload *u = ctx;
	const struct glob_list all = {NULL, 0};
	const struct glob_list delete = {u->o->delete.s, u->o->delete.n};
	size_t n = strlen(u->prefix);

	(void)e;
	if (strncmp(f->path, u->prefix, n) != 0 ||
	    strcmp(f->path, ".gitattributes") == 0 ||
	    offer_find(&u->offer, f->path) ||
	    glob_kept(&all, &delete, f->path + n))
		return 0;
	u->gone = xreallocarray(u->gone, u->gone_n + 1, sizeof(u->gone[0]));
	u->gone[u->gone_n++] = xstrdup(f->path);
	return 0;
}

static int
plan(struct upload *u, struct err *e)
{
	const struct repo *r = &u->s.repo;
	bool fresh;

	if (meet(u, &fresh, e) < 0)
		return -1;
	if (fresh)
		return 0;
	if (offer_ask(&u->offer, r, u->s.revision, u->o->create_pr, u->d.head,
		u->s.progress, e) < 0 ||
	    offer_hash(&u->offer, u->o->dry_run, u->journal, u->s.progress, e) <
		0)
		return -1;
	if (!u->o->delete.n)
		return 0;
	return repo_tree(
	    r, *u->d.head ? u->d.head : u->s.revision, take_gone, u, e);
}

/* --- The report. --- */

static const char *
outcome(const struct offer_file *f)
{
	static const char *const text[] = {
	    "to send", "unchanged", "ignored", "committed", "failed"};

	return text[f->fate];
}

static void
put_items(const struct upload *u, struct output *to)
{
	struct buf *out = &to->text;

	for (size_t i = 0; i < u->offer.n; i++) {
		const struct offer_file *f = &u->offer.file[i];

		buf_puts(out, i ? "," : "");
		report_file(out, f->path, f->local->size);
		buf_printf(out, ",\"lfs\":%s", f->lfs ? "true" : "false");
		report_file_end(out, outcome(f), f->why);
		output_more(to);
	}
}

static void
put_known(struct buf *out, const char *name, const char *value)
{
	buf_puts(out, name);
	if (value && *value)
		json_put_string(out, str_of(value));
	else
		buf_puts(out, "null");
}

static void
put_json(const struct upload *u, struct output *to)
{
	struct buf *out = &to->text;

	report_begin(out, "upload", &u->s.id, u->s.revision);
	put_known(out, ",\"commit\":", u->d.head);
	buf_printf(out, ",\"commits\":%u", u->d.commits);
	put_known(out, ",\"url\":", u->d.url);
	buf_printf(out,
	    ",\"dry_run\":%s,\"milliseconds\":%" PRIu64 ",\"files\":[",
	    u->o->dry_run ? "true" : "false", wait_now() - u->started);
	put_items(u, to);
	buf_puts(out, "],\"deleted\":[");
	for (size_t i = 0; i < u->gone_n; i++) {
		buf_puts(out, i ? "," : "");
		json_put_string(out, str_of(u->gone[i]));
		output_more(to);
	}
	buf_puts(out, "]}\n");
}

static void
put_dry_run(const struct upload *u, struct output *to)
{
	struct buf *out = &to->text;
	char size[16];
	uint64_t bytes = 0;
	size_t n = 0;

	for (size_t i = 0; i < u->offer.n; i++) {
		const struct offer_file *f = &u->offer.file[i];

		size_show(f->local->size, size);
		report_line(out, outcome(f), size, f->path, "");
		output_more(to);
		n += f->fate == OFFER_SEND;
		bytes += f->fate == OFFER_SEND ? f->local->size : 0;
	}
	for (size_t i = 0; i < u->gone_n; i++) {
		report_line(out, "delete", "", u->gone[i], "");
		output_more(to);
	}
	size_show(bytes, size);
	buf_printf(out, "%zu of %zu files, %s to send; %zu to delete\n", n,
	    u->offer.n, size, u->gone_n);
}

static int
sum_up(const struct upload *u, struct err *e)
{
	const struct offer_file *first = NULL;
	size_t failed = 0;

	for (size_t i = 0; i < u->offer.n; i++)
		if (u->offer.file[i].fate == OFFER_FAILED) {
			first = first ? first : &u->offer.file[i];
			failed++;
		}
	if (!first)
		return 0;
	err_set(e,
	    failed == u->offer.n ? (enum err_kind)first->kind : ERR_PARTIAL,
	    "%zu of %zu files were not uploaded to '%s'; the first, '%.256s': %s",
	    failed, u->offer.n, u->s.id.id, first->path, first->why);
	return err_hint(e, "run again: what is done is kept");
}

/* --- The command. --- */

static int
open_offer(struct upload *u, struct err *e)
{
	const struct glob_list include = {u->o->include.s, u->o->include.n};
	const struct glob_list exclude = {u->o->exclude.s, u->o->exclude.n};
	const char *to = u->o->path_in_repo ? u->o->path_in_repo : "";

	if (offer_open(&u->offer, u->o->local_path, to, &include, &exclude, e) <
	    0)
		return -1;
	if (!u->offer.n && !u->o->delete.n)
		return err_set(e, ERR_USAGE,
		    "there is nothing to upload in "
		    "'%s'",
		    u->o->local_path);
	if (u->offer.scan.skipped)
		progress_note(u->s.progress,
		    "%zu entries are neither files nor folders and are passed "
		    "over",
		    u->offer.scan.skipped);
	u->prefix = offer_prefix(u->offer.single ? "" : to);
	return 0;
}

static void
open_journal(struct upload *u)
{
	struct buf state = buf_make(4096);
	const char *why;

	if (u->c->state_home)
		buf_printf(&state, "%s/hub", u->c->state_home);
	const struct journal_opts how = {
	    .source = &u->offer.folder,
	    .state = state.len ? buf_cstr(&state) : NULL,
	    .endpoint = u->c->endpoint,
	    .type = repo_type_name(u->s.id.type),
	    .id = u->s.id.id,
	};

	u->journal = journal_open(&how);
	why = journal_why(u->journal);
	if (why && u->c->verbose)
		progress_note(u->s.progress,
		    "nothing is remembered for a later run: %s", why);
	buf_release(&state);
}

/* From the first byte of an answer on, nothing can be read but the source, and
 * nothing be written but the journal, which is open. */
static void
confine(const struct upload *u)
{
	const struct scan *s = &u->offer.scan;
	struct confine c = confine_make();

	confine_read(&c, AT_FDCWD, u->o->local_path);
	for (size_t i = 0; i < s->n; i++)
		if (s->file[i].link)
			confine_read(&c, u->offer.folder.fd, s->file[i].path);
	session_confine(&u->s, &c);
}

/* "Upload model.gguf with hub", or what the user said. */
static void
put_summary(const struct upload *u, struct buf *b)
{
	if (u->o->commit_message && *u->o->commit_message)
		buf_puts(b, u->o->commit_message);
	else if (u->offer.single)
		buf_printf(b, "Upload %s with hub", u->offer.file[0].path);
	else
		buf_puts(b, "Upload folder with hub");
}

static int
send_all(struct upload *u, struct err *e)
{
	struct delivery *d = &u->d;
	struct buf summary = buf_make(SUMMARY_MAX);
	int rv;

	put_summary(u, &summary);
	d->repo = &u->s.repo;
	d->branch = u->s.revision;
	d->offer = &u->offer;
	d->gone = u->gone;
	d->gone_n = u->gone_n;
	d->summary = buf_cstr(&summary);
	d->description =
	    u->o->commit_description ? u->o->commit_description : "";
	d->new_pr = u->o->create_pr;
	d->jobs = session_jobs(&u->s, JOBS_DISK);
	d->retries = u->c->retries;
	d->journal = u->journal;
	d->progress = u->s.progress;
	rv = summary.full
		 ? err_set(e, ERR_USAGE, "the commit message is too long")
		 : deliver(d, e);
	buf_release(&summary);
	return rv;
}

/* What ended the whole run, as the user sees it. */
static void
explain(const struct upload *u, struct err *e)
{
	if (e->kind == ERR_STOPPED)
		err_set(e, ERR_STOPPED, "interrupted; what arrived is kept");
	else
		err_in(e, "cannot upload to '%s'", u->s.id.id);
	/* The same command would open another one. */
	if (u->d.pr)
		err_hint(e,
		    "run again with --revision refs/pr/%" PRIu64
		    " instead of --create-pr to continue",
		    u->d.pr);
	else if (e->kind == ERR_STOPPED)
		err_hint(e, "run the same command again to continue");
}

static int
run(struct upload *u, struct output *out, struct err *e)
{
	int rv;

	if (open_offer(u, e) < 0) {
		if (e->kind == ERR_STOPPED)
			err_set(e, ERR_STOPPED, "interrupted");
		return -1;
	}
	open_journal(u);
	confine(u);
	rv = plan(u, e);
	if (rv == 0 && !u->o->dry_run)
		rv = send_all(u, e);
	if (rv < 0)
		explain(u, e);
	/* Where nothing had to be done. */
	if (!u->d.url && *u->d.head)
		u->d.url = repo_commit_url(&u->s.repo, u->d.head);
	if (rv == 0)
		rv = sum_up(u, e);
	if (u->o->json)
		put_json(u, out);
	else if (rv == 0 && u->o->dry_run)
		put_dry_run(u, out);
	else if (u->d.commits || rv == 0)
		buf_printf(&out->text, "%s\n", u->d.url);
	return rv;
}

/* After the notes, which may say why there is none. */
static int
check_token(const struct config *c, struct err *e)
{
	if (c->token)
		return 0;
	err_set(e, ERR_AUTH,
	    "uploading needs a token, and there is none: looked at %s",
	    token_places(TOKEN_WRITE));
	return err_hint(e, "set HF_TOKEN to a token with the right to write");
}

static int
check_options(const struct options *o, struct err *e)
{
	if (o->create_pr && o->revision && strcmp(o->revision, "main") != 0)
		return err_set(e, ERR_USAGE,
		    "--create-pr is against the main "
		    "branch, and --revision names another one");
	if (o->create_pr && o->commit_message && *o->commit_message &&
	    strlen(o->commit_message) < 3)
		return err_set(e, ERR_USAGE,
		    "-m: the title of a pull request has three characters at "
		    "least");
	if (o->revision && str_is_hex(str_of(o->revision), 40))
		return err_set(e, ERR_USAGE,
		    "--revision: an upload goes to a branch, not to a commit");
	return 0;
}

int
upload(const struct options *o, const struct config *c, struct output *out,
    struct err *e)
{
	struct upload u = {
	    .o = o,
	    .c = c,
	    .offer.folder.fd = -1,
	    .started = wait_now(),
	};
	int rv;

	if (check_options(o, e) < 0 ||
	    session_open(&u.s, o, c, "uploading", e) < 0)
		return -1;
	rv = check_token(c, e);
	if (rv == 0)
		rv = run(&u, out, e);
	for (size_t i = 0; i < u.gone_n; i++)
		free(u.gone[i]);
	free(u.gone);
	free(u.prefix);
	free(u.d.url);
	free(u.d.revision);
	if (u.journal)
		journal_close(u.journal);
	offer_release(&u.offer);
	session_close(&u.s);
	return rv;
}
