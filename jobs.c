#include "jobs.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "mem.h"

#define TEXT_MAX 4096

/* The part of the machine's memory that a run may take without being asked: the
 * rest is for the page cache, the sockets, and what the machine is for. */
#define RAM_PART 8
#define GROUP_PART 2

static uint64_t
part(uint64_t bytes, unsigned n)
{
	return bytes == UINT64_MAX ? bytes : bytes / n;
}

/* Connections that so much memory is good for. */
static unsigned
within(uint64_t bytes)
{
	uint64_t n = bytes < JOBS_BASE ? 0 : (bytes - JOBS_BASE) / JOBS_EACH;

	return n < 1 ? 1 : n < JOBS_MOST ? (unsigned)n : JOBS_MOST;
}

/* That so many open files are. */
static unsigned
within_files(uint64_t files)
{
	uint64_t least = JOBS_FILES_BASE + JOBS_FILES_WAIT(files);
	uint64_t n = files < least ? 0 : (files - least) / JOBS_FILES_EACH;

	return n < 1 ? 1 : n < JOBS_MOST ? (unsigned)n : JOBS_MOST;
}

struct jobs_choice
jobs_choose(const struct jobs_machine *m, enum jobs_ground ground)
{
	const struct jobs_choice bound[] = {
	    {JOBS_MOST, "as many as are of use as a rule"},
	    {within(m->process), "the memory limit of the process"},
	    {within(part(m->group, GROUP_PART)),
		"the memory limit of the control group"},
	    {within(part(m->ram, RAM_PART)), "the memory of this machine"},
	    {within_files(m->files), "the limit of open files"},
	    {m->cores == 1 ? 4 : JOBS_MOST, "a single core"},
	    {ground == JOBS_FLASH ? 2 : JOBS_MOST, "the target is on flash"},
	    {ground == JOBS_NETWORK ? 4 : JOBS_MOST,
		"the target is on a network file system"},
	};
	struct jobs_choice least = bound[0];

	for (size_t i = 1; i < countof(bound); i++)
		if (bound[i].n < least.n)
			least = bound[i];
	return least;
}

/* Whether the list "cpu,memory" has the word. */
static bool
lists(struct str list, const char *word)
{
	struct str one = list, rest = list;

	while (str_cut(rest, ',', &one, &rest))
		if (str_eq(one, word))
			return true;
	return str_eq(rest, word);
}

bool
jobs_group_path(struct str text, struct str *path, bool *old)
{
	struct str line, number, kinds;
	bool found = false;

	while (text.n) {
		line = text;
		if (!str_cut(text, '\n', &line, &text))
			text = str_of("");
		if (!str_cut(line, ':', &number, &line) ||
		    !str_cut(line, ':', &kinds, &line) ||
		    !str_starts(line, "/"))
			continue;
		*old = kinds.n > 0;
		if (*old && !lists(kinds, "memory"))
			continue;
		*path = line;
		found = true;
		/* With both, the memory is where version 1 says. */
		if (*old)
			return true;
	}
	if (found)
		*old = false;
	return found;
}

static bool
read_text(const char *path, struct buf *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *room = buf_room(text, TEXT_MAX);
	ssize_t n = fd < 0 ? -1 : read(fd, room, TEXT_MAX);

	if (fd >= 0)
		close(fd);
	buf_added(text, n > 0 ? (size_t)n : 0);
	return n > 0;
}

/* The limit of one group; "max" is none. */
static uint64_t
limit_of(struct str group, bool old)
{
	struct buf path = buf_make(2 * TEXT_MAX), text = buf_make(TEXT_MAX);
	uint64_t limit = UINT64_MAX;
	struct str line, rest;

	buf_puts(&path, old ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup");
	buf_str_add(&path, group);
	buf_puts(&path, old ? "/memory.limit_in_bytes" : "/memory.max");
	if (read_text(buf_cstr(&path), &text) &&
	    str_cut(buf_str(&text), '\n', &line, &rest) &&
	    str_num(line, 10, UINT64_MAX, &limit) < 0)
		limit = UINT64_MAX;
	buf_release(&path);
	buf_release(&text);
	return limit;
}

/* The least of the group and of those that it is in. Inside a container the
 * path may be that outside; what is mounted at the top is the container's. */
static uint64_t
group_limit(void)
{
	struct buf text = buf_make(TEXT_MAX);
	uint64_t least = UINT64_MAX, limit;
	struct str path = {0};
	bool old = false;

	if (!read_text("/proc/self/cgroup", &text) ||
	    !jobs_group_path(buf_str(&text), &path, &old))
		path = str_of("");
	do {
		while (path.n && path.s[path.n - 1] == '/')
			path.n--;
		limit = limit_of(path, old);
		least = limit < least ? limit : least;
		while (path.n && path.s[path.n - 1] != '/')
			path.n--;
	} while (path.n);
	buf_release(&text);
	return least;
}

static uint64_t
limit_on(int kind)
{
	struct rlimit r;

	return getrlimit(kind, &r) == 0 && r.rlim_cur != RLIM_INFINITY
		   ? r.rlim_cur
		   : UINT64_MAX;
}

static uint64_t
process_limit(void)
{
	uint64_t space = limit_on(RLIMIT_AS), data = limit_on(RLIMIT_DATA);

	return space < data ? space : data;
}

struct jobs_machine
jobs_look(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return (struct jobs_machine){
	    .process = process_limit(),
	    .group = group_limit(),
	    .ram = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size
					 : UINT64_MAX,
	    .files = limit_on(RLIMIT_NOFILE),
	    .cores = cores > 0 ? (unsigned)cores : 0,
	};
}
