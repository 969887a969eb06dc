#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "str.h"
#include "url.h"

/* --- How many connections. --- */

#define TEXT_MAX 4096

/* The share of the memory that a run may take by default: 1/RAM_PART of the
 * machine's, 1/GROUP_PART of the control group's limit. The rest is for the
 * page cache, the sockets and other programs. */
#define RAM_PART 8
#define GROUP_PART 2

static uint64_t
part(uint64_t bytes, unsigned n)
{
	return bytes == UINT64_MAX ? bytes : bytes / n;
}

/* The number of connections that fit into this much memory. */
static unsigned
within(uint64_t bytes, uint64_t each)
{
	uint64_t n = bytes < JOBS_BASE ? 0 : (bytes - JOBS_BASE) / each;

	return n < 1 ? 1 : n < JOBS_MOST ? (unsigned)n : JOBS_MOST;
}

/* The number of connections that this many open files allow. */
static unsigned
within_files(uint64_t files)
{
	uint64_t least = JOBS_FILES_BASE + JOBS_FILES_WAIT(files);
	uint64_t n = files < least ? 0 : (files - least) / JOBS_FILES_EACH;

	return n < 1 ? 1 : n < JOBS_MOST ? (unsigned)n : JOBS_MOST;
}

static uint64_t
lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

unsigned
jobs_packing(const struct jobs_machine *m, unsigned jobs, uint64_t each)
{
	uint64_t room = lower(m->process,
	    lower(part(m->group, GROUP_PART), part(m->ram, RAM_PART)));
	uint64_t taken = JOBS_BASE_PACKING + jobs * JOBS_EACH_XET;
	uint64_t n = room < taken ? 0 : (room - taken) / each;

	return n < JOBS_PACKING ? (unsigned)n : JOBS_PACKING;
}

struct jobs_choice
jobs_choose(const struct jobs_machine *m, enum jobs_ground ground, bool xet)
{
	uint64_t each = xet ? JOBS_EACH_XET : JOBS_EACH;
	const struct jobs_choice bound[] = {
	    {JOBS_MOST, "the default"},
	    {within(m->process, each), "the memory limit of the process"},
	    {within(part(m->group, GROUP_PART), each),
		"the memory limit of the control group"},
	    {within(part(m->ram, RAM_PART), each),
		"the memory of this machine"},
	    {within_files(m->files), "the limit of open files"},
	    {m->cores == 1 ? 4 : JOBS_MOST, "a single core"},
	    {ground == JOBS_FLASH ? 2 : JOBS_MOST, "the target is on flash"},
	    {ground == JOBS_NETWORK ? 4 : JOBS_MOST,
		"the target is on a network file system"},
	};
	struct jobs_choice least = bound[0];

	for (size_t i = 1; i < countof(bound); i++)
		if (bound[i].n < least.n)
			least = bound[i];
	return least;
}

/* The path of our own group with that controller ("": version 2), from the text
 * of /proc/self/cgroup, lines "NUMBER:CONTROLLERS:/PATH"; "" if there is none.
 * Pure. */
static struct str
own_group(struct str text, const char *controller)
{
	struct str line, number, field, path;

	while (str_cut(text, '\n', &line, &text))
		if (str_cut(line, ':', &number, &line) &&
		    str_cut(line, ':', &field, &path) &&
		    str_eq(field, controller) && str_starts(path, "/"))
			return path;
	return str_of("");
}

/* The number in a file; no limit if it is "max", or cannot be read. */
static uint64_t
limit_in(const char *path)
{
	struct buf text = buf_make(TEXT_MAX);
	uint64_t limit = UINT64_MAX;
	struct str line, rest;

	if (file_read(path, &text) < 0 ||
	    !str_cut(buf_str(&text), '\n', &line, &rest) ||
	    str_num(line, 10, UINT64_MAX, &limit) < 0)
		limit = UINT64_MAX;
	buf_release(&text);
	return limit;
}

/* The lowest memory limit of our own groups and of all around them. In a
 * container the path may be that outside, and its group is mounted at top. */
static uint64_t
group_limit(void)
{
	static const struct {
		const char *controller, *top, *file;
	} version[] = {
	    {"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
	    {"", "/sys/fs/cgroup", "memory.max"},
	};
	struct buf text = buf_make(TEXT_MAX), path = buf_make(2 * TEXT_MAX);
	uint64_t least = UINT64_MAX;

	file_read("/proc/self/cgroup", &text);
	for (size_t i = 0; i < countof(version); i++) {
		struct str group =
		    own_group(buf_str(&text), version[i].controller);

		for (bool top = false; !top;) {
			top = !group.n;
			buf_clear(&path);
			buf_printf(&path, "%s%.*s/%s", version[i].top,
			    STRF(group), version[i].file);
			least = lower(least, limit_in(buf_cstr(&path)));
			while (group.n && group.s[--group.n] != '/')
				;
		}
	}
	buf_release(&text);
	buf_release(&path);
	return least;
}

static uint64_t
limit_on(int kind)
{
	struct rlimit r;

	return getrlimit(kind, &r) == 0 && r.rlim_cur != RLIM_INFINITY
		   ? r.rlim_cur
		   : UINT64_MAX;
}

/* Looks at this machine. Needs no /proc and no /sys, but finds the limit of a
 * control group only with them. */
static struct jobs_machine
jobs_look(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return (struct jobs_machine){
	    .process = lower(limit_on(RLIMIT_AS), limit_on(RLIMIT_DATA)),
	    .group = group_limit(),
	    .ram = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size
					 : UINT64_MAX,
	    .files = limit_on(RLIMIT_NOFILE),
	    .cores = cores > 0 ? (unsigned)cores : 0,
	};
}

/* --- The settings. --- */

#define ENDPOINT "https://huggingface.co"
#define NOTES_MAX 16384 /* bytes */
#define SECONDS_MAX 86400

/* What the functions below read, and the settings that they fill. */
struct load {
	const struct options *options;
	const struct variables *variables;
	struct config *out;
};

/* The shared cache of the official client. */
static int
load_cache(const struct load *l, struct err *e)
{
	struct config *c = l->out;
	const char *variable = "HF_HUB_CACHE";

	c->no_symlinks =
	    variable_is_true(l->variables, "HF_HUB_DISABLE_SYMLINKS");
	if (l->options->cache_dir) {
		c->cache_dir = xstrdup(l->options->cache_dir);
		return 0;
	}
	if (!variable_get(l->variables, variable))
		variable = "HUGGINGFACE_HUB_CACHE";
	return variable_path(
	    l->variables, variable, c->hf_home, "hub", &c->cache_dir, e);
}

static int
load_paths(const struct load *l, struct err *e)
{
	struct config *c = l->out;
	char *cache = NULL;
	int rv;

	if (variable_get(l->variables, "HOME"))
		cache =
		    variable_join(variable_get(l->variables, "HOME"), ".cache");
	if (variable_get(l->variables, "XDG_CACHE_HOME")) {
		free(cache);
		cache = variable_expand(l->variables, "XDG_CACHE_HOME",
		    variable_get(l->variables, "XDG_CACHE_HOME"), e);
		if (!cache)
			return -1;
	}
	rv = variable_path(
	    l->variables, "HF_HOME", cache, "huggingface", &c->hf_home, e);
	free(cache);
	if (rv < 0 || load_cache(l, e) < 0)
		return -1;
	return variable_path(l->variables, "XDG_STATE_HOME",
	    variable_get(l->variables, "HOME"), ".local/state", &c->state_home,
	    e);
}

/* The network. */

static int
load_endpoint(const struct load *l, struct err *e)
{
	const char *value = l->options->endpoint, *what = "--endpoint";
	struct str text;
	struct url url;

	if (!value || !*value) {
		value = variable_get(l->variables, "HF_ENDPOINT");
		what = "HF_ENDPOINT";
	}
	text = str_of(value ? value : ENDPOINT);
	while (str_ends(text, "/"))
		text.n--;
	if (url_parse(text, &url, e) < 0) {
		e->kind = ERR_USAGE;
		return err_in(e, "%s", what);
	}
	if (url.user.n || url.has_query || url.text.n < text.n)
		return err_set(e, ERR_USAGE,
		    "%s: must be a URL without user, query and fragment", what);
	l->out->endpoint = str_dup(text);
	return 0;
}

/* Returns the value of the lower-case name, else of the upper-case one; NULL if
 * that is empty. */
static const char *
proxy_variable(const struct load *l, const char *lower, const char *upper)
{
	const char *value = variable_raw(l->variables, lower);

	if (!value && upper)
		value = variable_raw(l->variables, upper);
	return value && *value ? value : NULL;
}

static void
load_proxy(const struct load *l)
{
	struct proxy_rules *p = &l->out->proxy;
	const char *option = l->options->proxy;
	/* In a CGI program this one comes from a header of the request. */
	bool cgi = variable_raw(l->variables, "REQUEST_METHOD") != NULL;

	p->no = proxy_variable(l, "no_proxy", "NO_PROXY");
	if (option) {
		p->http = p->https = p->all = *option ? option : NULL;
		return;
	}
	p->http = proxy_variable(l, "http_proxy", cgi ? NULL : "HTTP_PROXY");
	p->https = proxy_variable(l, "https_proxy", "HTTPS_PROXY");
	p->all = proxy_variable(l, "all_proxy", "ALL_PROXY");
}

static bool
is_repeated(const struct config *c, const char *path)
{
	for (size_t i = 0; i < countof(c->ca_file); i++)
		if (c->ca_file[i] && strcmp(c->ca_file[i], path) == 0)
			return true;
	return false;
}

static void
load_roots(const struct load *l)
{
	static const char *const source[] = {"--ca-file", "SSL_CERT_FILE",
	    "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"};
	struct config *c = l->out;

	for (size_t i = 0; i < countof(source); i++) {
		const char *path = i ? variable_get(l->variables, source[i])
				     : l->options->ca_file;

		if (!path || is_repeated(c, path))
			continue;
		c->ca_file[i] = xstrdup(path);
		c->ca_source[i] = source[i];
	}
	if (variable_get(l->variables, "SSL_CERT_DIR"))
		c->ca_dir = xstrdup(variable_get(l->variables, "SSL_CERT_DIR"));
}

/* Reads a variable in seconds; *ms gets milliseconds, 0 if it is unset or 0. */
static int
load_seconds(
    const struct load *l, const char *name, unsigned *ms, struct err *e)
{
	const char *value = variable_get(l->variables, name);
	uint64_t n = 0;

	*ms = 0;
	if (value && str_num(str_trim(str_of(value)), 10, UINT64_MAX, &n) < 0)
		return err_set(e, ERR_USAGE,
		    "%s: invalid number of seconds '%s'", name, value);
	*ms = (unsigned)(n < SECONDS_MAX ? n : SECONDS_MAX) * 1000;
	return 0;
}

static unsigned
larger(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

static int
load_timeouts(const struct load *l, struct err *e)
{
	const struct options *o = l->options;
	struct config *c = l->out;
	unsigned etag, download;

	if (load_seconds(l, "HF_HUB_ETAG_TIMEOUT", &etag, e) < 0 ||
	    load_seconds(l, "HF_HUB_DOWNLOAD_TIMEOUT", &download, e) < 0)
		return -1;
	c->connect_ms = larger(30000, etag);
	c->answer_ms = larger(60000, larger(etag, download));
	c->stall_ms = larger(30000, download);
	if (o->timeout)
		c->connect_ms = c->answer_ms = o->timeout * 1000;
	if (o->stall_timeout)
		c->stall_ms = o->stall_timeout * 1000;
	return 0;
}

/* The rest. */

static void
load_display(const struct load *l)
{
	const struct options *o = l->options;
	struct config *c = l->out;

	c->progress = o->progress;
	if (c->progress == PROGRESS_AUTO &&
	    variable_is_true(l->variables, "HF_HUB_DISABLE_PROGRESS_BARS"))
		c->progress = PROGRESS_NONE;
	c->quiet = o->quiet;
	c->verbose = o->verbose;
	c->json = o->json;
	c->term = variable_raw(l->variables, "TERM")
		      ? xstrdup(variable_raw(l->variables, "TERM"))
		      : NULL;
	c->ci = variable_get(l->variables, "CI") != NULL;
}

/* The second variable counts only where the first is not set. */
static void
load_offline(const struct load *l)
{
	static const struct {
		const char *variable, *go_online;
	} t[] = {
	    {"HF_HUB_OFFLINE", "run again with HF_HUB_OFFLINE unset"},
	    {"TRANSFORMERS_OFFLINE",
		"run again with TRANSFORMERS_OFFLINE unset"},
	};
	size_t i = !variable_get(l->variables, t[0].variable);
	struct config *c = l->out;

	if (l->options->offline) {
		c->offline = "--offline";
		c->go_online = "run again without --offline";
	} else if (variable_is_true(l->variables, t[i].variable)) {
		c->offline = t[i].variable;
		c->go_online = t[i].go_online;
	}
}

static void
load_limits(const struct load *l)
{
	const struct options *o = l->options;
	struct config *c = l->out;

	load_offline(l);
	c->no_xet =
	    o->no_xet || variable_is_true(l->variables, "HF_HUB_DISABLE_XET");
	if (o->ipv4 != o->ipv6)
		c->family = o->ipv4 ? NET_IPV4 : NET_IPV6;
	c->retries = o->has_retries ? o->retries : 8;
	c->jobs = o->jobs;
	c->machine = jobs_look();
	c->rate = o->limit_rate;
}

static int
load_token(const struct config_input *in, struct config *c, struct err *e)
{
	const struct token_input from = {
	    in->options, in->purpose, in->variables, c->hf_home};
	struct err ignored;
	struct token t;

	if (token_find(&from, &t, &c->notes, e) < 0)
		return -1;
	c->token = t.text;
	c->token_source = t.source;
	c->secret_file[0] = t.file;
	c->secret_file[1] = t.dotenv;
	/* A path that cannot be expanded cannot name a file. */
	(void)variable_path(&in->variables, "HF_TOKEN_PATH", c->hf_home,
	    "token", &c->secret_file[2], &ignored);
	(void)variable_path(&in->variables, "HF_STORED_TOKENS_PATH", c->hf_home,
	    "stored_tokens", &c->secret_file[3], &ignored);
	return 0;
}

int
config_load(const struct config_input *in, struct config *out, struct err *e)
{
	const struct load l = {in->options, &in->variables, out};

	*out = (struct config){.notes = buf_make(NOTES_MAX)};
	load_display(&l);
	load_limits(&l);
	load_proxy(&l);
	load_roots(&l);
	if (load_timeouts(&l, e) == 0 && load_endpoint(&l, e) == 0 &&
	    load_paths(&l, e) == 0 && load_token(in, out, e) == 0)
		return 0;
	config_release(out);
	return -1;
}

void
config_release(struct config *c)
{
	token_release(&(struct token){.text = c->token,
	    .source = c->token_source,
	    .file = c->secret_file[0],
	    .dotenv = c->secret_file[1]});
	free(c->secret_file[2]);
	free(c->secret_file[3]);
	free(c->endpoint);
	free(c->hf_home);
	free(c->cache_dir);
	free(c->state_home);
	for (size_t i = 0; i < countof(c->ca_file); i++)
		free(c->ca_file[i]);
	free(c->ca_dir);
	free(c->term);
	buf_release(&c->notes);
	*c = (struct config){.notes = buf_make(NOTES_MAX)};
}
