/* model.h - the networks of the field by name; names of weights are those of the public PyTorch
 * code they come from.
 *
 *      struct vt_graph *g = NULL;
 *      struct vt_model_request r = { .name = "segresnet", .n = 1, .in_c = 4, .out_c = 3, .patch
 *      = { 64, 64, 64 } };
 *      if (vt_model_build(&g, &r, err)) ...
 *
 * params is a JSON object; an unknown key or value is VT_EUSAGE and the message lists the known
 * ones.  Output 0 are logits; docs/networks.md describes every network, its params and its
 * further outputs. */
#ifndef COMMON_NN_MODEL_H
#define COMMON_NN_MODEL_H

#include "common/base/json.h"
#include "common/nn/graph.h"

/* Longest edge of a patch: what a file asks for is asked of the memory. */
enum { VT_MODEL_MOST_EDGE = 1024, VT_MODEL_MOST_ITEMS = 4096 };

struct vt_model_request {
	const char *name;
	const struct vt_json *params; /* NULL: all defaults */
	int n, in_c, out_c;
	int patch[3]; /* z, y, x */
};

int vt_model_build(struct vt_graph **out, const struct vt_model_request *request,
	struct vt_err *err);

/* What each edge of a patch must divide by under these params; 0 for an unknown name. */
int vt_model_stride(const struct vt_model_request *request);

/* The i-th name, NULL behind the last. */
const char *vt_model_name(int i);

/* {"name": ..., "params": {...}} with every param at its default: a description that builds the
 * default network.  The caller owns it; NULL for an unknown name. */
struct vt_json *vt_model_describe(const char *name);

#endif
