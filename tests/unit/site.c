#include "file.h"

/* A file system with a clock of 7 ms, and a disk that fails. */
static void rough_stamp_of(const struct stat *st, struct stamp *out);
static int failing_filehash(int fd, uint64_t size, enum hash_kind kind,
    const char *name, void (*moved)(void *ctx, size_t n), void *ctx,
    struct digest *out, struct err *e);

#define stamp_of rough_stamp_of
#define filehash failing_filehash
#include "../../site.c"
#undef stamp_of
#undef filehash

#include "tests/unit/scratch.h"
#include "tests/unit/test.h"

#include <sys/stat.h>

static bool rough, fails;
static unsigned hashed;

static void
rough_stamp_of(const struct stat *st, struct stamp *out)
{
	const int64_t tick = 7000001;

	stamp_of(st, out);
	if (!rough)
		return;
	out->mtime -= out->mtime % tick;
	out->ctime -= out->ctime % tick;
}

static int
failing_filehash(int fd, uint64_t size, enum hash_kind kind, const char *name,
    void (*moved)(void *ctx, size_t n), void *ctx, struct digest *out,
    struct err *e)
{
	hashed++;
	return fails ? err_set(e, ERR_FILE, "cannot read '%s': it fails", name)
		     : filehash(fd, size, kind, name, moved, ctx, out, e);
}

#define OLD "1111111111111111111111111111111111111111"
#define NEW "2222222222222222222222222222222222222222"

/* --- Folders. --- */

static void
put(const struct folder *f, const char *path, const char *text)
{
	struct err e;

	(void)folder_remove(f, path, &e);
	CHECK(folder_write_new(f, path, str_of(text), &e) == 0);
}

static void
hash_of(const char *text, enum hash_kind kind, struct digest *d)
{
	struct hash h;

	hash_init(&h, kind, strlen(text));
	hash_update(&h, text, strlen(text));
	hash_final(&h, d);
}

/* A file and its metadata, as the official client leaves it. */
static void
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

static void
count_note(void *ctx, const struct err *why)
{
	struct box *b = ctx;

	CHECK(why->msg[0]);
	b->notes++;
}

static void
box_make(struct box *b)
{
	struct err e;

	*b = (struct box){.root.repo = NULL};
	scratch_make(b->path);
	CHECK(folder_open(&b->root.folder, b->path, false, &e) == 0);
	b->setup = (struct site_setup){&b->root, 1, count_note, b};
}

static void
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

static void
box_prove(struct box *b)
{
	struct err e;

	while (site_prove(b->site, &e) > 0)
		;
}

static void
box_release(struct box *b)
{
	site_release(b->site);
	folder_close(&b->root.folder);
	scratch_remove(b->path);
}

/* --- Answers. --- */

/* What a client gets: status, fields and body, one after the other. */
static char *
ask(struct box *b, const struct site_request *q)
{
	struct site_answer a;
	struct buf all = buf_make(1 << 20);
	char text[4096] = "";
	struct stat st;
	struct stamp stamp;

	site_answer(b->site, q, &a);
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
	site_answer_release(&a);
	return buf_detach(&all);
}

static char *
get(struct box *b, const char *target)
{
	const struct site_request q = {
	    .target = str_of(target), .host = str_of("box:1")};

	return ask(b, &q);
}

/* The answer begins with the status and has the texts. */
static void
expect(long row, char *answer, unsigned status, const char *a, const char *c)
{
	bool good = strtoul(answer, NULL, 10) == status && strstr(answer, a) &&
		    strstr(answer, c);

	test_count(good, __FILE__, __LINE__, answer, row);
	free(answer);
}

static void
fill(struct box *b)
{
	const struct folder *f = &b->root.folder;

	put_recorded(f, "README.md", "hello\n", HASH_GIT, NEW, 20);
	put_recorded(f, "empty", "", HASH_GIT, NEW, 20);
	put_recorded(f, "a/b/deep.txt", "deep\n", HASH_GIT, NEW, 20);
	put_recorded(f, "a/w\xc3\xa9 x.bin", "weights\n", HASH_SHA256, NEW, 20);
	put_recorded(f, "old.txt", "old\n", HASH_GIT, OLD, 10);
	put(f, "secret", "not recorded\n");
}

static void
test_answers(void)
{
	static const struct {
		const char *target;
		unsigned status;
		const char *a, *b;
	} t[] = {
	    {"/", 200, "models/org/name\n", ""},
	    {"/api/models/org/name", 200, "\"sha\":\"" NEW "\"",
		"{\"rfilename\":\"README.md\"}"},
	    {"/api/models/Org/NAME", 200, "\"id\":\"org/name\"", ""},
	    {"/api/models/org/name/revision/main?blobs=true", 200,
		"\"rfilename\":\"a/w\xc3\xa9 x.bin\",\"size\":8,\"blobId\":",
		"\"lfs\":{\"sha256\":\""},
	    {"/api/models/org/name/revision/" OLD, 200,
		"\"siblings\":[{\"rfilename\":\"old.txt\"}]", OLD},
	    {"/api/models/org/name/revision/nope", 404,
		"X-Error-Code: RevisionNotFound",
		"{\"error\":\"Invalid rev id: nope\"}"},
	    {"/api/models/org/name/revision/x%0d%0aSet-Cookie%3a%20a", 404,
		"Invalid rev id: x??Set-Cookie", "RevisionNotFound"},
	    {"/api/models/org/name/revision/%zz", 400, "", ""},
	    {"/api/models/org/other", 404, "X-Error-Code: RepoNotFound",
		"Repository not found"},
	    {"/api/datasets/org/name", 404, "RepoNotFound", ""},
	    {"/api/things/org/name", 404, "X-Error-Message", ""},
	    {"/api/models/org/name/tree/main?recursive=true", 200,
		"\"path\":\"a\"}",
		"{\"type\":\"file\",\"oid\":"
		"\"ce013625030ba8dba906f756967f9e9ca394464a"
		"\",\"size\":6,\"path\":\"README.md\"}"},
	    {"/api/models/org/name/tree/main", 200, "\"path\":\"a\"}",
		"\"path\":\"README.md\"}"},
	    {"/api/models/org/name/tree/main/a%2Fb", 200,
		"\"path\":\"a/b/deep.txt\"}", ""},
	    {"/api/models/org/name/tree/main/a/b", 200,
		"\"path\":\"a/b/deep.txt\"}", ""},
	    {"/api/models/org/name/tree/main/a/b/deep.txt", 404,
		"EntryNotFound", "X-Repo-Commit: " NEW},
	    {"/api/models/org/name/tree/main/none", 404, "EntryNotFound", ""},
	    {"/api/models/org/name/tree/main/..", 404, "EntryNotFound", ""},
	    {"/api/models/org/name/refs", 200,
		"{\"name\":\"main\",\"ref\":\"refs/heads/main\","
		"\"targetCommit\":\"" NEW "\"}",
		"\"tags\":[]"},
	    {"/api/models/org/name/auth-check", 200, "", ""},
	    {"/api/models/org/name/commits/main", 404, "", ""},
	    {"/api/models/org/name/xet-read-token/main", 404, "", ""},
	    {"/api/models/org/name/paths-info/main", 405, "Allow: POST", ""},
	    {"/org/name/resolve/main/README.md", 200,
		"X-Linked-ETag: \"ce013625030ba8dba906f756967f9e9ca394464a\"",
		"\nhello\n"},
	    {"/org/name/resolve/main/README.md?download=true", 200,
		"X-Linked-Size: 6\r\n", "X-Repo-Commit: " NEW},
	    {"/org/name/resolve/" NEW "/a/w%C3%A9%20x.bin", 200,
		"filename*=UTF-8''w%C3%A9%20x.bin; filename=\"w__ x.bin\";",
		"weights\n"},
	    {"/org/name/resolve/main/a%2Fb%2Fdeep.txt", 200, "deep\n", ""},
	    {"/org/name/resolve/main/empty", 200, "X-Linked-Size: 0", ""},
	    {"/org/name/resolve/" OLD "/old.txt", 200, "old\n", ""},
	    {"/org/name/resolve/main/old.txt", 404, "EntryNotFound", ""},
	    {"/org/name/resolve/main/none", 404, "EntryNotFound",
		"X-Repo-Commit: " NEW},
	    {"/org/name/resolve/nope/README.md", 404, "RevisionNotFound", ""},
	    {"/other/name/resolve/main/README.md", 404, "RepoNotFound", ""},
	    {"/datasets/org/name/resolve/main/README.md", 404, "RepoNotFound",
		""},
	    /* Nothing but what was recorded, whatever a path looks like. */
	    {"/org/name/resolve/main/secret", 404, "EntryNotFound", ""},
	    {"/org/name/resolve/main/../secret", 404, "EntryNotFound", ""},
	    {"/org/name/resolve/main/a/../secret", 404, "EntryNotFound", ""},
	    {"/org/name/resolve/main/%2e%2e/secret", 404, "EntryNotFound", ""},
	    {"/org/name/resolve/main/%2e%2e%2fsecret", 404, "EntryNotFound",
		""},
	    {"/org/name/resolve/main//etc/passwd", 404, "EntryNotFound", ""},
	    {"/org/name/resolve/main/%2Fetc%2Fpasswd", 404, "EntryNotFound",
		""},
	    {"/org/name/resolve/main/README.md%00", 404, "EntryNotFound", ""},
	    {"/org/name/resolve/main/README.md%", 404, "EntryNotFound", ""},
	    {"/org/name/resolve/main/.cache/huggingface/download/"
	     "README.md.metadata",
		404, "EntryNotFound", ""},
	    {"/org/name/resolve/main/", 404, "EntryNotFound", ""},
	    {"/org/name/resolve/main", 404, "EntryNotFound", ""},
	    {"/org/name/resolve/", 400, "", ""},
	    {"/org/name/resolve", 404, "", ""},
	    {"/org/name/raw/main/README.md", 404, "", ""},
	    {"/../../etc/passwd", 404, "", ""},
	    {"//", 404, "", ""},
	    {"/api/", 404, "", ""},
	    {"/api/models", 404, "", ""},
	    {"/api/models/", 404, "", ""},
	    {"/api/models//", 404, "", ""},
	};
	struct box b;

	box_make(&b);
	fill(&b);
	b.root.repo = xstrdup("models/org/name");
	box_look(&b);
	box_prove(&b);
	for (size_t i = 0; i < countof(t); i++)
		expect(
		    (long)i, get(&b, t[i].target), t[i].status, t[i].a, t[i].b);
	free(b.root.repo);
	box_release(&b);
}

/* All pages together have each file once, and each folder. */
static void
test_pages(void)
{
	struct box b;
	char target[1024] = "/api/models/org/name/tree/main?recursive=true"
			    "&limit=1";
	char all[8192] = "";
	unsigned pages = 0;

	box_make(&b);
	fill(&b);
	b.root.repo = xstrdup("models/org/name");
	box_look(&b);
	box_prove(&b);
	for (char *next = target; next && pages < 20; pages++) {
		char *answer = get(&b, target), *end;

		strncat(
		    all, strchr(answer, '['), sizeof(all) - strlen(all) - 1);
		next = strstr(answer, "Link: <http://box:1/");
		if (next) {
			next += strlen("Link: <http://box:1");
			end = strstr(next, ">; rel=\"next\"\r\n");
			CHECK(end && end - next < (long)sizeof(target));
			*end = '\0';
			memmove(target, next, strlen(next) + 1);
		}
		free(answer);
	}
	CHECK(pages == 4);
	for (size_t i = 0; i < 6; i++) {
		static const char *const path[] = {"README.md", "a", "a/b",
		    "a/b/deep.txt", "a/w\xc3\xa9 x.bin", "empty"};
		char member[64], *found;

		snprintf(member, sizeof(member), "\"path\":\"%s\"", path[i]);
		found = strstr(all, member);
		CHECK_ROW(i, found && !strstr(found + 1, member));
	}
	free(b.root.repo);
	box_release(&b);
}

static void
test_fields(void)
{
#define ETAG "\"ce013625030ba8dba906f756967f9e9ca394464a\""
	static const struct {
		bool head;
		const char *range, *if_range, *none_match;
		unsigned status;
		const char *a, *b;
	} t[] = {
	    {false, "bytes=1-3", "", "", 206, "Content-Range: bytes 1-3/6\r\n",
		"\nell"},
	    {false, "bytes=-2", "", "", 206, "bytes 4-5/6", "\no\n"},
	    {false, "bytes=1-3", ETAG, "", 206, "bytes 1-3/6", ""},
	    {false, "bytes=1-3", "\"x\"", "", 200, "\nhello\n", ""},
	    {false, "bytes=1-3", "W/" ETAG, "", 200, "\nhello\n", ""},
	    {false, "bytes=6-", "", "", 416, "Content-Range: bytes */6\r\n",
		""},
	    {false, "bytes=6-", "\"x\"", "", 200, "\nhello\n", ""},
	    {false, "bytes=0-1,3-4", "", "", 200, "\nhello\n", ""},
	    {true, "bytes=1-3", "", "", 200, "X-Linked-Size: 6", ""},
	    {false, "", "", ETAG, 304, "ETag: " ETAG, ""},
	    {false, "", "", "W/" ETAG, 304, "ETag: " ETAG, ""},
	    {false, "bytes=1-3", "", "*", 304, "X-Repo-Commit", ""},
	    {false, "", "", "\"x\"", 200, "\nhello\n", ""},
	};
	struct box b;

	box_make(&b);
	fill(&b);
	b.root.repo = xstrdup("models/org/name");
	box_look(&b);
	box_prove(&b);
	for (size_t i = 0; i < countof(t); i++) {
		const struct site_request q = {
		    .head = t[i].head,
		    .target = str_of("/org/name/resolve/main/README.md"),
		    .host = str_of("box"),
		    .range = str_of(t[i].range),
		    .if_range = str_of(t[i].if_range),
		    .none_match = str_of(t[i].none_match),
		};

		expect((long)i, ask(&b, &q), t[i].status, t[i].a, t[i].b);
	}
	free(b.root.repo);
	box_release(&b);
}

/* Asks for the same path n times. */
static char *
ask_often(struct box *b, size_t n, bool json)
{
	struct buf body = buf_make(SITE_BODY_MAX);
	struct site_request q = {
	    .post = true,
	    .target = str_of("/api/models/org/name/paths-info/main"),
	    .type = str_of(json ? "application/json" : ""),
	};
	char *answer;

	buf_puts(&body, json ? "{\"paths\": [\"a\"" : "paths=a");
	while (--n)
		buf_puts(&body, json ? ", \"a\"" : "&paths=a");
	buf_puts(&body, json ? "]}" : "");
	q.body = buf_str(&body);
	answer = ask(b, &q);
	buf_release(&body);
	return answer;
}

static void
test_paths(void)
{
	static const struct {
		const char *type, *body;
		unsigned status;
		const char *a, *b;
	} t[] = {
	    {"application/json; charset=utf-8",
		"{\"paths\": [\"README.md\", \"a/\", \"none\"]}", 200,
		"README.md", "\"path\":\"a\"}]"},
	    {"application/json", "{\"paths\": \"empty\"}", 200,
		"[{\"type\":\"file\"", "\"path\":\"empty\"}]"},
	    {"application/json", "{\"paths\": []}", 200, "\n[]", ""},
	    {"application/json", "{\"paths\": [\"../secret\", \"\", 3]}", 200,
		"\n[]", ""},
	    {"application/json", "{}", 400, "", ""},
	    {"application/json", "{\"paths\"", 400, "", ""},
	    {"application/json", "", 400, "", ""},
	    {"application/x-www-form-urlencoded",
		"paths=a%2Fw%C3%A9+x.bin&paths=secret&expand=False", 200,
		"x.bin\",\"lfs\":{\"oid\":\"", ",\"pointerSize\":126}}]"},
	    {"application/x-www-form-urlencoded", "paths=%zz&paths", 200,
		"\n[]", ""},
	    {"", "", 200, "\n[]", ""},
	};
	struct box b;

	box_make(&b);
	fill(&b);
	b.root.repo = xstrdup("models/org/name");
	box_look(&b);
	box_prove(&b);
	for (size_t i = 0; i < countof(t); i++) {
		const struct site_request q = {
		    .post = true,
		    .target = str_of("/api/models/org/name/paths-info/main"),
		    .type = str_of(t[i].type),
		    .body = str_of(t[i].body),
		};

		expect((long)i, ask(&b, &q), t[i].status, t[i].a, t[i].b);
	}
	/* One path again and again: no more than the limit. */
	for (size_t n = SITE_PATHS_MAX; n <= SITE_PATHS_MAX + 1; n++) {
		expect(0, ask_often(&b, n, true),
		    n > SITE_PATHS_MAX ? 413 : 200, "", "");
		expect(1, ask_often(&b, n, false),
		    n > SITE_PATHS_MAX ? 413 : 200, "", "");
	}
	free(b.root.repo);
	box_release(&b);
}

/* --- What is offered. --- */

/* So that the change shows in its stamp. */
static void
replace(struct box *b, const char *path, const char *text)
{
	struct err e;

	stamp_let_pass();
	if (scratch_tick())
		CHECK(wait_until(wait_now() + scratch_tick() + 50, &e) == 0);
	put(&b->root.folder, path, text);
}

static void
test_proof(void)
{
	struct box b;
	char path[SCRATCH_PATH + 8];
	struct stat st;
	struct digest d;
	struct err e;

	box_make(&b);
	put_recorded(&b.root.folder, "right", "right\n", HASH_GIT, NEW, 20);
	put_recorded(&b.root.folder, "wrong", "wrong\n", HASH_SHA256, NEW, 20);
	put(&b.root.folder, "wrong", "other\n");
	b.root.repo = xstrdup("models/org/name");
	box_look(&b);
	/* Nothing is known of either: a listing would look whole. */
	expect(0, get(&b, "/api/models/org/name/tree/main"), 503,
	    "Retry-After: ", "");
	expect(1, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	CHECK(b.notes == 1 && site_count(b.site).wrong == 1);
	expect(2, get(&b, "/org/name/resolve/main/right"), 200, "right\n", "");
	expect(3, get(&b, "/org/name/resolve/main/wrong"), 404, "", "");
	expect(4, get(&b, "/api/models/org/name/tree/main"), 200,
	    "\"path\":\"right\"}]", "");
	/* One that changes is offered no more, and when it is right again, it
	 * is. */
	replace(&b, "right", "rigth\n");
	expect(5, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	expect(6, get(&b, "/org/name/resolve/main/right"), 404, "", "");
	expect(6, get(&b, "/org/name/resolve/main/right"), 404, "", "");
	replace(&b, "right", "right\n");
	expect(6, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	expect(6, get(&b, "/org/name/resolve/main/right"), 200, "right\n", "");
	/* So is one that could not be read for a while. */
	CHECK(folder_remove(&b.root.folder, "right", &e) == 0);
	snprintf(path, sizeof(path), "%s/right", b.path);
	CHECK(mkdir(path, 0700) == 0);
	expect(6, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	CHECK(b.notes == 3);
	expect(6, get(&b, "/org/name/resolve/main/right"), 404, "", "");
	CHECK(rmdir(path) == 0);
	replace(&b, "right", "right\n");
	expect(6, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	expect(6, get(&b, "/org/name/resolve/main/right"), 200, "right\n", "");
	replace(&b, "right", "rigth\n");
	expect(6, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	replace(&b, "right", "right\n");
	box_look(&b);
	expect(7, get(&b, "/org/name/resolve/main/right"), 503, "", "");
	box_prove(&b);
	/* What is proved stays proved, when it looks again. */
	box_look(&b);
	if (!scratch_tick())
		expect(8, get(&b, "/org/name/resolve/main/right"), 200,
		    "right\n", "");
	/* With our stamp it is so at once. */
	hash_of("stamped\n", HASH_GIT, &d);
	put(&b.root.folder, "stamped", "stamped\n");
	CHECK(folder_stat(&b.root.folder, "stamped", &st, &e) == 0);
	CHECK(localdir_note(&b.root.folder, "stamped", NEW, "models/o/n", &d,
		  &st, &e) == 0);
	site_release(b.site);
	b.site = NULL;
	box_look(&b);
	if (!scratch_tick())
		expect(9, get(&b, "/org/name/resolve/main/stamped"), 200,
		    "stamped\n", "");
	free(b.root.repo);
	box_release(&b);
}

/* What is hashed while it looks again counts as well, and what was found to be
 * wrong is not hashed again. */
static void
test_looking_again(void)
{
	struct box b;
	struct site *before;
	struct err e;

	box_make(&b);
	put_recorded(&b.root.folder, "right", "right\n", HASH_GIT, NEW, 20);
	put_recorded(&b.root.folder, "wrong", "wrong\n", HASH_GIT, NEW, 20);
	put(&b.root.folder, "wrong", "other\n");
	b.root.repo = xstrdup("models/org/name");
	box_look(&b);
	before = site_keep(b.site);
	box_look(&b);
	CHECK(site_count(b.site).unproved == 2);
	hashed = 0;
	while (site_prove(before, &e) > 0)
		;
	CHECK(hashed == 2 && site_count(b.site).unproved == 2);
	site_inherit(b.site, before);
	site_release(before);
	CHECK(site_count(b.site).unproved == 0);
	CHECK(site_count(b.site).wrong == 1);
	expect(0, get(&b, "/org/name/resolve/main/right"), 200, "right\n", "");
	expect(1, get(&b, "/org/name/resolve/main/wrong"), 404, "", "");
	box_look(&b);
	box_prove(&b);
	CHECK(hashed == 2);
	/* A look sees what has changed meanwhile. */
	replace(&b, "wrong", "wrong\n");
	replace(&b, "right", "rigth\n");
	box_look(&b);
	CHECK(site_count(b.site).unproved == 2);
	box_prove(&b);
	expect(2, get(&b, "/org/name/resolve/main/right"), 404, "", "");
	expect(3, get(&b, "/org/name/resolve/main/wrong"), 200, "wrong\n", "");
	free(b.root.repo);
	box_release(&b);
}

/* However often it looks, each file has its turn. */
static void
test_turns(void)
{
	struct box b;
	struct err e;
	char path[8], text[8];

	box_make(&b);
	for (unsigned i = 0; i < 9; i++) {
		snprintf(path, sizeof(path), "%u", i);
		snprintf(text, sizeof(text), "%u\n", i);
		put_recorded(&b.root.folder, path, text, HASH_SHA256, NEW, 20);
	}
	b.root.repo = xstrdup("models/org/name");
	box_look(&b);
	fails = true;
	for (unsigned i = 0; i < 4; i++) {
		CHECK(site_prove(b.site, &e) == 1);
		box_look(&b);
	}
	fails = false;
	for (unsigned i = 0; i < 9; i++) {
		CHECK_ROW(i, site_count(b.site).files == i);
		CHECK(site_prove(b.site, &e) == 1);
		box_look(&b);
	}
	CHECK(site_count(b.site).files == 9);
	free(b.root.repo);
	box_release(&b);
}

/* A file that cannot be read is not tried again for each request, but once it is
 * another one, and when it looks again. */
static void
test_failing_disk(void)
{
	struct box b;
	static const char path[] = "/org/name/resolve/main/right";

	box_make(&b);
	put_recorded(&b.root.folder, "right", "right\n", HASH_GIT, NEW, 20);
	b.root.repo = xstrdup("models/org/name");
	box_look(&b);
	hashed = 0;
	fails = true;
	box_prove(&b);
	for (unsigned i = 0; i < 3; i++) {
		expect(0, get(&b, path), 404, "EntryNotFound", "");
		expect(1, get(&b, "/api/models/org/name/tree/main"), 200,
		    "\n[]", "");
		box_prove(&b);
	}
	CHECK(hashed == 1 && b.notes == 1 && site_count(b.site).wrong == 1);
	box_look(&b);
	box_prove(&b);
	CHECK(hashed == 2 && b.notes == 2);
	fails = false;
	expect(2, get(&b, path), 404, "", "");
	replace(&b, "right", "right\n");
	expect(3, get(&b, path), 503, "", "");
	box_prove(&b);
	expect(4, get(&b, path), 200, "right\n", "");
	fails = true;
	replace(&b, "right", "other\n");
	expect(5, get(&b, path), 503, "", "");
	box_prove(&b);
	fails = false;
	box_look(&b);
	box_prove(&b);
	expect(6, get(&b, path), 404, "", "");
	CHECK(hashed == 5);
	free(b.root.repo);
	box_release(&b);
}

/* A change right after the proof leaves the stamp as it is. */
static void
test_rough_clock(void)
{
	struct box b;
	char path[SCRATCH_PATH + 8];
	int fd;

	rough = true;
	for (unsigned i = 0; i < 20; i++) {
		char *answer;

		box_make(&b);
		put_recorded(
		    &b.root.folder, "right", "right\n", HASH_GIT, NEW, 20);
		b.root.repo = xstrdup("models/org/name");
		box_look(&b);
		box_prove(&b);
		snprintf(path, sizeof(path), "%s/right", b.path);
		fd = open(path, O_WRONLY);
		CHECK(fd >= 0 && write(fd, "rigth\n", 6) == 6);
		close(fd);
		answer = get(&b, "/org/name/resolve/main/right");
		CHECK_ROW(i, strtoul(answer, NULL, 10) == 503);
		free(answer);
		free(b.root.repo);
		box_release(&b);
	}
	rough = false;
}

/* Much more than a piece. */
static void
test_long_list(void)
{
	struct box b;
	struct site_answer a;
	struct buf text = buf_make(1 << 20);
	struct site_request q = {
	    .target = str_of("/api/models/org/name?blobs=true")};
	char path[128];
	struct err e;
	struct json all, list, item;
	struct json_iter it;
	unsigned n = 0, pieces = 1;
	int more = 1;

	box_make(&b);
	for (unsigned i = 0; i < 900; i++) {
		snprintf(path, sizeof(path), "%0100u", i);
		put_recorded(&b.root.folder, path, "a", HASH_SHA256, NEW, 20);
	}
	b.root.repo = xstrdup("models/org/name");
	box_look(&b);
	box_prove(&b);
	site_answer(b.site, &q, &a);
	CHECK(a.status == 200 && a.rest && a.body.len < 100000);
	buf_str_add(&text, buf_str(&a.body));
	while (more > 0) {
		more = site_more(a.rest, &text);
		pieces++;
	}
	site_answer_release(&a);
	CHECK(more == 0 && pieces > 10);
	CHECK(json_parse(buf_str(&text), &all, &e) == 0);
	CHECK(json_get(&all, "siblings", &list));
	for (it = json_iter(&list); json_next(&it, NULL, &item);)
		n++;
	CHECK(n == 900);
	buf_release(&text);
	/* One that is found to be changed is in the list already. */
	site_answer(b.site, &q, &a);
	CHECK(a.rest && site_more(a.rest, &a.body) == 1);
	replace(&b, path, "b");
	snprintf(path, sizeof(path), "/org/name/resolve/main/%0100u", 899);
	expect(0, get(&b, path), 503, "", "");
	CHECK(site_more(a.rest, &a.body) == -1);
	site_answer_release(&a);
	free(b.root.repo);
	box_release(&b);
}

/* A link is not followed, whatever its metadata says. */
static void
test_links(void)
{
	struct box b;
	char path[64];

	box_make(&b);
	put_recorded(&b.root.folder, "a/in", "in\n", HASH_GIT, NEW, 20);
	put_recorded(&b.root.folder, "file", "in\n", HASH_GIT, NEW, 20);
	snprintf(path, sizeof(path), "%s/file", b.path);
	CHECK(unlink(path) == 0 && symlink("a/in", path) == 0);
	b.root.repo = xstrdup("models/org/name");
	box_look(&b);
	box_prove(&b);
	expect(0, get(&b, "/org/name/resolve/main/file"), 404, "", "");
	expect(1, get(&b, "/org/name/resolve/main/a/in"), 200, "in\n", "");
	/* Nor is one that comes later. */
	snprintf(path, sizeof(path), "%s/a", b.path);
	CHECK(rename(path, "/tmp/hub_test_moved") == 0);
	CHECK(symlink("/tmp/hub_test_moved", path) == 0);
	expect(2, get(&b, "/org/name/resolve/main/a/in"), 503, "", "");
	box_prove(&b);
	expect(3, get(&b, "/org/name/resolve/main/a/in"), 404, "", "");
	scratch_remove("/tmp/hub_test_moved");
	free(b.root.repo);
	box_release(&b);
}

static void
test_refusals(void)
{
	struct box b;
	struct err e;

	box_make(&b);
	CHECK(!site_look(&b.setup, NULL, &e) && e.kind == ERR_ABSENT);
	/* Its metadata does not name the repository. */
	put_recorded(&b.root.folder, "file", "in\n", HASH_GIT, NEW, 20);
	CHECK(!site_look(&b.setup, NULL, &e) && e.kind == ERR_USAGE);
	CHECK(strstr(e.hint, "-p ORG/NAME=") != NULL);
	/* Names that may not be written are not offered. */
	b.root.repo = xstrdup("models/name");
	put(&b.root.folder, LOCALDIR_PREFIX "/.git/x.metadata",
	    NEW "\nce013625030ba8dba906f756967f9e9ca394464a\n1.0\n");
	put(&b.root.folder, ".git/x", "hello\n");
	put(&b.root.folder, LOCALDIR_PREFIX "/damaged.metadata", "x");
	put(&b.root.folder, "damaged", "hello\n");
	box_look(&b);
	box_prove(&b);
	CHECK(site_count(b.site).files == 1);
	expect(0, get(&b, "/name/resolve/main/file"), 200, "in\n", "");
	expect(1, get(&b, "/name/resolve/main/.git/x"), 404, "", "");
	expect(2, get(&b, "/api/models/name/tree/main"), 200, "file", "");
	free(b.root.repo);
	box_release(&b);
}

int
main(void)
{
	test_answers();
	test_pages();
	test_fields();
	test_paths();
	test_long_list();
	test_proof();
	test_failing_disk();
	/* Elsewhere the stamps of a path and of an open file differ. */
	if (!scratch_tick()) {
		test_looking_again();
		test_turns();
	}
	test_rough_clock();
	test_links();
	test_refusals();
	return test_end();
}
