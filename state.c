#include "state.h"

#include <assert.h>
#include <string.h>

#include "bytes.h"

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

/* The last digit is the version of the format. */
static const char magic[8] = "hubpart2";

static void
seal(unsigned char *p)
{
	bytes_put_le(p + HEAD_CRC, crc32_of(p, HEAD_CRC), 4);
}

size_t
state_blocks(uint64_t size)
{
	assert(size <= STATE_SIZE_MAX);
	return (size_t)(size / STATE_BLOCK + (size % STATE_BLOCK != 0));
}

uint64_t
state_at(size_t block)
{
	return STATE_HEAD + 4 * (uint64_t)block;
}

size_t
state_length(uint64_t size)
{
	return (size_t)state_at(state_blocks(size));
}

static void
put_owner(unsigned char *p, const struct owner *o)
{
	memcpy(p + HEAD_BOOT, o->boot, sizeof(o->boot));
	bytes_put_le(p + HEAD_NONCE, o->nonce, 8);
	bytes_put_le(p + HEAD_PIDS, o->pids, 8);
	bytes_put_le(p + HEAD_PID, o->pid, 4);
}

static void
get_owner(const unsigned char *p, struct owner *o)
{
	memcpy(o->boot, p + HEAD_BOOT, sizeof(o->boot));
	o->nonce = bytes_get_le(p + HEAD_NONCE, 8);
	o->pids = bytes_get_le(p + HEAD_PIDS, 8);
	o->pid = (uint32_t)bytes_get_le(p + HEAD_PID, 4);
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
	put_owner(out, &s->owner);
	seal(out);
}

/* The head must be, bit for bit, what we would write for that owner. */
int
state_parse_head(struct state *s, const unsigned char head[STATE_HEAD])
{
	unsigned char again[STATE_HEAD];

	get_owner(head, &s->owner);
	state_format_head(s, again);
	return memcmp(head, again, STATE_HEAD) == 0 ? 0 : -1;
}

int
state_owner(const unsigned char head[STATE_HEAD], struct owner *out)
{
	if (memcmp(head + HEAD_MAGIC, magic, sizeof(magic)) != 0 ||
	    bytes_get_le(head + HEAD_CRC, 4) != crc32_of(head, HEAD_CRC))
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
	seal(head);
}

size_t
blocks_bytes(size_t n)
{
	return n / 8 + 1;
}

bool
blocks_has(const struct blocks *b, size_t block)
{
	return b->bits[block / 8] >> (block % 8) & 1;
}

bool
blocks_add(struct blocks *b, size_t block)
{
	bool had = blocks_has(b, block);

	b->bits[block / 8] |= (unsigned char)(1u << (block % 8));
	return !had;
}

bool
blocks_drop(struct blocks *b, size_t block)
{
	bool had = blocks_has(b, block);

	b->bits[block / 8] &= (unsigned char)~(1u << (block % 8));
	return had;
}

void
blocks_clear(struct blocks *b)
{
	memset(b->bits, 0, blocks_bytes(b->n));
}

void
blocks_join(struct blocks *to, const struct blocks *from)
{
	for (size_t i = 0; i < blocks_bytes(to->n); i++)
		to->bits[i] |= from->bits[i];
}

size_t
blocks_find(const struct blocks *b, size_t from, bool in)
{
	unsigned char skip = in ? 0 : 0xff;
	size_t i = from;

	while (i < b->n) {
		if (i % 8 == 0 && b->bits[i / 8] == skip)
			i += 8;
		else if (blocks_has(b, i) == in)
			return i;
		else
			i++;
	}
	return b->n;
}
