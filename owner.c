#include "owner.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "str.h"

/* 32 hexadecimal digits with dashes between them. */
static bool
read_boot(unsigned char boot[16])
{
	char text[37] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, 36);
	size_t k = 0;

	if (fd >= 0)
		close(fd);
	for (ssize_t i = 0; i < n; i++)
		if (text[i] != '-')
			text[k++] = text[i];
	return n == 36 && hex_decode(str_make(text, k), boot, 16) == 0;
}

void
owner_self(struct owner *o)
{
	struct stat st;

	*o = (struct owner){.pid = (uint32_t)getpid()};
	if (!read_boot(o->boot))
		memset(o->boot, 0, sizeof(o->boot));
	if (stat("/proc/self/ns/pid", &st) == 0)
		o->pids = st.st_ino;
}

bool
owner_knows_boot(const struct owner *o)
{
	static const unsigned char unknown[16];

	return memcmp(o->boot, unknown, 16) != 0;
}

bool
owner_same_boot(const struct owner *a, const struct owner *b)
{
	return owner_knows_boot(a) && memcmp(a->boot, b->boot, 16) == 0;
}
