#define _GNU_SOURCE /* unshare */

#include "partial.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "mem.h"
#include "scratch.h"
#include "test.h"
#include "wait.h"

#define BLOCK PARTIAL_BLOCK
#define PREFIX ".cache/x/"

/* A folder and a content. */
struct place {
	char root[SCRATCH_PATH];
	struct folder f;
	struct partial_setup setup;
	struct digest want;
	uint64_t size;
	unsigned char *bytes;
};

static uint32_t
next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void
place_init(struct place *p, uint64_t size)
{
	struct err e;
	struct hash h;
	uint32_t seed = (uint32_t)size;

	scratch_make(p->root);
	CHECK(folder_open(&p->f, p->root, false, &e) == 0);
	CHECK(partial_setup(&p->f, &p->setup, &e) == 0);
	p->setup.traits.network = false;
	p->setup.traits.sparse = true;
	memset(p->setup.self.boot, 7, 16);
	p->setup.self.pids = 9;
	p->size = size;
	p->bytes = xmalloc((size_t)size);
	for (size_t i = 0; i < size; i++)
		p->bytes[i] = (unsigned char)(next(&seed) | 1);
	hash_init(&h, HASH_SHA256, size);
	hash_update(&h, p->bytes, (size_t)size);
	hash_final(&h, &p->want);
}

static void
place_release(struct place *p)
{
	folder_close(&p->f);
	free(p->bytes);
	scratch_remove(p->root);
}

static void
path_of(const struct place *p, const char *kind, char out[160])
{
	char hex[2 * HASH_SIZE_MAX + 1];

	digest_hex(&p->want, hex);
	snprintf(out, 160, "%s/%s%s.%s", p->root, PREFIX, hex, kind);
}

static unsigned
count_files(const struct place *p)
{
	char cmd[96];
	unsigned n = 99;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "find %s -type f | wc -l", p->root);
	f = popen(cmd, "r");
	CHECK(f && fscanf(f, "%u", &n) == 1);
	pclose(f);
	return n;
}

static struct partial *
open_as(struct place *p, bool resume, enum partial_found *found, uint64_t *had,
    struct err *e)
{
	return partial_open_on(
	    &p->setup, &p->f, PREFIX, &p->want, p->size, resume, found, had, e);
}

/* Opens and checks what was found. */
static struct partial *
must_open(struct place *p, bool resume, enum partial_found want, uint64_t bytes)
{
	enum partial_found found = PARTIAL_NEW;
	uint64_t had = 0;
	struct err e = {0};
	struct partial *part = open_as(p, resume, &found, &had, &e);

	if (!part)
		printf("%s\n", e.msg);
	CHECK(part != NULL);
	CHECK(found == want);
	CHECK(had == bytes);
	if (had != bytes)
		printf("had %llu, not %llu\n", (unsigned long long)had,
		    (unsigned long long)bytes);
	return part;
}

/* Writes [from, to) in pieces. */
static int
put(struct place *p, struct partial *part, uint64_t from, uint64_t to,
    struct err *e)
{
	const uint64_t piece = 300007;

	for (uint64_t at = from; at < to;) {
		size_t n = (size_t)(to - at < piece ? to - at : piece);

		if (partial_write(part, p->bytes + at, n, at, from, e) < 0)
			return -1;
		at += n;
	}
	return 0;
}

static void
fill(struct place *p, struct partial *part, uint64_t from, uint64_t to)
{
	struct err e;

	CHECK(put(p, part, from, to, &e) == 0);
}

/* Hashes on from the frontier, as far as the bytes are here. */
static void
advance(struct place *p, struct partial *part, struct hash *h)
{
	uint64_t from, end;

	partial_hash(part, h);
	from = hash_length(h);
	end = partial_run_end(part, from);
	hash_update(h, p->bytes + from, (size_t)(end - from));
	partial_hashed(part, h);
}

/* What part claims is what the content has. True of every state. */
static bool
is_true(struct place *p, struct partial *part)
{
	unsigned char *got = xmalloc(BLOCK);
	uint64_t at = 0, first, end, here = 0;
	struct digest a, b;
	struct hash h, again;
	struct err e;
	bool ok = true;

	while (at < p->size && ok) {
		uint64_t stop = partial_run_end(part, at);

		for (; at < stop && ok; here += end, at += end) {
			end = stop - at < BLOCK ? stop - at : BLOCK;
			ok =
			    partial_read(part, got, (size_t)end, at, &e) == 0 &&
			    memcmp(got, p->bytes + at, (size_t)end) == 0;
		}
		if (at < p->size &&
		    partial_missing(part, at, UINT64_MAX, &first, &end))
			at = end;
	}
	partial_hash(part, &h);
	ok = ok && here == partial_here(part) && hash_length(&h) <= p->size &&
	     partial_run_end(part, 0) >= hash_length(&h);
	hash_init(&again, HASH_SHA256, p->size);
	if (ok)
		hash_update(&again, p->bytes, (size_t)hash_length(&h));
	hash_final(&h, &a);
	hash_final(&again, &b);
	free(got);
	return ok && digest_same(&a, &b);
}

/* Fetches the rest, publishes, and looks at what was published. */
static void
complete(struct place *p, struct partial *part)
{
	uint64_t first, end;
	const char *name;
	struct buf b = buf_make((size_t)p->size + 1);
	struct digest got;
	struct hash h;
	struct err e;

	while (partial_missing(part, 0, 3 * BLOCK, &first, &end))
		fill(p, part, first, end);
	CHECK(partial_here(part) == p->size);
	advance(p, part, &h);
	hash_final(&h, &got);
	CHECK(digest_same(&got, &p->want));
	CHECK(partial_finish(part, &name, &e) == 0);
	CHECK(folder_publish(&p->f, name, "done", true, &e) == 0);
	partial_close(part, true);
	CHECK(folder_read(&p->f, "done", &b, &e) == 0);
	CHECK(b.len == p->size && memcmp(b.s, p->bytes, b.len) == 0);
	buf_release(&b);
}

static void
test_small(void)
{
	static const uint64_t size[] = {0, 1, 1000, BLOCK - 1, BLOCK};

	for (size_t i = 0; i < countof(size); i++) {
		struct place p;
		struct partial *part, *other;
		enum partial_found found;
		struct err e;

		place_init(&p, size[i]);
		part = must_open(&p, true, PARTIAL_NEW, 0);
		other = partial_open(
		    &p.f, PREFIX, &p.want, p.size, true, &found, NULL, &e);
		CHECK_ROW(i, other && found == PARTIAL_NEW);
		CHECK_ROW(i, count_files(&p) == 2);
		CHECK_ROW(i, !partial_in_order(part));
		CHECK_ROW(i, partial_tend(part, &e) == 0);
		complete(&p, part);
		CHECK_ROW(i, count_files(&p) == 2);
		partial_close(other, false);
		CHECK_ROW(i, count_files(&p) == 1);
		CHECK_ROW(i, partial_left(&p.f, PREFIX, &p.want, p.size) == 0);
		place_release(&p);
	}
	partial_close(NULL, false);
}

static void
test_ranges(void)
{
	struct place p;
	struct partial *part;
	uint64_t first, end;
	struct err e;

	place_init(&p, 5 * BLOCK + 3);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	CHECK(partial_size(part) == p.size);
	CHECK(partial_missing(part, 0, 2 * BLOCK, &first, &end));
	CHECK(first == 0 && end == 2 * BLOCK);
	CHECK(partial_missing(part, 0, UINT64_MAX, &first, &end));
	CHECK(first == 0 && end == p.size);
	CHECK(partial_missing(part, 0, 1, &first, &end) && end == BLOCK);
	CHECK(partial_missing(part, 5, 2 * BLOCK, &first, &end));
	CHECK(first == 5 && end == 2 * BLOCK);
	CHECK(partial_missing(part, p.size - 1, 1, &first, &end));
	CHECK(first == p.size - 1 && end == p.size);
	CHECK(!partial_missing(part, p.size, 1, &first, &end));
	/* A block counts once it is whole. */
	CHECK(partial_write(part, p.bytes, BLOCK - 1, 0, 0, &e) == 0);
	CHECK(partial_here(part) == 0 && partial_run_end(part, 0) == 0);
	CHECK(
	    partial_write(part, p.bytes + BLOCK - 1, 1, BLOCK - 1, 0, &e) == 0);
	CHECK(partial_here(part) == BLOCK && partial_run_end(part, 0) == BLOCK);
	CHECK(partial_run_end(part, 5) == BLOCK);
	CHECK(partial_run_end(part, BLOCK) == BLOCK);
	/* A range that began within a block does not have it. */
	fill(&p, part, 2 * BLOCK + 1, 4 * BLOCK);
	CHECK(partial_here(part) == 2 * BLOCK);
	CHECK(partial_missing(part, 0, UINT64_MAX, &first, &end));
	CHECK(first == BLOCK && end == 3 * BLOCK);
	CHECK(partial_missing(part, 3 * BLOCK, UINT64_MAX, &first, &end));
	CHECK(first == 4 * BLOCK && end == p.size);
	fill(&p, part, 5 * BLOCK, p.size);
	CHECK(partial_here(part) == 2 * BLOCK + 3);
	CHECK(!partial_missing(part, 5 * BLOCK, 9, &first, &end));
	CHECK(partial_run_end(part, 5 * BLOCK) == p.size);
	CHECK(partial_run_end(part, p.size) == p.size);
	CHECK(is_true(&p, part));
	/* Outside. */
	CHECK(partial_write(part, p.bytes, 1, p.size, 0, &e) < 0);
	CHECK(partial_write(part, p.bytes, 4, p.size - 3, 0, &e) < 0);
	CHECK(partial_write(part, p.bytes, 1, UINT64_MAX, 0, &e) < 0);
	CHECK(partial_write(part, p.bytes, 1, 5, 6, &e) < 0);
	CHECK(partial_finish(part, &(const char *){NULL}, &e) < 0);
	complete(&p, part);
	CHECK(count_files(&p) == 1);
	place_release(&p);
}

static void
test_resume(void)
{
	struct place p;
	struct partial *part;
	struct hash h;
	struct stat st;
	char path[160];

	place_init(&p, 9 * BLOCK - 1);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	partial_close(part, false);
	CHECK(count_files(&p) == 0);
	part = must_open(&p, false, PARTIAL_NEW, 0);
	fill(&p, part, 0, 3 * BLOCK);
	fill(&p, part, 8 * BLOCK, p.size);
	advance(&p, part, &h);
	partial_close(part, false);
	memcpy(&p.setup.self.boot, "another", 8);
	part = must_open(&p, true, PARTIAL_RESUMED, 4 * BLOCK - 1);
	partial_hash(part, &h);
	CHECK(hash_length(&h) == 3 * BLOCK);
	CHECK(is_true(&p, part));
	path_of(&p, "part", path);
	CHECK(stat(path, &st) == 0 && st.st_size == (off_t)p.size);
	partial_close(part, false);
	part = must_open(&p, false, PARTIAL_DROPPED, 4 * BLOCK - 1);
	CHECK(partial_here(part) == 0 && is_true(&p, part));
	CHECK(stat(path, &st) == 0 && st.st_blocks < 100);
	fill(&p, part, BLOCK, 2 * BLOCK);
	partial_close(part, false);
	part = must_open(&p, true, PARTIAL_RESUMED, BLOCK);
	CHECK(partial_reset(part, &(struct err){0}) == 0);
	CHECK(partial_here(part) == 0 && is_true(&p, part));
	complete(&p, part);
	CHECK(count_files(&p) == 1);
	place_release(&p);
}

/* Runs job in a child that ends as after kill -9. */
static void
in_child(struct place *p, void (*job)(struct place *))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		p->setup.self.pid = (uint32_t)getpid();
		job(p);
		kill(getpid(), SIGKILL);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
}

/* Syncs blocks 0 and 1, and leaves 2 and 4 to the live view. */
static void
write_some(struct place *p)
{
	struct err e;
	struct hash h;
	struct partial *part = open_as(p, true, NULL, NULL, &e);

	if (!part || put(p, part, 0, 2 * BLOCK, &e) < 0)
		_exit(1);
	advance(p, part, &h);
	p->setup.sync = 0;
	if (partial_tend(part, &e) < 0 ||
	    put(p, part, 2 * BLOCK, 3 * BLOCK, &e) < 0 ||
	    put(p, part, 4 * BLOCK, 5 * BLOCK, &e) < 0)
		_exit(1);
	advance(p, part, &h);
}

static void
test_views(void)
{
	struct place p;
	struct partial *part;
	struct hash h;

	for (int i = 0; i < 3; i++) {
		place_init(&p, 12 * BLOCK);
		p.setup.sync = 0;
		p.setup.traits.network = i == 2;
		in_child(&p, write_some);
		/* The same kernel still runs. */
		if (i != 1) {
			part = must_open(&p, true, PARTIAL_RESUMED, 4 * BLOCK);
			CHECK(is_true(&p, part));
			partial_close(part, false);
			place_release(&p);
			continue;
		}
		/* After a power cut. */
		memset(p.setup.self.boot, 8, 16);
		part = must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK);
		CHECK(
		    is_true(&p, part) && partial_run_end(part, 0) == 2 * BLOCK);
		partial_hash(part, &h);
		CHECK(hash_length(&h) == 2 * BLOCK);
		complete(&p, part);
		place_release(&p);
	}
}

/* Where no boot id can be had, only what was synced counts. */
static void
test_no_boot_id(void)
{
	struct place p;
	struct partial *part;

	place_init(&p, 12 * BLOCK);
	memset(p.setup.self.boot, 0, 16);
	p.setup.sync = 0;
	in_child(&p, write_some);
	part = must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK);
	CHECK(is_true(&p, part));
	partial_close(part, false);
	place_release(&p);
}

static void
test_left(void)
{
	struct place p;
	struct partial *part;
	struct err e;
	struct digest other;

	place_init(&p, 6 * BLOCK);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) == 0);
	part =
	    partial_open(&p.f, PREFIX, &p.want, p.size, true, NULL, NULL, &e);
	fill(&p, part, 0, 2 * BLOCK);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) == 2 * BLOCK);
	partial_close(part, false);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) == 2 * BLOCK);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size + 1) == 0);
	CHECK(partial_left(&p.f, PREFIX, &p.want, UINT64_MAX) == 0);
	CHECK(partial_left(&p.f, "", &p.want, p.size) == 0);
	other = p.want;
	other.b[0] ^= 1;
	CHECK(partial_left(&p.f, PREFIX, &other, p.size) == 0);
	place_release(&p);
}

/* A worker for a while: three ranges side by side, a hash, syncs. */
static void
work(struct place *p, uint32_t seed, int ready)
{
	uint64_t at[3], end[3], from[3];
	struct err e;
	struct hash h;
	struct partial *part = open_as(p, true, NULL, NULL, &e);

	if (!part || write(ready, "x", 1) != 1)
		_exit(1);
	for (int i = 0; i < 3; i++)
		at[i] = end[i] = from[i] = 0;
	while (partial_here(part) < p->size) {
		unsigned i = next(&seed) % 3;
		size_t n = 1 + next(&seed) % 200000;

		if (at[i] == end[i]) {
			uint64_t start = next(&seed) % p->size / BLOCK * BLOCK;

			if (!partial_missing(
				part, start, 4 * BLOCK, &at[i], &end[i]) &&
			    !partial_missing(
				part, 0, 4 * BLOCK, &at[i], &end[i]))
				break;
			from[i] = at[i];
		}
		if (n > end[i] - at[i])
			n = (size_t)(end[i] - at[i]);
		if (partial_write(
			part, p->bytes + at[i], n, at[i], from[i], &e) < 0)
			_exit(2);
		at[i] += n;
		if (next(&seed) % 20 == 0)
			advance(p, part, &h);
		if (next(&seed) % 50 == 0 && partial_tend(part, &e) < 0)
			_exit(3);
	}
	advance(p, part, &h);
}

/* Kills a worker at a random moment and gives the bytes that are claimed. */
static uint64_t
kill_round(struct place *p, uint32_t seed, unsigned round)
{
	int ready[2], status;
	char c;
	pid_t pid;
	struct partial *part;
	struct err e;
	uint64_t here;

	CHECK(pipe(ready) == 0);
	pid = fork();
	if (pid == 0) {
		p->setup.self.pid = (uint32_t)getpid();
		work(p, seed, ready[1]);
		_exit(0);
	}
	CHECK(read(ready[0], &c, 1) == 1);
	wait_until(wait_now() + next(&seed) % 12, &e);
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_ROW(round, WIFSIGNALED(status) || status == 0);
	close(ready[0]);
	close(ready[1]);
	part = open_as(p, true, NULL, NULL, &e);
	CHECK_ROW(round, part && is_true(p, part));
	here = part ? partial_here(part) : 0;
	if (here == p->size) {
		complete(p, part);
		return 0;
	}
	partial_close(part, false);
	return here;
}

static void
test_kill(void)
{
	struct place p;
	uint32_t seed = 5;
	uint64_t here = 0;

	place_init(&p, 48 * BLOCK - 77);
	for (unsigned round = 0; round < 60; round++) {
		uint64_t after;

		p.setup.sync = round % 3 ? PARTIAL_SYNC : 0;
		p.setup.traits.network = round % 4 == 3;
		after = kill_round(&p, next(&seed), round);
		/* What was here stays. */
		CHECK_ROW(round, after >= here || after == 0);
		here = after;
	}
	/* Dead drafts may be there, but no more than one a death. */
	CHECK(count_files(&p) < 64);
	place_release(&p);
}

static void
damage(const char *path, const unsigned char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0666);

	CHECK(write(fd, text, n) == (ssize_t)n);
	close(fd);
}

/* Opens with a damaged state; gives what is claimed. */
static uint64_t
claimed(struct place *p)
{
	struct err e;
	struct partial *part = open_as(p, true, NULL, NULL, &e);
	struct hash h;
	uint64_t here;

	CHECK(part != NULL);
	here = partial_here(part);
	partial_hash(part, &h);
	CHECK(partial_run_end(part, 0) >= hash_length(&h));
	partial_close(part, false);
	return here;
}

static void
test_damage(void)
{
	struct place p;
	struct partial *part;
	struct buf b = buf_make(1024);
	char path[160], data[160];
	int fd;

	place_init(&p, 5 * BLOCK);
	p.setup.sync = 0;
	in_child(&p, write_some);
	part = must_open(&p, true, PARTIAL_RESUMED, 4 * BLOCK);
	partial_close(part, false);
	path_of(&p, "state", path);
	path_of(&p, "part", data);
	CHECK(folder_read(
		  &p.f, path + strlen(p.root) + 1, &b, &(struct err){0}) == 0);
	for (size_t i = 0; i < b.len; i++) {
		b.s[i] = (char)(b.s[i] ^ 0x10);
		damage(path, (unsigned char *)b.s, b.len);
		b.s[i] = (char)(b.s[i] ^ 0x10);
		/* All, nothing, or what was synced; see test_state. */
		CHECK_ROW(i, claimed(&p) % BLOCK == 0);
		if (access(data, F_OK) == 0)
			continue;
		/* It was not believed: nothing here, nothing left. */
		fd = open(data, O_RDWR | O_CREAT, 0666);
		CHECK(
		    pwrite(fd, p.bytes, (size_t)p.size, 0) == (ssize_t)p.size);
		close(fd);
	}
	for (size_t i = 0; i < b.len; i++) {
		damage(path, (unsigned char *)b.s, i);
		CHECK_ROW(i, claimed(&p) == 0);
	}
	/* A file of bytes that is too short, too long, or not there. */
	for (int i = 0; i < 3; i++) {
		static const off_t length[] = {
		    2 * BLOCK - 1, 4 * BLOCK + 1, -1};

		damage(path, (unsigned char *)b.s, b.len);
		damage(data, p.bytes, (size_t)p.size);
		if (i < 2)
			CHECK(truncate(data, length[i]) == 0);
		else
			CHECK(unlink(data) == 0);
		CHECK_ROW(i, partial_left(&p.f, PREFIX, &p.want, p.size) == 0);
		CHECK_ROW(i, claimed(&p) == 0);
	}
	buf_release(&b);
	place_release(&p);
}

/* Links, pipes and folders where our files should be. */
static void
test_strange(void)
{
	struct place p;
	struct partial *part;
	struct stat st;
	struct err e;
	char path[160], other[160];

	place_init(&p, 4 * BLOCK);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	fill(&p, part, 0, 2 * BLOCK);
	partial_close(part, false);
	/* Somebody else's name for the bytes: they must not change. */
	path_of(&p, "part", path);
	snprintf(other, sizeof(other), "%s/other", p.root);
	CHECK(link(path, other) == 0);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	fill(&p, part, BLOCK, 3 * BLOCK);
	CHECK(stat(other, &st) == 0 && st.st_nlink == 1);
	partial_close(part, false);
	CHECK(unlink(path) == 0 && symlink(other, path) == 0);
	CHECK(open_as(&p, true, NULL, NULL, &e) == NULL);
	CHECK(e.kind == ERR_FILE && strstr(e.msg, "symbolic link"));
	CHECK(unlink(path) == 0 && mkfifo(path, 0666) == 0);
	CHECK(open_as(&p, true, NULL, NULL, &e) == NULL);
	CHECK(unlink(path) == 0 && mkdir(path, 0777) == 0);
	CHECK(open_as(&p, true, NULL, NULL, &e) == NULL);
	CHECK(rmdir(path) == 0);
	path_of(&p, "state", path);
	CHECK(access(path, F_OK) == 0);
	CHECK(unlink(path) == 0 && symlink(other, path) == 0);
	CHECK(open_as(&p, true, NULL, NULL, &e) == NULL);
	CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) == 0);
	place_release(&p);
}

static void
test_owners(void)
{
	struct place p;

	for (int network = 0; network < 2; network++) {
		struct partial *a, *b;

		place_init(&p, 5 * BLOCK);
		p.setup.traits.network = network;
		a = must_open(&p, true, PARTIAL_NEW, 0);
		fill(&p, a, 0, 2 * BLOCK);
		b = must_open(&p, true, PARTIAL_PRIVATE, 0);
		fill(&p, b, 0, BLOCK);
		CHECK(is_true(&p, a) && is_true(&p, b));
		partial_close(a, false);
		/* A private one goes with its owner. */
		CHECK(count_files(&p) == 3);
		a = must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK);
		complete(&p, b);
		CHECK(is_true(&p, a));
		complete(&p, a);
		CHECK(count_files(&p) == 1);
		place_release(&p);
	}
}

/* On a network file system, the owner on another machine. */
static void
test_takeover(void)
{
	struct place p;
	struct partial *a, *b;
	struct err e;
	uint64_t start;

	place_init(&p, 5 * BLOCK);
	p.setup.traits.network = true;
	p.setup.beat = 20;
	p.setup.stale = 300 + scratch_tick();
	p.setup.sync = 0;
	a = must_open(&p, true, PARTIAL_NEW, 0);
	fill(&p, a, 0, 2 * BLOCK);
	CHECK(partial_tend(a, &e) == 0);
	fill(&p, a, 2 * BLOCK, 3 * BLOCK);
	/* It says nothing any more, so another machine takes over: of the bytes
	 * those count that were synced. */
	memset(p.setup.self.boot, 3, 16);
	start = wait_now();
	b = must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK);
	CHECK(wait_now() - start >= 200 && wait_now() - start < 3000);
	/* The first one wakes up: it may not touch the file again. */
	CHECK(partial_write(a, p.bytes, 1, 0, 0, &e) < 0);
	CHECK(e.kind == ERR_FILE && strstr(e.msg, "took it over"));
	CHECK(partial_tend(a, &e) < 0);
	CHECK(partial_reset(a, &e) < 0);
	partial_close(a, false);
	CHECK(is_true(&p, b));
	complete(&p, b);
	CHECK(count_files(&p) == 1);
	place_release(&p);
}

/* It takes part[0] for living as long as it is tended. */
static void *
tend_for_a_while(void *ctx)
{
	struct err e;
	uint64_t end = wait_now() + 600 + scratch_tick();

	while (wait_now() < end) {
		wait_until(wait_now() + 10, &e);
		if (partial_tend(ctx, &e) < 0)
			return NULL;
	}
	return ctx;
}

static void
test_alive(void)
{
	struct place p;
	struct partial *a, *b;
	pthread_t thread;
	void *rv;

	place_init(&p, 5 * BLOCK);
	p.setup.traits.network = true;
	p.setup.beat = 20;
	p.setup.stale = 400 + scratch_tick();
	a = must_open(&p, true, PARTIAL_NEW, 0);
	fill(&p, a, 0, 2 * BLOCK);
	CHECK(pthread_create(&thread, NULL, tend_for_a_while, a) == 0);
	memset(p.setup.self.boot, 3, 16);
	b = must_open(&p, true, PARTIAL_PRIVATE, 0);
	CHECK(pthread_join(thread, &rv) == 0 && rv == a);
	partial_close(b, false);
	complete(&p, a);
	place_release(&p);
}

static void
test_not_sparse(void)
{
	struct place p;
	struct partial *part;
	struct stat st;
	char path[160];

	place_init(&p, 5 * BLOCK + 1);
	p.setup.traits.sparse = false;
	part = must_open(&p, true, PARTIAL_NEW, 0);
	CHECK(partial_in_order(part));
	path_of(&p, "part", path);
	CHECK(stat(path, &st) == 0 && st.st_size == 0);
	fill(&p, part, 0, 2 * BLOCK);
	CHECK(stat(path, &st) == 0 && st.st_size == 2 * BLOCK);
	partial_close(part, false);
	part = must_open(&p, true, PARTIAL_RESUMED, 2 * BLOCK);
	CHECK(is_true(&p, part));
	complete(&p, part);
	place_release(&p);
}

static void
test_refused(void)
{
	struct place p;
	struct err e;
	struct digest d;

	place_init(&p, 5 * BLOCK);
	d = p.want;
	p.setup.traits.max_file = UINT32_MAX;
	CHECK(!partial_open_on(&p.setup, &p.f, PREFIX, &d, UINT32_MAX + 1ull,
	    true, NULL, NULL, &e));
	CHECK(e.kind == ERR_FILE && e.hint[0]);
	p.setup.traits.max_file = UINT64_MAX;
	CHECK(!partial_open_on(
	    &p.setup, &p.f, PREFIX, &d, UINT64_MAX, true, NULL, NULL, &e));
	CHECK(!partial_open(
	    &p.f, PREFIX, &d, STATE_SIZE_MAX, true, NULL, NULL, &e));
	p.setup.traits.free = 5 * BLOCK - 1;
	CHECK(!open_as(&p, true, NULL, NULL, &e));
	CHECK(e.kind == ERR_FILE && strstr(e.msg, "5242880 bytes are needed"));
	p.setup.traits.free = 5 * BLOCK;
	partial_close(must_open(&p, true, PARTIAL_NEW, 0), false);
	CHECK(count_files(&p) == 0);
	place_release(&p);
}

static void
test_early_hash(void)
{
	struct place p;
	struct partial *part;
	struct hash h, kept;

	place_init(&p, 20 * BLOCK);
	part = must_open(&p, true, PARTIAL_NEW, 0);
	partial_hash(part, &h);
	CHECK(hash_length(&h) == 0);
	fill(&p, part, 0, 2 * BLOCK);
	/* Ahead of what is marked: not kept. */
	hash_update(&h, p.bytes, 2 * BLOCK + 1);
	partial_hashed(part, &h);
	partial_hash(part, &kept);
	CHECK(hash_length(&kept) == 0);
	fill(&p, part, 2 * BLOCK, 3 * BLOCK);
	partial_hashed(part, &h);
	partial_hash(part, &kept);
	CHECK(hash_length(&kept) == 2 * BLOCK + 1);
	/* Never backwards. */
	hash_init(&h, HASH_SHA256, p.size);
	partial_hashed(part, &h);
	partial_hash(part, &kept);
	CHECK(hash_length(&kept) == 2 * BLOCK + 1);
	CHECK(is_true(&p, part));
	partial_close(part, false);
	part = must_open(&p, true, PARTIAL_RESUMED, 3 * BLOCK);
	partial_hash(part, &kept);
	CHECK(hash_length(&kept) == 2 * BLOCK + 1);
	CHECK(is_true(&p, part));
	complete(&p, part);
	place_release(&p);
}

struct worker {
	struct place *p;
	struct partial *part;
	unsigned i;
};

static void *
run_worker(void *ctx)
{
	struct worker *w = ctx;
	struct err e;

	for (uint64_t at = w->i * 4 * BLOCK; at < w->p->size;
	     at += 16 * BLOCK) {
		uint64_t end = at + 4 * BLOCK;

		if (put(w->p, w->part, at, end < w->p->size ? end : w->p->size,
			&e) < 0)
			return NULL;
	}
	return ctx;
}

/* Four writers, one who tends, one who hashes. */
static void
test_threads(void)
{
	struct place p;
	struct partial *part;
	struct worker w[4];
	pthread_t thread[4];
	struct hash h;
	struct err e;

	for (int network = 0; network < 2; network++) {
		place_init(&p, 34 * BLOCK + 9);
		CHECK(partial_setup(&p.f, &p.setup, &e) == 0);
		p.setup.sync = 0;
		p.setup.beat = 2;
		p.setup.traits.network = network;
		part = must_open(&p, true, PARTIAL_NEW, 0);
		for (unsigned i = 0; i < 4; i++) {
			w[i] = (struct worker){&p, part, i};
			CHECK(pthread_create(
				  &thread[i], NULL, run_worker, &w[i]) == 0);
		}
		for (int i = 0; i < 20; i++) {
			uint64_t here;

			CHECK(partial_tend(part, &e) == 0);
			/* No mark is lost while states are replaced. */
			here = partial_here(part);
			CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) >=
			      here);
			advance(&p, part, &h);
		}
		for (unsigned i = 0; i < 4; i++) {
			void *rv;

			CHECK(pthread_join(thread[i], &rv) == 0 && rv);
		}
		CHECK(is_true(&p, part));
		CHECK(partial_left(&p.f, PREFIX, &p.want, p.size) ==
		      partial_here(part));
		complete(&p, part);
		CHECK(count_files(&p) == 1);
		place_release(&p);
	}
}

/* In a file system of 4 MiB. */
static int
fill_disk(struct place *p)
{
	struct folder f;
	struct partial *part;
	struct err e;

	if (folder_open(&f, p->root, false, &e) < 0)
		return 1;
	folder_close(&p->f);
	p->f = f;
	if (partial_open(&f, PREFIX, &p->want, p->size, true, NULL, NULL, &e) ||
	    !strstr(e.msg, "the disk is full"))
		return 2;
	/* Somebody else filled it after we had looked. */
	part = open_as(p, true, NULL, NULL, &e);
	if (!part)
		return 3;
	if (put(p, part, 0, p->size, &e) == 0)
		return 4;
	if (e.kind != ERR_FILE || !strstr(e.hint, "-d"))
		return 5;
	if (partial_here(part) < 2 * BLOCK || !is_true(p, part))
		return 6;
	partial_close(part, false);
	if (mount("t", p->root, "tmpfs", MS_REMOUNT, "size=32m") < 0)
		return 7;
	part = open_as(p, true, NULL, NULL, &e);
	return part && partial_here(part) >= 2 * BLOCK && is_true(p, part) ? 0
									   : 7;
}

static void
test_full(void)
{
	struct place p;
	pid_t pid;
	int status;

	place_init(&p, 8 * BLOCK);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("t", p.root, "tmpfs", 0, "size=4m") < 0)
			_exit(0);
		_exit(fill_disk(&p));
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_ROW(WEXITSTATUS(status), status == 0);
	place_release(&p);
}

static void
test_mode(void)
{
	struct place p;
	struct stat st;
	struct err e;
	mode_t old = umask(02);

	place_init(&p, 2 * BLOCK);
	complete(&p, must_open(&p, true, PARTIAL_NEW, 0));
	CHECK(folder_stat(&p.f, "done", &st, &e) == 0);
	CHECK((st.st_mode & 0777) == 0664);
	umask(old);
	place_release(&p);
}

int
main(void)
{
	test_small();
	test_ranges();
	test_resume();
	test_views();
	test_no_boot_id();
	test_left();
	test_damage();
	test_strange();
	test_owners();
	test_takeover();
	test_alive();
	test_not_sparse();
	test_refused();
	test_early_hash();
	test_threads();
	test_full();
	test_mode();
	test_kill();
	return test_end();
}
