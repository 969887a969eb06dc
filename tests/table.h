#ifndef HUB_TABLE_H
#define HUB_TABLE_H

/* An environment from the text of a test's row, and the files beside it. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "tests/test.h"
#include "variable.h"

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

/* A file that only its owner can read. */
static inline void
table_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "wb");

	CHECK(f != NULL);
	if (!f)
		return;
	fputs(text, f);
	fclose(f);
	CHECK(chmod(path, 0600) == 0);
}

/* Both NULL, or the same text. */
static inline bool
table_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

#endif
