#include "../../url.c"

#include "err.h"
#include "str.h"
#include "tests/unit/test.h"

#include <string.h>

static void
test_excluded(void)
{
	static const struct {
		const char *no, *url;
		bool covered;
	} t[] = {
	    {"example.com", "https://example.com/", true},
	    {"example.com", "https://Sub.EXAMPLE.com/", true},
	    {" a , example.com ", "https://example.com/", true},
	    {".example.com", "https://a.example.com/", true},
	    {"*.example.com", "https://a.example.com/", true},
	    {"*", "https://anything/", true},
	    {"a,*", "https://anything/", true},
	    {"localhost", "http://localhost:8080/", true},
	    {"127.0.0.1", "http://127.0.0.1:9/", true},
	    {"::1", "http://[::1]/", true},
	    {"[::1]", "http://[::1]/", true},
	    {"[::1]:80", "http://[::1]/", true},
	    {"h:443", "https://h/", true},
	    {"https://h", "https://h/", true},
	    {"https://", "https://h/", true},
	    {"all://h", "http://h/", true},
	    {"http://h:8080", "http://h:8080/", true},
	    {"127.0.0.0/8", "http://127.0.0.1/", true},
	    {"10.0.0.0/8", "http://10.255.0.1:8080/", true},
	    {"10.1.2.3/8", "http://10.255.0.1/", true},
	    {"10.128.0.0/9", "http://10.128.0.1/", true},
	    {"10.0.0.1/32", "http://10.0.0.1/", true},
	    {"0.0.0.0/0", "http://10.0.0.1/", true},
	    {"fd00::/8", "https://[fdff::1]/", true},
	    {"[fd00::]/8", "https://[fdff::1]/", true},
	    {"x, fd00::/8 ,y", "https://[FD00:1::2]/", true},
	    {"2001:db8::/33", "https://[2001:db8:7fff::1]/", true},
	    {"::1/128", "https://[::1]/", true},
	    {"::1", "https://[0:0::0:1]/", true},
	    {"https://10.0.0.0/8", "https://10.0.0.1/", true},
	    {"10.0.0.0/9", "http://10.128.0.1/", false},
	    {"10.0.0.1/32", "http://10.0.0.2/", false},
	    {"10.0.0.0/33", "http://10.0.0.1/", false},
	    {"10.0.0.0/", "http://10.0.0.1/", false},
	    {"10.0.0.0/x", "http://10.0.0.1/", false},
	    {"10.0.0.0/-1", "http://10.0.0.1/", false},
	    {"10/8", "http://10.0.0.1/", false},
	    {"/8", "http://10.0.0.1/", false},
	    {"/", "http://10.0.0.1/", false},
	    {"10.0.0.0/8", "http://a.10.0.0.0/", false},
	    {"10.0.0.0/8", "http://example.com/", false},
	    {"::/0", "http://10.0.0.1/", false},
	    {"0.0.0.0/0", "http://[::1]/", false},
	    {"fd00::/8", "https://[fe00::1]/", false},
	    {"2001:db8::/33", "https://[2001:db8:8000::1]/", false},
	    {"fd00::/129", "https://[fd00::]/", false},
	    {"https://10.0.0.0/8", "http://10.0.0.1/", false},
	    {"example.com/8", "http://example.com/", false},
	    {"", "https://h/", false},
	    {",", "https://h/", false},
	    {".", "https://h/", false},
	    {"*.", "https://h/", false},
	    {":443", "https://h/", false},
	    {"[::1]x", "http://[::1]/", false},
	    {"[::1]:", "http://[::1]/", false},
	    {"1.2.3.4", "http://x.1.2.3.4/", false},
	    {".example.com", "https://example.com/", false},
	    {"example.com", "https://notexample.com/", false},
	    {"example.com", "https://example.com.evil/", false},
	    {"a*", "https://ab/", false},
	    {"localhost", "http://a.localhost/", false},
	    {"0.0.1", "http://127.0.0.1/", false},
	    {"h:444", "https://h/", false},
	    {"h:x", "https://h/", false},
	    {"http://h", "https://h/", false},
	    {"[::1]:81", "http://[::1]/", false},
	    {"[::1", "http://[::1]/", false},
	    {"::2", "http://[::1]/", false},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct url u;
		struct err e;

		CHECK_ROW(i, url_parse(str_of(t[i].url), &u, &e) == 0);
		CHECK_ROW(i, proxy_excluded(t[i].no, &u) == t[i].covered);
	}
}

static void
test_choice(void)
{
	static const struct {
		struct proxy_rules rules;
		const char *url;
		int rv;
		const char *proxy;
	} t[] = {
	    {{NULL, NULL, NULL, NULL}, "https://h/", 0, NULL},
	    {{"p1", "p2:8", NULL, NULL}, "https://h/", 1, "http://p2:8"},
	    {{"p1", "p2", NULL, NULL}, "http://h/", 1, "http://p1"},
	    {{"", "", "p3", NULL}, "http://h/", 1, "http://p3"},
	    {{NULL, "https://u:p@p4:3128/", "p3", NULL}, "https://h/", 1,
		"https://u:p@p4:3128/"},
	    {{NULL, "p2", NULL, "h"}, "https://h/", 0, NULL},
	    {{NULL, "p2", NULL, "i"}, "https://h/", 1, "http://p2"},
	    {{NULL, "p2", NULL, ""}, "https://h/", 1, "http://p2"},
	    {{NULL, "", NULL, NULL}, "https://h/", 0, NULL},
	    {{NULL, "socks5://u:secret@p", NULL, NULL}, "https://h/", -1, NULL},
	    {{NULL, "http://", NULL, NULL}, "https://h/", -1, NULL},
	    {{NULL, "a b", NULL, NULL}, "https://h/", -1, NULL},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf b = buf_make(URL_MAX);
		struct url u, p;
		struct err e;

		CHECK_ROW(i, url_parse(str_of(t[i].url), &u, &e) == 0);
		CHECK_ROW(i, proxy_for(&t[i].rules, &u, &b, &p, &e) == t[i].rv);
		if (t[i].rv > 0)
			CHECK_ROW(i, str_eq(p.text, t[i].proxy));
		if (t[i].rv < 0) {
			CHECK_ROW(i, e.kind == ERR_USAGE);
			CHECK_ROW(i, !strstr(e.msg, "secret"));
		}
		buf_release(&b);
	}
}

int
main(void)
{
	test_excluded();
	test_choice();
	return test_end();
}
