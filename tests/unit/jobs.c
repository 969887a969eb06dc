
#include "../../config.c"

#include <string.h>
#include <sys/resource.h>

#include "str.h"
#include "tests/unit/test.h"

#define NONE UINT64_MAX
#define MB(n) ((uint64_t)(n) << 20)

static void
test_choose(void)
{
	static const struct {
		struct jobs_machine m;
		enum jobs_ground ground;
		unsigned n;
		const char *why;
	} t[] = {
	    {{NONE, NONE, NONE, NONE, 0}, JOBS_DISK, 8, "default"},
	    {{NONE, NONE, MB(64 << 10), NONE, 64}, JOBS_DISK, 8, "default"},
	    {{NONE, NONE, MB(48), NONE, 4}, JOBS_DISK, 8, "default"},
	    /* A process that may take so much. */
	    {{MB(6), NONE, NONE, NONE, 4}, JOBS_DISK, 8, "default"},
	    {{MB(6) - 1, NONE, NONE, NONE, 4}, JOBS_DISK, 7, "process"},
	    {{MB(4), NONE, NONE, NONE, 4}, JOBS_DISK, 4, "process"},
	    {{MB(3), NONE, NONE, NONE, 4}, JOBS_DISK, 2, "process"},
	    {{MB(3) - 1, NONE, NONE, NONE, 4}, JOBS_DISK, 1, "process"},
	    {{MB(2), NONE, NONE, NONE, 4}, JOBS_DISK, 1, "process"},
	    {{0, NONE, NONE, NONE, 4}, JOBS_DISK, 1, "process"},
	    /* Half of a group's. */
	    {{NONE, MB(12), NONE, NONE, 4}, JOBS_DISK, 8, "default"},
	    {{NONE, MB(8), NONE, NONE, 4}, JOBS_DISK, 4, "group"},
	    {{NONE, MB(1), NONE, NONE, 4}, JOBS_DISK, 1, "group"},
	    /* An eighth of a machine's. */
	    {{NONE, NONE, MB(32), NONE, 4}, JOBS_DISK, 4, "machine"},
	    {{NONE, NONE, MB(24), NONE, 4}, JOBS_DISK, 2, "machine"},
	    {{NONE, NONE, MB(8), NONE, 4}, JOBS_DISK, 1, "machine"},
	    {{NONE, NONE, MB(1024), NONE, 1}, JOBS_DISK, 4, "core"},
	    {{NONE, NONE, MB(1024), NONE, 2}, JOBS_DISK, 8, "default"},
	    {{NONE, NONE, MB(1024), NONE, 4}, JOBS_FLASH, 2, "flash"},
	    {{NONE, NONE, MB(1024), NONE, 4}, JOBS_NETWORK, 4, "network"},
	    /* The least counts. */
	    {{MB(3), MB(8), MB(32), NONE, 1}, JOBS_NETWORK, 2, "process"},
	    {{MB(4), MB(6), MB(64), NONE, 1}, JOBS_NETWORK, 2, "group"},
	    {{MB(4), MB(8), MB(32), NONE, 1}, JOBS_FLASH, 2, "flash"},
	    {{NONE, NONE, MB(20), NONE, 1}, JOBS_FLASH, 1, "machine"},
	    {{NONE, NONE, NONE, 1024, 4}, JOBS_DISK, 8, "default"},
	    {{NONE, NONE, NONE, 64, 4}, JOBS_DISK, 5, "open files"},
	    {{NONE, NONE, NONE, 32, 4}, JOBS_DISK, 1, "open files"},
	    {{NONE, NONE, NONE, 9, 4}, JOBS_DISK, 1, "open files"},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct jobs_choice c = jobs_choose(&t[i].m, t[i].ground, false);

		CHECK_ROW(i, c.n == t[i].n);
		CHECK_ROW(i, strstr(c.why, t[i].why) != NULL);
	}
	/* Unpacking takes memory, too. */
	CHECK(jobs_choose(&t[6].m, JOBS_DISK, true).n == 1);
	CHECK(jobs_choose(&t[5].m, JOBS_DISK, true).n == 2);
	CHECK(jobs_choose(&t[3].m, JOBS_DISK, true).n == 4);
}

static void
test_packing(void)
{
	static const struct {
		struct jobs_machine m;
		unsigned jobs, n;
	} t[] = {
	    {{NONE, NONE, NONE, NONE, 0}, 8, 4},
	    {{NONE, NONE, NONE, NONE, 0}, 1, 4},
	    {{MB(40), NONE, NONE, NONE, 0}, 8, 4},
	    {{MB(40) - 1, NONE, NONE, NONE, 0}, 8, 3},
	    {{MB(28) - 1, NONE, NONE, NONE, 0}, 8, 0},
	    {{MB(28) - 1, NONE, NONE, NONE, 0}, 7, 1},
	    {{0, NONE, NONE, NONE, 0}, 1, 0},
	    {{NONE, MB(64), NONE, NONE, 0}, 8, 2},
	    {{NONE, NONE, MB(256), NONE, 0}, 8, 2},
	    {{NONE, NONE, MB(128), NONE, 0}, 2, 0},
	};

	for (size_t i = 0; i < countof(t); i++)
		CHECK_ROW(i, jobs_packing(&t[i].m, t[i].jobs, MB(4)) == t[i].n);
}

static void
test_own_group(void)
{
	static const struct {
		const char *text, *two, *one; /* of each version */
	} t[] = {
	    {"0::/\n", "/", ""},
	    {"0::/system.slice/x.service\n", "/system.slice/x.service", ""},
	    {"12:cpu,cpuacct:/c\n5:memory:/m\n0::/u\n", "/u", "/m"},
	    {"1:name=systemd:/s\n0::/u\n", "/u", ""},
	    {"0::/u\n5:memory:/m\n", "/u", "/m"},
	    {"0::/with:colon\n", "/with:colon", ""},
	    {"", "", ""},
	    {"\n\n", "", ""},
	    {"0::\n0::u\n0:/u\n", "", ""},
	    {"5:memoryx:/m\n5:cpu:/m\n", "", ""},
	    {"0::/cut off", "", ""},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct str text = str_of(t[i].text);

		CHECK_ROW(i, str_eq(own_group(text, ""), t[i].two));
		CHECK_ROW(i, str_eq(own_group(text, "memory"), t[i].one));
	}
}

static void
test_look(void)
{
	struct rlimit was, less;
	struct jobs_machine m = jobs_look();

	CHECK(m.cores > 0 && m.ram > MB(8) && m.ram < MB(1 << 30));
	CHECK(m.group > MB(1));
	CHECK(getrlimit(RLIMIT_DATA, &was) == 0);
	less = was;
	less.rlim_cur = MB(1 << 26); /* more than ASan maps */
	/* An emulator takes the limit and forgets it. */
	if (was.rlim_cur > less.rlim_cur &&
	    setrlimit(RLIMIT_DATA, &less) == 0 &&
	    getrlimit(RLIMIT_DATA, &less) == 0 &&
	    less.rlim_cur != was.rlim_cur) {
		CHECK(jobs_look().process == MB(1 << 26));
		CHECK(setrlimit(RLIMIT_DATA, &was) == 0);
	}
}

int
main(void)
{
	test_choose();
	test_packing();
	test_own_group();
	test_look();
	return test_end();
}
