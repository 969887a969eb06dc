#ifndef HUB_TOKEN_H
#define HUB_TOKEN_H

/*
 * The token of a run: --api_token, the first line of --token-file, the
 * environment, .env, the token file of the official client; in the environment
 * and in .env first the name for the purpose, then HF_TOKEN, then
 * HUGGING_FACE_HUB_TOKEN. An empty value counts as none, but a name that is set
 * in the environment, even if empty, is not looked for in .env. With
 * HF_HUB_DISABLE_IMPLICIT_TOKEN only the first two are used.
 */

#include <stdbool.h>

#include "env.h"

struct buf;
struct err;
struct options;

/* --- Where the token comes from. --- */

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
	char *file;   /* file that the token was read from; NULL: none */
	char *dotenv; /* .env that the configuration names; NULL: none */
};

/* notes gets a line for each thing that is ignored. A byte order mark, blanks
 * and quotes around a token are not part of it. Errors are ERR_USAGE: a token
 * that no header can carry, or a file that was named and cannot be read. The
 * text itself is never in one, and hidden (str_hide) from now on. */
int token_find(const struct token_input *in, struct token *out,
    struct buf *notes, struct err *e);
/* Wipes the text, and hides nothing any more. */
void token_release(struct token *t);

/* The places that are searched for a token, for the error if there is none:
 * "--api_token, --token-file, HUGGINGFACE_WRITE_API, ...". */
const char *token_places(enum token_purpose p);

/* --- Which .env file counts. --- */

/*
 * The .env file of a run: the one that the configuration file names, else the
 * one in the working directory. Its syntax is env.h's.
 *
 * Only tokens are taken from it: an endpoint, proxy or CA there could be a trap
 * that collects the token, and is ignored with a note. A file that was not
 * named is used only if it belongs to the user or to root, no other user can
 * write to it (the user's own group may), and it can be parsed; else it is
 * ignored with a note. In such a file ${VAR} is a variable of the file itself,
 * since the environment may hold the secrets of another program.
 */

struct dotenv {
	struct env env; /* empty if there is none */
	char *path;     /* what the configuration names; NULL: nothing */
};

#endif
