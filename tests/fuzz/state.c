/*
 * Heads of state files. The bits of the first byte, from the lowest: the sum is
 * put right, which no fuzzer guesses; git; what follows is the head itself.
 * Else it is laid over a good one. The second byte gives the size of the
 * content.
 */

#include "../../state.c"

#include "tests/fuzz/fuzz.h"

static void
check_good(const struct state *s, const unsigned char head[STATE_HEAD],
    const struct digest *want, uint64_t size)
{
	unsigned char again[STATE_HEAD];
	struct owner o;

	MUST(s->size == size && digest_same(&s->want, want));
	MUST(state_owner(head, &o) == 0);
	MUST(o.nonce == s->owner.nonce && o.pid == s->owner.pid);
	state_format_head(s, again);
	MUST(memcmp(head, again, STATE_HEAD) == 0);
}

/* Signing changes the owner and nothing else. */
static void
check_sign(unsigned char *head, const struct digest *want, uint64_t size)
{
	struct state s = {.want = *want, .size = size};
	bool good = state_parse_head(&s, head) == 0;
	struct owner o, old;

	if (state_owner(head, &old) < 0) {
		MUST(!good);
		return;
	}
	state_sign(head, &(struct owner){.nonce = 1, .pid = 2});
	MUST(state_owner(head, &o) == 0 && o.nonce == 1 && o.pid == 2);
	MUST((state_parse_head(&s, head) == 0) == good);
	state_sign(head, &old);
	MUST((state_parse_head(&s, head) == 0) == good);
	MUST(!good || s.owner.nonce == old.nonce);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	unsigned how = n ? p[0] : 0;
	uint64_t size = n < 2 ? 0 : p[1] * (uint64_t)(STATE_BLOCK / 3);
	struct digest want = {.kind = how & 2 ? HASH_GIT : HASH_SHA256};
	unsigned char *head = xcalloc(1, STATE_HEAD);
	struct state s = {.size = size};

	memset(want.b, 7, digest_size(&want));
	s.want = want;
	if (!(how & 4))
		state_format_head(&s, head);
	for (size_t i = 2; i < n && i - 2 < STATE_HEAD; i++)
		head[i - 2] ^= p[i];
	if (how & 1) {
		uint32_t crc = crc32_of(head, STATE_HEAD - 4);

		for (size_t i = 0; i < 4; i++)
			head[STATE_HEAD - 4 + i] =
			    (unsigned char)(crc >> 8 * i);
	}
	if (state_parse_head(&s, head) == 0)
		check_good(&s, head, &want, size);
	check_sign(head, &want, size);
	free(head);
	return 0;
}
