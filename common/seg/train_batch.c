/* train_batch.c - the losses of the network's outputs, where the session is: here or on its
 * device. */
#include <stdlib.h>
#include <string.h>

#include "common/nn/backend.h"
#include "common/seg/train_state.h"

static size_t values_of(struct vt_shape s)
{
	return (size_t)s.n * (size_t)s.c * (size_t)s.d * (size_t)s.h * (size_t)s.w;
}

/* A device has its own room for an output's values and target. */
static void begin_head(struct vt_train_head *h, const struct vt_trainer *t, int i)
{
	struct vt_output out = vt_graph_output_at(t->graph, i);

	*h = (struct vt_train_head){ .role = out.role,
		.weight = out.weight,
		.shape = vt_session_shape_at(t->session, i) };
	if (h->weight <= 0 || vt_session_remote(t->session))
		return;
	h->y = vt_xmalloc(values_of(h->shape) * sizeof(float));
	h->dy = vt_xmalloc(values_of(h->shape) * sizeof(float));
	if (h->role == VT_ROLE_DEEP && h->shape.w != t->o->patch[2])
		h->target = vt_xmalloc(values_of(h->shape) / (size_t)h->shape.c);
	if (h->target && t->ignored)
		h->ignored = vt_xmalloc(values_of(h->shape) / (size_t)h->shape.c);
}

void vt_train_batch_begin(struct vt_trainer *t)
{
	size_t batch = (size_t)t->o->batch;

	t->voxels = (size_t)t->o->patch[0] * (size_t)t->o->patch[1] * (size_t)t->o->patch[2];
	t->image = vt_xmalloc(t->voxels * batch * (size_t)t->channels * sizeof(float));
	t->target = vt_xmalloc(t->voxels * batch);
	t->ignored =
		!t->class_of && vt_dataset_ignores(t->d) ? vt_xmalloc(t->voxels * batch) : NULL;
	vt_train_draw_begin(t);
	t->n_heads = vt_graph_n_outputs(t->graph);
	t->head = vt_xcalloc((size_t)t->n_heads, sizeof(*t->head));
	for (int i = 0; i < t->n_heads; i++)
		begin_head(&t->head[i], t, i);
}

void vt_train_batch_end(struct vt_trainer *t)
{
	vt_train_draw_end(t);
	for (int i = 0; i < t->n_heads; i++) {
		free(t->head[i].y);
		free(t->head[i].dy);
		free(t->head[i].target);
		free(t->head[i].ignored);
	}
	free(t->head);
	free(t->image);
	free(t->target);
	free(t->ignored);
}

/* --- losses -------------------------------------------------------------- */

/* A target where a coarser output has its voxels: the one at each voxel's center, the later of
 * two. */
static void shrink_target(uint8_t *to, const uint8_t *from, const struct vt_trainer *t,
	const struct vt_train_head *h)
{
	const struct vt_shape s = h->shape;
	const int *p = t->o->patch;
	size_t i = 0;

	for (int n = 0; n < s.n; n++)
		for (int z = 0; z < s.d; z++)
			for (int y = 0; y < s.h; y++)
				for (int x = 0; x < s.w; x++, i++) {
					int fz = (2 * z + 1) * p[0] / (2 * s.d),
					    fy = (2 * y + 1) * p[1] / (2 * s.h),
					    fx = (2 * x + 1) * p[2] / (2 * s.w);

					to[i] = from[(((size_t)n * (size_t)p[0] + (size_t)fz) *
								     (size_t)p[1] +
							     (size_t)fy) *
							(size_t)p[2] +
						(size_t)fx];
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

static bool is_square(const struct vt_train_head *h)
{
	return h->role == VT_ROLE_RECONSTRUCTION || h->role == VT_ROLE_LATENT;
}

static double loss_here(struct vt_trainer *t, struct vt_train_head *h, double weight)
{
	const struct vt_shape s = h->shape;
	struct vt_loss how = t->o->loss;
	size_t voxels = (size_t)s.d * (size_t)s.h * (size_t)s.w;

	if (is_square(h))
		return mean_square(h->dy, h->y, h->role == VT_ROLE_LATENT ? NULL : t->image,
			values_of(s), weight);
	if (h->target)
		shrink_target(h->target, t->target, t, h);
	if (h->ignored)
		shrink_target(h->ignored, t->ignored, t, h);
	how.ignored = h->target ? h->ignored : t->ignored;
	return vt_loss(h->dy, h->y, h->target ? h->target : t->target, s.n, s.c, voxels, &how,
		weight);
}

static double loss_there(struct vt_trainer *t, struct vt_remote *r, int i, double weight)
{
	if (is_square(&t->head[i]))
		return vt_remote_square(r, i, t->head[i].role == VT_ROLE_RECONSTRUCTION, weight);
	return vt_remote_loss(r, i, &t->o->loss, weight);
}

double vt_train_batch_loss(struct vt_trainer *t, const float **dy)
{
	struct vt_remote *r = vt_session_remote(t->session);
	double sum = 0;

	for (int i = 0; i < t->n_heads; i++) {
		struct vt_train_head *h = &t->head[i];
		double weight = h->weight * (1.0 / t->o->accumulate);

		if (h->weight <= 0 || (t->n_cohorts && i != t->turn))
			continue;
		if (r) {
			sum += loss_there(t, r, i, weight);
			dy[i] = VT_KEPT_GRADIENT;
		} else {
			vt_session_get_output_at(t->session, i, h->y);
			sum += loss_here(t, h, weight);
			dy[i] = h->dy;
		}
	}
	return sum;
}
