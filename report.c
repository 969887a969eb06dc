#include "report.h"

#include <inttypes.h>
#include <stdlib.h>

#include "json.h"
#include "mem.h"
#include "repoid.h"
#include "str.h"

void
report_begin(struct buf *b, const char *command, const struct repoid *id,
    const char *revision)
{
	buf_printf(b, "{\"command\":\"%s\",\"repo_id\":", command);
	json_put_string(b, str_of(id->id));
	buf_printf(
	    b, ",\"repo_type\":\"%s\",\"revision\":", repo_type_name(id->type));
	json_put_string(b, str_of(revision));
}

void
report_file(struct buf *b, const char *path, uint64_t size)
{
	buf_puts(b, "{\"path\":");
	json_put_string(b, str_of(path));
	buf_printf(b, ",\"size\":%" PRIu64, size);
}

void
report_file_end(struct buf *b, const char *outcome, const char *why)
{
	buf_printf(b, ",\"outcome\":\"%s\"", outcome);
	if (why) {
		buf_puts(b, ",\"error\":");
		json_put_string(b, str_of(why));
	}
	buf_putc(b, '}');
}

void
report_line(struct buf *b, const char *outcome, const char *size,
    const char *path, const char *why)
{
	char *name = xstrdup(path);

	str_printable(name);
	buf_printf(b, "%-10s %10s  %s%s%s\n", outcome, size, name,
	    *why ? ": " : "", why);
	free(name);
}
