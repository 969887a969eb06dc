#ifndef HUB_TABLE_H
#define HUB_TABLE_H

/* An environment from the text of a test's row. */

#include <stdlib.h>
#include <string.h>

#include "env.h"
#include "str.h"

#define TABLE_MAX 16

struct table {
	char *text;
	const char *name[TABLE_MAX], *value[TABLE_MAX];
	size_t n;
};

/* "NAME=value" one a line, at most TABLE_MAX of them. */
static inline struct table
table_of(const char *text)
{
	struct table t = {.text = xstrdup(text)};
	char *p = t.text, *at;

	while (*p) {
		t.name[t.n] = p;
		at = strchr(p, '=');
		*at = '\0';
		t.value[t.n++] = p = at + 1;
		p += strcspn(p, "\n");
		if (*p)
			*p++ = '\0';
	}
	return t;
}

static inline const char *
table_lookup(void *ctx, const char *name)
{
	const struct table *t = ctx;

	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->name[i], name) == 0)
			return t->value[i];
	return NULL;
}

static inline struct variables
table_variables(struct table *t)
{
	return (struct variables){table_lookup, t};
}

static inline void
table_release(struct table *t)
{
	free(t->text);
	*t = (struct table){0};
}

#endif
