#include "token.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dotenv.h"
#include "err.h"
#include "mem.h"
#include "option.h"
#include "secret.h"
#include "str.h"

#define TOKEN_MAX 4096 /* bytes; those of the Hub have 37, OAuth's some 1000 */
#define SOURCE_MAX (1 << 20) /* bytes of what is said of where it is from */

struct search {
	const struct token_input *in;
	struct token *out;
	struct dotenv dotenv;
	struct buf *notes;
};

/* Whether it stands between two of this quote. */
static bool
is_quoted(struct str s, char quote)
{
	return s.n > 1 && s.s[0] == quote && s.s[s.n - 1] == quote;
}

/* Without what is not of the token itself: a byte order mark, blanks and quotes
 * around it, in any order. */
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

/* Line ends go, wherever they are, as with the official client, and then what
 * is around it. Returns the length. */
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

/* Why it cannot go into a header as it is; NULL if it can. */
static const char *
fault_of(struct str s)
{
	if (s.n > TOKEN_MAX)
		return "is longer than 4096 bytes";
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.s[i];

		if (c == ' ' || c == '\t')
			return "has a blank in it";
		if (c < ' ' || c == 127)
			return "has a control character in it";
		if (c > 127)
			return "has a character in it that is not ASCII, such "
			       "as a curly quote";
		if (c == '"' || c == '\'')
			return "has a quote in it";
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
		    e, ERR_USAGE, "%s: this is no token: it %s", source, fault);
	} else if (n) {
		s->out->text = xstrndup(copy, n);
		s->out->source = xstrdup(source);
		str_hide(s->out->text);
	}
	mem_wipe(copy, text.n);
	free(copy);
	return rv;
}

/* Of the file that an option names: its first line, since a password manager
 * may tell more below it. */
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
		/* What hub.c opens in its place. */
		err_set(e, ERR_USAGE,
		    "--token-file: standard input is closed, or a folder");
	else
		err_sys(e, ERR_USAGE, "--token-file: cannot read '%s'", path);
	secret_release(&text);
	if (rv == 0 && !is_stdin)
		s->out->file = xstrdup(path);
	if (rv == 0 && !s->out->text)
		rv = err_set(
		    e, ERR_USAGE, "--token-file: '%s' holds no token", path);
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

/* A variable that is set in the environment, be it empty, is not overridden. */
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

/* The file that the official client's login wrote. Only one that HF_TOKEN_PATH
 * names must be readable, and none must exist. */
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

/* What nobody has given for this run. */
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
	"HUGGING_FACE_HUB_TOKEN in the environment and in .env, and the token " \
	"file of 'hf auth login'"
	static const char *const places[] = {
	    [TOKEN_READ] = PLACES("HUGGINGFACE_READ_API"),
	    [TOKEN_WRITE] = PLACES("HUGGINGFACE_WRITE_API"),
	};
#undef PLACES

	return places[p];
}
