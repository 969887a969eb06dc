#define _GNU_SOURCE /* fstatfs */

#include "traits.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#endif

#include "err.h"
#include "file.h"
#include "mem.h"
#include "wait.h"

/* ".hub-", 16 digits, ".tmp". */
#define TEMP_NAME 32

#ifdef __linux__

enum { NETWORK = 1, NO_HOLES = 2, MAX_4G = 4, UNKNOWN_HOLES = 8, FLASH = 16 };

/* By statfs(2) and the kernel's include/uapi/linux/magic.h. What is not here is
 * a local file system with holes and locks. */
static unsigned
kind_of(uint32_t magic)
{
	static const struct {
		uint32_t magic;
		unsigned kind;
	} t[] = {
	    {0x4d44, NO_HOLES | MAX_4G | FLASH},   /* FAT */
	    {0x2011bab0, NO_HOLES | FLASH},        /* exFAT */
	    {0x72b6, FLASH},                       /* JFFS2 */
	    {0x24051905, FLASH},                   /* UBIFS */
	    {0x5941ff53, FLASH},                   /* YAFFS2 */
	    {0x4244, NO_HOLES},                    /* HFS */
	    {0x482b, NO_HOLES},                    /* HFS+ */
	    {0x5346544e, NO_HOLES},                /* NTFS */
	    {0x7366746e, NO_HOLES},                /* NTFS3 */
	    {0x65735546, NETWORK | UNKNOWN_HOLES}, /* FUSE */
	    {0x517b, NETWORK | UNKNOWN_HOLES},     /* SMB */
	    {0xff534d42, NETWORK | UNKNOWN_HOLES}, /* CIFS */
	    {0xfe534d42, NETWORK | UNKNOWN_HOLES}, /* SMB2 */
	    {0x01021997, NETWORK | UNKNOWN_HOLES}, /* 9P */
	    {0x786f4256, NETWORK | UNKNOWN_HOLES}, /* VirtualBox */
	    {0xbacbacbc, NETWORK | UNKNOWN_HOLES}, /* VMware */
	    {0x7c7c6673, NETWORK | UNKNOWN_HOLES}, /* Parallels */
	    {0x6969, NETWORK},                     /* NFS */
	    {0x0bd00bd0, NETWORK},                 /* Lustre */
	    {0x00c36400, NETWORK},                 /* Ceph */
	    {0x47504653, NETWORK},                 /* GPFS */
	    {0x19830326, NETWORK},                 /* BeeGFS */
	    {0xaad7aaea, NETWORK},                 /* PanFS */
	    {0x20030528, NETWORK},                 /* OrangeFS */
	    {0x5346414f, NETWORK},                 /* AFS */
	    {0x6b414653, NETWORK},                 /* AFS of the kernel */
	    {0x73757245, NETWORK},                 /* Coda */
	    {0x564c, NETWORK},                     /* NCP */
	    {0x7461636f, NETWORK},                 /* OCFS2 */
	    {0x01161970, NETWORK},                 /* GFS2 */
	};

	for (size_t i = 0; i < countof(t); i++)
		if (t[i].magic == magic)
			return t[i].kind;
	return 0;
}

static unsigned
kind_here(int fd)
{
	struct statfs s;

	if (fstatfs(fd, &s) < 0)
		return 0;
	return kind_of((uint32_t)s.f_type);
}

/* By the kernel's Documentation/admin-guide/devices.txt: blocks of an MTD, SD
 * and MMC cards. */
static bool
is_card(dev_t device)
{
	return major(device) == 31 || major(device) == 179;
}

#else

enum { NETWORK = 1, NO_HOLES = 2, MAX_4G = 4, UNKNOWN_HOLES = 8, FLASH = 16 };

static unsigned
kind_here(int fd)
{
	(void)fd;
	return UNKNOWN_HOLES;
}

static bool
is_card(dev_t device)
{
	(void)device;
	return false;
}

#endif

static uint64_t
free_here(int fd)
{
	struct statvfs s;
	uint64_t unit;

	if (fstatvfs(fd, &s) < 0 || s.f_blocks == 0)
		return UINT64_MAX;
	unit = s.f_frsize ? s.f_frsize : s.f_bsize;
	if (unit && s.f_bavail > UINT64_MAX / unit)
		return UINT64_MAX;
	return s.f_bavail * unit;
}

static uint64_t
largest(unsigned kind)
{
	uint64_t max = kind & MAX_4G ? UINT32_MAX : UINT64_MAX;
	struct rlimit r;

	if (getrlimit(RLIMIT_FSIZE, &r) == 0 && r.rlim_cur != RLIM_INFINITY &&
	    r.rlim_cur < max)
		max = r.rlim_cur;
	return max;
}

/* Whether a file of a hole and one byte takes the room of one byte. */
static bool
holes_are_cheap(int fd)
{
	const off_t hole = 1 << 20;
	struct stat st;

	return pwrite(fd, "", 1, hole) == 1 && fstat(fd, &st) == 0 &&
	       st.st_blocks < hole / 512 / 2;
}

static bool
upper_case_is(int at, const char *name)
{
	char upper[TEMP_NAME];
	struct stat a, b;
	size_t i = 0;

	for (; name[i]; i++)
		upper[i] = name[i] >= 'a' && name[i] <= 'z'
			       ? (char)(name[i] - 'a' + 'A')
			       : name[i];
	upper[i] = '\0';
	return fstatat(at, upper, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(at, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_ino == b.st_ino;
}

/* What only a file shows: holes, and the owner, which a server or a mount
 * option may decide. A folder in which nothing can be written stays as it was
 * assumed. */
static void
probe(const struct folder *f, bool holes, struct folder_traits *t)
{
	char name[TEMP_NAME];
	struct err ignored;
	struct stat st;
	int fd;

	snprintf(name, sizeof(name), ".hub-%016" PRIx64 ".tmp", wait_random());
	fd = folder_openat(f, name, O_WRONLY | O_CREAT | O_EXCL, &ignored);
	if (fd < 0)
		return;
	/* At once: who is killed meanwhile leaves nothing behind. */
	unlinkat(f->fd, name, 0);
	if (fstat(fd, &st) == 0)
		t->maker.uid = st.st_uid;
	if (holes)
		t->sparse = holes_are_cheap(fd);
	close(fd);
}

int
folder_traits(const struct folder *f, struct folder_traits *t, struct err *e)
{
	unsigned kind = kind_here(f->fd);
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return err_sys(e, ERR_FILE, "cannot look at '%s'", f->path);
	*t = (struct folder_traits){
	    .free = free_here(f->fd),
	    .max_file = largest(kind),
	    .network = (kind & NETWORK) != 0,
	    .flash = (kind & FLASH) || is_card(st.st_dev),
	    .sparse = (kind & NO_HOLES) == 0,
	    .maker = {geteuid(), 0644, 0600},
	};
	t->caseless = upper_case_is(f->fd, ".cache");
	if (kind & (NETWORK | NO_HOLES | UNKNOWN_HOLES))
		probe(f, kind & UNKNOWN_HOLES, t);
	return 0;
}
