/*
 * State files that another left behind, to one who wants the lease. The bits of
 * the first byte, from the lowest: locks are not to be trusted; the file is
 * old; a claim lies beside it; the head gets the sum that is right; the claim
 * is old; what follows is the file itself. Else it is laid over a good one.
 */

#include "../../state.c"

#include <sys/stat.h>

#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"

#define STEM "a/x"

static const struct owner self = {
    .boot = "0123456789abcde", .pids = 5, .pid = 7};

static void
put(const struct folder *f, const char *name, struct str text, bool old)
{
	static const struct timespec past[2] = {{1000, 0}, {1000, 0}};
	struct err e;
	int fd = folder_create(f, name, 0600, &e);

	MUST(fd >= 0);
	MUST(file_pwrite(fd, text.s, text.n, 0, name, &e) == 0);
	if (old)
		MUST(futimens(fd, past) == 0);
	close(fd);
}

static struct lease
lease_of(const struct folder *f, bool network)
{
	struct maker m;
	struct lease l;
	struct err e;

	MUST(maker_find(&m, f, &e) == 0);
	lease_init(&l, f, STEM, network, &self, &m);
	l.beat = l.stale = 1;
	return l;
}

static bool
is_there(const struct folder *f, const char *name)
{
	struct stat st;
	struct err e;

	return folder_stat(f, name, &st, &e) == 0;
}

/* A good state file in the owner's name. */
static struct buf
state_of(const struct owner *o)
{
	struct state s = {.size = 9 * STATE_BLOCK, .owner = *o};
	struct buf b = buf_make(1 << 20);
	size_t n = state_length(s.size);
	char *p = buf_room(&b, n);

	memset(p, 9, n);
	state_format_head(&s, (unsigned char *)p);
	buf_added(&b, n);
	return b;
}

/* Who has it has the text as it was, but for the owner. */
static void
check_held(struct lease *l, struct str text)
{
	struct buf got = buf_make(1 << 20);
	unsigned char *p = NULL;
	struct owner o;
	struct err e;

	MUST(l->fd >= 0);
	MUST(folder_read(l->f, STEM ".state", &got, &e) == 0);
	MUST(got.len == text.n);
	if (l->network && text.n >= STATE_HEAD)
		p = (unsigned char *)got.s;
	if (p && state_owner(p, &o) == 0) {
		MUST(o.nonce == l->self.nonce);
		MUST(state_owner((const unsigned char *)text.s, &o) == 0);
		state_sign(p, &o);
		MUST(lease_check(l, &e) == 0);
	}
	MUST(!got.len || memcmp(got.s, text.s, text.n) == 0);
	buf_release(&got);
}

static void
take(struct fuzz_folder *at, bool network, struct str text, bool claimed)
{
	struct lease l = lease_of(&at->f, network);
	struct err e = {.kind = ERR_NONE};
	int rv = lease_take(&l, &e);

	if (rv < 0)
		fuzz_failed(&e);
	/* A lock goes with its holder, so nobody has it. A claim is in the way
	 * of the first who comes. */
	MUST(rv == 0 || (rv == 1 && network));
	if (rv == 0)
		check_held(&l, text);
	else
		MUST(l.fd < 0);
	MUST(is_there(&at->f, STEM ".state"));
	MUST(claimed || !is_there(&at->f, STEM ".claim"));
	lease_release(&l);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	unsigned how = n ? p[0] : 0;
	struct str text = fuzz_str(p + (n > 0), n - (n > 0));
	struct fuzz_folder at = fuzz_folder_make();
	struct owner other = self;
	struct buf b;

	other.nonce = 3;
	b = state_of(&other);
	if (how & 32) {
		buf_clear(&b);
		buf_str_add(&b, text);
	} else {
		for (size_t i = 0; i < text.n && i < b.len; i++)
			b.s[i] = (char)(b.s[i] ^ text.s[i]);
	}
	if (how & 8 && b.len >= STATE_HEAD) {
		uint32_t crc = crc32_of(b.s, STATE_HEAD - 4);

		for (size_t i = 0; i < 4; i++)
			b.s[STATE_HEAD - 4 + i] = (char)(crc >> 8 * i);
	}
	put(&at.f, STEM ".state", buf_str(&b), how & 2);
	if (how & 4)
		put(&at.f, STEM ".claim", str_of("x"), how & 16);
	take(&at, how & 1, buf_str(&b), how & 4);
	fuzz_folder_release(&at);
	buf_release(&b);
	return 0;
}
