#include "rate.h"

#include <string.h>

#include "err.h"
#include "str.h"

#define RATE_MAX UINT64_C(1000000000000000) /* 1 PB a second */

static struct str
without_last(struct str s, size_t n)
{
	return str_make(s.s, s.n - n);
}

/* Takes the unit from the end of *s: "", "K", "KB", "KiB" and so on. 0 if there
 * is no such unit. */
static uint64_t
take_unit(struct str *s)
{
	static const char letters[] = "kmgt";
	bool binary = str_ends(*s, "iB");
	uint64_t base = binary ? 1024 : 1000, unit = 1;
	const char *at;

	if (str_ends(*s, "B"))
		*s = without_last(*s, binary ? 2 : 1);
	if (!s->n || !chr_alpha(s->s[s->n - 1]))
		return binary ? 0 : 1;
	at = strchr(letters, chr_lower(s->s[s->n - 1]));
	if (!at)
		return 0;
	*s = without_last(*s, 1);
	for (const char *p = letters; p <= at; p++)
		unit *= base;
	return unit;
}

/* At most six digits behind the point: times 2^40 they stay in 64 bits. */
static int
rate_number(struct str s, uint64_t unit, uint64_t *out)
{
	struct str whole = s, rest;
	uint64_t n, part = 0, scale = 1;

	if (str_cut(s, '.', &whole, &rest)) {
		for (size_t i = 0; i < rest.n && i < 6; i++)
			scale *= 10;
		if (unit == 1 || str_num(rest, 10, scale - 1, &part) < 0 ||
		    rest.n > 6)
			return -1;
	}
	if (str_num(whole, 10, RATE_MAX / unit, &n) < 0)
		return -1;
	*out = n * unit + part * unit / scale;
	return *out ? 0 : -1;
}

int
rate_parse(const char *text, uint64_t *out, struct err *e)
{
	struct str s = str_of(text);
	uint64_t unit = take_unit(&s);

	if (unit && rate_number(s, unit, out) == 0)
		return 0;
	err_set(e, ERR_USAGE, "'%s' is no rate", text);
	err_hint(e, "bytes a second, as in 500K, 2M or 1.5MiB");
	return -1;
}
