/* cudnn_library.h - cuDNN's functions and descriptors for convolution.c; the only file of the
 * plugin that includes cudnn.h. */
#ifndef GPU_CUDA_CUDNN_LIBRARY_H
#define GPU_CUDA_CUDNN_LIBRARY_H

#include <cudnn.h>

#include "gpu/cuda/convolution.h"

/* Functions of the library that are called. */
/* clang-format off */
#define VG_CUDNN_FUNCTIONS(X) X(cudnnGetVersion) X(cudnnCreate) X(cudnnDestroy) X(cudnnSetStream) \
	X(cudnnGetErrorString) X(cudnnGetLastErrorString) X(cudnnBackendCreateDescriptor) \
	X(cudnnBackendDestroyDescriptor) X(cudnnBackendFinalize) X(cudnnBackendSetAttribute) \
	X(cudnnBackendGetAttribute) X(cudnnBackendExecute)
/* clang-format on */

struct vg_cudnn_library {
#define VG_POINTER(name) __typeof__(&name) name;
	VG_CUDNN_FUNCTIONS(VG_POINTER)
#undef VG_POINTER
};

struct vg_cudnn {
	void *so;
	struct vg_cudnn_library f;
	cudnnHandle_t handle; /* NULL where only plans are made */
	cudnnBackendDescriptor_t properties;
	const struct vt_json *wanted; /* convolutions of the engine plan that is replayed */
	struct vt_json *replay, *chosen;
	const struct vg_cudnn *first; /* whose engines are taken; NULL: no other's */
	vg_cudnn_timer timer;         /* NULL: the heuristics' order decides */
	void *timer_context;
	int runs; /* that a wish to tune asks for */
	char *card;
};

/* An attribute to be set on a descriptor. */
struct vg_attribute {
	cudnnBackendAttributeName_t name;
	cudnnBackendAttributeType_t type;
	int64_t n;
	const void *value;
};

/* The library's status as *err: VT_ENOMEM for want of memory, else VT_EDEVICE. */
int vg_cudnn_check(const struct vg_cudnn *cudnn, cudnnStatus_t status, const char *what,
	struct vt_err *err);

/* Makes a descriptor with its attributes and finalizes it; on failure *out is NULL. */
int vg_cudnn_make(const struct vg_cudnn *cudnn, cudnnBackendDescriptor_t *out,
	cudnnBackendDescriptorType_t type, const struct vg_attribute *attribute, int n,
	const char *what, struct vt_err *err);
int vg_cudnn_get(const struct vg_cudnn *cudnn, cudnnBackendDescriptor_t d,
	cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room,
	int64_t *n, void *out, const char *what, struct vt_err *err);
/* *d becomes NULL */
void vg_cudnn_destroy(const struct vg_cudnn *cudnn, cudnnBackendDescriptor_t *d);

/* Descriptors for an answer to fill: all or, on failure, none. */
int vg_cudnn_make_many(const struct vg_cudnn *cudnn, cudnnBackendDescriptor_t *d, int n,
	cudnnBackendDescriptorType_t type, struct vt_err *err);
void vg_cudnn_destroy_many(const struct vg_cudnn *cudnn, cudnnBackendDescriptor_t *d, int n);

#endif
