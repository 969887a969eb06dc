#include "ramp.h"

struct ramp
ramp_make(unsigned max, uint64_t now)
{
	return (struct ramp){
	    .allowed = max < RAMP_START ? max : RAMP_START,
	    .max = max,
	    .looked = now,
	};
}

struct ramp
ramp_make_careful(unsigned max, uint64_t now)
{
	struct ramp r = ramp_make(max, now);

	r.allowed = r.before = 1;
	r.retreats = true;
	return r;
}

static void
grow(struct ramp *r, uint64_t now, unsigned to)
{
	if (to > r->max)
		to = r->max;
	if (to == r->allowed)
		return;
	r->before = r->allowed;
	r->grown = now;
	r->allowed = to;
}

/* Whether the last growth has still to show a gain. */
static bool
is_tried(const struct ramp *r)
{
	return r->retreats && r->allowed > r->before;
}

static void
halve(struct ramp *r, uint64_t now)
{
	if (r->allowed > 1)
		r->allowed /= 2;
	r->before = r->allowed;
	r->best = 0;
	r->hold = now + RAMP_HOLD;
}

unsigned
ramp_step(struct ramp *r, uint64_t now, uint64_t work)
{
	uint64_t ms = now - r->looked;

	if (ms < RAMP_PERIOD)
		return r->allowed;
	r->rate = (work - r->work) / ms * 1000;
	r->looked = now;
	r->work = work;
	if (r->rate < r->best / 2) {
		halve(r, now);
	} else if (r->rate >= r->best + r->best / 10) {
		r->best = r->rate;
		r->before = r->allowed;
		if (now >= r->hold && r->rate)
			grow(r, now, 2 * r->allowed);
	} else if (is_tried(r)) {
		if (now >= r->grown + RAMP_TRIAL) {
			r->allowed = r->before;
			r->probe = now + RAMP_HOLD;
		}
	} else if (now >= r->hold && now >= r->probe) {
		/* Lines change: one more now and then. */
		r->probe = now + RAMP_HOLD;
		grow(r, now, r->allowed + 1);
	}
	return r->allowed;
}

void
ramp_back(struct ramp *r, uint64_t now)
{
	/* One refusal often comes on several connections at once. */
	if (now + RAMP_HOLD - RAMP_PERIOD < r->hold)
		return;
	halve(r, now);
}
