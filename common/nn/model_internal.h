/* model_internal.h - one entry a network; for model.c and model_*.c only. */
#ifndef COMMON_NN_MODEL_INTERNAL_H
#define COMMON_NN_MODEL_INTERNAL_H

#include "common/nn/model.h"

/* An integer, real or integer-list param with its default; the list of a network ends with name == NULL. */
struct vt_model_param {
	const char *name;
	double value, min, max;
	const char *list;        /* default of a list param, e.g. "1,2,2,4"; NULL for a number */
};

struct vt_model_def {
	const char *name;
	int stride;
	const struct vt_model_param *params;
	int (*build)(struct vt_graph *g, const struct vt_model_request *r, int x);   /* returns the logits' tensor */
};

extern const struct vt_model_def vt_model_segresnet, vt_model_meshnet;

double vt_model_number(const struct vt_model_request *r, const struct vt_model_param *table, const char *name);

/* Fills v with at most max integers; returns how many. */
int vt_model_list(const struct vt_model_request *r, const struct vt_model_param *table, const char *name, int *v, int max);

#endif
