#ifndef HUB_COMMIT_H
#define HUB_COMMIT_H

/*
 * The body of a commit (hub-protocol.md, 9.8): lines of JSON whose length is
 * known before the first is written, so that it can be streamed; the contents
 * of regular files are read and encoded as they are sent, never held.
 */

#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "str.h"

struct err;

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
	/* Opens the content of a file; looks, when all of it was read, that it
	 * is still the one that was opened; hears that one of these failed, or
	 * that it cannot be read. */
	int (*open)(void *ctx, void *file, struct err *e);
	int (*check)(void *ctx, void *file, int fd, struct err *e);
	void (*failed)(void *ctx, void *file, const struct err *why);
	void *ctx;
};

/* The length of the whole body. */
uint64_t commit_length(const struct commit *c);

/* Reads the body in order; it may be begun again at 0. All zero but c is the
 * start; commit_reader_release() closes what is open. */
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

/* What the Hub answers. Strings are the caller's to free; NULL if not said. An
 * answer that names no commit is ERR_NET, as one that was lost. */
struct commit_answer {
	char oid[41];
	char *url;
};
int commit_answer_parse(
    struct str text, struct commit_answer *out, struct err *e);
void commit_answer_release(struct commit_answer *a);

#endif
