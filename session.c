#include "session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "cert.h"
#include "client.h"
#include "err.h"
#include "json.h"
#include "option.h"
#include "progress.h"
#include "sandbox.h"
#include "str.h"
#include "tls.h"
#include "url.h"
#include "wait.h"

/* --- Standard output, in pieces. --- */

/* Room for the longest name of a file, with each byte escaped, and a reason. */
#define TEXT_MAX ((size_t)1 << 20)

struct output
output_make(FILE *to)
{
	return (struct output){.text = buf_make(TEXT_MAX), .to = to};
}

static void
give(struct output *o)
{
	size_t n = o->text.len;

	if (!o->error && n && fwrite(o->text.s, 1, n, o->to) != n)
		o->error = errno;
	o->text.len = 0;
}

void
output_more(struct output *o)
{
	if (o->text.len >= OUTPUT_PIECE)
		give(o);
}

int
output_flush(struct output *o, struct err *e)
{
	give(o);
	if (!o->error && fflush(o->to) != 0)
		o->error = errno;
	if (!o->error)
		return 0;
	if (o->error == EPIPE)
		return wait_no_reader(e);
	errno = o->error;
	return err_sys(e, ERR_FILE, "cannot write to standard output");
}

int
output_end(struct output *o, struct err *e)
{
	bool full = o->text.full;

	give(o);
	buf_release(&o->text);
	return full ? err_set(e, ERR_OTHER, "the report is too long")
		    : output_flush(o, e);
}

/* --- The shapes of reports. --- */

void
report_begin(struct buf *b, const char *command, const struct repoid *id,
    const char *revision)
{
	buf_printf(b, "{\"command\":\"%s\",\"repo_id\":", command);
	json_put_string(b, str_of(id->id));
	buf_printf(
	    b, ",\"repo_type\":\"%s\",\"revision\":", repo_type_name(id->type));
	json_put_string(b, str_of(revision));
}

void
report_file(struct buf *b, const char *path, uint64_t size)
{
	buf_puts(b, "{\"path\":");
	json_put_string(b, str_of(path));
	buf_printf(b, ",\"size\":%" PRIu64, size);
}

void
report_file_end(struct buf *b, const char *outcome, const char *why)
{
	buf_printf(b, ",\"outcome\":\"%s\"", outcome);
	if (why) {
		buf_puts(b, ",\"error\":");
		json_put_string(b, str_of(why));
	}
	buf_putc(b, '}');
}

void
report_line(struct buf *b, const char *outcome, const char *size,
    const char *path, const char *why)
{
	char *name = xstrdup(path);

	str_printable(name);
	buf_printf(b, "%-10s %10s  %s%s%s\n", outcome, size, name,
	    *why ? ": " : "", why);
	free(name);
}

/* --- What every command opens. --- */

static void
log_line(void *ctx, const char *line)
{
	progress_log(ctx, line);
}

static void
tell_waiting(void *ctx, const struct err *why, uint64_t until)
{
	progress_wait(ctx, until, why->msg);
}

/* Handles the result rv of tls_trust_add_file(). If a bundle that the
 * environment names cannot be used, that is only a note, since the built-in
 * roots are there: the package of the bundle may be gone. */
static int
note_trust(const struct session *s, const char *source, bool option, int rv,
    struct err *e)
{
	if (rv < 0 && (option || wait_stop()))
		return err_in(e, "%s", source);
	if (rv != 0)
		progress_note(
		    s->progress, "%s: %s; skipping it", source, e->msg);
	return 0;
}

static int
add_dirs(const struct session *s, const char *list, struct err *e)
{
	struct str rest = str_of(list), dir;
	int rv = 0;

	while (rv == 0 && rest.n) {
		char *path;

		dir = rest;
		if (!str_cut(rest, ':', &dir, &rest))
			rest = str_of("");
		path = str_dup(dir);
		if (dir.n)
			rv = note_trust(s, "SSL_CERT_DIR", false,
			    tls_trust_add_dir(s->trust, path, e), e);
		free(path);
	}
	return rv;
}

static int
add_trust(const struct session *s, struct err *e)
{
	const struct config *c = s->config;

	for (size_t i = 0; i < countof(c->ca_file); i++)
		if (c->ca_file[i] &&
		    note_trust(s, c->ca_source[i], i == 0,
			tls_trust_add_file(s->trust, c->ca_file[i], e), e) < 0)
			return -1;
	return c->ca_dir ? add_dirs(s, c->ca_dir, e) : 0;
}

static struct progress *
open_progress(const struct config *c, const struct options *o)
{
	/* A live display would erase lines of the content. */
	bool mixed = o->output && isatty(STDOUT_FILENO);
	const struct progress_opts how = {
	    .mode = mixed && c->progress == PROGRESS_AUTO ? PROGRESS_NONE
							  : c->progress,
	    .quiet = c->quiet,
	    .term = c->term,
	    .ci = c->ci,
	};

	return progress_open(&how);
}

static struct client *
open_client(const struct session *s, const struct options *o, struct err *e)
{
	const struct config *c = s->config;
	const struct client_opts how = {
	    .endpoint = c->endpoint,
	    .token = c->token,
	    .user_agent = "hub/" HUB_VERSION,
	    /* The field by which the Hub counts downloads; the official client
	     * sends it since version 1.32. */
	    .endpoint_field = o->command == COMMAND_DOWNLOAD
				  ? "X-HF-Download-Counter: 1"
				  : NULL,
	    .trust = s->trust,
	    .proxy = c->proxy,
	    .family = c->family,
	    .connect_ms = c->connect_ms,
	    .answer_ms = c->answer_ms,
	    .stall_ms = c->stall_ms,
	    .retries = c->retries,
	    .offline = c->offline != NULL,
	    .rate = c->rate,
	    .log = c->verbose ? log_line : NULL,
	    .waiting = tell_waiting,
	    .ctx = s->progress,
	};

	return client_open(&how, e);
}

/* Reports a wrong clock, since the dates of certificates depend on it. */
static void
show_clock(const struct session *s)
{
	struct clock_time t = clock_read(tls_trust_clock(s->trust));
	char system[32], now[32];

	if (!t.at_least)
		return;
	cert_day(t.system, system);
	cert_day(t.now, now);
	progress_note(s->progress,
	    "this machine's clock is wrong: it says %s, before hub was built "
	    "(%s); certificates are checked for the build date or later",
	    system, now);
}

static void
show_notes(const struct session *s)
{
	struct str rest = buf_str(&s->config->notes), line;

	while (rest.n) {
		line = rest;
		if (!str_cut(rest, '\n', &line, &rest))
			rest = str_of("");
		progress_note(s->progress, "%.*s", STRF(line));
	}
}

/* Reads the repository and the revision from the options. */
static int
identify(struct session *s, const struct options *o, struct err *e)
{
	const struct config *c = s->config;
	enum repo_type type, *given = NULL;
	struct url endpoint;

	if (!o->repo_id)
		return 0;
	if (o->repo_type) {
		if (repo_type_parse(o->repo_type, &type, e) < 0)
			return -1;
		given = &type;
	}
	if (url_parse(str_of(c->endpoint), &endpoint, e) < 0 ||
	    repoid_parse(o->repo_id, given, &endpoint, &s->id, e) < 0)
		return -1;
	if (o->revision && s->id.revision &&
	    strcmp(o->revision, s->id.revision) != 0)
		return err_set(e, ERR_USAGE,
		    "'%s' and --revision name different revisions", o->repo_id);
	if (s->id.quant && o->command == COMMAND_UPLOAD)
		return err_set(e, ERR_USAGE,
		    "'%s' names a quantization, which only a download takes",
		    o->repo_id);
	s->revision = xstrdup(o->revision      ? o->revision
			      : s->id.revision ? s->id.revision
					       : "main");
	return revision_check(s->revision, e);
}

static int
fill(struct session *s, const struct options *o, struct err *e)
{
	const struct config *c = s->config;
	bool withheld;

	if (identify(s, o, e) < 0)
		return -1;
	if (c->offline && o->command != COMMAND_LS &&
	    (o->command != COMMAND_DOWNLOAD || o->output || o->force)) {
		err_set(e, ERR_OTHER, "%s is set: not connecting", c->offline);
		return err_hint(e, "%s", c->go_online);
	}
	s->trust = tls_trust_open();
	s->progress = open_progress(c, o);
	show_notes(s);
	show_clock(s);
	if (c->verbose)
		progress_note(s->progress, "token: %s",
		    c->token ? c->token_source : "none");
	if (!c->offline && add_trust(s, e) < 0)
		return -1;
	s->client = open_client(s, o, e);
	if (!s->client)
		return -1;
	withheld = client_withholds(s->client);
	if (withheld)
		progress_note(s->progress,
		    "the token is not sent to '%s': it would be readable on "
		    "the way",
		    c->endpoint);
	s->repo = (struct repo){
	    .client = s->client,
	    .endpoint = c->endpoint,
	    .type = s->id.type,
	    .id = s->id.id,
	    .has_token = c->token && !withheld,
	    .withheld = withheld,
	};
	return 0;
}

int
session_open(struct session *s, const struct options *o, const struct config *c,
    struct err *e)
{
	*s = (struct session){.config = c};
	if (fill(s, o, e) == 0)
		return 0;
	/* A read that a signal interrupted fails like one of an unreadable
	 * file. */
	if (wait_stop())
		err_set(e, ERR_STOPPED, "stopped");
	session_close(s);
	return -1;
}

void
session_open_local(
    struct session *s, const struct options *o, const struct config *c)
{
	*s = (struct session){.config = c};
	s->progress = open_progress(c, o);
	show_notes(s);
}

void
session_close(struct session *s)
{
	if (s->client)
		client_close(s->client);
	if (s->progress)
		progress_close(s->progress);
	if (s->trust)
		tls_trust_close(s->trust);
	repoid_release(&s->id);
	free(s->revision);
	*s = (struct session){.config = NULL};
}

unsigned
session_jobs(const struct session *s, enum jobs_ground ground, bool xet)
{
	const struct config *c = s->config;
	struct jobs_choice chosen = {c->jobs, "-j"};

	if (!c->jobs)
		chosen = jobs_choose(&c->machine, ground, xet);
	if (c->verbose)
		progress_note(s->progress, "up to %u connection%s: %s",
		    chosen.n, chosen.n == 1 ? "" : "s", chosen.why);
	return chosen.n;
}

void
session_confine(const struct session *s, struct confine *c)
{
	bool links = c->links, accepts = c->accepts;
	int version = confine_files(c);
	bool calls = confine_calls(links, accepts);

	if (!s->config->verbose)
		return;
	if (version)
		progress_note(s->progress, "sandbox: Landlock %d%s", version,
		    calls ? " and seccomp" : "; no seccomp here");
	else
		progress_note(s->progress, "%s",
		    calls ? "sandbox: seccomp; no Landlock here"
			  : "no sandbox: this system has neither Landlock nor "
			    "seccomp");
}
