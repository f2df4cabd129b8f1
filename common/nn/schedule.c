#include "common/nn/schedule.h"

#include "common/base/fmath.h"

/* Half a cosine from `from` (x = 0) to `to` (x = 1). */
static double half_cosine(double from, double to, double x)
{
	return to + (from - to) * 0.5 * (1 + vt_cos(3.14159265358979323846 * x));
}

static double cosine(const struct vt_schedule *s, double x)
{
	return s->rate *
		(s->least + (1 - s->least) * 0.5 * (1 + vt_cos(3.14159265358979323846 * x)));
}

/* Steps since the current period began; its length goes to *length. */
static double since_restart(const struct vt_schedule *s, uint64_t t, double *length)
{
	double left = (double)t;

	for (*length = (double)s->period; left >= *length; *length *= s->growth)
		left -= *length;
	return left;
}

/* Position in [0, 1) within the current period. */
static double within_period(const struct vt_schedule *s, uint64_t t)
{
	double length, left = since_restart(s, t, &length);

	return left / length;
}

uint64_t vt_schedule_since_restart(const struct vt_schedule *s, uint64_t t)
{
	uint64_t before = s->warmup + s->hold;
	double length;

	if (s->kind != VT_RATE_RESTARTS || t < before)
		return t;
	return (uint64_t)since_restart(s, t - before, &length);
}

/* One-cycle: *x is the position in the rising (returns true) or falling part. */
static int rising(const struct vt_schedule *s, uint64_t t, double *x)
{
	double up = 0.3 * (double)s->total - 1, end = (double)s->total - 1;

	if ((double)t <= up) {
		*x = up > 0 ? (double)t / up : 1;
		return 1;
	}
	*x = end > up ? ((double)t - up) / (end - up) : 1;
	return 0;
}

static double one_cycle(const struct vt_schedule *s, uint64_t t)
{
	double x, start = s->rate / 25;

	return rising(s, t, &x) ? half_cosine(start, s->rate, x)
				: half_cosine(s->rate, start / 1e4, x);
}

double vt_schedule_momentum(const struct vt_schedule *s, uint64_t t)
{
	double x;

	if (s->kind != VT_RATE_ONE_CYCLE)
		return -1;
	return rising(s, t, &x) ? half_cosine(0.95, 0.85, x) : half_cosine(0.85, 0.95, x);
}

double vt_schedule_rate(const struct vt_schedule *s, uint64_t t)
{
	uint64_t before;
	double x;

	if (s->kind == VT_RATE_ONE_CYCLE)
		return one_cycle(s, t);
	if (t < s->warmup)
		return s->rate * (double)(t + 1) / (double)s->warmup;
	before = s->warmup + s->hold;
	if (t < before)
		return s->rate;
	t -= before;
	x = s->total > before ? (double)t / (double)(s->total - before) : 1.0;
	x = x > 1 ? 1 : x;
	switch (s->kind) {
	case VT_RATE_COSINE: return cosine(s, x);
	case VT_RATE_POLY: return s->rate * vt_pow(1 - x, s->power);
	case VT_RATE_EXPONENTIAL: return s->rate * vt_pow(s->gamma, (double)(t / s->period));
	case VT_RATE_RESTARTS: return cosine(s, within_period(s, t));
	default: return s->rate;
	}
}
