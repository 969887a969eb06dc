#include "output.h"

#include <errno.h>

#include "err.h"
#include "wait.h"

/* The longest name of a file, each byte of it escaped, and a reason. */
#define TEXT_MAX ((size_t)1 << 20)

struct output
output_make(FILE *to)
{
	return (struct output){.text = buf_make(TEXT_MAX), .to = to};
}

static void
give(struct output *o)
{
	size_t n = o->text.len;

	if (!o->error && n && fwrite(o->text.s, 1, n, o->to) != n)
		o->error = errno;
	o->text.len = 0;
}

void
output_more(struct output *o)
{
	if (o->text.len >= OUTPUT_PIECE)
		give(o);
}

int
output_end(struct output *o, struct err *e)
{
	bool full = o->text.full;

	give(o);
	buf_release(&o->text);
	if (full)
		return err_set(e, ERR_OTHER, "the report is too long");
	if (!o->error && fflush(o->to) != 0)
		o->error = errno;
	if (!o->error)
		return 0;
	if (o->error == EPIPE)
		return wait_no_reader(e);
	errno = o->error;
	return err_sys(e, ERR_FILE, "cannot write to standard output");
}
