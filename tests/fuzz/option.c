/* Command lines, an argument a line; and the first one as a rate. */

#include "../../option.c"

#include "tests/fuzz/fuzz.h"

#define ARGS_MAX 64

static void
check_options(const struct options *o, int argc)
{
	MUST(o->jobs <= 64);
	MUST(o->timeout <= 86400 && o->stall_timeout <= 86400);
	MUST(o->args.n + o->include.n + o->exclude.n + o->delete.n <=
	     (size_t)argc);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str rest = fuzz_str(p, n);
	char *arg[ARGS_MAX + 1], *argv[ARGS_MAX + 1];
	struct options o = {0};
	uint64_t rate;
	struct err e;
	int argc = 1;

	arg[0] = xstrdup("hub");
	while (rest.n && argc < ARGS_MAX)
		arg[argc++] = fuzz_cstr(fuzz_cut(&rest, '\n'));
	arg[argc] = NULL;
	memcpy(argv, arg, sizeof(argv));
	if (argc > 1 && rate_parse(arg[1], &rate, &e) < 0)
		fuzz_failed(&e);
	if (options_parse(&o, argc, argv, &e) < 0) {
		fuzz_failed(&e);
		MUST(e.kind == ERR_USAGE);
	} else {
		check_options(&o, argc);
	}
	options_release(&o);
	for (int i = 0; i < argc; i++)
		free(arg[i]);
	return 0;
}
