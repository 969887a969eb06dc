/*
 * Work whose instructions tests/bench/insn counts:
 *
 *	bench_insn chacha|aes|sha256|portable N
 *
 * Of RECORDS records, which are always encrypted, the first N are decrypted, or
 * so many bytes are hashed, by what hub would take on this CPU or by what every
 * CPU can do. So two runs differ by just what is to be counted.
 */

#include <bearssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cipher_cpu.h"
#include "err.h"
#include "hash.h"
#include "hash_cpu.h"
#include "str.h"

/* The longest that TLS has; a header and a nonce before, a tag after. */
enum { RECORDS = 256, RECORD = 16384, BEFORE = 5 + 8, AFTER = 16, DATA = 23 };

static const unsigned char key[32] = {1, 2, 3}, iv[12] = {4, 5, 6};

/* Both directions of one session. The first member of the unions is what
 * BearSSL calls through. */
struct ends {
	union {
		const br_sslrec_out_class *vtable;
		br_sslrec_chapol_context chapol;
		br_sslrec_gcm_context gcm;
	} out;
	union {
		const br_sslrec_in_class *vtable;
		br_sslrec_chapol_context chapol;
		br_sslrec_gcm_context gcm;
	} in;
};

static void
ends_chacha(struct ends *x, br_ssl_engine_context *eng)
{
	br_sslrec_out_chapol_vtable.init(
	    &x->out.chapol.vtable.out, eng->ichacha, eng->ipoly, key, iv);
	br_sslrec_in_chapol_vtable.init(
	    &x->in.chapol.vtable.in, eng->ichacha, eng->ipoly, key, iv);
}

static void
ends_aes(struct ends *x, br_ssl_engine_context *eng)
{
	br_sslrec_out_gcm_vtable.init(
	    &x->out.gcm.vtable.out, eng->iaes_ctr, key, 16, eng->ighash, iv);
	br_sslrec_in_gcm_vtable.init(
	    &x->in.gcm.vtable.in, eng->iaes_ctr, key, 16, eng->ighash, iv);
}

/* Without its header, as the two functions of BearSSL want it. */
static int
one_record(struct ends *x, unsigned char *room, bool decrypt)
{
	size_t n = RECORD;
	unsigned char *p = x->out.vtable->encrypt(
	    &x->out.vtable, DATA, BR_TLS12, room + BEFORE, &n);

	if (!decrypt)
		return 0;
	n -= 5;
	p = x->in.vtable->decrypt(&x->in.vtable, DATA, BR_TLS12, p + 5, &n);
	return p && n == RECORD ? 0 : -1;
}

static int
records(bool aes, unsigned count)
{
	br_ssl_client_context *c = xmalloc(sizeof(*c));
	unsigned char *room = xmalloc(BEFORE + RECORD + AFTER);
	struct ends x;
	int r = 0;

	br_ssl_client_zero(c);
	cipher_choose(&c->eng);
	(aes ? ends_aes : ends_chacha)(&x, &c->eng);
	memset(room, 0, BEFORE + RECORD + AFTER);
	for (unsigned i = 0; i < RECORDS && r == 0; i++)
		r = one_record(&x, room, i < count);
	free(room);
	free(c);
	return r;
}

static int
hashes(bool portable, unsigned count)
{
	const struct hash_impl *all[HASH_IMPLS_MAX];
	size_t n = hash_impls(all);
	unsigned char *p = xmalloc(RECORD);
	struct digest d;
	struct hash h;

	memset(p, 0, RECORD);
	hash_init(&h, HASH_SHA256, 0);
	if (portable)
		h.impl = all[n - 1];
	for (unsigned i = 0; i < count; i++)
		hash_update(&h, p, RECORD);
	hash_final(&h, &d);
	free(p);
	return 0;
}

int
main(int argc, char *argv[])
{
	static const struct {
		const char *name;
		int (*run)(bool, unsigned);
		bool how;
	} works[] = {{"chacha", records, false}, {"aes", records, true},
	    {"sha256", hashes, false}, {"portable", hashes, true}};
	uint64_t n;

	if (argc != 3 || str_num(str_of(argv[2]), 10, RECORDS, &n) < 0)
		return ERR_USAGE;
	for (size_t i = 0; i < countof(works); i++)
		if (strcmp(argv[1], works[i].name) == 0)
			return works[i].run(works[i].how, (unsigned)n) < 0;
	return ERR_USAGE;
}
