/* Requests of a client, up to the answer: it may give only what is offered. */

#include "../../reply.c"

#include "plan.h"
#include "wait.h"

#include "tests/fuzz/folder.h"

#define COMMIT "87f3c7095f3c62d911500958878d8b8287c4a2ee"

static struct fuzz_folder at;
static struct site_root root;
static struct site_setup setup;
static struct site *site;

static void
put(const char *path, const char *text)
{
	struct err e;
	int fd = folder_create(&at.f, path, 0644, &e);

	MUST(fd >= 0 && file_write(fd, text, strlen(text)) == 0);
	close(fd);
}

static void
put_recorded(const char *path, const char *text, enum hash_kind kind)
{
	char name[256], note[256], hex[2 * HASH_SIZE_MAX + 1];
	struct hash h;
	struct digest d;

	hash_init(&h, kind, strlen(text));
	hash_update(&h, text, strlen(text));
	hash_final(&h, &d);
	digest_hex(&d, hex);
	put(path, text);
	snprintf(name, sizeof(name), LOCALDIR_PREFIX "/%s.metadata", path);
	snprintf(note, sizeof(note), COMMIT "\n%s\n1787306412.5\n", hex);
	put(name, note);
}

static void
no_note(void *ctx, const struct err *why)
{
	(void)ctx;
	(void)why;
}

static void
release(void)
{
	site_release(site);
	free(root.repo);
	fuzz_folder_release(&at);
}

static void
begin(void)
{
	struct err e;

	at = fuzz_folder_make();
	put_recorded("README.md", "hello\n", HASH_GIT);
	put_recorded("empty", "", HASH_GIT);
	put_recorded("sub dir/w\xc3\xa9ights", "weights\n", HASH_SHA256);
	put("secret", "not recorded\n");
	root =
	    (struct site_root){.folder = at.f, .repo = xstrdup("models/a/b")};
	setup = (struct site_setup){&root, 1, no_note, NULL};
	site = site_look(&setup, NULL, &e);
	MUST(site);
	while (site_prove(site, &e) > 0)
		;
	MUST(site_count(site).files == 3);
	atexit(release);
}

/* No line but those that the site has put. */
static void
check_fields(struct str fields)
{
	struct str line;

	while (fields.n) {
		MUST(str_cut(fields, '\n', &line, &fields));
		MUST(line.n > 2 && line.s[line.n - 1] == '\r');
		MUST(!memchr(line.s, '\r', line.n - 1));
		MUST(memchr(line.s, ':', line.n) != NULL);
		for (size_t i = 0; i + 1 < line.n; i++)
			MUST(line.s[i] >= ' ' && line.s[i] <= '~');
	}
}

/* The body is a part of a file that was recorded, or JSON. */
static void
check_body(const struct reply *a, bool head)
{
	static const char *const known[] = {"hello\n", "", "weights\n"};
	char text[64] = "";
	struct json v;
	struct err e;
	bool found = false;

	if (a->fd >= 0) {
		MUST(a->status == 200 || a->status == 206);
		MUST(a->length < sizeof(text));
		MUST(pread(a->fd, text, a->length, (off_t)a->first) ==
		     (ssize_t)a->length);
		for (size_t i = 0; i < countof(known); i++)
			found = found || strstr(known[i], text);
		MUST(found);
		return;
	}
	MUST(a->length == a->body.len || a->status == 304 || head);
	if (a->body.len && a->body.s[0] != 'm')
		MUST(json_parse(buf_str(&a->body), &v, &e) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str text = fuzz_str(p, n), value;
	size_t length = http_head_length(text, 0);
	struct http_request r;
	struct reply a;
	uint64_t first = 0, last = 0, body = 0;
	char *copy;

	if (!site)
		begin();
	if (http_range(text, 10, &first, &last) > 0)
		MUST(first <= last && last < 10);
	copy = fuzz_copy(text);
	text = str_make(copy, length ? length : n);
	if (http_request_parse(text, &r) || http_request_length(&r, &body) ||
	    body > n - length) {
		free(copy);
		return 0;
	}
	MUST(r.head.minor <= 1 && str_starts(r.target, "/"));
	MUST(fuzz_inside(r.target, text) && fuzz_inside(r.host, text));
	const struct reply_request q = {
	    .post = str_eq(r.method, "POST"),
	    .head = str_eq(r.method, "HEAD"),
	    .target = r.target,
	    .host = r.host,
	    .range = http_get(&r.head, "range", &value) ? value : str_of(""),
	    .if_range =
		http_get(&r.head, "if-range", &value) ? value : str_of(""),
	    .none_match =
		http_get(&r.head, "if-none-match", &value) ? value : str_of(""),
	    .type =
		http_get(&r.head, "content-type", &value) ? value : str_of(""),
	    .body = str_make(copy + length, (size_t)body),
	};

	reply_make(site, &q, &a);
	MUST(a.status >= 200 && a.status < 500);
	check_fields(buf_str(&a.fields));
	check_body(&a, q.head);
	reply_release(&a);
	free(copy);
	return 0;
}
