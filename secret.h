#ifndef HUB_SECRET_H
#define HUB_SECRET_H

/*
 * Files that may hold a token, read so that no copy of it stays behind. b is
 * made with one byte more than the longest text that is accepted.
 */

struct buf;

/* Reads all into the empty b. -1 sets errno: EFBIG if it is too long. The file
 * may be a pipe. */
int secret_read_fd(int fd, struct buf *b);
int secret_read_file(const char *path, struct buf *b);

/* Wipes and releases. */
void secret_release(struct buf *b);

#endif
