/* plan_device.h - a device that plans and computes nothing: engines are chosen by cuDNN for a
 * GPU described by its properties.  No driver and no GPU are needed.  Memory is counted, not
 * had. */
#ifndef TESTS_GPU_PLAN_DEVICE_H
#define TESTS_GPU_PLAN_DEVICE_H

#include "gpu/cuda/convolution.h"

struct vg_plan_device {
	struct vg_device base;
	struct vg_cudnn *cudnn;
	size_t nbytes, workspace; /* allocated so far; largest of a convolution */
	int convolutions;
};

int vg_plan_device_open(struct vg_plan_device *out, const char *properties, const char *engines,
	struct vt_err *err);
void vg_plan_device_close(struct vg_plan_device *d);

#endif
