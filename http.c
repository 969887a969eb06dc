#include "http.h"

#include <string.h>

#include "err.h"
#include "str.h"

/* The most bytes of extensions and trailers in a chunked body. */
#define OVERHEAD_MAX 16384

static struct str
from(struct str s, size_t i)
{
	return str_make(s.s + i, s.n - i);
}

static bool
http_is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.s[i];

		if (!chr_alpha(c) && !chr_digit(c) &&
		    (!c || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.n > 0;
}

/* Finds the line that s begins with, without its end; *used gets the length
 * with its end. False if the line is incomplete. */
static bool
take_line(struct str s, struct str *line, size_t *used)
{
	struct str rest;

	if (!str_cut(s, '\n', line, &rest))
		return false;
	*used = line->n + 1;
	if (line->n && line->s[line->n - 1] == '\r')
		line->n--;
	return true;
}

size_t
http_head_length(struct str text, size_t seen)
{
	/* The end may have begun before seen: "\r\n\r\n" has four bytes. */
	size_t i = seen > 3 ? seen - 3 : 0;

	for (; i < text.n; i++) {
		if (text.s[i] != '\n')
			continue;
		if (i + 1 < text.n && text.s[i + 1] == '\n')
			return i + 2;
		if (i + 2 < text.n && text.s[i + 1] == '\r' &&
		    text.s[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

/* True if s has only visible text, blanks, tabs and bytes above ASCII (RFC
 * 9110, 5.5). */
static bool
clean(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (((unsigned char)s.s[i] < ' ' && s.s[i] != '\t') ||
		    s.s[i] == 0x7f)
			return false;
	return true;
}

static int
bad(struct err *e, const char *what)
{
	return err_set(e, ERR_NET, "the server's answer is broken: %s", what);
}

/* Parses "HTTP/1.1 206 Partial Content"; the reason and the blank before it may
 * be missing. */
static int
parse_status(struct str line, struct http_head *h, struct err *e)
{
	uint64_t status;

	if (line.n < 12 || !str_starts(line, "HTTP/1.") || line.s[8] != ' ' ||
	    !chr_digit(line.s[7]) || (line.n > 12 && line.s[12] != ' '))
		return bad(e, "no HTTP/1.1 status line");
	if (str_num(str_make(line.s + 9, 3), 10, 599, &status) < 0 ||
	    status < 100)
		return bad(e, "no valid status");
	h->minor = line.s[7] > '0';
	h->status = (unsigned)status;
	h->reason = line.n > 13 ? from(line, 13) : str_of("");
	if (!clean(h->reason))
		return bad(e, "control characters in the status line");
	return 0;
}

static int
parse_field(struct str line, struct http_field *f)
{
	struct str name, value;

	/* A blank before the colon is how requests are smuggled: RFC 9112,
	 * section 5.1. No token has one, nor does a folded line begin so. */
	if (!str_cut(line, ':', &name, &value) || !http_is_token(name) ||
	    !clean(value))
		return -1;
	*f = (struct http_field){name, str_trim(value)};
	return 0;
}

static int
check_fields(struct str rest, struct err *e)
{
	size_t used;
	struct str line;
	struct http_field f;

	for (unsigned n = 0; take_line(rest, &line, &used) && line.n; n++) {
		if (line.n > HTTP_LINE_MAX)
			return bad(e, "a field is too long");
		if (n == HTTP_FIELDS_MAX)
			return bad(e, "too many fields");
		if (parse_field(line, &f) < 0)
			return bad(e, "a line that is no field");
		rest = from(rest, used);
	}
	return 0;
}

int
http_head_parse(struct str text, struct http_head *out, struct err *e)
{
	struct str line;
	size_t used;

	if (text.n > HTTP_HEAD_MAX)
		return bad(e, "its head is too long");
	if (!take_line(text, &line, &used))
		return bad(e, "no status line");
	if (parse_status(line, out, e) < 0)
		return -1;
	out->fields = from(text, used);
	out->came = 0;
	return check_fields(out->fields, e);
}

/* Cuts the next field off *rest (begin with head.fields, which were checked when
 * the head was parsed); false at the end. */
static bool
http_next(struct str *rest, struct http_field *f)
{
	struct str line;
	size_t used;

	if (!take_line(*rest, &line, &used) ||
	    !str_cut(line, ':', &f->name, &f->value))
		return false;
	*rest = from(*rest, used);
	f->value = str_trim(f->value);
	return true;
}

bool
http_get(const struct http_head *h, const char *name, struct str *value)
{
	struct str rest = h->fields;
	struct http_field f;

	while (http_next(&rest, &f))
		if (str_eq_nocase(f.name, name)) {
			*value = f.value;
			return true;
		}
	return false;
}

/* All Content-Length fields, and all members of a list in one, must agree
 * (RFC 9112, 6.3). Returns 0 and *length, 1 if there is none, or -1. */
static int
content_length(const struct http_head *h, uint64_t *length)
{
	struct str rest = h->fields;
	struct http_field f;
	int rv = 1;

	while (http_next(&rest, &f)) {
		bool more = str_eq_nocase(f.name, "content-length");

		while (more) {
			struct str part = f.value;
			uint64_t n;

			more = str_cut(f.value, ',', &part, &f.value);
			if (str_num(str_trim(part), 10, INT64_MAX, &n) < 0 ||
			    (rv == 0 && n != *length))
				return -1;
			*length = n;
			rv = 0;
		}
	}
	return rv;
}

/* Counts the fields of that name: a second one is another coding (RFC 9110,
 * 5.3). */
static unsigned
transfer_codings(const struct http_head *h, struct str *coding)
{
	struct str rest = h->fields;
	struct http_field f;
	unsigned n = 0;

	while (http_next(&rest, &f))
		if (str_eq_nocase(f.name, "transfer-encoding")) {
			*coding = f.value;
			n++;
		}
	return n;
}

static bool
has_no_body(const struct http_head *h)
{
	return h->status < 200 || h->status == 204 || h->status == 304;
}

int
http_framing(const struct http_head *h, bool head_request,
    enum http_framing *framing, uint64_t *length, struct err *e)
{
	struct str coding;
	unsigned codings;
	int rv;

	*length = 0;
	*framing = HTTP_EMPTY;
	rv = content_length(h, length);
	if (rv < 0)
		return bad(e, "it gives its length in two ways, or not as a "
			      "number");
	if (head_request || has_no_body(h))
		return 0;
	codings = transfer_codings(h, &coding);
	if (codings) {
		if (rv == 0)
			return bad(e, "both a length and a transfer coding");
		if (codings > 1 || !str_eq_nocase(coding, "chunked") ||
		    !h->minor)
			return bad(e, "an unknown transfer coding");
		*framing = HTTP_CHUNKED;
	} else {
		*framing = rv == 0 ? HTTP_LENGTH : HTTP_TO_CLOSE;
	}
	return 0;
}

/* True if a comma list has that member. */
static bool
list_has(struct str list, const char *member)
{
	bool more = true;

	while (more) {
		struct str part = list;

		more = str_cut(list, ',', &part, &list);
		if (str_eq_nocase(str_trim(part), member))
			return true;
	}
	return false;
}

bool
http_keeps_alive(const struct http_head *h)
{
	struct str rest = h->fields;
	struct http_field f;
	bool keep = h->minor > 0;

	while (http_next(&rest, &f)) {
		if (!str_eq_nocase(f.name, "connection"))
			continue;
		if (list_has(f.value, "close"))
			return false;
		keep = keep || list_has(f.value, "keep-alive");
	}
	return keep;
}

bool
http_type_is(const struct http_head *h, const char *type)
{
	struct str value, parameters;

	if (!http_get(h, "content-type", &value))
		return false;
	str_cut(value, ';', &value, &parameters);
	return str_eq_nocase(str_trim(value), type);
}

bool
http_is_encoded(const struct http_head *h)
{
	struct str rest = h->fields;
	struct http_field f;

	while (http_next(&rest, &f))
		if (str_eq_nocase(f.name, "content-encoding") && f.value.n &&
		    !str_eq_nocase(f.value, "identity"))
			return true;
	return false;
}

/* --- Chunked bodies (RFC 9112, 7.1). --- */

enum {
	SIZE,      /* in the digits of a size */
	EXTENSION, /* behind them, up to the end of the line */
	SIZE_LF,   /* behind the CR of that line */
	DATA,
	DATA_CR, /* behind the data */
	DATA_LF,
	TRAILER,      /* at the beginning of a line of the trailer section */
	TRAILER_LINE, /* inside one */
	END_LF,       /* behind the CR of the last line */
	DONE,
};

static int
size_digit(struct http_chunks *c, char ch)
{
	int d = chr_hex(ch);

	if (d >= 0) {
		/* 15 digits cannot overflow, and no real chunk has as many. */
		if (c->digits == 15)
			return -1;
		c->left = c->left * 16 + (unsigned)d;
		c->digits++;
		return 0;
	}
	if (!c->digits || !memchr(";\r\n \t", ch, 5))
		return -1;
	c->state = EXTENSION;
	return 1;
}

static void
size_ends(struct http_chunks *c)
{
	c->state = c->left ? DATA : TRAILER;
	c->digits = 0;
}

/* Handles one byte that is not data. -1: it may not stand there; 1: look at it
 * again in the new state. */
static int
step(struct http_chunks *c, char ch)
{
	switch (c->state) {
	case SIZE:
		return size_digit(c, ch);
	case EXTENSION:
		if (ch == '\n')
			size_ends(c);
		else if (ch == '\r')
			c->state = SIZE_LF;
		return 0;
	case SIZE_LF:
		size_ends(c);
		return ch == '\n' ? 0 : -1;
	case DATA_CR:
		c->state = ch == '\r' ? DATA_LF : SIZE;
		return ch == '\r' || ch == '\n' ? 0 : -1;
	case DATA_LF:
		c->state = SIZE;
		return ch == '\n' ? 0 : -1;
	case TRAILER:
		c->state = ch == '\r'   ? END_LF
			   : ch == '\n' ? DONE
					: TRAILER_LINE;
		return 0;
	case TRAILER_LINE:
		if (ch == '\n')
			c->state = TRAILER;
		return 0;
	default: /* END_LF */
		c->state = DONE;
		return ch == '\n' ? 0 : -1;
	}
}

/* Takes data if the state is DATA. */
static bool
take_data(struct http_chunks *c, const char *in, size_t n, size_t *used,
    const char **data, size_t *length)
{
	size_t take = n - *used;

	if (c->state != DATA || !take)
		return false;
	if (take > c->left)
		take = (size_t)c->left;
	*data = in + *used;
	*length = take;
	*used += take;
	c->left -= take;
	if (!c->left)
		c->state = DATA_CR;
	return true;
}

int
http_chunks_feed(struct http_chunks *c, const char *in, size_t n, size_t *used,
    const char **data, size_t *length, struct err *e)
{
	*used = 0;
	*data = in;
	*length = 0;
	while (c->state != DONE && *used < n) {
		int rv;

		if (take_data(c, in, n, used, data, length))
			return 0;
		rv = step(c, in[*used]);
		if (rv < 0)
			return bad(e, "a broken chunk");
		if (rv > 0)
			continue;
		(*used)++;
		/* Counted again for each chunk. */
		c->overhead = c->state == DATA ? 0 : c->overhead + 1;
		if (c->overhead > OVERHEAD_MAX)
			return bad(e, "endless chunk extensions or trailers");
	}
	return c->state == DONE;
}

/* --- Requests. --- */

/* True if all of s is made of letters, digits and these. */
static bool
has_only(struct str s, const char *others)
{
	for (size_t i = 0; i < s.n; i++)
		if (!chr_alpha(s.s[i]) && !chr_digit(s.s[i]) &&
		    (!s.s[i] || !strchr(others, s.s[i])))
			return false;
	return s.n > 0;
}

static bool
is_host(struct str s)
{
	return s.n <= 300 && has_only(s, "-._:[]");
}

/* "/path?query" or "http://host/path?query" (RFC 9112, 3.2). */
static bool
parse_target(struct str s, struct http_request *r)
{
	struct str scheme, rest;

	for (size_t i = 0; i < s.n; i++)
		if (s.s[i] <= ' ' || s.s[i] > '~' || s.s[i] == '#')
			return false;
	r->host = str_of("");
	r->target = s;
	if (str_starts(s, "/"))
		return true;
	if (!str_cut(s, ':', &scheme, &rest) || !str_starts(rest, "//") ||
	    (!str_eq_nocase(scheme, "http") && !str_eq_nocase(scheme, "https")))
		return false;
	rest = from(rest, 2);
	if (!str_cut(rest, '/', &r->host, &s))
		return false;
	r->target = from(rest, r->host.n);
	return is_host(r->host);
}

/* Also true if there is no such field and the version is 1.0. The host of an
 * absolute target counts more than the field. */
static bool
find_host(struct http_request *r)
{
	struct str rest = r->head.fields;
	struct http_field f;
	unsigned n = 0;

	while (http_next(&rest, &f)) {
		if (!str_eq_nocase(f.name, "host"))
			continue;
		if (n++ || !is_host(f.value))
			return false;
		if (!r->host.n)
			r->host = f.value;
	}
	return n || !r->head.minor;
}

/* "GET /path HTTP/1.1". */
static unsigned
parse_request_line(struct str line, struct http_request *r)
{
	struct str target, version;

	if (line.n > HTTP_TARGET_MAX)
		return 414;
	if (!str_cut(line, ' ', &r->method, &target) ||
	    !http_is_token(r->method) ||
	    !str_cut(target, ' ', &target, &version) || version.n != 8 ||
	    !str_starts(version, "HTTP/") || !chr_digit(version.s[5]) ||
	    version.s[6] != '.' || !chr_digit(version.s[7]))
		return 400;
	if (version.s[5] != '1')
		return 505;
	r->head.minor = version.s[7] > '0';
	return parse_target(target, r) ? 0 : 400;
}

/* A line end without CR is refused: a proxy could take it for none. */
static bool
has_bare_ends(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.s[i] == '\n' && (!i || s.s[i - 1] != '\r'))
			return true;
	return false;
}

unsigned
http_request_parse(struct str text, struct http_request *out)
{
	struct str line = str_of("");
	size_t used = 0;
	unsigned status;
	struct err e;

	*out = (struct http_request){.head.status = 200};
	if (text.n > HTTP_REQUEST_MAX)
		return 431;
	if (has_bare_ends(text) || !take_line(text, &line, &used))
		return 400;
	status = parse_request_line(line, out);
	if (status)
		return status;
	out->head.fields = from(text, used);
	return check_fields(out->head.fields, &e) < 0 || !find_host(out) ? 400
									 : 0;
}

unsigned
http_request_length(const struct http_request *r, uint64_t *length)
{
	enum http_framing framing;
	struct err e;

	if (http_framing(&r->head, false, &framing, length, &e) < 0)
		return 400;
	return framing == HTTP_CHUNKED ? 411 : 0;
}

/* A number of any length; one that is too large counts as the largest. */
static bool
range_number(struct str s, uint64_t *out)
{
	for (size_t i = 0; i < s.n; i++)
		if (!chr_digit(s.s[i]))
			return false;
	if (s.n && str_num(s, 10, INT64_MAX, out) < 0)
		*out = INT64_MAX;
	return s.n > 0;
}

int
http_range(struct str value, uint64_t size, uint64_t *first, uint64_t *last)
{
	struct str unit, rest, a, b;

	if (!str_cut(value, '=', &unit, &rest) ||
	    !str_eq_nocase(str_trim(unit), "bytes") ||
	    !str_cut(str_trim(rest), '-', &a, &b))
		return 0;
	if (!a.n) {
		if (!range_number(b, last))
			return 0;
		if (!*last || !size)
			return -1;
		*first = *last < size ? size - *last : 0;
		*last = size - 1;
		return 1;
	}
	*last = INT64_MAX;
	if (!range_number(a, first) || (b.n && !range_number(b, last)) ||
	    *last < *first)
		return 0;
	if (*first >= size)
		return -1;
	if (*last >= size)
		*last = size - 1;
	return 1;
}

bool
http_etag_listed(struct str list, const char *etag)
{
	bool more = true;

	while (more) {
		struct str part = list;

		more = str_cut(list, ',', &part, &list);
		part = str_trim(part);
		if (str_eq(part, "*"))
			return true;
		if (str_starts(part, "W/"))
			part = from(part, 2);
		if (part.n == strlen(etag) + 2 && part.s[0] == '"' &&
		    part.s[part.n - 1] == '"' &&
		    memcmp(part.s + 1, etag, part.n - 2) == 0)
			return true;
	}
	return false;
}

/* --- Fields that this program reads. --- */

int
http_content_range(
    struct str value, uint64_t *first, uint64_t *last, uint64_t *total)
{
	struct str unit, rest, a, b, size;

	if (!str_cut(value, ' ', &unit, &rest) ||
	    !str_eq_nocase(unit, "bytes") ||
	    !str_cut(str_trim(rest), '/', &rest, &size) ||
	    !str_cut(rest, '-', &a, &b) ||
	    str_num(a, 10, INT64_MAX, first) < 0 ||
	    str_num(b, 10, INT64_MAX, last) < 0 || *last < *first)
		return -1;
	*total = UINT64_MAX;
	if (str_eq(size, "*"))
		return 0;
	return str_num(size, 10, INT64_MAX, total) < 0 || *last >= *total ? -1
									  : 0;
}

/* Cuts the next parameter off "; a=b; c="d"". A quoted value is returned
 * without its quotes (the fields we read have no escapes). False at the end. */
static bool
next_parameter(struct str *rest, struct str *name, struct str *value)
{
	size_t i = 0;
	bool quoted = false;
	struct str part, more;

	*rest = str_trim(*rest);
	if (!str_starts(*rest, ";"))
		return false;
	part = from(*rest, 1);
	for (; i < part.n && (quoted || (part.s[i] != ';' && part.s[i] != ','));
	     i++)
		quoted ^= part.s[i] == '"';
	more = from(part, i);
	part = str_make(part.s, i);
	*name = part;
	*value = str_of("");
	str_cut(part, '=', name, value);
	*name = str_trim(*name);
	*value = str_trim(*value);
	if (value->n >= 2 && value->s[0] == '"' &&
	    value->s[value->n - 1] == '"')
		*value = str_make(value->s + 1, value->n - 2);
	*rest = more;
	return true;
}

/* True if rel contains want; it may have several words (RFC 8288, 3.3). */
static bool
rel_has(struct str rel, const char *want)
{
	bool more = true;

	while (more) {
		struct str part = rel;

		more = str_cut(rel, ' ', &part, &rel);
		if (str_eq_nocase(part, want))
			return true;
	}
	return false;
}

static bool
find_link(struct str list, const char *want, struct str *target)
{
	struct str uri, name, value, before;

	while (str_cut(list, '<', &before, &list) &&
	       str_cut(list, '>', &uri, &list)) {
		while (next_parameter(&list, &name, &value))
			if (str_eq_nocase(name, "rel") &&
			    rel_has(value, want)) {
				*target = uri;
				return true;
			}
	}
	return false;
}

bool
http_link(const struct http_head *h, const char *rel, struct str *target)
{
	struct str rest = h->fields;
	struct http_field f;

	while (http_next(&rest, &f))
		if (str_eq_nocase(f.name, "link") &&
		    find_link(f.value, rel, target))
			return true;
	return false;
}

int
http_ratelimit(
    const struct http_head *h, uint64_t *remaining, uint64_t *seconds)
{
	struct str text, bucket, rest, name, value;
	bool has_r = false, has_t = false;

	if (!http_get(h, "ratelimit", &text) ||
	    !str_cut(text, ';', &bucket, &rest))
		return -1;
	rest = from(text, bucket.n);
	while (next_parameter(&rest, &name, &value)) {
		if (str_eq(name, "r"))
			has_r = str_num(value, 10, INT64_MAX, remaining) == 0;
		if (str_eq(name, "t"))
			has_t = str_num(value, 10, INT64_MAX, seconds) == 0;
	}
	return has_r && has_t ? 0 : -1;
}

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static unsigned
month(struct str s)
{
	for (unsigned i = 0; i < 12; i++)
		if (memcmp(s.s, months + 3 * i, 3) == 0)
			return i + 1;
	return 0;
}

int
http_date(struct str s, uint64_t *seconds)
{
	unsigned y, m, d, h, min, sec;

	/* The form "Sun, 06 Nov 1994 08:49:37 GMT": each part has a fixed
	 * place. */
	static const char form[] = "???, ?? ??? ???? ??:??:?? GMT";

	if (s.n != sizeof(form) - 1)
		return -1;
	for (size_t i = 0; i < s.n; i++)
		if (form[i] != '?' && s.s[i] != form[i])
			return -1;
	m = month(str_make(s.s + 8, 3));
	if (!m || !date_field(s, 5, 2, 1, 31, &d) ||
	    !date_field(s, 12, 4, 1970, 9999, &y) ||
	    !date_field(s, 17, 2, 0, 23, &h) ||
	    !date_field(s, 20, 2, 0, 59, &min) ||
	    !date_field(s, 23, 2, 0, 60, &sec))
		return -1;
	*seconds = (uint64_t)date_seconds(y, m, d, h, min, sec);
	return 0;
}

void
http_put_date(struct buf *b, int64_t seconds)
{
	static const char weekdays[] = "SunMonTueWedThuFriSat";
	struct date d;

	if (date_of(seconds, &d))
		buf_printf(b, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
		    weekdays + (size_t)3 * d.weekday, d.day,
		    months + (size_t)3 * (d.month - 1), d.year, d.hour,
		    d.minute, d.second);
}

/* Reads Retry-After: seconds, or a date (RFC 9110, 10.2.3). -1 if it asks for
 * nothing. */
static int
retry_after(const struct http_head *h, uint64_t *seconds)
{
	struct str value, date;
	uint64_t then, now = h->came;

	if (!http_get(h, "retry-after", &value))
		return -1;
	if (str_num(value, 10, INT64_MAX, seconds) == 0)
		return 0;
	/* The date is compared with the server's own clock if the head has
	 * one. */
	if (http_get(h, "date", &date))
		http_date(date, &now);
	if (http_date(value, &then) < 0 || !now || then <= now)
		return -1;
	*seconds = then - now;
	return 0;
}

unsigned
http_asked_wait(const struct http_head *h)
{
	uint64_t remaining, seconds;

	if (h->status == 429 && http_ratelimit(h, &remaining, &seconds) == 0 &&
	    !remaining)
		;
	else if (retry_after(h, &seconds) < 0)
		return 0;
	/* wait_retry() may add a second: an hour in all. */
	return seconds < 3599 ? (unsigned)seconds + 1 : 3599;
}

bool
http_status_transient(unsigned status)
{
	return status == 408 || status == 429 ||
	       (status >= 500 && status <= 509) ||
	       (status >= 520 && status <= 530) || status == 598 ||
	       status == 599;
}
