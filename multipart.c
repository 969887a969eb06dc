#include "multipart.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "http.h"
#include "json.h"
#include "mem.h"
#include "str.h"
#include "url.h"

/* A signed address is renewed this long before it lapses, in seconds. */
#define RENEW_BEFORE 60

int
multipart_init(struct multipart *m, uint64_t size, uint64_t chunk)
{
	uint64_t count;

	*m = (struct multipart){0};
	if (!size || !chunk)
		return -1;
	count = size / chunk + (size % chunk != 0);
	if (count > MULTIPART_PARTS_MAX)
		return -1;
	m->size = size;
	m->chunk = chunk;
	m->count = (size_t)count;
	m->url = xcalloc(m->count, sizeof(m->url[0]));
	m->etag = xcalloc(m->count, sizeof(m->etag[0]));
	return 0;
}

static void
wipe(char *s)
{
	if (s)
		mem_wipe(s, strlen(s));
	free(s);
}

void
multipart_release(struct multipart *m)
{
	for (size_t i = 0; i < m->count; i++) {
		wipe(m->url[i]);
		free(m->etag[i]);
	}
	wipe(m->complete);
	wipe(m->verify);
	free(m->url);
	free(m->etag);
	*m = (struct multipart){0};
}

uint64_t
multipart_first(const struct multipart *m, size_t i)
{
	return i * m->chunk;
}

uint64_t
multipart_length(const struct multipart *m, size_t i)
{
	uint64_t left = m->size - multipart_first(m, i);

	return left < m->chunk ? left : m->chunk;
}

uint64_t
multipart_arrived(const struct multipart *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->count; i++)
		if (m->etag[i])
			n += multipart_length(m, i);
	return n;
}

bool
multipart_is_whole(const struct multipart *m)
{
	for (size_t i = 0; i < m->count; i++)
		if (!m->etag[i])
			return false;
	return true;
}

/* The value of name in the query of an address, decoded; false if there is
 * none. */
static bool
query_value(const char *address, const char *name, struct buf *out)
{
	struct url url;
	struct str raw;
	struct err ignored;

	return address && !url_parse(str_of(address), &url, &ignored) &&
	       url_query_get(url.query, name, &raw) && !url_unquote(raw, out) &&
	       !out->full;
}

/* A date in a query may have '+' for blanks (a form's way of quoting). */
static uint64_t
expiration(const char *address)
{
	struct buf text = buf_make(64);
	uint64_t when = 0;

	if (query_value(address, "expiration", &text)) {
		for (size_t i = 0; i < text.len; i++)
			if (text.s[i] == '+')
				text.s[i] = ' ';
		if (http_date(buf_str(&text), &when) < 0)
			when = 0;
	}
	buf_release(&text);
	return when;
}

static uint64_t
lapses(const char *address)
{
	struct url url;
	struct err ignored;

	if (!address || url_parse(str_of(address), &url, &ignored) < 0)
		return 0;
	return url_expiry(&url);
}

static void
earlier(uint64_t *when, uint64_t other)
{
	if (other && (!*when || other < *when))
		*when = other;
}

void
multipart_find_expiry(struct multipart *m)
{
	m->expires = 0;
	earlier(&m->expires, lapses(m->complete));
	earlier(&m->expires, expiration(m->complete));
	for (size_t i = 0; i < m->count; i++)
		earlier(&m->expires, lapses(m->url[i]));
}

bool
multipart_lapses(const struct multipart *m, uint64_t now)
{
	return m->expires && now + RENEW_BEFORE >= m->expires;
}

bool
multipart_same_upload(const struct multipart *a, const struct multipart *b)
{
	struct buf x = buf_make(URL_MAX), y = buf_make(URL_MAX);
	bool same = a->size == b->size && a->chunk == b->chunk &&
		    query_value(a->complete, "uploadId", &x) &&
		    query_value(b->complete, "uploadId", &y) && x.len &&
		    str_same(buf_str(&x), buf_str(&y));

	buf_release(&x);
	buf_release(&y);
	return same;
}

bool
multipart_same_object(const struct multipart *a, const struct multipart *b)
{
	struct url x, y;
	struct err ignored;

	return a->size == b->size && a->chunk == b->chunk && a->count &&
	       url_parse(str_of(a->url[0]), &x, &ignored) == 0 &&
	       url_parse(str_of(b->url[0]), &y, &ignored) == 0 &&
	       str_same(x.path, y.path);
}

void
multipart_put_completion(
    const struct multipart *m, const struct digest *d, struct buf *b)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(d, hex);
	buf_printf(b, "{\"oid\":\"%s\",\"parts\":[", hex);
	for (size_t i = 0; i < m->count; i++) {
		buf_printf(
		    b, "%s{\"partNumber\":%zu,\"etag\":", i ? "," : "", i + 1);
		json_put_string(b, str_of(m->etag[i]));
		buf_putc(b, '}');
	}
	buf_puts(b, "]}");
}
