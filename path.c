#include "path.h"

#include <stdint.h>
#include <string.h>

#include "err.h"
#include "str.h"

/* --- Names that may be written. --- */

/* Bytes of a name to show, so that the reason fits beside it. */
#define NAME_SHOWN 200

/* Writes the part to out (n bytes) without the characters that some file system
 * ignores when it compares names: trailing dots and blanks (FAT), and
 * characters of no width (the case-folding ext4), for which all that is not
 * ASCII is left out. */
static struct str
skeleton(struct str part, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < part.n; i++)
		if ((unsigned char)part.s[i] < 0x80)
			out[n++] = part.s[i];
	while (n && (out[n - 1] == '.' || out[n - 1] == ' '))
		n--;
	return str_make(out, n);
}

/* True if a file system could take the part for own, also under the short alias
 * that FAT gives to a long name: at least two letters, '~', and a number. */
static bool
names_ours(struct str part, const char *own)
{
	char out[PART_LIMIT];
	struct str s = skeleton(part, out);
	const char *letters = own + (own[0] == '.');

	if (str_eq_nocase(s, own))
		return true;
	return s.n > 2 && memchr(s.s, '~', s.n) &&
	       chr_lower(s.s[0]) == letters[0] &&
	       chr_lower(s.s[1]) == letters[1];
}

/* True if a file system could take the part for ".git"; git itself refuses
 * these names, too. A repository inside the folder could bring hooks and
 * settings that name programs. */
static bool
names_git(struct str part)
{
	char out[PART_LIMIT];
	struct str s = skeleton(part, out), stem, rest;

	/* A stream of NTFS: ".git::$INDEX_ALLOCATION". */
	if (str_cut(s, ':', &stem, &rest))
		s = stem;
	if (str_eq_nocase(s, ".git"))
		return true;
	return str_cut(s, '~', &stem, &rest) && str_eq_nocase(stem, "git") &&
	       rest.n == 1 && chr_digit(rest.s[0]);
}

static const char *
part_fault(struct str part)
{
	if (!part.n)
		return "has an empty part";
	if (part.n > PART_LIMIT)
		return "has a part of more than 255 bytes";
	if (str_eq(part, ".") || str_eq(part, ".."))
		return "has a part '.' or '..'";
	if (names_git(part))
		return "has a part '.git'";
	return NULL;
}

static bool
has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.s[i];

		if (c < 32 || c == 127)
			return true;
		/* U+0080 to U+009F; the text is known to be UTF-8. */
		if (c == 0xc2 && (unsigned char)s.s[i + 1] < 0xa0)
			return true;
	}
	return false;
}

static const char *
text_fault(struct str path)
{
	if (!path.n)
		return "is empty";
	if (path.n > PATH_LIMIT)
		return "is longer than 4096 bytes";
	if (!utf8_valid(path))
		return "is not UTF-8";
	if (has_control(path))
		return "has a control character";
	if (path.s[0] == '/')
		return "is absolute";
	return NULL;
}

static const char *
path_fault(struct str path)
{
	static const char *const own[] = {".cache", "huggingface"};
	const char *fault = text_fault(path);
	struct str part, rest = path;
	size_t i = 0, same = 0;

	for (bool more = true; more && !fault; i++) {
		more = str_cut(rest, '/', &part, &rest);
		if (!more)
			part = rest;
		fault = part_fault(part);
		if (!fault && i < countof(own) && names_ours(part, own[i]))
			same++;
	}
	if (!fault && same == countof(own))
		return "is in the folder where hub keeps its own files";
	return fault;
}

static int
refuse(struct str path, enum err_kind kind, const char *fault, struct err *e)
{
	return err_set(e, kind, "the file name '%.*s' %s",
	    (int)(path.n < NAME_SHOWN ? path.n : NAME_SHOWN), path.s, fault);
}

int
path_check(struct str path, struct err *e)
{
	const char *fault = path_fault(path);

	return fault ? refuse(path, ERR_CONTENT, fault, e) : 0;
}

int
path_check_windows(struct str path, struct err *e)
{
	if (memchr(path.s, '\\', path.n))
		return refuse(path, ERR_FILE,
		    "has a backslash, which separates folders on this file "
		    "system",
		    e);
	if (path.n > 1 && chr_alpha(path.s[0]) && path.s[1] == ':')
		return refuse(path, ERR_FILE,
		    "begins with a drive letter, which is special on this "
		    "file system",
		    e);
	return 0;
}

const char *
path_last(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool
path_cut_last(char *path)
{
	size_t n = strlen(path), end;

	while (n > 1 && path[n - 1] == '/')
		n--;
	end = n;
	while (n && path[n - 1] != '/')
		n--;
	if (n == end || (end - n == 2 && memcmp(path + n, "..", 2) == 0))
		return false;
	path[n] = '\0';
	return true;
}

/* --- Patterns. --- */

/* Cuts the next character off s, which is not at its end. A byte that is not
 * UTF-8 is a character of its own, outside Unicode. */
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

/* Returns the ']' that closes the set whose '[' is before p, or NULL. As the
 * first character of a set, ']' belongs to it. */
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

/* Cuts one element other than '*' off the pattern; true if c fits it. */
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
