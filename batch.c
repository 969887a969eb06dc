#include "batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "http.h"
#include "json.h"
#include "str.h"
#include "url.h"

/* --- The parts of one content. --- */

/* A signed address is renewed this many seconds before it expires. */
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

/* Appends the value of name in the query of an address, decoded. False if there
 * is none. */
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

/* Reads a date in a query, which may have '+' for blanks, as in a form. */
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

static bool
same_place(const char *a, const char *b)
{
	size_t n = strcspn(a, "?");

	return n == strcspn(b, "?") && memcmp(a, b, n) == 0;
}

bool
multipart_same_place(const struct multipart *a, const struct multipart *b)
{
	if (a->size != b->size || a->chunk != b->chunk ||
	    !same_place(a->complete, b->complete))
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!same_place(a->url[i], b->url[i]))
			return false;
	return true;
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

/* --- The batch call. --- */

/* Bytes of a server's message in a sentence. */
#define MESSAGE_MAX 400

/* --- The question. --- */

void
lfs_put_object(struct buf *b, const struct digest *d, uint64_t size)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(d, hex);
	buf_printf(b, "{\"oid\":\"%s\",\"size\":%" PRIu64 "}", hex, size);
}

void
lfs_batch_put(struct buf *b, const char *revision, bool xet,
    const struct lfs_asked *asked, size_t n)
{
	buf_printf(b,
	    "{\"operation\":\"upload\","
	    "\"transfers\":[\"basic\",\"multipart\"%s],"
	    "\"hash_algo\":\"sha256\",",
	    xet ? ",\"xet\"" : "");
	if (revision) {
		buf_puts(b, "\"ref\":{\"name\":");
		json_put_string(b, str_of(revision));
		buf_puts(b, "},");
	}
	buf_puts(b, "\"objects\":[");
	for (size_t k = 0; k < n; k++) {
		if (k)
			buf_putc(b, ',');
		lfs_put_object(b, &asked[k].digest, asked[k].size);
	}
	buf_puts(b, "]}");
}

/* --- The answer. --- */

static int
broken(struct err *e, const char *what)
{
	return err_set(e, ERR_CONTENT,
	    "the Hub's answer to the upload is broken: %s", what);
}

/* Reads a chunk size: a number, or a string that is one. */
static int
read_chunk(const struct json *v, uint64_t *out)
{
	char *text;
	int rv;

	if (v->type != JSON_STRING)
		return json_uint(v, UINT64_MAX, out);
	text = json_strdup(v, 20);
	rv = text ? str_num(str_of(text), 10, UINT64_MAX, out) : -1;
	free(text);
	return rv;
}

/* Returns the number of the part that a member of the header names; 0 if it
 * names none. */
static uint64_t
part_number(const struct json *key)
{
	char *text = json_strdup(key, 20);
	uint64_t n = 0;

	if (text && str_num(str_of(text), 10, UINT64_MAX, &n) < 0)
		n = 0;
	free(text);
	return n;
}

static int
read_parts(const struct json *header, struct multipart *m, struct err *e)
{
	struct json_iter it = json_iter(header);
	struct json key, value;

	while (json_next(&it, &key, &value)) {
		uint64_t n = part_number(&key);

		if (!n)
			continue;
		if (n > m->count)
			return broken(e, "it has too many parts");
		if (m->url[n - 1])
			return broken(e, "it has a part twice");
		m->url[n - 1] = json_strdup(&value, URL_MAX);
		if (!m->url[n - 1])
			return broken(e, "a part has no usable address");
	}
	for (size_t i = 0; i < m->count; i++)
		if (!m->url[i])
			return broken(e, "it lacks a part");
	return 0;
}

static int
read_multipart(const struct json *upload, const struct json *header,
    const struct json *chunk, uint64_t size, struct multipart *m, struct err *e)
{
	uint64_t n;

	if (read_chunk(chunk, &n) < 0 || multipart_init(m, size, n) < 0)
		return broken(e, "it has an impossible size of parts");
	m->complete = json_get_strdup(upload, "href", URL_MAX);
	if (!m->complete)
		return broken(e, "it has no address for the completion");
	return read_parts(header, m, e);
}

static int
read_single(const struct json *upload, uint64_t size, struct multipart *m,
    struct err *e)
{
	if (multipart_init(m, size, size) < 0)
		return broken(e, "it has an impossible size");
	m->url[0] = json_get_strdup(upload, "href", URL_MAX);
	if (!m->url[0])
		return broken(e, "it has no address");
	return 0;
}

/* The header's chunk_size decides, not what the answer calls the transfer. */
static int
read_upload(const struct json *upload, uint64_t size, struct multipart *m,
    struct err *e)
{
	struct json header, chunk;

	if (json_get(upload, "header", &header) &&
	    json_get(&header, "chunk_size", &chunk))
		return read_multipart(upload, &header, &chunk, size, m, e);
	return read_single(upload, size, m, e);
}

/* Sets the error that the server gives for an object. */
static void
read_error(const struct json *v, struct err *e)
{
	char *message = json_get_strdup(v, "message", MESSAGE_MAX);
	enum err_kind kind = ERR_REFUSED;
	uint64_t code = 0;

	json_get_uint(v, "code", 999, &code);
	if (code == 401 || code == 403)
		kind = ERR_AUTH;
	/* 507 means that its storage is full, 509 that a quota is used up. */
	else if (http_status_transient((unsigned)code) && code != 501 &&
		 code != 507 && code != 509)
		kind = ERR_NET;
	err_set(e, kind, "the Hub refuses the file: %s (%u)",
	    message ? message : "no reason given", (unsigned)code);
	free(message);
}

static bool
read_digest(const struct json *object, struct digest *d)
{
	char *oid = json_get_strdup(object, "oid", 2 * HASH_SIZE_MAX);
	bool ok =
	    oid && digest_parse(str_of(oid), d) == 0 && d->kind == HASH_SHA256;

	free(oid);
	return ok;
}

static void
read_actions(const struct json *object, bool xet, struct lfs_asked *a)
{
	struct json v, actions, upload, verify;

	if (json_get(object, "error", &v) && v.type != JSON_NULL) {
		read_error(&v, &a->why);
		a->action = LFS_ERROR;
		return;
	}
	if (!json_get(object, "actions", &actions) ||
	    !json_get(&actions, "upload", &upload) ||
	    upload.type == JSON_NULL) {
		a->action = LFS_STORED;
		return;
	}
	a->action = xet ? LFS_XET : LFS_SEND;
	if (xet)
		return;
	if (read_upload(&upload, a->size, &a->m, &a->why) < 0) {
		multipart_release(&a->m);
		a->action = LFS_ERROR;
		return;
	}
	if (json_get(&actions, "verify", &verify))
		a->m.verify = json_get_strdup(&verify, "href", URL_MAX);
}

/* The object that is still without an answer; NULL if there is none. */
static struct lfs_asked *
find(struct lfs_asked *asked, size_t n, const struct digest *d)
{
	for (size_t k = 0; k < n; k++)
		if (!asked[k].answered && digest_same(&asked[k].digest, d))
			return &asked[k];
	return NULL;
}

int
lfs_batch_parse(
    struct str text, bool xet, struct lfs_asked *asked, size_t n, struct err *e)
{
	struct json all, objects, object, transfer;
	struct json_iter it;
	struct lfs_asked *a;
	struct digest d;

	if (json_parse(text, &all, e) < 0) {
		e->kind = ERR_NET; /* a cut answer may be whole the next time */
		return err_in(e, "the Hub's answer is not JSON");
	}
	if (!json_get(&all, "objects", &objects) || objects.type != JSON_ARRAY)
		return broken(e, "it lists no objects");
	for (size_t k = 0; k < n; k++) {
		asked[k].answered = false;
		asked[k].m = (struct multipart){0};
	}
	xet = xet && json_get(&all, "transfer", &transfer) &&
	      json_is(&transfer, "xet");
	it = json_iter(&objects);
	while (json_next(&it, NULL, &object))
		if (read_digest(&object, &d) && (a = find(asked, n, &d))) {
			a->answered = true;
			read_actions(&object, xet, a);
		}
	for (size_t k = 0; k < n; k++)
		if (!asked[k].answered) {
			asked[k].action = LFS_ERROR;
			err_set(&asked[k].why, ERR_CONTENT,
			    "the Hub's answer does not mention this file");
		}
	return 0;
}

/* --- The storage. --- */

/* Returns the text of the first element of that name, "" if there is none. S3's
 * errors are small and flat. */
static struct str
element(struct str xml, const char *name)
{
	char tag[32];
	struct str rest = xml, text, more;
	int n = snprintf(tag, sizeof(tag), "%s>", name);

	while (n > 0 && str_cut(rest, '<', &text, &rest))
		if (str_starts(rest, tag)) {
			rest = str_make(rest.s + n, rest.n - (size_t)n);
			return str_cut(rest, '<', &text, &more) ? text
								: str_of("");
		}
	return str_of("");
}

static const struct {
	const char *code;
	enum lfs_verdict verdict;
	enum err_kind kind;
} codes[] = {
    {"RequestTimeout", LFS_AGAIN, ERR_NET},
    {"IncompleteBody", LFS_AGAIN, ERR_NET},
    {"SlowDown", LFS_AGAIN, ERR_NET},
    {"InternalError", LFS_AGAIN, ERR_NET},
    {"ServiceUnavailable", LFS_AGAIN, ERR_NET},
    {"OperationAborted", LFS_AGAIN, ERR_NET},
    {"NoSuchUpload", LFS_RENEW, ERR_NET},
    {"InvalidPart", LFS_RENEW, ERR_NET},
    {"ExpiredToken", LFS_RENEW, ERR_NET},
    {"EntityTooLarge", LFS_REFUSED, ERR_REFUSED},
    {"NotImplemented", LFS_REFUSED, ERR_REFUSED},
    /* The bytes do not match their hash. */
    {"BadDigest", LFS_REFUSED, ERR_CONTENT},
    {"XAmzContentSHA256Mismatch", LFS_REFUSED, ERR_CONTENT},
    {"XAmzContentChecksumMismatch", LFS_REFUSED, ERR_CONTENT},
};

static enum lfs_verdict
judge(const struct http_head *h, struct str code, enum err_kind *kind)
{
	*kind = ERR_NET;
	if (h->status < 300)
		return LFS_ARRIVED;
	for (size_t i = 0; i < countof(codes); i++)
		if (str_eq(code, codes[i].code)) {
			*kind = codes[i].kind;
			return codes[i].verdict;
		}
	if (http_status_transient(h->status))
		return LFS_AGAIN;
	/* The signature has expired, or the storage removed the upload. */
	if (h->status == 401 || h->status == 403 || h->status == 404)
		return LFS_RENEW;
	*kind = ERR_REFUSED;
	return LFS_REFUSED;
}

enum lfs_verdict
lfs_storage_verdict(const struct http_head *h, struct str body, struct err *e)
{
	struct str code = element(body, "Code");
	struct str message = element(body, "Message");
	enum err_kind kind;
	enum lfs_verdict v = judge(h, code, &kind);

	if (v == LFS_ARRIVED)
		return v;
	err_set(e, kind, "the storage answers %u %.*s%s%.*s%s", h->status,
	    STRF(code.n ? code : h->reason), message.n ? ": \"" : "",
	    STRF(message), message.n ? "\"" : "");
	e->wait = v == LFS_AGAIN ? http_asked_wait(h) : 0;
	return v;
}
