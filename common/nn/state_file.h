/* state_file.h - named tensors in a file of another program: safetensors, or PyTorch's
 * torch.save in its zip or older form.
 *
 * The format is told by the file's first bytes, not by its name.  Nothing in the file is
 * executed (pickle.h); lengths, offsets, checksums, shapes and strides that do not fit the file
 * are VT_EDATA. */
#ifndef COMMON_NN_STATE_FILE_H
#define COMMON_NN_STATE_FILE_H

#include "common/base/fs.h"

enum { VT_STATE_DIMS = 8 };

struct vt_state_tensor {
	char *name;
	/* "F32", "F16", "BF16", "F64"; others as the file has them */
	char dtype[12];
	int n_dims;
	int64_t dims[VT_STATE_DIMS], stride[VT_STATE_DIMS]; /* strides in elements */
	size_t n;                                           /* elements */
	const unsigned char *data; /* little-endian, borrowed from the map */
};

struct vt_state_file {
	const char *format; /* "safetensors", "PyTorch zip", "PyTorch before 1.6" */
	struct vt_map map;
	struct vt_state_tensor *tensor; /* by name */
	size_t n;
};

int vt_state_open(struct vt_state_file *out, const char *path, struct vt_err *err);
void vt_state_close(struct vt_state_file *file);

/* NULL if there is none */
const struct vt_state_tensor *vt_state_find(const struct vt_state_file *file, const char *name);

/* Elements in C order as f32.  VT_EDATA for whole numbers and for values that are not finite. */
int vt_state_copy(const struct vt_state_tensor *tensor, float *out, struct vt_err *err);

/* --- state_tensor.c: for the readers of one format ------------------------- */

/* Adds a tensor whose n_dims, dims and stride are set; extent: elements that lie at data.
 * Checks that all of it lies there. */
int vt_state_add(struct vt_state_file *file, const char *name, struct vt_state_tensor tensor,
	size_t extent, struct vt_err *err);
size_t vt_state_width(const char *dtype); /* bytes; 0 if unknown */

/* torch_import.c: fills in the tensors of a mapped file; false in *ours if it is not PyTorch's. */
int vt_torch_read(struct vt_state_file *file, const char *path, bool *ours, struct vt_err *err);

#endif
