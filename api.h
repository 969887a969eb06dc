#ifndef HUB_API_H
#define HUB_API_H

/*
 * The Hub's names, questions and answers as text: JSON bodies, headers and
 * statuses to structs and errors, and requests to JSON. Pure: no I/O.
 *
 * Nothing in an answer is trusted: sizes are limited, hashes must be hashes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "http.h"
#include "json.h"
#include "str.h"
#include "url.h"

struct err;

/* --- Names of repositories. --- */

/*
 * Parses what names a repository: "namespace/name",
 * "hf://datasets/org/name@rev/path", a pasted web address; and quotes names for
 * the Hub's URLs. Pure.
 */

enum repo_type { REPO_MODEL, REPO_DATASET, REPO_SPACE, REPO_KERNEL };

struct repoid {
	enum repo_type type;
	char *id;       /* "namespace/name" or "name" */
	char *revision; /* NULL if the text named none */
	char *path;     /* file or folder inside; NULL if the text named none */
	char *quant;    /* after a ':': a GGUF quantization, "" for the default;
			 * NULL if the text had no ':' */
};

/* The default type is model; given_type points to the type of -t, or is NULL. A
 * type in the text that contradicts -t is an error. Web addresses are those of
 * the endpoint, and of huggingface.co and hf.co, of which the "https://" may be
 * missing: /ID, /datasets/ID, /spaces/ID, /kernels/ID, each with
 * /tree/REV/PATH, /blob/REV/PATH, /resolve/REV/PATH; query and fragment are
 * ignored. A name may end in ":QUANT". ERR_USAGE. */
int repoid_parse(const char *text, const enum repo_type *given_type,
    const struct url *endpoint, struct repoid *out, struct err *e);
void repoid_release(struct repoid *id);

/* "models/org/name", as repoid_put_path() writes it: type and id alone. */
int repoid_parse_path(const char *text, struct repoid *out, struct err *e);
void repoid_put_path(struct buf *b, enum repo_type type, const char *id);

/* What -t takes: "model", "dataset", "space", "kernel"; else ERR_USAGE. */
int repo_type_parse(const char *text, enum repo_type *out, struct err *e);
const char *repo_type_name(enum repo_type t);   /* "model" */
const char *repo_type_plural(enum repo_type t); /* "models", as after /api/ */
const char *repo_type_prefix(enum repo_type t); /* "", "datasets/", "spaces/" */

/* Exactly 40 lower-case hexadecimal digits. */
bool commit_valid(const char *s);

/* Revisions: all outside A-Z a-z 0-9 _ . - ~ encoded, '/' too. Refused
 * (ERR_USAGE): empty, control characters, over 255 bytes. */
int revision_check(const char *rev, struct err *e);

/* --- Answers. --- */

/*
 * Turns the Hub's answers (JSON bodies, headers, statuses) into structs and
 * errors. Pure. Answers are not trusted: sizes are limited, hashes are checked
 * for form.
 */

/* Largest accepted file size: 2^53, the largest exact JSON integer. */
#define REPO_FILE_MAX ((uint64_t)1 << 53)

/* Longest accepted path, in bytes. */
#define REPO_PATH_MAX 8192

struct repo_file {
	char *path;
	uint64_t size;
	struct digest
	    digest; /* SHA-256 of LFS and Xet files, else git blob id */
	/* Only in the call for an entry of a listing; else NULL. */
	const struct repo_ids *ids;
};

/* The other names of a content. */
struct repo_ids {
	struct digest blob; /* git's, of an LFS file that of its pointer */
	char xet[65];       /* the Xet hash in hexadecimal; "": none */
};

/* How the Hub keeps an entry of a listing. */
enum repo_kind { REPO_REGULAR, REPO_LFS, REPO_XET, REPO_FOLDER };

/* An entry of a listing; a folder has neither size nor digest. The last commit
 * is NULL where the Hub does not tell it, else of the form that its field says
 * (commit: 40 digits; date: "2026-08-11T..."). */
struct repo_entry {
	struct repo_file file;
	enum repo_kind kind;
	char *commit, *title, *date;
};

/*
 * A page of a listing: calls each() for each file and folder in it; unknown
 * types are skipped. x is borrowed for the call; a failure of each() ends it.
 * ERR_NET if the text is not JSON (the answer may have been truncated),
 * ERR_CONTENT if it is not a listing.
 */
int answer_tree(struct str text,
    int (*each)(void *ctx, const struct repo_entry *x, struct err *e),
    void *ctx, struct err *e);

enum ref_kind { REF_BRANCH, REF_TAG, REF_CONVERT, REF_PULL_REQUEST };

/* name is what --revision takes: "main", "v1.0", "refs/pr/3". */
struct repo_ref {
	enum ref_kind kind;
	char *name;
	char commit[41];
};

const char *ref_kind_name(enum ref_kind k); /* "branch", "pull request" */

/* All refs of a repository; a failure of each() ends it. Errors as above. */
int answer_refs(struct str text,
    int (*each)(void *ctx, const struct repo_ref *r, struct err *e), void *ctx,
    struct err *e);

/* Whose a token is. The strings are printable, have at most WHOAMI_TEXT bytes,
 * and no token in them; NULL: not told. */
#define WHOAMI_TEXT 256
#define WHOAMI_ITEMS 1000

/* An organisation and the role there, or a thing that a fine-grained token is
 * for ("model acme-lab/tiny") and the rights there ("repo.write, ..."). */
struct whoami_item {
	char *name, *role;
};

struct whoami_items {
	struct whoami_item *item;
	size_t n;
};

struct whoami {
	char *type, *name, *fullname; /* of the account: "user", "rosa" */
	char *kind, *token, *role;    /* "access_token", "laptop", "write" */
	char *expires;                /* "2026-12-24T..." */
	struct whoami_items orgs, rights; /* at most WHOAMI_ITEMS each */
};

/* ERR_NET if the text is not JSON, ERR_CONTENT if it names no account. Release
 * it in any case. */
int answer_whoami(struct str text, struct whoami *out, struct err *e);
void whoami_release(struct whoami *w);

/* The member called name, if it is a URL (url_parse) without a login, so that
 * it may be printed; else NULL. The caller frees. */
char *answer_url(const struct json *v, const char *name);

/* Where the Xet storage of a repository is, and the token for it. */
struct xet_access {
	char *url;        /* without '/' at the end */
	char *token;      /* fit for a field */
	uint64_t expires; /* Unix seconds */
};

/* ERR_NET if the text is not JSON, ERR_CONTENT if it lacks one of the three.
 * Nothing needs a release after a failure. */
int answer_xet(struct str text, struct xet_access *out, struct err *e);
void xet_access_release(struct xet_access *a); /* wipes the token */

/* "sha" of a repository's description: 40 hex digits and '\0'. ERR_NET if the
 * text is not JSON, ERR_CONTENT if it contains no commit. */
int answer_commit(struct str text, char commit[41], struct err *e);

/* The subject of an error, for its sentence. */
struct answer_about {
	const char *id;          /* "org/name"; NULL: the account */
	const char *type;        /* "model" */
	const char *type_prefix; /* "", "datasets/", "spaces/" */
	const char *revision;    /* or NULL */
	const char *path;        /* or NULL */
	bool has_token;          /* and it is sent */
	const char *endpoint;
	bool withheld; /* there is a token, but not sent in clear text */
};

/*
 * Sets the error for a status of 400 or more: a sentence and its kind. In this
 * order: X-Error-Code (RevisionNotFound, EntryNotFound, RepoNotFound,
 * GatedRepo), a disabled repository, 401, 403, 429 (with the wait), transient
 * statuses (ERR_NET), the rest. The sentence contains the Hub's own message and
 * request id; a hint says what to do. body is the text of the answer, possibly
 * empty, JSON or plain; HTML is left out. Always returns -1.
 */
int answer_error(const struct http_head *h, struct str body,
    const struct answer_about *about, struct err *e);

/* --- How to send each file. --- */

/*
 * The preupload request, which asks the Hub how to send each file, and its
 * answer. Pure.
 */

/* Files per request, and bytes of each file that are sent as a sample. */
#define PREUPLOAD_MAX 256
#define PREUPLOAD_SAMPLE 512

/* Builds the request, file by file: begin, add each, end. */
void preupload_begin(struct buf *b);
void preupload_add(struct buf *b, const char *path, uint64_t size,
    const void *sample, size_t n);
/* The contents of the .gitignore and .gitattributes of the upload, which the
 * Hub applies to it already. NULL: none. */
void preupload_end(struct buf *b, const char *ignore, const char *attributes);

struct preupload_mode {
	const char *path; /* borrowed for the call */
	bool lfs;
	bool ignored; /* the repository's .gitignore leaves it out */
	bool known;   /* the path is there now, with the content there */
	struct digest there;
};

/* Calls each() for each file of the answer, in the Hub's order. commit gets the
 * head at that time (40 digits and '\0'), "" if the answer lacks it. ERR_NET if
 * the text is not JSON, ERR_CONTENT if it is not such an answer. */
int preupload_parse(struct str text,
    void (*each)(void *ctx, const struct preupload_mode *m), void *ctx,
    char commit[41], struct err *e);

/* --- The body of a commit. --- */

/*
 * The body of a commit: lines of JSON whose length is known before the first is
 * written, so that it can be streamed; the contents of regular files are read
 * and encoded as they are sent, never held.
 */

enum commit_kind {
	COMMIT_FILE,   /* the content itself */
	COMMIT_LFS,    /* by its SHA-256; the storage has the content */
	COMMIT_DELETE, /* a file that is there */
};

struct commit_op {
	enum commit_kind kind;
	const char *path; /* in the repository */
	uint64_t size;
	struct digest digest; /* LFS */
	void *file;           /* FILE: what open() gets */
};

struct commit {
	const char *summary, *description; /* "" if none */
	const char *parent;                /* 40 digits, or NULL */
	const struct commit_op *op;
	size_t n;
	/* open() opens the content of a file; check() checks, after all of it
	 * was read, that it has not changed; failed() reports that either
	 * failed, or a read. */
	int (*open)(void *ctx, void *file, struct err *e);
	int (*check)(void *ctx, void *file, int fd, struct err *e);
	void (*failed)(void *ctx, void *file, const struct err *why);
	void *ctx;
};

/* The length of the whole body. */
uint64_t commit_length(const struct commit *c);

/* Reads the body in order; may start again at 0. The initial state is all zero
 * except c; commit_reader_release() closes what is open. */
struct commit_reader {
	const struct commit *c;
	size_t i;        /* the line: 0 is the header, op[i - 1] the others */
	uint64_t begin;  /* where the line begins */
	struct buf text; /* of the line; a FILE's without its content */
	size_t split;    /* a FILE's content stands at that place of text */
	int fd;          /* of it, or -1 */
};

void commit_reader_init(struct commit_reader *r, const struct commit *c);
void commit_reader_release(struct commit_reader *r);

/* For struct request: ctx is a reader. */
int commit_read(
    void *ctx, uint64_t offset, void *p, size_t cap, size_t *n, struct err *e);

/* The Hub's answer. The caller frees the strings; NULL if missing. An answer
 * without a commit is ERR_NET, like a lost one. */
struct commit_answer {
	char oid[41];
	char *url;
};
int commit_answer_parse(
    struct str text, struct commit_answer *out, struct err *e);
void commit_answer_release(struct commit_answer *a);

#endif
