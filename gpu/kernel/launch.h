/* launch.h - the kernels on a GPU; launch.cu is the only file that nvcc compiles. */
#ifndef GPU_KERNEL_LAUNCH_H
#define GPU_KERNEL_LAUNCH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Queues kernel (enum vg_kernel) with its arguments on a stream; a cudaError_t. */
int vg_launch(int kernel, const void *args, uint32_t items, void *stream);

/* Whether the plugin holds code for the current GPU; a cudaError_t. */
int vg_launch_check(void);

#ifdef __cplusplus
}
#endif

#endif
