#include "fetch.h"

#include <inttypes.h>

#include "client.h"
#include "err.h"
#include "http.h"
#include "str.h"
#include "url.h"

static enum fetch_end
check_length(const struct fetch *f, uint64_t size, struct err *e)
{
	if (size == f->size)
		return FETCH_OK;
	err_set(e, ERR_CONTENT,
	    "the server has %" PRIu64 " bytes, the listing says %" PRIu64, size,
	    f->size);
	return FETCH_FAILED;
}

static enum fetch_end
check_part(const struct fetch *f, const struct http_head *h, struct err *e)
{
	uint64_t first, last, total;
	struct str value;

	if (!http_get(h, "content-range", &value) ||
	    http_content_range(value, &first, &last, &total) < 0) {
		err_set(
		    e, ERR_NET, "the server sent a part without saying which");
		return FETCH_FAILED;
	}
	if (total != UINT64_MAX && check_length(f, total, e) != FETCH_OK)
		return FETCH_FAILED;
	if (first == f->first && last <= f->last)
		return FETCH_OK;
	err_set(e, ERR_NET, "the server sent another part than was asked for");
	return FETCH_FAILED;
}

/* All of it, though a part was asked for. */
static enum fetch_end
check_whole(const struct fetch *f, const struct http_head *h, struct err *e)
{
	enum http_framing framing;
	uint64_t length;

	if (http_framing(h, false, &framing, &length, e) < 0)
		return FETCH_FAILED;
	if (framing == HTTP_LENGTH)
		return check_length(f, length, e);
	return FETCH_OK;
}

/* url is the one that answered. */
static enum fetch_end
check_status(const struct fetch *f, const struct http_head *h,
    const struct url *url, struct err *e)
{
	bool led = f->direct || !str_eq(url->text, f->url);

	unsigned status = h->status;

	if (status == 206)
		return check_part(f, h, e);
	if (status == 200)
		return check_whole(f, h, e);
	/* Some copy of it is not up to date, or broken: another try may meet
	 * another one. */
	if (status == 416) {
		err_set(e, ERR_NET,
		    "the server has fewer bytes than the listing says");
		return FETCH_FAILED;
	}
	if (led && (status == 401 || status == 403 || status == 404 ||
		       status == 410)) {
		err_set(e, ERR_NET,
		    "the signed address at '%.*s' is %s accepted (status %u)",
		    STRF(url->host), f->direct ? "no longer" : "not", status);
		return FETCH_REFUSED;
	}
	err_set(e, http_status_transient(status) ? ERR_NET : ERR_OTHER,
	    "the server answered with status %u", status);
	e->wait = http_asked_wait(h);
	return FETCH_FAILED;
}

/* The answer has ended, and more was asked for. */
static enum fetch_end
check_end(const struct fetch *f, const struct http_head *h, uint64_t total,
    struct err *e)
{
	bool whole = h->status == 200;
	uint64_t want = whole ? f->size : f->last - f->first + 1;

	if (total >= want || (!whole && total >= FETCH_PROGRESS))
		return FETCH_OK;
	if (total)
		err_set(e, ERR_NET, "the server sent only %" PRIu64 " bytes",
		    total);
	else
		err_set(e, ERR_NET, "the server sent no bytes");
	/* With a length, an answer that ends early is an error before this. */
	return whole ? FETCH_DOUBTFUL : FETCH_FAILED;
}

static enum fetch_end
read_body(const struct fetch *f, struct response *resp, struct err *e)
{
	uint64_t total = 0;
	size_t n;
	void *to;

	while ((to = f->room(f->ctx, &n)) && n) {
		if (response_read(resp, to, n, &n, e) < 0)
			return FETCH_FAILED;
		if (!n)
			return check_end(f, response_head(resp), total, e);
		total += n;
		if (f->take(f->ctx, n, e) < 0 ||
		    response_pace(resp, f->stall_ms, e) < 0)
			return FETCH_FAILED;
	}
	return FETCH_OK;
}

/* The address at which the other ranges are. If another host led back to the
 * endpoint, that is the one we began with: asked by itself, the last one would
 * get the token. *own is room for it. */
static const struct url *
address(const struct fetch *f, const struct response *resp, struct url *own)
{
	struct err ignored;

	if (response_led_back(resp) &&
	    url_parse(str_of(f->url), own, &ignored) == 0)
		return own;
	return response_url(resp);
}

enum fetch_end
fetch(const struct fetch *f, struct err *e)
{
	const struct request req = {
	    .method = "GET",
	    .url = f->url,
	    .ranged = true,
	    .first = f->first,
	    .last = f->last,
	    .check = f->check,
	    .ctx = f->ctx,
	};
	struct response *resp = client_send(f->client, &req, e);
	enum fetch_end end;
	struct url own;

	if (!resp)
		return FETCH_FAILED;
	end = check_status(f, response_head(resp), response_url(resp), e);
	if (end == FETCH_OK) {
		f->begin(f->ctx, address(f, resp, &own),
		    response_head(resp)->status == 200);
		end = read_body(f, resp, e);
	}
	response_close(resp);
	return end;
}
