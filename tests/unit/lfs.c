#include "lfs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "batch.h"
#include "client.h"
#include "err.h"
#include "file.h"
#include "hash.h"
#include "journal.h"
#include "progress.h"
#include "repo.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/script.h"
#include "tests/unit/test.h"

/*
 * One worker and one connection, so that the requests come in order. The files
 * are a, b and c of 25, 7 and 25 bytes, and d, which is the same as a.
 */
#define A_TEXT "aaaaaaaaaabbbbbbbbbbccccc"
#define B_TEXT "bytes b"
#define C_TEXT "ccccccccccccccccccccccccc"

static const char *const texts[] = {A_TEXT, B_TEXT, C_TEXT, A_TEXT};
static const char *const names[] = {"a", "b", "c", "d"};

/* A request that must come, and what is answered. "@a", "@b" and "@c" in either
 * stand for the hashes of the files, "~" for a double quote. */
struct step {
	const char *want, *avoid, *body;
	const char *status; /* NULL: the connection is closed */
	const char *fields, *text;
};

#define STEPS 16

struct bench {
	char root[SCRATCH_PATH];
	char oid[3][65];
	struct lfs_object object[4];
	struct stamp stamp[4]; /* by name */
	struct folder folder;
	struct script server;
	char endpoint[80];
	struct client *client;
	struct progress *progress;
	struct journal *journal;
	struct turn turn[STEPS];
	char *made[4 * STEPS];
	size_t mades;
	struct buf told;    /* "a+ b!8 " */
	const char *damage; /* what is in a after the first PUT */
};

static char *
path_of(const struct bench *t, const char *name)
{
	struct buf b = buf_make(200);

	buf_printf(&b, "%s/%s", t->root, name);
	return buf_detach(&b);
}

static void
write_file(const struct bench *t, const char *name, const char *text)
{
	char *path = path_of(t, name);

	scratch_write(path, text);
	free(path);
}

/* Its time is another, however fast that was. */
static void
age(const struct bench *t, const char *name)
{
	const struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
	char *path = path_of(t, name);

	CHECK(!utimensat(AT_FDCWD, path, times, 0));
	free(path);
}

static void
describe(struct bench *t, size_t i)
{
	struct lfs_object *o = &t->object[i];
	char *path = path_of(t, names[i]);
	struct stat st;
	struct hash h;

	CHECK(!stat(path, &st));
	hash_init(&h, HASH_SHA256, 0);
	hash_update(&h, texts[i], strlen(texts[i]));
	*o =
	    (struct lfs_object){.name = names[i], .size = (uint64_t)st.st_size};
	stamp_of(&st, &t->stamp[i]);
	hash_final(&h, &o->digest);
	if (i < 3)
		digest_hex(&o->digest, t->oid[i]);
	free(path);
}

static void
on_log(void *ctx, const char *line)
{
	struct bench *t = ctx;

	if (!t->damage || strncmp(line, "PUT", 3) != 0)
		return;
	write_file(t, "a", t->damage);
	age(t, "a");
	t->damage = NULL;
}

static void
setup(struct bench *t)
{
	struct progress_opts quiet = {.mode = PROGRESS_NONE, .quiet = true};
	struct err e;

	memset(t, 0, sizeof(*t));
	scratch_make(t->root);
	CHECK(!folder_open(&t->folder, t->root, false, &e));
	for (size_t i = 0; i < 4; i++) {
		write_file(t, names[i], texts[i]);
		describe(t, i);
	}
	t->progress = progress_open(&quiet);
	t->told = buf_make(1000);
}

static void
teardown(struct bench *t)
{
	scratch_remove(t->root);
	buf_release(&t->told);
	folder_close(&t->folder);
	progress_close(t->progress);
}

/* --- The server's part. --- */

static const char *
expand(struct bench *t, const char *s)
{
	struct buf b = buf_make(1 << 16);

	if (!s)
		return NULL;
	for (; *s; s++)
		if (*s == '@' && s[1] >= 'a' && s[1] <= 'c')
			buf_puts(&b, t->oid[*++s - 'a']);
		else
			buf_putc(&b, *s == '~' ? '"' : *s);
	t->made[t->mades] = buf_detach(&b);
	return t->made[t->mades++];
}

static const char *
answer(struct bench *t, const struct step *s)
{
	struct buf b = buf_make(1 << 16);
	const char *text = s->text ? expand(t, s->text) : "";
	const char *fields = s->fields ? expand(t, s->fields) : "";

	if (s->status)
		buf_printf(&b, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s",
		    s->status, fields, strlen(text), text);
	t->made[t->mades] = buf_detach(&b);
	return t->made[t->mades++];
}

static void
play(struct bench *t, const struct step *step)
{
	struct client_opts o = {.endpoint = t->endpoint,
	    .token = "secret",
	    .user_agent = "hub/test",
	    .connect_ms = 5000,
	    .answer_ms = 5000,
	    .stall_ms = 5000,
	    .log = on_log,
	    .ctx = t};
	struct err e;
	size_t n = 0;

	script_open(&t->server);
	memcpy(t->endpoint, t->server.url, sizeof(t->server.url));
	t->client = client_open(&o, &e);
	for (; step[n].want; n++)
		t->turn[n] = (struct turn){.want = expand(t, step[n].want),
		    .avoid = step[n].avoid,
		    .body = expand(t, step[n].body),
		    .answer = answer(t, &step[n]),
		    .after = step[n].status ? SCRIPT_STAY : SCRIPT_CUT};
	script_start(&t->server, t->turn, n);
}

static bool
played(struct bench *t)
{
	bool ok;

	client_close(t->client);
	ok = script_end(&t->server);
	while (t->mades)
		free(t->made[--t->mades]);
	return ok;
}

/* --- The caller's part. --- */

static int
on_check(void *ctx, size_t i, int fd, struct err *e)
{
	struct bench *t = ctx;
	struct stamp now;
	struct stat st;

	CHECK(fstat(fd, &st) == 0);
	stamp_of(&st, &now);
	if (stamp_same(&now, &t->stamp[*t->object[i].name - 'a']))
		return 0;
	return err_set(e, ERR_CONTENT, "it changed");
}

static int
on_open(void *ctx, size_t i, struct err *e)
{
	struct bench *t = ctx;
	int fd = folder_openat(&t->folder, t->object[i].name, O_RDONLY, e);

	if (fd < 0 || on_check(ctx, i, fd, e) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
on_stored(void *ctx, size_t i, bool sent)
{
	struct bench *t = ctx;

	buf_printf(&t->told, "%s%c ", t->object[i].name, sent ? '+' : '=');
}

static void
on_failed(void *ctx, size_t i, const struct err *why)
{
	struct bench *t = ctx;

	CHECK(*why->msg && !strstr(why->msg, "signed"));
	buf_printf(&t->told, "%s!%d ", t->object[i].name, (int)why->kind);
}

static int
send_all(struct bench *t, const char *which, struct err *e)
{
	static const struct lfs_ops ops = {
	    on_open, on_check, on_stored, on_failed};
	struct repo repo = {
	    t->client, t->endpoint, REPO_MODEL, "org/name", true, false};
	struct lfs l = {
	    &repo, "main", 1, 0, 2, t->progress, t->journal, NULL, &ops, t};
	struct lfs_object all[4];
	size_t n = 0;

	memcpy(all, t->object, sizeof(all));
	for (; which[n]; n++)
		t->object[n] = all[which[n] - 'a'];
	buf_clear(&t->told);
	n = (size_t)lfs_send(&l, t->object, n, e);
	memcpy(t->object, all, sizeof(all));
	return (int)n;
}

/* Plays the steps; true if it came out as told (a number: the run failed with
 * that kind). */
static bool
comes(struct bench *t, const char *which, const struct step *step,
    const char *told)
{
	struct buf got = buf_make(1000);
	struct err e;
	bool ok;

	play(t, step);
	if (send_all(t, which, &e) < 0)
		buf_printf(&t->told, "%d ", (int)e.kind);
	buf_str_add(&got, buf_str(&t->told));
	ok = !strcmp(buf_cstr(&got), told);
	if (!ok)
		printf("told: %s\n", buf_cstr(&got));
	buf_release(&got);
	return played(t) && ok;
}

#define HUB "https://huggingface.co"
#define BATCH "POST /org/name.git/info/lfs/objects/batch HTTP/1.1\r\n"
#define TOKEN "Authorization: Bearer secret\r\n"
#define ASKS(objects) \
	BATCH, NULL, \
	    "{~operation~:~upload~,~transfers~:[~basic~,~multipart~]," \
	    "~hash_algo~:~sha256~,~ref~:{~name~:~main~},~objects~:[" objects \
	    "]}", \
	    "200 OK", NULL
#define OBJECT(x, n) "{~oid~:~@" x "~,~size~:" n "}"
#define ASK_A ASKS(OBJECT("a", "25"))
#define ASK_B ASKS(OBJECT("b", "7"))
#define HAS(objects) "{~objects~:[" objects "]}"
#define STORED(x) "{~oid~:~@" x "~}"
#define BUSY(x) "{~oid~:~@" x "~,~error~:{~code~:503,~message~:~Later~}}"
#define VERIFY_AT ",~verify~:{~href~:~" HUB "/verify?signed~}"
#define SEND(x, path, more) \
	"{~oid~:~@" x "~,~actions~:{~upload~:{~href~:~" HUB "/" path \
	"?signed~}" more "}}"
/* Parts of an upload, to an object at that path of the storage. */
#define PARTS_TO(at, x, id, more) \
	"{~oid~:~@" x "~,~actions~:{~upload~:{~href~:~" HUB \
	"/complete?uploadId=" id "&signed~,~header~:{~chunk_size~:~10~," \
	"~1~:~" HUB "/" at "/1?signed~,~2~:~" HUB "/" at \
	"/2?signed~,~3~:~" HUB "/" at "/3?signed~}}" more "}}"
#define PARTS(x, id, more) PARTS_TO(id, x, id, more)
#define PUT(path, body, status, fields) \
	"PUT /" path "?signed HTTP/1.1\r\n", "Authorization", body, status, \
	    fields, NULL
#define PART(path, body, tag) PUT(path, body, "200 OK", "ETag: ~" tag "~\r\n")
#define PUT_1 "aaaaaaaaaa"
#define PUT_2 "bbbbbbbbbb"
#define PUT_3 "ccccc"
#define COMPLETES(id, one, two, three) \
	"POST /complete?uploadId=" id "&signed HTTP/1.1\r\n", "Authorization", \
	    "{~oid~:~@a~,~parts~:[" \
	    "{~partNumber~:1,~etag~:~\\~" one "\\~~}," \
	    "{~partNumber~:2,~etag~:~\\~" two "\\~~}," \
	    "{~partNumber~:3,~etag~:~\\~" three "\\~~}]}"
/* The body tells it from all others. */
#define VERIFIES_B TOKEN, NULL, OBJECT("b", "7")
#define VERIFIES_A TOKEN, NULL, OBJECT("a", "25")
#define OK "200 OK", NULL, NULL
/* clang-format off */
#define END {.want = NULL}
/* clang-format on */

static const struct {
	const char *which, *told;
	struct step step[STEPS];
} rows[] = {
    {"", "", {END}},
    /* One PUT, then verify. */
    {"b", "b+ ",
	{{ASK_B, HAS(SEND("b", "put", VERIFY_AT))},
	    {PUT("put", B_TEXT, "200 OK", NULL)}, {VERIFIES_B, OK}, END}},
    {"b", "b+ ",
	{{ASK_B, HAS(SEND("b", "put", ""))},
	    {PUT("put", B_TEXT, "200 OK", NULL)}, END}},
    /* There already; the same twice is asked for once. */
    {"b", "b= ", {{ASK_B, HAS(STORED("b"))}, END}},
    {"adb", "b= a+ d= ",
	{{ASKS(OBJECT("a", "25") "," OBJECT("b", "7")),
	     HAS(STORED("b") "," SEND("a", "put", ""))},
	    {PUT("put", A_TEXT, "200 OK", NULL)}, END}},
    /* Parts. */
    {"a", "a+ ",
	{{ASK_A, HAS(PARTS("a", "u", VERIFY_AT))}, {PART("u/1", PUT_1, "x")},
	    {PART("u/2", PUT_2, "y")}, {PART("u/3", PUT_3, "z")},
	    {COMPLETES("u", "x", "y", "z"), OK}, {VERIFIES_A, OK}, END}},
    /* A part again, and only that. */
    {"a", "a+ ",
	{{ASK_A, HAS(PARTS("a", "u", ""))}, {PART("u/1", PUT_1, "x")},
	    {PUT("u/2", PUT_2, "500 Oops", NULL)}, {PART("u/2", PUT_2, "y")},
	    {PART("u/3", PUT_3, "z")}, {COMPLETES("u", "x", "y", "z"), OK},
	    END}},
    {"a", "a+ ",
	{{ASK_A, HAS(PARTS("a", "u", ""))},
	    {"PUT /u/1", NULL, NULL, "400 Bad", NULL,
		"<Error><Code>RequestTimeout</Code></Error>"},
	    {PART("u/1", PUT_1, "x")}, {PART("u/2", PUT_2, "y")},
	    {PART("u/3", PUT_3, "z")}, {COMPLETES("u", "x", "y", "z"), OK},
	    END}},
    /* Tries in a row have an end. */
    {"b", "b!5 ",
	{{ASK_B, HAS(SEND("b", "put", ""))},
	    {PUT("put", B_TEXT, "500 Oops", NULL)},
	    {PUT("put", B_TEXT, "503 Oops", NULL)},
	    {PUT("put", B_TEXT, "500 Oops", NULL)}, END}},
    /* Lapsed: another upload, from its beginning. */
    {"a", "a+ ",
	{{ASK_A, HAS(PARTS("a", "u", ""))}, {PART("u/1", PUT_1, "x")},
	    {PUT("u/2", PUT_2, "403 Forbidden", NULL)},
	    {ASK_A, HAS(PARTS("a", "v", ""))}, {PART("v/1", PUT_1, "1")},
	    {PART("v/2", PUT_2, "2")}, {PART("v/3", PUT_3, "3")},
	    {COMPLETES("v", "1", "2", "3"), OK}, END}},
    /* Lapsed: the same upload goes on. */
    {"a", "a+ ",
	{{ASK_A, HAS(PARTS("a", "u", ""))}, {PART("u/1", PUT_1, "x")},
	    {PUT("u/2", PUT_2, "403 Forbidden", NULL)},
	    {ASK_A, HAS(PARTS("a", "u", ""))}, {PART("u/2", PUT_2, "y")},
	    {PART("u/3", PUT_3, "z")}, {COMPLETES("u", "x", "y", "z"), OK},
	    END}},
    /* Lapsed, and meanwhile another has sent it. */
    {"b", "b+ ",
	{{ASK_B, HAS(SEND("b", "put", ""))},
	    {PUT("put", B_TEXT, "404 Gone", NULL)}, {ASK_B, HAS(STORED("b"))},
	    END}},
    /* Not for ever. */
    {"b", "b!5 ",
	{{ASK_B, HAS(SEND("b", "put", ""))},
	    {PUT("put", B_TEXT, "403 No", NULL)},
	    {ASK_B, HAS(SEND("b", "put", ""))},
	    {PUT("put", B_TEXT, "403 No", NULL)},
	    {ASK_B, HAS(SEND("b", "put", ""))},
	    {PUT("put", B_TEXT, "403 No", NULL)},
	    {ASK_B, HAS(SEND("b", "put", ""))},
	    {PUT("put", B_TEXT, "403 No", NULL)}, END}},
    /* The answer to a completion is lost, or is a refusal since it is
     * complete. */
    {"a", "a+ ",
	{{ASK_A, HAS(PARTS("a", "u", ""))}, {PART("u/1", PUT_1, "x")},
	    {PART("u/2", PUT_2, "y")}, {PART("u/3", PUT_3, "z")},
	    {COMPLETES("u", "x", "y", "z"), NULL, NULL, NULL},
	    {ASK_A, HAS(STORED("a"))}, END}},
    {"a", "a+ ",
	{{ASK_A, HAS(PARTS("a", "u", ""))}, {PART("u/1", PUT_1, "x")},
	    {PART("u/2", PUT_2, "y")}, {PART("u/3", PUT_3, "z")},
	    {COMPLETES("u", "x", "y", "z"), "400 Bad", NULL, "NoSuchUpload"},
	    {ASK_A, HAS(STORED("a"))}, END}},
    /* Verify finds nothing: again. */
    {"b", "b+ ",
	{{ASK_B, HAS(SEND("b", "put", VERIFY_AT))},
	    {PUT("put", B_TEXT, "200 OK", NULL)},
	    {VERIFIES_B, "404 Not Found", NULL, "{}"},
	    {ASK_B, HAS(SEND("b", "put2", ""))},
	    {PUT("put2", B_TEXT, "200 OK", NULL)}, END}},
    {"b", "b!1 ",
	{{ASK_B, HAS(SEND("b", "put", VERIFY_AT))},
	    {PUT("put", B_TEXT, "200 OK", NULL)},
	    {VERIFIES_B, "422 Wrong", NULL, "{}"}, END}},
    /* The content of a verify is lost after a completion: both again. */
    {"a", "a+ ",
	{{ASK_A, HAS(PARTS("a", "u", VERIFY_AT))}, {PART("u/1", PUT_1, "x")},
	    {PART("u/2", PUT_2, "y")}, {PART("u/3", PUT_3, "z")},
	    {COMPLETES("u", "x", "y", "z"), OK},
	    {VERIFIES_A, "404 Not Found", NULL, "{}"},
	    {ASK_A, HAS(PARTS("a", "v", ""))}, {PART("v/1", PUT_1, "1")},
	    {PART("v/2", PUT_2, "2")}, {PART("v/3", PUT_3, "3")},
	    {COMPLETES("v", "1", "2", "3"), OK}, END}},
    /* A part that arrives sets the count of tries back. */
    {"a", "a+ ",
	{{ASK_A, HAS(PARTS("a", "u", ""))},
	    {PUT("u/1", PUT_1, "500 Oops", NULL)},
	    {PUT("u/1", PUT_1, "500 Oops", NULL)}, {PART("u/1", PUT_1, "x")},
	    {PUT("u/2", PUT_2, "500 Oops", NULL)}, {PART("u/2", PUT_2, "y")},
	    {PART("u/3", PUT_3, "z")}, {COMPLETES("u", "x", "y", "z"), OK},
	    END}},
    /* Of two answers for one object the first counts. */
    {"b", "b+ ",
	{{ASK_B, HAS(SEND("b", "put", "") "," SEND("b", "no", ""))},
	    {PUT("put", B_TEXT, "403 No", NULL)},
	    {ASK_B, HAS(SEND("b", "put2", "") "," SEND("b", "no", ""))},
	    {PUT("put2", B_TEXT, "200 OK", NULL)}, END}},
    /* What the storage will never take; the other one goes on. */
    {"ab", "a!8 b+ ",
	{{ASKS(OBJECT("a", "25") "," OBJECT("b", "7")),
	     HAS(SEND("a", "one", "") "," SEND("b", "two", ""))},
	    {PUT("one", A_TEXT, "413 Too Large", NULL)},
	    {PUT("two", B_TEXT, "200 OK", NULL)}, END}},
    {"a", "a!8 ",
	{{ASK_A, HAS(PARTS("a", "u", ""))}, {PUT("u/1", PUT_1, "200 OK", NULL)},
	    END}},
    /* What the Hub will not have, or says nothing of. */
    {"ab", "a!8 b= ",
	{{ASKS(OBJECT("a", "25") "," OBJECT("b", "7")),
	     HAS("{~oid~:~@a~,~error~:{~code~:422,~message~:~No~}}," STORED(
		 "b"))},
	    END}},
    {"ab", "a!6 b= ",
	{{ASKS(OBJECT("a", "25") "," OBJECT("b", "7")), HAS(STORED("b"))},
	    END}},
    /* What it cannot say now is asked for again, and only that; not for
     * ever. */
    {"ab", "b= a= ",
	{{ASKS(OBJECT("a", "25") "," OBJECT("b", "7")),
	     HAS(BUSY("a") "," STORED("b"))},
	    {ASK_A, HAS(STORED("a"))}, END}},
    {"b", "b!5 ",
	{{ASK_B, HAS(BUSY("b"))}, {ASK_B, HAS(BUSY("b"))},
	    {ASK_B, HAS(BUSY("b"))}, END}},
    {"b", "b+ ",
	{{ASK_B, HAS(SEND("b", "put", ""))},
	    {PUT("put", B_TEXT, "403 No", NULL)}, {ASK_B, HAS(BUSY("b"))},
	    {ASK_B, HAS(SEND("b", "put", ""))},
	    {PUT("put", B_TEXT, "200 OK", NULL)}, END}},
    /* The bytes are others than the hash says: that is no fault of the
     * line. */
    {"b", "b!6 ",
	{{ASK_B, HAS(SEND("b", "put", ""))},
	    {"PUT /put", NULL, NULL, "400 Bad", NULL,
		"<Error><Code>BadDigest</Code></Error>"},
	    END}},
    /* What concerns all. */
    {"ab", "a!4 4 ",
	{{ASKS(OBJECT("a", "25") "," OBJECT("b", "7")),
	     HAS("{~oid~:~@a~,~error~:{~code~:403,~message~:~No~}}," SEND(
		 "b", "put", ""))},
	    END}},
    {"b", "4 ",
	{{BATCH, NULL, NULL, "403 Forbidden", NULL, "{~error~:~no right~}"},
	    END}},
    {"b", "5 ", {{BATCH, NULL, NULL, "503 Later", NULL, NULL}, END}},
    {"b", "5 ", {{BATCH, NULL, NULL, "200 OK", NULL, "<html>"}, END}},
    {"b", "6 ", {{BATCH, NULL, NULL, "200 OK", NULL, "{}"}, END}},
};

static void
test_rows(void)
{
	for (size_t i = 0; i < countof(rows); i++) {
		struct bench t;

		setup(&t);
		CHECK_ROW(
		    i, comes(&t, rows[i].which, rows[i].step, rows[i].told));
		teardown(&t);
	}
}

static const struct step asks_one[] = {{ASK_A, HAS(SEND("a", "put", ""))}, END};
static const struct step asks_and_puts[] = {{ASK_A, HAS(SEND("a", "put", ""))},
    {PUT("put", A_TEXT, "200 OK", NULL)}, END};
static const struct step part_one[] = {{ASK_A, HAS(PARTS("a", "u", ""))},
    {PART("u/1", PUT_1, "x")}, {"PUT /u/2", NULL, NULL, NULL, NULL, NULL}, END};

/* A file that is not what was hashed is not sent; one of the same content
 * is. */
static void
test_changed(void)
{
	struct bench t;

	setup(&t);
	write_file(&t, "a", "changed");
	CHECK(comes(&t, "a", asks_one, "a!6 "));
	CHECK(comes(&t, "ad", asks_and_puts, "a!6 d+ "));
	CHECK(comes(&t, "da", asks_and_puts, "d+ a= "));
	teardown(&t);
	setup(&t);
	t.object[0].name = "none";
	CHECK(comes(&t, "a", asks_one, "none!7 "));
	teardown(&t);
	/* While it is sent: the second part is not completed, be the file
	 * shorter or just another. */
	for (size_t i = 0; i < 2; i++) {
		setup(&t);
		t.damage = i ? C_TEXT : "short";
		CHECK_ROW(i, comes(&t, "a", part_one, "a!6 "));
		teardown(&t);
	}
}

/* --- With a journal. --- */

static void
remember(struct bench *t)
{
	struct journal_opts o = {
	    &t->folder, NULL, "http://hub", "model", "a/b"};

	journal_close(t->journal);
	t->journal = journal_open(&o);
	CHECK(!journal_why(t->journal));
}

/* A run that dies after two parts, one that dies at the completion, and then
 * what the end is. */
#define DIES \
	{ASK_A, HAS(PARTS("a", "u", ""))}, {PART("u/1", PUT_1, "x")}, \
	    {PART("u/2", PUT_2, "y")}, {PUT("u/3", PUT_3, "413 No", NULL)}, \
	    {ASK_A, HAS(PARTS_TO("u", "a", "w", ""))}, \
	    {PART("u/3", PUT_3, "z")}, \
	    {COMPLETES("u", "x", "y", "z"), "503 Later", NULL, NULL}, \
	    {ASK_A, HAS(PARTS_TO("u", "a", "w", ""))}, \
	{ \
		ASK_A, HAS(PARTS_TO("u", "a", "w", "")) \
	}

static const struct step completes[] = {
    DIES, {COMPLETES("u", "x", "y", "z"), OK}, {ASK_A, HAS(STORED("a"))}, END};
static const struct step is_complete[] = {DIES,
    {COMPLETES("u", "x", "y", "z"), "400 Bad", NULL, "no such upload"},
    {ASK_A, HAS(STORED("a"))}, {ASK_A, HAS(STORED("a"))}, END};

/* A run that dies after two parts; then the repository is another, with another
 * place for the content. */
static const struct step made_anew[] = {{ASK_A, HAS(PARTS("a", "u", ""))},
    {PART("u/1", PUT_1, "x")}, {PART("u/2", PUT_2, "y")},
    {PUT("u/3", PUT_3, "413 No", NULL)}, {ASK_A, HAS(PARTS("a", "v", ""))},
    {PART("v/1", PUT_1, "1")}, {PART("v/2", PUT_2, "2")},
    {PART("v/3", PUT_3, "3")}, {COMPLETES("v", "1", "2", "3"), OK}, END};

/* A file beside the journal names other addresses for the content: nothing is
 * sent there. */
static const struct step planted[] = {{ASK_A, HAS(PARTS("a", "u", ""))},
    {PART("u/1", PUT_1, "x")}, {PART("u/2", PUT_2, "y")},
    {PART("u/3", PUT_3, "z")}, {COMPLETES("u", "x", "y", "z"), OK}, END};

/* An address of the server, as it is after it was rewritten. */
static char *
address(const struct bench *t, const char *rest)
{
	struct buf b = buf_make(200);

	buf_printf(&b, "%s/%s", t->endpoint, rest);
	return buf_detach(&b);
}

static void
test_planted(void)
{
	for (size_t i = 0; i < 4; i++) {
		struct multipart m;
		struct bench t;
		struct err e;
		char **at;

		setup(&t);
		play(&t, planted);
		remember(&t);
		CHECK(!multipart_init(&m, 25, 10));
		m.url[0] = address(&t, "u/1?signed");
		m.url[1] = address(&t, "u/2?signed");
		m.url[2] = address(&t, "u/3?signed");
		m.complete = address(&t, "complete?uploadId=u&signed");
		for (size_t k = 0; k < 3; k++)
			m.etag[k] = xstrdup("\"evil\"");
		at = i < 3 ? &m.url[i] : &m.complete;
		free(*at);
		*at = xstrdup("http://127.0.0.1:1/u/1?signed");
		journal_put_multipart(t.journal, &t.object[0].digest, &m);
		multipart_release(&m);
		CHECK_ROW(i, !send_all(&t, "a", &e));
		CHECK_ROW(i, !strcmp(buf_cstr(&t.told), "a+ "));
		CHECK_ROW(i, played(&t));
		journal_close(t.journal);
		teardown(&t);
	}
}

/* It is complete, but nobody could say so: then the Hub is asked. */
static const struct step verifies_not[] = {
    {ASK_A, HAS(PARTS("a", "u", VERIFY_AT))}, {PART("u/1", PUT_1, "x")},
    {PART("u/2", PUT_2, "y")}, {PART("u/3", PUT_3, "z")},
    {COMPLETES("u", "x", "y", "z"), OK}, {VERIFIES_A, "503 Later", NULL, NULL},
    {ASK_A, HAS(STORED("a"))}, END};

static void
test_unverified(void)
{
	struct bench t;
	struct err e;

	setup(&t);
	play(&t, verifies_not);
	for (int i = 0; i < 2; i++) {
		remember(&t);
		CHECK_ROW(i, !send_all(&t, "a", &e));
		CHECK_ROW(i, !strcmp(buf_cstr(&t.told), i ? "a= " : "a!5 "));
	}
	CHECK(played(&t));
	journal_close(t.journal);
	teardown(&t);
}

static void
test_resume(const struct step *step, const char *const *told, size_t n)
{
	struct bench t;
	struct err e;

	setup(&t);
	play(&t, step);
	for (size_t i = 0; i < n; i++) {
		remember(&t);
		CHECK_ROW(i, !send_all(&t, i == 3 ? "ad" : "a", &e));
		CHECK_ROW(i, !strcmp(buf_cstr(&t.told), told[i]));
	}
	CHECK(played(&t));
	journal_close(t.journal);
	teardown(&t);
}

int
main(void)
{
	static const char *const told[] = {"a!8 ", "a!5 ", "a+ ", "a= d= "};

	test_rows();
	test_changed();
	test_resume(completes, told, 4);
	test_resume(is_complete, told, 4);
	test_resume(made_anew, (const char *const[]){"a!8 ", "a+ "}, 2);
	test_unverified();
	test_planted();
	return test_end();
}
