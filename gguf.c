#include "gguf.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "plan.h"
#include "progress.h"
#include "str.h"

/* --- Names of GGUF files. --- */

/* Where word begins in s from at on; s.n if it does not. */
static size_t
find_nocase(struct str s, struct str word, size_t at)
{
	for (; at + word.n <= s.n; at++)
		if (str_same_nocase(str_make(s.s + at, word.n), word))
			return at;
	return s.n;
}

static bool
has_nocase(struct str s, const char *word)
{
	return find_nocase(s, str_of(word), 0) < s.n;
}

static struct str
from(struct str s, size_t at)
{
	return str_make(s.s + at, s.n - at);
}

/* Takes what word begins with off it, if it does. */
static bool
take_nocase(struct str *word, const char *start)
{
	size_t n = strlen(start);

	if (word->n < n || !str_eq_nocase(str_make(word->s, n), start))
		return false;
	*word = from(*word, n);
	return true;
}

static bool
is_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!chr_alpha(s.s[i]) && !chr_digit(s.s[i]) && s.s[i] != '_')
			return false;
	return true;
}

/* Q4_K_M, IQ3_XXS, TQ1_0, F16, BF16, FP16, MXFP4_MOE, NVFP4: a known family,
 * its bits, and nothing but a word after '_' after them. */
static bool
is_quant(struct str word)
{
	static const struct {
		const char *family, *bits; /* with a ' ' after each */
	} row[] = {
	    {"Q", "1 2 3 4 5 6 8 "},
	    {"IQ", "1 2 3 4 5 6 "},
	    {"TQ", "1 2 "},
	    {"BF", "16 "},
	    {"FP", "16 32 "},
	    {"F", "16 32 64 "},
	    {"MXFP", "4 6 8 "},
	    {"NVFP", "4 "},
	};

	for (size_t i = 0; i < countof(row); i++) {
		struct str rest = word, bits, more = str_of(row[i].bits);

		if (!take_nocase(&rest, row[i].family))
			continue;
		while (str_cut(more, ' ', &bits, &more))
			if (rest.n >= bits.n &&
			    memcmp(rest.s, bits.s, bits.n) == 0 &&
			    (rest.n == bits.n || rest.s[bits.n] == '_'))
				return is_word(rest);
	}
	return false;
}

/* The quantization in a word: all of it, or, as in "model_Q4_K_M", what stands
 * after a '_'. */
static struct str
quant_in(struct str word)
{
	for (size_t at = 0; at < word.n; at++)
		if ((at == 0 || word.s[at - 1] == '_') &&
		    is_quant(from(word, at)))
			return from(word, at);
	return str_of("");
}

/* Cuts the last word off s; '-', '.' and '/' divide words. False if there is no
 * more. */
static bool
take_last(struct str *s, struct str *word)
{
	size_t n = s->n;

	if (!n)
		return false;
	while (n && !strchr("-./", s->s[n - 1]))
		n--;
	*word = from(*s, n);
	s->n = n ? n - 1 : 0;
	return true;
}

/* The last one in the path, with an "UD-" before it. */
static struct str
find_quant(struct str path)
{
	struct str word = str_of(""), quant = word;

	while (!quant.n && take_last(&path, &word))
		quant = quant_in(word);
	/* path ends where the '-' before the word is. */
	if (quant.n && quant.s == word.s && take_last(&path, &word) &&
	    str_eq_nocase(word, "UD") && word.s[2] == '-')
		quant = str_make(word.s, word.n + 1 + quant.n);
	return quant;
}

/* Takes "-00001-of-00009" off the end of a name. */
static void
take_part_number(struct str *stem, unsigned *part, unsigned *parts)
{
	enum { LENGTH = 15 };
	struct str end, of;
	uint64_t n, all;

	*part = *parts = 1;
	if (stem->n <= LENGTH)
		return;
	end = from(*stem, stem->n - LENGTH);
	of = str_make(end.s + 6, 4);
	if (end.s[0] != '-' || !str_eq_nocase(of, "-of-") ||
	    str_num(str_make(end.s + 1, 5), 10, 99999, &n) < 0 ||
	    str_num(str_make(end.s + 10, 5), 10, 99999, &all) < 0 || n < 1 ||
	    n > all)
		return;
	*part = (unsigned)n;
	*parts = (unsigned)all;
	stem->n -= LENGTH;
}

static enum gguf_kind
gguf_kind(struct str stem)
{
	static const char *const other[] = {
	    "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-"};
	struct str name;
	size_t n = stem.n;

	while (n && stem.s[n - 1] != '/')
		n--;
	name = from(stem, n);
	if (has_nocase(stem, "mmproj"))
		return GGUF_PROJECTOR;
	for (size_t i = 0; i < countof(other); i++)
		if (has_nocase(name, other[i]))
			return GGUF_OTHER;
	return GGUF_MODEL;
}

static struct gguf
gguf_parse(const char *path)
{
	struct gguf g = {.stem = str_of(path), .part = 1, .parts = 1};
	struct str all;

	if (g.stem.n <= 5 ||
	    !str_eq_nocase(from(g.stem, g.stem.n - 5), ".gguf"))
		return g;
	g.stem.n -= 5;
	take_part_number(&g.stem, &g.part, &g.parts);
	g.kind = gguf_kind(g.stem);
	g.quant = find_quant(g.stem);
	all = g.stem;
	take_last(&all, &g.tag);
	return g;
}

/* How well the file fits what the user asked for (case does not count): 3 its
 * quantization, 2 the same but for an "UD-", or its tag, 1 a part of its path
 * that ends before a '-' or a '.', 0 not. */
static unsigned
gguf_fits(const char *path, const char *quant)
{
	struct gguf g = gguf_parse(path);
	struct str all = str_of(path), want = str_of(quant), bare = g.quant;
	size_t at = 0;

	if (g.kind == GGUF_NONE || !want.n)
		return 0;
	if (str_same_nocase(g.quant, want))
		return 3;
	take_nocase(&bare, "UD-");
	if (str_same_nocase(bare, want) || str_same_nocase(g.tag, want))
		return 2;
	/* Not as the end of another word, as F16 is of BF16. */
	while ((at = find_nocase(all, want, at)) < all.n) {
		char before = at ? all.s[at - 1] : '/', after;

		at += want.n;
		after = at < all.n ? all.s[at] : '/';
		if (!chr_alpha(before) && !chr_digit(before) &&
		    (after == '-' || after == '.'))
			return 1;
	}
	return 0;
}

/* Bits of a weight: the first number of the quantization, else of the tag; 0 if
 * there is none. */
static unsigned
gguf_bits(const struct gguf *g)
{
	struct str s = g->quant.n ? g->quant : g->tag;
	unsigned bits = 0;

	while (s.n && !chr_digit(s.s[0]))
		s = from(s, 1);
	for (; s.n && chr_digit(s.s[0]) && bits < 100; s = from(s, 1))
		bits = bits * 10 + (unsigned)(s.s[0] - '0');
	return bits;
}

/* --- The models of a plan. --- */

/* Between two parts of one model others may stand that have nearly its name. */
#define PARTS_APART 8

/* The model of which that file is a further part; NULL: of none. */
static struct gguf_model *
find_parts(struct gguf_model *q, size_t n, const struct gguf *g)
{
	for (size_t i = n; i > 0 && n - i < PARTS_APART; i--) {
		struct gguf_model *x = &q[i - 1];

		if (g->parts > 1 && x->name.parts == g->parts &&
		    str_same(x->name.stem, g->stem))
			return x;
	}
	return NULL;
}

struct gguf_model *
gguf_list(struct plan *p, size_t *n)
{
	struct gguf_model *q = NULL;
	size_t cap = 0;

	*n = 0;
	plan_sort(p);
	for (size_t i = 0; i < p->n; i++) {
		const struct repo_file *f = &p->file[i].file;
		struct gguf g = gguf_parse(f->path);
		struct gguf_model *x = find_parts(q, *n, &g);

		if (g.kind == GGUF_NONE)
			continue;
		if (!x) {
			if (*n == cap) {
				cap = cap ? cap + cap / 2 : 16;
				q = xreallocarray(q, cap, sizeof(*q));
			}
			x = &q[(*n)++];
			*x = (struct gguf_model){.name = g, .path = f->path};
		}
		/* In the order of their numbers: five digits each. */
		x->here++;
		if (!x->absent && g.part != x->here)
			x->absent = x->here;
		x->size += f->size;
	}
	for (size_t i = 0; i < *n; i++)
		if (!q[i].absent && q[i].here < q[i].name.parts)
			q[i].absent = q[i].here + 1;
	return q;
}

static const struct gguf_model *
best_fit(const struct gguf_model *q, size_t n, const char *wanted)
{
	const struct gguf_model *best = NULL;
	unsigned fit = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned now = gguf_fits(q[i].path, wanted);

		if (q[i].name.kind != GGUF_MODEL || now <= fit)
			continue;
		best = &q[i];
		fit = now;
	}
	return best;
}

const struct gguf_model *
gguf_pick(const struct gguf_model *q, size_t n, const char *wanted)
{
	const struct gguf_model *best;

	if (*wanted)
		return best_fit(q, n, wanted);
	best = best_fit(q, n, "Q4_K_M");
	if (!best)
		best = best_fit(q, n, "Q8_0");
	for (size_t i = 0; !best && i < n; i++)
		if (q[i].name.kind == GGUF_MODEL)
			best = &q[i];
	return best;
}

/* How deep the folder of path lies, if it is that of model or above it; else
 * -1. */
static int
depth_above(const char *path, const char *model)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) + 1 : 0;
	int depth = 0;

	if (strncmp(path, model, n) != 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		depth += path[i] == '/';
	return depth;
}

static const struct gguf_model *
find_projector(
    const struct gguf_model *q, size_t n, const struct gguf_model *model)
{
	int bits = (int)gguf_bits(&model->name), best_depth = -1, best_far = 0;
	const struct gguf_model *best = NULL;

	for (size_t i = 0; i < n; i++) {
		int depth = depth_above(q[i].path, model->path);
		int far = abs((int)gguf_bits(&q[i].name) - bits);

		if (q[i].name.kind != GGUF_PROJECTOR || depth < best_depth ||
		    (best && depth == best_depth && far >= best_far))
			continue;
		best = &q[i];
		best_depth = depth;
		best_far = far;
	}
	return best_depth < 0 ? NULL : best;
}

static int
no_such_quant(const struct gguf_model *q, size_t n, const char *wanted,
    const char *id, struct err *e)
{
	struct buf list = buf_make(600);
	char size[16];
	size_t models = 0;

	for (size_t i = 0; i < n; i++) {
		struct str quant = q[i].name.quant;

		if (q[i].name.kind != GGUF_MODEL)
			continue;
		size_show(q[i].size, size);
		buf_printf(&list, "%s%.*s (%s)", models++ ? ", " : "",
		    STRF(quant.n ? quant : q[i].name.tag), size);
	}
	if (models)
		err_set(e, ERR_ABSENT,
		    "there is no quantization '%s' in '%s'; there %s %s%s",
		    wanted, id, models == 1 ? "is" : "are", buf_cstr(&list),
		    list.full ? ", ..." : "");
	else
		err_set(e, ERR_ABSENT,
		    "there is no model in a GGUF file in '%s'", id);
	buf_release(&list);
	return models ? err_hint(e, "hub ls %s --quants", id) : -1;
}

static bool
is_of(const struct gguf_model *q, const char *path)
{
	struct gguf g = gguf_parse(path);

	return q && (strcmp(q->path, path) == 0 ||
			(g.kind != GGUF_NONE && g.parts > 1 &&
			    g.parts == q->name.parts &&
			    str_same(g.stem, q->name.stem)));
}

int
gguf_choose(struct plan *p, const char *wanted, const char *id, struct err *e)
{
	size_t n, kept = 0;
	struct gguf_model *q = gguf_list(p, &n);
	const struct gguf_model *model = gguf_pick(q, n, wanted), *projector;
	int rv = 0;

	if (!model)
		rv = no_such_quant(q, n, wanted, id, e);
	else if (model->absent)
		rv = err_set(e, ERR_ABSENT,
		    "part %u of %u of '%.*s' is missing in '%s'", model->absent,
		    model->name.parts, STRF(model->name.stem), id);
	if (rv == 0) {
		projector = find_projector(q, n, model);
		for (size_t i = 0; i < p->n; i++)
			if (is_of(model, p->file[i].file.path) ||
			    is_of(projector, p->file[i].file.path))
				p->file[kept++] = p->file[i];
		p->n = kept;
	}
	free(q);
	return rv;
}
