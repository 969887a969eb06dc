#include "../../xet.c"

#include "tests/unit/script.h"
#include "tests/unit/test.h"
#include "wait.h"

/*
 * A Hub, its storage and the servers of xorbs, all three played by one script,
 * from which windows of a file are fetched. The file has 12 pieces, of the
 * chunks of two xorbs.
 */

#define CHUNKS 6
#define FILE_HASH \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const size_t length_of[CHUNKS] = {70000, 131072, 1, 9000, 65536, 20011};

/* Piece i is chunk piece_of[i] % CHUNKS of xorb piece_of[i] / CHUNKS. */
static const unsigned piece_of[] = {0, 1, 2, 6, 7, 2, 3, 4, 0, 11, 5, 1};

/* The terms that the pieces make. */
static const struct {
	unsigned xorb, first, end;
} term_of[] = {{0, 0, 3}, {1, 0, 2}, {0, 2, 5}, {0, 0, 1}, {1, 5, 6}, {0, 5, 6},
    {0, 1, 2}};

struct xorb {
	char name[XETHASH_TEXT + 1];
	unsigned char *text;
	size_t at[CHUNKS + 1]; /* of its entries */
	unsigned char *chunk[CHUNKS];
};

/* Fetches one range into memory, as transfer.c does into a file. */
struct bench {
	struct script server;
	struct client *client;
	struct repo repo;
	struct xet *xet;
	struct turn turn[40];
	char *made[40]; /* heads and answers, to be freed */
	size_t turns, allocations;
	struct xorb xorb[2];
	unsigned char *file;
	size_t size;
	unsigned char *got;
	unsigned char buffer[3000]; /* of an odd size */
	uint64_t at, stop;          /* the next byte; no more are needed */
	uint64_t reserved;
	unsigned begun, aheads, backs, idle;
};

static void
make_xorb(struct xorb *x, unsigned number)
{
	struct packer *k = xmalloc(sizeof(*k));
	struct hashtree tree;
	struct xethash h;

	hashtree_init(&tree);
	x->text = xmalloc(CHUNKS * (CHUNK_MAX + ENTRY_HEADER));
	for (size_t i = 0; i < CHUNKS; i++) {
		size_t n = length_of[i];
		struct blake3 b;

		x->chunk[i] = xmalloc(n);
		for (size_t j = 0; j < n; j++)
			x->chunk[i][j] =
			    (unsigned char)(j * j / 3000 + i * 31 + number);
		x->at[i + 1] =
		    x->at[i] + entry_pack(k, (enum entry_scheme)(i % 3),
				   x->chunk[i], n, x->text + x->at[i]);
		blake3_init(&b, NULL);
		xethash_begin(&b, XET_CHUNK);
		blake3_update(&b, x->chunk[i], n);
		xethash_end(&b, &h);
		hashtree_add(&tree, &h, n);
	}
	hashtree_xorb(&tree, &h);
	xethash_text(&h, x->name);
	free(k);
}

static void
make_file(struct bench *b)
{
	for (unsigned i = 0; i < 2; i++)
		make_xorb(&b->xorb[i], i);
	for (size_t i = 0; i < countof(piece_of); i++)
		b->size += length_of[piece_of[i] % CHUNKS];
	b->file = xmalloc(b->size);
	b->got = xcalloc(1, b->size);
	b->size = 0;
	for (size_t i = 0; i < countof(piece_of); i++) {
		unsigned c = piece_of[i] % CHUNKS;

		memcpy(b->file + b->size,
		    b->xorb[piece_of[i] / CHUNKS].chunk[c], length_of[c]);
		b->size += length_of[c];
	}
}

static void
bench_open(struct bench *b)
{
	struct client_opts o = {.token = "hubtoken",
	    .connect_ms = 5000,
	    .answer_ms = 5000,
	    .stall_ms = 5000};
	struct err e;

	memset(b, 0, sizeof(*b));
	make_file(b);
	script_open(&b->server);
	o.endpoint = b->server.url;
	b->client = client_open(&o, &e);
	b->repo = (struct repo){.client = b->client,
	    .endpoint = b->server.url,
	    .id = "acme/tiny",
	    .has_token = true};
	b->xet = xet_open(&b->repo, "abc", NULL);
	b->stop = UINT64_MAX;
}

/* Another request that must come, and its answer, which is taken over. */
static struct turn *
add_turn(struct bench *b, const char *want, struct buf *answer)
{
	struct turn *t = &b->turn[b->turns++];

	t->want = want;
	t->avoid = "none of this";
	t->length = answer->len;
	t->answer = b->made[b->allocations++] = buf_detach(answer);
	return t;
}

static struct buf
head(unsigned status, const char *fields, size_t length)
{
	struct buf t = buf_make(8 << 20);

	buf_printf(&t, "HTTP/1.1 %u Status\r\n%sContent-Length: %zu\r\n\r\n",
	    status, fields, length);
	return t;
}

/* Access to the storage, with that token. */
static void
add_token(struct bench *b, const char *token)
{
	struct buf body = buf_make(1024), t;

	buf_printf(&body,
	    "{\"casUrl\":\"%s/cas/\",\"exp\":%llu,\"accessToken\":\"%s\"}",
	    b->server.url, (unsigned long long)client_time(b->client) + 1000,
	    token);
	t = head(200, "", body.len);
	buf_str_add(&t, buf_str(&body));
	buf_release(&body);
	add_turn(b, "GET /api/models/acme/tiny/xet-read-token/abc", &t);
	b->turn[b->turns - 1].avoid = token;
}

static void
add_status(struct bench *b, const char *want, unsigned status)
{
	struct buf t = head(status, "", 0);

	add_turn(b, want, &t);
}

/* The ranges of a xorb that one term or another needs; A: two, B: two. */
static const struct {
	unsigned xorb, first, end;
} range_of[] = {{0, 0, 5}, {0, 5, 6}, {1, 0, 2}, {1, 5, 6}};

static void
put_ranges(const struct bench *b, struct buf *t, unsigned xorb, bool v1)
{
	const struct xorb *x = &b->xorb[xorb];
	bool first = true;

	buf_printf(t, "\"%s\":[", x->name);
	if (!v1)
		buf_printf(t,
		    "{\"url\":\"%s/xorb%u?Signature=sig\",\"ranges\":[",
		    b->server.url, xorb);
	for (size_t i = 0; i < countof(range_of); i++) {
		if (range_of[i].xorb != xorb)
			continue;
		buf_printf(t,
		    "%s{\"%s\":{\"start\":%u,\"end\":%u},\"%s\":"
		    "{\"start\":%zu,\"end\":%zu}",
		    first ? "" : ",", v1 ? "range" : "chunks",
		    range_of[i].first, range_of[i].end,
		    v1 ? "url_range" : "bytes", x->at[range_of[i].first],
		    x->at[range_of[i].end] - 1);
		if (v1)
			buf_printf(t, ",\"url\":\"%s/xorb%u?Signature=sig\"",
			    b->server.url, xorb);
		buf_puts(t, "}");
		first = false;
	}
	buf_puts(t, v1 ? "]" : "]}]");
}

/* What the storage says of all terms from one on, whose first bytes are to be
 * skipped. */
static struct buf
recon_text(const struct bench *b, size_t from, uint64_t skip, bool v1)
{
	struct buf t = buf_make(1 << 20);

	buf_printf(&t, "{\"offset_into_first_range\":%llu,\"terms\":[",
	    (unsigned long long)skip);
	for (size_t i = from; i < countof(term_of); i++) {
		size_t n = 0;

		for (unsigned c = term_of[i].first; c < term_of[i].end; c++)
			n += length_of[c];
		buf_printf(&t,
		    "%s{\"hash\":\"%s\",\"unpacked_length\":%zu,"
		    "\"range\":{\"start\":%u,\"end\":%u}}",
		    i > from ? "," : "", b->xorb[term_of[i].xorb].name, n,
		    term_of[i].first, term_of[i].end);
	}
	buf_printf(&t, "],\"%s\":{", v1 ? "fetch_info" : "xorbs");
	put_ranges(b, &t, 0, v1);
	buf_puts(&t, ",");
	put_ranges(b, &t, 1, v1);
	buf_puts(&t, "}}");
	return t;
}

/* The storage is asked, with that token, and answers with that text. */
static struct turn *
add_text(struct bench *b, const char *want, struct buf *text)
{
	struct buf t = head(200, "", text->len);

	buf_str_add(&t, buf_str(text));
	buf_release(text);
	return add_turn(b, want, &t);
}

static struct turn *
add_recon(struct bench *b, const char *want, size_t from, uint64_t skip)
{
	struct buf text =
	    recon_text(b, from, skip, strstr(want, "/v1/") != NULL);

	return add_text(b, want, &text);
}

#define V2 "GET /cas/v2/reconstructions/" FILE_HASH
#define V1 "GET /cas/v1/reconstructions/" FILE_HASH

/* The request for a range, which must have no token at all. */
static struct turn *
add_range_turn(struct bench *b, size_t i)
{
	const struct xorb *x = &b->xorb[range_of[i].xorb];
	size_t from = x->at[range_of[i].first], end = x->at[range_of[i].end];
	struct buf want = buf_make(200), field = buf_make(200), t;
	struct turn *turn;

	buf_printf(&want, "Range: bytes=%zu-%zu\r\n", from, end - 1);
	buf_printf(&field, "Content-Range: bytes %zu-%zu/%zu\r\n", from,
	    end - 1, x->at[CHUNKS]);
	t = head(206, buf_cstr(&field), end - from);
	buf_add(&t, x->text + from, end - from);
	buf_release(&field);
	turn = add_turn(b, NULL, &t);
	turn->want = b->made[b->allocations++] = buf_detach(&want);
	turn->avoid = "Authorization";
	turn->piece = 4093;
	return turn;
}

static void
on_begin(void *ctx, uint64_t reserved)
{
	struct bench *b = ctx;

	b->begun++;
	b->reserved = reserved;
}

static void *
on_room(void *ctx, size_t *n)
{
	struct bench *b = ctx;

	*n = sizeof(b->buffer);
	if (b->stop - b->at < *n)
		*n = (size_t)(b->stop - b->at);
	return b->buffer;
}

static int
on_take(void *ctx, size_t n, struct err *e)
{
	struct bench *b = ctx;

	(void)e;
	CHECK(n <= b->size - b->at);
	memcpy(b->got + b->at, b->buffer, n);
	b->at += n;
	b->idle += !n;
	return 0;
}

static int
on_ahead(void *ctx, const void *p, size_t n, uint64_t at, struct err *e)
{
	struct bench *b = ctx;

	(void)e;
	CHECK(at > b->at && at < b->reserved && n <= b->reserved - at);
	memcpy(b->got + at, p, n);
	b->aheads++;
	return 0;
}

static int
on_back(void *ctx, void *p, size_t n, uint64_t at, struct err *e)
{
	struct bench *b = ctx;

	(void)e;
	CHECK(at == b->at);
	memcpy(p, b->got + at, n);
	b->backs++;
	return 0;
}

static enum fetch_end
run(struct bench *b, uint64_t first, uint64_t last, struct err *e)
{
	const struct xet_fetch f = {
	    .xet = b->xet,
	    .hash = FILE_HASH,
	    .first = first,
	    .last = last,
	    .stall_ms = 5000,
	    .ctx = b,
	    .begin = on_begin,
	    .room = on_room,
	    .take = on_take,
	    .ahead = on_ahead,
	    .back = on_back,
	};
	enum fetch_end end;

	b->at = first;
	end = xet_fetch(&f, e);
	if (end != FETCH_OK)
		CHECK(*e->msg && !strstr(e->msg, "Signature"));
	return end;
}

static void
play(struct bench *b)
{
	script_start(&b->server, b->turn, b->turns);
}

/* Whether all turns were played, and the bytes from first to end are right. */
static bool
bench_close(struct bench *b, uint64_t first, uint64_t end)
{
	bool right;

	xet_close(b->xet);
	client_close(b->client);
	right =
	    script_end(&b->server) && b->at == end &&
	    memcmp(b->got + first, b->file + first, (size_t)(end - first)) == 0;
	for (size_t i = 0; i < b->allocations; i++)
		free(b->made[i]);
	for (size_t i = 0; i < 2; i++) {
		free(b->xorb[i].text);
		for (size_t j = 0; j < CHUNKS; j++)
			free(b->xorb[i].chunk[j]);
	}
	free(b->file);
	free(b->got);
	return right;
}

/* Each range is fetched once, in the order in which the file needs them. */
static void
test_whole(void)
{
	struct bench b;
	struct err e;

	bench_open(&b);
	add_token(&b, "xet1");
	add_recon(&b, V2, 0, 0)->avoid = "hubtoken";
	for (size_t i = 0; i < 4; i++) {
		static const size_t order[] = {0, 2, 3, 1};

		add_range_turn(&b, order[i]);
	}
	play(&b);
	CHECK(run(&b, 0, b.size - 1, &e) == FETCH_OK);
	CHECK(b.begun == 1 && b.reserved == b.size && b.aheads && b.backs);
	CHECK(xet_is_on(b.xet));
	CHECK(bench_close(&b, 0, b.size));
}

/* The field with the token, and no other. */
static void
test_token(void)
{
	struct bench b;
	struct err e;
	struct buf t = head(404, "", 0);

	bench_open(&b);
	add_token(&b, "xet1");
	add_status(&b, "Authorization: Bearer xet1\r\n", 401);
	add_token(&b, "xet2");
	add_turn(&b, "Authorization: Bearer xet2\r\n", &t);
	add_recon(&b, V1, 0, 0);
	b.turn[b.turns - 1].avoid = "hubtoken";
	add_range_turn(&b, 0);
	/* The version and the token are kept. */
	add_recon(&b, V1, 0, 0)->avoid = "xet1";
	add_range_turn(&b, 0);
	/* A redirect is not followed. */
	t = head(307, "Location: /elsewhere\r\n", 0);
	add_turn(&b, V1, &t);
	play(&b);
	b.stop = 100000;
	CHECK(run(&b, 0, b.size - 1, &e) == FETCH_OK);
	CHECK(run(&b, 0, b.size - 1, &e) == FETCH_OK);
	CHECK(run(&b, 0, b.size - 1, &e) == FETCH_ELSEWHERE);
	b.at = b.stop;
	CHECK(bench_close(&b, 0, b.stop));
}

/* Windows at odd places; the storage gives whole terms or less. The caller
 * learns also of the bytes that it does not get. */
static void
test_windows(void)
{
	static const uint64_t first[] = {0, 1, 70000, 201072, 201073, 450000};
	static const uint64_t last[] = {0, 69999, 201072, 402000};

	for (size_t i = 0; i < countof(first); i++)
		for (size_t j = 0; j < countof(last); j++) {
			struct bench b;
			struct err e;
			uint64_t at = 0, skip;
			size_t from = 0;

			if (last[j] < first[i])
				continue;
			bench_open(&b);
			add_token(&b, "xet1");
			for (;; from++) {
				uint64_t n = 0;

				for (unsigned c = term_of[from].first;
				     c < term_of[from].end; c++)
					n += length_of[c];
				if (at + n > first[i])
					break;
				at += n;
			}
			skip = first[i] - at;
			add_recon(&b, V2, from, skip);
			/* 201072 is the last chunk of the first term. */
			if (first[i] <= 201072)
				add_range_turn(&b, 0);
			if (last[j] > 201072)
				add_range_turn(&b, 2);
			play(&b);
			CHECK_ROW(
			    i, run(&b, first[i], last[j], &e) == FETCH_OK);
			CHECK_ROW(i, first[i] < 70000 || b.idle > 0);
			CHECK_ROW(i, bench_close(&b, first[i], last[j] + 1));
		}
}

static void
test_storage_fails(void)
{
	static const struct {
		unsigned v2, v1;
		enum fetch_end end;
	} t[] = {{404, 404, FETCH_ELSEWHERE}, {501, 501, FETCH_ELSEWHERE},
	    {404, 501, FETCH_ELSEWHERE}, {400, 0, FETCH_ELSEWHERE},
	    {403, 0, FETCH_ELSEWHERE}, {416, 0, FETCH_ELSEWHERE},
	    {500, 0, FETCH_FAILED}, {503, 0, FETCH_FAILED},
	    {429, 0, FETCH_FAILED}, {404, 500, FETCH_FAILED},
	    {302, 0, FETCH_ELSEWHERE}};

	for (size_t i = 0; i < countof(t); i++) {
		struct bench b;
		struct err e;

		bench_open(&b);
		add_token(&b, "xet1");
		add_status(&b, V2, t[i].v2);
		if (t[i].v1)
			add_status(&b, V1, t[i].v1);
		play(&b);
		CHECK_ROW(i, run(&b, 0, b.size - 1, &e) == t[i].end);
		CHECK_ROW(i, xet_is_on(b.xet) && b.begun == 0);
		CHECK_ROW(i, bench_close(&b, 0, 0));
	}
}

/* A Hub without such a storage is asked once, and so is one that fails: it has
 * the retries of the client, none here. */
static void
test_no_storage(void)
{
	static const unsigned status[] = {404, 503};

	for (size_t i = 0; i < countof(status); i++) {
		struct bench b;
		struct err e;

		bench_open(&b);
		add_status(&b, "xet-read-token", status[i]);
		play(&b);
		CHECK_ROW(i, run(&b, 0, 9, &e) == FETCH_ELSEWHERE);
		CHECK_ROW(i, !xet_is_on(b.xet));
		CHECK_ROW(i, run(&b, 0, 9, &e) == FETCH_ELSEWHERE);
		CHECK_ROW(i, bench_close(&b, 0, 0));
	}
}

/* Answers that are none, or of another file. */
static void
test_bad_answers(void)
{
	static const struct {
		const char *text;
		enum fetch_end end;
		enum err_kind kind;
	} t[] = {{"{\"terms\":[", FETCH_FAILED, ERR_NET},
	    {"[]", FETCH_ELSEWHERE, ERR_CONTENT},
	    {"{\"offset_into_first_range\":0,\"terms\":[],\"xorbs\":{}}",
		FETCH_ELSEWHERE, ERR_CONTENT}};

	for (size_t i = 0; i < countof(t); i++) {
		struct bench b;
		struct err e;
		struct buf text = buf_make(1024);

		bench_open(&b);
		add_token(&b, "xet1");
		buf_puts(&text, t[i].text);
		add_text(&b, V2, &text);
		play(&b);
		CHECK_ROW(i, run(&b, 0, b.size - 1, &e) == t[i].end);
		CHECK_ROW(i, e.kind == t[i].kind);
		CHECK_ROW(i, bench_close(&b, 0, 0));
	}
}

/* The file is longer than the storage says, or its first term begins before
 * it. */
static void
test_other_place(void)
{
	struct bench b;
	struct err e;

	bench_open(&b);
	add_token(&b, "xet1");
	add_recon(&b, V2, 0, 0);
	add_recon(&b, V2, 0, 5);
	play(&b);
	CHECK(run(&b, 0, b.size, &e) == FETCH_ELSEWHERE);
	CHECK(run(&b, 4, 9, &e) == FETCH_ELSEWHERE && e.kind == ERR_CONTENT);
	b.at = 0;
	CHECK(bench_close(&b, 0, 0));
}

/* The window becomes shorter until the answer is short enough. */
static void
test_long_answer(void)
{
	struct bench b;
	struct err e;
	struct buf blank = buf_make(4 << 20);

	bench_open(&b);
	memset(buf_room(&blank, ANSWER_MAX + 1), ' ', ANSWER_MAX + 1);
	buf_added(&blank, ANSWER_MAX + 1);
	add_token(&b, "xet1");
	add_text(&b, "Range: bytes=0-67108863\r\n", &blank);
	add_status(&b, "Range: bytes=0-16777215\r\n", 400);
	play(&b);
	CHECK(run(&b, 0, (uint64_t)400000000000, &e) == FETCH_ELSEWHERE);
	CHECK(b.xet->window == XET_WINDOW / 4);
	CHECK(shorten(b.xet, &b.xet->window, XET_WINDOW / 4));
	CHECK(shorten(b.xet, &b.xet->window, 4 << 20));
	CHECK(b.xet->window == WINDOW_LEAST);
	CHECK(!shorten(b.xet, &b.xet->window, WINDOW_LEAST));
	CHECK(bench_close(&b, 0, 0));
}

/* What a server of xorbs does wrong in the first range. */
static void
test_bad_ranges(void)
{
	static const struct {
		const char *answer; /* NULL: the right one, changed */
		size_t at;          /* that byte of the xorb */
		unsigned char byte; /* is this one */
		enum fetch_end end;
		enum err_kind kind;
	} t[] = {{"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 0, 0,
		     FETCH_REFUSED, ERR_NET},
	    {"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 0, 0,
		FETCH_REFUSED, ERR_NET},
	    {"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 0, 0,
		FETCH_FAILED, ERR_NET},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 0, 0,
		FETCH_FAILED, ERR_NET},
	    {"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-0/9\r\n"
	     "Content-Length: 1\r\n\r\nx",
		0, 0, FETCH_FAILED, ERR_NET},
	    {"HTTP/1.1 302 Off\r\nLocation: http://u:p@127.0.0.1/\r\n"
	     "Content-Length: 0\r\n\r\n",
		0, 0, FETCH_REFUSED, ERR_NET},
	    {NULL, 0, 1, FETCH_FAILED, ERR_CONTENT}, /* version */
	    {NULL, 4, 7, FETCH_FAILED, ERR_CONTENT}, /* scheme */
	    {NULL, 5, 1, FETCH_FAILED, ERR_CONTENT}, /* size */
	    {NULL, 7, 9, FETCH_FAILED, ERR_CONTENT}};

	for (size_t i = 0; i < countof(t); i++) {
		struct bench b;
		struct err e;
		struct turn *turn;

		bench_open(&b);
		if (!t[i].answer)
			b.xorb[0].text[t[i].at] = t[i].byte;
		add_token(&b, "xet1");
		add_recon(&b, V2, 0, 0);
		turn = add_range_turn(&b, 0);
		turn->piece = 0;
		if (t[i].answer) {
			turn->answer = t[i].answer;
			turn->length = 0;
		}
		play(&b);
		CHECK_ROW(i, run(&b, 0, b.size - 1, &e) == t[i].end);
		CHECK_ROW(i, e.kind == t[i].kind);
		CHECK_ROW(i, bench_close(&b, 0, 0));
	}
}

/* More or fewer chunks than the range should have, and a term that is longer or
 * shorter than its chunks: what came in order before that stays, the chunk that
 * does not fit is not taken. */
static void
test_wrong_counts(void)
{
	static const char *const change[][2] = {
	    {"\"chunks\":{\"start\":0,\"end\":5}",
		"\"chunks\":{\"start\":0,\"end\":6}"},
	    {"\"unpacked_length\":201073", "\"unpacked_length\":201074"},
	    {"\"unpacked_length\":201073", "\"unpacked_length\":201072"}};

	for (size_t i = 0; i < countof(change); i++) {
		struct bench b;
		struct err e;
		struct buf text;
		char *found;

		bench_open(&b);
		add_token(&b, "xet1");
		text = recon_text(&b, 0, 0, false);
		found = strstr(buf_cstr(&text), change[i][0]);
		CHECK_ROW(i, found != NULL);
		memcpy(found, change[i][1], strlen(change[i][1]));
		add_text(&b, V2, &text);
		add_range_turn(&b, 0);
		play(&b);
		CHECK_ROW(i, run(&b, 0, b.size - 2, &e) == FETCH_FAILED);
		CHECK_ROW(i, e.kind == ERR_CONTENT && b.at > 100000);
		CHECK_ROW(i, i == 0 || b.at == 201072);
		b.at = 100000;
		CHECK_ROW(i, bench_close(&b, 0, 100000));
	}
}

/* The storage must not lead into a private network from outside. */
static void
test_addresses(void)
{
	static const struct {
		const char *endpoint, *url;
		bool good;
	} t[] = {{"https://hub.example", "https://cas.example", true},
	    {"https://hub.example", "https://10.0.0.1/x?Signature=s", false},
	    {"https://hub.example", "https://localhost:8443", false},
	    {"https://127.0.0.1", "https://127.0.0.1:8443", true},
	    {"https://192.168.0.7", "https://192.168.0.8", true},
	    {"https://hub.example", "nonsense", false}};

	for (size_t i = 0; i < countof(t); i++) {
		const struct repo repo = {.endpoint = t[i].endpoint};
		struct xet x = {.repo = &repo};
		struct err e = {.kind = ERR_NONE};

		CHECK_ROW(
		    i, (check_address(&x, t[i].url, &e) == 0) == t[i].good);
		CHECK_ROW(i, t[i].good || (e.kind == ERR_OTHER &&
					      !strstr(e.msg, "Signature")));
	}
}

/* After three files in a row it is left alone. */
static void
test_give_up(void)
{
	struct bench b;
	struct err e;

	err_set(&e, ERR_NET, "no");
	bench_open(&b);
	add_token(&b, "xet1");
	add_recon(&b, V2, 0, 0);
	add_range_turn(&b, 0);
	play(&b);
	xet_give_up(b.xet, "a", &e);
	xet_give_up(b.xet, "b", &e);
	b.stop = 10;
	CHECK(run(&b, 0, b.size - 1, &e) == FETCH_OK);
	err_set(&e, ERR_NET, "no");
	xet_give_up(b.xet, "a", &e);
	xet_give_up(b.xet, "b", &e);
	CHECK(xet_is_on(b.xet));
	xet_give_up(b.xet, "c", &e);
	CHECK(!xet_is_on(b.xet));
	CHECK(run(&b, 10, b.size - 1, &e) == FETCH_ELSEWHERE);
	CHECK(bench_close(&b, 0, 10));
}

/* Called through a table, since inlined together they take too much stack. */
static void (*const tests[])(void) = {
    test_whole,
    test_token,
    test_windows,
    test_storage_fails,
    test_no_storage,
    test_bad_answers,
    test_other_place,
    test_long_answer,
    test_bad_ranges,
    test_wrong_counts,
    test_addresses,
    test_give_up,
};

int
main(void)
{
	for (size_t i = 0; i < countof(tests); i++)
		tests[i]();
	return test_end();
}
