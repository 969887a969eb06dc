/* Heads of responses, and the values of their fields. */

#include "../../http.c"

#include "tests/fuzz/fuzz.h"

/* However a head arrives, its end is found at the same place. */
static void
check_length(struct str text, size_t length)
{
	size_t from = 0;

	MUST(length <= text.n);
	if (text.n > 512)
		return;
	for (size_t n = 0; n <= text.n; n++) {
		char *copy = fuzz_copy(str_make(text.s, n));
		size_t all = http_head_length(str_make(copy, n), 0);

		MUST(all == http_head_length(str_make(copy, n), from));
		MUST(all == (length && n >= length ? length : 0));
		from = all ? 0 : n;
		free(copy);
	}
}

static void
check_values(struct str v)
{
	uint64_t first = 0, last = 0, total = 0;

	if (http_content_range(v, &first, &last, &total) == 0) {
		MUST(first <= last);
		MUST(last < total);
	}
	/* The year 9999 has four digits, the next one not. */
	if (http_date(v, &first) == 0)
		MUST(first < UINT64_C(253402300800));
	http_is_token(v);
}

/* Written out again, without what is left to taste, it says the same. */
static void
check_again(const struct http_head *h)
{
	struct buf b = buf_make(1 << 20);
	struct str rest = h->fields, other;
	struct http_field f, g;
	struct http_head again;
	struct err e;

	buf_printf(&b, "HTTP/1.%u %u ", h->minor, h->status);
	buf_str_add(&b, h->reason);
	buf_puts(&b, "\r\n");
	while (http_next(&rest, &f)) {
		MUST(http_is_token(f.name) && fuzz_inside(f.value, h->fields));
		MUST(str_same(f.value, str_trim(f.value)));
		check_values(f.value);
		buf_str_add(&b, f.name);
		buf_puts(&b, ": ");
		buf_str_add(&b, f.value);
		buf_puts(&b, "\r\n");
	}
	buf_puts(&b, "\r\n");
	if (b.len <= HTTP_HEAD_MAX) {
		if (http_head_parse(buf_str(&b), &again, &e) < 0) {
			/* The blank we put in may be one too many. */
			MUST(h->fields.n > HTTP_LINE_MAX - 4);
			goto out;
		}
		MUST(again.status == h->status && again.minor == h->minor);
		rest = h->fields;
		other = again.fields;
		while (http_next(&rest, &f)) {
			MUST(http_next(&other, &g));
			MUST(str_same(f.name, g.name));
			MUST(str_same(f.value, g.value));
		}
		MUST(!http_next(&other, &g));
	}
out:
	buf_release(&b);
}

static void
check_framing(const struct http_head *h)
{
	enum http_framing framing;
	uint64_t length = 0;
	struct err e;

	if (http_framing(h, true, &framing, &length, &e) == 0)
		MUST(framing == HTTP_EMPTY);
	if (http_framing(h, false, &framing, &length, &e) < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_NET);
		return;
	}
	if (framing == HTTP_CHUNKED)
		MUST(!http_get(h, "Content-Length", &(struct str){0}));
	if (framing == HTTP_LENGTH)
		MUST(!http_get(h, "Transfer-Encoding", &(struct str){0}));
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str text = fuzz_str(p, n), target;
	size_t length = http_head_length(text, 0);
	struct http_head h;
	uint64_t a, b;
	struct err e;
	char *copy;

	check_values(text);
	check_length(text, length);
	copy = fuzz_copy(str_make(text.s, length ? length : text.n));
	text = str_make(copy, length ? length : text.n);
	if (http_head_parse(text, &h, &e) < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_NET);
		free(copy);
		return 0;
	}
	MUST(text.n <= HTTP_HEAD_MAX);
	MUST(h.status >= 100 && h.status <= 599 && h.minor <= 1);
	check_again(&h);
	check_framing(&h);
	if (http_link(&h, "next", &target))
		MUST(fuzz_inside(target, h.fields));
	http_ratelimit(&h, &a, &b);
	http_keeps_alive(&h);
	http_type_is(&h, "text/html");
	http_is_encoded(&h);
	MUST(http_asked_wait(&h) < 3600);
	free(copy);
	return 0;
}
