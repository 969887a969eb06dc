#include "localdir.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

int
localdir_meta_parse(struct str text, struct localdir_meta *out)
{
	struct str commit = next_line(&text), etag = next_line(&text);
	struct str time = next_line(&text), fraction;

	if (!str_is_hex(commit, 40) || digest_parse(etag, &out->digest) < 0)
		return -1;
	memcpy(out->commit, commit.s, 40);
	out->commit[40] = '\0';
	str_cut(time, '.', &time, &fraction);
	return str_num(time, 10, INT64_MAX, &out->seconds);
}

void
localdir_meta_format(struct buf *b, const char *commit, const struct digest *d,
    uint64_t seconds, unsigned microseconds)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(d, hex);
	buf_printf(b, "%s\n%s\n%llu.%06u\n", commit, hex,
	    (unsigned long long)seconds, microseconds);
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
	if (write_missing(f, LOCALDIR_OWN "/.gitignore", str_of("*"), e) < 0)
		return -1;
	return write_missing(
	    f, LOCALDIR_OWN "/CACHEDIR.TAG", str_of(cachedir_tag), e);
}

static char *
meta_path(const char *path)
{
	struct buf b = buf_make(strlen(path) + sizeof(LOCALDIR_PREFIX) + 16);

	buf_printf(&b, LOCALDIR_PREFIX "/%s.metadata", path);
	return buf_detach(&b);
}

bool
localdir_has(const struct folder *f, const char *path, const struct stat *st,
    const struct digest *d)
{
	struct buf text = buf_make(META_MAX);
	char *meta = meta_path(path);
	struct localdir_meta m;
	struct err e;
	bool has = false;

	if (folder_read(f, meta, &text, &e) == 0 &&
	    localdir_meta_parse(buf_str(&text), &m) == 0)
		has = digest_same(&m.digest, d) &&
		      st->st_mtime - 1 <= (int64_t)m.seconds;
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
    const struct digest *d, struct err *e)
{
	struct buf text = buf_make(META_MAX);
	struct timespec now;
	char *meta;
	int rv;

	if (is_partial_name(path))
		return err_set(e, ERR_FILE,
		    "its folder has a name that hub gives to files while they "
		    "arrive");
	meta = meta_path(path);

	clock_gettime(CLOCK_REALTIME, &now);
	localdir_meta_format(&text, commit, d, (uint64_t)now.tv_sec,
	    (unsigned)(now.tv_nsec / 1000));
	/* Of a new one, a part is no metadata; the content is compared then. */
	rv = folder_write_new(f, meta, buf_str(&text), e);
	if (rv > 0)
		rv = folder_write(f, meta, buf_str(&text), false, e);
	buf_release(&text);
	free(meta);
	return rv;
}
