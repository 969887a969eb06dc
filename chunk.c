#include "chunk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "err.h"
#include "json.h"

/* --- Hashes. --- */

static const unsigned char key_chunk[BLAKE3_SIZE] = {102, 151, 245, 119, 91,
    149, 80, 222, 49, 53, 203, 172, 165, 151, 24, 28, 157, 228, 33, 16, 155,
    235, 43, 88, 180, 208, 176, 75, 147, 173, 242, 41};
static const unsigned char key_node[BLAKE3_SIZE] = {1, 126, 197, 199, 165, 71,
    41, 150, 253, 148, 102, 102, 180, 138, 2, 230, 93, 221, 83, 111, 55, 199,
    109, 210, 248, 99, 82, 230, 74, 83, 113, 63};
static const unsigned char key_range[BLAKE3_SIZE] = {127, 24, 87, 214, 206, 86,
    237, 102, 18, 127, 249, 19, 231, 165, 195, 243, 164, 205, 38, 213, 181, 219,
    73, 230, 65, 36, 152, 127, 40, 251, 148, 195};
static const unsigned char key_file[BLAKE3_SIZE] = {0};

/* Turns the bytes of each group of eight around: its own inverse. */
static void
turn(const unsigned char in[BLAKE3_SIZE], unsigned char out[BLAKE3_SIZE])
{
	for (size_t i = 0; i < BLAKE3_SIZE; i += 8)
		bytes_put_be(out + i, bytes_get_le(in + i, 8), 8);
}

int
xethash_parse(struct str text, struct xethash *out)
{
	unsigned char b[BLAKE3_SIZE];

	if (hex_decode(text, b, sizeof(b)) < 0)
		return -1;
	turn(b, out->b);
	return 0;
}

void
xethash_text(const struct xethash *h, char out[XETHASH_TEXT + 1])
{
	unsigned char b[BLAKE3_SIZE];

	turn(h->b, b);
	hex_encode(b, sizeof(b), out);
}

bool
xethash_same(const struct xethash *a, const struct xethash *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

int
xethash_compare(const struct xethash *a, const struct xethash *b)
{
	unsigned char x[BLAKE3_SIZE], y[BLAKE3_SIZE];

	turn(a->b, x);
	turn(b->b, y);
	return memcmp(x, y, sizeof(x));
}

void
xethash_of_sha256(const struct digest *sha256, struct xethash *out)
{
	turn(sha256->b, out->b);
}

void
xethash_begin(struct blake3 *h, enum xet_key key)
{
	blake3_restart(h, key == XET_CHUNK ? key_chunk : key_range);
}

void
xethash_end(const struct blake3 *h, struct xethash *out)
{
	blake3_final(h, out->b);
}

static void
keyed(const unsigned char key[BLAKE3_SIZE], const void *p, size_t n,
    struct xethash *out)
{
	struct blake3 h;

	blake3_init(&h, key);
	blake3_update(&h, p, n);
	blake3_final(&h, out->b);
}

static bool
is_zero(const struct xethash *h)
{
	static const struct xethash zero;

	return xethash_same(h, &zero);
}

void
xethash_keyed(
    const struct xethash *chunk, const struct xethash *key, struct xethash *out)
{
	if (is_zero(key))
		*out = *chunk;
	else
		keyed(key->b, chunk->b, sizeof(chunk->b), out);
}

bool
xethash_is_global(const struct xethash *chunk)
{
	return bytes_get_le(chunk->b + 24, 8) % 1024 == 0;
}

/* --- Trees of hashes. --- */

void
hashtree_init(struct hashtree *t)
{
	t->levels = 0;
}

/* The node above: the hash of a line for each child. A line has at most 64
 * digits, " : ", 20 digits and '\n'. */
static void
join(const struct tree_node *child, unsigned n, struct tree_node *out)
{
	char text[TREE_GROUP * (XETHASH_TEXT + 24) + 1];
	uint64_t size = 0;
	size_t length = 0;

	for (unsigned i = 0; i < n; i++) {
		xethash_text(&child[i].hash, text + length);
		length += XETHASH_TEXT;
		length += (size_t)snprintf(text + length, sizeof(text) - length,
		    " : %" PRIu64 "\n", child[i].size);
		size += child[i].size;
	}
	keyed(key_node, text, length, &out->hash);
	out->size = size;
}

/* A group ends with its ninth child, or after the second with one whose hash
 * says so. */
static bool
ends_group(const struct tree_level *l)
{
	return l->n == TREE_GROUP ||
	       (l->n >= 3 && l->child[l->n - 1].hash.b[24] % 4 == 0);
}

void
hashtree_add(struct hashtree *t, const struct xethash *chunk, uint64_t size)
{
	struct tree_node node = {*chunk, size};

	for (unsigned i = 0; i < TREE_LEVELS; i++) {
		struct tree_level *l = &t->level[i];

		if (i == t->levels) {
			t->levels++;
			l->n = 0;
		}
		l->child[l->n++] = node;
		if (!ends_group(l))
			return;
		join(l->child, l->n, &node);
		l->n = 0;
	}
}

/* From below each level gets the node of the open group there, and its own
 * group ends with that: even one child has a node above it, but for the root,
 * which is alone in its level. */
static bool
root(const struct hashtree *t, struct xethash *out)
{
	struct tree_node group[TREE_GROUP + 1], node;
	bool has_node = false;

	for (unsigned i = 0; i < t->levels; i++) {
		const struct tree_level *l = &t->level[i];
		unsigned n = l->n;

		memcpy(group, l->child, n * sizeof(group[0]));
		if (has_node)
			group[n++] = node;
		if (n == 1 && i + 1 == t->levels) {
			*out = group[0].hash;
			return true;
		}
		has_node = n > 0;
		if (has_node)
			join(group, n, &node);
	}
	if (has_node)
		*out = node.hash;
	return has_node;
}

void
hashtree_xorb(const struct hashtree *t, struct xethash *out)
{
	if (!root(t, out))
		*out = (struct xethash){{0}};
}

void
hashtree_file(const struct hashtree *t, struct xethash *out)
{
	struct xethash top;

	if (root(t, &top))
		keyed(key_file, top.b, sizeof(top.b), out);
	else
		*out = (struct xethash){{0}};
}

/* --- Chunks of a file. --- */

/* A number without a pattern for each byte. They are part of the format. */
static const uint64_t gear[256] = {
    0xb088d3a9e840f559,
    0x5652c7f739ed20d6,
    0x45b28969898972ab,
    0x6b0a89d5b68ec777,
    0x368f573e8b7a31b7,
    0x1dc636dce936d94b,
    0x207a4c4e5554d5b6,
    0xa474b34628239acb,
    0x3b06a83e1ca3b912,
    0x90e78d6c2f02baf7,
    0xe1c92df7150d9a8a,
    0x8e95053a1086d3ad,
    0x5a2ef4f1b83a0722,
    0xa50fac949f807fae,
    0x0e7303eb80d8d681,
    0x99b07edc1570ad0f,
    0x689d2fb555fd3076,
    0x00005082119ea468,
    0xc4b08306a88fcc28,
    0x3eb0678af6374afd,
    0xf19f87ab86ad7436,
    0xf2129fbfbe6bc736,
    0x481149575c98a4ed,
    0x0000010695477bc5,
    0x1fba37801a9ceacc,
    0x3bf06fd663a49b6d,
    0x99687e9782e3874b,
    0x79a10673aa50d8e3,
    0xe4accf9e6211f420,
    0x2520e71f87579071,
    0x2bd5d3fd781a8a9b,
    0x00de4dcddd11c873,
    0xeaa9311c5a87392f,
    0xdb748eb617bc40ff,
    0xaf579a8df620bf6f,
    0x86a6e5da1b09c2b1,
    0xcc2fc30ac322a12e,
    0x355e2afec1f74267,
    0x2d99c8f4c021a47b,
    0xbade4b4a9404cfc3,
    0xf7b518721d707d69,
    0x3286b6587bf32c20,
    0x0000b68886af270c,
    0xa115d6e4db8a9079,
    0x484f7e9c97b2e199,
    0xccca7bb75713e301,
    0xbf2584a62bb0f160,
    0xade7e813625dbcc8,
    0x000070940d87955a,
    0x8ae69108139e626f,
    0xbd776ad72fde38a2,
    0xfb6b001fc2fcc0cf,
    0xc7a474b8e67bc427,
    0xbaf6f11610eb5d58,
    0x09cb1f5b6de770d1,
    0xb0b219e6977d4c47,
    0x00ccbc386ea7ad4a,
    0xcc849d0adf973f01,
    0x73a3ef7d016af770,
    0xc807d2d386bdbdfe,
    0x7f2ac9966c791730,
    0xd037a86bc6c504da,
    0xf3f17c661eaa609d,
    0xaca626b04daae687,
    0x755a99374f4a5b07,
    0x90837ee65b2caede,
    0x6ee8ad93fd560785,
    0x0000d9e11053edd8,
    0x9e063bb2d21cdbd7,
    0x07ab77f12a01d2b2,
    0xec550255e6641b44,
    0x78fb94a8449c14c6,
    0xc7510e1bc6c0f5f5,
    0x0000320b36e4cae3,
    0x827c33262c8b1a2d,
    0x14675f0b48ea4144,
    0x267bd3a6498deceb,
    0xf1916ff982f5035e,
    0x86221b7ff434fb88,
    0x9dbecee7386f49d8,
    0xea58f8cac80f8f4a,
    0x008d198692fc64d8,
    0x6d38704fbabf9a36,
    0xe032cb07d1e7be4c,
    0x228d21f6ad450890,
    0x635cb1bfc02589a5,
    0x4620a1739ca2ce71,
    0xa7e7dfe3aae5fb58,
    0x0c10ca932b3c0deb,
    0x2727fee884afed7b,
    0xa2df1c6df9e2ab1f,
    0x4dcdd1ac0774f523,
    0x000070ffad33e24e,
    0xa2ace87bc5977816,
    0x9892275ab4286049,
    0xc2861181ddf18959,
    0xbb9972a042483e19,
    0xef70cd3766513078,
    0x00000513abfc9864,
    0xc058b61858c94083,
    0x09e850859725e0de,
    0x9197fb3bf83e7d94,
    0x7e1e626d12b64bce,
    0x520c54507f7b57d1,
    0xbee1797174e22416,
    0x6fd9ac3222e95587,
    0x0023957c9adfbf3e,
    0xa01c7d7e234bbe15,
    0xaba2c758b8a38cbb,
    0x0d1fa0ceec3e2b30,
    0x0bb6a58b7e60b991,
    0x4333dd5b9fa26635,
    0xc2fd3b7d4001c1a3,
    0xfb41802454731127,
    0x65a56185a50d18cb,
    0xf67a02bd8784b54f,
    0x696f11dd67e65063,
    0x00002022fca814ab,
    0x8cd6be912db9d852,
    0x695189b6e9ae8a57,
    0xee9453b50ada0c28,
    0xd8fc5ea91a78845e,
    0xab86bf191a4aa767,
    0x0000c6b5c86415e5,
    0x267310178e08a22e,
    0xed2d101b078bca25,
    0x3b41ed84b226a8fb,
    0x13e622120f28dc06,
    0xa315f5ebfb706d26,
    0x8816c34e3301bace,
    0xe9395b9cbb71fdae,
    0x002ce9202e721648,
    0x4283db1d2bb3c91c,
    0xd77d461ad2b1a6a5,
    0xe2ec17e46eeb866b,
    0xb8e0be4039fbc47c,
    0xdea160c4d5299d04,
    0x7eec86c8d28c3634,
    0x2119ad129f98a399,
    0xa6ccf46b61a283ef,
    0x2c52cedef658c617,
    0x2db4871169acdd83,
    0x0000f0d6f39ecbe9,
    0x3dd5d8c98d2f9489,
    0x8a1872a22b01f584,
    0xf282a4c40e7b3cf2,
    0x8020ec2ccb1ba196,
    0x6693b6e09e59e313,
    0x0000ce19cc7c83eb,
    0x20cb5735f6479c3b,
    0x762ebf3759d75a5b,
    0x207bfe823d693975,
    0xd77dc112339cd9d5,
    0x9ba7834284627d03,
    0x217dc513e95f51e9,
    0xb27b1a29fc5e7816,
    0x00d5cd9831bb662d,
    0x71e39b806d75734c,
    0x7e572af006fb1a23,
    0xa2734f2f6ae91f85,
    0xbf82c6b5022cddf2,
    0x5c3beac60761a0de,
    0xcdc893bb47416998,
    0x6d1085615c187e01,
    0x77f8ae30ac277c5d,
    0x917c6b81122a2c91,
    0x5b75b699add16967,
    0x0000cf6ae79a069b,
    0xf3c40afa60de1104,
    0x2063127aa59167c3,
    0x621de62269d1894d,
    0xd188ac1de62b4726,
    0x107036e2154b673c,
    0x0000b85f28553a1d,
    0xf2ef4e4c18236f3d,
    0xd9d6de6611b9f602,
    0xa1fc7955fb47911c,
    0xeb85fd032f298dbd,
    0xbe27502fb3befae1,
    0xe3034251c4cd661e,
    0x441364d354071836,
    0x0082b36c75f2983e,
    0xb145910316fa66f0,
    0x021c069c9847caf7,
    0x2910dfc75a4b5221,
    0x735b353e1c57a8b5,
    0xce44312ce98ed96c,
    0xbc942e4506bdfa65,
    0xf05086a71257941b,
    0xfec3b215d351cead,
    0x00ae1055e0144202,
    0xf54b40846f42e454,
    0x00007fd9c8bcbcc8,
    0xbfbd9ef317de9bfe,
    0xa804302ff2854e12,
    0x39ce4957a5e5d8d4,
    0xffb9e2a45637ba84,
    0x55b9ad1d9ea0818b,
    0x00008acbf319178a,
    0x48e2bfc8d0fbfb38,
    0x8be39841e848b5e8,
    0x0e2712160696a08b,
    0xd51096e84b44242a,
    0x1101ba176792e13a,
    0xc22e770f4531689d,
    0x1689eff272bbc56c,
    0x00a92a197f5650ec,
    0xbc765990bda1784e,
    0xc61441e392fcb8ae,
    0x07e13a2ced31e4a0,
    0x92cbe984234e9d4d,
    0x8f4ff572bb7d8ac5,
    0x0b9670c00b963bd0,
    0x62955a581a03eb01,
    0x645f83e5ea000254,
    0x41fce516cd88f299,
    0xbbda9748da7a98cf,
    0x0000aab2fe4845fa,
    0x19761b069bf56555,
    0x8b8f5e8343b6ad56,
    0x3e5d1cfd144821d9,
    0xec5c1e2ca2b0cd8f,
    0xfaf7e0fea7fbb57f,
    0x000000d3ba12961b,
    0xda3f90178401b18e,
    0x70ff906de33a5feb,
    0x0527d5a7c06970e7,
    0x22d8e773607c13e9,
    0xc9ab70df643c3bac,
    0xeda4c6dc8abe12e3,
    0xecef1f410033e78a,
    0x0024c2b274ac72cb,
    0x06740d954fa900b4,
    0x1d7a299b323d6304,
    0xb3c37cb298cbead5,
    0xc986e3c76178739b,
    0x9fabea364b46f58a,
    0x6da214c5af85cc56,
    0x17a43ed8b7a38f84,
    0x6eccec511d9adbeb,
    0xf9cab30913335afb,
    0x4a5e60c5f415eed2,
    0x00006967503672b4,
    0x9da51d121454bb87,
    0x84321e13b9bbc816,
    0xfb3d6fb6ab2fdd8d,
    0x60305eed8e160a8d,
    0xcbbf4b14e9946ce8,
    0x00004f63381b10c3,
    0x07d5b7816fcc4e10,
    0xe5a536726a6a8155,
    0x57afb23447a07fdd,
    0x18f346f7abc9d394,
    0x636dc655d61ad33d,
    0xcc8bab4939f7f3f6,
    0x63c7a906c1dd187b,
};

/* The hash has 64 bits and moves on by one a byte, so it is the same whether
 * it begins here or before. */
enum { CHUNK_SKIP = CHUNK_MIN - 64 - 1 };

static size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Takes n bytes into the hash. */
static uint64_t
warm(uint64_t h, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h << 1) + gear[p[i]];
	return h;
}

/* The bytes up to the first with which a chunk may end; false if there is none
 * among n, and all are taken. */
static bool
scan(uint64_t *hash, const unsigned char *p, size_t n, size_t *taken)
{
	const uint64_t low = (uint64_t)1 << 48;
	uint64_t h = *hash;

	for (size_t i = 0; i < n; i++) {
		h = (h << 1) + gear[p[i]];
		if (h < low) {
			*taken = i + 1;
			return true;
		}
	}
	*hash = h;
	*taken = n;
	return false;
}

size_t
chunker_take(struct chunker *c, const unsigned char *p, size_t n, bool *ends)
{
	size_t at = 0, k;

	*ends = false;
	if (c->length < CHUNK_SKIP) {
		at = smaller(CHUNK_SKIP - c->length, n);
		c->length += at;
	}
	/* A zero here ends nothing: the chunk would be too small. */
	if (c->length >= CHUNK_SKIP && c->length < CHUNK_MIN - 1) {
		k = smaller(CHUNK_MIN - 1 - c->length, n - at);
		c->hash = warm(c->hash, p + at, k);
		c->length += k;
		at += k;
	}
	if (at == n)
		return n;
	k = smaller(CHUNK_MAX - c->length, n - at);
	*ends = scan(&c->hash, p + at, k, &k);
	c->length += k;
	if (c->length == CHUNK_MAX)
		*ends = true;
	if (*ends)
		*c = (struct chunker){0};
	return at + k;
}

void
cutter_init(struct cutter *c)
{
	c->chunker = (struct chunker){0};
	c->open = 0;
	blake3_init(&c->hash, NULL);
	hashtree_init(&c->tree);
}

size_t
cutter_take(struct cutter *c, const unsigned char *p, size_t n, bool last,
    struct xethash *chunk, size_t *size)
{
	bool ends;
	size_t some = chunker_take(&c->chunker, p, n, &ends);

	if (!c->open)
		xethash_begin(&c->hash, XET_CHUNK);
	blake3_update(&c->hash, p, some);
	c->open += some;
	*size = 0;
	if (ends || (last && some == n)) {
		xethash_end(&c->hash, chunk);
		hashtree_add(&c->tree, chunk, c->open);
		*size = c->open;
		c->open = 0;
	}
	return some;
}

/* --- Xorbs. --- */

int
entry_parse(
    const unsigned char head[ENTRY_HEADER], struct entry *out, struct err *e)
{
	uint32_t packed = (uint32_t)bytes_get_le(head + 1, 3);
	uint32_t size = (uint32_t)bytes_get_le(head + 5, 3);

	if (head[0] != 0)
		return err_set(e, ERR_CONTENT,
		    "a chunk's header is of version %u, not 0", head[0]);
	if (head[4] > ENTRY_BG4)
		return err_set(e, ERR_CONTENT,
		    "a chunk is packed in an unknown way (%u)", head[4]);
	if (size == 0 || size > CHUNK_MAX)
		return err_set(e, ERR_CONTENT,
		    "a chunk of %" PRIu32 " bytes, not 1 to %d", size,
		    CHUNK_MAX);
	if (packed == 0 || packed > ENTRY_PACKED_MAX ||
	    (head[4] == ENTRY_STORED && packed != size))
		return err_set(e, ERR_CONTENT,
		    "a chunk of %" PRIu32 " bytes that takes %" PRIu32
		    " of its xorb",
		    size, packed);
	*out = (struct entry){(enum entry_scheme)head[4], packed, size};
	return 0;
}

void
entry_put(const struct entry *entry, unsigned char head[ENTRY_HEADER])
{
	head[0] = 0;
	bytes_put_le(head + 1, entry->packed, 3);
	head[4] = (unsigned char)entry->scheme;
	bytes_put_le(head + 5, entry->size, 3);
}

void
unpacker_init(struct unpacker *u)
{
	*u = (struct unpacker){.chunk = xmalloc(CHUNK_MAX)};
	u->groups = xmalloc(CHUNK_MAX);
}

void
unpacker_release(struct unpacker *u)
{
	free(u->chunk);
	free(u->groups);
	*u = (struct unpacker){0};
}

void
unpacker_restart(struct unpacker *u)
{
	u->filled = u->got = 0;
}

bool
unpacker_is_between(const struct unpacker *u)
{
	return u->filled == 0;
}

/* The header is whole. */
static int
begin_entry(struct unpacker *u, struct err *e)
{
	bool groups;

	if (entry_parse(u->head, &u->entry, e) < 0)
		return -1;
	groups = u->entry.scheme == ENTRY_BG4;
	lz4_init(&u->lz4, groups ? u->groups : u->chunk, u->entry.size);
	u->got = 0;
	return 0;
}

/* Takes n bytes of the entry, at most those that it lacks. A stored chunk that
 * is whole in p is not copied. */
static int
take_packed(struct unpacker *u, const unsigned char *p, size_t n,
    struct str *chunk, struct err *e)
{
	const struct entry *entry = &u->entry;
	size_t used = n;

	*chunk = str_make((const char *)u->chunk, entry->size);
	if (entry->scheme != ENTRY_STORED) {
		if (lz4_read(&u->lz4, p, n, &used, e) < 0)
			return -1;
		if (used < n)
			return err_set(e, ERR_CONTENT,
			    "a packed chunk ends %zu bytes before its entry",
			    entry->packed - u->got - used);
	} else if (n == entry->size) {
		*chunk = str_make((const char *)p, n);
	} else if (n > 0) {
		memcpy(u->chunk + u->got, p, n);
	}
	u->got += n;
	if (u->got < entry->packed) {
		*chunk = str_make("", 0);
		return 0;
	}
	if (entry->scheme != ENTRY_STORED && !lz4_done(&u->lz4))
		return err_set(
		    e, ERR_CONTENT, "a packed chunk goes on after its entry");
	if (entry->scheme == ENTRY_BG4)
		bg4_join(u->groups, entry->size, u->chunk);
	u->filled = 0;
	return 0;
}

int
unpacker_take(struct unpacker *u, const unsigned char *p, size_t n,
    size_t *used, struct str *chunk, struct err *e)
{
	size_t k = smaller(ENTRY_HEADER - u->filled, n), more;

	*chunk = str_make("", 0);
	*used = k;
	if (k > 0) {
		memcpy(u->head + u->filled, p, k);
		u->filled += k;
		if (u->filled == ENTRY_HEADER && begin_entry(u, e) < 0)
			return -1;
	}
	if (k == n)
		return 0;
	more = smaller(u->entry.packed - u->got, n - k);
	*used += more;
	return take_packed(u, p + k, more, chunk, e);
}

size_t
entry_pack(struct packer *k, enum entry_scheme wanted, const unsigned char *p,
    size_t n, unsigned char *out)
{
	struct entry entry = {.size = (uint32_t)n};
	const unsigned char *from = p;
	size_t packed = 0;

	if (wanted == ENTRY_BG4) {
		bg4_split(p, n, k->groups);
		from = k->groups;
	}
	if (wanted != ENTRY_STORED && n > 0)
		packed =
		    lz4_write(from, n, out + ENTRY_HEADER, n - 1, k->table);
	entry.scheme = packed ? wanted : ENTRY_STORED;
	if (!packed) {
		memcpy(out + ENTRY_HEADER, p, n);
		packed = n;
	}
	entry.packed = (uint32_t)packed;
	entry_put(&entry, out);
	return ENTRY_HEADER + packed;
}

/* --- Shards. --- */

static const unsigned char shard_magic[32] = {'H', 'F', 'R', 'e', 'p', 'o', 'M',
    'e', 't', 'a', 'D', 'a', 't', 'a', 0, 0x55, 0x69, 0x67, 0x45, 0x6a, 0x7b,
    0x81, 0x57, 0x83, 0xa5, 0xbd, 0xd9, 0x5c, 0xcd, 0xd1, 0x4a, 0xa9};

enum {
	SHARD_HEADER = 48,
	SHARD_VERSION = 2,
	FOOTER = 200,
	FOOTER_VERSION = 1,
};

/* Where in the footer. */
enum {
	FOOTER_KEY = 72,
	FOOTER_CREATED = 104,
	FOOTER_EXPIRES = 112,
	FOOTER_AT = 192, /* itself */
};

/* The numbers of a record in the order in which they stand behind the hash;
 * NULL: zero. */
static void
numbers(struct shard_record *r, uint32_t *out[4])
{
	out[0] = out[1] = out[2] = out[3] = NULL;
	switch (r->kind) {
	case SHARD_FILE:
		out[0] = &r->flags;
		out[1] = &r->count;
		break;
	case SHARD_TERM:
		out[0] = &r->flags;
		out[1] = &r->size;
		out[2] = &r->first;
		out[3] = &r->end;
		break;
	case SHARD_XORB:
		out[0] = &r->flags;
		out[1] = &r->count;
		out[2] = &r->size;
		out[3] = &r->packed;
		break;
	case SHARD_CHUNK:
		out[0] = &r->at;
		out[1] = &r->size;
		out[2] = &r->flags;
		break;
	case SHARD_RANGE:
	case SHARD_SHA256:
		break;
	}
}

void
shard_begin(struct buf *b)
{
	unsigned char header[SHARD_HEADER] = {0};

	memcpy(header, shard_magic, sizeof(shard_magic));
	header[32] = SHARD_VERSION;
	buf_add(b, header, sizeof(header));
}

void
shard_put(struct buf *b, const struct shard_record *r)
{
	unsigned char text[SHARD_RECORD] = {0};
	struct shard_record copy = *r;
	uint32_t *number[4];

	memcpy(text, r->hash.b, sizeof(r->hash.b));
	numbers(&copy, number);
	for (size_t i = 0; i < 4; i++)
		if (number[i])
			bytes_put_le(text + 32 + 4 * i, *number[i], 4);
	buf_add(b, text, sizeof(text));
}

void
shard_end(struct buf *b)
{
	unsigned char text[SHARD_RECORD] = {0};

	memset(text, 0xff, BLAKE3_SIZE);
	buf_add(b, text, sizeof(text));
}

static bool
is_end(const struct xethash *h)
{
	struct xethash end;

	memset(end.b, 0xff, sizeof(end.b));
	return xethash_same(h, &end);
}

struct shard_iter
shard_iter(const struct shard *s)
{
	return (struct shard_iter){.rest = s->records};
}

/* What the next record is, which the ones before it say. */
static enum shard_kind
next_kind(const struct shard_iter *it)
{
	if (it->terms)
		return SHARD_TERM;
	if (it->ranges)
		return SHARD_RANGE;
	if (it->sha256s)
		return SHARD_SHA256;
	if (it->chunks)
		return SHARD_CHUNK;
	return it->ends == 0 ? SHARD_FILE : SHARD_XORB;
}

static void
count(struct shard_iter *it, const struct shard_record *r)
{
	switch (r->kind) {
	case SHARD_FILE:
		it->terms = r->count;
		it->ranges = r->flags & SHARD_HAS_RANGES ? r->count : 0;
		it->sha256s = r->flags & SHARD_HAS_SHA256 ? 1 : 0;
		break;
	case SHARD_TERM:
		it->terms--;
		break;
	case SHARD_RANGE:
		it->ranges--;
		break;
	case SHARD_SHA256:
		it->sha256s--;
		break;
	case SHARD_XORB:
		it->chunks = r->count;
		break;
	case SHARD_CHUNK:
		it->chunks--;
		break;
	}
}

bool
shard_next(struct shard_iter *it, struct shard_record *out)
{
	while (it->ends < 2 && it->rest.n >= SHARD_RECORD) {
		const unsigned char *p = (const void *)it->rest.s;
		uint32_t *number[4];

		*out = (struct shard_record){.kind = next_kind(it)};
		memcpy(out->hash.b, p, sizeof(out->hash.b));
		it->rest = str_make(
		    it->rest.s + SHARD_RECORD, it->rest.n - SHARD_RECORD);
		if ((out->kind == SHARD_FILE || out->kind == SHARD_XORB) &&
		    is_end(&out->hash)) {
			it->ends++;
			continue;
		}
		numbers(out, number);
		for (size_t i = 0; i < 4; i++)
			if (number[i])
				*number[i] =
				    (uint32_t)bytes_get_le(p + 32 + 4 * i, 4);
		count(it, out);
		return true;
	}
	return false;
}

/* Whether n chunks can be of size bytes together. */
static bool
can_be(uint64_t n, uint64_t size)
{
	return size >= n && size <= n * CHUNK_MAX;
}

/* What a record says by itself, and the open xorb: where its next chunk begins,
 * and what its size is. */
static int
check_record(const struct shard_record *r, uint32_t chunks, uint32_t *at,
    uint32_t *size, struct err *e)
{
	const uint32_t known = SHARD_HAS_RANGES | SHARD_HAS_SHA256;

	if (r->kind == SHARD_FILE && r->flags & ~known)
		return err_set(e, ERR_CONTENT,
		    "a shard has a file with unknown records (%08" PRIx32 ")",
		    r->flags);
	if (r->kind == SHARD_TERM &&
	    (r->first >= r->end || !can_be(r->end - r->first, r->size)))
		return err_set(e, ERR_CONTENT,
		    "a shard has chunks %" PRIu32 " to %" PRIu32
		    " of a xorb as %" PRIu32 " bytes",
		    r->first, r->end, r->size);
	if (r->kind == SHARD_XORB) {
		*at = 0;
		*size = r->size;
	}
	if (r->kind == SHARD_CHUNK) {
		if (r->at != *at || !can_be(1, r->size) ||
		    r->size > *size - *at)
			return err_set(e, ERR_CONTENT,
			    "a shard has a chunk of %" PRIu32
			    " bytes at %" PRIu32 " of a xorb of %" PRIu32,
			    r->size, r->at, *size);
		*at += r->size;
	}
	if ((r->kind == SHARD_XORB || r->kind == SHARD_CHUNK) && !chunks &&
	    *at != *size)
		return err_set(e, ERR_CONTENT,
		    "a shard has a xorb of %" PRIu32 " bytes with chunks of "
		    "%" PRIu32,
		    *size, *at);
	return 0;
}

/* The records up to the second end; *length is theirs. */
static int
check_records(struct str records, size_t *length, struct err *e)
{
	struct shard_iter it = {.rest = records};
	struct shard_record r;
	uint32_t at = 0, size = 0;

	while (shard_next(&it, &r))
		if (check_record(&r, it.chunks, &at, &size, e) < 0)
			return -1;
	if (it.ends < 2)
		return err_set(e, ERR_CONTENT,
		    "a shard ends in the middle of its records");
	*length = records.n - it.rest.n;
	return 0;
}

static int
parse_footer(struct str text, struct shard *out, struct err *e)
{
	const unsigned char *p = (const void *)(text.s + text.n - FOOTER);

	if (bytes_get_le(p, 8) != FOOTER_VERSION)
		return err_set(e, ERR_CONTENT,
		    "a shard's footer is of version %" PRIu64 ", not %d",
		    bytes_get_le(p, 8), FOOTER_VERSION);
	if (bytes_get_le(p + FOOTER_AT, 8) != text.n - FOOTER)
		return err_set(
		    e, ERR_CONTENT, "a shard's footer is in a wrong place");
	out->has_footer = true;
	memcpy(out->key.b, p + FOOTER_KEY, sizeof(out->key.b));
	out->created = bytes_get_le(p + FOOTER_CREATED, 8);
	out->expires = bytes_get_le(p + FOOTER_EXPIRES, 8);
	return 0;
}

int
shard_parse(struct str text, struct shard *out, struct err *e)
{
	const unsigned char *p = (const void *)text.s;
	uint64_t version, footer;
	size_t n = 0;

	*out = (struct shard){.records = {"", 0}};
	if (text.n < SHARD_HEADER ||
	    memcmp(p, shard_magic, sizeof(shard_magic)) != 0)
		return err_set(e, ERR_CONTENT, "no shard");
	version = bytes_get_le(p + 32, 8);
	footer = bytes_get_le(p + 40, 8);
	if (version != SHARD_VERSION)
		return err_set(e, ERR_CONTENT,
		    "a shard is of version %" PRIu64 ", not %d", version,
		    SHARD_VERSION);
	if ((footer != 0 && footer != FOOTER) || footer > text.n - SHARD_HEADER)
		return err_set(e, ERR_CONTENT,
		    "a shard of %zu bytes with a footer of %" PRIu64, text.n,
		    footer);
	out->records = str_make(
	    text.s + SHARD_HEADER, text.n - SHARD_HEADER - (size_t)footer);
	if (check_records(out->records, &n, e) < 0)
		return -1;
	/* Tables may stand before a footer, to find records in a large shard. */
	if (!footer && n < out->records.n)
		return err_set(e, ERR_CONTENT,
		    "a shard has %zu bytes behind its records",
		    out->records.n - n);
	out->records.n = n;
	return footer ? parse_footer(text, out, e) : 0;
}

/* --- Reconstructions. --- */

static int
no_recon(const char *what, struct err *e)
{
	return err_set(
	    e, ERR_CONTENT, "the storage's description of a file has %s", what);
}

/* A hash needs no escapes. */
static int
get_hash(const struct json *v, struct xethash *out)
{
	struct str text = v->text;

	if (v->type != JSON_STRING || text.n != XETHASH_TEXT + 2)
		return -1;
	return xethash_parse(str_make(text.s + 1, XETHASH_TEXT), out);
}

/* The member {"start": n, "end": n}. */
static int
get_span(const struct json *v, const char *name, uint64_t *start, uint64_t *end)
{
	struct json span;

	return json_get(v, name, &span) &&
		       json_get_uint(&span, "start", UINT32_MAX, start) == 0 &&
		       json_get_uint(&span, "end", UINT32_MAX, end) == 0
		   ? 0
		   : -1;
}

/* Makes room for one more of n elements, which are doubled. */
static void *
one_more(void *p, size_t n, size_t size)
{
	return n & (n - 1) ? p : xreallocarray(p, n ? 2 * n : 1, size);
}

/* One range: chunks under one name, bytes under the other. An entry has a
 * header and at least one byte. */
static int
add_range(struct recon *r, const struct json *v, const char *chunks,
    const char *bytes, const struct recon_range *about, struct err *e)
{
	struct recon_range range = *about;
	uint64_t first, end, from, last, n, length;

	if (get_span(v, chunks, &first, &end) < 0 || first >= end ||
	    get_span(v, bytes, &from, &last) < 0 || from > last)
		return no_recon("a range that is none", e);
	/* Twice what a xorb may have: limits may grow. */
	if (end > 2 * XORB_CHUNKS_MAX || last >= 2 * (uint64_t)XORB_MAX)
		return no_recon("a range beyond the end of any xorb", e);
	n = end - first;
	length = last - from + 1;
	if (length < n * (ENTRY_HEADER + 1) ||
	    length > n * (ENTRY_HEADER + ENTRY_PACKED_MAX))
		return no_recon("chunks that cannot be in their range", e);
	range.first = (uint32_t)first;
	range.end = (uint32_t)end;
	range.at = from;
	range.length = length;
	r->range = one_more(r->range, r->ranges, sizeof(r->range[0]));
	r->range[r->ranges++] = range;
	return 0;
}

/* An address and the ranges that may be fetched there. */
static int
add_address(struct recon *r, const struct json *v, bool v2,
    struct recon_range *about, struct err *e)
{
	char *url = answer_url(v, "url");
	struct json ranges, item;
	struct json_iter it;

	if (!url)
		return no_recon("no good address of a xorb", e);
	r->url = one_more(r->url, r->urls, sizeof(r->url[0]));
	r->url[r->urls++] = url;
	about->url = url;
	if (!v2)
		return add_range(r, v, "range", "url_range", about, e);
	if (!json_get(v, "ranges", &ranges) || ranges.type != JSON_ARRAY)
		return no_recon("no ranges of a xorb", e);
	it = json_iter(&ranges);
	while (json_next(&it, NULL, &item))
		if (add_range(r, &item, "chunks", "bytes", about, e) < 0)
			return -1;
	return 0;
}

static int
add_xorbs(struct recon *r, const struct json *xorbs, bool v2, struct err *e)
{
	struct json_iter it = json_iter(xorbs);
	struct json key, list, item;

	while (json_next(&it, &key, &list)) {
		struct json_iter each = json_iter(&list);
		struct recon_range about = {.url = NULL};

		if (get_hash(&key, &about.xorb) < 0 || list.type != JSON_ARRAY)
			return no_recon("a xorb that is none", e);
		while (json_next(&each, NULL, &item))
			if (add_address(r, &item, v2, &about, e) < 0)
				return -1;
	}
	return 0;
}

/* By xorb and first chunk. */
static int
by_place(const void *a, const void *b)
{
	const struct recon_range *x = a, *y = b;
	int order = memcmp(x->xorb.b, y->xorb.b, sizeof(x->xorb.b));

	return order ? order : (x->first > y->first) - (x->first < y->first);
}

/* Of each range in that order: the one of its xorb that ends last among those
 * that do not begin later. Some range has all of a term exactly if this one of
 * the last range that does not begin later than the term has. */
static size_t *
widest_ranges(const struct recon *r)
{
	size_t *widest = xcalloc(r->ranges + 1, sizeof(widest[0]));

	for (size_t i = 1; i < r->ranges; i++) {
		const struct recon_range *last = &r->range[widest[i - 1]];
		const struct recon_range *this = &r->range[i];

		widest[i] = xethash_same(&last->xorb, &this->xorb) &&
				    last->end >= this->end
				? widest[i - 1]
				: i;
	}
	return widest;
}

/* The range that has the chunks of wanted; r->ranges: none. */
static size_t
find_range(const struct recon *r, const size_t *widest,
    const struct recon_range *wanted)
{
	size_t low = 0, high = r->ranges, found;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (by_place(&r->range[middle], wanted) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return r->ranges;
	found = widest[low - 1];
	return xethash_same(&r->range[found].xorb, &wanted->xorb) &&
		       r->range[found].end >= wanted->end
		   ? found
		   : r->ranges;
}

static int
add_term(
    struct recon *r, const struct json *v, const size_t *widest, struct err *e)
{
	struct recon_range wanted = {.url = NULL};
	struct json hash;
	uint64_t first, end, size;
	size_t at;

	if (!json_get(v, "hash", &hash) || get_hash(&hash, &wanted.xorb) < 0 ||
	    json_get_uint(v, "unpacked_length", UINT32_MAX, &size) < 0 ||
	    get_span(v, "range", &first, &end) < 0 || first >= end)
		return no_recon("a term that is none", e);
	if (!can_be(end - first, size))
		return no_recon("chunks that cannot be as long as it says", e);
	wanted.first = (uint32_t)first;
	wanted.end = (uint32_t)end;
	at = find_range(r, widest, &wanted);
	if (at == r->ranges)
		return no_recon("chunks that are in none of its ranges", e);
	r->term = one_more(r->term, r->terms, sizeof(r->term[0]));
	r->term[r->terms++] = (struct recon_term){.range = at,
	    .first = wanted.first - r->range[at].first,
	    .count = wanted.end - wanted.first,
	    .size = size};
	r->size += size;
	return 0;
}

/* Puts the ranges in the order in which the terms need them first. */
static void
order_ranges(struct recon *r)
{
	size_t *place = xcalloc(r->ranges + 1, sizeof(place[0])), n = 0;
	struct recon_range *range = xcalloc(r->ranges + 1, sizeof(r->range[0]));

	/* Their new numbers plus one. */
	for (size_t i = 0; i < r->terms; i++) {
		size_t *number = &place[r->term[i].range];

		if (!*number) {
			range[n] = r->range[r->term[i].range];
			*number = ++n;
		}
		r->term[i].range = *number - 1;
	}
	free(place);
	free(r->range);
	r->range = range;
	r->ranges = n;
}

static int
add_terms(struct recon *r, const struct json *terms, struct err *e)
{
	struct json_iter it = json_iter(terms);
	size_t *widest;
	struct json item;
	int result = 0;

	if (r->ranges > 1)
		qsort(r->range, r->ranges, sizeof(r->range[0]), by_place);
	widest = widest_ranges(r);
	while (result == 0 && json_next(&it, NULL, &item))
		result = add_term(r, &item, widest, e);
	free(widest);
	if (result == 0)
		order_ranges(r);
	return result;
}

static int
parse_recon(struct str text, struct recon *r, struct err *e)
{
	struct json all, terms, xorbs;
	uint64_t length = 0;
	bool v2;

	if (json_parse(text, &all, e) < 0) {
		e->kind = ERR_NET;
		return err_in(e, "the storage's description of a file");
	}
	v2 = json_get(&all, "xorbs", &xorbs);
	if ((!v2 && !json_get(&all, "fetch_info", &xorbs)) ||
	    xorbs.type != JSON_OBJECT || !json_get(&all, "terms", &terms) ||
	    terms.type != JSON_ARRAY ||
	    json_get_uint(
		&all, "offset_into_first_range", UINT32_MAX, &r->skip) < 0)
		return no_recon("no terms or no xorbs", e);
	if (add_xorbs(r, &xorbs, v2, e) < 0 || add_terms(r, &terms, e) < 0)
		return -1;
	if (r->terms ? r->skip >= r->term[0].size : r->skip > 0)
		return no_recon("an offset behind its first term", e);
	for (size_t i = 0; i < r->ranges; i++)
		length += r->range[i].length;
	if (length > 2 * r->size + RECON_SPARE)
		return no_recon("ranges much longer than its terms", e);
	r->size -= r->skip;
	return 0;
}

int
recon_parse(struct str text, struct recon *out, struct err *e)
{
	*out = (struct recon){0};
	if (parse_recon(text, out, e) == 0)
		return 0;
	recon_release(out);
	return -1;
}

void
recon_release(struct recon *r)
{
	for (size_t i = 0; i < r->urls; i++)
		free(r->url[i]);
	free(r->url);
	free(r->term);
	free(r->range);
	*r = (struct recon){0};
}
