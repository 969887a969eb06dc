/*
 * roots DIR: writes roots.c (see roots.h) to standard output, made of the PEM
 * files DIR/...crt in byte order of their names. Runs while building, on the
 * machine that builds. Roots that have expired stay in: an anchor has no dates.
 */

#include <bearssl.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cert.h"
#include "err.h"
#include "lz4.h"
#include "str.h"

#define FILE_MAX 1048576

struct state {
	struct anchors anchors;
	br_sha256_context hash;
	int64_t newest;
};

static void
die(const struct err *e)
{
	fprintf(stderr, "roots: %s\n", e->msg);
	exit(1);
}

static int
read_file(const char *path, struct buf *text, int64_t *date, struct err *e)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	char *room;
	int rv = 0;

	if (!f || fstat(fileno(f), &st) < 0) {
		err_sys(e, ERR_FILE, "cannot read '%s'", path);
		if (f)
			fclose(f);
		return -1;
	}
	*date = st.st_mtime;
	while ((room = buf_room(text, 4096))) {
		size_t n = fread(room, 1, 4096, f);

		buf_added(text, n);
		if (!n)
			break;
	}
	if (ferror(f) || text->full)
		rv = err_set(e, ERR_FILE, "cannot read all of '%s'", path);
	fclose(f);
	return rv;
}

static int
add_file(struct state *s, const char *path, struct err *e)
{
	struct buf text = buf_make(FILE_MAX);
	size_t added = 0;
	int64_t date = 0;

	if (read_file(path, &text, &date, e) < 0)
		return -1;
	if (anchors_add_pem(&s->anchors, buf_str(&text), &added, e) < 0)
		return err_in(e, "%s", path);
	if (!added)
		fprintf(
		    stderr, "roots: %s: left out, unknown kind of key\n", path);
	br_sha256_update(&s->hash, buf_cstr(&text), text.len);
	if (date > s->newest)
		s->newest = date;
	buf_release(&text);
	return 0;
}

static int
is_root(const struct dirent *d)
{
	return str_ends(str_of(d->d_name), ".crt");
}

/* strcmp(), since alphasort() asks the locale. */
static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int
add_dir(struct state *s, const char *dir, struct err *e)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, is_root, by_name);

	if (n < 0)
		return err_sys(e, ERR_FILE, "cannot read '%s'", dir);
	for (int i = 0; i < n; i++) {
		struct buf path = buf_make(4096);

		buf_printf(&path, "%s/%s", dir, names[i]->d_name);
		if (add_file(s, buf_cstr(&path), e) < 0)
			return -1;
		buf_release(&path);
		free(names[i]);
	}
	free(names);
	if (!s->anchors.n)
		return err_set(e, ERR_FILE, "no certificate in '%s'", dir);
	return 0;
}

static void
print_bytes(const char *name, struct str s)
{
	printf("const unsigned char %s[] = {\n", name);
	for (size_t i = 0; i < s.n; i++)
		printf("%u,%s", (unsigned)(unsigned char)s.s[i],
		    i % 20 == 19 ? "\n" : "");
	printf("};\nconst size_t %s_size = sizeof(%s);\n", name, name);
}

static void
print_heads(struct str heads)
{
	static uint32_t table[LZ4_TABLE];
	unsigned char *frame = xmalloc(heads.n + 15);
	size_t n = lz4_write((const unsigned char *)heads.s, heads.n, frame,
	    heads.n + 15, table);

	print_bytes("roots_heads", str_make((char *)frame, n));
	printf("const size_t roots_heads_length = %zu;\n", heads.n);
	free(frame);
}

static void
print(struct state *s)
{
	struct buf heads = buf_make(262144), keys = buf_make(16777216);
	unsigned char sum[32];
	char hex[65], day[32];

	for (size_t i = 0; i < s->anchors.n; i++)
		anchor_pack(&s->anchors.a[i], &heads, &keys);
	if (heads.full || keys.full) {
		fprintf(stderr, "roots: too many\n");
		exit(1);
	}
	br_sha256_out(&s->hash, sum);
	hex_encode(sum, sizeof(sum), hex);
	cert_day(s->newest, day);
	printf("/* Made by tools/roots. */\n#include \"roots.h\"\n");
	print_heads(buf_str(&heads));
	print_bytes("roots_keys", buf_str(&keys));
	printf("const size_t roots_count = %zu;\n"
	       "const char roots_date[] = \"%s\";\n"
	       "const char roots_sha256[] = \"%s\";\n",
	    s->anchors.n, day, hex);
	buf_release(&heads);
	buf_release(&keys);
}

int
main(int argc, char *argv[])
{
	struct state s = {0};
	struct err e = {0};

	if (argc != 2)
		err_set(&e, ERR_USAGE, "usage: roots DIR");
	br_sha256_init(&s.hash);
	if (e.kind || add_dir(&s, argv[1], &e) < 0)
		die(&e);
	print(&s);
	anchors_release(&s.anchors);
	if (fflush(stdout) || ferror(stdout))
		return 1;
	return 0;
}
