#ifndef HUB_VERSION_H
#define HUB_VERSION_H

/*
 * What this program is, for people and for those who have to approve it. No
 * I/O. Not part of the library that the tests link: the commit that it was
 * built from changes too often.
 */

struct buf;

/* Two lines of text. */
void version_put(struct buf *out);

/* One JSON object on a line: what it was built from and by, its roots of trust,
 * the code that hashes on this CPU, and the hosts that it contacts. */
void version_put_json(struct buf *out);

#endif
