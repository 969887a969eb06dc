#include "../../cache.c"

#include "tests/unit/scratch.h"
#include "tests/unit/test.h"
#include "tests/unit/tree.h"

#include <sys/stat.h>

#define COMMIT "87f3c7095f3c62d911500958878d8b8287c4a2ee"
#define SHA "344408a72f0bc14a380c0a156b94a21ddc668a535be8b892aed91115d8ca61b7"
#define OID "abb2df387e7bc8ebf002c540492ce260b10a6b5d"
#define XET "1d7ac911d8e6f9c00fe8d36f3cf91dc39a2a8bae4deb763f4cb8f791afa3c830"

static int
add(void *ctx, const struct repo_file *f, struct err *e)
{
	struct buf *b = ctx;
	char hex[2 * HASH_SIZE_MAX + 1];

	(void)e;
	digest_hex(&f->digest, hex);
	buf_printf(b, "%s %" PRIu64 " %.4s%s%.4s\n", f->path, f->size, hex,
	    *f->ids->xet ? " " : "", f->ids->xet);
	return 0;
}

#define ONE "\"a\": {\"size\": 1, \"blob_id\": \"" OID "\"}"
#define LFS \
	"\"b/c\": {\"size\": 7, \"blob_id\": \"" OID \
	"\", \"lfs_sha256\":\"" SHA "\", \"lfs_size\": 9, \"xet_hash\": null}"
#define TREE(x) "{\"format_version\": 1, \"files\": {" x "}}"

static void
test_listing(void)
{
	static const struct {
		const char *text, *out; /* NULL: refused */
	} t[] = {
	    {TREE(""), ""},
	    {"{\"repo\": 5, \"x\": [], \"format_version\": 1, \"files\": {}}",
		""},
	    {TREE(ONE), "a 1 abb2\n"},
	    {TREE(ONE "," LFS), "a 1 abb2\nb/c 9 3444\n"},
	    {TREE("\"a\": {\"size\": 1, \"blob_id\": \"" OID
		  "\", \"xet_hash\": \"" XET "\"}"),
		"a 1 abb2 1d7a\n"},
	    {TREE("\"a\": {\"size\": 1, \"blob_id\": \"" OID
		  "\", \"xet_hash\": \"../" OID "\"}"),
		"a 1 abb2\n"},
	    {" {\n \"files\" :\n{ } , \"x\": [{\"y\": \"}\"}], "
	     "\"format_version\":1.0 } \n",
		""},
	    {TREE("\"\\u00fc\\\"}\": {\"size\":0,\"blob_id\":\"" OID "\"}"),
		"\xc3\xbc\"} 0 abb2\n"},
	    {"", NULL},
	    {"{}", NULL},
	    {"[]", NULL},
	    {"null", NULL},
	    {TREE("") TREE(""), NULL},
	    {TREE("") "}", NULL},
	    {"{\"files\": {}}", NULL},
	    {"{\"format_version\": 1}", NULL},
	    {"{\"format_version\": \"1\", \"files\": {}}", NULL},
	    {"{\"format_version\": 1, \"files\": []}", NULL},
	    {"{\"format_version\": 1, \"files\": {}, \"files\": {}}", NULL},
	    {"{\"format_version\": 1, \"files\": {},}", NULL},
	    {"{\"format_version\": 1,, \"files\": {}}", NULL},
	    {"{,\"format_version\": 1, \"files\": {}}", NULL},
	    {"{\"format_version\": 1, \"files\": {} 5}", NULL},
	    {"{\"format_version\": 1, \"files\": {}]", NULL},
	    {"{\"format_version\": 1, \"files\" {}}", NULL},
	    {TREE(ONE ","), NULL},
	    {TREE("," ONE), NULL},
	    {TREE(ONE " " ONE), NULL},
	    {TREE("\"a\""), NULL},
	    {TREE("\"a\": 1"), NULL},
	    {TREE("\"a\": {}"), NULL},
	    {TREE("\"a\": {\"size\": 1}"), NULL},
	    {TREE("\"a\": {\"blob_id\": \"" OID "\"}"), NULL},
	    {TREE("\"a\": {\"size\": 1 2, \"blob_id\": \"" OID "\"}"), NULL},
	    {TREE("\"a\": {\"size\": -1, \"blob_id\": \"" OID "\"}"), NULL},
	    {TREE("\"a\": {\"size\": 1, \"blob_id\": \"" SHA "\"}"), NULL},
	    {TREE("\"a\": {\"size\": 1, \"blob_id\": \"../x\"}"), NULL},
	    {TREE("\"a\": {\"size\": 1, \"blob_id\": \"" OID
		  "\", \"lfs_sha256\": \"" OID "\"}"),
		NULL},
	    {TREE("\"\\u0000\": {\"size\": 1, \"blob_id\": \"" OID "\"}"),
		NULL},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct str text = str_of(t[i].text);

		for (size_t cut = 0; cut <= text.n; cut++) {
			struct buf out = buf_make(4096);
			struct err e;
			int rv = tree_read(text, cut, NULL, add, &out, &e);

			CHECK_ROW(i, rv == (t[i].out ? 0 : -1));
			CHECK_ROW(i, rv == 0 || e.kind == ERR_CONTENT);
			CHECK_ROW(i,
			    !t[i].out || strcmp(buf_cstr(&out), t[i].out) == 0);
			buf_release(&out);
		}
		/* No beginning of it is whole. */
		for (size_t n = 0; t[i].out && n + 2 < text.n; n++) {
			struct buf out = buf_make(4096);
			struct err e;

			CHECK_ROW(i, tree_read(str_make(text.s, n), 0, NULL,
					 add, &out, &e) < 0);
			buf_release(&out);
		}
	}
}

/* A newer client's: not broken, but nothing to us. */
static void
test_version(void)
{
	static const char *const t[] = {
	    "{\"format_version\": 2, \"files\": {}}",
	    "{\"format_version\": 0, \"files\": {}}",
	    "{\"format_version\": 4294967295, \"files\": 7}",
	    "{\"files\": {}, \"format_version\": 17}",
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf out = buf_make(4096);
		struct err e = {.kind = ERR_NONE};

		CHECK_ROW(
		    i, tree_read(str_of(t[i]), 0, NULL, add, &out, &e) < 0);
		CHECK_ROW(i, e.kind == ERR_OTHER);
		buf_release(&out);
	}
}

/* A folder's listing may name its repository. */
static void
test_repository(void)
{
	static const struct {
		const char *text, *repo, *out; /* NULL: of another one */
	} t[] = {
	    {"{\"repo\":\"a/b\",\"format_version\":1,\"files\":{" ONE "}}",
		"a/b", "a 1 abb2\n"},
	    {"{\"repo\":\"a/b\",\"format_version\":1,\"files\":{" ONE "}}",
		"a/c", NULL},
	    {"{\"repo\":7,\"format_version\":1,\"files\":{" ONE "}}", "a/b",
		NULL},
	    {"{\"format_version\":1,\"files\":{},\"repo\":\"a/b\"}", "x", NULL},
	    {"{\"format_version\":1,\"files\":{" ONE "}}", "a/b", "a 1 abb2\n"},
	    {"{\"repo\":\"a/b\",\"format_version\":1,\"files\":{" ONE "}}",
		NULL, "a 1 abb2\n"},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf out = buf_make(4096);
		struct err e;

		CHECK_ROW(i, tree_read(str_of(t[i].text), 9, t[i].repo, add,
				 &out, &e) == !t[i].out);
		CHECK_ROW(
		    i, strcmp(buf_cstr(&out), t[i].out ? t[i].out : "") == 0);
		buf_release(&out);
	}
}

static void
test_names(void)
{
	static const struct {
		enum repo_type type;
		const char *id, *base;
	} t[] = {
	    {REPO_MODEL, "gpt2", "models--gpt2/"},
	    {REPO_DATASET, "org/name", "datasets--org--name/"},
	    {REPO_SPACE, "o/n", "spaces--o--n/"},
	    {REPO_KERNEL, "o/n", "kernels--o--n/"},
	};
	static const struct {
		const char *path, *text;
	} links[] = {
	    {"a", "../../blobs/X"},
	    {"a/b", "../../../blobs/X"},
	    {"a/b/c", "../../../../blobs/X"},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct cache c;

		cache_init(&c, NULL, t[i].type, t[i].id);
		CHECK_ROW(i, strcmp(c.base, t[i].base) == 0);
		CHECK_ROW(i, strlen(c.name) + 1 == strlen(c.base));
		cache_release(&c);
	}
	for (size_t i = 0; i < countof(links); i++) {
		char *text = link_text(links[i].path, "X");

		CHECK_ROW(i, strcmp(text, links[i].text) == 0);
		free(text);
	}
}

static void
test_shared_path(void)
{
	static const struct {
		const char *text;
		bool good;
	} t[] = {
	    {"../../blobs/1d/" XET, true},
	    {"../../blobs/1e/" XET, false},
	    {"../../blobs/1d/" OID, false},
	    {"../../blobs/" XET, false},
	    {"../../../blobs/1d/" XET, false},
	    {"/../../blobs/1d/" XET, false},
	    {"../../blobs/1d/" XET "/", false},
	    {"../../blobs/1d/" XET ".refs", false},
	    {"", false},
	};

	for (size_t i = 0; i < countof(t); i++)
		CHECK_ROW(i, (shared_path(t[i].text) != NULL) == t[i].good);
}

/* A cache with one repository, in a scratch folder. */
struct scene {
	char s[SCRATCH_PATH];
	struct folder root;
	struct cache c;
	struct digest d;
};

static void
begin(struct scene *x)
{
	struct err e;

	scratch_make(x->s);
	CHECK(folder_open(&x->root, x->s, false, &e) == 0);
	cache_init(&x->c, &x->root, REPO_MODEL, "o/n");
	memcpy(x->c.commit, COMMIT, sizeof(x->c.commit));
	CHECK(digest_parse(str_of(OID), &x->d) == 0);
}

static void
end(struct scene *x)
{
	cache_release(&x->c);
	folder_close(&x->root);
	scratch_remove(x->s);
}

static void
put(struct scene *x, const char *path, const char *text)
{
	struct err e;

	CHECK(folder_write(&x->root, path, str_of(text), &e) == 0);
}

#define BASE "models--o--n/"

static void
test_refs(void)
{
	struct scene x;
	struct err e;
	char commit[41];

	begin(&x);
	CHECK(cache_ref(&x.c, "main", commit, &e) == 1);
	CHECK(cache_set_ref(&x.c, "main", &e) == 0);
	CHECK(cache_ref(&x.c, "main", commit, &e) == 0);
	CHECK(strcmp(commit, COMMIT) == 0);
	CHECK(cache_set_ref(&x.c, "refs/pr/3", &e) == 0);
	CHECK(cache_ref(&x.c, "refs/pr/3", commit, &e) == 0);
	/* A commit is no revision to be noted, and names that climb are none. */
	CHECK(cache_set_ref(&x.c, COMMIT, &e) == 0);
	CHECK(cache_ref(&x.c, COMMIT, commit, &e) == 1);
	CHECK(cache_set_ref(&x.c, "../../x", &e) == 0);
	CHECK(cache_ref(&x.c, "../../x", commit, &e) == 1);
	put(&x, BASE "refs/main", COMMIT "\n");
	CHECK(cache_ref(&x.c, "main", commit, &e) < 0 && e.kind == ERR_CONTENT);
	put(&x, BASE "refs/main", "");
	CHECK(cache_ref(&x.c, "main", commit, &e) < 0);
	CHECK(cache_set_ref(&x.c, "main", &e) == 0);
	CHECK(cache_ref(&x.c, "main", commit, &e) == 0);
	CHECK(!cache_is_absent(&x.c, "a/b"));
	cache_set_absent(&x.c, "a/b");
	CHECK(cache_is_absent(&x.c, "a/b") && !cache_is_absent(&x.c, "a/c"));
	end(&x);
}

static void
test_written_listing(void)
{
	struct scene x;
	struct tree_writer w;
	struct repo_ids ids = {.xet = XET};
	char one[] = "one", token[] = "hf_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.txt";
	struct repo_file f = {.size = 5, .ids = &ids};
	struct buf got = buf_make(1 << 20), want = buf_make(1 << 20);
	struct maker me = {.uid = getuid()}, other = {.uid = getuid() + 1};
	struct maker guess = {.uid = getuid() + 1, .unsure = true};
	struct err e;

	begin(&x);
	CHECK(cache_tree(&x.c, NULL, add, &got, &e) == 1);
	ids.blob = x.d;
	tree_begin(&w, &x.c, NULL);
	for (int i = 0; i < 1000; i++) {
		char path[64];

		snprintf(
		    path, sizeof(path), "folder \"%d\"/\xc3\xbc\n%d", i, i);
		f.path = path;
		digest_parse(str_of(i % 2 ? SHA : OID), &f.digest);
		tree_add(&w, &f);
		CHECK(add(&want, &f, &e) == 0);
	}
	f.path = NULL;
	tree_end(&w, true);
	CHECK(cache_tree(&x.c, &me, add, &got, &e) == 0);
	CHECK(str_same(buf_str(&got), buf_str(&want)) && got.len > 20000);
	CHECK(cache_tree(&x.c, &other, add, &got, &e) == 1);
	/* Where the owner is not sure, a file shows it. */
	CHECK(cache_tree(&x.c, &guess, add, &want, &e) == 0);
	CHECK(!guess.unsure && guess.uid == getuid());
	/* One that is there is not written again if it is ours; one that failed
	 * is none. */
	tree_begin(&w, &x.c, &me);
	CHECK(w.fd < 0);
	tree_end(&w, true);
	tree_begin(&w, &x.c, &other);
	CHECK(w.fd >= 0);
	tree_end(&w, false);
	CHECK(cache_tree(&x.c, &me, add, &want, &e) == 0);
	memcpy(x.c.commit, "0123456789012345678901234567890123456789", 41);
	f.path = one;
	tree_begin(&w, &x.c, NULL);
	tree_add(&w, &f);
	tree_end(&w, false);
	CHECK(cache_tree(&x.c, NULL, add, &got, &e) == 1);
	tree_begin(&w, &x.c, NULL);
	f.ids = NULL;
	tree_add(&w, &f);
	f.ids = &ids;
	tree_add(&w, &f);
	tree_end(&w, true);
	CHECK(cache_tree(&x.c, NULL, add, &got, &e) == 1);
	/* Nor is one with a token in it. */
	tree_begin(&w, &x.c, NULL);
	f.path = token;
	tree_add(&w, &f);
	tree_end(&w, true);
	CHECK(cache_tree(&x.c, NULL, add, &got, &e) == 1);
	buf_release(&got);
	buf_release(&want);
	end(&x);
}

#define TREE_FILE "trees/" COMMIT ".json"

/* A newer client's listing is left to it, and none is made of another
 * repository. */
static void
test_listing_that_stays(void)
{
	static const char newer[] = "{\"format_version\": 2}";
	struct maker me = {.uid = getuid()};
	struct buf text = buf_make(4096);
	struct tree_writer w;
	struct scene x;
	struct cache f;
	struct err e;

	begin(&x);
	put(&x, BASE TREE_FILE, newer);
	tree_begin(&w, &x.c, NULL);
	tree_end(&w, true);
	CHECK(folder_read(&x.root, BASE TREE_FILE, &text, &e) == 0);
	CHECK(strcmp(buf_cstr(&text), newer) == 0);
	put(&x, BASE TREE_FILE, "{");
	tree_begin(&w, &x.c, NULL);
	tree_end(&w, true);
	CHECK(cache_tree(&x.c, NULL, add, &text, &e) == 0);

	cache_init_folder(&f, &x.root, REPO_DATASET, "o/n");
	memcpy(f.commit, COMMIT, sizeof(f.commit));
	tree_begin(&w, &f, &me);
	tree_end(&w, true);
	buf_clear(&text);
	CHECK(folder_read(
		  &x.root, ".cache/huggingface/" TREE_FILE, &text, &e) == 0);
	CHECK(strstr(buf_cstr(&text), "\"repo\": \"datasets/o/n\""));
	CHECK(cache_tree(&f, &me, add, &text, &e) == 0);
	cache_release(&f);
	cache_init_folder(&f, &x.root, REPO_MODEL, "o/n");
	memcpy(f.commit, COMMIT, sizeof(f.commit));
	CHECK(cache_tree(&f, &me, add, &text, &e) == 1);
	tree_begin(&w, &f, &me);
	CHECK(w.fd >= 0);
	tree_end(&w, true);
	CHECK(cache_tree(&f, &me, add, &text, &e) == 0);
	cache_release(&f);
	buf_release(&text);
	end(&x);
}

static enum cache_found
look(struct scene *x, const char *path, uint64_t size)
{
	struct err e;
	bool there;

	return cache_look(&x->c, path, &x->d, size, &there, &e);
}

static void
test_contents(void)
{
	struct scene x;
	struct repo_file f;
	struct err e;
	int fd;

	begin(&x);
	CHECK(look(&x, "a/b", 3) == CACHE_MISSING);
	put(&x, "new", "abc");
	CHECK(cache_publish(&x.c, "new", "a/b", &x.d, false, &e) == CACHE_DONE);
	CHECK(look(&x, "a/b", 3) == CACHE_HIT);
	CHECK(look(&x, "a/b", 4) == CACHE_MISSING);
	CHECK(look(&x, "c", 3) == CACHE_BLOB);
	CHECK(cache_find(&x.c, "a/b", &f) == 0 && f.size == 3 &&
	      digest_same(&f.digest, &x.d));
	CHECK(cache_find(&x.c, "c", &f) == 1);
	fd = cache_open_blob(&x.c, &x.d, &e);
	CHECK(fd >= 0);
	close(fd);
	CHECK(cache_link(&x.c, "c", &x.d, false, &e) == CACHE_DONE);
	CHECK(look(&x, "c", 3) == CACHE_HIT);
	/* The same once more is fine; another one may not be replaced unless
	 * it was there before. */
	CHECK(cache_link(&x.c, "c", &x.d, false, &e) == CACHE_DONE);
	CHECK(folder_symlink(&x.root, "/etc/passwd",
		  BASE "snapshots/" COMMIT "/c", &e) == 0);
	CHECK(look(&x, "c", 3) == CACHE_BLOB);
	CHECK(cache_find(&x.c, "c", &f) == 1);
	CHECK(cache_link(&x.c, "c", &x.d, false, &e) == CACHE_TAKEN);
	put(&x, "new", "abc");
	CHECK(cache_publish(&x.c, "new", "c", &x.d, false, &e) == CACHE_TAKEN);
	CHECK(cache_link(&x.c, "c", &x.d, true, &e) == CACHE_DONE);
	CHECK(look(&x, "c", 3) == CACHE_HIT);
	end(&x);
}

static void
test_hard_links(void)
{
	struct scene x;
	struct err e;

	begin(&x);
	x.c.links = CACHE_HARD_LINKS;
	put(&x, "new", "abc");
	CHECK(cache_publish(&x.c, "new", "a", &x.d, false, &e) == CACHE_DONE);
	CHECK(look(&x, "a", 3) == CACHE_HIT);
	CHECK(look(&x, "a", 4) == CACHE_MISSING);
	CHECK(cache_link(&x.c, "b", &x.d, false, &e) == CACHE_DONE);
	/* Another run has fetched it, too, and published first. */
	CHECK(cache_link(&x.c, "b", &x.d, false, &e) == CACHE_DONE);
	put(&x, "new", "abc");
	CHECK(cache_publish(&x.c, "new", "a", &x.d, false, &e) == CACHE_DONE);
	CHECK(look(&x, "a", 3) == CACHE_HIT);
	/* b is a link to a content that was replaced: a file of that size. */
	CHECK(look(&x, "b", 3) == CACHE_PLAIN);
	CHECK(look(&x, "b", 4) == CACHE_MISSING);
	end(&x);
}

static void
test_no_links(void)
{
	struct scene x;
	struct err e;

	begin(&x);
	x.c.links = CACHE_NO_LINKS;
	put(&x, "new", "abcd");
	CHECK(cache_publish(&x.c, "new", "d", &x.d, false, &e) == CACHE_DONE);
	CHECK(look(&x, "d", 4) == CACHE_PLAIN);
	CHECK(look(&x, "d", 5) == CACHE_MISSING);
	CHECK(cache_link(&x.c, "e", &x.d, false, &e) == CACHE_LINKLESS);
	/* As if the file system took it for the same name. */
	put(&x, "new", "efgh");
	CHECK(cache_publish(&x.c, "new", "d", &x.d, false, &e) == CACHE_TAKEN);
	CHECK(cache_publish(&x.c, "new", "d", &x.d, true, &e) == CACHE_DONE);
	end(&x);
}

/* The content stays, as a published file, if its link cannot be made. */
static void
test_no_place(void)
{
	struct scene x;
	struct stat st;
	struct err e = {.kind = ERR_NONE};
	struct repo_file f;

	begin(&x);
	put(&x, BASE "snapshots/" COMMIT "/a", "a file, no folder");
	put(&x, "new", "abc");
	CHECK(cache_publish(&x.c, "new", "a/b", &x.d, false, &e) ==
	      CACHE_UNLINKED);
	CHECK(e.kind == ERR_FILE);
	CHECK(cache_look_blob(&x.c, &x.d, 3) == CACHE_BLOB);
	CHECK(folder_stat(&x.root, "new", &st, &e) == 1);
	CHECK(cache_find(&x.c, "a", &f) == 1);
	/* And if that cannot be published, nothing has happened. */
	CHECK(cache_publish(&x.c, "new", "c", &x.d, false, &e) == CACHE_FAILED);
	end(&x);
}

static void
test_locks(void)
{
	struct scene x;
	int fd;

	begin(&x);
	fd = cache_lock(&x.c, &x.d);
	CHECK(fd >= 0);
	CHECK(cache_lock(&x.c, &x.d) == -1);
	close(fd);
	CHECK(cache_incomplete(&x.c, &x.d) == 0);
	put(&x, BASE "blobs/" OID ".12345678.incomplete", "12345");
	CHECK(cache_incomplete(&x.c, &x.d) == 5);
	CHECK(cache_look_blob(&x.c, &x.d, 5) == CACHE_MISSING);
	end(&x);
}

int
main(void)
{
	test_listing();
	test_version();
	test_repository();
	test_names();
	test_shared_path();
	test_refs();
	test_written_listing();
	test_listing_that_stays();
	test_contents();
	test_hard_links();
	test_no_links();
	test_no_place();
	test_locks();
	return test_end();
}
