/* precision.h - which numeric precision a training step uses: the deterministic `auto` controller.
 *
 *      struct vt_precision p;
 *      vt_precision_init(&p, &(struct vt_precision_opts){ .top = VT_LEVEL_BF16, .total_steps = n
 *      });
 *      each step: run the plan of level p.level, gradients scaled by p.scale if that is
 *      VT_LEVEL_FP16 (or by
 *          whoever runs it: a device's session scales them itself); then
 *          d = vt_precision_step(&p, &(struct vt_precision_sample){ loss, grad_norm, curvature,
 *          underflow });
 *          if (d.skip) leave weights, moments and the schedule's counter as they are; else update;
 *          if (d.rule) vt_precision_line(&text, &d);     one line of precision.jsonl
 *      checkpoint: vt_precision_save, vt_precision_load.
 *
 * Pure logic on doubles: no clock, no device, no thread; equal samples give equal decisions, and
 * a saved state goes on as if it had not stopped.  Master weights and moments are f32 at every
 * level, so a change of level changes no state but this one.  Levels: L0 f32; L1 bf16
 * activations and weights with f32 sums, norms, losses and master weights; L2 f16 with a loss
 * scale.
 *
 * With g the gradient's f32 norm (unscaled) and c the curvature |s y| / (s s), s = w_t -
 * w_(t-1), y = grad_t - grad_(t-1): over the last 200 steps, med is the median of log g, s its
 * quartiles' distance / 1.349 (the deviation, were it normal), and z = (log g - med) / max(s,
 * ln(10) / 6): small gradients, as of patches without foreground, are no unrest, and a jump is at
 * least tenfold.  Quantiles are numpy's linear ones.  Mean and variance of the loss and the mean
 * of log c are exponential, beta .98.
 *
 * Less precision, looked at every 50 steps: in the last 200 steps no non-finite value, the .95
 * quantile of z < 3, the median of log g of the newer half at most 1 above that of the older
 * half, slope of the mean of log c below .03 a step; 400 steps since the last change; the dwell
 * after the last return over; the level not barred.  More precision, at once: a non-finite value
 * at L1; 3 skips in a row at scale 1 at L2; z > 6; loss above its mean + 6 sd in 3 steps running;
 * more than .2 of the gradients underflowing for 50 steps at scale 2^24.
 * Then 800 steps of dwell, doubled at each return to at most 12800; a level returned from 3
 * times is barred for the run.  The first 100 steps are L0; the last 5 % stay at the level they
 * begin with.  Loss scale: 2^16, doubled after 2000 clean steps, halved at a non-finite gradient
 * (that step is skipped), 1 to 2^24. */
#ifndef COMMON_NN_PRECISION_H
#define COMMON_NN_PRECISION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"

enum vt_level { VT_LEVEL_F32, VT_LEVEL_BF16, VT_LEVEL_FP16, VT_LEVELS };

extern const char *const vt_level_names[]; /* "f32", "bf16", "fp16", NULL */

enum { VT_PRECISION_WINDOW = 200 };

/* A recorded change: from step on (before it runs) the level is `to`. */
struct vt_precision_change {
	uint64_t step;
	enum vt_level to;
};

struct vt_precision_opts {
	enum vt_level first; /* level of step 0 */
	/* least precise level allowed: VT_LEVEL_BF16 on the CPU; VT_LEVEL_F32: never leaves f32 */
	enum vt_level top;
	uint64_t total_steps; /* of the whole run; 0: not known, then the end is not held */
	/* borrowed: these changes instead of the rules; NULL: decide */
	const struct vt_precision_change *replay;
	size_t n_replay;
	bool replaying; /* replay holds the schedule, even if it is empty */
};

/* Plain data; the fields are this module's but for `level`, `scale`, `step` and `applied`, which
 * may be read. */
struct vt_precision {
	struct vt_precision_opts o;
	enum vt_level level;    /* of the step that comes next */
	double scale;           /* of its loss, at VT_LEVEL_FP16 */
	uint64_t step, applied; /* samples seen; updates made */
	uint64_t changed_at, dwell_until, dwell;
	int returns[VT_LEVELS];           /* from each level */
	uint64_t clean;                   /* steps since the scale last changed */
	int skips, high_loss, underflows; /* in a row */
	uint64_t samples;                 /* finite ones, behind the means */
	double loss, var_loss, log_c;
	struct {
		double log_g, log_c;
		bool finite;
	} window[VT_PRECISION_WINDOW];
};

struct vt_precision_sample {
	double loss, grad_norm; /* any non-finite value among them makes the step non-finite */
	double curvature;       /* negative: none yet (first step, or after a skip) */
	/* share of low-precision gradients that are 0 where the f32 norm is not */
	double underflow;
};

struct vt_precision_decision {
	bool skip;        /* do not update with this step's gradients */
	const char *rule; /* why the level changes after this step; NULL: it does not */
	uint64_t step;
	enum vt_level from, to;
	/* what the rule looked at; rise: of log g's median from the older half to the newer */
	double loss, grad_norm, z, slope, sd, rise, scale;
};

void vt_precision_init(struct vt_precision *precision, const struct vt_precision_opts *opts);
struct vt_precision_decision vt_precision_step(struct vt_precision *precision,
	const struct vt_precision_sample *sample);

/* One JSON line with its end: {"from","inputs":{..},"rule","step","to"}. */
void vt_precision_line(struct vt_buf *out, const struct vt_precision_decision *decision);
/* Reads such lines back, for replay.  The caller frees *out.  VT_EDATA names the line. */
int vt_precision_read_lines(struct vt_precision_change **out, size_t *n, const char *text,
	size_t len, const char *origin, struct vt_err *err);

/* The whole state but the options as one line of JSON text; loading needs vt_precision_init with
 * the same options first. */
void vt_precision_save(struct vt_buf *out, const struct vt_precision *precision);
int vt_precision_load(struct vt_precision *precision, const char *text, struct vt_err *err);

#endif
