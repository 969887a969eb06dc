#include "ledger.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "multipart.h"

/* More files than a repository should have; 30 MiB of memory. */
#define ENTRIES_MAX ((size_t)1 << 18)

/* Hashes of files that were not hashed anew for so long are forgotten. */
#define HASH_KEPT_S ((uint64_t)90 * 24 * 3600)

/* An address that lapses in less is not worth a try. */
#define LAPSE_MARGIN_S 60

/* Addresses that do not say when they lapse are taken to last that long. */
#define LASTS_S (24 * 3600)

/* A file's hash. */
struct ledger_entry {
	unsigned char key[RECORD_KEY];
	uint64_t size, mtime, ctime, inode, device, time;
	uint32_t line; /* a later line counts more */
	struct digest digest;
};

/* m is empty if it was taken. */
struct ledger_upload {
	struct ledger_upload *next;
	uint64_t number;
	unsigned char key[RECORD_KEY];
	struct digest digest;
	struct multipart m;
};

/* By name, then by kind of hash. */
static int
compare(const struct ledger_entry *a, const struct ledger_entry *b)
{
	int c = memcmp(a->key, b->key, RECORD_KEY);

	if (c)
		return c;
	if (a->digest.kind != b->digest.kind)
		return a->digest.kind < b->digest.kind ? -1 : 1;
	return 0;
}

static int
compare_hashed(const void *x, const void *y)
{
	const struct ledger_entry *a = x, *b = y;
	int c = compare(a, b);

	return c ? c : (a->line > b->line) - (a->line < b->line);
}

static struct ledger_entry
entry_of(const struct record *r)
{
	struct ledger_entry en = {.size = r->size,
	    .mtime = r->mtime,
	    .ctime = r->ctime,
	    .inode = r->inode,
	    .device = r->device,
	    .time = r->time,
	    .digest = r->digest};

	memcpy(en.key, r->key, RECORD_KEY);
	return en;
}

static void
table_add(struct ledger_table *t, const struct record *r)
{
	if (t->n == ENTRIES_MAX)
		return;
	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->entry = xreallocarray(t->entry, t->cap, sizeof(t->entry[0]));
	}
	t->entry[t->n] = entry_of(r);
	t->entry[t->n].line = (uint32_t)t->n;
	t->n++;
}

/* Sorts, and keeps the last of each. */
static void
table_settle(struct ledger_table *t, uint64_t now)
{
	size_t n = 0;

	if (t->n)
		qsort(t->entry, t->n, sizeof(t->entry[0]), compare_hashed);
	for (size_t i = 0; i < t->n; i++) {
		const struct ledger_entry *en = &t->entry[i];

		if (i + 1 < t->n && compare(en, en + 1) == 0)
			continue;
		/* What is from the future, by a wrong clock, is as old as
		 * can be. */
		if (now - en->time >= HASH_KEPT_S)
			continue;
		t->entry[n++] = *en;
	}
	t->n = n;
}

static void
table_release(struct ledger_table *t)
{
	free(t->entry);
	*t = (struct ledger_table){NULL, 0, 0};
}

/* The entry of that name and kind; NULL if there is none. */
static const struct ledger_entry *
table_find(const struct ledger_table *t, const struct ledger_entry *en)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t i = low + (high - low) / 2;
		int c = compare(en, &t->entry[i]);

		if (!c)
			return &t->entry[i];
		if (c < 0)
			high = i;
		else
			low = i + 1;
	}
	return NULL;
}

static void
upload_free(struct ledger_upload *p)
{
	multipart_release(&p->m);
	free(p);
}

static struct ledger_upload **
upload_by_number(struct ledger *l, uint64_t number)
{
	struct ledger_upload **p = &l->uploads;

	while (*p && (*p)->number != number)
		p = &(*p)->next;
	return p;
}

static struct ledger_upload **
upload_by_digest(struct ledger *l, const unsigned char key[RECORD_KEY],
    const struct digest *d)
{
	struct ledger_upload **p = &l->uploads;

	while (*p && (memcmp((*p)->key, key, RECORD_KEY) != 0 ||
			 !digest_same(&(*p)->digest, d)))
		p = &(*p)->next;
	return p;
}

static void
upload_remove(struct ledger_upload **p)
{
	struct ledger_upload *gone = *p;

	if (!gone)
		return;
	*p = gone->next;
	upload_free(gone);
}

static struct ledger_upload *
upload_add(struct ledger *l, uint64_t number,
    const unsigned char key[RECORD_KEY], const struct digest *d)
{
	struct ledger_upload *p = xcalloc(1, sizeof(*p));

	p->number = number;
	memcpy(p->key, key, RECORD_KEY);
	p->digest = *d;
	p->next = l->uploads;
	l->uploads = p;
	return p;
}

static void
load_upload(struct ledger *l, const struct record *r)
{
	struct multipart m;
	struct ledger_upload *p;

	upload_remove(upload_by_number(l, r->upload));
	upload_remove(upload_by_digest(l, r->key, &r->digest));
	if (multipart_init(&m, r->size, r->chunk) < 0)
		return;
	p = upload_add(l, r->upload, r->key, &r->digest);
	p->m = m;
	p->m.expires = r->expires;
	p->m.complete = str_dup(r->text);
}

/* Sets a text of an upload, or of part r->part of it. */
static void
load_text(struct ledger *l, const struct record *r)
{
	struct ledger_upload *p = *upload_by_number(l, r->upload);
	char **at = NULL;

	if (!p)
		return;
	if (r->kind == RECORD_VERIFY)
		at = &p->m.verify;
	else if (r->part >= 1 && r->part <= p->m.count)
		at = r->kind == RECORD_PART ? &p->m.url[r->part - 1]
					    : &p->m.etag[r->part - 1];
	if (!at)
		return;
	free(*at);
	*at = str_dup(r->text);
}

void
ledger_take(struct ledger *l, const struct record *r)
{
	switch (r->kind) {
	case RECORD_HASH:
		table_add(&l->hashed, r);
		break;
	case RECORD_UPLOAD:
		load_upload(l, r);
		break;
	case RECORD_VERIFY:
	case RECORD_PART:
	case RECORD_ETAG:
		load_text(l, r);
		break;
	case RECORD_DONE:
		upload_remove(upload_by_number(l, r->upload));
		break;
	case RECORD_JOURNAL:
		break;
	}
}

/* Whole, and good for some time. */
static bool
is_usable(const struct ledger_upload *p, uint64_t now)
{
	for (size_t i = 0; i < p->m.count; i++)
		if (!p->m.url[i])
			return false;
	return p->m.expires > now + LAPSE_MARGIN_S;
}

static void
drop_unusable(struct ledger *l, uint64_t now)
{
	for (struct ledger_upload **p = &l->uploads; *p;)
		if (is_usable(*p, now))
			p = &(*p)->next;
		else
			upload_remove(p);
}

void
ledger_settle(struct ledger *l, uint64_t now)
{
	table_settle(&l->hashed, now);
	drop_unusable(l, now);
}

void
ledger_release(struct ledger *l)
{
	table_release(&l->hashed);
	ledger_end_uploads(l);
}

bool
ledger_hash(
    const struct ledger *l, const struct record *want, struct digest *out)
{
	struct ledger_entry key = entry_of(want);
	const struct ledger_entry *en = table_find(&l->hashed, &key);

	if (!en || en->size != key.size || en->mtime != key.mtime ||
	    en->ctime != key.ctime || en->inode != key.inode ||
	    en->device != key.device)
		return false;
	*out = en->digest;
	return true;
}

bool
ledger_upload(struct ledger *l, const unsigned char key[RECORD_KEY],
    const struct digest *d, uint64_t *number)
{
	const struct ledger_upload *p = *upload_by_digest(l, key, d);

	if (p)
		*number = p->number;
	return p != NULL;
}

bool
ledger_take_upload(struct ledger *l, const unsigned char key[RECORD_KEY],
    const struct digest *d, uint64_t size, struct multipart *out)
{
	struct ledger_upload *p = *upload_by_digest(l, key, d);

	if (!p || !p->m.count || p->m.size != size)
		return false;
	*out = p->m;
	p->m = (struct multipart){0};
	return true;
}

void
ledger_end_upload(struct ledger *l, uint64_t number)
{
	upload_remove(upload_by_number(l, number));
}

void
ledger_end_uploads(struct ledger *l)
{
	while (l->uploads)
		upload_remove(&l->uploads);
}

/* --- As records. --- */

static void
put(const struct ledger_sink *sink, const struct record *r)
{
	sink->put(sink->ctx, r);
}

static void
put_text(const struct ledger_sink *sink, enum record_kind kind, uint64_t number,
    size_t part, const char *text)
{
	struct record r = {
	    .kind = kind, .upload = number, .part = part, .text = str_of(text)};

	if (text)
		put(sink, &r);
}

/* m: what is known of it. */
static void
put_upload(const struct ledger_upload *p, const struct multipart *m,
    uint64_t now, const struct ledger_sink *sink)
{
	struct record r = {.kind = RECORD_UPLOAD,
	    .upload = p->number,
	    .size = m->size,
	    .chunk = m->chunk,
	    .expires = m->expires ? m->expires : now + LASTS_S,
	    .digest = p->digest,
	    .text = str_of(m->complete)};

	memcpy(r.key, p->key, RECORD_KEY);
	put(sink, &r);
	put_text(sink, RECORD_VERIFY, p->number, 0, m->verify);
	for (size_t i = 0; i < m->count; i++) {
		put_text(sink, RECORD_PART, p->number, i + 1, m->url[i]);
		put_text(sink, RECORD_ETAG, p->number, i + 1, m->etag[i]);
	}
}

static void
put_hashed(const struct ledger_table *t, const struct ledger_sink *sink)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct ledger_entry *en = &t->entry[i];
		struct record r = {.kind = RECORD_HASH,
		    .size = en->size,
		    .mtime = en->mtime,
		    .ctime = en->ctime,
		    .inode = en->inode,
		    .device = en->device,
		    .time = en->time,
		    .digest = en->digest};

		memcpy(r.key, en->key, RECORD_KEY);
		put(sink, &r);
	}
}

void
ledger_begin_upload(struct ledger *l, const unsigned char key[RECORD_KEY],
    const struct digest *d, const struct multipart *m, uint64_t now,
    const struct ledger_sink *sink)
{
	put_upload(upload_add(l, l->next++, key, d), m, now, sink);
}

void
ledger_put(struct ledger *l, uint64_t now, const struct ledger_sink *sink)
{
	put_hashed(&l->hashed, sink);
	for (struct ledger_upload *p = l->uploads; p; p = p->next) {
		p->number = l->next++;
		put_upload(p, &p->m, now, sink);
	}
}
