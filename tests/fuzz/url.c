/* URLs, references to them, quoting: a line with a URL, one with a
 * reference. */

#include "url.h"
#include "tests/fuzz/fuzz.h"

/* Quoted, then unquoted, it is what it was. */
static void
check_quote(struct str s)
{
	struct buf quoted = buf_make(1 << 20), back = buf_make(1 << 20);
	bool nul = s.n && memchr(s.s, '\0', s.n);

	url_quote(&quoted, s, "/");
	MUST(!quoted.full);
	for (size_t i = 0; i < quoted.len; i++)
		MUST(quoted.s[i] > ' ' && quoted.s[i] < 127);
	MUST((url_unquote(buf_str(&quoted), &back) < 0) == nul);
	MUST(nul || str_same(buf_str(&back), s));
	buf_clear(&back);
	if (url_unquote(s, &back) == 0)
		MUST(back.len <= s.n);
	buf_release(&quoted);
	buf_release(&back);
}

/* What people see is the address without its secrets. */
static void
check_show(const struct url *u)
{
	struct buf b = buf_make(2 * URL_MAX);
	struct url shown;
	struct err e;

	url_show(&b, u);
	MUST(fuzz_printable(buf_cstr(&b)));
	MUST(url_parse(buf_str(&b), &shown, &e) == 0);
	MUST(url_same_origin(u, &shown));
	MUST(shown.user.n == 0 && !shown.has_query);
	MUST(str_same(shown.path, u->path));
	buf_release(&b);
}

static void
check_url(const struct url *u, struct str text)
{
	MUST(text.n <= URL_MAX);
	MUST(u->host.n > 0 && u->port >= 1 && u->port <= 65535);
	MUST(u->path.n == 0 || u->path.s[0] == '/');
	MUST(u->has_query || u->query.n == 0);
	MUST(fuzz_inside(u->text, text) && fuzz_inside(u->host, u->text));
	MUST(fuzz_inside(u->path, u->text) && fuzz_inside(u->user, u->text));
	for (size_t i = 0; i < u->text.n; i++)
		MUST(u->text.s[i] > ' ' && u->text.s[i] < 127);
	MUST(url_same_origin(u, u));
	url_is_loopback(u);
	url_expiry(u);
	check_show(u);
}

static bool
has_dots(struct str path)
{
	struct str part;

	while (str_cut(path, '/', &part, &path))
		if (str_eq(part, ".") || str_eq(part, ".."))
			return true;
	return str_eq(path, ".") || str_eq(path, "..");
}

/* A joined address is one, and stays the same when joined again. */
static void
check_join(const struct url *base, struct str ref)
{
	struct err e;
	char *once = url_join(base, ref, &e), *twice;
	struct url u;

	if (!once) {
		fuzz_failed(&e);
		return;
	}
	MUST(url_parse(str_of(once), &u, &e) == 0);
	check_url(&u, str_of(once));
	MUST(!strchr(once, '#'));
	/* "" and "?x" keep the path of the base as it is. */
	if (ref.n && ref.s[0] != '?' && ref.s[0] != '#')
		MUST(!has_dots(u.path));
	twice = url_join(&u, str_of(once), &e);
	MUST(twice != NULL);
	if (!has_dots(u.path))
		MUST(strcmp(once, twice) == 0);
	free(once);
	free(twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str ref = fuzz_str(p, n), first = fuzz_cut(&ref, '\n'), value;
	char *text = fuzz_copy(first);
	struct url u;
	struct err e;

	check_quote(fuzz_str(p, n));
	if (url_query_get(fuzz_str(p, n), "a", &value))
		MUST(fuzz_inside(value, fuzz_str(p, n)));
	first.s = text;
	if (url_parse(first, &u, &e) < 0) {
		fuzz_failed(&e);
		MUST(url_parse(str_of("https://h/a/b;c?d"), &u, &e) == 0);
	} else {
		check_url(&u, first);
	}
	check_join(&u, ref);
	free(text);
	return 0;
}
