#include "glob.h"

#include <stdint.h>
#include <string.h>

#include "str.h"

/* Takes the next character off s, which is not at its end. A byte that is not
 * UTF-8 is a character of its own, outside Unicode's. */
static uint32_t
next_char(const char **s)
{
	const char *p = *s;
	size_t n = utf8_length(str_make(p, strnlen(p, 4)));
	uint32_t c = (unsigned char)*p;

	*s = p + (n ? n : 1);
	if (!n)
		return 0x110000 + c;
	if (n > 1)
		c &= 0x7fu >> n;
	while (--n)
		c = c << 6 | ((unsigned char)*++p & 0x3f);
	return c == '\\' ? '/' : c;
}

/* The ']' that closes the set whose '[' is before p, or NULL. First in a set it
 * is one of its characters. */
static const char *
set_end(const char *p)
{
	if (*p == '!')
		p++;
	return *p ? strchr(p + 1, ']') : NULL;
}

/* True if c is in the set from p to end, as "a-z_" or "!0-9". A range that
 * runs backwards is empty. */
static bool
in_set(const char *p, const char *end, uint32_t c)
{
	bool negated = *p == '!', found = false;

	if (negated)
		p++;
	while (p < end) {
		uint32_t low = next_char(&p), high = low;

		if (*p == '-' && end - p > 1) {
			p++;
			high = next_char(&p);
		}
		found = found || (low <= c && c <= high);
	}
	return found != negated;
}

/* Takes one element, but no '*', off the pattern; true if c fits it. */
static bool
fits(const char **pattern, uint32_t c)
{
	uint32_t want = next_char(pattern);
	const char *set = *pattern, *end;

	if (want == '?')
		return true;
	end = want == '[' ? set_end(set) : NULL;
	if (!end)
		return want == c;
	*pattern = end + 1;
	return in_set(set, end, c);
}

static bool
names_folder(const char *pattern)
{
	size_t n = strlen(pattern);

	return n && (pattern[n - 1] == '/' || pattern[n - 1] == '\\');
}

/*
 * Only the last '*' is ever tried again, with one more character each time: a
 * match that an earlier one could give, the last one can give, too.
 */
bool
glob_match(const char *pattern, const char *path)
{
	const char *p = pattern, *star = NULL, *retry = path;
	bool any_end = names_folder(pattern);

	for (;;) {
		if (*p == '*') {
			star = ++p;
			retry = path;
			continue;
		}
		if (!*p && (!*path || any_end))
			return true;
		if (*p && *path && fits(&p, next_char(&path)))
			continue;
		/* Later starts have even less left to match. */
		if (!star || !*path)
			return false;
		next_char(&retry);
		path = retry;
		p = star;
	}
}

static bool
any_match(const struct glob_list *list, const char *path)
{
	for (size_t i = 0; i < list->n; i++)
		if (glob_match(list->pattern[i], path))
			return true;
	return false;
}

bool
glob_kept(const struct glob_list *include, const struct glob_list *exclude,
    const char *path)
{
	if (include->n && !any_match(include, path))
		return false;
	return !any_match(exclude, path);
}
