#ifndef HUB_LEDGER_H
#define HUB_LEDGER_H

/*
 * What a journal says, in memory: records in (record.h), answers and records
 * out. Pure.
 *
 * Use: take all records of a file in their order, settle once, then look up.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

struct multipart;

struct ledger_entry;
struct ledger_upload;

struct ledger_table {
	struct ledger_entry *entry;
	size_t n, cap;
};

/* All zero is empty. The table does not change once it is settled. */
struct ledger {
	struct ledger_table hashed;
	struct ledger_upload *uploads;
	uint64_t next; /* number of an upload */
};

void ledger_release(struct ledger *l);

void ledger_take(struct ledger *l, const struct record *r);

/* Forgets what a later record replaces, what is too old at that time (Unix
 * seconds), and uploads that are not whole, or lapse soon. */
void ledger_settle(struct ledger *l, uint64_t now);

/* The digest of a file, if it is as in want (a RECORD_HASH, of the kind in its
 * digest). */
bool ledger_hash(
    const struct ledger *l, const struct record *want, struct digest *out);

/* --- Uploads under way, by the repository's key and the content. --- */

/* Its number. */
bool ledger_upload(struct ledger *l, const unsigned char key[RECORD_KEY],
    const struct digest *d, uint64_t *number);

/* What is known of it is the caller's now; the number stays. False if that was
 * taken, or the size is another. */
bool ledger_take_upload(struct ledger *l, const unsigned char key[RECORD_KEY],
    const struct digest *d, uint64_t size, struct multipart *out);

/* Where records go. */
struct ledger_sink {
	void (*put)(void *ctx, const struct record *r);
	void *ctx;
};

/* A new one, which goes to the sink as records. Where m does not say when it
 * lapses, a time after now (Unix seconds) is taken. */
void ledger_begin_upload(struct ledger *l, const unsigned char key[RECORD_KEY],
    const struct digest *d, const struct multipart *m, uint64_t now,
    const struct ledger_sink *sink);

void ledger_end_upload(struct ledger *l, uint64_t number);
void ledger_end_uploads(struct ledger *l);

/* All of it, as the rest of a file whose first record is there; the uploads get
 * new numbers. */
void ledger_put(struct ledger *l, uint64_t now, const struct ledger_sink *sink);

#endif
