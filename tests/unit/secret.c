#include "../../token.c"

#include <errno.h>
#include <fcntl.h>

#include "str.h"
#include "tests/unit/scratch.h"

#define LONGEST 16

static void
test_lengths(void)
{
	static const struct {
		const char *text;
		int error; /* 0: none */
	} rows[] = {
	    {"", 0},
	    {"x", 0},
	    {"0123456789abcdef", 0},
	    {"0123456789abcdefg", EFBIG},
	    {"0123456789abcdefghijklmnopqrstuvwxyz", EFBIG},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct buf b = buf_make(LONGEST);
		int rv;

		scratch_write("f", rows[i].text);
		errno = 0;
		rv = secret_read_file("f", &b);
		CHECK_ROW(i, rv == (rows[i].error ? -1 : 0));
		CHECK_ROW(i, rv == 0 || errno == rows[i].error);
		CHECK_ROW(i, rv < 0 || str_eq(buf_str(&b), rows[i].text));
		secret_release(&b);
		CHECK_ROW(i, !b.s && !b.len);
		secret_release(&b);
	}
}

/* A pipe gives its bytes in pieces. */
static void
test_pipe(void)
{
	struct buf b = buf_make(LONGEST);
	int fd[2];

	CHECK(pipe(fd) == 0);
	CHECK(write(fd[1], "ab", 2) == 2 && write(fd[1], "cd", 2) == 2);
	close(fd[1]);
	CHECK(secret_read_fd(fd[0], &b) == 0 && str_eq(buf_str(&b), "abcd"));
	close(fd[0]);
	secret_release(&b);
}

static void
test_refused(void)
{
	struct buf b = buf_make(LONGEST);

	CHECK(secret_read_file("none", &b) < 0 && errno == ENOENT);
	CHECK(secret_read_file(".", &b) < 0 && errno == EISDIR);
	CHECK(secret_read_fd(-1, &b) < 0 && errno == EBADF);
	secret_release(&b);
}

int
main(void)
{
	char folder[SCRATCH_PATH];

	scratch_enter(folder);
	test_lengths();
	test_pipe();
	test_refused();
	scratch_leave(folder);
	return test_end();
}
