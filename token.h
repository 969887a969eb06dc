#ifndef HUB_TOKEN_H
#define HUB_TOKEN_H

/*
 * The token of a run: --api_token, the first line of --token-file, the
 * environment, .env, the token file of the official client; in the environment
 * and in .env first the name for the purpose, then HF_TOKEN, then
 * HUGGING_FACE_HUB_TOKEN. What is empty counts as none, but a name that is set
 * in the environment, be it empty, is not looked for in .env. With
 * HF_HUB_DISABLE_IMPLICIT_TOKEN only the first two count.
 */

#include "variable.h"

struct buf;
struct err;
struct options;

enum token_purpose { TOKEN_READ, TOKEN_WRITE }; /* which name comes first */

struct token_input {
	/* api_token, token_file, config_path and verbose count here. */
	const struct options *options;
	enum token_purpose purpose;
	struct variables variables;
	const char *hf_home; /* NULL: there is none */
};

struct token {
	char *text;   /* printable ASCII without blanks; NULL: there is none */
	char *source; /* "--api_token", "HF_TOKEN in .env", ...; NULL so, too */
	char *file;   /* that it was read from; NULL: none */
	char *dotenv; /* that the configuration names; NULL: none */
};

/* notes gets a line for each thing that is ignored. A byte order mark, blanks
 * and quotes around a token are not part of it. Errors are ERR_USAGE: a token
 * that no header can carry, or a file that was named and cannot be read. The
 * text itself is never in one, and hidden (str_hide) from now on. */
int token_find(const struct token_input *in, struct token *out,
    struct buf *notes, struct err *e);
/* Wipes the text, and hides nothing any more. */
void token_release(struct token *t);

/* What was looked at for a token, for the sentence when one is missing:
 * "--api_token, --token-file, HUGGINGFACE_WRITE_API, ...". */
const char *token_places(enum token_purpose p);

#endif
