/* schedule.h - the learning rate as a function of the step, t = 0 .. total - 1.
 *
 * Linear warm-up: rate (t + 1) / warmup for t < warmup; behind it, with x = (t - warmup) /
 * (total - warmup) in [0, 1):
 *   constant      rate
 *
 * With hold > 0 the rate stays for so many steps behind the warm-up, and t counts from there.
 *
 *   cosine        rate (least + (1 - least) (1 + cos pi x) / 2)
 *   poly          rate (1 - x)^power
 *   exponential   rate gamma^floor((t - warmup) / period)
 *   restarts      cosine over periods of `period` steps, each `growth` times as long as the one
 *                 before; Loshchilov &
 *                 Hutter 2017
 *   one-cycle     no warm-up of its own: from rate / 25 up to rate over the first 30 % of total,
 *                 then down to
 *                 rate / 25 / 1e4, both by half a cosine; the momentum goes from .95 to .85 and
 *                 back; Smith & Topin
 *                 2019, PyTorch's OneCycleLR
 */
#ifndef COMMON_NN_SCHEDULE_H
#define COMMON_NN_SCHEDULE_H

#include <stdint.h>

enum vt_schedule_kind {
	VT_RATE_CONSTANT,
	VT_RATE_COSINE,
	VT_RATE_POLY,
	VT_RATE_EXPONENTIAL,
	VT_RATE_RESTARTS,
	VT_RATE_ONE_CYCLE
};

struct vt_schedule {
	enum vt_schedule_kind kind;
	double rate, least; /* least: a share of rate */
	double power, gamma, growth;
	uint64_t total, warmup, period, hold;
};

double vt_schedule_rate(const struct vt_schedule *schedule, uint64_t t);

/* Steps since the period of `restarts` that t lies in began, 0 at its first; t itself for every
 * other kind and before the first period. */
uint64_t vt_schedule_since_restart(const struct vt_schedule *schedule, uint64_t t);

/* -1: the optimizer's own. */
double vt_schedule_momentum(const struct vt_schedule *schedule, uint64_t t);

#endif
