#include "xetup.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunk.h"
#include "client.h"
#include "err.h"
#include "file.h"
#include "http.h"
#include "journal.h"
#include "json.h"
#include "repo.h"
#include "str.h"
#include "wait.h"
#include "xet.h"

/* --- What the storage has. --- */

/* Chunks of the index, in buckets: 3 MiB, for about 8 GiB of files. The oldest
 * of a bucket is forgotten. */
#define BUCKET 8
#define BUCKETS ((size_t)1 << 14)

/* Bytes of a chunk's name that the index has. */
#define NAME_SIZE 16

/* Keys of answers that are kept at a time, the newest; in practice there is
 * one. */
#define KEYS 4

/* In the index the names of xorbs are under this key, each as its first chunk. */
#define XORBS KEYS

/* Xorbs that are not sent by this run; from then on nothing is learned. 5 MiB. */
#define TOLD_MAX ((uint32_t)1 << 17)

/* The longest answer about a chunk: the chunks of 5.7 GB. */
#define ANSWER_MAX ((size_t)4 << 20)

/* Chunks of a file from one question to the next: 4 MiB, as the documentation
 * of the storage wants it. */
#define SPACING 64

/* The storage is not asked for chunks any more after this many unanswered
 * questions in a row. */
#define SILENT_MAX 3

enum named_state { NAMED_OPEN, NAMED_STORED, NAMED_LOST };

/* A xorb that some term may name. */
struct named {
	struct xethash hash; /* once it is complete */
	enum named_state state;
	bool told; /* not sent by this run, but said to be stored */
};

/* A chunk that is in a xorb. */
struct known {
	unsigned char name[NAME_SIZE]; /* under the key */
	uint32_t number;               /* of the xorb, from 1 on; 0: none */
	uint16_t chunk;
	uint8_t key;
};

struct key {
	struct xethash key;
	uint64_t expires; /* Unix seconds */
};

struct xetup {
	const struct repo *repo;
	struct xet *xet;
	bool packs;              /* xorbs may be packed */
	pthread_mutex_t reading; /* held while an answer is in memory */
	pthread_mutex_t lock;    /* guards what follows; held briefly */
	struct named *named;     /* [number]; 0 is not used */
	uint32_t names, told;
	struct known *known;  /* BUCKETS of BUCKET, each with the newest first;
			      * NULL: none is known */
	struct key key[KEYS]; /* the first one is zero: no key */
	unsigned keys;
	unsigned next_key; /* the one to be replaced next, from 0 on */
	unsigned silent;   /* questions in a row without an answer */
	bool doubted;      /* an answer may have been wrong: no other counts */
	bool v1;           /* it has only version 1 of /shards */
	unsigned files;    /* that are open */
	uint64_t there;    /* see xetup_there() */
};

struct xetup *
xetup_open(const struct repo *repo, const char *revision, bool packs,
    struct progress *notes)
{
	struct xetup *x = xcalloc(1, sizeof(*x));

	x->repo = repo;
	x->packs = packs;
	x->xet = xet_open_to_write(repo, revision, notes);
	x->key[0].expires = UINT64_MAX;
	x->keys = 1;
	x->names = 1;
	x->named = xcalloc(1, sizeof(x->named[0]));
	pthread_mutex_init(&x->reading, NULL);
	pthread_mutex_init(&x->lock, NULL);
	return x;
}

void
xetup_close(struct xetup *x)
{
	if (!x)
		return;
	pthread_mutex_destroy(&x->lock);
	pthread_mutex_destroy(&x->reading);
	xet_close(x->xet);
	free(x->known);
	free(x->named);
	free(x);
}

bool
xetup_is_on(const struct xetup *x)
{
	return xet_is_on(x->xet);
}

void
xetup_give_up(struct xetup *x, const char *name, const struct err *why)
{
	xet_give_up(x->xet, name, why);
}

uint64_t
xetup_there(struct xetup *x)
{
	uint64_t there;

	pthread_mutex_lock(&x->lock);
	there = x->there;
	pthread_mutex_unlock(&x->lock);
	return there;
}

/* Under the lock: the number of another xorb. */
static uint32_t
add_name(struct xetup *x, const struct named *named)
{
	if (!(x->names & (x->names - 1)))
		x->named = xreallocarray(
		    x->named, 2 * (size_t)x->names, sizeof(x->named[0]));
	x->named[x->names] = *named;
	return x->names++;
}

static void
set_state(struct xetup *x, uint32_t number, enum named_state state)
{
	pthread_mutex_lock(&x->lock);
	x->named[number].state = state;
	pthread_mutex_unlock(&x->lock);
}

static struct known *
bucket_of(const struct xetup *x, const struct xethash *name)
{
	size_t i = (size_t)bytes_get_le(name->b, 4) % BUCKETS;

	return &x->known[i * BUCKET];
}

static bool
is_named(const struct known *k, const struct xethash *name, unsigned key)
{
	return k->number && k->key == key &&
	       memcmp(k->name, name->b, NAME_SIZE) == 0;
}

/* Under the lock: what has that name under that key; NULL: it is not known. */
static const struct known *
look(const struct xetup *x, const struct xethash *name, unsigned key)
{
	const struct known *k = x->known ? bucket_of(x, name) : NULL;

	for (size_t i = 0; k && i < BUCKET; i++)
		if (is_named(&k[i], name, key))
			return &k[i];
	return NULL;
}

/* Under the lock: adds a chunk, with its name under that key; in the place of
 * what has that name. The index, 3 MiB, is made with the first one: an upload by
 * Git LFS needs none. */
static void
learn(struct xetup *x, const struct xethash *name, unsigned key,
    uint32_t number, size_t chunk)
{
	struct known *k;
	size_t last = 0;

	if (!x->known)
		x->known = xcalloc(BUCKETS * BUCKET, sizeof(x->known[0]));
	k = bucket_of(x, name);
	while (last < BUCKET - 1 && !is_named(&k[last], name, key))
		last++;
	memmove(k + 1, k, last * sizeof(*k));
	*k = (struct known){
	    .number = number, .chunk = (uint16_t)chunk, .key = (uint8_t)key};
	memcpy(k->name, name->b, NAME_SIZE);
}

/* Under the lock: where the chunk is; NULL: it is not known. */
static const struct known *
find(const struct xetup *x, const struct xethash *chunk)
{
	uint64_t now = client_time(x->repo->client);

	for (unsigned key = 0; key < x->keys; key++) {
		struct xethash name;
		const struct known *k;

		if (now >= x->key[key].expires)
			continue;
		xethash_keyed(chunk, &x->key[key].key, &name);
		k = look(x, &name, key);
		if (k && x->named[k->number].state != NAMED_LOST)
			return k;
	}
	return NULL;
}

/* Under the lock: the number of the key of an answer; KEYS: it is of no use. */
static unsigned
key_of(struct xetup *x, const struct shard *s)
{
	uint64_t expires = s->expires ? s->expires : UINT64_MAX;
	unsigned number;

	if (client_time(x->repo->client) >= expires)
		return KEYS;
	for (unsigned key = 0; key < x->keys; key++)
		if (xethash_same(&x->key[key].key, &s->key)) {
			if (key)
				x->key[key].expires = expires;
			return key;
		}
	/* What the index has under a key that is replaced is found no more. */
	number = x->keys < KEYS ? x->keys++ : 1 + x->next_key++ % (KEYS - 1);
	x->key[number] = (struct key){s->key, expires};
	return number;
}

/* Under the lock: the number of a xorb that the storage says to have; 0: it is
 * not to be used. */
static uint32_t
number_of(struct xetup *x, const struct shard_record *r)
{
	const struct named told = {r->hash, NAMED_STORED, true};
	const struct known *k = look(x, &r->hash, XORBS);
	uint32_t number;

	/* What the storage said before it was in doubt stays out. */
	if (k && (x->named[k->number].told ||
		     x->named[k->number].state != NAMED_LOST))
		return x->named[k->number].state == NAMED_STORED ? k->number
								 : 0;
	if (!r->count || r->count > XORB_CHUNKS_MAX || x->told == TOLD_MAX)
		return 0;
	x->told++;
	number = add_name(x, &told);
	learn(x, &r->hash, XORBS, number, 0);
	return number;
}

/* Takes what is said to be stored, by an answer or by the journal. Returns the
 * bytes in these xorbs. */
static uint64_t
learn_shard(struct xetup *x, const struct shard *s, bool answer)
{
	struct shard_iter it = shard_iter(s);
	struct shard_record r;
	uint64_t bytes = 0;
	uint32_t number = 0;
	size_t chunk = 0;
	unsigned key;

	pthread_mutex_lock(&x->lock);
	key = answer && x->doubted ? KEYS : key_of(x, s);
	while (key < KEYS && shard_next(&it, &r)) {
		if (r.kind == SHARD_XORB) {
			bytes += r.size;
			number = number_of(x, &r);
			chunk = 0;
		} else if (r.kind == SHARD_CHUNK && number) {
			learn(x, &r.hash, key, number, chunk++);
		}
	}
	pthread_mutex_unlock(&x->lock);
	return bytes;
}

/* What a shard without files has around its records. */
#define AROUND ((size_t)3 * SHARD_RECORD)

/* Takes the next piece of the journal, by way of b: *records are in there, and
 * *bytes is as learn_shard() gives it. False if there is none. */
static bool
remember(struct xetup *x, struct journal_pieces *from, struct buf *b,
    struct str *records, uint64_t *bytes)
{
	struct shard s;
	struct err ignored;
	size_t before;

	buf_clear(b);
	shard_begin(b);
	shard_end(b);
	before = b->len;
	if (!journal_next(from, b))
		return false;
	shard_end(b);
	*bytes = 0;
	if (!b->full && shard_parse(buf_str(b), &s, &ignored) == 0)
		*bytes = learn_shard(x, &s, false);
	*records = str_make(b->s + before, b->len - before - SHARD_RECORD);
	return true;
}

void
xetup_remember(struct xetup *x, struct journal_pieces *from)
{
	struct buf b = buf_make(JOURNAL_CHUNKS_MAX + AROUND);
	struct str records;
	uint64_t bytes;

	while (remember(x, from, &b, &records, &bytes))
		;
	buf_release(&b);
}

/* Takes an answer about a chunk. False if it makes no sense. */
static bool
take_answer(struct xetup *x, struct response *resp)
{
	struct buf text = buf_make(ANSWER_MAX);
	struct shard s;
	struct err e;
	bool is;

	pthread_mutex_lock(&x->reading);
	is = response_text(resp, &text, &e) == 0 &&
	     shard_parse(buf_str(&text), &s, &e) == 0;
	if (is)
		learn_shard(x, &s, true);
	buf_release(&text);
	pthread_mutex_unlock(&x->reading);
	return is;
}

/* Asks the storage for a chunk. Whatever goes wrong, it is not known then. */
static void
ask_chunk(struct xetup *x, const struct xethash *chunk)
{
	char name[XETHASH_TEXT + 1], path[128];
	struct request q = {.method = "GET"};
	struct response *resp;
	enum fetch_end end;
	bool answered = false;
	struct err e;

	xethash_text(chunk, name);
	snprintf(path, sizeof(path), "/v1/chunks/default/%s", name);
	resp = xet_call(x->xet, path, &q, &end, &e);
	if (resp && response_head(resp)->status == 404)
		answered = true;
	else if (resp && response_head(resp)->status == 200)
		answered = take_answer(x, resp);
	response_close(resp);
	pthread_mutex_lock(&x->lock);
	if (!answered)
		x->silent++;
	else if (!x->doubted)
		x->silent = 0;
	pthread_mutex_unlock(&x->lock);
}

/* --- What a file needs. --- */

#define READ_SIZE ((size_t)64 << 10)

/* xetup_plan() returns after this many bytes. */
#define PLAN_BYTES ((uint64_t)64 << 20)

/* Terms of a file that may name known chunks; if it has more, its other chunks
 * are sent. If it has that many again, they are sent unpacked, since packed xorbs
 * are small. 3 MiB of memory. */
#define TERMS_MAX 32768

/* Chunks of a file that are read before the first of them gets its place: what
 * the storage says when it is asked for the last one counts for all. */
#define AHEAD 256

/* One of this many chunks that are sent is packed to see whether that pays. */
#define SAMPLED 16

/* It does if 1 byte of this many is saved. */
#define PAYS 16

/* Bytes of a xorb that is packed, before that. */
#define PACKED_MAX (XETUP_PACKING - sizeof(struct packing))

/* Records of xorbs that are kept for the shards of all open files, in bytes:
 * those of 2.7 GB; and of each at least those of 8 xorbs, since as many
 * connections do not store them in order. */
#define RECORDS_MAX ((size_t)2 << 20)
#define RECORDS_LEAST ((size_t)8 * 1024 * SHARD_RECORD)

/* What an earlier run has sent is taken over up to this many bytes before it is
 * needed: xorbs are stored in about the order in which they are found, and the
 * index does not have room for all of a large file. */
#define EARLIER_AHEAD ((uint64_t)2 << 30)

/* A chunk of a xorb. */
struct piece {
	struct xethash hash;
	uint64_t at; /* in the file */
	uint32_t size;
};

/* Scratch memory to pack a xorb. */
struct packing {
	struct packer packer;
	unsigned char chunk[CHUNK_MAX];
	unsigned char xorb[];
};

/* Chunks of a xorb that stand in a row there and in the file. */
struct term {
	uint32_t number; /* of the xorb */
	uint32_t size, first, end;
	struct xethash proof;
};

struct xetup_file {
	struct xetup *x;
	uint64_t size;
	const struct digest *proof;
	bool trusts; /* under the lock of x: see xetup_trusts() */
	/* What the journal says; the bytes that are in the xorbs of which it was
	 * taken; and their records, which may be wrong. */
	struct journal_pieces earlier;
	uint64_t earlier_bytes;
	struct buf told;
	/* How far it was read. */
	struct cutter cutter;
	struct hash sha256;
	uint64_t at;
	uint64_t kept;             /* bytes that need not be sent */
	unsigned since;            /* chunks since the last question */
	struct piece ahead[AHEAD]; /* a ring: ahead_n from ahead_first on */
	unsigned ahead_first, ahead_n;
	enum entry_scheme scheme; /* of the chunks that are to be sent */
	unsigned until_sample;    /* chunks that are yet to be sent so */
	struct xorb *open;
	struct term *term;
	size_t terms;
	struct blake3 range; /* the proof of the last term */
	bool planned;
	struct buf records; /* under the caller's lock: of stored xorbs */
};

static void
start(struct xetup_file *f)
{
	cutter_init(&f->cutter);
	hash_init(&f->sha256, HASH_SHA256, f->size);
	blake3_init(&f->range, NULL);
	f->at = f->kept = 0;
	f->since = SPACING;
	f->ahead_n = f->until_sample = 0;
	f->scheme = ENTRY_STORED;
	f->terms = 0;
	f->planned = false;
}

struct xetup_file *
xetup_begin(struct xetup *x, uint64_t size, const struct digest *proof,
    const struct journal_pieces *earlier)
{
	struct xetup_file *f = xcalloc(1, sizeof(*f));

	f->x = x;
	f->size = size;
	f->proof = proof;
	f->earlier = *earlier;
	f->told = buf_make(SHARD_MAX);
	f->records = buf_make(SHARD_MAX);
	start(f);
	pthread_mutex_lock(&x->lock);
	x->files++;
	pthread_mutex_unlock(&x->lock);
	return f;
}

bool
xetup_is_packed(const struct xorb *xorb)
{
	return xorb->scheme != ENTRY_STORED;
}

void
xetup_drop(struct xetup *x, struct xorb *xorb)
{
	set_state(x, xorb->number, NAMED_LOST);
	free(xorb->piece);
	free(xorb);
}

void
xetup_end(struct xetup_file *f)
{
	if (!f)
		return;
	if (f->open)
		xetup_drop(f->x, f->open);
	pthread_mutex_lock(&f->x->lock);
	f->x->files--;
	pthread_mutex_unlock(&f->x->lock);
	journal_pieces_close(&f->earlier);
	buf_release(&f->told);
	buf_release(&f->records);
	free(f->term);
	free(f);
}

void
xetup_again(struct xetup_file *f, bool doubt)
{
	struct xetup *x = f->x;

	if (f->open)
		xetup_drop(x, f->open);
	f->open = NULL;
	if (doubt) {
		pthread_mutex_lock(&x->lock);
		for (uint32_t i = 1; i < x->names; i++)
			if (x->named[i].told)
				x->named[i].state = NAMED_LOST;
		x->doubted = true;
		f->trusts = false;
		pthread_mutex_unlock(&x->lock);
		journal_pieces_close(&f->earlier);
		buf_clear(&f->told);
	}
	start(f);
}

bool
xetup_is_planned(const struct xetup_file *f)
{
	return f->planned;
}

bool
xetup_trusts(const struct xetup_file *f)
{
	bool trusts;

	pthread_mutex_lock(&f->x->lock);
	trusts = f->trusts;
	pthread_mutex_unlock(&f->x->lock);
	return trusts;
}

/* Adds elements one by one; the memory doubles. */
static void *
one_more(void *p, size_t n, size_t size)
{
	return n & (n - 1) ? p : xreallocarray(p, n ? 2 * n : 1, size);
}

/* The file has that chunk of a xorb next. */
static void
add_term(struct xetup_file *f, uint32_t number, size_t chunk,
    const struct xethash *hash, size_t size)
{
	struct term *last = f->terms ? &f->term[f->terms - 1] : NULL;

	if (last && last->number == number && last->end == chunk) {
		last->end++;
		last->size += (uint32_t)size;
	} else {
		if (last)
			xethash_end(&f->range, &last->proof);
		f->term = one_more(f->term, f->terms, sizeof(f->term[0]));
		f->term[f->terms++] = (struct term){.number = number,
		    .size = (uint32_t)size,
		    .first = (uint32_t)chunk,
		    .end = (uint32_t)chunk + 1};
		xethash_begin(&f->range, XET_RANGE);
	}
	blake3_update(&f->range, hash->b, sizeof(hash->b));
}

/* Looks for a chunk, and makes it part of a term. False if it is not known. */
static bool
use_known(struct xetup_file *f, const struct xethash *hash, size_t size)
{
	struct xetup *x = f->x;
	const struct known *k;
	struct known found;
	bool is;

	if (f->terms >= TERMS_MAX)
		return false;
	pthread_mutex_lock(&x->lock);
	k = find(x, hash);
	is = k != NULL;
	if (is) {
		found = *k;
		f->trusts = f->trusts || x->named[k->number].told;
	}
	pthread_mutex_unlock(&x->lock);
	if (is)
		add_term(f, found.number, found.chunk, hash, size);
	return is;
}

/* Whether the storage is to be asked for a chunk. */
static bool
is_worth_asking(struct xetup_file *f, const struct piece *chunk)
{
	struct xetup *x = f->x;
	bool is;

	if (f->since < SPACING || f->terms >= TERMS_MAX ||
	    (chunk->at && !xethash_is_global(&chunk->hash)))
		return false;
	pthread_mutex_lock(&x->lock);
	is = !x->doubted && x->silent < SILENT_MAX && !find(x, &chunk->hash);
	pthread_mutex_unlock(&x->lock);
	return is;
}

/* A chunk is the next one of the file; there is room for it. */
static void
put_ahead(struct xetup_file *f, const struct piece *chunk)
{
	if (is_worth_asking(f, chunk)) {
		f->since = 0;
		ask_chunk(f->x, &chunk->hash);
	}
	if (f->since < SPACING)
		f->since++;
	f->ahead[(f->ahead_first + f->ahead_n++) % AHEAD] = *chunk;
}

/* The open xorb is complete: it gets its name. */
static struct xorb *
close_xorb(struct xetup_file *f)
{
	struct xetup *x = f->x;
	struct hashtree *t = xmalloc(sizeof(*t));
	struct xorb *xorb = f->open;
	struct xethash hash;

	f->open = NULL;
	hashtree_init(t);
	for (size_t i = 0; i < xorb->pieces; i++)
		hashtree_add(t, &xorb->piece[i].hash, xorb->piece[i].size);
	hashtree_xorb(t, &hash);
	free(t);
	pthread_mutex_lock(&x->lock);
	x->named[xorb->number].hash = hash;
	learn(x, &hash, XORBS, xorb->number, 0);
	pthread_mutex_unlock(&x->lock);
	return xorb;
}

static uint64_t
length_of(const struct xorb *xorb)
{
	return xorb->size + xorb->pieces * ENTRY_HEADER;
}

/* Whether the open xorb may have a chunk of that size, too. */
static bool
fits(const struct xetup_file *f, size_t size)
{
	const struct xorb *xorb = f->open;
	uint64_t most = f->scheme == ENTRY_STORED ? XORB_MAX : PACKED_MAX;

	return xorb->scheme == f->scheme && xorb->pieces < XORB_CHUNKS_MAX &&
	       length_of(xorb) + ENTRY_HEADER + size <= most;
}

/* Puts a chunk into the open xorb. Returns the one that is complete, since it
 * has no room for the chunk; NULL: none. */
static struct xorb *
put_chunk(struct xetup_file *f, const struct piece *chunk)
{
	static const struct named open = {.state = NAMED_OPEN};
	struct xetup *x = f->x;
	struct xorb *full = NULL, *xorb;

	if (f->open && !fits(f, chunk->size))
		full = close_xorb(f);
	if (!f->open) {
		f->open = xcalloc(1, sizeof(*f->open));
		f->open->scheme = f->scheme;
	}
	xorb = f->open;
	pthread_mutex_lock(&x->lock);
	if (!xorb->number)
		xorb->number = add_name(x, &open);
	learn(x, &chunk->hash, 0, xorb->number, xorb->pieces);
	pthread_mutex_unlock(&x->lock);
	add_term(f, xorb->number, xorb->pieces, &chunk->hash, chunk->size);
	xorb->piece = one_more(xorb->piece, xorb->pieces, sizeof(*xorb->piece));
	xorb->piece[xorb->pieces++] = *chunk;
	xorb->size += chunk->size;
	return full;
}

/* What reads on in a file. */
struct plan {
	struct xetup_file *f;
	int fd;
	const char *name;
	struct xorb *xorb;       /* one that is complete */
	uint64_t kept;           /* as xetup_plan() gives it */
	struct packing *packing; /* NULL: no chunk was packed yet */
};

/* Packs a chunk as a sample, to decide how it and those after it are sent. */
static int
sample(struct plan *p, const struct piece *chunk, struct err *e)
{
	struct xetup_file *f = p->f;
	struct packing *k = p->packing;
	size_t lz4, bg4;

	if (!k)
		k = p->packing = xmalloc(sizeof(*k) + ENTRY_HEADER + CHUNK_MAX);
	if (file_pread(p->fd, k->chunk, chunk->size, chunk->at, p->name, e) < 0)
		return -1;
	lz4 = entry_pack(&k->packer, ENTRY_LZ4, k->chunk, chunk->size, k->xorb);
	bg4 = entry_pack(&k->packer, ENTRY_BG4, k->chunk, chunk->size, k->xorb);
	f->scheme = bg4 < lz4 ? ENTRY_BG4 : ENTRY_LZ4;
	if ((bg4 < lz4 ? bg4 : lz4) + chunk->size / PAYS >=
	    ENTRY_HEADER + chunk->size)
		f->scheme = ENTRY_STORED;
	f->until_sample = SAMPLED;
	return 0;
}

/* Gives the oldest chunk that was read its place. */
static int
place_chunk(struct plan *p, struct err *e)
{
	struct xetup_file *f = p->f;
	const struct piece *chunk = &f->ahead[f->ahead_first];

	if (use_known(f, &chunk->hash, chunk->size)) {
		p->kept += chunk->size;
	} else {
		if (f->terms >= 2 * TERMS_MAX)
			f->scheme = ENTRY_STORED;
		else if (f->x->packs && !f->until_sample &&
			 sample(p, chunk, e) < 0)
			return -1;
		if (f->until_sample)
			f->until_sample--;
		p->xorb = put_chunk(f, chunk);
	}
	f->ahead_first = (f->ahead_first + 1) % AHEAD;
	f->ahead_n--;
	return 0;
}

/* The file was read to its end, and all its chunks have their places. */
static int
end_plan(struct plan *p, struct err *e)
{
	struct xetup_file *f = p->f;
	struct digest found;

	if (f->open) {
		p->xorb = close_xorb(f);
		return 0;
	}
	if (f->proof) {
		hash_final(&f->sha256, &found);
		if (!digest_same(&found, f->proof))
			return err_set(e, ERR_CONTENT,
			    "it has changed since its hash was taken");
	}
	xethash_end(&f->range, &f->term[f->terms - 1].proof);
	f->planned = true;
	return 0;
}

/* Takes the chunks of n bytes; or less, if a xorb is complete before. last: the
 * file ends with them. */
static int
take_bytes(struct plan *p, const unsigned char *bytes, size_t n, bool last,
    struct err *e)
{
	struct xetup_file *f = p->f;
	struct piece chunk;
	int rv = 0;

	while (rv == 0 && n && !p->xorb) {
		size_t size, some;

		some =
		    cutter_take(&f->cutter, bytes, n, last, &chunk.hash, &size);
		if (f->proof)
			hash_update(&f->sha256, bytes, some);
		bytes += some;
		n -= some;
		f->at += some;
		if (!size)
			continue;
		chunk.at = f->at - size;
		chunk.size = (uint32_t)size;
		put_ahead(f, &chunk);
		if (f->ahead_n == AHEAD)
			rv = place_chunk(p, e);
	}
	return rv;
}

/* The records that a file may keep. */
static size_t
records_max(struct xetup *x)
{
	size_t most;

	pthread_mutex_lock(&x->lock);
	most = RECORDS_MAX / x->files;
	pthread_mutex_unlock(&x->lock);
	return most < RECORDS_LEAST ? RECORDS_LEAST : most;
}

/* Moves records that have become many to *full. */
static void
take_full(struct xetup *x, struct buf *records, struct buf *full)
{
	*full = buf_make(0);
	if (records->len > records_max(x)) {
		*full = *records;
		*records = buf_make(SHARD_MAX);
	}
}

/* Takes over what an earlier run has sent, as much as is needed soon. */
static void
take_earlier(struct xetup_file *f)
{
	struct buf b = buf_make(JOURNAL_XORB_MAX + AROUND);
	size_t most = records_max(f->x);
	struct str records;
	uint64_t bytes;

	while (f->earlier_bytes < f->at + EARLIER_AHEAD &&
	       f->told.len <= most &&
	       remember(f->x, &f->earlier, &b, &records, &bytes)) {
		if (bytes)
			buf_str_add(&f->told, records);
		f->earlier_bytes += bytes;
	}
	buf_release(&b);
	if (f->told.len) {
		pthread_mutex_lock(&f->x->lock);
		f->trusts = true;
		pthread_mutex_unlock(&f->x->lock);
	}
}

int
xetup_plan(struct xetup_file *f, int fd, const char *name, struct xorb **xorb,
    uint64_t *kept, struct buf *full, struct err *e)
{
	struct plan p = {.f = f, .fd = fd, .name = name};
	unsigned char *bytes = xmalloc(READ_SIZE);
	uint64_t stop = f->at + PLAN_BYTES;
	int rv = 0;

	take_earlier(f);
	while (rv == 0 && !p.xorb && f->at < f->size && f->at < stop) {
		uint64_t left = f->size - f->at;
		size_t n = left < READ_SIZE ? (size_t)left : READ_SIZE;

		rv = wait_check(e);
		if (rv == 0)
			rv = file_pread(fd, bytes, n, f->at, name, e);
		if (rv == 0)
			rv = take_bytes(&p, bytes, n, left == n, e);
	}
	while (rv == 0 && !p.xorb && f->at == f->size && f->ahead_n)
		rv = place_chunk(&p, e);
	if (rv == 0 && !p.xorb && f->at == f->size)
		rv = end_plan(&p, e);
	take_full(f->x, &f->told, full);
	*xorb = p.xorb;
	*kept = p.kept;
	f->kept += p.kept;
	free(p.packing);
	free(bytes);
	return rv;
}

/* --- Sending a xorb. --- */

/* A xorb on its way. */
struct sending {
	const struct xorb *xorb;
	struct xetup_source *source;
	uint64_t length;
	struct packing *packing; /* NULL: its bytes come from the file */
	size_t i;                /* the piece, */
	uint32_t in;             /* and how much of its entry was given */
	uint64_t told;           /* bytes of the file that sent() knows of */
	bool whole;
};

/* Gives the next bytes of an entry. */
static int
read_entry(
    struct sending *s, unsigned char *p, size_t cap, size_t *n, struct err *e)
{
	const struct piece *piece = &s->xorb->piece[s->i];
	const struct entry entry = {ENTRY_STORED, piece->size, piece->size};
	unsigned char head[ENTRY_HEADER];
	struct xetup_source *from = s->source;
	uint32_t left;

	if (s->in < ENTRY_HEADER) {
		entry_put(&entry, head);
		left = ENTRY_HEADER - s->in;
		*n = left < cap ? left : cap;
		memcpy(p, head + s->in, *n);
	} else {
		left = ENTRY_HEADER + piece->size - s->in;
		*n = left < cap ? left : cap;
		if (from->read(from->ctx, p, *n,
			piece->at + s->in - ENTRY_HEADER, e) < 0 ||
		    from->sent(from->ctx, *n, e) < 0)
			return -1;
	}
	s->in += (uint32_t)*n;
	if (s->in == ENTRY_HEADER + piece->size) {
		s->i++;
		s->in = 0;
	}
	return 0;
}

/* Gives the next bytes of a packed xorb. The display gets as much of the file
 * as the part of the xorb. */
static int
read_packed(struct sending *s, uint64_t offset, unsigned char *p, size_t cap,
    size_t *n, struct err *e)
{
	uint64_t left = s->length - offset, sent;

	*n = left < cap ? (size_t)left : cap;
	memcpy(p, s->packing->xorb + offset, *n);
	sent = s->xorb->size * (offset + *n) / s->length;
	if (s->source->sent(s->source->ctx, (size_t)(sent - s->told), e) < 0)
		return -1;
	s->told = sent;
	return 0;
}

static int
read_xorb(
    void *ctx, uint64_t offset, void *to, size_t cap, size_t *n, struct err *e)
{
	struct sending *s = ctx;
	size_t more;

	if (!offset) {
		s->i = s->in = 0;
		s->told = 0;
		s->source->begin(s->source->ctx);
	}
	*n = 0;
	if (s->packing && read_packed(s, offset, to, cap, n, e) < 0)
		return -1;
	for (; !s->packing && *n < cap && s->i < s->xorb->pieces; *n += more)
		if (read_entry(
			s, (unsigned char *)to + *n, cap - *n, &more, e) < 0)
			return -1;
	s->whole = offset + *n == s->length;
	return s->whole ? s->source->check(s->source->ctx, e) : 0;
}

/* Packs a xorb. Its bytes are the same each time. */
static int
pack_xorb(struct sending *s, struct err *e)
{
	const struct xorb *xorb = s->xorb;
	struct packing *k = s->packing = xmalloc(sizeof(*k) + s->length);

	s->length = 0;
	for (size_t i = 0; i < xorb->pieces; i++) {
		const struct piece *piece = &xorb->piece[i];

		if (s->source->read(s->source->ctx, k->chunk, piece->size,
			piece->at, e) < 0)
			return -1;
		s->length += entry_pack(&k->packer, xorb->scheme, k->chunk,
		    piece->size, k->xorb + s->length);
	}
	return 0;
}

static struct xethash
name_of(struct xetup *x, const struct xorb *xorb)
{
	struct xethash name;

	pthread_mutex_lock(&x->lock);
	name = x->named[xorb->number].hash;
	pthread_mutex_unlock(&x->lock);
	return name;
}

enum fetch_end
xetup_send(struct xetup *x, const struct xorb *xorb,
    struct xetup_source *source, struct err *e)
{
	struct sending s = {
	    .xorb = xorb, .source = source, .length = length_of(xorb)};
	struct request q = {.method = "POST",
	    .content_type = "application/octet-stream",
	    .body_read = read_xorb,
	    .ctx = &s};
	char name[XETHASH_TEXT + 1], path[128];
	const struct xethash hash = name_of(x, xorb);
	struct response *resp = NULL;
	enum fetch_end end = FETCH_FAILED;

	xethash_text(&hash, name);
	snprintf(path, sizeof(path), "/v1/xorbs/default/%s", name);
	if (!xetup_is_packed(xorb) || pack_xorb(&s, e) == 0) {
		q.length = s.length;
		resp = xet_call(x->xet, path, &q, &end, e);
	}
	free(s.packing);
	source->answered = resp != NULL;
	if (!resp)
		return end;
	if (response_head(resp)->status / 100 != 2) {
		end = xet_refusal(response_head(resp), e);
	} else if (!s.whole) {
		err_set(e, ERR_NET,
		    "the Xet storage answered before the xorb was complete");
		end = FETCH_FAILED;
	}
	response_close(resp);
	return end;
}

void
xetup_put_records(struct xetup *x, const struct xorb *xorb, struct buf *b)
{
	struct shard_record r = {.kind = SHARD_XORB,
	    .hash = name_of(x, xorb),
	    .count = (uint32_t)xorb->pieces,
	    .size = (uint32_t)xorb->size,
	    /* It need not say: the official client never does. */
	    .packed =
		xorb->scheme == ENTRY_STORED ? (uint32_t)length_of(xorb) : 0};
	uint32_t at = 0;

	shard_put(b, &r);
	for (size_t i = 0; i < xorb->pieces; i++) {
		r = (struct shard_record){.kind = SHARD_CHUNK,
		    .hash = xorb->piece[i].hash,
		    .at = at,
		    .size = xorb->piece[i].size};
		at += r.size;
		shard_put(b, &r);
	}
}

void
xetup_stored(struct xetup_file *f, struct xorb *xorb, struct buf *full)
{
	struct xetup *x = f->x;

	xetup_put_records(x, xorb, &f->records);
	take_full(x, &f->records, full);
	pthread_mutex_lock(&x->lock);
	x->named[xorb->number].state = NAMED_STORED;
	pthread_mutex_unlock(&x->lock);
	free(xorb->piece);
	free(xorb);
}

/* --- The shard. --- */

/* The longest event. */
#define EVENT_MAX ((size_t)64 << 10)

/* All of them: heartbeats for a month. */
#define EVENTS_MAX ((size_t)16 << 20)

/* A shard that is not checked after this long (ms) is sent again. */
#define EVENTS_MS ((uint64_t)15 * 60 * 1000)

/* An error that the storage reports in an answer of success. */
static enum fetch_end
refused_by_event(const struct json *v, struct err *e)
{
	char *message = json_get_strdup(v, "message", 400);
	struct json retry;
	bool again =
	    json_get(v, "retryable", &retry) && retry.type == JSON_TRUE;

	err_set(e, again ? ERR_NET : ERR_REFUSED,
	    "the Xet storage refuses the file: %s",
	    message ? message : "no reason given");
	free(message);
	return xet_trouble(e);
}

/* Takes one event. True if it was the last one; only then *end and *e are set. */
static bool
take_event(struct str line, enum fetch_end *end, struct err *e)
{
	struct json v, type;
	struct err ignored;

	if (json_parse(line, &v, &ignored) < 0 || !json_get(&v, "type", &type))
		return false;
	if (json_is(&type, "result"))
		*end = FETCH_OK;
	else if (json_is(&type, "error"))
		*end = refused_by_event(&v, e);
	else
		return false;
	return true;
}

/* Reads the events until the one that says what became of the shard. */
static enum fetch_end
read_events(struct response *resp, struct err *e)
{
	uint64_t until = wait_now() + EVENTS_MS;
	struct buf b = buf_make(EVENT_MAX);
	enum fetch_end end = FETCH_FAILED;
	bool over = false;
	size_t n = 1, all = 0;

	while (!over && n) {
		struct str rest, line;
		char *room = all < EVENTS_MAX ? buf_room(&b, 4096) : NULL;

		if (!room || wait_now() > until) {
			err_set(e, room ? ERR_NET : ERR_OTHER,
			    "the Xet storage does not say whether it takes the "
			    "file");
			end = xet_trouble(e);
			break;
		}
		if (response_read(resp, room, 4096, &n, e) < 0) {
			end = xet_trouble(e);
			break;
		}
		all += n;
		buf_added(&b, n);
		rest = buf_str(&b);
		while (!over && str_cut(rest, '\n', &line, &rest))
			over = take_event(line, &end, e);
		/* The last one may lack its end. */
		if (!over && !n)
			over = take_event(rest, &end, e);
		if (!over && !n)
			err_set(e, ERR_NET,
			    "the Xet storage's answer to the file ends early");
		buf_drop(&b, b.len - rest.n);
	}
	buf_release(&b);
	return end;
}

/* Sends a shard once. *status is that of the answer; 0: there is none. */
static enum fetch_end
post_once(
    struct xetup *x, struct str shard, bool v1, unsigned *status, struct err *e)
{
	struct request q = {.method = "POST",
	    .content_type = "application/octet-stream",
	    .body = shard.s,
	    .length = shard.n};
	struct response *resp;
	enum fetch_end end;

	*status = 0;
	resp = xet_call(x->xet, v1 ? "/v1/shards" : "/v2/shards", &q, &end, e);
	if (!resp)
		return end;
	*status = response_head(resp)->status;
	if (*status / 100 != 2)
		end = xet_refusal(response_head(resp), e);
	else if (!v1)
		end = read_events(resp, e);
	response_close(resp);
	return end;
}

static enum fetch_end
post(struct xetup *x, struct str shard, struct err *e)
{
	enum fetch_end end;
	unsigned status;
	bool v1;

	pthread_mutex_lock(&x->lock);
	v1 = x->v1;
	pthread_mutex_unlock(&x->lock);
	end = post_once(x, shard, v1, &status, e);
	if (v1 || (status != 404 && status != 501))
		return end;
	end = post_once(x, shard, true, &status, e);
	if (end == FETCH_OK) {
		pthread_mutex_lock(&x->lock);
		x->v1 = true;
		pthread_mutex_unlock(&x->lock);
	}
	return end;
}

enum xetup_state
xetup_state(const struct xetup_file *f)
{
	struct xetup *x = f->x;
	enum xetup_state state = XETUP_READY;

	pthread_mutex_lock(&x->lock);
	for (size_t i = 0; i < f->terms && state != XETUP_LOST; i++) {
		enum named_state is = x->named[f->term[i].number].state;

		if (is == NAMED_OPEN)
			state = XETUP_WAITS;
		else if (is == NAMED_LOST)
			state = XETUP_LOST;
	}
	pthread_mutex_unlock(&x->lock);
	return state;
}

void
xetup_save(const struct xetup_file *f, struct journal *j)
{
	journal_put_chunks(j, buf_str(&f->told));
	journal_put_chunks(j, buf_str(&f->records));
}

static void
put_file(const struct xetup_file *f, const struct digest *sha256, struct buf *b)
{
	struct xetup *x = f->x;
	struct shard_record r = {.kind = SHARD_FILE,
	    .flags = SHARD_HAS_RANGES | SHARD_HAS_SHA256,
	    .count = (uint32_t)f->terms};

	hashtree_file(&f->cutter.tree, &r.hash);
	shard_put(b, &r);
	pthread_mutex_lock(&x->lock);
	for (size_t i = 0; i < f->terms; i++) {
		const struct term *t = &f->term[i];

		r = (struct shard_record){.kind = SHARD_TERM,
		    .hash = x->named[t->number].hash,
		    .size = t->size,
		    .first = t->first,
		    .end = t->end};
		shard_put(b, &r);
	}
	pthread_mutex_unlock(&x->lock);
	for (size_t i = 0; i < f->terms; i++) {
		r = (struct shard_record){
		    .kind = SHARD_RANGE, .hash = f->term[i].proof};
		shard_put(b, &r);
	}
	r = (struct shard_record){.kind = SHARD_SHA256};
	xethash_of_sha256(sha256, &r.hash);
	shard_put(b, &r);
}

enum fetch_end
xetup_register(struct xetup_file *f, const struct digest *sha256,
    const struct buf *records, struct err *e)
{
	struct buf b = buf_make(SHARD_MAX);
	enum fetch_end end;

	shard_begin(&b);
	if (!records)
		put_file(f, sha256, &b);
	shard_end(&b);
	if (!records)
		buf_str_add(&b, buf_str(&f->told));
	buf_str_add(&b, buf_str(records ? records : &f->records));
	shard_end(&b);
	end = post(f->x, buf_str(&b), e);
	if (end == FETCH_OK && !records) {
		xet_worked(f->x->xet);
		pthread_mutex_lock(&f->x->lock);
		f->x->there += f->kept;
		pthread_mutex_unlock(&f->x->lock);
	}
	buf_release(&b);
	return end;
}
