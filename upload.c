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
	/* What is there by such a name was not made as a branch. */
	if (str_starts(str_of(u->s.revision), "refs/"))
		return err_hint(e, "name a pull request that is there, or use "
				   "--create-pr");
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

/* The first names of a list, and how many more there are. */
struct naming {
	struct buf b;
	size_t n;
};

#define NAMED_MAX 5

static void
name_one(struct naming *l, const char *path)
{
	if (l->n++ >= NAMED_MAX)
		return;
	buf_printf(&l->b, "%s'%.200s'", l->n > 1 ? ", " : "", path);
}

/* Says "WHAT: NAMES", with an s behind one where there are several. */
static void
note_names(const struct upload *u, struct naming *l, const char *before,
    const char *one, const char *several)
{
	if (l->n > NAMED_MAX)
		buf_printf(&l->b, " and %zu more", l->n - NAMED_MAX);
	if (l->n)
		progress_note(u->s.progress, "%s%zu %s: %s", before, l->n,
		    l->n == 1 ? one : several, buf_cstr(&l->b));
	buf_release(&l->b);
}

static struct naming
naming_make(void)
{
	return (struct naming){buf_make(4096), 0};
}

static void
note_ignored(const struct upload *u)
{
	struct naming l = naming_make();

	for (size_t i = 0; i < u->offer.n; i++)
		if (u->offer.file[i].fate == OFFER_IGNORED)
			name_one(&l, u->offer.file[i].path);
	note_names(
	    u, &l, "the repository's .gitignore leaves out ", "file", "files");
}

static int
plan(struct upload *u, struct err *e)
{
	const struct repo *r = &u->s.repo;
	bool fresh;

	if (meet(u, &fresh, e) < 0)
		return -1;
	if (!fresh && offer_ask(&u->offer, r, u->s.revision, u->o->create_pr,
			  u->d.head, u->s.progress, e) < 0)
		return -1;
	if (offer_hash(&u->offer, u->o->dry_run, u->journal, u->s.progress, e) <
	    0)
		return -1;
	note_ignored(u);
	if (fresh || !u->o->delete.n)
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
put_file(const struct offer_file *f, struct buf *out)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	report_file(out, f->path, f->local->stamp.size);
	buf_printf(out, ",\"lfs\":%s", f->lfs ? "true" : "false");
	if (f->hashed) {
		digest_hex(&f->digest, hex);
		buf_printf(
		    out, ",\"%s\":\"%s\"", f->lfs ? "sha256" : "git_oid", hex);
	}
	report_file_end(out, outcome(f), f->why ? f->why->msg : NULL);
}

static const char *
reason(const struct scan_passed *p)
{
	static const char *const text[] = {
	    [SCAN_TO_FOLDER] = "link to a directory",
	    [SCAN_SPECIAL] = "not a file",
	    [SCAN_DOTENV] = "not named",
	    [SCAN_TOKEN] = "holds a token",
	};

	return text[p->kind];
}

static void
put_items(const struct upload *u, struct output *to)
{
	const struct scan *s = &u->offer.scan;
	struct buf *out = &to->text;

	buf_puts(out, ",\"files\":[");
	for (size_t i = 0; i < u->offer.n; i++) {
		buf_puts(out, i ? "," : "");
		put_file(&u->offer.file[i], out);
		output_more(to);
	}
	buf_puts(out, "],\"deleted\":[");
	for (size_t i = 0; i < u->gone_n; i++) {
		buf_puts(out, i ? "," : "");
		json_put_string(out, str_of(u->gone[i]));
		output_more(to);
	}
	buf_puts(out, "],\"skipped\":[");
	for (size_t i = 0; i < s->passed_n; i++) {
		buf_puts(out, i ? ",{\"path\":" : "{\"path\":");
		json_put_string(out, str_of(s->passed[i].path));
		buf_printf(out, ",\"reason\":\"%s\"}", reason(&s->passed[i]));
		output_more(to);
	}
	buf_puts(out, "]}\n");
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
	buf_printf(out, ",\"dry_run\":%s,\"milliseconds\":%" PRIu64,
	    u->o->dry_run ? "true" : "false", wait_now() - u->started);
	put_items(u, to);
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

		size_show(f->local->stamp.size, size);
		report_line(
		    out, outcome(f), size, f->path, f->why ? f->why->msg : "");
		output_more(to);
		n += f->fate == OFFER_SEND;
		bytes += f->fate == OFFER_SEND ? f->local->stamp.size : 0;
	}
	for (size_t i = 0; i < u->gone_n; i++) {
		report_line(out, "delete", "", u->gone[i], "");
		output_more(to);
	}
	size_show(bytes, size);
	buf_printf(out, "%zu of %zu files, %s to send; %zu to delete\n", n,
	    u->offer.n, size, u->gone_n);
}

/* What was done, in one sentence. */
static void
say_end(const struct upload *u)
{
	size_t n[OFFER_FATES] = {0}, gone = u->d.commits ? u->gone_n : 0;
	struct buf b = buf_make(1024);
	uint64_t bytes = 0;
	char size[16];

	for (size_t i = 0; i < u->offer.n; i++) {
		const struct offer_file *f = &u->offer.file[i];

		n[f->fate]++;
		if (f->fate == OFFER_COMMITTED)
			bytes += f->local->stamp.size;
	}
	size_show(bytes, size);
	if (u->d.commits)
		buf_printf(&b, "sent %zu file%s (%s) to", n[OFFER_COMMITTED],
		    n[OFFER_COMMITTED] == 1 ? "" : "s", size);
	else
		buf_puts(&b, n[OFFER_FAILED] ? "nothing was sent to"
					     : "nothing to do for");
	buf_printf(&b, " '%s' (%s)", u->s.id.id,
	    u->d.revision ? u->d.revision : u->s.revision);
	if (n[OFFER_SAME])
		buf_printf(&b, ", %zu unchanged", n[OFFER_SAME]);
	if (gone)
		buf_printf(&b, ", %zu deleted", gone);
	progress_phase_end(u->s.progress);
	progress_note(u->s.progress, "%s", buf_cstr(&b));
	buf_release(&b);
}

static int
sum_up(const struct upload *u, struct err *e)
{
	const struct offer *o = &u->offer;
	const struct offer_file *first = NULL;
	size_t failed = 0;

	for (size_t i = 0; i < o->n; i++)
		if (o->file[i].fate == OFFER_FAILED) {
			first = first ? first : &o->file[i];
			failed++;
		}
	if (!first && o->n == 1 && o->file[0].fate == OFFER_IGNORED)
		return err_set(e, ERR_PARTIAL,
		    "'%.256s' was not sent: the .gitignore of '%s' leaves it "
		    "out",
		    o->file[0].path, u->s.id.id);
	if (!first)
		return 0;
	if (o->n == 1)
		err_set(e, first->why->kind,
		    "cannot upload '%.256s' to '%s': %s", first->path,
		    u->s.id.id, first->why->msg);
	else
		err_set(e, failed == o->n ? first->why->kind : ERR_PARTIAL,
		    "%zu of %zu files were not uploaded to '%s'; the first, "
		    "'%.256s': %s",
		    failed, o->n, u->s.id.id, first->path, first->why->msg);
	return err_hint(e, "%s",
	    *first->why->hint ? first->why->hint
			      : "run again: what is done is kept");
}

/* --- The command. --- */

/* What is not sent, though it stands there. */
static void
note_passed(const struct upload *u)
{
	static const char *const text[][3] = {
	    [SCAN_TO_FOLDER] = {"skipped ", "link to a directory",
		"links to directories"},
	    [SCAN_SPECIAL] = {"skipped ", "pipe, socket or device",
		"pipes, sockets or devices"},
	    [SCAN_DOTENV] = {"not sent without being named: ", "file", "files"},
	    [SCAN_TOKEN] = {"never sent: ", "file with a token",
		"files with tokens"},
	};
	const struct scan *s = &u->offer.scan;

	for (size_t kind = 0; kind < SCAN_KINDS; kind++) {
		struct naming l = naming_make();

		for (size_t i = 0; i < s->passed_n; i++)
			if (s->passed[i].kind == kind)
				name_one(&l, s->passed[i].path);
		note_names(u, &l, text[kind][0], text[kind][1], text[kind][2]);
	}
	if (s->outside)
		progress_note(u->s.progress,
		    "%zu link%s out of '%.200s'; the first: '%.200s'",
		    s->outside, s->outside == 1 ? " leads" : "s lead",
		    u->o->local_path, s->outside_first);
}

/* They have no part in anything, and are told at once. */
static void
note_bad(const struct upload *u)
{
	for (size_t i = 0; i < u->offer.n; i++) {
		struct offer_file *f = &u->offer.file[i];

		if (f->fate == OFFER_FAILED)
			progress_finish(u->s.progress,
			    progress_start(u->s.progress, f->path, 0, 0),
			    PROGRESS_FAILED, f->why->msg);
	}
}

static int
open_offer(struct upload *u, struct err *e)
{
	const struct config *c = u->c;
	const char *secret[countof(c->secret_file)];
	struct scan_rules rules = {
	    .include = {u->o->include.s, u->o->include.n},
	    .exclude = {u->o->exclude.s, u->o->exclude.n},
	    .secret = secret,
	};
	const char *to = u->o->path_in_repo ? u->o->path_in_repo : "";

	for (size_t i = 0; i < countof(c->secret_file); i++)
		if (c->secret_file[i])
			secret[rules.secret_n++] = c->secret_file[i];
	if (offer_open(&u->offer, u->o->local_path, to, &rules, c->token, e) <
	    0)
		return -1;
	note_passed(u);
	note_bad(u);
	if (!u->offer.n && !u->o->delete.n)
		return err_set(e, ERR_USAGE,
		    "there is nothing to upload in "
		    "'%s'",
		    u->o->local_path);
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
		err_set(e, ERR_STOPPED, "interrupted; complete parts are kept");
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
	bool through;
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
	through = rv == 0;
	if (!u->o->dry_run && (u->d.commits || through))
		say_end(u);
	if (through)
		rv = sum_up(u, e);
	if (u->o->json)
		put_json(u, out);
	else if (through && u->o->dry_run)
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
