#include "lfs_call.h"

#include <stdlib.h>

#include "client.h"
#include "err.h"
#include "mem.h"
#include "multipart.h"
#include "repo.h"

/* An address of 1.5 kB for each of MULTIPART_PARTS_MAX parts, and more. */
#define BATCH_MAX ((size_t)32 << 20)

/* Errors of the storage and of the Hub. */
#define TEXT_MAX ((size_t)64 << 10)

/* A completion has less than 100 bytes for each part. */
#define COMPLETION_MAX ((size_t)8 << 20)

/* An entity tag is a hash and a few characters. */
#define ETAG_MAX 256

static struct response *
post(const struct repo *r, const char *url, const struct buf *body,
    bool no_token, struct buf *text, struct err *e)
{
	struct request q = {.method = "POST",
	    .url = url,
	    .no_token = no_token,
	    .accept = LFS_TYPE,
	    .content_type = LFS_TYPE,
	    .body = buf_cstr(body),
	    .length = body->len};

	return client_call(r->client, &q, text, e);
}

int
lfs_call_batch(const struct repo *r, const char *revision,
    const struct buf *question, const struct lfs_batch_ops *ops, void *ctx,
    struct err *e)
{
	struct answer_about what = repo_about(r, revision, NULL);
	struct buf url = buf_make(URL_MAX), text = buf_make(BATCH_MAX);
	struct response *resp;
	int rv = -1;

	buf_printf(&url, "%s/%s%s.git/info/lfs/objects/batch", r->endpoint,
	    repo_type_prefix(r->type), r->id);
	resp = post(r, buf_cstr(&url), question, false, &text, e);
	if (resp && response_head(resp)->status >= 300)
		repo_error(r, resp, buf_str(&text), &what, e);
	else if (resp && response_led(resp))
		/* It names the endpoint's addresses, which get the token. */
		err_set(e, ERR_OTHER,
		    "another host than the endpoint says where to send");
	else if (resp)
		rv = lfs_batch_parse(buf_str(&text), ops, ctx, e);
	response_close(resp);
	if (text.s)
		mem_wipe(text.s, text.len); /* signed addresses */
	buf_release(&text);
	buf_release(&url);
	return rv;
}

/* What the storage answered; the text of an error may be missing. */
static enum lfs_verdict
judge(struct response *resp, char **etag, struct err *e)
{
	const struct http_head *h = response_head(resp);
	struct buf text = buf_make(TEXT_MAX);
	struct str tag;
	struct err ignored;
	enum lfs_verdict v;

	if (response_text(resp, &text, &ignored) < 0)
		buf_clear(&text);
	v = lfs_storage_verdict(h, buf_str(&text), e);
	if (v == LFS_ARRIVED && http_get(h, "etag", &tag) && tag.n &&
	    tag.n <= ETAG_MAX)
		*etag = str_dup(tag);
	buf_release(&text);
	return v;
}

enum lfs_verdict
lfs_call_put(const struct repo *r, const char *url, const struct lfs_body *body,
    char **etag, struct err *e)
{
	struct request q = {.method = "PUT",
	    .url = url,
	    .no_token = true,
	    .length = body->length,
	    .body_read = body->read,
	    .ctx = body->ctx};
	struct response *resp = client_send(r->client, &q, e);
	enum lfs_verdict v;

	*etag = NULL;
	if (!resp)
		return e->kind == ERR_NET ? LFS_AGAIN : LFS_REFUSED;
	v = judge(resp, etag, e);
	response_close(resp);
	return v;
}

/* A connection that fails leaves open what has become of the request. */
static enum lfs_verdict
lost(const struct err *e)
{
	return e->kind == ERR_NET ? LFS_AGAIN : LFS_REFUSED;
}

enum lfs_verdict
lfs_call_complete(const struct repo *r, const struct multipart *m,
    const struct digest *d, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf body = buf_make(COMPLETION_MAX), text = buf_make(TEXT_MAX);
	enum lfs_verdict v = LFS_ARRIVED;
	struct response *resp;
	unsigned status;

	multipart_put_completion(m, d, &body);
	resp = post(r, m->complete, &body, true, &text, e);
	status = resp ? response_head(resp)->status : 0;
	if (!resp) {
		v = lost(e);
	} else if (status >= 300) {
		repo_error(r, resp, buf_str(&text), &what, e);
		v = http_status_transient(status) ? LFS_AGAIN : LFS_RENEW;
	}
	response_close(resp);
	buf_release(&body);
	buf_release(&text);
	return v;
}

enum lfs_verdict
lfs_call_verify(const struct repo *r, const struct multipart *m,
    const struct digest *d, struct err *e)
{
	struct answer_about what = repo_about(r, NULL, NULL);
	struct buf body = buf_make(256), text = buf_make(TEXT_MAX);
	enum lfs_verdict v = LFS_ARRIVED;
	struct response *resp;
	unsigned status;

	lfs_put_object(&body, d, m->size);
	resp = post(r, m->verify, &body, false, &text, e);
	status = resp ? response_head(resp)->status : 0;
	if (!resp) {
		v = LFS_REFUSED;
	} else if (status >= 300) {
		repo_error(r, resp, buf_str(&text), &what, e);
		v = status == 404 ? LFS_RENEW : LFS_REFUSED;
	}
	response_close(resp);
	buf_release(&body);
	buf_release(&text);
	return v;
}
