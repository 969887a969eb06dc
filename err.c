#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

ERR_PRINTF(3, 0)
static void
format(char *out, size_t size, const char *fmt, va_list ap)
{
	vsnprintf(out, size, fmt, ap);
	str_printable(out);
	str_mask_tokens(out);
}

int
err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	*e = (struct err){.kind = kind};
	va_start(ap, fmt);
	format(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return -1;
}

/* Returns the text of errno, also where a libc has none. */
static const char *
words_of(int error, char number[32])
{
	static const struct {
		int error;
		const char *text;
	} t[] = {
#ifdef EUCLEAN
	    {EUCLEAN, "the file system is damaged"},
	    {EBADMSG, "the file system is damaged"},
#endif
#ifdef EHWPOISON
	    {EHWPOISON, "the machine's memory is damaged"},
#endif
	};
	const char *text = strerror(error);

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (t[i].error == error)
			return t[i].text;
	if (strcmp(text, "No error information") != 0) /* as musl says it */
		return text;
	snprintf(number, 32, "error %d of the system", error);
	return number;
}

int
err_sys(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	int saved = errno;
	char number[32];
	size_t n;
	va_list ap;

	*e = (struct err){.kind = kind};
	va_start(ap, fmt);
	format(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	snprintf(
	    e->msg + n, sizeof(e->msg) - n, ": %s", words_of(saved, number));
	return -1;
}

int
err_in(struct err *e, const char *fmt, ...)
{
	char cause[sizeof(e->msg)];
	size_t n;
	va_list ap;

	memcpy(cause, e->msg, sizeof(cause));
	va_start(ap, fmt);
	/* A long name or address must not push out the reason. */
	format(e->msg, sizeof(e->msg) / 2, fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", cause);
	str_printable(e->msg); /* the cut may have split a character */
	return -1;
}

int
err_hint(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	format(e->hint, sizeof(e->hint), fmt, ap);
	va_end(ap);
	return -1;
}

struct failure *
failure_keep(const struct err *e)
{
	size_t msg = strlen(e->msg) + 1, hint = strlen(e->hint) + 1;
	struct failure *f = xmalloc(sizeof(*f) + msg + hint);

	f->kind = e->kind;
	memcpy(f->msg, e->msg, msg);
	f->hint = memcpy(f->msg + msg, e->hint, hint);
	return f;
}
