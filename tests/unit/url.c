#include "url.h"
#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

static void
test_parse(void)
{
	static const struct {
		const char *text;
		int rv;
		bool secure;
		const char *user, *host;
		unsigned port;
		const char *path, *query;
	} t[] = {
	    {"https://huggingface.co", 0, true, "", "huggingface.co", 443, "",
		""},
	    {"HTTP://h:8080/a/b?c=d#e", 0, false, "", "h", 8080, "/a/b", "c=d"},
	    {"http://u:p@h/", 0, false, "u:p", "h", 80, "/", ""},
	    {"http://u:p@q@h/", 0, false, "u:p@q", "h", 80, "/", ""},
	    {"https://[::1]:99/x", 0, true, "", "::1", 99, "/x", ""},
	    {"https://[2001:db8::1]", 0, true, "", "2001:db8::1", 443, "", ""},
	    {"http://h:/x", 0, false, "", "h", 80, "/x", ""},
	    {"http://h?q", 0, false, "", "h", 80, "", "q"},
	    {"http://127.0.0.1:65535/?", 0, false, "", "127.0.0.1", 65535, "/",
		""},
	    {"", -1, 0, 0, 0, 0, 0, 0},
	    {"h/x", -1, 0, 0, 0, 0, 0, 0},
	    {"ftp://h/", -1, 0, 0, 0, 0, 0, 0},
	    {"http://[::ffff:1.2.3.4]/", 0, false, "", "::ffff:1.2.3.4", 80,
		"/", ""},
	    {"http://[0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0]/", -1, 0,
		0, 0, 0, 0, 0},
	    {"https:xyz/", -1, 0, 0, 0, 0, 0, 0},
	    {"https:/h/", -1, 0, 0, 0, 0, 0, 0},
	    {"https://", -1, 0, 0, 0, 0, 0, 0},
	    {"https:///x", -1, 0, 0, 0, 0, 0, 0},
	    {"https://user@/x", -1, 0, 0, 0, 0, 0, 0},
	    {"https://h:0/", -1, 0, 0, 0, 0, 0, 0},
	    {"https://h:65536/", -1, 0, 0, 0, 0, 0, 0},
	    {"https://h:+1/", -1, 0, 0, 0, 0, 0, 0},
	    {"https://h:1:2/", -1, 0, 0, 0, 0, 0, 0},
	    {"https://[::1/", -1, 0, 0, 0, 0, 0, 0},
	    {"https://[x]/", -1, 0, 0, 0, 0, 0, 0},
	    {"https://[::1]x/", -1, 0, 0, 0, 0, 0, 0},
	    {"https://[::::]/", -1, 0, 0, 0, 0, 0, 0},
	    {"https://[12]/", -1, 0, 0, 0, 0, 0, 0},
	    {"https://a b/", -1, 0, 0, 0, 0, 0, 0},
	    {"https://a/b c", -1, 0, 0, 0, 0, 0, 0},
	    {"https://a/\r\nX: y", -1, 0, 0, 0, 0, 0, 0},
	    {"https://a/\xc3\xa4", -1, 0, 0, 0, 0, 0, 0},
	    {"https://a%41/", -1, 0, 0, 0, 0, 0, 0},
	    {"https://a\\b/", -1, 0, 0, 0, 0, 0, 0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct url u;
		struct err e;

		CHECK_ROW(i, url_parse(str_of(t[i].text), &u, &e) == t[i].rv);
		if (t[i].rv < 0)
			continue;
		CHECK_ROW(i, u.secure == t[i].secure && u.port == t[i].port);
		CHECK_ROW(i, str_eq(u.user, t[i].user));
		CHECK_ROW(i, str_eq(u.host, t[i].host));
		CHECK_ROW(i, str_eq(u.path, t[i].path));
		CHECK_ROW(i, str_eq(u.query, t[i].query));
		CHECK_ROW(i, !str_ends(u.text, "#e"));
	}
}

/* RFC 3986, 5.4.1 and 5.4.2, and what servers send. */
static void
test_join(void)
{
	static const struct {
		const char *ref, *out;
	} t[] = {
	    {"g", "http://a/b/c/g"},
	    {"./g", "http://a/b/c/g"},
	    {"g/", "http://a/b/c/g/"},
	    {"/g", "http://a/g"},
	    {"//g", "http://g"},
	    {"?y", "http://a/b/c/d;p?y"},
	    {"g?y", "http://a/b/c/g?y"},
	    {"#s", "http://a/b/c/d;p?q"},
	    {"g#s", "http://a/b/c/g"},
	    {";x", "http://a/b/c/;x"},
	    {"", "http://a/b/c/d;p?q"},
	    {".", "http://a/b/c/"},
	    {"./", "http://a/b/c/"},
	    {"..", "http://a/b/"},
	    {"../", "http://a/b/"},
	    {"../g", "http://a/b/g"},
	    {"../..", "http://a/"},
	    {"../../g", "http://a/g"},
	    {"../../../g", "http://a/g"},
	    {"/./g", "http://a/g"},
	    {"/../g", "http://a/g"},
	    {"g.", "http://a/b/c/g."},
	    {"..g", "http://a/b/c/..g"},
	    {"./g/.", "http://a/b/c/g/"},
	    {"g/./h", "http://a/b/c/g/h"},
	    {"g/../h", "http://a/b/c/h"},
	    {"g;x=1/../y", "http://a/b/c/y"},
	    {"g?y/../x", "http://a/b/c/g?y/../x"},
	    {"a/b:c", "http://a/b/c/a/b:c"},
	    {"https://x/y?z#f", "https://x/y?z"},
	    {"https://u:p@x:8/a/../b/./c/?d/../e",
		"https://u:p@x:8/b/c/?d/../e"},
	    {"//x/../a//b/", "http://x/a//b/"},
	    {"HTTPS://x?", "HTTPS://x?"},
	    {"https://x/..", "https://x/"},
	    {"g?", "http://a/b/c/g?"},
	    {"//x:0/", NULL},
	    {"a:b", NULL},
	    {"/~u%20v", "http://a/~u%20v"},
	    {"/a b\xc3\xa4", "http://a/a%20b%C3%A4"},
	    {"ftp://x/", NULL},
	    {"mailto:x", NULL},
	    {"//", NULL},
	    {"/a\nb", NULL},
	    {"javascript:alert(1)", NULL},
	};
	struct url base;
	struct err e;

	CHECK(url_parse(str_of("http://a/b/c/d;p?q"), &base, &e) == 0);
	for (size_t i = 0; i < countof(t); i++) {
		char *out = url_join(&base, str_of(t[i].ref), &e);

		CHECK_ROW(i, !out == !t[i].out);
		CHECK_ROW(i, !out || strcmp(out, t[i].out) == 0);
		free(out);
	}
	CHECK(url_parse(str_of("https://u:p@[::1]:8443"), &base, &e) == 0);
	char *out = url_join(&base, str_of("x"), &e);

	CHECK(out && strcmp(out, "https://[::1]:8443/x") == 0);
	free(out);
}

/* Too long in each of the ways in which it can become so. */
static void
test_long(void)
{
	static const char *const begin[] = {"/", "x", "?", "//x/", "http://x/"};
	struct url base;
	struct err e;

	CHECK(url_parse(str_of("https://host/a/b"), &base, &e) == 0);
	for (size_t i = 0; i < countof(begin); i++)
		for (size_t n = URL_MAX - 40; n < URL_MAX + 40; n++) {
			struct buf b = buf_make(2 * URL_MAX);
			char *out;

			buf_puts(&b, begin[i]);
			while (b.len < n)
				buf_putc(&b, 'y');
			out = url_join(&base, buf_str(&b), &e);
			CHECK_ROW(i, !out || strlen(out) <= URL_MAX);
			CHECK_ROW(i, n > URL_MAX - 40 || out);
			CHECK_ROW(i, n <= URL_MAX || !out);
			CHECK_ROW(i, out || strstr(e.msg, "too long"));
			free(out);
			buf_release(&b);
		}
}

/* What is refused is shown, but not what may be secret in it. */
static void
test_secret(void)
{
	static const char *const t[] = {"ftp://u:secret@h/x",
	    "ftp://h/x?Signature=secret", "u:secret@h", "//u:secret@h/",
	    "http://h:secret/", "http://h /secret", "http://u:s/secret@h"};

	for (size_t i = 0; i < countof(t); i++) {
		struct url u;
		struct err e;

		CHECK_ROW(i, url_parse(str_of(t[i]), &u, &e) < 0);
		CHECK_ROW(i, *e.msg && !strstr(e.msg, "secret"));
	}
}

static void
test_host_length(void)
{
	struct buf b = buf_make(400);
	struct url u;
	struct err e;

	buf_puts(&b, "https://");
	while (b.len < 8 + 255)
		buf_putc(&b, 'h');
	CHECK(url_parse(buf_str(&b), &u, &e) == 0 && u.host.n == 255);
	buf_putc(&b, 'h');
	CHECK(url_parse(buf_str(&b), &u, &e) < 0);
	buf_release(&b);
}

/* Parsed at every length, each in memory of exactly its size. */
static void
test_cut(void)
{
	static const char whole[] = "https://u:p@[2001:db8::1]:8443/a/b?c=d#e";

	for (size_t n = 0; n < sizeof(whole); n++) {
		char *copy = test_exact(whole, n), *out;
		struct url u;
		struct err e;

		if (url_parse(str_make(copy, n), &u, &e) == 0) {
			CHECK_ROW(n, u.host.n > 0 && u.text.n <= n);
			out = url_join(&u, str_make(copy, n), &e);
			CHECK_ROW(n, out != NULL);
			free(out);
		}
		free(copy);
	}
}

static void
test_origin(void)
{
	static const struct {
		const char *a, *b;
		bool same;
	} t[] = {
	    {"https://h/a", "https://H:443/b?c", true},
	    {"https://h/", "http://h/", false},
	    {"https://h/", "https://h:444/", false},
	    {"https://h/", "https://h.x/", false},
	    {"https://h/", "https://i/", false},
	    {"http://h:443/", "https://h/", false},
	};
	static const struct {
		const char *url;
		bool loopback;
	} l[] = {{"http://localhost/", true}, {"http://LocalHost:1/", true},
	    {"http://127.0.0.1/", true}, {"http://127.255.255.255/", true},
	    {"http://[::1]/", true}, {"http://127.0.0.1.evil.example/", false},
	    {"http://127.0.1/", false}, {"http://128.0.0.1/", false},
	    {"http://127.0.0.256/", false}, {"http://localhost.x/", false},
	    {"http://[::2]/", false}, {"http://127.0.0.1x/", false},
	    {"http://127.0.0.01/", false}, {"http://[0:0::0:1]/", true}};
	static const struct {
		const char *url;
		bool is_private;
	} p[] = {{"https://10.1.2.3/", true}, {"https://11.0.0.1/", false},
	    {"https://172.16.0.1/", true}, {"https://172.31.9.9/", true},
	    {"https://172.32.0.1/", false}, {"https://192.168.0.1/", true},
	    {"https://192.169.0.1/", false}, {"https://169.254.1.1/", true},
	    {"https://100.64.0.1/", true}, {"https://100.128.0.1/", false},
	    {"https://0.0.0.0/", true}, {"https://127.0.0.1/", true},
	    {"https://localhost/", true}, {"https://[::]/", true},
	    {"https://[::1]/", true}, {"https://[fd00::1]/", true},
	    {"https://[fe80::1]/", true}, {"https://[2001:db8::1]/", false},
	    {"https://[::ffff:10.0.0.1]/", true},
	    {"https://[::ffff:8.8.8.8]/", false},
	    {"https://10.example/", false}, {"https://localhost./", true},
	    {"https://a.LocalHost/", true}, {"https://a.localhost./", true},
	    {"https://10.0.0.1./", true}, {"https://127.1/", true},
	    {"https://2130706433/", true}, {"https://0x7f000001/", true},
	    {"https://127.0.0.0X1/", true}, {"https://8.8.8.8./", false},
	    {"https://127.0.0.01/", true}, {"https://./", true},
	    {"https://localhost.example/", false}, {"https://x1/", false},
	    {"https://0x7f.example./", false}, {"https://0xa.1x/", false},
	    {"https://cas-server.xethub.hf.co/", false}};
	struct url a, b;
	struct err e;

	for (size_t i = 0; i < countof(p); i++) {
		CHECK_ROW(i, url_parse(str_of(p[i].url), &a, &e) == 0);
		CHECK_ROW(i, url_is_private(&a) == p[i].is_private);
	}
	for (size_t i = 0; i < countof(t); i++) {
		CHECK_ROW(i, url_parse(str_of(t[i].a), &a, &e) == 0);
		CHECK_ROW(i, url_parse(str_of(t[i].b), &b, &e) == 0);
		CHECK_ROW(i, url_same_origin(&a, &b) == t[i].same);
		CHECK_ROW(i, url_same_origin(&b, &a) == t[i].same);
	}
	for (size_t i = 0; i < countof(l); i++) {
		CHECK_ROW(i, url_parse(str_of(l[i].url), &a, &e) == 0);
		CHECK_ROW(i, url_is_loopback(&a) == l[i].loopback);
	}
}

static void
test_quote(void)
{
	static const struct {
		const char *in, *out;
		int rv;
	} t[] = {{"a%20b", "a b", 0}, {"%C3%A4", "\xc3\xa4", 0}, {"%", "", -1},
	    {"%2", "", -1}, {"%zz", "", -1}, {"a%00", "a", -1},
	    {"%0a%a0", "\n\xa0", 0}, {"%0g", "", -1}, {"%g0", "", -1},
	    {"+", "+", 0}};
	struct buf b = buf_make(256);

	url_quote(
	    &b, str_of("subfolder/to?/awful?filename%you:should,never"), "/");
	CHECK(str_eq(buf_str(&b), "subfolder/to%3F/awful%3Ffilename%25you%3A"
				  "should%2Cnever"));
	buf_clear(&b);
	url_quote(&b, str_of("refs/pr/1 \xff~"), "");
	CHECK(str_eq(buf_str(&b), "refs%2Fpr%2F1%20%FF~"));
	for (size_t i = 0; i < countof(t); i++) {
		buf_clear(&b);
		CHECK_ROW(i, url_unquote(str_of(t[i].in), &b) == t[i].rv);
		CHECK_ROW(i, str_eq(buf_str(&b), t[i].out));
	}
	buf_release(&b);
}

static void
test_expiry(void)
{
	static const struct {
		const char *url;
		uint64_t expiry;
	} t[] = {
	    {"https://h/x?a=b&Expires=1787307000&Policy=z", 1787307000},
	    {"https://h/x?X-Amz-Date=20260823T195455Z&X-Amz-Expires=900",
		1787514895 + 900},
	    {"https://h/x?X-Amz-Expires=60&X-Amz-Date=19700101T000001Z", 61},
	    {"https://h/x", 0},
	    {"https://h/x?Expires=", 0},
	    {"https://h/x?Expires=-5", 0},
	    {"https://h/x?Expires=99999999999999999999", 0},
	    {"https://h/x?X-Amz-Date=20260823T195455Z", 0},
	    {"https://h/x?X-Amz-Date=20261323T195455Z&X-Amz-Expires=9", 0},
	    {"https://h/x?X-Amz-Date=2026082&X-Amz-Expires=9", 0},
	    {"https://h/x?xExpires=5", 0},
	    {"https://h/?X-Amz-Date=20260823-195455Z&X-Amz-Expires=9", 0},
	    {"https://h/?X-Amz-Date=20260823T195455+&X-Amz-Expires=9", 0},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct url u;
		struct err e;

		CHECK_ROW(i, url_parse(str_of(t[i].url), &u, &e) == 0);
		CHECK_ROW(i, url_expiry(&u) == t[i].expiry);
	}
}

static void
test_show(void)
{
	struct buf b = buf_make(256);
	struct url u;
	struct err e;

	CHECK(
	    url_parse(str_of("https://me:pw@h:8/p/q?sig=secret"), &u, &e) == 0);
	url_show(&b, &u);
	CHECK(str_eq(buf_str(&b), "https://h:8/p/q"));
	buf_release(&b);
}

static void
test_below(void)
{
	static const struct {
		const char *base, *url, *moved;
		bool below;
	} t[] = {
	    {"https://h/hf", "https://h/hf", NULL, true},
	    {"https://h/hf", "https://h/hf/api/x?y", NULL, true},
	    {"https://h/hf", "https://h/hf?y", NULL, true},
	    {"https://h/hf", "https://h/hfx/api/", NULL, false},
	    {"https://h/hf", "https://h/h", NULL, false},
	    {"https://h/hf", "https://h/x/api/", NULL, false},
	    {"https://h/hf", "https://h", NULL, false},
	    {"https://h/hf", "https://h?y", NULL, false},
	    {"https://h/hf", "https://g/hf/x", NULL, false},
	    {"https://h/hf", "https://g/api/x", NULL, false},
	    {"https://h/hf", "https://h/api/x?y=/z", "https://h/hf/api/x?y=/z",
		false},
	    {"https://h:8/a/b", "https://H:8/api/", "https://H:8/a/b/api/",
		false},
	    {"http://[::1]/hf", "http://[::1]/api/x", "http://[::1]/hf/api/x",
		false},
	    {"https://h", "https://h/api/x", NULL, true},
	    {"https://h", "https://h", NULL, true},
	};

	for (size_t i = 0; i < countof(t); i++) {
		char *url = strdup(t[i].url);
		struct url base, u;
		struct err e;

		CHECK_ROW(i, !url_parse(str_of(t[i].base), &base, &e));
		CHECK_ROW(i, !url_parse(str_of(url), &u, &e));
		CHECK_ROW(i, url_is_below(&u, &base) == t[i].below);
		url = url_put_below(&base, url);
		CHECK_ROW(
		    i, test_same(url, t[i].moved ? t[i].moved : t[i].url));
		free(url);
	}
}

int
main(void)
{
	test_parse();
	test_join();
	test_long();
	test_secret();
	test_host_length();
	test_cut();
	test_origin();
	test_quote();
	test_expiry();
	test_show();
	test_below();
	return test_end();
}
