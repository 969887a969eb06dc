#ifndef HUB_REPOID_H
#define HUB_REPOID_H

/*
 * What names a repository: "namespace/name", "hf://datasets/org/name@rev/path",
 * a pasted web address; and the quoting of names in the Hub's URLs
 * (hub-protocol.md, 1.2 to 1.7). Pure.
 */

#include "str.h"
#include "url.h"

enum repo_type { REPO_MODEL, REPO_DATASET, REPO_SPACE, REPO_KERNEL };

struct repoid {
	enum repo_type type;
	char *id;       /* "namespace/name" or "name" */
	char *revision; /* NULL if the text named none */
	char *path;     /* file or folder inside; NULL if the text named none */
};

/* Model if the text does not say otherwise; given_type is a pointer to what -t
 * said, or NULL. A type in the text that contradicts -t is an error. Web
 * addresses are those of the endpoint, and of huggingface.co and hf.co, of
 * which the "https://" may be missing: /ID, /datasets/ID, /spaces/ID,
 * /kernels/ID, each with /tree/REV/PATH, /blob/REV/PATH, /resolve/REV/PATH; query and fragment are
 * ignored. ERR_USAGE. */
int repoid_parse(const char *text, const enum repo_type *given_type,
    const struct url *endpoint, struct repoid *out, struct err *e);
void repoid_release(struct repoid *id);

/* What -t takes: "model", "dataset", "space", "kernel"; else ERR_USAGE. */
int repo_type_parse(const char *text, enum repo_type *out, struct err *e);
const char *repo_type_name(enum repo_type t);   /* "model" */
const char *repo_type_plural(enum repo_type t); /* "models", as after /api/ */
const char *repo_type_prefix(enum repo_type t); /* "", "datasets/", "spaces/" */

/* The rules of section 1.5. ERR_USAGE, and the sentence names the rule. */
int repoid_check(const char *id, struct err *e);

/* Exactly 40 lower-case hexadecimal digits. */
bool commit_valid(const char *s);

/* Revisions: all outside A-Z a-z 0-9 _ . - ~ encoded, '/' too. Refused
 * (ERR_USAGE): empty, control characters, over 255 bytes. */
int revision_check(const char *rev, struct err *e);

#endif
