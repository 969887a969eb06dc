#include "cache.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "err.h"
#include "json.h"
#include "path.h"
#include "wait.h"

#define TAG "CACHEDIR.TAG"
#define MARKER "blobs/.huggingface-shared-blobs"
#define PATH_SIZE (2 * PATH_LIMIT + 512)

/* The longest member of a listing: each byte of the path escaped, and the
 * rest. */
#define MEMBER_MAX (6 * REPO_PATH_MAX + 1024)
#define PIECE ((size_t)16 << 10)
#define TREE_MAX ((uint64_t)512 << 20)

/* --- The text of a listing; pure. --- */

/*
 * {"format_version": 1, "files": {PATH: {"size": N, "blob_id": HEX,
 * "lfs_sha256": HEX, "lfs_size": N, "xet_hash": HEX}, ...}}
 *
 * In a folder we add "repo": "models/ORG/NAME", which the official client
 * ignores: a folder's listings lie in one place, whatever repository they are
 * of.
 *
 * The listing of a large repository has tens of megabytes. So it is cut into
 * its members as it is read, and each is checked as JSON for itself.
 */
struct tree_reader {
	int (*each)(void *ctx, const struct repo_file *f, struct err *e);
	void *ctx;
	struct buf member; /* '{' and the text of one member so far */
	unsigned level;    /* 0: outside, 1: in the object, 2: in "files" */
	unsigned nested;   /* objects and lists that are open in the member */
	bool begun, string, escaped;
	bool first;  /* the object has had no member yet */
	bool closed; /* "files" has just ended: no member is to come */
	bool version, files;
	const char *repo; /* the one that "repo" must name; NULL: any */
	bool of_other;    /* it names another one */
};

static struct tree_reader
reader_make(
    int (*each)(void *ctx, const struct repo_file *f, struct err *e), void *ctx)
{
	return (struct tree_reader){
	    .each = each, .ctx = ctx, .member = buf_make(MEMBER_MAX)};
}

static int
broken(struct err *e, const char *why)
{
	return err_set(e, ERR_CONTENT, "the listing is broken: %s", why);
}

/* The digest of that kind in the member called name; *found: there is one. */
static int
member_digest(const struct json *v, const char *name, enum hash_kind kind,
    struct digest *out, bool *found)
{
	struct json item;
	char *hex;
	int rv;

	*found = json_get(v, name, &item) && item.type != JSON_NULL;
	if (!*found)
		return 0;
	hex = json_strdup(&item, 64);
	rv = hex && digest_parse(str_of(hex), out) == 0 && out->kind == kind
		 ? 0
		 : -1;
	free(hex);
	return rv;
}

static int
take_file(struct tree_reader *r, const struct json *key, const struct json *v,
    struct err *e)
{
	struct repo_ids ids = {.blob.kind = HASH_GIT};
	struct repo_file f = {
	    .path = json_strdup(key, REPO_PATH_MAX), .ids = &ids};
	bool has_blob, has_lfs, has_xet;
	struct digest xet;
	int rv;

	if (!f.path)
		return broken(e, "a path is not usable");
	if (json_get_uint(v, "size", REPO_FILE_MAX, &f.size) < 0 ||
	    member_digest(v, "blob_id", HASH_GIT, &ids.blob, &has_blob) < 0 ||
	    member_digest(v, "lfs_sha256", HASH_SHA256, &f.digest, &has_lfs) <
		0 ||
	    !has_blob) {
		rv = broken(e, "a file has no size or no hash");
	} else {
		if (member_digest(v, "xet_hash", HASH_SHA256, &xet, &has_xet) ==
			0 &&
		    has_xet)
			digest_hex(&xet, ids.xet);
		if (!has_lfs)
			f.digest = ids.blob;
		else
			(void)json_get_uint(
			    v, "lfs_size", REPO_FILE_MAX, &f.size);
		rv = r->of_other ? 0 : r->each(r->ctx, &f, e);
	}
	free(f.path);
	return rv;
}

static int
take_member(struct tree_reader *r, struct err *e)
{
	struct json all, key, v;
	struct json_iter it;
	uint64_t version;

	buf_putc(&r->member, '}');
	if (r->member.full)
		return broken(e, "a part of it is too long");
	if (json_parse(buf_str(&r->member), &all, e) < 0) {
		e->kind = ERR_CONTENT;
		return err_in(e, "the listing is broken");
	}
	it = json_iter(&all);
	if (!json_next(&it, &key, &v))
		return broken(e, "a member is missing");
	if (r->level == 2)
		return take_file(r, &key, &v, e);
	/* Twice, or no object. */
	if (json_is(&key, "files"))
		return broken(e, "its files are no object");
	if (json_is(&key, "repo"))
		r->of_other = r->repo && !json_is(&v, r->repo);
	if (!json_is(&key, "format_version"))
		return 0;
	if (json_uint(&v, UINT32_MAX, &version) < 0)
		return broken(e, "'format_version' is not a number");
	if (version != 1)
		return err_set(e, ERR_OTHER,
		    "the listing has a format of another version: %" PRIu64,
		    version);
	r->version = true;
	return 0;
}

/* At a ',' or a '}' between members. */
static int
end_member(struct tree_reader *r, char c, struct err *e)
{
	bool empty = r->member.len <= 1;
	int rv = 0;

	if (!empty && !r->closed)
		rv = take_member(r, e);
	else if (!empty || (!r->closed && !(r->first && c == '}')))
		rv = broken(e, "a member is missing");
	r->first = r->closed = false;
	buf_clear(&r->member);
	buf_putc(&r->member, '{');
	if (c == '}') {
		r->level--;
		r->closed = r->level == 1;
	}
	return rv;
}

/* The value of "files" begins. */
static bool
opens_files(const struct tree_reader *r)
{
	struct str key = buf_str(&r->member), rest;

	return r->level == 1 && !r->nested && !r->files &&
	       str_cut(key, ':', &key, &rest) && !str_trim(rest).n &&
	       str_eq(str_trim(str_make(key.s + 1, key.n - 1)), "\"files\"");
}

static int
take_char(struct tree_reader *r, char c, struct err *e)
{
	bool blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';

	if (r->string) {
		buf_putc(&r->member, c);
		r->string = r->escaped || c != '"';
		r->escaped = !r->escaped && c == '\\';
		return 0;
	}
	if (blank) {
		/* Between numbers it counts. */
		if (r->member.len > 1)
			buf_putc(&r->member, ' ');
		return 0;
	}
	if (!r->level) {
		if (r->begun || c != '{')
			return broken(e, "it is no object");
		r->begun = r->first = true;
		r->level = 1;
		buf_putc(&r->member, '{');
		return 0;
	}
	if (!r->nested && (c == ',' || c == '}'))
		return end_member(r, c, e);
	if (c == '{' && opens_files(r)) {
		buf_clear(&r->member);
		buf_putc(&r->member, '{');
		r->level = 2;
		r->first = r->files = true;
		return 0;
	}
	r->string = c == '"';
	r->nested += c == '{' || c == '[';
	if ((c == '}' || c == ']') && !r->nested--)
		return broken(e, "its brackets do not match");
	buf_putc(&r->member, c);
	return r->member.full ? broken(e, "a part of it is too long") : 0;
}

static int
reader_feed(struct tree_reader *r, struct str text, struct err *e)
{
	for (size_t i = 0; i < text.n; i++)
		if (take_char(r, text.s[i], e) < 0)
			return -1;
	return 0;
}

static int
reader_end(struct tree_reader *r, struct err *e)
{
	if (!r->begun || r->level)
		return broken(e, "its end is missing");
	if (!r->version || !r->files)
		return broken(e, "its format or its files are missing");
	return 0;
}

/* One member of "files". */
static void
format_file(struct buf *b, const struct repo_file *f)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(&f->ids->blob, hex);
	buf_puts(b, "  ");
	json_put_string(b, str_of(f->path));
	buf_printf(b, ": {\n   \"size\": %" PRIu64 ",\n   \"blob_id\": \"%s\"",
	    f->size, hex);
	if (f->digest.kind == HASH_SHA256) {
		digest_hex(&f->digest, hex);
		buf_printf(b,
		    ",\n   \"lfs_sha256\": \"%s\",\n   \"lfs_size\": %" PRIu64,
		    hex, f->size);
	}
	if (*f->ids->xet)
		buf_printf(b, ",\n   \"xet_hash\": \"%s\"", f->ids->xet);
	buf_puts(b, "\n  }");
}

/* --- Names; pure. --- */

/* All paths were checked: each fits. */
static char *
join(const char *a, const char *b, const char *c, const char *d)
{
	struct buf path = buf_make(PATH_SIZE);

	buf_printf(&path, "%s%s%s%s", a, b, c, d);
	assert(!path.full);
	return buf_detach(&path);
}

char *
cache_blob(const struct cache *c, const struct digest *d)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(d, hex);
	return join(c->base, "blobs/", hex, "");
}

static char *
in_commit(const struct cache *c, const char *kind, const char *path)
{
	struct buf b = buf_make(128);
	char *at;

	buf_printf(&b, "%s/%s/", kind, c->commit);
	at = join(c->base, buf_cstr(&b), path, "");
	buf_release(&b);
	return at;
}

char *
cache_entry(const struct cache *c, const char *path)
{
	return in_commit(c, "snapshots", path);
}

static char *
tree_path(const struct cache *c)
{
	return join(c->base, "trees/", c->commit, ".json");
}

/* NULL: that revision cannot be the name of a file. */
static char *
ref_path(const struct cache *c, const char *revision)
{
	struct err ignored;

	return path_check(str_of(revision), &ignored) < 0
		   ? NULL
		   : join(c->refs, revision, "", "");
}

/* What the link of a file says: "../../blobs/HASH" at the top of the snapshot,
 * and one step more for each folder. */
static char *
link_text(const char *path, const char *hex)
{
	struct buf b = buf_make(PATH_SIZE);

	buf_puts(&b, "../../");
	for (const char *p = path; (p = strchr(p, '/')); p++)
		buf_puts(&b, "../");
	buf_printf(&b, "blobs/%s", hex);
	return buf_detach(&b);
}

/* "../../blobs/XX/XETHASH", where XX begins the hash: the content is in the
 * store that all repositories share. Gives its path below the root. */
static const char *
shared_path(const char *text)
{
	const char *at = text + strlen("../../"),
		   *hex = at + strlen("blobs/XX/");
	const char *two = at + strlen("blobs/");

	if (strncmp(text, "../../blobs/", 12) != 0 ||
	    strlen(text) != 12 + 3 + 64 || two[2] != '/' ||
	    !str_is_hex(str_of(hex), 64) || strncmp(two, hex, 2) != 0)
		return NULL;
	return at;
}

/* --- The cache of a repository. --- */

void
cache_init_named(struct cache *c, const struct folder *root, struct str name)
{
	*c = (struct cache){
	    .root = root, .name = str_dup(name), .blobs.fd = -1, .part.fd = -1};
	c->base = join(c->name, "/", "", "");
	c->refs = join(c->base, "refs/", "", "");
}

void
cache_init(struct cache *c, const struct folder *root, enum repo_type type,
    const char *id)
{
	struct buf b = buf_make(1024);

	buf_puts(&b, repo_type_plural(type));
	buf_puts(&b, "--");
	for (; *id; id++)
		if (*id == '/')
			buf_puts(&b, "--");
		else
			buf_putc(&b, *id);
	cache_init_named(c, root, buf_str(&b));
	buf_release(&b);
}

void
cache_init_folder(struct cache *c, const struct folder *root,
    enum repo_type type, const char *id)
{
	struct buf b = buf_make(1024);

	repoid_put_path(&b, type, id);
	*c = (struct cache){.root = root,
	    .name = xstrdup(""),
	    .base = xstrdup(".cache/huggingface/"),
	    .blobs.fd = -1,
	    .part.fd = -1};
	c->repo = buf_detach(&b);
	c->refs = join(c->base, "refs/", c->repo, "/");
}

void
cache_release(struct cache *c)
{
	folder_close(&c->blobs);
	folder_close(&c->part);
	free(c->name);
	free(c->repo);
	free(c->base);
	free(c->refs);
	*c = (struct cache){.blobs.fd = -1, .part.fd = -1};
}

int
cache_tag(const struct folder *f, const char *path, struct err *e)
{
	/* Only the first line matters to the standard. */
	static const char text[] =
	    "Signature: 8a477f597d28d172789f06886806bc55\n"
	    "# This file marks a folder that hub fills and may fill again;\n"
	    "# programs that make backups can pass it over.\n"
	    "# What the mark means: https://bford.info/cachedir/\n";
	struct stat st;
	int there = folder_stat(f, path, &st, e);

	return there <= 0 ? there : folder_write(f, path, str_of(text), e);
}

/* --- Revisions and listings. --- */

int
cache_ref(
    const struct cache *c, const char *revision, char commit[41], struct err *e)
{
	/* A ref with a newline is none to the official client. */
	struct buf text = buf_make(64);
	char *path = ref_path(c, revision);
	int rv = path ? folder_read(c->root, path, &text, e) : 1;

	if (rv == 0 && (text.len != 40 || !commit_valid(buf_cstr(&text))))
		rv = err_set(e, ERR_CONTENT, "'%s/%s' does not hold a commit",
		    c->root->path, path);
	if (rv == 0)
		memcpy(commit, buf_cstr(&text), 41);
	buf_release(&text);
	free(path);
	return rv;
}

int
cache_set_ref(const struct cache *c, const char *revision, struct err *e)
{
	char noted[41], *path = ref_path(c, revision);
	int rv = 0;

	if (path && strcmp(revision, c->commit) != 0 &&
	    (cache_ref(c, revision, noted, e) != 0 ||
		strcmp(noted, c->commit) != 0))
		rv = folder_write(c->root, path, str_of(c->commit), e);
	free(path);
	return rv;
}

int
cache_tree(const struct cache *c, struct maker *owner,
    int (*each)(void *ctx, const struct repo_file *f, struct err *e), void *ctx,
    struct err *e)
{
	struct tree_reader r = reader_make(each, ctx);
	char *path = tree_path(c), *piece;
	int fd = folder_openat(c->root, path, O_RDONLY, e), rv = 0;
	struct stat st;
	uint64_t all = 0;
	ssize_t n = 1;

	r.repo = c->repo;
	/* One that others could have written says nothing of a folder. */
	if (fd < 0 || (owner && (fstat(fd, &st) < 0 ||
				    !maker_made_in(owner, c->root, &st)))) {
		rv = fd < 0 && errno != ENOENT ? -1 : 1;
		n = 0;
	}
	piece = xmalloc(PIECE);
	while (rv == 0 && n) {
		n = read(fd, piece, PIECE);
		if (n < 0 && errno == EINTR)
			rv = wait_check(e);
		else if (n < 0)
			rv = err_sys(e, ERR_FILE, "cannot read '%s/%s'",
			    c->root->path, path);
		else if ((all += (uint64_t)n) > TREE_MAX)
			rv = broken(e, "it is too long");
		else
			rv = reader_feed(&r, str_make(piece, (size_t)n), e);
	}
	if (rv == 0)
		rv = reader_end(&r, e);
	if (rv == 0 && r.of_other)
		rv = 1;
	if (fd >= 0)
		close(fd);
	free(piece);
	free(path);
	buf_release(&r.member);
	return rv;
}

static int
pass_by(void *ctx, const struct repo_file *f, struct err *e)
{
	(void)ctx, (void)f, (void)e;
	return 0;
}

/* Whether the listing that is there stays. In a cache others may have written
 * it, so the Hub's replaces it; a newer client's is left to that. */
static bool
keeps_tree(const struct cache *c, struct maker *owner)
{
	struct err e;
	int rv = cache_tree(c, owner, pass_by, NULL, &e);

	return rv < 0 ? e.kind == ERR_OTHER : rv == 0 && owner;
}

void
tree_begin(struct tree_writer *w, const struct cache *c, struct maker *owner)
{
	char name[64];
	struct err e;

	*w = (struct tree_writer){
	    .c = c, .fd = -1, .text = buf_make(PIECE + MEMBER_MAX)};
	if (keeps_tree(c, owner))
		return;
	snprintf(
	    name, sizeof(name), "trees/.hub-%016" PRIx64 ".tmp", wait_random());
	w->temp = join(c->base, name, "", "");
	w->fd = folder_create(c->root, w->temp, 0600, &e);
	buf_puts(&w->text, "{\n \"format_version\": 1,\n");
	if (c->repo) {
		buf_puts(&w->text, " \"repo\": ");
		json_put_string(&w->text, str_of(c->repo));
		buf_puts(&w->text, ",\n");
	}
	buf_puts(&w->text, " \"files\": {");
}

/* Writes what has come together, if it is n bytes. */
static void
write_piece(struct tree_writer *w, size_t n)
{
	struct err e;

	if (w->fd < 0 || w->text.len < n)
		return;
	if (!w->text.full && file_write(w->fd, w->text.s, w->text.len) == 0) {
		buf_clear(&w->text);
		return;
	}
	close(w->fd);
	w->fd = -1;
	folder_remove(w->c->root, w->temp, &e);
}

/* A server may send a token back as a name; no file of ours is to contain it. */
static bool
has_token(const char *path)
{
	char *copy = xstrdup(path);
	bool has;

	str_mask_tokens(copy);
	has = strcmp(copy, path) != 0;
	free(copy);
	return has;
}

void
tree_add(struct tree_writer *w, const struct repo_file *f)
{
	bool good;

	if (w->fd < 0)
		return;
	buf_puts(&w->text, w->some ? ",\n" : "\n");
	w->some = true;
	good = f->ids && !has_token(f->path);
	if (good)
		format_file(&w->text, f);
	else
		w->text.full = true;
	write_piece(w, good ? PIECE : 0);
}

void
tree_end(struct tree_writer *w, bool good)
{
	struct err e;

	buf_puts(&w->text, w->some ? "\n }\n}" : "}\n}");
	if (w->fd >= 0 && good)
		write_piece(w, 0);
	if (w->fd >= 0) {
		char *path = tree_path(w->c);

		close(w->fd);
		if (!good || folder_publish(w->c->root, w->temp, path, &e) < 0)
			folder_remove(w->c->root, w->temp, &e);
		free(path);
	}
	free(w->temp);
	buf_release(&w->text);
}

bool
cache_is_absent(const struct cache *c, const char *path)
{
	char *at = in_commit(c, ".no_exist", path);
	struct stat st;
	struct err e;
	bool is = folder_stat(c->root, at, &st, &e) == 0;

	free(at);
	return is;
}

void
cache_set_absent(const struct cache *c, const char *path)
{
	char *at = in_commit(c, ".no_exist", path);
	struct err e;

	folder_write_new(c->root, at, str_of(""), &e);
	free(at);
}

/* --- Contents. --- */

static bool
has_size(const struct stat *st, uint64_t size)
{
	return S_ISREG(st->st_mode) && (uint64_t)st->st_size == size;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The content that a blob's link leads to, in the shared store; NULL: the link
 * leads elsewhere. The caller frees. */
static char *
shared_at(const struct folder *f, const char *blob, const struct folder *root)
{
	char text[128];
	struct stat st;
	struct err e;
	const char *at;

	if (folder_read_link(f, blob, text, sizeof(text), NULL, &e) < 0)
		return NULL;
	at = shared_path(text);
	/* A folder without the mark is no store. */
	return at && folder_stat(root, MARKER, &st, &e) == 0 ? xstrdup(at)
							     : NULL;
}

/* blob is below f, which is the root or the folder of the blobs; *st is of its
 * content. */
static enum cache_found
look_blob(const struct cache *c, const struct folder *f, const char *blob,
    uint64_t size, struct stat *st, struct err *e)
{
	int rv = folder_stat(f, blob, st, e);

	if (rv)
		return rv < 0 ? CACHE_ERROR : CACHE_MISSING;
	if (S_ISLNK(st->st_mode)) {
		char *at = shared_at(f, blob, c->root);

		rv = at ? folder_stat(c->root, at, st, e) : 1;
		free(at);
		if (rv)
			return CACHE_MISSING;
	} else if (!S_ISREG(st->st_mode)) {
		err_set(e, ERR_FILE,
		    "the cache is broken: '%s/%s' is not a file", f->path,
		    blob);
		err_hint(e, "remove it");
		return CACHE_ERROR;
	}
	return has_size(st, size) ? CACHE_BLOB : CACHE_MISSING;
}

enum cache_found
cache_look_blob(const struct cache *c, const struct digest *d, uint64_t size)
{
	char *blob = cache_blob(c, d);
	struct stat st;
	struct err e;
	enum cache_found found = look_blob(c, c->root, blob, size, &st, &e);

	free(blob);
	return found;
}

/* Opens a folder below the root, unless f is it already: so that looking at what
 * is in it is one call. */
static bool
open_once(const struct cache *c, struct folder *f, const char *path)
{
	struct err e;

	if (f->fd >= 0 &&
	    strcmp(f->path + strlen(c->root->path) + 1, path) == 0)
		return true;
	folder_close(f);
	f->fd = folder_openat(c->root, path, O_RDONLY | O_DIRECTORY, &e);
	if (f->fd >= 0)
		f->path = join(c->root->path, "/", path, "");
	return f->fd >= 0;
}

static bool
open_blobs(struct cache *c)
{
	char *path = join(c->base, "blobs", "", "");
	bool open = open_once(c, &c->blobs, path);

	free(path);
	return open;
}

/* What has the place of a file in the snapshot: a link with that text, another
 * file (text is ""), or nothing. -1: it is in the way. */
static int
look_entry(struct cache *c, const char *path, char text[PATH_LIMIT],
    struct stat *st, bool *there, struct err *e)
{
	char *at = cache_entry(c, path);
	const char *name = path_last(at);
	char *in = xstrndup(at, (size_t)(name - at) - 1);
	bool open = open_once(c, &c->part, in);
	int rv = 0;

	free(in);
	*there = folder_read_link(open ? &c->part : c->root, open ? name : at,
		     text, PATH_LIMIT, st, e) >= 0 ||
		 errno == EINVAL;
	if (!*there) {
		rv = errno == ENOENT ? 0 : -1;
	} else if (!*text && !S_ISREG(st->st_mode)) {
		err_set(e, ERR_FILE,
		    "the cache is broken: '%s/%s' is not a file", c->root->path,
		    at);
		rv = err_hint(e, "remove it");
	}
	free(at);
	return rv;
}

enum cache_found
cache_look(struct cache *c, const char *path, const struct digest *d,
    uint64_t size, bool *there, struct err *e)
{
	char hex[2 * HASH_SIZE_MAX + 1], text[PATH_LIMIT] = "", *right;
	enum cache_found found = CACHE_MISSING;
	struct stat entry, blob;
	bool hit;

	if (look_entry(c, path, text, &entry, there, e) < 0)
		return CACHE_ERROR;
	digest_hex(d, hex);
	if (open_blobs(c))
		found = look_blob(c, &c->blobs, hex, size, &blob, e);
	if (*there && !*text) {
		if (!has_size(&entry, size))
			return found;
		return found == CACHE_BLOB && same_file(&entry, &blob)
			   ? CACHE_HIT
			   : CACHE_PLAIN;
	}
	right = link_text(path, hex);
	hit = *there && strcmp(text, right) == 0;
	free(right);
	return found == CACHE_BLOB && hit ? CACHE_HIT : found;
}

int
cache_find(struct cache *c, const char *path, struct repo_file *out)
{
	char text[PATH_LIMIT], *at = cache_entry(c, path), *shared, *right;
	struct err e;
	struct stat st = {.st_size = -1};
	int n = folder_read_link(c->root, at, text, sizeof(text), NULL, &e);
	int rv = 1;
	const char *hex = n < 0 ? NULL : strrchr(text, '/');

	free(at);
	*out = (struct repo_file){.path = NULL};
	if (!hex || digest_parse(str_of(hex + 1), &out->digest) < 0 ||
	    !open_blobs(c))
		return 1;
	right = link_text(path, hex + 1);
	if (strcmp(text, right) == 0)
		rv = folder_stat(&c->blobs, hex + 1, &st, &e);
	if (rv == 0 && S_ISLNK(st.st_mode)) {
		shared = shared_at(&c->blobs, hex + 1, c->root);
		rv = shared ? folder_stat(c->root, shared, &st, &e) : 1;
		free(shared);
	}
	free(right);
	if (rv || !S_ISREG(st.st_mode))
		return 1;
	out->size = (uint64_t)st.st_size;
	return 0;
}

/* Where the content of a blob lies: there, or in the shared store. */
static char *
real_blob(const struct cache *c, const struct digest *d)
{
	char *blob = cache_blob(c, d);
	char *shared = shared_at(c->root, blob, c->root);

	if (!shared)
		return blob;
	free(blob);
	return shared;
}

int
cache_open_blob(const struct cache *c, const struct digest *d, struct err *e)
{
	char *blob = real_blob(c, d);
	/* It may be a pipe by now. */
	int fd = folder_openat(c->root, blob, O_RDONLY | O_NONBLOCK, e);

	free(blob);
	return fd;
}

/* A content and its place in the snapshot, as paths below the root, and what the
 * link says. */
struct place {
	char *blob, *at, *link;
};

/* blob is taken over. */
static struct place
place_make(
    const struct cache *c, const char *path, const struct digest *d, char *blob)
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(d, hex);
	return (struct place){blob, cache_entry(c, path), link_text(path, hex)};
}

static void
place_release(struct place *p)
{
	free(p->blob);
	free(p->at);
	free(p->link);
}

/* True if the place is free, or has what belongs there: another program has
 * made the same link meanwhile. */
static bool
is_free(const struct cache *c, const struct place *p)
{
	char text[PATH_LIMIT];
	struct stat st, its;
	struct err e;

	if (folder_read_link(c->root, p->at, text, sizeof(text), &st, &e) >= 0)
		return strcmp(text, p->link) == 0;
	return errno != EINVAL ||
	       (folder_stat(c->root, p->blob, &its, &e) == 0 &&
		   same_file(&st, &its));
}

/* Links as the file system can. */
static enum cache_put
link_at_best(struct cache *c, const struct place *p, struct err *e)
{
	if (c->links == CACHE_SYMLINKS) {
		if (folder_symlink(c->root, p->link, p->at, e) == 0)
			return CACHE_DONE;
		if (!folder_lacks_links(errno))
			return CACHE_FAILED;
		c->links = CACHE_HARD_LINKS;
	}
	if (c->links == CACHE_HARD_LINKS) {
		if (folder_hard_link(c->root, p->blob, p->at, e) == 0)
			return CACHE_DONE;
		if (!folder_lacks_links(errno))
			return CACHE_FAILED;
		c->links = CACHE_NO_LINKS;
	}
	return CACHE_LINKLESS;
}

enum cache_put
cache_link(struct cache *c, const char *path, const struct digest *d,
    bool there, struct err *e)
{
	struct place p = place_make(c, path, d, real_blob(c, d));
	enum cache_put put = CACHE_TAKEN;

	if (there || is_free(c, &p))
		put = link_at_best(c, &p, e);
	place_release(&p);
	return put;
}

enum cache_put
cache_publish(struct cache *c, const char *from, const char *path,
    const struct digest *d, bool there, struct err *e)
{
	struct place p = place_make(c, path, d, cache_blob(c, d));
	bool alone = c->links == CACHE_NO_LINKS;
	enum cache_put put;

	/* Looked at before a blob is replaced that another program has linked
	 * there. */
	if (!there && !is_free(c, &p)) {
		put = CACHE_TAKEN;
	} else if (folder_publish(c->root, from, alone ? p.at : p.blob, e) <
		   0) {
		put = CACHE_FAILED;
	} else if (alone) {
		put = CACHE_DONE;
	} else {
		put = link_at_best(c, &p, e);
		if (put == CACHE_LINKLESS)
			put = folder_publish(c->root, p.blob, p.at, e) < 0
				  ? CACHE_FAILED
				  : CACHE_DONE;
		if (put == CACHE_FAILED)
			put = CACHE_UNLINKED;
	}
	place_release(&p);
	return put;
}

/* --- Locks. --- */

int
cache_lock(const struct cache *c, const struct digest *d)
{
	char hex[2 * HASH_SIZE_MAX + 1], *path;
	struct buf b = buf_make(1024);
	struct stat st;
	struct err e;
	bool held;
	int fd;

	digest_hex(d, hex);
	buf_printf(&b, ".locks/%s/%s.lock", c->name, hex);
	path = buf_detach(&b);
	fd = folder_openat(c->root, path, O_RDWR | O_CREAT, &e);
	free(path);
	if (fd < 0)
		return -2;
	/* As the official client does, for other users of the cache; but it may
	 * be a second name of a file that is none of ours. */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
	    st.st_size == 0)
		(void)fchmod(fd, 0664);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	held = errno == EWOULDBLOCK;
	close(fd);
	return held ? -1 : -2;
}

uint64_t
cache_incomplete(const struct cache *c, const struct digest *d)
{
	char hex[2 * HASH_SIZE_MAX + 1], *path = join(c->base, "blobs", "", "");
	struct err e;
	int fd = folder_openat(c->root, path, O_RDONLY | O_DIRECTORY, &e);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	uint64_t bytes = 0;
	struct stat st;

	digest_hex(d, hex);
	while (dir && (entry = readdir(dir)))
		if (strncmp(entry->d_name, hex, strlen(hex)) == 0 &&
		    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_size;
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	free(path);
	return bytes;
}
