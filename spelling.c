#include "spelling.h"

#include <string.h>

/* Longer words are no misspelling of ours. */
#define WORD_MAX 32

static char
plain(char c)
{
	return c == '_' ? '-' : c;
}

/* True if the first n letters are the same. */
static bool
same_letters(struct str word, const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (plain(word.s[i]) != plain(name[i]))
			return false;
	return true;
}

bool
spelling_same(struct str word, const char *name)
{
	return name && word.n == strlen(name) &&
	       same_letters(word, name, word.n);
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The number of letters to insert, delete, change, or swap with their
 * neighbour, that makes name of word; WORD_MAX if it is too far to tell. */
static size_t
distance(struct str word, const char *name)
{
	unsigned char d[3][WORD_MAX + 1] = {{0}};
	size_t n = strlen(name);

	if (word.n > WORD_MAX || n > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= n; j++)
		d[0][j] = (unsigned char)j;
	for (size_t i = 1; i <= word.n; i++) {
		unsigned char *row = d[i % 3], *up = d[(i + 2) % 3];
		unsigned char *upper = d[(i + 1) % 3];

		row[0] = (unsigned char)i;
		for (size_t j = 1; j <= n; j++) {
			bool same = plain(word.s[i - 1]) == plain(name[j - 1]);
			size_t v = least(up[j - 1] + !same,
			    least(up[j], row[j - 1]) + (size_t)1);

			if (i > 1 && j > 1 &&
			    plain(word.s[i - 1]) == plain(name[j - 2]) &&
			    plain(word.s[i - 2]) == plain(name[j - 1]))
				v = least(v, upper[j - 2] + (size_t)1);
			row[j] = (unsigned char)v; /* at most WORD_MAX */
		}
	}
	return d[word.n % 3][n];
}

static bool
begins(struct str word, const char *name)
{
	return word.n < strlen(name) && same_letters(word, name, word.n);
}

struct spelling
spelling_make(struct str word)
{
	return (struct spelling){.word = word, .distance = WORD_MAX};
}

void
spelling_try(struct spelling *s, const char *name)
{
	size_t n = name ? strlen(name) : 0, d;

	if (!name)
		return;
	d = s->word.n > 2 && begins(s->word, name) ? 1
						   : distance(s->word, name);
	if (d * 3 <= (s->word.n > n ? s->word.n : n) && d < s->distance) {
		s->best = name;
		s->distance = d;
	}
}
