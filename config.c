#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env.h"
#include "err.h"
#include "json.h"
#include "mem.h"
#include "url.h"

#define ENDPOINT "https://huggingface.co"
#define CONFIG_MAX (1 << 20) /* bytes of a configuration file */
#define TOKEN_MAX 4096       /* those of the Hub have 37, OAuth's some 1000 */
#define NOTES_MAX 16384
#define SECONDS_MAX 86400

struct load {
	const struct config_input *in;
	struct config *out;
	struct env env; /* of the .env file; empty if there is none */
	char *env_path; /* what the configuration names; NULL: nothing */
	/* Why the .env that nobody named cannot be used: an error only if the
	 * token is to come from there. */
	struct err env_fault;
};

static const char *
given(const struct load *l, const char *name)
{
	return l->in->getenv_fn(l->in->ctx, name);
}

/* An empty variable counts as none. */
static const char *
get(const struct load *l, const char *name)
{
	const char *value = given(l, name);

	return value && *value ? value : NULL;
}

static bool
is_true(const char *value)
{
	static const char *const yes[] = {"1", "on", "yes", "true"};

	for (size_t i = 0; value && i < countof(yes); i++)
		if (str_eq_nocase(str_of(value), yes[i]))
			return true;
	return false;
}

static void note(struct load *l, const char *fmt, ...) ERR_PRINTF(2, 3);

/* One line, whatever a file's name holds. */
static void
note(struct load *l, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	str_printable(line);
	buf_printf(&l->out->notes, "%s\n", line);
}

/* Files. */

static void
release_secret(struct buf *b)
{
	if (b->s)
		mem_wipe(b->s, b->cap);
	buf_release(b);
}

/* Reads all into b, whose limit is one more than the longest file. The room is
 * taken at once, so that no copy of a token stays behind. */
static int
read_fd(int fd, struct buf *b)
{
	char *room = buf_room(b, b->max);
	size_t n = 0;

	while (n < b->max) {
		ssize_t got = read(fd, room + n, b->max - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	buf_added(b, n);
	if (n < b->max)
		return 0;
	errno = EFBIG;
	return -1;
}

/* For files that the user named, which may be pipes as well. -1 sets errno. */
static int
read_file(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rv, saved;

	if (fd < 0)
		return -1;
	rv = read_fd(fd, b);
	saved = errno;
	close(fd);
	errno = saved;
	return rv;
}

/* Paths. */

/* The value of the $NAME or ${NAME} that s begins with, which is cut off; NULL
 * if it is none, or is unset, and stands for itself. */
static const char *
cut_variable(const struct load *l, struct str *s)
{
	struct str rest = str_make(s->s + 1, s->n - 1), name = rest;
	size_t n = 0;
	const char *value;
	char *copy;

	if (rest.n && rest.s[0] == '{') {
		name = str_make(rest.s + 1, rest.n - 1);
		if (!str_cut(name, '}', &name, &rest))
			return NULL;
	} else {
		while (
		    n < rest.n && (rest.s[n] == '_' || chr_digit(rest.s[n]) ||
				      chr_alpha(rest.s[n])))
			n++;
		name = str_make(rest.s, n);
		rest = str_make(rest.s + n, rest.n - n);
	}
	copy = str_dup(name);
	value = name.n ? given(l, copy) : NULL;
	free(copy);
	if (value)
		*s = rest;
	return value;
}

/* A path with '~', $VAR and ${VAR} filled in; what says where it stands. NULL
 * if there is no HOME for the '~': better than a folder of that name. */
static char *
expand(const struct load *l, const char *what, const char *path, struct err *e)
{
	struct buf out = buf_make(CONFIG_MAX);
	struct str s = str_of(path);
	const char *value = get(l, "HOME");

	if (s.s[0] == '~' && (s.n == 1 || s.s[1] == '/')) {
		if (!value) {
			err_set(e, ERR_USAGE,
			    "%s: '%s' needs HOME, which is not set", what,
			    path);
			return NULL;
		}
		buf_puts(&out, value);
		s = str_make(s.s + 1, s.n - 1);
	}
	while (s.n) {
		value = s.s[0] == '$' ? cut_variable(l, &s) : NULL;
		if (value) {
			buf_puts(&out, value);
		} else {
			buf_putc(&out, s.s[0]);
			s = str_make(s.s + 1, s.n - 1);
		}
	}
	return buf_detach(&out);
}

static char *
join(const char *folder, const char *name)
{
	struct buf b = buf_make(CONFIG_MAX);

	buf_printf(&b, "%s/%s", folder, name);
	return buf_detach(&b);
}

/* The variable's path, if it is set; else name below folder, if there is a
 * folder; else NULL. */
static int
load_path(const struct load *l, const char *variable, const char *folder,
    const char *name, char **out, struct err *e)
{
	const char *value = get(l, variable);

	*out = NULL;
	if (value) {
		*out = expand(l, variable, value, e);
		return *out ? 0 : -1;
	}
	if (folder)
		*out = join(folder, name);
	return 0;
}

static int
load_paths(const struct load *l, struct err *e)
{
	struct config *c = l->out;
	const char *legacy = "HUGGINGFACE_HUB_CACHE";
	char *cache = NULL;
	int rv;

	if (get(l, "HOME"))
		cache = join(get(l, "HOME"), ".cache");
	if (get(l, "XDG_CACHE_HOME")) {
		free(cache);
		cache =
		    expand(l, "XDG_CACHE_HOME", get(l, "XDG_CACHE_HOME"), e);
		if (!cache)
			return -1;
	}
	rv = load_path(l, "HF_HOME", cache, "huggingface", &c->hf_home, e);
	free(cache);
	if (rv == 0)
		rv = load_path(l, "XDG_STATE_HOME", get(l, "HOME"),
		    ".local/state", &c->state_home, e);
	if (rv < 0)
		return -1;
	if (get(l, "HF_HUB_CACHE"))
		legacy = "HF_HUB_CACHE";
	return load_path(l, legacy, c->hf_home, "hub", &c->hub_cache, e);
}

/* The configuration file. */

/* A fault of what it says, not of its grammar: at the line of the value. */
static int
bad_value(
    struct str text, const struct json *at, const char *why, struct err *e)
{
	size_t line = 1;

	for (const char *p = text.s; p < at->text.s; p++)
		line += *p == '\n';
	return err_set(e, ERR_USAGE, "line %zu: %s", line, why);
}

/* The member of that name; JSON_NULL if there is none. Twice is an error, since
 * here it decides which file gives the token. */
static int
member(struct str text, const struct json *v, const char *name,
    struct json *out, struct err *e)
{
	struct json_iter it = json_iter(v);
	struct json key, item;
	bool found = false;

	*out = (struct json){JSON_NULL, {v->text.s, 0}};
	while (json_next(&it, &key, &item)) {
		if (!json_is(&key, name))
			continue;
		if (found)
			return bad_value(text, &key, "the same name again", e);
		found = true;
		*out = item;
	}
	return 0;
}

/* Sets *path to a copy of what app.env says; NULL if it says nothing. */
static int
find_env(struct str text, char **path, struct err *e)
{
	struct json root, app, env, type;

	if (json_parse(text, &root, e) < 0) {
		e->kind = ERR_USAGE;
		return -1;
	}
	if (root.type != JSON_OBJECT)
		return bad_value(text, &root, "not an object", e);
	if (member(text, &root, "app", &app, e) < 0)
		return -1;
	if (app.type != JSON_OBJECT && app.type != JSON_NULL)
		return bad_value(text, &app, "app is not an object", e);
	if (member(text, &app, "env", &env, e) < 0)
		return -1;
	if (env.type == JSON_OBJECT) {
		if (member(text, &env, "type", &type, e) < 0)
			return -1;
		if (type.type != JSON_NULL && !json_is(&type, "file"))
			return bad_value(
			    text, &type, "app.env.type is not \"file\"", e);
		if (member(text, &env, "path", &env, e) < 0)
			return -1;
	} else if (env.type == JSON_NULL) {
		return 0;
	}
	*path = json_strdup(&env, CONFIG_MAX);
	if (*path && **path)
		return 0;
	return bad_value(text, &env, "app.env names no file", e);
}

static int
load_config_file(struct load *l, struct err *e)
{
	const char *file = l->in->options->config_path;
	struct buf text = buf_make(CONFIG_MAX + 1);
	char *path = NULL;
	int rv;

	if (!file)
		return 0;
	rv = read_file(file, &text);
	if (rv < 0)
		err_sys(e, ERR_USAGE, "cannot read '%s'", file);
	else if ((rv = find_env(buf_str(&text), &path, e)) < 0)
		err_in(e, "cannot read '%s'", file);
	if (rv == 0 && path) {
		l->env_path = expand(l, "app.env", path, e);
		rv = l->env_path ? 0 : err_in(e, "cannot read '%s'", file);
	}
	free(path);
	buf_release(&text);
	return rv;
}

/* The .env file. */

/* In a folder of strangers a .env may be theirs: it must belong to the user or
 * to root and be writable by nobody else. A group is fine if it is the user's
 * own, which where the umask is 002 has no other members. */
static bool
is_own(const struct stat *st)
{
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return false;
	if (st->st_mode & S_IWOTH)
		return false;
	return !(st->st_mode & S_IWGRP) || st->st_gid == getegid();
}

/* Reads the .env that nobody named, if there is one that may be used. */
static int
read_found(struct load *l, struct buf *text)
{
	int fd = open(".env", O_RDONLY | O_CLOEXEC | O_NONBLOCK), rv = -1;
	struct stat st;

	if (fd < 0 && errno != ENOENT)
		note(l, "'.env' is ignored: %s", strerror(errno));
	if (fd < 0)
		return -1;
	/* A folder of that name is a virtual environment of Python. */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		if (!is_own(&st))
			note(l,
			    "'.env' is ignored: others own it or can write to "
			    "it; chmod or chown it, or name it in a "
			    "configuration");
		else if ((rv = read_fd(fd, text)) < 0)
			note(l, "'.env' is ignored: %s", strerror(errno));
	}
	close(fd);
	return rv;
}

static const char *
env_name(const struct load *l)
{
	return l->env_path ? l->env_path : ".env";
}

/* What would be a setting in the environment, but is none in a .env. */
static void
note_ignored(struct load *l)
{
	static const char *const name[] = {"HF_ENDPOINT", "HF_HOME",
	    "HF_HUB_CACHE", "HF_TOKEN_PATH", "HF_HUB_OFFLINE",
	    "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_HUB_DISABLE_SYMLINKS",
	    "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT", "http_proxy",
	    "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy",
	    "ALL_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE",
	    "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"};

	for (size_t i = 0; i < countof(name); i++)
		if (env_get(&l->env, name[i]) && !given(l, name[i]))
			note(l,
			    "%s in '%s' is ignored: only tokens are taken from "
			    "there",
			    name[i], env_name(l));
}

static int
parse_env(struct load *l, struct str text, struct err *e)
{
	if (env_parse(text, l->in->getenv_fn, l->in->ctx, &l->env, e) < 0)
		return err_in(e, "cannot read '%s'", env_name(l));
	if (l->out->verbose)
		note(l, "'%s' was read", env_name(l));
	note_ignored(l);
	return 0;
}

static int
load_env(struct load *l, struct err *e)
{
	struct buf text = buf_make(ENV_MAX + 1);
	int rv = 0;

	if (!l->env_path) {
		if (read_found(l, &text) == 0)
			parse_env(l, buf_str(&text), &l->env_fault);
	} else if (read_file(l->env_path, &text) < 0) {
		rv = err_sys(e, ERR_USAGE, "cannot read '%s'", l->env_path);
	} else {
		rv = parse_env(l, buf_str(&text), e);
	}
	release_secret(&text);
	return rv;
}

/* The token. */

/* Line ends go, wherever they are, and blanks at both ends, as with the
 * official client. Returns the length. */
static size_t
clean(const char *text, size_t n, char *out)
{
	struct str s;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (text[i] != '\r' && text[i] != '\n')
			out[kept++] = text[i];
	s = str_trim(str_make(out, kept));
	memmove(out, s.s, s.n);
	return s.n;
}

/* What is left goes into a header as it is. */
static bool
is_sendable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.s[i] <= ' ' || s.s[i] >= 127)
			return false;
	return s.n <= TOKEN_MAX;
}

/* Takes text as the token, unless nothing is left of it. The text itself is
 * never shown. */
static int
take_token(struct load *l, struct str text, const char *source, struct err *e)
{
	char *copy = xmalloc(text.n + 1);
	size_t n = clean(text.s, text.n, copy);
	int rv = 0;

	if (!is_sendable(str_make(copy, n))) {
		rv = err_set(e, ERR_USAGE,
		    "%s: no token: it has blanks, control or other "
		    "characters inside, or is too long",
		    source);
	} else if (n) {
		l->out->token = xstrndup(copy, n);
		l->out->token_source = xstrdup(source);
	}
	mem_wipe(copy, text.n);
	free(copy);
	return rv;
}

static int
token_from_option(struct load *l, struct err *e)
{
	const struct options *o = l->in->options;
	struct buf text = buf_make(TOKEN_MAX + 64);
	int rv;

	if (o->api_token) {
		rv = take_token(l, str_of(o->api_token), "--api_token", e);
		if (rv < 0 || l->out->token)
			return rv;
	}
	if (!o->token_file)
		return 0;
	rv = strcmp(o->token_file, "-") == 0 ? read_fd(STDIN_FILENO, &text)
					     : read_file(o->token_file, &text);
	if (rv < 0 && errno == EISDIR && strcmp(o->token_file, "-") == 0)
		/* What hub.c opens in its place. */
		err_set(e, ERR_USAGE,
		    "--token-file: standard input is closed, or a folder");
	else if (rv < 0)
		err_sys(e, ERR_USAGE, "--token-file: cannot read '%s'",
		    o->token_file);
	else
		rv = take_token(l, buf_str(&text), "--token-file", e);
	release_secret(&text);
	if (rv == 0 && !l->out->token)
		rv = err_set(e, ERR_USAGE, "--token-file: '%s' holds no token",
		    o->token_file);
	return rv;
}

/* The names that are looked for, in the environment and then in .env. */
static const char *const token_name[][3] = {
    [CONFIG_READ] = {"HUGGINGFACE_READ_API", "HF_TOKEN",
	"HUGGING_FACE_HUB_TOKEN"},
    [CONFIG_WRITE] = {"HUGGINGFACE_WRITE_API", "HF_TOKEN",
	"HUGGING_FACE_HUB_TOKEN"},
};

static int
token_from_environment(struct load *l, struct err *e)
{
	for (size_t i = 0; i < countof(token_name[0]) && !l->out->token; i++) {
		const char *name = token_name[l->in->purpose][i];

		if (take_token(l, str_of(given(l, name)), name, e) < 0)
			return -1;
	}
	return 0;
}

/* A variable that is set in the environment, be it empty, is not overridden. */
static int
token_from_env(struct load *l, struct err *e)
{
	for (size_t i = 0; i < countof(token_name[0]) && !l->out->token; i++) {
		const char *name = token_name[l->in->purpose][i];
		const char *value = env_get(&l->env, name);
		struct buf source = buf_make(CONFIG_MAX);
		int rv;

		if (!value || given(l, name))
			continue;
		buf_printf(&source, "%s in '%s'", name, env_name(l));
		rv = take_token(l, str_of(value), buf_cstr(&source), e);
		buf_release(&source);
		if (rv < 0)
			return -1;
	}
	return 0;
}

/* The file that the official client's login wrote. Only one that HF_TOKEN_PATH
 * names must be readable, and none must exist. */
static int
token_from_file(struct load *l, struct err *e)
{
	struct buf text = buf_make(TOKEN_MAX + 64);
	char *path;
	int rv = 0;

	if (load_path(l, "HF_TOKEN_PATH", l->out->hf_home, "token", &path, e) <
	    0)
		return -1;
	if (!path)
		return 0;
	if (read_file(path, &text) == 0)
		rv = take_token(l, buf_str(&text), path, e);
	else if (errno == ENOENT || errno == ENOTDIR)
		rv = 0;
	else if (get(l, "HF_TOKEN_PATH"))
		rv = err_sys(e, ERR_USAGE, "cannot read '%s'", path);
	else
		note(l, "'%s' is ignored: %s", path, strerror(errno));
	release_secret(&text);
	free(path);
	return rv;
}

/* What nobody has given for this run. */
static int
find_implicit(struct load *l, struct err *e)
{
	if (is_true(given(l, "HF_HUB_DISABLE_IMPLICIT_TOKEN"))) {
		if (l->in->purpose == CONFIG_WRITE || l->out->verbose)
			note(l, "HF_HUB_DISABLE_IMPLICIT_TOKEN is set: only "
				"--api_token and --token-file give a token");
		return 0;
	}
	if (token_from_environment(l, e) < 0)
		return -1;
	if (l->out->token)
		return 0;
	if (l->env_fault.kind) {
		*e = l->env_fault;
		l->env_fault.kind = ERR_NONE;
		return err_hint(e, "mend the line, or set HF_TOKEN");
	}
	if (token_from_env(l, e) < 0)
		return -1;
	return l->out->token ? 0 : token_from_file(l, e);
}

static int
load_token(struct load *l, struct err *e)
{
	if (token_from_option(l, e) < 0)
		return -1;
	if (!l->out->token && find_implicit(l, e) < 0)
		return -1;
	if (l->env_fault.kind)
		note(l, "'.env' is ignored: %s", l->env_fault.msg);
	return 0;
}

/* The network. */

static int
load_endpoint(struct load *l, struct err *e)
{
	const char *value = l->in->options->endpoint, *what = "--endpoint";
	struct str text;
	struct url url;

	if (!value || !*value) {
		value = get(l, "HF_ENDPOINT");
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
		    "%s: an address without user, query and fragment is wanted",
		    what);
	l->out->endpoint = str_dup(text);
	return 0;
}

/* The lower-case name counts first, and empty it takes the other away. */
static const char *
proxy_variable(const struct load *l, const char *lower, const char *upper)
{
	const char *value = given(l, lower);

	if (!value && upper)
		value = given(l, upper);
	return value && *value ? value : NULL;
}

static void
load_proxy(struct load *l)
{
	struct proxy_rules *p = &l->out->proxy;
	const char *option = l->in->options->proxy;
	/* In a CGI program this one comes from a header of the request. */
	bool cgi = given(l, "REQUEST_METHOD") != NULL;

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
load_roots(struct load *l)
{
	static const char *const source[] = {"--ca-file", "SSL_CERT_FILE",
	    "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"};
	struct config *c = l->out;

	for (size_t i = 0; i < countof(source); i++) {
		const char *path =
		    i ? get(l, source[i]) : l->in->options->ca_file;

		if (!path || is_repeated(c, path))
			continue;
		c->ca_file[i] = xstrdup(path);
		c->ca_source[i] = source[i];
	}
	if (get(l, "SSL_CERT_DIR"))
		c->ca_dir = xstrdup(get(l, "SSL_CERT_DIR"));
}

/* The seconds of a variable in milliseconds; 0 if it is unset or 0. */
static int
load_seconds(
    const struct load *l, const char *name, unsigned *ms, struct err *e)
{
	const char *value = get(l, name);
	uint64_t n = 0;

	*ms = 0;
	if (value && str_num(str_trim(str_of(value)), 10, UINT64_MAX, &n) < 0)
		return err_set(e, ERR_USAGE, "%s: '%s' is no number of seconds",
		    name, value);
	*ms = (unsigned)(n < SECONDS_MAX ? n : SECONDS_MAX) * 1000;
	return 0;
}

static unsigned
larger(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

static int
load_timeouts(struct load *l, struct err *e)
{
	const struct options *o = l->in->options;
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
load_display(struct load *l)
{
	const struct options *o = l->in->options;
	struct config *c = l->out;

	c->progress = o->progress;
	if (c->progress == PROGRESS_AUTO &&
	    is_true(given(l, "HF_HUB_DISABLE_PROGRESS_BARS")))
		c->progress = PROGRESS_NONE;
	c->quiet = o->quiet;
	c->verbose = o->verbose;
	c->json = o->json;
	c->no_color = get(l, "NO_COLOR") != NULL;
	c->term = given(l, "TERM") ? xstrdup(given(l, "TERM")) : NULL;
	c->ci = get(l, "CI") != NULL;
}

static void
load_limits(struct load *l)
{
	const struct options *o = l->in->options;
	struct config *c = l->out;
	const char *offline = get(l, "HF_HUB_OFFLINE");

	c->offline =
	    is_true(offline ? offline : get(l, "TRANSFORMERS_OFFLINE"));
	c->no_symlinks = is_true(given(l, "HF_HUB_DISABLE_SYMLINKS"));
	if (o->ipv4 != o->ipv6)
		c->family = o->ipv4 ? NET_IPV4 : NET_IPV6;
	c->retries = o->has_retries ? o->retries : 8;
	c->jobs = o->jobs;
	c->machine = jobs_look();
	c->rate = o->limit_rate;
}

int
config_load(const struct config_input *in, struct config *out, struct err *e)
{
	struct load l = {.in = in, .out = out};
	int rv = -1;

	*out = (struct config){.notes = buf_make(NOTES_MAX)};
	load_display(&l);
	load_limits(&l);
	load_proxy(&l);
	load_roots(&l);
	if (load_timeouts(&l, e) == 0 && load_endpoint(&l, e) == 0 &&
	    load_paths(&l, e) == 0 && load_config_file(&l, e) == 0 &&
	    load_env(&l, e) == 0)
		rv = load_token(&l, e);
	env_release(&l.env);
	free(l.env_path);
	if (rv < 0)
		config_release(out);
	return rv;
}

void
config_release(struct config *c)
{
	if (c->token)
		mem_wipe(c->token, strlen(c->token));
	free(c->token);
	free(c->token_source);
	free(c->endpoint);
	free(c->hf_home);
	free(c->state_home);
	free(c->hub_cache);
	for (size_t i = 0; i < countof(c->ca_file); i++)
		free(c->ca_file[i]);
	free(c->ca_dir);
	free(c->term);
	buf_release(&c->notes);
	*c = (struct config){.notes = buf_make(NOTES_MAX)};
}

const char *
config_token_places(enum config_purpose p)
{
#define PLACES(first) \
	"--api_token, --token-file, " first ", HF_TOKEN and " \
	"HUGGING_FACE_HUB_TOKEN in the environment and in .env, and the token " \
	"file of 'hf auth login'"
	static const char *const places[] = {
	    [CONFIG_READ] = PLACES("HUGGINGFACE_READ_API"),
	    [CONFIG_WRITE] = PLACES("HUGGINGFACE_WRITE_API"),
	};
#undef PLACES

	return places[p];
}
