#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "mem.h"
#include "str.h"

/* The room is taken at once: what grows leaves copies behind. */
int
secret_read_fd(int fd, struct buf *b)
{
	char *room = buf_room(b, b->max);
	size_t n = 0;

	while (n < b->max) {
		ssize_t got = read(fd, room + n, b->max - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	buf_added(b, n);
	if (n < b->max)
		return 0;
	errno = EFBIG;
	return -1;
}

int
secret_read_file(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rv, saved;

	if (fd < 0)
		return -1;
	rv = secret_read_fd(fd, b);
	saved = errno;
	close(fd);
	errno = saved;
	return rv;
}

void
secret_release(struct buf *b)
{
	if (b->s)
		mem_wipe(b->s, b->cap);
	buf_release(b);
}
