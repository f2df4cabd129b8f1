/* session.h - a graph with memory: plan, run forward, run backward.
 *
 *      struct vt_session *s = NULL;
 *      if (vt_session_new(&s, graph, &(struct vt_session_opts){ .training = true, .seed = 7 },
 *      err)) ...
 *      vt_session_set_input(s, image);                 [n, c, z, y, x] f32
 *      vt_session_forward(s, step);
 *      vt_session_get_output(s, logits);
 *      vt_session_backward(s, d_logits);               gradients are set, not added to
 *      for (i = 0; i < vt_session_n_weights(s); i++) { struct vt_weight *w =
 *      vt_session_weight(s, i); ... }
 *
 * All activations and gradients lie in one arena whose offsets come from their lifetimes: its
 * size is known before it is allocated.  The graph is borrowed and must outlive the session.  A
 * session is used by one thread at a time; its operators use the pool of parallel.h and give the
 * same bits for any number of threads. */
#ifndef COMMON_NN_SESSION_H
#define COMMON_NN_SESSION_H

#include "common/base/buf.h"
#include "common/nn/graph.h"
#include "common/nn/precision.h"

struct vt_device;
struct vt_json;
struct vt_loss;
struct vt_remote;

struct vt_session_opts {
	/* keep what the backward pass needs; dropout and batch statistics are on */
	bool training;
	uint64_t seed; /* of initial weights and dropout */
	/* bytes; 0: none.  More than that is VT_ENOMEM with the number needed and what fits,
	 * nothing allocated */
	size_t memory_limit;
	/* training: normalized, activated, joined and upsampled tensors are made again in the
	 * backward pass instead of kept; less memory, a little more work, the same bits */
	bool recompute;
	/* kernels and biases begin at 0: for who loads them, since drawing them takes time */
	bool blank;
	/* without training: compute every output, not the prediction alone */
	bool all_outputs;
	/* numeric precision on the CPU: f32, or bf16 as cpu/bf16.h defines it; a device has its
	 * own */
	enum vt_level level;
	/* the CPU: room for `level` and every more precise one, for vt_session_set_level */
	bool any_level;
	/* inference on the CPU: scales as int8.h has them, for convolutions on whole numbers;
	 * NULL: none.  Read by vt_session_new, and not needed afterwards */
	const struct vt_json *int8;
	/* inference on the CPU: vt_session_observe may be called */
	bool observed;
	/* bytes of a stored value where the plan is a device's: 2 or 4; 0: the CPU's.  A device
	 * sets its own */
	int stored;
	struct vt_device *device; /* backend.h; NULL: the CPU.  Must outlive the session */
};

/* A named array in PyTorch's order.  Weights that are not trainable are batch norm's running
 * statistics: grad == NULL. */
struct vt_weight {
	const char *name;
	int dims[5], n_dims;
	size_t n;
	float *value, *grad;
	bool trainable;
};

struct vt_session;

int vt_session_new(struct vt_session **out, const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err);
void vt_session_free(struct vt_session *session);

/* What went wrong on the device since the session began; NULL if nothing did, always on the CPU.
 * Results are rubbish then. */
const struct vt_err *vt_session_error(const struct vt_session *session);

/* On a device, values and gradients are current when a weight is asked for, and what is written
 * to them before the next forward pass counts; a pointer kept across passes is not current. */
int vt_session_n_weights(const struct vt_session *session);
/* From the next pass on: of a session on the CPU with opts.any_level, at most the level that it was
 * made with.  Weights, gradients and arena stay. */
void vt_session_set_level(struct vt_session *session, enum vt_level level);
struct vt_weight *vt_session_weight(struct vt_session *session, int i);
/* scalars of weight i, and whether it is trainable; neither looks at the device */
size_t vt_session_size(const struct vt_session *session, int i);
bool vt_session_trains(const struct vt_session *session, int i);
/* NULL if there is none */
struct vt_weight *vt_session_find(struct vt_session *session, const char *name);

struct vt_shape vt_session_input_shape(const struct vt_session *session);
struct vt_shape vt_session_output_shape(const struct vt_session *session);
void vt_session_set_input(struct vt_session *session, const float *x);
/* step: names the dropout masks */
void vt_session_forward(struct vt_session *session, uint64_t step);
void vt_session_get_output(const struct vt_session *session, float *y);
/* only with opts.training */
void vt_session_backward(struct vt_session *session, const float *dy);

/* The graph's outputs by number (vt_graph_output_at says what each is for); 0 is the prediction,
 * which the calls above serve.  Outputs beside it exist only with opts.training or
 * opts.all_outputs. dy[i] == NULL: no gradient from output i; a weight that no gradient reaches
 * has gradient 0. */
struct vt_shape vt_session_shape_at(const struct vt_session *session, int i);
void vt_session_get_output_at(const struct vt_session *session, int i, float *y);
void vt_session_backward_all(struct vt_session *session, const float *const *dy);

/* Stands in vt_session_backward_all for the gradient that vt_remote_loss or vt_remote_square
 * left on the device. */
#define VT_KEPT_GRADIENT ((const float *)(uintptr_t)1)
/* the half that is on a device; NULL on the CPU */
struct vt_remote *vt_session_remote(struct vt_session *session);

/* What would be allocated and computed: totals, the plan's name, and a line a layer (shape, offset,
 * parameters, floating-point operations of one forward pass).  A pure function of graph and opts,
 * the same on every machine. */
int vt_plan_text(struct vt_buf *out, const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err);

/* The same in numbers: bytes of arena, scratch, weights and, training, their gradients; and
 * multiply-adds of one forward pass. */
int vt_plan_need(size_t *bytes, double *macs, const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err);

/* Names the plan: 16 hex digits, FNV-1a of its text and of every layer's settings. */
int vt_plan_digest(char out[17], const struct vt_graph *graph, const struct vt_session_opts *opts,
	struct vt_err *err);

/* With opts.observed: fn is shown what each convolution reads, in blocks of eight channels, before
 * it is computed. */
typedef void (*vt_observe_fn)(void *observer, int node, const float *x, struct vt_shape s);
void vt_session_observe(struct vt_session *session, vt_observe_fn fn, void *observer);

/* After the weights of a session with opts.int8 were set, before its first pass: VT_EDATA where
 * the scales are not theirs.  What is written to kernels later does not count. */
int vt_session_take_int8(struct vt_session *session, struct vt_err *err);

/* Name of the kernels in use: "portable", "avx2", "avx512", or the device's backend. */
const char *vt_session_isa(const struct vt_session *session);

#endif
