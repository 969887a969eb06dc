#include "reply.h"

#include "json.h"
#include "tests/unit/box.h"

static void
begin(struct box *b)
{
	const struct folder *f = &b->root.folder;

	box_make(b);
	put_recorded(f, "README.md", "hello\n", HASH_GIT, NEW, 20);
	put_recorded(f, "empty", "", HASH_GIT, NEW, 20);
	put_recorded(f, "a/b/deep.txt", "deep\n", HASH_GIT, NEW, 20);
	put_recorded(f, "a/w\xc3\xa9 x.bin", "weights\n", HASH_SHA256, NEW, 20);
	put_recorded(f, "old.txt", "old\n", HASH_GIT, OLD, 10);
	put(f, "secret", "not recorded\n");
	box_look(b);
	box_prove(b);
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

	begin(&b);
	for (size_t i = 0; i < countof(t); i++)
		expect(
		    (long)i, get(&b, t[i].target), t[i].status, t[i].a, t[i].b);
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

	begin(&b);
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

	begin(&b);
	for (size_t i = 0; i < countof(t); i++) {
		const struct reply_request q = {
		    .head = t[i].head,
		    .target = str_of("/org/name/resolve/main/README.md"),
		    .host = str_of("box"),
		    .range = str_of(t[i].range),
		    .if_range = str_of(t[i].if_range),
		    .none_match = str_of(t[i].none_match),
		};

		expect((long)i, ask(&b, &q), t[i].status, t[i].a, t[i].b);
	}
	box_release(&b);
}

/* Asks for the same path n times. */
static char *
ask_often(struct box *b, size_t n, bool json)
{
	struct buf body = buf_make(REPLY_BODY_MAX);
	struct reply_request q = {
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

	begin(&b);
	for (size_t i = 0; i < countof(t); i++) {
		const struct reply_request q = {
		    .post = true,
		    .target = str_of("/api/models/org/name/paths-info/main"),
		    .type = str_of(t[i].type),
		    .body = str_of(t[i].body),
		};

		expect((long)i, ask(&b, &q), t[i].status, t[i].a, t[i].b);
	}
	/* One path again and again: no more than the limit. */
	for (size_t n = REPLY_PATHS_MAX; n <= REPLY_PATHS_MAX + 1; n++) {
		expect(0, ask_often(&b, n, true),
		    n > REPLY_PATHS_MAX ? 413 : 200, "", "");
		expect(1, ask_often(&b, n, false),
		    n > REPLY_PATHS_MAX ? 413 : 200, "", "");
	}
	box_release(&b);
}

/* Without the files that are not proved yet no answer would be whole. */
static void
test_unproved(void)
{
	static const char *const target[] = {"/api/models/org/name",
	    "/api/models/org/name/tree/main",
	    "/org/name/resolve/main/README.md"};
	struct box b;

	box_make(&b);
	put_recorded(&b.root.folder, "README.md", "hello\n", HASH_GIT, NEW, 20);
	box_look(&b);
	for (unsigned status = 503;; status = 200) {
		for (size_t i = 0; i < countof(target); i++)
			expect((long)i, get(&b, target[i]), status,
			    status == 503 ? "Retry-After: " : "", "");
		expect(3, ask_often(&b, 1, true), status, "", "");
		if (status == 200)
			break;
		box_prove(&b);
	}
	box_release(&b);
}

/* Much more than a piece. */
static void
test_long_list(void)
{
	struct box b;
	struct reply a;
	struct buf text = buf_make(1 << 20);
	struct reply_request q = {
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
	box_look(&b);
	box_prove(&b);
	reply_make(b.site, &q, &a);
	CHECK(a.status == 200 && a.rest && a.body.len < 100000);
	buf_str_add(&text, buf_str(&a.body));
	while (more > 0) {
		more = reply_more(a.rest, &text);
		pieces++;
	}
	reply_release(&a);
	CHECK(more == 0 && pieces > 10);
	CHECK(json_parse(buf_str(&text), &all, &e) == 0);
	CHECK(json_get(&all, "siblings", &list));
	for (it = json_iter(&list); json_next(&it, NULL, &item);)
		n++;
	CHECK(n == 900);
	buf_release(&text);
	/* One that is found to be changed is in the list already. */
	reply_make(b.site, &q, &a);
	CHECK(a.rest && reply_more(a.rest, &a.body) == 1);
	replace(&b, path, "b");
	snprintf(path, sizeof(path), "/org/name/resolve/main/%0100u", 899u);
	expect(0, get(&b, path), 503, "", "");
	CHECK(reply_more(a.rest, &a.body) == -1);
	reply_release(&a);
	box_release(&b);
}

int
main(void)
{
	test_answers();
	test_pages();
	test_fields();
	test_paths();
	test_unproved();
	test_long_list();
	return test_end();
}
