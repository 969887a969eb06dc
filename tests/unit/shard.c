#include "chunk.h"
#include "err.h"
#include "tests/unit/data/corpus.h"
#include "tests/unit/test.h"
#include "tests/unit/xethash.h"

/* Writes what is read, but for the footer. */
static void
write_again(const struct shard *s, struct buf *b)
{
	struct shard_iter it = shard_iter(s);
	struct shard_record r;
	unsigned ends = 0;

	shard_begin(b);
	while (shard_next(&it, &r)) {
		if (ends == 0 && r.kind == SHARD_XORB) {
			shard_end(b);
			ends++;
		}
		shard_put(b, &r);
	}
	for (; ends < 2; ends++)
		shard_end(b);
}

/* The shards of the vectors: what they are made of, and the same bytes when
 * they are written again. */
static void
test_vectors(void)
{
	static const struct {
		const char *name;
		unsigned count[6]; /* of each kind */
		bool has_footer;
	} known[] = {
	    {"shard/upload", {3, 4, 4, 3, 1, 2}, false},
	    {"shard/core", {1, 1, 1, 1, 1, 1}, false},
	    {"shard/js", {1, 1, 1, 1, 1, 1}, true},
	    {"shard/dedupe", {0, 0, 0, 0, 1, 2}, true},
	};

	for (size_t i = 0; i < countof(known); i++) {
		struct buf text = corpus(known[i].name), b = buf_make(10000);
		struct shard s;
		struct shard_iter it;
		struct shard_record r;
		unsigned count[6] = {0};
		struct err e;

		CHECK_ROW(i, shard_parse(buf_str(&text), &s, &e) == 0);
		CHECK_ROW(i, s.has_footer == known[i].has_footer);
		it = shard_iter(&s);
		while (shard_next(&it, &r))
			count[r.kind]++;
		CHECK_ROW(i, !memcmp(count, known[i].count, sizeof(count)));
		write_again(&s, &b);
		CHECK_ROW(i, b.len == text.len - (s.has_footer ? 200 : 0));
		/* But for the length of a footer. */
		CHECK_ROW(i, !memcmp(b.s, text.s, 40));
		CHECK_ROW(i, !memcmp(b.s + 48, text.s + 48, b.len - 48));
		buf_release(&text);
		buf_release(&b);
	}
}

/* All fields of a file and of a xorb. */
static void
test_fields(void)
{
	struct buf text = corpus("shard/js");
	struct shard s;
	struct shard_iter it;
	struct shard_record r;
	struct err e;

	CHECK(shard_parse(buf_str(&text), &s, &e) == 0);
	it = shard_iter(&s);
	CHECK(shard_next(&it, &r) && r.kind == SHARD_FILE && r.count == 1);
	CHECK(r.flags == (SHARD_HAS_RANGES | SHARD_HAS_SHA256));
	CHECK(is(&r.hash, "a9dae0ad88b060bdd7e7c87abdcf95b1"
			  "32c95a0414b06d4f6beb68d287b87165"));
	CHECK(shard_next(&it, &r) && r.kind == SHARD_TERM && r.size == 12);
	CHECK(r.first == 0 && r.end == 1 && r.flags == 0);
	CHECK(shard_next(&it, &r) && r.kind == SHARD_RANGE);
	CHECK(is(&r.hash, "89cb63458e98cb4c75be6b50a5a7b723"
			  "4b82f05d5348e6925fb71aaf5dc3862b"));
	CHECK(shard_next(&it, &r) && r.kind == SHARD_SHA256);
	CHECK(is(&r.hash, "7f83b1657ff1fc53b92dc18148a1d65d"
			  "fc2d4b1fa3d677284addd200126d9069"));
	CHECK(shard_next(&it, &r) && r.kind == SHARD_XORB && r.count == 1);
	CHECK(r.size == 12 && r.packed == 20 && r.flags == 0);
	CHECK(shard_next(&it, &r) && r.kind == SHARD_CHUNK && r.at == 0);
	CHECK(r.size == 12);
	CHECK(is(&r.hash, "d8d408e608fb9ca213b9909a65d86d72"
			  "5f2de4d8d540324be8a363e7a6e228cb"));
	CHECK(!shard_next(&it, &r) && !shard_next(&it, &r));
	buf_release(&text);
}

/* An answer about a chunk: it is found by its keyed name. */
static void
test_dedupe(void)
{
	struct buf text = corpus("shard/dedupe");
	struct shard s;
	struct shard_iter it;
	struct shard_record r;
	struct xethash chunk, keyed;
	struct err e;

	CHECK(shard_parse(buf_str(&text), &s, &e) == 0);
	for (unsigned i = 0; i < 32; i++)
		CHECK(s.key.b[i] == i);
	CHECK(s.created == 1700000000 && s.expires == 1800000000);
	CHECK(!xethash_parse(str_of("d8d408e608fb9ca213b9909a65d86d72"
				    "5f2de4d8d540324be8a363e7a6e228cb"),
	    &chunk));
	xethash_keyed(&chunk, &s.key, &keyed);
	it = shard_iter(&s);
	CHECK(shard_next(&it, &r) && r.kind == SHARD_XORB);
	CHECK(shard_next(&it, &r) && xethash_same(&r.hash, &keyed));
	CHECK(r.flags == SHARD_IS_GLOBAL);
	CHECK(shard_next(&it, &r) && r.at == 12 && r.size == 8192);
	CHECK(!shard_next(&it, &r));
	buf_release(&text);
}

/* Nothing but a whole shard is one. */
static void
test_cuts(void)
{
	static const char *const names[] = {
	    "shard/upload", "shard/dedupe", "shard/js"};

	for (size_t i = 0; i < countof(names); i++) {
		struct buf text = corpus(names[i]);
		struct shard s;
		struct err e;

		for (size_t n = 0; n < text.len; n++) {
			char *copy = test_exact(text.s, n);

			CHECK_ROW(
			    n, shard_parse(str_make(copy, n), &s, &e) < 0 &&
				   e.kind == ERR_CONTENT);
			free(copy);
		}
		buf_putc(&text, '\0');
		CHECK_ROW(i, shard_parse(buf_str(&text), &s, &e) < 0);
		buf_release(&text);
	}
}

/* A number of 4 or 8 bytes in a shard that is good without it. */
static void
test_refused(void)
{
	enum { FILE_AT = 48, TERM = 96 };
	/* Of shard/dedupe. */
	enum { XORB = 96, CHUNK = 144, NEXT = 192, FOOTER = 288 };
	static const struct {
		const char *name;
		size_t at, n;
		uint64_t value;
		const char *why;
	} refused[] = {
	    {"shard/core", 0, 1, 'h', "no shard"},
	    {"shard/core", 31, 1, 0, "no shard"},
	    {"shard/core", 32, 8, 1, "of version 1"},
	    {"shard/core", 32, 8, UINT64_MAX, "of version 1844674"},
	    {"shard/core", 40, 8, 200, "in the middle of its records"},
	    {"shard/core", 40, 8, 48, "a footer of 48"},
	    {"shard/core", 40, 8, UINT64_MAX, "a footer of 1844674"},
	    {"shard/core", FILE_AT + 32, 4, 0xe0000000, "unknown records"},
	    {"shard/core", FILE_AT + 36, 4, 0xffffffff, "chunks 0 to 0"},
	    {"shard/core", TERM + 36, 4, 0, "chunks 0 to 1 of a xorb as 0"},
	    {"shard/core", TERM + 36, 4, 131073, "chunks 0 to 1"},
	    {"shard/core", TERM + 40, 4, 1, "chunks 1 to 1"},
	    {"shard/core", TERM + 40, 4, 0xffffffff, "chunks 4294967295 to 1"},
	    {"shard/core", TERM + 44, 4, 0xffffffff, "to 4294967295"},
	    {"shard/js", 40, 8, 0, "bytes behind its records"},
	    {"shard/dedupe", XORB + 36, 4, 0, "with chunks of 0"},
	    {"shard/dedupe", XORB + 36, 4, 1, "with chunks of 12"},
	    {"shard/dedupe", XORB + 36, 4, 3, "8204"},
	    {"shard/dedupe", XORB + 40, 4, 8205, "with chunks of 8204"},
	    {"shard/dedupe", XORB + 40, 4, 8203, "of 8192 bytes at 12"},
	    {"shard/dedupe", CHUNK + 32, 4, 1, "at 1 of a xorb of 8204"},
	    {"shard/dedupe", CHUNK + 36, 4, 0, "of 0 bytes at 0"},
	    {"shard/dedupe", CHUNK + 36, 4, 0xffffffff, "of 4294967295 bytes"},
	    {"shard/dedupe", NEXT + 32, 4, 11, "at 11 of"},
	    {"shard/dedupe", FOOTER, 8, 2, "footer is of version 2"},
	    {"shard/dedupe", FOOTER + 192, 8, 287, "in a wrong place"},
	};

	for (size_t i = 0; i < countof(refused); i++) {
		struct buf text = corpus(refused[i].name);
		struct shard s;
		struct err e = {.kind = ERR_NONE};

		bytes_put_le((unsigned char *)text.s + refused[i].at,
		    refused[i].value, refused[i].n);
		CHECK_ROW(i, shard_parse(buf_str(&text), &s, &e) < 0);
		CHECK_ROW(i, e.kind == ERR_CONTENT);
		CHECK_ROW(i, strstr(e.msg, refused[i].why) != NULL);
		buf_release(&text);
	}
}

/* A file without ranges and SHA-256, one without terms, a shard of nothing. */
static void
test_small(void)
{
	struct buf b = buf_make(1000);
	struct shard_record file = {.kind = SHARD_FILE}, r;
	struct shard_record term = {
	    .kind = SHARD_TERM, .size = 5, .first = 7, .end = 8};
	struct shard s;
	struct shard_iter it;
	struct err e;

	shard_begin(&b);
	shard_end(&b);
	shard_end(&b);
	CHECK(b.len == 144 && shard_parse(buf_str(&b), &s, &e) == 0);
	it = shard_iter(&s);
	CHECK(!shard_next(&it, &r));
	buf_clear(&b);
	shard_begin(&b);
	shard_put(&b, &file);
	file.count = 1;
	shard_put(&b, &file);
	shard_put(&b, &term);
	shard_end(&b);
	shard_end(&b);
	CHECK(shard_parse(buf_str(&b), &s, &e) == 0 && !s.has_footer);
	it = shard_iter(&s);
	CHECK(shard_next(&it, &r) && r.kind == SHARD_FILE && r.count == 0);
	CHECK(shard_next(&it, &r) && r.kind == SHARD_FILE && r.count == 1);
	CHECK(shard_next(&it, &r) && r.kind == SHARD_TERM && r.first == 7);
	CHECK(!shard_next(&it, &r));
	buf_release(&b);
}

int
main(void)
{
	test_vectors();
	test_fields();
	test_dedupe();
	test_cuts();
	test_refused();
	test_small();
	return test_end();
}
