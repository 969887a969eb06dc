#include "download_report.h"

#include <inttypes.h>

#include "client.h"
#include "err.h"
#include "json.h"
#include "option.h"
#include "output.h"
#include "plan.h"
#include "progress.h"
#include "report.h"
#include "session.h"
#include "wait.h"

/* What is in place, and why that is believed. */
static void
note_here(const struct download_report *r, size_t kept, size_t proved)
{
	struct progress *progress = r->s->progress;
	size_t all = r->plan->n, here = kept + proved;
	const char *are = all == 1 ? " is" : here == 1 ? "s is" : "s are";
	const char *they = kept == 1 ? "it was" : "they were";

	if (kept && proved)
		progress_note(progress,
		    "%zu of %zu file%s in place: %zu unchanged since %s "
		    "verified, %zu verified now",
		    here, all, are, kept, they, proved);
	else if (kept)
		progress_note(progress,
		    "%zu of %zu file%s in place, unchanged since %s verified",
		    here, all, are, they);
	else if (proved)
		progress_note(progress,
		    "%zu of %zu file%s in place, verified now", here, all, are);
}

void
download_report_plan(const struct download_report *r)
{
	const struct plan *p = r->plan;
	struct progress *progress = r->s->progress;
	size_t kept = 0, proved = 0;
	char size[16];

	for (size_t i = 0; i < p->n; i++) {
		kept += p->file[i].state == PLAN_KEPT;
		proved += p->file[i].state == PLAN_PROVED;
		if (p->file[i].state == PLAN_FAILED)
			progress_note(progress, "refused: '%s': %s",
			    p->file[i].file.path, p->file[i].failure->why);
	}
	note_here(r, kept, proved);
	size_show(p->left, size);
	if (p->left_files && r->o->resume)
		progress_note(progress, "continuing: %s of %zu file%s are here",
		    size, p->left_files, p->left_files == 1 ? "" : "s");
	else if (p->left_files)
		progress_note(progress,
		    "starting over: %s of %zu file%s, left by an earlier run, "
		    "are discarded; -d (--resume) would continue",
		    size, p->left_files, p->left_files == 1 ? "" : "s");
}

static const char *
outcome(const struct plan_file *f)
{
	switch (f->state) {
	case PLAN_FETCH:
		return "missing";
	case PLAN_KEPT:
	case PLAN_PROVED:
		return "kept";
	case PLAN_COPY:
		return "missing";
	case PLAN_DONE:
		return "downloaded";
	case PLAN_FAILED:
		break;
	}
	return "failed";
}

/* A hash is that of the file on the disk, or there is none. */
static void
put_hash_json(struct buf *out, const struct plan_file *f)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	if (f->state != PLAN_DONE && !plan_was_here(f))
		return;
	digest_hex(&f->file.digest, hex);
	buf_printf(out, ",\"%s\":\"%s\",\"verified\":\"%s\"",
	    f->file.digest.kind == HASH_SHA256 ? "sha256" : "git_oid", hex,
	    f->state == PLAN_KEPT ? "before" : "now");
}

static void
put_file_json(struct buf *out, const struct plan_file *f)
{
	report_file(out, f->file.path, f->file.size);
	put_hash_json(out, f);
	report_file_end(
	    out, outcome(f), f->state == PLAN_FAILED ? f->failure->why : NULL);
}

static void
put_json(const struct download_report *r, struct output *to)
{
	struct buf *out = &to->text;

	report_begin(out, "download", &r->s->id, r->s->revision);
	buf_printf(out, ",\"commit\":\"%s\",\"path\":", r->commit);
	json_put_string(out, str_of(r->o->local_path));
	buf_printf(out,
	    ",\"dry_run\":%s,\"received\":%" PRIu64 ",\"milliseconds\":%" PRIu64
	    ",\"files\":[",
	    r->o->dry_run ? "true" : "false", client_received(r->s->client),
	    wait_now() - r->started);
	for (size_t i = 0; i < r->plan->n; i++) {
		if (i)
			buf_putc(out, ',');
		put_file_json(out, &r->plan->file[i]);
		output_more(to);
	}
	buf_puts(out, "]}\n");
}

static void
put_path(
    const struct download_report *r, const struct plan_file *f, struct buf *out)
{
	const char *folder = r->o->local_path;
	bool slash = str_ends(str_of(folder), "/");

	buf_printf(
	    out, "%s%s%s\n", folder, slash ? "" : "/", plan_target(r->plan, f));
}

/* What the command produced: the folder, or the files asked for by name. */
static void
put_paths(const struct download_report *r, struct output *out)
{
	if (!r->by_file) {
		buf_printf(&out->text, "%s\n", r->o->local_path);
		return;
	}
	for (size_t i = 0; i < r->plan->n; i++) {
		if (r->plan->file[i].state != PLAN_FAILED)
			put_path(r, &r->plan->file[i], &out->text);
		output_more(out);
	}
}

static void
put_dry_file(struct buf *out, const struct plan_file *f)
{
	static const char *const word[] = {
	    [PLAN_FETCH] = "fetch",
	    [PLAN_KEPT] = "in place",
	    [PLAN_PROVED] = "in place",
	    [PLAN_COPY] = "copy",
	    [PLAN_DONE] = "done",
	    [PLAN_FAILED] = "refused",
	};
	char size[16];

	size_show(f->file.size, size);
	report_line(out, word[f->state], size, f->file.path,
	    f->state == PLAN_FAILED ? f->failure->why : "");
}

static void
put_dry_run(const struct download_report *r, struct output *out)
{
	const struct plan *p = r->plan;
	char size[16], left[16];

	for (size_t i = 0; i < p->n; i++) {
		put_dry_file(&out->text, &p->file[i]);
		output_more(out);
	}
	size_show(p->fetch - (r->o->resume ? p->left : 0), size);
	size_show(p->here, left);
	buf_printf(&out->text, "%zu of %zu files, %s to fetch; %s in place\n",
	    p->to_fetch, p->n, size, left);
}

/* One sentence for all that failed; the reasons were told as they came. */
static int
sum_up(const struct download_report *r, struct err *e)
{
	const struct plan_file *first = NULL;
	const struct plan_failure *why;
	size_t failed_files = 0;

	for (size_t i = 0; i < r->plan->n; i++) {
		if (r->plan->file[i].state != PLAN_FAILED)
			continue;
		if (!first)
			first = &r->plan->file[i];
		failed_files++;
	}
	if (!first)
		return 0;
	why = first->failure;
	if (r->plan->n == 1)
		err_set(e, (enum err_kind)why->kind,
		    "cannot download '%.256s' from '%s': %s", first->file.path,
		    r->s->id.id, why->why);
	else
		err_set(e,
		    failed_files == r->plan->n ? (enum err_kind)why->kind
					       : ERR_PARTIAL,
		    "%zu of %zu files of '%s' failed; the first, '%.256s': %s",
		    failed_files, r->plan->n, r->s->id.id, first->file.path,
		    why->why);
	if (why->hint)
		return err_hint(e, "%s", why->hint);
	if (why->kind == ERR_NET)
		err_hint(e, "run again with -d: what is done is kept");
	return -1;
}

int
download_report_end(
    const struct download_report *r, int rv, struct output *out, struct err *e)
{
	bool through = rv == 0;

	if (through)
		rv = sum_up(r, e);
	if (r->o->json)
		put_json(r, out);
	else if (through && r->o->dry_run)
		put_dry_run(r, out);
	else if (rv == 0)
		put_paths(r, out);
	return rv;
}
