#include "chunk.h"

#include <inttypes.h>

#include "err.h"
#include "tests/unit/data/trees.h"
#include "tests/unit/data/xet.h"
#include "tests/unit/test.h"
#include "tests/unit/xethash.h"

static struct xethash
hash_of(const char *text)
{
	struct xethash h = {{0}};

	CHECK(xethash_parse(str_of(text), &h) == 0);
	return h;
}

/* --- Hashes. --- */

static void
test_text(void)
{
	static const char *const refused[] = {"",
	    "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a191",
	    "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a19180",
	    "0x060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918",
	    " 7060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"};
	struct xethash h = hash_of("07060504030201000f0e0d0c0b0a0908"
				   "17161514131211101f1e1d1c1b1a1918");
	struct xethash a, b;

	for (unsigned i = 0; i < 32; i++)
		CHECK_ROW(i, h.b[i] == i);
	CHECK(is(&h, "07060504030201000f0e0d0c0b0a0908"
		     "17161514131211101f1e1d1c1b1a1918"));
	for (size_t i = 0; i < countof(refused); i++)
		CHECK_ROW(i, xethash_parse(str_of(refused[i]), &h) < 0);
	/* In the order of the texts, not of the bytes. */
	a = b = (struct xethash){{0}};
	CHECK(xethash_same(&a, &b) && xethash_compare(&a, &b) == 0);
	a.b[0] = 2;
	b.b[1] = 1;
	CHECK(!xethash_same(&a, &b));
	CHECK(xethash_compare(&a, &b) < 0 && xethash_compare(&b, &a) > 0);
}

static void
test_keyed(void)
{
	struct xethash hash = hash_of("d8d408e608fb9ca213b9909a65d86d72"
				      "5f2de4d8d540324be8a363e7a6e228cb");
	struct xethash key = hash_of("000102030405060708090a0b0c0d0e0f"
				     "101112131415161718191a1b1c1d1e1f");
	struct xethash out, zero = {{0}};

	xethash_keyed(&hash, &key, &out);
	CHECK(is(&out, "dc5982c2ab3eade623448975954e53a9"
		       "781e503c9ae9820bf0953c347fc6c928"));
	xethash_keyed(&hash, &zero, &out);
	CHECK(xethash_same(&hash, &out));
}

static void
test_sha256(void)
{
	struct digest d;
	struct xethash out;

	CHECK(!digest_parse(str_of("7f83b1657ff1fc53b92dc18148a1d65d"
				   "fc2d4b1fa3d677284addd200126d9069"),
	    &d));
	xethash_of_sha256(&d, &out);
	CHECK(memcmp(out.b, "\x53\xfc\xf1\x7f\x65\xb1\x83\x7f", 8) == 0);
	CHECK(is(&out, "7f83b1657ff1fc53b92dc18148a1d65d"
		       "fc2d4b1fa3d677284addd200126d9069"));
}

static void
hash_chunk(struct blake3 *h, const void *p, size_t n, struct xethash *out)
{
	xethash_begin(h, XET_CHUNK);
	blake3_update(h, p, n);
	xethash_end(h, out);
}

/* The first numbers whose eight bytes make such a chunk. */
static void
test_global(void)
{
	unsigned found = 0;
	struct blake3 h;

	blake3_init(&h, NULL);
	for (unsigned i = 0; i <= 1618; i++) {
		unsigned char text[8];
		struct xethash hash;

		bytes_put_le(text, i, 8);
		hash_chunk(&h, text, 8, &hash);
		CHECK_ROW(
		    i, xethash_is_global(&hash) == (i == 35 || i == 1618));
		found += xethash_is_global(&hash);
	}
	CHECK(found == 2);
}

/* --- Trees. --- */

static void
add_known(struct hashtree *t, size_t i)
{
	struct xethash h = hash_of(tree_node[i]);

	hashtree_add(t, &h, i < 8 ? 100 * i : 858993459200 + 100 * (i - 8));
}

static void
test_trees(void)
{
	struct hashtree *t = xmalloc(sizeof(*t));

	for (size_t i = 0; i < countof(known_trees); i++) {
		const char *nodes = known_trees[i].nodes;
		struct xethash xorb, file;

		hashtree_init(t);
		if (strcmp(nodes, "8-107") == 0)
			for (size_t k = 8; k <= 107; k++)
				add_known(t, k);
		else
			for (; *nodes; nodes++)
				add_known(t, (size_t)(*nodes - '0'));
		hashtree_xorb(t, &xorb);
		hashtree_file(t, &file);
		CHECK_ROW(i, is(&xorb, known_trees[i].xorb));
		CHECK_ROW(i, is(&file, known_trees[i].file));
	}
	free(t);
}

/* A node above k children, by the rule alone. */
static struct tree_node
naive_node(const struct tree_node *child, size_t k)
{
	static const unsigned char key[] = {1, 126, 197, 199, 165, 71, 41, 150,
	    253, 148, 102, 102, 180, 138, 2, 230, 93, 221, 83, 111, 55, 199,
	    109, 210, 248, 99, 82, 230, 74, 83, 113, 63};
	struct tree_node out = {.size = 0};
	struct buf text = buf_make(1000);
	struct blake3 h;

	for (size_t i = 0; i < k; i++) {
		char hex[XETHASH_TEXT + 1];

		xethash_text(&child[i].hash, hex);
		buf_printf(&text, "%s : %" PRIu64 "\n", hex, child[i].size);
		out.size += child[i].size;
	}
	blake3_init(&h, key);
	blake3_update(&h, text.s, text.len);
	blake3_final(&h, out.hash.b);
	buf_release(&text);
	return out;
}

/* The rule as it is written down, over whole levels: groups of three to nine,
 * and what is left. */
static void
naive_root(struct tree_node *node, size_t n, struct xethash *out)
{
	while (n > 1) {
		size_t above = 0;

		for (size_t at = 0, k; at < n; at += k) {
			size_t most = n - at < 9 ? n - at : 9;

			for (k = most < 3 ? most : 3;
			     k < most && node[at + k - 1].hash.b[24] % 4; k++)
				;
			node[above++] = naive_node(node + at, k);
		}
		n = above;
	}
	*out = node[0].hash;
}

/* All lengths up to some hundreds, of which the tree is asked after each. */
static void
test_long_trees(void)
{
	enum { MOST = 300 };
	struct tree_node *node = xcalloc(MOST, sizeof(node[0]));
	struct tree_node *copy = xcalloc(MOST, sizeof(node[0]));
	struct hashtree *t = xmalloc(sizeof(*t));

	hashtree_init(t);
	for (size_t n = 1; n <= MOST; n++) {
		struct tree_node *new = &node[n - 1];
		struct xethash a, b;

		new->size = n * 1000;
		for (size_t i = 0; i < 32; i++)
			new->hash.b[i] = (unsigned char)(n * 37 + i * n / 5);
		hashtree_add(t, &new->hash, new->size);
		memcpy(copy, node, n * sizeof(node[0]));
		naive_root(copy, n, &a);
		hashtree_xorb(t, &b);
		CHECK_ROW(n, xethash_same(&a, &b));
	}
	free(node);
	free(copy);
	free(t);
}

static void
test_node_example(void)
{
	static const struct {
		const char *hash;
		uint64_t size;
	} row[] = {
	    {"1f6a2b8e9d3c4075a2e8c5fd4f0b763e6f3c1d7a9b2e6487de3f91ab7c6d5401",
		10000},
	    {"7c94fe2a38bdcf9b4d2a6f7e1e08ac35bc24a7903d6f5a0e7d1c2b93e5f748de",
		20000},
	    {"cfd18a92e0743bb09e56dbf76ea2c34d99b5a0cf271f8d429b6cd148203df061",
		25000},
	    {"e38d7c09a21b4cf8d0f92b3a85e6df19f7c20435e0b1c78a9d635f7b8c2e4da1",
		64000},
	};
	struct hashtree *t = xmalloc(sizeof(*t));
	struct xethash out;

	hashtree_init(t);
	for (size_t i = 0; i < countof(row); i++) {
		struct xethash h = hash_of(row[i].hash);

		hashtree_add(t, &h, row[i].size);
	}
	hashtree_xorb(t, &out);
	CHECK(is(&out, "649b032540f645eb28eea76696f2b55d"
		       "4d596bf09ffcbf3f77e529029454defa"));
	free(t);
}

/* --- Chunks. --- */

/* What comes of a file. */
struct result {
	size_t chunks, first[8]; /* the first lengths */
	struct hashtree tree;
	struct blake3 chunk, range;
	struct hash stored; /* of the xorb in which all chunks are stored */
	struct buf records; /* of the chunks in a shard */
	uint32_t at;
};

/* A chunk ends, of which n bytes are at p. */
static void
add_chunk(struct result *r, const unsigned char *p, size_t n)
{
	const struct entry entry = {ENTRY_STORED, (uint32_t)n, (uint32_t)n};
	struct shard_record record = {
	    .kind = SHARD_CHUNK, .at = r->at, .size = (uint32_t)n};
	unsigned char head[ENTRY_HEADER];

	hash_chunk(&r->chunk, p, n, &record.hash);
	if (r->chunks < countof(r->first))
		r->first[r->chunks] = n;
	r->chunks++;
	hashtree_add(&r->tree, &record.hash, n);
	blake3_update(&r->range, record.hash.b, sizeof(record.hash.b));
	entry_put(&entry, head);
	hash_update(&r->stored, head, sizeof(head));
	hash_update(&r->stored, p, n);
	shard_put(&r->records, &record);
	r->at += (uint32_t)n;
}

/* Chunks the file, which is fed in pieces of that length. */
static void
chunk_file(struct result *r, const struct vector *v, size_t piece)
{
	unsigned char *text = xmalloc(piece), *open = xmalloc(CHUNK_MAX);
	struct chunker c = {0};
	uint64_t done = 0;
	size_t length = 0;

	while (done < v->size) {
		size_t n =
		    v->size - done < piece ? (size_t)(v->size - done) : piece;

		for (size_t i = 0; i < n; i++)
			text[i] = vector_byte(v, done + i);
		done += n;
		for (size_t at = 0, k; at < n; at += k) {
			bool ends;

			k = chunker_take(&c, text + at, n - at, &ends);
			CHECK(k > 0 && k <= n - at && k <= CHUNK_MAX - length);
			memcpy(open + length, text + at, k);
			length += k;
			if (!ends)
				continue;
			CHECK(length >= CHUNK_MIN && c.length == 0);
			add_chunk(r, open, length);
			length = 0;
		}
	}
	if (length > 0)
		add_chunk(r, open, length);
	free(text);
	free(open);
}

/* The shard of one file of one term, as xet-core writes it. */
static void
one_term_shard(struct result *r, const struct vector *v, struct digest *out)
{
	struct buf b = buf_make(SHARD_MAX);
	struct shard_record file = {.kind = SHARD_FILE,
	    .flags = SHARD_HAS_RANGES | SHARD_HAS_SHA256,
	    .count = 1};
	struct shard_record term = {.kind = SHARD_TERM,
	    .size = (uint32_t)v->size,
	    .end = (uint32_t)r->chunks};
	struct shard_record range = {.kind = SHARD_RANGE};
	struct shard_record sha256 = {.kind = SHARD_SHA256};
	struct shard_record xorb = {.kind = SHARD_XORB,
	    .size = (uint32_t)v->size,
	    .count = (uint32_t)r->chunks};
	struct digest content;
	struct hash h;

	hashtree_file(&r->tree, &file.hash);
	hashtree_xorb(&r->tree, &term.hash);
	xorb.hash = term.hash;
	xethash_end(&r->range, &range.hash);
	CHECK(digest_parse(str_of(v->sha256), &content) == 0);
	xethash_of_sha256(&content, &sha256.hash);
	shard_begin(&b);
	shard_put(&b, &file);
	shard_put(&b, &term);
	shard_put(&b, &range);
	shard_put(&b, &sha256);
	shard_end(&b);
	shard_put(&b, &xorb);
	buf_str_add(&b, buf_str(&r->records));
	shard_end(&b);
	hash_init(&h, HASH_SHA256, 0);
	hash_update(&h, b.s, b.len);
	hash_final(&h, out);
	buf_release(&b);
}

static bool
hex_is(const struct digest *d, const char *want)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(d, hex);
	return strcmp(hex, want) == 0;
}

static void
check_vector(size_t row, size_t piece)
{
	const struct vector *v = &vectors[row];
	struct result *r = xcalloc(1, sizeof(*r));
	struct xethash xorb, file, range;
	struct digest d;

	hashtree_init(&r->tree);
	blake3_init(&r->chunk, NULL);
	blake3_init(&r->range, NULL);
	xethash_begin(&r->range, XET_RANGE);
	hash_init(&r->stored, HASH_SHA256, 0);
	r->records = buf_make(SHARD_MAX);
	chunk_file(r, v, piece);
	CHECK_ROW(row, r->chunks == v->chunks);
	for (size_t i = 0; i < countof(v->first) && v->first[i]; i++)
		CHECK_ROW(row, r->first[i] == v->first[i]);
	hashtree_xorb(&r->tree, &xorb);
	hashtree_file(&r->tree, &file);
	xethash_end(&r->range, &range);
	CHECK_ROW(row, is(&xorb, v->xorb));
	CHECK_ROW(row, is(&file, v->file));
	CHECK_ROW(row, is(&range, v->range));
	if (v->stored) {
		hash_final(&r->stored, &d);
		CHECK_ROW(row, hex_is(&d, v->stored));
		one_term_shard(r, v, &d);
		CHECK_ROW(row, hex_is(&d, v->shard));
	}
	buf_release(&r->records);
	free(r);
}

static void
test_vectors(void)
{
	for (size_t i = 0; i < countof(vectors); i++) {
		check_vector(i, 1 << 20);
		check_vector(i, 4093);
		if (vectors[i].size < 200000)
			check_vector(i, 1);
	}
}

/* 70 MiB: where a file goes on in a second xorb, and all its chunks. */
static void
test_large(void)
{
	static const struct vector v = {.size = 73400320, .seed = 3};
	struct result *r = xcalloc(1, sizeof(*r));
	struct xethash file;
	struct digest d;
	struct buf list = buf_make(1 << 20);
	struct hash h;
	size_t whole = 0, global = 0;
	uint64_t bytes = 0;
	struct hashtree *second = xmalloc(sizeof(*second)), first;
	const unsigned char *p;

	hashtree_init(&r->tree);
	blake3_init(&r->chunk, NULL);
	blake3_init(&r->range, NULL);
	hash_init(&r->stored, HASH_SHA256, 0);
	r->records = buf_make(SHARD_MAX);
	chunk_file(r, &v, 1 << 20);
	hashtree_file(&r->tree, &file);
	CHECK(r->chunks == 1129);
	CHECK(is(&file, "e5cf8afab5b34fd7da9e018ce94f7d2e"
			"25403fd1ce94ce391dcbf8ad69d5ccaa"));
	hashtree_init(&first);
	hashtree_init(second);
	for (size_t i = 0; i < r->chunks; i++) {
		char text[XETHASH_TEXT + 1];
		struct xethash hash;
		uint32_t size;

		p = (const unsigned char *)r->records.s + i * SHARD_RECORD;
		memcpy(hash.b, p, sizeof(hash.b));
		size = (uint32_t)bytes_get_le(p + 36, 4);
		xethash_text(&hash, text);
		buf_printf(&list, "%s %u\n", text, (unsigned)size);
		if (bytes + size <= XORB_MAX && whole == i) {
			hashtree_add(&first, &hash, size);
			bytes += size;
			whole++;
		} else {
			hashtree_add(second, &hash, size);
		}
		if (xethash_is_global(&hash)) {
			global++;
			CHECK(i == 546);
		}
	}
	CHECK(global == 1 && whole == 1032 && bytes == 67082523);
	hashtree_xorb(&first, &file);
	CHECK(is(&file, "c753f22048404a7b79b65d98eafd31b7"
			"b52d18c205cc6603dd4bfcc93d2af9fa"));
	hashtree_xorb(second, &file);
	CHECK(is(&file, "758d18d6ca72e670f31c6421e96444a7"
			"3098ab4f808811738b17a221c3255900"));
	hash_init(&h, HASH_SHA256, 0);
	hash_update(&h, list.s, list.len);
	hash_final(&h, &d);
	CHECK(hex_is(&d, "ba75616f8510c63880423924308cd75e"
			 "4d1b700d9c08648f2e5ef4bce4622af7"));
	buf_release(&list);
	buf_release(&r->records);
	free(second);
	free(r);
}

int
main(void)
{
	test_text();
	test_keyed();
	test_sha256();
	test_global();
	test_trees();
	test_long_trees();
	test_node_example();
	test_vectors();
	test_large();
	return test_end();
}
