/*
 * State files. The first bytes say what content is expected and where sums are
 * put right, which no fuzzer guesses; the rest is laid over a good file.
 */

#include "state.h"
#include "tests/fuzz.h"

static void
put_sum(unsigned char *p, size_t at)
{
	uint32_t crc = crc32_of(p, at);

	for (size_t i = 0; i < 4; i++)
		p[at + i] = (unsigned char)(crc >> 8 * i);
}

/* How state.h lays it out: sums are the last four bytes of head and slots, and
 * before that of the synced slot is the one of its bits. */
static void
seal(unsigned char *p, size_t bits, unsigned which)
{
	unsigned char *synced = p + STATE_HEAD, *live = p + STATE_LIVE_SLOT;
	uint32_t crc = crc32_of(live + STATE_SLOT, bits);

	if (which & 1)
		put_sum(p, STATE_HEAD - 4);
	for (size_t i = 0; (which & 2) && i < 4; i++)
		synced[HASH_SAVED + i] = (unsigned char)(crc >> 8 * i);
	if (which & 2)
		put_sum(synced, STATE_SLOT - 4);
	if (which & 4)
		put_sum(live, STATE_SLOT - 4);
}

static void
check_view(const struct state *s, const struct view *v)
{
	MUST(view_bytes(s, v) <= s->size);
	MUST(v->hash.kind == s->want.kind);
	MUST(hash_length(&v->hash) <= s->size);
	MUST(view_covers(s, v, hash_length(&v->hash)));
	MUST(view_find(s, v, 0, true) <= s->blocks);
}

static void
check_state(const struct state *s, const struct digest *want, uint64_t size)
{
	MUST(s->size == size && digest_same(&s->want, want));
	check_view(s, &s->synced);
	check_view(s, &s->live);
	for (size_t i = 0; i < s->blocks; i++)
		MUST(!view_has(&s->synced, i) || view_has(&s->live, i));
}

static void
check_again(const struct state *s, size_t length)
{
	unsigned char *a = xcalloc(1, length), *b = xcalloc(1, length);
	struct state again;

	state_format(s, a);
	state_init(&again, &s->want, s->size);
	MUST(state_parse(&again, a, length) == 0);
	state_format(&again, b);
	MUST(memcmp(a, b, length) == 0);
	state_release(&again);
	free(a);
	free(b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct digest want = {.kind = n && p[0] & 8 ? HASH_GIT : HASH_SHA256};
	uint64_t size = n < 2 ? 0 : p[1] * (uint64_t)(STATE_BLOCK / 3);
	size_t length = state_length(size);
	unsigned char *file = xcalloc(1, length);
	struct owner owner;
	struct state s;

	memset(want.b, 7, digest_size(&want));
	state_init(&s, &want, size);
	state_format(&s, file);
	for (size_t i = 2; i < n; i++)
		if (i - 2 < length)
			file[i - 2] ^= p[i];
	if (n)
		seal(file, (s.blocks + 7) / 8, p[0]);
	if (state_parse(&s, file, length) == 0)
		check_again(&s, length);
	else
		MUST(view_bytes(&s, &s.live) == 0);
	check_state(&s, &want, size);
	MUST(state_parse(&s, file, length - 1) < 0);
	if (state_owner(file, &owner) == 0) {
		state_sign(file, &(struct owner){.nonce = 1, .pid = 2});
		MUST(state_owner(file, &owner) == 0);
		MUST(owner.nonce == 1 && owner.pid == 2);
	}
	state_release(&s);
	free(file);
	return 0;
}
