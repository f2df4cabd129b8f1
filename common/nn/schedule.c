#include "common/nn/schedule.h"

#include "common/base/fmath.h"

/* Half a cosine from `from` (x = 0) to `to` (x = 1). */
static double half_cosine(double from, double to, double x)
{
	return to + (from - to) * 0.5 * (1 + vt_cos(3.14159265358979323846 * x));
}

static double cosine(const struct vt_schedule *schedule, double x)
{
	return schedule->rate *
		(schedule->least +
			(1 - schedule->least) * 0.5 * (1 + vt_cos(3.14159265358979323846 * x)));
}

/* Steps since the current period began; its length goes to *length. */
static double since_restart(const struct vt_schedule *schedule, uint64_t t, double *length)
{
	double left = (double)t;

	for (*length = (double)schedule->period; left >= *length; *length *= schedule->growth)
		left -= *length;
	return left;
}

/* Position in [0, 1) within the current period. */
static double within_period(const struct vt_schedule *schedule, uint64_t t)
{
	double length, left = since_restart(schedule, t, &length);

	return left / length;
}

uint64_t vt_schedule_since_restart(const struct vt_schedule *schedule, uint64_t t)
{
	uint64_t before = schedule->warmup + schedule->hold;
	double length;

	if (schedule->kind != VT_RATE_RESTARTS || t < before)
		return t;
	return (uint64_t)since_restart(schedule, t - before, &length);
}

/* One-cycle: *x is the position in the rising (returns true) or falling part. */
static int rising(const struct vt_schedule *schedule, uint64_t t, double *x)
{
	double up = 0.3 * (double)schedule->total - 1, end = (double)schedule->total - 1;

	if ((double)t <= up) {
		*x = up > 0 ? (double)t / up : 1;
		return 1;
	}
	*x = end > up ? ((double)t - up) / (end - up) : 1;
	return 0;
}

static double one_cycle(const struct vt_schedule *schedule, uint64_t t)
{
	double x, start = schedule->rate / 25;

	return rising(schedule, t, &x) ? half_cosine(start, schedule->rate, x)
				       : half_cosine(schedule->rate, start / 1e4, x);
}

double vt_schedule_momentum(const struct vt_schedule *schedule, uint64_t t)
{
	double x;

	if (schedule->kind != VT_RATE_ONE_CYCLE)
		return -1;
	return rising(schedule, t, &x) ? half_cosine(0.95, 0.85, x) : half_cosine(0.85, 0.95, x);
}

double vt_schedule_rate(const struct vt_schedule *schedule, uint64_t t)
{
	uint64_t before;
	double x;

	if (schedule->kind == VT_RATE_ONE_CYCLE)
		return one_cycle(schedule, t);
	if (t < schedule->warmup)
		return schedule->rate * (double)(t + 1) / (double)schedule->warmup;
	before = schedule->warmup + schedule->hold;
	if (t < before)
		return schedule->rate;
	t -= before;
	x = schedule->total > before ? (double)t / (double)(schedule->total - before) : 1.0;
	x = x > 1 ? 1 : x;
	switch (schedule->kind) {
	case VT_RATE_COSINE: return cosine(schedule, x);
	case VT_RATE_POLY: return schedule->rate * vt_pow(1 - x, schedule->power);
	case VT_RATE_EXPONENTIAL:
		return schedule->rate * vt_pow(schedule->gamma, (double)(t / schedule->period));
	case VT_RATE_RESTARTS: return cosine(schedule, within_period(schedule, t));
	default: return schedule->rate;
	}
}
