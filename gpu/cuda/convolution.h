/* convolution.h - convolutions by cuDNN's backend (graph) API.
 *
 *      struct vg_cudnn *c = NULL;
 *      if (vg_cudnn_open(&c, NULL, engines, err)) ...          for the current GPU
 *      if (vg_cudnn_open(&c, property_json, NULL, err)) ...    for a GPU described by its
 *                                                              properties: plans only
 *
 * libcudnn.so.9 is loaded with dlopen; nothing is linked.  For each convolution the engine is
 * the first that the library's heuristics offer, is deterministic, keeps the engine's precision
 * and builds into a plan; its id and knobs are kept under the convolution's key.  An engine plan
 * (the text vg_cudnn_engines made) replays them: a key it holds gets that engine or an error,
 * never another one; a key it does not hold is chosen and added. */
#ifndef GPU_CUDA_CONVOLUTION_H
#define GPU_CUDA_CONVOLUTION_H

#include "common/base/json.h"
#include "gpu/engine/device.h"

struct vg_cudnn;

/* VT_EDEVICE: no library, one older than 9.15, an engine plan of another version or GPU. */
int vg_cudnn_open(struct vg_cudnn **out, const char *properties, const char *engines,
	struct vt_err *err);
void vg_cudnn_close(struct vg_cudnn *cudnn);
size_t vg_cudnn_version(const struct vg_cudnn *cudnn); /* e.g. 91900 */
int vg_cudnn_stream(struct vg_cudnn *cudnn, void *stream, struct vt_err *err);

/* From now on cudnn gives a convolution that `first` has chosen an engine for the same one: first
 * chooses before cudnn does. */
void vg_cudnn_follow(struct vg_cudnn *cudnn, const struct vg_cudnn *first);

/* With a timer the fastest of all acceptable engines that the heuristics offer is chosen instead
 * of the first; NULL takes it away.  Returns how often an engine plan that is a wish, { "tune":
 * runs }, wants each candidate run; 0 if it is none: what a tuned plan holds depends on time,
 * what a plan that is replayed gives does not. */
typedef int (*vg_cudnn_timer)(void *context, struct vg_conv *conv, const struct vg_conv_spec *spec,
	double *ms, struct vt_err *err);
int vg_cudnn_tune(struct vg_cudnn *cudnn, vg_cudnn_timer timer, void *context);

/* The properties of the current GPU, as vg_cudnn_open takes them. */
int vg_cudnn_properties(struct vg_cudnn *cudnn, struct vt_buf *json, struct vt_err *err);

/* { "cudnn", "card", "convolutions": { key: { engine, knobs, workspace, notes } } }; the caller
 * owns it. */
struct vt_json *vg_cudnn_engines(const struct vg_cudnn *cudnn);

int vg_cudnn_plan(struct vg_cudnn *cudnn, struct vg_conv **out, const struct vg_conv_spec *spec,
	struct vt_err *err);
void vg_cudnn_plan_free(struct vg_conv *conv);
size_t vg_cudnn_workspace(const struct vg_conv *conv);
int vg_cudnn_execute(struct vg_cudnn *cudnn, struct vg_conv *conv, void *x, void *w, void *y,
	void *workspace, struct vt_err *err);

#endif
