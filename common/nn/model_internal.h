/* model_internal.h - one entry a network; for model.c and model_*.c only. */
#ifndef COMMON_NN_MODEL_INTERNAL_H
#define COMMON_NN_MODEL_INTERNAL_H

#include "common/nn/model.h"

/* A param with its default; the list of a network ends with name == NULL.  Of `list` and
 * `choices` at most one is set; with neither it is a number, and one from 0 to 1 may be given as
 * a truth value. */
struct vt_model_param {
	const char *name;
	/* a choice: value is the default's index; a list: bounds of each element */
	double value, min, max;
	const char *list;           /* default of a list of whole numbers, e.g. "1,2,2,4" */
	const char *const *choices; /* texts, NULL-terminated */
};

struct vt_model_def {
	const char *name;
	const struct vt_model_param *params;
	int (*stride)(const struct vt_model_request *r);
	/* returns the logits' tensor */
	int (*build)(struct vt_graph *g, const struct vt_model_request *r, int x);
};

extern const struct vt_model_def vt_model_segresnet, vt_model_meshnet, vt_model_unet3d,
	vt_model_unet3d_cbam, vt_model_vnet, vt_model_med3d, vt_model_denseaspp,
	vt_model_attention_unet, vt_model_nnunet_plain, vt_model_residual_unet,
	vt_model_catalyst_unet;

double vt_model_number(const struct vt_model_request *request, const struct vt_model_param *table,
	const char *name);
bool vt_model_flag(const struct vt_model_request *request, const struct vt_model_param *table,
	const char *name);
int vt_model_choice(const struct vt_model_request *request, const struct vt_model_param *table,
	const char *name);
bool vt_model_given(const struct vt_model_request *request, const char *name);

/* Fills v with at most max integers; returns how many. */
int vt_model_list(const struct vt_model_request *request, const struct vt_model_param *table,
	const char *name, int *v, int max);

/* A layer's name made of parts. */
struct vt_layer_name {
	char text[128];
};
struct vt_layer_name vt_name(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The stages of a Med3D residual network up to 1/8 of the resolution; `table` holds depth,
 * width, shortcut and detach_shortcut. */
int vt_med3d_encoder(struct vt_graph *graph, const struct vt_model_request *request,
	const struct vt_model_param *table, int x);
extern const char *const vt_med3d_depths[], *const vt_med3d_shortcuts[];

#endif
