/* engine.h - a graph on a device: the session side of backend.h's table, for any device of
 * device.h. */
#ifndef GPU_ENGINE_ENGINE_H
#define GPU_ENGINE_ENGINE_H

#include "common/nn/backend.h"
#include "common/nn/plan.h"
#include "gpu/engine/device.h"

/* A precision: how tensors are stored and products made. */
struct vg_precision {
	const char *name;
	int type, tf32;
};

/* VT_EUSAGE for a name that is none of f32, tf32, bf16, fp16; NULL or "" gives bf16. */
int vg_precision_find(struct vg_precision *out, const char *name, struct vt_err *err);

struct vg_engine {
	struct vg_device *device;
	struct vg_precision precision;
	struct vg_team *team; /* device and other GPUs; NULL where there is one */
};

struct vg_session {
	struct vg_engine *e;
	struct vg_device *d;
	const struct vt_graph *g;
	/* where its items begin in the batch, and how many that has: group.h */
	int first, items;
	/* of which it is the first GPU's session; NULL where it is alone */
	struct vg_group *group;
	struct vt_session_opts opts;
	int type;
	struct vt_plan plan;
	/* in the backward pass: values are where the plan's `back` says */
	bool again;
	bool *made; /* [nodes] of the backward pass under way: made again */
	char *arena, *scratch, *workspace;
	size_t workspace_bytes;
	float *weights, *grads;      /* flat f32, PyTorch's layouts */
	size_t *offset, n_scalars;   /* of each weight */
	char *packed, *packed_grads; /* all kernels in the storage type, one behind the other */
	struct vg_filter *kernel, *kernel_host; /* [n_kernels]: where each is */
	int n_kernels, *kernel_of;              /* of each weight; -1 for vectors */
	uint32_t packed_chunks;
	/* gradients that the pass under way sets in parts or not at all */
	bool zero_first;
	struct vg_conv **conv;      /* [3 nodes]: forward, data, weights */
	struct vg_norm_state *norm; /* [nodes] */
	double *part, *total;       /* of the sums */
	float *coefficient[3];      /* of a norm's backward pass */
	float *slab_value;          /* of argmax */
	uint32_t *slab_voxel, *voxel;
	uint64_t *names, *host_names; /* [nodes] of dropout and noise streams */
	float *plain;                 /* [inputs or outputs] f32 as the host has them */
	float *dy;                    /* all outputs' gradients side by side, f32 */
	struct vg_training *training;
	struct vg_updating *updating;
	/* fp16: [largest's parts][2], see kernel_layout.h; NULL otherwise */
	float *scale;
	bool *has, *reached; /* [nodes] of the backward pass under way */
	/* a forward pass that is repeated leaves the running statistics alone */
	bool keep_statistics;
	struct vt_err err;
	struct vg_tape *forward_tape, *backward_tape;
	/* passes with the present arguments, up to 2: the first is made, the second recorded */
	int forwards, backwards;
	int backoff;           /* of the pass under way: the scale is 2^backoff smaller */
	unsigned backward_key; /* which outputs have gradients */
	/* recording failed once: passes are queued call by call, with the same results */
	bool no_tapes;
};

enum { VG_LARGEST_BLOCKS = 1024 }; /* of an fp16 session's largest gradient */

/* Of each (item, channel), padded: a norm's statistics, the sum of what it took, and its y = a x
 * + b. */
struct vg_norm_state {
	double *mean, *rstd, *sum;
	float *a, *b;
	bool summed; /* its sums were gathered by the pass that made what it takes */
};

int vg_session_new(void **out, void *engine, const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err);
void vg_session_free(void *session);
int vg_session_put_weights(void *session, const float *values, struct vt_err *err);
int vg_session_get_weights(void *session, float *values, struct vt_err *err);
int vg_session_set_input(void *session, const float *x, struct vt_err *err);
int vg_session_forward(void *session, uint64_t step, struct vt_err *err);
int vg_session_get_output(void *session, int i, float *y, struct vt_err *err);
int vg_session_backward(void *session, const float *const *dy, struct vt_err *err);
int vg_session_get_grads(void *session, float *grads, struct vt_err *err);
int vg_session_put_grads(void *session, const float *grads, struct vt_err *err);

/* --- engine_train.c: losses and patches ---------------------------------- */

struct vt_loss_sums;
struct vt_loss_slope;

/* A loss of output `output`. */
struct vg_loss_call {
	int output;
	const struct vt_loss *o;
	double weight;
};

int vg_training_new(struct vg_session *session, struct vt_err *err);
void vg_training_free(struct vg_session *session);
int vg_session_set_target(void *session, const uint8_t *target, struct vt_err *err);
/* The two halves of a loss, [item, channel]: sums, and gradients from the slopes that
 * vt_loss_combine makes of all items' sums. */
int vg_loss_sums(struct vg_session *session, const struct vg_loss_call *call,
	struct vt_loss_sums *sums, struct vt_err *err);
int vg_loss_slopes(struct vg_session *session, const struct vg_loss_call *call,
	const struct vt_loss_slope *slope, struct vt_err *err);
/* Likewise of the mean of (y - x)^2, x: the input or 0: the sum of each item, and gradients. */
int vg_square_sums(struct vg_session *session, const struct vg_loss_call *call, bool of_input,
	double *sums, struct vt_err *err);
/* of an output over the whole batch */
double vg_batch_values(const struct vg_session *session, int output);
int vg_session_keep(void *session, int id, const struct vt_volume_ref *ref, bool *kept,
	struct vt_err *err);
int vg_session_draw(void *session, int item, int id, const struct vt_patch_ref *patch,
	struct vt_err *err);

/* --- engine_update.c: gradients' norm, updates, means of weights and their arrays --- */

int vg_updating_new(struct vg_session *session, struct vt_err *err);
void vg_updating_free(struct vg_session *session);
int vg_session_rates(void *session, const float *factor, struct vt_err *err);
int vg_session_norm(void *session, double *norm, struct vt_err *err);
int vg_session_accumulate(void *session, bool first, bool last, struct vt_err *err);
int vg_session_curvature(void *session, double *sy, double *ss, struct vt_err *err);
int vg_session_update(void *session, const struct vt_update *update, struct vt_err *err);
int vg_session_average(void *session, double share, struct vt_err *err);
int vg_session_put_slot(void *session, int slot, const float *values, struct vt_err *err);
int vg_session_get_slot(void *session, int slot, float *values, struct vt_err *err);
/* on the device; NULL where the session has an error */
float *vg_slot(struct vg_session *session, int slot);
/* of the gradients as they lie; NaN or inf if one is */
double vg_gradient_norm(struct vg_session *session);

/* --- engine_window.c: volumes that are answered window by window --------- */

int vg_volume_new(void **volume, void *engine, const struct vt_volume_ref *ref, int outputs,
	enum vt_join join, struct vt_err *err);
int vg_volume_add(void *volume, void *session, const struct vt_windows *windows,
	struct vt_err *err);
int vg_volume_answer(void *volume, enum vt_rule rule, uint8_t *out, struct vt_err *err);
int vg_volume_values(void *volume, float *out, struct vt_err *err);
void vg_volume_free(void *volume);

/* --- engine_forward.c, engine_backward.c: queue the work of a pass; errors stay in s->err --- */

void vg_forward_node(struct vg_session *session, int i);
void vg_backward_node(struct vg_session *session, int i);

/* --- engine_shared.c: what the parts of a session ask of it ----------------- */

struct vg_shape vg_shape_of(const struct vg_session *session, int i);
void *vg_value(const struct vg_session *session, int i);
void *vg_grad(const struct vg_session *session, int i); /* NULL: none wanted */
/* NULL: none */
float *vg_weight(const struct vg_session *session, const struct vt_node *node, int k);
float *vg_weight_grad(const struct vg_session *session, const struct vt_node *node, int k);
bool vg_weight_shared(const struct vg_session *session, const struct vt_node *node, int k);
int vg_alloc(struct vg_session *session, void *pointer_to_pointer, size_t nbytes,
	struct vt_err *err);
/* A function that queues work ends with this: the session's error becomes the caller's, once. */
int vg_status(struct vg_session *session, struct vt_err *err);
int vg_weights_new(struct vg_session *session, struct vt_err *err);
void vg_cast_weights(struct vg_session *session);
/* which of them are `on`, to the device */
int vg_send_kernels(struct vg_session *session, struct vt_err *err);
/* a kernel in session->packed or session->packed_grads */
void *vg_packed(const struct vg_session *session, char *all, int weight);
/* Gradients of kernels to f32: of kernel k, added; of all that are on and in one place, if k <
 * 0. */
void vg_unpack_gradients(struct vg_session *session, int k);
size_t vg_count(struct vt_shape shape); /* values */
/* of output i in dy, floats; i = n_outputs: its size */
size_t vg_output_offset(const struct vg_session *session, int i);
void vg_run(struct vg_session *session, enum vg_kernel kernel, const void *args, uint32_t items);
/* Sums over voxels of each (item, channel) of a->s as a->mode says: slab by slab to
 * session->part, or those of one quantity to session->total. */
void vg_sum_slabs(struct vg_session *session, struct vg_sums *sums);
void vg_sum(struct vg_session *session, enum vg_sum mode, struct vg_shape shape, const void *a,
	const void *b);
uint32_t vg_blocks(const struct vg_shape *shape, int slabs);
/* The activation behind norm i. */
struct vg_behind {
	int mode; /* enum vg_with */
	const float *slopes;
	float slope;
};
struct vg_behind vg_behind(const struct vg_session *session, int i);

#endif
