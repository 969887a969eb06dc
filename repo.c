#include "repo.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "conn.h"
#include "err.h"
#include "str.h"
#include "wait.h"

/* --- Calls that read. --- */

/* A page of 1000 entries has some 300 kB; with long names a few times that. */
#define PAGE_MAX ((size_t)16 << 20)
#define INFO_MAX ((size_t)16 << 20)

static const char public_hub[] = "https://huggingface.co/";

struct answer_about
repo_about(const struct repo *r, const char *revision, const char *path)
{
	return (struct answer_about){
	    .id = r->id,
	    .type = repo_type_name(r->type),
	    .type_prefix = repo_type_prefix(r->type),
	    .revision = revision,
	    .path = path,
	    .has_token = r->has_token,
	    .withheld = r->withheld,
	    .endpoint = r->endpoint,
	};
}

static struct buf
repo_api_url(const struct repo *r)
{
	struct buf b = buf_make(URL_MAX);

	buf_printf(
	    &b, "%s/api/%s/%s", r->endpoint, repo_type_plural(r->type), r->id);
	return b;
}

static void
repo_add_quoted(struct buf *b, const char *before, const char *segment)
{
	buf_puts(b, before);
	url_quote(b, str_of(segment), "");
}

/* If url is not below the endpoint, puts before the error that the endpoint
 * redirects there. Returns -1. */
static int
blame_address(const struct repo *r, const struct url *url, struct err *e)
{
	struct url ours, root = *url;
	struct buf b = buf_make(URL_MAX);
	struct err ignored;

	if (url_parse(str_of(r->endpoint), &ours, &ignored) < 0 ||
	    url_is_below(url, &ours))
		return -1;
	if (url_same_origin(url, &ours)) {
		url_show(&b, url);
		err_in(e,
		    "the endpoint redirects to '%s', which is not below it",
		    buf_cstr(&b));
	} else {
		root.path.n = 0;
		url_show(&b, &root);
		err_in(e, "the endpoint redirects to '%s'%s", buf_cstr(&b),
		    r->has_token ? ", and no token was sent there" : "");
		if (e->kind == ERR_AUTH || e->kind == ERR_ABSENT)
			err_hint(e,
			    "use --endpoint %s, if that host may have the "
			    "token",
			    buf_cstr(&b));
	}
	buf_release(&b);
	return -1;
}

/* True if a proxy may have made the answer: it came in clear text, without the
 * fields in which the Hub gives its reason or the number of the request. */
static bool
is_of_proxy(const struct response *resp)
{
	const struct http_head *h = response_head(resp);
	struct str ignored;

	return response_proxy(resp) && h->status == 403 &&
	       !http_get(h, "x-error-code", &ignored) &&
	       !http_get(h, "x-error-message", &ignored) &&
	       !http_get(h, "x-request-id", &ignored);
}

int
repo_error(const struct repo *r, const struct response *resp, struct str body,
    const struct answer_about *what, struct err *e)
{
	if (is_of_proxy(resp))
		return conn_refused(
		    response_proxy(resp), response_head(resp), e);
	answer_error(response_head(resp), body, what, e);
	return blame_address(r, response_url(resp), e);
}

/* Refuses a web page, before its text is read as JSON. */
static int
check_page(const struct repo *r, const struct response *resp, struct err *e)
{
	if (!http_type_is(response_head(resp), "text/html"))
		return 0;
	err_set(e, ERR_NET,
	    "the server sent a web page instead of the Hub's answer");
	err_hint(e, "check whether this network needs a login page or a proxy");
	return blame_address(r, response_url(resp), e);
}

static int
repo_call(const struct repo *r, const struct request *req,
    const struct answer_about *what, struct buf *text, struct repo_next *next,
    struct err *e)
{
	struct response *resp = client_call(r->client, req, text, e);
	struct str target;
	int rv = 0;

	if (next)
		*next = (struct repo_next){.url = NULL};
	if (!resp)
		return -1;
	if (response_head(resp)->status >= 300)
		rv = repo_error(r, resp, buf_str(text), what, e);
	else
		rv = check_page(r, resp, e);
	if (rv == 0 && next &&
	    http_link(response_head(resp), "next", &target)) {
		next->no_token = response_led(resp);
		/* A broken link must not lose the rest of the listing
		 * silently. */
		next->url = url_join(response_url(resp), target, e);
		if (!next->url)
			rv = err_in(e, "the next page of the listing");
	}
	response_close(resp);
	return rv;
}

int
repo_commit(
    const struct repo *r, const char *revision, char commit[41], struct err *e)
{
	struct answer_about what = repo_about(r, revision, NULL);
	struct buf url = repo_api_url(r), text = buf_make(INFO_MAX);
	struct request req = {.method = "GET"};
	int rv;

	if (commit_valid(revision)) {
		memcpy(commit, revision, 41);
		buf_release(&url);
		return 0;
	}
	repo_add_quoted(&url, "/revision/", revision);
	/* Else the names of all files come, too. */
	buf_puts(&url, "?expand=sha");
	req.url = buf_cstr(&url);
	rv = repo_call(r, &req, &what, &text, NULL, e);
	if (rv == 0)
		rv = answer_commit(buf_str(&text), commit, e);
	buf_release(&url);
	buf_release(&text);
	return rv;
}

char *
repo_rewrite(const struct repo *r, char *url)
{
	struct buf b = buf_make(URL_MAX);
	struct url ours;
	struct err ignored;

	if (!str_starts(str_of(url), public_hub))
		return url_parse(str_of(r->endpoint), &ours, &ignored) < 0
			   ? url
			   : url_put_below(&ours, url);
	buf_printf(&b, "%s/%s", r->endpoint, url + sizeof(public_hub) - 1);
	free(url);
	return buf_detach(&b);
}

/* True if the listing has come back to an earlier page; pages[n] is at url. The
 * page to compare with is each time twice as far on (Brent), so that a circle
 * of any length is found by keeping one address. */
static bool
in_circles(char **seen, unsigned n, const char *url)
{
	if (*seen && strcmp(*seen, url) == 0)
		return true;
	if ((n & (n - 1)) == 0) {
		free(*seen);
		*seen = xstrdup(url);
	}
	return false;
}

/* Reads all pages from url on, which it frees. */
static int
pages(const struct repo *r, char *url, const struct answer_about *what,
    int (*each)(void *ctx, const struct repo_entry *x, struct err *e),
    void *ctx, struct err *e)
{
	struct buf text = buf_make(PAGE_MAX);
	uint64_t size = 0;
	bool no_token = false;
	char *seen = NULL;
	int rv = 0;

	for (unsigned n = 0; url && rv == 0; n++) {
		struct request req = {
		    .method = "GET", .url = url, .no_token = no_token};
		struct repo_next next;

		if (n == REPO_PAGES_MAX || size > REPO_LISTING_MAX) {
			rv = err_set(e, ERR_CONTENT,
			    "the listing of '%s' does not end", r->id);
			break;
		}
		if (in_circles(&seen, n, url)) {
			rv = err_set(e, ERR_CONTENT,
			    "the listing of '%s' repeats a page", r->id);
			break;
		}
		buf_clear(&text);
		rv = repo_call(r, &req, what, &text, &next, e);
		if (rv == 0)
			rv = answer_tree(buf_str(&text), each, ctx, e);
		size += text.len;
		free(url);
		url = next.url ? repo_rewrite(r, next.url) : NULL;
		no_token = no_token || next.no_token;
	}
	free(url);
	free(seen);
	buf_release(&text);
	return rv;
}

int
repo_list(const struct repo *r, const char *commit,
    const struct repo_listing *l,
    int (*each)(void *ctx, const struct repo_entry *x, struct err *e),
    void *ctx, struct err *e)
{
	struct answer_about what = repo_about(r, commit, l->folder);
	struct buf url = repo_api_url(r);

	repo_add_quoted(&url, "/tree/", commit);
	if (l->folder)
		repo_add_quoted(&url, "/", l->folder);
	buf_printf(&url, "?recursive=%s&expand=%s", l->flat ? "false" : "true",
	    l->last ? "true" : "false");
	return pages(r, buf_detach(&url), &what, each, ctx, e);
}

/* Gives only the files of a listing. */
struct files {
	int (*each)(void *ctx, const struct repo_file *f, struct err *e);
	void *ctx;
};

static int
give_file(void *ctx, const struct repo_entry *x, struct err *e)
{
	const struct files *f = ctx;

	return x->kind == REPO_FOLDER ? 0 : f->each(f->ctx, &x->file, e);
}

int
repo_tree(const struct repo *r, const char *commit,
    int (*each)(void *ctx, const struct repo_file *f, struct err *e), void *ctx,
    struct err *e)
{
	const struct repo_listing all = {.folder = NULL};
	struct files f = {each, ctx};

	return repo_list(r, commit, &all, give_file, &f, e);
}

/* A search for one path in a listing. */
struct search {
	const char *path;
	struct repo_file *out;
	struct repo_ids *ids;
};

static int
find(void *ctx, const struct repo_entry *x, struct err *e)
{
	struct search *s = ctx;

	(void)e;
	if (s->out->path || x->kind == REPO_FOLDER ||
	    strcmp(x->file.path, s->path) != 0)
		return 0;
	*s->out = x->file;
	s->out->path = xstrdup(x->file.path);
	s->out->ids = x->file.ids ? s->ids : NULL;
	if (s->out->ids)
		*s->ids = *x->file.ids;
	return 0;
}

static int
find_in_folder(
    const struct repo *r, const char *commit, struct search *s, struct err *e)
{
	const char *slash = strrchr(s->path, '/');
	char *folder =
	    slash ? xstrndup(s->path, (size_t)(slash - s->path)) : NULL;
	const struct repo_listing l = {.folder = folder, .flat = true};
	int rv = repo_list(r, commit, &l, find, s, e);

	free(folder);
	return rv;
}

int
repo_file(const struct repo *r, const char *commit, const char *path,
    struct repo_file *out, struct repo_ids *ids, struct err *e)
{
	struct answer_about what = repo_about(r, commit, path);
	struct buf url = repo_api_url(r), text = buf_make(PAGE_MAX);
	struct buf body = buf_make(1 << 16);
	struct search s = {path, out, ids};
	struct request req = {
	    .method = "POST",
	    .content_type = "application/json",
	};
	int rv;

	*out = (struct repo_file){.path = NULL};
	repo_add_quoted(&url, "/paths-info/", commit);
	buf_puts(&body, "{\"paths\":[");
	json_put_string(&body, str_of(path));
	buf_puts(&body, "],\"expand\":false}");
	req.url = buf_cstr(&url);
	req.body = buf_cstr(&body);
	req.length = body.len;
	rv = repo_call(r, &req, &what, &text, NULL, e);
	if (rv == 0)
		rv = answer_tree(buf_str(&text), find, &s, e);
	/* Some mirrors lack this call. If the file is really missing or not
	 * allowed, the listing of its folder shows that, too. */
	if (rv < 0 && e->kind != ERR_STOPPED)
		rv = find_in_folder(r, commit, &s, e);
	if (rv == 0 && !out->path)
		rv = err_set(e, ERR_ABSENT, "there is no file '%s' in '%s'",
		    path, r->id);
	buf_release(&url);
	buf_release(&text);
	buf_release(&body);
	return rv;
}

int
repo_xet(const struct repo *r, const char *revision, bool writes,
    struct xet_access *out, struct err *e)
{
	struct answer_about what = repo_about(r, revision, NULL);
	struct buf url = repo_api_url(r), text = buf_make(INFO_MAX);
	struct request req = {.method = "GET"};
	int rv;

	repo_add_quoted(&url, writes ? "/xet-write-token/" : "/xet-read-token/",
	    revision ? revision : "main");
	if (!revision)
		buf_puts(&url, "?create_pr=1");
	req.url = buf_cstr(&url);
	rv = repo_call(r, &req, &what, &text, NULL, e);
	if (rv == 0)
		rv = answer_xet(buf_str(&text), out, e);
	mem_wipe(text.s, text.len);
	buf_release(&url);
	buf_release(&text);
	return rv;
}

int
repo_refs(const struct repo *r,
    int (*each)(void *ctx, const struct repo_ref *ref, struct err *e),
    void *ctx, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf url = repo_api_url(r), text = buf_make(PAGE_MAX);
	struct request req = {.method = "GET"};
	int rv;

	buf_puts(&url, "/refs?include_prs=1");
	req.url = buf_cstr(&url);
	rv = repo_call(r, &req, &what, &text, NULL, e);
	if (rv == 0)
		rv = answer_refs(buf_str(&text), each, ctx, e);
	buf_release(&url);
	buf_release(&text);
	return rv;
}

int
repo_whoami(const struct repo *r, struct whoami *out, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf url = buf_make(URL_MAX), text = buf_make(INFO_MAX);
	struct request req = {.method = "GET"};
	int rv;

	*out = (struct whoami){.name = NULL};
	buf_printf(&url, "%s/api/whoami-v2", r->endpoint);
	req.url = buf_cstr(&url);
	rv = repo_call(r, &req, &what, &text, NULL, e);
	if (rv == 0)
		rv = answer_whoami(buf_str(&text), out, e);
	buf_release(&url);
	buf_release(&text);
	return rv;
}

char *
repo_file_url(const struct repo *r, const char *commit, const char *path)
{
	struct buf b = buf_make(URL_MAX + 3 * strlen(path));

	buf_printf(&b, "%s/%s%s/resolve/%s/", r->endpoint,
	    repo_type_prefix(r->type), r->id, commit);
	url_quote(&b, str_of(path), "/");
	return buf_detach(&b);
}

char *
repo_commit_url(const struct repo *r, const char *commit)
{
	struct buf b = buf_make(URL_MAX);

	buf_printf(&b, "%s/%s%s/commit/%s", r->endpoint,
	    repo_type_prefix(r->type), r->id, commit);
	return buf_detach(&b);
}

/* Returns an entity tag without W/ and quotes. */
static struct str
bare_tag(struct str tag)
{
	if (str_starts(tag, "W/"))
		tag = str_make(tag.s + 2, tag.n - 2);
	if (tag.n >= 2 && tag.s[0] == '"' && tag.s[tag.n - 1] == '"')
		tag = str_make(tag.s + 1, tag.n - 2);
	return tag;
}

/* Checks that the fields of the answer agree with the listing. */
static int
check_linked(
    const struct repo_file *f, const struct http_head *h, struct err *e)
{
	struct str value;
	struct digest named;
	uint64_t size;

	if (http_get(h, "x-linked-etag", &value) &&
	    digest_parse(bare_tag(value), &named) == 0 &&
	    named.kind == f->digest.kind && !digest_same(&named, &f->digest))
		return err_set(
		    e, ERR_CONTENT, "the file's hash differs from the listing");
	if (http_get(h, "x-linked-size", &value) &&
	    (str_num(value, 10, UINT64_MAX, &size) < 0 || size != f->size))
		return err_set(e, ERR_CONTENT,
		    "the Hub gives another size (%.*s) than its listing "
		    "(%" PRIu64 ")",
		    STRF(value), f->size);
	return 0;
}

static bool
is_page(const struct repo_file *f, const struct http_head *h)
{
	struct str path = str_of(f->path);

	return h->status == 200 && http_type_is(h, "text/html") &&
	       !str_ends(path, ".html") && !str_ends(path, ".htm");
}

int
repo_check_file(const struct repo *r, const struct repo_file *f,
    const struct http_head *h, const struct url *url, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, f->path);
	struct url endpoint;
	bool ours;

	if (url_parse(str_of(r->endpoint), &endpoint, e) < 0)
		return -1;
	ours = url_same_origin(&endpoint, url);
	if (ours && h->status >= 400) {
		answer_error(h, str_of(""), &what, e);
		return blame_address(r, url, e);
	}
	if (ours && check_linked(f, h, e) < 0)
		return -1;
	if (is_page(f, h)) {
		err_set(e, ERR_NET,
		    "the server sent a web page instead of the file");
		return err_hint(e,
		    "check whether this network needs a login page or a proxy");
	}
	return 0;
}

/* --- Calls that write. --- */

#define TEXT_MAX ((size_t)4 << 20)
#define TITLE_MAX 4096

/* Code points of a pull request's title. */
#define PR_TITLE_MAX 200

#define BUSY_TRIES 6

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

/* Sends a JSON body to a URL, which it frees. */
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
repo_exists(const struct repo *r, bool *there, bool *is_public, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf url = repo_api_url(r), text = buf_make(TEXT_MAX);
	struct request req = {.method = "GET"};
	struct err ignored;
	struct json all;
	int rv;

	/* Else the names of all files come, too. */
	buf_puts(&url, "?expand=private");
	req.url = buf_cstr(&url);
	rv = repo_call(r, &req, &what, &text, NULL, e);
	*there = rv == 0;
	*is_public = *there &&
		     json_parse(buf_str(&text), &all, &ignored) == 0 &&
		     !json_get_bool(&all, "private", true);
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
	/* Without the member the default of the account counts. */
	if (is_private)
		buf_puts(b, ",\"visibility\":\"private\"");
	buf_putc(b, '}');
}

/* Like post(), but it is no error if the thing exists (409), perhaps because of
 * our own lost try. *busy: the Hub is busy with another operation on the
 * repository. */
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
			rv = wait_until(wait_retry(failed + 1, 0), e);
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
	bool there, is_public;

	buf_printf(&url, "%s/api/repos/create", r->endpoint);
	put_create(r, is_private, &body);
	if (create_until(r, &url, &body, &what, e) == 0)
		return 0;
	/* Another client may have created it first: mirrors answer that with
	 * 400, and a token may have the right to write but not to create. */
	if (e->kind != ERR_STOPPED &&
	    repo_exists(r, &there, &is_public, &ignored) == 0 && there)
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

/* True if the status refuses this commit. An answer that is not the Hub's own
 * proves nothing. */
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
			    "the Hub's answer lacks the newest commit of '%s'",
			    r->id);
		}
	}
	free(id);
	buf_release(&url);
	buf_release(&text);
	return rv;
}

/* Returns the first n characters. */
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

/* Finds the newest pull request: *number is 0 if there is none; *same: it has
 * that title. */
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

/* Makes one try, without the retry rule. */
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
		rv = err_set(e, ERR_CONTENT,
		    "the Hub's answer lacks the number of the pull request");
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

/* Sets the error for a lost answer: the pull request may have been opened. */
static int
unknown_pull_request(const struct repo *r, struct err *e)
{
	struct buf b = buf_make(URL_MAX);

	put_discussions(r, &b);
	err_hint(e,
	    "check %.160s; if it was opened, continue with --revision "
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
		    wait_until(wait_retry(failed + 1, e->wait), &why) < 0) {
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
