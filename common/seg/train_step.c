/* train_step.c - one update of the weights: patches, forward, loss, backward, optimiser. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/nn/backend.h"
#include "common/seg/train_state.h"

enum { VT_MAX_HEADS = 32 };

static size_t values_of(struct vt_shape s)
{
	return (size_t)s.n * (size_t)s.c * (size_t)s.d * (size_t)s.h * (size_t)s.w;
}

static void begin_head(struct vt_train_head *h, const struct vt_trainer *t, int i)
{
	struct vt_output out = vt_graph_output_at(t->graph, i);

	*h = (struct vt_train_head){ .role = out.role, .weight = out.role == VT_ROLE_BRANCH ? 0 : out.weight,
		.shape = vt_session_shape_at(t->session, i) };
	if (h->weight <= 0)
		return;
	h->y = vt_xmalloc(values_of(h->shape) * sizeof(float));
	h->dy = vt_xmalloc(values_of(h->shape) * sizeof(float));
	if (h->role == VT_ROLE_DEEP && h->shape.w != t->o->patch[2])
		h->target = vt_xmalloc(values_of(h->shape) / (size_t)h->shape.c);
}

void vt_train_step_begin(struct vt_trainer *t)
{
	size_t batch = (size_t)t->o->batch;
	int n = vt_session_n_weights(t->session);

	t->voxels = (size_t)t->o->patch[0] * (size_t)t->o->patch[1] * (size_t)t->o->patch[2];
	t->image = vt_xmalloc(t->voxels * batch * (size_t)t->channels * sizeof(float));
	t->target = vt_xmalloc(t->voxels * batch);
	t->n_heads = vt_graph_n_outputs(t->graph);
	t->head = vt_xcalloc((size_t)t->n_heads, sizeof(*t->head));
	for (int i = 0; i < t->n_heads; i++)
		begin_head(&t->head[i], t, i);
	if (t->o->accumulate < 2 || vt_session_remote(t->session))
		return;
	t->sum = vt_xcalloc((size_t)n, sizeof(*t->sum));
	for (int i = 0; i < n; i++)
		if (vt_session_weight(t->session, i)->trainable)
			t->sum[i] = vt_xcalloc(vt_session_weight(t->session, i)->n, sizeof(float));
}

void vt_train_step_end(struct vt_trainer *t)
{
	for (int i = 0; t->sum && i < vt_session_n_weights(t->session); i++)
		free(t->sum[i]);
	for (int i = 0; i < t->n_heads; i++) {
		free(t->head[i].y);
		free(t->head[i].dy);
		free(t->head[i].target);
	}
	free(t->sum);
	free(t->head);
	free(t->image);
	free(t->target);
}

static struct vt_draw_opts draw_opts(const struct vt_trainer *t)
{
	struct vt_draw_opts draw = t->o->draw;

	memcpy(draw.patch, t->o->patch, sizeof(draw.patch));
	draw.seed = t->o->seed;
	return draw;
}

/* Which training subject patch `slot` of this step comes from. */
static size_t subject_of(const struct vt_trainer *t, uint64_t slot)
{
	uint64_t k = t->step * (uint64_t)t->o->batch * (uint64_t)t->o->accumulate + slot;

	return t->train[vt_dataset_order(t->o->seed, k / t->n_train, (size_t)(k % t->n_train), t->n_train)];
}

/* Batch `round` of the step. */
static void draw_batch(struct vt_trainer *t, int round)
{
	struct vt_draw_opts draw = draw_opts(t);

	for (int b = 0; b < t->o->batch; b++) {
		uint64_t slot = (uint64_t)round * (uint64_t)t->o->batch + (uint64_t)b;

		vt_dataset_draw(&t->d->file[subject_of(t, slot)], &draw, t->step, slot,
			t->image + (size_t)b * (size_t)t->channels * t->voxels,
			t->target + (size_t)b * t->voxels);
	}
	if (t->o->loss.softmax)
		vt_loss_classes(t->target, t->target, (size_t)t->o->batch * t->voxels);
}

static int not_finite(const struct vt_trainer *t, const char *what, struct vt_err *err)
{
	return vt_err_set(err, VT_EBUG, "step %llu: %s is not finite; the last good state is that of step %llu; try a "
		"lower --rate or --clip 1",
		(unsigned long long)t->step, what, (unsigned long long)t->saved_step);
}

static bool all_finite(const float *x, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (!isfinite(x[k]))
			return false;
	return true;
}

static int name_bad_gradient(const struct vt_trainer *t, struct vt_err *err)
{
	for (int i = 0; i < vt_session_n_weights(t->session); i++) {
		const struct vt_weight *w = vt_session_weight(t->session, i);

		if (w->trainable && !all_finite(w->grad, w->n)) {
			char *what = vt_asprintf("the gradient of %s", w->name);
			int rc = not_finite(t, what, err);

			free(what);
			return rc;
		}
	}
	return not_finite(t, "the gradients' norm", err);
}

struct folding {
	struct vt_trainer *t;
	bool last;
};

/* Adds weight i's gradient to the step's sum; behind the last round the sum becomes the gradient. */
static void fold_weight(void *ctx, size_t i)
{
	const struct folding *f = ctx;
	const struct vt_weight *w = vt_session_weight(f->t->session, (int)i);
	float *sum = f->t->sum[i];

	for (size_t k = 0; sum && k < w->n; k++)
		sum[k] += w->grad[k];
	if (sum && f->last) {
		memcpy(w->grad, sum, w->n * sizeof(*sum));
		memset(sum, 0, w->n * sizeof(*sum));
	}
}

/* The target where a coarser output has its voxels: the one at each voxel's centre, the later of two. */
static void shrink_target(const struct vt_trainer *t, const struct vt_train_head *h)
{
	const struct vt_shape s = h->shape;
	const int *p = t->o->patch;
	size_t i = 0;

	for (int n = 0; n < s.n; n++)
		for (int z = 0; z < s.d; z++)
			for (int y = 0; y < s.h; y++)
				for (int x = 0; x < s.w; x++, i++) {
					int fz = (2 * z + 1) * p[0] / (2 * s.d), fy = (2 * y + 1) * p[1] / (2 * s.h),
						fx = (2 * x + 1) * p[2] / (2 * s.w);

					h->target[i] = t->target[(((size_t)n * (size_t)p[0] + (size_t)fz) *
						(size_t)p[1] + (size_t)fy) * (size_t)p[2] + (size_t)fx];
				}
}

/* weight times the mean of (y - x)^2, x == NULL: of y^2. */
static double mean_square(float *dy, const float *y, const float *x, size_t n, double weight)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		double d = (double)y[i] - (x ? (double)x[i] : 0);

		sum += d * d;
		dy[i] = (float)(2 * weight * d / (double)n);
	}
	return weight * sum / (double)n;
}

/* Loss of one output and its gradient, times share. */
static double head_loss(struct vt_trainer *t, struct vt_train_head *h, double share)
{
	const struct vt_shape s = h->shape;
	double weight = h->weight * share;

	if (h->role == VT_ROLE_RECONSTRUCTION || h->role == VT_ROLE_LATENT)
		return mean_square(h->dy, h->y, h->role == VT_ROLE_LATENT ? NULL : t->image, values_of(s), weight);
	if (h->target)
		shrink_target(t, h);
	return vt_loss(h->dy, h->y, h->target ? h->target : t->target, s.n, s.c,
		(size_t)s.d * (size_t)s.h * (size_t)s.w, &t->o->loss, weight);
}

/* As head_loss where output i lies on a device; false where it does not, or is no segmentation. */
static bool loss_on_device(struct vt_trainer *t, int i, bool drawn, double *loss, const float **dy)
{
	const struct vt_train_head *h = &t->head[i];
	double value;

	if (h->role == VT_ROLE_RECONSTRUCTION || h->role == VT_ROLE_LATENT || !vt_session_remote(t->session))
		return false;
	if (h->target)
		shrink_target(t, h);
	if (!vt_session_loss(t->session, i, drawn ? NULL : h->target ? h->target : t->target, &t->o->loss,
	    h->weight / t->o->accumulate, &value))
		return false;
	*loss += value;
	*dy = VT_KEPT_GRADIENT;
	return true;
}

/* Whether every output's loss is made on the device from the patch's own target, so that neither image nor target is
 * needed here. */
static bool can_draw_on_device(const struct vt_trainer *t)
{
	if (!vt_session_remote(t->session) || t->o->draw.noise > 0 || t->channels > 8 || t->channels != t->d->file[0].c)
		return false;
	for (int i = 0; i < t->n_heads; i++)
		if (t->head[i].y && (t->head[i].role == VT_ROLE_RECONSTRUCTION || t->head[i].role == VT_ROLE_LATENT ||
		    t->head[i].target || t->head[i].shape.c > 8))
			return false;
	return true;
}

/* draw_batch where the volumes lie; false where one does not lie there. */
static bool draw_on_device(struct vt_trainer *t, int round)
{
	struct vt_draw_opts o = draw_opts(t);
	struct vt_remote *r = vt_session_remote(t->session);

	if (!can_draw_on_device(t))
		return false;
	for (int b = 0; b < t->o->batch; b++) {
		uint64_t slot = (uint64_t)round * (uint64_t)t->o->batch + (uint64_t)b;
		size_t i = subject_of(t, slot);
		const struct vt_patch_file *f = &t->d->file[i];
		struct vt_patch_ref p = { .classes = t->o->loss.softmax };
		struct vt_draw d;

		if (!vt_remote_keep(r, b, (int)i, &(struct vt_volume_ref){ f->image, f->half, f->regions, f->c, f->d, f->h,
		    f->w }))
			return false;
		vt_dataset_choose(&d, f, &o, t->step, slot);
		p.dropped = d.dropped;
		for (int a = 0; a < 3; a++) {
			p.at[a] = d.at[a];
			p.flip[a] = d.flip[a];
		}
		memcpy(p.gain, d.gain, sizeof(p.gain));
		memcpy(p.add, d.add, sizeof(p.add));
		vt_remote_draw(r, b, (int)i, &p);
	}
	return true;
}

static int device_error(const struct vt_trainer *t, struct vt_err *err)
{
	const struct vt_err *e = vt_session_error(t->session);

	return e ? vt_err_set(err, e->code, "step %llu: %s", (unsigned long long)t->step, e->text) : 0;
}

/* Loss and gradients of one batch, as their share of the step. */
static int one_round(struct vt_trainer *t, int round, double *loss, struct vt_err *err)
{
	const float *dy[VT_MAX_HEADS] = { NULL };
	bool drawn = draw_on_device(t, round);
	struct folding folding = { t, round + 1 == t->o->accumulate };

	if (!drawn) {
		draw_batch(t, round);
		vt_session_set_input(t->session, t->image);
	}
	vt_session_forward(t->session, t->step);
	for (int i = 0; i < t->n_heads; i++)
		if (t->head[i].y && !loss_on_device(t, i, drawn, loss, &dy[i])) {
			vt_session_get_output_at(t->session, i, t->head[i].y);
			*loss += head_loss(t, &t->head[i], 1.0 / t->o->accumulate);
			dy[i] = t->head[i].dy;
		}
	if (device_error(t, err))
		return err->code;
	vt_session_backward_all(t->session, dy);
	if (t->o->accumulate > 1 && vt_session_remote(t->session))
		vt_remote_accumulate(vt_session_remote(t->session), round == 0, folding.last);
	else if (t->sum)
		vt_parallel_for((size_t)vt_session_n_weights(t->session), fold_weight, &folding);
	return 0;
}

/* A snapshot for the mean of the weights behind step t->step. */
static void average(struct vt_trainer *t)
{
	const struct vt_train_opts *o = t->o;

	if (o->averaging == VT_AVERAGE_EMA ||
		(o->averaging == VT_AVERAGE_SWA && t->step >= o->average_from &&
		(t->step - o->average_from) % o->average_every == 0))
		vt_average_add(&t->average);
}

/* A value that is not finite ends the run, unless a less precise level may have brought it about: then the step is left
 * out. */
static int check(const struct vt_trainer *t, double loss, double norm, struct vt_err *err)
{
	bool level_may_do = t->precision.level != VT_LEVEL_F32 &&
		(vt_train_precision_varies(t->o) || t->precision.level == VT_LEVEL_FP16);

	if ((isfinite(loss) && isfinite(norm)) || (level_may_do && t->precision.skips < 3))
		return 0;
	return isfinite(loss) ? name_bad_gradient(t, err) : not_finite(t, "the loss", err);
}

int vt_train_step(struct vt_trainer *t, struct vt_err *err)
{
	uint64_t applied = t->precision.applied;
	double rate = vt_schedule_rate(&t->o->schedule, applied), momentum = vt_schedule_momentum(&t->o->schedule,
		applied), loss = 0, norm;
	int rc = 0;

	for (int round = 0; !rc && round < t->o->accumulate; round++)
		rc = one_round(t, round, &loss, err);
	if (rc)
		return rc;
	norm = vt_optim_norm(t->optim);
	rc = check(t, loss, norm, err);
	if (rc)
		return rc;
	if (!vt_train_precision_decide(t, loss, norm)) {
		vt_optim_step(t->optim, rate, momentum, applied + 1);
		t->loss_sum += loss;
		t->loss_n++;
	}
	vt_train_precision_next(t);
	t->step++;
	average(t);
	if (t->o->progress)
		t->o->progress(t->step, loss);
	return device_error(t, err);
}
