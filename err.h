#ifndef HUB_ERR_H
#define HUB_ERR_H

/*
 * One error: a sentence for the user and the class that decides what follows.
 *
 * A function that can fail takes a struct err * as its last argument. When it
 * fails it sets it, once, where the cause is known, and returns -1 (or NULL).
 * It never prints: only hub.c does. A layer that knows more of what the user
 * asked for puts it before the sentence with err_in(). Whoever tries again
 * looks only at the kind: ERR_NET may be tried again, nothing else is.
 */

/* The exit statuses, as hub(1) lists them. */
enum err_kind {
	ERR_NONE = 0,
	ERR_OTHER = 1,
	ERR_USAGE = 2,   /* option, argument, configuration, .env line */
	ERR_ABSENT = 3,  /* no such repository, revision or file */
	ERR_AUTH = 4,    /* no token, or one that may not do this; gated */
	ERR_NET = 5,     /* network or server: a later try may work */
	ERR_CONTENT = 6, /* bytes that are not what their hash says */
	ERR_FILE = 7,    /* the local file system */
	ERR_REFUSED = 8, /* upload: the branch moved, the commit was refused */
	ERR_PARTIAL = 9, /* some files done, some failed */
	ERR_STOPPED =
	    128, /* a signal asked for the end; hub.c adds its number */
};

struct err {
	enum err_kind kind;
	unsigned wait;  /* ERR_NET: seconds that the server asks for; 0: none */
	char msg[768];  /* one line of printable UTF-8 */
	char hint[256]; /* what to do, printed behind "try: "; "" if nothing */
};

#if defined(__GNUC__)
#define ERR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define ERR_PRINTF(f, a)
#endif

/* Each sets the error (wait 0, no hint) and returns -1. Control characters and
 * broken UTF-8 in the text come out as '?', and what looks like a token as
 * "hf_***": names and messages of a server, and whatever the user gave, can be
 * given as they are. A text that is too long is cut. */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
    ERR_PRINTF(3, 4);

/* The same, with ": " and the text of errno after it. */
int err_sys(struct err *e, enum err_kind kind, const char *fmt, ...)
    ERR_PRINTF(3, 4);

/* Puts "fmt: " before the sentence, keeps the rest, and returns -1. */
int err_in(struct err *e, const char *fmt, ...) ERR_PRINTF(2, 3);

/* Sets what to do about it, and returns -1. */
int err_hint(struct err *e, const char *fmt, ...) ERR_PRINTF(2, 3);

/* Why a file failed, kept until the end of the run: as small as its text, since
 * 100,000 files may fail. One allocation, for free(). */
struct failure {
	enum err_kind kind;
	const char *hint; /* in msg; "" if there is none */
	char msg[];
};

struct failure *failure_keep(const struct err *e);

#endif
