/* train_batch.c - the losses of the network's outputs, where the session is: here or on its
 * device. */
#include <stdlib.h>
#include <string.h>

#include "common/nn/backend.h"
#include "common/seg/train_state.h"

static size_t values_of(struct vt_shape shape)
{
	return (size_t)shape.n * (size_t)shape.c * (size_t)shape.d * (size_t)shape.h *
		(size_t)shape.w;
}

/* A device has its own room for an output's values and target. */
static void begin_head(struct vt_train_head *head, const struct vt_trainer *trainer, int i)
{
	struct vt_output out = vt_graph_output_at(trainer->graph, i);

	*head = (struct vt_train_head){ .role = out.role,
		.weight = out.weight,
		.shape = vt_session_shape_at(trainer->session, i) };
	if (head->weight <= 0 || vt_session_remote(trainer->session))
		return;
	head->y = vt_xmalloc(values_of(head->shape) * sizeof(float));
	head->dy = vt_xmalloc(values_of(head->shape) * sizeof(float));
	if (head->role == VT_ROLE_DEEP && head->shape.w != trainer->o->patch[2])
		head->target = vt_xmalloc(values_of(head->shape) / (size_t)head->shape.c);
	if (head->target && trainer->ignored)
		head->ignored = vt_xmalloc(values_of(head->shape) / (size_t)head->shape.c);
}

void vt_train_batch_begin(struct vt_trainer *trainer)
{
	size_t batch = (size_t)trainer->o->batch;

	trainer->voxels = (size_t)trainer->o->patch[0] * (size_t)trainer->o->patch[1] *
		(size_t)trainer->o->patch[2];
	trainer->image =
		vt_xmalloc(trainer->voxels * batch * (size_t)trainer->channels * sizeof(float));
	trainer->target = vt_xmalloc(trainer->voxels * batch);
	trainer->ignored = !trainer->class_of && vt_dataset_ignores(trainer->d)
		? vt_xmalloc(trainer->voxels * batch)
		: NULL;
	vt_train_draw_begin(trainer);
	trainer->n_heads = vt_graph_n_outputs(trainer->graph);
	trainer->head = vt_xcalloc((size_t)trainer->n_heads, sizeof(*trainer->head));
	for (int i = 0; i < trainer->n_heads; i++)
		begin_head(&trainer->head[i], trainer, i);
}

void vt_train_batch_end(struct vt_trainer *trainer)
{
	vt_train_draw_end(trainer);
	for (int i = 0; i < trainer->n_heads; i++) {
		free(trainer->head[i].y);
		free(trainer->head[i].dy);
		free(trainer->head[i].target);
		free(trainer->head[i].ignored);
	}
	free(trainer->head);
	free(trainer->image);
	free(trainer->target);
	free(trainer->ignored);
}

/* --- losses -------------------------------------------------------------- */

/* A target where a coarser output has its voxels: the one at each voxel's center, the later of
 * two. */
static void shrink_target(uint8_t *to, const uint8_t *from, const struct vt_trainer *trainer,
	const struct vt_train_head *head)
{
	const struct vt_shape s = head->shape;
	const int *p = trainer->o->patch;
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

static bool is_square(const struct vt_train_head *head)
{
	return head->role == VT_ROLE_RECONSTRUCTION || head->role == VT_ROLE_LATENT;
}

static double loss_here(struct vt_trainer *trainer, struct vt_train_head *head, double weight)
{
	const struct vt_shape s = head->shape;
	struct vt_loss how = trainer->o->loss;
	size_t voxels = (size_t)s.d * (size_t)s.h * (size_t)s.w;

	if (is_square(head))
		return mean_square(head->dy, head->y,
			head->role == VT_ROLE_LATENT ? NULL : trainer->image, values_of(s), weight);
	if (head->target)
		shrink_target(head->target, trainer->target, trainer, head);
	if (head->ignored)
		shrink_target(head->ignored, trainer->ignored, trainer, head);
	how.ignored = head->target ? head->ignored : trainer->ignored;
	return vt_loss(head->dy, head->y, head->target ? head->target : trainer->target, s.n, s.c,
		voxels, &how, weight);
}

static double loss_there(struct vt_trainer *trainer, struct vt_remote *remote, int i, double weight)
{
	if (is_square(&trainer->head[i]))
		return vt_remote_square(remote, i, trainer->head[i].role == VT_ROLE_RECONSTRUCTION,
			weight);
	return vt_remote_loss(remote, i, &trainer->o->loss, weight);
}

double vt_train_batch_loss(struct vt_trainer *trainer, const float **dy)
{
	struct vt_remote *r = vt_session_remote(trainer->session);
	double sum = 0;

	for (int i = 0; i < trainer->n_heads; i++) {
		struct vt_train_head *h = &trainer->head[i];
		double weight = h->weight * (1.0 / trainer->o->accumulate);

		if (h->weight <= 0 || (trainer->n_cohorts && i != trainer->turn))
			continue;
		if (r) {
			sum += loss_there(trainer, r, i, weight);
			dy[i] = VT_KEPT_GRADIENT;
		} else {
			vt_session_get_output_at(trainer->session, i, h->y);
			sum += loss_here(trainer, h, weight);
			dy[i] = h->dy;
		}
	}
	return sum;
}
