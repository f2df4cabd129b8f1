/* backend.h - where a network is computed: on the CPU, or by a plugin on an accelerator.
 *
 *      struct vt_device *d = NULL;                                     NULL is the CPU
 *      if (vt_device_open(&d, &(struct vt_device_opts){ .wish = VT_DEVICE_CUDA }, err)) ...
 *      vt_session_new(&s, graph, &(struct vt_session_opts){ .device = d }, err);
 *      record = vt_device_describe(d);                                 the caller owns it
 *      vt_device_close(d);                                             after its sessions
 *
 * A plugin is a shared object that exports one function, voxtrail_backend(), which returns the
 * table below.  It is looked for as $VOXTRAIL_PLUGIN if that is set; else as libvoxtrail-cuda.so
 * beside the executable, then in ../lib/voxtrail from there.  An accelerator that was asked for
 * by name and is not to be had is VT_EDEVICE with a message that names what is missing: the
 * plugin, its version, the driver, a GPU, a library.  Nothing falls back unasked;
 * VT_DEVICE_AUTO is settled first, once, and says what it chose and why.
 *
 * A CPU's and a GPU's results agree within a tolerance, not to the bit: the device is part of
 * what is recorded. */
#ifndef COMMON_NN_BACKEND_H
#define COMMON_NN_BACKEND_H

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/nn/graph_internal.h"
#include "common/nn/loss.h"
#include "common/nn/patch_ref.h"
#include "common/nn/slot.h"

enum vt_device_wish { VT_DEVICE_CPU, VT_DEVICE_CUDA, VT_DEVICE_AUTO };

/* "cpu", "cuda", "auto", NULL: a stage's enum param */
extern const char *const vt_device_wishes[];
/* "default", "f32", "tf32", "bf16", "fp16", NULL: likewise */
extern const char *const vt_device_precisions[];
/* the same and "int8", of a stage that segments with checkpoints */
extern const char *const vt_segment_precisions[];
/* Indices of these: on the CPU whoever asked for the device computes them; int8 there alone. */
enum { VT_SEGMENT_BF16 = 3, VT_SEGMENT_INT8 = 5 };

/* Instead of a path: "tune:5", say, runs every acceptable engine five times and takes the
 * fastest.  For tools that write engine plans: what such a device computes depends on time. */
#define VT_ENGINES_TUNE "tune:"

struct vt_device_opts {
	enum vt_device_wish wish;
	/* one of vt_segment_precisions; NULL or "default": f32 on the CPU, bf16 on a GPU */
	const char *precision;
	/* file or directory with an engine plan to replay (docs/gpu.md); NULL: choose */
	const char *engines;
	int cards;     /* that share a training session's batch; 0 and 1: one */
	bool segments; /* who asks computes bf16 and int8 on the CPU */
};

struct vt_device;

/* Makes VT_DEVICE_AUTO what it is on this machine, so that what is hashed and recorded is the
 * choice; logs it with the reason. */
void vt_device_settle(int64_t *wish);

/* *out is NULL where the CPU was chosen. */
int vt_device_open(struct vt_device **out, const struct vt_device_opts *opts, struct vt_err *err);
void vt_device_close(struct vt_device *device);
const char *vt_device_name(const struct vt_device *device); /* "cpu", or the backend's name */

/* The engine plan of what ran on the device so far, as --engines takes it; NULL on the CPU.  The
 * caller owns it. */
struct vt_json *vt_device_engines(const struct vt_device *device);

/* { "name", "precision" } and what the backend says of its GPU, driver, libraries and engines. */
struct vt_json *vt_device_describe(const struct vt_device *device);

/* --- a plugin's side ----------------------------------------------------- */

enum { VT_BACKEND_ABI = 4 };

/* Differs between builds whose structures differ: a plugin reads graph_internal.h's. */
#define VT_BACKEND_LAYOUT                                                                          \
	((uint32_t)(((sizeof(struct vt_node) * 1009 + sizeof(struct vt_graph)) * 1009 +            \
			    sizeof(struct vt_weight_spec)) *                                       \
			1009 +                                                                     \
		sizeof(struct vt_session_opts) * 31))

/* Factors of one optimizer step: of sgd, or of the adam family, as optim.c makes them. */
struct vt_update {
	bool sgd, nesterov, first, adaptive;
	/* join: slow and trained weights come together in this step */
	bool centralize, lookahead, join;
	float b1, a1, b2, a2, eps, root, clip, rate, decay,
		drop; /* decay: in the gradient; drop: beside it, the
	                                                             * rate included */
	float share;  /* of the slow weights' way */
};

/* Windows of a volume: every combination of origins (z, y, x; beyond the border there are
 * zeros), each in `flips` mirrorings (1, or 8: bits z, y, x = 4, 2, 1 of a counter from 0).  An
 * answer counts with the product of three factors, each as long as the patch along its axis, and
 * with `least` where that is smaller. */
struct vt_windows {
	int count[3], flips;
	const int *at[3];
	const float *factor[3];
	float least;
};

/* What becomes of a network's averaged answers: they stay as they are, or are turned into
 * probabilities and added to those of other networks; bits are independent of each other
 * (sigmoid, less one half), classes exclude each other (softmax). */
enum vt_join { VT_JOIN_LOGITS, VT_JOIN_BITS, VT_JOIN_CLASSES };

/* A voxel's answer: bit k where value k > 0; of the largest value k, the lowest of equals, bit k
 * - 1, or k itself. */
enum vt_rule { VT_RULE_BITS, VT_RULE_LARGEST, VT_RULE_NUMBER };

/* Every function returns 0 or sets *err.  A device and a session are the plugin's own; a session
 * is used by one thread at a time. */
struct vt_backend {
	uint32_t abi, layout; /* VT_BACKEND_ABI, VT_BACKEND_LAYOUT of the plugin's build */
	const char *name;
	/* precision: NULL for its own default; GPUs: as in vt_device_opts; engines: text of an
	 * engine plan or NULL.  VT_EDEVICE names what is missing. */
	int (*open)(void **device, const char *precision, int cards, const char *engines,
		struct vt_err *err);
	void (*close)(void *device);
	/* a JSON object */
	void (*describe)(void *device, struct vt_buf *json);

	/* The graph is borrowed and outlives the session; initial weights come by put_weights. */
	int (*session_new)(void **session, void *device, const struct vt_graph *g,
		const struct vt_session_opts *o, struct vt_err *err);
	void (*session_free)(void *session);
	/* All weights of the graph one after another, in its order, each in PyTorch's layout. */
	int (*put_weights)(void *session, const float *values, struct vt_err *err);
	int (*get_weights)(void *session, float *values, struct vt_err *err);
	/* as vt_session_set_input */
	int (*set_input)(void *session, const float *x, struct vt_err *err);
	int (*forward)(void *session, uint64_t step, struct vt_err *err);
	/* as vt_session_get_output_at */
	int (*get_output)(void *session, int i, float *y, struct vt_err *err);
	/* As vt_session_backward_all: dy[output], NULL where there is none, VT_KEPT_GRADIENT
	 * where loss() left it. */
	int (*backward)(void *session, const float *const *dy, struct vt_err *err);
	/* as values; 0 where not trained or not reached */
	int (*get_grads)(void *session, float *grads, struct vt_err *err);
	/* What the network's outputs are compared with: [n, voxels of the input]. */
	int (*set_target)(void *session, const uint8_t *target, struct vt_err *err);
	/* vt_loss of output i, of at most 16 channels; a coarser output is compared with the
	 * target at its voxels' centers, the later of two.  The gradient stays on the device. */
	int (*loss)(void *session, int i, const struct vt_loss *o, double weight, double *value,
		struct vt_err *err);
	/* weight times the mean of (y - x)^2, x: the input as it is stored, or 0.  The gradient
	 * stays likewise. */
	int (*square)(void *session, int i, bool of_input, double weight, double *value,
		struct vt_err *err);
	/* as values */
	int (*put_grads)(void *session, const float *grads, struct vt_err *err);
	/* How much faster each weight moves than the rate says, [weights]; 0 freezes it: no
	 * share in the norm.  1 until told. */
	int (*rates)(void *session, const float *factor, struct vt_err *err);
	/* of the gradients */
	int (*norm)(void *session, double *norm, struct vt_err *err);
	/* Adds the gradients to a sum, which the first begins; behind the last the sum is the
	 * gradients. */
	int (*accumulate)(void *session, bool first, bool last, struct vt_err *err);
	/* With s and y what weights and gradients have changed by since the call before (0
	 * then): their products s y and s s. */
	int (*curvature)(void *session, double *sy, double *ss, struct vt_err *err);
	/* one optimizer step */
	int (*update)(void *session, const struct vt_update *u, struct vt_err *err);
	/* MEAN += share (weights - MEAN) */
	int (*average)(void *session, double share, struct vt_err *err);
	/* An array as long as the weights, 0 at first: enum vt_slot_name. update uses M, V and
	 * SLOW, accumulate SUM, average MEAN, curvature LAST_*.  Put as NULL it is 0 again and
	 * takes no room until it is used. */
	int (*put_slot)(void *session, int slot, const float *values, struct vt_err *err);
	int (*get_slot)(void *session, int slot, float *values, struct vt_err *err);
	/* A volume that stays on the device under a number, for patches that become item `item`.
	 * *kept: false where there is no room. */
	int (*keep)(void *session, int item, int id, const struct vt_volume_ref *v, bool *kept,
		struct vt_err *err);
	/* Item `item` of the input and of the target from a kept volume. */
	int (*draw)(void *session, int item, int id, const struct vt_patch_ref *p,
		struct vt_err *err);

	/* An image on the device and room for what networks answer; *volume is NULL, without an
	 * error, where there is no room. */
	int (*volume_new)(void **volume, void *device, const struct vt_volume_ref *v, int outputs,
		enum vt_join join, struct vt_err *err);
	/* Queues the windows, as many at a time as the session has items; each is added after
	 * the one before.  VT_JOIN_LOGITS: the values are this network's. */
	int (*volume_add)(void *volume, void *session, const struct vt_windows *w,
		struct vt_err *err);
	/* [z, y, x] */
	int (*volume_answer)(void *volume, enum vt_rule rule, uint8_t *out, struct vt_err *err);
	/* [outputs, z, y, x] */
	int (*volume_values)(void *volume, float *out, struct vt_err *err);
	void (*volume_free)(void *volume);
};

typedef const struct vt_backend *(*vt_backend_fn)(void);
#define VT_BACKEND_SYMBOL "voxtrail_backend"

/* --- session.c's side ---------------------------------------------------- */

/* A session's half on a device.  All work of a training step is the device's: a session that has
 * a remote half has no other. Weights and gradients lie there and in the host's arrays: touch()
 * makes the host's current and marks them as perhaps changed, and what comes next on the device
 * sends them first.  The first error stays (vt_remote_error) and later calls do nothing. */
struct vt_remote;

int vt_remote_new(struct vt_remote **out, struct vt_device *device, const struct vt_graph *graph,
	const struct vt_session_opts *opts, float *values, float *grads, struct vt_err *err);
void vt_remote_free(struct vt_remote *remote);
const struct vt_err *vt_remote_error(const struct vt_remote *remote); /* NULL if none */
void vt_remote_touch(struct vt_remote *remote);                       /* from any thread */
void vt_remote_set_input(struct vt_remote *remote, const float *x);
void vt_remote_forward(struct vt_remote *remote, uint64_t step);
void vt_remote_get_output(struct vt_remote *remote, int i, float *y);
void vt_remote_backward(struct vt_remote *remote, const float *const *dy);
void vt_remote_set_target(struct vt_remote *remote, const uint8_t *target);
double vt_remote_loss(struct vt_remote *remote, int i, const struct vt_loss *loss, double weight);
double vt_remote_square(struct vt_remote *remote, int i, bool of_input, double weight);
void vt_remote_rates(struct vt_remote *remote, const float *factor);
double vt_remote_norm(struct vt_remote *remote);
void vt_remote_accumulate(struct vt_remote *remote, bool first, bool last);
void vt_remote_curvature(struct vt_remote *remote, double *sy, double *ss);
void vt_remote_update(struct vt_remote *remote, const struct vt_update *update);
void vt_remote_average(struct vt_remote *remote, double share);
/* False where the volume cannot be kept. */
bool vt_remote_keep(struct vt_remote *remote, int item, int id, const struct vt_volume_ref *ref);
void vt_remote_draw(struct vt_remote *remote, int item, int id, const struct vt_patch_ref *ref);
void vt_remote_put_slot(struct vt_remote *remote, int slot, const float *values);
void vt_remote_get_slot(struct vt_remote *remote, int slot, float *values);

/* A volume on a session's device, as the table has it.  What goes wrong in a session is its
 * error, too. */
struct vt_remote_volume;

int vt_remote_volume_new(struct vt_remote_volume **out, struct vt_remote *remote,
	const struct vt_volume_ref *ref, int outputs, enum vt_join join, struct vt_err *err);
int vt_remote_volume_add(struct vt_remote_volume *volume, struct vt_remote *remote,
	const struct vt_windows *windows, struct vt_err *err);
int vt_remote_volume_answer(struct vt_remote_volume *volume, enum vt_rule rule, uint8_t *out,
	struct vt_err *err);
int vt_remote_volume_values(struct vt_remote_volume *volume, float *out, struct vt_err *err);
void vt_remote_volume_free(struct vt_remote_volume *volume);

#endif
