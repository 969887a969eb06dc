/* Runs a fuzz target over its corpus: as replay_NOUN, over all files of
 * tests/fuzz/corpus/NOUN. An input on which something does not hold ends the
 * program; its name is the last one printed. */

#include <dirent.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/test.h"

/* The longest input of a corpus. */
#define INPUT_MAX (1 << 20)

static void
replay(const char *path)
{
	struct buf text = buf_make(INPUT_MAX);
	FILE *f = fopen(path, "rb");
	char *exact;

	puts(path);
	fflush(stdout);
	CHECK(f != NULL);
	if (!f)
		return;
	buf_added(&text, fread(buf_room(&text, INPUT_MAX), 1, INPUT_MAX, f));
	CHECK(!ferror(f));
	fclose(f);
	exact = fuzz_copy(buf_str(&text));
	LLVMFuzzerTestOneInput((const uint8_t *)exact, text.len);
	free(exact);
	buf_release(&text);
}

int
main(int argc, char **argv)
{
	struct buf folder = buf_make(4096), path = buf_make(4096);
	const char *noun = argc ? strrchr(argv[0], '_') : NULL;
	struct dirent *entry;
	size_t inputs = 0;
	DIR *d;

	buf_printf(&folder, "tests/fuzz/corpus/%s", noun ? noun + 1 : "");
	d = opendir(buf_cstr(&folder));
	while (d && (entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		buf_clear(&path);
		buf_printf(&path, "%s/%s", folder.s, entry->d_name);
		replay(buf_cstr(&path));
		inputs++;
	}
	if (d)
		closedir(d);
	CHECK(inputs > 0);
	buf_release(&folder);
	buf_release(&path);
	return test_end();
}
