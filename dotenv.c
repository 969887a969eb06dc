#include "dotenv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "json.h"
#include "mem.h"
#include "secret.h"
#include "str.h"
#include "variable.h"

#define CONFIG_MAX (1 << 20) /* bytes of a configuration file */

struct load {
	const struct variables *variables;
	struct buf *notes;
	bool verbose;
};

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
read_config(
    struct dotenv *d, const struct load *l, const char *file, struct err *e)
{
	struct buf text = buf_make(CONFIG_MAX + 1);
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
read_found(struct buf *notes, struct buf *text)
{
	int fd = open(".env", O_RDONLY | O_CLOEXEC | O_NONBLOCK), rv = -1;
	struct stat st;

	if (fd < 0 && errno != ENOENT)
		buf_line(notes, "'.env' is ignored: %s", strerror(errno));
	if (fd < 0)
		return -1;
	/* A folder of that name is a virtual environment of Python. */
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

const char *
dotenv_name(const struct dotenv *d)
{
	return d->path ? d->path : ".env";
}

/* What would be a setting in the environment, but is none in a .env. */
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

/* Where a token would be another one with the environment filled in. */
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

/* What was read from the file that nobody named. */
static void
parse_found(struct dotenv *d, const struct load *l, struct str text)
{
	struct err e;

	if (env_parse(text, no_variable, NULL, &d->env, &e) < 0)
		buf_line(l->notes, "'.env' is ignored: %s", e.msg);
	else
		note_unfilled(d, l, text);
}

/* What was read from the file that the configuration names. */
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
	struct buf text = buf_make(ENV_MAX + 1);
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
		buf_line(l->notes, "'%s' was read", dotenv_name(d));
	note_ignored(d, l);
	return 0;
}

int
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

void
dotenv_release(struct dotenv *d)
{
	env_release(&d->env);
	free(d->path);
	*d = (struct dotenv){0};
}
