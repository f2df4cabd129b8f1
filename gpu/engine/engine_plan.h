/* engine_plan.h - the text of an engine plan: { "cudnn", "card", "convolutions": { key: {
 * engine, knobs, workspace } } }, or a wish to make one: { "tune": runs }. */
#ifndef GPU_ENGINE_ENGINE_PLAN_H
#define GPU_ENGINE_ENGINE_PLAN_H

#include "common/base/json.h"
#include "gpu/engine/device.h"

/* What a convolution is called in it; the caller owns it. */
char *vg_plan_key(const struct vg_conv_spec *spec);

/* A GPU's name from its properties, "unknown" without; NULL if they are no JSON.  The caller
 * owns it. */
char *vg_plan_card(const char *properties);

/* *runs: of a wish, else 0.  VT_EDEVICE: a plan for another GPU or version of cuDNN.  The
 * caller owns *plan, also on failure. */
int vg_plan_read(struct vt_json **plan, int *runs, const char *text, const char *card,
	size_t version, struct vt_err *err);

#endif
