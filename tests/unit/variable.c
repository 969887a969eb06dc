#include "env.h"

#include "err.h"
#include "tests/unit/table.h"
#include "tests/unit/test.h"

static void
test_values(void)
{
	static const struct {
		const char *env;
		const char *raw, *value;
		bool is_true;
	} rows[] = {
	    {"", NULL, NULL, false},
	    {"Y=1", NULL, NULL, false},
	    {"X=", "", NULL, false},
	    {"X=1", "1", "1", true},
	    {"X=on", "on", "on", true},
	    {"X=YES", "YES", "YES", true},
	    {"X=True", "True", "True", true},
	    {"X=0", "0", "0", false},
	    {"X=y", "y", "y", false},
	    {"X=1 ", "1 ", "1 ", false},
	    {"X=11", "11", "11", false},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct table t = table_of(rows[i].env);
		const struct variables v = table_variables(&t);

		CHECK_ROW(i, test_same(variable_raw(&v, "X"), rows[i].raw));
		CHECK_ROW(i, test_same(variable_get(&v, "X"), rows[i].value));
		CHECK_ROW(i, variable_is_true(&v, "X") == rows[i].is_true);
		table_release(&t);
	}
}

static void
test_expand(void)
{
	static const struct {
		const char *path, *want; /* NULL: refused without HOME */
	} rows[] = {
	    {"", ""},
	    {"a/b", "a/b"},
	    {"~", NULL},
	    {"~/a", NULL},
	    {"~u", "~u"},
	    {"a~", "a~"},
	    {"/~/a", "/~/a"},
	    {"$X", "x$Y~"}, /* what was filled in is not read again */
	    {"$X/$X", "x$Y~/x$Y~"},
	    {"${X}a", "x$Y~a"},
	    {"$Xa", "$Xa"},
	    {"a$", "a$"},
	    {"$", "$"},
	    {"${", "${"},
	    {"${X", "${X"},
	    {"${}", "${}"},
	    {"$$X", "$x$Y~"},
	    {"$E/a", "/a"}, /* set, but empty */
	    {"$A_1.b", "one.b"},
	    {"$NONE/${NONE}", "$NONE/${NONE}"},
	};

	for (size_t home = 0; home < 2; home++)
		for (size_t i = 0; i < countof(rows); i++) {
			struct table t =
			    table_of(home ? "X=x$Y~\nE=\nA_1=one\nHOME=/h"
					  : "X=x$Y~\nE=\nA_1=one\nHOME=");
			const struct variables v = table_variables(&t);
			char *path = xstrdup(rows[i].path), *out;
			struct err e = {0};

			out = variable_expand(&v, "it", path, &e);
			if (rows[i].want)
				CHECK_ROW(i, test_same(out, rows[i].want));
			else if (home)
				CHECK_ROW(i, strncmp(out, "/h", 2) == 0 &&
						 !strcmp(out + 2, path + 1));
			else
				CHECK_ROW(
				    i, !out && e.kind == ERR_USAGE &&
					   strstr(e.msg, "it: ") == e.msg);
			free(out);
			free(path);
			table_release(&t);
		}
}

/* A variable, else a name below a folder, else nothing. */
static void
test_path(void)
{
	static const struct {
		const char *env, *folder, *want;
	} rows[] = {
	    {"X=/x", "/f", "/x"},
	    {"X=/x", NULL, "/x"},
	    {"X=~/x\nHOME=/h", NULL, "/h/x"},
	    {"X=", "/f", "/f/name"},
	    {"", "/f", "/f/name"},
	    {"", NULL, NULL},
	};
	struct table t = table_of("X=~");
	const struct variables homeless = table_variables(&t);
	struct err e = {0};
	char *out;

	CHECK(variable_path(&homeless, "X", "/f", "name", &out, &e) < 0);
	CHECK(e.kind == ERR_USAGE && !out && strstr(e.msg, "X: ") == e.msg);
	table_release(&t);
	for (size_t i = 0; i < countof(rows); i++) {
		struct variables v;

		t = table_of(rows[i].env);
		v = table_variables(&t);
		CHECK_ROW(i, variable_path(&v, "X", rows[i].folder, "name",
				 &out, &e) == 0);
		CHECK_ROW(i, test_same(out, rows[i].want));
		free(out);
		table_release(&t);
	}
}

int
main(void)
{
	test_values();
	test_expand();
	test_path();
	return test_end();
}
