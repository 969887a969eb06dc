#include "localdir.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "mem.h"
#include "repoid.h"

#define META_MAX 4096

/* Only the first line matters to the standard (bford.info/cachedir). */
static const char cachedir_tag[] =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file marks a folder that hub fills and may fill again;\n"
    "# programs that make backups can pass it over.\n"
    "# What the mark means: https://bford.info/cachedir/\n";

static struct str
next_line(struct str *text)
{
	struct str line = *text, rest = str_of("");

	str_cut(*text, '\n', &line, &rest);
	*text = rest;
	if (line.n && line.s[line.n - 1] == '\r')
		line.n--;
	return str_trim(line);
}

/* "hub SIZE MTIME CTIME INODE", the times in two's complement. */
static bool
parse_stamp(struct str line, struct stamp *out)
{
	uint64_t number[4];
	struct str word, rest;

	if (!str_cut(line, ' ', &word, &rest) || !str_eq(word, "hub"))
		return false;
	for (size_t i = 0; i < countof(number); i++) {
		word = rest;
		if (str_cut(rest, ' ', &word, &rest) != (i < 3) ||
		    str_num(word, 10, UINT64_MAX, &number[i]) < 0)
			return false;
	}
	*out = (struct stamp){
	    .size = number[0],
	    .mtime = (int64_t)number[1],
	    .ctime = (int64_t)number[2],
	    .inode = number[3],
	};
	return true;
}

int
localdir_meta_parse(struct str text, struct localdir_meta *out)
{
	struct str commit = next_line(&text), etag = next_line(&text);
	struct str time = next_line(&text), fraction, line, rest;

	if (!str_is_hex(commit, 40) || digest_parse(etag, &out->digest) < 0)
		return -1;
	memcpy(out->commit, commit.s, 40);
	out->commit[40] = '\0';
	out->stamped =
	    str_cut(text, '\n', &line, &rest) && parse_stamp(line, &out->stamp);
	str_cut(time, '.', &time, &fraction);
	return str_num(time, 10, INT64_MAX, &out->seconds);
}

void
localdir_meta_format(
    struct buf *b, const struct localdir_meta *m, unsigned microseconds)
{
	const struct stamp *s = &m->stamp;
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(&m->digest, hex);
	buf_printf(b, "%s\n%s\n%" PRIu64 ".%06u\n", m->commit, hex, m->seconds,
	    microseconds);
	if (m->stamped)
		buf_printf(b,
		    "hub %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
		    s->size, (uint64_t)s->mtime, (uint64_t)s->ctime, s->inode);
}

static int
write_missing(
    const struct folder *f, const char *path, struct str text, struct err *e)
{
	struct stat st;
	int there = folder_stat(f, path, &st, e);

	if (there <= 0)
		return there;
	return folder_write(f, path, text, false, e);
}

int
localdir_prepare(const struct folder *f, struct err *e)
{
	if (folder_make_parents(f, LOCALDIR_PREFIX "/x", e) < 0)
		return -1;
	if (write_missing(f, LOCALDIR_TOP "/.gitignore", str_of("*"), e) < 0)
		return -1;
	return write_missing(
	    f, LOCALDIR_TOP "/CACHEDIR.TAG", str_of(cachedir_tag), e);
}

static char *
meta_path(const char *path)
{
	struct buf b = buf_make(strlen(path) + sizeof(LOCALDIR_PREFIX) + 16);

	buf_printf(&b, LOCALDIR_PREFIX "/%s.metadata", path);
	return buf_detach(&b);
}

/* Reads the metadata file if it belongs to owner: what others may have written
 * says nothing. */
static int
read_own(const struct folder *f, const char *meta, uid_t owner, struct buf *b)
{
	struct err e;
	struct stat st;
	int fd = folder_openat(f, meta, O_RDONLY, &e), rv = -1;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && st.st_uid == owner && st.st_size > 0 &&
	    st.st_size <= META_MAX) {
		size_t n = (size_t)st.st_size;

		rv = file_pread(fd, buf_room(b, n), n, 0, meta, &e);
		if (rv == 0)
			buf_added(b, n);
	}
	close(fd);
	return rv;
}

bool
localdir_has(const struct folder *f, const char *path, const struct stat *st,
    const struct digest *d, uid_t owner)
{
	struct buf text = buf_make(META_MAX);
	char *meta = meta_path(path);
	struct localdir_meta m;
	struct stamp now;
	bool has = false;

	stamp_of(st, &now);
	if (!stamp_coarse(&now) && read_own(f, meta, owner, &text) == 0 &&
	    localdir_meta_parse(buf_str(&text), &m) == 0 && m.stamped) {
		m.stamp.device = now.device;
		has = digest_same(&m.digest, d) && stamp_same(&m.stamp, &now);
	}
	buf_release(&text);
	free(meta);
	return has;
}

/* Below "HASH.part/" and the like, where a folder would be in the way of the
 * bytes of another file (partial.h). */
static bool
is_partial_name(const char *path)
{
	struct str first, hash, rest;

	return str_cut(str_of(path), '/', &first, &rest) &&
	       str_cut(first, '.', &hash, &rest) &&
	       (str_is_hex(hash, 64) || str_is_hex(hash, 40));
}

int
localdir_note(const struct folder *f, const char *path, const char *commit,
    const struct digest *d, const struct stat *st, struct err *e)
{
	struct buf text = buf_make(META_MAX);
	struct localdir_meta m = {.digest = *d, .stamped = true};
	struct timespec now;
	char *meta;
	int rv;

	if (is_partial_name(path))
		return err_set(e, ERR_FILE,
		    "its folder has a name that hub gives to files while they "
		    "arrive");
	meta = meta_path(path);

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(m.commit, sizeof(m.commit), "%s", commit);
	m.seconds = (uint64_t)now.tv_sec;
	stamp_of(st, &m.stamp);
	localdir_meta_format(&text, &m, (unsigned)(now.tv_nsec / 1000));
	/* A part of it is no stamp: then the content is hashed again. So no
	 * temporary file is needed, which a kill would leave behind. */
	rv = folder_write_new(f, meta, buf_str(&text), e);
	if (rv > 0 && (rv = folder_remove(f, meta, e)) == 0)
		rv = folder_write_new(f, meta, buf_str(&text), e);
	/* Another run has noted it meanwhile, which is as good. */
	if (rv > 0)
		rv = 0;
	buf_release(&text);
	free(meta);
	return rv;
}
