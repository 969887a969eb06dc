/* How long a lock of the cache is waited for, by a clock of our own. */

#define wait_now fake_now
#define wait_until fake_until
#define cache_lock fake_lock
#define cache_incomplete fake_incomplete
#define partial_left fake_left
#define cache_look_blob fake_look_blob
#define progress_note fake_note

#include "../../download.c"

#include <stdarg.h>

#include "tests/unit/test.h"

#define STALL 1000

/* What another program does, in ms from the start. */
struct other {
	uint64_t grows_each; /* 0: never */
	uint64_t until;      /* it stops growing then */
	uint64_t lets_go;    /* UINT64_MAX: never */
	int lock;            /* what we get then */
	bool in_hub;         /* it is a hub: it grows in a partial file */
	bool blob;           /* the content is there then */
	uint64_t signal;     /* when one comes; 0: never */
};

static const struct other *other;
static uint64_t now;
static char notes[512];

uint64_t
fake_now(void)
{
	return now + 5;
}

int
fake_until(uint64_t deadline, struct err *e)
{
	now = deadline - 5;
	if (other->signal && now >= other->signal)
		return err_set(e, ERR_STOPPED, "stopped");
	return 0;
}

int
fake_lock(const struct cache *c, const struct digest *d)
{
	(void)c, (void)d;
	return now < other->lets_go ? -1 : other->lock;
}

static uint64_t
grown(bool in_hub)
{
	uint64_t at = now < other->until ? now : other->until;

	return other->grows_each && other->in_hub == in_hub
		   ? 1 + at / other->grows_each
		   : 0;
}

uint64_t
fake_incomplete(const struct cache *c, const struct digest *d)
{
	(void)c, (void)d;
	return grown(false);
}

uint64_t
fake_left(const struct folder *f, const char *prefix, const struct digest *want,
    uint64_t size)
{
	(void)f, (void)prefix, (void)want, (void)size;
	return grown(true);
}

enum cache_found
fake_look_blob(const struct cache *c, const struct digest *d, uint64_t size)
{
	(void)c, (void)d, (void)size;
	return other->blob && now >= other->lets_go ? CACHE_BLOB
						    : CACHE_MISSING;
}

void
fake_note(struct progress *p, const char *fmt, ...)
{
	size_t n = strlen(notes);
	va_list list;

	(void)p;
	va_start(list, fmt);
	vsnprintf(notes + n, sizeof(notes) - n, fmt, list);
	va_end(list);
}

int
main(void)
{
	static const struct {
		struct other other;
		int rv;
		uint64_t least, most; /* ms that it took */
		bool gave_up;
	} t[] = {
	    /* The lock is free, or there are none. */
	    {{.lock = 7}, 0, 0, 0, false},
	    {{.lock = -2}, 0, 0, 0, false},
	    {{.lock = 7, .blob = true}, 1, 0, 0, false},
	    /* What grows is waited for, however long it takes. */
	    {{.grows_each = 700,
		 .until = 90000,
		 .lets_go = 90000,
		 .lock = 7,
		 .blob = true},
		1, 90000, 90200, false},
	    {{.grows_each = 700,
		 .until = 90000,
		 .lets_go = 90000,
		 .lock = 7,
		 .blob = true,
		 .in_hub = true},
		1, 90000, 90200, false},
	    {{.grows_each = 700, .until = 90000, .lets_go = 90000, .lock = 7},
		0, 90000, 90200, false},
	    /* What does not, or not any more, is given up. */
	    {{.lets_go = UINT64_MAX, .lock = 7}, 0, STALL, STALL + 200, true},
	    {{.grows_each = 500,
		 .until = 10000,
		 .lets_go = UINT64_MAX,
		 .lock = 7},
		0, 10000 + STALL, 10200 + STALL, true},
	    {{.grows_each = 1500,
		 .until = 10000,
		 .lets_go = UINT64_MAX,
		 .lock = 7},
		0, STALL, STALL + 200, true},
	    {{.grows_each = 500,
		 .until = 10000,
		 .lets_go = UINT64_MAX,
		 .lock = 7,
		 .signal = 3000},
		-1, 3000, 3200, false},
	};

	for (size_t i = 0; i < countof(t); i++) {
		static char path[] = "model";
		static const struct options o = {.resume = false};
		const struct config c = {.stall_ms = STALL};
		struct plan_file f = {.file = {.path = path, .size = 9}};
		struct plan_file *fetch = &f;
		int held = -1;
		struct download d = {
		    .o = &o, .c = &c, .fetch = &fetch, .held = &held};
		struct err e;

		other = &t[i].other;
		now = 0;
		notes[0] = '\0';
		CHECK_ROW(i, wait_for_other(&d, 0, &e) == t[i].rv);
		CHECK_ROW(i, now >= t[i].least && now <= t[i].most);
		CHECK_ROW(i, (strstr(notes, "makes no progress") != NULL) ==
				 t[i].gave_up);
		CHECK_ROW(
		    i, (strstr(notes, "waiting") != NULL) == (t[i].most > 0));
		CHECK_ROW(i,
		    held ==
			(t[i].gave_up || t[i].rv < 0 ? -1 : t[i].other.lock));
	}
	return test_end();
}
