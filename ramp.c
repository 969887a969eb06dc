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

static void
halve(struct ramp *r, uint64_t now)
{
	if (r->allowed > 1)
		r->allowed /= 2;
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
		if (now >= r->hold && r->rate)
			r->allowed += r->allowed;
	} else if (now >= r->hold && now >= r->probe) {
		/* Lines change: one more now and then. */
		r->probe = now + RAMP_HOLD;
		r->allowed++;
	}
	if (r->allowed > r->max)
		r->allowed = r->max;
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
