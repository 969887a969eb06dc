#include "option.h"

#include <string.h>

#include "str.h"
#include "tests/unit/test.h"

static void
test_overview(void)
{
	struct buf b = buf_make(1 << 16);

	help_put(COMMAND_NONE, &b);
	CHECK(strstr(buf_cstr(&b), "COMMAND [OPTIONS] [ARGS]"));
	CHECK(strstr(buf_cstr(&b), "  download "));
	CHECK(strstr(buf_cstr(&b), "  upload "));
	CHECK(strstr(buf_cstr(&b), "  completion "));
	CHECK(!strstr(buf_cstr(&b), "--repo_id"));
	buf_release(&b);
}

static bool
is_option(struct str line)
{
	return str_starts(line, "  -") || str_starts(line, "      --");
}

static size_t
count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

static void
test_examples(void)
{
	static const struct {
		enum command about;
		const char *example;
	} rows[] = {
	    {COMMAND_DOWNLOAD, "  hub download -r openai-community/"},
	    {COMMAND_UPLOAD, "  hub upload -r me/model -p out\n"},
	    {COMMAND_LS, "  hub ls openai-community/gpt2\n"},
	    {COMMAND_VERIFY, "  hub verify -p gpt2 --repair\n"},
	    {COMMAND_WHOAMI, "  hub whoami --upload\n"},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct buf b = buf_make(1 << 16);
		const char *at;

		help_put(rows[i].about, &b);
		at = strstr(buf_cstr(&b), "\nExamples:\n");
		CHECK_ROW(i, at && count(at, "\n  hub ") == 3);
		CHECK_ROW(i, at && strstr(at, rows[i].example));
		at = strstr(buf_cstr(&b), "\nExit status:\n");
		for (char n = '0'; at && n <= '9'; n++) {
			char status[] = {' ', n, ' ', '\0'};

			CHECK_ROW(i, strstr(at, status));
		}
		CHECK_ROW(i, at && strstr(at, "128+N"));
		buf_release(&b);
	}
}

static void
test_commands(void)
{
	static const struct {
		enum command about;
		const char *there, *not_there;
	} rows[] = {
	    {COMMAND_DOWNLOAD, "  -r, --repo_id REPO ", "--private"},
	    {COMMAND_DOWNLOAD, "      --include GLOB ", "--delete"},
	    {COMMAND_DOWNLOAD, "\n  --max-workers ", "shell"},
	    {COMMAND_DOWNLOAD, "\nOutput:\n", "--create-pr"},
	    {COMMAND_UPLOAD, "--private", "--output"},
	    {COMMAND_LS, "  -R, --recursive ", "--repair"},
	    {COMMAND_VERIFY, "      --sha256sums ", "--quants"},
	    {COMMAND_WHOAMI, "      --upload ", "--repo_id"},
	    {COMMAND_VERSION, "      --json ", "Aliases"},
	    {COMMAND_COMPLETION, "hub completion fish", "Options:"},
	    {COMMAND_HELP, "COMMAND [OPTIONS] [ARGS]", "--json"},
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct buf b = buf_make(1 << 16);
		struct str rest, line;

		help_put(rows[i].about, &b);
		CHECK_ROW(i, !b.full);
		CHECK_ROW(i, strstr(buf_cstr(&b), rows[i].there));
		CHECK_ROW(i, !strstr(buf_cstr(&b), rows[i].not_there));
		for (rest = buf_str(&b); str_cut(rest, '\n', &line, &rest);) {
			CHECK_ROW(i, line.n < 80);
			if (is_option(line))
				CHECK_ROW(
				    i, line.s[31] == ' ' && line.s[32] != ' ');
		}
		CHECK_ROW(i, !rest.n);
		buf_release(&b);
	}
}

int
main(void)
{
	test_overview();
	test_commands();
	test_examples();
	return test_end();
}
