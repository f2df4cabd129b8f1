/* cuda.h - what nccl.c knows of a GPU beside device.h. */
#ifndef GPU_CUDA_CUDA_H
#define GPU_CUDA_CUDA_H

#include "gpu/engine/device.h"

/* The cudaStream_t all its work is queued on. */
void *vg_card_stream(const struct vg_device *device);

/* The number CUDA has for it. */
int vg_card_number(const struct vg_device *device);

#endif
