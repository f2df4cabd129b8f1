/* group.h - a training session on the GPUs of a team: data parallelism.
 *
 * Every GPU holds all weights and the optimizer's arrays, and an equal share of the batch's
 * items, in order: item i is on GPU i / share.  GPU r's session is an ordinary one over the
 * graph with `share` items; rank 0's stands for all and has `group` set.
 *
 * What the whole batch decides is decided over the whole batch: a loss is combined from every
 * item's sums, in item order, on the host.  Random streams are named by an item's place in the
 * batch.  So outputs and losses do not depend on the number of GPUs, where no batch norm reads
 * them: that uses a GPU's own share, and its running statistics are the mean of the GPUs'.  In
 * fp16 every GPU scales the gradients of its share.
 *
 * Behind the backward pass the gradients are added: scalar k of the sum is (g0 + g1) + ... in
 * f32, in rank order.  GPU r adds the r-th of n equal parts, of which it gets the other GPUs'
 * gradients, and every GPU gets its sums.
 *
 * Each function below does what vg_session_'s of that name does, for such a session and for one
 * that is alone. */
#ifndef GPU_ENGINE_GROUP_H
#define GPU_ENGINE_GROUP_H

#include "gpu/engine/engine.h"
#include "gpu/engine/team.h"

/* Only a training session is shared; another one lies on the first GPU. */
int vg_group_session_new(void **out, void *engine, const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err);
void vg_group_session_free(void *session);

/* What every GPU has.  The two that read compare the GPUs first: VT_EDEVICE if they differ. */
int vg_group_put_weights(void *session, const float *values, struct vt_err *err);
int vg_group_get_weights(void *session, float *values, struct vt_err *err);
int vg_group_put_slot(void *session, int slot, const float *values, struct vt_err *err);
int vg_group_get_slot(void *session, int slot, float *values, struct vt_err *err);
int vg_group_put_grads(void *session, const float *grads, struct vt_err *err);
int vg_group_rates(void *session, const float *factor, struct vt_err *err);
int vg_group_accumulate(void *session, bool first, bool last, struct vt_err *err);
int vg_group_curvature(void *session, double *sy, double *ss, struct vt_err *err);
int vg_group_update(void *session, const struct vt_update *update, struct vt_err *err);
int vg_group_average(void *session, double share, struct vt_err *err);

/* What is shared out; arrays are of the whole batch.  A volume is kept on the GPU that has the
 * item. */
int vg_group_set_input(void *session, const float *x, struct vt_err *err);
int vg_group_keep(void *session, int item, int id, const struct vt_volume_ref *ref, bool *kept,
	struct vt_err *err);
int vg_group_draw(void *session, int item, int id, const struct vt_patch_ref *patch,
	struct vt_err *err);
int vg_group_forward(void *session, uint64_t step, struct vt_err *err);
int vg_group_get_output(void *session, int i, float *y, struct vt_err *err);
int vg_group_set_target(void *session, const uint8_t *target, struct vt_err *err);
int vg_group_loss(void *session, int i, const struct vt_loss *loss, double weight, double *value,
	struct vt_err *err);
int vg_group_square(void *session, int i, bool of_input, double weight, double *value,
	struct vt_err *err);
int vg_group_backward(void *session, const float *const *dy, struct vt_err *err);

#endif
