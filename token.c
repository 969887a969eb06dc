#include "token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env.h"
#include "err.h"
#include "file.h"
#include "json.h"
#include "option.h"
#include "str.h"

/* --- Files that leave no copy of the token. --- */

/* Read a file or a pipe to its end into the empty b. -1 sets errno: EFBIG if
 * there is more than b's limit. The room is taken at once: a buffer that grows
 * leaves copies behind. */
static int
secret_read_fd(int fd, struct buf *b)
{
	buf_room(b, b->max);
	return file_read_fd(fd, b);
}

static int
secret_read_file(const char *path, struct buf *b)
{
	buf_room(b, b->max);
	return file_read(path, b);
}

/* Wipes and releases. */
static void
secret_release(struct buf *b)
{
	if (b->s)
		mem_wipe(b->s, b->cap);
	buf_release(b);
}

/* --- Which .env file counts. --- */

#define CONFIG_MAX (1 << 20) /* bytes of a configuration file */

struct load {
	const struct variables *variables;
	struct buf *notes;
	bool verbose;
};

/* Sets the error for a wrong value, with its line. */
static int
bad_value(
    struct str text, const struct json *at, const char *why, struct err *e)
{
	size_t line = 1;

	for (const char *p = text.s; p < at->text.s; p++)
		line += *p == '\n';
	return err_set(e, ERR_USAGE, "line %zu: %s", line, why);
}

/* Finds the member of that name; JSON_NULL if there is none. Two are an error,
 * since here the member decides which file gives the token. */
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

/* Sets *path to a copy of the path in app.env; NULL if there is none. */
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
read_config(
    struct dotenv *d, const struct load *l, const char *file, struct err *e)
{
	struct buf text = buf_make(CONFIG_MAX);
	char *path = NULL;
	int rv = secret_read_file(file, &text);

	if (rv < 0)
		err_sys(e, ERR_USAGE, "cannot read '%s'", file);
	else if ((rv = find_env(buf_str(&text), &path, e)) < 0)
		err_in(e, "cannot read '%s'", file);
	if (rv == 0 && path) {
		d->path = variable_expand(l->variables, "app.env", path, e);
		rv = d->path ? 0 : err_in(e, "cannot read '%s'", file);
	}
	free(path);
	buf_release(&text);
	return rv;
}

/* True if the .env can be trusted: it belongs to the user or to root, and no
 * other user can write to it; in a shared folder it may be somebody else's. A
 * group may write if it is the user's own, which has no other members where the
 * umask is 002. */
static bool
is_own(const struct stat *st)
{
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return false;
	if (st->st_mode & S_IWOTH)
		return false;
	return !(st->st_mode & S_IWGRP) || st->st_gid == getegid();
}

/* Reads the .env in the working directory, if there is one that may be used. */
static int
read_found(struct buf *notes, struct buf *text)
{
	int fd = open(".env", O_RDONLY | O_CLOEXEC | O_NONBLOCK), rv = -1;
	struct stat st;

	if (fd < 0 && errno != ENOENT)
		buf_line(notes, "'.env' is ignored: %s", strerror(errno));
	if (fd < 0)
		return -1;
	/* A folder named .env is a virtual environment of Python. */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		if (!is_own(&st))
			buf_line(notes,
			    "'.env' is ignored: others own it or can write to "
			    "it; chmod or chown it, or name it in a "
			    "configuration");
		else if ((rv = secret_read_fd(fd, text)) < 0)
			buf_line(
			    notes, "'.env' is ignored: %s", strerror(errno));
	}
	close(fd);
	return rv;
}

/* Returns the name of the file, for a sentence; it belongs to d. */
static const char *
dotenv_name(const struct dotenv *d)
{
	return d->path ? d->path : ".env";
}

/* Notes variables that would be settings in the environment, but are ignored in
 * a .env. */
static void
note_ignored(const struct dotenv *d, const struct load *l)
{
	static const char *const name[] = {"HF_ENDPOINT", "HF_HOME",
	    "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN",
	    "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT", "http_proxy",
	    "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy",
	    "ALL_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE",
	    "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"};

	for (size_t i = 0; i < countof(name); i++)
		if (env_get(&d->env, name[i]) &&
		    !variable_raw(l->variables, name[i]))
			buf_line(l->notes,
			    "%s in '%s' is ignored: only tokens are taken from "
			    "there",
			    name[i], dotenv_name(d));
}

static const char *
no_variable(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return NULL;
}

/* Notes a token that would be different with the environment filled in. */
static void
note_unfilled(const struct dotenv *d, const struct load *l, struct str text)
{
	struct env filled;
	struct err e;

	if (env_parse(text, l->variables->get, l->variables->ctx, &filled, &e) <
	    0)
		return;
	for (size_t i = 0; i < d->env.n; i++) {
		const char *name = d->env.pair[i].name;
		const char *value = env_get(&d->env, name);

		if (value && strcmp(value, env_get(&filled, name)) != 0 &&
		    (strcmp(name, "HF_TOKEN") == 0 ||
			strncmp(name, "HUGGING", strlen("HUGGING")) == 0))
			buf_line(l->notes,
			    "%s in '.env' names a variable of the environment, "
			    "which is filled in only in a file that a "
			    "configuration names",
			    name);
	}
	env_release(&filled);
}

/* The result of reading the file that was not named. */
static void
parse_found(struct dotenv *d, const struct load *l, struct str text)
{
	struct err e;

	if (env_parse(text, no_variable, NULL, &d->env, &e) < 0)
		buf_line(l->notes, "'.env' is ignored: %s", e.msg);
	else
		note_unfilled(d, l, text);
}

/* The result of reading the file that the configuration names. */
static int
parse_named(
    struct dotenv *d, const struct load *l, struct str text, struct err *e)
{
	if (env_parse(text, l->variables->get, l->variables->ctx, &d->env, e) <
	    0)
		return err_in(e, "cannot read '%s'", d->path);
	return 0;
}

static int
read_env(struct dotenv *d, const struct load *l, struct err *e)
{
	struct buf text = buf_make(ENV_MAX);
	bool read = true;
	int rv = 0;

	if (!d->path && (read = read_found(l->notes, &text) == 0))
		parse_found(d, l, buf_str(&text));
	else if (d->path && secret_read_file(d->path, &text) < 0)
		rv = err_sys(e, ERR_USAGE, "cannot read '%s'", d->path);
	else if (d->path)
		rv = parse_named(d, l, buf_str(&text), e);
	secret_release(&text);
	if (rv < 0 || !read)
		return rv;
	if (l->verbose)
		buf_line(l->notes, "reading '%s'", dotenv_name(d));
	note_ignored(d, l);
	return 0;
}

static void dotenv_release(struct dotenv *d);

/* config_path is that of the configuration file, NULL for none. notes gets a
 * line for each thing that is ignored, and with verbose one for what was read.
 * Errors are ERR_USAGE: a file that was named cannot be read or parsed. */
static int
dotenv_load(struct dotenv *d, const struct variables *v,
    const char *config_path, bool verbose, struct buf *notes, struct err *e)
{
	const struct load l = {v, notes, verbose};

	*d = (struct dotenv){0};
	if ((!config_path || read_config(d, &l, config_path, e) == 0) &&
	    read_env(d, &l, e) == 0)
		return 0;
	dotenv_release(d);
	return -1;
}

/* Wipes and frees. */
static void
dotenv_release(struct dotenv *d)
{
	env_release(&d->env);
	free(d->path);
	*d = (struct dotenv){0};
}

/* --- Where the token comes from. --- */

#define TOKEN_MAX 4096 /* bytes; those of the Hub have 37, OAuth's some 1000 */
#define SOURCE_MAX (1 << 20) /* bytes of the text that names its source */

struct search {
	const struct token_input *in;
	struct token *out;
	struct dotenv dotenv;
	struct buf *notes;
};

/* True if s is between two of this quote. */
static bool
is_quoted(struct str s, char quote)
{
	return s.n > 1 && s.s[0] == quote && s.s[s.n - 1] == quote;
}

/* Returns s without what is around the token: a byte order mark, blanks and
 * quotes, in any order. */
static struct str
bare(struct str s)
{
	size_t before;

	do {
		before = s.n;
		s = str_trim(s);
		if (str_starts(s, "\xef\xbb\xbf"))
			s = str_make(s.s + 3, s.n - 3);
		if (is_quoted(s, '"') || is_quoted(s, '\''))
			s = str_make(s.s + 1, s.n - 2);
	} while (s.n < before);
	return s;
}

/* Copies the token without line ends, wherever they are, as the official client
 * does, and without what is around it. Returns the length. */
static size_t
clean(const char *text, size_t n, char *out)
{
	struct str s;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (text[i] != '\r' && text[i] != '\n')
			out[kept++] = text[i];
	s = bare(str_make(out, kept));
	memmove(out, s.s, s.n);
	return s.n;
}

/* Returns why the token cannot be in a header; NULL if it can. */
static const char *
fault_of(struct str s)
{
	if (s.n > TOKEN_MAX)
		return "is longer than 4096 bytes";
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.s[i];

		if (c == ' ' || c == '\t')
			return "contains a blank";
		if (c < ' ' || c == 127)
			return "contains a control character";
		if (c > 127)
			return "contains a character that is not ASCII, such "
			       "as a curly quote";
		if (c == '"' || c == '\'')
			return "contains a quote";
	}
	return NULL;
}

/* Takes text as the token, unless nothing is left of it. The text itself is
 * never shown. */
static int
take(struct search *s, struct str text, const char *source, struct err *e)
{
	char *copy = xmalloc(text.n + 1);
	size_t n = clean(text.s, text.n, copy);
	const char *fault = fault_of(str_make(copy, n));
	int rv = 0;

	if (fault) {
		rv = err_set(
		    e, ERR_USAGE, "%s: invalid token: it %s", source, fault);
	} else if (n) {
		s->out->text = xstrndup(copy, n);
		s->out->source = xstrdup(source);
		str_hide(s->out->text);
	}
	mem_wipe(copy, text.n);
	free(copy);
	return rv;
}

/* Takes the first line of the file that an option names: a password manager may
 * write more below it. */
static int
from_option_file(struct search *s, const char *path, struct err *e)
{
	bool is_stdin = strcmp(path, "-") == 0;
	struct buf text = buf_make(TOKEN_MAX + 64);
	struct str line, rest;
	int rv = is_stdin ? secret_read_fd(STDIN_FILENO, &text)
			  : secret_read_file(path, &text);

	line = buf_str(&text);
	str_cut(line, '\n', &line, &rest);
	if (rv == 0)
		rv = take(s, line, "--token-file", e);
	else if (errno == EISDIR && is_stdin)
		/* Descriptor 0 is "/", which hub.c opens if it was closed. */
		err_set(e, ERR_USAGE,
		    "--token-file: cannot read standard input: it is closed, "
		    "or a folder");
	else
		err_sys(e, ERR_USAGE, "--token-file: cannot read '%s'", path);
	secret_release(&text);
	if (rv == 0 && !is_stdin)
		s->out->file = xstrdup(path);
	if (rv == 0 && !s->out->text)
		rv = err_set(
		    e, ERR_USAGE, "--token-file: '%s' contains no token", path);
	return rv;
}

static int
from_option(struct search *s, struct err *e)
{
	const struct options *o = s->in->options;

	if (o->api_token) {
		if (take(s, str_of(o->api_token), "--api_token", e) < 0)
			return -1;
		if (s->out->text)
			return 0;
	}
	return o->token_file ? from_option_file(s, o->token_file, e) : 0;
}

/* The names that are looked for, in the environment and then in .env. */
static const char *const names[][3] = {
    [TOKEN_READ] = {"HUGGINGFACE_READ_API", "HF_TOKEN",
	"HUGGING_FACE_HUB_TOKEN"},
    [TOKEN_WRITE] = {"HUGGINGFACE_WRITE_API", "HF_TOKEN",
	"HUGGING_FACE_HUB_TOKEN"},
};

static int
from_environment(struct search *s, struct err *e)
{
	for (size_t i = 0; i < countof(names[0]) && !s->out->text; i++) {
		const char *name = names[s->in->purpose][i];

		if (take(s, str_of(variable_raw(&s->in->variables, name)), name,
			e) < 0)
			return -1;
	}
	return 0;
}

/* Takes the token from .env. A variable that is set in the environment, even if
 * empty, is not overridden. */
static int
from_dotenv(struct search *s, struct err *e)
{
	for (size_t i = 0; i < countof(names[0]) && !s->out->text; i++) {
		const char *name = names[s->in->purpose][i];
		const char *value = env_get(&s->dotenv.env, name);
		struct buf source = buf_make(SOURCE_MAX);
		int rv;

		if (!value || variable_raw(&s->in->variables, name))
			continue;
		buf_printf(
		    &source, "%s in '%s'", name, dotenv_name(&s->dotenv));
		rv = take(s, str_of(value), buf_cstr(&source), e);
		buf_release(&source);
		if (rv < 0)
			return -1;
		if (s->out->text)
			s->out->file = xstrdup(dotenv_name(&s->dotenv));
	}
	return 0;
}

/* Takes the file of the official client's login. It may be missing; only one
 * that HF_TOKEN_PATH names must be readable. */
static int
from_file(struct search *s, struct err *e)
{
	struct buf text = buf_make(TOKEN_MAX + 64);
	char *path;
	int rv = 0;

	if (variable_path(&s->in->variables, "HF_TOKEN_PATH", s->in->hf_home,
		"token", &path, e) < 0)
		return -1;
	if (!path)
		return 0;
	if (secret_read_file(path, &text) == 0)
		rv = take(s, buf_str(&text), path, e);
	else if (errno == ENOENT || errno == ENOTDIR)
		rv = 0;
	else if (variable_get(&s->in->variables, "HF_TOKEN_PATH"))
		rv = err_sys(e, ERR_USAGE, "cannot read '%s'", path);
	else
		buf_line(
		    s->notes, "'%s' is ignored: %s", path, strerror(errno));
	secret_release(&text);
	if (s->out->text)
		s->out->file = path;
	else
		free(path);
	return rv;
}

/* Searches the sources that were not given for this run alone. */
static int
find_implicit(struct search *s, struct err *e)
{
	if (variable_is_true(
		&s->in->variables, "HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		if (s->in->purpose == TOKEN_WRITE || s->in->options->verbose)
			buf_line(s->notes,
			    "HF_HUB_DISABLE_IMPLICIT_TOKEN is set: only "
			    "--api_token and --token-file give a token");
		return 0;
	}
	if (from_environment(s, e) < 0)
		return -1;
	if (s->out->text)
		return 0;
	if (from_dotenv(s, e) < 0)
		return -1;
	return s->out->text ? 0 : from_file(s, e);
}

int
token_find(const struct token_input *in, struct token *out, struct buf *notes,
    struct err *e)
{
	const struct options *o = in->options;
	struct search s = {.in = in, .out = out, .notes = notes};
	int rv;

	*out = (struct token){0};
	rv = dotenv_load(
	    &s.dotenv, &in->variables, o->config_path, o->verbose, notes, e);
	if (rv == 0)
		rv = from_option(&s, e);
	if (rv == 0 && !out->text)
		rv = find_implicit(&s, e);
	if (s.dotenv.path)
		out->dotenv = xstrdup(s.dotenv.path);
	dotenv_release(&s.dotenv);
	if (rv < 0)
		token_release(out);
	return rv;
}

void
token_release(struct token *t)
{
	str_hide(NULL);
	if (t->text)
		mem_wipe(t->text, strlen(t->text));
	free(t->text);
	free(t->source);
	free(t->file);
	free(t->dotenv);
	*t = (struct token){0};
}

const char *
token_places(enum token_purpose p)
{
#define PLACES(first) \
	"--api_token, --token-file, " first ", HF_TOKEN and " \
	"HUGGING_FACE_HUB_TOKEN in the environment and in .env, and the " \
	"token file of 'hf auth login'"
	return p == TOKEN_READ ? PLACES("HUGGINGFACE_READ_API")
			       : PLACES("HUGGINGFACE_WRITE_API");
#undef PLACES
}
