#include "repo_write.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "err.h"
#include "mem.h"
#include "wait.h"

#define TEXT_MAX ((size_t)4 << 20)
#define TITLE_MAX 4096

/* Code points of a pull request's title. */
#define PR_TITLE_MAX 200

#define BUSY_TRIES 6
#define BUSY_BASE 1000
#define BUSY_CAP 8000

static struct request
post_of(const struct buf *url, const struct buf *body)
{
	return (struct request){
	    .method = "POST",
	    .url = buf_cstr(url),
	    .content_type = "application/json",
	    .body = buf_cstr(body),
	    .length = body->len,
	};
}

/* A JSON body to a URL that is taken. */
static int
post(const struct repo *r, struct buf *url, const struct buf *body,
    const struct answer_about *what, struct buf *text, struct err *e)
{
	const struct request req = post_of(url, body);
	int rv = repo_call(r, &req, what, text, NULL, e);

	buf_release(url);
	return rv;
}

int
repo_exists(const struct repo *r, bool *there, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf url = repo_api_url(r), text = buf_make(TEXT_MAX);
	struct request req = {.method = "GET"};
	int rv;

	/* Else the names of all files come, too. */
	buf_puts(&url, "?expand=sha");
	req.url = buf_cstr(&url);
	rv = repo_call(r, &req, &what, &text, NULL, e);
	*there = rv == 0;
	buf_release(&url);
	buf_release(&text);
	return rv < 0 && e->kind != ERR_ABSENT ? -1 : 0;
}

static void
put_create(const struct repo *r, bool is_private, struct buf *b)
{
	struct str space, name = str_of(r->id);
	bool has_space = str_cut(name, '/', &space, &name);

	buf_puts(b, "{\"name\":");
	json_put_string(b, name);
	buf_puts(b, ",\"organization\":");
	if (has_space)
		json_put_string(b, space);
	else
		buf_puts(b, "null");
	if (r->type != REPO_MODEL)
		buf_printf(b, ",\"type\":\"%s\"", repo_type_name(r->type));
	if (r->type == REPO_SPACE)
		buf_puts(b, ",\"sdk\":\"static\"");
	/* Without it the account's default counts. */
	if (is_private)
		buf_puts(b, ",\"visibility\":\"private\"");
	buf_putc(b, '}');
}

/* As post(), but what is there already (409), perhaps since our own lost try,
 * is fine. *busy: the Hub is at it for somebody else. */
static int
create(const struct repo *r, const struct buf *url, const struct buf *body,
    const struct answer_about *what, bool *busy, struct err *e)
{
	struct buf text = buf_make(TEXT_MAX);
	const struct request req = post_of(url, body);
	struct response *resp = client_call(r->client, &req, &text, e);
	int rv = resp ? 0 : -1;

	*busy = resp && response_head(resp)->status == 409 &&
		strstr(buf_cstr(&text), "conflicting operation");
	if (resp && response_head(resp)->status >= 300 &&
	    response_head(resp)->status != 409)
		rv = repo_error(r, resp, buf_str(&text), what, e);
	response_close(resp);
	buf_release(&text);
	return rv;
}

/* Takes url and body. */
static int
create_until(const struct repo *r, struct buf *url, struct buf *body,
    const struct answer_about *what, struct err *e)
{
	bool busy = false;
	int rv;

	for (unsigned failed = 0;; failed++) {
		rv = create(r, url, body, what, &busy, e);
		if (rv == 0 && busy && failed == BUSY_TRIES)
			rv = err_set(e, ERR_NET,
			    "the Hub is busy with another operation on it");
		if (rv == 0 && busy)
			rv = wait_until(
			    wait_now() + wait_backoff(failed, BUSY_BASE,
					     BUSY_CAP, 0, wait_random()),
			    e);
		if (rv < 0 || !busy)
			break;
	}
	buf_release(url);
	buf_release(body);
	return rv;
}

int
repo_create(const struct repo *r, bool is_private, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf url = buf_make(URL_MAX), body = buf_make(TITLE_MAX);

	struct err ignored;
	bool there;

	buf_printf(&url, "%s/api/repos/create", r->endpoint);
	put_create(r, is_private, &body);
	if (create_until(r, &url, &body, &what, e) == 0)
		return 0;
	/* Somebody else may have been faster: mirrors answer that with 400, and
	 * a token may write where it may not create. */
	if (e->kind != ERR_STOPPED && repo_exists(r, &there, &ignored) == 0 &&
	    there)
		return 0;
	return err_in(e, "cannot create '%s'", r->id);
}

int
repo_create_branch(const struct repo *r, const char *name, struct err *e)
{
	struct answer_about what = repo_about(r, name, NULL);
	struct buf url = repo_api_url(r), body = buf_make(16);

	repo_add_quoted(&url, "/branch/", name);
	buf_puts(&body, "{}");
	if (create_until(r, &url, &body, &what, e) < 0)
		return err_in(e, "cannot create the branch '%s'", name);
	return 0;
}

int
repo_preupload(const struct repo *r, const char *revision, bool new_pr,
    const struct buf *question,
    void (*each)(void *ctx, const struct preupload_mode *m), void *ctx,
    char commit[41], struct err *e)
{
	struct answer_about what = repo_about(r, revision, NULL);
	struct buf url = repo_api_url(r), text = buf_make(TEXT_MAX);
	int rv;

	repo_add_quoted(&url, "/preupload/", revision);
	if (new_pr)
		buf_puts(&url, "?create_pr=1");
	rv = post(r, &url, question, &what, &text, e);
	if (rv == 0)
		rv = preupload_parse(buf_str(&text), each, ctx, commit, e);
	buf_release(&text);
	return rv;
}

/* Statuses that say no to this commit, whatever the reason. One that is not of
 * the Hub itself says nothing of whether it was done. */
static int
refused(const struct repo *r, const struct response *resp, struct buf *text,
    const struct answer_about *what, struct err *e)
{
	repo_error(r, resp, buf_str(text), what, e);
	if (e->kind == ERR_OTHER)
		e->kind =
		    response_head(resp)->status > 505 ? ERR_NET : ERR_REFUSED;
	return -1;
}

int
repo_send_commit(const struct repo *r, const char *revision,
    const struct commit *c, struct commit_answer *out, struct err *e)
{
	struct answer_about what = repo_about(r, revision, NULL);
	struct buf url = repo_api_url(r), text = buf_make(TEXT_MAX);
	struct commit_reader reader;
	struct request req = {.method = "POST",
	    .content_type = "application/x-ndjson",
	    .body_read = commit_read,
	    .ctx = &reader};
	struct response *resp;
	int rv = -1;

	repo_add_quoted(&url, "/commit/", revision);
	commit_reader_init(&reader, c);
	req.url = buf_cstr(&url);
	req.length = commit_length(c);
	resp = client_send(r->client, &req, e);
	if (resp && response_text(resp, &text, e) == 0) {
		rv = response_head(resp)->status >= 300
			 ? refused(r, resp, &text, &what, e)
			 : commit_answer_parse(buf_str(&text), out, e);
	}
	response_close(resp);
	commit_reader_release(&reader);
	buf_release(&url);
	buf_release(&text);
	return rv;
}

int
repo_newest(const struct repo *r, const char *revision, char commit[41],
    char **title, struct err *e)
{
	struct answer_about what = repo_about(r, revision, NULL);
	struct buf url = repo_api_url(r), text = buf_make(TEXT_MAX);
	struct request req = {.method = "GET"};
	struct json all, newest;
	struct json_iter it;
	char *id = NULL;
	int rv;

	repo_add_quoted(&url, "/commits/", revision);
	buf_puts(&url, "?limit=1");
	req.url = buf_cstr(&url);
	rv = repo_call(r, &req, &what, &text, NULL, e);
	if (rv == 0)
		rv = json_parse(buf_str(&text), &all, e);
	if (rv == 0) {
		it = json_iter(&all);
		if (json_next(&it, NULL, &newest))
			id = json_get_strdup(&newest, "id", 40);
		if (id && str_is_hex(str_of(id), 40)) {
			memcpy(commit, id, 41);
			*title = json_get_strdup(&newest, "title", TITLE_MAX);
		} else {
			rv = err_set(e, ERR_CONTENT,
			    "the Hub names no newest commit of '%s'", r->id);
		}
	}
	free(id);
	buf_release(&url);
	buf_release(&text);
	return rv;
}

/* The first n characters. */
static struct str
first(struct str s, size_t n)
{
	size_t at = 0;

	for (; n && at < s.n; n--) {
		size_t length = utf8_length(str_make(s.s + at, s.n - at));

		at += length ? length : 1;
	}
	return str_make(s.s, at);
}

/* The newest pull request: its number, 0 if there is none, and whether that is
 * its title. */
static int
newest_pull_request(const struct repo *r, struct str title, uint64_t *number,
    bool *same, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf url = repo_api_url(r), text = buf_make(TEXT_MAX);
	struct request req = {.method = "GET"};
	struct json all, list, one, t;
	struct json_iter it;
	int rv;

	buf_puts(&url, "/discussions?p=0&type=pull_request&status=all"
		       "&sort=recently-created");
	req.url = buf_cstr(&url);
	*number = 0;
	*same = false;
	rv = repo_call(r, &req, &what, &text, NULL, e);
	if (rv == 0)
		rv = json_parse(buf_str(&text), &all, e);
	if (rv == 0 &&
	    (!json_get(&all, "discussions", &list) || list.type != JSON_ARRAY))
		rv = err_set(e, ERR_CONTENT, "the Hub lists no pull requests");
	if (rv == 0) {
		it = json_iter(&list);
		while (json_next(&it, NULL, &one)) {
			uint64_t n;
			char *name;

			if (json_get_uint(&one, "num", UINT32_MAX, &n) < 0 ||
			    n <= *number)
				continue;
			*number = n;
			name = json_get_strdup(&one, "title", TITLE_MAX);
			*same = name && json_get(&one, "isPullRequest", &t) &&
				t.type == JSON_TRUE && str_eq(title, name);
			free(name);
		}
	}
	buf_release(&url);
	buf_release(&text);
	return rv;
}

/* One try, without the retry rule. */
static int
try_pull_request(const struct repo *r, struct str title,
    const char *description, uint64_t *number, char **link, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf url = repo_api_url(r), text = buf_make(TEXT_MAX);
	struct buf body = buf_make(1 << 20);
	struct request req;
	struct response *resp;
	struct json all;
	int rv = -1;

	buf_puts(&url, "/discussions");
	buf_puts(&body, "{\"title\":");
	json_put_string(&body, title);
	buf_puts(&body, ",\"description\":");
	json_put_string(&body, str_of(description));
	buf_puts(&body, ",\"pullRequest\":true}");
	req = post_of(&url, &body);
	resp = client_send(r->client, &req, e);
	if (resp && response_text(resp, &text, e) == 0)
		rv = response_head(resp)->status < 300
			 ? json_parse(buf_str(&text), &all, e)
			 : answer_error(
			       response_head(resp), buf_str(&text), &what, e);
	if (rv == 0 && json_get_uint(&all, "num", UINT32_MAX, number) < 0)
		rv = err_set(
		    e, ERR_CONTENT, "the Hub does not number the pull request");
	if (rv == 0)
		*link = answer_url(&all, "url");
	response_close(resp);
	buf_release(&url);
	buf_release(&body);
	buf_release(&text);
	return rv;
}

/* For people. */
static void
put_discussions(const struct repo *r, struct buf *b)
{
	buf_printf(b, "%s/%s%s/discussions", r->endpoint,
	    repo_type_prefix(r->type), r->id);
}

/* Nobody can say whether it was opened. */
static int
unknown_pull_request(const struct repo *r, struct err *e)
{
	struct buf b = buf_make(URL_MAX);

	put_discussions(r, &b);
	err_hint(e,
	    "look at %.160s whether it is there, and go on with --revision "
	    "refs/pr/NUMBER",
	    buf_cstr(&b));
	buf_release(&b);
	return err_in(e, "a pull request may have been opened");
}

int
repo_open_pull_request(const struct repo *r, const char *title,
    const char *description, unsigned retries, uint64_t *number, char **link,
    struct err *e)
{
	struct str t = first(str_of(title), PR_TITLE_MAX);
	struct buf b = buf_make(URL_MAX);
	uint64_t before, now;
	struct err why;
	bool same, known;

	known = newest_pull_request(r, t, &before, &same, &why) == 0;
	for (unsigned failed = 0;; failed++) {
		if (try_pull_request(r, t, description, number, link, e) == 0)
			return 0;
		if (e->kind != ERR_NET)
			return err_in(e, "cannot open a pull request");
		if (failed < retries &&
		    wait_until(
			wait_now() + wait_backoff(failed, BUSY_BASE, BUSY_CAP,
					 e->wait, wait_random()),
			&why) < 0) {
			*e = why;
			return -1;
		}
		if (!known || newest_pull_request(r, t, &now, &same, &why) < 0)
			return unknown_pull_request(r, e);
		if (now > before && same)
			break;
		if (failed >= retries)
			return err_in(e, "cannot open a pull request");
	}
	*number = now;
	put_discussions(r, &b);
	buf_printf(&b, "/%" PRIu64, now);
	*link = buf_detach(&b);
	return 0;
}

int
repo_publish_pull_request(const struct repo *r, uint64_t number, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf url = repo_api_url(r), text = buf_make(TEXT_MAX);
	struct buf body = buf_make(64);
	int rv;

	buf_puts(&body, "{\"status\":\"open\"}");
	buf_printf(&url, "/discussions/%" PRIu64 "/status", number);
	rv = post(r, &url, &body, &what, &text, e);
	buf_release(&body);
	buf_release(&text);
	return rv;
}
