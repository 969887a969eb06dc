#include "preupload.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "json.h"
#include "mem.h"

#define PATH_MAX_LENGTH 8192

void
preupload_begin(struct buf *b)
{
	buf_puts(b, "{\"files\":[");
}

void
preupload_add(struct buf *b, const char *path, uint64_t size,
    const void *sample, size_t n)
{
	if (b->len && b->s[b->len - 1] != '[')
		buf_putc(b, ',');
	buf_puts(b, "{\"path\":");
	json_put_string(b, str_of(path));
	buf_printf(b, ",\"size\":%" PRIu64 ",\"sample\":\"", size);
	buf_base64(b, sample, n);
	buf_puts(b, "\"}");
}

static void
put_member(struct buf *b, const char *name, const char *value)
{
	if (!value)
		return;
	buf_printf(b, ",\"%s\":", name);
	json_put_string(b, str_of(value));
}

void
preupload_end(struct buf *b, const char *ignore, const char *attributes)
{
	buf_putc(b, ']');
	put_member(b, "gitIgnore", ignore);
	put_member(b, "gitAttributes", attributes);
	buf_putc(b, '}');
}

static int
broken(struct err *e)
{
	return err_set(
	    e, ERR_CONTENT, "the Hub's answer does not say how to send a file");
}

static int
give(const struct json *item,
    void (*each)(void *ctx, const struct preupload_mode *m), void *ctx,
    struct err *e)
{
	struct preupload_mode m = {.path = NULL};
	char *path = json_get_strdup(item, "path", PATH_MAX_LENGTH);
	char *oid = json_get_strdup(item, "oid", 64);
	struct json mode;
	int rv = -1;

	if (path && json_get(item, "uploadMode", &mode) &&
	    (json_is(&mode, "lfs") || json_is(&mode, "regular"))) {
		m.path = path;
		m.lfs = json_is(&mode, "lfs");
		m.ignored = json_get_bool(item, "shouldIgnore", false);
		m.known = oid && digest_parse(str_of(oid), &m.there) == 0;
		each(ctx, &m);
		rv = 0;
	}
	free(path);
	free(oid);
	return rv < 0 ? broken(e) : 0;
}

int
preupload_parse(struct str text,
    void (*each)(void *ctx, const struct preupload_mode *m), void *ctx,
    char commit[41], struct err *e)
{
	struct json all, files, item;
	struct json_iter it;
	char *head;

	if (json_parse(text, &all, e) < 0) {
		e->kind = ERR_NET;
		return err_in(e, "the Hub's answer is no JSON");
	}
	if (!json_get(&all, "files", &files) || files.type != JSON_ARRAY)
		return broken(e);
	head = json_get_strdup(&all, "commitOid", 40);
	commit[0] = '\0';
	if (head && str_is_hex(str_of(head), 40))
		memcpy(commit, head, 41);
	free(head);
	it = json_iter(&files);
	while (json_next(&it, NULL, &item))
		if (give(&item, each, ctx, e) < 0)
			return -1;
	return 0;
}
