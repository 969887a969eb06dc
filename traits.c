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

enum {
	NETWORK = 1,
	NO_HOLES = 2,
	MAX_4G = 4,
	UNKNOWN_HOLES = 8,
	FLASH = 16,
	PICKY = 32,   /* refuses some names */
	WINDOWS = 64, /* Windows's, or may be served by a Windows */
};

#ifdef __linux__

/* By statfs(2) and the kernel's include/uapi/linux/magic.h. What is not here is
 * a local file system with holes and locks. */
static unsigned
kind_of(uint32_t magic)
{
	static const struct {
		uint32_t magic;
		unsigned kind;
	} t[] = {
	    {0x4d44, NO_HOLES | MAX_4G | FLASH | WINDOWS},   /* FAT */
	    {0x2011bab0, NO_HOLES | FLASH | WINDOWS},        /* exFAT */
	    {0x72b6, FLASH},                                 /* JFFS2 */
	    {0x24051905, FLASH},                             /* UBIFS */
	    {0x5941ff53, FLASH},                             /* YAFFS2 */
	    {0x4244, NO_HOLES | PICKY},                      /* HFS */
	    {0x482b, NO_HOLES | PICKY},                      /* HFS+ */
	    {0x5346544e, NO_HOLES | WINDOWS},                /* NTFS */
	    {0x7366746e, NO_HOLES | WINDOWS},                /* NTFS3 */
	    {0x65735546, NETWORK | UNKNOWN_HOLES},           /* FUSE */
	    {0x517b, NETWORK | UNKNOWN_HOLES | WINDOWS},     /* SMB */
	    {0xff534d42, NETWORK | UNKNOWN_HOLES | WINDOWS}, /* CIFS */
	    {0xfe534d42, NETWORK | UNKNOWN_HOLES | WINDOWS}, /* SMB2 */
	    {0x01021997, NETWORK | UNKNOWN_HOLES | WINDOWS}, /* 9P */
	    {0x786f4256, NETWORK | UNKNOWN_HOLES | WINDOWS}, /* VirtualBox */
	    {0xbacbacbc, NETWORK | UNKNOWN_HOLES | WINDOWS}, /* VMware */
	    {0x7c7c6673, NETWORK | UNKNOWN_HOLES | WINDOWS}, /* Parallels */
	    {0x6969, NETWORK},                               /* NFS */
	    {0x0bd00bd0, NETWORK},                           /* Lustre */
	    {0x00c36400, NETWORK},                           /* Ceph */
	    {0x47504653, NETWORK},                           /* GPFS */
	    {0x19830326, NETWORK},                           /* BeeGFS */
	    {0xaad7aaea, NETWORK},                           /* PanFS */
	    {0x20030528, NETWORK},                           /* OrangeFS */
	    {0x5346414f, NETWORK},                           /* AFS */
	    {0x6b414653, NETWORK},       /* AFS of the kernel */
	    {0x73757245, NETWORK},       /* Coda */
	    {0x564c, NETWORK | WINDOWS}, /* NCP */
	    {0x7461636f, NETWORK},       /* OCFS2 */
	    {0x01161970, NETWORK},       /* GFS2 */
	    {0xf15f, PICKY},             /* eCryptfs */
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

static unsigned
kind_here(int fd)
{
	(void)fd;
	return UNKNOWN_HOLES | PICKY;
}

static bool
is_card(dev_t device)
{
	(void)device;
	return false;
}

#endif

static void
look_at_room(int fd, struct folder_traits *t)
{
	struct statvfs s;
	uint64_t unit;

	t->free = t->free_files = UINT64_MAX;
	if (fstatvfs(fd, &s) < 0)
		return;
	unit = s.f_frsize ? s.f_frsize : s.f_bsize;
	if (s.f_blocks && unit && s.f_bavail <= UINT64_MAX / unit)
		t->free = s.f_bavail * unit;
	/* Where files are made of whatever room there is, it says 0 of 0. */
	if (s.f_files)
		t->free_files = s.f_favail;
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
	    .max_file = largest(kind),
	    .network = (kind & NETWORK) != 0,
	    .flash = (kind & FLASH) || is_card(st.st_dev),
	    .sparse = (kind & NO_HOLES) == 0,
	    .windows = (kind & WINDOWS) != 0,
	    .picky = (kind & (PICKY | WINDOWS | NETWORK)) != 0,
	    .maker = {geteuid(), 0644, 0600},
	};
	look_at_room(f->fd, t);
	if (kind & (NETWORK | NO_HOLES | UNKNOWN_HOLES))
		probe(f, kind & UNKNOWN_HOLES, t);
	return 0;
}
