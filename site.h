#ifndef HUB_SITE_H
#define HUB_SITE_H

/*
 * What `hub serve` offers, and its answers: the Hub's read-only API over folders
 * that were downloaded, and over the shared cache. It knows no sockets.
 *
 * A path in a request is only compared with the paths that were found when the
 * folders were looked at: it never reaches the file system. Only a file whose
 * hash is the recorded one is offered: by our own stamp in its metadata, or
 * since its bytes were hashed; and only as long as its stamp stays the same.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "file.h"
#include "str.h"

struct err;

/* Where files are. */
struct site_root {
	struct folder folder;
	char *repo; /* "models/org/name" (repoid_put_path); NULL: as its
		     * metadata says */
	bool cache; /* a shared cache: all its repositories, repo is NULL */
};

struct site_setup {
	const struct site_root *root;
	size_t n;
	/* Reports a repository or a file that is left out, and why. */
	void (*note)(void *ctx, const struct err *why);
	void *ctx;
};

struct site;

/* Looks at all folders; reads no content. What old (NULL: none) had proved, and
 * is unchanged, needs no proof again. NULL: a folder has no record of a download
 * (ERR_ABSENT), or cannot be read; with old these are notes, and after a signal
 * ERR_STOPPED. The setup must outlive the site. */
struct site *site_look(
    const struct site_setup *setup, struct site *old, struct err *e);

/* Takes over what old, of the same setup, has proved since s was made from it or
 * from a later one. */
void site_inherit(struct site *s, struct site *old);

/* Any thread may take a reference, and gives it back. */
struct site *site_keep(struct site *s);
void site_release(struct site *s); /* takes NULL */

struct site_count {
	size_t repos, files; /* files: those that are offered */
	size_t wrong;        /* left out, or not readable */
	size_t unproved;
	uint64_t bytes;
};
struct site_count site_count(struct site *s);

/* Takes the next file that is neither proved nor left out, first of the
 * repositories that requests wait for, and hashes it unless it has changed just
 * now. One that is another content, or cannot be read, is left out and noted,
 * until it is another file; one that cannot be read also until the next look.
 * 1: call again; 0: there is none; -1: stopped by a signal. One thread at a
 * time; the others answer meanwhile. */
int site_prove(struct site *s, struct err *e);

struct site_request {
	bool post; /* else GET or HEAD */
	bool head;
	struct str target; /* path and query */
	struct str host;   /* for links; "": links are relative */
	bool secure;       /* links begin with "https" */
	struct str range, if_range, none_match; /* fields; "": there is none */
	struct str type, body;                  /* of a POST */
};

/* The largest body of a request. */
#define SITE_BODY_MAX 262144

/* The most paths that a request can ask for. */
#define SITE_PATHS_MAX 1000

/* What makes the rest of a long text. */
struct site_rest;

struct site_answer {
	unsigned status;
	struct buf fields; /* "Name: value\r\n" each, without the length */
	struct buf body;
	struct site_rest *rest; /* the body goes on with what site_more() adds,
				 * and its length is not known; NULL: no */
	int fd; /* the body is length bytes of this file from first on; the
		 * caller closes it. -1: the body is the text. */
	uint64_t first, length; /* of HEAD, length is what GET would send */
	struct stamp stamp; /* of the file that was proved: what is read while
			     * it differs may be other bytes */
	bool prove;         /* something is to be proved: see site_prove() */
};

/* out is set as a whole; release it with site_answer_release(). */
void site_answer(
    struct site *s, const struct site_request *q, struct site_answer *out);
void site_answer_release(struct site_answer *a);

/* Adds a piece of some 16 KiB to out. 1: there is more; 0: that was the last
 * one; -1: a file has changed, so that the text cannot be ended. */
int site_more(struct site_rest *rest, struct buf *out);
void site_rest_release(struct site_rest *rest); /* takes NULL */

/* Makes out the answer for a failure: code may be NULL. For refusals that the
 * site does not see, too. */
void site_fail(struct site_answer *out, unsigned status, const char *code,
    const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

#endif
