#ifndef HUB_JOURNAL_H
#define HUB_JOURNAL_H

/*
 * Saves the state of an upload between runs, so that the same command continues
 * after kill -9: hashes of local files, and multipart uploads under way. It
 * avoids hashing or sending twice, but never decides what the Hub has: each run
 * asks the Hub. The format is described below.
 *
 * It lies in ".cache/huggingface/upload" below the source, or in the user's
 * state folder if that cannot be written, or nowhere. It never causes a
 * failure: unreadable records are dropped, and failed writes are ignored.
 *
 * The file is only believed if it was written at this very place (it names its
 * own inode) by this user: one that came with a copied or cloned folder could
 * name addresses to which content would go. It holds signed addresses (mode
 * 0600) but never a token.
 *
 * Two runs on one journal do no harm: the second one only reads it. Where locks
 * may hang or lie (network file systems), each writes a file of its own, and
 * the last one to start has the name.
 *
 * Records are for later runs: lookups use only the records that were there when
 * it was opened. Safe from any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "str.h"
#include "url.h"

struct err;
struct folder;
struct journal;
struct ledger_entry;
struct ledger_upload;
struct multipart;
struct stamp;

/* --- The journal. --- */

struct journal_opts {
	const struct folder *source; /* borrowed for the call */
	const char *state;           /* "$XDG_STATE_HOME/hub"; NULL: none */
	/* Identify the storage: endpoint, type and name of the repository. */
	const char *endpoint, *type, *id;
};

/* Never NULL. */
struct journal *journal_open(const struct journal_opts *o);
void journal_close(struct journal *j);

/* Why nothing is saved, for -v; NULL if it is. */
const char *journal_why(const struct journal *j);

/* The hash of that kind of the file at path below the source, if the file is
 * still the one that was hashed. */
bool journal_hash(struct journal *j, const char *path,
    const struct stamp *stamp, enum hash_kind kind, struct digest *out);

/* stamp: from before the file was hashed. A file that changed just now is not
 * saved, since it may change again without a new time. */
void journal_put_hash(struct journal *j, const char *path,
    const struct stamp *stamp, const struct digest *d);

/* Removes a hash that turned out to be wrong. */
void journal_forget_hash(
    struct journal *j, const char *path, enum hash_kind kind);

/* Gives the caller the unfinished upload of that content, if it has not
 * expired. It stays on disk until it is dropped or put again. */
bool journal_take_multipart(struct journal *j, const struct digest *d,
    uint64_t size, struct multipart *out);

/* Saves a new upload with its arrived parts, and drops an earlier one of the
 * same content. */
void journal_put_multipart(
    struct journal *j, const struct digest *d, const struct multipart *m);

/* Saves that part i (from 0) has arrived. */
void journal_put_part(
    struct journal *j, const struct digest *d, size_t i, const char *etag);

/* Drops an upload that is complete or lost. */
void journal_drop_multipart(struct journal *j, const struct digest *d);

/* --- One line. --- */

/*
 * The journal of an upload as text, one record a line; no I/O. A line is
 *
 *	CRC KIND FIELD...
 *
 * with one blank between: the CRC-32 of what follows it in 8 hexadecimal
 * digits, a letter, then decimal numbers, keys and hashes in hexadecimal, and,
 * last, a text without control characters:
 *
 *	J inode                                     first line: a journal, there
 *	H key size mtime ctime inode device time digest   a file's hash
 *	U upload key size chunk expires sha256 url  an upload; url completes it
 *	V upload url                                where to verify it
 *	P upload part url                           where a part goes (from 1)
 *	E upload part etag                          a part has arrived
 *	D upload                                    it is through, or lost
 *
 * An upload is a number, of use only within one file. A later line counts more
 * than an earlier one.
 */

#define RECORD_KEY 16

/* The longest line, with its end. */
#define RECORD_MAX (URL_MAX + 512)

enum record_kind {
	RECORD_JOURNAL = 'J',
	RECORD_HASH = 'H',
	RECORD_UPLOAD = 'U',
	RECORD_VERIFY = 'V',
	RECORD_PART = 'P',
	RECORD_ETAG = 'E',
	RECORD_DONE = 'D',
};

/* Only what the kind has is set. */
struct record {
	enum record_kind kind;
	unsigned char key[RECORD_KEY]; /* of a path, or a repository */
	uint64_t size;
	uint64_t mtime, ctime; /* ns since 1970, two's complement */
	uint64_t inode, device;
	uint64_t time; /* Unix seconds when it was written */
	uint64_t upload, chunk, expires, part;
	struct digest digest;
	struct str text;
};

/* --- What it says, in memory. --- */

/*
 * The content of a journal in memory: takes records, answers lookups, writes
 * records. Pure.
 *
 * Use: take all records of a file in their order, settle once, then look up.
 */

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

/* --- Uploads under way, by the repository's key and the content. --- */

/* --- The file. --- */

/*
 * A file that one process at a time appends to, and that is replaced whole: its
 * name, its lock, and its replacement. It is only used if it is a regular file
 * of this user. Where locks may hang or lie (network file systems) there are
 * none: then the last process that replaced it has the name.
 */

struct place {
	int dir; /* the folder it is in; -1: none */
	char *name, *shown;
	bool network;
};

#endif
