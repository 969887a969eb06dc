#define _GNU_SOURCE /* unshare, for a small file system of our own */

#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "str.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test.h"

/* A new folder with the folder "in" and, beside it, "out" with a file. */
struct place {
	char root[SCRATCH_PATH];
	struct folder in;
};

static void
place_init(struct place *p)
{
	struct err e;
	char path[64];
	int fd;

	scratch_make(p->root);
	snprintf(path, sizeof(path), "%s/in", p->root);
	CHECK(folder_open(&p->in, path, true, &e) == 0);
	snprintf(path, sizeof(path), "%s/out", p->root);
	CHECK(mkdir(path, 0777) == 0);
	snprintf(path, sizeof(path), "%s/out/file", p->root);
	fd = open(path, O_WRONLY | O_CREAT, 0666);
	CHECK(write(fd, "outside", 7) == 7);
	close(fd);
}

static void
place_release(struct place *p)
{
	folder_close(&p->in);
	scratch_remove(p->root);
}

/* What lies outside is as it was. */
static bool
outside_is_whole(const struct place *p)
{
	char cmd[160];

	snprintf(cmd, sizeof(cmd),
	    "test \"$(ls -A %s/out)\" = file && "
	    "test \"$(cat %s/out/file)\" = outside",
	    p->root, p->root);
	return system(cmd) == 0;
}

static void
test_open(void)
{
	struct place p;
	struct folder f;
	struct err e;
	struct stat st;
	char path[96];

	place_init(&p);
	snprintf(path, sizeof(path), "%s/x//y/z/", p.root);
	CHECK(folder_open(&f, path, false, &e) < 0 && errno == ENOENT);
	CHECK(e.kind == ERR_FILE && strstr(e.msg, "/x//y/z/'"));
	CHECK(f.fd == -1 && !f.path);
	folder_close(&f);
	CHECK(folder_open(&f, path, true, &e) == 0);
	CHECK(fstat(f.fd, &st) == 0 && S_ISDIR(st.st_mode));
	folder_close(&f);
	folder_close(&f);
	CHECK(folder_open(&f, "", true, &e) < 0);
	snprintf(path, sizeof(path), "%s/out/file", p.root);
	CHECK(folder_open(&f, path, true, &e) < 0);
	snprintf(path, sizeof(path), "%s/out/file/x", p.root);
	CHECK(folder_open(&f, path, true, &e) < 0);
	CHECK(folder_open(&f, "/proc/no/such", true, &e) < 0);
	CHECK(folder_open(&f, "/", true, &e) == 0);
	folder_close(&f);
	/* A link in the user's own path is followed. */
	snprintf(path, sizeof(path), "%s/link", p.root);
	CHECK(symlink("out", path) == 0);
	CHECK(folder_open(&f, path, true, &e) == 0);
	CHECK(folder_stat(&f, "file", &st, &e) == 0);
	folder_close(&f);
	place_release(&p);
}

static int
put(const struct folder *f, const char *path, const char *text, struct err *e)
{
	return folder_write(f, path, str_of(text), e);
}

static bool
holds(const struct folder *f, const char *path, const char *text)
{
	struct buf b = buf_make(100);
	struct err e;
	bool ok =
	    folder_read(f, path, &b, &e) == 0 && str_eq(buf_str(&b), text);

	buf_release(&b);
	return ok;
}

static void
test_round(void)
{
	struct place p;
	struct err e;
	struct stat st;
	char name[256];
	int fd;

	place_init(&p);
	CHECK(folder_stat(&p.in, "a", &st, &e) == 1);
	CHECK(folder_stat(&p.in, "a/b/c", &st, &e) == 1);
	CHECK(folder_remove(&p.in, "a/b/c", &e) == 0);
	CHECK(put(&p.in, "a/b/c", "one", &e) == 0);
	CHECK(holds(&p.in, "a/b/c", "one"));
	CHECK(folder_write(&p.in, "a/b/c", str_of(""), &e) == 0);
	CHECK(holds(&p.in, "a/b/c", ""));
	CHECK(folder_stat(&p.in, "a/b/c", &st, &e) == 0 && st.st_size == 0);
	CHECK(folder_write_new(&p.in, "a/b/c", str_of("x"), &e) == 1);
	CHECK(holds(&p.in, "a/b/c", ""));
	CHECK(folder_write_new(&p.in, "new/n", str_of("two"), &e) == 0);
	CHECK(holds(&p.in, "new/n", "two"));
	CHECK(symlinkat("nowhere", p.in.fd, "new/link") == 0);
	CHECK(folder_write_new(&p.in, "new/link", str_of("x"), &e) == 1);
	CHECK(folder_stat(&p.in, "new/nowhere", &st, &e) == 1);
	CHECK(folder_write_new(&p.in, "new/n/m", str_of("x"), &e) < 0);
	CHECK(e.kind == ERR_FILE);
	CHECK(folder_publish(&p.in, "a/b/c", "d/e", &e) == 0);
	CHECK(folder_stat(&p.in, "a/b/c", &st, &e) == 1);
	CHECK(holds(&p.in, "d/e", ""));
	CHECK(put(&p.in, "f", "new", &e) == 0);
	CHECK(folder_publish(&p.in, "f", "d/e", &e) == 0);
	CHECK(holds(&p.in, "d/e", "new"));
	CHECK(put(&p.in, "f", "newer", &e) == 0);
	CHECK(folder_publish_new(&p.in, "f", "d/e", &e) == 1);
	CHECK(holds(&p.in, "d/e", "new") && holds(&p.in, "f", "newer"));
	CHECK(folder_publish_new(&p.in, "f", "d/new/f", &e) == 0);
	CHECK(holds(&p.in, "d/new/f", "newer"));
	CHECK(folder_publish_new(&p.in, "none", "d/f", &e) < 0);
	CHECK(e.kind == ERR_FILE);
	CHECK(folder_sync(&p.in, "d/e", &e) == 0);
	CHECK(folder_publish(&p.in, "none", "d/e", &e) < 0);
	CHECK(e.kind == ERR_FILE && holds(&p.in, "d/e", "new"));
	CHECK(folder_remove(&p.in, "d/e", &e) == 0);
	CHECK(folder_remove(&p.in, "d/e", &e) == 0);
	CHECK(folder_make_parents(&p.in, "g/h/i", &e) == 0);
	CHECK(folder_stat(&p.in, "g/h", &st, &e) == 0 && S_ISDIR(st.st_mode));
	CHECK(folder_remove(&p.in, "g/h", &e) < 0);
	/* The longest name leaves no room for a suffix, and needs none. */
	memset(name, 'n', 255);
	name[255] = '\0';
	CHECK(put(&p.in, name, "long", &e) == 0);
	CHECK(holds(&p.in, name, "long"));
	fd = folder_openat(&p.in, "k/l", O_RDWR | O_CREAT, &e);
	CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	close(fd);
	CHECK(folder_openat(&p.in, "k/m", O_RDWR, &e) < 0 && errno == ENOENT);
	CHECK(folder_openat(&p.in, "q/m", O_RDWR, &e) < 0 && errno == ENOENT);
	place_release(&p);
}

static void
test_mode(void)
{
	struct place p;
	struct err e;
	struct stat st;
	mode_t old = umask(027);

	place_init(&p);
	CHECK(put(&p.in, "a/b", "x", &e) == 0);
	CHECK(folder_stat(&p.in, "a/b", &st, &e) == 0);
	CHECK((st.st_mode & 0777) == 0640);
	CHECK(folder_stat(&p.in, "a", &st, &e) == 0);
	CHECK((st.st_mode & 0777) == 0750);
	umask(old);
	place_release(&p);
}

/* What folder_create() makes under each umask. */
static void
test_create(void)
{
	static const struct {
		mode_t mask, asked, mode;
	} t[] = {
	    {0, 0666, 0666},
	    {022, 0666, 0644},
	    {077, 0666, 0600},
	    {0, 0600, 0600},
	    {022, 0600, 0600},
	    {077, 0600, 0600},
	    {0, 0640, 0640},
	};

	for (size_t i = 0; i < countof(t); i++) {
		mode_t old = umask(t[i].mask);
		struct place p;
		struct stat st;
		struct err e;
		int fd, link;

		place_init(&p);
		fd = folder_create(&p.in, "a/b/c", t[i].asked, &e);
		CHECK_ROW(i, fd >= 0 && fstat(fd, &st) == 0);
		CHECK_ROW(
		    i, S_ISREG(st.st_mode) && (st.st_mode & 0777) == t[i].mode);
		CHECK_ROW(
		    i, write(fd, "x", 1) == 1 && lseek(fd, 0, SEEK_SET) == 0);
		CHECK_ROW(i, read(fd, &(char){0}, 1) == 1);
		close(fd);
		CHECK_ROW(i, folder_create(&p.in, "a/b/c", 0600, &e) < 0);
		CHECK_ROW(i, errno == EEXIST && e.kind == ERR_FILE);
		/* Not through links, and not in their place. */
		link = symlinkat("../../../out/new", p.in.fd, "a/b/d");
		CHECK_ROW(i, link == 0);
		CHECK_ROW(i, folder_create(&p.in, "a/b/d", 0600, &e) < 0);
		CHECK_ROW(i, errno == EEXIST && outside_is_whole(&p));
		CHECK_ROW(i, symlinkat("../out", p.in.fd, "l") == 0);
		CHECK_ROW(i, folder_create(&p.in, "l/d", 0600, &e) < 0);
		CHECK_ROW(i, outside_is_whole(&p));
		umask(old);
		place_release(&p);
	}
}

static unsigned
files_in(int folder)
{
	DIR *d = fdopendir(dup(folder));
	unsigned n = 0;

	CHECK(d != NULL);
	rewinddir(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void
test_maker(void)
{
	static const mode_t mask[] = {0, 022, 002, 077, 027};

	for (size_t i = 0; i < countof(mask); i++) {
		mode_t old = umask(mask[i]);
		struct maker m = {.uid = 9};
		struct place p;
		struct err e;

		place_init(&p);
		CHECK_ROW(i, maker_find(&m, &p.in, &e) == 0);
		CHECK_ROW(i, m.uid == geteuid() && m.private == 0600);
		CHECK_ROW(i, m.public == (0666 & ~mask[i]));
		/* Nothing is left in it. */
		CHECK_ROW(i, files_in(p.in.fd) == 0);
		umask(old);
		place_release(&p);
	}
}

/* A file is made to find out only where that decides. */
static void
test_owner(void)
{
	static const struct {
		uid_t uid; /* of the file that is looked at, beside our own */
		uid_t guess;
		bool unsure, owns, stays_unsure;
	} t[] = {
	    {0, 0, false, true, false},
	    {0, 0, true, true, true},
	    {0, 1, true, true, false},
	    {0, 1, false, false, false},
	    {1, 0, true, false, false},
	    {1, 0, false, false, false},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct maker m = {
		    .uid = geteuid() + t[i].guess, .unsure = t[i].unsure};
		struct stat st = {.st_uid = geteuid() + t[i].uid};
		struct place p;

		place_init(&p);
		CHECK_ROW(i, maker_owns(&m, &p.in, &st) == t[i].owns);
		CHECK_ROW(i, m.unsure == t[i].stays_unsure);
		CHECK_ROW(i, files_in(p.in.fd) == 0);
		place_release(&p);
	}
}

/* On a usual file system, and on one where all files have one mode. */
static void
test_made(void)
{
	static const struct {
		mode_t private, mode;
		uid_t uid;
		bool made;
	} t[] = {
	    {0600, S_IFREG | 0600, 5, true},
	    {0600, S_IFREG | 0644, 5, true},
	    {0600, S_IFREG | 0400, 5, true},
	    {0600, S_IFREG | 0755, 5, true},
	    {0600, S_IFREG | 0620, 5, false},
	    {0600, S_IFREG | 0602, 5, false},
	    {0600, S_IFREG | 0666, 5, false},
	    {0600, S_IFREG | 0600, 6, false},
	    {0600, S_IFREG | 0600, 0, false},
	    {0600, S_IFIFO | 0600, 5, false},
	    {0600, S_IFLNK | 0777, 5, false},
	    {0600, S_IFDIR | 0700, 5, false},
	    {0600, S_IFBLK | 0600, 5, false},
	    {0777, S_IFREG | 0777, 5, true},
	    {0777, S_IFREG | 0777, 6, false},
	    {0770, S_IFREG | 0770, 5, true},
	    {0770, S_IFREG | 0777, 5, false},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct maker m = {.uid = 5, .private = t[i].private};
		struct stat st = {.st_uid = t[i].uid, .st_mode = t[i].mode};

		m.public = 0666;
		CHECK_ROW(i, maker_made(&m, &st) == t[i].made);
	}
}

static void
test_read_limit(void)
{
	struct place p;
	struct err e;
	struct buf b;

	place_init(&p);
	CHECK(put(&p.in, "a", "12345", &e) == 0);
	for (size_t max = 0; max < 8; max++) {
		b = buf_make(max);
		CHECK_ROW(
		    max, folder_read(&p.in, "a", &b, &e) == (max < 5 ? -1 : 0));
		CHECK_ROW(max, max < 5 || b.len == 5);
		buf_release(&b);
	}
	b = buf_make(10);
	CHECK(folder_read(&p.in, "none", &b, &e) == 1);
	CHECK(folder_read(&p.in, "no/ne", &b, &e) == 1);
	buf_release(&b);
	place_release(&p);
}

/* Every function, with a path that leads outside; is_last: by its last part,
 * which may be replaced or removed, but not followed. */
static void
refuse_all(struct place *p, const char *path, bool is_last, long row)
{
	struct err e;
	struct stat st;
	struct buf b = buf_make(100);

	CHECK_ROW(row, folder_openat(&p->in, path, O_RDONLY, &e) < 0);
	CHECK_ROW(row, e.kind == ERR_FILE && strstr(e.msg, "symbolic link"));
	CHECK_ROW(row,
	    folder_openat(&p->in, path, O_RDWR | O_CREAT | O_TRUNC, &e) < 0);
	CHECK_ROW(row, folder_read(&p->in, path, &b, &e) < 0);
	CHECK_ROW(row, outside_is_whole(p));
	if (is_last)
		return;
	CHECK_ROW(row, folder_stat(&p->in, path, &st, &e) < 0);
	CHECK_ROW(row, strstr(e.msg, "symbolic link") != NULL);
	CHECK_ROW(row, folder_make_parents(&p->in, path, &e) < 0);
	CHECK_ROW(row, put(&p->in, path, "bad", &e) < 0);
	CHECK_ROW(row, put(&p->in, "mine", "bad", &e) == 0);
	CHECK_ROW(row, folder_publish(&p->in, "mine", path, &e) < 0);
	CHECK_ROW(row, folder_publish(&p->in, path, "new", &e) < 0);
	CHECK_ROW(row, folder_remove(&p->in, path, &e) < 0);
	CHECK_ROW(row, folder_sync(&p->in, path, &e) < 0);
	CHECK_ROW(row, outside_is_whole(p));
}

static void
test_links(void)
{
	static const struct {
		const char *target, *link, *path;
	} t[] = {
	    {"../out", "l1", "l1/file"},
	    {"../out", "l1", "l1/new"},
	    {"../out", "l1", "l1/x/new"},
	    {"../../out", "a/l2", "a/l2/file"},
	    {"../../../out", "a/b/l3", "a/b/l3/sub/file"},
	    {"../out/file", "l4", "l4"},
	    {"../../out/file", "a/l5", "a/l5"},
	    {"/", "l6", "l6/tmp/x"},
	    {".", "l7", "l7/mine"},
	    {"nowhere", "l8", "l8"},
	    {"../out/new", "l9", "l9"},
	    {"../out/new", "l10", "l10/x"},
	    {"l11", "l11", "l11/x"},
	    {"a", "l12", "l12/b/c"},
	};
	struct place p;
	struct err e;
	char name[96];

	for (size_t i = 0; i < countof(t); i++) {
		place_init(&p);
		CHECK(put(&p.in, "a/b/c", "x", &e) == 0);
		snprintf(name, sizeof(name), "%s/in/%s", p.root, t[i].link);
		CHECK_ROW(i, symlink(t[i].target, name) == 0);
		refuse_all(
		    &p, t[i].path, strcmp(t[i].path, t[i].link) == 0, (long)i);
		place_release(&p);
	}
}

/* A link in the last place is replaced or removed itself. */
static void
test_link_replaced(void)
{
	struct place p;
	struct err e;
	struct stat st;
	char name[96];

	place_init(&p);
	snprintf(name, sizeof(name), "%s/in/l", p.root);
	CHECK(symlink("../out/file", name) == 0);
	CHECK(folder_stat(&p.in, "l", &st, &e) == 0 && S_ISLNK(st.st_mode));
	CHECK(put(&p.in, "l", "mine", &e) == 0);
	CHECK(holds(&p.in, "l", "mine") && outside_is_whole(&p));
	CHECK(folder_remove(&p.in, "l", &e) == 0);
	CHECK(symlink("../out/file", name) == 0);
	CHECK(folder_remove(&p.in, "l", &e) == 0 && outside_is_whole(&p));
	CHECK(symlink("../out", name) == 0);
	CHECK(put(&p.in, "n", "mine", &e) == 0);
	CHECK(folder_publish(&p.in, "n", "l", &e) == 0);
	CHECK(holds(&p.in, "l", "mine") && outside_is_whole(&p));
	place_release(&p);
}

static void
test_not_files(void)
{
	struct place p;
	struct err e;
	struct stat st;
	char name[96];

	place_init(&p);
	snprintf(name, sizeof(name), "%s/in/pipe", p.root);
	CHECK(mkfifo(name, 0666) == 0);
	CHECK(folder_openat(&p.in, "pipe", O_RDONLY, &e) < 0);
	CHECK(strstr(e.msg, "not a regular file") != NULL);
	CHECK(folder_openat(&p.in, "pipe", O_WRONLY, &e) < 0);
	CHECK(folder_openat(&p.in, "pipe", O_RDWR | O_CREAT, &e) < 0);
	CHECK(folder_openat(&p.in, "pipe/x", O_RDONLY, &e) < 0);
	CHECK(put(&p.in, "dir/x", "x", &e) == 0);
	CHECK(folder_openat(&p.in, "dir", O_RDONLY, &e) < 0);
	CHECK(errno == EISDIR);
	CHECK(folder_openat(&p.in, "dir", O_RDWR | O_CREAT, &e) < 0);
	CHECK(folder_openat(&p.in, "dir/x", O_RDONLY | O_DIRECTORY, &e) < 0);
	CHECK(put(&p.in, "dir", "x", &e) < 0);
	CHECK(folder_publish(&p.in, "dir/x", "dir", &e) < 0);
	CHECK(holds(&p.in, "dir/x", "x"));
	CHECK(folder_stat(&p.in, "dir/x/y", &st, &e) < 0);
	CHECK(strstr(e.msg, "'x' is a file, not a folder") != NULL);
	CHECK(folder_make_parents(&p.in, "dir/x/y/z", &e) < 0);
	CHECK(put(&p.in, "pipe", "x", &e) == 0 && holds(&p.in, "pipe", "x"));
	/* Nothing half-written was left behind. */
	snprintf(name, sizeof(name), "ls -A %s/in | grep -q '^[.]hub'", p.root);
	CHECK(system(name) != 0);
	place_release(&p);
}

/* Runs try(p) as a user without rights; its exit status says what failed. */
static int
as_nobody(struct place *p, int (*try)(struct place *))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
			_exit(0);
		_exit(try(p));
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static int
try_no_rights(struct place *p)
{
	struct err e;
	struct stat st;

	if (put(&p->in, "ro/new", "x", &e) == 0 || e.kind != ERR_FILE)
		return 1;
	if (!e.hint[0] || !strstr(e.msg, "/in/ro/new'"))
		return 2;
	if (folder_openat(&p->in, "none/x", O_RDONLY, &e) >= 0)
		return 3;
	if (errno != EACCES)
		return 4;
	/* Search alone is enough on the way. */
	if (folder_stat(&p->in, "pass/x", &st, &e) != 0)
		return 5;
	if (!holds(&p->in, "pass/x", "x"))
		return 6;
	return 0;
}

static void
test_rights(void)
{
	struct place p;
	struct err e;
	char cmd[160];

	place_init(&p);
	CHECK(put(&p.in, "ro/x", "x", &e) == 0);
	CHECK(put(&p.in, "none/x", "x", &e) == 0);
	CHECK(put(&p.in, "pass/x", "x", &e) == 0);
	snprintf(cmd, sizeof(cmd),
	    "cd %s && chmod 755 . && cd in && "
	    "chmod 555 ro && chmod 0 none && chmod 111 pass",
	    p.root);
	CHECK(system(cmd) == 0);
	CHECK(as_nobody(&p, try_no_rights) == 0);
	snprintf(cmd, sizeof(cmd), "chmod -R u+rwx %s", p.root);
	CHECK(system(cmd) == 0);
	place_release(&p);
}

static int
try_large(struct place *p)
{
	struct rlimit r = {1000, 1000};
	struct err e;
	int fd = folder_openat(&p->in, "big", O_RDWR | O_CREAT, &e);

	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &r) < 0)
		return 1;
	if (file_pwrite(fd, "abc", 3, 998, "big", &e) == 0)
		return 2;
	if (e.kind != ERR_FILE || !strstr(e.hint, "size"))
		return 3;
	return 0;
}

static void
test_pread_pwrite(void)
{
	struct place p;
	struct err e;
	char got[8] = "";
	int fd, status;
	pid_t pid;

	place_init(&p);
	fd = folder_openat(&p.in, "a", O_RDWR | O_CREAT, &e);
	CHECK(file_pwrite(fd, "abc", 3, 5, "a", &e) == 0);
	CHECK(file_pwrite(fd, "", 0, 5, "a", &e) == 0);
	CHECK(file_pread(fd, got, 3, 5, "a", &e) == 0);
	CHECK(memcmp(got, "abc", 3) == 0);
	CHECK(file_pread(fd, got, 8, 0, "a", &e) == 0);
	CHECK(file_pread(fd, got, 3, 6, "a", &e) < 0);
	CHECK(e.kind == ERR_FILE && strstr(e.msg, "'a': it ends early"));
	CHECK(file_pread(fd, got, 1, 1000, "a", &e) < 0);
	CHECK(file_pread(fd, got, 1, INT64_MAX, "a", &e) < 0);
	CHECK(file_pwrite(fd, got, 2, INT64_MAX - 1, "a", &e) < 0);
	CHECK(file_pwrite(fd, got, 1, UINT64_MAX, "a", &e) < 0);
	CHECK(e.kind == ERR_FILE);
	close(fd);
	CHECK(file_pread(-1, got, 1, 0, "a", &e) < 0);
	CHECK(file_pwrite(-1, got, 1, 0, "a", &e) < 0);
	pid = fork();
	if (pid == 0)
		_exit(try_large(&p));
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	place_release(&p);
}

/* Where it stands, and to what cannot be synced. */
static void
test_write_sync(void)
{
	struct place p;
	struct err e = {0};
	int fd, pipes[2];

	place_init(&p);
	fd = folder_openat(&p.in, "a", O_RDWR | O_CREAT, &e);
	CHECK(file_write(fd, "one ", 4) == 0 && file_write(fd, "", 0) == 0);
	CHECK(file_write(fd, "two", 3) == 0 && holds(&p.in, "a", "one two"));
	CHECK(file_sync(fd, "a", &e) == 0);
	close(fd);
	CHECK(pipe(pipes) == 0 && file_sync(pipes[1], "a", &e) == 0);
	close(pipes[0]);
	close(pipes[1]);
	CHECK(e.kind == ERR_NONE);
	CHECK(file_write(-1, "x", 1) < 0 && errno == EBADF);
	CHECK(file_sync(-1, "a", &e) < 0 && e.kind == ERR_FILE);
	CHECK(strstr(e.msg, "cannot write 'a': ") == e.msg);
	fd = open("/dev/full", O_WRONLY);
	CHECK(fd < 0 || (file_write(fd, "x", 1) < 0 && errno == ENOSPC));
	if (fd >= 0)
		close(fd);
	place_release(&p);
}

/* In a file system of 64 KiB. */
static int
try_full(struct place *p)
{
	static char text[128 << 10];
	struct folder f;
	struct err e;
	char path[64];

	snprintf(path, sizeof(path), "%s/in", p->root);
	if (folder_open(&f, path, false, &e) < 0)
		return 1;
	if (put(&f, "a", "old", &e) < 0)
		return 3;
	if (folder_write(&f, "a", str_make(text, sizeof(text)), &e) == 0)
		return 4;
	if (e.kind != ERR_FILE || !strstr(e.hint, "-d"))
		return 5;
	if (!holds(&f, "a", "old"))
		return 6;
	snprintf(path, sizeof(path), "test \"$(ls -A %s/in)\" = a", p->root);
	if (system(path) != 0)
		return 7;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 8;
	snprintf(path, sizeof(path), "%s/in", p->root);
	if (mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		return 9;
	if (put(&f, "b", "x", &e) == 0 || !strstr(e.hint, "read-only"))
		return 10;
	return holds(&f, "a", "old") ? 0 : 11;
}

static void
test_stamp(void)
{
	static const struct timespec t = {1764335204, 123456789};
	struct stat st = {.st_size = 5000000000, .st_ino = 7, .st_dev = 8};
	struct stamp a, b, changed[5];

	st.st_mtim = (struct timespec){-2, 999999999};
	st.st_ctim = t;
	stamp_of(&st, &a);
	CHECK(a.size == 5000000000 && a.inode == 7 && a.device == 8);
	CHECK(a.mtime == -1000000001 && a.ctime == 1764335204123456789);
	stamp_of(&st, &b);
	CHECK(stamp_same(&a, &b));
	for (size_t i = 0; i < countof(changed); i++)
		changed[i] = a;
	changed[0].size++;
	changed[1].mtime++;
	changed[2].ctime++;
	changed[3].inode++;
	changed[4].device++;
	for (size_t i = 0; i < countof(changed); i++)
		CHECK_ROW(i, !stamp_same(&a, &changed[i]));
	CHECK(!stamp_coarse(&a));
	for (int64_t step = 10000000; step <= 2000000000; step *= 10) {
		b.ctime = a.ctime / step * step;
		CHECK(stamp_coarse(&b));
	}
	/* Beyond the year 2262. */
	st.st_mtim.tv_sec = INT64_MAX;
	stamp_of(&st, &a);
	st.st_mtim.tv_sec--;
	stamp_of(&st, &b);
	CHECK(!stamp_same(&a, &b));
}

/* What is done to a file shows in its stamp, also where its size and its time
 * are put back. */
static void
test_stamp_file(void)
{
	struct place p;
	struct err e;
	struct stat st;
	struct stamp before, after;
	struct timespec old[2];
	int fd;

	/* An emulator may cut off the fractions, and in one call only. */
	if (scratch_tick())
		return;
	place_init(&p);
	CHECK(folder_write(&p.in, "f", str_of("one"), &e) == 0);
	fd = folder_openat(&p.in, "f", O_RDWR, &e);
	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	stamp_of(&st, &before);
	CHECK(folder_stat(&p.in, "f", &st, &e) == 0);
	stamp_of(&st, &after);
	CHECK(stamp_same(&before, &after));
	old[0] = st.st_atim;
	old[1] = st.st_mtim;
	/* Two times of the kernel are up to 10 ms apart. */
	nanosleep(&(struct timespec){0, 20000000}, NULL);
	CHECK(file_pwrite(fd, "two", 3, 0, "f", &e) == 0);
	CHECK(futimens(fd, old) == 0 && fstat(fd, &st) == 0);
	stamp_of(&st, &after);
	CHECK(after.size == before.size && after.mtime == before.mtime);
	CHECK(!stamp_same(&before, &after));
	close(fd);
	CHECK(folder_write(&p.in, "f", str_of("one"), &e) == 0);
	CHECK(folder_stat(&p.in, "f", &st, &e) == 0);
	stamp_of(&st, &after);
	CHECK(after.inode != before.inode && !stamp_same(&before, &after));
	place_release(&p);
}

/* Needs the right to mount; without it there is nothing to check. */
static void
test_full(void)
{
	struct place p;
	char path[64];
	int status;
	pid_t pid;

	place_init(&p);
	snprintf(path, sizeof(path), "%s/in", p.root);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("t", path, "tmpfs", 0, "size=64k") < 0)
			_exit(0);
		_exit(try_full(&p));
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_ROW(WEXITSTATUS(status), status == 0);
	place_release(&p);
}

/* Below p, where "mounted" and "file" are mount points. */
static int
try_places(const struct place *p)
{
	struct folder in;
	struct err why;
	static const struct {
		const char *to;
		int error;
	} t[] = {
	    {"x", 0},
	    {"none/x", 0},
	    {"none/none/x", 0},
	    {"folder/x", 0},
	    {"folder/none/x", 0},
	    {"file", EBUSY},
	    {"mounted/x", EXDEV},
	    {"mounted", EBUSY},
	    {"file/x", ENOTDIR},
	    {"link/x", ENOTDIR},
	    {"link", 0},
	};
	int failed = 0;

	/* Opened before, it would be in the other name space. */
	if (folder_open(&in, p->in.path, false, &why) < 0)
		return 98;
	for (size_t i = 0; i < countof(t); i++) {
		struct err e = {0};
		int rv = folder_check_publish(&in, "own/f", t[i].to, &e);

		if ((rv < 0) == !t[i].error ||
		    (rv < 0 && (errno != t[i].error || e.kind != ERR_FILE))) {
			printf("%s: %d, %s: %s\n", t[i].to, rv, strerror(errno),
			    e.msg);
			failed++;
		}
	}
	folder_close(&in);
	return failed;
}

/* Whether statx(2) says which mount something is in (Linux 5.8). */
static bool
knows_mounts(void)
{
#ifdef SYS_statx
	enum { ASKED = 0x1000 };
	uint64_t x[32] = {0};

	/* An emulator may copy the answer without its last fields. */
	return syscall(SYS_statx, AT_FDCWD, "/", 0, ASKED, x) == 0 &&
	       (x[0] & ASKED || x[0] >> 32 & ASKED) && x[18];
#else
	return false;
#endif
}

/* What folder_publish() could not do is known before. */
static void
test_check_publish(void)
{
	char path[64], from[64];
	struct place p;
	struct err e;
	int status = -1;
	pid_t pid;

	place_init(&p);
	CHECK(mkdirat(p.in.fd, "folder", 0777) == 0);
	CHECK(mkdirat(p.in.fd, "mounted", 0777) == 0);
	CHECK(symlinkat("folder", p.in.fd, "link") == 0);
	CHECK(put(&p.in, "file", "", &e) == 0);
	CHECK(put(&p.in, "own/f", "", &e) == 0);
	pid = fork();
	if (pid == 0) {
		/* Bind mounts of the same file system. */
		snprintf(from, sizeof(from), "%s/out", p.root);
		snprintf(path, sizeof(path), "%s/in/mounted", p.root);
		if (!knows_mounts() || unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount(from, path, NULL, MS_BIND, NULL) < 0)
			_exit(0);
		snprintf(from, sizeof(from), "%s/out/file", p.root);
		snprintf(path, sizeof(path), "%s/in/file", p.root);
		if (mount(from, path, NULL, MS_BIND, NULL) < 0)
			_exit(99);
		_exit(try_places(&p));
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_ROW(WEXITSTATUS(status), status == 0);
	CHECK(folder_check_publish(&p.in, "own/f", "file", &e) == 0);
	CHECK(folder_check_publish(&p.in, "own/f", "folder/x", &e) == 0);
	if (geteuid() != 0) {
		CHECK(fchmodat(p.in.fd, "folder", 0555, 0) == 0);
		CHECK(folder_check_publish(&p.in, "own/f", "folder/x", &e) < 0);
		CHECK(fchmodat(p.in.fd, "folder", 0777, 0) == 0);
	}
	place_release(&p);
}

static bool
enters(void *ctx, const char *path)
{
	(void)ctx;
	return strcmp(path, "not") != 0;
}

static int
count_one(void *ctx, const char *path, const struct stat *st, struct err *e)
{
	unsigned *n = ctx;

	(void)st;
	++*n;
	return strcmp(path, "a/b/stop") == 0 ? err_set(e, ERR_OTHER, "stop")
					     : 0;
}

static void
test_walk(void)
{
	static const char *const path[] = {
	    "1", "a/2", "a/b/3", "a/b/c/4", "not/5", "d/6"};
	char root[SCRATCH_PATH];
	struct folder f;
	struct err e;
	unsigned n = 0;
	const struct folder_walk w = {&f, &n, enters, count_one};

	scratch_make(root);
	CHECK(folder_open(&f, root, false, &e) == 0);
	for (size_t i = 0; i < countof(path); i++)
		CHECK(folder_write(&f, path[i], str_of("x"), &e) == 0);
	CHECK(symlinkat("..", f.fd, "a/up") == 0);
	CHECK(folder_walk(&w, "", &e) == 0 && n == 6);
	n = 0;
	CHECK(folder_walk(&w, "a/b", &e) == 0 && n == 2);
	CHECK(folder_walk(&w, "none", &e) < 0 && e.kind == ERR_FILE);
	CHECK(folder_write(&f, "a/b/stop", str_of("x"), &e) == 0);
	CHECK(folder_walk(&w, "", &e) < 0 && e.kind == ERR_OTHER);
	folder_close(&f);
	scratch_remove(root);
}

static void
test_hash_both(void)
{
	char root[SCRATCH_PATH];
	struct digest both[2], one;
	struct folder f;
	struct err e;
	int fd;

	scratch_make(root);
	CHECK(folder_open(&f, root, false, &e) == 0);
	CHECK(folder_write(&f, "x", str_of("content"), &e) == 0);
	fd = folder_openat(&f, "x", O_RDONLY, &e);
	CHECK(filehash_both(fd, 7, "x", NULL, NULL, both, &e) == 0);
	for (int k = 0; k < 2; k++) {
		CHECK(filehash(fd, 7, (enum hash_kind)k, "x", NULL, NULL, &one,
			  &e) == 0);
		CHECK(digest_same(&one, &both[k]));
	}
	CHECK(filehash_both(fd, 8, "x", NULL, NULL, both, &e) < 0);
	close(fd);
	folder_close(&f);
	scratch_remove(root);
}

int
main(void)
{
	test_walk();
	test_hash_both();
	test_open();
	test_round();
	test_mode();
	test_create();
	test_maker();
	test_owner();
	test_made();
	test_read_limit();
	test_links();
	test_link_replaced();
	test_not_files();
	test_rights();
	test_check_publish();
	test_pread_pwrite();
	test_write_sync();
	test_stamp();
	test_stamp_file();
	test_full();
	return test_end();
}
