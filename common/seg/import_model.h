/* import_model.h - a checkpoint out of published weights, with their preparation.
 *
 * The directory holds one file of weights (.safetensors, .pth, .pt) and either model.json
 * (published.h) or nothing else, where `known` names one of the networks whose description is built
 * in.  The checkpoint conforms a scan to 256^3 (conform.h), scales it as the network was trained
 * with, and looks at the whole cube at once. */
#ifndef COMMON_SEG_IMPORT_MODEL_H
#define COMMON_SEG_IMPORT_MODEL_H

#include "common/base/err.h"
#include "common/base/json.h"

struct vt_import_opts {
	const char *known; /* "brainchop/mindgrab"; "": what model.json says */
	bool xyz;          /* kernels are stored [x, y, z]; else [z, y, x] */
	const char *role;  /* of the one channel: "t1" */
	const char *version;
};

/* Writes best.safetensors, last.safetensors and checkpoint.json into `out`.  *report:
 * what was found, for the record.  VT_EDATA: weights that do not fit, in full, with the count. */
int vt_import_model(struct vt_json **report, const char *out, const char *dir,
	const struct vt_import_opts *opts, struct vt_err *err);

#endif
