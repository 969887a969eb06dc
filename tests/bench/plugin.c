/*
 * A plugin of qemu-user: counts the instructions of a program, of all threads
 * together, and writes the number into a file when the program ends.
 *
 *	qemu-CPU -plugin insn.so,out=FILE PROGRAM ...
 *
 * A block of code adds its length when it begins, so one that a signal cuts
 * short counts as whole. Below is what is used of version 1 of qemu's
 * interface; no package of Debian has its header.
 */

#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct qemu_plugin_tb;

enum { CPU_REGISTERS_UNUSED = 0, INTERFACE = 1 };

typedef void block_made(uint64_t id, struct qemu_plugin_tb *block);
typedef void block_begins(unsigned cpu, void *arg);
typedef void program_ends(uint64_t id, void *arg);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, block_made *call);
void qemu_plugin_register_vcpu_tb_exec_cb(
    struct qemu_plugin_tb *block, block_begins *call, int uses, void *arg);
void qemu_plugin_register_atexit_cb(uint64_t id, program_ends *call, void *arg);

extern const int qemu_plugin_version;
int qemu_plugin_install(uint64_t id, const void *info, int argc, char *argv[]);

const int qemu_plugin_version = INTERFACE;

/* Of the file, since made() is given nothing of ours. */
static atomic_uint_least64_t count;

static void
begins(unsigned cpu, void *arg)
{
	(void)cpu;
	atomic_fetch_add_explicit(&count, (uintptr_t)arg, memory_order_relaxed);
}

static void
made(uint64_t id, struct qemu_plugin_tb *block)
{
	size_t n = qemu_plugin_tb_n_insns(block);

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(
	    block, begins, CPU_REGISTERS_UNUSED, (void *)(uintptr_t)n);
}

static void
ends(uint64_t id, void *arg)
{
	FILE *f = fopen(arg, "w");

	(void)id;
	if (!f || fprintf(f, "%" PRIu64 "\n", atomic_load(&count)) < 0 ||
	    fclose(f) != 0)
		perror(arg);
}

int
qemu_plugin_install(uint64_t id, const void *info, int argc, char *argv[])
{
	static char path[4096];

	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4) != 0 ||
	    strlen(argv[0] + 4) >= sizeof(path)) {
		fprintf(stderr, "insn.so: out=FILE is missing\n");
		return -1;
	}
	memcpy(path, argv[0] + 4, strlen(argv[0] + 4) + 1);
	qemu_plugin_register_vcpu_tb_trans_cb(id, made);
	qemu_plugin_register_atexit_cb(id, ends, path);
	return 0;
}
