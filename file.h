#ifndef HUB_FILE_H
#define HUB_FILE_H

/*
 * Files below one folder, reached only through it: names that come from a
 * server are checked, and no step follows a symbolic link inside the folder.
 * Publishing is atomic and lasting. Errors are ERR_FILE unless said otherwise.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "hash.h"
#include "str.h"

struct err;

/* --- Files below one folder. --- */

/* A folder that is the root of what follows. */
struct folder {
	int fd;          /* O_PATH or O_RDONLY of the folder; -1: closed */
	char *path;      /* as the user gave it, for messages */
	const char *own; /* prefix of the paths of our own files, which errors
			  * do not name; NULL: there are none */
};

/* Opens it; with create, makes it and its missing parents first (0777 and
 * umask). The path itself may lead through symbolic links: it is the user's. */
int folder_open(struct folder *f, const char *path, bool create, struct err *e);
void folder_close(struct folder *f);

/* The functions below take checked relative paths (path_check, or own names).
 * Parents are opened one by one with O_NOFOLLOW. */

/* Opens below the folder. flags as open(2); with O_CREAT missing parents are
 * made. Returns a descriptor, close-on-exec; -1 and ERR_FILE, errno kept (so
 * that a caller can look for ENOENT). */
int folder_openat(
    const struct folder *f, const char *path, int flags, struct err *e);

/* Creates a new file of that mode (less the umask), and its missing parents;
 * open for reading and writing. Errors as folder_openat(): EEXIST. */
int folder_create(
    const struct folder *f, const char *path, mode_t mode, struct err *e);

/* The owner that a folder gives to files of this process (a mount or a server
 * may change it), and their modes: public for 0666 less the umask, private for
 * 0600 (equal on a file system without modes). */
struct maker {
	uid_t uid;
	mode_t public, private;
	bool unsure; /* so far this is what a local file system would do */
};

/* Finds these by a file that it creates in f and removes at once. */
int maker_find(struct maker *m, const struct folder *f, struct err *e);

/* True if a file of this process in f would have the owner that st has. If that
 * is not sure, and decides, maker_find() finds out. */
bool maker_owns(struct maker *m, const struct folder *f, const struct stat *st);

/* True for a regular file of that owner that no other user may write to; the
 * second finds out in the same way. */
bool maker_made(const struct maker *m, const struct stat *st);
bool maker_made_in(
    struct maker *m, const struct folder *f, const struct stat *st);

/* True for a regular file of that owner to which no more users may write than to
 * each new file, by the umask. */
bool maker_published(const struct maker *m, const struct stat *st);

/* lstat. Returns 0; 1 if there is no such file (nor parent); -1 on errors. */
int folder_stat(
    const struct folder *f, const char *path, struct stat *st, struct err *e);

/* Makes the parents of path. */
int folder_make_parents(
    const struct folder *f, const char *path, struct err *e);

/*
 * Renames from to to, over what is there, both below the folder, after making
 * to's parents. The file must have been synced. A folder or symbolic link at
 * to: a link is replaced itself (its target is not touched), a folder is an
 * error. folder_sync() makes it last.
 */
int folder_publish(
    const struct folder *f, const char *from, const char *to, struct err *e);

/* The same for a new name: returns 1, and changes nothing, if it exists. Where
 * the file system cannot do both atomically this is safe for one caller at a
 * time. */
int folder_publish_new(
    const struct folder *f, const char *from, const char *to, struct err *e);

/* -1 with errno if folder_publish() would fail for a known reason: a parent
 * that is not a folder, is on another mount or is not writable; a file that is
 * a mount point or may not be replaced. Missing parents are fine. */
int folder_check_publish(
    const struct folder *f, const char *from, const char *to, struct err *e);

/* Removes a file; one that is not there is fine. */
int folder_remove(const struct folder *f, const char *path, struct err *e);

/* fsync of the folder that path is in. */
int folder_sync(const struct folder *f, const char *path, struct err *e);

/* The same for that folder and those above it, which may be new, too; not those
 * that also contain last (NULL: none), which are synced already. Cuts path. */
int folder_sync_up(
    const struct folder *f, char *path, const char *last, struct err *e);

/* Writes a small file whole: temporary name beside it, rename. Not synced. */
int folder_write(
    const struct folder *f, const char *path, struct str text, struct err *e);

/* The same for a new file, written under its final name: a power cut can leave
 * a part of it, which its reader must detect. Returns 1 if the name exists. */
int folder_write_new(
    const struct folder *f, const char *path, struct str text, struct err *e);

/* Reads a small file whole; one larger than b's limit is an error. 1 if there
 * is none. */
int folder_read(
    const struct folder *f, const char *path, struct buf *b, struct err *e);

/* --- Links. --- */

/* Reads the text of a symbolic link into text, with a '\0', and returns its
 * length; one that does not fit is cut. -1 with errno: ENOENT if nothing is
 * there, EINVAL if it is no link, and then *st says what it is; st may be
 * NULL. */
int folder_read_link(const struct folder *f, const char *path, char *text,
    size_t size, struct stat *st, struct err *e);

/* Makes a symbolic link with that text, or a hard link to the file at from,
 * after making the parents of path. Replaces a file or a link that is there,
 * not a folder. -1 with errno kept: the file system may know no links
 * (folder_lacks_links). */
int folder_symlink(
    const struct folder *f, const char *text, const char *path, struct err *e);
int folder_hard_link(
    const struct folder *f, const char *from, const char *path, struct err *e);

/* True if that errno of a link says that there are none here. */
bool folder_lacks_links(int error);

/*
 * Detects changes of a file: one with the same stamp has the same content,
 * since no program can choose the time of its last change (ctime). Times are in
 * ns since 1970.
 *
 * The device number is valid for one run only: it may differ with each mount.
 * So a stamp on disk omits it, and its reader sets it to that of the current
 * file.
 */
struct stamp {
	uint64_t size;
	int64_t mtime, ctime;
	uint64_t inode, device;
};

void stamp_of(const struct stat *st, struct stamp *out);
bool stamp_same(const struct stamp *a, const struct stamp *b);

/* True if the times are multiples of 10 ms or more, as on FAT, exFAT and old
 * file systems: such a step may hide a change, so the stamp proves nothing. */
bool stamp_coarse(const struct stamp *s);

/* Waits for the next tick of file times, of up to 10 ms: a program that waits
 * for this run to end and then writes to a file could otherwise write within
 * the tick of our last stamp, and the change would not show. */
void stamp_let_pass(void);

/* pread and pwrite of exactly n bytes, over short counts and EINTR. Reading
 * fewer is ERR_FILE ("ends early"). name is for messages. */
int file_pread(int fd, void *p, size_t n, uint64_t offset, const char *name,
    struct err *e);
int file_pwrite(int fd, const void *p, size_t n, uint64_t offset,
    const char *name, struct err *e);

/* Append all of a file, or what is left of it, to b. -1 sets errno: EFBIG if
 * there is more than b's limit. */
int file_read(const char *path, struct buf *b);
int file_read_fd(int fd, struct buf *b);

/* write of exactly n bytes, over short counts and EINTR. -1 sets errno. */
int file_write(int fd, const void *p, size_t n);

/* fsync, over EINTR; a file system that has none is no error. */
int file_sync(int fd, const char *name, struct err *e);

/* --- All files below a folder. --- */

struct folder_walk {
	const struct folder *folder;
	void *ctx;
	/* Whether to look into a folder; NULL: into all. */
	bool (*enters)(void *ctx, const char *path);
	/* Called for everything else, links as such; st is by lstat(). */
	int (*each)(
	    void *ctx, const char *path, const struct stat *st, struct err *e);
};

/* Walks through the folder top ("": the whole folder), in no order. A failure
 * of each() ends it. */
int folder_walk(const struct folder_walk *w, const char *top, struct err *e);

/* --- Properties of the file system. --- */

/* Properties of the file system of a folder. */

struct folder_traits {
	uint64_t free; /* bytes that we may still write; UINT64_MAX: unknown */
	uint64_t free_files; /* files that may be made; UINT64_MAX: unknown */
	uint64_t max_file;   /* largest file; UINT64_MAX: no known limit */
	bool network; /* NFS, SMB, FUSE, Lustre, ...: locks may hang or lie */
	bool flash;  /* a card, a stick, or raw flash, as far as one can tell */
	bool sparse; /* holes cost nothing (not FAT, exFAT) */
	bool untried_holes; /* only a file can show that: folder_probe() */
	bool windows;       /* "\\" may divide a path, "C:" be a drive */
	bool picky;         /* may refuse names that POSIX allows */
	struct maker maker; /* owner and modes of our files here; the modes
			     * only after folder_probe() */
};

/* ERR_FILE if the folder itself cannot be read; properties that cannot be
 * determined are false or unknown. Writes nothing. */
int folder_traits(
    const struct folder *f, struct folder_traits *t, struct err *e);

/* Finds by a file, removed at once, what only a file shows: how holes are
 * stored, and the owner and modes of our files. */
int folder_probe(
    const struct folder *f, struct folder_traits *t, struct err *e);

/* --- The hash of a local file. --- */

/* The hash of a local file, read in order. */

/* Hashes size bytes of fd from 0 on; name is for messages. moved (may be NULL)
 * is called after each piece. ERR_FILE if it cannot be read or is shorter;
 * ERR_STOPPED when a signal asks for the end. */
int filehash(int fd, uint64_t size, enum hash_kind kind, const char *name,
    void (*moved)(void *ctx, size_t n), void *ctx, struct digest *out,
    struct err *e);

/* The same for both kinds in one pass: out[HASH_SHA256], out[HASH_GIT]. */
int filehash_both(int fd, uint64_t size, const char *name,
    void (*moved)(void *ctx, size_t n), void *ctx, struct digest out[2],
    struct err *e);

#endif
