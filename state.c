#include "state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "mem.h"

/* Offsets in the head; what is not named is zero. */
enum {
	HEAD_MAGIC = 0,
	HEAD_KIND = 8, /* 1 SHA-256, 2 git */
	HEAD_BLOCK = 12,
	HEAD_SIZE = 16,
	HEAD_DIGEST = 24,
	HEAD_BOOT = 56,
	HEAD_NONCE = 72,
	HEAD_PIDS = 80,
	HEAD_PID = 88,
	HEAD_CRC = STATE_HEAD - 4,
};

enum {
	SLOT_HASH = 0,
	SLOT_BITS = HASH_SAVED, /* CRC of the synced bits; zero if live */
	SLOT_CRC = STATE_SLOT - 4,

	SYNCED_SLOT = STATE_HEAD,
	BITS = STATE_LIVE_SLOT + STATE_SLOT,
};

/* The last digit is the version of the format. */
static const char magic[8] = "hubpart1";

static void
seal(unsigned char *p, size_t at)
{
	bytes_put_le(p + at, crc32_of(p, at), 4);
}

static bool
sealed(const unsigned char *p, size_t at)
{
	return bytes_get_le(p + at, 4) == crc32_of(p, at);
}

static size_t
blocks_of(uint64_t size)
{
	assert(size <= STATE_SIZE_MAX);
	return (size_t)(size / STATE_BLOCK + (size % STATE_BLOCK != 0));
}

static size_t
bytes_of(size_t blocks)
{
	return blocks / 8 + (blocks % 8 != 0);
}

size_t
state_length(uint64_t size)
{
	return BITS + 2 * bytes_of(blocks_of(size));
}

size_t
state_live_at(const struct state *s, size_t block)
{
	return BITS + bytes_of(s->blocks) + block / 8;
}

void
state_init(struct state *s, const struct digest *want, uint64_t size)
{
	*s = (struct state){
	    .want = *want, .size = size, .blocks = blocks_of(size)};
	s->synced.bits = xcalloc(bytes_of(s->blocks), 1);
	s->live.bits = xcalloc(bytes_of(s->blocks), 1);
	/* What has but one block is hashed by others: not to ask the CPU. */
	hash_restart(&s->synced.hash, want->kind, size);
	s->live.hash = s->synced.hash;
}

void
state_release(struct state *s)
{
	free(s->synced.bits);
	free(s->live.bits);
	*s = (struct state){0};
}

void
state_forget(struct state *s)
{
	struct digest want = s->want;
	uint64_t size = s->size;

	state_release(s);
	state_init(s, &want, size);
}

static void
put_owner(unsigned char *p, const struct owner *o)
{
	bytes_put_le(p + HEAD_NONCE, o->nonce, 8);
	bytes_put_le(p + HEAD_PIDS, o->pids, 8);
	bytes_put_le(p + HEAD_PID, o->pid, 4);
}

void
state_format_head(const struct state *s, unsigned char out[STATE_HEAD])
{
	memset(out, 0, STATE_HEAD);
	memcpy(out + HEAD_MAGIC, magic, sizeof(magic));
	out[HEAD_KIND] = s->want.kind == HASH_SHA256 ? 1 : 2;
	bytes_put_le(out + HEAD_BLOCK, STATE_BLOCK, 4);
	bytes_put_le(out + HEAD_SIZE, s->size, 8);
	memcpy(out + HEAD_DIGEST, s->want.b, digest_size(&s->want));
	memcpy(out + HEAD_BOOT, s->owner.boot, sizeof(s->owner.boot));
	put_owner(out, &s->owner);
	seal(out, HEAD_CRC);
}

static void
format_slot(const struct hash *h, uint32_t bits, unsigned char *out)
{
	memset(out, 0, STATE_SLOT);
	hash_save(h, out + SLOT_HASH);
	bytes_put_le(out + SLOT_BITS, bits, 4);
	seal(out, SLOT_CRC);
}

void
state_format_slot(const struct hash *h, unsigned char out[STATE_SLOT])
{
	format_slot(h, 0, out);
}

void
state_format(const struct state *s, unsigned char *out)
{
	size_t n = bytes_of(s->blocks);

	state_format_head(s, out);
	format_slot(
	    &s->synced.hash, crc32_of(s->synced.bits, n), out + SYNCED_SLOT);
	state_format_slot(&s->live.hash, out + STATE_LIVE_SLOT);
	memcpy(out + BITS, s->synced.bits, n);
	memcpy(out + BITS + n, s->live.bits, n);
}

static void
get_owner(const unsigned char *p, struct owner *o)
{
	memcpy(o->boot, p + HEAD_BOOT, sizeof(o->boot));
	o->nonce = bytes_get_le(p + HEAD_NONCE, 8);
	o->pids = bytes_get_le(p + HEAD_PIDS, 8);
	o->pid = (uint32_t)bytes_get_le(p + HEAD_PID, 4);
}

int
state_owner(const unsigned char head[STATE_HEAD], struct owner *out)
{
	if (memcmp(head + HEAD_MAGIC, magic, sizeof(magic)) != 0 ||
	    !sealed(head, HEAD_CRC))
		return -1;
	get_owner(head, out);
	return 0;
}

void
state_sign(unsigned char head[STATE_HEAD], const struct owner *o)
{
	struct owner old;

	if (state_owner(head, &old) < 0)
		return;
	put_owner(head, o);
	seal(head, HEAD_CRC);
}

/* The head must be, bit for bit, what we would write for that owner. */
static int
parse_head(struct state *s, const unsigned char *p)
{
	unsigned char again[STATE_HEAD];

	get_owner(p, &s->owner);
	state_format_head(s, again);
	return memcmp(p, again, STATE_HEAD) == 0 ? 0 : -1;
}

/* The unused bits of the last byte are zero. */
static bool
tidy(const struct state *s, const unsigned char *bits)
{
	return s->blocks % 8 == 0 ||
	       bits[s->blocks / 8] >> (s->blocks % 8) == 0;
}

static int
parse_synced(
    struct state *s, const unsigned char *slot, const unsigned char *bits)
{
	size_t n = bytes_of(s->blocks);

	if (!sealed(slot, SLOT_CRC) || !tidy(s, bits) ||
	    bytes_get_le(slot + SLOT_BITS, 4) != crc32_of(bits, n) ||
	    hash_load(&s->synced.hash, slot + SLOT_HASH) < 0)
		return -1;
	memcpy(s->synced.bits, bits, n);
	if (s->synced.hash.kind != s->want.kind ||
	    !view_covers(s, &s->synced, hash_length(&s->synced.hash)))
		return -1;
	return 0;
}

/* Takes the live bits if they have all that the synced ones have, and the live
 * hash if it is whole, further, and covers no more than they do. */
static void
parse_live(
    struct state *s, const unsigned char *slot, const unsigned char *bits)
{
	size_t n = bytes_of(s->blocks);
	struct hash h;

	state_drop_live(s);
	if (!tidy(s, bits))
		return;
	for (size_t i = 0; i < n; i++)
		if (s->synced.bits[i] & ~bits[i])
			return;
	memcpy(s->live.bits, bits, n);
	if (!sealed(slot, SLOT_CRC) || hash_load(&h, slot + SLOT_HASH) < 0 ||
	    h.kind != s->want.kind)
		return;
	if (hash_length(&h) > hash_length(&s->live.hash) &&
	    view_covers(s, &s->live, hash_length(&h)))
		s->live.hash = h;
}

int
state_parse(struct state *s, const unsigned char *p, size_t n)
{
	size_t bytes = bytes_of(s->blocks);

	if (n != state_length(s->size) || parse_head(s, p) < 0 ||
	    parse_synced(s, p + SYNCED_SLOT, p + BITS) < 0) {
		state_forget(s);
		return -1;
	}
	parse_live(s, p + STATE_LIVE_SLOT, p + BITS + bytes);
	return 0;
}

void
view_copy(const struct state *s, struct view *to, const struct view *from)
{
	memcpy(to->bits, from->bits, bytes_of(s->blocks));
	to->hash = from->hash;
}

void
state_drop_live(struct state *s)
{
	view_copy(s, &s->live, &s->synced);
}

bool
view_has(const struct view *v, size_t block)
{
	return v->bits[block / 8] >> (block % 8) & 1;
}

bool
view_set(struct view *v, size_t block)
{
	if (view_has(v, block))
		return false;
	v->bits[block / 8] |= (unsigned char)(1u << (block % 8));
	return true;
}

size_t
view_find(const struct state *s, const struct view *v, size_t from, bool here)
{
	unsigned char dull = here ? 0 : 0xff;
	size_t i = from;

	while (i < s->blocks) {
		if (i % 8 == 0 && v->bits[i / 8] == dull)
			i += 8;
		else if (view_has(v, i) == here)
			return i;
		else
			i++;
	}
	return s->blocks;
}

bool
view_covers(const struct state *s, const struct view *v, uint64_t offset)
{
	if (offset > s->size)
		return false;
	return view_find(s, v, 0, false) >= blocks_of(offset);
}

uint64_t
view_bytes(const struct state *s, const struct view *v)
{
	uint64_t n = 0;

	for (size_t i = view_find(s, v, 0, true); i < s->blocks;) {
		size_t end = view_find(s, v, i, false);

		n += (uint64_t)(end - i) * STATE_BLOCK;
		if (end == s->blocks && s->size % STATE_BLOCK)
			n -= STATE_BLOCK - s->size % STATE_BLOCK;
		i = view_find(s, v, end, true);
	}
	return n;
}
