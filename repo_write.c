#include "repo_write.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "err.h"
#include "mem.h"

#define TEXT_MAX ((size_t)4 << 20)
#define TITLE_MAX 4096

/* A JSON body to a URL that is taken. */
static int
post(const struct repo *r, struct buf *url, const struct buf *body,
    const struct answer_about *what, struct buf *text, struct err *e)
{
	const struct request req = {
	    .method = "POST",
	    .url = buf_cstr(url),
	    .content_type = "application/json",
	    .body = buf_cstr(body),
	    .length = body->len,
	};
	int rv = repo_call(r, &req, what, text, NULL, e);

	buf_release(url);
	return rv;
}

int
repo_exists(const struct repo *r, bool *there, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf url = repo_api_url(r), text = buf_make(TEXT_MAX);
	const struct request req = {.method = "GET", .url = buf_cstr(&url)};
	int rv = repo_call(r, &req, &what, &text, NULL, e);

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

int
repo_create(const struct repo *r, bool is_private, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf url = buf_make(URL_MAX), body = buf_make(TITLE_MAX);
	struct buf text = buf_make(TEXT_MAX);
	struct request req = {
	    .method = "POST", .content_type = "application/json"};
	struct response *resp;
	int rv = 0;

	buf_printf(&url, "%s/api/repos/create", r->endpoint);
	put_create(r, is_private, &body);
	req.url = buf_cstr(&url);
	req.body = buf_cstr(&body);
	req.length = body.len;
	resp = client_call(r->client, &req, &text, e);
	if (!resp)
		rv = -1;
	/* 409: it exists already, perhaps since our own lost try. */
	else if (response_head(resp)->status >= 300 &&
		 response_head(resp)->status != 409)
		rv =
		    answer_error(response_head(resp), buf_str(&text), &what, e);
	if (rv < 0)
		err_in(e, "cannot create '%s'", r->id);
	response_close(resp);
	buf_release(&url);
	buf_release(&body);
	buf_release(&text);
	return rv;
}

int
repo_create_branch(const struct repo *r, const char *name, struct err *e)
{
	struct answer_about what = repo_about(r, name, NULL);
	struct buf url = repo_api_url(r), text = buf_make(TEXT_MAX);
	struct request req = {.method = "POST",
	    .content_type = "application/json",
	    .body = "{}",
	    .length = 2};
	struct response *resp;
	int rv = 0;

	repo_add_quoted(&url, "/branch/", name);
	req.url = buf_cstr(&url);
	resp = client_call(r->client, &req, &text, e);
	if (!resp)
		rv = -1;
	else if (response_head(resp)->status >= 300 &&
		 response_head(resp)->status != 409)
		rv =
		    answer_error(response_head(resp), buf_str(&text), &what, e);
	if (rv < 0)
		err_in(e, "cannot create the branch '%s'", name);
	response_close(resp);
	buf_release(&url);
	buf_release(&text);
	return rv;
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

/* Statuses that say no to this commit, whatever the reason. */
static int
refused(const struct http_head *h, struct buf *text,
    const struct answer_about *what, struct err *e)
{
	answer_error(h, buf_str(text), what, e);
	if (e->kind == ERR_OTHER)
		e->kind = ERR_REFUSED;
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
			 ? refused(response_head(resp), &text, &what, e)
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
	struct json all, first;
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
		if (json_next(&it, NULL, &first))
			id = json_get_strdup(&first, "id", 40);
		if (id && str_is_hex(str_of(id), 40)) {
			memcpy(commit, id, 41);
			*title = json_get_strdup(&first, "title", TITLE_MAX);
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

int
repo_open_pull_request(const struct repo *r, const char *title,
    const char *description, uint64_t *number, char **link, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf url = repo_api_url(r), text = buf_make(TEXT_MAX);
	struct buf body = buf_make(1 << 20);
	struct json all;
	int rv;

	buf_puts(&url, "/discussions");
	buf_puts(&body, "{\"title\":");
	json_put_string(&body, str_of(title));
	buf_puts(&body, ",\"description\":");
	json_put_string(&body, str_of(description));
	buf_puts(&body, ",\"pullRequest\":true}");
	rv = post(r, &url, &body, &what, &text, e);
	if (rv == 0)
		rv = json_parse(buf_str(&text), &all, e);
	if (rv == 0 && json_get_uint(&all, "num", UINT32_MAX, number) < 0)
		rv = err_set(
		    e, ERR_CONTENT, "the Hub does not number the pull request");
	if (rv == 0)
		*link = json_get_strdup(&all, "url", TITLE_MAX);
	else
		err_in(e, "cannot open a pull request");
	buf_release(&body);
	buf_release(&text);
	return rv;
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
