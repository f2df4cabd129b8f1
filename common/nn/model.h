/* model.h - the networks of the field by name; names of weights are those of the public PyTorch code they come from.
 *
 *      struct vt_graph *g = NULL;
 *      struct vt_model_request r = { .name = "segresnet", .n = 1, .in_c = 4, .out_c = 3, .patch = { 64, 64, 64 } };
 *      if (vt_model_build(&g, &r, err)) ...
 *
 * params is a JSON object; an unknown key is VT_EUSAGE and the message lists the known ones.  The output are logits. */
#ifndef COMMON_NN_MODEL_H
#define COMMON_NN_MODEL_H

#include "common/base/json.h"
#include "common/nn/graph.h"

struct vt_model_request {
	const char *name;
	const struct vt_json *params;   /* NULL: all defaults */
	int n, in_c, out_c;
	int patch[3];                   /* z, y, x */
};

int vt_model_build(struct vt_graph **out, const struct vt_model_request *r, struct vt_err *err);

/* What each edge of a patch must divide by; 0 for an unknown name. */
int vt_model_stride(const char *name);

/* The i-th name, NULL behind the last. */
const char *vt_model_name(int i);

#endif
