/* weights.h - loads a session's weights from a file of ours or of another program
 * (state_file.h).
 *
 *      struct vt_weights_report report = { 0 };
 *      const char *const leave[] = { "conv_seg", NULL };
 *      if (vt_weights_load(s, path, &(struct vt_weights_opts){ .leave = leave }, &report, err)) ...
 *
 * Names are those of the public code a network comes from (docs/networks.md).  What programs put
 * around them is taken off: a prefix all names share ("module.", "model.", "network.", "net.",
 * "_orig_mod."), MeshNet's "layers.<i>." of brainchop, nnU-Net's second names of the same
 * tensors, counters of batch norms.  The form that fits most weights is used and reported.
 *
 * Every weight of the network must be in the file with its shape, and every tensor of the file
 * must have a place; else VT_EDATA with the counts and the first names, and the session is as it
 * was. `leave` names what may be missing on either side. */
#ifndef COMMON_NN_WEIGHTS_H
#define COMMON_NN_WEIGHTS_H

#include "common/base/json.h"
#include "common/nn/session.h"

/* Axes of a kernel in the file, which nothing in it tells: ours are [z, y, x]; programs that give
 * a network nibabel's arrays as they are have [x, y, z].  Left open, the order is ours, and
 * "layers.<i>.", the names of such a program, are refused. */
enum vt_kernel_axes { VT_KERNELS_OPEN, VT_KERNELS_ZYX, VT_KERNELS_XYZ };

struct vt_weights_opts {
	/* prefixes of names, e.g. "conv_seg"; NULL-terminated; NULL: none.  These weights stay
	 * as they are */
	const char *const *leave;
	/* a kernel for one channel serves a network of several: repeated, divided by their
	 * number */
	bool repeat_input;
	enum vt_kernel_axes kernels; /* xyz: they are turned to ours */
};

struct vt_weights_report {
	const char *format; /* state_file.h */
	/* what was taken off the names: "", "module.", ... or "layers" */
	const char *form;
	/* weights of the network that were loaded, and that stayed as they were */
	size_t matched, left;
	/* tensors of the file left out: under `leave`, counters, second names */
	size_t ignored;
	size_t repeated; /* kernels repeated over channels */
};

/* opts and report may be NULL: everything must fit. */
int vt_weights_load(struct vt_session *session, const char *path,
	const struct vt_weights_opts *opts, struct vt_weights_report *report, struct vt_err *err);

/* All weights of session, running statistics included, as canonical safetensors under their own
 * names. */
int vt_weights_save(const char *path, struct vt_session *session, const struct vt_json *metadata,
	struct vt_err *err);

#endif
