#ifndef HUB_TEST_BOX_H
#define HUB_TEST_BOX_H

/* A folder with files and their metadata, which is served. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "hash.h"
#include "plan.h"
#include "reply.h"
#include "site.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"
#include "wait.h"

#define OLD "1111111111111111111111111111111111111111"
#define NEW "2222222222222222222222222222222222222222"

/* --- Folders. --- */

static inline void
put(const struct folder *f, const char *path, const char *text)
{
	struct err e;

	(void)folder_remove(f, path, &e);
	CHECK(folder_write_new(f, path, str_of(text), &e) == 0);
}

static inline void
hash_of(const char *text, enum hash_kind kind, struct digest *d)
{
	struct hash h;

	hash_init(&h, kind, strlen(text));
	hash_update(&h, text, strlen(text));
	hash_final(&h, d);
}

/* A file and its metadata, as the official client leaves it. */
static inline void
put_recorded(const struct folder *f, const char *path, const char *text,
    enum hash_kind kind, const char *commit, unsigned seconds)
{
	char name[256], note[256], hex[2 * HASH_SIZE_MAX + 1];
	struct digest d;

	hash_of(text, kind, &d);
	digest_hex(&d, hex);
	put(f, path, text);
	snprintf(name, sizeof(name), LOCALDIR_PREFIX "/%s.metadata", path);
	snprintf(note, sizeof(note), "%s\n%s\n%u.5\n", commit, hex, seconds);
	put(f, name, note);
}

struct box {
	char path[SCRATCH_PATH];
	struct site_root root;
	struct site_setup setup;
	struct site *site;
	unsigned notes;
};

static inline void
count_note(void *ctx, const struct err *why)
{
	struct box *b = ctx;

	CHECK(why->msg[0]);
	b->notes++;
}

static inline void
box_make(struct box *b)
{
	struct err e;

	*b = (struct box){.root.repo = xstrdup("models/org/name")};
	scratch_make(b->path);
	CHECK(folder_open(&b->root.folder, b->path, false, &e) == 0);
	b->setup = (struct site_setup){&b->root, 1, count_note, b};
}

static inline void
box_look(struct box *b)
{
	struct err e;
	struct site *old = b->site;

	b->site = site_look(&b->setup, old, &e);
	CHECK(b->site != NULL);
	site_release(old);
	if (!b->site)
		exit(test_end());
}

static inline void
box_prove(struct box *b)
{
	struct err e;

	while (site_prove(b->site, &e) > 0)
		;
}

static inline void
box_release(struct box *b)
{
	site_release(b->site);
	free(b->root.repo);
	folder_close(&b->root.folder);
	scratch_remove(b->path);
}

/* --- Answers. --- */

/* What a client gets: status, fields and body, one after the other. */
static inline char *
ask(struct box *b, const struct reply_request *q)
{
	struct reply a;
	struct buf all = buf_make(1 << 20);
	char text[4096] = "";
	struct stat st;
	struct stamp stamp;

	reply_make(b->site, q, &a);
	buf_printf(&all, "%u\n", a.status);
	buf_str_add(&all, buf_str(&a.fields));
	if (a.fd >= 0) {
		CHECK(fstat(a.fd, &st) == 0);
		stamp_of(&st, &stamp);
		CHECK(stamp_same(&stamp, &a.stamp));
		CHECK(a.length < sizeof(text));
		CHECK(pread(a.fd, text, (size_t)a.length, (off_t)a.first) ==
		      (ssize_t)a.length);
		buf_puts(&all, text);
	} else {
		CHECK(a.status == 304 || a.length == a.body.len);
		buf_str_add(&all, buf_str(&a.body));
	}
	reply_release(&a);
	return buf_detach(&all);
}

static inline char *
get(struct box *b, const char *target)
{
	const struct reply_request q = {
	    .target = str_of(target), .host = str_of("box:1")};

	return ask(b, &q);
}

/* The answer begins with the status and has the texts. */
static inline void
expect(long row, char *answer, unsigned status, const char *a, const char *c)
{
	bool good = strtoul(answer, NULL, 10) == status && strstr(answer, a) &&
		    strstr(answer, c);

	test_count(good, __FILE__, __LINE__, answer, row);
	free(answer);
}

/* So that the change shows in its stamp. */
static inline void
replace(struct box *b, const char *path, const char *text)
{
	struct err e;

	stamp_let_pass();
	if (scratch_tick())
		CHECK(wait_until(wait_now() + scratch_tick() + 50, &e) == 0);
	put(&b->root.folder, path, text);
}

#endif
